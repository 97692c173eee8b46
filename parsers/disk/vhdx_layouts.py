"""Layouts of a VHDX, as construct declarations; all integers are little endian, GUIDs as Windows stores them.

Source: Microsoft [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format", compared with `qemu/qemu: block/vhdx.h` and
`libyal/libvhdi`. Every checksum is a CRC-32C over the whole structure with the checksum field as 0.
"""

from __future__ import annotations

import struct
from uuid import UUID

from construct import Bytes, Int16ul, Int32ul, Int64ul, Padding, Struct

__all__ = [
    "BAT_REGION",
    "DATA_DESCRIPTOR",
    "FAST_DESCRIPTOR",
    "FAST_LOG_ENTRY",
    "FILE_PARAMETERS",
    "FILE_PARAMETERS_ITEM",
    "HEADER",
    "KNOWN_ITEMS",
    "LOCATOR_ENTRY",
    "LOCATOR_HEADER",
    "LOGICAL_SECTOR_SIZE",
    "LOG_ENTRY_HEADER",
    "METADATA_ENTRY",
    "METADATA_HEADER",
    "METADATA_REGION",
    "PARENT_LOCATOR",
    "PHYSICAL_SECTOR_SIZE",
    "REGION_ENTRY",
    "REGION_HEADER",
    "VHDX_LOCATOR_TYPE",
    "VIRTUAL_DISK_ID",
    "VIRTUAL_DISK_SIZE",
    "ZERO_DESCRIPTOR",
]

#: At 0x10000 and 0x20000; the checksum covers 4096 bytes.
HEADER = Struct(
    "signature" / Bytes(4),  # 0x00 head
    "checksum" / Int32ul,  # 0x04
    "sequence_number" / Int64ul,  # 0x08 of the two valid headers the higher one counts
    "file_write_guid" / Bytes(16),  # 0x10
    "data_write_guid" / Bytes(16),  # 0x20 what a child's parent_linkage names
    "log_guid" / Bytes(16),  # 0x30 not zero: the log must be replayed
    "log_version" / Int16ul,  # 0x40 0
    "version" / Int16ul,  # 0x42 1
    "log_length" / Int32ul,  # 0x44
    "log_offset" / Int64ul,  # 0x48
)

#: At 0x30000 and 0x40000; the checksum covers 64 KiB.
REGION_HEADER = Struct(
    "signature" / Bytes(4),  # 0x00 regi
    "checksum" / Int32ul,  # 0x04
    "entry_count" / Int32ul,  # 0x08
    Padding(4),
)

REGION_ENTRY = Struct(
    "guid" / Bytes(16),  # 0x00
    "file_offset" / Int64ul,  # 0x10
    "length" / Int32ul,  # 0x18
    "required" / Int32ul,  # 0x1C bit 0
)

METADATA_HEADER = Struct(
    "signature" / Bytes(8),  # 0x00 metadata
    Padding(2),
    "entry_count" / Int16ul,  # 0x0A
    Padding(20),
)

METADATA_ENTRY = Struct(
    "item_id" / Bytes(16),  # 0x00
    "offset" / Int32ul,  # 0x10 from the region's start
    "length" / Int32ul,  # 0x14
    "flags" / Int32ul,  # 0x18 1 user, 2 virtual disk, 4 required
    Padding(4),
)

FILE_PARAMETERS = Struct(
    "block_size" / Int32ul,  # 0x00
    "flags" / Int32ul,  # 0x04 bit 0 leave blocks allocated (fixed), bit 1 has parent
)

LOCATOR_HEADER = Struct(
    "locator_type" / Bytes(16),  # 0x00
    Padding(2),
    "key_value_count" / Int16ul,  # 0x12
)

LOCATOR_ENTRY = Struct(
    "key_offset" / Int32ul,  # 0x00 from the locator's start, as value_offset
    "value_offset" / Int32ul,  # 0x04
    "key_length" / Int16ul,  # 0x08 bytes of UTF-16 LE, as value_length
    "value_length" / Int16ul,  # 0x0A
)

#: Begins an entry of the log; the checksum covers entry_length bytes.
LOG_ENTRY_HEADER = Struct(
    "signature" / Bytes(4),  # 0x00 loge
    "checksum" / Int32ul,  # 0x04
    "entry_length" / Int32ul,  # 0x08 multiple of 4096
    "tail" / Int32ul,  # 0x0C where in the log the sequence begins
    "sequence_number" / Int64ul,  # 0x10
    "descriptor_count" / Int32ul,  # 0x18
    Padding(4),
    "log_guid" / Bytes(16),  # 0x20 the header's
    "flushed_file_offset" / Int64ul,  # 0x30 the file is at least this long
    "last_file_offset" / Int64ul,  # 0x38 the file is to be made this long
)

DATA_DESCRIPTOR = Struct(
    "signature" / Bytes(4),  # 0x00 desc
    "trailing_bytes" / Bytes(4),  # 0x04 the sector's last 4 bytes
    "leading_bytes" / Bytes(8),  # 0x08 its first 8
    "file_offset" / Int64ul,  # 0x10 multiple of 4096
    "sequence_number" / Int64ul,  # 0x18
)

ZERO_DESCRIPTOR = Struct(
    "signature" / Bytes(4),  # 0x00 zero
    Padding(4),
    "zero_length" / Int64ul,  # 0x08 multiple of 4096
    "file_offset" / Int64ul,  # 0x10 multiple of 4096
    "sequence_number" / Int64ul,  # 0x18
)

#: The same bytes as LOG_ENTRY_HEADER and DATA_DESCRIPTOR: a log of 1 MiB is tried at each of its 4 KiB places.
FAST_LOG_ENTRY = struct.Struct("<4sIIIQI4x16sQQ")
FAST_DESCRIPTOR = struct.Struct("<4s4s8sQQ")

BAT_REGION = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
METADATA_REGION = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
FILE_PARAMETERS_ITEM = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
VIRTUAL_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
VIRTUAL_DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746").bytes_le
LOGICAL_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
PHYSICAL_SECTOR_SIZE = UUID("cda348c7-445d-4471-9cc9-e9885251c556").bytes_le
PARENT_LOCATOR = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
VHDX_LOCATOR_TYPE = UUID("b04aefb7-d19e-4a81-b789-25b8e9445913").bytes_le
KNOWN_ITEMS = frozenset(
    {
        FILE_PARAMETERS_ITEM,
        VIRTUAL_DISK_SIZE,
        VIRTUAL_DISK_ID,
        LOGICAL_SECTOR_SIZE,
        PHYSICAL_SECTOR_SIZE,
        PARENT_LOCATOR,
    }
)
