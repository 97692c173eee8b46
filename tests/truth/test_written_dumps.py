"""Dumps that samples/dumps.py writes, full and with a bitmap: kdmp-parser and our reader see the same machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parsers.bytesource import FileSource
from parsers.dump.context import X64_GENERAL, X64Context
from parsers.dump.open import open_dump
from parsers.errors import ReadError
from samples.dumps import write_benchmark_dumps
from stopcode.scan import scan

kdmp_parser = pytest.importorskip("kdmp_parser")
pytestmark = pytest.mark.peer("x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-windres")

KINDS = {"full": 1, "bitmap": 5}
each = pytest.mark.parametrize("name", KINDS)
Give = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Give:
    return write_benchmark_dumps(tmp_path_factory.mktemp("dumps")).__getitem__


@each
def test_both_readers_agree_on_bug_check_parameters_times_and_context(written: Give, name: str) -> None:
    judge = kdmp_parser.KernelDumpParser(written(name))
    dump = open_dump(FileSource(written(name)))
    assert dump.header.dump_type == judge.type.value == KINDS[name]
    assert dump.header.bug_check_code == judge.header.BugCheckCode
    assert dump.header.bug_check_parameters == tuple(judge.header.BugCheckCodeParameter)
    assert dump.header.directory_table_base == judge.directory_table_base
    assert (dump.header.system_time, dump.header.system_up_time) == (
        judge.header.SystemTime, judge.header.SystemUpTime,
    )  # fmt: skip
    assert dump.header.number_processors == judge.header.NumberProcessors
    context = X64Context.parse(dump.context())
    assert context.rip == judge.context.Rip
    for register in X64_GENERAL:
        assert context.registers[register] == getattr(judge.context, register.capitalize()), register


@each
def test_both_readers_find_the_same_physical_memory(written: Give, name: str) -> None:
    judge = kdmp_parser.KernelDumpParser(written(name))
    physical = open_dump(FileSource(written(name))).physical
    assert physical is not None
    numbers = list(physical.page_numbers())
    assert len(numbers) * 0x1000 > 30_000_000
    there = set(numbers)
    for number in numbers:
        if number % 7 == 0 or number - 1 not in there or number + 1 not in there:
            assert physical.page(number) == bytes(judge.read_physical_page(number << 12)), number
    absent = [number for number in random.Random(5).sample(range(numbers[-1] + 0x1000), 400) if number not in there]
    assert absent
    for number in absent:
        assert judge.read_physical_page(number << 12) is None
        with pytest.raises(ReadError, match="not in the dump"):
            physical.page(number)


@each
def test_the_report_tells_the_same_bug_check(written: Give, name: str) -> None:
    judge: Any = kdmp_parser.KernelDumpParser(written(name))
    report: Any = scan(str(written(name)))
    [crash] = report["facts"]["crashes"]
    assert int(crash["bugcheck"]["code_raw"], 16) == judge.header.BugCheckCode
    told = [int(parameter["value"], 16) for parameter in crash["bugcheck"]["parameters"]]
    assert told == list(judge.header.BugCheckCodeParameter)
    assert crash["dump"]["complete"] is True
