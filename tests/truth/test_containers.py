"""One disk in every container: the program's JSON is the same byte for byte but for what tells of the container."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samples.containers import FORMATS
from stopcode.scan import scan
from tests.forensics.disk.images import qemu_img
from tests.forensics.disk.test_foreign import e01, write_e01
from tests.truth.program import stopcode

pytestmark = [pytest.mark.realdata, pytest.mark.peer("qemu-img", "mkntfs", "wimlib-imagex")]

#: Keys of a report that may differ, beside remarks about the container itself.
OF_THE_CONTAINER = ("source", "tool", "stats")
CODES = ("container.", "vhd.", "vhdx.", "vmdk.", "qcow2.")
#: The disk is a small one, of real parts; tests/stopcode/scan does the same with the sample that `make demo` scans.
MACHINE = "crashed"


def compared(report: Any) -> str:
    """The part of a report that must be the same, byte for byte in JSON."""
    kept = {key: value for key, value in report.items() if key not in OF_THE_CONTAINER}
    kept["diagnostics"] = [item for item in kept["diagnostics"] if not item["code"].startswith(CODES)]
    return json.dumps(kept)


def by_qemu(suffix: str, kind: str, options: str = "") -> Callable[[Path, Path], Path]:
    """Return a writer of one container."""

    def write(raw: Path, folder: Path) -> Path:
        words = ["-o", options] if options else []
        qemu_img("convert", "-f", "raw", "-O", kind, *words, raw, folder / f"disk{suffix}")
        return folder / f"disk{suffix}"

    return write


def as_e01(raw: Path, folder: Path) -> Path:
    return write_e01(folder, e01(raw.read_bytes(), segments=3))


def as_parts(raw: Path, folder: Path) -> Path:
    data = raw.read_bytes()
    cut = len(data) // 3
    for number, part in enumerate((data[:cut], data[cut : 2 * cut], data[2 * cut :]), 1):
        (folder / f"disk.{number:03}").write_bytes(part)
    return folder / "disk.001"


def as_packed_qcow2(raw: Path, folder: Path) -> Path:
    qemu_img("convert", "-c", "-O", "qcow2", raw, folder / "disk.qcow2")
    return folder / "disk.qcow2"


def as_overlay(raw: Path, folder: Path) -> Path:
    """A QCOW2 that holds nothing yet, over a VHDX."""
    qemu_img("convert", "-O", "vhdx", raw, folder / "base.vhdx")
    qemu_img("create", "-f", "qcow2", "-b", "base.vhdx", "-F", "vhdx", folder / "disk.qcow2")
    return folder / "disk.qcow2"


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    **{f"{kind.upper() if kind != 'vpc' else 'VHD'}, {suffix}": by_qemu(suffix, kind, options)
       for suffix, (kind, options) in FORMATS.items() if suffix != ".raw"},
    "VHDX, fixed": by_qemu(".vhdx", "vhdx", "subformat=fixed"),
    "VMDK, flat": by_qemu(".vmdk", "vmdk", "subformat=twoGbMaxExtentFlat"),
    "VMDK, stream": by_qemu(".vmdk", "vmdk", "subformat=streamOptimized"),
    "QCOW2, compressed": as_packed_qcow2,
    "QCOW2, overlay": as_overlay,
    "E01": as_e01,
    "raw": as_parts,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_disk_gives_the_same_document_in_every_container_and_none_is_touched(
    disk: Callable[[str], Path], report_of: Callable[[str], Any], tmp_path: Path, name: str
) -> None:
    image = WRITERS[name](disk(MACHINE), tmp_path)

    def state() -> list[tuple[str, int, str]]:
        return [
            (path.name, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in sorted(tmp_path.iterdir())
        ]

    before = state()
    report: Any = scan(str(image))
    assert report["source"]["kind"] == name.partition(",")[0]
    assert compared(report) == compared(report_of(MACHINE))
    assert state() == before


def test_the_command_prints_the_same_document_byte_for_byte(
    disk: Callable[[str], Path], report_of: Callable[[str], Any], tmp_path: Path
) -> None:
    image = by_qemu(".vhd", "vpc", "subformat=dynamic,force_size=on")(disk(MACHINE), tmp_path)
    printed = [stopcode("scan", "-o", "json", path) for path in (disk(MACHINE), image)]
    assert [(done.returncode, done.stderr) for done in printed] == [(4, "")] * 2
    assert {compared(json.loads(done.stdout)) for done in printed} == {compared(report_of(MACHINE))}
