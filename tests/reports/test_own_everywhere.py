"""The gateway's own secrets and the keys of callers never leave: every way out is checked for each."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_
from hypothesis import strategies as st

import upstream as scripted
from gateway.cli import main
from gateway.config.grammar import Config
from gateway.detect.secrets.encodings import forms
from gateway.detect.secrets.own import HIDDEN, SHORTEST, OwnSecrets
from gateway.record import logs
from gateway.serving.own_values import credentials, of_url, values
from line import KEYS, TEAMS, Line, config, running

# A value for each place of a configuration that holds one.
SECRETS = {
    "provider": "prov/ider+of no known form 7",
    "header": "value-of-the-header-8",
    "password": "pass.of.the:url-9",
    "admin": "admin-key-in-a-file-10",
    "agent": "agent-key-in-a-file-11",
    "upload": "token-of-the-upload-12",
    "upload header": "header-of-the-upload-13",
    "vault": base64.b64encode(bytes(range(7, 39))).decode(),
    "caller": "mg-key-that-a-caller-presents-14",
}


class Provider(BaseHTTPRequestHandler):
    """A provider with configured answers."""

    status, body = 200, b""
    headers_: ClassVar[dict[str, str]] = {}
    seen: ClassVar[list[tuple[dict[str, str], str, bytes]]] = []

    def do_POST(self) -> None:
        self.seen.append((dict(self.headers), self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.status)
        for name, value in self.headers_.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def say(body: bytes, status: int = 200, **headers: str) -> None:
    kind = "text/event-stream" if body.startswith(b"data:") else "application/json"
    Provider.status, Provider.body = status, body
    Provider.headers_ = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    Provider.seen.clear()


def settings(folder: Path, url: str) -> dict[str, Any]:
    """A configuration with every secret except secrets that need a running server."""
    (folder / "admin.key").write_text(SECRETS["admin"])
    (folder / "agent.key").write_text(SECRETS["agent"])
    raw = config(folder, url, pii={"default": "mask", "vault_key": SECRETS["vault"]}, log="json")
    raw["providers"]["up"] |= {"api_key": SECRETS["provider"], "headers": {"X-Token": SECRETS["header"]}}
    raw["providers"]["dead"]["base_url"] = f"http://user:{quote(SECRETS['password'])}@127.0.0.1:9/v1"
    raw["routing"] = {"provider_limits": "ignore", "breaker": None}  # the fault of one test is no news for the next
    raw["agents"]["carol"] = {"key_file": str(folder / "agent.key"), "team": "red", "roles": ["developer"]}
    raw["admin"] = {"key_file": str(folder / "admin.key")}
    upload = {"token": SECRETS["upload"], "headers": {"X-Key": SECRETS["upload header"]}, "interval": "1h"}
    raw["audit"] = {"upload": {"url": "http://127.0.0.1:9/logs", **upload}}
    return raw


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, io.StringIO]]:
    """A gateway with all secrets, and its output."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    folder, written = tmp_path_factory.mktemp("own"), io.StringIO()
    patch = pytest.MonkeyPatch()
    patch.setitem(KEYS, "caller", SECRETS["caller"])
    patch.setitem(TEAMS, "caller", "red")
    raw = settings(folder, f"http://127.0.0.1:{server.server_address[1]}/v1")
    with contextlib.redirect_stdout(written), running(folder, raw) as line:
        yield line, written
    patch.undo()
    server.shutdown()
    thread.join()
    server.server_close()


def held(said: str | bytes) -> list[str]:
    """The secrets that data contains, in any form."""
    data = said if isinstance(said, bytes) else said.encode()
    found = []
    for name, form in _every_form():
        at = data.find(form)
        if at >= 0:
            found.append(f"{name}: {data[max(0, at - 200) : at + 20]!r}")
    return found


@functools.cache
def _every_form() -> list[tuple[str, bytes]]:
    """Each secret in each form that is long enough to be recognized."""
    every = ((name, form) for name, value in SECRETS.items() for form in {value, *forms(value)})
    return [(name, form.encode()) for name, form in every if len(form) > 11]


def left(line: Line, written: io.StringIO, *answers: httpx.Response) -> bytes:
    """All that has left: the answers with their headers, the log, the records, the metrics, the admin API."""
    line.rows("SELECT 1")
    log = line.gateway.shared.telemetry._log
    assert log is not None
    log.flush()
    admin = {"authorization": f"Bearer {SECRETS['admin']}"}
    answers += (line.client.get("/metrics"), *(line.client.get(path) for path in ("/livez", "/readyz", "/", "/x")))
    answers += tuple(line.client.get(f"/admin/api/{path}", headers=admin) for path in ("workflows", "keys", "nothing"))
    parts = [answer.content + repr(answer.headers.multi_items()).encode() for answer in answers]
    parts += [_news(str(file), file.read_bytes()) for file in sorted(line.path.parent.glob("state.db*"))]
    return b"\n".join([*parts, _news("log", written.getvalue().encode())])


_searched: dict[str, bytes] = {}


def _news(name: str, data: bytes) -> bytes:
    """The new part of a file or the log since the last check, with the end of the previous part."""
    before = _searched.get(name, b"")
    _searched[name] = data
    return data[max(0, len(before) - 4096) :] if data.startswith(before) else data


def message(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "hello", **fields}


def answer(said: dict[str, Any], **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": scripted.USAGE} | fields


def _arguments(text: str) -> dict[str, Any]:
    function = {"name": "send", "arguments": json.dumps({"to": text})}
    return message(tool_calls=[{"id": "c1", "type": "function", "function": function}])


# Where a provider may put a text that it was sent.
PLACES = {
    "content": lambda text: answer(message(content=f"it was {text}, I think")),
    "reasoning": lambda text: answer(message(reasoning_content=text)),
    "a field": lambda text: answer(message(), note={"a": [text]}),
    "a key": lambda text: answer(message(), metadata={text: 1}),
    "a key in a message": lambda text: answer(message(extra={"x": {text: "y"}})),
    "id": lambda text: answer(message(), id=text),
    "model": lambda text: answer(message(), model=text),
    "fingerprint": lambda text: answer(message(), system_fingerprint=text),
    "role": lambda text: answer(message(role=text)),
    "arguments": lambda text: answer(_arguments(text)),
    "call id": lambda text: answer(
        message(tool_calls=[{"id": text, "type": "function", "function": {"name": "send", "arguments": "{}"}}])
    ),
    "usage": lambda text: answer(message(), usage={**scripted.USAGE, text: 1}),
}
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda value: base64.b64encode(f"k: {value}!".encode()).decode(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(f"{value}.".encode()).decode(),
    "hexadecimal": lambda value: value.encode().hex(),
    "percent": lambda value: quote(value, safe=""),
    "base64 of base64": lambda value: base64.b64encode(b"so " + base64.b64encode(f"k: {value}!".encode())).decode(),
    "hexadecimal of base64": lambda value: base64.urlsafe_b64encode(f"k {value}".encode()).hex(),
    "base64 of hexadecimal": lambda value: base64.b64encode(f"k {value.encode().hex()}".encode()).decode(),
    "base85": lambda value: base64.b85encode(value.encode()).decode(),
    "JSON": json.dumps,
}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "hexadecimal": lambda data: data.hex().encode(),
    "hexadecimal in capitals": lambda data: data.hex().upper().encode(),
}


@functools.cache
def _own(value: str) -> OwnSecrets:
    return OwnSecrets([value])


