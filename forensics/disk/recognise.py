"""What a file is, by its content: a disk container, a raw disk, or something else that has a better command.

Sources of the magic numbers: the specifications and readers named in the modules that read each format; for the rest
`file/file: magic/Magdir`.
"""

from __future__ import annotations

from pathlib import Path

from parsers.bytesource import ByteSource
from parsers.disk.vhd import find_footer
from parsers.disk.vhd_layouts import FOOTER_COOKIE
from parsers.disk.vhdx import IDENTIFIER
from parsers.errors import NotADiskError, UnsupportedError

__all__ = ["holds_file_system", "is_partitioned", "looks_raw", "recognise"]

_HEAD = 0x1200
#: (offset, bytes, kind): containers that are read.
_CONTAINERS = (
    (0, IDENTIFIER, "VHDX"),
    (0, FOOTER_COOKIE, "VHD"),
    (0, b"KDMV", "VMDK"),
    (0, b"COWD", "VMDK"),
    (0, b"\xbe\xba\xfe\xca\0\0\0\0", "VMDK"),
    (0, b"# Disk DescriptorFile", "VMDK"),
    (0, b"QFI\xfb", "QCOW2"),
    (0x40, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"EVF\t\r\n\xff\0", "E01"),
)
_UNPACK = "unpack it first"
_COLLECTED = "stopcode scan reads an archive of collected files as it is; a disk image in one has to be unpacked"
#: (offset, bytes, what it is, hint): disks of a kind that is not read.
_UNSUPPORTED = (
    (0, b"LUKS\xba\xbe", "a LUKS-encrypted volume", "open it with cryptsetup and scan the device it gives"),
    (0, b"EVF2\r\n\x81\0", "an EnCase 7 image (Ex01)", "convert it to E01 or raw"),
    (
        0,
        b"LVF\t\r\n\xff\0",
        "a logical evidence file (L01): files, not a disk",
        "extract the files and scan the folder",
    ),
    (
        0,
        b"LEF2\r\n\x81\0",
        "a logical evidence file (Lx01): files, not a disk",
        "extract the files and scan the folder",
    ),
    (0, b"WithoutFreeSpace", "a Parallels disk", "convert it: qemu-img convert -O raw"),
    (0, b"WithouFreSpacExt", "a Parallels disk", "convert it: qemu-img convert -O raw"),
    (0, b"ADSEGMENTEDFILE\0", "an AccessData image (AD1)", "convert it to E01 or raw"),
    (0, b"AFF10\r\n\0", "an AFF image", "convert it to raw: affconvert -r"),
    (0, b"MSWIM\0\0\0", "a Windows image (WIM)", "apply it with wimlib-imagex and scan the folder"),
)
#: (offset, bytes, what it is, hint): no disks.
_OTHERS = (
    (0, b"PAGEDU64", "a crash dump", "use: stopcode dump FILE"),
    (0, b"PAGEDUMP", "a crash dump", "use: stopcode dump FILE"),
    (0, b"MDMP", "a minidump of a process, not of the kernel", "open it with WinDbg"),
    (0, b"regf", "a registry hive", "scan the disk or the folder that it came from"),
    (0, b"ElfFile\0", "an event log", "scan the disk or the folder that it came from"),
    (0, b"MZ", "a program or driver", ""),
    (0, b"hibr", "a hibernation file", ""),
    (0, b"HIBR", "a hibernation file", ""),
    (0, b"PK\x03\x04", "a zip archive", _COLLECTED),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"MSCF", "a cabinet archive", _UNPACK),
    (257, b"ustar", "a tar archive", _COLLECTED),
    (0x8001, b"CD001", "a CD or DVD image (ISO)", "name the machine's disk, not the installation medium"),
    (0, b"<?xml", "an XML text", ""),
    (0, b"{", "a text", ""),
)
#: (offset, bytes): what a file system or an encrypted volume begins with.
_FILE_SYSTEMS = (
    (3, b"NTFS    "),
    (3, b"-FVE-FS-"),
    (3, b"ReFS\0\0\0\0"),
    (3, b"EXFAT   "),
    (0, b"XFSB"),
)
#: The same, of boot sectors that end with 55 AA: their names are short, and texts hold them too.
_FAT = ((3, b"MSWIN4.1"), (3, b"MSDOS5.0"), (0x36, b"FAT"), (0x52, b"FAT32"))
#: Bytes of a magic number that is believed before a look for a partition table.
_PLAIN = 4


