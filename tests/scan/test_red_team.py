"""Ways to smuggle a card number, an address, a key or a `DROP TABLE` past the filter, each run through the real line.

A way is caught if the value arrives in none of the places where it is tried: at the upstream if a request
carries it, at the caller if an answer does, whole or streamed. `NOT_CAUGHT` names the others and why; the README
repeats that table, and a way that is listed there, but is caught, fails the test.
"""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import line as lines
import upstream as scripted

ROOT = Path(__file__).parents[2]
MAIL, CARD, KEY = "maria.lopez@example.com", "4111111111111111", "sk-ant-api03-a8Fj3kL9sQ2xZ7mNbV5cR1tY"
DROP = "DROP TABLE users"

Place = Callable[[lines.Line, scripted.Upstream, str], str]


def based(text: str | bytes) -> str:
    """In base64."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def shifted(text: str, offset: int) -> str:
    """The digits and letters as those of another block of Unicode."""
    return "".join(chr(ord(char) + offset) for char in text)


# Where a text can stand. Each place gives what arrived.


def asked(line: lines.Line, up: scripted.Upstream, body: dict[str, Any]) -> str:
    """The request as the upstream gets it."""
    seen = len(up.seen)
    line.chat("", **{"messages": [{"role": "user", "content": "hello"}], **body})
    return json.dumps(up.last.body, ensure_ascii=False) if len(up.seen) > seen else ""


def answered(line: lines.Line, up: scripted.Upstream, message: dict[str, Any], /, **choice: Any) -> str:
    """The whole answer as the caller gets it."""
    body = scripted.whole({"model": "script", "messages": [{"content": ""}]}, usage=scripted.USAGE)
    body["choices"][0] |= {"message": {"role": "assistant", **message}, **choice}
    up.script["go"] = body
    return said(line.chat("go", "script").json())


def streamed(line: lines.Line, up: scripted.Upstream, *deltas: dict[str, Any], **extra: Any) -> str:
    """The stream as the caller gets it: every field of the choices joined, and everything else unchanged."""
    up.script["go"] = [
        *(scripted.chunk(delta, **extra) for delta in deltas),
        scripted.chunk({}, "stop"),
        scripted.chunk(None, usage=scripted.USAGE),
        b"data: [DONE]\n\n",
    ]
    raw = line.chat("go", "script", stream=True).text
    pieces = [json.loads(part[6:]) for part in raw.split("\n\n") if part.startswith("data: {")]
    running: dict[str, str] = {}
    for piece in pieces:
        for choice in piece.get("choices", ()):
            for field, value in choice["delta"].items():
                running[field] = running.get(field, "") + (value if isinstance(value, str) else said(value))
    return said(running) + said([{k: v for k, v in piece.items() if k != "choices"} for piece in pieces]) + raw


def said(value: Any) -> str:
    """Every string and key of a JSON value, those within JSON strings too."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return value
        return value + "\n" + said(inner) if isinstance(inner, dict | list) else value
    if isinstance(value, dict):
        return "\n".join(f"{key}\n{said(one)}" for key, one in value.items())
    if isinstance(value, list) and not all(isinstance(one, int) for one in value):
        return "\n".join(map(said, value))
    return json.dumps(value)


def in_message(line: lines.Line, up: scripted.Upstream, text: str) -> str:
    """A message of a request."""
    body = {"messages": [{"role": "user", "content": text}]}
    return said(json.loads(asked(line, up, body) or "null"))


def in_answer(line: lines.Line, up: scripted.Upstream, text: str) -> str:
    """The text of an answer."""
    return answered(line, up, {"content": text})


def in_stream(line: lines.Line, up: scripted.Upstream, text: str) -> str:
    """The same, streamed in pieces of three characters."""
    return streamed(line, up, *({"content": text[at : at + 3]} for at in range(0, len(text), 3)))


def in_tool_call(line: lines.Line, up: scripted.Upstream, text: str) -> str:
    """An argument of a tool call, streamed."""
    arguments = json.dumps({"note": text})
    tool = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    pieces = ({"tool_calls": [{"index": 0, "function": {"arguments": char}}]} for char in arguments)
    return streamed(line, up, {"tool_calls": [tool]}, *pieces)


