"""The trial meets what calls could bring before the gateway does."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.conftest import Write
from engines.test_holder import RULE
from gateway.authorize import document
from gateway.call import Call, Json, Subject
from gateway.engines import trial
from gateway.engines.bundle import load
from gateway.engines.embedded import Embedded
from gateway.engines.spread import FIELDS, TYPICAL, inputs
from gateway.errors import ConfigError


def test_inputs_are_those_of_the_bundle(write: Write) -> None:
    """They are always the same, hold everything that an input has, and the names that the policy compares with."""
    rule = RULE % '(input.subject.team == "apollo")' + "\nx := input.action.new\n"
    bundle = load(write({"p.rego": rule, "data.yaml": "teams: {gemini: 1}"}))
    made = list(inputs(bundle))
    assert made == list(inputs(bundle))
    assert made[0] == {}
    typical = made[1 : TYPICAL + 1]
    old = [{**one, "action": {name: one["action"][name] for name in FIELDS["action"]}} for one in typical]
    assert all("new" in one["action"] for one in typical)
    assert all({section: set(fields) for section, fields in FIELDS.items()} == _shape(one) for one in old)
    assert {"apollo", "gemini"} <= {one["subject"]["team"] for one in typical}


def test_inputs_have_the_shape_of_a_call() -> None:
    """The table here has nothing that a decision is not given."""
    call = Call("id", "/v1/chat/completions", "llm", None, [], None, 0)
    call.subject = Subject("a", "t")
    shape = _shape(document(call))
    assert all(set(fields) <= shape[section] for section, fields in FIELDS.items())


def test_a_bundle_that_ends_the_process_when_it_judges(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that the interpreter does not stand is met in the trial."""
    path = write({"p.rego": RULE % '(input.subject.team == "apollo")'})
    crash = "import os; from gateway.engines.embedded import Embedded; before = Embedded.decide\n"
    crash += "async def decide(self, document):\n"
    crash += (
        "    os.abort() if (document.get('subject') or {}).get('team') == 'apollo' else await before(self, document)\n"
    )
    crash += "Embedded.decide = decide\n"
    head, main = trial._CODE.rsplit("; ", 1)
    monkeypatch.setattr(trial, "_CODE", f"{head}\n{crash}{main}")
    with pytest.raises(ConfigError, match=r"breaks down when this bundle judges inputs \(signal SIGABRT\)"):
        trial.run(path)


async def test_many_tools_are_judged_on_the_loop() -> None:
    """What the shipped policies make of a thousand tools is linear: they are judged, and by few statements."""
    engine = Embedded(load(Path(__file__).parents[2] / "policies"))
    document: Json = {"subject": {"agent": "a", "roles": ["reader"]}, "action": {"kind": "llm", "model": "demo"}}
    document["action"]["tools"] = [f"t{number}" for number in range(1000)]
    result = await engine.decide(document)
    (denied,) = (one for one in result["deny"] if one["code"] == "tool_not_allowed")
    assert "t0, t1, t2, t3, t4" in denied["message"]
    await engine.close()


def _shape(document: Json) -> dict[str, set[str]]:
    return {section: set(values) for section, values in document.items()}
