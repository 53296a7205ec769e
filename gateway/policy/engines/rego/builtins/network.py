"""Addresses and ranges of IP networks. Nothing here reaches out."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import element, members, string, wrong
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value, items_of, key, unkey

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_ADDRESSES = 1 << 20


def _network(name: str, text: str) -> Network:
    """A range, or an address as the range that holds it alone. Raises BuiltinError."""
    return _range(name, text) if "/" in text else _address(name, text)


def _range(name: str, text: str) -> Network:
    """A range. One of addresses of IPv4 in IPv6 (`::ffff:10.0.0.0/104`) is of IPv4. Raises BuiltinError."""
    address, _, size = text.partition("/")
    try:
        if not (size.isascii() and size.isdigit()) or "%" in address:
            raise ValueError(text)
        net = ipaddress.ip_network(f"{address}/{size.lstrip('0') or '0'}", strict=False)
    except ValueError:
        raise BuiltinError(f"{name}: invalid CIDR address: {text}") from None
    mapped = net.network_address.ipv4_mapped if isinstance(net, ipaddress.IPv6Network) else None
    return ipaddress.IPv4Network((mapped, net.prefixlen - 96)) if mapped is not None else net


def _address(name: str, text: str) -> Network:
    try:
        if "%" in text:
            raise ValueError(text)
        address = ipaddress.ip_address(text)
    except ValueError:
        words = f"{name}: not a valid textual representation of an IP address or CIDR: {text}"
        raise BuiltinError(words) from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return ipaddress.ip_network(mapped if mapped is not None else address)


def _within(name: str, outer: str, inner: str) -> bool:
    net = _range(name, outer)
    other = _network(name, inner)
    return net.version == other.version and other.subnet_of(net)  # type: ignore[arg-type]


@builtin("net.cidr_contains")
def cidr_contains(cidr: Value, inner: Value) -> bool:
    name = "net.cidr_contains"
    return _within(name, string(name, 1, cidr), string(name, 2, inner))


@builtin("net.cidr_intersects")
def cidr_intersects(a: Value, b: Value) -> bool:
    name = "net.cidr_intersects"
    one, other = _range(name, string(name, 1, a)), _range(name, string(name, 2, b))
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
    net = _range(name, string(name, 1, cidr))
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
