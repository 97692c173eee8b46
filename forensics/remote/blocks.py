"""The block cache of a remote image: aligned blocks, the least used go first, nothing is read that nobody wants.

Every request costs a journey, and journeys are what a remote scan lasts. So neighbours that miss are fetched as one
range, up to eight ranges at once, and two readers who want the same block cause one request. A block that nobody
foresaw comes with the 64 KiB around it. There is no other read-ahead: it fetches what nobody wants, and not what is
wanted next on a fragmented volume.

Instead of that, `ahead` runs the very readings that will be made. One that meets a block that is not here is given up
and noted; when all have been tried, every block noted is fetched together, and no other, and the readings begin again.
Readings that depend on each other's result (a folder's index, a file's record, its first clusters, a resource in them)
so cost as many journeys as the longest of them is deep, however many there are, whatever container and file system lie
between, and no reader has to know of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from forensics.remote.connection import LANES
from forensics.remote.ranges import RangeSource, RemoteError
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError, StopcodeError

__all__ = ["BLOCK", "NEAR", "RemoteFile"]

#: Bytes of a block: a cluster, as most volumes have them, and so the header of a driver.
BLOCK = 0x1000
#: Blocks that come with one that nobody foresaw: 64 KiB. What is read next mostly lies among them.
NEAR = 16
#: Blocks kept: 64 MiB.
_KEPT = 0x4000
#: Blocks between two wanted ones that are fetched with them, where that saves a request: 32 KiB.
_GAP = 8
#: Blocks of one request: 4 MiB.
_RUN = 0x400
#: Reads from this size on are not kept: whoever asks for so much keeps it himself.
_PASS_BY = 1 << 20
#: Blocks that one `ahead` fetches: so many that the first is still here when the last has come.
_AHEAD = 0x3000
#: How deep readings may depend on each other's result.
_ROUNDS = 24
#: Ranges that fail one after another, each after all its tries, before the server is given up.
_LOST = 3
_ZEROS = bytes(BLOCK)


class _NotHereError(BaseException):
    """A block is not here, and was noted. No `Exception`: readers that go on after damage must not take it for some."""


class RemoteFile:
    """A remote file as a source of bytes, and as one of the files of an image.

    Args:
        source: where it is read; closed with this.
        shown: its address, as it may be told.
        diagnostics: told when nothing more can be read of it.

    Attributes:
        shown: as given.
        failure: the last range that could not be had, or why nothing more can be; None when all could.

    """

    failure: ReadError | None = None

    def __init__(self, source: RangeSource, shown: str, diagnostics: Diagnostics) -> None:
        self.shown = shown
        self._source = source
        self._diagnostics = diagnostics
        self._size = source.size
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._coming: dict[int, Future[bytes]] = {}
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._workers = ThreadPoolExecutor(LANES, thread_name_prefix="ranges")
        self._ended: RemoteError | None = None
        self._failed = 0
        for start in range(0, len(source.head), BLOCK):
            block = source.head[start : start + BLOCK]
            if len(block) == self._length(start // BLOCK):
                self._blocks[start // BLOCK] = block

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    @property
    def bytes_read(self) -> int:
        """Bytes received so far."""
        return self._source.bytes_read

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._source.requests

    def close(self) -> None:
        """Close every connection."""
        self._source.close()
        self._workers.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            ReadError: they could not be had; RemoteError when nothing more will be.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        length = min(length, self._size - offset)
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        within = offset - first * BLOCK
        if first == last:
            with self._lock:
                block = self._blocks.get(first)
                if block is not None:
                    self._blocks.move_to_end(first)
                    return block[within : within + length]
        found = self._found(range(first, last + 1), keep=length < _PASS_BY)
        data = found[first] if first == last else b"".join(found[number] for number in range(first, last + 1))
        return data[within : within + length]

    # -- knowing what comes --------------------------------------------------------------------------------------

    def ahead(self, readings: Iterable[Callable[[], object]]) -> None:
        """Fetch what readings need, together; what they give or raise is thrown away.

        A hint: whatever is not fetched here is fetched when it is read.
        """
        waiting = list(readings)
        left = _AHEAD
        for _ in range(_ROUNDS):
            noted: dict[int, None] = {}
            self._mine.noted = noted
            try:
                waiting = [reading for reading in waiting if len(noted) < left and not _succeeds(reading)]
            finally:
                self._mine.noted = None
            wanted = sorted(noted)[:left]
            left -= len(wanted)
            if not wanted:
                return
            try:
                self._found(wanted, keep=True, foreseen=True)
            except ReadError:
                # Whoever needs it will meet the error again, where it can be told.
                return

    # -- blocks --------------------------------------------------------------------------------------------------

    def _found(self, numbers: Sequence[int], *, keep: bool, foreseen: bool = False) -> dict[int, bytes]:
        """Return blocks: those that are here, those that somebody fetches already, and the rest, fetched now.

        Args:
            numbers: of the blocks, ascending.
            keep: whether they stay.
            foreseen: whether they are all that will be read there; else they come with their neighbours.

        """
        found: dict[int, bytes] = {}
        theirs: dict[int, Future[bytes]] = {}
        ours: dict[int, Future[bytes]] = {}
        noted: dict[int, None] | None = getattr(self._mine, "noted", None)
        with self._lock:
            for number in numbers:
                block = self._blocks.get(number)
                if block is not None:
                    self._blocks.move_to_end(number)
                    found[number] = block
                elif noted is not None:
                    noted[number] = None
                elif number in self._coming:
                    theirs[number] = self._coming[number]
                else:
                    ours[number] = self._coming[number] = Future()
            if ours and keep and not foreseen:
                ours = self._with_neighbours(ours)
        if noted is not None and len(found) < len(numbers):
            raise _NotHereError
        if ours:
            self._fetch(ours, keep=keep)
        for number, future in (*ours.items(), *theirs.items()):
            found[number] = future.result()
        return found

    def _with_neighbours(self, ours: dict[int, Future[bytes]]) -> dict[int, Future[bytes]]:
        """Return blocks that will be fetched with those beside them that nobody has or fetches; under the lock."""
        made: dict[int, Future[bytes]] = {}
        for group in dict.fromkeys(number // NEAR for number in ours):
            for number in range(group * NEAR, min((group + 1) * NEAR, -(-self._size // BLOCK))):
                if number in ours:
                    made[number] = ours[number]
                elif number not in self._blocks and number not in self._coming:
                    made[number] = self._coming[number] = Future()
        return made

    def _fetch(self, ours: dict[int, Future[bytes]], *, keep: bool) -> None:
        """Fetch blocks; every future has its block, or its error, when this returns or raises."""
        try:
            if self._ended is not None:
                raise RemoteError(self._ended.code, self._ended.message, hint=self._ended.hint)
            absent = []
            for number in ours:
                if self._source.is_zero(number * BLOCK, self._length(number)):
                    self._settle(ours, number, _ZEROS[: self._length(number)], keep=keep)
                else:
                    absent.append(number)
            runs = _runs(absent)
            if len(runs) == 1:
                self._run(runs[0], ours, keep=keep)
            else:
                for done in [self._workers.submit(self._run, run, ours, keep=keep) for run in runs]:
                    done.result()
        except BaseException as error:
            with self._lock:
                for number, future in ours.items():
                    self._coming.pop(number, None)
                    if not future.done():
                        future.set_exception(error if isinstance(error, ReadError) else ReadError("interrupted"))
            if isinstance(error, RemoteError):
                self._end(error)
            raise

    def _run(self, run: tuple[int, int], ours: dict[int, Future[bytes]], *, keep: bool) -> None:
        """Fetch blocks one behind another, the last not included, with one request."""
        start, end = run[0] * BLOCK, min(run[1] * BLOCK, self._size)
        data = self._range(start, end - start)
        if run[1] - run[0] == 1:
            self._settle(ours, run[0], data, keep=keep)
            return
        for number in range(*run):
            within = number * BLOCK - start
            self._settle(ours, number, data[within : within + BLOCK], keep=keep)

    def _range(self, start: int, length: int) -> bytes:
        """Return a range, and give the server up when one after another cannot be had."""
        try:
            data = self._source.read_range(start, length)
        except ReadError as error:
            with self._lock:
                self._failed += 1
                lost = self._failed >= _LOST and not isinstance(error, RemoteError)
                self.failure = (
                    RemoteError("remote.lost", error.message, hint="scan again when the server is well")
                    if lost
                    else error
                )
            raise self.failure from None
        with self._lock:
            self._failed = 0
        return data

    def _settle(self, ours: dict[int, Future[bytes]], number: int, block: bytes, *, keep: bool) -> None:
        with self._lock:
            if keep:
                self._blocks[number] = block
                self._blocks.move_to_end(number)
                while len(self._blocks) > _KEPT:
                    self._blocks.popitem(last=False)
            future = ours.get(number)
            # A block of a gap is nobody's.
            if future is not None and not future.done():
                self._coming.pop(number, None)
                future.set_result(block)

    def _length(self, number: int) -> int:
        return min(BLOCK, self._size - number * BLOCK)

    def _end(self, error: RemoteError) -> None:
        """Note that nothing more can be read, and tell it once."""
        if self._ended is not None:
            return
        self._ended = error
        message = f"Nothing more could be read of the image: {error.message}"
        if error.code == "remote.changed":
            self._diagnostics.error("remote.changed", message, hint=error.hint, source=self.shown)
        elif error.code == "remote.denied":
            self._diagnostics.error("remote.denied", message, hint=error.hint, source=self.shown)
        else:
            self._diagnostics.error("remote.lost", message, hint=error.hint, source=self.shown)


def _succeeds(reading: Callable[[], object]) -> bool:
    """Run a reading; tell whether it needs no block that is not here."""
    try:
        with suppress(StopcodeError):
            reading()
    except _NotHereError:
        return False
    return True


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return stretches of blocks, the last not included, that are each worth one request; `numbers` ascend."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number - runs[-1][1] <= _GAP and number - runs[-1][0] < _RUN:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs
