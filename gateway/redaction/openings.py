"""The openings of conversations: what agents send again with every turn, with all that earlier calls determined of it.

A second call that begins with the same messages teaches where the opening ends. From then on, a body that begins and
ends with the same bytes is parsed and judged only from there. Openings are kept in memory, by team and workflow, until
the configuration changes. They are shared by calls and threads and never changed: a call that must edit the messages of
an opening reads the whole body again (`separate`).

Nothing depends on an opening except the time that a call takes: verdicts, edits and records are those of a body that is
read in full.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from gateway.call import Call, Json, Step
from gateway.dialects import cuts, positions
from gateway.dialects.parts import Joined
from gateway.redaction.adjoining import Found
from gateway.redaction.content import Gathered
from gateway.redaction.edits import Edit, Turns, blobs
from gateway.texts import Finding, Nested, Slot

LEAST: Final = 2048
"""Bytes of a body from which its opening is remembered: a shorter body is read as fast as it is compared."""
MOST: Final = 32 * 1024 * 1024
"""Bytes of all openings of a process, as `_weight` counts them: 200 conversations of 64 kB."""
_SHARE: Final = 8  # no conversation takes more than this part of them
_SEVERAL: Final = 4  # conversations of one workflow, or of one agent without workflows
_KEPT: Final = 3  # openings of one conversation: agents that move a mark of a prompt cache change their last messages
_NEW: Final = 64  # bytes that a new message has at least, with what surrounds it


@dataclass(slots=True)
class Passage:
    """Consecutive texts of a request, and what was found in them and in its joined content parts."""

    slots: Sequence[Slot]
    nested: Sequence[Nested] = ()
    found: Found = ()
    joined: Sequence[tuple[Joined, Sequence[Finding]]] = ()
    together: Sequence[Joined] = ()
    """All joined content parts."""


class Clean(NamedTuple):
    """That an opening holds no secret, and its end, in which one may begin: see `taint`.

    `key`: the hash of the caller's key. `reach`: bytes at the end. `escaped`: the texts were searched as well. `said`:
    the end of the messages as they are written without escapes.
    """

    key: int
    reach: int
    escaped: bool
    said: bytes


@dataclass(slots=True, eq=False)
class Opening:
    """The fields of a body, its first messages, and all that was determined of them. Never changed."""

    raw: bytes  # a body that begins with the opening
    end: int  # of the last message
    tail: bytes  # the body from the bracket on that closes the list of messages
    asked: Json  # the fields as received, in their order, with an empty list of messages
    body: Json  # the body as it leaves, with these messages only
    number: int  # of its messages
    tools: tuple[str, ...]
    counts: Mapping[str, int]
    before: Passage  # the texts up to the last message
    after: Passage  # the texts after all messages
    content: Gathered | None
    steps: Sequence[Step] | None
    clean: Clean | None
    edit: Edit
    sent: bytes  # begins with its messages as they leave, as JSON without the brackets of their list
    size: int  # bytes of these messages
    blobs: Mapping[str, int]  # unscannable parts in its texts, by kind
    arguments: Sequence[Slot]  # its texts in the arguments of tool calls
    begin: int  # of the list of messages
    ends: Sequence[int]  # of each message
    starts: Sequence[int]  # the number of texts before each message
    cites: bool  # whether its bytes may name what a provider stores: see `Codec.cites`
    renamed: Mapping[str, str] | None = None  # see `Request.renamed`
    seam: int = 0  # the end of the last message before those that were dropped: see `trimmed`

    @property
    def written(self) -> bytes:
        """Its messages as they leave, as JSON without the brackets of their list."""
        return self.sent if len(self.sent) == self.size else self.sent[: self.size]

    def share(self, longer: Opening) -> None:
        """Keep no bytes of its own: `longer` begins with the same bytes as received, and mostly as they leave."""
        self.raw = longer.raw
        if longer.sent.startswith(memoryview(self.sent)[: self.size]):
            self.sent = longer.sent


@dataclass(slots=True, eq=False)
class Conversation:
    """The last body of a conversation, and its openings, the longest first.

    The body begins with the bytes of the opening `start`; `last`: the bytes from there on.
    """

    start: Opening | None
    last: bytes
    openings: list[Opening] = field(default_factory=list)

    def common(self, raw: bytes, known: Opening | None) -> int:
        """How many bytes a body has in common with the last body; `known`: its own opening."""
        start = self.start
        if start is None:
            return cuts.common(raw, self.last)
        if start is not known:
            size = cuts.common(raw, start.raw)
            if size < start.end:
                return size
        return start.end + cuts.common(raw[start.end :], self.last)

    def shifted(self, raw: bytes) -> int:
        """The same if the last body has more messages before some of those in common."""
        return cuts.shifted(raw, self.last, cuts.common(raw, self.last)) if self.start is None else 0

    def goes_on(self, raw: bytes) -> bool:
        """Whether a body may be the next of this conversation: it has most of the last body."""
        start = self.start.end if self.start is not None else 0
        return 2 * self.common(raw, None) >= start + len(self.last)

    @property
    def weight(self) -> int:
        """The bytes that it takes, roughly: the body, and the opening as bytes, texts, objects and edited texts."""
        return len(self.last) + 4 * (self.openings[0].end if self.openings else 0)


class Learned(NamedTuple):
    """The messages that a body has in common with an earlier one.

    Their `number`, the `close` of the list of messages and its `begin`, and the `ends` of those that were not known.
    `conversation`: that of a body that has dropped messages of the earlier one.
    """

    number: int
    close: int
    begin: int
    ends: list[int]
    conversation: Conversation | None


class Known(NamedTuple):
    """A known opening of a body."""

    conversation: Conversation
    opening: Opening


@dataclass(slots=True, eq=False)
class Reading:
    """How a call reads its body: in passages, of which the first may be remembered.

    `opening`: what was known. `first`: the texts from there to the `end` of message `number`, which become part of the
    opening; `new`: those of all other messages; `after`: those after the messages. `begin`, `ends`, `starts`: those of
    the messages in `first`, as in `Opening`.
    """

    opening: Opening | None
    conversation: Conversation | None
    number: int
    ahead: int  # texts before the messages
    end: int
    close: int
    first: Passage
    new: Passage
    after: Passage
    tools: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    asked: Json = field(default_factory=dict)
    content: Gathered | None = None
    steps: Sequence[Step] | None = None
    clean: Clean | None = None
    turns: Turns | None = None
    edit: Edit | None = None
    begin: int = 0
    ends: Sequence[int] = ()
    starts: Sequence[int] = ()

    @property
    def learns(self) -> bool:
        """Whether more is known after this call than before."""
        return self.opening is None or self.end > self.opening.end

    def own(self) -> list[Passage]:
        """The passages that this call judges."""
        if self.opening is None:
            return [self.first, self.new, self.after]
        return [self.first, self.new]

    def all(self) -> list[Passage]:
        """All passages, in order."""
        parts = [self.first, self.new, self.after]
        return parts if self.opening is None else [self.opening.before, *parts]

    def freeze(self, call: Call) -> None:
        """Before texts are edited: the fields of the body are kept as they are received."""
        edited = {id(slot) for slot, _ in (*self.first.found, *self.after.found)}
        if self.opening is None and (
            self.after.found or any(id(slot) in edited for slot in self.first.slots[: self.ahead])
        ):
            self.asked = {**orjson.loads(call.request.raw), call.codec.history: []}


def of(call: Call) -> Reading | None:
    """How a call reads its body; None if it reads all of the body, and nothing is remembered."""
    reading = call.request.reading
    assert reading is None or isinstance(reading, Reading)
    return reading


class Openings:
    """The memory, for one configuration. All methods are called from one thread, except `find` and `learn`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._teams: dict[str, OrderedDict[tuple[str, ...], list[Conversation]]] = {}
        self._sizes: dict[str, int] = {}

    def find(self, call: Call) -> Known | None:
        """The longest known opening of the body of a call."""
        found: Known | None = None
        if not _applies(call):
            return None
        raw = call.request.raw
        for conversation in self._several(call):
            for opening in [*conversation.openings]:
                if found is not None and opening.end <= found.opening.end:
                    continue
                if _begins(raw, opening):
                    found = Known(conversation, opening)
        return found

    def several(self, call: Call) -> Sequence[Conversation]:
        """The conversations of the workflow of a call whose body may have an opening."""
        return self._several(call) if _applies(call) else ()

    def put(self, call: Call, conversation: Conversation, opening: Opening, instead: Opening) -> Known:
        """Put another opening, with the same end, in the place of an opening of a conversation and of shorter ones."""
        before = conversation.weight
        if conversation.start is opening:
            conversation.start = instead
        conversation.openings[conversation.openings.index(opening) :] = [instead]
        self._count(call.team, conversation.weight - before)
        return Known(conversation, instead)

    def learn(self, call: Call, known: Known | None, messages: Sequence[Json]) -> Learned | None:
        """Up to where this body is that of an earlier call; None if not more is known than before.

        `messages`: those after the known opening.
        """
        if not _applies(call):
            return None
        raw = call.request.raw
        start, number = (known.opening.end, known.opening.number) if known else (0, 0)
        several = [known.conversation] if known else self._several(call)
        same, one, dropped = 0, None, False
        for conversation in several:
            size = conversation.common(raw, known.opening if known else None)
            if size > same:
                same, one = size, conversation
        if known is None and same < LEAST:
            for conversation in several:
                size = conversation.shifted(raw)
                if size > same:
                    same, one, dropped = size, conversation, True
        if one is None or same < max(LEAST, start + _NEW):
            return None
        found = cuts.ends(raw, call.codec.history, start)
        if found is None or not one.last.endswith(raw[found.close :]):
            return None
        ends = [end for end in found.messages[:-1] if end <= same]  # the last message counts as new
        while ends and not call.codec.ends_turn(messages[len(ends) - 1]):
            ends.pop()
        if not ends or ends[-1] < LEAST:
            return None
        return Learned(number + len(ends), found.close, found.begin, ends, one if dropped else None)

    def keep(self, call: Call) -> None:
        """Remember the body of a call that was judged and redacted."""
        if not _applies(call):
            return
        raw, reading = call.request.raw, of(call)
        team, key = call.team, _key(call)
        if 5 * len(raw) > self._most // _SHARE:
            return
        kept = self._teams.setdefault(team, OrderedDict())
        several = kept.setdefault(key, [])
        kept.move_to_end(key)
        one = reading.conversation if reading is not None else None
        if one is None or one not in several:
            one = next((it for it in several if it.goes_on(raw)), None)
        before = one.weight if one is not None else 0
        if one is None:
            one = Conversation(None, raw)
            several.append(one)
            if len(several) > _SEVERAL:
                before = several.pop(0).weight
        one.start, one.last = None, raw
        if reading is not None and reading.learns and reading.edit is not None:
            opening = _opening(call, reading, reading.edit)
            older = [it for it in one.openings if it.end < opening.end and _begins(raw, it)]
            for it in older:
                it.share(opening)
            one.openings = [opening, *older][:_KEPT]
        start = one.openings[0] if one.openings else None
        known = reading is not None and start is reading.opening
        if start is not None and (known or start.raw is raw or _begins(raw, start)):
            one.start, one.last = start, raw[start.end :]
        self._count(team, one.weight - before)
        if self._size > self._most:
            self._drop()

    def _several(self, call: Call) -> Sequence[Conversation]:
        """The conversations of a workflow."""
        kept = self._teams.get(call.team)
        return kept.get(_key(call), ()) if kept is not None else ()

    def _count(self, team: str, size: int) -> None:
        self._size += size
        self._sizes[team] = self._sizes.get(team, 0) + size

    def _drop(self) -> None:
        """Forget the oldest conversations of the team that has most."""
        while self._size > self._most * 7 // 8:
            team = max(self._sizes, key=self._sizes.__getitem__)
            kept = self._teams[team]
            if not kept:
                return
            _, several = kept.popitem(last=False)
            self._count(team, -sum(one.weight for one in several))
            if not kept:
                del self._teams[team], self._sizes[team]


