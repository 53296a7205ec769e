"""SQL on the line: real calls through the whole gateway, by tool call and text, whole and streamed, and policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import calls
import upstream as scripted
from gateway.call import Call, Decision, Obligations
from gateway.config.sections import Output, Sql
from gateway.errors import Refusal
from gateway.output.sqlgate import SqlFacts, SqlGate
from gateway.texts import Nested, Slot
from line import Line, config, policies, running

POLICY = """package gateway

decision := {"allow": true, "deny": deny, "obligations": obligations}

deny contains {"code": "no_writes", "message": "No writes", "class": "safety"} if {
	some statement in input.content.sql
	statement.writes
}

default obligations := {}

obligations := {"sql": ["select"]} if input.action.max_tokens == 7
"""


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that lets reads and bounded deletes pass, and asks a policy."""
    folder = tmp_path_factory.mktemp("sql")
    settings = config(
        folder,
        up.url,
        output={"sql": {"allow": ["select", "delete"], "deny_tables": ["secrets"], "deny_columns": ["ssn"]}},
        policy=policies(folder, POLICY),
        pii=None,
        idempotency=None,
    )
    with running(folder, settings) as running_line:
        yield running_line


@pytest.mark.parametrize("model", ["echo", "call"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("SELECT name FROM users WHERE id = 3", True),
        ("DELETE FROM users WHERE id = 3", True),
        ("DELETE FROM users", False),
        ("DROP TABLE users", False),
        ("SELECT 1; DROP TABLE users", False),
        ("SELECT a FROM secrets", False),
        ("SELECT * FROM users", False),
        ("INSERT INTO users VALUES ('x'", False),
        ("Please select a plan from the list, then drop me a line.", True),
    ],
)
def test_what_passes(line: Line, model: str, stream: bool, text: str, passes: bool) -> None:
    """By text and as an argument of a tool call; a stream that has begun ends with content_filter."""
    answer = line.chat(text, model, stream=stream)
    refused = "sql_blocked" in answer.text or "content_filter" in answer.text
    assert refused is not passes
    if not passes:
        assert not any(word in answer.text for word in ("users", "secrets", "INSERT"))
    elif stream:
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.status_code == 200


def test_a_refusal_is_counted_and_names_kinds_only(line: Line) -> None:
    """The metric, the code, the kinds; not a word of the statement."""
    before = line.metric("meshgate_violations_total", code="sql_blocked")
    answer = line.chat("ALTER TABLE people ADD iban int")
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert (error["code"], error["sql"]) == ("sql_blocked", ["ddl"])
    assert "people" not in answer.text
    assert "iban" not in answer.text
    assert line.metric("meshgate_violations_total", code="sql_blocked") == before + 1


def test_a_policy_narrows_what_may_pass(line: Line) -> None:
    """A statement that the configuration allows, but the obligation does not, is refused."""
    assert line.chat("DELETE FROM users WHERE id = 3").status_code == 200
    narrowed = line.chat("DELETE FROM users WHERE id = 3", max_tokens=7)
    assert narrowed.json()["error"]["code"] == "sql_blocked"
    assert line.chat("SELECT name FROM users", max_tokens=7).status_code == 200


def test_a_policy_sees_the_statements_of_tool_calls(line: Line) -> None:
    """Only the statements in tool calls of the request's messages, not the texts of users."""
    use = {"id": "c", "type": "function", "function": {"name": "q", "arguments": json.dumps({"q": ["DELETE FROM t"]})}}
    messages = [
        {"role": "user", "content": "DELETE FROM t"},
        {"role": "assistant", "content": None, "tool_calls": [use]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ]
    assert line.chat(messages=messages[:1]).json()["error"]["code"] == "sql_blocked"  # by the answer, not the policy
    denied = line.chat(messages=messages)
    assert (denied.json()["error"]["code"], denied.json()["error"]["rule"]) == ("policy_denied", "no_writes")


def test_a_policy_sees_statements_without_the_section(up: scripted.Upstream, tmp_path: Path) -> None:
    """Rules on SQL hold for a configuration that says nothing of SQL."""
    with running(tmp_path, config(tmp_path, up.url, policy=policies(tmp_path, POLICY))) as plain:
        for sql, status in (("SELECT 1", 200), ("UPDATE users SET a = 1", 403)):
            function = {"name": "send", "arguments": json.dumps({"sql": sql})}
            called = {"id": "c1", "type": "function", "function": function}
            messages = [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "tool_calls": [called]},
                {"role": "tool", "tool_call_id": "c1", "content": "ok"},
            ]
            headers = {"authorization": "Bearer mg-alice"}
            body = {"model": "echo", "messages": messages}
            assert plain.client.post("/v1/chat/completions", json=body, headers=headers).status_code == status


