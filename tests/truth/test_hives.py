"""SYSTEM hives of four real machines, each on an NTFS disk beside a made SOFTWARE hive: what a scan says of them.

Truth: the data's own list of facts, measured with other readers before and after the replay of logs, and dissect.regf
beside ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dissect.regf import regf

from tests.truth.composed import MACHINES

pytestmark = [pytest.mark.realdata, pytest.mark.peer("mkntfs", "wimlib-imagex")]

Report = Callable[[str], Any]
START = {0: "boot", 1: "system", 2: "auto", 3: "demand", 4: "disabled"}
#: Values of `Type` and our words for those that the real hives hold most.
TYPE = {1: "kernel-driver", 2: "file-system-driver"}


class Known(NamedTuple):
    host: str
    services: int
    dirty: bool
    storvsc: str


#: `storvsc` starts on demand in Windows 7 and at boot in every later one.
HIVES = {
    "win7": Known("WKS-WIN732BITA", 467, False, "demand"),
    "win81": Known("SENSEI", 469, True, "boot"),
    "win10-1903": Known("DESKTOP-2KGM189", 737, True, "boot"),
    "win10-dirty": Known("DESKTOP-PM6C56D", 655, True, "boot"),
}
each = pytest.mark.parametrize("name", HIVES)


def services_by_dissect(path: Path) -> dict[str, dict[str, Any]]:
    """Every service key of the current control set with its values, read by dissect.regf."""
    with path.open("rb") as file:
        hive = regf.RegistryHive(file)
        current = hive.open("Select").value("Current").value
        services = hive.open(f"ControlSet{current:03}\\Services")
        return {
            key.name: {value.name.lower(): value.value for value in key.values()}
            for key in services.subkeys()
        }  # fmt: skip


@each
def test_host_name_and_number_of_services_are_the_known_ones(report_of: Report, name: str) -> None:
    facts = report_of(name)["facts"]
    assert facts["system"]["hostname"] == HIVES[name].host
    assert len(facts["services"]) == HIVES[name].services
    assert facts["system"]["control_set"] == 1


@each
def test_the_verdict_names_this_machine_and_the_build_of_its_other_hive(report_of: Report, name: str) -> None:
    sentence = report_of(name)["verdict"]["sentence"]
    assert sentence.startswith(f"{HIVES[name].host} (Windows Server 2019 Datacenter, 10.0.{MACHINES[name].build}.1)")


@each
def test_a_dirty_hive_is_read_as_it_is_and_told_by_its_name(report_of: Report, name: str) -> None:
    told = [item for item in report_of(name)["diagnostics"] if item["code"] == "hive.dirty"]
    assert len(told) == HIVES[name].dirty
    assert all(item["severity"] == "warning" and "SYSTEM" in item["source"] for item in told)


@each
def test_every_service_has_the_values_that_another_reader_finds(
    report_of: Report, unpacked: Callable[[str], Path], name: str
) -> None:
    wanted = services_by_dissect(unpacked(MACHINES[name].hive))
    found = {service["name"]: service for service in report_of(name)["facts"]["services"]}
    assert set(found) == set(wanted)
    for key, values in wanted.items():
        service = found[key]
        assert service.get("start_raw") == START.get(values.get("start", -1)), key
        if values.get("type") in TYPE:
            assert service["type"] == TYPE[values["type"]]
        for value, field in (("imagepath", "image_path"), ("group", "group"), ("objectname", "account")):
            # The kernel takes an empty text for none; texts end at their first NUL.
            text = str(values.get(value) or "").split("\0")[0]
            assert service.get(field, "") == text, (key, field)


@each
def test_the_storage_filter_starts_at_boot_under_its_own_key(report_of: Report, name: str) -> None:
    services = {service["name"].lower(): service for service in report_of(name)["facts"]["services"]}
    filter_ = services["storflt"]
    assert (filter_["image"], filter_["start_raw"], filter_["type"]) == ("vmstorfl.sys", "boot", "kernel-driver")
    assert services["storvsc"]["start_raw"] == HIVES[name].storvsc
    assert (services["vmbus"]["start_raw"], services["vmbus"]["group"]) == ("boot", "System Bus Extender")
    assert services["wdf01000"]["group"] == "WdfLoadGroup"
    assert "vmstorfl" not in services


def test_without_its_logs_the_dirty_hive_starts_its_services_as_before_the_replay(report_of: Report) -> None:
    """After replay 408 of its services start on demand: the one that the logs add, `ad_driver`, does so."""
    services = report_of("win10-dirty")["facts"]["services"]
    starts = Counter(service.get("start_raw") for service in services)
    assert starts == {"boot": 86, "system": 25, "auto": 77, "demand": 407, "disabled": 13, None: 47}
    assert not any(service["name"] == "ad_driver" for service in services)


def test_with_its_logs_the_same_hive_gives_the_services_that_windows_would_have_started(report_of: Report) -> None:
    report = report_of("win10-recovered")
    services = {service["name"]: service for service in report["facts"]["services"]}
    assert len(services) == 656
    starts = Counter(service.get("start_raw") for service in services.values())
    assert starts == {"boot": 86, "system": 25, "auto": 77, "demand": 408, "disabled": 13, None: 47}
    assert services["ad_driver"]["image_path"] == "\\??\\C:\\Users\\jcloudy\\AppData\\Local\\Temp\\ad_driver.sys"
    without = {service["name"] for service in report_of("win10-dirty")["facts"]["services"]}
    assert services.keys() - without == {"ad_driver"}
    codes = [item["code"] for item in report["diagnostics"] if item["code"].startswith("hive.")]
    assert codes == ["hive.log-replayed", "hive.changed-by-replay"]


@pytest.mark.parametrize(("name", "enabled"), [("win7", "kernel"), ("win10-dirty", "automatic")])
def test_what_windows_was_told_to_do_when_it_crashes(report_of: Report, name: str, enabled: str) -> None:
    settings = report_of(name)["facts"]["crash_settings"]
    assert settings["enabled"] == enabled
    assert settings["dump_file"] == "%SystemRoot%\\MEMORY.DMP"
