"""Whether a fault fits its instruction: crashes that an emulator really made, and the same ones told wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import capstone
import pefile
import pytest

from forensics.crash.fit_bits import is_canonical
from forensics.facts import CrashDict
from parsers.limits import MAX_SWEPT_CODE
from tests.forensics.crash.chain import BAD, Chain, run
from tests.forensics.crash.machines import DRIVER_BASE, NT, POOL, RSP, context_x64, crash_of, server2019

MINUS_ONE = (1 << 64) - 1

pytestmark = pytest.mark.peer("x86_64-w64-mingw32-gcc")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A driver that really wrote to BAD: mov dword ptr [rdx], 1."""
    return run(tmp_path_factory.mktemp("chain"), direct=True)


def exception(chain: Chain, context: bytes, rip: int, code: int, *information: int) -> CrashDict:
    """The crash told as 0x7E with this context and exception record."""
    record = struct.pack("<IIQQI4x", code, 0, 0, rip, len(information))
    record += b"".join(value.to_bytes(8, "little") for value in information)
    chain.machine.put(POOL + 0x4000, context)
    chain.machine.put(POOL + 0x5000, record.ljust(0x98, b"\0"))
    return crash_of(chain.machine, 0x7E, (code, rip, POOL + 0x5000, POOL + 0x4000))


def reported(chain: Chain, address: int, kind: int = 1) -> CrashDict:
    return exception(chain, chain.context, chain.rip, 0xC0000005, kind, address)


def test_a_fault_that_really_happened_fits(chain: Chain) -> None:
    crash = reported(chain, BAD)
    assert crash["fit"]["verdict"] == "fits"
    assert crash["fit"]["instruction"].startswith("mov dword ptr [rdx], 1")
    assert crash["fit"]["accesses"] == [{"operand": "[rdx]", "address": f"{BAD:#x}", "size": 4, "kinds": ["write"]}]
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")
    assert any(f"touches {BAD:#x}" in line for line in crash["culprit"]["because"])


