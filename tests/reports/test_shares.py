"""Fair shares: no team or address can lock others out, and no client or provider can hold unused resources."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.config.grammar import Server
from gateway.errors import Refusal
from gateway.ingress import unpack
from gateway.record.telemetry import Telemetry
from gateway.serving.peers import Peers
from gateway.serving.server import SLOWEST, Protocol
from gateway.serving.shares import Shares, part, place
from gateway.upstream import inflate
from gateway.upstream.inflate import Inflater, Packed
from line import KEYS, Line, config, running

OTHER = "127.0.0.2"


@contextlib.contextmanager
def gateway(folder: Path, up: str, **server: Any) -> Iterator[Line]:
    """A gateway with these bounds."""
    quotas = {"tokens": 10**9, "calls": 10**9}
    with running(folder, config(folder, up, quotas=quotas, pii=None, server=server)) as line:
        yield line


@contextlib.contextmanager
def from_elsewhere(line: Line) -> Iterator[httpx.Client]:
    """A client with another address."""
    with httpx.Client(base_url=line.url, transport=httpx.HTTPTransport(local_address=OTHER), timeout=30) as client:
        yield client


def post(client: httpx.Client, agent: str, model: str = "echo", **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    return client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEYS.get(agent, agent)}"})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def head(agent: str, length: int) -> bytes:
    """The head of a call."""
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: a", f"authorization: Bearer {KEYS[agent]}"]
    return "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode()


def begun(line: Line, agent: str, count: int, up: scripted.Upstream) -> list[socket.socket]:
    """Calls whose answers do not end, all in flight at the upstream."""
    body = json.dumps({"model": "hang", "messages": [{"role": "user", "content": "hi"}]}).encode()
    seen = len(up.seen)
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", int(line.url.rpartition(":")[2])), timeout=30)
        sock.sendall(head(agent, len(body)) + body)
        sockets.append(sock)
    until(line, lambda: len(up.seen) == seen + count)
    return sockets


def until(line: Line, holds: Any) -> None:
    """Return once something holds; each look is a round trip through the gateway's loop."""
    while not holds():
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.002), line.loop).result()


# Calls


def test_one_team_cannot_take_all_calls(tmp_path: Path, up: scripted.Upstream) -> None:
    """Beyond its share, a team is refused with Retry-After; others are served; ended calls free their share."""
    with gateway(tmp_path, up.url, max_calls=8, team_share=0.5, address_share=1) as line:
        held = begun(line, "alice", 4, up)
        refused = post(line.client, "bob")
        assert code(refused) == (503, "overloaded")
        assert "server.team_share" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) >= 1
        assert post(line.client, "mallory").status_code == 200
        for sock in held:
            sock.close()
        until(line, lambda: not line.gateway.shared.shares.calls)
        assert post(line.client, "bob").status_code == 200


def test_one_address_cannot_take_all_calls(tmp_path: Path, up: scripted.Upstream) -> None:
    """With any keys; another address is served."""
    with gateway(tmp_path, up.url, max_calls=8, team_share=1, address_share=0.5) as line:
        held = begun(line, "alice", 2, up) + begun(line, "mallory", 2, up)
        refused = post(line.client, "alice")
        assert code(refused) == (503, "overloaded")
        assert "server.address_share" in refused.json()["error"]["message"]
        with from_elsewhere(line) as client:
            assert post(client, "alice").status_code == 200
        for sock in held:
            sock.close()


class Limits(SimpleNamespace):
    """Bounds as the server section has them."""

    max_calls = 10
    max_buffered = 1000
    team_share = 0.5
    address_share = 0.4
    max_wrong_keys = 6


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 400), st.booleans()), max_size=60
)


@given(STEPS)
def test_shares_add_up(calls: list[tuple[str, str, int, bool]]) -> None:
    """For any order of calls, no team exceeds its share, and at the end nothing is held."""
    shares, limits = Shares(), Limits()
    open_: list[tuple[Any, str, str, int]] = []
    codes = set()
    for address, team, size, ends in calls:
        ticket = None
        held = 0
        try:
            ticket = shares.enter(limits, address)
            ticket.claim(team)
            ticket.hold(size)
            held = size
        except Refusal as refusal:
            codes.add((refusal.code, refusal.retry_after))
        if ticket is not None and (ends or not held):
            ticket.close()
        elif ticket is not None:
            open_.append((ticket, address, team, held))
        for name in "abc":
            assert sum(one[1] == name for one in open_) <= part(10, 0.4)
            assert sum(one[3] for one in open_ if one[1] == name) <= 400
        for name in "xyz":
            assert sum(one[2] == name for one in open_) <= part(10, 0.5)
            assert sum(one[3] for one in open_ if one[2] == name) <= 500
        assert shares.calls == len(open_)
        assert shares.bytes == sum(one[3] for one in open_) <= 1000
    for ticket, *_ in open_:
        ticket.close()
    assert codes <= {("overloaded", 1.0)}
    assert (shares.calls, shares.bytes, shares._holders) == (0, 0, {})


