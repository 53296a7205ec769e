"""The measured systems: how each is configured, started and called. All use the same mock upstream."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.process import BenchmarkError, Child, free_port

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmarks" / ".work"
GATEWAY_CORE, LOAD_CORE = 0, 1
MODEL = "gpt-4o-mini"
KEYS = [f"mg-bench-{number:02d}" for number in range(20)]
TEAMS = 4
ROLE = "reader"  # one of the shipped policies that may call the model
HUGE = 10**12
COMPILED = 180.0
"""Maximum seconds until a gateway is ready: its first start compiles the patterns on all cores."""


class System:
    """A base URL that speaks OpenAI chat completions; `title` is its row in the table."""

    name = ""
    title = ""
    keys: tuple[str, ...] = ("none",)
    child: Child | None = None
    port = 0
    core = GATEWAY_CORE
    patience = 1  # factor of the window's length, for systems that finish few calls in a window

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream  # the mock, http://host:port

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/v1/chat/completions"

    def start(self) -> None:
        """Return when the system serves calls."""
        raise NotImplementedError

    def stop(self) -> None:
        if self.child:
            self.child.stop()

    def version(self) -> str:
        return ""

    def run(self, argv: list[str | Path], ready: str, seconds: float, env: dict[str, str] | None = None) -> None:
        """Start the system on its core, and wait until its path `ready` answers."""
        self.child = Child(argv, self.core, WORK / "logs" / f"{self.name}.log", env)
        self.child.wait_for(self.base + ready, seconds)


class Mock(System):
    """The upstream, called directly: the maximum of the machine and the load generator."""

    name = "mock"
    title = "mock direct"

    @property
    def base(self) -> str:
        return self.upstream

    def start(self) -> None:
        port = self.upstream.rpartition(":")[2]
        argv: list[str | Path] = [WORK / "bin" / "mock", "-addr", f"127.0.0.1:{port}"]
        self.child = Child(argv, LOAD_CORE, WORK / "logs" / "mock.log", {"GOMAXPROCS": "1", "GOGC": "400"})
        self.child.wait_for(self.upstream + "/stats", 10)


class Nginx(System):
    """A reverse proxy that only forwards: one worker, with persistent connections on both sides."""

    name = "nginx"
    title = "nginx"

    def start(self) -> None:
        self.port = free_port()
        folder = WORK / "nginx"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(port=self.port, upstream=self.upstream.removeprefix("http://"), folder=folder))
        self.run([need("nginx", "nginx-light"), "-p", folder, "-e", folder / "error.log", "-c", config], "/stats", 10)

    def version(self) -> str:
        text = subprocess.run([need("nginx", "nginx-light"), "-v"], capture_output=True, text=True, check=True).stderr
        return text.rpartition("/")[2].strip()


_NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_buffer_size 128k; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream mock {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


class Minimal(System):
    """A minimal proxy in Python: `minimal`, with uvicorn and aiohttp, without parsing."""

    name = "minimal"
    title = "minimal proxy"

    def start(self) -> None:
        self.port = free_port()
        argv: list[str | Path] = [sys.executable, "-m", "uvicorn", "benchmarks.minimal:app", "--port", str(self.port)]
        argv += ["--no-access-log", "--log-level", "error"]
        self.run(argv, "/ready", 20, {"UPSTREAM": self.upstream, "PYTHONPATH": str(ROOT)})


class Gateway(System):
    """Meshgate; the subclasses determine the stages."""

    keys = tuple(KEYS)

    def config(self) -> dict[str, Any]:
        """The whole file, as a user would write it."""
        return {
            "providers": {"mock": {"format": "openai", "base_url": self.upstream + "/v1", "api_key": "sk-mock"}},
            "models": {MODEL: {"targets": [f"mock/{MODEL}"], "price": {"input": 0.15, "output": 0.60}}},
            "agents": {
                f"agent-{number:02d}": {
                    "key_sha256": hashlib.sha256(key.encode()).hexdigest(),
                    "team": f"team-{number % TEAMS}",
                    "roles": [ROLE],
                }
                for number, key in enumerate(KEYS)
            },
            "state": f"sqlite:///{self.state_folder() / 'meshgate.db'}",
        }

    def state_folder(self) -> Path:
        return WORK / "state" / self.name

    def start(self) -> None:
        self.port = free_port()
        shutil.rmtree(self.state_folder(), ignore_errors=True)
        self.state_folder().mkdir(parents=True)
        config = self.state_folder() / "gateway.yaml"
        config.write_text(yaml.safe_dump(self.config(), sort_keys=False))
        meshgate = Path(sys.executable).parent / "meshgate"
        if not meshgate.exists():
            raise BenchmarkError(f"there is no {meshgate.name} beside {sys.executable}; run `make install` first")
        self.run([meshgate, "serve", "--config", config, "--port", str(self.port)], "/readyz", COMPILED)


class Bare(Gateway):
    """The line with every stage off: parse, identify, forward."""

    name = "bare"
    title = "bare line"

    def config(self) -> dict[str, Any]:
        off: dict[str, Any] = {"limits": [], "quotas": {}, "policy": None, "pii": None, "output": None, "log": "off"}
        return {**super().config(), **off}


class AllOn(Gateway):
    """Every stage on, with limits and quotas too high to refuse; state in SQLite."""

    name = "sqlite"
    title = "all on, SQLite"

    def config(self) -> dict[str, Any]:
        rates = [{"requests": "100m/min"}, {"tokens": "100000m/min"}]
        return {
            **super().config(),
            "limits": [{"per": per, **rate} for per in ("agent", "team") for rate in rates],
            "quotas": {"tokens": HUGE, "cost_usd": 1e6, "calls": HUGE, "seconds": "1d", "ttl": "1d"},
            "policy": {"path": str(ROOT / "policies")},
            "pii": {"default": "mask", "restore": True},
            "output": {"secrets": "block", "pii": "redact"},
            "log": "json",
        }


class AllOnRedis(AllOn):
    """The same with state in a separate Redis server, which shares the core of load and mock."""

    name = "redis"
    title = "all on, Redis"
    server: Child | None = None
    redis_port = 0

    def config(self) -> dict[str, Any]:
        config = super().config()
        config["state"] = f"redis://127.0.0.1:{self.redis_port}/0"
        config["pii"]["vault_key"] = base64.b64encode(os.urandom(32)).decode()
        config["audit"] = {"path": str(self.state_folder() / "audit.db")}
        return config

    def start(self) -> None:
        self.redis_port = free_port()
        argv: list[str | Path] = [need("redis-server", "redis-server"), "--port", str(self.redis_port)]
        argv += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.server = Child(argv, LOAD_CORE, WORK / "logs" / "redis-server.log")
        super().start()

    def stop(self) -> None:
        super().stop()
        if self.server:
            self.server.stop()

    def version(self) -> str:
        text = subprocess.run(
            [need("redis-server", "redis-server"), "--version"], capture_output=True, text=True, check=True
        ).stdout
        return text.partition("v=")[2].split()[0]


class LiteLLM(System):
    """LiteLLM's proxy: newest release, one worker, no database, no guardrail, only the loopback interface."""

    name = "litellm"
    title = "LiteLLM"
    keys = ("sk-bench",)
    venv = WORK / "litellm-venv"
    patience = 2

    def start(self) -> None:
        self.port = free_port()
        self.install()
        config = WORK / "litellm.yaml"
        target = {"model": f"openai/{MODEL}", "api_base": self.upstream + "/v1", "api_key": "sk-mock"}
        config.write_text(
            yaml.safe_dump(
                {
                    "model_list": [{"model_name": MODEL, "litellm_params": target}],
                    "litellm_settings": {"telemetry": False},
                    "general_settings": {"master_key": self.keys[0]},
                }
            )
        )
        argv: list[str | Path] = [self.venv / "bin" / "litellm", "--config", config, "--host", "127.0.0.1"]
        argv += ["--port", str(self.port), "--num_workers", "1", "--telemetry", "False"]
        quiet = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self.run(argv, "/health/liveliness", 120, quiet)

    def install(self) -> None:
        """Create its virtual environment once; delete the folder to get a newer release."""
        if (self.venv / "bin" / "litellm").exists():
            return
        print("installing LiteLLM into a virtual environment of its own (once, some minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", self.venv], check=True)
        pip: list[str | Path] = [self.venv / "bin" / "python", "-m", "pip", "install", "-q", "litellm[proxy]"]
        subprocess.run(pip, check=True)

    def version(self) -> str:
        probe = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
        argv: list[str | Path] = [self.venv / "bin" / "python", "-c", probe]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


_KINDS: tuple[type[System], ...] = (Mock, Nginx, Minimal, Bare, AllOn, AllOnRedis, LiteLLM)
SYSTEMS = {kind.name: kind for kind in _KINDS}


def need(command: str, package: str) -> str:
    """The path of a command. The error for a missing command names its Debian package."""
    path = shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/go/bin")
    if path is None:
        raise BenchmarkError(f"{command} is not installed: apt-get install {package}")
    return path
