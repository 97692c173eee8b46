"""Every container of the real disks that 7-Zip reads: its bytes beside ours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.disk.container import open_container
from parsers.diagnostics import Diagnostics

Give = Callable[[str], Path]
#: Compared of each: whole disks but for the large ones, whose rest would take minutes.
LENGTH = 48 << 20
#: What 7-Zip refuses, and who judges it: a dirty log (qemu-img), a wrong checksum and a missing parent (known digests).
READ = [
    ("d2v-zerofilled.vhd", "VHD"),
    ("hyperv2012r2-dynamic.vhd", "VHD"),
    ("virtualpc-dynamic.vhd", "VHD"),
    ("dfvfs/ext2.vhd", "VHD"),
    ("plaso/image.vhd", "VHD"),
    ("iotest-dynamic-1G.vhdx", "VHDX"),
    ("test-disk2vhd.vhdx", "VHDX"),
    ("iotest-version3.vmdk", "VMDK"),
    ("dfvfs/ext2.vmdk", "VMDK"),
    ("plaso/image.vmdk", "VMDK"),
    ("dfvfs/ext2.qcow2", "QCOW"),
    ("dfvfs/windows_volume.qcow2", "QCOW"),
    ("plaso/image.qcow2", "QCOW"),
    ("plaso/vsstest.qcow2", "QCOW"),
]


@pytest.mark.realdata
@pytest.mark.peer("7zz")
@pytest.mark.parametrize(("name", "kind"), READ)
def test_7zip_reads_the_same_bytes(unpacked: Give, name: str, kind: str) -> None:
    path = unpacked(f"disks/{name}")
    with subprocess.Popen(["7zz", "e", "-so", f"-t{kind}", path], stdout=subprocess.PIPE) as judge:
        assert judge.stdout is not None
        theirs = judge.stdout.read(LENGTH)
        judge.kill()
    with open_container(path, Diagnostics()) as disk:
        ours = disk.source.read_at(0, min(LENGTH, disk.size))
    assert theirs
    assert ours == theirs
