"""Items of Responses whose kind, author or tool is told in unusual ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

import upstream as scripted
from formats.wires import Responses
from gateway.dialects import tree
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from line import Line, config, running

WIRE = Responses()
CALL: dict[str, Any] = WIRE.call("{}")
OFFER: dict[str, Any] = {"type": "function", "name": "send", "parameters": {}}
NAMESPACE: dict[str, Any] = {"type": "namespace", "name": "mail", "description": "x", "tools": [OFFER]}

AUTHORS: list[tuple[dict[str, Any], str]] = [
    ({"type": "other", "data": "said"}, "tool"),
    ({"type": "other_output", "data": "said"}, "tool"),
    ({"type": "Function_Call_Output", "call_id": "c", "output": "said"}, "tool"),
    ({"type": "other", "role": "assistant", "data": "said"}, "tool"),
    ({"type": "other_call", "call_id": "c", "action": {"text": "said"}}, "assistant"),
    ({"type": "message", "role": "user", "content": "said"}, "user"),
    ({"role": "assistant", "content": [{"type": "output_text", "text": "said"}]}, "assistant"),
    ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "said"}]}, "assistant"),
]


@pytest.mark.parametrize(("item", "author"), AUTHORS)
def test_an_item_of_an_unknown_type_is_what_a_tool_says(item: dict[str, Any], author: str) -> None:
    """Its role proves nothing; only calls of unknown tools are the model's."""
    body = {"model": "m", "input": [item]}
    survey = tree.parse(orjson.dumps(body), OPENAI_RESPONSES.shape, 64)[1]
    assert {slot.role for slot in survey.slots if slot.text == "said"} == {author}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """As shipped: `output.tools` is `offered`."""
    folder = tmp_path_factory.mktemp("items")
    with running(folder, config(folder, up.url, output={"secrets": "block"})) as started:
        yield started


def ask(line: Line, up: scripted.Upstream, said: Any, *tools: dict[str, Any]) -> str:
    """What a client reads of a scripted answer."""
    up.script["say"] = said
    body = {"model": "script", "input": "say", "stream": isinstance(said, list), "tools": [*tools]}
    return str(line.client.post("/v1/responses", json=body).text)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_namespace_of_a_called_tool_was_offered(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """A function of the same name in another namespace is another tool."""
    item = {**CALL, "namespace": "mail"}
    done = WIRE.event("response.output_item.done", output_index=0, item=item)
    said = WIRE.stream([done], item) if stream else WIRE.response(item)
    assert "did not offer" not in ask(line, up, said, NAMESPACE)
    refused = ask(line, up, said, OFFER)
    assert "did not offer" in refused
    assert "call_a" not in refused


@pytest.mark.parametrize("name", ["send", "wipe"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_call_has_one_name(line: Line, up: scripted.Upstream, name: str, begun: bool) -> None:
    """The event with its arguments names the tool that was offered."""
    added = WIRE.event("response.output_item.added", output_index=0, item={**CALL, "arguments": ""})
    place = {"output_index": 0, "item_id": "fc_a"}
    whole = WIRE.event("response.function_call_arguments.done", **place, name=name, arguments="{}")
    done = WIRE.event("response.output_item.done", output_index=0, item=CALL)
    answer = ask(line, up, WIRE.stream([*([added] if begun else []), whole, done], CALL), OFFER)
    assert ("did not offer" in answer) == (name == "wipe")
    assert json.dumps({"name": "wipe"})[1:-1] not in answer
