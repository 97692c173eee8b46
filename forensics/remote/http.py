"""Ranges of a file over HTTP: signed addresses of Azure, S3 and GCS, and any other server that gives ranges.

The rules (RFC 9110: 14.2 Range, 14.4 Content-Range, 13.1.1 If-Match; Azure's and S3's as their documents have them):

* The first request is already a `GET` of a range: addresses are signed for one method, and its answer tells size and
  identity. A server that answers 200 has no ranges: the connection is closed before the image comes.
* Every answer is held against the first: size, ETag, Last-Modified, and the very range that was asked for.
* A body that ends too early is taken up where it ended. Nothing is ever decoded: a packed body has other offsets.
* Redirects are followed at the beginning alone, at most three, never to plain HTTP, and to another host only when the
  user allows it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from forensics.remote.address import parse_http
from forensics.remote.connection import Answer, BrokenError, Connection, Traffic
from forensics.remote.pages import PageMap
from forensics.remote.patience import RETRIED, Patience
from forensics.remote.ranges import FIRST, RemoteError
from parsers.errors import InputNotFoundError, OpenError, ReadError, StopcodeError, UnsupportedError

__all__ = ["HttpSource"]

_REDIRECTS = 3
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_MOVED = (301, 302, 303, 307, 308)
_DENIED = (401, 403)
_GONE = (404, 410)
_PRECONDITION_FAILED = 412
_RANGE_NOT_SATISFIABLE = 416
#: The version of Azure's protocol from which lists of pages come in portions.
_AZURE = {"x-ms-version": "2021-12-02"}
_DENIED_HINT = "ask for a new address, valid for as long as a scan takes, that may be read"


@dataclass(frozen=True, slots=True)
class _Identity:
    """By what an image is known to be the same one: size, ETag, Last-Modified."""

    size: int
    etag: str
    modified: str

    @property
    def demand(self) -> dict[str, str]:
        """The condition of every further request; a weak tag does not promise the same bytes."""
        strong = self.etag.startswith('"') and self.etag.isprintable()
        return {"if-match": self.etag} if strong else {}

    def fits(self, size: int, fields: Mapping[str, str]) -> bool:
        """Tell whether an answer is of the same image; a field that is missing says nothing."""
        etag, modified = fields.get("etag", self.etag), fields.get("last-modified", self.modified)
        return (size, etag, modified) == (self.size, self.etag, self.modified)


class HttpSource:
    """One file behind an address.

    Args:
        address: the user's address; a secret.
        allow_redirects: whether a redirect may lead to another host.
        allow_private: whether hosts of private networks may be connected to.
        sleep: waits between tries.

    Attributes:
        head: the first bytes.

    Raises:
        OpenError: nothing can be read there; the message says why and never holds the query.
        UnsupportedError: the server gives no ranges, or urllib3 is not installed.

    """

    def __init__(
        self,
        address: str,
        *,
        allow_redirects: bool = False,
        allow_private: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address = parse_http(address)
        self._allow_private = allow_private
        self._patience = Patience(sleep)
        self._traffic = Traffic()
        self._identity: _Identity | None = None
        self._connection = self._connected(named_by_user=True)
        try:
            first = self._first(allow_redirects)
            self._identity = _identified(first, self._address.shown)
        except BaseException:
            self._connection.close()
            raise
        self.head = first.body
        blob = first.fields.get("x-ms-blob-type", "").lower()
        self._pages = PageMap(self._identity.size, self._page_list) if blob == "pageblob" else None

    def __repr__(self) -> str:
        return f"<HttpSource {self._address.shown}>"

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._identity.size if self._identity is not None else 0

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._traffic.requests

    @property
    def bytes_read(self) -> int:
        """Bytes of bodies received so far."""
        return self._traffic.bytes_read

    def close(self) -> None:
        """Close every connection."""
        self._connection.close()

    def _connected(self, *, named_by_user: bool) -> Connection:
        return Connection(
            self._address, named_by_user=named_by_user, allow_private=self._allow_private, traffic=self._traffic
        )

    # -- the first answer ----------------------------------------------------------------------------------------

    def _first(self, allow_redirects: bool) -> Answer:
        asked = self._address.shown
        for _ in range(_REDIRECTS + 1):
            answer = self._patiently(0, FIRST)
            if answer.status not in _MOVED:
                break
            self._follow(answer.fields.get("location", ""), allow_redirects)
        else:
            raise OpenError(f"{asked} redirects more than {_REDIRECTS} times")
        shown = self._address.shown
        if answer.status == 206:
            return answer
        if answer.status == 200:
            raise UnsupportedError(
                f"{shown}: the server has no ranges: it would send the whole image",
                hint="download the image and scan the file, or put it on a server that gives ranges",
            )
        if answer.status in _DENIED:
            raise OpenError(self._denied(answer.status), hint=_DENIED_HINT)
        if answer.status in _GONE:
            raise InputNotFoundError(f"{shown}: no such file ({answer.status})", hint="look at the address")
        if answer.status == _RANGE_NOT_SATISFIABLE:
            raise OpenError(f"{shown} is empty (416)", hint="look at the address")
        raise OpenError(f"{shown}: the server answered {answer.status}")

    def _follow(self, location: str, allow_redirects: bool) -> None:
        old = self._address
        new = old.redirected(location)
        if old.scheme == "https" and new.scheme != "https":
            raise OpenError(f"{old.shown} redirects to {new.shown}, which is not encrypted")
        moved = (new.host, new.port) != (old.host, old.port)
        if moved and not allow_redirects:
            raise OpenError(
                f"{old.shown} redirects to another host, {new.shown}", hint="give --allow-redirects if you trust it"
            )
        named = self._connection.named_by_user and new.host == old.host
        self._connection.close()
        self._address = new
        self._connection = self._connected(named_by_user=named)

    def _denied(self, status: int) -> str:
        expires = self._address.expires
        told = f" (the token is valid until {expires})" if expires else ""
        return f"{self._address.shown}: the server refuses with {status}: the token is expired or wrong{told}"

    # -- ranges --------------------------------------------------------------------------------------------------

    def read_range(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, which the file has.

        Raises:
            ReadError: they could not be had; RemoteError when nothing more will be.

        """
        try:
            answer = self._patiently(offset, length)
        except UnsupportedError as error:
            raise ReadError(error.message, address=offset) from None
        if answer.status == 206:
            return answer.body
        if answer.status in _DENIED:
            raise RemoteError("remote.denied", self._denied(answer.status), hint=_DENIED_HINT)
        if answer.status in (200, _PRECONDITION_FAILED, _RANGE_NOT_SATISFIABLE, *_GONE):
            raise _changed(f"the server answers {answer.status}")
        raise ReadError(f"{self._address.shown}: the server answered {answer.status}", address=offset)

    def _patiently(self, offset: int, length: int) -> Answer:
        """Ask for a range until it is whole, or the answer is one that a further try does not better."""
        known = self._identity
        got = b""
        tries = 0
        while True:
            tries += 1
            start = offset + len(got)
            fields = {"range": f"bytes={start}-{offset + length - 1}", **(known.demand if known else {})}
            after = None
            expect = partial(self._expected, start=start, end=offset + length)
            try:
                answer = self._connection.ask(self._address.target, fields, expect)
            except BrokenError as broken:
                problem = broken.what
                # The head of the first answer is not known any more: begin again.
                got += broken.body if known else b""
            else:
                if answer.status not in RETRIED:
                    return answer._replace(body=got + answer.body)
                problem, after = f"the server answered {answer.status}", answer.fields.get("retry-after")
            if not self._patience.wait(tries, after):
                break
        raise self._given_up(offset, tries, problem)

    def _expected(self, status: int, told: Mapping[str, str], *, start: int, end: int) -> int:
        """Hold the head of an answer against what was asked; return the bytes of its body."""
        if status != 206:
            return 0
        shown = self._address.shown
        packed = told.get("content-encoding", "identity")
        if packed.lower() != "identity":
            raise UnsupportedError(f"{shown}: the server packs what it sends ({packed[:40]}): that has other ranges")
        known = self._identity
        first, last, total = _range_of(told, shown)
        if known is None:
            end = min(end, total)
        elif not known.fits(total, told):
            raise _changed("another size, ETag or time")
        length = told.get("content-length", str(end - start))
        if (first, last + 1) != (start, end) or not length.isdecimal() or int(length[:20]) > end - start:
            raise UnsupportedError(f"{shown}: the server gave another range than it was asked for")
        return end - start

    def _given_up(self, offset: int, tries: int, problem: str) -> StopcodeError:
        shown = self._address.shown
        if self._identity is None:
            return OpenError(f"{shown}: {problem} ({tries} tries)", hint="is the address right? try again later")
        return ReadError(f"{shown} cannot be read at {offset:#x}: {problem} ({tries} tries)", address=offset)

    # -- zeros ---------------------------------------------------------------------------------------------------

    def is_zero(self, offset: int, length: int) -> bool:
        """Tell whether a range is known to hold zeros alone."""
        return self._pages is not None and self._pages.is_zero(offset, length)

    def _page_list(self, start: int, end: int, marker: str, limit: int) -> bytes | None:
        """Return one portion of the list of pages; None when the server does not give it."""
        target = self._address.with_query("comp=pagelist" + (f"&marker={quote(marker, safe='')}" if marker else ""))
        demand = self._identity.demand if self._identity is not None else {}
        fields = {**_AZURE, **demand, "x-ms-range": f"bytes={start}-{end - 1}"}
        tries = 0
        while True:
            tries += 1
            after = None
            try:
                answer = self._connection.ask(
                    target, fields, lambda status, _told: limit if status == 200 else 0, exact=False
                )
            except BrokenError:
                pass
            else:
                if answer.status == _PRECONDITION_FAILED:
                    raise _changed("the server answers 412")
                if answer.status not in RETRIED:
                    return answer.body if answer.status == 200 else None
                after = answer.fields.get("retry-after")
            if not self._patience.wait(tries, after):
                return None


def _changed(how: str) -> RemoteError:
    return RemoteError(
        "remote.changed",
        f"the image changed while it was read ({how})",
        hint="scan a snapshot, or the disk of a machine that does not run",
    )


def _range_of(fields: Mapping[str, str], shown: str) -> tuple[int, int, int]:
    """Return first byte, last byte and size of a `Content-Range`."""
    found = _CONTENT_RANGE.fullmatch(fields.get("content-range", "").strip())
    if found is None or found[3] == "*" or int(found[3]) >= 1 << 63:
        raise UnsupportedError(f"{shown}: the server does not tell which range it gives of how many bytes")
    return int(found[1]), int(found[2]), int(found[3])


def _identified(first: Answer, shown: str) -> _Identity:
    return _Identity(_range_of(first.fields, shown)[2], first.fields.get("etag", ""),
                     first.fields.get("last-modified", ""))  # fmt: skip
