"""Parents of every kind of child: in the child's folder, along its relative path, and in the folders of `--parent`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from forensics.disk.container import Container, open_container
from forensics.disk.options import ImageOptions
from parsers.diagnostics import Diagnostics
from parsers.errors import MissingParentError
from parsers.limits import MAX_DISK_CHAIN
from tests.forensics.disk.images import partitioned, qemu_img, vdi
from tests.parsers.disk import vhd_writer, vhdx_writer

BELOW, ABOVE = partitioned(4000), partitioned(4000, tag=9)
BASE_ID = uuid.UUID(int=0xBA5E)


def own(sector: int) -> bool:
    return sector % 3 == 0


EXPECTED = b"".join((ABOVE if own(s) else BELOW)[s * 512 : s * 512 + 512] for s in range(len(BELOW) // 512))


def base_vhdx(data_write: uuid.UUID = BASE_ID) -> bytes:
    return vhdx_writer.vhdx(BELOW, data_write=data_write).file()


def child_vhdx(relative: str = "", absolute: str = "", volume: str = "") -> bytes:
    pairs = {"parent_linkage": f"{{{BASE_ID}}}", "relative_path": relative, "absolute_win32_path": absolute}
    pairs = {key: value for key, value in {**pairs, "volume_path": volume}.items() if value}
    return vhdx_writer.vhdx(ABOVE, own=own, parent=pairs, data_write=uuid.UUID(int=1)).file()


def opened(path: Path, *given: Path) -> tuple[Container, set[str]]:
    said = Diagnostics()
    disk = open_container(path, said, ImageOptions(parents=given))
    return disk, {item.code for item in said.items}


def read(path: Path, *given: Path) -> tuple[bytes, list[str]]:
    disk, _ = opened(path, *given)
    with disk:
        return disk.source.read_at(0, disk.size), [parent["path"] for parent in disk.details["parents"]]


@pytest.fixture
def folders(tmp_path: Path) -> Callable[..., list[Path]]:
    """Make folders below the test's own."""

    def make(*names: str) -> list[Path]:
        for name in names:
            (tmp_path / name).mkdir(parents=True)
        return [tmp_path / name for name in names]

    return make


# -- where a parent is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relative", "absolute"),
    [
        (".\\base.vhdx", ""),
        ("", "\\\\?\\D:\\Hyper-V\\BASE.vhdx"),
        ("..\\other\\base.vhdx", ""),
        ("", "\\\\server\\share$\\base.vhdx"),
        ("", "C:base.vhdx"),
    ],
)
def test_the_last_part_of_any_name_counts_in_a_folder_that_was_given(
    folders: Callable[..., list[Path]], relative: str, absolute: str
) -> None:
    here, empty, there = folders("child", "empty", "parents")
    (here / "c.avhdx").write_bytes(child_vhdx(relative, absolute))
    (there / "base.vhdx").write_bytes(base_vhdx())
    with pytest.raises(MissingParentError):
        opened(here / "c.avhdx", empty)
    assert read(here / "c.avhdx", empty, there) == (EXPECTED, ["base.vhdx"])


def test_a_renamed_parent_is_found_in_a_given_folder_by_its_identity(folders: Callable[..., list[Path]]) -> None:
    here, there = folders("child", "parents")
    (here / "c.avhdx").write_bytes(child_vhdx(".\\base.vhdx"))
    (there / "a.vhdx").write_bytes(base_vhdx(uuid.UUID(int=3)))
    (there / "b.vhdx").write_bytes(base_vhdx())
    disk, said = opened(here / "c.avhdx", there)
    with disk:
        assert disk.source.read_at(0, disk.size) == EXPECTED
        assert said == {"container.parent-renamed"}


def test_a_parent_that_was_changed_does_not_hide_the_right_one_elsewhere(folders: Callable[..., list[Path]]) -> None:
    here, there = folders("child", "parents")
    (here / "c.avhdx").write_bytes(child_vhdx(".\\base.vhdx"))
    (here / "base.vhdx").write_bytes(base_vhdx(uuid.UUID(int=3)))
    with pytest.raises(MissingParentError, match=r"base\.vhdx is not the disk that c\.avhdx was made from") as caught:
        opened(here / "c.avhdx")
    assert "--parent DIR" in caught.value.hint
    (there / "base.vhdx").write_bytes(base_vhdx())
    assert read(here / "c.avhdx", there) == (EXPECTED, ["base.vhdx"])


