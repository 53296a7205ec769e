"""Secrets by the name next to them, harmless values, and values that an answer may repeat."""

from __future__ import annotations

import base64
import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.values import shaped
from gateway.detect.core.neighbours import Near
from gateway.detect.core.window import StreamScanner
from gateway.detect.secrets.issued import ISSUED
from gateway.detect.secrets.marks import KNOWN_PREFIXES
from gateway.detect.secrets.scanner import SecretScanner
from gateway.redaction.known import Known

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
    'requests.get(url, auth=("bob", "{}"))', 'HTTPBasicAuth("bob", "{}")', 'req.SetBasicAuth(user, "{}")',
    '.basic_auth("bob", Some("{}"))', 'new NetworkCredential("bob", "{}")', 'server.login("bob", "{}")',
    'variable "db_password" {{\n  type    = string\n  default = "{}"\n}}', 'ds.setPassword("{}");',
    'let password = String::from("{}");', 'process.env.API_KEY || "{}"', "${{API_KEY:-{}}}", 'builder.apiKey("{}")',
    "token {}", "my api key {}", '{{"name":"API_TOKEN","value":"{}"}}', "api key - {}", "api_key|{}",
    "| password | {} |", "mot de passe : {}", "contrase\u00f1a: {}", "Das Kennwort lautet {}", "senha={}",
    'setToken("stripe", "{}")', "datadog,{}", 'confluent.secret "=> "{}"', 'PASSWORD "{}"', "Authorization: Token {}",
    '-H "Authorization: Bearer {}"',
    "heroku_api = {}", "stripe: {}", "asana personal token: {}", "mailgun ?= {}",
    'sendgrid = "{}"', '{{"datadog": "{}"}}', "keystore_password={}",
    '"password": {{"value": "{}"}}', 'password = """{}"""', '<setting name="apiKey">{}</setting>',
    "auth:\n  user: bob\n  pass: {}", '{{"auth": {{"pass": "{}"}}}}', "machine x\n  login y\n  password {}",
    "docker login -u bob -p {} registry", 'ConvertTo-SecureString "{}" -AsPlainText', "requirepass {}",
    'CURLOPT_USERPWD, "bob:{}"', "define('DB_PASSWORD', '{}');", "https://example.com/?token={}",
)  # fmt: skip
HARMLESS = (
    "ghp_" + "x" * 36, "AKIA" + "X" * 16, f"next_page_token: {V}", f'csrf_token="{V}"', "api_key = YOUR_API_KEY",
    "token: <token>", "token=${TOKEN}", "token = os.environ['A9B8C7D6E5F4']", "password: str", "token = get_token()",
    "token: 550e8400-e29b-41d4-a716-446655440000", f"public_key = {V}",
    "stripe: 3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c", f"stripe_price_id = {V}", f"spotify_url: {V}",
    "heroku: 2024-05-06T12:13:14", "sentry = { version = \"1.2.3\" }", "password = getpass()", "token expression_2",
    f"cache key {V}", f"next page token {V}", 'auth=("bob", password)', 'login("bob", "password")',
    'variable "db_password" {\n  type = string\n}', 'variable "token_path" {\n  default = "/etc/x1"\n}',
    'integrity="sha256:3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c4d5e6f708192a3b4c5d6e7f8"',
    "call_a8Fj3kL9sQ2xZ7mNbV5cR1tY", "toolu_01A09q90qw90lq917835lq9x", "chatcmpl-B9MBs8CjcvOLsFL1xGq7Wk3Tn2vZy",
    "req_011CSHoEeqs5C35K2UUqR7Fy", f"cache_key_{V}{V}", f"idempotency-key-{V}{V}", "token_" + "ab12" * 8,
    "tqdm/contrib/slack.py,sha256=sC182v7xBkfGftnDeUmQALMOfwQzU3ZiNf1Q_XA1DjI,4049", "ABSK" + "EXAMPLE" * 18,
    "the api_endpoint_of_the_session_manager_2_for_users", "xoxb-xoxb-my-bot-token-goes-here",
    'files":{"src/gen/key.rs":"b11517f2a65e9bbce10b04ef502d299d14b7679574d045db04bc8f2586650540"}',
    "Delete a key\n  - g10/kbnode.c",
    "GnuPG key: 0x7EC2DBB6F4DBF434", "keytool keytool /usr/lib/jvm/java-17-openjdk-amd64/bin/keytool 1711",
    'keyDetails": "PKIX_ECDSA_P256_SHA_256"', "slack,sha256=sC182v7xBkfGftnDeUmQALMOfwQzU3ZiNf1Q,4049",
    "api_key = os.getenv('API_KEY_2')", "password: <your-password-1>", "docker login -u bob -p $TOKEN registry",
)  # fmt: skip


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    return SecretScanner()


