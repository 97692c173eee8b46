from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.collect.boots import boots_of
from forensics.collect.events import BOOT_EVENTS
from forensics.collect.evtx_log import ReadLog, read_log
from forensics.facts import Facts, Wants
from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, ReadError, StopcodeError
from parsers.limits import MAX_EVENT_FIELDS, MAX_EVENT_TEXT, MAX_EVENTS
from tests.forensics.world import gaps, named, scan

IDS = {12, 13, 41, 1001, 6008}
LOGS = r"\Windows\System32\winevt\Logs"
Unpacked = Callable[[str], Path]


def collected(path: Path, **wants: set[tuple[str, str, int]]) -> tuple[Facts, Diagnostics]:
    return scan(files={rf"{LOGS}\System.evtx": path.read_bytes()}, wants=Wants(**wants))  # type: ignore[arg-type]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("win7-bugcheck/System.evtx", 1601),
        ("win10-1703/System.evtx", 1881),
        ("win10-1803-vss/System.evtx", 1160),
        ("ws2008r2-dc/System.evtx", 5009),
        ("ws2016-dc/System.evtx", 186),
        ("truncated/System2.evtx", 194),
        ("damaged/zero-data-size.evtx", 335),
        ("damaged/no-crc32.evtx", 17),
        ("damaged/bad-string-cache.evtx", 2261),
        ("damaged/dns-malformed.evtx", 5),
    ],
)
def test_every_record_of_the_real_logs_is_read_whatever_the_header_claims(
    unpacked: Unpacked, name: str, records: int
) -> None:
    log = read_log(FileSource(unpacked(f"logs/{name}")), IDS)
    assert log.count == records
    assert log.errors == (1 if "zero-data-size" in name or "truncated" in name else 0)


@pytest.mark.realdata
def test_a_log_that_was_cut_says_so(unpacked: Unpacked) -> None:
    # Its header tells 96 chunks; two are whole, and a third begins.
    assert "room for 2 chunks of 96" in read_log(FileSource(unpacked("logs/truncated/System2.evtx")), IDS).first_error
    # Another has a stale header of 3 chunks and holds 15; what stands behind the last place for one is no chunk.
    data = unpacked("logs/win10-1703/System.evtx").read_bytes()
    places = [0x1000 + number * 0x10000 for number in range(18)]
    for size, cut in ((len(data), False), (len(data) + 4096, False), (places[3], False),
                      (places[3] - 1, True), (places[7] + 8, True)):  # fmt: skip
        assert bool(read_log(BytesSource(data[:size].ljust(size, b"\0")), IDS).errors) is cut, size


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "missing", "newest_lost", "wrong"),
    [
        ("win7-bugcheck/System.evtx", 0, False, 0),
        ("win10-1703/System.evtx", 0, False, 0),
        ("ws2008r2-dc/System.evtx", 0, False, 0),
        ("ws2016-dc/System.evtx", 0, False, 0),
        ("damaged/no-crc32.evtx", 0, False, 0),
        ("damaged/bad-string-cache.evtx", 0, False, 0),
        # Two chunks between others are zeros in this copy out of a snapshot: records 1156 to 1417 were there.
        ("win10-1803-vss/System.evtx", 262, False, 0),
        # Of the first chunk's 117 records two are read and one is damaged.
        ("damaged/zero-data-size.evtx", 114, False, 1),
        # The header tells of 10,548.
        ("truncated/System2.evtx", 10353, True, 0),
    ],
)
def test_records_that_are_nowhere_are_known_by_their_numbers(
    unpacked: Unpacked, name: str, missing: int, newest_lost: bool, wrong: int
) -> None:
    log = read_log(FileSource(unpacked(f"logs/{name}")), IDS)
    assert (log.missing, log.newest_lost, log.wrong) == (missing, newest_lost, wrong)


@pytest.mark.realdata
def test_zeroed_records_are_a_gap_of_events_and_boots_and_a_remark(unpacked: Unpacked) -> None:
    data = bytearray(unpacked("logs/win7-bugcheck/System.evtx").read_bytes())
    data[0x8A000:0x8B000] = bytes(0x1000)
    facts, diagnostics = scan(files={rf"{LOGS}\System.evtx": bytes(data)})
    assert {"/events/System", "/boot/boots"} <= set(gaps(facts))
    remark = next(item for item in diagnostics.items if item.code == "events.log-damaged")
    assert "missing by their numbers, chunks with a wrong checksum: 1" in remark.message


