"""The gateway as a process: one or several workers, and the banner.

Workers share only the port: on Linux each listens on a socket of its own, and the system divides connections between
them; elsewhere they share one socket. Their state is in Redis; each has its own caches and counters, and hands over
what another worker has begun (`exchange.siblings`).
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from gateway import __version__
from gateway.config.grammar import Config
from gateway.config.load import Loaded, load
from gateway.errors import ConfigError
from gateway.exchange.siblings import door
from gateway.record.workers import FOLDER
from gateway.serving.app import Gateway
from gateway.serving.server import Server, make_server
from gateway.serving.signals import ignore_reloads

Tell = Callable[[], None]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DIVIDES = sys.platform == "linux"
TRIES = 5  # consecutive failed starts after which the supervisor gives up
MOST_WAIT = 5.0  # maximum number of seconds before a worker is started again


def serve(loaded: Loaded, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError before anything listens."""
    for warning in loaded.warnings:
        print(f"warning: {warning}", flush=True)
    listener = _listen(host, port)
    if workers > 1 and _DIVIDES:
        listener = _reserved(listener, host)
    path = key_file(loaded.config)
    new = path is not None and not path.exists() and sys.stdout.isatty()
    try:
        if workers == 1:
            _run(loaded, listener, host, new=new)
        else:
            _supervise(loaded, listener, host, workers, new=new)
    finally:
        listener.close()


def _reserved(listener: socket.socket, host: str) -> socket.socket:
    """A socket on the same port that lets the sockets of workers join; no connection reaches it.

    The port is taken without this permission first: of another gateway that has the port, that is an error.
    """
    port = listener.getsockname()[1]
    listener.close()
    return _listen(host, port, joined=True)


def _listen(host: str, port: int, *, joined: bool = False) -> socket.socket:
    """A socket on a port. `joined`: together with others of this user. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if joined:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    listener.set_inheritable(True)
    return listener


def _run(
    loaded: Loaded,
    listener: socket.socket,
    host: str,
    *,
    new: bool = False,
    quiet: bool = False,
    tell: Tell = lambda: None,
) -> None:
    port = listener.getsockname()[1]

    def ready(gateway: Gateway) -> None:
        if not quiet:
            print(banner(gateway, host, port, new=new), flush=True)
        _end_with_supervisor(server)
        tell()

    gateway = Gateway(loaded, loaded.files[0] if loaded.files else None, ready)
    server = make_server(gateway, loaded.config.server, sockets=[listener], door=door())
    try:
        server.run()
    except SystemExit:  # uvicorn's exit if the application does not start
        if server.started:
            raise
    if not server.started:
        raise SystemExit(2)


def _end_with_supervisor(server: Server) -> None:
    """Let a worker stop as on SIGTERM if its supervisor was killed: nobody else would ever stop or replace it."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    sentinel, loop = supervisor.sentinel, asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(sentinel)
        print("meshgate: the supervisor has ended, so this worker stops", file=sys.stderr)
        server.should_exit = True

    loop.add_reader(sentinel, orphaned)