def test_addresses() -> None:
    """One host has all addresses of its /64 network, and counts as one address."""
    assert place(("203.0.113.7", 1)) == "203.0.113.7"
    assert place(("2001:db8::1", 1)) == place(("2001:db8::ffff:1", 2)) != place(("2001:db8:0:1::1", 1))
    assert place(None) == ""


# Bytes


def test_unfinished_bodies_share_what_may_be_held(tmp_path: Path, up: scripted.Upstream) -> None:
    """A team's bodies do not exceed its share; other teams are served; a client that disconnects frees its bytes."""
    server = {"max_buffered": 1_000_000, "team_share": 0.5, "address_share": 1}
    with gateway(tmp_path, up.url, **server) as line:
        port = int(line.url.rpartition(":")[2])
        first = socket.create_connection(("127.0.0.1", port), timeout=30)
        first.sendall(head("alice", 400_000) + b"{" * 390_000)
        until(line, lambda: line.gateway.shared.shares.bytes >= 390_000)
        second = socket.create_connection(("127.0.0.1", port), timeout=30)
        second.sendall(head("bob", 400_000) + b"{" * 390_000)
        assert second.recv(65536).startswith(b"HTTP/1.1 503")
        assert line.gateway.shared.shares.bytes <= 500_000
        assert post(line.client, "mallory").status_code == 200
        first.close()
        second.close()
        until(line, lambda: not line.gateway.shared.shares.bytes)
        assert post(line.client, "alice").status_code == 200


def test_whole_answers_share_it_too(tmp_path: Path, up: scripted.Upstream) -> None:
    """An answer that exceeds the share is refused, and its usage is settled."""
    message = {"role": "assistant", "content": "word " * 60_000}
    up.script["long"] = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": scripted.USAGE,
    }
    with gateway(tmp_path, up.url, max_buffered=200_000) as line:
        refused = line.chat("long", model="script", cid="long")
        assert code(refused) == (503, "overloaded")
        until(line, lambda: not line.gateway.shared.shares.calls)
        assert line.gateway.shared.shares.bytes == 0
        assert line.workflow("long").held.get("tokens", 0) == 0


class Counted(Shares):
    """Remembers the most bytes that were held at a time."""

    most = 0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "bytes":
            super().__setattr__("most", max(self.most, value))


def test_large_answers_at_once(tmp_path: Path, up: scripted.Upstream) -> None:
    """Of six answers that are too large together, as many as possible are served; the others get a Retry-After."""
    message = {"role": "assistant", "content": "word " * 40_000}
    up.script["large"] = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": scripted.USAGE,
    }
    with gateway(tmp_path, up.url, max_buffered=1_000_000, address_share=0.5, team_share=0.5) as line:
        counted = line.gateway.shared.shares = Counted()
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: line.chat("large", model="script"), range(6)))
        codes = [one.status_code for one in answers]
        until(line, lambda: not counted.calls)
        assert codes.count(200) >= 2
        assert set(codes) <= {200, 503}
        assert 200_000 < counted.most <= 500_000
        assert counted.bytes == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_a_request_unpacks_to_counts(tmp_path: Path, up: scripted.Upstream, coding: str) -> None:
    """A few compressed bytes do not fill the memory: nothing is unpacked beyond the share of the sender."""
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": " " * 5_000_000}]}).encode()
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    headers = {"authorization": "Bearer mg-alice", "content-encoding": coding}
    with gateway(tmp_path, up.url, max_buffered=4_000_000, address_share=0.5) as line:
        counted = line.gateway.shared.shares = Counted()
        refused = line.client.post("/v1/chat/completions", content=packed, headers=headers)
        assert code(refused) == (503, "overloaded")
        until(line, lambda: not counted.calls)
        assert 1_000_000 < counted.most <= 2_000_000
        assert counted.bytes == 0


