"""A BitLocker volume opened, or why it stays locked, as the user is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.disk.cache import CachedSource
from forensics.disk.filesystems import identify
from forensics.disk.keys import VolumeKeys
from parsers.diagnostics import Diagnostics
from parsers.errors import LockedVolumeError, StopcodeError

if TYPE_CHECKING:
    from forensics.disk.volumes import Volume

__all__ = ["unlock"]

#: Bytes that tell a file system.
_HEAD = 2048


def unlock(volume: Volume, keys: VolumeKeys, diagnostics: Diagnostics) -> None:
    """Open a BitLocker volume where one of the keys fits; say why not where none does.

    Args:
        volume: it is marked as encrypted, and gets its decrypted source and what that is, or why it stays locked.
        keys: what may open it.
        diagnostics: told how it went.

    """
    # dissect is imported when a BitLocker volume is met.
    from forensics.disk.bitlocker import open_bitlocker

    where = f"The volume at {volume.offset:#x}"
    try:
        locked = open_bitlocker(volume.source)
        for problem in locked.problems:
            diagnostics.warning("bitlocker.metadata-copy", f"{where}: {problem}; another copy was used")
        volume.encryption = locked.described()
        opened = locked.open(keys)
        volume.encryption = locked.described(opened)
        volume.source = CachedSource(opened.source)
        volume.file_system = identify(volume.source.read_at(0, _HEAD))
    except LockedVolumeError as error:
        volume.problem, volume.hint = error.message, error.hint
        diagnostics.warning("bitlocker.locked", f"{where} is locked: {error.message}", hint=error.hint)
        return
    except StopcodeError as error:
        volume.problem, volume.hint = error.message, error.hint
        diagnostics.error("bitlocker.unreadable", f"{where} cannot be read: {error.message}", hint=error.hint)
        return
    volume.label = volume.file_system.label
    by = str(opened.by) if opened.by is not None else "no key: it is not encrypted"
    diagnostics.info("bitlocker.opened", f"{where} is encrypted with BitLocker ({locked.method}), opened with {by}")
    if locked.suspended:
        diagnostics.info(
            "bitlocker.suspended", f"{where}: protection is suspended, its key stands on the volume in the clear"
        )
    if locked.state == "partly encrypted":
        diagnostics.warning(
            "bitlocker.converting",
            f"{where} was being encrypted or decrypted, piece by piece; by its map of what is, it is read",
            hint="a piece (mostly 8 MiB) that was being converted when the image was made may read wrong",
        )
