"""Questions where client and server are of different eras of the protocol.

A server up to 2025-11-25 asks before its answer, and a client from 2026-07-28 on gets questions as an answer: the call
is held until the client calls again with its answers. A server from 2026-07-28 on asks in its result, and a client up
to 2025-11-25 gets questions in the stream of its call: the call is repeated with the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import orjson

from gateway.call import Call, Json
from gateway.dialects.jsonrpc import OURS
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import RESPONSES, STATE
from gateway.errors import Refusal
from gateway.ids import uuid7_here
from gateway.tools.asking import Asks, Passing
from gateway.tools.caller import caller_of
from gateway.tools.held import Held, HeldCall
from gateway.tools.rounds import Rounds, read, required
from gateway.tools.server import Server
from gateway.tools.wire import Hold, Relay, broken

Work = Callable[[Passing, Hold], Coroutine[Any, Any, bytes]]
"""Sends a call; the bytes of its answer are held."""
_NO_ANSWER: Final[Json] = {"code": OURS, "message": "The client did not answer."}


class Eras:
    """Calls across eras, for one configuration. `held`: those of the process that wait."""

    def __init__(self, held: Held, asks: Asks, rounds: Rounds) -> None:
        self._held = held
        self._asks = asks
        self._rounds = rounds

    async def begin(self, call: Call, codec: Mcp, server: Server, able: Json, relay: Relay | None, work: Work) -> bytes:
        """Send a call of a client of the later era, and hold it if the server asks. Raises Refusal.

        Returns the response: that of the server, or one with the questions.
        """
        held = HeldCall(self._held, call, server, codec.id)
        held.start(work(self._asks.holding(call, server, able, held), held.hold))
        return await self._round(call, codec, held, relay)

    async def go_on(self, call: Call, codec: Mcp, relay: Relay | None) -> bytes:
        """Pass the answers of a client on to the call that is held, and wait for what comes then. Raises Refusal."""
        assert codec.round is not None, "the request answers questions"
        held = self._held.take(call, codec.round.state)
        try:
            answers = call.request.body["params"].get(RESPONSES) or {}
            for key, (question, session) in list(held.pending.items()):
                said: Json = {"result": answers[key]} if key in answers else {"error": _NO_ANSWER}
                del held.pending[key]
                message = {"jsonrpc": "2.0", "id": question.id, **said}
                await held.server.tell_in(session, message, caller_of(call))
        except BaseException:
            held.end()
            raise
        return await self._round(call, codec, held, relay)

    async def _round(self, call: Call, codec: Mcp, held: HeldCall, relay: Relay | None) -> bytes:
        try:
            held.attach(call.ticket.hold)
            said = await held.next(relay, progress=codec.progress is not None)
            held.attach(None)
            if isinstance(said, bytes):
                held.end()
                return codec.named(said, held.sent)
            codec.held = self._held.keep(held, held.server.row.longest)
            result = {"resultType": "input_required", "inputRequests": said, STATE: codec.held}
            return orjson.dumps({"jsonrpc": "2.0", "id": codec.id, "result": result})
        except BaseException:
            held.end()
            raise

    def drop(self, codec: Mcp) -> None:
        """End the call whose questions are in an answer that does not reach the client."""
        if codec.held:
            self._held.drop(codec.held)

    async def in_stream(
        self,
        call: Call,
        server: Server,
        passing: Passing,
        raw: bytes,
        again: Callable[[Json], Awaitable[bytes]],
    ) -> bytes:
        """Ask a client of the earlier era what a result asks; returns the result without questions. Raises Refusal.

        `again`: sends the call with these further parameters.
        """
        number = 0
        try:
            async with asyncio.timeout(server.row.ask_timeout):
                while (said := required(raw)) is not None:
                    number += 1
                    state, questions = read(server, said["result"], number)
                    more: Json = {} if state is None else {STATE: state}
                    if questions:
                        more[RESPONSES] = await self._asked(call, server, passing, questions)
                    raw = await again(more)
        except TimeoutError:
            words = f"The tool server {server.name} asked the client something, and the call took too long."
            raise Refusal("upstream_timeout", words, stage="upstream") from None
        return raw

    async def _asked(self, call: Call, server: Server, passing: Passing, questions: Json) -> Json:
        """The answers of the client to the questions of a round, by their keys."""
        with self._held.answers(call, server.name) as waits:
            ids: dict[str, str] = {}
            for key, question in questions.items():
                asked: Json = question if type(question) is dict else {}
                id = ids[key] = uuid7_here()
                waits[id] = asyncio.get_running_loop().create_future()
                error = await passing.ask({"params": {}, **asked, "method": asked.get("method"), "id": id})
                if error is not None:
                    raise broken(server.name, f"asks the client something that is not passed on: {error['message']}")
            found: Json = {}
            for key, id in ids.items():
                said = await waits[id]
                if "error" in said:
                    raise broken(server.name, "asked the client something, and the client answered with an error")
                found[key] = said["result"]
            return found
