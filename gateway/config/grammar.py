"""The grammar of the configuration: frozen typed classes, one for each section of `gateway.yaml`.

The classes are the schema (`meshgate check --schema`) and the reference: the docstring of each field gives its meaning,
its unit and its default. `load.py` reads a file (environment, line numbers, suggestions, reload); `scalars.py` defines
how single values are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway import call as words
from gateway.config.a2a import Cards, RemoteAgent
from gateway.config.providers import CLOUDS, ROWS, Auth, Ceiling, Kind, Role, Row
from gateway.config.routing import Routing
from gateway.config.scalars import PLAIN_TIERS, Count, Digest, HttpUrl, Origin, Per, Rated, Seconds, Secret
from gateway.config.sections import Audit, Delegations, Idempotency, Loops, Output, Pii, Policy, Section, Stored
from gateway.config.tools import NAME, Tool
from gateway.dialects import Codec, Profile
from gateway.dialects.items import Caps
from gateway.dialects.openai_ceilings import CEILINGS
from gateway.errors import ConfigError
from gateway.stores import address

_FIXED = frozenset({"model", "messages", "input", "system", "stream", "tools", *CEILINGS})


def _droppable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w-]*(\[\]\.[A-Za-z][\w-]*)?", name, re.ASCII):
        raise ValueError("a parameter is written like logit_bias or messages[].name")
    if name in _FIXED or name.endswith(("[].role", "[].content", "[].tool_calls", "[].tool_call_id", "[].type")):
        raise ValueError("a request cannot be sent without it")
    return name


class Provider(Section):
    """An upstream account: its kind, or its URL and wire format, and its credentials."""

    kind: Kind | None = None
    """A provider whose URL, authentication and differences are known. Default: the name of the provider in this file,
    if that is a kind and there is no `format`."""
    format: Literal["openai", "anthropic", "gemini", "demo"]
    """The wire format of the provider; `demo` answers in-process. Default: that of the kind."""
    base_url: HttpUrl = ""
    """The URL that the path of a call is appended to: `/chat/completions` to one such as https://api.openai.com/v1,
    `/v1/messages` to https://api.anthropic.com, `/v1beta/models/...` to https://generativelanguage.googleapis.com.
    Default: that of the kind."""
    api_key: Secret = Field(default="", repr=False)
    """Sent as the provider wants it (`auth`); callers never see it. Default: the environment variable of the kind."""
    api_keys: tuple[Secret, ...] = Field(default=(), repr=False)
    """Further keys, with rate limits of their own at the provider. A call goes out with the least busy key; a key that
    is refused (401) or at its limit (429) steps aside."""
    auth: Auth | None = None
    """The header of the key: bearer is `Authorization: Bearer`. Without a key: google sends a token of the application
    default credentials, aws signs each request (SigV4), both with what the environment or the machine has. Default:
    that of the kind, or of the format."""
    api_version: str = Field(default="", pattern=r"^[0-9A-Za-z.-]*$")
    """Azure: the version of the API with deployments, such as 2024-10-21. Default: the API without versions
    (`/openai/v1`)."""
    token_limit: Ceiling | None = None
    """The field that limits output tokens; the caller's field is renamed. Default: that of the kind, or as_sent."""
    system_role: Role | None = None
    """The role of instructions; messages of the other role get it. Default: that of the kind, or as_sent."""
    unsupported: tuple[Annotated[str, AfterValidator(_droppable)], ...] | None = None
    """Parameters that the provider refuses, by name or path (`messages[].name`). Default: those of the kind."""
    unsupported_action: Literal["drop", "refuse"] = "drop"
    """drop: unsupported parameters are removed, and named in the header `x-meshgate-dropped` of the answer; refuse: the
    call is refused, and the message names them."""
    stream_usage: bool | None = None
    """Ask for the usage of streams (`stream_options.include_usage`). Default: as the kind needs, or true."""
    responses: bool | None = None
    """Whether a provider of format openai has `/responses`; otherwise, such requests are translated to
    `/chat/completions`. Default: as the kind has it; true without a kind."""
    headers: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Further headers sent with every call to the provider."""
    timeout: Seconds = 600
    """Seconds a call may take as a whole."""
    connect_timeout: Seconds = 5
    """Seconds to connect."""
    first_byte_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds until the first byte of an answer; a whole answer begins only when it is complete. Default:
    idle_timeout."""
    idle_timeout: Seconds = 60
    """Seconds that the provider may stay silent in the middle of an answer."""
    client: Literal["direct", "aiohttp"] = "direct"
    """The HTTP client for its calls: direct is faster."""
    fields: Literal["pass", "drop", "refuse"] | None = None
    """Fields of a request, at any depth, that the dialect does not have. pass: scanned and forwarded; drop: removed,
    and named in `x-meshgate-dropped`; refuse: the call is refused, and the message names the field. Default: pass, or
    refuse if strict."""
    strict: bool = False
    """Send only fields that the dialect has."""

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """Every key by a short digest, which may be recorded; of a provider with one key or none, by ""."""
        every = dict.fromkeys(key for key in (self.api_key, *self.api_keys) if key)
        if len(every) < 2:
            return {"": next(iter(every), "")}
        return {blake2b(key.encode(), digest_size=6).hexdigest(): key for key in every}

    @property
    def unknown_fields(self) -> str:
        """What happens to fields that the dialect does not have: pass, drop or refuse."""
        return self.fields or ("refuse" if self.strict else "pass")

    @property
    def profile(self) -> Profile:
        """What requests to the provider differ in: the values of the file, or else of the kind."""
        row = ROWS.get(self.kind or "", _NO_ROW)
        ceiling, role = self.token_limit or row.ceiling, self.system_role or row.role
        return Profile(
            "" if ceiling == "as_sent" else ceiling,
            "" if role == "as_sent" else role,
            row.unsupported if self.unsupported is None else self.unsupported,
            row.stream_usage if self.stream_usage is None else self.stream_usage,
        )

    def speaks(self, codec: Codec) -> bool:
        """Whether the provider answers in this dialect itself."""
        if self._dialects and codec.name not in self._dialects:
            return False
        return self.format in codec.formats and (codec.name != "openai_responses" or self._has_responses)

    @cached_property
    def _dialects(self) -> frozenset[str]:
        return ROWS[self.kind].dialects if self.kind else frozenset()

    @cached_property
    def _has_responses(self) -> bool:
        if self.responses is not None or self.kind is None:
            return self.responses is not False
        return ROWS[self.kind].responses

    @property
    def sent_as(self) -> Auth | None:
        """How the key is sent; None: as the dialect of the call has it."""
        return self.auth or (ROWS[self.kind].auth if self.kind else None)

    @model_validator(mode="after")
    def _has_its_cloud(self) -> Provider:
        sent_as = self.sent_as
        if sent_as not in CLOUDS:
            return self
        if self.api_key or self.api_keys:
            raise ValueError(f"auth: {sent_as} takes the credentials of the machine: leave the key or auth out")
        if not _has(_CLOUD_LIBRARIES[sent_as]):
            raise ValueError(f"needs a library for auth: {sent_as}: .venv/bin/pip install -e '.[{sent_as}]'")
        return self

    @model_validator(mode="after")
    def _fits_its_format(self) -> Provider:
        if self.format != "openai" and (
            self.token_limit or self.system_role or self.stream_usage is not None or self.responses is not None
        ):
            raise ValueError("token_limit, system_role, stream_usage and responses apply to the format openai only")
        if self.kind is not None and self.format != ROWS[self.kind].format:
            raise ValueError(f"the kind {self.kind} has the format {ROWS[self.kind].format}: leave format or kind out")
        if self.api_version and self.kind != "azure":
            raise ValueError("api_version applies to the kind azure only")
        return self

    @model_validator(mode="after")
    def _strict_is_strict(self) -> Provider:
        if self.strict and self.fields == "pass":
            raise ValueError(
                "strict: true and fields: pass contradict each other: write drop or refuse, or leave one out"
            )
        return self

    @model_validator(mode="after")
    def _needs_url(self) -> Provider:
        if self.format != "demo" and not self.base_url:
            raise ValueError(f"a provider of format {self.format} needs a base_url")
        return self


