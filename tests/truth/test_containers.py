"""One disk in every container: the program's JSON is the same byte for byte but for what tells of the container."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samples.containers import FORMATS
from stopcode.scan import scan
from tests.forensics.disk.images import qemu_img
from tests.forensics.disk.test_foreign import e01, write_e01
from tests.truth.program import stopcode

pytestmark = pytest.mark.peer("qemu-img")

#: Keys of a report that may differ, beside remarks about the container itself.
OF_THE_CONTAINER = ("source", "tool", "stats")
CODES = ("container.", "vhd.", "vhdx.", "vmdk.", "qcow2.")


def scanned(path: Path) -> dict[str, Any]:
    """What `stopcode scan -o json` prints, by a process of its own."""
    done = stopcode("scan", "-o", "json", path)
    assert (done.returncode, done.stderr) == (1, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def compared(document: dict[str, Any]) -> str:
    """The part that must be the same, written out."""
    kept = {key: value for key, value in document.items() if key not in OF_THE_CONTAINER}
    kept["diagnostics"] = [item for item in kept["diagnostics"] if not item["code"].startswith(CODES)]
    return json.dumps(kept)


@pytest.fixture(scope="module")
def original(built: Callable[[str], Path]) -> Path:
    return built("ws2019-exposed.vhdx")


@pytest.fixture(scope="module")
def wanted(original: Path) -> str:
    return compared(scanned(original))


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".vhdx"])
def test_the_same_disk_gives_the_same_document_and_stays_as_it_was(
    original: Path, wanted: str, tmp_path: Path, suffix: str
) -> None:
    kind, options = FORMATS[suffix]
    other = tmp_path / f"disk{suffix}"
    subprocess.run(
        ["qemu-img", "convert", "-f", "vhdx", "-O", kind, *(["-o", options] if options else []), original, other],
        check=True,
    )

    def state() -> tuple[str, int, list[str]]:
        with other.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, other.stat().st_mtime_ns, sorted(path.name for path in tmp_path.iterdir())

    # A fixed VHD and a raw disk have 4 GiB of holes: reading them twice for a digest is not worth the time.
    sparse = suffix in (".raw", ".fixed.vhd")
    before = None if sparse else state()
    document = scanned(other)
    assert compared(document) == wanted
    assert document["source"]["kind"].lower() in (kind, suffix.rpartition(".")[2])
    assert before is None or state() == before


# -- containers of a smaller disk, for which no program or no patience is at hand --------------------------------------


def as_e01(raw: Path, folder: Path) -> Path:
    return write_e01(folder, e01(raw.read_bytes(), segments=3))


def as_parts(raw: Path, folder: Path) -> Path:
    data = raw.read_bytes()
    cut = len(data) // 3
    for number, part in enumerate((data[:cut], data[cut : 2 * cut], data[2 * cut :]), 1):
        (folder / f"disk.{number:03}").write_bytes(part)
    return folder / "disk.001"


def as_flat_vmdk(raw: Path, folder: Path) -> Path:
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", raw, folder / "disk.vmdk")
    return folder / "disk.vmdk"


def as_stream_vmdk(raw: Path, folder: Path) -> Path:
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, folder / "disk.vmdk")
    return folder / "disk.vmdk"


def as_packed_qcow2(raw: Path, folder: Path) -> Path:
    qemu_img("convert", "-c", "-O", "qcow2", raw, folder / "disk.qcow2")
    return folder / "disk.qcow2"


def as_overlay(raw: Path, folder: Path) -> Path:
    """A QCOW2 that holds nothing yet, over a VHDX."""
    qemu_img("convert", "-O", "vhdx", raw, folder / "base.vhdx")
    qemu_img("create", "-f", "qcow2", "-b", "base.vhdx", "-F", "vhdx", folder / "disk.qcow2")
    return folder / "disk.qcow2"


def as_fixed_vhdx(raw: Path, folder: Path) -> Path:
    qemu_img("convert", "-O", "vhdx", "-o", "subformat=fixed", raw, folder / "disk.vhdx")
    return folder / "disk.vhdx"


MORE = {
    "E01": as_e01, "raw": as_parts, "VMDK, flat": as_flat_vmdk, "VMDK, stream": as_stream_vmdk,
    "QCOW2, compressed": as_packed_qcow2, "QCOW2, overlay": as_overlay, "VHDX, fixed": as_fixed_vhdx,
}  # fmt: skip


@pytest.mark.realdata
@pytest.mark.peer("mkntfs", "wimlib-imagex")
@pytest.mark.parametrize("name", MORE)
def test_a_disk_of_real_parts_is_the_same_machine_in_every_other_container(
    disk: Callable[[str], Path], report_of: Callable[[str], Any], tmp_path: Path, name: str
) -> None:
    other = MORE[name](disk("win81"), tmp_path)
    before = sorted((path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir())
    report: Any = scan(str(other))
    assert report["source"]["kind"] == name.partition(",")[0]
    assert compared(json.loads(json.dumps(report))) == compared(json.loads(json.dumps(report_of("win81"))))
    assert sorted((path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()) == before
