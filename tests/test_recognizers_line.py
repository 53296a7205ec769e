"""Custom recognizers in a running gateway: requests, answers, streams, rules, policies, reload, faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import upstream as scripted
from gateway.config.load import load
from gateway.errors import ConfigError
from line import Line, config, running
from waiting import eventually

STAFF = {
    "name": "Staff",
    "supported_entity": "EMPLOYEE_ID",
    "patterns": [{"name": "badge", "regex": r"\bEMP-\d{6}\b", "score": 0.6}],
}
PROJECTS = {"name": "Projects", "supported_entity": "PROJECT", "deny_list": ["Bluebird"]}
POLICY = """package gateway
decision := {"allow": count(deny) == 0, "deny": deny, "obligations": {"redact": {"PROJECT": "redact"}}}
deny contains {"code": "policy_denied", "message": "no staff", "class": "safety"} if input.content.pii.EMPLOYEE_ID > 1
"""


def own(folder: Path, *entries: Any, **more: Any) -> str:
    """A file of recognizers."""
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"recognizers": entries, **more}))
    return str(path)


def streamed(answer: Any) -> str:
    """The text of a streamed answer."""
    events = [json.loads(part[6:]) for part in answer.text.split("\n\n") if part.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event.get("choices"))


def says(up: scripted.Upstream, text: str, stream: bool) -> dict[str, Any]:
    """Fields of a call whose answer is this text; a stream has three characters per event."""
    body = {"model": "script", "messages": [{"role": "user", "content": text}]}
    up.script["go"] = scripted.events(body) if stream else scripted.whole(body, usage=scripted.USAGE)
    return {"text": "go", "model": "script", "stream": stream}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with two recognizers, and a policy that hears of them."""
    folder = tmp_path_factory.mktemp("own")
    bundle = folder / "policies"
    bundle.mkdir()
    (bundle / "gateway.rego").write_text(POLICY)
    pii = {"recognizers": own(folder, STAFF, PROJECTS), "allow": ["EMP-000000"]}
    with running(folder, config(folder, up.url, pii=pii, output={}, policy={"path": str(bundle)})) as started:
        yield started


def test_requests_and_answers(line: Line, up: scripted.Upstream) -> None:
    """Masked on the way out and back in the answer, whole and streamed; a policy's obligation names the entity."""
    text = "Ask EMP-123456 or EMP-000000 about bluebird."
    for stream in (False, True):
        answer = line.chat(text, stream=stream)
        sent = up.seen[-1].body["messages"][0]["content"]
        assert sent == "Ask <EMPLOYEE_ID_1> or EMP-000000 about <PROJECT>."
        said = streamed(answer) if stream else answer.json()["choices"][0]["message"]["content"]
        assert "EMP-123456" in said
        assert "bluebird" not in said


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_caller_never_sent(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """An answer that has such a value of its own is judged as with any other type."""
    answer = line.chat(**says(up, "See EMP-654321 or EMP-000000 for Bluebird.", stream))
    said = streamed(answer) if stream else answer.json()["choices"][0]["message"]["content"]
    assert said == "See <EMPLOYEE_ID> or EMP-000000 for <PROJECT>."


def test_policies_see_them(line: Line) -> None:
    """Under their names, in input.content.pii."""
    answer = line.chat("EMP-123456 and EMP-654321")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "policy_denied")


def test_a_recognizer_that_raises(line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is not sent; the answer, whole or streamed, is not given."""
    line.chat("go")
    seen = len(up.seen)

    def broken(*_: Any) -> Any:
        raise ValueError("EMP-123456")

    monkeypatch.setattr("gateway.detect.core.linear.Linear.spans", broken)
    answer = line.chat("EMP-111222 is new")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "pii_blocked")
    assert "EMP-" not in answer.text
    assert len(up.seen) == seen
    for stream in (False, True):
        answer = line.chat(**says(up, "See EMP-654321 now.", stream))
        assert "could not be judged (ValueError)" in answer.text
        assert "EMP-" not in answer.text


def test_names_are_checked(tmp_path: Path) -> None:
    """Entities of the file may be used in entities and rules; others are refused with a suggestion, like bad files."""
    path = tmp_path / "gateway.yaml"

    def written(**pii: Any) -> None:
        path.write_text(yaml.safe_dump(config(tmp_path, "http://127.0.0.1:9", pii=pii)))

    file = own(tmp_path, STAFF, {**PROJECTS, "supported_entity": "PERSON"})
    named = {"EMPLOYEE_ID": "block", "PERSON": "redact"}
    written(recognizers=file, entities=named, rules=[{"entities": named}])
    loaded = load(path)
    assert loaded.config.pii is not None
    assert loaded.files == (path, Path(file))
    written(recognizers=file, entities={"EMPLOYE_ID": "block"})
    with pytest.raises(ConfigError, match="EMPLOYE_ID is not a known entity; did you mean EMPLOYEE_ID"):
        load(path)
    written(entities={"EMPLOYEE_ID": "block"})
    with pytest.raises(ConfigError, match="EMPLOYEE_ID is not a known entity"):
        load(path)
    own(tmp_path, {**STAFF, "checksum": "x"})
    written(recognizers=file)
    with pytest.raises(
        ConfigError, match=r"pii.recognizers: .*own.yaml:\d+: recognizers\[0\].checksum \(Staff\) canno"
    ):
        load(path)
    written(allow=["/(/"])
    with pytest.raises(ConfigError, match=r"gateway.yaml:\d+: pii.allow: /\(/: not a pattern"):
        load(path)


def test_the_file_is_read_again(up: scripted.Upstream, tmp_path: Path) -> None:
    """A change takes effect; with a mistake, the running configuration stays until the mistake is fixed."""
    file = own(tmp_path, STAFF)

    def sent(started: Line, text: str) -> str:
        started.chat(text)
        return str(up.seen[-1].body["messages"][0]["content"])

    with running(tmp_path, config(tmp_path, up.url, pii={"recognizers": file})) as started:
        assert sent(started, "EMP-123456 on Bluebird") == "<EMPLOYEE_ID_1> on Bluebird"
        own(tmp_path, STAFF, PROJECTS)
        check: Callable[[], bool] = lambda: "<PROJECT_1>" in sent(started, "EMP-123456 on Bluebird")  # noqa: E731
        eventually(check, 120)
        own(tmp_path, {**STAFF, "patterns": [{"name": "x", "regex": "(", "score": 1}]})
        eventually(lambda: started.metric("meshgate_reload_failed", what="config") == 1)
        assert "<PROJECT_1>" in sent(started, "Bluebird again")
        own(tmp_path, STAFF, allow_list=["EMP-123456"])
        eventually(lambda: started.metric("meshgate_reload_failed", what="config") == 0, 20)
        assert sent(started, "EMP-123456 on Bluebird, EMP-222222") == "EMP-123456 on Bluebird, <EMPLOYEE_ID_1>"
