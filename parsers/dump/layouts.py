"""Layouts of the dump header, its embedded records and the second headers, as construct declarations.

All integers are little endian. Sources: Microsoft mindumpdef.h (DUMP_HEADER32/64, attributes),
`0vercl0k/kdmp-parser: src/lib/kdmp-parser-structs.h`, `volatilityfoundation/volatility3: symbols/windows/crash*.json`,
`can1357/selene: resources/sdk/nt` (triage and summary structures from type information), and measurement on real
triage dumps of builds 19041, 22000 and 26100. Where a public layout and a real file differ, the file wins.
"""

from __future__ import annotations

from construct import Array, Bytes, Int16ul, Int32ul, Int64ul, Padding, Struct

from parsers.dump.fill import filled8, filled32, filled64

__all__ = [
    "BITMAP_HEADER",
    "DRIVER_ENTRY32",
    "DRIVER_ENTRY64",
    "DUMP_HEADER32",
    "DUMP_HEADER64",
    "EXCEPTION_RECORD32",
    "EXCEPTION_RECORD64",
    "RDMP_HEADER",
    "SUMMARY_HEADER32",
    "SUMMARY_HEADER64",
    "TRIAGE_DUMP32",
    "TRIAGE_DUMP64",
    "UNLOADED_ENTRY32",
    "UNLOADED_ENTRY64",
]

#: EXCEPTION_RECORD64, 0x98 bytes. In a dump's header it is a dummy (0x80000003 at KeBugCheckEx), never the fault.
EXCEPTION_RECORD64 = Struct(
    "exception_code" / Int32ul,
    "exception_flags" / Int32ul,
    "exception_record" / Int64ul,
    "exception_address" / Int64ul,
    "number_parameters" / Int32ul,
    Padding(4),
    "exception_information" / Array(15, Int64ul),
)

#: EXCEPTION_RECORD32, 0x50 bytes.
EXCEPTION_RECORD32 = Struct(
    "exception_code" / Int32ul,
    "exception_flags" / Int32ul,
    "exception_record" / Int32ul,
    "exception_address" / Int32ul,
    "number_parameters" / Int32ul,
    "exception_information" / Array(15, Int32ul),
)

#: DUMP_HEADER64, 0x2000 bytes.
DUMP_HEADER64 = Struct(
    "signature" / Bytes(4),  # 0x000 PAGE
    "valid_dump" / Bytes(4),  # 0x004 DU64
    "major_version" / filled32,  # 0x008 0xF free build, 0xC checked build
    "minor_version" / filled32,  # 0x00C base build: 19041 on every 19041..19045
    "directory_table_base" / filled64,  # 0x010 CR3; may carry flag bits
    "pfn_data_base" / filled64,  # 0x018
    "ps_loaded_module_list" / filled64,  # 0x020
    "ps_active_process_head" / filled64,  # 0x028
    "machine_image_type" / filled32,  # 0x030
    "number_processors" / filled32,  # 0x034
    "bug_check_code" / filled32,  # 0x038
    Padding(4),
    "bug_check_parameters" / Array(4, filled64),  # 0x040
    "version_user" / Bytes(32),  # 0x060
    "kd_debugger_data_block" / filled64,  # 0x080
    "physical_memory" / Bytes(700),  # 0x088
    Padding(4),
    "context_record" / Bytes(3000),  # 0x348
    "exception" / Bytes(0x98),  # 0xF00
    "dump_type" / filled32,  # 0xF98
    Padding(4),
    "required_dump_space" / filled64,  # 0xFA0 bytes
    "system_time" / filled64,  # 0xFA8 FILETIME, UTC
    "comment" / Bytes(128),  # 0xFB0
    "system_up_time" / filled64,  # 0x1030 100 ns units
    "mini_dump_fields" / filled32,  # 0x1038
    "secondary_data_state" / filled32,  # 0x103C
    "product_type" / filled32,  # 0x1040 1 workstation, 2 domain controller, 3 server
    "suite_mask" / filled32,  # 0x1044
    "writer_status" / filled32,  # 0x1048 0 = written without error
    Padding(1),
    "kd_secondary_version" / filled8(0x104D),  # 0x104D
    Padding(2),
    "attributes" / filled32,  # 0x1050
    "boot_id" / filled32,  # 0x1054
    Padding(0x198),
    # From here on: not documented; seen in nine of nine dumps of build 26100, zero or fill in older builds.
    "writer_message" / Bytes(0x100),  # 0x11F0 ASCII, the dump writer's last words
    "build_text" / Bytes(12),  # 0x12F0 UTF-16, "26100"
    Padding(4),
    "build_revision" / filled32,  # 0x1300 UBR
    Padding(0xCFC),
)

