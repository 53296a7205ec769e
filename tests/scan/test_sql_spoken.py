"""Code and prose about SQL are no statements, and a statement in a program ends where its string or comment ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.detect.sql.find import Finder
from gateway.detect.sql.read import WRITES, Reader, Statement

READER = Reader()


def found(text: str, pieces: list[str] | None = None) -> list[Statement]:
    """The statements of a text, whole or in pieces; all of the text leaves."""
    got: list[Statement] = []
    finder = Finder(READER, got.extend, 4096)
    assert "".join(map(finder.feed, pieces or [text])) + finder.close() == text
    return got


@pytest.mark.parametrize(
    "text",
    [
        '"""Bare GROUP BY ALL infers its keys from the SELECT list, unlike ALL as a\n name = window.alias',
        "SELECT operations at the SQL (non-ORM) level. ``Query`` differs from\n``Select`` in that it returns objects",
        '"""Select rows from `table` based on `predicates`.',
        'raise ParamsError("Order by field must be in the select list for union queries")\n',
        "List of column names to select from SQL table (only used when reading\n  a table).\n  chunksize : int = 1",
        "# In some countries, the number starts with one\n# or more zeros as (x",
        "# Create index\ncon.create_index(name, expressions=[x])",
        "    // Create table\n    db.create_table(name, schema=schema)",
        "grammar = ansi.match_grammar.copy(\n    insert=[Ref('X', optional=True)],\n)",
        "def select(self) -> Select[T]:\n    '''A construct from rows.'''\n    return self",
        "def execute(self, sql: str | Select | TextClause, params=None):\n    from sqlalchemy import x",
        "which includes :class:`_expression.Select`,\n :class:`.TextualSelect`. As rendered in a FROM clause, it",
        ">>> from sqlalchemy import select\n>>> from sqlalchemy import or_\n>>> print(select(x))",
        '"inheriting "\n"table \'%s\'; tables have more than one "',
    ],
)
def test_words_about_sql(text: str) -> None:
    """Docstrings, comments, types and messages of public packages."""
    assert found(text) == []


QUERIES = ("SELECT a FROM t", "SELECT\n  a,\n  b\nFROM t\nWHERE c = 'x'", "WITH x AS (SELECT 1) SELECT * FROM x")
EDITS = ("DROP TABLE users", "DELETE FROM t\nWHERE a = 1", "UPDATE t SET a = 1", "INSERT INTO t VALUES (1)")
HOSTS = (
    'q = """\n{}\n"""\nrows = [x for x in run(q) if x]\n',
    "q = '''\n{}\n'''.format(a=1)\n",
    'run("""\n    {}\n    """).df()\nreturn None\n',
    '"""Runs\n\n    {}\n    """\n    name = "x"\n    kind = f(name)\n',
    'raise Error("cannot be in {}")\n        )\n',
    "`tab (a) AS ({})`\n name = 1",
)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("query", QUERIES)
def test_a_query_in_a_program_is_a_query(host: str, query: str) -> None:
    """What follows the string that it stands in does not make it unreadable."""
    statements = found(host.format(query))
    assert statements
    assert all(one.readable and one.kinds == {"select"} for one in statements), statements


@pytest.mark.parametrize("host", [*HOSTS[:4], "# {}\nx = f(1)\n"])
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_in_a_program_is_an_edit(host: str, edit: str) -> None:
    """In its string, and behind a query that ends in the string before."""
    for text in (host.format(edit), host.format("SELECT 1 FROM t") + host.format(edit)):
        assert any(one.writes for one in found(text.replace("\nWHERE", " WHERE"))), text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\"\"\" ', pg_read_file('/etc/passwd')",
        'SELECT a """ ; DROP TABLE x',
        "SELECT a FROM t) UNION SELECT pg_read_file('/x')",
        "(SELECT a FROM t) INTO OUTFILE '/x'",
        "SELECT $$\"$$, pg_read_file('/x')",
        'SELECT a FROM t") DROP TABLE x',
        "Done.DROP TABLE users;",
        "# SELECT 1\nDROP TABLE x",
        "# DROP TABLE\n# users;",
        "the SELECT pg_read_file('/x') of it",
    ],
)
def test_what_ends_a_string_hides_nothing(text: str) -> None:
    """Quotes, brackets and comment marks in a statement or after it."""
    assert not {kind for one in found(text) for kind in one.kinds}.isdisjoint(WRITES), found(text)


PARTS = st.sampled_from(
    [
        "SELECT a FROM t",
        "\n",
        '"""',
        "'''",
        '"',
        "# ",
        "// ",
        "DROP TABLE x",
        ")",
        "(",
        " ",
        ".copy(",
        "x = 1",
        ";",
        "\n\n",
    ]
)


@settings(max_examples=examples(80, nightly=3000), deadline=None)
@given(parts=st.lists(PARTS, max_size=12), size=st.integers(1, 9))
def test_any_cut_of_a_program_gives_the_same(parts: list[str], size: int) -> None:
    """The ends of strings and comments do not depend on how the text arrives."""
    text = "".join(parts)
    assert found(text, [text[at : at + size] for at in range(0, len(text), size)]) == found(text)
