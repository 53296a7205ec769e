"""The line: every call walks `serve`, from top to bottom, always in this order.

identify -> read -> rate limit and quota (one atomic reservation) -> redact -> authorize -> make durable -> forward ->
filter and restore -> settle -> record. A call that was answered before under its Idempotency-Key walks the same line as
far as forward, reserves nothing, and is given that answer. This is the only place where a refusal becomes an answer,
and the only place where a call is settled: whatever happens on the way, both happen once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from functools import partial

import orjson

from gateway import budget
from gateway.budget import PASSING, Budget, Spent
from gateway.call import NO_OBLIGATIONS, Call, Debit, Json, Obligations, Rejection, Screening, Step, Subject, Usage
from gateway.config import tiers
from gateway.dialects import Chunk, StreamCodec, items, numbers, surrogates, tree
from gateway.dialects.parts import merged
from gateway.errors import Refusal, trace
from gateway.ingress import request
from gateway.ingress.idempotency import REPLAYED
from gateway.ingress.reply import Reply
from gateway.limits import quota, ratelimit
from gateway.limits.loops import NOTHING, Look, Loops
from gateway.limits.tokens import ANSWER, MESSAGE
from gateway.output.screen import AnswerFilter
from gateway.policy import flow, models
from gateway.redaction import taint
from gateway.redaction.redact import broken
from gateway.scheduling.judging import Pace, judge, spent, takes_long
from gateway.scheduling.lanes import SMALL, apart, to_its_end
from gateway.stores import StoreUnavailable
from gateway.stores.admit import admit
from gateway.upstream import fields, forms
from gateway.upstream.forward import MAX_ANSWER, Answer

LAPSE_MARGIN = 60  # seconds past an upstream's own time limit after which an unsettled reservation counts as lost
MAX_COUNTED = 1024 * 1024  # bytes of a broken answer whose tokens are counted
HELD = 64 * 1024  # characters of a stream that are kept, for its tokens, before they count as bytes in flight
_log = logging.getLogger("meshgate")


async def serve(call: Call, receive: request.Receive, reply: Reply) -> None:
    """Serve one call. Raises nothing but what ends the process."""
    call.budget = Budget(call.runtime.config.server.scan_budget)
    budget.bind(call.budget)
    try:
        await identify(call)
        step(call, "ingress")
        await read(call, receive)
        await recall(call)
        step(call, "reserve")
        await reserve(call)
        step(call, "redact")
        await redact(call)
        step(call, "authorize")
        await authorize(call)
        if call.kept is None:
            fields.keep(call, call.runtime.forward.fields)
        step(call, "durable")
        await commit(call)
        if await replayed(call, reply):
            return
        step(call, "upstream")
        await forward(call, reply)
    except Refusal as refusal:
        await refuse(call, refusal, reply)
    except StoreUnavailable as fault:
        _log.error("state store: %s", fault)
        await refuse(call, Refusal("state_unavailable", "The state store does not answer; try again later."), reply)
    except Spent:
        await refuse(call, spent(call), reply)
    except (request.Disconnected, asyncio.CancelledError):
        reply.abandon()
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as fault:  # also what an extension raises that is no Exception
        _log.error("call %s failed in %s: %s", call.id, call.stage, trace(fault))
        call.runtime.telemetry.failures.add((call.stage,))
        await refuse(call, Refusal("overloaded", f"The gateway failed to serve this call; its id is {call.id}."), reply)
    finally:
        await settle_and_record(call, reply)


def step(call: Call, name: str) -> None:
    """The stage before ends, the next begins."""
    call.stages.append((call.stage, time.perf_counter_ns()))
    call.stage = name


async def identify(call: Call) -> None:
    """Who calls, and whether that team has room for one call more."""
    try:
        call.subject = await call.runtime.identity.identify(call.headers)
    except Refusal as refusal:
        often = call.ticket.stranger() if call.ticket is not None and refusal.code == "unauthenticated" else None
        call.throttled = often is not None
        raise often or refusal from None
    if call.ticket is not None:
        call.ticket.claim(call.subject.team)


async def read(call: Call, receive: request.Receive) -> None:
    """The request itself, and what is known of its texts. Much new text is looked at off the event loop."""
    runtime = call.runtime
    server = runtime.config.server
    await request.receive(call, receive, server)
    tainted = await apart(call, len(call.raw) >> 10, partial(taint.look, call))
    runtime.forward.model(call.model)
    call.known_model = runtime.forward.label(call.model)
    try:
        counted = await judge(call, takes_long(call), survey, call)
    except (*PASSING, Spent):
        raise
    except BaseException as fault:
        raise broken(call, fault, "The request could not be searched for personal data") from None
    models.check_name(call)
    if tainted:
        size = sum(len(findings) for _, findings in call.found)
        await apart(call, size, partial(taint.mark, call))
    call.input_tokens = counted and counted + MESSAGE * len(call.body["messages"]) + ANSWER


def survey(call: Call) -> int:
    """What the texts hold; returns their tokens, 0 where nobody asks."""
    runtime = call.runtime
    counted: int
    counted, call.found = runtime.texts.survey(call.spans, _team(call))
    spans = call.spans
    if together := call.format.joined(call.body, spans):
        found = {
            id(span): findings for span, findings in runtime.texts.survey([it.span for it in together], _team(call))[1]
        }
        call.joined = [(it, found[id(it.span)]) for it in together if id(it.span) in found]
        spans = [*spans, *(it.span for it in together)]
    if runtime.contents is not None:
        call.content = runtime.contents.read(spans, _team(call))
    return counted


def _team(call: Call) -> str:
    return call.subject.team if call.subject is not None else ""


async def recall(call: Call) -> None:
    """The answer that the call was given before, if it comes again with its Idempotency-Key."""
    if call.runtime.idempotency is not None:
        await call.runtime.idempotency.recall(call)


async def reserve(call: Call) -> None:
    """Rate limits and quotas, all or none, in one atomic step."""
    runtime, subject = call.runtime, call.subject
    assert subject is not None
    call.targets = runtime.forward.targets(call.model)
    if call.kept is not None:
        await look(call, subject)
        return
    model = runtime.forward.model(call.model)
    ceiling = call.most(model.max_output)
    tiers.check(model, call.tier)
    quotas = runtime.quotas.debits(model, call.input_tokens, ceiling, call.tier)
    providers = [target.partition("/")[0] for target in call.targets]
    limits = runtime.limits.debits(subject, call.model, providers, call.input_tokens + ceiling, stream=call.stream)
    keeps = runtime.authorizer is not None and runtime.authorizer.keeps_history
    steps: Sequence[Step] = ()
    call.repeats = NOTHING
    if keeps or runtime.loops.reads:
        large = len(call.raw) > runtime.LARGE
        told = await judge(call, True, conversation, call, subject) if large else conversation(call, subject)
        steps, call.repeats = told
    call.debits = (*limits, *quotas, *call.repeats.debits)
    chained = runtime.loops.follows or runtime.authorizer is not None
    # A policy may yet route it to another model, whose targets may take longer.
    forward = runtime.forward
    longest = forward.most_patience if runtime.authorizer else forward.patience(call.targets)
    names = (call.id, subject.team, call.correlation_id, subject.agent)
    shown = flow.tools(steps) if keeps else ()
    lapse = longest + LAPSE_MARGIN
    ask = runtime.quotas.ask(*names, call.debits, lapse=lapse, chained=chained, history=keeps, tools=shown)
    answer = await admit(runtime.store, ask, runtime.config.quotas.wait)
    if isinstance(answer, Rejection):
        call.rejection = answer
        raise quota.refusal(answer, ask, call.input_tokens)
    if not ask.bare:  # one that takes nothing only learned that its workflow is open
        call.reservation = answer
    call.chain, call.history = answer.chain, answer.history
    runtime.loops.follow(answer.chain, answer.path)


async def look(call: Call, subject: Subject) -> None:
    """Whether the workflow takes calls, for one that is answered already: it takes nothing and counts nowhere."""
    names = (call.id, subject.team, call.correlation_id, subject.agent)
    authorizer = call.runtime.authorizer
    history = authorizer is not None and authorizer.keeps_history
    ask = call.runtime.quotas.ask(*names, (), lapse=0, look=True, history=history)
    answer = await call.runtime.store.reserve(ask)
    if isinstance(answer, Rejection):
        call.rejection = answer
        raise quota.refusal(answer, ask)
    call.chain, call.history = answer.chain, answer.history


def conversation(call: Call, subject: Subject) -> tuple[Sequence[Step], Look]:
    """What has happened in the conversation, and what of it the request does again that was done before."""
    steps = call.format.steps(call.body)
    loops: Loops = call.runtime.loops
    if not loops.reads:
        return steps, NOTHING
    workflow = (subject.team, call.correlation_id)
    return steps, loops.look(workflow, subject.agent, steps, bool(call.tools))


async def redact(call: Call) -> None:
    """Personal data leaves the body."""
    if call.runtime.names is not None:
        call.found = await call.runtime.names.add(call.spans, call.found, _team(call), partial(apart, call))
    if call.joined:
        size = sum(len(findings) for found in (call.found, call.joined) for _, findings in found)
        call.found = await apart(call, size, partial(merged, call.found, call.joined, call.spans))
    if call.runtime.redactor is not None:
        await call.runtime.redactor.redact(call)


async def authorize(call: Call) -> None:
    """The policy's verdict, and what it obliges us to."""
    if call.runtime.authorizer is None:
        return
    try:
        await flow.judge(call)
    finally:
        if call.decision is not None:  # a denial is on record as well
            decided(call)
    if call.kept is None and call.decision is not None and call.decision.obligations != NO_OBLIGATIONS:
        judged = call.decision
        await oblige(call, judged.obligations)
        try:
            await flow.confirm(call)
        finally:
            if call.decision is not judged:
                call.runtime.audit.decided(call)


