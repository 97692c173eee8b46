"""CI installs every program that a test asks for: a machine that has it by chance must not hide that."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Program -> the package of Debian, or of npm, that brings it.
PACKAGE = {
    "7zz": "7zip",
    "azurite-blob": "azurite",
    "bdeinfo": "libbde-utils",
    "blkid": "util-linux",  # essential: always there
    "dislocker-file": "dislocker",
    "hivexget": "libhivex-bin",
    "hivexml": "libhivex-bin",
    "ldmtool": "ldmtool",
    "llvm-mc": "llvm",
    "llvm-pdbutil": "llvm",
    "llvm-symbolizer": "llvm",
    "mkntfs": "ntfs-3g",
    "ntfs-3g.probe": "ntfs-3g",
    "ntfscat": "ntfs-3g",
    "ntfscp": "ntfs-3g",
    "ntfsfix": "ntfs-3g",
    "ntfsinfo": "ntfs-3g",
    "ntfsrecover": "ntfs-3g",
    "openssl": "openssl",
    "python3:pyvhdi": "python3-libvhdi",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "reglookup": "reglookup",
    "strace": "strace",
    "vhdiinfo": "libvhdi-utils",
    "vshadowinfo": "libvshadow-utils",
    "wimlib-imagex": "wimtools",
    "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
    "x86_64-w64-mingw32-windres": "binutils-mingw-w64-x86-64",
}
ESSENTIAL = {"util-linux"}


def test_every_peer_program_is_in_a_package_that_ci_installs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:npm_)?packages=\((.*?)\)", script, re.DOTALL | re.MULTILINE)
    assert len(lists) == 2
    installed = {name.partition("@")[0] for names in lists for name in names.split()} | ESSENTIAL
    asked = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for words in re.findall(r"mark\.peer\(([^)]*)\)", path.read_text(encoding="utf-8")):
            asked |= set(re.findall(r'"([^"]+)"', words))
    assert len(asked) > 10
    assert {program: PACKAGE.get(program) for program in asked if PACKAGE.get(program) not in installed} == {}
