"""Keys of BitLocker on the command line: from files, stdin, the environment and a person, and never from options."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.disk.keys import VolumeKeys
from parsers.errors import LockedVolumeError
from stopcode.cli.context import Context
from stopcode.cli.key_options import add_key_options, unlocking
from tests.stopcode.cli.run import Stopcode

Give = Callable[[str], Path]
PASSWORD = "235818-357951-253979-013365-241120-245575-342914-591910"
VARIABLES = ("STOPCODE_RECOVERY_PASSWORD", "STOPCODE_PASSPHRASE")


@pytest.fixture(autouse=True)
def no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.realdata
@pytest.mark.parametrize("way", ["file", "stdin", "variable", "passphrase file", "passphrase on stdin"])
def test_a_key_is_taken_from_a_file_from_stdin_and_from_a_variable(
    call: Stopcode, unpacked: Give, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    words: tuple[object, ...] = ()
    secret = "anaconda" if "passphrase" in way else PASSWORD
    option = "--passphrase-file" if "passphrase" in way else "--recovery-password-file"
    if way.endswith("file"):
        (tmp_path / "key.txt").write_text(f"{secret}\n", encoding="utf-8")
        words = (option, tmp_path / "key.txt")
    elif way.endswith("stdin"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{secret}\n".encode())))
        words = (option, "-")
    else:
        monkeypatch.setenv("STOPCODE_RECOVERY_PASSWORD", secret)
    done = call("disk", "-o", "json", unpacked("bitlocker/bitlk-aes-xts-128.img"), *words)
    (volume,) = done.document["volumes"]
    assert volume["encryption"]["opened_with"].startswith("passphrase" if "passphrase" in way else "recovery password")
    assert secret not in done.out + done.err


@pytest.mark.parametrize("option", ["--recovery-password", "--recovery-password-file", "--passphrase-file", "--bek"])
def test_a_key_as_the_value_of_an_option_is_wrong_usage_and_is_not_repeated(
    call: Stopcode, tmp_path: Path, option: str
) -> None:
    done = call("disk", tmp_path, option, PASSWORD)
    assert done.code == 2
    assert PASSWORD[:6] not in done.out + done.err


def asked(answer: str) -> tuple[list[VolumeKeys], list[str]]:
    """Return the keys that were tried at a locked volume, and what a person was asked."""
    parser = argparse.ArgumentParser()
    add_key_options(parser)
    tried: list[VolumeKeys] = []
    prompts: list[str] = []

    def run(keys: VolumeKeys) -> str:
        tried.append(keys)
        if not keys:
            raise LockedVolumeError("it is locked")
        return "opened"

    def person(prompt: str) -> str:
        prompts.append(prompt)
        return answer

    ctx = Context(out=io.StringIO(), err=io.StringIO(), environment={})
    assert unlocking(parser.parse_args([]), ctx, run, person) == "opened"
    return tried, prompts


def test_a_person_is_asked_for_a_key_once() -> None:
    tried, prompts = asked(PASSWORD)
    assert [password.digits for password in tried[1].recovery_passwords] == [PASSWORD]
    assert len(prompts) == 1
    tried, _ = asked("anaconda")
    assert tried[1].passphrases
    assert not tried[1].recovery_passwords


def test_who_gives_no_answer_leaves_the_volume_locked() -> None:
    with pytest.raises(LockedVolumeError):
        asked("")
