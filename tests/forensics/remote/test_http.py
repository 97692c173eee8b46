"""The rules of HTTP against a server that breaks each of them."""

from __future__ import annotations

import random
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.remote import connection
from forensics.remote.http import HttpSource
from forensics.remote.ranges import FIRST, RemoteError
from parsers.errors import InputNotFoundError, OpenError, ReadError, StopcodeError, UnsupportedError
from tests.forensics.remote.server import Files, Handler, after, serving, times

DATA = random.Random(7).randbytes(300_000)
TOKEN = "sig=S3cretS3cret"
Slept = list[float]


@pytest.fixture
def slept() -> Slept:
    return []


@pytest.fixture
def opened(server: Files, slept: Slept) -> Callable[..., HttpSource]:
    server.files["/disk"] = DATA

    def give(**more: bool) -> HttpSource:
        return HttpSource(server.address("/disk", TOKEN), sleep=slept.append, **more)

    return give


def refusal(open_it: Callable[[], HttpSource], kind: type[StopcodeError] = OpenError) -> str:
    with pytest.raises(kind) as caught:
        open_it()
    told = f"{caught.value.message} {caught.value.hint}"
    assert "S3cret" not in told
    assert caught.value.__context__ is None, "an error of the library's, which holds the address, hangs on ours"
    return told


def test_the_first_request_is_a_range_and_gives_size_and_first_bytes(
    server: Files, opened: Callable[..., HttpSource]
) -> None:
    source = opened()
    assert (source.size, source.head) == (len(DATA), DATA[:FIRST])
    assert source.read_range(100_000, 50_000) == DATA[100_000:150_000]
    assert source.read_range(299_990, 10) == DATA[-10:]
    (first, asked), (second, later), _ = server.asked
    assert first == second == f"/disk?{TOKEN}"
    assert asked["range"] == "bytes=0-65535"
    assert asked["accept-encoding"] == "identity"
    assert "if-match" not in asked
    assert later["if-match"] == '"one"'
    assert (source.requests, source.bytes_read) == (3, FIRST + 50_010)
    assert "S3cret" not in repr(source)
    source.close()


def test_a_file_smaller_than_the_first_range_is_whole_in_it(server: Files, opened: Callable[..., HttpSource]) -> None:
    server.files["/disk"] = b"small"
    assert (opened().size, opened().head) == (5, b"small")


