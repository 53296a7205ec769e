"""Push notifications: the agent tells the gateway, the gateway tells the client.

Config keys: `a2a.*.push`. The URL that an agent gets contains, encrypted, whose task it is and where the client wants
to be told, so that the gateway keeps nothing. The client's URL must be https and lead to public addresses, unless its
host is one of `push.hosts`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from multidict import CIMultiDict
from yarl import URL

from gateway.agents.deliver import Deliveries
from gateway.call import Call, Json, Subject
from gateway.config.a2a import Push, RemoteAgent
from gateway.dialects import a2a, a2a_errors, a2a_push
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_push import Wanted
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.redaction.vault import Seal
from gateway.upstream.client import Client, Destination, Timeouts
from gateway.upstream.public import leads_outside

_KEPT: Final = 30 * 86400  # seconds that a URL of the gateway is valid
_LONGEST: Final = 8192
_PLACED: Final = 50  # placeholders in a URL; with more, none is restored before the answer of the message
_TIMEOUTS: Final = Timeouts(10, 5, 10)
_TYPES: Final = {"1.0": "application/a2a+json", "0.3": "application/json"}


class Told(NamedTuple):
    """What a URL of the gateway contains: version of the protocol, whose task it is, its workflow, the client.

    `task`: "" if the URL went with the message that made the task. `placed`: what that message had masked.
    """

    version: str
    subject: Subject
    workflow: str
    wanted: Wanted
    task: str
    placed: Mapping[str, str]


class Pushes:
    """The configurations of clients, for one configuration of the gateway. `public`: reaches public addresses alone."""

    def __init__(
        self, rows: Mapping[str, RemoteAgent], seal: Seal | None, direct: Client, public: Client, deliveries: Deliveries
    ) -> None:
        self._rows = rows
        self._seal = seal
        self._direct = direct
        self._public = public
        self._deliveries = deliveries

    def of(self, agent: str) -> Push | None:
        """The settings of an agent; None if it sends no notifications."""
        row = self._rows.get(agent)
        return row.push if row is not None and self._seal is not None else None

    async def place(self, call: Call, codec: A2a, params: Json) -> Json:
        """The parameters with the gateway's URL in place of the client's. Raises Refusal."""
        settings = self.of(codec.agent)
        if settings is None:
            raise Fault(a2a_errors.NO_PUSH, "This agent sends no push notifications through the gateway.")
        if codec.push is None:
            if codec.does == a2a_push.SET:
                raise Fault(PARAMS, "The configuration needs a `url`.")
            return params
        await self._check(settings, codec.push.url)
        copied: Json = orjson.loads(orjson.dumps(params))
        held = a2a_push.holder(copied, codec.does)
        assert held is not None, "what was taken out has a holder"
        held["url"] = self._url(call, codec, settings, codec.push)
        return copied

    def given(self, call: Call, codec: A2a, raw: bytes) -> bytes:
        """A response with the URLs of clients in place of the gateway's, and without configurations of others."""
        try:
            said = orjson.loads(raw)
            result = said["result"]
        except (ValueError, TypeError, LookupError):
            return raw
        holder = result if type(result) is dict else said
        listed = "configs" if type(result) is dict else "result"
        if type(holder.get(listed)) is list:
            holder[listed] = [one for one in holder[listed] if self._is_given(call, codec, one)]
        elif type(result) is dict and codec.does != a2a_push.LISTED and not self._is_given(call, codec, result):
            raise a2a.not_found()
        return orjson.dumps(said)

    def _is_given(self, call: Call, codec: A2a, one: object) -> bool:
        """Whether a configuration in a response is the caller's, which then has the caller's URL."""
        held = a2a_push.configuration(one)
        told = self.open(codec.agent, str(held.get("url", "")).rpartition("/")[2])
        if told is None or call.subject is None:
            return False
        if (told.subject.agent, told.subject.team) != (call.subject.agent, call.subject.team):
            return False
        for name in ("token", "authentication"):
            held.pop(name, None)
        held["url"] = told.wanted.url
        return True

    def open(self, agent: str, token: str) -> Told | None:
        """What a URL of the gateway contains; None for one that is not valid."""
        if self._seal is None or self.of(agent) is None or not 0 < len(token) <= _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            said = orjson.loads(self._seal.disclose(_context(agent), sealed))
        except (binascii.Error, InvalidTag, ValueError):
            return None
        version, until, who, team, roles, workflow, wanted, task, placed = said
        if until < time.time():
            return None
        return Told(version, Subject(who, team, tuple(roles)), workflow, Wanted(*wanted), task, placed)

    def deliver(self, agent: str, told: Told, body: bytes) -> bool:
        """Send a judged notification to the client, again and again until it is taken. False if there are too many."""
        settings, wanted = self.of(agent), told.wanted
        url = URL(wanted.url)
        known = settings is not None and _is_known(settings, url)
        headers = CIMultiDict({"Content-Type": _TYPES[told.version], "User-Agent": "meshgate"})
        if wanted.token:
            headers["X-A2A-Notification-Token"] = wanted.token
        if wanted.authorization:
            headers["Authorization"] = wanted.authorization
        client = self._direct if known else self._public
        owner = f"{told.subject.team}\0{told.subject.agent}"
        return self._deliveries.add(client, Destination(url, headers, _TIMEOUTS), body, owner)

    def _url(self, call: Call, codec: A2a, settings: Push, wanted: Wanted) -> str:
        assert self._seal is not None, "checked where the settings are"
        assert call.subject is not None, "the caller is identified first"
        subject = call.subject
        about = [codec.version, time.time() + _KEPT, subject.agent, subject.team, [*subject.roles]]
        placed = codec.placed if len(codec.placed) <= _PLACED else {}
        said = [*about, call.request.correlation_id, [*wanted], codec.continues(), {**placed}]
        sealed = self._seal.enclose(_context(codec.agent), orjson.dumps(said))
        token = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        return f"{settings.url.rstrip('/')}/a2a/{codec.agent}/notifications/{token}"

    async def _check(self, settings: Push, address: str) -> None:
        """Raise Refusal for a URL that the gateway does not call. What the name leads to is checked again later."""
        try:
            url = URL(address)
            host, port = url.host or "", url.port or 0
        except ValueError:
            host, port = "", 0
        if not host or not port or url.user or url.password or url.fragment:
            raise _refused()
        if _is_known(settings, url):
            return
        if url.scheme != "https":
            raise _refused()
        try:
            async with asyncio.timeout(_TIMEOUTS.connect):
                outside = await leads_outside(host, port)
        except TimeoutError:
            outside = False
        if not outside:
            raise _refused()


def _is_known(settings: Push, url: URL) -> bool:
    return url.scheme in ("http", "https") and any(fnmatchcase(url.host or "", pattern) for pattern in settings.hosts)


def _context(agent: str) -> str:
    return f"a2a push\0{agent}"


def _refused() -> Fault:
    words = "The `url` of push notifications must be https and lead to public addresses, without user or fragment."
    return Fault(PARAMS, words)
