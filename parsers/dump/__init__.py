"""Windows kernel crash dumps: headers, physical and virtual memory, modules and processors.

`parsers.dump.open.open_dump` is the way in; this face only tells a dump from other files, and imports nothing.
"""

from __future__ import annotations

__all__ = ["SIGNATURE_32", "SIGNATURE_64", "looks_like_dump"]

#: First eight bytes of a 64-bit kernel dump (x64, ARM64, IA64).
SIGNATURE_64 = b"PAGEDU64"
#: First eight bytes of a 32-bit kernel dump (x86 with and without PAE, ARM32).
SIGNATURE_32 = b"PAGEDUMP"


def looks_like_dump(first16: bytes) -> bool:
    """Tell whether a file that begins with these bytes (eight are enough) is a kernel crash dump."""
    return first16[:8] in (SIGNATURE_64, SIGNATURE_32)