@pytest.mark.parametrize("bit", [4, 21, 46])
def test_an_address_one_bit_beside_it_accuses_the_machine(chain: Chain, bit: int) -> None:
    crash = reported(chain, BAD ^ 1 << bit)
    culprit = crash["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("hardware", None, "medium")
    assert f"exactly one bit ({bit})" in culprit["because"][0]
    assert crash["flipped_bits"][0]["bit"] == bit


def test_another_address_accuses_the_machine_less_surely(chain: Chain) -> None:
    culprit = reported(chain, 0xFFFFA00112345678)["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("hardware", None, "low")
    assert "cannot have made that access" in culprit["because"][0]


def test_a_read_by_an_instruction_that_only_writes_accuses_the_machine(chain: Chain) -> None:
    culprit = reported(chain, BAD, kind=0)["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("hardware", None, "low")


def test_a_fetch_of_the_instruction_itself_fits(chain: Chain) -> None:
    assert reported(chain, chain.rip, kind=8)["fit"]["verdict"] == "fits"


def test_a_protection_fault_needs_an_address_that_is_none(chain: Chain) -> None:
    # The header page of the driver is mapped; its address with bit 50 wrong is not canonical.
    wrong = (DRIVER_BASE + 0x40) ^ 1 << 50
    assert not is_canonical(wrong)
    crash = exception(chain, context_x64(chain.rip, RSP, rdx=wrong), chain.rip, 0xC0000005, 0, MINUS_ONE)
    assert any("no canonical address" in line for line in crash["fit"]["agrees"])
    assert (crash["culprit"]["kind"], crash["culprit"]["confidence"]) == ("hardware", "medium")
    assert any("one bit (50) from vmstorfl.sys+0x40" in line for line in crash["culprit"]["because"])


def test_a_wild_pointer_that_no_single_bit_explains_stays_the_drivers(chain: Chain) -> None:
    wrong = 0x4141414141414141
    crash = exception(chain, context_x64(chain.rip, RSP, rdx=wrong), chain.rip, 0xC0000005, 0, MINUS_ONE)
    assert crash["fit"]["verdict"] == "fits"
    assert crash["culprit"]["module"] == "vmstorfl.sys"


def test_a_protection_fault_at_a_canonical_address_is_only_doubted(chain: Chain) -> None:
    crash = exception(chain, context_x64(chain.rip, RSP, rdx=POOL), chain.rip, 0xC0000005, 1, MINUS_ONE)
    assert crash["fit"]["verdict"] == "open"
    assert "canonical" in crash["fit"]["doubts"][0]
    assert crash["culprit"]["module"] == "vmstorfl.sys"


def test_a_null_pointer_is_nobodys_flipped_bit(chain: Chain) -> None:
    crash = exception(chain, context_x64(chain.rip, RSP, rdx=0x40), chain.rip, 0xC0000005, 1, 0x40)
    assert crash["fit"]["verdict"] == "fits"
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")


def test_a_canonical_pointer_one_high_bit_from_memory_is_low(chain: Chain) -> None:
    wrong = (POOL + 0x4100) ^ 1 << 38
    crash = exception(chain, context_x64(chain.rip, RSP, rdx=wrong), chain.rip, 0xC0000005, 1, wrong)
    assert (crash["culprit"]["kind"], crash["culprit"]["confidence"]) == ("hardware", "low")
    assert crash["flipped_bits"][0]["bit"] == 38


@pytest.mark.parametrize("bit", [24, 28, 32])
def test_a_pointer_into_the_same_region_that_is_not_mapped_any_more_accuses_no_machine(chain: Chain, bit: int) -> None:
    stale = (POOL + 0x4100) ^ 1 << bit
    crash = exception(chain, context_x64(chain.rip, RSP, rdx=stale), chain.rip, 0xC0000005, 1, stale)
    assert (crash["culprit"]["kind"], crash["culprit"]["module"]) == ("driver", "vmstorfl.sys")
    assert "flipped_bits" not in crash


def functions(path: Path) -> tuple[list[tuple[int, int]], bytes]:
    """(begin, end) of a file's rows and its mapped image, by pefile."""
    pe = pefile.PE(str(path))
    rows = [(entry.struct.BeginAddress, entry.struct.EndAddress) for entry in pe.DIRECTORY_ENTRY_EXCEPTION]
    return sorted(rows), pe.get_memory_mapped_image()


def test_an_instruction_pointer_in_the_middle_of_an_instruction_accuses_the_machine(chain: Chain) -> None:
    rows, image = functions(chain.files[DRIVER_BASE])
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    tried = 0
    for begin, end in rows:
        boundaries = {one.address for one in decoder.disasm(image[begin:end], begin)}
        for rva in range(begin, end):
            crash = exception(chain, context_x64(DRIVER_BASE + rva, RSP), DRIVER_BASE + rva, 0xC000001D)
            said = [text for text in crash["fit"]["misfits"] if "in the middle of an instruction" in text]
            assert bool(said) == (rva not in boundaries)
            tried += 1
    assert tried > 50


def test_an_instruction_pointer_in_padding_accuses_the_machine(chain: Chain) -> None:
    rows, image = functions(chain.files[DRIVER_BASE])
    ends = {end for _begin, end in rows}
    place = next(end for end in sorted(ends) if end % 16 and end not in {begin for begin, _end in rows})
    room = 16 - place % 16
    chain.machine.put(DRIVER_BASE + place, b"\xcc" * room)
    try:
        crash = exception(chain, context_x64(DRIVER_BASE + place, RSP), DRIVER_BASE + place, 0x80000003)
        single = exception(chain, context_x64(DRIVER_BASE + rows[0][0], RSP), DRIVER_BASE + rows[0][0], 0x80000003)
    finally:
        chain.machine.put(DRIVER_BASE + place, image[place : place + room])
    assert any("padding between functions" in line for line in crash["fit"]["misfits"])
    assert crash["culprit"]["kind"] == "hardware"
    assert single["fit"]["misfits"] == []


def direct_call(path: Path) -> tuple[int, int]:
    """(RVA behind, RVA of the target) of a call from one function to the first byte of another."""
    rows, image = functions(path)
    begins = {begin for begin, _end in rows}
    for begin, end in rows:
        for at in range(begin, end - 5):
            target = at + 5 + struct.unpack_from("<i", image, at + 1)[0]
            if image[at] == 0xE8 and target in begins and target != begin:
                return at + 5, target
    raise AssertionError("no call")


@pytest.mark.parametrize("bit", [16, 30, 45])
def test_a_processor_that_went_one_bit_beside_the_calls_target_is_told(chain: Chain, bit: int) -> None:
    site, target = direct_call(chain.files[DRIVER_BASE])
    rip = DRIVER_BASE + target ^ 1 << bit
    chain.machine.put(RSP, struct.pack("<Q", DRIVER_BASE + site))
    crash = exception(chain, context_x64(rip, RSP), rip, 0xC0000005, 8, rip)
    assert (crash["culprit"]["kind"], crash["culprit"]["confidence"]) == ("hardware", "medium")
    assert f"one bit ({bit}) beside it" in crash["culprit"]["because"][0]


def test_a_leaf_that_has_moved_on_is_not_one_bit_beside_its_caller_s_target(chain: Chain) -> None:
    site, target = direct_call(chain.files[DRIVER_BASE])
    chain.machine.put(RSP, struct.pack("<Q", DRIVER_BASE + site))
    rip = DRIVER_BASE + target ^ 8
    crash = exception(chain, context_x64(rip, RSP), rip, 0xC0000005, 0, 0x10)
    assert not any("beside it" in text for text in crash["fit"]["misfits"])


def test_a_function_that_ends_in_a_jump_to_another_is_no_wrong_turn(chain: Chain) -> None:
    rows, _image = functions(chain.files[NT])
    begin = NT + rows[0][0]
    target = begin ^ 1 << 13
    # A call to `target`, which may jump to the function that begins at `begin`.
    site = NT + 0x6000
    chain.machine.put(site - 5, b"\xe8" + struct.pack("<i", target - site))
    chain.machine.put(RSP, struct.pack("<Q", site))
    crash = exception(chain, context_x64(begin, RSP), begin, 0xC0000005, 0, 0x10)
    assert not any("beside it" in text for text in crash["fit"]["misfits"])


def test_a_division_by_zero_needs_a_zero(chain: Chain) -> None:
    rows, image = functions(chain.files[DRIVER_BASE])
    place = DRIVER_BASE + rows[0][0]
    chain.machine.put(place, bytes.fromhex("f7f1"))
    right = exception(chain, context_x64(place, RSP, rcx=0), place, 0xC0000094)
    wrong = exception(chain, context_x64(place, RSP, rcx=7), place, 0xC0000094)
    chain.machine.put(place, image[rows[0][0] : rows[0][0] + 2])
    assert right["fit"]["verdict"] == "fits"
    assert right["culprit"]["module"] == "vmstorfl.sys"
    assert (wrong["culprit"]["kind"], wrong["culprit"]["module"]) == ("hardware", None)


def test_a_page_table_entry_with_one_bit_set_is_told(chain: Chain) -> None:
    chain.machine.set_entry(BAD & ~0xFFF, 1 << 37)
    try:
        crash = reported(chain, BAD)
    finally:
        chain.machine.set_entry(BAD & ~0xFFF, 0)
    assert (crash["culprit"]["kind"], crash["culprit"]["confidence"]) == ("hardware", "medium")
    assert "exactly one bit is set (37)" in crash["culprit"]["because"][0]


def test_an_address_that_the_page_tables_map_is_doubted(chain: Chain) -> None:
    context = context_x64(chain.rip, RSP, rdx=POOL + 0x4100)
    crash = exception(chain, context, chain.rip, 0xC0000005, 1, POOL + 0x4100)
    assert any("map" in line and "written" in line for line in crash["fit"]["doubts"])
    assert crash["culprit"]["module"] == "vmstorfl.sys"


def test_a_paged_out_page_explains_the_fault(chain: Chain) -> None:
    chain.machine.set_entry(BAD & ~0xFFF, 0x1234 << 32 | 0x84)
    try:
        crash = crash_of(chain.machine, 0xD1, (BAD, 2, 1, chain.rip))
        crash = reported(chain, BAD)
    finally:
        chain.machine.set_entry(BAD & ~0xFFF, 0)
    assert any("paged out" in line for line in crash["fit"]["agrees"])


def test_a_function_larger_than_the_limit_is_not_swept() -> None:
    machine = server2019()
    machine.put(NT + 0x2000, struct.pack("<III", 0x10000, 0x10000 + MAX_SWEPT_CODE + 0x1000, 0x3000))
    machine.put(NT + 0x10000, b"\x48\xc7\xc0\x01\x00\x00\x00" * (MAX_SWEPT_CODE // 7 + 40))
    machine.put(0xFFFFC08BDC0011F0 + 0x10, struct.pack("<QI", NT + 0x2000, 12))
    for offset, expected in ((7 * 100 + 3, True), (MAX_SWEPT_CODE // 7 * 7 + 7 * 20 + 3, False)):
        rip = NT + 0x10000 + offset
        machine.put(POOL, context_x64(rip, RSP))
        crash = crash_of(machine, 0x3B, (0xC000001D, rip, POOL, 0))
        assert bool(crash["fit"]["misfits"]) is expected
