"""`python -m benchmarks.worst`: what the worst texts that are known cost a gateway with everything on, and who waits.

Each text is the message of a request, then the answer to one, whole and streamed, in calls one after another. Printed
are the processor time of the gateway for a character, beyond that of a call with a short text, and the longest time
that `/livez`, asked all the while over another connection, waited for its answer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, NamedTuple

from benchmarks.process import BenchmarkError, run_to_end
from benchmarks.systems import KEYS, MODEL, AllOn

SIZE: Final = 64 * 1024
CALLS: Final = 6
COST_FLOOR: Final = 3.0  # us a character, at most
HELD_FLOOR: Final = 20.0  # ms, at most
_PIECE: Final = 12  # characters of an event
_COMMON: Final = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生"


def _digits(some: random.Random) -> str:
    return f"{some.randrange(10**4):04d} {some.randrange(10**4):04d}-{some.randrange(10**7)}/{some.randrange(10**5)} "


def _addresses(some: random.Random) -> str:
    host = ".".join(str(some.randrange(256)) for _ in range(4))
    return f"{host} a{some.randrange(10**6)}@h{some.randrange(99)}.example.org 00:1B:44:11:3A:{some.randrange(99):02d} "


TEXTS: Final[dict[str, Callable[[random.Random], str]]] = {
    "prose": lambda some: some.choice(("the ", "order ", "was ", "sent ", "on ", "Monday ", "please ", "wait ")),
    "dense digits": _digits,
    "addresses": _addresses,
    "Chinese": lambda some: "".join(some.choices(_COMMON, k=20)) + "。",
    "backslashes": lambda some: "\\" * some.randrange(1, 9) + some.choice(("n", "u0041", "x41", "/", '"')),
    "tags": lambda some: f'<a href="/{some.randrange(10**4)}"><b>{some.randrange(100)}</b></a>',
    "placeholders": lambda some: some.choice(("<EMAIL_1> ", "< PHONE _ 2 >", "&lt;IBAN_3&gt;", "[PERSON_4]")),
    "base64": lambda some: some.randbytes(45).hex() + some.choice(("", "=", "==")) + "\n",
    "SQL words": lambda some: some.choice(("select a from b; ", "update c set d = 1 ", "with e as (", "drop the ")),
}
"""A piece of each text, by what the texts are made of."""


def text(kind: str, size: int, seed: int) -> str:
    """A text of `size` characters; every seed has another."""
    some = random.Random(f"{kind} {seed}")
    said = ""
    while len(said) < size:
        said += TEXTS[kind](some)
    return said[:size]


class _Provider(socketserver.ThreadingTCPServer):
    """An OpenAI-format provider whose answer is `says`."""

    allow_reuse_address = daemon_threads = True
    says = "Yes."

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{self.server_address[1]}"
        self.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Provider

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        says, usage = self.server.says, {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        head: dict[str, Any] = {"id": "c", "created": 1, "model": MODEL}
        if not asked.get("stream"):
            message: dict[str, Any] = {
                "index": 0,
                "message": {"role": "assistant", "content": says},
                "finish_reason": "stop",
            }
            self._send(
                "application/json", [{**head, "object": "chat.completion", "choices": [message], "usage": usage}]
            )
            return
        head["object"] = "chat.completion.chunk"
        pieces = [says[at : at + _PIECE] for at in range(0, len(says), _PIECE)]
        choices: list[Any] = [{"index": 0, "delta": {"content": one}, "finish_reason": None} for one in pieces]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        events: list[Any] = [{**head, "choices": [one]} for one in choices]
        self._send("text/event-stream", [*events, {**head, "choices": [], "usage": usage}])

    def _send(self, kind: str, said: Sequence[Any]) -> None:
        if kind == "application/json":
            body = json.dumps(said[0]).encode()
        else:
            body = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in said) + b"data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No lines of a log."""


class Cost(NamedTuple):
    """us a character, and ms that `/livez` waited at most."""

    char: float
    held: float


class _Watch:
    """Asks `/livez` again and again; `longest` is the longest wait in seconds."""

    def __init__(self, port: int) -> None:
        self.longest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,))

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not self._over.wait(0.001):
            began = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            self.longest = max(self.longest, time.perf_counter() - began)


def _call(system: AllOn, content: str, seed: int, *, stream: bool) -> None:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}], "stream": stream})
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)
    headers = {"authorization": f"Bearer {KEYS[0]}", "x-correlation-id": f"worst-{seed}"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in (200, 403):  # a text may be refused, but is read before that
        raise BenchmarkError(f"status {answer.status}: {said[:200]!r}")
    connection.close()


def measure(system: AllOn, provider: _Provider, way: str, kind: str, size: int) -> Cost:
    """The cost of one kind of text one way: `request`, `answer` or `stream`."""
    assert system.child is not None

    def calls(length: int, first: int) -> float:
        before = system.child.cpu_seconds() if system.child else 0.0
        for seed in range(first, first + CALLS):
            said = text(kind, length, seed)
            provider.says = "Yes." if way == "request" else said
            _call(system, said if way == "request" else f"Go on: {seed}", seed, stream=way == "stream")
        return (system.child.cpu_seconds() - before if system.child else 0.0) / CALLS

    number = hash((way, kind)) % 10**6 * 100
    calls(size, number)  # what is loaded on first use does not count
    short = calls(100, number + 20)
    with _Watch(system.port) as watch:
        long = calls(size, number + 40)
    return Cost(max(0.0, long - short) * 1e6 / size, watch.longest * 1000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a floor does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worst", description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="characters of a text")
    parser.add_argument("--kinds", default=",".join(TEXTS))
    options = parser.parse_args(argv)
    missed = False
    with _Provider(("127.0.0.1", 0), _Handler) as provider, provider.running() as url:
        system = AllOn(url)
        try:
            system.start()
            print("| text | " + " | ".join(f"{way}, us a character, longest wait ms" for way in _WAYS) + " |")
            print("|---|" + "---|" * len(_WAYS))
            for kind in options.kinds.split(","):
                costs = [measure(system, provider, way, kind, options.size) for way in _WAYS]
                missed |= any(one.char > COST_FLOOR or one.held > HELD_FLOOR for one in costs)
                print(
                    f"| {kind} | " + " | ".join(f"{one.char:.2f}, {one.held:.0f}" for one in costs) + " |", flush=True
                )
        finally:
            system.stop()
    return int(missed)


_WAYS: Final = ("request", "answer", "stream")

if __name__ == "__main__":
    run_to_end(main)
