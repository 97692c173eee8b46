from __future__ import annotations

from typing import Any

import pytest

from forensics.crash.analyse import trim
from forensics.facts import CrashDict
from signatures.engine import judge
from tests.signatures.rules import answer, codes, facts, load, rule_of, say, state

BLAMED = "crash: {culprit: a.sys}"
MODULE = 'crash: {module: {name: a.sys, version: {below: "1.0.0.5"}}}'


def crash(**fields: Any) -> dict[str, list[dict[str, Any]]]:
    return {"crashes": [fields]}


@pytest.mark.parametrize(
    ("confidence", "expected"), [("high", "yes"), ("medium", "yes"), ("low", "no"), ("none", "no")]
)
def test_a_culprit_counts_from_confidence_medium_up(confidence: str, expected: str) -> None:
    assert answer(BLAMED, **crash(culprit="a.sys", confidence=confidence)) == expected


def test_a_rule_may_ask_for_more_confidence_and_for_less_only_where_it_cannot_change_the_state() -> None:
    high = "crash: {culprit: a.sys, confidence: high}"
    assert answer(high, **crash(culprit="a.sys", confidence="medium")) == "no"
    assert "SC104" in codes(load("crashed:\n  crash: {culprit: a.sys, confidence: low}\n"))
    assert "SC104" in codes(load("define:\n  x: {crash: {culprit: a.sys, confidence: low}}\nexposed:\n  use: x\n"))
    told = "exposed:\n  service: {name: a}\ncorroborates:\n  - crash: {culprit: a.sys, confidence: low}\n"
    assert not load(told).problems


@pytest.mark.parametrize(
    ("predicate", "fields", "expected"),
    [
        ('code: "0x7E"', {"code": "0x7e"}, "yes"),
        ('code: ["0x50", "0x7e"]', {"code": "0x7e"}, "yes"),
        ('code: "0x50"', {"code": "0x7e"}, "no"),
        ('params: {"1": "0xc0000005"}', {"code": "0x7e", "params": {"1": "0xC0000005"}}, "yes"),
        ('params: {"1": "0xc5", "3": ["0x1", "0x2"]}', {"code": "0x7e", "params": {"1": "0xc5", "3": "0x3"}}, "no"),
        ('params: {"1": "0xc5", "3": ["0x1", "0x3"]}', {"code": "0x7e", "params": {"1": "0xc5", "3": "0x3"}}, "yes"),
        ('params: {"2": {at_least: "0x10", below: "0x20"}}', {"code": "0x7e", "params": {"2": "0x1f"}}, "yes"),
        ("name: KMODE_EXCEPTION_NOT_HANDLED", {"code": "0x1e", "name": "KMODE_EXCEPTION_NOT_HANDLED"}, "yes"),
        ("process: lsass.exe", {"process": "LSASS.EXE"}, "yes"),
        ("unloaded: a.sys", {"unloaded": ["b.sys", "A.sys"]}, "yes"),
        ("source: minidump", {"source": "minidump"}, "yes"),
        ('uptime_s: {below: "60"}', {"uptime_s": "59"}, "yes"),
        ('build: "17763"', {"build": "17763"}, "yes"),
        ('time: {at_least: "2021-02-09", below: "2021-05-11"}', {"time": "2021-03-01T10:00:00Z"}, "yes"),
        ("stack: [c.sys, a.sys]", {"stack": ["nt", "A.sys", "b.sys", "c.sys"]}, "yes"),
        ("stack: [a.sys, d.sys]", {"stack": ["nt", "a.sys"]}, "no"),
        ("stack_top: [nt, a.sys]", {"stack": ["nt", "nt", "a.sys", "b.sys"]}, "yes"),
        ("stack_top: [a.sys]", {"stack": ["nt", "a.sys"]}, "no"),
    ],
)  # fmt: skip
def test_fields_of_a_crash(predicate: str, fields: dict[str, Any], expected: str) -> None:
    assert answer(f"crash: {{{predicate}}}", **crash(**fields)) == expected


def test_one_crash_must_satisfy_all_fields_not_two_together() -> None:
    crashes = [{"code": "0x50", "culprit": "b.sys"}, {"code": "0x7e", "culprit": "a.sys"}]
    assert answer('crash: {code: "0x50", culprit: a.sys}', crashes=crashes) == "no"


def test_a_frame_that_a_scan_guessed_is_not_on_the_stack() -> None:
    frames = [{"module": "nt", "confidence": "exact"}, {"module": "a.sys", "confidence": "guess"}]
    assert answer("crash: {stack: [a.sys]}", **crash(stack=frames)) == "no"
    assert answer("crash: {stack_top: [nt, a.sys]}", **crash(stack=frames)) == "no"
    likely = [{"module": "a.sys", "confidence": "likely", "symbol": "a.sys!Start"}]
    assert answer("crash: {stack: [a.sys]}", **crash(stack=likely)) == "yes"
    assert answer('crash: {symbol: {like: "a.sys!*"}}', **crash(stack=likely)) == "yes"


