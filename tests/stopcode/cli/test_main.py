from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from stopcode.cli.exits import MEANINGS, Exit, combined
from stopcode.cli.main import VERBS, parser_of
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder

ROOT = Path(__file__).resolve().parents[3]


def test_no_words_print_the_overview_and_are_wrong_usage(call: Stopcode) -> None:
    done = call()
    assert done.code == Exit.USAGE
    assert "usage: stopcode VERB" in done.out


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_help_names_every_verb_and_every_exit_code(call: Stopcode, word: str) -> None:
    done = call(word)
    assert done.code == 0
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", done.out, re.MULTILINE)
    for code, meaning in MEANINGS.items():
        assert f"{code.value:<4} {meaning}" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_help_of_a_verb_may_be_asked_for_before_it(call: Stopcode) -> None:
    assert call("help", "dump").out == call("dump", "--help").out
    assert call("help", "nonsense").out == call("--help").out


@pytest.mark.parametrize("words", [("",), ("scan", ""), ("dump", "")])
def test_an_empty_path_is_not_the_folder_one_stands_in(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    windows_folder(tmp_path / "machine")
    monkeypatch.chdir(tmp_path / "machine")
    done = call(*words)
    assert done.code == Exit.UNREADABLE
    assert "the path is empty" in done.err


@pytest.mark.parametrize("words", [("-",), ("scan", "-"), ("dump", "-")])
def test_standard_input_is_refused_with_what_to_do(call: Stopcode, words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.code == Exit.UNREADABLE
    assert "standard input" in done.err
    assert "write it to a file" in done.err


def test_version_is_the_packages_version(call: Stopcode) -> None:
    from stopcode import __version__

    assert call("--version").out == f"stopcode {__version__}\n"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_each_verb_opens_with_a_sentence_and_two_examples_and_fits_80_columns(
    call: Stopcode, verb: str
) -> None:
    module = importlib.import_module(VERBS[verb][0])
    done = call(verb, "--help")
    assert done.code == 0
    assert done.out.split("\n\n")[0].replace("\n", " ") == module.SENTENCE
    assert len(module.EXAMPLES) >= 2
    assert done.out.index("examples:") < done.out.index("options:")
    for example in module.EXAMPLES:
        assert f"  {example}\n" in done.out
    assert "exit codes:" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_example_of_a_verb_is_a_command_line_that_it_takes(verb: str) -> None:
    parser, module = parser_of(verb)
    for example in module.EXAMPLES:
        assert example.startswith(f"stopcode {verb} ")
        command = re.split(r"\s{2,}", example)[0]  # a remark may stand behind it
        parser.parse_args(command.split()[2:])


def test_an_unknown_verb_is_wrong_usage_and_suggests_the_nearest(call: Stopcode) -> None:
    done = call("scna", "disk.vhdx")
    assert done.code == Exit.USAGE
    assert done.err == "stopcode: error: no such verb or file: scna\nstopcode: hint: did you mean: stopcode scan\n"


def test_a_bare_path_means_scan(call: Stopcode, tmp_path: Path) -> None:
    empty = tmp_path / "empty.vhdx"
    empty.touch()
    done = call(empty)
    assert done.code == Exit.UNREADABLE
    assert "empty" in done.err
    assert call("missing/disk.vhd").code == Exit.UNREADABLE


def test_a_file_whose_name_is_a_verb_is_reached_behind_two_dashes(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dump").touch()
    done = call("--", "dump")
    assert done.code == Exit.UNREADABLE
    assert "dump is empty" in done.err


@pytest.mark.parametrize(
    "words", [("scan",), ("scan", "--no-such", "x"), ("dump", "-o", "yaml", "x"), ("explain",), ("schema", "nothing")]
)
def test_wrong_usage_is_one_line_and_a_hint(call: Stopcode, words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.code == Exit.USAGE
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0].startswith("stopcode: error: ")
    assert lines[1] == f"stopcode: hint: stopcode {words[0]} --help"


@pytest.mark.parametrize(
    ("codes", "together"),
    [
        ((0, 0), 0),
        ((0, 1), 1),
        ((1, 3), 1),
        ((3, 3), 3),
        ((0, 3), 4),
        ((0, 4), 4),
        ((4, 3), 4),
        ((1, 130), 130),
        ((1, 70), 70),
        ((), 0),
    ],
)
def test_several_inputs_give_one_code(codes: tuple[int, ...], together: int) -> None:
    assert combined(codes) == together


def test_a_bug_is_one_line_names_its_log_and_ends_with_70(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stopcode.cli.explain

    def fail(*_words: object) -> int:
        raise ZeroDivisionError("by \x1b[31mzero\nand more")

    monkeypatch.setattr(stopcode.cli.explain, "run", fail)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = call("explain", "0x7B")
    assert done.code == Exit.BUG
    log = tmp_path / "stopcode" / "last-error.log"
    assert done.err.count("\n") == 1
    assert str(log) in done.err
    assert "\x1b" not in done.err
    assert "ZeroDivisionError" in log.read_text()


def test_a_bug_without_a_home_says_how_to_see_it(call: Stopcode, monkeypatch: pytest.MonkeyPatch) -> None:
    import stopcode.cli.explain

    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(stopcode.cli.explain, "run", lambda *_words: 1 // 0)
    done = call("explain", "0x7B")
    assert done.code == Exit.BUG
    assert "--traceback shows where" in done.err


def test_an_interruption_ends_with_130(call: Stopcode, monkeypatch: pytest.MonkeyPatch) -> None:
    import stopcode.cli.explain

    def interrupt(*_words: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(stopcode.cli.explain, "run", interrupt)
    done = call("explain", "0x7B")
    assert (done.code, done.err) == (Exit.INTERRUPTED, "stopcode: interrupted\n")
