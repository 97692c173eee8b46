"""Objects of S3 and GCS, from servers of our own that judge what is signed, and how they may fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from forensics.remote.cloud import CloudSource
from forensics.remote.opening import open_remote
from forensics.remote.ranges import RemoteError
from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, OpenError, ReadError, StopcodeError
from tests.forensics.remote.server import Files, Handler, after, times

DATA = random.Random(11).randbytes(300_000)
KEY_ID, KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/s3/aws4_request), ?SignedHeaders=([^,]+), ?Signature=(\w{64})"
)


def signature(method: str, path: str, fields: dict[str, str], scope: str, signed: str) -> str:
    """Return what a request without query is signed with (Amazon's "Authenticating Requests", Signature Version 4)."""
    lines = [method, path, "", *(f"{name}:{fields[name].strip()}" for name in signed.split(";")), "", signed,
             fields["x-amz-content-sha256"]]  # fmt: skip
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", fields["x-amz-date"], scope, digest))
    key = f"AWS4{KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_the_judge_of_signatures_agrees_with_the_published_example() -> None:
    # Amazon S3 API Reference, "Signature calculations … Example: GET Object".
    empty = hashlib.sha256(b"").hexdigest()
    fields = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9", "x-amz-content-sha256": empty,
              "x-amz-date": "20130524T000000Z"}  # fmt: skip
    found = signature("GET", "/test.txt", fields, "20130524/us-east-1/s3/aws4_request", ";".join(fields))
    assert found == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def is_signed(handler: Handler, fields: dict[str, str]) -> bool:
    """Tell whether a request of S3 is signed with the key, over its host and all that says what is asked for."""
    found = _AUTHORIZATION.fullmatch(fields.get("authorization", ""))
    if found is None or found[1] != KEY_ID or "/eu-north-7/" not in found[2]:
        return False
    said = {"host", "x-amz-content-sha256", "x-amz-date"} | ({"range", "if-match"} & set(fields))
    # The store takes the path apart and signs it as it would write it: every octet but the unreserved ones as %XX.
    path = quote(unquote(handler.path), safe="/~")
    right = signature(handler.command, path, fields, found[2], found[3])
    return said <= set(found[3].split(";")) and hmac.compare_digest(right, found[4])


@pytest.fixture
def s3(server: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    """A store that speaks like S3, with DATA as `disks/os.vhd`, and the environment that leads to it."""
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "eu-north-7")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    server.fields["Last-Modified"] = "Wed, 25 Nov 2026 10:00:00 GMT"
    server.files["/disks/os.vhd"] = DATA

    def judge(handler: Handler) -> bool:
        return not is_signed(handler, server.asked[-1][1]) and handler.answer(403)

    server.moods.append(judge)
    return server


def opened(slept: list[float] | None = None) -> CloudSource:
    return CloudSource("s3://disks/os.vhd", sleep=(slept if slept is not None else []).append)


def test_an_object_of_s3_is_read_by_signed_ranges_of_the_very_state_that_was_opened(s3: Files) -> None:
    source = opened()
    assert source.size == len(DATA)
    assert source.read_range(70_000, 5000) == DATA[70_000:75_000]
    assert source.read_range(len(DATA) - 10, 10) == DATA[-10:]
    assert [(fields.get("range"), fields.get("if-match")) for _, fields in s3.asked] == [
        (None, None), ("bytes=70000-74999", '"one"'), (f"bytes={len(DATA) - 10}-{len(DATA) - 1}", '"one"'),
    ]  # fmt: skip
    assert (source.requests, source.bytes_read) == (len(s3.asked), s3.sent)
    assert KEY_ID not in repr(source)


