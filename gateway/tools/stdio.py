"""A connection to an MCP server that the gateway runs as a child process (stdio transport: one message a line).

Config keys: `tools.*.command`, `env`, `memory`, `timeout`, `max_answer`. The process starts with the first call, and
again after it has ended, at most once in each of a growing number of seconds. Callers share a process, so ids are the
gateway's own. What it writes to its standard error is dropped. A process that writes without end is killed; what one
does not read waits here, not in a buffer.

Nothing in a question says in which call it was asked. A process that may ask has one call at a time: see `processes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.dialects import mcp
from gateway.errors import Refusal
from gateway.ids import uuid7
from gateway.tools.child import GRACE, Flood, Strays, add, kill, started
from gateway.tools.notices import CANCELLED, PROGRESS
from gateway.tools.wire import (
    CHANGED,
    NO_HEADERS,
    NOTHING,
    NOTICES,
    OFFERED,
    QUESTIONS,
    Hold,
    InTime,
    Relay,
    Session,
    Told,
    Wire,
    asked_too_much,
    broken,
    parsed,
    reply,
    unasked,
)

_PASSED: Final = ("PATH", "HOME", "LANG", "TMPDIR")
_LONGEST_WAIT: Final = 30.0  # seconds between two starts
_HELD: Final = 256  # requests at a time
_SELF: Json = {"name": "meshgate", "version": "1"}


class StdioWire(Wire):
    """One process, by its row of `tools`. For one event loop. `able`: what clients can be asked, as capabilities."""

    def __init__(self, name: str, row: Tool, able: Json = NOTHING) -> None:
        self._name = name
        self._row = row
        self._able = able
        self._asking: _Asked | None = None  # the call in which the process may ask
        self._questions: dict[str, object] = {}  # id that the client got -> id that the process gave
        self._starting = asyncio.Lock()
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, _Asked] = {}
        self._telling: dict[object, _Asked] = {}  # by progress token
        self._writing = asyncio.Lock()
        self._strays = Strays()
        self._changed: Callable[[], None] = lambda: None
        self._last = 0
        self._session = Session(OFFERED)
        self._about: Json = {}
        self._failed = 0  # starts in a row after which the process ended without an answer
        self._next = 0.0  # event-loop time of the next start

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """Start the process if it does not run; all sessions are the same, so that it can ask no client."""
        del bearer, able
        async with self._in_time():
            await self._run()
        return self._session, self._about

    async def ask(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        headers: Mapping[str, str] = NO_HEADERS,
        bearer: str = "",
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request; the response gets the id of the caller back."""
        del headers, bearer  # of HTTP
        async with self._in_time() as limit:
            process = await self._run()
            raw = await self._send(
                process, message, relay, session.holder, partial(limit.extend, self._row.ask_timeout)
            )
        hold(len(raw))
        said = orjson.loads(raw)
        said["id"] = message["id"]
        return orjson.dumps(said)

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """None: a process sends nothing outside of calls."""
        del session, bearer, last, message
        return None

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """Send a notification, or the answer to a question, which has the id that the client got."""
        del bearer
        if "method" not in message:
            await self._pass(message)
        elif message["method"] == CANCELLED:
            self._cancel(session.holder, message["params"].get("requestId"))
        else:
            async with self._in_time():
                await self._write(await self._run(), message)

    def asks(self, id: object) -> bool:
        """Whether the process waits for the answer to this question."""
        return id in self._questions

    async def _pass(self, answer: Json) -> None:
        """Pass the answer to a question on. Raises Refusal if nobody waits for the answer any more."""
        id = answer["id"]
        if id not in self._questions or self._process is None:
            raise unasked()
        async with self._in_time():
            await self._write(self._process, {**answer, "id": self._questions.pop(id)})

    def _cancel(self, holder: tuple[str, ...], id: object) -> None:
        """End a call of the same session: ids of other callers may be the same."""
        for asked in self._waiting.values():
            if holder and asked.of == (holder, id):
                asked.fail(broken(self._name, "was told to cancel the call"))

    async def end(self, session: Session, bearer: str = "") -> None:
        """Nothing: others use the process."""

    async def close(self) -> None:
        """End the process: by the end of its input, else by a signal."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            kill(process.pid)
            await process.wait()
        if self._reader is not None:
            await self._reader

    def follow(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when the process says so."""
        self._changed = changed

    def _in_time(self) -> InTime:
        return InTime(self._name, self._row.timeout)

    async def _run(self) -> Process:
        """The running process. Raises Refusal if it does not start."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return self._process
            now = asyncio.get_running_loop().time()
            if now < self._next:
                raise broken(self._name, "has ended and is not started again yet", down=True)
            self._failed += 1
            self._next = now + min(_LONGEST_WAIT, 0.25 * 2**self._failed)
            try:
                return await self._start()
            except (OSError, ValueError) as fault:
                raise broken(self._name, f"could not be started ({type(fault).__name__})", down=True) from None

    async def _start(self) -> Process:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        process = await started(self._row.command, {**environment, **self._row.env}, self._row.max_answer)
        if self._row.memory is not None:
            with contextlib.suppress(OSError):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (self._row.memory, self._row.memory))
        self._process, self._strays = process, Strays()
        self._reader = asyncio.create_task(self._read(process))
        try:
            params = {"protocolVersion": OFFERED, "capabilities": self._able, "clientInfo": _SELF}
            message: Json = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
            result = orjson.loads(await self._send(process, message)).get("result")
            if type(result) is not dict or result.get("protocolVersion") not in mcp.HANDSHAKE:
                raise broken(self._name, "opens no session of a version that the gateway has", down=True)
            self._session, self._about = Session(str(result["protocolVersion"])), result
            await self._write(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        except BaseException:
            kill(process.pid)
            raise
        self._failed = 0
        return process

    async def _send(
        self,
        process: Process,
        message: Json,
        relay: Relay | None = None,
        holder: tuple[str, ...] = (),
        longer: Callable[[], None] = lambda: None,
    ) -> bytes:
        if len(self._waiting) >= _HELD:
            raise broken(self._name, f"has {_HELD} calls in flight")
        self._last += 1
        id, asked = self._last, _Asked(process, (holder, message["id"]))
        self._waiting[id] = asked
        if relay is not None and self._able:
            self._asking = asked
        meta = message.get("params", {}).get(mcp.META)
        token = meta.get("progressToken") if relay is not None and type(meta) is dict else None
        if token is not None:
            self._telling[token] = asked
        try:
            await self._write(process, {**message, "id": id})
            return await self._heard(process, asked, relay, longer)
        except (asyncio.CancelledError, Refusal):
            params = {"requestId": id, "reason": "the caller has gone"}
            add(process, {"jsonrpc": "2.0", "method": CANCELLED, "params": params})
            raise
        finally:
            self._waiting.pop(id, None)
            self._telling.pop(token, None)
            if self._asking is asked:
                self._asking = None
                self._questions.clear()

    async def _heard(
        self,
        process: Process,
        asked: _Asked,
        relay: Relay | None,
        longer: Callable[[], None],
    ) -> bytes:
        """The response, once all that came before it was passed on. Raises Refusal."""
        questions = 0
        while relay is not None and (said := await asked.next()) is not None:
            if "id" not in said:
                await relay.tell(said)
                continue
            questions += 1
            if questions > QUESTIONS:
                raise asked_too_much(self._name)
            id = uuid7()
            self._questions[id] = said["id"]
            error = await relay.ask({**said, "id": id})
            if error is None:
                longer()
            else:
                del self._questions[id]
                await self._write(process, reply(said, error))
        return await asked.response

    async def _write(self, process: Process, message: Json) -> None:
        assert process.stdin is not None
        try:
            async with self._writing:  # nothing is added to what the process does not read
                await process.stdin.drain()
                process.stdin.write(orjson.dumps(message) + b"\n")
        except (OSError, RuntimeError):
            raise broken(self._name, "has ended", down=True) from None

    async def _read(self, process: Process) -> None:
        """Pass each response to its request, until the process ends or writes a line that is too long."""
        assert process.stdout is not None
        why, down = "has ended", True
        try:
            while line := await process.stdout.readline():
                self._take(process, line)
        except Flood:
            why = "writes without end"
        except ValueError:
            why, down = f"answered with more than {self._row.max_answer} bytes", False
        kill(process.pid)
        await process.wait()
        for asked in list(self._waiting.values()):
            if asked.process is process:
                asked.fail(broken(self._name, why, down=down))

    def _take(self, process: Process, line: bytes) -> None:
        """Take a line. Raises Flood."""
        said = parsed(line)
        id = said.get("id")
        answered = "method" not in said and type(id) is int and self._waiting.get(id)
        if answered and answered.process is process and not answered.response.done():
            answered.answer(line)
            return
        self._strays.count(line)
        if "method" not in said:
            return
        if "id" in said and self._asking is not None and said["method"] != "ping":
            self._hear(self._asking, said, len(line))
        elif "id" in said:  # of no call whose client can be asked
            add(process, reply(said))
        elif said["method"] == CHANGED:
            self._changed()
        elif said["method"] == PROGRESS and type(params := said.get("params")) is dict:
            self._tell(params.get("progressToken"), said, len(line))

    def _tell(self, token: object, said: Json, size: int) -> None:
        """Pass a report of progress to the call that it belongs to. Of a log, nobody knows that."""
        asked = self._telling.get(token) if type(token) is str else None
        if asked is not None:
            self._hear(asked, said, size)

    def _hear(self, asked: _Asked, said: Json, size: int) -> None:
        """Pass a message on to a call. Those of one call may not have more bytes than an answer."""
        asked.size += size
        if asked.size > self._row.max_answer:
            asked.fail(broken(self._name, f"answered with more than {self._row.max_answer} bytes"))
        else:
            asked.tell(said)


class _Asked:
    """A request whose response is awaited, and what the process says before. `of`: who sent it, and under which id."""

    def __init__(self, process: Process, of: tuple[tuple[str, ...], object]) -> None:
        self.process = process
        self.of = of
        self.size = 0
        self._told = 0
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._before: asyncio.Queue[Json | None] = asyncio.Queue()  # None: there is an answer

    def answer(self, line: bytes) -> None:
        """The response."""
        if not self.response.done():
            self.response.set_result(line)
            self._before.put_nowait(None)

    def fail(self, fault: Refusal) -> None:
        """There will be none."""
        if not self.response.done():
            self.response.set_exception(fault)
            self.response.exception()  # a caller that has gone does not ask for the fault, which is no error then
            self._before.put_nowait(None)

    def tell(self, said: Json) -> None:
        """A notification or a question; only the first notifications are passed on."""
        self._told += "id" not in said
        if self._told <= NOTICES and not self.response.done():
            self._before.put_nowait(said)

    async def next(self) -> Json | None:
        """What the process said before the response, in order; None once there is a response."""
        return await self._before.get()
