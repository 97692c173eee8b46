"""Virtual memory of a dead machine: what every reader of it offers, and why a read fails.

A failed read raises ReadError whose message begins with the address and one of the reasons below, so that a person
can tell memory that the machine had thrown out from memory that nobody put into the dump.
"""

from __future__ import annotations

from parsers.errors import ReadError

__all__ = [
    "BEYOND_CUT",
    "FILE_UNREADABLE",
    "NOT_IN_DUMP",
    "NOT_PRESENT",
    "NO_PAGE_TABLE",
    "PAGED_OUT",
    "EmptyMemory",
    "Memory",
    "unreadable",
]

#: The page tables say that nothing is mapped there.
NOT_PRESENT = "not present"
#: The page was in the page file when the machine stopped.
PAGED_OUT = "paged out"
#: Memory was there; the dump does not hold it.
NOT_IN_DUMP = "not in the dump"
#: The page table that would tell is not in the dump.
NO_PAGE_TABLE = "page table not in the dump"
#: The place of the dump's file cannot be read (a bad sector, an absent block of a disk image).
FILE_UNREADABLE = "the dump's file cannot be read there"
#: The dump's own tables name a place behind the end of the file.
BEYOND_CUT = "beyond the cut"


def unreadable(address: int, reason: str, detail: str = "") -> ReadError:
    """Return the error for one address: the reason, and what is known beyond it."""
    return ReadError(f"{address:#x}: {reason}" + (f" ({detail})" if detail else ""), address=address)


class Memory:
    """Reads by virtual address; subclasses provide `read_available`.

    Attributes:
        pointer_size: 8 or 4.

    """

    def __init__(self, pointer_size: int = 8) -> None:
        self.pointer_size = pointer_size

    def read_available(self, address: int, length: int) -> bytes:
        """Return the bytes from `address` up to the first one that cannot be read, at least one, at most `length`.

        Raises:
            ReadError: not even the first byte can be read; the message says why.

        """
        raise NotImplementedError

    def read(self, address: int, length: int) -> bytes:
        """Return exactly `length` bytes from virtual address `address`.

        Raises:
            ReadError: a part cannot be read; `address` of the error is the first missing byte.

        """
        if length <= 0:
            return b""
        data = self.read_available(address, length)
        if len(data) == length:
            return data
        parts = [data]
        have = len(data)
        while have < length:
            part = self.read_available(address + have, length - have)
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def is_readable(self, address: int, length: int = 1) -> bool:
        """Tell whether `length` bytes from `address` can be read."""
        try:
            self.read(address, length)
        except ReadError:
            return False
        return True

    def integer(self, address: int, size: int) -> int:
        """Return the unsigned little-endian integer of `size` bytes at `address`.

        Raises:
            ReadError: it cannot be read.

        """
        return int.from_bytes(self.read(address, size), "little")

    def u16(self, address: int) -> int:
        """Return the u16 at `address`; raises ReadError."""
        return self.integer(address, 2)

    def u32(self, address: int) -> int:
        """Return the u32 at `address`; raises ReadError."""
        return self.integer(address, 4)

    def u64(self, address: int) -> int:
        """Return the u64 at `address`; raises ReadError."""
        return self.integer(address, 8)

    def pointer(self, address: int) -> int:
        """Return the pointer at `address`, as wide as the machine's; raises ReadError."""
        return self.integer(address, self.pointer_size)


class EmptyMemory(Memory):
    """No memory at all, for a dump that holds only a header, or of which only the header can be read."""

    def __init__(self, detail: str, *, reason: str = NOT_IN_DUMP, pointer_size: int = 8) -> None:
        super().__init__(pointer_size)
        self._reason = reason
        self._detail = detail

    def read_available(self, address: int, length: int) -> bytes:
        """Raise ReadError: there is nothing."""
        raise unreadable(address, self._reason, self._detail)
