"""The owners of what providers store: a later call may refer to it only if the caller's team got it.

Config key: `stored`. All teams share the provider's key, so the provider would answer anybody who knows an id. The id
of a stored response is recorded after its answer was judged, and before its end is sent: a blocked or broken answer has
no owner. A call that names another team's id, an expired or an unknown one, is refused alike (404, `invalid_request`),
before anything else is read of it. The call becomes a call of the workflow of the stored conversation, and goes to the
provider that stores it, without failover.

Fails closed: if the store does not answer, a call that names an id is refused. If an owner cannot be recorded, the paid
answer is delivered, and its id is unknown later.

Stored are keyed digests of the ids, by team, and records encrypted with the vault's key.
"""

from __future__ import annotations

import logging
import math
import time

import orjson
from cryptography.exceptions import InvalidTag

from gateway.amounts import NO_HISTORY
from gateway.call import Call, Resource, State, Stored, Target, ToolUse
from gateway.config.sections import Stored as Settings
from gateway.errors import Refusal
from gateway.ingress.request import named
from gateway.limits.loops import canonical
from gateway.redaction.stored import held
from gateway.redaction.vault import Seal
from gateway.stores import Owners as Store
from gateway.stores import StoreUnavailable

_PARAM = "previous_response_id"
_log = logging.getLogger("meshgate")


class Owners:
    """Part of the stage, built for one configuration. `settings`: None if no call may refer to stored state.

    `seal` is None without an encryption key.
    """

    def __init__(self, settings: Settings | None, store: Store, seal: Seal | None) -> None:
        self._ttl = math.ceil(settings.ttl) if settings is not None else 0
        self._store = store
        self._seal = seal if settings is not None else None

    async def find(self, call: Call) -> None:
        """Write `call.request.stored` for a call that continues a state of its team.

        Raises Refusal(invalid_request), StoreUnavailable.
        """
        id = call.codec.continues(call.request.body)
        if not id:
            return
        if self._seal is None:
            words = (
                f"`{_PARAM}` cannot be used: this gateway does not record the owners of stored responses (stored, "
                "pii.vault_key). Send all items of the conversation in `input`, with `store` false."
            )
            raise Refusal("invalid_request", words, param=_PARAM)
        stored = await self._owned(call, id)
        if stored is None:
            words = "There is no response with this id. Send all items of the conversation in `input`."
            detail = {"code": "previous_response_not_found"}
            raise Refusal("invalid_request", words, param=_PARAM, status=404, detail=detail)
        self._enter(call, stored)

    async def refer(self, call: Call, id: str) -> None:
        """Write `call.request` of a call about a state of its team, as a call of its model with its tools.

        Raises Refusal(invalid_request), StoreUnavailable.
        """
        stored = await self._owned(call, id)
        if stored is None:
            raise Refusal("invalid_request", "There is no response with this id.", param="response_id", status=404)
        self._enter(call, stored)
        tools = [{"type": "function", "name": name} for name in stored.tools]
        call.request.body = {"model": stored.model, "input": [], "tools": tools, "store": False}
        call.request.tools, call.request.ceiling = stored.tools, 1
        call.resource = Resource("llm", stored.model)

    async def forget(self, call: Call, id: str) -> None:
        """The provider has deleted a state of the team: delete its record. A failure of the store is only logged."""
        if self._seal is None:
            return
        try:
            await self._store.disown(call.team, self._name(self._seal, id))
        except StoreUnavailable as fault:
            _log.error("the owner of a deleted response could not be deleted: %s", fault)

    async def _owned(self, call: Call, id: str) -> Stored | None:
        """The record of an id of the caller's team; None if there is none. Raises StoreUnavailable."""
        if self._seal is None:
            return None
        name = self._name(self._seal, id)
        sealed = await self._store.owned(call.team, name)
        return _opened(self._seal, call.team, name, sealed) if sealed is not None else None

    def _enter(self, call: Call, stored: Stored) -> None:
        """Make the call one of the workflow of the stored state. Raises Refusal for another workflow of the caller."""
        request = call.request
        if named(call.headers) and request.correlation_id != stored.workflow:
            words = (
                "X-Correlation-Id names another workflow than that of the stored response. Leave the header out, or "
                "send the id of that workflow."
            )
            raise Refusal("invalid_request", words, param="X-Correlation-Id")
        if request.correlation_id != stored.workflow:
            request.correlation_id, request.given_id = stored.workflow, ""
        request.alone = False
        request.stored = stored
        # The id is the provider's own, and is known to be: it is no text to be searched.
        request.slots = [slot for slot in request.slots if slot.holder is not request.body or slot.key != _PARAM]

    async def keep(self, call: Call, state: State) -> None:
        """Record the owner of a state that the provider stores. A failure of the store is only logged."""
        if self._seal is None or _chosen(call, state.id):
            return
        name, usage = self._name(self._seal, state.id), call.outcome.usage
        history = call.admission.history or NO_HISTORY
        uses = [(use.id, use.tool, self._arguments(self._seal, use)) for use in state.uses]
        record = {
            "workflow": call.request.correlation_id,
            "agent": call.subject.agent if call.subject is not None else "",
            "model": call.resource.name,
            "tools": call.request.tools,
            "labels": history.labels,
            "called": history.tools,
            "target": (call.outcome.provider, call.outcome.model),
            "account": call.outcome.account,
            "at": int(time.time()),
            "tokens": usage.input + usage.output if usage is not None else call.request.input.bound,
            "masked": held(call, self._seal),
            "uses": uses,
        }
        sealed = self._seal.enclose(_context(call.team, name), orjson.dumps(record))
        try:
            await self._store.own(call.team, name, sealed, self._ttl)
        except StoreUnavailable as fault:
            _log.error("the owner of a stored response could not be recorded: %s", fault)

    def _name(self, seal: Seal, id: str) -> str:
        return seal.digest("response", id).hex()

    def _arguments(self, seal: Seal, use: ToolUse) -> str:
        """A digest: loop detection only compares arguments, and they may hold personal data."""
        return seal.digest("arguments", canonical(use.arguments)).hex()


def _chosen(call: Call, id: str) -> bool:
    """Whether the caller chose the id, by a field that some servers have: it may be that of another team's state."""
    said = [call.request.body.get(name) for name in call.request.fields]
    return any(type(value) is str and value and value in id for value in said)


def _opened(seal: Seal, team: str, name: str, sealed: bytes) -> Stored | None:
    """The record; None if it was encrypted with another key."""
    try:
        said = orjson.loads(seal.disclose(_context(team, name), sealed))
    except InvalidTag:
        return None
    uses = tuple(ToolUse(*use) for use in said["uses"])
    return Stored(
        workflow=said["workflow"],
        agent=said["agent"],
        model=said["model"],
        target=Target(*said["target"]),
        at=said["at"],
        tokens=said["tokens"],
        tools=tuple(said["tools"]),
        labels=tuple(said["labels"]),
        called=tuple(said["called"]),
        masked=said["masked"],
        uses=uses,
        account=said.get("account", ""),  # records of earlier versions have none
    )


def _context(team: str, name: str) -> str:
    return f"owned\0{team}\0{name}"
