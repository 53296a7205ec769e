"""IP addresses: IPv4 and IPv6 as Presidio finds them, except addresses that identify nobody.

Loopback, unspecified, broadcast and multicast addresses and netmasks are in every configuration. Four small numbers may
be a version, and two names with colons between them may be C++: these need a word for an address before them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import regex

from gateway.detect.core.context import ContextWords
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Find, Rule, RuleSet
from gateway.detect.personal import underscores
from gateway.detect.personal.presidio import recognizer

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
# A letter directly before the address is not part of it: an address may follow a word without a blank.
_IPV4: Final = (
    rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?:/(?:[0-2]?[0-9]|3[0-2]))?"
    r"(?![0-9A-Za-z]|\.[0-9])"
)
# This pattern of Presidio is too large for Hyperscan. Two to eight groups after colons match at least as much.
_GROUPS: Final = r"(?::[0-9A-Fa-f]{0,4}){2,8}(?:%[0-9a-zA-Z]+)?(?:/\d{1,3})?(?![^\W_]|:|\.\d)"
_OUTLINES: Final = {"IPv6": rf"(?<![^\W_])(?<!:)(?:[0-9A-Fa-f]{{1,4}})?{_GROUPS}"}
_MASK: Final = regex.compile(r"(?:255|254|252|248|240|224|192|128|0)(?:\.(?:255|254|252|248|240|224|192|128|0)){3}")
_ROUTED: Final = ("2", "3", "fe80", "fc", "fd")  # the beginnings of addresses in use
_WORDS: Final = {
    "ip": ("ip", "ipv4", "ipv6", "ip address", "ipaddress", "address", "host", "hostname", "client", "server", "remote",
           "peer", "gateway", "subnet", "dns", "login", "visitor", "ping", "source ip", "src", "dst", "adresse",
           "dirección", "indirizzo", "addr", "listen", "bind", "nameserver", "resolver", "endpoint", "proxy"),
    "from": ("from", "to", "von", "de", "da", "at"),
    "other": ("version", "versions", "ver", "v", "release", "released", "build", "rev", "revision", "firmware",
              "section", "chapter", "clause", "rfc", "oid", "driver", "sdk", "upgrade", "upgraded", "update", "updated",
              "tag", "guile", "mask", "netmask", "requires", "schema", "table", "figure", "bump", "bumped", "standards",
              "policy", "patch", "since", "package", "downgrade", "dependency", "objectidentifier"),
}  # fmt: skip
_NEAR: Final = 3
_FAR: Final = 99
_SMALL: Final = 20  # numbers of versions are smaller
_COLONS: Final = 7  # of an IPv6 address with all groups
_FEWEST: Final = 3  # minimum groups of an IPv6 address without a word before it
_NOBODYS: Final = frozenset((0, 127, *range(224, 240)))  # the first octets of loopback, multicast and none
_PADDED: Final = regex.compile(r"(?:^|\.)0[0-9]")
_PADDED_ALL: Final = regex.compile(r"[0-9]{3}(?:\.[0-9]{3}){3}")
# A decimal before it: a path of SVG. With a comma between, it is a row of values unless a command is in reach.
_DRAWN: Final = regex.compile(r"(?<![0-9.])[-+]?[0-9]*\.[0-9]+ -?\Z|[A-Za-z][-.]?[0-9][0-9., -]*\.[0-9]+,-?\Z|[0-9]-\Z")
_PATH: Final = 64  # characters
_STROKE: Final = regex.compile(r"[0-9.][A-Za-z-]{1,3}\Z")  # the next command of such a path
_DEBIAN: Final = regex.compile(r"[-+~][0-9a-z]")  # after the version of a package

_OF_ADDRESSES: Final = frozenset({"ip", "ips", "ipv4", "ipv6", "ipaddr", "ipaddress", "address", "addr"})
"""Words that an underscore may join to any address; after others, small numbers are a version."""

_near: Final = Near(_WORDS)


class _Beside(NamedTuple):
    """How many words lie between an address and the nearest word of each kind."""

    ip: int
    toward: int
    other: int

    @property
    def named(self) -> bool:
        return self.ip <= _NEAR and self.ip <= self.other

    @property
    def otherwise(self) -> bool:
        return self.other <= _NEAR and self.other < self.ip


def _beside(text: str, start: int) -> _Beside:
    keys = _near.keys(text, start)
    return _Beside(*(keys.get(key, _FAR) for key in ("ip", "from", "other")))


def _is_ipv4(text: str, start: int, end: int) -> bool:
    value = text[start:end].partition("/")[0]
    try:
        octets = [int(one) for one in value.split(".")]
    except ValueError:
        return False
    if len(octets) != 4 or not all(0 <= octet <= 255 for octet in octets):
        return False
    if octets[0] in _NOBODYS or _MASK.fullmatch(".".join(map(str, octets))):
        return False
    if octets[3] == 0:
        return False  # a network
    before = text[start - 1 : start]
    if before == "_":
        word = underscores.word_before(text, start)
        if word in _OF_ADDRESSES:
            return True
        small = [octet < _SMALL for octet in octets]
        if not underscores.emphasized(text, start):  # `client_1.2.3.4` is a version
            return word in _WORDS["ip"] and sum(small) < 3 and not (small[0] and small[1])
        before = ""
    if before in ("v", "V", "_", "-", "@", "~", "^", "=") and text[start - 2 : start - 1] != "-":
        if before not in "=-" or octets[0] < _SMALL:
            return False
        before = ""
    beside = _beside(text, start)
    if beside.named:
        return True
    if beside.otherwise or _private(octets):
        return False
    if before != "" and (_DRAWN.search(text, max(0, start - _PATH), start) or _DEBIAN.match(text, end)):
        return False
    if _PADDED.search(value) and not _PADDED_ALL.fullmatch(value):
        return False
    if len(set(octets)) == 1:
        return False  # 8.8.8.8, 20.20.20.20: well known, or an example
    small = [octet < _SMALL for octet in octets]
    if small[0] and _STROKE.search(text, max(0, start - 4), start):
        return False
    if beside.toward <= 1 and beside.toward < beside.other:
        return sum(small) < 3
    return sum(small) < 3 and not (small[0] and small[1])


def _private(octets: Sequence[int]) -> bool:
    """Whether an address is of a private network or of one link. Ranges for documentation count as public."""
    first, second = octets[:2]
    return (
        first == 10
        or (first == 172 and 16 <= second < 32)
        or (first == 192 and second == 168)
        or (first == 169 and second == 254)
    )


_LINKS: Final = tuple(map(ipaddress.IPv6Network, ("fe80::/10", "fc00::/7")))


def _is_ipv6(text: str, start: int, end: int) -> bool:
    value = text[start:end].partition("/")[0].lower()
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    if address.packed[8:] == bytes(8):
        return False  # a network
    if any(address in network for network in _LINKS):  # a private network or one link
        return any(address.packed[8:15]) and _beside(text, start).named
    mapped = address.ipv4_mapped
    if mapped is not None and (mapped.is_loopback or mapped.is_unspecified):
        return False
    groups = [group for group in value.partition("%")[0].split(":") if group]
    if value.startswith(_ROUTED) and len(groups) > 1 and any(map(str.isdigit, value)) and len(groups[0]) == 4:
        return True
    if len(groups) >= _FEWEST and any(len(group) > 2 for group in groups) and any(map(str.isdigit, value)):
        return True
    return len(groups) > 1 and _beside(text, start).named


def telling(text: str, start: int, end: int) -> bool:
    """Whether an address may identify somebody, and is neither a version nor a name."""
    return (_is_ipv6 if ":" in text[start:end] else _is_ipv4)(text, start, end)


def _joined(text: str, start: int, end: int) -> bool:
    """Whether an address with colons is joined to a word that names it, emphasized, or before an underscore."""
    if not underscores.beside(text, start, end):
        return False
    if text[start - 1 : start] == "_" and not underscores.emphasized(text, start):
        return underscores.word_before(text, start) in _WORDS["ip"] and _is_ipv6(text, start, end)
    return _is_ipv6(text, start, end)


def _beside_words(source: str) -> str:
    """A pattern of Presidio that takes an underscore for the beginning of another word."""
    return source.replace(r"(?<![\w:])", r"(?<![^\W_])(?<!:)").replace(r"(?![\w:]|", r"(?![^\W_]|:|")


def rules() -> Iterator[Rule]:
    """The rules for IP addresses."""
    presidio = recognizer("IpRecognizer")
    flags = presidio.global_regex_flags
    context = ContextWords(presidio.context)
    for pattern in presidio.patterns:
        if pattern.name == "IPv6_unspecified":
            continue
        source = _IPV4 if pattern.name == "IPv4" else pattern.regex
        find = _finder(regex.compile(source, flags), float(pattern.score), compact=pattern.name in _OUTLINES)
        expression = Expression(source, flags)
        if pattern.name in _OUTLINES:
            expression = Expression(_beside_words(source), flags, _GROUPS, _OUTLINES[pattern.name], back=4)
        yield Rule(presidio.supported_entities[0], presidio.name, expression, find, context)


def _finder(pattern: regex.Pattern[str], score: float, *, compact: bool) -> Find:
    """`compact`: all matches have `_COLONS`, or two that stand for the groups between them."""

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        limit = min(len(text), end + RuleSet.MARGIN)
        if compact and "::" not in text[start:limit] and text.count(":", start, limit) < _COLONS:
            return []  # a time
        found = [
            (*match.span(), score if telling(text, *match.span()) else 0.0)
            for match in pattern.finditer(text, start, limit)
            if match.end() <= end
        ]
        if compact and "_" in text[max(0, start - 1) : limit]:
            piece, low = underscores.apart(text, start, end)
            more = [match.span() for match in pattern.finditer(piece, start - low, limit - low)]
            found += [
                (at + low, to + low, score) for at, to in more if to + low <= end and _joined(text, low + at, low + to)
            ]
        return found

    return find
