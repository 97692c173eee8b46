r"""Dumps in every place Windows leaves them in, also where the dump is only the beginning of the file."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.collect import Machine, collect
from forensics.disk import open_image
from forensics.facts import CrashDict, Facts, Wants
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, ReadError
from tests.forensics.collect.test_crashes import dump, filetime
from tests.forensics.disk.ntfs_disks import MIB, mbr_disk, ntfs_volume, run, software
from tests.forensics.world import FakeFiles, FakeVolume, gaps, scan

PAGEFILE = r"\pagefile.sys"
CONTROL = r"ControlSet001\Control\CrashControl"
MEMORY = r"ControlSet001\Control\Session Manager\Memory Management"
TIME = "2021-02-20T10:00:00Z"
_REST = random.Random(3).randbytes(1 << 16)
Give = Callable[[str], Path]
made = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")


def carried(time: str = TIME, rest: bytes = _REST) -> bytes:
    """A page file that begins with a dump and goes on after it."""
    data = bytearray(dump(time))
    struct.pack_into("<Q", data, 0xFA0, len(data))
    return bytes(data) + rest


def only(facts: Facts) -> CrashDict:
    assert len(facts["crashes"]) == 1
    return facts["crashes"][0]


def told(diagnostics: Diagnostics, code: str) -> list[str]:
    return [item.message for item in diagnostics.items if item.code == code]


def test_a_dump_in_the_page_file_is_a_crash_of_its_own_length() -> None:
    facts, diagnostics = scan(files={PAGEFILE: carried()})
    crash = only(facts)
    assert (crash["item"], crash["dump"]["where"]) == (PAGEFILE, "pagefile")
    assert crash["dump"]["size"] == len(dump(TIME))
    assert crash["dump"]["complete"] is True
    assert crash["latest"] is True
    assert "has not come as far as its session manager" in crash["latest_because"]
    assert TIME in told(diagnostics, "crashes.dump-not-copied")[0]


@pytest.mark.parametrize("content", [b"", bytes(4096), _REST, b"PAGEPAGE" * 600, b"PAGEDU6"])
def test_a_page_file_without_a_dump_is_no_crash_and_no_gap(content: bytes) -> None:
    facts, _ = scan(files={PAGEFILE: content})
    assert facts["crashes"] == []
    assert not any(path.startswith("/crashes") for path in gaps(facts))


def test_a_page_file_with_a_header_that_was_never_written_says_that_a_dump_was_begun() -> None:
    _, diagnostics = scan(files={PAGEFILE: b"PAGEPAGE" * 600})
    assert "begun there and never written" in told(diagnostics, "crashes.dump-unfinished")[0]
    _, diagnostics = scan(files={PAGEFILE: _REST})
    assert told(diagnostics, "crashes.dump-unfinished") == []


@pytest.mark.parametrize(
    "content",
    [
        b"PAGEDU64" + bytes(1 << 16),
        b"PAGEDU64" + _REST,
        b"PAGEDUMP" + _REST,
        b"PAGEDU64" + b"PAGE" * 9000,
        b"PAGEDU64" + bytes(40),
        carried()[:0x20] + bytes(0x4000),
    ],
)
def test_the_mark_of_a_dump_without_a_sound_header_is_told_as_remains_and_is_no_crash(content: bytes) -> None:
    facts, diagnostics = scan(files={PAGEFILE: content})
    assert facts["crashes"] == []
    assert not any(path.startswith("/crashes") for path in gaps(facts))
    assert len(told(diagnostics, "crashes.remains-of-dump")) == 1


def test_a_huge_page_file_costs_only_what_its_dump_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sparse(BytesSource):
        """64 GiB that begin with a dump; everything read of it is counted."""

        size = 64 << 30
        total = 0

        def read_at(self, offset: int, length: int) -> bytes:
            Sparse.total += length
            return super().read_at(offset, length)

    whole = FakeFiles.open
    monkeypatch.setattr(FakeFiles, "open", lambda self, path: (
        Sparse(carried()) if path == PAGEFILE else whole(self, path)
    ))  # fmt: skip
    facts, _ = scan(files={PAGEFILE: b"PAGEDU64"})
    assert only(facts)["dump"]["size"] == len(dump(TIME))
    assert Sparse.total < 4 << 20


def test_the_rest_of_a_page_file_does_not_change_what_is_read() -> None:
    plain, _ = scan(files={PAGEFILE: carried(rest=b"")})
    other, _ = scan(files={PAGEFILE: carried(rest=dump("2021-02-22T00:00:00Z"))})
    assert plain["crashes"] == other["crashes"]


def test_a_page_file_smaller_than_its_dump_gives_what_it_has_and_says_so() -> None:
    facts, _ = scan(files={PAGEFILE: carried(rest=b"")[:-0x3000]})
    crash = only(facts)
    assert crash["dump"]["complete"] is False
    assert any("fewer than the dump's header says" in gap for gap in crash["gaps"])


def test_an_unreadable_page_file_is_a_gap() -> None:
    facts, _ = scan(files={PAGEFILE: ReadError("bad sector")})
    assert gaps(facts)[rf"/crashes/{PAGEFILE}"] == "bad sector"


def booted(facts_of: dict[str, Any], time: str) -> Facts:
    """The facts of a machine whose clean shutdown the registry knows."""
    system = {r"ControlSet001\Control\Windows": {"ShutdownTime": filetime(time).to_bytes(8, "little")}}
    return scan(system=system, **facts_of)[0]


def test_a_page_file_that_was_in_use_after_the_crash_is_told_as_an_older_one_with_doubt() -> None:
    crash = only(booted({"files": {PAGEFILE: carried()}}, "2021-02-25T00:00:00Z"))
    assert crash["latest"] is False
    assert "shut down cleanly since" in crash["latest_because"]
    assert "in use since" in crash["latest_because"]
    assert any("may be overwritten" in gap for gap in crash["gaps"])


def test_a_newer_dump_makes_the_one_in_the_page_file_an_older_crash() -> None:
    facts, _ = scan(files={PAGEFILE: carried(), r"\Windows\MEMORY.DMP": dump("2021-02-21T10:00:00Z")})
    assert [(crash["item"], crash["latest"]) for crash in facts["crashes"]] == [
        (r"\Windows\MEMORY.DMP", True),
        (PAGEFILE, False),
    ]
    assert "in use since" in facts["crashes"][1]["latest_because"]


def test_a_dump_that_was_copied_out_of_the_page_file_is_told_as_the_same_crash() -> None:
    facts, diagnostics = scan(files={PAGEFILE: carried(), r"\Windows\MEMORY.DMP": carried(rest=b"")})
    by_place = {crash["dump"]["where"]: crash for crash in facts["crashes"]}
    assert by_place["pagefile"]["dump"]["copy_of"] == r"\Windows\MEMORY.DMP"
    assert "copied to" in by_place["pagefile"]["latest_because"]
    assert "copy_of" not in by_place["memory-dmp"]["dump"]
    assert told(diagnostics, "crashes.dump-not-copied") == []


@pytest.mark.parametrize(("build", "kind"), [("20348", "an older"), ("14393", "another")])
def test_a_dump_of_another_build_is_of_another_windows_and_not_its_latest_crash(build: str, kind: str) -> None:
    key = r"Microsoft\Windows NT\CurrentVersion"
    software = {key: {"CurrentBuild": build, "CurrentBuildNumber": build, "InstallationType": "Server"}}
    facts, _ = scan(software=software, files={PAGEFILE: carried()})
    crash = only(facts)
    told_so = f"the dump is of build 17763, and the disk holds build {build}: it is of {kind} Windows"
    assert told_so in crash["gaps"]
    assert crash["latest"] is False
    assert crash["latest_because"].startswith(told_so)
    assert ("in use since" in crash["latest_because"]) == (kind == "an older")
    own = bytearray(dump(TIME))
    struct.pack_into("<I", own, 0x0C, int(build))
    facts, _ = scan(software=software, files={PAGEFILE: carried(), r"\Windows\MEMORY.DMP": bytes(own)})
    assert [crash["latest"] for crash in facts["crashes"] if crash["dump"]["where"] == "memory-dmp"] == [True]


@pytest.mark.parametrize("build", ["20348", "14393"])
def test_a_dump_of_another_build_in_the_page_file_tells_nothing_of_this_windows(build: str) -> None:
    key = r"Microsoft\Windows NT\CurrentVersion"
    software = {key: {"CurrentBuild": build, "CurrentBuildNumber": build, "InstallationType": "Server"}}
    shut_down = "2021-02-19T00:00:00Z"
    facts = booted({"software": software, "files": {PAGEFILE: carried()}}, shut_down)
    assert only(facts)["foreign"] is True
    assert facts["system"]["disk_as_of"] == shut_down
    assert "foreign" not in only(booted({"files": {PAGEFILE: carried()}}, shut_down))


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (r"\DUMP3a9f.tmp", "dump-tmp"),
        (r"\Windows\dump0001.TMP", "dump-tmp"),
        (r"\Windows\LiveKernelReports\live.dmp", "live-kernel"),
        (r"\Windows\LiveKernelReports\USBHUB3\live.dmp", "live-kernel"),
        (r"\Windows\LiveKernelReports\NDIS\deeper\live.dmp", "live-kernel"),
        (r"\ProgramData\Microsoft\Windows\WER\ReportQueue\Kernel_d1_1\022021-1.dmp", "wer"),
        (r"\ProgramData\Microsoft\Windows\WER\ReportArchive\Kernel_d1_1\WER1A.tmp.dmp", "wer"),
        (r"\ProgramData\Microsoft\Windows\WER\Temp\a.dmp", "wer"),
    ],
)
def test_every_place_is_known(path: str, where: str) -> None:
    facts, _ = scan(files={path: carried()})
    assert (only(facts)["item"], only(facts)["dump"]["where"]) == (path, where)


@pytest.mark.parametrize("path", [r"\DUMPling.tmp", r"\DUMP12345.tmp", r"\DUMP12.tmp.dmp", r"\Windows\Temp\a.dmp"])
def test_files_with_other_names_are_left_alone(path: str) -> None:
    assert scan(files={path: carried()})[0]["crashes"] == []


def test_a_dump_of_a_process_among_the_error_reports_is_no_crash() -> None:
    path = r"\ProgramData\Microsoft\Windows\WER\ReportQueue\AppCrash_x\WER.tmp.mdmp.dmp"
    facts, diagnostics = scan(files={path: b"MDMP\x93\xa7" + bytes(9000)})
    assert facts["crashes"] == []
    assert not told(diagnostics, "crashes.dump-unreadable")


def test_a_report_that_holds_a_copy_of_a_small_dump_says_of_which() -> None:
    small = r"\Windows\Minidump\022021-1.dmp"
    report = r"\ProgramData\Microsoft\Windows\WER\ReportQueue\Kernel_d1_1\022021-1.dmp"
    facts, _ = scan(files={small: dump(TIME), report: dump(TIME)})
    copies = {crash["item"]: crash["dump"].get("copy_of") for crash in facts["crashes"]}
    assert copies == {small: None, report: small}


def test_a_dump_on_another_volume_of_the_image_is_named_with_its_drive() -> None:
    data = FakeVolume("D:", FakeFiles({PAGEFILE: carried()}, {}), "Temporary Storage")
    facts, _ = scan(
        system={MEMORY: {"PagingFiles": [r"D:\pagefile.sys 0 0"]}, CONTROL: {"DumpFile": r"D:\x.dmp"}},
        others=[data],
    )
    assert only(facts)["item"] == r"D:\pagefile.sys"


@pytest.mark.parametrize("drive", ["C", "D"])
def test_live_reports_are_found_where_the_registry_puts_them(drive: str) -> None:
    live = {rf"\livedumps\{name}.dmp": dump(TIME) for name in ("full", r"WATCHDOG\WATCHDOG-20170903-1920")}
    other = FakeVolume("D:", FakeFiles(live, {}))
    facts, _ = scan(
        system={rf"{CONTROL}\LiveKernelReports": {"LiveKernelReportsPath": rf"\??\{drive}:\livedumps"}},
        files=live if drive == "C" else {},
        others=[other] if drive == "D" else [],
    )
    assert {(crash["item"].removeprefix("D:"), crash["live"]) for crash in facts["crashes"]} == {
        (path, True) for path in live
    }


def test_a_page_file_on_a_volume_without_a_letter_is_found_and_named_by_its_place() -> None:
    facts, _ = scan(others=[FakeVolume("volume 2", FakeFiles({PAGEFILE: carried()}, {}))])
    assert only(facts)["item"] == r"volume 2:\pagefile.sys"


def test_a_page_file_under_another_name_is_found_where_the_registry_says() -> None:
    files = {r"\swap\page.sys": carried()}
    facts, _ = scan(system={MEMORY: {"PagingFiles": [r"C:\swap\page.sys 1024 4096"]}}, files=files)
    assert only(facts)["item"] == r"\swap\page.sys"
    facts, _ = scan(system={MEMORY: {"ExistingPageFiles": [r"\??\C:\swap\page.sys"]}}, files=files)
    assert only(facts)["item"] == r"\swap\page.sys"


def test_a_damaged_folder_of_live_reports_is_a_gap_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FakeFiles.glob

    def glob(self: FakeFiles, pattern: str, damage: Any = None) -> list[Any]:
        if "LiveKernel" in pattern:
            raise FormatError("index", "damaged")
        return whole(self, pattern)

    monkeypatch.setattr(FakeFiles, "glob", glob)
    facts, _ = scan(files={PAGEFILE: carried()})
    assert len(facts["crashes"]) == 1
    assert any("LiveKernelReports" in path for path in gaps(facts))


def test_of_very_many_dumps_page_files_and_crashes_come_before_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.collect.crashes.MAX_CRASHES", 2)
    monkeypatch.setattr("forensics.collect.dump_places.MAX_DUMP_PLACES", 3)
    live = {rf"\Windows\LiveKernelReports\{n}.dmp": dump(TIME) for n in range(4)}
    facts, diagnostics = scan(files={**live, PAGEFILE: carried(), r"\Windows\Minidump\a.dmp": dump(TIME)})
    assert {crash["dump"]["where"] for crash in facts["crashes"]} == {"pagefile", "minidump"}
    assert told(diagnostics, "crashes.many")[0].startswith("6 dumps")


# -- real dumps on real file systems ---------------------------------------------------------------------------


def machine_files(system: Path) -> dict[str, bytes | Path]:
    return {"Windows/System32/config/SYSTEM": system, "Windows/System32/config/SOFTWARE": software()}


def facts_of(path: Path) -> Facts:
    diagnostics = Diagnostics()
    with open_image(path, diagnostics) as image:
        return collect(Machine(image.windows, Wants(), diagnostics))


def fragmented(volume: Path, name: str, data: bytes, pieces: int = 6) -> None:
    """Let a file grow in turn with another one, so that its parts lie apart."""
    part = volume.with_suffix(".part")
    for number in range(1, pieces + 1):
        part.write_bytes(data[: len(data) * number // pieces])
        run("ntfscp", "-f", volume, part, name)
        part.write_bytes(bytes(number * 0x20000))
        run("ntfscp", "-f", volume, part, "filler.bin")


@made
@pytest.mark.realdata
@pytest.mark.parametrize("name", ["triage_x64.dmp", "082325-12593-01.dmp", "triage_arm64.dmp"])
def test_a_real_dump_in_a_fragmented_page_file_reads_as_the_file_does(
    tmp_path: Path, unpacked: Give, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = unpacked(f"dumps/{name}").read_bytes()
    # The folder below is the whole volume, as a mounted one is.
    monkeypatch.setattr("os.path.ismount", lambda _path: True)
    files = machine_files(unpacked("hives/win10-1903/SYSTEM"))
    volume = ntfs_volume(tmp_path / "v.img", {**files, "filler.bin": b"x"}, mib=96)
    fragmented(volume, "pagefile.sys", data + random.Random(5).randbytes(4 * MIB))
    disk = mbr_disk(tmp_path / "disk.img", [volume])
    assert data not in disk.read_bytes()
    found = only(facts_of(disk))
    assert (found["item"], found["dump"]["where"], found["dump"]["size"]) == (PAGEFILE, "pagefile", len(data))
    folder = tmp_path / "folder"
    for path, content in {**files, "Windows/Minidump/a.dmp": data}.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    plain = only(facts_of(folder))
    for part in ("bugcheck", "stack", "culprit", "modules", "unloaded", "bucket", "time"):
        assert found.get(part) == plain.get(part), part


@made
@pytest.mark.realdata
def test_a_page_file_on_the_second_volume_of_a_disk_is_found(tmp_path: Path, unpacked: Give) -> None:
    data = unpacked("dumps/7e_1.dmp").read_bytes()
    first = ntfs_volume(tmp_path / "a.img", machine_files(unpacked("hives/win10-1903/SYSTEM")), mib=64)
    second = ntfs_volume(tmp_path / "b.img", {}, mib=24, label="Temporary Storage")
    fragmented(second, "pagefile.sys", data + bytes(MIB), 1)
    found = only(facts_of(mbr_disk(tmp_path / "disk.img", [first, second])))
    assert found["item"] == r"volume 1:\pagefile.sys"
    assert found["bugcheck"]["code"] == "0x7e"
    assert found["dump"]["size"] == len(data)
