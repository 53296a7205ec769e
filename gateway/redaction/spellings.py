"""How models spelled restored values, so that their texts are sent again as they wrote them.

A model writes `[EMAIL 1]`; the caller gets the value and sends the value back in its history. The value is then
replaced by the model's own spelling: the same bytes in every turn, as prompt caches and signed blocks require.

A text is identified by a keyed digest of the text and of its place: all texts of the conversation before its turn, and
the number of equal texts before it in the turn. So two equal answers with different spellings are distinguished, and
no text of others is taken for a model's text. Entries are encrypted in the vault: the places of values in the text, the
model's spelling of each, and its placeholder.

Digests are needed where other processes keep spellings, too, or where a process has restarted. Otherwise the store
knows the places of all spellings of a workflow (`Vault.places`), as hashes of this process in place of digests: a text
at another place has no spelling, and if there are none at all, no text is looked at.

A call without a correlation id has a separate workflow without earlier answers, so nothing is looked up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import orjson

from gateway.call import Call
from gateway.detect.personal import placeholders
from gateway.dialects import literals, positions
from gateway.redaction import openings
from gateway.redaction.edits import TRIMMED, UNREAD, Edit, State, Turns
from gateway.redaction.openings import Opening
from gateway.redaction.restore import Restored, Restorer
from gateway.redaction.texts import Generations
from gateway.redaction.vault import Seal
from gateway.scheduling.lanes import apart
from gateway.stores import Spelling, StoreUnavailable, Vault
from gateway.texts import Nested, Slot

LARGEST: Final = 32 * 1024
"""Maximum bytes that are kept for one text; a text that needs more leaves in the gateway's own spelling."""
_ASSISTANT: Final = frozenset({"assistant", "model"})
_TEXT, _ARGUMENT, _JSON = "text", "argument", "json"
_APART: Final = frozenset({"reasoning_content", "reasoning", "thinking", "refusal"})  # fields that some callers omit
_MARKERS: Final = frozenset({"type", "ttl"})  # of prompt caches: callers move them from message to message
_REMEMBER: Final = 16_384
_FRESH: Final = 300.0  # seconds until the vault is asked again for a remembered entry
_log = logging.getLogger("meshgate.pii")


class Spelled(NamedTuple):
    """A text as the caller got it: edits as (start, end, the model's spelling), and placeholder -> value.

    `kind`: see `kind_of`. Texts of one kind keep their order in a turn, even if callers omit texts of another kind.
    """

    text: str
    edits: Sequence[tuple[int, int, str]]
    values: dict[str, str]
    kind: str = _TEXT

    def model(self) -> str:
        """The text as the model wrote it."""
        parts: list[str] = []
        at = 0
        for start, end, spelling in self.edits:
            parts += self.text[at:start], spelling
            at = end
        return "".join([*parts, self.text[at:]])

    def types(self) -> set[str]:
        """The entity types of its placeholders."""
        return {placeholder[1:].rpartition("_")[0] for placeholder in self.values}


class Spoken:
    """One text of an answer: its judged stretches, the values restored in it, and what leaves.

    `guarded`: guards judge the text afterwards, and may remove characters.
    """

    __slots__ = ("_edits", "_judged", "_left", "_size", "_values")

    def __init__(self, *, guarded: bool = True) -> None:
        self._judged: list[str] = []
        self._left: list[str] | None = [] if guarded else None
        self._size = 0
        self._edits: list[tuple[int, int, str]] = []
        self._values: dict[str, str] = {}

    def judge(self, text: str, edits: Sequence[tuple[int, int, str]], restorer: Restorer) -> None:
        """A stretch of the text was judged; `edits` are the replacements in it."""
        at = 0
        for edit in edits:
            start, end, instead = edit
            self.put(text[at:start])
            if type(edit) is Restored:
                spelling = text[start:end]
                self._edits.append((self._size, self._size + len(instead), spelling))
                self._values.update(restorer.meant(spelling))
            self.put(instead)
            at = end
        self.put(text[at:])

    def leave(self, text: str) -> None:
        """A stretch of the text leaves."""
        if self._left is not None:
            self._left.append(text)

    def spelled(self) -> Spelled | None:
        """The complete text after it has left; None if nothing was restored."""
        if not self._edits:
            return None
        judged = "".join(self._judged)
        text = judged if self._left is None else "".join(self._left)
        edits = _moved(self._edits, judged, text)
        return Spelled(text, edits, self._values) if edits is not None else None

    def put(self, text: str) -> None:
        """A stretch of the text without findings was judged."""
        self._judged.append(text)
        self._size += len(text)


