"""Assembles the tool calls of a streamed choice from their pieces, as clients do: by index, by id, by order.

Providers omit the index, write it as a string, give one index to two calls, or repeat the id in each piece. The pieces
of a call are determined here, once. Calls leave complete, with new indexes if those of the provider were ambiguous, so
that every client reads what was judged.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.bodies import Json
from gateway.dialects import ordinal
from gateway.dialects.surrogates import mend
from gateway.errors import Refusal

MOST = 1024  # maximum tool calls of one answer
LONGEST = 4 * 1024 * 1024  # maximum characters of the tool calls of an answer, which are held until they are complete
_PIECE = 64  # characters that a piece counts in addition to its content
_LONGEST = 64 * 1024  # maximum characters of a text other than the arguments
_TRIES = 64  # maximum checks whether the arguments so far are complete
_TEXTS = (("function", "arguments"), ("custom", "input"), ("function_call", "arguments"))
_LAST_COUNTS = frozenset({"id", "type", "name", "index", "object", "role", "status"})


class ToolCall:
    """One incomplete call. `texts` are the pieces of its arguments, which are joined when the call is complete."""

    __slots__ = ("data", "texts", "tries")

    def __init__(self) -> None:
        self.data: Json = {}
        self.texts: dict[tuple[str, str], list[str]] = {}
        self.tries = 0

    @property
    def id(self) -> str:
        """The id from the provider; "" if there is none."""
        value = self.data.get("id")
        return value if type(value) is str else ""

    @property
    def name(self) -> str:
        """The name of the tool; "" if it has not arrived."""
        return _name(self.data)

    def add(self, piece: Json) -> None:
        """Add a piece."""
        for kind, field in _TEXTS:
            inner = piece.get(kind)
            said = inner.get(field) if type(inner) is dict else None
            if type(inner) is dict and type(said) is str:
                self.texts.setdefault((kind, field), []).append(said)
                inner[field] = ""
        merge(self.data, piece)

    def complete(self) -> bool:
        """Whether the arguments so far are a JSON document. Raises Refusal after too many checks."""
        said = self.texts.get(("function", "arguments")) or self.texts.get(("custom", "input"))
        if not said or not said[-1].rstrip().endswith("}"):
            return False
        self.tries += 1
        if self.tries > _TRIES:
            raise Refusal("output_blocked", "The pieces of a tool call cannot be told apart.", stage="output")
        try:
            orjson.loads("".join(said))
        except orjson.JSONDecodeError:
            return False
        return True

    def whole(self) -> Json:
        """The complete call, with its texts joined. Raises Refusal(output_blocked)."""
        for (kind, field), pieces in self.texts.items():
            inner = self.data.get(kind)
            if type(inner) is dict:
                other = inner.get(field)
                if other in ("", None):
                    inner[field] = "".join(pieces)
                elif any(pieces):  # arguments both as a string and as an object: one could hide the other
                    raise Refusal("output_blocked", "A tool call gives its arguments in two forms.", stage="output")
        mend(self.data)
        return self.data


class ToolCalls:
    """The tool calls of all choices of one answer: at most `MOST` of them, with `LONGEST` characters in total."""

    def __init__(self) -> None:
        self._most, self._longest = MOST, LONGEST
        self._calls: dict[int, list[ToolCall]] = {}
        self._by_index: dict[tuple[int, Any], ToolCall] = {}
        self._by_id: dict[tuple[int, str], ToolCall] = {}
        self._unclear: set[int] = set()  # choices whose indexes do not distinguish their calls
        self._count = self._size = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def size(self) -> int:
        """The number of characters of the calls that have not been taken."""
        return self._size if self._calls else 0

    @property
    def choices(self) -> list[int]:
        """The choices that have calls."""
        return list(self._calls)

    def add(self, choice: int, piece: Json) -> None:
        """Add a piece. Raises Refusal(output_blocked) for too many calls or characters."""
        self._size += _PIECE + _length(piece)
        self._find(choice, piece).add(piece)
        if self._size > self._longest or self._count > self._most:
            raise Refusal(
                "output_blocked",
                f"The answer has more than {self._most} tool calls, or more than {self._longest} characters in them.",
                stage="output",
            )

    def take(self, choice: int) -> list[Json]:
        """Remove and return the complete calls of a choice, in the order of their indexes."""
        calls = self._calls.pop(choice, [])
        whole = [call.whole() for call in calls]
        indexed = [one for one in whole if "function_call" not in one]
        if choice in self._unclear:
            for index, one in enumerate(indexed):
                one["index"] = index
        elif all(type(one.get("index")) is int for one in indexed):
            whole.sort(key=lambda one: one.get("index", -1))
        return whole

    def _find(self, choice: int, piece: Json) -> ToolCall:
        """The call that a piece belongs to."""
        calls = self._calls.setdefault(choice, [])
        if "function_call" in piece:
            return self._by_index.get((choice, "function_call")) or self._new(choice, "function_call", "")
        index, id_ = ordinal(piece.get("index")), _id(piece)
        if type(piece.get("index")) is not int:
            self._unclear.add(choice)
        by_index = self._by_index.get((choice, index)) if index is not None else None
        by_id = self._by_id.get((choice, id_)) if id_ else None
        if by_index is not None and (not id_ or by_index.id in ("", id_) or not _another(by_index, piece)):
            return self._known(choice, by_index, id_)
        found = by_id or (calls[-1] if calls and by_index is None and (index is None or not _name(piece)) else None)
        begins = found is None or _another(found, piece) or bool(found is not by_id and id_ and _name(piece))
        if by_index is not None or by_id is not None or not begins:
            self._unclear.add(choice)
        if found is None or begins:
            return self._new(choice, index, id_)
        if index is not None:
            self._by_index[choice, index] = found
        return self._known(choice, found, id_)

    def _known(self, choice: int, call: ToolCall, id_: str) -> ToolCall:
        """The call with this index, whose id may have arrived only now."""
        if id_ and self._by_id.setdefault((choice, id_), call) is not call:
            self._unclear.add(choice)
        return call

    def _new(self, choice: int, index: Any, id_: str) -> ToolCall:
        call = ToolCall()
        self._calls[choice].append(call)
        self._count += 1
        if index is not None:
            self._by_index[choice, index] = call
        if id_:
            self._by_id[choice, id_] = call
        return call


def _another(call: ToolCall, piece: Json) -> bool:
    """Whether a piece begins another call although its index or id is that of this call."""
    name = _name(piece)
    if not name or not call.name:
        return False
    return name != call.name or (_says(piece) and call.complete())


def _says(piece: Json) -> bool:
    """Whether a piece has a part of the arguments."""
    return any(type(piece.get(kind)) is dict and bool(piece[kind].get(field)) for kind, field in _TEXTS)


def _id(piece: Json) -> str:
    value = piece.get("id")
    return value if type(value) is str else ""


def _name(piece: Json) -> str:
    for kind in ("function", "custom", "function_call"):
        inner = piece.get(kind)
        name = inner.get("name") if type(inner) is dict else None
        if type(name) is str and name:
            return name
    return ""


def _length(value: Any) -> int:
    """The number of characters of all strings in a piece."""
    if type(value) is str:
        return len(value)
    if type(value) is dict:
        return sum(len(key) + _length(inner) for key, inner in value.items())
    if type(value) is list:
        return sum(map(_length, value)) + len(value)
    return 8


def merge(whole: Json, piece: Json) -> None:
    """Merge a piece: the last name and id apply, other texts are appended."""
    for key, value in piece.items():
        before = whole.get(key)
        if value is None or (value == "" and before is not None):
            whole.setdefault(key, value)
        elif type(value) is dict and type(before) is dict:
            merge(before, value)
        elif type(value) is str and type(before) is str and key not in _LAST_COUNTS:
            whole[key] = before if value == before and _has_letter(value) else before + value
            if len(whole[key]) > _LONGEST:
                raise Refusal(
                    "output_blocked", f"A text of a tool call has more than {_LONGEST} characters.", stage="output"
                )
        elif type(value) is list and type(before) is list:
            before += value
        else:
            whole[key] = value


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))
