"""Which addresses a URL that a caller gave may lead to: those of the public internet alone.

The addresses of a host are checked where the connection is made, so that a name cannot lead elsewhere meanwhile.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_EMBEDDED: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""Networks of IPv6 addresses that contain one of IPv4 (RFC 6052, 8215, 3056, 4380)."""


class NotPublic(OSError):
    """The host has an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; addresses that contain another one are not."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return is_public(str(known.ipv4_mapped))
        if any(known in network for network in _EMBEDDED):
            return False
    return known.is_global and not known.is_multicast
