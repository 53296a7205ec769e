"""Reading a JSON body once: depth, duplicate keys, and every text position in document order.

All strings are text unless the dialect's table says that a key is structural, because an unknown field may carry
personal data as well as a known field. So may a key, and a number with the digits of a card. Duplicate keys are refused
(RFC 8259, section 4: receivers differ in which value they take, so the value that is judged and the value that the
upstream reads could differ).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from gateway.bodies import Json
from gateway.detect.unmask import encoded
from gateway.dialects import items, leads, media, numbers, terms
from gateway.errors import NotJson, Refusal
from gateway.texts import Argument, Nested, Prompt, Signed, Slot

SOURCE = "source"  # the key of data, text or address in blocks of Anthropic's dialect
SIGNED = "signed"  # the author of blocks that a provider signed
SPEAKER = "assistant"  # the author of items that a model writes
MESSAGE = 3  # levels down: the body, its list of messages, a message


class Led(str):
    """The key of a text that is judged after the words of `lead`, which are no part of the text (see `leads`)."""

    lead = ""


class LedAt(int):
    """The same for an element of a list."""

    lead = ""


class Name(Led):
    """A key that is a text position: the text is the key, not its value."""


class Figure(Led):
    """The key of a number that is a text position."""


class FigureAt(LedAt):
    """The same for a number in a list."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The table of keys of a dialect: keys of structural strings, of JSON in strings, of unscannable parts.

    Keys are structural only where the dialect has structure: at the top level and below the keys of `within`. There,
    values under a `repeats` key repeat another text in pieces (log probabilities) or go nowhere, and are not walked.
    `turns` are the fields at the top level with the conversation, `ahead` those that a model reads before it. The order
    of texts is: ahead, turns, then all others, so that new texts of a conversation come after the earlier texts.
    """

    opaque: frozenset[str]
    json: frozenset[str]
    blobs: frozenset[str]
    within: frozenset[str] = frozenset()
    repeats: frozenset[str] = frozenset()
    roles: Mapping[str, str] = field(default_factory=dict)
    """Top-level keys other than the messages, and the author of their texts."""
    blocks: Mapping[str, str] = field(default_factory=dict)
    """Types of content blocks with an author of their own, and who that is; `signed` for those that are signed. With
    any, every type that ends in `_result` or `_call_output` is a tool's."""
    turns: frozenset[str] = frozenset()
    ahead: frozenset[str] = frozenset()
    seals: frozenset[str] = frozenset()
    """Keys of strings that a provider encrypted: never edited, and judged unless they are encrypted indeed."""
    pictures: frozenset[str] = frozenset()
    """Keys of base64 outside of the lists of content parts: of images, unless a media type stands beside the key."""
    speakers: Mapping[str, str] = field(default_factory=dict)
    """The authors of messages by their role, if a dialect calls them differently; that of `""` has no role."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Keys of objects in messages that have an author of their own, and who that is."""
    strangers: str = ""
    """The author of items of the conversation whose type is unknown; "": that of their role."""
    thoughts: bool = False
    """Texts of the model with `thought: true` beside them are signed."""

    def ordered(self, body: Json) -> list[tuple[str, Any]]:
        """The top-level fields of a body, in the order of their texts."""
        ahead, turns = self.ahead, self.turns
        return sorted(body.items(), key=lambda pair: 1 if pair[0] in turns else 0 if pair[0] in ahead else 2)


class Single(NamedTuple):
    """The list of an answer with its content, if this is one text of the model beside terms of the dialect.

    `root`: the list, a field of the answer; `holder` and `key`: the place of the text; `lists`: the number of lists
    that are not empty, with `root`; `names`: structural strings other than words of the dialect, for `structure`.
    """

    root: list[Any]
    holder: Json
    key: str
    lists: int
    names: tuple[str, ...] = ()


