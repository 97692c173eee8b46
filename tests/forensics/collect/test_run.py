from __future__ import annotations

from forensics.collect import Machine, collect
from forensics.facts import Facts, Wants
from parsers.diagnostics import Diagnostics
from tests.forensics.world import SELECT, SERVER_2019, FakeWindows


def test_progress_tells_each_step_and_the_facts_that_are_whole_by_then() -> None:
    windows = FakeWindows({"SYSTEM": SELECT, "SOFTWARE": SERVER_2019}, {}, {})
    told: list[tuple[str, int, int, int | None]] = []

    def progress(name: str, number: int, count: int, facts: Facts) -> None:
        told.append((name, number, count, facts["system"].get("build")))

    collect(Machine(windows, Wants(), Diagnostics()), progress)  # type: ignore[arg-type]  # a made-up volume

    names = [name for name, *_ in told]
    assert names[0] == "system"
    assert names[-1] == "disk_as_of"
    assert [number for _, number, *_ in told] == list(range(len(names)))
    assert {count for _, _, count, _ in told} == {len(names)}
    assert told[0][3] is None
    assert {build for *_, build in told[1:]} == {17763}