@pytest.mark.realdata
def test_a_zeroed_chunk_between_others_or_at_the_end_is_noticed(unpacked: Unpacked) -> None:
    data = unpacked("logs/ws2008r2-dc/System.evtx").read_bytes()
    whole = read_log(BytesSource(data), IDS)
    for chunk, newest_lost in ((10, False), (26, True)):
        at = 0x1000 + chunk * 0x10000
        log = read_log(BytesSource(data[:at] + bytes(0x10000) + data[at + 0x10000 :]), IDS)
        assert log.count + log.missing == whole.count
        assert log.newest_lost is newest_lost


@pytest.mark.realdata
def test_a_changed_byte_in_a_record_is_a_remark_and_no_gap(unpacked: Unpacked) -> None:
    data = bytearray(unpacked("logs/ws2016-dc/System.evtx").read_bytes())
    # In the text of an event, where nothing else shows it.
    data[data.index("Server".encode("utf-16-le"), 0x2000)] ^= 1
    facts, diagnostics = scan(files={rf"{LOGS}\System.evtx": bytes(data)})
    assert not [path for path in gaps(facts) if path.startswith(("/events", "/boot/boots"))]
    remark = next(item for item in diagnostics.items if item.code == "events.log-damaged")
    assert remark.hint == "an event may tell wrong things"


@pytest.mark.realdata
def test_a_log_whose_header_is_zeroed_is_read_all_the_same(unpacked: Unpacked) -> None:
    data = bytearray(unpacked("logs/win7-bugcheck/System.evtx").read_bytes())
    data[:0x1000] = bytes(0x1000)
    assert read_log(BytesSource(data), IDS).count == 1601


@pytest.mark.realdata
def test_of_a_log_beyond_the_limit_the_newest_chunks_are_read(unpacked: Unpacked) -> None:
    path = unpacked("logs/win7-bugcheck/System.evtx")
    whole = read_log(FileSource(path), IDS)
    part = read_log(FileSource(path), IDS, limit=0x30000)
    assert 0 < part.count < whole.count
    assert part.left_out > 0
    assert part.newest == whole.newest
    assert part.records == whole.records[-len(part.records) :]


@pytest.mark.realdata
def test_the_crash_of_the_real_windows_7_log_is_found(unpacked: Unpacked) -> None:
    facts, _ = collected(unpacked("logs/win7-bugcheck/System.evtx"))
    bugcheck = facts["boot"]["last_bugcheck"]
    assert (bugcheck["code"], bugcheck["time"], bugcheck["dump"]) == (
        "0x10001",
        "2012-04-06T14:07:52Z",
        r"C:\Windows\MEMORY.DMP",
    )
    assert bugcheck["parameters"] == ["0x0"] * 4
    assert bugcheck["source"]["detail"] == "EventRecordID 13423"
    # 6008's binary part: 13:59:13 UTC, while its text says 9:59:13 local time.
    assert bugcheck["stopped"].startswith("2012-04-06T13:59:13")
    ids = [event["id"] for event in facts["events"]]
    assert [ids.count(number) for number in (12, 13, 41, 1001, 6008)] == [5, 3, 2, 1, 2]
    power = named(facts["events"], "System:13392", "item")
    assert power["data"]["BugcheckCode"] == "65537"
    assert (power["time"], power["level"]) == ("2012-04-06T14:07:06.625Z", "critical")
    assert [boot.get("end") for boot in facts["boot"]["boots"]] == [
        "running",
        "unexpected",
        "bugcheck",
        "shutdown",
        "shutdown",
    ]
    assert facts["system"]["disk_as_of"] == "2012-04-08T01:28:13.923482Z"


