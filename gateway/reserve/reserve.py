"""Stage `reserve`: takes all rate limits and quotas of a call in one atomic step of the store, or nothing.

Config keys: `limits`, `quotas`, `loops`. Refuses with rate_limited, quota_exceeded, quota_busy, workflow_frozen,
hop_limit and loop_detected. Writes `call.admission`. Fails closed: if the store does not answer, the call is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from gateway.amounts import HELD, NO_REPEATS, SHARE, Ask, Debit, Look, Rejection, Reservation
from gateway.call import Call, Obligations, Resource, Step, Subject
from gateway.config import tiers
from gateway.config.models import Model
from gateway.delegation import Delegation
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.limits import quota
from gateway.limits.charges import Charges
from gateway.limits.loops import Loops, fixed, shown
from gateway.limits.quota import Quotas
from gateway.limits.ratelimit import RateLimits
from gateway.redaction import openings
from gateway.reserve.levels import Levels, all_far, counted
from gateway.scheduling.judging import LARGE, NEW_TEXT, judge
from gateway.stores import Ledger
from gateway.stores.admit import admit
from gateway.upstream.forward import Forward

_KINDS: Final[Mapping[str, str]] = {"llm": "model", "tool": "tool", "agent": "agent"}
LAPSE_MARGIN = 60  # seconds after the time limit of the upstream at which an unsettled reservation counts as lost


class Judge(Protocol):
    """The policy that judges the call later."""

    @property
    def keeps_history(self) -> bool:
        """Whether the policy needs the history of the workflow."""
        ...


class Reserve:
    """The stage, built for one configuration.

    `judge`: None without a policy. `wait`: seconds that a call waits for quota that other calls hold. `background`:
    seconds for which the reservation of an answer that is made in the background is held.
    """

    def __init__(
        self,
        ledger: Ledger,
        limits: RateLimits,
        quotas: Quotas,
        loops: Loops,
        forward: Forward,
        tools: Charges,
        judge: Judge | None,
        wait: float,
        background: float = 0.0,
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._quotas = quotas
        self._loops = loops
        self._forward = forward
        self._tools = tools
        self._judge = judge
        self._wait = wait
        self._background = background
        self._levels = Levels()

    async def reserve(self, call: Call) -> None:
        """Take rate limits and quotas, all or none, in one atomic step. Raises Refusal, StoreUnavailable."""
        subject = call.subject
        assert subject is not None, "reserve comes after identify"
        if subject.delegation is not None:
            _check(call, subject.delegation)
        if call.resource.kind == "llm":
            at = call.request.stored.target if call.request.stored is not None else None
            call.admission.targets = self._forward.targets(call.resource.name, call.codec, at, call)
        elif not call.request.control:
            call.admission.targets = self._tools.targets(call)
        else:
            await self._greet(call, subject, self._tools.patience(call))
            return
        if call.replay.kept is not None:
            await self._look(call, subject)
            return
        workflow = (subject.team, call.request.correlation_id)
        if call.resource.kind != "llm" and isinstance(call.codec, Mcp) and call.codec.sampled:
            await self._count(call)  # no bound is needed: they are used already
        debits = self._debits(call, subject, call.request.input.bound)
        grow = counted(debits)
        left = self._ledger.left(*workflow, grow)
        if left is None:
            call.admission.bound = self._levels.are_far(*workflow, debits, call.request.input.bound)
        else:
            call.admission.bound = all_far(grow, left, call.request.input.bound)
        if not call.admission.bound:
            debits = self._debits(call, subject, await self._count(call))
        keeps = self._keeps_history
        steps: Sequence[Step] = ()
        if call.resource.kind != "llm":
            call.admission.repeats = self._tools.repeats(call, subject.acting)
        elif keeps or self._loops.reads:
            large = openings.unread(call) > LARGE  # then a thread reads
            read = await judge(call, True, self._read, call, subject) if large else self._read(call, subject)
            steps, call.admission.repeats = read
        ask = self._ask(call, subject, debits, steps, keeps)
        if not call.admission.bound:
            taken = await admit(self._ledger, ask, self._wait)
        elif isinstance(taken := await self._ledger.reserve(_bounded(ask, call, asks=left is None)), Rejection):
            # A limit is near, or other replicas took the rest: count after all.
            call.admission.bound = False
            debits = self._debits(call, subject, await self._count(call))
            ask = self._ask(call, subject, debits, steps, keeps)
            taken = await admit(self._ledger, ask, self._wait)
        answer = _granted(call, ask, taken)
        if left is None:
            self._levels.note(*workflow, ask.debits, answer.balances)
        if not ask.bare:  # a bare ask only checked that the workflow is open
            call.admission.reservation = answer
        call.admission.chain, call.admission.history = _chain(subject, answer), answer.history
        self._loops.follow(call.admission.chain, answer.path)

    async def delegate(self, call: Call, most: int) -> tuple[str, ...]:
        """Take the request limits of a new delegation, and count it; returns the chain of its caller. Raises Refusal.

        `most`: delegations of one workflow.
        """
        subject = call.subject
        assert subject is not None, "reserve comes after identify"
        count = Debit(f"{SHARE}delegations", "calls", 1, most, "delegations.most")
        debits = (*self._limits.debits(subject), count)
        names = (call.id, subject.team, call.request.correlation_id, subject.acting)
        ask = self._quotas.ask(*names, debits, lapse=LAPSE_MARGIN, chained=True)
        answer = _granted(call, ask, await self._ledger.reserve(ask))
        await self._ledger.settle(answer, {}, "settled")
        return _chain(subject, answer)

    async def greet(self, call: Call) -> None:
        """Take the request limits of a request that calls nothing, such as one about the registry. Raises Refusal."""
        assert call.subject is not None, "reserve comes after identify"
        await self._greet(call, call.subject, 0.0)
        if call.admission.reservation is not None:
            await self._ledger.settle(call.admission.reservation, {}, "settled")

    async def _greet(self, call: Call, subject: Subject, patience: float) -> None:
        """Take the request limits of a message of the protocol: no quota, no history. Raises Refusal.

        The workflow is held if what the answer tells may label it.
        """
        debits = self._limits.debits(subject)
        call.admission.debits = tuple(debits)
        names = (call.id, subject.team, call.request.correlation_id, subject.acting)
        held = self._judge is not None and isinstance(call.codec, Mcp) and call.codec.tells
        ask = self._quotas.ask(*names, call.admission.debits, lapse=patience + LAPSE_MARGIN, chained=held)
        answer = _granted(call, ask, await self._ledger.reserve(ask))
        if not ask.bare:
            call.admission.reservation = answer

    async def _count(self, call: Call) -> int:
        """The input tokens, counted; those of a large request in a thread, and the first of the process."""
        tokens = call.request.input
        return await judge(call, len(call.request.raw) > NEW_TEXT or not tokens.ready(), tokens.counted)

    def _debits(self, call: Call, subject: Subject, tokens: int) -> Sequence[Debit]:
        """What the call takes of rate limits and quotas; writes `call.admission.ceiling`. Raises Refusal.

        `tokens`: those of the input.
        """
        kind, name, _ = call.resource
        model, ceiling = self._priced(call, name)
        call.admission.ceiling = ceiling
        price = self._tools.price(call) if kind != "llm" else 0
        usage = self._tools.sampled(call) if kind != "llm" else None
        sampled = usage.input + usage.output if usage is not None else 0
        estimate = tokens + ceiling if usage is None else sampled
        quotas = self._quotas.debits(model, tokens, ceiling, call.request.tier, price, sampled)
        limits = self._limits.debits(
            subject,
            _model_name(call.resource),
            call.providers() if kind == "llm" else (),
            estimate,
            tool=name if kind == "tool" else "",
            stream=call.request.stream,
        )
        if subject.delegation is not None:
            quotas = [*quotas, *subject.delegation.debits(quotas)]
        return (*limits, *quotas)

    def _ask(self, call: Call, subject: Subject, debits: Sequence[Debit], steps: Sequence[Step], keeps: bool) -> Ask:
        """The reservation that the store is asked for; writes `call.admission.debits`.

        `debits`: those without repeats. `keeps`: whether the policy needs the history.
        """
        call.admission.debits = (*debits, *call.admission.repeats.debits)
        judged = self._judge is not None
        stored = call.request.stored
        called = shown(steps, stored.called if stored is not None else ()) if keeps else ()
        if call.resource.kind != "llm":
            called, longest = (call.resource.name,) if keeps else (), self._tools.patience(call)
        else:  # a policy may route the call to another model, whose targets may take longer
            longest = self._forward.most_patience if judged else self._forward.patience(call.admission.targets)
        name, lapse = call.id, longest + LAPSE_MARGIN
        if call.reference is None and call.codec.defers(call.request.body):
            name, lapse = f"{call.id}{HELD}", max(lapse, self._background)
        return self._quotas.ask(
            name,
            subject.team,
            call.request.correlation_id,
            subject.acting,
            call.admission.debits,
            lapse=lapse,
            chained=self._loops.follows or judged,
            history=keeps,
            tools=called,
        )

    async def rest(self, call: Call, demanded: Obligations) -> None:
        """Take what obligations add: the higher price of another model, and limits on attributes. All or none.

        Raises Refusal, StoreUnavailable.
        """
        subject, first = call.subject, call.admission.reservation
        assert subject is not None, "reserve comes after identify"
        assert first is not None, "a call that a policy judges has a reservation, because its chain must be known"
        model, ceiling = self._priced(call, call.authorization.served_as or call.resource.name)
        tokens = await self._count(call)
        quotas: Sequence[Debit] = ()
        if demanded.route:
            quotas = self._quotas.rest(call.admission.debits, model, tokens, ceiling, call.request.tier)
        names = (subject, _model_name(call.resource), call.providers())
        estimate = tokens + ceiling
        limits = self._limits.debits(*names, estimate, stream=call.request.stream, attributes=demanded.attributes)
        if subject.delegation is not None:
            quotas = [*quotas, *subject.delegation.debits(quotas)]
        call.admission.late = (*limits, *quotas)
        if call.admission.late:
            held = HELD if first.ask.id.endswith(HELD) else ""
            exact = first.ask._replace(debits=call.admission.late, excess=0)
            ask = exact._replace(id=f"{call.id}-rest{held}", history=False, tools=())
            call.admission.rest = _granted(call, ask, await admit(self._ledger, ask, self._wait))

    @property
    def _keeps_history(self) -> bool:
        return self._judge is not None and self._judge.keeps_history

    def _priced(self, call: Call, name: str) -> tuple[Model | None, int]:
        """The model that serves the call, and the maximum of output tokens.

        None and 0 for a kind of call without models. Raises Refusal(invalid_request) for a service tier without a
        price.
        """
        if call.resource.kind != "llm":
            return None, 0
        model = self._forward.model(name)
        tiers.check(model, call.request.tier)
        return model, call.most(model.max_output)

    async def _look(self, call: Call, subject: Subject) -> None:
        """Check that the workflow accepts calls, for a replayed answer: nothing is taken or counted. Raises Refusal."""
        names = (call.id, subject.team, call.request.correlation_id, subject.acting)
        ask = self._quotas.ask(*names, (), lapse=0, look=True, history=self._keeps_history)
        answer = _granted(call, ask, await self._ledger.reserve(ask))
        call.admission.chain, call.admission.history = _chain(subject, answer), answer.history

    def _read(self, call: Call, subject: Subject) -> tuple[Sequence[Step], Look]:
        """The steps of the conversation, and the repetitions in it. Raises Refusal(loop_detected)."""
        steps = _conversation(call)
        if not self._loops.reads:
            return steps, NO_REPEATS
        workflow = (subject.team, call.request.correlation_id)
        return steps, self._loops.look(workflow, subject.acting, steps, bool(call.request.tools))


def _conversation(call: Call) -> Sequence[Step]:
    """The steps of the conversation; those of its opening are known, and remembered for the next call."""
    reading, body, codec = openings.of(call), call.request.body, call.codec
    if reading is None:
        stored = call.request.stored
        return codec.steps(body) if stored is None else [*stored.steps, *codec.steps(body, stored.steps)]
    opening, messages, steps = reading.opening, openings.messages(call), list[Step]()
    if opening is not None:
        if opening.steps is None:
            return codec.steps(openings.received(call))
        steps += opening.steps
    known = opening.number if opening is not None else 0
    if known < reading.number:
        steps += map(fixed, codec.steps({codec.history: messages[known : reading.number]}, steps))
    reading.steps = tuple(steps)
    return steps + codec.steps({codec.history: messages[reading.number :]}, steps)


def _bounded(ask: Ask, call: Call, *, asks: bool) -> Ask:
    """The ask for a bound of the tokens. `asks`: the store is to see whether every limit is far."""
    return ask._replace(firm=False, excess=call.request.input.bound if asks else 0)


def _granted(call: Call, ask: Ask, answer: Reservation | Rejection) -> Reservation:
    """The reservation. Raises the Refusal for a rejection, which is kept for the headers of the answer."""
    if isinstance(answer, Rejection):
        call.admission.rejection = answer
        raise quota.refusal(answer, ask, call.request.input.counted() if answer.reason == "rate" else 0)
    return answer


def _chain(subject: Subject, answer: Reservation) -> tuple[str, ...]:
    """The agents that led to a call: for a sub-agent as its token says, otherwise as recorded."""
    return subject.delegation.chain if subject.delegation is not None else answer.chain


def _check(call: Call, delegation: Delegation) -> None:
    """Raise Refusal if the parents of a sub-agent do not let it make this call. Tools are checked once known."""
    kind, name, _ = call.resource
    if kind != "tool" and not delegation.allows(kind, name):
        words = f"The delegation of sub-agent {delegation.chain[-1]} does not include this {_KINDS[kind]}."
        raise Refusal("policy_denied", words, detail={"rule": "delegation"})
    if hidden := delegation.hidden(call.request.tools):
        words = (
            f"The call offers the model {hidden} tools that the delegation of sub-agent {delegation.chain[-1]} does "
            "not include. Leave them out."
        )
        raise Refusal("policy_denied", words, detail={"rule": "delegation"})


def _model_name(resource: Resource) -> str:
    return resource.name if resource.kind == "llm" else ""
