"""Secrets that no request may contain: the gateway's own secrets, and the key of the call itself.

They are found by value. In a text they are redacted permanently or refused, as configured in `pii.secrets`, and refused
if requests are not scanned (`pii: null`). In strings that no scanner reads (an id, a model, a tool's type) they are
refused. Refuses with secret_blocked.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.call import Call
from gateway.detect.secrets.own import ENTITY, SHORTEST, OwnSecrets, united
from gateway.dialects import positions, tree
from gateway.errors import Refusal
from gateway.identity.identify import credential
from gateway.texts import Finding


def presented(call: Call) -> bytes:
    """The key of a call; "" for a key that would be found in ordinary text."""
    if call.key is None:
        call.key = credential(call.headers)
    return call.key if len(call.key) >= SHORTEST else b""


class Taint:
    """The search, for one configuration. `redacts`: whether a secret in a text can be redacted."""

    def __init__(self, own: OwnSecrets, *, redacts: bool) -> None:
        self._own = own
        self._redacts = redacts

    def look(self, call: Call) -> bool:
        """Whether a request contains a secret. Raises Refusal(secret_blocked) if the secret cannot be redacted."""
        own = self._own
        mine = presented(call)
        if not _holds(call, own, mine, all_texts=not self._redacts):
            return False
        # All of these are recorded.
        names = orjson.dumps([call.resource.name, *call.request.tools, *call.request.fields])
        if not self._redacts or own.holds(names) or (mine and mine in names):
            raise _refusal()
        return True

    def mark(self, call: Call) -> None:
        """Add the secrets in a request to `call.found`. Raises Refusal(secret_blocked)."""
        own, mine = self._own, presented(call)
        words = mine.decode("latin-1")
        by_slot = {id(slot): (slot, findings) for slot, findings in call.request.found}
        for slot in call.request.slots:
            found = [*own.found(slot.text), *_found(slot.text, words)]
            if found:
                known: Sequence[Finding] = by_slot[id(slot)][1] if id(slot) in by_slot else ()
                by_slot[id(slot)] = slot, united(known, found)
        call.request.found = list(by_slot.values())
        if _holds_elsewhere(call, own, mine):
            raise _refusal()

    def names_key(self, call: Call, id: str) -> bool:
        """Whether a name that a call gave is a key, which would be stored in every record."""
        data = id.encode("utf-8", "surrogatepass")
        mine = presented(call) if call.subject is not None else b""
        return self._own.holds(data) or bool(mine and mine in data)


def _holds(call: Call, own: OwnSecrets, mine: bytes, *, all_texts: bool) -> bool:
    """Whether a request contains a secret. `all_texts`: no scanner reads texts, so secrets across lines count, too."""
    raw = call.request.raw
    if own.holds(raw) or (mine and mine in raw):
        return True
    if b"\\u00" not in raw and b"\\/" not in raw and not (all_texts and b"\\n" in raw):
        return False
    texts = [
        orjson.dumps(call.request.body),
        *(slot.text.encode("utf-8", "surrogatepass") for slot in call.request.slots),
    ]
    return any(own.holds(text) or (mine and mine in text) for text in texts)


def _found(text: str, words: str) -> list[Finding]:
    found, at = [], text.find(words) if words else -1
    while at >= 0:
        found.append(Finding(at, at + len(words), ENTITY, 1.0))
        at = text.find(words, at + len(words))
    return found


def _holds_elsewhere(call: Call, own: OwnSecrets, mine: bytes) -> bool:
    """Whether the body contains a secret outside of its texts, which are blanked in a copy."""
    body, survey = tree.parse(orjson.dumps(call.request.body), call.codec.shape, 500)
    positions.write_all([(slot, "-") for slot in survey.slots])
    positions.fold(survey.nested)
    rest = orjson.dumps(body)
    return own.holds(rest) or bool(mine and mine in rest)


def _refusal() -> Refusal:
    return Refusal(
        "secret_blocked",
        "The request contains one of the gateway's own secrets, or the key of the call, so nothing was sent. Remove "
        "the secret.",
    )