_NO_ROW = Row(source="", url="")
_CLOUD_LIBRARIES = {"google": "google.auth", "aws": "botocore"}


def _has(library: str) -> bool:
    """Whether a library is installed."""
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # not even its first name
        return False


class Price(Section):
    """USD per million tokens. Usage that a provider reports separately (cached input, reasoning, audio) may have a
    price of its own."""

    input: float = Field(default=0, ge=0)
    """USD per million tokens of the request."""
    output: float = Field(default=0, ge=0)
    """USD per million tokens of the answer."""
    cached_input: float | None = Field(default=None, ge=0)
    """Input that the provider read from its cache; default: the price of input."""
    cache_write: float | None = Field(default=None, ge=0)
    """Input that the provider wrote to its cache; default: the price of input."""
    reasoning: float | None = Field(default=None, ge=0)
    """Output that the model used for reasoning; default: the price of output."""
    audio: float | None = Field(default=None, ge=0)
    """Audio tokens of the answer; default: the price of output."""
    audio_input: float | None = Field(default=None, ge=0)
    """Audio tokens of the request; default: the price of audio, or else of input."""
    runs: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """USD per thousand runs of tools that the provider runs, by name: `{web_search: 10, container: 30}`. Charged when
    the answer reports them; not reserved."""
    tiers: dict[str, Price] = Field(default_factory=dict)
    """Prices in other service tiers, by name (flex, priority, batch, scale). A price that a tier leaves out is the
    standard price."""

    @cached_property
    def by_tier(self) -> Mapping[str, Price]:
        """The whole price in each tier."""
        own = self.model_dump(exclude={"tiers"})
        return {name: Price(**{**own, **tier.model_dump(exclude_unset=True)}) for name, tier in self.tiers.items()}

    @model_validator(mode="after")
    def _tiers_are_tiers(self) -> Price:
        for name, tier in self.tiers.items():
            if name in PLAIN_TIERS:
                raise ValueError(f"tiers.{name} is the standard price itself; write tiers such as flex or priority")
            if tier.tiers:
                raise ValueError(f"tiers.{name} has tiers of its own; tiers cannot be nested")
        return self


