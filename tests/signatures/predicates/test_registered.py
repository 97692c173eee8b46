"""`driver`, `service`, `filter`, `update`, `event`: lists that collectors fill whatever rules want."""

from __future__ import annotations

from typing import Any

import pytest

from tests.signatures.rules import answer, facts


@pytest.mark.parametrize(
    ("predicate", "fields", "expected"),
    [
        ("start: boot", {"start": "boot"}, "yes"),
        ("service: StorFlt", {"service": "storflt"}, "yes"),
        (r'path: {like: "*\\drivers\\*"}', {"path": r"\Windows\System32\drivers\a.sys"}, "yes"),
        ('size: "0"', {"size": "0"}, "yes"),
        ('size: {at_least: "1"}', {"size": "0"}, "no"),
        ('checksum: "0x1f"', {"checksum": "0x1F"}, "yes"),
        ('on_branch: "no"', {"on_branch": "no"}, "yes"),
        # A file without a version is neither on the branch nor off it.
        ('on_branch: "no"', {}, "no"),
        ("machine: x64", {"machine": "x86"}, "no"),
        # No collector tells signers yet.
        ("signer: Contoso", {}, "unknown"),
        ("signer: Contoso", {"signer": "contoso"}, "yes"),
    ],
)
def test_driver(predicate: str, fields: dict[str, str], expected: str) -> None:
    assert answer(f"driver: {{file: a.sys, {predicate}}}", drivers=[{"file": "a.sys", **fields}]) == expected


def test_a_driver_means_a_file_that_is_there_unless_the_rule_asks_for_a_missing_one() -> None:
    missing = [{"file": "a.sys", "service": "a", "start": "boot", "missing": "yes"}]
    assert answer("driver: {file: a.sys}", drivers=missing) == "no"
    assert answer('driver: {file: a.sys, missing: "yes", start: boot}', drivers=missing) == "yes"
    assert answer('driver: {start: boot, missing: "yes"}', drivers=missing) == "yes"
    assert answer("driver: {file: a.sys}", ["/drivers/a.sys/missing"], drivers=[{"file": "a.sys"}]) == "unknown"


@pytest.mark.parametrize(
    ("predicate", "path", "expected"),
    [
        # No folder holds two files of one name.
        ('file: a.sys, version: {below: "1.0.0.5"}', r"\Windows\System32\drivers\a.sys", "no"),
        ('file: [a.sys], version: {at_least: "1.0.0.9"}', r"\Windows\System32\drivers\A.sys", "yes"),
        # One that lies elsewhere, or that may be one of two, leaves the other open.
        ('file: a.sys, version: {below: "1.0.0.5"}', r"\Windows\temp\a.sys", "unknown"),
        ('file: [a.sys, b.sys], version: {below: "1.0.0.5"}', r"\Windows\System32\drivers\a.sys", "unknown"),
        ('version: {below: "1.0.0.5"}', r"\Windows\System32\drivers\a.sys", "unknown"),
    ],
)
def test_a_driver_that_was_read_is_known_though_its_folder_was_not_read_whole(
    predicate: str, path: str, expected: str
) -> None:
    drivers = [{"file": "a.sys", "version": "1.0.0.9", "path": path}]
    document = facts(drivers=drivers)
    document["gaps"].append({"path": "/drivers", "reason": "the folder was not collected whole"})
    assert answer(f"driver: {{{predicate}}}", document=document) == expected


def test_a_copy_in_another_folder_is_another_driver() -> None:
    stray = [{"file": r"windows\temp\a.sys", "version": "1.0.0.1"}]
    assert answer("driver: {file: a.sys}", drivers=stray) == "no"


@pytest.mark.parametrize(
    ("predicate", "fields", "expected"),
    [
        ("start_raw: {none_of: [boot]}", {"start": "demand", "start_raw": "boot"}, "no"),
        ("start: demand", {"start": "demand", "start_raw": "boot"}, "yes"),
        ('start_override: "yes"', {"start_override": "yes"}, "yes"),
        ('start_override: "no"', {}, "yes"),
        ("depends_on: [rpcss, dcom]", {"depends_on": ["RpcSs", "x", "DCOM"]}, "yes"),
        ("depends_on: [rpcss, dcom]", {"depends_on": ["RpcSs"]}, "no"),
        ("image: a.sys", {"image": "a.sys"}, "yes"),
        ("type: kernel-driver", {"type": "own-process"}, "no"),
    ],
)
def test_service(predicate: str, fields: dict[str, Any], expected: str) -> None:
    assert answer(f"service: {{name: a, {predicate}}}", services=[{"name": "a", **fields}]) == expected


def test_a_damaged_value_of_a_service_is_unknown_and_its_name_is_still_known() -> None:
    services = [{"name": "a", "start": "boot"}]
    assert answer("service: {name: a}", ["/services/a"], services=services) == "yes"
    assert answer("service: {name: a, start: boot}", ["/services/a"], services=services) == "unknown"
    assert answer("service: {name: a, start: boot}", ["/services/a/start"], services=services) == "unknown"
    assert answer("service: {name: a, start: boot}", ["/services/a/group"], services=services) == "yes"


