"""The lock: the digest of every built-in rule's meaning at its version, one file a family.

A rule whose meaning changed under the same version fails the check, so that nobody changes what a rule says of
machines without raising its version. Texts may change freely. Files are sorted, so that they merge.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

from signatures.model import Rule

__all__ = ["LOCK", "LockEntry", "check_lock", "read_lock", "update_lock"]

#: The folder of the lock files.
LOCK = Path(__file__).parent / "lock"


class LockEntry(TypedDict):
    """One rule as it was locked."""

    version: int
    digest: str
    status: str


@lru_cache(maxsize=32)
def _family(path: Path) -> dict[str, LockEntry]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: dict[str, LockEntry] = json.loads(text)
    return found


def read_lock(folder: Path = LOCK) -> dict[str, LockEntry]:
    """Return every locked rule by its id."""
    return {name: entry for path in sorted(folder.glob("*.json")) for name, entry in _family(path).items()}


def check_lock(rule: Rule, folder: Path = LOCK) -> str:
    """Return what is wrong with a rule against the lock, or ""; a rule that was never locked is new."""
    entry = _family(folder / f"{rule.family}.json").get(rule.id)
    if entry is None or entry["digest"] == rule.digest:
        return ""
    if rule.version > entry["version"]:
        return ""
    return f"the conditions changed since version {entry['version']} was locked"


def update_lock(rules: Iterable[Rule], folder: Path = LOCK) -> list[Path]:
    """Write the lock of built-in rules; entries of rules that are gone stay, since ids are never used again.

    Returns:
        The files that changed.

    """
    families: dict[str, dict[str, LockEntry]] = {}
    for path in sorted(folder.glob("*.json")):
        families[path.stem] = dict(json.loads(path.read_text(encoding="utf-8")))
    for rule in rules:
        entry: LockEntry = {"version": rule.version, "digest": rule.digest, "status": rule.status}
        families.setdefault(rule.family, {})[rule.id] = entry
    changed: list[Path] = []
    folder.mkdir(exist_ok=True)
    for family, entries in sorted(families.items()):
        path = folder / f"{family}.json"
        text = json.dumps(entries, indent=2, sort_keys=True) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    _family.cache_clear()
    return changed
