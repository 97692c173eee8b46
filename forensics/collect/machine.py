r"""What every collector works with: the Windows volume, its hives through `Select\Current`, and the gaps.

A hive that cannot be read is told once, as a diagnostic; each collector that needs it turns the same error into the
gaps of its own section.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forensics.collect.volume import RegistryHive, RegistryKey, RegistryValue, Windows
from forensics.facts import Facts, Source, Wants, source
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_CONTROL_SET, MAX_REGISTRY_TEXT

if TYPE_CHECKING:
    from forensics.crash.images import ImageFinder
    from forensics.crash.symbol_files import SymbolSource

__all__ = ["Found", "Machine", "clip"]


def clip(text: str, limit: int = MAX_REGISTRY_TEXT) -> str:
    """Return the text up to its first NUL, at most `limit` characters of it, without white space around."""
    return text.partition("\0")[0][:limit].strip()


@dataclass(frozen=True, slots=True)
class Found:
    """A registry value and where it stands.

    A value of another type than its reader expects is damage: Windows does not take a text for a number either.

    Attributes:
        value: the value.
        source: for the facts.

    """

    value: RegistryValue
    source: Source

    def text(self) -> str | None:
        """Return the data as text, None when it is empty; raises FormatError when it is no text."""
        data = self.value.decoded()
        if not isinstance(data, str):
            raise self.mistyped("a text")
        return clip(data) or None

    def number(self) -> int:
        """Return the data as a number; raises FormatError when it is none."""
        data = self.value.decoded()
        if not isinstance(data, int):
            raise self.mistyped("a number")
        return data

    def strings(self) -> list[str]:
        """Return the data as a list of texts without empty ones; a REG_SZ counts as a list of one.

        Raises:
            FormatError: it is neither a list of texts nor a text.

        """
        data = self.value.decoded()
        if isinstance(data, str):
            data = [data]
        if not isinstance(data, list):
            raise self.mistyped("a list of texts")
        return [text for text in (clip(item) for item in data) if text]

    def mistyped(self, wanted: str) -> FormatError:
        """Return the error that says that the value is of another type."""
        return FormatError(
            "regf", f"the value {self.value.name} is {self.value.type_name}, not {wanted}", offset=self.value.offset
        )

    def filetime(self) -> int:
        """Return the data as a FILETIME (8 bytes, or a REG_QWORD); 0 when it is none."""
        data = self.value.data
        return int.from_bytes(data[:8], "little") if len(data) >= 8 else 0


class Machine:
    """One offline Windows.

    Args:
        windows: its volume.
        wants: what the loaded rules look at.
        diagnostics: told what is doubtful.
        images: driver files of the analyst's for the stacks of its crashes.
        symbols: symbol files of the analyst's.

    """

    def __init__(
        self,
        windows: Windows,
        wants: Wants,
        diagnostics: Diagnostics,
        *,
        images: ImageFinder | None = None,
        symbols: SymbolSource | None = None,
    ) -> None:
        self.images = images
        self.symbols = symbols
        self.windows = windows
        self.wants = wants
        self.diagnostics = diagnostics
        self._hives: dict[str, RegistryHive | StopcodeError] = {}
        self._control_set: int | StopcodeError | None = None
        self.control_set_source = source("key", "SYSTEM")
        self._gaps: set[str] = set()

    @property
    def root(self) -> str:
        """The Windows folder on the volume."""
        return self.windows.root

    def hive(self, name: str) -> RegistryHive:
        """Return a hive.

        Raises:
            StopcodeError: it is not there or cannot be read; the same error at every call.

        """
        key = name.upper()
        kept = self._hives.get(key)
        if kept is None:
            try:
                kept = self.windows.hive(name)
            except StopcodeError as error:
                kept = error
                self.diagnostics.error(
                    "hive.unreadable",
                    f"The registry hive {key} cannot be read: {error.message}",
                    hint=error.hint or "everything that only this hive tells is unknown",
                    source=f"{self.root}\\System32\\config\\{key}",
                )
            self._hives[key] = kept
        if isinstance(kept, StopcodeError):
            raise kept
        return kept

    @property
    def control_set(self) -> int:
        r"""The number of the control set that the last boot used: `SYSTEM\Select`, value Current.

        Where that cannot be read, Default, then the lowest set that is there, with a diagnostic: a machine without
        `Select` does not boot, but its services can still be told.

        Raises:
            StopcodeError: the hive cannot be read, or holds no control set.

        """
        if self._control_set is None:
            try:
                self._control_set = self._find_control_set()
            except StopcodeError as error:
                self._control_set = error
        if isinstance(self._control_set, StopcodeError):
            raise self._control_set
        return self._control_set

    def _find_control_set(self) -> int:
        hive = self.hive("SYSTEM")
        for name in ("Current", "Default"):
            try:
                found = self.value("SYSTEM", "Select", name)
                number = found.number() if found is not None else None
            except StopcodeError:
                continue
            if number is not None and 0 < number <= MAX_CONTROL_SET and hive.open_key(f"ControlSet{number:03d}"):
                if found is not None:
                    self.control_set_source = found.source
                if name != "Current":
                    self._doubt(f"Select\\Current cannot be used; control set {number} is taken by Select\\{name}")
                return number
        sets = sorted(
            int(key.name[10:])
            for key in hive.root.subkeys()
            if key.name.lower().startswith("controlset") and key.name[10:].isdecimal() and len(key.name) <= 16
        )
        if not sets:
            raise FormatError("SYSTEM", "holds no control set", hint="the hive is damaged or was never used")
        self._doubt(f"Select names no control set that is there; control set {sets[0]} is taken")
        return sets[0]

    def _doubt(self, message: str) -> None:
        self.diagnostics.warning("system.select-damaged", message, source="SYSTEM\\Select")

    def current(self, path: str = "") -> str:
        r"""Return the path of a key in the current control set (`Services` -> `ControlSet001\Services`)."""
        name = f"ControlSet{self.control_set:03d}"
        return f"{name}\\{path}" if path else name

    def key(self, hive: str, path: str) -> RegistryKey | None:
        """Return a key by its path below the root, or None when it is not there.

        Raises:
            StopcodeError: the hive or the way to the key cannot be read.

        """
        opened = self.hive(hive)
        return opened.open_key(path) if path else opened.root

    def value(self, hive: str, path: str, name: str) -> Found | None:
        """Return a value, or None when its key or itself is not there.

        Raises:
            StopcodeError: the hive or the way to the value cannot be read.

        """
        key = self.key(hive, path)
        value = key.value(name) if key is not None else None
        if value is None:
            return None
        return Found(value, source("value", f"{hive}\\{path}", detail=name, offset=value.offset))

    def was_told(self, error: StopcodeError) -> bool:
        """Tell whether an error is that of a hive, of which a diagnostic was given when it was first opened."""
        return any(kept is error for kept in self._hives.values())

    def gap(self, facts: Facts, path: str, reason: str) -> None:
        """Note that a place could not be read; the first reason given for a path stays."""
        if path not in self._gaps:
            self._gaps.add(path)
            facts["gaps"].append({"path": path, "reason": reason})

    def gaps(self, facts: Facts, section: str, fields: Iterable[str], reason: str) -> None:
        """Note the same reason for several fields below a path."""
        for field in fields:
            self.gap(facts, f"{section}/{field}", reason)

    def knows_gap(self, path: str) -> bool:
        """Tell whether a gap was noted at this very path."""
        return path in self._gaps
