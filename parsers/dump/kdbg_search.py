"""The kernel's debugger block where the header does not lead to a plain one: searched for, and decoded.

Kernels from Windows 8 on keep the block encoded in memory until a debugger attaches; the crash path decodes it,
snapshots of virtual machines and some live dumps do not. Each u64 is encoded with two secrets of the boot and an
address:

    plain = bswap(rol(encoded ^ never, never & 0xFF) ^ address) ^ always

(`volatilityfoundation/volatility: plugins/overlays/windows/win8_kdbg.py`). Rotation, byte swap and exclusive or are
linear, so all secrets but the rotation melt into one constant: plain = bswap(rol(encoded, n)) ^ C. One known word
gives C for each of the 64 rotations, and two more tell which is right. The tag with the size, the kernel's base and the
list of modules are known without the block: no code has to be searched for the secrets.
"""

from __future__ import annotations

import struct

from parsers.dump.kdbg import KDBG_MAX, KDBG_MIN, KdDebuggerData
from parsers.dump.memory import Memory
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_KDBG_SEARCH

__all__ = ["decode_block", "find_block"]

_MASK = (1 << 64) - 1
#: Sizes that blocks have had; an encoded one hides its own.
_SIZES = frozenset(range(KDBG_MIN, KDBG_MAX, 8))
_TAG = 0x4742444B
_PIECE = 0x10000


def _rotated(value: int, count: int) -> int:
    return (value << count | value >> (64 - count)) & _MASK if count else value


def _swapped(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def decode_block(data: bytes, kernel_base: int, module_list: int) -> bytes | None:
    """Return the plain bytes of an encoded block, None when no key fits.

    Args:
        data: the block as it lies in memory, at least up to the list of modules (0x50 bytes).
        kernel_base: load address of the kernel, which stands at 0x18.
        module_list: PsLoadedModuleList, which stands at 0x48.

    """
    words = [word for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])]
    if len(words) < 10:
        return None
    for rotation in range(64):
        turned = [_swapped(_rotated(word, rotation)) for word in words[2:10]]
        constant = turned[1] ^ kernel_base
        if turned[7] ^ constant != module_list:
            continue
        size = (turned[0] ^ constant) >> 32
        if (turned[0] ^ constant) & 0xFFFFFFFF != _TAG or size not in _SIZES:
            continue
        plain = [_swapped(_rotated(word, rotation)) ^ constant for word in words[: size // 8]]
        return struct.pack(f"<{len(plain)}Q", *plain)
    return None


def find_block(
    memory: Memory, address: int | None, kernel: tuple[int, int], module_list: int
) -> tuple[KdDebuggerData, str] | None:
    """Return (block, how it was found): decoded at the header's address, or searched for in the kernel's image.

    Args:
        memory: of the crashed machine.
        address: where the header says the block lies; None when it does not.
        kernel: (base, size) of the kernel image.
        module_list: PsLoadedModuleList of the header.

    """
    base, size = kernel
    if address is not None:
        try:
            plain = decode_block(memory.read_available(address, KDBG_MAX), base, module_list)
        except ReadError:
            plain = None
        if plain is not None:
            return KdDebuggerData(plain, address, memory.pointer_size), "decoded"
    at, end = base, base + min(size, MAX_KDBG_SEARCH)
    carried = b""
    while at < end:
        try:
            data = memory.read_available(at, min(_PIECE, end - at))
        except ReadError:
            at, carried = (at & -0x1000) + 0x1000, b""
            continue
        found = _tagged(memory, at - len(carried), carried + data, base)
        if found is not None:
            return found, "searched"
        at += len(data)
        carried = (carried + data)[-16:]
    return None


def _tagged(memory: Memory, start: int, data: bytes, base: int) -> KdDebuggerData | None:
    """Look for a sound block whose tag lies in `data`."""
    at = data.find(b"KDBG")
    while at >= 0:
        address = start + at - 0x10
        if address % 4 == 0:
            try:
                raw = memory.read_available(address, KDBG_MAX)
                length = int.from_bytes(raw[0x14:0x18], "little")
                kernel = int.from_bytes(raw[0x18:0x20], "little")
                # 32-bit kernels store addresses sign-extended.
                if KDBG_MIN <= length <= KDBG_MAX and kernel in (base, base | 0xFFFFFFFF << 32):
                    return KdDebuggerData(raw[:length], address, memory.pointer_size)
            except (ReadError, FormatError):
                pass
        at = data.find(b"KDBG", at + 4)
    return None
