"""Event logs that samples write, judged by the libraries evtx and dissect.eventlog."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import evtx
from dissect.eventlog.evtx import Evtx

from samples.events import system_log
from samples.evtx import STRING, Element, Record, Slot, write_log
from samples.family import FAMILY

MACHINES = {variant.name: variant.machine for variant in FAMILY}


def _events(data: bytes) -> list[dict[str, Any]]:
    records = evtx.PyEvtxParser(io.BytesIO(data)).records_json()
    return [json.loads(record["data"])["Event"] for record in records]


def _id(event: dict[str, Any]) -> int:
    number = event["System"]["EventID"]
    return int(number["#text"] if isinstance(number, dict) else number)


def test_both_readers_find_every_record_in_order() -> None:
    data = system_log(MACHINES["ws2019-no-dump"])
    events = _events(data)
    numbers = [event["System"]["EventRecordID"] for event in events]
    assert numbers == list(range(1, len(events) + 1))
    assert len(list(Evtx(io.BytesIO(data)))) == len(events)


def test_a_bug_check_is_told_in_hex_by_1001_and_in_decimal_by_41() -> None:
    events = _events(system_log(MACHINES["ws2019-no-dump"]))
    report = next(event for event in events if _id(event) == 1001)
    assert report["EventData"]["param1"].startswith("0x0000007e (0xffffffffc0000005, ")
    assert report["System"]["Provider"]["#attributes"]["EventSourceName"] == "BugCheck"
    codes = [event["EventData"]["BugcheckCode"] for event in events if _id(event) == 41]
    assert codes == [0, 0x7E]


def test_the_failed_machines_log_knows_nothing_of_azure() -> None:
    events = _events(system_log(MACHINES["ws2019-failed"]))
    assert {12, 13, 19, 6005, 6006, 6009} <= {_id(event) for event in events}
    assert not {41, 1001, 6008} & {_id(event) for event in events}
    assert max(event["System"]["TimeCreated"]["#attributes"]["SystemTime"] for event in events) < "2021-03-10"


def test_records_fill_several_chunks_and_every_checksum_is_right() -> None:
    template = Element("Event", (), (Element("Data", (("Name", "x"),), (Slot(0, STRING),)),))
    records = [Record(132600000000000000 + number, template, [(STRING, "y" * 900)]) for number in range(120)]
    data = write_log(records, first=7)
    chunks = [data[at : at + 0x10000] for at in range(0x1000, len(data), 0x10000)]
    assert len(chunks) == 4
    for chunk in chunks:
        free = int.from_bytes(chunk[48:52], "little")
        assert int.from_bytes(chunk[52:56], "little") == zlib.crc32(chunk[512:free])
        assert int.from_bytes(chunk[124:128], "little") == zlib.crc32(chunk[128:512], zlib.crc32(chunk[:120]))
    assert int.from_bytes(data[124:128], "little") == zlib.crc32(data[:120])
    read = list(evtx.PyEvtxParser(io.BytesIO(data)).records_json())
    assert sorted(record["event_record_id"] for record in read) == list(range(7, 127))
