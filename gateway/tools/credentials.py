"""The credentials with which the gateway calls tool servers: static, client credentials, token exchange.

Config keys: `tools.*.auth`. A token is kept in memory until shortly before its end. One call asks for a token, and the
others wait. The caller's own key or token reaches nobody but, with `token_exchange`, the authorization server that the
operator named.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.config.tools import ToolAuth
from gateway.errors import Refusal
from gateway.tools.oauth import AuthorizationServer, Denied, Granted
from gateway.tools.wire import broken

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"
_KEPT: Final = 4096  # tokens of callers
_PAUSE: Final = 1.0  # seconds after a fault of the authorization server in which it is not asked again
_KEY_ONLY: Final = (
    "The tool server {} is called with a token that is exchanged for the caller's, but this call has a gateway key. "
    "Call with a token of the issuer."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom the gateway calls a server: team, agent, and the token that the call came with, if that is a JWT."""

    team: str = ""
    agent: str = ""
    token: bytes = field(default=b"", repr=False, compare=False)

    @property
    def seat(self) -> tuple[str, str]:
        """Team and agent."""
        return self.team, self.agent


NOBODY: Final = Caller()
"""The gateway itself."""


class Credential(Protocol):
    """The credential of one row of `tools`."""

    @property
    def personal(self) -> bool:
        """Whether each caller has a token of its own."""
        ...

    async def bearer(self, caller: Caller) -> str:
        """The token for `Authorization: Bearer`; "" for none. Raises Refusal."""
        ...

    def forget(self, caller: Caller, bearer: str) -> bool:
        """The server refused this token; whether another may be had."""
        ...


class Static(Credential):
    """One token for all callers, or none."""

    personal = False

    def __init__(self, token: str) -> None:
        self._token = token

    async def bearer(self, caller: Caller) -> str:
        """The token."""
        del caller
        return self._token

    def forget(self, caller: Caller, bearer: str) -> bool:
        """There is no other."""
        del caller, bearer
        return False


class Tokens:
    """Tokens by key, each asked for by one call at a time. For one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, Granted] = OrderedDict()
        self._locks: dict[bytes, asyncio.Lock] = {}
        self._fault: tuple[float, Refusal] | None = None  # of the authorization server
        self._denied: OrderedDict[bytes, tuple[float, Refusal]] = OrderedDict()  # of one key: others may get a token

    async def get(self, key: bytes, ask: Callable[[], Awaitable[Granted]]) -> str:
        """The token of a key. Raises what `ask` raises; for a second, the last fault, instead of asking again."""
        known = self._kept.get(key)
        if known is not None and self._clock() < known.until:
            return known.access
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                known = self._kept.get(key)
                if known is not None and self._clock() < known.until:
                    return known.access
                for fault in (self._fault, self._denied.get(key)):
                    if fault is not None and self._clock() < fault[0]:
                        raise fault[1]
                try:
                    made = await ask()
                except Refusal as refusal:
                    self._note(key, refusal)
                    raise
                self._fault = None
                self._denied.pop(key, None)
                self._kept[key] = made
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
                return made.access
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    def _note(self, key: bytes, refusal: Refusal) -> None:
        """Remember a fault for a second: that of a denied key is not the fault of others."""
        fault = self._clock() + _PAUSE, refusal
        if refusal.retry is not False:
            self._fault = fault
            return
        self._denied[key] = fault
        if len(self._denied) > _KEPT:
            self._denied.popitem(last=False)

    def drop(self, key: bytes, bearer: str) -> None:
        """Forget a token, unless it was replaced in the meantime."""
        known = self._kept.get(key)
        if known is not None and known.access == bearer:
            del self._kept[key]


class ClientCredentials(Credential):
    """A token of the gateway itself (RFC 6749, section 4.4)."""

    personal = False

    def __init__(self, server: AuthorizationServer, auth: ToolAuth, clock: Callable[[], float]) -> None:
        self._server = server
        self._form = {"grant_type": "client_credentials", **asked(auth)}
        self._tokens = Tokens(clock)

    async def bearer(self, caller: Caller) -> str:
        """The token for all callers."""
        del caller
        return await self._tokens.get(b"", self._ask)

    def forget(self, caller: Caller, bearer: str) -> bool:
        """Ask for another token at the next call."""
        del caller
        self._tokens.drop(b"", bearer)
        return True

    async def _ask(self) -> Granted:
        try:
            return await self._server.token(self._form)
        except Denied as denied:
            raise self._server.denied(denied.code) from None


class TokenExchange(Credential):
    """A token for each caller, in exchange for the caller's own (RFC 8693)."""

    personal = True

    def __init__(self, name: str, server: AuthorizationServer, auth: ToolAuth, clock: Callable[[], float]) -> None:
        self._name = name
        self._server = server
        self._form = {
            "grant_type": EXCHANGE,
            "subject_token_type": TYPE,
            "requested_token_type": TYPE,
            **asked(auth),
        }
        self._tokens = Tokens(clock)

    async def bearer(self, caller: Caller) -> str:
        """The token of a caller."""
        if not caller.token:
            raise Refusal("invalid_request", _KEY_ONLY.format(self._name), status=403, stage="upstream")

        async def ask() -> Granted:
            try:
                return await self._server.token({**self._form, "subject_token": caller.token.decode("latin-1")})
            except Denied as denied:
                raise self._server.denied(denied.code) from None

        return await self._tokens.get(_key(caller), ask)

    def forget(self, caller: Caller, bearer: str) -> bool:
        """Exchange again at the next call."""
        self._tokens.drop(_key(caller), bearer)
        return True


def asked(auth: ToolAuth) -> dict[str, str]:
    """What tokens are asked for: scopes, audience, and the resource (RFC 8707)."""
    said = {"scope": " ".join(auth.scopes), "audience": auth.audience, "resource": auth.resource}
    return {name: value for name, value in said.items() if value}


def check_echo(name: str, bearer: str, raw: bytes) -> None:
    """Raise Refusal(upstream_error) if an answer repeats the token that the server was called with."""
    if len(bearer) >= _SHORT and (bearer.encode() in raw or bearer.encode() in raw.replace(b"\\/", b"/")):
        raise broken(name, "answered with the credential of the gateway, which is not passed on")


_SHORT: Final = 8  # characters of a token that occurs by chance


def _key(caller: Caller) -> bytes:
    return hashlib.sha256(caller.token).digest()
