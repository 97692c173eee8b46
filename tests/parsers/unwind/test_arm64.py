"""ARM64 unwind data: records against what llvm-mc makes of the same directives, packed words, hostile bytes."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.unwind import arm64_info
from parsers.unwind.arm64 import Arm64Registers, Arm64Step, unwind_arm64
from parsers.unwind.arm64_info import DOUBLE, FP, LR, Arm64Function, Op, read_function
from parsers.unwind.image import MappedImage

BASE, STACK = 0xFFFFF80100000000, 0xFFFFD00000000000


class Memory:
    """A stack whose words tell where they lie."""

    def __init__(self, words: dict[int, int] | None = None) -> None:
        self.words = words or {}

    def read(self, va: int, n: int) -> bytes:
        if not STACK <= va < STACK + 0x100000:
            raise ReadError("not the stack", address=va)
        return self.words.get(va, 0xA000000000000000 | (va - STACK)).to_bytes(n, "little")


class Image:
    """Sections of unwind data at RVA 0x1000."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read_rva(self, rva: int, n: int) -> bytes:
        part = self.data[rva - 0x1000 : rva - 0x1000 + n] if rva >= 0x1000 else b""
        if not part:
            raise ReadError("outside", address=rva)
        return part


def record(
    codes: bytes, *, length: int = 0x100, epilogs: list[tuple[int, int]] | None = None, single: int = -1
) -> bytes:
    codes += b"\xe4" * (-len(codes) % 4)
    scopes = epilogs or []
    head = length // 4 | (single >= 0) << 21 | (single if single >= 0 else len(scopes)) << 22 | len(codes) // 4 << 27
    return struct.pack("<I", head) + b"".join(struct.pack("<I", at // 4 | index << 22) for at, index in scopes) + codes


def function(data: bytes) -> Arm64Function:
    return read_function(Image(data), 0x4000, 0x1000)  # type: ignore[arg-type]


ASSEMBLER = """
.text
.globl f
.p2align 2
.seh_proc f
f:
  stp x29, x30, [sp, #-96]!
  .seh_save_fplr_x 96
  stp x19, x20, [sp, #16]
  .seh_save_regp x19, 16
  str x21, [sp, #32]
  .seh_save_reg x21, 32
  stp d8, d9, [sp, #48]
  .seh_save_fregp d8, 48
  str d10, [sp, #64]
  .seh_save_freg d10, 64
  add x29, sp, #0
  .seh_set_fp
  sub sp, sp, #4096
  .seh_stackalloc 4096
  .seh_endprologue
  nop
  .seh_startepilogue
  add sp, sp, #4096
  .seh_stackalloc 4096
  ldr d10, [sp, #64]
  .seh_save_freg d10, 64
  ldp x29, x30, [sp], #96
  .seh_save_fplr_x 96
  .seh_endepilogue
  ret
  .seh_endproc
"""


@pytest.mark.peer("llvm-mc")
def test_a_record_of_llvms_assembler_says_what_its_directives_say(tmp_path: Path) -> None:
    (tmp_path / "f.s").write_text(ASSEMBLER)
    subprocess.run(
        ["llvm-mc", "-triple=aarch64-pc-windows-msvc", "-filetype=obj", "-o", "f.obj", "f.s"], cwd=tmp_path, check=True
    )
    raw = (tmp_path / "f.obj").read_bytes()
    count = struct.unpack_from("<H", raw, 2)[0]
    sections = [struct.unpack_from("<8sIIII", raw, 20 + 40 * number) for number in range(count)]
    _name, _size, _rva, length, offset = next(section for section in sections if section[0].startswith(b".xdata"))
    found = function(raw[offset : offset + length])
    saves = [op for op in found.ops if op.kind == "save"]
    assert [(op.registers, op.offset, op.add) for op in saves] == [
        ((DOUBLE + 10,), 64, 0),
        ((DOUBLE + 8, DOUBLE + 9), 48, 0),
        ((21,), 32, 0),
        ((19, 20), 16, 0),
        ((FP, LR), 0, 96),
    ]
    assert [op.kind for op in found.ops] == ["alloc", "set_fp", "save", "save", "save", "save", "save", "end"]
    assert found.ops[0].add == 4096
    assert found.prolog == 7
    assert found.epilogs[0][0] == 8 * 4
    assert [op.kind for op in found.epilogs[0][1]] == ["alloc", "save", "save", "end"]


def test_pairs_that_go_on_from_a_save_follow_it_in_registers_and_places() -> None:
    # stp x19,x20,[sp,#-64]!; stp x21,x22; stp x23,x24; save_next twice, then save_r19r20_x 64.
    data = record(b"\xe6\xe6\x28\xe4")
    image = MappedImage(BASE, 0x10000, lambda rva, n: Image(data).read_rva(rva, n), Table())  # type: ignore[arg-type]
    regs = Arm64Registers(BASE + 0x4010, STACK, {LR: BASE + 0x1234})
    step = unwind_arm64(regs, image, Memory(), interrupted=True)
    assert {number: step.regs.known[number] & 0xFFFF for number in range(19, 25)} == {
        19: 0, 20: 8, 21: 16, 22: 24, 23: 32, 24: 40,
    }  # fmt: skip
    assert step.regs.sp == STACK + 64
    assert step.regs.pc == BASE + 0x1234


class Table:
    """One row, for the function at 0x4000 with its record at 0x1000."""

    def function_at(self, rva: int) -> object:
        from parsers.pe_pdata import RuntimeFunction

        return RuntimeFunction(0x4000, 0x8000, 0x1000) if 0x4000 <= rva < 0x8000 else None


def unwound(codes: bytes, offset: int, *, interrupted: bool = True, **options: object) -> Arm64Registers:
    data = record(codes, **options)  # type: ignore[arg-type]
    image = MappedImage(BASE, 0x10000, lambda rva, n: Image(data).read_rva(rva, n), Table())  # type: ignore[arg-type]
    known = {LR: BASE + 0x7777 & ~3, FP: STACK + 0x200}
    regs = Arm64Registers(BASE + 0x4000 + offset, STACK, known)
    return unwind_arm64(regs, image, Memory(), interrupted=interrupted).regs


def test_each_instruction_of_a_prolog_undoes_what_has_run() -> None:
    # stp x29,x30,[sp,#-32]! (83 = fplr_x 32); mov x29,sp (e1); sub sp,sp,#64 (04)
    codes = b"\x04\xe1\x83\xe4"
    assert [unwound(codes, offset).sp - STACK for offset in (0, 4)] == [0, 32]
    # From mov x29, sp on the frame register tells.
    assert unwound(codes, 8).sp == STACK + 0x220
    assert unwound(codes, 0x20).sp == STACK + 0x220
    assert unwound(codes, 0).pc == BASE + 0x7774


def test_each_instruction_of_an_epilog_undoes_what_has_not_run() -> None:
    # add sp,#64; ldp x29,x30,[sp],#32; ret
    codes = b"\x04\x83\xe4"
    for passed, expected in ((0, 96), (1, 32), (2, 0)):
        assert unwound(codes, 0xF4 + 4 * passed, single=0).sp - STACK == expected


def test_registers_given_back_early_leave_the_frame_as_it_was() -> None:
    # Seen in lxml's etree for ARM64: a part of a function that gives x19 to x22 back, with a "epilog" for that whose
    # codes have no end, and goes on with its frame. ldr lr,[sp,#32]; add sp,#48; ret | ldp x21; ldp x19; goes on
    codes = b"\xe5\xd2\xc4\x03\xe4\xc8\x82\xc8\x00\xe3\xe3\xe3"
    epilogs = [(0x0, 1), (0xC, 5), (0x38, 1)]
    words = {f"x{number}": 0xA000000000000000 | place for number, place in ((19, 0), (20, 8), (21, 16), (22, 24))}
    for offset, kept in (
        (0xC, ("x19", "x20", "x21", "x22")),
        (0x10, ("x19", "x20")),
        (0x14, ()),
        (0x20, ()),
        (0x24, ()),
    ):
        regs = unwound(codes, offset, length=0x4C, epilogs=epilogs)
        assert (regs.sp - STACK, regs.pc) == (48, 0x20)  # the word at [sp,#32], without its upper bits
        assert {f"x{number}": value for number, value in regs.known.items() if 19 <= number <= 22} == {
            name: words[name] for name in kept
        }
    assert [unwound(codes, offset, length=0x4C, epilogs=epilogs).sp - STACK for offset in (0, 4, 8)] == [48, 48, 0]


def test_an_epilog_that_gives_all_back_needs_no_end_code() -> None:
    # Seen in the ARM64 build of cryptography: codes that fill their words have no end.
    # add sp,#16; ldr lr; ldp x19,x20,[sp],#32; ret
    codes = b"\x01\xd2\xc2\x24"
    assert [unwound(codes, 0xF0 + 4 * passed, single=0).sp - STACK for passed in range(4)] == [48, 32, 32, 0]


def test_a_return_address_behind_the_last_call_belongs_to_its_function() -> None:
    assert unwound(b"\x83\xe4", 0x100, interrupted=False).sp == STACK + 32
    with pytest.raises(FormatError, match="made a call"):
        unwound(b"\x83\xe4", 0x108, interrupted=False)
    assert unwound(b"\x83\xe4", 0x104).sp == STACK


def test_a_signed_return_address_loses_its_signature() -> None:
    data = record(b"\x83\xfc\xe4")
    image = MappedImage(BASE, 0x10000, lambda rva, n: Image(data).read_rva(rva, n), Table())  # type: ignore[arg-type]
    signed = BASE + 0x4444 & 0x007FFFFFFFFFFFFF | 0x5A << 56 | 1 << 55
    step = unwind_arm64(
        Arm64Registers(BASE + 0x4010, STACK, {}),
        image,
        Memory({STACK + 8: signed & ~(0x7F << 48) | 0x33 << 48}),
        interrupted=True,
    )
    assert step.regs.pc == BASE + 0x4444


def kernel_frame(codes: bytes, offset: int, frame: bytes, at: int = STACK) -> Arm64Step:
    """The caller of a function with these codes; on its stack lies a frame of the kernel's."""

    class Stack(Memory):
        def read(self, va: int, n: int) -> bytes:
            return frame[va - at : va - at + n] if at <= va < at + len(frame) else super().read(va, n)

    data = record(codes)
    image = MappedImage(BASE, 0x10000, lambda rva, n: Image(data).read_rva(rva, n), Table())  # type: ignore[arg-type]
    known = {number: number for number in range(31)}
    return unwind_arm64(Arm64Registers(BASE + 0x4000 + offset, STACK, known), image, Stack(), interrupted=False)


def test_a_trap_frame_gives_the_interrupted_registers() -> None:
    frame = struct.pack("<BxxxIQ", 1, 0, 0x1234).ljust(0x90, b"\0") + struct.pack("<IIQ", 0x60000004, 0, STACK + 0x1150)
    frame += struct.pack("<22Q", *range(0x100, 0x113), 0x30, 0x29, BASE + 0x7774)
    # sub sp, sp, #0x20, whose room the body gives back first; then the frame.
    step = kernel_frame(b"\x02\xe8\xe4", 0x20, frame, STACK + 0x20)
    assert (step.frame, step.trap, step.regs.pc, step.regs.sp) == ("trap", True, BASE + 0x7774, STACK + 0x1150)
    # x19 to x28 are those of the interrupted code still: no frame of the kernel's holds them.
    expected = {**{number: 0x100 + number for number in range(19)}, **{n: n for n in range(19, 29)}, FP: 0x29, LR: 0x30}
    assert step.regs.known == expected


def test_codes_of_the_kernel_s_frames_stand_for_no_instruction() -> None:
    frame = bytes(0x148) + struct.pack("<Q", BASE + 0x7774)
    # One instruction makes the prolog: at the function's first byte nothing but the frame is there, behind it the room.
    first = kernel_frame(b"\x02\xe8\xe4", 4, frame, STACK)
    second = kernel_frame(b"\x02\xe8\xe4", 8, frame, STACK + 0x20)
    assert first.regs.pc == second.regs.pc == BASE + 0x7774
    assert arm64_info.instructions(function(record(b"\x02\xe8\xe4")).ops) == 2


def test_a_machine_frame_gives_place_and_stack_alone() -> None:
    step = kernel_frame(b"\xe9\xe4", 0x20, struct.pack("<QQ", STACK + 0x3000, BASE + 0x7774))
    assert (step.frame, step.trap, step.regs.pc, step.regs.sp) == ("machine", True, BASE + 0x7774, STACK + 0x3000)
    assert step.regs.known == {number: number for number in range(18 + 1, 30)} | {18: 18}


@pytest.mark.parametrize("called", [False, True])
def test_a_context_record_gives_every_register(called: bool) -> None:
    words = [0x200 + number for number in range(31)]
    frame = struct.pack("<II", 0x400007 | called << 29, 0) + struct.pack("<31QQQ", *words, STACK + 0x500, BASE + 0x7774)
    step = kernel_frame(b"\xea\xe4", 0x20, frame.ljust(0x390, b"\0"))
    assert (step.frame, step.trap) == ("context", not called)
    assert (step.regs.pc, step.regs.sp) == (BASE + 0x7774, STACK + 0x500)
    assert step.regs.known == dict(enumerate(words))


def test_a_frame_of_the_kernel_s_that_is_not_in_the_dump_is_an_error() -> None:
    for code in (0xE8, 0xE9, 0xEA):
        with pytest.raises(StopcodeError):
            # Room that ends beside the stack, where nothing can be read.
            kernel_frame(b"\xe0\x01\x00\x00" + bytes([code, 0xE4]), 0x20, b"")


def test_a_frame_whose_layout_is_not_public_is_not_guessed_at() -> None:
    with pytest.raises(UnsupportedError):
        unwound(b"\xeb\xe4", 0x20)


def test_packed_words_are_the_prologs_that_they_stand_for() -> None:
    # The document's own example: Flag 1, FunctionLength 0x1C words, RegF 0, RegI 2, H 0, CR 3, FrameSize 3.
    word = 1 | 0x1C << 2 | 2 << 16 | 3 << 21 | 3 << 23
    found = read_function(Image(b""), 0x4000, word)  # type: ignore[arg-type]
    assert found.length == 0x70
    assert found.ops == (
        Op("set_fp"), Op("save", (FP, LR), 0, 32), Op("save", (19, 20), 0, 16), Op("end"),
    )  # fmt: skip
    assert found.prolog == 3
    assert found.epilogs == ((0x64, (Op("save", (FP, LR), 0, 32), Op("save", (19, 20), 0, 16), Op("end"))),)


#: sub sp, sp, #32; stp x19, x30, [sp]; bl push_cookie; sub sp, sp, #32; ...; add; bl pop_cookie; ldp; add; ret
CALLER = record(b"\x02\x01\xd6\x00\x02\xe4", epilogs=[(0x40, 0)])
#: sub sp, sp, #16; ...; ret: its end gives nothing back (MSVC's __security_push_cookie).
PUSH = record(b"\x01\xe4", length=24, single=1)


def caller_of(data: bytes, offset: int, *, interrupted: bool) -> Arm64Step:
    image = MappedImage(BASE, 0x10000, lambda rva, n: Image(data).read_rva(rva, n), Table())  # type: ignore[arg-type]
    regs = Arm64Registers(BASE + 0x4000 + offset, STACK, {LR: BASE + 0x5554, FP: STACK + 0x100})
    return unwind_arm64(regs, image, Memory(), interrupted=interrupted)


@pytest.mark.parametrize(("at", "taken"), [(0xC, 32), (0x48, 48)])
def test_a_call_inside_a_prolog_or_epilog_has_not_moved_the_stack_yet(at: int, taken: int) -> None:
    # The saved pair lies at the first word that is left once the rooms are given back.
    step = caller_of(CALLER, at, interrupted=False)
    assert step.regs.sp == STACK + taken
    assert caller_of(CALLER, at, interrupted=True).regs.sp == STACK + (48 if at == 0xC else 32)


@pytest.mark.parametrize(("at", "sp", "trap"), [(8, STACK + 16, False), (20, STACK, True)])
def test_a_function_that_leaves_room_to_its_caller_hands_it_back_at_its_end(at: int, sp: int, trap: bool) -> None:
    step = caller_of(PUSH, at, interrupted=True)
    assert (step.regs.sp, step.trap, step.regs.pc) == (sp, trap, BASE + 0x5554)


def test_more_codes_than_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm64_info, "MAX_ARM64_CODES", 4)
    assert len(function(record(b"\xe3" * 40)).ops) == 5


@pytest.mark.fuzz
@given(data=st.binary(min_size=4, max_size=80), offset=st.integers(0, 0x400), interrupted=st.booleans())
def test_any_record_gives_a_caller_or_an_error(data: bytes, offset: int, interrupted: bool) -> None:
    image = MappedImage(BASE, 0x10000, lambda rva, n: Image(data).read_rva(rva, n), Table())  # type: ignore[arg-type]
    regs = Arm64Registers(BASE + 0x4000 + offset * 4, STACK, {LR: BASE + 0x5554, FP: STACK + 0x100})
    try:
        step = unwind_arm64(regs, image, Memory(), interrupted=interrupted)
    except StopcodeError:
        return
    assert step.regs.sp >= STACK


@pytest.mark.fuzz
@given(word=st.integers(0, 0xFFFFFFFF))
def test_any_packed_word_gives_a_function_or_an_error(word: int) -> None:
    try:
        found = read_function(Image(bytes(16)), 0x4000, word | 1)  # type: ignore[arg-type]
    except StopcodeError:
        return
    assert found.prolog <= len(found.ops)
