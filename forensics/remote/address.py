"""Addresses of images (`https://…`), and how they are told: never with their query, which is what opens them.

A shared access signature (Azure) or a presigned address (S3, GCS) is a password: whoever has it reads the disk. So the
query, a user's name and a password leave this module towards the server alone; every message, report and log gets
`shown_address`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, urljoin, urlsplit

from parsers.errors import OpenError

__all__ = ["CLOUDS", "HttpAddress", "is_address", "parse_http", "redacted", "shown_address"]

#: Schemes of stores that are read with the machine's own identity.
CLOUDS = ("az", "s3", "gs")
_READ = ("http", "https", *CLOUDS)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: An address in a text: what stands behind its path is cut off, and what stands before its host.
_IN_TEXT = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#@'\"<>]*@)?([^\s?#'\"<>]*)(?:[?#][^\s'\"<>]*)?")
#: What opens a disk, in a text that holds a part of an address: of Azure, S3 and GCS.
_SECRETS = re.compile(r"(?i)\b(sig|x-(?:amz|goog)-(?:signature|credential|security-token)|signature)=[^\s&#'\"<>]+")
#: Characters that stand in an address as they are.
_PLAIN = "!#$%&'()*+,/:;=?@[]~"
_LONGEST = 8192


def is_address(text: str) -> bool:
    """Tell whether a text is meant as an address, not as a path; a drive's letter is no scheme."""
    return _ADDRESS.match(text) is not None


def shown_address(text: str) -> str:
    """Return an address without its query, fragment, user and password: what may be told."""
    scheme, _, rest = re.split(r"[?#]", text, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def redacted(text: str) -> str:
    """Return a text in which addresses are told as `shown_address` tells them, and their parts without signatures."""
    text = _IN_TEXT.sub(r"\1\2", text) if "://" in text else text
    return _SECRETS.sub(r"\1=...", text) if "=" in text else text


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """One address of HTTP.

    Attributes:
        scheme: "http" or "https".
        host: a name, or a literal address without brackets.
        port: of the server.
        target: path and query, as the request line has them. Secret.
        shown: what may be told.

    """

    scheme: str
    host: str
    port: int
    target: str
    shown: str

    def __repr__(self) -> str:
        return f"<HttpAddress {self.shown}>"

    @property
    def authority(self) -> str:
        """The host as the field `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def expires(self) -> str:
        """When a shared access signature in the query ends, as it says itself (`se=`); "" when it does not."""
        found = parse_qs(self.target.partition("?")[2]).get("se", [""])[0]
        return found if re.fullmatch(r"[0-9TZ:.+-]{1,40}", found) else ""

    def with_query(self, more: str) -> str:
        """Return the target with more in its query."""
        return f"{self.target}{'&' if '?' in self.target else '?'}{more}"

    def redirected(self, location: str) -> HttpAddress:
        """Return where an answer's `Location` leads; the query of this address does not go there.

        Raises:
            OpenError: it is no address of HTTP.

        """
        path = self.target.partition("?")[0]
        joined = ""
        # Raised behind the handler, here and below: the library's error would hang on ours, with the address in it.
        with suppress(ValueError):
            joined = urljoin(f"{self.scheme}://{self.authority}{path}", location)
        if not joined:
            raise OpenError(f"{self.shown} redirects to something that is no address")
        return parse_http(joined)


def _parts(text: str) -> tuple[SplitResult, str, int | None] | None:
    """Return the parts of an address, its host as DNS has it, and its port; None when it has none that make sense."""
    try:
        parts = urlsplit(text)
        return parts, parts.hostname.encode("idna").decode("ascii") if parts.hostname else "", parts.port
    except ValueError:
        return None


def parse_http(text: str) -> HttpAddress:
    """Take an address of HTTP apart.

    Raises:
        OpenError: it is none, or of a kind that is not read.

    """
    shown = redacted(shown_address(text))
    if len(text) > _LONGEST or not text.isprintable() or " " in text:
        raise OpenError(f"{shown[:200]!r} is no address: it is too long, or holds spaces or control characters")
    found = _parts(text)
    if found is None:
        raise OpenError(f"{shown} is no address that can be read")
    parts, host, port = found
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        raise OpenError(
            f"{shown}: addresses of the kind {scheme}:// are not read", hint=f"read are: {', '.join(_READ)}"
        )
    if not host:
        raise OpenError(f"{shown} names no host")
    if parts.username is not None or parts.password is not None:
        raise OpenError(
            f"{shown}: a user's name and password in an address are not sent",
            hint="use an address that is signed for reading (SAS, presigned)",
        )
    target = quote(parts.path or "/", safe=_PLAIN.replace("?", "").replace("#", ""))
    if parts.query:
        target += "?" + quote(parts.query, safe=_PLAIN)
    return HttpAddress(scheme, host, port or {"http": 80, "https": 443}[scheme], target, shown)
