"""The files of a machine's Windows volume and system partition, laid out in folders."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from samples.bcd import bcd_store
from samples.drivers import Driver, build_all
from samples.events import system_log
from samples.machine import Machine
from samples.registry_software import software_hive
from samples.registry_system import system_hive
from samples.services import company_and_version, load
from samples.story import ACTORS, lab_of

__all__ = ["damage", "dated_folders", "driver_of", "loaded_files", "set_times", "write_system_volume", "write_windows"]

#: System files beside the drivers.
_SYSTEM_FILES = (
    "System32/ntoskrnl.exe", "System32/hal.dll", "System32/ci.dll", "System32/kdcom.dll", "System32/bootvid.dll",
    "System32/pshed.dll", "System32/ntdll.dll", "System32/smss.exe", "System32/csrss.exe", "System32/wininit.exe",
    "System32/winlogon.exe", "System32/services.exe", "System32/lsass.exe", "System32/svchost.exe",
    "System32/win32k.sys", "System32/win32kbase.sys", "System32/win32kfull.sys", "System32/drivers/storport.sys",
    "System32/drivers/classpnp.sys", "System32/drivers/wmilib.sys", "System32/drivers/ataport.sys",
    "System32/drivers/WdfLdr.sys", "System32/drivers/vmbkmcl.sys", "System32/drivers/winhv.sys",
    "System32/drivers/tm.sys", "System32/drivers/netio.sys", "System32/drivers/fwpkclnt.sys",
    "System32/drivers/pciidex.sys", "System32/drivers/crashdmp.sys", "System32/drivers/dumpfve.sys",
    "System32/drivers/watchdog.sys", "System32/drivers/videoprt.sys", "System32/drivers/dxgmms2.sys",
)  # fmt: skip
_LOADERS = {1: ("winload.exe", "winresume.exe"), 2: ("winload.efi", "winresume.efi")}
_FOLDERS = (
    "Program Files/Common Files", "Program Files (x86)", "ProgramData/Microsoft/Windows", "Users/Default/Documents",
    "Users/Public/Documents", "Users/Administrator/Documents", "PerfLogs", "Windows/INF", "Windows/Logs/CBS",
    "Windows/Minidump", "Windows/Panther", "Windows/servicing/Packages", "Windows/SoftwareDistribution/DataStore",
    "Windows/System32/config/RegBack", "Windows/System32/config/TxR", "Windows/System32/LogFiles/Srt",
    "Windows/System32/winevt/Logs", "Windows/Temp", "Windows/WinSxS/Backup",
)  # fmt: skip


def driver_of(name: str, machine: Machine) -> Driver:
    """Return how a system file of a machine is built."""
    company, version = company_and_version(name, machine.build, machine.ubr)
    if name not in ACTORS:
        return Driver(name, version, company)
    replace = (("@BUILD_LAB@", lab_of(machine.build)),) if name == "ntoskrnl.exe" else ()
    description = {
        "ntoskrnl.exe": "NT Kernel & System",
        "Wdf01000.sys": "Kernel Mode Driver Framework Runtime",
        "vmstorfl.sys": "Virtual Storage Filter Driver",
    }[name]
    return Driver(name, version, company, description, name.partition(".")[0], replace)


def _files(machine: Machine) -> list[str]:
    listed = [*_SYSTEM_FILES, *(f"System32/{name}" for name in _LOADERS[machine.generation])]
    listed += [service.file for service in load() if service.is_driver]
    unique: dict[str, str] = {}
    for path in listed:
        unique.setdefault(path.lower(), path)
    return list(unique.values())


def loaded_files(windows: Path) -> list[Path]:
    """Return the files of the modules that a crash soon after boot has in memory, in load order."""
    names = ["System32/ntoskrnl.exe", "System32/hal.dll", "System32/kdcom.dll", "System32/bootvid.dll"]
    names += ["System32/pshed.dll", "System32/ci.dll", "System32/drivers/WdfLdr.sys"]
    names += ["System32/drivers/storport.sys", "System32/drivers/classpnp.sys", "System32/drivers/wmilib.sys"]
    names += ["System32/drivers/ataport.sys", "System32/drivers/pciidex.sys", "System32/drivers/vmbkmcl.sys"]
    names += ["System32/drivers/winhv.sys", "System32/drivers/netio.sys", "System32/drivers/crashdmp.sys"]
    idle = {service.name for service in load() if service.override is not None}
    for start in (0, 1):
        names += [s.file for s in load() if s.is_driver and s.start == start and s.name not in idle]
    unique = {name.lower(): name for name in reversed(names)}
    return [windows / unique[name] for name in dict.fromkeys(name.lower() for name in names)]


def set_times(path: Path, moment: datetime) -> None:
    """Set a file's times."""
    os.utime(path, (moment.timestamp(), moment.timestamp()))


