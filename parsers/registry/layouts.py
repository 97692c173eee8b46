"""The structures of a registry hive as construct declarations: the documentation of what the reader does with `struct`.

Not imported by the reader (construct costs start-up time, and cells are read by the ten thousand); a test holds the
two against each other on real hives.

Source: Maxim Suhanov, "Windows registry file format specification" (msuhanov/regf). Integers are little-endian.
Offsets of cells count from the first hive bin, which stands at file offset 4096.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int16ul, Int32sl, Int32ul, Int64ul, Struct, this

__all__ = [
    "BASE_BLOCK",
    "BIG_DATA",
    "CELL",
    "HIVE_BIN",
    "INDEX_ELEMENT",
    "KEY_NODE",
    "KEY_VALUE",
    "SUBKEY_INDEX",
    "SUBKEY_LIST",
]

BASE_BLOCK = Struct(
    "signature" / Const(b"regf"),
    "primary_sequence" / Int32ul,  # raised when a write begins
    "secondary_sequence" / Int32ul,  # made equal when it ended
    "last_written" / Int64ul,  # FILETIME; not kept up to date since Windows 8.1
    "major_version" / Int32ul,
    "minor_version" / Int32ul,
    "file_type" / Int32ul,  # 0: the hive itself; 1, 2, 6: a log
    "file_format" / Int32ul,
    "root_cell" / Int32ul,
    "hive_bins_size" / Int32ul,
    "clustering_factor" / Int32ul,
    "file_name" / Bytes(64),
    "reserved" / Bytes(0x18C),
    "checksum" / Int32ul,  # exclusive or of the 127 words before
)

HIVE_BIN = Struct(
    "signature" / Const(b"hbin"),
    "offset" / Int32ul,
    "size" / Int32ul,
    "reserved" / Int64ul,
    "timestamp" / Int64ul,
    "spare" / Int32ul,
)

CELL = Struct(
    "size" / Int32sl,  # negative: in use; counts these four bytes
)

KEY_NODE = Struct(
    "signature" / Const(b"nk"),
    "flags" / Int16ul,  # 0x20: the name has one byte a character
    "last_written" / Int64ul,
    "access_bits" / Int32ul,
    "parent" / Int32ul,
    "subkey_count" / Int32ul,
    "volatile_subkey_count" / Int32ul,
    "subkey_list" / Int32ul,
    "volatile_subkey_list" / Int32ul,
    "value_count" / Int32ul,
    "value_list" / Int32ul,
    "security" / Int32ul,
    "class_name" / Int32ul,
    "largest_subkey_name" / Int32ul,
    "largest_subkey_class" / Int32ul,
    "largest_value_name" / Int32ul,
    "largest_value_data" / Int32ul,
    "work_var" / Int32ul,
    "name_length" / Int16ul,
    "class_length" / Int16ul,
    "name" / Bytes(this.name_length),
)

KEY_VALUE = Struct(
    "signature" / Const(b"vk"),
    "name_length" / Int16ul,
    "data_size" / Int32ul,  # bit 31: the data, at most four bytes, stand in data_offset itself
    "data_offset" / Int32ul,
    "type" / Int32ul,
    "flags" / Int16ul,  # bit 0: the name has one byte a character
    "spare" / Int16ul,
    "name" / Bytes(this.name_length),
)

#: Element of `lf` (a hint: the first four bytes of the name) and `lh` (a hash of the name).
INDEX_ELEMENT = Struct(
    "key" / Int32ul,
    "hint" / Int32ul,
)

#: `lf`, `lh`.
SUBKEY_INDEX = Struct(
    "signature" / Bytes(2),
    "count" / Int16ul,
    "elements" / Array(this.count, INDEX_ELEMENT),
)

#: `li` (keys), `ri` (other lists).
SUBKEY_LIST = Struct(
    "signature" / Bytes(2),
    "count" / Int16ul,
    "elements" / Array(this.count, Int32ul),
)

#: `db`: data longer than 16,344 bytes, since version 1.4.
BIG_DATA = Struct(
    "signature" / Const(b"db"),
    "count" / Int16ul,
    "segments" / Int32ul,
)
