"""Whole disks put together from real parts: a hive, a log, dumps and drivers of real machines on a made NTFS volume.

Nothing of ours writes here but the SOFTWARE hive, which is the samples' (no real one could be had): mkntfs and
wimlib-imagex make the volume, and the parts are real files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from samples.family import FAMILY
from samples.registry_software import software_hive
from tests.forensics.disk.ntfs_disks import MIB, mbr_disk, ntfs_volume

CONFIG = "Windows/System32/config"
DRIVERS = "Windows/System32/drivers"
LOG = "Windows/System32/winevt/Logs/System.evtx"
MINIDUMP = "Windows/Minidump"
_SERVER = FAMILY[0].machine


@dataclass(frozen=True)
class Machine:
    """Which real parts one disk is made of.

    Attributes:
        hive: SYSTEM, by its path in the real data.
        build: what the made SOFTWARE hive says.
        log: System.evtx, by its path in the real data; "" for none.
        dumps: in Windows\\Minidump, by their names in the real data.
        with_logs: whether the hive's own logs lie beside it.

    """

    hive: str
    build: int
    log: str = ""
    dumps: tuple[str, ...] = ()
    with_logs: bool = False


#: The hives' builds are those of the data's own list (SourceOSVersion and CSDBuildNumber); logs and dumps are of other
#: machines but one: DESKTOP-2KGM189 gave both its hive and its log.
MACHINES = {
    "win7": Machine("hives/win7/SYSTEM", 7601, "logs/win7-bugcheck/System.evtx"),
    "win81": Machine("hives/win81/SYSTEM", 9600, "logs/ws2008r2-dc/System.evtx"),
    "win10-1903": Machine("hives/win10-1903/SYSTEM", 18362, "logs/win10-1703/System.evtx"),
    "win10-dirty": Machine("hives/win10-dirty/SYSTEM_B", 16299, "logs/win10-1803-vss/System.evtx"),
    "win10-recovered": Machine("hives/win10-dirty/SYSTEM_B", 16299, with_logs=True),
    "crashed": Machine("hives/win81/SYSTEM", 19041, "logs/ws2016-dc/System.evtx", ("triage_x64",)),
    "dumps": Machine(
        "hives/win81/SYSTEM",
        19041,
        "logs/ws2016-dc/System.evtx",
        (
            "triage_x64", "triage_arm64", "7e_1", "7e_2", "9f", "be_1", "082325-12593-01", "102622-17265-01",
        ),
    ),
}  # fmt: skip


def made_software(build: int) -> bytes:
    """The samples' SOFTWARE hive, of another build."""
    lab = f"{build}.1.amd64fre.rs5_release.180914-1434"
    return software_hive(replace(_SERVER, build=build, ubr=1, lab=lab))


def content(machine: Machine, unpacked: Callable[[str], Path]) -> dict[str, bytes | Path]:
    """The files of one machine, by their paths on the volume."""
    files: dict[str, bytes | Path] = {
        f"{CONFIG}/SYSTEM": unpacked(machine.hive),
        f"{CONFIG}/SOFTWARE": made_software(machine.build),
    }
    if machine.with_logs:
        files |= {f"{CONFIG}/SYSTEM{log}": unpacked(machine.hive + log) for log in (".LOG1", ".LOG2")}
    if machine.log:
        files[LOG] = unpacked(machine.log)
    for name in machine.dumps:
        files[f"{MINIDUMP}/{name}.dmp"] = unpacked(f"dumps/{name}.dmp")
    return files


def make_disk(place: Path, files: Mapping[str, bytes | Path]) -> Path:
    """Put files on an NTFS volume behind a partition table."""
    size = sum(len(data) if isinstance(data, bytes) else data.stat().st_size for data in files.values())
    volume = ntfs_volume(place.with_suffix(".ntfs"), files, mib=size // MIB + 16)
    disk = mbr_disk(place, [volume])
    volume.unlink()
    return disk
