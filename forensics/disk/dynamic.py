"""The volumes of a dynamic disk (LDM), as far as one disk holds them.

A simple volume, and one that was extended on the same disk, lies on the disk whole. Of a mirrored volume each half is a
whole copy, and the one that is here is read. Volumes that are spanned, striped or RAID-5 over several disks cannot be
read from one of them: an image is one disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from forensics.facts import DynamicDict
from parsers.bytesource import ByteSource, WindowSource
from parsers.diagnostics import Diagnostics
from parsers.disk.ldm import DynamicVolume, Part, read_dynamic_disk
from parsers.disk.partitions import PartitionTable
from parsers.disk.reading import ConcatSource, ExtentSource
from parsers.errors import StopcodeError
from parsers.limits import MAX_LDM_PARTS

__all__ = ["DynamicPlace", "dynamic_places"]

_KINDS = {"raid5": "RAID-5", "unknown": "of an unknown kind"}


@dataclass(frozen=True, slots=True)
class DynamicPlace:
    """A volume of the group of which this disk holds something.

    Attributes:
        offset: bytes on the disk, of the first part that is here.
        end: where on the disk the last part that is here ends.
        size: bytes of the volume.
        source: its bytes; None where they are not all here.
        fact: what the database says of it.
        problem: why its bytes are not all here; "" where they are.

    """

    offset: int
    end: int
    size: int
    source: ByteSource | None
    fact: DynamicDict
    problem: str = ""


def dynamic_places(disk: ByteSource, table: PartitionTable, diagnostics: Diagnostics) -> list[DynamicPlace] | None:
    """Return the volumes of a dynamic disk by their place; None where its database cannot be read.

    Args:
        disk: the disk.
        table: its partition table, which says that it is one.
        diagnostics: told which disk of which group it is, and what is doubtful.

    """
    try:
        found = read_dynamic_disk(disk, table)
    except StopcodeError as error:
        diagnostics.warning(
            "disk.dynamic-database",
            f"The database of the dynamic disk cannot be read: {error.message}",
            hint="volumes are looked for where the partition table has them",
        )
        return None
    for problem in found.problems:
        diagnostics.warning("disk.dynamic-database", f"The database of the dynamic disk: {problem}")
    diagnostics.info(
        "disk.dynamic",
        f"The disk is {found.name or 'a disk'} of the dynamic disk group {found.group}, which has "
        f"{len(found.disks)} disk{'' if len(found.disks) == 1 else 's'}",
    )
    places = [_place(disk, volume, diagnostics) for volume in found.volumes if _parts_here(volume)]
    return sorted(places, key=lambda place: place.offset)


def _parts_here(volume: DynamicVolume) -> list[Part]:
    return [part for copy in volume.copies for part in copy if part.here]


def _place(disk: ByteSource, volume: DynamicVolume, diagnostics: Diagnostics) -> DynamicPlace:
    here = _parts_here(volume)
    offset, end = min(part.offset for part in here), max(part.offset + part.size for part in here)
    disks = sorted({part.disk for copy in volume.copies for part in copy})
    fact: DynamicDict = {"name": volume.name, "kind": volume.kind, "disks": disks}
    if volume.drive:
        fact["drive"] = volume.drive
    kind = _KINDS.get(volume.kind, volume.kind)
    what = f"The dynamic volume {volume.name} ({kind}, on {', '.join(disks)})"
    whole = next((copy for copy in _by_state(volume) if _is_whole(volume, copy)), None)
    if whole is None or volume.kind not in ("simple", "spanned", "mirrored"):
        missing = [name for name in disks if name not in {part.disk for part in here}]
        reason = f"other parts of it are on {', '.join(missing)}" if missing else "its parts make no whole volume"
        problem = f"the dynamic volume {volume.name} is {kind}: {reason}"
        diagnostics.warning(
            "disk.dynamic-volume",
            f"{what} cannot be read: {reason}",
            hint="a volume on several disks must be copied to one first" if missing else "",
        )
        return DynamicPlace(offset, end, volume.size, None, fact, problem)
    if volume.states[0] != "ACTIVE" or _state(volume, whole) != "ACTIVE":
        diagnostics.warning("disk.dynamic-volume", f"{what} is not active: {' '.join(volume.states)}")
    if volume.kind == "mirrored":
        diagnostics.info("disk.dynamic-mirror", f"{what}: the half on {whole[0].disk} is read; the other may be newer")
    if len(whole) == 1:
        return DynamicPlace(offset, end, volume.size, WindowSource(disk, offset, volume.size), fact)
    # A part that the image does not have to its end must not move up what stands behind it.
    parts: list[ByteSource] = [ExtentSource(disk, part.offset, part.size, format="LDM") for part in whole]
    return DynamicPlace(offset, end, volume.size, ConcatSource(parts), fact)


def _by_state(volume: DynamicVolume) -> list[tuple[Part, ...]]:
    """Return the copies of a volume, the active ones first."""
    return sorted(volume.copies, key=lambda copy: _state(volume, copy) != "ACTIVE")


def _state(volume: DynamicVolume, copy: tuple[Part, ...]) -> str:
    return volume.states[1 + volume.copies.index(copy)]


def _is_whole(volume: DynamicVolume, copy: tuple[Part, ...]) -> bool:
    """Tell whether all parts of a copy are on this disk and lie one behind the other."""
    at = 0
    if len(copy) > MAX_LDM_PARTS:
        return False
    for part in copy:
        if not part.here or part.at != at:
            return False
        at += part.size
    return 0 < volume.size <= at
