"""Hostile answers: all kinds of findings at once, whole and in pieces; and answers that need too much work."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from gateway.call import Redaction
from gateway.config.sections import Output, Sql
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import placeholders
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.sql import find
from gateway.detect.sql.inject import Breakout
from gateway.dialects import toolcalls
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output import screen
from gateway.output.exfiltration import Exfiltration
from gateway.output.invisible import Invisible
from gateway.output.screen import AnswerFilter, Screen
from gateway.output.sqlgate import SqlGate
from gateway.redaction.texts import Texts
from gateway.scheduling import judging
from gateway.texts import Slot

RESTORE = {
    "<EMAIL_1>": "ann@example.org",
    "<PHONE_2>": "+1 415 555 0132",
    "<SECRET_3>": "x'; DROP TABLE users; --",
    "<LITERAL_4>": "<EMAIL_1>",
}
PIECES = (
    *RESTORE,
    *("EMAIL_1", "[phone 2]", "&lt;EMAIL_1&gt;", "%3CEMAIL_1%3E", "<EMAIL_9>", "\\u003cEMAIL_1\\u003e"),
    *("bob@example.net", "ann@example.org", "4111 1111 1111 1111", "+49 30 901820", "\u0430nn@example.net"),
    *("ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "AKIA", "sk-", "password=hunter2hunter2"),
    *("SELECT a FROM t;", "drop table users;", "DELETE FROM t", "update", "select", "with x as (", "/*!", "```sql\n"),
    *("https://example.org/a", "![i](https://evil.example/?d=", "<img src=//e.example/", "javascript:", "](", "//"),
    *("\u200b", "\u200d", "\u202e", "\u2066", "\U000e0041", "\U0001f3f4", "\ufe0f", "\u0633"),
    *(
        "\n\n",
        "\n",
        " ",
        ";",
        "'",
        '"',
        "`",
        "(",
        ")",
        "<",
        ">",
        ".",
        ",",
        "1",
        "the",
        "and",
        "Gr\u00f6\u00dfe",
        "\u4e2d\u6587",
    ),
)


@pytest.fixture(scope="module")
def screens(pii: PiiScanner) -> dict[str, Screen]:
    """Screens with all rules, one blocking and one redacting."""
    scanner = StreamScanner(
        pii,
        SecretScanner(),
        {placeholders.PLACEHOLDER: placeholders.WRITTEN},
        weak={placeholders.LIKE: placeholders.SPELLINGS},
    )
    sql = SqlGate(Sql(dialect="postgres"))
    made = {}
    for name, given_ in (("block", {"pii": "block", "invisible": "block"}), ("redact", {"secrets": "redact"})):
        wanted = Output.model_validate(given_)
        assert wanted.invisible != "allow"
        gates = (Invisible(wanted.invisible), Exfiltration(), sql)
        made[name] = Screen(wanted, scanner, lambda _: False, gates)
    return made


def screened(screen: Screen) -> AnswerFilter:
    """The filter of an answer to a call whose request contained some values."""
    call = calls.call()
    call.redaction = Redaction(restore=RESTORE, known=frozenset(list(RESTORE.values())[:3]))
    return screen.filter(call)


def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    """One chunk."""
    body = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def stream(made: AnswerFilter, events: list[bytes]) -> list[Any]:
    """The JSON of what a client receives."""
    codec = OPENAI_CHAT.stream(keep_usage=False)
    sent = [part for raw in events for chunk in codec.feed(raw) for part in made.feed(chunk, codec)]
    sent += made.close(codec)
    return [json.loads(part[6:]) for raw in sent for part in raw.decode().split("\n\n") if part.startswith("data: {")]


def whole(made: AnswerFilter, text: str) -> str:
    """The text as the caller gets it, or the reason of the block."""
    try:
        return made.text(text)
    except Refusal as refusal:
        return f"refused: {refusal.code}"


def flowing(made: AnswerFilter, parts: list[str]) -> str:
    """The same of a text in pieces."""
    try:
        received = stream(made, [*(event({"content": part}) for part in parts), event({}, "stop")])
    except Refusal as refusal:
        return f"refused: {refusal.code}"
    return "".join(choice["delta"].get("content") or "" for one in received for choice in one["choices"])


@pytest.mark.parametrize("action", ["block", "redact"])
@settings(max_examples=examples(50, nightly=1500), deadline=None)
@given(said=st.lists(st.sampled_from(PIECES), max_size=12), places=st.lists(st.integers(0, 400), max_size=40))
def test_any_cut_is_treated_as_the_whole(
    screens: dict[str, Screen], action: str, said: list[str], places: list[int]
) -> None:
    """Secrets, personal data, placeholders, SQL, URLs and invisible characters at once: one result for every cut."""
    text = "".join(said)
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    parts = [text[low:high] for low, high in pairwise(marks)]
    expected = whole(screened(screens[action]), text)
    got = flowing(screened(screens[action]), parts)
    # Of several reasons to stop an answer the one counts that comes first.
    assert got == expected or (got.startswith("refused") and expected.startswith("refused"))


def test_a_tool_call_in_a_great_many_pieces(screens: dict[str, Screen]) -> None:
    """A tool call in single characters is assembled in linear time: functions and custom tools alike."""
    said = json.dumps({"text": "word <EMAIL_1> " * 10})
    for kind, field in (("function", "arguments"), ("custom", "input")):
        head = event({"tool_calls": [{"index": 0, "id": "c1", "type": kind, kind: {"name": "note", field: ""}}]})
        parts = [event({"tool_calls": [{"index": 0, kind: {field: char}}]}) for char in said]
        received = stream(screened(screens["redact"]), [head, *parts, event({}, "tool_calls")])
        calls = [call for one in received for call in one["choices"][0]["delta"].get("tool_calls") or ()]
        assert [call[kind]["name"] for call in calls] == ["note"]
        assert json.loads(calls[0][kind][field])["text"] == "word ann@example.org " * 10


@pytest.mark.parametrize("what", ["long", "many calls", "many texts", "names"])
def test_an_answer_cannot_be_held_without_end(
    screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Tool calls and texts that never end, or never end to begin, are stopped before they fill the memory."""
    monkeypatch.setattr(toolcalls, "LONGEST", 4096)
    monkeypatch.setattr(toolcalls, "MOST", 16)
    monkeypatch.setattr(screen, "MAX_RUNS", 16)
    events = {
        "long": [event({"tool_calls": [{"index": i % 2, "function": {"arguments": "a" * 50}}]}) for i in range(99)],
        "many calls": [event({"tool_calls": [{"index": i, "function": {"name": "f"}}]}) for i in range(99)],
        "many texts": [event({"content": "x"}).replace(b'"index": 0', b'"index": %d' % i) for i in range(99)],
        "names": [event({"tool_calls": [{"index": 0, "function": {"name": "n" * 999}}]}) for _ in range(99)],
    }[what]
    with pytest.raises(Refusal) as refused:
        stream(screened(screens["redact"]), events)
    assert refused.value.code == "output_blocked"