def holds_file_system(sector: bytes) -> bool:
    """Return whether a volume's first sectors are those of a file system or of a BitLocker volume."""
    if any(sector.startswith(magic, offset) for offset, magic in _FILE_SYSTEMS):
        return True
    if sector[510:512] == b"\x55\xaa" and any(sector.startswith(magic, offset) for offset, magic in _FAT):
        return True
    # ext2 to ext4: a magic number of two bytes, so the block size (1 KiB << n) must be sane as well.
    return sector[0x438:0x43A] == b"\x53\xef" and int.from_bytes(sector[0x418:0x41C], "little") <= 6


def is_partitioned(sector: bytes) -> bool:
    """Return whether a disk's first sector is an MBR: signature, and four entries that can be entries."""
    if len(sector) < 512 or sector[510:512] != b"\x55\xaa" or holds_file_system(sector):
        return False
    return all(sector[at] in (0, 0x80) for at in range(446, 510, 16))


def looks_raw(source: ByteSource, head: bytes) -> bool:
    """Return whether a file is a raw disk or volume: a partition table, or a file system, at its beginning or end."""
    if is_partitioned(head) or holds_file_system(head):
        return True
    if head.startswith(b"EFI PART", 512) or head.startswith(b"EFI PART", 4096):
        return True
    # The first sectors may be damaged: GPT and NTFS keep copies of theirs at the end.
    tail = source.read_at(max(0, source.size - 4096), 4096)
    return any(tail.startswith((b"EFI PART", b"\xebR\x90NTFS    "), at) for at in range(0, len(tail), 512))


def recognise(source: ByteSource, path: Path) -> str:
    """Return the kind of a disk image: "VHDX", "VHD", "VMDK", "QCOW2", "VDI", "E01" or "raw".

    Args:
        source: the file.
        path: its name, for messages, and where the content leaves a choice.

    Raises:
        NotADiskError: it is something else; the hint says what to do with it.
        UnsupportedError: a disk of a kind that is not read.

    """
    name = path.name
    if source.size == 0:
        raise NotADiskError(f"{name} is empty", hint="copy or download it again")
    head = source.read_at(0, _HEAD)
    for offset, magic, kind in _CONTAINERS:
        if head.startswith(magic, offset):
            return kind
    if find_footer(source) is not None:
        return "VHD"
    for offset, magic, what, hint in _UNSUPPORTED:
        if head.startswith(magic, offset):
            raise UnsupportedError(f"{name} is {what}, which stopcode does not read", hint=hint)
    # A dump's memory may hold boot sectors, at its end too; what begins so plainly is not looked at any further.
    for offset, magic, what, hint in _OTHERS:
        if offset == 0 and len(magic) >= _PLAIN and head.startswith(magic):
            raise NotADiskError(f"{name} is {what}, not a disk image", hint=hint)
    if looks_raw(source, head):
        return "raw"
    if source.read_at(0x10000, 4) == b"head" and source.read_at(0x30000, 4) == b"regi":
        return "VHDX"
    for offset, magic, what, hint in _OTHERS:
        there = head if offset + len(magic) <= len(head) else source.read_at(offset, len(magic))
        if there.startswith(magic, offset if there is head else 0):
            raise NotADiskError(f"{name} is {what}, not a disk image", hint=hint)
    raise NotADiskError(*_nothing(name, head, path.suffix.lower()))


def _nothing(name: str, head: bytes, suffix: str) -> tuple[str]:
    if not head.strip(b"\0"):
        return (f"{name} begins with zeros: no container, no partition table, no file system",)
    if all(byte in b"\t\r\n\f\x1b" or byte >= 0x20 for byte in head[:512]):
        return (f"{name} looks like a text, not like a disk image",)
    known = {".vhd": "VHD", ".vhdx": "VHDX", ".avhdx": "VHDX", ".vmdk": "VMDK", ".qcow2": "QCOW2", ".vdi": "VDI"}
    if suffix in known:
        return (f"{name} is named like a {known[suffix]}, but holds none: no header, no partition table",)
    return (f"{name} is not a disk image: no container, no partition table, no file system",)
