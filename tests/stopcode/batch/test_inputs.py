"""Which files of a folder are images of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.errors import InputNotFoundError
from stopcode.batch import inputs
from stopcode.batch.inputs import find_items

#: A partition table with one NTFS partition, as the first sector of a raw disk (UEFI specification, 5.2.1).
MBR = bytes(446) + bytes.fromhex("80200021 07fefffe 00080000 00f80f00") + bytes(48) + b"\x55\xaa"


def names(*paths: Path | str) -> list[str]:
    return [item.path.name for item in find_items([os.fspath(path) for path in paths])]


def test_images_are_found_by_name_or_by_content_at_any_depth(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    (tmp_path / "one.VHDX").write_bytes(b"damaged")
    (below / "two.e01").touch()
    (below / "three").write_bytes(b"QFI\xfb" + bytes(8192))
    (below / "MEMORY").write_bytes(b"PAGEDU64" + bytes(8192))
    (below / "disk.bin").write_bytes(MBR + bytes(1 << 20))
    (below / "notes.txt").write_text("no disk" * 2000)
    (below / "hive").write_bytes(b"regf" + bytes(8192))
    (below / "tiny").write_bytes(b"QFI\xfb")
    assert sorted(names(tmp_path)) == ["MEMORY", "disk.bin", "one.VHDX", "three", "two.e01"]


def test_a_folder_with_a_windows_in_it_is_one_image(tmp_path: Path) -> None:
    for machine in ("m1/Windows/System32", "m2/WINDOWS/system32", "m3/Windows"):
        (tmp_path / machine).mkdir(parents=True)
    (tmp_path / "m1" / "Windows" / "MEMORY.DMP").write_bytes(b"PAGEDU64" + bytes(8192))
    (tmp_path / "m3" / "x.vhd").touch()
    assert names(tmp_path) == ["m1", "m2", "x.vhd"]
    assert names(tmp_path / "m1") == ["m1"]


def test_what_the_user_names_is_taken_as_it_is_and_once(tmp_path: Path) -> None:
    file = tmp_path / "odd"
    file.write_text("no image at all")
    (tmp_path / "x.vhd").touch()
    assert names(file, file, tmp_path, tmp_path / "x.vhd", f"{tmp_path}/../{tmp_path.name}/x.vhd") == ["odd", "x.vhd"]
    assert [item.named for item in find_items([str(file), str(tmp_path)])] == [True, False]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="nothing"):
        find_items([str(tmp_path / "nothing")])


def test_extents_of_a_vmdk_belong_to_its_descriptor(tmp_path: Path) -> None:
    (tmp_path / "disk.vmdk").write_text(
        "# Disk DescriptorFile\nversion=1\n\n# Extent description\n"
        'RW 4192256 SPARSE "disk-s001.vmdk"\nRW 2048 FLAT "..\\..\\disk-flat.vmdk" 0\nRW 1 ZERO\nRW 1 FLAT ".." 0\n'
    )
    for name in ("disk-s001.vmdk", "disk-flat.vmdk", "other-flat.vmdk"):
        (tmp_path / name).write_bytes(b"KDMV" + bytes(8192))
    items = find_items([str(tmp_path)])
    assert [item.path.name for item in items] == ["disk.vmdk", "other-flat.vmdk"]
    assert [part.name for part in items[0].parts] == ["disk-s001.vmdk", "disk-flat.vmdk"]
    assert names(tmp_path, tmp_path / "disk-flat.vmdk") == ["disk-flat.vmdk", "disk.vmdk", "other-flat.vmdk"]


def test_an_extent_named_behind_the_limit_of_a_descriptor_is_not_seen(tmp_path: Path) -> None:
    text = "# Disk DescriptorFile\n" + "#" * inputs.MAX_DESCRIPTOR + '\nRW 1 FLAT "far-flat.vmdk" 0\n'
    (tmp_path / "disk.vmdk").write_text(text)
    (tmp_path / "far-flat.vmdk").touch()
    assert names(tmp_path) == ["disk.vmdk", "far-flat.vmdk"]


def test_later_parts_of_split_images_belong_to_the_first(tmp_path: Path) -> None:
    for name in ("a.E01", "a.E02", "a.EAA", "b.001", "b.002", "b.003", "c.000", "c.001"):
        (tmp_path / name).write_bytes(MBR + bytes(1 << 14))
    items = {item.path.name: [part.name for part in item.parts] for item in find_items([str(tmp_path)])}
    assert items["a.E01"] == ["a.E02", "a.EAA"]
    assert items["b.001"] == ["b.002", "b.003"]
    assert {"a.E02", "a.EAA", "b.002", "b.003"}.isdisjoint(items)


@pytest.mark.parametrize("name", ["web_1A2B.avhdx", "old.AVHD", "disk-000003.vmdk"])
def test_snapshots_are_known_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert find_items([str(tmp_path)])[0].child


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows, and pipes are no files there")
def test_links_in_circles_pipes_and_dead_links_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dead.vhd").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.vhd")
    (tmp_path / "real.vhd").touch()
    (tmp_path / "linked.vhd").symlink_to(tmp_path / "real.vhd")
    assert names(tmp_path) == ["linked.vhd", "real.vhd"]


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist on POSIX systems alone")
def test_hostile_names_are_found(tmp_path: Path) -> None:
    hostile = [b"\x1b[41m.vhd", b"\xff\xfe.vhd", b"new\nline.vhd", "‮dhv.vhd".encode(), b"-o.vhd"]
    for name in hostile:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).touch()
    assert sorted(os.fsencode(name) for name in names(tmp_path)) == sorted(hostile)


@given(st.binary(max_size=400))
def test_any_descriptor_names_only_files_beside_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("x") / "disk.vmdk"
    path.write_bytes(b'# Disk DescriptorFile\nRW 1 FLAT "' + content)
    for part in find_items([str(path)])[0].parts:
        assert part.parent == path.parent
