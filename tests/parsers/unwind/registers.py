"""All registers of an emulated processor in one call: reading them one by one costs more than running the program."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

import unicorn
from unicorn.unicorn_py3.unicorn import uclib


class RegisterFile:
    """Reads a fixed set of registers.

    Args:
        uc: the emulator.
        words: register numbers of 8 bytes each.
        vectors: register numbers of 16 bytes each.

    """

    def __init__(self, uc: unicorn.Uc, words: Sequence[int], vectors: Sequence[int] = ()) -> None:
        self._handle = uc._uch
        size = 8 * len(words) + 16 * len(vectors)
        self._buffer = ctypes.create_string_buffer(size)
        start = ctypes.addressof(self._buffer)
        places = [start + 8 * i for i in range(len(words))]
        places += [start + 8 * len(words) + 16 * i for i in range(len(vectors))]
        self._count = len(places)
        self._numbers = (ctypes.c_int * self._count)(*words, *vectors)
        self._places = (ctypes.c_void_p * self._count)(*places)
        self._layout = struct.Struct(f"<{len(words)}Q")
        self._vectors_at = self._layout.size
        self._vector_count = len(vectors)

    def _read(self) -> None:
        status = uclib.uc_reg_read_batch(self._handle, self._numbers, self._places, self._count)
        if status:
            raise unicorn.UcError(status)

    def words(self) -> tuple[int, ...]:
        """The registers of 8 bytes."""
        self._read()
        return self._layout.unpack_from(self._buffer)

    def vectors(self) -> list[int]:
        """The registers of 16 bytes, as they were at the last call of `words`."""
        raw = self._buffer.raw
        at = self._vectors_at
        return [int.from_bytes(raw[at + 16 * i : at + 16 * i + 16], "little") for i in range(self._vector_count)]
