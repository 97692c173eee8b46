"""Dirty hives of real machines, replayed: against what Windows made of them, hivex, reglookup and dissect.regf."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

import pytest
from dissect.regf import regf

from parsers.bytesource import FileSource
from parsers.registry import Hive
from parsers.registry.log import Recovery, recover
from tests.parsers.registry.walk import Give, every_key, survey

pytestmark = pytest.mark.realdata


def recovered(unpacked: Give, name: str) -> Recovery:
    logs = [(log, FileSource(unpacked(f"hives/{name}.{log}"))) for log in ("LOG1", "LOG2")]
    return recover(FileSource(unpacked(f"hives/{name}")), logs)


def content(recovery: Recovery) -> bytes:
    return recovery.source.read_at(0, recovery.source.size)


def by_windows(unpacked: Give, name: str) -> bytes:
    return unpacked(f"hives/{name}").read_bytes()


def used(recovery: Recovery) -> list[tuple[str, int, int, int, int]]:
    return [(use.name, use.entries, use.first, use.last, use.pages) for use in recovery.used]


def tree(hive: Hive) -> dict[str, dict[str, bytes]]:
    return {place: {value.name: value.data for value in key.values()} for place, key in every_key(hive.root)}


def test_two_new_logs_make_the_very_bytes_that_windows_10_made(unpacked: Give) -> None:
    recovery = recovered(unpacked, "dirty-new/NewDirtyHive")
    ours, theirs = content(recovery), by_windows(unpacked, "dirty-new/RecoveredHive_Windows10")
    assert ours[4096:] == theirs[4096:]
    # Windows raises both sequence numbers once more than the last entry; the checksum is the same by chance.
    assert [at for at in range(4096) if ours[at] != theirs[at]] == [4, 8]
    assert used(recovery) == [("LOG1", 1, 2, 2, 1), ("LOG2", 3, 3, 5, 3)]
    assert set(tree(Hive(recovery.source))) == {"", "\\Key3", "\\Key3\\Key3_1", "\\Key3\\Key3_2", "\\Key3\\Key3_3"}


@pytest.mark.parametrize("name", ["dirty-old/OldDirtyHive", "bad-baseblock/BadBaseBlockHive"])
def test_an_old_log_makes_what_windows_7_made_also_under_a_damaged_header(unpacked: Give, name: str) -> None:
    recovery = recovered(unpacked, name)
    ours, theirs = content(recovery), by_windows(unpacked, "dirty-old/RecoveredHive_Windows7")
    # The time in the first bin, which Windows stamps anew, and one byte of no key or value.
    assert [at for at in range(4096, len(theirs)) if ours[at] != theirs[at]] == [*range(0x1014, 0x1019), 0x6BDC8]
    assert used(recovery) == [("LOG1", 1, 5, 5, 64)]
    assert recovery.restored_from == ("LOG1" if "BaseBlock" in name else "")
    hive = Hive(recovery.source)
    assert tree(hive) == tree(Hive(FileSource(unpacked("hives/dirty-old/RecoveredHive_Windows7"))))
    assert hive.open_key("key_with_many_subkeys\\1") is None
    assert hive.open_key("key_with_many_subkeys\\5000\\find_me_in_log") is not None
    changed = hive.open_key("key_with_many_subkeys\\4500")
    assert changed is not None
    assert [value.decoded() for value in changed.values()] == [["a", "bb", "ccc"]]


def test_a_system_hive_after_replay_has_the_keys_values_and_services_known(unpacked: Give) -> None:
    recovery = recovered(unpacked, "win10-dirty/SYSTEM_B")
    assert used(recovery) == [("LOG1", 4, 2107, 2110, 10), ("LOG2", 20, 2111, 2130, 305)]
    assert not recovery.doubtful
    hive = Hive(recovery.source)
    assert hive.cells.end - 4096 == 12_591_104
    assert survey(hive) == (35_595, 78_901, 0)
    services = hive.open_key("ControlSet001\\Services")
    assert services is not None
    starts = Counter(start.decoded() if (start := key.value("Start")) else None for key in services.subkeys())
    assert starts == {0: 86, 1: 25, 2: 77, 3: 408, 4: 13, None: 47}
    added = services.subkey("ad_driver")
    assert added is not None
    values = {value.name: value.decoded() for value in added.values()}
    assert (values["Type"], values["Start"]) == (1, 3)
    assert values["ImagePath"] == "\\??\\C:\\Users\\jcloudy\\AppData\\Local\\Temp\\ad_driver.sys"


def test_of_two_logs_the_one_that_the_hive_already_holds_is_left_alone(unpacked: Give) -> None:
    recovery = recovered(unpacked, "dirty-ntuser/NTUSER.DAT")
    assert used(recovery) == [("LOG1", 23, 566, 588, 132)]
    assert [(log.name, log.harmless) for log in recovery.unused] == [("LOG2", True)]
    assert survey(Hive(recovery.source)) == (3_105, 4_695, 0)


@pytest.mark.parametrize(("name", "reason"), [("bad-log1", "checksum"), ("bad-log2", "DIRT")])
def test_a_log_that_windows_refuses_is_refused_and_the_hive_is_what_it_was(
    unpacked: Give, name: str, reason: str
) -> None:
    recovery = recovered(unpacked, f"{name}/BadLogHive")
    assert recovery.used == ()
    assert reason in {log.name: log.reason for log in recovery.unused}["LOG1"]
    assert content(recovery) == unpacked(f"hives/{name}/BadLogHive").read_bytes()


@pytest.mark.peer("hivexml")
@pytest.mark.parametrize("name", ["dirty-new/NewDirtyHive", "dirty-ntuser/NTUSER.DAT"])
def test_hivex_reads_a_replayed_hive_as_we_do(unpacked: Give, tmp_path: Path, name: str) -> None:
    recovery = recovered(unpacked, name)
    place = tmp_path / "hive"
    place.write_bytes(content(recovery))
    top = xml.fromstring(subprocess.run(["hivexml", place], capture_output=True, check=True).stdout)
    keys, values, _ = survey(Hive(recovery.source))
    assert len(list(top.iter("node"))) == keys
    assert len(list(top.iter("value"))) == values


@pytest.mark.peer("reglookup")
@pytest.mark.parametrize("name", ["dirty-old/OldDirtyHive", "bad-baseblock/BadBaseBlockHive"])
def test_reglookup_reads_a_replayed_hive_as_we_do(unpacked: Give, tmp_path: Path, name: str) -> None:
    recovery = recovered(unpacked, name)
    place = tmp_path / "hive"
    place.write_bytes(content(recovery))
    printed = subprocess.run(["reglookup", "-H", "-t", "KEY", place], capture_output=True, check=True).stdout
    found = {line.split(",")[0].replace("/", "\\") for line in printed.decode().splitlines() if line}
    assert {place for place in found if place != "\\"} == {place for place in tree(Hive(recovery.source)) if place}


def test_dissect_reads_the_services_of_a_replayed_hive_as_we_do(unpacked: Give, tmp_path: Path) -> None:
    recovery = recovered(unpacked, "win10-dirty/SYSTEM_B")
    place = tmp_path / "hive"
    place.write_bytes(content(recovery))
    services = Hive(recovery.source).open_key("ControlSet001\\Services")
    assert services is not None
    with place.open("rb") as file:
        theirs = regf.RegistryHive(file).open("ControlSet001\\Services")
        wanted = {key.name: {value.name: value.type for value in key.values()} for key in theirs.subkeys()}
    found = {key.name: {value.name or "(Default)": value.type for value in key.values()} for key in services.subkeys()}
    assert found == wanted
