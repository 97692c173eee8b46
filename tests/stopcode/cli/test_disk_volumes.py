"""`stopcode disk` and `scan` of volumes of special kinds: dynamic ones, ones with shadow copies, hibernated ones."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forensics.disk.ntfs_disks import mbr_disk, ntfs_volume, run, software
from tests.forensics.disk.test_shadow import COPY, updated_disk
from tests.parsers.disk.ldm_disks import dynamic_disk
from tests.stopcode.cli.disk_documents import checked
from tests.stopcode.cli.run import Stopcode

NEWER = "18f1ac6e-959d-436f-bdcc-e797a729e290"


@pytest.mark.realdata
def test_shadow_copies_are_listed_with_their_identifiers(call: Stopcode, unpacked: Callable[[str], Path]) -> None:
    disk = unpacked("disks/plaso/vsstest.qcow2")
    listed = call("disk", disk)
    assert listed.code == 0
    assert "shadow copy 4e3c03c2-7bc6-4288-ad96-c1eac1a55f71 of 2013-12-03 06:35:09 UTC\n" in listed.out
    assert f"shadow copy {NEWER} of 2013-12-03 06:37:48 UTC\n" in listed.out
    document = checked(call("disk", disk, "--shadow-copy", "{" + NEWER.upper() + "}", "-o", "json").document)
    (volume,) = document["volumes"]
    assert volume["shadow_copy"] == NEWER
    assert [copy["machine"] for copy in volume["shadow_copies"]] == ["infinity", "infinity"]
    assert f"{NEWER} of 2013-12-03 06:37:48 UTC, read in place" in call("disk", disk, "--shadow-copy", NEWER).out


def test_what_is_no_identifier_of_a_shadow_copy_is_wrong_usage(call: Stopcode, tmp_path: Path) -> None:
    done = call("disk", tmp_path, "--shadow-copy", "1")
    assert done.code == 2
    assert "no identifier" in done.err


@pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")
def test_a_hibernated_windows_is_told_by_disk_and_scan(call: Stopcode, tmp_path: Path) -> None:
    files = {"Windows/System32/config/SOFTWARE": software(), "Windows/System32/ntoskrnl.exe": b"MZ"}
    volume = ntfs_volume(tmp_path / "v.img", files, mib=12)
    (tmp_path / "h").write_bytes(b"HIBR" + bytes(1 << 16))
    run("ntfscp", volume, tmp_path / "h", "hiberfil.sys")
    disk = mbr_disk(tmp_path / "disk.img", [volume])
    assert "hibernated, or shut down with fast startup" in call("disk", disk).out
    document = checked(call("disk", disk, "-o", "json").document)
    assert document["windows"][0]["hibernation"] == "hibernated"
    assert "disk.hibernated" in [item["code"] for item in document["diagnostics"]]
    report = json.loads(call("scan", disk, "-o", "json").out)
    assert report["facts"]["boot"]["hibernation"] == "hibernated"
    assert "disk.hibernated" in [item["code"] for item in report["diagnostics"]]
    assert "hibernated" in call("scan", disk).out


def test_a_dynamic_volume_is_listed_with_the_disks_that_it_lies_on(call: Stopcode, tmp_path: Path) -> None:
    disk = dynamic_disk("2003r2-striped-1").write(tmp_path / "disk.img")
    done = call("disk", disk)
    assert done.code == 0
    assert "dynamic volume Stripe1, striped, G:, on Disk4, Disk5\n" in done.out
    assert "other parts of it are on Disk5" in done.out
    document = checked(call("disk", disk, "-o", "json").document)
    assert [volume["dynamic"]["kind"] for volume in document["volumes"]] == ["striped", "spanned"]
    refused = call("scan", disk)
    assert refused.code == 3
    assert "Stripe1 is striped" in refused.err


@pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")
def test_a_machine_is_scanned_and_rescued_as_its_shadow_copy_has_it(call: Stopcode, tmp_path: Path) -> None:
    disk = updated_disk(tmp_path)
    now = json.loads(call("scan", disk, "-o", "json").out)
    then = json.loads(call("scan", disk, "--shadow-copy", COPY, "-o", "json").out)
    assert (now["facts"]["system"]["build"], then["facts"]["system"]["build"]) == (18362, 17763)
    assert "shadow_copy" not in now["source"]
    assert then["source"]["shadow_copy"]["id"] == COPY
    told = call("scan", disk, "--shadow-copy", COPY).out
    assert f"read as of 2021-01-02 00:00:00 UTC, {COPY}" in " ".join(told.split())
    out = tmp_path / "out"
    out.mkdir()
    words = ("--shadow-copy", COPY, "--files", r"Windows\System32\config\SOFTWARE", "--to", out)
    assert call("rescue", disk, *words).code == 0
    (made,) = out.glob("*.zip")
    with zipfile.ZipFile(made) as archive:
        assert archive.read("C/Windows/System32/config/SOFTWARE") == software("17763")
