"""The declared layouts against published offsets, and against the compiled ones that do the work."""

from __future__ import annotations

import random
from typing import Any

import pytest
from construct import Construct

from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.dump import layouts, modules, triage
from parsers.dump.bitmap import PageBitmap, PageRanges
from parsers.dump.blocks import BlockMemory
from parsers.dump.context import (
    ARM64_CONTEXT,
    X64_CONTEXT,
    X86_CONTEXT,
    ExceptionRecord,
    X64Context,
    X86Context,
)
from parsers.dump.extents import Extent, ExtentMap
from parsers.dump.kdbg import KDDEBUGGER_DATA64, KdDebuggerData
from parsers.dump.kinds import KIND_NAMES
from parsers.dump.memory import EmptyMemory
from parsers.dump.modules import KLDR_DATA_TABLE_ENTRY32, KLDR_DATA_TABLE_ENTRY64
from parsers.dump.process import image_name, image_name_offset
from parsers.dump.trap_frame import ARM64_TRAP_FRAME, X64_TRAP_FRAME, X86_TRAP_FRAME, X86_TRAP_FRAME_BLUE
from parsers.errors import FormatError, ReadError, TruncatedError


def offsets(layout: Any) -> dict[str, int]:
    found, at = {}, 0
    for part in layout.subcons:
        if part.name:
            found[part.name] = at
        at += part.sizeof()
    return found


