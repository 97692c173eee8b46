"""Processor and firmware in a dump's secondary data: real dumps against what is known of their machines."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.crash.machine_facts import machine_facts
from parsers.bytesource import BytesSource, FileSource
from parsers.dump import cpuid, smbios
from parsers.dump.cpuid import has_feature, read_leaves, read_processor_values
from parsers.dump.open import Dump, open_dump
from parsers.dump.secondary import SecondaryBlob
from parsers.dump.smbios import read_smbios, structures

Give = Callable[[str], Path]
SMBIOS_TAG = "bc5c008f-1e3a-44d7-988d-86f6884c6758"
LEAVES_TAG = "d03dc06f-d88e-44c5-ba2a-fae035172d19"
VALUES_TAG = "6c7ac389-4313-47dc-9f34-a8800a0fb56c"


def opened(unpacked: Give, name: str) -> Dump:
    return open_dump(FileSource(unpacked(f"dumps/{name}.dmp")))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "processor"),
    [
        ("triage_x64", "AMD Ryzen 7 3700"),
        ("triage_arm64", "7c Gen 2"),
        ("7e_1", "Q9400"),
        ("9f", "i9-10900F"),
        ("be_1", "Ryzen 5 5600X"),
        ("082325-12593-01", "Ryzen 9 6900HX"),
        ("102622-17265-01", "Ryzen 7 4800H"),
    ],
)
def test_the_processor_is_the_known_one_and_its_leaves_agree(unpacked: Give, name: str, processor: str) -> None:
    dump = opened(unpacked, name)
    values = read_processor_values(dump.source, dump.secondary())
    assert processor in str(values["ProcessorNameString"])
    leaves = read_leaves(dump.source, dump.secondary())
    if not leaves:
        assert dump.machine == "arm64"
        return
    signature = leaves[(1, 0)][0]
    family = (signature >> 8 & 0xF) + (signature >> 20 & 0xFF if signature >> 8 & 0xF == 0xF else 0)
    model = (signature >> 4 & 0xF) | (signature >> 16 & 0xF) << 4
    assert f"Family {family} Model {model} Stepping {signature & 0xF}" in str(values["Identifier"])


@pytest.mark.realdata
def test_a_core_2_has_no_popcnt_and_later_processors_do(unpacked: Give) -> None:
    for name, expected in (("7e_1", False), ("7e_2", False), ("9f", True), ("be_1", True), ("triage_x64", True)):
        dump = opened(unpacked, name)
        leaves = read_leaves(dump.source, dump.secondary())
        assert has_feature(leaves, "popcnt") is expected
        assert has_feature(leaves, "sse41") is True
        assert has_feature(leaves, "nothing") is None
        # Leaf 7 was not asked for rightly when the dump was written.
        assert has_feature(leaves, "avx2") is None


@pytest.mark.realdata
def test_two_dumps_of_one_machine_have_one_fingerprint_and_no_others(unpacked: Give) -> None:
    prints = [machine_facts(opened(unpacked, name)).get("fingerprint") for name in ("7e_1", "7e_2", "9f", "be_1")]
    assert prints[0] == prints[1]
    assert len({*prints}) == 3


@pytest.mark.realdata
def test_serial_numbers_are_given_only_when_asked_for(unpacked: Give) -> None:
    for name in ("7e_1", "9f", "082325-12593-01"):
        dump = opened(unpacked, name)
        secret = machine_facts(dump, serials=True)["serials"]
        assert secret
        shown = repr(machine_facts(dump))
        assert not any(len(text) > 4 and text in shown for text in secret.values())


@pytest.mark.realdata
def test_memory_modules_and_board_are_named(unpacked: Give) -> None:
    facts = machine_facts(opened(unpacked, "9f"))
    assert facts["board"]["product"] == "PRIME Z490-P"
    assert [module["slot"] for module in facts["memory"]] == ["ChannelA-DIMM2", "ChannelB-DIMM2"]
    assert {module["size_mb"] for module in facts["memory"]} == {8192}


def structure(kind: int, handle: int, body: bytes, *texts: bytes) -> bytes:
    return struct.pack("<BBH", kind, 4 + len(body), handle) + body + (b"\0".join(texts) or b"") + b"\0\0"


def blob(tag: str, data: bytes) -> tuple[BytesSource, list[SecondaryBlob]]:
    return BytesSource(data), [SecondaryBlob(tag, 0, len(data))]


def table(*parts: bytes) -> tuple[BytesSource, list[SecondaryBlob]]:
    whole = b"".join(parts)
    return blob(SMBIOS_TAG, struct.pack("<BBBBI", 0, 3, 4, 0, len(whole)) + whole)


def test_a_module_of_32_gib_and_more_has_its_size_in_the_longer_field() -> None:
    body = struct.pack(
        "<HHHHHBBBBBHHBBBBBIH", 0, 0, 64, 64, 0x7FFF, 9, 0, 1, 2, 26, 0, 3200, 3, 4, 5, 6, 0, 65536, 3000
    )
    found = read_smbios(*table(structure(17, 0x41, body, b"DIMM_A1", b"BANK 0", b"Maker", b"SN123", b"Tag", b"Part")))
    assert found is not None
    assert found.memory == [
        {"handle": 0x41, "size_mb": 65536, "slot": "DIMM_A1", "bank": "BANK 0", "manufacturer": "Maker", "part": "Part",
         "speed": 3200, "configured_speed": 3000},
    ]  # fmt: skip
    assert found.serials == {"memory 0x41 serial": "SN123", "memory 0x41 asset": "Tag"}
    assert found.fingerprint == ""


def test_what_nobody_filled_in_is_left_out() -> None:
    body = struct.pack("<BBBB", 1, 2, 3, 4) + bytes(16)
    texts = (b"To Be Filled By O.E.M.", b"Real Product", b"Default string", b"System Serial Number")
    found = read_smbios(*table(structure(1, 1, body, *texts)))
    assert found is not None
    assert found.system == {"product": "Real Product"}


def test_limits_of_both_tables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smbios, "MAX_SMBIOS_STRUCTURES", 2)
    assert len(list(structures(structure(9, 1, b"") * 5))) == 2
    monkeypatch.setattr(smbios, "MAX_SMBIOS_TABLE", 20)
    assert read_smbios(*table(structure(1, 1, bytes(40), b"x"))) is not None
    monkeypatch.setattr(cpuid, "MAX_PROCESSOR_VALUES", 3)
    rows = b"".join(struct.pack("<II4I4I", 0, leaf, *[1] * 8) for leaf in range(9))
    assert len(read_leaves(*blob(LEAVES_TAG, rows))) == 3
    value = struct.pack("<I", 4) + "a".encode("utf-16-le") + b"\0\0" + struct.pack("<III", 4, 4, 7)
    many = b"".join(value.replace(b"a", bytes([0x61 + number])) for number in range(9))
    assert len(read_processor_values(*blob(VALUES_TAG, many))) == 3


@pytest.mark.fuzz
@given(data=st.binary(max_size=400))
def test_any_bytes_give_something_or_nothing(data: bytes) -> None:
    read_smbios(*blob(SMBIOS_TAG, data))
    read_smbios(*table(data))
    read_leaves(*blob(LEAVES_TAG, data + bytes(-len(data) % 40)))
    read_processor_values(*blob(VALUES_TAG, data))
