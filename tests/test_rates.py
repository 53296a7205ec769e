"""Rate limits on a running gateway: headers, and the cost of a call that is refused later."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import upstream as scripted
from line import Line, config, running
from waiting import eventually

CARD = "my card is 4111 1111 1111 1111"
# RFC 9651: a list of strings with parameters that are integers, strings or byte sequences.
PARAMETER = r';[a-z*][a-z0-9_.*-]*=(?:\d{1,15}|"[ !#-\[\]-~]*"|:[A-Za-z0-9+/=]*:)'
FIELD = re.compile(rf'"[ !#-\[\]-~]*"(?:{PARAMETER})*(?:, "[ !#-\[\]-~]*"(?:{PARAMETER})*)*')


def states(response: httpx.Response, field: str = "ratelimit") -> dict[str, dict[str, int | str]]:
    """A `RateLimit` or `RateLimit-Policy` field, by the names of the policies."""
    value = response.headers[field]
    assert FIELD.fullmatch(value), value
    found: dict[str, dict[str, int | str]] = {}
    for item in value.split(", "):
        name, *parameters = item.split(";")
        pairs = [parameter.partition("=")[::2] for parameter in parameters]
        found[name.strip('"')] = {key: int(text) if text.isdigit() else text for key, text in pairs}
    return found


@contextlib.contextmanager
def limited(folder: Path, up: scripted.Upstream, *limits: dict[str, Any], **fields: Any) -> Iterator[Line]:
    """A gateway under these limits."""
    with running(folder, config(folder, up.url, limits=list(limits), **fields)) as line:
        yield line


SLOW = {"per": "agent", "requests": "3/h", "burst": 2}
TOKENS = {"per": "team", "tokens": "10k/d"}


def test_every_answer_says_how_things_stand(up: scripted.Upstream, tmp_path: Path) -> None:
    """Whole, streamed and refused answers carry both families of headers, in the form that the draft gives them."""
    with limited(tmp_path, up, SLOW, TOKENS, {"per": "model", "match": {"model": "echo"}, "requests": "99/d"}) as line:
        whole = line.chat("hi", max_tokens=100)
        assert states(whole, "ratelimit-policy") == {
            "agent-requests": {"q": 3, "w": 3600, "meshgate-burst": 2},
            "team-tokens": {"q": 10_000, "qu": '"tokens"', "w": 86400},
            "model-requests": {"q": 99, "w": 86400, "pk": ":ZWNobw==:"},
        }
        state = states(whole)
        assert state["agent-requests"] == {"r": 1, "t": 1200}
        assert state["model-requests"] == {"r": 98, "t": 873, "pk": ":ZWNobw==:"}
        assert whole.headers["x-ratelimit-limit-requests"] == "2"
        assert whole.headers["x-ratelimit-remaining-requests"] == "1"
        assert whole.headers["x-ratelimit-limit-tokens"] == "10000"
        streamed = line.chat("hi", max_tokens=100, stream=True)
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert states(streamed)["agent-requests"]["r"] == 0
        assert streamed.headers["x-ratelimit-remaining-requests"] == "0"
        refused = line.chat("hi", max_tokens=100)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        wait = int(refused.headers["retry-after"])
        assert states(refused) == {"agent-requests": {"r": 0, "t": wait}}
        assert 1100 < wait <= 1200
        assert states(refused, "ratelimit-policy") == states(whole, "ratelimit-policy")
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert "x-should-retry" not in refused.headers


def test_what_was_not_used_comes_back(up: scripted.Upstream, tmp_path: Path) -> None:
    """A call holds its estimate while it runs, and the reported usage once it has ended."""
    with limited(tmp_path, up, TOKENS) as line:
        first = line.chat("hi", max_tokens=5000)
        held = 10_000 - int(first.headers["x-ratelimit-remaining-tokens"])
        assert held > 5000
        used = first.json()["usage"]["total_tokens"]
        second = line.chat("hi", max_tokens=5000)
        assert 10_000 - int(second.headers["x-ratelimit-remaining-tokens"]) == held + used


def test_a_call_refused_by_the_scanner_keeps_its_request_spent_only(up: scripted.Upstream, tmp_path: Path) -> None:
    """Personal data that blocks: the request is spent, its tokens and the quota are back."""
    blocked = {"entities": {"CREDIT_CARD": "block"}}
    quotas = {"tokens": "1k", "calls": 2}
    with limited(tmp_path, up, SLOW, TOKENS, pii=blocked, quotas=quotas) as line:
        refused = line.chat(CARD, cid="w", max_tokens=500)
        assert refused.json()["error"]["code"] == "pii_blocked"
        assert refused.headers["x-ratelimit-remaining-requests"] == "1"
        workflow = line.workflow("w")
        assert {*workflow.used.values(), *workflow.held.values()} == {0}
        after = line.chat("hi", cid="w", max_tokens=500)
        assert after.status_code == 200
        assert after.headers["x-ratelimit-remaining-requests"] == "0"
        assert int(after.headers["x-ratelimit-remaining-tokens"]) > 9400
        assert line.workflow("w").used["calls"] == 1
        assert line.chat(CARD, cid="w").json()["error"]["code"] == "rate_limited"


def test_a_call_refused_by_a_policy_keeps_its_request_spent_only(up: scripted.Upstream, tmp_path: Path) -> None:
    """The same for a policy's no."""
    settings = config(tmp_path, up.url, limits=[SLOW, TOKENS], quotas={"calls": 1}, policy={"path": "policies"})
    settings["agents"]["alice"]["roles"] = ["nobody"]
    with running(tmp_path, settings) as line:
        left = [line.chat("hi", cid="w", max_tokens=100) for _ in range(3)]
        assert [answer.json()["error"]["code"] for answer in left] == ["policy_denied", "policy_denied", "rate_limited"]
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in left] == ["1", "0", "0"]
        assert [int(answer.headers["x-ratelimit-remaining-tokens"]) > 9800 for answer in left[:2]] == [True, True]
        assert set(line.workflow("w").used.values()) == {0}


