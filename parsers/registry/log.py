"""A hive as Windows would recover it: its logs replayed in memory.

A hive in use is behind its logs: Windows writes changes there first and to the hive up to an hour later. On the disk
of a machine that died, or that was copied while it ran, the hive alone tells an older state.

Rules, by msuhanov/regf "Windows registry file format specification" and by what Windows 7 and 10 made of two hives:

* A hive needs its logs when its sequence numbers differ or its base block is damaged; a clean one ignores them.
* New logs (`HvLE`): both are used, the one with the older entries first. An entry counts from the hive's second
  sequence number and its own log's number on; the first may be far above, each later one must follow the one before.
* Old logs (`DIRT`): one is used, and only when it was written by the same flush as the hive (the same time).
* A damaged base block is taken from the log with the latest entries, and only that log is used.
* An entry whose hashes are wrong ends the replay: later ones belong to a state that cannot be made any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import StopcodeError
from parsers.overlay import OverlaySource
from parsers.registry.base_block import BASE_BLOCK, NEW_LOG, OLD_LOGS, BaseBlock
from parsers.registry.cells import FIRST_BIN
from parsers.registry.log_new import SECTOR, Entry, entries, is_damaged_behind, pages_of
from parsers.registry.log_old import sectors_of

__all__ = ["LogUse", "Recovery", "Unused", "recover", "why_dirty"]

#: Where the first hive bin keeps the time of the write, beside the base block's.
_BIN_TIME_AT: Final = FIRST_BIN + 0x14
_NO_ENTRY: Final = "it holds no sound entry"


@dataclass(frozen=True, slots=True)
class LogUse:
    """One log that was replayed.

    Attributes:
        name: its name.
        entries: how many of its entries; 1 in the old format.
        first, last: sequence numbers of the first and last of them.
        pages: pages (sectors, in the old format) that they changed.
        lost: why the entry behind the last one was not used; "" when the log just ends.

    """

    name: str
    entries: int
    first: int
    last: int
    pages: int
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Unused:
    """One log that was not replayed.

    Attributes:
        name: its name.
        reason: why, in words that go on a sentence about it.
        harmless: whether it holds nothing that the hive lacks.

    """

    name: str
    reason: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was made of a hive and its logs.

    Attributes:
        source: the hive as it would be after recovery; the hive itself where nothing was replayed.
        used: the logs that were replayed, in order.
        restored_from: name of the log that the base block was taken from; "" when the hive's own is sound.
        unused: the logs that were not.

    """

    source: ByteSource
    used: tuple[LogUse, ...]
    restored_from: str
    unused: tuple[Unused, ...]

    @property
    def doubtful(self) -> bool:
        """Whether changes that a log once held are missing in what was replayed."""
        return any(use.lost for use in self.used) or any(not log.harmless for log in self.unused)


@dataclass(frozen=True, slots=True)
class _Log:
    name: str
    source: ByteSource
    base: BaseBlock


def why_dirty(hive: ByteSource) -> str:
    """Return why a hive needs its logs, in words; "" when it was written out cleanly.

    Raises:
        ReadError: its beginning cannot be read.

    """
    base = BaseBlock.parse(hive.read_at(0, BASE_BLOCK))
    if base.damage:
        return base.damage
    return f"sequence numbers {base.primary} and {base.secondary}" if base.primary != base.secondary else ""


def recover(hive: ByteSource, logs: Sequence[tuple[str, ByteSource]]) -> Recovery:
    """Replay logs over a hive that needs them (see `why_dirty`).

    Args:
        hive: the hive.
        logs: name and content of its logs, in the order of their names (LOG1, LOG2, the one log of Windows XP).

    Raises:
        ReadError: the hive's beginning cannot be read.

    """
    base = BaseBlock.parse(hive.read_at(0, BASE_BLOCK))
    unused: list[Unused] = []
    found: list[_Log] = []
    for name, source in logs:
        try:
            log = _Log(name, source, BaseBlock.parse(source.read_at(0, BASE_BLOCK)))
        except StopcodeError as error:
            unused.append(Unused(name, error.message))
            continue
        reason = log.base.damage
        if source.size == 0:
            reason = "it is empty"
        elif not reason and log.base.kind not in (NEW_LOG, *OLD_LOGS):
            reason = "it is not a log"
        if reason:
            unused.append(Unused(name, reason, harmless=source.size == 0))
        else:
            found.append(log)
    sound = None if base.damage or base.kind else base
    # A hive that an upgrade brought along may have one log of each kind: the new ones are the later ones.
    return (
        _replay_new(hive, sound, [log for log in found if log.base.kind == NEW_LOG], unused)
        or _replay_old(hive, sound, [log for log in found if log.base.kind != NEW_LOG], unused)
        or Recovery(hive, (), "", tuple(unused))
    )


def _overlay(hive: ByteSource, base: BaseBlock) -> OverlaySource:
    overlay = OverlaySource(hive, SECTOR)
    # What a cut hive lacks and no page brings must not read as zeros.
    overlay.lose(FIRST_BIN + base.bins_size)
    return overlay


def _lay(overlay: OverlaySource, offset: int, data: bytes) -> None:
    for at in range(0, len(data), SECTOR):
        overlay.put(offset + at, data[at : at + SECTOR])


