from __future__ import annotations

import pytest

from parsers.errors import FormatError, NotCollectedError, ReadError, StopcodeError, UnsupportedError
from tests.forensics.world import STORFLT, gaps, named, pe_file, scan

DRIVERS = r"\Windows\System32\drivers"


def test_a_driver_is_joined_with_its_service_by_the_file_not_by_the_name() -> None:
    facts, _ = scan(
        system={**STORFLT, r"ControlSet001\Services\vmstorfl": {"Type": 1, "Start": 4, "ImagePath": r"\??\C:\x.sys"}},
        files={rf"{DRIVERS}\VmStorfl.sys": pe_file((10, 0, 17763, 771), company="Microsoft Corporation")},
    )
    driver = named(facts["drivers"], "vmstorfl.sys", "file")
    assert driver["service"] == "storflt"
    assert driver["version"] == "10.0.17763.771"
    assert (driver["start"], driver["group"], driver["missing"]) == ("boot", "Extended Base", False)
    assert driver["path"] == rf"{DRIVERS}\VmStorfl.sys"
    assert driver["company"] == "Microsoft Corporation"
    assert (driver["machine"], driver["on_branch"]) == ("x64", True)


def test_a_service_without_image_path_has_its_file_in_the_drivers_folder() -> None:
    facts, _ = scan(
        system={r"ControlSet001\Services\Ntfs": {"Type": 2, "Start": 3}}, files={rf"{DRIVERS}\ntfs.sys": pe_file()}
    )
    assert named(facts["drivers"], "ntfs.sys", "file")["service"] == "Ntfs"


def test_a_file_that_a_service_names_and_that_is_not_there_is_missing() -> None:
    facts, _ = scan(system=STORFLT, files={rf"{DRIVERS}\other.sys": pe_file()})
    driver = named(facts["drivers"], "vmstorfl.sys", "file")
    assert driver["missing"] is True
    assert driver["source"]["path"] == r"SYSTEM\ControlSet001\Services\storflt"
    assert facts["boot"]["driver_missing"] == ["vmstorfl.sys"]
    assert not any(path.startswith("/drivers") for path in gaps(facts))


def test_a_missing_file_of_a_driver_that_does_not_start_at_boot_is_no_boot_problem() -> None:
    system = {r"ControlSet001\Services\x": {"Type": 1, "Start": 3}}
    facts, _ = scan(system=system, files={rf"{DRIVERS}\other.sys": pe_file()})
    assert named(facts["drivers"], "x.sys", "file")["missing"] is True
    assert facts["boot"]["driver_missing"] == []


def test_start_override_counts_for_the_hardware_of_the_last_boot_only() -> None:
    system = {
        **STORFLT,
        r"ControlSet001\Services\storflt\StartOverride": {"0": 3, "1": 4},
        "HardwareConfig": {"LastConfig": "{1}"},
        r"HardwareConfig\{1}": {"Id": 0},
    }
    files = {rf"{DRIVERS}\a.sys": pe_file()}
    facts, _ = scan(system=system, files=files)
    driver = named(facts["drivers"], "vmstorfl.sys", "file")
    assert (driver["start"], driver["start_raw"]) == ("demand", "boot")
    assert named(facts["services"], "storflt", "name")["start_override"] is True
    # The missing file does not stop a boot that would not load it.
    assert facts["boot"]["driver_missing"] == []
    facts, _ = scan(system={**system, r"HardwareConfig\{1}": {"Id": 2}}, files=files)
    assert named(facts["drivers"], "vmstorfl.sys", "file")["start"] == "boot"
    assert "start_override" not in named(facts["services"], "storflt", "name")


def test_what_cannot_be_read_of_a_file_is_a_gap_with_the_reason() -> None:
    facts, _ = scan(
        files={
            rf"{DRIVERS}\empty.sys": b"",
            rf"{DRIVERS}\text.sys": b"not a driver at all" * 100,
            rf"{DRIVERS}\cut.sys": pe_file()[:0x180],
            rf"{DRIVERS}\packed.sys": UnsupportedError("compressed by CompactOS"),
        }
    )
    found = gaps(facts)
    assert "0 bytes" in found["/drivers/empty.sys/version"]
    assert "/drivers/text.sys/version" in found
    assert "/drivers/cut.sys/version" in found
    assert found["/drivers/packed.sys/version"] == "compressed by CompactOS"
    assert "/drivers/packed.sys/on_branch" in found
    assert [driver["missing"] for driver in facts["drivers"]] == [False] * 4
    assert not any("version" in driver for driver in facts["drivers"])


def test_a_resource_cut_off_leaves_what_the_header_tells() -> None:
    # The header says where the section lies; the file ends before it does.
    facts, _ = scan(files={rf"{DRIVERS}\cut.sys": pe_file()[:0x210]})
    driver = named(facts["drivers"], "cut.sys", "file")
    assert driver["timestamp"] == "0x5c0ffee0"
    assert "/drivers/cut.sys/version" in gaps(facts)
    assert "/drivers/cut.sys/timestamp" not in gaps(facts)


