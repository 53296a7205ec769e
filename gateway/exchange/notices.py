"""What a tool server sends before its answer: each message is judged as a result, and sent as an event to the caller.

A notification that is refused is left out, a question that is refused gets an error; the labels stay with the workflow,
and the call goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from gateway.call import Call, Json, Resource, Screening
from gateway.dialects.jsonrpc import OURS
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import Task, complete
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.kept import KeptStreams
from gateway.exchange.tool import judged_text
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.tools.desk import Desk, Resumed
from gateway.tools.notices import NOTHING_BESIDE, PROGRESS, Beside
from gateway.tools.wire import Relay

_WITHHELD: Final[Json] = {"code": OURS, "message": "The gateway did not pass the question on to the client."}


def notices(
    answers: Answers, results: Results, call: Call, reply: Reply, desk: Desk, streams: KeptStreams
) -> Notices | None:
    """What passes notifications on to the caller of a call; None if the caller takes no events.

    The answer to a call with an `Idempotency-Key` is kept whole, so that no events come before it.
    """
    codec = call.codec
    if not isinstance(codec, Mcp) or not codec.takes_events or call.request.control or call.replay.keeper is not None:
        return None
    return _Kept(answers, results, call, codec, reply, desk.resumes(call), streams)


class Notices(Relay):
    """What a server sends before its answer to one call. `at`: the id of the next event, "" for none."""

    at = ""

    def __init__(self, answers: Answers, results: Results, call: Call, codec: Mcp, reply: Reply) -> None:
        self._answers = answers
        self._results = results
        self._call = call
        self._codec = codec
        self._reply = reply
        self._counts: dict[str, int] = {}

    async def tell(self, said: Json) -> None:
        """Pass on a notification, as method and parameters, with `beside`. Raises Refusal."""
        beside: Beside = said.get("beside", NOTHING_BESIDE)
        params = await self._judged(said["params"], beside.task)
        if params is None or not complete(params, beside.added, beside.asks, beside.keys):
            return
        if said["method"] == PROGRESS:
            params["progressToken"] = self._codec.progress
        await self._send({"method": said["method"], "params": params})

    async def ask(self, question: Json) -> Json | None:
        """Pass on a question, as id, method and parameters; returns the error for the server if it is refused."""
        params, url = await self._judged(question["params"]), question["params"].get("url")
        if params is None or params.get("url") != url:  # an address from which something was taken leads elsewhere
            return dict(_WITHHELD)
        await self._send({**question, "params": params})
        return None

    async def _send(self, said: Json) -> None:
        data = self._codec.event(orjson.dumps({"jsonrpc": "2.0", **said}), self.at)
        self._answers.own.check(data)
        await self._reply.stream(data)

    async def _judged(self, params: Json, task: Task | None = None) -> Json | None:
        """The parameters after judging, as if they were a result; None if they may not pass.

        `task`: what is said of a task is said by its tool.
        """
        call, outcome = self._call, self._call.outcome
        usage, heard = outcome.usage, outcome.heard
        raw = orjson.dumps({"jsonrpc": "2.0", "id": self._codec.id, "result": params})
        said = call if task is None else replace(call, resource=Resource("tool", f"{self._codec.server}/{task.tool}"))
        try:
            result: Json = orjson.loads(await judged_text(self._answers, self._results, said, raw))["result"]
        except Refusal as refusal:
            if refusal.domain not in ("policy", "upstream"):
                raise
            return None
        finally:
            outcome.usage, outcome.heard = usage, heard
            self._add(self._counts, call.screening.counts)
            call.screening = Screening()
        return result

    def record(self) -> None:
        """Add what was found in notifications to what was found in the answer."""
        self._add(self._call.screening.counts, self._counts)

    def _add(self, to: dict[str, int], counts: dict[str, int]) -> None:
        for entity, number in counts.items():
            to[entity] = to.get(entity, 0) + number


class _Kept(Notices):
    """The same in a stream that the client can come back to, if `resumed`."""

    def __init__(
        self,
        answers: Answers,
        results: Results,
        call: Call,
        codec: Mcp,
        reply: Reply,
        resumed: Resumed | None,
        streams: KeptStreams,
    ) -> None:
        super().__init__(answers, results, call, codec, reply)
        self._resumed = resumed
        self._streams = streams

    async def _send(self, said: Json) -> None:
        if self._resumed is not None and not self._reply.begun:
            self._keep(self._resumed)
        await super()._send(said)

    def _keep(self, resumed: Resumed) -> None:
        kept = self._streams.open(resumed.session, self._call.key or b"")
        if kept is None:
            return

        self._codec.numbered, self._reply.kept = lambda: resumed.id(kept.id, len(kept) + 1), kept