def _moved(edits: list[tuple[int, int, str]], judged: str, left: str) -> Sequence[tuple[int, int, str]] | None:
    """The edits, and the characters that guards removed as further edits; None if guards did anything else."""
    if judged == left:
        return edits
    moved: list[tuple[int, int, str]] = []
    at = 0  # offset in the text that left
    number = 0
    start = 0  # start of the current edit
    for place, char in enumerate(judged):
        while number < len(edits) and edits[number][1] <= place:
            moved.append((start, at, edits[number][2]))
            number += 1
        inside = number < len(edits) and edits[number][0] <= place
        if inside and edits[number][0] == place:
            start = at
        if at < len(left) and left[at] == char:
            at += 1
        elif not inside:
            moved.append((at, at, char))
    moved += [(start, at, spelling) for _, _, spelling in edits[number:]]
    return moved if at == len(left) else None


def kind(slot: Slot) -> str:
    """The kind of a text: a string in the arguments of a tool call, one of the fields `_APART`, or any other."""
    if positions.is_argument(slot):
        return _ARGUMENT
    return kind_of(slot.key)


def kind_of(field: object) -> str:
    """The kind of a text in a field of a message."""
    return field if type(field) is str and field in _APART else _TEXT


def root_of(nested: Nested) -> Nested:
    """The JSON string of the body that contains a text."""
    while nested.outer is not None:
        nested = nested.outer
    return nested


def of_arguments(before: str, after: str, values: dict[str, str]) -> Spelled | None:
    """The JSON of a tool call as the model wrote it, and as the caller gets it.

    None if writing back each of its strings produces the model's bytes anyway.
    """
    try:
        said = orjson.loads(before)
    except orjson.JSONDecodeError:
        return None
    if literals.rewritten(after, said) == before:
        return None
    return Spelled(after, [(0, len(after), before)], values, _JSON)


def _inside(nested: Nested, one: Spelled, slots: Sequence[Slot]) -> dict[int, Spelled]:
    """The entries for the JSON of a tool call that was restored as plain text: for the JSON, and for each string in it.

    None if the JSON that the model wrote differs in more than the restored values.
    """
    before = one.model()
    try:
        said = orjson.loads(before)
    except orjson.JSONDecodeError:
        return {}
    strings: dict[tuple[int, object], str] = {}
    _pair(nested.root, said, strings)
    found = {id(nested): Spelled(one.text, [(0, len(one.text), before)], one.values, _JSON)}
    restorer = Restorer(one.values)
    for slot in slots:
        spelling = strings.get((id(slot.holder), slot.key)) if slot.nested is nested else None
        if spelling is not None and spelling != slot.text:
            edits = _edits(spelling, slot.text, restorer)
            if edits is None:
                return {}
            found[id(slot)] = Spelled(slot.text, edits, one.values)
    return found


def _pair(value: object, said: object, strings: dict[tuple[int, object], str]) -> None:
    """Record the string of `said` for each string of `value`."""
    pairs: Iterable[tuple[object, object, object]] = ()
    if isinstance(value, dict) and isinstance(said, dict):
        pairs = [(key, inner, said.get(key)) for key, inner in value.items()]
    elif isinstance(value, list) and isinstance(said, list) and len(value) == len(said):
        pairs = [(key, inner, said[key]) for key, inner in enumerate(value)]
    for key, inner, other in pairs:
        if isinstance(inner, str) and isinstance(other, str):
            strings[id(value), key] = other
        else:
            _pair(inner, other, strings)


