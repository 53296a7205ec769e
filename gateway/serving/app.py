"""The ASGI application: routes, start and stop, reload, housekeeping.

The `Runtime` (`runtime.py`) has everything that a call needs; a reload builds a new one and swaps it in atomically.
`meshgate serve` runs the application on its own server; `gateway.serving.app:app` is for any other ASGI server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from gateway.agents.deliver import Deliveries, Sent
from gateway.agents.remote import Remotes
from gateway.config.grammar import Config
from gateway.config.load import Loaded, Watcher, load
from gateway.control import admin
from gateway.detect.core import expressions
from gateway.detect.names.pool import Pool
from gateway.dialects.routes import METHODS
from gateway.errors import ConfigError, Refusal
from gateway.exchange.sibling_news import SiblingNews
from gateway.identity.identify import Identity
from gateway.ingress.wire import Exchange
from gateway.limits.tokens import O200k
from gateway.policy.engines.live import INTERVAL as POLICY_INTERVAL
from gateway.policy.engines.live import Policies
from gateway.record import logs, workers
from gateway.record.audit import SCHEMA
from gateway.record.audit import file as audit_file
from gateway.record.audit import place as audit_place
from gateway.record.lost import Lost
from gateway.record.telemetry import Telemetry
from gateway.record.upload import Uploads
from gateway.serving import cors, heap
from gateway.serving.arrivals import empty
from gateway.serving.background import retrieve
from gateway.serving.connections import socket
from gateway.serving.endpoints import calls, endpoints
from gateway.serving.registrations import Registrations
from gateway.serving.router import Router
from gateway.serving.runtime import Runtime, Shared, build
from gateway.serving.shares import place
from gateway.stores import STATES, Store, StoreUnavailable, open_store
from gateway.stores.sqlite import SqliteStore
from gateway.stores.watch import Watch
from gateway.stores.writer import Writer
from gateway.tools.breaker import Breakers
from gateway.tools.servers import Servers
from gateway.upstream.clients import Clients

FIGURES = 5  # seconds between two readings of what all gateways measured of other agents
NOTED = 30  # seconds between two writes of the last use of keys
CENSUS = 15  # seconds between two counts of workflows for the metrics
CENSUS_LIMIT = 10_000  # maximum number of workflows counted, most recently seen first
# Seconds that a thread runs Python before another thread may (`sys.setswitchinterval`): the event loop waits for
# scanning threads. Beside two of them, a small call takes half as long as with Python's default of 5 ms (0.7 instead of
# 1.3 ms on average), while scanning takes a tenth more CPU time. Without scanning threads, the setting costs nothing.
SWITCH = 0.001
TRIM = 10  # seconds between two returns of freed memory to the system
COLLAPSE = 60  # seconds between two moves of the heap onto huge pages
_log = logging.getLogger("meshgate")


class Gateway:
    """The ASGI application: the data plane here, the control plane in `control.admin`."""

    def __init__(
        self, loaded: Loaded, path: Path | None = None, banner: Callable[[Gateway], None] | None = None
    ) -> None:
        self._loaded = loaded
        self._path = path
        self._banner = banner
        self.runtime: Runtime
        self.shared: Shared
        self._router = Router(endpoints(self))
        self._calls = calls(self)
        self._begins = tuple([path.partition("{")[0] for path in self._calls if "{" in path])
        self._control = admin.application(self)
        self._retired: list[Policies] = []
        self._lost: Lost  # the calls of processes that were killed
        self._watch: Watch | None = None  # of the decision log, if that is a separate file

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if (origins := self.runtime.config.server.cors) and cors.covers(scope["path"]):
                origin = cors.allowed(scope, origins)
                if origin and cors.is_preflight(scope):
                    await empty(send, 204, cors.preflight(scope, origin))
                    return
                scope, send = cors.readable(scope, send, origin)
            match = self._router.find(scope["path"])
            if match is None:
                await self._control(scope, receive, send)
            elif scope["method"] == "OPTIONS":
                await empty(send, 204, [(b"allow", METHODS[match.template].encode())])
            else:
                await match.endpoint(match, scope, receive, send)
        elif scope["type"] == "websocket":
            await socket(self, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    def direct(self, path: str, query: bytes) -> Callable[[Exchange], Awaitable[None]] | None:
        """What serves a POST to a path without ASGI's scope and messages; None if the application itself must."""
        if self.runtime.config.server.cors:
            return None
        if path in self._calls:
            return self._calls[path]
        # `__call__` looks for other paths anyway, and a search goes through all templates.
        match = self._router.find(path) if path.startswith(self._begins) else None
        if match is None or match.template not in self._calls:
            return None
        return partial(self._calls[match.template], values=match.values, asked=query)

    def leave(self) -> None:
        """The gateway is about to stop: what has no end by itself ends now."""
        self.shared.listeners.leave()

    def stranger(self, scope: Any) -> Refusal | None:
        """Count a request without a valid key that is not a call; the refusal if its address makes too many."""
        self.shared.telemetry.stranger()
        return self.shared.shares.stranger(self.runtime.config.server, place(scope.get("client")))

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with self._running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self.shared.stopping = True
        except (ConfigError, StoreUnavailable, OSError) as error:
            words = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            print(f"meshgate: {words}", file=sys.stderr)
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Open all parts, serve, and close them in reverse order."""
        config = self._loaded.config
        sys.setswitchinterval(SWITCH)
        async with contextlib.AsyncExitStack() as stack:
            store = open_store(config.state)
            await store.open()
            stack.push_async_callback(store.close)
            clients = Clients()
            stack.push_async_callback(clients.close)
            telemetry = Telemetry(sys.stdout if config.log == "json" else None)
            stack.callback(telemetry.close)
            stack.callback(logs.report, last=True)
            stack.callback(expressions.save)  # what was compiled for the first texts
            stack.callback(lambda: workers.leave(telemetry.snapshot))
            writer, self._watch = _audit_writer(config, store, stack)
            self._lost = Lost(writer, telemetry.say)
            stack.push_async_callback(self._lost.close)
            await self._lost.open()
            self.shared = Shared(store, writer, clients, O200k(), telemetry)
            clients.open(["direct", "public"])
            self.shared.servers = Servers(clients["direct"], store, Breakers(self.shared.healths, store))
            circuits = Breakers(self.shared.healths, store, noun="agent", part="a2a")
            self.shared.remotes = Remotes(clients["direct"], circuits)
            self.shared.deliveries = Deliveries(store, telemetry.pushed)
            news = SiblingNews(self.shared.servers)
            self.shared.servers.tell = news.tell
            await news.open()
            stack.push_async_callback(self.shared.servers.close)
            stack.push_async_callback(news.close)
            stack.push_async_callback(self.shared.siblings.close)
            stack.callback(self.shared.lanes.close)
            stack.push_async_callback(self._close_policies)
            stack.push_async_callback(self._close_candidate)
            stack.push_async_callback(self._close_ner)
            self.shared.uploads = Uploads(audit_file(config), lambda: telemetry.failures.add(("upload",)))
            stack.push_async_callback(self.shared.uploads.close)
            self._registrations = Registrations(config, self._apply, telemetry.say)
            await self._registrations.start(store)
            stack.push_async_callback(self._close_identity)
            expressions.save()
            telemetry.gauges += admin.gauges(self)
            stack.push_async_callback(self._note_last_keys)
            for task in self._background():
                stack.push_async_callback(_end, task)
            heap.settle()
            if self._banner:
                self._banner(self)
            yield

    async def _apply(self, config: Config) -> None:
        """Build the runtime of a configuration and swap it in; policies are reopened if their settings changed."""
        shared, old = self.shared, getattr(self, "runtime", None)
        runtime, policies, ner = await self._built(config, old)
        self.runtime, retired, shared.policies = runtime, shared.policies, policies
        shared.telemetry.hide(runtime.own)
        logs.install(runtime.own)
        if policies is not None and policies is not retired:
            self._say_policy(policies)
        before, shared.ner = shared.ner, ner
        if runtime.candidate is not shared.candidate:
            await self._close_candidate()
            shared.candidate = runtime.candidate
            if shared.candidate is not None:
                shared.candidate.open()
        if shared.uploads is not None:
            await shared.uploads.follow(config.audit.upload, runtime.audit)
        if retired is not policies and retired is not None:
            await retired.retire()  # or it would continue to fetch and report a source that is no longer configured
            self._retired.append(retired)  # calls in flight may still use them: closed with the gateway
        if before is not ner and before is not None:
            await before.retire()
        if shared.servers is not None:
            await shared.servers.follow(config.tools)
        if shared.remotes is not None:
            shared.remotes.follow(config.a2a)
        if old is not None:
            shared.telemetry.say({"level": "info", "event": "config applied"})
            await old.identity.aclose()

    async def _built(self, config: Config, old: Runtime | None) -> tuple[Runtime, Policies | None, Pool | None]:
        """The runtime of a configuration, with its policies and its processes that find names.

        Those of `shared` are reused if their settings are the same. What was opened is closed again after a fault.
        """
        shared, policies, ner = self.shared, self.shared.policies, self.shared.ner
        shared.clients.open(provider.client for provider in config.providers.values())
        if old is None or config.policy != old.config.policy:
            policies = await Policies.open(config.policy, shared.telemetry) if config.policy else None
        try:
            wanted = config.pii.ner if config.pii else None
            if wanted != (ner.config if ner else None):
                ner = await Pool(wanted).open() if wanted else None
            identity = Identity(
                config.agents, config.jwt, await shared.store.keys(), previous=old.identity if old else None
            )
            return await asyncio.to_thread(build, config, shared, identity, policies, ner), policies, ner
        except BaseException:
            if ner is not None and ner is not shared.ner:
                await ner.close()
            if policies is not None and policies is not shared.policies:
                await policies.close()
            raise

    def _say_policy(self, policies: Policies) -> None:
        words = {"event": "policy in force", "version": policies.version, "origin": policies.origin}
        self.shared.telemetry.say({"level": "info", **words})

    async def _watch_policies(self) -> None:
        """Watch the files of the policies in force."""
        while True:
            await asyncio.sleep(POLICY_INTERVAL)
            policies = self.shared.policies
            if policies is not None and await policies.look():
                self._say_policy(policies)

    async def _close_candidate(self) -> None:
        if self.shared.candidate is not None:
            await self.shared.candidate.close()

    async def _close_policies(self) -> None:
        for policies in [*self._retired, self.shared.policies]:
            if policies is not None:
                await policies.close()

    async def _close_identity(self) -> None:
        await self.runtime.identity.aclose()

    async def _close_ner(self) -> None:
        if self.shared.ner is not None:
            await self.shared.ner.close()

    def _background(self) -> list[asyncio.Task[None]]:
        """The background tasks. A fault is logged and counted, and the task continues."""
        jobs: list[Awaitable[None]] = [self._housekeeping(), self._watch_policies(), self._collapse(), retrieve(self)]
        assert self.shared.deliveries is not None, "deliveries are there before they begin"
        jobs.append(self.shared.deliveries.run(self._notify, self._notifies))
        if self._path:
            watcher = Watcher(
                self._path,
                self._registrations.apply,
                self._reloaded,
                running=self._loaded.config,
                files=self._loaded.files,
                warn=lambda words: self.shared.telemetry.say({"level": "warning", "event": words}),
            )
            with contextlib.suppress(ValueError, RuntimeError):  # signals need the main thread
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watcher.kick)
            jobs.append(watcher.run())
        return [asyncio.ensure_future(job) for job in jobs]

    async def _notify(self, record: bytes) -> Sent:
        """Send a push notification that waited, by the configuration of now."""
        return await self.runtime.line.desks.a2a.send(record)

    def _notifies(self) -> bool:
        """Whether any agent sends push notifications."""
        return any(row.push is not None for row in self.runtime.config.a2a.values())

    def _reloaded(self, problem: str | None) -> None:
        self.shared.telemetry.reloaded("config", problem)

    async def _note_keys(self) -> None:
        """Write the last use of keys. Raises `StoreUnavailable`; then all of it is written next time."""
        used = self.runtime.identity.used
        if noted := dict(used):
            await self.shared.store.note_keys(noted)
        for id, at in noted.items():
            if used.get(id) == at:
                del used[id]

    async def _measure(self, beat: int) -> None:
        """Write what was measured of other agents, and read what all gateways did. What fails is done next time."""
        with contextlib.suppress(StoreUnavailable):
            await self.shared.measures.write(self.shared.store)
            if beat % FIGURES == 0:
                await self.shared.measures.read(self.shared.store, self.runtime.config.a2a)

    async def _note_last_keys(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._note_keys()
            await self.shared.measures.write(self.shared.store)

    async def _collapse(self) -> None:
        """Keep the heap on huge pages."""
        while True:
            await asyncio.to_thread(heap.collapse, lambda: self.shared.stopping)
            await asyncio.sleep(COLLAPSE)

    async def _housekeeping(self) -> None:
        """Each second: reload keys, apply orders, lapse reservations, delete expired records, return memory."""
        store, version, beat, complaint = self.shared.store, -1, 0, ""
        while True:
            try:
                workers.leave(self.shared.telemetry.snapshot)
                logs.report()
                self.shared.telemetry.report()
                if self._watch is not None:
                    self._watch.look()
                await self.shared.healths.exchange(store)
                try:
                    now = await store.keys_version()
                    if now != version:
                        self.runtime.identity.update_keys(await store.keys())
                        version = now
                finally:  # the Cluster node with the keys may be down while other nodes answer
                    self.shared.listeners.sweep(self.runtime.identity.lives)
                    if self.shared.servers is not None:
                        self.shared.servers.held.sweep(self.runtime.identity.lives)
                    await store.refresh()
                    await store.sweep()
                await self._lost.look()
                await self._measure(beat)
                if beat % NOTED == 0:
                    await self._note_keys()
                if beat % CENSUS == 0:
                    self.shared.census = {**dict.fromkeys(STATES, 0), **await store.states(CENSUS_LIMIT)}
                if beat % TRIM == 0:
                    heap.trim()
                if beat % 3600 == 0:
                    kept = self.runtime.config.audit
                    self.runtime.audit.expire(time.time() - kept.retain, kept.max_records)
                await self._registrations.look(store)
                complaint = ""
            except StoreUnavailable as fault:
                if str(fault) != complaint:  # log a fault once, not each second
                    complaint = str(fault)
                    _log.error("state store: %s", fault)
            except Exception:
                _log.exception("housekeeping failed")
                self.shared.telemetry.failures.add(("housekeeping",))
            beat += 1
            await asyncio.sleep(1)


class Configured:
    """The application with the configuration that MESHGATE_CONFIG names, read when the server starts."""

    _gateway: Gateway | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            path = Path(os.environ.get("MESHGATE_CONFIG") or "config/gateway.yaml")
            try:
                loaded = load(path)
            except ConfigError as error:
                print(f"meshgate: {error}", file=sys.stderr)
                await receive()
                await send({"type": "lifespan.startup.failed", "message": ""})
                return
            for warning in loaded.warnings:
                print(f"warning: {warning}", flush=True)
            self._gateway = Gateway(loaded, path)
        if self._gateway is None:
            raise RuntimeError("Meshgate needs a server with ASGI's lifespan protocol, and it must be on")
        await self._gateway(scope, receive, send)


app = Configured()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _audit_writer(config: Config, store: Store, stack: contextlib.AsyncExitStack) -> tuple[Writer, Watch | None]:
    """The writer of decisions: the state's own writer for SQLite, unless the log is a separate file."""
    path = audit_place(config)
    if path is None:
        assert isinstance(store, SqliteStore)
        for statement in SCHEMA:
            store.writer.submit(statement, ())
        return store.writer, None
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(path, SCHEMA)
    watch = Watch(writer)
    stack.callback(watch.close)
    stack.callback(writer.close)
    return writer, watch
