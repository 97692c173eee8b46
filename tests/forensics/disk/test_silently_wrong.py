"""What other readers of disks give without an error and wrong: whole disks here, the parts where each is read.

`docs/containers.md` lists every such case with the test that holds it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from forensics.collect import Machine, collect
from forensics.disk import open_image
from forensics.disk.container import open_container
from forensics.disk.files import NtfsFiles
from forensics.disk.volumes import find_volumes
from forensics.facts import Facts, Wants
from parsers.diagnostics import Diagnostics
from samples.hive import Key, write_hive
from tests.forensics.disk.ntfs_disks import BASIC_DATA, MIB, gpt_disk, mbr_disk, ntfs_volume, software
from tests.forensics.world import pe_file
from tests.parsers.disk import vhd_writer, vhdx_writer

made = pytest.mark.peer("mkntfs", "wimlib-imagex")
CONFIG = "Windows/System32/config"
#: Writes a disk with its blocks in an order of its own.
SHUFFLED: Mapping[str, Callable[[bytes], bytes]] = {
    "d.vhd": lambda disk: vhd_writer.sparse(disk, seed=3),
    "d.vhdx": lambda disk: vhdx_writer.vhdx(disk, seed=3).file(),
    "d4k.vhdx": lambda disk: vhdx_writer.vhdx(disk, seed=3, sector=4096).file(),
}


def system(service: str, *more: str) -> bytes:
    top = Key()
    top.set("Select", {"Current": 1})
    top.set("ControlSet001\\Control\\ComputerName\\ComputerName", {"ComputerName": "HOST"})
    for name in (service, *more):
        top.set(f"ControlSet001\\Services\\{name}", {"Start": 0, "Type": 1})
    return write_hive(top, "ROOT", time=132_000_000_000_000_000)


def windows() -> dict[str, bytes | Path]:
    return {
        f"{CONFIG}/SYSTEM": system("live"),
        f"{CONFIG}/SOFTWARE": software(),
        "Windows/System32/ntoskrnl.exe": pe_file((10, 0, 18362, 720)),
        "Windows/System32/drivers/live.sys": pe_file((10, 0, 18362, 1)),
    }


def facts_of(path: Path) -> Facts:
    diagnostics = Diagnostics()
    with open_image(path, diagnostics) as image:
        return collect(Machine(image.windows, Wants(), diagnostics))


@made
@pytest.mark.parametrize("name", ["d.vhd", "d.vhdx"])
def test_each_of_500_files_reads_right_through_blocks_in_any_order(tmp_path: Path, name: str) -> None:
    draw = random.Random(5)
    files = {f"Windows/drivers/f{n:03}.sys": draw.randbytes(draw.randrange(2_000, 90_000)) for n in range(500)}
    disk = mbr_disk(tmp_path / "d.img", [ntfs_volume(tmp_path / "v.img", files, mib=36)]).read_bytes()
    (tmp_path / name).write_bytes(SHUFFLED[name](disk))
    with open_container(tmp_path / name, Diagnostics()) as container:
        assert container.source.read_at(MIB // 2, len(disk) - MIB) == disk[MIB // 2 : len(disk) - MIB // 2]
        _, volumes = find_volumes(container.source, container.sector_size, Diagnostics())
        assert volumes[0].ntfs is not None
        tree = NtfsFiles(volumes[0].ntfs)
        for path, data in files.items():
            source = tree.open(path.replace("/", "\\"))
            assert source.read_at(0, source.size) == data, path


@made
@pytest.mark.parametrize("scheme", ["mbr", "gpt"])
@pytest.mark.parametrize("container", ["d4k.vhdx", "d.img"])
def test_a_disk_of_4096_byte_sectors_is_read_down_to_its_windows(tmp_path: Path, scheme: str, container: str) -> None:
    volume = ntfs_volume(tmp_path / "v.img", windows(), mib=16, sector=4096, start=256)
    place = tmp_path / "raw.img"
    if scheme == "mbr":
        mbr_disk(place, [volume], sector=4096)
    else:
        gpt_disk(place, [(volume, BASIC_DATA)], sector=4096)
    (tmp_path / container).write_bytes(SHUFFLED.get(container, bytes)(place.read_bytes()))
    with open_container(tmp_path / container, Diagnostics()) as opened:
        table, volumes = find_volumes(opened.source, opened.sector_size, Diagnostics())
        assert table is not None
        assert (table.scheme, opened.sector_size, [volume.offset for volume in volumes]) == (scheme, 4096, [MIB])
    facts = facts_of(tmp_path / container)
    assert (facts["system"]["hostname"], facts["system"]["build"]) == ("HOST", 18362)
    assert [driver["version"] for driver in facts["drivers"] if driver["file"] == "live.sys"] == ["10.0.18362.1"]


@made
def test_the_old_copies_in_regback_give_no_fact(tmp_path: Path) -> None:
    old = {
        f"{CONFIG}/RegBack/SYSTEM": system("live", "old-service"),
        f"{CONFIG}/RegBack/SOFTWARE": software("17763", CSDVersion="old"),
    }
    alone = facts_of(ntfs_volume(tmp_path / "a.img", windows(), mib=16))
    beside = facts_of(ntfs_volume(tmp_path / "b.img", windows() | old, mib=16))
    assert [service["name"] for service in beside["services"]] == ["live"]
    assert beside["system"] == alone["system"]
    assert beside["services"] == alone["services"]
