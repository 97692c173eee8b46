"""0x133 by the stacks that the kernel keeps while the watchdog's time runs out.

Written as the kernel writes them: a word with the count, the return addresses, a last word (0, or where the stack
began), the next place behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.facts import CrashDict
from parsers.limits import MAX_WATCHDOG_BYTES
from tests.forensics.crash.machines import DRIVER_BASE, NT, POOL, PRCB, RSP, WDF_BASE, Machine, crash_of, server2019

PROFILE = 0x61A8
BLOCK = NT + 0x7000
DRIVER = DRIVER_BASE + 0x1305
FRAMEWORK = WDF_BASE + 0x2005
KERNEL = NT + 0x5005


def kept(stacks: Sequence[Sequence[int]], *, at: int = POOL, links: bool = False) -> bytes:
    """The buffer as the kernel fills it; `links`: as later builds, whose stacks have numbers and end in a pointer."""
    made = b""
    for number, stack in enumerate(stacks):
        begin = at + len(made)
        made += struct.pack("<HHI", len(stack), number if links else 0, 7 if links else 0)
        made += struct.pack(f"<{len(stack)}Q", *stack) + struct.pack("<Q", begin if links else 0)
    return made


def block(offset: int = PROFILE, slots: int = 33280, signature: int = 0xAEBECEDE, revision: int = 1) -> bytes:
    return struct.pack("<IHHHxxI", signature, revision, 16, offset, slots)


def crash(data: bytes, *, kind: int = 1, triage: bytes | None = None, length: int | None = None) -> CrashDict:
    machine: Machine = server2019()
    for place in (DRIVER, FRAMEWORK, KERNEL):
        machine.put(place - 5, bytes.fromhex("e800000000"))
    machine.put(BLOCK, block() if triage is None else triage)
    machine.put(POOL, data.ljust(8, b"\0"))
    machine.put(PRCB + PROFILE, struct.pack("<QQ", POOL, POOL + (len(data) if length is None else length)))
    machine.put(RSP, bytes(8))
    return crash_of(machine, 0x133, (kind, 0x1E00, BLOCK, 0), build=17763)


@pytest.mark.parametrize("links", [False, True])
def test_the_driver_of_most_of_the_stacks_is_named(links: bool) -> None:
    stacks = [(KERNEL, FRAMEWORK, DRIVER, KERNEL), (FRAMEWORK, DRIVER), (DRIVER,), (KERNEL, KERNEL)]
    culprit = crash(kept(stacks, links=links))["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "medium")
    assert "of the 4 stacks" in culprit["because"][0]
    assert " 3 run through vmstorfl.sys+0x1305" in culprit["because"][0]


@pytest.mark.parametrize("stacks", [[(DRIVER,)], [(DRIVER,), (KERNEL,), (KERNEL,), (KERNEL, FRAMEWORK)]])
def test_a_driver_of_few_stacks_is_a_hint(stacks: list[tuple[int, ...]]) -> None:
    culprit = crash(kept(stacks))["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "low")


def test_one_call_that_took_too_long_is_told_by_its_own_stack_alone() -> None:
    assert crash(kept([(DRIVER,)] * 4), kind=0)["culprit"]["module"] is None


@pytest.mark.parametrize(
    "triage",
    [
        block(signature=0),
        block(revision=2),
        block(offset=PROFILE + 4),
        block(offset=0xFFF8),
        block(slots=4),
        b"\0" * 16,
    ],
)
def test_a_block_that_is_none_names_nobody(triage: bytes) -> None:
    culprit = crash(kept([(DRIVER,)] * 4), triage=triage)["culprit"]
    assert culprit["module"] is None
    assert any("not in the dump" in line for line in culprit["against"])


def test_a_stack_that_is_cut_and_what_follows_is_not_counted() -> None:
    whole = kept([(DRIVER,)])
    culprit = crash(whole + struct.pack("<QQQ", 0x33, DRIVER, 0) + whole * 3)["culprit"]
    assert "of the 1 stacks" in culprit["because"][0]


def test_stacks_that_are_longer_than_the_limit_are_not_read() -> None:
    culprit = crash(kept([(DRIVER,)] * 4), triage=block(slots=1 << 31), length=MAX_WATCHDOG_BYTES + 8)["culprit"]
    assert culprit["module"] is None
    full = crash(kept([(DRIVER,)] * 4), triage=block(slots=1 << 31), length=MAX_WATCHDOG_BYTES)["culprit"]
    assert full["module"] == "vmstorfl.sys"


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=200), st.binary(min_size=16, max_size=16))
def test_any_bytes_give_a_verdict(data: bytes, triage: bytes) -> None:
    for told in (triage, block()):
        assert "kind" in crash(data, triage=told)["culprit"]
