"""VHDs: against sectors that carry their number, against 7-Zip and qemu-img, and the real ones."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.disk.vhd import Vhd, find_footer
from parsers.errors import FormatError, ReadError, TruncatedError
from tests.parsers.disk.vhd_writer import fixed, footer, numbered, put, seal, sparse

Give = Callable[[str], Path]
BLOCK = 0x10000
DISK = numbered(2048)  # 1 MiB: 16 blocks


def opened(data: bytes) -> tuple[Vhd, set[str]]:
    said = Diagnostics()
    return Vhd(BytesSource(data), said), {item.code for item in said.items}


def whole(disk: Vhd, piece: int = 0x23456) -> bytes:
    return b"".join(disk.read_at(at, piece) for at in range(0, disk.size, piece))


def sha256(disk: Vhd) -> str:
    digest = hashlib.sha256()
    for at in range(0, disk.size, 1 << 20):
        digest.update(disk.read_at(at, 1 << 20))
    return digest.hexdigest()


def mixed(seed: int) -> Callable[[int], bool]:
    draw = random.Random(seed)
    mine = {sector for sector in range(len(DISK) // 512) if draw.random() < 0.5}
    return mine.__contains__


def laid(below: bytes, above: bytes, own: Callable[[int], bool]) -> bytes:
    return b"".join((above if own(s) else below)[s * 512 : s * 512 + 512] for s in range(len(above) // 512))


# -- what is read ---------------------------------------------------------------------------------------------------


def test_a_fixed_disk_is_its_data_without_the_footer() -> None:
    disk, said = opened(fixed(DISK))
    assert (disk.kind, disk.size, said) == ("fixed", len(DISK), set())
    assert whole(disk) == DISK
    assert disk.read_at(len(DISK) - 3, 100) == DISK[-3:]
    assert disk.read_at(len(DISK), 1) == b""


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_blocks_in_any_order_give_the_disk(seed: int | None) -> None:
    disk, said = opened(sparse(DISK, block=BLOCK, seed=seed))
    assert (disk.kind, said) == ("dynamic", set())
    assert whole(disk) == DISK
    assert disk.read_at(0, len(DISK)) == DISK
    assert disk.read_at(BLOCK // 2, BLOCK * 2) == DISK[BLOCK // 2 : BLOCK * 5 // 2]


def test_blocks_that_are_not_stored_are_zeros() -> None:
    disk, _ = opened(sparse(DISK, block=BLOCK, seed=4, absent={0, 3, 15}))
    expected = bytearray(DISK)
    for block in (0, 3, 15):
        expected[block * BLOCK : (block + 1) * BLOCK] = bytes(BLOCK)
    assert whole(disk) == expected


def test_a_disk_that_ends_inside_a_block_ends_there() -> None:
    short = DISK[: len(DISK) - 5 * 512]
    disk, said = opened(sparse(short, block=BLOCK, seed=7))
    assert (disk.size, said) == (len(short), set())
    assert whole(disk) == short


def test_a_differencing_disk_takes_each_sector_from_where_its_bitmap_says() -> None:
    own = mixed(1)
    child, said = opened(sparse(numbered(2048, 9), block=BLOCK, seed=3, absent={2}, own=own, parent_name="p.vhd"))
    assert (child.kind, child.parent_names, said) == ("differencing", ("p.vhd",), set())
    with pytest.raises(ReadError):
        child.read_at(0, len(DISK))
    child.parent = opened(sparse(DISK, block=BLOCK, seed=5))[0]
    expected = laid(DISK, numbered(2048, 9), lambda s: own(s) and s // 128 != 2)
    assert whole(child) == expected
    assert whole(child, 777) == expected


def test_a_chain_of_three_is_read_sector_by_sector() -> None:
    first, second = mixed(11), mixed(12)
    base = opened(fixed(DISK))[0]
    child = opened(sparse(numbered(2048, 1), block=BLOCK, seed=1, own=first))[0]
    grandchild = opened(sparse(numbered(2048, 2), block=2 * BLOCK, seed=2, own=second))[0]
    child.parent, grandchild.parent = base, child
    assert whole(grandchild) == laid(laid(DISK, numbered(2048, 1), first), numbered(2048, 2), second)


def test_behind_the_end_of_a_shorter_parent_are_zeros() -> None:
    child = opened(sparse(numbered(2048, 9), block=BLOCK, own=lambda _: False))[0]
    child.parent = opened(fixed(DISK[:70_144]))[0]
    assert whole(child) == DISK[:70_144] + bytes(len(DISK) - 70_144)


def test_a_parent_is_named_by_its_relative_path_first() -> None:
    child = opened(
        sparse(DISK, block=BLOCK, own=lambda _: True, parent_name="C:\\a\\base.vhd", relative="..\\base.vhd")
    )[0]
    assert child.parent_names == ("..\\base.vhd", "C:\\a\\base.vhd")
    assert child.parent_id == bytes(16)


# -- footers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [fixed, lambda data: sparse(data, block=BLOCK, seed=1)])
def test_a_footer_of_511_bytes_is_a_footer(write: Callable[[bytes], bytes]) -> None:
    data = write(DISK)[:-1]
    disk, said = opened(data)
    assert said == set()
    assert whole(disk) == DISK
    assert find_footer(BytesSource(data)) is not None


@pytest.mark.parametrize("damage", ["cut off", "zeroed", "one byte changed"])
def test_the_copy_at_the_beginning_stands_in_for_a_bad_footer(damage: str) -> None:
    data = bytearray(sparse(DISK, block=BLOCK, seed=1))
    if damage == "cut off":
        del data[-512:]
    elif damage == "zeroed":
        data[-512:] = bytes(512)
    else:
        data[-512 + 0x30] ^= 0x55
    disk, said = opened(bytes(data))
    assert said == {"vhd.footer-copy"}
    assert whole(disk) == DISK


def test_a_footer_with_a_wrong_checksum_is_believed_when_there_is_no_better_one() -> None:
    data = bytearray(fixed(DISK))
    data[-512 + 0x60] ^= 1
    disk, said = opened(bytes(data))
    assert said == {"vhd.checksum"}
    assert whole(disk) == DISK


def test_the_size_is_the_current_size_and_not_the_geometry() -> None:
    out = bytearray(footer(len(DISK), 2))
    put(out, 0x38, 1, 2)
    disk, _ = opened(DISK + seal(out, 0x40))
    assert disk.size == len(DISK)


def test_a_saved_state_is_told() -> None:
    out = bytearray(footer(len(DISK), 2))
    out[0x54] = 1
    assert opened(DISK + seal(out, 0x40))[1] == {"vhd.saved-state"}


# -- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("footer_put_back", [True, False])
def test_a_cut_disk_gives_what_it_has_and_an_error_for_the_rest(kept: float, footer_put_back: bool) -> None:
    data = sparse(DISK, block=BLOCK, seed=6)
    cut = data[: int(len(data) * kept) & ~511]
    disk, said = opened(cut + data[-512:] if footer_put_back else cut)
    assert "container.truncated" in said
    assert disk.truncated
    lost = 0
    for sector in range(len(DISK) // 512):
        try:
            assert disk.read_at(sector * 512, 512) == DISK[sector * 512 : sector * 512 + 512]
        except ReadError:
            lost += 1
    assert abs(lost / 2048 - (1 - kept)) < 0.1
    with pytest.raises(ReadError):
        disk.read_at(0, len(DISK))


def test_a_fixed_disk_whose_footer_promises_more_is_told_and_ends_where_the_footer_is() -> None:
    disk, said = opened(DISK[:0x40000] + footer(len(DISK), 2))
    assert said == {"container.truncated"}
    assert disk.read_at(0x3FE00, 512) == DISK[0x3FE00:0x40000]
    with pytest.raises(ReadError):
        disk.read_at(0x40000, 512)


def test_a_cut_block_table_loses_only_what_it_named() -> None:
    data = bytearray(sparse(DISK, block=BLOCK)[: 0x800 + 20])
    disk, said = opened(bytes(data))
    assert said == {"vhd.footer-copy", "container.truncated"}
    with pytest.raises(ReadError):
        disk.read_at(0, 512)
    with pytest.raises(ReadError):
        disk.read_at(7 * BLOCK, 512)


def test_a_block_in_the_block_table_is_not_read() -> None:
    data = bytearray(sparse(DISK, block=BLOCK))
    put(data, 0x800 + 3 * 4, 4, 4)
    disk, said = opened(bytes(data))
    assert said == {"container.damaged"}
    with pytest.raises(ReadError):
        disk.read_at(3 * BLOCK, 512)
    assert disk.read_at(4 * BLOCK, BLOCK) == DISK[4 * BLOCK : 5 * BLOCK]


def test_two_blocks_in_one_place_are_told() -> None:
    data = bytearray(sparse(DISK, block=BLOCK))
    data[0x800 + 12 : 0x800 + 16] = data[0x800 + 16 : 0x800 + 20]
    assert opened(bytes(data))[1] == {"container.damaged"}


def changed(at: int, value: int, width: int) -> bytes:
    data = bytearray(sparse(DISK, block=BLOCK))
    put(data, 0x200 + at, value, width)
    data[0x200:0x600] = seal(bytearray(data[0x200:0x600]), 0x24)
    return bytes(data)


@pytest.mark.parametrize("block", [0, 256, 513, 0x30000, 1 << 31])
def test_an_impossible_block_size_is_refused(block: int) -> None:
    with pytest.raises(FormatError, match="block size"):
        opened(changed(0x20, block, 4))


def test_a_block_table_that_is_too_small_is_told_and_the_rest_read() -> None:
    disk, said = opened(changed(0x1C, 5, 4))
    assert said == {"container.damaged"}
    assert disk.read_at(4 * BLOCK, BLOCK) == DISK[4 * BLOCK : 5 * BLOCK]
    with pytest.raises(ReadError):
        disk.read_at(5 * BLOCK, 1)


def test_other_kinds_and_sizes_are_refused() -> None:
    with pytest.raises(FormatError, match="disk type"):
        opened(DISK + footer(len(DISK), 5))
    with pytest.raises(FormatError, match="virtual size"):
        opened(DISK + footer(0, 2))
    with pytest.raises(FormatError, match="no footer"):
        opened(DISK)
    with pytest.raises(TruncatedError):
        opened(footer(1 << 20, 3, header_at=0x5000))
    with pytest.raises(FormatError, match="no dynamic header"):
        opened(footer(1 << 20, 3, header_at=0) + DISK)


# -- other programs and real disks ----------------------------------------------------------------------------------


@pytest.mark.peer("7zz")
def test_7zip_reads_the_same_chain(tmp_path: Path) -> None:
    big = numbered(16384)
    own = mixed(3)
    (tmp_path / "base.vhd").write_bytes(sparse(big, seed=1))
    child = sparse(
        numbered(16384, 9),
        seed=2,
        absent={5},
        own=own,
        parent_id=b"\x11" * 16,
        parent_name="base.vhd",
        relative=".\\base.vhd",
        unique_id=b"\x22" * 16,
    )
    (tmp_path / "child.vhd").write_bytes(child)
    judge = subprocess.run(["7zz", "e", "-so", "-tVHD", tmp_path / "child.vhd"], capture_output=True, check=True).stdout
    disk = opened(child)[0]
    disk.parent = opened((tmp_path / "base.vhd").read_bytes())[0]
    assert whole(disk, 1 << 20) == judge


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("subformat", ["fixed", "dynamic"])
def test_what_qemu_writes_is_read_back(tmp_path: Path, subformat: str) -> None:
    (tmp_path / "raw").write_bytes(numbered(8192) + bytes(1 << 20) + numbered(40, 3))
    options = ["-O", "vpc", "-o", f"subformat={subformat},force_size=on"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *options, tmp_path / "raw", tmp_path / "q.vhd"], check=True)
    with FileSource(tmp_path / "q.vhd") as file:
        said = Diagnostics()
        disk = Vhd(file, said)
        assert (disk.kind, said.items) == (subformat, [])
        assert whole(disk, 1 << 20) == (tmp_path / "raw").read_bytes()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "size", "digest"),
    [
        (
            "disks/d2v-zerofilled.vhd",
            263_454_720,
            "1ba076be94a8a64541c25aae8d5a5f8b0da758c3797af597e03acb431ff8d143",
        ),
        ("disks/plaso/image.vhd", 104_448, "c6db12a7db548e193c29420c1b4533e4708b20c5033db5cc29ef075d48316d25"),
        ("disks/dfvfs/ext2.vhd", 4_212_736, "870be7ae16c1fa8faab05c6eb9205dc9a7ae35c5f552c5cf8a267c0bc6a5cb99"),
    ],
)
def test_real_disks_give_the_bytes_that_other_readers_give(unpacked: Give, name: str, size: int, digest: str) -> None:
    with FileSource(unpacked(name)) as file:
        disk = Vhd(file, Diagnostics())
        assert (disk.size, sha256(disk)) == (size, digest)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "creator"), [("virtualpc-dynamic.vhd", "vpc "), ("hyperv2012r2-dynamic.vhd", "win ")])
def test_empty_disks_of_other_makers_have_their_whole_size(unpacked: Give, name: str, creator: str) -> None:
    with FileSource(unpacked(f"disks/{name}")) as file:
        said = Diagnostics()
        disk = Vhd(file, said)
        assert (disk.size, disk.creator, said.items) == (136_365_211_648, creator, [])
        assert disk.read_at(disk.size - 4096, 9999) == bytes(4096)


@pytest.mark.realdata
def test_the_real_differencing_disk_names_its_parent(unpacked: Give) -> None:
    with FileSource(unpacked("disks/dfvfs/fat-differential.vhd")) as file:
        disk = Vhd(file, Diagnostics())
    assert disk.parent_id.hex() == "5fa21a55f394aa4d99581951a67d5540"
    assert disk.unique_id.hex() == "f84f1636cd9e9041a69edcc2380e416a"
    assert disk.parent_names[-1] == "C:\\Projects\\dfvfs\\test_data\\fat-parent.vhd"
    assert {name.rsplit("\\")[-1] for name in disk.parent_names} == {"fat-parent.vhd"}


@pytest.mark.realdata
def test_a_real_footer_with_a_wrong_checksum_is_told_and_believed(unpacked: Give) -> None:
    with FileSource(unpacked("disks/dfvfs/image.vhd")) as file:
        said = Diagnostics()
        disk = Vhd(file, said)
        assert [item.code for item in said.items] == ["vhd.checksum"]
        assert sha256(disk).startswith("c6db12a7db548e19")


@pytest.mark.realdata
@pytest.mark.peer("vhdiinfo")
def test_libvhdi_agrees_on_size_and_kind(unpacked: Give) -> None:
    assert shutil.which("vhdiinfo")
    path = unpacked("disks/hyperv2012r2-dynamic.vhd")
    text = subprocess.run(["vhdiinfo", path], capture_output=True, text=True, check=True).stdout
    assert "136365211648" in text.replace(".", "").replace(",", "") or "(136365211648 bytes)" in text
    assert "Dynamic" in text
