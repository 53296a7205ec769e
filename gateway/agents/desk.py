"""Where messages to other agents are answered: checks whose tasks they are about, and sends them.

Config key: `a2a`. Refuses with tool_not_found, invalid_request, upstream_error and upstream_timeout. Tasks and contexts
belong to the agent (with its team) whose message made them; for anybody else they do not exist.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

import orjson

from gateway.agents import card
from gateway.agents.deliver import Sent
from gateway.agents.listing import own_tasks
from gateway.agents.push import Pushes, Told
from gateway.agents.remote import Remote, Remotes, is_stream
from gateway.agents.signed import Signer
from gateway.agents.sober import SoberCards
from gateway.call import Call, Json
from gateway.config.a2a import RemoteAgent
from gateway.dialects import a2a, a2a_errors, items
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_notice import Notice
from gateway.dialects.a2a_push import DELETE, PUSHES
from gateway.dialects.a2a_tables import CARD, LIST, SENDS
from gateway.dialects.jsonrpc import Fault
from gateway.errors import Refusal
from gateway.policy.visible import Visible
from gateway.redaction.redact import Replacer
from gateway.redaction.values import Values
from gateway.redaction.vault import Seal
from gateway.stores import Owners
from gateway.tools.wire import Relay
from gateway.upstream.answer import Answer

_KEPT: Final = 30 * 86400  # seconds that the owner of a task is known
_ALL: Final = ""  # contexts are recorded for all teams: two callers may name the same
LATE: Final = 600  # seconds in which an agent may tell of the end of a task that its client has seen
_LONG: Final = 16  # characters of the id of a context that a caller makes up


class AgentDesk:
    """The stage, built for one configuration. `seal`: None without a key; then no task can be continued."""

    def __init__(
        self,
        rows: Mapping[str, RemoteAgent],
        remotes: Remotes,
        owners: Owners,
        seal: Seal | None,
        visible: Visible,
        replacer: Replacer | None,
        pushes: Pushes,
        sober: SoberCards,
        signer: Signer | None = None,
    ) -> None:
        self._sober = sober
        self._values = Values(owners, seal, replacer) if seal is not None else None
        self._signer = signer
        self._pushes = pushes
        self._visible = visible
        self._rows = rows
        self._remotes = remotes
        self._owners = owners
        self._seal = seal

    def serves(self, agent: str) -> bool:
        """Whether there is an agent of this name."""
        return agent in self._rows

    async def shows(self, call: Call) -> bool:
        """Whether the caller of an identified call may send messages to its agent."""
        return self.serves(call.resource.name) and await self._visible.may(call, call.resource.name)

    def remote(self, agent: str) -> Remote:
        """An agent that is served."""
        return self._remotes.of(agent, self._rows[agent])

    async def find(self, call: Call) -> None:
        """Check that tasks and context are the caller's; writes `call.request.label`. Raises Refusal."""
        codec = _codec(call)
        call.request.label = codec.agent
        for id in codec.tasks:
            if not await self._owns(call, id):
                raise a2a.not_found()
        if codec.context and not await self._is_open(call, codec):
            raise a2a.not_found()
        if self._values is not None and (id := codec.continues()):
            codec.masked = await self._values.of(call, self._name(call, "task", id))

    async def open(self, call: Call, relay: Relay | None = None) -> Answer:
        """Send a message; writes `call.outcome`. Raises Refusal."""
        del relay  # nothing is told before the answer
        codec, outcome = _codec(call), call.outcome
        remote = self.remote(codec.agent)
        at = await self._interface(remote, codec.version)
        body = call.request.body  # redacted, also the id
        message: Json = {"jsonrpc": "2.0", "id": body["id"], "method": codec.method}
        message["params"] = body["params"]
        if codec.names_context:
            await self._take(call, codec)
        if codec.does == CARD:
            return Answer.complete(await self._extended(call, codec, remote, message))
        if self._values is not None:
            codec.placed = self._values.placed(call)
            await self._values.restore(call, codec.masked)
        if codec.does in PUSHES or codec.push is not None:
            message["params"] = await self._pushes.place(call, codec, message["params"])
        outcome.provider, outcome.model, outcome.tries, outcome.sent = codec.agent, "", 1, True
        if codec.streams:
            response = await remote.begin(codec.version, at, message)
            outcome.status = 200
            if is_stream(response):
                return Answer(True, b"", remote.events(response, at, message), response)
            raw = await remote.whole(response, at, message, call.ticket.hold)
        elif codec.does == LIST:
            raw = await own_tasks(
                message["params"],
                lambda params: remote.ask(codec.version, at, {**message, "params": params}, call.ticket.hold),
                lambda id: self._owns(call, id),
            )
            outcome.status = 200
        else:
            raw = await remote.ask(codec.version, at, message, call.ticket.hold)
            outcome.status = 200
        raw = codec.named(raw, body["id"])
        await self._own(call, codec, raw)
        if codec.does in PUSHES and codec.does != DELETE:
            raw = self._pushes.given(call, codec, raw)
        return Answer.complete(raw)

    async def _interface(self, remote: Remote, version: str) -> card.Interface:
        """Where an agent is called. Raises Refusal."""
        found = (await remote.interfaces()).get(version)
        if found is None:
            offered = ", ".join(card.offered(await remote.card())) or "none of A2A"
            words = f"The gateway calls agents in version {version} over JSON-RPC{' or HTTP+JSON' * (version == '1.0')}"
            words += f", on the host of their `url`. The interfaces of {remote.name} are: {offered}."
            raise Fault(a2a_errors.NO_VERSION, words)
        return found

    async def card(self, agent: str, url: str, readers: Collection[str]) -> tuple[Json, int]:
        """The card of an agent, as the gateway serves it at `url`, and for how many seconds it is good. Raises Refusal.

        `readers`: the versions of the protocol whose clients read the card.
        """
        remote = self.remote(agent)
        pushes = self._pushes.of(agent) is not None
        read = await self._sober.of(agent, await remote.card())
        made = card.shown(read, await remote.interfaces(), url, pushes=pushes, readers=readers)
        return made, int(remote.row.refresh)

    def signed(self, made: Json) -> Json:
        """A card with the signature of the gateway; unchanged without a key."""
        return self._signer.sign(made) if self._signer is not None else made

    def told(self, agent: str, token: str) -> Told | None:
        """What the URL of a push notification contains; None for one that is not valid."""
        return self._pushes.open(agent, token)

    async def notified(self, call: Call, told: Told) -> None:
        """Check that a push notification is about the task that it is for, and restore values. Raises Refusal.

        The agent may tell of a new task before it answers the message that made the task.
        """
        codec = call.codec
        assert isinstance(codec, Notice), "notifications have a codec of their own"
        if not codec.task or told.task not in ("", codec.task) or await self._is_over(call, codec.task, told):
            raise a2a.not_found()
        if not told.task:
            await self.claim(call, codec.task, "")
        elif not await self._owns(call, codec.task):
            raise a2a.not_found()
        if self._values is not None:
            masked = await self._values.of(call, self._name(call, "task", codec.task))
            await self._values.restore(call, masked or {told.workflow: told.placed})

    async def deliver(self, call: Call, told: Told, body: bytes) -> bool:
        """Have a judged notification sent to its client. False if too many wait. Raises StoreUnavailable.

        The last one of a task ends the URL.
        """
        codec = _codec(call)
        if not await self._pushes.deliver(codec.agent, told, body):
            return False
        if codec.over:
            await self._owners.own(call.team, told.name, b"over", _KEPT)
        return True

    async def send(self, record: bytes) -> Sent:
        """Send a notification that waited to its client."""
        return await self._pushes.send(record)

    async def end(self, call: Call, task: str) -> None:
        """Note that a task has ended, so that notifications of the task end in a while."""
        if self._seal is not None and self._pushes.of(_codec(call).agent) is not None:
            until = str(time.time() + LATE).encode()
            await self._owners.own(call.team, self._name(call, "ended", task), until, _KEPT)

    async def _is_over(self, call: Call, task: str, told: Told) -> bool:
        """Whether the task of a notification ended before: by what this URL told, or a while ago."""
        if await self._owners.owned(call.team, told.name) is not None:
            return True
        ended = await self._owners.owned(call.team, self._name(call, "ended", task))
        return ended is not None and float(ended) < time.time()

    async def _extended(self, call: Call, codec: A2a, remote: Remote, message: Json) -> bytes:
        """The response with the card for callers that the agent knows. Raises Refusal."""
        at, interfaces = await self._interface(remote, codec.version), await remote.interfaces()
        if call.subject is None or not await self.shows(call):
            raise unknown_agent()
        if not card.is_extended(await remote.card()):
            raise Fault(a2a_errors.NO_EXTENDED_CARD, "The agent has no extended card.")
        raw = await remote.ask(codec.version, at, message, call.ticket.hold)
        try:
            said = orjson.loads(raw)
            codec.check(said, 1)
            result = said.get("result")
        except (ValueError, AttributeError):
            return raw  # the codec refuses this
        if type(result) is not dict or items.is_deep(raw):
            return raw
        pushes = self._pushes.of(codec.agent) is not None
        read = await self._sober.read(remote.trusted(result))
        made = card.shown(read, interfaces, codec.url, pushes=pushes, readers=codec.readers)
        made = card.chosen(made, remote.row.skills, call.subject.roles)
        return orjson.dumps({"jsonrpc": "2.0", "id": codec.id, "result": self.signed(made)})

    async def claim(self, call: Call, task: str, context: str) -> None:
        """Record that a task and a context of an answer are the caller's; "" for none."""
        if self._seal is None:
            return
        if task:
            await self._owners.own(call.team, self._name(call, "task", task), b"a2a", _KEPT)
        if context:
            await self._owners.own(_ALL, self._context(call, context), self._owner(call), _KEPT)
        codec = _codec(call)
        if task and self._values is not None and codec.placed:
            await self._values.keep(call, self._name(call, "task", task), codec.masked, codec.placed, _KEPT)

    async def _own(self, call: Call, codec: A2a, raw: bytes) -> None:
        """Record whose the task and the context of an answer are. An answer that is wrong is refused later."""
        try:
            said = orjson.loads(raw)
            task, context = codec.made(said) if type(said) is dict else ("", "")
        except ValueError:
            return
        call.outcome.failed = codec.failed
        await self.claim(call, task, context)
        if task and codec.over:
            await self.end(call, task)

    async def _owns(self, call: Call, task: str) -> bool:
        """Whether a task is the caller's."""
        return (
            self._seal is not None and await self._owners.owned(call.team, self._name(call, "task", task)) is not None
        )

    async def _is_open(self, call: Call, codec: A2a) -> bool:
        """Whether the caller may name the context of its request.

        A new message may name a new context (1.0, section 3.4.1), by an id that nobody guesses: the agent may know the
        context from elsewhere.
        """
        if self._seal is None:
            return False
        owner = await self._owners.owned(_ALL, self._context(call, codec.context))
        if owner is not None:
            return owner == self._owner(call)
        codec.names_context = codec.does in SENDS and not codec.continues() and len(codec.context) >= _LONG
        return codec.names_context or codec.does == LIST  # of which the caller gets its own tasks

    async def _take(self, call: Call, codec: A2a) -> None:
        """Make the context that a message names its sender's. Raises Refusal if somebody else took the context."""
        name, mine = self._context(call, codec.context), self._owner(call)
        await self._owners.own(_ALL, name, mine, _KEPT)
        if await self._owners.owned(_ALL, name) != mine:
            raise a2a.not_found()

    def _context(self, call: Call, id: str) -> str:
        assert self._seal is not None, "names are made where owners are kept"
        return self._seal.digest("a2a context", f"{_codec(call).agent}\0{id}").hex()

    def _owner(self, call: Call) -> bytes:
        """The record of a context: whose it is."""
        assert self._seal is not None, "names are made where owners are kept"
        assert call.subject is not None, "tasks come after identify"
        return self._seal.digest("a2a owner", f"{call.team}\0{call.subject.agent}")

    def _name(self, call: Call, kind: str, id: str) -> str:
        assert self._seal is not None, "names are made where owners are kept"
        assert call.subject is not None, "tasks come after identify"
        return self._seal.digest(f"a2a {kind}", f"{_codec(call).agent}\0{call.subject.agent}\0{id}").hex()


def _codec(call: Call) -> A2a:
    codec = call.codec
    assert isinstance(codec, A2a), "calls of agents have the codec of their protocol"
    return codec


def unknown_agent() -> Refusal:
    """The refusal for an agent that does not exist."""
    return Refusal("tool_not_found", "There is no agent of this name in `a2a`.")