FILTERS = [
    {"class": "DiskDrive", "side": "upper", "name": "partmgr", "position": "0", "orphan": "no"},
    {"class": "DiskDrive", "side": "upper", "name": "gone", "position": "1", "orphan": "yes"},
    {"class": "Volume", "class_guid": "{71a27cdd}", "side": "lower", "name": "only", "position": "0"},
]


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ('class: [DiskDrive, Volume], side: upper, orphan: "yes"', "yes"),
        ('class: Volume, orphan: "yes"', "no"),
        ('class: "{71A27CDD}", name: only', "yes"),
        ("name: partmgr, position: first", "yes"),
        ("name: partmgr, position: last", "no"),
        ("name: gone, position: last", "yes"),
        ("name: only, position: first", "yes"),
        ("name: only, position: last", "yes"),
        ("name: partmgr, altitude: '100'", "unknown"),
    ],
)
def test_filter(predicate: str, expected: str) -> None:
    assert answer(f"filter: {{{predicate}}}", filters=FILTERS) == expected


def test_a_filter_whose_file_is_not_known_is_unknown_only_for_its_own_class() -> None:
    gap = ["/filters/DiskDrive:upper:gone/orphan"]
    filters = [{"class": "DiskDrive", "side": "upper", "name": "gone", "orphan": "yes"}]
    assert answer('filter: {class: DiskDrive, orphan: "yes"}', gap, filters=filters) == "unknown"
    assert answer('filter: {class: Volume, orphan: "yes"}', gap, filters=filters) == "no"


ROLLUP = {"package": "Package_for_RollupFix~31bf3856ad364e35~amd64~~17763.1757.1.3", "kb": "KB4601345"}


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("kb: KB4601345, state: installed", "yes"),
        ("kb: '4601345'", "yes"),
        ("kb: [KB1000001, KB4601345]", "yes"),
        ("kb: KB1000001", "no"),
        ('package: {like: "Package_for_RollupFix~*"}', "yes"),
        ('kb: KB4601345, installed_at: {at_least: "2021-02-09"}', "yes"),
        ('kb: KB1000001, absent: "yes"', "yes"),
        ("state: install-pending", "no"),
    ],
)
def test_update(predicate: str, expected: str) -> None:
    updates = [{**ROLLUP, "state": "installed", "installed_at": "2021-02-10T01:00:00Z"}]
    assert answer(f"update: {{{predicate}}}", updates=updates) == expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        # KB5003171 is 17763.1935; later cumulative updates hold it.
        ({"build": "17763", "ubr": "1935"}, "yes"),
        ({"build": "17763", "ubr": "2000"}, "yes"),
        ({"build": "17763", "ubr": "1934"}, "no"),
        ({"build": "14393", "ubr": "9999"}, "no"),
    ],
)
def test_an_update_is_satisfied_by_the_level_of_the_machine(system: dict[str, str], expected: str) -> None:
    assert answer('update: {kb: KB5003171, satisfied: "yes"}', system=system) == expected
    opposite = {"yes": "no", "no": "yes"}[expected]
    assert answer('update: {kb: KB5003171, satisfied: "no"}', system=system) == opposite


def test_an_update_is_satisfied_by_its_package_and_unknown_without_a_level() -> None:
    parts = 'update: {kb: KB5003171, satisfied: "yes"}'
    assert answer(parts, ["/system/ubr"], updates=[{"kb": "KB5003171", "state": "installed"}]) == "yes"
    assert answer(parts, ["/system/ubr"], system={"build": "17763"}) == "unknown"
    assert answer(parts, ["/system/build"], system={"ubr": "1935"}) == "unknown"


EVENTS = [
    {"log": "System", "provider": "Microsoft-Windows-Kernel-Power", "id": "41", "level": "critical",
     "time": "2021-03-01T10:00:00Z", "data": {"BugcheckCode": "126"}},
    {"log": "System", "provider": "Microsoft-Windows-Kernel-Power", "id": "41", "time": "2021-03-02T10:00:00Z",
     "data": {"BugcheckCode": "0"}},
]  # fmt: skip


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ('id: "41"', "yes"),
        ('id: ["6008", "41"], provider: microsoft-windows-kernel-power', "yes"),
        ('id: "41", level: error', "no"),
        ('id: "41", data: {bugcheckcode: "126"}', "yes"),
        ('id: "41", data: {BugcheckCode: {none_of: ["0", "126"]}}', "no"),
        ('id: "41", data: {Other: "1"}', "no"),
        ('id: "41", count: {at_least: "2"}', "yes"),
        ('id: "41", count: {at_least: "3"}', "no"),
        ('id: "41", count: "2"', "yes"),
        ('id: "41", time: {at_least: "2021-03-02"}', "yes"),
        ('id: "6008", absent: "yes"', "yes"),
    ],
)
def test_event(predicate: str, expected: str) -> None:
    assert answer(f"event: {{log: System, {predicate}}}", events=EVENTS) == expected


def test_a_log_that_cannot_be_read_makes_its_own_events_unknown() -> None:
    other = "event: {log: Application, id: '1'}"
    assert answer(other, ["/events/Application"]) == "unknown"
    assert answer("event: {log: System, id: '1'}", ["/events/Application"]) == "no"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ('{at_least: "2"}', "yes"), ('{at_least: "3"}', "unknown"), ('{below: "2"}', "no"), ('{below: "9"}', "unknown"),
        ('"1"', "no"), ('"2"', "unknown"),
    ],
)  # fmt: skip
def test_a_count_over_a_damaged_log_is_sure_only_from_below(count: str, expected: str) -> None:
    document: dict[str, Any] = {"events": [], "gaps": [{"path": "/events/System", "reason": "the log is damaged"}]}
    document["events"] = [{"item": f"System:{n}", "log": "System", "provider": "x", "id": 41} for n in range(2)]
    assert answer(f'event: {{log: System, id: "41", count: {count}}}', document=document) == expected
