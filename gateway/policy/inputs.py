"""The input of a decision: names and counts of a call, never its texts. docs/policies.md lists the fields."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.amounts import MOST, NANO_USD, NO_HISTORY, History, Reservation, Unit
from gateway.call import Call, Json, Subject
from gateway.redaction import openings
from gateway.redaction.content import CHANNELS, EMPTY
from gateway.scheduling.judging import LARGE, judge
from gateway.texts import Slot

_CALLERS = 4096  # remembered callers
_LEFT: Mapping[Unit, str] = {"calls": "calls", "cost": "cost_usd"}  # quota -> its name in the input


class Facts(Protocol):
    """Facts about the SQL in tool calls."""

    def of(self, slots: Sequence[Slot], team: str) -> list[Json]:
        """The facts about each statement."""
        ...


class Ceilings(Protocol):
    """A model of the configuration, with the maximum of output tokens of its answers."""

    @property
    def max_output(self) -> int:
        """Output tokens of a call that sets no limit of its own."""
        ...


class CeilingsByName(Protocol):
    """Finds a model by its name. Raises Refusal(model_not_found)."""

    def model(self, name: str) -> Ceilings:
        """The model with this name."""
        ...


class Inputs:
    """Builds the inputs of decisions. `facts`: None if no policy reads facts about SQL."""

    def __init__(self, models: CeilingsByName, facts: Facts | None = None) -> None:
        self._models = models
        self._facts = facts
        self._callers: dict[int, tuple[Subject, Json]] = {}  # by identity of the subject

    async def read(self, call: Call) -> Json:
        """The input. A thread reads the SQL in tool calls of large requests, and what takes long. Raises Spent."""
        if self._facts is None:
            return self.of(call)
        return await judge(call, openings.unread(call) > LARGE, self.of, call)

    def of(self, call: Call) -> Json:
        """The input as plain JSON.

        `action.providers`: the providers that may serve the call, in the order in which they are tried;
        `action.provider` is the first. `action.max_tokens`: the maximum of output tokens, from the call or otherwise
        from `max_output` of the model. `context.chain`: the agents from the workflow's first agent to the caller;
        `context.hop`: the depth of the chain. `context.time`: the minute of the call, in nanoseconds of Unix time:
        verdicts of one minute are memoized. `context.calls`: the calls of the workflow including this call; 0 if the
        call is not counted (no `quotas.calls`, or a replayed answer). `context.left`: what the quotas of the workflow
        leave after a call of a tool or an agent; {} for a model, so that equal calls have equal inputs. Of a call of a
        tool, `action.server` is the row of `tools`, `action.args` are the arguments as they leave, `action.writes`:
        whether the tool writes, as operator or server say (null: neither does); `action.deletes`: the request of an
        HTTP tool has the method DELETE; `action.of_result`: the result is
        judged; `action.of_list`: whether the caller may see the tool, before there are arguments.
        `action.hosted`: the tools among `action.tools` that the provider runs, as objects: see `dialects.hosted`.
        `subject.acting`: the name of a sub-agent; undefined for other callers.
        """
        subject, request, admission = call.subject, call.request, call.admission
        content = request.content or EMPTY
        assert subject is not None, "authorize comes after identify"
        chain = admission.chain or (subject.acting,)
        providers, (kind, name, arguments) = call.providers(), call.resource
        is_model = kind == "llm"
        server, _, bare = name.partition("/") if kind == "tool" and "/" in name else ("", "", name)
        counts, unscannable = call.redaction.counts, request.unscannable
        return {
            "subject": self._caller(subject),
            "action": {
                "kind": kind,
                "name": bare,
                "model": name if is_model else "",
                "provider": providers[0] if providers else "",
                "providers": providers,
                "stream": request.stream,
                "tools": request.tools,
                "hosted": call.codec.hosted(request.body) if request.tools else [],
                "fields": request.fields,
                "max_tokens": self._max_tokens(call),
                "args": {**arguments},
                "server": server,
                "writes": request.writes,
                "deletes": request.deletes,
                "of_result": call.authorization.of_result,
                "of_list": call.authorization.of_list,
            },
            "resource": {"type": "model" if is_model else kind, "name": name},
            "content": {
                **(_found(counts) if counts else {"pii": counts, "secrets": {}}),
                "pii_from": _pii_from(call) if call.redaction.roles else [],
                "sql": self._facts.of(openings.arguments(call), subject.team) if self._facts is not None else [],
                "urls": [*content.urls],
                "injection": {**content.injection},
                "injection_score": content.score,
                "unscannable": sum(unscannable.values()) if unscannable else 0,
                "unscannable_kinds": unscannable,
            },
            "context": {
                "correlation_id": request.correlation_id,
                "hop": len(chain) - 1,
                "chain": [*chain],
                "calls": _calls(admission.reservation),
                "time": int(time.time()) // 60 * 60_000_000_000,
                "left": {} if is_model else _left(admission.reservation),
                "history": _told(admission.history),
            },
        }

    def _caller(self, subject: Subject) -> Json:
        """The part of the input about the caller; made once."""
        known = self._callers.get(id(subject))
        if known is not None and known[0] is subject:
            return known[1]
        if len(self._callers) >= _CALLERS:
            self._callers.clear()
        caller = {
            "agent": subject.agent,
            "team": subject.team,
            "roles": subject.roles,
            "claims": dict(subject.claims),
            **({"acting": subject.acting} if subject.delegation is not None else {}),
        }
        self._callers[id(subject)] = subject, caller
        return caller

    def _max_tokens(self, call: Call) -> int:
        if call.request.ceiling:
            return call.request.ceiling
        if call.resource.kind != "llm":
            return 0
        if call.admission.ceiling is not None:
            return call.admission.ceiling
        return call.most(self._models.model(call.resource.name).max_output)


def again(asked: Json, history: History | None) -> Json:
    """The same input with another history."""
    return {**asked, "context": {**asked["context"], "history": _told(history)}}


def _pii_from(call: Call) -> list[str]:
    """The channels of the texts that contain personal data, with the names used in `content.injection`."""
    return sorted({CHANNELS.get(role, role) for role in call.redaction.roles})


def _told(history: History | None) -> Json:
    history = history or NO_HISTORY
    return {"tools": list(history.tools), "labels": list(history.labels)}


def _found(counts: Mapping[str, int]) -> Json:
    """The counts of personal data and of secrets, separately."""
    secrets = {entity: count for entity, count in counts.items() if entity.startswith("SECRET_")}
    if not secrets:
        return {"pii": counts, "secrets": {}}
    return {"pii": {entity: count for entity, count in counts.items() if entity not in secrets}, "secrets": secrets}


def _left(reservation: Reservation | None) -> Json:
    """What the quotas of the workflow leave, `{"calls": 3, "cost_usd": 0.25}`: those that are limited.

    A sub-agent has what its delegation leaves, if that is less.
    """
    left: Json = {}
    if reservation is not None:
        for debit, balance in zip(reservation.ask.debits, reservation.balances, strict=True):
            name = _LEFT.get(debit.unit)
            if name is not None and not debit.refill and debit.limit < MOST:
                rest = balance.remaining / NANO_USD if debit.unit == "cost" else balance.remaining
                left[name] = min(rest, left.get(name, rest))
    return left


def _calls(reservation: Reservation | None) -> int:
    if reservation is not None:
        for debit, balance in zip(reservation.ask.debits, reservation.balances, strict=True):
            if debit.unit == "calls":
                return debit.limit + balance.added - balance.remaining
    return 0
