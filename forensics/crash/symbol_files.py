"""Names of functions from the analyst's own symbol files (`--symbols DIR`).

The folder has the layout of a symbol server, `name.pdb/GUIDage/name.pdb`, or holds PDBs loosely. Which PDB belongs to a
module is told by the image's debug directory, in the dump's memory or in the identical file; a PDB with another GUID or
age is another build's and never used. PDBs are parsed by symbolic (https://github.com/getsentry/symbolic), an optional
library: without it nothing here can be made. Names of exports need none of this (`forensics.crash.symbols`).
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from parsers.errors import InputNotFoundError, UnsupportedError
from parsers.pe_debug import CodeView

if TYPE_CHECKING:
    from symbolic.symcache import SymCache

__all__ = ["FoundName", "SymbolFolder", "SymbolSource"]

Status = Literal["same", "different", "missing", "unreadable"]

#: Symbol files that are kept open: those of one stack, and some more where many dumps are read.
_MAX_OPEN = 32
#: Characters of a name that are kept: names of C++ templates have no end.
_MAX_NAME = 512


class FoundName(NamedTuple):
    """The function at an address.

    Attributes:
        name: as the compiler wrote it in the source's language.
        rva: of its first byte.
        line: base name of the source file and line ("driver.cpp:42"), "" when the PDB does not tell it.
        inlined: functions that the compiler put into it at this place, the innermost first.

    """

    name: str
    rva: int
    line: str
    inlined: tuple[str, ...]


class SymbolSource(Protocol):
    """A place that holds symbol files."""

    def status(self, code: CodeView) -> Status:
        """Tell whether the very PDB of an image is there."""
        ...

    def name_at(self, code: CodeView, rva: int) -> FoundName | None:
        """Return the function at an RVA of an image; None when its PDB is not there or names none. Never raises."""
        ...


def _require_symbolic() -> None:
    """Raise UnsupportedError when the library that reads PDBs is not there."""
    try:
        import symbolic  # noqa: F401  # asked for, not used
    except ImportError:
        if sys.platform == "win32":
            raise UnsupportedError(
                "symbol files are not read on Windows: the library symbolic does not exist for it",
                hint="leave --symbols out, or run this on Linux or macOS; exports are named all the same",
            ) from None
        raise UnsupportedError(
            "symbol files are read by the optional library symbolic, which is not installed",
            hint='python -m pip install "stopcode[symbols]" (in a checkout: pip install -e ".[symbols]")',
        ) from None


class SymbolFolder:
    """The PDBs below a folder; each is opened when the first address asks for it.

    Raises:
        InputNotFoundError: there is no such folder.
        UnsupportedError: the library symbolic is not installed, or does not exist for this system.

    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputNotFoundError(f"{folder}: no such folder", hint="--symbols takes a folder with PDBs")
        _require_symbolic()
        self._folder = folder
        self._open: OrderedDict[tuple[str, str], tuple[Status, SymCache | None]] = OrderedDict()

    def status(self, code: CodeView) -> Status:
        """Tell whether the very PDB of an image is there."""
        return self._get(code)[0]

    def name_at(self, code: CodeView, rva: int) -> FoundName | None:
        """Return the function at an RVA of an image; None when its PDB is not there or names none. Never raises."""
        cache = self._get(code)[1]
        if cache is None:
            return None
        from symbolic.exceptions import SymbolicError

        try:
            found = cache.lookup(rva)
        except SymbolicError:
            return None
        if not found:
            return None
        # The innermost inlined function comes first, the one that has an address of its own last.
        outer = found[-1]
        if not outer.symbol or not 0 <= outer.sym_addr <= rva:
            return None
        path = (found[0].full_path or "").replace("\\", "/").rpartition("/")[2]
        line = f"{path}:{found[0].line}" if path and found[0].line else ""
        return FoundName(
            outer.symbol[:_MAX_NAME], outer.sym_addr, line, tuple(str(one.symbol)[:_MAX_NAME] for one in found[:-1])
        )

    def _get(self, code: CodeView) -> tuple[Status, SymCache | None]:
        key = (code.name.lower(), code.key)
        if key not in self._open:
            self._open[key] = self._find(code)
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def _find(self, code: CodeView) -> tuple[Status, SymCache | None]:
        """Open the PDB of an image."""
        status: Status = "missing"
        for path in self._paths(code):
            try:
                if not path.is_file():
                    continue
            except (OSError, ValueError):
                continue
            found = _load(path, code)
            if found[0] == "same":
                return found
            status = found[0] if status == "missing" else status
        return status, None

    def _paths(self, code: CodeView) -> list[Path]:
        """Return the places to look at; none for a name that would lead out of the folder."""
        name = code.name
        if not name or name in (".", "..") or len(name) > 255 or any(sign in name for sign in "/\\\0:"):
            return []
        keys = (code.key, code.key.lower(), f"{code.guid}{code.age:x}")
        served = [
            self._folder / spelled / key / spelled
            for spelled in dict.fromkeys((name, name.lower()))
            for key in dict.fromkeys(keys)
        ]
        return [*served, *(self._folder / spelled for spelled in dict.fromkeys((name, name.lower())))]


def _load(path: Path, code: CodeView) -> tuple[Status, SymCache | None]:
    """Open one file; "different" when it is not the PDB of this very image."""
    from symbolic.debuginfo import Archive
    from symbolic.exceptions import SymbolicError

    wanted = f"{code.guid.lower()}-{code.age:x}"
    status: Status = "unreadable"
    try:
        for one in Archive.open(str(path)).iter_objects():
            # An age of 0 is left out: the GUID's five groups stand alone then.
            parts = one.debug_id.split("-")
            if f"{''.join(parts[:5])}-{parts[5] if len(parts) > 5 else '0'}" == wanted:
                return "same", one.make_symcache()
            status = "different"
    except (SymbolicError, OSError, LookupError, ValueError):
        return status, None
    return status, None
