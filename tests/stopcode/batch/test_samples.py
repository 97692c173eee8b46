"""The whole family of built disks as a fleet: what is counted is what samples/built/README.md says happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from signatures import load_database
from stopcode.batch import Settings, find_items, run_batch
from stopcode.batch.fleet import fleet_of
from stopcode.case import open_case

#: sample -> state of the machine, what the rule vmstorfl says of it
STORIES = {
    "ws2016.vhdx": ("clear", None),
    "ws2019-exposed.vhdx": ("exposed", "exposed"),
    "ws2019-failed.vhdx": ("crashed", "crashed"),
    "ws2019-fixed.vhdx": ("clear", None),
    "ws2019-hive-damaged.vhdx": ("suspected", "suspected"),
    "ws2019-january.vhdx": ("clear", None),
    # It stopped, and no dump is left to prove what it stopped with.
    "ws2019-no-dump.vhdx": ("crashed", "exposed"),
    "ws2019-preview.vhdx": ("clear", None),
}


def test_a_fleet_of_all_samples_is_counted_and_read_once(built: Callable[[str], Path], tmp_path: Path) -> None:
    items = find_items([str(built(name)) for name in STORIES])
    database = load_database()
    with open_case(tmp_path / "fleet.case") as case:
        result = run_batch(items, case, database, Settings(jobs=2))
        assert {outcome.how for outcome in result.outcomes} == {"scanned"}
        fleet = fleet_of(case, result.outcomes)
        again = run_batch(items, case, database, Settings(jobs=2))
        assert {outcome.how for outcome in again.outcomes} == {"kept"}
        assert fleet_of(case, again.outcomes) == fleet
    answer = next(answer for answer in fleet["answers"] if answer["rule"] == "vmstorfl")
    assert answer["sentence"].startswith("1 of 8 crashed, 2 exposed, 1 suspected: ")
    told = {
        Path(machine["path"]).name: (
            machine["state"],
            next((problem["state"] for problem in machine["problems"] if problem["rule"] == "vmstorfl"), None),
        )
        for machine in fleet["machines"]
    }
    assert told == STORIES
    assert [outcome.exit for outcome in result.outcomes] == [0, 1, 1, 0, 4, 0, 1, 0]
