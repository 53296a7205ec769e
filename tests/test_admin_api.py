"""/admin/api: access, answers, changes, and the record of changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import settings as settings_
from hypothesis import strategies as st

import upstream as scripted
from gateway.cli import main
from gateway.config.load import load
from gateway.control.admin import keys, tools, workflows
from gateway.ingress.correlation import LONGEST
from gateway.serving import process
from gateway.stores import StoreUnavailable
from line import Line, config, running

KEY = "mg-admin-of-the-tests"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
QUOTAS = {"tokens": "20k", "cost_usd": 0.1, "calls": 3}


# Dots alone never arrive: clients resolve them as parts of the path.
IDS = st.from_regex(r"[A-Za-z0-9._:/+=@-]{1,40}", fullmatch=True).filter(lambda id: id.strip("."))


def settings(folder: Path, url: str, **fields: Any) -> dict[str, Any]:
    return config(folder, url, **{"quotas": QUOTAS, "admin": {"key_sha256": [DIGEST]}, **fields})


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("admin")
    with running(folder, settings(folder, up.url)) as line:
        yield line


def ask(line: Line, path: str, body: Any = None, *, key: str = KEY, **options: Any) -> httpx.Response:
    """GET without a body, POST with one."""
    headers = {"authorization": f"Bearer {key}".strip(), **options.pop("headers", {})}
    if body is None:
        return line.client.get(f"/admin/api{path}", headers=headers, **options)
    return line.client.post(f"/admin/api{path}", headers=headers, json=body, **options)


def detail(answer: httpx.Response, status: int, code: str = "invalid_request") -> str:
    """The detail of a problem, after a check of its form (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["title"]
    words: str = problem["detail"]
    return words


# Who


@pytest.mark.parametrize("key", ["mg-alice", "mg-nobody", "", DIGEST])
def test_only_admin_keys_open_it(line: Line, key: str) -> None:
    """An agent's key, an unknown key, no key, or the hash itself: 401, without any content."""
    assert "admin key" in detail(ask(line, "/workflows", key=key), 401, "unauthenticated")
    assert "admin key" in detail(ask(line, "/workflows/x/freeze", {}, key=key), 401, "unauthenticated")
    assert ask(line, "/workflows", key=key).headers["www-authenticate"].startswith("Bearer")


def test_an_admin_key_makes_no_calls(line: Line) -> None:
    """On the data plane, an admin key is an unknown key; in x-api-key, it is not accepted here either."""
    answer = line.client.post("/v1/chat/completions", headers={"authorization": f"Bearer {KEY}"}, json={})
    assert answer.json()["error"]["code"] == "unauthenticated"
    other = line.client.get("/admin/api/workflows", headers={"authorization": "", "x-api-key": KEY})
    assert other.status_code == 401


def test_without_the_section_there_is_nothing(up: scripted.Upstream, tmp_path: Path) -> None:
    """Without `admin` in the configuration: 404 for every path, with any key; health endpoints are served."""
    with running(tmp_path, settings(tmp_path, up.url, admin=None)) as line:
        for path in ("/workflows", "/workflows/x", "/nothing"):
            assert detail(ask(line, path), 404) == "This path does not exist."
        assert ask(line, "/workflows/x/freeze", {}).status_code == 404
        assert [line.client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3


def test_the_key_file_is_made(up: scripted.Upstream, tmp_path: Path) -> None:
    """A new key at the first start, readable by its owner only, opens the API."""
    path = tmp_path / "keys" / "admin"
    with running(tmp_path, settings(tmp_path, up.url, admin={"key_file": str(path)})) as line:
        key = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask(line, "/workflows", key=key).status_code == 200
        assert ask(line, "/workflows").status_code == 401


def test_keys_are_keys_apart(up: scripted.Upstream, tmp_path: Path) -> None:
    """A gateway whose admin key is also an agent's does not start."""
    (tmp_path / "key").write_text("mg-alice\n")
    with (
        pytest.raises(RuntimeError),
        running(tmp_path, settings(tmp_path, up.url, admin={"key_file": f"{tmp_path}/key"})),
    ):
        pass


# The frame


def test_no_other_origin_is_let_in(line: Line) -> None:
    """No CORS header, no preflight; forms and plain text, which pages can send without a preflight, are refused."""
    preflight = line.client.options("/admin/api/workflows/x/freeze", headers={"origin": "https://evil.example"})
    assert preflight.headers["allow"] == "OPTIONS, POST"
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    answer = ask(line, "/workflows", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    for media in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"authorization": f"Bearer {KEY}", "content-type": media}
        sent = line.client.post("/admin/api/workflows/x/freeze", headers=headers, content=b'{"team": "red"}')
        assert "application/json" in detail(sent, 415)
    assert line.workflow("x") is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"tokens": "many"}', "written like 500, 200k or 3m"),
        (b'{"tokens": 0}', "greater than 0"),
        (b'{"calls": -1}', "calls: "),
        (b'{"cost_usd": "NaN"}', "finite"),
        (b'{"cost_usd": 1e-12}', "cost_usd: "),
        (b'{"budget": 5}', "budget: is not a known field"),
        (b'{"team": 7}', "team: "),
    ],
)
def test_bodies_that_make_no_sense(line: Line, body: bytes, words: str) -> None:
    """The error names the mistake in a body, and nothing changes."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer = line.client.post("/admin/api/workflows/x/resume", headers=headers, content=body)
    assert words in detail(answer, 400)


def test_a_huge_body(line: Line) -> None:
    """Bodies are bounded far below those of calls."""
    assert "65536" in detail(ask(line, "/workflows/x/freeze", {"reason": "x" * 70_000}), 413, "request_too_large")


def test_unknown_paths_and_methods(line: Line) -> None:
    """Unknown paths and unsupported methods are answered with problem details, too."""
    assert "%2F" in detail(ask(line, "/workflows/a/b/c"), 404)
    assert "GET, HEAD, OPTIONS, POST" in detail(line.client.delete("/admin/api/workflows/x"), 405)


# What it does


def test_who_called_whom(line: Line) -> None:
    """The chain of agents, its depth, the path of callers, and the repetitions."""
    for agent in ("alice", "bob", "alice"):
        line.chat("hi", cid="chained", agent=agent)
    shown = ask(line, "/workflows/chained").json()
    assert (shown["chain"], shown["path"]) == (["alice", "bob"], ["alice", "bob", "alice"])
    assert (shown["hops"]["deepest"], shown["repeats"]["most"]) == (1, 0)


def test_top_ups_beyond_what_can_be_kept_are_refused(line: Line) -> None:
    """Nothing is added, and the error names the maximum."""
    line.chat("hi", cid="vast")
    most = 2**53 - 1
    assert ask(line, "/workflows/vast/resume", {"tokens": most}).json()["quotas"]["tokens"]["topup"] == most
    assert str(most) in detail(ask(line, "/workflows/vast/resume", {"tokens": 1, "calls": 1}), 400)
    assert ask(line, "/workflows/vast").json()["quotas"]["calls"]["topup"] == 0


def test_the_life_of_a_workflow(line: Line) -> None:
    """Frozen, it refuses every agent; resumed, it serves again; closed, it is over for good."""
    line.chat("hi", cid="life")
    frozen = ask(line, "/workflows/life/freeze", {"reason": "runs wild"}).json()
    assert (frozen["state"], frozen["reason"], frozen["agents"]) == ("frozen", "runs wild", ["alice"])
    for agent in ("alice", "bob"):
        refused = line.chat("hi", cid="life", agent=agent)
        assert refused.json()["error"]["code"] == "workflow_frozen"
    assert line.chat("hi", cid="life", agent="mallory").status_code == 200  # another team's is another workflow
    assert ask(line, "/workflows/life/resume", {"team": "red"}).json()["state"] == "open"
    assert line.chat("hi", cid="life", agent="bob").status_code == 200
    assert ask(line, "/workflows/life/close", {"team": "red"}).json()["state"] == "closed"
    assert line.chat("hi", cid="life").status_code == 403
    for change in ("freeze", "resume", "close"):
        assert "closed" in detail(ask(line, f"/workflows/life/{change}", {"team": "red"}), 409)


def test_a_top_up_is_what_was_missing(line: Line) -> None:
    """A workflow without quota continues for exactly the added number of calls."""
    for _ in range(3):
        assert line.chat("hi", cid="short").status_code == 200
    assert line.chat("hi", cid="short").json()["error"]["code"] == "quota_exceeded"
    shown = ask(line, "/workflows/short/resume", {"calls": "2", "cost_usd": "0.50", "tokens": "10k"}).json()
    calls, cost = shown["quotas"]["calls"], shown["quotas"]["cost_usd"]
    assert calls == {"limit": 5, "topup": 2, "used": 3, "held": 0, "estimated": 0, "left": 2}
    assert (cost["limit"], cost["topup"]) == (0.6, 0.5)
    assert shown["quotas"]["tokens"]["limit"] == 30_000
    assert [line.chat("hi", cid="short").status_code for _ in range(3)] == [200, 200, 403]


def test_a_top_up_sent_again_adds_nothing(line: Line) -> None:
    """With an Idempotency-Key, a lost answer can be requested again; another body or key is another change."""
    line.chat("hi", cid="again")

    def add(calls: int, key: str) -> httpx.Response:
        return ask(line, "/workflows/again/resume", {"calls": calls}, headers={"idempotency-key": key})

    assert add(5, "one").json()["quotas"]["calls"]["topup"] == 5
    assert add(5, "one").json()["quotas"]["calls"]["topup"] == 5
    assert "another request" in detail(add(6, "one"), 422)
    assert add(5, "two").json()["quotas"]["calls"]["topup"] == 10
    assert ask(line, "/workflows/again/resume", {"calls": 5}).json()["quotas"]["calls"]["topup"] == 15
    assert len(line.rows("SELECT * FROM actions WHERE correlation_id = 'again'")) == 3


def test_a_refused_change_leaves_its_key_free(line: Line) -> None:
    """A refused change was not made: the key may be used again, with the same answer."""
    line.chat("hi", cid="over")
    ask(line, "/workflows/over/close", {})
    for _ in range(2):
        answer = ask(line, "/workflows/over/resume", {"calls": 5}, headers={"idempotency-key": "k"})
        assert "is closed" in detail(answer, 409)


def test_ids_are_of_a_team(line: Line) -> None:
    """An id of two teams is an error that names the teams, unless a team is given; an unknown id is a 404."""
    line.chat("hi", cid="both")
    line.chat("hi", cid="both", agent="mallory")
    answer = ask(line, "/workflows/both")
    assert "blue, red" in detail(answer, 409)
    assert answer.json()["teams"] == ["blue", "red"]
    assert ask(line, "/workflows/both?team=blue").json()["agents"] == ["mallory"]
    assert "No workflow has this id" in detail(ask(line, "/workflows/none-such"), 404)
    assert detail(ask(line, "/workflows/none-such/resume", {"team": "red"}), 404)


def test_an_id_with_a_slash(line: Line) -> None:
    """In a path, the slash is written %2F, and no id can be confused with a route."""
    line.chat("hi", cid="a/freeze")
    assert ask(line, "/workflows/a%2Ffreeze").json()["correlation_id"] == "a/freeze"
    assert ask(line, "/workflows/a%2Ffreeze/freeze", {}).json()["state"] == "frozen"
    assert line.workflow("a") is None


@example("a/../b")
@example("x/freeze")
@example("a//b/")
@example("a+b@c=d:e")
@settings_(max_examples=40, deadline=None)
@given(
    st.from_regex(r"[A-Za-z0-9._:/+=@-]{1,40}", fullmatch=True).filter(lambda id: id.strip("."))
)  # clients resolve . and ..
def test_any_id_can_be_named(line: Line, id: str) -> None:
    """Every valid correlation id is one segment of the path and is found; any other id is a 400."""
    path = f"/workflows/{quote(id, safe='')}"
    frozen = ask(line, f"{path}/freeze", {"team": "green"})
    if not id[0].isalnum():
        assert frozen.status_code in (400, 404), frozen.text
        return
    assert frozen.json()["correlation_id"] == id
    assert ask(line, f"{path}?team=green").json()["correlation_id"] == id


def test_a_new_key_is_taken_over_while_it_runs(up: scripted.Upstream, tmp_path: Path) -> None:
    """Keys are rotated in the configuration, without a restart: the new key is valid, the old key no longer."""
    with running(tmp_path, settings(tmp_path, up.url)) as line:
        fresh = hashlib.sha256(b"mg-fresh").hexdigest()
        line.path.write_text(line.path.read_text().replace(DIGEST, fresh))
        until = time.monotonic() + 20
        while ask(line, "/workflows", key="mg-fresh").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert ask(line, "/workflows").status_code == 401


def test_freeze_before_the_first_call(line: Line) -> None:
    """An unused id can be frozen if its team is named, and not otherwise."""
    assert detail(ask(line, "/workflows/early/freeze", {}), 404)
    assert ask(line, "/workflows/early/freeze", {"team": "red"}).status_code == 200
    assert line.chat("hi", cid="early").json()["error"]["code"] == "workflow_frozen"


def test_open(line: Line) -> None:
    """Opening returns the token that calls send, here the id itself; a second time, it is a conflict."""
    opened = ask(line, "/workflows/fresh", {"team": "red", "ttl": "1h"})
    assert opened.status_code == 201
    assert opened.json()["token"] == "fresh"
    assert ask(line, "/workflows/fresh?team=red").json()["opened"] is True
    assert "already" in detail(ask(line, "/workflows/fresh", {"team": "red"}), 409)
    assert "team" in detail(ask(line, "/workflows/other", {}), 400)


def test_pages(line: Line) -> None:
    """A list has pages, most recently seen first, without gaps or repeats, filtered by team and state."""
    for i in range(7):
        line.chat("hi", cid=f"page-{i}", agent="mallory")
    ask(line, "/workflows/page-3/freeze", {})
    pages, cursor = [], ""
    while True:
        answer = ask(line, "/workflows", params={"team": "blue", "limit": 2, "cursor": cursor}).json()
        pages.append([row["correlation_id"] for row in answer["workflows"]])
        cursor = answer["next"]
        if not cursor:
            break
    listed = [id for page in pages for id in page if id.startswith("page-")]
    assert listed == [f"page-{i}" for i in reversed(range(7))]
    assert all(len(page) <= 2 for page in pages)
    frozen = ask(line, "/workflows?team=blue&state=frozen").json()["workflows"]
    assert [row["correlation_id"] for row in frozen] == ["page-3"]
    for query in ("state=melted", "limit=0", "limit=5000", "cursor=nonsense", "sort=team"):
        detail(ask(line, f"/workflows?{query}"), 400)


def test_every_action_is_on_record(line: Line) -> None:
    """The first 8 digits of the key's hash, the action, the workflow; no refused attempts. No key anywhere."""
    line.chat("hi", cid="recorded")
    ask(line, "/workflows/recorded/freeze", {"reason": "to be seen"})
    ask(line, "/workflows/recorded/resume", {"tokens": 5})
    ask(line, "/workflows/recorded/close", {}, key="mg-alice")
    rows = line.rows("SELECT who, action, team, record FROM actions WHERE correlation_id = 'recorded' ORDER BY id")
    assert [row[:3] for row in rows] == [
        (f"key {DIGEST[:8]}", "workflow frozen", "red"),
        (f"key {DIGEST[:8]}", "workflow resumed", "red"),
    ]
    assert [json.loads(row[3]) for row in rows] == [{"reason": "to be seen"}, {"tokens": 5}]
    assert KEY not in str(line.rows("SELECT * FROM actions"))


