"""The fill pattern `PAGE`, and construct fields that know it.

Before a dump is written the kernel fills the whole header with the text `PAGE` repeated; every field that was
never set reads as that text (measured in every real triage dump). Such a field is absent: these fields give None,
never a number. Attributes is the trap: the fill has bit 8 set, which would mean "encrypted".
"""

from __future__ import annotations

from construct import ExprAdapter, Int8ul, Int32ul, Int64ul

__all__ = ["FILL", "FILL32", "FILL64", "filled8", "filled32", "filled64", "text_or_none"]

FILL = b"PAGE"
FILL32 = int.from_bytes(FILL, "little")
FILL64 = int.from_bytes(FILL * 2, "little")

#: u32, little endian; None when never set.
filled32 = ExprAdapter(
    Int32ul, lambda value, _: None if value == FILL32 else value, lambda value, _: FILL32 if value is None else value
)
#: u64, little endian; None when never set.
filled64 = ExprAdapter(
    Int64ul, lambda value, _: None if value == FILL64 else value, lambda value, _: FILL64 if value is None else value
)


def filled8(offset: int) -> ExprAdapter[int, int, int | None, int | None]:
    """Return a field of one byte that is None when it holds the letter of the fill at its header offset."""
    letter = FILL[offset % 4]
    return ExprAdapter(
        Int8ul, lambda value, _: None if value == letter else value, lambda value, _: letter if value is None else value
    )


def text_or_none(data: bytes) -> str | None:
    """Return the zero-terminated text of a fixed field; None when the field was never set."""
    if data.startswith(FILL * 2):
        return None
    return data.split(b"\0", 1)[0].decode("latin-1")
