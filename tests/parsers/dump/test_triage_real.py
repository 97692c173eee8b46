"""The eight real triage dumps against values derived by other means (other parsers, hex dumps, WinDbg's output)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from parsers.bytesource import FileSource
from parsers.dump.context import Arm64Context, ExceptionRecord, X64Context
from parsers.dump.open import Dump, open_dump
from parsers.errors import ReadError

pytestmark = pytest.mark.realdata

Give = Callable[[str], Path]


class Row(NamedTuple):
    file: str
    size: int
    machine: str
    build: int
    true_build: int
    processors: int
    code: int
    parameters: tuple[int, int, int, int]
    system_time: int
    up_time: int
    drivers: int
    unloaded: int
    blocks: int
    process: str
    kernel_generated: bool


ROWS = [
    Row("triage_x64.dmp", 1444532, "x64", 19041, 19041, 16, 0x1000007E,
        (0xFFFFFFFFC0000005, 0xFFFFF8048B58334C, 0xFFFF850429891EE8, 0xFFFF850429891720),
        0x01D707F23DBB3399, 0x23BC1E9, 151, 4, 1831, "System", False),
    Row("triage_arm64.dmp", 1216428, "arm64", 22000, 22000, 8, 0x1C8,
        (0x1B58, 0xFFFFF803F3A20860, 0, 0),
        0x01D7A9137C0DBDD7, 0x1DADF9678, 245, 11, 679, "System", False),
    Row("7e_1.dmp", 1286740, "x64", 19041, 19045, 4, 0x1000007E,
        (0xFFFFFFFFC000001D, 0xFFFFF801D566634E, 0xFFFF838D7CC26478, 0xFFFF838D7CC25CB0),
        0x01DB390286056932, 0x9F8477AA, 189, 12, 1678, "System", False),
    Row("7e_2.dmp", 1369924, "x64", 19041, 19045, 4, 0x1000007E,
        (0xFFFFFFFFC000001D, 0xFFFFF803F382634E, 0xFFFFA30B68E2E478, 0xFFFFA30B68E2DCB0),
        0x01DB382F9A88DF51, 0x36198E55F, 188, 8, 1681, "System", False),
    Row("9f.dmp", 4177980, "x64", 19041, 19045, 20, 0x9F,
        (3, 0xFFFFD68FE35B8050, 0xFFFFD007D6287BA0, 0xFFFFD68FE383B8A0),
        0x01DB5FB9704EBEED, 0x4FBAF060A, 184, 6, 4908, "EpicGamesLaunc", False),
    Row("be_1.dmp", 2710738, "x64", 26100, 26100, 12, 0x1A,
        (0x41792, 0xFFFFAB8103853048, 0x2000000000, 0),
        0x01DB3EB98F132244, 0xFBE3CF2, 200, 10, 48, "MsMpEng.exe", True),
    Row("082325-12593-01.dmp", 874207, "x64", 26100, 26100, 16, 0x65,
        (0, 0, 0, 0),
        0x01DC140DB6D4AB03, 0x1EE13AA8F5, 218, 17, 49, "System", True),
    Row("102622-17265-01.dmp", 2881324, "x64", 19041, 19043, 16, 0x1E,
        (0xFFFFFFFFC000001D, 0xFFFFF80146417980, 0xFFFF940DB3B8D040, 0),
        0x01D8E980040B9D92, 0x7EC854CF90, 208, 21, 330, "System", False),
]  # fmt: skip

#: file, index, name or path in the list, base, SizeOfImage, TimeDateStamp, CheckSum
MODULES = [
    ("triage_x64.dmp", 0, r"\SystemRoot\system32\ntoskrnl.exe", 0xFFFFF8047BA00000, 0x1046000, 0x0D8333E6, 0xA5938C),
    ("triage_x64.dmp", 16, r"\SystemRoot\system32\drivers\Wdf01000.sys",
     0xFFFFF80479950000, 0xD1000, 0xA9A9D36E, 0xD3980),
    ("triage_x64.dmp", 143, r"\SystemRoot\System32\drivers\amdppm.sys",
     0xFFFFF8048B580000, 0x3B000, 0xC9C03000, 0x38E6B),
    ("triage_arm64.dmp", 0, r"\SystemRoot\system32\ntoskrnl.exe", 0xFFFFF803F2E00000, 0x103E000, 0xDF291B09, 0xA892FC),
    ("7e_1.dmp", 0, r"\SystemRoot\system32\ntoskrnl.exe", 0xFFFFF80081C00000, 0x1046000, 0xF5E79FC4, 0xA60AD5),
    ("7e_1.dmp", 188,
     r"\SystemRoot\System32\DriverStore\FileRepository\nv_dispig.inf_amd64_0afec3f2050014a0\nvlddmkm.sys",
     0xFFFFF801D5540000, 0x45DA000, 0x66BC3D51, 0x448B97C),
    ("7e_2.dmp", 187,
     r"\SystemRoot\System32\DriverStore\FileRepository\nv_dispig.inf_amd64_0afec3f2050014a0\nvlddmkm.sys",
     0xFFFFF803F3700000, 0x45DA000, 0x66BC3D51, 0x448B97C),
    ("9f.dmp", 41, r"\SystemRoot\System32\drivers\iaStorAC.sys", 0xFFFFF804761E0000, 0x1C0000, 0x5F27E423, 0x169C13),
    ("9f.dmp", 61, r"\SystemRoot\System32\drivers\disk.sys", 0xFFFFF804770C0000, 0x1D000, 0xBA604057, 0x23F46),
    ("9f.dmp", 111, r"\SystemRoot\System32\drivers\rtwlane.sys", 0xFFFFF804AC4A0000, 0xB7A000, 0x5F352DDD, 0xB54C0B),
    ("9f.dmp", 143, r"\SystemRoot\System32\drivers\dump_iaStorAC.sys",
     0xFFFFF8049FBA0000, 0x1C0000, 0x5F27E423, 0x169C13),
    ("9f.dmp", 182, r"\SystemRoot\System32\drivers\hiber_iaStorAC.sys",
     0xFFFFF804D4080000, 0x1C0000, 0x5F27E423, 0x169C13),
    ("be_1.dmp", 0, "ntoskrnl.exe", 0xFFFFF8009EE00000, 0x144F000, 0x3C5028DE, 0xC2F8D9),
    ("082325-12593-01.dmp", 166, "ibthfp.sys", 0xFFFFF80469310000, 0x3F000, 0x57D888D6, 0x3F962),
    ("102622-17265-01.dmp", 0, r"\SystemRoot\system32\ntoskrnl.exe",
     0xFFFFF80146200000, 0x1046000, 0xBF639DC3, 0xA65EFF),
]  # fmt: skip

UNLOADED = {
    "triage_x64.dmp": "dam.sys WdBoot.sys hwpolicy.sys mcupdate.dll",
    "triage_arm64.dmp": "MSKSSRV.sys WdFilter.sys WdNisDrv.sys WdNisDrv.sys dump_storpor dump_storufs dump_dumpfve "
    "WUDFRd.sys WUDFRd.sys WUDFRd.sys WdBoot.sys",
    "7e_1.dmp": "monitor.sys monitor.sys MSKSSRV.sys MSKSSRV.sys WUDFRd.sys WdmCompanion dump_ataport dump_atapi.s "
    "dump_dumpfve dam.sys WdBoot.sys hwpolicy.sys",
    "7e_2.dmp": "monitor.sys monitor.sys dump_ataport dump_atapi.s dump_dumpfve dam.sys WdBoot.sys hwpolicy.sys",
    "9f.dmp": "dump_storpor dump_iaStorA dump_dumpfve dam.sys WdBoot.sys hwpolicy.sys",
    "be_1.dmp": "NetworkPriva dump_storpor dump_stornvm dump_dumpfve dam.sys KMPDC.sys uiomap.sys vgk.sys WdBoot.sys "
    "hwpolicy.sys",
    "082325-12593-01.dmp": "vwifimp.sys raspppoe.sys raspptp.sys rasl2tp.sys USBSTOR.SYS WpdUpFltr.sy WUDFRd.sys "
    "NetworkPriva dump_storpor dump_stornvm dump_dumpfve dam.sys KMPDC.sys mfeelam.sys WdBoot.sys hwpolicy.sys "
    "mcupdate.dll",
    "102622-17265-01.dmp": "MSKSSRV.sys MSKSSRV.sys hiber_storpo hiber_stornv hiber_dumpfv MSKSSRV.sys MSKSSRV.sys "
    "hidusb.sys usbaudio.sys kbdhid.sys hiber_storpo hiber_stornv hiber_dumpfv MSKSSRV.sys dump_storpor dump_stornvm "
    "dump_dumpfve WdmCompanion dam.sys WdBoot.sys hwpolicy.sys",
}

by_file = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)


def opened(unpacked: Give, name: str) -> Dump:
    return open_dump(FileSource(unpacked(f"dumps/{name}")))


@by_file
def test_the_header_gives_the_known_values(unpacked: Give, row: Row) -> None:
    dump = opened(unpacked, row.file)
    header = dump.header
    assert dump.source.size == row.size
    assert (dump.kind, dump.complete, dump.machine, dump.pointer_size) == ("triage", True, row.machine, 8)
    assert (header.major_version, header.minor_version) == (15, row.build)
    assert header.number_processors == row.processors
    assert header.bug_check_code == row.code
    assert header.bug_check_parameters == row.parameters
    assert (header.system_time, header.system_up_time) == (row.system_time, row.up_time)
    assert header.dump_type == 4
    assert header.product_type == 1
    assert header.suite_mask in (0x110, 0x310)
    assert header.comment is None
    assert dump.diagnostics.items == []


@by_file
def test_fields_that_hold_the_fill_pattern_are_none(unpacked: Give, row: Row) -> None:
    header = opened(unpacked, row.file).header
    assert not header.is_encrypted
    if row.kernel_generated:
        assert header.attributes in (0x21008, 0x21808)
        assert header.required_dump_space == row.size
        assert header.writer_status is None
        assert header.mini_dump_fields == 0xDFF
        assert header.boot_id in (0x13, 0x52)
        assert header.physical_memory is not None
        assert 7 <= header.physical_memory.number_of_runs <= 12
        assert header.writer_message == "Dump completed successfully."
    else:
        assert header.attributes is None
        assert header.physical_memory is None
        assert header.secondary_data_state is None
        assert header.writer_status == 0
        assert header.mini_dump_fields == 0xCFF
        assert header.boot_id == (0x0D if row.machine == "arm64" else None)
        assert header.writer_message is None
        assert header.build_revision is None


def test_the_undocumented_tail_names_the_revision(unpacked: Give) -> None:
    assert opened(unpacked, "082325-12593-01.dmp").header.build_revision == 4946
    assert opened(unpacked, "be_1.dmp").header.build_revision == 2314


@by_file
def test_lists_have_the_known_lengths(unpacked: Give, row: Row) -> None:
    dump = opened(unpacked, row.file)
    assert dump.triage is not None
    assert len(dump.modules()) == dump.triage.header.driver_count == row.drivers
    assert len(dump.unloaded()) == row.unloaded
    assert len(dump.triage.blocks) == row.blocks
    assert dump.triage.kernel_generated is row.kernel_generated
    assert all(module.name and module.base and module.size_of_image for module in dump.modules())
    assert dump.diagnostics.items == []


@by_file
def test_the_process_and_the_build_that_windows_shows(unpacked: Give, row: Row) -> None:
    dump = opened(unpacked, row.file)
    assert dump.process_name() == row.process
    assert dump.reported_build == row.true_build
    assert 20 <= len(dump.secondary()) <= 42


@pytest.mark.parametrize("name", UNLOADED)
def test_unloaded_drivers_stand_in_file_order(unpacked: Give, name: str) -> None:
    drivers = opened(unpacked, name).unloaded()
    assert [driver.name for driver in drivers] == UNLOADED[name].split()
    assert all(driver.start < driver.end and driver.time is None for driver in drivers)


@pytest.mark.parametrize("entry", MODULES, ids=lambda entry: f"{entry[0]}-{entry[1]}")
def test_module_rows_are_exact(unpacked: Give, entry: tuple[str, int, str, int, int, int, int]) -> None:
    name, index, text, base, size, stamp, checksum = entry
    module = opened(unpacked, name).modules()[index]
    assert module.name == text.rsplit("\\", 1)[-1]
    assert module.path == (text if "\\" in text else "")
    assert (module.base, module.size_of_image, module.timestamp, module.checksum) == (base, size, stamp, checksum)


@by_file
def test_exception_tables_are_known_in_kernel_written_dumps_only(unpacked: Give, row: Row) -> None:
    modules = opened(unpacked, row.file).modules()
    with_table = [module for module in modules if module.exception_table]
    assert len(with_table) > 150 if row.kernel_generated else not with_table
    assert all(module.holds(module.exception_table) for module in with_table)


@by_file
def test_the_debugger_block_names_the_kernel(unpacked: Give, row: Row) -> None:
    dump = opened(unpacked, row.file)
    kdbg = dump.kdbg
    assert kdbg is not None
    assert kdbg.size == (0x3A0 if row.build == 26100 else 0x380)
    assert kdbg.kern_base == dump.modules()[0].base
    assert kdbg.value("PsLoadedModuleList") == dump.header.ps_loaded_module_list
    offsets = {
        ("x64", 19041): (0xB8, 0xA40, 0xAF00, 0x898, 0x85C0),
        ("x64", 26100): (0xB8, 0x840, 0xCF00, None, 0x8FC0),
        ("arm64", 22000): (0xB0, 0xC80, 0x9680, 0x910, 0x8A0),
    }[row.machine, row.build]
    names = ("OffsetKThreadApcProcess", "SizeEProcess", "SizePrcb", "SizeEThread", "OffsetPrcbContext")
    for name, expected in zip(names, offsets, strict=True):
        assert expected is None or kdbg.value(name) == expected
    assert kdbg.value("SizeEThread") in (0x898, 0x788, 0x798, 0x910)
    assert dump.memory.read(kdbg.address + 0x10, 4) == b"KDBG"
    assert dump.prcb is not None
    assert len(dump.prcb) == kdbg.value("SizePrcb")


@by_file
def test_the_copied_stack_runs_from_the_stack_pointer_to_its_base(unpacked: Give, row: Row) -> None:
    dump = opened(unpacked, row.file)
    stack, limits = dump.stack(), dump.current_stack_range()
    assert stack is not None
    assert limits is not None
    assert limits == (stack[0], stack[0] + stack[1])
    assert limits[1] % 0x1000 == 0
    assert len(dump.memory.read(*stack)) == stack[1]
    if row.machine == "x64":
        rsp = X64Context.parse(dump.context()).rsp
        assert rsp == stack[0] or (row.code == 0x1000007E and rsp - stack[0] == 0x1238)


@by_file
def test_the_saved_context_of_the_crashing_processor_is_where_the_block_says(unpacked: Give, row: Row) -> None:
    dump = opened(unpacked, row.file)
    assert dump.kdbg is not None
    assert dump.prcb is not None
    offset = dump.kdbg.value("OffsetPrcbContext")
    assert offset is not None
    address = int.from_bytes(dump.prcb[offset : offset + 8], "little")
    if row.kernel_generated:
        with pytest.raises(ReadError, match="not in the dump"):
            dump.memory.read(address, 0x390)
        return
    stack = dump.stack()
    assert stack is not None
    if row.machine == "x64":
        context = X64Context.parse(dump.memory.read(address, X64Context.SIZE))
        assert context.is_plausible()
        assert context.rsp == stack[0]
    # The raw copies lie at their own addresses.
    assert dump.prcb_address is not None
    assert dump.memory.u64(dump.prcb_address + 8) == dump.thread_address


def test_the_faulting_context_of_triage_x64_is_the_one_that_parameter_4_names(unpacked: Give) -> None:
    dump = opened(unpacked, "triage_x64.dmp")
    context = X64Context.parse(dump.context())
    assert context.rip == 0xFFFFF8048B58334C
    pointed = X64Context.parse(dump.memory.read(0xFFFF850429891720, X64Context.SIZE))
    assert pointed.registers == context.registers
    record = ExceptionRecord.parse(dump.memory.read(0xFFFF850429891EE8, 0x98))
    assert (record.code, record.address) == (0xC0000005, 0xFFFFF8048B58334C)
    assert record.information[0] == 1
    header = ExceptionRecord.parse(dump.header.exception or b"")
    assert header.code == 0x80000003


def test_the_arm64_context_and_frame_chain(unpacked: Give) -> None:
    dump = opened(unpacked, "triage_arm64.dmp")
    context = Arm64Context.parse(dump.context())
    kernel = dump.modules()[0].base
    assert (context.pc - kernel, context.fp, context.sp, context.lr) == (
        0x4DE014, 0xFFFFE00E0E4BC4A0, 0xFFFFE00E0E4BC4A0, 0,
    )  # fmt: skip
    assert (context.cpsr, context.context_flags) == (0x80000144, 0x00400007)
    chain = []
    frame = context.fp
    while frame:
        frame, back = dump.memory.u64(frame), dump.memory.u64(frame + 8)
        chain.append(back - kernel)
    assert chain == [0x5442A0, 0x29FF1C, 0x373340, 0x207DE4]


def test_code_bytes_and_io_objects_are_read_from_data_blocks(unpacked: Give) -> None:
    dump = opened(unpacked, "7e_1.dmp")
    assert dump.memory.read(X64Context.parse(dump.context()).rip, 4) == bytes.fromhex("f30fb8d8")
    power = opened(unpacked, "9f.dmp")
    irp = 0xFFFFD68FE383B8A0
    assert power.memory.u16(irp) == 6
    assert power.memory.u64(irp + 0xB8) == irp + 0x1F0


def test_what_is_not_in_a_triage_dump_says_so(unpacked: Give) -> None:
    dump = opened(unpacked, "triage_x64.dmp")
    with pytest.raises(ReadError, match="not in the dump") as caught:
        dump.memory.read(0xFFFFF80000000000, 8)
    assert caught.value.address == 0xFFFFF80000000000
    assert dump.physical is None
