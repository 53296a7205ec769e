"""Optional words of statements, side effects of reads, and statements that begin with two words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.detect.sql.find import Finder
from gateway.detect.sql.forms import pattern
from gateway.detect.sql.read import Reader, Statement

_BY_KIND = {
    "merge": [
        "MERGE t USING s ON 1=1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "MERGE users AS u USING src ON u.id = src.id WHEN MATCHED THEN DELETE",
    ],
    "delete": ["DELETE TOP (10) t", "DELETE TOP (5) PERCENT FROM t WHERE a = 1"],
    "insert": [
        "INSERT TOP (1) INTO t SELECT 1",
        "INSERT FIRST WHEN a = 1 THEN INTO t SELECT 1 FROM s",
        "INSERT ALL INTO a VALUES (1) INTO b VALUES (2) SELECT * FROM dual",
    ],
    "ddl": ["FLASHBACK TABLE t TO BEFORE DROP", "DISABLE TRIGGER x ON t"],
    "update": ["WRITETEXT t.c @p 'x'", "UPDATETEXT t.c @p 0 0 'x'"],
    "set": ["CHANGE MASTER TO MASTER_HOST='h'", "CHANGE REPLICATION SOURCE TO SOURCE_HOST='h'"],
    "transaction": ["XA START 'x'"],
    "file": ["ADD JAR '/tmp/x.jar'", "SELECT * FROM '/etc/passwd'", "SELECT a FROM t JOIN 's3://b/x' USING (a)"],
    "call": [
        "SELECT setval('s', 1)",
        "SELECT nextval('s')",
        "SELECT lo_unlink(1)",
        "SELECT pg_notify('a', 'b')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_create_restore_point('x')",
        "SELECT UTL_HTTP.REQUEST('http://x') FROM dual",
        "SELECT dbms_xmlgen.getxml('x') FROM dual",
    ],
}
WRITES = {statement: kind for kind, statements in _BY_KIND.items() for statement in statements}
READS = (
    "SELECT EXTRACT(year FROM '2024-01-01'::date)",
    "SELECT TRIM(BOTH 'x' FROM 'abc') FROM t",
    "SELECT SUBSTRING('abc' FROM '.b.')",
    'SELECT * FROM "users"',
    "SELECT dbms_name.a, utl_id.b FROM dbms_name JOIN utl_id USING (c)",
)
PROSE = (
    "Press the DELETE key; it is on the right.",
    "Merge the branches using git on your machine.",
    "Use POST, PUT or DELETE requests",
    "Please DELETE messages; then call.",
    "Add files 'as they are' to the folder.",
    "Disable triggers on weekends, change masters to suit, and flashback to last week.",
)
READER = Reader()


def kinds(text: str) -> set[str]:
    """What the statements of a text do."""
    found: set[str] = set()

    def check(statements: Sequence[Statement]) -> None:
        found.update(kind for one in statements for kind in one.kinds)

    Finder(READER, check, 4096).whole(text)
    return found


@pytest.mark.parametrize("statement", WRITES)
@pytest.mark.parametrize("around", ["{}", "Run:\n```sql\n{}\n```", "x\n\n{}\n"])
def test_a_write_is_one(statement: str, around: str) -> None:
    """With the words that its dialect may leave out."""
    assert WRITES[statement] in kinds(around.format(statement))


@pytest.mark.parametrize("statement", READS)
def test_a_read_stays_one(statement: str) -> None:
    """FROM inside a function leads to no file, and a table may be called like a package."""
    assert kinds(statement) <= {"select"}


@pytest.mark.parametrize("text", PROSE)
def test_prose_stays_prose(text: str) -> None:
    """What reads like an opening."""
    assert kinds(text) == set()


@pytest.mark.parametrize("statement", [one for one in WRITES if not one.startswith("SELECT")])
def test_every_beginning_of_an_opening_may_go_on(statement: str) -> None:
    """A running text is held from its first word on: no beginning of a statement is known not to be one."""
    form = pattern(statement.split()[0].lower())
    for end in (at for at, sign in enumerate(statement) if not sign.isalnum() and statement[at - 1].isalnum()):
        assert form.match(statement[: end + 1], partial=True), statement[: end + 1]
