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
