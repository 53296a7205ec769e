"""One answer on a realtime connection (OpenAI API reference: realtime), as an answer of the Responses dialect.

A request is made by the gateway: the settings of the session, the items since the last answer, and `realtime` with what
Responses do not have. The events of an answer are those of a streamed response but for the names of the last event and
of fields that say the same in every event; `read` and `write` convert them. Audio is unscannable: parts of requests
are counted, and the events with audio do not come here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import checks, count, integer, openai_answer
from gateway.dialects.base import Plain
from gateway.dialects.field_table import Table
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.dialects.responses_fields import BODY
from gateway.dialects.responses_forms import ENDS
from gateway.dialects.responses_items import items
from gateway.dialects.responses_stream import ResponsesStream
from gateway.dialects.responses_tables import kind
from gateway.dialects.terms import is_term

AUDIO: Final = frozenset({"response.output_audio.delta", "response.output_audio.done"})
"""Types of events with audio, which has no text."""
OWN: Final = "realtime"
"""The field of a request with the connection, and with the settings that Responses do not have."""
_ENDED: Final = frozenset({"completed", "failed"})  # statuses of answers that are the last word of their last event
_SAME: Final = ("event_id", "response_id")  # fields that the gateway writes again
_HEARD: Final = "heard"  # no format of audio that a caller can send
_NOT_OURS: Final = frozenset({"sequence_number", "logprobs"})


class RealtimeStream(ResponsesStream):
    """Reads the events of one answer."""

    __slots__ = ()

    def usage_of(self, response: Json) -> Usage | None:
        """The usage in the form of realtime."""
        return usage(response)


class OpenAIRealtime(OpenAIResponses):
    """The codec of `/v1/realtime`."""

    name = "openai_realtime"
    noun = "an answer on a realtime connection"
    path = "/realtime"
    history = ""
    client = "realtime"
    fields = Table({**BODY.keys, OWN: None})

    refers = Plain.refers
    defers = Plain.defers
    keeps = Plain.keeps
    state = Plain.state

    def unscannable(self, body: Json) -> dict[str, int]:
        """The audio that the provider has heard; the walk counts audio that is in the request."""
        found = sum(is_heard(part) for item in items(body) for part in _parts(item))
        return {"audio": found} if found else {}

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported."""
        return usage(answer)

    def stream(self, *, keep_usage: bool = True, choices: int = 1) -> RealtimeStream:
        """A reader for one answer."""
        return RealtimeStream()


def usage(response: Json) -> Usage | None:
    """The usage in a realtime response; None without a plausible report."""
    told = response.get("usage")
    if type(told) is not dict:
        return None
    total_in, total_out = count(told.get("input_tokens")), count(told.get("output_tokens"))
    if total_in is None or total_out is None:
        return None
    read, wrote = (told.get(f"{what}_token_details") for what in ("input", "output"))
    read, wrote = (one if type(one) is dict else {} for one in (read, wrote))
    return Usage(
        input=total_in,
        output=total_out,
        cached=integer(read.get("cached_tokens")),
        audio=integer(wrote.get("audio_tokens")),
        audio_input=integer(read.get("audio_tokens")),
        tier=openai_answer.tier(response),
    )


def heard(id: str) -> Json:
    """The item for audio that the provider has heard: it is at the provider already."""
    part = {"type": "input_audio", "input_audio": {"data": "", "format": _HEARD}}
    return {"type": "message", "role": "user", "id": id, "content": [part]}


def is_heard(part: Json) -> bool:
    """Whether a part stands for audio that the provider has heard."""
    told = part.get("input_audio")
    return kind(part) == "input_audio" and type(told) is dict and told.get("format") == _HEARD


def judged(item: Json) -> Json:
    """An item of the caller in the form of Responses: audio is data under `input_audio`.

    Raises Refusal(invalid_request) for audio that is no string, or in the form of Responses.
    """
    for part in _parts(item):
        if "input_audio" in part or type(part.get("audio")) not in (str, type(None)):
            raise checks.wrong("item.content", "must hold audio as a string in base64, under `audio`")
    return _mapped(item, "audio", lambda audio: {"input_audio": {"data": audio, "format": "pcm16"}})


def sent(item: Json) -> Json:
    """The same item in the form of realtime."""
    return _mapped(item, "input_audio", lambda audio: {"audio": audio.get("data")})


def _mapped(item: Json, key: str, made: Callable[[Any], Json]) -> Json:
    if type(item.get("content")) is not list:
        return item
    parts = [
        {**{name: value for name, value in part.items() if name != key}, **made(part[key])}
        if type(part) is dict and kind(part) == "input_audio" and part.get(key)
        else part
        for part in item["content"]
    ]
    return {**item, "content": parts}


def _parts(item: Json) -> Sequence[Json]:
    content = item.get("content")
    return [part for part in content if type(part) is dict] if type(content) is list else ()


def read(event: Json) -> Json:
    """An event of the provider in the form of Responses."""
    made = {key: value for key, value in event.items() if key not in _SAME}
    if kind(event) == "response.done":
        response = event.get("response")
        status = response.get("status") if type(response) is dict else None
        made["type"] = f"response.{status if status in _ENDED else 'incomplete'}"
    return made


def write(event: Json, response_id: str = "") -> Json:
    """An event of an answer in the form of realtime, but for the id of the event. `response_id`: "" if unknown."""
    made = {key: value for key, value in event.items() if key not in _NOT_OURS}
    name = kind(event)
    if name == "error":
        error = made.get("error")
        told = error if type(error) is dict else {key: event.get(key) for key in ("code", "message", "param")}
        return {"type": "error", "error": {"type": "invalid_request_error", **told}}
    if name in ENDS:
        made["type"], response = "response.done", dict(event["response"])
        status, why = response.get("status"), response.get("incomplete_details")
        if type(why) is dict and not response.get("status_details"):
            response["status_details"] = {"type": status, "reason": why.get("reason")}
        made["response"] = response
    elif "response" not in made and is_term(response_id):
        made["response_id"] = response_id
    return made


OPENAI_REALTIME: Final = OpenAIRealtime()
