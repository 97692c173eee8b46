"""Lines as Markdown, for a ticket: everything from evidence is escaped, nothing is fetched when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO

from stopcode.report.lines import UNWRAPPED, Line
from stopcode.report.safe import shown

__all__ = ["escaped", "write_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
#: A bare address would become a link in most readers.
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return _LINK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", shown(text)))


def _fenced(text: str) -> str:
    """Return a command as a code block whose fence it cannot close."""
    ticks = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}\n{text}\n{fence}"


def write_markdown(lines: Iterable[Line], out: TextIO) -> None:
    """Write the lines: the first is the title, headings are headings, the rest a list with their own depth."""
    first = True
    for line in lines:
        if not line.text and not line.lead:
            out.write("\n")
        elif first:
            out.write(f"# {escaped(line.text)}\n\n")
        elif line.tone == "heading" and not line.indent:
            out.write(f"## {escaped(line.text)}\n\n")
        elif line.tone in UNWRAPPED:
            out.write(f"\n{_fenced(shown(line.text))}\n\n")
        else:
            depth = min(line.indent // 3, 4)
            lead = re.sub(r"^(\d+\.|-) $", "", line.lead)
            label = f"**{escaped(lead.strip())}** " if lead.strip() else ""
            strong = line.tone in ("bad", "heading", "strong")
            text = f"**{escaped(line.text)}**" if strong and line.text else escaped(line.text)
            out.write(f"{'  ' * depth}- {label}{text}\n")
        first = False
