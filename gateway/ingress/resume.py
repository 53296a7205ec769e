"""Part of stage `ingress`: reads only what follows the known opening of a conversation, and prepares to learn more.

Whatever is unusual is read in full: `resume` then returns None, and so the refusals are those of `request.understand`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.call import Call
from gateway.config.grammar import Server
from gateway.dialects import Intent, cuts, tree
from gateway.errors import Refusal
from gateway.redaction.openings import Known, Openings, Passage, Reading
from gateway.redaction.separate import passages

_SUMS: Final = ("messages", "parts")  # counts that add up over messages


def resume(call: Call, server: Server, openings: Openings, known: Known) -> Intent | None:
    """Read the messages after a known opening into `call.request`; None if the whole body must be read."""
    request, opening = call.request, known.opening
    close, caps, codec, history = len(request.raw) - len(opening.tail), server.caps, call.codec, call.codec.history
    if len(request.raw) > caps.values:
        return None
    try:
        read = cuts.between(request.raw, history, opening.end, close, codec.shape, server.max_depth)
        if read is None:
            return None
        messages, survey = read
        if not codec.ends_turn(opening.body[history][-1], messages[0]):
            return None
        body = {**opening.asked, history: messages}
        intent = codec.parse(body, call.values)
        counts = summed(opening.counts, codec.items(body))
        if codec.refers(body) or (intent.tools != opening.tools and not {*intent.tools} <= {*opening.tools}):
            return None
    except Refusal:
        return None
    if survey.widest > caps.keys or survey.kinds or codec.unscannable(body) or caps.over(counts):
        return None
    number = opening.number
    reading = Reading(
        opening=opening,
        conversation=known.conversation,
        number=number,
        ahead=0,
        end=opening.end,
        close=close,
        first=Passage(()),
        new=Passage(survey.slots, survey.nested),
        after=opening.after,
        asked=opening.asked,
        tools=opening.tools,
        counts=opening.counts,
        begin=opening.begin,
    )
    if learned := openings.learn(call, known, messages):
        reading.number, reading.ends, reading.end = learned.number, learned.ends, learned.ends[-1]
        reading.first, reading.new, _ = passages(survey, reading.number - number)
        ahead = len(opening.before.slots)
        reading.starts = [ahead + start for start, _ in survey.starts[: reading.number - number]]
        more = {**opening.asked, history: messages[: reading.number - number]}
        reading.counts = summed(opening.counts, codec.items(more))
    request.body = {**opening.asked, history: [*opening.body[history], *messages]}
    request.slots = [*opening.before.slots, *survey.slots, *opening.after.slots]
    request.nested = survey.nested
    request.unscannable = {}
    request.renamed, request.edited = opening.renamed, bool(opening.renamed)
    request.reading = reading
    return intent._replace(tools=opening.tools)


def prepare(call: Call, openings: Openings, survey: tree.Survey, intent: Intent) -> None:
    """Write how a body that was read in full is judged, if it begins as that of an earlier call."""
    request, codec, history = call.request, call.codec, call.codec.history
    if request.unscannable or survey.inexact or not survey.starts or not history:
        return
    learned = openings.learn(call, None, request.body[history])
    if learned is None or codec.refers(request.body):
        return
    number = learned.number
    if len(survey.starts) <= number + 1:
        return
    first, new, after = passages(survey, number)
    fields = {**request.body, history: []}
    body = {**request.body, history: request.body[history][:number]}
    request.reading = Reading(
        opening=None,
        conversation=learned.conversation,
        number=number,
        ahead=survey.starts[0][0],
        end=learned.ends[-1],
        close=learned.close,
        first=first,
        new=new,
        after=after,
        asked=fields,
        tools=intent.tools and codec.tools(body),
        counts=codec.items(body),
        begin=learned.begin,
        ends=learned.ends,
        starts=[start for start, _ in survey.starts[:number]],
    )


def summed(known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """The counts of messages that follow others, with those of the fields of their body in both."""
    return {
        name: known.get(name, 0) + count if name in _SUMS else max(known.get(name, 0), count)
        for name, count in more.items()
    }
