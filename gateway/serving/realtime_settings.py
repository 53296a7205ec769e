"""The settings of a realtime session: what the caller may set, and what of it is part of an answer's request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from gateway import ids
from gateway.call import Json
from gateway.dialects.realtime_events import LISTENS, check_listening
from gateway.dialects.responses_tables import kind
from gateway.errors import Refusal

_SETTINGS: Final = frozenset({"instructions", "tools", "tool_choice", "max_output_tokens", "metadata", "prompt"})
_OTHER: Final = frozenset({"output_modalities", "audio", "reasoning", "parallel_tool_calls"})
_IGNORED: Final = frozenset({"type", "model", "include", "tracing", "truncation"})
_ANSWER: Final = frozenset({"conversation", "input"})
May = Callable[[], bool]
"""Whether audio may flow, by the configuration of this moment."""


class Settings:
    """The settings. `most`: bytes; `hears`, `speaks`: whether audio may flow in and out."""

    def __init__(self, model: str, most: int, hears: May, speaks: May) -> None:
        self._most, self.hears, self.speaks = most, hears, speaks
        self.session: Json = {"type": "realtime", "object": "realtime.session", "id": f"sess_{ids.uuid7()}"}
        self.session |= {"model": model, "output_modalities": ["audio" if speaks() else "text"]}

    def change(self, session: Any) -> None:
        """Take a change by the caller. Raises Refusal(invalid_request, request_too_large)."""
        if type(session) is not dict:
            raise Refusal("invalid_request", "`session` must be an object.", param="session")
        if session.get("type", "realtime") != "realtime":
            raise Refusal("invalid_request", "`session.type` must be `realtime`.", param="session.type")
        if session.keys() - _SETTINGS - _OTHER - _IGNORED:
            words = f"Of `session`, these are served: {', '.join(sorted(_SETTINGS | _OTHER))}."
            raise Refusal("invalid_request", words, param="session")
        self._check(session)
        changed = {key: value for key, value in session.items() if key in _SETTINGS | _OTHER}
        if changed.get("output_modalities", ()) is None:
            del changed["output_modalities"]
        if type(changed.get("audio")) is dict:
            changed["audio"] = {**(self.session.get("audio") or {}), **changed["audio"]}
        changed = {**self.session, **changed}
        if len(orjson.dumps(changed)) > self._most:
            raise Refusal("request_too_large", f"`session` is larger than {self._most} bytes.", param="session")
        self.session = changed

    def merged(self, asked: Json) -> Json:
        """The settings of one answer. Raises Refusal(invalid_request), also for what is not allowed any longer."""
        if asked.keys() - _SETTINGS - _OTHER - _ANSWER:
            served = ", ".join(sorted(_SETTINGS | _OTHER | _ANSWER))
            raise Refusal("invalid_request", f"Of `response`, these are served: {served}.", param="response")
        merged = {**self.session, **{key: value for key, value in asked.items() if key not in _ANSWER}}
        if merged["output_modalities"] is None:  # the provider would take its own
            merged["output_modalities"] = self.session["output_modalities"]
        self._check(merged)
        return merged

    def _check(self, settings: Json) -> None:
        """Raise Refusal for audio that may not flow, or that is not served."""
        wanted = settings.get("output_modalities")
        if wanted is not None and wanted not in (["text"], ["audio"]):
            raise Refusal("invalid_request", 'Must be ["text"] or ["audio"].', param="output_modalities")
        if wanted == ["audio"] and not self.speaks():
            words = 'No scanner can read audio: ask for ["text"]. The operator may set output.unscannable: allow.'
            raise Refusal("invalid_request", words, param="output_modalities")
        tools = settings.get("tools")
        if type(tools) is list and any(type(tool) is dict and kind(tool) != "function" for tool in tools):
            raise Refusal("invalid_request", "Only tools of type `function` are served here.", param="tools")
        audio = settings.get("audio")
        if audio is None:
            return
        for side in ("input", "output"):
            if type(audio) is not dict or type(audio.get(side, {})) is not dict:
                raise Refusal("invalid_request", "Must be an object.", param=f"audio.{side}")
        if audio.keys() - {"input", "output"}:
            raise Refusal("invalid_request", "Of `audio`, `input` and `output` are served.", param="audio")
        check_listening(audio.get("input", {}))

    def listening(self) -> Json:
        """How the provider listens."""
        told = (self.session.get("audio") or {}).get("input") or {}
        return {"turn_detection": {"type": "server_vad"}, **{key: told[key] for key in LISTENS if key in told}}

    @property
    def answers_turns(self) -> bool:
        """Whether an answer is made at the end of each turn."""
        turns = self.listening()["turn_detection"]
        return type(turns) is dict and turns.get("create_response") is not False


def fields(merged: Json) -> Json:
    """The settings of an answer that Responses have, too."""
    return {key: merged[key] for key in _SETTINGS if merged.get(key) not in (None, "inf")}


def others(merged: Json) -> Json:
    """The settings of an answer that Responses do not have."""
    found = {key: value for key, value in merged.items() if key in _OTHER and value is not None}
    if type(found.get("audio")) is dict:
        found["audio"] = {"output": found["audio"].get("output", {})}
    return found
