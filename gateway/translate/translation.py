"""A translation: the dialect of a caller, and that of a target, with the neutral model between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

import orjson

from gateway.call import Json, Usage
from gateway.dialects import Codec, items, sse, surrogates
from gateway.dialects import gemini as codecs
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.translate import (
    chat_answers,
    chat_requests,
    gemini_answers,
    gemini_requests,
    messages_answers,
    messages_requests,
    responses_answers,
    responses_requests,
)
from gateway.translate.model import Answer, Argues, Begun, Calls, Counted, Event, Request
from gateway.translate.words import Context, Notes, Target

FAULTS: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What readers of answers raise for an answer that is not of their dialect."""


class Reader(Protocol):
    """Reads the events of a streamed answer."""

    ended: bool
    """The answer has ended."""

    def feed(self, event: sse.SSE) -> Iterator[Event]:
        """The neutral events of one event."""
        ...

    def close(self) -> Iterator[Event]:
        """The upstream ended. Raises ValueError if the answer has no end."""
        ...


class Writer(Protocol):
    """Writes a streamed answer."""

    def write(self, events: Iterator[Event]) -> Iterator[bytes]:
        """The events of neutral events."""
        ...


class Dialect(NamedTuple):
    """The dialect of callers. `names`: features by their field; `harmless`, `refused`: see docs/dialects.md."""

    title: str
    names: Mapping[str, str]
    harmless: frozenset[str]
    refused: Mapping[str, str]
    read_request: Callable[[Json, Notes], Request]
    write_answer: Callable[[Answer, Context], Json]
    writer: Callable[[Context], Writer]


class Side(NamedTuple):
    """What providers of a format speak: the dialect, and its codecs for whole and streamed answers."""

    dialect: Dialect
    whole: Codec
    streamed: Codec
    write_request: Callable[[Request, Target, Notes], Json]
    read_answer: Callable[[Json, Context], Answer]
    reader: Callable[[Context], Reader]


CHAT: Final = Dialect(
    "Chat completions",
    chat_requests.NAMES,
    chat_requests.HARMLESS,
    chat_requests.REFUSED,
    chat_requests.read,
    chat_answers.write,
    chat_answers.Writer,
)
MESSAGES: Final = Dialect(
    "Messages",
    messages_requests.NAMES,
    messages_requests.HARMLESS,
    messages_requests.REFUSED,
    messages_requests.read,
    messages_answers.write,
    messages_answers.Writer,
)
GEMINI: Final = Dialect(
    "Gemini",
    gemini_requests.NAMES,
    gemini_requests.HARMLESS,
    gemini_requests.REFUSED,
    gemini_requests.read,
    gemini_answers.write,
    gemini_answers.Writer,
)
RESPONSES: Final = Dialect(
    "Responses",
    responses_requests.NAMES,
    responses_requests.HARMLESS,
    responses_requests.REFUSED,
    responses_requests.read,
    responses_answers.write,
    responses_answers.Writer,
)
CALLERS: Final[Mapping[str, Dialect]] = {
    "openai_chat": CHAT,
    "openai_responses": RESPONSES,
    "anthropic_messages": MESSAGES,
    "gemini": GEMINI,
    "gemini_stream": GEMINI,
}
"""The dialects of callers, by the name of their codec."""
TARGETS: Final[Mapping[str, Side]] = {
    "openai": Side(CHAT, OPENAI_CHAT, OPENAI_CHAT, chat_requests.write, chat_answers.read, chat_answers.Reader),
    "anthropic": Side(
        MESSAGES,
        ANTHROPIC_MESSAGES,
        ANTHROPIC_MESSAGES,
        messages_requests.write,
        messages_answers.read,
        messages_answers.Reader,
    ),
    "gemini": Side(
        GEMINI,
        codecs.GEMINI,
        codecs.GEMINI_STREAMING,
        gemini_requests.write,
        gemini_answers.read,
        gemini_answers.Reader,
    ),
}
"""What providers speak, by their format."""


