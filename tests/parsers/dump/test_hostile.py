"""Cut, damaged and hostile dumps: a partial result that says so, or a clear error; never a traceback."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import ByteSource, BytesSource
from parsers.dump import looks_like_dump
from parsers.dump.open import Dump, open_dump
from parsers.errors import FormatError, ReadError, StopcodeError, TruncatedError, UnsupportedError
from parsers.limits import MAX_BITMAP_BITS, MAX_LOADED_MODULES
from tests.parsers.dump.builder import (
    KDBG,
    MODULE_LIST,
    MODULES,
    PAGE,
    RSP,
    bitmap_dump,
    header32,
    header64,
    rdmp_dump,
    secondary,
    server2019,
    write_x64,
)

Give = Callable[[str], Path]
SMALLEST = "dumps/082325-12593-01.dmp"


def codes(dump: Dump) -> set[str]:
    return {item.code for item in dump.diagnostics.items}


def use(dump: Dump) -> None:
    """Call everything a dump offers."""
    dump.modules()
    dump.unloaded()
    dump.secondary()
    for address in (KDBG, MODULE_LIST, RSP, 0, (1 << 64) - 1, dump.header.kd_debugger_data_block or 0):
        dump.memory.is_readable(address, 8)
    stack = dump.stack()
    if stack is not None:
        dump.memory.is_readable(stack[0], min(stack[1], 0x1000))
    assert dump.kind
    assert isinstance(dump.complete, bool)
    parts: tuple[Any, ...] = (
        dump.kdbg, dump.prcb, dump.prcb_address, dump.thread_address, dump.process_name(), dump.reported_build,
        dump.current_stack_range(), dump.context(), dump.triage and dump.triage.broken_driver(),
    )  # fmt: skip
    assert len(parts) == 9
    if dump.physical is not None:
        for number in (0, 1, 0x1AA, 1 << 40):
            try:
                dump.physical.read(number << 12, 16)
            except ReadError:
                continue


@pytest.fixture(scope="module")
def bitmap() -> bytes:
    return write_x64(server2019(), 6)


# -- cut files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dump_type", [1, 2, 5, 6, 8, 9, 0xA])
@pytest.mark.parametrize("length", [0x1000, 0x1FFF, 0x2000])
def test_a_dump_cut_at_its_header_gives_the_bug_check(dump_type: int, length: int) -> None:
    dump = open_dump(BytesSource(write_x64(server2019(), dump_type)[:length]))
    assert (dump.header.bug_check_code, dump.header.bug_check_parameters) == (0xD1, (0x10, 2, 0, 0xFFFFF80122201234))
    assert dump.header.dump_type == dump_type
    assert not dump.complete
    assert codes(dump) == {"dump.truncated"}
    assert dump.modules() == []
    assert len(dump.context()) == 0x4D0
    assert (dump.header.system_up_time is None) == (length == 0x1000)
    with pytest.raises(ReadError, match="beyond the cut"):
        dump.memory.read(KDBG, 4)
    use(dump)


@pytest.mark.realdata
@pytest.mark.parametrize("length", [0x60, 0x400, 0x1000, 0x2000])
def test_a_real_dump_cut_at_its_header_gives_the_bug_check(unpacked: Give, length: int) -> None:
    dump = open_dump(BytesSource(unpacked("dumps/7e_1.dmp").read_bytes()[:length]))
    assert dump.header.bug_check_code == 0x1000007E
    assert dump.header.bug_check_parameters[0] == 0xFFFFFFFFC000001D
    assert not dump.complete
    assert codes(dump) == {"dump.truncated"}
    assert bool(dump.context()) == (length >= 0x1000)
    use(dump)


def test_a_field_that_the_cut_runs_through_is_absent() -> None:
    data = write_x64(server2019(), 6)
    assert open_dump(BytesSource(data[:0x88])).header.kd_debugger_data_block == KDBG
    assert open_dump(BytesSource(data[:0x87])).header.kd_debugger_data_block is None
    assert open_dump(BytesSource(data[:0x1033])).header.system_up_time is None
    assert open_dump(BytesSource(data[:0x349])).context() == b""


@pytest.mark.realdata
def test_a_real_dump_cut_in_the_middle_gives_what_is_there(unpacked: Give) -> None:
    data = unpacked("dumps/7e_1.dmp").read_bytes()
    whole, cut = open_dump(BytesSource(data)), open_dump(BytesSource(data[: len(data) // 2]))
    assert not cut.complete
    assert {"dump.truncated", "dump.blocks-cut"} <= codes(cut)
    assert cut.modules() == whole.modules()
    assert cut.unloaded() == whole.unloaded()
    assert cut.process_name() == "System"
    failed = []
    assert whole.triage is not None
    for block in whole.triage.blocks:
        expected = data[block.place : block.end - block.start + block.place]
        try:
            assert cut.memory.read(block.start, block.size) == expected
        except ReadError as error:
            failed.append(error)
    assert 0 < len(failed) < len(whole.triage.blocks)
    assert all("beyond the cut" in error.message for error in failed)
    tiny = open_dump(BytesSource(data[:0x2040]))
    assert codes(tiny) == {"dump.body-unreadable"}
    assert not tiny.complete


@pytest.mark.parametrize("dump_type", [1, 2, 5, 6, 8, 9, 0xA])
def test_a_dump_cut_in_the_middle_gives_the_pages_up_to_the_cut(dump_type: int) -> None:
    machine = server2019()
    data = write_x64(machine, dump_type)
    cut = open_dump(BytesSource(data[: len(data) - 3 * PAGE - 0x123]))
    assert not cut.complete
    assert "dump.truncated" in codes(cut)
    assert cut.physical is not None
    missing = []
    for number, page in machine.pages.items():
        try:
            assert cut.physical.read(number * PAGE, PAGE) == bytes(page)
        except ReadError as error:
            missing.append(error.message)
    assert len(missing) == 4
    assert all("beyond the cut" in message for message in missing)
    use(cut)


def test_a_dump_cut_inside_its_bitmap_is_header_only() -> None:
    machine = server2019()
    machine.page(0x40000)
    dump = open_dump(BytesSource(write_x64(machine, 6)[:0x3000]))
    assert not dump.complete
    assert codes(dump) == {"dump.body-unreadable"}
    assert dump.header.bug_check_code == 0xD1
    assert dump.physical is None


@pytest.mark.parametrize("length", [0, 1, 7])
def test_less_than_a_signature_is_no_dump(length: int) -> None:
    with pytest.raises(FormatError):
        open_dump(BytesSource(b"PAGEDU64"[:length]))


@pytest.mark.parametrize(("signature", "length"), [(b"PAGEDU64", 0x5F), (b"PAGEDUMP", 0x3B)])
def test_a_cut_before_the_last_parameter_is_an_error(signature: bytes, length: int) -> None:
    with pytest.raises(TruncatedError, match="cut inside its first fields"):
        open_dump(BytesSource(signature.ljust(length, b"\0")))


def test_a_32_bit_dump_cut_at_its_header() -> None:
    dump = open_dump(BytesSource(bytes(header32(1, cr3=0x1000, pae=0, kdbg=0x80000000, modules=0x80000000))))
    assert (dump.machine, dump.complete, dump.kind) == ("x86", False, "full")
    assert dump.header.bug_check_code == 0x8E


# -- other files ------------------------------------------------------------------------------------------------


def test_other_kinds_of_file_are_named() -> None:
    with pytest.raises(UnsupportedError, match="user-mode minidump"):
        open_dump(BytesSource(b"MDMP\x93\xa7" + bytes(0x1000)))
    with pytest.raises(UnsupportedError, match="hibernation"):
        open_dump(BytesSource(b"HIBR" + bytes(0x1000)))
    with pytest.raises(FormatError, match="never written"):
        open_dump(BytesSource(b"PAGE" * 0x800))
    with pytest.raises(FormatError, match="not a kernel dump"):
        open_dump(BytesSource(bytes(0x2000)))
    assert looks_like_dump(b"PAGEDU64" + bytes(8))
    assert looks_like_dump(b"PAGEDUMP")
    assert not looks_like_dump(b"PAGEPAGE")


def test_an_encrypted_dump_gives_its_header_and_says_so() -> None:
    machine = server2019()
    data = bitmap_dump(header64(6, cr3=machine.cr3, attributes=0x100), machine.pages)
    dump = open_dump(BytesSource(data))
    assert codes(dump) == {"dump.encrypted"}
    assert dump.header.bug_check_code == 0xD1
    assert dump.modules() == []
    with pytest.raises(ReadError, match="encrypted"):
        dump.memory.read(KDBG, 4)
    decrypted = bitmap_dump(header64(6, cr3=machine.cr3, attributes=0x300), machine.pages)
    assert len(open_dump(BytesSource(decrypted)).modules()) == 4


def test_a_header_only_dump_is_whole_and_has_no_memory() -> None:
    dump = open_dump(BytesSource(bytes(header64(3, cr3=0x1000))))
    assert (dump.kind, dump.complete, codes(dump)) == ("header-only", True, set())
    with pytest.raises(ReadError, match=r"not in the dump \(the dump holds its header alone\)"):
        dump.memory.read(KDBG, 4)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0x08, 7, "major version 7"),
        (0x0C, 3, "build 3"),
        (0x0C, 0x45474150, "build None"),
        (0x30, 0x1234, "machine type 4660"),
        (0x34, 0, "0 processors"),
    ],
)
def test_header_fields_that_no_sound_dump_has_are_told(bitmap: bytes, place: int, value: int, words: str) -> None:
    data = bytearray(bitmap)
    assert "dump.header-odd" not in codes(open_dump(BytesSource(bytes(data))))
    struct.pack_into("<I", data, place, value)
    told = [item.message for item in open_dump(BytesSource(data)).diagnostics.items if item.code == "dump.header-odd"]
    assert told == [f"the dump's header has odd values: {words}"]


def test_a_page_file_that_was_too_small_is_told(bitmap: bytes) -> None:
    data = bytearray(bitmap)
    data[0x1050:0x1054] = struct.pack("<I", 0x4)
    assert codes(open_dump(BytesSource(data))) == {"dump.page-file-too-small"}


def test_where_type_and_signature_disagree_the_signature_is_believed(bitmap: bytes) -> None:
    for wrong in (1, 4, 8, 7):
        data = bytearray(bitmap)
        data[0xF98:0xF9C] = struct.pack("<I", wrong)
        dump = open_dump(BytesSource(data))
        assert "dump.type-mismatch" in codes(dump)
        assert dump.kind == "bitmap-kernel"
        assert len(dump.modules()) == 4
    data = bytearray(write_x64(server2019(), 0xA))
    data[0xF98:0xF9C] = struct.pack("<I", 6)
    assert open_dump(BytesSource(data)).kind == "rdmp-complete"


@pytest.mark.parametrize("dump_type", [0, 5, 6, 8, 0xA, 0x45474150])
def test_a_body_that_is_not_there_leaves_the_header(dump_type: int) -> None:
    dump = open_dump(BytesSource(bytes(header64(dump_type, cr3=0x1000)) + bytes(0x4000)))
    assert not dump.complete
    assert "dump.body-unreadable" in codes(dump)
    assert dump.header.bug_check_code == 0xD1
    use(dump)


def test_a_full_dump_without_runs_leaves_the_header() -> None:
    dump = open_dump(BytesSource(bytes(header64(1, cr3=0x1000)) + bytes(0x4000)))
    assert codes(dump) == {"dump.body-unreadable"}


# -- counts and links -------------------------------------------------------------------------------------------


def test_a_module_list_in_a_circle_ends_and_keeps_what_was_read() -> None:
    machine = server2019()
    machine.put(0xFFFFC08BDC0011F0 + 0x200, (0xFFFFC08BDC0011F0 + 0x100).to_bytes(8, "little"))
    dump = open_dump(BytesSource(write_x64(machine, 6)))
    assert [module.name for module in dump.modules()] == [module.name for module in MODULES[:3]]
    assert codes(dump) == {"dump.modules-cycle"}


def test_a_module_list_that_leaves_memory_ends_and_keeps_what_was_read() -> None:
    machine = server2019()
    machine.put(0xFFFFC08BDC0011F0 + 0x100, (0xDEAD0000).to_bytes(8, "little"))
    dump = open_dump(BytesSource(write_x64(machine, 6)))
    assert len(dump.modules()) == 2
    assert codes(dump) == {"dump.modules-broken"}


def test_an_endless_module_list_stops_at_the_limit() -> None:
    machine = server2019()
    base = 0xFFFFC08BE0000000
    for index in range(MAX_LOADED_MODULES + 5):
        machine.put(base + 0xA0 * index, (base + 0xA0 * (index + 1)).to_bytes(8, "little") + bytes(0x98))
    machine.put(MODULE_LIST, base.to_bytes(8, "little"))
    dump = open_dump(BytesSource(write_x64(machine, 6)))
    assert len(dump.modules()) == MAX_LOADED_MODULES
    assert codes(dump) == {"dump.modules-endless"}


def test_wrong_page_counts_are_told_and_the_bitmap_is_believed() -> None:
    machine = server2019()
    data = bitmap_dump(header64(6, cr3=machine.cr3), machine.pages, total=0xFFFFFFFF)
    dump = open_dump(BytesSource(data))
    assert codes(dump) == {"dump.pages-differ"}
    assert dump.complete
    assert len(dump.modules()) == 4


@pytest.mark.parametrize("bits", [1 << 24, (1 << 32) - 1, MAX_BITMAP_BITS + 1, (1 << 64) - 1])
def test_a_bitmap_larger_than_the_file_or_the_limit_is_refused(bitmap: bytes, bits: int) -> None:
    data = bytearray(bitmap)
    data[0x2030:0x2038] = struct.pack("<Q", bits)
    data[0x2020:0x2028] = struct.pack("<Q", 1 << 40)
    dump = open_dump(BytesSource(data))
    assert codes(dump) == {"dump.body-unreadable"}


@pytest.mark.parametrize("first", [0, 0x2000, 0x2040, (1 << 64) - 1])
def test_a_first_page_inside_the_tables_or_far_away(bitmap: bytes, first: int) -> None:
    data = bytearray(bitmap)
    data[0x2020:0x2028] = struct.pack("<Q", first)
    dump = open_dump(BytesSource(data))
    assert not dump.complete
    use(dump)


def test_runs_and_ranges_beyond_any_machine_are_cut_off() -> None:
    dump = open_dump(BytesSource(bytes(header64(1, cr3=0x1000, runs=[(1, 2), (5, 1 << 60)])) + bytes(0x4000)))
    assert "dump.ranges-damaged" in codes(dump)
    assert dump.physical is not None
    assert dump.physical.pages.count == 2
    huge = bytearray(rdmp_dump(header64(0xA, cr3=0x1000), {1: bytearray(PAGE)}, complete=True))
    huge[0x2028:0x2030] = struct.pack("<Q", (1 << 64) - 1)
    dump = open_dump(BytesSource(huge))
    assert "dump.ranges-damaged" in codes(dump)
    use(dump)


@pytest.mark.parametrize("claimed", [0, 1, 500])
def test_a_wrong_count_of_ranges_is_told_and_costs_no_page(claimed: int) -> None:
    pages = {number: bytearray(number.to_bytes(2, "little") * 2048) for number in (1, 2, 5, 9)}
    data = bytearray(rdmp_dump(header64(0xA, cr3=0x1000), pages, complete=True))
    sound = open_dump(BytesSource(bytes(data)))
    assert "dump.ranges-differ" not in codes(sound)
    data[0x2020:0x2024] = struct.pack("<I", claimed)
    dump = open_dump(BytesSource(bytes(data)))
    assert "dump.ranges-differ" in codes(dump)
    assert dump.physical is not None
    assert {number: dump.physical.page(number) for number in dump.physical.page_numbers()} == pages


def test_overlapping_ranges_are_told_and_the_first_is_believed() -> None:
    pages = {1: bytearray(b"\1" * PAGE), 2: bytearray(b"\2" * PAGE), 5: bytearray(b"\5" * PAGE)}
    data = bytearray(rdmp_dump(header64(8, cr3=0x1000), pages, complete=False))
    assert struct.unpack_from("<QQQQ", data, 0x2030) == (1, 2, 5, 1)
    struct.pack_into("<Q", data, 0x2040, 2)
    dump = open_dump(BytesSource(data))
    assert "dump.ranges-overlap" in codes(dump)
    assert dump.physical is not None
    assert dump.physical.page(2)[0] == 2


# -- triage -----------------------------------------------------------------------------------------------------


def patched(data: bytes, **fields: int) -> bytes:
    """Set u32 fields of TRIAGE_DUMP64."""
    places = {"unloaded": 0x18, "drivers": 0x34, "pool": 0x3C, "kdbg_size": 0x74, "blocks": 0x7C, "stack": 0x2C,
              "driver_list": 0x30, "blocks_offset": 0x78, "valid": 0x08}  # fmt: skip
    changed = bytearray(data)
    for name, value in fields.items():
        struct.pack_into("<I", changed, 0x2000 + places[name], value)
    return bytes(changed)


@pytest.mark.realdata
def test_counts_of_2_to_the_32_are_bounded_and_told(unpacked: Give) -> None:
    data = unpacked(SMALLEST).read_bytes()
    most = 0xFFFFFFFF
    dump = open_dump(BytesSource(patched(data, drivers=most, blocks=most, kdbg_size=most, stack=most)))
    assert 0 < len(dump.modules()) <= 4096
    assert {"dump.blocks-cut", "dump.drivers-cut"} <= codes(dump)
    assert not dump.complete
    use(dump)
    unloaded = struct.unpack_from("<I", data, 0x2018)[0]
    changed = bytearray(data)
    struct.pack_into("<Q", changed, unloaded, (1 << 64) - 1)
    dump = open_dump(BytesSource(changed))
    assert len(dump.unloaded()) <= 64
    assert "dump.unloaded-cut" in codes(dump)


@pytest.mark.realdata
def test_overlapping_blocks_that_differ_are_told_and_the_first_is_believed(unpacked: Give) -> None:
    data = unpacked(SMALLEST).read_bytes()
    table, count = struct.unpack_from("<II", data, 0x2078)
    first, second = (struct.unpack_from("<QII", data, table + 16 * index) for index in (0, 1))
    changed = bytearray(data)
    struct.pack_into("<QII", changed, table + 16, first[0] + 8, second[1], second[2])
    dump = open_dump(BytesSource(changed))
    assert "dump.blocks-differ" in codes(dump)
    expected = data[first[1] : first[1] + first[2]]
    assert dump.memory.read(first[0], first[2]) == expected
    assert count == 49


@pytest.mark.realdata
def test_a_triage_dump_whose_areas_point_outside_the_file(unpacked: Give) -> None:
    data = bytearray(unpacked(SMALLEST).read_bytes())
    for at in range(0x2008, 0x2080, 4):
        struct.pack_into("<I", data, at, 0xFFFFFFF0)
    dump = open_dump(BytesSource(data))
    assert not dump.complete
    assert dump.modules() == []
    use(dump)


class BadSectors:
    """A file of which one stretch cannot be read."""

    def __init__(self, data: bytes, low: int, high: int) -> None:
        self._data, self._low, self._high = data, low, high

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < self._high and self._low < offset + length and length > 0:
            raise ReadError("bad sector", address=offset)
        return self._data[offset : offset + length]


def test_secondary_data_is_kept_up_to_the_header_that_cannot_be_read() -> None:
    body = write_x64(server2019(), 6)
    chain = secondary([(bytes(range(16)), b"abc"), (bytes(16), b"def"), (bytes(16), b"ghi")])
    second = len(body) + 0x10 + 0x20 + 4 + 3 + 1
    dump = open_dump(BadSectors(body + chain, second + 4, second + 5))
    assert [(blob.tag[:8], blob.size) for blob in dump.secondary()] == [("03020100", 3)]
    assert codes(dump) == {"dump.secondary-unreadable"}


@pytest.mark.realdata
def test_a_bad_sector_in_a_triage_dump_costs_what_lies_there_only(unpacked: Give) -> None:
    data = unpacked("dumps/7e_1.dmp").read_bytes()
    dump = open_dump(BadSectors(data, 0xA0000, 0xA1000))
    assert len(dump.modules()) == 189
    assert dump.triage is not None
    hit = [b for b in dump.triage.blocks if b.place < 0xA1000 and b.place + b.size > 0xA0000]
    assert hit
    for block in hit:
        with pytest.raises(ReadError, match="file cannot be read there"):
            dump.memory.read(block.start, block.size)
    drivers = struct.unpack_from("<I", data, 0x2030)[0]
    dump = open_dump(BadSectors(data, drivers, drivers + 1))
    assert dump.modules() == []
    assert codes(dump) == {"dump.modules-unreadable"}
    use(open_dump(BadSectors(data, 0x2000, 0x2001)))
    with pytest.raises(ReadError):
        open_dump(BadSectors(data, 0, 1))


def test_a_bad_sector_in_a_bitmap_dump_costs_its_pages_only(bitmap: bytes) -> None:
    machine = server2019()
    first = len(bitmap) - PAGE * len(machine.pages)
    place = sorted(machine.pages).index((machine.physical(RSP & ~0xFFF) or 0) >> 12)
    dump = open_dump(BadSectors(bitmap, first + PAGE * place, first + PAGE * place + 1))
    assert len(dump.modules()) == 4
    with pytest.raises(ReadError, match="file cannot be read there"):
        dump.memory.read(RSP, 8)
    use(open_dump(BadSectors(bitmap, 0x2000, 0x2038)))


# -- any bytes --------------------------------------------------------------------------------------------------


def survives(source: ByteSource) -> None:
    try:
        use(open_dump(source))
    except StopcodeError:
        return


def mutated(data: bytes, changes: list[tuple[int, bytes]], cut: int | None) -> bytes:
    changed = bytearray(data)
    for at, new in changes:
        changed[at : at + len(new)] = new
    return bytes(changed if cut is None else changed[:cut])


#: Values that hurt: zero, all ones, the fill, small and huge numbers.
VALUES = st.one_of(
    st.binary(min_size=1, max_size=16),
    st.sampled_from([b"\0" * 8, b"\xff" * 8, b"PAGEPAGE", b"\xff\xff\xff\x7f", b"\1\0\0\0\0\0\0\0", b"\0" * 16]),
)


@pytest.mark.fuzz
@given(st.sampled_from([b"PAGEDU64", b"PAGEDUMP", b""]), st.binary(max_size=0x300))
def test_any_bytes_give_a_result_or_an_error_of_ours(signature: bytes, body: bytes) -> None:
    survives(BytesSource(signature + body))
    survives(BytesSource((signature + body).ljust(0x2000, b"\0") + body))


@pytest.mark.fuzz
@given(
    st.lists(st.tuples(st.one_of(st.integers(8, 0x10), st.integers(0xF80, 0x1060), st.integers(0x2000, 0x2400),
                                 st.integers(0x2038, 0x8000)), VALUES), max_size=8),
    st.one_of(st.none(), st.integers(0, 0x36000)),
)  # fmt: skip
def test_any_change_to_a_bitmap_dump_gives_a_result_or_an_error_of_ours(
    changes: list[tuple[int, bytes]], cut: int | None
) -> None:
    survives(BytesSource(mutated(BITMAP, changes, cut)))


@pytest.mark.fuzz
@given(
    st.integers(0, len(server2019().pages) - 1),
    st.lists(st.tuples(st.integers(0, PAGE - 16), VALUES), min_size=1, max_size=8),
)
def test_any_change_to_kernel_structures_and_page_tables_gives_a_result_or_an_error_of_ours(
    page: int, changes: list[tuple[int, bytes]]
) -> None:
    start = len(BITMAP) - PAGE * (page + 1)
    survives(BytesSource(mutated(BITMAP, [(start + at, new) for at, new in changes], None)))


@pytest.mark.fuzz
@pytest.mark.realdata
@given(st.data())
def test_any_change_to_a_real_triage_dump_gives_a_result_or_an_error_of_ours(
    unpacked: Give, data: st.DataObject
) -> None:
    real = unpacked(SMALLEST).read_bytes()
    places = st.one_of(st.integers(0x2000, 0x2080), st.integers(8, 0x2100), st.integers(0x2080, len(real)))
    changes = data.draw(st.lists(st.tuples(places, VALUES), min_size=1, max_size=8))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(real))))
    survives(BytesSource(mutated(real, changes, cut)))


BITMAP = write_x64(server2019(), 6)
