"""The policy on hand-made stacks: who is named, how surely, and who is passed over."""

from __future__ import annotations

import pytest

from forensics.crash.blame import blame
from forensics.crash.case import CrashCase
from forensics.crash.evidence import Evidence
from forensics.crash.scan import ReturnAddresses
from forensics.crash.stack import Confidence, Frame
from forensics.facts import Culprit
from parsers.bytesource import BytesSource
from parsers.dump.open import open_dump
from tests.parsers.dump.builder import MODULE_LIST, Machine, Module, write_x64

NAMES = [
    "ntoskrnl.exe", "hal.dll", "Wdf01000.sys", "storport.sys", "Ntfs.sys", "FLTMGR.SYS", "vmstorfl.sys", "stornvme.sys",
    "thirdparty.sys", "antivirus.sys",
]  # fmt: skip


def _base(name: str) -> int:
    return 0xFFFFF80120000000 + 0x1000000 * NAMES.index(name)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    machine = Machine()
    modules = [Module(name, _base(name), 0x100000, 0x1111, 0x22) for name in NAMES]
    machine.put_modules(MODULE_LIST, 0xFFFFC08BDC0011F0, modules, 0xFFFFC08BDC100F20)
    return Evidence(open_dump(BytesSource(write_x64(machine, 5))), 0x133, 0x133, (0, 0, 0, 0), None)


def _blame(evidence: Evidence, *stack: str, sure: Confidence = "exact", weaker_from: int = 99) -> Culprit:
    frames = []
    for index, name in enumerate(stack):
        confidence: Confidence = "guess" if index >= weaker_from else sure
        address = _base(name) + 0x1000 + 0x10 * index
        method = "exact" if confidence == "exact" else "scan-call"
        frames.append(
            Frame(address, 0xFFFFC00000000000 + 0x100 * index, evidence.modules.at(address), method, confidence)
        )
    return blame(CrashCase(evidence, None, None, None, frames, ReturnAddresses(evidence)))


def _named(culprit: Culprit) -> tuple[str | None, str]:
    return culprit["module"], culprit["confidence"]


def test_the_first_third_party_driver_on_an_exact_stack_is_medium(evidence: Evidence) -> None:
    assert _named(_blame(evidence, "ntoskrnl.exe", "thirdparty.sys", "antivirus.sys")) == ("thirdparty.sys", "medium")


def test_the_same_on_a_scanned_stack_is_low(evidence: Evidence) -> None:
    assert _named(_blame(evidence, "ntoskrnl.exe", "thirdparty.sys", sure="guess")) == ("thirdparty.sys", "low")


def test_a_scanned_frame_behind_exact_ones_is_low(evidence: Evidence) -> None:
    culprit = _blame(evidence, "ntoskrnl.exe", "ntoskrnl.exe", "thirdparty.sys", weaker_from=2)
    assert _named(culprit) == ("thirdparty.sys", "low")


def test_a_likely_frame_is_low(evidence: Evidence) -> None:
    assert _named(_blame(evidence, "ntoskrnl.exe", "thirdparty.sys", sure="likely")) == ("thirdparty.sys", "low")


def test_an_exact_inbox_driver_beats_a_scanned_third_party_one(evidence: Evidence) -> None:
    culprit = _blame(evidence, "ntoskrnl.exe", "stornvme.sys", "thirdparty.sys", weaker_from=2)
    assert _named(culprit) == ("stornvme.sys", "medium")


def test_a_third_party_driver_further_out_beats_an_inbox_one_on_the_same_stack(evidence: Evidence) -> None:
    culprit = _blame(evidence, "ntoskrnl.exe", "stornvme.sys", "ntoskrnl.exe", "thirdparty.sys")
    assert culprit["module"] == "thirdparty.sys"
    assert any("nearer to the fault" in line for line in culprit["against"])


def test_the_framework_passes_to_the_client_that_called_it(evidence: Evidence) -> None:
    culprit = _blame(
        evidence, "ntoskrnl.exe", "Wdf01000.sys", "Wdf01000.sys", "vmstorfl.sys", "ntoskrnl.exe", "antivirus.sys"
    )
    assert _named(culprit) == ("vmstorfl.sys", "medium")
    assert any("Wdf01000.sys" in line for line in culprit["others"])


def test_the_client_that_the_framework_called_stays_named(evidence: Evidence) -> None:
    culprit = _blame(evidence, "ntoskrnl.exe", "vmstorfl.sys", "Wdf01000.sys", "ntoskrnl.exe", "antivirus.sys")
    assert _named(culprit) == ("vmstorfl.sys", "medium")


def test_storport_passes_to_its_miniport(evidence: Evidence) -> None:
    assert _blame(evidence, "storport.sys", "stornvme.sys", "ntoskrnl.exe")["module"] == "stornvme.sys"


def test_a_framework_between_kernel_frames_passes_to_nobody(evidence: Evidence) -> None:
    culprit = _blame(evidence, "ntoskrnl.exe", "FLTMGR.SYS", "ntoskrnl.exe", "Ntfs.sys")
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("unknown", None, "none")


def test_the_kernel_and_the_hal_are_never_named(evidence: Evidence) -> None:
    assert _blame(evidence, "ntoskrnl.exe", "hal.dll", "ntoskrnl.exe")["module"] is None


def test_no_driver_of_any_class_is_above_low_on_guesses(evidence: Evidence) -> None:
    for name in NAMES:
        for other in NAMES:
            culprit = _blame(evidence, name, other, sure="guess")
            assert culprit["confidence"] in ("low", "none")