@pytest.mark.parametrize("form", FOUND)
def test_a_name_beside_a_value_is_enough(scanner: SecretScanner, form: str) -> None:
    """In any notation of an assignment, the complete value is found."""
    text = form.format(V)
    assert any(text[one.start : one.end] == V for one in scanner.scan(text))


@pytest.mark.parametrize("form", FOUND)
def test_streams_find_it_too(form: str) -> None:
    """With any cut of an answer, the findings equal those of the whole."""
    text = form.format(V) + "\nand more"
    streams = _streams()
    window, at, found = streams.window(), 0, []
    for segment in [*map(window.feed, text), window.close()]:
        found += [text[at + one.start : at + one.end] for one in segment.findings]
        at += len(segment.text)
    assert found == [text[one.start : one.end] for one in streams.scan(text)]
    assert V in found


@cache
def _streams() -> StreamScanner:
    return StreamScanner(None, SecretScanner(), {})


def test_entries_of_a_kubernetes_secret(scanner: SecretScanner) -> None:
    """Each entry of its data is a secret, whatever its name; a reference to another value is not."""
    values = [base64.b64encode(one).decode() for one in (b"hunter-22", V.encode(), b"changeme")]
    data = "".join(f"\n  entry{number}: {value}" for number, value in enumerate(values))
    text = f"kind: Secret\nmetadata:\n  name: a\ntype: Opaque\ndata:{data}\n"
    assert [text[one.start : one.end] for one in scanner.scan(text)] == values[:2]


def test_an_identifier_is_a_key_beside_a_vendor(scanner: SecretScanner) -> None:
    """Some vendors issue UUIDs as keys; next to other names, a UUID is an identifier."""
    uuid = "550e8400-e29b-41d4-a716-446655440000"
    assert [one.entity for one in scanner.scan(f"HEROKU_API_KEY={uuid}")] == ["SECRET_KEYWORD"]
    assert not scanner.scan(f"API_KEY={uuid}")


@pytest.mark.parametrize(("entity", "pattern"), ISSUED)
def test_what_tells_by_its_beginning(scanner: SecretScanner, entity: str, pattern: str) -> None:
    """Each kind of token is found by its form alone."""
    random.seed(entity)
    value = shaped(pattern)
    assert [one.entity for one in scanner.scan(f"use {value} here")] == [entity]


@pytest.mark.parametrize("mark", KNOWN_PREFIXES)
def test_key_with_a_known_prefix(scanner: SecretScanner, mark: str) -> None:
    """Random letters and digits after a known prefix are a key, which is found to its end; words are not."""
    key = mark + "q8Zr2LmX0vTy7Kd1fH5sWb9N"
    assert [one[:2] for one in scanner.scan(f"use {key} here")] == [(4, 4 + len(key))]
    assert not scanner.scan(f"use {mark}of_the_session_manager_for_users here")


@pytest.mark.parametrize("mark", KNOWN_PREFIXES)
def test_streams_hold_a_key_with_a_known_prefix(mark: str) -> None:
    """With any cut of an answer, a key after a known prefix is found as in the whole."""
    text = f"use {mark}q8Zr2LmX0vTy7Kd1/fH5sWb9N here"
    streams = _streams()
    window, at, found = streams.window(), 0, []
    for segment in [*map(window.feed, text), window.close()]:
        found += [text[at + one.start : at + one.end] for one in segment.findings]
        at += len(segment.text)
    assert found == [text[one.start : one.end] for one in streams.scan(text)]
    assert found


@pytest.mark.parametrize("text", HARMLESS)
def test_what_names_or_says_no_secret_stays(scanner: SecretScanner, text: str) -> None:
    """Placeholders, repetition, cursors, code that reads a secret and public values are left alone."""
    assert scanner.scan(text) == []


@given(st.from_regex(r"\A[2-9][0-9]{9}\Z"), st.sampled_from((" ", "-", ".", "/")))
def test_a_number_in_another_grouping_is_not_new(digits: str, sign: str) -> None:
    """Values of the caller are known in every grouping, with and without a country code."""
    known = Known(frozenset({f"+1 ({digits[:3]}) {digits[3:6]}-{digits[6:]}"}))
    assert sign.join((digits[:3], digits[3:6], digits[6:])) in known
    assert digits[::-1] + "1" not in known


def test_placeholders_are_no_context() -> None:
    """A placeholder before a number does not name the number."""
    near = Near({"tax": ("tin",), "mail": ("email",)})
    text = "<EMAIL_1> and <TIN_2> 123"
    assert near.keys(text, text.index("123")) == {}