def decided(call: Call) -> None:
    """The decision goes on record, and to a candidate bundle if there is one."""
    call.runtime.audit.decided(call)
    if call.runtime.candidate is not None:
        call.runtime.candidate.offer(call)


async def oblige(call: Call, duties: Obligations) -> None:
    """Change the call as the policy demands; a demand that cannot be met ends it."""
    runtime = call.runtime
    if duties.strip_tools:
        call.edited |= call.format.strip_tools(call.body, frozenset(duties.strip_tools))
    if duties.sql is not None:
        await asyncio.to_thread(runtime.sql_gate.load)
    if duties.limit:
        call.edited |= call.format.limit(call.body, duties.limit)
    if duties.route:
        call.targets = runtime.forward.targets(duties.route)
        call.served_as = duties.route
        call.edited = True
    if runtime.redactor is not None and (duties.redact or duties.no_restore or duties.route):
        await runtime.redactor.enforce(call, duties)
    elif duties.redact:
        raise Refusal(
            "policy_unavailable",
            "The policy demands that personal data be taken out, and this gateway does not look for any (pii: null). "
            "Ask the operator to switch it on.",
        )
    if duties.route or duties.attributes:
        await reserve_rest(call, duties)


async def reserve_rest(call: Call, duties: Obligations) -> None:
    """What the policy's words cost: more at the model that it routes to, limits on attributes. All or none, again."""
    runtime, subject, first = call.runtime, call.subject, call.reservation
    assert subject is not None
    assert first is not None, "a call that a policy judges has been reserved: its chain must be known"
    model = runtime.forward.model(call.served_as or call.model)
    ceiling = call.most(model.max_output)
    quotas: Sequence[Debit] = ()
    if duties.route:
        tiers.check(model, call.tier)
        quotas = runtime.quotas.rest(call.debits, model, call.input_tokens, ceiling, call.tier)
    names = (subject, call.model, [target.partition("/")[0] for target in call.targets])
    estimate = call.input_tokens + ceiling
    limits = runtime.limits.debits(*names, estimate, stream=call.stream, attributes=duties.attributes)
    call.late = (*limits, *quotas)
    if call.late:
        ask = first.ask._replace(id=f"{call.id}-rest", debits=call.late, history=False, tools=())
        answer = await admit(runtime.store, ask, runtime.config.quotas.wait)
        if isinstance(answer, Rejection):
            call.rejection = answer
            raise quota.refusal(answer, ask, call.input_tokens)
        call.rest = answer


