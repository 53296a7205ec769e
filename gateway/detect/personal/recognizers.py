"""Custom recognizers, in the YAML format of Presidio: patterns, deny lists, context words, checksums.

Config keys: `pii.recognizers` (the file), `pii.allow` and the file's `allow_list` (values that are never reported).
Patterns run in linear time (`linear`); others are refused when the file is loaded, with the entry and the reason. Fails
closed: an exception in a scanner blocks the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import regex
import yaml
from pydantic import ValidationError

from gateway.detect.core import index
from gateway.detect.core.allowed import Allowed, denied
from gateway.detect.core.checks import CHECKS
from gateway.detect.core.context import ContextWords
from gateway.detect.core.linear import Linear
from gateway.detect.core.rules import Family, Find, Match, Rule
from gateway.detect.personal.recognizer_file import Entry, File, Language, numbered, read, said, spell

_ENTITY: Final = regex.compile(r"(?!SECRET_|PLACEHOLDER|UNSCANNABLE|LITERAL)[A-Z][A-Z0-9_]{0,47}")


@dataclass(frozen=True, slots=True)
class Own:
    """The rules and allowed values of a file. `digest` identifies the content."""

    rules: tuple[Rule, ...] = ()
    allowed: Allowed | None = None
    digest: tuple[Any, ...] = ()

    @property
    def entities(self) -> frozenset[str]:
        """The names of the entities that the rules find."""
        return frozenset(rule.entity for rule in self.rules if rule.allows is None)

    def spare(self, rules: Iterable[Rule | Family]) -> tuple[Rule | Family, ...]:
        """The rules together with those of the file; none of them reports an allowed value."""
        every = (*rules, *self.rules)
        if not self.allowed:
            return every
        return (*(_sparing(rule, self.allowed.holds) for rule in every), *self.allowed.rules(""))


class FileProblems(ValueError):
    """The errors in a file: one line of text for each, with the file, the line and the entry."""


class AllowProblem(ValueError):
    """An error in `pii.allow`."""


def load(path: str, allow: Sequence[str], canonical: Callable[[str], str]) -> Own:
    """The recognizers of a file ("": none) and all allowed values. `canonical`: entity -> its name in the gateway.

    Raises FileProblems and AllowProblem.
    """
    try:
        allowed = Allowed(allow)
    except ValueError as error:
        raise AllowProblem(str(error)) from None
    if not path:
        return Own((), allowed, (tuple(allow),))
    try:
        text = read(Path(path))
        data, lines = yaml.safe_load(text), numbered(yaml.compose(text, Loader=yaml.SafeLoader))
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblems(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FileProblems(f"{path}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise FileProblems(f"{path}: not valid YAML") from None
    problems: list[str] = []

    def report(place: tuple[Any, ...], words: str, name: str = "") -> None:
        line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 0)
        problems.append(f"{path}{f':{line}' if line else ''}: {spell(place)}{f' ({name})' if name else ''} {words}")

    rules: list[Rule] = []
    if isinstance(data, list):  # the format of ad hoc recognizers, which are sent with a text
        data, lines = {"recognizers": data}, {("recognizers", *place): line for place, line in lines.items()}
    try:
        file = File.model_validate(data)
    except ValidationError as error:
        for place, words in said(error, File):
            report(place, words)
        raise FileProblems("\n".join(problems)) from None
    for number, entry in enumerate(file.recognizers):
        place = ("recognizers", number)
        name = str(entry.get("name") or "") if isinstance(entry, dict) else ""
        try:
            rules += _rules(Entry.model_validate(entry), number, file.global_regex_flags, canonical)
        except ValidationError as error:
            for inner, words in said(error, Entry):
                report((*place, *inner), words, name)
        except _Refused as refused:
            report((*place, *refused.place), str(refused), name)
    try:
        allowed = Allowed((*allow, *(file.allow_list or ())))
    except ValueError as error:
        report(("allow_list",), str(error))
    if problems:
        raise FileProblems("\n".join(problems))
    return Own(tuple(rules), allowed, (text, tuple(allow)))


class _Refused(ValueError):
    """An invalid entry; `place` is the place within it."""

    def __init__(self, words: str, *place: Any) -> None:
        super().__init__(words)
        self.place = place


def _rules(entry: Entry, number: int, flags: int, canonical: Callable[[str], str]) -> Iterator[Rule]:
    entity = _entity(entry, canonical)
    if entry.checksum is not None and entry.checksum not in CHECKS:
        raise _Refused(f"cannot be {entry.checksum!r}; allowed: {', '.join(sorted(CHECKS))}", "checksum")
    if not entry.patterns and not entry.deny_list:
        raise _Refused("needs patterns or a deny_list")
    if not entry.enabled:
        return
    if entry.global_regex_flags is not None:
        flags = entry.global_regex_flags
    words = [*(entry.context or ())]
    for language in entry.supported_languages or ():
        words += (language.context or ()) if isinstance(language, Language) else ()
    context = ContextWords(words) if any(words) else None
    try:
        allowed = Allowed(entry.allow_list or ())
    except ValueError as error:
        raise _Refused(str(error), "allow_list") from None
    holds = CHECKS[entry.checksum] if entry.checksum else None
    recognizer = f"own:{number}"
    yield from allowed.rules(recognizer)
    sources: list[tuple[tuple[str | int, ...], str, str, float]]
    sources = [(("patterns", at, "regex"), one.regex, "", one.score) for at, one in enumerate(entry.patterns or ())]
    words_denied = denied(entry.deny_list or ())
    sources += [(("deny_list",), source, begun, entry.deny_list_score) for source, begun in words_denied]
    for place, source, begun, score in sources:
        expression = index.Expression(source, flags, begun=begun, shelf="own")
        try:
            find = _finder(Linear(source, flags), score, holds, allowed)
            _hold(expression)
        except ValueError as error:
            hint = "; shorter repeats, such as {1,20} or +, make it smaller" if "too large" in str(error) else ""
            raise _Refused(f"is refused: {str(error).rstrip('.')}{hint}", *place) from None
        yield Rule(entity, recognizer, expression, find, context)


def _hold(expression: index.Expression) -> None:
    """Raises ValueError for an expression that the index does not support."""
    if not index.linear():
        raise ValueError("own recognizers need Hyperscan, which has no wheel for this platform")
    index.build([expression], None, streams=True)


def _entity(entry: Entry, canonical: Callable[[str], str]) -> str:
    names = [name for name in (entry.supported_entity, *entry.supported_entities) if name]
    if len(names) != 1:
        raise _Refused("needs one supported_entity, such as EMPLOYEE_ID")
    entity = canonical(names[0])
    if not _ENTITY.fullmatch(entity):
        raise _Refused(
            "must be letters, digits and underscores, 48 at most, such as EMPLOYEE_ID; SECRET_, PLACEHOLDER, "
            "UNSCANNABLE and LITERAL are taken",
            "supported_entity",
        )
    return entity


def _finder(pattern: Linear, score: float, holds: Callable[[str], bool] | None, allowed: Allowed) -> Find:
    """Score like Presidio: a valid checksum is certain, an invalid one rejects the match."""

    def judge(value: str) -> float:
        if allowed.holds(value):
            return 0.0
        if holds is None:
            return score
        return 1.0 if holds(value) else 0.0

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        return [(low, high, judge(text[low:high])) for low, high in pattern.spans(text, start, end)]

    return find


def _sparing(rule: Rule | Family, spared: Callable[[str], bool]) -> Rule | Family:
    """The same rule, except that allowed values score 0."""
    if isinstance(rule, Rule):
        if rule.allows is not None:
            return rule
        found = rule.find

        def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
            return [
                (low, high, 0.0 if score and spared(text[low:high]) else score)
                for low, high, score in found(text, start, end)
            ]

        return replace(rule, find=find)
    matched = rule.find

    def matches(text: str, start: int, end: int) -> list[Match]:
        return [
            match._replace(score=0.0) if match.score and spared(text[match.start : match.end]) else match
            for match in matched(text, start, end)
        ]

    return replace(rule, find=matches)