@pytest.mark.realdata
def test_a_real_windows_10_log_without_a_crash_tells_none(unpacked: Unpacked) -> None:
    facts, diagnostics = collected(unpacked("logs/win10-1703/System.evtx"))
    assert "last_bugcheck" not in facts["boot"]
    assert [boot["build"] for boot in facts["boot"]["boots"]] == ["10.0.15063.413"] * 3
    assert not any(path.startswith("/events") for path in gaps(facts))
    assert not [item for item in diagnostics.items if item.code.startswith("events.")]


@pytest.mark.realdata
def test_a_real_restart_is_one_shutdown_and_one_boot(unpacked: Unpacked) -> None:
    facts, _ = collected(unpacked("logs/ws2016-dc/System.evtx"))
    # Event 12 of Time-Service, which is in the same log, is no boot.
    assert [(event["id"], event["provider"]) for event in facts["events"]] == [
        (12, "Microsoft-Windows-Kernel-General"),
        (13, "Microsoft-Windows-Kernel-General"),
    ]
    assert len(facts["boot"]["boots"]) == 1


@pytest.mark.realdata
def test_a_held_power_button_and_jumping_clocks_are_no_bug_check(unpacked: Unpacked) -> None:
    facts, _ = collected(unpacked("logs/ws2008r2-dc/System.evtx"))
    assert len(facts["boot"]["boots"]) == 8
    assert "last_bugcheck" not in facts["boot"]
    assert [boot.get("end") for boot in facts["boot"]["boots"]].count("unexpected") == 2


@pytest.mark.realdata
def test_a_damaged_real_log_gives_what_it_has_and_says_so(unpacked: Unpacked) -> None:
    facts, diagnostics = collected(unpacked("logs/damaged/zero-data-size.evtx"))
    assert len(facts["boot"]["boots"]) == 5
    assert "/events/System" in gaps(facts)
    damage = next(item for item in diagnostics.items if item.code == "events.log-damaged")
    assert "335 records" in damage.message


@pytest.mark.realdata
def test_events_of_other_logs_that_rules_ask_for_are_read_by_their_channel(unpacked: Unpacked) -> None:
    wants = Wants(events={("System", "Service Control Manager", 7045), ("Some-Thing/Operational", "EventLog", 6005)})
    data = unpacked("logs/win7-bugcheck/System.evtx").read_bytes()
    facts, _ = scan(files={rf"{LOGS}\System.evtx": data, rf"{LOGS}\Some-Thing%4Operational.evtx": data}, wants=wants)
    assert [event["id"] for event in facts["events"]].count(7045) == 12
    other = [event for event in facts["events"] if event["log"] == "Some-Thing/Operational"]
    assert [event["id"] for event in other] == [6005] * 5


def test_a_log_that_is_not_there_is_a_gap_of_the_system_log_alone() -> None:
    facts, diagnostics = scan(wants=Wants(events={("Setup", "Microsoft-Windows-Servicing", 2)}))
    assert "/events" in gaps(facts)
    assert "/events/Setup" not in gaps(facts)
    assert [item.code for item in diagnostics.items] == ["events.log-missing"]


@pytest.mark.parametrize("data", [b"", b"ElfFile\0" * 9, bytes(0x20000), ReadError("bad sector")])
def test_what_is_no_log_is_a_gap_or_an_empty_log(data: bytes | ReadError) -> None:
    facts, diagnostics = scan(files={rf"{LOGS}\System.evtx": data})
    assert facts["events"] == []
    assert {item.code for item in diagnostics.items} <= {"events.log-unreadable"}
    if not isinstance(data, bytes) or not data.startswith(b"ElfFile"):
        assert {"/events", "/boot/boots"} <= set(gaps(facts))


@pytest.mark.realdata
@pytest.mark.fuzz
def test_a_mutated_log_gives_records_or_an_error_of_ours(unpacked: Unpacked) -> None:
    data = unpacked("logs/damaged/no-crc32.evtx").read_bytes()

    @given(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=40), st.integers(0, 69632))
    def run(changes: list[tuple[int, int]], length: int) -> None:
        mutated = bytearray(data)
        for place, value in changes:
            mutated[place] = value
        try:
            log = read_log(BytesSource(mutated[: length or len(mutated)]), IDS | {1, 2, 3, 4})
        except StopcodeError:
            return
        assert isinstance(log, ReadLog)
        boots_of(log)

    run()


