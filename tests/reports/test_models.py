"""Names of models by pattern: the name is sent as the caller wrote it, so it must have the form of a name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

import upstream as scripted
from line import Line, config, running

STAFF = {
    "name": "Staff",
    "supported_entity": "STAFF_ID",
    "patterns": [{"name": "badge", "regex": r"\bEMP-\d{3}\b", "score": 0.6}],
}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that serves every model of a provider by its own name, with a recognizer of the operator's."""
    folder = tmp_path_factory.mktemp("models")
    own = folder / "own.yaml"
    own.write_text(yaml.safe_dump({"recognizers": [STAFF]}))
    settings = config(folder, up.url, pii={"recognizers": str(own)})
    settings["models"]["any/*"] = {"targets": ["up/*"]}
    with running(folder, settings) as started:
        yield started


@pytest.mark.parametrize(
    "value",
    [
        *("jane.doe@example.com", "jane+x@example.com", "jane@sub.example.co.uk", "x/jane.doe@example.com"),
        *("4111111111111111", "gpt-4111-1111-1111-1111", "4111.1111.1111.1111", "gpt@4111111111111111"),
        *("DE89370400440532013000", "10.20.30.40", "sk-proj-abcdefghijklmnop", "078-05-1120", "+4930123456"),
        *("EMP-123", "ft:EMP-123"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_name_that_holds_a_value_is_no_model(line: Line, up: scripted.Upstream, value: str, stream: bool) -> None:
    """It is refused as an unknown model, the message does not repeat it, and nothing is sent."""
    before = len(up.seen)
    answer = line.chat(model=f"any/{value}", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert value not in answer.text
    assert len(up.seen) == before


@pytest.mark.parametrize(
    "name",
    [
        *("gpt-4o-mini-2024-07-18", "claude-3-5-sonnet@20240620", "gemini-1.5-pro@001", "meta-llama/Llama-3.1-8B"),
        *("anthropic.claude-3-5-sonnet-20241022-v2:0", "ft:gpt-4o:org::AbC9", "7b-instruct", "claude@default"),
    ],
)
def test_names_of_models_are_served(line: Line, up: scripted.Upstream, name: str) -> None:
    """As providers write them, with dates and versions."""
    line.chat(model=f"any/{name}")
    assert up.last.body["model"] == name
