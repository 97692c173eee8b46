"""Records that a Windows wrote: undone as ntfsrecover -u does, and done again to what that Windows left."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource
from parsers.ntfs import NtfsVolume
from parsers.ntfs.journal.action import Action, Way
from parsers.ntfs.journal.analysis import analyse
from parsers.ntfs.journal.pages import LogPages
from parsers.ntfs.journal.places import Pieces, protect
from parsers.ntfs.journal.records import LogReader
from parsers.ntfs.journal.replay import NO_PAGE, Replay
from parsers.ntfs.journal.restart import read_restart
from parsers.ntfs.journal.tables import read_checkpoint
from tests.parsers.ntfs.journals import unguarded

#: The first record of the log, found by hand; at the twelfth checkpoint from its end ntfsrecover gives up.
FIRST = 0x100808
SETS = 11


def page(data: bytes, pieces: Pieces) -> bytes:
    """What counts of a page: not its LSN, update sequence and number for new attributes, nor what is not in use."""
    held = unguarded(b"".join(data[offset : offset + length] for offset, length in pieces))
    if held[:4] == b"INDX":
        end = 0x18 + int.from_bytes(held[0x1C:0x20], "little")
        return bytes(held[:8] + held[0x10:0x28] + held[0x40:end])
    end = int.from_bytes(held[0x18:0x1C], "little")
    # ntfsrecover leaves the sequence number of a record that is freed again.
    number = 0x10 if held[0x16] & 1 else 0x12
    return bytes(held[:8] + held[number:0x28] + held[0x36:end])


def put(volume: bytearray, pieces: Pieces, held: bytearray) -> None:
    at, raw = 0, protect(held)
    for offset, length in pieces:
        volume[offset : offset + length] = raw[at : at + length]
        at += length


@pytest.mark.realdata
@pytest.mark.peer("ntfsrecover")
def test_what_windows_wrote_is_undone_as_ntfsrecover_does_and_done_again_as_windows_did(
    shared: Path, tmp_path: Path
) -> None:
    data = lzma.decompress((shared / "data/disks/tiny-ntfs.dd.xz").read_bytes())
    source = BytesSource(data)
    ntfs = NtfsVolume(source)
    log = ntfs.stream(ntfs.own_record(2))
    assert log is not None
    restart = read_restart(log)
    assert restart is not None
    reader = LogReader(LogPages(log, restart), restart)
    records = list(reader.forward(FIRST))
    checkpoint = [record.lsn for record in records if record.kind == 2][-SETS]
    replay = Replay(source, ntfs.boot, analyse(reader, read_checkpoint(reader, checkpoint)))
    undone = set()
    for record in reversed(records):
        if record.kind == 1 and record.lsn > checkpoint:
            action = Action.parse(record)
            if action.lcns and action.undo not in NO_PAGE:
                replay.make(action, Way.back(action))
                undone.add(action.undo)
    assert undone == {0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0D, 0x0E, 0x0F, 0x13, 0x14, 0x15, 0x16}
    ours = bytearray(data)
    for sector, held in replay.plain.sectors.items():
        ours[sector : sector + 512] = held
    for each in replay.pages.values():
        assert (each.problem, each.data is None) == ("", False)
        put(ours, each.pieces, each.data or bytearray())
    copy = tmp_path / "copy.dd"
    copy.write_bytes(data)
    done = subprocess.run(["ntfsrecover", "-u", str(SETS), copy], capture_output=True, check=False)
    assert done.returncode == 0
    theirs = copy.read_bytes()
    assert {pieces for pieces in replay.pages if page(ours, pieces) != page(theirs, pieces)} == set()
    assert len([pieces for pieces in replay.pages if page(ours, pieces) != page(data, pieces)]) > 10
    # Everything else but the log, in which ntfsrecover writes.
    paged = {
        sector for pieces in replay.pages for offset, length in pieces for sector in range(offset, offset + length, 512)
    }
    logged = {
        sector
        for run in log._runs  # type: ignore[attr-defined]
        for sector in range(run.lcn * 512, (run.lcn + run.count) * 512, 512)
    }
    rest = set(range(0, len(data), 512)) - paged - logged
    assert not [sector for sector in rest if ours[sector : sector + 512] != theirs[sector : sector + 512]]
    # And forward again, from pages that are older than every record: to what Windows itself left.
    back = bytearray(theirs)
    for pieces in replay.pages:
        held = bytearray(unguarded(b"".join(back[offset : offset + length] for offset, length in pieces)))
        held[8:16] = bytes(8)
        put(back, pieces, held)
    again = Replay(BytesSource(bytes(back)), ntfs.boot, analyse(reader, read_checkpoint(reader, checkpoint)))
    again.redo(reader, checkpoint)
    assert again.problems == []
    for each in again.pages.values():
        assert each.problem == ""
        put(back, each.pieces, each.data or bytearray())
    differing = {
        each.number: pieces for pieces, each in again.pages.items() if page(back, pieces) != page(data, pieces)
    }
    # Content of files is zeros in the journal, and known to be none.
    assert {(number, "") for number in differing} == again.content
    for pieces in differing.values():
        one, two = page(back, pieces), page(data, pieces)
        assert len(one) == len(two)
        assert not any(mine for mine, theirs in zip(one, two, strict=True) if mine != theirs)
