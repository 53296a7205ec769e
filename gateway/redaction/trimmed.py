"""What is left of the opening of a conversation whose oldest messages were dropped.

Agents that bound their history drop its oldest messages, turn by turn; the fields of the body and a system prompt stay.
Such a body begins as an opening, lacks some messages of the opening, and goes on with all others. As bytes, this is
exact, because JSON composes (see `cuts`). The messages that are left, their texts and their findings are those of the
opening. What depends on all messages together is determined again: counts, names of tools and steps from the bytes as
received; instructions (`passages`), turns (`spellings`) and secrets at the seam (`taint`) by those who need them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import orjson

from gateway.call import Call, Json, Step
from gateway.detect.personal.placeholders import LIKE
from gateway.dialects import cuts, positions
from gateway.errors import Refusal
from gateway.limits.loops import fixed
from gateway.redaction.adjoining import adjoining
from gateway.redaction.edits import TRIMMED, Edit, blobs, values
from gateway.redaction.openings import Clean, Known, Opening, Openings, Passage, renamed_in
from gateway.redaction.restore import LITERAL
from gateway.texts import Signed, value_of

LEAST: Final = 2048
"""Bytes of messages that are left, at least."""
NEEDLE: Final = 128
"""Bytes by which the first message that is left is found."""
_HISTORY: Final = "messages"
_TRIES: Final = 8  # messages that begin with the same bytes


class _Gap(NamedTuple):
    """The messages from `first` to before `then` are gone; `size` is that of their bytes."""

    first: int
    then: int
    size: int


def follow(memory: Openings, call: Call) -> Known | None:
    """The known opening of a body that has dropped some of its messages. What is left takes its place.

    Only where messages follow in a list of their own name: in other lists, what is left may begin within a turn.
    """
    if call.codec.history != _HISTORY or call.values:
        return None
    for conversation in memory.several(call):
        for opening in conversation.openings:
            gap = _gap(call.request.raw, opening)
            rest = _without(call, opening, gap) if gap is not None else None
            if rest is not None:
                return memory.put(call, conversation, opening, rest)
    return None


def _gap(raw: bytes, opening: Opening) -> _Gap | None:
    known, ends = opening.raw, opening.ends
    same = cuts.common(raw, known)
    first = bisect_right(ends, same)
    if first >= len(ends) or same < opening.begin or not raw.endswith(opening.tail):
        return None
    begin = ends[first - 1] if first else opening.begin
    at = raw.find(b"{", begin)
    if at < 0 or raw[begin:at].strip() != (b"," if first else b""):
        return None
    needle = raw[at : at + NEEDLE]
    place = known.find(needle, ends[first], opening.end)
    for _ in range(_TRIES):
        if place < 0:
            return None
        then = bisect_right(ends, place)
        stays = opening.end - place
        if stays < LEAST or len(raw) <= at + stays + len(opening.tail):
            return None
        is_message = known[ends[then - 1] : place].strip() == b","
        if is_message and raw.startswith(memoryview(known)[place : opening.end], at):
            return _Gap(first, then, place - at)
        place = known.find(needle, place + 1, opening.end)
    return None


def _without(call: Call, opening: Opening, gap: _Gap) -> Opening | None:
    first, then, size = gap
    low, high = opening.starts[first], opening.starts[then]
    seam = opening.ends[first - 1] if first else opening.begin
    gone = {id(slot) for slot in opening.before.slots[low:high]}
    before = _passage(opening.before, low, high, gone)
    messages = [*opening.body[_HISTORY][:first], *opening.body[_HISTORY][then:]]
    end = opening.end - size
    received = call.request.raw[opening.begin : end]
    try:
        tools = opening.tools and tuple(dict.fromkeys(call.codec.tools({**opening.asked, **_messages(received)})))
    except Refusal:
        return None
    sent = orjson.dumps(messages)[1:-1]
    return replace(
        opening,
        raw=call.request.raw,
        end=end,
        number=len(messages),
        body={**opening.body, _HISTORY: messages},
        tools=tools,
        counts=call.codec.items({**opening.asked, _HISTORY: messages}),  # edits change no list
        before=before,
        content=None,
        steps=_steps(call, opening, gap, received),
        clean=_clean(opening, seam, end),
        edit=_edit(opening.edit, before, opening.after),
        renamed=renamed_in(messages, opening.renamed),
        sent=sent,
        size=len(sent),
        blobs=blobs([*before.found, *opening.after.found]),
        arguments=[slot for slot in opening.arguments if id(slot) not in gone],
        ends=[*opening.ends[:first], *(one - size for one in opening.ends[then:])],
        starts=[*opening.starts[:first], *(one - (high - low) for one in opening.starts[then:])],
        seam=seam,
    )


def _messages(received: bytes) -> Json:
    return {_HISTORY: orjson.loads(b"[%b]" % received)}


def _steps(call: Call, opening: Opening, gap: _Gap, received: bytes) -> Sequence[Step] | None:
    """The steps of the messages that are left: those of the opening, unless results may belong to other calls now."""
    known, codec = opening.steps, call.codec
    if known is None:
        return None
    ahead = _messages(opening.raw[opening.begin : opening.ends[gap.then - 1]])[_HISTORY]
    stay = codec.steps({_HISTORY: ahead[: gap.first]})
    rest = known[len(codec.steps({_HISTORY: ahead})) :]
    answers = next((step.kind for step in rest if step.kind != "prompt"), "turn")
    if answers == "turn" and not any(step.uses for step in stay):
        return (*known[: len(stay)], *rest)
    return tuple(map(fixed, codec.steps(_messages(received))))


def _passage(part: Passage, low: int, high: int, gone: Collection[int]) -> Passage:
    """A passage without its texts from one number to before another."""
    return Passage(
        slots=[*part.slots[:low], *part.slots[high:]],
        found=[pair for pair in part.found if id(pair[0]) not in gone],
        joined=[pair for pair in part.joined if id(pair[0].parts[0].slot) not in gone],
        together=[it for it in part.together if id(it.parts[0].slot) not in gone],
    )


def _clean(opening: Opening, seam: int, end: int) -> Clean | None:
    """That no secret is in the messages that are left; one may be at the seam. None if all have to be searched."""
    clean = opening.clean
    if clean is None or clean.escaped or end - seam < clean.reach or opening.seam not in (0, seam):
        return None
    return clean


def _edit(edit: Edit, before: Passage, after: Passage) -> Edit:
    """What redaction made of the messages that are left; outdated if they may have to leave in another spelling."""
    if not edit.whole:
        return edit
    outdated = edit._replace(until=0.0, turns=TRIMMED)
    if edit.actions is None or edit.spelled:
        return outdated
    told = values(before.found, edit.actions)
    masked = {*told.masked, *edit.after.masked, *((LITERAL, it) for it in _spellings(edit, before, after))}
    restore = {name: value for name, value in edit.restore.items() if (_entity(name), value) in masked}
    if len(restore) != len(masked):
        return outdated
    told.masked = {}
    changed = any(
        type(slot) is not Signed and positions.read(slot) != slot.text for slot, _ in (*before.found, *after.found)
    )
    return edit._replace(before=told, restore=restore, changed=changed, turns=TRIMMED)


def _spellings(edit: Edit, before: Passage, after: Passage) -> Iterator[str]:
    """The texts that were escaped, because they look like placeholders."""
    if edit.likes:
        for slot, findings in adjoining([*before.found, *after.found]):
            for it in findings:
                if it.entity == LIKE:
                    yield from edit.likes.get(value_of(slot.text, it), ())


def _entity(placeholder: str) -> str:
    return placeholder[1:].rpartition("_")[0]
