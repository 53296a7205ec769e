"""Several gateways on one Redis: Meshgate with a quota, LiteLLM with a session budget. For the accuracy benchmark."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
import yaml

from benchmarks.crowd import INPUT_PRICE, OUTPUT_PRICE
from benchmarks.process import BenchmarkError, Child, free_port
from benchmarks.systems import MODEL, WORK, Gateway, LiteLLM, need

TEAM = "team-0"  # of the first key
TIMEOUT = 5  # seconds a call may take; reservations of a dead gateway lapse a minute after that
LAPSE = TIMEOUT + 60 + 15  # seconds after which a reservation has lapsed
_NANO = 1e-9
_CORES = sorted(os.sched_getaffinity(0))


class Replica(Gateway):
    """One of several gateways on one Redis, configured only with a quota."""

    title = "Meshgate"

    def __init__(self, upstream: str, number: int, redis_url: str, quotas: dict[str, Any]) -> None:
        super().__init__(upstream)
        self.name = f"accuracy-{free_port()}"
        self.core = _CORES[number % len(_CORES)]
        self._redis_url = redis_url
        self._quotas = quotas

    def config(self) -> dict[str, Any]:
        whole = super().config()
        # USD per million tokens
        price = {"input": INPUT_PRICE / 1000, "output": OUTPUT_PRICE / 1000}
        whole["providers"]["mock"]["timeout"] = TIMEOUT
        whole["models"][MODEL]["price"] = price
        off: dict[str, Any] = {"limits": [], "policy": None, "pii": None, "output": None, "log": "off"}
        audit = {"path": str(self.state_folder() / "audit.db")}
        return {**whole, **off, "quotas": self._quotas, "state": self._redis_url, "audit": audit}


_AUTH = """\
from litellm.proxy._types import UserAPIKeyAuth


async def key_of_the_agent(request, api_key: str) -> UserAPIKeyAuth:
    return UserAPIKeyAuth(api_key=api_key, agent_id="{agent_id}")
"""


class Proxy(LiteLLM):
    """One of several LiteLLM proxies on one Redis, with `max_budget_per_session` on the agent that calls.

    A key belongs to an agent by a row in LiteLLM's database; without a database, LiteLLM offers `custom_auth`.
    """

    keys = ("sk-agent",)
    session = "x-litellm-trace-id"
    setting = "max_budget_per_session"

    def __init__(self, upstream: str, number: int, redis_url: str, budget: float) -> None:
        super().__init__(upstream)
        self.name = f"litellm-{number}"
        self.core = _CORES[number % len(_CORES)]
        self._redis = urlsplit(redis_url)
        self._budget = budget

    def start(self) -> None:
        self.install()
        self.port = free_port()
        folder = WORK / self.name
        folder.mkdir(parents=True, exist_ok=True)
        agent_id = hashlib.sha256(b"crowd").hexdigest()  # LiteLLM's id of an agent in the configuration
        (folder / "auth_by_agent.py").write_text(_AUTH.format(agent_id=agent_id))
        config = folder / "litellm.yaml"
        config.write_text(yaml.safe_dump(self._settings(), sort_keys=False))
        argv: list[str | Path] = [self.venv / "bin" / "litellm", "--config", config, "--host", "127.0.0.1"]
        argv += ["--port", str(self.port), "--num_workers", "1", "--telemetry", "False"]
        quiet = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self.run(argv, "/health/liveliness", 120, quiet)

    def _settings(self) -> dict[str, Any]:
        target = {
            "model": f"openai/{MODEL}",
            "api_base": self.upstream + "/v1",
            "api_key": "sk-mock",
            "input_cost_per_token": INPUT_PRICE * _NANO,
            "output_cost_per_token": OUTPUT_PRICE * _NANO,
        }
        where = {"host": self._redis.hostname, "port": self._redis.port}
        card = {
            "name": "crowd",
            "url": "http://127.0.0.1:9",
            "version": "1.0.0",
            "skills": [],
            "capabilities": {},
            "description": "",
        }
        return {
            "model_list": [{"model_name": MODEL, "litellm_params": target}],
            "agents": [
                {
                    "agent_name": "crowd",
                    "agent_card_params": card,
                    "litellm_params": {"require_trace_id_on_calls_by_agent": True, self.setting: self._budget},
                }
            ],
            "litellm_settings": {
                "telemetry": False,
                "cache": True,
                "cache_params": {"type": "redis", "supported_call_types": [], **where},
            },
            "general_settings": {
                "master_key": f"sk-{secrets.token_hex(32)}",  # LiteLLM does not start without a strong key
                "custom_auth": "auth_by_agent.key_of_the_agent",
            },
        }


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A separate Redis, without persistence."""
    port = free_port()
    argv: list[str | Path] = [need("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    child = Child([*argv, "--save", "", "--appendonly", "no"], _CORES[-1], WORK / "logs" / "accuracy-redis.log")
    try:
        deadline = time.monotonic() + 10
        with redis.Redis(port=port) as client:
            while not _answers(client):
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"redis-server did not start:\n{child.tail()}")
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        child.stop()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
