"""Calls of the later era that take several rounds: the server answers with questions, and the client calls again.

A result of type `input_required` has questions (`inputRequests`) and a state (`requestState`), which the client sends
back with its answers (`inputResponses`) in a new request (2026-07-28, basic/patterns/mrtr). The state of the server
travels within one of the gateway, which is good for this caller and this call only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.call import Call, Json
from gateway.dialects import mcp_questions
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import ASKS, RESPONSES, STATE, Round
from gateway.policy.visible import Visible
from gateway.scheduling.lanes import to_its_end
from gateway.tools.server import Server
from gateway.tools.sessions import Sessions
from gateway.tools.wire import broken, parsed, written

_MARK: Final = b"input_required"
_MOST: Final = 16  # rounds of a call, and questions of a round
_LONGEST: Final = 16 * 1024  # characters of the state of a server
_FIRST: Final = Round("", None, {})


class Rounds:
    """Reads the questions in results. `count`: text -> tokens."""

    def __init__(self, visible: Visible, sessions: Sessions, count: Callable[[str], int]) -> None:
        self._visible = visible
        self._sessions = sessions
        self._count = count

    def params(self, call: Call, codec: Mcp, params: Json) -> Json:
        """The parameters of a call with the answers of its round, if there is one, and the state of the server."""
        if codec.round is None:
            return params
        made = {key: value for key, value in params.items() if key not in (STATE, RESPONSES)}
        if (answers := call.request.body["params"].get(RESPONSES)) is not None:
            made[RESPONSES] = answers
        return made if codec.round.state is None else {**made, STATE: codec.round.state}

    async def asked(self, call: Call, codec: Mcp, server: Server, raw: bytes) -> bytes:
        """A response with questions, without the state of the server; writes `codec.asks`. Raises Refusal.

        Any other response is returned unchanged.
        """
        said = required(raw)
        if said is None:
            return raw
        result, able = said["result"], codec.able(server.row.asks)
        before = codec.round or _FIRST
        state, questions = read(server, result, before.number + 1)
        kinds, tokens = await self.screened(call, server, questions, able)
        assert call.subject is not None, "calls leave after identify"
        made = Round(codec.about, state, kinds, tokens, before.number + 1, bool(codec.held))
        until = time.time() + server.row.longest
        codec.asks = mcp_questions.addresses(result)
        codec.added[STATE,] = self._sessions.round(call.subject, server.name, made, until)
        return written(server.name, said)

    async def screened(
        self, call: Call, server: Server, questions: Json, able: Json
    ) -> tuple[dict[str, str], dict[str, int]]:
        """The kinds of questions, and the tokens of their prompts, by key; takes out what is not passed on.

        Raises Refusal if the client may not be asked one of them.
        """
        _count(server, questions)
        kinds, tokens = dict[str, str](), dict[str, int]()
        for key, question in questions.items():
            kind = kinds[key] = await self._kind(call, server, key, question, able)
            question["params"] = mcp_questions.sent(kind, question["params"], able)
            if kind == "sampling":
                tokens[key] = await to_its_end(partial(self._tokens, question["params"]))
        return kinds, tokens

    async def _kind(self, call: Call, server: Server, key: str, question: object, able: Json) -> str:
        """The kind of a question. Raises Refusal if the client may not be asked."""
        if not mcp_questions.is_id(key):
            raise broken(server.name, "asks the client under too long a key")
        asked: Json = question if type(question) is dict else {}
        if why := mcp_questions.refused(asked.get("method"), asked.setdefault("params", {}), able):
            raise broken(server.name, f"asks the client something that is not passed on: {why}")
        kind = ASKS[asked["method"]]
        if not await self._visible.may(call, f"{server.name}/{mcp_questions.answering(kind)}"):
            raise broken(server.name, "asks the client something that you may not be asked")
        return kind

    def _tokens(self, params: Json) -> int:
        return self._count(mcp_questions.prompt(params))


def required(raw: bytes) -> Json | None:
    """A response whose result asks the client; None for any other."""
    if _MARK not in raw and b"\\u00" not in raw:  # an escape may spell the type
        return None
    said = parsed(raw)
    result = said.get("result")
    return said if type(result) is dict and result.get("resultType") == _MARK.decode() else None


def read(server: Server, result: Json, number: int) -> tuple[str | None, Json]:
    """The state of the server and its questions, which are taken out of the result of a round. Raises Refusal."""
    state, questions = result.pop(STATE, None), result.get("inputRequests") or {}
    if type(questions) is not dict or not (questions or state) or type(state) not in (str, type(None)):
        raise broken(server.name, "asks the client without saying what")
    if number > _MOST or len(state or "") > _LONGEST:
        raise broken(server.name, f"asks without end: more than {_MOST} rounds, or too long a state")
    _count(server, questions)
    return state, questions


def _count(server: Server, questions: Json) -> None:
    if len(questions) > _MOST:
        raise broken(server.name, f"asks more than {_MOST} questions at once")