def test_choices_are_bounded() -> None:
    """No provider answers with more choices than a request may ask for."""
    codec = OPENAI_CHAT.stream(keep_usage=False)
    events = [event({"content": ""}).replace(b'"index": 0', b'"index": %d' % index) for index in range(200)]
    with pytest.raises(ValueError, match="128 choices"):
        list(codec.feed(b"".join(events)))


HARD = {
    "statements": "SELECT a FROM t WHERE (((b = {n})));\n",
    "openings": "insert into x{n}(",
    "comments": "update /**/ x{n} ",
    "grants": "grant select on a{n} ",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("size", [5, 997])
def test_reading_sql_takes_so_much_and_no_more(screens: dict[str, Screen], name: str, size: int) -> None:
    """Statements beyond what one answer may take are refused, in whole texts, arguments and streams."""
    text = "".join(HARD[name].format(n=n) for n in range(4000))
    for judge in (lambda made: made.text(text), lambda made: flowing(made, _pieces(text, size))):
        made = screened(screens["redact"])
        with_refusal = whole_or_code(lambda made=made, judge=judge: judge(made))
        assert with_refusal == "refused: sql_blocked"
        assert made.screening.effort < find.EFFORT * 1.5


def whole_or_code(judge: Any) -> str:
    """The result of a judge."""
    try:
        said: str = judge()
    except Refusal as refusal:
        return f"refused: {refusal.code}"
    return said


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def test_a_review_full_of_statements_passes(screens: dict[str, Screen]) -> None:
    """A hundred short statements in a row are an ordinary file of queries."""
    text = "".join(f"SELECT name FROM places WHERE id = {n};\n" for n in range(100))
    assert screened(screens["redact"]).text(text) == text


@pytest.mark.parametrize("text", ["1 or 1=" + "(" * 40 + "1" + ")" * 40, "' or " + "(" * 30 + "1=1" + ")" * 30 + " --"])
def test_a_piece_that_is_nested_too_deep_to_parse_breaks_out(text: str) -> None:
    """Text that is nested too deeply for the parser is not treated as harmless."""
    assert Breakout("postgres")(text)
    assert not Breakout("postgres")(orjson.dumps({"n": 1}).decode())


@pytest.mark.parametrize(
    ("text", "aside"),
    [
        ("word " * 400, False),
        ("word " * 4000, False),
        ("4 4 4 " * 4000, True),
        ("a@b.example " * 2000, True),
        ("word " * 40_000, True),
    ],
)
def test_what_takes_long_leaves_the_event_loop(text: str, aside: bool) -> None:
    """Much new text goes to a thread, and text with many findings; the prose of a usual call does not."""
    body = {"messages": [{"role": "user", "content": text}]}
    slots = [Slot(body, "content", text, "user", None)]
    call = calls.call(raw=json.dumps(body).encode(), slots=slots)
    assert judging.takes_long(call, lambda: Texts(len, None).fresh(slots)) is aside
