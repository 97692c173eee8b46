"""DUMP_HEADER32 and DUMP_HEADER64: what every kernel dump begins with.

A field that was never written holds the text `PAGE` and is None here. So is every field behind the end of a cut
file: the missing part of the header is read as fill.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Struct

from parsers.bytesource import ByteSource
from parsers.dump import SIGNATURE_32, SIGNATURE_64
from parsers.dump.fill import FILL, text_or_none
from parsers.dump.kinds import MACHINE_NAMES
from parsers.dump.layouts import DUMP_HEADER32, DUMP_HEADER64
from parsers.errors import FormatError, TruncatedError, UnsupportedError

__all__ = ["Attributes", "DumpHeader", "PhysicalMemoryDescriptor", "parse_header"]

_HEADER_SIZE = {True: 0x2000, False: 0x1000}
#: End of BugCheckParameter4: below it nothing worth reporting is there.
_SMALLEST = {True: 0x60, False: 0x3C}
_MAX_RUNS = {True: 42, False: 86}


class Attributes:
    """Bits of the Attributes field. Source: Microsoft mindumpdef.h; higher bits occur and are not documented."""

    HIBER_CRASH = 0x1
    DUMP_DEVICE_POWER_OFF = 0x2
    INSUFFICIENT_DUMPFILE_SIZE = 0x4
    KERNEL_GENERATED_TRIAGE_DUMP = 0x8
    LIVE_DUMP = 0x10
    GENERATED_OFFLINE = 0x20
    FILTERED = 0x40
    EARLY_BOOT_CRASH = 0x80
    ENCRYPTED = 0x100
    DECRYPTED = 0x200


@dataclass(frozen=True, slots=True)
class PhysicalMemoryDescriptor:
    """PHYSICAL_MEMORY_DESCRIPTOR: where the machine had RAM.

    Attributes:
        number_of_runs: as the header says; the buffer holds at most 42 (64-bit) or 86 (32-bit) of them.
        number_of_pages: pages of 4 KiB in all runs.
        runs: (first page number, page count), as many as the buffer holds.

    """

    number_of_runs: int
    number_of_pages: int
    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class DumpHeader:
    """The fields of a dump header, under the vendor's names; None = never set, or behind the end of a cut file.

    Attributes:
        size: bytes of a whole header: 0x2000 (64-bit) or 0x1000 (32-bit).
        is_64bit: which of the two layouts it is.
        minor_version: build number of the kernel's code base (19041 on each of 19041 to 19045).
        directory_table_base: physical address of the top page table, with flag bits below 0x1000.
        bug_check_code: raw; WinDbg's minidumps of some codes carry 0x10000000.
        required_dump_space: bytes the whole dump needs.
        system_time: FILETIME (100 ns since 1601, UTC) of the crash.
        system_up_time: 100 ns units since boot.
        physical_memory: runs of RAM, None when never set.
        context_record: the header's whole CONTEXT slot, None when never set.
        exception: bytes of the EXCEPTION_RECORD, a dummy in every real dump seen.
        build_revision: UBR, in the header's undocumented tail since build 26100.
        writer_message: the dump writer's last words, same place.

    """

    size: int
    is_64bit: bool
    major_version: int | None
    minor_version: int | None
    directory_table_base: int | None
    pfn_data_base: int | None
    ps_loaded_module_list: int | None
    ps_active_process_head: int | None
    machine_image_type: int | None
    number_processors: int | None
    bug_check_code: int | None
    bug_check_parameters: tuple[int | None, int | None, int | None, int | None]
    version_user: str | None
    pae_enabled: int | None
    kd_secondary_version: int | None
    kd_debugger_data_block: int | None
    physical_memory: PhysicalMemoryDescriptor | None
    context_record: bytes | None
    exception: bytes | None
    dump_type: int | None
    required_dump_space: int | None
    system_time: int | None
    comment: str | None
    system_up_time: int | None
    mini_dump_fields: int | None
    secondary_data_state: int | None
    product_type: int | None
    suite_mask: int | None
    writer_status: int | None
    attributes: int | None
    boot_id: int | None
    writer_message: str | None
    build_revision: int | None

    @property
    def machine(self) -> str:
        """Name of the machine type: "x64", "x86", "arm64", "arm32", "ia64" or "unknown"."""
        return MACHINE_NAMES.get(self.machine_image_type or 0, "unknown")

    def has_attribute(self, bit: int) -> bool:
        """Tell whether a bit of `Attributes` is set; False when the field was never written."""
        return self.attributes is not None and bool(self.attributes & bit)

    @property
    def is_encrypted(self) -> bool:
        """Whether everything behind the header is encrypted (and was not decrypted since)."""
        return self.has_attribute(Attributes.ENCRYPTED) and not self.has_attribute(Attributes.DECRYPTED)


def _signature(data: bytes) -> bool:
    """Return whether the header is the 64-bit one.

    Raises:
        FormatError: not a kernel dump.
        UnsupportedError: another kind of dump.

    """
    head = data[:8]
    if head == SIGNATURE_64:
        return True
    if head == SIGNATURE_32:
        return False
    if head[:4] == b"MDMP":
        raise UnsupportedError(
            "a user-mode minidump (MDMP), not a kernel dump", hint="it tells of a process that died, not of the machine"
        )
    if head[:4].lower() in (b"hibr", b"wake", b"rstr"):
        raise UnsupportedError("a hibernation file, not a crash dump")
    if head == FILL * 2:
        raise FormatError(
            "DUMP_HEADER",
            "a dump was prepared here and never written: the header holds the fill pattern alone",
            offset=0,
            hint="look for another dump, or for the reason in the event log",
        )
    raise FormatError("DUMP_HEADER", "not a kernel dump", offset=0, expected="PAGEDU64 or PAGEDUMP", found=head)


def _descriptor(data: bytes, wide: bool) -> PhysicalMemoryDescriptor | None:
    """Read a PHYSICAL_MEMORY_DESCRIPTOR; None when it was never set or claims no run."""
    number = int.from_bytes(data[:4], "little")
    if data.startswith(FILL) or number == 0:
        return None
    width, first, step = (8, 16, 16) if wide else (4, 8, 8)
    pages = int.from_bytes(data[width : 2 * width], "little")
    runs = []
    for index in range(min(number, _MAX_RUNS[wide])):
        at = first + index * step
        base = int.from_bytes(data[at : at + width], "little")
        count = int.from_bytes(data[at + width : at + 2 * width], "little")
        runs.append((base, count))
    return PhysicalMemoryDescriptor(number, pages, tuple(runs))


def _whole_fields(layout: Struct, length: int) -> int:
    """Return the end of the last field that lies wholly within `length` bytes."""
    end = 0
    for part in layout.subcons:
        if end + part.sizeof() > length:
            break
        end += part.sizeof()
    return end


def parse_header(source: ByteSource) -> DumpHeader:
    """Read the header at the start of a dump.

    Raises:
        FormatError: the bytes are not a kernel dump's.
        TruncatedError: the file ends before the bug check's parameters do.
        UnsupportedError: a user-mode minidump or a hibernation file.

    """
    data = source.read_at(0, 0x2000)
    wide = _signature(data)
    name = "DUMP_HEADER64" if wide else "DUMP_HEADER32"
    size = _HEADER_SIZE[wide]
    if len(data) < _SMALLEST[wide]:
        raise TruncatedError(
            name,
            "the dump is cut inside its first fields",
            offset=len(data),
            expected=f"{size} bytes",
            found=f"{len(data)} bytes",
            hint="copy the file again from the machine",
        )
    layout = DUMP_HEADER64 if wide else DUMP_HEADER32
    there = _whole_fields(layout, len(data)) if len(data) < size else size
    # The fill pattern repeats every four bytes, so the missing tail must begin in step with it.
    raw = layout.parse(data[:there] + (FILL * (size // 4))[there:])
    context = raw.context_record
    context_at = 0x348 if wide else 0x320
    parameters = raw.bug_check_parameters
    revision = raw.get("build_revision")
    message = text_or_none(raw.writer_message) if wide else None
    return DumpHeader(
        size=size,
        is_64bit=wide,
        major_version=raw.major_version,
        minor_version=raw.minor_version,
        directory_table_base=raw.directory_table_base,
        pfn_data_base=raw.pfn_data_base,
        ps_loaded_module_list=raw.ps_loaded_module_list,
        ps_active_process_head=raw.ps_active_process_head,
        machine_image_type=raw.machine_image_type,
        number_processors=raw.number_processors,
        bug_check_code=raw.bug_check_code,
        bug_check_parameters=(parameters[0], parameters[1], parameters[2], parameters[3]),
        version_user=text_or_none(raw.version_user),
        pae_enabled=raw.get("pae_enabled"),
        kd_secondary_version=raw.kd_secondary_version,
        kd_debugger_data_block=raw.kd_debugger_data_block,
        physical_memory=_descriptor(raw.physical_memory, wide),
        context_record=None if context.startswith(FILL * 4) or there < context_at + len(context) else context,
        exception=None if raw.exception.startswith(FILL * 4) else raw.exception,
        dump_type=raw.dump_type,
        required_dump_space=raw.required_dump_space,
        system_time=raw.system_time,
        comment=text_or_none(raw.comment),
        system_up_time=raw.system_up_time,
        mini_dump_fields=raw.mini_dump_fields,
        secondary_data_state=raw.secondary_data_state,
        product_type=raw.product_type,
        suite_mask=raw.suite_mask,
        writer_status=raw.writer_status,
        attributes=raw.attributes,
        boot_id=raw.boot_id,
        # The tail is undocumented: believed only where the build's own text stands beside it.
        writer_message=message or None,
        build_revision=revision if wide and raw.build_text.rstrip(b"\0").replace(b"\0", b"").isdigit() else None,
    )
