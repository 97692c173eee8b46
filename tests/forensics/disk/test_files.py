"""Files by path, on an NTFS volume and in a folder: the same face, the same answers."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from forensics.collect.volume import FileTree
from forensics.disk import files as files_module
from forensics.disk import tree
from forensics.disk.files import NtfsFiles
from forensics.disk.folder import FolderFiles
from parsers.bytesource import FileSource
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.ntfs import NtfsVolume
from tests.forensics.disk.ntfs_disks import ntfs_volume, run, write_tree
from tests.parsers.ntfs.volumes import Patched, at, record_of, sized, taken_apart

made = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")

CONTENT: dict[str, bytes | Path] = {
    "Windows/System32/drivers/vmstorfl.sys": b"MZ" + random.Random(1).randbytes(30_000),
    "Windows/System32/drivers/Wdf01000.sys": b"MZ" * 400,
    "Windows/System32/drivers/etc/hosts": b"127.0.0.1",
    "Windows/System32/DriverStore/FileRepository/a_1.inf_amd64_00/a.sys": b"a1",
    "Windows/System32/DriverStore/FileRepository/a_2.inf_amd64_00/a.sys": b"a22",
    "Windows/System32/DriverStore/FileRepository/b.inf_amd64_00/b.sys": b"b",
    "Windows/[odd] name (1).txt": b"odd",
    "Windows/Größe.txt": b"letters",
    "swap.bin": b"",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    volume = ntfs_volume(folder / "v.img", CONTENT, mib=16)
    zeros = folder / "zeros"
    zeros.write_bytes(bytes(20_000))
    for name, tag in (
        ("dedup.bin", 0x80000013),
        ("cloud.bin", 0x9000601A),
        ("link", 0xA000000C),
    ):
        run("ntfscp", "-f", "-q", volume, zeros, f"/{name}")
        body = struct.pack("<HHHHI", 0, 0, 0, 0, 1) if tag == 0xA000000C else struct.pack("<IIII", 1, 2, 1, 0)
        (folder / "tag").write_bytes(struct.pack("<IHH", tag, len(body), 0) + body)
        run("ntfscp", "-f", "-q", "-a", "0xC0", volume, folder / "tag", f"/{name}")
    return volume


@pytest.fixture
def on_volume(place: Path) -> NtfsFiles:
    return NtfsFiles(NtfsVolume(FileSource(place)))


@pytest.fixture
def in_folder(tmp_path: Path) -> FolderFiles:
    return FolderFiles(write_tree(tmp_path / "top", CONTENT))


@pytest.fixture(params=["volume", "folder"])
def files(request: pytest.FixtureRequest) -> FileTree:
    if request.param == "volume":
        for program in ("mkntfs", "wimlib-imagex", "ntfscp"):
            request.node.add_marker(pytest.mark.peer(program))
    found: FileTree = request.getfixturevalue("on_volume" if request.param == "volume" else "in_folder")
    return found


@made
def test_a_file_is_found_and_read_whatever_the_case_of_its_path(files: FileTree) -> None:
    entry = files.stat("\\WINDOWS\\system32\\DRIVERS\\VMSTORFL.SYS")
    assert entry is not None
    assert entry.path == "\\Windows\\System32\\drivers\\vmstorfl.sys"
    assert (entry.name, entry.size, entry.is_dir) == ("vmstorfl.sys", 30_002, False)
    # 2020 to 2100: a time, and in the right unit.
    assert 132_000_000_000_000_000 < entry.modified < 157_000_000_000_000_000
    source = files.open("/windows/system32/drivers/vmstorfl.sys")
    assert source.read_at(0, source.size) == CONTENT["Windows/System32/drivers/vmstorfl.sys"]
    assert files.open("\\WINDOWS\\GRÖßE.TXT").size == 7


@made
def test_what_is_not_there_is_none_or_an_error_that_says_so(files: FileTree) -> None:
    for path in ("\\Windows\\nothing", "\\nothing\\below", "\\swap.bin\\below", "\\Windows\\System32\\..\\x"):
        assert files.stat(path) is None
        assert list(files.listdir(path)) == []
        with pytest.raises(ReadError, match="no such file"):
            files.open(path)
    with pytest.raises(ReadError, match="folder"):
        files.open("\\Windows")
    for path in ("", "\\"):
        with pytest.raises(ReadError):
            files.open(path)


@made
def test_a_path_of_any_number_of_folders_is_looked_for_to_its_end(files: FileTree) -> None:
    assert files.stat("\\Windows" + "\\x" * 5_000) is None
    assert list(files.listdir("\\Windows\\System32" * 3_000)) == []
    assert files.glob("\\*" * 3_000) == []


@made
def test_a_folder_is_listed_with_sizes_and_kinds(files: FileTree) -> None:
    listed = {
        entry.name: (entry.is_dir, entry.size if not entry.is_dir else 0)
        for entry in files.listdir("\\windows\\system32\\drivers")
    }
    assert listed == {"etc": (True, 0), "vmstorfl.sys": (False, 30_002), "Wdf01000.sys": (False, 800)}
    top = {entry.name for entry in files.listdir("\\")}
    assert {"Windows", "swap.bin"} <= top
    assert top <= {"Windows", "swap.bin", "System Volume Information", "wof.exe", "dedup.bin", "cloud.bin", "link"}
    root = files.stat("\\")
    assert root is not None
    assert root.is_dir


@made
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("\\Windows\\System32\\drivers\\*.SYS", ["vmstorfl.sys", "wdf01000.sys"]),
        ("\\windows\\system32\\drivers\\wdf0?000.sys", ["wdf01000.sys"]),
        ("\\Windows\\System32\\DriverStore\\FileRepository\\a_*\\a.sys", ["a.sys", "a.sys"]),
        ("\\Windows\\System32\\DriverStore\\*\\*\\*.sys", ["a.sys", "a.sys", "b.sys"]),
        ("\\Windows\\[odd]*", ["[odd] name (1).txt"]),
        ("\\Windows\\System32\\*.sys", []),
        ("\\nothing\\*\\x", []),
        ("\\swap.bin", ["swap.bin"]),
        ("\\swap.bin\\*", []),
    ],
)
def test_a_pattern_matches_one_folder_a_component(files: FileTree, pattern: str, names: list[str]) -> None:
    assert sorted(entry.name.lower() for entry in files.glob(pattern)) == names


@made
def test_a_pattern_that_looks_at_more_files_than_the_limit_is_refused(
    files: FileTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_GLOB_ENTRIES", 4)
    with pytest.raises(FormatError, match="more than 4"):
        files.glob("\\Windows\\System32\\*\\*\\*")


@made
def test_content_that_is_stored_elsewhere_is_refused_and_never_zeros(on_volume: NtfsFiles) -> None:
    for name, reason in (
        ("dedup.bin", "chunk store"),
        ("cloud.bin", "cloud"),
        ("link", "symbolic link"),
    ):
        with pytest.raises(UnsupportedError, match=reason):
            on_volume.open(f"\\{name}")
        entry = on_volume.stat(f"\\{name}")
        assert entry is not None
        assert entry.size == 20_000


@made
def test_size_and_time_come_from_the_file_and_not_from_the_copies_in_its_folder(place: Path) -> None:
    ntfs = NtfsVolume(FileSource(place))
    folder = at(ntfs, "/Windows/System32/drivers")
    root = folder.find(0x90, "$I30")
    assert root is not None
    assert root.value is not None
    raw = place.read_bytes()
    name = "vmstorfl.sys".encode("utf-16-le")
    # The folder is small: its entries stand in its record.
    start = ntfs.boot.mft * ntfs.boot.cluster + folder.number * 1024
    at_name = raw.index(name, start, start + 1024)
    copied = at_name - 0x42
    assert struct.unpack_from("<Q", raw, copied + 0x30)[0] == 30_002
    stale = NtfsFiles(NtfsVolume(Patched(place, {copied + 0x30: struct.pack("<Q", 5), copied + 0x10: bytes(8)})))
    entry = stale.stat("\\Windows\\System32\\drivers\\vmstorfl.sys")
    assert entry is not None
    assert entry.size == 30_002
    assert entry.modified > 132_000_000_000_000_000


@made
def test_a_file_whose_record_is_damaged_is_listed_by_the_copy_and_not_opened(place: Path) -> None:
    ntfs = NtfsVolume(FileSource(place))
    record = at(ntfs, "/Windows/System32/drivers/vmstorfl.sys")
    offset = ntfs.boot.mft * ntfs.boot.cluster + record.number * 1024
    files = NtfsFiles(NtfsVolume(Patched(place, {offset: b"BAAD"})))
    listed = {entry.name: entry.size for entry in files.listdir("\\Windows\\System32\\drivers")}
    assert listed["vmstorfl.sys"] == 30_002
    with pytest.raises(FormatError):
        files.open("\\Windows\\System32\\drivers\\vmstorfl.sys")
    assert files.open("\\Windows\\System32\\drivers\\Wdf01000.sys").read_at(0, 2) == b"MZ"


@made
def test_a_folder_that_is_a_junction_is_not_entered_and_patterns_pass_over_it(place: Path) -> None:
    ntfs = NtfsVolume(FileSource(place))
    record = at(ntfs, "/Windows/System32/drivers/etc")
    offset = ntfs.boot.mft * ntfs.boot.cluster + record.number * 1024
    head, attributes = taken_apart(place.read_bytes(), offset)
    body = struct.pack("<IHHHHHH", 0xA0000003, 12, 0, 0, 0, 0, 0) + bytes(4)
    link = struct.pack("<IIBBHHHIHBx", 0xC0, 0, 0, 0, 24, 0, 7, len(body), 24, 0) + body
    linked = record_of(head, [*attributes.values(), sized(link)])
    files = NtfsFiles(NtfsVolume(Patched(place, {offset: linked})))
    with pytest.raises(UnsupportedError, match="junction"):
        files.stat("\\Windows\\System32\\drivers\\etc\\hosts")
    assert [entry.name for entry in files.glob("\\Windows\\System32\\drivers\\*\\*")] == []
    assert len(files.glob("\\Windows\\System32\\drivers\\*")) == 3


@made
def test_no_more_listings_are_kept_than_the_limit(on_volume: NtfsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_FOLDERS_KEPT", 2)
    on_volume.glob("\\*\\*\\*\\*\\*\\*")
    assert len(on_volume._listings) <= 2
    assert len(on_volume._by_name) <= 2
    assert len(on_volume._folders) <= 2


def test_links_that_lead_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"secret")
    top = write_tree(tmp_path / "top", {"Windows/inside.txt": b"inside"})
    (top / "Windows" / "out.txt").symlink_to(outside)
    (top / "Windows" / "out").symlink_to(tmp_path / "elsewhere")
    (top / "Windows" / "loop").symlink_to(top / "Windows" / "loop")
    (top / "Windows" / "in.txt").symlink_to(top / "Windows" / "inside.txt")
    os.mkfifo(top / "Windows" / "pipe")
    files = FolderFiles(top)
    assert {entry.name for entry in files.listdir("\\Windows")} == {"inside.txt", "in.txt"}
    assert files.stat("\\Windows\\out\\file") is None
    with pytest.raises(ReadError):
        files.open("\\Windows\\out.txt")
    assert files.open("\\Windows\\in.txt").read_at(0, 10) == b"inside"
    for path in ("\\..\\secret", "\\Windows\\..\\..\\secret"):
        assert files.stat(path) is None


def test_of_names_that_differ_in_case_alone_one_is_taken_always_the_same(tmp_path: Path) -> None:
    top = write_tree(tmp_path / "top", {"Windows/a.txt": b"1", "Windows/A.TXT": b"22"})
    entry = FolderFiles(top).stat("\\windows\\a.txt")
    assert entry is not None
    assert entry.name == "A.TXT"


def test_reads_in_a_folder_are_counted(in_folder: FolderFiles) -> None:
    in_folder.open("\\Windows\\System32\\drivers\\Wdf01000.sys").read_at(0, 100)
    assert (in_folder.bytes_read, in_folder.requests) == (100, 1)
    in_folder.close()


@made
def test_short_names_lead_to_the_file_with_its_long_name(place: Path) -> None:
    # wimlib writes none on Linux: the name's own copies are made a short name beside the long one by hand.
    ntfs = NtfsVolume(FileSource(place))
    raw = place.read_bytes()
    folder = at(ntfs, "/Windows/System32/drivers")
    start = ntfs.boot.mft * ntfs.boot.cluster + folder.number * 1024
    at_name = raw.index("Wdf01000.sys".encode("utf-16-le"), start, start + 1024)
    files = NtfsFiles(NtfsVolume(Patched(place, {at_name - 1: b"\x02", at_name: "WDF01~00.SYS".encode("utf-16-le")})))
    assert {entry.name for entry in files.listdir("\\Windows\\System32\\drivers")} == {"etc", "vmstorfl.sys"}
    entry = files.stat("\\Windows\\System32\\drivers\\wdf01~00.sys")
    assert entry is not None
    assert entry.path == "\\Windows\\System32\\drivers\\Wdf01000.sys"


@made
def test_of_a_damaged_folder_the_sound_entries_are_given_to_whoever_asks_for_the_damage(tmp_path: Path) -> None:
    place = ntfs_volume(tmp_path / "v.img", {f"Windows/driver number {i:03}.sys": b"MZ" for i in range(200)}, mib=16)
    raw = place.read_bytes()
    name = "7.sys".encode("utf-16-le")
    blocks = [o for o in range(0, len(raw), 4096) if raw[o : o + 4] == b"INDX" and name in raw[o : o + 4096]]
    files = NtfsFiles(NtfsVolume(Patched(place, {blocks[0] + 510: b"\x99\x99"})))
    with pytest.raises(FormatError, match="torn"):
        files.listdir("\\Windows")
    for _again in range(2):
        damage: list[StopcodeError] = []
        listed = files.listdir("\\Windows", damage)
        assert 100 < len(listed) < 200
        assert len(damage) == 1
    # What is in the lost part is not said to be missing, and what is in the others is found.
    names = {entry.name for entry in listed}
    for number in range(200):
        name = f"driver number {number:03}.sys"
        if name in names:
            assert files.stat(f"\\Windows\\{name}") is not None
        else:
            with pytest.raises(FormatError):
                files.stat(f"\\Windows\\{name}")
    with pytest.raises(FormatError):
        files.glob("\\Windows\\*.sys")
