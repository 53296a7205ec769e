"""The grammar of the configuration: frozen typed classes, one for each section of `gateway.yaml`.

The classes are the schema (`meshgate check --schema`) and the reference: each field says what it means, its unit
and its default. Reading a file (environment, line numbers, suggestions, reload) is `load.py`'s work.
How single values are written is in `scalars.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gateway import call as words
from gateway.config.scalars import Count, Digest, HttpUrl, Origin, Per, Rated, Seconds, Secret
from gateway.config.sections import Audit, Idempotency, Loops, Output, Pii, Policy, Section
from gateway.config.tiers import PLAIN_TIERS
from gateway.dialects.items import Caps
from gateway.errors import ConfigError
from gateway.stores import address


class Provider(Section):
    """An upstream account: where it is, what it speaks, with which key."""

    format: Literal["openai", "anthropic", "demo"]
    """The wire format it speaks; `demo` answers in-process."""
    base_url: HttpUrl = ""
    """The URL that the path of a call is appended to: `/chat/completions` to one such as https://api.openai.com/v1,
    `/v1/messages` to https://api.anthropic.com."""
    api_key: Secret = Field(default="", repr=False)
    """Sent as the format wants it (`Authorization: Bearer`, `x-api-key`); callers never see it."""
    headers: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Further headers sent with every call to it."""
    timeout: Seconds = 600
    """Seconds a call may take as a whole."""
    connect_timeout: Seconds = 5
    """Seconds to reach it."""
    idle_timeout: Seconds = 60
    """Seconds it may stay silent in the middle of an answer."""
    fields: Literal["pass", "drop", "refuse"] | None = None
    """Fields of a request, at any depth, that the dialect does not have. pass: they are judged and sent on; drop: they
    are taken out; refuse: the call is refused, by the name of the field. Left out: pass, or refuse where strict."""
    strict: bool = False
    """Only fields that the dialect has are sent."""

    @property
    def unknown_fields(self) -> str:
        """What becomes of fields that the dialect does not have."""
        return self.fields or ("refuse" if self.strict else "pass")

    @model_validator(mode="after")
    def _strict_is_strict(self) -> Provider:
        if self.strict and self.fields == "pass":
            raise ValueError(
                "strict: true and fields: pass contradict each other: say drop or refuse, or leave one out"
            )
        return self

    @model_validator(mode="after")
    def _needs_url(self) -> Provider:
        if self.format != "demo" and not self.base_url:
            raise ValueError(f"a provider of format {self.format} needs a base_url")
        return self


class Price(Section):
    """USD per million tokens. What a provider reports apart (cached input, reasoning, audio) may be priced apart."""

    input: float = Field(default=0, ge=0)
    """USD per million tokens of the request."""
    output: float = Field(default=0, ge=0)
    """USD per million tokens of the answer."""
    cached_input: float | None = Field(default=None, ge=0)
    """Input that the provider read from its cache; priced as input if left out."""
    cache_write: float | None = Field(default=None, ge=0)
    """Input that the provider wrote to its cache; priced as input if left out."""
    reasoning: float | None = Field(default=None, ge=0)
    """Output that the model thought with; priced as output if left out."""
    audio: float | None = Field(default=None, ge=0)
    """Audio tokens of the answer; priced as output if left out."""
    audio_input: float | None = Field(default=None, ge=0)
    """Audio tokens of the request; priced as audio if left out, as input if that is left out too."""
    tiers: dict[str, Price] = Field(default_factory=dict)
    """What tokens cost in other service tiers, by name (flex, priority, batch, scale): what a tier leaves out costs as
    without it."""

    @cached_property
    def by_tier(self) -> Mapping[str, Price]:
        """The whole price in each tier."""
        own = self.model_dump(exclude={"tiers"})
        return {name: Price(**{**own, **tier.model_dump(exclude_unset=True)}) for name, tier in self.tiers.items()}

    @model_validator(mode="after")
    def _tiers_are_tiers(self) -> Price:
        for name, tier in self.tiers.items():
            if name in PLAIN_TIERS:
                raise ValueError(f"tiers.{name} is what the price itself is for; give tiers such as flex or priority")
            if tier.tiers:
                raise ValueError(f"tiers.{name} has tiers of its own; a tier has none")
        return self


class Target(Section):
    """Where a model's calls go: `provider/model`, and its share among targets of equal rank."""

    target: str = Field(pattern=r"^[^/]+/.+$")
    """`provider/model`: the provider as this file names it, the model as the provider does."""
    weight: int = Field(default=1, ge=0)
    """Its share among equals."""
    price: Price | None = None
    """What tokens cost here, where that differs from the model's price."""

    @property
    def address(self) -> words.Target:
        """The target as a value."""
        return words.Target.parse(self.target)


