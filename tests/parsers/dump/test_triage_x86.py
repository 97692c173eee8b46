"""A triage dump of a 32-bit machine, and secondary data behind dumps with pages."""

from __future__ import annotations

import struct

import pytest

from parsers.bytesource import BytesSource
from parsers.dump.context import X86Context
from parsers.dump.open import open_dump
from parsers.errors import ReadError
from tests.parsers.dump.builder import (
    Module,
    header32,
    secondary,
    server2019,
    triage_dump32,
    write_x64,
)

KDBG, LIST, BASE, ESP = 0x82B4AC30, 0x82B6B810, 0x82A1A000, 0x8D0F1C00
BUILD_TAG = struct.pack("<IHH8s", 0x2B88B710, 0x1C93, 0x4F7C, bytes.fromhex("b06c655ecc50decc"))


def test_a_32_bit_triage_dump_is_read_like_a_64_bit_one() -> None:
    block = bytearray(0x340)
    block[0x10:0x20] = struct.pack("<4sIQ", b"KDBG", 0x340, 0xFFFFFFFF00000000 | BASE)
    modules = [
        Module("ntoskrnl.exe", BASE, 0x412000, 0x4CE78A09, 0x3C1234, "\\SystemRoot\\system32\\ntkrnlpa.exe"),
        Module("driver.sys", 0x8D0F0000, 0x9000, 0x55667788, 0x99),
    ]
    stack = bytes(range(256)) * 4
    data = triage_dump32(
        header32(4, cr3=0x185000, pae=1, kdbg=KDBG, modules=LIST, esp=ESP),
        stack=(ESP, stack),
        kdbg=bytes(block),
        modules=modules,
        unloaded=[("dump_storport.sys", 0x90000000, 0x90010000), ("gone", 0, 0)],
        blocks=[(0x85000000, b"first block"), (0x8500000B, b" and second"), (0xFFFFFFF0, bytes(0x20))],
    )
    dump = open_dump(BytesSource(data))
    assert (dump.kind, dump.machine, dump.complete, dump.pointer_size) == ("triage", "x86", True, 4)
    assert dump.diagnostics.items == []
    assert [(m.name, m.path, m.base, m.size_of_image, m.timestamp, m.checksum) for m in dump.modules()] == [
        ("ntkrnlpa.exe", modules[0].path, BASE, 0x412000, 0x4CE78A09, 0x3C1234),
        ("driver.sys", "", 0x8D0F0000, 0x9000, 0x55667788, 0x99),
    ]
    assert [(d.name, d.start) for d in dump.unloaded()] == [("dump_storpor", 0x90000000)]
    assert dump.kdbg is not None
    assert dump.kdbg.kern_base == BASE
    assert dump.stack() == (ESP, 1024)
    assert dump.memory.read(ESP + 16, 4) == bytes(range(16, 20))
    assert dump.memory.pointer(ESP) == 0x03020100
    assert dump.memory.read(0x85000000, 22) == b"first block and second"
    assert dump.memory.read(KDBG + 0x10, 4) == b"KDBG"
    assert X86Context.parse(dump.context()).esp == ESP
    assert dump.triage is not None
    assert not dump.triage.kernel_generated
    with pytest.raises(ReadError, match="not in the dump"):
        dump.memory.read(0xFFFFFFF0, 4)


@pytest.mark.parametrize("dump_type", [1, 2, 5, 6, 8, 9, 0xA])
def test_secondary_data_behind_the_last_page_is_listed(dump_type: int) -> None:
    other = bytes(range(16))
    chain = secondary([(other, b"abc"), (BUILD_TAG, struct.pack("<III", 0x2625A, 0xF0004563, 2400)), (other, b"")])
    dump = open_dump(BytesSource(write_x64(server2019(), dump_type) + chain + bytes(100)))
    assert [blob.size for blob in dump.secondary()] == [3, 12, 0]
    assert dump.secondary()[0].tag == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    assert dump.source.read_at(dump.secondary()[0].offset, 3) == b"abc"
    assert dump.reported_build == 0x4563
    assert dump.complete


def test_a_chain_of_secondary_data_that_breaks_ends_there() -> None:
    chain = bytearray(secondary([(bytes(16), b"abc"), (bytes(16), b"def")]))
    struct.pack_into("<I", chain, 0x10 + 0x20 + 8 + 0x14, 0xFFFFFFFF)
    dump = open_dump(BytesSource(write_x64(server2019(), 6) + bytes(chain)))
    assert len(dump.secondary()) == 1
    assert dump.reported_build is None
