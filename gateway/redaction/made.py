"""From the edits of a call to those of the opening of its conversation, for the calls after it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway.call import Call
from gateway.detect.personal.placeholders import LIKE
from gateway.redaction.actions import Actions
from gateway.redaction.adjoining import Found
from gateway.redaction.edits import NO_EDIT, NO_TURNS, Edit, Masked, Values
from gateway.redaction.openings import Passage, Reading
from gateway.redaction.restore import LITERAL
from gateway.redaction.spellings import Spelled
from gateway.texts import value_of


class Escapes(NamedTuple):
    """Look-alikes of placeholders, each with its escaped form and the spellings in it, and the placeholder of each."""

    texts: Mapping[str, str]
    likes: Mapping[str, Sequence[str]]
    literals: Masked
    until: float


NO_ESCAPES: Final = Escapes({}, {}, {}, float("inf"))


class Made(NamedTuple):
    """What redaction made of the passages of a call, in their order."""

    told: Sequence[Values]
    found: Sequence[Found]
    changed: Sequence[bool]
    masked: Masked
    escapes: Escapes
    spelled: Mapping[int, Spelled]
    until: float

    def edit(self, call: Call, reading: Reading, actions: Actions) -> Edit:
        """The edit of the opening that the call learned."""
        known = reading.opening.edit if reading.opening is not None else NO_EDIT
        kept = (0,) if reading.opening is not None else (0, 2)  # without the new messages
        turns = reading.turns or NO_TURNS
        found = reading.first.found or reading.after.found or known.changed or known.before.counts
        if call.request.alone and not found:
            return NO_EDIT
        before = Values()
        before.add(known.before)
        before.add(self.told[0])
        restore, likes = dict(known.restore), dict(known.likes)
        for at in kept:
            restore |= {self.masked[key]: key[1] for key in self.told[at].masked}
            for slot, findings in self.found[at]:
                for finding in findings:
                    if finding.entity == LIKE:
                        value = value_of(slot.text, finding)
                        likes[value] = self.escapes.likes.get(value, ())
                        for spelling in likes[value]:
                            restore[self.escapes.literals[LITERAL, spelling]] = spelling
        spelled = _of(reading.first, self.spelled)
        for one in spelled:
            restore |= one.values
            before.known |= set(one.values.values())
        before.masked = {}
        return Edit(
            workflow=call.request.correlation_id,
            actions=actions,
            before=before,
            after=self.told[2] if reading.opening is None else known.after,
            restore=restore,
            changed=known.changed or any(self.changed[at] for at in kept),
            made=time.monotonic(),
            until=min(self.until, turns.until, known.until if known.whole else self.until),
            turns=turns,
            whole=True,
            spelled=known.spelled or bool(spelled),
            likes=likes,
        )


def _of(part: Passage, spelled: Mapping[int, Spelled]) -> list[Spelled]:
    """The model's own spellings in a passage."""
    if not spelled:
        return []
    return [spelled[id(one)] for one in (*part.slots, *part.nested) if id(one) in spelled]
