r"""Which volume, and which folder on it, is the Windows that the disk boots.

Judged by content, never by a letter or a place: `\Windows` (or another folder of the root that begins like it) with
`System32\config\SYSTEM`, `System32\config\SOFTWARE` and `System32\ntoskrnl.exe`. Recovery environments,
`Windows.old` and the folders of an upgrade lie deeper or lack some of these.

The one that the disk's boot configuration starts is taken, where that is known. Else candidates are ranked by how many
of the three are there, whatever their state; then by the state of SYSTEM (it opens, or is damaged), then of SOFTWARE;
then by which control sets were changed last. A failed disk may lack any of the three or hold a zeroed hive, so the best
candidate is taken whatever it lacks, as long as it has one; what it lacks is told.
More than one are told too (`disk.many-windows`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forensics.disk.hives import open_quietly
from parsers.diagnostics import Diagnostics
from parsers.errors import NotCollectedError, StopcodeError, UnsupportedError

if TYPE_CHECKING:
    from forensics.collect.volume import FileTree

__all__ = ["Candidate", "best", "candidates"]

_ROOTS = ("windows", "winnt")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A folder that may be the Windows folder.

    Attributes:
        where: the volume, in words.
        root: the folder.
        files: the volume's files.
        system, software, kernel: how far each was found: 2 sound, 1 damaged (the kernel: there), 0 absent.
        changed: FILETIME of the last change of the control sets; 0 when it is not known.
        index: number of the volume.
        partial: whether these are collected files, of which nobody knows what there was beside them.

    """

    where: str
    root: str
    files: FileTree
    system: int
    software: int
    kernel: int
    changed: int
    index: int
    partial: bool = False

    @property
    def rank(self) -> tuple[int, int, int]:
        """How much of a Windows it is: how many of the three are there, then the state of the hives."""
        return sum(map(bool, (self.system, self.software, self.kernel))), self.system, self.software

    @property
    def lacks(self) -> list[str]:
        """What is not there or damaged, in words."""
        words = {0: "was not collected" if self.partial else "is not there", 1: "is damaged"}
        found = [
            f"the hive {name} {words[state]}"
            for name, state in (("SYSTEM", self.system), ("SOFTWARE", self.software))
            if state < 2
        ]
        # Collectors do not take the kernel.
        return found + ([] if self.kernel or self.partial else ["ntoskrnl.exe is not there"])


def candidates(files: FileTree, where: str, index: int) -> list[Candidate]:
    """Return the folders of a volume's root that may be a Windows folder.

    Raises:
        StopcodeError: the root folder cannot be read; or it, or a folder below one that may be Windows, is damaged,
            and what is left holds no Windows folder.

    """
    found = []
    damage: list[StopcodeError] = []
    listed = files.listdir("\\", damage)
    partial = any(isinstance(error, NotCollectedError) for error in damage)
    damage = [error for error in damage if not isinstance(error, NotCollectedError)]
    for entry in listed:
        if not entry.is_dir or not entry.name.lower().startswith(_ROOTS):
            continue
        config = f"{entry.path}\\System32\\config"
        system, changed = _hive(files, f"{config}\\SYSTEM", damage)
        software, _ = _hive(files, f"{config}\\SOFTWARE", damage)
        kernel = int(_is_there(files, f"{entry.path}\\System32\\ntoskrnl.exe", damage))
        if system or software or kernel:
            found.append(Candidate(where, entry.path, files, system, software, kernel, changed, index, partial))
    if damage and not found:
        raise damage[0]
    return found


def _is_there(files: FileTree, path: str, damage: list[StopcodeError]) -> bool:
    try:
        return files.stat(path) is not None
    except (UnsupportedError, NotCollectedError):
        # A link to elsewhere: no Windows folder of this volume.
        return False
    except StopcodeError as error:
        damage.append(error)
        return False


def _hive(files: FileTree, path: str, damage: list[StopcodeError]) -> tuple[int, int]:
    """Return how far a hive is there, and when its control sets were changed last."""
    if not _is_there(files, path, damage):
        return 0, 0
    changed = 0
    try:
        hive = open_quietly(files, path)
    except StopcodeError:
        return 1, 0
    try:
        for key in hive.root.subkeys():
            if key.name.lower().startswith("controlset"):
                control = key.subkey("Control")
                changed = max(changed, key.last_written, control.last_written if control is not None else 0)
    except StopcodeError:
        pass
    return 2, changed


def best(found: list[Candidate], diagnostics: Diagnostics, default: Candidate | None = None) -> Candidate | None:
    """Return the Windows to look at, or None when there is none; what is doubtful is told.

    Args:
        found: the candidates.
        diagnostics: told of what is doubtful.
        default: the one of them that the boot configuration starts, where that is known.

    """
    if not found:
        return None
    # Of equal ones the first: the order of the partitions decides last.
    chosen = default or max(found, key=lambda candidate: (candidate.rank, candidate.changed, -candidate.index))
    others = [candidate for candidate in found if candidate is not chosen]
    if others:
        told = "; ".join(f"{other.root} on {other.where}" for other in others)
        diagnostics.warning(
            "disk.many-windows",
            f"The disk holds more than one Windows: {chosen.root} on {chosen.where} was taken, not {told}",
            hint="taken is the one that the boot configuration starts by default"
            if default is not None
            else "taken is the one that is most complete, then the one whose registry was changed last",
        )
    if chosen.lacks:
        diagnostics.warning(
            "disk.windows-incomplete",
            f"The Windows folder {chosen.root} is not complete: {', '.join(chosen.lacks)}",
        )
    return chosen
