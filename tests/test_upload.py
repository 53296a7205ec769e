"""Decisions are sent to a collector, and none is lost."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import upstream as scripted
from engines.opa_server import program
from gateway.config.sections import Upload
from gateway.record import upload
from line import Line, config, running
from servers import free_port
from waiting import eventually

SHIPPED = Path(__file__).resolve().parent.parent / "policies"


class Collector:
    """Accepts decisions like OPA's decision-log API; can fail on request."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.most = 10**6
        self.huge = "\0"  # what makes an event too large
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = json.loads(gzip.decompress(body))
                huge = any(collector.huge in json.dumps(event) for event in events)
                status = 413 if huge or len(events) > collector.most else collector.status
                if status == 200:
                    collector.headers.append(dict(self.headers))
                    collector.events += events
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/logs"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def ids(self) -> set[str]:
        return {event["decision_id"] for event in self.events}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def settings(tmp_path: Path, up: scripted.Upstream, url: str, **more: object) -> dict[str, Any]:
    upload = {"url": url, "token": "c0llect", "interval": 0.05, **more}
    return config(tmp_path, up.url, policy={"path": str(SHIPPED)}, audit={"upload": upload})


def decided(line: Line) -> set[str]:
    return {row[0] for row in line.rows("SELECT id FROM decisions")}


def test_every_decision_arrives(up: scripted.Upstream, tmp_path: Path, collector: Collector) -> None:
    """Each decision once, with the token; then the queue is empty."""
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        for number in range(5):
            assert line.chat(f"hi {number}").status_code == 200
        eventually(lambda: len(collector.events) >= 5)
        assert collector.ids == decided(line)
        assert collector.headers[0]["Authorization"] == "Bearer c0llect"
        eventually(lambda: line.metric("meshgate_decisions_unsent") == 0)
        assert line.rows("SELECT count(*) FROM unsent") == [(0,)]


def test_a_collector_that_is_away_loses_nothing(up: scripted.Upstream, tmp_path: Path, collector: Collector) -> None:
    """Unconfirmed decisions stay on disk, over a restart of the gateway and beyond `retain`, and are sent later."""
    collector.status = 503
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        for number in range(3):
            line.chat(f"hi {number}")
        eventually(lambda: line.metric("meshgate_internal_errors_total", stage="upload") >= 1)
        line.loop.call_soon_threadsafe(line.gateway.runtime.audit.expire, 9e9, 1)
        first = decided(line)
        assert len(first) == 3
    collector.status = 200
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        line.chat("hi again")
        eventually(lambda: len(collector.ids) == 4)
        assert first < collector.ids == decided(line)


def test_what_nobody_sends_any_more_is_not_kept(up: scripted.Upstream, tmp_path: Path, collector: Collector) -> None:
    """After the upload is removed from the configuration, unsent decisions are deleted when they expire."""
    collector.status = 503
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        line.chat("hi")
        assert len(decided(line)) == 1
    without = settings(tmp_path, up, collector.url)
    del without["audit"]["upload"]
    with running(tmp_path, without) as line:
        line.loop.call_soon_threadsafe(line.gateway.runtime.audit.expire, 9e9)
        eventually(lambda: not decided(line))


def test_a_request_that_is_too_large_is_halved(up: scripted.Upstream, tmp_path: Path, collector: Collector) -> None:
    """A collector that accepts two decisions at a time gets two at a time."""
    collector.status, collector.most = 503, 2
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        for number in range(7):
            line.chat(f"hi {number}")
        collector.status = 200
        eventually(lambda: len(collector.ids) == 7, seconds=30)
        assert collector.ids == decided(line)


def test_one_that_is_too_large_holds_up_no_other(up: scripted.Upstream, tmp_path: Path, collector: Collector) -> None:
    """A decision that the collector never accepts is skipped, and stays in the log."""
    collector.huge = "the-large-one"
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        line.chat("hi", cid="before")
        line.chat("hi", cid="the-large-one")
        line.chat("hi", cid="after")
        eventually(lambda: len(collector.ids) == 2, seconds=30)
        eventually(lambda: line.rows("SELECT count(*) FROM unsent") == [(0,)])
        assert len(decided(line)) == 3