@given(st.binary(max_size=5000), st.integers(1, 6000), st.integers(1, 700), st.sampled_from(["gzip", "deflate"]))
def test_bodies_are_unpacked_in_pieces(data: bytes, limit: int, piece: int, coding: str) -> None:
    """For any size of pieces, the body is the same, and no more than its size and the limit is held."""
    packed = gzip.compress(data) if coding == "gzip" else zlib.compress(data)
    held: list[int] = []
    patch = pytest.MonkeyPatch()
    patch.setattr(unpack, "PIECE", piece)
    try:
        if len(data) > limit:
            with pytest.raises(Refusal, match="decompressed body exceeds"):
                asyncio.run(unpack.unpack(coding, packed, limit, held.append))
        else:
            assert asyncio.run(unpack.unpack(coding, packed, limit, held.append)) == data
            assert sum(held) == len(data)
    finally:
        patch.undo()
    assert sum(held) <= limit
    assert max(held, default=0) <= piece


def test_an_answer_of_many_members() -> None:
    """Each member copies the rest: their number is bounded, and a few are read."""
    few = Inflater("gzip")
    data, out = gzip.compress(b"a") * 3, b""
    while data:
        piece, data = few.feed(data)
        out += piece
    assert out == b"aaa"

    async def one() -> AsyncIterator[bytes]:
        yield gzip.compress(b"") * 1100

    async def read() -> list[bytes]:
        return [piece async for piece in inflate.unpacked(one(), "gzip")]

    with pytest.raises(Packed, match="members"):
        asyncio.run(read())


def test_a_client_that_does_not_read(tmp_path: Path, up: scripted.Upstream) -> None:
    """On a real socket: the slow client and the provider's answer are cut off, and the reservation is settled."""
    text = "word " * 1000
    up.script["long"] = [*(scripted.chunk({"content": text}) for _ in range(600)), scripted.chunk({}, "stop")]
    fields = {"model": "script", "messages": [{"role": "user", "content": "long"}], "stream": True}
    body = json.dumps(fields).encode()
    shares_of = "host: a\r\nx-correlation-id: slow"
    with gateway(tmp_path, up.url, write_timeout=0.2) as line, socket.socket() as sock:
        shares = line.gateway.shared.shares
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", int(line.url.rpartition(":")[2])))
        sock.sendall(head("alice", len(body)).replace(b"host: a", shares_of.encode()) + body)
        until(line, lambda: shares.calls == 1)
        until(line, lambda: shares.calls == 0)
        assert shares.bytes == 0
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(65536):  # what had been sent, and then the end
                pass
        assert line.workflow("slow").held.get("tokens", 0) == 0
        assert line.workflow("slow").used["tokens"] > 0


def test_a_stream_without_end(tmp_path: Path, up: scripted.Upstream) -> None:
    """Text that is kept for counting tokens counts as held bytes: beyond the share, the stream ends."""
    text = "word " * 2000
    up.script["endless"] = [*(scripted.chunk({"content": text}) for _ in range(300)), scripted.chunk({}, "stop")]
    with gateway(tmp_path, up.url, max_buffered=2_000_000, address_share=0.5) as line:
        counted = line.gateway.shared.shares = Counted()
        answer = line.chat("endless", model="script", cid="endless", stream=True)
        until(line, lambda: not counted.calls)
        assert '"code":"overloaded"' in answer.text
        assert 500_000 < counted.most <= 1_000_000  # one read may bring some hundred kB
        assert counted.bytes == 0
        assert line.workflow("endless").used["tokens"] > 20_000


# Connections


def connect(line: Line, count: int, address: str = "127.0.0.1") -> list[socket.socket]:
    port = int(line.url.rpartition(":")[2])
    return [
        socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(address, 0)) for _ in range(count)
    ]


def test_keyless_connections_make_room(tmp_path: Path, up: scripted.Upstream) -> None:
    """Silent connections and those without a valid key are closed first; connections with a call stay open."""
    with gateway(tmp_path, up.url, max_connections=40, address_share=1) as line:
        busy = begun(line, "mallory", 3, up)
        silent = connect(line, 60)
        assert post(line.client, "alice").status_code == 200
        for sock in busy:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
        for sock in [*silent, *busy]:
            sock.close()


def test_one_address_cannot_take_all_connections(tmp_path: Path, up: scripted.Upstream) -> None:
    """Idle connections of an address are closed for its new connections; another address is served."""
    with gateway(tmp_path, up.url, max_connections=40, address_share=0.5) as line:
        held = connect(line, 70)
        with from_elsewhere(line) as client:
            assert post(client, "alice").status_code == 200
        bob = post(line.client, "bob")
        assert bob.status_code == 200, bob.text
        for sock in held:
            sock.close()


