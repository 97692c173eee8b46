r"""Driver files: every .sys under `System32\drivers`, and every file that a driver service names.

A file is joined with its service by the file in ImagePath, never by the key's name: vmstorfl.sys belongs to
`storflt`. A file that several services name belongs first to the one that starts earliest.

Names. An item is addressed by `file`, its lower-case base name. Where two folders hold the same name, the file in
`System32\drivers` has the plain name (where none lies there: the first by path), and the others carry their path on
the volume, in lower case and without the leading backslash, as `file`.

What cannot be read of a file is a gap for each field that its header or version resource gives. A file without a
version resource has no version, which is no gap: many drivers of other vendors have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from forensics.collect.machine import Machine
from forensics.collect.pe_facts import read_pe
from forensics.collect.services import DRIVER_TYPES, image_file
from forensics.collect.volume import FileEntry
from forensics.facts import DriverFact, Facts, ServiceFact, filetime_to_iso, hex64, path_of, source
from forensics.unreadable import unreadable_boot_drivers
from parsers.errors import NotCollectedError, StopcodeError
from parsers.limits import MAX_DRIVER_FILES
from parsers.windows_builds import shares_with

__all__ = ["collect", "driver_path"]

_ORDER = {"boot": 0, "system": 1, "auto": 2, "demand": 3, "disabled": 4}
_RESOURCE_FIELDS = ("version", "product_version", "company", "description", "original_name", "on_branch")
_HEADER_FIELDS = ("machine", "timestamp", "checksum", "size_of_image")
_SERVICE_FIELDS = ("service", "services", "start", "start_raw", "group")


#: Files that a remark names.
_MOST_TOLD = 5
#: Files that are told to be read soon: a remote image's cache holds what these need, and more.
_AT_ONCE = 128


class _Candidate:
    """One path, with what names it."""

    def __init__(self, path: str, stat: FileEntry | None) -> None:
        self.path = path
        self.stat = stat
        self.services: list[ServiceFact] = []
        self.problem = ""


def driver_path(machine: Machine, service: ServiceFact) -> str | None:
    """Return the volume path of a driver service's file, or None when it lies on another volume."""
    image_path = service.get("image_path")
    if image_path is None:
        return f"{machine.root}\\System32\\drivers\\{service['name']}.sys"
    return machine.windows.resolve(image_file(image_path))


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/drivers`, sorted by name, and `/boot/driver_missing`."""
    folder = f"{machine.root}\\System32\\drivers"
    candidates: dict[str, _Candidate] = {}
    for stat in _listed(machine, facts, folder):
        if not stat.is_dir and stat.name.lower().endswith(".sys"):
            candidates[stat.path.lower()] = _Candidate(stat.path, stat)
    elsewhere: list[ServiceFact] = []
    for service in facts["services"]:
        if service.get("type") in DRIVER_TYPES:
            _join(machine, service, folder.lower(), candidates, elsewhere)
    if len(candidates) > MAX_DRIVER_FILES:
        machine.gap(facts, "/drivers", f"only the first {MAX_DRIVER_FILES} driver files were read")
    names = _names(folder.lower(), candidates)
    chosen = sorted(candidates, key=lambda key: names[key])[:MAX_DRIVER_FILES]
    unknown = _services_unknown(facts)
    facts["drivers"] = []
    for start in range(0, len(chosen), _AT_ONCE):
        portion = chosen[start : start + _AT_ONCE]
        machine.windows.ahead([partial(_look, machine, candidates[key].stat) for key in portion])
        facts["drivers"] += [_driver(machine, facts, names[key], candidates[key], unknown) for key in portion]
    known = {driver["file"] for driver in facts["drivers"]}
    for service in elsewhere:
        driver = _on_other_volume(machine, facts, service, known)
        known.add(driver["file"])
        facts["drivers"].append(driver)
    facts["drivers"].sort(key=lambda driver: driver["file"])
    _missing(machine, facts, elsewhere, unknown)
    _tell_unreadable(machine, facts)


def _look(machine: Machine, stat: FileEntry | None) -> None:
    """Read what `_driver` will read of a file."""
    if stat is not None and stat.size:
        read_pe(machine.windows.files.open(stat.path))


def _listed(machine: Machine, facts: Facts, folder: str) -> Sequence[FileEntry]:
    damage: list[StopcodeError] = []
    try:
        listed = machine.windows.files.listdir(folder, damage)
    except StopcodeError as error:
        machine.gap(facts, "/drivers", f"the folder {folder} cannot be read: {error.message}")
        machine.diagnostics.error("drivers.folder-unreadable", f"{folder} cannot be read: {error.message}")
        return []
    for broken in damage:
        if isinstance(broken, NotCollectedError):
            machine.gap(facts, "/drivers", broken.message)
            continue
        machine.gap(facts, "/drivers", f"the folder {folder} is damaged: {broken.message}")
        machine.diagnostics.error(
            "drivers.folder-damaged",
            f"{len(listed)} entries of {folder} were read, the others cannot be: {broken.message}",
            source=folder,
        )
    if not listed and not damage:
        machine.gap(facts, "/drivers", f"there is no folder {folder}, or nothing in it")
    return listed


def _join(
    machine: Machine,
    service: ServiceFact,
    folder: str,
    candidates: dict[str, _Candidate],
    elsewhere: list[ServiceFact],
) -> None:
    if machine.knows_gap(path_of("services", service["name"], "image_path")):
        return
    path = driver_path(machine, service)
    if path is None:
        elsewhere.append(service)
        return
    key = path.lower()
    candidate = candidates.get(key)
    if candidate is None:
        candidate = _Candidate(path, None)
        listed = key.rpartition("\\")[0] == folder and key.endswith(".sys")
        if not listed or machine.knows_gap("/drivers"):
            try:
                candidate.stat = machine.windows.files.stat(path)
            except StopcodeError as error:
                candidate.problem = error.message
            if candidate.stat is not None:
                candidate.path = candidate.stat.path
            elif listed:
                # The folder could not be listed whole: nobody can say that the file is missing.
                return
        candidates[key] = candidate
    candidate.services.append(service)


def _names(folder: str, candidates: dict[str, _Candidate]) -> dict[str, str]:
    """Return the item's name of each candidate, by its key."""
    by_base: dict[str, list[str]] = {}
    for key in candidates:
        by_base.setdefault(key.rpartition("\\")[2], []).append(key)
    names = {}
    for base, keys in by_base.items():
        # A file that is there goes before one that is missing; the drivers folder before all others.
        keys.sort(key=lambda key: (candidates[key].stat is None, key.rpartition("\\")[0] != folder, key))
        for number, key in enumerate(keys):
            names[key] = base if number == 0 else key.lstrip("\\")
    return names


def _services_unknown(facts: Facts) -> str:
    """Return why a file that no readable service names may belong to one all the same; "" when it does not."""
    for gap in facts["gaps"]:
        if gap["path"] == "/services":
            return "the services cannot be read"
        if gap["path"].startswith("/services/") and (
            gap["path"].count("/") == 2 or gap["path"].endswith(("/image_path", "/type"))
        ):
            return "a service that may name this file is damaged"
    return ""


def _driver(machine: Machine, facts: Facts, name: str, candidate: _Candidate, unknown: str) -> DriverFact:
    driver: dict[str, Any] = {"file": name, "path": candidate.path}
    services = sorted(candidate.services, key=lambda item: (_ORDER.get(item.get("start", ""), 9), item["name"].lower()))
    if services:
        driver["service"] = services[0]["name"]
        if len(services) > 1:
            driver["services"] = [service["name"] for service in services]
        for field in ("start", "start_raw", "group"):
            if field in services[0]:
                driver[field] = services[0][field]
            elif machine.knows_gap(path_of("services", services[0]["name"], field)):
                machine.gap(facts, path_of("drivers", name, field), "the value of the service is damaged")
    elif unknown:
        machine.gaps(facts, path_of("drivers", name), _SERVICE_FIELDS, unknown)
    stat = candidate.stat
    if stat is None:
        key = services[0]["source"]["path"] if services else ""
        if candidate.problem:
            machine.gap(facts, path_of("drivers", name), f"the file cannot be looked up: {candidate.problem}")
        else:
            driver["missing"] = True
        driver["source"] = source("value", key, detail="ImagePath")
        return driver  # type: ignore[return-value]  # built field by field; a test holds it against the shape
    driver["size"] = stat.size
    modified = filetime_to_iso(stat.modified)
    if modified is not None:
        driver["modified"] = modified
    driver["missing"] = False
    _contents(machine, facts, driver, stat)
    return driver  # type: ignore[return-value]  # as above


def _contents(machine: Machine, facts: Facts, driver: dict[str, Any], stat: FileEntry) -> None:
    item = path_of("drivers", driver["file"])
    driver["source"] = source("file", stat.path)
    try:
        pe = read_pe(machine.windows.files.open(stat.path))
    except StopcodeError as error:
        machine.gaps(facts, item, (*_RESOURCE_FIELDS, *_HEADER_FIELDS), error.message)
        return
    driver["machine"] = pe.machine
    driver["timestamp"] = hex64(pe.timestamp)
    driver["checksum"] = hex64(pe.checksum)
    driver["size_of_image"] = pe.size_of_image
    if pe.problem:
        machine.gaps(facts, item, _RESOURCE_FIELDS, pe.problem)
        return
    if pe.version is None:
        return
    driver["version"] = pe.version
    driver["product_version"] = pe.product_version
    for field, string in (
        ("company", "CompanyName"),
        ("description", "FileDescription"),
        ("original_name", "OriginalFilename"),
    ):
        if pe.strings.get(string):
            driver[field] = pe.strings[string]
    build = facts["system"].get("build")
    if build is not None:
        driver["on_branch"] = pe.build in shares_with(build)
    else:
        machine.gap(facts, f"{item}/on_branch", "the machine's build is not known")
    driver["source"] = source("file", stat.path, detail="VS_FIXEDFILEINFO", offset=pe.offset)


def _on_other_volume(machine: Machine, facts: Facts, service: ServiceFact, taken: set[str]) -> DriverFact:
    """Return an item for a file that lies on a volume that is not the Windows volume.

    Its name is the base name too; where that is taken, the ImagePath in lower case, then with the service's name.
    """
    path = service.get("image_path", "").lower()
    names = (service.get("image", service["name"].lower()), path, f"{path} ({service['name'].lower()})")
    name = next((name for name in names if name not in taken), names[-1])
    item = path_of("drivers", name)
    reason = f"the service names a place that is not on the Windows volume: {service.get('image_path')}"
    machine.gaps(facts, item, (*_RESOURCE_FIELDS, *_HEADER_FIELDS, "missing", "size", "modified", "path"), reason)
    driver: DriverFact = {
        "file": name,
        "service": service["name"],
        "source": source("value", service["source"]["path"], detail="ImagePath"),
    }
    if "start" in service:
        driver["start"] = service["start"]
    if "start_raw" in service:
        driver["start_raw"] = service["start_raw"]
    return driver


def _missing(machine: Machine, facts: Facts, elsewhere: list[ServiceFact], reason: str) -> None:
    """Fill `/boot/driver_missing`: files of boot-start services that are not there."""
    if machine.knows_gap("/drivers"):
        reason = "the drivers folder cannot be read"
    if reason:
        machine.gap(facts, "/boot/driver_missing", reason)
    for driver in facts["drivers"]:
        item = path_of("drivers", driver["file"])
        if machine.knows_gap(item) or (driver.get("missing") and machine.knows_gap(f"{item}/start")):
            machine.gap(facts, "/boot/driver_missing", f"start type or file of {driver['file']} cannot be read")
    missing = [driver["file"] for driver in facts["drivers"] if driver.get("missing") and driver.get("start") == "boot"]
    unknown = [service["name"] for service in elsewhere if service.get("start") == "boot"]
    if unknown:
        machine.gap(
            facts, "/boot/driver_missing", f"boot-start services with files on another volume: {', '.join(unknown)}"
        )
    facts["boot"]["driver_missing"] = missing


def _tell_unreadable(machine: Machine, facts: Facts) -> None:
    """Name the files that Windows loads first and of which not even the header can be read."""
    broken = unreadable_boot_drivers(facts)
    if not broken:
        return
    more = f"; and {len(broken) - _MOST_TOLD} more" if len(broken) > _MOST_TOLD else ""
    told = "; ".join(f"{name} ({reason})" for name, reason in broken[:_MOST_TOLD])
    machine.diagnostics.error(
        "drivers.boot-unreadable",
        f"Files of boot-start drivers are there and cannot be read: {told}{more}",
        hint="if they are as damaged on the machine itself Windows does not load them, and may not start: put back a "
        "file of the same build, or copy the disk again when its source is sound",
    )