def test_a_driver_without_version_resource_has_no_version_and_no_gap() -> None:
    facts, _ = scan(files={rf"{DRIVERS}\plain.sys": pe_file(None)})
    driver = named(facts["drivers"], "plain.sys", "file")
    assert "version" not in driver
    assert driver["checksum"] == "0x1cafe"
    assert not any(path.startswith("/drivers") for path in gaps(facts))


def test_of_two_files_of_one_name_the_one_in_the_drivers_folder_has_the_plain_name() -> None:
    facts, _ = scan(
        system={
            r"ControlSet001\Services\WdFilter": {
                "Type": 2,
                "Start": 0,
                "ImagePath": r"\SystemRoot\system32\drivers\wd\WdFilter.sys",
            }
        },
        files={
            rf"{DRIVERS}\WdFilter.sys": pe_file((4, 10, 1, 1)),
            rf"{DRIVERS}\wd\WdFilter.sys": pe_file((4, 18, 1, 1)),
        },
    )
    old = named(facts["drivers"], "wdfilter.sys", "file")
    new = named(facts["drivers"], r"windows\system32\drivers\wd\wdfilter.sys", "file")
    assert (old["version"], "service" in old) == ("4.10.1.1", False)
    assert (new["version"], new["service"]) == ("4.18.1.1", "WdFilter")


def test_a_driver_outside_the_folder_has_the_plain_name_when_it_is_alone() -> None:
    path = r"\Windows\System32\DriverStore\FileRepository\x.inf_amd64_0\x.sys"
    facts, _ = scan(
        system={r"ControlSet001\Services\x": {"Type": 1, "Start": 3, "ImagePath": r"\SystemRoot" + path[8:]}},
        files={path: pe_file(), rf"{DRIVERS}\a.sys": pe_file()},
    )
    assert named(facts["drivers"], "x.sys", "file")["path"] == path


def test_a_file_on_another_volume_is_unknown_not_missing() -> None:
    facts, _ = scan(
        system={r"ControlSet001\Services\d": {"Type": 1, "Start": 0, "ImagePath": r"\??\D:\tools\d.sys"}},
        files={rf"{DRIVERS}\a.sys": pe_file()},
    )
    driver = named(facts["drivers"], "d.sys", "file")
    assert "missing" not in driver
    assert {"/drivers/d.sys/missing", "/drivers/d.sys/version", "/boot/driver_missing"} <= set(gaps(facts))


def test_a_file_of_several_services_belongs_to_the_one_that_starts_first() -> None:
    image = {"Type": 1, "ImagePath": r"System32\drivers\two.sys"}
    facts, _ = scan(
        system={
            r"ControlSet001\Services\aaa": {**image, "Start": 3},
            r"ControlSet001\Services\zzz": {**image, "Start": 0},
        },
        files={rf"{DRIVERS}\two.sys": pe_file()},
    )
    driver = named(facts["drivers"], "two.sys", "file")
    assert (driver["service"], driver["services"], driver["start"]) == ("zzz", ["zzz", "aaa"], "boot")


def test_drivers_are_read_though_the_system_hive_is_zeroed() -> None:
    facts, _ = scan(system=None, files={rf"{DRIVERS}\vmstorfl.sys": pe_file()})
    assert named(facts["drivers"], "vmstorfl.sys", "file")["version"] == "10.0.17763.771"
    assert {"/services", "/drivers/vmstorfl.sys/start", "/boot/driver_missing"} <= set(gaps(facts))
    assert "/drivers" not in gaps(facts)


def test_of_a_damaged_folder_the_sound_entries_are_used_and_no_driver_is_missing() -> None:
    gone = {r"ControlSet001\Services\gone": {"Type": 1, "Start": 0, "ImagePath": r"System32\drivers\gone.sys"}}
    files = {DRIVERS: FormatError("NTFS", "index damaged"), rf"{DRIVERS}\vmstorfl.sys": pe_file()}
    facts, diagnostics = scan(system={**STORFLT, **gone}, files=files)
    driver = named(facts["drivers"], "vmstorfl.sys", "file")
    assert (driver["version"], driver["service"], driver["start"]) == ("10.0.17763.771", "storflt", "boot")
    assert [driver["file"] for driver in facts["drivers"]] == ["vmstorfl.sys"]
    assert "index damaged" in gaps(facts)["/drivers"]
    assert facts["boot"]["driver_missing"] == []
    assert "/boot/driver_missing" in gaps(facts)
    assert [item.code for item in diagnostics.items if item.code.startswith("drivers.")] == ["drivers.folder-damaged"]


def test_a_folder_that_cannot_be_listed_makes_no_driver_missing() -> None:
    facts, _ = scan(system=STORFLT, files={DRIVERS: FormatError("NTFS", "index damaged")})
    assert "index damaged" in gaps(facts)["/drivers"]
    assert facts["drivers"] == []
    assert facts["boot"]["driver_missing"] == []
    assert "/boot/driver_missing" in gaps(facts)