EVERYWHERE: tuple[Place, ...] = (in_message, in_answer, in_stream, in_tool_call)
ANSWERS: tuple[Place, ...] = EVERYWHERE[1:]  # secrets and SQL are looked for in answers

# The ways: text that carries the value, what must not arrive, and where.

TEXTS: dict[str, tuple[str, str, tuple[Place, ...]]] = {
    name: (text, needle or text, EVERYWHERE)
    for name, text, needle in [
        ("as it is", f"card {CARD}", CARD),
        ("in quotes", f'"{MAIL}"', MAIL),
        ("in code", f"```python\nmail = '{MAIL}'\n```", MAIL),
        ("in a comment", f"<!-- {MAIL} -->", MAIL),
        ("in a link", f"[write](mailto:{MAIL})", MAIL),
        ("groups of four", "4111 1111 1111 1111", ""),
        ("full-width digits", shifted(CARD, 0xFEE0), ""),
        ("Arabic digits", shifted(CARD, 0x0630), ""),
        ("mathematical digits", shifted(CARD, 0x1D7CE - 0x30), ""),
        ("enclosed digits", shifted(CARD, 0x245F - 0x30), ""),
        ("full-width letters", "ｍａｒｉａ＠ｅｘａｍｐｌｅ．ｃｏｍ", ""),
        ("mathematical letters", "𝐦𝐚𝐫𝐢𝐚@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐜𝐨𝐦", ""),
        ("Cyrillic letters", "mаriа.lореz@eхаmple.com", ""),
        ("Greek letters", "mαriα@example.com", ""),
        ("zero-width spaces", "\u200b".join(CARD), ""),
        ("zero-width joiners", "\u200d".join(MAIL), ""),
        ("word joiners", "\u2060".join(CARD), ""),
        ("soft hyphens", "\u00ad".join(MAIL), ""),
        ("variation selectors", "\ufe0f".join(CARD), ""),
        ("direction marks", "\u200e".join(CARD), ""),
        ("tag characters between", "\U000e0061".join(CARD), ""),
        ("tag characters alone", shifted(MAIL, 0xE0000), ""),
        ("struck through", "\u0336".join(CARD), ""),
        ("no-break spaces", "4111\u00a01111\u00a01111\u00a01111", ""),
        ("figure dashes", "4111\u20121111\u20121111\u20121111", ""),
        ("percent-encoding", "maria%2Elopez%40example%2Ecom", ""),
        ("percent-encoding, twice", "maria%2540example%252Ecom", ""),
        ("HTML entities", "maria&#64;example&#x2E;com", ""),
        ("HTML entities, named", "maria&commat;example&period;com", ""),
        ("HTML entities, twice", "maria&amp;#64;example.com", ""),
        ("entities, percent-encoded", "maria%26%2364%3Bexample.com", ""),
        ("JSON escapes", "\\u003411111111111\\u0031111", ""),
        ("JSON escapes, twice", "maria\\\\u0040example.com", ""),
        ("octal escapes", "".join(f"\\{ord(char):o}" for char in CARD), ""),
        ("quoted-printable", "maria.lopez=40example.com", ""),
        ("base64", based(f"my card is {CARD}, thanks"), ""),
        ("base64 for URLs", base64.urlsafe_b64encode(f">>??{MAIL}".encode()).decode(), ""),
        ("base64, twice", based(based(f"mail {MAIL}")), ""),
        ("base64, four times", based(based(based(based(f"mail {MAIL}")))), ""),
        ("base64, spaced", re.sub("(....)", r"\1 ", based(f"mail {MAIL}")), ""),
        ("base64, compressed", based(gzip.compress(MAIL.encode())), ""),
        ("base64 in a data URL", "data:text/plain;base64," + based(f"mail {MAIL}"), ""),
        ("base32", base64.b32encode(MAIL.encode()).decode(), ""),
        ("hexadecimal", MAIL.encode().hex(), ""),
        ("hexadecimal, spaced", MAIL.encode().hex(" "), ""),
        ("ASCII codes", " ".join(str(ord(char)) for char in CARD), ""),
        ("ROT13", codecs.encode(MAIL, "rot13"), ""),
        ("backwards", CARD[::-1].replace("4", "4", 1), ""),
        ("number words", "four one one one " + "one " * 12, ""),
        ("letters for digits", CARD.replace("1", "l"), ""),
        ("a space after each digit", " ".join(CARD), ""),
        ("a dot after each digit", ".".join(CARD), ""),
        ("dots between groups", "4111.1111.1111.1111", ""),
        ("markup between groups", "4111<b></b>1111<b></b>1111<b></b>1111", ""),
        ("halves with words between", f"{CARD[:8]} and then {CARD[8:]}", ""),
        ("joined by a program", f"'{CARD[:8]}' + '{CARD[8:]}'", ""),
        ("spelled out in brackets", "maria [at] example [dot] com", ""),
        ("spelled out in words", "maria at example dot com", ""),
        ("Chinese around", f"联系{MAIL}谢谢", MAIL),
        ("Korean around", f"메일은{MAIL}으로", MAIL),
        ("Thai around", f"อีเมล{MAIL}ครับ", MAIL),
        ("Chinese around a card", f"卡号{CARD}有效", CARD),
        ("letters around a card", f"card{CARD}x", CARD),
    ]
} | {
    name: (text, needle or text, ANSWERS)
    for name, text, needle in [
        ("a key", f"use {KEY}", KEY),
        ("a key, zero-width spaces", "\u200b".join(KEY), ""),
        ("a key in base64", based(f"key {KEY}"), ""),
        ("a key, a Cyrillic letter", KEY.replace("a", "а", 1), ""),
        ("a key, percent-encoded", KEY.replace("-", "%2D"), ""),
        ("a key in two halves", f"{KEY[:16]} + {KEY[16:]}", ""),
        ("SQL", f"{DROP};", DROP),
        ("SQL in code", f"```sql\n{DROP};\n```", DROP),
        ("SQL, mixed case", "dRoP tAbLe users;", ""),
        ("SQL, comments for spaces", "DROP/**/TABLE/**/users;", ""),
        ("SQL, a versioned comment", "/*!50000 DROP TABLE users */;", ""),
        ("SQL after a harmless one", f"SELECT 1; {DROP};", DROP),
        ("SQL after a line comment", f"-- clean up\n{DROP};", DROP),
        ("SQL, line breaks", "DROP\n\tTABLE\n\tusers;", ""),
        ("SQL in a shell command", f'psql -c "{DROP}"', DROP),
        ("SQL in dynamic SQL", f"EXECUTE IMMEDIATE '{DROP}';", DROP),
        ("SQL, a write in a CTE", "WITH x AS (DELETE FROM users RETURNING *) SELECT * FROM x;", ""),
        ("SQL, full-width", shifted("DROP", 0xFEE0) + " " + shifted("TABLE", 0xFEE0) + " users;", ""),
        ("SQL, zero-width spaces", "DR\u200bOP TA\u200bBLE users;", "DROP TABLE"),
        ("SQL, Cyrillic letters", "DRОP TАBLE users;", ""),
        ("SQL, percent-encoded", "DROP%20TABLE%20users%3B", ""),
        ("SQL in base64", based(f"{DROP}; -- all of them"), ""),
        ("SQL, joined by a program", "'DR' + 'OP TABLE users'", ""),
    ]
}