class Survey:
    """The result of one walk over a parsed body: text positions, unscannable parts, keys and colons (see `parse`)."""

    __slots__ = (
        *("_max_depth", "_shape", "colons", "inexact", "keys", "kinds", "lists"),
        *("nested", "roots", "slots", "starts", "widest"),
    )

    def __init__(self, shape: Shape, max_depth: int = 500) -> None:
        self._shape = shape
        self._max_depth = max_depth
        self.slots: list[Slot] = []
        self.nested: list[Nested] = []
        self.roots: list[Any] = []  # of a part of a body: values that may contain lists of texts
        self.kinds: dict[str, int] = {}  # unscannable parts, by kind
        self.inexact = False  # the body has a number that a float cannot represent
        self.lists = 0  # lists that are not empty
        self.keys = 0
        self.colons = 0
        self.widest = 2  # the largest number of keys in one object, if at least two
        self.starts: list[tuple[int, int]] = []  # slots and nested before each message of a body, and after the last

    def walk(
        self,
        root: Any,
        role: str = "",
        depth: int = 1,
        nested: Nested | None = None,
        above: leads.Keys = (),
        single: Single | None = None,
    ) -> None:
        """Walk a dict or list and everything below. Raises Refusal(invalid_request) beyond the depth limit.

        `above`: the keys above the root. `single`: what was read of a list below, whose keys are not counted.

        One closure over local variables, because this walk is half of the cost of a request before it leaves.
        """
        max_depth, add, inside, new = self._max_depth, self.slots.append, self._inside, tuple.__new__
        opaque = self._shape.opaque if nested is None else _NOTHING
        blob_keys, repeats = (self._shape.blobs, self._shape.repeats) if nested is None else (_NOTHING, _NOTHING)
        within, wrapped = self._shape.within, nested is not None
        special = self._shape.json | blob_keys
        if not wrapped:
            special |= self._shape.seals | self._shape.pictures
        roles, blocks, speakers = self._shape.roles, self._shape.blocks, self._shape.speakers
        authored = bool(blocks or roles or self._shape.parts or self._shape.thoughts)
        turns = self._shape.turns
        ordinary, digits, longest = leads.ORDINARY, leads.DIGITS, leads.MOST
        keys = colons = lists = 0
        read = single.root if single is not None else self  # self: nothing in a body
        widest = self.widest
        spoken = False  # below the conversation: only there, a role names the author of a text
        grows = False  # below the list of its messages
        defines = False  # below the definitions of tools and response formats, which describe arguments

        def visit(node: Any, role: str, depth: int, blob: bool, opaque: frozenset[str], above: leads.Keys) -> None:
            nonlocal keys, colons, widest, lists, spoken, grows, defines
            if depth > max_depth:
                raise Refusal("invalid_request", f"The body is nested more than {max_depth} levels deep.")
            if type(node) is dict:
                keys += len(node)
                if len(node) > widest:
                    widest = len(node)
                names = "".join(node)
                plain = names.isalpha() or (len(names) <= _LONGEST and names.replace("_", "").isalpha())
                if ":" in names:
                    colons += names.count(":")
                named = node.get("role")
                if spoken and depth == MESSAGE and not role:  # not the fields of a message
                    if type(named) is str:
                        role = speakers.get(named, named)
                    elif speakers:
                        role = speakers[""]
                # A body: the new texts of a turn must come after the earlier texts.
                pairs: Any = node.items() if depth > 1 or wrapped or not turns else self._shape.ordered(node)
            else:
                pairs, plain = self._noted(node) if grows and depth == MESSAGE - 1 else enumerate(node), True
                lists += len(node) > 0
            for key, value in pairs:
                kind = type(value)
                if kind is str:
                    if ":" in value:
                        colons += value.count(":")
                    if not value or (key in opaque and (value in _TERMS or terms.is_term(value))):
                        continue
                    # JSON in a string in the arguments of a tool is parsed at any depth.
                    odd = blob or key in special or value[:5] == "data:" or (wrapped and value[0] in "{[")
                    if odd and inside(node, key, value, role, depth, nested, blob):
                        continue
                    # A number has seven characters; definitions of tools describe values and hold none.
                    if 6 < len(value) <= longest and (above or key not in ordinary) and digits(value):
                        add(new(Slot, (node, _led(node, key, above), value, role, nested)))
                        continue
                    add(new(Slot, (node, key, value, role, nested)))
                elif (
                    kind is dict
                    and len(value) == 2
                    and type(value.get("content")) is str
                    and type(value.get("role")) is str
                    and value["role"] in _NAMES
                    and key not in ARGUMENTS
                ):
                    # A message of plain text, the most frequent value: handled here, without another visit.
                    text = value["content"]
                    keys += 2
                    if ":" in text:
                        colons += text.count(":")
                    if text:
                        said_by = value["role"] if spoken and depth == MESSAGE - 1 else ""
                        add(new(Slot, (value, "content", text, role or said_by, nested)))
                elif kind is dict and key == "usage" and depth < max_depth - 1 and _are_counters(value):
                    for counters in (value, *filter(None, map(value.get, _PARTS))):
                        keys += len(counters)
                        widest = max(widest, len(counters))
                elif (kind is dict or kind is list) and (key not in repeats or not opaque):
                    if value is read and single is not None:
                        lists += single.lists
                        add(new(Slot, (single.holder, single.key, single.holder[single.key], "", None)))
                        continue
                    if not value and depth < max_depth and key not in blob_keys and key not in turns:
                        continue
                    inner = key in blob_keys and self._blob(key, value)
                    if depth == 1:
                        grows = key in turns and not wrapped
                        spoken = grows or (key == "messages" and not wrapped)
                        defines = key in _DEFINITIONS
                    dialect = opaque if type(key) is int or key in within else _NOTHING
                    if opaque and kind is list and not blob and (key == "content" or (key == "output" and depth > 1)):
                        self._media(value)
                    talk = depth == 1 and spoken  # the conversation, also if it is called as arguments are
                    first = len(self.slots) if key in ARGUMENTS and not defines and not talk else -1
                    wrote = self._author(key, value, role, depth) if authored else role
                    begun = len(self.slots)
                    over = above if defines or type(key) is int or (not above and key in ordinary) else (key, above)
                    visit(value, wrote, depth + 1, blob or inner, dialect, over)  # noqa: F821  (deleted below)
                    if first >= 0:
                        self._argue(first)
                    if wrote == SIGNED:
                        by = role or (SPEAKER if spoken and depth == MESSAGE - 1 else "")
                        self.slots[begun:] = _signed(self.slots[begun:], by)
                    if kind is list and value and (type(value[0]) is int or type(value[0]) is float):
                        self.slots += _figures(node, key, value, role, nested, above)
                elif kind is int or kind is float:
                    if value >= terms.LONG or value <= -terms.LONG:
                        slots = [_figure(node, key, value, role, nested, leads.within(node, key, above))]
                        self.slots += [slot for slot in slots if slot is not None]
                    if kind is float and not self.inexact and numbers.is_inexact(value):
                        self.inexact = True
            if not plain:
                # After the values, which could not be found under a renamed key.
                for name in node:
                    if name not in _USUAL and _telling(name):
                        add(new(Slot, (node, _name(name, above), name, role, nested)))

        visit(root, role, depth, False, opaque, above)
        if roles and not wrapped:
            self._name_authors(root)
        del visit  # a closure that refers to itself is a cycle: it would keep its values until garbage collection
        self.keys, self.colons, self.widest = keys, colons, max(widest, self.widest)
        self.lists += lists

    def _noted(self, messages: list[Any]) -> Iterator[tuple[int, Any]]:
        """The messages of a body, numbered; writes `starts`."""
        for number, message in enumerate(messages):
            self.starts.append((len(self.slots), len(self.nested)))
            yield number, message
        self.starts.append((len(self.slots), len(self.nested)))

    def _name_authors(self, root: Any) -> None:
        """Set the author of the top-level strings other than the messages."""
        roles, turns = self._shape.roles, self._shape.turns
        for at, slot in enumerate(self.slots):
            if slot.holder is root and slot.key in roles:
                said = slot._replace(role=roles[slot.key])
                self.slots[at] = Prompt(*said) if slot.key in turns else said

    def _author(self, key: object, value: Any, role: str, depth: int) -> str:
        """The author of the texts in a dict or list: `role`, unless the dialect's table has another."""
        if depth == 1 and type(key) is str:
            return role if key in self._shape.turns else self._shape.roles.get(key, role)
        if type(key) is str and key in self._shape.parts:
            return self._shape.parts[key]
        if self._shape.thoughts and type(value) is dict and value.get("thought") is True and "text" in value:
            return SIGNED if role in _MODEL else role
        kind = value.get("type") if type(value) is dict else None
        if type(kind) is not str:
            return role
        author = self._shape.blocks.get(kind, "tool" if self._shape.blocks and kind.endswith(_RESULTS) else role)
        if self._shape.strangers and depth == MESSAGE - 1 and kind not in self._shape.blocks and kind != "message":
            return SPEAKER if kind.endswith(_CALL) and not role else self._shape.strangers
        if author == SPEAKER:  # only an item of the conversation: what is inside others is written by their authors
            return author if depth == MESSAGE - 1 and not role else role
        return role if author == SIGNED and role not in _MODEL else author

    def is_term(self, key: object) -> bool:
        """Whether a key is structural."""
        return key in self._shape.opaque

    def take(self, holder: Json, but: frozenset[str]) -> None:
        """Walk the values of `holder` under keys other than `but`."""
        for key, value in holder.items():
            if key in but or not value:
                continue
            if type(value) is str:
                self.slots.append(
                    Slot(holder, _led(holder, key, ()) if leads.may_need(value) else key, value, "", None)
                )
            elif key == "usage" and type(value) is dict and _are_counters(value):
                continue
            elif type(value) is dict or type(value) is list:
                if key in self._shape.blobs:
                    self._blob(key, value)
                elif key == "content" and type(value) is list:
                    self._media(value)
                first = len(self.slots)
                self.walk(value, above=(key, ()))
                if key in ARGUMENTS:
                    self._argue(first)
                self.roots.append(value)
                if type(value) is list:
                    self.slots += _figures(holder, key, value, "", None, ())
            elif type(value) is int or type(value) is float:  # noqa: SIM102  (the branches are kinds of values)
                if abs(value) >= terms.LONG and (
                    slot := _figure(holder, key, value, "", None, leads.within(holder, key, ()))
                ):
                    self.slots.append(slot)
        if not _are_words(holder):
            self.slots += [Slot(holder, Name(key), key, "", None) for key in holder if key not in but and _telling(key)]

    def _argue(self, first: int) -> None:
        """Mark the text positions from `first` on as arguments of a tool call."""
        self.slots[first:] = [Argument(*slot) for slot in self.slots[first:]]

    def _inside(
        self, holder: Any, key: Any, text: str, role: str, depth: int, outer: Nested | None, blob: bool
    ) -> bool:
        """Whether a string is not plain text: JSON or a text in base64, which is walked here, a seal, or a blob."""
        if text[:5] == "data:" and self._encoded(holder, key, text, role, outer):
            return True
        if key in self._shape.seals and outer is None:
            if not is_sealed(text):
                self.slots.append(Signed(holder, key, text, role, None))
            return True
        if key in self._shape.pictures and outer is None and is_sealed(text):
            medium = holder.get("mimeType") if type(holder) is dict else None
            self._count("image" if medium is None else _medium(medium))
            return True
        if key in self._shape.json or (outer is not None and text[0] in "{["):
            return self._json(holder, key, text, role, depth, outer)
        if key in self._shape.blobs and key != SOURCE and text.startswith(_ADDRESSES):
            self._count(KINDS.get(key, "file"))  # an address or the data
            if text[:5] == "data:":
                return True
        return blob and self._data(holder, key, text, role, outer)

    def _data(self, holder: Any, key: Any, text: str, role: str, outer: Nested | None) -> bool:
        """Whether a string of an unscannable part is its data or an id; a text in base64 is walked here."""
        if text[:5] == "data:":
            return True
        if key not in _DATA:
            return key == "file_id" and terms.is_term(text)
        said = encoded.text_in(text)
        if said is None:
            return encoded.is_data(text)
        self._enclose(holder, key, "", said, role, outer)
        return True

    def _encoded(self, holder: Any, key: Any, text: str, role: str, outer: Nested | None) -> bool:
        """Walk the text in a data: URL; False if there is none."""
        said = encoded.text_of(text)
        if said is None:
            return False
        self._enclose(holder, key, *said, role, outer)
        return True

    def _enclose(self, holder: Any, key: Any, prefix: str, said: str, role: str, outer: Nested | None) -> None:
        """Add the text that a string encodes."""
        nested = Nested(holder, key, {"text": said}, outer)
        nested.prefix = prefix
        self.nested.append(nested)
        if said:
            self.slots.append(Slot(nested.root, "text", said, role, nested))

    def _blob(self, key: str, value: Any) -> bool:
        """Count an unscannable part; False if there is no data, and for text in a data: URL, which is scanned."""
        if key == SOURCE:
            return self._source(value)
        if key in _TYPED and type(value) is dict:
            medium = value.get("mimeType") or value.get("mime_type")
            if not _is_text(medium, value.get("data")):
                self._count(_medium(medium))
            return "data" in value
        held = value if type(value) is list else [value[name] for name in _HOLDS if name in value]
        if all(type(one) is str and encoded.text_of(one) for one in held):
            return False
        self._count(KINDS.get(key, "file"))
        return True

    def _source(self, value: Any) -> bool:
        """Count the source of a block; True for data in the block, False for text and addresses."""
        kind = value.get("type") if type(value) is dict else None
        if type(kind) is not str or kind in ("text", "content"):
            return False
        if not _is_text(value.get("media_type"), value.get("data")):
            self._count(_medium(value.get("media_type")))
        return kind == "base64"

    def _media(self, parts: list[Any]) -> None:
        """Count the parts of a message that are not text and have no keys of the dialect."""
        for kind in media.kinds(parts, self._shape.blobs):
            self._count(kind)

    def _count(self, kind: str) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def _json(self, holder: Any, key: Any, text: str, role: str, depth: int, outer: Nested | None) -> bool:
        """Walk the JSON in a string; False if there is none or it has duplicate keys: then it is plain text."""
        if len(text) > items.SMALL and items.is_crowded(text.encode("utf-8", "surrogatepass")):
            return False
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
        self.slots += inner.slots
        self.nested += [nested, *inner.nested]
        self.widest = max(self.widest, inner.widest)
        self.lists += inner.lists
        return True