@dataclass(eq=False)
class Fake:
    """A connection that declares itself whether it may be closed."""

    place: str
    known: bool
    busy: bool
    since: int
    leaving: bool = False

    def rank(self) -> Any:
        return None if self.busy else (self.known, self.since)


ARRIVALS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans(), st.booleans()), max_size=60)


@given(ARRIVALS)
def test_who_goes_first(arrivals: list[tuple[str, bool, bool, bool]]) -> None:
    """No connection with a call is closed; keyless connections are closed first; the limit is never exceeded."""
    peers: Peers[Fake] = Peers(8, 0.5)
    every: list[Fake] = []
    for number, (address, known, busy, refuse) in enumerate(arrivals):
        new = Fake(address, known, busy, number)
        every.append(new)
        victim, why = peers.join(new, float(number))
        assert (victim is None) == (not why)
        if victim is not None and victim is not new:
            assert not victim.busy
            rivals = [one for one in every if one is not new and not one.busy]
            if "address" in why:
                rivals = [one for one in rivals if one.place == address]
            assert all((victim.known, victim.since) <= (one.known, one.since) for one in rivals)
        if victim is not None:
            every.remove(victim)
            peers.leave(victim)
            victim.busy = True  # it has gone
        assert len(every) <= 8
        assert all(sum(one.place == name for one in every) <= 4 for name in "abc")
        if refuse and every:
            peers.leave(every.pop(0))


# Slow readers


@given(st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 10**6), st.booleans()), max_size=40))
def test_a_slow_reader_has_so_long(looks: list[tuple[float, int, bool]]) -> None:
    """It is cut once the same backlog has waited for the timeout and a second for each 64 kB, and never before."""
    one = SimpleNamespace(flow=SimpleNamespace(write_paused=False), settings=Server(write_timeout=30), backlog=None)
    now, since, first = 0.0, None, 0
    for wait, unsent, paused in looks:
        now += wait
        one.flow.write_paused = paused
        stalls = Protocol._stalls(one, now, unsent, answered=False)  # type: ignore[arg-type]
        if not paused:
            since = None
        elif since is None:
            since, first = now, unsent
        assert stalls == (paused and since is not None and now > since + 30 + first / SLOWEST)


def test_taking_most_of_it_starts_a_new_count() -> None:
    """The transport reports that the client has read enough."""
    one = SimpleNamespace(flow=SimpleNamespace(write_paused=True), settings=Server(write_timeout=30), backlog=None)
    assert not Protocol._stalls(one, 0.0, 1, answered=False)  # type: ignore[arg-type]
    one.backlog = None
    assert not Protocol._stalls(one, 100.0, 1, answered=False)  # type: ignore[arg-type]


# What comes compressed


@given(
    st.binary(max_size=5000), st.lists(st.integers(0, 5000), max_size=8), st.sampled_from(["gzip", "deflate", "raw"])
)
def test_any_cut_unpacks_to_the_same(data: bytes, places: list[int], kind: str) -> None:
    """Whole or in pieces, with the frame of zlib or without, in one member or two."""
    if kind == "gzip":
        packed = gzip.compress(data) + gzip.compress(data)
    else:
        packer = zlib.compressobj(wbits=15 if kind == "deflate" else -15)
        packed = packer.compress(data) + packer.flush()
    if kind == "raw" and packed[0] & 15 == 8 and int.from_bytes(packed[:2], "big") % 31 == 0:
        return  # looks like a frame
    marks = sorted({0, len(packed), *(place_ % (len(packed) + 1) for place_ in places)})
    inflater, out = Inflater("gzip" if kind == "gzip" else "deflate"), b""
    for low, high in pairwise(marks):
        rest, piece = packed[low:high], b""
        while rest or len(piece) == 100:
            piece, rest = inflater.feed(rest, 100)
            out += piece
    inflater.close()
    assert out == (data * 2 if kind == "gzip" else data)


def test_a_bomb_is_found_early() -> None:
    """Long before it is unpacked, for any size."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    inflater, gave = Inflater("gzip"), 0

    def unpack(rest: bytes) -> None:
        nonlocal gave
        while rest:
            piece, rest = inflater.feed(rest)
            gave += len(piece)

    with pytest.raises(Packed, match="200 times"):
        unpack(bomb)
    assert gave <= inflate.FREE + inflate.PIECE


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
def test_an_encoding_that_nobody_asked_for(encoding: str) -> None:
    """It is refused, not guessed."""
    with pytest.raises(Packed):
        Inflater(encoding)


class Packing(BaseHTTPRequestHandler):
    """A provider that always compresses."""

    packed = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(self.packed)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(self.packed)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def packing() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Packing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("bomb", [False, True])
def test_a_provider_that_compresses(tmp_path: Path, packing: str, bomb: bool) -> None:
    """Its answer is read; a decompression bomb is an error of the provider, and the received part is settled."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    answer = json.dumps({"choices": [choice], "usage": scripted.USAGE}).encode()
    Packing.packed = gzip.compress(answer + b" " * (50_000_000 if bomb else 0))
    with gateway(tmp_path, packing) as line:
        got = line.chat("hello", cid="packed")
        if bomb:
            assert code(got) == (502, "upstream_error")
        else:
            assert got.json()["choices"][0]["message"]["content"] == "hello"
        until(line, lambda: not line.gateway.shared.shares.calls)
        assert line.workflow("packed").held.get("tokens", 0) == 0