def _target(value: object) -> object:
    return {"target": value} if isinstance(value, str) else value


def _rank(value: object) -> str:
    # In angle brackets, so that no key of a file is taken for it in the location of an error.
    return "<equals>" if isinstance(value, list | tuple) else "<target>"


Targeted = Annotated[Target, BeforeValidator(_target, json_schema_input_type=str | Target)]
Rank = Annotated[
    Annotated[Targeted, Tag("<target>")] | Annotated[list[Targeted], Tag("<equals>"), Field(min_length=1)],
    Discriminator(_rank),
]


class Model(Section):
    """A model as callers name it."""

    targets: list[Rank] = Field(min_length=1)
    """In order: failover. A list inside the list: equals, chosen by weight."""
    price: Price = Price()
    """What its tokens cost, at targets without a price of their own. A call reserves at its highest price."""
    max_output: Count = 4096
    """Output tokens reserved for a call that names no ceiling of its own."""

    @cached_property
    def prices(self) -> Mapping[words.Target, Price]:
        """The price at each target."""
        every = [target for rank in self.targets for target in (rank if isinstance(rank, list) else [rank])]
        return {target.address: target.price or self.price for target in every}


class Tool(Section):
    """An MCP server or a plain HTTP tool."""

    mcp: str = ""
    """URL of an MCP server (Streamable HTTP)."""
    http: str = ""
    """Or the base URL of a plain HTTP tool."""


class Agent(Section):
    """A caller with a gateway key."""

    key_sha256: str = Field(default="", pattern=r"^([0-9a-fA-F]{64})?$")
    """SHA-256 of the key, in hex."""
    key_file: str = ""
    """Or a file that holds the key itself (a mounted secret); made with a fresh key if it is not there."""
    team: str = Field(min_length=1)
    """Whose limits and workflows it shares."""
    roles: tuple[str, ...] = ()
    """What policies judge it by."""

    @model_validator(mode="after")
    def _needs_key(self) -> Agent:
        if self.key_sha256 and self.key_file:
            raise ValueError("give key_sha256 or key_file, not both")
        return self


class Jwt(Section):
    """Identities by signed token (RFC 7519), keys by JWKS (RFC 7517)."""

    jwks_url: HttpUrl
    """Where the issuer publishes its keys."""
    issuer: str = Field(min_length=1)
    """What `iss` must be."""
    audience: str = Field(min_length=1)
    """What `aud` must be or hold."""
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...] = Field(
        default=("RS256", "ES256"), min_length=1
    )
    """The signatures that are accepted; the key's type must fit."""
    agent_claim: str = "sub"
    """The claim that names the agent; a dotted path (`act.sub`) reaches into objects."""
    team_claim: str = "team"
    """The claim that names its team."""
    roles_claim: str = "roles"
    """The claim that lists its roles: a list, or words apart."""
    leeway: Seconds = 30
    """Seconds that clocks may differ, for `exp`, `nbf` and `iat`."""
    refresh: Seconds = 300
    """Seconds after which the issuer's keys are fetched again."""


class Match(Section):
    """Which calls a limit counts: shell patterns; a field left out matches all."""

    agent: str = "*"
    """Pattern of the agent's name."""
    team: str = "*"
    """Pattern of the team's name."""
    model: str = "*"
    """Pattern of the model's name, as callers write it."""
    provider: str = "*"
    """Pattern of the provider's name."""
    tool: str = "*"
    """Pattern of the tool's name; any other than `*` matches calls of tools only."""
    role: str = "*"
    """Pattern that one of the caller's roles must fit."""
    stream: bool | None = None
    """true: streamed calls only; false: whole ones only."""


