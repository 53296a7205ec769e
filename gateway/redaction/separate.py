"""Takes a call off the opening of its conversation: the body is read again, so that it can be edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from gateway.call import Call, Json
from gateway.dialects import tree
from gateway.dialects.parts import Joined
from gateway.redaction import openings
from gateway.redaction.openings import Passage, Reading
from gateway.scheduling.lanes import apart
from gateway.texts import Finding, Slot

_STEP = 8  # 256 bytes, as a power of two, are a small step: see `lanes.apart`
_DEEPEST = 500  # levels: the limit was checked when the body was received


def passages(survey: tree.Survey, number: int) -> tuple[Passage, Passage, Passage]:
    """The texts of a body up to its message `number`, those of its other messages, and those after the messages."""
    slots, nested = survey.slots, survey.nested
    (cut, inner), (end, last) = survey.starts[number], survey.starts[-1]
    return (
        Passage(slots[:cut], nested[:inner]),
        Passage(slots[cut:end], nested[inner:last]),
        Passage(slots[end:], nested[last:]),
    )


async def separate(call: Call) -> None:
    """Read the body again. Findings stay; edits that were made are lost, and the next call has an opening again.

    A large body is read in a thread.
    """
    reading = openings.of(call)
    if reading is not None:
        await apart(call, len(call.request.raw) >> _STEP, partial(_separate, call, reading))


def rename(items: Iterable[Json], renamed: Mapping[str, str]) -> None:
    """Write the other ids of items (see `Request.renamed`)."""
    for item in items:
        item["id"] = renamed.get(item["id"], item["id"])


def _separate(call: Call, reading: Reading) -> None:
    request = call.request
    body, survey = tree.parse(request.raw, call.codec.shape, _DEEPEST)
    if request.renamed:
        rename(call.codec.recalled(body, 0), request.renamed)
    now = {id(old): new for old, new in zip(request.slots, survey.slots, strict=True)}
    found = [(now[id(slot)], findings) for slot, findings in request.found]
    request.joined = [(_moved(one, now), findings) for one, findings in request.joined]
    request.body, request.slots, request.nested, request.found = body, survey.slots, survey.nested, found
    opening = reading.opening
    first, new, after = passages(survey, reading.number)
    known = opening.before.together if opening is not None else ()
    first.together = [_moved(one, now) for one in (*known, *reading.first.together)]
    _divide(found, (first, new, after))
    request.reading = Reading(
        opening=None,
        conversation=reading.conversation,
        number=reading.number,
        ahead=survey.starts[0][0],
        end=reading.end,
        close=reading.close,
        first=first,
        new=new,
        after=after,
        asked={**body, call.codec.history: []},
        tools=reading.tools,
        counts=reading.counts,
        content=reading.content,
        steps=reading.steps,
        clean=reading.clean,
        begin=reading.begin,
        ends=reading.ends if opening is None else [*opening.ends, *reading.ends],
        starts=[start for start, _ in survey.starts[: reading.number]],
    )


def _moved(one: Joined, now: Mapping[int, Slot]) -> Joined:
    return one._replace(parts=[part._replace(slot=now[id(part.slot)]) for part in one.parts])


def _divide(found: Sequence[tuple[Slot, Sequence[Finding]]], parts: Sequence[Passage]) -> None:
    """Write the findings, which are in the order of the texts, into their passages."""
    for part in parts:
        mine = {id(slot) for slot in part.slots}
        part.found = [pair for pair in found if id(pair[0]) in mine]