@pytest.mark.parametrize("outer", ENCODERS)
@pytest.mark.parametrize("inner", ENCODERS)
@given(st.sampled_from([value for name, value in SECRETS.items() if name != "caller"]), *[st.binary(max_size=9)] * 4)
def test_encoded_twice(outer: str, inner: str, value: str, a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    """At any place in the inner and in the outer text, also percent-encoded for a URL."""
    text = ENCODERS[outer](a + ENCODERS[inner](b + value.encode() + c) + d).decode()
    own = _own(value)
    assert own.found(f"it is {text}.")
    assert own.found(f"it is {quote(text, safe='')}.")


@given(st.sampled_from([value for name, value in SECRETS.items() if name != "caller"]), st.binary(max_size=9))
def test_base58_and_base85(value: str, before: bytes) -> None:
    """A number in base 58 is found whole; base 85 in both alphabets, whole or from the next group of four bytes."""
    own, raw = _own(value), value.encode()
    number, digits = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + digits
    assert own.found(f"it is {digits}.")
    for encode in (base64.b85encode, base64.a85encode):
        assert own.found(f"it is {encode(raw).decode()} .")
        if len(raw) >= 24:
            assert own.found(f"it is {encode(before + raw).decode()} .")


ask_: dict[str, Any] = {"tools": [{"type": "function", "function": {"name": "send"}}]}


@pytest.mark.parametrize("where", PLACES)
@settings_(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([name for name in SECRETS if name != "caller"]),
    st.sampled_from(sorted(FORMS)),
    st.booleans(),
    st.data(),
)
def test_an_answer_with_a_secret(
    place: tuple[Line, io.StringIO], where: str, name: str, form: str, escaped: bool, data: st.DataObject
) -> None:
    """In any place and form, whole or streamed, with any cut: no part of a secret leaves."""
    line, written = place
    text = FORMS[form](SECRETS[name])
    body = json.dumps(PLACES[where](text)).encode()
    if escaped:
        body = body.replace(text[:1].encode(), rf"\u{ord(text[0]):04x}".encode()) if text[0] not in '"\\' else body
    say(body)
    answers = [line.chat("hello", **ask_), line.chat("hello", stream=True, **ask_)]
    if where in ("content", "reasoning"):
        key = "content" if where == "content" else "reasoning_content"
        marks = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=6))})
        pieces = [text[low:high] for low, high in pairwise(marks)]
        say(b"".join([*(scripted.chunk({key: piece}) for piece in pieces), scripted.chunk({}, "stop")]))
        answers.append(line.chat("hello", stream=True))
    assert not held(left(line, written, *answers))
    assert all(one.status_code in (200, 403, 502) for one in answers)


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("name", ["provider", "header", "vault"])
def test_an_error_with_a_secret(place: tuple[Line, io.StringIO], status: int, name: str) -> None:
    """In the words of an error, its fields and its headers."""
    line, written = place
    value = SECRETS[name]
    error = {"error": {"message": f"Incorrect key: {value}", "type": value, "code": value, "param": value}}
    safe = "".join(one for one in value if one.isalnum() or one in "_.-:+= ")
    say(json.dumps(error).encode(), status, retry_after="7", x_ratelimit_limit_key=safe, x_request_id=safe)
    answers = [line.chat("hello", stream=streamed) for streamed in (False, True)]
    assert not held(left(line, written, *answers))


@pytest.mark.parametrize("name", [name for name in SECRETS if name != "agent"])
@pytest.mark.parametrize("form", ["plain", "escaped"])
def test_a_request_with_a_secret(place: tuple[Line, io.StringIO], name: str, form: str) -> None:
    """A provider gets neither the gateway's own secrets nor the key that the call was made with."""
    line, written = place
    value = SECRETS[name]
    tool = {"type": "function", "function": {"name": "send", "arguments": json.dumps({"key": value})}, "id": "c1"}
    messages: list[list[dict[str, Any]]] = [
        [{"role": "user", "content": f"my key is {value}"}],
        [{"role": "user", "content": [{"type": "text", "text": value}]}],
        [{"role": "assistant", "tool_calls": [tool]}, {"role": "tool", "tool_call_id": "c1", "content": "ok"}],
        [{"role": "user", "name": "x", "content": "a"}, {"role": "tool", "tool_call_id": value, "content": "b"}],
    ]
    bodies: list[dict[str, Any]] = [{"model": "echo", "messages": one} for one in messages]
    plain = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    bodies += [{**plain, "metadata": {value: "x"}}, {**plain, "user": value}, {**plain, "x": {"y": [value]}}]
    bodies += [{**plain, "model": value}, {**plain, "tools": [{"type": "function", "function": {"name": value}}]}]
    answers = []
    say(json.dumps(answer(message())).encode())
    for body in bodies:
        raw = json.dumps(body)
        if form == "escaped":
            raw = raw.replace(value[:4], "".join(rf"\u{ord(one):04x}" for one in value[:4]))
        headers = {"authorization": f"Bearer {KEYS['caller']}", "content-type": "application/json"}
        answers.append(line.client.post("/v1/chat/completions", content=raw, headers=headers))
    for headers_, path, sent in Provider.seen:
        values_ = {key: value for key, value in headers_.items() if key not in ("Authorization", "X-Token")}
        assert not held(path.encode() + sent + repr(values_).encode())
    # The caller knows what it sent; an error may not name it all the same.
    assert not held(left(line, written, *answers))
    assert {one.status_code for one in answers} <= {200, 400, 403, 404}


@pytest.mark.parametrize("name", ["caller", "upload", "vault"])
def test_a_key_as_a_name(place: tuple[Line, io.StringIO], name: str) -> None:
    """A secret in a correlation id, an Idempotency-Key or a trace header is not recorded and not forwarded."""
    line, written = place
    say(json.dumps(answer(message())).encode())
    value = SECRETS[name]
    answers = []
    for header in ("x-correlation-id", "idempotency-key", "traceparent", "tracestate", "openai-beta", "api-key"):
        named = {"authorization": f"Bearer {KEYS['caller']}", header: value}
        answers.append(line.chat("hi"))
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        answers.append(line.client.post("/v1/chat/completions", json=body, headers=named))
    assert not any(value.encode() in sent or value in repr(headers_) for headers_, _, sent in Provider.seen)
    assert value.encode() not in left(line, written, *answers)


