"""Instructions in text that a model reads: a score from 0 to 1 for each text, as a tool's result and as a user's text.

Cues (`cues.CUES`) are searched for in the text with its disguises undone, also a disguise within another: look-alike
letters (`unmask.letters`), encodings, escapes and rearranged words (`unmask.readings`). A disguise counts as a separate
cue. Key words with a typing error are corrected; the error itself does not count. All patterns are searched for in one
pass of Hyperscan; most texts have no cue.

White space is equivalent: a sentence is found in any layout (`layout`).

Quotations in a text about such attacks count less. Limits: an instruction in plain words that fits its document ("reply
with the invoice number") looks like any other sentence, and scores low; a text may be worded so that it has no cue. The
score is evidence for a policy, not a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import regex

from gateway.budget import spend
from gateway.detect.core import index
from gateway.detect.injection import guards, layout, misspelt
from gateway.detect.injection.cues import CUES
from gateway.detect.unmask.letters import plain, scattered
from gateway.detect.unmask.readings import SIGNS, may_hide, readings

try:
    import hyperscan
except ImportError:  # no wheel for this platform
    hyperscan = None  # type: ignore[assignment]

STEP: Final = 0.05
"""Scores are multiples of this step, because a policy's verdicts are cached by their inputs."""

NEAR: Final = 4096
"""Characters within which cues count together: a long text has many cues that are unrelated."""
_OVERLAP: Final = 512


class Score(NamedTuple):
    """How much a text looks like instructions (0 to 1), by the source of the text."""

    tool: float
    user: float


NONE: Final = Score(0.0, 0.0)


class Sign(NamedTuple):
    """One group of cues in a text, and the probability of instructions by the source of the text."""

    group: str
    tool: float
    user: float

    def within(self, evidence: Evidence) -> bool:
        """Whether the evidence has this group with at least the same weight."""
        return any(group == self.group and tool >= self.tool and user >= self.user for group, tool, user in evidence)


Evidence = tuple[Sign, ...]
"""The cues in a text; most texts have none."""

_ABOUT: Final = regex.compile(
    r"prompt.injection|jailbreak|red.team|adversarial|attack(?:er|s)?\b|vulnerabilit|owasp|malicious|researcher|payload"
    r"|security|detect|guardrail|phrases? (?:like|such as)|for example|such as|e\.g\."
)
_QUOTES: Final = "\"'`\u201c\u2018\u00ab\u201e"
_COMMITS: Final = regex.compile(  # the message of a commit, up to the cue
    r"\bgit commit\b[^\n]{0,40}? (?:-a?m|--message)[ =][\"']"
    r"(?:revert|fix|feat|chore|docs|refactor|perf|test|ci|build|style)\b[^\"'\n]{0,48}\Z"
)
_QUOTED: Final = 0.55  # factor of the score of quotations, in a text about attacks or in the message of a commit


_DISGUISES: Final = {
    **SIGNS,
    "layout": layout.PATTERN,
    **{f"misspelt:{number}": pattern for number, pattern in enumerate(misspelt.PATTERNS)},
}
"""Patterns over the plain form of a text that show a disguise."""
_DEPTH: Final = 2  # a disguise within a disguise
_READINGS: Final = 12  # maximum disguised texts that are examined further, at each depth


Find = Callable[[str], set[int]]


