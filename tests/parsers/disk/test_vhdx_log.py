"""The log of a VHDX, replayed in memory: against a real dirty disk as qemu replays it, and logs written by hand."""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.disk import vhdx as reader
from parsers.disk import vhdx_log
from parsers.disk.vhdx import Vhdx
from parsers.disk.vhdx_layouts import (
    DATA_DESCRIPTOR,
    FAST_DESCRIPTOR,
    FAST_LOG_ENTRY,
    LOG_ENTRY_HEADER,
    ZERO_DESCRIPTOR,
)
from parsers.disk.vhdx_log import active_sequence
from parsers.errors import ReadError
from tests.parsers.disk.vhd_writer import numbered
from tests.parsers.disk.vhdx_writer import DATA_AT, MIB, SESSION, TABLE_AT, header, log, log_entry, vhdx
from tests.parsers.disk.vhdx_writer import Vhdx as Parts

Give = Callable[[str], Path]
DISK = numbered(8192)  # 4 MiB
SIZE = DATA_AT + len(DISK)
#: The block table's first sector, as it is when all is well.
RIGHT = vhdx(DISK, seed=1).table[:4096]


def dirty(entries: dict[int, bytes], *, table: bytes = bytes(4096), seed: int | None = 1) -> Parts:
    """A disk whose block table in the file is empty; the log is to bring it."""
    parts = vhdx(DISK, seed=seed)
    parts.table = table
    parts.headers = [header(5), header(6, log=SESSION)]
    parts.log = log(entries)
    return parts


def opened(data: bytes) -> tuple[Vhdx, set[str]]:
    said = Diagnostics()
    return Vhdx(BytesSource(data), said), {item.code for item in said.items}


def write(sequence: int, tail: int, data: bytes = RIGHT, *, flushed: int = SIZE, last: int = 0) -> bytes:
    return log_entry(sequence, tail, [(TABLE_AT, data)], flushed=flushed, last=last)


def other(number: int) -> bytes:
    """Another block table: every block zero, marked with a number that says who wrote it."""
    return (struct.pack("<Q", 2) * 4 + number.to_bytes(8, "little")).ljust(4096, b"\0")


@pytest.mark.realdata
def test_the_real_dirty_disk_reads_as_qemu_replays_it(unpacked: Give) -> None:
    path = unpacked("disks/vhdx-log-replay.vhdx")
    with FileSource(path) as file:
        said = Diagnostics()
        disk = Vhdx(file, said)
        assert [item.code for item in said.items] == ["vhdx.log-replayed"]
        assert "2 entries, 80117443871106390 to 80117443871106391" in said.items[0].message
        found = hashlib.sha256()
        for at in range(0, disk.size, 4 * MIB):
            found.update(disk.read_at(at, 4 * MIB))
    # `qemu-img check -r all` on a copy, then convert; the shared data's README tells it.
    assert found.hexdigest() == "3ba3b309425b7ff5e8e0199edceed95226250f880c53b24e8eae93865f3fad5e"


@pytest.mark.realdata
def test_the_real_log_has_the_entries_that_two_replayers_found(unpacked: Give) -> None:
    data = unpacked("disks/vhdx-log-replay.vhdx").read_bytes()
    guid = data[0x20000 + 0x30 : 0x20000 + 0x40]
    run = active_sequence(data[0x100000:0x200000], guid)
    assert [(item.position, item.tail, item.sequence_number) for item in run] == [
        (0x5000, 0x1000, 80117443871106390),
        (0x7000, 0x5000, 80117443871106391),
    ]


def test_without_the_log_the_disk_would_be_empty_and_with_it_it_is_whole() -> None:
    disk, said = opened(dirty({0: write(100, 0)}).file())
    assert (disk.log, said) == ("replayed", {"vhdx.log-replayed"})
    assert disk.read_at(0, len(DISK)) == DISK


def test_of_two_writes_to_one_place_the_later_wins() -> None:
    disk, _ = opened(dirty({0: write(100, 0, other(1)), 0x2000: write(101, 0)}).file())
    assert disk.read_at(0, len(DISK)) == DISK


def test_entries_before_the_heads_tail_are_not_applied() -> None:
    before = log_entry(99, 0, [(DATA_AT, b"\xaa" * 4096)], flushed=SIZE)
    disk, _ = opened(dirty({0: before, 0x2000: write(100, 0x2000)}).file())
    assert disk.read_at(0, len(DISK)) == DISK