class Limit(Section):
    """A token bucket for each agent, team, model and so on. Every limit that matches applies."""

    per: Per
    """Whose bucket it is, each one has its own: agent, team, model, provider, tool, role, or for each value
    `claims.NAME` (a claim of the caller's token) or `attributes.NAME` (what the policy says of the call)."""
    match: Match = Match()
    """Which calls it counts."""
    requests: Rated | None = None
    """Calls over time, such as 60/min."""
    tokens: Rated | None = None
    """Tokens in and out over time, such as 200k/min."""
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
    """Tokens in and out."""
    cost_usd: float | None = Field(default=None, ge=0)
    """USD, at the prices of the models."""
    calls: Count | None = None
    """Calls to models and tools."""
    hops: Count | None = None
    """Depth of the agent-to-agent chain."""
    repeats: Count | None = None
    """Same agent, same tool, same canonical arguments."""
    seconds: Seconds | None = None
    """Age at which a workflow freezes, counted from its first call or its last resume."""
    idle: Seconds | None = None
    """Seconds without a call after which a workflow expires and takes no more; shorter than `ttl`."""
    ttl: Seconds = 86400
    """How long a workflow is remembered after its last call: what it used, its labels, its placeholders."""
    wait: Seconds = 0
    """How long a call may wait for others in flight to give quota back."""
    strict: bool = False
    """Serve only workflows that were opened by hand or by the admin API, and whose signed token the call carries."""

    @model_validator(mode="after")
    def _remembered_longer_than_idle(self) -> Quotas:
        if self.idle is not None and self.idle >= self.ttl:
            raise ValueError("idle must be shorter than ttl: a workflow that is forgotten cannot be expired")
        return self


class Server(Section):
    """The listening side: addresses and the bounds that keep slow or huge clients from harm."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
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
    """Connections open at once."""
    max_calls: Count = 1024
    """Calls on the line at once; more are refused as `overloaded`."""
    max_buffered: Count = 512_000_000
    """Bytes of requests (unpacked), of whole answers, and of the text of streams until they end, held at once; a call
    beyond is refused as `overloaded`."""
    team_share: float = Field(default=0.75, gt=0, le=1)
    """The part of `max_calls` and `max_buffered` that one team may take."""
    address_share: float = Field(default=0.5, gt=0, le=1)
    """The part of these and of `max_connections` that one client address may take; 1 behind a proxy."""
    write_timeout: Seconds = 60
    """Seconds in which a client must take what waits for it, and one more for every 64 kB."""
    max_wrong_keys: Count = 60
    """Calls a minute that one address may make without a good key; more are refused as `rate_limited`."""
    scan_budget: Seconds = Field(default=5, gt=0)
    """Seconds of CPU time that judging one call may take, and one more for every megabyte; then it is refused as
    `request_too_large`, or its answer as `output_blocked`."""
    max_messages: Count = 20_000
    """Messages in one request."""
    max_parts: Count = 50_000
    """Content parts of all messages of a request or an answer together."""
    max_tools: Count = 2_000
    """Tools that one request offers."""
    max_tool_calls: Count = 1_000
    """Tool calls in one message."""
    max_keys: Count = 20_000
    """Keys of one JSON object."""
    max_values: Count = 1_000_000
    """JSON values in one body."""
    drain: Seconds = 30
    """Seconds that running calls have to end when the gateway stops."""
    cors: tuple[Origin, ...] = ()
    """Origins whose pages may call `/v1/` from a browser, such as https://app.example.com; `*` for all."""

    @cached_property
    def caps(self) -> Caps:
        """How many things a body may hold."""
        return Caps(
            self.max_messages, self.max_parts, self.max_tools, self.max_tool_calls, self.max_keys, self.max_values
        )


class State(Section):
    """Where counters, workflows, keys and the vault are kept. Written as a URL alone, or as a section."""

    url: str = "sqlite:///var/meshgate.db"
    """sqlite:///relative/path, sqlite:////absolute/path, redis://, rediss://, redis+cluster:// or rediss+cluster://."""
    ca_file: str = ""
    """Certificates (PEM) of the authority that signed the server's; those of the system if left out."""
    replicas_ack: Count = 0
    """Replicas of Redis that must have a write before it counts as done: then a failover loses nothing."""
    on_error: Literal["closed", "local"] = "closed"
    """When Redis is gone. closed: calls are refused as `state_unavailable`; local: each gateway serves its share."""
    replicas: int = Field(default=1, ge=1)
    """Gateway processes that share the limits while on_error: local holds, workers counted one by one."""

    @model_validator(mode="after")
    def _is_an_address(self) -> State:
        try:
            shared = address.parse(self.url) is not None
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("state: ")) from None
        if not shared and (self.ca_file or self.replicas_ack or self.on_error != "closed"):
            raise ValueError("ca_file, replicas_ack and on_error are for Redis; SQLite is in the gateway itself")
        return self


