"""A batch stops for nothing, keeps everything, and reads nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from signatures import Database, load_database
from stopcode.batch import Settings, find_items, run_batch
from stopcode.batch.supervisor import Result
from stopcode.case import Case, open_case
from stopcode.case.location import uri_of
from tests.stopcode.batch.fake import FakeWorker

Images = Callable[..., Path]


@pytest.fixture(scope="module")
def database() -> Database:
    return load_database()


class Batch:
    """Runs a batch over a folder with a fake worker, again and again on one case file."""

    def __init__(self, tmp_path: Path, worker: FakeWorker, database: Database) -> None:
        self.path = tmp_path / "fleet.case"
        self.worker = worker
        self.database = database

    def __call__(self, *paths: Path, **settings: object) -> Result:
        self.worker.forget()
        made = replace(Settings(jobs=2, timeout=60, command=self.worker.command), **settings)  # type: ignore[arg-type]  # by name
        with open_case(self.path) as case:
            return run_batch(find_items(map(str, paths)), case, self.database, made)

    def case(self) -> Case:
        return open_case(self.path)


@pytest.fixture
def batch(tmp_path: Path, worker: FakeWorker, database: Database) -> Batch:
    return Batch(tmp_path, worker, database)


def hows(result: Result) -> dict[str, str]:
    return {outcome.item.path.name: outcome.how for outcome in result.outcomes}


def test_bad_images_and_killed_workers_stop_nothing(batch: Batch, images: Images) -> None:
    folder = images("a.vhd", "killed.vhd", "b.vhd", "segv.vhd", "unreadable.vhd", "half.vhd", "z.vhd")
    result = batch(folder)
    assert hows(result) == {
        "a.vhd": "scanned", "b.vhd": "scanned", "half.vhd": "failed", "killed.vhd": "failed", "segv.vhd": "failed",
        "unreadable.vhd": "failed", "z.vhd": "scanned",
    }  # fmt: skip
    assert [outcome.exit for outcome in result.outcomes] == [0, 0, 4, 4, 4, 3, 0]
    with batch.case() as case:
        rows = case.rows()
        assert rows[uri_of(folder / "killed.vhd")].code == "worker.crashed"
        assert rows[uri_of(folder / "unreadable.vhd")].code == "image.no-windows"
        assert rows[uri_of(folder / "z.vhd")].hostname == "z"


def test_a_second_run_reads_what_failed_and_what_changed(batch: Batch, images: Images) -> None:
    folder = images("a.vhd", "b.vhd", "killed.vhd")
    batch(folder)
    assert sorted(batch.worker.started) == ["a.vhd", "b.vhd", "killed.vhd"]
    result = batch(folder)
    assert batch.worker.started == ["killed.vhd"]
    assert hows(result) == {"a.vhd": "kept", "b.vhd": "kept", "killed.vhd": "failed"}
    images("b.vhd", content="another")
    batch(folder)
    assert sorted(batch.worker.started) == ["b.vhd", "killed.vhd"]
    batch(folder, rescan=True)
    assert len(batch.worker.started) == 3


def test_a_changed_time_alone_is_a_change(batch: Batch, images: Images) -> None:
    folder = images("a.vhd")
    batch(folder)
    os.utime(folder / "a.vhd", ns=(1, 1))
    batch(folder)
    assert batch.worker.started == ["a.vhd"]


def test_a_part_that_changed_is_a_change(batch: Batch, images: Images) -> None:
    folder = images("a.e01", "a.e02")
    batch(folder)
    batch(folder)
    assert batch.worker.started == []
    images("a.e02", content="another")
    batch(folder)
    assert batch.worker.started == ["a.e01"]


def test_another_version_of_stopcode_reads_again(batch: Batch, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = images("a.vhd")
    batch(folder)
    monkeypatch.setattr("stopcode.batch.supervisor.__version__", "99")
    batch(folder)
    assert batch.worker.started == ["a.vhd"]


def test_a_folder_image_is_always_read_again(batch: Batch, tmp_path: Path) -> None:
    (tmp_path / "m" / "Windows" / "System32").mkdir(parents=True)
    (tmp_path / "worker" / "worker.py").write_text(
        (tmp_path / "worker" / "worker.py").read_text().replace('path.read_text(errors="replace")', '""')
    )
    assert hows(batch(tmp_path / "m")) == {"m": "scanned"}
    assert hows(batch(tmp_path / "m")) == {"m": "scanned"}


def test_parents_of_snapshots_are_not_machines_of_their_own(batch: Batch, images: Images) -> None:
    folder = images("base.vhdx", "other.vhdx")
    images("leaf.avhdx", content="parent base.vhdx\nparent ../other.vhdx\n")
    for how in ("scanned", "kept"):
        assert hows(batch(folder)) == {"base.vhdx": "parent", "leaf.avhdx": how, "other.vhdx": how}
    assert batch.worker.started == []


def test_a_parent_that_was_read_first_is_taken_back(batch: Batch, images: Images) -> None:
    folder = images("a.vhdx")
    images("b.vhdx", content="parent a.vhdx\n")
    result = batch(folder, jobs=1)
    assert batch.worker.started == ["a.vhdx", "b.vhdx"]
    assert hows(result) == {"a.vhdx": "parent", "b.vhdx": "scanned"}
    assert result.outcomes[0].note == "an earlier state of b.vhdx"


def test_a_parent_that_the_user_names_is_read(batch: Batch, images: Images) -> None:
    folder = images("a.vhdx")
    images("b.avhdx", content="parent a.vhdx\n")
    assert hows(batch(folder / "a.vhdx", folder / "b.avhdx", jobs=1)) == {"a.vhdx": "scanned", "b.avhdx": "scanned"}


def test_a_parent_that_changed_is_a_change(batch: Batch, images: Images) -> None:
    folder = images("a.vhdx")
    images("b.avhdx", content="parent a.vhdx\n")
    batch(folder)
    images("a.vhdx", content="written to")
    batch(folder)
    assert batch.worker.started == ["b.avhdx"]


def test_other_rules_judge_kept_facts_without_the_disk(batch: Batch, images: Images, database: Database) -> None:
    folder = images("a.vhd")
    batch(folder)
    fewer = Database(database.rules[:1], "fewer")
    batch.database = fewer
    assert hows(batch(folder)) == {"a.vhd": "judged"}
    assert batch.worker.started == []
    with batch.case() as case:
        kept = case.kept(uri_of(folder / "a.vhd"))
        assert kept is not None
        assert kept.collected.rules_digest == "fewer"
        report = case.report(kept.scan_pk)
        assert report["tool"]["rules"] == 1
        assert report["facts"]["system"]["hostname"] == "a"
    assert hows(batch(folder)) == {"a.vhd": "kept"}


def test_rules_that_want_what_was_not_collected_read_again(batch: Batch, images: Images, database: Database) -> None:
    folder = images("a.vhd")
    batch.database = Database((), "none")
    batch(folder)
    batch.database = database
    assert hows(batch(folder)) == {"a.vhd": "scanned"}


def test_a_kept_report_that_is_damaged_is_read_again(batch: Batch, images: Images, database: Database) -> None:
    folder = images("a.vhd")
    batch(folder)
    with batch.case() as case:
        case._db.execute("UPDATE document SET body = x'00'")
    batch.database = Database(database.rules, "other")
    assert hows(batch(folder)) == {"a.vhd": "scanned"}


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist on POSIX systems alone")
def test_hostile_names_are_kept_and_found_again(batch: Batch, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (b"\x1b]0;x\x07.vhd", b"\xff.vhd", b"%41.vhd", b"A.vhd", b"new\nline.vhd"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text("x")
    assert set(hows(batch(folder)).values()) == {"scanned"}
    assert set(hows(batch(folder)).values()) == {"kept"}


def test_results_are_kept_as_they_come(batch: Batch, images: Images, database: Database) -> None:
    folder = images("a.vhd", "wait.vhd")
    seen: list[str] = []
    with open_case(batch.path) as case:

        def ended(outcome: object) -> None:
            with open_case(batch.path) as reader:
                seen.extend(row.hostname or "" for row in reader.rows().values() if row.hostname not in seen)
            batch.worker.let_go()

        settings = Settings(jobs=2, timeout=60, command=batch.worker.command)
        run_batch(find_items([str(folder)]), case, database, settings, tell=ended)
    assert seen == ["a", "wait"]


def supervise(batch: Batch, folder: Path) -> subprocess.Popen[bytes]:
    """Run a batch in a process of its own, so that it can be killed."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from signatures import load_database\n"
        "from stopcode.batch import Settings, find_items, run_batch\n"
        "from stopcode.case import open_case\n"
        "case, folder, *command = sys.argv[1:]\n"
        "with open_case(Path(case)) as opened:\n"
        "    result = run_batch(find_items([folder]), opened, load_database(),\n"
        "                       Settings(jobs=1, timeout=60, command=command))\n"
        "sys.exit(130 if result.interrupted else 0)\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(batch.path), str(folder), *batch.worker.command])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_keeps_what_is_finished_and_kills_what_runs(batch: Batch, images: Images) -> None:
    folder = images("a.vhd", "late.vhd", "z.vhd")
    supervisor = supervise(batch, folder)
    wait_for(lambda: "late.vhd" in batch.worker.started, "the second image is being read")
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(batch.worker.pids[-1], 0)
    with batch.case() as case:
        assert [row.hostname for row in case.rows().values()] == ["a"]
        assert case._db.execute("SELECT outcome FROM run").fetchall() == [("interrupted",)]
    (folder / "late.vhd").rename(folder / "later.vhd")
    assert hows(batch(folder)) == {"a.vhd": "kept", "later.vhd": "scanned", "z.vhd": "scanned"}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_supervisor_loses_only_what_was_running(batch: Batch, images: Images) -> None:
    folder = images("a.vhd", "wait.vhd", "z.vhd")
    supervisor = supervise(batch, folder)
    wait_for(lambda: "wait.vhd" in batch.worker.started, "the second image is being read")
    supervisor.kill()
    supervisor.wait(60)
    batch.worker.let_go()
    assert hows(batch(folder)) == {"a.vhd": "kept", "wait.vhd": "scanned", "z.vhd": "scanned"}
    assert sorted(batch.worker.started) == ["wait.vhd", "z.vhd"]


def test_a_case_that_cannot_be_written_ends_the_batch_with_its_reason(
    batch: Batch, images: Images, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parsers.errors import StopcodeError

    folder = images("a.vhd", "b.vhd")
    with open_case(None) as case:
        monkeypatch.setattr(case, "keep_report", raising)
        settings = Settings(jobs=2, timeout=60, command=batch.worker.command)
        with pytest.raises(StopcodeError, match="the disk is full"):
            run_batch(find_items([str(folder)]), case, database, settings)


def raising(*_: object) -> None:
    from parsers.errors import StopcodeError

    raise StopcodeError("the disk is full")
