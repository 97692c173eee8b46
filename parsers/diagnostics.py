"""What stopcode itself must say about an input: never lost, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

__all__ = ["Diagnostic", "DiagnosticDict", "Diagnostics", "Severity", "ValueChange", "ValueChangeDict"]

Severity = Literal["info", "warning", "error"]


class ValueChangeDict(TypedDict):
    """A registry value that is another than the one in the hive's file, since the hive's logs were replayed.

    `key` and `value` name it. `before` is what the file holds, `after` what Windows would see: a number, a text, a list
    of texts, bytes as hex (`0x…`); null where there is no such value. Long ones are cut and end with `…`.
    """

    key: str
    value: str
    before: int | str | list[str] | None
    after: int | str | list[str] | None


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A registry value before and after the replay of its hive's logs, as in `ValueChangeDict`."""

    key: str
    value: str
    before: int | str | list[str] | None
    after: int | str | list[str] | None


class DiagnosticDict(TypedDict):
    """A diagnostic as it stands in a report document.

    `changes` is what the replay of a hive's logs changed of the values that facts are made of, at most 1,000 of them.
    """

    severity: Severity
    code: str
    message: str
    hint: str
    source: str
    changes: NotRequired[list[ValueChangeDict]]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One remark.

    Attributes:
        severity: "info" (nothing is lost), "warning" (something is doubtful or was worked around),
            "error" (something could not be read).
        code: permanent dotted word: the subject, then what happened ("hive.dirty", "vhdx.log-dirty").
        message: one sentence for a person.
        hint: what to do about it; may be empty.
        source: where: file, key or offset; may be empty.
        changes: registry values that the replay of a hive's logs changed; empty in all other remarks.

    """

    severity: Severity
    code: str
    message: str
    hint: str = ""
    source: str = ""
    changes: tuple[ValueChange, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagnostic:
        """Return the diagnostic that `to_dict` made plain data of."""
        changes = tuple(ValueChange(**change) for change in data.get("changes", ()))
        return cls(data["severity"], data["code"], data["message"], data["hint"], data["source"], changes)

    def to_dict(self) -> DiagnosticDict:
        """Return the diagnostic as plain data."""
        made: DiagnosticDict = {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "source": self.source,
        }
        if self.changes:
            made["changes"] = [
                {"key": each.key, "value": each.value, "before": each.before, "after": each.after}
                for each in self.changes
            ]
        return made


@dataclass(slots=True)
class Diagnostics:
    """A list that readers and collectors add to while they go on; equal remarks are kept once."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(
        self,
        severity: Severity,
        code: str,
        message: str,
        *,
        hint: str = "",
        source: str = "",
        changes: Sequence[ValueChange] = (),
    ) -> Diagnostic:
        """Add one remark and return it."""
        item = Diagnostic(severity, code, message, hint, source, tuple(changes))
        if item not in self.items:
            self.items.append(item)
        return item

    def info(
        self, code: str, message: str, *, hint: str = "", source: str = "", changes: Sequence[ValueChange] = ()
    ) -> None:
        """Add a remark that costs nothing."""
        self.add("info", code, message, hint=hint, source=source, changes=changes)

    def warning(self, code: str, message: str, *, hint: str = "", source: str = "") -> None:
        """Add a remark about something doubtful."""
        self.add("warning", code, message, hint=hint, source=source)

    def error(self, code: str, message: str, *, hint: str = "", source: str = "") -> None:
        """Add a remark about something that could not be read."""
        self.add("error", code, message, hint=hint, source=source)

    def extend(self, other: Diagnostics) -> None:
        """Take over every remark of another list."""
        for item in other.items:
            if item not in self.items:
                self.items.append(item)
