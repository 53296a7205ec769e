"""Reads are reads: in brackets, with any names and any quotes; writes stay writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.detect.sql.find import Finder
from gateway.detect.sql.read import WRITES, Reader, Statement

READER = Reader()
WORDS = (
    "drop",
    "delete",
    "update",
    "order",
    "from",
    "select",
    "insert",
    "merge",
    "create",
    "alter",
    "truncate",
    "grant",
)
NAMES = st.one_of(st.sampled_from(WORDS), st.sampled_from(["a", "Users", "x_1", "drop table", "delete from x", "a b"]))
QUOTES = st.sampled_from(["``", "[]", '""'])
QUOTED = st.builds(lambda name, quotes: quotes[0] + name + quotes[1], NAMES, QUOTES)
READS = (
    "SELECT {} FROM {} WHERE {} = 1",
    "SELECT {0}, {1} FROM {2} ORDER BY {0} DESC",
    "SELECT t.{} FROM {} t JOIN {} u ON t.id = u.id",
    "SELECT count(*) AS {} FROM {} GROUP BY {}",
    "WITH {0} AS (SELECT {1} FROM {2}) SELECT * FROM {0}",
    "(SELECT {} FROM {}) UNION (SELECT a FROM {})",
)
EDITS = (
    "DELETE FROM {} WHERE {} = {}",
    "UPDATE {} SET {} = 1 WHERE {} = 2",
    "INSERT INTO {} ({}, {}) VALUES (1, 2)",
    "DROP TABLE {}",
    "TRUNCATE TABLE {}",
    "ALTER TABLE {} DROP COLUMN {}",
)


def found(text: str, blank: bool = True) -> list[Statement]:
    """The statements of a text."""
    got: list[Statement] = []
    Finder(READER, got.extend, 4096, blank=blank).whole(text)
    return got


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(form=st.sampled_from(READS), names=st.lists(QUOTED, min_size=3, max_size=3))
def test_a_read_with_quoted_names_is_a_read(form: str, names: list[str]) -> None:
    """Keywords in backticks, brackets or double quotes, of one database or of several, are names."""
    text = form.format(*names)
    statements = found(text)
    assert statements, text
    assert {one.kind for one in statements} == {"select"}, text
    assert all(one.readable for one in statements), text


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(
    form=st.sampled_from(EDITS),
    names=st.lists(QUOTED, min_size=3, max_size=3),
    before=st.sampled_from(["", "SELECT 1; ", "SELECT {0} FROM {1}; ", "SELECT 1; {0} "]),
)
def test_a_write_with_quoted_names_is_a_write(form: str, names: list[str], before: str) -> None:
    """Alone, after a read, after a separate name."""
    text = before.format(*names) + form.format(*names)
    assert any(one.writes for one in found(text)), text


@pytest.mark.parametrize(
    "text",
    [
        r"""SELECT '\'+"a"UPDATE"t"SET x=1--'""",
        r"""SELECT '\'; DELETE FROM [t]; --' AS `delete`""",
        "SELECT [a] FROM t; [x] DROP TABLE y",
        'SELECT 1; EXEC("drop table x")',
        "SELECT `a` FROM t WHERE b = pg_read_file('/x')",
    ],
)
def test_quotes_hide_no_write(text: str) -> None:
    """Text that is a string for one database and a statement for another."""
    assert not {kind for one in found(text) for kind in one.kinds}.isdisjoint(WRITES)


ONE = ("SELECT a FROM t", "SELECT 1", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT a FROM t WHERE b = ')'")
JOINTS = ("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
BRACKETED = st.recursive(
    st.sampled_from(ONE).map("({})".format),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(JOINTS), inner),
        st.builds("({})".format, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(JOINTS), inner),
    ),
    max_leaves=4,
)
ENDS = st.sampled_from(["", ";", " ORDER BY 1", " LIMIT 3", "\n"])
AROUND = st.sampled_from(["{}", "EXPLAIN {}", 'db.run("{}")', "db.run(`{}`)", "Run:\n{}", "```sql\n{}\n```"])


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(query=BRACKETED, end=ENDS, around=AROUND)
def test_queries_in_brackets_are_reads(query: str, end: str, around: str) -> None:
    """Joined, nested, ordered, limited; as they are, explained, in code and in prose."""
    text = around.format(query + end)
    statements = found(text)
    assert {(one.kind, one.readable) for one in statements} == {("select", True)}, text


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(query=BRACKETED, write=st.sampled_from(["DELETE FROM t", "DROP TABLE x", "UPDATE t SET a = 1"]))
def test_brackets_hide_no_write(query: str, write: str) -> None:
    """Behind it, before it, within it."""
    for text in (f"{query}; {write}", f"({write}); {query}", f"{query} UNION ({write})", f"({query}) ({write})"):
        assert any(one.writes for one in found(text)), text
