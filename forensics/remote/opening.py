"""Open what an address names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forensics.remote.address import CLOUDS, shown_address
from forensics.remote.ranges import RemoteError
from parsers.diagnostics import Diagnostics
from parsers.errors import OpenError, StopcodeError

if TYPE_CHECKING:
    from forensics.remote.blocks import RemoteFile
    from forensics.remote.ranges import RangeSource

__all__ = ["answered", "open_remote"]


def open_remote(
    address: str, diagnostics: Diagnostics, *, allow_redirects: bool = False, allow_private: bool = False
) -> RemoteFile:
    """Open a remote file.

    Args:
        address: `https://…`, `http://…`, `az://…`, `s3://…` or `gs://…`.
        diagnostics: told when nothing more can be read of it.
        allow_redirects: whether a redirect may lead to another host.
        allow_private: whether hosts of private networks may be connected to.

    Raises:
        OpenError: nothing can be read there.
        UnsupportedError: the server gives no ranges, or the extra `remote` is not installed.

    """
    # Imported here: an image on this machine needs nothing of it.
    from forensics.remote.blocks import RemoteFile

    source: RangeSource
    if address.partition("://")[0].lower() in CLOUDS:
        from forensics.remote.cloud import CloudSource

        source = CloudSource(address)
    else:
        from forensics.remote.http import HttpSource

        source = HttpSource(address, allow_redirects=allow_redirects, allow_private=allow_private)
    return RemoteFile(source, shown_address(address), diagnostics)


@contextmanager
def answered(file: RemoteFile | None, failed: str = "the image could not be opened") -> Iterator[None]:
    """Believe what is found of a file, while it is opened or as a whole, only when its server gave what was asked for.

    What could not be had looks like damage, like a disk without Windows or a dump without drivers, and is neither.

    Args:
        file: where it lies elsewhere.
        failed: what is told then, before the reason.

    Raises:
        OpenError: the server failed or refuses, or the image changed; in place of what was found then.

    """
    try:
        yield
    except StopcodeError:
        if file is None or file.failure is None:
            raise
    if file is not None and file.failure is not None:
        failure = file.failure
        # That the image changed, or may not be read, is no failing server.
        why = "" if isinstance(failure, RemoteError) and failure.code != "remote.lost" else ", for its server failed"
        raise OpenError(
            f"{failed}{why}: {failure.message}",
            hint=failure.hint or "what was read is not told: scan again when the server is well",
        )