async def commit(call: Call) -> None:
    """The reservation and the decision are on disk before the call leaves."""
    runtime = call.runtime
    if call.decision is None:
        decided(call)
    await runtime.audit.durable()
    if runtime.store_is_apart:
        await runtime.store.durable()


async def replayed(call: Call, reply: Reply) -> bool:
    """Whether the call has got the answer again that it was given before."""
    if call.kept is None:
        return False
    call.replayed = True
    await reply.again(call.kept.body, call.kept.streamed, REPLAYED)
    return True


async def forward(call: Call, reply: Reply) -> None:
    """Send the call, and the answer back as it may be."""
    answer = await call.runtime.forward.open(call, call.targets)
    try:
        if call.stream:
            await stream(call, answer, reply)
        else:
            await whole(call, answer, reply)
        call.outcome.finished = True
    finally:
        answer.close(call.outcome.finished)


async def whole(call: Call, answer: Answer, reply: Reply) -> None:
    """Read the answer to its end, judge it, send it."""
    parts = [answer.start]
    size = len(answer.start)
    room = 0  # bytes that there is room for
    try:
        room += _hold(call, answer, size, room)
        async for data in answer.chunks:
            size += len(data)
            if size > MAX_ANSWER:
                raise _garbage(call, f"more than {MAX_ANSWER} bytes")
            room += _hold(call, answer, size, room)
            parts.append(data)
    except BaseException:  # what came of it was paid for, and is counted; a provider's whole count would be at its end
        call.outcome.heard = [_first(parts, MAX_COUNTED).decode(errors="replace")]
        raise
    step(call, "output")
    if answer.streamed:
        try:
            parts = [forms.assemble(b"".join(parts))]
        except (ValueError, TypeError, AttributeError):
            raise _garbage(call, "an event stream that is no chat completion") from None
    call.budget.extend(size)
    long = size > call.runtime.NEW_TEXT or len(call.redaction.known) > SMALL
    await reply.whole(200, await judge(call, long, judged, call, parts))


