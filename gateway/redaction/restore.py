"""Restores the values of placeholders in answers.

Config keys: `pii.restore`, `pii.restore_tools`. Only placeholders of values in this request are restored, so an answer
cannot reveal values of another call, workflow or team. A placeholder in the caller's own text was escaped in the
request (see `redact`) and is restored unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from gateway.call import Call, Json
from gateway.config.sections import RestoreTools
from gateway.detect.personal import placeholders
from gateway.dialects import Channel, positions
from gateway.texts import Slot

LITERAL = "LITERAL"
"""The type of escaped look-alikes of placeholders: the caller's own text, which is not confidential."""


class Restored(NamedTuple):
    """An edit of an answer's text that replaces the placeholder at [start, end) by the value `instead`."""

    start: int
    end: int
    instead: str


class Names:
    """Finds the placeholder of a spelling, among those of one request.

    `types` are names of entity types (see `placeholders.name`): with any number, each is a separate placeholder.
    """

    __slots__ = ("_names", "_types", "_written")

    def __init__(self, written: Sequence[str], *, types: Set[str] = frozenset()) -> None:
        self._written = frozenset(written)
        self._types = types
        self._names: dict[str, str | None] = {}
        for one in written:
            name = placeholders.name(one)
            # Two types may differ only in characters that models leave out: then only the exact spelling decides.
            self._names[name] = None if name in self._names else one

    def replace(self, spelling: str, write: Callable[[str, str], str]) -> str:
        """A spelling with its placeholder replaced by `write(placeholder, spelling)`; unchanged if there is none.

        Brackets may contain more than the placeholder: `[at PHONE_2]`.
        """
        placeholder = self._meant(spelling)
        if placeholder is not None:
            return write(placeholder, spelling)

        def bare(match: re.Match[str]) -> str:
            inner = self._meant(match[0])
            return match[0] if inner is None else write(inner, match[0])

        return placeholders.BARE.sub(bare, spelling)

    def _meant(self, spelling: str) -> str | None:
        if spelling in self._written:
            return spelling
        name = placeholders.name(spelling)
        if self._types and placeholders.is_typed(name, self._types):
            return spelling
        return self._names.get(name)


class Restorer:
    """The values of one request, by their placeholders. `quotes`: they are inserted into JSON."""

    __slots__ = ("_names", "_quotes", "_values")

    def __init__(self, values: Mapping[str, str], *, quotes: bool = False) -> None:
        self._values = values
        self._quotes = quotes
        self._names: Names | None = None

    def value(self, spelling: str) -> str | None:
        """The replacement for a placeholder in any spelling; None if the placeholder has no value here."""
        value = self._values.get(spelling)
        if value is not None:
            return placeholders.in_json(value) if self._quotes else value
        # Text that is a placeholder only after a disguise is undone is not escaped in requests, so it does not count.
        if not self._values or not placeholders.SPELLED.fullmatch(spelling):
            return None
        restored = self.prepare().replace(spelling, self._write)
        return None if restored == spelling else restored

    def meant(self, spelling: str) -> dict[str, str]:
        """The placeholders in a spelling, with their values."""
        if spelling in self._values:
            return {spelling: self._values[spelling]}
        found: dict[str, str] = {}

        def note(placeholder: str, spelling: str) -> str:
            found[placeholder] = self._values[placeholder]
            return spelling

        self.prepare().replace(spelling, note)
        return found

    def prepare(self) -> Names:
        """The spellings of the placeholders, computed when first needed; for many values, outside the event loop."""
        if self._names is None:
            self._names = Names(tuple(self._values))
        return self._names

    def _write(self, placeholder: str, spelling: str) -> str:
        write = placeholders.notation(spelling)
        value = write(self._values[placeholder])
        return placeholders.in_json(value) if self._quotes and write is not placeholders.in_json else value


class Restoration:
    """The restorers of one answer: for texts, for JSON (with escapes), and for tools that must not receive values.

    `plain` is for texts that are not JSON.
    """

    __slots__ = ("_call", "_in_json", "_keeps", "_quoted", "_withheld", "plain")

    def __init__(self, call: Call) -> None:
        values = call.redaction.restore if call.codec.restores else {}
        self._call = call
        self.plain = self._quoted = Restorer(values)
        self._withheld: Restorer | None = None
        self._keeps = call.redaction.keeps if values else None
        self._in_json = False
        if values:
            self._in_json = call.codec.writes_json(call.request.body)  # then the answer's main text is JSON
            self._quoted = Restorer(values, quotes=True)

    def prepare(self) -> None:
        """Build what look-ups need; for many values, call this outside the event loop."""
        for restorer in {self.plain, self._quoted, self._literals()}:
            restorer.prepare()

    def _literals(self) -> Restorer:
        """The restorer for tools without values: only the caller's own text is restored."""
        if self._withheld is None:
            values = self._call.redaction.restore if self._call.codec.restores else {}
            self._withheld = Restorer({one: text for one, text in values.items() if one.startswith(f"<{LITERAL}_")})
        return self._withheld

    def of(self, channel: Channel) -> Restorer:
        """The restorer for a running text."""
        return self._quoted if self._in_json and channel[1] in self._call.codec.main else self.plain

    def at(self, slot: Slot, kept: Set[int]) -> Restorer:
        """The restorer for a whole text; `kept` is the result of `kept` for the calls around the text."""
        holder, key = positions.place(slot)
        if kept and id(holder) in kept:
            return self._literals()
        if self._in_json and key in self._call.codec.main:
            return self._quoted
        if slot.nested is None and key in ("arguments", "input") and slot.text.lstrip()[:1] in ("{", "["):
            return self._quoted  # incomplete, but intended as JSON
        return self.plain

    def kept(self, calls: Sequence[Json]) -> Set[int]:
        """The identities of all objects in tool calls whose tools get no values, or have no name."""
        if self._keeps is None:
            return frozenset()
        named = [(call, self._call.codec.tool(call)) for call in calls]
        return {part for call, name in named if not name or self._keeps(name) for part in _parts(call)}


def _parts(value: Any) -> list[int]:
    """The identities of a dict or list and of those below it."""
    inner = value.values() if type(value) is dict else value if type(value) is list else None
    return [] if inner is None else [id(value), *(part for one in inner for part in _parts(one))]


def keeps(config: RestoreTools, also: Sequence[str] = ()) -> Callable[[str], bool] | None:
    """Whether a tool, by name, gets placeholders instead of values; None: no tool does. `also`: a policy's patterns."""
    deny = (*config.deny, *also)
    if not deny and "*" in config.allow:
        return None

    def kept(name: str) -> bool:
        allowed = any(fnmatchcase(name, pattern) for pattern in config.allow)
        return not allowed or any(fnmatchcase(name, pattern) for pattern in deny)

    return kept