@given(st.binary(max_size=300))
def test_any_bytes_give_a_log_or_an_error_of_ours(data: bytes) -> None:
    try:
        log = read_log(BytesSource(data), IDS)
    except FormatError:
        return
    assert log.count == 0


class FakeParser:
    """Gives made-up records in place of the library."""

    records: list[dict[str, object]]

    def __init__(self, *_args: object, **_kwargs: object) -> None: ...

    def records_json(self) -> object:
        return iter(self.records)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> type[FakeParser]:
    monkeypatch.setattr("evtx.PyEvtxParser", FakeParser)
    return FakeParser


def entry(number: int, event: object, time: str = "2021-02-01T08:00:00Z", **more: object) -> dict[str, object]:
    system = {
        "Provider": {"#attributes": {"Name": "Microsoft-Windows-Kernel-General"}},
        "EventID": event,
        "Level": 4,
        "TimeCreated": {"#attributes": {"SystemTime": time}},
    }
    text = json.dumps({"Event": {"System": system, **more}})
    return {"event_record_id": number, "timestamp": f"{time[:-1]}Z UTC", "data": text}


def test_qualifiers_of_an_event_id_are_stripped(made_up: type[FakeParser]) -> None:
    made_up.records = [entry(1, {"#attributes": {"Qualifiers": 16384}, "#text": 12}), entry(2, 13), entry(3, 112)]
    log = read_log(BytesSource(b"ElfFile\0"), IDS)
    assert [record.id for record in log.records] == [12, 13]


def test_large_events_are_cut(made_up: type[FakeParser]) -> None:
    fields = {f"f{number:03}": "x" * 9999 for number in range(MAX_EVENT_FIELDS + 9)}
    made_up.records = [
        entry(1, 12, EventData=fields),
        entry(2, 13, EventData={"Data": {"#text": ["y"] * 99}}),
        entry(3, 12, UserData={"Thing": {"A": None, "B": True, "C": {"deep": 1}}}),
    ]
    first, second, third = read_log(BytesSource(b"ElfFile\0"), IDS).records
    assert len(first.data) == len(second.data) == MAX_EVENT_FIELDS
    assert len(first.data["f000"]) == MAX_EVENT_TEXT
    assert third.data == {"A": "", "B": "true", "C": '{"deep": 1}'}


def test_records_of_another_shape_are_counted_and_passed_over(made_up: type[FakeParser]) -> None:
    made_up.records = [
        {"event_record_id": 1, "timestamp": "2021-02-01T08:00:00Z UTC", "data": text}
        for text in ('{"Event":{"System":{"EventID":12}}}', "[]", '{"Event":{"System":{"EventID":"12"', "{}")
    ]
    log = read_log(BytesSource(b"ElfFile\0"), IDS)
    assert (log.count, log.errors, log.records) == (4, 4, [])


def test_of_very_many_events_the_newest_are_kept(made_up: type[FakeParser]) -> None:
    made_up.records = [
        entry(number, 12, f"2021-02-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z")
        for number in range(MAX_EVENTS + 20)
    ]
    facts, diagnostics = scan(files={rf"{LOGS}\System.evtx": b"ElfFile\0"})
    assert len(facts["events"]) == MAX_EVENTS
    assert facts["events"][0]["record"] == MAX_EVENTS + 19
    assert "events.many" in [item.code for item in diagnostics.items]


def test_a_common_event_does_not_push_out_a_rare_one(made_up: type[FakeParser]) -> None:
    made_up.records = [
        entry(
            number, 13 if number < 3 else 12, f"2021-02-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        )
        for number in range(MAX_EVENTS + 20)
    ]
    facts, _diagnostics = scan(files={rf"{LOGS}\System.evtx": b"ElfFile\0"})
    records = [event["record"] for event in facts["events"]]
    assert len(records) == MAX_EVENTS
    assert records[-3:] == [2, 1, 0]
    assert records == sorted(records, reverse=True)
    assert records[0] == MAX_EVENTS + 19


def test_the_events_of_boots_are_the_ones_the_documents_name() -> None:
    assert {number for _provider, number in BOOT_EVENTS} == IDS