def _applies(call: Call) -> bool:
    """Whether the body of a call may have an opening. Bodies with an Idempotency-Key are compared in full."""
    if len(call.request.raw) < LEAST or not call.codec.history:
        return False
    if "deployment" in call.values:  # the model of the path is written into the body
        return False
    return b"idempotency-key" not in [name for name, _ in call.headers]


def _key(call: Call) -> tuple[str, ...]:
    """The workflow; the agent, for calls that are workflows of their own. With what the path says beside the body."""
    assert call.subject is not None, "a body is read after identify"
    whose = f"agent {call.subject.agent}" if call.request.alone else f"workflow {call.request.correlation_id}"
    return whose, call.codec.name, *call.values.values()


def may_cite(raw: bytes, names: Sequence[bytes]) -> bool:
    """Whether JSON may have a key with one of these parts; an escape may spell the key."""
    return bool(names) and (b"\\u00" in raw or any(map(raw.__contains__, names)))


def _begins(raw: bytes, opening: Opening) -> bool:
    """Whether a body begins and ends as an opening, with other messages between."""
    size = opening.end + len(opening.tail)
    return len(raw) > size and raw.startswith(memoryview(opening.raw)[: opening.end]) and raw.endswith(opening.tail)


def _opening(call: Call, reading: Reading, edit: Edit) -> Opening:
    """The opening that a call has determined."""
    request, known = call.request, reading.opening
    said = messages(call)[: reading.number]
    first = reading.first
    before = first if known is None else _joined(known.before, first)
    own = said[known.number if known is not None else 0 :]
    sent = orjson.dumps(own)[1:-1] if known is None else b"%b,%b" % (known.written, orjson.dumps(own)[1:-1])
    arguments = [slot for slot in first.slots if positions.is_argument(slot)]
    return Opening(
        raw=request.raw,
        end=reading.end,
        tail=request.raw[reading.close :],
        asked=reading.asked,
        body={**request.body, call.codec.history: said},
        number=reading.number,
        tools=reading.tools,
        counts=reading.counts,
        before=before,
        after=reading.after,
        content=reading.content,
        steps=reading.steps,
        clean=reading.clean,
        edit=edit,
        sent=sent,
        size=len(sent),
        blobs=blobs([*before.found, *reading.after.found]),
        arguments=arguments if known is None else [*known.arguments, *arguments],
        begin=reading.begin if known is None else known.begin,
        ends=reading.ends if known is None else [*known.ends, *reading.ends],
        starts=reading.starts if known is None else [*known.starts, *reading.starts],
        cites=(known is not None and known.cites)
        or may_cite(request.raw[known.end if known is not None else 0 : reading.end], call.codec.cites),
        renamed=renamed_in(said, request.renamed),
    )


