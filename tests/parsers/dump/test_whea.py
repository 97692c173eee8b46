"""Hardware error records: the beginnings of two published ones, and made ones after the UEFI specification."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.dump import whea
from parsers.dump.whea import WheaRecord, machine_check, parse_record
from parsers.errors import FormatError

#: `ralish/DecodeWheaRecord` pull request 14: an AMD machine's record, as far as it is quoted there.
PUBLISHED_AMD = bytes.fromhex(
    "435045521002FFFFFFFF03000200000002000000A0030000230A0C000E0B1914000000000000000000000000000000000000000000000000"
    "0000000000000000BDC407CF89B7184EB3C41F732CB57131B18BCE2DD7BD0E45B9AD9CF4EBD4F890C0B1AAE01855DC010000000045520000"
    "0000000000000000000000000000000058010000C00000000003000001000000ADCC7698B447DB4BB65E16F193C4F3DB0000000000000000"
    "000000000000000002000000000000000000000000000000000000000000000018020000800000000003000000000000B0A03EDC44A19747"
    "B95B53FA242B6E1D0000000000000000000000000000000002000000000000000000000000000000000000000000000098020000080100000"
    "003000000000000011D1E8AF94257459C33565E5CC3F7E8000000000000000000000000000000000200000000000000000000000000000000"
    "000000000000007F010000000000000002040000030000110FA000000000"
)
#: The same project, issue 6: a fatal record whose first section is the memory's.
PUBLISHED_MEMORY = bytes.fromhex(
    "435045521002FFFFFFFF04000100000002000000FB03000014140E00180A181400000000000000000000000000000000000000000000000000"
    "00000000000000BDC407CF89B7184EB3C41F732CB57131FE6FF5E89C91C54CBA8865ABE14913BBC0D5DAD91F26DB0102000000000000000000"
    "0000000000000000000000000000A00100005000000000030000010000001411BCA5646FDE4EB8633E83ED7C83B10000000000000000000000"
    "0000000000010000000000000000000000000000000000000000000000F0010000C00000000003000000000000ADCC7698B447DB4BB65E16F1"
    "93C4F3DB00000000000000000000000000000000010000000000000000000000000000000000000000000000B0020000240100000003000000"
    "000000011D1E8AF94257459C33565E5CC3F7E800000000000000000000000000000000010000000000000000000000000000000000000000000"
    "000D4030000270000000003000000000000A13248C3C302524CA9F19F1D5D7723FC00000000000000000000000000000000030000000000000"
    "00000000000000000000000000000000000"
)


def parse(data: bytes) -> WheaRecord:
    return parse_record(lambda offset, length: data[offset : offset + length])


def record(*sections: tuple[str, bytes], severity: int = 1, flags: int = 0, fru: str = "") -> bytes:
    offset = 0x80 + 0x48 * len(sections)
    table = body = b""
    for number, (kind, content) in enumerate(sections):
        table += struct.pack("<IIHBBI", offset + len(body), len(content), 0x300, 2 if fru else 0, 0, number == 0)
        table += UUID(kind).bytes_le + bytes(16) + struct.pack("<I", 1) + fru.encode().ljust(20, b"\0")
        body += content
    head = struct.pack("<4sH4sHIII", b"CPER", 0x210, b"\xff" * 4, len(sections), severity, 2, offset + len(body))
    return head.ljust(0x68, b"\0") + struct.pack("<I", flags) + bytes(0x14) + table + body


PROCESSOR = "9876ccad-47b4-4bdb-b65e-16f193c4f3db"
BANK = "8a1e1d01-42f9-4557-9c33-565e5cc3f7e8"
MEMORY = "a5bc1114-6f64-4ede-b863-3e83ed7c83b1"
PCIE = "d995e954-bbc1-430f-ad91-b44dcb3c6f35"


def test_a_published_record_of_an_amd_machine_is_read_as_its_decoder_reads_it() -> None:
    found = parse(PUBLISHED_AMD)
    assert [section.kind for section in found.sections] == ["processor", "processor", "machine check"]
    assert (found.severity, found.length) == ("corrected", 0x3A0)
    assert found.sections[0].primary
    assert found.sections[0].fields == {"error": "bus", "operation": 0, "level": 3}
    # The rest is not quoted there: nothing is made up.
    assert found.sections[2].fields == {}


def test_a_published_fatal_record_names_the_memory_first() -> None:
    found = parse(PUBLISHED_MEMORY)
    assert (found.severity, found.length) == ("fatal", 0x3FB)
    assert [section.kind for section in found.sections] == ["memory", "processor", "machine check", "other"]
    assert [section.primary for section in found.sections] == [True, False, False, False]


@pytest.mark.parametrize(
    ("status", "part", "uncorrected"),
    [
        (0xBE00000000800400, "internal timer", True),  # "internal timer error", a hung Intel core
        (0xBEA0000000000108, "cache", True),  # common on AMD Ryzen
        (0x8C00004F000800C2, "memory controller", False),  # radiasoft/devops issue 134: "memory scrubbing error"
        (0xBD80000000100134, "cache", True),  # andikleen/mcelog issue 74: "Data CACHE Level-0 Data-Read Error"
        (0xB40000000000009F, "memory controller", True),  # the same issue
        (0x8000004000050005, "internal parity", False),  # WHEA-Logger 19 of Intel's 12th generation
        (0xBB80000000000E0F, "bus or interconnect", True),  # SDM: BUS with generic participation
        (0xB200000000000014, "TLB", True),
        (0xB200000080060001, "processor", True),
    ],
)
def test_published_machine_check_status_values_name_their_part(status: int, part: str, uncorrected: bool) -> None:
    found = machine_check(status)
    assert (found.part, found.uncorrected) == (part, uncorrected)


def test_a_bank_gives_its_address_only_when_it_is_valid() -> None:
    def bank(status: int) -> bytes:
        return struct.pack("<IIQIQQIQQQII", 1, 1, 0, 5, 0, 0xFFFFF80011112222, 7, status, 0x123456000, 0x86, 0, 10)

    valid = parse(record((BANK, bank(0xBE00000000000090)))).sections[0].fields
    assert (valid["bank"], valid["address"], valid["processor"], valid["apic_id"]) == (7, 0x123456000, 5, 10)
    assert valid["error"] == "memory controller"
    assert "address" not in parse(record((BANK, bank(0xBA00000000000090)))).sections[0].fields


def test_a_memory_section_names_only_what_it_marks_valid() -> None:
    valid = 1 << 1 | 1 << 5 | 1 << 14 | 1 << 17
    body = struct.pack(
        "<QQQQ8H3QBBHHH", valid, 0, 0x7654321000, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 3, 0, 1, 0x40, 0x41
    )
    found = parse(record((MEMORY, body), fru="DIMM_A1")).sections[0]
    assert found.fields == {"address": 0x7654321000, "module": 2, "error": "multi-bit ECC", "module_handle": 0x41}
    assert found.fru == "DIMM_A1"


def test_a_pci_express_section_names_the_device() -> None:
    body = struct.pack("<QIIHHIHH3sBBHBBHB", 0xF, 4, 0x101, 0, 0, 0, 0x10DE, 0x2484, b"\0\0\3", 0, 0, 0, 1, 2, 0, 0)
    found = parse(record((PCIE, body.ljust(0xD0, b"\0")))).sections[0].fields
    assert (found["vendor"], found["device_id"], found["bus"], found["device"]) == (0x10DE, 0x2484, 1, 0)
    assert (found["port"], found["class"]) == ("root port", 0x030000)


def test_flags_tell_of_injected_and_earlier_errors() -> None:
    assert parse(record(flags=4)).simulated
    assert parse(record(flags=2)).previous


def test_more_sections_than_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whea, "MAX_WHEA_SECTIONS", 2)
    assert len(parse(record(*[(BANK, bytes(0x50))] * 5)).sections) == 2


def test_sections_behind_the_largest_record_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whea, "MAX_WHEA_RECORD", 0x90)
    assert parse(record((BANK, bytes(0x50)))).sections[0].fields == {}


@pytest.mark.parametrize("data", [b"", b"CPER", bytes(0x80), PUBLISHED_AMD[:0x7F]])
def test_what_is_no_record_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)


@pytest.mark.fuzz
@given(data=st.binary(max_size=600), cut=st.integers(0, 600))
def test_any_record_gives_sections_or_an_error(data: bytes, cut: int) -> None:
    for whole in (data, PUBLISHED_MEMORY[:0x80] + data, record((PROCESSOR, data), (PCIE, data), (MEMORY, data[:50]))):
        try:
            parse(whole[:cut])
        except FormatError:
            continue
