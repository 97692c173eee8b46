"""What the verdict says in each state; the sentences are what a person reads at 3 a.m., so they stand here whole."""

from __future__ import annotations

from typing import Any

import pytest

from stopcode.report.verdict import KnownUpdates, verdict
from tests.stopcode.report.by_hand import SYSTEM, crash, facts, finding

UPDATES = {"vmstorfl": KnownUpdates("KB4601345", "KB5003171")}
WHO = "SRV1 (Windows Server 2019 Datacenter, 10.0.17763.1757)"
DIED = {"item": "\\Windows\\MEMORY.DMP", "latest": True}
BOOTS = [{"started": "2021-03-02T09:59:09Z", "end": "running"}, {"started": "2021-03-01T08:00:00Z", "end": "shutdown"}]


def said(made: dict[str, Any], *findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return verdict(made, findings, UPDATES, **more)


def test_a_crash_of_a_known_regression_names_machine_time_stop_culprit_and_both_updates() -> None:
    made = said(facts(system=SYSTEM, crashes=[crash()]), finding(state="crashed", crash=DIED, confidence="high"))
    assert made["state"] == "crashed"
    assert made["rule"] == "vmstorfl"
    assert made["sentence"] == (
        f"{WHO} crashed on 2021-03-02 09:59:30 UTC, 21 s after it began to boot, with 0x7E "
        "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: the culprit is vmstorfl.sys 10.0.17763.771 through Wdf01000.sys. "
        "This is the known regression that came with KB4601345 and that KB5003171 ends."
    )
    assert made["lines"] == [
        "Culprit: vmstorfl.sys 10.0.17763.771 (high confidence): parameter 2 lies in vmstorfl.sys+0x30",
        f"Known problem: {finding()['title']} [vmstorfl]",
        "First: Install KB5003171",
        "Disk as of 2021-03-02 09:59:30 UTC: what happened later is not on it",
    ]


def test_a_crash_without_a_known_problem_says_so() -> None:
    made = said(facts(system=SYSTEM, crashes=[crash()]))
    assert made["sentence"].endswith("through Wdf01000.sys. No known problem explains it.")
    assert "rule" not in made


def test_a_crash_that_a_suspected_problem_may_explain_does_not_deny_it() -> None:
    made = said(facts(system=SYSTEM, crashes=[crash()]), finding(state="suspected", confidence="low"))
    assert made["state"] == "crashed"
    assert made["sentence"].endswith(
        "A known problem cannot be excluded: Failover to Azure stops in Wdf01000.sys: vmstorfl.sys is older than the "
        "system needs."
    )
    assert "rule" not in made


def test_an_exposed_machine_would_crash_if_it_were_failed_over() -> None:
    made = said(facts(system=SYSTEM, boot={"boots": BOOTS, "last_boot": BOOTS[0]["started"]}), finding())
    assert made["state"] == "exposed"
    assert made["sentence"] == (
        f"{WHO} would crash if it were failed over by Site Recovery: Failover to Azure stops in Wdf01000.sys: "
        "vmstorfl.sys is older than the system needs. This is the known regression that came with KB4601345 and that "
        "KB5003171 ends."
    )


def test_an_earlier_crash_is_a_line_and_never_the_sentence() -> None:
    old = crash(latest=False, latest_because="the machine has booted since")
    made = said(
        facts(system=SYSTEM, crashes=[old], boot={"boots": BOOTS}),
        finding(state="crashed", crash={"item": "\\Windows\\MEMORY.DMP", "latest": False}, exposed_now=False),
    )
    assert made["state"] == "clear"
    assert "0x7E" not in made["sentence"]
    assert any(line.startswith("An earlier crash: 2021-03-02 09:59:30 UTC, 0x7E") for line in made["lines"])


def test_a_dump_of_another_windows_is_no_earlier_crash_of_this_one() -> None:
    other = crash(latest=False, foreign=True, latest_because="the dump is of build 22621")
    made = said(facts(system=SYSTEM, crashes=[other, crash(latest=False)], boot={"boots": BOOTS}))
    about = [line for line in made["lines"] if "0x7E" in line]
    assert [line.partition(":")[0] for line in about] == ["An earlier crash", "A dump of another build of Windows"]
    assert "older one" not in about[0]
    alone = said(facts(system=SYSTEM, crashes=[other], boot={"boots": CRASHED_BOOTS, "last_bugcheck": REPORTED}))
    assert "no dump of it is left" in alone["sentence"]


def test_a_machine_repaired_after_its_crash_is_not_called_exposed_and_one_that_is_not_is() -> None:
    old = crash(latest=False)
    ref = {"item": "\\Windows\\MEMORY.DMP", "latest": False}
    still = said(facts(system=SYSTEM, crashes=[old]), finding(state="crashed", crash=ref, exposed_now=True))
    assert still["state"] == "exposed"
    assert still["sentence"].startswith(f"{WHO} would crash if it were failed over")


def test_a_finding_of_an_older_crash_does_not_explain_the_latest() -> None:
    new = crash(item="\\Windows\\Minidump\\new.dmp", bugcheck={"code": "0x9f", "name": "DRIVER_POWER_STATE_FAILURE"})
    made = said(
        facts(system=SYSTEM, crashes=[new, crash(latest=False)]),
        finding(state="crashed", crash={"item": "\\Windows\\MEMORY.DMP", "latest": False}, exposed_now=True),
    )
    assert "0x9F DRIVER_POWER_STATE_FAILURE" in made["sentence"]
    assert made["sentence"].endswith("No known problem explains it.")
    assert any(line.startswith("Also crashed: Failover") for line in made["lines"])


REPORTED = {
    "code": "0x7e",
    "code_raw": "0x7e",
    "name": "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
    "parameters": [],
    "time": "2021-03-02T09:59:12Z",
    "stopped": "2021-03-02T09:50:00Z",
}
CRASHED_BOOTS = [
    {"started": "2021-03-02T09:59:09Z", "end": "running"},
    {"started": "2021-03-02T09:40:00Z", "end": "bugcheck"},
]


def test_without_a_dump_the_event_log_tells_of_the_stop_and_of_the_latest_boot() -> None:
    made = said(facts(system=SYSTEM, boot={"boots": CRASHED_BOOTS, "last_bugcheck": REPORTED}))
    assert made["state"] == "crashed"
    assert made["sentence"] == (
        f"{WHO}: no dump of it is left; the event log reports that it stopped on 2021-03-02 09:50:00 UTC with 0x7E "
        "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED; its latest boot began on 2021-03-02 09:59:09 UTC and nothing tells how "
        "that ended. No known problem was found."
    )


def test_a_reported_stop_whose_dump_is_there_is_an_earlier_crash() -> None:
    made = said(
        facts(
            system=SYSTEM,
            boot={"boots": CRASHED_BOOTS, "last_bugcheck": REPORTED},
            crashes=[crash(latest=False, time="2021-03-02T09:50:00Z")],
        )
    )
    assert "no dump" not in made["sentence"]
    assert any(line.startswith("An earlier crash") for line in made["lines"])


def test_a_reported_stop_behind_a_clean_shutdown_is_no_headline() -> None:
    boots = [{"started": "2021-03-02T09:59:09Z", "end": "shutdown", "ended": "2021-03-02T18:00:00Z"}, CRASHED_BOOTS[1]]
    made = said(facts(system=SYSTEM, boot={"boots": boots, "last_bugcheck": REPORTED}))
    assert made["sentence"].startswith(f"{WHO} was shut down cleanly on 2021-03-02 18:00:00 UTC")
    assert any("0x7E" in line for line in made["lines"])


def test_a_boot_before_the_latest_that_ended_without_warning_is_a_line() -> None:
    boots = [CRASHED_BOOTS[0], {"started": "2021-03-02T09:40:00Z", "end": "unexpected"}]
    made = said(facts(system=SYSTEM, boot={"boots": boots}))
    assert made["state"] == "clear"
    assert "its latest boot began on 2021-03-02 09:59:09 UTC and no crash of it is on the disk" in made["sentence"]
    assert made["lines"][-1].startswith("The boot before the latest, of 2021-03-02 09:40:00 UTC, ended without warning")


def test_a_reported_stop_of_a_machine_that_ran_on_for_long_is_no_headline() -> None:
    system = {**SYSTEM, "disk_as_of": "2021-03-03T09:59:09Z"}
    made = said(facts(system=system, boot={"boots": CRASHED_BOOTS, "last_bugcheck": REPORTED}))
    assert made["state"] == "clear"
    assert "it ran until 2021-03-03 09:59:09 UTC at least, and no crash of it" in made["sentence"]
    assert any("0x7E" in line for line in made["lines"])


@pytest.mark.parametrize("path", ["/crashes", "/crashes/~1Windows~1MEMORY.DMP"])
def test_that_there_is_no_crash_is_not_said_where_dumps_could_not_be_read(path: str) -> None:
    gaps = [{"path": path, "reason": "the server refuses"}]
    made = said(facts(system=SYSTEM, gaps=gaps))
    assert made["sentence"].startswith(f"{WHO}: whether a crash is on the disk could not be read. ")
    made = said(facts(system=SYSTEM, boot={"boots": BOOTS}, gaps=gaps))
    assert "2021-03-02 09:59:09 UTC, and whether a crash of it is on the disk could not be read." in made["sentence"]
    other = [{"path": "/crashes", "reason": "not collected"}, {"path": "/events", "reason": "the log is damaged"}]
    assert "no crash is on the disk" in said(facts(system=SYSTEM, gaps=other))["sentence"]


def test_that_there_is_no_crash_is_said_of_the_usual_places_alone_where_others_are_not_known() -> None:
    gaps = [{"path": "/crash_settings", "reason": "the hive SYSTEM is missing"}]
    made = said(facts(system=SYSTEM, gaps=gaps))
    where = "where dumps usually lie; whether they were written elsewhere could not be read. "
    assert made["sentence"].startswith(f"{WHO}: no crash is {where}")
    assert f"and no crash of it is {where}" in said(facts(system=SYSTEM, boot={"boots": BOOTS}, gaps=gaps))["sentence"]


def test_of_several_that_cannot_be_excluded_the_likeliest_is_named() -> None:
    made = said(
        facts(),
        finding(state="suspected", rule="a", title="First", confidence="low"),
        finding(state="suspected", rule="b", title="Second", confidence="medium"),
    )
    assert made["rule"] == "b"
    assert made["sentence"].endswith("2 known problems cannot be excluded, the likeliest: Second.")


def test_a_suspected_problem_cannot_be_excluded_and_what_was_not_read_is_named() -> None:
    made = said(
        facts(
            gaps=[{"path": "/system", "reason": "regf: not a hive"}, {"path": "/storage", "reason": "not collected"}]
        ),
        finding(state="suspected"),
    )
    assert made["state"] == "suspected"
    assert made["sentence"].startswith("This machine: no crash is on the disk. A known problem cannot be excluded")
    assert made["lines"][-1] == "Not read, or not whole: system"


def test_nothing_found_is_only_clear_when_everything_was_read() -> None:
    assert said(facts(system=SYSTEM))["state"] == "clear"
    partly = said(facts(system=SYSTEM, gaps=[{"path": "/boot/boots", "reason": "the System log cannot be read"}]))
    assert partly["state"] == "partial"
    assert partly["sentence"].endswith("Nothing known was found in what could be read.")
    assert partly["lines"][-1] == "Not read, or not whole: boot"


@pytest.mark.parametrize(
    ("culprit", "words"),
    [
        ({"kind": "driver", "module": "x.sys", "confidence": "low"}, "the stack hints at x.sys, which is no proof"),
        ({"kind": "hardware", "module": None, "confidence": "high"}, "the evidence points at the hardware"),
        ({"kind": "hardware", "module": None, "confidence": "low"}, "the evidence hints at the hardware, which is no "
                                                                    "proof"),
        ({"kind": "manual", "module": None, "confidence": "high"}, "somebody stopped it on purpose"),
        ({"kind": "boot", "module": None, "confidence": "medium"}, "Windows could not reach what it starts from"),
        ({"kind": "process", "module": "csrss.exe", "confidence": "high"}, "a process that Windows cannot do without "
                                                                           "ended (csrss.exe)"),
        ({"kind": "unknown", "module": None, "confidence": "none"}, "no driver can be named"),
    ],
)  # fmt: skip
def test_each_kind_of_culprit_has_its_words(culprit: dict[str, Any], words: str) -> None:
    made = said(facts(system=SYSTEM, crashes=[crash(culprit=culprit)]))
    assert f"HANDLED: {words}." in made["sentence"]


def test_a_lone_dump_is_told_by_its_build_and_nothing_is_said_of_gaps() -> None:
    made = said(
        facts(crashes=[crash()], gaps=[{"path": "/system", "reason": "only a dump was given"}]), lone=True, judged=False
    )
    assert made["sentence"].startswith("This machine (Windows build 17763) crashed on")
    assert made["lines"] == [
        "Culprit: vmstorfl.sys 10.0.17763.771 (high confidence): parameter 2 lies in vmstorfl.sys+0x30"
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, ", 0 s after it began to boot,"), (3600, ", after 60 min,"), (9000, ", after 2 h 30 min,"),
     (200_000, ", after 2 days 7 h,")],
)  # fmt: skip
def test_up_time_is_told_in_the_units_that_matter(seconds: float, words: str) -> None:
    assert words in said(facts(system=SYSTEM, crashes=[crash(uptime_s=seconds)]))["sentence"]