def test_the_branch_of_a_driver_is_unknown_where_the_build_is() -> None:
    facts, _ = scan(software=None, files={rf"{DRIVERS}\a.sys": pe_file()})
    assert "/drivers/a.sys/on_branch" in gaps(facts)
    facts, _ = scan(files={rf"{DRIVERS}\a.sys": pe_file((10, 0, 14393, 0))})
    assert named(facts["drivers"], "a.sys", "file")["on_branch"] is False


def test_damage_in_a_service_makes_unknown_what_it_tells_of_its_driver() -> None:
    damage = FormatError("regf", "vk damaged")
    storflt = dict(STORFLT[r"ControlSet001\Services\storflt"])  # type: ignore[arg-type]
    files = {rf"{DRIVERS}\vmstorfl.sys": pe_file()}
    facts, _ = scan(system={r"ControlSet001\Services\storflt": {**storflt, "Start": damage}}, files=files)
    assert named(facts["drivers"], "vmstorfl.sys", "file")["service"] == "storflt"
    assert "/drivers/vmstorfl.sys/start" in gaps(facts)
    assert "/services/storflt/start" in gaps(facts)
    facts, _ = scan(system={r"ControlSet001\Services\storflt": {**storflt, "ImagePath": damage}}, files=files)
    assert [driver["file"] for driver in facts["drivers"]] == ["vmstorfl.sys"]
    assert {"/drivers/vmstorfl.sys/service", "/services/storflt/image_path", "/boot/driver_missing"} <= set(gaps(facts))
    facts, _ = scan(system={r"ControlSet001\Services\storflt": damage}, files=files)
    assert {"/drivers/vmstorfl.sys/start", "/services/storflt", "/boot/driver_missing"} <= set(gaps(facts))
    assert "/drivers/vmstorfl.sys/version" not in gaps(facts)


def test_a_missing_driver_whose_start_type_is_damaged_leaves_the_boot_unknown() -> None:
    image = {"Type": 1, "Start": FormatError("regf", "vk damaged")}
    facts, _ = scan(system={r"ControlSet001\Services\x": image}, files={rf"{DRIVERS}\a.sys": pe_file()})
    assert named(facts["drivers"], "x.sys", "file")["missing"] is True
    assert "/boot/driver_missing" in gaps(facts)


def test_files_on_other_volumes_have_names_of_their_own() -> None:
    image = {"Type": 1, "Start": 3, "ImagePath": r"\??\D:\tools\a.sys"}
    facts, _ = scan(
        system={r"ControlSet001\Services\one": image, r"ControlSet001\Services\two": image,
                r"ControlSet001\Services\three": image},
        files={rf"{DRIVERS}\a.sys": pe_file()},
    )  # fmt: skip
    assert len({driver["file"] for driver in facts["drivers"]}) == 4
    assert named(facts["drivers"], "a.sys", "file")["version"] == "10.0.17763.771"
    assert {driver.get("service") for driver in facts["drivers"]} == {None, "one", "two", "three"}


@pytest.mark.parametrize(
    "content",
    [b"", bytes(5_000), FormatError("WOF", "chunk 3 is damaged"), ReadError("its journal changes this place")],
)
def test_a_boot_driver_that_is_there_and_cannot_be_read_is_an_error_that_names_it(
    content: bytes | StopcodeError,
) -> None:
    facts, diagnostics = scan(system=STORFLT, files={rf"{DRIVERS}\vmstorfl.sys": content})
    assert facts["boot"]["driver_missing"] == []
    (told,) = (item for item in diagnostics.items if item.code == "drivers.boot-unreadable")
    assert told.severity == "error"
    assert "vmstorfl.sys (" in told.message


def test_a_driver_that_is_not_needed_at_boot_or_was_not_collected_is_no_such_error() -> None:
    later = {r"ControlSet001\Services\x": {"Type": 1, "Start": 3, "ImagePath": r"System32\drivers\x.sys"}}
    _, diagnostics = scan(system=later, files={rf"{DRIVERS}\x.sys": b""})
    assert "drivers.boot-unreadable" not in {item.code for item in diagnostics.items}
    files = {rf"{DRIVERS}\vmstorfl.sys": NotCollectedError("not collected: vmstorfl.sys")}
    _, diagnostics = scan(system=STORFLT, files=files)
    assert "drivers.boot-unreadable" not in {item.code for item in diagnostics.items}


def test_of_many_boot_drivers_that_cannot_be_read_the_first_are_named() -> None:
    system = {
        rf"ControlSet001\Services\d{number}": {"Type": 1, "Start": 0, "ImagePath": rf"System32\drivers\d{number}.sys"}
        for number in range(7)
    }
    _, diagnostics = scan(system=system, files={rf"{DRIVERS}\d{number}.sys": b"" for number in range(7)})
    (told,) = (item for item in diagnostics.items if item.code == "drivers.boot-unreadable")
    assert "d4.sys" in told.message
    assert "d5.sys" not in told.message
    assert told.message.endswith("; and 2 more")
