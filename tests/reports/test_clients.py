"""What clients send and ask for: compressed bodies, single models, other paths for health, keys as Azure sends them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
import zstandard

import upstream as scripted
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
    with running(folder, config(folder, up.url, server={"max_body": "100k"})) as running_line:
        yield running_line


def post(line: Line, coding: str, data: bytes) -> Any:
    """A chat call with a body in a coding."""
    return line.client.post("/v1/chat/completions", content=data, headers={"content-encoding": coding})


@pytest.mark.parametrize("coding", PACK)
def test_compressed_bodies(line: Line, up: scripted.Upstream, coding: str) -> None:
    """Are read, sent on as they were, bounded by what they unpack to, and refused where they are broken."""
    assert post(line, coding, PACK[coding](BODY)).status_code == 200
    assert up.last.raw == BODY
    bomb = post(line, coding, PACK[coding](b" " * 10_000_000))
    assert (bomb.status_code, bomb.json()["error"]["code"]) == (413, "request_too_large")
    assert post(line, coding, b"\x00nothing").status_code == 400
    assert post(line, coding, PACK[coding](BODY)[:-9]).status_code == 400


def test_a_coding_that_is_not_taken(line: Line) -> None:
    """415, and what is."""
    answer = post(line, "compress", b"x")
    assert answer.status_code == 415
    assert "gzip" in answer.headers["accept-encoding"]


def test_one_model(line: Line) -> None:
    """`GET /v1/models/{id}`."""
    assert line.client.get("/v1/models/echo").json()["id"] == "echo"
    answer = line.client.get("/v1/models/nope")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_the_key_as_azure_sends_it(line: Line) -> None:
    """`api-key` names the caller, and goes no further."""
    headers = {"authorization": "", "api-key": "mg-alice"}
    assert line.client.get("/v1/models", headers=headers).status_code == 200


def test_methods_and_paths(line: Line) -> None:
    """405 says what is allowed, 404 what is served, each with the id of the request."""
    wrong = line.client.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    lost = line.client.post("/v1/responses", json={})
    assert lost.status_code == 404
    assert "set_default_openai_api('chat_completions')" in lost.json()["error"]["message"]
    assert lost.json()["error"]["request_id"] == lost.headers["x-request-id"] != ""
    assert "/v1/chat/completions" in line.client.get("/").json()["serves"]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/health/liveliness", "/health/readiness"])
def test_health_by_other_names(line: Line, path: str) -> None:
    """As other gateways call it."""
    assert line.client.get(path).status_code == 200


def test_types_of_errors(line: Line) -> None:
    """By status, as OpenAI's clients know them."""
    denied = line.chat("4111 1111 1111 1111", max_tokens=5, tools=[])
    assert denied.status_code in (200, 403)
    assert line.chat("hi", "nope").json()["error"]["type"] == "invalid_request_error"
    assert line.client.get("/v1/models", headers={"authorization": "Bearer x"}).json()["error"]["type"] == (
        "authentication_error"
    )
