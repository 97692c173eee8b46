"""Memory made of scattered blocks of the file: the address space of a triage dump.

Blocks are not sorted in the file, may touch (a read then runs over several) and may overlap (the earlier one wins;
in real dumps both hold the same bytes).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.memory import BEYOND_CUT, NOT_IN_DUMP, Memory, unreadable
from parsers.limits import MAX_OVERLAP_COMPARED

__all__ = ["Block", "BlockMemory"]


class Block(NamedTuple):
    """A stretch of virtual memory that lies in the file.

    Attributes:
        address: virtual address of the first byte.
        size: bytes.
        offset: file offset of the first byte.

    """

    address: int
    size: int
    offset: int


def _flatten(cluster: list[tuple[Block, int]]) -> list[Block]:
    """Make overlapping blocks disjoint; at each byte the block with the lowest rank (place in the table) wins."""
    edges = sorted({edge for block, _ in cluster for edge in (block.address, block.address + block.size)})
    result: list[Block] = []
    active: list[tuple[int, Block]] = []
    following = 0
    for low, high in pairwise(edges):
        while following < len(cluster) and cluster[following][0].address <= low:
            block, rank = cluster[following]
            heapq.heappush(active, (rank, block))
            following += 1
        while active and active[0][1].address + active[0][1].size <= low:
            heapq.heappop(active)
        if active:
            winner = active[0][1]
            result.append(Block(low, high - low, winner.offset + low - winner.address))
    return result


class BlockMemory(Memory):
    """Virtual memory over blocks of a file.

    Args:
        source: the dump.
        blocks: in order of precedence.
        diagnostics: told when overlapping blocks differ.
        pointer_size: 8 or 4.

    """

    def __init__(
        self, source: ByteSource, blocks: Iterable[Block], diagnostics: Diagnostics, *, pointer_size: int = 8
    ) -> None:
        super().__init__(pointer_size)
        self._source = source
        self._blocks = self._disjoint([block for block in blocks if block.size > 0], diagnostics)
        self._starts = [block.address for block in self._blocks]

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, sorted and made disjoint."""
        return self._blocks

    def _disjoint(self, blocks: list[Block], diagnostics: Diagnostics) -> list[Block]:
        result: list[Block] = []
        cluster: list[tuple[Block, int]] = []
        end = -1
        budget = MAX_OVERLAP_COMPARED
        differing = 0
        for rank, block in sorted(enumerate(blocks), key=lambda item: (item[1].address, item[0])):
            if block.address < end:
                other = cluster[-1][0]
                common = min(other.address + other.size, block.address + block.size) - block.address
                if 0 < common <= budget:
                    budget -= common
                    mine = self._source.read_at(block.offset, common)
                    differing += mine != self._source.read_at(other.offset + block.address - other.address, common)
            else:
                result += [cluster[0][0]] if len(cluster) == 1 else _flatten(cluster)
                cluster = []
            cluster.append((block, rank))
            end = max(end, block.address + block.size)
        result += [cluster[0][0]] if len(cluster) == 1 else _flatten(cluster)
        if differing:
            diagnostics.warning(
                "dump.blocks-differ",
                f"{differing} overlapping memory blocks of the dump hold different bytes; the first one is believed",
            )
        return result

    def read_available(self, address: int, length: int) -> bytes:
        """Return the bytes from `address` to the end of what is there, at most `length`; raises ReadError."""
        parts: list[bytes] = []
        index = bisect_right(self._starts, address) - 1
        wanted = length
        at = address
        while wanted > 0 and 0 <= index < len(self._blocks):
            block = self._blocks[index]
            inside = at - block.address
            if inside < 0 or inside >= block.size:
                break
            part = self._source.read_at(block.offset + inside, min(wanted, block.size - inside))
            parts.append(part)
            at += len(part)
            wanted -= len(part)
            if len(part) < min(wanted + len(part), block.size - inside):
                break
            index += 1
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if data or length <= 0:
            return data
        if parts:
            raise unreadable(address, BEYOND_CUT, "the file ends before this block of memory")
        raise unreadable(address, NOT_IN_DUMP, "no block of the triage dump holds it")
