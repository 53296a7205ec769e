"""Tokens of sub-agents through the whole gateway: a child can do no more than its parent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tool_server
import upstream
from gateway.call import Subject
from gateway.config.grammar import Jwt
from gateway.delegation import Delegation, Scope, Share
from gateway.errors import Refusal
from gateway.identity.delegations import LONGEST, PREFIX, Delegations, narrowed
from gateway.identity.identify import Identity
from gateway.redaction.vault import Seal
from gateway.stores import Key
from line import Line, config, policies, running
from waiting import eventually

Clock = Callable[[], float]
POLICY = """package gateway

import rego.v1

decision := {"allow": true, "deny": deny}

deny contains {"code": "chain", "message": "Not from here", "class": "safety"} if {
	input.context.chain[_] == "alice/barred"
}

deny contains {"code": "agent", "message": "Not alice", "class": "safety"} if {
	input.subject.agent == "alice"
	input.action.model == "call"
}

deny contains {"code": "role", "message": "No role", "class": "safety"} if {
	input.action.model == "renamed"
	not "developer" in input.subject.roles
}

deny contains {"code": "deep", "message": "Too deep", "class": "safety"} if {
	input.action.model == "script"
	input.context.hop > 1
}
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy, quotas, a limit, and a tool server."""
    folder = tmp_path_factory.mktemp("delegations")
    with tool_server.scripted() as tools, upstream.running() as up:
        tools.tools = [tool_server.tool(name) for name in ("get_it", "send_it")]
        settings = config(
            folder,
            up.url,
            tools={"it": {"mcp": tools.url, "refresh": "1h"}},
            policy=policies(folder, POLICY),
            quotas={"cost_usd": 5, "tokens": 1_000_000, "calls": 200, "hops": 3},
            delegations={"ttl": "1h", "most": 6},
            limits=[{"per": "agent", "match": {"agent": "bob"}, "requests": "4/h"}],
        )
        with running(folder, settings) as started:
            yield started


def ask(line: Line, cid: str, name: str = "helper", key: str = "mg-alice", **wanted: Any) -> httpx.Response:
    """The request for a token."""
    headers = {"authorization": f"Bearer {key}", **({"x-correlation-id": cid} if cid else {})}
    return line.client.post("/v1/delegations", json={"agent": name, **wanted}, headers=headers)


def token(line: Line, cid: str, name: str = "helper", key: str = "mg-alice", **wanted: Any) -> str:
    """A token."""
    answer = ask(line, cid, name, key, **wanted)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def chat(line: Line, key: str, model: str = "echo", cid: str = "", **fields: Any) -> httpx.Response:
    """A call of a sub-agent."""
    headers = {"authorization": f"Bearer {key}", **({"x-correlation-id": cid} if cid else {})}
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, **fields}
    return line.client.post("/v1/chat/completions", json=body, headers=headers)


def code(answer: httpx.Response) -> str:
    """The code of a refusal."""
    return str(answer.headers.get("x-meshgate-code", ""))


def test_a_child_works_in_the_workflow_of_its_parent(line: Line) -> None:
    """Without a header, and refused with the id of another workflow."""
    answer = ask(line, "w1", roles=["developer", "admin"], ttl=60).json()
    assert answer["chain"] == ["alice", "alice/helper"]
    assert (answer["agent"], answer["roles"], answer["correlation_id"]) == ("alice/helper", ["developer"], "w1")
    served = chat(line, answer["token"])
    assert (served.status_code, served.headers["x-correlation-id"]) == (200, "w1")
    assert chat(line, answer["token"], cid="w1").status_code == 200
    assert code(chat(line, answer["token"], cid="other")) == "invalid_request"
    found = line.workflow("w1")
    assert found.agents == {"alice": "", "alice/helper": "alice"}
    assert found.used["calls"] == 2


def test_a_delegation_needs_a_workflow(line: Line) -> None:
    """One that the caller names."""
    answer = ask(line, "")
    assert (answer.status_code, code(answer)) == (400, "invalid_request")


def test_rules_for_an_agent_hold_for_its_sub_agents(line: Line) -> None:
    """Also rules about the chain; roles that were not passed on are gone."""
    made = token(line, "w2", roles=[])
    assert code(chat(line, made, "call")) == "policy_denied"
    assert code(chat(line, made, "renamed")) == "policy_denied"
    assert chat(line, token(line, "w2", "other"), "renamed").status_code == 200
    assert code(chat(line, token(line, "w2", "barred"))) == "policy_denied"


def test_models_and_tools_are_narrowed_at_each_step(line: Line) -> None:
    """A grandchild may call what both its parent and its grandparent allow."""
    child = token(line, "w3", models=["echo", "invent"], tools=["it/get_*"])
    assert chat(line, child).status_code == 200
    assert code(chat(line, child, "nousage")) == "policy_denied"
    grandchild = token(line, "", "deeper", child, models=["invent", "nousage"])
    assert chat(line, grandchild, "invent").status_code == 200
    assert {code(chat(line, grandchild, model)) for model in ("echo", "nousage")} == {"policy_denied"}
    headers = {"authorization": f"Bearer {grandchild}"}
    models = line.client.get("/v1/models", headers=headers).json()["data"]
    assert [model["id"] for model in models] == ["invent"]
    offered = [{"type": "function", "function": {"name": "send_it"}}]
    assert code(chat(line, grandchild, "invent", tools=offered)) == "policy_denied"
    offered = [{"type": "function", "function": {"name": "get_it"}}]
    assert chat(line, grandchild, "invent", tools=offered).status_code == 200


def test_tools_of_servers_are_narrowed(line: Line) -> None:
    """A tool outside the scope is neither listed nor called."""
    made = token(line, "w4", tools=["it/get_*"])
    headers = {"authorization": f"Bearer {made}", "accept": "application/json, text/event-stream"}

    def send(method: str, params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return line.client.post("/mcp/it", json=message, headers=headers).json()

    assert [tool["name"] for tool in send("tools/list", {})["result"]["tools"]] == ["get_it"]
    assert "result" in send("tools/call", {"name": "get_it", "arguments": {}})
    assert send("tools/call", {"name": "send_it", "arguments": {}})["error"]["data"]["code"] == "tool_not_found"


def test_a_budget_is_never_overdrawn(line: Line) -> None:
    """However many calls of a sub-agent come at once; the workflow goes on."""
    made = token(line, "w5", budget={"calls": 5})
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: chat(line, made), range(12)))
    assert sum(it.status_code == 200 for it in answers) == 5
    assert code(chat(line, made)) == "quota_exceeded"
    assert line.chat(cid="w5").status_code == 200
    assert line.workflow("w5").state == "open"
    assert line.workflow("w5").used["calls"] == 6


def test_a_grandchild_spends_the_budget_of_its_parent(line: Line) -> None:
    """And its own, whichever ends first; tokens and money count as they were used."""
    child = token(line, "w6", budget={"calls": 3, "tokens": 10_000, "cost_usd": 0.5})
    grandchild = token(line, "", "deeper", child, budget={"calls": 100})
    assert [chat(line, grandchild).status_code for _ in range(3)] == [200] * 3
    assert {code(chat(line, it)) for it in (child, grandchild)} == {"quota_exceeded"}
    tight = token(line, "w6", "tight", budget={"tokens": 12})
    assert code(chat(line, tight, max_tokens=50)) == "quota_exceeded"
    cheap = token(line, "w6", "cheap", budget={"cost_usd": 0.000001})
    refused = chat(line, cheap)
    assert code(refused) == "quota_exceeded"
    assert "budget.cost of cheap" in refused.json()["error"]["message"]


def test_depth_and_names(line: Line) -> None:
    """Chains end at quotas.hops; no name occurs twice in a chain; `input.context.hop` is the depth."""
    child = token(line, "w7", "one")
    two = token(line, "", "two", child)
    assert chat(line, child, "script").status_code != 403
    assert code(chat(line, two, "script")) == "policy_denied"
    assert code(ask(line, "", "one", two)) == "loop_detected"
    assert code(ask(line, "w7", "alice")) == "loop_detected"
    three = token(line, "", "three", two)
    assert code(ask(line, "", "four", three)) == "hop_limit"


def test_the_number_of_delegations_is_limited(line: Line) -> None:
    """For each workflow, and nothing freezes."""
    answers = [ask(line, "w8", f"n{number}") for number in range(7)]
    assert [it.status_code for it in answers] == [200] * 6 + [403]
    assert line.chat(cid="w8").status_code == 200


def test_rate_limits_are_shared_with_the_parent(line: Line) -> None:
    """More sub-agents do not have more requests."""
    made = token(line, "w9", "extra", "mg-bob")
    served = [chat(line, made).status_code for _ in range(3)]
    assert served == [200] * 3
    assert code(chat(line, made)) == "rate_limited"


def test_a_claimed_chain_is_not_believed(line: Line) -> None:
    """Headers say nothing about agents."""
    made = token(line, "w10", "barred")
    headers = {"authorization": f"Bearer {made}", "x-agent-chain": "bob", "x-meshgate-agent": "bob", "x-hop": "0"}
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    assert code(line.client.post("/v1/chat/completions", json=body, headers=headers)) == "policy_denied"


@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_a_changed_token_is_refused(line: Line, cut: int) -> None:
    """Every bit of it is authenticated."""
    made = token(line, f"changed{cut}")
    place = len(made) + cut if cut < 0 else len(PREFIX) + cut
    other = "A" if made[place] != "A" else "Q"
    assert code(chat(line, made[:place] + other + made[place + 1 :])) == "unauthenticated"


@pytest.mark.parametrize("junk", ["mgd_", "mgd_%%%", "mgd_" + "A" * 40, "mgd_" + "A" * LONGEST])
def test_junk_is_refused(line: Line, junk: str) -> None:
    """As an unknown key is."""
    assert code(chat(line, junk)) == "unauthenticated"


@pytest.mark.parametrize(
    "wanted",
    [
        {"agent": ""},
        {"agent": "a/b"},
        {"agent": "a\n"},
        {"agent": "a", "role": ["x"]},
        {"agent": "a", "budget": {"calls": 0}},
        {"agent": "a", "budget": {"calls": True}},
        {"agent": "a", "ttl": -1},
        {"agent": "a", "models": ["m" * 200]},
        {"agent": "a", "models": [f"{number:0>100}" for number in range(100)]},
        ["a"],
    ],
)
def test_mistakes_are_explained(line: Line, wanted: Any) -> None:
    """As invalid_request."""
    headers = {"x-correlation-id": f"bad{abs(hash(json.dumps(wanted)))}"}
    answer = line.client.post("/v1/delegations", content=json.dumps(wanted), headers=headers)
    assert (answer.status_code, code(answer)) == (400, "invalid_request"), answer.text


def test_other_methods_are_refused(line: Line) -> None:
    """And a caller without a key."""
    assert line.client.get("/v1/delegations").status_code == 405
    assert (
        line.client.post("/v1/delegations", json={"agent": "a"}, headers={"authorization": "Bearer x"}).status_code
        == 401
    )


def test_delegations_are_on_record(line: Line) -> None:
    """Who gave what to whom, without the token."""
    made = token(line, "w11", "noted", models=["echo"])
    rows = [row for row in line.rows("SELECT * FROM actions") if "delegated" in row and "w11" in row]
    assert len(rows) == 1
    assert "alice/noted" in str(rows[0])
    assert made not in str(rows[0])


def test_a_token_expires(line: Line) -> None:
    """At the time that its answer says, which is never after that of its parent."""
    child = ask(line, "w12", "short", ttl=1).json()
    grandchild = ask(line, "", "below", child["token"], ttl=3000).json()
    assert grandchild["expires_at"] == child["expires_at"]
    eventually(lambda: code(chat(line, child["token"])) == "unauthenticated")
    assert code(chat(line, grandchild["token"])) == "unauthenticated"


def child(clock: Clock, root: Identity, key: bytes, **changes: Any) -> bytes:
    """A token made with a key, as the gateway makes it."""
    made = Delegations(Seal(bytes(32)), clock)
    above = root.lookup(key)
    assert above is not None
    below = Delegation("w", (above.agent, "c"), ("c",), (Scope(),), (Share("s"),), clock() + 100)
    return made.token(root.root(key), replace(narrowed(above, None, below), **changes)).encode()


def identity(*keys: Key, jwt: Jwt | None = None) -> Identity:
    """An identity that accepts tokens of sub-agents."""
    made = Identity({}, jwt, keys)
    made.accept(Delegations(Seal(bytes(32))))
    return made


def test_a_token_ends_with_its_key() -> None:
    """Revoked, expired, or moved to another team or agent; a role that the key loses is lost at once."""
    key = Key("k", sha256(b"mg-k").hexdigest(), "a", "t", ("r", "s"))
    here = identity(key)
    made = child(time.time, here, b"mg-k")
    found = here.lookup(made)
    assert found is not None
    assert (found.agent, found.acting, found.roles) == ("a", "a/c", ("r", "s"))
    assert here.lookup(made) is found, "a token is opened once"
    here.update_keys([replace(key, roles=("s", "more"))])
    again = here.lookup(made)
    assert again is not None
    assert again.roles == ("s",)
    for worse in (
        replace(key, revoked=1.0),
        replace(key, expires=1.0),
        replace(key, team="u"),
        replace(key, agent="b"),
    ):
        here.update_keys([worse])
        with pytest.raises(Refusal, match="revoked"):
            here.lookup(made)
    here.update_keys([key])
    assert here.lookup(made) is not None


def test_a_token_of_another_gateway_is_refused() -> None:
    """Its master key is another; without the section, no token is accepted."""
    key = Key("k", sha256(b"mg-k").hexdigest(), "a", "t")
    here, made = identity(key), b""
    made = child(time.time, here, b"mg-k")
    here.accept(Delegations(Seal(b"1" * 32)))
    with pytest.raises(Refusal, match="not made here"):
        here.lookup(made)
    here.accept(None)
    assert here.lookup(made) is None


def test_claims_go_with_a_token() -> None:
    """Rules about the claims of a JWT hold for its sub-agents."""
    clock = time.time
    made = Delegations(Seal(bytes(32)), clock)
    below = Delegation("w", ("a", "a/c"), ("c",), (Scope(),), (Share("s"),), clock() + 100)
    parent = Subject("a", "t", ("r",), {"exp": 1, "tenant": "x"}, below)
    token = made.token("root", parent).encode()
    assert made.read(token)[1] == parent
    with pytest.raises(Refusal, match="revoked"):
        identity().lookup(token)


@given(
    st.lists(st.tuples(st.sampled_from(["echo", "gpt*", "*", "a?"]), st.booleans()), max_size=4), st.text(max_size=6)
)
def test_scopes_only_narrow(patterns: list[tuple[str, bool]], name: str) -> None:
    """What a sub-agent may call, its parent may."""
    scopes = tuple(Scope(models=(pattern,) if narrow else None) for pattern, narrow in patterns)
    for size in range(len(scopes)):
        above, below = (Delegation("w", (), (), scopes[:end], (), 0) for end in (size, size + 1))
        assert above.allows("llm", name) or not below.allows("llm", name)


@pytest.mark.parametrize(
    ("pattern", "tool", "offered"),
    [
        ("it/get_*", "get_x", True),
        ("it/get_*", "it_get_x", True),
        ("it/get_*", "it/get_x", True),
        ("it/get_*", "send", False),
        ("it/*", "send", False),
        ("it/*", "it_send", True),
        ("send", "send", True),
        ("*", "send", True),
    ],
)
def test_tools_offered_to_models(pattern: str, tool: str, offered: bool) -> None:
    """By the names that clients give to the tools of a server."""
    assert Scope(tools=(pattern,)).offers(tool) is offered


def test_claims_are_recorded_and_not_trusted(line: Line) -> None:
    """Of plain names; anything else is recorded as `?`."""
    headers = {
        "authorization": "Bearer mg-alice",
        "x-correlation-id": "claims",
        "x-agent-id": "admin-bot",
        "x-claude-code-parent-agent-id": "ann@example.org",
    }
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    assert line.client.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    [(record, agent)] = line.rows("SELECT record, agent FROM decisions WHERE correlation_id = 'claims'")
    said = json.loads(record)
    assert (said["claimed"], agent) == ({"agent": "admin-bot", "parent": "?"}, "alice")
    assert said["input"]["context"]["chain"] == ["alice"]
