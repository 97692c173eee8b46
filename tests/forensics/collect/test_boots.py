from __future__ import annotations

from forensics.collect import Machine, boots
from forensics.collect.boots import boots_of
from forensics.collect.evtx_log import ReadLog
from forensics.facts import Facts, Wants, empty_facts
from parsers.diagnostics import Diagnostics
from parsers.limits import MAX_BOOTS
from tests.forensics.collect.logs import WER, log_of, power, record, start, stop
from tests.forensics.world import FakeWindows, gaps


def told(log: ReadLog | None) -> Facts:
    facts = empty_facts()
    boots.collect(Machine(FakeWindows({}, {}, {}), Wants(), Diagnostics()), facts, log)  # type: ignore[arg-type]
    return facts


def test_boots_are_told_newest_first_with_their_ends() -> None:
    facts = told(
        log_of(
            start(10, "2021-02-01T08:00:00Z"),
            stop(50, "2021-02-02T08:00:00Z"),
            start(51, "2021-02-02T08:01:00Z"),
            start(70, "2021-02-03T08:01:00Z"),
            power(72, "2021-02-03T08:01:09Z", 0x7E),
            start(90, "2021-02-04T08:01:00Z"),
            power(92, "2021-02-04T08:01:09Z"),
        )
    )
    assert [(boot["started"], boot.get("end")) for boot in facts["boot"]["boots"]] == [
        ("2021-02-04T08:01:00Z", "running"),
        ("2021-02-03T08:01:00Z", "unexpected"),
        ("2021-02-02T08:01:00Z", "bugcheck"),
        ("2021-02-01T08:00:00Z", "shutdown"),
    ]
    assert facts["boot"]["boots"][0]["build"] == "10.0.17763.1757"
    assert facts["boot"]["last_boot"] == "2021-02-04T08:01:00Z"
    bugcheck = facts["boot"]["last_bugcheck"]
    assert (bugcheck["code"], bugcheck["name"]) == ("0x7e", "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED")
    assert bugcheck["parameters"] == ["0xffffffffc0000005"]


def test_the_report_of_a_bug_check_is_preferred_and_names_the_dump() -> None:
    facts = told(
        log_of(
            start(1, "2021-02-01T08:00:00Z"),
            start(10, "2021-02-02T08:00:00Z"),
            power(12, "2021-02-02T08:00:05Z", 0x7E),
            record(
                15,
                "2021-02-02T08:00:09Z",
                WER,
                1001,
                param1="0x1000007e (0xffffffffc0000005, 0xfffff80000001000, 0x1, 0x2)",
                param2=r"C:\Windows\MEMORY.DMP",
            ),
        )
    )
    bugcheck = facts["boot"]["last_bugcheck"]
    assert (bugcheck["code"], bugcheck["code_raw"]) == ("0x7e", "0x1000007e")
    assert bugcheck["parameters"] == ["0xffffffffc0000005", "0xfffff80000001000", "0x1", "0x2"]
    assert bugcheck["dump"] == r"C:\Windows\MEMORY.DMP"
    assert bugcheck["source"]["detail"] == "EventRecordID 15"


def test_event_1001_of_another_provider_is_no_bug_check() -> None:
    facts = told(
        log_of(
            start(1, "2021-02-01T08:00:00Z"),
            start(10, "2021-02-02T08:00:00Z"),
            record(12, "2021-02-02T08:00:05Z", "Windows Error Reporting", 1001, param1="0x0000007e (0x1)"),
        )
    )
    assert "last_bugcheck" not in facts["boot"]
    assert "end" not in facts["boot"]["boots"][1]


def test_the_order_of_the_log_counts_not_the_clock() -> None:
    # As in a real log: the second boot came up with a clock nine hours ahead of the third.
    log = log_of(
        start(1, "2015-08-08T06:00:00Z"),
        start(2, "2015-08-08T18:08:23Z"),
        stop(40, "2015-08-08T09:14:04Z"),
        start(41, "2015-08-08T09:14:12Z"),
    )
    found = boots_of(log)
    assert [boot.stop is not None for boot in found] == [False, True, False]
    assert told(log)["boot"]["last_boot"] == "2015-08-08T09:14:12Z"


def test_a_remark_written_before_the_start_event_of_its_own_boot_belongs_to_that_boot() -> None:
    log = log_of(
        start(1, "2021-02-01T08:00:00Z"),
        record(19, "2021-02-02T08:00:30Z", "EventLog", 6008),
        start(20, "2021-02-02T08:00:00Z"),
    )
    assert [len(boot.events) for boot in boots_of(log)] == [0, 1]


def test_nothing_of_6008_but_its_binary_time_is_believed() -> None:
    binary = "DC0704000500060009003B000D001D00DC070400050006000D003B000D001D00" + "00" * 16
    log = log_of(
        start(1, "2012-04-06T10:00:00Z"),
        start(10, "2012-04-06T14:06:51Z"),
        record(11, "2012-04-06T14:07:44Z", "EventLog", 6008, Binary=binary, **{"0": "9:59:13 AM"}),
    )
    assert told(log)["boot"]["boots"][1]["ended"] == "2012-04-06T13:59:13.029Z"
    for bad in ("", "zz", "DC07", "FF" * 48):
        log.records[2] = record(11, "2012-04-06T14:07:44Z", "EventLog", 6008, Binary=bad)
        assert "ended" not in told(log)["boot"]["boots"][1]


def test_only_the_newest_boots_are_kept() -> None:
    log = log_of(*(start(n, f"2021-02-01T08:{n:02}:00Z") for n in range(MAX_BOOTS + 5)))
    facts = told(log)
    assert len(facts["boot"]["boots"]) == MAX_BOOTS
    assert facts["boot"]["boots"][0]["started"] == "2021-02-01T08:54:00Z"


def test_a_log_that_cannot_be_read_is_a_gap() -> None:
    assert {"/boot/boots", "/boot/last_boot", "/boot/last_bugcheck"} <= set(gaps(told(None)))


def test_an_empty_log_knows_no_boot_and_that_is_no_gap() -> None:
    facts = told(ReadLog())
    assert facts["boot"]["boots"] == []
    assert not gaps(facts)


def test_a_report_without_any_start_event_is_told_all_the_same() -> None:
    log = log_of(record(5, "2021-02-02T08:00:09Z", WER, 1001, param1="0x000000d1 (0x8, 0x2, 0x0, 0xfffff80000001000)"))
    assert told(log)["boot"]["last_bugcheck"]["code"] == "0xd1"


def test_a_damaged_report_gives_what_it_has() -> None:
    log = log_of(
        start(1, "2021-02-01T08:00:00Z"),
        start(9, "2021-02-02T08:00:00Z"),
        record(12, "2021-02-02T08:00:09Z", WER, 1001, param1="rubbish"),
    )
    assert told(log)["boot"]["last_bugcheck"]["parameters"] == []