def body(**fields: Any) -> Place:
    """A request with these fields."""
    return lambda line, up, _: said(json.loads(asked(line, up, fields) or "null"))


def message(**fields: Any) -> Place:
    """A request whose message has these additional fields."""
    return body(messages=[{"role": "user", "content": "hello", **fields}])


def tool(arguments: Any) -> Place:
    """A request whose history has a tool call with these arguments."""
    function = {"name": "f", "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
    call = {"id": "c1", "type": "function", "function": function}
    return body(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}])


def answer(message: dict[str, Any], /, **choice: Any) -> Place:
    """A whole answer of this message."""
    return lambda line, up, _: answered(line, up, message, **choice)


def stream(*deltas: dict[str, Any], **extra: Any) -> Place:
    """A streamed answer of these."""
    return lambda line, up, _: streamed(line, up, *deltas, **extra)


SHAPES: dict[str, tuple[str, Place]] = {
    "a JSON number": (CARD, message(card=int(CARD))),
    "a JSON number with a fraction": (CARD, message(card=float(CARD))),
    "a JSON number in arguments": (CARD, tool({"pay": [{"card": int(CARD)}]})),
    "a JSON number in an answer": (CARD, answer({"content": "ok", "meta": {"card": int(CARD)}})),
    "a key of an object": (MAIL, message(people={MAIL: 1})),
    "a key in disguise": ("maria%40example.com", message(people={"maria%40example.com": 1})),
    "a key in arguments": (MAIL, tool({"people": {MAIL: 1}})),
    "a key in an answer": (MAIL, answer({"content": "ok", "people": {MAIL: 1}})),
    "an unknown field": (MAIL, body(x_notes=[{"deep": [MAIL]}])),
    "the user field": (MAIL, body(user=MAIL)),
    "a name": (MAIL, message(name=MAIL)),
    "an id": (MAIL, body(messages=[{"role": "tool", "tool_call_id": MAIL, "content": "x"}])),
    "a description of a tool": (
        MAIL,
        body(tools=[{"type": "function", "function": {"name": "f", "description": f"mails {MAIL}"}}]),
    ),
    "a schema": (
        MAIL,
        body(
            tools=[
                {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"enum": [MAIL]}}}}}
            ]
        ),
    ),
    "a stop sequence": (MAIL, body(stop=[MAIL])),
    "a part of a message": (MAIL, message(content=[{"type": "text", "text": MAIL}])),
    "a part nobody knows": (MAIL, message(content=[{"type": "memo", "memo": {"body": MAIL}}])),
    "a picture": (
        based(MAIL),
        message(content=[{"type": "image_url", "image_url": {"url": "data:x;base64," + based(MAIL)}}]),
    ),
    "JSON in arguments in JSON": (MAIL, tool({"raw": json.dumps({"to": MAIL.replace("@", "\\u0040")})})),
    "arguments that are no JSON": (MAIL, tool("{to: " + MAIL)),
    "over two messages": (
        CARD,
        lambda line, up, _: "".join(
            one["content"]
            for one in json.loads(
                asked(line, up, {"messages": [{"role": "user", "content": part} for part in (CARD[:8], CARD[8:])]})
            )["messages"]
        ),
    ),
    "over two keys": (
        CARD,
        lambda line, up, _: "".join(json.loads(asked(line, up, {"a": {"x": CARD[:8], "y": CARD[8:]}}))["a"].values()),
    ),
    "over chunks": (CARD, stream(*({"content": char} for char in f"card {CARD}."))),
    "over chunks, an empty one between": (KEY, stream({"content": KEY[:9]}, {"content": ""}, {"content": KEY[9:]})),
    "over chunks of arguments": (DROP, lambda line, up, _: in_tool_call(line, up, DROP)),
    "over two fields": (
        CARD,
        lambda line, up, _: re.sub(
            r"[^\d]",
            "",
            streamed(line, up, *({field: CARD[at : at + 8]} for at, field in ((0, "content"), (8, "refusal")))),
        ),
    ),
    "beyond the window": (CARD, stream({"content": CARD[:8]}, {"content": "\u200b" * 400}, {"content": CARD[8:]})),
    "a refusal": (MAIL, stream({"refusal": f"not {MAIL}"})),
    "a line of thought": (MAIL, stream({"reasoning_content": f"it is {MAIL}"})),
    "an unknown field of a stream": (KEY, stream({"content": "ok", "x_notes": {"a": [KEY]}})),
    "an unknown field of a chunk": (KEY, stream({"content": "ok"}, notes=f"k {KEY}")),
    "log probabilities": (KEY, answer({"content": "ok"}, logprobs={"content": [{"token": KEY, "logprob": -1}]})),
    "log probabilities, in bytes": (
        str(list(KEY.encode())),
        answer({"content": "ok"}, logprobs={"content": [{"token": "ok", "bytes": list(KEY.encode()), "logprob": -1}]}),
    ),
    "alternatives of a token": (
        KEY,
        answer(
            {"content": "ok"},
            logprobs={"content": [{"token": "ok", "logprob": -1, "top_logprobs": [{"token": KEY, "logprob": -2}]}]},
        ),
    ),
    "the fingerprint": (KEY, stream({"content": "ok"}, system_fingerprint=KEY)),
    "the name of a tool": (
        MAIL,
        answer({"content": None, "tool_calls": [{"id": "1", "function": {"name": MAIL, "arguments": "{}"}}]}),
    ),
    "the id of a tool call": (
        MAIL,
        answer({"content": None, "tool_calls": [{"id": MAIL, "function": {"name": "f", "arguments": "{}"}}]}),
    ),
    "the reason of the end": (MAIL, answer({"content": "ok"}, finish_reason=MAIL)),
}

