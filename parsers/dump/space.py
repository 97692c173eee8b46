"""How many bytes a dump takes where no file ends with it: in a page file, a dedicated dump file, a renamed page file.

`RequiredDumpSpace` of the header is that length. A small dump that Windows cut out of a larger one at the next boot
keeps the number of the larger one; its own length is then the end of its triage part, or of the secondary data behind.
Measured on real triage dumps: five of five kernel-written or cut out.
"""

from __future__ import annotations

from parsers.bytesource import ByteSource
from parsers.dump.header import Attributes, DumpHeader, parse_header
from parsers.dump.kinds import DumpType
from parsers.dump.secondary import secondary_end
from parsers.errors import StopcodeError

__all__ = ["dump_space"]


def dump_space(source: ByteSource) -> tuple[int, bool]:
    """Return how many bytes from the start are the dump, never more than there are, and whether that many are there.

    Where the header does not tell, it may be all that is there.

    Raises:
        StopcodeError: no kernel dump begins here, or its header cannot be read.

    """
    header = parse_header(source)
    needed = _needed(source, header)
    return min(needed, source.size), needed <= source.size


def _needed(source: ByteSource, header: DumpHeader) -> int:
    if header.dump_type == DumpType.TRIAGE and not header.has_attribute(Attributes.KERNEL_GENERATED_TRIAGE_DUMP):
        try:
            return _triage_end(source, header)
        except StopcodeError:
            # A damaged body: what the header says is the next best.
            pass
    needed = header.required_dump_space
    return needed if needed is not None and needed >= header.size else source.size


def _triage_end(source: ByteSource, header: DumpHeader) -> int:
    from parsers.diagnostics import Diagnostics
    from parsers.dump.triage import parse_triage

    return secondary_end(source, parse_triage(source, header, Diagnostics()).end)
