"""Many images: what to do with each, N at once, every result kept as it comes."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from forensics.disk.keys import VolumeKeys
from parsers.diagnostics import Diagnostic, Diagnostics
from parsers.errors import StopcodeError
from stopcode import __version__
from stopcode.batch.child import WORKER, Failure, scan_in_child
from stopcode.batch.identity import covers, stamp_of, wants_text
from stopcode.batch.inputs import Item
from stopcode.batch.protocol import Request
from stopcode.case import Case, Collected, Kept
from stopcode.case.columns import parents_of
from stopcode.case.location import uri_of
from stopcode.report.outcome import exit_of
from stopcode.scan.run import judged_report

if TYPE_CHECKING:
    from forensics.facts import Facts
    from signatures import Database

__all__ = ["How", "Outcome", "Result", "Settings", "run_batch"]

#: scanned: read now; kept: nothing changed since; judged: the same facts under other rules; failed: no report;
#: parent: an earlier state of another image of this run.
How = Literal["scanned", "kept", "judged", "failed", "parent"]

#: Exit codes of an image without a report (docs/command-line.md).
_UNREADABLE, _PARTIAL = 3, 4
_BEAT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How to go about it.

    Attributes:
        jobs: children at once.
        timeout: seconds one image may take.
        memory: bytes one child may have; 0 for no limit.
        signatures: further rules, absolute paths.
        rescan: read images again though nothing changed.
        keys: what opens encrypted volumes.
        command: the worker (tests give their own).

    """

    jobs: int = min(os.cpu_count() or 1, 4)
    timeout: float = 300.0
    memory: int = 4 << 30
    signatures: tuple[str, ...] = ()
    rescan: bool = False
    keys: VolumeKeys = field(default_factory=VolumeKeys)
    command: Sequence[str] = WORKER


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image; `of` names the child of a parent."""

    item: Item
    uri: str
    how: How
    exit: int
    note: str = ""


@dataclass(slots=True)
class Result:
    """What became of all of them, in the order of the items; those that were not reached are missing."""

    outcomes: list[Outcome] = field(default_factory=list)
    interrupted: bool = False


Teller = Callable[[Outcome], object]


class _Batch:
    def __init__(
        self, items: Sequence[Item], case: Case, database: Database, remarks: Iterable[Diagnostic], settings: Settings,
        tell: Teller, begins: Callable[[Item], object],
    ) -> None:  # fmt: skip
        self._case = case
        self._database = database
        self._remarks = list(remarks)
        self._settings = settings
        self._tell = tell
        self._begins = begins
        self._wants = wants_text(database.wants())
        self._items = items
        self._waiting: deque[Item] = deque()
        self._parents: dict[Path, Path] = {}
        self.done: dict[Path, Outcome] = {}

    async def run(self) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            # Children first, and whole: only they say who their parents are, which then need no reading.
            for children in (True, False):
                self._waiting.extend(item for item in self._items if item.child is children)
                async with asyncio.TaskGroup() as group:
                    for _ in range(max(self._settings.jobs, 1)):
                        group.create_task(self._take())
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self._case.beat()

    async def _take(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            if item.path in self._parents and not item.named:
                self._leave_out(item)
                continue
            self._note(await self._one(item))

    def _note(self, outcome: Outcome) -> None:
        self.done[outcome.item.path] = outcome
        self._tell(outcome)
        for path in [path for path in self._parents if path in self.done]:
            # It was read before its child said who it is.
            earlier = self.done[path]
            if earlier.how != "parent" and not earlier.item.named:
                self._leave_out(earlier.item)

    def _leave_out(self, item: Item) -> None:
        note = f"an earlier state of {self._parents[item.path].name}"
        self.done[item.path] = outcome = Outcome(item, uri_of(item.path), "parent", 0, note)
        self._tell(outcome)

    def _adopt(self, item: Item, parents: Iterable[str]) -> list[Path]:
        """Remember whom an image builds on; return the files."""
        files = [item.path.parent / name for name in parents]
        for path in files:
            self._parents.setdefault(path, item.path)
        return files

    async def _one(self, item: Item) -> Outcome:
        uri = uri_of(item.path)
        kept = self._case.kept(uri)
        if kept is not None and kept.done and not self._settings.rescan:
            again = self._again(item, uri, kept)
            if again is not None:
                return again
        self._begins(item)
        files = [item.path, *item.parts]
        before = stamp_of(files)
        request = Request(
            str(item.path),
            self._settings.signatures,
            self._settings.memory,
            int(self._settings.timeout) + 10,
            self._settings.keys,
        )
        answer = await scan_in_child(request, self._settings.timeout, command=self._settings.command)
        if isinstance(answer, Failure):
            exit = _PARTIAL if answer.readable else _UNREADABLE
            self._case.keep_failure(uri, [answer.diagnostic.to_dict()], self._collected(before), exit)
            return Outcome(item, uri, "failed", exit, answer.diagnostic.message)
        parents = self._adopt(item, parents_of(answer))
        # Taken before the scan: a file that changes meanwhile is another one next time.
        stamp = before if not parents or before is None else stamp_of([*files, *parents])
        if before != stamp_of(files):
            stamp = None
        exit = exit_of(answer)
        self._case.keep_report(uri, answer, self._collected(stamp), exit)
        return Outcome(item, uri, "scanned", exit)

    def _collected(self, stamp: str | None) -> Collected:
        return Collected(stamp, __version__, self._database.digest, self._wants)

    def _again(self, item: Item, uri: str, kept: Kept) -> Outcome | None:
        """Return the outcome of an image that needs no reading, None when it does."""
        then = kept.collected
        stamp = stamp_of([item.path, *item.parts, *(item.path.parent / name for name in kept.parents)])
        if stamp is None or stamp != then.stamp or then.version != __version__:
            return None
        self._adopt(item, kept.parents)
        if then.rules_digest == self._database.digest:
            return Outcome(item, uri, "kept", kept.exit)
        if not covers(then.wants, self._wants):
            return None
        try:
            report = self._judge(self._case.report(kept.scan_pk))
        except Exception:  # noqa: BLE001 - what is stored may be anything, and reading the image again is always right
            return None
        exit = exit_of(report)
        self._case.keep_judgement(kept.scan_pk, report, Collected(stamp, __version__, self._database.digest,
                                                                  then.wants), exit)  # fmt: skip
        return Outcome(item, uri, "judged", exit)

    def _judge(self, report: dict[str, Any]) -> dict[str, Any]:
        """Judge the facts of a report again."""
        kept = [
            Diagnostic.from_dict(item) for item in report["diagnostics"] if not item["code"].startswith("signatures.")
        ]
        lone = report["source"].get("kind") == "dump"
        made = judged_report(
            cast("Facts", report["facts"]),
            report["source"],
            self._database,
            Diagnostics([*self._remarks, *kept]),
            report["stats"],
            lone=lone,
        )
        return cast("dict[str, Any]", made)


def run_batch(
    items: Sequence[Item],
    case: Case,
    database: Database,
    settings: Settings,
    *,
    remarks: Iterable[Diagnostic] = (),
    tell: Teller = lambda _outcome: None,
    begins: Callable[[Item], object] = lambda _item: None,
) -> Result:
    """Scan what needs it, keep every result as it comes, and return what became of each image.

    Ctrl+C stops the children that run and keeps what is finished (`Result.interrupted`).

    Args:
        items: the images.
        case: where results are kept.
        database: the rules; the workers load the same ones by `settings.signatures`.
        settings: how to go about it.
        remarks: what was to be said of the rules.
        tell: told every outcome as it comes; a parent's outcome may follow one that said otherwise.
        begins: told every image whose reading begins.

    Raises:
        StopcodeError: the case cannot be written.

    """
    batch = _Batch(items, case, database, remarks, settings, tell, begins)
    result = Result()
    case.begin_run(__version__)
    try:
        asyncio.run(batch.run())
    except KeyboardInterrupt:
        result.interrupted = True
    except BaseExceptionGroup as group:
        ours = group.subgroup(StopcodeError)
        if ours is None:
            raise
        raise _first(ours) from group
    case.end_run("interrupted" if result.interrupted else "finished")
    result.outcomes = [batch.done[item.path] for item in items if item.path in batch.done]
    return result


def _first(group: BaseExceptionGroup[StopcodeError]) -> StopcodeError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
