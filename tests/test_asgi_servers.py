"""The application on other ASGI servers than its own: `gateway.serving.app:app`, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

import upstream as scripted
from line import config
from servers import free_port, listens, process

APP = "gateway.serving.app:app"
SERVERS = {
    "uvicorn": ["-m", "uvicorn", APP, "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning"],
    "hypercorn": ["-m", "hypercorn", APP, "--bind", "127.0.0.1:{port}"],
    "granian": ["-m", "granian", APP, "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"],
}
SAID = "Write to ann@example.org"
HEADERS = {"authorization": "Bearer mg-alice"}


@pytest.fixture(params=SERVERS)
def client(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """A client of the application, which the server has started."""
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, up.url, pii={"default": "mask"}, server={"max_body": 20_000})))
    monkeypatch.setenv("MESHGATE_CONFIG", str(path))
    port = free_port()
    argv = [word.format(port=port) for word in SERVERS[request.param]]
    with (
        process([sys.executable, *argv], lambda: listens(port), seconds=120),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=60) as made,
    ):
        yield made


def test_calls(client: httpx.Client, up: scripted.Upstream) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": SAID}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert SAID in answer.json()["choices"][0]["message"]["content"]
    assert b"ann@example.org" not in up.seen[-1].raw

    with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        said = stream.read()
    assert b"ann@example.org" in said
    assert said.endswith(b"data: [DONE]\n\n")

    unknown = client.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer mg-nobody"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "unauthenticated")
    large = client.post("/v1/chat/completions", json={**body, "user": "a" * 30_000})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    assert client.get("/readyz").status_code == 200
    assert "meshgate_requests_total" in client.get("/metrics").text


def test_a_configuration_with_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("modells: {}\n")
    argv = [sys.executable, *(word.format(port=free_port()) for word in SERVERS["uvicorn"])]
    ended = subprocess.run(argv, env={**os.environ, "MESHGATE_CONFIG": str(path)}, capture_output=True, text=True)
    assert ended.returncode == 3  # uvicorn's, if the application does not start
    assert all(word in ended.stderr for word in ("meshgate: ", "modells", "models"))
    assert "Traceback" not in ended.stderr
