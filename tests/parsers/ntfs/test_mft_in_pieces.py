"""A master file table in pieces that a record in its own first piece describes, as old servers have it.

No tool here makes one, so that of a made volume is rewritten by hand; dissect.ntfs reads the result beside ours.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from dissect.ntfs import NTFS

from parsers.errors import FormatError
from tests.forensics.disk.ntfs_disks import ntfs_volume
from tests.parsers.ntfs.volumes import RECORD, content, every_file, opened, record_of, sized, taken_apart

pytestmark = pytest.mark.peer("mkntfs", "wimlib-imagex")

SPARE = 15
#: Clusters of the first piece: it must hold the record that describes the second.
FIRST = 6


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("pieces")
    files: dict[str, bytes | Path] = {f"folder/{number}.txt": b"content %d" % number * number for number in range(300)}
    place = ntfs_volume(folder / "v.img", files, mib=16)
    with place.open("rb") as file:
        ntfs = NTFS(file)
        runs = ntfs.mft.get(0).dataruns()
        start = ntfs.boot_sector.MftStartLcn * 4096
    data = bytearray(place.read_bytes())
    _split(data, start, runs)
    place.write_bytes(data)
    wanted = {f"/{name}": body for name, body in files.items() if isinstance(body, bytes)}
    return place, wanted


def _split(data: bytearray, start: int, runs: list[tuple[int, int]]) -> None:
    """Leave the first clusters of the table to record 0 and give the rest to the spare record."""
    assert runs[0][1] > FIRST
    rest = [(runs[0][0] + FIRST, runs[0][1] - FIRST), *runs[1:]]
    head, attributes = taken_apart(data, start)
    table = attributes[0x80]
    last = struct.unpack_from("<Q", table, 0x18)[0]
    first = table[:0x18] + struct.pack("<Q", FIRST - 1) + table[0x20:0x40] + _pairs([(runs[0][0], FIRST)])
    second = table[:0x10] + struct.pack("<QQ", FIRST, last) + table[0x20:0x28] + bytes(24) + _pairs(rest)
    spare = start + SPARE * RECORD
    spare_sequence = struct.unpack_from("<H", data, spare + 0x10)[0]
    own = struct.unpack_from("<H", data, start + 0x10)[0] << 48
    listing = b"".join(
        _listed(kind, lowest, reference)
        for kind, lowest, reference in (
            (0x10, 0, own), (0x30, 0, own), (0x80, 0, own), (0x80, FIRST, SPARE | spare_sequence << 48), (0xB0, 0, own),
        )
    )  # fmt: skip
    resident = struct.pack("<IIBBHHHIHBx", 0x20, 0, 0, 0, 0x18, 0, 9, len(listing), 0x18, 0) + listing
    body = [attributes[0x10], sized(resident), attributes[0x30], sized(first), attributes[0xB0]]
    data[start : start + RECORD] = record_of(head, body)
    empty, _ = taken_apart(data, spare)
    base = empty[:0x16] + struct.pack("<H", 1) + empty[0x18:0x20] + struct.pack("<Q", own) + empty[0x28:]
    data[spare : spare + RECORD] = record_of(base, [sized(second)])


def _pairs(runs: list[tuple[int, int]]) -> bytes:
    packed = b""
    before = 0
    for lcn, count in runs:
        packed += b"\x44" + struct.pack("<ii", count, lcn - before)
        before = lcn
    return packed + b"\0"


def _listed(kind: int, lowest: int, reference: int) -> bytes:
    return struct.pack("<IHBBQQH", kind, 32, 0, 26, lowest, reference, 0).ljust(32, b"\0")


def test_files_whose_records_lie_in_the_second_piece_are_read(pieces: tuple[Path, dict[str, bytes]]) -> None:
    place, wanted = pieces
    ntfs = opened(place)
    assert {path: content(ntfs, record) for path, record in every_file(ntfs)} == wanted
    with place.open("rb") as file:
        theirs = NTFS(file)
        for path, body in wanted.items():
            assert theirs.mft.get(path.lstrip("/")).open().read() == body


def test_a_table_whose_pieces_do_not_join_is_refused(pieces: tuple[Path, dict[str, bytes]]) -> None:
    place, _wanted = pieces
    ntfs = opened(place)
    spare = ntfs.boot.mft * ntfs.boot.cluster + SPARE * RECORD
    at = spare + int.from_bytes(place.read_bytes()[spare + 0x14 : spare + 0x16], "little")
    with pytest.raises(FormatError, match="pieces"):
        opened(place, {at + 0x10: struct.pack("<Q", FIRST + 1)})
