"""Optional words of statements, side effects of reads, and statements that begin with two words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.detect.sql.find import Finder
from gateway.detect.sql.forms import pattern
from gateway.detect.sql.read import Reader, Statement

_BY_KIND = {
    "merge": [
        "MERGE TOP (5) INTO t USING s ON 1=1 WHEN MATCHED THEN DELETE;",
        "MERGE INTO ONLY t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "MERGE WITH SCHEMA EVOLUTION INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "MERGE t USING s ON 1=1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "MERGE users AS u USING src ON u.id = src.id WHEN MATCHED THEN DELETE",
    ],
    "delete": [
        "DELETE dbo.users",
        "DELETE [users]",
        "DELETE OPENQUERY(s, 'SELECT 1')",
        "DELETE FROM (SELECT * FROM t)",
        "DELETE FROM t1.*, t2.* USING t1 INNER JOIN t2 WHERE t1.a = t2.a",
        "DEL FROM t",
        "DELETE TOP (10) t",
        "DELETE TOP (5) PERCENT FROM t WHERE a = 1",
    ],
    "insert": [
        "INSERT INTO FUNCTION file('x') SELECT 1",
        "INSERT INTO TABLE FUNCTION s3('x') SELECT 1",
        "INSERT INTO t FORMAT Values (1)",
        "INSERT INTO t JSON '{}'",
        "INSERT INTO (SELECT a FROM t) VALUES (1)",
        "INS INTO t VALUES (1)",
        "INSERT TOP (1) INTO t SELECT 1",
        "INSERT FIRST WHEN a = 1 THEN INTO t SELECT 1 FROM s",
        "INSERT ALL INTO a VALUES (1) INTO b VALUES (2) SELECT * FROM dual",
    ],
    "ddl": [
        "ALTER ONLINE TABLE t ADD COLUMN a int",
        "ALTER IGNORE TABLE t ADD UNIQUE (a)",
        "ALTER ONLINE IGNORE TABLE t DROP COLUMN a",
        "ALTER OFFLINE TABLE t ADD COLUMN a int",
        "ALTER TABLE a, b RENAME TO c, d",
        "ALTER SERVICE MASTER KEY REGENERATE",
        "CREATE MASTER KEY",
        "CREATE MASTER KEY ENCRYPTION BY PASSWORD = 'x'",
        "CREATE COLUMN TABLE t (a int)",
        "CREATE SET TABLE t (a int)",
        "CREATE PROPERTY GRAPH g VERTEX TABLES (a)",
        "DROP TABLES a, b",
        "DROP VIEWS a",
        "DROP GRAPH g",
        "DROP PROPERTY GRAPH g",
        "DROP MASTER KEY",
        "DROP TABLE IF EMPTY t",
        "FLASHBACK DATABASE TO TIMESTAMP x",
        "FLASHBACK STANDBY DATABASE TO RESTORE POINT x",
        "RENAME TABLES a TO b",
        "FLASHBACK TABLE t TO BEFORE DROP",
        "DISABLE TRIGGER x ON t",
    ],
    "update": [
        "UPDATE (SELECT a FROM t) SET a = 1",
        "UPDATE OPENQUERY(s, 'SELECT a FROM t') SET a = 1",
        "UPDATE t INDEXED BY i SET a = 1",
        "UPDATE t PARTITION (p0) SET a = 1",
        "UPDATE t USING TTL 10 SET a = 1 WHERE b = 2",
        "UPD t SET a = 1",
        "WRITETEXT t.c @p 'x'",
        "UPDATETEXT t.c @p 0 0 'x'",
    ],
    "set": ["CHANGE MASTER TO MASTER_HOST='h'", "CHANGE REPLICATION SOURCE TO SOURCE_HOST='h'"],
    "transaction": ["XA START 'x'"],
    "other": ["LET x = 1", "STOP REPLICA"],
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
    'git commit -m "drop table support"; git checkout -b update',
    "- [ ] Drop database support (v3)",
    "Create index cards for studying (20).",
    "Create view models and create event handlers.",
    "Vacuum full rooms first; analyze dust later.",
    "call setup(1) then call teardown()",
    "LISTEN carefully, then go on.\n\nOPEN questions follow.",
    "drop table names in the sidebar (see #3); then go on",
    "truncate table names to 20 (or fewer)",
    "drop tables and views (all of them)",
    "create table entries for each user (see below)",
    "create event handlers for clicks = taps",
    "create database backups at night (02:00)",
    'def f():\n    """A parameter used to select responses."""\n',
    "Disable triggers on weekends, change masters to suit, and flashback to last week.",
)
READER = Reader()


def kinds(text: str) -> set[str]:
    """The effects of the statements of a text."""
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


@pytest.mark.parametrize("statement", ["LISTEN c", "CHECKPOINT", "SAVEPOINT x", "CLOSE c", "DEALLOCATE p"])
@pytest.mark.parametrize("around", ["{}", "{}\n", "Run:\n```sql\n{}\n```", "x\n~~~\n{}\n~~~\ny"])
def test_words_in_capitals_are_a_statement_if_nothing_else_stands_there(statement: str, around: str) -> None:
    """In a text or a fenced block of their own; elsewhere they may be a title."""
    assert kinds(around.format(statement)) - {"select", "show"}


@pytest.mark.parametrize(
    "batch",
    [
        "IF OBJECT_ID('t') IS NOT NULL DROP TABLE t",
        "IF 1=1 BEGIN DROP TABLE t END",
        "IF EXISTS (SELECT 1) THEN DROP TABLE t",
        "WHILE 1=1 DELETE FROM t",
        "RETURN DROP TABLE t",
    ],
)
def test_a_statement_behind_words_of_control_is_one(batch: str) -> None:
    """In capitals, which count for nothing after these words."""
    assert kinds(batch) & {"ddl", "delete"}


@pytest.mark.parametrize("statement", READS)
def test_a_read_stays_one(statement: str) -> None:
    """FROM inside a function leads to no file, and a table may be called like a package."""
    assert kinds(statement) <= {"select"}


@pytest.mark.parametrize("text", PROSE)
def test_prose_stays_prose(text: str) -> None:
    """Text that reads like the beginning of a statement."""
    assert kinds(text) == set()


@pytest.mark.parametrize("statement", [one for one in WRITES if not one.startswith("SELECT")])
def test_every_beginning_of_an_opening_may_go_on(statement: str) -> None:
    """A running text is held from its first word on: any beginning may still become a statement."""
    form = pattern(statement.split()[0].lower())
    for end in (at for at, sign in enumerate(statement) if not sign.isalnum() and statement[at - 1].isalnum()):
        assert form.match(statement[: end + 1], partial=True), statement[: end + 1]
