"""Streams of other agents: each event is judged by the policy as the text of a stranger, and by the output filter.

The owner of a task is recorded before the event that names the task leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.agents.desk import AgentDesk
from gateway.call import Call, Usage
from gateway.dialects import Channel, Chunk
from gateway.dialects.a2a_stream import Event
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.stream import again, read, stream
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.texts import Slot
from gateway.upstream.answer import Answer

_END: Final = 1024  # characters of a text that are judged again with what follows
_TEXTS: Final = 1024  # running texts whose end is remembered


async def events(
    answers: Answers, results: Results, agents: AgentDesk, call: Call, answer: Answer, reply: Reply
) -> None:
    """Send a stream as it arrives, each event once it is judged. Raises Refusal."""
    call.outcome.usage = Usage()
    try:
        await stream(answers, call, answer, reply, _Watch(results, agents, call))
        call.outcome.finished = True
        if not answer.ended:
            await answer.drain()
    finally:
        answer.close(call.outcome.finished)


class _Watch:
    """What happens to events before the output filter sees them.

    The policy judges the texts of an event together with the end of the texts that go on in the event, if they hold
    other findings than the events before.
    """

    def __init__(self, results: Results, agents: AgentDesk, call: Call) -> None:
        self._results = results
        self._agents = agents
        self._call = call
        self._ends: dict[Channel, str] = {}
        self._ids: set[tuple[str, str]] = set()  # few: a stream has one task, and a context or some more
        self._judged: object = None

    async def __call__(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The same chunks. Raises Refusal."""
        some: list[Chunk] = []
        fault = read(chunks, some)
        for number, chunk in enumerate(some):
            try:
                await self._watch(chunk)
            except Refusal as refusal:
                return again(some[:number], refusal)
        return again(some, fault)

    async def _watch(self, chunk: Chunk) -> None:
        told = chunk.told if isinstance(chunk, Event) else None
        if told is not None:
            self._call.outcome.failed = told.failed
        if told is not None and (ids := (told.task, told.context)) not in self._ids:
            await self._agents.claim(self._call, *ids)
            self._ids.add(ids)
        if told is not None and told.over:
            await self._agents.end(self._call, told.task)
        if not self._results.judges or chunk.data is None:
            return
        slots = self._slots(chunk)
        size = sum(len(slot.text) for slot in slots)
        if not size:
            return
        self._call.budget.extend(size)
        asked = await judge(self._call, size > NEW_TEXT, self._results.read, self._call, slots)
        found = (dict(asked.redaction.counts), asked.request.content)
        if found != self._judged:
            await self._results.judge(asked)
            self._judged = found

    def _slots(self, chunk: Chunk) -> list[Slot]:
        """The texts of an event, each after the end of the same text in earlier events."""
        slots = [slot for survey in chunk.wholes for slot in survey.slots]
        ends = self._ends
        for field in chunk.fields:
            for piece in field.pieces:
                text = ends.get(piece.channel, "") + piece.holder[piece.key]
                slots.append(Slot(piece.holder, piece.key, text, "tool", None))
                ends[piece.channel] = text[-_END:]
        while len(ends) > _TEXTS:
            del ends[next(iter(ends))]
        return slots
