"""Partition tables as construct declarations: the documentation of what the reader does with `struct`.

Not imported by the reader (construct costs start-up time); a test holds the two against each other.

Source: UEFI Specification 2.10, section 5.2 (MBR) and 5.3 (GPT). Integers are little-endian.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

__all__ = ["GPT_ENTRY", "GPT_HEADER", "MBR"]

_MBR_RECORD = Struct(
    "boot_indicator" / Int8ul,  # 0x80: active
    Padding(3),  # first cylinder, head and sector
    "os_type" / Int8ul,
    Padding(3),  # last cylinder, head and sector
    "starting_lba" / Int32ul,
    "size_in_lba" / Int32ul,
)

MBR = Struct(
    "boot_code" / Bytes(440),
    "unique_mbr_disk_signature" / Int32ul,
    "unknown" / Int16ul,
    "partition_record" / Array(4, _MBR_RECORD),
    "signature" / Const(b"\x55\xaa"),
)

GPT_HEADER = Struct(
    "signature" / Const(b"EFI PART"),
    "revision" / Int32ul,
    "header_size" / Int32ul,
    "header_crc32" / Int32ul,  # over header_size bytes with this field zero
    "reserved" / Int32ul,
    "my_lba" / Int64ul,
    "alternate_lba" / Int64ul,
    "first_usable_lba" / Int64ul,
    "last_usable_lba" / Int64ul,
    "disk_guid" / Bytes(16),
    "partition_entry_lba" / Int64ul,
    "number_of_partition_entries" / Int32ul,
    "size_of_partition_entry" / Int32ul,
    "partition_entry_array_crc32" / Int32ul,
)

GPT_ENTRY = Struct(
    "partition_type_guid" / Bytes(16),  # mixed-endian; zeros: not in use
    "unique_partition_guid" / Bytes(16),
    "starting_lba" / Int64ul,
    "ending_lba" / Int64ul,  # the last one, included
    "attributes" / Int64ul,
    "partition_name" / Bytes(72),
)
