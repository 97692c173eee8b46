"""VMDK, QCOW2, VDI and E01: their parts and parents, what dissect reads wrong, and hostile ones."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk.container import Container, open_container
from forensics.disk.ewf import segment_suffix
from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import (
    FormatError,
    MissingParentError,
    ReadError,
    StopcodeError,
    TruncatedError,
    UnsupportedError,
)
from tests.forensics.disk.images import converted, partitioned, qemu_img, vdi

Give = Callable[[str], Path]
DISK = partitioned()


def opened(path: Path) -> tuple[Container, set[str]]:
    said = Diagnostics()
    disk = open_container(path, said)
    return disk, {item.code for item in said.items}


def whole(path: Path) -> bytes:
    disk, _ = opened(path)
    with disk:
        return b"".join(disk.source.read_at(at, 0x43210) for at in range(0, disk.size, 0x43210))


# -- the guard ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [IndexError("x"), struct.error("x"), ValueError("x"), AttributeError("x"), EOFError()]
)
def test_whatever_a_reader_raises_becomes_an_error_of_ours(error: Exception) -> None:
    def read(offset: int, length: int) -> bytes:
        raise error

    with pytest.raises(ReadError, match="TEST: the disk cannot be read at 0x5"):
        ForeignSource(read, 100, format="TEST").read_at(5, 5)
    with pytest.raises(TruncatedError if isinstance(error, EOFError) else FormatError), as_ours("TEST"):
        raise error


def test_what_a_reader_does_not_do_is_unsupported_and_our_own_errors_stay() -> None:
    with pytest.raises(UnsupportedError), as_ours("TEST"):
        raise NotImplementedError("encrypted")
    with pytest.raises(MissingParentError), as_ours("TEST"):
        raise MissingParentError("p")


def test_a_reader_that_gives_fewer_bytes_is_an_error() -> None:
    with pytest.raises(ReadError, match="3 of 5 bytes"):
        ForeignSource(lambda offset, length: b"abc", 100, format="TEST").read_at(5, 5)


def test_reads_are_cut_where_a_reader_is_wrong_across() -> None:
    asked: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return bytes(length)

    assert ForeignSource(read, 100, format="TEST", cut=16).read_at(10, 200) == bytes(90)
    assert asked[0] == (10, 6)
    assert all(offset % 16 == 0 for offset, _ in asked[1:])
    assert sum(length for _, length in asked) == 90


def test_a_file_for_readers_is_exact_when_it_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    file = SourceFile(BytesSource(b"abcdef"), spare=2)
    file.seek(4)
    assert (file.read(5), file.tell()) == (b"ef", 6)
    file.strict = True
    assert (file.seek(-2, 2), file.read(4)) == (4, b"ef")
    file.seek(4)
    with pytest.raises(ReadError, match="beyond the end"):
        file.read(5)
    assert file.seek(1, 1) == 5
    for length in (-1, None):
        with pytest.raises(ReadError):
            file.read(length)
    with pytest.raises(ReadError, match="seek"):
        file.seek(-9, 1)
    monkeypatch.setattr("forensics.disk.foreign.MAX_FOREIGN_READ", 3)
    file.seek(0)
    assert file.read(3) == b"abc"
    with pytest.raises(ReadError, match="a read of 4 bytes"):
        file.read(4)


# -- VMDK -----------------------------------------------------------------------------------------------------------


def descriptor(*extents: str, attributes: str = "") -> str:
    lines = ["# Disk DescriptorFile", "version=1", "CID=11112222", "parentCID=ffffffff", 'createType="custom"']
    return "\n".join([*lines, attributes, "# Extent description", *extents, ""])


def test_extents_of_every_kind_lie_where_the_descriptor_says(tmp_path: Path) -> None:
    (tmp_path / "flat.bin").write_bytes(b"junk" * 256 + DISK[: 100 * 512])
    (tmp_path / "rest.bin").write_bytes(DISK[300 * 512 :])
    rest = len(DISK) // 512 - 300
    (tmp_path / "d.vmdk").write_text(
        descriptor('RW 100 FLAT "flat.bin" 2', "RW 200 ZERO", f'RW {rest} FLAT "rest.bin" 0')
    )
    assert opened(tmp_path / "d.vmdk")[1] == set()
    assert whole(tmp_path / "d.vmdk") == DISK[: 100 * 512] + bytes(200 * 512) + DISK[300 * 512 :]


def test_a_missing_extent_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.vmdk").write_text(descriptor('RW 100 FLAT "C:\\vm\\gone-flat.vmdk" 0'))
    with pytest.raises(MissingParentError, match=r"gone-flat\.vmdk, which is not in"):
        opened(tmp_path / "d.vmdk")
    (tmp_path / "d.vmdk").write_text(descriptor('RW 100 FLAT "../../etc/passwd" 0'))
    with pytest.raises(MissingParentError, match="passwd"):
        opened(tmp_path / "d.vmdk")
    (tmp_path / "d.vmdk").write_text(descriptor('RW 100 FLAT "d.vmdk" 0'))
    with pytest.raises(MissingParentError):
        opened(tmp_path / "d.vmdk")


def test_devices_of_the_host_no_extents_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.vmdk").write_text(descriptor('RW 100 VMFSRDM "x.vmdk"'))
    with pytest.raises(UnsupportedError, match="VMFSRDM"):
        opened(tmp_path / "d.vmdk")
    (tmp_path / "d.vmdk").write_text(descriptor())
    with pytest.raises(FormatError, match="no extents"):
        opened(tmp_path / "d.vmdk")
    monkeypatch.setattr("forensics.disk.vmdk.MAX_DISK_PARTS", 2)
    (tmp_path / "d.vmdk").write_text(descriptor(*["RW 1 ZERO"] * 3))
    with pytest.raises(FormatError, match="too many extents"):
        opened(tmp_path / "d.vmdk")


def test_a_cut_flat_extent_is_told_and_what_follows_stays_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(DISK[: 80 * 512])
    (tmp_path / "b.bin").write_bytes(DISK[100 * 512 :])
    rest = len(DISK) // 512 - 100
    (tmp_path / "d.vmdk").write_text(descriptor('RW 100 FLAT "a.bin" 0', f'RW {rest} FLAT "b.bin" 0'))
    disk, said = opened(tmp_path / "d.vmdk")
    with disk:
        assert said == {"container.truncated"}
        assert disk.source.read_at(100 * 512, 9000) == DISK[100 * 512 :][:9000]
        with pytest.raises(ReadError):
            disk.source.read_at(79 * 512, 1024)


@pytest.mark.peer("qemu-img")
def test_a_snapshot_reads_through_to_its_parent_and_refuses_another(tmp_path: Path) -> None:
    converted(tmp_path, DISK, "base.vmdk", "vmdk")
    qemu_img("create", "-f", "vmdk", "-b", tmp_path / "base.vmdk", "-F", "vmdk", tmp_path / "snap.vmdk")
    disk, said = opened(tmp_path / "snap.vmdk")
    assert said == set()
    assert disk.details["parents"] == [{"path": "base.vmdk", "kind": "VMDK"}]
    disk.close()
    assert whole(tmp_path / "snap.vmdk") == DISK
    converted(tmp_path, DISK, "base.vmdk", "vmdk")
    with pytest.raises(MissingParentError, match=r"base\.vmdk is not the disk that snap\.vmdk was made from"):
        opened(tmp_path / "snap.vmdk")
    (tmp_path / "base.vmdk").unlink()
    with pytest.raises(MissingParentError, match=r"its parent base\.vmdk is not in"):
        opened(tmp_path / "snap.vmdk")


@pytest.mark.peer("qemu-img")
def test_a_sparse_extent_smaller_than_its_descriptor_says_is_refused(tmp_path: Path) -> None:
    path = converted(tmp_path, DISK, "d.vmdk", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    path.write_text(path.read_text().replace("RW 12003 ", "RW 12004 "))
    with pytest.raises(FormatError, match="smaller than the descriptor says"):
        opened(path)


@pytest.mark.peer("qemu-img")
def test_an_extent_alone_is_read_and_told(tmp_path: Path) -> None:
    converted(tmp_path, DISK, "d.vmdk", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    (tmp_path / "d.vmdk").unlink()
    assert opened(tmp_path / "d-s001.vmdk")[1] == {"vmdk.no-descriptor"}
    assert whole(tmp_path / "d-s001.vmdk") == DISK


@pytest.mark.realdata
def test_the_hostile_vmdk_is_refused_without_reading_much(unpacked: Give) -> None:
    with pytest.raises(FormatError, match="too large for the file"):
        opened(unpacked("disks/afl9.vmdk"))


# -- QCOW2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("compat", ["0.10", "1.1"])
@pytest.mark.parametrize("backing", ["raw", "qcow2", "vdi"])
def test_a_backing_file_of_any_kind_is_read_through(tmp_path: Path, compat: str, backing: str) -> None:
    converted(tmp_path, DISK, f"base.{backing}", backing)
    options = ["-o", f"compat={compat}", "-b", f"base.{backing}", "-F", backing]
    qemu_img("create", "-f", "qcow2", *options, tmp_path / "top.qcow2", 2 * len(DISK))
    disk, said = opened(tmp_path / "top.qcow2")
    with disk:
        kind = {"raw": "raw", "qcow2": "QCOW2", "vdi": "VDI"}[backing]
        assert (disk.details["parents"], said) == ([{"path": f"base.{backing}", "kind": kind}], set())
    # Behind the end of the shorter backing file are zeros.
    assert whole(tmp_path / "top.qcow2") == DISK + bytes(len(DISK))


@pytest.mark.peer("qemu-img")
def test_a_raw_backing_file_whose_guest_wrote_a_header_into_it_stays_raw(tmp_path: Path) -> None:
    hostile = converted(tmp_path, b"secret".ljust(1 << 20), "inner.qcow2", "qcow2").read_bytes()
    (tmp_path / "base.raw").write_bytes(hostile.ljust(len(hostile) + -len(hostile) % 512, b"\0"))
    qemu_img("create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", tmp_path / "top.qcow2")
    assert whole(tmp_path / "top.qcow2") == (tmp_path / "base.raw").read_bytes()


@pytest.mark.peer("qemu-img")
def test_clusters_packed_with_zstd_read_as_qemu_wrote_them(tmp_path: Path) -> None:
    path = converted(tmp_path, DISK, "d.qcow2", "qcow2", "-c", "-o", "compression_type=zstd")
    assert path.read_bytes()[0x68] == 1
    assert whole(path) == DISK
    unknown = bytearray(path.read_bytes())
    unknown[0x68] = 2
    path.write_bytes(unknown)
    with pytest.raises(UnsupportedError, match="compressed"):
        opened(path)


@pytest.mark.peer("qemu-img")
def test_an_external_data_file_is_found_beside_the_image(tmp_path: Path) -> None:
    path = converted(tmp_path, DISK, "top.qcow2", "qcow2", "-o", f"data_file={tmp_path / 'data.bin'}")
    assert whole(path) == DISK
    (tmp_path / "data.bin").unlink()
    with pytest.raises(MissingParentError, match=r"data\.bin"):
        opened(path)


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("-o", "extended_l2=on,cluster_size=128k"), "features"),
    ],
)
def test_kinds_that_would_be_read_wrong_are_refused_with_a_way_out(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    path = converted(tmp_path, DISK, "d.qcow2", "qcow2", *options)
    with pytest.raises(UnsupportedError, match=says) as caught:
        opened(path)
    assert "qemu-img convert" in caught.value.hint


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (4, b"\0\0\0\4", "version 4"),
        (0x14, b"\0\0\0\x16", "cluster size"),
        (0x20, b"\0\0\0\2", "encrypted"),
        (0x24, b"\xff\xff\xff\xff", "cluster table"),
    ],
)
def test_an_impossible_header_is_refused(tmp_path: Path, at: int, value: bytes, says: str) -> None:
    path = converted(tmp_path, DISK, "d.qcow2", "qcow2")
    data = bytearray(path.read_bytes())
    data[at : at + 4] = value
    path.write_bytes(data)
    with pytest.raises(StopcodeError, match=says):
        opened(path)


# -- VDI ------------------------------------------------------------------------------------------------------------


def test_a_differencing_vdi_finds_its_parent_by_its_id(tmp_path: Path) -> None:
    count = -(-len(DISK) // 0x10000)
    above = partitioned(tag=3)
    mine = sorted(random.Random(1).sample(range(count), count // 2))
    (tmp_path / "some name.vdi").write_bytes(vdi(DISK, unique=77, modified=88))
    (tmp_path / "other.vdi").write_bytes(vdi(DISK, unique=78))
    (tmp_path / "child.vdi").write_bytes(vdi(above, order=mine, parent=(77, 88)))
    expected = b"".join((above if n in mine else DISK)[n * 0x10000 :][:0x10000] for n in range(count))
    assert whole(tmp_path / "child.vdi") == expected
    (tmp_path / "some name.vdi").write_bytes(vdi(DISK, unique=77, modified=89))
    with pytest.raises(MissingParentError, match=r"some name\.vdi was changed"):
        opened(tmp_path / "child.vdi")
    (tmp_path / "some name.vdi").unlink()
    with pytest.raises(MissingParentError, match="is not in"):
        opened(tmp_path / "child.vdi")


def test_only_so_many_vdis_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.parents.MAX_PARENT_CANDIDATES", 1)
    (tmp_path / "a.vdi").write_bytes(vdi(DISK, unique=78))
    (tmp_path / "b.vdi").write_bytes(vdi(DISK, unique=77))
    (tmp_path / "child.vdi").write_bytes(vdi(DISK, order=[0], parent=(77, 0)))
    with pytest.raises(MissingParentError):
        opened(tmp_path / "child.vdi")


@pytest.mark.parametrize(
    ("at", "value", "says"), [(0x178, 1000, "block size"), (0x180, 1, "block table"), (0x17C, 8, "of a kind")]
)
def test_an_impossible_vdi_is_refused(tmp_path: Path, at: int, value: int, says: str) -> None:
    data = bytearray(vdi(DISK))
    struct.pack_into("<I", data, at, value)
    (tmp_path / "d.vdi").write_bytes(data)
    with pytest.raises(StopcodeError, match=says):
        opened(tmp_path / "d.vdi")


def test_blocks_of_a_vdi_in_one_place_are_told(tmp_path: Path) -> None:
    data = bytearray(vdi(DISK))
    data[0x204:0x208] = data[0x200:0x204]
    (tmp_path / "d.vdi").write_bytes(data)
    assert opened(tmp_path / "d.vdi")[1] == {"container.damaged"}


# -- E01 ------------------------------------------------------------------------------------------------------------


def section(kind: bytes, at: int, body: bytes, *, last: bool = False) -> bytes:
    size = 76 + len(body)
    head = kind.ljust(16, b"\0") + struct.pack("<QQ", at if last else at + size, size) + bytes(40)
    return head + struct.pack("<I", zlib.adler32(head)) + body


def e01(data: bytes, *, segments: int = 1, chunk: int = 0x8000, packed: Callable[[int], bool] = bool) -> list[bytes]:
    """Write an E01. Layout: libyal/libewf, Expert Witness Compression Format."""
    count = -(-len(data) // chunk)
    volume = struct.pack("<IIIIQ", 1, count, chunk // 512, 512, len(data) // 512).ljust(1052, b"\0")
    files = []
    for number in range(segments):
        out = b"EVF\t\r\n\xff\0\x01" + struct.pack("<HH", number + 1, 0)
        if number == 0:
            out += section(b"header", len(out), zlib.compress(b"1\nmain\n"))
            out += section(b"volume", len(out), volume)
        chunks, entries = b"", []
        start = len(out) + 76
        for index in range(count * number // segments, count * (number + 1) // segments):
            body = data[index * chunk : (index + 1) * chunk]
            entries.append((start + len(chunks)) | (0x80000000 if packed(index) else 0))
            chunks += zlib.compress(body) if packed(index) else body + struct.pack("<I", zlib.adler32(body))
        out += section(b"sectors", len(out), chunks)
        table = struct.pack("<IIQII", len(entries), 0, 0, 0, 0) + struct.pack(f"<{len(entries)}I", *entries)
        out += section(b"table", len(out), table)
        out += section(b"done" if number == segments - 1 else b"next", len(out), b"", last=True)
        files.append(out)
    return files


def write_e01(folder: Path, files: list[bytes], name: str = "d.E") -> Path:
    for index, data in enumerate(files, 1):
        (folder / f"{name}{index:02d}").write_bytes(data)
    return folder / f"{name}01"


@pytest.mark.parametrize("segments", [1, 3])
def test_chunks_packed_and_plain_in_any_segment_give_the_disk(tmp_path: Path, segments: int) -> None:
    path = write_e01(tmp_path, e01(DISK, segments=segments, packed=lambda index: index % 3 != 0))
    assert opened(path)[1] == set()
    assert whole(path) == DISK


def test_a_missing_segment_is_named_and_a_wrong_one_refused(tmp_path: Path) -> None:
    path = write_e01(tmp_path, e01(DISK, segments=3))
    second = (tmp_path / "d.E02").read_bytes()
    (tmp_path / "d.E02").unlink()
    with pytest.raises(MissingParentError, match=r"segment 2 of d\.E01 is not in .*d\.E02"):
        opened(path)
    (tmp_path / "d.E02").write_bytes((tmp_path / "d.E03").read_bytes())
    with pytest.raises(FormatError, match="is not segment 2"):
        opened(path)
    (tmp_path / "d.E02").write_bytes(second[: len(second) // 2])
    with pytest.raises(TruncatedError):
        opened(path)


def test_an_e01_under_another_name_is_opened_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "evidence.bin").write_bytes(e01(DISK)[0])
    assert whole(tmp_path / "evidence.bin") == DISK


def test_a_damaged_chunk_is_an_error_and_its_neighbours_are_read(tmp_path: Path) -> None:
    data = bytearray(e01(DISK, packed=lambda index: index % 2 == 0)[0])
    plain = data.find(DISK[0x8000 : 0x8000 + 64])
    data[plain + 100] ^= 1
    path = write_e01(tmp_path, [bytes(data)])
    disk, _ = opened(path)
    with disk:
        with pytest.raises(ReadError, match="checksum"):
            disk.source.read_at(0x8000, 512)
        assert disk.source.read_at(0x10000, 0x8000) == DISK[0x10000:0x18000]


def test_a_chunk_that_unpacks_to_more_or_less_than_its_size_gives_no_byte_more(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(0x8000)
    sound = e01(bytes(0x1BE) + DISK[0x1BE:0x8000] + noise + DISK[0x10000:], packed=lambda _: True)[0]
    long, short = zlib.compress(b"z" * (10 << 20)), zlib.compress(b"z" * 30_000)
    place = zlib.compress(noise)
    for body in (long, short):
        path = write_e01(tmp_path, [sound.replace(place, body.ljust(len(place), b"\0"))])
        disk, _ = opened(path)
        with disk:
            assert disk.source.read_at(0x8000, 20_000) == b"z" * 20_000
            if body is short:
                with pytest.raises(ReadError):
                    disk.source.read_at(0xFF00, 512)
            else:
                assert disk.source.read_at(0xFF00, 512) == b"z" * 256 + DISK[0x10000:0x10100]


def test_sections_that_point_back_or_have_no_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(e01(DISK)[0])
    second = 13 + struct.unpack_from("<Q", data, 13 + 24)[0]
    struct.pack_into("<Q", data, second + 16, 13)
    with pytest.raises(FormatError, match="points back"):
        opened(write_e01(tmp_path, [bytes(data)]))
    monkeypatch.setattr("forensics.disk.ewf._MAX_SECTIONS", 2)
    with pytest.raises(FormatError, match="too many sections"):
        opened(write_e01(tmp_path, e01(DISK)))


def test_more_segments_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.ewf.MAX_DISK_PARTS", 2)
    path = write_e01(tmp_path, e01(DISK, segments=3))
    with pytest.raises(FormatError, match="too many segments"):
        opened(path)


def test_more_parts_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.split.MAX_DISK_PARTS", 2)
    for number in range(3):
        (tmp_path / f"d.{number:03d}").write_bytes(DISK)
    with pytest.raises(FormatError, match="too many parts"):
        opened(tmp_path / "d.000")


@pytest.mark.parametrize(
    ("first", "number", "suffix"),
    [
        (".E01", 1, ".E01"),
        (".E01", 99, ".E99"),
        (".E01", 100, ".EAA"),
        (".E01", 125, ".EAZ"),
        (".E01", 126, ".EBA"),
        (".E01", 775, ".EZZ"),
        (".E01", 776, ".FAA"),
        (".e01", 100, ".eaa"),
    ],
)
def test_segments_are_named_as_encase_names_them(first: str, number: int, suffix: str) -> None:
    assert segment_suffix(first, number) == suffix


def test_behind_zzz_there_is_no_segment() -> None:
    with pytest.raises(FormatError, match="too many segments"):
        segment_suffix(".E01", 100 + 22 * 676)


# -- any bytes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small image of each kind."""
    folder = tmp_path_factory.mktemp("seeds")
    small = partitioned(3000)
    made = {
        "a.vmdk": ("vmdk",),
        "s.vmdk": ("vmdk", "-o", "subformat=streamOptimized"),
        "a.qcow2": ("qcow2", "-o", "cluster_size=4096"),
        "o.qcow2": ("qcow2", "-o", "compat=0.10"),
        "c.qcow2": ("qcow2", "-c"),
    }
    out = {name: converted(folder, small, name, *options).read_bytes() for name, options in made.items()}
    out["a.vdi"] = vdi(small)
    out["a.E01"] = e01(small, chunk=0x2000, packed=lambda index: bool(index % 2))[0]
    return out