def test_a_loaded_module_is_judged_by_the_version_of_the_disks_identical_file() -> None:
    def loaded(**module: str) -> str:
        return answer(MODULE, **crash(modules=[{"name": "b.sys", "version": "1.0.0.1"}, {"name": "A.SYS", **module}]))

    assert loaded(version="1.0.0.4") == "yes"
    assert loaded(version="1.0.0.5") == "no"


@pytest.mark.parametrize(
    ("on_disk", "reason"),
    [
        ("different", "the disk's file of that name is another build than the one that crashed"),
        ("missing", "no such file is on the disk"),
        ("unreadable", "the disk's file cannot be read"),
        ("not-checked", "the dump was not compared with the disk's file"),
    ],
)
def test_a_module_that_is_not_the_disks_file_has_an_unknown_version_with_the_reason(on_disk: str, reason: str) -> None:
    parts = f"crashed:\n  {MODULE[:-1]}, build: '17763'}}\n"
    finding = say(parts, **crash(build="17763", modules=[{"name": "a.sys", "on_disk": on_disk}]))
    assert finding["state"] == "suspected"
    assert [line["reason"] for line in finding["missing"]] == [reason]
    assert finding["missing"][0]["path"].endswith("/modules/a.sys/version")


def test_an_identical_file_without_a_version_is_no_unless_its_version_could_not_be_read() -> None:
    same = [{"name": "a.sys", "on_disk": "same"}]
    assert answer(MODULE, **crash(modules=same)) == "no"
    assert answer(MODULE, ["/drivers/a.sys/version"], **crash(modules=same), drivers=[{"file": "a.sys"}]) == "unknown"


def test_a_module_that_was_not_loaded_is_no_where_the_whole_list_is_there() -> None:
    others = [{"name": "b.sys", "version": "1.0.0.1"}]
    assert answer(MODULE, **crash(modules=others)) == "no"
    assert answer(MODULE, **crash(modules=others, module_count="1")) == "no"
    # Of an older crash only the modules on its stack are kept; some dumps hold no list at all.
    assert answer(MODULE, **crash(modules=others, module_count="150")) == "unknown"
    assert answer(MODULE, **crash(modules=[], module_count="0")) == "unknown"
    kept = [{"name": "a.sys", "version": "1.0.0.9"}]
    assert answer(MODULE, **crash(modules=kept, module_count="150")) == "no"


def test_a_cut_dump_that_names_no_culprit_is_unknown_and_a_whole_one_is_no() -> None:
    assert answer(BLAMED, **crash(dump={"complete": "no"})) == "unknown"
    assert answer(BLAMED, **crash(dump={"complete": "yes"})) == "no"
    assert answer(BLAMED, **crash(dump={"complete": "no"}, culprit="b.sys")) == "no"


@pytest.mark.parametrize("predicate", ["unloaded: a.sys", "stack: [a.sys]", 'symbol: "a.sys!Start"'])
def test_a_list_that_is_not_kept_or_not_in_the_dump_is_unknown(predicate: str) -> None:
    leaf = f"crash: {{{predicate}}}"
    assert answer(leaf, **crash(code="0x7e")) == "no"
    assert answer(leaf, **crash(code="0x7e", dump={"complete": "no"})) == "unknown"
    assert answer(leaf, **crash(code="0x7e", module_count="0")) == "unknown"
    assert answer(leaf, **crash(code="0x7e", left_out=["unloaded", "stack"])) == "unknown"


def test_what_the_kept_part_of_an_older_crash_shows_is_known() -> None:
    kept = crash(stack=["nt", "a.sys"], left_out=["unloaded", "bugcheck_stack"])
    assert answer("crash: {stack: [a.sys]}", **kept) == "yes"
    assert answer("crash: {stack: [b.sys]}", **kept) == "unknown"
    assert answer("crash: {stack_top: [b.sys]}", **kept) == "no"


def test_an_older_crash_as_the_collector_trims_it_leaves_its_unloaded_modules_unknown() -> None:
    whole: CrashDict = {
        "item": "1.dmp",
        "bugcheck": {"code": "0x7e", "code_raw": "0x7e", "name": "", "parameters": []},
        "stack": [],
        "modules": [],
        "module_count": 3,
        "unloaded": [{"name": "b.sys", "start": "0x1", "end": "0x2"}],
        "latest": False,
    }
    document = facts()
    rule = rule_of('crashed:\n  crash: {code: "0x7e", unloaded: a.sys}\n')
    for listed, state_ in ((whole, "clear"), (trim(whole), "suspected"), (trim({**whole, "unloaded": []}), "clear")):
        document["crashes"] = [listed]
        assert judge(rule, document)["state"] == state_


