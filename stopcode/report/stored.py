"""Stored reports: read again as untrusted input, checked against the shape that `stopcode schema` prints."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from parsers.errors import FormatError, UnsupportedError
from parsers.limits import MAX_STORED_REPORT
from stopcode.report.document import SCHEMA, Report
from stopcode.report.documents import DOCUMENTS
from stopcode.report.shape import problems, schema_of

__all__ = ["document_schema", "read_report", "read_reports", "report_in"]

_SAYS_WHAT = "give what `stopcode scan -o json` wrote"


@lru_cache(maxsize=len(DOCUMENTS))
def document_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a document, by its name in `DOCUMENTS`."""
    found = DOCUMENTS[name]
    return schema_of(getattr(import_module(found.module), found.kind), f"stopcode/{name}/1")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number that can be kept")
    return number


def read_report(text: str, *, line: int | None = None) -> Report:
    """Read one report document.

    Raises:
        FormatError: it is not JSON, or not of the shape of a report.
        UnsupportedError: a report of another schema number.

    """
    at = f" in line {line}" if line is not None else ""
    try:
        document = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits is a ValueError too; endless brackets are a RecursionError.
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FormatError("report", f"not JSON{at}: {reason}", hint=_SAYS_WHAT) from None
    number = document.get("schema") if isinstance(document, dict) else None
    if isinstance(number, str) and number != SCHEMA and number.startswith("stopcode/report/"):
        raise UnsupportedError(f"report: schema {number}{at} is not known here", hint="use a newer stopcode")
    if number != SCHEMA:
        raise FormatError("report", f"not a report{at}", expected=SCHEMA, found=number, hint=_SAYS_WHAT)
    wrong = problems(document, document_schema("report"))
    if wrong:
        raise FormatError("report", f"not of a report's shape{at}: {'; '.join(wrong)}", hint=_SAYS_WHAT)
    report: Report = document
    return report


def read_reports(data: bytes) -> list[Report]:
    """Read a file with one report, or with one a line.

    Raises:
        FormatError: it holds none, or something else.
        UnsupportedError: a report of another schema number.

    """
    if len(data) > MAX_STORED_REPORT:
        raise FormatError("report", "too large", expected=f"at most {MAX_STORED_REPORT} bytes", found=len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("report", "not UTF-8", offset=error.start, hint=_SAYS_WHAT) from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") for _number, line in lines[:2]) and _is_object(lines[0][1]):
        return [read_report(line, line=number) for number, line in lines]
    return [read_report(text)]


def report_in(path: Path) -> Report | None:
    """Return the report in a file; None when the file is something else, an image then: none begins with `{`.

    Raises:
        FormatError: the file is JSON, but no report, or holds several.
        UnsupportedError: a report of another schema number.
        OSError: it cannot be read.

    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if not file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            return None
        file.seek(0)
        data = file.read(MAX_STORED_REPORT + 1)
    reports = read_reports(data)
    if len(reports) > 1:
        raise FormatError(
            "report", f"{path} holds {len(reports)} reports", hint="put one of its lines into a file of its own"
        )
    return reports[0]


def _is_object(line: str) -> bool:
    """Tell whether a line is a whole document: the first of many, then."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
