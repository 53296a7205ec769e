"""What policies may know of a request's texts beside personal data: do they hold instructions, and which hosts.

Config key: `policy.content`. Fills `content.injection`, `content.injection_score` and `content.urls` of a policy's
input; refuses nothing by itself. Only new text is looked at, and only what others wrote: results of tools, a user's
words, and what has no author (descriptions of tools). System messages are the operator's own, and the assistant's words
were judged when they were said.

Who wrote a text is told by the role of its message alone. Texts of one channel that follow each other (the parts of a
message, the messages of one turn) are one text: what speaks for instructions in any of them counts together. Where
texts of a channel meet, also over turns, a window over the seam is looked at as well, with a blank between them and
without.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import regex

from gateway.call import Span
from gateway.scan.injection import NONE, Evidence, together
from gateway.texts import Generations, chained, hashed

HOSTS: Final = 64
"""Hosts that a policy is told of at most, the first by name."""
_SHORTEST: Final = 12  # characters of a text that can instruct
WINDOW: Final = 160
"""Characters of a text on either side of a seam."""
_CUT: Final = "x "  # where a text was cut it does not begin
_LONGEST: Final = 3 * WINDOW  # characters of short texts that are looked at together
CHANNELS: Final[Mapping[str, str]] = {"tool": "tool", "function": "tool", "user": "user", "": "other"}
_SAYS: Final = frozenset({"content", "text", "output"})
"""Fields that go on in each other: a message's text, that of a part."""
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
Facts = tuple[Evidence, tuple[str, ...]]
_NOTHING: Final[Facts] = ((), ())


class Contents:
    """Reads requests. `evidence` is asked once for each text, and for each seam."""

    def __init__(self, evidence: Callable[[str], Evidence], size: int = 32_768) -> None:
        self._evidence = evidence
        self._kept: Generations[Facts] = Generations(size)
        self._seams: Generations[Evidence] = Generations(size)

    def read(self, spans: Sequence[Span], team: str = "") -> Content:
        """What the texts of one request hold."""
        scores: dict[str, float] = {}
        hosts: set[str] = set()
        seams: dict[tuple[str, str], _Seams] = {}
        young = self._kept.young
        before: str | None = None
        run: list[Evidence] = []
        for _, field, text, role, _ in spans:
            channel = CHANNELS.get(role) or _channel(role)
            if channel != before or channel == "other":  # descriptions of tools are texts of their own
                _raise(scores, before, run)
                before, run = channel, []
            if channel is None:
                continue
            key = hashed((team, text))
            found, named = young.get(key) or self._facts(key, text)
            if named:
                hosts.update(named)
            run.append(found)
            if channel == "other":
                continue
            # Parts may hold more than text, as types and titles do: what is read as one stands in fields of one name.
            place = (channel, "" if type(field) is int or field in _SAYS else field)
            if place in seams:
                run.append(seams[place].add(text, key))
            else:
                seams[place] = _Seams(self._seam, text, key)
        for (channel, _), open_ in seams.items():
            if channel == before:
                run.append(open_.close())
            else:
                _raise(scores, channel, [open_.close()])
        _raise(scores, before, run)
        return Content(tuple(sorted(hosts)[:HOSTS]), scores) if scores else EMPTY

    def _seam(self, key: Hashable, texts: Sequence[str]) -> Evidence:
        """What speaks for instructions where texts meet, and in none of them."""
        found = self._seams.recall(key)
        if found is None:
            first = texts[0] if len(texts[0]) <= WINDOW else _CUT + texts[0][-WINDOW:]
            pieces = [first, *texts[1:-1], texts[-1][:WINDOW]]
            found = self._evidence(" ".join(pieces))
            if not all(one[-1:].isspace() or other[:1].isspace() for one, other in pairwise(pieces)):
                found += self._evidence("".join(pieces))
            if found:
                alone = [self._evidence(piece) for piece in pieces]
                found = tuple(sign for sign in found if not any(map(sign.within, alone)))
            self._seams.keep(key, found)
        return found

    def _facts(self, key: Hashable, text: str) -> Facts:
        facts = self._kept.recall(key)
        if facts is None:
            found, named = self._evidence(text) if len(text) >= _SHORTEST else (), hosts(text)
            facts = (found, named) if named or found else _NOTHING
            self._kept.keep(key, facts)
        return facts


def _raise(scores: dict[str, float], channel: str | None, run: Sequence[Evidence]) -> None:
    """Texts that are read as one have been taken in: the score of their channel is theirs, if that is higher."""
    if channel is not None and run:
        score = together(run) if any(run) else NONE
        value = score.tool if channel == "tool" else score.user
        scores[channel] = max(value, scores.get(channel, 0.0))


class _Seams:
    """Where texts of one channel meet. Short ones are gathered, so that each character is looked at few times."""

    __slots__ = ("_key", "_look", "_size", "_texts")

    def __init__(self, look: Callable[[Hashable, Sequence[str]], Evidence], text: str, key: Hashable) -> None:
        self._look = look
        self._texts = [text]
        self._key = key  # says what the gathered texts are, and all before them back to a long one
        self._size = 0

    def add(self, text: str, key: Hashable) -> Evidence:
        """The next text; what was found if enough of them are gathered."""
        self._texts.append(text)
        self._key = chained(self._key, key)
        self._size += len(text)
        if len(text) < 2 * WINDOW and self._size < _LONGEST:
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
        """What was found where the gathered texts meet."""
        return self._look(self._key, self._texts) if len(self._texts) > 1 else ()


def hosts(text: str) -> tuple[str, ...]:
    """The hosts of the web addresses in a text."""
    if "://" not in text:
        return ()
    return tuple({match[1].lower() for match in _HOST.finditer(text)})
