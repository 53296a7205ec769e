"""JSON and code within a string: the escapes around a value stay as they were, so that the string can still be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import upstream
from line import Line, config, running

ROW = "name\tphone\tmail\nAnn\t212-555-0123\talice@example.com\n4539 1488 0343 6467\n"


@pytest.fixture(scope="module")
def line(up: upstream.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("escaped")
    with running(folder, config(folder, up.url, limits=[])) as running_line:
        yield running_line


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_table_within_json(line: Line, up: upstream.Upstream, role: str, stream: bool) -> None:
    """In a user's text and in a tool's result: the provider reads placeholders between the same tabs and line ends."""
    text = json.dumps({"source": json.dumps(ROW)})
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Read this"}]
    if role == "tool":
        call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": text})
    else:
        messages.append({"role": "user", "content": text})
    answer = line.client.post("/v1/chat/completions", json={"model": "echo", "messages": messages, "stream": stream})
    assert answer.status_code == 200
    sent = up.last.body["messages"][-1]["content"]
    row = json.loads(json.loads(sent)["source"])
    assert row == "name\tphone\tmail\nAnn\t<PHONE_1>\t<EMAIL_1>\n<CREDIT_CARD_1>\n"