class Target(Section):
    """A place where a model is served: `provider/model`, and its weight among targets of equal rank."""

    target: str = Field(pattern=r"^[^/]+/.+$")
    """`provider/model`: the provider by its name in this file, the model by its name at the provider."""
    weight: int = Field(default=1, ge=0)
    """Relative share of calls among targets of equal rank."""
    price: Price | None = None
    """Price of tokens at this target, if different from the model's price."""

    @property
    def address(self) -> words.Target:
        """The target as a value."""
        return words.Target.parse(self.target)


def _target(value: object) -> object:
    return {"target": value} if isinstance(value, str) else value


def _rank(value: object) -> str:
    # In angle brackets, so that `messages.problems` can tell the tag from a key of the file in an error's location.
    return "<equals>" if isinstance(value, list | tuple) else "<target>"


Targeted = Annotated[Target, BeforeValidator(_target, json_schema_input_type=str | Target)]
Rank = Annotated[
    Annotated[Targeted, Tag("<target>")] | Annotated[list[Targeted], Tag("<equals>"), Field(min_length=1)],
    Discriminator(_rank),
]


class Cache(Section):
    """Answers of the model that are given again to the same call of the same team."""

    ttl: Seconds = Field(default=3600, gt=0)
    """Seconds that an answer is kept."""
    max_answer: Count = 1_048_576
    """Maximum size of a kept answer in bytes; a larger one is not kept."""


