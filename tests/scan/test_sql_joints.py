"""Where the grammar of SQL needs no white space, statements without it are found; and no cut changes the findings.

Statements are those of `benchmarks.statements`: their names in the quotes of each dialect, their blanks left out where
quotes and brackets part the words, or replaced by each kind of comment.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.statements import LOUD, READS, WRITES, made, statements
from budgets import examples
from gateway.detect.sql.find import Finder
from gateway.detect.sql.read import Reader, Statement

READER = Reader()
QUOTES = ('"{}"', "`{}`", "[{}]", 'U&"{}"')
COMMENTS = ("/**/", "/* so */", "--x\n", "-- x\n", "\t", "\r\n")  # `#` is one to MySQL only
FORMS = {**WRITES, **LOUD}
MOST = 24  # statements of one form, which are drawn
FRAMES = (
    "{}",
    "```sql\n{}\n```",
    "```\n{}\n```\nok",
    "Run:\n\n~~~\n{};\n~~~\n",
    '"{}"',
    "'{}'",
    "`{}`",
    "``{}``",
    'db.execute("""{}""")',
    "q = '''{}'''",
    "First {} then go.",
    "{}\n \nmore",
    "{}\r\n\r\nmore",
    "- {}\n- {}",
)


def found(text: str, size: int = 0) -> list[Statement]:
    """The statements of a text, whole or in pieces of `size`; the whole text leaves."""
    got: list[Statement] = []
    finder = Finder(READER, got.extend, 4096)
    if size:
        pieces = (text[at : at + size] for at in range(0, len(text), size))
        assert "".join(map(finder.feed, pieces)) + finder.close() == text
    else:
        finder.whole(text)
    return got


def passes(text: str, size: int = 0) -> bool:
    """Whether a text passes with `sql: [select]`."""
    return all(one.readable and one.kinds == {"select"} for one in found(text, size))


def quoted(text: str, quotes: str) -> str:
    """The statement with its names in quotes."""
    return re.sub(r"(?i)\b[a-z]1\b", lambda name: quotes.format(name[0]), text)


def joined(text: str) -> str:
    """The statement without blanks next to quotes and brackets."""
    return re.sub(r"(?<=[\])\"'`]) (?!U&)|(?<!['\"]) (?=[\"`\[('])", "", text)


def some(form: str) -> list[str]:
    """Statements of a form, in small letters and in capitals."""
    texts = list(dict.fromkeys(made(form)))
    texts = texts if len(texts) <= MOST else random.Random(form).sample(texts, MOST)
    return [*texts, *(text.upper() for text in texts)] if form in WRITES.values() else texts


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("quotes", QUOTES)
def test_a_keyword_may_touch_a_name_in_quotes(form: str, quotes: str) -> None:
    """With blanks and without, whole and by characters."""
    for text in some(form):
        for said in (quoted(text, quotes), joined(quoted(text, quotes)), joined(text)):
            assert not passes(said), said
            assert not passes(said, 1), said


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("gap", COMMENTS, ids=repr)
def test_a_comment_parts_words(form: str, gap: str) -> None:
    """Without any adjacent blank."""
    for text in some(form):
        if "'" not in text and "$" not in text:
            said = text.replace(" ", gap)
            assert not passes(said), said
            assert not passes(said, 1), said


@pytest.mark.parametrize(
    "text", ["DELETE#x\nFROM#x\nt1", "drop#x\ntable#x\nt1", "SELECT#x\nsleep(9)", "UPDATE#\nt1 SET a=1"]
)
def test_a_comment_of_mysql_parts_words(text: str) -> None:
    """A hash and the rest of its line."""
    assert not passes(text)
    assert not passes(text, 1)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT'a'FROM t",
        "SELECT*FROM t",
        'SELECT"a"FROM"t"',
        "SELECT`a`FROM`t`WHERE`b`=1LIMIT 1",
        "SELECT[a]FROM[t]",
        "SELECT(a)FROM(t)",
        "SELECT+1",
        "SELECT-a FROM t",
        "SELECT~a FROM t",
        "SELECT.5 FROM t",
        "SELECT@@version",
        "WITH x AS(SELECT 1)SELECT*FROM x",
        "VALUES(1),(2);",
    ],
)
def test_a_read_may_be_joined_as_well(text: str) -> None:
    """Signs, values and names right behind the keyword."""
    assert found(f"Run:\n{text}"), text
    assert found(f"Run:\n{text}", 1) == found(f"Run:\n{text}")


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE 'users'",  # SQLite
        'DROP TABLE "a""b"',
        'DROP TABLE public . "users"',
        "UPDATE a . b SET x = 1",
        "UPDATE a.  b SET x = 1",
        "DELETE FROM srv...t WHERE a = 1",
        "INSERT INTO IDENTIFIER('t') VALUES (1)",
    ],
)
def test_names_of_other_forms(text: str) -> None:
    """Single and doubled quotes, blanks next to the dot, omitted parts, names from functions."""
    assert not passes(text)


@pytest.mark.parametrize("write", ["DROP TABLE {q}users{q}", "DELETE FROM {q}users{q}", "DROP\\nTABLE\\n{q}users{q}"])
@pytest.mark.parametrize("before", ["", "SELECT 1; ", "BEGIN; SELECT {q}a{q} FROM {q}t{q}; "])
@pytest.mark.parametrize("frame", ['{{"query": "{}"}}', 'psql -c "{}"', '"""{}"""', "x = '{}'"])
def test_quotes_within_quotes_are_of_the_statement(write: str, before: str, frame: str) -> None:
    """Escaped in a string of JSON or of a program, in each statement of a batch, and bare between three."""
    quote = {'"': '\\"', "'": '"'}[frame.partition("{}")[0].rstrip("{")[-1:]] if '"""' not in frame else '"'
    text = frame.replace("{{", "{").replace("}}", "}").replace("{}", (before + write).replace("{q}", quote))
    assert not passes(text), text
    assert found(text, 1) == found(text)


