"""Statements with optional parts are what they are; words of prose and packages are not statements."""

from __future__ import annotations

import itertools

import pytest

from gateway.call import Json, Span
from gateway.sections import Sql
from gateway.sqlgate import SqlFacts, SqlGate

FACTS = SqlFacts(SqlGate(Sql(allow=("select",))))

OBJECTS = ("table", "view", "index", "schema", "database", "sequence", "user", "role", "function", "type")
# What stands before the name of an object, each part of which may be left out.
FORMS = {
    "drop": ("drop", "{object}", "?if exists", "x1"),
    "create": ("create", "?or replace", "table", "?if not exists", "x1 (a int)"),
    "alter": ("alter table", "?if exists", "?only", "x1", "drop column a"),
    "truncate": ("truncate", "?table", "x1"),
    "insert": ("insert", "overwrite", "?table", "x1", "select * from y1"),
    "delete": ("delete from", "?only", "x1", "?where a1 = 1"),
    "delete of several": ("delete", "x1", "from x1", "?inner", "join y1 on 1 = 1"),
}


def statements() -> list[str]:
    """Every form with each choice of its optional parts, for each object, in both cases, with gaps and comments."""
    made: list[str] = []
    for parts in FORMS.values():
        choices = [(part[1:], "") if part.startswith("?") else (part,) for part in parts]
        for chosen in itertools.product(*choices):
            words = " ".join(part for part in chosen if part)
            for kind in OBJECTS if "{object}" in words else ("",):
                text = words.replace("{object}", kind)
                made += [text, text.upper(), text.replace(" ", "\n"), text.replace(" ", " /* so */ ")]
    return made


def facts(text: str, key: str = "arguments") -> list[Json]:
    return FACTS.of([Span({key: text}, key, text, "assistant", None)])


@pytest.mark.parametrize("text", statements())
def test_a_statement_with_any_of_its_optional_parts_is_a_write(text: str) -> None:
    """Alone, and behind a read."""
    for said in (text, f"SELECT 1; {text}"):
        assert any(fact["writes"] for fact in facts(said)), said


@pytest.mark.parametrize(
    "text",
    [
        "DELETE u FROM users u JOIN b ON 1=1",
        "ALTER TABLE t DELETE WHERE a = 1",
        "TRUNCATE users",
        "INSERT OVERWRITE t SELECT 1",
        "EXPORT DATA OPTIONS(uri='x') AS SELECT * FROM t",
        "DELETE FROM ONLY t",
    ],
)
@pytest.mark.parametrize("key", ["arguments", "input"])
def test_writes_that_looked_like_reads(text: str, key: str) -> None:
    """In the arguments of a function and in the input of a custom tool."""
    assert any(fact["writes"] for fact in facts(text, key))


@pytest.mark.parametrize(
    "text",
    [
        "install numpy from the [official site](https://x.y)",
        "install the plugin from our store",
        "drop user accounts (inactive)",
        "drop table if you can",
        "create a table if not there",
        "truncate the text to 80 characters",
        "export data as a spreadsheet",
    ],
)
def test_prose_is_no_statement(text: str) -> None:
    """Sentences that begin with a word of SQL."""
    assert facts(text) == []
