"""The x64 unwinder on hand-made records: what must be told, what must end, what no real file holds."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import pe_layouts as layouts
from parsers.bytesource import BytesSource
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.pe import PeImage
from parsers.pe_pdata import RuntimeFunction
from parsers.unwind.image import MappedImage
from parsers.unwind.unwind_info import decode, read_unwind_info, record_size
from parsers.unwind.x64 import Registers, Step, unwind_frame
from tests.parsers.fixture_files import fetched

BASE = 0xFFFFF80100000000
STACK = 0xFFFFAA0000001000
INFO = 0x4000


class Image:
    """A module of 64 KiB in a dict: RVA -> bytes; NOPs where nothing is said, unless `code` is False."""

    base = BASE
    size = 0x10000

    def __init__(self, rows: list[tuple[int, int, int]], places: dict[int, bytes], *, code: bool = True) -> None:
        self.rows = [RuntimeFunction(*row) for row in rows]
        self.places = places
        self.code = code

    def read_rva(self, rva: int, n: int) -> bytes:
        if not 0 <= rva < self.size:
            raise ReadError("outside", address=rva)
        for start, data in self.places.items():
            if start <= rva < start + len(data):
                return data[rva - start :][:n]
        if self.code and rva < INFO:
            return b"\x90" * n
        raise ReadError("nothing there", address=rva)

    def function_at(self, rva: int) -> RuntimeFunction | None:
        return next((row for row in self.rows if row.begin <= rva < row.end), None)


class Stack:
    def __init__(self, words: list[int | None]) -> None:
        self.words = words

    def read(self, va: int, n: int) -> bytes:
        out = b""
        for at in range(va, va + n, 8):
            i = (at - STACK) // 8
            word = self.words[i] if 0 <= i < len(self.words) else None
            if word is None:
                raise ReadError("not in the dump", address=at)
            out += struct.pack("<Q", word)
        return out[:n]


def record(
    codes: bytes = b"", *, version: int = 1, flags: int = 0, prolog: int = 0, frame: int = 0, tail: bytes = b""
) -> bytes:
    return bytes([version | flags << 3, prolog, len(codes) // 2, frame]) + codes + bytes(len(codes) % 4) + tail


def step(image: Image, words: list[int | None], rva: int = 0x1010, *, interrupted: bool = True, **gprs: int) -> Step:
    return unwind_frame(Registers(BASE + rva, {"rsp": STACK, **gprs}), image, Stack(words), interrupted=interrupted)


def test_a_place_without_a_row_is_a_leaf_only_when_it_was_interrupted() -> None:
    image = Image([], {})
    found = step(image, [0x77], rbx=3, rax=4)
    assert (found.method, found.function_rva, found.regs.rip, found.regs.rsp) == ("leaf", None, 0x77, STACK + 8)
    assert found.regs.gprs["rbx"] == 3
    assert "rax" not in found.regs.gprs
    with pytest.raises(FormatError, match="made a call"):
        step(image, [0x77], interrupted=False)


def test_a_call_at_the_very_end_of_a_function_belongs_to_it() -> None:
    image = Image([(0x1000, 0x1010, INFO), (0x1010, 0x1020, INFO + 0x100)], {
        INFO: record(bytes([4, 0x42]), prolog=4), INFO + 0x100: record(),
    })  # fmt: skip
    found = step(image, [0, 0, 0, 0, 0, 0x55], interrupted=False)
    assert (found.function_rva, found.regs.rip) == (0x1000, 0x55)
    assert step(image, [0x66]).function_rva == 0x1010


def test_a_register_whose_copy_is_absent_is_unknown_and_the_frame_lives() -> None:
    image = Image([(0x1000, 0x1100, INFO)], {INFO: record(bytes([4, 0x34, 2, 0]), prolog=4)})
    found = step(image, [0x55], rbx=1, rbp=2)
    assert found.regs.rip == 0x55
    assert found.regs.gprs["rbp"] == 2
    assert "rbx" not in found.regs.gprs
    with pytest.raises(ReadError):
        found.regs.known(3)
    with pytest.raises(ReadError):
        step(image, [None])


def test_a_frame_register_that_is_unknown_is_told() -> None:
    image = Image([(0x1000, 0x1100, INFO)], {INFO: record(bytes([4, 3, 1, 0x50]), prolog=4, frame=0x25)})
    assert step(image, [0, 0, 0x55, 0x66], rbp=STACK + 0x28).regs.gprs["rbp"] == 0
    with pytest.raises(ReadError, match="rbp"):
        step(image, [0, 0, 0x55])


def test_an_indirect_row_is_followed_once() -> None:
    other = struct.pack("<III", 0x1000, 0x1100, INFO)
    image = Image([(0x1000, 0x1100, INFO + 0x101)], {INFO: record(bytes([4, 2]), prolog=4), INFO + 0x100: other})
    assert step(image, [0, 0x55]).regs.rip == 0x55
    image.places[INFO + 0x100] = struct.pack("<III", 0x1000, 0x1100, INFO + 0x101)
    with pytest.raises(FormatError, match="indirect"):
        step(image, [0, 0x55])


def test_a_chain_that_leads_to_itself_ends_with_an_error() -> None:
    chain = record(flags=4, tail=struct.pack("<III", 0x1000, 0x1100, INFO))
    with pytest.raises(FormatError, match="endless chain"):
        step(Image([(0x1000, 0x1100, INFO)], {INFO: chain}), [0x55])


def test_version_3_is_told_and_version_0_is_damage() -> None:
    for version, error in ((3, UnsupportedError), (0, FormatError), (7, FormatError)):
        with pytest.raises(error):
            step(Image([(0x1000, 0x1100, INFO)], {INFO: record(version=version)}), [0x55])


def test_codes_that_end_behind_the_array_or_do_not_exist_are_damage() -> None:
    for codes in (
        b"\x04\x01",
        b"\x04\x11\0\0",
        b"\x04\x05\0\0",
        b"\x04\x0b",
        b"\x04\x0f",
        b"\x04\x21\0\0",
        b"\x04\x2a",
    ):
        with pytest.raises(FormatError):
            decode(record(codes))
    with pytest.raises(FormatError):
        decode(record(b"\x04\x07", version=2))
    with pytest.raises(FormatError, match="frame register"):
        decode(record(b"\x04\x03"))


def test_a_stack_that_does_not_shrink_or_is_askew_is_damage() -> None:
    image = Image([(0x1000, 0x1100, INFO)], {INFO: record(bytes([4, 3]), prolog=4, frame=5)})
    with pytest.raises(FormatError, match="shrink"):
        unwind_frame(
            Registers(BASE + 0x1020, {"rsp": STACK + 16, "rbp": STACK}), image, Stack([1, 2, 3]), interrupted=True
        )
    with pytest.raises(FormatError, match="aligned"):
        unwind_frame(Registers(BASE + 0x1020, {"rsp": STACK, "rbp": STACK + 4}), image, Anywhere(), interrupted=True)


class Anywhere:
    def read(self, va: int, n: int) -> bytes:
        return bytes(n)


def test_without_code_bytes_the_innermost_frame_is_not_certain() -> None:
    places = {INFO: record(bytes([4, 2]), prolog=4)}
    assert step(Image([(0x1000, 0x1100, INFO)], places), [0, 0x55]).certain
    blind = Image([(0x1000, 0x1100, INFO)], places, code=False)
    found = step(blind, [0, 0x55])
    assert (found.method, found.certain) == ("unwind", False)
    assert step(blind, [0, 0x55], interrupted=False).certain


def test_a_row_with_a_handler_and_no_codes_is_not_certain() -> None:
    image = Image([(0x1000, 0x1100, INFO)], {INFO: record(flags=1, tail=bytes(4))})
    assert not step(image, [0x55]).certain
    assert step(image, [0x55], 0x1000).certain


EPILOGS = [
    # Code at the place, words of the stack, method; by the tables of the ABI and of measured compilers.
    (b"\xc3", 0, "epilog"),
    (b"\xf3\xc3", 0, "epilog"),
    (b"\xf2\xc3", 0, "epilog"),
    (b"\xc2\x08\x00", 0, "epilog"),
    (b"\x48\x83\xc4\x18\xc3", 3, "epilog"),
    (b"\x48\x81\xc4\x10\x00\x00\x00\x5b\x41\x5f\xc3", 4, "epilog"),
    (b"\x5b\x48\xff\xe0", 1, "epilog"),
    (b"\x5b\x49\xff\xa0\x10\x00\x00\x00", 1, "epilog"),
    (b"\xff\x25\x00\x00\x00\x00", 0, "epilog"),
    (b"\x48\x83\xc4\x10\x5d\xc5\xf8\x77\xc3", 3, "epilog"),  # vzeroupper before the return, as LLVM writes it
    (b"\xc5\xf8\x77\xc3", 0, "epilog"),
    (b"\xc5\xf8\x77\xc5\xf8\x28\x75\xf0\xc3", 2, "unwind"),
    (b"\x5b\xe9\x00\x20\x00\x00", 1, "epilog"),
    (b"\x5b\xeb\x02", 2, "unwind"),
    (b"\xff\xe0", 2, "unwind"),
    (b"\x41\xff\xe3", 2, "unwind"),
    (b"\xff\x24\xc5\x00\x00\x00\x00", 2, "unwind"),
    (b"\x48\x83\xc4\x18\x90\xc3", 2, "unwind"),
    (b"\x49\x8b\xe3\x5b\xc3", 2, "unwind"),
    (b"\x5b\xe9\xee\xff\xff\xff", 2, "unwind"),
]


@pytest.mark.parametrize(("code", "dropped", "method"), EPILOGS)
def test_epilogs_of_version_1_are_known_by_their_code(code: bytes, dropped: int, method: str) -> None:
    image = Image([(0x1000, 0x1100, INFO)], {0x1010: code + b"\xcc" * 64, INFO: record(bytes([4, 0x12]), prolog=4)})
    found = step(image, list(range(16)))
    assert (found.method, found.regs.rip, found.regs.rsp) == (method, dropped, STACK + dropped * 8 + 8)


def test_a_jump_to_another_part_of_the_same_function_is_no_epilog() -> None:
    parent = struct.pack("<III", 0x1000, 0x1100, INFO)
    places = {
        0x1010: b"\xe9\xeb\x0f\x00\x00" + b"\xcc" * 64,  # to 0x2000
        INFO: record(bytes([4, 0x12]), prolog=4),
        INFO + 0x100: record(flags=4, tail=parent),
        INFO + 0x200: record(bytes([4, 0x12]), prolog=4),
    }
    chained = Image([(0x1000, 0x1100, INFO), (0x2000, 0x2100, INFO + 0x100)], places)
    assert step(chained, list(range(8))).method == "unwind"
    other = Image([(0x1000, 0x1100, INFO), (0x2000, 0x2100, INFO + 0x200)], places)
    assert step(other, list(range(8))).method == "epilog"
    # GCC's cold parts: a row of their own, not chained, with the whole frame from the first byte on.
    cold = Image([*other.rows[:1], RuntimeFunction(0x2000, 0x2100, INFO + 0x300)], places)
    places[INFO + 0x300] = record(bytes([0, 0x12]), prolog=0)
    assert step(cold, list(range(8))).method == "unwind"


def test_a_jump_to_the_function_s_own_start_is_a_tail_call() -> None:
    parent = struct.pack("<III", 0x1000, 0x1100, INFO)
    places = {
        0x1010: b"\x5b\xe9\xea\xff\xff\xff" + b"\xcc" * 64,  # pop rbx; jmp 0x1000
        0x2010: b"\x5b\xe9\xea\xef\xff\xff" + b"\xcc" * 64,  # the same from a chained part
        INFO: record(bytes([4, 0x12]), prolog=4),
        INFO + 0x100: record(flags=4, tail=parent),
    }
    rows = [(0x1000, 0x1100, INFO), (0x2000, 0x2100, INFO + 0x100)]
    assert step(Image(rows, places), list(range(8))).method == "epilog"
    assert step(Image(rows, places), list(range(8)), 0x2010).method == "epilog"
    # A part that starts inside its frame (all its codes count from its first byte) is jumped back into: a loop.
    inside = {**places, INFO: record(bytes([0, 0x12]), prolog=0)}
    assert step(Image(rows, inside), list(range(8))).method == "unwind"


def test_described_epilogs_lie_where_version_2_says() -> None:
    # size 3, one at the very end and one 0x40 before it: pop rbx; pop rbp; ret
    codes = bytes([3, 0x16, 0x40, 0x06, 6, 0x32, 2, 0x30, 1, 0x50])
    rows = [(0x1000, 0x1100, INFO)]
    for code in (True, False):
        places = {INFO: record(codes, version=2, prolog=6)}
        if code:
            places[0x10FD] = b"\x5b\x5d\xc3" + b"\xcc" * 16
            places[0x10C0] = b"\x5b\x5d\xc3" + b"\xcc" * 16
        image = Image(rows, places, code=code)
        for start in (0x10FD, 0x10C0):
            for into in range(3):
                found = step(image, list(range(100, 116)), start + into)
                assert (found.method, found.regs.rip) == ("epilog", 102 - into)
        body = step(image, list(range(100, 116)), 0x10C3)
        assert (body.method, body.regs.rip, body.regs.gprs["rbx"]) == ("unwind", 106, 104)


@pytest.mark.wheels
@pytest.mark.parametrize("name", ["WinDivert64.sys", "_rust", "msvcp140"])
def test_decoded_records_agree_with_the_construct_layout(name: str) -> None:
    pe = PeImage(BytesSource(fetched(name).read_bytes()))
    image = MappedImage.from_pe(pe, BASE)
    for row in list(pe.pdata)[:400]:
        info = read_unwind_info(image, row.unwind)
        raw = pe.read_rva(row.unwind, record_size(pe.read_rva(row.unwind, 4)))
        layout = layouts.UNWIND_INFO.parse(raw)
        assert (info.version, info.flags) == (layout.header.Version, layout.header.Flags)
        assert (info.prolog_size, info.frame_register) == (layout.SizeOfProlog, layout.frame.FrameRegister)
        assert info.frame_offset == layout.frame.FrameOffset * 16
        assert (info.chained is None) == (layout.chained is None)
        if info.chained is not None:
            assert info.chained.unwind == layout.chained.UnwindInfoAddress
        slots = list(layout.UnwindCode)
        while slots and slots[0].op.UnwindOp == 6 and info.version == 2:
            slots.pop(0)
        for code in info.codes:
            slot = slots.pop(0)
            assert (code.offset, code.info) == (slot.CodeOffset, slot.op.OpInfo)
            for _more in range({1: 1 + slot.op.OpInfo, 4: 1, 5: 2, 8: 1, 9: 2}.get(slot.op.UnwindOp, 0)):
                slots.pop(0)
        assert slots == []


def test_a_module_in_a_dump_gives_what_its_present_pages_hold() -> None:
    class OnePage:
        def read(self, va: int, n: int) -> bytes:
            if not (va >= BASE + 0x2000 and va + n <= BASE + 0x3000):
                raise ReadError("absent", address=va)
            return bytes((va + i - BASE) >> 4 & 0xFF for i in range(n))

    image = MappedImage.from_memory(OnePage(), BASE, 0x8000, table_rva=0x2000, table_size=0)
    assert len(image.read_rva(0x2FF0, 64)) == 16
    assert len(image.read_rva(0x2000, 64)) == 64
    for rva in (0x1000, 0x3000, 0x9000, -8):
        with pytest.raises(ReadError):
            image.read_rva(rva, 8)


@pytest.mark.fuzz
@given(st.binary(min_size=4, max_size=600), st.integers(0, 0x100), st.booleans(), st.binary(max_size=64))
def test_any_bytes_as_unwind_data_give_a_caller_or_an_error(
    data: bytes, offset: int, interrupted: bool, code: bytes
) -> None:
    image = Image([(0x1000, 0x1100, INFO)], {0x1000 + offset: code, INFO: data})
    gprs = {"rbp": STACK + 64, "rbx": STACK + 8, "rdi": 1}
    with contextlib.suppress(StopcodeError):
        found = step(image, list(range(64)), 0x1000 + offset, interrupted=interrupted, **gprs)
        assert found.trap or found.regs.rsp > STACK


@pytest.mark.fuzz
@given(
    st.integers(1, 2),
    st.integers(0, 7),
    st.integers(0, 0x40),
    st.integers(0, 255),
    st.lists(st.tuples(st.integers(0, 0x40), st.integers(0, 10), st.integers(0, 15)), max_size=20),
    st.integers(0, 0x50),
)
def test_records_of_known_operations_give_a_caller_or_an_error(
    version: int, flags: int, prolog: int, frame: int, codes: list[tuple[int, int, int]], offset: int
) -> None:
    raw = b"".join(bytes([place, op | info << 4]) for place, op, info in codes)
    parent = struct.pack("<III", 0x1000, 0x1100, INFO)
    image = Image(
        [(0x1000, 0x1100, INFO)],
        {INFO: record(raw, version=version, flags=flags, prolog=prolog, frame=frame, tail=parent)},
    )
    with contextlib.suppress(StopcodeError):
        step(image, list(range(64)), 0x1000 + offset, rbp=STACK)
