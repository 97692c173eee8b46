"""Layouts of a VHD, as construct declarations; all integers are big endian.

Sources: Microsoft "Virtual Hard Disk Image Format Specification" 1.0 (2006); footers and headers written by Virtual
PC, Hyper-V 2012 R2, Windows 10, Disk2vhd and qemu.
"""

from __future__ import annotations

from construct import Array, Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding, Struct

__all__ = ["DYNAMIC_HEADER", "FOOTER", "FOOTER_COOKIE", "HEADER_COOKIE", "PARENT_LOCATOR"]

FOOTER_COOKIE = b"conectix"
HEADER_COOKIE = b"cxsparse"

#: The last 512 bytes of the file; of dynamic and differencing disks also the first.
FOOTER = Struct(
    "cookie" / Bytes(8),  # 0x00 conectix
    "features" / Int32ub,  # 0x08 bit 1 always set, bit 0 temporary
    "file_format_version" / Int32ub,  # 0x0C 0x00010000
    "data_offset" / Int64ub,  # 0x10 of the dynamic header; all ones for fixed
    "time_stamp" / Int32ub,  # 0x18 seconds since 2000-01-01 UTC
    "creator_application" / Bytes(4),  # 0x1C "win ", "vpc ", "qemu", "d2v "
    "creator_version" / Int32ub,  # 0x20
    "creator_host_os" / Bytes(4),  # 0x24 "Wi2k" or "Mac "
    "original_size" / Int64ub,  # 0x28 bytes
    "current_size" / Int64ub,  # 0x30 bytes: the virtual disk
    "cylinders" / Int16ub,  # 0x38 geometry; smaller than current_size where that is large
    "heads" / Int8ub,  # 0x3A
    "sectors_per_track" / Int8ub,  # 0x3B
    "disk_type" / Int32ub,  # 0x3C 2 fixed, 3 dynamic, 4 differencing
    "checksum" / Int32ub,  # 0x40 ones' complement of the sum of the bytes, this field as 0
    "unique_id" / Bytes(16),  # 0x44
    "saved_state" / Int8ub,  # 0x54
    Padding(427),
)

#: Where the data of a parent's name lies.
PARENT_LOCATOR = Struct(
    "platform_code" / Bytes(4),  # 0x00 W2ru relative, W2ku absolute (UTF-16 LE); MacX a file URL (UTF-8)
    "platform_data_space" / Int32ub,  # 0x04 bytes, in old files sectors
    "platform_data_length" / Int32ub,  # 0x08 bytes
    Padding(4),
    "platform_data_offset" / Int64ub,  # 0x10 in the file
)

#: 1024 bytes at the footer's data_offset.
DYNAMIC_HEADER = Struct(
    "cookie" / Bytes(8),  # 0x000 cxsparse
    "data_offset" / Int64ub,  # 0x008 all ones
    "table_offset" / Int64ub,  # 0x010 of the BAT
    "header_version" / Int32ub,  # 0x018 0x00010000
    "max_table_entries" / Int32ub,  # 0x01C
    "block_size" / Int32ub,  # 0x020 bytes of data, without the bitmap before it
    "checksum" / Int32ub,  # 0x024 as the footer's, over 1024 bytes
    "parent_unique_id" / Bytes(16),  # 0x028
    "parent_time_stamp" / Int32ub,  # 0x038
    Padding(4),
    "parent_unicode_name" / Bytes(512),  # 0x040 UTF-16 big endian
    "parent_locators" / Array(8, PARENT_LOCATOR),  # 0x240
    Padding(256),
)
