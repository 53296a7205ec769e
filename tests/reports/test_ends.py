"""How answers end: a body that stays open after its last event, and a stream that breaks off."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import upstream as scripted
from line import Line, config, running
from raw_provider import Raw
from reports.test_odd_answers import CHAT, DIALECTS, ask, events, heard

HEAD = "content-type: text/event-stream\r\n"


@pytest.fixture(scope="module")
def line(provider: Raw, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("ends")
    settings = config(folder, up.url, output={"secrets": "block", "pii": "redact"})
    settings["providers"]["raw"] = {"format": "openai", "base_url": provider.url, "idle_timeout": "600s"}
    settings["providers"]["claude"] = {"format": "anthropic", "base_url": provider.url, "idle_timeout": "600s"}
    settings["models"]["raw"] = {"targets": ["raw/m"]}
    settings["models"]["claude"] = {"targets": ["claude/m"]}
    with running(folder, settings) as started:
        yield started


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_that_stays_open_ends_with_its_last_event(line: Line, raw: Raw, dialect: str, stream: bool) -> None:
    """The caller does not wait for a provider that says nothing more; the connection serves no other call."""
    raw.answer, raw.close = (HEAD, b"".join(events(dialect, "hel", "lo"))), "when the caller does"
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"
    raw.close = ""
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"
    assert raw.calls == 2


@pytest.mark.parametrize("lost", range(3))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_broken_stream_costs_the_same_however_it_was_asked_for(line: Line, raw: Raw, dialect: str, lost: int) -> None:
    """The tokens of its texts are charged, not those of its events."""
    stream = events(dialect, "one two three", " four", " five six", usage={"input_tokens": 40, "output_tokens": 1})
    raw.answer = (HEAD, b"".join(stream[: len(stream) - (2 if dialect == CHAT else 3) - lost]))
    for close in ("in the body", ""):
        raw.close = close
        used = []
        for streamed in (True, False):
            cid = f"broken-{dialect}-{lost}-{close and 'cut'}-{streamed}"
            assert ask(line, dialect, streamed, cid).status_code == (200 if streamed else 502)
            ((record,),) = line.rows(f"select record from outcomes where correlation_id = '{cid}'")
            used.append(json.loads(record)["usage"])
        assert used[0] == used[1]
        assert 0 < used[0]["output"] <= 6
