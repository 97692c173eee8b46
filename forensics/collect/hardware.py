r"""The hardware that the machine last started on: `SYSTEM\HardwareConfig`.

Each machine that the disk ever started on has a subkey named by its SMBIOS UUID, with a small `Id`; `LastConfig` names
the last one. `StartOverride` of a service is keyed by that `Id`. Measured on Windows 8.1 and 10 hives (VMware, Dell,
VirtualBox); Windows 7 has no such key.
"""

from __future__ import annotations

from dataclasses import dataclass

from forensics.collect.machine import Machine

__all__ = ["Hardware", "current_hardware"]

_MAX_CONFIGS = 256


@dataclass(frozen=True, slots=True)
class Hardware:
    """One hardware configuration.

    Attributes:
        path: key path in the SYSTEM hive.
        id: its number, or None.
        last_use: FILETIME of the last start on it, or 0.

    """

    path: str
    id: int | None
    last_use: int


def current_hardware(machine: Machine) -> Hardware | None:
    """Return the configuration of the last boot, or None where Windows keeps none.

    Where `LastConfig` names none that is there, the one with the newest `LastUse`.

    Raises:
        StopcodeError: the SYSTEM hive cannot be read there.

    """
    key = machine.key("SYSTEM", "HardwareConfig")
    if key is None:
        return None
    last = machine.value("SYSTEM", "HardwareConfig", "LastConfig")
    wanted = ((last.text() if last is not None else None) or "").lower()
    known: list[Hardware] = []
    for number, child in enumerate(key.subkeys()):
        if number >= _MAX_CONFIGS:
            break
        path = f"HardwareConfig\\{child.name}"
        found_id = machine.value("SYSTEM", path, "Id")
        use = machine.value("SYSTEM", path, "LastUse")
        if found_id is None and use is None:
            continue
        hardware = Hardware(
            path, found_id.number() if found_id is not None else None, use.filetime() if use is not None else 0
        )
        if child.name.lower() == wanted:
            return hardware
        known.append(hardware)
    return max(known, key=lambda item: (item.last_use, item.path), default=None)
