"""Secrets that no request may contain: the gateway's own secrets, and the key of the call itself.

They are found by value. In a text they are redacted permanently or refused, as configured in `pii.secrets`, and refused
if requests are not scanned (`pii: null`). In strings that no scanner reads (an id, a model, a tool's type) they are
refused. Refuses with secret_blocked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from gateway.call import Call
from gateway.detect.secrets.own import ENTITY, SHORTEST, OwnSecrets, united
from gateway.dialects import positions, tree
from gateway.errors import Refusal
from gateway.identity.identify import credential
from gateway.redaction import openings
from gateway.redaction.openings import Clean, Opening, Reading
from gateway.texts import Finding


def presented(call: Call) -> bytes:
    """The key of a call; "" for a key that would be found in ordinary text."""
    if call.key is None:
        call.key = credential(call.headers)
    return call.key if len(call.key) >= SHORTEST else b""


_ESCAPES: Final = re.compile(rb"\\(?:u00|/)")
_LINES: Final = re.compile(rb"\\(?:u00|/|n)")
_NEAR: Final = 4096
NOT_CLEAN: Final = Clean(0, 0, False, b"")


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
    """Whether a request contains a secret. `all_texts`: no scanner reads texts, so secrets across lines count, too.

    Writes what is known of the opening of the conversation, in which nothing has to be looked for again.
    """
    reading, raw = openings.of(call), call.request.raw
    known = reading.opening if reading is not None else None
    clean = known.clean if known is not None else None
    if known is None or clean is None or clean.key != hash(mine):
        known, clean = None, NOT_CLEAN
    if known is not None and known.seam and _holds_across(raw, known.seam, own, mine):
        return True
    start = known.end - clean.reach if known is not None else 0
    part = raw[start:] if start else raw
    if own.holds(part) or (mine and mine in part):
        return True
    escaped = clean.escaped or _is_escaped(part, all_texts)
    if escaped:
        texts = b"\n".join([_written(call, known, clean), *_texts(call, known)])
        if own.holds(texts) or (mine and mine in texts):
            return True
    if reading is not None:
        reading.clean = _clean(call, reading, own, mine, escaped=escaped)
    return False


def _holds_across(raw: bytes, seam: int, own: OwnSecrets, mine: bytes) -> bool:
    """Whether a secret begins before an offset and ends after it."""
    ahead, behind = raw[:seam], raw[seam : seam + _NEAR]
    size = own.reach(behind[::-1], len(mine))
    if size == len(behind):
        behind = raw[seam:]
        size = own.reach(behind[::-1], len(mine))
    part = ahead[-own.reach(ahead, len(mine)) :] + behind[:size]
    return own.holds(part) or bool(mine and mine in part)


def _is_escaped(raw: bytes, all_texts: bool) -> bool:
    """Whether texts may hold what the bytes do not."""
    escapes = _LINES if all_texts else _ESCAPES
    return b"\\" in raw and escapes.search(raw) is not None


def _texts(call: Call, known: Opening | None) -> Iterator[bytes]:
    """The texts that are not part of a known opening."""
    reading = openings.of(call)
    slots = call.request.slots if known is None or reading is None else [*reading.first.slots, *reading.new.slots]
    return (slot.text.encode("utf-8", "surrogatepass") for slot in slots)


def _written(call: Call, known: Opening | None, clean: Clean) -> bytes:
    """The body without escapes, after a known opening."""
    if known is None:
        # The messages of an opening are those that left.
        return orjson.dumps(call.request.body if openings.of(call) is None else orjson.loads(call.request.raw))
    body, history = call.request.body, call.codec.history
    fields = [*body]
    behind = {key: body[key] for key in fields[fields.index(history) + 1 :]}
    new = openings.messages(call)[known.number :]
    said = clean.said or call.request.raw[known.end - clean.reach : known.end]
    return said + b"," + orjson.dumps({history: new, **behind}).removeprefix(b'{"%b":[' % history.encode())


def _clean(call: Call, reading: Reading, own: OwnSecrets, mine: bytes, *, escaped: bool) -> Clean | None:
    """What is known of the opening that a call learns, before the texts are edited."""
    known = reading.opening
    if not reading.learns:
        return known.clean if known is not None else None
    least = len(mine)
    first = openings.messages(call)[known.number if known is not None else 0 : reading.number]
    said, number = b"", 1
    while escaped and own.reach(said, least) == len(said) and number <= 2 * len(first):
        said = orjson.dumps(first[-number:])[1:-1]
        number *= 2
    if known is not None and known.clean is not None and own.reach(said, least) == len(said):
        before = known.clean.said or call.request.raw[known.end - known.clean.reach : known.end]
        said = before + b"," + said
    reach = own.reach(call.request.raw[: reading.end], least)
    return Clean(hash(mine), reach, escaped, said[-own.reach(said, least) :] if said else b"")


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
