"""The same wrong bit in several dumps of one machine: told of a folder of dumps and of a disk, on every processor."""

from __future__ import annotations

import shutil
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forensics.crash import x86
from tests.forensics.crash.arm64 import PLACE, dump_arm64, machine_arm64, trap_frame_arm64
from tests.forensics.crash.machines import DRIVER_BASE, POOL, RSP, context_x64, server2019, write_x64
from tests.parsers.dump.builder import secondary
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder

WILD = 0xFFFFA00112340030
SMBIOS = uuid.UUID("bc5c008f-1e3a-44d7-988d-86f6884c6758").bytes_le


def firmware(serial: bytes) -> bytes:
    """The firmware's table of a board with this serial number, as the dump's last part."""
    body = struct.pack("<BBBBB", 1, 2, 0, 3, 0)
    table = struct.pack("<BBH", 2, 4 + len(body), 2) + body + b"\0".join((b"Maker", b"Board", serial)) + b"\0\0"
    return secondary([(SMBIOS, struct.pack("<BBBBI", 0, 3, 4, 0, len(table)) + table)])


def of_x64(number: int, bit: int) -> bytes:
    """0x7E at the driver's store, which touched another address by one bit."""
    machine, rip = server2019(), DRIVER_BASE + 0x1000 + 0x20 * number
    # mov qword ptr [rdx + 0x10], rax
    machine.put(rip, bytes.fromhex("48894210").ljust(0x20, b"\x90"))
    record = struct.pack("<IIQQI4xQQ", 0xC0000005, 0, 0, rip, 2, 1, WILD + 0x10 ^ 1 << bit)
    machine.put(POOL, record.ljust(0x98, b"\0"))
    machine.put(POOL + 0x1000, context_x64(rip, RSP, rdx=WILD))
    return write_x64(machine, 5, code=0x7E, parameters=(0xC0000005, rip, POOL, POOL + 0x1000))


def of_arm64(number: int, bit: int) -> bytes:
    machine, frame, pc = machine_arm64(), RSP + 0x200 & -16, PLACE + 0x20 * number
    machine.put(pc, bytes.fromhex("410800f9"))
    touched = WILD + 0x10 ^ 1 << bit
    machine.put(frame, trap_frame_arm64(pc, frame + 0x160, fault=touched, x2=WILD))
    return dump_arm64(machine, 0xD1, (touched, 2, 1, pc))


def of_x86(kind: str) -> Callable[[int, int], bytes]:
    def write(number: int, bit: int) -> bytes:
        machine, eip = x86.machine_x86(kind), x86.PLACE + 0x20 * number
        machine.put(eip, bytes.fromhex("894210"))
        return x86.dump_x86(machine, 1, x86.WILD + 0x10 ^ 1 << bit, eip=eip)

    return write


WRITERS = {"x64": of_x64, "arm64": of_arm64, "x86": of_x86("x86"), "pae": of_x86("pae")}
SAID = "bit 21 is wrong in 2 dumps of this machine: one failing line of its memory or processor"


def dumps(folder: Path, kind: str, *serials: bytes, bit: int = 21) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, serial in enumerate(serials):
        tail = firmware(serial) if serial else b""
        (folder / f"{number}.dmp").write_bytes(WRITERS[kind](number, bit) + tail)
    return folder


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_tells_the_bit_that_is_wrong_in_two_dumps_of_one_machine(
    call: Stopcode, tmp_path: Path, kind: str
) -> None:
    folder = dumps(tmp_path / "dumps", kind, b"S1", b"S1", b"S2")
    document = call("dump", "-o", "json", folder).document
    assert [row["kind"] for row in document["dumps"]] == ["hardware"] * 3
    assert [row["flipped_bits"] for row in document["dumps"]] == [[21]] * 3
    said = {len(machine["dumps"]): machine["says"] for machine in document["machines"]}
    assert (said[1], said[2][0]) == ([], SAID)
    assert SAID in call("dump", folder).out


@pytest.mark.parametrize("kind", WRITERS)
def test_dumps_that_do_not_tell_their_machine_say_nothing_together(call: Stopcode, tmp_path: Path, kind: str) -> None:
    document = call("dump", "-o", "json", dumps(tmp_path / "dumps", kind, b"", b"")).document
    assert [machine["says"] for machine in document["machines"]] == [[]]


def test_dumps_of_one_machine_from_two_processors_kinds_are_one_machine_still(call: Stopcode, tmp_path: Path) -> None:
    folder = dumps(tmp_path / "dumps", "x64", b"S1")
    shutil.move(folder / "0.dmp", folder / "first.dmp")
    dumps(folder, "pae", b"S1")
    # A 32-bit Windows was installed on it since: the board is the same.
    assert [machine["says"][0] for machine in call("dump", "-o", "json", folder).document["machines"]] == [SAID]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_scan_of_a_disk_with_two_such_dumps_says_so(call: Stopcode, tmp_path: Path, kind: str) -> None:
    disk = windows_folder(tmp_path / "disk")
    dumps(disk / "Windows" / "Minidump", kind, b"S1", b"S1")
    report = call("scan", "-o", "json", disk).document
    assert [crash["culprit"]["kind"] for crash in report["facts"]["crashes"]] == ["hardware"] * 2
    assert f"2 dumps together: {SAID}" in report["verdict"]["lines"]
    assert SAID in call("scan", disk).out


def test_dumps_of_two_machines_on_one_disk_say_nothing_together(call: Stopcode, tmp_path: Path) -> None:
    disk = windows_folder(tmp_path / "disk")
    dumps(disk / "Windows" / "Minidump", "x64", b"S1", b"S2")
    assert not any("together" in line for line in call("scan", "-o", "json", disk).document["verdict"]["lines"])