@pytest.mark.parametrize("name", ["bases\\2019\\base.vhdx", ".\\BASES\\2019\\Base.VHDX", "x\\..\\bases/2019/base.vhdx"])
def test_a_relative_path_leads_into_folders_below_the_childs_own(folders: Callable[..., list[Path]], name: str) -> None:
    here, below = folders("child", "child/bases/2019")
    (here / "c.avhdx").write_bytes(child_vhdx(name))
    (below / "base.vhdx").write_bytes(base_vhdx())
    assert read(here / "c.avhdx") == (EXPECTED, ["base.vhdx"])


def test_a_relative_path_leads_out_of_the_childs_folder_only_into_one_that_was_given(
    folders: Callable[..., list[Path]], tmp_path: Path
) -> None:
    here, there, below = folders("vm/child", "vm/parents", "vm/parents/gold")
    (here / "c.avhdx").write_bytes(child_vhdx("..\\parents\\gold\\base.vhdx"))
    (below / "base.vhdx").write_bytes(base_vhdx())
    for given in ((), (here,), (tmp_path / "elsewhere",)):
        with pytest.raises(MissingParentError):
            opened(here / "c.avhdx", *given)
    for allowed in (there, tmp_path / "vm", here / ".." / ".."):
        assert read(here / "c.avhdx", allowed)[0] == EXPECTED


def test_a_parent_looks_for_its_own_parent_beside_itself(folders: Callable[..., list[Path]]) -> None:
    here, there = folders("child", "parents")
    middle, young = uuid.UUID(int=20), uuid.UUID(int=21)
    link = vhdx_writer.linkage(BASE_ID, "base.vhdx")
    (there / "base.vhdx").write_bytes(base_vhdx())
    (there / "m.avhdx").write_bytes(vhdx_writer.vhdx(ABOVE, own=own, parent=link, data_write=middle).file())
    link = vhdx_writer.linkage(middle, "m.avhdx")
    empty = vhdx_writer.vhdx(ABOVE, own=lambda _: False, parent=link, data_write=young)
    (here / "c.avhdx").write_bytes(empty.file())
    assert read(here / "c.avhdx", there) == (EXPECTED, ["m.avhdx", "base.vhdx"])


