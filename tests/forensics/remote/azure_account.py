"""An account of Azurite, Microsoft's emulator of Azure's storage: signs addresses, makes page blobs.

By Microsoft Learn's "Create an account SAS", "Create a service SAS", "Put Blob" and "Put Page"; the account's name and
key are those that every emulator has, and that its documents state.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER, BLOB = "disks", "os-disk.vhd"
VERSION = "2019-12-12"
LATER, PAST = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
#: The most that one "Put Page" takes.
_PAGES = 4 << 20


def _signed(fields: dict[str, str], lines: list[str]) -> str:
    """Return the query with a signature over lines."""
    text = "\n".join(lines).encode()
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text, hashlib.sha256)).decode()
    return urlencode({**fields, "sig": signature})


class Account:
    """The account behind one running Azurite."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def address(self, *, expires: str = LATER) -> str:
        """Return the blob's address, signed for reading alone."""
        return f"{self.endpoint}/{CONTAINER}/{BLOB}?{self.token(expires)}"

    @staticmethod
    def token(expires: str) -> str:
        """Return the signature alone, as a query."""
        fields = {"sv": VERSION, "sr": "b", "sp": "r", "se": expires}
        resource = f"/blob/{ACCOUNT}/{CONTAINER}/{BLOB}"
        # sp, st, se, resource, si, sip, spr, sv, sr, snapshot, and five fields of an answer.
        return _signed(fields, ["r", "", expires, resource, "", "", "", VERSION, "b", "", "", "", "", "", ""])

    def upload(self, disk: Path) -> list[tuple[int, int]]:
        """Make a page blob of a file and put only the pages with data; return where those are (offset, length)."""
        self._put(f"/{CONTAINER}", {"restype": "container"})
        size = disk.stat().st_size
        self._put(self._blob, {}, {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(size)})
        put = []
        with disk.open("rb") as file:
            for offset in range(0, size, 1 << 20):
                data = file.read(1 << 20)
                if data.strip(b"\0"):
                    self.write(offset, data)
                    put.append((offset, len(data)))
        return put

    def upload_small(self, name: str, data: bytes) -> None:
        """Make a block blob."""
        self._put(f"/{CONTAINER}/{quote(name)}", {}, {"x-ms-blob-type": "BlockBlob"}, data)

    def write(self, offset: int, data: bytes) -> None:
        """Put pages."""
        assert len(data) <= _PAGES
        fields = {"x-ms-page-write": "update", "x-ms-range": f"bytes={offset}-{offset + len(data) - 1}"}
        self._put(self._blob, {"comp": "page"}, fields, data)

    @property
    def _blob(self) -> str:
        return f"/{CONTAINER}/{BLOB}"

    def _put(self, path: str, query: dict[str, str], fields: dict[str, str] | None = None, body: bytes = b"") -> None:
        may = {"sv": VERSION, "ss": "b", "srt": "sco", "sp": "rwcl", "se": LATER}
        # account, sp, ss, srt, st, se, sip, spr, sv, and an empty line.
        signed = _signed(may, [ACCOUNT, "rwcl", "b", "sco", "", LATER, "", "", VERSION, ""])
        target = f"/{ACCOUNT}{path}?{urlencode(query)}&{signed}"
        told = {"x-ms-version": VERSION, "content-length": str(len(body)), **(fields or {})}
        # One for each: Azurite closes a connection that rests.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", target, body, told)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == 201, f"{answer.status}: {text[:500]!r}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path) -> Iterator[Account]:
    """Run Azurite with its files in a folder."""
    program = shutil.which("azurite-blob")
    assert program is not None
    port = _free_port()
    words = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent",
             "--loose", "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            said = ""
            # It ends by itself when it cannot listen, and the loop with it.
            for line in process.stdout:
                said += line
                if "successfully listens" in line:
                    break
            assert "successfully listens" in said, said
            yield Account(port)
        finally:
            process.terminate()
