"""Hives of a Windows folder with their logs beside them: what is read, and what is told of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.disk import hives as hives_module
from forensics.disk.find import candidates
from forensics.disk.folder import FolderFiles
from forensics.disk.foreign import SourceFile
from forensics.disk.windows import WindowsVolume
from parsers.bytesource import ByteSource, BytesSource
from parsers.diagnostics import Diagnostic, Diagnostics
from parsers.errors import FormatError, StopcodeError
from parsers.registry import Hive
from parsers.registry.log import recover
from samples.hive import Key, Value, binary, multi, write_hive
from tests.forensics.disk.ntfs_disks import software, write_tree
from tests.parsers.registry.logs import base_block, differences, dirty, entry, new_log
from tests.parsers.registry.walk import survey

Give = Callable[[str], Path]
CONFIG = "Windows/System32/config"
TIME = 132_000_000_000_000_000


def system(start: int, *, dump: int = 7, later: int = 0) -> bytes:
    """A SYSTEM hive with forty services, one of which starts as told."""
    top = Key()
    top.set("Select", {"Current": 1, "Default": 1, "LastKnownGood": 1})
    top.set("ControlSet001\\Control\\CrashControl", {"CrashDumpEnabled": dump})
    for number in range(40):
        top.set(f"ControlSet001\\Services\\service{number:02}", {"Start": 3, "Type": 1})
    top.set("ControlSet001\\Services\\storflt", {"Start": start, "Type": 1}, time=TIME + later)
    return write_hive(top, "ROOT", time=TIME)


BEFORE = system(3)
AFTER = system(0, dump=2, later=600_000_000)
BINS = len(BEFORE) - 4096
LOG = new_log(BEFORE, [entry(8, BINS, differences(BEFORE, AFTER))], sequence=8)


def windows(top: Path, files: dict[str, bytes | Path]) -> tuple[WindowsVolume, Diagnostics]:
    tree = write_tree(top, {f"{CONFIG}/{name}": data for name, data in files.items()})
    diagnostics = Diagnostics()
    return WindowsVolume("\\Windows", FolderFiles(tree), diagnostics), diagnostics


def start(hive: Hive, name: str = "storflt") -> object:
    key = hive.open_key(f"ControlSet001\\Services\\{name}")
    value = key.value("Start") if key is not None else None
    return value.decoded() if value is not None else None


def told(diagnostics: Diagnostics) -> dict[str, Diagnostic]:
    return {item.code: item for item in diagnostics.items}


def test_a_dirty_hive_is_read_with_its_logs_and_what_they_changed_is_told(tmp_path: Path) -> None:
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG1": LOG, "SYSTEM.LOG2": b""})
    assert start(found.hive("SYSTEM")) == 0
    assert found.hive("system") is found.hive("SYSTEM")
    said = told(diagnostics)
    assert list(said) == ["hive.log-replayed", "hive.changed-by-replay"]
    replayed = said["hive.log-replayed"]
    assert replayed.severity == "info"
    assert "sequence numbers 9 and 8" in replayed.message
    assert "LOG1 (entry 8; " in replayed.message
    changed = said["hive.changed-by-replay"].message
    assert "changed 2 of the values" in changed
    assert "ControlSet001\\Control\\CrashControl:CrashDumpEnabled: 7 -> 2" in changed
    assert "ControlSet001\\Services\\storflt:Start: 3 -> 0" in changed
    assert said["hive.changed-by-replay"].to_dict()["changes"] == [
        {"key": "ControlSet001\\Control\\CrashControl", "value": "CrashDumpEnabled", "before": 7, "after": 2},
        {"key": "ControlSet001\\Services\\storflt", "value": "Start", "before": 3, "after": 0},
    ]
    assert "changes" not in replayed.to_dict()
    assert [Diagnostic.from_dict(item.to_dict()) for item in said.values()] == list(said.values())


def replayed_changes(tmp_path: Path, before: Key, after: Key) -> list[tuple[str, str, object, object]]:
    """What is told to have changed between two SYSTEM hives of one size, of which the first is the one in the file."""
    old, new = (write_hive(top, "ROOT", time=TIME) for top in (before, after))
    size = max(len(old), len(new))
    old, new = (base_block(hive, bins_size=size - 4096) + hive[512:].ljust(size - 512, b"\0") for hive in (old, new))
    log = new_log(old, [entry(8, size - 4096, differences(old, new))], sequence=8)
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(old), "SYSTEM.LOG1": log})
    found.hive("SYSTEM")
    said = told(diagnostics).get("hive.changed-by-replay")
    return [(each.key, each.value, each.before, each.after) for each in said.changes] if said is not None else []


def one_service(values: dict[str, Value | int | str]) -> Key:
    top = Key()
    top.set("Select", {"Current": 1})
    top.set("ControlSet001\\Services\\a", values)
    return top


def test_values_of_every_kind_are_told_as_data_and_long_ones_cut(tmp_path: Path) -> None:
    before = one_service({"ImagePath": "old", "Type": 1, "DependOnService": multi(["x"])})
    after = one_service({"ImagePath": "n" * 300, "DependOnService": multi(["x", "y"]), "Group": binary(b"\1\2")})
    key = "ControlSet001\\Services\\a"
    assert replayed_changes(tmp_path, before, after) == [
        (key, "DependOnService", ["x"], ["x", "y"]),
        (key, "Group", None, "0x0102"),
        (key, "ImagePath", "old", "n" * 256 + "…"),
        (key, "Type", 1, None),
    ]


def test_a_value_that_is_damaged_in_the_file_is_not_called_absent_there(tmp_path: Path) -> None:
    before = one_service({"Start": Value(4, b"\3\0"), "Type": 1})
    after = one_service({"Start": 3, "Type": 2})
    assert replayed_changes(tmp_path, before, after) == [("ControlSet001\\Services\\a", "Type", 1, 2)]


def test_a_service_that_the_file_lists_and_does_not_hold_is_not_called_absent_there(tmp_path: Path) -> None:
    old, new = system(3), system(0)
    at = old.index(b"storflt") - 0x4C
    assert old[at : at + 2] == b"nk"
    old = old[:at] + b"xx" + old[at + 2 :]
    log = new_log(old, [entry(8, BINS, differences(old, new))], sequence=8)
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(old), "SYSTEM.LOG1": log})
    assert start(found.hive("SYSTEM")) == 0
    assert "hive.changed-by-replay" not in told(diagnostics)


def test_new_values_under_a_key_that_was_written_out_already_are_told(tmp_path: Path) -> None:
    # The page of the key was flushed before the machine died, those of its values were not: its time tells nothing.
    before, after = one_service({"Start": 3}), one_service({"Start": 0})
    assert replayed_changes(tmp_path, before, after) == [("ControlSet001\\Services\\a", "Start", 3, 0)]


def test_a_clean_hive_ignores_its_logs(tmp_path: Path) -> None:
    found, diagnostics = windows(tmp_path, {"SYSTEM": BEFORE, "SYSTEM.LOG1": LOG})
    assert start(found.hive("SYSTEM")) == 3
    assert diagnostics.items == []


def test_without_logs_the_facts_are_those_before_the_last_changes_and_that_is_told(tmp_path: Path) -> None:
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(BEFORE)})
    assert start(found.hive("SYSTEM")) == 3
    [item] = diagnostics.items
    assert (item.severity, item.code) == ("warning", "hive.dirty")
    assert "none of its .LOG files is there" in item.message


def test_logs_that_cannot_be_used_are_told_with_the_reason_of_each(tmp_path: Path) -> None:
    files: dict[str, bytes | Path] = {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG1": LOG[:600], "SYSTEM.LOG2": bytes(4096)}
    found, diagnostics = windows(tmp_path, files)
    assert start(found.hive("SYSTEM")) == 3
    [item] = diagnostics.items
    assert (item.severity, item.code) == ("warning", "hive.log-unusable")
    assert "LOG1: its entry 8 is cut off" in item.message
    assert "LOG2: its header is all zeros" in item.message
    assert "before the last changes" in item.message


def test_a_replay_that_stopped_early_is_a_warning(tmp_path: Path) -> None:
    later = entry(9, BINS, differences(AFTER, BEFORE))
    files: dict[str, bytes | Path] = {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG1": (LOG + later)[:-512]}
    found, diagnostics = windows(tmp_path, files)
    assert start(found.hive("SYSTEM")) == 0
    item = told(diagnostics)["hive.log-replayed"]
    assert item.severity == "warning"
    assert "entry 9 is cut off" in item.message


def test_a_damaged_header_is_taken_from_a_log_and_the_hive_is_read(tmp_path: Path) -> None:
    for number, broken in enumerate((dirty(BEFORE, sound=False), bytes(512) + BEFORE[512:])):
        found, diagnostics = windows(tmp_path / str(number), {"SYSTEM": broken, "SYSTEM.LOG1": LOG})
        assert start(found.hive("SYSTEM")) == 0
        assert "its header is the one of LOG1" in told(diagnostics)["hive.log-replayed"].message


def test_of_a_zeroed_hive_what_its_log_holds_is_read_and_the_rest_is_damage_not_absence(tmp_path: Path) -> None:
    held = {at: AFTER[4096 + at : 8192 + at] for at in range(0, BINS, 4096) if at != 4096}
    log = new_log(BEFORE, [entry(8, BINS, held)], sequence=8)
    found, diagnostics = windows(tmp_path, {"SYSTEM": bytes(len(BEFORE)), "SYSTEM.LOG1": log, "SOFTWARE": software()})
    hive = found.hive("SYSTEM")
    assert hive.open_key("Select") is not None
    keys, _, damage = survey(hive)
    assert (keys < survey(Hive(BytesSource(AFTER)))[0], damage > 0) == (True, True)
    assert told(diagnostics)["hive.overwritten"].severity == "error"
    assert [(item.root, item.system) for item in candidates(FolderFiles(tmp_path), "x", 0)] == [("\\Windows", 2)]


def test_a_zeroed_hive_whose_logs_do_not_help_is_an_error_and_the_logs_are_told(tmp_path: Path) -> None:
    found, diagnostics = windows(tmp_path, {"SYSTEM": bytes(len(BEFORE)), "SYSTEM.LOG1": bytes(4096)})
    with pytest.raises(FormatError, match="zeros"):
        found.hive("SYSTEM")
    assert "do not help" in told(diagnostics)["hive.log-unusable"].message


def test_a_log_that_makes_the_hive_unreadable_is_not_used(tmp_path: Path) -> None:
    log = new_log(BEFORE, [entry(8, BINS, {0: bytes(4096)})], sequence=8)
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG1": log})
    assert start(found.hive("SYSTEM")) == 3
    assert "with it the hive cannot be read" in told(diagnostics)["hive.log-unusable"].message


def test_the_one_log_of_windows_xp_is_looked_for_only_where_the_two_are_not_there(tmp_path: Path) -> None:
    found, _ = windows(tmp_path / "a", {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG": LOG})
    assert start(found.hive("SYSTEM")) == 0
    found, _ = windows(tmp_path / "b", {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG": LOG, "SYSTEM.LOG1": b""})
    assert start(found.hive("SYSTEM")) == 3


def test_other_hives_are_opened_the_same_way_and_regback_never_is(tmp_path: Path) -> None:
    top = Key()
    top.set("Root\\InventoryDriverBinary", {"x": 1})
    before = write_hive(top, "ROOT", time=TIME)
    top.set("Root\\InventoryDriverBinary", {"x": 2}, time=TIME + 10)
    after = write_hive(top, "ROOT", time=TIME)
    log = new_log(before, [entry(8, len(before) - 4096, differences(before, after))], sequence=8)
    files: dict[str, bytes | Path] = {"RegBack/SYSTEM": BEFORE}
    for name in ("COMPONENTS", "DRIVERS", "../../AppCompat/Programs/Amcache.hve"):
        files |= {name: dirty(before), f"{name}.LOG1": log}
    (tmp_path / "Windows/AppCompat/Programs").mkdir(parents=True)
    (tmp_path / CONFIG).mkdir(parents=True)
    found, diagnostics = windows(tmp_path, files)
    for name in ("COMPONENTS", "drivers", "Amcache"):
        key = found.hive(name).open_key("Root\\InventoryDriverBinary")
        assert key is not None
        assert [value.decoded() for value in key.values()] == [2]
    assert {item.code for item in diagnostics.items} == {"hive.log-replayed"}
    with pytest.raises(StopcodeError, match="no such file"):
        found.hive("SYSTEM")


def test_a_software_hive_tells_the_build_that_its_logs_changed(tmp_path: Path) -> None:
    before, after = software(), software(UBR=1098)
    log = new_log(before, [entry(8, len(before) - 4096, differences(before, after))], sequence=8)
    found, diagnostics = windows(tmp_path, {"SOFTWARE": dirty(before), "SOFTWARE.LOG1": log})
    found.hive("SOFTWARE")
    message = told(diagnostics)["hive.changed-by-replay"].message
    assert message.endswith("Microsoft\\Windows NT\\CurrentVersion:UBR: 720 -> 1098")


def test_no_more_changes_are_listed_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hives_module, "MAX_REPLAY_CHANGES", 1)
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG1": LOG})
    found.hive("SYSTEM")
    message = told(diagnostics)["hive.changed-by-replay"].message
    assert message.count("->") == 1
    assert message.endswith("; and 1 more")
    assert len(told(diagnostics)["hive.changed-by-replay"].changes) == 2


def test_no_more_changes_are_kept_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hives_module, "MAX_REPLAY_CHANGES_KEPT", 1)
    found, diagnostics = windows(tmp_path, {"SYSTEM": dirty(BEFORE), "SYSTEM.LOG1": LOG})
    found.hive("SYSTEM")
    changed = told(diagnostics)["hive.changed-by-replay"]
    assert len(changed.changes) == 1
    assert "changed 2 of the values" in changed.message


@pytest.mark.realdata
def test_a_real_system_hive_gives_the_service_that_only_its_logs_hold(tmp_path: Path, unpacked: Give) -> None:
    files: dict[str, bytes | Path] = {
        f"SYSTEM{log}": unpacked(f"hives/win10-dirty/SYSTEM_B{log}") for log in ("", ".LOG1", ".LOG2")
    }
    found, diagnostics = windows(tmp_path, files)
    services = found.hive("SYSTEM").open_key("ControlSet001\\Services")
    assert services is not None
    assert len(list(services.subkeys())) == 656
    said = told(diagnostics)
    assert list(said) == ["hive.log-replayed", "hive.changed-by-replay"]
    assert (
        "LOG1 (4 entries, 2107 to 2110; 10 pages), LOG2 (20 entries, 2111 to 2130" in said["hive.log-replayed"].message
    )
    assert "Services\\ad_driver:Start: (absent) -> 3" in said["hive.changed-by-replay"].message


def as_dissect_reads(hive: ByteSource) -> dict[tuple[str, str], object]:
    """The values of every service by key and name in lower case, those that are told when they change."""
    from dissect.regf import RegistryHive

    wanted = {"start", "type", "imagepath", "group", "errorcontrol", "dependonservice"}
    found = {}
    root = RegistryHive(SourceFile(hive)).root()  # type: ignore[arg-type]  # it reads and seeks, and nothing else
    for key in root.subkey("ControlSet001").subkey("Services").subkeys():
        for value in key.values():
            if value.name.lower() in wanted:
                data = value.value
                found[key.name.lower(), value.name.lower()] = [*data] if isinstance(data, list) else data
    return found


@pytest.mark.realdata
def test_what_a_real_replay_changed_is_what_another_reader_finds_before_and_after(
    tmp_path: Path, unpacked: Give
) -> None:
    paths = {log: unpacked(f"hives/win10-dirty/SYSTEM_B{log}") for log in ("", ".LOG1", ".LOG2")}
    found, diagnostics = windows(tmp_path, {f"SYSTEM{log}": path for log, path in paths.items()})
    found.hive("SYSTEM")
    changed = told(diagnostics)["hive.changed-by-replay"].changes
    sources = {log: BytesSource(path.read_bytes()) for log, path in paths.items()}
    replayed = recover(sources[""], [("LOG1", sources[".LOG1"]), ("LOG2", sources[".LOG2"])]).source
    before, after = as_dissect_reads(sources[""]), as_dissect_reads(replayed)
    place = "controlset001\\services\\"
    ours = {
        (each.key.lower().removeprefix(place), each.value.lower()): (each.before, each.after)
        for each in changed
        if each.key.lower().startswith(place)
    }
    theirs = {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }
    assert ours == theirs
    assert ours["ad_driver", "imagepath"] == (None, "\\??\\C:\\Users\\jcloudy\\AppData\\Local\\Temp\\ad_driver.sys")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["win10-1903/SYSTEM", "win81/SYSTEM"])
def test_a_real_dirty_hive_without_logs_stays_dirty(tmp_path: Path, unpacked: Give, name: str) -> None:
    found, diagnostics = windows(tmp_path, {"SYSTEM": unpacked(f"hives/{name}")})
    assert found.hive("SYSTEM").dirty
    assert list(told(diagnostics)) == ["hive.dirty"]


@pytest.mark.realdata
def test_files_in_the_folder_are_left_as_they_were(tmp_path: Path, unpacked: Give) -> None:
    (tmp_path / CONFIG).mkdir(parents=True)
    for log in ("", ".LOG1", ".LOG2"):
        shutil.copyfile(unpacked(f"hives/dirty-new/NewDirtyHive{log}"), tmp_path / CONFIG / f"SYSTEM{log}")
    before = {place.name: (place.read_bytes(), place.stat().st_mtime_ns) for place in (tmp_path / CONFIG).iterdir()}
    found, _ = windows(tmp_path, {})
    assert found.hive("SYSTEM").open_key("Key3") is not None
    assert before == {
        place.name: (place.read_bytes(), place.stat().st_mtime_ns) for place in (tmp_path / CONFIG).iterdir()
    }
