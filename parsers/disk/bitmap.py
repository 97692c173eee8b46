"""Which sectors of a block are the child's own: the bitmaps of differencing disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["SectorBitmaps", "runs"]

#: Bits kept, over all blocks; a block of 2 MiB has 4,096.
_BITS_KEPT = 1 << 22


def runs(bits: str, first: int, count: int) -> Iterator[tuple[bool, int]]:
    """Yield (set, length) for each run of equal bits in `bits[first:first + count]`.

    Args:
        bits: a bitmap as text of "0" and "1", in the order of the sectors.
        first: index of the first sector.
        count: how many.

    """
    end = first + count
    while first < end:
        value = bits[first]
        change = bits.find("0" if value == "1" else "1", first, end)
        stop = end if change < 0 else change
        yield value == "1", stop - first
        first = stop


class SectorBitmaps:
    """The bitmaps of blocks, read when they are needed and kept as text, so that a run is one search.

    Args:
        read: gives the bytes of a block's bitmap.
        lsb_first: whether a byte's lowest bit is its first sector (VHDX) or its last (VHD).

    """

    def __init__(self, read: Callable[[int], bytes], *, lsb_first: bool) -> None:
        self._read = read
        self._lsb_first = lsb_first
        self._kept: dict[int, str] = {}
        self._bits = 0

    def of(self, block: int) -> str:
        """Return the bitmap of a block as text of "0" and "1", one character a sector.

        Raises:
            ReadError: the file does not hold it.

        """
        bits = self._kept.get(block)
        if bits is None:
            data = self._read(block)
            number = int.from_bytes(data, "little" if self._lsb_first else "big")
            bits = f"{number:0{len(data) * 8}b}"
            if self._lsb_first:
                bits = bits[::-1]
            while self._kept and self._bits + len(bits) > _BITS_KEPT:
                self._bits -= len(self._kept.pop(next(iter(self._kept))))
            self._kept[block] = bits
            self._bits += len(bits)
        return bits
