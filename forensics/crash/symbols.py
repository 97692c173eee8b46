"""Names for frames without symbol files: an image's exports, where they really name the function.

The nearest export before an address is often another function: a name is given only when the export begins the
function that the function table finds around the address, or stands at the address itself.
"""

from __future__ import annotations

from forensics.crash.evidence import Evidence
from forensics.crash.stack import Frame, StackWalker
from parsers.errors import StopcodeError
from parsers.unwind.epilog import primary_of
from parsers.unwind.unwind_info import resolve

__all__ = ["symbol_of"]


def symbol_of(evidence: Evidence, walker: StackWalker, frame: Frame) -> str | None:
    """Return "nt!KeBugCheckEx+0x0" for a frame, None when no export names its function."""
    module = frame.module
    if module is None or evidence.dump.machine == "x86":
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
    return f"{evidence.modules.short_name(module)}!{name}+{distance:#x}"


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