#: Sizes and offsets as Microsoft's headers and type listings print them.
PUBLISHED: list[tuple[Any, int, dict[str, int]]] = [
    (layouts.DUMP_HEADER64, 0x2000, {
        "major_version": 0x8, "minor_version": 0xC, "directory_table_base": 0x10, "pfn_data_base": 0x18,
        "ps_loaded_module_list": 0x20, "ps_active_process_head": 0x28, "machine_image_type": 0x30,
        "number_processors": 0x34, "bug_check_code": 0x38, "bug_check_parameters": 0x40, "version_user": 0x60,
        "kd_debugger_data_block": 0x80, "physical_memory": 0x88, "context_record": 0x348, "exception": 0xF00,
        "dump_type": 0xF98, "required_dump_space": 0xFA0, "system_time": 0xFA8, "comment": 0xFB0,
        "system_up_time": 0x1030, "mini_dump_fields": 0x1038, "secondary_data_state": 0x103C, "product_type": 0x1040,
        "suite_mask": 0x1044, "writer_status": 0x1048, "kd_secondary_version": 0x104D, "attributes": 0x1050,
        "boot_id": 0x1054, "writer_message": 0x11F0, "build_text": 0x12F0, "build_revision": 0x1300}),
    (layouts.DUMP_HEADER32, 0x1000, {
        "directory_table_base": 0x10, "ps_loaded_module_list": 0x18, "machine_image_type": 0x20,
        "number_processors": 0x24, "bug_check_code": 0x28, "bug_check_parameters": 0x2C, "version_user": 0x3C,
        "pae_enabled": 0x5C, "kd_debugger_data_block": 0x60, "physical_memory": 0x64, "context_record": 0x320,
        "exception": 0x7D0, "comment": 0x820, "attributes": 0x8A0, "boot_id": 0x8A4, "dump_type": 0xF88,
        "product_type": 0xF94, "required_dump_space": 0xFA0, "system_up_time": 0xFB8, "system_time": 0xFC0}),
    (layouts.TRIAGE_DUMP64, 0x80, {"valid_offset": 8, "driver_list_offset": 0x30, "top_of_stack": 0x48,
                                   "data_page_address": 0x60, "debugger_data_offset": 0x70,
                                   "data_blocks_count": 0x7C}),
    (layouts.TRIAGE_DUMP32, 0x68, {"top_of_stack": 0x48, "data_page_address": 0x4C, "debugger_data_offset": 0x58,
                                   "data_blocks_offset": 0x60, "data_blocks_count": 0x64}),
    (layouts.BITMAP_HEADER, 0x38, {"first_page": 0x20, "total_present_pages": 0x28, "pages": 0x30}),
    (layouts.SUMMARY_HEADER64, 0x28, {"header_size": 0xC, "bitmap_size": 0x10, "pages": 0x14, "buffer": 0x20}),
    (layouts.SUMMARY_HEADER32, 0x20, {"buffer": 0x1C}),
    (layouts.RDMP_HEADER, 0x30, {"metadata_size": 0x10, "first_page_offset": 0x18, "total_number_of_pages": 0x28}),
    (layouts.DRIVER_ENTRY64, 0x90, {"dll_base": 0x38, "size_of_image": 0x48, "check_sum": 0x80,
                                    "time_date_stamp": 0x88, "exception_table": 0x18}),
    (layouts.DRIVER_ENTRY32, 0x4C, {"dll_base": 0x1C, "size_of_image": 0x24, "check_sum": 0x44,
                                    "time_date_stamp": 0x48}),
    (layouts.UNLOADED_ENTRY64, 0x38, {"driver_name": 0x10, "start_address": 0x28}),
    (layouts.UNLOADED_ENTRY32, 0x28, {"driver_name": 0x08, "start_address": 0x20}),
    (layouts.EXCEPTION_RECORD64, 0x98, {"exception_address": 0x10, "exception_information": 0x20}),
    (layouts.EXCEPTION_RECORD32, 0x50, {"exception_address": 0xC, "exception_information": 0x14}),
    (KLDR_DATA_TABLE_ENTRY64, 0xA0, {"dll_base": 0x30, "size_of_image": 0x40, "full_buffer": 0x50,
                                     "base_buffer": 0x60, "flags": 0x68, "check_sum": 0x78, "time_date_stamp": 0x9C}),
    (KLDR_DATA_TABLE_ENTRY32, 0x44, {"dll_base": 0x18, "size_of_image": 0x20, "full_buffer": 0x28,
                                     "base_buffer": 0x30, "flags": 0x34, "check_sum": 0x40}),
    (X64_CONTEXT, 0x4D0, {"context_flags": 0x30, "mx_csr": 0x34, "seg_cs": 0x38, "seg_ss": 0x42, "e_flags": 0x44,
                          "general": 0x78, "rip": 0xF8, "vector": 0x300, "vector_control": 0x4A0,
                          "last_exception_from_rip": 0x4C8}),
    (X86_CONTEXT, 0x2CC, {"seg_gs": 0x8C, "edi": 0x9C, "ebp": 0xB4, "eip": 0xB8, "esp": 0xC4, "extended": 0xCC}),
    (ARM64_CONTEXT, 0x390, {"cpsr": 4, "x": 8, "fp": 0xF0, "lr": 0xF8, "sp": 0x100, "pc": 0x108, "fpcr": 0x310,
                            "wvr": 0x380}),
    (X64_TRAP_FRAME, 0x190, {"exception_active": 0x2B, "rax": 0x30, "r11": 0x60, "fault_address": 0xD0,
                             "seg_ds": 0x130, "rbx": 0x140, "rbp": 0x158, "error_code": 0x160, "rip": 0x168,
                             "seg_cs": 0x170, "e_flags": 0x178, "rsp": 0x180, "seg_ss": 0x188}),
    (ARM64_TRAP_FRAME, 0x150, {"exception_active": 0x0, "context_from_kframes_unwound": 1, "debug_registers_valid": 2,
                               "previous_irql": 3, "fault_address": 0x8, "vfp_state": 0x10, "bcr": 0x18, "bvr": 0x38,
                               "wcr": 0x78, "wvr": 0x80, "spsr": 0x90, "esr": 0x94, "sp": 0x98, "x": 0xA0,
                               "lr": 0x138, "fp": 0x140, "pc": 0x148}),
    (X86_TRAP_FRAME, 0x74, {"dbg_arg_mark": 0x8, "dbg_arg_pointer": 0xC, "temp_seg_cs": 0x10, "temp_esp": 0x14,
                            "debug": 0x18, "seg_gs": 0x30, "seg_ds": 0x38, "edx": 0x3C, "ecx": 0x40, "eax": 0x44,
                            "exception_list": 0x4C, "edi": 0x54, "ebx": 0x5C, "ebp": 0x60, "error_code": 0x64,
                            "eip": 0x68, "seg_cs": 0x6C, "e_flags": 0x70}),
    (X86_TRAP_FRAME_BLUE, 0x74, {"dbg_arg_mark": 0x8, "temp_seg_cs": 0xC, "temp_esp": 0x10, "debug": 0x14,
                                 "seg_gs": 0x2C, "seg_ds": 0x34, "edx": 0x38, "ecx": 0x3C, "eax": 0x40,
                                 "mx_csr": 0x48, "exception_list": 0x4C, "edi": 0x54, "ebx": 0x5C, "ebp": 0x60,
                                 "error_code": 0x64, "eip": 0x68, "seg_cs": 0x6C, "e_flags": 0x70}),
    (KDDEBUGGER_DATA64, 0x3A0, {
        "OwnerTag": 0x10, "KernBase": 0x18, "PaeEnabled": 0x36, "PsLoadedModuleList": 0x48, "KiBugcheckData": 0x88,
        "MmPfnDatabase": 0xC0, "MmHighestPhysicalPage": 0xF0, "NtBuildLab": 0x208, "KiProcessorBlock": 0x218,
        "MmUnloadedDrivers": 0x220, "MmLastUnloadedDriver": 0x228, "CmNtCSDVersion": 0x268,
        "MmPhysicalMemoryBlock": 0x270, "OffsetKThreadNextProcessor": 0x298, "OffsetKThreadApcProcess": 0x2A0,
        "SizeEProcess": 0x2A8, "SizePrcb": 0x2B0, "OffsetPrcbNumber": 0x2BE, "SizeEThread": 0x2C0,
        "OffsetPrcbProcStateSpecialReg": 0x2F2, "IopNumTriageDumpDataBlocks": 0x308, "OffsetPrcbContext": 0x338,
        "OffsetKThreadStackLimit": 0x340, "OffsetPrcbIdleThread": 0x350, "OffsetPrcbDpcStack": 0x354,
        "OffsetPrcbIsrStack": 0x356, "PteBase": 0x360, "PointerAuthMask": 0x390, "OffsetPrcbExceptionStack": 0x398}),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "size", "places"), PUBLISHED)