# What a configuration holds


def whole() -> dict[str, Any]:
    """A configuration with a secret in every place that has one."""
    vault = SECRETS["vault"]
    return {
        "providers": {
            "a": {
                "format": "openai",
                "base_url": "https://user:password-of-the-url@a.example/v1",
                "api_key": "api-key-of-provider",
            },
            "b": {
                "format": "openai",
                "base_url": "https://b.example/v1",
                "headers": {"X-Api-Key": "key-of-a-header-b"},
            },
        },
        "models": {"m": {"targets": ["a/m"]}},
        "policy": {
            "server": {
                "url": "https://bundles.example/b.tar.gz?sig=signature-of-a-url",
                "token": "token-of-the-bundles",
                "headers": {"X-Token": "header-of-the-bundles"},
                "keys": {"k": {"algorithm": "HS256", "key": "shared-secret-of-signatures"}},
            },
            "candidate": {"git": {"url": "https://token-of-the-git-server@git.example/p.git"}},
        },
        "jwt": {"jwks_url": "https://u:password%2Fof-the-jwks@id.example/jwks", "issuer": "i", "audience": "a"},
        "pii": {"vault_key": vault},
        "state": "rediss://user:password-of-redis@r.example:6379/0",
        "audit": {
            "upload": {
                "url": "https://logs.example",
                "token": "token-of-the-logs",
                "headers": {"Cookie": "s=value-of-a-cookie"},
            }
        },
    }


EVERY = [
    *("password-of-the-url", "api-key-of-provider", "key-of-a-header-b", "signature-of-a-url"),
    *("token-of-the-bundles", "header-of-the-bundles", "shared-secret-of-signatures", "token-of-the-git-server"),
    *("password%2Fof-the-jwks", "password/of-the-jwks", "password-of-redis", "token-of-the-logs"),
    *("value-of-a-cookie", SECRETS["vault"], bytes(range(7, 39)).hex()),
]


def test_every_place_of_a_configuration() -> None:
    """Each secret is known, in its own form; other values are not."""
    found = set(values(Config.model_validate(whole())))
    assert set(EVERY) <= found
    assert not [value for value in found if "example" in value]


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"x-pass": "correct horse battery"}, "correct horse battery"),
        ({"x-jwt": "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln"}, "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln"),
        ({"x-org": "a8sd7f8s7df87sdf"}, "a8sd7f8s7df87sdf"),
        ({"x-of-us": "tenant=acme, id=aB3dE5gH7jK9mN1p"}, "aB3dE5gH7jK9mN1p"),
        ({"x-of-us": "QxZkPwvTrLmNbVcX"}, "QxZkPwvTrLmNbVcX"),
        ({"Authorization": f"Basic {base64.b64encode(b'u:password-of-basic').decode()}"}, "password-of-basic"),
        ({"x-author": "Jane Doe of Example"}, ""),
        ({"anthropic-version": "2023-06-01", "anthropic-beta": "prompt-caching-2024-07-31,output-128k-2025-02-19"}, ""),
        ({"OpenAI-Organization": "org-aB3dE5gH7jK9mN1p", "OpenAI-Project": "proj_aB3dE5gH7jK9mN1p"}, ""),
        ({"User-Agent": "acme/1.0 (build 7f3a9c0e51b24d)", "HTTP-Referer": "https://acme.example/7f3a9c0e51b24d"}, ""),
        ({"x-build": "build-123456789"}, "build-123456789"),
        ({"x-build": "build-20241021"}, ""),
        ({"x-model": "Qwen2.5-Coder-32B-Instruct", "x-region": "europe-west4-a", "Accept": "application/json"}, ""),
    ],
)
def test_a_header_is_a_secret_by_name_or_by_value(headers: dict[str, str], secret: str) -> None:
    """What is drawn at random is one under any name but that of what providers repeat; words are one by name only."""
    found = {value for value in credentials(headers) if len(value) >= SHORTEST}
    assert secret in found if secret else not found


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://a.example/v1?code=correct-horse-battery", "correct-horse-battery"),
        ("https://a.example/v1?x=aB3dE5gH7jK9%2BN1p", "aB3dE5gH7jK9%2BN1p"),
        ("https://a.example/v1?x=aB3dE5gH7jK9%2BN1p", "aB3dE5gH7jK9+N1p"),
        ("https://hooks.example/services/T0001/aB3dE5gH7jK9mN1p", "aB3dE5gH7jK9mN1p"),
        ("https://hooks.example/services/T0001/aB3dE5gH7jK9mN1", ""),
        ("https://correct-horse-battery@a.example/v1", "correct-horse-battery"),
        ("redis://:correct-horse-battery@a.example/0", "correct-horse-battery"),
        ("https://a.example/openai/deployments/gpt-4o-mini?api-version=2024-10-21-preview", ""),
        ("https://a.example/models/Qwen/Qwen2.5-Coder-32B-Instruct/v1?deployment=production-europe", ""),
        ("sqlite:////tmp/aB3dE5gH7jK9mN1p/state.db", ""),
    ],
)
def test_a_part_of_a_url_is_a_secret_by_name_or_by_value(url: str, secret: str) -> None:
    """Parameters and parts of the path, as written and decoded."""
    found = {value for value in of_url(url) if len(value) >= SHORTEST}
    assert secret in found if secret else not found


