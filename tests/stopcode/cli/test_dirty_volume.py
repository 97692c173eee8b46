"""A machine whose disk was copied while it ran: what its journal holds decides, and nothing of a chain is touched."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from pathlib import Path

import pytest

from tests.forensics.disk.ntfs_disks import mbr_disk, ntfs_volume, run
from tests.forensics.world import pe_file
from tests.parsers.disk import vhdx_writer
from tests.parsers.ntfs.journals import made_dirty
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder
from tests.stopcode.scan.test_reads_only import traced

DRIVER = "Windows/System32/drivers/vmstorfl.sys"
HIVE = "Windows/System32/config/SYSTEM"
OLD = pe_file((10, 0, 17763, 771)).ljust(8_000, b"\0")
NEW = pe_file((10, 0, 17763, 1911)).ljust(40_000, b"\0")
made = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The Windows volume before an update of a driver and of a hive, and after it."""
    folder = tmp_path_factory.mktemp("dirty")
    top = windows_folder(folder / "machine")
    hive = windows_folder(folder / "updated", hostname="SRV2") / HIVE
    files: dict[str, bytes | Path] = {
        path.relative_to(top).as_posix(): path for path in top.rglob("*") if path.is_file()
    }
    old = ntfs_volume(folder / "old.img", {**files, DRIVER: OLD}, mib=16)
    new = folder / "new.img"
    new.write_bytes(old.read_bytes())
    (folder / "driver").write_bytes(NEW)
    # A hive's bytes behind its own end are nobody's.
    (folder / "hive").write_bytes(hive.read_bytes() + bytes(16_384))
    for file, name in (("driver", DRIVER), ("hive", HIVE)):
        run("ntfscp", "-f", "-q", new, folder / file, f"/{name}")
    return old.read_bytes(), new.read_bytes()


def disk(folder: Path, volume: bytes) -> bytes:
    folder.mkdir()
    place = folder / "volume.img"
    place.write_bytes(volume)
    return mbr_disk(folder / "disk.raw", [place]).read_bytes()


@made
@pytest.mark.parametrize("ended", [True, False], ids=["complete", "under way"])
def test_the_verdict_is_of_the_driver_and_the_hive_that_windows_would_find(
    halves: tuple[bytes, bytes], call: Stopcode, tmp_path: Path, *, ended: bool
) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(disk(tmp_path / "made", made_dirty(*halves, ended=ended)))
    done = call("scan", "-o", "json", image)
    report = json.loads(done.out)
    facts = report["facts"]
    (driver,) = (item for item in facts["drivers"] if item["file"] == "vmstorfl.sys")
    if ended:
        assert (driver["version"], driver["size"]) == ("10.0.17763.1911", len(NEW))
        assert facts["system"]["hostname"] == "SRV2"
        assert not report["findings"]
    else:
        # Its clusters hold what the change wrote; the file is the old one, which ends in their midst.
        assert driver["size"] == len(OLD)
    (volume,) = facts["volumes"]
    assert volume["journal"] == ("replayed" if ended else "clean")


@made
@pytest.mark.peer("strace")
def test_a_read_only_chain_with_a_journal_is_scanned_and_not_touched(
    halves: tuple[bytes, bytes], call: Stopcode, tmp_path: Path
) -> None:
    data = disk(tmp_path / "made", made_dirty(*halves))
    chance = random.Random(11)
    owner = [chance.randrange(3) for _ in range(-(-len(data) // 512))]
    names = [uuid.UUID(int=100 + number) for number in range(3)]
    here, parents = tmp_path / "replica", tmp_path / "parents"
    for folder in (here, parents):
        folder.mkdir()
    base = vhdx_writer.vhdx(data, data_write=names[0])
    (parents / "base.vhdx").write_bytes(base.file())
    for number, folder, parent in ((1, parents, "base.vhdx"), (2, here, "one.avhdx")):
        made_of = vhdx_writer.vhdx(
            data,
            own=lambda sector, number=number: sector < len(owner) and owner[sector] == number,  # type: ignore[misc]
            parent=vhdx_writer.linkage(names[number - 1], parent),
            data_write=names[number],
        )
        (folder / ("one.avhdx" if number == 1 else "two.avhdx")).write_bytes(made_of.file())
    everything = [here, parents, *here.iterdir(), *parents.iterdir()]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state(everything)
    try:
        for form in ("table", "json"):
            words = ("scan", "-o", form, "--parent", parents, here / "two.avhdx")
            assert traced(tmp_path / "calls", tmp_path / "cache", *words) == []
        report = json.loads(call(*words).out)
        assert [item.get("version") for item in report["facts"]["drivers"]] == ["10.0.17763.1911"]
        assert state(everything) == before
        assert sorted(path.name for path in (*here.iterdir(), *parents.iterdir())) == [
            "base.vhdx",
            "one.avhdx",
            "two.avhdx",
        ]
    finally:
        for path in everything:
            path.chmod(0o755)


def state(paths: list[Path]) -> list[tuple[str, int, int, str]]:
    return [
        (
            path.name,
            path.stat().st_mtime_ns,
            path.stat().st_ctime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in paths
    ]
