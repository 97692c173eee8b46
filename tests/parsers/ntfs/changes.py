"""Changes to volumes by ntfscp, and operations that it does not need, each as one step of a journal."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource
from parsers.ntfs import NtfsVolume
from parsers.ntfs.journal import Journal, read_journal
from tests.forensics.disk.ntfs_disks import run
from tests.parsers.ntfs.journals import Raw, Step, attributes, entries, unguarded

made = pytest.mark.peer("mkntfs", "ntfscp", "wimlib-imagex", "ntfsrecover")

CASES = {
    "a driver and a hive grow": ("old", "replaced"),
    "they shrink again": ("replaced", "old"),
    "a file comes": ("old", "added"),
    "a file goes": ("added", "old"),
    "a stream comes": ("old", "streamed"),
    "a stream goes": ("streamed", "old"),
}


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


def copied(place: Path, name: str, data: bytes, stream: str = "") -> None:
    file = place.with_suffix(".file")
    file.write_bytes(data)
    run("ntfscp", "-f", "-q", *(("-N", stream) if stream else ()), place, file, name)


def replaced(place: Path) -> None:
    copied(place, "/driver.sys", noise(36_002, 3))
    copied(place, "/HIVE", noise(20_480, 4))


def added(place: Path) -> None:
    copied(place, "/new.sys", noise(9_000, 5))


def streamed(place: Path) -> None:
    copied(place, "/driver.sys", noise(5_000, 6), "Extra")


def journal_of(data: bytes) -> Journal:
    source = BytesSource(data)
    return read_journal(NtfsVolume(source), source)


def bytes_of(journal: Journal) -> bytes:
    return journal.source.read_at(0, journal.source.size)


def written_whole(old: bytes, new: bytes) -> dict[str, tuple[Step, ...]]:
    """The other operations, each as one change to a volume."""
    raw = Raw(old)
    lcn, _ = raw.run(5, 0xA0)
    mine, theirs = (unguarded(data[lcn * 4096 : lcn * 4096 + 4096]) for data in (old, new))
    places = [*entries(theirs)]
    first, end = places[3][0], places[-1][0] + len(places[-1][1])
    bits, _ = raw.run(6, 0x80)
    record = raw.record(64)
    assert record is not None
    at, data = attributes(record)[-1]
    used = int.from_bytes(record[0x18:0x1C], "little")
    shorter = bytearray(record[at:used])
    shorter[0x38:0x40] = (len(data)).to_bytes(8, "little")
    bitmap = old[bits * 4096 + 0x80 : bits * 4096 + 0x90]
    return {
        "bytes of a stream": (Step(0x08, 0x08, b"\xaa" * 16, bitmap, 0x68, (bits,), at=0x80),),
        "an index block": (
            Step(0, 0, bytes(0x500)),
            Step(0x08, 0, bytes(theirs[:end]), b"", 0x40, (lcn,), size=8),
        ),
        "the end of an index block": (
            Step(0x10, 0x10, bytes(theirs[first:end]), bytes(mine[first:end]), 0x40, (lcn,), within=first, size=8),
        ),
        "the end of a record": (
            Step(0x04, 0x04, bytes(shorter), bytes(record[at:used]), lcns=(raw.mft // 4096 + 16,), at=at, vcn=16),
        ),
    }


REST = "the rest of a record"


def in_deep_folder(data: bytes) -> dict[str, Step]:
    """Changes to blocks that lie before entries, in a root folder whose index has three levels, and a record's rest."""
    raw = Raw(data)
    lcns = raw.clusters(5, 0xA0)
    # Node 0 is cut first, so blocks of the middle level come late.
    number = next(
        each
        for each, lcn in enumerate(lcns)
        if data[lcn * 4096 : lcn * 4096 + 4] == b"INDX" and data[lcn * 4096 + 0x24] & 1
    )
    block = unguarded(data[lcns[number] * 4096 : (lcns[number] + 1) * 4096])
    place, entry = entries(block)[1]
    holder, at, root = next(
        (each, at, attribute)
        for each in range(raw.records)
        if each == 5 or int.from_bytes((raw.record(each) or b"")[0x20:0x26], "little") == 5
        for at, attribute in raw.attributes(each)
        if attribute[0] == 0x90
    )
    header = int.from_bytes(root[0x14:0x16], "little") + 16
    within, first = entries(root, header)[0]
    assert first[12] & 1
    record = {"lcns": (raw.mft // 4096 + holder // 4,), "block": holder % 4 * 2, "size": 2, "vcn": holder // 4}
    other = (7).to_bytes(8, "little")
    free = int.from_bytes((raw.record(holder) or b"")[0x18:0x1C], "little")
    return {
        "a block before an entry of a block": Step(
            0x12, 0x12, other, entry[-8:], 0x40, (lcns[number],), within=place, size=8, vcn=number
        ),
        "a block before an entry of a record": Step(
            0x11,
            0x11,
            other,
            first[-8:],
            at=at,
            within=within,
            **record,  # type: ignore[arg-type]
        ),
        REST: Step(0x25, 0, bytes(1024 - free), at=free, **record),  # type: ignore[arg-type]
    }
