"""Values in place of structure or a number, in requests and answers."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import upstream as scripted
from gateway.config.load import load
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import positions, terms, tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_tables import SHAPE
from gateway.errors import ConfigError
from gateway.texts import lead_of
from line import Line, config, running

CARD = "4539148803436467"
STRUCTURE = ["tool_call_id", "id", "type", "model", "system_fingerprint"]


def texts(body: object) -> list[str]:
    """The texts that a survey finds."""
    return [slot.text for slot in tree.parse(orjson.dumps(body), SHAPE, 64)[1].slots]


@pytest.mark.parametrize("key", STRUCTURE)
@pytest.mark.parametrize(
    "value", [f"call_{CARD}", "c-4539-1488-0343-6467", "ann+x", "DE89370400440532013000", "ghp_abc", "ip:203.0.113.7"]
)
def test_what_has_not_the_form_of_a_term_is_a_text(key: str, value: str) -> None:
    """Anywhere in the structure of the dialect."""
    assert value in texts({key: value})


@pytest.mark.parametrize(
    "value", ["claude-opus-4-1-20250805", "gpt-4o-2024-08-06", "chatcmpl-B9MHDbslfkBeAs8l4b", "fp_44709d6fcb", "tool"]
)
def test_terms_are_no_texts(value: str) -> None:
    """Models, ids and fingerprints as providers write them."""
    assert terms.is_term(value)


@pytest.mark.parametrize("start", ["", "chatcmpl-", "task:"])
@pytest.mark.parametrize("version", [3, 4, 5, 7])
def test_every_uuid_is_a_term(start: str, version: int) -> None:
    """Also one that begins with a digit, or has digits like those of a number."""
    for seed in range(2000):
        made = str(uuid.UUID(int=random.Random(seed).getrandbits(128), version=4))
        made = f"{made[:14]}{version}{made[15:]}"
        if sum(map(str.isalpha, made)) >= 4:
            assert terms.is_term(f"{start}{made}")
            assert texts({"id": f"{start}{made}"}) == []


@pytest.mark.parametrize(
    "value",
    [
        "45391488-0343-4467-8111-111111111111",  # digits alone
        "4539148a-0343-0467-8111-1111abcdef11",  # no version
        "4539148a-0343-4467-c111-1111abcdef11",  # no variant
        f"{CARD}4539148a-0343-4467-8111-1111abcdef11",
        f"4539148a-0343-4467-8111-1111abcdef11-{CARD}",
        f"4539148a-0343-4467-8111-1111abcdef11:{CARD}",
    ],
)
def test_what_only_looks_like_a_uuid_is_a_text(value: str) -> None:
    """Or holds more than one."""
    assert texts({"id": value}) == [value]


NUMBERS: dict[str, tuple[Any, str, str]] = {
    "ssn": ({"ssn": 219099999}, "ssn ", "219099999"),
    "zero": ({"ssn": 78051120}, "ssn ", "078051120"),
    "camel": ({"bankAccount": 12345678}, "bank Account ", "12345678"),
    "list": ({"ssns": [219099999]}, "ssns ", "219099999"),
    "negative": ({"n": -int(CARD)}, "", CARD),
    "groups": ({"card": [4539, 1488, 343, 6467]}, "", "4539 1488 0343 6467"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_values_are_texts(name: str) -> None:
    """Numbers are judged with their key as context, which is not part of the text."""
    body, lead, text = NUMBERS[name]
    parsed, survey = tree.parse(orjson.dumps({"x": body}), SHAPE, 64)
    [slot] = survey.slots
    assert (lead_of(slot.key), slot.text) == (lead, text)
    positions.write(slot, "<X>")
    assert json.dumps(parsed).count("<X>") == 1


@pytest.mark.parametrize("body", [{"created": 1763749399}, {"seed": 219099999}, {"order_id": 123456789}, {"ssn": 5}])
def test_counters_and_times_are_numbers(body: Any) -> None:
    """Nothing to judge."""
    assert texts(body) == []


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("fields")
    with running(folder, config(folder, up.url)) as running_line:
        yield running_line


@pytest.mark.parametrize("value", [219099999, -219099999])
def test_a_number_does_not_leave(line: Line, up: scripted.Upstream, value: int) -> None:
    """A placeholder replaces it, also in unknown fields."""
    assert line.chat("hi", x_data={"ssn": value}).status_code == 200
    assert b"219099999" not in up.last.raw
    assert up.last.body["x_data"] == {"ssn": "<US_SSN_1>"}


def test_free_text_of_traces_does_not_leave(line: Line, up: scripted.Upstream) -> None:
    """Headers are forwarded in a strict form only."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"tracestate": "a=ann@example.org", "baggage": "b=1", "openai-beta": "mg-alice", "traceparent": trace}
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    line.client.post("/v1/chat/completions", json=body, headers=headers)
    assert {"tracestate", "baggage", "openai-beta", "api-key"}.isdisjoint(up.last.headers)
    assert up.last.headers["traceparent"] == trace
    line.client.post("/v1/chat/completions", json=body, headers={"openai-beta": "assistants=v2"})
    assert up.last.headers["openai-beta"] == "assistants=v2"


FOREIGN: list[tuple[str, dict[str, Any]]] = [
    ("x_top", {"x_top": 1}),
    ("extra_body", {"extra_body": {"seed": 1}}),
    ("messages[].cache_control", {"messages": [{"role": "user", "content": "hi", "cache_control": {}}]}),
    ("messages[].content[].x", {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "x": 1}]}]}),
    ("tools[].function.x", {"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]}),
    ("stream_options.x", {"stream_options": {"x": 1}, "stream": True}),
    ("response_format.x", {"response_format": {"type": "text", "x": 1}}),
]
KNOWN = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": {"y": 1}}, "strict": True}}],
    "metadata": {"any": "thing"},
    "logit_bias": {"1": 2},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"any": 1}}},
}


