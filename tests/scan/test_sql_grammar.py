"""Every opening of every kind, with each optional part, in every dialect: writes are seen, reads are reads; the rest is
prose."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.statements import LOUD, READS, WRITES, made, statements
from budgets import examples
from gateway.detect.sql.find import Arguments, Finder
from gateway.detect.sql.inject import Breakout
from gateway.detect.sql.read import Reader, Statement

READER = Reader()
ARGUMENTS = Arguments(READER, Breakout(), 4096)
FRAMES = (
    "{}",
    "SELECT 1; {}",
    "```sql\n{}\n```",
    "Run this:\n{}",
    'db.execute("""{}""")',
    "-- so\n{}",
)
MOST = 60  # statements of one form, which are drawn


def found(text: str) -> list[Statement]:
    """The statements of a text."""
    got: list[Statement] = []
    Finder(READER, got.extend, 4096).whole(text)
    return got


def some(form: str) -> list[str]:
    """Statements of a form: all, or as many as `MOST`."""
    texts = list(dict.fromkeys(made(form)))
    return texts if len(texts) <= MOST else random.Random(form).sample(texts, MOST)


def passes(text: str) -> bool:
    """Whether a text passes with `sql: [select]`."""
    return all(one.readable and one.kinds == {"select"} for one in found(text))


def commented(text: str) -> str:
    """With a comment for each second blank outside of quotes."""
    if "'" in text or "$" in text:
        return text
    words = text.split(" ")
    joints = itertools.cycle((" ", "/* so */", "\n"))
    return "".join(word + joint for word, joint in zip(words, joints, strict=False)).rstrip()


@pytest.mark.parametrize("form", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("as_", [str, str.upper, str.capitalize, commented])
def test_no_write_passes_as_a_read_or_unseen(form: str, as_: Callable[[str], str]) -> None:
    """Alone, and in prose, code and batches."""
    for number, text in enumerate(some(form)):
        frame = FRAMES[number % len(FRAMES)] if as_ is not str.capitalize else "{}"
        assert not passes(as_(text)), as_(text)
        assert not passes(frame.format(as_(text))), frame.format(as_(text))


@pytest.mark.parametrize("form", LOUD.values(), ids=LOUD)
def test_what_is_prose_in_small_letters_is_seen_in_capitals(form: str) -> None:
    """Behind a read, too."""
    for text in some(form):
        assert not passes(text), text
        assert not passes(f"SELECT 1;\n{text}"), text


@pytest.mark.parametrize("form", READS.values(), ids=READS)
@pytest.mark.parametrize("as_", [str, str.upper])
def test_a_read_is_a_read(form: str, as_: Callable[[str], str]) -> None:
    """In the words of each dialect."""
    for text in some(form):
        statements = found(f"Run:\n{as_(text)};")
        assert statements, as_(text)
        assert passes(f"Run:\n{as_(text)};"), (as_(text), statements)


@pytest.mark.parametrize("form", WRITES.values(), ids=WRITES)
def test_an_argument_holds_the_same(form: str) -> None:
    """An argument of a tool call is examined as a whole."""
    for text in some(form)[:10]:
        got: list[Statement] = []
        ARGUMENTS(text, got.extend)
        assert any(not one.readable or one.kinds != {"select"} for one in got), text


VERBS = [
    "select",
    "update",
    "delete",
    "drop",
    "create",
    "insert",
    "replace",
    "alter",
    "merge",
    "set",
    "use",
    "show",
    "describe",
    "install",
    "copy",
    "load",
    "import",
    "export",
    "call",
    "grant",
    "revoke",
    "check",
    "open",
    "get",
    "list",
    "start",
    "refresh",
    "truncate",
    "rename",
    "comment",
    "explain",
    "lock",
    "restore",
    "backup",
    "remove",
    "put",
    "cache",
    "optimize",
    "analyze",
    "exchange",
    "release",
    "reset",
    "prepare",
    "execute",
    "attach",
    "declare",
    "begin",
    "commit",
    "deny",
    "fetch",
    "discard",
    "collect",
    "repair",
    "purge",
    "notify",
    "kill",
    "table",
    "values",
]
WHAT = (
    "the file from disk",
    "your settings in the profile",
    "a plan from the list below",
    "user accounts (inactive)",
    "numpy from the [official site](https://x.y)",
    "an index of all pages, and a table of contents",
    "items into the basket (see above)",
    "tests for the parser (#123)",
    "old views where possible",
    "support for Python 3.8",
    "user names = logins",
    "it if it exists",
    "them; then go on",
    "access to the team; ask first",
    "with care: read the manual",
    "of values (a, b, c)",
    "data as described in [1]",
    "or replace what is broken",
    "everything, set the table and join us",
    "on Monday from 9 to 5",
)
SAID = ("{}", "- {}", "1. {}", "Please {}.", "You can {} here.", "Then {}:", "## {}", "> {}", "TODO: {}", "`x`: {}")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("as_", [str, str.capitalize])
def test_instructions_in_prose_are_not_statements(verb: str, as_: Callable[[str], str]) -> None:
    """Any verb with any object, as an item, a title, a sentence: at most one in a hundred is found by mistake."""
    texts = [frame.format(as_(f"{verb} {what}")) for frame in SAID for what in WHAT]
    wrong = [text for text in texts if found(text)]
    assert len(wrong) <= len(texts) // 100, wrong


@pytest.mark.parametrize(
    "text",
    [
        "install numpy from the [official site](https://x.y)",
        "drop user accounts (inactive)",
        "select a plan from the list below",
        "update your settings",
        "delete the file from disk",
        "create table of contents",
        "With great power comes the duty to select wisely from what is there.",
        "#pragma pack(pop)",
        "from x import y as z",
        "import foreign",
        "values (in a list) are kept",
        "Describe the image.",
        "use strict;",
        "print('select a plan')",
        "get the values from the form, then set x = 1",
        "Open the door; close the window; fetch the milk.",
    ],
)
def test_prose_that_was_taken_for_sql_or_might_be(text: str) -> None:
    """Sentences and code with words of SQL."""
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 + " + "(" * 30 + "1" + ")" * 30,
        "select f(" + "ARRAY[" * 9 + "1" + "]" * 9 + ")",
        "select pg_read_file('/x') frobnicate (1)(2)",
        "select 1" + " + a(1)" * 1_000,
    ],
)
def test_what_is_too_much_to_read_is_no_prose(text: str) -> None:
    """A query without a table that is deeper, longer or more unusual than the reader supports."""
    assert not passes(text[:4000])


TEXTS = st.sampled_from([*statements(WRITES), *statements(LOUD), *statements(READS)])
PROSE = st.sampled_from([f"{verb} {what}" for verb in VERBS for what in WHAT])
FORMS = st.sampled_from([str, str.upper, str.capitalize, commented])


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(
    text=st.one_of(st.builds(lambda form, text: form(text), FORMS, TEXTS), PROSE),
    frame=st.sampled_from([*FRAMES, *SAID]),
    size=st.integers(1, 9),
)
def test_any_cut_of_it_finds_the_same(text: str, frame: str, size: int) -> None:
    """Streamed in pieces, statements and sentences give the same result as a whole, and all text leaves."""
    said = frame.format(text)
    got: list[Statement] = []
    finder = Finder(READER, got.extend, 4096)
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    assert "".join(map(finder.feed, pieces)) + finder.close() == said
    assert got == found(said)