def _edits(said: str, text: str, restorer: Restorer) -> list[tuple[int, int, str]] | None:
    """The places of values in `text`, which the model wrote as `said`; None if the texts differ in anything else."""
    edits: list[tuple[int, int, str]] = []
    parts: list[str] = []
    at = size = 0
    for match in placeholders.SPELLED.finditer(said):
        value = restorer.value(match[0])
        if value is not None:
            size += match.start() - at
            edits.append((size, size + len(value), match[0]))
            parts += said[at : match.start()], value
            size += len(value)
            at = match.end()
    parts.append(said[at:])
    return edits if "".join(parts) == text else None


class _Text(NamedTuple):
    """A text of a past answer: the slot or `Nested`, its place, the number of equal texts before it, and its entry."""

    holder: object
    state: State
    text: str
    before: int
    kind: str
    key: int
    sealed: bytes | None


class _Turn(NamedTuple):
    """A turn that has ended: the hash of all turns up to its end, whether it is the model's, and its texts."""

    here: State
    mine: bool
    texts: list[str]


class _Place(NamedTuple):
    """The position in a conversation: all earlier turns, and how often each text occurred in this turn."""

    state: bytes
    here: State
    said: dict[tuple[str, str], int]


class Spellings:
    """Stores spellings and looks them up, for one configuration."""

    def __init__(self, vault: Vault, seal: Seal, ttl: float) -> None:
        self._vault = vault
        self._seal = seal
        self._ttl = ttl
        self._fresh = min(_FRESH, ttl / 2)
        self._states: Generations[bytes] = Generations(_REMEMBER)
        self._known: Generations[tuple[bytes | None, float]] = Generations(_REMEMBER)
        self._renewed: Generations[float] = Generations(_REMEMBER)  # by place: when a spelling was stored last
        self._last_renewed = 0.0

    async def look(self, call: Call) -> dict[int, Spelled]:
        """The entries for texts of past answers in a request, by the identity of the slot or `Nested`."""
        if call.request.alone:
            return {}
        now = time.monotonic()
        places = await self._vault.places(*_names(call))
        texts = await apart(call, len(call.request.slots), partial(self._texts, call, now, places))
        missing = [one for one in texts if one.sealed is None]
        if missing:
            digests = [places[one.key] if places is not None else self._digest(one) for one in missing]
            answers = await self._vault.spellings(*_names(call), digests)
            for one, sealed in zip(missing, answers, strict=True):
                self._known.keep(one.key, (sealed, now + self._fresh))
            kept = {one.key: sealed for one, sealed in zip(missing, answers, strict=True)}
            texts = [one._replace(sealed=kept.get(one.key, one.sealed)) for one in texts]
        found: dict[int, Spelled] = {}
        for holder, _, text, _, kind, _, sealed in texts:
            if sealed is None or id(holder) in found:
                continue
            spelled = self._open(call, text, kind, sealed)
            if isinstance(holder, Nested) and kind != _JSON:
                found |= _inside(holder, spelled, call.request.slots)
            else:
                found[id(holder)] = spelled
        return found

    async def keep(self, call: Call) -> None:
        """Store the spellings of a call's answer before the caller can send the answer back."""
        said, call.redaction.spoken = call.redaction.spoken, []
        team, workflow = _names(call)
        place = await apart(call, len(call.request.slots), partial(self._place, call))
        items: list[Spelling] = []
        keys: list[int] = []
        here: list[int] = []
        for one in said:
            count = place.said.get((one.text, one.kind), 0)
            place.said[one.text, one.kind] = count + 1
            try:
                data = orjson.dumps((one.edits, one.values))
            except TypeError:  # a lone surrogate, which JSON text cannot contain
                continue
            if len(data) > LARGEST:
                continue
            sealed = self._seal.enclose(_context(call), data)
            items.append((self._named(place.state, one.text, count, one.kind), sealed))
            keys.append(hash((place.state, count, (one.text, one.kind))))
            here.append(hash((place.here, count, (one.text, one.kind))))
        try:
            await self._vault.spell(team, workflow, items, self._ttl, here)
        except StoreUnavailable as fault:
            _log.warning("call %s: the model's spelling of placeholders is not kept: %s", call.id, fault)
            return
        self._last_renewed = time.monotonic()
        for state in (place.state, place.here, (team, workflow)):
            self._renewed.keep(state, self._last_renewed)
        for key in (*keys, *here):  # ask the vault: of two equal answers, the spelling of the first one stays
            self._known.keep(key, (None, 0.0))

    def _open(self, call: Call, text: str, kind: str, sealed: bytes) -> Spelled:
        edits, values = orjson.loads(self._seal.disclose(_context(call), sealed))
        return Spelled(text, [(start, end, spelling) for start, end, spelling in edits], values, kind)

    def _texts(self, call: Call, now: float, places: Mapping[int, bytes] | None) -> list[_Text]:
        """The texts of past answers with known entries, and those for which the vault must be asked.

        `places`: see `Vault.places`.
        """
        reading = openings.of(call)
        if places is not None and not places:
            if reading is not None:
                reading.turns = UNREAD
            return []
        turns = Turns(self._first(call) if places is None else hash(_names(call)))
        if reading is None:
            return self._follow(turns, call.request.slots, now, places)[0]
        if (known := reading.opening) is not None and known.edit.whole:
            read = known.edit.turns
            other = read is UNREAD or type(read.state) is not type(turns.state)
            turns = self._follow(turns, known.before.slots, now, places)[1] if other else read
        found, reading.turns = self._follow(turns, reading.first.slots, now, places)
        return found + self._follow(reading.turns, [*reading.new.slots, *reading.after.slots], now, places)[0]

    def _follow(
        self, turns: Turns, slots: Sequence[Slot], now: float, places: Mapping[int, bytes] | None
    ) -> tuple[list[_Text], Turns]:
        """The same for the texts after a position, and the position after them.

        A single loop, because callers send mostly known texts: it is remembered that they have no entry.
        """
        after = self._next if places is None else _after
        found: list[_Text] = []
        young = self._known.young
        state, mine, until = turns.state, turns.mine, turns.until
        turn, said = [*turns.turn], {**turns.said}
        states: set[State] = set()
        roots: set[int] = set()
        for slot in slots:
            _, field, text, role, nested = slot
            if not role:
                continue
            if (role in _ASSISTANT) is not mine:
                state = after(state, mine, turn)
                mine, turn, said = not mine, [], {}
            if field not in _MARKERS:
                turn.append(text)
            if not mine:
                continue
            states.add(state)
            plain = nested is None and (field == "content" or field == "text")
            for holder, words, kind in ((slot, text, _TEXT),) if plain else _parts(slot, roots):
                place = words, kind
                count = said.get(place, 0)
                said[place] = count + 1
                key = hash((state, count, place))
                if places is not None and key not in places:
                    continue
                known = young.get(key) or self._known.peek(key)
                if known is None or known[1] <= now:
                    found.append(_Text(holder, state, words, count, kind, key, None))
                    until = min(until, now + self._fresh)
                    continue
                until = min(until, known[1])
                if known[0] is not None:
                    found.append(_Text(holder, state, words, count, kind, key, known[0]))
        return found, Turns(state, mine, tuple(turn), said, until, turns.states | states)

    async def follow(self, call: Call, opening: Opening) -> Edit:
        """The edit of an opening whose turns have to be looked at; the same if one of its texts may have a spelling."""
        now, edit = time.monotonic(), opening.edit
        places = await self._vault.places(*_names(call))
        if places is None:
            return edit
        if not places:
            return edit._replace(turns=UNREAD, made=now)
        slots = opening.before.slots
        follow = partial(self._follow, Turns(hash(_names(call))), slots, now, places)
        found, turns = await apart(call, len(slots), follow)
        return edit if found else edit._replace(turns=turns, made=now)

    async def is_current(self, call: Call, edit: Edit) -> bool:
        """Whether no spelling was stored, since an edit was made, at one of the places in its opening."""
        renewed, made, turns = self._renewed, edit.made, edit.turns
        if turns is TRIMMED:
            return False
        if self._last_renewed > made:
            states: Iterable[Hashable] = [_names(call)] if turns is UNREAD else turns.states
            if any((renewed.peek(state) or 0.0) > made for state in states):
                return False
        # Another process may have stored one: then the places by which the edit was made are not all there are.
        by_places = turns is UNREAD or type(turns.state) is int
        return not by_places or await self._vault.places(*_names(call)) is not None

    def _place(self, call: Call) -> _Place:
        """The position of the answer to a request."""
        here: State = hash(_names(call))
        mine = False
        past: list[_Turn] = []
        turn: list[Slot] = []
        for slot in call.request.slots:
            if slot.role and (slot.role in _ASSISTANT) is not mine:
                here = _after(here, mine, told := _told(turn))
                past.append(_Turn(here, mine, told))
                mine, turn = not mine, []
            if slot.role:
                turn.append(slot)
        said: dict[tuple[str, str], int] = {}
        if mine:  # the answer continues a turn that has begun
            roots: set[int] = set()
            for _, text, kind in (part for slot in turn for part in _parts(slot, roots)):
                said[text, kind] = said.get((text, kind), 0) + 1
        else:
            here = _after(here, mine, told := _told(turn))
            past.append(_Turn(here, mine, told))
        return _Place(self._state(call, past), here, said)

    def _state(self, call: Call, turns: Sequence[_Turn]) -> bytes:
        """The digest of turns, from the last one on whose digest is remembered."""
        known, at = None, len(turns)
        while at and (known := self._states.peek(turns[at - 1].here)) is None:
            at -= 1
        state = known or self._first(call)
        for here, mine, texts in turns[at:]:
            state = self._next(state, mine, texts)
            self._states.keep(here, state)
        return state

    def _first(self, call: Call) -> bytes:
        return self._seal.digest("spelling", "\0".join(_names(call)))

    def _next(self, state: State, mine: bool, texts: list[str]) -> bytes:
        """The state after a turn, computed once, because callers send the whole conversation with every turn."""
        assert type(state) is bytes
        if not texts:
            return state
        key = hash((state, mine, *texts))
        known = self._states.young.get(key) or self._states.recall(key)
        if known is None:
            joined = "".join([f"{len(text)}:{text}" for text in texts])
            known = self._seal.digest("spelling turn", f"{state.hex()}{mine:d}{joined}")
            self._states.keep(key, known)
        return known

    def _digest(self, one: _Text) -> bytes:
        assert type(one.state) is bytes
        return self._named(one.state, one.text, one.before, one.kind)

    def _named(self, state: bytes, text: str, count: int, kind: str) -> bytes:
        return self._seal.digest("spelling text", f"{state.hex()}{kind}{count}:{text}")


def _after(state: State, mine: bool, texts: list[str]) -> State:
    """The state after a turn, as a hash."""
    return hash((state, mine, *texts)) if texts else state


def _names(call: Call) -> tuple[str, str]:
    assert call.subject is not None, "redaction comes after identify"
    return call.subject.team, call.request.correlation_id


def _context(call: Call) -> str:
    return "\0".join((*_names(call), "spelling"))


def _told(turn: Iterable[Slot]) -> list[str]:
    """The non-empty texts of a turn."""
    return [slot.text for slot in turn if slot.key not in _MARKERS]


def _parts(slot: Slot, roots: set[int]) -> Iterable[tuple[object, str, str]]:
    """A text and, once, the JSON string that contains it: the slot or `Nested`, the text, its kind."""
    if slot.nested is not None:
        root = root_of(slot.nested)
        held = root.holder[root.key]
        if id(root) not in roots and type(held) is str:
            roots.add(id(root))
            yield root, held, _JSON
            # It may have been JSON that was not read, with escapes in place of brackets: see `_inside`.
            yield root, held, _ARGUMENT
    yield slot, slot.text, kind(slot)
