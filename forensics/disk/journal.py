"""The journal of a volume as the user is told of it: replayed in memory, or why not, and which files that changed."""

from __future__ import annotations

from typing import Final

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError
from parsers.limits import MAX_REPLAY_CHANGES
from parsers.ntfs import NtfsVolume, Record
from parsers.ntfs.index import file_name
from parsers.ntfs.journal import Journal, State, read_journal
from parsers.ntfs.record import DATA, FILE_NAME, record_number
from parsers.ntfs.volume import ROOT

__all__ = ["with_journal"]

#: Folders that a path is followed through.
_DEPTH: Final = 64
_HINT: Final = "the disk was copied while its Windows ran, or its machine stopped: a journal holds no content of files"
_REST: Final = (
    "what is not read for it is unknown, not missing: to know it, mount a writable copy of the disk in Windows, which "
    "replays the journal, and scan that copy"
)


def with_journal(
    ntfs: NtfsVolume, source: ByteSource, offset: int, diagnostics: Diagnostics
) -> tuple[NtfsVolume, State]:
    """Return a volume with its journal replayed in memory, and the state of the journal.

    Args:
        ntfs: the volume as it is.
        source: its bytes.
        offset: where it begins on the disk.
        diagnostics: told of a journal that is not clean, and of the files that it changes.

    """
    journal = read_journal(ntfs, source)
    after = ntfs
    if journal.source is not source:
        try:
            after = NtfsVolume(journal.source, ntfs.boot, journal.content)
        except StopcodeError as error:
            journal.state = "unreadable"
            journal.problem = f"with it the volume cannot be read ({error.message})"
    where = f"the volume at {offset:#x}"
    if journal.state == "unreadable":
        diagnostics.warning(
            "ntfs.journal-unreadable",
            f"The journal of {where} cannot be read, so it is read as it stands: {journal.problem}",
            hint=f"what changed last before the machine stopped may be missing; {_REST}",
        )
    elif journal.state == "clean":
        if journal.open:
            diagnostics.info(
                "ntfs.journal-open",
                f"{where.capitalize()} was not dismounted; its journal has nothing to replay{_undone(journal)}",
            )
    else:
        _tell(journal, ntfs, after, where, diagnostics)
    return after, journal.state


def _tell(journal: Journal, before: NtfsVolume, after: NtfsVolume, where: str, diagnostics: Diagnostics) -> None:
    doubtful = sorted({item.number for item in journal.touched if item.kind == "record" and item.problem})
    changed = sorted(journal.records_touched - set(doubtful))
    text = (
        f"The journal of {where} (version {journal.version}, {_count(journal.records, 'record')} behind its "
        "checkpoint) was not replayed before it was copied; that was done in memory: "
        f"{_count(len(changed), 'file record')}, {_count(len(journal.folders_touched), 'folder')}{_undone(journal)}"
    )
    if journal.state == "replayed":
        diagnostics.info("ntfs.journal-replayed", text, hint=_HINT)
    else:
        names = [_path(before, number) for number in doubtful]
        lost = f"; not certain, and not read: {_listed(names)}" if names else ""
        diagnostics.warning("ntfs.journal-not-replayed", f"{text}; not all of it: {journal.problem}{lost}", hint=_REST)
    told = [text for number in changed if (text := _change(before, after, number))]
    if told:
        diagnostics.info(
            "ntfs.journal-changed", f"Files of {where} that its journal changes: {_listed(sorted(told, key=_rank))}"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _undone(journal: Journal) -> str:
    if not journal.undone:
        return ""
    if journal.undone == 1:
        return "; one transaction that was under way is undone"
    return f"; {journal.undone} transactions that were under way are undone"


def _rank(text: str) -> tuple[bool, str]:
    return not text.lower().startswith("\\windows\\system32"), text


def _listed(items: list[str]) -> str:
    more = len(items) - MAX_REPLAY_CHANGES
    return "; ".join(items[:MAX_REPLAY_CHANGES]) + (f"; and {more} more" if more > 0 else "")


def _change(before: NtfsVolume, after: NtfsVolume, number: int) -> str:
    """Return what happens to a file: its path, and its size before and after; "" for what is no file."""
    old, new = _record(before, number), _record(after, number)
    if new is not None and new.in_use and (new.base or new.is_dir):
        return ""
    was, is_ = _size(old), _size(new)
    if was == is_ == "absent":
        return ""
    path = _path(after if is_ != "absent" else before, number)
    return f"{path}: {was} -> {is_}" if was != is_ else path


def _record(volume: NtfsVolume, number: int) -> Record | None:
    try:
        return volume.record(number, checked=False)
    except StopcodeError:
        return None


def _size(record: Record | None) -> str:
    if record is None or not record.in_use:
        return "absent"
    data = record.find(DATA)
    return f"{data.size} bytes" if data is not None and data.lowest == 0 else "in pieces"


def _path(volume: NtfsVolume, number: int) -> str:
    """Return the path of a file by the names in its record and in those of its folders."""
    names: list[str] = []
    at = number
    for _ in range(_DEPTH):
        if at == ROOT:
            return "\\" + "\\".join(reversed(names))
        record = _record(volume, at)
        values = [item.value for item in record.attributes if item.type == FILE_NAME] if record is not None else []
        try:
            found = [file_name(value, at, 0) for value in values if value is not None]
        except StopcodeError:
            break
        if not found:
            break
        name = min(found, key=lambda entry: entry.dos)
        names.append(name.name)
        at = record_number(name.parent)
    return f"file record {number}"
