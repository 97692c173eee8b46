"""Run programs in turn and compare what they cost."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
BENCH_BIN = ROOT / ".venv-bench" / "bin"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one whole process cost: CPU seconds (user + system), peak memory in MB, exit code."""

    cpu: float
    memory: float
    exit_code: int


#: Starts a program and says what it cost. A process's peak memory begins with that of whoever forked it, so that a
#: benchmark with much in memory would be measured instead: this stands between them, and is as small as can be.
_LAUNCHER = """
import os, sys
null = os.open(os.devnull, os.O_RDWR)
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""  # noqa: E501  # one call


def run_once(command: Sequence[str | Path]) -> Cost:
    """Run a program with its output thrown away and ask the system what it cost (wait4)."""
    words = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, command)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, cwd=ROOT)
    cpu, memory, code = done.stdout.split()
    return Cost(float(cpu), int(memory) / 1024, int(code))


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians of one program over several runs."""

    cpu: float
    memory: float
    exit_code: int


def in_turn(commands: dict[str, Sequence[str | Path]], *, runs: int = 5) -> dict[str, Figure]:
    """Run programs A B A B … after one uncounted round, so that drift of the machine hits all alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            cost = run_once(command)
            if number:
                costs[name].append(cost)
    return {
        name: Figure(
            statistics.median(cost.cpu for cost in many),
            statistics.median(cost.memory for cost in many),
            many[-1].exit_code,
        )
        for name, many in costs.items()
    }


def show(title: str, figures: dict[str, Figure], *, peer: str, ours: str, at_most: float | None) -> bool:
    """Print one comparison; return whether the ratio keeps its bound."""
    print(f"\n{title}")
    for name, figure in figures.items():
        print(
            f"  {name:<44} cpu {figure.cpu * 1000:8.0f} ms   memory {figure.memory:6.0f} MB   exit {figure.exit_code}"
        )
    ratio = figures[ours].cpu / figures[peer].cpu
    bound = f" (to be at most {at_most:g})" if at_most is not None else ""
    kept = at_most is None or ratio <= at_most
    print(f"  ratio {ours} / {peer} = {ratio:.2f}{bound}{'' if kept else '   NOT KEPT'}")
    return kept
