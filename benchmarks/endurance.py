"""`python -m benchmarks.endurance streams|workflows|soak`: many at once, and for long, with everything on.

- `streams`: calls whose streams stay open at once (10,000). The provider sends each an event in ten seconds.
- `workflows`: workflows with one call each (100,000), all of them live.
- `soak`: 20 minutes at 70 % of the rate that the gateway reaches; latency and memory minute by minute.

Memory is that of the gateway's process. Clients and provider of the first two are this process, on the other core.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from statistics import median, quantiles
from typing import Any

from benchmarks.cells import BODIES, Times, load
from benchmarks.process import BenchmarkError, free_port, run_to_end
from benchmarks.run import build
from benchmarks.systems import LOAD_CORE, MODEL, AllOn, Mock

_EVERY = 10.0  # seconds between two events of a stream
_AT_ONCE = 200  # calls that are opened at the same time
_SHARE = 0.7
_TRIMMED = 12.0  # seconds in which the gateway returns freed memory
_MINUTE = 60.0
_TEXT = "The order was sent and should be there soon, so please wait for the letter that says so. "
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_WHOLE = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50},
    }
).encode()

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_WHOLE), _WHOLE)


class Many(AllOn):
    """Everything on, open to as many calls as this benchmark makes."""

    name = "endurance"

    def config(self) -> dict[str, Any]:
        most = {"max_connections": 20_000, "max_calls": 20_000, "max_buffered": 4_000_000_000, "address_share": 1}
        return {**super().config(), "server": {**most, "team_share": 1}}

    def memory(self) -> float:
        """Resident MB."""
        assert self.child is not None
        return self.child.rss() / 1e6


def _event(content: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": reason}
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    text = b"data: " + json.dumps(data).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


class _Provider:
    """An OpenAI-format provider whose streams end when `done` is set."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[_Provider]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b'"stream":true' in await reader.readexactly(_length(head)):
                    await self._stream(writer)
                else:
                    writer.write(_ANSWER)
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + _event(""))  # the first event of a provider has no text, and leaves at once
        words = itertools.cycle(_TEXT.split())
        while not self.done.is_set():
            writer.write(_event(f"{next(words)} "))
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), _EVERY)
        writer.write(_event("", "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def _request(system: Many, number: int, *, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": f"{_TEXT}Next: {number}."}]}
    data = json.dumps({**body, "stream": True} if stream else body, separators=(",", ":")).encode()
    key = system.keys[number % len(system.keys)]
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}X-Correlation-Id: many-{number}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def _first(system: Many) -> None:
    """Some calls, so that what is loaded on first use does not count."""
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
    for number in range(_AT_ONCE):
        writer.write(_request(system, -number - 1, stream=False))
        await reader.readexactly(_length((await reader.readuntil(b"\r\n\r\n")).lower()))
    writer.close()
    await asyncio.sleep(_TRIMMED)


def _length(head: bytes) -> int:
    """The Content-Length of a head in lower case."""
    return int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])


async def streams(system: Many, provider: _Provider, many: int) -> None:
    """Hold `many` streams open, and print what each takes."""
    gaps: list[float] = []
    opened, gate, failed = 0, asyncio.Semaphore(_AT_ONCE), list[str]()

    async def one(number: int) -> None:
        nonlocal opened
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
            writer.write(_request(system, number, stream=True))
            status = await reader.readline()
            if b" 200 " not in status:
                failed.append(status.decode("latin-1").strip())
                return
            opened += 1
        last = time.monotonic()
        while line := await reader.readline():
            if line.startswith(b"data: "):
                now = time.monotonic()
                gaps.append(now - last)
                last = now
            if b"[DONE]" in line:
                break
        writer.close()

    before = system.memory()
    tasks = [asyncio.create_task(one(number)) for number in range(many)]
    while opened + sum(task.done() for task in tasks) < many:  # noqa: ASYNC110  (two events)
        await asyncio.sleep(0.1)
    gaps.clear()
    await asyncio.sleep(2 * _EVERY)
    during = system.memory()
    # An event whose words may begin something that must not leave comes with the next one.
    held, late = opened, [gap - _EVERY * max(1, round(gap / _EVERY)) for gap in gaps]
    provider.done.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    broken = [str(result) for result in results if isinstance(result, BaseException)] + failed
    await asyncio.sleep(_TRIMMED)
    print(
        f"{held} streams open at once: {before:.0f} -> {during:.0f} MB, {(during - before) * 1000 / held:.1f} kB each"
    )
    print(
        f"an event is late by {median(late) * 1000:.1f} ms (median), {quantiles(late, n=100)[98] * 1000:.0f} ms (p99)"
    )
    print(f"after they ended: {system.memory():.0f} MB; {len(broken)} failed {broken[:1]}")


