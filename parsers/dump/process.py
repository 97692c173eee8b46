"""The image name in an EPROCESS, for which the kernel's debugger block names no offset.

Offsets: `volatilityfoundation/volatility: plugins/overlays/windows` and `ntdiff/headers` (listings of real kernels'
types: x64 9200, 10240, 10586, 14393, x86 7601 and later); 26100 and ARM64 22000 measured on real dumps.
"""

from __future__ import annotations

__all__ = ["IMAGE_NAME_LENGTH", "image_name", "image_name_offset"]

#: ImageFileName is 15 bytes: at most 14 characters and a zero; longer names are cut.
IMAGE_NAME_LENGTH = 15

#: (SizeEProcess, offset of ImageFileName): builds 7601, 9200, 9600, 10240, 10586, 14393, 15063, 17763, 19041, 26100.
_BY_SIZE_X64 = {
    0x4D0: 0x2E0, 0x660: 0x438, 0x6B8: 0x438, 0x798: 0x448, 0x788: 0x450, 0x7B0: 0x450, 0x818: 0x450, 0x850: 0x450,
    0xA40: 0x5A8, 0x840: 0x338,
}  # fmt: skip
#: Builds 2600 (SP2 and later), 7601, 9600, 14393.
_BY_SIZE_X86 = {0x260: 0x174, 0x2C0: 0x16C, 0x2F8: 0x170, 0x388: 0x174}
_BY_SIZE_ARM64 = {0xC80: 0x560}
#: (first build, offset), x64, for sizes that are not listed above: updates change them, the offset seldom.
_BY_BUILD_X64 = (
    (26100, 0x338), (19041, 0x5A8), (10586, 0x450), (10240, 0x448), (9200, 0x438), (7600, 0x2E0),
)  # fmt: skip


def image_name_offset(machine: str, size: int | None, build: int | None) -> tuple[int, bool] | None:
    """Return (offset of ImageFileName in EPROCESS, whether it is a guess by build), or None when not known."""
    table = {"x64": _BY_SIZE_X64, "x86": _BY_SIZE_X86, "arm64": _BY_SIZE_ARM64}.get(machine, {})
    if size in table:
        return table[size], False
    if machine == "x64" and build is not None:
        for first, offset in _BY_BUILD_X64:
            if build >= first:
                return offset, True
    return None


def image_name(field: bytes) -> str | None:
    """Return the name in the 15 bytes of ImageFileName; None when they hold no name."""
    text, _, rest = field[:IMAGE_NAME_LENGTH].partition(b"\0")
    if not text or len(text) > IMAGE_NAME_LENGTH - 1 or rest.strip(b"\0"):
        return None
    if any(not 0x20 <= byte < 0x7F for byte in text):
        return None
    return text.decode("ascii")
