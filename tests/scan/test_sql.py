"""SQL: facts about a statement, texts that count as statements, and the same result for any cut."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.config.sections import SqlDialect, SqlKind
from gateway.detect.sql.find import Arguments, Finder
from gateway.detect.sql.inject import Breakout
from gateway.detect.sql.read import KINDS, STEPS, Reader, Statement

READER = Reader()
ARGUMENTS = Arguments(READER, Breakout(), 4096)


def kinds(text: str, dialect: str = "") -> set[str]:
    """Everything that a text does."""
    statements = (Reader(dialect) if dialect else READER).read(text)
    return set().union(*(statement.kinds for statement in statements))


def found(text: str, pieces: Sequence[str] = (), *, blank: bool = True, limit: int = 4096) -> list[Statement]:
    """The statements of a text, fed whole or in pieces; the whole text leaves."""
    got: list[Statement] = []
    finder = Finder(READER, got.extend, limit, blank=blank)
    assert "".join(map(finder.feed, pieces or [text])) + finder.close() == text
    return got


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("SELECT a FROM t WHERE b = 'x'", {"select"}),
        ("TABLE users", {"select"}),
        ("WITH x AS (SELECT 1) SELECT * FROM x", {"select"}),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", {"delete"}),
        ("SELECT 1; DROP TABLE x", {"select", "ddl"}),
        ("SELECT * INTO y FROM t", {"ddl"}),
        ("SELECT a FROM t INTO OUTFILE '/x'", {"select", "file"}),
        ("INSERT INTO t SELECT * FROM s", {"insert"}),
        ("REPLACE INTO t VALUES (1)", {"insert", "delete"}),
        ("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE", {"merge"}),
        ("UPDATE t SET a = 1 WHERE b = 2", {"update"}),
        ("DELETE FROM t WHERE id = 3", {"delete"}),
        ("DELETE a FROM t a JOIN b ON a.i = b.i", {"delete"}),
        ("TRUNCATE t", {"ddl"}),
        ("ALTER TABLE t ADD c int", {"ddl"}),
        ("CREATE USER bob", {"ddl"}),
        ("GRANT UPDATE ON t TO bob", {"grant"}),
        ("COPY t FROM PROGRAM 'id'", {"file"}),
        ("LOAD DATA INFILE 'x' INTO TABLE t", {"file"}),
        ("ATTACH DATABASE 'x' AS y", {"file"}),
        ("BULK INSERT t FROM 'x'", {"file", "insert"}),
        ("PRAGMA table_info(x)", {"set"}),
        ("SET GLOBAL x = 1", {"set"}),
        ("CALL p(1)", {"call"}),
        ("EXEC xp_cmdshell 'dir'", {"call"}),
        ("EXECUTE IMMEDIATE 'drop table x'", {"call", "ddl"}),
        ("DO $$ begin delete from t; end $$", {"call", "delete"}),
        ("SELECT pg_read_file('/etc/passwd')", {"select", "call"}),
        ("SELECT * FROM dblink('x', 'y')", {"select", "call"}),
        ("SHOW TABLES", {"show"}),
        ("EXPLAIN SELECT a FROM t", {"select"}),
        ("EXPLAIN ANALYZE DELETE FROM t", {"delete"}),
        ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1", {"update"}),
        ("/*!50000 DROP TABLE x*/", {"ddl"}),
        ("SELECT 1 /*!; DROP TABLE x */", {"select", "ddl"}),
    ],
)
def test_what_a_statement_does(text: str, does: set[str]) -> None:
    """Everything in a statement counts, in any database."""
    assert kinds(text) == does


@pytest.mark.parametrize(
    ("text", "dialect", "safe"),
    [
        (r"SELECT '\'; DROP TABLE x; --'", "mysql", True),
        (r"SELECT '\'; DROP TABLE x; --'", "postgres", False),
        ("SELECT /* /* */ 1; DROP TABLE x; -- */ 2", "postgres", True),
        ("SELECT /* /* */ 1; DROP TABLE x; -- */ 2", "sqlite", False),
        ("SELECT 1 # ; DROP TABLE x", "mysql", True),
        ("SELECT $$; DROP TABLE x; --$$", "postgres", True),
    ],
)
def test_the_worst_reading_counts(text: str, dialect: str, safe: bool) -> None:
    """Databases split the text differently: without a dialect each reading counts, with a dialect only its own."""
    assert ("ddl" not in kinds(text, dialect)) is safe
    assert "ddl" in kinds(text)


def test_names_rows_and_conditions() -> None:
    """Tables, columns, stars, LIMIT and WHERE, as the gate judges by them."""
    [read] = Reader("postgres").read('SELECT u.name, t.*, "Ssn" FROM hr.users u JOIN t ON t.id = u.id LIMIT 7')
    assert (set(read.tables), set(read.stars), read.rows) == ({"hr.users", "t"}, {"t"}, 7)
    assert read.columns == {"hr.users.name", "ssn", "t.id", "hr.users.id"}
    [whole_row] = Reader("postgres").read("SELECT u FROM users u")
    assert whole_row.stars == {"users"}
    [cte] = Reader("postgres").read("WITH c AS (SELECT 1) SELECT * FROM c")
    assert cte.tables == set()
    for text, unbounded in (
        ("DELETE FROM t", True),
        ("DELETE FROM t WHERE true", True),
        ("UPDATE t SET a = 1 WHERE 1 = 1", True),
        ("UPDATE t SET a = 1 WHERE id = 3 OR 'a' = 'a'", True),
        ("DELETE FROM t WHERE id = id", True),
        ("DELETE FROM t WHERE id = 3", False),
        ("DELETE FROM t WHERE id IN (SELECT id FROM s)", False),
    ):
        assert [one.unbounded for one in READER.read(text)] == [unbounded], text
    for text, rows in (("SELECT * FROM t", None), ("SELECT TOP 3 * FROM t", 3), ("SELECT count(*) FROM t", 0)):
        assert [one.rows for one in READER.read(text)] == [rows], text


def test_a_statement_is_told_without_values() -> None:
    """No literal, no comment, and nothing in double quotes, which some databases take for text."""
    [read] = READER.read("SELECT a, 12, 'ann' FROM t WHERE n = \"Bob\" AND k = 0xAF -- Ann")
    assert read.text == "SELECT a , ? , ? FROM t WHERE n = ? AND k = ?"
    assert read.doubtful == {"bob"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "ARRAY[" * 40 + "1" + "]" * 40,
        "SELECT " + "(" * 500 + "1" + ")" * 500,
        "SELECT " + "(" * 3000,
        "SELECT " + "CASE WHEN " * 300 + "1" + " THEN 1 END" * 300,
        "SELECT " + "NOT " * 1500 + "1",
        "SELECT 1" + " UNION SELECT 1" * 300,
        "SELECT a FROM " + "(SELECT a FROM " * 30 + "t" + ")" * 30,
        "SELECT " + "a," * 1900 + "b FROM t WHERE",
        "SELECT " + "f(" * 24 + "x -> " + ")" * 24,
    ],
)
def test_what_would_take_forever_is_not_readable(text: str) -> None:
    """Depth, length and steps are bounded; beyond that a statement is refused, not parsed."""
    statements = READER.read(text)
    assert statements
    assert all(not one.readable or one.kind == "select" for one in statements)


def test_steps_bound_what_grammars_try() -> None:
    """The bound is on the moves of all parsers together, so that it is the same on every machine."""
    steps = [STEPS]
    [tokens, speakers] = READER._readings("SELECT " + "ARRAY[" * 3 + "1" + "]" * 3)[0]
    READER._statements(tokens, "SELECT " + "ARRAY[" * 3 + "1" + "]" * 3, speakers, steps)
    assert steps[0] < STEPS


SQL = [
    "DROP TABLE users",
    "Drop table users",
    "You can run DROP TABLE users; to clean up.",
    "DELETE FROM users WHERE id = 3",
    "It is `DELETE FROM users` that you want.",
    'cur.execute("DELETE FROM users")\nrows = cur.fetchall()\n',
    "```sql\nUPDATE t\nSET a = 'it''s; so' WHERE b = 1\n```\nDone.",
    "Run:\nSELECT a FROM t WHERE x = 1\nThis returns rows that match.",
    "INSERT INTO t (a, b) VALUES (1, 'x')",
    "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
    "SEL\u200bECT * FROM users",
    "\uff24\uff32\uff2f\uff30 TABLE users",
    "/*!50000DROP*/ TABLE users",
    "EXPLAIN ANALYZE DELETE FROM t",
    "GRANT ALL ON t TO bob",
    "exec xp_cmdshell 'dir'",
    "SELECT name FROM users to list the names.",
    "SELECT * FROM users WHERE name = 'x' AND (",
]
PROSE = [
    "select a plan from the list",
    "Please select a plan from our list.",
    "Select apples, pears, and plums from the shelf; insert them into the basket.",
    "drop me a line",
    "You can delete from cart.",
    "Delete from the list any items that you do not need.",
    "update your app settings = on",
    "with open('x') as f:\n    pass\n",
    "insert into the slot (A)",
    "call me (555)",
    "grant access to users",
    "Create a table of contents, and update it with every set of pages.",
    "Show tables in the dining room",
    "SELECT HOME FURNISHINGS FROM THE COLLECTION",
    "use strict; set x; load the file, copy it from here to there, then execute the plan.",
    "#pragma once\n#include <vector>",
    "Do you select from menus? With what do you begin?",
    "const { select, update } = require('x'); select(a, b); update(c);",
]


@pytest.mark.parametrize("text", SQL)
def test_sql_is_found(text: str) -> None:
    """Bare, fenced, quoted, in code, disguised."""
    assert found(text)


@pytest.mark.parametrize("text", PROSE)
def test_prose_and_code_are_not(text: str) -> None:
    """The words of SQL are words."""
    assert not found(text)


def _cuts(text: str, places: list[int]) -> list[str]:
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(marks)]


@settings(max_examples=examples(100, nightly=3000), deadline=None)
@given(
    texts=st.lists(st.sampled_from(SQL + PROSE), min_size=1, max_size=3),
    joint=st.sampled_from([" ", "\n", "\n\n", "; ", " '", '"', "`"]),
    places=st.lists(st.integers(0, 600), max_size=60),
)
@example(texts=["SELECT name FROM users to list the names."], joint=" ", places=[*range(50)])
def test_any_cut_finds_the_same(texts: list[str], joint: str, places: list[int]) -> None:
    """The findings depend only on the text."""
    text = joint.join(texts)
    assert found(text, _cuts(text, places)) == found(text)


@pytest.mark.parametrize("text", SQL + PROSE)
def test_every_single_character_cut_finds_the_same(text: str) -> None:
    """The smallest pieces there are."""
    assert found(text, list(text)) == found(text)


@pytest.mark.parametrize("text", [SQL[0], SQL[1], SQL[3], *SQL[8:16]])
def test_nothing_of_a_statement_leaves_before_it_is_judged(text: str) -> None:
    """From the keyword on all is held until the check has had it."""
    left = ""

    def check(statements: Sequence[Statement]) -> None:
        raise InterruptedError

    finder = Finder(READER, check, 4096)
    with pytest.raises(InterruptedError):  # noqa: PT012  (where in the text it is raised depends on the text)
        for char in f"Well:\n{text}":
            left += finder.feed(char)
        finder.close()
    assert left == "Well:\n"


def test_prose_flows() -> None:
    """A word that begins no statement leaves immediately; other words leave with the words that decide."""
    finder = Finder(READER, lambda statements: pytest.fail(str(statements)), 4096)
    words = re.findall(r"\S+ ", "Please choose any of the plans, select the one that suits you, and go on from there. ")
    left, longest = "", 0
    for count, word in enumerate(words, 1):
        left += finder.feed(word)
        longest = max(longest, len("".join(words[:count])) - len(left))
    assert longest <= len("select the ")


def test_a_statement_that_does_not_end_is_refused() -> None:
    """The hold is bounded; a longer statement is passed on as unreadable, and no more is held."""
    got: list[Statement] = []
    finder = Finder(READER, got.extend, 300)
    text = "SELECT a FROM t WHERE b IN (" + "1, " * 200
    out = "".join(map(finder.feed, _cuts(text, list(range(0, 600, 7)))))
    assert [one.readable for one in got] == [False]
    assert len(text) - len(out + finder.close()) == 0


def test_an_argument_has_no_blank_lines() -> None:
    """As a whole string, a statement may continue after an empty line."""
    got: list[Statement] = []
    ARGUMENTS("DELETE FROM t\n\nWHERE id = 3", got.extend)
    assert [one.unbounded for one in got] == [False]


@pytest.mark.parametrize(
    "text", ["vacuum;", "Shutdown ;", "checkpoint;", "vacuum full", "vacuum analyze t", "analyze t;"]
)
def test_a_command_of_one_word_in_small_letters(text: str) -> None:
    """With its semicolon, or with an option that no prose has."""
    got: list[Statement] = []
    ARGUMENTS(text, got.extend)
    assert len(got) == 1


@pytest.mark.parametrize(
    "text", ["vacuum", "shutdown", "begin", "checkpoint", "vacuum cleaner", "analyze this; it is odd"]
)
def test_a_word_in_small_letters_is_a_value(text: str) -> None:
    """Tools take such words: `action: shutdown`."""
    got: list[Statement] = []
    ARGUMENTS(text, got.extend)
    assert not got


PIECES = [
    "' OR 1=1 --",
    "x' or 'a'='a",
    'y" or ""="',
    "1 OR 1=1",
    "1) or (1=1",
    "') or ('1'='1",
    "admin'--",
    "admin' #",
    "1 AND SLEEP(5)",
    "x' || (SELECT password FROM users LIMIT 1) || '",
    "-1 UNION ALL SELECT name, 2 FROM users",
    "1'; DROP TABLE users; --",
    "1 ORDER BY 10--",
    "1' GROUP BY 1 HAVING 1=1 --",
    "1/**/or/**/1=1",
    "1'/*!50000union*/ select 2 -- ",
]
NO_PIECES = [
    "O'Brien and O'Neill",
    "the kids' -- all of them -- left",
    "Choose 'yes' or 'no'",
    "it's 5 o'clock, and that's late",
    "7 and a half",
    "2 or 4 metal buttons",
    "rock 'n' roll",
    '3/4" - vintage, 1/2" wide',
    "status and priority",
    "10-20 items = 2 boxes",
    "print('a' or 'b')",
    "don't; won't; can't -- ever",
    'https://example.org/?q=decals+15"&page=2',
    "if a == b and c == d: pass",
]


@pytest.mark.parametrize("text", PIECES)
def test_pieces_that_break_out_of_a_value(text: str) -> None:
    """In an argument, a value that breaks out of its literal."""
    got: list[Statement] = []
    ARGUMENTS(text, got.extend)
    assert got


@pytest.mark.parametrize("text", NO_PIECES)
def test_values_that_stay_values(text: str) -> None:
    """Apostrophes, inches, arithmetic and the words and, or."""
    got: list[Statement] = []
    ARGUMENTS(text, got.extend)
    assert not got


@pytest.mark.parametrize(
    "text",
    [
        '{"query": {"sql": ["DROP TABLE users"]}}',
        '"DROP TABLE users"',
        "DROP%20TABLE%20users",
        "DROP+TABLE%20users",
        "\\u0044ROP\\x20TABLE users",
        "&#68;ROP TABLE users",
        "RFJPUCBUQUJMRSB1c2Vycw==",
        '{"q": "{\\"q\\": \\"DROP TABLE users\\"}"}',
    ],
)
def test_what_stands_between_an_argument_and_the_database_is_undone(text: str) -> None:
    """JSON in the string, percent, backslash and entity escapes, base64."""
    got: list[Statement] = []
    ARGUMENTS(text, got.extend)
    assert "ddl" in {one.kind for one in got}


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(st.sampled_from(["select a from b ", "drop ", "update x ", "' ", "; ", "(", "the ", "/* "])).map(
        "".join
    )
)
def test_whatever_comes_ends(text: str) -> None:
    """The work for a text is bounded: nothing raises, all of it leaves."""
    assert found(text * 5) == found(text * 5)


def test_the_grammar_of_the_configuration_knows_all_kinds_and_dialects() -> None:
    """The kinds that the configuration accepts are the kinds that exist."""
    assert get_args(SqlKind) == KINDS
    for name in get_args(SqlDialect):
        assert Reader(name).read("SELECT 1")[0].kind == "select"


@pytest.mark.slow
def test_sqlglot_is_not_loaded_for_nothing() -> None:
    """Neither the gate nor the configuration imports it before a reader is wanted."""
    import subprocess

    code = "import sys, gateway.serving.app, gateway.output.sqlgate; "
    "gateway.output.sqlgate.SqlGate(None); sys.exit('sqlglot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
