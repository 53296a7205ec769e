"""Time of a translation: a request and an answer of 1 kB, and one chunk of a stream, for each pair of formats.

    python -m benchmarks.translation

Targets: 60 us for a call (request and whole answer), 10 us for a chunk. CPU time, the best of several runs, because
other work of the machine only adds time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from gateway.call import Usage
from gateway.dialects.routes import ROUTES
from gateway.translate import translation
from gateway.translate.model import Answer, Begun, Counted, Ended, Event, Said, Text
from gateway.translate.translation import CALLERS, TARGETS
from gateway.translate.words import Context, Target

TEXT = "The quick brown fox jumps over the lazy dog. " * 22  # 1 kB
CONTEXT = Context("ab" * 16, 1, "x")
PIECES = 500


def best(work: Callable[[], Any], times: int = 200, runs: int = 9) -> float:
    """Microseconds of one run, the best of several."""
    found = []
    for _ in range(runs):
        began = time.process_time_ns()
        for _ in range(times):
            work()
        found.append((time.process_time_ns() - began) / times / 1000)
    return min(found)


def body_of(caller: str) -> dict[str, Any]:
    """A request of 1 kB."""
    if caller.startswith("gemini"):
        return {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}
    if caller == "openai_responses":
        return {"model": "m", "input": TEXT}
    return {"model": "m", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 100}


def main() -> None:
    """Print the table."""
    print("| client | format | call of 1 kB, us | chunk, us |\n|---|---|---|---|")
    for codec in dict.fromkeys(ROUTES.values()):
        if codec.name not in CALLERS or codec.name == "gemini":
            continue
        for format, side in TARGETS.items():
            if side.dialect is CALLERS[codec.name]:
                continue
            body, target = body_of(codec.name), Target(format, "m", 1000, "x")
            answer = Answer("id", "m", (Text(TEXT),), "end", Usage(11, 7))
            raw = orjson.dumps(side.dialect.write_answer(answer, CONTEXT))

            def call(
                codec: Any = codec, format: str = format, body: Any = body, target: Any = target, raw: bytes = raw
            ) -> None:
                orjson.dumps(translation.request(codec, body, False, target)[0])
                translation.whole(codec, format, raw, CONTEXT)

            events: list[Event] = [
                Begun("id", "m"),
                *([Said("a few words ")] * PIECES),
                Counted(Usage(11, 7)),
                Ended("end"),
            ]
            chunks = list(side.dialect.writer(CONTEXT).write(iter(events)))

            def stream(codec: Any = codec, format: str = format, chunks: Any = chunks) -> None:
                one = translation.Stream(codec, format, CONTEXT)
                for chunk in chunks:
                    one.feed(chunk)

            each = best(stream, 4) / len(chunks)
            print(f"| {CALLERS[codec.name].title} | {format} | {best(call):.0f} | {each:.1f} |")


if __name__ == "__main__":
    main()