def call(sql: tuple[str, ...] | None = None) -> Call:
    """A call with this obligation."""
    made = calls.call()
    made.authorization.decision = Decision(True, "allow", "v", obligations=Obligations(sql=sql))
    return made


def refused(gate: SqlGate, text: str, sql: tuple[str, ...] | None = None) -> bool:
    """Whether an argument may not pass."""
    try:
        gate.argument(call(sql), text)
    except Refusal as refusal:
        return refusal.code == "sql_blocked"
    return False


@pytest.mark.parametrize(
    ("settings", "text", "stops"),
    [
        ({}, "SELECT a FROM t", False),
        ({}, "SELECT sleep(5)", True),
        ({"allow": ["update"]}, "UPDATE t SET a = 1", True),
        ({"allow": ["update"], "require_where": False}, "UPDATE t SET a = 1", False),
        ({"allow": ["update"]}, "UPDATE t SET a = 1 WHERE b = 2", False),
        ({"require_limit": 10}, "SELECT a FROM t", True),
        ({"require_limit": 10}, "SELECT a FROM t LIMIT 11", True),
        ({"require_limit": 10}, "SELECT a FROM t LIMIT 10", False),
        ({"require_limit": 10}, "SELECT count(*) FROM t", False),
        ({"deny_tables": ["hr.*"]}, "SELECT a FROM hr.people", True),
        ({"deny_tables": ["people"]}, 'SELECT a FROM t JOIN "HR"."People" p ON p.i = t.i', True),
        ({"deny_tables": ["people"]}, "SELECT a FROM t WHERE i IN (SELECT i FROM people)", True),
        ({"deny_tables": ["people"], "allow": ["call"]}, "EXEC dbo.copy @from = 'people'", True),
        ({"deny_tables": ["people"]}, "SELECT people FROM t", False),
        ({"deny_columns": ["ssn"]}, "SELECT a FROM t ORDER BY ssn", True),
        ({"deny_columns": ["ssn"]}, "SELECT t FROM t", True),
        ({"deny_columns": ["ssn"]}, "SELECT count(*) FROM t", False),
        ({"deny_columns": ["users.ssn"]}, "SELECT u.ssn FROM users u", True),
        ({"deny_columns": ["users.ssn"]}, "SELECT * FROM users", True),
        ({"deny_columns": ["users.ssn"]}, "SELECT * FROM orders", False),
        ({"deny_columns": ["users.ssn"]}, "SELECT o.ssn FROM orders o, users u", False),
        ({"max_chars": 256}, "SELECT " + "a, " * 100 + "b FROM t", True),
        ({"dialect": "mysql"}, r"SELECT '\'; DROP TABLE x; --' FROM t", False),
        ({}, r"SELECT '\'; DROP TABLE x; --' FROM t", True),
    ],
)
def test_the_rules(settings: dict[str, Any], text: str, stops: bool) -> None:
    """Each key of the section."""
    assert refused(SqlGate(Sql.model_validate(settings)), text) is stops


def test_a_list_is_short_for_what_is_allowed() -> None:
    """The short form and the long one."""
    assert Output.model_validate({"sql": ["select"]}).sql == Sql(allow=("select",))
    assert Output.model_validate({"sql": {"dialect": "mysql"}}).sql == Sql(dialect="mysql")
    assert Output().sql is None


def test_without_a_section_only_what_a_policy_demands() -> None:
    """Without an obligation there is no gate; with one, the gate judges by the obligation alone."""
    gate = SqlGate(None)
    assert gate.demanded(call()) == ()
    assert gate.demanded(call(("select",))) == (gate,)
    assert refused(gate, "DELETE FROM t WHERE a = 1", ("select",))
    assert not refused(gate, "DELETE FROM t", ("select", "delete"))


def test_policies_are_told_no_values() -> None:
    """Literals are `?`, and text in double quotes is not reported as a name."""
    facts = SqlFacts(SqlGate(Sql()))
    nested = Nested({}, "arguments", {})
    text = "SELECT a FROM users WHERE mail = 'ann@example.org' AND name = \"Ann\" AND ssn = 123456789"
    slots = [Slot({}, "q", text, "assistant", nested), Slot({}, "content", "DROP TABLE x", "user", None)]
    assert (
        facts.of(slots)
        == facts.of(slots)
        == [
            {
                "statement": "SELECT a FROM users WHERE mail = ? AND name = ? AND ssn = ?",
                "kind": "select",
                "kinds": ["select"],
                "tables": ["users"],
                "columns": ["a", "mail", "name", "ssn"],
                "writes": False,
                "readable": True,
            }
        ]
    )


def test_the_shipped_configuration_reads_sql(tmp_path: Path) -> None:
    """`make run` checks SQL; the file says what it allows."""
    from gateway.config.load import load

    loaded = load(Path(__file__).parents[1] / "config" / "gateway.yaml", {})
    assert loaded.config.output is not None
    assert loaded.config.output.sql is not None
