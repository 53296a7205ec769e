"""Instructions in what a model reads: a score from 0 to 1 for every text, as a tool's result and as a user's words.

Cues (`cues.CUES`) are looked for in the text with its disguises undone: letters of other alphabets and widths, leet,
letters set apart, ROT13, text set backwards, Base64, hexadecimal, percent-encoding, entities, characters that nobody
sees. A disguise counts as a cue of its own. Key words with an error of typing are put right, which counts no more. One
pass of Hyperscan over all patterns; most texts show no cue.

White space is one: a sentence is found however it is laid out (`layout`).

What is quoted in a text about such attacks counts less. Honest limits: an instruction in plain words that fits its
document ("reply with the invoice number") looks like any other sentence, and scores low; a text may be worded so that
it shows no cue. The score is evidence for a policy, not a proof.
"""

from __future__ import annotations

import codecs
import html
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import regex

from gateway.budget import spend
from gateway.detect.core import index
from gateway.detect.injection import layout, misspelt
from gateway.detect.injection.cues import CUES
from gateway.detect.urls.judge import decoded

try:
    import hyperscan
except ImportError:  # no wheel for this platform
    hyperscan = None  # type: ignore[assignment]

STEP: Final = 0.05
"""Scores are multiples of this: a policy's verdicts are remembered by what they were made from."""

NEAR: Final = 4096
"""Characters within which cues count together: a long text shows many that have nothing to do with each other."""
_OVERLAP: Final = 512


class Score(NamedTuple):
    """How much a text looks like instructions, by where it came from."""

    tool: float
    user: float


NONE: Final = Score(0.0, 0.0)


class Sign(NamedTuple):
    """What speaks for instructions: one group of cues, and how likely it makes them by where the text came from."""

    group: str
    tool: float
    user: float

    def within(self, evidence: Evidence) -> bool:
        """Whether the evidence says as much of this group."""
        return any(group == self.group and tool >= self.tool and user >= self.user for group, tool, user in evidence)


Evidence = tuple[Sign, ...]
"""What speaks for instructions in a text; most texts have none."""

_BETWEEN: Final = regex.compile(r"[ :,]")
_WITHIN: Final = regex.compile(r"(?<=\w)[ ._*-](?=\w)")
_SPACES: Final = regex.compile(r" {2,}")
_HIDDEN: Final = regex.compile(r"[\p{Cf}\p{Mn}\u115f\u1160\u3164\uffa0--\U000e0020-\U000e007e]+", regex.V1)
_TAGS: Final = regex.compile("[\U000e0020-\U000e007e]{4,}")
_TURNED: Final = regex.compile("[\u202d\u202e]")
_SCATTERED: Final = regex.compile(r"[a-z][\u200b-\u200d\u2060\u00ad\ufeff]+(?=[a-z])")
_HEXES: Final = regex.compile(r"(?:[0-9A-Fa-f]{2}[ :,]){15,}[0-9A-Fa-f]{2}")
_APART: Final = regex.compile(r"(?:\b[a-z][ ._*-]{1,6}){8,}[a-z]\b")
_FROM_LEET: Final = str.maketrans("013457@$!", "oieastasi")
_ABOUT: Final = regex.compile(
    r"prompt.injection|jailbreak|red.team|adversarial|attack(?:er|s)?\b|vulnerabilit|owasp|malicious|researcher|payload"
    r"|security|detect|guardrail|phrases? (?:like|such as)|for example|such as|e\.g\."
)
_QUOTES: Final = "\"'`\u201c\u2018\u00ab\u201e"
_LOOKALIKES: Final = dict(zip("аеорсухіјѕԁһӏԛԝαορνικυɡɑı\u2028\u2029", "aeopcyxijsdhlqwaopvikugai\n\n", strict=True))
_LOOKALIKE: Final = re.compile(f"[{''.join(_LOOKALIKES)}]")
_QUOTED: Final = 0.55  # of the score of what is only quoted, in a text about attacks


def _leet(word: str) -> str:
    """A word in which at least one letter is a digit or a sign."""
    forms = {"o": "0", "i": "1!", "e": "3", "a": "4@", "s": "5$", "t": "7"}
    either = [f"[{char}{forms[char]}]" if char in forms else char for char in word]
    ways = [
        "".join([*either[:at], f"[{forms[char]}]", *either[at + 1 :]]) for at, char in enumerate(word) if char in forms
    ]
    return "|".join(ways)