class Model(Section):
    """A model by the name that callers use."""

    targets: list[Rank] = Field(min_length=1)
    """Targets in the order of failover. A list inside the list is a group of equal targets: see `prefer`."""
    prefer: Literal["weights", "least_busy", "price", "latency", "sticky"] = "weights"
    """Which of equal targets comes first. weights: drawn by weight; least_busy: fewest calls in flight for its weight;
    price: the lowest; latency: the shortest measured time to the first byte; sticky: the same for all calls of a
    workflow, which keeps the caches of the provider warm."""
    price: Price = Price()
    """Price of tokens at targets without a price of their own. A call reserves at the highest price that may apply.
    Default: that of the table of prices (`prices`)."""
    max_output: Count = 4096
    """Output tokens reserved for a call that sets no limit of its own."""
    cache: Cache | None = None
    """Keep answers, and give them again to calls that are the same, without a charge; null: no cache."""
    timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds a call may take as a whole. Default: that of the provider."""
    connect_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds to connect. Default: that of the provider."""
    first_byte_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds until the first byte of an answer. Default: that of the provider."""
    idle_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds that a provider may stay silent in the middle of an answer. Default: that of the provider."""

    @cached_property
    def has_times(self) -> bool:
        """Whether the model has a time limit of its own."""
        times = (self.timeout, self.connect_timeout, self.first_byte_timeout, self.idle_timeout)
        return any(time is not None for time in times)

    def served_at(self, targets: list[Rank]) -> Model:
        """The same model at other targets."""
        # Not a copy, which would have the prices of the old targets.
        fields = {name: getattr(self, name) for name in Model.model_fields}
        return Model.model_construct(self.model_fields_set, **{**fields, "targets": targets})

    @property
    def is_priced(self) -> bool:
        """Whether the model has a price of its own, which may be 0."""
        return "price" in self.model_fields_set

    @cached_property
    def unpriced(self) -> frozenset[words.Target]:
        """The targets whose price is unknown: calls are charged tokens, but no money."""
        every = [target for rank in self.targets for target in (rank if isinstance(rank, list) else [rank])]
        return frozenset(target.address for target in every if target.price is None and not self.is_priced)

    @cached_property
    def prices(self) -> Mapping[words.Target, Price]:
        """The price at each target."""
        every = [target for rank in self.targets for target in (rank if isinstance(rank, list) else [rank])]
        return {target.address: target.price or self.price for target in every}


class Agent(Section):
    """A caller with a gateway key."""

    key_sha256: str = Field(default="", pattern=r"^([0-9a-fA-F]{64})?$")
    """SHA-256 of the key, in hex."""
    key_file: str = ""
    """A file with the key itself (a mounted secret), in place of key_sha256; created with a new key if missing."""
    team: str = Field(min_length=1)
    """The team whose limits and workflows the agent shares."""
    roles: tuple[str, ...] = ()
    """Roles, for policies and limits."""

    @model_validator(mode="after")
    def _needs_key(self) -> Agent:
        if self.key_sha256 and self.key_file:
            raise ValueError("write key_sha256 or key_file, not both")
        return self


class Jwt(Section):
    """Callers with a signed token (RFC 7519); the issuer publishes its keys as JWKS (RFC 7517)."""

    jwks_url: HttpUrl
    """URL at which the issuer publishes its keys."""
    issuer: str = Field(min_length=1)
    """Required value of `iss`."""
    audience: str = Field(min_length=1)
    """Required value of `aud`, or one of its values."""
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...] = Field(
        default=("RS256", "ES256"), min_length=1
    )
    """Accepted signature algorithms; the type of the key must match."""
    agent_claim: str = "sub"
    """The claim that names the agent; a dotted path (`act.sub`) reaches into objects."""
    team_claim: str = "team"
    """The claim that names the team."""
    roles_claim: str = "roles"
    """The claim with the roles: a list, or a string of words separated by spaces."""
    leeway: Seconds = 30
    """Seconds of clock skew allowed for `exp`, `nbf` and `iat`."""
    refresh: Seconds = 300
    """Seconds after which the issuer's keys are fetched again."""


class Match(Section):
    """The calls that a limit counts: shell patterns; a field that is left out matches all."""

    agent: str = "*"
    """Pattern of the agent's name."""
    team: str = "*"
    """Pattern of the team's name."""
    model: str = "*"
    """Pattern of the model's name, as callers write it."""
    provider: str = "*"
    """Pattern of the provider's name."""
    tool: str = "*"
    """Pattern of the tool's name; any pattern other than `*` matches tool calls only."""
    role: str = "*"
    """Pattern that one of the caller's roles must match."""
    stream: bool | None = None
    """true: streamed calls only; false: calls with a whole answer only."""


class Limit(Section):
    """A rate limit, with a token bucket for each agent, team, model and so on. Every limit that matches applies."""

    per: Per
    """One bucket for each agent, team, model, provider, tool or role, or for each value of `claims.NAME` (a claim of
    the caller's token) or `attributes.NAME` (assigned by the policy)."""
    match: Match = Match()
    """The calls that the limit counts."""
    requests: Rated | None = None
    """Rate of calls, such as 60/min."""
    tokens: Rated | None = None
    """Rate of tokens in and out, such as 200k/min."""
    burst: Count | None = None
    """Capacity of the bucket; default: the number of the rate."""

    @model_validator(mode="after")
    def _one_unit(self) -> Limit:
        if (self.requests is None) == (self.tokens is None):
            raise ValueError("a limit counts either requests or tokens: write exactly one of them")
        if self.burst == 0:
            raise ValueError("a burst of 0 would refuse every call")
        return self


