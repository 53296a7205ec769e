"""Requests of clients: compressed bodies, single models, other health paths, keys in the form of Azure."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import httpx
import openai
import pytest
import yaml
import zstandard

import upstream as scripted
from gateway.cli import main
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import TABLE, Refusal
from line import Line, config, running

BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hello"}]}).encode()
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("clients")
    settings = config(
        folder,
        up.url,
        server={"max_body": "100k", "cors": [PAGE, "http://localhost:5173"]},
        admin={"key_file": str(folder / "admin-key")},
    )
    settings["models"]["org/team/model"] = {"targets": ["up/echo"]}
    settings["models"]["any/*"] = {"targets": ["up/*"]}
    with running(folder, settings) as running_line:
        yield running_line


def post(line: Line, coding: str, data: bytes) -> Any:
    """A chat call with a body in a coding."""
    return line.client.post("/v1/chat/completions", content=data, headers={"content-encoding": coding})


@pytest.mark.parametrize("coding", PACK)
def test_compressed_bodies(line: Line, up: scripted.Upstream, coding: str) -> None:
    """Compressed bodies are read, forwarded unchanged, limited by their unpacked size, and refused if damaged."""
    assert post(line, coding, PACK[coding](BODY)).status_code == 200
    assert up.last.raw == BODY
    bomb = post(line, coding, PACK[coding](b" " * 10_000_000))
    assert (bomb.status_code, bomb.json()["error"]["code"]) == (413, "request_too_large")
    assert post(line, coding, b"\x00nothing").status_code == 400
    assert post(line, coding, PACK[coding](BODY)[:-9]).status_code == 400


SAME: dict[str, tuple[str, bytes]] = {
    "an older name": ("x-gzip", gzip.compress(BODY)),
    "capitals": ("GZip", gzip.compress(BODY)),
    "and none": ("gzip, identity", gzip.compress(BODY)),
    "none": ("identity,identity", BODY),
    "members": ("gzip", gzip.compress(BODY[:9]) + gzip.compress(b"") + gzip.compress(BODY[9:])),
    "without a frame": ("deflate", zlib.compress(BODY)[2:-4]),
    "full pieces": ("gzip", gzip.compress(BODY[:-1] + b" " * 60_000 + b"}")),
}


PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize("form", SAME)
def test_other_forms_of_a_coding(line: Line, form: str) -> None:
    """As RFC 9110 and RFC 1952 have them."""
    assert post(line, *SAME[form]).status_code == 200


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        *(
            ("gzip", gzip.compress(b"", mtime=0) * 20 + gzip.compress(BODY, mtime=0)),
            ("gzip", gzip.compress(BODY, mtime=0) + b"\0"),
        ),
        *(("gzip", gzip.compress(BODY, mtime=0)[:-2]), ("gzip", b""), ("deflate", b"\x07" + BODY), ("deflate", b"")),
    ],
)
def test_compressed_bodies_that_are_none(line: Line, coding: str, data: bytes) -> None:
    """Broken off, followed by more, of members without end."""
    assert post(line, coding, data).status_code == 400


def test_a_coding_that_is_not_taken(line: Line) -> None:
    """Refused with 415, with the supported encodings."""
    answer = post(line, "compress", b"x")
    assert answer.status_code == 415
    assert "gzip" in answer.headers["accept-encoding"]


def test_models_that_may_be_asked_for(line: Line) -> None:
    """`GET /v1/models` lists names, `GET /v1/models/{id}` knows each of them, and those that a pattern fits."""
    listed = [one["id"] for one in line.client.get("/v1/models").json()["data"]]
    assert "org/team/model" in listed
    assert not any("*" in name for name in listed)
    for name in (*listed, "any/thing", "any/deep/thing"):
        for path in (name, quote(name, safe="")):
            answer = line.client.get(f"/v1/models/{path}")
            assert (answer.status_code, answer.json()["id"]) == (200, name)
    for name in ("nope", "any/", "any/*", "any%2F%2A"):
        answer = line.client.get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert line.chat(model="any/*").json()["error"]["code"] == "model_not_found"


def test_what_the_list_shows_is_what_the_policy_allows(
    up: scripted.Upstream, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A model that the policy would deny is neither listed nor known."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "gateway.rego").write_text(
        'package gateway\ndecision := {"allow": true} if input.resource.name != "renamed"\n'
    )
    folder = tmp_path_factory.mktemp("list")
    with running(folder, config(folder, up.url, policy={"path": str(policies)})) as line:
        listed = [one["id"] for one in line.client.get("/v1/models").json()["data"]]
        assert "echo" in listed
        assert "renamed" not in listed
        assert line.client.get("/v1/models/renamed").status_code == 404


def test_the_key_as_azure_sends_it(line: Line) -> None:
    """`api-key` identifies the caller, and is not forwarded."""
    headers = {"authorization": "", "api-key": "mg-alice"}
    assert line.client.get("/v1/models", headers=headers).status_code == 200


def test_methods_and_paths(line: Line) -> None:
    """405 lists the allowed methods, 404 the served paths, each with the request id."""
    wrong = line.client.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS")
    lost = line.client.post("/v1/responses/resp_1/other", json={})
    assert lost.status_code == 404
    assert "of stored responses, only" in lost.json()["error"]["message"]
    assert lost.json()["error"]["request_id"] == lost.headers["x-request-id"] != ""
    assert "/v1/chat/completions" in line.client.get("/").json()["serves"]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/health/liveliness", "/health/readiness"])
def test_health_by_other_names(line: Line, path: str) -> None:
    """As other gateways call it."""
    assert line.client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/chat/completions", "POST, OPTIONS"),
        ("/v1/embeddings", "POST, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/models/echo", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/admin/api/keys", "GET, HEAD, OPTIONS, POST"),
        ("/admin/api/workflows/x", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_methods_of_a_path(line: Line, path: str, methods: str) -> None:
    """OPTIONS and 405 name the same methods; HEAD is GET without a body."""
    asked = line.client.options(path)
    assert (asked.status_code, asked.headers["allow"]) == (204, methods)
    wrong = line.client.delete(path)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, methods)
    assert (wrong.json().get("error") or wrong.json())["request_id"] == wrong.headers["x-request-id"]
    if "HEAD" in methods and "/admin" not in path:
        head = line.client.head(path)
        assert (head.status_code, head.content) == (200, b"")


LOST = {
    "/responses": "ends with /v1",
    "/v1/responses/": "of stored responses, only",
    "/v1/responses/resp_1/other": "of stored responses, only",
    "/v1/messages/batches/msgbatch_1/other": "Anthropic",
    "/v1/complete": "Anthropic",
    "/completions": "ends with /v1",
    "/moderations": "ends with /v1",
    "/v1/images/other": "the provider itself",
    "/v1/audio/other": "the provider itself",
    "/v1/uploads": "the provider itself",
    "/v1/assistants": "the provider itself",
    "/v1beta/models/gemini-2.5-pro:predict": "Gemini",
    "/v1/models/gemini-2.5-pro:rawPredict": "Gemini",
    "/openai/deployments/gpt-4o/extensions/chat/completions": "Azure",
    "/openai/v1/assistants": "Azure",
    "/model/anthropic.claude/converse-stream": "Bedrock",
    "/api/chat": "Ollama",
    "/mcp/orders/tools": "MCP",
    "/sse": "MCP",
    "/a2a/planner/v1/message:send": "agents",
    "/chat/completions": "ends with /v1",
    "/embeddings": "ends with /v1",
    "/v1/embeddings/": "ends with /v1",
    "/v1/engines/text-embedding-3-small/embeddings": "ends with /v1",
    "/v1/v1/chat/completions": "ends with /v1",
    "/v1/chat/completions/": "ends with /v1",
    "/v1/chat/completions/chat/completions": "ends with /v1",
    "/v1/chat/completions/chatcmpl-1": "no completions are stored",
    "/key/generate": "meshgate",
    "/something/else": "",
    "/ann@example.org": "",
}


@pytest.mark.parametrize("path", LOST)
def test_a_path_of_another_dialect_is_told_what_is_served(line: Line, path: str) -> None:
    """The error says what the user of such a client can do, and does not repeat the path."""
    for method in ("POST", "DELETE"):
        answer = line.client.request(method, path)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (404, "invalid_request")
        assert "/v1/chat/completions" in error["message"]
        assert LOST[path] in error["message"]
        assert "ann@" not in error["message"]
        assert error["request_id"] == answer.headers["x-request-id"]


# Browsers

PAGE = "https://app.example.com"


def preflight(line: Line, path: str, origin: str, **headers: str) -> Any:
    """The preflight request of a browser for a request with a key."""
    asked = {"origin": origin, "access-control-request-method": "POST", **headers}
    return line.client.options(path, headers=asked)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/responses", "/v1/assistants"])
def test_pages_of_listed_origins_may_call(line: Line, path: str) -> None:
    """With any request headers, and every header of the gateway is readable. No cookies."""
    wanted = "authorization,content-type,x-stainless-retry-count"
    asked = preflight(line, path, PAGE, **{"access-control-request-headers": wanted})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert asked.headers["access-control-allow-headers"] == wanted
    assert ("GET" if path == "/v1/models" else "POST") in asked.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in asked.headers
    assert "Origin" in asked.headers["vary"]
    for stream in (True, False):
        answer = line.client.post(
            path, headers={"origin": PAGE}, json={"model": "echo", "messages": [{"role": "user"}], "stream": stream}
        )
        assert answer.headers["access-control-allow-origin"] == PAGE
        readable = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
        ours = {name for name in answer.headers if name.startswith(("x-", "ratelimit", "retry"))}
        assert ours <= readable
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{PAGE}.evil.example", f"{PAGE}:8443", "*"])
def test_pages_of_other_origins_may_not(line: Line, origin: str) -> None:
    """Neither ask nor read. A cache learns that other pages may."""
    for answer in (
        preflight(line, "/v1/chat/completions", origin),
        line.client.get("/v1/models", headers={"origin": origin}),
        line.client.get("/mcp", headers={"origin": origin}),
        line.client.get("/v1/models"),
    ):
        assert answer.headers["vary"] == "Origin"
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/admin/api/keys", "/metrics", "/", "/livez"])
def test_no_page_may_read_anything_else(line: Line, path: str) -> None:
    """The admin API and the metrics are for no browser."""
    for answer in (preflight(line, path, PAGE), line.client.get(path, headers={"origin": PAGE})):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_pages_of_all_origins(up: scripted.Upstream, tmp_path: Path) -> None:
    """`*` is answered as `*`; off, which is the default, as if there were no such thing."""
    for origins, told in ((["*"], "*"), ([], None)):
        with running(tmp_path, config(tmp_path, up.url, server={"cors": origins})) as open_line:
            assert preflight(open_line, "/v1/models", "null").headers.get("access-control-allow-origin") == told
            answer = open_line.client.get("/v1/models", headers={"origin": "https://any.example"})
            assert answer.headers.get("access-control-allow-origin") == told
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://app.example.com/", "https://a.example/x", "https://*.a.b"]
)
def test_origins_that_are_none(origin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the line and the form of an origin."""
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, "http://127.0.0.1:9/v1", server={"cors": [origin]})))
    assert main(["check", "--config", str(path)]) == 2
    assert "server.cors[0]: an origin is written like" in capsys.readouterr().err


