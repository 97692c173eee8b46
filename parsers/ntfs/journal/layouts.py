"""The structures of `$LogFile` as construct declarations: the documentation of what the reader does with `struct`.

Not imported by the reader, for construct costs start-up time; a test holds the two against each other.

Source: torvalds/linux fs/ntfs3/fslog.c, tuxera/ntfs-3g (include/ntfs-3g/logfile.h, ntfsprogs/ntfsrecover.h). Integers
are little-endian.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int16ul, Int32ul, Int64ul, Padding, Struct, this

__all__ = ["LOG_RECORD", "RECORD_PAGE", "RESTART_AREA", "RESTART_CLIENT", "RESTART_PAGE"]

RESTART_PAGE = Struct(
    "magic" / Const(b"RSTR"),
    "usa_ofs" / Int16ul,
    "usa_count" / Int16ul,
    "chkdsk_lsn" / Int64ul,
    "system_page_size" / Int32ul,
    "log_page_size" / Int32ul,
    "restart_offset" / Int16ul,
    "minor_ver" / Int16ul,
    "major_ver" / Int16ul,
)

RESTART_AREA = Struct(
    "current_lsn" / Int64ul,
    "log_clients" / Int16ul,
    "client_free_list" / Int16ul,
    "client_in_use_list" / Int16ul,  # 0xFFFF: none
    "flags" / Int16ul,  # 2: clean
    "seq_number_bits" / Int32ul,
    "restart_area_length" / Int16ul,
    "client_array_offset" / Int16ul,
    "file_size" / Int64ul,
    "last_lsn_data_length" / Int32ul,
    "record_length" / Int16ul,
    "log_page_data_offset" / Int16ul,
)

RESTART_CLIENT = Struct(
    "oldest_lsn" / Int64ul,
    "client_restart_lsn" / Int64ul,
    "prev_client" / Int16ul,
    "next_client" / Int16ul,
    "seq_number" / Int16ul,
    Padding(6),
    "client_name_length" / Int32ul,
    "client_name" / Bytes(this.client_name_length),
)

RECORD_PAGE = Struct(
    "magic" / Const(b"RCRD"),
    "usa_ofs" / Int16ul,
    "usa_count" / Int16ul,
    "last_lsn" / Int64ul,  # in a tail page of version 1.x: where the page belongs
    "flags" / Int32ul,
    "page_count" / Int16ul,
    "page_position" / Int16ul,
    "next_record_offset" / Int16ul,
    Padding(6),
    "last_end_lsn" / Int64ul,
    "usa" / Bytes(18),
    Padding(2),
    "file_offset" / Int32ul,  # in a fast page of version 2.0: where the page belongs
)

LOG_RECORD = Struct(
    "this_lsn" / Int64ul,
    "client_previous_lsn" / Int64ul,
    "client_undo_next_lsn" / Int64ul,
    "client_data_length" / Int32ul,
    "client_seq_number" / Int16ul,
    "client_index" / Int16ul,
    "record_type" / Int32ul,
    "transaction_id" / Int32ul,
    "flags" / Int16ul,  # 1: goes on in the next page
    Padding(6),
    # What NTFS writes, from here on.
    "redo_operation" / Int16ul,
    "undo_operation" / Int16ul,
    "redo_offset" / Int16ul,
    "redo_length" / Int16ul,
    "undo_offset" / Int16ul,
    "undo_length" / Int16ul,
    "target_attribute" / Int16ul,
    "lcns_to_follow" / Int16ul,
    "record_offset" / Int16ul,
    "attribute_offset" / Int16ul,
    "cluster_block_offset" / Int16ul,  # in blocks of 512 bytes
    "target_block_size" / Int16ul,
    "target_vcn" / Int64ul,
    "lcn_list" / Array(this.lcns_to_follow, Int64ul),
)
