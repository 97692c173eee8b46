"""Which crashes are one problem: a short name that is the same for the same fault on any machine and boot.

Made of what does not move: the bug check, its case, the culprit and the place as module+offset; never of an address.
"""

from __future__ import annotations

from forensics.facts import CrashDict

__all__ = ["bucket_of"]

#: Bug checks whose first parameter says which of several different problems it is.
_CASES = frozenset({0x1A, 0x9F, 0xC4, 0xC9, 0xE6, 0x10D, 0x124, 0x133, 0x139, 0x19, 0xC2, 0x144, 0x109})


def bucket_of(crash: CrashDict) -> str:
    """Return the name: `<code>[/<case>]:<culprit>[+<offset>]`, in lower case ("0x7e:nvlddmkm.sys+0x12634e")."""
    code = crash["bugcheck"]["code"]
    culprit = crash["culprit"]
    case = ""
    if int(code, 16) in _CASES and crash["bugcheck"]["parameters"]:
        case = f"/{crash['bugcheck']['parameters'][0]['value']}"
    elif crash.get("context", {}).get("exception"):
        status = str(crash["context"]["exception"]["code"]).partition(" ")[0]
        case = f"/{status}"
    module = culprit["module"]
    if module is None:
        return f"{code}{case}:{culprit['kind']}"
    return f"{code}{case}:{module.lower()}{_offset(crash, module)}"


def _offset(crash: CrashDict, module: str) -> str:
    """Return the innermost place in the culprit that is no guess: a scanned word moves from crash to crash."""
    for frame in crash.get("stack", []):
        if frame["confidence"] == "guess":
            break
        if (frame["module"] or "").lower() == module.lower() and "offset" in frame:
            return f"+{frame['offset']}"
    return ""