def test_a_dump_that_cannot_be_read_makes_crashes_unknown() -> None:
    assert answer(BLAMED, [r"/crashes/\Windows\MEMORY.DMP"]) == "unknown"
    assert answer(BLAMED, [r"/crashes/\Windows\MEMORY.DMP"], **crash(culprit="a.sys")) == "yes"
    assert answer('crash: {code: "0x50", absent: "yes"}', ["/crashes"]) == "unknown"


def test_no_rule_sees_a_dump_of_another_windows() -> None:
    assert answer(BLAMED, crashes=[{"culprit": "a.sys"}, {"culprit": "a.sys", "foreign": True}]) == "yes"
    assert answer(BLAMED, crashes=[{"culprit": "a.sys", "foreign": True}]) == "no"


def test_a_live_report_is_no_crash_unless_the_rule_asks_for_one() -> None:
    live = crash(culprit="a.sys", live="yes")
    assert answer(BLAMED, **live) == "no"
    assert answer('crash: {culprit: a.sys, absent: "yes"}', **live) == "yes"
    assert answer('crash: {culprit: a.sys, live: "yes"}', **live) == "yes"
    assert answer('crash: {culprit: a.sys, live: "no"}', **live) == "no"
    both = {"crashes": [{"culprit": "a.sys", "live": "yes"}, {"culprit": "a.sys"}]}
    assert answer(BLAMED, **both) == "yes"
    assert {line["path"] for line in say(f"crashed:\n  {BLAMED}\n", **both)["evidence"]} == {
        "/crashes/\\Windows\\Minidump\\2.dmp/culprit"
    }


def test_the_newest_crash_that_counts_is_named_and_its_confidence_is_the_findings() -> None:
    parts = f"crashed:\n  {BLAMED}\n"
    newest = {"culprit": "a.sys", "confidence": "medium", "time": "2021-03-02T00:00:00Z"}
    older = {"culprit": "a.sys", "confidence": "high", "time": "2021-03-01T00:00:00Z", "latest": "no"}
    finding = say(parts, crashes=[newest, older])
    assert (finding["crash"]["time"], finding["confidence"]) == ("2021-03-02T00:00:00Z", "medium")


def test_statements_name_the_crash_by_its_time() -> None:
    finding = say(f"crashed:\n  {BLAMED}\n", **crash(culprit="a.sys", confidence="high", time="2021-03-02T00:00:00Z"))
    assert finding["evidence"][0]["statement"] == "crash of 2021-03-02T00:00:00Z: culprit is a.sys"


def test_a_crash_as_collectors_write_it_is_read() -> None:
    rule = rule_of(
        'crashed:\n  crash: {code: "0x7e", culprit: a.sys, stack: [nt, a.sys], params: {"1": "0xc0000005"}, '
        "source: memory-dmp, kind: bitmap-kernel, module: {name: a.sys, on_disk: same}}\n"
    )
    document = facts()
    document["crashes"] = [
        {
            "item": r"\Windows\MEMORY.DMP",
            "dump": {"path": r"\Windows\MEMORY.DMP", "kind": "bitmap-kernel", "complete": True, "where": "memory-dmp"},
            "bugcheck": {
                "code": "0x7e",
                "code_raw": "0x1000007e",
                "name": "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
                "parameters": [{"value": "0xc0000005", "meaning": "status"}, {"value": "0x1", "meaning": ""}],
            },
            "latest": True,
            "uptime_s": 21.5,
            "stack": [
                {"ip": "0x1", "sp": "0x2", "module": "nt", "method": "context", "confidence": "exact"},
                {"ip": "0x3", "sp": "0x4", "module": None, "method": "unwind", "confidence": "exact"},
                {"ip": "0x5", "sp": "0x6", "module": "a.sys", "method": "unwind", "confidence": "exact"},
            ],
            "modules": [{"name": "a.sys", "base": "0x1", "size": 1, "on_disk": "same", "version": "1.0.0.1"}],
            "module_count": 1,
            "unloaded": [],
            "culprit": {
                "kind": "driver",
                "module": "a.sys",
                "confidence": "high",
                "because": [],
                "against": [],
                "others": [],
            },
            "gaps": [],
            "source": {"kind": "dump", "path": r"\Windows\MEMORY.DMP"},
        }
    ]
    finding = judge(rule, document)
    assert finding["state"] == "crashed"
    assert all(line["source"]["kind"] == "dump" for line in finding["evidence"])
    assert state(f"crashed:\n  {BLAMED}\n") == "clear"
