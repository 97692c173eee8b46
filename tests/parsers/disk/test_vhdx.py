"""VHDXs: against sectors that carry their number, against 7-Zip, qemu-img and dissect, and the real ones."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.disk.vhdx import Vhdx, read_data_write_guid
from parsers.errors import FormatError, ReadError, StopcodeError, TruncatedError, UnsupportedError
from tests.parsers.disk.vhd_writer import numbered
from tests.parsers.disk.vhdx_writer import DATA_AT, MIB, TABLE_AT, header, linkage, metadata, regions, vhdx

Give = Callable[[str], Path]
DISK = numbered(16384)  # 8 MiB
PARENT = uuid.UUID("00000000-aaaa-bbbb-cccc-000000000001")


def opened(data: bytes) -> tuple[Vhdx, set[str]]:
    said = Diagnostics()
    return Vhdx(BytesSource(data), said), {item.code for item in said.items}


def whole(disk: Vhdx, piece: int = 0x123457) -> bytes:
    return b"".join(disk.read_at(at, piece) for at in range(0, disk.size, piece))


def mixed(seed: int, sectors: int = 16384) -> Callable[[int], bool]:
    draw = random.Random(seed)
    mine = {sector for sector in range(sectors) if draw.random() < 0.5}
    return mine.__contains__


def laid(below: bytes, above: bytes, own: Callable[[int], bool], sector: int = 512) -> bytes:
    return b"".join((above if own(s) else below)[s * sector : (s + 1) * sector] for s in range(len(above) // sector))


# -- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [MIB, 4 * MIB])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_blocks_in_any_order_give_the_disk(block: int, seed: int | None) -> None:
    disk, said = opened(vhdx(DISK, block=block, seed=seed).file())
    assert (disk.kind, disk.size, disk.sector_size, disk.log, said) == ("dynamic", len(DISK), 512, "clean", set())
    assert whole(disk) == DISK


def test_a_read_that_runs_over_block_ends_is_cut_there() -> None:
    disk, _ = opened(vhdx(DISK, seed=3).file())
    assert disk.read_at(MIB // 2, MIB) == DISK[MIB // 2 : MIB * 3 // 2]
    assert disk.read_at(0, len(DISK) + 5) == DISK
    assert disk.read_at(len(DISK), 1) == b""


@pytest.mark.parametrize("state", [0, 1, 2, 3])
def test_blocks_that_are_not_stored_are_zeros(state: int) -> None:
    disk, said = opened(vhdx(DISK, seed=4, states={1: state, 7: state}).file())
    expected = bytearray(DISK)
    expected[MIB : 2 * MIB] = expected[7 * MIB :] = bytes(MIB)
    assert (whole(disk), said) == (expected, set())


def test_a_disk_of_4096_byte_sectors_says_so() -> None:
    disk, _ = opened(vhdx(DISK, sector=4096, seed=5).file())
    assert disk.sector_size == 4096
    assert disk.metadata.physical_sector_size == 4096
    assert whole(disk) == DISK


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_differencing_disk_takes_each_sector_from_where_its_bitmap_says(sector: int) -> None:
    own = mixed(1, len(DISK) // sector)
    above = numbered(16384, 9)
    data = vhdx(
        above, sector=sector, seed=6, own=own, states={2: 0, 3: 1, 4: 2, 5: 3}, parent=linkage(PARENT, "p.vhdx")
    )
    child, said = opened(data.file())
    assert (child.kind, said) == ("differencing", set())
    assert child.parent_linkage == (str(PARENT),)
    assert child.parent_names == (".\\p.vhdx", "\\\\?\\c:\\p.vhdx")
    with pytest.raises(ReadError, match="parent"):
        child.read_at(2 * MIB, 1)
    child.parent = BytesSource(DISK)
    expected = bytearray(laid(DISK, above, own, sector))
    expected[2 * MIB : 3 * MIB] = DISK[2 * MIB : 3 * MIB]
    expected[3 * MIB : 6 * MIB] = bytes(3 * MIB)  # undefined, zero and unmapped blocks are never the parent's
    assert whole(child) == expected
    assert child.read_at(700, 5000) == expected[700:5700]


def test_a_chain_of_three_is_read_sector_by_sector() -> None:
    first, second = mixed(11), mixed(12)
    base = opened(vhdx(DISK, seed=1).file())[0]
    child = opened(vhdx(numbered(16384, 1), seed=2, own=first, parent=linkage(PARENT, "b")).file())[0]
    grandchild = opened(
        vhdx(numbered(16384, 2), block=2 * MIB, seed=3, own=second, parent=linkage(PARENT, "c")).file()
    )[0]
    child.parent, grandchild.parent = base, child
    expected = laid(laid(DISK, numbered(16384, 1), first), numbered(16384, 2), second)
    assert whole(grandchild) == expected
    assert grandchild.read_at(0, 8192) == expected[:8192]


def test_a_disk_of_several_chunks_finds_its_blocks_and_bitmaps() -> None:
    # With 256 MiB blocks a chunk has 16 blocks; the disk is 5 GiB, and only its last block is stored.
    size, block = 5 << 30, 256 * MIB
    table = bytearray(2 * 17 * 8)
    struct.pack_into("<Q", table, (19 + 1) * 8, DATA_AT | 7)
    struct.pack_into("<Q", table, 33 * 8, (DATA_AT + block) | 6)
    bits = bytearray(MIB)
    bits[3 * (block // 512 // 8)] = 0b101  # block 19 is the fourth of its chunk: sectors 0 and 2 are its own
    parts = vhdx(DISK[:MIB], own=lambda _: True, parent=linkage(PARENT, "p"))
    parts.metadata = metadata(size, block, 512, linkage(PARENT, "p"))
    parts.table = bytes(table)
    parts.blocks = (b"A" * 2048).ljust(block, b"A") + bytes(bits)
    child, said = opened(parts.file())
    assert said == set()
    child.parent = BytesSource(b"")
    assert child.read_at(19 * block, 2048) == b"A" * 512 + bytes(512) + b"A" * 512 + bytes(512)
    assert child.read_at(18 * block, 512) == bytes(512)


# -- headers and tables ---------------------------------------------------------------------------------------------


def test_the_valid_header_with_the_higher_number_counts() -> None:
    parts = vhdx(DISK)
    parts.headers = [header(9, data_write=uuid.UUID(int=1)), header(8, data_write=uuid.UUID(int=2))]
    assert opened(parts.file())[0].data_write_guid == str(uuid.UUID(int=1))
    parts.headers.reverse()
    assert opened(parts.file())[0].data_write_guid == str(uuid.UUID(int=1))
    assert read_data_write_guid(BytesSource(parts.file())) == str(uuid.UUID(int=1))


def test_a_header_with_a_wrong_checksum_is_nobodys_header() -> None:
    parts = vhdx(DISK)
    broken = bytearray(header(99, log=uuid.UUID(int=3)))
    broken[4] ^= 1
    parts.headers = [bytes(broken), header(6)]
    disk, said = opened(parts.file())
    assert (said, disk.log) == ({"vhdx.one-header"}, "clean")
    assert whole(disk) == DISK


@pytest.mark.parametrize(
    ("damaged", "severity"),
    [(header(5), "info"), (header(7, log=uuid.UUID(int=3)), "warning"), (bytes(4096), "warning")],
)
def test_a_damaged_header_that_may_have_been_the_newer_is_a_warning(damaged: bytes, severity: str) -> None:
    parts = vhdx(DISK)
    parts.headers = [damaged[:200] + bytes([damaged[200] ^ 1]) + damaged[201:], header(6)]
    said = Diagnostics()
    Vhdx(BytesSource(parts.file()), said)
    assert [(item.code, item.severity) for item in said.items] == [("vhdx.one-header", severity)]


def test_two_headers_with_one_number_are_one_header_or_none() -> None:
    parts = vhdx(DISK)
    parts.headers = [header(6), header(6)]
    assert opened(parts.file())[1] == set()
    parts.headers = [header(6), header(6, log=uuid.UUID(int=3))]
    with pytest.raises(FormatError, match="same sequence number"):
        opened(parts.file())


def test_without_a_valid_header_nothing_is_read() -> None:
    parts = vhdx(DISK)
    parts.headers = [bytes(4096), bytes(4096)]
    with pytest.raises(FormatError, match="neither header"):
        opened(parts.file())
    parts.headers = [header(6, version=2), bytes(4096)]
    with pytest.raises(UnsupportedError, match="version 2"):
        opened(parts.file())


def test_the_second_region_table_stands_in_for_the_first() -> None:
    parts = vhdx(DISK, seed=1)
    broken = bytearray(regions(table_at=2 * MIB))
    broken[4] ^= 1
    parts.regions[0] = bytes(broken)
    disk, said = opened(parts.file())
    assert said == {"vhdx.region-table"}
    assert whole(disk) == DISK
    parts.regions[1] = bytes(broken)
    with pytest.raises(FormatError, match="neither region table"):
        opened(parts.file())


def test_a_region_or_item_that_must_be_known_is_refused_and_another_ignored() -> None:
    parts = vhdx(DISK)
    strange = uuid.UUID(int=77).bytes_le + struct.pack("<QI", 9 * MIB, MIB)
    parts.regions[0] = regions(extra=strange + struct.pack("<I", 1))
    with pytest.raises(UnsupportedError, match="region"):
        opened(parts.file())
    parts.regions[0] = regions(extra=strange + struct.pack("<I", 0))
    assert whole(opened(parts.file())[0]) == DISK
    table = bytearray(parts.metadata)
    table[0x0A] = 6
    table[32 + 5 * 32 : 64 + 5 * 32] = uuid.UUID(int=78).bytes_le + struct.pack("<IIII", 0x10000, 4, 4, 0)
    parts.metadata = bytes(table)
    with pytest.raises(UnsupportedError, match="metadata item"):
        opened(parts.file())


@pytest.mark.parametrize(
    ("size", "block", "sector", "what"),
    [
        (8 * MIB, 3 * MIB, 512, "block size"),
        (8 * MIB, MIB // 2, 512, "block size"),
        (8 * MIB, 512 * MIB, 512, "block size"),
        (8 * MIB, MIB, 1024, "sector size"),
        (8 * MIB + 1, MIB, 512, "virtual size"),
        (0, MIB, 512, "virtual size"),
        (1 << 62, MIB, 512, "virtual size"),
        (1 << 40, MIB, 512, "block table is too small"),
    ],
)
def test_impossible_sizes_are_refused(size: int, block: int, sector: int, what: str) -> None:
    parts = vhdx(DISK)
    parts.metadata = metadata(size, block, sector, None)
    with pytest.raises(FormatError, match=what):
        opened(parts.file())


def test_a_file_without_its_identifier_is_told_and_read() -> None:
    data = bytearray(vhdx(DISK).file())
    data[:8] = bytes(8)
    disk, said = opened(bytes(data))
    assert said == {"vhdx.identifier"}
    assert whole(disk) == DISK


def test_a_differencing_disk_must_name_its_parent() -> None:
    parts = vhdx(DISK, own=lambda _: True, parent=linkage(PARENT, "p"))
    table = bytearray(parts.metadata)
    table[0x0A] -= 1
    parts.metadata = bytes(table)
    with pytest.raises(FormatError, match="does not name its parent"):
        opened(parts.file())


# -- damage ---------------------------------------------------------------------------------------------------------


def entry(parts_table: bytes, index: int, value: int) -> bytes:
    table = bytearray(parts_table)
    struct.pack_into("<Q", table, index * 8, value)
    return bytes(table)


@pytest.mark.parametrize("state", [4, 5, 7])
def test_a_block_in_an_impossible_state_is_not_read(state: int) -> None:
    parts = vhdx(DISK)
    parts.table = entry(parts.table, 2, 6 * MIB | state)
    disk, _ = opened(parts.file())
    with pytest.raises(ReadError, match="state"):
        disk.read_at(2 * MIB + 5, 10)
    assert disk.read_at(3 * MIB, MIB) == DISK[3 * MIB : 4 * MIB]


def test_blocks_among_the_structures_or_in_each_others_place_are_told() -> None:
    parts = vhdx(DISK)
    sound = parts.table
    parts.table = entry(sound, 2, 6)
    disk, said = opened(parts.file())
    assert said == {"container.damaged"}
    with pytest.raises(ReadError, match="among the headers"):
        disk.read_at(2 * MIB, 1)
    parts.table = entry(sound, 2, TABLE_AT | 6)
    assert opened(parts.file())[1] == {"container.damaged"}
    parts.table = entry(sound, 2, DATA_AT | 6)
    assert opened(parts.file())[1] == {"container.damaged"}


def test_a_partly_present_block_without_its_bitmap_is_not_read() -> None:
    parts = vhdx(DISK, own=mixed(1), parent=linkage(PARENT, "p"))
    parts.table = entry(parts.table, 4096, 0)
    child, _ = opened(parts.file())
    child.parent = BytesSource(DISK)
    with pytest.raises(ReadError, match="bitmap"):
        child.read_at(0, 512)


@pytest.mark.parametrize("kept", [4.5, 7, 9.25, 11.9])
def test_a_cut_disk_gives_what_it_has_and_an_error_for_the_rest(kept: float) -> None:
    data = vhdx(DISK, seed=8).file()[: int(kept * MIB)]
    disk, said = opened(data)
    assert said == {"container.truncated"}
    assert disk.truncated
    there = 0
    for at in range(0, len(DISK), 4096):
        try:
            assert disk.read_at(at, 4096) == DISK[at : at + 4096]
            there += 4096
        except ReadError:
            pass
    assert there == (len(data) - DATA_AT) & ~4095
    with pytest.raises(ReadError, match="beyond the end of the file"):
        disk.read_at(0, len(DISK))


@pytest.mark.parametrize("length", [8, 600, 0x10000, 0x20800, 0x30000, 0x38000, 0x48000, 0x100000, 0x200100, 0x210010])
def test_a_file_cut_before_its_metadata_says_that_it_is_cut(length: int) -> None:
    data = vhdx(DISK).file()[:length]
    if length >= 0x40000:
        with pytest.raises(TruncatedError):
            opened(data)
    else:
        with pytest.raises(StopcodeError, match="ends"):
            opened(data)


def test_a_cut_block_table_loses_only_what_it_named() -> None:
    disk, said = opened(vhdx(DISK).file()[: TABLE_AT + 20])
    assert said == {"container.truncated"}
    for block in (0, 2, 7):
        with pytest.raises(ReadError):
            disk.read_at(block * MIB, 1)


# -- other programs and real disks ----------------------------------------------------------------------------------


@pytest.mark.peer("7zz")
@pytest.mark.parametrize("sector", [512, 4096])
def test_7zip_reads_the_same_shuffled_disk(tmp_path: Path, sector: int) -> None:
    (tmp_path / "d.vhdx").write_bytes(vhdx(DISK, sector=sector, seed=9, absent={3}).file())
    judge = subprocess.run(["7zz", "e", "-so", "-tVHDX", tmp_path / "d.vhdx"], capture_output=True, check=True).stdout
    with FileSource(tmp_path / "d.vhdx") as file:
        assert whole(Vhdx(file, Diagnostics())) == judge


def test_dissect_reads_the_same_chain_of_two(tmp_path: Path) -> None:
    disk = pytest.importorskip("dissect.hypervisor.disk.vhdx")
    (tmp_path / "p.vhdx").write_bytes(vhdx(DISK, data_write=PARENT).file())
    child = vhdx(numbered(16384, 9), own=mixed(4), parent=linkage(PARENT, "p.vhdx")).file()
    (tmp_path / "c.vhdx").write_bytes(child)
    stream = disk.VHDX(tmp_path / "c.vhdx").open() if hasattr(disk.VHDX, "open") else disk.VHDX(tmp_path / "c.vhdx")
    ours = opened(child)[0]
    ours.parent = BytesSource(DISK)
    for at in range(0, len(DISK), 8192):
        stream.seek(at)
        assert stream.read(8192) == ours.read_at(at, 8192)


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("subformat", ["fixed", "dynamic"])
def test_what_qemu_writes_is_read_back(tmp_path: Path, subformat: str) -> None:
    (tmp_path / "raw").write_bytes(numbered(8192) + bytes(3 * MIB) + numbered(40, 3))
    options = ["-O", "vhdx", "-o", f"subformat={subformat},block_size={MIB}"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *options, tmp_path / "raw", tmp_path / "q.vhdx"], check=True)
    with FileSource(tmp_path / "q.vhdx") as file:
        said = Diagnostics()
        disk = Vhdx(file, said)
        assert (disk.kind, disk.log, said.items) == (subformat, "clean", [])
        assert whole(disk) == (tmp_path / "raw").read_bytes()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "size", "block", "digest"),
    [
        (
            "disks/iotest-dynamic-1G.vhdx",
            1 << 30,
            32 * MIB,
            "d3d112d8dab7fd360609f7d5a7b769904b7a2a7d7b6b8c535f65a23293c05478",
        ),
        (
            "disks/test-disk2vhd.vhdx",
            256 * MIB,
            2 * MIB,
            "96d964042be9b58dda1725567abfb0cf9fd8380e2118754afa979c2ad445938a",
        ),
    ],
)
def test_real_disks_give_the_bytes_that_other_readers_give(
    unpacked: Give, name: str, size: int, block: int, digest: str
) -> None:
    with FileSource(unpacked(name)) as file:
        said = Diagnostics()
        disk = Vhdx(file, said)
        assert (disk.size, disk.block_size, disk.log, said.items) == (size, block, "clean", [])
        found = hashlib.sha256()
        for at in range(0, size, 4 * MIB):
            found.update(disk.read_at(at, 4 * MIB))
        assert found.hexdigest() == digest
