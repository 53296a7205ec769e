"""Rules for national ids, tax and licence numbers: see `identities` for the list, and for where each number counts.

Config key: `pii.countries`. All numbers of one form (digits, letters and digits, plates) share one expression of the
index, so that a further country costs nothing in texts without such numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

import regex

from gateway.budget import spend
from gateway.detect.core import expressions, facts, rewrite
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Family, Match, Rule, RuleSet
from gateway.detect.personal import underscores
from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.number_kind import Identity
from gateway.detect.personal.phones import island
from gateway.detect.personal.shapes import Shapes

NAMED: Final = 0.85
"""Score of a number directly after a word that names it; each word between them subtracts `_STEP`."""
_STEP: Final = 0.02
_FORM: Final = 0.6  # a specific form without a checksum
_DOUBTFUL: Final = 0.3  # digits with a valid checksum, after a word for something else
_FAR: Final = 99
_MATCH: Final = 4  # microseconds in which a match is judged
_VARIED: Final = 3  # minimum different digits: rejects 100000000
# The text before the digits of a fraction or of a coordinate (`+340308-1181434`), which are not a separate number.
_PART: Final = regex.compile(r"(?:(?:\A|[\d\s,(=:+-])\.|\+)\Z")
_MINUS: Final = regex.compile(r"(?:\A|[\s(,;=])-\Z")  # of a figure, or of a coordinate (`-000101-1000000`)
_EDGE: Final = r"(?<![\w-])"  # how patterns of numbers begin
_EDGE_OF_DIGITS: Final = r"(?<!\w)(?<![^\s:]-)"  # the same, or the minus sign of a figure (`"ssn": -219099998`)
_DAY: Final = regex.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")  # a date, before a serial number
_OTHERS: Final = {
    "PHONE": ("phone", "telephone", "tel", "mobile", "cell", "cellphone", "fax", "call", "telefon", "handy",
              "móvil", "whatsapp"),
    "CREDIT_CARD": ("credit card", "card number", "debit card", "visa", "mastercard", "amex", "kreditkarte"),
    "": ("order", "order number", "invoice", "invoice number", "ticket", "tracking", "tracking number", "serial", "sku",
         "ref", "reference", "timestamp", "isbn", "commit", "bestellnummer", "rechnungsnummer", "fill", "stroke",
         "color", "colour", "background"),
}  # fmt: skip
# The expression is the same as for phone numbers, so that digits in groups cost the index nothing.
DIGITS: Final = Expression(island(3), regex.IGNORECASE, begun=island(1, "*"))
"""Stretches of digits in groups."""
_FEWEST: Final = 5  # characters of a number
_LONGEST: Final = 48  # maximum characters of a number with its surroundings
_PIECE: Final = 4096  # characters that are searched without releasing the interpreter lock: a millisecond or two
# Letters and digits: the shapes that all such numbers have, each a superset of those that begin as it does.
_JOINED: Final = Expression(
    r"(?:\b|_)(?:[A-Za-z]{1,6}-?\d[A-Za-z0-9-]{3,18}|\d{4,17}-?[A-Za-z][A-Za-z0-9]{0,6}|[A-Za-z0-9]{2}\d{6}[A-Za-z0-9]{10}|\d{6}[-+A-Ya-y]\d{3}[A-Za-z0-9]"
    r"|\d{2}[A-Za-z0-9]{11}[Zz][A-Za-z0-9]|\d[A-Za-z][A-Za-z0-9]\d-?[A-Za-z][A-Za-z0-9]\d-?[A-Za-z]{2}\d{2}"
    r"|[A-Za-z][A-Za-z0-9]{7}\d|[A-Za-z]{6}[0-9L-Vl-v]{2}[A-Za-z][0-9L-Vl-v]{2}[A-Za-z][0-9L-Vl-v]{3}[A-Za-z])(?:\b|_)",
    shelf="numbers",
)
_SPACED: Final = Expression(
    r"(?:\b|_)(?:[A-Za-z]{2}[ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-Da-d]|\d{2} ?\d{6} ?[A-Za-z] ?\d{3}"
    r"|(?:[Dd][Ee]|[Ii][Tt])[ .-]?\d{3}[ .-]?\d{3}[ .-]?\d{3}(?:\d{2})?|[A-Za-z]{2}\s\d{7}|[A-Za-z][1-9]\d\s\d{4}[1-9]"
    r"|[A-Za-z]{1,2}\d[A-Za-z0-9]?\s?\d[A-Za-z]{2}|[Gg][Ii][Rr]\s?0[Aa]{2}|[A-Za-z]\d[A-Za-z] ?\d[A-Za-z]\d"
    r"|\d{8} ?\d ?[A-Za-z]{2}\d|[12] ?\d{2} ?\d{2} ?2[ABab] ?\d{3} ?\d{3} ?\d{2}|\d{5} \d{5}[Kk]"
    r"|[Ff][Rr] ?[A-Za-z0-9]{2} ?\d{3} ?\d{3} ?\d{3}|[Gg][Bb] ?\d{3} ?\d{4} ?\d{2}|[Nn][Ll] ?\d{9}[Bb]\d{2}"
    r"|(?:[Pp][Ll]|[Rr][Oo]) \d{4,10}|[Cc][Hh][Ee]-?\d{3}\.?\d{3}\.?\d{3}"
    r"|\d{1,2}\.\d{3}\.\d{3}-?[A-Za-z]|[A-Za-z]{1,2}\d{4}/\d{6}|9[A-Za-z9]{4}[A-Za-z0-9]{11})(?:\b|_)"
    r"|(?:\b|_)[A-Za-z]{1,2}\d{6} ?\([0-9Aa]\)",
    shelf="numbers",
)
_PLUS: Final = Expression(r"\b\d{6,8}\+\d{4}\b", shelf="numbers")  # a phone number begins at a plus sign
_SHAPES: Final = {"digits": (DIGITS, _PLUS), "letters": (_JOINED, _SPACED)}
_ROOM: Final = 9_000  # characters that the beginnings of one expression may take; Hyperscan takes 16,000
_NOTATION: Final = regex.compile(r"\\.|\(\?(?:i\)|:|!|<!|=|<=)|\{[\d,]+\}")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way to write an identity."""

    rule: Rule
    source: str
    flags: int
    key: str  # of its words
    judge: Any  # Presidio's recognizer; None if nothing is checked
    base: float
    alone: bool

    def find(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, bool | None]]:
        """The matches in [start, end), each with the result of its checksum; None if there is no checksum."""
        for match in _compiled(self.source, self.flags).finditer(text, start, min(len(text), end + RuleSet.MARGIN)):
            if match.end() <= end:
                yield *match.span(), self._verdict(match.group())

    def _verdict(self, value: str) -> bool | None:
        if self.judge is None:
            return None
        value = value.upper()
        try:
            valid = self.judge.validate_result(value)
            if not valid and self.judge.invalidate_result(value):
                return False
        except (ValueError, LookupError):  # a digit that is too new for this version of Python
            return False
        return None if valid is None else bool(valid)