def _is_text(medium: Any, data: Any) -> bool:
    """Whether a part is text in base64 under the media type of a text, which is judged as any text."""
    return media.is_textual(medium) and type(data) is str and encoded.text_in(data) is not None


def _medium(named: Any) -> str:
    """The kind of a part by its media type."""
    medium = named.partition("/")[0] if type(named) is str else ""
    return medium if medium in ("image", "audio", "video") else "file"


def is_seal(key: object, text: str) -> bool:
    """Whether a value of a signed block is encrypted, so that no scanner can read it.

    A text in base64 is not encrypted, and neither is a value with a separate number or key among its letters.
    """
    return key in _SEALS and _SEALED.fullmatch(text) is not None and _is_data(text)


def is_sealed(text: str) -> bool:
    """The same for the value of any key, in either alphabet of base64 (RFC 4648)."""
    return _SEALED_URL.fullmatch(text) is not None and _is_data(text)


def _is_data(text: str) -> bool:
    if _BARE.search(text) is not None:
        return False
    said = encoded.decoded(text)
    return said is None or not encoded.is_text(said)


def _signed(slots: list[Slot], role: str) -> list[Slot]:
    """The text positions of a signed block, without encrypted values, which no scanner can read."""
    return [
        Signed(slot.holder, slot.key, slot.text, role, slot.nested)
        for slot in slots
        if not is_seal(slot.key, slot.text)
    ]


