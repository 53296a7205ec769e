"""Compiled patterns that are kept between starts."""

import re
from pathlib import Path

import pytest
import regex

from gateway.detect.core import expressions
from gateway.detect.core.expressions import Expressions
from gateway.detect.sql import forms

SOURCES = [
    (r"(?P<name>\p{Lu}\w*)(?:-\d{2,4}+)?(?!x)", 0),
    (r"(?:straße|İstanbul|ſ)\b", regex.IGNORECASE),
    (r"a{1,3}(?=b)|(?<=c)d|\Aé|☃\Z", regex.MULTILINE),
]


@pytest.mark.parametrize(("source", "flags"), [*SOURCES, *map(forms._written, ["insert", "drop", "use"])])
def test_same_matches(tmp_path: Path, source: str, flags: int) -> None:
    """A pattern from the file matches as the compiled one: matches, groups and parts of matches."""
    first = Expressions(tmp_path / "kept")
    first.prepare([(source, flags)])
    first.save()
    second = Expressions(tmp_path / "kept")
    kept, plain = second.compiled(source, flags), regex.compile(source, flags)
    assert kept.pattern == plain.pattern
    assert kept.flags == plain.flags
    assert kept.groupindex == plain.groupindex
    for text in ("insert into t values (1)", "DROP TABLE x;", "use x", "Ann-123 STRASSE istanbul", "aab cd é ☃", "ins"):
        assert [m.span() for m in kept.finditer(text)] == [m.span() for m in plain.finditer(text)]
        found, wanted = (one.match(text, partial=True) for one in (kept, plain))
        assert (found and (found.span(), found.partial, found.groupdict())) == (
            wanted and (wanted.span(), wanted.partial, wanted.groupdict())
        )


@pytest.mark.parametrize(
    ("source", "flags"), [(r"(?P<a>x)|(y)(?=z)", 0), (r"^\d{2,3}[a-z]+$", re.IGNORECASE | re.MULTILINE)]
)
def test_same_matches_of_re(tmp_path: Path, source: str, flags: int) -> None:
    """A pattern of the standard library, with and without the file."""
    first = Expressions(tmp_path / "kept")
    made, plain = first.plain(source, flags), re.compile(source, flags)
    first.save()
    kept = Expressions(tmp_path / "kept").plain(source, flags)
    for pattern in (made, kept):
        assert (pattern, pattern.flags, pattern.groups) == (plain, plain.flags, plain.groups)
        assert pattern.groupindex == plain.groupindex
        for text in ("x", "yz", "yy", "12ab\n123CD\n1a"):
            assert [(m.span(), m.groupdict(), m.lastgroup) for m in pattern.finditer(text)] == [
                (m.span(), m.groupdict(), m.lastgroup) for m in plain.finditer(text)
            ]


def test_results_of_a_function_are_kept_until_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, asked = tmp_path / "code.py", list[str]()
    monkeypatch.setattr(expressions, "_shared", Expressions(tmp_path / "kept"))
    for version, count in (("1", 1), ("1", 1), ("2", 2)):
        code.write_text(version)

        @expressions.kept(str(code))
        def written(source: str, *, more: bool = False) -> str:
            asked.append(source)
            return f"{source}{more}"

        assert (written("a"), written("a")) == ("aFalse", "aFalse")
        assert len(asked) == count
    assert written("a", more=True) == "aTrue"


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    expressions = Expressions(path)
    expressions.save()
    assert not path.exists()
    expressions.compiled("a+")
    expressions.save()
    written = path.stat().st_mtime_ns
    again = Expressions(path)
    again.compiled("a+")
    again.save()
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:40] + b"\x00" + b[41:], lambda _: b"", lambda b: b"x" + b]
)
def test_damaged_file(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    """It is not read, and is written again."""
    path = tmp_path / "kept"
    expressions = Expressions(path)
    expressions.compiled("a+")
    expressions.save()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = Expressions(path)
    assert again.compiled("a+").fullmatch("aaa")
    again.save()
    assert path.read_bytes() == whole


def test_file_of_others(tmp_path: Path) -> None:
    """A file that others may write is not read: its content runs in a matcher in C."""
    path = tmp_path / "kept"
    expressions = Expressions(path)
    expressions.compiled("a+")
    expressions.save()
    path.chmod(0o666)
    again = Expressions(path)
    again.compiled("a+")
    again.save()
    assert path.stat().st_mode & 0o777 == 0o600


def test_pattern_that_is_not_valid(tmp_path: Path) -> None:
    with pytest.raises(regex.error):
        Expressions(tmp_path / "kept").compiled("(")