def _hold(call: Call, answer: Answer, size: int, room: int) -> int:
    """Take room for `size` bytes of an answer beyond the `room` that it has; returns how much more. Raises Refusal.

    All of it at once where the length was told: of several answers that are too much together, the first are served.
    """
    if call.ticket is None or size <= room:
        return 0
    more = max(size, min(answer.length, MAX_ANSWER)) - room
    call.ticket.hold(more)
    return more


def _first(parts: list[bytes], most: int) -> bytes:
    """The first bytes of a body that came in parts."""
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(kept)[:most]


def judged(call: Call, parts: list[bytes]) -> bytes:
    """A whole answer as the caller may have it. Raises Refusal. Of a long one there is no copy more than needed."""
    parts[:] = [b"".join(parts)]
    raw, caps = parts[0], call.runtime.config.server.caps
    if items.has_more_values(raw, caps.values):
        raise _garbage(call, caps.words("values"))
    if items.is_deep(raw):
        raise _garbage(call, f"more than {items.MOST_LEVELS} levels of nesting")
    try:
        body, mended = surrogates.loads(raw)
        call.format.check(body, call.format.choices(call.body))
    except (ValueError, AttributeError, TypeError):
        raise _garbage(
            call, "something that is not a chat completion, or has more choices than were asked for"
        ) from None
    call.screening = Screening()
    try:
        if mended:
            raw = orjson.dumps(body)
        return _screened(call, raw, body)
    except TypeError:  # nested deeper than can be written
        raise _garbage(call, "something that is nested too deep") from None


def _screened(call: Call, raw: bytes, body: Json) -> bytes:
    caps = call.runtime.config.server.caps
    call.outcome.usage = call.format.usage(body)
    if len(raw) > caps.least and (too_many := caps.over(call.format.answer_items(body))):
        raise _garbage(call, too_many)
    if call.outcome.usage is None or not call.outcome.usage.output:
        call.outcome.tier = call.format.served_in(body)
        try:
            call.outcome.heard = [span.text for span in call.format.whole(body).spans]
        except Refusal:  # deeper than it can be read: the filter says so
            call.outcome.heard = [raw.decode(errors="replace")]
    screen = call.runtime.filter(call)
    if screen is not None and (screen.whole(body) or not tree.says_once(raw, body)):
        raw = numbers.dumps(body, raw)
    call.runtime.own.check(raw)
    return raw


