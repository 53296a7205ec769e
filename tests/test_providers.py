"""The table of providers: each row against a provider that refuses what the real one refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

import upstream as scripted
from gateway.config.load import Loaded, loads
from gateway.config.providers import CLOUDS, LITELLM, ROWS, Kind
from gateway.dialects import GONE, openai_ceilings, openai_roles
from gateway.dialects.openai_tables import TEXTS
from gateway.errors import ConfigError
from gateway.upstream.client import Destination, Timeouts
from line import config, running
from reference import CONFIG, KINDS, kind_rows, table_of

PLACES = {
    "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/",
    "AWS_REGION": "eu-west-1",
    "GOOGLE_CLOUD_PROJECT": "acme",
    "GOOGLE_CLOUD_LOCATION": "global",
}
CHATS = sorted(kind for kind, row in ROWS.items() if row.format == "openai")


def loaded(provider: str, env: dict[str, str], name: str = "p") -> Loaded:
    """A file with one provider."""
    return loads(f"providers:\n  {name}: {provider}\nmodels: {{m: {{targets: [{name}/m]}}}}\n", "g.yaml", env)


def mistakes(provider: str, env: dict[str, str], name: str = "p") -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(provider, env, name)
    return str(caught.value)


# The file


def test_kinds_are_the_rows() -> None:
    """The type of `kind` has every row; a row has a page, and names a field of reasoning that answers are read for."""
    assert set(get_args(Kind)) == set(ROWS)
    for row in ROWS.values():
        assert row.source.startswith("https://")
        assert row.reasoning in ("", *TEXTS)
        assert not row.keys or row.domain


def test_the_page_has_the_rows() -> None:
    """`make reference` writes the table of providers."""
    assert table_of(KINDS, CONFIG.read_text("utf-8")) == kind_rows(), "docs/config.md: run `make reference`"


@pytest.mark.parametrize("kind", ROWS)
def test_a_name_is_enough(kind: str) -> None:
    """A provider with the name of a row needs nothing else when its variables are set, each of them."""
    row = ROWS[kind]
    for variable in row.keys or ("NONE",):
        provider = loaded("{}", {variable: "sk-value", **PLACES}, kind).config.providers[kind]
        assert (provider.kind, provider.format) == (kind, row.format)
        assert provider.api_key == ("sk-value" if row.keys else "")
        assert provider.base_url.startswith(("https://", "http://localhost"))
        assert "{}" not in provider.base_url
    if row.auth not in CLOUDS:
        assert loaded(f"{{kind: {kind}, api_key: own}}", PLACES).config.providers["p"].api_key == "own"


def test_places() -> None:
    """Providers without one address take it from the environment, or from the file with or without its end."""
    key = {"AZURE_API_KEY": "k", "AWS_BEARER_TOKEN_BEDROCK": "k"}
    base = "https://acme.openai.azure.com"
    assert loaded("{}", {**key, **PLACES}, "azure").config.providers["azure"].base_url == f"{base}/openai/v1"
    for url in (base, f"{base}/openai", f"{base}/openai/v1/"):
        assert loaded(f"{{base_url: '{url}'}}", key, "azure").config.providers["azure"].base_url == f"{base}/openai/v1"
        old = loaded(f"{{base_url: '{url}', api_version: 2024-10-21}}", key, "azure").config.providers["azure"]
        assert old.base_url == base
    bedrock = loaded("{}", {**key, **PLACES}, "bedrock").config.providers["bedrock"].base_url
    assert bedrock == "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"
    assert "needs a base_url: set the environment variable AWS_REGION or AWS" in mistakes("{}", key, "bedrock")
    assert "AWS_REGION: it is no region" in mistakes("{}", {**key, "AWS_REGION": "x.evil.example/"}, "bedrock")
    assert loaded("{base_url: http://gpu:8000}", {}, "vllm").config.providers["vllm"].base_url == "http://gpu:8000/v1"


def test_errors_say_what_to_do() -> None:
    """An error names the provider, the variable and the remedy, never the key."""
    words = mistakes("{}", {}, "groq")
    assert words == "g.yaml:2: providers.groq has no key: set the environment variable GROQ_API_KEY, or write api_key"
    assert "providers.p needs a format (openai, anthropic, demo) or a kind: openai, azure," in mistakes("{}", {})
    assert "did you mean groq?" in mistakes("{kind: grok}", {})
    assert "leave format or kind out" in mistakes("{kind: groq, format: anthropic, api_key: k}", {})
    assert "api_version applies to the kind azure" in mistakes("{kind: groq, api_key: k, api_version: v1}", {})
    assert "apply to the format openai only" in mistakes("{kind: anthropic, api_key: k, token_limit: max_tokens}", {})
    for name in ("max_tokens", "messages", "messages[].role", "a.b", "x y"):
        assert "unsupported" in mistakes(f"{{kind: groq, api_key: k, unsupported: ['{name}']}}", {})


@pytest.mark.parametrize(
    "url", ["http://api.groq.com/v1", "https://groq.com.evil.example", "https://notgroq.com", "https://api.groq.com@h"]
)
def test_keys_stay_with_their_owner(url: str) -> None:
    """The key of the environment is sent to the provider's own hosts over TLS only; the error shows no key."""
    words = mistakes(f"{{base_url: '{url}'}}", {"GROQ_API_KEY": "gsk-secret"}, "groq")
    assert "the key in GROQ_API_KEY is not sent" in words
    assert "gsk-secret" not in words
    own = loaded("{base_url: https://eu.groq.com/v1}", {"GROQ_API_KEY": "k"}, "groq").config.providers["groq"]
    assert own.api_key == "k"


