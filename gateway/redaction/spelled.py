"""Edits of past answers: restored values leave in the model's own spelling (see `spellings`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gateway.detect.personal.placeholders import LIKE
from gateway.redaction.adjoining import Found
from gateway.redaction.spellings import Spelled
from gateway.texts import Finding, Nested, Share, Slot

_SPELLED: Final = f"{LIKE}_SPELLED"  # the spelling of a model in the place of a restored value


class Respelled(Finding):
    """The spelling of the model for each value that was restored in its text."""

    instead: str = ""


def respelled(found: Found, spelled: Mapping[int, Spelled], slots: Sequence[Slot]) -> Found:
    """The findings, with the model's own spelling in texts of the model.

    In such texts, look-alikes of placeholders are the model's words as well. A text with part of a value that spans
    several texts is left unchanged, because the other texts contain the rest.
    """
    known = {id(slot): findings for slot, findings in found}
    told: list[tuple[Slot, Sequence[Finding]]] = []
    for slot in slots:
        findings = known.get(id(slot), ())
        one = spelled.get(id(slot))
        if one is not None and not any(isinstance(finding, Share) for finding in findings):
            findings = _without(findings, one.edits)
        if findings:
            told.append((slot, findings))
    return told


def _without(findings: Sequence[Finding], edits: Sequence[tuple[int, int, str]]) -> list[Finding]:
    """The findings that overlap no restored value and are not look-alikes, together with the edits, sorted by place."""
    kept: list[Finding] = []
    values = [edit for edit in edits if edit[0] < edit[1]]
    number = 0  # findings and edits are sorted
    for finding in findings:
        while number < len(values) and values[number][1] <= finding.start:
            number += 1
        if finding.entity != LIKE and not (number < len(values) and values[number][0] < finding.end):
            kept.append(finding)
    clear = [*kept]
    number = 0
    for start, end, spelling in edits:
        while number < len(clear) and clear[number].end <= start:
            number += 1
        if number < len(clear) and clear[number].start < start:
            continue  # the edit is inside a value that is redacted now
        said = Respelled(start, end, _SPELLED, 1.0)
        said.instead = spelling
        kept.append(said)
    return sorted(kept)


def rewrite(nested: Nested, one: Spelled) -> bool:
    """Write the JSON of a tool call as the model wrote it, if its values are the same; True if it was written."""
    ((_, _, said),) = one.edits
    if said == nested.holder[nested.key] or orjson.loads(said) != nested.root:
        return False
    nested.holder[nested.key] = said
    return True
