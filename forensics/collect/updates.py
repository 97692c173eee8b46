r"""What was installed: servicing packages (CBS), the update that build.UBR stands for, and what waits for a boot.

The level of a machine is its `CurrentBuild.UBR`; the table of builds names its update. Packages add which updates are
staged, waiting or broken, and when they came. A server has thousands of packages, most of them features and languages
in a settled state: kept are those that carry a KB, cumulative updates, servicing stacks, and every package that is
not settled; of these the newest `MAX_UPDATES`.

Sources: MicrosoftDocs/SupportArticles-docs (numbers of CurrentState, form of a package identity); community lists of
the places where Windows notes a pending reboot.
"""

from __future__ import annotations

import re
from typing import Any

from forensics.collect.machine import Machine, clip
from forensics.collect.volume import RegistryKey
from forensics.facts import Facts, UpdateFact, filetime_to_iso, path_of, source
from parsers.errors import StopcodeError
from parsers.limits import MAX_UPDATES
from parsers.windows_builds import lookup

__all__ = ["collect"]

_CBS = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"
_PACKAGES = f"{_CBS}\\Packages"
_STATES = {
    0: "absent",
    5: "uninstall-pending",
    16: "resolving",
    32: "resolved",
    48: "staging",
    64: "staged",
    80: "superseded",
    96: "install-pending",
    101: "partially-installed",
    112: "installed",
    128: "installed",
}
#: States in which a package rests.
_SETTLED = frozenset({"absent", "resolved", "staged", "superseded", "installed"})
_PENDING = frozenset({"install-pending", "uninstall-pending"})
_KB = re.compile(r"(?<![A-Za-z0-9])KB(\d{6,8})(?!\d)", re.IGNORECASE)
_MEMBER = re.compile(r"^Package_\d+_for_KB", re.IGNORECASE)
_ROLLUP = re.compile(r"^Package_for_RollupFix(?:_\w+)?~[^~]*~[^~]*~[^~]*~(\d+)\.(\d+)\.", re.IGNORECASE)
_STACK = re.compile(r"^Package_for_ServicingStack", re.IGNORECASE)
#: Values of the root of COMPONENTS that are absent, 0 or empty when no transaction is open
#: (Azure/repair-script-library: src/windows/win-fix-pending-servicing.ps1).
_MARKS = frozenset(
    (
        "advancedinstallersneedresolving",
        "executionstate",
        "nextqueueentryindex",
        "nextqueueentryindexbcdb",
        "pendingxmlidentifier",
        "storedirty",
    )
)
_RENAMES = ("PendingFileRenameOperations", "PendingFileRenameOperations2")


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/updates`, sorted by package, and what `/boot` says of pending operations."""
    _pending(machine, facts)
    _component_store(machine, facts)
    try:
        machine.hive("SOFTWARE")
    except StopcodeError as error:
        reason = f"the SOFTWARE hive cannot be read: {error.message}"
        machine.gap(facts, "/updates", reason)
        machine.gaps(facts, "/boot", ("sessions_pending", "reboot_pending"), reason)
        return
    packages = _packages(machine, facts)
    if len(packages) > MAX_UPDATES:
        packages.sort(key=lambda item: (item.get("installed_at", ""), item["package"]), reverse=True)
        machine.diagnostics.info(
            "updates.many", f"{len(packages)} servicing packages carry an update; the newest {MAX_UPDATES} are kept"
        )
        packages = packages[:MAX_UPDATES]
    level = _level(facts, packages)
    if level is not None:
        packages.append(level)
    elif machine.knows_gap("/system/build") or machine.knows_gap("/system/ubr"):
        machine.gap(facts, "/updates", "the build or its revision is not known")
    facts["updates"] = sorted(packages, key=lambda item: item["package"].lower())
    _sessions(machine, facts)


def _packages(machine: Machine, facts: Facts) -> list[UpdateFact]:
    key = machine.key("SOFTWARE", _PACKAGES)
    if key is None:
        machine.gap(facts, "/updates", f"SOFTWARE holds no {_PACKAGES}")
        return []
    found: list[UpdateFact] = []
    try:
        for child in key.subkeys():
            try:
                update = _package(child)
            except StopcodeError as error:
                machine.gap(facts, path_of("updates", child.name), f"the package's key is damaged: {error.message}")
                continue
            if update is not None:
                found.append(update)
    except StopcodeError as error:
        machine.gap(facts, "/updates", f"not every package can be read: {error.message}")
        machine.diagnostics.error(
            "updates.list-damaged",
            f"{len(found)} packages were read, others cannot be: {error.message}",
            source=f"SOFTWARE\\{_PACKAGES}",
        )
    return found


def _package(key: RegistryKey) -> UpdateFact | None:
    """Return one package, or None when it is a feature in a settled state, or a part of an update."""
    name = key.name
    code = _data(key, "CurrentState")
    state = None
    if isinstance(code, int):
        # Negative numbers: the state's own number, and broken.
        state = "failed" if code & 0x80000000 else _STATES.get(code, "other")
    knowledge = _KB.search(name)
    rollup = _ROLLUP.match(name)
    unsettled = state is not None and state not in _SETTLED
    if not unsettled and (_MEMBER.match(name) or not (knowledge or rollup or _STACK.match(name))):
        return None
    update: dict[str, Any] = {"package": clip(name, 256)}
    if rollup is not None:
        update["cumulative"] = True
        release = lookup(int(rollup.group(1)), int(rollup.group(2)))
        if release is not None and release.kb is not None:
            update["kb"] = release.kb
    elif knowledge is not None:
        update["kb"] = f"KB{knowledge.group(1)}"
    if state is not None and isinstance(code, int):
        update["state"] = state
        update["state_code"] = code
        update["pending_reboot"] = state in _PENDING
    high, low = _data(key, "InstallTimeHigh"), _data(key, "InstallTimeLow")
    if isinstance(high, int) and isinstance(low, int):
        time = filetime_to_iso((high & 0xFFFFFFFF) << 32 | low & 0xFFFFFFFF)
        if time is not None:
            update["installed_at"] = time
    update["source"] = source("key", f"SOFTWARE\\{_PACKAGES}\\{name}", offset=key.offset)
    return update  # type: ignore[return-value]  # built field by field; a test holds it against the shape


def _data(key: RegistryKey, name: str) -> int | str | list[str] | bytes | None:
    value = key.value(name)
    return value.decoded() if value is not None else None


def _level(facts: Facts, packages: list[UpdateFact]) -> UpdateFact | None:
    """Return the entry for the update that build.UBR stands for."""
    system = facts["system"]
    build, ubr = system.get("build"), system.get("ubr")
    if build is None or ubr is None:
        return None
    update: UpdateFact = {
        "package": f"build {build}.{ubr}",
        "state": "installed",
        "cumulative": True,
        "source": source(
            "derived", r"SOFTWARE\Microsoft\Windows NT\CurrentVersion", detail="UBR, by the table of builds"
        ),
    }
    release = lookup(build, ubr)
    if release is not None and release.kb is not None:
        update["kb"] = release.kb
        times = [item["installed_at"] for item in packages if item.get("kb") == release.kb and "installed_at" in item]
        if times:
            update["installed_at"] = max(times)
    return update


def _pending(machine: Machine, facts: Facts) -> None:
    """Tell what waits for the next boot: pending.xml of WinSxS, and file renames."""
    boot = facts["boot"]
    sources = boot.setdefault("sources", {})
    path = f"{machine.root}\\WinSxS\\pending.xml"
    try:
        stat = machine.windows.files.stat(path)
    except StopcodeError as error:
        machine.gap(facts, "/boot/pending_xml", f"{path} cannot be looked up: {error.message}")
    else:
        boot["pending_xml"] = stat is not None
        sources["pending_xml"] = source("file", path)
        if stat is not None and not stat.size:
            machine.diagnostics.warning(
                "updates.pending-empty", "pending.xml is there and empty: servicing was cut off", source=path
            )
    try:
        manager = machine.current(r"Control\Session Manager")
        count = 0
        for name in _RENAMES:
            found = machine.value("SYSTEM", manager, name)
            if found is not None:
                count += _pairs(found.value.data)
                sources["pending_operations"] = found.source
    except StopcodeError as error:
        machine.gap(facts, "/boot/pending_operations", error.message)
        return
    boot["pending_operations"] = count


def _component_store(machine: Machine, facts: Facts) -> None:
    """Tell which marks of an unfinished transaction the root of COMPONENTS holds, neither 0 nor empty."""
    boot = facts["boot"]
    try:
        if machine.windows.files.stat(f"{machine.root}\\System32\\config\\COMPONENTS") is None:
            return
        # Not by the machine: nothing else needs this hive, so that its loss is a gap and no more.
        values = list(machine.windows.hive("COMPONENTS").root.values())
        marks = sorted(value.name for value in values if value.name.lower() in _MARKS and any(value.data))
    except StopcodeError as error:
        machine.gap(facts, "/boot/component_marks", f"the hive COMPONENTS cannot be read: {error.message}")
        return
    boot["component_marks"] = marks
    boot.setdefault("sources", {})["component_marks"] = source("key", "COMPONENTS")


def _pairs(data: bytes) -> int:
    """Count (source, target) pairs; an empty target means "delete", so a plain split at NULs would lose it."""
    names = data.decode("utf-16-le", "replace").split("\0")
    # Two NULs end a REG_MULTI_SZ; an empty target before them leaves one more.
    while names and not names[-1]:
        names.pop()
    return (len(names) + 1) // 2


def _sessions(machine: Machine, facts: Facts) -> None:
    """Tell of servicing sessions that are open, and of the mark that a reboot is needed."""
    boot = facts["boot"]
    sources = boot.setdefault("sources", {})
    path = f"{_CBS}\\SessionsPending"
    try:
        key = machine.key("SOFTWARE", path)
        # A finished session stays behind with Complete = 1 on healthy machines.
        count = sum(1 for child in key.subkeys() if _data(child, "Complete") != 1) if key is not None else 0
        if key is not None and not count and _data(key, "Exclusive") not in (None, 0):
            count = 1
        boot["sessions_pending"] = count
        sources["sessions_pending"] = source("key", f"SOFTWARE\\{path}")
    except StopcodeError as error:
        machine.gap(facts, "/boot/sessions_pending", error.message)
    path = f"{_CBS}\\RebootPending"
    try:
        # Volatile: its absence on a disk proves nothing, its presence was written out by a crash.
        boot["reboot_pending"] = machine.key("SOFTWARE", path) is not None
        sources["reboot_pending"] = source("key", f"SOFTWARE\\{path}")
    except StopcodeError as error:
        machine.gap(facts, "/boot/reboot_pending", error.message)
