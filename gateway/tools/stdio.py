"""A connection to an MCP server that the gateway runs as a child process (stdio transport: one message a line).

Config keys: `tools.*.command`, `env`, `memory`, `timeout`, `max_answer`. The process starts with the first call, and
again after it has ended, at most once in each of a growing number of seconds. All callers share the process, so ids are
the gateway's own. What it writes to its standard error is dropped. A process that writes without end is killed, with
those that it started; what one does not read waits here, not in a buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.dialects import mcp
from gateway.errors import Refusal
from gateway.ids import uuid7
from gateway.tools.notices import PROGRESS
from gateway.tools.wire import (
    CHANGED,
    NO_HEADERS,
    NOTHING,
    NOTICES,
    OFFERED,
    Hold,
    InTime,
    Relay,
    Session,
    Told,
    Wire,
    broken,
    reply,
)

_PASSED: Final = ("PATH", "HOME", "LANG", "TMPDIR")
_LONGEST_WAIT: Final = 30.0  # seconds between two starts
_CANCELLED: Final = "notifications/cancelled"
_GRACE: Final = 2.0  # seconds for a process to end by itself
_HELD: Final = 256  # requests at a time
_WINDOW: Final = 60.0  # seconds
_STRAYS: Final = 10_000  # lines in a window that answer no call; one more for each 4 KB of a line
_UNREAD: Final = 256 * 1024  # bytes that wait for the process to read them, beyond which it gets no short messages
_SELF: Json = {"name": "meshgate", "version": "1"}


class StdioWire(Wire):
    """One process, by its row of `tools`. For one event loop."""

    def __init__(self, name: str, row: Tool) -> None:
        self._name = name
        self._row = row
        self._starting = asyncio.Lock()
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, _Asked] = {}
        self._telling: dict[object, _Asked] = {}  # by progress token
        self._names: dict[tuple[str, object], int] = {}  # session and id of a caller's request -> its id here
        self._writing = asyncio.Lock()
        self._strays = _Strays()
        self._changed: Callable[[], None] = lambda: None
        self._last = 0
        self._session = Session(OFFERED)
        self._about: Json = {}
        self._failed = 0  # starts in a row after which the process ended without an answer
        self._next = 0.0  # event-loop time of the next start

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """Start the process if it does not run. The process knows of no sessions, so that it can ask no client."""
        del bearer, able
        async with self._in_time():
            await self._run()
        return self._session._replace(id=uuid7()), self._about

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
        del headers, bearer  # all share the process, which has no headers
        async with self._in_time():
            process = await self._run()
            raw = await self._send(process, message, relay, session)
        hold(len(raw))
        said = orjson.loads(raw)
        said["id"] = message["id"]
        return orjson.dumps(said)

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """None."""
        del session, bearer, last, message
        return None

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """Send a notification. A request that is canceled must be one of the same session."""
        del bearer
        if message.get("method") == _CANCELLED:
            id = self._names.get((session.id, message["params"]["requestId"]))
            if id is None:
                return
            message = {**message, "params": {"requestId": id}}
        async with self._in_time():
            await self._write(await self._run(), message)

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
            async with asyncio.timeout(_GRACE):
                await process.wait()
        except TimeoutError:
            _kill(process.pid)
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
        process = await _started(
            self._row.command,
            env={**environment, **self._row.env},
            longest=self._row.max_answer,
        )
        if self._row.memory is not None:
            with contextlib.suppress(OSError):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (self._row.memory, self._row.memory))
        self._process, self._strays = process, _Strays()
        self._reader = asyncio.create_task(self._read(process))
        try:
            params = {"protocolVersion": OFFERED, "capabilities": {}, "clientInfo": _SELF}
            message: Json = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
            result = orjson.loads(await self._send(process, message)).get("result")
            if type(result) is not dict or result.get("protocolVersion") not in mcp.HANDSHAKE:
                raise broken(self._name, "opens no session of a version that the gateway has", down=True)
            self._session, self._about = Session(str(result["protocolVersion"])), result
            await self._write(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        except BaseException:
            _kill(process.pid)
            raise
        self._failed = 0
        return process

    async def _send(
        self, process: Process, message: Json, relay: Relay | None = None, session: Session | None = None
    ) -> bytes:
        if len(self._waiting) >= _HELD:
            raise broken(self._name, f"has {_HELD} calls in flight")
        self._last += 1
        id, asked = self._last, _Asked(process)
        self._waiting[id] = asked
        name = (session.id, message["id"]) if session is not None else None
        if name is not None:
            self._names[name] = id
        meta = message.get("params", {}).get(mcp.META)
        token = meta.get("progressToken") if relay is not None and type(meta) is dict else None
        if token is not None:
            self._telling[token] = asked
        try:
            await self._write(process, {**message, "id": id})
            return await asked.heard(relay)
        except (asyncio.CancelledError, Refusal):
            params = {"requestId": id, "reason": "the caller has gone"}
            _add(process, {"jsonrpc": "2.0", "method": _CANCELLED, "params": params})
            raise
        finally:
            self._waiting.pop(id, None)
            if name is not None and self._names.get(name) == id:
                del self._names[name]
            self._telling.pop(token, None)

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
        except _Flood:
            why = "writes without end"
        except ValueError:
            why, down = f"answered with more than {self._row.max_answer} bytes", False
        _kill(process.pid)
        await process.wait()
        for asked in list(self._waiting.values()):
            if asked.process is process:
                asked.fail(broken(self._name, why, down=down))

    def _take(self, process: Process, line: bytes) -> None:
        """Take a line. Raises _Flood."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            said = None
        if type(said) is not dict:
            self._strays.count(line)
            return
        id = said.get("id")
        if "method" not in said:
            asked = self._waiting.get(id) if type(id) is int else None
            if asked is not None and asked.process is process and not asked.is_answered:
                asked.answer(line)
                return
        self._strays.count(line)
        if "method" not in said:
            return
        if "id" in said:  # a question of the server
            _add(process, reply(said))
        elif said["method"] == CHANGED:
            self._changed()
        elif said["method"] == PROGRESS and type(params := said.get("params")) is dict:
            self._tell(params.get("progressToken"), said, len(line))

    def _tell(self, token: object, said: Json, size: int) -> None:
        """Pass a report of progress to the call that it belongs to. Of a log, nobody knows that."""
        asked = self._telling.get(token) if type(token) is str else None
        if asked is None:
            return
        asked.size += size
        if asked.size > self._row.max_answer:
            asked.fail(broken(self._name, f"answered with more than {self._row.max_answer} bytes"))
        else:
            asked.tell(said)


