"""A worker that does what the name of its image says: fast, and as bad as a worker can be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from forensics.facts import empty_facts

_SCRIPT = """
import json, os, pathlib, signal, sys, time
request = json.loads(sys.stdin.buffer.readline())
path = pathlib.Path(request["path"])
here = pathlib.Path(__file__).parent
with open(here / "started", "a", errors="surrogateescape") as log:
    log.write(f"{os.getpid()} {path.name}\\n")
def say(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def fail(kind, message, code=""):
    say({"error": {"kind": kind, "code": code, "message": message, "hint": "h"}})
    sys.exit(0)
def act(verb):
    if verb == "killed": os.kill(os.getpid(), signal.SIGKILL)
    if verb == "segv": os.kill(os.getpid(), signal.SIGSEGV)
    if verb == "xcpu": os.kill(os.getpid(), signal.SIGXCPU)
    if verb == "late": time.sleep(600)
    if verb == "deaf": os.close(1); os.close(2); time.sleep(600)
    if verb == "garbage": print("hello"); sys.stdout.flush(); time.sleep(600)
    if verb == "list": say([1]); time.sleep(600)
    if verb == "half": sys.stdout.write('{"report": {'); sys.exit(0)
    if verb == "deep": sys.stdout.write("[" * 100000 + "\\n"); sys.stdout.flush(); time.sleep(600)
    if verb == "flood":
        while True: sys.stdout.write("x" * 65536)
    if verb == "noisy":
        for _ in range(200): sys.stderr.write("y" * 4096)
        sys.stderr.write("\\nthe last words\\n"); sys.exit(7)
    if verb == "silent": sys.exit(0)
    if verb == "unreadable": fail("open", "no Windows", "no-windows")
    if verb == "memory": fail("memory", "too much")
    if verb == "odd": say({"report": {"findings": [1], "facts": "none"}}); sys.exit(0)
    if verb == "bug": fail("bug", "KeyError: 'x'")
    if verb == "wait":
        while not (here / "go").exists(): time.sleep(0.01)
say({"step": "open"})
say({"step": "drivers"})
act(path.name.split(".")[0].split("-")[0])
report = json.loads((here / "report.json").read_text())
report["source"]["path"] = str(path)
parents = [line[7:] for line in path.read_text(errors="replace").splitlines() if line.startswith("parent ")]
report["source"]["parents"] = [{"path": name, "kind": "VHDX"} for name in parents]
report["facts"]["system"]["hostname"] = path.stem
say({"report": report})
"""


class FakeWorker:
    """The command, and what it did."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        script = folder / "worker.py"
        script.write_text(_SCRIPT)
        facts = empty_facts()
        facts["system"] = {"hostname": "", "product": "Windows Server 2019 Standard", "version": "10.0.17763.1757"}
        report = {
            "schema": "stopcode/report/1",
            "tool": {"name": "stopcode", "version": "0.1.0", "rules": 0},
            "source": {"kind": "VHDX", "size": 1},
            "verdict": {"state": "clear", "sentence": "Nothing.", "lines": []},
            "facts": facts,
            "findings": [],
            "unjudged": [],
            "diagnostics": [],
            "stats": {"bytes_read": 1, "requests": 1, "wall_s": 0.1, "cpu_s": 0.1},
        }
        (folder / "report.json").write_text(json.dumps(report))
        # No site packages: an interpreter that starts in no time.
        self.command = [sys.executable, "-I", "-S", str(script)]

    @property
    def started(self) -> list[str]:
        """The images that a worker was started for, in order."""
        return [line.split(" ", 1)[1] for line in self._log()]

    @property
    def pids(self) -> list[int]:
        return [int(line.split(" ", 1)[0]) for line in self._log()]

    def _log(self) -> list[str]:
        log = self.folder / "started"
        return log.read_text(errors="surrogateescape").splitlines() if log.exists() else []

    def forget(self) -> None:
        (self.folder / "started").unlink(missing_ok=True)

    def let_go(self) -> None:
        """Let the images that wait go on."""
        (self.folder / "go").touch()
