"""The policy input about the texts of a request besides personal data: instructions in the texts, and hosts.

Config key: `policy.content`. Fills `content.injection`, `content.injection_score` and `content.urls` of a policy's
input; refuses nothing by itself. Only new text is scanned, and only text of others: tool results, user messages, and
text without an author (descriptions of tools). System messages are the operator's own, and assistant messages were
judged when they were generated.

Only the role of a message determines the author of a text. Consecutive texts of one channel (the parts of a message,
the messages of one turn) are one text: cues that are near each other count together. Where two texts of a channel meet,
also across turns, a window over the boundary is scanned as well, both with a blank between the texts and without.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import regex

from gateway.budget import spend
from gateway.detect.injection.scoring import NEAR, NONE, Evidence, Score, together
from gateway.redaction.texts import Generations, chained, hashed
from gateway.texts import Slot

HOSTS: Final = 64
"""Maximum number of hosts in the policy input, the first in alphabetical order."""
_SHORTEST: Final = 12  # minimum characters of a text that can contain instructions
WINDOW: Final = 160
"""Characters of a text on either side of a boundary."""
_CUT: Final = "x "  # before a text that was cut, which must not look like the beginning of a text
_ALONE: Final = 2 * WINDOW  # minimum characters of a text that is scanned only with its neighbours
_LONGEST: Final = 3 * WINDOW  # maximum characters of short texts that are scanned together
CHANNELS: Final[Mapping[str, str]] = {"tool": "tool", "function": "tool", "user": "user", "": "other"}
_SAYS: Final = frozenset({"content", "text", "output"})
"""Fields whose texts continue each other: the content of a message, and the texts of its parts."""
_TRUSTED: Final = frozenset({"system", "developer", "assistant"})
_HOST: Final = regex.compile(r"(?i)\bhttps?://(?:[^\s/@?#\"'<>]*@)?([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)")


class Content(NamedTuple):
    """The sorted hosts of URLs, and the highest score of each channel with text in the request."""

    urls: tuple[str, ...] = ()
    injection: Mapping[str, float] = {}

    @property
    def score(self) -> float:
        """The highest score of any channel."""
        return max(self.injection.values(), default=0)


def _channel(role: str) -> str | None:
    """The channel of a role with unusual spelling; None for trusted roles. Unknown roles count as tools."""
    role = role.strip().casefold()
    return None if role in _TRUSTED else CHANNELS.get(role, "tool")


EMPTY: Final = Content()
Facts = tuple[Evidence, tuple[str, ...], Score | None]
"""The evidence for instructions in a text, its hosts, and its own score."""
_NOTHING: Final[Facts] = ((), (), NONE)


class Contents:
    """Reads requests. `evidence` is called once for each text, and for each boundary."""

    def __init__(self, evidence: Callable[[str], Evidence], size: int = 32_768) -> None:
        self._evidence = evidence
        self.kept: Generations[Facts] = Generations(size)
        self.seams: Generations[Evidence] = Generations(size)

    def read(self, slots: Sequence[Slot], team: str = "") -> Content:
        """The hosts and injection scores of the texts of one request."""
        texts = self.begin(team)
        texts.add(slots)
        return texts.content()

    def begin(self, team: str = "") -> Gathered:
        """No texts yet, of a request of this team."""
        return Gathered(self, team)

    def seam(self, key: Hashable, texts: Sequence[str]) -> Evidence:
        """The evidence where texts meet, without that of single texts; `key` identifies their sequence."""
        found = self.seams.recall(key)
        if found is None:
            first = texts[0] if len(texts[0]) <= WINDOW else _CUT + texts[0][-WINDOW:]
            pieces = [first, *texts[1:-1], texts[-1][:WINDOW]]
            found = self._evidence(" ".join(pieces))
            if any(one[-1:].isalnum() and other[:1].isalnum() for one, other in pairwise(pieces)):  # inside a word
                found += self._evidence("".join(pieces))
            if found:
                alone = [self._evidence(piece) for piece in pieces if len(piece) >= _SHORTEST]
                found = tuple(sign for sign in found if not any(map(sign.within, alone)))
            self.seams.keep(key, found)
        return found

    def facts(self, key: Hashable, text: str) -> Facts:
        facts = self.kept.recall(key)
        if facts is None:
            found, named = self._evidence(text) if len(text) >= _SHORTEST else (), hosts(text)
            facts = (found, named, together([found])) if named or found else _NOTHING
            self.kept.keep(key, facts)
        return facts


class Gathered:
    """What the texts of a request hold so far, in their order. Texts that follow are added to a copy."""

    __slots__ = ("_before", "_contents", "_hosts", "_position", "_run", "_scores", "_seams", "_team")

    def __init__(self, contents: Contents, team: str) -> None:
        self._contents = contents
        self._team = team
        self._scores: dict[str, float] = {}
        self._hosts: set[str] = set()
        # By channel and field; most have one text so far.
        self._seams: dict[str | tuple[str, str], tuple[str, Hashable] | _Seams] = {}
        self._before: str | None = None
        self._position = 0  # the start of a text, in characters of its run
        self._run: list[tuple[int, Evidence]] = []

    def copy(self) -> Gathered:
        """The same, to which texts can be added."""
        other = Gathered(self._contents, self._team)
        other._scores, other._hosts = self._scores.copy(), self._hosts.copy()
        other._seams = {place: last.copy() if isinstance(last, _Seams) else last for place, last in self._seams.items()}
        other._before, other._position, other._run = self._before, self._position, self._run
        return other

    def add(self, slots: Sequence[Slot]) -> None:
        """Read the next texts."""
        contents, team, scores, seams = self._contents, self._team, self._scores, self._seams
        young, met = contents.kept.young, contents.seams.young
        before, position, run = self._before, self._position, self._run
        for _, field, text, role, _ in slots:
            channel = CHANNELS.get(role)
            if channel is None and role not in _TRUSTED:
                channel = _channel(role)
            if channel != before or channel == "other":  # descriptions of tools are separate texts
                before, position, run = channel, 0, []
                if channel is None:
                    continue
                if channel not in scores:
                    scores[channel] = 0.0
            elif channel is None:
                continue
            key = hashed((team, text))
            found, named, alone = young.get(key) or contents.facts(key, text)
            if named:
                self._hosts.update(named)
            if channel != "other":
                # Parts also have other strings, such as types and titles: only fields with the same name are one text.
                place = channel if isinstance(field, int) or field in _SAYS else (channel, field)
                last = seams.get(place)
                if last is None:
                    seams[place] = text, key
                elif type(last) is tuple and len(text) >= _ALONE:
                    both = chained((last[1], key))
                    more = met.get(both)
                    if more is None:
                        more = contents.seam(both, (last[0], text))
                    if more:
                        found, alone = found + more, None
                    seams[place] = text, key
                else:
                    gathered = last if isinstance(last, _Seams) else _Seams(contents.seam, last[0], last[1])
                    seams[place] = gathered
                    if more := gathered.add(text, key):
                        found, alone = found + more, None
            if found:
                run = [(start, other) for start, other in run if start >= position + len(text) - NEAR]
                run.append((position, found))
                spend(len(run))
                score = alone if alone and len(run) == 1 else together([other for _, other in run])
                _raise(scores, channel, score)
            position += len(text)
        self._before, self._position, self._run = before, position, run

    def content(self) -> Content:
        """The hosts and injection scores, once all texts were added."""
        scores = self._scores
        for place, last in self._seams.items():
            if isinstance(last, _Seams) and (found := last.close()):
                channel = place if isinstance(place, str) else place[0]
                ends = [other for start, other in self._run if start >= self._position - NEAR]
                near = ends if channel == self._before else []
                _raise(scores, channel, together([*near, found]))
        return Content(tuple(sorted(self._hosts)[:HOSTS]), scores) if scores else EMPTY


def _raise(scores: dict[str, float], channel: str, score: Score) -> None:
    """Raise the score of a channel to this score, if higher."""
    value = score.tool if channel == "tool" else score.user
    if value > scores[channel]:
        scores[channel] = value


class _Seams:
    """The boundaries between texts of one channel. Short texts are collected, so each character is read few times."""

    __slots__ = ("_key", "_look", "_size", "_texts")

    def __init__(self, look: Callable[[Hashable, Sequence[str]], Evidence], text: str, key: Hashable) -> None:
        self._look = look
        self._texts = [text]
        self._key = key  # identifies the collected texts, and all texts before them back to a long text
        self._size = 0

    def add(self, text: str, key: Hashable) -> Evidence:
        """Add the next text; returns the evidence once enough texts are gathered."""
        self._texts.append(text)
        self._key = chained((self._key, key))
        self._size += len(text)
        if len(text) < _ALONE and self._size < _LONGEST:
            return ()
        found = self.close()
        self._size = 0
        if len(text) >= WINDOW:
            self._texts, self._key = [text], key
        else:
            at, size = len(self._texts), 0
            while size < WINDOW and at > 0:
                at -= 1
                size += len(self._texts[at])
            self._texts = self._texts[at:]
        return found

    def copy(self) -> _Seams:
        """The same texts, to which others can be added."""
        other = _Seams(self._look, "", self._key)
        other._texts, other._size = [*self._texts], self._size
        return other

    def close(self) -> Evidence:
        """The evidence at the boundaries of the collected texts."""
        return self._look(self._key, self._texts) if len(self._texts) > 1 else ()


def hosts(text: str) -> tuple[str, ...]:
    """The hosts of the URLs in a text."""
    if "://" not in text:
        return ()
    return tuple({match[1].lower() for match in _HOST.finditer(text)})
