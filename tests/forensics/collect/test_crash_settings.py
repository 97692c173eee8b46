from __future__ import annotations

import pytest

from parsers.errors import FormatError
from tests.forensics.world import gaps, scan

CONTROL = r"ControlSet001\Control\CrashControl"
MEMORY = r"ControlSet001\Control\Session Manager\Memory Management"


def test_settings_of_crash_control_and_page_files_are_told_with_their_sources() -> None:
    facts, _ = scan(
        system={
            CONTROL: {
                "CrashDumpEnabled": 7,
                "DumpFile": r"%SystemRoot%\MEMORY.DMP",
                "MinidumpDir": r"%SystemRoot%\Minidump",
                "DedicatedDumpFile": r"D:\dd.sys",
                "Overwrite": 1,
                "AutoReboot": 0,
            },
            rf"{CONTROL}\LiveKernelReports": {"LiveKernelReportsPath": r"\??\D:\livedumps"},
            MEMORY: {"PagingFiles": [r"?:\pagefile.sys", ""]},
        }
    )
    settings = facts["crash_settings"]
    sources = settings.pop("sources")
    assert settings == {
        "enabled": "automatic",
        "dump_file": r"%SystemRoot%\MEMORY.DMP",
        "minidump_dir": r"%SystemRoot%\Minidump",
        "live_reports_dir": r"\??\D:\livedumps",
        "dedicated_dump_file": r"D:\dd.sys",
        "overwrite": True,
        "auto_reboot": False,
        "paging_files": [r"?:\pagefile.sys"],
    }
    assert set(sources) == set(settings)
    assert sources["enabled"]["path"] == rf"SYSTEM\{CONTROL}"


@pytest.mark.parametrize(
    ("number", "word"), [(0, "none"), (1, "complete"), (2, "kernel"), (3, "small"), (7, "automatic"), (5, "other")]
)
def test_kinds_of_dumps_have_words(number: int, word: str) -> None:
    assert scan(system={CONTROL: {"CrashDumpEnabled": number}})[0]["crash_settings"]["enabled"] == word


def test_a_complete_dump_with_filtered_pages_is_an_active_one() -> None:
    facts, _ = scan(system={CONTROL: {"CrashDumpEnabled": 1, "FilterPages": 1}})
    assert facts["crash_settings"]["enabled"] == "active"


def test_a_damaged_value_is_a_gap_and_the_others_are_told() -> None:
    facts, _ = scan(system={CONTROL: {"CrashDumpEnabled": FormatError("regf", "vk damaged"), "AutoReboot": 1}})
    assert "vk damaged" in gaps(facts)["/crash_settings/enabled"]
    assert facts["crash_settings"]["auto_reboot"] is True