class Injection:
    """The scorer. Immutable, shared between threads."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        # A blank in a pattern is any white space, such as a tab or a line end.
        patterns = [
            (plain(cue.pattern) if not cue.pattern.isascii() else cue.pattern).replace(" ", r"\s") for cue in CUES
        ]
        self._patterns = [*patterns, *_DISGUISES.values()]
        self._compiled: dict[int, Any] = {}
        self._find = _hyperscan(self._patterns, cache_dir) if hyperscan is not None else _one_by_one(self._patterns)

    def score(self, text: str) -> Score:
        """How much a text looks like instructions to its reader."""
        return together([self.evidence(text)])

    def evidence(self, text: str) -> Evidence:
        """The cues in a text, by groups; of a long text, those of the stretch with the strongest cues."""
        signs = self._signs(text)
        if len(text) <= NEAR or len(signs) < 2:
            return signs
        return max(map(self._signs, _stretches(text)), key=lambda some: sum(together([some])))

    def _signs(self, text: str) -> Evidence:
        spend((len(text) >> 5) + 3)
        shown = plain(text)
        found = self._find(shown)
        if not found and not may_hide(text):
            return ()
        read = [(view, set(numbers)) for view, numbers in self._read(shown, found)]
        self._drop_guards(read)
        open_ = set[int]().union(*(numbers for _, numbers in read))
        hidden = self._hidden(text, shown, found) - open_
        signs = _signs(hidden | open_)
        if not signs:
            return ()
        if hidden or scattered(text):
            signs = (*signs, Sign("disguise", 0.5, 0.5))
        overrides = any(numbers & _OVERRIDES for _, numbers in read)
        if overrides and not hidden and self._all_quoted(read, about=_ABOUT.search(shown) is not None):
            score = together([signs])
            signs = (Sign("quoted", score.tool * _QUOTED, score.user * _QUOTED),)
        return signs

    def _hidden(self, text: str, shown: str, found: set[int]) -> set[int]:
        """The cues of a text after its disguises are undone."""
        cues: set[int] = set()
        layer = [(text, shown, found)]
        for _ in range(_DEPTH):
            below: list[tuple[str, str, set[int]]] = []
            for outer, its_shown, its_found in layer[:_READINGS]:
                for reading in readings(outer, its_shown, _shows(its_found)):
                    as_shown = plain(reading)
                    below.append((reading, as_shown, self._find(as_shown)))
                    for _, numbers in self._read(*below[-1][1:]):
                        cues |= {number for number in numbers if number < _CUES}
            layer = below
        return cues

    def _read(self, shown: str, found: set[int]) -> list[tuple[str, set[int]]]:
        """A plain text with its cues; the same with normal layout, and with its key words corrected."""
        read = [(shown, found)]
        shows = _shows(found)
        if "layout" in shows:
            read.append(self._spoken(layout.unfolded(shown)))
            shows |= _shows(read[-1][1])
        if "misspelt" in shows:
            read.append(self._spoken(misspelt.corrected(read[-1][0])))
        return read

    def _spoken(self, view: str) -> tuple[str, set[int]]:
        """A text whose lines were joined, and its cues, without those that depend on lines."""
        return view, {number for number in self._find(view) if number in _SPOKEN or number >= _CUES}

    def _drop_guards(self, read: Sequence[tuple[str, set[int]]]) -> None:
        """Remove the cues of sentences that protect, from texts without cues of another kind of attack."""
        for shown, numbers in read:
            groups = {CUES[number].group for number in numbers if number < _CUES}
            if "override" in groups and guards.are_harmless(groups):
                numbers -= {
                    number
                    for number in numbers
                    if number < _CUES
                    and CUES[number].group == "override"
                    and guards.protects(shown, self._pattern(number))
                }

    def _pattern(self, number: int) -> Any:
        """The compiled pattern of a cue."""
        if number not in self._compiled:
            self._compiled[number] = regex.compile(self._patterns[number])
        return self._compiled[number]

    def _all_quoted(self, read: Sequence[tuple[str, set[int]]], *, about: bool) -> bool:
        """Whether each cue that would override instructions is in the message of a commit.

        `about`: or in quotation marks, in a text about attacks.
        """
        for shown, found in read:
            groups = {CUES[number].group for number in found if number < _CUES}
            alone = guards.are_harmless(groups)  # a message of a commit that asks for more is no message
            for number in found & _OVERRIDES:
                for match in self._pattern(number).finditer(shown):
                    before = shown[max(0, match.start() - 120) : match.start()].rpartition("\n")[2]
                    quoted = about and any(quote in before[-60:] for quote in _QUOTES)
                    if not quoted and not (alone and _COMMITS.search(before)):
                        return False
        return True


def _stretches(text: str) -> Iterator[str]:
    """A long text in stretches that overlap, each from the beginning of a line or a word."""
    start = 0
    while start < len(text):
        end = start + NEAR
        yield text[start:end] if start == 0 or text[start - 1] == "\n" else f"x {text[start:end]}"
        start = end - _OVERLAP
        start = max(text.rfind("\n", start - _OVERLAP, start), text.rfind(" ", start - 32, start), start - 1) + 1


def _shows(found: set[int]) -> set[str]:
    """The disguises that a text shows."""
    return {_NAMES[number - _CUES] for number in found if number >= _CUES}


def _signs(found: set[int]) -> Evidence:
    """The heaviest cue of each group."""
    tool: dict[str, float] = {}
    user: dict[str, float] = {}
    for number in sorted(found):
        if number < _CUES:
            cue = CUES[number]
            tool[cue.group] = max(tool.get(cue.group, 0.0), cue.tool)
            user[cue.group] = max(user.get(cue.group, 0.0), cue.user)
    return tuple(Sign(group, tool[group], user[group]) for group in tool)


def together(texts: Iterable[Evidence]) -> Score:
    """The score of several texts together: the heaviest cue of each group, combined as independent probabilities."""
    tool: dict[str, float] = {}
    user: dict[str, float] = {}
    for evidence in texts:
        for group, as_tool, as_user in evidence:
            tool[group] = max(tool.get(group, 0.0), as_tool)
            user[group] = max(user.get(group, 0.0), as_user)
    return Score(_step(_either(tool.values())), _step(_either(user.values()))) if tool else NONE


def _either(weights: Iterable[float]) -> float:
    """The probability that at least one of several independent events occurs."""
    missing = 1.0
    for weight in weights:
        missing *= 1 - weight
    return 1 - missing


def _step(score: float) -> float:
    return round(int(score / STEP + 1e-9) * STEP, 2)


_CUES: Final = len(CUES)
_NAMES: Final = tuple(name.partition(":")[0] for name in _DISGUISES)
_OVERRIDES: Final = frozenset(
    number for number, cue in enumerate(CUES) if cue.group in ("override", "leak", "free", "marker", "retask")
)
_SPOKEN: Final = frozenset(
    number
    for number, cue in enumerate(CUES)
    if cue.group in ("override", "leak", "free", "retask", "role", "secrecy", "frame")
)


def _hyperscan(patterns: Sequence[str], cache_dir: Path | None) -> Find:
    """A function that finds the matching patterns in one pass."""
    marks = index.Marks(patterns, range(len(patterns)), cache_dir)

    def find(text: str) -> set[int]:
        return marks.marked(text.encode("utf-8", "replace"))

    return find


def _one_by_one(patterns: Sequence[str]) -> Find:
    compiled = [regex.compile(pattern.encode()) for pattern in patterns]

    def find(text: str) -> set[int]:
        data = text.encode("utf-8", "replace")
        return {number for number, pattern in enumerate(compiled) if pattern.search(data)}

    return find
