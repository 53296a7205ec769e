"""The whole gateway on a real port, in a thread, for tests that act as clients."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from gateway.config.load import load
from gateway.limits.tokens import O200k
from gateway.serving.app import Gateway
from gateway.serving.server import make_server

KEYS = {"alice": "mg-alice", "bob": "mg-bob", "mallory": "mg-mallory"}
TEAMS = {"alice": "red", "bob": "red", "mallory": "blue"}


class Line:
    """A running gateway: its URL, its configuration file, its own objects."""

    def __init__(self, url: str, path: Path, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.path = path
        self.gateway = gateway
        self.loop = loop
        self.client = httpx.Client(base_url=url, headers={"authorization": "Bearer mg-alice"}, timeout=30)

    def chat(
        self, text: str = "hi", model: str = "echo", *, agent: str = "alice", cid: str = "", **fields: Any
    ) -> httpx.Response:
        """One call."""
        headers = {"authorization": f"Bearer {KEYS[agent]}"}
        if cid:
            headers["x-correlation-id"] = cid
        if "call" in model:  # the tool that the scripted upstream calls
            fields.setdefault("tools", [{"type": "function", "function": {"name": "send"}}])
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.client.post("/v1/chat/completions", json=body, headers=headers)

    def embed(
        self, said: Any = "hi", model: str = "echo", *, agent: str = "alice", cid: str = "", **fields: Any
    ) -> httpx.Response:
        """One call for embeddings."""
        headers = {"authorization": f"Bearer {KEYS[agent]}", **({"x-correlation-id": cid} if cid else {})}
        return self.client.post("/v1/embeddings", json={"model": model, "input": said, **fields}, headers=headers)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.client.get("/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{k}="{v}"' in head for k, v in labels.items()):
                total += float(value)
        return total

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the state database, once everything so far is on disk."""
        import sqlite3

        asyncio.run_coroutine_threadsafe(self.gateway.runtime.audit.durable(), self.loop).result()
        with contextlib.closing(sqlite3.connect(self.path.parent / "state.db")) as connection:
            return connection.execute(query).fetchall()

    def workflow(self, cid: str, team: str = "red") -> Any:
        """The record of a workflow in the store."""
        return asyncio.run_coroutine_threadsafe(self.gateway.shared.store.workflow(team, cid), self.loop).result()


def config(folder: Path, upstream: str, **fields: Any) -> dict[str, Any]:
    """A configuration with every model name of the scripted upstream that the tests use."""
    models = [
        "echo call invent nousage call-nousage reset hang garbage wrong-shape short not-a-stream mid-hang mid-reset",
        "mid-garbage mid-error mid-half status-400 status-401 status-404 status-429 status-500 status-503",
        "early-nousage script",
    ]
    names = " ".join(models).split()
    return {
        "providers": {
            "up": {"format": "openai", "base_url": upstream, "api_key": "sk-upstream-secret", "idle_timeout": "30s"},
            "demo": {"format": "demo"},
            "dead": {"format": "openai", "base_url": "http://127.0.0.1:9/v1"},
            "slow": {"format": "openai", "base_url": upstream, "idle_timeout": "200ms"},
        },
        "models": {
            **{name: {"targets": [f"up/{name}"], "price": {"input": 1, "output": 2}} for name in names},
            "demo": {"targets": ["demo/demo"]},
            "gone": {"targets": ["dead/gone"]},
            "silent": {"targets": ["slow/hang"]},
            "mid-silent": {"targets": ["slow/mid-hang"]},
            "failover": {"targets": ["dead/x", "up/status-500", "up/echo"]},
            "renamed": {"targets": ["up/echo"]},
        },
        "agents": {
            name: {"key_sha256": hashlib.sha256(key.encode()).hexdigest(), "team": TEAMS[name], "roles": ["developer"]}
            for name, key in KEYS.items()
        },
        "policy": None,
        "state": f"sqlite:///{folder}/state.db",
        "log": "off",
        **fields,
    }


def policies(folder: Path, rego: str) -> dict[str, Any]:
    """The section for a bundle of one file, which is written."""
    bundle = folder / "policies"
    bundle.mkdir()
    (bundle / "gateway.rego").write_text(rego)
    return {"path": str(bundle)}


GEMINI_MODELS = "echo call think think-call mid-error nousage script status-400 status-429 status-500"


def gemini_config(folder: Path, upstream: str, **fields: Any) -> dict[str, Any]:
    """A configuration whose models are served by a provider of Gemini's format."""
    made = config(folder, upstream, **fields)
    made["providers"]["g"] = {
        "format": "gemini",
        "base_url": upstream.removesuffix("/v1") + "/v1beta",
        "api_key": "AIza-upstream",
    }
    price = {"input": 1, "output": 2, "cached_input": 0.5}
    for name in GEMINI_MODELS.split():
        made["models"][name] = {"targets": [f"g/{name}"], "price": price}
    made["models"]["openai-only"] = {"targets": ["up/echo"]}
    made["models"]["team/*"] = {"targets": ["g/*"]}
    made["models"]["failover"] = {"targets": ["g/status-500", "g/echo"]}
    return made


@contextlib.contextmanager
def running(folder: Path, settings: dict[str, Any]) -> Iterator[Line]:
    """A gateway under these settings until the block ends."""
    O200k().count("a")  # else the first call of the process that counts settles after its answer has left
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    loaded = load(path)
    ready = threading.Event()
    started: list[Any] = []

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def up(gateway: Gateway) -> None:
        started.extend([gateway, asyncio.get_running_loop()])
        ready.set()

    server = make_server(Gateway(loaded, path, up), loaded.config.server, sockets=[listener])

    def serve() -> None:
        with contextlib.suppress(SystemExit):  # what uvicorn ends with when it cannot start
            try:
                asyncio.run(server.serve())
            finally:
                ready.set()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    if not started:
        thread.join()
        listener.close()
        raise RuntimeError("the gateway did not start")
    gateway, loop = started
    line = Line(f"http://127.0.0.1:{port}", path, gateway, loop)
    try:
        yield line
    finally:
        line.client.close()
        server.should_exit = True
        thread.join()
        listener.close()
        gc.unfreeze()  # what a start sets apart for good is let go: one test process has many gateways, one by one
