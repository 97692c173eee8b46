"""Which file system a volume holds, by its first bytes alone.

Sources: Microsoft "exFAT file system specification", "FAT: General Overview of On-Disk Format" (BPB); for BitLocker
fox-it/dissect.fve (the GUIDs of its boot sectors, the mark of BitLocker To Go), held against real BitLocker volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

__all__ = ["FileSystem", "identify"]

#: Boot sectors of BitLocker volumes hold one of these, also where the OEM name is FAT's (BitLocker To Go).
_BITLOCKER: Final = tuple(
    UUID(text).bytes_le for text in ("4967d63b-2e29-4ad8-8399-f6a339e3d001", "92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8")
)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What the first bytes of a volume tell.

    Attributes:
        name: "NTFS", "FAT12", "FAT16", "FAT32", "exFAT", "ReFS", "BitLocker", "ext", "LVM", or "unknown".
        serial: the volume's serial number, hex with `0x`; "" when there is none.
        label: the label, where the boot sector holds it.

    """

    name: str
    serial: str = ""
    label: str = ""


def identify(data: bytes) -> FileSystem:
    """Tell the file system of a volume.

    Args:
        data: its first 2,048 bytes, or as many as there are.

    """
    oem = data[3:11]
    if oem == b"-FVE-FS-" or any(guid in data[:512] for guid in _BITLOCKER):
        return FileSystem("BitLocker")
    if oem == b"NTFS    ":
        return FileSystem("NTFS", f"{int.from_bytes(data[0x48:0x50], 'little'):#x}")
    if oem == b"EXFAT   ":
        return FileSystem("exFAT", f"{int.from_bytes(data[0x64:0x68], 'little'):#x}")
    if oem[:4] == b"ReFS":
        return FileSystem("ReFS")
    if data[510:512] == b"\x55\xaa" and data[0:1] in (b"\xeb", b"\xe9"):
        for name, at in (("FAT32", 0x52), ("FAT16", 0x36), ("FAT12", 0x36)):
            if data[at : at + 5] == name.encode():
                label = data[at - 11 : at].decode("ascii", "replace").strip()
                serial = int.from_bytes(data[at - 15 : at - 11], "little")
                return FileSystem(name, f"{serial:#x}", "" if label == "NO NAME" else label)
    if data[0x438:0x43A] == b"\x53\xef":
        return FileSystem("ext")
    if data[512:520] == b"LABELONE":
        return FileSystem("LVM")
    return FileSystem("unknown")
