"""What passes a realtime connection outside of answers: how the provider listens, and what the provider tells.

No call carries these values, so none is judged: only words, numbers and ids of the protocol pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import checks
from gateway.dialects.openai_realtime import AUDIO
from gateway.dialects.responses_items import ID
from gateway.dialects.responses_tables import kind
from gateway.dialects.terms import LONG, is_term

COMMITTED: Final = "input_audio_buffer.committed"
"""The type of the event that ends a turn of the caller."""
MOST: Final = 100 * LONG
"""Indexes and times (ms) are below this number: 28 hours."""
_SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "format": frozenset({"type", "rate"}),
    "noise_reduction": frozenset({"type"}),
    "turn_detection": frozenset(
        {"type", "threshold", "prefix_padding_ms", "silence_duration_ms", "create_response", "interrupt_response"}
        | {"eagerness"}
    ),
}
LISTENS: Final = tuple(_SETTINGS)
"""The settings of the audio of the caller."""
_WORD: Final = re.compile(r"[a-z][a-z_/]{0,31}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_IDS: Final = frozenset({"item_id", "previous_item_id", "response_id"})
_TOLD: Final = {  # events of the provider that reach the caller, with their fields
    COMMITTED: ("item_id", "previous_item_id"),
    "input_audio_buffer.cleared": (),
    "input_audio_buffer.speech_started": ("item_id", "audio_start_ms"),
    "input_audio_buffer.speech_stopped": ("item_id", "audio_end_ms"),
    "response.output_audio.delta": ("item_id", "response_id", "output_index", "content_index", "delta"),
    "response.output_audio.done": ("item_id", "response_id", "output_index", "content_index"),
}


def check_listening(audio: Json) -> None:
    """Check `audio.input` of a session. Raises Refusal(invalid_request)."""
    if audio.get("transcription") is not None:
        raise checks.wrong("audio.input.transcription", "must be left out: transcripts of input are not served here")
    if unknown := audio.keys() - _SETTINGS.keys() - {"transcription"}:
        raise checks.wrong("audio.input", f"has the unknown field{'s' * (len(unknown) > 1)} {_called(unknown)}")
    for key, fields in _SETTINGS.items():
        settings = audio.get(key)
        if settings is None:
            continue
        if type(settings) is not dict:
            raise checks.wrong(f"audio.input.{key}", "must be an object")
        if "idle_timeout_ms" in settings:
            words = "must be left out: the provider would answer by itself, and each answer is a call here"
            raise checks.wrong(f"audio.input.{key}.idle_timeout_ms", words)
        if unknown := settings.keys() - fields:
            raise checks.wrong(f"audio.input.{key}", f"has the unknown fields {_called(unknown)}")
        for name, value in settings.items():
            if not _is_setting(value):
                raise checks.wrong(f"audio.input.{key}.{name}", "must be a word of the protocol, or a small number")


def _called(names: set[str]) -> str:
    return ", ".join(sorted(f"`{name}`" if _WORD.fullmatch(name) else "(not named)" for name in names))


def _is_setting(value: Any) -> bool:
    if type(value) is str:
        return _WORD.fullmatch(value) is not None
    return value is None or type(value) is bool or (type(value) in (int, float) and 0 <= value < LONG)


def told(event: Json) -> Json | None:
    """An event of the provider that belongs to no answer, in what of its fields may reach the caller; None: nothing.

    An error has its `code` only.
    """
    name = kind(event)
    if name == "error":
        error = event.get("error")
        code = error.get("code") if type(error) is dict else None
        return {"type": name, "code": code if type(code) is str and is_term(code) else None}
    fields = _TOLD.get(name)
    if fields is None or (name in AUDIO and not _is_audio(event.get("delta", ""))):
        return None
    return {"type": name, **{key: event[key] for key in fields if key in event and _may_pass(key, event[key])}}


def _may_pass(key: str, value: Any) -> bool:
    if key == "delta":
        return True  # see `_is_audio`
    if key in _IDS:
        return is_id(value)
    return type(value) is int and 0 <= value < MOST


def is_id(value: Any) -> bool:
    """Whether a value has the form of an id of the provider, and of no secret."""
    return type(value) is str and ID.fullmatch(value) is not None and is_term(value)


def _is_audio(value: Any) -> bool:
    return type(value) is str and _BASE64.fullmatch(value) is not None
