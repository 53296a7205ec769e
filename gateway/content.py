"""What policies may know of a request's texts beside personal data: do they hold instructions, and which hosts.

Config key: `policy.content`. Fills `content.injection`, `content.injection_score` and `content.urls` of a policy's
input; refuses nothing by itself. Only new text is looked at, and only what others wrote: results of tools, a user's
words, and what has no author (descriptions of tools). System messages are the operator's own, and the assistant's words
were judged when they were said.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, NamedTuple

import regex

from gateway.call import Span
from gateway.scan.injection import NONE, Score
from gateway.texts import Generations, hashed

HOSTS: Final = 64
"""Hosts that a policy is told of at most, the first by name."""
_SHORTEST: Final = 12  # characters of a text that can instruct
CHANNELS: Final[Mapping[str, str]] = {"tool": "tool", "function": "tool", "user": "user", "": "other"}
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
Facts = tuple[Score, tuple[str, ...]]
_NOTHING: Final[Facts] = (NONE, ())


class Contents:
    """Reads requests. `score` is asked once for each text."""

    def __init__(self, score: Callable[[str], Score], size: int = 32_768) -> None:
        self._score = score
        self._kept: Generations[Facts] = Generations(size)

    def read(self, spans: Sequence[Span], team: str = "") -> Content:
        """What the texts of one request hold."""
        scores: dict[str, float] = {}
        hosts: set[str] = set()
        for _, _, text, role, _ in spans:
            channel = CHANNELS.get(role) or _channel(role)
            if channel is None:
                continue
            score, named = self._facts(text, team) if len(text) >= _SHORTEST else _NOTHING
            value = score.tool if channel == "tool" else score.user
            if value > scores.get(channel, -1.0):
                scores[channel] = value
            if named:
                hosts.update(named)
        return Content(tuple(sorted(hosts)[:HOSTS]), scores) if scores else EMPTY

    def _facts(self, text: str, team: str) -> Facts:
        key: Hashable = hashed((team, text))
        facts = self._kept.young.get(key) or self._kept.recall(key)
        if facts is None:
            score, named = self._score(text), hosts(text)
            facts = (score, named) if named or score != NONE else _NOTHING
            self._kept.keep(key, facts)
        return facts


def hosts(text: str) -> tuple[str, ...]:
    """The hosts of the web addresses in a text."""
    if "://" not in text:
        return ()
    return tuple({match[1].lower() for match in _HOST.finditer(text)})
