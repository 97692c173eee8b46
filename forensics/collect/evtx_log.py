r"""One event log, read through the `evtx` library: the wanted ids alone, whatever the header claims.

Of a log beyond the limit the newest chunks are taken, by the record numbers in their headers
(`forensics.collect.evtx_chunks`). Damaged records and chunks are counted and passed over.

Source: Microsoft Open Specifications MS-EVEN6; measured on the real logs of Windows 7 to Server 2016.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from forensics.collect.evtx_chunks import find_chunks
from parsers.bytesource import ByteSource
from parsers.errors import FormatError, UnsupportedError
from parsers.limits import MAX_EVENT_ERRORS, MAX_EVENT_FIELDS, MAX_EVENT_LOG, MAX_EVENT_TEXT

__all__ = ["LogRecord", "ReadLog", "read_log"]

_EVENT_ID = re.compile(r'"EventID":(?:\{[^{}]*(?:\{[^{}]*\})?[^{}]*"#text":)?"?(\d+)')


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One wanted event.

    Attributes:
        number: EventRecordID.
        id: event id without qualifiers.
        provider: its name as written.
        source_name: the older name of the provider (EventSourceName), or "".
        level: 1 critical, 2 error, 3 warning, 4 information; 0 when there is none.
        time: TimeCreated, ISO 8601.
        data: fields by their names in the manifest, or by position.

    """

    number: int
    id: int
    provider: str
    source_name: str
    level: int
    time: str
    data: dict[str, str]


@dataclass(slots=True)
class ReadLog:
    """What was read of a log.

    Attributes:
        records: the wanted events, by record number.
        count: records that were read in all.
        newest: time of the newest record by number, or "".
        errors: damaged records and chunks that were passed over.
        first_error: what the first of them was.
        left_out: bytes of older chunks that were not read.
        missing: records that should be there by the numbers in the chunks' headers and are nowhere, not even damaged.
        newest_lost: whether the newest record is among them.
        wrong: chunks whose checksum is wrong: what their records tell may be wrong too.

    """

    records: list[LogRecord] = field(default_factory=list)
    count: int = 0
    newest: str = ""
    errors: int = 0
    first_error: str = ""
    left_out: int = 0
    missing: int = 0
    newest_lost: bool = False
    wrong: int = 0

    @property
    def incomplete(self) -> bool:
        """Whether events that were written may be missing."""
        return bool(self.errors or self.missing)


def read_log(source: ByteSource, wanted: Collection[int], *, limit: int = MAX_EVENT_LOG) -> ReadLog:
    """Read a log's events with the wanted ids.

    Raises:
        FormatError: it holds no chunk of an event log.
        UnsupportedError: the `evtx` library is not installed.
        ReadError: it cannot be read.

    """
    chunks = find_chunks(source, limit)
    log = ReadLog(left_out=chunks.left_out, wrong=chunks.wrong)
    if chunks.cut:
        log.errors, log.first_error = 1, chunks.cut
    try:
        import evtx
    except ImportError as error:
        raise UnsupportedError(
            "event logs need the library evtx, which is not installed", hint="pip install evtx"
        ) from error
    try:
        # One thread: the order of records, and so the document, must not depend on the machine.
        records = evtx.PyEvtxParser(io.BytesIO(chunks.data), number_of_threads=1).records_json()
    except (RuntimeError, OSError) as error:
        raise FormatError("EVTX", f"the log cannot be opened: {error}") from error
    ids = frozenset(wanted)
    taken: dict[int, LogRecord] = {}
    newest = -1
    while log.errors <= MAX_EVENT_ERRORS:
        try:
            record = next(records, None)
        except (RuntimeError, OSError) as error:
            log.errors += 1
            log.first_error = log.first_error or str(error)
            continue
        if record is None:
            break
        log.count += 1
        number = record["event_record_id"]
        if number > newest:
            newest = number
            log.newest = _stamp(record["timestamp"])
        text = record["data"]
        match = _EVENT_ID.search(text)
        if match is None or int(match.group(1)) in ids:
            event = _record(number, text, log)
            if event is not None and event.id in ids:
                taken.setdefault(number, event)
    log.records = [taken[number] for number in sorted(taken)]
    log.missing = max(0, chunks.records - log.count - log.errors)
    log.newest_lost = chunks.last > newest
    return log


def _stamp(text: str) -> str:
    """Turn "2012-04-06T14:07:06.625Z UTC" or "….625000Z" into what the facts hold: at most microseconds, no zeros."""
    moment = text.replace(" UTC", "").rstrip("Z")
    whole, _, fraction = moment.partition(".")
    fraction = fraction[:6].rstrip("0")
    return f"{whole.replace(' ', 'T')}.{fraction}Z" if fraction else f"{whole.replace(' ', 'T')}Z"


def _record(number: int, text: str, log: ReadLog) -> LogRecord | None:
    try:
        event = json.loads(text)["Event"]
        system = event["System"]
        event_id = system["EventID"]
        provider = (system.get("Provider") or {}).get("#attributes") or {}
        return LogRecord(
            number,
            int(event_id["#text"] if isinstance(event_id, dict) else event_id),
            str(provider.get("Name") or "")[:MAX_EVENT_TEXT],
            str(provider.get("EventSourceName") or "")[:MAX_EVENT_TEXT],
            int(system.get("Level") or 0),
            _stamp(str(system["TimeCreated"]["#attributes"]["SystemTime"])),
            _fields(event),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.errors += 1
        log.first_error = log.first_error or f"record {number} has another shape: {error}"
        return None


def _fields(event: dict[str, Any]) -> dict[str, str]:
    """Flatten EventData or UserData into names and texts."""
    found: dict[str, str] = {}
    data = event.get("EventData")
    if not isinstance(data, dict):
        user = event.get("UserData")
        data = next((item for item in user.values() if isinstance(item, dict)), {}) if isinstance(user, dict) else {}
    for name, value in data.items():
        if len(found) >= MAX_EVENT_FIELDS:
            break
        if name == "#attributes":
            continue
        if name == "Data":
            value = value.get("#text") if isinstance(value, dict) else value
            for position, item in enumerate(value if isinstance(value, list) else [value]):
                if len(found) >= MAX_EVENT_FIELDS:
                    break
                found[str(position)] = _text(item)
        else:
            found[name[:MAX_EVENT_TEXT]] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)[:MAX_EVENT_TEXT]
    return str(value)[:MAX_EVENT_TEXT]
