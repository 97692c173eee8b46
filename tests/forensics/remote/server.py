"""A server of ranges on this machine's loopback that misbehaves as told. Shares nothing with the client it tests."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: Answers a request itself and returns True, or returns False for the usual answer.
Mood = Callable[["Handler"], bool]


class Files(ThreadingHTTPServer):
    """Serves files by their path.

    Attributes:
        files: what there is.
        moods: asked in turn before each answer; one that answers ends the request.
        latency: seconds before each answer.
        fields: further fields of every answer with a range.
        etag: of every file.
        asked: (path with query, fields) of every request.
        busy: the most requests that were under way at once.
        sent: bytes of bodies sent.

    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Path | bytes] = {}
        self.moods: list[Mood] = []
        self.latency = 0.0
        self.fields: dict[str, str] = {}
        self.etag = '"one"'
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.busy = self._now = self.sent = 0
        self._lock = threading.Lock()

    def address(self, path: str, query: str = "") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}{'?' + query if query else ''}"

    def ranges(self) -> list[str]:
        return [fields["range"] for _target, fields in self.asked if "range" in fields]

    def count(self, by: int) -> None:
        with self._lock:
            self._now += by
            self.busy = max(self.busy, self._now)

    def sends(self, body: bytes) -> None:
        with self._lock:
            self.sent += len(body)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that leaves in the middle is what some tests are about


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Files

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        fields = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, fields))
        self.server.count(1)
        try:
            time.sleep(self.server.latency)
            if not any(mood(self) for mood in list(self.server.moods)):
                self._usual(fields)
        finally:
            self.server.count(-1)

    do_HEAD = do_GET

    def _usual(self, fields: dict[str, str]) -> None:
        content = self.server.files.get(urlsplit(self.path).path)
        if content is None:
            self.answer(404)
        elif "if-match" in fields and fields["if-match"] != self.server.etag:
            self.answer(412)
        else:
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            if self.command == "HEAD":
                self.answer(200, fields={"Content-Length": str(size)})
                return
            first, last = (int(text) for text in fields["range"].removeprefix("bytes=").split("-"))
            last = min(last, size - 1)
            if first >= size:
                self.answer(416)
                return
            if isinstance(content, bytes):
                body = content[first : last + 1]
            else:
                with content.open("rb") as file:
                    file.seek(first)
                    body = file.read(last + 1 - first)
            self.answer(206, body, {"Content-Range": f"bytes {first}-{last}/{size}"})

    def answer(self, status: int, body: bytes = b"", fields: dict[str, str] | None = None) -> bool:
        """Answer; return True, as a mood that answers does."""
        told = {"Content-Length": str(len(body)), "ETag": self.server.etag, **self.server.fields, **(fields or {})}
        self.send_response(status)
        for name, value in told.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.server.sends(body)
        self.wfile.write(body)
        return True

    def reset(self) -> bool:
        """Break the connection so that the other side sees a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        return True


def times(count: int, mood: Mood) -> Mood:
    """A mood that lasts for some requests only."""
    left = [count]

    def limited(handler: Handler) -> bool:
        if left[0] <= 0:
            return False
        left[0] -= 1
        return mood(handler)

    return limited


def after(count: int, mood: Mood) -> Mood:
    """A mood that begins after some requests."""
    passed = [0]

    def late(handler: Handler) -> bool:
        passed[0] += 1
        return passed[0] > count and mood(handler)

    return late


@contextmanager
def serving() -> Iterator[Files]:
    """A server that runs."""
    server = Files()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
