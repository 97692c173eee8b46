r"""Files that rules ask for: size, times, version and, for small ones, hash.

A pattern that matches nothing gives an item with `absent`, so that "looked for and not there" is another thing than
"not collected". What stands before the Windows folder in a pattern may be `%SystemRoot%`, `%windir%`,
`%SystemDrive%`, `%ProgramFiles%`, `%ProgramData%` or the letter of the Windows volume.
"""

from __future__ import annotations

import hashlib
import re

from forensics.collect.machine import Machine
from forensics.collect.pe_facts import read_pe
from forensics.collect.volume import FileEntry
from forensics.facts import Facts, FileFact, filetime_to_iso, path_of, source
from parsers.errors import StopcodeError
from parsers.limits import MAX_FILES_OF_GLOB, MAX_HASHED_FILE

__all__ = ["collect", "expand"]

_VARIABLE = re.compile(r"^%([^%\\]+)%")
_FOLDERS = {
    "systemdrive": "",
    "programfiles": r"\Program Files",
    "programfiles(x86)": r"\Program Files (x86)",
    "programdata": r"\ProgramData",
    "allusersprofile": r"\ProgramData",
}
_PE_ENDINGS = (".sys", ".dll", ".exe", ".efi", ".mui")
_FIRST_BYTES = 16


def expand(machine: Machine, pattern: str) -> str | None:
    """Return a pattern as a path on the Windows volume, or None when it is none."""
    text = pattern.replace("/", "\\")
    match = _VARIABLE.match(text)
    if match is not None:
        name = match.group(1).lower()
        folder = machine.root if name in ("systemroot", "windir") else _FOLDERS.get(name)
        return None if folder is None else folder + text[match.end() :]
    if text[1:3] == ":\\":
        at_root = machine.windows.resolve(f"{text[:2]}\\x")
        return None if at_root is None else text[2:]
    return text if text.startswith("\\") else None


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/files`, sorted by path."""
    found: list[FileFact] = []
    for pattern in sorted(machine.wants.files):
        item = path_of("files", pattern)
        path = expand(machine, pattern)
        if path is None or "**" in path:
            machine.gap(facts, item, "not collected: the pattern is no path on the Windows volume")
            continue
        damage: list[StopcodeError] = []
        try:
            matches = sorted(machine.windows.files.glob(path, damage), key=lambda stat: stat.path.lower())
        except StopcodeError as error:
            machine.gap(facts, item, f"the place cannot be read: {error.message}")
            continue
        if damage:
            machine.gap(facts, item, f"there may be more: {damage[0].message}")
        matches = [stat for stat in matches if not stat.is_dir]
        if not matches and not damage:
            found.append({"path": pattern, "glob": pattern, "absent": True, "source": source("file", path)})
        if len(matches) > MAX_FILES_OF_GLOB:
            machine.gap(facts, item, f"only the first {MAX_FILES_OF_GLOB} of {len(matches)} files were read")
        found += [_file(machine, facts, pattern, stat) for stat in matches[:MAX_FILES_OF_GLOB]]
    facts["files"] = sorted(found, key=lambda fact: (fact["path"].lower(), fact["glob"]))


def _file(machine: Machine, facts: Facts, pattern: str, stat: FileEntry) -> FileFact:
    fact: FileFact = {"path": stat.path, "glob": pattern, "size": stat.size, "source": source("file", stat.path)}
    modified = filetime_to_iso(stat.modified)
    if modified is not None:
        fact["modified"] = modified
    item = path_of("files", stat.path)
    try:
        opened = machine.windows.files.open(stat.path)
        fact["first_bytes"] = "0x" + opened.read_at(0, _FIRST_BYTES).hex()
        if opened.size <= MAX_HASHED_FILE:
            fact["sha256"] = hashlib.sha256(opened.read_at(0, opened.size)).hexdigest()
        else:
            machine.gap(facts, f"{item}/sha256", "not collected: the file is large")
    except StopcodeError as error:
        machine.gaps(facts, item, ("first_bytes", "sha256", "version"), error.message)
        return fact
    if stat.name.lower().endswith(_PE_ENDINGS):
        try:
            pe = read_pe(opened)
        except StopcodeError as error:
            machine.gap(facts, f"{item}/version", error.message)
            return fact
        if pe.problem:
            machine.gap(facts, f"{item}/version", pe.problem)
        elif pe.version is not None:
            fact["version"] = pe.version
    return fact
