"""What stopcode itself must say about an input: never lost, never a traceback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict

__all__ = ["Diagnostic", "DiagnosticDict", "Diagnostics", "Severity"]

Severity = Literal["info", "warning", "error"]


class DiagnosticDict(TypedDict):
    """A diagnostic as it stands in a report document."""

    severity: Severity
    code: str
    message: str
    hint: str
    source: str


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

    """

    severity: Severity
    code: str
    message: str
    hint: str = ""
    source: str = ""

    def to_dict(self) -> DiagnosticDict:
        """Return the diagnostic as plain data."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "source": self.source,
        }


@dataclass(slots=True)
class Diagnostics:
    """A list that readers and collectors add to while they go on; equal remarks are kept once."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(self, severity: Severity, code: str, message: str, *, hint: str = "", source: str = "") -> Diagnostic:
        """Add one remark and return it."""
        item = Diagnostic(severity, code, message, hint, source)
        if item not in self.items:
            self.items.append(item)
        return item

    def info(self, code: str, message: str, *, hint: str = "", source: str = "") -> None:
        """Add a remark that costs nothing."""
        self.add("info", code, message, hint=hint, source=source)

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
