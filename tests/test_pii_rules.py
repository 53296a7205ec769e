"""Which data may go to which provider: `pii.rules`, failover, obligations of a policy, and tools without values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import calls
import upstream as scripted
from gateway.call import Call, Resource, Subject, Target
from gateway.config.load import load
from gateway.config.sections import Action, Pii, RestoreTools
from gateway.detect.personal.scanner import canonical
from gateway.errors import ConfigError
from gateway.redaction.actions import ORDER, Actions, Rules, together
from gateway.redaction.restore import keeps
from line import Line, config, policies, running

TEXT = "Write to ann@example.org or 212-555-0123."
ACTIONS: st.SearchStrategy[Action] = st.sampled_from(ORDER)
SOME = st.builds(Actions, ACTIONS, st.dictionaries(st.sampled_from(["EMAIL", "PHONE", "US_SSN"]), ACTIONS))
POLICY = """package gateway
decision := {"allow": true, "deny": [], "obligations": obligations}
default obligations := {}
obligations := {"redact": {"EMAIL": "hash", "PHONE": "allow"}} if input.action.model == "echo"
obligations := {"redact": ["EMAIL_ADDRESS"]} if input.action.model == "failover"
obligations := {"redact": {"EMAIL": "block"}} if input.action.model == "nousage"
obligations := {"no_restore": ["se*"]} if input.action.model == "call"
obligations := {"route": "echo"} if input.action.model == "inhouse"
obligations := {"route": "inhouse"} if input.action.model == "invent"
"""


def call(agent: str = "bot", team: str = "red", roles: tuple[str, ...] = (), model: str = "m", *targets: str) -> Call:
    """A call on its way to these targets."""
    made = calls.call(resource=Resource("llm", model), subject=Subject(agent, team, roles))
    made.admission.targets = [Target(target, "x") for target in targets]
    return made


def rules(*items: dict[str, Any], **pii: Any) -> Rules:
    """Compiled rules."""
    return Rules(Pii.model_validate({"rules": items, **pii}), canonical)


@given(st.lists(SOME, min_size=1, max_size=4), st.sampled_from(["EMAIL", "PHONE", "US_SSN", "OTHER"]))
def test_the_strictest_of_several(several: list[Actions], entity: str) -> None:
    """No provider sees more than each of the rules allows."""
    assert together(several).of(entity) == max((one.of(entity) for one in several), key=ORDER.index)


@given(
    SOME, st.dictionaries(st.sampled_from(["EMAIL", "PHONE", "OTHER"]), ACTIONS), st.sampled_from(["EMAIL", "US_SSN"])
)
def test_a_demand_only_tightens(actions: Actions, demands: dict[str, Action], entity: str) -> None:
    """A policy can only remove permissions."""
    wanted = max(actions.of(entity), demands.get(entity, "allow"), key=ORDER.index)
    assert actions.tightened(demands).of(entity) == wanted


@pytest.mark.parametrize(
    ("made", "email", "card"),
    [
        (call("bot", "red", (), "m", "cloud"), "mask", "block"),
        (call("bot", "red", (), "m", "house"), "allow", "allow"),
        (call("bot", "red", (), "m", "house", "cloud"), "mask", "block"),
        (call("bot", "hr-eu", ("auditor",), "m", "cloud"), "hash", "block"),
        (call("bot", "hr-eu", ("clerk",), "m", "cloud"), "mask", "block"),
        (call("bot", "hr-eu", ("auditor",), "m", "house"), "hash", "block"),
        (call("robot", "red", (), "gpt-4", "cloud"), "redact", "redact"),
        (call("robot", "red", (), "gpt-5", "cloud"), "mask", "block"),
    ],
)
def test_the_first_rule_that_matches(made: Call, email: Action, card: Action) -> None:
    """By team, role, provider, agent and model; types without an entry keep their action, or get the default."""
    compiled = rules(
        {"match": {"team": "hr-*", "role": "auditor"}, "entities": {"EMAIL_ADDRESS": "hash"}},
        {"match": {"provider": "house"}, "default": "allow"},
        {"match": {"agent": "robot", "model": "gpt-4*"}, "default": "redact"},
        {"match": {"agent": "robot"}, "entities": {}},
        {"match": {"agent": "robot"}, "default": "block"},
        entities={"CREDIT_CARD": "block"},
    )
    for _ in range(2):
        assert (compiled.of(made).of("EMAIL"), compiled.of(made).of("CREDIT_CARD")) == (email, card)


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway whose provider `house` may see all but phone numbers, with a policy."""
    folder = tmp_path_factory.mktemp("rules")
    pii = {
        "rules": [{"match": {"provider": "house"}, "default": "allow", "entities": {"PHONE": "mask"}}],
        "restore_tools": {"deny": ["nobody_*"]},
    }
    settings = config(folder, up.url, pii=pii, policy=policies(folder, POLICY))
    settings["providers"]["house"] = settings["providers"]["up"]
    settings["models"] |= {
        "inhouse": {"targets": ["house/reset", "house/echo"]},
        "both": {"targets": ["house/echo", "up/echo"]},
        "house-call": {"targets": ["house/call"]},
        "fallback": {"targets": ["house/echo"]},
    }
    with running(folder, settings) as started:
        yield started