@cache
def _compiled(source: str, flags: int) -> regex.Pattern[str]:
    """The pattern, compiled when first needed: all patterns take 15 MB and a fifth of a second."""
    return expressions.compiled(source, flags)


@dataclass(frozen=True, slots=True)
class _Fitting:
    """The kinds that a stretch may hold: those without a word before the number, and the others by their words.

    `some` decides whether one of `alone` matches; `re` does this seven times as fast as `regex`.
    """

    alone: list[_Kind]
    called: dict[str, list[_Kind]]
    some: re.Pattern[str] | None

    @classmethod
    def of(cls, kinds: Sequence[_Kind], *, gated: bool = True) -> _Fitting:
        """The same in the order of `kinds`. `gated`: many of them, so that `some` is worth its time."""
        alone = [kind for kind in kinds if kind.alone]
        called: dict[str, list[_Kind]] = {}
        for kind in kinds:
            if not kind.alone:
                called.setdefault(kind.key, []).append(kind)
        some = _some(tuple(kind.source for kind in alone), kinds[0].flags) if alone and gated else None
        return cls(alone, called, some)


@cache
def _some(sources: Sequence[str], flags: int) -> re.Pattern[str]:
    """Any of the patterns. Those that match no end of a row of digits are tried only where the row begins."""
    apart = [source for source in sources if _begins_apart(source)]
    others = [source for source in sources if source not in apart]
    ways: list[str] = []
    groups = 0
    for source in (*apart, *others):
        ways.append(f"(?:{source})".replace("\\1", f"\\{groups + 1}"))  # groups are numbered through all patterns
        groups += _groups(source)
    first = [rf"(?<!\d)(?=\d)(?:{'|'.join(ways[: len(apart)])})"] if apart else []
    return expressions.plain("|".join([*first, *ways[len(apart) :]]), flags)


