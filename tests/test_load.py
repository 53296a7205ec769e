"""gateway.config.load, yaml_file, messages, litellm: valid files, mistakes, and the messages."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config import load as load_module
from gateway.config.grammar import Config
from gateway.config.load import Watcher, load, loads
from gateway.errors import ConfigError

ROOT = Path(__file__).parent.parent
MINIMAL = """\
providers:
  demo: {format: demo}
models:
  demo: {targets: [demo/demo]}
"""
ENV = {
    "OPENAI_API_KEY": "sk-openai-value",
    "ANTHROPIC_API_KEY": "sk-anthropic-value",
    "LITELLM_MASTER_KEY": "sk-master-value",
    "MESHGATE_VAULT_KEY": base64.b64encode(bytes(32)).decode(),
}
# The sample of the design, with a digest for the dots and the provider that its failover names.
SAMPLE = """\
providers:
  openai:    {format: openai, base_url: https://api.openai.com/v1, api_key: ${OPENAI_API_KEY}}
  anthropic: {format: anthropic, base_url: https://api.anthropic.com, api_key: ${ANTHROPIC_API_KEY}}
  demo:      {format: demo}
  backup:    {format: openai, base_url: https://backup.example/v1}
models:
  gpt-4o-mini:
    targets: [openai/gpt-4o-mini, {target: backup/gpt-4o-mini, weight: 1}]   # in order: failover
    price: {input: 0.15, output: 0.60}                                     # USD per million tokens
tools:                                                                     # MCP servers and plain HTTP tools
  orders: {mcp: http://127.0.0.1:9200/mcp}
agents:
  support-bot: {key_sha256: "%s", team: support, roles: [reader]}         # or jwt / mtls identities
limits:                                                                    # token buckets; every match applies
  - {per: agent, requests: 60/min, burst: 20}
  - {per: team, match: {model: "gpt-4o*"}, tokens: 200k/min}
quotas:                                                                    # per correlation id
  tokens: 200k
  cost_usd: 5
  calls: 500
  hops: 10            # depth of the agent -> agent chain
  repeats: 5          # same agent, same tool, same canonical arguments
  seconds: 3600
  ttl: 24h
policy:   {path: policies, engine: embedded, mode: enforce}                # engine: opa, url: http://127.0.0.1:8181
pii:      {default: mask, entities: {CREDIT_CARD: block}, restore: true, unscannable: block}
output:   {secrets: block, sql: [select], exfiltration_urls: block}
state:    sqlite:///var/meshgate.db                                        # or redis://, rediss://, redis+cluster://
events:   none                                                             # or nats://, kafka://, amqp://
""" % ("ab" * 32)


class Scanner:
    """Stands for gateway.detect.personal.scanner, which takes a second to import."""

    @staticmethod
    def entities() -> tuple[str, ...]:
        return ("CREDIT_CARD", "EMAIL", "IBAN_CODE", "PHONE", "US_SSN")

    @staticmethod
    def canonical(name: str) -> str:
        return {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE"}.get(name, name)


@pytest.fixture(autouse=True)
def scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entity types without the scanners."""
    monkeypatch.setattr(load_module, "_scanner", lambda: Scanner)


def errors(text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "g.yaml", env or {})
    return str(caught.value).splitlines()


def config(text: str, env: dict[str, str] | None = None) -> Config:
    return loads(text, "g.yaml", env or {}).config


# What loads


def test_sample_of_the_design() -> None:
    """The sample loads without a warning."""
    loaded = loads(SAMPLE, "g.yaml", ENV)
    assert loaded.config.providers["openai"].api_key == "sk-openai-value"
    assert loaded.config.quotas.tokens == 200_000
    assert loaded.config.limits[1].tokens is not None
    assert loaded.config.tools["orders"].pins == "first_seen"
    assert loaded.warnings == ()


def test_limits_that_no_call_can_meet_say_so() -> None:
    """A limit on tools before there are tools, on claims without tokens, on attributes without a policy: a warning."""
    text = MINIMAL + "limits:\n- {per: tool, requests: 5/s}\n- {per: claims.org, requests: 5/s}\n"
    text += "- {per: agent, match: {tool: x}, requests: 5/s}\n- {per: agent, requests: 5/s}\n"
    text += "- {per: attributes.project, requests: 5/s}\n"
    enforced = "policy: {mode: enforce}\n" + text
    tools, claims, match = (warning.partition(": ")[2] for warning in loads(enforced, "g.yaml", {}).warnings)
    assert tools == "limits[0] counts calls of tools, but there is no section tools: the limit has no effect"
    assert claims == "limits[1] counts by a claim of tokens, but there is no jwt section: the limit has no effect"
    assert match.startswith("limits[2] counts calls of tools")
    for policy in ("policy: null\n", "policy: {mode: shadow}\n"):
        last = loads(policy + text, "g.yaml", {}).warnings[-1]
        assert last.endswith("limits[4] counts by an attribute, but no policy is enforced: the limit has no effect")


@pytest.mark.parametrize(
    "name", ["gateway.yaml", *(f"examples/{p.name}" for p in (ROOT / "config/examples").iterdir())]
)
def test_shipped_files_load(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every configuration that ships loads."""
    monkeypatch.chdir(ROOT)
    loaded = load(Path("config") / name, ENV)
    assert loaded.config.models
    assert loaded.files == (Path("config") / name,)


def test_shipped_file_needs_no_environment() -> None:
    """The configuration of `make run` loads without variables and without a warning."""
    loaded = load(ROOT / "config/gateway.yaml", {})
    assert loaded.warnings == ()
    assert loaded.config.providers["openai"].api_key == ""


def test_words_stay_words() -> None:
    """The grammar decides what a scalar is: `NO` is a country, `off` a word, digits may be a key."""
    loaded = config(
        MINIMAL + "log: off\npii: {regions: [NO, US], restore: no}\nquotas: {tokens: 1k, cost_usd: 1.5}\n"
        "agents: {007: {team: 1e3}}\nserver: {port: 08081}\n"
    )
    assert loaded.log == "off"
    assert loaded.pii is not None
    assert loaded.pii.regions == ("NO", "US")
    assert loaded.pii.restore is False
    assert (loaded.quotas.tokens, loaded.quotas.cost_usd) == (1000, 1.5)
    assert loaded.agents["007"].team == "1e3"


def test_nothing_behind_a_key_is_not_null() -> None:
    """A key with nothing behind it is left out, so commenting out its content switches no check off; null does."""
    assert config(MINIMAL + "policy:\npii:\nagents:\n").policy is not None
    assert config(MINIMAL + "policy: null\n").policy is None


def test_anchors_and_merge() -> None:
    """Anchors and `<<` work, and an own key wins over a merged key."""
    loaded = config(
        "providers:\n  demo: {format: demo}\nmodels:\n  a: &base {targets: [demo/a], max_output: 1k}\n"
        "  b: {<<: *base, max_output: 2k}\n  c: {<<: [*base]}\n"
    )
    assert [model.max_output for model in loaded.models.values()] == [1000, 2000, 1000]
    assert loaded.models["b"].targets == loaded.models["a"].targets


def test_ranks_and_equals() -> None:
    """Targets in order are failover, a list among them is equals with weights."""
    targets = (
        config(
            "providers: {a: {format: demo}, b: {format: demo}}\n"
            "models: {m: {targets: [a/x, [a/y, {target: b/z, weight: 3}]]}}\n"
        )
        .models["m"]
        .targets
    )
    assert not isinstance(targets[0], list)
    assert isinstance(targets[1], list)
    assert [target.weight for target in targets[1]] == [1, 3]


# Environment


def test_environment() -> None:
    """References are replaced in every scalar, also in parts of it; defaults apply if unset or empty."""
    text = (
        "providers:\n  demo: {format: openai, base_url: https://${HOST}:${PORT:-443}/v1, api_key: ${KEY}}\n"
        "models: {${MODEL:-demo}: {targets: ['demo/$${X}']}}\nquotas: {tokens: ${TOKENS}, calls: ${NONE:-null}}\n"
    )
    loaded = config(text, {"HOST": "h", "PORT": "", "KEY": " 0123\n", "TOKENS": "2k"})
    provider = loaded.providers["demo"]
    assert provider.base_url == "https://h:443/v1"
    assert provider.api_key == "0123"
    assert loaded.quotas.tokens == 2000
    assert loaded.quotas.calls is None
    target = loaded.models["demo"].targets[0]
    assert not isinstance(target, list)
    assert target.target == "demo/${X}"


@example("~")
@example("null")
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_values_cannot_inject_yaml(value: str) -> None:
    """The value of a variable is one scalar, unchanged, whether the reference is bare, quoted or in braces."""
    for written in ("${V}", '"${V}"', "'${V}'"):
        loaded = config(MINIMAL + f"agents: {{a: {{team: {written}}}}}\n", {"V": value})
        assert loaded.agents["a"].team == value


def test_unset_variable() -> None:
    """A variable that is not set is one error, with line, key, name and remedy, and hides no other error."""
    assert errors("providers:\n  o:\n    format: openai\n    base_url: ${URL}\nmodels: {}\nlgo: json\n") == [
        "g.yaml:4: providers.o.base_url needs the environment variable URL, which is not set; set it, or write "
        "${URL:-} for empty",
        "g.yaml:6: lgo is not a known key; did you mean log? allowed: " + ", ".join(sorted(Config.model_fields)),
    ]


def test_comments_need_no_variables() -> None:
    """References in comments are not looked up."""
    assert config(MINIMAL + "# api_key: ${NOT_SET}\n") == config(MINIMAL)


@pytest.mark.parametrize("reference", ["${}", "${1A}", "${A:?no}", "${A-b}", "${A B}"])
def test_odd_references(reference: str) -> None:
    """An invalid reference is an error, not a literal."""
    assert errors(MINIMAL + f"state: 'sqlite:///{reference}'\n") == [
        "g.yaml:5: state contains a ${...} that is not of the form ${NAME} or ${NAME:-default}"
    ]


# Errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "output: {secrets: blok}",
            "output.secrets cannot be 'blok'; did you mean block? allowed: block, redact, allow",
        ),
        (
            "quotas: {tokens: many}",
            "quotas.tokens: a count is a whole number from 0, written like 500, 200k or 3m (it is 'many')",
        ),
        (
            "quotas: {calls: 1.5}",
            "quotas.calls: a count is a whole number from 0, written like 500, 200k or 3m (it is '1.5')",
        ),
        (
            "quotas: {ttl: 5 parsecs}",
            "quotas.ttl: a time is written like 500ms, 30s, 5min, 24h or 7d; "
            "a bare number is seconds (it is '5 parsecs')",
        ),
        ("quotas: {cost_usd: -1}", "quotas.cost_usd must be greater than or equal to 0 (it is '-1')"),
        ("quotas: {cost_usd: .inf}", "quotas.cost_usd must be a number (it is '.inf')"),
        ("quotas: {cost_usd: inf}", "quotas.cost_usd must be a finite number (it is 'inf')"),
        ("server: {port: x}", "server.port must be a whole number (it is 'x')"),
        ("pii: {restore: perhaps}", "pii.restore must be true or false (it is 'perhaps')"),
        ("limits: {per: agent}", "limits must be a list, like [a, b]"),
        ("quotas: {strict: maybe}", "quotas.strict must be true or false (it is 'maybe')"),
        ("admin: {}", "admin: needs a key: write key_file or key_sha256"),
        (f"admin: {{key_sha256: {'ab' * 32}}}", "admin.key_sha256 must be a list, like [a, b]"),
        (
            "admin: {key_sha256: [secret]}",
            "admin.key_sha256[0]: is not a SHA-256 in hex (64 digits); compute it with: printf %s KEY | sha256sum",
        ),
        (
            f"agents: {{a: {{team: t, key_sha256: {'ab' * 32}}}}}\nadmin: {{key_sha256: [{'AB' * 32}]}}",
            "admin: has the key of agents.a: an admin key cannot make calls",
        ),
        ("quotas: 5", "quotas must be a mapping of keys to values"),
        ("limits: [{per: agent}]", "limits[0]: a limit counts either requests or tokens: write exactly one of them"),
        (
            "limits: [{per: agent, requests: 60 per min}]",
            "limits[0].requests: a rate is written like 60/min, 200k/min, 5/s or 1000/h (it is '60 per min')",
        ),
        (
            "limits: [{per: user, requests: 60/min}]",
            "limits[0].per: a limit is per agent, team, model, provider, tool, role, claims.NAME (a claim of the "
            "caller's token) or attributes.NAME (assigned by the policy) (it is 'user')",
        ),
        (
            "agents: {a: {roles: [x]}}",
            "agents.a.team is required: The team whose limits and workflows the agent shares",
        ),
        (
            "state: mysql://u:pw@h/d",
            "state: must be sqlite:///path, redis://user:password@host:port/db, rediss://..., "
            "redis+cluster://host:port,host:port or rediss+cluster://...",
        ),
        ("events: nats://u:pw@h", "events other than none is not available in this version; allowed: none"),
        (
            "jwt: {jwks_url: ftp://u:pw@h, issuer: i, audience: a}",
            "jwt.jwks_url: must be a URL that starts with http:// or https:// and names a host (it is 'ftp://...')",
        ),
        (
            "pii: {entities: {EMIAL: mask}}",
            "pii.entities.EMIAL is not a known entity; did you mean EMAIL? "
            "allowed: CREDIT_CARD, EMAIL, IBAN_CODE, PHONE, US_SSN",
        ),
        (
            "pii: {entities: {EMAIL: mask, EMAIL_ADDRESS: block}}",
            "pii.entities.EMAIL_ADDRESS is another name of EMAIL, which is already listed",
        ),
        (
            "pii: {scores: {PHNE: 0.7}}",
            "pii.scores.PHNE is not a known entity; did you mean PHONE? "
            "allowed: CREDIT_CARD, EMAIL, IBAN_CODE, PHONE, US_SSN",
        ),
        ("pii: {scores: {PHONE: 7}}", "pii.scores.PHONE must be less than or equal to 1 (it is '7')"),
        ("log: json\nlog: off", "log is defined twice; the first definition is on line 5"),
        ("log: !!python/object:os.system {}", "log has a tag (!...); tags are not supported"),
        ("log: &a [*a]", "log[0] refers to itself"),
    ],
)
def test_messages(text: str, expected: str) -> None:
    """Each mistake is one line: file, line, key, what is wrong, what is allowed."""
    first = errors(MINIMAL + text + "\n")[0]
    assert re.fullmatch(r"g\.yaml:[56]: (.*)", first)
    assert first.partition(": ")[2] == expected


def test_unknown_key() -> None:
    """An unknown key is reported with its line, the most similar key, and all known keys."""
    text = "providers: {demo: {format: demo}}\nmodels:\n  m:\n    targets: [demo/x]\n    max_outptu: 5\n"
    assert errors(text) == [
        "g.yaml:5: models.m.max_outptu is not a known key; did you mean max_output? "
        "allowed: cache, connect_timeout, first_byte_timeout, idle_timeout, max_output, prefer, price, targets, timeout"
    ]


def test_mistakes_in_targets() -> None:
    """Mistakes inside a target name the target, not the ways a target can be written."""
    text = (
        "providers: {demo: {format: demo}}\nmodels:\n  m:\n    targets:\n      - demo\n"
        "      - [{target: demo/x, wieght: 2}]\n      - {target: demo/y, weight: -1}\n      - []\n"
    )
    assert [line.partition(";")[0] for line in errors(text)] == [
        "g.yaml:5: models.m.targets[0].target does not have the right form (it is 'demo')",
        "g.yaml:6: models.m.targets[1][0].wieght is not a known key",
        "g.yaml:7: models.m.targets[2].weight must be greater than or equal to 0 (it is '-1')",
        "g.yaml:8: models.m.targets[3] needs at least one entry",
    ]


def test_what_does_not_fit_together() -> None:
    """Mistakes between sections are found together, each with its own line."""
    digest = "ab" * 32
    text = (
        "providers:\n  demo: {format: demo}\n  a/b: {format: demo}\nmodels:\n  m:\n    targets:\n      - other/x\n"
        f"agents:\n  one: {{key_sha256: {digest}, team: t}}\n  two: {{key_sha256: {digest.upper()}, team: t}}\n"
    )
    assert errors(text) == [
        "g.yaml:3: providers.a/b: the name of a provider must not contain a slash, because targets are written "
        "provider/model",
        "g.yaml:7: models.m.targets[0]: there is no provider 'other'; providers: demo, a/b",
        "g.yaml:10: agents.two: has the same key as agents.one: a key belongs to one agent",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "g.yaml: the file is empty"),
        ("# nothing\n", "g.yaml: the file is empty"),
        ("- a\n", "g.yaml: the file must be a mapping of keys to values"),
        ("a: b\nc: [\n", "g.yaml:3: not valid YAML: "),
        ("a: b\n\tc: d\n", "g.yaml:2: not valid YAML: "),
        ("a: *sk-secret\n", "g.yaml:1: not valid YAML: found undefined alias '...'"),
        ("a: !sk!secret b\n", "g.yaml:1: not valid YAML: found undefined tag handle '...'"),
        ("a: b\n---\nc: d\n", "g.yaml:2: not valid YAML: "),
        ("a: b\nc: \x00\n", "g.yaml:2: not valid YAML: a control character"),
        ("[" * 5000, "g.yaml: not valid YAML: nested too deeply"),
        ("? [a]\n: b\n", "g.yaml:1: has a key that is not a scalar"),
    ],
)
def test_not_yaml(text: str, words: str) -> None:
    """A file that cannot be parsed is one readable line, without a piece of the file in it."""
    assert any(line.startswith(words) for line in errors(text))


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is not there, not a file, or not text is named."""
    (tmp_path / "latin1").write_bytes(b"a: \xe4")
    for name, words in [("none", "No such file"), (".", "Is a directory"), ("latin1", "not UTF-8")]:
        with pytest.raises(ConfigError, match=words):
            load(tmp_path / name, {})


SECRET = "sk-very/secret+value"


@pytest.mark.parametrize(
    "text",
    [
        "providers: {o: {format: openai, api_key: SECRET}}",
        "providers: {o: {format: SECRET, api_key: [SECRET]}}",
        "providers: {o: SECRET}",
        "providers: {o: {format: demo, headers: SECRET, api_kye: SECRET}}",
        "providers: {o: {format: demo, headers: {x: {y: SECRET}}}}",
        "providers: {o: {format: demo, api_key: 'SECRET\x7f'}}",
        "pii: {vault_key: SECRET}",
        "agents: {a: {key_sha256: SECRET}}",
        "state: SECRET",
        "events: SECRET",
        "server: {port: SECRET}",
        "log: SECRET",
        "api_key: SECRET\napi_key: SECRET",
        "a: [SECRET",
        "a: *SECRET",
        "model_list: [{model_name: m, litellm_params: {model: m, api_key: [SECRET]}}, SECRET]",
        "model_list: SECRET\ngeneral_settings: {master_key: SECRET}",
    ],
)
def test_secrets_are_not_repeated(text: str) -> None:
    """No error repeats a secret: not where a secret belongs, nor a value of the environment anywhere."""
    from_environment = "\n".join(errors(text.replace("SECRET", "${S}"), {"S": SECRET}))
    assert "very" not in from_environment
    if not text.startswith(("server", "log", "providers: {o: {format: SECRET")):
        assert "very" not in "\n".join(errors(text.replace("SECRET", SECRET)))


def test_secrets_are_not_in_the_repr() -> None:
    """Printing a configuration shows no key."""
    loaded = loads(SAMPLE, "g.yaml", ENV)
    assert "sk-openai" not in repr(loaded)


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)


@given(st.sampled_from(sorted(Config.model_fields)), st.recursive(st.text(max_size=8) | st.none(), _nested))
def test_any_section_loads_or_is_refused(section: str, data: object) -> None:
    """For any content of a section, the result is a configuration or a ConfigError."""
    refused = ""
    try:
        loads(json.dumps({"providers": {}, "models": {}, section: data}), "g.yaml", {})
    except ConfigError as error:
        refused = str(error)
    assert not refused or refused.startswith("g.yaml")


# LiteLLM


def litellm(models: str, more: str = "") -> load_module.Loaded:
    return loads(f"model_list:\n{models}{more}", "l.yaml", ENV)


def test_litellm_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of one name become equal targets, the master key an admin; settings that are ignored are named."""
    monkeypatch.chdir(ROOT)
    loaded = load(Path("config/examples/litellm.yaml"), ENV)
    (rank,) = loaded.config.models["gpt-4o-mini"].targets
    assert isinstance(rank, list)
    assert [(target.target, target.weight) for target in rank] == [
        ("openai/gpt-4o-mini", 3),
        ("hosted_vllm/gpt-4o-mini-replacement", 1),
    ]
    assert loaded.config.providers["openai"].api_key == "sk-openai-value"
    assert loaded.config.providers["hosted_vllm"].api_key == ""
    assert loaded.config.agents["litellm-master"].roles == ("admin",)
    text = "\n".join(loaded.warnings)
    anthropic = loaded.config.providers["anthropic"]
    assert (anthropic.format, anthropic.base_url) == ("anthropic", "https://api.anthropic.com")
    assert anthropic.api_key == "sk-anthropic-value"
    assert "router_settings is ignored (routing_strategy)" in text


def test_litellm_details(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Accounts are distinguished by format, URL and key, prices are taken over, a bare name is OpenAI's."""
    monkeypatch.chdir(tmp_path)
    loaded = litellm(
        "  - {model_name: a, litellm_params: {model: gpt-4o, rpm: 5}, model_info: {input_cost_per_token: 1.5e-7}}\n"
        "  - model_name: b\n    litellm_params:\n"
        "      {model: openai/x, api_base: http://h/v1, api_key: k1, max_output_tokens: 7}\n"
        "  - {model_name: c, litellm_params: {model: openai/x, api_base: http://h/v1, api_key: k2}}\n"
        "  - {model_name: '*', litellm_params: {model: openai/*}}\n"
        "  - {model_name: d, litellm_params: {model: custom_openai/x}}\n"
        "  - {model_name: e, litellm_params: {model: bedrock/x}}\n"
        "  - {model_name: f, litellm_params: {model: anthropic/x, api_base: http://h/v1, api_key: k1}}\n"
    )
    loaded_config = loaded.config
    assert [(name, p.api_key) for name, p in loaded_config.providers.items()] == [
        ("openai", "sk-openai-value"),
        ("openai-2", "k1"),
        ("openai-3", "k2"),
        ("anthropic", "k1"),
    ]
    assert loaded_config.models["a"].price.input == 0.15
    assert loaded_config.models["b"].max_output == 7
    [limit] = loaded_config.limits
    assert (limit.per, limit.match.model, limit.requests is not None) == ("model", "a", True)
    assert loaded_config.policy is None
    text = "\n".join(loaded.warnings)
    for words in (
        "is a wildcard",
        "needs api_base",
        "provider bedrock is not available",
        "every call is allowed",
    ):
        assert words in text


ROUTED = """
router_settings:
  fallbacks: [{a: [b, nothing]}, {b: [c]}]
  model_group_alias: {alias: a, other: nothing}
  timeout: 30
  num_retries: 2
litellm_settings: {request_timeout: 600, drop_params: true, default_fallbacks: [c]}
"""


def test_litellm_router(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fallbacks are further targets, aliases further models, rates limits; the rest is named."""
    monkeypatch.chdir(tmp_path)
    entry = "  - {model_name: %s, litellm_params: {model: openai/%s, api_base: http://h/v1, api_key: k, %s}}\n"
    models = entry % ("a", "one", "tpm: 1000") + entry % ("a", "two", "tpm: 500")
    loaded = litellm(models + entry % ("b", "three", "rpm: 5") + entry % ("c", "four", "weight: 1"), ROUTED)
    names = {
        name: [one.target for rank in model.targets for one in (rank if isinstance(rank, list) else [rank])]
        for name, model in loaded.config.models.items()
    }
    assert names["a"] == ["openai/one", "openai/two", "openai/three", "openai/four"]
    assert names["b"] == ["openai/three", "openai/four"]
    assert names["alias"] == names["a"]
    assert loaded.config.providers["openai"].timeout == 30
    rates = {limit.match.model: str(limit.tokens or limit.requests) for limit in loaded.config.limits}
    assert rates.keys() == {"a", "b"}
    assert "1500" in rates["a"]
    text = "\n".join(loaded.warnings)
    for words in ("no model nothing", "alias other", "router_settings is ignored (num_retries)", "drop_params"):
        assert words in text


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("  - {model_name: a, litellm_params: {model: bedrock/x}}\n", "has no model that this version can serve"),
        ("  - {model_name: a}\n", "l.yaml:2: model_list[0] needs model_name and litellm_params.model"),
        (
            "  - model_name: a\n    litellm_params:\n      model: x\n      api_key: os.environ/NOT_SET\n",
            "l.yaml:5: model_list[0].litellm_params.api_key needs the environment variable NOT_SET",
        ),
        ("  - {model_name: a, litellm_params: {model: x, weight: much}}\n", "weight must be a whole number"),
        ("  - {model_name: a, litellm_params: {model: x, input_cost_per_token: no}}\n", "is not a number"),
    ],
)
def test_litellm_errors(models: str, words: str) -> None:
    """A mistake in a LiteLLM file is an error with the line of the original."""
    with pytest.raises(ConfigError) as caught:
        litellm(models)
    assert words in str(caught.value)


def test_litellm_key_stays_with_its_owner() -> None:
    """The OpenAI key of the environment is sent to OpenAI only."""
    loaded = litellm("  - {model_name: a, litellm_params: {model: openai/x, api_base: http://h/v1}}\n")
    assert loaded.config.providers["openai"].api_key == ""


def test_litellm_empty_master_key() -> None:
    """An empty master key is an error, not a key that everyone has."""
    text = "model_list: [{model_name: a, litellm_params: {model: x}}]\ngeneral_settings: {master_key: os.environ/M}\n"
    assert "general_settings.master_key is empty" in "\n".join(errors(text, {"M": ""}))


# Reload


class Running:
    """A gateway that accepts or refuses the configurations of the watcher."""

    def __init__(self, path: Path, text: str = MINIMAL) -> None:
        self.path = path
        self.applied: list[Config] = []
        self.reports: list[str | None] = []
        self.warnings: list[str] = []
        self.refuse: Exception | None = None
        self.seen = asyncio.Event()
        path.write_text(text)
        self.watcher = Watcher(
            path, self.apply, self.report, running=load(path, {}).config, warn=self.warnings.append, env={}
        )

    async def apply(self, config: Config) -> None:
        if self.refuse:
            raise self.refuse
        self.applied.append(config)

    def report(self, error: str | None) -> None:
        self.reports.append(error)
        self.seen.set()

    async def write(self, text: str) -> None:
        """Replaces the file as an editor does, so that no two contents can look alike, and checks once."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.path)
        await self.watcher.step()


@pytest.fixture
def running(tmp_path: Path) -> Running:
    """A watched file."""
    return Running(tmp_path / "gateway.yaml")


async def test_unchanged_file(running: Running) -> None:
    """An unchanged file is not applied again."""
    for _ in range(3):
        await running.watcher.step()
    assert running.applied == []
    assert running.reports == [None]


async def test_change_is_applied(running: Running) -> None:
    """A good change is applied once and reported as good."""
    await running.write(MINIMAL + "log: off\n")
    await running.watcher.step()
    assert [config.log for config in running.applied] == ["off"]
    assert running.reports == [None]


async def test_change_without_effect(running: Running) -> None:
    """A change of a comment only is not applied."""
    await running.write(MINIMAL + "# hello\n")
    assert running.applied == []


async def test_bad_file_keeps_the_running_one(running: Running) -> None:
    """An invalid or missing file is reported and not applied; the next valid file is applied."""
    await running.write("models: {")
    assert running.applied == []
    assert "not valid YAML" in str(running.reports[-1])
    running.path.unlink()
    await running.watcher.step()
    assert "No such file" in str(running.reports[-1])
    await running.write(MINIMAL + "log: off\n")
    assert running.reports[-1] is None
    assert len(running.applied) == 1


@pytest.mark.parametrize("error", [ConfigError("policies/a.rego:3: no"), RuntimeError("secret")])
async def test_refused_by_the_gateway(running: Running, error: Exception) -> None:
    """A file that loads but that the gateway cannot take is reported, and taken once it can."""
    running.refuse = error
    await running.write(MINIMAL + "log: off\n")
    assert running.applied == []
    assert running.reports[-1]
    assert "secret" not in running.reports[-1]
    running.refuse = None
    running.watcher.kick()
    await running.watcher.step()
    assert len(running.applied) == 1


async def test_keys_that_need_a_start(running: Running) -> None:
    """A change that needs a restart is reported; the rest of the file takes effect."""
    await running.write(
        MINIMAL + "server: {port: 1}\nstate: sqlite:///other.db\naudit: {path: a.db}\nlog: off\npolicy: {path: other}\n"
    )
    assert running.applied[0].log == "off"
    assert [warning.partition(": ")[2] for warning in running.warnings] == [
        "state takes effect at the next start",
        "log takes effect at the next start",
        "audit.path takes effect at the next start",
        "server.port takes effect at the next start",
    ]


async def test_warnings_of_a_new_file(running: Running) -> None:
    """The warnings of a changed file reach the operator as those of the first do."""
    await running.write(MINIMAL + "limits: [{per: tool, requests: 1/min}]\n")
    assert "counts calls of tools, but there is no section tools" in running.warnings[0]


async def test_kick_applies_what_looks_unchanged(running: Running) -> None:
    """SIGHUP applies the file even if it is the same, because key files may have changed."""
    await running.watcher.step()
    running.watcher.kick()
    await running.watcher.step()
    assert len(running.applied) == 1


async def test_run_wakes_at_once(running: Running) -> None:
    """A kick is served without waiting for the interval."""
    task = asyncio.create_task(running.watcher.run(interval=3600))
    await running.seen.wait()
    running.seen.clear()
    running.watcher.kick()
    await running.seen.wait()
    assert len(running.applied) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_key_without_effect_is_named() -> None:
    """The vault's time is that of the workflow's record."""
    [warning] = loads(MINIMAL + "pii: {ttl: 1h}\n", "g.yaml", {}).warnings
    assert ": pii.ttl has no effect: " in warning
    assert "quotas.ttl" in warning
