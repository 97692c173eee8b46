"""The x64 unwinder against what an emulated processor really pushed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import unicorn
from unicorn import x86_const as ux

from parsers.bytesource import BytesSource
from parsers.errors import ReadError
from parsers.pe import PeImage
from parsers.unwind.image import MappedImage
from parsers.unwind.x64 import Registers, unwind_frame
from tests.parsers.fixture_files import compile_dll, fetched
from tests.parsers.unwind.emulator import IDS
from tests.parsers.unwind.program import NAMES, Program
from tests.parsers.unwind.truth import Result, run_file

#: Far places of OpSlots in `Result.ops`: ALLOC_LARGE is counted by its slots.
ALLOC_LARGE_TWO_SLOTS, ALLOC_LARGE_THREE_SLOTS = 201, 301

LARGE = """
#include <stddef.h>
#define OUT __declspec(dllexport) __attribute__((noinline))
OUT double touch(char *p, size_t n) { for (size_t i = 0; i < n; i += 977) p[i] = (char)(i + n); return p[n / 2] * 1.5; }
OUT double one_mib(int a, double b) {
  char x[1 << 20]; double c = touch(x, sizeof x) + b; return c * touch(x, 7000) + a; }
OUT double two_mib(int a, double b) { char x[2 << 20]; return touch(x, 5000) * b + touch(x + 9, 100) + a + x[3]; }
OUT double far_doubles(double a, double b, double c, double d) {
  char x[70000];
  double e = touch(x, 70000), f = touch(x, 60000) + a, g = touch(x, 50000) + b, h = touch(x, 40000) + c;
  return touch(x, 30000) + e * f + g * h + a * b + c * d;
}
OUT double dynamic(int a, double b) {
  char *x = __builtin_alloca((a & 0xfff) + 16);
  double c = touch(x, 16) + b;
  char *y = __builtin_alloca((a & 0xff) + 48);
  return c + touch(y, 40) + touch(x, (a & 0xfff) + 16);
}
OUT int many(int a, int b, int c, int d, int e, int f, int g, int h) {
  int v[8] = {a, b, c, d, e, f, g, h}, s = 0;
  for (int i = 0; i < 8; i++) s += v[i & 7] * (int)touch((char *)v, 8) + (i & 1 ? a * d : b * c) + e * f * g;
  return s;
}
OUT int depth(int n) { return (n & 7) ? depth((n & 7) - 1) + many(n, 1, 2, 3, 4, 5, 6, 7) : n; }
OUT int tail(int n, int m) { return (n & 15) > 3 ? depth(n) : many(m, n, m, n, 1, 2, 3, 4); }
"""

FAR = """
 .text
 .globl far_save
 .seh_proc far_save
far_save:
 sub $0x200008, %rsp
 .seh_stackalloc 0x200008
 mov %rbx, 0x100000(%rsp)
 .seh_savereg %rbx, 0x100000
 mov %r14, 0x100008(%rsp)
 .seh_savereg %r14, 0x100008
 movaps %xmm7, 0x180000(%rsp)
 .seh_savexmm %xmm7, 0x180000
 mov %rsi, 0x20(%rsp)
 .seh_savereg %rsi, 0x20
 .seh_endprologue
 mov $1, %rbx
 mov $2, %r14
 mov $3, %rsi
 xorps %xmm7, %xmm7
 call inner
 mov 0x100000(%rsp), %rbx
 mov 0x100008(%rsp), %r14
 movaps 0x180000(%rsp), %xmm7
 mov 0x20(%rsp), %rsi
 add $0x200008, %rsp
 ret
 .seh_endproc
 .globl inner
 .seh_proc inner
inner:
 push %r14
 .seh_pushreg %r14
 push %rbp
 .seh_pushreg %rbp
 sub $0x48, %rsp
 .seh_stackalloc 0x48
 lea 0x20(%rsp), %rbp
 .seh_setframe %rbp, 0x20
 movaps %xmm8, 0x30(%rsp)
 .seh_savexmm %xmm8, 0x30
 .seh_endprologue
 sub $0x80, %rsp
 xor %r14, %r14
 xorps %xmm8, %xmm8
 nop
 movaps 0x10(%rbp), %xmm8
 lea 0x28(%rbp), %rsp
 pop %rbp
 pop %r14
 ret
 .seh_endproc
"""

MACHINE = """
 .text
 .globl with_code
 .seh_proc with_code
with_code:
 .seh_pushframe code
 push %rbp
 .seh_pushreg %rbp
 push %r12
 .seh_pushreg %r12
 sub $0x150, %rsp
 .seh_stackalloc 0x150
 lea 0x80(%rsp), %rbp
 .seh_setframe %rbp, 0x80
 .seh_endprologue
 mov $7, %r12
 xor %eax, %eax
 lea 0xd0(%rbp), %rsp
 pop %r12
 pop %rbp
 add $8, %rsp
 iretq
 .seh_endproc
 .globl without_code
 .seh_proc without_code
without_code:
 .seh_pushframe
 push %rbx
 .seh_pushreg %rbx
 sub $0x28, %rsp
 .seh_stackalloc 0x28
 .seh_endprologue
 xor %ebx, %ebx
 nop
 add $0x28, %rsp
 pop %rbx
 iretq
 .seh_endproc
