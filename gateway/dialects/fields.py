"""Texts in fields that a dialect does not name: assigns each string of a chunk to a running text.

Clients join the strings at one path, whatever the field is called, so all strings at one path are one text. Elements
of lists are identified as clients do: by their `index`, or else by their order.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import Channel, Chunk, Field, Level, Piece, ordinal
from gateway.dialects.tree import Name, Shape, Survey
from gateway.texts import Signed, Slot

_STRUCTURE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/+=-]{0,127}")
_LETTER: Final = re.compile(r"[^\W\d_]")
_MAX_PATHS: Final = 1024  # maximum number of paths whose last value is remembered
_LIST: Final = "[]"  # path element for lists without indexes
_NONE: Final[frozenset[str]] = frozenset()
_Places = dict[int, tuple[int, str, Any]]  # identity of a list or dict -> choice, path, itself
Run = tuple[Field, list[Slot]]
"""The positions of texts that form one text."""
_ROLES: Final = frozenset({"assistant", "user", "system", "tool", "developer", "function", "model"})


class Reader:
    """Reads the fields of one streamed answer."""

    __slots__ = ("_last", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._last: dict[tuple[Level, int, str], str] = {}

    def read(
        self,
        chunk: Chunk,
        level: Level,
        choice: int,
        holder: Json,
        but: frozenset[str],
        whole: Container[str] = (),
        *,
        loose: bool = False,
    ) -> None:
        """Add the fields of `holder` to the chunk, except the keys in `but`; keys in `whole` have no running texts.

        `loose`: the holder is not part of the chunk, and leaves separately.
        """
        if holder.keys() <= but:
            return
        survey = Survey(self._shape)
        survey.take(holder, but)
        if not survey.slots and not survey.kinds:
            return
        opaque = self._shape.opaque
        keys = [slot.key for slot in survey.slots if slot.key in opaque and slot.key not in whole]
        if keys and (odd := {it.key for it in survey.slots if it.key in keys and not _is_name(it.key, it.text)}):
            # If a structural field held another value, its next pieces may look structural: all are texts.
            self._shape = replace(self._shape, opaque=opaque - odd)
            survey = Survey(self._shape)
            survey.take(holder, but)
        fields: dict[str, Field] = {}
        places: dict[int, tuple[str, str]] = {}
        rest = []
        # The value of a key that may be renamed stays in place.
        named = {(id(slot.holder), str(slot.key)) for slot in survey.slots if type(slot.key) is Name}
        for slot in survey.slots:
            stays = slot.nested is not None or type(slot) is Signed or (named and (id(slot.holder), slot.key) in named)
            path = None if stays else self._path(slot, holder, places)
            if path is None or path[0] in whole or not self._runs(slot, level, choice, path[1]):
                rest.append(slot)
                continue
            top, below = path
            if top not in fields:
                fields[top] = Field(level, choice, holder, top)
                fields[top].loose = loose
            field = fields[top]
            channel = (choice, below if level == "delta" else f"{level}:{below}")
            field.pieces.append(Piece(channel, field, slot.holder, slot.key))
        chunk.fields += fields.values()
        survey.slots = rest
        if rest or survey.kinds:
            chunk.wholes.append(survey)

    def _path(self, slot: Slot, holder: Json, places: dict[int, tuple[str, str]]) -> tuple[str, str] | None:
        """The key of a string in `holder`, and its complete path; None for values that are not strings."""
        if type(slot.holder[slot.key]) is not str:
            return None
        if slot.holder is holder:
            return str(slot.key), str(slot.key)  # keys of JSON, without the words that name their values
        if not places:
            for key, value in holder.items():
                _note(value, key, key, places)
        top, path = places[id(slot.holder)]
        return top, _below(path, slot.key)

    def _runs(self, slot: Slot, level: Level, choice: int, path: str) -> bool:
        """Whether a string may be a piece of a longer text: no name under a structural key, and no repeated value.

        Outside the deltas, some values are repeated in every chunk; but a repeated value without letters may be a piece
        of a number.
        """
        text = slot.text
        if slot.key in self._shape.opaque and _is_name(slot.key, text):
            return False
        if level == "delta":
            return True
        key = (level, choice, path)
        repeats = self._last.get(key) == text and _LETTER.search(text) is not None
        if len(self._last) >= _MAX_PATHS and key not in self._last:
            raise ValueError(f"texts in more than {_MAX_PATHS} places beside its deltas")
        self._last[key] = text
        return not repeats


def is_listed(channel: Channel) -> bool:
    """Whether the pieces of a run may be separate texts: elements of lists, and fields outside the deltas."""
    return _LIST in channel[1] or ":" in channel[1]


def gather(survey: Survey, roots: Iterable[tuple[int, str, Any]], texts: frozenset[str] = _NONE) -> list[Run]:
    """Remove from a survey the strings that clients join: strings of lists at the same path below one root.

    `roots` are (choice, path, value). The result has the runs that a stream with the same content would have: parts of
    the fields in `texts` are one text, whatever their index.
    """
    places: _Places = {}
    for number, path, value in roots:
        _note_lists(value, number, path, places)
    if not places:
        return []
    runs: dict[Channel, list[Slot]] = {}
    named = {(id(slot.holder), str(slot.key)) for slot in survey.slots if type(slot.key) is Name}
    for slot in survey.slots:
        place = places.get(id(slot.holder))
        if place is None or (named and (id(slot.holder), slot.key) in named):
            continue
        if type(slot.holder[slot.key]) is str and (slot.nested is None or slot.nested.holder is not slot.holder):
            runs.setdefault((place[0], _run(_below(place[1], slot.key), texts)), []).append(slot)
    found: list[Run] = []
    taken: set[tuple[int, object]] = set()
    for channel, texts_ in runs.items():
        # One string under a structural key is not a term, so the terms at this path may be pieces of the same text.
        slots = _with_terms(channel, texts_[0], places) if survey.is_term(texts_[0].key) else texts_
        if len(slots) < 2:
            continue
        field = Field("delta", channel[0], {}, channel[1])
        field.signed = type(slots[0]) is Signed
        field.pieces = [Piece(channel, field, slot.holder, slot.key) for slot in slots]
        found.append((field, slots))
        taken.update((id(slot.holder), slot.key) for slot in slots)
    if taken:
        survey.slots = [slot for slot in survey.slots if (id(slot.holder), slot.key) not in taken]
    return found


def _with_terms(channel: Channel, slot: Slot, places: _Places) -> list[Slot]:
    """All strings at the path of this string."""
    key = slot.key
    same = [at[2] for at in places.values() if (at[0], _below(at[1], key)) == channel and type(at[2]) is dict]
    return [slot._replace(holder=it, text=it[key]) for it in same if type(it.get(key)) is str and it[key]]


def _run(path: str, texts: frozenset[str]) -> str:
    name = path.partition("[")[0]
    return f"{name}{_LIST}" if name in texts and path.partition("]")[2] in ("", ".text") else path


def _below(path: str, key: object) -> str:
    """The path of a key. Texts in `index` are one text per list: they would otherwise tell themselves apart."""
    if isinstance(key, int):
        return f"{path}{_LIST}"
    if key == "index" and path.endswith("]"):
        path = f"{path.rpartition('[')[0]}{_LIST}"
    return f"{path}.{key}" if path else str(key)


def _note_lists(value: Any, number: int, path: str, places: _Places, *, listed: bool = False) -> None:
    """Record the path of each list, and of each dict in a list."""
    if type(value) is dict:
        if listed:
            places[id(value)] = (number, path, value)
        for key, inner in value.items():
            if type(inner) is dict or type(inner) is list:
                _note_lists(inner, number, _below(path, key), places, listed=listed)
    elif type(value) is list:
        places[id(value)] = (number, path, value)
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                index = ordinal(inner.get("index")) if type(inner) is dict else None
                at = f"{path}{_LIST}" if index is None else f"{path}[{index}]"
                _note_lists(inner, number, at, places, listed=True)


def _is_name(key: object, text: str) -> bool:
    """The same for a string under a structural key; clients join the roles of the chunks of a stream."""
    return is_structure(text) and (key != "role" or text in _ROLES)


def is_structure(text: str) -> bool:
    """Whether a string has the form of a name or an id, which no client joins with others."""
    return _STRUCTURE.fullmatch(text) is not None


def _note(value: Any, top: str, path: str, places: dict[int, tuple[str, str]]) -> None:
    """Record the path of each dict and list."""
    if type(value) is dict:
        places[id(value)] = (top, path)
        for key, inner in value.items():
            _note(inner, top, f"{path}.{key}", places)
    elif type(value) is list:
        places[id(value)] = (top, path)
        for inner in value:
            index = ordinal(inner.get("index")) if type(inner) is dict else None
            _note(inner, top, f"{path}[]" if index is None else f"{path}[{index}]", places)
