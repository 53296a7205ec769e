"""The unmodified `openai` client and refusals: it retries if waiting helps, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


@pytest.fixture
def line(up: scripted.Upstream, tmp_path: Path) -> Iterator[Line]:
    """A second for each call of an agent, and never more than 500 tokens."""
    limits = [{"per": "agent", "requests": "1/s"}, {"per": "team", "tokens": "500/s"}]
    with running(tmp_path, config(tmp_path, up.url, limits=limits, quotas={"calls": 2})) as started:
        yield started


@pytest.fixture
def client(line: Line) -> Iterator[OpenAI]:
    """The client with its own retries: two."""
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-alice") as made:
        yield made


def refusals(line: Line) -> float:
    return line.metric("meshgate_requests_total", status="429")


def test_it_waits_as_told_and_is_served(client: OpenAI, line: Line) -> None:
    """Concurrent calls: each is refused at most once, waits for its `Retry-After` and is then admitted, streams too."""
    for stream in (False, True, False):
        client.chat.completions.create(model="echo", messages=HI, max_tokens=50, stream=stream)
    assert 1 <= refusals(line) <= 2


def test_it_does_not_try_again_where_waiting_is_in_vain(client: OpenAI, line: Line) -> None:
    """`x-should-retry: false` is obeyed: a call that never fits is sent once."""
    with pytest.raises(openai.RateLimitError, match="Lower its output ceiling") as caught:
        client.chat.completions.create(model="echo", messages=HI, max_tokens=5000)
    assert caught.value.code == "rate_limited"
    assert refusals(line) == 1


def test_a_quota_that_ran_out_is_no_reason_to_retry(client: OpenAI, line: Line) -> None:
    """`quota_exceeded` is a 403 and final."""
    flow = {"x-correlation-id": "w"}
    for _ in range(2):
        client.chat.completions.create(model="echo", messages=HI, max_tokens=50, extra_headers=flow)
    before = line.metric("meshgate_requests_total", status="403")
    patient = client.with_options(max_retries=5)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        patient.chat.completions.create(model="echo", messages=HI, max_tokens=50, extra_headers=flow)
    assert caught.value.code == "quota_exceeded"
    assert line.metric("meshgate_requests_total", status="403") == before + 1
