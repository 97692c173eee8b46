"""How times, stop codes, machines and culprits are put into words: the same in the verdict and in every listing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "byte_size",
    "caused_by",
    "count_of",
    "culprit_name",
    "duration",
    "machine_name",
    "module_version",
    "moment",
    "place",
    "stop_code",
    "where",
]

#: The kernel and the HAL run everybody's code: naming them as the way of a crash tells nothing.
_KERNEL = frozenset({"nt", "ntoskrnl.exe", "ntkrnlmp.exe", "ntkrnlpa.exe", "ntkrpamp.exe", "hal.dll"})


def moment(iso: str | None) -> str:
    """Return an ISO time as people write it, to the second ("2021-03-02 09:59:30 UTC")."""
    if not iso:
        return "an unknown time"
    day, t, rest = iso.partition("T")
    return f"{day} {rest[:8]} UTC" if t else iso


def duration(seconds: float) -> str:
    """Return a time span in the two units that matter."""
    whole = int(seconds)
    if whole < 600:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"


def byte_size(number: object) -> str:
    """Return a number of bytes in a unit that says something ("1.5 GiB", cut, not rounded); "" for none."""
    if not isinstance(number, int) or number <= 0:
        return ""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= factor:
            return f"{number // factor}.{number * 10 // factor % 10} {unit}"
    return f"{number} bytes"


def count_of(number: int, word: str, many: str = "") -> str:
    """Return "1 rule", "2 rules"; `many` is the plural where it takes more than an s."""
    return f"{number:,} {word if number == 1 else many or word + 's'}"


def stop_code(bugcheck: Mapping[str, Any]) -> str:
    """Return a stop code with its name ("0x7E SYSTEM_THREAD_EXCEPTION_NOT_HANDLED")."""
    code = str(bugcheck.get("code") or "")
    try:
        number = f"0x{int(code, 16):X}"
    except ValueError:
        number = code or "an unknown stop code"
    name = str(bugcheck.get("name") or "")
    return f"{number} {name}".rstrip()


def machine_name(facts: Mapping[str, Any]) -> str:
    """Return who the machine is ("SRV1 (Windows Server 2019 Standard, 10.0.17763.1757)")."""
    system = facts.get("system") or {}
    known = [str(system[name]) for name in ("product", "version") if system.get(name)]
    if not known and system.get("build"):
        known = [f"build {system['build']}"]
    if not known:
        builds = [crash["build"] for crash in facts.get("crashes") or [] if crash.get("build")]
        known = [f"Windows build {builds[0]}"] if builds else []
    name = str(system.get("hostname") or "This machine")
    return f"{name} ({', '.join(known)})" if known else name


def module_version(crash: Mapping[str, Any], name: str) -> str | None:
    """Return the file version of a module as it was loaded, None where it is not known."""
    for module in crash.get("modules") or []:
        if str(module.get("name", "")).lower() == name.lower():
            version = module.get("version")
            return str(version) if version else None
    return None


def culprit_name(crash: Mapping[str, Any]) -> str:
    """Return the blamed module with its version, or what else is blamed."""
    culprit = crash.get("culprit") or {}
    module = culprit.get("module")
    if module:
        version = module_version(crash, str(module))
        return f"{module} {version}" if version else str(module)
    if _accuses_nobody(crash):
        return "nobody"
    return str(culprit.get("kind") or "unknown")


def _beside(crash: Mapping[str, Any], module: str) -> str | None:
    """Return the module right beside the culprit on the certain part of the stack, that of the fault before others."""
    names = [
        str(frame["module"])
        for frame in crash.get("stack") or []
        if frame.get("module") and frame.get("confidence") in ("exact", "likely")
    ]
    lower = [name.lower() for name in names]
    if module.lower() not in lower:
        return None
    first = lower.index(module.lower())
    above = [name for name in names[:first] if name.lower() not in _KERNEL]
    if above:
        return above[-1]
    after = next((at for at in range(first, len(lower)) if lower[at] != module.lower()), None)
    return names[after] if after is not None and lower[after] not in _KERNEL else None


_CAUSES = {
    "hardware": "the evidence points at the hardware",
    "manual": "somebody stopped it on purpose",
    "boot": "Windows could not reach what it starts from",
    "process": "a process that Windows cannot do without ended",
}


def _accuses_nobody(crash: Mapping[str, Any]) -> bool:
    """Tell whether this is a live report that names nothing: nobody stopped that machine."""
    return bool(crash.get("live")) and (crash.get("culprit") or {}).get("kind") == "manual"


def caused_by(crash: Mapping[str, Any]) -> str:
    """Return who is to blame, as the end of a sentence ("the culprit is vmstorfl.sys 1.2.3.4 through Wdf01000.sys")."""
    culprit = crash.get("culprit") or {}
    module = culprit.get("module")
    kind = str(culprit.get("kind") or "unknown")
    if kind == "driver" and module:
        through = _beside(crash, str(module))
        way = f" through {through}" if through else ""
        if culprit.get("confidence") in ("high", "medium"):
            return f"the culprit is {culprit_name(crash)}{way}"
        return f"the stack hints at {culprit_name(crash)}, which is no proof"
    if _accuses_nobody(crash):
        return "nobody is accused: the machine ran on"
    if kind == "hardware" and culprit.get("confidence") == "low":
        return "the evidence hints at the hardware, which is no proof"
    if kind in _CAUSES:
        return _CAUSES[kind] + (f" ({module})" if module else "")
    return "no driver can be named"


def place(frame: Mapping[str, Any]) -> str:
    """Return where a frame stands: symbol, else module+offset, else the bare address."""
    if frame.get("symbol"):
        return str(frame["symbol"])
    if frame.get("module"):
        return f"{frame['module']}+{frame.get('offset', '')}"
    if frame.get("unloaded"):
        return f"{frame['unloaded']}+{frame.get('offset', '')} (unloaded)"
    return str(frame.get("ip") or "")


def where(source: Mapping[str, Any] | None) -> str:
    """Return a source as a person looks it up: path, detail, offset."""
    if not source:
        return ""
    text = str(source.get("path") or "")
    if source.get("detail"):
        text += f": {source['detail']}"
    offset = source.get("offset")
    if isinstance(offset, int):
        text += f" @ {offset:#x}"
    return text