def test_the_sequence_with_the_highest_head_is_the_active_one() -> None:
    disk, _ = opened(dirty({0: write(50, 0, other(1)), 0x8000: write(60, 0x8000)}).file())
    assert disk.read_at(0, len(DISK)) == DISK


@pytest.mark.parametrize("damaged", [1, 2, 3])
def test_entries_that_were_written_behind_the_last_valid_one_are_told(damaged: int) -> None:
    entries = {number * 0x2000: write(100 + number, 0, RIGHT if not number else other(number)) for number in range(4)}
    broken = bytearray(entries[damaged * 0x2000])
    broken[0x1500] ^= 1
    said = Diagnostics()
    disk = Vhdx(BytesSource(dirty(entries | {damaged * 0x2000: bytes(broken)}).file()), said)
    assert disk.log_entries == (damaged, 100, 99 + damaged)
    assert [(item.code, item.severity) for item in said.items] == [("vhdx.log-replayed", "warning")]
    assert f"it was written on to entry 103, and what follows entry {99 + damaged} is damaged" in said.items[0].message


def test_a_sequence_goes_on_behind_the_end_of_the_ring() -> None:
    end = MIB - 0x2000
    disk, _ = opened(dirty({end: write(7, end, other(1)), 0: write(8, end)}).file())
    assert disk.read_at(0, len(DISK)) == DISK
    # An entry may itself run over the end.
    end = MIB - 0x1000
    disk, _ = opened(dirty({end: write(7, end), 0x5000: write(3, 0x5000, other(1))}).file())
    assert disk.read_at(0, len(DISK)) == DISK


def test_many_descriptors_run_into_further_sectors() -> None:
    changes: list[tuple[int, bytes | int]] = [(DATA_AT + 4096 * n, n.to_bytes(2, "big") * 2048) for n in range(200)]
    disk, _ = opened(dirty({0: log_entry(5, 0, [*changes, (TABLE_AT, vhdx(DISK).table[:4096])], flushed=SIZE)}).file())
    assert disk.read_at(0, 200 * 4096) == b"".join(n.to_bytes(2, "big") * 2048 for n in range(200))


def test_zeroing_and_writing_count_in_their_order() -> None:
    first = log_entry(5, 0, [(DATA_AT, 0x10000), (DATA_AT + 4096, b"\xbb" * 4096)], flushed=SIZE)
    second = log_entry(6, 0, [(DATA_AT + 8192, b"\xcc" * 4096), (DATA_AT + 8192, 4096)], flushed=SIZE)
    parts = dirty({0: first, 0x2000: second}, table=vhdx(DISK).table, seed=None)
    disk, _ = opened(parts.file())
    assert disk.read_at(0, 0x10000) == bytes(4096) + b"\xbb" * 4096 + bytes(0xE000)
    assert disk.read_at(0x10000, 512) == vhdx(DISK).blocks[0x10000 : 0x10000 + 512]


def test_the_file_grows_with_zeros_to_the_length_that_the_log_names() -> None:
    parts = dirty({0: write(5, 0, vhdx(DISK).table[:4096], flushed=DATA_AT + 3 * MIB, last=SIZE)}, seed=None)
    disk, said = opened(parts.file()[: DATA_AT + 3 * MIB])
    assert said == {"vhdx.log-replayed"}
    assert disk.read_at(0, len(DISK)) == vhdx(DISK).blocks[: 3 * MIB] + bytes(MIB)


def test_a_file_shorter_than_its_log_says_was_cut_and_gives_no_zeros() -> None:
    parts = dirty({0: write(5, 0, vhdx(DISK).table[:4096])}, seed=None)
    disk, said = opened(parts.file()[: DATA_AT + 3 * MIB])
    assert "container.truncated" in said
    assert disk.truncated
    assert disk.read_at(0, 3 * MIB) == vhdx(DISK).blocks[: 3 * MIB]
    with pytest.raises(ReadError):
        disk.read_at(3 * MIB, 512)


