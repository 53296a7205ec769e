"""Fits a request to the provider that it is sent to: names of fields, the role of instructions, unsupported parameters.

Config keys: `providers.*.kind`, `token_limit`, `system_role`, `unsupported`, `unsupported_action`. Refuses with
invalid_request. The call was judged and reserved before; nothing here lets the model write more. A further target gets
the request as it was authorized, fitted anew.
"""

from __future__ import annotations

from typing import Any

from gateway.call import Call, Json
from gateway.config.accounts import Provider
from gateway.dialects import GONE, Codec, Profile
from gateway.errors import Refusal
from gateway.upstream import vertex


class Fitting:
    """What requests to one provider need. `asks_usage`: whether the usage of a stream is asked for."""

    __slots__ = ("_claude", "_name", "_profile", "_refuses", "asks_usage", "needed")

    def __init__(self, name: str, provider: Provider) -> None:
        self._name = name
        self._profile = provider.profile
        self._refuses = provider.unsupported_action == "refuse"
        self.asks_usage = self._profile.asks_usage
        self._claude = provider.kind == "vertex-anthropic"
        self.needed = self._claude or self._profile._replace(asks_usage=True) != Profile()

    def fit(self, call: Call) -> bool:
        """Change the body; True if anything changed. Writes `call.outcome.fitted` and `call.outcome.dropped`.

        Raises Refusal(invalid_request) for an unsupported parameter, if so configured.
        """
        changes, dropped = self.changes(call.codec, call.request.body)
        call.outcome.fitted = {key: call.request.body.get(key, GONE) for key in changes}
        call.outcome.dropped = tuple(dropped)
        _set(call, changes)
        return bool(changes)

    def fit_translated(self, codec: Codec, body: Json) -> list[str]:
        """Change a body that only this target gets; returns what was dropped. Raises Refusal(invalid_request)."""
        changes, dropped = self.changes(codec, body)
        for key, value in changes.items():
            if value is GONE:
                body.pop(key, None)
            else:
                body[key] = value
        return dropped

    def changes(self, codec: Codec, body: Json) -> tuple[Json, list[str]]:
        """What the provider needs changed in a body, and what is dropped from it. Raises Refusal(invalid_request)."""
        changes, dropped = _without(body, self._profile.unsupported)
        if dropped and self._refuses:
            names = ", ".join(f"`{name}`" for name in dropped)
            raise Refusal(
                "invalid_request",
                f"The provider {self._name} does not support {names}. Take that out of the request, or ask the "
                f"operator about providers.{self._name}.unsupported_action.",
                param=dropped[0],
                stage="upstream",
            )
        fixed = vertex.fields(codec) if self._claude else {}
        return {**self._fields(codec, body, changes), **changes, **fixed}, dropped

    def _fields(self, codec: Codec, body: Json, changes: Json) -> Json:
        """The changes of the dialect; those of messages are made on top of what was dropped from them."""
        key = codec.history
        if key in changes:
            both = codec.fitting({**body, key: changes[key]}, self._profile)
            changes[key] = both.pop(key, changes[key])
            return both
        return codec.fitting(body, self._profile)


def undo(call: Call) -> None:
    """Undo what was fitted to the target before."""
    if call.outcome.fitted:
        _set(call, call.outcome.fitted)
        call.outcome.fitted = {}
    call.outcome.dropped = ()


def _set(call: Call, changes: dict[str, Any]) -> None:
    body = call.request.body
    for key, value in changes.items():
        if value is GONE:
            body.pop(key, None)
        else:
            body[key] = value
    if call.codec.history in changes:
        call.request.reading = None  # the beginning of the messages is no longer that of an earlier call


def _without(body: dict[str, Any], unsupported: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """The changes that remove parameters, and the names of those that were there."""
    changes: dict[str, Any] = {}
    dropped = list[str]()
    for path in unsupported:
        key, _, inner = path.partition("[].")
        if key not in body:
            continue
        if not inner:
            changes[key] = GONE
            dropped.append(path)
            continue
        holders = changes.get(key, body[key])
        if type(holders) is list and any(type(one) is dict and inner in one for one in holders):
            changes[key] = [_but(one, inner) if type(one) is dict else one for one in holders]
            dropped.append(path)
    return changes, dropped


def _but(holder: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in holder.items() if name != key}
