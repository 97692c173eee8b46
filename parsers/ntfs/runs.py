"""Where the clusters of an attribute lie, and its bytes as a source."""

from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError

__all__ = ["Run", "RunSource", "decode_runs", "highest_cluster"]

#: Chunks of LZNT1 that a compression unit of `n` bytes may hold: each gives at most 4 KiB.
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Run:
    """Clusters one behind another.

    Attributes:
        lcn: the first one's number on the volume; None for a hole, which reads as zeros.
        count: how many.

    """

    lcn: int | None
    count: int


def decode_runs(data: bytes, clusters: int, wanted: int, offset: int) -> list[Run]:
    """Decode the mapping pairs of an attribute.

    Args:
        data: the pairs: a byte whose nibbles give the lengths of a count and of a signed distance, then these.
        clusters: clusters of the volume.
        wanted: clusters that the attribute's header says are mapped.
        offset: where the record stands, for errors.

    Raises:
        FormatError: a pair is cut, a run leads out of the volume, or the runs are not as many as wanted.

    """
    runs: list[Run] = []
    at = total = lcn = 0
    while at < len(data) and data[at]:
        count_bytes, distance_bytes = data[at] & 15, data[at] >> 4
        at += 1
        end = at + count_bytes + distance_bytes
        if not 1 <= count_bytes <= 8 or distance_bytes > 8 or end > len(data):
            raise FormatError("NTFS", "a mapping pair is damaged", offset=offset)
        count = int.from_bytes(data[at : at + count_bytes], "little", signed=True)
        if count <= 0 or total + count > wanted:
            raise FormatError("NTFS", "a run has an impossible length", offset=offset, found=count)
        total += count
        if distance_bytes:
            lcn += int.from_bytes(data[at + count_bytes : end], "little", signed=True)
            if lcn < 0 or lcn + count > clusters:
                raise FormatError("NTFS", "a run leads out of the volume", offset=offset, found=lcn)
            runs.append(Run(lcn, count))
        else:
            runs.append(Run(None, count))
        at = end
    if total != wanted:
        raise FormatError(
            "NTFS", "clusters of an attribute are not mapped", offset=offset, expected=wanted, found=total
        )
    return runs


def highest_cluster(data: bytes, first: int) -> int:
    """Return the last cluster (VCN) that mapping pairs map, which begin with the cluster `first`.

    Raises:
        FormatError: a pair is cut.

    """
    at = total = 0
    while at < len(data) and data[at]:
        count_bytes, distance_bytes = data[at] & 15, data[at] >> 4
        count = int.from_bytes(data[at + 1 : at + 1 + count_bytes], "little", signed=True)
        at += 1 + count_bytes + distance_bytes
        if not 1 <= count_bytes <= 8 or distance_bytes > 8 or at > len(data) or count <= 0:
            raise FormatError("NTFS", "a mapping pair is damaged")
        total += count
    return first + total - 1


class RunSource:
    """The bytes of an attribute whose data lie in clusters.

    What lies behind `initialized` reads as zeros, whatever the clusters hold: there stands what the disk held before.

    Args:
        volume: the volume.
        cluster: bytes of a cluster.
        runs: where the data lie.
        size: length in bytes.
        initialized: how much of it was ever written.
        unit: clusters of a compression unit; 0 when the data are not compressed.

    """

    def __init__(
        self, volume: ByteSource, cluster: int, runs: list[Run], size: int, initialized: int, unit: int = 0
    ) -> None:
        self._volume = volume
        self._cluster = cluster
        self._runs = runs
        self._starts = [0, *accumulate(run.count * cluster for run in runs)]
        self._size = size
        self._initialized = min(size, initialized)
        self._unit = unit * cluster
        self._kept: tuple[int, bytes] = (-1, b"")

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def place(self, offset: int) -> int | None:
        """Return where on the volume a byte lies; None in a hole and behind the clusters."""
        index = bisect_right(self._starts, offset) - 1
        if not 0 <= index < len(self._runs):
            return None
        lcn = self._runs[index].lcn
        return None if lcn is None else lcn * self._cluster + offset - self._starts[index]

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            FormatError: the runs end before the data do, or compressed data are damaged.
            ReadError: a cluster cannot be read.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        length = min(length, self._size - offset)
        real = max(0, min(length, self._initialized - offset))
        data = (self._unpacked(offset, real) if self._unit else self._mapped(offset, real)) if real else b""
        return data if real == length else data + bytes(length - real)

    def _mapped(self, offset: int, length: int) -> bytes:
        if offset + length > self._starts[-1]:
            raise FormatError("NTFS", "the data are longer than their clusters", offset=offset)
        parts: list[bytes] = []
        index = bisect_right(self._starts, offset) - 1
        while length > 0:
            run = self._runs[index]
            inside = offset - self._starts[index]
            part = min(length, run.count * self._cluster - inside)
            if run.lcn is None:
                parts.append(bytes(part))
            else:
                at = run.lcn * self._cluster + inside
                data = self._volume.read_at(at, part)
                if len(data) != part:
                    raise ReadError("a file's clusters lie behind the end of the image", address=at)
                parts.append(data)
            offset += part
            length -= part
            index += 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _unpacked(self, offset: int, length: int) -> bytes:
        first = offset // self._unit
        last = (offset + length - 1) // self._unit
        data = b"".join(self._compression_unit(number) for number in range(first, last + 1))
        return data[offset - first * self._unit :][:length]

    def _compression_unit(self, number: int) -> bytes:
        """Return a unit: stored plain when all its clusters are there, zeros when none is, else compressed."""
        if self._kept[0] == number:
            return self._kept[1]
        start = number * self._unit
        end = min(start + self._unit, self._starts[-1])
        stored = self._stored(start, end)
        if stored == 0:
            data = bytes(self._unit)
        elif start + stored == end:
            data = self._mapped(start, stored)
        else:
            data = _lznt1(self._mapped(start, stored), self._unit, start)
        self._kept = (number, data.ljust(self._unit, b"\0"))
        return self._kept[1]

    def _stored(self, start: int, end: int) -> int:
        """Return how many bytes of a unit lie in clusters: all before its first hole."""
        if start >= end:
            raise FormatError("NTFS", "the data are longer than their clusters", offset=start)
        index = bisect_right(self._starts, start) - 1
        while index < len(self._runs) and self._starts[index] < end:
            if self._runs[index].lcn is None:
                return max(0, self._starts[index] - start)
            index += 1
        return end - start


def _lznt1(packed: bytes, limit: int, offset: int) -> bytes:
    # The decoder knows no limit of its output; 4 KiB a chunk gives one.
    at = 0
    for _ in range(-(-limit // _CHUNK)):
        header = int.from_bytes(packed[at : at + 2], "little")
        if header == 0:
            break
        at += (header & 0xFFF) + 3
    from dissect.util.compression import lznt1

    try:
        data: bytes = lznt1.decompress(io.BytesIO(packed[:at] + bytes(2)))
    except Exception as error:  # whatever a decoder does not like is damage of the data
        raise FormatError("NTFS", f"compressed data are damaged: {error}", offset=offset) from error
    return data[:limit]