# Blocked answers


def test_a_blocked_answer_says_why(up: scripted.Upstream, tmp_path: Path) -> None:
    """With `output.explain` in the text, whole or streamed, begun or not; the code is in the header and the record."""
    settings = config(tmp_path, up.url, output={"explain": True, "tools": "offered"})
    with running(tmp_path, settings) as line:
        whole = line.chat(model="call", tools=[{"type": "function", "function": {"name": "other"}}])
        body = whole.json()
        assert (whole.status_code, whole.headers["x-meshgate-code"]) == (200, "tool_not_offered")
        (choice,) = body["choices"]
        assert choice["finish_reason"] == "content_filter"
        assert choice["message"]["refusal"] in choice["message"]["content"]
        assert choice["message"]["content"].startswith("[The gateway blocked this answer: ")
        for n in (1, 2):
            streamed = line.chat(
                model="call", stream=True, n=n, tools=[{"type": "function", "function": {"name": "other"}}]
            )
            said = [json.loads(one[6:]) for one in streamed.text.split("\n\n") if one.startswith("data: {")]
            text = "".join(choice["delta"].get("content") or "" for one in said for choice in one["choices"])
            assert "[The gateway blocked this answer: " in text
            assert streamed.text.endswith("data: [DONE]\n\n")
        secret = line.chat("AKIA" + "Q3EGB6VYWUCNRLZ7", model="invent")
        assert secret.status_code == 200
        refused = line.chat(model="echo", tools=7)  # a request is refused as ever
        assert refused.status_code == 400
        assert line.metric("meshgate_violations_total", code="tool_not_offered") >= 3


