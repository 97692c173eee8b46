"""Which Windows of an opened disk is looked at: every candidate on its volumes, and the boot configuration's word."""

from __future__ import annotations

from typing import NamedTuple

from forensics.disk.boot_store import BootVolume, booted, read_stores
from forensics.disk.fat import FatFiles
from forensics.disk.files import NtfsFiles
from forensics.disk.find import Candidate, best, candidates
from forensics.disk.volumes import Volume
from parsers.diagnostics import Diagnostics
from parsers.disk.partitions import PartitionTable
from parsers.errors import StopcodeError

__all__ = ["Picked", "identity_of", "pick_windows"]


class Picked(NamedTuple):
    """What there is to choose from.

    Attributes:
        found: every folder that may be a Windows, in the order of the volumes.
        chosen: the one to look at; None when there is none.
        boot: the volumes that a firmware starts from.
        files: the files of each volume that can be read (NTFS, FAT), by its index.

    """

    found: list[Candidate]
    chosen: Candidate | None
    boot: list[BootVolume]
    files: dict[int, NtfsFiles | FatFiles]


def pick_windows(table: PartitionTable | None, volumes: list[Volume], diagnostics: Diagnostics) -> Picked:
    """Find the Windows of a disk.

    Args:
        table: its partition table.
        volumes: its volumes; one that cannot be looked through is told and marked.
        diagnostics: told what is doubtful.

    """
    found: list[Candidate] = []
    files: dict[int, NtfsFiles | FatFiles] = {}
    for volume in volumes:
        opened = _files_of(volume, diagnostics)
        if opened is not None:
            files[volume.index] = opened
        if isinstance(opened, NtfsFiles):
            try:
                found += candidates(opened, str(volume), volume.index)
            except StopcodeError as error:
                volume.problem = error.message
                diagnostics.error("volume.unreadable", f"A folder of the volume at {volume.offset:#x}: {error.message}")
    boot = [
        BootVolume(f"volume {volume.index}", volume.boots, files.get(volume.index), volume.problem or _unread(volume))
        for volume in volumes
        if volume.boots is not None
    ]
    starts = booted(read_stores(boot, Diagnostics())) if len(found) > 1 else None
    default = next(
        (each for each in found if starts == (identity_of(table, volumes[each.index]), each.root.lower())), None
    )
    chosen = best(found, diagnostics, default)
    return Picked(found, chosen, boot, files)


def _files_of(volume: Volume, diagnostics: Diagnostics) -> NtfsFiles | FatFiles | None:
    if volume.ntfs is None and volume.kind.startswith("FAT"):
        try:
            return FatFiles(volume.source)
        except StopcodeError as error:
            volume.problem = error.message
            diagnostics.error(
                "volume.unreadable", f"The FAT volume at {volume.offset:#x} cannot be read: {error.message}"
            )
    return NtfsFiles(volume.ntfs) if volume.ntfs is not None else None


def _unread(volume: Volume) -> str:
    return f"its file system ({volume.kind}) is not read"


def identity_of(table: PartitionTable | None, volume: Volume) -> bytes:
    """Return what MountedDevices calls a volume."""
    if table is None or volume.partition is None:
        return b""
    if table.scheme == "gpt":
        if volume.dynamic is not None:
            return b""  # it has the volume's own identifier, in an order of bytes that is not documented
        return b"DMIO:ID:" + volume.partition.guid
    return table.signature.to_bytes(4, "little") + volume.offset.to_bytes(8, "little")
