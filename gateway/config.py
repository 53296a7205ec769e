"""The grammar of the configuration: frozen typed classes, one for each section of `gateway.yaml`.

The classes are the schema (`meshgate check --schema`) and the reference: each field says what it means, its unit
and its default. Reading a file (environment, line numbers, suggestions, reload) is `load.py`'s work.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of the file: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


_MULTIPLIER = {"": 1, "k": 1_000, "m": 1_000_000}
_SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}


def _count(value: object) -> object:
    """`200k` -> 200000."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", value.strip().lower())):
        return int(float(match[1]) * _MULTIPLIER[match[2]])
    return value


def _seconds(value: object) -> object:
    """`24h` -> 86400."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]*)", value.strip().lower())):
        if match[2] in _SECONDS or not match[2]:
            return float(match[1]) * _SECONDS.get(match[2], 1)
        raise ValueError(f"unknown unit of time; use one of {', '.join(_SECONDS)}")
    return value


class Rate(BaseModel):
    """So many units per so many seconds, written `60/min` or `200k/min`."""

    model_config = ConfigDict(frozen=True)
    units: int = Field(gt=0)
    seconds: float = Field(gt=0)


def _rate(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?[kKmM]?)\s*/\s*(\d*)\s*([a-z]+)", value.strip())
        if not match or match[3] not in _SECONDS:
            raise ValueError("a rate is written like 60/min, 200k/min, 5/s or 1000/h")
        return {"units": _count(match[1]), "seconds": float(match[2] or 1) * _SECONDS[match[3]]}
    return value


Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int | str), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=float | str), Field(ge=0)]
Rated = Annotated[Rate, BeforeValidator(_rate, json_schema_input_type=str)]
Action = Literal["mask", "redact", "hash", "partial", "block", "allow"]


class Provider(Section):
    """An upstream account: where it is, what it speaks, with which key."""

    format: Literal["openai", "demo"]
    """The wire format it speaks; `demo` answers in-process."""
    base_url: str = ""
    """The URL that `/chat/completions` is appended to, such as https://api.openai.com/v1."""
    api_key: str = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`; callers never see it."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Further headers sent with every call to it."""
    timeout: Seconds = 600
    """Seconds a call may take as a whole."""
    connect_timeout: Seconds = 5
    """Seconds to reach it."""
    idle_timeout: Seconds = 60
    """Seconds it may stay silent in the middle of an answer."""

    @model_validator(mode="after")
    def _needs_url(self) -> Provider:
        if self.format != "demo" and not self.base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"a provider of format {self.format} needs a base_url that starts with http:// or https://"
            )
        return self


class Target(Section):
    """Where a model's calls go: `provider/model`, and its share among targets of equal rank."""

    target: str = Field(pattern=r"^[^/]+/.+$")
    weight: int = Field(default=1, ge=0)


def _target(value: object) -> object:
    return {"target": value} if isinstance(value, str) else value


Targeted = Annotated[Target, BeforeValidator(_target, json_schema_input_type=str | Target)]


class Price(Section):
    """USD per million tokens. What a provider reports apart (cached input, reasoning, audio) may be priced apart."""

    input: float = Field(default=0, ge=0)
    output: float = Field(default=0, ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    reasoning: float | None = Field(default=None, ge=0)
    audio: float | None = Field(default=None, ge=0)


class Model(Section):
    """A model as callers name it."""

    targets: list[Targeted | list[Targeted]] = Field(min_length=1)
    """In order: failover. A list inside the list: equals, chosen by weight."""
    price: Price = Price()
    max_output: Count = 4096
    """Output tokens reserved for a call that names no ceiling of its own."""


class Tool(Section):
    """An MCP server or a plain HTTP tool."""

    mcp: str = ""
    http: str = ""


class Agent(Section):
    """A caller with a gateway key."""

    key_sha256: str = Field(default="", pattern=r"^([0-9a-fA-F]{64})?$")
    """SHA-256 of the key, in hex: `meshgate keys add` prints one."""
    key_file: str = ""
    """Or a file that holds the key itself (a mounted secret); made with a fresh key if it is not there."""
    team: str = Field(min_length=1)
    roles: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _needs_key(self) -> Agent:
        if self.key_sha256 and self.key_file:
            raise ValueError("give key_sha256 or key_file, not both")
        return self


class Jwt(Section):
    """Identities by signed token (RFC 7519), keys by JWKS (RFC 7517)."""

    jwks_url: str
    issuer: str
    audience: str
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...] = ("RS256", "ES256")
    agent_claim: str = "sub"
    team_claim: str = "team"
    roles_claim: str = "roles"
    leeway: Seconds = 30
    refresh: Seconds = 300


class Match(Section):
    """Which calls a limit counts: shell patterns; a field left out matches all."""

    agent: str = "*"
    team: str = "*"
    model: str = "*"
    provider: str = "*"


class Limit(Section):
    """A token bucket for each agent, team, model or provider. Every limit that matches applies."""

    per: Literal["agent", "team", "model", "provider"]
    match: Match = Match()
    requests: Rated | None = None
    tokens: Rated | None = None
    burst: Count | None = None
    """What the bucket holds when full; the rate's own number if left out."""

    @model_validator(mode="after")
    def _one_unit(self) -> Limit:
        if (self.requests is None) == (self.tokens is None):
            raise ValueError("a limit counts either requests or tokens: give exactly one of them")
        if self.burst == 0:
            raise ValueError("a burst of 0 would refuse every call")
        return self


class Quotas(Section):
    """What one correlation id may use, over all its calls. None: not limited."""

    tokens: Count | None = None
    cost_usd: float | None = Field(default=None, ge=0)
    calls: Count | None = None
    hops: Count | None = None
    """Depth of the agent-to-agent chain."""
    repeats: Count | None = None
    """Same agent, same tool, same canonical arguments."""
    seconds: Seconds | None = None
    """Age at which a workflow ends, counted from its first call."""
    ttl: Seconds = 86400
    """How long a workflow is remembered after its last call."""
    wait: Seconds = 0
    """How long a call may wait for others in flight to give quota back."""


class Policy(Section):
    """The Rego bundle and who evaluates it."""

    path: str = "policies"
    engine: Literal["embedded", "opa"] = "embedded"
    url: str = "http://127.0.0.1:8181"
    """The OPA server, for engine: opa."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """`shadow` records what it would have denied and lets the call go on."""
    timeout: Seconds = 1


class Pii(Section):
    """Personal data in requests."""

    default: Action = "mask"
    entities: dict[str, Action] = Field(default_factory=dict)
    """What to do with each entity type, where it differs from the default."""
    restore: bool = True
    """Put masked values back into the answer."""
    unscannable: Literal["allow", "block"] = "block"
    """Images, audio and files, whose content no scanner here reads."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Findings below this are not acted on."""
    regions: tuple[str, ...] = (
        "US",
        "GB",
        "DE",
        "FR",
        "ES",
        "IT",
        "IN",
        "CA",
        "AU",
        "BR",
        "MX",
        "NL",
        "SE",
        "CH",
        "AT",
        "PL",
        "JP",
    )
    """Where phone numbers without a country code may be from (ISO 3166)."""
    vault_key: str = Field(default="", repr=False)
    """32 bytes in base64 that encrypt the vault; embedded state makes its own key file beside the database."""
    ttl: Seconds = 86400
    """How long the vault keeps a value after its last use."""


class Output(Section):
    """What an answer may carry."""

    secrets: Literal["block", "redact", "allow"] = "block"
    pii: Literal["block", "redact", "allow"] = "redact"
    """Personal data that the caller did not send."""
    window: int = Field(default=256, ge=64, le=4096)
    """Characters of a stream held back at most until they are judged."""


class Server(Section):
    """The listening side: addresses and the bounds that keep slow or huge clients from harm."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    max_body: Count = 20_000_000
    """Bytes of one request body."""
    max_depth: int = Field(default=64, ge=4, le=500)
    """Levels of nesting in a JSON body."""
    max_header_bytes: Count = 32_768
    """Bytes of the request line and all headers together."""
    header_timeout: Seconds = 10
    """Seconds a client has to send its headers."""
    body_timeout: Seconds = 60
    """Seconds a client has to send its body."""
    idle_timeout: Seconds = 75
    """Seconds an idle connection is kept."""
    max_connections: Count = 4096
    max_calls: Count = 1024
    """Calls on the line at once; more are refused as `overloaded`."""
    drain: Seconds = 30
    """Seconds that running calls have to end when the gateway stops."""


class Audit(Section):
    """Where decisions are kept."""

    path: str = ""
    """An SQLite file; the state database itself when state is sqlite and this is empty, else var/audit.db."""
    retain: Seconds = 30 * 86400


class Config(Section):
    """The whole file."""

    providers: dict[str, Provider]
    models: dict[str, Model]
    tools: dict[str, Tool] = Field(default_factory=dict)
    agents: dict[str, Agent] = Field(default_factory=dict)
    jwt: Jwt | None = None
    limits: tuple[Limit, ...] = ()
    quotas: Quotas = Quotas()
    policy: Policy | None = Policy()
    pii: Pii | None = Pii()
    output: Output | None = Output()
    state: str = "sqlite:///var/meshgate.db"
    """sqlite:///relative/path, sqlite:////absolute/path, redis:// or rediss://"""
    events: Literal["none"] = "none"
    server: Server = Server()
    audit: Audit = Audit()
    log: Literal["json", "off"] = "json"

    @model_validator(mode="after")
    def _targets_exist(self) -> Config:
        for name, model in self.models.items():
            for rank in model.targets:
                for entry in rank if isinstance(rank, list) else [rank]:
                    provider = entry.target.partition("/")[0]
                    if provider not in self.providers:
                        known = ", ".join(self.providers) or "none"
                        raise ValueError(f"models.{name}: no provider is called {provider!r}; providers: {known}")
        if not self.state.startswith(("sqlite:///", "redis://", "rediss://")):
            raise ValueError("state is sqlite:///path, redis://host:port/db or rediss://host:port/db")
        return self


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors and for `meshgate check --schema`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Meshgate",
        **Config.model_json_schema(),
    }