ENCODED = "other encodings than those named above, or more than two of them one inside the other"
SPELLED = "values that are spelled out, reversed, or separated by visible characters"
APART = "values divided over messages, fields, keys or strings that must be joined"
SQL = "SQL that is encoded or divided; only SQL that a database would read as written is found"
NOT_CAUGHT: dict[str, str] = {
    **dict.fromkeys(
        (
            "entities, percent-encoded",
            "octal escapes",
            "quoted-printable",
            "base64, four times",
            "base64, spaced",
            "base64, compressed",
            "base32",
            "hexadecimal, spaced",
            "ASCII codes",
            "ROT13",
        ),
        ENCODED,
    ),
    **dict.fromkeys(
        (
            "backwards",
            "number words",
            "spelled out in words",
            "letters for digits",
            "markup between groups",
            "halves with words between",
            "letters around a card",
        ),
        SPELLED,
    ),
    **dict.fromkeys(
        ("joined by a program", "a key in two halves", "over two messages", "over two keys", "over two fields"), APART
    ),
    "beyond the window": "a value in a stream that is longer than `output.window` because of invisible characters",
    **dict.fromkeys(
        ("SQL, Cyrillic letters", "SQL, percent-encoded", "SQL in base64", "SQL, joined by a program"), SQL
    ),
}
CASES = {**TEXTS, **{name: (value, value, (place,)) for name, (value, place) in SHAPES.items()}}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[lines.Line]:
    """The line with everything on that reads content."""
    output = {"secrets": "block", "pii": "redact", "sql": ["select"]}
    settings = lines.config(tmp_path_factory.mktemp("line"), up.url, pii={}, output=output)
    with lines.running(tmp_path_factory.mktemp("config"), settings) as running:
        yield running


def test_there_are_enough() -> None:
    """At least sixty ways with unique names; every way that is not caught has a reason."""
    assert len(CASES) == len(TEXTS) + len(SHAPES) >= 60
    assert set(NOT_CAUGHT) <= set(CASES)


def test_the_readme_names_what_is_not_caught() -> None:
    """Each reason is listed among the limits, with all its ways."""
    limits = re.sub(r"\s+", " ", (ROOT / "README.md").read_text().partition("## Known limits")[2])
    for reason in dict.fromkeys(NOT_CAUGHT.values()):
        ways = ", ".join(name for name, why in NOT_CAUGHT.items() if why == reason)
        assert f"{reason} ({ways})" in limits


@pytest.mark.parametrize("name", CASES)
def test_way(line: lines.Line, up: scripted.Upstream, name: str) -> None:
    """Caught in all places, or listed as not caught."""
    text, value, places = CASES[name]
    arrived = [getattr(place, "__name__", "") for place in places if value in place(line, up, text)]
    assert bool(arrived) == (name in NOT_CAUGHT), f"arrived by: {arrived}"
