"""The registry of agents through the whole gateway: who registers, who sees whom, what is found and measured."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from agent_server import GETS, POLICY, SENDS, Scripted, scripted, task
from gateway.agents import remote
from gateway.cli import main
from gateway.config.a2a import RemoteAgent
from gateway.errors import Refusal
from gateway.tools.breaker import Breakers
from gateway.upstream.client import Destination, Response
from gateway.upstream.health import Healths
from line import Line, config, policies, running
from tool_server import INJECTION, MAIL
from waiting import eventually

_numbers = itertools.count()
ORDERS: dict[str, Any] = {
    "description": "Knows the orders of the shop.",
    "functions": [
        {
            "name": "find_order",
            "description": "Finds an order by its number.",
            "input_schema": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
            "output_schema": {"type": "object"},
            "cost_usd": 0.01,
            "seconds": 2,
        },
        {"name": "count_orders", "description": "Counts orders of a day."},
    ],
}
SEES = POLICY.replace('input.action.name != "secret"', 'not input.action.name in {"secret", "hidden"}')


@pytest.fixture(scope="module")
def up() -> Iterator[Scripted]:
    """A scripted agent."""
    with scripted() as made:
        skill = {"id": "plan", "name": "Plan", "description": "Plans a journey.", "tags": ["travel"]}
        made.card = {
            "name": "Planner",
            "description": "Plans.",
            "supportedInterfaces": [
                {"url": f"{made.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            ],
            "skills": [skill, {"id": "not a name", "name": "x"}, 7],
        }
        yield made


@pytest.fixture(scope="module")
def line(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy that hides some agents."""
    folder = tmp_path_factory.mktemp("registry")
    rows = {"planner": {"url": up.url, "price": 0.25}, "secret": {"url": up.url}, "dead": {"url": "http://127.0.0.1:9"}}
    settings = config(folder, "http://127.0.0.1:9/v1", a2a=rows, policy=policies(folder, SEES), delegations={})
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"agent-{next(_numbers)}"


def ask(line: Line, method: str, path: str = "", said: Any = None, *, who: str = "alice", **more: str) -> Any:
    """The answer to a request about the registry: status and JSON."""
    content = b"" if said is None else said if isinstance(said, bytes) else orjson.dumps(said)
    headers = {"authorization": f"Bearer mg-{who}", **more}
    answer = line.client.request(method, f"/mesh/agents{path}", content=content, headers=headers)
    return answer.status_code, answer.json()


def found(line: Line, query: str, who: str = "alice") -> dict[str, list[str]]:
    """Agent -> functions that a search finds."""
    agents = ask(line, "GET", f"?{query}", who=who)[1]["agents"]
    return {it["name"]: [function["name"] for function in it["functions"]] for it in agents}


def test_an_agent_registers_renews_and_leaves(line: Line, name: str) -> None:
    """Its team sees it; nobody else does, and nobody else may change it."""
    status, entry = ask(line, "PUT", f"/{name}", {**ORDERS, "ttl": 30})
    assert (status, entry["agent"], entry["functions"]) == (200, "alice", ORDERS["functions"])
    assert ask(line, "GET", f"/{name}", who="bob")[1]["description"] == ORDERS["description"]
    assert ask(line, "GET", f"/{name}", who="mallory")[0] == 404
    assert name not in found(line, "", who="mallory")
    assert ask(line, "PUT", f"/{name}", ORDERS, who="bob")[0] == 409
    assert ask(line, "PUT", f"/{name}", who="bob")[0] == 404
    assert ask(line, "DELETE", f"/{name}", who="bob")[0] == 404
    status, longer = ask(line, "PUT", f"/{name}", {**ORDERS, "ttl": 300})
    status, renewed = ask(line, "PUT", f"/{name}")
    assert (status, renewed["functions"], renewed["ttl"]) == (200, ORDERS["functions"], 300)
    assert renewed["expires_at"] >= longer["expires_at"] > entry["expires_at"]
    assert ask(line, "DELETE", f"/{name}")[0] == 200
    assert ask(line, "GET", f"/{name}")[0] == 404
    assert ask(line, "DELETE", f"/{name}")[0] == 404
    told = f"CAST(record AS TEXT) LIKE '%{name}%'"
    actions = line.rows(f"SELECT who, action FROM actions WHERE {told} ORDER BY id")
    assert actions == [("agent alice", it) for it in ("registered", "registered", "unregistered")]


