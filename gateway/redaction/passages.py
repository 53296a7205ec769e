"""Scans the passages of a request whose opening is known, or is learned."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialects.parts import merged
from gateway.redaction import openings
from gateway.redaction.content import Contents
from gateway.redaction.openings import Passage, Reading
from gateway.redaction.texts import Texts


def survey(call: Call, reading: Reading, texts: Texts, contents: Contents | None) -> None:
    """Scan the texts, and write what is known up to the end of the opening.

    May be started again after it was stopped.
    """
    request, opening = call.request, reading.opening
    known = opening.number if opening is not None else 0
    messages = openings.messages(call)
    spoken = [messages[known : reading.number], messages[reading.number :], []]
    fields = {} if opening is not None else request.body
    for at, part in enumerate(reading.own()):
        part.found = texts.find(part.slots, call.team)
        body = {**(fields if at == 0 else {}), call.codec.history: spoken[at]}
        part.together = call.codec.joined(body, part.slots) if spoken[at] else ()
        found = {id(slot): one for slot, one in texts.find([it.slot for it in part.together], call.team)}
        part.joined = [(it, found[id(it.slot)]) for it in part.together if id(it.slot) in found]
    if contents is not None:
        known_content = opening.content if opening is not None else None
        content = known_content.copy() if known_content is not None else contents.begin(call.team)
        if opening is not None and known_content is None:  # see `trimmed`
            content.add(opening.before.slots)
        content.add(reading.first.slots)
        reading.content = content.copy()
        for part in (reading.new, reading.after):
            content.add(part.slots)
        content.add([it.slot for part in reading.all() for it in part.together])
        request.content = content.content()
    flatten(call, reading)


def merge(call: Call, reading: Reading) -> None:
    """Merge the findings in joined content parts with those in each part."""
    for part in reading.own():
        if part.joined:
            part.found, part.joined = merged(part.found, part.joined, part.slots), ()
    flatten(call, reading)


def flatten(call: Call, reading: Reading) -> None:
    """Write the findings of all passages."""
    parts: list[Passage] = reading.all()
    call.request.found = [pair for part in parts for pair in part.found]
    call.request.joined = [pair for part in parts for pair in part.joined]
