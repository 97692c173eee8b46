r"""Machines to judge: from the table of clean installations, the list of published levels, and real SYSTEM hives.

They go through the collectors, so that a rule meets facts as a scan makes them; only the thousands of levels are
documents made directly. A healthy machine carries what makes careless rules cry out: StartOverride beside the drivers
of other hardware, file renames that wait, a left-over service without a file, filters in other letters.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forensics.collect import Machine, collect
from forensics.facts import Facts, Wants, empty_facts
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.registry import Hive
from parsers.version import Version
from parsers.windows_builds import branches
from tests.forensics.world import CURRENT, FakeHive, FakeWindows, Keys, pe_file, scan

CBS = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"
CLASS = r"ControlSet001\Control\Class"
DISK = rf"{CLASS}\{{4d36e967-e325-11ce-bfc1-08002be10318}}"
VOLUME = rf"{CLASS}\{{71a27cdd-812a-11d0-bec7-08002be2092f}}"
DRIVERS = r"\Windows\System32\drivers"
FIRST_WITH_OVERRIDES = 9200

#: Boot-start services that every installation has: name, file, ErrorControl, whether other hardware's overrides it.
_CORE = (
    ("ACPI", "acpi", 3, False), ("disk", "disk", 1, False), ("FltMgr", "fltmgr", 3, False),
    ("fvevol", "fvevol", 3, False), ("mountmgr", "mountmgr", 3, False), ("NDIS", "ndis", 3, False),
    ("partmgr", "partmgr", 3, False), ("pci", "pci", 3, False), ("rdyboost", "rdyboost", 3, False),
    ("volmgr", "volmgr", 3, False), ("volsnap", "volsnap", 3, False), ("Wdf01000", "wdf01000", 1, False),
    ("storflt", "vmstorfl", 1, True), ("storvsc", "storvsc", 1, True), ("vmbus", "vmbus", 1, True),
)  # fmt: skip
_COLUMNS = ("vmstorfl", "storvsc", "vmbus", "wdf01000", "ntfs", "storport", "volsnap", "disk", "tcpip")


@dataclass(frozen=True)
class Sample:
    """One machine and where it comes from."""

    name: str
    facts: Facts


def _system(row: Mapping[str, str], build: int | None, *, server: bool, controller: bool) -> dict[str, Any]:
    keys: dict[str, Any] = {
        r"ControlSet001\Control\ComputerName\ComputerName": {"ComputerName": "HEALTHY"},
        r"ControlSet001\Control\ProductOptions": {
            "ProductType": "LanmanNT" if controller else "ServerNT" if server else "WinNT"
        },
        r"ControlSet001\Control\Session Manager": {
            "PendingFileRenameOperations": "\\??\\C:\\Temp\\a.tmp\0\0".encode("utf-16-le")
        },
        r"ControlSet001\Services\partmgr\Parameters": {"SanPolicy": 2 if server else 1},
        # Left over by a product that was removed: never stops a start.
        r"ControlSet001\Services\leftover": {"Type": 1, "Start": 0, "ErrorControl": 1},
        DISK: {"Class": "DiskDrive", "UpperFilters": ["PartMgr"]},
        VOLUME: {"Class": "Volume", "UpperFilters": ["volsnap"], "LowerFilters": ["fvevol", "rdyboost"]},
    }
    for name, file, control, elsewhere in _CORE:
        start = row.get(f"start_{name.lower()}") or ("3" if name == "storvsc" and (build or 9999) < 9200 else "0")
        keys[rf"ControlSet001\Services\{name}"] = {
            "Type": 1, "Start": int(start), "ErrorControl": control, "ImagePath": rf"System32\drivers\{file}.sys",
        }  # fmt: skip
        if elsewhere and (build or FIRST_WITH_OVERRIDES) >= FIRST_WITH_OVERRIDES:
            keys[rf"ControlSet001\Services\{name}\StartOverride"] = {"0": 3}
    return keys


def _software(row: Mapping[str, str], *, server: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "ProductName": row["product"],
        "InstallationType": "Server" if server else "Client",
        "EditionID": "ServerStandard" if server else "Professional",
    }
    if row["build"]:
        values |= {"CurrentBuild": row["build"], "CurrentBuildNumber": row["build"]}
    if row["ubr"]:
        values["UBR"] = int(row["ubr"])
    return {CURRENT: values, f"{CBS}\\Packages": {}}


def _files(row: Mapping[str, str], build: int | None) -> dict[str, bytes]:
    usual = Version(10, 0, build or 18362, 1)
    files = {rf"{DRIVERS}\{file}.sys": pe_file(usual) for _name, file, _control, _elsewhere in _CORE}
    for column in _COLUMNS:
        if row.get(column):
            files[rf"{DRIVERS}\{column}.sys"] = pe_file(Version.parse(row[column]))
    for folder in (r"\Windows\System32", DRIVERS):
        files[rf"{folder}\hidparse.sys"] = pe_file(usual)
    return files


def clean_installations(table: Path, wants: Wants) -> Iterator[Sample]:
    """Yield every row of the table, as a client and as a server where it speaks of both."""
    with table.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows:
        product = row["product"]
        build = int(row["build"]) if row["build"] else None
        for server in (False, True):
            if ("Server" in product) if server else ("Windows Server" not in product):
                controller = "domain controller" in product
                facts, _ = scan(
                    system=_system(row, build, server=server, controller=controller),
                    software=_software(row, server=server),
                    files=_files(row, build),
                    wants=wants,
                )
                yield Sample(f"row {row['row']}: {product} {build}.{row['ubr']} server={server}", facts)


def published_levels(wants: Wants, *, builds: tuple[int, ...] = (), controllers: bool = False) -> Iterator[Sample]:
    """Yield a server without anything special at every published level, and a client at each branch's last one.

    Server 2019 from the flagship's range on has the file that the May update brought.
    """
    for build, branch in branches().items():
        releases = [release for release in branch.releases if release.ubr is not None]
        if builds and build not in builds:
            continue
        for release in releases:
            for installation in ("server", "client") if release is releases[-1] else ("server",):
                role: Literal["workstation", "member", "domain-controller"] = "workstation"
                if installation == "server":
                    role = "domain-controller" if controllers else "member"
                facts = empty_facts()
                facts["system"] = {
                    "build": build,
                    "ubr": release.ubr or 0,
                    "installation": installation,
                    "role": role,
                    "cluster_member": installation == "server",
                }
                fixed = build == 17763 and (release.ubr or 0) >= 1757
                facts["drivers"] = [
                    {"file": "vmstorfl.sys", "version": f"10.0.{build}.{1911 if fixed else 1}", "missing": False}
                ]
                facts["services"] = [
                    {"name": name, "start": "demand", "start_raw": "boot", "start_override": True}
                    for name in ("storflt", "storvsc", "vmbus")
                ]
                facts["boot"] = {"pending_xml": True, "sessions_pending": 1, "pending_operations": 60}
                looked_for(facts, wants)
                yield Sample(f"{build}.{release.ubr} {installation}", facts)


def looked_for(facts: Facts, wants: Wants) -> None:
    """Say of all that rules want that it was looked for and is not there."""
    facts["files"] = [{"path": glob, "glob": glob, "absent": True} for glob in sorted(wants.files)]
    facts["registry"] = [
        {"item": f"{hive}\\{key}:{value}", "hive": hive, "key": key, "value": value, "absent": True}
        for hive, key, value in sorted(wants.registry)
    ]


class _RealWindows(FakeWindows):
    """A made-up volume with one real hive."""

    def __init__(self, hive: Hive, software: Keys | None, files: Mapping[str, bytes]) -> None:
        super().__init__({"SOFTWARE": software} if software is not None else {}, files, {})
        self._system = hive

    def hive(self, name: str) -> FakeHive:
        return self._system if name == "SYSTEM" else super().hive(name)  # type: ignore[return-value]  # same face


def with_real_hive(
    hive_file: Path, wants: Wants, *, build: int, without: tuple[str, ...] = (), software: bool = True
) -> Facts:
    """Collect facts of a real SYSTEM hive beside a made SOFTWARE hive and a file for every driver service.

    Args:
        hive_file: the unpacked hive.
        wants: what the rules look at.
        build: what the machine ran.
        without: base names of driver files that are not there.
        software: whether there is a SOFTWARE hive that tells the build.

    """
    hive = Hive(BytesSource(hive_file.read_bytes()))
    row = {"product": "Windows", "build": str(build), "ubr": "1" if build >= 10240 else ""}
    keys: Keys | None = _software(row, server=False) if software else None
    # A first look tells which files the services name; without any file the folder would count as unreadable.
    bare = collect(Machine(_RealWindows(hive, keys, {rf"{DRIVERS}\usual.sys": b""}), Wants(), Diagnostics()))
    files = {driver["path"]: pe_file((10, 0, build, 1)) for driver in bare["drivers"] if "path" in driver}
    files = {path: data for path, data in files.items() if path.rpartition("\\")[2].lower() not in without}
    for folder in (r"\Windows\System32", DRIVERS):
        files[rf"{folder}\hidparse.sys"] = pe_file((10, 0, build, 1))
    return collect(Machine(_RealWindows(hive, keys, files), wants, Diagnostics()))