@pytest.fixture(scope="module")
def strict_line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("strict")
    settings = config(folder, up.url)
    providers = settings["providers"]
    settings["providers"] |= {
        "refusing": {**providers["up"], "strict": True},
        "dropping": {**providers["up"], "fields": "drop"},
    }
    settings["models"] |= {
        "refusing": {"targets": ["refusing/echo"]},
        "dropping": {"targets": ["dropping/echo"]},
        "both": {"targets": ["up/echo", "dropping/echo"]},
    }
    with running(folder, settings) as running_line:
        yield running_line


@pytest.mark.parametrize(("path", "fields"), FOREIGN, ids=[path for path, _ in FOREIGN])
def test_strict_providers_get_no_foreign_fields(
    strict_line: Line, up: scripted.Upstream, path: str, fields: dict[str, Any]
) -> None:
    """Refused by name, dropped, or sent on: as each provider wants."""
    body = {"messages": [{"role": "user", "content": "hi"}], **KNOWN, **fields}
    refused = strict_line.client.post("/v1/chat/completions", json={"model": "refusing", **body})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_request", path)
    assert "providers.refusing.fields" in error["message"]
    for model, kept in (("dropping", False), ("both", False), ("echo", True)):
        answer = strict_line.client.post("/v1/chat/completions", json={"model": model, **body})
        assert answer.status_code == 200
        assert (path in OPENAI_CHAT.foreign(up.last.body)) == kept
        assert (path in answer.headers.get("x-meshgate-dropped", "").split(", ")) == (not kept)


def test_what_the_dialect_has_passes_strictly(strict_line: Line, up: scripted.Upstream) -> None:
    """Schemas, metadata and biases are the caller's own."""
    body = {"model": "refusing", "messages": [{"role": "user", "content": "hi"}], **KNOWN}
    assert strict_line.client.post("/v1/chat/completions", json=body).status_code == 200
    assert {key: up.last.body[key] for key in KNOWN} == KNOWN


@pytest.mark.parametrize(
    ("demand", "status", "kept"), [("pass", 200, True), ("drop", 200, False), ("refuse", 400, None)]
)
def test_a_policy_may_be_strict(
    up: scripted.Upstream, tmp_path: Path, demand: str, status: int, kept: bool | None
) -> None:
    """By an obligation; unknown fields at the top are in its input."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "gateway.rego").write_text(
        "package gateway\nimport rego.v1\n"
        f'decision := {{"allow": true, "obligations": {{"fields": "{demand}"}}}} if input.action.fields == ["x_top"]\n'
    )
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(policies)})) as line:
        assert line.chat("hi", x_top="a").status_code == status
        if kept is not None:
            assert ("x_top" in up.last.body) == kept


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("fields: dorp", "drop"),
        ("strict: true, fields: pass", "contradict"),
        ("strickt: true", "did you mean strict"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, lines: str, words: str) -> None:
    """Mistakes are reported with their line and the allowed values."""
    path = tmp_path / "gateway.yaml"
    provider = f"{{format: openai, base_url: http://localhost:1, {lines}}}"
    path.write_text(f"providers:\n  up: {provider}\nmodels: {{m: {{targets: [up/m]}}}}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert "2" in str(caught.value)


@pytest.mark.parametrize("pii", [True, False])
@pytest.mark.parametrize("where", ["message", "field", "escaped", "key", "arguments"])
def test_a_callers_own_key_is_never_sent(up: scripted.Upstream, tmp_path: Path, pii: bool, where: str) -> None:
    """In any form: masked, or refused if masking is off."""
    key = "correct-horse-battery-staple"
    settings = config(tmp_path, up.url, **({} if pii else {"pii": None}))
    settings["agents"]["alice"]["key_sha256"] = hashlib.sha256(key.encode()).hexdigest()
    message: dict[str, Any] = {
        "role": "user",
        "content": f"my key is {key}." if where in ("message", "escaped") else "hi",
    }
    body: dict[str, Any] = {"model": "echo", "messages": [message]}
    if where in ("field", "key"):
        body["x_field"] = {"a": [key]} if where == "field" else {key: 1}
    if where == "arguments":
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"k": key})}}
        message |= {"role": "assistant", "tool_calls": [call]}
    raw = json.dumps(body)
    if where == "escaped":
        raw = raw.replace("correct", "\\u0063orrect")
    headers = {"authorization": f"Bearer {key}", "user-agent": key, "openai-organization": key, "openai-project": key}
    before = len(up.seen)
    with running(tmp_path, settings) as line:
        answer = line.client.post("/v1/chat/completions", content=raw, headers=headers)
    for seen in up.seen[before:]:
        assert key not in json.dumps(seen.headers)
        assert key not in json.dumps(seen.body)
    if pii:
        assert answer.status_code == 200
    else:
        assert answer.json()["error"]["code"] == "secret_blocked"


def test_a_card_as_a_fraction(pii: PiiScanner) -> None:
    """Tables write whole numbers with `.0` where a row is missing; other fractions are no cards."""
    for tail in (".0", ".00", ".0}", ".0, 1.5"):
        assert [one.entity for one in pii.scan(f'{{"n": {CARD}{tail}')] == ["CREDIT_CARD"]
    for number in (f"{CARD}.5", f"{CARD}.05", f"{CARD}.0.1", f"0.{CARD}", f"{CARD[:12]}.{CARD[12:]}"):
        assert pii.scan(f'{{"n": {number}}}') == []
