"""The volumes of a disk: partitions, or one file system without a table, and what each one is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from forensics.disk.filesystems import FileSystem, identify
from forensics.disk.journal import with_journal
from forensics.disk.keys import VolumeKeys
from forensics.disk.shadow import no_shadow_copy, with_shadow_copies
from forensics.disk.unlock import unlock
from forensics.facts import DynamicDict, EncryptionDict, ShadowCopyDict, VolumeFact
from parsers.bytesource import ByteSource, WindowSource
from parsers.diagnostics import Diagnostics
from parsers.disk.partitions import LDM_TYPES, Partition, PartitionTable, read_partitions
from parsers.disk.reading import ZeroSource
from parsers.errors import StopcodeError
from parsers.ntfs import BootSector, NtfsVolume
from parsers.ntfs.journal import State

if TYPE_CHECKING:
    from forensics.disk.dynamic import DynamicPlace

__all__ = ["Volume", "find_volumes"]

_HEAD: Final = 2048
_UNKNOWN: Final = FileSystem("unknown")
#: Partitions that hold no file system, by their type: what they are called.
_OTHER_KINDS: Final = {
    **dict.fromkeys(LDM_TYPES, "LDM"),
    "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Storage Spaces",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "reserved",
}
#: Types under which Windows keeps NTFS volumes: there a damaged first sector is worth a look at its copy.
_WINDOWS_TYPES: Final = ("07", "27", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "de94bba4-06d1-4d40-a16a-bfd50179d6ac")
_EFI_SYSTEM: Final = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"


@dataclass(slots=True)
class Volume:
    """One volume.

    Attributes:
        index: its place among the volumes, from 0.
        offset, size: bytes on the disk; the size is what the table says, also where the image ends before.
        partition: its partition; None for a file system without a table, and for a dynamic volume that has none.
        file_system: what its first bytes tell.
        source: its bytes.
        ntfs: the opened file system, where it is an NTFS that can be read.
        problem: why it could not be opened; "" when it was, or when it is of a kind that is not.
        role: "windows", "system" (holds what the firmware boots) or "other".
        journal: state of its journal; None where it has none that is read.
        encryption: how it is encrypted; None where it is not. The source of an opened volume is decrypted.
        hint: what to do about the problem.
        dynamic: what the database of a dynamic disk says of it; None on other disks.
        shadow_copies: its shadow copies, the oldest one first.
        shadow_copy: the one that is read in its place; None where it is read as it is.

    """

    index: int
    offset: int
    size: int
    partition: Partition | None
    file_system: FileSystem
    source: ByteSource
    ntfs: NtfsVolume | None = None
    problem: str = ""
    role: str = "other"
    label: str = ""
    journal: State | None = None
    encryption: EncryptionDict | None = None
    hint: str = ""
    dynamic: DynamicDict | None = None
    shadow_copies: list[ShadowCopyDict] = field(default_factory=list)
    shadow_copy: ShadowCopyDict | None = None

    @property
    def kind(self) -> str:
        """What it holds, in a word."""
        return self.file_system.name

    @property
    def boots(self) -> str | None:
        """Which firmware starts from it: "uefi", "bios"; "" where no table tells; None for neither."""
        if self.partition is None:
            return "" if self.dynamic is None else None
        if self.partition.type in (_EFI_SYSTEM, "ef"):
            return "uefi"
        return "bios" if self.partition.active else None

    def fact(self) -> VolumeFact:
        """Return the volume as it stands in the facts."""
        made: VolumeFact = {
            "index": self.index,
            "offset": self.offset,
            "size": self.size,
            "filesystem": self.kind,
        }
        if self.label:
            made["label"] = self.label
        if self.file_system.serial:
            made["serial"] = self.file_system.serial
        if self.dynamic is not None:
            made["dynamic"] = self.dynamic
        if self.encryption is not None:
            made["encryption"] = self.encryption
        if self.journal is not None:
            made["journal"] = self.journal
        if self.shadow_copies:
            made["shadow_copies"] = self.shadow_copies
        if self.shadow_copy is not None:
            made["shadow_copy"] = self.shadow_copy["id"]
        made["role"] = "windows" if self.role == "windows" else "system" if self.role == "system" else "other"
        return made

    def __str__(self) -> str:
        label = f" {self.label!r}" if self.label else ""
        size = f"{self.size / 2**30:.1f} GiB" if self.size >= 1 << 30 else f"{self.size / 2**20:.1f} MiB"
        return f"{self.kind}{label} of {size} at {self.offset:#x}"


def find_volumes(
    disk: ByteSource, sector_size: int, diagnostics: Diagnostics, keys: VolumeKeys | None = None, shadow_copy: str = ""
) -> tuple[PartitionTable | None, list[Volume]]:
    """Return a disk's partition table, where it has one, and its volumes in the table's order.

    Args:
        disk: the virtual disk.
        sector_size: bytes of a logical sector.
        diagnostics: told what is doubtful.
        keys: what opens encrypted volumes; a volume that none of them opens stays locked.
        shadow_copy: identifier of a shadow copy, or of a set of them, that is read in place of its volume.

    Raises:
        ReadError: the first sectors cannot be read.
        OpenError: no volume has that shadow copy, or it is damaged.

    """
    table, volumes = _unopened(disk, sector_size, diagnostics)
    for volume in volumes:
        if not volume.problem:
            _open_any(volume, diagnostics, keys or VolumeKeys(), shadow_copy)
    if shadow_copy and not any(volume.shadow_copy for volume in volumes):
        unread = [
            f"the volume at {volume.offset:#x}: {volume.problem}{f' ({volume.hint})' if volume.hint else ''}"
            for volume in volumes
            if volume.problem
        ]
        raise no_shadow_copy(shadow_copy, [copy for volume in volumes for copy in volume.shadow_copies], unread)
    return table, volumes


def _unopened(
    disk: ByteSource, sector_size: int, diagnostics: Diagnostics
) -> tuple[PartitionTable | None, list[Volume]]:
    """Return the partition table and the places of the volumes; one that is not all there has a problem."""
    bare = identify(disk.read_at(0, _HEAD))
    if bare.name != "unknown":
        return None, [Volume(0, 0, disk.size, None, bare, WindowSource(disk, 0, disk.size))]
    table = read_partitions(disk, sector_size)
    if table is None:
        return None, []
    for problem in table.problems:
        diagnostics.warning("disk.partition-table", f"The partition table is damaged: {problem}")
    dynamic = _dynamic(disk, table, diagnostics)
    volumes: list[Volume] = []
    for partition in table.partitions:
        if dynamic is not None and partition.type in LDM_TYPES:
            continue
        _tell_cut(disk, partition.offset, partition.offset + partition.size, diagnostics)
        source = WindowSource(disk, partition.offset, partition.size)
        volumes.append(Volume(len(volumes), partition.offset, partition.size, partition, _UNKNOWN, source))
    # Where Windows starts, the table keeps a partition of the same place.
    beneath = {item.offset: item for item in table.partitions if item.type in LDM_TYPES}
    for place in dynamic or ():
        _tell_cut(disk, place.offset, place.end, diagnostics)
        volumes.append(Volume(
            len(volumes), place.offset, place.size, beneath.get(place.offset), FileSystem("LDM"),
            place.source or ZeroSource(0), problem=place.problem, dynamic=place.fact,
        ))  # fmt: skip
    return table, volumes


def _dynamic(disk: ByteSource, table: PartitionTable, diagnostics: Diagnostics) -> list[DynamicPlace] | None:
    """Return the places of a dynamic disk's volumes; None for a basic disk, and where its database cannot be read."""
    if not any(item.type in LDM_TYPES for item in table.partitions):
        return None
    # Few disks are dynamic.
    from forensics.disk.dynamic import dynamic_places

    return dynamic_places(disk, table, diagnostics)


