"""Which addresses the window may call: no way from a webhook into the inner network.

A url must be https, to a name or number that is reachable by everybody (no private, loopback,
link-local, multicast or reserved address, in any notation), with no user, password or fragment.
Where the operator allows it (a window for development), http and https to this machine are allowed
too. The name is looked up once, every address it has is checked, and the connection goes to a
checked address, so that a name which changes between check and use leads nowhere. Redirects are
not followed.
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

URL_MOST = 2000
PORTS = {"https": 443, "http": 80}


class Forbidden(ValueError):  # noqa: N818 - an address that must not be called
    """The window does not call this address; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: a checked number, and what to ask there."""

    secure: bool
    host: str
    address: str
    port: int
    path: str


def check(url: str, *, loopback: bool) -> tuple[bool, str, int, str]:
    """Whether a url may be called, as far as it can be said without looking its name up.

    Returns whether it is https, its host, port and path. Raises Forbidden.
    """
    if len(url) > URL_MOST or any(ord(c) <= 32 or ord(c) > 126 for c in url):
        raise Forbidden(f"at most {URL_MOST} plain characters without spaces are expected")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise Forbidden(f"this is no url: {problem}") from None
    if parts.scheme not in PORTS or not host:
        raise Forbidden("a url that begins with https:// and a name is expected")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Forbidden("a url without user, password and fragment is expected")
    number = _number(host)
    local = host == "localhost" or (number is not None and number.is_loopback)
    if local and not loopback:
        raise Forbidden("this machine is not called: give an address that everybody can reach")
    if number is not None and not local and not _public(number):
        raise Forbidden(f"{host} is no address that everybody can reach")
    if parts.scheme != "https" and not local:
        raise Forbidden("https is expected")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme == "https", host, port or PORTS[parts.scheme], path


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The number a host is written as, also in the old notations (0x7f.1, 2130706433)."""
    try:
        return _plain(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _plain(
    number: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that is wrapped into an IPv6 one, as itself."""
    if isinstance(number, ipaddress.IPv6Address):
        return number.ipv4_mapped or number.sixtofour or number
    return number


def _public(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether everybody can reach that number, and one machine alone."""
    return number.is_global and not number.is_multicast


def target(url: str, *, loopback: bool) -> Target:
    """Look a url's name up and choose a checked address. Raises Forbidden, OSError."""
    secure, host, port, path = check(url, loopback=loopback)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numbers = [str(each[4][0]).partition("%")[0] for each in found]
    for number in numbers:
        known = _plain(ipaddress.ip_address(number))
        if known.is_loopback and loopback:
            continue
        if not _public(known):
            raise Forbidden(f"{host} leads to {number}, which is no address for everybody")
        if not secure:
            raise Forbidden("https is expected")
    return Target(secure, host, numbers[0], port, path)
