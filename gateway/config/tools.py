"""The section `tools`: MCP servers and other tools behind the gateway, one row for each.

A row says where the tool is (exactly one of `mcp`, `http`, `command`), and how calls of it are treated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.scalars import Count, Header, HttpUrl, Seconds, Secret
from gateway.config.sections import Action, Section

NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]|_(?!_)){0,62}")
"""The name of a row: part of paths, and the prefix of names of tools."""
SCOPE: Final = re.compile(r"[!#-\[\]-~]+")
"""A scope of OAuth (RFC 6749, section 3.3)."""
ANY: Final = "/*"
"""The pattern of any path."""


def _by_tool(value: object) -> object:
    """One price for all tools: `0.01` is `{"*": 0.01}`."""
    return value if isinstance(value, Mapping) else {"*": value}


def _priced(value: dict[str, float]) -> dict[str, float]:
    if any(not price >= 0 for price in value.values()):
        raise ValueError("a price is a number of USD from 0")
    return value


Prices = Annotated[
    dict[str, float],
    BeforeValidator(_by_tool, json_schema_input_type=float | dict[str, float]),
    AfterValidator(_priced),
]


def _is_path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("a pattern of paths begins with /")
    return value


HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
PathPattern = Annotated[str, AfterValidator(_is_path)]


def _is_scope(value: str) -> str:
    if not SCOPE.fullmatch(value):
        raise ValueError("a scope has no blanks, quotation marks or backslashes (RFC 6749, section 3.3)")
    return value


Ask = Literal["sampling", "elicitation", "roots"]
Scope = Annotated[str, AfterValidator(_is_scope)]


class ToolAuth(Section):
    """The credential with which the gateway calls a tool. The caller's own key or token never leaves."""

    type: Literal["static", "client_credentials", "token_exchange", "user"] = "static"
    """static: `token`, for all callers; client_credentials: a token of the gateway (RFC 6749, section 4.4);
    token_exchange: a token for each caller, in exchange for the caller's JWT (RFC 8693); user: a token for each caller,
    which a user gives by agreeing in a browser (needs `server.public_url`)."""
    token: Secret = Field(default="", repr=False)
    """static: sent as `Authorization: Bearer`."""
    issuer: HttpUrl = ""
    """Identifier of the authorization server, whose metadata (RFC 8414) name its endpoints."""
    token_url: HttpUrl = ""
    """URL of its token endpoint, in place of `issuer`."""
    authorization_url: HttpUrl = ""
    """URL of its page for users, beside `token_url`."""
    revocation_url: HttpUrl = ""
    """URL of its revocation endpoint (RFC 7009), beside `token_url`."""
    client_id: str = ""
    """The gateway's name at the authorization server."""
    client_secret: Secret = Field(default="", repr=False)
    """The gateway's secret there."""
    client_auth: Literal["basic", "post"] = "basic"
    """How the secret is sent: as `Authorization: Basic`, or in the form."""
    scopes: tuple[Scope, ...] = ()
    """Scopes of the tokens that the gateway asks for."""
    audience: str = ""
    """Audience of these tokens, for authorization servers that want one."""
    resource: HttpUrl = ""
    """Resource of these tokens (RFC 8707). Default: the URL of the tool."""

    @model_validator(mode="after")
    def _is_complete(self) -> ToolAuth:
        dynamic = set(type(self).model_fields) - {"type", "token"}
        if self.type == "static":
            if beside := sorted(dynamic & self.model_fields_set):
                words = ", ".join(beside)
                raise PydanticCustomError("beside", "has {said}, but is of type static", {"said": words})
            return self
        if self.token:
            raise PydanticCustomError("beside", "has a token, but is of type {type}", {"type": self.type})
        if bool(self.issuer) == bool(self.token_url):
            raise PydanticCustomError("one_server", "needs the authorization server: exactly one of issuer, token_url")
        if self.type == "user" and self.token_url and not self.authorization_url:
            raise PydanticCustomError("no_page", "needs the page for users: authorization_url, or issuer")
        if not self.client_id:
            raise PydanticCustomError("no_client", "needs a client_id")
        return self


class ToolRedact(Section):
    """The actions on personal data in the arguments of a tool, as in `pii`."""

    default: Action = "mask"
    """The action for types without an entry."""
    entities: dict[str, Action] = Field(default_factory=dict)
    """Type -> action."""


