"""Names of the NTSTATUS values that occur as exceptions, parameters and start-up codes.

Source: the public list of values, MS-ERREF section 2.3.1 (Microsoft Open Specifications); the words are ours.
"""

from __future__ import annotations

__all__ = ["NTSTATUS", "describe_status", "status_name"]

#: value -> (name, what it says)
NTSTATUS: dict[int, tuple[str, str]] = {
    0x80000001: ("STATUS_GUARD_PAGE_VIOLATION", "a guard page was touched"),
    0x80000002: ("STATUS_DATATYPE_MISALIGNMENT", "a value was not aligned as the processor demands"),
    0x80000003: ("STATUS_BREAKPOINT", "a breakpoint instruction without a debugger, often an assertion"),
    0x80000004: ("STATUS_SINGLE_STEP", "a single-step trap without a debugger"),
    0xC0000001: ("STATUS_UNSUCCESSFUL", "failed, with no reason given"),
    0xC0000005: ("STATUS_ACCESS_VIOLATION", "an address was used that may not be used so"),
    0xC0000006: ("STATUS_IN_PAGE_ERROR", "a page could not be read from its disk"),
    0xC0000008: ("STATUS_INVALID_HANDLE", "not a valid handle"),
    0xC000000D: ("STATUS_INVALID_PARAMETER", "a parameter is not valid"),
    0xC000000E: ("STATUS_NO_SUCH_DEVICE", "the device is not there"),
    0xC000000F: ("STATUS_NO_SUCH_FILE", "the file is not there"),
    0xC0000010: ("STATUS_INVALID_DEVICE_REQUEST", "the device does not know such a request"),
    0xC0000011: ("STATUS_END_OF_FILE", "the file ends too early"),
    0xC0000013: ("STATUS_NO_MEDIA_IN_DEVICE", "there is no medium in the device"),
    0xC0000017: ("STATUS_NO_MEMORY", "not enough memory"),
    0xC000001D: ("STATUS_ILLEGAL_INSTRUCTION", "the processor did not accept an instruction"),
    0xC0000020: ("STATUS_INVALID_FILE_FOR_SECTION", "the file cannot be mapped as an image"),
    0xC0000022: ("STATUS_ACCESS_DENIED", "access denied"),
    0xC0000025: ("STATUS_NONCONTINUABLE_EXCEPTION", "an exception that cannot be continued"),
    0xC0000026: ("STATUS_INVALID_DISPOSITION", "an exception handler gave no valid answer"),
    0xC0000032: ("STATUS_DISK_CORRUPT_ERROR", "the file system on the disk is damaged"),
    0xC0000034: ("STATUS_OBJECT_NAME_NOT_FOUND", "the name was not found"),
    0xC0000035: ("STATUS_OBJECT_NAME_COLLISION", "the name exists already"),
    0xC000003A: ("STATUS_OBJECT_PATH_NOT_FOUND", "the path was not found"),
    0xC000003B: ("STATUS_OBJECT_PATH_SYNTAX_BAD", "a path is not well formed"),
    0xC000003F: ("STATUS_CRC_ERROR", "data read does not have its checksum"),
    0xC0000043: ("STATUS_SHARING_VIOLATION", "the file is in use elsewhere"),
    0xC000007B: ("STATUS_INVALID_IMAGE_FORMAT", "not a sound program image for this machine"),
    0xC000007F: ("STATUS_DISK_FULL", "the disk is full"),
    0xC0000094: ("STATUS_INTEGER_DIVIDE_BY_ZERO", "an integer division by zero"),
    0xC0000095: ("STATUS_INTEGER_OVERFLOW", "an integer overflow"),
    0xC0000096: ("STATUS_PRIVILEGED_INSTRUCTION", "an instruction that this mode may not execute"),
    0xC0000098: ("STATUS_FILE_INVALID", "the file was changed from outside, or is of another version"),
    0xC000009A: ("STATUS_INSUFFICIENT_RESOURCES", "not enough resources, mostly pool memory"),
    0xC000009C: ("STATUS_DEVICE_DATA_ERROR", "the device reports bad data (a bad block)"),
    0xC000009D: ("STATUS_DEVICE_NOT_CONNECTED", "the device is no longer connected"),
    0xC00000A3: ("STATUS_DEVICE_NOT_READY", "the device is not ready"),
    0xC00000B5: ("STATUS_IO_TIMEOUT", "a device did not answer in time"),
    0xC00000BA: ("STATUS_FILE_IS_A_DIRECTORY", "the file is a folder"),
    0xC00000BB: ("STATUS_NOT_SUPPORTED", "the request is not supported"),
    0xC00000E5: ("STATUS_INTERNAL_ERROR", "an internal error"),
    0xC00000E9: ("STATUS_UNEXPECTED_IO_ERROR", "an unexpected I/O error"),
    0xC00000FD: ("STATUS_STACK_OVERFLOW", "the stack is used up"),
    0xC0000102: ("STATUS_FILE_CORRUPT_ERROR", "the file or folder is damaged"),
    0xC0000120: ("STATUS_CANCELLED", "the request was canceled"),
    0xC0000135: ("STATUS_DLL_NOT_FOUND", "a DLL that a program needs was not found"),
    0xC0000138: ("STATUS_ORDINAL_NOT_FOUND", "a DLL lacks a function that a program calls by number"),
    0xC0000139: ("STATUS_ENTRYPOINT_NOT_FOUND", "a DLL lacks a function that a program calls"),
    0xC0000142: ("STATUS_DLL_INIT_FAILED", "a DLL could not be initialized"),
    0xC000014C: ("STATUS_REGISTRY_CORRUPT", "a registry hive is damaged"),
    0xC000014D: ("STATUS_REGISTRY_IO_FAILED", "a registry file could not be read, written or flushed"),
    0xC000014F: ("STATUS_UNRECOGNIZED_VOLUME", "the volume holds no file system that Windows knows"),
    0xC000016A: ("STATUS_DISK_OPERATION_FAILED", "a disk operation failed even after retries"),
    0xC0000185: ("STATUS_IO_DEVICE_ERROR", "the device reports an I/O error"),
    0xC0000194: ("STATUS_POSSIBLE_DEADLOCK", "a lock was waited for too long"),
    0xC0000218: ("STATUS_CANNOT_LOAD_REGISTRY_FILE", "a registry hive cannot be loaded"),
    0xC000021A: ("STATUS_SYSTEM_PROCESS_TERMINATED", "a process that Windows cannot do without ended"),
    0xC0000221: ("STATUS_IMAGE_CHECKSUM_MISMATCH", "a file's checksum is wrong: the file is damaged"),
    0xC0000225: ("STATUS_NOT_FOUND", "something was not found"),
    0xC0000242: ("STATUS_BAD_COMPRESSION_BUFFER", "compressed data is damaged"),
    0xC0000265: ("STATUS_TOO_MANY_LINKS", "too many hard links on a file"),
    0xC00002C4: ("STATUS_CORRUPT_SYSTEM_FILE", "a system file is damaged"),
    0xC00002E1: ("STATUS_DS_CANT_START", "the directory service cannot start"),
    0xC00002E2: ("STATUS_DS_INIT_FAILURE", "the directory service could not initialise"),
    0xC00002E3: ("STATUS_SAM_INIT_FAILURE", "the security accounts manager could not initialise"),
    0xC0000359: ("STATUS_INVALID_IMAGE_WIN_32", "a 32-bit file where a 64-bit one belongs"),
    0xC000035A: ("STATUS_INVALID_IMAGE_WIN_64", "a 64-bit file where a 32-bit one belongs"),
    0xC0000374: ("STATUS_HEAP_CORRUPTION", "a heap is corrupted"),
    0xC0000409: ("STATUS_STACK_BUFFER_OVERRUN", "the code found itself corrupted and stopped (fail fast)"),
    0xC0000420: ("STATUS_ASSERTION_FAILURE", "an assertion failed"),
    0xC0000428: ("STATUS_INVALID_IMAGE_HASH", "the signature of a file cannot be verified"),
    0xC0000454: ("STATUS_INSUFFICIENT_NVRAM_RESOURCES", "the firmware has no room left for its variables"),
    0xC0000602: ("STATUS_FAIL_FAST_EXCEPTION", "the code stopped itself at once (fail fast)"),
    0xC0000605: ("STATUS_IMAGE_CERT_EXPIRED", "the certificate of a file has expired (preview builds)"),
    0xC0210000: ("STATUS_FVE_LOCKED_VOLUME", "the volume is locked by BitLocker"),
    0xC01A001D: ("STATUS_LOG_FULL", "the transaction log has no room left"),
    0xC0430001: ("STATUS_SECUREBOOT_ROLLBACK_DETECTED", "Secure Boot found an older policy than before"),
    0xE06D7363: ("C++ exception", "a C++ exception left a driver"),
}


def status_name(value: int) -> str | None:
    """Return the name of a status; the low 32 bits count, because x64 parameters are sign-extended."""
    row = NTSTATUS.get(value & 0xFFFFFFFF)
    return row[0] if row is not None else None


def describe_status(value: int) -> str:
    """Return "0xc0000005 STATUS_ACCESS_VIOLATION (…)", or the number alone when the value is not in the table."""
    low = value & 0xFFFFFFFF
    row = NTSTATUS.get(low)
    return f"{low:#x}" if row is None else f"{low:#x} {row[0]} ({row[1]})"