_DISGUISES: Final = {
    "backwards": r"\b(?:snoitcurtsni|tpmorp|suoiverp|erongi|dragersid)\b",
    "rot13": r"\b(?:vafgehpgvbaf?|cebzcg|cerivbhf|vtaber|qvfertneq)\b",
    "encoded": r"[a-z0-9+/_-]{24}",
    "hexes": r"(?:[2-7][0-9a-f][ :,]){5}|(?:[89a-f][0-9a-f][ :,]){8}",
    "percent": r"(?:%[0-9a-f]{2}){3}",
    "entities": r"(?:&#x?[0-9a-f]{2,5};?){3}",
    "apart": r"(?:\b[a-z][ ._*-]{1,6}){8}",
    "leet": "|".join(
        map(_leet, ("ignore", "disregard", "previous", "instructions", "system", "prompt", "pretend", "forget"))
    ),
    "layout": layout.PATTERN,
    **{f"misspelt:{number}": pattern for number, pattern in enumerate(misspelt.PATTERNS)},
}
"""What shows that a text is disguised, in its plain form; each has its way back in `_views`."""


def _western() -> bytes:
    """The bytes of Windows-1252 in lower case without accents; typographic quotes and dashes as plain ones."""
    table = bytearray(range(256))
    for byte in range(256):
        char = bytes([byte]).decode("cp1252", "replace").translate(_TYPOGRAPHY)
        base = unicodedata.normalize("NFKD", char)[:1].lower()
        table[byte] = ord(base) if base and base.isascii() else ord(" ")
    return bytes(table)


_TYPOGRAPHY: Final = str.maketrans(
    "\u201c\u201d\u201e\u2018\u2019\u2013\u2014\u00ab\u00bb\u00df\u00e6\u00f8", '"""\'\'--""sao'
)
_WESTERN: Final = _western()


def plain(text: str) -> str:
    """Lower case without accents, look-alikes and what nobody sees; pattern and text alike."""
    if text.isascii():
        return text.lower()
    if "\u00ad" not in text:
        try:
            return text.encode("cp1252").translate(_WESTERN).decode("ascii")
        except UnicodeEncodeError:
            pass
    text = _HIDDEN.sub("", unicodedata.normalize("NFKD", text))
    if _TAGS.search(text):
        text = _TAGS.sub(lambda run: "".join(chr(ord(char) - 0xE0000) for char in run[0]), text)
    return _LOOKALIKE.sub(lambda char: _LOOKALIKES[char[0]], text.lower())


Find = Callable[[str], set[int]]


