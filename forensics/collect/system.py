r"""Which machine this is: SOFTWARE `CurrentVersion`, SYSTEM through `Select\Current`, and the kernel's file.

Sources of the facts: libyal/winreg-kb (CurrentVersion, ComputerName, Select), measured on real SYSTEM hives of
Windows 7, 8.1 and 10 (HardwareConfig, ShutdownTime, ProductOptions, TimeZoneInformation). That Windows 11 calls
itself "Windows 10" in ProductName is why the build decides.

A field whose hive cannot be read is a gap, so that a rule that needs it is unknown, not false. The build is never
guessed: what the SYSTEM hive hints at (`Setup\BuildUpdate`) is a diagnostic.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from forensics.collect.hardware import current_hardware
from forensics.collect.machine import Found, Machine
from forensics.collect.pe_facts import PeFacts, read_pe
from forensics.facts import Facts, Source, filetime_to_iso, source
from parsers.errors import FormatError, StopcodeError
from parsers.version import Version
from parsers.windows_builds import lookup

__all__ = ["collect"]

_Read = TypeVar("_Read")

_VERSION_KEY = r"Microsoft\Windows NT\CurrentVersion"
_SOFTWARE_FIELDS = (
    "product", "edition", "display_version", "installation", "build", "ubr", "version", "update_kb", "update_date",
    "update_kind", "installed_at",
)  # fmt: skip
_SYSTEM_FIELDS = (
    "hostname", "domain", "role", "control_set", "timezone", "last_shutdown", "manufacturer", "model",
    "cluster_member",
)  # fmt: skip
_INSTALLATION = {"client": "client", "server": "server", "server core": "server-core", "nano server": "nano"}
_ROLE = {"winnt": "workstation", "servernt": "member", "lanmannt": "domain-controller"}
_FIRST_WINDOWS_11 = 22000
#: From here on every installation has a UBR.
_FIRST_WITH_UBR = 10240


class _Fields:
    """Reads values of one hive into the section, with sources; damage becomes the field's gap."""

    def __init__(self, machine: Machine, facts: Facts, hive: str) -> None:
        self.machine = machine
        self.facts = facts
        self.hive = hive
        self.system: dict[str, Any] = facts["system"]  # type: ignore[assignment]  # fields are named by variables here
        self.sources: dict[str, Source] = facts["system"].setdefault("sources", {})

    def find(self, field: str, path: str, *names: str) -> Found | None:
        """Return the first of the named values; a damaged way to it becomes the field's gap."""
        try:
            for name in names:
                found = self.machine.value(self.hive, path, name)
                if found is not None:
                    return found
        except StopcodeError as error:
            self.machine.gap(self.facts, f"/system/{field}", error.message)
        return None

    def put(self, field: str, value: Any, where: Source) -> None:
        """Set a field."""
        self.system[field] = value
        self.sources[field] = where

    def take(self, field: str, convert: Callable[[Found], Any], path: str, *names: str) -> Any:
        """Set a field from the first of the named values; return what was set, or None."""
        found = self.find(field, path, *names)
        value = self.read(field, convert, found)
        if found is not None and value is not None:
            self.put(field, value, found.source)
        return value

    def read(self, field: str, convert: Callable[[Found], _Read | None], found: Found | None) -> _Read | None:
        """Return what a value tells, None when it is not there or damaged; damage becomes the field's gap."""
        try:
            return convert(found) if found is not None else None
        except StopcodeError as error:
            self.machine.gap(self.facts, f"/system/{field}", error.message)
            return None

    def require(self, field: str, reason: str) -> None:
        """Make a gap of a field that every Windows has and that was not found."""
        if field not in self.system:
            self.machine.gap(self.facts, f"/system/{field}", reason)


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/system`, but for `disk_as_of`, which is known last."""
    kernel = _kernel(machine, facts)
    try:
        machine.hive("SOFTWARE")
    except StopcodeError as error:
        machine.gaps(facts, "/system", _SOFTWARE_FIELDS, f"the SOFTWARE hive cannot be read: {error.message}")
        _hint_of_build(machine)
    else:
        _software(_Fields(machine, facts, "SOFTWARE"), kernel)
    try:
        control_set = machine.control_set
    except StopcodeError as error:
        machine.gaps(facts, "/system", _SYSTEM_FIELDS, f"the SYSTEM hive cannot be read: {error.message}")
    else:
        fields = _Fields(machine, facts, "SYSTEM")
        fields.put("control_set", control_set, machine.control_set_source)
        _system(fields)


def _kernel(machine: Machine, facts: Facts) -> PeFacts | None:
    """Set the architecture by the kernel's file and return what that tells."""
    path = f"{machine.root}\\System32\\ntoskrnl.exe"
    try:
        kernel = read_pe(machine.windows.files.open(path))
    except StopcodeError as error:
        machine.gap(facts, "/system/arch", f"ntoskrnl.exe cannot be read: {error.message}")
        return None
    if kernel.machine != "other":
        facts["system"]["arch"] = kernel.machine
        facts["system"].setdefault("sources", {})["arch"] = source("file", path, detail="PE Machine")
    return kernel


def _number_text(found: Found) -> int | None:
    text = found.text()
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) <= 6 else None


def _unix_time(found: Found) -> str | None:
    number = found.number()
    if not number:
        return None
    return datetime.fromtimestamp(number & 0xFFFFFFFF, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _software(fields: _Fields, kernel: PeFacts | None) -> None:
    machine = fields.machine
    build = fields.take("build", _number_text, _VERSION_KEY, "CurrentBuildNumber", "CurrentBuild")
    other = fields.find("build", _VERSION_KEY, "CurrentBuild")
    second = fields.read("build", _number_text, other)
    if build is not None and second not in (build, None):
        machine.diagnostics.warning(
            "system.build-contradicts",
            f"CurrentBuildNumber says {build}, CurrentBuild says {second}; the first is taken",
            source=f"SOFTWARE\\{_VERSION_KEY}",
        )
    fields.require("build", "SOFTWARE holds no CurrentBuildNumber")
    ubr = fields.take("ubr", Found.number, _VERSION_KEY, "UBR")
    if build is None or build >= _FIRST_WITH_UBR:
        fields.require("ubr", "SOFTWARE holds no UBR, which every Windows 10 and later has")
    edition = fields.take("edition", Found.text, _VERSION_KEY, "EditionID")
    fields.take("installation", lambda found: _installation(found, edition), _VERSION_KEY, "InstallationType")
    fields.require("installation", "SOFTWARE holds no InstallationType, which every Windows since Vista has")
    fields.take("product", lambda found: _product(found, build), _VERSION_KEY, "ProductName")
    fields.take("display_version", Found.text, _VERSION_KEY, "DisplayVersion", "ReleaseId")
    fields.take("installed_at", _unix_time, _VERSION_KEY, "InstallDate")
    if build is not None:
        _version(fields, build, ubr, kernel)
    if not machine.knows_gap("/system/build"):
        return
    machine.gaps(fields.facts, "/system", ("version", "update_kb", "update_date", "update_kind"), "no build is known")


def _installation(found: Found, edition: str | None) -> str | None:
    text = found.text()
    if text is None:
        return None
    # Azure Stack HCI and Azure Local hosts; Azure Edition guests are called ServerTurbine and are servers.
    if edition is not None and edition.lower().startswith("serverazurestackhci"):
        return "azure-local"
    return _INSTALLATION.get(text.lower(), "other")


def _role(found: Found) -> str:
    text = found.text()
    role = _ROLE.get((text or "").lower())
    if role is None:
        raise FormatError("regf", f"ProductType is {text!r}, which means nothing", offset=found.value.offset)
    return role


def _product(found: Found, build: int | None) -> str | None:
    text = found.text()
    if text is not None and build is not None and build >= _FIRST_WINDOWS_11 and text.startswith("Windows 10"):
        return "Windows 11" + text[len("Windows 10") :]
    return text


def _version(fields: _Fields, build: int, ubr: int | None, kernel: PeFacts | None) -> None:
    key = f"SOFTWARE\\{_VERSION_KEY}"
    if ubr is None:
        # Before 2014 there was no UBR: the kernel's file tells how far the machine was updated.
        if kernel is not None and kernel.version is not None and kernel.build == build:
            where = source("derived", f"{fields.machine.root}\\System32\\ntoskrnl.exe", detail="FileVersion")
            fields.put("version", kernel.version, where)
        return
    major, minor = _major_minor(fields)
    fields.put("version", f"{major}.{minor}.{build}.{ubr}", source("derived", key, detail="CurrentBuildNumber, UBR"))
    release = lookup(build, ubr)
    if release is None:
        return
    where = source("derived", key, detail=f"table of builds: {release.build}.{release.ubr}")
    for field, value in (
        ("update_kb", release.kb),
        ("update_date", release.date),
        ("update_kind", release.kind),
    ):
        if value is not None:
            fields.put(field, value, where)


def _major_minor(fields: _Fields) -> tuple[int, int]:
    numbers = []
    for name in ("CurrentMajorVersionNumber", "CurrentMinorVersionNumber"):
        found = fields.find("version", _VERSION_KEY, name)
        numbers.append(fields.read("version", Found.number, found))
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] & 0xFFFF, numbers[1] & 0xFFFF
    found = fields.find("version", _VERSION_KEY, "CurrentVersion")
    text = fields.read("version", Found.text, found)
    try:
        version = Version.parse(f"{text}.0.0")
    except ValueError:
        return 10, 0
    return version.major, version.minor


def _hint_of_build(machine: Machine) -> None:
    """Tell, as a remark, what the SYSTEM hive says of the build where SOFTWARE is gone."""
    try:
        found = machine.value("SYSTEM", r"Setup\BuildUpdate", "SourceOSVersion")
        number = found.number() if found is not None else None
    except StopcodeError:
        return
    if number:
        machine.diagnostics.info(
            "system.build-hint",
            f"The SYSTEM hive says that an update of this machine started from {Version.unpack(number)}; that is a "
            "hint, not its build",
            source=r"SYSTEM\Setup\BuildUpdate\SourceOSVersion",
        )


def _filetime(found: Found) -> str | None:
    return filetime_to_iso(found.filetime())


def _system(fields: _Fields) -> None:
    machine = fields.machine
    tcpip = machine.current(r"Services\Tcpip\Parameters")
    name = fields.take("hostname", Found.text, machine.current(r"Control\ComputerName\ComputerName"), "ComputerName")
    if name is None:
        fields.take("hostname", Found.text, tcpip, "NV Hostname", "Hostname")
    fields.require("hostname", "the SYSTEM hive holds no ComputerName")
    if fields.take("domain", Found.text, tcpip, "NV Domain") is None:
        fields.take("domain", Found.text, tcpip, "Domain")
    fields.take(
        "role",
        _role,
        machine.current(r"Control\ProductOptions"),
        "ProductType",
    )
    fields.take("timezone", Found.text, machine.current(r"Control\TimeZoneInformation"), "TimeZoneKeyName")
    fields.take("last_shutdown", _filetime, machine.current(r"Control\Windows"), "ShutdownTime")
    _hardware(fields)
    _cluster(fields)


def _hardware(fields: _Fields) -> None:
    try:
        hardware = current_hardware(fields.machine)
    except StopcodeError as error:
        fields.machine.gaps(fields.facts, "/system", ("manufacturer", "model"), error.message)
        return
    if hardware is not None:
        fields.take("manufacturer", Found.text, hardware.path, "SystemManufacturer")
        fields.take("model", Found.text, hardware.path, "SystemProductName")


def _cluster(fields: _Fields) -> None:
    """Tell whether the machine is in a failover cluster: its service is not disabled and its database is there."""
    path = fields.machine.current(r"Services\ClusSvc")
    database = f"{fields.machine.root}\\Cluster\\CLUSDB"
    try:
        start = fields.machine.value("SYSTEM", path, "Start")
        there = start is not None and start.number() != 4 and fields.machine.windows.files.stat(database) is not None
    except StopcodeError as error:
        fields.machine.gap(fields.facts, "/system/cluster_member", error.message)
        return
    fields.put("cluster_member", there, start.source if start is not None else source("key", f"SYSTEM\\{path}"))