def test_the_name_in_an_entry_is_that_of_the_path(line: Line, name: str) -> None:
    """An agent may send its whole entry; another name is refused."""
    assert ask(line, "PUT", f"/{name}", {"name": name, **ORDERS})[1]["functions"] == ORDERS["functions"]
    assert ask(line, "PUT", f"/{name}", {"name": f"{name}-b", **ORDERS})[0] == 400
    assert ask(line, "DELETE", f"/{name}")[0] == 200


def test_search(line: Line, name: str) -> None:
    """By function, by words in any place, and by an input that the schema of a function allows."""
    ask(line, "PUT", f"/{name}", ORDERS)
    other = f"{name}-b"
    ask(line, "PUT", f"/{other}", {"description": "Counts sheep.", "functions": [{"name": "count_sheep"}]})
    mine = {name, other}

    def hits(query: str) -> dict[str, list[str]]:
        return {agent: functions for agent, functions in found(line, query).items() if agent in mine}

    fits, differs = quote('{"order": "A-1"}'), quote('{"order": 1}')
    assert hits("function=find_order") == {name: ["find_order"]}
    assert hits("q=orders%20NUMBER") == {name: ["find_order"]}
    assert set(hits("q=counts")) == mine
    assert hits("q=nowhere") == {}
    assert hits(f"input={fits}") == {name: ["find_order"]}
    assert hits(f"input={differs}") == {}
    assert hits(f"function=count_orders&input={fits}") == {}
    for query in ("x=1", "q=a&q=b", "input=7", "input=%7B", "q=" + "a%20" * 21):
        assert ask(line, "GET", f"?{query}")[0] == 400
    for agent in mine:
        ask(line, "DELETE", f"/{agent}")


def test_rows_and_what_policy_hides(line: Line, name: str) -> None:
    """Rows of the configuration have the skills of their cards; agents that the caller may not call do not exist."""
    agents = found(line, "")
    assert agents["planner"] == ["plan"]
    assert agents["dead"] == []
    assert "secret" not in agents
    assert ask(line, "GET", "/secret")[0] == 404
    assert found(line, "q=travel")["planner"] == ["plan"]
    assert ask(line, "PUT", "/planner", ORDERS)[0] == 400
    ask(line, "PUT", "/hidden", ORDERS)
    assert ask(line, "GET", "/hidden")[0] == 200
    assert ask(line, "GET", "/hidden", who="bob")[0] == 404
    ask(line, "PUT", f"/{name}", {**ORDERS, "channels": {"a2a": "secret"}})
    assert name not in found(line, "", who="bob")
    for agent in ("hidden", name):
        ask(line, "DELETE", f"/{agent}")


def test_sub_agents(line: Line, name: str) -> None:
    """See what their parents let them call, and register nothing."""
    body = {"agent": "helper", "agents": ["plan*"]}
    headers = {"x-correlation-id": "reg-sub"}
    token = line.client.post("/v1/delegations", json=body, headers=headers).json()["token"]
    ask(line, "PUT", f"/{name}", ORDERS, who="bob")
    assert name in found(line, "")
    status, said = ask(line, "GET", authorization=f"Bearer {token}")
    assert (status, [it["name"] for it in said["agents"]]) == (200, ["planner"])
    assert ask(line, "PUT", "/helper", ORDERS, authorization=f"Bearer {token}")[0] == 400
    ask(line, "DELETE", f"/{name}", who="bob")


def test_a_card_is_imported(line: Line, name: str, up: Scripted) -> None:
    """Its skills are functions."""
    status, entry = ask(line, "PUT", f"/{name}", {"card": up.card, "channels": {"a2a": "planner"}})
    assert status == 200
    assert entry["functions"] == [{"name": "plan", "description": "Plans a journey. travel"}]
    ask(line, "DELETE", f"/{name}")


@pytest.mark.parametrize(
    "said",
    [
        b"[]",
        b"{",
        b'{"functions": [{"name": "a b"}]}',
        b'{"unknown": 1}',
        b'{"ttl": 1}',
        {**ORDERS, "ttl": 10**9},
        {"functions": [{"name": "a"}, {"name": "a"}]},
        {"functions": [{"name": f"f{number}"} for number in range(101)]},
        {"description": f"Ask {MAIL}."},
        {"description": INJECTION},
        {"functions": [{"name": "a", "input_schema": {"description": "AKIAIOSFODNN7EXAMQLE"}}]},
        {"functions": [{"name": "a", "cost_usd": -1}]},
        {"channels": {"a2a": "none"}},
        {"card": {"name": "x"}, "description": "y"},
        b'{"functions": [{"name": "a", "input_schema": ' + b'{"a":' * 60 + b"1" + b"}" * 60 + b"}]}",
        {"functions": [{"name": f"f{number}", "description": "word " * 700} for number in range(12)]},
    ],
)
def test_bad_offers(line: Line, name: str, said: Any) -> None:
    """Are refused, and repeat no value."""
    status, answer = ask(line, "PUT", f"/{name}", said)
    assert status == 400, answer
    assert MAIL not in str(answer)
    assert "AKIA" not in str(answer)
    assert ask(line, "GET", f"/{name}")[0] == 404