PROJECTS = """package gateway
decision := {"allow": true, "obligations": {"attributes": attributes}}
attributes := {"project": input.subject.roles[0]} if input.action.model != "renamed"
attributes := {} if input.action.model == "renamed"
"""


@pytest.fixture(params=["sqlite", "redis"])
def metered(request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path: Path) -> Iterator[Line]:
    """A gateway whose policy gives calls a project, on each kind of store."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "projects.rego").write_text(PROJECTS)
    fields: dict[str, Any] = {"policy": {"path": str(tmp_path / "policies")}, "quotas": {"tokens": "1m"}}
    if request.param == "redis":
        fields |= {"state": request.getfixturevalue("redis_url"), "pii": None}
        fields["audit"] = {"path": str(tmp_path / "audit.db")}
    by_project = ({"per": "attributes.project", **it} for it in ({"requests": "3/h"}, {"tokens": "10k/d"}))
    settings = config(tmp_path, up.url, limits=list(by_project), **fields)
    project = f"p{time.time_ns()}"
    for agent in ("alice", "mallory"):
        settings["agents"][agent]["roles"] = [project]
    with running(tmp_path, settings) as line:
        yield line


def test_limits_on_what_the_policy_says(metered: Line, up: scripted.Upstream) -> None:
    """Calls of a project share its buckets, for any caller; other calls take nothing; headers show both."""
    first = metered.chat("hi", max_tokens=5000, cid="w")
    used = first.json()["usage"]["total_tokens"]
    held = 10_000 - int(states(first)["attributes.project-tokens"]["r"])
    assert held > 5000
    assert states(first)["attributes.project-requests"]["r"] == 2
    policy = states(first, "ratelimit-policy")["attributes.project-requests"]
    assert (policy["q"], policy["w"], policy["pk"]) == (3, 3600, states(first)["attributes.project-requests"]["pk"])
    eventually(lambda: not any(metered.workflow("w").held.values()))
    second = metered.chat("hi", max_tokens=5000, agent="mallory")
    assert 10_000 - int(states(second)["attributes.project-tokens"]["r"]) == held + used
    assert "ratelimit" not in metered.chat("hi", "renamed", max_tokens=100).headers
    assert metered.chat("hi", agent="bob", max_tokens=100).status_code == 200
    assert metered.chat("hi", max_tokens=100, cid="w").status_code == 200
    seen, before = len(up.seen), metered.workflow("w")
    refused = metered.chat("hi", max_tokens=100, cid="w")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert "attributes.project-requests" in refused.json()["error"]["message"]
    assert states(refused) == {"attributes.project-requests": states(refused)["attributes.project-requests"]}
    assert states(refused)["attributes.project-requests"]["t"] == int(refused.headers["retry-after"]) > 1000
    after = metered.workflow("w")
    assert (after.used, after.held) == (before.used, before.held)
    assert len(up.seen) == seen


def test_one_attribute_that_refuses_spends_no_other(metered: Line) -> None:
    """All or none: a call that the token bucket refuses takes nothing from the request bucket."""
    for _ in range(4):
        refused = metered.chat("hi", max_tokens=11_000, agent="mallory", cid="v")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert refused.headers["x-should-retry"] == "false"
    assert states(metered.chat("hi", max_tokens=100, agent="alice"))["attributes.project-requests"]["r"] == 2


@pytest.mark.parametrize(("text", "words"), [("hi", "Lower its output ceiling"), ("hi " * 600, "Its input alone")])
def test_a_call_that_never_fits(up: scripted.Upstream, tmp_path: Path, text: str, words: str) -> None:
    """No time to wait, no retry, and which number to lower: following it, the call is admitted."""
    with limited(tmp_path, up, {"per": "team", "tokens": "500/min"}) as line:
        refused = line.chat(text, max_tokens=9000)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in refused.headers
        message = refused.json()["error"]["message"]
        assert words in message
        room = re.search(r"to (\d+) or less", message)
        assert bool(room) == (text == "hi")
        if room:
            assert line.chat(text, max_tokens=int(room[1]) + 1).status_code == 429
            assert line.chat(text, max_tokens=int(room[1])).status_code == 200


def test_a_limit_on_streams_leaves_whole_calls_alone(up: scripted.Upstream, tmp_path: Path) -> None:
    """`match.stream` distinguishes the two."""
    with limited(tmp_path, up, {"per": "agent", "match": {"stream": True}, "requests": "1/d"}) as line:
        assert [line.chat("hi", stream=True).status_code for _ in range(2)] == [200, 429]
        assert line.chat("hi").status_code == 200
        assert line.chat("hi", stream=True, agent="bob").status_code == 200


def test_a_role_has_one_bucket_in_all_teams(up: scripted.Upstream, tmp_path: Path) -> None:
    """Callers of different teams with the same role share its limit."""
    with limited(tmp_path, up, {"per": "role", "requests": "2/d"}) as line:
        answers = [line.chat("hi", agent=agent).status_code for agent in ("alice", "bob", "mallory")]
        assert answers == [200, 200, 429]