def test_events_are_those_of_opa(up: scripted.Upstream, tmp_path: Path, collector: Collector) -> None:
    """A real OPA reports the same decision in the same fields, with the same types."""
    with running(tmp_path, settings(tmp_path, up, collector.url)) as line:
        line.chat("mail bob@example.com")
        eventually(lambda: bool(collector.events))
    ours = collector.events[0]
    theirs = opa_event(ours["input"])
    extra = {"custom", "bundles"}  # OPA leaves out what is empty
    assert set(ours) - extra <= set(theirs)
    for key in set(ours) & set(theirs):
        assert type(ours[key]) is type(theirs[key]), key
    assert ours["path"] == theirs["path"] == "gateway/decision"
    assert ours["input"] == theirs["input"]
    assert _sets(ours["result"]) == _sets(theirs["result"])
    assert "bob@example.com" not in json.dumps(collector.events)


def _sets(result: dict[str, Any]) -> str:
    return json.dumps(result, sort_keys=True)


def opa_event(document: object) -> dict[str, Any]:
    """The event of OPA's own decision log for one decision by the shipped bundle."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [program(), "run", "--server", "--addr", url.removeprefix("http://"), "--log-format", "json"]
    command += ["--set", "decision_logs.console=true", "--bundle", str(SHIPPED)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as opa:
        assert opa.stderr is not None
        try:
            for line in opa.stderr:
                if "Initializing server" in line:
                    break
            with httpx.Client(transport=httpx.HTTPTransport(retries=20)) as client:
                client.post(f"{url}/v1/data/gateway/decision", json={"input": document}).raise_for_status()
            for line in opa.stderr:
                told: dict[str, Any] = json.loads(line)
                if told.get("msg") == "Decision Log":
                    told["timestamp"] = told["time"]  # the console names it so
                    return told
        finally:
            opa.kill()
    raise AssertionError("OPA told of no decision")


def test_claims_about_people_are_not_kept(up: scripted.Upstream, tmp_path: Path) -> None:
    """`erase` removes them from the record, which lists them; the policy has read them."""
    from gateway.policy.erase import Eraser

    document = {"subject": {"agent": "a", "claims": {"email": "a@example.com", "groups": ["x"]}}, "a/b": {"c~d": 1}}
    eraser = Eraser(["/input/subject/claims/email", "/input/a~1b/c~0d", "/input/subject/none/of/it"])
    kept, erased = eraser.erase(document)
    assert kept == {"subject": {"agent": "a", "claims": {"groups": ["x"]}}, "a/b": {}}
    assert erased == ["/input/subject/claims/email", "/input/a~1b/c~0d"]
    assert document["subject"]["claims"]["email"] == "a@example.com"  # type: ignore[index]


async def test_a_stop_in_mid_read_closes_the_file_after_the_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite may crash where a connection is closed under a read in another thread."""
    reading, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    steps: list[str] = []

    class Slow:
        def __init__(self, path: Path) -> None:
            """Stands for a reader whose first read takes as long as the test wants."""

        def unsent(self, most: int) -> tuple[int, list[Any]]:
            reading.set()
            go_on.wait(10)
            steps.append("read")
            return 0, []

        def waiting(self) -> int:
            return 0

        def close(self) -> None:
            steps.append("closed")
            closed.set()

    monkeypatch.setattr(upload, "Reader", Slow)
    uploads = upload.Uploads(tmp_path / "state.db", lambda: None)
    await uploads.follow(Upload(url="http://127.0.0.1:9"), SimpleNamespace())
    assert await asyncio.to_thread(reading.wait, 10)
    closing = asyncio.create_task(uploads.close())
    assert not await asyncio.to_thread(closed.wait, 0.2)
    go_on.set()
    await closing
    assert steps == ["read", "closed"]
