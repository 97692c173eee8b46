"""BitLocker: what a volume needs to be opened, and the opened volume.

Source: fox-it/dissect.fve 4.6, which reads the metadata and unwraps the keys. Tried on the nine volumes of
cryptsetup's tests and on those of dissect.fve's.

What an attacker may have written is bounded before dissect sees it: a copy of the metadata is 64 KiB. A key counts
only when three things agree: the MAC of the volume master key, the sealed digest of the metadata, and a first sector
that is a file system's. dissect itself does not look at the second and the third, and lets a damaged copy hide the
sound ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from forensics.disk.bitlocker_keys import Protector, attempts, masters_of, protector_of
from forensics.disk.bitlocker_map import DecryptedVolume, Layout, Region, read_regions
from forensics.disk.filesystems import identify
from forensics.disk.foreign import as_ours
from forensics.disk.keys import VolumeKeys
from parsers.bytesource import ByteSource
from parsers.disk.sector_cipher import SectorCipher, cbc, elephant, xts
from parsers.errors import FormatError, LockedVolumeError, StopcodeError, UnsupportedError
from parsers.limits import MAX_BITLOCKER_METADATA

if TYPE_CHECKING:
    from forensics.facts import EncryptionDict

__all__ = ["BitLocker", "Opened", "Protector", "open_bitlocker"]

_METHODS: Final[dict[int, tuple[str, Callable[[bytes, int], SectorCipher] | None]]] = {
    0: ("none", None),
    0x8000: ("AES-CBC-128 with diffuser", partial(elephant, bits=128)),
    0x8001: ("AES-CBC-256 with diffuser", partial(elephant, bits=256)),
    0x8002: ("AES-CBC-128", cbc),
    0x8003: ("AES-CBC-256", cbc),
    0x8004: ("AES-XTS-128", xts),
    0x8005: ("AES-XTS-256", xts),
}
_STATES: Final = {1: "decrypted", 2: "converting", 3: "paused", 4: "encrypted", 5: "converting"}
_HINT: Final = (
    "--recovery-password-file FILE with the 48 digits (manage-bde -protectors -get C:, Active Directory, Entra ID), "
    "or --bek FILE with the key file; of Azure Disk Encryption: the BEK is the secret of Key Vault that the VM's "
    "encryption settings name"
)


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened volume.

    Attributes:
        source: the volume as Windows sees it.
        by: the protector whose key opened it; None where nothing is encrypted.

    """

    source: ByteSource
    by: Protector | None


def open_bitlocker(source: ByteSource) -> BitLocker:
    """Read what a BitLocker volume says of itself.

    Args:
        source: the volume, from its first sector.

    Raises:
        UnsupportedError: a volume of Windows Vista.
        FormatError, TruncatedError: no copy of its metadata is sound.

    """
    from dissect.fve.bde.bde import BootSector
    from dissect.fve.bde.information import Information

    with as_ours("BitLocker"):
        boot = BootSector(BytesIO(source.read_at(0, 512).ljust(512, b"\0")))
        offsets = [int(offset) for offset in boot.information_offsets]
        eow_offsets = [int(offset) for offset in boot.eow_offsets]
    if boot.guid is None:
        raise UnsupportedError("BitLocker of Windows Vista is not read", hint="unlock it in Windows and image that")
    copies, problems = [], []
    for number, offset in enumerate(offsets, 1):
        try:
            # What dissect may read of a copy is bounded here.
            data = source.read_at(offset, MAX_BITLOCKER_METADATA)
            with as_ours("BitLocker"):
                copy = Information(BytesIO(data), 0)
                if not copy.is_valid() or copy.version != 2 or copy.validation.integrity_check is None:
                    raise FormatError("BitLocker", "its checksum is wrong")
                list(copy.dataset)
        except StopcodeError:
            problems.append(f"copy {number} of its metadata, at {offset:#x}, is damaged")
        else:
            copies.append(copy)
    if not copies:
        raise FormatError("BitLocker", "every copy of the metadata is damaged", hint=_DAMAGED)
    with as_ours("BitLocker"):
        return BitLocker(source, copies, int(boot.sector_size), offsets, eow_offsets, problems)


_DAMAGED: Final = "is the image whole? repair-bde with a key package may still open it in Windows"


