"""What a batch writes: the fleet as one document (`stopcode/fleet/1`), and a line for an image that gave no report."""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "FAILURE_SCHEMA", "FLEET_SCHEMA", "Answer", "FailedImage", "Failure", "Fleet", "FleetMachine", "FleetProblem",
    "LeftOutImage", "NamedImage",
]  # fmt: skip

FLEET_SCHEMA = "stopcode/fleet/1"
FAILURE_SCHEMA = "stopcode/failure/1"


class Answer(TypedDict):
    """What one rule says of the fleet: on how many machines it says so, `of` those that could be read."""

    rule: str
    title: str
    severity: str
    status: str
    crashed: int
    exposed: int
    suspected: int
    of: int
    sentence: str


class FleetProblem(TypedDict):
    """A rule that says something of one machine."""

    rule: str
    state: str


class FleetMachine(TypedDict):
    """One machine that could be read. `bugcheck` and `culprit` are of its latest crash, null where there is none."""

    path: str
    state: str | None
    hostname: str | None
    product: str | None
    version: str | None
    update_kb: str | None
    bugcheck: str | None
    culprit: str | None
    sentence: str | None
    problems: list[FleetProblem]
    exit: int
    scanned_at: str


class FailedImage(TypedDict):
    """An image that gave no report: a diagnostic's code, what is wrong, what to do."""

    path: str
    code: str | None
    reason: str | None
    hint: str | None
    exit: int


class LeftOutImage(TypedDict):
    """An image that was not scanned by itself: another one builds on it."""

    path: str
    reason: str


class Fleet(TypedDict):
    """The whole document. `states` counts the machines that could be read; of the others nothing is known."""

    schema: str
    images: int
    read: int
    states: dict[str, int]
    answers: list[Answer]
    machines: list[FleetMachine]
    failed: list[FailedImage]
    left_out: list[LeftOutImage]


class NamedImage(TypedDict):
    """What was to be read."""

    path: str


class Failure(TypedDict):
    """What stands in place of a report: a diagnostic's code, what is wrong, what to do."""

    schema: str
    source: NamedImage
    code: str | None
    message: str | None
    hint: str | None