def test_the_banner_says_where_the_key_is(up: scripted.Upstream, tmp_path: Path) -> None:
    """The banner names the file of the key, and does not contain the key."""
    path = tmp_path / "admin-key"
    with running(tmp_path, settings(tmp_path, up.url, admin={"key_file": str(path)})) as line:
        words = process.banner(line.gateway, "127.0.0.1", 8080)
    assert f"http://127.0.0.1:8080/admin/api, key in {path}" in words
    assert path.read_text().strip() not in words


@pytest.mark.parametrize("new", [False, True])
def test_the_banner_shows_the_key_of_an_agent_once(up: scripted.Upstream, tmp_path: Path, *, new: bool) -> None:
    """When the key has just been made; later, and in every log file, its file is named."""
    path = tmp_path / "agent's key"
    agents = {"first": {"key_file": str(path), "team": "red", "roles": ["developer"]}}
    demo = {"demo": {"format": "demo"}}
    raw = settings(tmp_path, up.url)
    raw["agents"] |= agents
    raw["providers"] |= demo
    raw["models"] = {"demo": {"targets": ["demo/demo"]}, **raw["models"]}
    with running(tmp_path, raw) as line:
        words = process.banner(line.gateway, "127.0.0.1", 8080, new=new)
        elsewhere = process.banner(line.gateway, "0.0.0.0", 8080, new=new)
    key = path.read_text().strip()
    assert words.count(key) == (1 if new else 0)
    assert (key in elsewhere) is (str(path) in elsewhere) is False
    command = next(one for one in words.splitlines() if one.startswith("curl"))
    assert f"Authorization: Bearer {key}" in shlex.split(command.replace(f"$(cat {shlex.quote(str(path))})", key))


