"""What a call takes in each dialect, with everything on, compared with chat completions in the same run.

    python -m benchmarks.dialects [--rounds 15] [--cells whole,stream,history] [--dialects chat,responses]

CPU time of the thread that serves, in microseconds a call. Every dialect sends the same texts and gets the same answer:
`whole`: 1 kB and an answer of 1 kB; `stream`: 1 kB and an answer in 100 events, four to a write; `history`: 16 kB of a
conversation that was sent before, and 1 kB more. In each round, all dialects are measured after each other, and each is
divided by chat of the same round; the ratio is the median of the rounds. Target: at most 1.10. `stored` is Responses
whose answers the provider stores: each has an owner, which is written to the store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from formats import wires  # noqa: E402
from line import Line, config, running  # noqa: E402

_SENTENCE = "The order was sent on Monday and should be there soon, so please wait until Friday. "
_TEXT = _SENTENCE * 12  # 1 kB
_PIECES = [f"{word} " for word in (_SENTENCE * 7).split()[:100]]
_GROUP = 4
_WARM = 12
WIRES: dict[str, wires.Wire] = {
    "chat": wires.Chat(),
    "responses": wires.Responses(),
    "stored": wires.Responses(),
    "messages": wires.Messages(),
    "gemini": wires.Gemini(),
}
_FORMATS = {"chat": "openai", "responses": "openai", "stored": "openai", "messages": "anthropic", "gemini": "gemini"}
ON: dict[str, Any] = {
    "limits": [{"per": "agent", "requests": "100m/min"}, {"per": "team", "tokens": "100000m/min"}],
    "quotas": {"tokens": 10**12, "cost_usd": 1e6, "calls": 10**12, "seconds": "1d"},
    "policy": {"path": str(ROOT / "policies")},
    "pii": {"default": "mask"},
    "output": {"secrets": "block", "pii": "redact", "exfiltration_urls": "block"},
}


class Provider:
    """Answers every request with prepared bytes, by its path and whether it asks for a stream."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._answers = {(name, stream): _answer(name, stream) for name in WIRES for stream in (False, True)}
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                length = 0
                while (header := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = reader.read(length)
                for part in self._answers[_asked(line, body)]:
                    connection.sendall(part)


def _asked(line: bytes, body: bytes) -> tuple[str, bool]:
    if b"/v1beta/" in line:
        return "gemini", b":stream" in line
    ends = body[:200] + body[-200:]
    stream = b'"stream": true' in ends or b'"stream":true' in ends
    return "messages" if b"/messages" in line else "responses" if b"/responses" in line else "chat", stream


def _answer(name: str, stream: bool) -> list[bytes]:
    wire = WIRES[name]
    events = wire.events(_PIECES) if stream else [json.dumps(wire.whole("".join(_PIECES))).encode()]
    kind = b"text/event-stream" if stream else b"application/json"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (kind, sum(map(len, events)))
    return [head, *(b"".join(events[at : at + _GROUP]) for at in range(0, len(events), _GROUP))]


class Caller:
    """Makes calls of one dialect and kind; no text of a call but its history was sent before."""

    def __init__(self, line: Line, name: str, cell: str) -> None:
        self._connection = HTTPConnection(line.url.removeprefix("http://"), timeout=30)
        self._name, self._cell, self._number = name, cell, 0
        past = range(48 if cell == "history" else 0)
        self._turns = [(("user", "assistant")[n % 2], f"{_SENTENCE * 4}{n}") for n in past]

    def call(self) -> None:
        """One call, read to its end."""
        self._number += 1
        stream, name = self._cell == "stream", self._name
        turns = [*self._turns, ("user", f"{_TEXT}Step {self._number} of {name}.")]
        body = WIRES[name].request(*turns)
        path = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}.get(name, "/v1/responses")
        if name == "gemini":
            path = f"/v1beta/models/gemini:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"
            body.pop("model", None)
        else:
            body |= {"model": name, **({"stream": True} if stream else {})}
            body |= {"store": name == "stored"} if path == "/v1/responses" else {}
        headers = {"authorization": "Bearer mg-alice", "x-correlation-id": f"{name}-{self._cell}"}
        self._connection.request("POST", path, json.dumps(body), {**headers, "content-type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{name} {self._cell}: {answer.status} {said[:400]!r}")


def measure(line: Line, callers: Sequence[Caller], rounds: int, calls: int) -> list[list[float]]:
    """Microseconds of the serving thread for a call: for each caller, a figure for each round."""
    clock = _clock(line)
    for caller in callers:
        for _ in range(_WARM):
            caller.call()
    found: list[list[float]] = [[] for _ in callers]
    for number in range(rounds):
        for at in range(len(callers)):
            which = (at + number) % len(callers)
            began = time.clock_gettime_ns(clock)
            for _ in range(calls):
                callers[which].call()
            found[which].append((time.clock_gettime_ns(clock) - began) / calls / 1000)
    return found


def _clock(line: Line) -> int:
    """The clock of the processor time of the serving thread."""
    found: list[int] = []
    done = threading.Event()

    def look() -> None:
        found.append(time.pthread_getcpuclockid(threading.get_ident()))
        done.set()

    line.loop.call_soon_threadsafe(look)
    done.wait()
    return found[0]


@contextlib.contextmanager
def gateway() -> Iterator[Line]:
    """A gateway with everything on, whose models are called like the dialects."""
    provider = Provider()
    with tempfile.TemporaryDirectory() as folder:
        made = config(Path(folder), f"{provider.url}/v1", **ON)
        for name, format in _FORMATS.items():
            base = provider.url + {"openai": "/v1", "anthropic": ""}.get(format, "/v1beta")
            made["providers"][format] = {"format": format, "base_url": base, "api_key": "sk-up"}
            price = {"input": 1, "output": 2}
            made["models"][name] = {"targets": [f"{format}/{name}"], "price": price}
        with running(Path(folder), made) as line:
            yield line


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dialects", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--cells", default="whole,stream,history")
    parser.add_argument("--dialects", default=",".join(WIRES))
    options = parser.parse_args(argv)
    names = options.dialects.split(",")
    print(f"| cell | dialect | us a call | of chat |\n|---|---|--:|--:|   load {os.getloadavg()[0]:.1f}")
    with gateway() as line:
        for cell in options.cells.split(","):
            found = measure(line, [Caller(line, name, cell) for name in names], options.rounds, options.calls)
            for name, figures in zip(names, found, strict=True):
                ratio = median(one / chat for one, chat in zip(figures, found[0], strict=True))
                print(f"| {cell} | {name} | {median(figures):,.0f} | {ratio:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
