"""Addresses and ranges of IP networks, and the parts of URIs. Nothing here reaches out."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import unquote

from gateway.engines.rego.builtins import Context, builtin
from gateway.engines.rego.builtins.operands import element, members, string, wrong
from gateway.engines.rego.errors import BuiltinError
from gateway.engines.rego.values import Value, items_of, key, unkey

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_ADDRESSES = 1 << 20


def _network(name: str, text: str) -> Network:
    try:
        if "/" in text:
            _, _, size = text.partition("/")
            if not size.isdigit() or (len(size) > 1 and size[0] == "0"):
                raise ValueError(text)
            return ipaddress.ip_network(text, strict=False)
        return ipaddress.ip_network(text)
    except ValueError:
        raise BuiltinError(
            f"{name}: invalid CIDR address: {text}"
            if "/" in text
            else f"{name}: not a valid textual representation of an IP address or CIDR: {text}"
        ) from None


def _within(name: str, outer: str, inner: str) -> bool:
    net = _network(name, outer)
    other = _network(name, inner)
    return net.version == other.version and other.subnet_of(net)  # type: ignore[arg-type]


@builtin("net.cidr_contains")
def cidr_contains(cidr: Value, inner: Value) -> bool:
    name = "net.cidr_contains"
    return _within(name, string(name, 1, cidr), string(name, 2, inner))


@builtin("net.cidr_intersects")
def cidr_intersects(a: Value, b: Value) -> bool:
    name = "net.cidr_intersects"
    one, other = _network(name, string(name, 1, a)), _network(name, string(name, 2, b))
    return one.version == other.version and one.overlaps(other)


@builtin("net.cidr_is_valid")
def cidr_is_valid(text: Value) -> bool:
    if type(text) is not str or "/" not in text:
        return False
    try:
        _network("net.cidr_is_valid", text)
    except BuiltinError:
        return False
    return True


@builtin("net.cidr_expand", context=True)
def cidr_expand(context: Context, cidr: Value) -> set[Any]:
    name = "net.cidr_expand"
    net = _network(name, string(name, 1, cidr))
    if net.num_addresses > MOST_ADDRESSES:
        raise BuiltinError(f"{name}: the range has too many addresses")
    context.tick(net.num_addresses)
    return {str(address) for address in net}


@builtin("net.cidr_merge")
def cidr_merge(value: Value) -> set[Any]:
    name = "net.cidr_merge"
    nets: list[Network] = []
    for item in members(name, 1, value, "set", "array"):
        if type(item) is not str:
            raise element(name, 1, value, item, "string")
        if "/" not in item and ":" in item:
            raise BuiltinError(f"{name}: IPv6 invalid: needs prefix length")
        if "/" not in item and re.fullmatch(r"\d+\.\d+\.\d+\.\d+", item):
            nets.append(_classful(name, item))
        else:
            nets.append(_network(name, item))
    v4 = [net for net in nets if isinstance(net, ipaddress.IPv4Network)]
    v6 = [net for net in nets if isinstance(net, ipaddress.IPv6Network)]
    return {str(net) for net in (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6))}


def _classful(name: str, text: str) -> Network:
    """An address without a prefix stands for the network of its class."""
    try:
        first = int(ipaddress.IPv4Address(text)) >> 24
    except ValueError:
        raise BuiltinError(f"{name}: invalid CIDR address: {text}") from None
    size = 8 if first < 128 else 16 if first < 192 else 24 if first < 224 else 32
    return ipaddress.ip_network(f"{text}/{size}", strict=False)


@builtin("net.cidr_contains_matches", context=True)
def cidr_contains_matches(context: Context, cidrs: Value, inner: Value) -> set[Any]:
    name = "net.cidr_contains_matches"
    outer, others = list(_listed(name, 1, cidrs)), list(_listed(name, 2, inner))
    context.tick(len(outer) * len(others))
    return {key([a, b]) for a, one in outer for b, other in others if _within(name, one, other)}


def _listed(name: str, position: int, value: Value) -> list[tuple[Value, str]]:
    kind = type(value)
    if kind is str:
        return [(value, value)]
    if kind is list:
        return [(at, _cidr(name, position, item)) for at, item in enumerate(value)]
    if kind is set:
        return [(item, _cidr(name, position, item)) for item in items_of(value)]
    if kind is dict:
        return [(unkey(at), _cidr(name, position, item)) for at, item in value.items()]
    raise wrong(name, position, value, "string", "array", "set", "object")


def _cidr(name: str, position: int, item: Value) -> str:
    if type(item) is list:
        if not item:
            raise BuiltinError(f"{name}: operand {position}: element must be string or non-empty array")
        item = item[0]
    if type(item) is not str:
        raise BuiltinError(f"{name}: operand {position}: element must be string or non-empty array")
    return item


_URI = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


def _uri(name: str, text: str) -> dict[str, str]:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise BuiltinError(f"{name}: invalid control character in URL")
    match = _URI.fullmatch(text)
    assert match is not None
    scheme, authority, path, query, fragment = match.groups()
    if scheme is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise BuiltinError(f"{name}: first path segment in URL cannot contain colon")
    if text.startswith(":"):
        raise BuiltinError(f"{name}: missing protocol scheme")
    for part in (authority or "", path, fragment or ""):
        if re.search(r"%(?![0-9A-Fa-f]{2})", part):
            raise BuiltinError(f"{name}: invalid URL escape")
    found = {"scheme": (scheme or "").lower()}
    if authority:
        user, _, host = authority.rpartition("@")
        if re.search(r'[ <>"]', host):
            raise BuiltinError(f"{name}: invalid character in host name")
        port = re.search(r":(\d*)$", host) if not host.endswith("]") else None
        named = host[: port.start()] if port else host
        if ":" in named and not named.startswith("["):
            raise BuiltinError(f"{name}: invalid port after host")
        found |= {"host": host, "hostname": named.strip("[]"), "port": port[1] if port else ""}
        if user:
            found["username"] = unquote(user.partition(":")[0])
    if scheme and authority is None and not path.startswith("/"):
        found["opaque"] = path
    else:
        found |= {"path": unquote(path), "raw_path": path if unquote(path) != path else ""}
    return found | {"raw_query": query or "", "fragment": unquote(fragment or "")}


@builtin("uri.is_valid")
def uri_is_valid(text: Value) -> bool:
    try:
        _uri("uri.is_valid", string("uri.is_valid", 1, text))
    except BuiltinError:
        return False
    return True


@builtin("uri.parse")
def uri_parse(text: Value) -> dict[Any, Value]:
    return {name: value for name, value in _uri("uri.parse", string("uri.parse", 1, text)).items() if value}