@pytest.mark.parametrize(("terminal", "made"), [(True, True), (True, False), (False, True)])
def test_a_start_shows_no_key_that_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, terminal: bool, made: bool
) -> None:
    """Nor one that would go to a file."""
    told: list[bool] = []
    path = tmp_path / "agent.key"
    if not made:
        path.write_text("mg-a-key-of-the-agent")
    raw = {"agents": {"first": {"key_file": str(path), "team": "red"}}, "providers": {}, "models": {}}
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(raw))
    monkeypatch.setattr(process, "_run", lambda *_, new, **__: told.append(new))
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    process.serve(load(file), "127.0.0.1", 0)
    assert told == [terminal and made]


def test_the_page_knows_every_route() -> None:
    """docs/admin-api.md has one row for each route, and no other."""
    page = (Path(__file__).parent.parent / "docs" / "admin-api.md").read_text()
    rows = re.findall(r"^\| (GET|POST|PUT|DELETE) `([^`]+)` \|", page, re.MULTILINE)
    assert rows == [(method, path) for method, path, _ in (*workflows.ROUTES, *keys.ROUTES, *tools.ROUTES)]
    assert f"at most {LONGEST} characters" in page


def test_metrics_count_every_state(line: Line) -> None:
    """`meshgate_workflows` has a sample for each state a workflow can be in."""
    text = line.client.get("/metrics").text
    for state in ("open", "frozen", "closed", "expired"):
        assert f'meshgate_workflows{{state="{state}"}}' in text


