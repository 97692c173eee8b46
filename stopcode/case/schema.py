"""The tables of a case file, as numbered steps from an empty file to today's.

A step is never changed once released: a new one is added behind it. `PRAGMA user_version` is the number of the last
step a file went through; `PRAGMA application_id` tells our files from every other SQLite file.

All times are UTC, ISO 8601, with `Z`. `uri` is the image's file URI (RFC 8089), which carries any file name, also one
that is no text. A row of `scan` is one look at one image; of all scans of an image one is the latest. `scan.parents`
is a JSON list with the names of the files, beside the image, that it builds on. The whole report stands in `document`,
compressed; the other tables hold what questions about a fleet need without opening reports.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["APPLICATION_ID", "MIGRATIONS"]

#: "STOP" in ASCII.
APPLICATION_ID = 0x53544F50

_FIRST = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE run(
    run_pk INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    beat TEXT NOT NULL,
    ended TEXT,
    outcome TEXT CHECK (outcome IN ('finished', 'interrupted', 'failed')),
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL
);

CREATE TABLE image(
    image_pk INTEGER PRIMARY KEY,
    uri TEXT NOT NULL UNIQUE
);

CREATE TABLE scan(
    scan_pk INTEGER PRIMARY KEY,
    image_pk INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    run_pk INTEGER NOT NULL REFERENCES run,
    latest INTEGER NOT NULL CHECK (latest IN (0, 1)),
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'failed')),
    at TEXT NOT NULL,
    stamp TEXT,
    version TEXT NOT NULL,
    rules_digest TEXT NOT NULL,
    wants TEXT NOT NULL,
    exit INTEGER NOT NULL,
    kind TEXT,
    size INTEGER,
    parents TEXT,
    hostname TEXT,
    domain TEXT,
    product TEXT,
    build INTEGER,
    ubr INTEGER,
    windows_version TEXT,
    update_kb TEXT,
    disk_as_of TEXT,
    state TEXT,
    sentence TEXT,
    bytes_read INTEGER,
    requests INTEGER,
    wall_ms INTEGER,
    cpu_ms INTEGER
);
CREATE UNIQUE INDEX scan_latest ON scan(image_pk) WHERE latest = 1;
CREATE INDEX scan_build ON scan(build, ubr) WHERE latest = 1;

CREATE TABLE document(
    scan_pk INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    kind TEXT NOT NULL,
    codec TEXT NOT NULL CHECK (codec = 'zlib'),
    raw_length INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (scan_pk, kind)
) WITHOUT ROWID;

CREATE TABLE finding(
    scan_pk INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    n INTEGER NOT NULL,
    rule TEXT NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    status TEXT NOT NULL,
    confidence TEXT,
    PRIMARY KEY (scan_pk, n)
) WITHOUT ROWID;
CREATE INDEX finding_rule ON finding(rule, state);

CREATE TABLE crash(
    scan_pk INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    n INTEGER NOT NULL,
    at TEXT,
    latest INTEGER NOT NULL,
    bugcheck TEXT,
    culprit TEXT,
    confidence TEXT,
    dump TEXT,
    PRIMARY KEY (scan_pk, n)
) WITHOUT ROWID;
CREATE INDEX crash_culprit ON crash(bugcheck, culprit);

CREATE TABLE diagnostic(
    scan_pk INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    n INTEGER NOT NULL,
    severity TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    hint TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (scan_pk, n)
) WITHOUT ROWID;
CREATE INDEX diagnostic_code ON diagnostic(code);
"""

#: Number of a step -> its statements.
MIGRATIONS: Mapping[int, str] = {1: _FIRST}
