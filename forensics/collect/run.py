"""One collector after another, each in its own section: what fails in one leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable

from forensics.collect import (
    as_of,
    boot_config,
    boots,
    crash_settings,
    crashes,
    drivers,
    events,
    files,
    filters,
    hibernation,
    registry,
    services,
    system,
    updates,
)
from forensics.collect.evtx_log import ReadLog
from forensics.collect.machine import Machine
from forensics.facts import Facts, empty_facts
from parsers.errors import StopcodeError

__all__ = ["NOT_COLLECTED", "collect"]

#: Places of the document that no collector fills yet.
NOT_COLLECTED = (
    "/storage",
    "/security",
    "/boot/progress",
    "/system/clean_shutdown",
    "/system/cpu",
    "/system/hotpatch",
    "/system/hypervisor",
    "/system/memory_bytes",
    "/system/processors",
)


def collect(
    machine: Machine,
    progress: Callable[[str, int, int, Facts], None] | None = None,
    *,
    only: frozenset[str] | None = None,
) -> Facts:
    """Read one machine.

    Args:
        machine: the offline Windows, and what rules want of it.
        progress: told before each collector runs: its name, its number from 0, how many there are, and the facts
            so far, in which the sections of the collectors before it are whole.
        only: the names of the collectors to run, all of them when None; the sections of the others stay empty.

    """
    facts = empty_facts()
    log: list[ReadLog | None] = [None]

    def read_events(machine: Machine, facts: Facts) -> None:
        log[0] = events.collect(machine, facts)

    def read_boots(machine: Machine, facts: Facts) -> None:
        boots.collect(machine, facts, log[0])

    def read_as_of(machine: Machine, facts: Facts) -> None:
        as_of.collect(machine, facts, log[0])

    # Each stands behind what it reads of the facts: drivers behind services, filters behind drivers, crashes behind
    # boots and crash settings.
    steps: tuple[tuple[str, tuple[str, ...], Callable[[Machine, Facts], None]], ...] = (
        ("system", ("/system",), system.collect),
        ("services", ("/services",), services.collect),
        ("drivers", ("/drivers", "/boot/driver_missing"), drivers.collect),
        ("filters", ("/filters",), filters.collect),
        ("updates", ("/updates", "/boot/pending_operations", "/boot/pending_xml"), updates.collect),
        ("boot_config", tuple(f"/boot/{field}" for field in boot_config.FIELDS), boot_config.collect),
        ("hibernation", ("/boot/hibernation",), hibernation.collect),
        ("crash_settings", ("/crash_settings",), crash_settings.collect),
        ("events", ("/events",), read_events),
        ("boots", ("/boot/boots", "/boot/last_boot", "/boot/last_bugcheck"), read_boots),
        ("files", ("/files",), files.collect),
        ("registry", ("/registry",), registry.collect),
        ("crashes", ("/crashes",), crashes.collect),
        ("disk_as_of", ("/system/disk_as_of",), read_as_of),
    )
    if only is not None:
        steps = tuple(step for step in steps if step[0] in only)
    for number, (name, places, step) in enumerate(steps):
        if progress is not None:
            progress(name, number, len(steps), facts)
        try:
            step(machine, facts)
        except StopcodeError as error:
            for place in places:
                machine.gap(facts, place, error.message)
            # An unreadable hive was told when it was opened; one remark is enough.
            if not machine.was_told(error):
                machine.diagnostics.error(
                    "collect.failed", f"The collector {name} gave up: {error.message}", hint=error.hint
                )
    for place in NOT_COLLECTED:
        machine.gap(facts, place, "not collected")
    facts["gaps"].sort(key=lambda gap: gap["path"])
    return facts