def test_a_field_to_come_is_no_gap() -> None:
    """Every secret field of the configuration is searched for, in any class."""
    from gateway.config import grammar as config_
    from gateway.config import sections

    classes = [one for module in (config_, sections) for one in vars(module).values() if isinstance(one, type)]
    named = {
        (one.__name__, name)
        for one in classes
        if issubclass(one, sections.Section)
        for name, field in one.model_fields.items()
        if any(word in name for word in ("token", "secret", "password", "api_key", "vault_key")) or name == "headers"
        if field.repr and name not in ("tokens", "max_tokens", "token_limit", "secrets")
    }
    assert not named, "give them repr=False"


@pytest.mark.parametrize("spoiled", ["", "providers", "policy", "state", "audit", "jwt", "pii", "models"])
def test_commands_tell_no_secret(
    spoiled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` and its kin, of a good file and of files in which every value of a section is wrong."""
    monkeypatch.chdir(tmp_path)
    raw = whole()
    if spoiled:
        raw[spoiled] = _spoiled(raw[spoiled])
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(raw))
    for command in (
        ["check"],
        ["check", "--json"],
        ["keys", "list"],
        ["workflows", "list"],
        ["usage"],
        ["policy", "explain", "x"],
    ):
        with contextlib.suppress(SystemExit):
            main([*command, "--config", str(path)])
    told = capsys.readouterr()
    assert not [value for value in EVERY if value in told.out + told.err]


def _spoiled(value: Any) -> Any:
    """Every string has a character that it must not have, every mapping a key too many."""
    if isinstance(value, dict):
        return {**{key: _spoiled(inner) for key, inner in value.items()}, "x-unknown": 1}
    if isinstance(value, list):
        return [_spoiled(inner) for inner in value]
    return f"{value}\u00e9 \x07"


# Logs


@functools.cache
def _every_own() -> OwnSecrets:
    """Compiled once: a tenth of a second."""
    return OwnSecrets(SECRETS.values())


@given(st.sampled_from(sorted(SECRETS)), st.text(max_size=20), st.sampled_from(["words", "fault", "arguments"]))
def test_what_is_logged(name: str, around: str, how: str) -> None:
    """Words, arguments and tracebacks of any library leave without a value."""
    handler = logs.Handler()
    handler.own = _every_own()
    value, record = SECRETS[name], logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", (), None)
    if how == "words":
        record.msg = f"{around}{value}"
    elif how == "arguments":
        record.msg, record.args = "could not use %r", (value,)
    else:
        try:
            raise ValueError(value)
        except ValueError as fault:
            record.exc_info = (ValueError, fault, fault.__traceback__)
    said = handler.format(record)
    assert value not in said
    assert HIDDEN in said


def test_the_root_logger_has_the_handler(place: tuple[Line, io.StringIO]) -> None:
    """A running gateway passes all that is logged through it, with the secrets of its configuration."""
    found = [one for one in logging.getLogger().handlers if isinstance(one, logs.Handler)]
    assert len(found) == 1
    assert SECRETS["provider"] in found[0].own.secrets


def test_reprs_tell_no_secret() -> None:
    """A configuration may end up in a message of an exception."""
    said = repr(Config.model_validate(whole()))
    told = [value for value in EVERY if value in said]
    assert not told
