"""Push notifications: the agent tells the gateway, the gateway tells the client.

Config keys: `a2a.*.push`. The URL that an agent gets contains, encrypted, whose task it is and where the client wants
to be told, so that the gateway keeps nothing but what waits to be delivered, which is encrypted, too. The URL is served
as long as the key with which it was made. The client's URL must be https and lead to public addresses, unless its host
is one of `push.hosts`.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Protocol

import orjson
from cryptography.exceptions import InvalidTag
from multidict import CIMultiDict
from yarl import URL

from gateway.agents.deliver import Deliveries, Sent
from gateway.call import Call, Json, Subject
from gateway.config.a2a import Push, RemoteAgent
from gateway.dialects import a2a, a2a_errors, a2a_push
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_push import Wanted
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.ids import base64url, from_base64url
from gateway.redaction.vault import Seal
from gateway.upstream.client import Client, Destination, Timeouts
from gateway.upstream.public import leads_outside

_KEPT: Final = 30 * 86400  # seconds that a URL of the gateway is valid
_LONGEST: Final = 8192
_PLACED: Final = 50  # placeholders in a URL; with more, none is restored before the answer of the message
_TIMEOUTS: Final = Timeouts(10, 5, 10)
_BUSY: Final = frozenset({408, 429})
_WAITING: Final = "a2a notice that waits"
_TYPES: Final = {"1.0": "application/a2a+json", "0.3": "application/json"}


class Told(NamedTuple):
    """What a URL of the gateway contains: version of the protocol, whose task it is, its workflow, the client.

    `task`: "" if the URL went with the message that made the task. `placed`: what that message had masked. `source`:
    the key of the subject, see `Identity.living`. `until`: Unix seconds. `name`: a digest of the URL.
    """

    version: str
    subject: Subject
    workflow: str
    wanted: Wanted
    task: str
    placed: Mapping[str, str]
    source: str
    until: float
    name: str


class Keys(Protocol):
    """Which credentials are valid: see `identity.Identity`."""

    def source(self, token: bytes) -> str:
        """The gateway key that a credential goes back to; "" for a JWT."""
        ...

    def living(self, source: str, subject: Subject) -> Subject | None:
        """The subject as it is now; None if its key is gone."""
        ...


class Pushes:
    """The configurations of clients, for one configuration of the gateway. `public`: reaches public addresses alone."""

    def __init__(
        self,
        rows: Mapping[str, RemoteAgent],
        seal: Seal | None,
        direct: Client,
        public: Client,
        deliveries: Deliveries,
        keys: Keys,
    ) -> None:
        self._rows = rows
        self._seal = seal
        self._direct = direct
        self._public = public
        self._deliveries = deliveries
        self._keys = keys

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
            sealed = from_base64url(token)
            said = orjson.loads(self._seal.disclose(_context(agent), sealed))
            version, until, source, who, team, roles, workflow, wanted, task, placed = said
        except (InvalidTag, ValueError):
            return None
        if base64url(sealed) != token:  # decoding ignores what is no base64: the URL would have further names
            return None
        subject = self._keys.living(source, Subject(who, team, tuple(roles)))
        if until < time.time() or subject is None:
            return None
        name = self._seal.digest("a2a notice", token).hex()
        return Told(version, subject, workflow, Wanted(*wanted), task, placed, source, until, name)

    async def deliver(self, agent: str, told: Told, body: bytes) -> bool:
        """Have a judged notification sent to the client. False if too many wait. Raises StoreUnavailable."""
        assert self._seal is not None, "checked where the URL is opened"
        subject, wanted = told.subject, told.wanted
        owner = self._seal.digest("a2a notices of", f"{subject.team}\0{subject.agent}").hex()
        queue = self._seal.digest("a2a notices to", f"{owner}\0{wanted.url}").hex()
        about = [agent, told.version, told.source, told.until, subject.agent, subject.team, [*wanted]]
        record = self._seal.enclose(_WAITING, orjson.dumps([*about, base64.b64encode(body).decode()]))
        return await self._deliveries.add(queue, owner, record)

    async def send(self, record: bytes) -> Sent:
        """Send a notification that waited to its client, once."""
        try:
            if self._seal is None:
                raise ValueError("there is no key")
            said = orjson.loads(self._seal.disclose(_WAITING, record))
            agent, version, source, until, who, team, held, body = said
        except (InvalidTag, ValueError):
            return Sent("refused")
        wanted, settings = Wanted(*held), self.of(agent)
        url = URL(wanted.url)
        host = url.host or ""
        if settings is None or until < time.time() or self._keys.living(source, Subject(who, team)) is None:
            return Sent("refused", host)
        known = _is_known(settings, url)
        if not known and url.scheme != "https":  # the operator has taken the host out of `push.hosts` meanwhile
            return Sent("refused", host)
        headers = CIMultiDict({"Content-Type": _TYPES[version], "User-Agent": "meshgate"})
        if wanted.token:
            headers["X-A2A-Notification-Token"] = wanted.token
        if wanted.authorization:
            headers["Authorization"] = wanted.authorization
        client = self._direct if known else self._public
        try:
            async with asyncio.timeout(_TIMEOUTS.total):
                response = await client.post(Destination(url, headers, _TIMEOUTS), base64.b64decode(body))
        except OSError:  # also TimeoutError
            return Sent("failed", host)
        status = response.status
        response.close()
        if status >= 500 or status in _BUSY:
            return Sent("failed", host)
        return Sent("delivered" if status < 300 else "refused", host)

    def _url(self, call: Call, codec: A2a, settings: Push, wanted: Wanted) -> str:
        assert self._seal is not None, "checked where the settings are"
        assert call.subject is not None, "the caller is identified first"
        assert call.key is not None, "the caller is identified first"
        subject = call.subject
        until = time.time() + _KEPT
        if subject.delegation is not None:
            until = min(until, subject.delegation.expires)
        about = [codec.version, until, self._keys.source(call.key), subject.agent, subject.team, [*subject.roles]]
        placed = codec.placed if len(codec.placed) <= _PLACED else {}
        said = [*about, call.request.correlation_id, [*wanted], codec.continues(), {**placed}]
        sealed = self._seal.enclose(_context(codec.agent), orjson.dumps(said))
        return f"{settings.url.rstrip('/')}/a2a/{codec.agent}/notifications/{base64url(sealed)}"

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