def test_an_explained_block_is_not_kept(up: scripted.Upstream, tmp_path: Path) -> None:
    """The next try under an Idempotency-Key runs."""
    with running(tmp_path, config(tmp_path, up.url, output={"explain": True})) as line:
        body = {
            "model": "call",
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": {"name": "other"}}],
        }
        for _ in range(2):
            answer = line.client.post("/v1/chat/completions", json=body, headers={"idempotency-key": "k1"})
            assert answer.headers["x-meshgate-code"] == "tool_not_offered"
            assert "idempotent-replayed" not in answer.headers


# Errors

TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
ERRORS = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "model_not_found": 404,
    "tool_not_found": 404,
    "request_too_large": 413,
    "rate_limited": 429,
    "quota_busy": 429,
    "quota_exceeded": 403,
    "policy_denied": 403,
    "approval_required": 403,
    "pii_blocked": 403,
    "output_blocked": 403,
    "sql_blocked": 403,
    "tool_not_offered": 403,
    "secret_blocked": 403,
    "workflow_frozen": 403,
    "hop_limit": 403,
    "loop_detected": 403,
    "upstream_error": 502,
    "upstream_timeout": 504,
    "policy_unavailable": 503,
    "state_unavailable": 503,
    "overloaded": 503,
}
KINDS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
}


def test_every_code_has_a_row() -> None:
    """The table above equals the code's; tests/reports/test_documents.py compares the README with the code."""
    assert {code: row.status for code, row in TABLE.items()} == ERRORS


@pytest.mark.parametrize("code", ERRORS)
def test_types_of_errors(code: str) -> None:
    """Status, type and code as the official client reads them, and the exception that it raises."""
    status = ERRORS[code]
    body = OPENAI_CHAT.refuse(Refusal(code, "words"), "id")
    error = body["error"]
    kind = TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    assert (error["type"], error["code"], error["message"], error["param"]) == (kind, code, "words", None)
    answer: Any = httpx.Response(status, json=body, request=httpx.Request("POST", "http://gateway/v1/chat/completions"))
    made = openai.OpenAI(api_key="k")._make_status_error_from_response(answer)
    assert type(made) is KINDS.get(status, openai.InternalServerError)
    assert (made.code, made.type) == (code, kind)
