"""XPRESS with Huffman codes, the compression of most CompactOS files.

Reference: [MS-XCA] 2.2 "LZ77+Huffman Decompression Algorithm"; wimlib compresses what the tests unpack. Written because
the format has no end mark: dissect.util's decoder is not told the output's size and comes back up to three bytes too
long, and sometimes one too short.
"""

from __future__ import annotations

from typing import Final

from parsers.errors import FormatError, TruncatedError
from parsers.prefix_code import LENGTH_BITS, LENGTH_MASK, decode_table

__all__ = ["decompress"]

_FORMAT: Final = "XPRESS"
#: 512 lengths of codewords, four bits each.
_LENGTHS: Final = 256
_SHORTEST: Final = 3
#: Bytes behind the end that may be looked at: the stream is read ahead in words of 16 bits.
_AHEAD: Final = 4


def decompress(data: bytes, size: int) -> bytes:
    """Return the `size` bytes that one chunk unpacks to.

    Raises:
        FormatError: it is damaged.

    """
    if len(data) < _LENGTHS:
        raise TruncatedError(_FORMAT, "ends within its code", expected=_LENGTHS, found=len(data))
    table, bits = decode_table([half for byte in data[:_LENGTHS] for half in (byte & 15, byte >> 4)], _FORMAT)
    mask = (1 << bits) - 1
    end = len(data)
    padded = data + bytes(_AHEAD)
    out = bytearray()
    done = 0
    at, hold, count = _LENGTHS, 0, 0
    while done < size:
        if count < 16:
            hold = (hold << 16 | padded[at + 1] << 8 | padded[at]) if at < end + 2 else hold << 16
            at += 2
            count += 16
        found = table[hold >> (count - bits) & mask]
        if not found or at > end + _AHEAD:
            raise FormatError(_FORMAT, "bits that mean nothing", offset=min(at, end))
        count -= found & LENGTH_MASK
        hold &= (1 << count) - 1
        symbol = found >> LENGTH_BITS
        if symbol < 256:
            out.append(symbol)
            done += 1
            continue
        if count < 16:
            hold = (hold << 16 | padded[at + 1] << 8 | padded[at]) if at < end + 2 else hold << 16
            at += 2
            count += 16
        width = symbol >> 4 & 15
        count -= width
        distance = 1 << width | hold >> count
        hold &= (1 << count) - 1
        length = symbol & 15
        if length == 15:
            # Longer lengths stand between the words of the bits.
            length += padded[at] if at < end else 0
            at += 1
            if length == 15 + 255:
                length = int.from_bytes(padded[at : at + 2], "little")
                at += 2
                if length == 0:
                    length = int.from_bytes(padded[at : at + 4], "little")
                    at += 4
        length += _SHORTEST
        if distance > done or length > size - done:
            raise FormatError(_FORMAT, "a copy that reaches out of the chunk", offset=min(at, end))
        if distance >= length:
            out += out[done - distance : done - distance + length]
        else:
            out += (bytes(out[done - distance :]) * (length // distance + 1))[:length]
        done += length
    return bytes(out)