async def stream(call: Call, answer: Answer, reply: Reply) -> None:
    """Send the answer on as it comes, each piece once it is judged."""
    codec = call.format.stream(keep_usage=call.wants_usage, choices=call.format.choices(call.body))
    reply.codec = codec
    screen: AnswerFilter | None = call.runtime.filter(call)
    if screen is not None and len(call.redaction.known) > SMALL:
        await apart(call, len(call.redaction.known), screen.prepare)
    outcome, pace = call.outcome, Pace(call)
    out: list[bytes] = []
    own, owed = call.runtime.own, 0
    try:
        async for chunks in read_chunks(call, answer, codec):
            if not outcome.first_byte_ns:
                outcome.first_byte_ns = time.perf_counter_ns()
            for chunk in chunks:
                if chunk.error:
                    raise _garbage(call, "an error in the middle of its answer")
                said = chunk.said()
                outcome.heard += said
                size = sum(map(len, said))
                owed += size
                if owed > HELD and call.ticket is not None:
                    call.ticket.hold(owed)
                    owed = 0
                if chunk.usage is not None:
                    outcome.usage, outcome.outdated = chunk.usage.joined(outcome.usage), False
                elif said:
                    outcome.outdated = outcome.usage is not None
                if screen is None:
                    out.append(codec.plain(chunk))
                elif pace.takes_long(chunk, size + screen.due(chunk)):
                    out += await pace.apart(size, screen.feed, chunk, codec)
                else:
                    out += pace.here(size, screen.feed, chunk, codec)
                if pace.out_of_breath:
                    await pace.breathe()
            outcome.tier = codec.tier
            if out:
                data, out = b"".join(out), []
                own.check(data)
                await reply.stream(data, complete=codec.ended)
        codec.close()
    except (ValueError, Refusal) as fault:
        if out and not own.holds(data := b"".join(out)):  # what was judged before the fault came
            await reply.stream(data)
        if isinstance(fault, Refusal):
            raise
        raise _garbage(call, f"a stream that breaks its format: {fault}") from None
    tail = b""
    if screen is not None:
        long = screen.due() > call.runtime.NEW_TEXT
        tail = b"".join(await pace.apart(0, screen.close, codec) if long else screen.close(codec))
    own.check(tail)
    await reply.end(tail if codec.ended else tail + call.format.done, complete=True)


async def events_of(answer: Answer) -> AsyncIterator[bytes]:
    """The events of an answer that is no stream, though one was asked for. Raises ValueError."""
    parts, size = [answer.start], len(answer.start)
    async for data in answer.chunks:
        size += len(data)
        if size > MAX_ANSWER:
            raise ValueError(f"more than {MAX_ANSWER} bytes")
        parts.append(data)
    raw = b"".join(parts)
    if items.is_deep(raw):
        raise ValueError(f"it is nested more than {items.MOST_LEVELS} levels deep")
    body, _ = surrogates.loads(raw)
    if type(body) is not dict:
        raise ValueError("it is no object")
    for event in forms.unfold(body):
        yield event


async def read_chunks(call: Call, answer: Answer, codec: StreamCodec) -> AsyncIterator[Iterator[Chunk]]:
    """The chunks of an answer as they come. One that breaks off when every choice has ended is whole."""
    try:
        if answer.streamed and answer.start:
            call.budget.extend(len(answer.start))
            yield codec.feed(answer.start)
        async for data in answer.chunks if answer.streamed else events_of(answer):
            call.budget.extend(len(data))
            yield codec.feed(data)
    except Refusal as fault:
        if fault.stage != "forward" or not codec.finished:
            raise
    yield codec.rest()


def _garbage(call: Call, what: str) -> Refusal:
    return Refusal(
        "upstream_error",
        f"The provider {call.outcome.provider} answered with {what}. Try again later.",
        stage="forward",
    )


