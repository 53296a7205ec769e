"""Calls that wait for answers of their clients within the gateway, because client and server are of different eras.

What waits is bounded, for each agent and for the process, and ends with the time of its call, with the key of its
caller, and with the process. Another gateway has nothing of it: an answer that arrives there is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

from gateway import budget
from gateway.call import Call, Json
from gateway.dialects.mcp_questions import Question
from gateway.errors import Refusal, release
from gateway.ids import uuid7
from gateway.tools.notices import PROGRESS
from gateway.tools.server import Server
from gateway.tools.wire import Hold, Relay, Session, broken, unasked

_OWN: Final = 16  # calls of one agent that wait
_MOST: Final = 256  # calls that wait
_BYTES: Final = 1024 * 1024  # of a server while no request of the client is there
Owner = tuple[str, str]


class Held:
    """The calls of the process that wait. For one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._held: dict[str, HeldCall] = {}  # by the state of the client, while no request of the client is there
        self._of: Counter[Owner] = Counter()
        self._ends: dict[Callable[[], object], bytes] = {}  # what ends a call that waits -> the key of its caller

    def begin(self, call: Call, server: str, end: Callable[[], object]) -> Callable[[], None]:
        """A call waits; returns what says that it does no more. `end`: ends the call. Raises Refusal."""
        owner = _owner(call)
        if self._of[owner] >= _OWN or len(self._ends) >= _MOST:
            most = f"{_OWN} calls of yours" if self._of[owner] >= _OWN else f"{_MOST} calls"
            raise broken(server, f"asks the client, but {most} wait for answers of clients already")
        self._of[owner] += 1
        self._ends[end] = call.key or b""
        return partial(self._leave, owner, end)

    def _leave(self, owner: Owner, end: Callable[[], object]) -> None:
        if self._ends.pop(end, None) is not None:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]

    def sweep(self, lives: Callable[[bytes], bool]) -> None:
        """End the calls of callers whose key is no longer valid."""
        for end, key in list(self._ends.items()):
            if not lives(key):
                end()

    def close(self) -> None:
        """End all calls."""
        for end in list(self._ends):
            end()

    @contextlib.contextmanager
    def answers(self, call: Call, server: str) -> Iterator[dict[str, asyncio.Future[Json]]]:
        """The answers for which a call waits, by the id of the question; those that are added can be answered."""
        waits: dict[str, asyncio.Future[Json]] = _Waits(self._waiting)

        def end() -> None:
            for future in waits.values():
                if not future.done():
                    future.set_exception(_ended(server))

        leave = self.begin(call, server, end)
        try:
            yield waits
        finally:
            leave()
            for id, future in waits.items():
                self._waiting.pop(id, None)
                future.cancel()

    def answer(self, id: object, said: Json) -> None:
        """The answer to a question, as `result` or `error`. Raises Refusal if nobody waits for the answer."""
        future = self._waiting.pop(id, None) if type(id) is str else None
        if future is None or future.done():
            raise unasked()
        future.set_result(said)

    def keep(self, held: HeldCall, seconds: float) -> str:
        """Keep a call until the client continues it, or until `seconds` are over; returns the state to find it."""
        state = held.state = uuid7()
        self._held[state] = held
        held.timer = asyncio.get_running_loop().call_later(seconds, held.end)
        return state

    def take(self, call: Call, state: str | None) -> HeldCall:
        """The call that a client continues. Raises Refusal if there is none, or if it is another caller's."""
        held = self._held.get(state) if state is not None else None
        if state is None or held is None or held.owner != _owner(call):
            raise unasked()
        self.forget(held)
        return held

    def forget(self, held: HeldCall) -> None:
        """The client continues a call, or the call ends."""
        self._held.pop(held.state, None)
        if held.timer is not None:
            held.timer.cancel()

    def drop(self, state: str) -> None:
        """End a call that nobody continues."""
        if (held := self._held.get(state)) is not None:
            held.end()


