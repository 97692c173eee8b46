"""Where the parent of a disk is looked for: in the folders that the user gave, whatever its child says of its path.

What a child says was written on another machine, perhaps by an attacker. The folders are the child's own and those of
`--parent`. The last part of a name counts in each of them; a relative path counts where it stays inside one of them,
also from the child's folder into one that was given. Nothing else is opened: no absolute path, no share, no URL, and
no folder below that is a link to elsewhere. A link that lies in such a folder under the parent's own name was put
there by the user.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from forensics.disk.opening import Layer, Opening, base_name, files_in, named_in
from parsers.bytesource import ImageFile
from parsers.errors import MissingParentError, ReadError, StopcodeError
from parsers.limits import MAX_PARENT_CANDIDATES

__all__ = ["MISSING", "Wanted", "called", "find_by_identity", "missing", "named", "others", "parent_of"]

#: Kind of a layer whose file is not there.
MISSING = "missing"

#: A drive, a share, a scheme of a URL or of qemu's own names: no relative path.
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z][A-Za-z0-9+.-]*:")


class Wanted(NamedTuple):
    """A parent that is looked for: what it is called, what it is known by, and how long its child's disk is."""

    name: str
    identity: str
    size: int


class _Lost:
    """The disk of a parent that is not there: a length, and an error wherever it is read."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._wanted.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Raise ReadError, but for what no disk of this length has."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        raise ReadError(f"this place is stored in the parent {self._wanted.name}, which is missing", address=offset)


def parent_of(child: Path, opening: Opening, find: Callable[[], Layer], wanted: Wanted) -> Layer:
    """Return the parent of a disk.

    Args:
        child: the file of the child.
        opening: the image; one that is opened without parents gets a disk where nothing can be read instead.
        find: opens the parent.
        wanted: what is known of it.

    Raises:
        MissingParentError: it is not there, and nobody said to go on without.

    """
    try:
        return find()
    except MissingParentError as error:
        if not opening.without_parents:
            raise
        opening.diagnostics.error("container.parent-missing", error.message, hint=error.hint, source=child.name)
        return Layer(_Lost(wanted), MISSING, Path(wanted.name), identity=wanted.identity)


def named(child: Path, names: Iterable[str], opening: Opening) -> Iterator[Path]:
    """Yield the files that a child's names for its parent may mean, the likeliest first, each once.

    Args:
        child: the file of the child.
        names: what it calls its parent, the most useful name first.
        opening: the image, with the folders that the user gave.

    """
    seen: list[Path] = [child]
    for found in _named(child, tuple(names), opening.options.parents):
        if not any(_same(found, other) for other in seen):
            seen.append(found)
            yield found


def _named(child: Path, names: Sequence[str], given: Sequence[Path]) -> Iterator[Path]:
    last = list(dict.fromkeys(filter(None, map(base_name, names))))
    for folders in ((child.parent,), given):
        for folder in folders:
            yield from filter(None, (named_in(folder, name) for name in last))
        if folders is not given:
            yield from filter(None, (_relative(child.parent, name, given) for name in names))


def _relative(folder: Path, name: str, given: Sequence[Path]) -> Path | None:
    """Return the file at a relative path from a child's folder, when that lies in the folder or in one given."""
    text = name.replace("\\", "/")
    if _ABSOLUTE.match(name) or "\0" in name or "/" not in text:
        return None
    here = Path(os.path.abspath(folder))  # noqa: PTH100 - "..", as the child's host meant it, not through links
    target = Path(os.path.normpath(here / text))
    for allowed in (here, *(Path(os.path.abspath(one)) for one in given)):  # noqa: PTH100 - as above
        if target.is_relative_to(allowed) and target != allowed:
            found = _below(allowed, target.relative_to(allowed).parts)
            if found is not None:
                return found
    return None


def _below(top: Path, parts: Sequence[str]) -> Path | None:
    """Return the file at a path below a folder, without regard to case and through no link to another place."""
    folder = top
    try:
        for part in parts[:-1]:
            exact = folder / part
            if not exact.is_dir():
                wanted = part.casefold()
                exact = next(entry for entry in sorted(folder.iterdir()) if entry.name.casefold() == wanted)
            folder = exact
        if not folder.resolve(strict=True).is_relative_to(top.resolve(strict=True)):
            return None
    except (OSError, RuntimeError, StopIteration):
        return None
    return named_in(folder, parts[-1])


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def others(child: Path, suffixes: Iterable[str], opening: Opening) -> Iterator[Path]:
    """Yield the disks in the folders that may be a renamed parent: of each folder only so many are looked at."""
    wanted = frozenset(suffixes)
    for folder in (child.parent, *opening.options.parents):
        tried = 0
        for entry in files_in(folder):
            if entry.suffix.lower() in wanted and not _same(entry, child):
                tried += 1
                if tried > MAX_PARENT_CANDIDATES:
                    break
                yield entry


def find_by_identity(
    child: Path,
    names: Sequence[str],
    is_parent: Callable[[ImageFile], bool],
    suffixes: Iterable[str],
    identity: str,
    opening: Opening,
) -> Path:
    """Return the parent's file: by the names that the child has for it, else among the disks of the same folders.

    Args:
        child: the file of the child.
        names: what it calls its parent.
        is_parent: tells by a file's content; may raise StopcodeError.
        suffixes: of disks among which a renamed parent is looked for; none where nothing but the name speaks for it.
        identity: what the parent is known by, for messages.
        opening: the image.

    Raises:
        MissingParentError: it is in none of the folders, or is another disk than the child was made from.

    """
    wrong: list[Path] = []
    for found in named(child, names, opening):
        if _matches(found, is_parent, opening):
            return found
        wrong.append(found)
    for candidate in others(child, suffixes, opening):
        if candidate not in wrong and _matches(candidate, is_parent, opening):
            opening.diagnostics.info(
                "container.parent-renamed",
                f"the parent was found by its identity under the name {candidate.name}",
                source=child.name,
            )
            return candidate
    name = called(names)
    if wrong:
        raise MissingParentError(
            f"{wrong[0].name} is not the disk that {child.name} was made from: its identity is not {identity}",
            hint=f"the parent was changed or replaced since; give the folder with the {name} of that time with "
            "--parent DIR, or use a merged disk",
        )
    raise missing(f"{child.name} is a differencing disk, and its parent {name} ({identity})", child, opening)


def called(names: Iterable[str]) -> str:
    """Return what a parent is called in messages."""
    return next(filter(None, map(base_name, names)), "without a name")


def missing(what: str, child: Path, opening: Opening, *, instead: str = "merge the chain on its host"
            ) -> MissingParentError:  # fmt: skip
    """Return the error for a parent that is in none of the folders.

    Args:
        what: the child, what it is, and the parent's name: "a.qcow2 has the backing file b.raw, which".
        child: the file of the child.
        opening: the image, with the folders that the user gave.
        instead: what else than finding the parent helps.

    """
    folders = " or ".join(str(folder) for folder in (child.parent, *opening.options.parents))
    return MissingParentError(
        f"{what} is not in {folders}", hint=f"name the folder that holds it with --parent DIR, or {instead}"
    )


def _matches(path: Path, is_parent: Callable[[ImageFile], bool], opening: Opening) -> bool:
    try:
        with opening.file(path) as source:
            return is_parent(source)
    except StopcodeError:
        return False
