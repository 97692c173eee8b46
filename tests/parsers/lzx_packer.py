"""An LZX packer for cabinets, for tests: written from the format's description, it shares nothing with the reader.

No packer of LZX cabinets is to be had outside Windows. This one need not pack well; it must use all of the format:
every kind of block, blocks that go on over several data blocks, recent distances, aligned offsets, every window, calls.
Whether what it writes is LZX, 7-Zip and cabextract judge.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

FRAME = 0x8000
VERBATIM, ALIGNED, PLAIN = 1, 2, 3
SLOT_COUNT = {15: 30, 16: 32, 17: 34, 18: 36, 19: 38, 20: 42, 21: 50}
#: The smallest "formatted offset" (distance + 2) of each slot, and its footer's bits, as the document lists them.
SLOT_BASES = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072,
              4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152, 65536, 98304, 131072, 196608,
              *range(262144, 2097152, 131072)]  # fmt: skip
FOOTERS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14,
           15, 15, 16, 16, *[17] * 14]  # fmt: skip


class Match(NamedTuple):
    distance: int
    length: int


class Writer:
    """Words of 16 bits, the highest bit first; bytes between them."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.bits = ""

    def put(self, value: int, width: int) -> None:
        if width:
            self.bits += format(value, f"0{width}b")
        while len(self.bits) >= 16:
            self.out += int(self.bits[:16], 2).to_bytes(2, "little")
            self.bits = self.bits[16:]

    def align(self) -> None:
        if self.bits:
            self.put(0, 16 - len(self.bits))


