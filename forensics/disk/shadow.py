"""The shadow copies of a volume, as the user is told of them, and the volume as one of them has it."""

from __future__ import annotations

from typing import NamedTuple

from forensics.facts import ShadowCopyDict, filetime_to_iso
from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, OpenError, StopcodeError
from parsers.vss import ShadowCopy, read_shadow_copies

__all__ = ["Shadowed", "no_shadow_copy", "with_shadow_copies"]


class Shadowed(NamedTuple):
    """What shadow copies make of a volume.

    Attributes:
        source: its bytes, or those of the copy that is asked for.
        copies: its copies, the oldest one first.
        read: the one that is asked for; None where it is not of this volume.

    """

    source: ByteSource
    copies: list[ShadowCopyDict]
    read: ShadowCopyDict | None = None


def with_shadow_copies(source: ByteSource, offset: int, wanted: str, diagnostics: Diagnostics) -> Shadowed:
    """Return the shadow copies of an NTFS volume, and its bytes as the copy that is asked for has them.

    Args:
        source: the volume.
        offset: where it begins on the disk.
        wanted: identifier of a copy or of a set of copies, or its beginning; "" for the volume as it is.
        diagnostics: told of the copies, and of what is damaged.

    Raises:
        OpenError: the copy that is asked for is there, and cannot be read.

    """
    where = f"the volume at {offset:#x}"
    try:
        found = read_shadow_copies(source)
    except StopcodeError as error:
        diagnostics.warning("volume.shadow-copies-damaged", f"The shadow copies of {where}: {error.message}")
        return Shadowed(source, [])
    if found is None:
        return Shadowed(source, [])
    for problem in filter(None, (found.problem, *(copy.problem for copy in found.copies))):
        diagnostics.warning("volume.shadow-copies-damaged", f"The shadow copies of {where}: {problem}")
    copies = [_described(copy) for copy in found.copies]
    if copies:
        made = ", ".join(copy.get("created", "at an unknown time") for copy in copies)
        diagnostics.info(
            "volume.shadow-copies",
            f"{where[0].upper()}{where[1:]} has shadow copies ({len(copies)}), made {made}",
            hint="--shadow-copy ID looks at the volume as one of them has it; stopcode disk lists them",
        )
    for number, copy in enumerate(found.copies):
        if wanted and any(str(each or "").startswith(wanted) for each in (copy.id, copy.set_id)):
            # Few ask for one.
            from parsers.vss_volume import ShadowVolume

            try:
                if found.problem:
                    # What a copy does not hold itself, a newer one that is missing in the list may.
                    raise FormatError("VSS", f"the list of copies is not whole: {found.problem}")
                shadow = ShadowVolume(source, found.copies, number)
            except StopcodeError as error:
                message = f"the shadow copy {copy.id} cannot be read: {error.message}"
                raise OpenError(message, hint=error.hint) from error
            diagnostics.info(
                "volume.shadow-copy-read",
                f"{where[0].upper()}{where[1:]} is read as its shadow copy {copy.id} has it, not as it is",
            )
            return Shadowed(shadow, copies, copies[number])
    return Shadowed(source, copies)


def _described(copy: ShadowCopy) -> ShadowCopyDict:
    made: ShadowCopyDict = {}
    created = filetime_to_iso(copy.created)
    if created is not None:
        made["created"] = created
    if copy.id is not None and copy.set_id is not None:
        made["id"], made["set"] = str(copy.id), str(copy.set_id)
    if copy.machine:
        made["machine"] = copy.machine
    if copy.problem:
        made["problem"] = copy.problem
    return made


def no_shadow_copy(wanted: str, copies: list[ShadowCopyDict], unread: list[str]) -> OpenError:
    """Return the error for a shadow copy that no volume has.

    Args:
        wanted: its identifier, as it was asked for.
        copies: those that there are.
        unread: volumes that may have it, each with the reason why that is not known.

    """
    there = "; ".join(f"{copy['id']} of {copy.get('created', 'an unknown time')}" for copy in copies if "id" in copy)
    hints = [f"there are: {there}"] if there else [] if unread else ["there is none"]
    hints += [f"not known of {volume}" for volume in unread]
    return OpenError(f"no volume has the shadow copy {wanted}", hint="; ".join(hints))
