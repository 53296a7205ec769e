"""Values under keys that name them: digits in strings, numbers, elements of lists and keys, at any depth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
import upstream as scripted
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import leads, tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_tables import SHAPE
from gateway.output.screen import Screen
from gateway.redaction.texts import Texts
from gateway.texts import after
from line import Line, config, running

SSN = "219099998"
NAMED: dict[str, tuple[Any, str]] = {
    "string": ({"ssn": SSN}, SSN),
    "number": ({"ssn": int(SSN)}, SSN),
    "negative": ({"ssn": -int(SSN)}, SSN),
    "minus": ({"ssn": f"-{SSN}"}, SSN),
    "camel": ({"customerSsn": SSN}, SSN),
    "snake": ({"customer_ssn": SSN}, SSN),
    "kebab": ({"social-security-number": SSN}, SSN),
    "capitals": ({"SSN": SSN}, SSN),
    "list": ({"ssns": [SSN, "219099997"]}, SSN),
    "below": ({"customer": {"ssn": {"value": SSN}}}, SSN),
    "below number": ({"customer": {"ssn": {"value": int(SSN)}}}, SSN),
    "of several": ({"ssn": {"applicant": SSN, "spouse": "219099997"}}, "219099997"),
    "list below": ({"ssn": {"values": [{"text": SSN}]}}, SSN),
    "named beside": ({"fields": [{"name": "ssn", "value": SSN}]}, SSN),
    "number named beside": ({"label": "Passport number", "value": 340020013}, "340020013"),
    "key": ({"ssns": {SSN: "Ann"}}, SSN),
    "phone": ({"phoneNumber": "4155550132"}, "4155550132"),
    "phone below": ({"phone": {"home": "4155550132"}}, "4155550132"),
    "passport": ({"passportNo": "340020013"}, "340020013"),
    "passport below": ({"passport": {"number": "340020013"}}, "340020013"),
    "written together": ({"passportnumber": "340020013"}, "340020013"),
    "account": ({"bank_account_number": "123456789012"}, "123456789012"),
    "tax": ({"taxId": "12345678911"}, "12345678911"),
    "tax below": ({"tax": {"id": "12-3456789"}}, "12-3456789"),
    "birth": ({"birthDate": "1984-03-12"}, "1984-03-12"),
    "birth below": ({"birth": {"date": "1984-03-12"}}, "1984-03-12"),
    "licence": ({"driver_license": "D1234567"}, "D1234567"),
    "personal number": ({"personnummer": "8112189876"}, "8112189876"),
    "card": ({"card": "4539 1488 0343 6467"}, "4539 1488 0343 6467"),
    "iban": ({"iban": "DE89370400440532013000"}, "DE89370400440532013000"),
    "routing": ({"routing_number": "021000021"}, "021000021"),
}
HARMLESS_KEYS = (
    *(
        "id",
        "count",
        "order_id",
        "total",
        "price",
        "amount",
        "timestamp",
        "created_at",
        "version",
        "build",
        "size",
        "seed",
    ),
    *("offset", "port", "index", "sku", "user_id", "request_id", "trace", "commit", "duration_ms", "balance", "limit"),
    *("phone_count", "cardVersion", "tax_amount", "account-balance", "ssn_length", "member_count", "business", "piano"),
    *("discard", "company", "cancelled", "panel", "single", "notation", "expires", "updated", "epoch", "width", "x"),
)
HARMLESS_VALUES = (
    *(SSN, "123456789", "1763749399", "1763749399000", "4155550132", "340020013", "2024-10-22", "12.5.20241022"),
    *("1299.99", "1,234,567.89", "2024-10-22T08:51:06Z", "123456789012", "D1234567", "20241022", "8112189876"),
)


def found(pii: PiiScanner, body: Any) -> list[str]:
    """The values that are found in a request, without the words before them."""
    survey = tree.parse(orjson.dumps({"x_data": body}), SHAPE, 64)[1]
    texts = Texts(len, pii.scan).find(survey.slots)
    return [slot.text[one.start : one.end] for slot, findings in texts for one in findings]


@pytest.mark.parametrize("name", NAMED)
def test_a_value_is_judged_with_its_key(pii: PiiScanner, name: str) -> None:
    """Without the key it would be any digits."""
    body, value = NAMED[name]
    assert value in found(pii, body)


@pytest.mark.parametrize("name", NAMED)
def test_in_json_in_a_string(pii: PiiScanner, name: str) -> None:
    """The arguments of a tool call."""
    body, value = NAMED[name]
    assert value in found(pii, [{"arguments": json.dumps({"of": [body]})}])


@pytest.mark.parametrize("value", HARMLESS_VALUES)
def test_other_keys_name_no_number(pii: PiiScanner, value: str) -> None:
    """The findings are those of the value alone, also of a number and below other keys."""
    alone = found(pii, [value])
    for key in HARMLESS_KEYS:
        for body in (
            {key: value},
            {"record": {key: value}},
            {key: [value]},
            {key: {"value": value}},
            {"name": key, "value": value},
        ):
            assert found(pii, body) == alone, body
        if value.isdecimal() and not alone:
            assert found(pii, {key: int(value)}) == []


@pytest.mark.parametrize("key", ["ssn", "phone", "account", "passport", "birth", "tax", "card"])
@pytest.mark.parametrize("measure", ["count", "created_at", "amount", "version", "currency", "limit", "expires"])
def test_measures_of_a_thing_are_no_numbers_of_it(key: str, measure: str) -> None:
    """Neither as one key nor below it."""
    if (key, measure) != ("birth", "created_at"):
        assert leads.of(f"{key}_{measure}") == leads.of(measure, (key, ())) == ""


def test_an_object_has_other_fields() -> None:
    """The id of an account is not the number of the account; the id of a tax payer is the number."""
    assert leads.of("id", ("account", ())) == leads.of("holder", ("card", ())) == ""
    assert leads.of("id", ("tax", ())) == "tax id "
    assert leads.along("customer.ssn[].value") == leads.along("choice:ssn") == "ssn "


@given(value=st.text("0123456789-. AB", max_size=24), lead=st.sampled_from(["ssn ", "phone number ", "bank account "]))
def test_words_before_a_text_are_no_part_of_it(pii: PiiScanner, value: str, lead: str) -> None:
    """Findings are places in the text."""
    for one in after(lead, value, pii.scan):
        assert 0 <= one.start < one.end <= len(value)


@given(
    value=st.sampled_from([SSN, "219-09-9998", "4155550132", "123456789012", "no digits", "x 12345678"]), cuts=st.data()
)
def test_streams_find_the_same(pii: PiiScanner, streams: StreamScanner, value: str, cuts: st.DataObject) -> None:
    """With any cut, after the same words."""
    lead = "account number "
    marks = sorted({0, len(value), *cuts.draw(st.lists(st.integers(0, len(value)), max_size=5))})
    window, at, told = streams.window(256, lead), 0, []
    segments = [window.feed(value[low:high]) for low, high in pairwise(marks)]
    for segment in [*segments, window.close()]:
        told += [(one.start + at, one.end + at, one.entity) for one in segment.findings]
        at += len(segment.text)
    assert at == len(value)
    assert told == [one[:3] for one in after(lead, value, streams.scan)]


def answered(streams: StreamScanner, message: dict[str, Any], cuts: list[int]) -> list[str]:
    """A message of an answer as a caller gets it: whole, and in pieces of each string."""
    screen = Screen(Output(pii="redact", tools="any"), streams, lambda _: False)
    whole = {"id": "c", "choices": [{"index": 0, "message": json.loads(json.dumps(message)), "finish_reason": "stop"}]}
    screen.filter(calls.call()).whole(whole)
    judge, codec = screen.filter(calls.call()), OPENAI_CHAT.stream(keep_usage=False)
    events = [*(event(piece) for piece in pieces(message, cuts)), b"data: [DONE]\n\n"]
    sent = [part for raw in events for chunk in codec.feed(raw) for part in judge.feed(chunk, codec)]
    return [json.dumps(whole), b"".join([*sent, *judge.close(codec)]).decode()]


def event(delta: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def pieces(message: dict[str, Any], cuts: list[int]) -> Iterator[dict[str, Any]]:
    """The deltas of a message with one field."""
    [(key, value)] = message.items()
    for part in split(value, cuts) if key != "tool_calls" else [value]:
        yield {key: part}


def split(value: Any, cuts: list[int]) -> list[Any]:
    """A value in parts with one piece of its text each."""
    if isinstance(value, str):
        return [value[low:high] for low, high in pairwise([0, *sorted({min(cut, len(value)) for cut in cuts}), None])]
    if isinstance(value, dict):
        return [{key: part} for key, inner in value.items() for part in split(inner, cuts)]
    if isinstance(value, list):
        return [[part] for inner in value for part in split(inner, cuts)]
    return [value]


@given(
    message=st.sampled_from(
        [
            {"ssn": SSN},
            {"x_data": {"ssn": SSN}},
            {"customer": {"socialSecurity": {"value": SSN}}},
            {"x_list": [{"index": 0, "ssn": SSN}]},
            {"ssns": [SSN]},
        ]
    ),
    cuts=st.lists(st.integers(1, 9), max_size=3),
)
def test_fields_of_answers(streams: StreamScanner, message: dict[str, Any], cuts: list[int]) -> None:
    """Fields of any name, whole and streamed."""
    for told in answered(streams, message, cuts):
        strings = "".join(re.findall(r'(?:ssn|ssns|value|socialSecurity)": \[?"([^"]*)"', told.replace('":"', '": "')))
        assert SSN not in strings, told
        assert "US_SSN" in told or "SSN" in strings, told


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "arguments", [{"ssn": SSN}, {"ssn": int(SSN)}, {"ssns": [SSN, SSN]}, {"customer": {"ssn": {"value": SSN}}}]
)
def test_arguments_of_answers(streams: StreamScanner, arguments: dict[str, Any], streamed: bool) -> None:
    """Arguments are assembled in a stream."""
    call = {"index": 0, "id": "call_a", "type": "function"}
    call["function"] = {"name": "send", "arguments": json.dumps(arguments)}
    told = answered(streams, {"tool_calls": [call]}, [])[streamed]
    assert SSN not in told
    assert "<US_SSN>" in told


@pytest.fixture(scope="module")
def streams(pii: PiiScanner) -> StreamScanner:
    """The rules for answers."""
    return StreamScanner(pii, None, {})


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("telling")
    with running(folder, config(folder, up.url)) as running_line:
        yield running_line


@pytest.mark.parametrize("name", NAMED)
def test_a_named_value_does_not_leave(line: Line, up: scripted.Upstream, name: str) -> None:
    """A placeholder replaces the value, and the keys stay."""
    body, value = NAMED[name]
    assert line.chat("hi", x_data=body).status_code == 200
    assert value not in json.dumps(up.last.body["x_data"])
    if name != "key":
        assert json.dumps(up.last.body["x_data"]).startswith(json.dumps(body)[:4])


@pytest.mark.parametrize("spelling", ["<US_SSN_1>", "[US_SSN 1]"])
@pytest.mark.parametrize("form", ['{{"ssn": "{}"}}', '{{"ssns": ["{}"]}}', '{{"a": {{"ssn": {{"value": "{}"}}}}}}'])
def test_restored_arguments_leave_as_the_model_wrote_them(
    line: Line, up: scripted.Upstream, spelling: str, form: str
) -> None:
    """Edits are stable: the words of the key are not part of the value or of the spelling."""
    cid, tools = f"telling-{abs(hash((spelling, form)))}", [{"type": "function", "function": {"name": "send"}}]
    said = {"role": "assistant", "content": None}
    said["tool_calls"] = [  # type: ignore[assignment]
        {"id": "call_a", "type": "function", "function": {"name": "send", "arguments": form.format(spelling)}}
    ]
    choices = [{"index": 0, "message": said, "finish_reason": "tool_calls"}]
    up.script["ssn <US_SSN_1>"] = {"id": "c", "object": "chat.completion", "model": "m", "choices": choices}
    first = {"role": "user", "content": f"ssn {SSN}"}
    answer = line.chat(f"ssn {SSN}", model="script", cid=cid, tools=tools).json()["choices"][0]["message"]
    assert answer["tool_calls"][0]["function"]["arguments"] == form.format(SSN)
    result = {"role": "tool", "tool_call_id": "call_a", "content": "done"}
    assert line.chat("x", cid=cid, tools=tools, messages=[first, answer, result]).status_code == 200
    assert up.last.body["messages"][1]["tool_calls"][0]["function"]["arguments"] == form.format(spelling)


def test_a_minus_sign_in_json_text(pii: PiiScanner) -> None:
    """A negative number after its name is the number; alone, or in a word, it is none."""
    for text in ('{"ssn": -219099998}', '{"ssn":-219099998}', "ssn -219099998"):
        assert [text[one.start : one.end] for one in pii.scan(text)] == [SSN]
    for text in ("x -219099998", "ssn: x-219099998", '{"n": -219099998}'):
        assert pii.scan(text) == []


CARD = "4539148803436467"


@pytest.mark.parametrize(
    "text", [f"card_{CARD}", "credit_card_4539-1488-0343-6467", f"see card_{CARD} there", f"卡号{CARD}"]
)
def test_a_card_after_its_word(streams: StreamScanner, pii: PiiScanner, text: str) -> None:
    """An underscore joins the word and the number; in streams with a cut at any place."""
    for at in range(len(text)):
        window = streams.window()
        told = [*window.feed(text[:at]).findings, *window.feed(text[at:]).findings, *window.close().findings]
        assert [one.entity for one in told] == ["CREDIT_CARD"]
    assert [one.entity for one in pii.scan(text)] == ["CREDIT_CARD"]


@pytest.mark.parametrize("text", [f"img_{CARD}", f"x{CARD}", f"card_id_{CARD}", f"photo_1_{CARD}", f"a.b_{CARD}.png"])
def test_digits_of_identifiers(streams: StreamScanner, pii: PiiScanner, text: str) -> None:
    """No card."""
    for at in range(len(text)):
        window = streams.window()
        assert not [*window.feed(text[:at]).findings, *window.feed(text[at:]).findings, *window.close().findings]
    assert pii.scan(text) == []
