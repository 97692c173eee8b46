from __future__ import annotations

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.crash.scan import is_call_before

DECODER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def _ends_in_call(data: bytes) -> bool:
    """capstone's opinion: some suffix is exactly one near call (without legacy prefixes).

    It calls the far form (FF /3), which no compiler makes, by the same name.
    """
    for length in range(2, len(data) + 1):
        for found in DECODER.disasm(data[-length:], 0x1000, 1):
            if (
                found.size == length
                and found.mnemonic == "call"
                and (found.bytes[0] in (0xE8, 0xFF) or found.bytes[0] & 0xF0 == 0x40)
            ):
                code = bytes(found.bytes).lstrip(bytes(range(0x40, 0x50)))
                if code[0] == 0xE8 or (code[0] == 0xFF and code[1] >> 3 & 7 == 2):
                    return True
    return False


@given(st.binary(min_size=8, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_call_before_an_address_is_what_a_disassembler_calls_one(data: bytes) -> None:
    if data[-5] == 0xE8 or _ends_in_call(data):
        assert is_call_before(data) == (data[-5] == 0xE8 or _ends_in_call(data))
    else:
        assert not is_call_before(data)


@given(
    st.sampled_from([b"", b"\x41", b"\x48", b"\x49"]),
    st.integers(0, 7),
    st.integers(0, 3),
    st.binary(min_size=6, max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_every_form_of_an_indirect_call_is_seen(rex: bytes, rm: int, mod: int, rest: bytes) -> None:
    code = rex + bytes([0xFF, mod << 6 | 2 << 3 | rm]) + rest
    found = next(DECODER.disasm(code, 0x1000, 1), None)
    if found is None or found.mnemonic != "call":
        return
    data = (b"\x90" * 8 + bytes(found.bytes))[-8:]
    assert is_call_before(data)


@pytest.mark.parametrize(
    "code",
    [
        "e8fbffffff",
        "ff1500000000",
        "48ff1500000000",
        "ffd0",
        "41ffd3",
        "ff5010",
        "ff9000010000",
        "ff542420",
        "67e800000000",
    ],
)
def test_the_compilers_calls_are_seen(code: str) -> None:
    assert is_call_before((b"\x90" * 8 + bytes.fromhex(code))[-8:])


def test_a_jump_and_a_push_are_no_calls() -> None:
    assert not is_call_before(bytes.fromhex("9090e900000000" + "90"))
    assert not is_call_before(bytes.fromhex("909090909090ffe0"))
    assert not is_call_before(bytes.fromhex("909090909090fff0"))
