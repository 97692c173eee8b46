"""The structures of NTFS as construct declarations: the documentation of what the reader does with `struct`.

Not imported by the reader (construct costs start-up time, and a driver folder has hundreds of records); a test holds
the two against each other on real volumes.

Source: the ntfs-3g sources (tuxera/ntfs-3g: include/ntfs-3g/layout.h), read beside fox-it/dissect.ntfs (c_ntfs.py).
Integers are little-endian. A reference is the number of a record (48 bits) and its sequence number (16 bits).
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int8sl, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct, this

__all__ = [
    "ATTRIBUTE_HEADER",
    "ATTRIBUTE_LIST_ENTRY",
    "BOOT_SECTOR",
    "FILE_NAME",
    "FILE_RECORD",
    "INDEX_BLOCK",
    "INDEX_ENTRY",
    "INDEX_HEADER",
    "INDEX_ROOT",
    "NON_RESIDENT",
    "RESIDENT",
]

BOOT_SECTOR = Struct(
    "jump" / Bytes(3),
    "oem_id" / Const(b"NTFS    "),
    "bytes_per_sector" / Int16ul,
    "sectors_per_cluster" / Int8ul,  # above 0x80: 2 ^ (256 - n)
    Padding(14),
    "hidden_sectors" / Int32ul,
    Padding(8),
    "number_of_sectors" / Int64ul,
    "mft_lcn" / Int64ul,
    "mftmirr_lcn" / Int64ul,
    "clusters_per_mft_record" / Int8sl,  # negative: 2 ^ -n bytes
    Padding(3),
    "clusters_per_index_record" / Int8sl,
    Padding(3),
    "volume_serial_number" / Int64ul,
)

FILE_RECORD = Struct(
    "magic" / Bytes(4),  # FILE; BAAD when Windows itself found it torn
    "usa_ofs" / Int16ul,
    "usa_count" / Int16ul,
    "lsn" / Int64ul,
    "sequence_number" / Int16ul,
    "link_count" / Int16ul,
    "attrs_offset" / Int16ul,
    "flags" / Int16ul,  # 1: in use; 2: a folder
    "bytes_in_use" / Int32ul,
    "bytes_allocated" / Int32ul,
    "base_mft_record" / Int64ul,
)

ATTRIBUTE_HEADER = Struct(
    "type" / Int32ul,
    "length" / Int32ul,
    "non_resident" / Int8ul,
    "name_length" / Int8ul,
    "name_offset" / Int16ul,
    "flags" / Int16ul,  # low byte: compressed; 0x4000: encrypted; 0x8000: sparse
    "instance" / Int16ul,
)

RESIDENT = Struct(
    "value_length" / Int32ul,
    "value_offset" / Int16ul,
)

NON_RESIDENT = Struct(
    "lowest_vcn" / Int64ul,
    "highest_vcn" / Int64ul,
    "mapping_pairs_offset" / Int16ul,
    "compression_unit" / Int8ul,  # log2 of its clusters
    Padding(5),
    "allocated_size" / Int64ul,
    "data_size" / Int64ul,
    "initialized_size" / Int64ul,  # what lies behind reads as zeros
)

ATTRIBUTE_LIST_ENTRY = Struct(
    "type" / Int32ul,
    "length" / Int16ul,
    "name_length" / Int8ul,
    "name_offset" / Int8ul,
    "lowest_vcn" / Int64ul,
    "mft_reference" / Int64ul,
    "instance" / Int16ul,
)

FILE_NAME = Struct(
    "parent_directory" / Int64ul,
    "creation_time" / Int64ul,
    "last_data_change_time" / Int64ul,
    "last_mft_change_time" / Int64ul,
    "last_access_time" / Int64ul,
    "allocated_size" / Int64ul,
    "data_size" / Int64ul,
    "file_attributes" / Int32ul,  # 0x10000000: a folder; 0x400: a reparse point
    "reparse_point_tag" / Int32ul,
    "file_name_length" / Int8ul,
    "file_name_type" / Int8ul,  # 0 POSIX, 1 Win32, 2 DOS, 3 both
    "file_name" / Array(this.file_name_length, Int16ul),
)

INDEX_HEADER = Struct(
    "entries_offset" / Int32ul,  # from the beginning of this header
    "index_length" / Int32ul,
    "allocated_size" / Int32ul,
    "flags" / Int8ul,
    Padding(3),
)

INDEX_ROOT = Struct(
    "type" / Int32ul,
    "collation_rule" / Int32ul,
    "index_block_size" / Int32ul,
    "clusters_per_index_block" / Int8ul,
    Padding(3),
    "index" / INDEX_HEADER,
)

INDEX_BLOCK = Struct(
    "magic" / Const(b"INDX"),
    "usa_ofs" / Int16ul,
    "usa_count" / Int16ul,
    "lsn" / Int64ul,
    "index_block_vcn" / Int64ul,
    "index" / INDEX_HEADER,
)

INDEX_ENTRY = Struct(
    "indexed_file" / Int64ul,
    "length" / Int16ul,
    "key_length" / Int16ul,
    "flags" / Int16ul,  # 1: the VCN of a block below stands in the last eight bytes; 2: the last entry
    Padding(2),
)