KINDS = {"image_url": "image", "input_audio": "audio", "audio": "audio", "video_url": "video"}
"""The kinds of parts under these keys; parts under other keys are files."""
_HOLDS = frozenset({"url", "data", "file_data", "file_id", "id"})  # without one of these, a part has no content
_DATA = frozenset({"data", "file_data"})
_TYPED = frozenset({"inlineData", "inline_data", "fileData", "file_data"})  # objects with a media type beside the data
_ADDRESSES = ("http:", "https:", "data:")

_RESULTS = ("_result", "_call_output")  # endings of the types of blocks with what a tool returned
_CALL = "_call"  # ending of the types of items with what the model asks of a tool
_MODEL = frozenset({"assistant", ""})  # roles whose blocks a provider may have signed: neither tools nor users
_SEALS = frozenset({"signature", "data"})
# Base64 with the standard alphabet: no key of a provider, and no JSON.
_SEALED = re.compile(r"(?!AIza|eyJ)[A-Za-z0-9+/]{32,}={0,2}")
_SEALED_URL = re.compile(
    r"(?!AIza|eyJ|sk-|pk-|gh[oprsu]_|github_|glpat-|xox|hf_|npm_|pypi-|mg-)[A-Za-z0-9+/_-]{32,}={0,2}"
)
# Separate digits, an IBAN or the id of a key: in encrypted data, they occur once in a hundred million characters.
_BARE = re.compile(
    r"(?<![A-Za-z0-9])(?:[0-9](?:[/+]?[0-9]){8,}|A[KS]IA[A-Z0-9]{16}|[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30})(?![A-Za-z0-9])"
)

