"""The grammar of the configuration: frozen typed classes, one for each section of `gateway.yaml`.

The classes are the schema (`meshgate check --schema`) and the reference: the docstring of each field gives its meaning,
its unit and its default. `load.py` reads a file (environment, line numbers, suggestions, reload); `scalars.py` defines
how single values are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.a2a import Cards, RemoteAgent
from gateway.config.accounts import Provider
from gateway.config.limits import Limit, Quotas
from gateway.config.models import Model
from gateway.config.routing import Routing
from gateway.config.scalars import Count, Digest, HttpUrl, Origin, Seconds
from gateway.config.sections import Audit, Delegations, Idempotency, Loops, Output, Pii, Policy, Section, Stored
from gateway.config.tools import NAME, Tool
from gateway.dialects.items import Caps
from gateway.errors import ConfigError
from gateway.stores import address


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
