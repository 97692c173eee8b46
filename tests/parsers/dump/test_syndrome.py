"""ESR_EL1: values as other systems print them in their oops messages, told in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.dump.syndrome import Syndrome


@pytest.mark.parametrize(
    ("value", "words", "kind"),
    [
        # Linux's own messages of these: "DABT (current EL)", "FSC = 0x04: level 0 translation fault", "WnR = 0" …
        (0x96000004, "data abort, translation fault at level 0, a read", "read"),
        (0x96000006, "data abort, translation fault at level 2, a read", "read"),
        (0x96000046, "data abort, translation fault at level 2, a write", "write"),
        (0x9600004F, "data abort, permission fault at level 3, a write", "write"),
        (0x86000004, "instruction abort, translation fault at level 0", "execute"),
        (0x8600000E, "instruction abort, permission fault at level 2", "execute"),
        (0x96000021, "data abort, alignment fault, a read", "read"),
        (0x96000010, "data abort, external abort, a read", "read"),
        (0x92000046, "data abort from user mode, translation fault at level 2, a write", "write"),
        # A cache instruction (CM) is reported as a write whatever it does.
        (0x96000144, "data abort, translation fault at level 0", None),
        (0x02000000, "unknown reason", None),
        (0x8A000000, "PC alignment fault", None),
        (0xF2000800, "BRK 0x800", None),
        (0xFE000000, "exception class 0x3f", None),
        (0x9600003F, "data abort, fault status 0x3f, a read", "read"),
    ],
)
def test_a_syndrome_is_told_in_words(value: int, words: str, kind: str | None) -> None:
    assert (Syndrome(value).words, Syndrome(value).kind) == (words, kind)


def test_parity_errors_are_the_memory_s_own_report() -> None:
    parity = {code for code in range(64) if Syndrome(0x96000000 | code).is_parity}
    # ESR_ELx_FSC_SECC, and ESR_ELx_FSC_SECC_TTW(-1) to (3), of Linux's arch/arm64/include/asm/esr.h.
    assert parity == {0x18, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F}
    assert not Syndrome(0xF2000018).is_parity


def test_an_external_abort_may_have_no_address() -> None:
    assert Syndrome(0x96000010).has_address
    assert not Syndrome(0x96000410).has_address
    assert not Syndrome(0xF2000000).has_address
    assert Syndrome(0x8A000000).has_address


def test_a_fast_fail_is_a_numbered_breakpoint() -> None:
    assert Syndrome(0xF200F003).breakpoint == 0xF003
    assert Syndrome(0x96000004).breakpoint is None
    assert Syndrome(0x92000004).from_user
    assert not Syndrome(0x96000004).from_user
    assert not Syndrome(0xFE000000).is_known


@given(st.integers(0, (1 << 32) - 1))
def test_any_value_has_words(value: int) -> None:
    assert Syndrome(value).words