def test_a_server_without_ranges_is_told_and_its_body_is_not_read(
    server: Files, opened: Callable[..., HttpSource]
) -> None:
    sent: list[bool] = []

    def whole(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(bytes(1 << 16))
            sent.append(True)
        except OSError:
            sent.append(False)
        handler.close_connection = True
        return True

    server.moods.append(whole)
    assert "no ranges" in refusal(opened, UnsupportedError)
    give_up = time.monotonic() + 30
    while not sent and time.monotonic() < give_up:
        time.sleep(0.01)
    assert sent == [False]


@pytest.mark.parametrize("field", ["bytes 0-65535/*", "", "bytes 1-65536/300000", "bytes 0-65535/99999999999999999999"])
def test_an_answer_that_does_not_tell_its_range_is_refused(
    field: str, server: Files, opened: Callable[..., HttpSource]
) -> None:
    server.fields["Content-Range"] = field
    server.moods.append(lambda handler: handler.answer(206, DATA[:FIRST], {"Content-Range": field}))
    refusal(opened, UnsupportedError)
    assert len(server.asked) == 1


def test_a_packed_body_is_refused(server: Files, opened: Callable[..., HttpSource]) -> None:
    server.fields["Content-Encoding"] = "gzip"
    assert "packs" in refusal(opened, UnsupportedError)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_with_jitter_and_after_the_time_that_it_names(
    status: int, server: Files, opened: Callable[..., HttpSource], slept: Slept
) -> None:
    source = opened()
    server.moods.append(times(2, lambda handler: handler.answer(status, b"", {"Retry-After": "7"})))
    assert source.read_range(70_000, 1000) == DATA[70_000:71_000]
    assert slept == [7.0, 7.0]
    server.moods[:] = [times(3, lambda handler: handler.answer(status))]
    del slept[:]
    assert source.read_range(80_000, 1000) == DATA[80_000:81_000]
    assert len(slept) == 3
    assert all(0 <= wait <= 0.2 * 2**number for number, wait in enumerate(slept))


def test_a_server_that_stays_busy_is_given_up_after_four_tries(
    server: Files, opened: Callable[..., HttpSource], slept: Slept
) -> None:
    source = opened()
    server.moods.append(lambda handler: handler.answer(503, b"", {"Retry-After": "3600"}))
    for _ in range(4):
        with pytest.raises(ReadError, match="503") as caught:
            source.read_range(70_000, 1000)
        assert not isinstance(caught.value, RemoteError)
    # A server may not make a scan sleep for an hour.
    assert max(slept) == 60.0
    assert sum(slept) <= 600
    assert "S3cret" not in str(caught.value)
    assert "503" in refusal(opened)


def test_a_reset_and_a_short_body_are_taken_up_where_they_ended(
    server: Files, opened: Callable[..., HttpSource]
) -> None:
    source = opened()

    def half(handler: Handler) -> bool:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 70000-169999/{len(DATA)}")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(DATA[70_000:110_000])
        handler.close_connection = True
        return True

    server.moods.append(times(1, half))
    server.moods.append(times(1, lambda handler: handler.reset()))
    assert source.read_range(70_000, 100_000) == DATA[70_000:170_000]
    assert server.ranges()[1:] == ["bytes=70000-169999", "bytes=110000-169999", "bytes=110000-169999"]


def test_a_server_that_gives_a_byte_now_and_then_does_not_hold_the_scan(
    server: Files, opened: Callable[..., HttpSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened()
    monkeypatch.setattr(connection, "_BODY_S", 0.05)

    def drip(handler: Handler) -> bool:
        start = int(handler.headers["Range"].removeprefix("bytes=").partition("-")[0])
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-79999/{len(DATA)}")
        handler.send_header("Content-Length", str(80_000 - start))
        handler.send_header("ETag", handler.server.etag)
        handler.end_headers()
        for byte in DATA[start : start + 100]:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)
        return True

    server.moods.append(drip)
    with pytest.raises(ReadError, match="too slow"):
        source.read_range(70_000, 10_000)


@pytest.mark.parametrize(
    "change",
    [
        lambda server: setattr(server, "etag", '"two"'),
        lambda server: server.files.update({"/disk": DATA + b"more"}),
        lambda server: server.fields.update({"Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT"}),
        lambda server: server.files.clear(),
        lambda server: server.files.update({"/disk": DATA[:70_000]}),
        lambda server: server.moods.append(lambda handler: handler.answer(200, DATA)),
    ],
    ids=["ETag", "size", "time", "removed", "cut", "whole"],
)
@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', ""])
def test_an_image_that_changes_is_told_and_not_mixed(
    etag: str, change: Callable[[Files], object], server: Files, opened: Callable[..., HttpSource]
) -> None:
    server.etag = etag
    server.fields["Last-Modified"] = "Mon, 23 Nov 2026 00:00:00 GMT"
    source = opened()
    change(server)
    with pytest.raises(RemoteError) as caught:
        source.read_range(200_000, 1000)
    assert caught.value.code == "remote.changed"
    assert ("if-match" in server.asked[-1][1]) is (etag == '"one"')


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_not_asked_again_and_tells_when_the_token_ends(status: int, server: Files) -> None:
    server.files["/disk"] = DATA
    address = server.address("/disk", "se=2026-11-25T08%3A00%3A00Z&sig=S3cret")
    source = HttpSource(address)
    server.moods.append(lambda handler: handler.answer(status))
    with pytest.raises(RemoteError, match="until 2026-11-25T08:00:00Z") as caught:
        source.read_range(70_000, 10)
    assert (caught.value.code, len(server.asked)) == ("remote.denied", 2)
    told = refusal(lambda: HttpSource(address))
    assert "2026-11-25T08:00:00Z" in told
    assert str(status) in told


def test_a_file_that_is_not_there_is_no_file(server: Files) -> None:
    assert "no such file" in refusal(lambda: HttpSource(server.address("/none", TOKEN)), InputNotFoundError)


def test_an_empty_file_is_told(server: Files, opened: Callable[..., HttpSource]) -> None:
    server.files["/disk"] = b""
    assert "empty" in refusal(opened)


def test_nobody_at_the_other_end_is_told(slept: Slept) -> None:
    with serving() as gone:
        address = gone.address("/disk", TOKEN)
    assert "no connection" in refusal(lambda: HttpSource(address, sleep=slept.append))


# -- redirects ---------------------------------------------------------------------------------------------------------


def sends_to(location: str) -> Callable[[Handler], bool]:
    def mood(handler: Handler) -> bool:
        if not handler.path.startswith("/disk"):
            return False
        handler.answer(302, b"", {"Location": location})
        return True

    return mood


def test_a_redirect_on_the_same_host_is_followed_without_the_token(
    server: Files, opened: Callable[..., HttpSource]
) -> None:
    server.files["/there"] = DATA
    server.moods.append(sends_to("/there?own=1"))
    assert opened().read_range(1, 2) == DATA[1:3]
    assert [target for target, _ in server.asked] == [f"/disk?{TOKEN}", "/there?own=1", "/there?own=1"]


def test_a_redirect_to_another_host_needs_to_be_allowed_and_gets_no_token(
    server: Files, opened: Callable[..., HttpSource]
) -> None:
    with serving() as other:
        other.files["/there"] = DATA
        server.moods.append(sends_to(other.address("/there")))
        assert "--allow-redirects" in refusal(opened)
        assert not other.asked
        source = opened(allow_redirects=True)
        assert source.read_range(1, 2) == DATA[1:3]
        assert "S3cret" not in str(other.asked)
        assert other.asked[0][1]["host"] == f"127.0.0.1:{other.server_port}"


def test_a_redirect_into_a_private_network_is_refused_even_where_redirects_are_allowed(
    server: Files, opened: Callable[..., HttpSource]
) -> None:
    server.moods.append(sends_to("http://169.254.169.254/latest/meta-data/"))
    assert "not connected to" in refusal(lambda: opened(allow_redirects=True))


@pytest.mark.parametrize("location", ["", "ftp://h/x", "http://[::1/x", "file:///etc/passwd"])
def test_a_redirect_to_no_address_is_an_error(location: str, server: Files, opened: Callable[..., HttpSource]) -> None:
    server.moods.append(sends_to(location))
    refusal(lambda: opened(allow_redirects=True))


def test_redirects_in_a_circle_end(server: Files, opened: Callable[..., HttpSource]) -> None:
    server.moods.append(sends_to("/disk"))
    assert "more than 3 times" in refusal(opened)
    assert len(server.asked) == 4


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.peer("openssl")
def test_a_certificate_is_believed_for_the_name_in_the_address_alone(
    server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.files["/disk"] = DATA
    named = server.address("/disk", TOKEN).replace("http://127.0.0.1", "https://localhost")
    told = refusal(lambda: HttpSource(named, allow_private=True), UnsupportedError)
    assert "certificate is not believed" in told
    assert "--allow-private" in refusal(lambda: HttpSource(named))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    source = HttpSource(named, allow_private=True)
    assert source.read_range(5, 5) == DATA[5:10]
    literal = named.replace("localhost", "127.0.0.1")
    assert "certificate is not believed" in refusal(lambda: HttpSource(literal), UnsupportedError)
    server.moods.append(sends_to(named.replace("https://localhost", "http://localhost")))
    assert "not encrypted" in refusal(lambda: HttpSource(named, allow_private=True, allow_redirects=True))


def test_without_the_extra_the_error_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    from forensics.remote.cloud import CloudSource

    for open_it in (lambda: HttpSource("http://127.0.0.1:1/x?" + TOKEN), lambda: CloudSource("az://c/x?" + TOKEN)):
        with pytest.raises(StopcodeError):
            open_it()
    with pytest.raises(UnsupportedError) as caught:
        HttpSource("http://127.0.0.1:1/x")
    assert caught.value.hint == "pip install 'stopcode[remote]'"
    with pytest.raises(UnsupportedError) as caught:
        CloudSource("s3://bucket/x")
    assert caught.value.hint == "pip install 'stopcode[remote]'"


def test_moods_of_the_server_begin_and_end_as_told() -> None:
    once = times(1, lambda _handler: True)
    late = after(1, lambda _handler: True)
    assert [once(None), once(None)] == [True, False]  # type: ignore[arg-type]  # not looked at
    assert [late(None), late(None)] == [False, True]  # type: ignore[arg-type]  # not looked at
