"""The eight real triage dumps against what is known of them: the culprit, and never surer than the evidence allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.crash.analyse import analyse, trim
from forensics.facts import CrashDict
from parsers.bytesource import FileSource
from parsers.diagnostics import Diagnostics
from tests.forensics.crash.golden import ARM64, X64

pytestmark = pytest.mark.realdata

RANK = {"none": 0, "low": 1, "medium": 2, "high": 3}
#: file -> (kind, module, least, most confident)
VERDICTS = {
    "triage_x64": ("driver", "amdppm.sys", "high", "high"),
    "triage_arm64": ("manual", None, "high", "high"),
    "7e_1": ("driver", "nvlddmkm.sys", "high", "high"),
    "7e_2": ("driver", "nvlddmkm.sys", "high", "high"),
    "9f": ("driver", "iaStorAC.sys", "medium", "medium"),
    "be_1": ("hardware", None, "low", "high"),
    "082325-12593-01": ("driver", "ibthfp.sys", "low", "high"),
    "102622-17265-01": ("hardware", None, "low", "high"),
}
#: what must never be named, by file
INNOCENT = {
    "9f": {"rtwlane.sys", "pdc.sys"},
    "be_1": {"WdFilter.sys", "vgk.sys"},
    "102622-17265-01": {"storport.sys", "stornvme.sys", "MSKSSRV.sys"},
}


@pytest.fixture(scope="module")
def crash_of(unpacked: Callable[[str], Path]) -> Callable[[str], CrashDict]:
    known: dict[str, CrashDict] = {}

    def give(name: str) -> CrashDict:
        if name not in known:
            with FileSource(unpacked(f"dumps/{name}.dmp")) as source:
                known[name] = analyse(source, path=f"{name}.dmp", diagnostics=Diagnostics())
        return known[name]

    return give


def _frames(crash: CrashDict, key: str = "stack") -> list[tuple[int, str, int]]:
    frames = crash["stack"] if key == "stack" else crash["bugcheck_stack"]
    return [(int(frame["sp"], 16), frame["module"] or "", int(frame["offset"], 16)) for frame in frames]


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_the_culprit_is_the_known_one_and_not_surer_than_allowed(
    crash_of: Callable[[str], CrashDict], name: str
) -> None:
    kind, module, least, most = VERDICTS[name]
    culprit = crash_of(name)["culprit"]
    assert culprit["kind"] == kind
    assert culprit["module"] == module
    assert RANK[least] <= RANK[culprit["confidence"]] <= RANK[most]
    assert culprit["because"]
    assert culprit["against"]
    assert culprit["module"] not in INNOCENT.get(name, set())


@pytest.mark.parametrize("name", ["7e_1", "7e_2", "triage_x64"])
def test_the_faulting_context_of_7e_is_the_headers(crash_of: Callable[[str], CrashDict], name: str) -> None:
    crash = crash_of(name)
    context = crash["context"]
    assert context["fault"] is True
    assert context["origin"] == "header"
    assert context["ip"] == crash["bugcheck"]["parameters"][1]["value"]
    assert any("they equal the CONTEXT at parameter 4" in check for check in context["checks"])


def test_both_dumps_of_one_machine_name_the_same_place(crash_of: Callable[[str], CrashDict]) -> None:
    places = [(frame["module"], frame["offset"]) for frame in crash_of("7e_1")["stack"][:3]]
    assert places == [("nvlddmkm.sys", "0x12634e"), ("nvlddmkm.sys", "0x11d647"), ("nvlddmkm.sys", "0xfc7c2")]
    assert places == [(frame["module"], frame["offset"]) for frame in crash_of("7e_2")["stack"][:3]]
    words = " ".join(crash_of("7e_1")["culprit"]["because"])
    assert "popcnt ebx, eax" in words


def test_the_stack_of_the_fault_holds_all_golden_frames_and_few_false_ones(
    crash_of: Callable[[str], CrashDict],
) -> None:
    crash = crash_of("triage_x64")
    found = _frames(crash)
    golden = X64[8:]
    assert [frame for frame in golden if frame not in found] == []
    false = [frame for frame in crash["stack"] if _frames({"stack": [frame]})[0] not in golden]
    assert len(false) <= 3
    assert all(frame["confidence"] == "guess" and frame["method"].startswith("scan") for frame in false)


def test_exact_frames_are_all_golden(crash_of: Callable[[str], CrashDict]) -> None:
    crash = crash_of("triage_x64")
    for key in ("stack", "bugcheck_stack"):
        frames = crash["stack"] if key == "stack" else crash["bugcheck_stack"]
        for frame, place in zip(frames, _frames(crash, key), strict=True):
            if frame["confidence"] != "guess":
                assert place in X64
    # 0 to 2 from the bug check call, 8 to 11 from the fault: what the file allows.
    assert _frames(crash, "bugcheck_stack") == X64[:3]
    assert [frame["confidence"] for frame in crash["stack"][:4]] == ["exact"] * 4


def test_nothing_behind_a_scanned_frame_is_surer_than_a_guess(crash_of: Callable[[str], CrashDict]) -> None:
    for name in VERDICTS:
        scanned = False
        for frame in crash_of(name)["stack"]:
            scanned = scanned or frame["method"].startswith("scan")
            assert not scanned or frame["confidence"] == "guess"


def test_the_arm64_stack_is_the_golden_one(crash_of: Callable[[str], CrashDict]) -> None:
    crash = crash_of("triage_arm64")
    assert _frames(crash) == ARM64
    assert {frame["method"] for frame in crash["stack"][1:]} == {"exact-chain"}


def test_a_bug_check_call_is_shown_by_its_arguments(crash_of: Callable[[str], CrashDict]) -> None:
    for name in ("9f", "be_1", "082325-12593-01"):
        assert "[RSP] is its caller" in crash_of(name)["context"]["checks"][0]
    second = crash_of("082325-12593-01")["stack"][1]
    assert (second["module"], second["offset"], second["confidence"]) == ("ibthfp.sys", "0x25bc9", "exact")
    words = " ".join(crash_of("082325-12593-01")["culprit"]["because"])
    assert "entry of KeBugCheck" in words


def test_the_blocked_irp_leads_to_the_port_driver(crash_of: Callable[[str], CrashDict]) -> None:
    culprit = crash_of("9f")["culprit"]
    words = " ".join(culprit["because"])
    assert "\\Driver\\disk" in words
    assert "\\Driver\\iaStorAC" in words
    assert "SCSI\\Disk&Ven_Intel&Prod_Raid_1_Volume\\4&31e325c3&0&060000" in words
    assert "it was sent 300.0 s before the crash" in words
    assert (
        "another power IRP of that device, 0xffffd68009bcb010, waits in a device of \\Driver\\iaStorAC, loaded as "
        "iaStorAC.sys"
    ) in words
    assert any("disk.sys" in other for other in culprit["others"])


def test_the_flipped_bit_is_named(crash_of: Callable[[str], CrashDict]) -> None:
    assert "(bit 37)" in crash_of("be_1")["culprit"]["because"][0]


def test_the_illegal_instruction_that_is_none_accuses_the_processor(crash_of: Callable[[str], CrashDict]) -> None:
    crash = crash_of("102622-17265-01")
    assert crash["context"]["address"] == "0xffffa6094003e330"
    words = crash["culprit"]["because"]
    assert "sub rsp, 0x28" in words[0]
    assert "no return address" in words[1]


def test_times_builds_and_processes_are_the_known_ones(crash_of: Callable[[str], CrashDict]) -> None:
    crash = crash_of("triage_x64")
    assert crash["time"] == "2021-02-21T01:38:22.987765Z"
    assert crash["uptime_s"] == 3.747
    assert crash["booted_at"] == "2021-02-21T01:38:19.240696Z"
    assert crash["processors"] == 16
    builds = {"7e_1": 19045, "102622-17265-01": 19043, "be_1": 26100, "triage_arm64": 22000}
    assert {name: crash_of(name)["build"] for name in builds} == builds
    assert crash_of("be_1")["process"] == "MsMpEng.exe"
    assert crash_of("9f")["module_count"] == 184


def test_modules_without_a_disk_claim_no_version(crash_of: Callable[[str], CrashDict]) -> None:
    for name in VERDICTS:
        crash = crash_of(name)
        assert crash["gaps"] == []
        assert all(module["on_disk"] == "not-checked" and "version" not in module for module in crash["modules"])
        assert not any(module.get("timestamp") == "0x0" for module in crash["modules"])


def test_trimming_keeps_what_the_verdict_needs(crash_of: Callable[[str], CrashDict]) -> None:
    crash = crash_of("triage_x64")
    small = trim(crash)
    assert {module["name"] for module in small["modules"]} == {"ntoskrnl.exe", "Wdf01000.sys", "amdppm.sys"}
    assert small["module_count"] == crash["module_count"] == 151
    assert small["culprit"] == crash["culprit"]
    assert len(crash["modules"]) == 151


def test_two_boots_of_one_machine_have_one_bucket_and_others_their_own(crash_of: Callable[[str], CrashDict]) -> None:
    buckets = {name: crash_of(name)["bucket"] for name in VERDICTS}
    assert buckets["7e_1"] == buckets["7e_2"] == "0x7e/0xc000001d:nvlddmkm.sys+0x12634e"
    assert buckets["be_1"] == "0x1a/0x41792:hardware"
    assert buckets["9f"] == "0x9f/0x3:iastorac.sys"
    assert buckets["082325-12593-01"] == "0x65:ibthfp.sys+0x25bc9"
    assert len({*buckets.values()}) == len(VERDICTS) - 1


def test_the_cpu_that_lacks_popcnt_is_said_to_lack_it(crash_of: Callable[[str], CrashDict]) -> None:
    words = crash_of("7e_1")["culprit"]["because"]
    assert any("this processor does not have it" in line and "popcnt" in line for line in words)


def test_the_same_bytes_give_the_same_document(unpacked: Callable[[str], Path]) -> None:
    path = unpacked("dumps/7e_1.dmp")
    with FileSource(path) as one, FileSource(path) as two:
        first = analyse(one, path="a.dmp", diagnostics=Diagnostics())
        assert first == analyse(two, path="a.dmp", diagnostics=Diagnostics())


def test_only_frames_that_unwind_data_led_to_say_where_it_came_from(crash_of: Callable[[str], CrashDict]) -> None:
    for name in VERDICTS:
        for frame in (*crash_of(name)["stack"], *crash_of(name).get("bugcheck_stack", [])):
            assert "image" not in frame, (name, frame)


def test_no_frame_is_surer_than_the_one_it_was_reached_from(crash_of: Callable[[str], CrashDict]) -> None:
    rank = {"exact": 0, "likely": 1, "guess": 2}
    for name in VERDICTS:
        for frames in (crash_of(name)["stack"], crash_of(name).get("bugcheck_stack", [])):
            ranks = [rank[frame["confidence"]] for frame in frames]
            assert ranks == sorted(ranks), name
