"""Which addresses are refused, held against the registries of special-purpose addresses (RFC 6890, 8190)."""

from __future__ import annotations

import socket

import pytest

from forensics.remote import hosts
from forensics.remote.hosts import resolved
from parsers.errors import OpenError

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]  # fmt: skip
PUBLIC = ["20.60.1.1", "52.218.0.1", "2603:1030::1", "64:ff9b::143c:101"]


def meaning(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    asked: list[str] = []

    def look_up(host: str, port: int, **_more: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(hosts.socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_means_a_private_address_is_refused_until_that_is_allowed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meaning(monkeypatch, address)
    for named in (True, False):
        with pytest.raises(OpenError, match="not connected to") as caught:
            resolved("h.example", 443, named_by_user=named, allow_private=False)
        assert "--allow-private" in caught.value.hint
    assert resolved("h.example", 443, named_by_user=False, allow_private=True) == [address]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_itself_is_meant_when_the_user_wrote_it_and_refused_in_a_redirect(address: str) -> None:
    assert resolved(address, 80, named_by_user=True, allow_private=False) == [address]
    with pytest.raises(OpenError, match="not connected to"):
        resolved(address, 80, named_by_user=False, allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_connected_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(address, 443, named_by_user=False, allow_private=False) == [address]
    asked = meaning(monkeypatch, address, "10.0.0.1", address)
    # What is private among several is left out; the name is asked for once.
    assert resolved("h.example", 443, named_by_user=True, allow_private=False) == [address]
    assert asked == ["h.example"]


def test_a_name_that_nobody_knows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_words: object, **_more: object) -> None:
        raise socket.gaierror(8, "unknown")

    monkeypatch.setattr(hosts.socket, "getaddrinfo", look_up)
    with pytest.raises(OpenError, match="no such host"):
        resolved("h.example", 443, named_by_user=True, allow_private=False)
