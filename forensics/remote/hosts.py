"""Which hosts are connected to: a name is resolved once, what it means is checked, and that very address is used.

An address given by somebody else (a redirect, a name under another's control) must not make this machine ask its own
network: the metadata service of a cloud at 169.254.169.254 hands out credentials to whoever asks from inside.
"""

from __future__ import annotations

import ipaddress
import socket

from parsers.errors import OpenError

__all__ = ["resolved"]

#: The IPv6 prefix behind which a gateway (NAT64) reaches IPv4 addresses.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def _inner(address: _Ip) -> _Ip:
    """Return the IPv4 address that an IPv6 address stands for; itself when it stands for none."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _is_public(address: _Ip) -> bool:
    inner = _inner(address)
    return inner.is_global and not inner.is_multicast


def _bare(address: str) -> _Ip:
    """Return an address without its interface (`fe80::1%eth0`)."""
    return ipaddress.ip_address(address.partition("%")[0])


def _literal(host: str) -> _Ip | None:
    try:
        return _bare(host)
    except ValueError:
        return None


def resolved(host: str, port: int, *, named_by_user: bool, allow_private: bool) -> list[str]:
    """Return the addresses to connect to, in the system's order.

    Args:
        host: a name or a literal address.
        port: of the server.
        named_by_user: whether the user's own address has this host; a literal one is then meant.
        allow_private: whether addresses of private networks, of this machine and of its link are allowed.

    Raises:
        OpenError: the name is not known, or all that it means is private and that is not allowed.

    """
    literal = _literal(host)
    if literal is not None:
        if named_by_user or allow_private or _is_public(literal):
            return [host]
        raise _refused(host, str(literal))
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OpenError(f"{host}: no such host, or no network", hint="look at the address and the connection") from None
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    kept = [
        address for address in addresses if allow_private or _is_public(ipaddress.ip_address(address.partition("%")[0]))
    ]
    if not kept:
        raise _refused(host, ", ".join(addresses))
    return kept


def _refused(host: str, addresses: str) -> OpenError:
    told = host if host == addresses else f"{host} is {addresses}, which"
    return OpenError(
        f"{told} lies in a private network, on this link or on this machine, and is not connected to",
        hint="give --allow-private if it is meant: a private endpoint, or a server of your own",
    )
