"""The ways to a BitLocker volume's master key, and the keys of the user that fit them.

Sources: as for `bitlocker.py`; the names of protectors and the mask of smart cards are those of mbroz/cryptsetup
(`lib/bitlk/bitlk.c`). Stretching a password takes 2^20 rounds of SHA-256, about a second, so it is bounded how many
are tried: metadata and key files may hold thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from forensics.disk.keys import VolumeKeys
from parsers.errors import FormatError
from parsers.limits import MAX_BITLOCKER_METADATA, MAX_BITLOCKER_TRIES

if TYPE_CHECKING:
    from forensics.facts import ProtectorDict

__all__ = ["Protector", "attempts", "masters_of", "protector_of"]

_CLEAR: Final = 0x0000
_EXTERNAL: Final = 0x0200
_RECOVERY: Final = 0x0800
_PASSPHRASE: Final = 0x2000
_PROTECTORS: Final = {
    _CLEAR: "clear key",
    0x0100: "TPM",
    _EXTERNAL: "startup key",
    0x0300: "TPM + startup key",
    0x0500: "TPM + PIN",
    0x0700: "TPM + PIN + startup key",
    _RECOVERY: "recovery password",
    0x1000: "smart card",
    _PASSPHRASE: "passphrase",
}


@dataclass(frozen=True, slots=True)
class Protector:
    """One way to the volume master key.

    Attributes:
        kind: "TPM", "TPM + PIN", "startup key", "recovery password", "passphrase", "clear key" ...
        identifier: its GUID, upper case: what a directory keeps the recovery password under.

    """

    kind: str
    identifier: str

    @property
    def file(self) -> str:
        """Return the name of its key file; "" when it has none."""
        return f"{self.identifier}.BEK" if self.kind == "startup key" else ""

    def described(self) -> ProtectorDict:
        """Return the protector for the facts."""
        made: ProtectorDict = {"kind": self.kind, "identifier": self.identifier}
        if self.file:
            made["file"] = self.file
        return made

    def __str__(self) -> str:
        return f"{self.kind} {self.file or '{' + self.identifier + '}'}"


def attempts(information: Any, keys: VolumeKeys, tried: list[str]) -> Iterator[tuple[Any, Callable[[], Any], str]]:
    """Yield every pair of a protector and a key that may fit, the cheap ones first.

    What it yields is the protector, the way to the volume master key (a ValueError: the key does not fit), and what is
    said of the attempt.

    Args:
        information: dissect's metadata.
        keys: what the user gave.
        tried: told of keys that fit no protector of this volume.

    """
    from dissect.fve.bde.information import Dataset

    masters = list(masters_of(information))
    for master in masters:
        key = master.clear_key() if _mask(master) == _CLEAR else None
        if key is not None:
            yield master, partial(_unwrap, master, key.data), str(protector_of(master))
    for bek in keys.beks:
        startup = Dataset(BytesIO(bek[:MAX_BITLOCKER_METADATA])).find_startup_key()
        key = startup.external_key() if startup is not None else None
        if key is None:
            tried.append("a BEK file without a key")
            continue
        name = str(startup.identifier).upper()
        fitting = [item for item in masters if _mask(item) == _EXTERNAL and item.identifier == startup.identifier]
        if not fitting:
            tried.append(f"BEK file of another volume ({name}.BEK)")
        for master in fitting:
            yield master, partial(_unwrap, master, key.data), f"startup key {name}.BEK"
    for number, (master, derive) in enumerate(_secrets(keys, masters)):
        if number == MAX_BITLOCKER_TRIES:
            tried.append(f"no more than {MAX_BITLOCKER_TRIES} passwords and passphrases")
            return
        yield master, partial(_stretched, master, derive), str(protector_of(master))


def _secrets(keys: VolumeKeys, masters: list[Any]) -> Iterator[tuple[Any, Callable[[], bytes]]]:
    """Yield the pairs of a protector and a recovery password or passphrase, those named by identifier first."""
    from dissect.fve.bde.key import derive_recovery_key, derive_user_key

    recoveries = {protector_of(master).identifier: master for master in masters if _mask(master) == _RECOVERY}
    for password in keys.recovery_passwords:
        for identifier in password.near:
            if identifier in recoveries:
                yield recoveries[identifier], partial(derive_recovery_key, password.digits)
    # Of a table of many machines' passwords those of others are not tried.
    if len(keys.recovery_passwords) <= MAX_BITLOCKER_TRIES:
        for password in keys.recovery_passwords:
            for identifier, master in recoveries.items():
                if identifier not in password.near:
                    yield master, partial(derive_recovery_key, password.digits)
    for text in keys.passphrases:
        for master in masters:
            if _mask(master) == _PASSPHRASE:
                yield master, partial(derive_user_key, text)


def masters_of(information: Any) -> Iterator[Any]:
    """Yield dissect's protectors, those of unknown kinds too."""
    yield from information.dataset.find_vmk(max_priority=0xFFFF)


def _mask(master: Any) -> int:
    return int(master.priority) & 0xFF00


def protector_of(master: Any) -> Protector:
    """Return what a protector of dissect's is called."""
    mask = _mask(master)
    return Protector(_PROTECTORS.get(mask, f"protector {mask:#06x}"), str(master.identifier).upper())


def _unwrap(master: Any, key: bytes) -> Any:
    """Return the volume master key that a protector wraps.

    Raises:
        ValueError: it is not wrapped with this key.

    """
    wrapped = master.aes_ccm_encrypted_key()
    if wrapped is None:
        raise FormatError("BitLocker", "a protector without the volume's master key")
    return wrapped.unbox(key)


def _stretched(master: Any, derive: Callable[[], bytes]) -> Any:
    from dissect.fve.bde.key import stretch

    salt = master.stretch_key(None)
    if salt is None:
        raise FormatError("BitLocker", "a protector without its salt")
    return _unwrap(master, stretch(derive(), salt.salt))
