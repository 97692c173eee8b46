from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.remote.address import is_address, parse_http, redacted, shown_address
from parsers.errors import OpenError, StopcodeError

SAS = "sv=2021-12-02&se=2026-11-25T08%3A00%3A00Z&sr=b&sp=r&sig=S3cret%2Bs3cret%3D"


@pytest.mark.parametrize("text", ["https://h/x.vhd", "HTTP://h", "az://c/x", "s3://b/x", "ftp://h/x"])
def test_what_has_a_scheme_is_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text", ["disk.vhd", "C:\\disk.vhd", "C:/disk.vhd", "./https:/x", "a/b://c", "", "\\\\h\\share"]
)
def test_a_path_is_none(text: str) -> None:
    assert not is_address(text)


def test_an_address_is_told_without_query_fragment_user_and_password() -> None:
    assert shown_address(f"https://me:secret@h:8443/c/disk.vhd?{SAS}#part") == "https://h:8443/c/disk.vhd"
    assert shown_address("https://h?sig=x") == "https://h"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"error: https://h/disk.vhd?{SAS}: no", "error: https://h/disk.vhd no"),
        (f"('https://h/d?{SAS}', 3)", "('https://h/d', 3)"),
        (f'GET "https://u:p@h/d?{SAS}"', 'GET "https://h/d"'),
        ("two s3://b/x?a=1 and gs://b/y#z", "two s3://b/x and gs://b/y"),
        ("nothing here?a=1", "nothing here?a=1"),
        (f"url: /d.vhd?{SAS} (Caused by x)", f"url: /d.vhd?{SAS.partition('sig=')[0]}sig=... (Caused by x)"),
        ("'X-Amz-Credential=AK/1&X-Amz-Signature=ab12'", "'X-Amz-Credential=...&X-Amz-Signature=...'"),
        ("?x-goog-signature=ab&X-Amz-Security-Token=F%2F", "?x-goog-signature=...&X-Amz-Security-Token=..."),
    ],
)
def test_a_text_loses_the_queries_of_the_addresses_in_it(text: str, told: str) -> None:
    assert redacted(text) == told


def test_an_address_is_taken_apart_and_does_not_show_its_query() -> None:
    address = parse_http(f"HTTPS://Host.example:443/a b/ü.vhd?{SAS}".replace("a b", "a%20b"))
    assert (address.scheme, address.host, address.port) == ("https", "host.example", 443)
    assert address.target == f"/a%20b/%C3%BC.vhd?{SAS}"
    assert address.authority == "host.example"
    assert address.expires == "2026-11-25T08:00:00Z"
    assert "S3cret" not in repr(address) + str(address) + address.shown
    assert parse_http("http://[::1]:81/x").authority == "[::1]:81"


def test_a_redirect_does_not_take_the_query_along() -> None:
    address = parse_http(f"https://h/a/disk.vhd?{SAS}")
    assert address.redirected("other.vhd").target == "/a/other.vhd"
    assert address.redirected("https://x/y?own=1").target == "/y?own=1"


@pytest.mark.parametrize(
    "text",
    ["ftp://h/x", "https://", "https:///x", "https://h:99999/x", "https://h/\nx", "https://h/a b", "https://[::1/x",
     "https://u:geheim@h/x", "https://" + "h" * 9000, "https://" + "a" * 70 + "/x"],
)  # fmt: skip
def test_what_is_not_read_is_an_error_that_tells_no_secret(text: str) -> None:
    with pytest.raises(OpenError) as caught:
        parse_http(text + ("?sig=geheim" if len(text) < 100 else ""))
    assert "geheim" not in caught.value.message + caught.value.hint


@given(st.text(max_size=60), st.text(alphabet="abcXYZ0123%+/=", min_size=8, max_size=20))
def test_any_text_behind_a_scheme_gives_an_address_or_an_error_without_the_token(text: str, token: str) -> None:
    secret = f"q{token}q"
    try:
        told = parse_http(f"https://h/{text}?sig={secret}").shown
    except StopcodeError as error:
        told = error.message + error.hint
    if secret not in text:
        assert secret not in told
