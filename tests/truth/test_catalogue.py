"""The committed samples, read by programs that share nothing with ours, beside what a scan says of them.

qemu-img reads the container, ntfs-3g's tools the volume, hivex the hives, dissect.eventlog the log, pefile the driver,
kdmp-parser the dump.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pefile
import pytest
from dissect.eventlog import evtx

from samples.family import FAMILY, Variant
from samples.layout import FIRST_SECTOR
from stopcode.scan import scan

pytestmark = pytest.mark.peer("qemu-img", "ntfsinfo", "ntfscat", "hivexget")

each = pytest.mark.parametrize("variant", FAMILY, ids=lambda variant: variant.name)
Give = Callable[[Variant], Path]
CURRENT = "Microsoft\\Windows NT\\CurrentVersion"


def run(*words: object) -> bytes:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True).stdout


@pytest.fixture(scope="session")
def volume(built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Give:
    """Return a function that gives the Windows volume of a sample, cut out by qemu-img."""
    folder = tmp_path_factory.mktemp("volumes")

    def give(variant: Variant) -> Path:
        target = folder / f"{variant.name}.ntfs"
        if not target.exists():
            first = FIRST_SECTOR["windows", variant.machine.generation] * 512
            size = (variant.disk_mib << 20) - first - (1 << 20)
            view = f"driver=raw,offset={first},size={size},file.driver=vhdx,file.file.driver=file,file.file.filename="
            source = view + str(built(f"{variant.name}.vhdx")).replace(",", ",,")
            run("qemu-img", "convert", "--image-opts", "-O", "raw", source, target)
        return target

    return give


@pytest.fixture(scope="session")
def report(built: Callable[[str], Path]) -> Callable[[Variant], Any]:
    """Return a function that gives the report of a sample."""
    known: dict[str, Any] = {}

    def give(variant: Variant) -> Any:
        if variant.name not in known:
            known[variant.name] = scan(str(built(f"{variant.name}.vhdx")))
        return known[variant.name]

    return give


def taken(volume: Path, path: str, folder: Path) -> Path:
    """Take a file out of a volume with ntfscat."""
    target = folder / path.rpartition("/")[2]
    target.write_bytes(run("ntfscat", volume, path))
    return target


def hivex(hive: Path, key: str, value: str) -> str:
    return run("hivexget", hive, key, value).decode().strip()


@each
def test_qemu_img_finds_the_container_sound_and_as_large(
    built: Callable[[str], Path], report: Callable[[Variant], Any], variant: Variant
) -> None:
    path = built(f"{variant.name}.vhdx")
    assert b"No errors were found" in run("qemu-img", "check", "-f", "vhdx", path)
    told = report(variant)["source"]
    assert f'"virtual-size": {told["size"]},'.encode() in run("qemu-img", "info", "--output=json", path)


@each
def test_ntfs_tools_find_the_volume_that_the_scan_found(
    volume: Give, report: Callable[[Variant], Any], variant: Variant
) -> None:
    found = run("ntfsinfo", "-m", volume(variant)).decode()
    assert "Volume Flags: 0x0000" in found
    [windows] = [item for item in report(variant)["facts"]["volumes"] if item["role"] == "windows"]
    assert (windows["filesystem"], windows["size"]) == ("NTFS", volume(variant).stat().st_size)


@each
def test_hivex_reads_what_the_scan_read_of_the_machine(
    volume: Give, report: Callable[[Variant], Any], tmp_path: Path, variant: Variant
) -> None:
    facts = report(variant)["facts"]
    system = taken(volume(variant), "/Windows/System32/config/SYSTEM", tmp_path)
    control = "ControlSet001\\Control"
    assert hivex(system, f"{control}\\ComputerName\\ComputerName", "ComputerName") == facts["system"]["hostname"]
    services = {service["name"]: service for service in facts["services"]}
    for name in ("storflt", "storvsc", "vmbus", "Wdf01000", "Ntfs"):
        start = ("boot", "system", "auto", "demand", "disabled")[
            int(hivex(system, f"ControlSet001\\Services\\{name}", "Start"))
        ]
        assert services[name]["start_raw"] == start
    software = taken(volume(variant), "/Windows/System32/config/SOFTWARE", tmp_path)
    if variant.damage == "software":
        assert subprocess.run(["hivexget", software, CURRENT, "UBR"], capture_output=True, check=False).returncode
        assert "build" not in facts["system"]
    else:
        build = f"10.0.{hivex(software, CURRENT, 'CurrentBuildNumber')}.{hivex(software, CURRENT, 'UBR')}"
        assert build == facts["system"]["version"]
        assert hivex(software, CURRENT, "ProductName") == facts["system"]["product"]


@each
def test_pefile_reads_the_version_of_the_driver_that_ntfscat_takes_out(
    volume: Give, report: Callable[[Variant], Any], tmp_path: Path, variant: Variant
) -> None:
    image = pefile.PE(str(taken(volume(variant), "/Windows/System32/drivers/vmstorfl.sys", tmp_path)))
    fixed = image.VS_FIXEDFILEINFO[0]
    parts = (fixed.FileVersionMS >> 16, fixed.FileVersionMS & 0xFFFF, fixed.FileVersionLS >> 16,
             fixed.FileVersionLS & 0xFFFF)  # fmt: skip
    [driver] = [driver for driver in report(variant)["facts"]["drivers"] if driver["file"] == "vmstorfl.sys"]
    assert driver["version"] == ".".join(map(str, parts))
    assert driver["timestamp"] == f"{image.FILE_HEADER.TimeDateStamp:#x}"
    assert image.verify_checksum()


@each
def test_another_reader_finds_the_boots_of_the_log(
    volume: Give, report: Callable[[Variant], Any], tmp_path: Path, variant: Variant
) -> None:
    log = taken(volume(variant), "/Windows/System32/winevt/Logs/System.evtx", tmp_path).read_bytes()
    starts = [
        int(record["EventRecordID"])
        for record in evtx.Evtx(io.BytesIO(log))
        if (str(record["Provider_Name"]), int(record["EventID"])) == ("Microsoft-Windows-Kernel-General", 12)
    ]
    boots = report(variant)["facts"]["boot"]["boots"]
    assert [boot["source"]["detail"] for boot in boots] == [f"EventRecordID {number}" for number in reversed(starts)]
    assert len(boots) >= 2


def word(judge: Any, address: int) -> int:
    """Eight bytes of virtual memory, as the judge reads them."""
    return int.from_bytes(bytes(judge.read_virtual_page(address & ~0xFFF))[address & 0xFFF :][:8], "little")


def test_kdmp_parser_reads_the_committed_dump_as_the_report_tells_it(
    volume: Give, report: Callable[[Variant], Any], tmp_path: Path
) -> None:
    kdmp_parser = pytest.importorskip("kdmp_parser")
    [variant] = [variant for variant in FAMILY if variant.dump]
    judge = kdmp_parser.KernelDumpParser(taken(volume(variant), "/Windows/MEMORY.DMP", tmp_path))
    [crash] = report(variant)["facts"]["crashes"]
    assert judge.type.value == crash["dump"]["type"]
    assert judge.header.BugCheckCode == int(crash["bugcheck"]["code_raw"], 16)
    told = [int(parameter["value"], 16) for parameter in crash["bugcheck"]["parameters"]]
    assert list(judge.header.BugCheckCodeParameter) == told
    assert judge.header.SystemUpTime / 1e7 == pytest.approx(crash["uptime_s"], abs=0.001)
    # The context of the fault lies where parameter 4 says; its stack pointer and address begin the stack told.
    assert f"{word(judge, told[3] + 0xF8):#x}" == crash["stack"][0]["ip"]
    assert f"{word(judge, told[3] + 0x98):#x}" == crash["stack"][0]["sp"]
    # Every return address of the stack told stands in the judge's memory right below the next frame.
    for before, after in zip(crash["stack"], crash["stack"][1:], strict=False):
        assert word(judge, int(after["sp"], 16) - 8) == int(after["ip"], 16), before
    for module in crash["modules"]:
        head = judge.read_virtual_page(int(module["base"], 16))
        assert head is None or bytes(head)[:2] == b"MZ"
