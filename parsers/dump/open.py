"""The way into a dump of any kind: `open_dump` gives a `Dump` over a byte source.

A cut file gives everything up to the cut, `complete` False and a diagnostic `dump.truncated`; an encrypted one gives
its header. Nothing but the header is read before it is asked for; of a large dump only its bitmap and the pages
touched.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from parsers.bytesource import ByteSource, BytesSource
from parsers.diagnostics import Diagnostics
from parsers.dump.header import Attributes, DumpHeader, parse_header
from parsers.dump.kdbg import KdDebuggerData
from parsers.dump.kinds import KIND_NAMES, DumpType
from parsers.dump.memory import BEYOND_CUT, EmptyMemory, Memory
from parsers.dump.modules import LoadedModule, UnloadedDriver
from parsers.dump.process import image_name, image_name_offset
from parsers.dump.secondary import SecondaryBlob, read_reported_build, read_secondary
from parsers.dump.shared_data import read_shared_data
from parsers.errors import ReadError, StopcodeError
from parsers.limits import MAX_PROCESSORS, MAX_TRIAGE_IN_MEMORY

if TYPE_CHECKING:
    # Only for annotations: each kind of body is imported when a dump of its kind is opened.
    from parsers.dump.packed import Packed
    from parsers.dump.physical import PhysicalMemory
    from parsers.dump.snapshot import Snapshot
    from parsers.dump.triage import TriageDump

__all__ = ["Dump", "open_dump"]

#: Builds that there are or may be: Windows 2000 is the first with dumps of these layouts.
_FIRST_BUILD, _LAST_BUILD = 2195, 40000
_CONTEXT_SIZE = {"x64": 0x4D0, "x86": 0x2CC, "arm64": 0x390}


class Dump:
    """One crash dump.

    Attributes:
        source: its bytes.
        header: DUMP_HEADER32/64.
        kind: "full", "kernel-summary", "header-only", "triage", "bitmap-full", "bitmap-kernel", "rdmp-kernel",
            "rdmp-kernel-user" or "rdmp-complete"; "unknown" when the header names none.
        complete: False when the file is cut or its body is missing.
        diagnostics: what was doubtful or missing; later reads add to it.
        machine: "x64", "x86", "arm64", "arm32", "ia64" or "unknown".
        pointer_size: 8 or 4.
        memory: virtual memory; reads raise ReadError and say why.
        physical: physical memory; None for triage and header-only dumps.
        triage: the body of a triage dump, else None.
        packed: the archive that the dump was unpacked from, None when it lay bare.

    """

    def __init__(self, source: ByteSource, header: DumpHeader, diagnostics: Diagnostics) -> None:
        self.source = source
        self.header = header
        self.diagnostics = diagnostics
        self.machine = header.machine
        self.pointer_size = 8 if header.is_64bit else 4
        self.kind = KIND_NAMES.get(header.dump_type or 0, "unknown")
        self.complete = True
        self.triage: TriageDump | None = None
        self.packed: Packed | None = None
        self._snapshot: Snapshot | None = None
        self.memory: Memory = EmptyMemory("the dump holds its header alone", pointer_size=self.pointer_size)
        self._read_body()

    # -- the body -----------------------------------------------------------------------------------------------

    def _read_body(self) -> None:
        """Choose and open the body; what cannot be opened becomes a diagnostic and an empty memory."""
        header, size = self.header, self.source.size
        if size >= header.size:
            self._judge_header()
        if header.is_encrypted:
            self.diagnostics.error(
                "dump.encrypted",
                "the dump is encrypted: only its header can be read",
                hint="decrypt it with KernelDumpDecrypt (Debugging Tools for Windows) and the private key of the "
                "certificate in CrashControl\\EncryptionCertificates",
            )
            self._no_memory("the dump is encrypted")
            return
        if header.dump_type == DumpType.HEADER and size >= header.size:
            return
        if size <= header.size:
            self._cut(f"the dump is cut: {size:#x} bytes are there, its header alone has {header.size:#x}")
            return
        try:
            self._open_body()
        except StopcodeError as error:
            self.complete = False
            self.diagnostics.error("dump.body-unreadable", f"only the header of the dump can be read: {error.message}")
            self._no_memory("the body of the dump is damaged")

    def _open_body(self) -> None:
        """Open the body that DumpType and the second signature name.

        Raises:
            StopcodeError: there is none, or it is damaged beyond use.

        """
        second = self.source.read_at(self.header.size, 12)
        if self.header.dump_type == DumpType.TRIAGE and b"DMPDUMP" not in second:
            from parsers.dump.triage import parse_triage

            self._take_small_file()
            self.triage = parse_triage(self.source, self.header, self.diagnostics)
            self.complete = self.triage.complete
            self.memory = self.triage.memory
            return
        from parsers.dump.snapshot import open_snapshot

        self._snapshot = open_snapshot(self.source, self.header, self.diagnostics)
        self.complete = self._snapshot.complete
        self.memory = self._snapshot.memory
        self.kind = KIND_NAMES[self._snapshot.dump_type]

    def _take_small_file(self) -> None:
        """Read a triage dump at once: hundreds of small reads through a disk image would be dear."""
        if self.source.size <= MAX_TRIAGE_IN_MEMORY:
            # A place of the file that cannot be read must not cost the rest: read piece by piece then.
            with suppress(ReadError):
                self.source = BytesSource(self.source.read_at(0, self.source.size))

    def _no_memory(self, detail: str, reason: str = "not in the dump") -> None:
        self.memory = EmptyMemory(detail, reason=reason, pointer_size=self.pointer_size)

    def _cut(self, message: str) -> None:
        self.complete = False
        self.diagnostics.error("dump.truncated", message, hint="copy the file again from the machine")
        self._no_memory("the file ends before its memory", BEYOND_CUT)

    def _judge_header(self) -> None:
        """Tell of header fields that no sound dump has; they are shown as they stand."""
        header = self.header
        odd = []
        if header.machine == "unknown":
            odd.append(f"machine type {header.machine_image_type}")
        if header.major_version not in (0xF, 0xC):
            odd.append(f"major version {header.major_version}")
        if header.minor_version is None or not _FIRST_BUILD <= header.minor_version <= _LAST_BUILD:
            odd.append(f"build {header.minor_version}")
        if header.number_processors is None or not 1 <= header.number_processors <= MAX_PROCESSORS:
            odd.append(f"{header.number_processors} processors")
        if header.dump_type not in KIND_NAMES:
            odd.append(f"dump type {header.dump_type}")
        if odd:
            self.diagnostics.warning("dump.header-odd", "the dump's header has odd values: " + ", ".join(odd))
        if header.has_attribute(Attributes.INSUFFICIENT_DUMPFILE_SIZE):
            self.diagnostics.warning(
                "dump.page-file-too-small",
                "the machine says that the page file was too small for this dump",
                hint="let Windows manage the page file, or set a larger one",
            )

    # -- what is in it ------------------------------------------------------------------------------------------

    @property
    def physical(self) -> PhysicalMemory | None:
        """Physical memory; None for triage and header-only dumps."""
        return self._snapshot.physical if self._snapshot is not None else None

    @cached_property
    def kdbg(self) -> KdDebuggerData | None:
        """The kernel's debugger block, None when it is absent or damaged."""
        body = self.triage or self._snapshot
        return body.kdbg if body is not None else None

    @cached_property
    def _modules(self) -> list[LoadedModule]:
        body = self.triage or self._snapshot
        try:
            return body.modules() if body is not None else []
        except ReadError as error:
            self.diagnostics.error("dump.modules-unreadable", f"the loaded modules cannot be read: {error.message}")
            return []

    def modules(self) -> list[LoadedModule]:
        """Return the loaded modules in load order, the kernel first; empty when the dump holds no list."""
        return list(self._modules)

    @cached_property
    def _unloaded(self) -> list[UnloadedDriver]:
        body = self.triage or self._snapshot
        try:
            return body.unloaded() if body is not None else []
        except ReadError as error:
            self.diagnostics.info("dump.unloaded-unreadable", f"the unloaded drivers cannot be read: {error.message}")
            return []

    def unloaded(self) -> list[UnloadedDriver]:
        """Return the unloaded drivers, newest first."""
        return list(self._unloaded)

    @cached_property
    def _secondary(self) -> list[SecondaryBlob]:
        body = self.triage or self._snapshot
        found: list[SecondaryBlob] = []
        try:
            # One by one: what was read stays where the next header cannot be.
            for blob in read_secondary(self.source, body.end) if body is not None else ():
                found.append(blob)
        except ReadError as error:
            what = f"the secondary data behind its first {len(found)} blobs" if found else "the secondary data"
            self.diagnostics.info("dump.secondary-unreadable", f"{what} cannot be read: {error.message}")
        return found

    def secondary(self) -> list[SecondaryBlob]:
        """Return the blobs of secondary data behind the dump, in file order."""
        return list(self._secondary)

    @cached_property
    def reported_build(self) -> int | None:
        """The build number that Windows displays (19045 where the header says 19041); None when not said."""
        try:
            build = read_reported_build(self.source, self._secondary)
        except ReadError:
            build = None
        return build or read_shared_data(self.memory, self.machine).build

    def context(self) -> bytes:
        """Return the header's CONTEXT, as long as the machine's is; empty when it was never set or is cut off.

        It is the context of the bug check call, except in dumps whose code carries 0x10000000 (0x1000007E), where
        it is already the faulting one.
        """
        record = self.header.context_record
        return b"" if record is None else record[: _CONTEXT_SIZE.get(self.machine, len(record))]

    def stack(self) -> tuple[int, int] | None:
        """Return (lowest address, bytes) of the stack copy of a triage dump; None in others."""
        if self.triage is None:
            return None
        header = self.triage.header
        if not (header.call_stack_offset and header.size_of_call_stack and header.top_of_stack):
            return None
        return header.top_of_stack, header.size_of_call_stack

    def current_stack_range(self) -> tuple[int, int] | None:
        """Return (lowest, first behind the highest) address of the stack that the bug check ran on.

        The copied stack of a triage dump (it runs from the stack pointer to the base), else the limits of the
        crashing thread's or processor's stack; None when none can be told.
        """
        copied = self.stack()
        if copied is not None:
            return copied[0], copied[0] + copied[1]
        return self._snapshot.current_stack_range() if self._snapshot is not None else None

    @property
    def prcb(self) -> bytes | None:
        """Bytes of the crashing processor's KPRCB; None when they are not in the dump."""
        body = self.triage or self._snapshot
        return body.prcb if body is not None else None

    @property
    def prcb_address(self) -> int | None:
        """Address of the crashing processor's KPRCB, None when not known."""
        body = self.triage or self._snapshot
        return body.prcb_address if body is not None else None

    @property
    def thread_address(self) -> int | None:
        """Address of the current ETHREAD of the crashing processor, None when not known."""
        body = self.triage or self._snapshot
        return body.thread_address if body is not None else None

    def _process_bytes(self, offset: int, length: int) -> bytes | None:
        if self.triage is not None:
            return self.triage.process[offset : offset + length] if self.triage.process is not None else None
        address = self._snapshot.process_address if self._snapshot is not None else None
        if address is None:
            return None
        try:
            return self.memory.read(address + offset, length)
        except ReadError:
            return None

    def process_name(self) -> str | None:
        """Return the image name of the current process, cut at 14 characters; None when it cannot be told."""
        size = self.kdbg.value("SizeEProcess") if self.kdbg is not None else None
        place = image_name_offset(self.machine, size, self.header.minor_version)
        if place is None:
            return None
        offset, guessed = place
        field = self._process_bytes(offset, 15)
        name = image_name(field) if field is not None else None
        if name is not None and guessed:
            self.diagnostics.info(
                "dump.process-name-guessed", f"the place of the process name was guessed for this build: {name}"
            )
        return name


def open_dump(source: ByteSource) -> Dump:
    """Open a kernel crash dump, or the first one of an archive (.zip, .gz, .xz, .cab).

    Raises:
        FormatError: not a kernel dump, nor an archive with one.
        TruncatedError: cut before the end of the bug check's parameters.
        UnsupportedError: a user-mode minidump, a hibernation file, or an archive that is not read.
        ReadError: the header itself cannot be read.

    """
    diagnostics = Diagnostics()
    packed: Packed | None = None
    if source.read_at(0, 4)[:2] in (b"PK", b"\x1f\x8b", b"\xfd7", b"MS"):
        from parsers.dump.packed import packed_kind, unpack

        if packed_kind(source.read_at(0, 8)) is not None:
            packed = unpack(source, diagnostics)
            source = packed.source
    dump = Dump(source, parse_header(source), diagnostics)
    dump.packed = packed
    return dump
