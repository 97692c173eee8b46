"""The kernel's block where the header does not lead to a plain one: encoded as Windows does it, or elsewhere."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.dump import kdbg_search
from parsers.dump.kdbg_search import decode_block
from parsers.dump.open import Dump, open_dump
from tests.parsers.dump.builder import KDBG, MODULE_LIST, NT, Machine, bitmap_dump, context_x64, header64, server2019

MASK = (1 << 64) - 1


def encoded(plain: bytes, never: int, always: int, address: int) -> bytes:
    """The inverse of volatility's win8_kdbg.py."""
    out = []
    for (word,) in struct.iter_unpack("<Q", plain):
        value = int.from_bytes((word ^ always).to_bytes(8, "little"), "big") ^ (address | 0xFFFF000000000000)
        count = never & 0xFF & 63
        value = (value >> count | value << (64 - count)) & MASK if count else value
        out.append(value ^ never)
    return struct.pack(f"<{len(out)}Q", *out)


def block(machine: Machine) -> bytes:
    page = machine.physical(KDBG & ~0xFFF)
    assert page is not None
    whole = bytes(machine.page(page >> 12))
    at = KDBG % 0x1000
    second = machine.physical((KDBG + 0x1000) & ~0xFFF)
    return (whole + (bytes(machine.page(second >> 12)) if second is not None else b""))[at : at + 0x380]


def opened(machine: Machine, **options: int) -> Dump:
    # SizeOfImage of the kernel: the block of these machines lies far behind.
    machine.put(0xFFFFC08BDC0011F0 + 0x40, struct.pack("<I", 0x1000000))
    header = header64(6, cr3=machine.cr3, context=context_x64(NT + 0x1000, 0xFFFF850429892C00), **options)
    return open_dump(BytesSource(bitmap_dump(header, machine.pages)))


def codes(dump: Dump) -> set[str]:
    return {item.code for item in dump.diagnostics.items}


@pytest.mark.parametrize("never", [0x123456789ABCDEF0, 0xFFFFFFFFFFFFFF00, 0x7F, 0xC1])
def test_an_encoded_block_is_decoded_without_its_keys(never: int) -> None:
    machine = server2019()
    plain = block(machine)
    machine.put(KDBG, encoded(plain, never, 0x0F1E2D3C4B5A6978, NT + 0xC00000))
    dump = opened(machine)
    assert dump.kdbg is not None
    assert dump.kdbg.raw == plain
    assert len(dump.modules()) == 4
    assert dump.process_name() == "svchost.exe"
    assert "dump.kdbg-found" in codes(dump)


def test_a_block_that_the_header_does_not_name_is_searched_for_in_the_kernel() -> None:
    machine = server2019()
    for address in (0x4547415045474150, NT + 0x123000):
        dump = opened(machine, kdbg=address)
        assert dump.kdbg is not None
        assert dump.kdbg.address == KDBG
        assert "dump.kdbg-found" in codes(dump)


def test_a_tag_of_another_kernels_block_is_not_believed() -> None:
    machine = server2019()
    other = bytearray(block(machine))
    struct.pack_into("<Q", other, 0x18, NT + 0x1000)
    machine.put(KDBG, bytes(other))
    dump = opened(machine, kdbg=NT + 0x123000)
    assert dump.kdbg is None
    assert "dump.kdbg-damaged" in codes(dump)


def test_what_lies_behind_the_limit_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kdbg_search, "MAX_KDBG_SEARCH", 0x100000)
    assert opened(server2019(), kdbg=NT + 0x123000).kdbg is None


@pytest.mark.fuzz
@given(data=st.binary(max_size=0x60))
def test_random_bytes_are_no_encoded_block(data: bytes) -> None:
    assert decode_block(data, NT, MODULE_LIST) is None


@given(never=st.integers(0, MASK), always=st.integers(0, MASK), address=st.integers(0, MASK))
def test_any_keys_are_found_out(never: int, always: int, address: int) -> None:
    plain = bytearray(0x380)
    struct.pack_into("<4sIQ", plain, 0x10, b"KDBG", 0x380, NT)
    struct.pack_into("<Q", plain, 0x48, MODULE_LIST)
    assert decode_block(encoded(bytes(plain), never, always, address), NT, MODULE_LIST) == bytes(plain)