class _Waits(dict[str, "asyncio.Future[Json]"]):
    """Answers that are awaited, which are also in another dictionary."""

    def __init__(self, all: dict[str, asyncio.Future[Json]]) -> None:
        super().__init__()
        self._all = all

    def __setitem__(self, id: str, future: asyncio.Future[Json]) -> None:
        super().__setitem__(id, future)
        self._all[id] = future


class HeldCall(Relay):
    """A call at a server of the earlier era, which may ask before its answer, for a client of the later.

    The call goes on while the client, which got questions as an answer, has no request here. `sent`: the id of the
    request that began it.
    """

    def __init__(self, held: Held, call: Call, server: Server, sent: object) -> None:
        self.owner = _owner(call)
        self.server = server
        self.sent = sent
        self.pending: dict[str, tuple[Question, Session]] = {}
        """Key of a question that the client has not answered -> the question, and the session in which it was asked."""
        self.state = ""
        self.timer: asyncio.TimerHandle | None = None
        self._held = held
        self._begin = partial(held.begin, call, server.name)  # with `end`, a cycle: freed by the GC only
        self._leave: Callable[[], None] | None = None
        self._said: asyncio.Queue[Json | None] = asyncio.Queue()  # None: there is an answer
        self._hold: Hold | None = None
        self._size = 0  # bytes that no request of the client holds
        self._number = 0
        self._task: asyncio.Task[bytes] | None = None
        self._ended: bytes | BaseException = b""

    def start(self, work: Coroutine[Any, Any, bytes]) -> None:
        """The call leaves."""
        context = contextvars.copy_context()
        context.run(budget.bind, None)  # that of the first request ends with the request
        self._task = asyncio.create_task(work, context=context)
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._task = None
        try:
            fault = task.exception()  # a call that nobody continues is no fault of the gateway
            release(fault)
            self._ended = fault or task.result()
        except asyncio.CancelledError as cancelled:
            release(cancelled)
            self._ended = _ended(self.server.name)
        self._said.put_nowait(None)

    def attach(self, hold: Hold | None) -> None:
        """A request of the client is there (None: no more), which holds the bytes of the call."""
        self._hold = hold
        if hold is not None:
            size, self._size = self._size, 0
            hold(size)

    def hold(self, size: int) -> None:
        """Count the bytes of an answer. Raises Refusal."""
        if self._hold is not None:
            self._hold(size)
            return
        self._size += size
        if self._size > _BYTES:
            raise broken(self.server.name, f"sent more than {_BYTES} bytes while the client was asked")

    def note(self, question: Question, session: Session | None) -> str:
        """The key under which the client gets a question. Raises Refusal if too many calls wait."""
        assert session is not None, "calls leave in a session"
        if self._leave is None:
            self._leave = self._begin(self.end)
        self._number += 1
        key = f"q{self._number}"
        self.pending[key] = question, session
        return key

    async def tell(self, said: Json) -> None:
        """Keep a notification for the client."""
        self._said.put_nowait(said)

    async def ask(self, question: Json) -> Json | None:
        """Keep a question for the client."""
        self._said.put_nowait(question)
        return None

    async def next(self, relay: Relay | None, *, progress: bool) -> bytes | dict[str, Json]:
        """The answer, or the questions before it, once what came before was passed on. Raises Refusal.

        `progress`: whether the client wants to hear of it.
        """
        asked: dict[str, Json] = {}
        while not asked or not self._said.empty():
            said = await self._said.get()
            if said is None:
                return self._answer()
            if "id" in said:
                asked[said["id"]] = {"method": said["method"], "params": said["params"]}
            elif relay is not None and (progress or said["method"] != PROGRESS):
                await relay.tell(said)
        return asked

    def _answer(self) -> bytes:
        if isinstance(self._ended, BaseException):
            raise self._ended
        return self._ended

    def end(self) -> None:
        """End the call, if it goes on."""
        self._held.forget(self)
        if self._task is not None:
            self._task.cancel()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def _owner(call: Call) -> Owner:
    assert call.subject is not None, "calls leave after identify"
    return call.subject.team, call.subject.acting


def _ended(server: str) -> Refusal:
    return broken(server, "asked the client, and the call was ended before there was an answer")
