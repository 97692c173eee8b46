"""Hives of a disk as Windows would recover them: opened with their logs, and told.

Nothing is written: logs are replayed in memory. RegBack, the old copies beside the hives, is never read: what it holds
is not what the machine would boot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from forensics.disk.replayed import changes
from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics, ValueChange
from parsers.errors import NotCollectedError, StopcodeError
from parsers.limits import MAX_REPLAY_CHANGES, MAX_REPLAY_CHANGES_KEPT
from parsers.registry import Hive
from parsers.registry.cells import FIRST_BIN
from parsers.registry.log import Recovery, Unused, recover, why_dirty

if TYPE_CHECKING:
    from forensics.collect.volume import FileTree

__all__ = ["open_hive", "open_quietly"]

#: Endings of the two logs since Windows Vista; of the one before, which later ones leave empty.
_LOGS: Final = (".LOG1", ".LOG2")
_ONE_LOG: Final = ".LOG"
#: Characters of a value that a remark's text shows.
_SHOWN: Final = 80
_BEFORE: Final = "its facts are those before the last changes, which may be an hour of them"


def open_hive(files: FileTree, path: str, name: str, diagnostics: Diagnostics) -> Hive:
    """Open a hive, with its logs where it needs them.

    Args:
        files: the volume's files.
        path: its path on the volume; the logs lie beside it.
        name: what it is called in what is told.
        diagnostics: told of the state of the hive, of what its logs did, and of the values they changed.

    Raises:
        ReadError: there is no such file, or a place in it cannot be read.
        FormatError: it is no hive, or too damaged to be read, also with its logs.
        UnsupportedError: its file is stored in a way that is not read.

    """
    source = files.open(path)
    why = why_dirty(source)
    if not why:
        hive = Hive(source)
    else:
        recovery, there = _recovered(files, path, source)
        try:
            hive, recovery = _opened(source, recovery)
        except StopcodeError as error:
            if there:
                text = f"The hive {name} cannot be read ({error.message}), and its logs do not help"
                reasons = _reasons(recovery)
                diagnostics.warning("hive.log-unusable", f"{text} ({reasons})" if reasons else text, source=path)
            raise
        if recovery.used:
            _tell_replayed(recovery, why, name, path, diagnostics)
            _tell_changes(source, hive, name, path, diagnostics)
        else:
            _tell_as_it_stands(recovery, there, why, name, path, diagnostics)
    if hive.truncated:
        diagnostics.error("hive.truncated", f"The hive {name} ends {hive.truncated} bytes too early", source=path)
    return hive


def open_quietly(files: FileTree, path: str) -> Hive:
    """Open a hive as it stands, and only when that does not go with its logs; nothing is told.

    Raises:
        StopcodeError: as `open_hive`.

    """
    source = files.open(path)
    try:
        return Hive(source)
    except StopcodeError:
        recovery, _ = _recovered(files, path, source)
        if not recovery.used:
            raise
        return Hive(recovery.source)


def _recovered(files: FileTree, path: str, source: ByteSource) -> tuple[Recovery, bool]:
    """Return what the logs made of a hive, and whether there are logs at all."""
    logs: list[tuple[str, ByteSource]] = []
    unread: list[Unused] = []
    for suffix in (*_LOGS, _ONE_LOG):
        if suffix == _ONE_LOG and (logs or unread):
            break
        try:
            if files.stat(path + suffix) is not None:
                logs.append((suffix[1:], files.open(path + suffix)))
        except NotCollectedError:
            continue
        except StopcodeError as error:
            unread.append(Unused(suffix[1:], error.message))
    recovery = recover(source, logs)
    every = Recovery(recovery.source, recovery.used, recovery.restored_from, (*recovery.unused, *unread))
    return every, bool(logs or unread)


def _opened(source: ByteSource, recovery: Recovery) -> tuple[Hive, Recovery]:
    """Return the hive as recovered; as it stands where its logs make it unreadable."""
    try:
        return Hive(recovery.source), recovery
    except StopcodeError as error:
        if not recovery.used:
            raise
        try:
            hive = Hive(source)
        except StopcodeError:
            raise error from None
        broken = [Unused(use.name, f"with it the hive cannot be read ({error.message})") for use in recovery.used]
        return hive, Recovery(source, (), "", (*recovery.unused, *broken))


def _tell_replayed(recovery: Recovery, why: str, name: str, path: str, diagnostics: Diagnostics) -> None:
    done = []
    for use in recovery.used:
        numbers = f"entry {use.first}" if use.first == use.last else f"{use.entries} entries, {use.first} to {use.last}"
        done.append(f"{use.name} ({numbers}; {use.pages} pages)")
    text = f"The hive {name} was not written out cleanly ({why}); replayed in memory: {', '.join(done)}"
    if recovery.restored_from:
        text += f"; its header is the one of {recovery.restored_from}"
    lost = [f"{use.name}: {use.lost}" for use in recovery.used if use.lost]
    lost += [f"{log.name}: {log.reason}" for log in recovery.unused if not log.harmless]
    if not lost:
        diagnostics.info("hive.log-replayed", text, source=path)
    else:
        hint = "Windows stops there too; what was changed last before the machine died may be missing"
        diagnostics.warning("hive.log-replayed", f"{text}; not all of it: {'; '.join(lost)}", hint=hint, source=path)


def _tell_as_it_stands(
    recovery: Recovery, there: bool, why: str, name: str, path: str, diagnostics: Diagnostics
) -> None:
    start = f"The hive {name} was not written out cleanly ({why})"
    if not there:
        diagnostics.warning(
            "hive.dirty",
            f"{start}, and none of its .LOG files is there: {_BEFORE}",
            hint="collect SYSTEM.LOG1 and SYSTEM.LOG2 with the hive, and the like for other hives",
            source=path,
        )
        return
    diagnostics.warning(
        "hive.log-unusable", f"{start}, and its logs cannot be used ({_reasons(recovery)}): {_BEFORE}", source=path
    )


def _reasons(recovery: Recovery) -> str:
    return "; ".join(f"{log.name}: {log.reason}" for log in recovery.unused)


def _tell_changes(source: ByteSource, after: Hive, name: str, path: str, diagnostics: Diagnostics) -> None:
    """Tell what the replay changed of what facts are made of."""
    if source.read_at(FIRST_BIN, 4) != b"hbin":
        diagnostics.error(
            "hive.overwritten",
            f"The hive {name} is overwritten; of it only what its logs hold can be read",
            hint="what cannot be read is unknown, not absent",
            source=path,
        )
        return
    try:
        before = Hive(source)
    except StopcodeError:
        return
    found = changes(before, after, name)
    if found:
        shown = [_shown(change) for change in found[:MAX_REPLAY_CHANGES]]
        more = f"; and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
        diagnostics.info(
            "hive.changed-by-replay",
            f"Replaying the logs of {name} changed {len(found)} of the values that are looked at: "
            f"{'; '.join(shown)}{more}",
            source=path,
            changes=found[:MAX_REPLAY_CHANGES_KEPT],
        )


def _shown(change: ValueChange) -> str:
    was, is_ = (
        "(absent)" if data is None else text if len(text := str(data)) <= _SHOWN else f"{text[:_SHOWN]}…"
        for data in (change.before, change.after)
    )
    return f"{change.key}:{change.value}: {was} -> {is_}"
