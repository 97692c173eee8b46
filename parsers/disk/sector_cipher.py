"""The disk ciphers of BitLocker, many sectors at once: AES-XTS, AES-CBC, and AES-CBC with the Elephant diffuser.

References: IEEE Std 1619-2007 (XTS); N. Ferguson, "AES-CBC + Elephant diffuser: A Disk Encryption Algorithm for Windows
Vista", 2006; libyal/libbde, "BitLocker Drive Encryption (BDE) format" (which keys, which initial vectors). Held against
dissect.fve, and against the SHA-256 of whole real volumes that the project cryptsetup states.

AES itself is pycryptodome's, in its simplest mode, over all sectors in one call. What a mode does around it is done
with integers as wide as all these sectors together: in Python that is some fifty times as fast as sector by sector.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import repeat
from typing import Final, Protocol

from Crypto.Cipher import AES

from parsers.errors import UnsupportedError

__all__ = ["SectorCipher", "cbc", "elephant", "xts"]

_BLOCK: Final = 16


class SectorCipher(Protocol):
    """Decrypts whole sectors."""

    def __call__(self, data: bytes, sector: int) -> bytes:
        """Return the plain text of `data`, whole sectors of which the first has the number `sector`."""
        ...


def _numbers(first: int, count: int, step: int) -> bytes:
    """Return `count` numbers from `first * step` by `step`, each in 16 bytes, little-endian."""
    return b"".join(((first + index) * step).to_bytes(_BLOCK, "little") for index in range(count))


def _xor(left: bytes, right: bytes) -> bytes:
    mixed = int.from_bytes(left, "little") ^ int.from_bytes(right, "little")
    return mixed.to_bytes(len(left), "little")


def _spread(blocks: bytes, sector_size: int) -> bytes:
    """Return each 16-byte block at the beginning of a sector of zeros."""
    spread = bytearray(len(blocks) // _BLOCK * sector_size)
    words, source = memoryview(spread).cast("Q"), memoryview(blocks).cast("Q")
    words[0 :: sector_size // 8] = source[0::2]
    words[1 :: sector_size // 8] = source[1::2]
    return bytes(spread)


def _check(sector_size: int, key: bytes, lengths: tuple[int, ...]) -> None:
    if sector_size not in (512, 1024, 2048, 4096):
        raise UnsupportedError(f"encrypted sectors of {sector_size} bytes")
    if len(key) not in lengths:
        raise UnsupportedError(f"a volume key of {len(key)} bytes")


def xts(key: bytes, sector_size: int) -> SectorCipher:
    """Return the cipher AES-XTS, whose tweak is the sector's number.

    Args:
        key: key of the data, then key of the tweak; together 32 or 64 bytes.
        sector_size: bytes.

    Raises:
        UnsupportedError: another sector size or key length.

    """
    _check(sector_size, key, (32, 64))
    half = len(key) // 2
    data_cipher, tweak_cipher = AES.new(key[:half], AES.MODE_ECB), AES.new(key[half:], AES.MODE_ECB)

    def decrypt(data: bytes, sector: int) -> bytes:
        count = len(data) // sector_size
        tweaks = int.from_bytes(_spread(tweak_cipher.encrypt(_numbers(sector, count, 1)), sector_size), "little")
        # Block j of a sector has the sector's tweak times x^j: doubled up, 1 block becomes 2, 4, 8 ...
        lanes = len(data) // _BLOCK
        done = 1
        while done < sector_size // _BLOCK:
            # Above x^64 what is carried over would have to be carried again.
            shifted = tweaks
            for step in repeat(64, done // 64) if done >= 64 else (done,):
                shifted = _times_power_of_x(shifted, step, lanes)
            tweaks |= shifted << (8 * _BLOCK * done)
            done *= 2
        mask = tweaks.to_bytes(len(data), "little")
        return _xor(data_cipher.decrypt(_xor(data, mask)), mask)

    return decrypt


def _times_power_of_x(value: int, power: int, lanes: int) -> int:
    """Return every 16-byte lane of `value` times x^power in GF(2^128) with the polynomial of XTS.

    Args:
        value: lanes beside each other, little-endian.
        power: at most 64.
        lanes: how many there are.

    """
    carried = (value >> (128 - power)) & _in_each(power, lanes)
    return (
        ((value & _in_each(128 - power, lanes)) << power) ^ carried ^ (carried << 1) ^ (carried << 2) ^ (carried << 7)
    )


@lru_cache(maxsize=32)
def _in_each(bits: int, lanes: int) -> int:
    """Return the lowest bits of each lane; a mask is made once for reads of one length."""
    return int.from_bytes(((1 << bits) - 1).to_bytes(_BLOCK, "little") * lanes, "little")


def cbc(key: bytes, sector_size: int) -> SectorCipher:
    """Return the cipher AES-CBC, whose initial vector is the sector's byte offset, encrypted.

    Args:
        key: 16 or 32 bytes.
        sector_size: bytes.

    Raises:
        UnsupportedError: another sector size or key length.

    """
    _check(sector_size, key, (16, 32))
    cipher = AES.new(key, AES.MODE_ECB)

    def decrypt(data: bytes, sector: int) -> bytes:
        vectors = cipher.encrypt(_numbers(sector, len(data) // sector_size, sector_size))
        # The block before, and at the beginning of each sector the vector.
        before = bytearray(b"\0" * _BLOCK + data[:-_BLOCK])
        words, source = memoryview(before).cast("Q"), memoryview(vectors).cast("Q")
        words[0 :: sector_size // 8] = source[0::2]
        words[1 :: sector_size // 8] = source[1::2]
        return _xor(cipher.decrypt(data), bytes(before))

    return decrypt


def elephant(key: bytes, sector_size: int, *, bits: int) -> SectorCipher:
    """Return the cipher AES-CBC with the Elephant diffuser of Windows Vista to 8.

    Args:
        key: 64 bytes: the key of the data in the first half, the key of the sector keys in the second.
        sector_size: bytes.
        bits: 128 or 256: how much of each half counts.

    Raises:
        UnsupportedError: another sector size or key length.

    """
    _check(sector_size, key, (64,))
    inner = cbc(key[: bits // 8], sector_size)
    cipher = AES.new(key[32 : 32 + bits // 8], AES.MODE_ECB)

    def decrypt(data: bytes, sector: int) -> bytes:
        count = len(data) // sector_size
        plain = _diffuse(inner(data, sector), sector_size)
        offsets = _numbers(sector, count, sector_size)
        first, second = cipher.encrypt(offsets), bytearray(offsets)
        second[15::_BLOCK] = b"\x80" * count
        last = cipher.encrypt(bytes(second))
        keys = b"".join(
            (first[at : at + _BLOCK] + last[at : at + _BLOCK]) * (sector_size // 32)
            for at in range(0, len(offsets), _BLOCK)
        )
        return _xor(plain, keys)

    return decrypt


def _diffuse(data: bytes, sector_size: int) -> bytes:
    """Undo diffuser B, then diffuser A, in every sector."""
    words = memoryview(data).cast("I")
    each = sector_size // 4
    # Word i of all sectors in one integer, 32 bits for each sector.
    columns = [int.from_bytes(words[index::each].tobytes(), "little") for index in range(each)]
    add, rotate = _lanes(len(words) // each)
    for _cycle in range(3):
        for at in range(each):
            turned = rotate(columns[(at + 5) % each], (0, 10, 0, 25)[at % 4])
            columns[at] = add(columns[at], columns[(at + 2) % each] ^ turned)
    for _cycle in range(5):
        for at in range(each):
            turned = rotate(columns[at - 5], (9, 0, 13, 0)[at % 4])
            columns[at] = add(columns[at], columns[at - 2] ^ turned)
    plain = bytearray(len(data))
    out = memoryview(plain).cast("I")
    for index, column in enumerate(columns):
        out[index::each] = memoryview(column.to_bytes(len(words) // each * 4, "little")).cast("I")
    return bytes(plain)


def _lanes(count: int) -> tuple[Callable[[int, int], int], Callable[[int, int], int]]:
    """Return addition and rotation to the left of `count` numbers of 32 bits that stand beside each other."""
    ones = int.from_bytes(b"\x01\0\0\0" * count, "little")
    top, rest = ones << 31, ones * 0x7FFFFFFF

    def add(left: int, right: int) -> int:
        return ((left & rest) + (right & rest)) ^ ((left ^ right) & top)

    masks = {bits: (ones * ((1 << (32 - bits)) - 1), ones * ((1 << bits) - 1)) for bits in (9, 10, 13, 25)}

    def rotate(value: int, bits: int) -> int:
        if not bits:
            return value
        low, high = masks[bits]
        return ((value & low) << bits) | ((value >> (32 - bits)) & high)

    return add, rotate