@pytest.mark.parametrize(
    "spoil",
    ["checksum", "session", "data signature", "data number", "descriptor number", "tail", "zero number", "empty"],
)
def test_a_log_that_cannot_be_believed_is_told_and_not_applied(spoil: str) -> None:
    entry = bytearray(write(100, 0))
    if spoil == "checksum":
        entry[4] ^= 1
    elif spoil == "session":
        entry = bytearray(log_entry(100, 0, [(TABLE_AT, RIGHT)], flushed=SIZE, session=uuid.UUID(int=1)))
    elif spoil == "data signature":
        entry[0x1000] ^= 1
    elif spoil == "data number":
        entry[0x1FFF] ^= 1
    elif spoil == "descriptor number":
        entry[0x58] ^= 1
    elif spoil == "tail":
        entry = bytearray(write(100, 0x3000))
    elif spoil == "zero number":
        entry = bytearray(write(0, 0))
    else:
        entry = bytearray(0x2000)
    if spoil not in ("checksum", "session", "tail", "zero number", "empty"):
        from tests.parsers.disk.vhdx_writer import seal

        entry = bytearray(seal(bytes(entry)))
    disk, said = opened(dirty({0: bytes(entry)}).file())
    assert (disk.log, said) == ("dirty", {"vhdx.log-dirty"})
    assert disk.read_at(0, 4096) == bytes(4096)


@pytest.mark.parametrize(
    ("length", "version", "reason"), [(0, 0, "length"), (MIB, 1, "version"), (3 << 30, 0, "length")]
)
def test_a_log_of_another_kind_is_told(length: int, version: int, reason: str) -> None:
    parts = dirty({0: write(100, 0)})
    parts.headers[1] = header(6, log=SESSION, log_length=length, log_version=version)
    said = Diagnostics()
    assert Vhdx(BytesSource(parts.file()), said).log == "dirty"
    assert reason in said.items[0].message


def test_a_log_larger_than_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_VHDX_LOG", MIB // 2)
    assert opened(dirty({0: write(100, 0)}).file())[1] == {"vhdx.log-dirty"}


def test_what_claims_to_be_entries_is_checked_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = 0

    def count(data: bytes) -> bool:
        nonlocal checked
        checked += len(data)
        return False

    monkeypatch.setattr(vhdx_log, "checksum_is_right", count)
    # Each of 256 places claims an entry that takes the whole log.
    claim = b"loge" + bytes(4) + struct.pack("<IIQII", MIB, 0, 1, 0, 0) + SESSION.bytes_le + bytes(16)
    assert active_sequence(claim.ljust(4096, b"\0") * 256, SESSION.bytes_le) == []
    assert 0 < checked <= 16 * MIB


def test_the_replay_writes_nothing(tmp_path: Path) -> None:
    data = dirty({0: write(100, 0)}).file()
    path = tmp_path / "d.vhdx"
    path.write_bytes(data)
    path.chmod(0o444)
    with FileSource(path) as file:
        assert Vhdx(file, Diagnostics()).read_at(0, len(DISK)) == DISK
    assert path.read_bytes() == data


def test_the_fast_layouts_read_what_the_declared_ones_say() -> None:
    entry = log_entry(0x123456789, 0x3000, [(TABLE_AT, RIGHT), (DATA_AT, 8192)], flushed=77, last=88)
    fields = LOG_ENTRY_HEADER.parse(entry)
    assert FAST_LOG_ENTRY.unpack_from(entry) == (
        fields.signature,
        fields.checksum,
        fields.entry_length,
        fields.tail,
        fields.sequence_number,
        fields.descriptor_count,
        fields.log_guid,
        fields.flushed_file_offset,
        fields.last_file_offset,
    )
    assert FAST_LOG_ENTRY.size == LOG_ENTRY_HEADER.sizeof() == 64
    data = DATA_DESCRIPTOR.parse(entry[64:])
    assert FAST_DESCRIPTOR.unpack_from(entry, 64) == (
        data.signature,
        data.trailing_bytes,
        data.leading_bytes,
        data.file_offset,
        data.sequence_number,
    )
    zero = ZERO_DESCRIPTOR.parse(entry[96:])
    signature, _, length, offset, number = FAST_DESCRIPTOR.unpack_from(entry, 96)
    assert (signature, int.from_bytes(length, "little"), offset, number) == (
        zero.signature,
        zero.zero_length,
        zero.file_offset,
        zero.sequence_number,
    )
    assert FAST_DESCRIPTOR.size == DATA_DESCRIPTOR.sizeof() == ZERO_DESCRIPTOR.sizeof() == 32