async def workflows(system: Many, _: _Provider, many: int) -> None:
    """Make `many` workflows with a call each, and print what they take."""
    numbers, before, begun = iter(range(many)), system.memory(), time.monotonic()
    marks: list[tuple[int, float, float]] = []

    async def agent() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
        for number in numbers:
            writer.write(_request(system, number, stream=False))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(_length(head))
            if b" 200 " not in head[:20]:
                raise BenchmarkError(f"a call failed: {head[:60]!r}")
            if (number + 1) % (many // 10) == 0:
                marks.append((number + 1, time.monotonic(), system.memory()))
        writer.close()

    await asyncio.gather(*(agent() for _ in range(32)))
    last, done = begun, 0
    for number, at, memory in sorted(marks):
        print(f"{number:>8} workflows: {memory:.0f} MB, {(number - done) / (at - last):.0f} calls/s")
        last, done = at, number
    await asyncio.sleep(_TRIMMED)
    print(f"{before:.0f} -> {system.memory():.0f} MB")


def soak(minutes: int) -> None:
    """70 % of the highest rate for some minutes, each of them in a line."""
    build()
    mock = Mock(f"http://127.0.0.1:{free_port()}")
    system = Many(mock.upstream)
    try:
        mock.start()
        system.start()
        body = next(body for body in BODIES if body.name == "1k")
        most = load(system, body, Times(2, 5), seed=1)["rate"]
        print(f"highest rate {most:.0f} calls/s; then {most * _SHARE:.0f}")
        for minute in range(minutes):
            one = load(system, body, Times(0, _MINUTE), seed=2 + minute, rate=most * _SHARE)
            p50, p99 = one["p50_ms"], one["p99_ms"]
            print(
                f"minute {minute + 1:>2}: {one['rate']:.0f} calls/s, p50 {p50:.2f} ms, p99 {p99:.1f} ms, "
                f"{one['errors']} errors, {system.memory():.0f} MB",
                flush=True,
            )
    finally:
        system.stop()
        mock.stop()


@contextlib.contextmanager
def _files(many: int) -> Iterator[None]:
    """Room for many connections, here and in the gateway."""
    wanted = 2 * many + 500
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY,) and hard < wanted:
        raise BenchmarkError(f"{wanted} open files are needed, the limit is {hard}: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    yield


async def _many(kind: Any, many: int) -> None:
    async with _Provider().running() as provider:
        system = Many(provider.url)
        try:
            await asyncio.to_thread(system.start)
            await _first(system)
            await kind(system, provider, many)
        finally:
            system.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("what", choices=("streams", "workflows", "soak"))
    parser.add_argument("--many", type=int, default=0, help="streams (10,000), workflows (100,000), minutes (20)")
    options = parser.parse_args(argv)
    if options.what == "soak":
        soak(options.many or 20)
        return 0
    import uvloop

    kind, many = (
        (streams, options.many or 10_000) if options.what == "streams" else (workflows, options.many or 100_000)
    )
    with _files(many if kind is streams else 100):
        uvloop.run(_many(kind, many))
    return 0


if __name__ == "__main__":
    run_to_end(main)