@pytest.mark.fuzz
@pytest.mark.peer("qemu-img")
@given(draw=st.data())
def test_any_bytes_give_a_disk_or_an_error_of_ours(
    seeds: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    name = draw.draw(st.sampled_from(sorted(seeds)))
    data = bytearray(seeds[name])
    # Structures lie in the first bytes, at the first clusters' beginnings, and at the end.
    where = draw.draw(
        st.one_of(
            st.integers(0, 0x220),
            st.builds(lambda page, byte: page * 0x1000 + byte, st.integers(0, 5), st.integers(0, 64)),
            st.builds(lambda back: len(data) - 1 - back, st.integers(0, 2000)),
        )
    )
    value = draw.draw(
        st.one_of(st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff"]), st.binary(min_size=1, max_size=8))
    )
    data[where : where + len(value)] = value
    if draw.draw(st.booleans()):
        del data[draw.draw(st.integers(0, len(data))) :]
    path = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    path.write_bytes(data)
    try:
        disk, _ = opened(path)
    except StopcodeError:
        return
    with disk:
        for at in (0, 0x1234, disk.size // 2, disk.size - 600):
            try:
                piece = disk.source.read_at(max(0, at), 1000)
            except ReadError:
                continue
            assert len(piece) == max(0, min(1000, disk.size - max(0, at)))