class Quotas(Section):
    """What one workflow may use over all its calls. None: not limited."""

    tokens: Count | None = None
    """Tokens in and out."""
    cost_usd: float | None = Field(default=None, ge=0)
    """USD, at the configured prices."""
    calls: Count | None = None
    """Calls to models and tools."""
    hops: Count | None = None
    """Depth of the agent-to-agent chain."""
    repeats: Count | None = None
    """Calls of the same tool with the same arguments by the same agent."""
    seconds: Seconds | None = None
    """Seconds from its first call, or from the last resume, after which a workflow freezes."""
    idle: Seconds | None = None
    """Seconds without a call after which a workflow expires and accepts no more calls; shorter than `ttl`."""
    ttl: Seconds = 86400
    """Seconds that the record of a workflow is kept after its last call: usage, labels, placeholders."""
    wait: Seconds = 0
    """Seconds that a call may wait until calls in flight return quota."""
    strict: bool = False
    """Accept only calls with the signed token of a workflow that was opened by command or admin API."""

    @model_validator(mode="after")
    def _kept_longer_than_idle(self) -> Quotas:
        if self.idle is not None and self.idle >= self.ttl:
            raise ValueError("idle must be shorter than ttl: a workflow whose record is deleted cannot expire")
        return self


class Server(Section):
    """The HTTP server: its address, and its bounds for slow, large or greedy clients."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 chooses a free port."""
    public_url: HttpUrl = ""
    """URL of the gateway as callers see it, such as https://gateway.example.com, without a path. With `jwt`, clients of
    MCP find the issuer by it, and tokens for `{public_url}/mcp/{server}` are accepted there. Pages of the gateway
    itself may call `/mcp`."""
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
    """Calls in flight at once; more are refused as `overloaded`."""
    max_buffered: Count = 512_000_000
    """Bytes held at once: decompressed requests, whole answers, and the text of streams until they end. A call that
    needs more is refused as `overloaded`."""
    team_share: float = Field(default=0.75, gt=0, le=1)
    """Share of `max_calls` and `max_buffered` that one team may take."""
    address_share: float = Field(default=0.5, gt=0, le=1)
    """Share of `max_calls`, `max_buffered` and `max_connections` that one client address may take; 1 behind a proxy."""
    write_timeout: Seconds = 60
    """Seconds in which a client must read pending data, plus one second for every 64 kB."""
    max_wrong_keys: Count = 60
    """Calls a minute that one address may make without a valid key; more are refused as `rate_limited`."""
    scan_budget: Seconds = Field(default=5, gt=0)
    """Seconds of CPU time for scanning one call, plus one second for every megabyte. A request that needs more is
    refused as `request_too_large`, an answer as `output_blocked`."""
    max_messages: Count = 20_000
    """Messages in one request."""
    max_parts: Count = 50_000
    """Content parts of all messages of a request or an answer."""
    max_tools: Count = 2_000
    """Tools that one request offers."""
    max_tool_calls: Count = 1_000
    """Tool calls in one message."""
    max_keys: Count = 20_000
    """Keys of one JSON object."""
    max_values: Count = 1_000_000
    """JSON values in one body."""
    drain: Seconds = 30
    """Seconds that calls in flight have to end when the gateway stops."""
    websockets: bool = False
    """Whether `/v1/realtime`, and `/v1/responses` over WebSocket, are served. Needs the extra `websockets`, and takes
    effect with the next start. Otherwise an upgrade gets 426."""
    cors: tuple[Origin, ...] = ()
    """Origins whose pages may call `/v1/`, `/v1beta/` and `/mcp` from a browser, such as https://app.example.com; `*`
    for all origins. A request to `/mcp` with another `Origin` gets 403, except for that of the gateway on the
    same machine (`http://localhost:8080`)."""

    @field_validator("public_url")
    @classmethod
    def _has_no_path(cls, url: str) -> str:
        if not re.fullmatch(r"https?://[^/?#@]+/?", url):
            raise ValueError("is written like https://gateway.example.com, without user, path or query")
        return url.rstrip("/")

    @field_validator("websockets")
    @classmethod
    def _has_websockets(cls, wanted: bool) -> bool:
        if wanted and find_spec("websockets") is None:
            raise ValueError("needs the library: .venv/bin/pip install -e '.[websockets]'")
        return wanted

    @cached_property
    def caps(self) -> Caps:
        """The bounds for the number of things in a body."""
        return Caps(
            self.max_messages, self.max_parts, self.max_tools, self.max_tool_calls, self.max_keys, self.max_values
        )