# The most frequent values of structural keys, which are accepted without a check.
_NAMES = frozenset({"user", "assistant", "system", "tool", "developer", "function", "text", "object", "string"})
_TERMS = _NAMES | {  # those that most bodies have: known without a look at their form
    *("message", "completed", "stop", "auto", "chat.completion", "response", "input_text", "output_text", "tool_calls"),
    *("end_turn", "tool_use", "tool_result", "model", "STOP", "function_call", "function_call_output", "in_progress"),
}


_NOTHING: frozenset[str] = frozenset()
ARGUMENTS = frozenset({"arguments", "input", "args"})
"""Fields of a tool call with its arguments: JSON in a string, plain text or an object."""
_DEFINITIONS = frozenset({"tools", "functions", "response_format"})


def _led(node: Any, key: Any, above: leads.Keys) -> Any:
    """The key of a text, with the words that name its value, if any."""
    lead = leads.within(node, key, above)
    if not lead:
        return key
    place: Led | LedAt = Led(key) if isinstance(key, str) else LedAt(key)
    place.lead = lead
    return place


def _name(key: str, above: leads.Keys) -> Name:
    """A key as a text position, with the words that name the keys of its object."""
    name = Name(key)
    name.lead = leads.of(0, above) if above else ""
    return name


def _figure(holder: Any, key: Any, value: float, role: str, nested: Nested | None, lead: str) -> Slot | None:
    """The text position of a number that is a value; `lead` are the words that name it."""
    text = terms.digits(lead, value)
    if not text:
        return None
    place: Figure | FigureAt = Figure(key) if type(key) is str else FigureAt(key)
    place.lead = lead
    return Slot(holder, place, text, role, nested)