class _Asked:
    """A request whose response is awaited, and what the process tells of the request before."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.size = 0
        self._told = 0
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._notices: asyncio.Queue[Json | None] = asyncio.Queue()  # None: there is an answer

    @property
    def is_answered(self) -> bool:
        """Whether there is a response, or will be none."""
        return self._answer.done()

    def answer(self, line: bytes) -> None:
        """The response."""
        if not self._answer.done():
            self._answer.set_result(line)
            self._notices.put_nowait(None)

    def fail(self, fault: Refusal) -> None:
        """There will be none."""
        if not self._answer.done():
            self._answer.set_exception(fault)
            self._answer.exception()  # a caller that has gone does not ask for the fault, which is no error then
            self._notices.put_nowait(None)

    def tell(self, said: Json) -> None:
        """A notification; only the first ones are passed on."""
        self._told += 1
        if self._told <= NOTICES and not self._answer.done():
            self._notices.put_nowait(said)

    async def heard(self, relay: Relay | None) -> bytes:
        """The response, once all notifications before it were passed on. Raises Refusal."""
        while relay is not None and (said := await self._notices.get()) is not None:
            await relay.tell(said)
        return await self._answer


class _Flood(Exception):
    """A process writes what no call waits for, without end."""


class _Strays:
    """Counts lines of a process that answer no call."""

    def __init__(self) -> None:
        self._left = _STRAYS
        self._until = 0.0

    def count(self, line: bytes) -> None:
        """Count a line. Raises _Flood for too many in a minute."""
        now = time.monotonic()
        if now > self._until:
            self._left, self._until = _STRAYS, now + _WINDOW
        self._left -= 1 + len(line) // 4096
        if self._left < 0:
            raise _Flood


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """The pipes of a process, which end with it: those that it started may hold them open for ever."""

    def process_exited(self) -> None:
        """End what the process started, and what of that has left its group cannot hold the pipes."""
        super().process_exited()
        if (transport := self.transport) is not None:
            _kill(transport.get_pid())
            asyncio.get_running_loop().call_later(_GRACE, _close, transport)

    transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the process."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.SubprocessTransport)
        self.transport = transport


def _close(transport: asyncio.SubprocessTransport) -> None:
    if (pipe := transport.get_pipe_transport(1)) is not None:
        pipe.close()


async def _started(command: Sequence[str], env: Mapping[str, str], longest: int) -> Process:
    """A process that leads a group of its own. `longest`: bytes of a line. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    pipe = asyncio.subprocess.PIPE
    transport, protocol = await loop.subprocess_exec(
        lambda: _Protocol(longest, loop),
        *command,
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    return Process(transport, protocol, loop)


def _add(process: Process, message: Json) -> None:
    """Write a short message, unless the process does not read, or has ended."""
    pipe = process.stdin
    if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > _UNREAD:
        return
    with contextlib.suppress(OSError, RuntimeError):
        pipe.write(orjson.dumps(message) + b"\n")


def _kill(pid: int) -> None:
    """End a process, and those that it started."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
