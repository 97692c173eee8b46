"""In which state the system ran that crashed: in safe mode, with Driver Verifier on."""

from __future__ import annotations

from parsers.dump.open import Dump
from parsers.dump.shared_data import read_shared_data
from parsers.errors import ReadError

__all__ = ["in_safe_mode", "verifier_is_on"]

#: MmVerifyDriverLevel and KernelVerifier, two u32 in a small dump's block of memory counters (DUMP_MM_STORAGE64,
#: `can1357/selene: resources/sdk/nt`); a dump that was cut out at the next boot holds zeros there.
_MM_LEVEL, _MM_SIZE = 0x10, 0x50


def in_safe_mode(dump: Dump) -> bool:
    """Tell whether the dump says that the machine ran in safe mode."""
    return bool(read_shared_data(dump.memory, dump.machine).safe_boot)


def verifier_is_on(dump: Dump) -> bool:
    """Tell whether the dump says that Driver Verifier was on; it then stops at what others let pass."""
    try:
        if dump.triage is not None and dump.header.is_64bit and dump.triage.header.mm_offset:
            block = dump.source.read_at(dump.triage.header.mm_offset, _MM_SIZE)
            sound = block[:8] == (1).to_bytes(4, "little") + _MM_SIZE.to_bytes(4, "little")
            return sound and any(block[_MM_LEVEL : _MM_LEVEL + 8])
        address = dump.kdbg.value("KernelVerifier") if dump.kdbg is not None else None
        return address is not None and dump.memory.u32(address) != 0
    except ReadError:
        return False
