"""Prefix (Huffman) codes as XPRESS and LZX write them: canonical, told by the lengths of their codewords."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.errors import FormatError

__all__ = ["LENGTH_BITS", "LENGTH_MASK", "decode_table"]

#: An element of a table: the symbol above this many bits, in which the length of its codeword stands.
LENGTH_BITS = 5
LENGTH_MASK = (1 << LENGTH_BITS) - 1


def decode_table(lengths: Sequence[int], format: str) -> tuple[list[int], int]:
    """Return a table from the next bits of a stream to a symbol, and how many bits that are.

    Elements are `symbol << LENGTH_BITS | length of its codeword`; 0 for bits that no codeword begins with. A code
    without codewords has a table of one bit.

    Args:
        lengths: length of each symbol's codeword in bits; 0 for a symbol without one.
        format: name of the format, for the error.

    Raises:
        FormatError: there are more codewords than bits can tell apart.

    """
    by_length: dict[int, list[int]] = {}
    for symbol, length in enumerate(lengths):
        if length:
            by_length.setdefault(length, []).append(symbol)
    bits = max(by_length, default=1)
    table: list[int] = []
    for length in sorted(by_length):
        repeated = 1 << (bits - length)
        for symbol in by_length[length]:
            table += [symbol << LENGTH_BITS | length] * repeated
    missing = (1 << bits) - len(table)
    if missing < 0:
        raise FormatError(format, "a code has more codewords than there can be")
    return table + [0] * missing, bits
