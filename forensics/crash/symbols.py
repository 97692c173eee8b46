"""Names for frames: from the analyst's symbol files where there are some, else from an image's exports.

The nearest export before an address is often another function: a name is given only when the export begins the
function that the function table finds around the address, or stands at the address itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from forensics.crash.evidence import Evidence
from forensics.crash.stack import Frame, StackWalker
from parsers.dump.modules import LoadedModule
from parsers.errors import StopcodeError
from parsers.unwind.epilog import primary_of
from parsers.unwind.unwind_info import resolve

__all__ = ["FrameName", "name_of", "without_symbols"]


class FrameName(NamedTuple):
    """How a frame is called.

    Attributes:
        symbol: "nt!KeBugCheckEx+0x0".
        line: "driver.cpp:42", "" where no symbol file tells it.
        inlined: functions that stand inline at the place, the innermost first.

    """

    symbol: str
    line: str = ""
    inlined: tuple[str, ...] = ()


def name_of(evidence: Evidence, walker: StackWalker, frame: Frame) -> FrameName | None:
    """Return the name of a frame's function; None when neither a symbol file nor an export tells it."""
    module = frame.module
    if module is None:
        return None
    return _from_file(evidence, frame, module) or _from_exports(evidence, walker, frame, module)


def _from_file(evidence: Evidence, frame: Frame, module: LoadedModule) -> FrameName | None:
    code = evidence.codeview(module) if evidence.symbols is not None else None
    if evidence.symbols is None or code is None:
        return None
    rva = frame.ip - module.base
    # A return address may be the first byte of the next function, where the call was the last of this one.
    found = evidence.symbols.name_at(code, rva if frame.interrupted else rva - 1)
    if found is None:
        return None
    return FrameName(
        f"{evidence.modules.short_name(module)}!{found.name}+{rva - found.rva:#x}", found.line, found.inlined
    )


def without_symbols(evidence: Evidence, frames: Iterable[Frame]) -> list[str]:
    """Return a line for each module of a stack whose symbol file is not there: which file that would be."""
    if evidence.symbols is None:
        return []
    lines = []
    for module in {frame.module.base: frame.module for frame in frames if frame.module is not None}.values():
        code = evidence.codeview(module)
        if code is None:
            lines.append(f"{module.name}: neither the dump nor a file tells which PDB belongs to it")
            continue
        status = evidence.symbols.status(code)
        if status != "same":
            said = {"missing": "is not there", "different": "is of another build", "unreadable": "cannot be read"}
            lines.append(f"{module.name}: {code.name}/{code.key}/{code.name} {said[status]}")
    return lines


def _from_exports(evidence: Evidence, walker: StackWalker, frame: Frame, module: LoadedModule) -> FrameName | None:
    if evidence.dump.machine == "x86":
        return None
    image = evidence.image(module)
    if image is None:
        return None
    rva = frame.ip - module.base
    nearest = image.nearest_export(rva)
    if nearest is None:
        return None
    name, distance = nearest
    if distance:
        begin = _function_start(walker, frame, rva)
        if begin is None or rva - distance != begin:
            return None
    return FrameName(f"{evidence.modules.short_name(module)}!{name}+{distance:#x}")


def _function_start(walker: StackWalker, frame: Frame, rva: int) -> int | None:
    """Return the RVA of the first byte of the function that holds an address; None when no table tells."""
    if frame.module is None or walker.machine != "x64":
        return None
    image = walker.image_of(frame.module)
    try:
        row = image.function_at(rva if frame.interrupted else rva - 1)
        if row is None:
            return None
        primary, _info = primary_of(image, resolve(image, row))
    except StopcodeError:
        return None
    return primary.begin