def _sound_entries(log: _Log) -> list[Entry]:
    """Return a log's entries whose headers are sound; those before a place that cannot be read count."""
    found: list[Entry] = []
    try:
        for entry in entries(log.source):
            found.append(entry)
    except StopcodeError:
        pass
    return found


def _eligible(base: BaseBlock | None, logs: list[_Log], unused: list[Unused]) -> list[tuple[int, _Log, list[Entry]]]:
    """Return the logs whose entries count, each with the number it begins with, the older one first."""
    found: list[tuple[int, _Log, list[Entry]]] = []
    for log in logs:
        held = _sound_entries(log)
        since = max(log.base.primary, base.secondary if base is not None else 0)
        counting = [entry for entry in held if entry.sequence >= since]
        if counting:
            found.append((counting[0].sequence, log, counting))
        elif held or log.base.primary < since:
            last = held[-1].sequence if held else log.base.primary
            reason = f"it ends with entry {last}, which the hive already holds"
            unused.append(Unused(log.name, reason, harmless=True))
        else:
            found.append((since, log, []))
    found.sort(key=lambda item: item[0])
    if base is None:
        # Without a header of its own the hive's age is not known: the latest log alone decides.
        unused += [Unused(log.name, _NO_ENTRY) for _, log, held in found if not held]
        found = [item for item in found if item[2]]
        unused += [Unused(log.name, "a later log gave the header") for _, log, _ in found[:-1]]
        found = found[-1:]
    return found


def _replay_new(hive: ByteSource, base: BaseBlock | None, logs: list[_Log], unused: list[Unused]) -> Recovery | None:
    eligible = _eligible(base, logs, unused)
    if not eligible:
        return None
    restored = base or eligible[0][1].base
    overlay = _overlay(hive, restored)
    used: list[LogUse] = []
    last: Entry | None = None
    awaited: int | None = None
    for first, log, held in eligible:
        # The first entry of all may have any number. A log behind a gap holds pages that belong to others' changes.
        if awaited is not None and first != awaited:
            unused.append(Unused(log.name, f"it begins with entry {first}, and entry {awaited} is missing"))
            continue
        use, stopped_at = _lay_log(overlay, log, held)
        awaited = first if stopped_at is None else (stopped_at.sequence + 1) & 0xFFFFFFFF
        if stopped_at is None:
            unused.append(Unused(log.name, use.lost))
        else:
            used.append(use)
            last = stopped_at
    if last is None:
        return None
    overlay.grow(FIRST_BIN + last.bins_size)
    overlay.put(0, restored.changed(sequence=last.sequence, bins_size=last.bins_size, flags=last.flags))
    return Recovery(overlay, tuple(used), "" if base else eligible[0][1].name, tuple(unused))


def _lay_log(overlay: OverlaySource, log: _Log, held: list[Entry]) -> tuple[LogUse, Entry | None]:
    """Lay a log's entries over the hive up to the first that is damaged; return the last one that was laid."""
    use = LogUse(log.name, 0, held[0].sequence if held else 0, 0, 0, "" if held else _NO_ENTRY)
    last: Entry | None = None
    for entry in held:
        try:
            pages, reason = pages_of(log.source, entry)
        except StopcodeError as error:
            pages, reason = [], f"cannot be read: {error.message}"
        if reason:
            return replace(use, lost=f"its entry {entry.sequence} {reason}"), last
        for offset, data in pages:
            _lay(overlay, FIRST_BIN + offset, data)
        use = replace(use, entries=use.entries + 1, last=entry.sequence, pages=use.pages + len(pages))
        last = entry
    if last is not None and _is_cut_short(log, last):
        use = replace(use, lost=f"what follows entry {last.sequence} is damaged")
    return use, last


def _is_cut_short(log: _Log, last: Entry) -> bool:
    try:
        return is_damaged_behind(log.source, last)
    except StopcodeError:
        return True


def _replay_old(hive: ByteSource, base: BaseBlock | None, logs: list[_Log], unused: list[Unused]) -> Recovery | None:
    written = base.written if base else int.from_bytes(hive.read_at(_BIN_TIME_AT, 8), "little")
    # The later one first; of equal ones the first, which is the one that Windows normally uses.
    for log in sorted(logs, key=lambda log: -log.base.primary):
        changes: list[tuple[int, bytes]] = []
        if log.base.primary != log.base.secondary:
            reason = "it was not written to its end"
        elif log.base.written < written or (base is not None and log.base.written != written):
            # A first bin without changes keeps an older time than the header: beside that, later is right too.
            reason = "it belongs to another write than the hive"
        else:
            try:
                changes, reason = sectors_of(log.source, log.base)
            except StopcodeError as error:
                reason = error.message
        if reason:
            unused.append(Unused(log.name, reason))
            continue
        overlay = _overlay(hive, base or log.base)
        for offset, data in changes:
            _lay(overlay, FIRST_BIN + offset, data)
        overlay.grow(FIRST_BIN + log.base.bins_size)
        overlay.put(0, (base or log.base).changed(sequence=log.base.primary, bins_size=log.base.bins_size))
        use = LogUse(log.name, 1, log.base.primary, log.base.primary, len(changes))
        return Recovery(overlay, (use,), "" if base else log.name, tuple(unused))
    return None