def _tell_cut(disk: ByteSource, offset: int, end: int, diagnostics: Diagnostics) -> None:
    if end > disk.size:
        diagnostics.warning(
            "disk.volume-cut",
            f"The partition at {offset:#x} ends at {end:#x}, behind the disk's end ({disk.size:#x}): "
            "what lies there cannot be read",
            hint="the image was cut short; copy it again",
        )


def _open_any(volume: Volume, diagnostics: Diagnostics, keys: VolumeKeys, shadow_copy: str) -> None:
    """Find out what a volume is, and open it."""
    source, size = volume.source, volume.size
    try:
        found = identify(source.read_at(0, _HEAD))
    except StopcodeError as error:
        found, volume.problem = _UNKNOWN, error.message
    kind = volume.partition.type if volume.partition is not None else ""
    if found.name == "unknown" and kind in _OTHER_KINDS and volume.dynamic is None:
        found = FileSystem(_OTHER_KINDS[kind])
    boot = None
    if found.name == "unknown" and (kind in _WINDOWS_TYPES or volume.dynamic) and not volume.problem:
        boot = _copied_boot_sector(source, size)
        if boot is not None:
            found = FileSystem("NTFS", f"{boot.serial:#x}")
            diagnostics.warning(
                "ntfs.boot-sector",
                f"The first sector of the volume at {volume.offset:#x} is damaged; its copy at the volume's end was "
                "taken",
                hint="Windows cannot boot from it before the sector is restored",
            )
    volume.file_system, volume.label = found, found.label
    if volume.boots:
        volume.role = "system"
    if found.name == "BitLocker":
        unlock(volume, keys, diagnostics)
    if volume.kind == "NTFS":
        volume.source, volume.shadow_copies, volume.shadow_copy = with_shadow_copies(
            volume.source, volume.offset, shadow_copy, diagnostics
        )
        _open(volume, None if volume.shadow_copy else boot, diagnostics)
    elif volume.problem and found.name != "BitLocker":
        diagnostics.error("volume.unreadable", f"The volume at {volume.offset:#x} cannot be read: {volume.problem}")