def translates(codec: Codec, format: str) -> bool:
    """Whether calls of a dialect can be served by providers of another format."""
    return codec.name in CALLERS and format in TARGETS


def request(codec: Codec, body: Json, stream: bool, target: Target) -> tuple[Json, list[str]]:
    """The body for the target, and the names of what it drops. Raises Refusal(invalid_request)."""
    caller = CALLERS[codec.name]
    notes = Notes(target.format, caller.names)
    try:
        neutral = caller.read_request(body, notes)._replace(stream=stream)
        return TARGETS[target.format].write_request(neutral, target, notes), notes.dropped
    except FAULTS:  # a field of a type that the dialect does not have
        words = f"The request has a field that cannot be translated for a provider of format {target.format}: its type "
        raise Refusal("invalid_request", f"{words}is none that {caller.title} have.", stage="upstream") from None


def whole(codec: Codec, format: str, raw: bytes, context: Context) -> tuple[bytes, Usage | None]:
    """A whole answer in the dialect of the caller, and its usage. Raises one of `FAULTS`."""
    if items.is_deep(raw) or items.is_crowded(raw):
        raise ValueError("it has too many values")
    data, _ = surrogates.loads(raw)
    neutral = TARGETS[format].read_answer(data, context)
    return orjson.dumps(CALLERS[codec.name].write_answer(neutral, context)), neutral.usage


class Stream:
    """Translates one streamed answer, in any pieces. `usage`: that of the answer so far.

    What comes before a fault is translated; the next call raises the fault.
    """

    def __init__(self, codec: Codec, format: str, context: Context) -> None:
        self._events = sse.Reader()
        self._reader = TARGETS[format].reader(context)
        self._writer = CALLERS[codec.name].writer(context)
        self._begun = False
        self._calls = False  # the last part is a call of a tool
        self._fault: Exception | None = None
        self.usage: Usage | None = None

    @property
    def ended(self) -> bool:
        """The answer has ended; what follows is not read."""
        return self._reader.ended

    @property
    def broken(self) -> bool:
        """A fault was found; the next call raises it."""
        return self._fault is not None

    def feed(self, data: bytes) -> bytes:
        """The answer in the dialect of the caller, as far as it is complete. Raises one of `FAULTS`."""
        if self._fault is not None:
            raise self._fault
        if self._reader.ended:
            return b""
        parts: list[bytes] = []
        try:
            parts.extend(self._translated(self._events.feed(data)))
        except FAULTS as fault:
            if not parts:
                raise
            self._fault = fault
        return b"".join(parts)

    def close(self) -> bytes:
        """The upstream ended. Raises ValueError if the answer has no end."""
        if self._fault is not None:
            raise self._fault
        last = self._events.rest()
        parts = [*self._translated([last])] if last is not None else []
        if not self._reader.ended:
            parts += self._writer.write(self._seen(self._reader.close()))
        return b"".join(parts)

    def _translated(self, events: Iterable[sse.SSE]) -> Iterator[bytes]:
        for event in events:
            if event.data:
                items.check_event(event.data, "an event")
                yield from self._writer.write(self._seen(self._reader.feed(event)))

    def _seen(self, events: Iterator[Event]) -> Iterator[Event]:
        """The events in their order, after a look at the usage: the first begins the answer, arguments follow a call.

        Raises ValueError for another order, which writers would turn into an answer that the provider did not write.
        """
        for event in events:
            if isinstance(event, Counted):
                self.usage = event.usage.joined(self.usage)
            elif isinstance(event, Begun):
                if self._begun:
                    raise ValueError("it begins twice")
                self._begun = True
                self.usage = event.usage or self.usage
            elif isinstance(event, Argues):
                if not self._calls:
                    raise ValueError("it has arguments of a tool call that has not begun, or has ended")
            elif not self._begun:
                raise ValueError("it does not begin as an answer does")
            else:
                self._calls = isinstance(event, Calls)
            yield event
