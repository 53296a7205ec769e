"""The registry: which agents a caller may call, what they offer, and what the gateway measured of them.

Entries are those that agents register for a time, for their team, and the rows of `a2a`, with the skills of their
cards. A caller sees the agents to which the policy lets it send messages, and its own entries. Refuses with
invalid_request and tool_not_found. What is registered holds neither personal data nor secrets, and no instructions to
its readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from gateway.agents.measures import Measures
from gateway.agents.offers import Channels, Function, Offer, Registration, decoded, encoded, matches, of_card, texts
from gateway.agents.remote import Remotes
from gateway.call import Call, Json
from gateway.config.a2a import RemoteAgent
from gateway.config.tools import NAME
from gateway.errors import Refusal
from gateway.policy.visible import Visible
from gateway.redaction.content import Contents
from gateway.redaction.edits import BESIDE
from gateway.redaction.texts import Texts
from gateway.scheduling.judging import judge
from gateway.stores import Enlisted
from gateway.stores import Registry as Store
from gateway.tools.schema import allows
from gateway.tools.suspicion import HIGH, Suspicion

_MOST: Final = 100  # agents of one answer
_STEPS: Final = 4000  # of the check of an input against the schemas of one agent


class Asked(NamedTuple):
    """What a caller looks for: the name of a function, words, and an input that a function must accept."""

    function: str = ""
    words: tuple[str, ...] = ()
    input: Mapping[str, Any] | None = None


class _Entry(NamedTuple):
    """`row`: the row of `a2a` by which the agent is called, "" for none, or for one that the caller may not call.

    `kept`: None for a row itself.
    """

    name: str
    offer: Offer
    row: str
    kept: Enlisted | None = None


class Registry:
    """The registry, built for one configuration. `contents`: None without `policy.content`."""

    def __init__(
        self,
        store: Store,
        rows: Mapping[str, RemoteAgent],
        remotes: Remotes,
        visible: Visible,
        texts: Texts,
        contents: Contents | None,
        measures: Measures,
    ) -> None:
        self._store = store
        self._rows = rows
        self._cards: dict[str, tuple[Json, Offer]] = {}  # row -> the card that was judged, and its offer
        self._folded = {name.casefold() for name in rows}
        self._remotes = remotes
        self._visible = visible
        self._texts = texts
        self._suspicion = Suspicion(contents)
        self._measures = measures

    async def put(self, call: Call, name: str, said: Registration | None) -> tuple[Json, bool]:
        """Register an agent, or renew its entry (`said`: None). Returns the entry, and whether the offer is new."""
        subject = call.subject
        assert subject is not None, "the caller is identified first"
        if not NAME.fullmatch(name):
            words = "The name of an agent has up to 63 letters, digits, `-` and single `_`."
            raise Refusal("invalid_request", words, param="name")
        if subject.delegation is not None:
            raise Refusal("invalid_request", "A sub-agent registers no agents: its parent does.")
        if name.casefold() in self._folded:
            raise Refusal("invalid_request", "An agent of this name is in the section `a2a`.", param="name")
        before = next((it for it in await self._store.enlisted(call.team) if it.name == name), None)
        if said is None:
            if before is None or before.owner != subject.agent:
                raise Refusal("invalid_request", "There is no entry to renew: send an offer.", status=404)
            record = before.record
        else:
            record = encoded(await judge(call, True, self._checked, call, name, said.offer()))
        offer = decoded(record)
        done = await self._store.enlist(call.team, name, subject.agent, record, offer.ttl)
        if done == "taken":
            raise Refusal("invalid_request", "Another agent of your team has registered this name.", status=409)
        if done == "full":
            raise Refusal("invalid_request", "Your team has registered as many agents as it may.", status=409)
        fresh = before is None or before.record != record
        kept = next(it for it in await self._store.enlisted(call.team) if it.name == name)
        entry, _ = await self._registered(call, kept)
        return self._shown(entry, offer.functions), fresh

    async def delete(self, call: Call, name: str) -> None:
        """Delete an entry of the caller. Raises Refusal."""
        assert call.subject is not None, "the caller is identified first"
        mine = any(it.name == name and it.owner == call.subject.agent for it in await self._store.enlisted(call.team))
        if not mine or call.subject.delegation is not None:
            raise unknown()
        await self._store.delist(call.team, name)

    async def one(self, call: Call, name: str) -> Json:
        """An agent that the caller sees. Raises Refusal."""
        for entry in await self._entries(call, name):
            return self._shown(entry, entry.offer.functions)
        raise unknown()

    async def find(self, call: Call, asked: Asked) -> list[Json]:
        """The agents that the caller sees and that offer what is asked for, the best first.

        In order: more words in names, success, time, cost.
        """
        return await judge(call, True, self._best, await self._entries(call), asked)

    def _best(self, entries: Sequence[_Entry], asked: Asked) -> list[Json]:
        found = []
        for entry in entries:
            score, functions = _matching(entry, asked)
            if score:
                found.append((score, self._shown(entry, functions)))
        found.sort(key=lambda pair: (-pair[0], *_rank(pair[1])))
        return [shown for _, shown in found[:_MOST]]

    async def _entries(self, call: Call, only: str = "") -> list[_Entry]:
        """The entries that the caller sees."""
        assert call.subject is not None, "the caller is identified first"
        found = []
        for kept in await self._store.enlisted(call.team):
            if only in ("", kept.name) and kept.name.casefold() not in self._folded:
                entry, may = await self._registered(call, kept)
                if may or kept.owner == call.subject.agent:
                    found.append(entry)
        rows = [name for name in self._rows if only in ("", name) and await self._visible.may(call, name)]
        return found + list(await asyncio.gather(*map(self._of_row, [call] * len(rows), rows)))

    async def _registered(self, call: Call, kept: Enlisted) -> tuple[_Entry, bool]:
        """An entry as the caller sees it, and whether the caller may call its agent."""
        offer = decoded(kept.record)
        row = offer.channels.a2a
        may = await self._visible.may(call, row or kept.name)
        return _Entry(kept.name, offer, row if may else "", kept), may

    async def _of_row(self, call: Call, name: str) -> _Entry:
        """A row of `a2a`, with the skills of its card.

        Without functions if the card cannot be read, or says what no agent of the gateway could register.
        """
        channels = Channels(a2a=name)
        try:
            card = await self._remotes.of(name, self._rows[name]).card()
            known = self._cards.get(name)
            if known is None or known[0] is not card:
                offer = await judge(call, True, self._checked, call, name, of_card(card, channels))
                known = self._cards[name] = card, offer
        except Refusal:
            return _Entry(name, Offer(channels=channels), name)
        return _Entry(name, known[1], name)

    def _checked(self, call: Call, name: str, offer: Offer) -> Offer:
        """Raise Refusal for an offer that may not be shown to others, or that names a row that is not there."""
        if offer.channels.a2a and offer.channels.a2a not in self._rows:
            words = "`channels.a2a` must be the name of an agent in the section `a2a`."
            raise Refusal("invalid_request", words, param="channels.a2a")
        names = [function.name for function in offer.functions]
        if len(set(names)) != len(names):
            raise Refusal("invalid_request", "Two functions have the same name.", param="functions")
        said = offer.model_dump(mode="json", exclude_defaults=True)
        found = self._texts.find(texts({"name": name, **said}), call.team)
        kinds = sorted({it.entity for _, some in found for it in some if not it.entity.startswith(BESIDE)})
        if kinds:
            words = f"The offer holds personal data or secrets ({', '.join(kinds)}), and other agents would read it."
            raise Refusal("invalid_request", words)
        if self._suspicion.of(said) >= HIGH:
            words = "The offer reads like instructions to its reader: say what the functions do, not what to do."
            raise Refusal("invalid_request", words)
        return offer

    def _shown(self, entry: _Entry, functions: Iterable[Function]) -> Json:
        said: Json = {"name": entry.name, **entry.offer.model_dump(mode="json", exclude_defaults=True)}
        said["functions"] = [it.model_dump(mode="json", exclude_defaults=True) for it in functions]
        if entry.kept is not None:
            said |= {"agent": entry.kept.owner, "expires_at": _time(entry.kept.ends)}
        said["measured"] = self._measures.of(entry.row) if entry.row else {}
        return said


def unknown() -> Refusal:
    """The refusal for an agent that does not exist, or that the caller does not see."""
    return Refusal("tool_not_found", "There is no agent of this name in the registry.", status=404)


def _matching(entry: _Entry, asked: Asked) -> tuple[int, list[Function]]:
    """How well an entry matches (0: not), and the functions that do."""
    title, described = entry.name.casefold(), entry.offer.description.casefold()
    if not entry.offer.functions and not asked.function and asked.input is None:
        return matches(title, described, asked.words, None), []
    named = [it for it in entry.offer.functions if asked.function in ("", it.name)]
    scores = {it.name: matches(title, described, asked.words, it) for it in _accepting(named, asked.input)}
    return max(scores.values(), default=0), [it for it in entry.offer.functions if scores.get(it.name)]


def _accepting(functions: Sequence[Function], input: Mapping[str, Any] | None) -> Sequence[Function]:
    """The functions with a schema that allows the input; all without an input."""
    if input is None:
        return functions
    schemas = [(it, it.input_schema) for it in functions if it.input_schema is not None]
    fit = allows(input, [schema for _, schema in schemas], _STEPS)
    return [it for (it, _), fits in zip(schemas, fit, strict=True) if fits]


def _rank(shown: Json) -> tuple[float, float, float, str]:
    """Better agents have less. Where nothing is measured, what the first function declares counts."""
    measured, declared = shown["measured"], (shown["functions"] or [{}])[0]
    seconds = measured.get("p50_seconds", declared.get("seconds", float("inf")))
    cost = measured.get("cost_usd", declared.get("cost_usd", float("inf")))
    return -measured.get("success", 0.5), seconds, cost, shown["name"]


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