class Injection:
    """The scorer. Immutable, shared between threads."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        # A blank may be any white space: a tab, the end of a line.
        patterns = [
            (plain(cue.pattern) if not cue.pattern.isascii() else cue.pattern).replace(" ", r"\s") for cue in CUES
        ]
        self._patterns = [*patterns, *_DISGUISES.values()]
        self._compiled: dict[int, Any] = {}
        self._find = _hyperscan(self._patterns, cache_dir) if hyperscan is not None else _one_by_one(self._patterns)

    def score(self, text: str) -> Score:
        """How much a text looks like instructions to whoever reads it."""
        return together([self.evidence(text)])

    def evidence(self, text: str) -> Evidence:
        """What in a text looks like instructions, by groups of cues; of a long one where most of it stands together."""
        signs = self._signs(text)
        if len(text) <= NEAR or len(signs) < 2:
            return signs
        return max(map(self._signs, _stretches(text)), key=lambda some: sum(together([some])))

    def _signs(self, text: str) -> Evidence:
        spend((len(text) >> 5) + 3)
        shown = plain(text)
        found = self._find(shown)
        if not found:
            return ()
        hidden: set[int] = set()
        shows = _shows(found)
        for view in _views(text, shown, shows):
            hidden |= {number for number in self._find(plain(view)) - found if number < _CUES}
        read = [(shown, found)]
        if "layout" in shows:
            read.append(self._spoken(layout.unfolded(shown)))
            shows |= _shows(read[-1][1])
        if "misspelt" in shows:
            read.append(self._spoken(misspelt.corrected(read[-1][0])))
        signs = _signs(hidden.union(*(numbers for _, numbers in read)))
        if not signs:
            return ()
        if hidden or (not text.isascii() and (_TAGS.search(text) or _SCATTERED.search(text.lower()))):
            signs = (*signs, Sign("disguise", 0.5, 0.5))
        overrides = any(numbers & _OVERRIDES for _, numbers in read)
        if overrides and not hidden and _ABOUT.search(shown) and self._all_quoted(read):
            score = together([signs])
            signs = (Sign("quoted", score.tool * _QUOTED, score.user * _QUOTED),)
        return signs

    def _spoken(self, view: str) -> tuple[str, set[int]]:
        """A text whose lines are gone, and what it says: cues that depend on lines do not count."""
        return view, {number for number in self._find(view) if number in _SPOKEN or number >= _CUES}

    def _all_quoted(self, read: Sequence[tuple[str, set[int]]]) -> bool:
        """Whether what would override stands in quotation marks, each time."""
        for shown, found in read:
            for number in found & _OVERRIDES:
                pattern = self._compiled.get(number) or regex.compile(self._patterns[number])
                self._compiled[number] = pattern
                for match in pattern.finditer(shown):
                    before = shown[max(0, match.start() - 60) : match.start()].rpartition("\n")[2]
                    if not any(quote in before for quote in _QUOTES):
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
    """Which disguises a text shows."""
    return {_NAMES[number - _CUES] for number in found if number >= _CUES}


def _views(text: str, shown: str, shows: set[str]) -> Iterator[str]:
    """The text as it reads once a disguise is undone, for each disguise that it shows."""
    if "backwards" in shows:
        yield shown[::-1]
    if "rot13" in shows:
        yield codecs.decode(shown, "rot13")
    if "encoded" in shows:
        yield from filter(None, map(decoded, _encoded(text)))
    if "hexes" in shows:
        yield from filter(None, (decoded(_BETWEEN.sub("", match[0])) for match in _HEXES.finditer(text)))
    if "percent" in shows:
        yield unquote(text)
    if "entities" in shows:
        yield html.unescape(text)
    if "apart" in shows:
        yield _APART.sub(lambda run: _SPACES.sub(" ", f" {_WITHIN.sub('', run[0])} "), shown)
    if "leet" in shows:
        yield shown.translate(_FROM_LEET)


def _encoded(text: str) -> Iterator[str]:
    """Stretches that may be Base64 or hexadecimal: found without looking at each place."""
    marks = text.encode("latin-1", "replace").translate(_MARKS)
    at = marks.find(_LONG)
    while at >= 0:
        end = marks.find(b" ", at)
        end = end if end >= 0 else len(marks)
        stretch = text[at:end]
        if not stretch.islower() or (stretch.isalnum() and not stretch.isalpha()):  # Base64 has capitals, others digits
            yield stretch
        at = marks.find(_LONG, end)


_MARKS: Final = bytes(
    ord("x") if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "+/_-=") else ord(" ")
    for byte in range(256)
)
_LONG: Final = b"x" * 24


def _signs(found: set[int]) -> Evidence:
    """Cues of one group: the heaviest."""
    tool: dict[str, float] = {}
    user: dict[str, float] = {}
    for number in sorted(found):
        if number < _CUES:
            cue = CUES[number]
            tool[cue.group] = max(tool.get(cue.group, 0.0), cue.tool)
            user[cue.group] = max(user.get(cue.group, 0.0), cue.user)
    return tuple(Sign(group, tool[group], user[group]) for group in tool)


def together(texts: Iterable[Evidence]) -> Score:
    """The score of texts that are read as one: of each group the heaviest, all groups as independent chances."""
    tool: dict[str, float] = {}
    user: dict[str, float] = {}
    for evidence in texts:
        for group, as_tool, as_user in evidence:
            tool[group] = max(tool.get(group, 0.0), as_tool)
            user[group] = max(user.get(group, 0.0), as_user)
    return Score(_step(_either(tool.values())), _step(_either(user.values()))) if tool else NONE


def _either(weights: Iterable[float]) -> float:
    """That one of several independent chances comes true."""
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
    """Which patterns match, no more: without places a database is small, and takes microseconds for a kilobyte."""
    database = index.kept(patterns, cache_dir, _compile) if cache_dir else _compile(patterns)
    scratch = hyperscan.Scratch(database)
    database.scratch = scratch
    local = threading.local()

    def find(text: str) -> set[int]:
        try:
            own = local.scratch
        except AttributeError:  # scratch space serves one thread at a time
            own = local.scratch = scratch.clone()
        found: set[int] = set()
        database.scan(text.encode("utf-8", "replace"), _take, 0, found, own)
        return found

    return find


def _compile(patterns: Sequence[str]) -> Any:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern.encode() for pattern in patterns],
        ids=list(range(len(patterns))),
        elements=len(patterns),
        flags=[hyperscan.HS_FLAG_SINGLEMATCH] * len(patterns),
    )
    return database


def _take(number: int, _: int, __: int, ___: int, found: set[int]) -> None:
    found.add(number)


def _one_by_one(patterns: Sequence[str]) -> Find:
    compiled = [regex.compile(pattern.encode()) for pattern in patterns]

    def find(text: str) -> set[int]:
        data = text.encode("utf-8", "replace")
        return {number for number, pattern in enumerate(compiled) if pattern.search(data)}

    return find
