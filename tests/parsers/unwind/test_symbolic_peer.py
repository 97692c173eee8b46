"""The x64 unwinder against symbolic's rules (STACK CFI) for whole files, applied to the same made-up frame.

In parts of functions (chained rows) symbolic counts saved registers from the frame before its chain's allocations are
added, so that some come to lie above the return address; there the stack pointer and return address are compared, and
the registers elsewhere (the emulator judges those: test_x64_execution.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from parsers.bytesource import BytesSource
from parsers.errors import StopcodeError
from parsers.pe import PeImage
from parsers.unwind.image import MappedImage
from parsers.unwind.unwind_info import read_unwind_info
from parsers.unwind.x64 import Registers, unwind_frame
from tests.parsers.fixture_files import fetched
from tests.parsers.unwind.program import NAMES

symbolic = pytest.importorskip("symbolic", reason="peer: symbolic is not installed")

pytestmark = pytest.mark.wheels
#: Where the made-up frame lies; each word of memory tells its own address.
SP = 0x7FFF_0000_0000
#: Every register points above the stack pointer, so that any of them can be a frame register.
X64 = {name: SP + 0x10_0000 + 0x1_0000 * number for number, name in enumerate(NAMES)} | {"rsp": SP}


class Memory:
    def read(self, va: int, n: int) -> bytes:
        return b"".join(word(va + at).to_bytes(8, "little") for at in range(0, n, 8))[:n]


def word(va: int) -> int:
    return va ^ 0x1100_0000_0000_0000


def rules(path: Path) -> list[tuple[int, int, dict[str, str]]]:
    """(RVA, size, register -> rule) of each function."""
    text = (
        symbolic.CfiCache.from_object(symbolic.Archive.open(str(path)).get_object(arch="x86_64")).open_stream().read()
    )
    found = []
    for line in text[text.index(b"STACK CFI INIT") :].decode().splitlines():
        if not line.startswith("STACK CFI INIT "):
            continue
        _stack, _cfi, _init, begin, size, *words = line.split()
        made: dict[str, list[str]] = {}
        for item in words:
            if item.endswith(":"):
                current = made.setdefault(item[:-1].lstrip("$"), [])
            else:
                current.append(item)
        found.append((int(begin, 16), int(size, 16), {name: " ".join(rule) for name, rule in made.items()}))
    return found


def value(rule: str, registers: dict[str, int]) -> int:
    """Work out a rule in reverse Polish notation: `^` reads memory."""
    stack: list[int] = []
    for item in rule.split():
        if item in ("+", "-"):
            right, left = stack.pop(), stack.pop()
            stack.append(left + right if item == "+" else left - right)
        elif item == "^":
            stack.append(word(stack.pop()))
        else:
            name = item.lstrip("$")
            stack.append(registers[name] if name in registers else int(item))
    return stack.pop()


def applied(rule: dict[str, str], registers: dict[str, int]) -> dict[str, int]:
    cfa = value(rule[".cfa"], registers)
    return {name: cfa if name == ".cfa" else value(text, registers | {".cfa": cfa}) for name, text in rule.items()}


@pytest.mark.parametrize(
    ("name", "least"),
    [("WinDivert64.sys", 60), ("msvcp140-a4", 1200), ("objectify.cp312-win_amd64", 1500), ("orjson", 200)],
)
def test_x64_callers_agree_with_symbolics_rules(name: str, least: int) -> None:
    path = fetched(name)
    image = MappedImage.from_pe(PeImage(BytesSource(path.read_bytes())), 0)
    wrong, compared, whole = [], 0, 0
    for begin, size, rule in rules(path):
        truth = applied(rule, X64)
        try:
            step = unwind_frame(Registers(begin + size, dict(X64)), image, Memory(), interrupted=False)
        except StopcodeError as error:
            wrong.append(f"{begin:#x}: {error}")
            continue
        ours = {".cfa": step.regs.rsp, ".ra": step.regs.rip}
        row = image.function_at(begin)
        assert row is not None
        if read_unwind_info(image, row.unwind).chained is None:
            ours |= {register: step.regs.gprs.get(register) for register in truth if register[0] != "."}
            whole += 1
        if ours != {name: truth[name] for name in ours}:
            wrong.append(f"{begin:#x}: {ours}, not {truth}")
        compared += 1
    assert wrong == []
    assert compared >= least
    assert whole > compared // 3
