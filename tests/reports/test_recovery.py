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
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import pytest
import redis
import yaml

import upstream as scripted
from gateway.amounts import Reservation
from gateway.cli import main
from gateway.cli.commands import backup
from gateway.errors import ConfigError
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
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["retry-after"] == "1"
    assert line.client.get("/livez").status_code == 200  # nobody need restart the gateway
    assert line.client.get("/readyz").status_code == 503
    other.execute("ROLLBACK")
    other.close()
    _await(lambda: line.client.get("/readyz").status_code == 200)
    assert line.chat(cid="w").status_code == 200
    workflow = line.workflow("w")
    assert (workflow.used["tokens"], workflow.held.get("tokens", 0)) == (2 * before, 0)


def test_a_decision_log_that_cannot_be_written_is_not_ready(
    up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file of its own, as always with Redis: no call is served then, and load balancers should know."""
    monkeypatch.setattr(writing, "_PATIENCE", 1)
    monkeypatch.setattr(writing, "RETRY", 0.05)
    path = tmp_path / "audit.db"
    settings = config(tmp_path, up.url, quotas={"tokens": 100_000}, audit={"path": str(path)})
    with running(tmp_path, settings) as line:
        assert line.chat(cid="w").status_code == 200
        used = line.workflow("w").used["tokens"]
        other = connect(path)
        other.execute("BEGIN IMMEDIATE")
        assert line.chat(cid="w").json()["error"]["code"] == "state_unavailable"
        assert line.client.get("/readyz").json() == {"ready": False, "failed": {"audit": "StoreUnavailable"}}
        assert line.client.get("/livez").status_code == 200
        other.execute("ROLLBACK")
        other.close()
        _await(lambda: line.client.get("/readyz").status_code == 200)
        assert line.chat(cid="w").status_code == 200
        assert line.workflow("w").used["tokens"] == 2 * used


def test_a_database_that_is_gone_stops_the_gateway(line: Line) -> None:
    """Nothing is admitted any more, and `/livez` asks whoever supervises the process for another."""
    assert line.chat().status_code == 200
    (line.path.parent / "state.db").unlink()
    _await(lambda: line.client.get("/livez").status_code == 503)
    refused = line.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
    assert refused.headers["retry-after"] == "1"


def test_a_backup_written_over_the_file_stops_the_gateway(line: Line) -> None:
    """A restore without a stop: the copy is a good database, but what was charged since then would be lost."""
    assert line.chat().status_code == 200
    path = line.path.parent / "state.db"
    backup.copy(path, path.with_name("copy.db"))
    with path.open("r+b") as file:  # as `cp` does
        file.write(path.with_name("copy.db").read_bytes())
    _await(lambda: line.client.get("/livez").status_code == 503)
    assert line.chat().status_code == 503


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


def test_workers_that_all_end_at_once_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers dead when the supervisor looks: it goes on, where an end would leave a port that nobody serves."""
    crew, started = _crew(_serves, monkeypatch)
    for worker in list(crew._workers.values()):
        assert worker.serving.wait(30)
        worker.process.kill()
        worker.process.join()
    again = crew._again

    def both(number: int, ended: process.Worker) -> None:
        again(number, ended)
        if len(started) == 4:
            crew.stop()

    monkeypatch.setattr(crew, "_again", both)
    crew.run()
    assert len(started) == 4


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


def _counts(serving: Event, reloads: SimpleQueue[int]) -> None:
    signal.signal(signal.SIGHUP, lambda *_: reloads.put(os.getpid()))
    _serves(serving)


def test_a_reload_reaches_the_workers_that_serve() -> None:
    """One that is starting reads the files anyway; the signal would end it."""
    context = get_context("fork")
    reloads: SimpleQueue[int] = context.SimpleQueue()
    serving = [context.Event(), context.Event(), context.Event()]
    targets: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (_counts, (serving[0], reloads)),
        (_counts, (serving[1], reloads)),
        (signal.pause, ()),
    ]
    started: list[BaseProcess] = []

    def start(number: int) -> process.Worker:
        target, args = targets[number]
        child = context.Process(target=target, args=args)
        child.start()
        started.append(child)
        return process.Worker(child, serving[number])

    crew = process.Crew(start, 3)
    assert serving[0].wait(30)
    assert serving[1].wait(30)
    crew.reload()
    assert {reloads.get(), reloads.get()} == {started[0].pid, started[1].pid}
    assert started[2].is_alive()
    crew.stop()
    crew.run()
    assert not any(child.is_alive() for child in started)


