"""Statements with optional parts are recognized; words of prose and packages are not statements."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

import calls
from gateway.call import Json
from gateway.config.sections import Output, Sql
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import PLACEHOLDER, WRITTEN
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects import tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.screen import Screen
from gateway.output.sqlgate import SqlFacts, SqlGate
from gateway.texts import Slot

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
    return FACTS.of([Slot({key: text}, key, text, "assistant", None)])


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


PIECE = "x' OR 1=1 --"  # only an argument is read as a piece of a statement
OBJECTS_OF_ARGUMENTS: list[Any] = [
    {"sql": PIECE},
    {"a": [{"b": {"c": [1, PIECE]}}]},
    [PIECE],
    {"content": PIECE, "role": "user"},
    {"arguments": {"q": PIECE}},
    {"q": json.dumps({"deep": [PIECE]})},
]
CALLS: list[Callable[[Any], Json]] = [
    lambda said: {"tool_calls": [{"id": "c", "index": 0, "function": {"name": "q", "arguments": said}}]},
    lambda said: {"tool_calls": [{"id": "c", "index": 0, "custom": {"name": "q", "input": said}}]},
    lambda said: {"function_call": {"name": "q", "arguments": said}},
    lambda said: {"tool_calls": [{"id": "c", "index": 0, "name": "q", "args": said}]},
    lambda said: {"tool_calls": [{"id": "c", "index": 0, "type": "tool_use", "name": "q", "input": said}]},
]


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """Lets reads pass."""
    scanner = StreamScanner(pii, SecretScanner(), {PLACEHOLDER: WRITTEN})
    return Screen(Output.model_validate({"tools": "any"}), scanner, lambda _: False, (SqlGate(Sql()),))


@pytest.mark.parametrize("make", CALLS)
@pytest.mark.parametrize("said", [*OBJECTS_OF_ARGUMENTS, PIECE, json.dumps({"q": PIECE})], ids=str)
def test_arguments_are_read_in_every_form(screen: Screen, make: Callable[[Any], Json], said: Any) -> None:
    """As an object, as JSON in a string, as text: in the request's history, in answers, whole and streamed."""
    message = {"role": "assistant", "content": None, **make(said)}
    body = {"model": "m", "messages": [{"role": "user", "content": "Go."}, message]}
    _, survey = tree.parse(json.dumps(body).encode(), OPENAI_CHAT.shape, 64)
    assert [fact["kind"] for fact in FACTS.of(survey.slots)] == ["fragment"]
    made = screen.filter(calls.call())
    with pytest.raises(Refusal, match="fragment"):
        made.whole(
            {"id": "c", "choices": [{"index": 0, "message": copy.deepcopy(message), "finish_reason": "tool_calls"}]}
        )
    made = screen.filter(calls.call())
    codec = OPENAI_CHAT.stream(keep_usage=False)
    chunk = {"id": "c", "choices": [{"index": 0, "delta": make(said), "finish_reason": "tool_calls"}]}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    with pytest.raises(Refusal, match="fragment"):
        b"".join(part for one in codec.feed(events) for part in made.feed(one, codec))


def test_what_describes_arguments_is_none() -> None:
    """The schema of a tool has a property of that name."""
    schema = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "DROP TABLE x; and the like"}},
    }
    body = {"messages": [], "tools": [{"type": "function", "function": {"name": "q", "parameters": schema}}]}
    _, survey = tree.parse(json.dumps(body).encode(), OPENAI_CHAT.shape, 64)
    assert FACTS.of(survey.slots) == []


@pytest.mark.parametrize(
    "text",
    [
        *("deny select on t to x", "deny all on dbo.t to x", "deny select, insert on t to x cascade"),
        *("disable trigger trg on t", "enable trigger a.trg on t", "disable trigger a, b on t"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "Run this:\n{}\nThanks", "{};"])
def test_rights_and_triggers_in_small_letters(text: str, around: str) -> None:
    """A line of its own is a statement."""
    assert any(fact["writes"] for fact in facts(around.format(text)))


@pytest.mark.parametrize(
    "text",
    [
        *("deny access to them", "deny all requests to the server", "- deny all requests to users"),
        *("disable trigger warnings on posts", "enable the trigger on the camera"),
        *("USE strict;\nUSE warnings;\nmy $x = 1;", "use strict;", "USE utf8;", "USE iso_c_binding;", "USE 5.010;"),
    ],
)
def test_rights_and_triggers_of_prose_and_pragmas_of_perl(text: str) -> None:
    """Words, and modules of Perl and Fortran, are not statements."""
    assert not facts(text)


def test_shutdown_alone_is_a_statement() -> None:
    """In capitals, as a whole argument."""
    assert facts("SHUTDOWN")[0]["writes"]
    assert facts(" SHUTDOWN\n")
    assert not facts("shutdown")
    assert not facts("The SHUTDOWN took an hour")


@pytest.mark.parametrize(
    "key", ["DROP TABLE users", "drop table users;", "DELETE FROM a", "delete from users where 1=1"]
)
@pytest.mark.parametrize("form", ["{{{}: 1}}", '{{"a": {{{}: "x"}}}}', '[{{{}: ""}}]'])
def test_a_key_of_arguments_is_read(key: str, form: str) -> None:
    """The name of an argument reaches the tool as well as its value."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": form.format(json.dumps(key))}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    _, survey = tree.parse(json.dumps(body).encode(), OPENAI_CHAT.shape, 100)
    assert any(fact["writes"] for fact in FACTS.of(survey.slots))
