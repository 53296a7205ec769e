"""Frameworks from PyPI, unmodified: only the base URL and the key differ. The scripts are in tests/pypi."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import environments
import tooling
import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
FORM = {"who": TEXT, "number": tooling.NUMBER}
CARD = "Charge 4111 1111 1111 1111."
BLOCKED = "The request contains personal data that must not be sent: CREDIT_CARD."
LANGCHAIN = {
    "chat": "langchain_openai.OpenAI",
    "responses": "langchain_openai.OpenAI",
    "messages": "langchain_anthropic.Anthropic",
    "gemini": "langchain_google_genai.Google",
}
"""Each dialect, and how the names of its errors begin."""
LOOPED = f"done: sent to {TEXT}"


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies, that blocks cards and lets a workflow make two calls."""
    folder = tmp_path_factory.mktemp("frameworks")
    pii = {"entities": {"CREDIT_CARD": "block"}}
    settings = config(
        folder, up.url, policy={"path": "policies"}, pii=pii, quotas={"calls": 2}, output={"secrets": "block"}
    )
    settings["server"] = {"websockets": True}
    base = up.url.removesuffix("/v1")
    settings["providers"]["claude"] = {"format": "anthropic", "base_url": base, "api_key": "sk-ant-upstream"}
    settings["providers"]["gemini"] = {"format": "gemini", "base_url": base, "api_key": "AIza-upstream"}
    price = {"input": 1, "output": 2}
    for prefix, provider in (("", "up"), ("claude-sonnet-4-5-", "claude"), ("gemini-2.5-flash-", "gemini")):
        name = f"{prefix}{tooling.MODEL}"
        settings["models"][name] = {"targets": [f"{provider}/{name}"], "price": price}
    with running(folder, settings) as started:
        yield started


Script = Callable[..., Any]


@pytest.fixture
def ran(line: Line, up: scripted.Upstream, tmp_path: Path) -> Iterator[Script]:
    """Runs a script; afterwards, no value has left."""
    up.seen.clear()
    up.says = tooling.says
    yield lambda file, name=environments.FRAMEWORKS: environments.script(
        name, file, tmp_path, {"URL": line.url, "KEY": "mg-alice", **QUIET, "LLM_USER_PATH": str(tmp_path)}
    )
    up.says = lambda seen: None
    raw = b"".join(seen.raw for seen in up.seen)
    assert b"<EMAIL_1>" in raw
    assert b"bob.jones" not in raw
    assert b"4111" not in raw


QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Else an import of LiteLLM asks for its newest prices."""
MESSAGES = {"blocked": BLOCKED, "quota": "no room left in quotas.calls", "key": "This key is unknown"}
LEAKED = dict.fromkeys(("leak", "leak stream"), "The answer contained a secret (SECRET_GITHUB_TOKEN) and was stopped.")


def errors(said: dict[str, Any], *names: str) -> list[str]:
    """The classes of the errors under these names, by default all that scripts make; each has our message."""
    for name in names or MESSAGES:
        assert {**MESSAGES, **LEAKED}[name] in said[name]["message"]
        assert tooling.SECRET not in said[name]["message"]
    return [said[name]["class"] for name in names or MESSAGES]


def test_langchain(ran: Script) -> None:
    """Chat models and agents on each dialect."""
    said = ran("uses_langchain.py")
    assert said["sent"] == [TEXT] * 8
    for kind, owner in LANGCHAIN.items():
        found = said[kind]
        assert found["whole"] == found["sync"] == found["stream"] == TEXT
        assert found["form"] == FORM
        assert found["agent"] == found["agent stream"] == LOOPED
        denied = f"{owner}PermissionDeniedError"
        assert errors(found) == [denied, denied, f"{owner}AuthenticationError"]
        assert errors(found, "leak") == [denied]
    assert said["chat"]["leak stream"] == "content_filter"
    assert said["messages"]["leak stream"] == "refusal"
    assert errors(said["responses"], "leak stream") == ["builtins.ValueError"]
    assert errors(said["gemini"], "leak stream") == ["langchain_google_genai.GooglePermissionDeniedError"]


def test_langgraph(ran: Script) -> None:
    """A graph with tools and a memory."""
    said = ran("uses_langgraph.py")
    second = "And carol.king@example.org?"
    assert (said["first"], said["second"]) == (LOOPED, f"done: sent to {second}")
    assert said["sent"] == [TEXT, second]
    assert said["kept"] == 8
    assert said["blocked"]["class"] == "langchain_openai.OpenAIPermissionDeniedError"


def test_pydantic_ai(ran: Script) -> None:
    """Agents on each dialect; all of 401 and 403 are one class there."""
    said = ran("uses_pydantic_ai.py")
    assert said["sent"] == [TEXT] * 8
    for kind in LANGCHAIN:
        found = said[kind]
        assert found["whole"] == found["stream"] == TEXT
        assert found["form"] == found["native form"] == FORM
        assert found["agent"] == found["agent stream"] == LOOPED
        assert errors(found) == ["pydantic_ai.ModelAuthenticationError"] * 3
        filtered, denied = "pydantic_ai.ContentFilterError", "pydantic_ai.ModelAuthenticationError"
        assert errors(found, "leak") == [filtered if kind == "messages" else denied]
        assert errors(found, "leak stream") == [denied if kind == "gemini" else filtered]


def test_litellm(ran: Script) -> None:
    """LiteLLM as a client."""
    said = ran("uses_litellm.py")
    assert said["sent"] == [TEXT] * 6
    for kind, denied in (("chat", "API"), ("messages", "PermissionDenied"), ("gemini", "BadRequest")):
        found = said[kind]
        assert found["whole"] == found["stream"] == TEXT
        assert found["form"] == FORM
        assert found["agent"] == found["agent stream"] == LOOPED
        refused = f"litellm.{denied}Error"
        assert errors(found) == [refused, refused, "litellm.AuthenticationError"]
        assert errors(found, "leak") == [refused]
    assert said["chat"]["leak stream"] == said["messages"]["leak stream"] == "content_filter"
    assert errors(said["gemini"], "leak stream") == ["litellm.BadRequestError"]
    assert said["responses"] == TEXT


def test_openai_2(ran: Script) -> None:
    """The former version of the official client."""
    said = ran("uses_openai.py", environments.OTHERS)
    assert said["sent"] == [TEXT] * 4
    for kind in ("chat", "responses"):
        found = said[kind]
        assert found["whole"] == found["stream"] == TEXT
        assert found["form"] == FORM
        assert found["agent"] == found["agent stream"] == LOOPED
    assert said["sync"] == said["websocket"] == TEXT
    assert said["models"]
    denied = "openai.PermissionDeniedError"
    assert errors(said) == [denied, denied, "openai.AuthenticationError"]
    assert said["blocked response"]["class"] == denied


def test_llm(ran: Script, line: Line, tmp_path: Path) -> None:
    """As a library and as a command; the models are rows of its file of extra models."""
    row: dict[str, Any] = {"model_name": tooling.MODEL, "api_base": f"{line.url}/v1", "api_key_name": "gateway"}
    row |= {"supports_schema": True, "supports_tools": True}
    rows = [{**row, "model_id": kind, "responses": kind == "responses"} for kind in ("chat", "responses")]
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump(rows))
    (tmp_path / "keys.json").write_text(json.dumps({"gateway": "mg-alice"}))
    said = ran("uses_llm.py")
    assert said["sent"] == [TEXT] * 4
    for kind in ("chat", "responses"):
        found = said[kind]
        assert found["whole"] == found["stream"] == found["async"] == TEXT
        assert found["form"] == FORM
        assert found["agent"] == found["agent stream"] == LOOPED
        assert errors(found, "blocked", "key") == ["openai.PermissionDeniedError", "openai.AuthenticationError"]

    command = [str(environments.programs(environments.FRAMEWORKS) / "llm"), "-m", "chat"]
    tool = "def send(to: str) -> str:\n    return f'sent to {to}'"
    home = {"LLM_USER_PATH": str(tmp_path)}
    assert environments.run([*command, "--functions", tool, TEXT], tmp_path, home).stdout.strip() == LOOPED
    refused = environments.run([*command, CARD], tmp_path, home)
    assert refused.returncode == 1
    assert BLOCKED in refused.stderr
