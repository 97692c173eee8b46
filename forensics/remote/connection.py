"""One host, a few kept connections, and one request at a time on each: urllib3 with everything clever switched off.

No proxy, no redirect, no retry, no decoding and no message of the library's own: its errors and its log hold the
address with its query. TLS is checked against the system's certificates, for the name in the address, whatever
address the name was resolved to.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.remote.address import HttpAddress
from forensics.remote.hosts import resolved
from parsers.errors import UnsupportedError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

__all__ = ["LANES", "Answer", "BrokenError", "Connection", "Traffic"]

#: Requests under way at once, and so connections.
LANES = 8
_CONNECT_S = 10.0
_READ_S = 30.0
#: For one body: a server that gives a byte now and then must not hold the scan for ever.
_BODY_S = 120.0
_PART = 0x10000
#: Loggers of urllib3 that tell request lines.
_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")


class Answer(NamedTuple):
    """What one request gave.

    Attributes:
        status: the code.
        fields: the header, names in lower case.
        body: what was read of it.

    """

    status: int
    fields: Mapping[str, str]
    body: bytes = b""


class BrokenError(Exception):
    """A connection failed, or a body ended too early; the same request may succeed.

    Args:
        what: told of it; holds no address.
        body: what came of the body.

    """

    def __init__(self, what: str, body: bytes = b"") -> None:
        super().__init__(what)
        self.what = what
        self.body = body


class Traffic:
    """What went over the wire for one image.

    Attributes:
        requests: requests made.
        bytes_read: bytes of bodies received.

    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.bytes_read = 0

    def add(self, requests: int, received: int) -> None:
        """Count."""
        with self._lock:
            self.requests += requests
            self.bytes_read += received


class Connection:
    """The way to one host.

    Args:
        address: whose host.
        named_by_user: whether the user's own address has this host.
        allow_private: whether hosts of private networks may be connected to.
        traffic: counts.

    Raises:
        OpenError: the host is not known, or may not be connected to.
        UnsupportedError: urllib3 is not installed.

    """

    def __init__(self, address: HttpAddress, *, named_by_user: bool, allow_private: bool, traffic: Traffic) -> None:
        try:
            import urllib3
        except ImportError:
            raise UnsupportedError(
                "reading an image from an address needs urllib3", hint="pip install 'stopcode[remote]'"
            ) from None
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.named_by_user = named_by_user
        self._traffic = traffic
        self._fields = {"host": address.authority, "accept-encoding": "identity", "user-agent": "stopcode"}
        hosts = resolved(address.host, address.port, named_by_user=named_by_user, allow_private=allow_private)
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=_READ_S)
        self._pools: list[HTTPConnectionPool] = []
        kept: dict[str, Any] = {"timeout": timeout, "maxsize": LANES, "block": True, "retries": False}
        for host in hosts:
            # Connected to is what was checked, not what the name means by then.
            if address.scheme == "https":
                names = {"server_hostname": address.host, "assert_hostname": address.host}
                secure = {**kept, **names, "ssl_context": ssl.create_default_context()}
                self._pools.append(urllib3.HTTPSConnectionPool(host, address.port, **secure))
            else:
                self._pools.append(urllib3.HTTPConnectionPool(host, address.port, **kept))

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools:
            pool.close()

    def ask(
        self,
        target: str,
        fields: Mapping[str, str],
        expect: Callable[[int, Mapping[str, str]], int],
        *,
        exact: bool = True,
    ) -> Answer:
        """Make one request.

        Args:
            target: path and query.
            fields: of the request's header, beside those that every request has.
            expect: told status and header; says how many bytes of the body are wanted, or raises.
            exact: whether a shorter body is a broken one.

        Raises:
            BrokenError: the connection failed, or the body ended too early.
            UnsupportedError: the server's certificate is not believed.

        """
        self._traffic.add(1, 0)
        response = self._open(target, {**self._fields, **fields})
        try:
            told = {name.lower(): value for name, value in response.headers.items()}
            wanted = expect(response.status, told)
            return Answer(response.status, told, self._body(response, wanted, exact=exact) if wanted else b"")
        finally:
            # A connection is kept when its answer was read to the end; otherwise the next answer would begin with
            # the rest of this one.
            if not response.closed:
                response.close()
            response.release_conn()

    def _open(self, target: str, fields: Mapping[str, str]) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

        problem = ""
        while self._pools:
            pool = self._pools[0]
            try:
                return pool.urlopen(
                    "GET", target, headers=dict(fields), redirect=False, retries=False, preload_content=False,
                    decode_content=False, assert_same_host=False,
                )  # fmt: skip
            except SSLError as error:
                told = getattr(error.args[0] if error.args else None, "verify_message", "") or "TLS failed"
                problem = f"the server's certificate is not believed: {told}"
                break
            except (NewConnectionError, TimeoutError) as error:
                problem = f"no connection ({type(error).__name__})"
                if len(self._pools) == 1:
                    break
                # Another address of the same name, checked as well, may answer.
                del self._pools[0]
            except (HTTPError, OSError) as error:
                problem = f"the connection broke ({type(error).__name__})"
                break
        # Raised out here: an error inside the handler would carry the library's, which holds the address.
        if problem.startswith("the server's certificate"):
            raise UnsupportedError(problem, hint="is the address right? SSL_CERT_FILE names further authorities")
        raise BrokenError(problem)

    def _body(self, response: BaseHTTPResponse, wanted: int, *, exact: bool) -> bytes:
        from urllib3.exceptions import HTTPError

        parts: list[bytes] = []
        count = 0
        deadline = time.monotonic() + _BODY_S
        problem = ""
        while count < wanted and not problem:
            try:
                part = response.read1(min(_PART, wanted - count))
            except (HTTPError, OSError) as error:
                problem = f"the connection broke ({type(error).__name__})"
                break
            if not part:
                if exact:
                    problem = f"the answer ended after {count} of {wanted} bytes"
                break
            parts.append(part)
            count += len(part)
            if time.monotonic() > deadline:
                problem = "the server is too slow"
        self._traffic.add(0, count)
        body = b"".join(parts)
        if problem and count < wanted:
            raise BrokenError(problem, body)
        return body
