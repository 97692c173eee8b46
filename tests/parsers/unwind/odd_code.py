"""Whether code does what its unwind data says: tests of bytes alone, for the places where truth and unwinder differ.

The x64 ABI has a function tell in its unwind data of every move of Rsp in its prolog and of every register that it
saves, move Rsp nowhere else without a frame register, and write no kept register that it does not save (Microsoft:
"x64 prolog and epilog", "x64 exception handling"). Assembler written by hand breaks it, and no unwinder can know.
Each test reads the file's bytes with capstone and the harness's own rows; none asks the unwinder, and each excuses
only what it explains: an unsaved Rbx does not excuse a wrong return address.
"""

from __future__ import annotations

import re

import capstone

from tests.parsers.unwind.program import NAMES, Program, Row

KEPT = {"rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15", *(f"xmm{i}" for i in range(6, 16))}
_NARROW = {
    **{short: name for name in NAMES[:4] for short in (f"e{name[1:]}", name[1:], f"{name[1]}l", f"{name[1]}h")},
    **{short: name for name in NAMES[4:8] for short in (f"e{name[1:]}", name[1:], f"{name[1:]}l")},
    **{f"{name}{suffix}": name for name in NAMES[8:] for suffix in "dwb"},
    **{f"ymm{i}": f"xmm{i}" for i in range(16)},
}
_CAPSTONE = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
_CAPSTONE.detail = True
#: V8 has one record for its built-in functions: EHANDLER; push rbp; mov rbp, rsp (`V8UnwindData` in
#: v8: src/diagnostics/unwinding-info-win64.cc), "used for all builtin functions", also for those that do not begin
#: so (src/snapshot/embedded/platform-embedded-file-writer-win.cc), in what V8 calls its NonABICompliantCodeRange.
_V8_CODES = b"\x04\x03\x01\x50"
_V8_ROWS = 500

NO_ROW = "a subroutine without a row that moves Rsp or writes a kept register"
NO_ROW_CALLS = "a subroutine without a row that makes a call (the unwinder says that it has no data)"
HANDLER = "a row with a language handler and no codes (the unwinder calls its answer uncertain)"
V8 = "V8's built-in functions: one record for all of them, and no kept registers"
PROLOG = "the prolog is not the one that the unwind data tells of"
MOVES = "the body moves Rsp, with no frame register"
WRITES = "writes a kept register that neither its row nor a parent's saves"


def why(program: Program, row: Row | None, rva: int, called: int, what: str) -> str | None:
    """Return the reason for a wrong step out of the function at an RVA, or None.

    Args:
        program: the file.
        row: the row that covers the place, if any.
        rva: the place.
        called: where the call into that function went.
        what: the first that differs, of rip, rsp and the kept registers by name.

    """
    if row is None:
        same = program.gap_at(called) == program.gap_at(rva) and called <= rva
        start = called if same else int(program.gap_at(rva).partition(".")[0], 0)
        depth, written = _moves(program, start, rva)
        if depth or what in written:
            return NO_ROW
        return NO_ROW_CALLS if _is_call(program, start, rva) else None
    if is_v8(program, row):
        return V8
    if not row.count and row.flags & 1 and rva > row.begin:
        return HANDLER
    if not _prolog_fits(program, row):
        return PROLOG
    if not row.frame_register and _moves(program, row.begin + row.prolog, rva)[0]:
        return MOVES
    chain = program.chain(row)
    saved = {NAMES[info] for one in chain for _offset, op, info, _slots in one.walk() if op in (0, 4, 5)}
    saved |= {f"xmm{info}" for one in chain for _offset, op, info, _slots in one.walk() if op in (8, 9)}
    if what in KEPT - saved and what in _written(program.image[row.begin : row.end], row.begin):
        return WRITES
    return None


def is_v8(program: Program, row: Row) -> bool:
    """Whether a row has the record that V8 gives all of its built-in functions."""
    if row.codes != _V8_CODES or row.flags != 1 or row.prolog != 4:
        return False
    return sum(other.info == row.info for other in program.rows) > _V8_ROWS


def _writes(instruction: capstone.CsInsn) -> set[str]:
    """The kept registers that an instruction writes, by name or without naming them (cpuid writes Rbx)."""
    names = (instruction.reg_name(number) for number in instruction.regs_access()[1])
    return {_NARROW.get(name, name) for name in names} & KEPT


def _written(code: bytes, start: int) -> set[str]:
    """The kept registers that instructions write."""
    return {name for instruction in _CAPSTONE.disasm(code, start) for name in _writes(instruction)}


def _moves(program: Program, start: int, end: int) -> tuple[int, set[str]]:
    """(bytes that straight code has put on the stack, the kept registers that it has written)."""
    depth, written = 0, set()
    for instruction in _CAPSTONE.disasm(program.image[start:end], start):
        name = instruction.mnemonic
        target, _comma, value = instruction.op_str.partition(", ")
        if name == "ret":
            depth, written = 0, set()
        elif name in ("push", "pushfq"):
            depth += 8
        elif name in ("pop", "popfq"):
            depth -= 8
        elif target == "rsp":
            number = re.fullmatch(r"(?:\[rsp ([+-] 0x[0-9a-f]+|[+-] \d+)\]|(-?0x[0-9a-f]+|-?\d+))", value)
            if name in ("add", "sub", "lea") and number is not None:
                moved = int((number[1] or number[2]).replace(" ", ""), 0)
                depth += moved if name == "sub" else -moved
            else:
                depth += 1 << 16  # to where a register says
        written |= _writes(instruction)
    return depth, written


def _is_call(program: Program, start: int, rva: int) -> bool:
    """Whether straight code from `start` has a call whose last byte is at an RVA."""
    code = _CAPSTONE.disasm_lite(program.image[start : rva + 1], start)
    return any(at + size == rva + 1 and name == "call" for at, size, name, _operands in code)


def _prolog_fits(program: Program, row: Row) -> bool:
    """Whether each code of a row stands behind an instruction that does it, from the row's begin on."""
    seen: list[tuple[int, str, str]] = []
    code = program.image[row.begin : row.begin + row.prolog]
    for at, size, name, operands in _CAPSTONE.disasm_lite(code, row.begin):
        seen.append((at + size - row.begin, name, operands))
    for offset, op, info, _slots in row.walk():
        if op == 6 or not offset:  # an epilog of version 2; what a parent's or another part's prolog did
            continue
        ending = [(name, operands) for end, name, operands in seen if end == offset]
        before = [(name, operands) for end, name, operands in seen if end <= offset]
        if op == 0:
            fits = ending == [("push", NAMES[info])]
        elif op in (1, 2):
            fits = bool(ending) and (ending[0][0] == "push" or "rsp" in ending[0][1])
        elif op == 3:
            fits = (
                bool(ending) and ending[0][0] in ("lea", "mov") and ending[0][1].startswith(NAMES[row.frame_register])
            )
        elif op in (4, 5):
            fits = any(name == "mov" and operands.endswith(f", {NAMES[info]}") for name, operands in before)
        elif op in (8, 9):
            fits = any(operands.endswith(f", xmm{info}") for _name, operands in before)
        else:
            fits = True
        if not fits:
            return False
    return True
