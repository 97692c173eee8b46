"""A BitLocker volume out of a plain one, sector by sector, with pycryptodome alone.

The layout is that of the real volumes of cryptsetup's tests; that dislocker and libbde read what is written here is a
test of its own. The places of the metadata are runs of zeros of the plain volume: BitLocker shows zeros there.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from Crypto.Cipher import AES

METHODS: Final = {"AES-CBC-128": 0x8002, "AES-CBC-256": 0x8003, "AES-XTS-128": 0x8004, "AES-XTS-256": 0x8005}
_TIME: Final = 0x01D68B30FA9F03F7
_COPY: Final = 0x10000
_VOLUME: Final = UUID("5a95db04-6ebc-4ba9-99a3-15a87a3d07b2")
_MASTER: Final = bytes(range(32))


@dataclass(frozen=True)
class Way:
    """A protector: its mask, its GUID, and the secret that fits it."""

    mask: int
    guid: UUID
    password: str = ""
    key: bytes = bytes(range(100, 132))


@dataclass
class _Nonces:
    used: int = 0
    taken: list[bytes] = field(default_factory=list)

    def new(self) -> bytes:
        self.used += 1
        return struct.pack("<QI", _TIME, self.used)


def _datum(role: int, kind: int, data: bytes) -> bytes:
    return struct.pack("<HHHH", 8 + len(data), role, kind, 1) + data


def _key(kind: int, key: bytes) -> bytes:
    return _datum(0, 1, struct.pack("<HH", kind, 0) + key)


def _sealed(role: int, with_key: bytes, content: bytes, nonces: _Nonces) -> bytes:
    nonce = nonces.new()
    cipher = AES.new(with_key, AES.MODE_CCM, nonce=nonce, mac_len=16)
    data, mac = cipher.encrypt_and_digest(content)
    return _datum(role, 5, nonce + mac + data)


def _stretch(secret: bytes, salt: bytes) -> bytes:
    last = bytes(32)
    for count in range(1 << 20):
        last = hashlib.sha256(last + secret + salt + count.to_bytes(8, "little")).digest()
    return last


def _protector(way: Way, nonces: _Nonces) -> bytes:
    inside = b""
    if way.mask == 0x0000:
        inside += _key(0x2000, way.key) + _sealed(0, way.key, _key(0x2003, _MASTER), nonces)
    elif way.mask == 0x0200:
        label = _datum(0, 2, "ExternalKey\0".encode("utf-16-le"))
        inside += label + _datum(0, 4, struct.pack("<HH", 0x2002, 0))
        inside += _sealed(0, way.key, _key(0x2003, _MASTER), nonces)
    elif way.mask in (0x0800, 0x2000):
        if way.mask == 0x0800:
            groups = b"".join(struct.pack("<H", int(group) // 11) for group in way.password.split("-"))
            secret = hashlib.sha256(groups).digest()
        else:
            secret = hashlib.sha256(hashlib.sha256(way.password.encode("utf-16-le")).digest()).digest()
        salt = way.guid.bytes
        inside += _datum(0, 3, struct.pack("<HH", 0x1000 if way.mask == 0x0800 else 0x1001, 0) + salt)
        inside += _sealed(0, _stretch(secret, salt), _key(0x2003, _MASTER), nonces)
    else:
        inside += _datum(0, 6, struct.pack("<I", 0x815) + bytes(64))
    return _datum(2, 8, way.guid.bytes_le + struct.pack("<QHH", _TIME, 0, way.mask) + inside)


def bek_file(way: Way) -> bytes:
    """Return the key file of a startup key."""
    label = _datum(0, 2, "ExternalKey\0".encode("utf-16-le"))
    body = _datum(6, 9, way.guid.bytes_le + struct.pack("<Q", _TIME) + label + _key(0x2002, way.key))
    size = 48 + len(body)
    return struct.pack("<IIII16sIIQ", size, 1, 48, size, way.guid.bytes_le, 1, 0, _TIME) + body


def _encryptor(method: str) -> tuple[bytes, object]:
    length = {"AES-CBC-128": 16, "AES-CBC-256": 32, "AES-XTS-128": 32, "AES-XTS-256": 64}[method]
    key = hashlib.sha512(method.encode()).digest()[:length]
    if "CBC" in method:
        block = AES.new(key, AES.MODE_ECB)

        def cbc(data: bytes, sector: int, size: int) -> bytes:
            return AES.new(key, AES.MODE_CBC, iv=block.encrypt((sector * size).to_bytes(16, "little"))).encrypt(data)

        return key, cbc
    first, second = AES.new(key[: length // 2], AES.MODE_ECB), AES.new(key[length // 2 :], AES.MODE_ECB)

    def xts(data: bytes, sector: int, size: int) -> bytes:
        tweak = int.from_bytes(second.encrypt(sector.to_bytes(16, "little")), "little")
        mask = b""
        for _block in range(len(data) // 16):
            mask += tweak.to_bytes(16, "little")
            tweak <<= 1
            if tweak >> 128:
                tweak ^= (1 << 128) | 0x87
        wide = int.from_bytes(mask, "little")
        mixed = (int.from_bytes(data, "little") ^ wide).to_bytes(len(data), "little")
        return (int.from_bytes(first.encrypt(mixed), "little") ^ wide).to_bytes(len(data), "little")

    return key, xts


def zero_runs(plain: bytes, length: int, count: int) -> list[int]:
    """Return places of so many zeros, apart from each other, none at the beginning."""
    found: list[int] = []
    zeros = bytes(length)
    for at in range(len(plain) // 8 & -_COPY, len(plain) - length, _COPY):
        if plain[at : at + length] == zeros and (not found or at >= found[-1] + 2 * length):
            found.append(at)
    step = len(found) // count
    assert step, "no room for the metadata"
    return found[::step][:count]


def encrypt(
    plain: bytes,
    ways: Sequence[Way],
    *,
    method: str = "AES-CBC-128",
    sector: int = 512,
    encrypted_to: int | None = None,
    states: tuple[int, int] = (4, 4),
) -> bytes:
    """Return a volume as BitLocker encrypts it.

    Args:
        plain: the volume.
        ways: its protectors.
        method: "AES-CBC-128" ...
        sector: bytes of a sector.
        encrypted_to: where the plain rest begins, of a volume whose conversion is paused.
        states: what it is and what it is to become.

    """
    nonces = _Nonces()
    key, encryptor = _encryptor(method)
    *copies, moved_to = sorted(zero_runs(plain, 2 * _COPY, 4))
    moved = 0x2000
    border = len(plain) if encrypted_to is None else encrypted_to

    def stored(data: bytes, place: int) -> bytes:
        pieces = []
        for at in range(0, len(data), sector):
            piece = data[at : at + sector]
            inside = place + at < border
            pieces.append(encryptor(piece, (place + at) // sector, sector) if inside else piece)  # type: ignore[operator]
        return b"".join(pieces)

    volume = bytearray(stored(plain, 0))
    volume[moved_to : moved_to + moved] = stored(plain[:moved], moved_to)
    body = _datum(7, 2, "TESTS D: 1/1/2026\0".encode("utf-16-le"))
    body += b"".join(_protector(way, nonces) for way in ways)
    body += _sealed(3, _MASTER, _key(METHODS[method], key), nonces)
    body += _datum(15, 15, struct.pack("<QQ", moved_to, moved) + bytes(76))
    size = 48 + len(body)
    dataset = struct.pack(
        "<IIII16sIHHQ", size, 1, 48, size, _VOLUME.bytes_le, 99, METHODS[method], METHODS[method], _TIME
    )
    whole = -(-(64 + size) // 16) * 16
    header = struct.pack(
        "<8sHHHHQII3QQ", b"-FVE-FS-", whole // 16, 2, *states, border, 0, moved // sector, *copies, moved_to
    )
    block = (header + dataset + body).ljust(whole, b"\0")
    check = _key(0x2005, hashlib.sha256(block).digest())
    tail = struct.pack("<HHI", _COPY - whole & 0xFFFF, 2, zlib.crc32(block)) + _sealed(0, _MASTER, check, nonces)
    for place in copies:
        volume[place : place + _COPY] = (block + tail).ljust(_COPY, b"\0")
    boot = bytearray(volume[:sector])
    boot[:0x60] = bytes(0x60)
    boot[0:11] = b"\xeb\x58\x90-FVE-FS-"
    boot[11:16] = struct.pack("<HBH", sector, 4096 // sector, 0)
    boot[21] = 0xF8
    boot[0xA0:0xB0] = UUID("4967d63b-2e29-4ad8-8399-f6a339e3d001").bytes_le
    boot[0xB0:0xC8] = struct.pack("<3Q", *copies)
    boot[510:512] = b"\x55\xaa"
    volume[:sector] = boot
    # What stands elsewhere now is random here, as it is on a real volume.
    volume[sector:moved] = hashlib.shake_256(b"left over").digest(moved - sector)
    return bytes(volume)


def places(volume: bytes) -> list[int]:
    """Return where the copies of the metadata lie."""
    return list(struct.unpack("<3Q", volume[0xB0:0xC8]))