def test_a_stop_closes_the_socket_before_the_workers_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the system would accept connections that nobody serves, for as long as calls in flight take to end."""
    crew, started = _crew(_serves, monkeypatch)
    assert crew._workers[0].serving.wait(30)
    assert crew._workers[1].serving.wait(30)

    def close() -> None:
        for child in started:
            child.kill()

    monkeypatch.setattr(crew, "_close", close)
    monkeypatch.setattr(BaseProcess, "terminate", lambda self: None)  # they take their time
    crew.stop()
    crew.run()
    assert [child.exitcode for child in started] == [-signal.SIGKILL] * 2


def test_a_stop_during_a_start_ends_the_new_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may arrive when the worker runs, and the supervisor does not know it yet."""
    crew, started = _crew(_serves, monkeypatch)
    start = crew._start

    def stopped(number: int) -> process.Worker:
        worker = start(number)
        assert worker.serving.wait(30)
        crew.stop()
        return worker

    assert crew._workers[0].serving.wait(30)
    monkeypatch.setattr(crew, "_start", stopped)
    started[0].kill()
    crew.run()
    assert len(started) == 3
    assert not any(child.is_alive() for child in started)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_workers_stop_when_their_supervisor_is_killed(redis_url: str, tmp_path: Path) -> None:
    """The real command: SIGHUP reloads the workers; without their supervisor they stop as on SIGTERM."""
    path, port = tmp_path / "gateway.yaml", free_port()
    audit = {"path": str(tmp_path / "audit.db")}
    settings = config(
        tmp_path, "http://127.0.0.1:9/v1", state=redis_url, pii=None, output=None, audit=audit, log="json"
    )
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--workers", "2", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as supervisor:
        assert supervisor.stdout is not None
        try:
            _await(lambda: _answers(f"http://127.0.0.1:{port}/livez"), 120)
            supervisor.send_signal(signal.SIGHUP)
            assert next(line for line in supervisor.stdout if "config applied" in line)
            assert supervisor.poll() is None
        finally:
            supervisor.kill()
        said, _ = supervisor.communicate(timeout=60)  # ends with the last process that can write
    assert "the supervisor has ended" in said
    assert not _answers(f"http://127.0.0.1:{port}/livez")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers share one socket")
def test_workers_divide_the_connections_of_one_port() -> None:
    """Each has a socket of its own, none is left out; another gateway cannot take the port."""
    host = "127.0.0.1"
    with closing(process._reserved(process._listen(host, 0), host)) as reserved:
        port = reserved.getsockname()[1]
        with (
            closing(process._listen(host, port, joined=True)) as one,
            closing(process._listen(host, port, joined=True)) as other,
        ):
            one.listen()
            other.listen()
            clients = [socket.create_connection((host, port), timeout=10) for _ in range(64)]
            taken = [_accepted(one), _accepted(other)]
            assert sum(taken) == len(clients)
            assert min(taken) > 0
            for client in clients:
                client.close()
            with pytest.raises(ConfigError, match="choose another --port"):
                process._listen(host, port)


def _accepted(listener: socket.socket) -> int:
    """The connections that wait at a socket; they are closed."""
    listener.setblocking(False)
    number = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


def test_a_reload_during_the_start_ends_nothing(tmp_path: Path) -> None:
    """Starting takes minutes at times; the mistake in the file is still reported."""
    path = tmp_path / "gateway.yaml"
    os.mkfifo(path)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server, path.open("w") as file:
        server.send_signal(signal.SIGHUP)  # while it reads
        file.write("providers: 1")
        file.close()
        _, said = server.communicate(timeout=60)
    assert (server.returncode, "gateway.yaml:1: providers" in said) == (2, True)


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