def test_layouts_have_the_published_sizes_and_offsets(layout: Any, size: int, places: dict[str, int]) -> None:
    assert isinstance(layout, Construct)
    assert layout.sizeof() == size
    assert {name: at for name, at in offsets(layout).items() if name in places} == places


COMPILED = [
    (layouts.DRIVER_ENTRY64, triage._DRIVER64, [
        "driver_name_offset", "exception_table", "exception_table_size", "dll_base", "entry_point", "size_of_image",
        "check_sum", "time_date_stamp"]),
    (layouts.DRIVER_ENTRY32, triage._DRIVER32, [
        "driver_name_offset", "dll_base", "entry_point", "size_of_image", "check_sum", "time_date_stamp"]),
    (layouts.UNLOADED_ENTRY64, triage._UNLOADED64, ["length", "driver_name", "start_address", "end_address"]),
    (layouts.UNLOADED_ENTRY32, triage._UNLOADED32, ["length", "driver_name", "start_address", "end_address"]),
    (KLDR_DATA_TABLE_ENTRY64, modules._ENTRY64, [
        "flink", "exception_table", "exception_table_size", "dll_base", "entry_point", "size_of_image", "full_length",
        "full_buffer", "base_length", "base_buffer", "check_sum", "time_date_stamp"]),
    (KLDR_DATA_TABLE_ENTRY32, modules._ENTRY32, [
        "flink", "exception_table", "exception_table_size", "dll_base", "entry_point", "size_of_image", "full_length",
        "full_buffer", "base_length", "base_buffer", "check_sum"]),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "compiled", "names"), COMPILED)
def test_the_compiled_layout_reads_what_the_declared_one_reads(layout: Any, compiled: Any, names: list[str]) -> None:
    assert compiled.size == layout.sizeof()
    data = random.Random(17763).randbytes(layout.sizeof())
    parsed = layout.parse(data)
    assert list(compiled.unpack(data)) == [parsed[name] for name in names]


def test_the_short_record_of_old_builds_is_the_beginning_of_the_long_one() -> None:
    data = random.Random(7601).randbytes(0xA0)
    assert modules._ENTRY64_SHORT.size == 0x7C
    assert modules._ENTRY64_SHORT.unpack(data[:0x7C]) == modules._ENTRY64.unpack(data)[:11]


def test_every_documented_type_has_a_name() -> None:
    assert sorted(KIND_NAMES) == [1, 2, 3, 4, 5, 6, 8, 9, 10]


# -- small parts ------------------------------------------------------------------------------------------------