class BitLocker:
    """A BitLocker volume that is not opened yet.

    Attributes:
        method: "AES-XTS-128" ...
        protectors: every way to open it.
        identifier: GUID of its metadata.
        state: "encrypted", "decrypted", "paused" or "converting" (in part encrypted), "partly encrypted" (piece by
            piece, with a map of what is), or "unknown".
        problems: damage that was worked around.

    """

    def __init__(
        self,
        source: ByteSource,
        copies: list[Any],
        sector_size: int,
        offsets: list[int],
        eow_offsets: list[int],
        problems: list[str],
    ) -> None:
        self._source = source
        self._copies = copies
        self._sector_size = sector_size
        self._offsets = offsets
        self._eow_offsets = eow_offsets
        self.problems = problems
        dataset = copies[0].dataset
        kind = int(dataset.header.FvekType)
        self.method = _METHODS[kind][0] if kind in _METHODS else f"method {kind:#x}"
        self.identifier = str(dataset.identifier).upper()
        self.protectors = tuple(protector_of(item) for item in masters_of(copies[0]))
        state = _STATES.get(int(copies[0].header.CurrentState), "unknown")
        self.state = "partly encrypted" if eow_offsets and state == "encrypted" else state

    @property
    def suspended(self) -> bool:
        """Return whether the key stands in the clear on the volume."""
        return any(protector.kind == "clear key" for protector in self.protectors)

    def described(self, opened: Opened | None = None) -> EncryptionDict:
        """Return the volume's encryption for the facts, with what opened it."""
        made: EncryptionDict = {
            "kind": "BitLocker",
            "version": 2,
            "method": self.method,
            "state": self.state,
            "identifier": self.identifier,
            "locked": opened is None,
            "protectors": [item.described() for item in self.protectors],
        }
        if opened is not None and opened.by is not None:
            made["opened_with"] = str(opened.by)
        return made

    def open(self, keys: VolumeKeys) -> Opened:
        """Open the volume with the first key that fits: the clear key, BEK files, recovery passwords, passphrases.

        Raises:
            LockedVolumeError: no key fits, or none was given; it names the protectors and what was tried.
            UnsupportedError: it was being converted, or is encrypted in a way that is not read.
            FormatError: a key fits, but the volume is damaged where it must not be.

        """
        information, master, by = self._copies[0], None, None
        if self.state != "decrypted":
            master, by = self._master_key(keys)
            information = self._sealed(master)
        with as_ours("BitLocker"):
            layout = self._layout(information)
            cipher = self._cipher(information, master) if master is not None else None
        opened = Opened(DecryptedVolume(self._source, layout, cipher), by)
        if identify(opened.source.read_at(0, 2048)).name in ("unknown", "BitLocker"):
            raise FormatError("BitLocker", "the key fits, but what it decrypts does not begin as a file system does")
        return opened

    def _master_key(self, keys: VolumeKeys) -> tuple[Any, Protector]:
        tried: list[str] = []
        with as_ours("BitLocker"):
            for master, unwrap, name in attempts(self._copies[0], keys, tried):
                tried.append(name)
                try:
                    return unwrap(), protector_of(master)
                except ValueError:
                    # The MAC does not fit: another key.
                    continue
        ways = "; ".join(map(str, self.protectors)) or "none"
        text = f"BitLocker, locked ({self.method}), protectors: {ways}"
        if tried:
            text += f"; what was given does not open it, tried: {'; '.join(dict.fromkeys(tried))}"
        elif keys:
            text += "; none of the keys given is for one of these"
        raise LockedVolumeError(text, hint=f"give {_HINT}")

    def _sealed(self, master: Any) -> Any:
        """Return the first copy of the metadata whose digest, sealed with the master key, is right."""
        for copy in self._copies:
            try:
                sealed = copy.validation.integrity_check.unbox(master)
                if sealed.data == hashlib.sha256(copy._buf).digest():  # dissect has no other way to these bytes
                    return copy
            except Exception:  # noqa: BLE001, S112  # dissect raises every kind; another copy may be sound
                continue
        raise FormatError("BitLocker", "the metadata was changed by somebody without the key", hint=_DAMAGED)

    def _cipher(self, information: Any, master: Any) -> SectorCipher:
        wrapped = information.dataset.find_fvek()
        if wrapped is None:
            raise FormatError("BitLocker", "the volume's key is missing")
        key = wrapped.unbox(master)
        make = _METHODS.get(int(key.key_type), ("", None))[1]
        if make is None:
            raise UnsupportedError(f"BitLocker with encryption method {int(key.key_type):#x} is not read")
        return make(key.data, self._sector_size)

    def _layout(self, information: Any) -> Layout:
        header = information.header
        sector = self._sector_size
        if sector not in (512, 1024, 2048, 4096):
            raise FormatError("BitLocker", "odd sector size", found=sector)
        moved, moved_to = int(header.VirtualizedSectors) * sector, int(header.VirtualizedBlockOffset)
        if moved_to % sector or (moved and moved_to < moved):
            raise FormatError("BitLocker", "the place of the first sectors makes no sense", found=hex(moved_to))
        hidden = [(offset, MAX_BITLOCKER_METADATA) for offset in self._offsets]
        hidden.append((moved_to, moved or sector))
        state, encrypted_to = int(header.CurrentState), None
        regions: list[Region] = []
        if self._eow_offsets:
            regions, own = read_regions(self._source, self._eow_offsets, sector)
            hidden += own
        elif state == 1:
            encrypted_to = 0
        elif state in (3, 4):
            marks = {int(copy.header.StateOffset) for copy in self._copies}
            if len(marks) != 1 or 0 in marks:
                raise UnsupportedError("BitLocker was converting, and its copies of how far it got are not equal")
            encrypted_to = marks.pop() // sector * sector
        else:
            raise UnsupportedError(
                "BitLocker was converting the volume when the image was made: what of it is encrypted is not certain",
                hint="pause it (manage-bde -pause) or let it end, and make the image anew",
            )
        if any(offset % sector for offset, _size in hidden):
            raise FormatError("BitLocker", "a place of its own begins within a sector")
        return Layout(sector, moved, moved_to, tuple(sorted(set(hidden))), encrypted_to, tuple(regions))
