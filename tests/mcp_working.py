"""A gateway with two workers, each of which a test calls at its own socket."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import yaml

from line import Line, config
from waiting import eventually


class Worker:
    """One worker, which is called at its own socket. Has what helpers need of a `Line`."""

    def __init__(self, port: int, door: Path) -> None:
        self.door = door
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(door)),
            base_url=self.url,
            headers={"authorization": "Bearer mg-alice"},
            timeout=30,
        )

    @property
    def line(self) -> Line:
        """The same, for helpers."""
        return cast(Line, self)

    @property
    def pid(self) -> int:
        """Its process."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.door))
            said = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", said)[0])


@contextlib.contextmanager
def working(folder: Path, settings: dict[str, Any]) -> Iterator[tuple[Worker, Worker]]:
    """The real command with two workers."""
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--workers", "2", "--port", str(port)]
    short = folder / "w"
    short.mkdir()
    environment = {**os.environ, "TMPDIR": str(short)}
    with subprocess.Popen(command, env=environment) as supervisor:
        try:
            eventually(lambda: len(list(short.glob("meshgate-*/*.sock"))) == 2, 120)
            doors = sorted(short.glob("meshgate-*/*.sock"))
            assert doors[0].parent.stat().st_mode & 0o077 == 0
            first, second = (Worker(port, door) for door in doors)
            yield first, second
            first.client.close()
            second.client.close()
        finally:
            supervisor.terminate()
            supervisor.wait(60)


def settings_of(folder: Path, redis_url: str, tools: dict[str, Any]) -> dict[str, Any]:
    """The configuration."""
    audit = {"path": str(folder / "audit.db")}
    vault = {"vault_key": "A" * 43 + "="}
    return config(folder, "http://127.0.0.1:9/v1", state=redis_url, audit=audit, pii=vault, tools=tools)
