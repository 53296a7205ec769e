"""Work grows no faster than the input: every reader gets inputs of every shape in doubling sizes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest

from gateway.call import Redaction
from gateway.config.grammar import Server
from gateway.config.limits import Quotas
from gateway.config.load import loads
from gateway.config.sections import Loops as LoopSettings
from gateway.config.sections import Output
from gateway.detect.core.rules import resolve
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import positions, tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_steps import steps
from gateway.dialects.openai_tables import SHAPE
from gateway.errors import ConfigError, Refusal
from gateway.identity.identify import credential
from gateway.ingress.idempotency import key_of
from gateway.ingress.request import correlation_id
from gateway.limits.loops import Loops
from gateway.output.exfiltration import Exfiltration
from gateway.output.invisible import Invisible
from gateway.output.screen import AnswerFilter, Screen
from gateway.serving.server import check_head
from gateway.texts import Finding
from growth import grows_evenly
from shapes import BODIES, OWN, SHAPES, STREAMS, Work, a_call, shape, stream_scanner, text_readers

pytestmark = pytest.mark.slow

SIZE = 350  # characters, doubled twice


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """All that answers are searched for."""
    return stream_scanner(pii)


@pytest.fixture(scope="module")
def readers(scanner: StreamScanner, pii: PiiScanner) -> dict[str, Work]:
    """All readers of texts, whole or in pieces."""
    return text_readers(scanner, pii)


def test_the_count_sees_a_square() -> None:
    """The measurement itself: nested loops are detected, also lists that a built-in method walks."""

    def rows(size: int) -> Callable[[], object]:
        resolve_all = [Finding(0, size - at, "X", at / size) for at in range(size)]
        return lambda: [resolve_all.count(one) for one in resolve_all]

    assert grows_evenly(rows, 200)
    assert not grows_evenly(
        lambda size: lambda: resolve([Finding(2 * at, 2 * at + 1, "X", 1.0) for at in range(size)]), 200
    )


READERS = (
    *("beside", "window", "injection", "hosts", "urls", "urls of arguments", "urls of streams", "invisible"),
    *("invisible of streams", "sql", "sql of arguments", "sql of streams", "tokens"),
    *("own secrets", "own secrets of streams", "window, in one piece"),
)


@pytest.mark.parametrize("reader", READERS)
def test_texts_of_every_shape(readers: dict[str, Work], reader: str) -> None:
    """No reader takes much more than twice the steps for twice the text, for any content."""
    read = readers[reader]
    uneven = {}
    for name in SHAPES:
        read(shape(name, SIZE))
        found = grows_evenly(lambda size, name=name: lambda: read(shape(name, size)), SIZE)  # type: ignore[misc]
        if found:
            uneven[name] = found
    assert not uneven


@pytest.mark.parametrize("name", BODIES)
def test_bodies_of_every_shape(name: str) -> None:
    """Parsing, loops and edits of every text and key take as many times the steps as there are more things."""
    loops = Loops(Quotas(repeats=10**6), LoopSettings(prompts=10**6, turns=10**6), lambda kind, text: b"digest")

    def work(size: int) -> Callable[[], object]:
        raw = json.dumps({"model": "m", **BODIES[name](size)}).encode()

        def through() -> None:
            body, survey = tree.parse(raw, SHAPE, 64)
            OPENAI_CHAT.parse(body)
            OPENAI_CHAT.items(body)
            loops.look("w", "a", steps(body["messages"]), True)
            positions.write_all([(slot, "<EMAIL_1>") for slot in survey.slots if slot.key != "content"])
            positions.fold(survey.nested)

        return through

    assert not grows_evenly(work, 100)


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_every_shape(scanner: StreamScanner, name: str) -> None:
    """The steps for reading and judging a stream are proportional to its length."""
    screen = Screen(Output(), scanner, lambda _: False, (OWN, Invisible("remove"), Exfiltration()))

    def work(size: int) -> Callable[[], object]:
        pieces = STREAMS[name](size)
        made = AnswerFilter(screen, a_call(redaction=Redaction()))

        def through() -> None:
            codec = OPENAI_CHAT.stream(keep_usage=False)
            try:
                for piece in pieces:
                    for chunk in codec.feed(piece):
                        made.feed(chunk, codec)
            except ValueError:
                return
            made.close(codec)

        return through

    assert not grows_evenly(work, 60)


HEADS: dict[str, Callable[[int], list[tuple[bytes, bytes]]]] = {
    "many": lambda size: [(b"x-%d" % at, b"y") for at in range(size)],
    "one long": lambda size: [(b"x", b"y" * 30 * size)],
    "baggage": lambda size: [(b"baggage", b"correlation-id," * size)],
    "members of baggage": lambda size: [(b"baggage", b"a=b, " * size)],
    "a trace": lambda size: [(b"traceparent", b"00-" + b"0" * 30 * size)],
    "an id": lambda size: [(b"x-correlation-id", b"a" * 30 * size)],
    "keys": lambda size: [(b"authorization", b"Bearer " + b" " * 30 * size)],
    "hosts": lambda size: [(b"host", b"a." * 30 * size)],
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_of_every_shape(name: str) -> None:
    """Reading headers, before and after the key is checked."""

    def work(size: int) -> Callable[[], object]:
        headers = [(b"authorization", b"Bearer x"), (b"host", b"a"), *HEADS[name](size)]

        def through() -> None:
            for read in (
                lambda: check_head("1.1", b"POST", b"/v1", headers, Server(max_header_bytes=10**9)),
                lambda: credential(headers),
                lambda: correlation_id(headers),
                lambda: key_of(headers),
            ):
                with contextlib.suppress(Refusal):
                    read()

        return through

    assert not grows_evenly(work, 100)


FILES: dict[str, Callable[[int], str]] = {
    "keys": lambda size: "".join(f"k{at}: v\n" for at in range(size)),
    "models": lambda size: "models:\n" + "".join(f"  m{at}: {{targets: [a/b]}}\n" for at in range(size)),
    "a list": lambda size: "limits:\n" + "  - {per: agent, requests: 1/min}\n" * size,
    "variables": lambda size: "log: " + "${X}" * size,
    "open brackets": lambda size: "x: " + "[" * size,
    "one string": lambda size: "log: " + "a" * 30 * size,
    "aliases": lambda size: "a: &a [1]\nb: [" + "*a, " * size + "]\n",
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_shape(name: str) -> None:
    """Reading a configuration, good or bad: mistakes are found without looking at each line for each of them."""

    def work(size: int) -> Callable[[], object]:
        text = FILES[name](size)

        def through() -> None:
            with contextlib.suppress(ConfigError):
                loads(text, "f", {"X": "y"}, scanners=False)

        return through

    assert not grows_evenly(work, 50)
