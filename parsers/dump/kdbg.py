"""KDDEBUGGER_DATA64 ("KDBG"): the kernel's own table of addresses and structure offsets.

One layout serves 32- and 64-bit machines (32-bit kernels store sign-extended values). It replaces tables of offsets
by version for everything it names. Source: `volatilityfoundation/volatility3: symbols/windows/kdbg.json` and
Microsoft wdbgexts.h; the tail measured in builds 19041, 22000 (size 0x380) and 26100 (size 0x3A0).
"""

from __future__ import annotations

import struct

from construct import Bytes, Int16ul, Int32ul, Int64ul, Padding, Struct

from parsers.dump.memory import Memory
from parsers.errors import FormatError, ReadError

__all__ = ["KDBG_MAX", "KDBG_MIN", "KDDEBUGGER_DATA64", "KdDebuggerData", "read_kdbg"]

#: Sizes that the block had and may have (0x290 in Windows XP, 0x3A0 in build 26100).
KDBG_MIN = 0x200
KDBG_MAX = 0x800

#: Everything named here is the address of a kernel variable, except the u16 and u32 group and PteBase, which are
#: values, and the list heads and NtBuildLab, which are the objects' own addresses.
KDDEBUGGER_DATA64 = Struct(
    "Flink" / Int64ul,  # 0x000
    "Blink" / Int64ul,
    "OwnerTag" / Bytes(4),  # 0x010 KDBG
    "Size" / Int32ul,  # 0x014
    "KernBase" / Int64ul,  # 0x018
    "BreakpointWithStatus" / Int64ul,
    "SavedContext" / Int64ul,
    "ThCallbackStack" / Int16ul,  # 0x030
    "NextCallback" / Int16ul,
    "FramePointer" / Int16ul,
    "PaeEnabled" / Int16ul,  # 0x036 bit 0
    "KiCallUserMode" / Int64ul,
    "KeUserCallbackDispatcher" / Int64ul,
    "PsLoadedModuleList" / Int64ul,  # 0x048
    "PsActiveProcessHead" / Int64ul,
    "PspCidTable" / Int64ul,
    Padding(0x28),
    "KiBugcheckData" / Int64ul,  # 0x088
    Padding(0x30),
    "MmPfnDatabase" / Int64ul,  # 0x0C0
    Padding(0x20),
    "MmLowestPhysicalPage" / Int64ul,  # 0x0E8
    "MmHighestPhysicalPage" / Int64ul,  # 0x0F0
    "MmNumberOfPhysicalPages" / Int64ul,  # 0x0F8
    Padding(0x108),
    "NtBuildLab" / Int64ul,  # 0x208
    "KiNormalSystemCall" / Int64ul,
    "KiProcessorBlock" / Int64ul,  # 0x218
    "MmUnloadedDrivers" / Int64ul,  # 0x220
    "MmLastUnloadedDriver" / Int64ul,  # 0x228
    Padding(0x10),
    "KernelVerifier" / Int64ul,  # 0x240
    Padding(0x20),
    "CmNtCSDVersion" / Int64ul,  # 0x268
    "MmPhysicalMemoryBlock" / Int64ul,  # 0x270
    Padding(0x20),
    "OffsetKThreadNextProcessor" / Int16ul,  # 0x298
    "OffsetKThreadTeb" / Int16ul,
    "OffsetKThreadKernelStack" / Int16ul,
    "OffsetKThreadInitialStack" / Int16ul,
    "OffsetKThreadApcProcess" / Int16ul,  # 0x2A0
    "OffsetKThreadState" / Int16ul,
    "OffsetKThreadBStore" / Int16ul,
    "OffsetKThreadBStoreLimit" / Int16ul,
    "SizeEProcess" / Int16ul,  # 0x2A8
    "OffsetEprocessPeb" / Int16ul,
    "OffsetEprocessParentCID" / Int16ul,
    "OffsetEprocessDirectoryTableBase" / Int16ul,
    "SizePrcb" / Int16ul,  # 0x2B0
    "OffsetPrcbDpcRoutine" / Int16ul,
    "OffsetPrcbCurrentThread" / Int16ul,
    "OffsetPrcbMhz" / Int16ul,
    "OffsetPrcbCpuType" / Int16ul,  # 0x2B8
    "OffsetPrcbVendorString" / Int16ul,
    "OffsetPrcbProcStateContext" / Int16ul,
    "OffsetPrcbNumber" / Int16ul,
    "SizeEThread" / Int16ul,  # 0x2C0
    Padding(0x30),
    "OffsetPrcbProcStateSpecialReg" / Int16ul,  # 0x2F2
    Padding(0x14),
    "IopNumTriageDumpDataBlocks" / Int64ul,  # 0x308
    "IopTriageDumpDataBlocks" / Int64ul,
    "VfCrashDataBlock" / Int64ul,
    "MmBadPagesDetected" / Int64ul,  # 0x320
    "MmZeroedPageSingleBitErrorsDetected" / Int64ul,
    "EtwpDebuggerData" / Int64ul,
    "OffsetPrcbContext" / Int16ul,  # 0x338 of a pointer to a CONTEXT
    Padding(6),
    "OffsetKThreadStackLimit" / Int32ul,  # 0x340
    "OffsetKThreadStackBase" / Int32ul,
    "OffsetKThreadQueueListEntry" / Int32ul,
    "OffsetEThreadIrpList" / Int32ul,
    "OffsetPrcbIdleThread" / Int16ul,  # 0x350
    "OffsetPrcbNormalDpcState" / Int16ul,
    "OffsetPrcbDpcStack" / Int16ul,
    "OffsetPrcbIsrStack" / Int16ul,
    "SizeKDPC_STACK_FRAME" / Int16ul,  # 0x358
    "OffsetKPriQueueThreadListHead" / Int16ul,
    "OffsetKThreadWaitReason" / Int16ul,
    Padding(2),
    "PteBase" / Int64ul,  # 0x360 a value
    "RetpolineStubFunctionTable" / Int64ul,
    Padding(0x20),
    "PointerAuthMask" / Int64ul,  # 0x390 a value
    "OffsetPrcbExceptionStack" / Int16ul,  # 0x398
    Padding(6),
)

