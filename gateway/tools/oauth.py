"""A client of authorization servers (OAuth 2.1): metadata (RFC 8414), and the token endpoint.

Config keys: `tools.*.auth`. No redirect is followed. Errors name the tool server and the code of the authorization
server, never a token and never words of that server. URLs in metadata are called only at the host of the issuer, which
the operator wrote, or over TLS at an address of the internet.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import math
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import orjson
from multidict import CIMultiDict
from yarl import URL

from gateway.call import Json
from gateway.config.tools import ToolAuth
from gateway.errors import Refusal
from gateway.tools.wire import broken, unheld
from gateway.upstream.bodies import received
from gateway.upstream.client import Client, Destination, Response, Timeouts

_TIMES: Final = Timeouts(10, 5, 10)
_LONGEST: Final = 64 * 1024  # bytes of an answer
_KEPT: Final = 3600.0  # seconds for which metadata are used
_LIFE: Final = 300.0  # seconds of a token that does not say how long it is valid
_EARLY: Final = 30.0  # seconds before its end in which a token is not used any more, or a tenth of its life
_CODE: Final = re.compile(r"[a-z_]{1,64}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")  # RFC 6750, section 2.1
_SUFFIXES: Final = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token endpoint gave out. `until`: Unix seconds until which the token is used."""

    access: str = field(repr=False)
    until: float
    refresh: str = field(default="", repr=False)


class Denied(Exception):
    """The authorization server does not give out a token. `code` is its error code (RFC 6749, section 5.2)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AuthorizationServer:
    """The authorization server of one row of `tools`. For one event loop."""

    def __init__(self, name: str, auth: ToolAuth, client: Client, clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._auth = auth
        self._client = client
        self._clock = clock
        self._read: Json = {}
        self._until = 0.0
        self._reading = asyncio.Lock()

    @property
    def issuer(self) -> str:
        """Its identifier, as the operator wrote it; "" if only URLs of endpoints are known."""
        return self._auth.issuer

    async def endpoint(self, name: str) -> str:
        """The URL of an endpoint: from the configuration, else from the metadata. Raises Refusal(upstream_error)."""
        if written := getattr(self._auth, name.replace("_endpoint", "_url"), ""):
            return str(written)
        if not self._auth.issuer:
            return ""
        said = (await self.metadata()).get(name)
        if said is None:
            return ""
        if type(said) is not str or not await self._is_safe(said):
            raise self._broken(f"has an authorization server whose {name} is no URL that the gateway may call")
        return said

    async def metadata(self) -> Json:
        """What the server says of itself, kept for an hour. Raises Refusal(upstream_error)."""
        async with self._reading:
            if self._clock() < self._until:
                return self._read
            at = urlsplit(self._auth.issuer)
            path = at.path.rstrip("/")
            places = [f"{at.scheme}://{at.netloc}{suffix}{path}" for suffix in _SUFFIXES]
            for url in dict.fromkeys([*places, f"{self._auth.issuer.rstrip('/')}{_SUFFIXES[1]}"]):
                status, said = await self._ask(Destination(URL(url), CIMultiDict(_HEADERS), _TIMES, "GET"), b"")
                if status == 200:
                    if said.get("issuer") != self._auth.issuer:
                        raise self._broken("has an authorization server that calls itself by another name (issuer)")
                    self._read, self._until = said, self._clock() + _KEPT
                    return said
            raise self._broken(f"has an authorization server without metadata at {at.scheme}://{at.netloc}")

    async def token(self, form: Mapping[str, str]) -> Granted:
        """Ask the token endpoint. Raises Denied, Refusal(upstream_error, upstream_timeout)."""
        url = await self.endpoint("token_endpoint")
        if not url:
            raise self._broken("has an authorization server without a token endpoint")
        status, said = await self._send(url, form)
        if status != 200:
            code = said.get("error")
            if status < 500 and type(code) is str and _CODE.fullmatch(code):
                raise Denied(code)
            raise self._broken(f"has an authorization server that answers with HTTP {status}")
        access, kind, lasts = said.get("access_token"), said.get("token_type"), said.get("expires_in")
        if type(access) is not str or not _TOKEN.fullmatch(access):
            raise self._broken("has an authorization server that answers without a token")
        if type(kind) is not str or kind.lower() not in ("bearer", "n_a"):
            raise self._broken("has an authorization server whose tokens are not bearer tokens")
        refresh = said.get("refresh_token")
        life = float(lasts) if isinstance(lasts, int | float) and 0 <= lasts < math.inf else _LIFE
        until = self._clock() + life - min(_EARLY, life / 10)
        return Granted(access, until, refresh if type(refresh) is str else "")

    async def revoke(self, token: str) -> bool:
        """Revoke a token (RFC 7009); whether the server has done so. Raises Refusal(upstream_error)."""
        url = await self.endpoint("revocation_endpoint")
        if not url:
            return False
        status, _ = await self._send(url, {"token": token, "token_type_hint": "refresh_token"})
        return status == 200

    def denied(self, code: str) -> Refusal:
        """The refusal for a call that gets no token."""
        return self._broken(f"gets no token from its authorization server (error: {code})", final=True)

    async def _send(self, url: str, form: Mapping[str, str]) -> tuple[int, Json]:
        headers = {**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
        auth = self._auth
        if auth.client_secret and auth.client_auth == "basic":
            pair = f"{quote(auth.client_id, safe='')}:{quote(auth.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif auth.client_secret:
            form = {**form, "client_id": auth.client_id, "client_secret": auth.client_secret}
        else:
            form = {**form, "client_id": auth.client_id}
        return await self._ask(Destination(URL(url), CIMultiDict(headers), _TIMES), urlencode(form).encode())

    async def _ask(self, to: Destination, body: bytes) -> tuple[int, Json]:
        """Status and object of an answer; an empty object for anything else. Raises Refusal."""
        try:
            async with asyncio.timeout(_TIMES.total):
                response: Response = await self._client.post(to, body)
                raw = await received(response, _LONGEST, unheld, partial(broken, self._name))
        except TimeoutError:
            raise self._broken("has an authorization server that did not answer in time", late=True) from None
        except OSError as fault:
            words = f"has an authorization server that could not be reached ({type(fault).__name__})"
            raise self._broken(words) from None
        try:
            said = orjson.loads(raw) if raw else {}
        except orjson.JSONDecodeError:
            said = {}
        return response.status, said if type(said) is dict else {}

    async def _is_safe(self, url: str) -> bool:
        """Whether a URL from metadata may be called."""
        try:
            at, own = urlsplit(url), urlsplit(self._auth.issuer)
            if at.username or at.password or at.fragment or not at.hostname:
                return False
            if (at.scheme, at.netloc) == (own.scheme, own.netloc):
                return True
            if at.scheme != "https":
                return False
            return await is_public(at.hostname, at.port or 443)
        except ValueError:
            return False

    def _broken(self, what: str, *, late: bool = False, final: bool = False) -> Refusal:
        refusal = broken(self._name, what, late=late)
        if final:
            refusal.retry = False
        return refusal


async def is_public(host: str, port: int) -> bool:
    """Whether all addresses of a host are addresses of the internet."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    return bool(addresses) and all(_plain(one).is_global and not _plain(one).is_multicast for one in addresses)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address contains, if it does."""
    return (getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)) or address


_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "meshgate"}