def _copied_boot_sector(source: ByteSource, size: int) -> BootSector | None:
    """Return the boot sector that NTFS keeps in the last sector of its partition, when it is that of this volume."""
    for sector in (512, 4096):
        try:
            boot = BootSector.parse(source.read_at(size - sector, 512))
        except StopcodeError:
            continue
        # The number of sectors does not count the copy; that of an older, smaller volume does not fit.
        if boot.size + sector == size:
            return boot
    return None


def _open(volume: Volume, boot: BootSector | None, diagnostics: Diagnostics) -> None:
    try:
        volume.ntfs = NtfsVolume(volume.source, boot)
    except StopcodeError as error:
        volume.problem = error.message
        diagnostics.error(
            "volume.unreadable",
            f"The NTFS volume at {volume.offset:#x} cannot be read: {error.message}",
            hint="chkdsk on a copy may bring the file system back",
        )
        return
    volume.ntfs, volume.journal = with_journal(volume.ntfs, volume.source, volume.offset, diagnostics)
    if volume.ntfs.used_mirror:
        diagnostics.warning(
            "ntfs.mft-mirror",
            f"The first file record of the volume at {volume.offset:#x} is damaged; its copy ($MFTMirr) was taken",
        )
    try:
        volume.label = volume.ntfs.label
        if volume.ntfs.dirty:
            diagnostics.info(
                "ntfs.dirty",
                f"The volume at {volume.offset:#x} is marked dirty: Windows would check it at its next boot",
            )
    except StopcodeError as error:
        diagnostics.warning(
            "ntfs.volume-record", f"The label of the volume at {volume.offset:#x} cannot be read: {error.message}"
        )