def content(answer: Any) -> str:
    """The text of an answer."""
    return str(answer.json()["choices"][0]["message"]["content"])


def test_a_provider_in_the_house_sees_more(line: Line, up: scripted.Upstream) -> None:
    """Alone it gets the address unchanged; with a cloud provider as fallback, neither does."""
    assert content(line.chat(TEXT, "fallback")) == TEXT
    assert up.last.body["messages"][0]["content"] == "Write to ann@example.org or <PHONE_1>."
    assert content(line.chat(TEXT, "both")) == TEXT
    assert up.last.body["messages"][0]["content"] == "Write to <EMAIL_1> or <PHONE_1>."


def test_a_policy_tightens_by_type(line: Line, up: scripted.Upstream) -> None:
    """An action for a type, a list of types, a block; types allowed by the policy stay as configured."""
    line.chat(TEXT, "echo")
    left = up.last.body["messages"][0]["content"]
    assert left.startswith("Write to <EMAIL:")
    assert left.endswith("or <PHONE_1>.")
    line.chat(TEXT, "failover")
    assert up.last.body["messages"][0]["content"] == "Write to <EMAIL> or <PHONE_1>."
    answer = line.chat(TEXT, "nousage")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "pii_blocked")


def test_where_a_policy_routes_the_call_the_rules_of_that_place_hold(line: Line, up: scripted.Upstream) -> None:
    """From the house to the cloud more is masked, and the other way less."""
    answer = line.chat(TEXT, "inhouse")
    assert up.last.body["messages"][0]["content"].startswith("Write to <EMAIL_1>")
    assert content(answer) == TEXT
    line.chat(TEXT, "invent")
    assert up.last.body["messages"][0]["content"] == "Write to ann@example.org or <PHONE_1>."


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_may_not_gets_placeholders(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """By policy, arguments keep placeholders, and in the history they are the gateway's own, not forged."""
    answer = line.chat(TEXT, "call", cid="kept", stream=stream)
    arguments = '{\\"to\\": \\"Write to <EMAIL_1> or <PHONE_1>.\\"}'
    assert arguments in answer.text
    assert "ann@" not in answer.text
    function = {"name": "send", "arguments": '{"to": "<EMAIL_1>"}'}
    history = [
        {"role": "user", "content": TEXT},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sent to <EMAIL_1>"},
    ]
    line.chat("", "call", cid="kept", messages=history)
    left = up.last.body["messages"]
    assert json.loads(left[1]["tool_calls"][0]["function"]["arguments"]) == {"to": "<EMAIL_1>"}
    assert left[2]["content"] == "sent to <LITERAL_1>"


def test_other_tools_get_the_values(line: Line) -> None:
    """The configuration names a tool that does not get values."""
    answer = line.chat(TEXT, "house-call")
    function = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"to": TEXT}


@pytest.mark.parametrize(
    ("allow", "deny", "also", "kept"),
    [
        (["*"], [], [], set()),
        (["*"], ["http_*"], [], {"http_get", "http_post"}),
        (["*"], ["http_*", "send"], [], {"http_get", "http_post", "send"}),
        (["*"], [], ["web_*", "http_p*"], {"http_post"}),
        (["*"], ["http_get"], ["http_p*"], {"http_get", "http_post"}),
        (["send"], [], [], {"http_get", "http_post"}),
        (["http_*", "send"], ["http_get"], [], {"http_get"}),
        ([], [], [], {"http_get", "http_post", "send"}),
    ],
)
def test_tools_that_get_placeholders(allow: list[str], deny: list[str], also: list[str], kept: set[str]) -> None:
    """Those that nothing allows, or that configuration or policy denies."""
    keep = keeps(RestoreTools(allow=tuple(allow), deny=tuple(deny)), also)
    assert {name for name in ("http_get", "http_post", "send") if keep is not None and keep(name)} == kept


@pytest.mark.parametrize("rule", [{"deny": ["se*"]}, {"allow": ["nobody_*"]}])
@pytest.mark.parametrize("stream", [False, True])
def test_the_configuration_says_which_tools_get_placeholders(
    up: scripted.Upstream, tmp_path: Path, rule: dict[str, Any], stream: bool
) -> None:
    """The tool gets the placeholder of the value that the caller reads in a text."""
    with running(tmp_path, config(tmp_path, up.url, pii={"restore_tools": rule})) as started:
        answer = started.chat(TEXT, "call", stream=stream)
        assert '{\\"to\\": \\"Write to <EMAIL_1> or <PHONE_1>.\\"}' in answer.text
        assert "ann@" not in answer.text
        assert content(started.chat(TEXT)) == TEXT


def test_a_rule_names_types_that_exist(tmp_path: Path) -> None:
    """A mistake is reported with its line."""
    settings = config(tmp_path, "http://127.0.0.1:9", pii={"rules": [{"entities": {"EMIAL": "mask"}}]})
    (tmp_path / "g.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(
        ConfigError, match=r"pii\.rules\[0\]\.entities\.EMIAL is not a known entity; did you mean EMAIL"
    ):
        load(tmp_path / "g.yaml")
