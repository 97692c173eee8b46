"""Dumps of types 1 and 5 judged by volatility3's crash layers, in the environment that `make bench` sets up."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from parsers.bytesource import FileSource
from parsers.dump.open import Dump, open_dump
from tests.parsers.dump.builder import Machine, bitmap_dump, full_dump, header32, runs_of, server2019, write_x64
from tests.parsers.dump.test_paging import KDBG32, LIST32, windows7_x86

ROOT = Path(__file__).resolve().parents[3]
JUDGE = ROOT / ".venv-bench" / "bin" / "python"

pytestmark = pytest.mark.skipif(not JUDGE.is_file(), reason="peer: volatility3 is not installed (`make bench` does)")

FIELDS = {
    "MinorVersion": "minor_version",
    "DirectoryTableBase": "directory_table_base",
    "PsLoadedModuleList": "ps_loaded_module_list",
    "MachineImageType": "machine_image_type",
    "NumberProcessors": "number_processors",
    "BugCheckCode": "bug_check_code",
    "KdDebuggerDataBlock": "kd_debugger_data_block",
    "DumpType": "dump_type",
}


def filled(machine: Machine) -> Machine:
    for number in (*range(0x400, 0x440), 0x600, 0x7FF):
        machine.page(number)[:] = random.Random(number).randbytes(0x1000)
    return machine


def judged(path: Path, bits: int, pages: list[int]) -> dict[str, Any]:
    command = [JUDGE, "-I", Path(__file__).with_name("volatility_layer.py"), path, str(bits), *map(str, pages)]
    found = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, timeout=300)
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def agree(path: Path, machine: Machine, bits: int) -> None:
    dump: Dump = open_dump(FileSource(path))
    pages = [*sorted(machine.pages), 0, 0x1FF, 0x5FF]
    told = judged(path, bits, pages)
    mask = (1 << bits) - 1
    assert {name: getattr(dump.header, ours) & mask for name, ours in FIELDS.items()} == {
        name: told[name] & mask for name in FIELDS
    }
    assert [value & mask for value in told["parameters"]] == list(dump.header.bug_check_parameters)
    assert dump.physical is not None
    present = set(dump.physical.page_numbers())
    ours = {str(n): hashlib.sha256(dump.physical.page(n)).hexdigest() if n in present else None for n in pages}
    assert ours == told["pages"]
    assert sum(digest is not None for digest in ours.values()) == len(machine.pages) > 60


@pytest.mark.parametrize("dump_type", [1, 5])
def test_header_and_every_page_of_a_64_bit_dump_agree(tmp_path: Path, dump_type: int) -> None:
    machine = filled(server2019())
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(write_x64(machine, dump_type))
    agree(path, machine, 64)


@pytest.mark.parametrize("kind", ["x86", "pae"])
@pytest.mark.parametrize("dump_type", [1, 5])
def test_header_and_every_page_of_a_32_bit_dump_agree(tmp_path: Path, kind: str, dump_type: int) -> None:
    machine = filled(windows7_x86(kind))
    options = {"cr3": machine.cr3, "pae": int(kind == "pae"), "kdbg": KDBG32, "modules": LIST32}
    header = header32(dump_type, runs=runs_of(machine.pages), **options)
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes((full_dump if dump_type == 1 else bitmap_dump)(header, machine.pages))
    agree(path, machine, 32)
