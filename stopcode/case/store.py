"""What a case keeps, and how it is asked: one writer, one transaction for everything of one machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from parsers.errors import FormatError, StopcodeError
from stopcode.case.columns import crash_rows, diagnostic_rows, finding_rows, scan_columns

__all__ = ["MAX_DOCUMENT", "Case", "CaseRow", "Collected", "FindingRow", "Kept", "now", "translated"]

#: Bytes of one stored document; facts of one machine stay below 1 MB.
MAX_DOCUMENT = 64 << 20
#: A run that gave no sign of life for so long is over, whatever its row says.
_SILENT = timedelta(seconds=60)


def now() -> str:
    """Return the time as the case writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Raises:
        FormatError: the file is damaged.
        StopcodeError: it is in use, full, or cannot be opened or written.

    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise StopcodeError(
                f"{name} is in use by another program", hint="wait until it is done, or name another case file"
            ) from error
        raise StopcodeError(f"{name}: {error}", hint="is the folder there, writable, and not full?") from error
    except sqlite3.DatabaseError as error:
        raise FormatError("case", f"{name}: {error}", hint="the file is damaged: use a copy, or a new file") from error


@dataclass(frozen=True, slots=True)
class Collected:
    """With what an image was read: the same again gives the same report.

    Attributes:
        stamp: what the image's files looked like (`None`: cannot be told, so never the same).
        version: of stopcode.
        rules_digest: of the rules that judged.
        wants: what these rules had collected, as canonical JSON.

    """

    stamp: str | None
    version: str
    rules_digest: str
    wants: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The latest look at one image."""

    scan_pk: int
    done: bool
    exit: int
    parents: tuple[str, ...]
    collected: Collected


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One machine as a fleet table shows it.

    `bugcheck` and `culprit` are those of its latest crash; `reason` and `hint` say why there is nothing to show.
    """

    uri: str
    scan_pk: int
    done: bool
    exit: int
    at: str
    state: str | None
    hostname: str | None
    product: str | None
    windows_version: str | None
    update_kb: str | None
    sentence: str | None
    bugcheck: str | None
    culprit: str | None
    code: str | None
    reason: str | None
    hint: str | None


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding of one machine."""

    scan_pk: int
    rule: str
    title: str
    state: str
    severity: str
    status: str


class Case:
    """An open case file; made by `open_case`.

    Args:
        connection: to a file whose tables were checked.
        name: what messages call it.

    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._db = connection
        self.name = name
        self._run: int | None = None

    def __enter__(self) -> Case:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a run that was not ended is marked as failed."""
        if self._run is not None:
            with contextlib.suppress(StopcodeError):
                self.end_run("failed")
        self._db.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with translated(self.name):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- runs ------------------------------------------------------------------------------------------

    def begin_run(self, version: str) -> None:
        """Begin to write; one run at a time.

        Raises:
            StopcodeError: another run is writing.
            FormatError: the last run ended badly and the file did not survive that.

        """
        with self._writing() as db:
            open_runs = db.execute("SELECT run_pk, beat, host, pid FROM run WHERE ended IS NULL").fetchall()
            for _, beat, host, pid in open_runs:
                if _lives(str(beat), str(host), int(pid)):
                    raise StopcodeError(
                        f"another batch writes to {self.name} (process {pid} on {host}, last heard of {beat})",
                        hint="wait until it is done, or name another case file",
                    )
            if open_runs:
                answer = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
                if answer != "ok":
                    raise FormatError("case", f"{self.name} is damaged: {answer}", hint="use a copy, or a new file")
                db.execute("UPDATE run SET ended = beat, outcome = 'failed' WHERE ended IS NULL")
            self._run = db.execute(
                "INSERT INTO run(started, beat, host, pid, version) VALUES (?1, ?1, ?2, ?3, ?4)",
                (now(), platform.node(), os.getpid(), version),
            ).lastrowid

    def beat(self) -> None:
        """Say that the run is alive; every few seconds."""
        with self._writing() as db:
            db.execute("UPDATE run SET beat = ? WHERE run_pk = ?", (now(), self._run))

    def end_run(self, outcome: str) -> None:
        """End the run as "finished", "interrupted" or "failed"."""
        with self._writing() as db:
            db.execute("UPDATE run SET ended = ?, outcome = ? WHERE run_pk = ?", (now(), outcome, self._run))
        self._run = None

    # --- writing ---------------------------------------------------------------------------------------

    def keep_report(self, uri: str, report: Mapping[str, Any], collected: Collected, exit: int) -> None:
        """Keep a report as the latest look at an image."""
        raw = json.dumps(report, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        with self._writing() as db:
            scan_pk = self._new_scan(db, uri, "done", collected, exit)
            self._fill(db, scan_pk, report, raw)

    def keep_failure(
        self, uri: str, diagnostics: Sequence[Mapping[str, object]], collected: Collected, exit: int
    ) -> None:
        """Keep that an image gave no report; the first diagnostic says why."""
        with self._writing() as db:
            scan_pk = self._new_scan(db, uri, "failed", collected, exit)
            _insert(db, "diagnostic", scan_pk, diagnostic_rows(diagnostics))

    def keep_judgement(self, scan_pk: int, report: Mapping[str, Any], collected: Collected, exit: int) -> None:
        """Put a new judgement of the same facts in the place of the old one."""
        raw = json.dumps(report, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        with self._writing() as db:
            for table in ("document", "finding", "crash", "diagnostic"):
                db.execute(f"DELETE FROM {table} WHERE scan_pk = ?", (scan_pk,))  # noqa: S608 - one of four words
            db.execute(
                "UPDATE scan SET rules_digest = ?, exit = ? WHERE scan_pk = ?", (collected.rules_digest, exit, scan_pk)
            )
            self._fill(db, scan_pk, report, raw)

    def _new_scan(self, db: sqlite3.Connection, uri: str, outcome: str, collected: Collected, exit: int) -> int:
        db.execute("INSERT INTO image(uri) VALUES (?) ON CONFLICT (uri) DO NOTHING", (uri,))
        image = db.execute("SELECT image_pk FROM image WHERE uri = ?", (uri,)).fetchone()[0]
        db.execute("UPDATE scan SET latest = 0 WHERE image_pk = ? AND latest = 1", (image,))
        made = db.execute(
            "INSERT INTO scan(image_pk, run_pk, latest, outcome, at, stamp, version, rules_digest, wants, exit) "
            "VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?)",
            (image, self._run, outcome, now(), collected.stamp, collected.version, collected.rules_digest,
             collected.wants, exit),
        ).lastrowid  # fmt: skip
        assert made is not None
        return made

    def _fill(self, db: sqlite3.Connection, scan_pk: int, report: Mapping[str, Any], raw: bytes) -> None:
        columns = scan_columns(report)
        names = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE scan SET {names} WHERE scan_pk = ?", (*columns.values(), scan_pk))  # noqa: S608 - our names
        db.execute(
            "INSERT INTO document VALUES (?, 'report', 'zlib', ?, ?, ?)",
            (scan_pk, len(raw), hashlib.sha256(raw).digest(), zlib.compress(raw, 6)),
        )
        _insert(db, "finding", scan_pk, finding_rows(report))
        _insert(db, "crash", scan_pk, crash_rows(report))
        _insert(db, "diagnostic", scan_pk, diagnostic_rows(report.get("diagnostics") or []))

    # --- asking ----------------------------------------------------------------------------------------

    def kept(self, uri: str) -> Kept | None:
        """Return the latest look at an image."""
        with translated(self.name):
            row = self._db.execute(
                "SELECT scan_pk, outcome, exit, parents, stamp, version, rules_digest, wants "
                "FROM scan JOIN image USING (image_pk) WHERE uri = ? AND latest = 1",
                (uri,),
            ).fetchone()
        if row is None:
            return None
        scan_pk, outcome, exit, parents, *collected = row
        return Kept(scan_pk, outcome == "done", exit, _names(parents), Collected(*collected))

    def report(self, scan_pk: int) -> dict[str, Any]:
        """Return the whole report of one scan.

        Raises:
            FormatError: it is not there, or damaged.

        """
        with translated(self.name):
            row = self._db.execute(
                "SELECT raw_length, sha256, body FROM document WHERE scan_pk = ? AND kind = 'report'", (scan_pk,)
            ).fetchone()
        if row is None:
            raise FormatError("case", f"{self.name} holds no report of scan {scan_pk}")
        length, digest, body = row
        try:
            if not 0 <= length <= MAX_DOCUMENT:
                raise ValueError
            unpacker = zlib.decompressobj()
            raw = unpacker.decompress(body, length + 1)
            if len(raw) != length or hashlib.sha256(raw).digest() != digest:
                raise ValueError
            report = json.loads(raw)
            if not isinstance(report, dict):
                raise ValueError
        except (ValueError, TypeError, zlib.error, RecursionError) as error:
            raise FormatError(
                "case", f"the report of scan {scan_pk} in {self.name} is damaged", hint="stopcode batch --rescan"
            ) from error
        return report

    def rows(self) -> dict[str, CaseRow]:
        """Return the latest look at every image, by URI."""
        with translated(self.name):
            found = self._db.execute(
                "SELECT uri, scan.scan_pk, outcome = 'done', exit, scan.at, state, hostname, product, windows_version,"
                " update_kb, sentence, bugcheck, culprit, code, message, hint FROM scan JOIN image USING (image_pk)"
                " LEFT JOIN diagnostic ON diagnostic.scan_pk = scan.scan_pk AND diagnostic.n = 0"
                " LEFT JOIN crash ON crash.scan_pk = scan.scan_pk AND crash.n ="
                " (SELECT min(n) FROM crash WHERE crash.scan_pk = scan.scan_pk AND crash.latest = 1)"
                " WHERE scan.latest = 1 ORDER BY uri"
            ).fetchall()
        return {row[0]: CaseRow(row[0], row[1], bool(row[2]), *row[3:]) for row in found}

    def findings(self) -> list[FindingRow]:
        """Return the findings of the latest look at every image."""
        with translated(self.name):
            found = self._db.execute(
                "SELECT scan_pk, rule, title, finding.state, severity, status FROM finding JOIN scan USING (scan_pk)"
                " WHERE latest = 1 ORDER BY rule, scan_pk, n"
            ).fetchall()
        return [FindingRow(*row) for row in found]


def _names(text: object) -> tuple[str, ...]:
    try:
        names = json.loads(str(text or "[]"))
    except (ValueError, RecursionError):
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _insert(db: sqlite3.Connection, table: str, scan_pk: int, rows: Sequence[Sequence[Any]]) -> None:
    for number, row in enumerate(rows):
        marks = ", ".join("?" * (len(row) + 2))
        db.execute(f"INSERT INTO {table} VALUES ({marks})", (scan_pk, number, *row))  # noqa: S608 - our own words


def _lives(beat: str, host: str, pid: int) -> bool:
    """Tell whether a run that was not ended may still write."""
    try:
        silent = datetime.now(UTC) - datetime.fromisoformat(beat)
    except (ValueError, TypeError):
        return False
    if silent > _SILENT:
        return False
    if host != platform.node() or os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    return True
