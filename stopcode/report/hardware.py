"""The crashed machine's hardware in words: processor, board, firmware, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["board_name", "hardware_rows", "processor_name"]

#: What firmware writes where nobody filled anything in.
_EMPTY = frozenset({"", "default string", "to be filled by o.e.m.", "none", "not specified", "system manufacturer",
                    "system product name", "o.e.m.", "oem", "unknown"})  # fmt: skip


def _said(part: Any, *names: str) -> str:
    """Return the fields of a part that somebody filled in."""
    if not isinstance(part, Mapping):
        return ""
    texts = [" ".join(str(part.get(name) or "").split()) for name in names]
    return " ".join(text for text in texts if text.lower() not in _EMPTY)


def processor_name(hardware: Mapping[str, Any]) -> str:
    """Return the processor by its own name, else by family and model; "" when the dump does not tell it."""
    processor = hardware.get("processor")
    return _said(processor, "name") or _said(processor, "vendor", "identifier")


def board_name(hardware: Mapping[str, Any]) -> str:
    """Return what the machine is sold as, else its board; "" when the dump does not tell it."""
    return _said(hardware.get("system"), "manufacturer", "product") or _said(
        hardware.get("board"), "manufacturer", "product"
    )


def _memory(modules: Any) -> str:
    """Return the memory modules, alike ones as one ("2 x 12,288 MB CT12G56C46S5.M4B1")."""
    if not isinstance(modules, Sequence) or isinstance(modules, str):
        return ""
    counts: dict[str, int] = {}
    for module in modules:
        size = module.get("size_mb") if isinstance(module, Mapping) else None
        if isinstance(size, int) and size:
            speed = module.get("configured_speed") or module.get("speed")
            text = f"{size:,} MB {_said(module, 'part')}".rstrip() + (f" at {speed} MT/s" if speed else "")
            counts[text] = counts.get(text, 0) + 1
    return "; ".join(f"{number} x {text}" if number > 1 else text for text, number in counts.items())


def hardware_rows(hardware: Any) -> Iterator[tuple[str, str]]:
    """Yield (label, words) of what the dump tells of the machine; serial numbers where they are in it."""
    # The inside of this part has no type in the schema: a stored report may hold anything there.
    if not isinstance(hardware, Mapping):
        return
    rows = [
        ("Processor", processor_name(hardware)),
        ("Computer", board_name(hardware)),
        ("Firmware", _said(hardware.get("bios"), "vendor", "version", "date")),
        ("Memory", _memory(hardware.get("memory"))),
    ]
    board = _said(hardware.get("board"), "manufacturer", "product", "version")
    if board and board != board_name(hardware):
        rows.insert(2, ("Board", board))
    serials = hardware.get("serials")
    if isinstance(serials, Mapping):
        rows.append(("Serials", ", ".join(f"{name} {value}" for name, value in serials.items())))
    yield from ((label, text) for label, text in rows if text)
