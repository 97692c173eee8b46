"""Ranges of an object in a store of Azure, S3 or GCS, read with the identity of the machine or the environment.

`az://container/path`, `s3://bucket/path`, `gs://bucket/path`. Which account, region, endpoint and identity are meant
is the environment's business, as of every program of these clouds (`AZURE_STORAGE_ACCOUNT_NAME`, `AWS_REGION`, managed
identities, profiles): obstore reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from forensics.remote.address import shown_address
from forensics.remote.connection import Traffic
from forensics.remote.ranges import RemoteError
from parsers.errors import InputNotFoundError, OpenError, ReadError, StopcodeError, UnsupportedError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

__all__ = ["CloudSource"]

_ADDRESS = re.compile(r"(az|s3|gs)://([^/?#@\s]+)/([^?#\s]+)")
#: What obstore raises for an object that is not there: its own error is declared, Python's is what comes (0.12.1).
_ABSENT = ("FileNotFoundError", "NotFoundError")
_HINT = "is the environment set up for this store: account, region, identity?"


class CloudSource:
    """One object of a store.

    Args:
        address: `az://container/path`, `s3://bucket/path` or `gs://bucket/path`.

    Attributes:
        head: nothing: the size comes without bytes.

    Raises:
        OpenError: nothing can be read there.
        UnsupportedError: obstore is not installed.

    """

    head = b""

    def __init__(self, address: str) -> None:
        self.shown = shown_address(address)
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise OpenError(
                f"{self.shown} is no address of an object",
                hint="az://container/path, s3://bucket/path, gs://bucket/path",
            )
        self._path = found[3]
        self._traffic = Traffic()
        self._store = _store(found[1], found[2])
        self._traffic.add(1, 0)
        import obstore

        meta: Any = None
        problem: StopcodeError | None = None
        try:
            meta = obstore.head(self._store, self._path)
        except Exception as error:  # noqa: BLE001  # of many kinds, and their texts hold addresses
            problem = _opening_error(type(error).__name__, self.shown)
        if problem is not None:
            raise problem
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
        """Requests made so far; those that the library repeats by itself are not seen."""
        return self._traffic.requests

    @property
    def bytes_read(self) -> int:
        """Bytes of bodies received so far."""
        return self._traffic.bytes_read

    def read_range(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, which the object has.

        Raises:
            ReadError: they could not be had; RemoteError when nothing more will be.

        """
        import obstore

        self._traffic.add(1, 0)
        options: Any = {"range": (offset, offset + length)}
        if self._etag and not self._etag.startswith("W/"):
            options["if_match"] = self._etag
        data, kind = b"", ""
        try:
            data = bytes(obstore.get(self._store, self._path, options=options).bytes())
        except Exception as error:  # noqa: BLE001  # of many kinds, and their texts hold addresses
            kind = type(error).__name__
        self._traffic.add(0, len(data))
        if kind == "PreconditionError" or kind in _ABSENT:
            raise RemoteError(
                "remote.changed",
                "the image changed while it was read",
                hint="scan a snapshot, or the disk of a machine that does not run",
            )
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            raise RemoteError("remote.denied", f"{self.shown}: the store refuses", hint=_HINT)
        if kind or len(data) != length:
            told = kind or f"{len(data)} of {length} bytes came"
            raise ReadError(f"{self.shown} cannot be read at {offset:#x}: {told}", address=offset)
        return data

    def is_zero(self, _offset: int, _length: int) -> bool:
        """Return False: nothing is known of zeros."""
        return False

    def close(self) -> None:
        """Do nothing: the store closes its own connections."""


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
            return AzureStore(container)
        return S3Store(container) if scheme == "s3" else GCSStore(container)
    except Exception as error:  # noqa: BLE001  # of many kinds, and their texts hold settings
        kind = type(error).__name__
    raise OpenError(f"the store {scheme}://{container} cannot be set up ({kind})", hint=_HINT)


def _opening_error(kind: str, shown: str) -> StopcodeError:
    if kind in _ABSENT:
        return InputNotFoundError(f"{shown}: no such object", hint="look at the address")
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return OpenError(f"{shown}: the store refuses", hint=_HINT)
    return OpenError(f"{shown} cannot be opened ({kind})", hint=_HINT)
