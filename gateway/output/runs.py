"""Running texts in fields that the dialect does not name: judged across chunks as one text, and edited in place.

A field waits until all of its texts are judged, and then leaves with only the necessary changes. Unlike in the main
texts of an answer, no text moves from one chunk to the next, because a field may be a title or an address as well as
a part of a text. Fields with the same name keep their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from gateway.dialects import Channel, Field, Piece
from gateway.dialects.fields import is_listed
from gateway.errors import Refusal
from gateway.output.elements import Elements
from gateway.redaction.restore import Restored, Restorer
from gateway.redaction.spellings import Spelled, Spoken
from gateway.texts import Finding

MAX_WAITING: Final = 4 * 1024 * 1024  # maximum characters of waiting fields
_FIELD: Final = 256  # characters that a field counts in addition to its texts
_ATOMS: Final = frozenset({"url", "uri", "href", "src", "link", "image"})  # keys whose values are separate texts
_SCHEMES: Final = ("http://", "https://")

Edit = tuple[int, int, str]
"""The replacement of [start, end)."""
Note = Callable[[Piece, Spelled], None]
"""Receives a piece with a restored value, and the spelling of the model."""


class Segment(Protocol):
    """Judged text and its findings."""

    @property
    def text(self) -> str: ...
    @property
    def findings(self) -> Sequence[Finding]: ...


class Window(Protocol):
    """The judge of one running text."""

    @property
    def pending(self) -> str: ...
    def feed(self, text: str) -> Segment: ...
    def close(self) -> Segment: ...
    def fork(self) -> Window: ...


Name = tuple[str, int, str]
"""Fields with the same level, choice and key keep their order."""


class Judge(Protocol):
    """The judge of one run: a window, then guards, which see the text as the caller gets it."""

    @property
    def restorer(self) -> Restorer: ...
    def feed(self, text: str) -> Segment: ...
    def close(self) -> Segment: ...
    def begin(self) -> None:
        """The text continues in another block."""
        ...

    def begin_guarding(self) -> str:
        """The next text for `guard` is of another block; returns the text of the previous block that may leave."""
        ...

    def edits(self, text: str, findings: Sequence[Finding]) -> list[Edit]: ...
    def element(self, text: str) -> Sequence[Finding]: ...
    def guard(self, text: str, final: bool) -> str:
        """The part of an edited text that may leave now. Guards hold back the end, drop characters and add none."""
        ...


class Run:
    """One running text, and its waiting pieces. `done` receives the fields whose texts are all judged.

    `listed`: its pieces are elements of lists. `whole`: each piece is a complete text. `certain`: see `elements`.
    """

    __slots__ = (
        *("_block", "_done", "_due", "_elements", "_guarded", "_guarded_block", "_judge", "_last", "_note", "_open"),
        *("_spoken", "_whole"),
    )

    def __init__(
        self,
        judge: Judge,
        done: list[Field],
        *,
        listed: bool,
        whole: bool = False,
        certain: bool = False,
        note: Note | None = None,
    ) -> None:
        self._whole = whole
        self._judge = judge
        self._note = note
        self._spoken: dict[int, Spoken] = {}  # by text: see `_text_of`
        self._last: Piece | None = None  # the last piece that was written
        self._block = self._guarded_block = 0  # block of the last piece in the window, and in the guards
        self._done = done
        self._elements = Elements(judge.element, certain=certain) if listed else None
        self._open: deque[Piece] = deque()  # pieces with text in the window
        self._due: deque[Piece] = deque()  # pieces with text that only guards may hold
        self._guarded: deque[tuple[Piece, str]] = (
            deque()
        )  # the text of each piece that guards have received, and hold or have dropped

    def feed(self, piece: Piece) -> None:
        """Add a piece."""
        self.feed_all((piece,))

    def feed_all(self, pieces: Sequence[Piece]) -> None:
        """Add pieces of one text."""
        if self._elements is not None:
            for piece in pieces:
                self._elements.add(piece.holder[piece.key])
        first = pieces[0]
        if self._last is not None and not self._open and not self._due:
            self._tell(_text_of(first))
        if first.field.text:
            if self._block not in (0, first.field.text):
                self._judge.begin()
            self._block = first.field.text
        self._open += pieces
        self._settle(self._judge.feed("".join([piece.holder[piece.key] for piece in pieces])), final=False)

    def note(self, text: str) -> None:
        """Note the joined text of the next pieces."""
        if self._elements is not None:
            self._elements.note(text)

    def close(self) -> None:
        """The text has ended."""
        self._settle(self._judge.close(), final=True)
        self._tell(0)

    def _settle(self, segment: Segment, *, final: bool) -> None:
        text = segment.text
        if text or final:
            found = segment.findings
            if self._elements is not None:
                found = self._elements.merge(len(text), found)
            edits = self._judge.edits(text, found) if found else []
            if edits:
                for piece in [piece for piece in self._open if piece.lot is not None]:
                    self.split(piece)
            if self._note is not None:
                self._hear(text, edits)
            parts: list[str] = []  # of one block
            for piece, part in self._spread(text, edits):
                block = piece.field.text or (id(piece) if self._whole else 0)
                if block != self._guarded_block:
                    self._guard(parts)
                    if self._guarded_block:
                        self._leave(self._judge.begin_guarding())
                    self._guarded_block = block
                self._guarded.append((piece, part))
                parts.append(part)
            self._guard(parts)
        if final:
            self._leave(self._judge.guard("", True))
            for piece in dict.fromkeys(piece for piece, _ in self._guarded if piece.lot is not None):
                self.split(piece)
            self._guarded.clear()  # text that guards have not released by now is dropped
            self._due += self._open  # empty pieces
            self._open.clear()
        due, guarded = self._due, self._guarded
        while due and not (guarded and guarded[0][0] is due[0]):
            piece = due.popleft()
            left = "".join(piece.parts)
            if _write(piece, left):
                self._done.append(piece.field)
            if self._note is None:
                continue
            if (spoken := self._spoken.get(_text_of(piece))) is not None:
                spoken.leave(left)
            self._last = piece
            following = due[0] if due else self._open[0] if self._open else None
            if final or following is not None:
                self._tell(_text_of(following) if following is not None else 0)

    def split(self, whole: Piece) -> None:
        """Replace the piece of a lot by those of its events. What has left of the lot is as it arrived."""
        assert whole.lot is not None
        done = sum(map(len, whole.parts))
        begin = 0
        spread = len(whole.lot.read.text) - whole.left
        opened, due, guarded = list[Piece](), list[Piece](), list[tuple[Piece, str]]()
        for piece in [field.pieces[0] for event in whole.lot.split() for field in event.fields]:
            text = piece.holder[piece.key]
            left, judged = min(max(done - begin, 0), len(text)), min(max(spread - begin, 0), len(text))
            begin += len(text)
            if left:
                piece.parts.append(text[:left])
            if left < judged:
                guarded.append((piece, text[left:judged]))
            piece.left = len(text) - judged
            piece.field.waiting = int(left < len(text))
            if piece.field.waiting:
                (opened if piece.left else due).append(piece)
        if whole in self._due:
            _replace(self._due, whole, due)
        else:
            self._due += due
        _replace(self._open, whole, opened)
        first = next((at for at, (piece, _) in enumerate(self._guarded) if piece is whole), len(self._guarded))
        kept = [pair for pair in self._guarded if pair[0] is not whole]
        self._guarded.clear()
        self._guarded += [*kept[:first], *guarded, *kept[first:]]

    def _guard(self, parts: list[str]) -> None:
        """Hand parts of one block to the guards."""
        if parts:
            self._leave(self._judge.guard("".join(parts), False))
            parts.clear()

    def _leave(self, text: str) -> None:
        """Assign the text that guards release to its pieces. Skipped characters have been dropped."""
        guarded, at = self._guarded, 0
        while guarded:
            piece, part = guarded[0]
            if text.startswith(part, at):  # nothing was dropped
                piece.parts.append(part)
                at += len(part)
                guarded.popleft()
                continue
            if piece.lot is not None:
                left = text[at:]
                if not part.startswith(left):
                    self.split(piece)
                    continue
                if left:
                    piece.parts.append(left)
                    guarded[0] = piece, part[len(left) :]
                return
            begin, used = at, 0
            while used < len(part) and at < len(text):
                at += part[used] == text[at]
                used += 1
            piece.parts.append(text[begin:at])
            if used < len(part):  # the rest is held or was dropped: the next released text shows which
                guarded[0] = piece, part[used:]
                return
            guarded.popleft()

    def _hear(self, text: str, edits: Sequence[Edit]) -> None:
        """Record the judged part of each text of the pieces, and the values restored in the text."""
        begin = number = 0
        pieces = list(self._open)
        at = 0
        while begin < len(text):
            name, end = _text_of(pieces[at]), begin
            while at < len(pieces) and _text_of(pieces[at]) == name:
                end += pieces[at].left
                at += 1
            end = min(end, len(text))
            mine: list[Edit] = []
            while number < len(edits) and edits[number][0] < end:
                start, stop, instead = edits[number]
                if stop > end:  # one placeholder spans several texts: the original of each text is unknown
                    self._note, self._spoken = None, {}
                    return
                made = Restored if type(edits[number]) is Restored else _edit
                mine.append(made(start - begin, stop - begin, instead))
                number += 1
            self._spoken.setdefault(name, Spoken()).judge(text[begin:end], mine, self._judge.restorer)
            begin = end

    def _tell(self, following: int) -> None:
        """Report the spelling of restored values in the last text, which is complete if another text follows."""
        last = self._last
        if self._note is None or last is None or _text_of(last) == following:
            return
        spoken = self._spoken.pop(_text_of(last), None)
        if spoken is not None and (spelled := spoken.spelled()) is not None:
            self._note(last, spelled)

    def _spread(self, text: str, edits: Sequence[Edit]) -> Iterator[tuple[Piece, str]]:
        """The remaining text of a judged segment, by piece."""
        begin = number = 0
        opened, size = self._open, len(text)
        while begin < size and not edits:
            piece = opened[0]
            end = begin + piece.left
            if end <= size:
                piece.left = 0
                opened.popleft()
                self._due.append(piece)
            else:
                piece.left, end = end - size, size
            yield piece, text[begin:end]
            begin = end
        while begin < size:
            piece = self._open[0]
            end = min(begin + piece.left, len(text))
            at = begin
            own: list[str] = []
            while number < len(edits) and edits[number][0] < end:
                start, stop, instead = edits[number]
                if start >= begin:
                    own += text[at:start], instead
                at = max(at, min(stop, end))
                if stop > end:
                    break
                number += 1
            own.append(text[at:end])
            piece.left -= end - begin
            begin = end
            if not piece.left:
                self._open.popleft()
                self._due.append(piece)
            yield piece, "".join(own)


def _replace(pieces: deque[Piece], whole: Piece, others: Sequence[Piece]) -> None:
    found = [one for piece in pieces for one in (others if piece is whole else (piece,))]
    pieces.clear()
    pieces += found


def _text_of(piece: Piece) -> int:
    """The text of a piece: the number given by the dialect, otherwise a separate text."""
    return piece.field.text or id(piece)


def _edit(start: int, end: int, instead: str) -> Edit:
    return start, end, instead


def _write(piece: Piece, text: str) -> bool:
    """Write the remaining text of a piece in place; True if it was the last piece of its field."""
    if piece.holder[piece.key] != text:
        piece.holder[piece.key] = text
        piece.field.changed = True
    piece.field.waiting -= 1
    return not piece.field.waiting


def judge_whole(field: Field, judge: Judge, *, certain: bool = False, note: Note | None = None) -> bool:
    """Judge the texts of a complete field as one run, in place; True if any changed."""
    field.waiting = len(field.pieces)
    run = Run(judge, [], listed=True, whole=not certain, certain=certain, note=note)
    for piece in field.pieces:
        run.feed(piece)
    run.close()
    return field.changed


class Runs:
    """All runs of one answer. The judge of an ended run is released: a cycle would wait for the garbage collector."""

    def __init__(self, note: Note | None = None) -> None:
        self._note = note
        self._runs: dict[Channel, Run] = {}
        self._done: list[Field] = []
        self._waiting: dict[Name, deque[tuple[Field, int]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._runs)

    def feed(self, field: Field, judge: Callable[[Piece], Judge]) -> None:
        """Judge a field as far as possible now; `judge` creates the judge of a new run."""
        field.waiting = len(field.pieces)
        several = _together(field.pieces) if field.waiting > 1 else {}
        for piece in field.pieces:
            run = self._runs.get(piece.channel)
            if run is not None and piece.key in _ATOMS and piece.holder[piece.key].startswith(_SCHEMES):
                self._runs.pop(piece.channel).close()
                run = None
            if run is None:
                listed = is_listed(piece.channel)
                run = self._runs[piece.channel] = Run(judge(piece), self._done, listed=listed, note=self._note)
            if several and piece.channel in several:  # the elements that one chunk lists are also one text
                run.note(several.pop(piece.channel))
            run.feed(piece)

    def feed_all(self, fields: Sequence[Field], judge: Callable[[Piece], Judge]) -> None:
        """Judge fields that each hold the next piece of one running text."""
        if not fields:
            return
        pieces = [field.pieces[0] for field in fields]
        for field in fields:
            field.waiting = 1
        first = pieces[0]
        run = self._runs.get(first.channel)
        if run is None:
            listed = is_listed(first.channel)
            run = self._runs[first.channel] = Run(judge(first), self._done, listed=listed, note=self._note)
        run.feed_all(pieces)

    def drop(self) -> None:
        """The answer has broken off."""
        self._runs.clear()

    def takes(self, field: Field) -> bool:
        """Whether a lot of events may be judged as one piece: no values are restored in its text."""
        return self._note is None and bool(field.text) and not is_listed(field.pieces[0].channel)

    def split(self, piece: Piece) -> None:
        """Replace the piece of a lot by those of its events."""
        self._runs[piece.channel].split(piece)

    def forget(self) -> None:
        """Forget the fields that are judged: they leave with their events."""
        self._done.clear()

    def take(self, field: Field, judge: Callable[[Piece], Judge]) -> bool:
        """Judge a field; False if the field must wait, and was removed from its chunk."""
        self.feed(field, judge)
        if not field.waiting and not field.loose and _name(field) not in self._waiting:
            return True
        size = _FIELD + sum(len(piece.holder[piece.key]) for piece in field.pieces)
        field.detach()
        self._waiting.setdefault(_name(field), deque()).append((field, size))
        self._size += size
        if self._size > MAX_WAITING:
            raise Refusal(
                "output_blocked",
                f"The answer has more than {MAX_WAITING} characters in fields that cannot be judged before it ends.",
                stage="output",
            )
        return False

    def released(self) -> list[Field]:
        """The fields that need not wait any longer."""
        out = []
        for done in self._done:
            waiting = self._waiting.get(_name(done))
            while waiting and not waiting[0][0].waiting:
                field, size = waiting.popleft()
                self._size -= size
                out.append(field)
            if waiting is not None and not waiting:
                del self._waiting[_name(done)]
        self._done.clear()
        return out

    def close(self) -> list[Field]:
        """The answer has ended; returns the fields that still wait."""
        for run in self._runs.values():
            run.close()
        self._runs.clear()
        return self.released()


def _together(pieces: Sequence[Piece]) -> dict[Channel, str]:
    """The texts with more than one piece in the same field."""
    said: dict[Channel, list[str]] = {}
    for piece in pieces:
        said.setdefault(piece.channel, []).append(piece.holder[piece.key])
    return {channel: "".join(texts) for channel, texts in said.items() if len(texts) > 1}


def _name(field: Field) -> Name:
    return field.level, field.choice, field.key
