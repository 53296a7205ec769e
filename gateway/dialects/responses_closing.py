"""The end of a streamed response that the gateway stops: what is open is closed, and the last event says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.bodies import Json
from gateway.dialects import ordinal
from gateway.dialects.checks import text
from gateway.dialects.responses_answer import refusal_item, refused
from gateway.dialects.responses_forms import numbered, of_item
from gateway.dialects.responses_said import Place
from gateway.dialects.responses_tables import kind
from gateway.errors import Refusal

_NAMES: Final = frozenset({"output_text", "refusal"})
_TEXTS: Final = frozenset({f"response.{name}.delta" for name in _NAMES})


class Closing:
    """What has left of one answer, as far as its end depends on it."""

    __slots__ = ("_next", "_open", "_output", "_parts", "_response")

    def __init__(self) -> None:
        self._next = 0  # number of the next event
        self._response: Json = {}
        self._output: dict[int, Json] = {}  # the complete items
        self._open: dict[int, Json] = {}  # the items that have begun
        self._parts: dict[int, dict[int, tuple[Json, list[str]]]] = {}  # of messages: the open part and its text

    def note(self, data: Json) -> None:
        """An event leaves."""
        said, number = kind(data), ordinal(data.get("sequence_number"))
        self._next = (self._next if number is None else max(self._next, number)) + 1
        index, at = ordinal(data.get("output_index")) or 0, ordinal(data.get("content_index")) or 0
        parts = self._parts.get(index, {})
        if said in _TEXTS:
            if at in parts:
                parts[at][1].append(text(data.get("delta")))
        elif type(response := data.get("response")) is dict:
            if said == "response.created":
                self._response = response
        elif type(item := data.get("item")) is dict:
            if said == "response.output_item.added":
                self._open[index], self._parts[index] = item, {}
            elif said == "response.output_item.done":
                self._open.pop(index, None)
                self._parts.pop(index, None)
                self._output[index] = item
        elif type(part := data.get("part")) is dict and index in self._open:
            parts[at] = part, []

    def say(self, place: Place, numbers: Sequence[int], piece: str) -> None:
        """Events with these numbers leave, which hold a piece of a text."""
        for number in numbers:
            self._next = (number if number > self._next else self._next) + 1
        name, index, indexes = place
        if name in _NAMES and (at := indexes[0] or 0) in (parts := self._parts.get(index, {})):
            parts[at][1].append(piece)

    def refuse(self, refusal: Refusal, request_id: str, reason: str, *, bare: bool) -> bytes:
        """The last events. `bare`: no value of the upstream is repeated."""
        if refusal.domain != "policy" or not self._response:
            said = {"code": refusal.code, "message": refusal.message, "param": refusal.param, **refusal.detail}
            # The official client raises an exception for `error`; others read the fields beside it.
            return b"".join(numbered([{"type": "error", **said, "error": said}], self._next))
        index = max([-1, *self._output, *self._open]) + 1
        if bare:
            events, reason, response = [], "", {**refused(refusal, request_id, {}), "error": None}
        else:
            events = list(self._closed())
            output = [self._output[at] for at in sorted(self._output)]
            response = refused(refusal, request_id, {**self._response, "output": output}, reason)
        events += of_item(index, refusal_item(refusal, request_id, reason))
        events.append({"type": "response.incomplete", "response": response})
        return b"".join(numbered(events, self._next))

    def _closed(self) -> Iterator[Json]:
        """The events that close open messages, whose items are complete then."""
        for index, item in sorted(self._open.items()):
            if kind(item) != "message":
                continue
            place: Json = {"output_index": index, "item_id": item.get("id")}
            content = []
            for at, (part, pieces) in sorted(self._parts.get(index, {}).items()):
                content.append(part)
                if not pieces:
                    continue
                key = "refusal" if kind(part) == "refusal" else "text"
                content[-1] = said = {**part, key: text(part.get(key)) + "".join(pieces)}
                inside = {**place, "content_index": at}
                name = "refusal" if key == "refusal" else "output_text"
                yield {"type": f"response.{name}.done", **inside, key: said[key], "logprobs": []}
                yield {"type": "response.content_part.done", **inside, "part": said}
            done = {**item, "status": "incomplete", "content": content}
            self._output[index] = done
            yield {"type": "response.output_item.done", "output_index": index, "item": done}