@expressions.kept(__file__)
def _groups(source: str) -> int:
    """The number of groups of a pattern."""
    groups: int = parser.parse(source).state.groups - 1
    return groups


@expressions.kept(__file__)
def _begins_apart(source: str) -> bool:
    """Whether every match begins with a digit that follows no digit."""
    nodes = [*parser.parse(source)]
    branches = nodes[0][1][1] if len(nodes) == 1 and nodes[0][0] is op.BRANCH else [nodes]
    return all(_is_guarded([*branch]) for branch in branches)


def _is_guarded(nodes: Sequence[Any]) -> bool:
    guarded = False
    for at, (kind, value) in enumerate(nodes):
        if kind is op.AT and value is op.AT_BOUNDARY:
            guarded = True
        elif kind is op.ASSERT_NOT:
            guarded = guarded or (value[0] < 0 and _has_digits(value[1]))
        elif kind is not op.ASSERT:
            return guarded and _begins_with_digit(nodes[at:])
    return False


def _begins_with_digit(nodes: Sequence[Any]) -> bool:
    """Whether every match of these nodes begins with a digit."""
    if not nodes:
        return False
    kind, value = nodes[0]
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        return _begins_with_digit([*value[2]]) and (value[0] > 0 or _begins_with_digit(nodes[1:]))
    if kind is op.SUBPATTERN:
        return _begins_with_digit([*value[3]])
    if kind is op.BRANCH:
        return all(_begins_with_digit([*branch]) for branch in value[1])
    if kind is op.LITERAL:
        return value in facts.DIGITS
    return kind is op.IN and all(
        item == (op.CATEGORY, op.CATEGORY_DIGIT)
        or (item[0] is op.LITERAL and item[1] in facts.DIGITS)
        or (item[0] is op.RANGE and {*range(item[1][0], item[1][1] + 1)} <= facts.DIGITS)
        for item in value
    )


def _has_digits(nodes: Sequence[Any]) -> bool:
    """Whether one class has the digits of all scripts."""
    if len(nodes) != 1 or nodes[0][0] is not op.IN:
        return False
    return any(item in ((op.CATEGORY, op.CATEGORY_DIGIT), (op.CATEGORY, op.CATEGORY_WORD)) for item in nodes[0][1])