#: DUMP_HEADER32, 0x1000 bytes. 1760 reserved bytes lie between BootId and DumpType.
DUMP_HEADER32 = Struct(
    "signature" / Bytes(4),  # 0x000 PAGE
    "valid_dump" / Bytes(4),  # 0x004 DUMP
    "major_version" / filled32,  # 0x008
    "minor_version" / filled32,  # 0x00C
    "directory_table_base" / filled32,  # 0x010
    "pfn_data_base" / filled32,  # 0x014
    "ps_loaded_module_list" / filled32,  # 0x018
    "ps_active_process_head" / filled32,  # 0x01C
    "machine_image_type" / filled32,  # 0x020
    "number_processors" / filled32,  # 0x024
    "bug_check_code" / filled32,  # 0x028
    "bug_check_parameters" / Array(4, filled32),  # 0x02C
    "version_user" / Bytes(32),  # 0x03C
    "pae_enabled" / filled8(0x5C),  # 0x05C 1 = PAE page tables
    "kd_secondary_version" / filled8(0x5D),  # 0x05D
    Padding(2),
    "kd_debugger_data_block" / filled32,  # 0x060
    "physical_memory" / Bytes(700),  # 0x064
    "context_record" / Bytes(1200),  # 0x320
    "exception" / Bytes(0x50),  # 0x7D0
    "comment" / Bytes(128),  # 0x820
    "attributes" / filled32,  # 0x8A0
    "boot_id" / filled32,  # 0x8A4
    Padding(1760),
    "dump_type" / filled32,  # 0xF88
    "mini_dump_fields" / filled32,  # 0xF8C
    "secondary_data_state" / filled32,  # 0xF90
    "product_type" / filled32,  # 0xF94
    "suite_mask" / filled32,  # 0xF98
    "writer_status" / filled32,  # 0xF9C
    "required_dump_space" / filled64,  # 0xFA0
    Padding(16),
    "system_up_time" / filled64,  # 0xFB8
    "system_time" / filled64,  # 0xFC0
    Padding(56),
)

#: Second header of bitmap dumps (types 5 and 6), 0x38 bytes, then the bitmap; 32- and 64-bit alike.
BITMAP_HEADER = Struct(
    "signature" / Bytes(4),  # 0x00 SDMP or FDMP
    "valid_dump" / Bytes(4),  # 0x04 DUMP
    "dump_options" / Int32ul,  # 0x08
    Padding(0x14),
    "first_page" / Int64ul,  # 0x20 file offset of the first page
    "total_present_pages" / Int64ul,  # 0x28 set bits
    "pages" / Int64ul,  # 0x30 bits in the bitmap
)

#: Second header of old kernel summary dumps (type 2) of 64-bit Windows up to 7 / 2008 R2, 0x28 bytes.
SUMMARY_HEADER64 = Struct(
    "signature" / Bytes(4),  # 0x00 SDMP
    "valid_dump" / Bytes(4),  # 0x04 DUMP
    "dump_options" / Int32ul,  # 0x08
    "header_size" / Int32ul,  # 0x0C file offset of the first page
    "bitmap_size" / Int32ul,  # 0x10 bits in the bitmap
    "pages" / Int32ul,  # 0x14 set bits
    "size_of_bit_map" / Int32ul,  # 0x18 bits again (RTL_BITMAP)
    Padding(4),
    "buffer" / Int64ul,  # 0x20 a pointer of the dead machine
)

#: The same of 32-bit Windows, 0x20 bytes.
SUMMARY_HEADER32 = Struct(
    "signature" / Bytes(4),
    "valid_dump" / Bytes(4),
    "dump_options" / Int32ul,
    "header_size" / Int32ul,
    "bitmap_size" / Int32ul,
    "pages" / Int32ul,
    "size_of_bit_map" / Int32ul,
    "buffer" / Int32ul,
)

#: Second header of dumps by WinDbg's `.dump /k`, `/ka`, `/f` (types 8, 9, 0xA), 0x30 bytes, then ranges of
#: {u64 first page number, u64 page count}.
RDMP_HEADER = Struct(
    "marker" / Int32ul,  # 0x00 0x40
    "signature" / Bytes(4),  # 0x04 RDMP
    "valid_dump" / Bytes(4),  # 0x08 DUMP
    Padding(4),
    "metadata_size" / Int64ul,  # 0x10 first_page_offset = metadata_size + 0x2020
    "first_page_offset" / Int64ul,  # 0x18 file offset of the first page
    "number_of_ranges" / Int32ul,  # 0x20 type 0xA only; not reliable
    Padding(4),
    "total_number_of_pages" / Int64ul,  # 0x28 type 0xA only
)

