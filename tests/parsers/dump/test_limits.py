"""Every limit of parsers/limits.py that dumps know, hit once; large ones are lowered for the test."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.dump import blocks, pages, secondary, snapshot, triage
from parsers.dump import open as opening
from parsers.dump.blocks import BlockMemory
from parsers.dump.extents import Extent
from parsers.dump.open import Dump, open_dump
from parsers.limits import MAX_PROCESSORS, MAX_STRING_CHARS
from tests.parsers.dump.builder import (
    NT,
    PAGE,
    full_dump,
    header64,
    rdmp_dump,
    runs_of,
    server2019,
    write_x64,
)
from tests.parsers.dump.builder import secondary as chain_of

Give = Callable[[str], Path]


def codes(dump: Dump) -> set[str]:
    return {item.code for item in dump.diagnostics.items}


@pytest.mark.realdata
def test_more_memory_blocks_or_drivers_than_the_limit_are_cut_off(
    unpacked: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage, "MAX_DATA_BLOCKS", 5)
    monkeypatch.setattr(triage, "MAX_DRIVER_LIST", 7)
    monkeypatch.setattr(triage, "MAX_UNLOADED_DRIVERS", 3)
    dump = open_dump(FileSource(unpacked("dumps/7e_1.dmp")))
    assert dump.triage is not None
    assert len(dump.triage.blocks) == 5
    assert len(dump.modules()) == 7
    assert len(dump.unloaded()) == 3
    assert codes(dump) == {"dump.blocks-cut", "dump.drivers-cut", "dump.unloaded-cut"}


@pytest.mark.realdata
def test_a_large_triage_dump_is_read_piece_by_piece_and_alike(unpacked: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked("dumps/7e_1.dmp")
    whole = open_dump(FileSource(path))
    monkeypatch.setattr(opening, "MAX_TRIAGE_IN_MEMORY", 0x1000)
    source = FileSource(path)
    pieces = open_dump(source)
    assert pieces.source is source
    assert pieces.modules() == whole.modules()
    stack = whole.stack()
    assert stack is not None
    assert pieces.memory.read(*stack) == whole.memory.read(*stack)
    assert source.bytes_read < source.size


def test_names_longer_than_the_limit_are_cut() -> None:
    machine = server2019()
    record = 0xFFFFC08BDC0011F0
    machine.put(0xFFFFC08BE0000000, b"A\0" * 0x8000)
    machine.put(record + 0x48, struct.pack("<HHIQ", 0xFFFE, 0xFFFE, 0, 0xFFFFC08BE0000000))
    dump = open_dump(BytesSource(write_x64(machine, 6)))
    assert dump.modules()[0].path == "A" * MAX_STRING_CHARS


def test_a_triage_name_longer_than_the_limit_is_not_believed() -> None:
    body = struct.pack("<I", MAX_STRING_CHARS + 1) + b"A\0" * 0x1000
    data = bytearray(bytes(header64(4, cr3=0x1000)) + bytes(0x80) + body + bytes(0x90) + b"TRGD")
    list_at = 0x2080 + len(body)
    struct.pack_into("<I", data, list_at, 0x2080)
    struct.pack_into("<Q", data, list_at + 0x38, NT)
    struct.pack_into("<IIII", data, 0x2030, list_at, 1, 0x2080, 0xFFFFFFF)
    struct.pack_into("<II", data, 0x2004, len(data), len(data) - 4)
    dump = open_dump(BytesSource(data))
    assert [(module.name, module.base) for module in dump.modules()] == [("", NT)]
    assert "dump.driver-names" in codes(dump)


def test_overlaps_beyond_the_budget_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_OVERLAP_COMPARED", 4)
    diagnostics = Diagnostics()
    BlockMemory(BytesSource(b"0123456789abcdef"), [Extent(0, 8, 0), Extent(0, 8, 8)], diagnostics)
    assert diagnostics.items == []


def test_more_processors_than_windows_knows_are_told_and_not_walked() -> None:
    machine = server2019()
    data = bytearray(write_x64(machine, 6))
    struct.pack_into("<I", data, 0x34, MAX_PROCESSORS + 1)
    dump = open_dump(BytesSource(data))
    assert "dump.header-odd" in codes(dump)
    assert dump.prcb is not None


def test_more_page_ranges_than_the_limit_are_cut_off_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_DUMP_RANGES", 2)
    stored = {number: bytearray(PAGE) for number in (1, 3, 5, 7)}
    dump = open_dump(BytesSource(rdmp_dump(header64(8, cr3=0x1000), stored, complete=False)))
    assert "dump.ranges-cut" in codes(dump)
    assert dump.physical is not None
    assert list(dump.physical.page_numbers()) == [1, 3]


def test_more_runs_than_a_machine_has_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_MEMORY_RUNS", 50)
    machine = server2019()
    for index in range(60):
        machine.page(0x1000 + 2 * index)
    header = header64(1, cr3=machine.cr3, runs=runs_of(machine.pages))
    assert "dump.runs-cut" in codes(open_dump(BytesSource(full_dump(header, machine.pages))))


def test_secondary_data_without_end_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secondary, "MAX_SECONDARY_BLOBS", 10)
    chain = chain_of([(bytes(16), b"")] * 20)
    assert len(open_dump(BytesSource(write_x64(server2019(), 6) + chain)).secondary()) == 10