"""


def sound(result: Result) -> list[str]:
    """What is wrong and is not the fault of a subroutine without a row (MinGW's stack probe pushes and has none)."""
    return [f"{m.rva:#x} in {m.where}: {m.text}" for m in result.mismatches if not m.where.startswith("no row")]


@pytest.mark.wheels
@pytest.mark.parametrize("name", ["msvcp140", "objectify", "_multiarray_umath", "pywintypes312"])
def test_functions_of_real_binaries_unwind_to_what_was_pushed(name: str) -> None:
    result = run_file(fetched(name), functions=60, seed=7, max_points=3000)
    assert sound(result) == []
    assert result.points > 1500
    assert result.outer > 50
    assert result.counts["epilog"] > 30
    assert result.counts["prolog"] > 100


@pytest.mark.wheels
def test_a_driver_with_version_2_data_unwinds_to_what_was_pushed() -> None:
    result = run_file(fetched("WinDivert64.sys"), functions=200, seed=3)
    assert sound(result) == []
    assert result.counts["v2"] > 2000
    assert result.counts["epilog"] > 100
    assert result.counts["chained"] > 300


@pytest.mark.wheels
def test_version_2_epilogs_unwind_without_their_code() -> None:
    result = run_file(fetched("WinDivert64.sys"), functions=200, seed=3, hide_code=True)
    assert sound(result) == []
    assert result.counts["epilog"] > 100


@pytest.mark.wheels
def test_a_function_that_calls_itself_from_a_chained_part_is_unwound() -> None:
    # numpy 2.5.5: `add rsp, 20h; pop rbx; jmp <begin of the primary row>` at 0x127f11 in a row chained to 0x127ce0.
    path = fetched("_multiarray_umath")
    program = Program(path)
    image = MappedImage.from_pe(PeImage(BytesSource(path.read_bytes())), program.base)
    stack = struct.pack("<8Q", *range(0x100, 0x108))
    for rva, words in ((0x127F11, 5), (0x127F15, 1), (0x127F16, 0)):
        regs = Registers(program.base + rva, {"rsp": 0x1000, "rbx": 5})
        step = unwind_frame(regs, image, Memory({0x1000: stack}), interrupted=True)
        assert (step.method, step.regs.rip) == ("epilog", 0x100 + words)


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
@pytest.mark.parametrize("options", [("-O0",), ("-O1",), ("-O2",), ("-Os",), ("-O2", "-fno-omit-frame-pointer")])
def test_large_frames_dynamic_allocations_and_saved_doubles_unwind(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = compile_dll(tmp_path, "large", LARGE, "-fno-builtin", "-fno-ipa-cp", *options)
    result = run_file(path, functions=100)
    assert sound(result) == []
    assert result.ops[ALLOC_LARGE_THREE_SLOTS] > 20
    assert result.ops[3] > 10
    assert result.counts["epilog"] > 10


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_saves_far_from_the_stack_pointer_and_a_moved_stack_unwind(tmp_path: Path) -> None:
    result = run_file(compile_dll(tmp_path, "far", FAR, suffix=".s"), functions=10)
    assert sound(result) == []
    assert result.points >= 30
    assert result.ops[5] > 10
    assert result.ops[9] > 10
    assert result.counts["fp"] > 10


class Memory:
    def __init__(self, blocks: dict[int, bytes]) -> None:
        self.blocks = blocks

    def read(self, va: int, n: int) -> bytes:
        for start, data in self.blocks.items():
            if start <= va and va + n <= start + len(data):
                return data[va - start : va - start + n]
        raise ReadError("not there", address=va)


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
@pytest.mark.parametrize(("name", "error_code"), [("with_code", True), ("without_code", False)])
def test_machine_frames_unwind_to_the_interrupted_place_at_every_instruction(
    tmp_path: Path, name: str, error_code: bool
) -> None:
    path = compile_dll(tmp_path, "machine", MACHINE, "-Wl,--export-all-symbols", suffix=".s")
    pe = PeImage(BytesSource(path.read_bytes()))
    image = MappedImage.from_pe(pe, pe.image_base)
    begin = dict(pe.exports())[name]
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    uc.mem_map(pe.image_base & ~0xFFF, 0x100000)
    text = pe.sections[0]
    uc.mem_write(pe.image_base + text.rva, pe.read_rva(text.rva, text.virtual_size))
    uc.mem_map(0x10000, 0x10000)
    frame = struct.pack("<5Q", 0xFFFFF80012345678, 0x10, 0x246, 0xFFFFAA0011112220, 0x18)
    rsp = 0x1F000 - (8 if error_code else 0)
    uc.mem_write(0x1F000, frame)
    for i, register in enumerate(IDS):
        uc.reg_write(register, 0x1000 + i)
    uc.reg_write(ux.UC_X86_REG_RSP, rsp)
    saved = {name: 0x1000 + NAMES.index(name) for name in ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")}
    methods = []
    rip = pe.image_base + begin
    while True:
        regs = Registers(rip, dict(zip(NAMES, uc.reg_read_batch(IDS), strict=True)))
        memory = Memory({0x10000: bytes(uc.mem_read(0x10000, 0x10000))})
        step = unwind_frame(regs, image, memory, interrupted=True)
        assert (step.regs.rip, step.regs.rsp, step.trap) == (0xFFFFF80012345678, 0xFFFFAA0011112220, True)
        assert {name: step.regs.gprs[name] for name in saved} == saved
        methods.append(step.method)
        if bytes(uc.mem_read(rip, 2)) == b"\x48\xcf":
            break
        uc.emu_start(rip, 0, count=1)
        rip = uc.reg_read(ux.UC_X86_REG_RIP)
    assert len(methods) >= 7
    assert set(methods) == {"machine-frame"}
