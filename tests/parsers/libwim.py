"""libwim (wimlib's library) by ctypes: it compresses what our decompressors unpack, and shares nothing with them."""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
from collections.abc import Iterator
from functools import cache

XPRESS, LZX = 1, 2
#: WOF's number of a format -> libwim's kind of compression and bytes of a chunk.
FORMATS = {0: (XPRESS, 0x1000), 1: (LZX, 0x8000), 2: (XPRESS, 0x2000), 3: (XPRESS, 0x4000)}


@cache
def library() -> ctypes.CDLL:
    """The library, which the program wimlib-imagex is linked with."""
    return ctypes.CDLL(ctypes.util.find_library("wim") or "libwim.so.15")


def compressed(data: bytes, kind: int, chunk: int, level: int = 0) -> bytes:
    """One chunk compressed; b"" when it does not become smaller."""
    lib = library()
    compressor = ctypes.c_void_p()
    assert lib.wimlib_create_compressor(kind, ctypes.c_size_t(chunk), level, ctypes.byref(compressor)) == 0
    out = ctypes.create_string_buffer(len(data))
    lib.wimlib_compress.restype = ctypes.c_size_t
    size = lib.wimlib_compress(data, ctypes.c_size_t(len(data)), out, ctypes.c_size_t(len(data) - 1), compressor)
    lib.wimlib_free_compressor(compressor)
    return out.raw[:size]


def decompressed(data: bytes, size: int, kind: int, chunk: int) -> bytes | None:
    """What libwim makes of a compressed chunk; None when it refuses it."""
    lib = library()
    decompressor = ctypes.c_void_p()
    assert lib.wimlib_create_decompressor(kind, ctypes.c_size_t(chunk), ctypes.byref(decompressor)) == 0
    out = ctypes.create_string_buffer(max(size, 1))
    failed = lib.wimlib_decompress(data, ctypes.c_size_t(len(data)), out, ctypes.c_size_t(size), decompressor)
    lib.wimlib_free_decompressor(decompressor)
    return None if failed else out.raw[:size]


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


def wof_stream(data: bytes, form: int) -> bytes:
    """The stream `WofCompressedData` of a file: the table of chunks' places, then the chunks."""
    kind, chunk = FORMATS[form]
    stored = [compressed(piece, kind, chunk) or piece for piece in chunks(data, chunk)]
    places, at = [], 0
    for piece in stored[:-1]:
        at += len(piece)
        places.append(at)
    return struct.pack(f"<{len(places)}I", *places) + b"".join(stored)


def reparse_point(form: int, provider: int = 2) -> bytes:
    """The reparse point of a compressed file."""
    return struct.pack("<IHHIIII", 0x80000017, 16, 0, 1, provider, 1, form)
