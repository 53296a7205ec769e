"""What policies may know about the texts of a request beside personal data: instructions in the texts, and hosts.

Config key: `policy.content`. Fills `content.injection`, `content.injection_score` and `content.urls` of a policy's
input; refuses nothing by itself. Only new text is looked at, and only what others wrote: results of tools, a user's
words, and what has no author (descriptions of tools). System messages are the operator's own, and the assistant's words
were judged when they were said.

Who wrote a text is told by the role of its message alone. Texts of one channel that follow each other (the parts of a
message, the messages of one turn) are one text: what speaks for instructions counts together as far as it stands near
each other. Where texts of a channel meet, also over turns, a window over the seam is looked at as well, with a blank
between them and without.
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
_SHORTEST: Final = 12  # characters of a text that can instruct
WINDOW: Final = 160
"""Characters of a text on either side of a seam."""
_CUT: Final = "x "  # where a text was cut it does not begin
_ALONE: Final = 2 * WINDOW  # characters of a text that is looked at with no more than its neighbours
_LONGEST: Final = 3 * WINDOW  # characters of short texts that are looked at together
CHANNELS: Final[Mapping[str, str]] = {"tool": "tool", "function": "tool", "user": "user", "": "other"}
_SAYS: Final = frozenset({"content", "text", "output"})
"""Fields whose texts continue each other: the text of a message, and of its parts."""
_TRUSTED: Final = frozenset({"system", "developer", "assistant"})
_HOST: Final = regex.compile(r"(?i)\bhttps?://(?:[^\s/@?#\"'<>]*@)?([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)")


class Content(NamedTuple):
    """Hosts of web addresses, sorted; and the highest score of each channel that the request has text of."""

    urls: tuple[str, ...] = ()
    injection: Mapping[str, float] = {}

    @property
    def score(self) -> float:
        """The highest score of any channel."""
        return max(self.injection.values(), default=0)


def _channel(role: str) -> str | None:
    """The channel of a role that is not spelled as usual; None for trusted ones. Unknown roles count as a tool's."""
    role = role.strip().casefold()
    return None if role in _TRUSTED else CHANNELS.get(role, "tool")


EMPTY: Final = Content()
Facts = tuple[Evidence, tuple[str, ...], Score | None]
"""What speaks for instructions in a text, the hosts that it names, and its score alone."""
_NOTHING: Final[Facts] = ((), (), NONE)


class Contents:
    """Reads requests. `evidence` is asked once for each text, and for each seam."""

    def __init__(self, evidence: Callable[[str], Evidence], size: int = 32_768) -> None:
        self._evidence = evidence
        self._kept: Generations[Facts] = Generations(size)
        self._seams: Generations[Evidence] = Generations(size)

    def read(self, slots: Sequence[Slot], team: str = "") -> Content:
        """The hosts and injection scores of the texts of one request."""
        scores: dict[str, float] = {}
        hosts: set[str] = set()
        seams: dict[
            str | tuple[str, str], tuple[str, Hashable] | _Seams
        ] = {}  # by channel and field; most have one text so far
        young, met = self._kept.young, self._seams.young
        before: str | None = None
        position = 0  # where a text begins, in characters of its run
        run: list[tuple[int, Evidence]] = []
        for _, field, text, role, _ in slots:
            channel = CHANNELS.get(role) or _channel(role)
            if channel != before or channel == "other":  # descriptions of tools are texts of their own
                before, position, run = channel, 0, []
                if channel is None:
                    continue
                if channel not in scores:
                    scores[channel] = 0.0
            elif channel is None:
                continue
            key = hashed((team, text))
            found, named, alone = young.get(key) or self._facts(key, text)
            if named:
                hosts.update(named)
            if channel != "other":
                # Parts may hold more than text, as types and titles do: what is one text stands in fields of one name.
                place = channel if type(field) is int or field in _SAYS else (channel, field)
                last = seams.get(place)
                if last is None:
                    seams[place] = text, key
                elif type(last) is tuple and len(text) >= _ALONE:
                    both = chained((last[1], key))
                    more = met.get(both)
                    if more is None:
                        more = self._seam(both, (last[0], text))
                    if more:
                        found, alone = found + more, None
                    seams[place] = text, key
                else:
                    gathered = last if isinstance(last, _Seams) else _Seams(self._seam, last[0], last[1])
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
        for place, last in seams.items():
            if isinstance(last, _Seams) and (found := last.close()):
                channel = place if isinstance(place, str) else place[0]
                near = [other for start, other in run if start >= position - NEAR] if channel == before else []
                _raise(scores, channel, together([*near, found]))
        return Content(tuple(sorted(hosts)[:HOSTS]), scores) if scores else EMPTY

    def _seam(self, key: Hashable, texts: Sequence[str]) -> Evidence:
        """What speaks for instructions where texts meet, and in none of them; `key` names their sequence."""
        found = self._seams.recall(key)
        if found is None:
            first = texts[0] if len(texts[0]) <= WINDOW else _CUT + texts[0][-WINDOW:]
            pieces = [first, *texts[1:-1], texts[-1][:WINDOW]]
            found = self._evidence(" ".join(pieces))
            if any(one[-1:].isalnum() and other[:1].isalnum() for one, other in pairwise(pieces)):  # in a word
                found += self._evidence("".join(pieces))
            if found:
                alone = [self._evidence(piece) for piece in pieces if len(piece) >= _SHORTEST]
                found = tuple(sign for sign in found if not any(map(sign.within, alone)))
            self._seams.keep(key, found)
        return found

    def _facts(self, key: Hashable, text: str) -> Facts:
        facts = self._kept.recall(key)
        if facts is None:
            found, named = self._evidence(text) if len(text) >= _SHORTEST else (), hosts(text)
            facts = (found, named, together([found])) if named or found else _NOTHING
            self._kept.keep(key, facts)
        return facts


def _raise(scores: dict[str, float], channel: str, score: Score) -> None:
    """Raise the score of a channel to this score, if higher."""
    value = score.tool if channel == "tool" else score.user
    if value > scores[channel]:
        scores[channel] = value


class _Seams:
    """The seams between texts of one channel. Short texts are gathered, so that each character is read few times."""

    __slots__ = ("_key", "_look", "_size", "_texts")

    def __init__(self, look: Callable[[Hashable, Sequence[str]], Evidence], text: str, key: Hashable) -> None:
        self._look = look
        self._texts = [text]
        self._key = key  # says what the gathered texts are, and all before them back to a long one
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

    def close(self) -> Evidence:
        """The evidence at the seams of the gathered texts."""
        return self._look(self._key, self._texts) if len(self._texts) > 1 else ()


def hosts(text: str) -> tuple[str, ...]:
    """The hosts of the web addresses in a text."""
    if "://" not in text:
        return ()
    return tuple({match[1].lower() for match in _HOST.finditer(text)})