def code_lengths(counts: Sequence[int], limit: int) -> list[int]:
    """Lengths of a prefix code's words; at least two words, for an unfinished code is none to some readers."""
    counts = list(counts)
    for symbol in range(len(counts)):
        if sum(count > 0 for count in counts) >= 2:
            break
        counts[symbol] = counts[symbol] or 1
    while True:
        heap = [(count, number, [number]) for number, count in enumerate(counts) if count]
        heapq.heapify(heap)
        lengths = [0] * len(counts)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            for symbol in first[2] + second[2]:
                lengths[symbol] += 1
            heapq.heappush(heap, (first[0] + second[0], first[1], first[2] + second[2]))
        if max(lengths) <= limit:
            return lengths
        counts = [(count + 1) // 2 for count in counts]


def words_of(lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Symbol -> (its word, the word's length): canonical."""
    words = {}
    word = last = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        word <<= length - last
        words[symbol] = word, length
        word += 1
        last = length
    return words


def put_lengths(writer: Writer, old: Sequence[int], new: Sequence[int]) -> None:
    """Lengths as their differences, runs of zeros and of the same difference shortened."""
    symbols: list[tuple[int, int, int, int | None]] = []
    at = 0
    while at < len(new):
        run = 1
        while at + run < len(new) and new[at + run] == new[at]:
            run += 1
        if new[at] == 0 and run >= 20:
            run = min(run, 51)
            symbols.append((18, run - 20, 5, None))
        elif new[at] == 0 and run >= 4:
            run = min(run, 19)
            symbols.append((17, run - 4, 4, None))
        elif run >= 4:
            run = min(run, 5)
            symbols.append((19, run - 4, 1, (old[at] - new[at]) % 17))
        else:
            run = 1
            symbols.append(((old[at] - new[at]) % 17, 0, 0, None))
        at += run
    counts = [0] * 20
    for symbol, _value, _width, then in symbols:
        counts[symbol] += 1
        if then is not None:
            counts[then] += 1
    lengths = code_lengths(counts, 15)
    for length in lengths:
        writer.put(length, 4)
    words = words_of(lengths)
    for symbol, value, width, then in symbols:
        writer.put(*words[symbol])
        writer.put(value, width)
        if then is not None:
            writer.put(*words[then])


def translate_calls(data: bytes, size: int) -> bytes:
    """Distances of x86 calls made places in the file, frame by frame, in the first GiB."""
    out = bytearray(data)
    for start in range(0, len(data), FRAME):
        at, end = start, min(start + FRAME, len(data)) - 10
        while at < end:
            if data[at] != 0xE8:
                at += 1
                continue
            distance = int.from_bytes(data[at + 1 : at + 5], "little", signed=True)
            if -at <= distance < size - at:
                out[at + 1 : at + 5] = (distance + at & 0xFFFFFFFF).to_bytes(4, "little")
            elif size - at <= distance < size:
                out[at + 1 : at + 5] = (distance - size & 0xFFFFFFFF).to_bytes(4, "little")
            at += 5
    return bytes(out)


class Packer:
    """The stream of one folder.

    Args:
        data: what to pack.
        window_bits: 15 to 21.
        blocks: kind and length of each block; the last kind goes on to the end.
        calls: the size of file that the translation of calls reckons with, 0 for none.
        odd_first: the byte that fills up a plain block of odd length opens the next data block where it can.

    """

    def __init__(
        self,
        data: bytes,
        window_bits: int = 15,
        blocks: Sequence[tuple[int, int]] = ((VERBATIM, 1 << 20),),
        *,
        calls: int = 0,
        odd_first: bool = False,
    ) -> None:
        self.data = translate_calls(data, calls) if calls else data
        self.window = 1 << window_bits
        self.writer = Writer()
        self.writer.put(1 if calls else 0, 1)
        if calls:
            self.writer.put(calls, 32)
        self.odd_first = odd_first
        self.recent = [1, 1, 1]
        self.main = [0] * (256 + 8 * SLOT_COUNT[window_bits])
        self.longer = [0] * 249
        self.seen: dict[bytes, int] = {}
        self.frames: list[tuple[bytes, int]] = []
        self.taken = 0
        at, kinds = 0, list(blocks)
        while at < len(data):
            kind, length = kinds.pop(0) if len(kinds) > 1 else kinds[0]
            length = min(length, len(data) - at, (1 << 24) - 1)
            if kind == PLAIN:
                self.put_plain(at, length)
            else:
                self.put_block(kind, at, length)
            at += length
        if len(data) % FRAME:
            self.end_frame(len(data))

    def end_frame(self, at: int) -> None:
        self.writer.align()
        self.frames.append((bytes(self.writer.out), at - self.taken))
        self.writer.out.clear()
        self.taken = at

    def put_plain(self, at: int, length: int) -> None:
        writer = self.writer
        writer.put(PLAIN, 3)
        writer.put(length, 24)
        writer.put(0, 16 - len(writer.bits))
        # These may be any; here each differs from what it was.
        self.recent = [number + 1 for number in self.recent]
        for distance in self.recent:
            writer.out += distance.to_bytes(4, "little")
        end = at + length
        while at < end:
            stop = min(end, (at // FRAME + 1) * FRAME)
            writer.out += self.data[at:stop]
            at = stop
            odd = at == end and length % 2
            if odd and not (self.odd_first and at % FRAME == 0 and at < len(self.data)):
                writer.out.append(0)
                odd = False
            if at % FRAME == 0:
                self.end_frame(at)
            if odd:
                writer.out.append(0)

    def put_block(self, kind: int, at: int, length: int) -> None:
        tokens = list(self.tokens(at, at + length))
        main, longer, aligned = [0] * len(self.main), [0] * 249, [0] * 8
        for _stop, symbol, extra, footer in tokens:
            main[symbol] += 1
            if extra is not None:
                longer[extra] += 1
            if footer[1] >= 3:
                aligned[footer[0] & 7] += 1
        new_main, new_longer = code_lengths(main, 16), code_lengths(longer, 16)
        # A code of words of three bits would be no reason to choose aligned offsets.
        new_aligned = code_lengths([max(count, 1) for count in aligned], 7)
        writer = self.writer
        writer.put(kind, 3)
        writer.put(length, 24)
        if kind == ALIGNED:
            for one in new_aligned:
                writer.put(one, 3)
        put_lengths(writer, self.main[:256], new_main[:256])
        put_lengths(writer, self.main[256:], new_main[256:])
        put_lengths(writer, self.longer, new_longer)
        self.main, self.longer = new_main, new_longer
        main_words, longer_words, aligned_words = words_of(new_main), words_of(new_longer), words_of(new_aligned)
        for stop, symbol, extra, (footer, width) in tokens:
            writer.put(*main_words[symbol])
            if extra is not None:
                writer.put(*longer_words[extra])
            if kind == ALIGNED and width >= 3:
                writer.put(footer >> 3, width - 3)
                writer.put(*aligned_words[footer & 7])
            else:
                writer.put(footer, width)
            if stop % FRAME == 0:
                self.end_frame(stop)

    def tokens(self, at: int, end: int) -> list[tuple[int, int, int | None, tuple[int, int]]]:
        """(where it ends, main symbol, symbol of the longer lengths, footer and its width) of each step."""
        steps: list[tuple[int, int, int | None, tuple[int, int]]] = []
        data = self.data
        while at < end:
            stop = min(end, (at // FRAME + 1) * FRAME)
            found = self.match(at, stop)
            key = data[at : at + 3]
            self.seen[key] = at
            if found is None:
                at += 1
                steps.append((at, data[at - 1], None, (0, 0)))
                continue
            for place in range(at + 1, at + found.length, 7):
                self.seen[data[place : place + 3]] = place
            at += found.length
            length = found.length - 2
            extra = length - 7 if length >= 7 else None
            if found.distance in self.recent:
                slot = self.recent.index(found.distance)
                self.recent[slot], self.recent[0] = self.recent[0], found.distance
                footer = 0, 0
            else:
                formatted = found.distance + 2
                slot = max(number for number, base in enumerate(SLOT_BASES) if base <= formatted)
                footer = formatted - SLOT_BASES[slot], FOOTERS[slot]
                self.recent = [found.distance, *self.recent[:2]]
            steps.append((at, 256 + slot * 8 + min(length, 7), extra, footer))
        return steps

    def match(self, at: int, stop: int) -> Match | None:
        data = self.data
        best: Match | None = None
        known = self.seen.get(data[at : at + 3])
        for distance in [*self.recent, *([] if known is None else [at - known])]:
            if not 0 < distance <= min(at, self.window - 3):
                continue
            length = 0
            while at + length < stop and length < 257 and data[at + length] == data[at + length - distance]:
                length += 1
            if length >= 2 and (best is None or length > best.length):
                best = Match(distance, length)
        return best


def packed(
    data: bytes,
    window_bits: int = 15,
    blocks: Sequence[tuple[int, int]] = ((VERBATIM, 1 << 20),),
    *,
    calls: int = 0,
    odd_first: bool = False,
) -> list[tuple[bytes, int]]:
    """Each data block of the folder, and how many bytes it unpacks to."""
    return Packer(data, window_bits, blocks, calls=calls, odd_first=odd_first).frames