def test_a_chain_as_long_as_the_limit_is_read(tmp_path: Path) -> None:
    size, block = 512 * MAX_DISK_CHAIN, 0x1000

    def only(mine: int) -> Callable[[int], bool]:
        return lambda sector: sector == mine

    for number in range(MAX_DISK_CHAIN):
        data = vhd_writer.numbered(size // 512, tag=number)
        # Each disk holds one sector that no other has; the rest is its parents'.
        made = vhd_writer.sparse(
            data,
            block=block,
            own=only(number) if number else None,
            parent_id=(number - 1).to_bytes(16, "big") if number > 1 else b"\xaa" * 16,
            parent_name=f"{number - 1}.vhd",
            unique_id=number.to_bytes(16, "big") if number else b"\xaa" * 16,
        )
        (tmp_path / f"{number}.vhd").write_bytes(made)
    with opened(tmp_path / f"{MAX_DISK_CHAIN - 1}.vhd")[0] as disk:
        assert len(disk.details["parents"]) == MAX_DISK_CHAIN - 1
        found = disk.source.read_at(0, disk.size)
    expected = bytearray(vhd_writer.numbered(size // 512))
    for number in range(1, MAX_DISK_CHAIN):
        expected[number * 512 : number * 512 + 512] = (number << 16 | number).to_bytes(16, "little") * 32
    assert found == bytes(expected)


# -- every kind of child --------------------------------------------------------------------------------------------


def as_vhd(here: Path, there: Path) -> Path:
    (there / "base.vhd").write_bytes(vhd_writer.sparse(BELOW, unique_id=b"A" * 16))
    made = vhd_writer.sparse(ABOVE, own=own, parent_id=b"A" * 16, parent_name="D:\\x\\base.vhd")
    (here / "c.vhd").write_bytes(made)
    return here / "c.vhd"


def as_vdi(here: Path, there: Path) -> Path:
    (there / "any name.vdi").write_bytes(vdi(BELOW, unique=11, modified=12))
    (here / "c.vdi").write_bytes(vdi(ABOVE, order=[0, 3], unique=21, modified=22, parent=(11, 12)))
    return here / "c.vdi"


def as_qcow2(here: Path, there: Path) -> Path:
    (there / "base.raw").write_bytes(BELOW)
    qemu_img("create", "-f", "qcow2", "-b", there / "base.raw", "-F", "raw", here / "c.qcow2")
    qemu_img("rebase", "-u", "-b", "/somewhere/else/base.raw", "-F", "raw", here / "c.qcow2")
    return here / "c.qcow2"


def as_vmdk(here: Path, there: Path) -> Path:
    (there / "source.raw").write_bytes(BELOW)
    qemu_img("convert", "-f", "raw", "-O", "vmdk", there / "source.raw", there / "base.vmdk")
    qemu_img("create", "-f", "vmdk", "-b", there / "base.vmdk", "-F", "vmdk", here / "c.vmdk")
    return here / "c.vmdk"


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("make", [as_vhd, as_vdi, as_qcow2, as_vmdk])
def test_every_kind_of_child_takes_its_parent_from_a_given_folder(
    folders: Callable[..., list[Path]], make: Callable[[Path, Path], Path]
) -> None:
    here, there = folders("child", "parents")
    child = make(here, there)
    with pytest.raises(MissingParentError) as caught:
        opened(child)
    assert str(here) in caught.value.message
    assert "--parent DIR" in caught.value.hint
    different: dict[Callable[[Path, Path], Path], bytes] = {
        as_vhd: EXPECTED,
        as_vdi: ABOVE[:0x10000] + BELOW[0x10000:0x30000] + ABOVE[0x30000:0x40000] + BELOW[0x40000:],
    }
    found, parents = read(child, there)
    assert found == different.get(make, BELOW)
    assert len(parents) == 1


@pytest.mark.peer("qemu-img")
def test_a_snapshot_of_a_vmdk_that_was_changed_takes_the_right_one_from_a_given_folder(
    folders: Callable[..., list[Path]],
) -> None:
    here, there = folders("child", "parents")
    child = as_vmdk(here, there)
    (here / "source.raw").write_bytes(ABOVE)
    qemu_img("convert", "-f", "raw", "-O", "vmdk", here / "source.raw", here / "base.vmdk")
    with pytest.raises(MissingParentError, match=r"base\.vmdk is not the disk that c\.vmdk was made from"):
        opened(child)
    assert read(child, there)[0] == BELOW


# -- what an image says is a hint, and no way out -------------------------------------------------------------------


def outside(top: Path) -> list[str]:
    """Names that lead to the right parent, outside of every folder that was given."""
    secret = top / "secret" / "base.vhdx"
    return [
        str(secret),
        f"\\\\?\\{secret}",
        f"file://{secret}",
        f"file:///{secret}",
        f"\\\\localhost\\{secret}",
        "../secret/base.vhdx",
        "..\\secret\\base.vhdx",
        ".\\x\\..\\..\\secret\\base.vhdx",
        "linked\\base.vhdx",
        "linked/../linked/base.vhdx",
        "linked\\up\\..\\base.vhdx",
        'json:{"file": "' + str(secret) + '"}',
    ]


def test_no_name_in_an_image_leads_out_of_the_folders(tmp_path: Path) -> None:
    for name in ("secret/up", "images", "given"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "secret" / "base.vhdx").write_bytes(base_vhdx())
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "secret")
    child = tmp_path / "images" / "c.avhdx"
    for name in outside(tmp_path):
        for pairs in ((name, ""), ("", name)):
            child.write_bytes(child_vhdx(*pairs))
            with pytest.raises(MissingParentError, match="not in"):
                opened(child, tmp_path / "given")
    # The same file is taken once its folder was given.
    assert read(child, tmp_path / "secret")[0] == EXPECTED


def test_a_link_in_the_users_own_folder_is_the_users(tmp_path: Path) -> None:
    for name in ("store", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "store" / "3f2a").write_bytes(base_vhdx())
    (tmp_path / "images" / "base.vhdx").symlink_to(tmp_path / "store" / "3f2a")
    (tmp_path / "images" / "c.avhdx").write_bytes(child_vhdx(".\\base.vhdx"))
    assert read(tmp_path / "images" / "c.avhdx") == (EXPECTED, ["base.vhdx"])
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "c.avhdx").write_bytes(child_vhdx("linked\\base.vhdx"))
    assert read(tmp_path / "images" / "c.avhdx") == (EXPECTED, ["base.vhdx"])


def test_every_folder_that_was_looked_at_is_named(folders: Callable[..., Sequence[Path]]) -> None:
    here, one, two = folders("child", "one", "two")
    (here / "c.avhdx").write_bytes(child_vhdx("", "\\\\?\\C:\\vm\\base.vhdx"))
    with pytest.raises(MissingParentError, match=r"its parent base\.vhdx") as caught:
        opened(here / "c.avhdx", one, two)
    assert all(str(folder) in caught.value.message for folder in (here, one, two))
    assert str(BASE_ID) in caught.value.message
