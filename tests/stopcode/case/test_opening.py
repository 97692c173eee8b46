"""Only a case file of ours is opened; everything else is refused, and left as it was."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from pathlib import Path

import pytest

from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, StopcodeError, UnsupportedError
from stopcode.case import open_case
from stopcode.case.location import on_network, path_of_uri, uri_of
from stopcode.case.schema import APPLICATION_ID, MIGRATIONS
from tests.stopcode.case.reports import AS_OF, report_of


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A case file with one report in it."""
    path = tmp_path / "some.case"
    with open_case(path) as opened:
        opened.begin_run("0.1.0")
        opened.keep_report("file:///a", report_of("SRV1"), AS_OF, 0)
        opened.end_run("finished")
    return path


def test_a_new_file_says_in_its_header_whose_it_is(case: Path) -> None:
    head = case.read_bytes()[:100]
    assert head.startswith(b"SQLite format 3\0")
    user_version, application_id = struct.unpack(">I4xI", head[60:72])
    assert (user_version, application_id) == (max(MIGRATIONS), APPLICATION_ID)
    assert application_id.to_bytes(4, "big") == b"STOP"


def test_a_case_survives_closing(case: Path) -> None:
    with open_case(case) as opened:
        kept = opened.kept("file:///a")
        assert kept is not None
        assert opened.report(kept.scan_pk) == report_of("SRV1")


def test_an_empty_file_becomes_a_case(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    open_case(path).close()
    assert path.stat().st_size > 0


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t(x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(FormatError, match="another program") as caught:
        open_case(path)
    assert caught.value.hint
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.parametrize("content", [b"x", b"not a database" * 50, b"SQLite format 3\0", bytes(4096)])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not a case file"):
        open_case(path)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_stopcode_is_refused(case: Path) -> None:
    with sqlite3.connect(case) as db:
        db.execute(f"PRAGMA user_version = {max(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(UnsupportedError, match="newer stopcode") as caught:
        open_case(case)
    assert "update stopcode" in caught.value.hint


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER odd AFTER INSERT ON scan BEGIN DELETE FROM finding; END",
        "CREATE VIEW odd AS SELECT 1",
        "CREATE TABLE odd(x)",
        "ALTER TABLE scan ADD COLUMN odd TEXT",
        "DROP TABLE finding",
    ],
)
def test_tables_that_our_steps_do_not_make_are_refused(case: Path, statement: str) -> None:
    with sqlite3.connect(case) as db:
        db.execute(statement)
    db.close()
    with pytest.raises(FormatError, match="does not have the tables of a case file"):
        open_case(case)


def test_a_cut_file_is_refused(case: Path) -> None:
    case.write_bytes(case.read_bytes()[:6000])
    with pytest.raises(StopcodeError) as caught:
        open_case(case)
    assert caught.value.hint


@pytest.mark.parametrize("page", range(1, 12))
def test_a_damaged_page_is_an_error_of_ours_or_does_no_harm(case: Path, page: int) -> None:
    data = bytearray(case.read_bytes())
    data[page * 4096 : page * 4096 + 4096] = b"\xff" * 4096
    case.write_bytes(data)
    with contextlib.suppress(StopcodeError), open_case(case) as opened:
        opened.rows()
        opened.findings()
        kept = opened.kept("file:///a")
        assert kept is not None
        opened.report(kept.scan_pk)
        opened.begin_run("0.1.0")
        opened.keep_report("file:///b", report_of("SRV2"), AS_OF, 0)
        opened.end_run("finished")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StopcodeError, match="no folder for the case file"):
        open_case(tmp_path / "no" / "file.case")
    with pytest.raises(StopcodeError, match="cannot be opened"):
        open_case(tmp_path)


def test_a_file_that_another_program_holds_is_told(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopcode.case.opening._BUSY_SECONDS", 0.05)
    with open_case(case) as opened:
        other = sqlite3.connect(case, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StopcodeError, match="in use by another program") as caught:
            opened.begin_run("0.1.0")
        assert "wait" in caught.value.hint
        other.close()
        opened.begin_run("0.1.0")


def test_an_older_file_is_brought_up_to_date_and_a_copy_is_kept(case: Path) -> None:
    steps = {
        **MIGRATIONS,
        max(MIGRATIONS) + 1: "CREATE TABLE note(text TEXT);\nINSERT INTO note SELECT hostname FROM scan;\n",
    }
    with open_case(case, steps=steps) as opened:
        assert opened.rows()["file:///a"].hostname == "SRV1"
        assert opened._db.execute("SELECT text FROM note").fetchall() == [("SRV1",)]
    with open_case(case.with_name(f"some.case.schema-{max(MIGRATIONS)}")) as copy:
        assert copy.rows()["file:///a"].hostname == "SRV1"
    with pytest.raises(UnsupportedError, match="newer"):
        open_case(case)


def test_a_step_that_fails_changes_nothing(case: Path) -> None:
    steps = {**MIGRATIONS, max(MIGRATIONS) + 1: "CREATE TABLE note(text TEXT);\nNONSENSE;\n"}
    with pytest.raises(StopcodeError):
        open_case(case, steps=steps)
    with open_case(case) as opened:
        assert opened.rows()["file:///a"].hostname == "SRV1"


def test_a_local_file_is_written_ahead_and_one_on_the_network_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mode(name: str, diagnostics: Diagnostics) -> str:
        with open_case(tmp_path / name, diagnostics) as opened:
            return str(opened._db.execute("PRAGMA journal_mode").fetchone()[0])

    said = Diagnostics()
    assert mode("local.case", said) == "wal"
    assert not said.items
    monkeypatch.setattr("stopcode.case.opening.mounts_text", lambda: f"server:/x {tmp_path} nfs4 rw 0 0\n")
    assert mode("remote.case", said) == "delete"
    assert mode("local.case", said) == "delete", "a file that was moved there is turned back"
    assert {item.code for item in said.items} == {"case.network-filesystem"}


def test_a_mount_is_found_by_the_longest_path_and_the_last_line() -> None:
    mounts = (
        "/dev/sda1 / ext4 rw 0 0\nsrv:/a /mnt/share\\040one nfs4 rw 0 0\n/dev/sdb /mnt/share\\040one/local xfs rw 0 0\n"
        "srv:/b /twice nfs rw 0 0\n/dev/sdc /twice ext4 rw 0 0\nbroken line\n\n"
    )
    assert on_network(Path("/mnt/share one/x.case"), mounts)
    assert not on_network(Path("/mnt/share one/local/x.case"), mounts)
    assert not on_network(Path("/mnt/share on/x.case"), mounts)
    assert not on_network(Path("/twice/x.case"), mounts)
    assert not on_network(Path("/x.case"), "")
    assert on_network(Path("\\\\server\\share\\x.case"), "")


@pytest.mark.parametrize(
    "name", [b"plain.vhdx", b"a b%20c#?.vhdx", b"\xff\x80.vhdx", "ümlaut\n.vhdx".encode(), b"\\x80"]
)
def test_a_uri_gives_its_path_back(name: bytes) -> None:

    path = Path("/folder") / os.fsdecode(name)
    assert uri_of(path).isascii()
    assert path_of_uri(uri_of(path)) == path
