"""Faults in scanning, encryption and judging: nothing leaves, the caller gets the reason, the call is settled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import upstream as scripted
from gateway.redaction.texts import Texts
from gateway.stores import StoreUnavailable
from gateway.texts import Finding
from line import Line, config, running

TEXT = "Write to ann@example.org about the plan for the day after tomorrow."


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that charges."""
    folder = tmp_path_factory.mktemp("faults")
    with running(folder, config(folder, up.url, quotas={"tokens": 100_000})) as started:
        yield started


class Broken:
    """Raises where its place is reached, after `good` good answers."""

    def __init__(self, good: int = 0, fault: Exception | None = None) -> None:
        self.good = good
        self.fault = fault or RuntimeError("4111 1111 1111 1111")

    def __call__(self, *_: Any, **__: Any) -> Any:
        if self.good <= 0:
            raise self.fault
        self.good -= 1
        return []


def charged(line: Line, cid: str) -> tuple[int, int]:
    """Tokens settled and held."""
    workflow = line.workflow(cid)
    return workflow.used.get("tokens", 0), workflow.held.get("tokens", 0)


def refused(line: Line, code: str, cid: str, **fields: Any) -> str:
    """A call that is refused before it has an answer; returns the message."""
    answer = line.chat(TEXT, cid=cid, **fields)
    error = answer.json()["error"]
    assert (error["code"], charged(line, cid)[1]) == (code, 0)
    assert "4111" not in answer.text
    assert "ann@" not in answer.text
    return str(error["message"])


def test_a_scanner_that_raises(
    line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is not sent; the log has the place of the fault, but not its message, which may contain a value."""
    seen = len(up.seen)
    monkeypatch.setattr(line.gateway.runtime.line.ingress, "_texts", Texts(len, Broken()))
    answer = line.chat(TEXT, cid="scanner")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "pii_blocked")
    assert "could not be searched" in answer.json()["error"]["message"]
    assert "4111" not in answer.text
    assert len(up.seen) == seen
    assert "in __call__" in caplog.text
    assert "4111" not in caplog.text


def test_a_finding_that_makes_no_sense(line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A custom recognizer with an invalid result blocks the call with a message."""
    seen = len(up.seen)

    def nonsense(_: str) -> list[Any]:
        return [Finding("a", "b", "EMAIL", 1.0)]  # type: ignore[arg-type]

    monkeypatch.setattr(line.gateway.runtime.line.ingress, "_texts", Texts(len, nonsense))
    assert "could not be taken out" in refused(line, "pii_blocked", "nonsense")
    assert len(up.seen) == seen


@pytest.mark.parametrize(
    ("fault", "code"), [(StoreUnavailable("gone"), "state_unavailable"), (OSError("disk"), "pii_blocked")]
)
def test_a_vault_that_fails(
    line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str
) -> None:
    """No number, no placeholder, no call."""
    seen = len(up.seen)
    monkeypatch.setattr(
        line.gateway.runtime.line.redact._replacer, "_vault", type("V", (), {"seal": Broken(fault=fault)})()
    )
    refused(line, code, f"vault-{code}")
    assert len(up.seen) == seen


def test_a_seal_that_fails(line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway without encryption does not start."""
    seen = len(up.seen)
    monkeypatch.setattr(line.gateway.runtime.line.redact._replacer, "_seal", type("S", (), {"digest": Broken()})())
    refused(line, "pii_blocked", "seal")
    assert len(up.seen) == seen


class Scanner:
    """A scanner of answers that breaks."""

    def __init__(self, inner: Any, good: int) -> None:
        self.scan = inner.scan if good else Broken()  # the names in a stream are whole texts
        self._inner = inner
        self._good = good

    def window(self, limit: int) -> Any:
        """Windows of their own, each with as many good pieces."""
        window, broken = self._inner.window(limit), Broken(self._good)

        class Window:
            def feed(self, text: str) -> Any:
                broken()
                return window.feed(text)

            def close(self) -> Any:
                return window.close()

        return Window()


class Gate:
    """A gate that fails in one of its methods."""

    def __init__(self, place: str) -> None:
        self._place = place

    def _text(self, text: str, place: str) -> str:
        if place == self._place:
            raise ValueError("4111 1111 1111 1111")
        return text

    def text(self, _: Any, text: str) -> str:
        """Whole texts."""
        return self._text(text, "text")

    def argument(self, _: Any, text: str) -> str:
        """Arguments of tools."""
        return self._text(text, "argument")

    def guard(self, _: Any) -> Any:
        """Running texts."""
        gate = self

        class Guard:
            def feed(self, text: str) -> str:
                return gate._text(text, "feed")

            def close(self) -> str:
                return gate._text("", "close")

        return Guard()


def chunks(answer: Any) -> list[Any]:
    """The events of a stream."""
    return [json.loads(part[6:]) for part in answer.text.split("\n\n") if part.startswith("data: {")]


@pytest.mark.parametrize("good", [0, 1])
def test_an_answers_scanner_that_raises(line: Line, monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    """Whole: an error. Mid-stream: the stream ends with content_filter and the reason, and the usage is charged."""
    screen = line.gateway.runtime.line.exchange._answers.screen
    monkeypatch.setattr(screen, "scanner", Scanner(screen.scanner, good))
    answer = line.chat(TEXT, cid=f"judge-{good}")
    if good == 0:
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "output_blocked")
        assert "could not be judged (RuntimeError)" in answer.json()["error"]["message"]
    answer = line.chat(TEXT, cid=f"judge-{good}-s", stream=True)
    assert "4111" not in answer.text
    if good:
        [last] = chunks(answer)[-1]["choices"]
        assert last["finish_reason"] == "content_filter"
        assert "could not be judged" in last["delta"]["refusal"]
        assert answer.text.endswith("data: [DONE]\n\n")
        assert "tomorrow" not in "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks(answer))
    used, held = charged(line, f"judge-{good}-s")
    assert held == 0
    assert used > 0


@pytest.mark.parametrize(
    ("place", "model", "stream"),
    [
        ("text", "echo", False),
        ("argument", "call", False),
        ("argument", "call", True),
        ("feed", "echo", True),
        ("close", "echo", True),
    ],
)
def test_a_gate_that_raises(line: Line, monkeypatch: pytest.MonkeyPatch, place: str, model: str, stream: bool) -> None:
    """The provider is not blamed, and nothing unjudged leaves."""
    monkeypatch.setattr(line.gateway.runtime.line.exchange._answers.screen, "gates", (Gate(place),))
    cid = f"gate-{place}-{model}-{stream}"
    answer = line.chat(TEXT, model, cid=cid, stream=stream)
    assert "4111" not in answer.text
    assert "could not be judged (ValueError)" in answer.text
    assert "upstream_error" not in answer.text
    if place in ("text", "argument", "feed"):
        assert "tomorrow" not in answer.text
    assert charged(line, cid)[1] == 0


def test_a_fault_of_restoring(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a value cannot be restored, the answer is blocked: half an answer may mean something else."""
    monkeypatch.setattr("gateway.redaction.restore.Restorer.value", Broken())
    answer = line.chat(TEXT, cid="restore")
    assert answer.json()["error"]["code"] == "output_blocked"