def test_a_boot_driver_that_cannot_be_read_is_named_with_its_reason() -> None:
    def driver(name: str, start: str) -> dict[str, Any]:
        return {"file": name, "start": start, "missing": False}

    names = ("volmgr.sys", "pci.sys", "other.sys")
    gaps = [{"path": f"/drivers/{name}/size_of_image", "reason": "PE: the file is empty"} for name in names]
    drivers = [driver("other.sys", "demand"), driver("pci.sys", "boot"), driver("volmgr.sys", "boot")]
    made = said(facts(system=SYSTEM, drivers=drivers, gaps=gaps))
    assert made["lines"][-2:] == [
        "A file that Windows needs to start is there and cannot be read: pci.sys (PE: the file is empty), and 1 more",
        "Not read, or not whole: drivers",
    ]
    one = said(facts(system=SYSTEM, drivers=drivers, gaps=gaps[:1]))
    assert "cannot be read: volmgr.sys (PE: the file is empty)" in one["lines"][-2]
    assert one["lines"][-2].endswith(")")


def test_a_journal_of_the_windows_volume_that_cannot_be_read_is_told_with_what_it_means() -> None:
    def volumes(role: str, journal: str) -> list[dict[str, Any]]:
        return [{"index": 0, "role": role, "journal": journal}]

    told = "The journal of the Windows volume cannot be read: files that changed last may be read as they were before"
    assert said(facts(system=SYSTEM, volumes=volumes("windows", "unreadable")))["lines"][-1] == told
    for role, journal in (("windows", "replayed"), ("other", "unreadable")):
        assert told not in said(facts(system=SYSTEM, volumes=volumes(role, journal)))["lines"]
