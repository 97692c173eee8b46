"""LZX as CompactOS files, WIM archives and cabinets use it: one decoder, asked for chunks or for a stream.

WOF and WIM compress chunks of at most 32 KiB, each on its own (`decompress`). A cabinet's folder is one stream
(`Stream`) with a window of 32 KiB to 2 MiB; each of its data blocks but for the last holds 32 KiB of it, and its bits
begin anew.

References: [MS-PATCH] "LZX DELTA Compression and Decompression" for the stream, and where it is at odds with what
Microsoft's own encoder writes (slots of the large windows, the order of the codes, the length of a block), the notes at
the head of libmspack's lzxd.c. wimlib compresses what the tests unpack as chunks; 7-Zip and cabextract (libmspack) read
the same bytes from the cabinets of the tests; a help file of Microsoft's own packer was unpacked as 7-Zip does. Nothing
that Python offers reads it.
"""

from __future__ import annotations

from typing import Final

from parsers.errors import FormatError, UnsupportedError
from parsers.prefix_code import LENGTH_BITS, LENGTH_MASK, decode_table
from parsers.word_bits import AHEAD, WordBits

__all__ = ["CHUNK", "Stream", "decompress"]

#: Bytes of a chunk, and of what a cabinet's data block unpacks to.
CHUNK: Final = 0x8000
_FORMAT: Final = "LZX"
_VERBATIM, _ALIGNED, _PLAIN = 1, 2, 3
_LITERALS: Final = 256
#: Bits of a window -> slots of distances that its stream has codewords for.
_SLOTS: Final = {15: 30, 16: 32, 17: 34, 18: 36, 19: 38, 20: 42, 21: 50}
#: From 36 slots on, each adds as many bits.
_MOST_EXTRA: Final = 17
_LENGTHS: Final = 249
_SHORTEST: Final = 2
#: The length in a main symbol that says that a symbol of the lengths' own code follows.
_LONGER: Final = 7
#: The size of file that the translation of calls reckons with in chunks; a cabinet's stream begins with its own.
_CALLS_SIZE: Final = 12_000_000
#: In a stream, calls are translated up to here.
_CALLS_END: Final = 1 << 30


