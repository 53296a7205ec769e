"""The owners of what providers store: a later call may refer to it only if the caller's team got it.

Config key: `stored`. States are responses, conversations, their items, files, batches, and more. All teams share the
provider's key, so the provider would answer anybody who knows an id. An id is recorded after its answer was judged, and
before its end is sent: a blocked or broken answer has no owner. A call that names another team's id, an expired or an
unknown one, is refused alike (404, `invalid_request`), before anything else is read of it. The call becomes a call of
the workflow of the stored state, and goes to the provider that stores it, without failover.

Fails closed: if the store does not answer, a call that names an id is refused. If an owner cannot be recorded, the paid
answer is delivered, and its id is unknown later.

Stored are keyed digests of the ids, by team, and records encrypted with the vault's key.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from hashlib import blake2b
from typing import Protocol

import orjson
from cryptography.exceptions import InvalidTag

from gateway.amounts import NO_HISTORY
from gateway.call import Call, Held, Json, Named, Resource, State, Stored, Target, ToolUse
from gateway.config.sections import Stored as Settings
from gateway.dialects.cited import MADE_ELSEWHERE, cited, recorded
from gateway.dialects.hosted_runs import CONTAINER, has_containers, used_before
from gateway.errors import Refusal
from gateway.ingress.dues import Dues, read, written
from gateway.ingress.lists import Lists
from gateway.ingress.request import named
from gateway.ingress.uploads import Uploads
from gateway.limits.loops import canonical
from gateway.redaction import openings
from gateway.redaction.separate import rename
from gateway.redaction.stored import held
from gateway.redaction.vault import Seal
from gateway.scheduling.judging import OFF_LOOP
from gateway.scheduling.lanes import apart, to_its_end
from gateway.stores import Dues as DueStore
from gateway.stores import Owners as OwnerStore
from gateway.stores import StoreUnavailable


class Store(OwnerStore, DueStore, Protocol):
    """What a store keeps of stored states."""


_log = logging.getLogger("meshgate")
_INSTEAD = {
    "response": "Send all items of the conversation in `input`, with `store` false.",
    "conversation": "Send all items of the conversation in `input`, with `store` false.",
    "interaction": "Send all steps of the conversation in `input`, with `store` false.",
    "item": "Send the items themselves, with `store` false and reasoning as `encrypted_content`.",
}
_SESSION = 20 * 60  # seconds for which a container lives without use
_SINCE = "Send all items of the conversation in `input`."
_MADE = {"response": "/v1/responses/{id}", "interaction": "/v1beta/interactions/{id}"}
_ELSEWHERE = "What was made elsewhere, the operator can share with all teams: stored.shared."
_DEAD = 3600.0  # seconds after which a call that claimed an answer, and has not charged it, counts as lost
_MOST = 512  # files and other states that one request may name
_MOST_RECALLED = 4096
_HOLDS = {"batch": "file"}  # what the states of an answer are
_SHARED_BY_WORKFLOWS = frozenset({"vector_store"})
"""Kinds of states that calls of any workflow are about; the others are of one workflow."""
_DETAIL = {"previous_response_id": {"code": "previous_response_not_found"}}


class Owners:
    """Part of the stage, built for one configuration. `settings`: None if no call may refer to stored state.

    `seal` is None without an encryption key.
    """

    def __init__(self, settings: Settings | None, store: Store, seal: Seal | None) -> None:
        self._shared = settings.shared if settings is not None else ()
        self._ttl = math.ceil(settings.ttl) if settings is not None else 0
        self._store = store
        self._seal = seal if settings is not None else None
        self._values = seal
        self.dues = Dues(settings, store, seal)
        self.lists = Lists(self._several, self._seal)
        self.uploads = Uploads(self._seal)

    async def find(self, call: Call) -> None:
        """Write `call.request.stored` for a call that names states of its team.

        Raises Refusal(invalid_request), StoreUnavailable.
        """
        # A conversation with a known opening names no state, or it would have been read in full (`resume`).
        names = call.codec.refers(call.request.body) if call.request.reading is None else ()
        raw, recalls, reading = call.request.raw, call.codec.recalls, openings.of(call)
        known = reading.opening if reading is not None else None
        new = raw[known.end :] if known is not None else raw
        about = call.request.stored if call.reference is not None or call.codec.bare else None
        await self._find_cited(call, raw if known is not None and known.cites else new, about)
        if recalls and openings.may_cite(new, (recalls,)):
            await self._rename(call)
        beside = call.request.stored
        if not names:
            if self._seal is None and call.codec.defers(call.request.body):
                raise _unrecorded("background", "Leave it out, and wait for the answer.")
            return
        if self._seal is None:
            raise _unrecorded(names[0].param, _INSTEAD.get(names[0].kind, ""))
        found = [await self._named(call, one) for one in names]
        if beside is not None:
            _joined([replace(beside, workflow=found[0].workflow), *found])
        self._enter(call, _joined(found))
        if call.codec.inherits:
            call.resource = Resource("llm", found[0].model)
        ids = {one.id for one in names}  # the provider's own, and known to be: no texts to be searched
        call.request.slots = [slot for slot in call.request.slots if slot.text not in ids]

    async def _find_cited(self, call: Call, raw: bytes, about: Stored | None) -> None:
        """Check that what a request names is of the team: files, containers, vector stores.

        `raw`: the bytes of the request in which names may stand. The states are of no workflow: any call of the team
        may use them, where they are. `about`: the state that the path names, which must be at the same place. Raises
        Refusal(invalid_request), StoreUnavailable.
        """
        request = call.request
        marked = request.unscannable or request.fields or request.form or "audio" in request.body  # a voice, in chats
        if not (marked or openings.may_cite(raw, call.codec.cites)):
            return
        size, read = len(request.raw), partial(_cited, request.body)
        every = read() if size <= OFF_LOOP else await apart(call, size >> 10, read)
        named = [one for one in every if not self._is_shared(one.id)]
        if not named:
            return
        if len(named) > _MOST:
            words = f"The request names {len(named)} files or other states; {_MOST} are allowed."
            raise Refusal("request_too_large", words, param=named[0].param)
        found = await asyncio.gather(*(self._named(call, one) for one in named))
        found = [about, *found] if about is not None else found
        if len({(one.target.provider, one.account) for one in found}) > 1:
            words = (
                "The request names files or other states of several providers or accounts. Upload them where they are "
                "to be read."
            )
            raise Refusal("invalid_request", words, param=named[0].param)
        if about is not None:
            return
        agent, first = call.subject.agent if call.subject is not None else "", found[0]
        place = (first.target, first.at)
        request.stored = Stored(request.correlation_id, agent, call.resource.name, *place, account=first.account)

    async def _rename(self, call: Call) -> None:
        """Give reasoning with the id of another team's, or with an unknown id, an id that no provider knows.

        The words stay: they may come from an answer that was not stored, or from another provider. What follows a known
        opening is looked at; the opening was, when it was read. Raises Refusal(request_too_large), StoreUnavailable.
        """
        request, reading = call.request, openings.of(call)
        start = reading.opening.number if reading is not None and reading.opening is not None else 0
        done = {*request.renamed.values()} if request.renamed else ()  # the body may have been read again
        items = [item for item in call.codec.recalled(request.body, start) if item["id"] not in done]
        ids = list(dict.fromkeys(item["id"] for item in items))
        if len(ids) > _MOST_RECALLED:
            words = f"The request has {len(ids)} items of reasoning with an id; {_MOST_RECALLED} are allowed."
            raise Refusal("request_too_large", words, param="input")
        found = zip(ids, await self._several(call.team, "item", ids), strict=True) if ids else ()
        known = {id for id, stored in found if stored is not None}
        if unknown := [id for id in ids if id not in known]:
            request.renamed = {**(request.renamed or {}), **{id: _nobodys(id) for id in unknown}}
            request.edited = True
            rename(items, request.renamed)

    def _is_shared(self, id: str) -> bool:
        """Whether the operator lets all teams name an id."""
        return any(fnmatchcase(id, one) for one in self._shared)

    async def _named(self, call: Call, one: Named) -> Stored:
        """The record of a state that a request names. Raises Refusal(invalid_request), StoreUnavailable."""
        stored = await self._owned(call, *recorded(one))
        if stored is None:
            after = _SINCE if one.kind in _INSTEAD else _ELSEWHERE if one.kind in MADE_ELSEWHERE else ""
            words = f"There is no {one.kind.replace('_', ' ')} with this id. {after}".strip()
            raise Refusal("invalid_request", words, param=one.param, status=404, detail=_DETAIL.get(one.param, {}))
        if stored.due and one.kind in _MADE:
            if (ended := await self._owned(call, f"ended {one.kind}", one.id)) is not None:
                return ended
            words = (
                f"The {one.kind} is made in the background, and nobody has retrieved its end. GET {_MADE[one.kind]} "
            )
            raise Refusal("invalid_request", f"{words}until its status is `completed`, then continue.", param=one.param)
        return stored

    async def refer(self, call: Call, id: str) -> None:
        """Write `call.request` of a call about a state of its team, as a call of its model with its tools.

        Raises Refusal(invalid_request), StoreUnavailable.
        """
        if call.reference is not None and call.reference.page is not None:
            await self.lists.begin(call, call.reference, call.reference.page)
            return
        kind = call.codec.stores
        noun = kind.replace("_", " ")
        stored = await self._owned(call, kind, id)
        if stored is None:
            words = f"There is no {noun} with this id."
            raise Refusal("invalid_request", words, param=f"{kind}_id", status=404)
        if stored.due and await self._owned(call, f"ended {kind}", id) is not None:
            stored = replace(stored, due=False)
        if stored.due and call.reference is not None and call.reference.method == "DELETE" and not call.reference.below:
            words = f"The {noun} is made in the background, and nobody has retrieved its end. Retrieve that first."
            raise Refusal("invalid_request", words, param=f"{kind}_id")
        if kind in _SHARED_BY_WORKFLOWS:
            call.request.stored = replace(stored, workflow=call.request.correlation_id, masked={})
        else:
            self._enter(call, stored)
        call.resource = Resource("llm", stored.model)
        if call.reference is not None and call.reference.reads:
            return
        tools = [{"type": "function", "name": name} for name in stored.tools]
        call.request.body = {"model": stored.model, "input": [], "tools": tools, "store": False}
        call.request.tools, call.request.ceiling = stored.tools, 1

    async def forget(self, call: Call, id: str) -> None:
        """The provider has deleted a state of the team: delete its record. A failure of the store is only logged."""
        if self._seal is None:
            return
        try:
            await self._store.disown(call.team, self._name(self._seal, call.codec.stores, id))
        except StoreUnavailable as fault:
            _log.error("the owner of a deleted %s could not be deleted: %s", call.codec.stores, fault)

    async def claim(self, call: Call, id: str, state: State | None) -> bool:
        """Whether this call is the first to see the end of an answer that was made in the background.

        That call is charged for the answer. Once a caller has seen its end, which was judged, it can be continued.
        Raises StoreUnavailable.
        """
        stored, kind, seal = call.request.stored, call.codec.stores, self._seal
        if seal is None or stored is None or not stored.due:
            return False
        record = self._record(call, seal, state or State(id, ())) | {"target": tuple(stored.target)}
        await self._own(seal, call.team, f"ended {kind}", id, record)
        return await self.charge(call, kind, id)

    async def charge(self, call: Call, kind: str, id: str) -> bool:
        """Whether this call is the one that is charged for an answer in the background. Raises StoreUnavailable."""
        seal = self._seal
        return seal is not None and (await self._claim(seal, call, kind, id))["claim"] == call.id

    async def take_over(self, call: Call, kind: str, id: str) -> bool:
        """The same of a look, which goes on as the call that has claimed the answer if its gateway has died.

        Writes `call.id`: what the dead call has charged, claimed and recorded under its id is so once. A call that has
        not charged its answer in a while (`charged`) is dead. Raises StoreUnavailable.
        """
        seal = self._seal
        if seal is None:
            return False
        said = await self._claim(seal, call, kind, id)
        if time.time() - said["at"] > _DEAD and not await self.is_charged(call, kind, id):
            call.id = said["claim"]
        return bool(said["claim"] == call.id)

    async def _claim(self, seal: Seal, call: Call, kind: str, id: str) -> Json:
        """The claim of an answer: that of this call if there was none."""
        name = self._name(seal, f"charged {kind}", id)
        await self._store.own(
            call.team, name, self._sealed(seal, call.team, name, {"claim": call.id, "at": time.time()}), self._ttl
        )
        return {"claim": "", "at": math.inf} | await self._claimed(seal, call.team, name)

    async def _claimed(self, seal: Seal, team: str, name: str) -> Json:
        sealed = await self._store.owned(team, name)
        return {} if sealed is None else _said(seal, team, name, sealed)

    async def is_charged(self, call: Call, kind: str, id: str) -> bool:
        """Whether an answer in the background was charged. Raises StoreUnavailable."""
        seal = self._seal
        return seal is None or await self._store.owned(call.team, self._name(seal, f"settled {kind}", id)) is not None

    async def charged(self, call: Call) -> None:
        """The answer that a call has claimed was charged. A failure of the store is only logged."""
        seal, about, kind = self._seal, call.reference, call.codec.stores
        if seal is None or about is None:
            return
        try:
            await self._own(seal, call.team, f"settled {kind}", about.id, {"claim": call.id})
            await self.dues.end(call.team, kind, about.id)
        except StoreUnavailable as fault:
            _log.error("it could not be recorded that a %s in the background was charged: %s", kind, fault)

    async def _owned(self, call: Call, kind: str, id: str) -> Stored | None:
        """The record of an id of the caller's team; None if there is none. Raises StoreUnavailable."""
        if self._seal is None:
            return None
        name = self._name(self._seal, kind, id)
        sealed = await self._store.owned(call.team, name)
        return _opened(self._seal, call.team, name, sealed) if sealed is not None else None

    async def _several(self, team: str, kind: str, ids: Sequence[str]) -> list[Stored | None]:
        """The record of each id of a team, read in one query. Raises StoreUnavailable."""
        seal = self._seal
        if seal is None:
            return [None] * len(ids)
        names = [self._name(seal, kind, id) for id in ids]
        records = await self._store.owned_of(team, names)
        pairs = zip(names, records, strict=True)
        return [_opened(seal, team, name, sealed) if sealed is not None else None for name, sealed in pairs]

    def _enter(self, call: Call, stored: Stored) -> None:
        """Make the call one of the workflow of the stored state. Raises Refusal for another workflow of the caller."""
        request = call.request
        if named(call.headers) and request.correlation_id != stored.workflow:
            words = (
                "X-Correlation-Id names another workflow than that of the stored state. Leave the header out, or "
                "send the id of that workflow."
            )
            raise Refusal("invalid_request", words, param="X-Correlation-Id")
        if request.correlation_id != stored.workflow:
            request.correlation_id, request.given_id = stored.workflow, ""
        request.alone = False
        request.stored = stored

    async def keep(self, call: Call, state: State) -> None:
        """Record the owner of a state that the provider stores. A failure of the store is only logged."""
        seal, kind = self._seal, call.codec.stores
        if seal is None or _chosen(call, state.id):
            return
        record = self._record(call, seal, state)
        if call.outcome.pending:
            record["held"] = written(await _held(call))
        names = [(kind, state.id), *((_HOLDS.get(kind, "item"), id) for id in state.items if not _chosen(call, id))]
        try:
            await asyncio.gather(*(self._own(seal, call.team, *name, record) for name in names))
            if call.outcome.pending:
                await self.dues.add(call.team, kind, state.id, record)
            for one in call.codec.refers(call.request.body):
                if one.kind == "conversation":
                    await self._replace(call, seal, one.kind, one.id, record)
        except StoreUnavailable as fault:
            _log.error("the owner of a stored %s could not be recorded: %s", kind, fault)

    def after(self, call: Call, state: State | None) -> Stored:
        """The conversation on a connection after a call, which the next call on the connection continues."""
        return stored_of(self._record(call, self._values, state or State("", ())))

    async def keep_made(self, call: Call, made: Sequence[tuple[str, str]]) -> None:
        """Record the containers and files that a provider made for an answer. A failure of the store is only logged."""
        seal = self._seal
        if seal is None:
            return
        record = self._record(call, seal, State("", ())) | {"due": False}
        try:
            names = [(kind, id) for kind, id in made if not _chosen(call, id)]
            await asyncio.gather(*(self._own(seal, call.team, *name, record) for name in names))
        except StoreUnavailable as fault:
            _log.error("the owner of a %s could not be recorded: %s", made[0][0], fault)

    async def open_sessions(self, call: Call) -> None:
        """Charge each container in which the code of an answer ran once in the time for which it lives without use.

        Writes `call.outcome.usage`. If the store fails, the containers are charged.
        """
        seal, outcome = self._seal, call.outcome
        containers = [id for kind, id in outcome.made if kind == CONTAINER]
        if seal is None or outcome.usage is None or not containers or not has_containers(outcome.usage.runs):
            return
        try:
            new = await asyncio.gather(*(self._claims(call, seal, "session", id, _SESSION) for id in containers))
        except StoreUnavailable as fault:
            _log.error("the session of a container could not be recorded: %s", fault)
            return
        outcome.usage = replace(outcome.usage, runs=used_before(outcome.usage.runs, new.count(False)))

    async def _claims(self, call: Call, seal: Seal, of: str, id: str, ttl: int) -> bool:
        """Whether this call is the first of its team in `ttl` seconds to claim an id. Raises StoreUnavailable."""
        name = self._name(seal, of, id)
        await self._store.own(call.team, name, self._sealed(seal, call.team, name, {"claim": call.id}), ttl)
        return bool((await self._claimed(seal, call.team, name)).get("claim") == call.id)

    async def adopt(self, call: Call, state: State) -> None:
        """Record the states that an answer about a state names, such as the results of a batch."""
        seal = self._seal
        if seal is None:
            return
        record, kind = self._record(call, seal, state) | {"due": False}, _HOLDS.get(call.codec.stores, "")
        try:
            await asyncio.gather(*(self._own(seal, call.team, kind, id, record) for id in state.items if kind))
        except StoreUnavailable as fault:
            _log.error("the owner of a stored %s could not be recorded: %s", kind, fault)

    async def grow(self, call: Call, id: str, state: State) -> None:
        """Record what a call added: items of a conversation, files of a store. A failure of the store is only logged.

        A store has the labels of the workflows whose files it has.
        """
        seal, stored = self._seal, call.request.stored
        if seal is None:
            return
        record = self._record(call, seal, state)
        kind = call.codec.stores
        if kind != "conversation" and stored is not None and {*record["labels"]} <= {*stored.labels}:
            return
        try:
            await asyncio.gather(*(self._own(seal, call.team, "item", item, record) for item in state.items))
            await self._replace(call, seal, kind, id, record)
        except StoreUnavailable as fault:
            _log.error("the owner of what was added to a stored state could not be recorded: %s", fault)

    async def _replace(self, call: Call, seal: Seal, kind: str, id: str, record: Json) -> None:
        """Write the record of a state that has grown: a record that is there would stay."""
        await self._store.disown(call.team, self._name(seal, kind, id))
        await self._own(seal, call.team, kind, id, self._grown(call, record))

    async def _own(self, seal: Seal, team: str, kind: str, id: str, record: Json) -> None:
        name = self._name(seal, kind, id)
        await self._store.own(team, name, self._sealed(seal, team, name, record), self._ttl)

    def _grown(self, call: Call, record: Json) -> Json:
        """The record of the conversation that a call continues: its model is that of its path, its provider stays."""
        stored = call.request.stored
        return record | {"model": stored.model, "target": tuple(stored.target)} if stored is not None else record

    def _record(self, call: Call, seal: Seal | None, state: State) -> Json:
        usage, history = call.outcome.usage, call.admission.history or NO_HISTORY
        return {
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
            "masked": held(call, seal) if seal is not None else {},
            "uses": [(use.id, use.tool, self._arguments(seal, use)) for use in state.uses] if seal is not None else [],
            "due": call.outcome.pending,
        }

    def _sealed(self, seal: Seal, team: str, name: str, record: Json) -> bytes:
        return seal.enclose(_context(team, name), orjson.dumps(record))

    def _name(self, seal: Seal, kind: str, id: str) -> str:
        return seal.digest(kind, id).hex()

    def _arguments(self, seal: Seal, use: ToolUse) -> str:
        """A digest: loop detection only compares arguments, and they may hold personal data."""
        return seal.digest("arguments", canonical(use.arguments)).hex()