def test_the_rank_index_counts_like_a_plain_list() -> None:
    rng = random.Random(5)
    bits = 3 * 4096 + 1234
    bitmap = bytearray(rng.randbytes((bits + 7) // 8))
    bitmap[700:1400] = bytes(700)
    pages = PageBitmap(bytes(bitmap), bits)
    present = [number for number in range(bits) if bitmap[number // 8] >> number % 8 & 1]
    assert pages.count == len(present)
    assert list(pages.numbers()) == present
    places = {number: index for index, number in enumerate(present)}
    for number in [*range(0, bits, 7), 4095, 4096, 8191, 8192, bits - 1, bits, bits + 5, -1]:
        assert pages.index_of(number) == places.get(number)


def test_an_empty_bitmap_holds_nothing() -> None:
    pages = PageBitmap(b"", 0)
    assert (pages.count, pages.limit, list(pages.numbers()), pages.index_of(0)) == (0, 0, [], None)


def test_unsorted_ranges_keep_the_files_order() -> None:
    ranges = PageRanges([(100, 3), (5, 2), (50, 1)])
    assert [ranges.index_of(number) for number in (100, 102, 5, 6, 50, 51, 103, 4)] == [0, 2, 3, 4, 5, None, None, None]
    assert list(ranges.numbers()) == [5, 6, 50, 100, 101, 102]
    assert (ranges.count, ranges.limit, ranges.overlapping) == (6, 103, 0)


def test_overlapping_extents_are_flattened_as_a_painter_would() -> None:
    rng = random.Random(9)
    for _ in range(200):
        given = [Extent(rng.randrange(60), rng.randrange(12), rng.randrange(1000)) for _ in range(rng.randrange(12))]
        canvas: dict[int, int] = {}
        for extent in given:
            for unit in range(extent.start, extent.end):
                canvas.setdefault(unit, extent.place + unit - extent.start)
        made = ExtentMap(given)
        painted = {e.start + k: e.place + k for e in made.extents for k in range(e.size)}
        assert painted == canvas
        assert all(one.end <= two.start for one, two in zip(made.extents, made.extents[1:], strict=False))
        for unit in range(80):
            index = made.index(unit)
            assert (index is not None) == (unit in canvas)


def test_a_read_runs_over_blocks_that_touch_and_stops_at_a_gap() -> None:
    memory = BlockMemory(
        BytesSource(b"0123456789abcdef"),
        [Extent(0x1008, 4, 4), Extent(0x1000, 8, 8), Extent(0x2000, 100, 12)],
        Diagnostics(),
    )
    assert memory.read(0x1000, 12) == b"89abcdef4567"
    assert memory.read_available(0x1006, 100) == b"ef4567"
    with pytest.raises(ReadError, match="not in the dump") as caught:
        memory.read(0x1000, 13)
    assert caught.value.address == 0x100C
    assert memory.read(0x2000, 4) == b"cdef"
    with pytest.raises(ReadError, match="beyond the cut"):
        memory.read(0x2000, 5)
    assert memory.u32(0x1000) == int.from_bytes(b"89ab", "little")
    assert memory.u16(0x1000) == int.from_bytes(b"89", "little")
    assert memory.read(0x5000, 0) == b""


def test_an_empty_memory_says_why() -> None:
    with pytest.raises(ReadError, match=r"0x10: not in the dump \(because\)"):
        EmptyMemory("because").read(0x10, 1)


def test_an_image_name_is_text_padded_with_zeros() -> None:
    assert image_name(b"System\0\0\0\0\0\0\0\0\0") == "System"
    assert image_name(b"EpicGamesLaunc\0") == "EpicGamesLaunc"
    assert image_name(b"x\0y\0\0\0\0\0\0\0\0\0\0\0\0") is None
    assert image_name(bytes(15)) is None
    assert image_name(b"\xff" * 15) is None
    assert image_name_offset("x64", 0x850, 17763) == (0x450, False)
    assert image_name_offset("x64", 0xB80, 20348) == (0x5A8, True)
    assert image_name_offset("arm64", 0xC80, 22000) == (0x560, False)
    assert image_name_offset("x86", 0x2C0, 7601) == (0x16C, False)


def test_a_debugger_block_ends_where_its_size_says() -> None:
    block = bytearray(0x3A0)
    block[0x10:0x18] = b"KDBG" + (0x340).to_bytes(4, "little")
    block[0x338:0x33A] = b"\x34\x12"
    block[0x360:0x368] = b"\xff" * 8
    kdbg = KdDebuggerData(bytes(block), 0xFFFFF80000001000)
    assert kdbg.size == 0x340
    assert kdbg.value("OffsetPrcbContext") == 0x1234
    assert kdbg.value("PteBase") is None
    assert kdbg.value("KernBase") is None
    with pytest.raises(FormatError, match="no tag"):
        KdDebuggerData(bytes(0x340), 0)
    with pytest.raises(FormatError, match="size no kernel has"):
        KdDebuggerData(bytes(0x10) + b"KDBG" + b"\xff" * 8, 0)
    with pytest.raises(FormatError, match="too short"):
        KdDebuggerData(b"KDBG", 0)


@pytest.mark.parametrize("parse", [X64Context.parse, X86Context.parse, ExceptionRecord.parse])
def test_short_records_are_truncated(parse: Any) -> None:
    with pytest.raises(TruncatedError):
        parse(bytes(0x40))


def test_an_x86_context_gives_its_registers() -> None:
    context = bytearray(0x2CC)
    context[0xB8:0xBC], context[0xC4:0xC8] = b"\1\2\3\x80", b"\0\0\1\x80"
    x86 = X86Context.parse(bytes(context))
    assert (x86.eip, x86.esp) == (0x80030201, 0x80010000)


def test_an_exception_record_keeps_the_parameters_in_use() -> None:
    data = bytearray(0x98)
    data[:4] = (0xC0000005).to_bytes(4, "little")
    data[0x18:0x1C] = (2).to_bytes(4, "little")
    data[0x20:0x30] = (1).to_bytes(8, "little") + (0x1234).to_bytes(8, "little")
    assert ExceptionRecord.parse(bytes(data)).information == (1, 0x1234)
    data[0x18:0x1C] = b"\xff" * 4
    assert len(ExceptionRecord.parse(bytes(data)).information) == 15
