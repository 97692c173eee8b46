r"""Text from evidence, made safe for a terminal.

A file name, a service key or an event may hold anything: escape sequences that retitle or repaint the terminal,
bidirectional controls that make one path look like another, characters without a shape. Every text from evidence
passes `shown` before it reaches a screen, and only there: documents (JSON) keep what was read.
"""

from __future__ import annotations

import unicodedata

__all__ = ["LIMIT", "shown"]

#: Characters of one text that are shown; the rest is counted.
LIMIT = 4096


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x20 or 0x7F <= code <= 0x9F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        # An undecodable byte of a file name, as Python carries it (surrogateescape).
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) == "Zs":
        return character
    return f"<U+{code:04X}>"


def shown(text: str, limit: int = LIMIT) -> str:
    r"""Return a text with everything that has no shape written out, at most `limit` characters of it.

    Control characters (line ends and tabs too) become `\x1b`, bytes that are no text `\x80`, and every other character
    without a shape (bidirectional and zero-width controls, lone surrogates, unassigned ones) `<U+202E>`. Applying it
    twice changes nothing more.
    """
    rest = len(text) - limit
    if rest > 0:
        text = f"{text[:limit]}… (+{rest})"
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)
