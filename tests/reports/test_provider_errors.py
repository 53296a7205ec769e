"""A provider's error for a refused request: programs depend on its code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import upstream as scripted
from line import Line, config, running


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """With an output filter."""
    folder = tmp_path_factory.mktemp("errors")
    with running(folder, config(folder, up.url, output={"secrets": "block", "pii": "redact"})) as started:
        yield started


def refused(line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, **terms: Any) -> dict[str, Any]:
    """The error object that a caller gets for a 400 of the provider."""
    monkeypatch.setattr(up, "terms", terms)
    answer = line.chat("x", "status-400")
    assert (answer.status_code, answer.headers["x-meshgate-code"]) == (400, "invalid_request")
    error: dict[str, Any] = answer.json()["error"]
    assert (error["code"], error["type"]) == ("invalid_request", "invalid_request_error")
    return error


@pytest.mark.parametrize(
    "code",
    [
        "context_length_exceeded",
        "string_above_max_length",
        "invalid_image",
        "content_policy_violation",
        "invalid_base64",
    ],
)
def test_the_code_of_a_provider_reaches_the_caller(
    line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """In addition to the gateway's own code, with the parameter and the type."""
    error = refused(line, up, monkeypatch, code=code, type="image_error", param="messages[0].content")
    assert (error["upstream_code"], error["upstream_type"]) == (code, "image_error")
    assert error["param"] == "messages[0].content"
    assert "no: x" in error["message"]


@pytest.mark.parametrize(
    "value",
    ["two words", "A" * 40, "sk-upstream-secret", "a" * 70, "tel_4155550132", "x\n", "", 400, None, ["a"], {"a": 1}],
    ids=repr,
)
def test_what_has_not_the_form_of_a_term_is_left_out(
    line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """Texts, keys and numbers."""
    error = refused(line, up, monkeypatch, code=value, type=value, param=value)
    assert error["param"] is None
    assert not {"upstream_code", "upstream_type"} & error.keys()