def _worker(path: Path, listener: socket.socket, host: str, new: bool, quiet: bool, serving: Event) -> None:
    ignore_reloads()
    try:
        loaded = load(path)
        if _DIVIDES:
            port = listener.getsockname()[1]
            listener.close()
            listener = _listen(host, port, joined=True)
    except ConfigError as error:  # such as a file that has changed since the supervisor read it
        print(f"meshgate: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    _run(loaded, listener, host, new=new, quiet=quiet, tell=serving.set)


def _supervise(loaded: Loaded, listener: socket.socket, host: str, workers: int, *, new: bool) -> None:
    """Keep `workers` processes alive until the supervisor ends."""
    with tempfile.TemporaryDirectory(prefix="meshgate-") as folder:
        os.environ[FOLDER] = folder  # where workers exchange their counters
        _serve_together(loaded, listener, host, workers, new=new)


def _serve_together(loaded: Loaded, listener: socket.socket, host: str, workers: int, *, new: bool) -> None:
    context = multiprocessing.get_context("spawn")

    def start(number: int) -> Worker:
        serving = context.Event()
        args = (loaded.files[0], listener, host, new, number > 0, serving)
        process = context.Process(target=_worker, args=args)
        process.start()
        return Worker(process, serving)

    crew = Crew(start, workers, listener.close)
    signal.signal(signal.SIGTERM, crew.stop)
    signal.signal(signal.SIGINT, crew.stop)
    signal.signal(signal.SIGHUP, crew.reload)
    crew.run()


class Worker(NamedTuple):
    """A process, and the event that the process sets once it serves."""

    process: BaseProcess
    serving: Event


class Crew:
    """Worker processes, each of which is restarted when it ends.

    A worker that ends before it serves has failed to start; the delay before the next attempt grows each time. If no
    other worker serves, `TRIES` consecutive failures, or one with exit code 2 (a mistake in the configuration), end the
    supervisor with the worker's exit code. `close` closes the listening socket of this process.
    """

    def __init__(
        self, start: Callable[[int], Worker], workers: int, close: Callable[[], object] = lambda: None
    ) -> None:
        self._start = start
        self._close = close
        self._stopping = False
        self._failures = 0
        self._stopped, self._stop = multiprocessing.Pipe(duplex=False)  # readable once `stop` was called
        self._workers = {number: start(number) for number in range(workers)}

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Terminate every worker. Also a signal handler."""
        self._stopping = True
        self._stop.send_bytes(b".")
        for worker in self._workers.values():
            worker.process.terminate()

    def reload(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Have every worker read its files again; a worker that does not serve yet will. Also a signal handler."""
        for worker in self._workers.values():
            if worker.serving.is_set() and worker.process.is_alive() and worker.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGHUP)

    def run(self) -> None:
        """Return when all workers have ended after `stop`. Raises SystemExit if no worker can be started."""
        # Until `stop`, no worker alive is no end: each that has ended is started again, or nothing can be started.
        while not self._stopping or any(worker.process.is_alive() for worker in self._workers.values()):
            self._wait([worker.process.sentinel for worker in self._workers.values()], 1)
            if self._stopping:
                # The system accepts connections as long as any process listens, and nobody would serve them.
                self._close()
            for number, worker in list(self._workers.items()):
                if not worker.process.is_alive() and not self._stopping:
                    self._again(number, worker)

    def _again(self, number: int, ended: Worker) -> None:
        failed = not ended.serving.is_set()
        self._failures = self._failures + 1 if failed else 0
        served = any(it.process.is_alive() and it.serving.is_set() for it in self._workers.values())
        if failed and not served and (ended.process.exitcode == 2 or self._failures >= TRIES):
            self._give_up(ended.process)
        if self._failures:
            self._wait([], min(MOST_WAIT, 0.1 * 2**self._failures))
        if not self._stopping:
            self._workers[number] = self._start(max(number, 1))
        if self._stopping:  # by a signal during the start
            self._workers[number].process.terminate()

    def _wait(self, ends: Sequence[int], seconds: float) -> None:
        """Wait until one of these processes has ended, or `stop` is called for the first time."""
        watched = [*ends, *(() if self._stopping else (self._stopped,))]
        multiprocessing.connection.wait(watched, timeout=seconds)

    def _give_up(self, process: BaseProcess) -> None:
        self.stop()
        print("meshgate: no worker could be started; see the message above", file=sys.stderr)
        raise SystemExit(process.exitcode if process.exitcode and process.exitcode > 0 else 1)


def banner(gateway: Gateway, host: str, port: int, *, new: bool = False) -> str:
    """The text printed at the start: the URL, where the key is, the policy, and a curl command to try.

    `new`: this start has created the key file and prints to a terminal, so the key itself is shown, once.
    """
    config = gateway.runtime.config
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    policies = gateway.shared.policies
    path = key_file(config) if host in _LOOPBACK else None
    shown = f"{path.read_text().strip()} (kept in {path})" if path and new else f"in {path}" if path else None
    lines = [
        f"Meshgate {__version__} listens on {url}",
        f"  policy   {f'{policies.version} ({policies.origin})' if policies else 'none: every call is allowed'}",
        f"  key      {shown or 'create one with: meshgate keys add --agent NAME --team NAME'}",
        f"  metrics  {url}/metrics",
    ]
    if gateway.runtime.admin is not None:
        place = gateway.runtime.admin.path
        lines.append(f"  admin    {url}/admin/api" + (f", key in {place}" if place else ""))
    model = _demo_model(config)
    if path and model:
        lines += [
            "  try it (the e-mail address never reaches the model, the IBAN never comes back):",
            "",
            _curl(url, path.absolute(), model),
            "",
        ]
    return "\n".join(lines)


def key_file(config: Config) -> Path | None:
    """The key file of the first agent that has one; the banner names it only if the gateway listens on the loopback."""
    return next((Path(agent.key_file) for agent in config.agents.values() if agent.key_file), None)


def _demo_model(config: Config) -> str | None:
    for name, model in config.models.items():
        first = model.targets[0]
        target = first[0] if isinstance(first, list) else first
        if config.providers[target.address.provider].format == "demo":
            return name
    return None


def _curl(url: str, key: Path, model: str) -> str:
    text = "I am ann@example.org, please pay DE89 3704 0044 0532 0130 00."
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{text}"}}]}}'
    return (
        f'curl -s {url}/v1/chat/completions -H "Authorization: Bearer $(cat {shlex.quote(str(key))})" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