def _slots() -> tuple[tuple[int, int], ...]:
    """Return, for each slot, the smallest distance and how many bits are added to it."""
    found = []
    base = -2
    for slot in range(max(_SLOTS.values())):
        extra = min(max(0, slot // 2 - 1), _MOST_EXTRA)
        found.append((base, extra))
        base += 1 << extra
    return tuple(found)


_SLOT: Final = _slots()


def _read_lengths(bits: WordBits, lengths: list[int], first: int, last: int) -> None:
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
    out = bytearray()
    decoder = _Decoder(15, chunks=True)
    decoder.run(WordBits(data, _FORMAT), out, size)
    if decoder.left:
        raise FormatError(_FORMAT, "a block's length is impossible", offset=len(data), found=size + decoder.left)
    _undo_calls(out, 0, _CALLS_SIZE)
    return bytes(out)


class Stream:
    """The stream of a cabinet's folder, unpacked one data block after another; no more than the window is kept.

    Args:
        window_bits: size of the window as a power of two, 15 to 21.

    Raises:
        UnsupportedError: cabinets have no window of that size.

    """

    def __init__(self, window_bits: int) -> None:
        if window_bits not in _SLOTS:
            raise UnsupportedError(f"LZX with a window of {window_bits} bits", hint="cabinets have 15 to 21")
        self._decoder = _Decoder(window_bits)
        self._window = bytearray()
        self._done = 0
        #: None before the stream's first bits; 0 where calls are not translated.
        self._calls: int | None = None

    def unpack(self, data: bytes, size: int) -> bytes:
        """Return the `size` bytes that the next data block unpacks to.

        Raises:
            FormatError: it is damaged.

        """
        if not 0 <= size <= CHUNK:
            raise FormatError(_FORMAT, "a block of an impossible size", expected=f"<= {CHUNK}", found=size)
        bits = WordBits(data, _FORMAT)
        if self._calls is None:
            # Signed: a negative size translates no call that real code has.
            self._calls = (bits.take(32) ^ 1 << 31) - (1 << 31) if bits.take(1) else 0
        window = self._window
        first = len(window)
        self._decoder.run(bits, window, first + size)
        block = window[first:]
        if self._calls and self._done < _CALLS_END:
            _undo_calls(block, self._done, self._calls)
        self._done += size
        del window[: max(0, len(window) - self._decoder.window)]
        return bytes(block)


_Code = tuple[list[int], int]


class _Decoder:
    """What goes on from block to block of the stream: lengths of codewords, the last distances, the rest of a block.

    Args:
        window_bits: size of the window as a power of two.
        chunks: blocks tell their length as WIM's do, one bit for 32 KiB.

    Attributes:
        window: its size in bytes, no distance is longer.
        left: bytes that the block that was begun still has.

    """

    def __init__(self, window_bits: int, *, chunks: bool = False) -> None:
        self.window = 1 << window_bits
        self.left = 0
        self._chunks = chunks
        self._recent = [1, 1, 1]
        self._main = [0] * (_LITERALS + _SLOTS[window_bits] * 8)
        self._lengths = [0] * _LENGTHS
        #: Codes of the block: main, lengths, aligned; None in a plain one.
        self._codes: tuple[_Code, _Code, _Code | None] | None = None
        #: A byte that fills up the last block is still to come.
        self._odd = False

    def run(self, bits: WordBits, out: bytearray, end: int) -> None:
        """Unpack behind what is there, up to `end` bytes of output."""
        while (done := len(out)) < end:
            if not self.left:
                self._head(bits)
            part = min(self.left, end - done)
            self.left -= part
            if self._codes is None:
                out += bits.plain(part)
                # Where its data block ends here, the byte may stand in front of the next one.
                if self._odd and not self.left and bits.at < bits.end:
                    bits.plain(1)
                    self._odd = False
            else:
                self._block(bits, out, done + part)

    def _head(self, bits: WordBits) -> None:
        """Read the head of the next block."""
        if self._odd:
            bits.plain(1)
            self._odd = False
        kind = bits.take(3)
        if self._chunks:
            self.left = CHUNK if bits.take(1) else bits.take(16)
        else:
            self.left = bits.take(24)
        if not self.left:
            raise FormatError(_FORMAT, "a block's length is impossible", offset=min(bits.at, bits.end), found=0)
        if kind == _PLAIN:
            bits.align()
            self._recent = [int.from_bytes(bits.plain(4), "little") for _ in range(3)]
            self._codes = None
            self._odd = bool(self.left & 1)
            return
        if kind not in (_VERBATIM, _ALIGNED):
            raise FormatError(_FORMAT, "a block of no known kind", offset=min(bits.at, bits.end), found=kind)
        aligned = decode_table([bits.take(3) for _ in range(8)], _FORMAT) if kind == _ALIGNED else None
        _read_lengths(bits, self._main, 0, _LITERALS)
        _read_lengths(bits, self._main, _LITERALS, len(self._main))
        _read_lengths(bits, self._lengths, 0, _LENGTHS)
        self._codes = decode_table(self._main, _FORMAT), decode_table(self._lengths, _FORMAT), aligned

    def _block(self, bits: WordBits, out: bytearray, end: int) -> None:
        """Unpack a part of a block that is not plain."""
        assert self._codes is not None
        (main, width), longer, aligned = self._codes
        recent = self._recent
        window = self.window
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
            if not found or at > stop + AHEAD:
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
            if not 0 < distance <= done or distance > window or length > end - done:
                raise FormatError(_FORMAT, "a copy that reaches out of the window", offset=min(at, bits.end))
            if distance >= length:
                out += out[done - distance : done - distance + length]
            else:
                out += (bytes(out[done - distance :]) * (length // distance + 1))[:length]
            done += length
        bits.at, bits.hold, bits.count = at, hold, count


def _undo_calls(out: bytearray, before: int, size: int) -> None:
    """Turn the targets of x86 calls back from places in the file to distances.

    Args:
        out: at most 32 KiB, in which no call is begun before and ended.
        before: bytes of the stream before them.
        size: of the file, as the packer reckoned with it.

    """
    end = len(out) - 10
    at = out.find(0xE8, 0, max(end, 0))
    while at >= 0:
        value = int.from_bytes(out[at + 1 : at + 5], "little", signed=True)
        place = before + at
        if -place <= value < size:
            value += -place if value >= 0 else size
            out[at + 1 : at + 5] = (value & 0xFFFFFFFF).to_bytes(4, "little")
        at = out.find(0xE8, at + 5, end)