def _write(path: Path, data: bytes, moment: datetime) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    set_times(path, moment)


def write_windows(root: Path, machine: Machine, cache: Path | None) -> None:
    """Write the files of the Windows volume, without dumps."""
    windows = root / "Windows"
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    drivers = {windows / path: driver_of(path.rpartition("/")[2], machine) for path in _files(machine)}
    build_all(drivers, cache)
    for path, driver in drivers.items():
        serviced = driver.version.rpartition(".")[2] not in ("0", "1") and driver.company.startswith("Microsoft")
        set_times(path, max(update.installed for update in machine.updates) if serviced else machine.installed)
    config = windows / "System32" / "config"
    # The head of a page file in use is anything but a dump; its size is only what the sample can afford.
    if not machine.page_file.startswith("D:"):
        _write(root / "pagefile.sys", bytes(4 << 20), machine.touched)
    _write(config / "SYSTEM", system_hive(machine), machine.touched)
    _write(config / "SOFTWARE", software_hive(machine), machine.touched)
    for name in ("SYSTEM", "SOFTWARE"):
        for suffix in (".LOG1", ".LOG2"):
            _write(config / f"{name}{suffix}", b"", machine.installed)
    _write(windows / "System32" / "winevt" / "Logs" / "System.evtx", system_log(machine), machine.touched)
    for update in machine.updates:
        identity = f'<assembly><assemblyIdentity name="{update.package}" /></assembly>'
        _write(windows / "servicing" / "Packages" / f"{update.package}.mum", identity.encode(), update.installed)


def write_system_volume(root: Path, machine: Machine) -> None:
    """Write the files of the system partition."""
    if machine.generation == 1:
        _write(root / "bootmgr", b"BOOTMGR of a sample: no code\r\n", machine.installed)
        _write(root / "Boot" / "BCD", bcd_store(machine), machine.touched)
        _write(root / "Boot" / "memtest.exe", b"", machine.installed)
    else:
        boot = root / "EFI" / "Microsoft" / "Boot"
        _write(boot / "bootmgfw.efi", b"bootmgfw of a sample: no code\r\n", machine.installed)
        _write(boot / "BCD", bcd_store(machine), machine.touched)


def damage(root: Path, machine: Machine) -> None:
    """Zero the first 64 KiB of SOFTWARE, as lost sectors do, and leave SYSTEM as it is in the middle of a write."""
    config = root / "Windows" / "System32" / "config"
    _write(config / "SOFTWARE", bytes(0x10000) + software_hive(machine)[0x10000:], machine.touched)
    _write(config / "SYSTEM", system_hive(machine, sequence=(88, 87)), machine.touched)


def dated_folders(root: Path, moment: datetime) -> None:
    """Give every folder one time; the order of writing would show otherwise."""
    for folder, names, _files in os.walk(root, topdown=False):
        for name in names:
            set_times(Path(folder) / name, moment)
    set_times(root, moment)
