"""One disk in every container reads the same; what is no disk, has no parent, or is cut says so."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.disk import container as module
from forensics.disk.container import Container, open_container
from parsers.diagnostics import Diagnostics
from parsers.errors import (
    FormatError,
    InputNotFoundError,
    MissingParentError,
    NotADiskError,
    OpenError,
    ReadError,
    StopcodeError,
    UnsupportedError,
)
from tests.forensics.disk.images import converted, partitioned, qemu_img, vdi
from tests.parsers.disk import vhd_writer, vhdx_writer

Give = Callable[[str], Path]
DISK = partitioned()

#: Name, kind, qemu-img's name of the format, options.
FORMATS = [
    ("fixed.vhd", "VHD", "vpc", "-o", "subformat=fixed,force_size=on"),
    ("dynamic.vhd", "VHD", "vpc", "-o", "subformat=dynamic,force_size=on"),
    ("fixed.vhdx", "VHDX", "vhdx", "-o", "subformat=fixed"),
    ("dynamic.vhdx", "VHDX", "vhdx", "-o", "block_size=1048576"),
    ("sparse.vmdk", "VMDK", "vmdk"),
    ("flat.vmdk", "VMDK", "vmdk", "-o", "subformat=monolithicFlat"),
    ("split.vmdk", "VMDK", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"),
    ("splitflat.vmdk", "VMDK", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"),
    ("stream.vmdk", "VMDK", "vmdk", "-o", "subformat=streamOptimized"),
    ("plain.qcow2", "QCOW2", "qcow2"),
    ("old.qcow2", "QCOW2", "qcow2", "-o", "compat=0.10,cluster_size=4096"),
    ("packed.qcow2", "QCOW2", "qcow2", "-c"),
    ("plain.vdi", "VDI", "vdi"),
    ("static.vdi", "VDI", "vdi", "-o", "static=on"),
]


def opened(path: Path) -> tuple[Container, set[str]]:
    said = Diagnostics()
    disk = open_container(path, said)
    return disk, {item.code for item in said.items}


def whole(disk: Container, piece: int = 0x54321) -> bytes:
    return b"".join(disk.source.read_at(at, piece) for at in range(0, disk.size, piece))


def read_or_refused(path: Path, data: bytes) -> tuple[float, set[str]]:
    """Read sectors of a damaged image all over it: each is right or an error.

    Returns:
        The share of it that was read, and what was said. An image that is refused gives (0, {"refused"}).

    """
    try:
        disk, said = opened(path)
    except StopcodeError:
        return 0, {"refused"}
    there, places = 0, range(0, disk.size, 512 * 5)
    with disk:
        for at in places:
            try:
                piece = disk.source.read_at(at, 512)
            except ReadError:
                continue
            assert piece == data[at : at + 512][: len(piece)], hex(at)
            assert len(piece) == min(512, disk.size - at)
            there += 1
    return there / len(range(0, len(data), 512 * 5)), said


# -- every container ------------------------------------------------------------------------------------------------


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(("name", "kind", "format", "options"), [(f[0], f[1], f[2], f[3:]) for f in FORMATS])
def test_the_same_disk_in_every_container_reads_the_same(
    tmp_path: Path, name: str, kind: str, format: str, options: tuple[str, ...]
) -> None:
    path = converted(tmp_path, DISK, name, format, *options)
    disk, said = opened(path)
    with disk:
        assert (disk.kind, disk.size, disk.sector_size, said) == (kind, len(DISK), 512, set())
        assert whole(disk) == DISK
        draw = random.Random(name)
        for _ in range(100):
            at, length = draw.randrange(len(DISK)), draw.choice([1, 512, 4096, 70_000])
            assert disk.source.read_at(at, length) == DISK[at : at + length]
        assert disk.bytes_read == sum(file.bytes_read for file in disk.files) > 0
        assert disk.requests > 0


@pytest.mark.parametrize("name", ["disk.raw", "disk.img", "disk", "disk.vhdx.bak"])
def test_a_raw_disk_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DISK)
    disk, said = opened(tmp_path / name)
    with disk:
        assert (disk.kind, disk.size, said, disk.details) == ("raw", len(DISK), set(), {})
        assert whole(disk) == DISK


@pytest.mark.peer("qemu-img")
def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    path = converted(tmp_path, DISK, "disk.vhdx", "vhdx")
    path.rename(tmp_path / "disk.vmdk")
    assert opened(tmp_path / "disk.vmdk")[0].kind == "VHDX"


def test_a_split_raw_disk_is_joined(tmp_path: Path) -> None:
    for index, at in enumerate(range(0, len(DISK), 1_000_000), 1):
        (tmp_path / f"disk.{index:03d}").write_bytes(DISK[at : at + 1_000_000])
    disk, said = opened(tmp_path / "disk.001")
    with disk:
        assert (whole(disk), said, disk.details) == (DISK, set(), {"parts": 7})
    (tmp_path / "disk.005").unlink()
    disk, said = opened(tmp_path / "disk.001")
    with disk:
        assert (whole(disk), said) == (DISK[:4_000_000], {"container.truncated"})


def test_a_gpt_for_4096_byte_sectors_gives_the_sector_size(tmp_path: Path) -> None:
    data = bytearray(DISK)
    data[512:5120] = bytes(4608)
    data[450] = 0xEE
    gpt = bytearray(512)
    gpt[0:8] = b"EFI PART"
    gpt[0x20:0x28] = (len(DISK) // 4096).to_bytes(8, "little")
    data[4096:4608] = gpt
    (tmp_path / "d.img").write_bytes(data)
    disk, said = opened(tmp_path / "d.img")
    # The table's copy would be in sector 1500, of which the disk has but a part.
    assert (disk.sector_size, said) == (4096, {"container.truncated"})
    (tmp_path / "d.vhdx").write_bytes(vhdx_writer.vhdx(DISK[: 8 * 4096], sector=4096).file())
    assert opened(tmp_path / "d.vhdx")[0].sector_size == 4096


def test_an_mbr_for_4096_byte_sectors_gives_the_sector_size(tmp_path: Path) -> None:
    data = bytearray(8 << 20)
    entry = bytes([0, 0, 0, 0, 7, 0, 0, 0]) + (256).to_bytes(4, "little") + (1792).to_bytes(4, "little")
    data[446:462] = entry
    data[510:512] = b"\x55\xaa"
    data[256 * 4096 + 3 : 256 * 4096 + 11] = b"NTFS    "
    (tmp_path / "d.img").write_bytes(data)
    disk, said = opened(tmp_path / "d.img")
    assert (disk.sector_size, said) == (4096, set())
    data[256 * 512 + 3 : 256 * 512 + 11] = b"NTFS    "
    (tmp_path / "d.img").write_bytes(data)
    assert opened(tmp_path / "d.img")[0].sector_size == 512


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "kind", "digest"),
    [
        ("plaso/image.qcow2", "QCOW2", "a9c0220b1dadd1812fc4bbe137f495d2c3b88c7b33b5a4de545d201fd31b3bc0"),
        ("plaso/image.vmdk", "VMDK", "854c3db1c4a07a241e2ed9fbd8892adf2adc662c7862a75deed26f3483f414c9"),
        ("plaso/image.vhd", "VHD", "c6db12a7db548e193c29420c1b4533e4708b20c5033db5cc29ef075d48316d25"),
        ("plaso/image.E01", "E01", "a9c0220b1dadd181"),
        ("dfvfs/ext2.vmdk", "VMDK", "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80"),
        ("dfvfs/ext2.qcow2", "QCOW2", "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80"),
        ("dfvfs/windows_volume.qcow2", "QCOW2", "44abe9deca9658f331a2bdba2deb53192d04f35d157a1fb3ba0597b03f0524f2"),
        ("tiny-ntfs.dd", "raw", "cf7a3993f2a0c20536c00c7635fefd0c0698f460f375f4ed5265cca31f565eb2"),
    ],
)
def test_real_images_give_the_bytes_that_other_readers_give(unpacked: Give, name: str, kind: str, digest: str) -> None:
    disk, said = opened(unpacked(f"disks/{name}"))
    with disk:
        assert (disk.kind, said) == (kind, set())
        assert hashlib.sha256(whole(disk)).hexdigest().startswith(digest)


@pytest.mark.realdata
@pytest.mark.parametrize("first", ["image-split.E01", "image-split.E02"])
def test_the_segments_of_a_real_e01_are_found_from_any_of_them(unpacked: Give, tmp_path: Path, first: str) -> None:
    for name in ("image-split.E01", "image-split.E02"):
        shutil.copy(unpacked(f"disks/plaso/{name}"), tmp_path / name)
    disk, said = opened(tmp_path / first)
    with disk:
        assert (disk.kind, disk.size, disk.details, said) == ("E01", 1_474_560, {"segments": 2}, set())
        assert hashlib.sha256(whole(disk)).hexdigest().startswith("694da90e9fc6858c")


@pytest.mark.realdata
def test_a_real_stream_optimised_disk_of_16_gib_opens_with_few_reads(unpacked: Give) -> None:
    disk, said = opened(unpacked("disks/iotest-version3.vmdk"))
    with disk:
        assert (disk.size, disk.details["subtype"], said) == (16 << 30, "streamOptimized", set())
        assert disk.source.read_at(0, 2)
        assert disk.bytes_read < 300_000


# -- what is no disk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says", "hint"),
    [
        (b"", "empty", "download"),
        (b"PAGEDU64" + bytes(9000), "crash dump", "stopcode dump"),
        (b"PAGEDUMP" + bytes(9000), "crash dump", "stopcode dump"),
        (b"regf" + bytes(9000), "registry hive", "folder"),
        (b"ElfFile\0" + bytes(9000), "event log", "folder"),
        (b"PK\x03\x04" + bytes(9000), "zip", "stopcode scan"),
        (b"\x1f\x8b\x08" + bytes(9000), "gzip", "unpack"),
        (bytes(0x8001) + b"CD001" + bytes(99), "ISO", "disk"),
        (b"hello, world\n" * 99, "text", ""),
        (bytes(90_000), "zeros", ""),
        (bytes(range(256)) * 99, "not a disk image", ""),
    ],
)
def test_what_is_no_disk_says_what_it_is(tmp_path: Path, content: bytes, says: str, hint: str) -> None:
    (tmp_path / "thing").write_bytes(content)
    with pytest.raises(NotADiskError, match=says) as caught:
        opened(tmp_path / "thing")
    assert hint in caught.value.hint
    assert "thing" in caught.value.message


def test_a_dump_or_text_that_holds_boot_sectors_is_still_no_disk(tmp_path: Path) -> None:
    boot = b"\xebR\x90NTFS    ".ljust(510, b"\0") + b"\x55\xaa"
    (tmp_path / "d").write_bytes(b"PAGEDU64" + bytes(8184) + boot)
    with pytest.raises(NotADiskError, match="crash dump"):
        opened(tmp_path / "d")
    (tmp_path / "d").write_bytes(b"x" * 0x36 + b"FAT" * 999)
    with pytest.raises(NotADiskError, match="text"):
        opened(tmp_path / "d")
    (tmp_path / "d").write_bytes(b"?" * 0x438 + b"\x53\xef" + b"?" * 999)
    with pytest.raises(NotADiskError):
        opened(tmp_path / "d")


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (3, b"NTFS    "),
        (3, b"-FVE-FS-"),
        (510, b"\x55\xaa"),
        (512, b"EFI PART"),
        (0x418, b"\2".ljust(32, b"\0") + b"\x53\xef"),
        (9_216, b"EFI PART"),
        (8_704, b"\xebR\x90NTFS    "),
    ],
)
def test_disks_and_volumes_are_known_by_what_they_begin_or_end_with(tmp_path: Path, at: int, content: bytes) -> None:
    data = bytearray(9_728)
    data[at : at + len(content)] = content
    (tmp_path / "d").write_bytes(data)
    assert opened(tmp_path / "d")[0].kind == "raw"


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"LUKS\xba\xbe\0\1", "LUKS"), (b"EVF2\r\n\x81\0", "Ex01"), (b"WithoutFreeSpace", "Parallels")],
)
def test_disks_of_kinds_that_are_not_read_say_so(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "d").write_bytes(content + bytes(9000))
    with pytest.raises(UnsupportedError, match=says) as caught:
        opened(tmp_path / "d")
    assert caught.value.hint


def test_a_file_named_like_a_container_that_holds_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "d.vhdx").write_bytes(bytes(range(256)) * 99)
    with pytest.raises(NotADiskError, match="named like a VHDX"):
        opened(tmp_path / "d.vhdx")


def test_no_file_a_folder_and_a_pipe_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file"):
        opened(tmp_path / "gone.vhd")
    with pytest.raises(NotADiskError, match="folder"):
        opened(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotADiskError, match="not a file"):
        opened(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("forensics.disk.opening.FileSource", refuse)
    (tmp_path / "d.raw").write_bytes(DISK)
    with pytest.raises(OpenError, match="cannot be opened: Permission denied"):
        opened(tmp_path / "d.raw")


# -- chains ---------------------------------------------------------------------------------------------------------


def laid(below: bytes, above: bytes, own: Callable[[int], bool]) -> bytes:
    return b"".join((above if own(s) else below)[s * 512 : s * 512 + 512] for s in range(len(above) // 512))


def third(sector: int) -> bool:
    return bool(sector % 3)


def test_a_vhd_finds_its_parents_beside_it_by_name_and_identity(tmp_path: Path) -> None:
    above = partitioned(tag=5)
    (tmp_path / "Base.VHD").write_bytes(vhd_writer.sparse(DISK, unique_id=b"A" * 16))
    child = vhd_writer.sparse(above, own=third, parent_id=b"A" * 16, parent_name="D:\\vm\\base.vhd")
    (tmp_path / "child.vhd").write_bytes(child)
    disk, said = opened(tmp_path / "child.vhd")
    with disk:
        assert (whole(disk), said) == (laid(DISK, above, third), set())
        assert disk.details["parents"] == [{"path": "Base.VHD", "kind": "VHD"}]
        assert disk.details["subtype"] == "differencing"
        assert len(disk.files) == 3  # the parent is looked at once and then opened
        assert all(file.bytes_read for file in disk.files)


def test_a_vhdx_chain_of_three_finds_renamed_parents_by_their_identity(tmp_path: Path) -> None:
    base, middle = uuid.UUID(int=100), uuid.UUID(int=101)
    size = len(DISK)
    one, two = partitioned(tag=1), partitioned(tag=2)
    (tmp_path / "0.vhdx").write_bytes(vhdx_writer.vhdx(DISK, data_write=base).file())
    link = vhdx_writer.linkage(base, "base.vhdx")
    (tmp_path / "1.avhdx").write_bytes(vhdx_writer.vhdx(one, own=third, parent=link, data_write=middle).file())
    link = vhdx_writer.linkage(middle, "middle.avhdx")
    young = vhdx_writer.vhdx(two, own=lambda s: s % 5 == 0, parent=link, data_write=uuid.UUID(int=102))
    (tmp_path / "2.avhdx").write_bytes(young.file())
    disk, said = opened(tmp_path / "2.avhdx")
    with disk:
        assert (disk.size, said) == (size, {"container.parent-renamed"})
        assert whole(disk) == laid(laid(DISK, one, third), two, lambda s: s % 5 == 0)
        assert [parent["path"] for parent in disk.details["parents"]] == ["1.avhdx", "0.vhdx"]


def test_a_parent_that_is_missing_is_named_with_the_place_where_it_was_looked_for(tmp_path: Path) -> None:
    link = vhdx_writer.linkage(uuid.UUID(int=100), "base.vhdx")
    (tmp_path / "c.avhdx").write_bytes(vhdx_writer.vhdx(DISK, own=third, parent=link).file())
    with pytest.raises(MissingParentError, match=r"base\.vhdx") as caught:
        opened(tmp_path / "c.avhdx")
    assert str(tmp_path) in caught.value.message
    assert str(uuid.UUID(int=100)) in caught.value.message


def test_a_parent_that_was_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.vhdx").write_bytes(vhdx_writer.vhdx(DISK, data_write=uuid.UUID(int=200)).file())
    link = vhdx_writer.linkage(uuid.UUID(int=100), "base.vhdx")
    (tmp_path / "c.avhdx").write_bytes(vhdx_writer.vhdx(DISK, own=third, parent=link).file())
    with pytest.raises(MissingParentError, match=r"base.vhdx is not the disk that c.avhdx was made from"):
        opened(tmp_path / "c.avhdx")
    (tmp_path / "base.vhd").write_bytes(vhd_writer.sparse(DISK, unique_id=b"B" * 16))
    child = vhd_writer.sparse(DISK, own=third, parent_id=b"A" * 16, parent_name="base.vhd")
    (tmp_path / "c.vhd").write_bytes(child)
    with pytest.raises(MissingParentError, match=r"base.vhd is not the disk that c.vhd was made from"):
        opened(tmp_path / "c.vhd")


def test_a_second_linkage_names_the_parent_as_well_as_the_first(tmp_path: Path) -> None:
    wrong, right = uuid.UUID(int=8), uuid.UUID(int=9)
    (tmp_path / "base.vhdx").write_bytes(vhdx_writer.vhdx(DISK, data_write=right).file())
    pairs = vhdx_writer.linkage(wrong, "base.vhdx")
    child = vhdx_writer.vhdx(DISK, absent=range(6), own=lambda _sector: True, parent=pairs)
    (tmp_path / "child.avhdx").write_bytes(child.file())
    with pytest.raises(MissingParentError, match=r"base\.vhdx"):
        opened(tmp_path / "child.avhdx")
    pairs["parent_linkage2"] = f"{{{right}}}"
    child = vhdx_writer.vhdx(DISK, absent=range(6), own=lambda _sector: True, parent=pairs)
    (tmp_path / "child.avhdx").write_bytes(child.file())
    disk, _ = opened(tmp_path / "child.avhdx")
    with disk:
        assert whole(disk) == DISK


def test_a_disk_that_is_its_own_parent_is_refused(tmp_path: Path) -> None:
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    first = vhdx_writer.vhdx(DISK, own=third, parent=vhdx_writer.linkage(two, "b.vhdx"), data_write=one)
    second = vhdx_writer.vhdx(DISK, own=third, parent=vhdx_writer.linkage(one, "a.vhdx"), data_write=two)
    (tmp_path / "a.vhdx").write_bytes(first.file())
    (tmp_path / "b.vhdx").write_bytes(second.file())
    with pytest.raises(FormatError, match="its own parent"):
        opened(tmp_path / "a.vhdx")


def test_a_chain_longer_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.opening.MAX_DISK_CHAIN", 1)
    (tmp_path / "a.vhd").write_bytes(vhd_writer.sparse(DISK, unique_id=b"A" * 16))
    (tmp_path / "b.vhd").write_bytes(vhd_writer.sparse(DISK, own=third, parent_id=b"A" * 16, parent_name="a.vhd"))
    assert opened(tmp_path / "a.vhd")[1] == set()
    with pytest.raises(FormatError, match="too many parents"):
        opened(tmp_path / "b.vhd")


def test_only_so_many_neighbours_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.parents.MAX_PARENT_CANDIDATES", 2)
    for name in ("a.vhd", "b.vhd"):
        (tmp_path / name).write_bytes(vhd_writer.fixed(bytes(512)))
    (tmp_path / "z.vhd").write_bytes(vhd_writer.sparse(DISK, unique_id=b"A" * 16))
    (tmp_path / "child.vhd").write_bytes(
        vhd_writer.sparse(DISK, own=third, parent_id=b"A" * 16, parent_name="gone.vhd")
    )
    with pytest.raises(MissingParentError):
        opened(tmp_path / "child.vhd")
    (tmp_path / "b.vhd").unlink()
    assert opened(tmp_path / "child.vhd")[1] == {"container.parent-renamed"}


@pytest.mark.realdata
def test_the_real_differencing_vhd_without_its_parent_names_it(unpacked: Give) -> None:
    with pytest.raises(MissingParentError, match=r"fat-parent\.vhd"):
        opened(unpacked("disks/dfvfs/fat-differential.vhd"))


@pytest.mark.realdata
def test_the_real_differencing_vhd_with_its_parent_reads_the_parents_bytes(unpacked: Give, tmp_path: Path) -> None:
    for name in ("image.vhd", "image-differential.vhd"):
        shutil.copy(unpacked(f"disks/dfvfs/{name}"), tmp_path / name)
    disk, said = opened(tmp_path / "image-differential.vhd")
    with disk:
        assert said == {"vhd.checksum"}
        assert hashlib.sha256(whole(disk)).hexdigest().startswith("c6db12a7db548e19")


@pytest.mark.peer("qemu-img")
def test_what_an_image_calls_its_parent_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(DISK)
    folder = tmp_path / "images"
    folder.mkdir()
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", folder / "a.qcow2")
    with pytest.raises(MissingParentError, match=r"secret\.raw"):
        opened(folder / "a.qcow2")
    qemu_img("rebase", "-u", "-b", "../secret.raw", "-F", "raw", folder / "a.qcow2")
    with pytest.raises(MissingParentError, match=r"secret\.raw"):
        opened(folder / "a.qcow2")
    link = vhdx_writer.linkage(uuid.UUID(int=7), "..\\secret.raw")
    (folder / "c.avhdx").write_bytes(vhdx_writer.vhdx(DISK, own=third, parent=link, data_write=uuid.UUID(int=9)).file())
    with pytest.raises(MissingParentError, match=r"secret\.raw"):
        opened(folder / "c.avhdx")


def test_a_parent_with_a_name_that_no_file_can_have_is_missing(tmp_path: Path) -> None:
    link = vhdx_writer.linkage(uuid.UUID(int=100), "n" * 5000 + ".vhdx")
    (tmp_path / "c.avhdx").write_bytes(vhdx_writer.vhdx(DISK, own=third, parent=link).file())
    with pytest.raises(MissingParentError):
        opened(tmp_path / "c.avhdx")
    with pytest.raises(OpenError):
        opened(tmp_path / ("n" * 5000))


# -- nothing is written ---------------------------------------------------------------------------------------------


@pytest.mark.peer("qemu-img")
def test_images_and_their_folder_stay_as_they_were(tmp_path: Path) -> None:
    for name, _, format, *options in FORMATS:
        converted(tmp_path, DISK, name, format, *options)
    before = {p.name: (hashlib.sha256(p.read_bytes()).digest(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    tmp_path.chmod(0o555)
    try:
        for name, *_ in FORMATS:
            with opened(tmp_path / name)[0] as disk:
                whole(disk)
    finally:
        tmp_path.chmod(0o755)
    after = {p.name: (hashlib.sha256(p.read_bytes()).digest(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    assert after == before


def test_closing_closes_every_file_also_when_opening_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[module.Opening] = []

    class Watched(module.Opening):
        def __init__(self, diagnostics: Diagnostics, *words: Any, **more: Any) -> None:
            super().__init__(diagnostics, *words, **more)
            made.append(self)

    monkeypatch.setattr(module, "Opening", Watched)
    (tmp_path / "d.raw").write_bytes(DISK)
    opened(tmp_path / "d.raw")[0].close()
    (tmp_path / "c.vhd").write_bytes(vhd_writer.sparse(DISK, own=third, parent_name="gone.vhd"))
    with pytest.raises(MissingParentError):
        opened(tmp_path / "c.vhd")
    assert [file._file.closed for opening in made for file in opening.files] == [True, True]


# -- cuts -----------------------------------------------------------------------------------------------------------


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(("name", "format", "options"), [(f[0], f[2], f[3:]) for f in FORMATS])
@pytest.mark.parametrize("kept", [0.4, 0.98])
def test_a_cut_image_gives_right_bytes_or_an_error_and_is_told(
    tmp_path: Path, name: str, format: str, options: tuple[str, ...], kept: float
) -> None:
    path = converted(tmp_path, DISK, name, format, *options)
    # Of an image in several files the data file is cut.
    largest = max(tmp_path.iterdir(), key=lambda entry: entry.stat().st_size)
    os.truncate(largest, int(largest.stat().st_size * kept))
    there, said = read_or_refused(path, DISK)
    assert there == 1 or said & {"container.truncated", "refused"}
    # A packed QCOW2 has its only table at its end.
    assert there > 0 or kept < 0.5 or "refused" in said or name == "packed.qcow2"


def test_a_fixed_vhd_without_its_footer_is_a_raw_disk_that_was_cut(tmp_path: Path) -> None:
    (tmp_path / "d.vhd").write_bytes(DISK[:3_000_000])
    disk, said = opened(tmp_path / "d.vhd")
    assert (disk.kind, said) == ("raw", {"vhd.no-footer", "container.truncated"})
    (tmp_path / "d.vhd").write_bytes(DISK)
    assert opened(tmp_path / "d.vhd")[1] == {"vhd.no-footer"}


@pytest.mark.realdata
def test_a_cut_ntfs_volume_is_told_by_its_boot_sector(unpacked: Give, tmp_path: Path) -> None:
    data = unpacked("disks/tiny-ntfs.dd").read_bytes()
    (tmp_path / "v.dd").write_bytes(data[:-4096])
    assert opened(tmp_path / "v.dd")[1] == {"container.truncated"}
    (tmp_path / "v.dd").write_bytes(data)
    assert opened(tmp_path / "v.dd")[1] == set()


def test_a_shuffled_vdi_reads_right_over_block_ends(tmp_path: Path) -> None:
    count = -(-len(DISK) // 0x10000)
    order = list(range(count))
    random.Random(5).shuffle(order)
    (tmp_path / "d.vdi").write_bytes(vdi(DISK, order=order))
    disk, said = opened(tmp_path / "d.vdi")
    with disk:
        assert (said, disk.details) == (set(), {"subtype": "dynamic", "block_size": 0x10000})
        assert disk.source.read_at(0, len(DISK)) == DISK
        assert disk.source.read_at(0x8000, 0x30000) == DISK[0x8000:0x38000]
