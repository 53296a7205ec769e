"""The call leaves for an upstream, and the answer comes back: whole, as a stream, or as a refusal."""

from __future__ import annotations

from gateway.call import Call, Json, Usage
from gateway.dialects.gemini_files import Resumable
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.agents import events
from gateway.exchange.answers import Answers
from gateway.exchange.cache import Cache
from gateway.exchange.desks import Desks
from gateway.exchange.listed import listed
from gateway.exchange.listen import Listeners
from gateway.exchange.notices import Notices, notices
from gateway.exchange.passed import passed
from gateway.exchange.refuse import add_judged_words
from gateway.exchange.stream import stream
from gateway.exchange.tool import Lists, described, judged_answer, told, tool
from gateway.exchange.uploads import final, uploaded
from gateway.exchange.whole import whole
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.scheduling.lanes import unbroken
from gateway.upstream import fields
from gateway.upstream.answer import Answer
from gateway.upstream.forward import Forward


class Exchange:
    """The stage, built for one configuration."""

    def __init__(
        self,
        forward: Forward,
        answers: Answers,
        desks: Desks,
        results: Results,
        listeners: Listeners,
        cache: Cache | None = None,
    ) -> None:
        self._listeners = listeners
        self._forward = forward
        self._answers = answers
        self._desks = desks
        self._results = results
        self._lists = Lists()
        self._cache = cache

    def keep_fields(self, call: Call) -> None:
        """Keep, drop or refuse fields that the dialect does not know. Raises Refusal(invalid_request)."""
        fields.keep(call, self._forward.fields)

    async def forward(self, call: Call, reply: Reply) -> None:
        """Send the call, and return the judged answer. Raises Refusal."""
        if call.resource.kind != "llm":
            streams = self._listeners.streams
            before = notices(self._answers, self._results, call, reply, self._desks.mcp, streams)
            try:
                await self._called(call, reply, before)
            finally:
                if before is not None:
                    before.record()
            return
        if call.reference is not None and call.reference.page is not None and self._answers.owners is not None:
            await listed(self._answers, self._forward, self._answers.owners.lists, call, reply)
            return
        decision = call.authorization.decision
        wanted = decision is not None and decision.obligations.cache is not None
        defers = call.reference is None and call.codec.defers(call.request.body)
        if self._cache is not None and (wanted or self._cache.for_models) and not defers:
            await self._cached(call, reply, self._cache)
        elif defers:
            await unbroken(self._opened(call, reply))  # its id is recorded, whoever leaves meanwhile
        else:
            await self._opened(call, reply)

    async def _opened(self, call: Call, reply: Reply) -> None:
        """Send the call to its provider, and return the judged answer. Raises Refusal."""
        await self._sent(call, await self._forward.open(call, call.admission.targets), reply)

    async def _called(self, call: Call, reply: Reply, before: Notices | None) -> None:
        """Send a call to a tool or an agent, and return the judged answer. Raises Refusal."""
        if isinstance(call.codec, Mcp) and call.codec.listens:
            await self._listeners.listen(self._answers, self._results, self._desks.mcp, call, call.codec, reply)
            call.outcome.finished = True
            return
        answer = await self._desks.of(call).open(call, before)
        if answer.streamed:
            await events(self._answers, self._results, self._desks.a2a, call, answer, reply)
            return
        codec = call.codec if isinstance(call.codec, Mcp) else None
        tells = codec is not None and codec.tells
        if (call.request.control and not tells) or (codec is not None and codec.told):
            await told(self._answers, self._lists, call, answer, reply)
        else:
            await tool(self._answers, self._results, call, answer, reply)
        call.outcome.finished = True

    async def card(self, call: Call, card: Json) -> Json:
        """The card of another agent, judged as an answer. Raises Refusal."""
        return await described(self._answers, call, card)

    async def notice(self, call: Call, raw: bytes) -> bytes:
        """What another agent tells of a task, judged as an answer. Raises Refusal."""
        return await judged_answer(self._answers, self._results, call, raw)

    async def _cached(self, call: Call, reply: Reply, cache: Cache) -> None:
        """Send the kept answer, or keep the one that is sent."""
        answer, keeping = await cache.find(call)
        try:
            if answer is None:
                answer = await self._forward.open(call, call.admission.targets)
                if keeping is not None:
                    answer = keeping.over(answer)
            await self._sent(call, answer, reply)
        finally:
            if keeping is not None:
                await keeping.end(call, answer)

    async def _sent(self, call: Call, answer: Answer, reply: Reply) -> None:
        """Send the judged answer. Raises Refusal."""
        try:
            if call.reference is not None:
                await self._referred(call, answer, reply)
            elif call.codec.through:
                judge = uploaded if isinstance(call.codec, Resumable) else passed
                await judge(self._answers, call, answer, reply)
            elif call.request.stream:
                await stream(self._answers, call, answer, reply)
            else:
                await whole(self._answers, call, answer, reply)
            call.outcome.finished = True
            if not answer.ended:
                await answer.drain()
        finally:
            answer.close(call.outcome.finished)

    async def _referred(self, call: Call, answer: Answer, reply: Reply) -> None:
        """Send what the provider stores, judged again. It was charged when it was made, or when its end was first seen.

        An answer that is refused has been seen, too.
        """
        try:
            await (passed if call.codec.through else whole)(self._answers, call, answer, reply)
        finally:
            try:
                await self._answers.claim(call)
            finally:
                if not call.outcome.claimed:
                    call.outcome.usage, call.outcome.heard = Usage(), []

    async def refuse(self, call: Call, refusal: Refusal, reply: Reply) -> None:
        """Refuse in the caller's format, also in the middle of a stream. Writes `call.refusal`."""
        refusal.stage = refusal.stage or call.stage
        if refusal.said or refusal.terms:
            add_judged_words(call, refusal, self._answers)
        own = self._answers.own
        hints = refusal.hints.items()
        refusal.hints = {name: value for name, value in hints if not own.holds(f"{name}: {value}".encode())}
        call.refusal = refusal
        if isinstance(call.codec, Resumable):
            final(refusal)
        if (
            call.replay.keeper is not None
        ):  # before the caller hears of the refusal, so that the next try finds the key free
            await call.replay.keeper.abandon()
            call.replay.keeper = None  # an error may have the status 200, and is not kept
        await reply.refuse(refusal)
        if isinstance(call.codec, Mcp):
            await self._desks.mcp.turn_down(call)