def _figures(
    holder: Any, key: Any, values: list[Any], role: str, nested: Nested | None, above: leads.Keys
) -> list[Slot]:
    """The position of the groups of one card, if the numbers of a list with a telling key are its groups."""
    if type(key) is not str or not leads.of(key, above) or not (text := terms.grouped(values)):
        return []
    return [Slot(holder, Figure(key), text, role, nested)]


_LONGEST = 24  # characters of a name
_ORDINARY = re.compile(rf"[A-Za-z_.$:/ -]{{1,{_LONGEST}}}")


_STATEMENT = re.compile(
    r"\s*(?:select|with|insert|update|delete|merge|replace|create|alter|drop|truncate|grant|revoke|deny|exec|execute|call"
    r"|copy|load|attach|backup|restore|set|use|rename|disable|enable|do|begin|declare|kill|shutdown|pragma|vacuum)\b\s*\W?\w",
    re.IGNORECASE,
)
"""A key that may be SQL: a keyword followed by more."""


def _are_words(names: Collection[str]) -> bool:
    """Whether all names are short and only letters, so that none is telling."""
    letters = "".join(names).replace("_", "")
    return letters.isascii() and letters.isalpha() and max(map(len, names)) <= _LONGEST


def _telling(name: str) -> bool:
    """Whether a key may be data in addition to the name of a field."""
    if not name.isidentifier() and _STATEMENT.match(name):
        return True
    if _ORDINARY.fullmatch(name):
        return False
    digits = sum(map(str.isdigit, name))
    return (
        digits > 4
        or len(name) > _LONGEST
        or (digits > 0 and len(name) > 15)
        or re.search(r"[^\w.$:/ -]", name) is not None
    )


