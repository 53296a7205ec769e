"""Calls of one event-loop tick share one Redis pipeline: a third of the CPU of a round trip each."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.stores import StoreUnavailable

Command = tuple[Any, ...]

# Beyond this many pipelines in flight, calls gather for the next one: under load pipelines grow, not queues of them.
IN_FLIGHT = 2
# Seconds to connect, and for a whole pipeline to be answered.
TIMEOUT = 1.0


class Batch:
    """Sends commands to one Redis, many to a pipeline. `script` is loaded again whenever the server has lost it."""

    def __init__(self, pool: ConnectionPool, script: str, name: str) -> None:
        self._pool = pool
        self._script = script
        self._name = name
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """The reply to one command. Raises `StoreUnavailable`. Cancelling it does not call the command back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((command, future))
        return future

    async def close(self) -> None:
        """Wait for what was sent."""
        while self._waiting or self._tasks:
            self._flush()
            await asyncio.wait(self._tasks)

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
        try:
            replies = await self._execute([command for command, _ in batch])
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            replies = [error] * len(batch)
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():  # its caller has gone
                continue
            if isinstance(reply, Exception):
                future.set_exception(StoreUnavailable(f"redis at {self._name}: {_words(reply)}"))
            else:
                future.set_result(reply)

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
        """One write, one time limit for all replies: a third of the CPU of the client's own pipeline."""
        wire = b"".join([pack(command) for command in commands])
        try:
            return await self._exchange(wire, len(commands))
        except RedisConnectionError:
            # A connection that the server closed while idle is no outage: once more, on a new one. Commands here may
            # be sent twice (reserving twice under one id takes once). After a timeout a caller has waited enough.
            return await self._exchange(wire, len(commands))

    async def _exchange(self, wire: bytes, count: int) -> list[Any]:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(TIMEOUT):
                await connection.send_packed_command([wire], check_health=False)
                return [await _read(connection) for _ in range(count)]
        except BaseException:
            await connection.disconnect(nowait=True)  # half a reply may be on it
            raise
        finally:
            await self._pool.release(connection)


def pack(command: Command) -> bytes:
    """One command in RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    parts = [b"*%d\r\n" % len(command)]
    for arg in command:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)  # the exchange as a whole has a limit
    except ResponseError as error:
        return error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