def _stated(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class Admin(Section):
    """Who may use the admin API: keys of its own, which make no calls. Without this section there is no admin API."""

    key_file: str = ""
    """A file that holds the key itself (a mounted secret); made with a fresh key if it is not there."""
    key_sha256: tuple[Digest, ...] = ()
    """SHA-256 of further keys, in hex."""

    @model_validator(mode="after")
    def _needs_key(self) -> Admin:
        if not self.key_file and not self.key_sha256:
            raise ValueError("needs a key: give key_file or key_sha256")
        return self


Problem = tuple[tuple[str | int, ...], str]


class Config(Section):
    """The whole file."""

    providers: dict[str, Provider]
    """Upstream accounts, by a name of your choice (without a slash)."""
    models: dict[str, Model]
    """What callers may ask for, by the name they use."""
    tools: dict[str, Tool] = Field(default_factory=dict)
    """MCP servers and HTTP tools, by name."""
    agents: dict[str, Agent] = Field(default_factory=dict)
    """Callers with a gateway key, by name."""
    jwt: Jwt | None = None
    """Callers with a signed token."""
    limits: tuple[Limit, ...] = ()
    """Token buckets."""
    quotas: Quotas = Quotas()
    """What one correlation id may use."""
    loops: Loops = Loops()
    """What counts as going round in circles."""
    idempotency: Idempotency | None = Idempotency()
    """null: the header `Idempotency-Key` is ignored."""
    policy: Policy | None = Policy()
    """null: every call is allowed."""
    pii: Pii | None = Pii()
    """null: requests are not scanned."""
    output: Output | None = Output()
    """null: answers are not scanned."""
    state: Annotated[State, BeforeValidator(_stated, json_schema_input_type=str | State)] = State()
    """A URL, or a section: sqlite:///relative/path, sqlite:////absolute/path, redis:// and its kin"""
    events: Literal["none"] = "none"
    """Where events are published."""
    server: Server = Server()
    """Where to listen, and the bounds for clients."""
    admin: Admin | None = None
    """The admin API under /admin/api; left out: there is none."""
    audit: Audit = Audit()
    """The decision log."""
    log: Literal["json", "off"] = "json"
    """One line for each call on standard output, or none."""

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        problems = [*self._references(), *self._identities(), *self._shared_secrets()]
        if problems:
            words = "; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in problems)
            raise PydanticCustomError("does_not_fit", "{words}", {"words": words, "problems": problems})
        return self

    def _references(self) -> Iterator[Problem]:
        known = ", ".join(self.providers) or "none"
        for name in self.providers:
            if "/" in name:
                yield ("providers", name), "the name of a provider has no slash, because targets read provider/model"
        for name, model in self.models.items():
            if name.count("*") > 1:
                yield (
                    ("models", name),
                    "has more than one `*`; a pattern has one",
                )
            for i, rank in enumerate(model.targets):
                for target in rank if isinstance(rank, list) else [rank]:
                    if "*" in target.target and "*" not in name:
                        yield ("models", name, "targets", i), "has a `*`, and the name of the model has none"
                    provider = target.address.provider
                    if provider not in self.providers:
                        path = ("models", name, "targets", i)
                        yield path, f"no provider is called {provider!r}; providers: {known}"

    def _identities(self) -> Iterator[Problem]:
        owner: dict[str, str] = {}
        for name, agent in self.agents.items():
            first = owner.setdefault(agent.key_sha256.lower() or f"file {agent.key_file or name}", name)
            if first != name:
                yield ("agents", name), f"has the same key as agents.{first}: a key names one agent"
        if self.admin is not None:
            for key in (*self.admin.key_sha256, f"file {self.admin.key_file}"):
                if key in owner:
                    yield ("admin",), f"has the key of agents.{owner[key]}: admin keys make no calls"

    def _shared_secrets(self) -> Iterator[Problem]:
        """Gateways that share their state must seal with one key, which only the configuration can give them."""
        if self.pii is not None and not self.pii.vault_key and not self.state.url.startswith("sqlite:"):
            yield (
                ("pii", "vault_key"),
                "is required with shared state: all gateways must encrypt with the same key. Create one with "
                "`openssl rand -base64 32` and pass it as ${MESHGATE_VAULT_KEY}",
            )


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors and for `meshgate check --schema`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "Meshgate",
    }