def test_a_wrong_key_is_refused_by_the_store_and_told_without_it(s3: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S3cretS3cret")
    with pytest.raises(OpenError, match="the store refuses") as caught:
        opened()
    assert "environment" in caught.value.hint
    assert not re.search(f"{KEY_ID}|S3cret", f"{caught.value}{caught.value.hint}")


@pytest.mark.parametrize("name", ["a b/50% of ü & +.vhd", "a%20b.vhd", "[x]{y}~'!$().vhd"])
def test_the_name_of_an_object_is_taken_as_it_is(name: str, s3: Files) -> None:
    s3.files.clear()
    s3.files[f"/disks/{name}"] = DATA

    def means(handler: Handler) -> bool:
        handler.path = unquote(handler.path)
        return False

    s3.moods.append(means)
    with open_remote(f"s3://disks/{name}", Diagnostics()) as file:
        assert file.shown == f"s3://disks/{name}"
        assert file.read_at(100, 50) == DATA[100:150]


def test_a_name_that_is_not_there_or_that_no_store_can_have_is_refused_with_advice(s3: Files) -> None:
    with pytest.raises(InputNotFoundError, match="no such object") as caught:
        CloudSource("s3://disks/os%20disk.vhd")
    assert "%20" in caught.value.hint
    for name, told in (
        ("os.vhd?sig=S3cret", "no address"), ("os.vhd#S3cret", "no address"), ("a\nb", "no address"),
        ("", "no address"), ("a//b", "empty part"), ("a/../b", "of dots"),
    ):  # fmt: skip
        with pytest.raises(OpenError, match=told) as refused:
            CloudSource(f"s3://disks/{name}")
        assert "S3cret" not in f"{refused.value}{refused.value.hint}"


def test_a_busy_store_is_asked_four_times_and_every_request_is_counted(s3: Files) -> None:
    slept: list[float] = []
    source = opened(slept)
    s3.moods.append(times(2, lambda handler: handler.answer(503)))
    s3.moods.append(times(1, lambda handler: handler.reset()))
    assert source.read_range(0, 1000) == DATA[:1000]
    assert (source.requests, len(s3.asked), len(slept)) == (5, 5, 3)
    s3.moods.append(lambda handler: handler.answer(503))
    with pytest.raises(ReadError, match="4 tries") as caught:
        source.read_range(1000, 1000)
    assert not isinstance(caught.value, RemoteError)
    assert source.requests == len(s3.asked) == 9
    with pytest.raises(OpenError, match="cannot be opened"):
        opened()


def test_a_store_that_fails_ends_the_scan_as_any_server_does(s3: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.remote.patience._FIRST_WAIT_S", 0.0)
    said = Diagnostics()
    with open_remote("s3://disks/os.vhd", said) as file:
        s3.moods.append(lambda handler: handler.answer(500))
        for _ in range(5):
            with pytest.raises(ReadError):
                file.read_at(0, 10)
    assert [item.code for item in said.items] == ["remote.lost"]
    assert len(s3.asked) == 1 + 3 * 4


def replaced(handler: Handler) -> bool:
    handler.server.etag = '"two"'
    return False


def replaced_unseen(handler: Handler) -> bool:
    """A store that knows no conditions."""
    replaced(handler)
    handler.server.asked[-1][1].pop("if-match", None)
    handler.headers.replace_header("if-match", '"two"')
    return False


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        (replaced, "remote.changed"),
        (replaced_unseen, "remote.changed"),
        (lambda handler: handler.answer(404), "remote.changed"),
        (lambda handler: handler.answer(403), "remote.denied"),
        (lambda handler: handler.answer(401), "remote.denied"),
    ],
)
def test_an_object_that_is_replaced_removed_or_withdrawn_gives_nothing_more(
    mood: Callable[[Handler], bool], code: str, s3: Files
) -> None:
    s3.moods.append(after(1, mood))
    source = opened()
    with pytest.raises(RemoteError) as caught:
        source.read_range(0, 10)
    assert caught.value.code == code


def test_a_store_that_sends_less_than_was_asked_for_is_not_believed(s3: Files) -> None:
    source = opened()
    s3.moods.append(lambda handler: handler.answer(206, DATA[:5], {"Content-Range": f"bytes 0-4/{len(DATA)}"}))
    with pytest.raises(StopcodeError, match="cannot be read"):
        source.read_range(0, 10)


# -- GCS --------------------------------------------------------------------------------------------------------------


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.peer("openssl")
def test_an_object_of_gcs_is_read_with_the_service_account_of_the_environment(
    server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public, signed = (tmp_path / name for name in ("key.pem", "public.pem", "signature"))
    make = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private]
    subprocess.run(make, check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    account = {
        "type": "service_account",
        "client_email": "reader@disks.example",
        "private_key_id": "one",
        "private_key": private.read_text(),
        "gcs_base_url": f"http://127.0.0.1:{server.server_port}",
    }
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    # The XML API takes the name as one part of the path.
    server.files["/disks/my%20images%2F50%25%2Fos%2Evhd"] = DATA
    server.fields["Last-Modified"] = "Wed, 25 Nov 2026 10:00:00 GMT"
    with open_remote("gs://disks/my images/50%/os.vhd", Diagnostics()) as file:
        assert file.size == len(DATA)
        assert file.read_at(100_000, 50) == DATA[100_000:100_050]
        assert file.requests == len(server.asked)
    # The account's own signature (RFC 7515) stands on what it says, by openssl's word.
    for _, fields in server.asked:
        head, claims, sign = fields["authorization"].removeprefix("Bearer ").split(".")
        signed.write_bytes(_decoded(sign))
        check: list[Any] = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", signed]
        subprocess.run(check, input=f"{head}.{claims}".encode(), check=True, capture_output=True)
        assert json.loads(_decoded(claims))["iss"] == "reader@disks.example"
    assert server.asked[-1][1]["if-match"] == '"one"'
    server.etag = '"two"'
    with pytest.raises(RemoteError) as caught:
        file.read_at(0, 10)
    assert caught.value.code == "remote.changed"
