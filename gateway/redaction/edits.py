"""What redaction finds in some texts of a request, and what it made of the opening of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.call import Redaction
from gateway.detect.personal.placeholders import LIKE
from gateway.detect.unscannable import UNSCANNABLE
from gateway.redaction.actions import Actions
from gateway.redaction.adjoining import Found
from gateway.texts import Finding, Share, Signed, value_of

BESIDE: Final = (LIKE, UNSCANNABLE)
"""Prefixes of findings that are not personal data."""
# Encrypted data that callers return to the provider, and that only the provider can read.
_PROVIDERS_OWN: Final = frozenset({"signature", "thought_signature", "thoughtSignature", "encrypted_content"})
Masked = dict[tuple[str, str], str]
"""(entity type, value) -> placeholder, "" before it is known."""
State = bytes | int
"""All turns of a conversation before a turn: a keyed digest, or a hash of this process."""


@dataclass(slots=True)
class Values:
    """The values that were found in some texts: counts by type, values, authors of the texts, values to be masked."""

    counts: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    masked: Masked = field(default_factory=dict)

    def add(self, other: Values) -> None:
        """Add those of the texts that follow."""
        for entity, count in other.counts.items():
            self.counts[entity] = self.counts.get(entity, 0) + count
        self.known |= other.known
        self.roles |= other.roles
        self.masked |= other.masked


@dataclass(slots=True)
class Turns:
    """A position in a conversation: see `spellings`.

    `state`: all turns before. `mine`: whether the turn is the model's. `turn`: its texts so far. `said`:
    how often each text occurred in it. `until`: when the vault must be asked again for the texts so far (monotonic
    seconds). `states`: those of all turns of the model.
    """

    state: State = b""
    mine: bool = False
    turn: tuple[str, ...] = ()
    said: Mapping[tuple[str, str], int] = field(default_factory=dict)
    until: float = float("inf")
    states: frozenset[State] = frozenset()


NO_TURNS: Final = Turns()
UNREAD: Final = Turns()
"""Those of a workflow without spellings: its turns have not been looked at."""
TRIMMED: Final = Turns()
"""Those of an opening whose messages are no longer all there: its turns have not been looked at since."""


class Edit(NamedTuple):
    """What redaction made of an opening, for one workflow and the same actions.

    `before`, `after`: the values in its texts. `restore`: placeholder -> value. `changed`: a text was changed.
    `made`, `until`: when it was made, and when the vault must be asked again (monotonic seconds).
    `whole`: the model's own spelling was looked up; otherwise nothing at all was found, in any workflow.
    `spelled`: a text left in the model's own spelling. `likes`: look-alikes of placeholders -> the spellings in each.
    """

    workflow: str = ""
    actions: Actions | None = None
    before: Values = Values()
    after: Values = Values()
    restore: Mapping[str, str] = {}
    changed: bool = False
    made: float = 0.0
    until: float = 0.0
    turns: Turns = NO_TURNS
    whole: bool = False
    spelled: bool = False
    likes: Mapping[str, Sequence[str]] = {}


NO_EDIT: Final = Edit()


def values(found: Found, actions: Actions) -> Values:
    """The counts and values of the findings; the values to be masked have no placeholders yet."""
    told = Values()
    counts, known, roles, masked = told.counts, told.known, told.roles, told.masked
    for slot, findings in found:
        for finding in findings:
            entity = finding.entity
            if entity.startswith(BESIDE):
                continue
            if not entity.startswith("SECRET_"):
                roles.add(slot.role)
            if not is_first(finding):
                continue
            counts[entity] = counts.get(entity, 0) + 1
            value = value_of(slot.text, finding)
            known.add(value)
            if actions.of(entity) == "mask":
                masked[entity, value] = ""
    return told


def masked(found: Found, actions: Actions) -> Masked:
    """The values to be masked, which have no placeholders yet."""
    told: Masked = {}
    for slot, findings in found:
        for finding in findings:
            entity = finding.entity
            if not entity.startswith(BESIDE) and is_first(finding) and actions.of(entity) == "mask":
                told[entity, value_of(slot.text, finding)] = ""
    return told


def tell(redaction: Redaction, parts: Iterable[Values]) -> None:
    """Write the values of all passages."""
    whole = Values()
    for one in parts:
        whole.add(one)
    redaction.counts, redaction.known, redaction.roles = whole.counts, frozenset(whole.known), frozenset(whole.roles)


def in_signed(found: Found, actions: Actions) -> list[str]:
    """The sorted types of findings that would have to be redacted in blocks that the provider signed."""
    return sorted(
        {
            it.entity
            for slot, findings in found
            if type(slot) is Signed
            for it in findings
            if not it.entity.startswith(BESIDE) and actions.of(it.entity) != "allow"
        }
    )


def blobs(found: Found) -> dict[str, int]:
    """The number of parts in these texts that no scanner can read, by kind."""
    kinds: dict[str, int] = {}
    for slot, findings in found:
        for finding in findings:
            if finding.entity.startswith(UNSCANNABLE) and slot.key not in _PROVIDERS_OWN:
                kind = finding.entity.removeprefix(UNSCANNABLE).lower()
                kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def is_first(finding: Finding) -> bool:
    """Whether the value of a finding begins in this text: False for the later parts of a value in several texts."""
    return not isinstance(finding, Share) or finding.first