@pytest.mark.parametrize(
    "text",
    [
        'git commit -m "drop table support"; git checkout -b update',
        '{"title": "drop table", "also": "x"}',
        "Use `drop table` or `alter table` here.",
        "call setup(1) then call teardown()",
        "Mail select@example.com or set@example.com.",
        "from x import select",
    ],
)
def test_what_quotes_end_is_not_gone_on_with(text: str) -> None:
    """No name follows the closing quote."""
    assert not found(text)


ODD = [
    *(f"from {name} import {what}" for name in ("x", "x.y") for what in ("select", "y; select 1")),
    "SELECT@a",
    "SELECT @a FROM t",
    'drop table users"',
    'x"drop table "a" b"',
    'drop user x""',
    "call system.sync_partition_metadata('a','b')",
]
TEXTS = st.sampled_from([*statements(WRITES), *statements(LOUD), *statements(READS), *ODD])


@settings(max_examples=examples(150, nightly=4000), deadline=None)
@given(
    text=TEXTS,
    frame=st.sampled_from(FRAMES),
    quotes=st.sampled_from(["{}", *QUOTES]),
    as_=st.sampled_from([str, joined, lambda text: text.replace('"', '\\"')]),
    data=st.data(),
)
def test_no_cut_changes_what_is_found(
    text: str, frame: str, quotes: str, as_: Callable[[str], str], data: st.DataObject
) -> None:
    """In a fence or none, in quotes or none: by characters, and cut anywhere."""
    said = frame.replace("{}", as_(quoted(text, quotes)))
    whole = found(said)
    assert found(said, 1) == whole
    at = data.draw(st.integers(0, len(said)))
    got: list[Statement] = []
    finder = Finder(READER, got.extend, 4096)
    assert finder.feed(said[:at]) + finder.feed(said[at:]) + finder.close() == said
    assert got == whole
