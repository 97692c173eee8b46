"""Open a case file: tell it from everything else, bring it up to date, set SQLite up.

A case file may come from somebody else, so it is looked at before SQLite acts on it: the header says whether it is
ours at all, and its tables must be the ones that our steps make, without a trigger or a view more.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, StopcodeError, UnsupportedError
from stopcode import __version__
from stopcode.case.location import mounts_text, on_network
from stopcode.case.schema import APPLICATION_ID, MIGRATIONS
from stopcode.case.store import Case, now, translated

__all__ = ["open_case"]

_MAGIC = b"SQLite format 3\0"
#: Offset of application_id in the header (sqlite.org, "Database File Format", 1.3), big endian.
_APPLICATION_ID_AT = 68
#: How long a statement waits for another process that holds the file.
_BUSY_SECONDS = 5.0


def open_case(
    path: Path | None, diagnostics: Diagnostics | None = None, *, steps: Mapping[int, str] = MIGRATIONS
) -> Case:
    """Open or create a case file.

    Args:
        path: where it is; None keeps the case in memory, for one run.
        diagnostics: told when the file lies where SQLite must go the slow way.
        steps: the numbered steps of the schema (tests give their own).

    Raises:
        FormatError: another kind of file, or a damaged one.
        UnsupportedError: made by a newer stopcode.
        StopcodeError: the file cannot be opened, written, or is in use.

    """
    diagnostics = diagnostics if diagnostics is not None else Diagnostics()
    if path is not None:
        _look(path)
    name = str(path) if path is not None else "a case in memory"
    with translated(name), contextlib.ExitStack() as undo:
        connection = sqlite3.connect(
            path if path is not None else ":memory:", timeout=_BUSY_SECONDS, isolation_level=None
        )
        undo.callback(connection.close)
        # Untrusted input, as every file: no function of the file's own schema runs with our rights, cells are checked.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA mmap_size = 0")
        _migrate(connection, path, name, steps)
        _check_schema(connection, name, steps)
        if path is not None:
            _set_journal(connection, path, diagnostics)
        undo.pop_all()
    return Case(connection, name)


def _look(path: Path) -> None:
    """Refuse what is no case file before SQLite touches it: opening a foreign database could change it."""
    try:
        if not path.exists():
            if not path.parent.is_dir():
                raise StopcodeError(f"no folder for the case file: {path.parent}", hint="make the folder first")
            return
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise StopcodeError(f"the case file {path} cannot be opened: {error.strerror}") from error
    if not head:
        return
    hint = "name another file; a file that does not exist is made"
    if len(head) < 100 or not head.startswith(_MAGIC):
        raise FormatError("case", f"{path} is not a case file", hint=hint)
    if int.from_bytes(head[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big") != APPLICATION_ID:
        raise FormatError("case", f"{path} is a database of another program", hint=hint)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path | None, name: str, steps: Mapping[int, str]) -> None:
    version, newest = _version(connection), max(steps)
    if version > newest:
        raise UnsupportedError(
            f"{name} was made by a newer stopcode (schema {version}, this one knows {newest})",
            hint="update stopcode, or name another case file",
        )
    if version == newest:
        return
    if version and path is not None:
        # The way back, should the new program not please.
        copy = path.with_name(f"{path.name}.schema-{version}")
        if not copy.exists():
            connection.execute("VACUUM INTO ?", (str(copy),))
    with _transaction(connection):
        # Another process may have done it meanwhile.
        for number in range(_version(connection) + 1, newest + 1):
            for statement in steps[number].split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        if not version:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('created', ?)", (now(),))
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('created_by', ?)", (f"stopcode {__version__}",))


def _tables(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return {(str(kind), str(name), " ".join(str(sql).split())) for kind, name, sql in found}


def _check_schema(connection: sqlite3.Connection, name: str, steps: Mapping[int, str]) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        for number in sorted(steps):
            model.executescript(steps[number])
        expected = _tables(model)
    found = _tables(connection)
    if found != expected:
        odd = sorted(f"{kind} {what}" for kind, what, _sql in found ^ expected)
        raise FormatError(
            "case",
            f"{name} does not have the tables of a case file ({', '.join(odd[:5])})",
            hint="it was changed by another program; use a copy from before, or a new file",
        )


def _set_journal(connection: sqlite3.Connection, path: Path, diagnostics: Diagnostics) -> None:
    if on_network(path.absolute(), mounts_text()):
        connection.execute("PRAGMA journal_mode = DELETE")
        diagnostics.info(
            "case.network-filesystem",
            f"{path} lies on a network file system; nobody can read it while a batch writes",
            hint="a case file on a local disk is faster",
        )
        return
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