# Strict


def test_strict(up: scripted.Upstream, tmp_path: Path) -> None:
    """Only the token of an opened workflow of the caller's team is served; the id is echoed and stored."""
    with running(tmp_path, settings(tmp_path, up.url, quotas={**QUOTAS, "strict": True})) as line:
        token = ask(line, "/workflows/job-1", {"team": "red"}).json()["token"]
        answer = line.chat("hi", cid=token)
        assert (answer.status_code, answer.headers["x-correlation-id"]) == (200, "job-1")
        assert line.chat("hi", cid=token, agent="bob").status_code == 200
        seen = len(up.seen)
        for cid, agent in (("", "alice"), ("job-1", "alice"), (token, "mallory"), (token[:-1] + "!", "alice")):
            refused = line.chat("hi", cid=cid, agent=agent)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
        assert "meshgate workflows open" in line.chat("hi").json()["error"]["message"]
        assert len(up.seen) == seen
        assert {row[0] for row in line.rows("SELECT DISTINCT correlation_id FROM decisions")} == {"job-1"}
        baggage = {"authorization": "Bearer mg-alice", "baggage": f"correlation-id={token}"}
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        assert line.client.post("/v1/chat/completions", json=body, headers=baggage).status_code == 200
        assert line.client.get("/v1/models").status_code == 200


