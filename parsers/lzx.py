"""LZX as WIM archives and CompactOS files use it: chunks of at most 32 KiB, each on its own.

Reference: [MS-PATCH] "LZX DELTA Compression and Decompression" for the stream, of which this is the form with a window
of 32 KiB, blocks of 32 KiB by default and calls translated with a size of 12,000,000; wimlib compresses what the tests
unpack. Nothing that Python offers reads it.
"""

from __future__ import annotations

from typing import Final

from parsers.errors import FormatError
from parsers.prefix_code import LENGTH_BITS, LENGTH_MASK, decode_table

__all__ = ["CHUNK", "decompress"]

#: Bytes of a chunk, and of the window.
CHUNK: Final = 0x8000
_FORMAT: Final = "LZX"
_VERBATIM, _ALIGNED, _PLAIN = 1, 2, 3
_LITERALS: Final = 256
_SLOTS: Final = 30
_LENGTHS: Final = 249
_SHORTEST: Final = 2
#: The length in a main symbol that says that a symbol of the lengths' own code follows.
_LONGER: Final = 7
#: Bytes behind the end that may be looked at: the stream is read ahead in words of 16 bits.
_AHEAD: Final = 4
#: The size of file that the translation of calls reckons with.
_CALLS_SIZE: Final = 12_000_000