_USUAL = frozenset(
    name
    for name in (
        *("id", "object", "created", "created_at", "completed_at", "status", "error", "incomplete_details", "model"),
        *("instructions", "tools", "tool_choice", "output", "usage", "store", "text", "reasoning", "metadata", "user"),
        *("parallel_tool_calls", "previous_response_id", "max_output_tokens", "max_tool_calls", "temperature"),
        *("top_p", "top_logprobs", "truncation", "service_tier", "background", "prompt_cache_key", "type", "role"),
        *("content", "annotations", "logprobs", "sequence_number", "output_index", "content_index", "summary_index"),
        *("item_id", "item", "part", "response", "delta", "obfuscation", "input_tokens", "output_tokens"),
        *("total_tokens", "input_tokens_details", "output_tokens_details", "safety_identifier", "stop_reason"),
        *("stop_sequence", "index", "choices", "message", "finish_reason", "candidates", "usageMetadata", "parts"),
        *("modelVersion", "responseId", "promptTokenCount", "candidatesTokenCount", "totalTokenCount", "finishReason"),
        *("thoughtsTokenCount", "cachedContentTokenCount", "safetyRatings", "thoughtSignature", "thought"),
    )
    if not _telling(name)
)
"""Names of fields that are no data, in objects with long names."""
_PARTS = tuple(
    f"{name}_tokens_details"
    for name in ("prompt", "completion", "input", "output")
    if not _telling(f"{name}_tokens_details")
)
_COUNTERS = frozenset(
    name
    for name in (
        *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "audio_tokens"),
        *("input_tokens", "output_tokens", "cache_read_input_tokens", "text_tokens", "image_tokens"),
    )
    if not _telling(name)
)


def _are_counters(usage: Json, parts: Collection[str] = _PARTS) -> bool:
    """Whether an object has only counters with names of the dialect, too small to be values: nothing is judged."""
    for name, value in usage.items():
        if type(value) is int:
            if name not in _COUNTERS or not -terms.LONG < value < terms.LONG:
                return False
        elif type(value) is not dict or name not in parts or not _are_counters(value, ()):
            return False
    return True


def parse(raw: bytes, shape: Shape, max_depth: int) -> tuple[Json, Survey]:
    """Parse a body: bytes -> (object, survey). Raises Refusal(invalid_request) unless the body is one object.

    Parsing drops duplicate keys with their colons. Unless a colon is written as an escape, the number of colons in the
    bytes is that of the keys plus that inside strings. Only if the numbers differ is the body parsed again by the slow
    parser, which sees every key.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"The body is not valid JSON: {_position(error)}.") from None
    if type(body) is not dict:
        raise Refusal("invalid_request", "The body must be a JSON object.")
    survey = Survey(shape, max_depth)
    survey.walk(body)
    if raw.count(b":") != survey.keys + survey.colons or (b"\\" in raw and b"\\u003" in raw):
        _refuse_duplicates(raw)
    if survey.inexact:
        numbers.exact(raw, body)
    return body, survey


def says_once(raw: bytes, value: Json) -> bool:
    """Whether the bytes have no duplicate keys, which parsing drops."""
    return b"\\u00" not in raw and raw.count(b":") == orjson.dumps(value).count(b":")


def _position(error: orjson.JSONDecodeError) -> str:
    """The position at which the parser stopped, without the text there."""
    return f"{error.msg.split(':')[0]} at line {error.lineno} column {error.colno}"


def _refuse_duplicates(raw: bytes) -> None:
    def pairs(members: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in members]
        if len(set(names)) != len(names):
            raise Refusal("invalid_request", "An object of the body names the same key twice; each may stand once.")

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise NotJson("The body is not valid JSON.") from None