class State(Section):
    """The state store: counters, workflows, keys and the vault. Written as a URL alone, or as a section."""

    url: str = "sqlite:///var/meshgate.db"
    """sqlite:///relative/path, sqlite:////absolute/path, redis://, rediss://, redis+cluster:// or rediss+cluster://."""
    ca_file: str = ""
    """Certificates (PEM) of the authority that signed the server's certificate; default: those of the system."""
    replicas_ack: Count = 0
    """Replicas of Redis that must confirm a write before it counts, so that a failover loses nothing."""
    on_error: Literal["closed", "local"] = "closed"
    """If Redis is unreachable: closed refuses calls (`state_unavailable`), local has each gateway enforce its share."""
    replicas: int = Field(default=1, ge=1)
    """Gateway processes (each worker counts) that share the limits with on_error: local."""

    @model_validator(mode="after")
    def _is_an_address(self) -> State:
        try:
            shared = address.parse(self.url) is not None
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("state: ")) from None
        if not shared and (self.ca_file or self.replicas_ack or self.on_error != "closed"):
            raise ValueError("ca_file, replicas_ack and on_error apply to Redis only; SQLite is part of the gateway")
        return self


def _stated(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class Admin(Section):
    """The keys of the admin API, which cannot make calls. Without this section, the admin API is off."""

    key_file: str = ""
    """A file with the key itself (a mounted secret); created with a new key if missing."""
    key_sha256: tuple[Digest, ...] = ()
    """SHA-256 of further keys, in hex."""

    @model_validator(mode="after")
    def _needs_key(self) -> Admin:
        if not self.key_file and not self.key_sha256:
            raise ValueError("needs a key: write key_file or key_sha256")
        return self


Problem = tuple[tuple[str | int, ...], str]


class Config(Section):
    """The whole file."""

    providers: dict[str, Provider]
    """Upstream accounts, by a name of your choice (without a slash)."""
    models: dict[str, Model]
    """Models, by the name that callers use."""
    routing: Routing = Routing()
    """What happens when targets fail."""
    prices: Literal["known", "strict", "off"] = "known"
    """Prices of models without a `price`, at providers of a kind. known: those of the table gateway/config/prices.yaml,
    other calls count as unpriced; strict: an unknown price is a mistake; off: the table is not used."""
    tools: dict[str, Tool] = Field(default_factory=dict)
    """MCP servers and HTTP tools, by name."""
    a2a: dict[str, RemoteAgent] = Field(default_factory=dict)
    """Other agents that callers may send messages to (A2A), by name."""
    cards: Cards | None = None
    """The signature of the agent cards that the gateway serves; null: they have none."""
    agents: dict[str, Agent] = Field(default_factory=dict)
    """Callers with a gateway key, by name."""
    jwt: Jwt | None = None
    """Callers with a signed token (JWT)."""
    limits: tuple[Limit, ...] = ()
    """Rate limits (token buckets)."""
    quotas: Quotas = Quotas()
    """What one workflow may use over all its calls."""
    loops: Loops = Loops()
    """Detection of loops."""
    idempotency: Idempotency | None = Idempotency()
    """Answers kept for repeated calls; null: the header `Idempotency-Key` is ignored."""
    stored: Stored | None = Stored()
    """The owners of responses that providers store; null: requests cannot refer to stored responses."""
    delegations: Delegations | None = Delegations()
    """Tokens for sub-agents (`POST /v1/delegations`); null: there are none, and those made before are refused."""
    policy: Policy | None = Policy()
    """The policy; null: every call is allowed."""
    pii: Pii | None = Pii()
    """Personal data and secrets in requests; null: requests are not scanned."""
    output: Output | None = Output()
    """Checks of answers; null: answers are not scanned."""
    state: Annotated[State, BeforeValidator(_stated, json_schema_input_type=str | State)] = State()
    """The state store: a URL (sqlite:///relative/path, sqlite:////absolute/path, redis://...), or a section."""
    events: Literal["none"] = "none"
    """Destination of events; not available in this version."""
    server: Server = Server()
    """The HTTP server: its address, and its bounds for clients."""
    admin: Admin | None = None
    """The admin API under /admin/api; off by default."""
    audit: Audit = Audit()
    """The decision log."""
    log: Literal["json", "off"] = "json"
    """json: one line for each call on standard output; off: no log lines."""

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        problems = [*self._references(), *self._users(), *self._identities(), *self._shared_secrets()]
        if problems:
            words = "; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in problems)
            raise PydanticCustomError("does_not_fit", "{words}", {"words": words, "problems": problems})
        return self

    def having(self, tools: Mapping[str, Tool]) -> Config:
        """The configuration with further rows of `tools`. Raises ConfigError if they do not fit to it."""
        made = self.model_copy(update={"tools": {**self.tools, **tools}})
        if problems := [*made._references(), *made._users()]:
            raise ConfigError("; ".join(f"{'.'.join(map(str, path))} {text}" for path, text in problems))
        return made

    def _references(self) -> Iterator[Problem]:
        known = ", ".join(self.providers) or "none"
        for name in self.providers:
            if "/" in name:
                words = "the name of a provider must not contain a slash, because targets are written provider/model"
                yield ("providers", name), words
        for name in self.tools:
            if not NAME.fullmatch(name):
                words = "the name of a tool has up to 63 letters, digits, `-` and single `_`, as it is part of paths"
                yield ("tools", name), words
            for other in self.tools:
                if name.startswith(f"{other}_"):
                    words = f"begins with the name of tools.{other}: names such as {other}_TOOL could mean both"
                    yield ("tools", name), words
        for name in self.a2a:
            if not NAME.fullmatch(name):
                words = "the name of an agent has up to 63 letters, digits, `-` and single `_`, as it is part of paths"
                yield ("a2a", name), words
        for name, model in self.models.items():
            if name.count("*") > 1:
                yield (
                    ("models", name),
                    "has more than one `*`; a pattern may have one",
                )
            for i, rank in enumerate(model.targets):
                for target in rank if isinstance(rank, list) else [rank]:
                    if "*" in target.target and "*" not in name:
                        yield ("models", name, "targets", i), "has a `*`, but the name of the model does not"
                    provider = target.address.provider
                    if provider not in self.providers:
                        path = ("models", name, "targets", i)
                        yield path, f"there is no provider {provider!r}; providers: {known}"

    def _users(self) -> Iterator[Problem]:
        """Users come back from the authorization server to the gateway, and their tokens are encrypted."""
        for name, tool in self.tools.items():
            if tool.auth is not None and tool.auth.type == "user":
                if not self.server.public_url:
                    yield ("tools", name, "auth"), "needs server.public_url: users come back to that URL"
                if self.pii is None and not self.state.url.startswith("sqlite:"):
                    yield ("tools", name, "auth"), "needs pii.vault_key: the tokens of users are encrypted"

    def _identities(self) -> Iterator[Problem]:
        owner: dict[str, str] = {}
        for name, agent in self.agents.items():
            first = owner.setdefault(agent.key_sha256.lower() or f"file {agent.key_file or name}", name)
            if first != name:
                yield ("agents", name), f"has the same key as agents.{first}: a key belongs to one agent"
        if self.admin is not None:
            for key in (*self.admin.key_sha256, f"file {self.admin.key_file}"):
                if key in owner:
                    yield ("admin",), f"has the key of agents.{owner[key]}: an admin key cannot make calls"

    def _shared_secrets(self) -> Iterator[Problem]:
        """Gateways that share their state must encrypt with the same key, which only the configuration can provide."""
        if self.pii is not None and not self.pii.vault_key and not self.state.url.startswith("sqlite:"):
            yield (
                ("pii", "vault_key"),
                "is required with shared state: all gateways must encrypt with the same key. Create one with "
                "`openssl rand -base64 32` and pass it as ${MESHGATE_VAULT_KEY}",
            )


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors and for `meshgate check --schema`."""
    found = Config.model_json_schema()
    provider = found["$defs"]["Provider"]
    del provider["required"]  # a kind has a format
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "Meshgate"}
