"""No pattern tries the ways to split a text one by one: rows, columns and runs of anything are read at once."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
import regex

import gateway.detect
import gateway.dialects
import gateway.output
import gateway.redaction
from gateway.detect.personal.scanner import PiiScanner
from patterns import Compiled, compiled, hostile

SECONDS = 5.0  # of CPU time for a text of 500 characters, which takes microseconds; else a fault would never end
UNITS = (
    *("1", "12 ", "12\n", "1.", "12/", "212-555-0123\n", "4539 1488\t", "12:34\r\n", "1,2 ", "7-", "٣ ", "1e5,"),
    *("a", "a ", "ab_", "a.b.", "A-", "Ab ", "a, ", "a = ", "a:", "a\\n", "a'", '"a" ', "é", "电1", "a@b.", "a\n"),
    *("'", '"', "\\", "(", "[", "](", "<a ", "<A_1>", "/* ", "--", "%41", "&#65;", "QUJD", "http://a", "\t", "{a.b "),
    *("select a ", "drop table x ", "DE89 3704 ", "00:1B:", "12 Main ", "$a.", "0x41, "),
)


def patterns() -> Iterator[Any]:
    """Every pattern that a module of the scanners and readers has, with the name of its place."""
    seen = set()
    for package in (gateway.detect, gateway.dialects, gateway.output, gateway.redaction):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                for number, one in enumerate(_within(value)):
                    if isinstance(one.pattern, str) and (one.pattern, one.flags) not in seen:
                        seen.add((one.pattern, one.flags))
                        yield pytest.param(one, id=f"{module.name.removeprefix('gateway.')}.{name}-{number}")


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, (re.Pattern, regex.Pattern)):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _within(one)
    elif isinstance(value, dict):
        yield from _within([*value.values()])


@pytest.mark.parametrize("pattern", [*patterns()])
def test_rows_and_columns(pattern: Any) -> None:
    """Whatever stands behind them."""
    compiled = regex.compile(pattern.pattern, pattern.flags)
    for unit in UNITS:
        for end in ("", "!", "x", "1"):
            text = unit * (500 // len(unit)) + end
            compiled.search(text, timeout=SECONDS)
            compiled.fullmatch(text, timeout=SECONDS)
            compiled.search(text, len(unit) + 1, timeout=SECONDS)


@pytest.mark.parametrize("end", ["", " ", " x", "x", "1234"])
@pytest.mark.parametrize("unit", ["41 ", "0x41, ", "101 ", "01000001 ", "01000001", "61:", "a ", "a.b.", "\\"])
@pytest.mark.parametrize("pattern", [one for one in patterns() if "detect.unmask" in str(one.id)])
def test_long_runs(pattern: Any, unit: str, end: str) -> None:
    """A run that fails at its end is not read anew from each of its places: 60,000 characters would take a minute."""
    compiled = regex.compile(pattern.pattern, pattern.flags)
    assert sum(1 for _ in compiled.finditer(unit * (60_000 // len(unit)) + end, timeout=SECONDS)) <= 61_000


ROOMS: Final = sorted({one.place.partition(":")[0].partition("/")[0] for one in compiled()})
"""Every room, and every module outside of the rooms, that compiles a pattern."""
SIZE: Final = 2_000  # characters
FEW: Final = 0.0015  # seconds of CPU time: a linear search of so short a text takes less
WORSE: Final = 10.0
"""How many times longer four times the text may take: linear work takes 4 times as long, a square 16 times."""
BOUNDED: Final = {
    "config/yaml_file.py _REFERENCE": "reads the operator's own file",
    "detect/names/cues.py LOCATIONS": "each search has a timeout, in a process of its own",
    "detect/names/cues.py ORGANIZATIONS": "each search has a timeout, in a process of its own",
    "detect/names/cues.py PERSONS": "each search has a timeout, in a process of its own",
    "detect/sql/inject.py _AFTER_NUMBER": "fragments have at most `inject.LONGEST` characters",
    "detect/sql/inject.py _AFTER_QUOTE": "fragments have at most `inject.LONGEST` characters",
    "detect/sql/inject.py _CALLS": "fragments have at most `inject.LONGEST` characters",
    "detect/sql/inject.py _COMMENT_ENDS": "fragments have at most `inject.LONGEST` characters",
    "detect/sql/meant.py _LINE": "reads the last `find._BEFORE` characters",
    "dialects/delta_frame.py TEXT": "stands in patterns that begin a line, and ends with the line",
    "detect/urls/find.py _SCHEME": "reads the last 32 characters",
    "detect/urls/find.py _ATTRIBUTE": "reads the last `REACH` characters",
}
"""Patterns that go over the same characters again, and what bounds the text that each of them sees."""


def _seconds(one: Compiled, pattern: Any, text: Any) -> float:
    """The CPU time of one search for all matches, or of one match; at most half a second."""
    limit = {"timeout": 0.5} if one.engine == "regex" else {}
    began = time.thread_time()
    with contextlib.suppress(TimeoutError):
        if one.searches:
            for _ in pattern.finditer(text, **limit):
                if time.thread_time() - began > 0.5:
                    break
        else:
            pattern.match(text, **limit)
            pattern.fullmatch(text, **limit)
    return time.thread_time() - began


def _goes_over_again(one: Compiled) -> str:
    """What a pattern reads more than a few times, with the times for two sizes; "" if there is no such text."""
    pattern = one.compile()
    for begin, unit, end in hostile(one):

        def text(size: int, parts: tuple[str, str, str] = (begin, unit, end)) -> Any:
            said = parts[0] + parts[1] * (size // len(parts[1])) + parts[2]
            return said.encode("latin-1", "replace") if isinstance(one.pattern, bytes) else said

        early = _seconds(one, pattern, text(SIZE // 10))
        if early > 0.1:
            return f"{begin!r} {unit!r} {end!r}: {early:.3f} s for {SIZE // 10} characters"
        if _seconds(one, pattern, text(SIZE)) < FEW:
            continue
        for _ in range(3):  # on a busy machine, one measurement may say anything
            short, long = (min(_seconds(one, pattern, text(size)) for _ in range(3)) for size in (SIZE // 4, SIZE))
            if not (long > FEW and long > WORSE * short):
                break
        else:
            return f"{begin!r} {unit!r} {end!r}: {short:.5f} s, {long:.5f} s for four times the text"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_no_pattern_reads_the_same_again(room: str) -> None:
    """Each pattern on texts made from the pattern: what it repeats, its own characters, ends that do not match."""
    found = {}
    for one in compiled():
        name = one.place.partition(":")[0] + " " + one.place.rpartition(" ")[2]
        if (
            one.place.partition(":")[0].partition("/")[0] == room
            and name not in BOUNDED
            and (words := _goes_over_again(one))
        ):
            found[one.place] = words
    assert not found, "use possessive repeats or bounds, or bound the text that the pattern sees and add it to BOUNDED"


@pytest.mark.parametrize("pattern", [r"a+b", r"(?:a|b)*c\Z", r"(?:--[\s+-]*)\Z", r"\S+@\S+"])
@pytest.mark.parametrize("engine", ["re", "regex"])
def test_a_new_pattern_of_that_kind_is_seen(pattern: str, engine: str) -> None:
    """The measurement itself."""
    assert _goes_over_again(Compiled("new", engine, pattern, 0, True))
    assert not _goes_over_again(Compiled("new", engine, r"(?<!a)a++b", 0, True))


def test_every_module_is_recorded() -> None:
    """The patterns of modules, of tables and of functions that run at import."""
    places = {one.place.partition(":")[0] for one in compiled()}
    assert {"detect/names/cues.py", "detect/secrets/vendors.py", "dialects/sse.py"} <= places


@pytest.mark.parametrize("value", ["212-555-{:04d}", "+1 212 555 {:04d}", "(212) 555-{:04d}"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_column_of_phone_numbers(pii: PiiScanner, value: str, end: str) -> None:
    """Each is found, in a column of any length."""
    column = [value.format(at) for at in range(100, 160)]
    text = f"phone{end}{end.join(column)}"
    assert [text[one.start : one.end] for one in pii.scan(text)] == column
