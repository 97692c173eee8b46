"""The database of a dynamic disk as construct declarations: the documentation of what the reader does with `struct`.

Not imported by the reader (construct costs start-up time); a test holds the two against each other. Integers are
big-endian, places and sizes are in sectors where nothing else is said. The records behind the VBLK headers have fields
of variable length: [`ldm_records`](ldm_records.py).

Sources: mdbooth/libldm (src/ldm.c); torvalds/linux (block/partitions/ldm.c, ldm.h); the disks of Windows Server 2003 R2
and 2008 R2 in libldm's tests.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int8ub, Int16ub, Int32ub, Int64ub, Padding, Struct

__all__ = ["PRIVHEAD", "TOCBLOCK", "VBLK_HEAD", "VBLK_RECORD", "VMDB"]

#: In sector 6 of an MBR disk, in the last sector of the metadata partition of a GPT disk; copies in the database.
PRIVHEAD = Struct(
    "magic" / Const(b"PRIVHEAD"),
    "check" / Int32ub,  # differs from copy to copy; its rule is not known
    "major" / Int16ub,  # 2
    "minor" / Int16ub,  # 11: Windows 2000 to 2003; 12: Vista and later
    "updated" / Int64ub,
    "sequence" / Int64ub,
    "primary_private" / Int64ub,
    "secondary_private" / Int64ub,
    "disk_id" / Bytes(64),  # text of a UUID, zeros behind it
    "host_id" / Bytes(64),
    "group_id" / Bytes(64),
    "group_name" / Bytes(32),
    Padding(11),
    "data_start" / Int64ub,  # what parts count from
    "data_size" / Int64ub,
    "config_start" / Int64ub,  # the database
    "config_size" / Int64ub,
)

#: In the second sector of the database, with up to three copies.
TOCBLOCK = Struct(
    "magic" / Const(b"TOCBLOCK"),
    "sequence" / Int32ub,
    Padding(4),
    "sequence_again" / Int32ub,
    Padding(16),
    "regions"
    / Array(
        2,
        Struct(
            "name" / Bytes(8),  # "config", "log"
            "flags" / Int16ub,
            "start" / Int64ub,  # in the database
            "size" / Int64ub,
            Padding(8),
        ),
    ),
)

#: At the beginning of the "config" region.
VMDB = Struct(
    "magic" / Const(b"VMDB"),
    "last_record" / Int32ub,  # the records' number, those before the first one counted as if they were records
    "record_size" / Int32ub,  # bytes
    "first_record" / Int32ub,  # bytes from here
    "state" / Int16ub,  # 1: no change is under way
    "major" / Int16ub,  # 4
    "minor" / Int16ub,  # 10
    "group_name" / Bytes(31),
    "group_id" / Bytes(64),
    "committed" / Int64ub,  # sequence numbers of changes
    "pending" / Int64ub,
    "volumes" / Int32ub,
    "components" / Int32ub,
    "parts" / Int32ub,
    "disks" / Int32ub,
)

VBLK_HEAD = Struct(
    "magic" / Const(b"VBLK"),
    "sequence" / Int32ub,
    "group" / Int32ub,  # pieces of one record have the same
    "piece" / Int16ub,
    "pieces" / Int16ub,  # 0: not in use
)

VBLK_RECORD = Struct(
    "state" / Int16ub,
    "flags" / Int8ub,  # which optional fields there are
    "type" / Int8ub,  # revision in the high half, kind in the low one
    "size" / Int32ub,  # bytes of the fields
)
