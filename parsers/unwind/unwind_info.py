"""UNWIND_INFO of x64, versions 1 and 2: decoded, checked, with no judgement of any frame.

Source: Microsoft "x64 exception handling" (MicrosoftDocs/cpp-docs: docs/build/exception-handling-x64.md) for
version 1; dotnet/runtime: src/coreclr/unwinder/amd64/unwinder.cpp (MIT) for version 2, checked against emulated
Microsoft drivers (pydivert's WinDivert64.sys).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from parsers.errors import FormatError, ReadError, TruncatedError, UnsupportedError
from parsers.pe_pdata import RuntimeFunction
from parsers.unwind.image import CodeImage

__all__ = [
    "ALLOC_LARGE",
    "ALLOC_SMALL",
    "EPILOG",
    "FLAG_CHAIN",
    "FLAG_EXCEPTION_HANDLER",
    "PUSH_MACHFRAME",
    "PUSH_NONVOL",
    "SAVE_NONVOL",
    "SAVE_XMM128",
    "SET_FPREG",
    "UnwindCode",
    "UnwindInfo",
    "decode",
    "read_unwind_info",
    "resolve",
]

_FORMAT = "UNWIND_INFO"

FLAG_EXCEPTION_HANDLER = 1
FLAG_TERMINATION_HANDLER = 2
FLAG_CHAIN = 4

PUSH_NONVOL = 0
ALLOC_LARGE = 1
ALLOC_SMALL = 2
SET_FPREG = 3
#: Also UWOP_SAVE_NONVOL_FAR, which differs only in how its offset is written.
SAVE_NONVOL = 4
_SAVE_NONVOL_FAR = 5
#: Version 2; in version 1 the numbers 6 and 7 were the first, never shipped form of SAVE_XMM.
EPILOG = 6
_SPARE = 7
#: Also UWOP_SAVE_XMM128_FAR.
SAVE_XMM128 = 8
_SAVE_XMM128_FAR = 9
PUSH_MACHFRAME = 10


class UnwindCode(NamedTuple):
    """One operation of a prolog.

    Attributes:
        offset: offset in the prolog behind the instruction it describes.
        op: PUSH_NONVOL, ALLOC_SMALL, SET_FPREG, SAVE_NONVOL, SAVE_XMM128, PUSH_MACHFRAME (ALLOC_LARGE comes with
            its size, the far forms with their near form's number) or EPILOG.
        info: the register's number, or for PUSH_MACHFRAME 1 when an error code lies on the stack.
        operand: bytes allocated, or the offset saved at; 0 else.

    """

    offset: int
    op: int
    info: int
    operand: int


class UnwindInfo(NamedTuple):
    """One decoded record.

    Attributes:
        version: 1 or 2.
        flags: FLAG_*.
        prolog_size: SizeOfProlog in bytes.
        frame_register: number of the frame register, 0 for none.
        frame_offset: bytes between Rsp and the frame register when that was set (already scaled by 16).
        codes: the prolog's operations in the order in which they are undone; no epilog descriptors.
        epilog_size: bytes of each described epilog (version 2), 0 for none.
        epilogs: how far before the function's end each described epilog starts.
        chained: the parent's row, when FLAG_CHAIN is set.

    """

    version: int
    flags: int
    prolog_size: int
    frame_register: int
    frame_offset: int
    codes: tuple[UnwindCode, ...]
    epilog_size: int
    epilogs: tuple[int, ...]
    chained: RuntimeFunction | None

    @property
    def has_machine_frame(self) -> bool:
        """Whether the processor, not a caller, made this frame (interrupt and exception stubs)."""
        return any(code.op == PUSH_MACHFRAME for code in self.codes)


def record_size(header: bytes) -> int:
    """Return the bytes of the record whose first four bytes are `header`, without handler data."""
    size = 4 + 2 * ((header[2] + 1) & ~1)
    return size + 12 if header[0] >> 3 & FLAG_CHAIN else size


@lru_cache(maxsize=4096)
def decode(data: bytes) -> UnwindInfo:
    """Decode a record from exactly its bytes.

    Raises:
        FormatError: an operation that does not exist, or one that ends behind the array.
        UnsupportedError: version 3 (a preview for APX, not in shipped kernels).

    """
    version, flags = data[0] & 7, data[0] >> 3
    if version == 3:
        raise UnsupportedError("UNWIND_INFO version 3 is not supported")
    if version not in (1, 2):
        raise FormatError(_FORMAT, "version", expected="1 or 2", found=version)
    count = data[2]
    codes: list[UnwindCode] = []
    descriptors: list[tuple[int, int]] = []
    i = 0
    while i < count:
        at = 4 + i * 2
        offset, op, info = data[at], data[at + 1] & 15, data[at + 1] >> 4
        operand, slots = 0, 1
        if op in (ALLOC_LARGE, SAVE_NONVOL, _SAVE_NONVOL_FAR, SAVE_XMM128, _SAVE_XMM128_FAR):
            far = op in (_SAVE_NONVOL_FAR, _SAVE_XMM128_FAR) or (op == ALLOC_LARGE and info == 1)
            if op == ALLOC_LARGE and info > 1:
                raise FormatError(_FORMAT, "OpInfo of ALLOC_LARGE", offset=at, expected="0 or 1", found=info)
            slots = 3 if far else 2
            if i + slots > count:
                raise FormatError(_FORMAT, "operation ends behind the codes", offset=at, expected=count, found=i)
            operand = int.from_bytes(data[at + 2 : at + slots * 2], "little")
            if not far:
                operand *= 16 if op == SAVE_XMM128 else 8
            op = {_SAVE_NONVOL_FAR: SAVE_NONVOL, _SAVE_XMM128_FAR: SAVE_XMM128, ALLOC_LARGE: ALLOC_SMALL}.get(op, op)
        elif op == ALLOC_SMALL:
            operand = info * 8 + 8
        elif op == EPILOG and version == 2:
            if codes:
                raise FormatError(_FORMAT, "an epilog descriptor behind a prolog operation", offset=at)
            descriptors.append((offset, info))
            i += 1
            continue
        elif op in (EPILOG, _SPARE) and version == 1:
            slots = 2 if op == EPILOG else 3
            if i + slots > count:
                raise FormatError(_FORMAT, "operation ends behind the codes", offset=at, expected=count, found=i)
            i += slots
            continue
        elif op == PUSH_MACHFRAME:
            if info > 1:
                raise FormatError(_FORMAT, "OpInfo of PUSH_MACHFRAME", offset=at, expected="0 or 1", found=info)
        elif op not in (PUSH_NONVOL, SET_FPREG):
            raise FormatError(_FORMAT, "unknown operation", offset=at, found=op)
        if op == SET_FPREG and not data[3] & 15:
            raise FormatError(_FORMAT, "SET_FPREG without a frame register", offset=at)
        codes.append(UnwindCode(offset, op, info, operand))
        i += slots
    size, starts = _epilogs(descriptors)
    chained = None
    if flags & FLAG_CHAIN:
        at = 4 + 2 * ((count + 1) & ~1)
        words = [int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4, 8)]
        chained = RuntimeFunction(*words)
    return UnwindInfo(version, flags, data[1], data[3] & 15, (data[3] >> 4) * 16, tuple(codes), size, starts, chained)


def _epilogs(descriptors: list[tuple[int, int]]) -> tuple[int, tuple[int, ...]]:
    if not descriptors:
        return 0, ()
    size = descriptors[0][0]
    starts = [size] if descriptors[0][1] & 1 else []
    starts += [offset | info << 8 for offset, info in descriptors[1:] if offset | info << 8]
    return size, tuple(starts)


def read_unwind_info(image: CodeImage, rva: int) -> UnwindInfo:
    """Return the record at an RVA.

    Raises:
        ReadError: its bytes are not there.
        FormatError: it is damaged, or cut off (TruncatedError).
        UnsupportedError: its version is 3.

    """
    header = image.read_rva(rva, 4)
    if len(header) < 4:
        raise TruncatedError(_FORMAT, "ends too early", offset=rva, expected=4, found=len(header))
    size = record_size(header)
    data = image.read_rva(rva, size) if size > 4 else header
    if len(data) < size:
        raise TruncatedError(_FORMAT, "ends too early", offset=rva, expected=size, found=len(data))
    return decode(data[:size])


def resolve(image: CodeImage, row: RuntimeFunction) -> RuntimeFunction:
    """Return the row that holds the unwind data: the row itself, or the one that an indirect row names.

    Raises:
        ReadError: the other row is not there.
        FormatError: it is indirect again.

    """
    if not row.unwind & 1:
        return row
    data = image.read_rva(row.unwind & ~1, 12)
    if len(data) < 12:
        raise ReadError("the row that an indirect row names is cut off", address=image.base + row.unwind)
    other = RuntimeFunction(*(int.from_bytes(data[k : k + 4], "little") for k in (0, 4, 8)))
    if other.unwind & 1:
        raise FormatError("RUNTIME_FUNCTION", "an indirect row names an indirect row", offset=row.unwind & ~1)
    return other