_TAG_AND_SIZE = struct.Struct("<4sI")


def _ends() -> dict[str, int]:
    """Return where each named field of the layout ends."""
    ends: dict[str, int] = {}
    at = 0
    for part in KDDEBUGGER_DATA64.subcons:
        at += part.sizeof()
        if part.name:
            ends[part.name] = at
    return ends


class KdDebuggerData:
    """The block of one dump.

    Args:
        data: its bytes, from the list entry on.
        address: its virtual address.
        pointer_size: 8 or 4; addresses of a 32-bit machine lose their sign extension.

    Raises:
        FormatError: no `KDBG` tag, or a size no kernel has.

    """

    def __init__(self, data: bytes, address: int, pointer_size: int = 8) -> None:
        if len(data) < 0x18:
            raise FormatError("KDBG", "too short", offset=0, expected="24 bytes", found=len(data))
        tag, size = _TAG_AND_SIZE.unpack_from(data, 0x10)
        if tag != b"KDBG":
            raise FormatError("KDBG", "no tag", offset=0x10, expected="KDBG", found=tag)
        if not KDBG_MIN <= size <= KDBG_MAX:
            raise FormatError("KDBG", "size no kernel has", offset=0x14, expected="0x200..0x800", found=hex(size))
        self.address = address
        self.size = min(size, len(data))
        self.pointer_size = pointer_size
        self.raw = data[: self.size]
        self._fields = KDDEBUGGER_DATA64.parse(self.raw.ljust(KDDEBUGGER_DATA64.sizeof(), b"\0"))
        self._ends = _ends()

    def value(self, name: str) -> int | None:
        """Return a field by the vendor's name; None when this build's block ends before it, or it is zero there.

        Addresses are as wide as the machine's pointers. Zero means "not applicable" for offsets and addresses alike.
        """
        if self._ends[name] > self.size:
            return None
        number = int(self._fields[name])
        if self.pointer_size == 4:
            number &= 0xFFFFFFFF
        return number or None

    @property
    def kern_base(self) -> int:
        """Load address of the kernel image; 0 when the block does not say."""
        return self.value("KernBase") or 0

    def __repr__(self) -> str:
        return f"KdDebuggerData(address={self.address:#x}, size={self.size:#x}, kern_base={self.kern_base:#x})"


def read_kdbg(memory: Memory, address: int) -> KdDebuggerData:
    """Read the block at a virtual address.

    Raises:
        ReadError: it cannot be read.
        FormatError: something else lies there (kernels from Windows 8 on keep it encoded in memory; the crash path
            decodes it before the dump is written).

    """
    head = memory.read(address, 0x18)
    size = int.from_bytes(head[0x14:0x18], "little")
    if head[0x10:0x14] == b"KDBG" and KDBG_MIN <= size <= KDBG_MAX:
        try:
            head = memory.read(address, size)
        except ReadError:
            head = memory.read_available(address, size)
    return KdDebuggerData(head, address, memory.pointer_size)
