"""A connection to an MCP server that the gateway runs as a child process (stdio transport: one message a line).

Config keys: `tools.*.command`, `env`, `memory`, `timeout`, `max_answer`. The process starts with the first call, and
again after it has ended, at most once in each of a growing number of seconds. Callers share a process, so ids are the
gateway's own. What it writes to its standard error is dropped. A process that writes without end is killed; what one
does not read waits here, not in a buffer.

Nothing in a question or in a message of the log says to which call it belongs. So the client is asked, and gets the
log, only where the process serves one session, which then has one call at a time: see `processes`.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.dialects import mcp_names
from gateway.errors import Refusal
from gateway.ids import uuid7_here
from gateway.tools.asked import Asked
from gateway.tools.child import GRACE, LONGEST_WAIT, Flood, Pauses, Strays, add, kill, started
from gateway.tools.notices import CANCELLED, MESSAGE, PROGRESS, UPDATED
from gateway.tools.notices import CHANGED as LISTS_CHANGED
from gateway.tools.process_news import Holder, ProcessNews
from gateway.tools.watches import WATCH, Watches
from gateway.tools.wire import (
    CHANGED,
    NO_HEADERS,
    NOTHING,
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

_HELD: Final = 256  # requests at a time
_SELF: Json = {"name": "meshgate", "version": "1"}


class StdioWire(Wire):
    """One process, by its row of `tools`. For one event loop.

    `able`: what clients can be asked, as capabilities. `of`: the process of all, if this is the process of one session,
    the `holder`.
    """

    def __init__(
        self, name: str, row: Tool, able: Json = NOTHING, of: StdioWire | None = None, holder: Holder = ()
    ) -> None:
        self._name = name
        self._row = row
        self._able = able
        self._holder = holder
        self.news: ProcessNews = of.news if of is not None else ProcessNews()
        """What the processes of the row tell without a request."""
        self.watches: Watches = of.watches if of is not None else Watches(self._watch)
        """The resources of which the processes of the row tell."""
        self.watches.processes.add(self)
        self._shared = of is None
        self._levels: Sequence[str] = ()  # of the messages of the log that are passed on
        self._told_level = ""  # which the process has been told
        self._unheard: set[int] = set()  # ids of requests whose answers nobody waits for
        self._reviving: asyncio.Task[None] | None = None
        self._serving: Asked | None = None  # the call of the session that has the process to itself
        self._questions: dict[str, object] = {}  # id that the client got -> id that the process gave
        self._starting = asyncio.Lock()
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, Asked] = {}
        self._telling: dict[object, Asked] = {}  # by progress token
        self._writing = asyncio.Lock()
        self._strays = Strays()
        self._changed: Callable[[], None] = lambda: None
        self._last = 0
        self._session = Session(OFFERED)
        self._about: Json = {}
        self._pauses = Pauses()  # until a process whose resources are watched is started again
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
        if message["method"] in mcp_names.UPDATES:
            raw = await self.watches.ask(message["method"], message["params"]["uri"])
        else:
            async with self._in_time() as limit:
                process = await self._run()
                raw = await self._send(
                    process, message, relay, session.holder, partial(limit.extend, self._row.ask_timeout)
                )
        hold(len(raw))
        said = orjson.loads(raw)
        said["id"] = message["id"]
        return orjson.dumps(said)

    async def _watch(self, method: str, uri: str) -> bytes:
        async with self._in_time():
            message = {"jsonrpc": "2.0", "id": 0, "method": method, "params": {"uri": uri}}
            return await self._send(await self._run(), message)

    def say(self, method: str, uri: str) -> None:
        """See `watches.Told`."""
        if self._process is not None and self._process.returncode is None:
            self._last += 1
            self._unheard.add(self._last)
            add(self._process, {"jsonrpc": "2.0", "id": self._last, "method": method, "params": {"uri": uri}})

    async def log(self, level: str) -> None:
        """Pass messages of the log on from this level, of which the process is told; "" for none. Raises Refusal."""
        self._levels = mcp_names.LEVELS[mcp_names.LEVELS.index(level) :] if level else ()
        process = await self._run()
        if level and level != self._told_level:
            message = {"jsonrpc": "2.0", "id": 0, "method": mcp_names.SET_LEVEL, "params": {"level": level}}
            async with self._in_time():
                await self._send(process, message)
            self._told_level = level

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """What has changed, and the log of the session. The process is not started for this."""
        del bearer, last, message
        return self.news.heard(session.holder)

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
        self.watches.processes.discard(self)
        if self._shared:
            self.news.close()
        if self._reviving is not None:
            self._reviving.cancel()
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
            self._next = now + min(LONGEST_WAIT, 0.25 * 2**self._failed)
            try:
                return await self._start()
            except (OSError, ValueError) as fault:
                raise broken(self._name, f"could not be started ({type(fault).__name__})", down=True) from None

    async def _start(self) -> Process:
        process = await started(self._row)
        self._process, self._strays, self._told_level = process, Strays(), ""
        self._pauses.started()
        self._unheard.clear()
        self._reader = asyncio.create_task(self._read(process))
        try:
            params = {"protocolVersion": OFFERED, "capabilities": self._able, "clientInfo": _SELF}
            message: Json = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
            result = orjson.loads(await self._send(process, message)).get("result")
            if type(result) is not dict or result.get("protocolVersion") not in mcp_names.HANDSHAKE:
                raise broken(self._name, "opens no session of a version that the gateway has", down=True)
            self._session, self._about = Session(str(result["protocolVersion"])), result
            await self._write(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
            for uri in self.watches.all:
                self.say(WATCH, uri)
        except BaseException:
            kill(process.pid)
            raise
        self._failed = 0
        return process

    async def _revive(self) -> None:
        """Start a process that has ended again, as long as anybody watches its resources: they may have changed."""
        while self.watches:
            await asyncio.sleep(self._pauses.next())
            with contextlib.suppress(Refusal):
                await self.open()
                for uri in self.watches.here:
                    self.news.tell({"method": UPDATED, "params": {"uri": uri}})
                return

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
        id, asked = self._last, Asked(process, (holder, message["id"]))
        self._waiting[id] = asked
        if relay is not None and self._holder:
            self._serving = asked
        meta = message.get("params", {}).get(mcp_names.META)
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
            if self._serving is asked:
                self._serving = None
                self._questions.clear()

    async def _heard(
        self,
        process: Process,
        asked: Asked,
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
            id = uuid7_here()
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
        if self._shared and self.watches and self._process is process:
            self._reviving = asyncio.create_task(self._revive())

    def _take(self, process: Process, line: bytes) -> None:
        """Take a line. Raises Flood."""
        said = parsed(line)
        id = said.get("id")
        answered = "method" not in said and type(id) is int and self._waiting.get(id)
        if answered and answered.process is process and not answered.response.done():
            answered.answer(line)
            return
        if "method" not in said and type(id) is int and id in self._unheard:
            self._unheard.discard(id)
            return
        self._strays.count(line)
        if "method" not in said:
            return
        if "id" in said and self._able and self._serving is not None and said["method"] != "ping":
            self._hear(self._serving, said, len(line))
        elif "id" in said:  # of no call whose client can be asked
            add(process, reply(said))
        elif said["method"] in LISTS_CHANGED.values():
            if said["method"] == CHANGED:
                self._changed()
            self.news.tell(said)
        elif type(params := said.get("params")) is dict:
            self._tell(said, params, len(line))

    def _tell(self, said: Json, params: Json, size: int) -> None:
        """Pass on progress to its call, a message of the log to the session of the process, and an update to all."""
        method, asked = said["method"], None
        if method == PROGRESS:
            token = params.get("progressToken")
            asked = self._telling.get(token) if type(token) is str else None
        elif method == MESSAGE and params.get("level") in self._levels:
            asked = self._serving
            if asked is None or asked.response.done():
                self.news.tell(said, self._holder)
                return
        elif method == UPDATED and params.get("uri") in self.watches:
            self.news.tell(said)
        if asked is not None:
            self._hear(asked, said, size)

    def _hear(self, asked: Asked, said: Json, size: int) -> None:
        """Pass a message on to a call. Those of one call may not have more bytes than an answer."""
        asked.size += size
        if asked.size > self._row.max_answer:
            asked.fail(broken(self._name, f"answered with more than {self._row.max_answer} bytes"))
        else:
            asked.tell(said)