def _cited(body: Json) -> list[Named]:
    return list(dict.fromkeys(cited(body)))


def _unrecorded(param: str, instead: str) -> Refusal:
    words = (
        f"`{param}` cannot be used: this gateway does not record the owners of stored state (stored, pii.vault_key)."
    )
    return Refusal("invalid_request", f"{words} {instead}".strip(), param=param)


def _joined(found: Sequence[Stored]) -> Stored:
    """The record of the first of several states, with the masked values of all. Raises Refusal if they differ."""
    first = found[0]
    if all(one.workflow == first.workflow and one.target.provider == first.target.provider for one in found):
        masked = {name: digest for one in found for name, digest in one.masked.items()}
        return first if len(found) == 1 else replace(first, masked=masked)
    words = "The request refers to states of several workflows or providers. Refer to those of one conversation."
    raise Refusal("invalid_request", words, param="input")


def _chosen(call: Call, id: str) -> bool:
    """Whether the caller chose the id, by a field that some servers have: it may be that of another team's state."""
    said = [call.request.body.get(name) for name in call.request.fields]
    return any(type(value) is str and value and value in id for value in said)


def _nobodys(id: str) -> str:
    """An id in place of another, always the same, that no provider has given."""
    return f"rs_{blake2b(id.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


def _opened(seal: Seal, team: str, name: str, sealed: bytes) -> Stored | None:
    """The record; None if it was encrypted with another key."""
    try:
        said = _said(seal, team, name, sealed)
    except InvalidTag:
        return None
    return stored_of(said)


async def _held(call: Call) -> Held:
    """What an answer in the background holds until its end."""
    taken = [one.ask for one in (call.admission.reservation, call.admission.rest) if one is not None]
    tokens = await to_its_end(call.request.input.counted)
    return Held(tuple(taken), call.authorization.served_as, call.request.tier, tokens)


def stored_of(said: Json) -> Stored:
    """A record as `Owners._record` made it."""
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
        due=said.get("due", False),
        held=read(said.get("held")),
    )


def _said(seal: Seal, team: str, name: str, sealed: bytes) -> Json:
    """The record as it was written. Raises InvalidTag."""
    said: Json = orjson.loads(seal.disclose(_context(team, name), sealed))
    return said


def _context(team: str, name: str) -> str:
    return f"owned\0{team}\0{name}"