def test_files_without_kinds_are_unchanged() -> None:
    """A provider with a format is of no kind, whatever its name; nothing of a row applies."""
    provider = loaded("{format: openai, base_url: https://api.groq.com/openai/v1}", {"GROQ_API_KEY": "k"}, "groq")
    groq = provider.config.providers["groq"]
    assert (groq.kind, groq.api_key, groq.sent_as) == (None, "", None)
    assert groq.profile == ("", "", (), True)


@pytest.mark.parametrize("prefix", sorted(LITELLM))
def test_litellm_prefixes(prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model with LiteLLM's prefix is served by the row, with the key of the environment."""
    monkeypatch.chdir(tmp_path)
    row = ROWS[LITELLM[prefix]]
    env = {**PLACES, **({row.keys[-1]: "sk-value"} if row.keys else {})}
    text = f"model_list:\n  - {{model_name: a, litellm_params: {{model: {prefix}/some/x}}}}\n"
    found = loads(text, "l.yaml", env).config
    provider = found.providers[prefix]
    assert (provider.kind, provider.api_key) == (LITELLM[prefix], "sk-value" if row.keys else "")
    assert found.models["a"].targets[0][0].target == f"{prefix}/some/x"  # type: ignore[index]


def test_litellm_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`api_base` and `api_version` are taken over; keys of the environment stay with their owner."""
    monkeypatch.chdir(tmp_path)
    text = (
        "model_list:\n"
        "  - {model_name: a, litellm_params: {model: azure/d, api_base: https://x.openai.azure.com, api_version: v9}}\n"
        "  - {model_name: b, litellm_params: {model: ollama/q, api_base: http://gpu:11434}}\n"
        "  - {model_name: c, litellm_params: {model: groq/q, api_base: http://gpu/v1}}\n"
        "  - {model_name: d, litellm_params: {model: gemini/q, api_base: http://gpu/v1}}\n"
    )
    env = {"AZURE_API_KEY": "az", "GROQ_API_KEY": "gsk"}
    found = loads(text, "l.yaml", env)
    azure, ollama, groq = found.config.providers.values()
    assert (azure.base_url, azure.api_version, azure.api_key) == ("https://x.openai.azure.com", "v9", "az")
    assert ollama.base_url == "http://gpu:11434/v1"
    assert (groq.kind, groq.api_key) == ("groq", "")
    assert "gemini with an api_base is not available" in "\n".join(found.warnings)


# The requests

STRICT = {
    "openai": {"max_tokens"},
    "mistral": {"max_completion_tokens", "store", "stream_options"},
    "groq": {"logprobs", "top_logprobs", "logit_bias"},
    "deepseek": {"max_completion_tokens"},
    "qwen": {"max_tokens"},
    "ollama": {"max_completion_tokens"},
}
"""Parameters that the provider refuses."""
ONLY_SYSTEM = {"mistral", "deepseek", "cerebras"}
FULL: dict[str, Any] = {
    "max_completion_tokens": 40,
    "store": False,
    "logprobs": True,
    "top_logprobs": 1,
    "logit_bias": {"50256": -100},
    "temperature": 0.5,
    "x_unknown": {"kept": [1, 2.50]},
}


def refusal(kind: str, seen: scripted.Seen) -> str:
    """Why the provider refuses a request."""
    refused = STRICT.get(kind, set()) & seen.body.keys()
    if refused:
        return f"unsupported: {sorted(refused)}"
    if kind in ONLY_SYSTEM and any(message["role"] == "developer" for message in seen.body["messages"]):
        return "unknown variant `developer`"
    if kind == "groq" and any("name" in message for message in seen.body["messages"]):
        return "messages[].name"
    header = "api-key" if kind == "azure" else "authorization"
    return "" if seen.headers.get(header, "").endswith("sk-row-key") else "no key"


@pytest.fixture
def strict() -> Iterator[scripted.Upstream]:
    with scripted.running() as server:
        yield server


def settings(folder: Path, url: str, **providers: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose models are named as the providers; `both` fails over."""
    found = config(folder, url)
    root = url.removesuffix("/v1")
    for name, own in providers.items():
        found["providers"][name] = {"base_url": root, "api_key": "sk-row-key", **own}
        found["models"][name] = {"targets": [f"{name}/echo"]}
    found["models"]["both"] = {"targets": [f"{name}/echo" for name in providers]}
    return found


def messages(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi", "name": "Zoe"}, *more]


@pytest.mark.parametrize("stream", [False, True])
def test_rows_are_accepted(strict: scripted.Upstream, tmp_path: Path, stream: bool) -> None:
    """Every provider gets a request that it accepts at the first try; what was dropped is named, the rest is kept."""
    rows: dict[str, dict[str, Any]] = {kind: {"kind": kind} for kind in CHATS}
    with running(tmp_path, settings(tmp_path, strict.url, **rows)) as line:
        for kind in CHATS:
            row = ROWS[kind]
            strict.refuses = lambda seen, kind=kind: refusal(kind, seen)  # type: ignore[misc]
            before = len(strict.seen)
            answer = line.chat(model=kind, messages=messages(), stream=stream, **FULL)
            assert answer.status_code == 200, (kind, answer.text)
            assert len(strict.seen) == before + 1, kind
            sent = strict.last.body
            assert answer.headers.get("x-meshgate-dropped", "") == ", ".join(row.unsupported)
            name = "max_completion_tokens" if row.ceiling == "as_sent" else row.ceiling
            assert [key for key in openai_ceilings.CEILINGS if key in sent] == [name], kind
            assert sent[name] == 40
            role = "developer" if row.role == "as_sent" else row.role
            assert [message["role"] for message in sent["messages"]] == [role, "user"]
            kept = FULL.keys() - {*row.unsupported, "max_completion_tokens"}
            assert {key: sent[key] for key in kept} == {key: FULL[key] for key in kept}
            assert ("stream_options" in sent) == (stream and row.stream_usage), kind


def test_bytes_that_need_no_change_are_kept(strict: scripted.Upstream, tmp_path: Path) -> None:
    """A body without the fields that a row is about leaves byte for byte."""
    rows: dict[str, dict[str, Any]] = {kind: {"kind": kind} for kind in CHATS}
    found = settings(tmp_path, strict.url, **rows)
    found["models"] = {kind: {"targets": [f"{kind}/{kind}"]} for kind in CHATS}
    raw = b'{ "messages": [ {"role": "user",  "content": "hi"} ], "temperature":1.0, "model": "%b" }'
    with running(tmp_path, found) as line:
        for kind in CHATS:
            answer = line.client.post("/v1/chat/completions", content=raw % kind.encode())
            assert answer.status_code == 200
            assert strict.last.raw == raw % kind.encode()
            assert "x-meshgate-dropped" not in answer.headers


def test_refused_instead_of_dropped(strict: scripted.Upstream, tmp_path: Path) -> None:
    """An operator can choose an error: the call does not leave, and costs nothing."""
    found = settings(tmp_path, strict.url, groq={"kind": "groq", "unsupported_action": "refuse"})
    with running(tmp_path, {**found, "quotas": {"tokens": "200k"}}) as line:
        answer = line.chat(model="groq", cid="w", logit_bias={"1": 2})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "logit_bias"
        assert "providers.groq.unsupported_action" in answer.json()["error"]["message"]
        assert strict.seen == []
        assert line.chat(model="groq", cid="w").status_code == 200
        assert line.workflow("w").used["tokens"] == 18


def test_values_of_the_file_have_precedence(strict: scripted.Upstream, tmp_path: Path) -> None:
    """Each column can be overridden, also for a provider of no kind."""
    own = {
        "format": "openai",
        "auth": "x-api-key",
        "token_limit": "max_tokens",
        "system_role": "developer",
        "unsupported": ["seed", "messages[].name"],
        "stream_usage": False,
    }
    found = settings(tmp_path, strict.url, own=own, groq={"kind": "groq", "unsupported": [], "auth": "api-key"})
    with running(tmp_path, found) as line:
        said = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi", "name": "Zoe"}]
        answer = line.chat(model="own", messages=said, max_completion_tokens=5, seed=1, stream=True)
        assert answer.headers["x-meshgate-dropped"] == "seed, messages[].name"
        sent = strict.last
        assert sent.headers["x-api-key"] == "sk-row-key"
        assert "authorization" not in sent.headers
        assert sent.body == {
            "model": "echo",
            "messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}],
            "max_tokens": 5,
            "stream": True,
        }
        assert line.chat(model="groq", logit_bias={"1": 2}).status_code == 200
        assert strict.last.body["logit_bias"] == {"1": 2}
        assert strict.last.headers["api-key"] == "sk-row-key"


def test_failover_fits_the_request_anew(strict: scripted.Upstream, tmp_path: Path) -> None:
    """The next provider gets what the first does not support, and the header speaks of the one that answered."""
    found = settings(
        tmp_path, strict.url, mistral={"kind": "mistral"}, groq={"kind": "groq"}, openai={"kind": "openai"}
    )
    found["models"]["both"] = {"targets": ["mistral/status-503", "groq/status-503", "openai/echo"]}
    with running(tmp_path, found) as line:
        answer = line.chat(model="both", messages=messages(), **FULL)
        assert answer.status_code == 200
        assert "x-meshgate-dropped" not in answer.headers
        first, second, third = (seen.body for seen in strict.seen)
        assert (first["messages"][0]["role"], first["max_tokens"]) == ("system", 40)
        assert "store" not in first
        assert first["logit_bias"] == FULL["logit_bias"]
        assert second["messages"] == [messages()[0], {"role": "user", "content": "hi"}]
        assert second["max_completion_tokens"] == 40
        assert second["store"] is False
        assert "logit_bias" not in second
        assert third == {"model": "echo", "messages": messages(), **FULL}


def test_deployments(strict: scripted.Upstream, tmp_path: Path) -> None:
    """Azure's API with deployments has the model in the path, the version in the query, and a header of its own."""
    found = settings(tmp_path, strict.url, azure={"kind": "azure", "api_version": "2024-10-21"})
    with running(tmp_path, found) as line:
        assert line.chat(model="azure").status_code == 200
        assert strict.last.path == "/openai/deployments/echo/chat/completions?api-version=2024-10-21"
        assert strict.last.headers["api-key"] == "sk-row-key"
        assert "authorization" not in strict.last.headers
        assert line.embed(model="azure").status_code == 200
        assert strict.last.path == "/openai/deployments/echo/embeddings?api-version=2024-10-21"
        line.client.post("/v1/responses", json={"model": "azure", "input": "hi"})
        assert strict.last.path == "/openai/responses?api-version=2024-10-21"
    with running(tmp_path, settings(tmp_path, strict.url, azure={"kind": "azure"})) as line:
        assert line.chat(model="azure").status_code == 200
        assert strict.last.path == "/openai/v1/chat/completions"


def test_below_a_path_with_a_version() -> None:
    """The stored responses of Azure: the version stays in the query, beside what is asked for."""
    to = Destination(URL("https://a.example/openai/responses?api-version=1"), CIMultiDict(), Timeouts(1, 1, 1))
    assert str(to.below("/resp_a/input_items?limit=2", "GET").url) == (
        "https://a.example/openai/responses/resp_a/input_items?api-version=1&limit=2"
    )
    plain = Destination(URL("https://a.example/v1/responses"), CIMultiDict(), Timeouts(1, 1, 1))
    assert str(plain.below("/resp_a", "GET").url) == "https://a.example/v1/responses/resp_a"
    assert str(plain.below("/resp_a?include=x", "GET").url) == "https://a.example/v1/responses/resp_a?include=x"


def test_conversations_with_known_beginnings(strict: scripted.Upstream, tmp_path: Path) -> None:
    """A long conversation, whose beginning is remembered, is fitted in every turn."""
    strict.refuses = lambda seen: refusal("mistral", seen)
    said = messages({"role": "assistant", "content": "x " * 2000})
    with running(tmp_path, settings(tmp_path, strict.url, mistral={"kind": "mistral"})) as line:
        for turn in range(4):
            said.append({"role": "user", "content": f"mail ann{turn}@example.org " + "y " * 500})
            assert line.chat(model="mistral", messages=said, cid="w").status_code == 200
            sent = strict.last.body["messages"]
            assert [message["role"] for message in sent] == ["system", "user", "assistant", *["user"] * (turn + 1)]
            assert f"<EMAIL_{turn + 1}>" in sent[-1]["content"]
            assert "example.org" not in json.dumps(sent)


def test_a_policy_lowers_the_limit_under_any_name(strict: scripted.Upstream, tmp_path: Path) -> None:
    """The limit of a policy holds under the provider's name, also for a request without a limit."""
    strict.refuses = lambda seen: refusal("mistral", seen)
    (tmp_path / "bundle").mkdir()
    rule = 'package gateway\ndecision := {"allow": true, "obligations": {"limit": {"max_tokens": 9}}}'
    (tmp_path / "bundle" / "p.rego").write_text(rule)
    found = settings(tmp_path, strict.url, mistral={"kind": "mistral"})
    with running(tmp_path, {**found, "policy": {"path": str(tmp_path / "bundle")}}) as line:
        for name in ("stop", "max_tokens", "max_completion_tokens", "max_output_tokens"):
            fields: dict[str, Any] = {name: None if name == "stop" else 100}
            assert line.chat(model="mistral", **fields).status_code == 200
            assert [(key, strict.last.body[key]) for key in openai_ceilings.CEILINGS if key in strict.last.body] == [
                ("max_tokens", 9)
            ]


BODIES = st.dictionaries(st.sampled_from(openai_ceilings.CEILINGS), st.none() | st.integers(0, 1 << 20))


@given(BODIES, st.sampled_from(["", "max_tokens", "max_completion_tokens"]))
def test_the_amount_of_a_limit_stays(body: dict[str, Any], name: str) -> None:
    """Under another name, the limit is as large as before, in one field; the second time changes nothing."""
    before = openai_ceilings.ceiling(body)
    changes = openai_ceilings.named(body, name)
    after = {key: value for key, value in {**body, **changes}.items() if value is not GONE}
    assert openai_ceilings.ceiling(after) == before
    assert not name or after.keys() <= {name}
    assert bool(after) == bool(body)
    assert openai_ceilings.named(after, name) == {}


@given(st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "developer", "user"])})))
def test_roles(said: list[dict[str, Any]]) -> None:
    """No message of the other role is left, the others stay, and the messages themselves are not changed."""
    before = json.dumps(said)
    changes = openai_roles.named({"messages": said}, "system")
    after = changes.get("messages", said)
    assert json.dumps(said) == before
    assert after == [{"role": "system"} if one["role"] == "developer" else one for one in said]
    assert openai_roles.named({"messages": said}, "") == {}
