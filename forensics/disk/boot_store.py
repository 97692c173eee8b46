r"""The boot configuration stores of a disk: where the firmware's boot manager would read them.

On a BIOS machine `\Boot\BCD` of the active partition, on a UEFI machine `\EFI\Microsoft\Boot\BCD` of the EFI system
partition; a disk that was converted may hold both. Stores elsewhere (recovery, setup media) boot nothing and are not
read. Source of the places: MicrosoftDocs/windows-itpro-docs and SupportArticles-docs, "Advanced troubleshooting for
Windows boot problems".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from forensics.disk.hives import open_hive
from parsers.bcd import BcdDevice, BcdStore
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError, StopcodeError

if TYPE_CHECKING:
    from forensics.collect.volume import FileTree

__all__ = ["BootStore", "BootVolume", "booted", "read_stores"]

_OS_DEVICE: Final = 0x21000001
_SYSTEM_ROOT: Final = 0x22000002
_PLACES: Final = (("uefi", "\\EFI\\Microsoft\\Boot\\BCD"), ("bios", "\\Boot\\BCD"))


@dataclass(frozen=True, slots=True)
class BootVolume:
    """A volume that a firmware may boot from.

    Attributes:
        name: what it is called.
        firmware: which kind boots from it: "uefi" (an EFI system partition) or "bios" (an active partition); "" when
            there is no partition table that would tell.
        files: its files; None when they cannot be read.
        problem: why not.

    """

    name: str
    firmware: str
    files: FileTree | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BootStore:
    """One store, or why what may be one cannot be read.

    Attributes:
        volume: the volume's name.
        path: its path there; "" of a volume that cannot be read.
        firmware: "uefi" or "bios", by its place; "" of a volume that cannot be read.
        store: what it says; None when it cannot be read.
        problem: why not.

    """

    volume: str
    path: str
    firmware: str
    store: BcdStore | None
    problem: str = ""


def read_stores(volumes: Sequence[BootVolume], diagnostics: Diagnostics) -> list[BootStore]:
    """Return the stores of a disk's boot volumes; each is opened with its logs."""
    found: list[BootStore] = []
    for volume in volumes:
        if volume.files is None:
            found.append(BootStore(volume.name, "", "", None, volume.problem))
            continue
        for firmware, path in _PLACES:
            if volume.firmware not in ("", firmware):
                continue
            try:
                if volume.files.stat(path) is None:
                    continue
                hive = open_hive(volume.files, path, "BCD", diagnostics)
                found.append(BootStore(volume.name, path, firmware, BcdStore(hive)))
            except ReadError as error:
                # Bytes that cannot be had say nothing of the store.
                found.append(BootStore(volume.name, "", "", None, f"{path}: {error.message}"))
            except StopcodeError as error:
                found.append(BootStore(volume.name, path, firmware, None, error.message))
    return found


def booted(stores: Sequence[BootStore]) -> tuple[bytes, str] | None:
    """Return what the default entry starts: its partition, as MountedDevices calls it, and its Windows folder.

    The folder is in lower case. None where the disk has not exactly one store, or its default entry names no partition.
    """
    if len(stores) != 1 or stores[0].store is None:
        return None
    store = stores[0].store
    try:
        entry = store.default_entry()
        device, root = store.find(entry, _OS_DEVICE), store.find(entry, _SYSTEM_ROOT)
    except StopcodeError:
        return None
    if not isinstance(device, BcdDevice) or not device.identity or not isinstance(root, str):
        return None
    return device.identity, root.rstrip("\\").lower()