def _slots() -> tuple[tuple[int, int], ...]:
    """Return, for each slot, the smallest distance and how many bits are added to it."""
    found = []
    base = -2
    for slot in range(_SLOTS):
        extra = max(0, slot // 2 - 1)
        found.append((base, extra))
        base += 1 << extra
    return tuple(found)


_SLOT: Final = _slots()


class _Bits:
    """The stream of bits: words of 16, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self.end = len(data)
        self.data = data + bytes(_AHEAD)
        self.at = 0
        self.hold = 0
        self.count = 0

    def fill(self) -> None:
        """Have at least 16 bits."""
        if self.count < 16:
            at = self.at
            if at > self.end + _AHEAD:
                raise FormatError(_FORMAT, "ends too early", offset=self.end)
            word = self.data[at + 1] << 8 | self.data[at] if at < self.end + 2 else 0
            self.hold = self.hold << 16 | word
            self.at += 2
            self.count += 16

    def take(self, width: int) -> int:
        """Return the next bits, at most 16."""
        self.fill()
        self.count -= width
        value = self.hold >> self.count
        self.hold &= (1 << self.count) - 1
        return value

    def symbol(self, table: list[int], bits: int) -> int:
        """Return the next symbol of a code."""
        self.fill()
        found = table[self.hold >> (self.count - bits) & (1 << bits) - 1]
        if not found:
            raise FormatError(_FORMAT, "bits that mean nothing", offset=min(self.at, self.end))
        self.count -= found & LENGTH_MASK
        self.hold &= (1 << self.count) - 1
        return found >> LENGTH_BITS

    def plain(self, length: int) -> bytes:
        """Return bytes that stand in the stream as they are; it is at the end of a word."""
        data = self.data[self.at : min(self.at + length, self.end)]
        if len(data) < length:
            raise FormatError(_FORMAT, "ends too early", offset=self.end)
        self.at += length
        return data

    def align(self) -> None:
        """Skip to the end of a word; at one, a whole word."""
        self.fill()
        self.at -= self.count // 16 * 2
        if self.count % 16 == 0:
            self.at += 2
        self.hold = self.count = 0


def _read_lengths(bits: _Bits, lengths: list[int], first: int, last: int) -> None:
    """Read the codeword lengths of some symbols: each as its difference to that of the block before."""
    table, width = decode_table([bits.take(4) for _ in range(20)], _FORMAT)
    at = first
    while at < last:
        symbol = bits.symbol(table, width)
        if symbol < 17:
            lengths[at] = (lengths[at] - symbol) % 17
            at += 1
            continue
        if symbol == 19:
            count = 4 + bits.take(1)
            symbol = bits.symbol(table, width)
            if symbol > 16:
                raise FormatError(_FORMAT, "a repeated length is none", offset=min(bits.at, bits.end))
            value = (lengths[at] - symbol) % 17
        else:
            count = 4 + bits.take(4) if symbol == 17 else 20 + bits.take(5)
            value = 0
        # A run may reach behind the end, as wimlib takes it.
        count = min(count, last - at)
        lengths[at : at + count] = [value] * count
        at += count


def decompress(data: bytes, size: int) -> bytes:
    """Return the `size` bytes, at most 32 KiB, that one chunk unpacks to.

    Raises:
        FormatError: it is damaged.

    """
    bits = _Bits(data)
    out = bytearray()
    recent = [1, 1, 1]
    main, lengths = [0] * (_LITERALS + _SLOTS * 8), [0] * _LENGTHS
    while len(out) < size:
        kind = bits.take(3)
        length = CHUNK if bits.take(1) else bits.take(16)
        if not 0 < length <= size - len(out):
            raise FormatError(_FORMAT, "a block's length is impossible", offset=min(bits.at, bits.end), found=length)
        if kind == _PLAIN:
            bits.align()
            recent = [int.from_bytes(bits.plain(4), "little") for _ in range(3)]
            out += bits.plain(length)
            bits.at += length & 1
            continue
        if kind not in (_VERBATIM, _ALIGNED):
            raise FormatError(_FORMAT, "a block of no known kind", offset=min(bits.at, bits.end), found=kind)
        aligned = decode_table([bits.take(3) for _ in range(8)], _FORMAT) if kind == _ALIGNED else None
        _read_lengths(bits, main, 0, _LITERALS)
        _read_lengths(bits, main, _LITERALS, len(main))
        _read_lengths(bits, lengths, 0, _LENGTHS)
        codes = decode_table(main, _FORMAT), decode_table(lengths, _FORMAT), aligned
        _block(bits, out, len(out) + length, recent, codes)
    _undo_calls(out)
    return bytes(out)


_Code = tuple[list[int], int]


def _block(bits: _Bits, out: bytearray, end: int, recent: list[int], codes: tuple[_Code, _Code, _Code | None]) -> None:
    """Unpack one block behind what is there, up to `end` bytes of output."""
    (main, width), longer, aligned = codes
    mask = (1 << width) - 1
    data, stop = bits.data, bits.end + 2
    done = len(out)
    at, hold, count = bits.at, bits.hold, bits.count
    while done < end:
        # The loop over every literal: without calls, and with the state of the stream at hand.
        if count < 16:
            hold = hold << 16 | (data[at + 1] << 8 | data[at] if at < stop else 0)
            at += 2
            count += 16
        found = main[hold >> (count - width) & mask]
        if not found or at > stop + _AHEAD:
            raise FormatError(_FORMAT, "bits that mean nothing", offset=min(at, bits.end))
        count -= found & LENGTH_MASK
        hold &= (1 << count) - 1
        symbol = found >> LENGTH_BITS
        if symbol < _LITERALS:
            out.append(symbol)
            done += 1
            continue
        bits.at, bits.hold, bits.count = at, hold, count
        length = symbol & 7
        if length == _LONGER:
            length += bits.symbol(*longer)
        length += _SHORTEST
        slot = symbol - _LITERALS >> 3
        if slot < 3:
            distance = recent[slot]
            recent[slot] = recent[0]
        else:
            distance, extra = _SLOT[slot]
            if aligned is not None and extra >= 3:
                distance += (bits.take(extra - 3) << 3) + bits.symbol(*aligned)
            elif extra:
                distance += bits.take(extra)
            recent[1:] = recent[:2]
        recent[0] = distance
        at, hold, count = bits.at, bits.hold, bits.count
        if not 0 < distance <= done or length > end - done:
            raise FormatError(_FORMAT, "a copy that reaches out of the chunk", offset=min(at, bits.end))
        if distance >= length:
            out += out[done - distance : done - distance + length]
        else:
            out += (bytes(out[done - distance :]) * (length // distance + 1))[:length]
        done += length
    bits.at, bits.hold, bits.count = at, hold, count


def _undo_calls(out: bytearray) -> None:
    """Turn the targets of x86 calls back from places in the chunk to distances."""
    end = len(out) - 10
    at = out.find(0xE8, 0, max(end, 0))
    while at >= 0:
        value = int.from_bytes(out[at + 1 : at + 5], "little", signed=True)
        if -at <= value < _CALLS_SIZE:
            value += -at if value >= 0 else _CALLS_SIZE
            out[at + 1 : at + 5] = (value & 0xFFFFFFFF).to_bytes(4, "little")
        at = out.find(0xE8, at + 5, end)
