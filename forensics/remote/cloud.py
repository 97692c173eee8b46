"""Ranges of an object in a store of Azure, S3 or GCS, read with the identity of the machine or the environment.

`az://container/path`, `s3://bucket/path`, `gs://bucket/path`. Which account, region, endpoint and identity are meant
is the environment's business, as of every program of these clouds (`AZURE_STORAGE_ACCOUNT_NAME`, `AWS_REGION`, managed
identities, profiles): obstore reads it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from forensics.remote.address import shown_address
from forensics.remote.connection import Traffic
from forensics.remote.patience import TRIES, Patience
from forensics.remote.ranges import RemoteError
from parsers.errors import InputNotFoundError, OpenError, ReadError, StopcodeError, UnsupportedError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, RetryConfig, S3Store

__all__ = ["CloudSource"]

#: What stands behind `?` may be a secret, and is no part of a name here.
_ADDRESS = re.compile(r"(?i)(az|s3|gs)://([^/?#@\s]+)/([^?#]+)")
_FORM = "az://container/path, s3://bucket/path, gs://bucket/path, without ? and #"
#: What obstore raises for an object that is not there: its own error is declared, Python's is what comes (0.12.1).
_ABSENT = ("FileNotFoundError", "NotFoundError")
_DENIED = ("PermissionDeniedError", "UnauthenticatedError")
_HINT = "is the environment set up for this store: account, region, identity?"
#: Tries are made here, so that they are counted and end as those of every other server do.
_NO_RETRIES: Final[RetryConfig] = {"max_retries": 0}
#: Errors after which the same request may succeed, and how they are told; the first is that of all that have no name.
_KINDS = {
    "GenericError": "the store does not answer, or not as it should",
    "_ShortError": "fewer bytes came than were asked for",
}
_RETRIED = frozenset(_KINDS)


class CloudSource:
    """One object of a store.

    Args:
        address: `az://container/path`, `s3://bucket/path` or `gs://bucket/path`. The path is the object's name as it
            is, as the stores' own programs take it: a space is a space, and `%20` three characters.
        sleep: waits between tries.

    Attributes:
        head: nothing: the size comes without bytes.

    Raises:
        OpenError: nothing can be read there.
        UnsupportedError: obstore is not installed.

    """

    head = b""

    def __init__(self, address: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.shown = shown_address(address)
        found = _ADDRESS.fullmatch(address)
        if found is None or not address.isprintable():
            raise OpenError(f"{self.shown} is no address of an object", hint=_FORM)
        self._path = found[3]
        self._patience = Patience(sleep)
        self._traffic = Traffic()
        self._store = _store(found[1].lower(), found[2])
        import obstore

        kind, meta = self._patiently(lambda: obstore.head(self._store, self._path))
        if kind:
            raise _opening_error(kind, self.shown, self._path)
        self._size: int = meta["size"]
        self._etag: str | None = meta.get("e_tag")

    def __repr__(self) -> str:
        return f"<CloudSource {self.shown}>"

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    @property
    def requests(self) -> int:
        """Requests made for the object so far; those that ask for an identity are not seen."""
        return self._traffic.requests

    @property
    def bytes_read(self) -> int:
        """Bytes of bodies received so far."""
        return self._traffic.bytes_read

    def _patiently(self, ask: Callable[[], Any]) -> tuple[str, Any]:
        """Ask until the answer is one that a further try does not better.

        Returns:
            The name of the error ("" for none), and the answer. The error itself stays here: its text holds addresses.

        """
        tries = 0
        while True:
            tries += 1
            self._traffic.add(1, 0)
            try:
                return "", ask()
            except Exception as error:  # noqa: BLE001  # of many kinds, and their texts hold addresses
                kind = type(error).__name__
            if kind not in _RETRIED or not self._patience.wait(tries):
                return kind, None

    def read_range(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, which the object has.

        Raises:
            ReadError: they could not be had; RemoteError when nothing more will be.

        """
        import obstore

        options: Any = {"range": (offset, offset + length)}
        if self._etag and not self._etag.startswith("W/"):
            options["if_match"] = self._etag
        told: list[tuple[int, str | None]] = []

        def ask() -> bytes:
            answer = obstore.get(self._store, self._path, options=options)
            told[:] = [(answer.meta["size"], answer.meta.get("e_tag"))]
            data = bytes(answer.bytes())
            self._traffic.add(0, len(data))
            if len(data) != length:
                raise _ShortError
            return data

        kind, data = self._patiently(ask)
        if kind == "PreconditionError" or kind in _ABSENT or (told and told[0] != (self._size, self._etag)):
            raise RemoteError(
                "remote.changed",
                "the image changed while it was read",
                hint="scan a snapshot, or the disk of a machine that does not run",
            )
        if kind in _DENIED:
            raise RemoteError("remote.denied", f"{self.shown}: the store refuses", hint=_HINT)
        if kind:
            raise ReadError(
                f"{self.shown} cannot be read at {offset:#x}: {_KINDS.get(kind, kind)} ({TRIES} tries)", address=offset
            )
        found: bytes = data
        return found

    def is_zero(self, _offset: int, _length: int) -> bool:
        """Return False: nothing is known of zeros."""
        return False

    def close(self) -> None:
        """Do nothing: the store closes its own connections."""


class _ShortError(Exception):
    """Fewer bytes came than were asked for."""


def _store(scheme: str, container: str) -> AzureStore | S3Store | GCSStore:
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise UnsupportedError(
            f"reading {scheme}:// addresses needs obstore", hint="pip install 'stopcode[remote]'"
        ) from None
    kind = ""
    try:
        if scheme == "az":
            return AzureStore(container, retry_config=_NO_RETRIES)
        return (S3Store if scheme == "s3" else GCSStore)(container, retry_config=_NO_RETRIES)
    except Exception as error:  # noqa: BLE001  # of many kinds, and their texts hold settings
        kind = type(error).__name__
    raise OpenError(f"the store {scheme}://{container} cannot be set up ({kind})", hint=_HINT)


def _opening_error(kind: str, shown: str, path: str) -> StopcodeError:
    if kind in _ABSENT:
        hint = "the name is taken as it is: write a space for %20" if "%" in path else "look at the address"
        return InputNotFoundError(f"{shown}: no such object", hint=hint)
    if kind in _DENIED:
        return OpenError(f"{shown}: the store refuses", hint=_HINT)
    if kind == "ValueError":
        return OpenError(f"{shown}: the name has an empty part, or one of dots", hint="such names are not read")
    return OpenError(f"{shown} cannot be opened: {_KINDS.get(kind, kind)}", hint=_HINT)
