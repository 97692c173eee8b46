r"""Whether Windows was hibernated, or shut down with fast startup, when the disk was copied.

`\hiberfil.sys` then holds the kernel's memory, and with it what it had not written: a Windows that resumes from it
takes no notice of changes on the disk, and files, hives and the journal may be older than that memory. Only the file's
first bytes tell; its size and its being there mean nothing.

Sources: volatility wiki, "Hiber Address Space" (`hibr` and `wake` at offset 0); tuxera/ntfs-3g, libntfs-3g/volume.c
(`hibr` or `HIBR`: hibernated, and its `ntfs-3g.probe` is the judge in the tests); Sylve, Marziale, Richard, "Modern
Windows hibernation file analysis" (2016: fast startup writes the same file, a resume of Windows 8 and later zeroes its
head). `rstr` for a resume that was under way is known of other readers only.
"""

from __future__ import annotations

from typing import Final, Literal

from forensics.collect.machine import Machine
from forensics.facts import Facts, source
from parsers.errors import StopcodeError

__all__ = ["PATH", "collect"]

PATH: Final = "\\hiberfil.sys"
_STATES: Final[dict[bytes, Literal["none", "hibernated", "resumed"]]] = {
    b"": "none",
    bytes(4): "none",
    b"hibr": "hibernated",
    b"wake": "resumed",
    b"rstr": "resumed",
}


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/boot/hibernation`, and say so where the disk may be older than the memory in the file."""
    files = machine.windows.files
    try:
        head = files.open(PATH).read_at(0, 4) if files.stat(PATH) is not None else b""
    except StopcodeError as error:
        machine.gap(facts, "/boot/hibernation", error.message)
        return
    state = _STATES.get(head.lower())
    if state is None:
        machine.gap(facts, "/boot/hibernation", f"{PATH} begins with {head!r}, which is not known")
        return
    facts["boot"]["hibernation"] = state
    facts["boot"].setdefault("sources", {})["hibernation"] = source("file", PATH, offset=0)
    if state == "hibernated":
        machine.diagnostics.warning(
            "disk.hibernated",
            "Windows was hibernated, or shut down with fast startup: files, registry and journal may be older than the "
            f"memory in {PATH}, which is not read",
            hint="a machine that resumes from it runs on with the drivers in that memory; `powercfg /h off` in the "
            "running Windows, or deleting the file on a copy of the disk, makes it start anew",
            source=PATH,
        )
    elif state == "resumed":
        machine.diagnostics.info(
            "disk.resumed",
            f"Windows had begun to resume from {PATH}; whether it got through the file does not tell",
            source=PATH,
        )