def test_strict_needs_the_record_too(up: scripted.Upstream, tmp_path: Path) -> None:
    """A token whose workflow is not in the state (for example after a reset) is refused."""
    with running(tmp_path, settings(tmp_path, up.url, quotas={"strict": True})) as line:
        signer = line.gateway.runtime.signer
        assert signer
        refused = line.chat("hi", cid=signer.token("red", "never-opened", 3600))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
        assert "never-opened" in refused.json()["error"]["message"]


def test_labels(line: Line) -> None:
    """Labels are set and removed, and recorded; no change is a 409, an invalid label a 400."""
    line.chat("hi", cid="labels")
    assert ask(line, "/workflows/labels/label", {"label": "untrusted"}).json()["labels"] == ["untrusted"]
    assert "already" in detail(ask(line, "/workflows/labels/label", {"label": "untrusted"}), 409)
    shown = ask(line, "/workflows/labels/unlabel", {"team": "red", "label": "untrusted"}).json()
    assert (shown["labels"], shown["cleared"]) == ([], ["untrusted"])
    assert "has no label" in detail(ask(line, "/workflows/labels/unlabel", {"label": "untrusted"}), 409)
    assert "printable ASCII" in detail(ask(line, "/workflows/labels/label", {"label": "a\nb"}), 400)
    assert detail(ask(line, "/workflows/labels/label", {}), 400)
    actions = [row[0] for row in line.rows("SELECT action FROM actions WHERE correlation_id = 'labels' ORDER BY id")]
    assert actions.count("workflow unlabeled") == 2