class Tool(Section):
    """An MCP server, or another tool."""

    mcp: HttpUrl = ""
    """URL of an MCP server (Streamable HTTP)."""
    http: HttpUrl = ""
    """Base URL of a plain HTTP tool, served at `/tools/{name}/...`."""
    methods: tuple[HttpMethod, ...] = ("GET",)
    """Methods that calls of an HTTP tool may have."""
    paths: tuple[PathPattern, ...] = (ANY,)
    """Paths below the base URL that calls of an HTTP tool may have; `*` stands for any characters, slashes too."""
    openapi: str = ""
    """Path of an OpenAPI 3 document of an HTTP tool (JSON or YAML): its operations are tools of `/mcp/{name}`, too."""
    operations: tuple[str, ...] = ()
    """Patterns of operations that are tools. Default: those whose method and path are allowed."""
    command: tuple[str, ...] = ()
    """Program and arguments of an MCP server that the gateway runs (stdio)."""
    env: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Environment variables of the program, beside PATH, HOME and LANG."""
    memory: Count | None = Field(default=None, gt=0)
    """Maximum bytes of memory (address space) of the program. Default: no limit."""
    headers: dict[Header, Secret] = Field(default_factory=dict, repr=False)
    """Headers of every request."""
    auth: ToolAuth | None = None
    """The credential of the gateway; null: none."""
    scopes: tuple[Scope, ...] = ()
    """Scopes that the token of a caller needs for an MCP server (claims `scope` or `scp`); a gateway key needs none."""
    timeout: Seconds = Field(default=60, gt=0)
    """Seconds until the answer to a call must be complete."""
    connect_timeout: Seconds = Field(default=5, gt=0)
    """Seconds to connect."""
    asks: tuple[Ask, ...] = ()
    """What an MCP server may ask the client during a call. sampling: texts of the client's model, charged to the
    workflow; elicitation: answers of its user; roots: the folders in which it works. Default: nothing."""
    ask_timeout: Seconds = Field(default=300, gt=0)
    """Seconds that a call may take beyond `timeout` if the server asks during the call."""
    pins: Literal["first_seen", "strict", "off"] = "first_seen"
    """What happens to tools that are new or have changed. first_seen: those of the first list are accepted, later ones
    are hidden until `meshgate tools accept`; strict: all are hidden until accepted; off: none is hidden."""
    price: Prices = Field(default_factory=dict)
    """USD for a call: one number, or a number for each pattern of names; the first pattern that matches counts."""
    redact: ToolRedact | None = None
    """The actions on personal data in arguments. Default: those of `pii`."""
    restore: bool = False
    """Placeholders in arguments are replaced by the values of the workflow, if `redact` allows their type."""
    write: tuple[str, ...] = ()
    """Patterns of tools that write, whatever the server says of them."""
    idempotent: tuple[str, ...] = ()
    """Patterns of tools that may be called again without effect, whatever the server says of them."""
    discovery: Literal["full", "search"] = "full"
    """full: lists have every tool; search: they have `search_tools` and `call_tool` in place of all tools."""
    refresh: Seconds = 30
    """Seconds for which a list of tools is used before the server is asked again."""
    max_answer: Count = Field(default=16_000_000, gt=0)
    """Maximum size of an answer in bytes."""

    @model_validator(mode="after")
    def _is_one(self) -> Tool:
        named = [name for name in ("mcp", "http", "command") if getattr(self, name)]
        if len(named) != 1:
            said = " and ".join(named) or "none"
            raise PydanticCustomError(
                "one_kind", "has {said}; a tool has exactly one of mcp, http, command", {"said": said}
            )
        if not self.http and (beside := {"methods", "paths", "openapi", "operations"} & self.model_fields_set):
            raise PydanticCustomError(
                "http_only", "has {said}, which only HTTP tools have (`http`)", {"said": " and ".join(sorted(beside))}
            )
        return self

    @model_validator(mode="after")
    def _has_somewhere_to_send_it(self) -> Tool:
        if self.command and self.auth is not None:
            raise PydanticCustomError("no_header", "has `auth`, but a program gets its credentials in `env`")
        return self

    @model_validator(mode="after")
    def _can_be_asked(self) -> Tool:
        if self.asks and not (self.mcp or self.command):
            raise PydanticCustomError(
                "no_client", "has `asks`, but only MCP servers can ask clients (`mcp`, `command`)"
            )
        return self

    @model_validator(mode="after")
    def _has_operations(self) -> Tool:
        if self.operations and not self.openapi:
            raise PydanticCustomError("no_document", "has `operations` without `openapi`")
        return self

    @property
    def url(self) -> str:
        """Where the tool is; "" for a program."""
        return self.mcp or self.http

    @property
    def longest(self) -> float:
        """Seconds until the answer to a call must be complete, also if the server asks during the call."""
        return self.timeout + self.ask_timeout if self.asks else self.timeout

    def takes(self, method: str, path: str) -> bool:
        """Whether an HTTP tool takes calls of this method and path."""
        return method in self.methods and any(fnmatchcase(path, pattern) for pattern in self.paths)

    def pattern(self, path: str) -> str:
        """The first pattern of paths that matches."""
        return next((pattern for pattern in self.paths if fnmatchcase(path, pattern)), ANY)

    def usd(self, tool: str) -> float:
        """The price of a call of a tool, by its bare name."""
        return next((price for pattern, price in self.price.items() if fnmatchcase(tool, pattern)), 0.0)
