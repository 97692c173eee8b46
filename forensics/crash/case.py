"""What the steps of the blame look at, and how they write down what they found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from forensics.crash.context import CrashContext
from forensics.crash.entry import BugCheckCall
from forensics.crash.evidence import Evidence
from forensics.crash.fit import Fit
from forensics.crash.policy import policy_of
from forensics.crash.scan import ReturnAddresses
from forensics.crash.stack import Frame
from forensics.facts import Culprit
from parsers.dump.context import ExceptionRecord
from parsers.dump.modules import LoadedModule, UnloadedDriver

__all__ = ["CrashCase", "Kind", "Sure"]

#: How a line of `others` begins when it is about a place: module+offset.
_PLACE = re.compile(r"\S+\+0x[0-9a-f]+\b")

#: Characters of an unloaded driver's name in a small dump.
_CUT_NAME = 12

Kind = Literal["driver", "hardware", "manual", "boot", "process", "unknown"]
Sure = Literal["high", "medium", "low", "none"]


@dataclass(slots=True)
class CrashCase:
    """One crash before its verdict.

    Attributes:
        evidence: the dump.
        fault: the registers at the fault, None when there is none.
        call: the bug check call, where it is shown.
        record: (address, exception record) that a parameter names.
        frames: the stack: of the fault where there is one, else of the bug check call.
        words: judges single addresses.
        process: image name of the current process.
        fit: the fault held against its instruction; None when there is none to hold.
        against: sentences that speak against a verdict, gathered on the way.
        others: what else was looked at, and why it was passed over.
        stack_of: whose stack `frames` are, in words; "" where they are of the fault or of the bug check call.
        flipped_bits: single wrong bits that were found, as (bit, where).
        gaps: sentences: what a parameter names and the dump does not hold.

    """

    evidence: Evidence
    fault: CrashContext | None
    call: BugCheckCall | None
    record: tuple[int, ExceptionRecord] | None
    frames: list[Frame]
    words: ReturnAddresses
    process: str | None = None
    fit: Fit | None = None
    against: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    stack_of: str = ""
    flipped_bits: list[tuple[int, str]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The bug check code, masked."""
        return self.evidence.code

    @property
    def exception_code(self) -> int | None:
        """NTSTATUS of the exception, from its record or the parameter that repeats it."""
        if self.record is not None:
            return self.record[1].code
        if self.code in (0x7E, 0x8E, 0x1E, 0x3B, 0x135):
            return self.evidence.parameters[0] & 0xFFFFFFFF
        return None

    def label(self, address: int) -> str:
        """Write an address as module+offset."""
        return self.evidence.modules.label(address)

    def former(self, driver: UnloadedDriver) -> str:
        """Name the range of an unloaded driver, and doubt its name where the dump may have cut it."""
        if len(driver.name) == _CUT_NAME and self.evidence.dump.triage is not None:
            self.against.append(f"small dumps cut the names of unloaded drivers at {_CUT_NAME} characters")
        return f"the former range {driver.start:#x}..{driver.end:#x} of {driver.name}, which was unloaded"

    def absent(self, number: int, what: str) -> None:
        """Say that what a parameter points to cannot be read, when that is so because the dump does not hold it."""
        address = self.evidence.parameters[number - 1]
        if address >> (8 * self.evidence.dump.pointer_size - 1) and self.evidence.bytes_at(address, 2) is None:
            self.gaps.append(f"the {what} that parameter {number} names ({address:#x}) is not in the dump")

    def verdict(self, kind: Kind, module: LoadedModule | str | None, sure: Sure, because: list[str]) -> Culprit:
        """Make the verdict; doubts that hold for every verdict of its kind are added."""
        name = module.name if isinstance(module, LoadedModule) else module
        against = list(dict.fromkeys(self.against))
        if kind == "driver" and name is not None:
            row = policy_of(name)
            if row.kind != "normal":
                against.append(f"{name} is {row.reason}")
            against.append(
                "the place of a fault is not always its cause: a bad pointer or damaged data may come from elsewhere"
            )
            self._tell_others(name)
        if sure == "low" and kind == "driver":
            against.append("the evidence is weak: it is a hint where to look, no proof")
        return {
            "kind": kind,
            "module": name,
            "confidence": sure,
            "because": list(dict.fromkeys(because)),
            "against": against,
            "others": _each_place_once(self.others)[:12],
        }

    def _tell_others(self, named: str) -> None:
        """List the other drivers on the stack, each once, with why it was not named."""
        seen = {named.lower()}
        for frame in self.frames:
            module = frame.module
            if module is None or module.name.lower() in seen or self.evidence.modules.is_kernel(module):
                continue
            seen.add(module.name.lower())
            row = policy_of(module.name)
            why = row.reason if row.kind in ("last", "ignore") else "further from the fault than what is named"
            self.others.append(f"{self.label(frame.ip)} on the stack ({frame.method}, {frame.confidence}): {why}")
        if not self.others:
            self.others.append("no other driver stands on the stack that was found")


def _each_place_once(lines: list[str]) -> list[str]:
    """Keep the first line about each place: a parameter, the context and a frame often name the same one."""
    kept: dict[str, str] = {}
    for line in lines:
        place = _PLACE.match(line)
        kept.setdefault(place.group() if place is not None else line, line)
    return list(kept.values())
