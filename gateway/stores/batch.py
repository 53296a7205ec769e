"""Calls of one event-loop tick share one Redis pipeline: a third of the CPU of a round trip each.

Every command has a deadline: a pipeline is answered within `TIMEOUT` seconds, including the connection and one retry,
and waits behind at most one other pipeline. A failure is a `StoreUnavailable`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.stores import StoreUnavailable

Command = tuple[Any, ...]
Make = Callable[[], AbstractConnection]  # a connection to the server, not yet open
# Takes over a command that failed (True), or leaves it to fail.
Redirect = Callable[[Command, "asyncio.Future[Any]", Exception], bool]

# With this many pipelines in flight, commands gather for the next pipeline: under load, pipelines grow, not queues.
IN_FLIGHT = 2
# Seconds for a whole pipeline to be answered, connecting included.
TIMEOUT = 1.0


class Batch:
    """Sends commands to one Redis, many to a pipeline. `script` is loaded again if the server has lost it.

    `acks` replicas must confirm the writes of a pipeline; `redirect` is for the nodes of a Cluster.
    """

    def __init__(self, make: Make, script: str, name: str, *, acks: int = 0, redirect: Redirect | None = None) -> None:
        self._make = make
        self._idle: list[AbstractConnection] = []
        self._script = script
        self.name = name
        self._acks = acks
        self._redirect = redirect
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """The reply to one command. Raises `StoreUnavailable`. Cancelling the future does not recall the command."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.put(command, future)
        return future

    def put(self, command: Command, future: asyncio.Future[Any]) -> None:
        """Send a command whose reply completes `future`; commands of one tick keep their order."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((command, future))

    def nodes(self) -> list[Batch]:
        """All servers: there is only this server."""
        return [self]

    def spread(self, name: str) -> list[str]:
        """A key on each server, by a common name."""
        return [name]

    async def open(self) -> None:
        """No effect: there is one server, and nothing to discover."""

    async def close(self) -> None:
        """Wait for commands in flight, then close the connections."""
        while self._waiting or self._tasks:
            self._flush()
            await asyncio.wait(self._tasks)
        for connection in self._idle:
            await connection.disconnect()

    def _flush(self) -> None:
        if self._waiting and len(self._tasks) < IN_FLIGHT:
            batch, self._waiting = self._waiting, []
            task = asyncio.get_running_loop().create_task(self._send(batch))
            self._tasks.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._flush()

    async def _send(self, batch: Sequence[tuple[Command, asyncio.Future[Any]]]) -> None:
        replies: list[Any]
        try:
            async with asyncio.timeout(TIMEOUT):
                replies = await self._execute([command for command, _ in batch])
        except TimeoutError:
            replies = [TimeoutError(f"no answer within {TIMEOUT:g} s")] * len(batch)
        except (RedisError, OSError) as error:
            replies = [error] * len(batch)
        for (command, future), reply in zip(batch, replies, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if not isinstance(reply, Exception):
                future.set_result(reply)
            elif self._redirect is None or not self._redirect(command, future, reply):
                future.set_exception(self.unavailable(reply))

    def unavailable(self, error: Exception) -> StoreUnavailable:
        """The error with the name of the server and its message."""
        return StoreUnavailable(f"redis at {self.name}: {_words(error)}")

    async def _execute(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._pipeline(commands)
        lost = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if lost:
            load = ("SCRIPT", "LOAD", self._script)
            again = await self._pipeline([load, *(commands[index] for index in lost)])
            for index, reply in zip(lost, again[1:], strict=True):
                replies[index] = reply
        return replies

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """One write and one time limit for all replies: a third of the CPU of the client's own pipeline."""
        if self._acks:
            commands = [*commands, ("WAIT", self._acks, round(TIMEOUT * 500))]
        wire = b"".join([pack(command) for command in commands])
        try:
            replies = await self._exchange(wire, len(commands))
        except RedisConnectionError:
            # A connection that the server closed while idle is not an outage: try once more on a new connection.
            # Commands may be sent twice (two reservations under one id take only once). No retry after a timeout.
            replies = await self._exchange(wire, len(commands))
        return self._confirmed(replies) if self._acks else replies

    def _confirmed(self, replies: list[Any]) -> list[Any]:
        """The replies, or errors in their place if too few replicas confirmed the writes."""
        acks = replies.pop()
        if isinstance(acks, int) and acks >= self._acks:
            return replies
        missing = RedisError(f"confirmed by {acks} replicas, but state.replicas_ack is {self._acks}")
        return [reply if isinstance(reply, Exception) else missing for reply in replies]

    async def _exchange(self, wire: bytes, count: int) -> list[Any]:
        connection = self._idle.pop() if self._idle else self._make()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # no effect if connected
            await connection.send_packed_command([wire], check_health=False)
            return [await _read(connection) for _ in range(count)]
        except BaseException:
            # The connection may hold half a reply or half a handshake, and must not be reused in that state.
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._idle.append(connection)


def pack(command: Command) -> bytes:
    """One command in RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    parts = [b"*%d\r\n" % len(command)]
    for arg in command:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)  # the pipeline as a whole has a limit
    except ResponseError as error:
        return error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
