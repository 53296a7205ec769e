"""URIs as Go's `net/url` reads them, which OPA does: `uri.parse`, `uri.is_valid`."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.policy.engines.rego.builtins import builtin
from gateway.policy.engines.rego.builtins.operands import string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_HOST_ESCAPE = re.compile(r"%(?!25)[0-7].", re.DOTALL)
_NO_HOST = re.compile(r"[ #/?@\\^`{|}]")
_ZONE_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|23|2[Ff]|3[Ff]|40|5[CcEe]|60|7[BbCcDdFf]|[89A-Fa-f][0-9A-Fa-f])")
_PORT = re.compile(r"(?::[0-9]*)?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*", re.ASCII)
_ENCODED = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/\[\]%-]*", re.ASCII)
_LEFT_IN_PATHS = "$&+,-./:;=@_~"


class _Wrong(Exception):
    """The text is no URI: what is wrong with it."""


class Uri(NamedTuple):
    """The parts of a URI. `path` is decoded; `raw_path` is as written, "" where that is the usual spelling."""

    scheme: str = ""
    host: str = ""
    path: str = ""
    raw_path: str = ""
    query: str = ""
    fragment: str = ""

    def split_host(self) -> tuple[str, str]:
        """The host without brackets, and the port."""
        host, colon, port = self.host.rpartition(":")
        if not colon or not _PORT.fullmatch(colon + port):
            host, port = self.host, ""
        return (host[1:-1] if host.startswith("[") and host.endswith("]") else host), port

    def escaped_path(self) -> str:
        """The path as it is sent."""
        if self.raw_path and _ENCODED.fullmatch(self.raw_path):
            return self.raw_path
        return "*" if self.path == "*" else _escaped(self.path)


def parse_uri(name: str, text: str) -> Uri:
    """The parts of a URI. Raises BuiltinError, with the name of the builtin that asks."""
    try:
        return _parse(text)
    except _Wrong as wrong:
        raise BuiltinError(f'{name}: parse "{text}": {wrong}') from None


def _parse(text: str) -> Uri:
    rest, _, fragment = text.partition("#")
    if _CONTROL.search(rest):
        raise _Wrong("net/url: invalid control character in URL")
    uri = Uri(path="*") if rest == "*" else _without_fragment(rest)
    return uri._replace(fragment=_decoded(fragment))


def _without_fragment(text: str) -> Uri:
    if text.startswith(":"):
        raise _Wrong("missing protocol scheme")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    rest, _, query = text[found.end() if found else 0 :].partition("?")
    uri = Uri(scheme=scheme, query=query)
    if not rest.startswith("/"):
        if scheme:
            return uri  # the rest is opaque, as in `mailto:x`
        if ":" in rest.partition("/")[0]:
            raise _Wrong("first path segment in URL cannot contain colon")
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        user, _, host = authority.rpartition("@")
        uri = uri._replace(host=_host(scheme, host))
        if not _USER.fullmatch(user):
            raise _Wrong("net/url: invalid userinfo")
        _decoded(user)
        rest = slash + path
    path = _decoded(rest)
    return uri._replace(path=path, raw_path="" if _escaped(path) == rest else rest)


def _host(scheme: str, host: str) -> str:
    at = host.rfind("[")
    if at > 0:
        raise _Wrong("invalid IP-literal")
    if at == 0:
        return _literal(host)
    first, last = host.find(":"), host.rfind(":")
    if first >= 0:
        _check_port(host[first if scheme in ("http", "https") else last :])
    return _host_decoded(host, _HOST_ESCAPE)


def _literal(host: str) -> str:
    """An address of IPv6 in brackets, perhaps with a zone and a port."""
    name, bracket, port = host[1:].rpartition("]")
    if not bracket:
        raise _Wrong("missing ']' in host")
    _check_port(port)
    address, percent, zone = name.partition("%25")
    address, zone = _host_decoded(address, _HOST_ESCAPE), _host_decoded(zone, _ZONE_ESCAPE)
    if "%" in address or bool(percent) != bool(zone):
        raise _Wrong("invalid host: ParseAddr")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise _Wrong("invalid host: ParseAddr") from None
    return f"[{address}{'%' if zone else ''}{zone}]{port}"


def _check_port(port: str) -> None:
    if not _PORT.fullmatch(port):
        raise _Wrong(f'invalid port "{port}" after host')


def _host_decoded(host: str, forbidden: re.Pattern[str]) -> str:
    if escape := forbidden.search(host):
        raise _Wrong(f'invalid URL escape "{escape[0]}"')
    if bad := _NO_HOST.search(host):
        raise _Wrong(f'invalid character "{bad[0]}" in host name')
    return _decoded(host)


def _decoded(text: str) -> str:
    if broken := _BROKEN_ESCAPE.search(text):
        raise _Wrong(f'invalid URL escape "{broken[0]}"')
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if "%" in text else text


def _escaped(path: str) -> str:
    return quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe=_LEFT_IN_PATHS)


def as_text(text: str) -> str:
    """A part as a string of Rego; bytes that are no UTF-8 are replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@builtin("uri.is_valid")
def uri_is_valid(text: Value) -> bool:
    if type(text) is not str or not text:
        return False
    try:
        _parse(text)
    except _Wrong:
        return False
    return True


@builtin("uri.parse")
def uri_parse(text: Value) -> dict[Value, Value]:
    uri = parse_uri("uri.parse", string("uri.parse", 1, text))
    hostname, port = uri.split_host()
    found = {"scheme": uri.scheme, "hostname": hostname, "port": port, "path": uri.path}
    found |= {"raw_path": uri.raw_path or uri.path, "raw_query": uri.query, "fragment": uri.fragment}
    return {name: as_text(value) for name, value in found.items() if value}
