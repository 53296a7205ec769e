"""Secrets by the name beside them, what is no secret, and what an answer may say again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.values import shaped
from gateway.known import Known
from gateway.scan.issued import ISSUED
from gateway.scan.near import Near
from gateway.scan.secrets import SecretScanner

V = "q8Zr2LmX0vTy7Kd1"
FOUND = (
    "The api key is {}", 'db_pass = "{}"', "PGPASSWORD={} psql", "curl -u a:{} https://example.com", "--api-token {}",
    "<apiToken>{}</apiToken>", 'API_TOKEN ::= "{}"', 'API_TOKEN ?= "{}"', 'API_TOKEN := "{}"', '"apiToken" => "{}"',
    'var apiToken string = "{}"', 'String apiToken = "{}";', '$apiToken .= "{}"', "api_token: {}", "X-Api-Key: {}",
    'System.setProperty("API_TOKEN", "{}")', "Server=db;User=a;Password={};", "//registry.npmjs.org/:_authToken={}",
    '"name": "API_TOKEN", "value": "{}"', "ENV API_TOKEN {}", 'setx API_TOKEN "{}"',
    '<add key="ApiKey" value="{}" />', "- name: API_TOKEN\n  value: {}", "ALTER USER a IDENTIFIED BY '{}'",
    "CREATE USER a WITH PASSWORD '{}'", "mysql -u root -p{} db", "redis-cli -a {} ping",
    "machine example.com login me password {}", "db.internal:5432:app:me:{}",
)  # fmt: skip
HARMLESS = (
    "ghp_" + "x" * 36, "AKIA" + "X" * 16, f"next_page_token: {V}", f'csrf_token="{V}"', "api_key = YOUR_API_KEY",
    "token: <token>", "token=${TOKEN}", "token = os.environ['A9B8C7D6E5F4']", "password: str", "token = get_token()",
    "token: 550e8400-e29b-41d4-a716-446655440000", f"public_key = {V}",
)  # fmt: skip


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    return SecretScanner()


@pytest.mark.parametrize("form", FOUND)
def test_a_name_beside_a_value_is_enough(scanner: SecretScanner, form: str) -> None:
    """Whatever notation assigns it, the value is found, whole."""
    text = form.format(V)
    assert any(text[one.start : one.end] == V for one in scanner.scan(text))


@pytest.mark.parametrize(("entity", "pattern"), ISSUED)
def test_what_tells_by_its_beginning(scanner: SecretScanner, entity: str, pattern: str) -> None:
    """Each kind of token is found by its form alone."""
    random.seed(entity)
    value = shaped(pattern)
    assert [one.entity for one in scanner.scan(f"use {value} here")] == [entity]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_names_or_says_no_secret_stays(scanner: SecretScanner, text: str) -> None:
    """Placeholders, repetition, cursors, code that reads a secret and public values are left alone."""
    assert scanner.scan(text) == []


@given(st.from_regex(r"\A[2-9][0-9]{9}\Z"), st.sampled_from((" ", "-", ".", "/")))
def test_a_number_in_another_grouping_is_not_new(digits: str, sign: str) -> None:
    """What the caller sent is known in every grouping, with a country code and without."""
    known = Known(frozenset({f"+1 ({digits[:3]}) {digits[3:6]}-{digits[6:]}"}))
    assert sign.join((digits[:3], digits[3:6], digits[6:])) in known
    assert digits[::-1] + "1" not in known


def test_placeholders_are_no_context() -> None:
    """A placeholder before a number does not name the number."""
    near = Near({"tax": ("tin",), "mail": ("email",)})
    text = "<EMAIL_1> and <TIN_2> 123"
    assert near.keys(text, text.index("123")) == {}