async def refuse(call: Call, refusal: Refusal, reply: Reply) -> None:
    """Say no in the caller's format, also in the middle of a stream."""
    refusal.stage = refusal.stage or call.stage
    if refusal.said or refusal.terms:
        _add_judged_words(call, refusal)
    own = call.runtime.own
    refusal.hints = {name: value for name, value in refusal.hints.items() if not own.holds(f"{name}: {value}".encode())}
    call.refusal = refusal
    if call.keeper is not None:  # before the caller hears of it, so that the next try finds the key free
        await call.keeper.abandon()
    await reply.refuse(refusal)


def _add_judged_words(call: Call, refusal: Refusal) -> None:
    """A provider's own explanation joins the message if the output filter lets it pass."""
    screen, own = call.runtime.filter(call), call.runtime.own
    try:
        said = screen.text(refusal.said) if screen is not None else refusal.said
        passed = {
            name: term
            for name, term in refusal.terms.items()
            if (screen is None or screen.text(term) == term) and not own.holds(term.encode())
        }
    except Refusal:
        return
    if said:
        refusal.message += f" It said: {said}"
    refusal.param = passed.pop("param", refusal.param)
    refusal.detail = {**refusal.detail, **{f"upstream_{name}": term for name, term in passed.items()}}


async def settle_and_record(call: Call, reply: Reply) -> None:
    """Charge what was used, write down how it ended. A fault here is logged: the answer has left."""
    budget.bind(None)  # settling must come to its end, whatever the call has left
    runtime = call.runtime
    step(call, "settle")
    reply.ending = True
    if call.keeper is not None:
        await call.keeper.abandon()
    cost = 0
    try:
        cost = await settle(call)
        if not call.throttled:  # a flood of wrong keys must not fill the record
            runtime.audit.ended(call, reply.status, cost)
    except StoreUnavailable as fault:
        _log.error("call %s could not be settled: %s", call.id, fault)
    except PASSING:
        raise
    except BaseException as fault:
        _log.error("call %s could not be settled: %s", call.id, trace(fault))
        runtime.telemetry.failures.add(("settle",))
    runtime.telemetry.ended(call, reply.status, cost, time.perf_counter_ns())


async def settle(call: Call) -> int:
    """Settle what was reserved from what was used; returns the cost in nano-USD."""
    runtime, outcome = call.runtime, call.outcome
    if not outcome.sent:
        for reservation in (call.reservation, call.rest):
            if reservation is not None:
                await runtime.store.settle(reservation, {}, "released")
        return 0
    usage = outcome.usage or await _counted(call)
    # Told before the end, or as nothing beside a text: no less than that, and no less than what came.
    if outcome.outdated or (not usage.output and any(outcome.heard)):
        counted = await _counted(call)
        if counted.output > usage.output:
            usage = replace(usage, output=counted.output, input=max(usage.input, counted.input), counted=True)
    outcome.usage = usage
    price = runtime.forward.price(call.served_as or call.model, f"{outcome.provider}/{outcome.model}")
    cost = quota.charge(price, usage, call.tier)
    if call.reservation is not None:
        used = quota.used(call.debits, usage, cost) | ratelimit.elsewhere(call.debits, outcome.provider)
        used |= runtime.loops.ended(call.repeats, outcome.finished)
        await runtime.store.settle(call.reservation, used, "settled")
    if call.rest is not None:
        used = quota.used(call.late, usage, cost)
        used |= {debit.key: 0 for debit in call.late if not debit.refill}  # charged above, whole
        await runtime.store.settle(call.rest, used, "settled")
    return cost


async def _counted(call: Call) -> Usage:
    """What a call used whose provider did not say: nothing if it never answered, else what we can count."""
    if call.outcome.status != 200:
        return Usage()
    count = call.runtime.texts.count
    said = "".join(call.outcome.heard)
    texts = [said] if call.input_tokens else [said, *(span.text for span in call.spans)]
    if sum(map(len, texts)) > call.runtime.NEW_TEXT:
        output, *rest = await to_its_end(lambda: list(map(count, texts)))
    else:
        output, *rest = map(count, texts)
    return Usage(input=call.input_tokens or sum(rest), output=output, counted=True, tier=call.outcome.tier)
