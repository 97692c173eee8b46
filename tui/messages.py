"""What the scan tells the screens."""

from __future__ import annotations

from typing import Any

from textual.message import Message

__all__ = ["ScanDone", "ScanFailed", "ScanPart", "ScanStep"]


class ScanStep(Message):
    """A step of the scan began: its name, its number and how many there are (0 when not known)."""

    def __init__(self, step: str, number: int, of: int) -> None:
        super().__init__()
        self.step = step
        self.number = number
        self.of = of


class ScanPart(Message):
    """A section of the facts is there before the report is."""

    def __init__(self, section: str, data: Any) -> None:
        super().__init__()
        self.section = section
        self.data = data


class ScanDone(Message):
    """The whole report."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__()
        self.report = report


class ScanFailed(Message):
    """The scan gave no report; the text says why and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
