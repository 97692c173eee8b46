"""How far a disk's own partition table or file system says that it reaches, to notice a disk that was cut."""

from __future__ import annotations

from forensics.disk.recognise import holds_file_system, is_partitioned
from parsers.bytesource import ByteSource

__all__ = ["claimed_end", "sector_size_of"]

_PROTECTIVE = 0xEE


def sector_size_of(source: ByteSource) -> int:
    """Return the logical sector size that a raw disk's partition table counts in: 512, or 4096 where that is plain.

    It is plain where the GPT lies at byte 4096, or where the first partition begins with a file system when its
    place is counted in 4096 bytes, and with none when it is counted in 512.
    """
    first = source.read_at(0, 512)
    if source.read_at(512, 8) == b"EFI PART":
        return 512
    if source.read_at(4096, 8) == b"EFI PART":
        return 4096
    if is_partitioned(first):
        for at in range(446, 510, 16):
            place = int.from_bytes(first[at + 8 : at + 12], "little")
            if first[at + 4] and place:
                large, small = source.read_at(place * 4096, 512), source.read_at(place * 512, 512)
                return 4096 if holds_file_system(large) and not holds_file_system(small) else 512
    return 512


def claimed_end(source: ByteSource, sector_size: int) -> tuple[int, str] | None:
    """Return (end in bytes, what says so), or None when nothing says how long the disk is.

    Args:
        source: the virtual disk.
        sector_size: bytes of a logical sector, in which partition tables count.

    """
    first = source.read_at(0, 512)
    if len(first) < 512:
        return None
    if first[3:11] == b"NTFS    ":
        bytes_per_sector = int.from_bytes(first[0x0B:0x0D], "little")
        return int.from_bytes(first[0x28:0x30], "little") * bytes_per_sector, "the NTFS boot sector"
    gpt = source.read_at(sector_size, 512)
    if gpt.startswith(b"EFI PART"):
        # The table's copy is in the last sector of the disk it was made for.
        return (int.from_bytes(gpt[0x20:0x28], "little") + 1) * sector_size, "the GUID partition table"
    if not is_partitioned(first):
        return None
    ends = [
        (int.from_bytes(first[at + 8 : at + 12], "little") + int.from_bytes(first[at + 12 : at + 16], "little"))
        for at in range(446, 510, 16)
        if first[at + 4] not in (0, _PROTECTIVE)
    ]
    return (max(ends) * sector_size, "the partition table") if ends else None