# Keys


def test_the_last_use_of_a_key_outlives_a_stop(
    up: scripted.Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Uses are written twice a minute, and when the gateway stops; a store that fails loses none."""
    with running(tmp_path, settings(tmp_path, up.url)) as line:
        made = ask(line, "/keys", {"agent": "bot", "team": "red"}).json()
        assert _works(line, made["key"])
        gateway, loop = line.gateway, line.loop

        async def fails(used: object) -> None:
            raise StoreUnavailable("the disk is full")

        store = gateway.shared.store
        note, store.note_keys = store.note_keys, fails  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            asyncio.run_coroutine_threadsafe(gateway._note_keys(), loop).result()
        store.note_keys = note  # type: ignore[method-assign]
    assert main(["keys", "list", "--config", str(line.path), "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["last_used"] is not None


def test_keys_are_made_rotated_and_revoked(line: Line) -> None:
    """A key is valid immediately, also next to its successor, until it is revoked."""
    made = ask(line, "/keys", {"agent": "bot", "team": "red", "roles": ["developer"], "expires": "1h"})
    assert made.status_code == 201
    key = made.json()
    assert key["state"] == "valid"
    assert key["expires"]
    assert _works(line, key["key"])
    successor = ask(line, f"/keys/{key['id']}/rotate", {"grace": "10min"}).json()
    assert _works(line, successor["key"])
    assert _works(line, key["key"])
    listed = ask(line, "/keys")
    assert key["key"] not in listed.text
    assert {one["id"] for one in listed.json()["keys"]} >= {key["id"], successor["id"]}
    assert ask(line, f"/keys/{key['id']}/revoke", {}).json()["state"] == "revoked"
    assert not _works(line, key["key"], wanted=False)
    detail(ask(line, f"/keys/{key['id']}/rotate", {}), 404)
    detail(ask(line, "/keys", {"agent": "bot"}), 400)
    detail(ask(line, "/keys", {"agent": "bot", "team": "red", "expires": "soon"}), 400)
    assert detail(ask(line, "/keys", []), 400) == "The body must be a JSON object."
    assert (
        detail(ask(line, "/keys", {"agent": "a", "team": "b", "expires": 0}), 400) == "expires: must be greater than 0"
    )
    assert [action for (action,) in line.rows("SELECT action FROM actions WHERE action LIKE 'key%' ORDER BY id")] == [
        "key made",
        f"key {key['id']} rotated",
        f"key {key['id']} revoked",
    ]


def _works(line: Line, key: str, *, wanted: bool = True) -> bool:
    """Whether calls with the key are served, once the gateway has heard of the change."""
    deadline = time.monotonic() + 10
    while True:
        answer = line.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
        works = answer.status_code == 200
        if works == wanted or time.monotonic() > deadline:
            return works
        time.sleep(0.05)
