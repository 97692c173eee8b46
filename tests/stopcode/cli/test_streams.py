"""The real command as a child process: pipes, closed and full streams, start-up, and a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stopcode.machines import windows_folder

COMMAND = [sys.executable, "-m", "stopcode.cli.main"]
BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def run(*words: object, shell: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command; `shell` is put behind it ("| head -1")."""
    command = [*COMMAND, *map(str, words)]
    environment = {**BARE, **more}
    if shell:
        import shlex

        line = f"{shlex.join(command)} {shell}"
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, env=environment, timeout=120
        )
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_a_reader_that_closes_the_pipe_ends_the_run_quietly_with_141() -> None:
    done = run("explain", "-v", "DRIVER", shell="| head -1")
    assert (done.returncode, done.stderr) == (141, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line_and_3() -> None:
    done = run("explain", "0x7B", shell="> /dev/full")
    assert done.returncode == 3
    assert done.stderr == "stopcode: error: No space left on device\n"


def test_a_closed_stdout_is_one_line_and_3() -> None:
    done = run("explain", "0x7B", shell=">&-")
    assert (done.returncode, done.stderr) == (3, "stopcode: error: stdout is closed\n")


def test_a_closed_stderr_does_no_harm() -> None:
    done = run("explain", "0x7B", shell="2>&-")
    assert done.returncode == 0
    assert done.stdout.startswith("0x7B ")


def test_an_error_that_nobody_can_hear_keeps_its_exit_code(tmp_path: Path) -> None:
    done = run("explain", "nonsense", shell="2> >(exec true); code=$?; sleep 0; exit $code")
    assert done.returncode == 3
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*COMMAND, "explain", "nonsense"], stderr=write, stdout=subprocess.PIPE, env=BARE)
    os.close(write)
    assert process.returncode == 3


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for verb in ("scan", "dump"):
        done = run(verb, pipe)
        assert done.returncode == 3
        assert done.stderr.startswith("stopcode: error: ")


def test_a_c_locale_without_home_gets_ascii(tmp_path: Path) -> None:
    folder = windows_folder(tmp_path)
    done = run("scan", folder, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONCOERCECLOCALE="0", TERM="dumb")
    assert done.returncode == 1
    assert done.stdout.isascii()
    assert "EXPOSED !" in done.stdout
    assert "\\u" not in done.stdout.replace("\\updates", "")


def test_on_a_terminal_everything_fits_its_width_but_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A path that is wider than the terminal would be broken; how long the tests' own folder is must not matter.
    monkeypatch.chdir(tmp_path)
    folder = windows_folder(Path("machine"))
    text = _on_a_terminal(80, "scan", folder)
    plain = run("scan", folder).stdout
    commands = {line for line in plain.splitlines() if line.strip().startswith(("dism", "sfc", "powershell"))}
    import re

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text[text.index("SRV1 (") :])
    assert "\x1b[1" in text
    for line in shown.splitlines():
        assert len(line) <= 80 or line in commands
    assert commands <= set(shown.splitlines())
    assert " ".join(plain.split()) == " ".join(shown.split())


def _on_a_terminal(columns: int, *words: object) -> str:
    import fcntl
    import struct
    import termios

    try:
        parent, child = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine gives no pseudo-terminal: {error}")
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**BARE, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen([*COMMAND, *map(str, words)], stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    parts = []
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(parent)
    process.wait()
    return b"".join(parts).decode()


HEAVY = ("textual", "dissect", "yaml", "rich", "evtx", "pefile", "jsonschema", "cryptography")


def _imported(code: str, *words: object) -> set[str]:
    script = (
        "import sys\n"
        f"sys.argv = ['stopcode', *{[str(word) for word in words]!r}]\n"
        f"{code}\n"
        "sys.stderr.write('\\n'.join(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=BARE, check=True)
    return {name.split(".")[0] for name in done.stderr.split()}


def test_parsing_scan_imports_nothing_heavy() -> None:
    code = "from stopcode.cli.main import parser_of; parser_of('scan')[0].parse_args(['x', '-o', 'json'])"
    assert not _imported(code) & set(HEAVY)


@pytest.mark.realdata
@pytest.mark.parametrize("form", ["json", "table"])
def test_a_dump_on_a_pipe_imports_nothing_heavy(shared: Path, form: str) -> None:
    dump = shared / "data" / "dumps" / "triage_x64.dmp"
    code = "from stopcode.cli.main import main; assert main(sys.argv[1:]) == 0"
    assert not _imported(code, "dump", "-o", form, dump) & set(HEAVY)