def _may_match(some: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Whether a pattern may match in [start, end), searched in pieces, because a search holds the interpreter lock."""
    if end - start <= _PIECE:
        return some.search(text, start, end) is not None
    for at in range(start, end, _PIECE):
        spend(_PIECE >> 2)
        if some.search(text, at, min(end, at + _PIECE + _LONGEST)) is not None:
            return True
    return False


def families(wanted: Collection[str] | None = None) -> list[Family]:
    """The rules of the countries `wanted` (ISO 3166); None: of all countries."""
    kinds: dict[str, list[_Kind]] = {}
    words: dict[str, tuple[str, ...]] = dict(_OTHERS)
    for number, identity in enumerate(IDENTITIES):
        if wanted is None or identity.country in wanted:
            words[str(number)] = identity.words
            for make, kind in _kinds(str(number), identity):
                kinds.setdefault(make, []).append(kind)
    near, names = Near(words), Near({key: said for key, said in words.items() if key not in _OTHERS})
    made = [
        _family(shape, kinds[make], near, names)
        for make, shapes in _SHAPES.items()
        if make in kinds
        for shape in shapes
    ]
    for part in _parts(kinds.get("capitals", [])):
        shape = Expression("|".join(f"(?:{_beside_words(kind.source)})" for kind in part), shelf="numbers")
        made += [_family(shape, part, near, names)]
    return made


def _beside_words(source: str) -> str:
    """A pattern that an underscore may precede and follow: for the index, which is asked where a number may be."""
    edges = ((r"\b", r"(?:\b|_)"), (_EDGE, r"(?:_|(?<![\w-]))"), (r"(?!\w)", r"(?![^\W_])"))
    source = source.replace(rf"\b{_EDGE}", _EDGE)
    for edge, instead in edges:
        source = source.replace(edge, instead)
    return source


def _parts(kinds: Sequence[_Kind]) -> Iterator[list[_Kind]]:
    """The same in parts, each small enough for one expression of the index."""
    part: list[_Kind] = []
    size = 0
    for kind in kinds:
        length = len(rewrite.prefixes(_beside_words(kind.source)))
        if part and size + length > _ROOM:
            yield part
            part, size = [], 0
        part.append(kind)
        size += length
    if part:
        yield part


def _kinds(key: str, identity: Identity) -> Iterator[tuple[str, _Kind]]:
    judge = identity.judge()
    if getattr(judge, "replacement_pairs", None) == []:  # its own pattern has no separators, the one here does
        judge.replacement_pairs = [("-", ""), (" ", "")]
    for source in identity.patterns or [pattern.regex.replace("(?i)", "") for pattern in judge.patterns]:
        digits = not regex.search("[A-Za-z]", _NOTATION.sub("", source))
        make = "digits" if digits else "capitals" if identity.capitals else "letters"
        flags = regex.IGNORECASE if make == "letters" else 0
        rule = Rule(identity.entity, judge.name, Expression(source, flags), _elsewhere)
        score = 0.8 if digits else 1.0
        yield (
            make,
            _Kind(
                rule,
                source.replace(_EDGE, _EDGE_OF_DIGITS) if digits else source,
                flags,
                key,
                judge if identity.checked else None,
                score,
                identity.alone,
            ),
        )


def _elsewhere(_text: str, _start: int, _end: int) -> list[tuple[int, int, float]]:
    return []  # the family finds for its members


def _family(expression: Expression, kinds: Sequence[_Kind], near: Near, names: Near) -> Family:
    sizes = [(kind, _fewest_digits(kind), _shortest(kind)) for kind in kinds]
    for kind in kinds:
        if kind.alone:  # read from the patterns now, and kept, not at the first number of a text
            _begins_apart(kind.source)
            _groups(kind.source)
    known: dict[tuple[int, int], _Fitting] = {}
    in_digits = expression in _SHAPES["digits"]
    # Digits of fractions are left out: they are consumed by the rule for phone numbers, as is any row.
    shapes = Shapes([(kind, kind.source) for kind in kinds], partial(_Fitting.of, gated=False)) if in_digits else None

    def fitting(digits: int, size: int) -> _Fitting:
        """The kinds with numbers of at most so many digits and characters: most stretches are dates and counts."""
        kept = known.get((digits, size))
        if kept is None:
            fit = [kind for kind, fewest, shortest in sizes if fewest <= digits and shortest <= size]
            kept = known[digits, size] = _Fitting.of(fit)
        return kept

    def find(text: str, start: int, end: int) -> list[Match]:
        size = end - start
        if size < _FEWEST:
            return []
        fit = shapes.of(text[start:end]) if shapes is not None and size <= _LONGEST else None
        if fit is None:
            within = min(size, _LONGEST)
            fit = fitting(sum(map(str.isdecimal, text[start:end])) if size <= _LONGEST else _LONGEST, within)
        asked: Sequence[_Kind] = fit.alone
        if fit.some is not None and not _may_match(fit.some, text, start, min(len(text), end + RuleSet.MARGIN)):
            asked = ()
        if not asked and (not fit.called or names.lack(text, start, end)):
            return []
        at, here = start, (named := near.keys(text, start))
        other = min([named.get(key, _FAR) for key in _OTHERS]) if named else _FAR
        found = []
        if named:
            asked = [*asked, *(kind for key in named for kind in fit.called.get(key, ()))]
        for kind in asked:
            spend(end - start >> 5)
            for low, high, valid in kind.find(text, start, end):
                spend(_MATCH)
                if _PART.search(text, max(0, low - 2), low) is not None:
                    found.append(Match(low, high, 0.0, kind.rule))
                    continue
                if named and low != at:  # the stretch may contain several numbers, each with its own words before it
                    at, here = low, near.keys(text, low)
                    other = min((here.get(key, _FAR) for key in _OTHERS), default=_FAR)
                back = here.get(kind.key)
                score = _score(kind, valid, back, other)
                if back is None and kind.base < 1 and _MINUS.search(text, max(0, low - 2), low):
                    score = min(score, _DOUBTFUL)
                if back is None and kind.base < 1 and (_DAY.match(text, low) or _unproven(text[low:high], valid)):
                    score = min(score, _DOUBTFUL)
                found.append(Match(low, high, score, kind.rule))
        return found

    phrases = {phrase.lower() for kind in kinds for phrase in IDENTITIES[int(kind.key)].words}
    lasts = frozenset(phrase.split()[-1] for phrase in phrases)
    whole = frozenset(phrase for phrase in phrases if " " not in phrase)

    def beside(text: str, start: int, end: int) -> list[Match]:
        """The same, also where an underscore joins a number to its name (`ssn_219-09-9999`), or begins its emphasis."""
        found = find(text, start, end)
        start, end = start + (text[start] == "_"), end - (text[end - 1] == "_")  # of the expression
        if not underscores.beside(text, start, end):
            return found
        emphasis, named = underscores.emphasized(text, start), underscores.word_before(text, start) in lasts
        named = named and 0 in names.keys(text, start).values()
        after = text[start - 1 : start] != "_" and underscores.word_after(text, end) in whole
        if not (emphasis or named or after):
            return found
        piece, low = underscores.apart(text, start, end)
        more = [one._replace(start=one.start + low, end=one.end + low) for one in find(piece, start - low, end - low)]
        least = NAMED if named and not emphasis else _FORM if not emphasis else 0.0
        return found + [one for one in more if one.score >= least and one.score > 0]

    return Family(expression, tuple(kind.rule for kind in kinds), beside, _FEWEST)


def _shortest(kind: _Kind) -> int:
    """Characters of the shortest number of a kind."""
    return rewrite.shortest(kind.source, kind.flags)


def _fewest_digits(kind: _Kind) -> int:
    """The least number of digits of a number of a kind; 0 if the pattern does not tell."""
    try:
        return facts.digits(rewrite.superset(kind.source, kind.flags))
    except ValueError:
        return 0


def _unproven(value: str, valid: bool | None) -> bool:
    """Whether digits without a separator or checksum are more likely a timestamp, a row, an order or a round number."""
    return value.isdigit() and (valid is None or len(set(value)) < _VARIED)


def _score(kind: _Kind, valid: bool | None, back: int | None, other: int) -> float:
    if valid is False:
        return 0.0
    if back is not None and back <= other:
        return 1.0 if valid and kind.alone else NAMED + (0.1 if valid else 0.0) - _STEP * back
    if not kind.alone or (kind.base < 1 and other < _FAR):
        return _DOUBTFUL
    return (kind.base if valid else _FORM) if back is None else NAMED