#: TRIAGE_DUMP64 at file offset 0x2000, 0x80 bytes. Every offset is a file offset; 0 = absent.
TRIAGE_DUMP64 = Struct(
    "service_pack_build" / Int32ul,  # 0x00
    "size_of_dump" / Int32ul,  # 0x04 end of the triage part, not of the file
    "valid_offset" / Int32ul,  # 0x08 place of the end mark TRGD
    "context_offset" / Int32ul,  # 0x0C
    "exception_offset" / Int32ul,  # 0x10
    "mm_offset" / Int32ul,  # 0x14
    "unloaded_drivers_offset" / Int32ul,  # 0x18
    "prcb_offset" / Int32ul,  # 0x1C
    "process_offset" / Int32ul,  # 0x20
    "thread_offset" / Int32ul,  # 0x24
    "call_stack_offset" / Int32ul,  # 0x28
    "size_of_call_stack" / Int32ul,  # 0x2C
    "driver_list_offset" / Int32ul,  # 0x30
    "driver_count" / Int32ul,  # 0x34
    "string_pool_offset" / Int32ul,  # 0x38
    "string_pool_size" / Int32ul,  # 0x3C
    "broken_driver_offset" / Int32ul,  # 0x40
    "triage_options" / Int32ul,  # 0x44
    "top_of_stack" / Int64ul,  # 0x48 address of the first byte at call_stack_offset: the lowest one
    Padding(16),  # 0x50 IA64 only
    "data_page_address" / Int64ul,  # 0x60
    "data_page_offset" / Int32ul,  # 0x68
    "data_page_size" / Int32ul,  # 0x6C
    "debugger_data_offset" / Int32ul,  # 0x70
    "debugger_data_size" / Int32ul,  # 0x74
    "data_blocks_offset" / Int32ul,  # 0x78
    "data_blocks_count" / Int32ul,  # 0x7C
)

#: TRIAGE_DUMP32 at file offset 0x1000, 0x68 bytes.
TRIAGE_DUMP32 = Struct(
    "service_pack_build" / Int32ul,
    "size_of_dump" / Int32ul,
    "valid_offset" / Int32ul,
    "context_offset" / Int32ul,
    "exception_offset" / Int32ul,
    "mm_offset" / Int32ul,
    "unloaded_drivers_offset" / Int32ul,
    "prcb_offset" / Int32ul,
    "process_offset" / Int32ul,
    "thread_offset" / Int32ul,
    "call_stack_offset" / Int32ul,
    "size_of_call_stack" / Int32ul,
    "driver_list_offset" / Int32ul,
    "driver_count" / Int32ul,
    "string_pool_offset" / Int32ul,
    "string_pool_size" / Int32ul,
    "broken_driver_offset" / Int32ul,
    "triage_options" / Int32ul,
    "top_of_stack" / Int32ul,  # 0x48
    "data_page_address" / Int32ul,  # 0x4C
    "data_page_offset" / Int32ul,
    "data_page_size" / Int32ul,
    "debugger_data_offset" / Int32ul,
    "debugger_data_size" / Int32ul,
    "data_blocks_offset" / Int32ul,
    "data_blocks_count" / Int32ul,
)

#: One row of a triage dump's driver list, 0x90 bytes: a name offset and the short form of
#: KLDR_DATA_TABLE_ENTRY (0x88 bytes). Current type information says 0xA8; every real dump has 0x90.
DRIVER_ENTRY64 = Struct(
    "driver_name_offset" / Int32ul,  # 0x00 file offset of {u32 UTF-16 units, text}
    Padding(0x14),
    "exception_table" / Int64ul,  # 0x18 only in dumps that the kernel itself wrote
    "exception_table_size" / Int32ul,  # 0x20
    Padding(0x14),
    "dll_base" / Int64ul,  # 0x38
    "entry_point" / Int64ul,  # 0x40
    "size_of_image" / Int32ul,  # 0x48
    Padding(0x34),
    "check_sum" / Int32ul,  # 0x80
    Padding(4),
    "time_date_stamp" / Int32ul,  # 0x88 0 = not known
    Padding(4),
)

#: The same of 32-bit dumps, 0x4C bytes. Source: `rizinorg/rizin: librz/bin/format/dmp/dmp_specs.h`.
DRIVER_ENTRY32 = Struct(
    "driver_name_offset" / Int32ul,  # 0x00
    Padding(0x18),
    "dll_base" / Int32ul,  # 0x1C
    "entry_point" / Int32ul,  # 0x20
    "size_of_image" / Int32ul,  # 0x24
    Padding(0x1C),
    "check_sum" / Int32ul,  # 0x44
    "time_date_stamp" / Int32ul,  # 0x48
)

#: One unloaded driver of a triage dump, 0x38 bytes; the name is cut at 12 characters and has no terminator then.
UNLOADED_ENTRY64 = Struct(
    "length" / Int16ul,  # 0x00 bytes of the cut name
    "maximum_length" / Int16ul,
    Padding(12),
    "driver_name" / Bytes(24),  # 0x10 UTF-16
    "start_address" / Int64ul,  # 0x28
    "end_address" / Int64ul,  # 0x30
)

#: The same of 32-bit dumps, 0x28 bytes.
UNLOADED_ENTRY32 = Struct(
    "length" / Int16ul,
    "maximum_length" / Int16ul,
    Padding(4),
    "driver_name" / Bytes(24),  # 0x08
    "start_address" / Int32ul,  # 0x20
    "end_address" / Int32ul,  # 0x24
)
