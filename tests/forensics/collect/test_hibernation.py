from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from forensics.disk.files import NtfsFiles
from parsers.bytesource import FileSource
from parsers.errors import ReadError
from parsers.ntfs import NtfsVolume
from tests.forensics.disk.ntfs_disks import ntfs_volume, run
from tests.forensics.world import gaps, scan

HEADS = [
    (b"hibr", "hibernated"),
    (b"HIBR", "hibernated"),
    (b"wake", "resumed"),
    (b"RSTR", "resumed"),
    (bytes(4), "none"),
]


@pytest.mark.parametrize(("head", "state"), HEADS)
def test_the_first_bytes_of_the_file_tell_the_state(head: bytes, state: str) -> None:
    facts, diagnostics = scan(files={"\\hiberfil.sys": head + bytes(8192)})
    assert facts["boot"]["hibernation"] == state
    assert facts["boot"]["sources"]["hibernation"] == {"kind": "file", "path": "\\hiberfil.sys", "offset": 0}
    codes = [item.code for item in diagnostics.items if item.code in ("disk.hibernated", "disk.resumed")]
    assert codes == {"hibernated": ["disk.hibernated"], "resumed": ["disk.resumed"], "none": []}[state]


def test_without_the_file_nothing_is_hibernated() -> None:
    facts, _ = scan()
    assert facts["boot"]["hibernation"] == "none"


@pytest.mark.parametrize("content", [b"MZ\x90\0" + bytes(100), ReadError("a bad sector")])
def test_a_file_that_cannot_be_read_or_begins_with_something_else_is_a_gap(content: bytes | ReadError) -> None:
    facts, _ = scan(files={"\\hiberfil.sys": content})
    assert "hibernation" not in facts["boot"]
    assert "/boot/hibernation" in gaps(facts)


@pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp", "ntfs-3g.probe")
@pytest.mark.parametrize("head", [b"hibr", b"HIBR", bytes(4)])
def test_ntfs_3g_refuses_the_same_volumes_for_writing(head: bytes, tmp_path: Path) -> None:
    place = ntfs_volume(tmp_path / "v.img", {}, mib=8)
    # wimlib leaves this file out.
    (tmp_path / "h").write_bytes(head + bytes(1 << 16))
    run("ntfscp", place, tmp_path / "h", "hiberfil.sys")
    done = subprocess.run(["ntfs-3g.probe", "--readwrite", str(place)], capture_output=True, check=False)
    files = NtfsFiles(NtfsVolume(FileSource(place)))
    facts, _ = scan(files={"\\hiberfil.sys": files.open("\\hiberfil.sys").read_at(0, 4096)})
    # Its exit code for a hibernated volume is 14, else 0.
    assert (done.returncode == 14) == (facts["boot"]["hibernation"] == "hibernated")
    assert done.returncode in (0, 14)
