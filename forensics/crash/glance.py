"""A first look at a dump: what it is, when it was written and with which stop code; no stack, no modules."""

from __future__ import annotations

from forensics.crash.document import bugcheck_dict, dump_dict, take_live, take_times
from forensics.facts import CrashDict, Where, source
from parsers.bytesource import ByteSource
from parsers.dump.open import open_dump

__all__ = ["glance"]


def glance(opened: ByteSource, *, path: str, where: Where) -> CrashDict:
    """Return the part of a crash that the header and the table of the dump tell.

    Raises:
        StopcodeError: it cannot be read as a kernel dump.

    """
    dump = open_dump(opened)
    crash: CrashDict = {
        "item": path,
        "dump": dump_dict(dump, path, where),
        "bugcheck": bugcheck_dict(dump.header.bug_check_code or 0, dump.header.bug_check_parameters),
        "machine": dump.machine,
        "gaps": [],
        "source": source("dump", path),
    }
    if dump.header.minor_version is not None:
        crash["build"] = dump.header.minor_version
    take_times(crash, dump)
    take_live(crash, dump)
    return crash