def messages(call: Call) -> list[Json]:
    """The messages of a body that is read in passages."""
    said: list[Json] = call.request.body[call.codec.history]
    return said


def received(call: Call) -> Json:
    """The body of a call as received: the messages of a known opening are those that left, and ids may be others."""
    reading = of(call)
    other = (reading is not None and reading.opening is not None) or call.request.renamed
    body: Json = orjson.loads(call.request.raw) if other else call.request.body
    return body


def unread(call: Call) -> int:
    """The number of bytes of a body that are not part of a known opening."""
    reading = of(call)
    known = reading.opening.end if reading is not None and reading.opening is not None else 0
    return len(call.request.raw) - known


def renamed_in(messages: Sequence[Json], renamed: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """The ids that were changed in these messages; None if there are none."""
    if not renamed:
        return None
    ids = {said for one in messages if type(said := one.get("id")) is str}
    return {old: new for old, new in renamed.items() if new in ids} or None


def dumps(call: Call) -> bytes:
    """The body of a call as it leaves, as JSON."""
    reading, body = of(call), call.request.body
    if reading is None or reading.opening is None:
        return orjson.dumps(body)
    opening = reading.opening
    new = messages(call)[opening.number :]
    return orjson.dumps({**body, call.codec.history: [orjson.Fragment(opening.written), *new]})


def arguments(call: Call) -> Sequence[Slot]:
    """The texts among which are all those in the arguments of tool calls, in order."""
    reading = of(call)
    if reading is None or reading.opening is None:
        return call.request.slots
    return [*reading.opening.arguments, *reading.first.slots, *reading.new.slots, *reading.opening.after.slots]


def _joined(one: Passage, other: Passage) -> Passage:
    """Two passages as one. Nested JSON is needed only to edit a text."""
    return Passage(
        slots=[*one.slots, *other.slots],
        found=[*one.found, *other.found],
        joined=[*one.joined, *other.joined],
        together=[*one.together, *other.together],
    )
