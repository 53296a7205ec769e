"""What a server sends before its answer to one call: notifications, and questions to the client.

A question leaves under an id of the gateway. The client answers with a message of its own, which walks the line as a
call does, and is passed on to the server. Config keys: `tools.*.asks`, `ask_timeout`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.call import Call, Json
from gateway.dialects import mcp_names, mcp_questions
from gateway.dialects.jsonrpc import INVALID, OURS, UNKNOWN_METHOD
from gateway.dialects.mcp_questions import ASKS, Question
from gateway.ids import uuid7
from gateway.policy.visible import Visible
from gateway.scheduling.lanes import to_its_end
from gateway.tools.caller import caller_of
from gateway.tools.held import Held, HeldCall
from gateway.tools.notices import passed
from gateway.tools.server import Server
from gateway.tools.sessions import Opened, Sessions
from gateway.tools.wire import Relay, Session


class Asks:
    """Passes questions of servers on to clients, and their answers to the servers. `count`: text -> tokens."""

    def __init__(self, visible: Visible, sessions: Sessions, held: Held, count: Callable[[str], int]) -> None:
        self._visible = visible
        self._sessions = sessions
        self._held = held
        self._count = count

    def holding(self, call: Call, server: Server, able: Json, held: HeldCall) -> Passing:
        """What keeps what a server sends for a client of the later era. `able`: what the client can be asked."""
        return Passing(held, uuid7(), able, self._may(call, server), held.note, None)

    def _may(self, call: Call, server: Server) -> Callable[[str], Awaitable[bool]]:
        """Whether the client of a call may be asked a kind of question."""

        async def may(kind: str) -> bool:
            return await self._visible.may(call, f"{server.name}/{mcp_questions.answering(kind)}")

        return may

    def passing(self, call: Call, door: str, server: Server, opened: Opened | None, relay: Relay) -> Passing:
        """What passes on what a server sends before its answer.

        `opened`: the client's session at the path of `door`; None without one.
        """
        subject = call.subject
        assert subject is not None, "calls leave after identify"

        def sealed(question: Question, session: Session | None) -> str:
            assert opened is not None, "only the client of a session can be asked"
            if session is not None and (not door or session.modern or session[:2] != opened.upstream[:2]):
                question = question._replace(server=server.name, version=session.version, session=session.id)
            return self._sessions.ask(subject, door, opened, question, time.time() + server.row.longest)

        able = mcp_questions.able(opened.able, server.row.asks) if opened is not None else {}
        return Passing(relay, uuid7(), able, self._may(call, server), sealed, self._count)

    async def answer(self, call: Call, question: Question, server: Server, opened: Opened) -> None:
        """Pass the answer of the client on. Raises Refusal."""
        body = call.request.body
        if "error" in body:
            said: Json = {"error": {key: body["error"][key] for key in ("code", "message")}}
        else:
            said = {"result": {key: value for key, value in body["result"].items() if key != mcp_names.META}}
        await self._tell(call, question, server, opened, said)
        call.outcome.status = 200

    def waits_here(self, question: Question, opened: Opened) -> bool:
        """Whether a call of the worker waits for the answer to a question, as the server asked in a result."""
        return _session(question, opened).modern

    async def turn_down(self, call: Call, question: Question, server: Server, opened: Opened) -> None:
        """Tell a server that the answer was refused. Raises Refusal."""
        error = {"code": OURS, "message": "The gateway did not pass the answer of the client on."}
        await self._tell(call, question, server, opened, {"error": error})

    async def _tell(self, call: Call, question: Question, server: Server, opened: Opened, said: Json) -> None:
        session = _session(question, opened)
        if session.modern:  # the server asked in a result
            self._held.answer(question.id, said)
            return
        await server.tell_in(session, {"jsonrpc": "2.0", "id": question.id, **said}, caller_of(call))


def _session(question: Question, opened: Opened) -> Session:
    """The session in which a server asked."""
    if not question.server:
        return opened.upstream
    return Session(question.version, question.session, holder=opened.upstream.holder)


class Passing(Relay):
    """Passes on to the caller of one call what the caller may get.

    `token`: the progress token that the server got. `able`: what the client can be asked. `may`: whether the policy
    would allow answers of a kind. `sealed`: the id under which the client gets a question. `count`: text -> tokens;
    None if they are counted elsewhere.
    """

    def __init__(
        self,
        relay: Relay,
        token: str,
        able: Json,
        may: Callable[[str], Awaitable[bool]],
        sealed: Callable[[Question, Session | None], str],
        count: Callable[[str], int] | None,
    ) -> None:
        self._relay = relay
        self.token = token
        self.able = able
        self._may = may
        self._sealed = sealed
        self._count = count
        self._session: Session | None = None
        self.asked = False
        """The client got a question: the call must not be sent again."""

    def begin(self, session: Session) -> None:
        """The call leaves in this session."""
        self._session = session

    async def tell(self, said: Json) -> None:
        """Pass a notification on. Raises Refusal."""
        if (kept := passed(said, self.token)) is not None:
            await self._relay.tell(kept)

    async def ask(self, question: Json) -> Json | None:
        """Pass a question on; returns the error for the server if the client does not get the question."""
        method, params = question["method"], question.get("params", {})
        if why := mcp_questions.refused(method, params, self.able):
            return {"code": UNKNOWN_METHOD, "message": why}
        if not mcp_questions.is_id(question.get("id")):
            return {"code": INVALID, "message": "The id of the question is too long."}
        kind = ASKS[method]
        if not await self._may(kind):
            return {"code": UNKNOWN_METHOD, "message": "The client may not be asked this."}
        tokens = 0
        if kind == "sampling" and self._count is not None:
            tokens = await to_its_end(partial(self._count, await to_its_end(partial(mcp_questions.prompt, params))))
        id = self._sealed(Question(kind, question["id"], tokens), self._session)
        params = mcp_questions.sent(kind, params, self.able)
        refused = await self._relay.ask({"id": id, "method": method, "params": params})
        self.asked |= refused is None
        return refused
