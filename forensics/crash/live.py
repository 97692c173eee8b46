"""Which dumps are live reports: written of a machine that ran on.

The header says so (Attributes 0x10), or the code: of some codes Microsoft says that they can never be used for a real
bug check and serve to tell live dumps (`MicrosoftDocs/windows-driver-docs: debugger/kernel-live-dump-code-reference.md`
and the pages of the codes). Those are named so; of the others that can only be a live dump the list is below, and codes
that are both (0x144, 0xAB …) are left to the header and to the place.
"""

from __future__ import annotations

from forensics.crash.bugchecks import describe, masked
from parsers.dump.header import Attributes, DumpHeader

__all__ = ["live_because"]

_NAMED = ("LIVEDUMP", "LIVE_DUMP")
#: Codes that are never a stop although their names do not say so: by their pages; 0x141 by the debugger's own words,
#: seen in public logs of it. 0x117 and 0x141 are display timeouts that Windows recovered from; a stop would be 0x116.
_ONLY_LIVE = frozenset({0x117, 0x141, 0x142, 0x161, 0x187})


def live_because(header: DumpHeader) -> str | None:
    """Return in a sentence why a dump is a live report, None where it does not say that it is one."""
    if header.has_attribute(Attributes.LIVE_DUMP):
        return "the dump's Attributes say that it is a live dump: the machine went on running"
    code = masked(header.bug_check_code or 0)
    name = describe(code).name or ""
    if code in _ONLY_LIVE or name.endswith(_NAMED):
        return f"{code:#x} {name} is used for live dumps alone, never for a stop: the machine went on running"
    return None
