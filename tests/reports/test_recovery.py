"""Temporary faults: the gateway recovers by itself, or asks for a restart."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import pytest
import redis
import yaml

import upstream as scripted
from gateway.amounts import Reservation
from gateway.cli import main
from gateway.record.telemetry import LineLog
from gateway.serving import process
from gateway.stores import StoreUnavailable
from gateway.stores import writer as writing
from gateway.stores.redis import RedisStore
from gateway.stores.writer import connect
from line import Line, config, running
from servers import free_port, redis_server
from store_harness import ask, quota


@pytest.fixture
def line(up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A gateway that does not wait long for locks."""
    monkeypatch.setattr(writing, "_PATIENCE", 1)
    monkeypatch.setattr(writing, "RETRY", 0.05)
    with running(tmp_path, config(tmp_path, up.url, quotas={"tokens": 100_000})) as started:
        yield started


def _await(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_lock_of_the_file_is_survived(line: Line) -> None:
    """While another process locks the file, calls are refused; afterwards they are served, with correct charges."""
    assert line.chat(cid="w").status_code == 200
    before = line.workflow("w").used["tokens"]
    other = connect(line.path.parent / "state.db")
    other.execute("BEGIN IMMEDIATE")
    refused = line.chat(cid="w")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
    assert line.client.get("/livez").status_code == 200  # nobody need restart the gateway
    assert line.client.get("/readyz").status_code == 503
    other.execute("ROLLBACK")
    other.close()
    _await(lambda: line.client.get("/readyz").status_code == 200)
    assert line.chat(cid="w").status_code == 200
    workflow = line.workflow("w")
    assert (workflow.used["tokens"], workflow.held.get("tokens", 0)) == (2 * before, 0)


def test_a_database_that_is_gone_stops_the_gateway(line: Line) -> None:
    """Nothing is admitted any more, and `/livez` asks whoever supervises the process for another."""
    assert line.chat().status_code == 200
    (line.path.parent / "state.db").unlink()
    _await(lambda: line.client.get("/livez").status_code == 503)
    refused = line.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")


@pytest.mark.parametrize("damage", ["log", "pages"])
def test_a_damage_that_a_read_finds_stops_the_gateway(line: Line, damage: str) -> None:
    """The log cut off, pages overwritten: no read succeeds again, so `/livez` fails, and `/readyz` with it."""
    assert line.chat(cid="w").status_code == 200
    path = line.path.parent / "state.db"
    if damage == "log":
        os.truncate(f"{path}-wal", 0)
    else:
        with closing(connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(100)
            file.write(os.urandom(size - 100))

    def is_lost() -> bool:
        line.chat(cid=f"w-{time.monotonic_ns()}")
        return line.client.get("/livez").status_code == 503

    _await(is_lost)
    assert line.client.get("/readyz").status_code == 503
    assert line.chat().json()["error"]["code"] == "state_unavailable"


def test_shared_state_without_a_vault_key_is_found_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meshgate check` names the key that is missing, before a worker fails to start for want of it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gateway.yaml"
    settings = config(tmp_path, "http://127.0.0.1:9/v1", state="redis://127.0.0.1:9/0")
    path.write_text(yaml.safe_dump(settings))
    assert main(["check", "--config", str(path)]) == 2
    assert "pii.vault_key" in (told := capsys.readouterr().err)
    assert "openssl rand" in told


def _fails(code: int, _: Event) -> None:
    raise SystemExit(code)


def _serves(serving: Event) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    serving.set()
    while True:
        signal.pause()


def _crew(
    first: Callable[..., None], monkeypatch: pytest.MonkeyPatch, *args: int, workers: int = 2
) -> tuple[process.Crew, list[BaseProcess]]:
    started: list[BaseProcess] = []
    context = get_context("fork")

    def start(_: int) -> process.Worker:
        serving = context.Event()
        child = context.Process(target=first, args=(*args, serving))
        child.start()
        started.append(child)
        return process.Worker(child, serving)

    monkeypatch.setattr(process, "MOST_WAIT", 0.01)
    return process.Crew(start, workers), started


@pytest.mark.parametrize(("code", "most"), [(2, 4), (1, process.TRIES + 2)])
def test_workers_that_cannot_start_end_the_supervisor(
    code: int, most: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in the configuration ends it immediately, other faults after a few attempts, with their code."""
    crew, started = _crew(_fails, monkeypatch, code)
    with pytest.raises(SystemExit) as caught:
        crew.run()
    assert caught.value.code == code
    assert len(started) <= most
    assert "no worker could be started" in capsys.readouterr().err


def test_a_worker_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed worker is restarted, and a stop ends all workers."""
    crew, started = _crew(_serves, monkeypatch)
    assert crew._workers[0].serving.wait(30)
    assert crew._workers[1].serving.wait(30)
    started[0].kill()
    started[0].join()
    again = crew._again

    def once(number: int, ended: process.Worker) -> None:
        again(number, ended)
        crew.stop()

    monkeypatch.setattr(crew, "_again", once)
    crew.run()
    assert len(started) == 3
    assert not any(child.is_alive() for child in started)


def test_a_server_whose_workers_cannot_start_exits(tmp_path: Path) -> None:
    """The real command: a state that cannot be opened ends with a message and exit code 2."""
    path = tmp_path / "gateway.yaml"
    settings = config(tmp_path, "http://127.0.0.1:9/v1", state="redis://127.0.0.1:9/0", pii=None, output=None)
    path.write_text(yaml.safe_dump(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--workers", "2", "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "127.0.0.1:9" in done.stderr
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


class Sink(io.StringIO):
    """A log that breaks and is mended."""

    broken = False

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_log_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """Calls continue; the fault is reported once, and later the log contains the number of missing lines."""
    sink = Sink()
    log = LineLog(sink)
    log.write({"n": 1})
    sink.broken = True
    for number in (2, 3, 4):
        log.write({"n": number})
    sink.broken = False
    log.write({"n": 5})
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [line["n"] for line in lines if "n" in line] == [1, 5]
    assert [line["count"] for line in lines if "count" in line] == [3]
    assert caplog.text.count("cannot be written") == 1


def test_a_reader_of_the_log_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one thread waits for the reader, and calls do not need that thread; the lines are written afterwards."""
    monkeypatch.setattr(LineLog, "LINGER", 0)
    goes_on, waiting, most = threading.Event(), [0], [0]

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            waiting[0] += 1
            most[0] = max(most[0], waiting[0])
            goes_on.wait(30)
            waiting[0] -= 1
            return super().write(text)

    async def main() -> list[int]:
        sink = Slow()
        log = LineLog(sink)
        for number in range(50):
            log.write({"n": number})
            await asyncio.sleep(0)
            await asyncio.to_thread(int)  # as DNS and bodies that come compressed are looked after
        goes_on.set()
        await asyncio.to_thread(log.close)
        return [json.loads(line)["n"] for line in sink.getvalue().splitlines()]

    assert asyncio.run(main()) == list(range(50))
    assert most == [1]


@pytest.mark.parametrize(
    ("setting", "value", "usual"),
    [("maxmemory", "1", "0"), ("min-replicas-to-write", "3", "0")],
    ids=["full", "without replicas"],
)
async def test_a_redis_that_takes_no_writes_is_not_ready(setting: str, value: str, usual: str) -> None:
    """It still answers PING; calls are refused and `ping` fails, and both recover by themselves."""
    port = free_port()
    with redis_server(port), redis.Redis(port=port) as client:
        store = RedisStore(f"redis://127.0.0.1:{port}/0")
        await store.ping()
        client.config_set(setting, value)
        for failing in (store.ping(), store.reserve(ask(quota(1000, 1)))):
            with pytest.raises(StoreUnavailable):
                await failing
        client.config_set(setting, usual)
        await store.ping()
        assert isinstance(await store.reserve(ask(quota(1000, 1))), Reservation)
        await store.close()
