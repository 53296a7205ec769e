"""Reading a JSON body once: depth, duplicate keys, and every text position in document order.

All strings are text unless the dialect's table says that a key holds structure: an unknown field may carry personal
data as well as a known one. Duplicate keys are refused (RFC 8259, section 4: receivers differ in which value they
take, so a value that we judge and a value that the upstream reads could differ).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.call import Json, Nested, Span
from gateway.errors import Refusal


class Name(str):
    """A key that is itself a text position: what stands there is the key, not its value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A dialect's table of keys: whose strings are structure, whose strings hold JSON, whose parts nobody can read.

    Structure counts only where the dialect has it: at the top and below the keys of `within`. What lies under a
    `repeats` key says again what another text says, in pieces (log probabilities): not walked.
    """

    opaque: frozenset[str]
    json: frozenset[str]
    blobs: frozenset[str]
    within: frozenset[str] = frozenset()
    repeats: frozenset[str] = frozenset()


class Survey:
    """What one walk over a parsed body found: text positions, parts nobody can read, keys and colons (see `parse`)."""

    __slots__ = ("_max_depth", "_shape", "blobs", "colons", "keys", "nested", "spans")

    def __init__(self, shape: Shape, max_depth: int = 500) -> None:
        self._shape = shape
        self._max_depth = max_depth
        self.spans: list[Span] = []
        self.nested: list[Nested] = []
        self.blobs = 0
        self.keys = 0
        self.colons = 0

    def walk(self, root: Any, role: str = "", depth: int = 1, nested: Nested | None = None) -> None:
        """Take in a dict or list and all below it. Raises Refusal(invalid_request) past the depth limit.

        One closure over locals: half of what a request costs before it leaves is this walk.
        """
        max_depth, add, inside, new = self._max_depth, self.spans.append, self._inside, tuple.__new__
        opaque, json_keys = self._shape.opaque if nested is None else _NOTHING, self._shape.json
        blob_keys, repeats = self._shape.blobs if nested is None else _NOTHING, self._shape.repeats
        within = self._shape.within
        keys = colons = 0

        def visit(node: Any, role: str, depth: int, blob: bool, opaque: frozenset[str]) -> None:
            nonlocal keys, colons
            if depth > max_depth:
                raise Refusal("invalid_request", f"The body is nested more than {max_depth} levels deep.")
            if type(node) is dict:
                keys += len(node)
                names = "".join(node)
                plain = names.isalpha()
                if ":" in names:
                    colons += names.count(":")
                named = node.get("role")
                if type(named) is str:
                    role = named
                items: Any = node.items()
            else:
                items, plain = enumerate(node), True
            for key, value in items:
                kind = type(value)
                if kind is str:
                    if ":" in value:
                        colons += value.count(":")
                    if not value or (key in opaque and (value in _NAMES or _is_name(value))):
                        continue
                    if blob and _is_blob(key, value):
                        continue
                    if key not in json_keys or not inside(node, key, value, role, depth, nested):
                        add(new(Span, (node, key, value, role, nested)))
                elif (
                    kind is dict
                    and len(value) == 2
                    and type(value.get("content")) is str
                    and type(value.get("role")) is str
                    and value["role"] in _NAMES
                ):
                    # A message of plain text, which is what most of a body is: read here, without another visit.
                    text = value["content"]
                    keys += 2
                    if ":" in text:
                        colons += text.count(":")
                    if text:
                        add(new(Span, (value, "content", text, value["role"], nested)))
                elif (kind is dict or kind is list) and key not in repeats:
                    inner = key in blob_keys
                    self.blobs += inner
                    dialect = opaque if type(key) is int or key in within else _NOTHING
                    visit(value, role, depth + 1, blob or inner, dialect)
            if not plain:
                # After the values: a key that is renamed is no longer where they would be looked for.
                for name in node:
                    if _telling(name):
                        add(new(Span, (node, Name(name), name, role, nested)))

        visit(root, role, depth, False, opaque)
        self.keys, self.colons = keys, colons

    def take(self, holder: Json, but: frozenset[str]) -> None:
        """Take in what stands in `holder` under keys other than `but`, in its place."""
        for key, value in holder.items():
            if key in but or not value:
                continue
            if type(value) is str:
                self.spans.append(Span(holder, key, value, "", None))
            elif type(value) is dict or type(value) is list:
                self.walk(value)
        self.spans += [Span(holder, Name(key), key, "", None) for key in holder if key not in but and _telling(key)]

    def _inside(self, holder: Any, key: Any, text: str, role: str, depth: int, outer: Nested | None) -> bool:
        """Walk the JSON that a string holds; False if it holds none, or holds a key twice, and so is plain text."""
        try:
            root = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        if type(root) is not dict and type(root) is not list:
            return False
        inner = Survey(self._shape, self._max_depth)
        nested = Nested(holder, key, root, outer)
        inner.walk(root, role, depth + 1, nested)
        if text.count(":") != inner.keys + inner.colons or "\\u003" in text:
            return False
        self.spans += inner.spans
        self.nested += [nested, *inner.nested]
        return True


def _is_blob(key: object, value: str) -> bool:
    return key in ("data", "file_data", "file_id") or value.startswith("data:")


# What stands under structural keys nearly always: known to be a name without a look.
_NAMES = frozenset({"user", "assistant", "system", "tool", "developer", "function", "text", "object", "string"})


def _is_name(value: str) -> bool:
    """Whether a string under a structural key is the name it should be, and nothing that a person could be found by."""
    return value.isascii() and (value[0].isalpha() or value[0] == "_") and "@" not in value and " " not in value


_NOTHING: frozenset[str] = frozenset()


def _telling(name: str) -> bool:
    """Whether a key may be more than the name of a field."""
    return "@" in name or len(name) > 24 or sum(map(str.isdigit, name)) > 4


def read(span: Span) -> str | None:
    """The text at a position now; None for a key that has another name by now."""
    if type(span.key) is Name:
        return span.text if span.key in span.holder else None
    text: str = span.holder[span.key]
    return text


def write(span: Span, text: str) -> None:
    """Put another text at a position."""
    if type(span.key) is Name:
        _rename(span.holder, span.key, text)
    else:
        span.holder[span.key] = text
    if span.nested:
        span.nested.edited = True


def _rename(holder: Json, old: str, new: str) -> None:
    """Give a key another name, in its place; one that is taken is numbered."""
    if old not in holder:
        return
    name, number = new, 1
    while name in holder and name != old:
        number += 1
        name = f"{new}_{number}"
    items = [(name if key == old else key, value) for key, value in holder.items()]
    holder.clear()
    holder.update(items)


def fold(nested: list[Nested]) -> bool:
    """Write edited inner JSON back into the strings that hold it, innermost first; True if any was."""
    folded = False
    for inner in reversed(nested):
        if inner.edited:
            inner.holder[inner.key] = orjson.dumps(inner.root).decode()
            if inner.outer:
                inner.outer.edited = True
            folded = True
    return folded


def parse(raw: bytes, shape: Shape, max_depth: int) -> tuple[Json, Survey]:
    """bytes -> (object, what is in it). Raises Refusal(invalid_request) on anything but one object.

    A key that stands twice is lost in parsing, and its colon with it: as long as no colon hides in an escape, the
    colons of the bytes are those of the keys plus those inside strings. Only when that sum is off is the body read
    again by the slow parser that sees every key.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refusal("invalid_request", f"The body is not valid JSON: {_position(error)}.") from None
    if type(body) is not dict:
        raise Refusal("invalid_request", "The body must be a JSON object.")
    survey = Survey(shape, max_depth)
    survey.walk(body)
    if raw.count(b":") != survey.keys + survey.colons or (b"\\" in raw and b"\\u003" in raw):
        _refuse_duplicates(raw)
    return body, survey


def says_once(raw: bytes, value: Json) -> bool:
    """Whether bytes say what was read of them and nothing else: a key that stands twice is lost in reading."""
    return b"\\u00" not in raw and raw.count(b":") == orjson.dumps(value).count(b":")


def _position(error: orjson.JSONDecodeError) -> str:
    """Where the parser stopped, without repeating what stood there."""
    return f"{error.msg.split(':')[0]} at line {error.lineno} column {error.colno}"


def _refuse_duplicates(raw: bytes) -> None:
    def pairs(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        if len(set(names)) != len(names):
            raise Refusal("invalid_request", "An object of the body names the same key twice; each may stand once.")

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise Refusal("invalid_request", "The body is not valid JSON.") from None