# Wrong keys


def test_wrong_keys_are_throttled_by_address(tmp_path: Path, up: scripted.Upstream) -> None:
    """Beyond a number per minute, wrong keys are refused unread; valid keys and other addresses are served."""
    with gateway(tmp_path, up.url, max_wrong_keys=5) as line:
        statuses = [post(line.client, "mg-wrong").status_code for _ in range(9)]
        assert statuses == [401] * 5 + [429] * 4
        refused = post(line.client, "mg-wrong")
        assert code(refused) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert "mg-wrong" not in refused.text
        assert post(line.client, "alice").status_code == 200
        with from_elsewhere(line) as client:
            assert post(client, "mg-wrong").status_code == 401
        assert line.rows("SELECT count(*) FROM outcomes WHERE code IN ('unauthenticated', 'rate_limited')") == [(6,)]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/echo", "/admin/api/keys", "/admin/api/workflows/x/freeze"])
def test_wrong_keys_are_throttled_at_every_path(
    tmp_path: Path, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """All endpoints count wrong keys together; a valid key is served."""
    folder = tmp_path / "admin-key"
    quotas = {"tokens": 10**9}
    settings = config(tmp_path, up.url, quotas=quotas, server={"max_wrong_keys": 5}, admin={"key_file": str(folder)})
    with running(tmp_path, settings) as line:
        said: list[dict[str, Any]] = []
        monkeypatch.setattr(line.gateway.shared.telemetry, "say", said.append)
        method = "POST" if path.endswith("freeze") else "GET"
        wrong = {"authorization": "Bearer mg-wrong"}
        statuses = [line.client.request(method, path, headers=wrong).status_code for _ in range(9)]
        assert statuses == [401] * 5 + [429] * 4
        refused = line.client.request(method, path, headers=wrong)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-request-id"]
        assert post(line.client, "mg-wrong").status_code == 429
        assert not [one for one in said if one["event"] == "admin"]
        assert line.client.get("/v1/models").status_code == 200
        good = {"authorization": f"Bearer {folder.read_text().strip()}"}
        assert line.client.get("/admin/api/keys", headers=good).status_code == 200
        until(line, lambda: not line.gateway.shared.shares.calls)


def test_lists_of_models_take_their_share(tmp_path: Path, up: scripted.Upstream) -> None:
    """As calls do."""
    with gateway(tmp_path, up.url, max_calls=8, team_share=0.5, address_share=1) as line:
        held = begun(line, "alice", 4, up)
        assert code(line.client.get("/v1/models")) == (503, "overloaded")
        for sock in held:
            sock.close()
        until(line, lambda: not line.gateway.shared.shares.calls)
        assert line.client.get("/v1/models").status_code == 200


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30)), max_size=80))
def test_tries_come_back_with_time(tries: list[tuple[str, float]]) -> None:
    """In any period, an address has at most the burst plus the refilled attempts."""
    clock = [0.0]
    shares = Shares(lambda: clock[0])
    told: dict[str, list[float]] = {"a": [], "b": []}
    for address, wait in tries:
        clock[0] += wait
        if shares.stranger(Limits(), address) is None:
            told[address].append(clock[0])
    for times in told.values():
        for low in range(len(times)):
            for high in range(low, len(times)):
                assert high - low + 1 <= 6 + (times[high] - times[low]) * 0.1 + 1e-6


def test_all_of_them_are_one_line_a_second() -> None:
    """The first immediately, the others together."""
    out, now = io.StringIO(), [0.0]
    telemetry = Telemetry(out, lambda: now[0])
    for _ in range(100):
        telemetry.stranger()
    telemetry.report()
    now[0] = 1.0
    telemetry.report()
    telemetry.stranger()
    telemetry.stranger()
    telemetry.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["count"] for line in lines if line["event"] == "calls without a valid key"] == [1, 99, 2]
