"""The ARM64 unwinder against execution: real functions of MSVC's and LLVM's, run in an emulator, at every instruction.

`make bench BENCH_ARGS=unwind_truth` runs all functions of more files; this is a sample of it.
"""

from __future__ import annotations

import pytest

from tests.parsers.fixture_files import fetched
from tests.parsers.unwind.truth_arm64 import run_file

pytestmark = pytest.mark.wheels

FILES = [
    "_multiarray_umath.cp312-win_arm64",
    "_generator.cp312-win_arm64",
    "msvcp140-9cb625",
    "objectify.cp312-win_arm64",
]


@pytest.mark.parametrize("name", FILES)
def test_the_unwinder_gives_the_callers_that_the_emulator_has(name: str) -> None:
    result = run_file(fetched(name), functions=30, seed=11)
    assert result.points > 300
    assert result.counts["epilog"] > 5
    assert result.counts["packed"] > 10
    assert result.counts["record"] > 10
    assert result.mismatches == []


@pytest.mark.parametrize("name", ["objectify.cp312-win_arm64", "msvcp140-9cb625"])
def test_a_helper_that_hands_back_another_stack_pointer_and_its_callers_are_unwound(name: str) -> None:
    # MSVC's __security_push_cookie and __security_pop_cookie: called inside prologs and epilogs.
    result = run_file(fetched(name), functions=200, seed=11)
    assert result.after_return > 2
    assert result.outer > 300
    assert result.mismatches == []