def test_names_and_keys(line: Line) -> None:
    """A name is part of a path; strangers see nothing."""
    assert ask(line, "PUT", "/a%20b", ORDERS)[0] == 400
    assert ask(line, "GET", who="nobody")[0] == 401
    assert ask(line, "POST", "/x", ORDERS)[0] == 405
    assert ask(line, "DELETE")[0] == 405


def test_measured_figures(line: Line, up: Scripted, name: str) -> None:
    """Of messages, not of readings of tasks: success, time and cost; what the gateway refused does not count."""

    def send(text: str, method: str = SENDS["1.0"], params: Any = None) -> Any:
        params = params or {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return line.client.post("/a2a/planner", json=message, headers={"a2a-version": "1.0"}).json()

    ask(line, "PUT", f"/{name}", {**ORDERS, "channels": {"a2a": "planner"}})
    assert ask(line, "GET", f"/{name}")[1]["measured"] == {}
    ids = [send(f"go {number}")["result"]["task"]["id"] for number in range(3)]
    send("", GETS["1.0"], {"id": ids[0]})
    assert "error" in send("forbidden")
    bad = task("f1", "no")
    bad["status"]["state"] = "TASK_STATE_FAILED"
    up.answer = lambda method, params: {"task": bad}
    send("fails")
    up.answer, up.raw = None, b"garbage"
    send("breaks")
    up.raw = None
    measured = ask(line, "GET", f"/{name}")[1]["measured"]
    assert (measured["calls"], measured["success"], measured["cost_usd"]) == (5, 0.6, 0.25)
    assert 0 < measured["p50_seconds"] <= measured["p95_seconds"] < 30
    assert ask(line, "GET", "/planner", who="bob")[1]["measured"] == measured
    body, headers = {"agent": "helper", "agents": ["others"]}, {"x-correlation-id": "figures"}
    token = line.client.post("/v1/delegations", json=body, headers=headers).json()["token"]
    status, seen = ask(line, "GET", f"/{name}", authorization=f"Bearer {token}")
    assert (status, seen["measured"]) == (200, {})  # of an agent that it may not call
    ask(line, "DELETE", f"/{name}")


def test_commands(line: Line, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Print rows and entries, for a person and as JSON."""
    ask(line, "PUT", f"/{name}", ORDERS)

    def run(*words: str) -> str:
        assert main(["agents", *words, "--config", str(line.path)]) == 0
        return capsys.readouterr().out

    assert f"red/{name}  by alice" in run("list")
    assert "planner  http" in run("list")
    rows = json.loads(run("list", "--team", "red", "--json"))
    assert [row["functions"] for row in rows if row["agent"] == f"red/{name}"] == [["find_order", "count_orders"]]
    assert json.loads(run("show", f"red/{name}"))["functions"] == ORDERS["functions"]
    assert json.loads(run("show", name))["owner"] == "alice"
    assert json.loads(run("show", "planner"))["price"] == 0.25
    assert main(["agents", "show", "nobody", "--config", str(line.path)]) == 2
    ask(line, "DELETE", f"/{name}")


def test_limits_count_requests(up: Scripted, tmp_path: Path) -> None:
    """Of any kind, as other messages that call nothing; a stopped workflow registers nothing."""
    limits = [{"per": "agent", "match": {"agent": "alice"}, "requests": "4/h"}]
    settings = config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": {"url": up.url}}, limits=limits)
    with running(tmp_path, settings) as line:
        asked = (("PUT", "/mine", ORDERS), ("GET", "", None), ("GET", "/mine", None), ("DELETE", "/mine", None))
        answers = [ask(line, *one) for one in asked]
        assert [status for status, _ in answers] == [200] * 4
        for method, path in (("PUT", "/mine"), ("GET", ""), ("GET", "/planner"), ("DELETE", "/mine")):
            status, said = ask(line, method, path, ORDERS if method == "PUT" else None)
            assert (status, said["error"]["code"]) == (429, "rate_limited")
        assert ask(line, "GET", who="bob")[0] == 200


@pytest.mark.parametrize(
    "said",
    [
        {"functions": [{"name": "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"}]},
        {"functions": [{"name": "a", "input_schema": {"properties": {MAIL: {}}}}]},
        {"functions": [{"name": "a", "input_schema": {"properties": {"AKIAIOSFODNN7EXAMQLE": {}}}}]},
        {"functions": [{"name": "a", "input_schema": {"enum": [4539148803436467]}}]},
        {"functions": [{"name": "a", "output_schema": {"$comment": INJECTION}}]},
        {"functions": [{"name": "a", "input_schema": {"properties": {INJECTION: {}}}}]},
        {"functions": [{"name": "a", "cost_usd": 4539148803436467}]},
    ],
)
def test_values_in_any_place(line: Line, name: str, said: Any) -> None:
    """Of an offer are judged: in names, keys and numbers, too."""
    assert ask(line, "PUT", f"/{name}", said)[0] == 400


def test_names_that_mislead(line: Line) -> None:
    """The name of a row in other letters, and a secret as a name."""
    assert ask(line, "PUT", "/Planner", ORDERS)[0] == 400
    assert ask(line, "PUT", "/ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", ORDERS)[0] == 400


def test_schemas_that_take_long(line: Line, name: str) -> None:
    """Match no input: the work of a search is bounded, and the agent itself hides no other."""
    heavy = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, False]}
    functions = [{"name": f"f{number}", "input_schema": heavy} for number in range(100)]
    ask(line, "PUT", f"/{name}", {"functions": functions})
    ask(line, "PUT", f"/{name}-b", ORDERS)
    query = f"input={quote(json.dumps({'order': 'A-1'}))}"
    hits = found(line, query)
    assert name not in hits
    assert hits[f"{name}-b"] == ["find_order"]
    for agent in (name, f"{name}-b"):
        ask(line, "DELETE", f"/{agent}")


@pytest.mark.parametrize("text", [INJECTION, f"Ask {MAIL}.", "Use AKIAIOSFODNN7EXAMQLE"])
def test_cards_are_judged_as_offers(up: Scripted, tmp_path: Path, text: str) -> None:
    """What no agent could register is not shown of a row, either."""
    card, skill = up.card, {"id": "plan", "name": "Plan", "description": text, "tags": []}
    rows, policy = {"planner": {"url": up.url}}, policies(tmp_path, SEES)
    up.card = {**card, "skills": [skill]}
    try:
        with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", a2a=rows, policy=policy)) as line:
            assert found(line, "") == {"planner": []}
            assert text not in json.dumps(ask(line, "GET", "/planner"))
    finally:
        up.card = card


async def test_a_dead_agent_does_not_hold_up_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that read its card at once, one asks it, and the others hear of the fault."""

    class Dead:
        """A client that reaches nobody."""

        asked = 0

        async def post(self, to: Destination, body: bytes, told: object = None) -> Response:
            """Fail."""
            self.asked += 1
            await asyncio.sleep(0)
            raise ConnectionRefusedError((to, body))

        async def close(self) -> None:
            """Nothing."""

    now, client = [1000.0], Dead()
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=lambda: now[0]))
    row = RemoteAgent.model_validate({"url": "http://127.0.0.1:9"})
    made = remote.Remote("dead", row, client, Breakers(Healths()).of("dead"))
    said = await asyncio.gather(*(made.card() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(one, Refusal) for one in said)
    assert client.asked == 1
    now[0] += 1.1
    with pytest.raises(Refusal):
        await made.card()
    assert client.asked == 2


def test_figures_outlive_the_gateway(up: Scripted, tmp_path: Path) -> None:
    """In the state file."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": {"url": up.url, "price": 0.25}})
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
    body = {"jsonrpc": "2.0", "id": 1, "method": SENDS["1.0"], "params": {"message": message}}
    with running(tmp_path, settings) as first:
        for _ in range(3):
            assert "result" in first.client.post("/a2a/planner", json=body, headers={"a2a-version": "1.0"}).json()
        measured = ask(first, "GET", "/planner")[1]["measured"]
        assert (measured["calls"], measured["success"]) == (3, 1)
    with running(tmp_path, settings) as second:
        eventually(lambda: ask(second, "GET", "/planner")[1]["measured"] == measured)
