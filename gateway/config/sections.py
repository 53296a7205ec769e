"""The base class of all sections of the configuration, and the sections that do not refer to others.

`grammar.py` has the file as a whole; `accounts.py`, `models.py` and `limits.py` have the largest sections.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.config.scalars import Count, Header, HostPattern, HttpUrl, Seconds, Secret, VaultKey

Named = Literal["PERSON", "LOCATION", "ORGANIZATION", "NRP"]
Action = Literal["mask", "redact", "hash", "partial", "block", "allow"]


class Section(BaseModel):
    """A part of the file: immutable, and no unknown keys."""

    # The input may be a secret in the wrong place, so no error message repeats the input.
    model_config = ConfigDict(
        defer_build=True,  # a section is compiled as part of the whole file, once
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The fields for `repr`: of a URL that may hold credentials, only the scheme."""
        for name, value in super().__repr_args__():
            hides = isinstance(value, str) and "://" in value and ("@" in value or "?" in value)
            yield name, f"{value.partition('://')[0]}://..." if hides else value


def hidden(section: type[BaseModel], above: frozenset[type[BaseModel]] = frozenset()) -> Iterator[str]:
    """The names of the secret fields (`repr=False`) of a section and of the sections below.

    `above` are the sections around this one: a section may contain another of the same class.
    """
    for name, field in section.model_fields.items():
        if not field.repr:
            yield name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section) and inner not in above:
                yield from hidden(inner, above | {section})


class Loops(Section):
    """Detection of loops within one workflow. None: off."""

    prompts: int | None = Field(default=None, ge=1)
    """Times that one agent may send the same prompt (the last user message)."""
    turns: int | None = Field(default=None, ge=1)
    """Turns of the model without a new tool result while tools are offered."""
    cycles: int | None = Field(default=None, ge=1, le=30)
    """Times that agents may hand over to each other in the same cycle (A -> B -> A is one)."""


class Idempotency(Section):
    """Answers kept for calls with an `Idempotency-Key`."""

    ttl: Seconds = 86400
    """Seconds that an answer is kept."""
    max_answer: Count = 1_048_576
    """Maximum size of a kept answer in bytes; of a larger answer, only its existence is recorded."""
    lease: Seconds = Field(default=30, ge=5)
    """Seconds after which a key is released if its gateway died in the middle of the call (shared state)."""


class Delegations(Section):
    """Tokens that agents get for their sub-agents."""

    ttl: Seconds = Field(default=3600, gt=0)
    """Seconds that a token is valid at most; also the default."""
    most: Count = Field(default=1000, ge=1)
    """Tokens that the agents of one workflow may get."""


class Stored(Section):
    """The owners of what providers store: the team of each stored response."""

    ttl: Seconds = 30 * 86400
    """Seconds that the owner of a stored response is kept. After that, nobody can refer to the response."""
    shared: tuple[str, ...] = ()
    """Ids that every team may name in its requests, of files, containers, vector stores, prompts and voices that were
    made elsewhere; `*` stands for any characters, as in `gs://public-reports/*`."""
    retrieve: Seconds = Field(default=30, gt=0)
    """Seconds until the gateway itself asks for the end of an answer in the background that nobody has retrieved; then
    doubled with each time, up to 20 times as long."""
    background: Seconds = Field(default=2 * 86400, gt=0)
    """Seconds that the reservation of an answer in the background is held at most. After that, its estimate is
    charged."""


class GitSource(Section):
    """A git repository with the bundle, fetched by the git command."""

    url: str = Field(min_length=1, pattern=r"^[^-]", repr=False)
    """URL of the repository: https://, ssh://, git@host:path, or a directory."""
    ref: str = Field(default="main", pattern=r"^[^-:\s^~?*\[\\]+$")
    """A branch, a tag, or the full id of a commit, which pins the bundle to that commit."""
    path: str = Field(default="", pattern=r"^[^/-][^:]*$|^$")
    """Directory in the repository that is the root of the bundle."""
    interval: Seconds = Field(default=30, gt=0)
    """Seconds between two fetches."""
    timeout: Seconds = Field(default=60, gt=0)
    """Timeout of one git command in seconds."""
    allowed_signers: str = ""
    """A file in the format of ssh's ALLOWED SIGNERS: accept only commits that one of them signed with an ssh key."""
    keyring: str = ""
    """A GnuPG home directory: accept only commits that one of its keys signed."""

    @property
    def signed(self) -> bool:
        """Whether commits must be signed."""
        return bool(self.allowed_signers or self.keyring)


class BundleKey(Section):
    """A key that verifies the signatures of bundles."""

    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "HS256", "HS512"] = "RS256"
    """Signature algorithm."""
    key: str = Field(default="", repr=False)
    """The public key (PEM), or the shared secret for HS256 and HS512."""
    key_file: str = ""
    """A file with the key, in place of `key`."""

    @model_validator(mode="after")
    def _one_key(self) -> BundleKey:
        if bool(self.key) == bool(self.key_file):
            raise ValueError("write either key or key_file")
        return self


class ServerSource(Section):
    """A server of OPA bundles."""

    url: HttpUrl
    """URL of the bundle, such as https://bundles.example.com/gateway.tar.gz."""
    token: Secret = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""
    headers: dict[Header, Secret] = Field(default_factory=dict, repr=False)
    """Further headers."""
    interval: Seconds = Field(default=30, gt=0)
    """Seconds between two fetches."""
    long_poll: Seconds = 60
    """Seconds that a server with long polling may hold a request until the bundle changes; 0: no long polling."""
    timeout: Seconds = Field(default=30, gt=0)
    """Timeout of one request in seconds, in addition to `long_poll`."""
    keys: dict[str, BundleKey] = Field(default_factory=dict)
    """Keys by their id. If there are any, accept only bundles that one of them signed."""
    scope: str = ""
    """Scope that the signature must have."""


class Candidate(Section):
    """A bundle that evaluates the same calls as the live bundle, in a separate process and without effect."""

    path: str = ""
    """Root directory of the bundle."""
    git: GitSource | None = None
    """A git repository with the bundle."""
    server: ServerSource | None = None
    """A server of OPA bundles, in place of `path`."""
    cache: str = "var/policies"
    """Directory where bundles from `git` and `server` are kept."""
    timeout: Seconds = 1
    """Timeout of a decision in seconds."""

    @model_validator(mode="after")
    def _one_source(self) -> Candidate:
        if sum((bool(self.path), self.git is not None, self.server is not None)) != 1:
            raise ValueError("a candidate has one source: write path, git or server")
        return self


class Policy(Section):
    """The Rego bundle and its engine."""

    path: str = "policies"
    """Root directory of the bundle: `*.rego`, their tests, and `data.yaml` or `data.json`. For engine: wasm also an
    archive that `opa build -t wasm` wrote."""
    git: GitSource | None = None
    """A git repository with the bundle, in place of `path`."""
    server: ServerSource | None = None
    """A server of OPA bundles, in place of `path`."""
    cache: str = "var/policies"
    """Directory where bundles from `git` and `server` are kept, so that the gateway can start without a network."""
    engine: Literal["embedded", "wasm", "opa"] = "embedded"
    """`embedded` evaluates the sources in-process, `wasm` evaluates what OPA compiles from them, `opa` queries an OPA
    server with the same bundle."""
    url: HttpUrl = "http://127.0.0.1:8181"
    """URL of the OPA server, for engine: opa."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """`shadow` records what would have been denied and lets every call continue."""
    timeout: Seconds = 1
    """Timeout of a decision in seconds; a call without a decision is denied as `policy_unavailable`."""
    strict: bool = False
    """Refuse a bundle with unused imports, arguments or variables, as `opa check --strict` does; for engine:
    embedded."""
    candidate: Candidate | None = None
    """A bundle on trial: calls that it would decide differently are counted and recorded."""
    content: bool = True
    """Scan requests for instructions and hosts, for `content.injection` and `content.urls` of the policy input."""

    @model_validator(mode="after")
    def _one_source(self) -> Policy:
        if self.git is not None and self.server is not None:
            raise ValueError("write git or server, not both: a bundle has one source")
        if self.engine == "opa" and (self.git or self.server):
            raise ValueError("engine: opa fetches its own bundle; git and server are for engines in this process")
        if self.strict and self.engine != "embedded":
            raise ValueError("strict is for engine: embedded; for other engines run `opa check --strict` on the bundle")
        return self


class Ner(Section):
    """Names, places and organizations in requests, found by separate processes."""

    model: str = Field(default="", pattern=r"^\w*$")
    """An installed spaCy package, such as en_core_web_sm; default: cues and lists of names only, without a model."""
    entities: tuple[Named, ...] = Field(default=("PERSON", "LOCATION", "ORGANIZATION", "NRP"), min_length=1)
    """Entity types to find. NRP: nationality, religion, political group."""
    workers: int = Field(default=1, ge=1, le=64)
    """Number of processes. Each loads the model and reads one text at a time."""
    deadline: float = Field(default=2, gt=0)
    """Seconds for the new text of a call."""
    on_deadline: Literal["block", "allow"] = "block"
    """What happens to a call whose text could not be read in time, or whose worker died. allow: the call continues with
    the findings of patterns."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Minimum score of a finding. Findings of a model have 0.85."""


class PiiMatch(Section):
    """The calls that a rule applies to: shell patterns; a field that is left out matches all."""

    agent: str = "*"
    """Pattern of the agent's name."""
    team: str = "*"
    """Pattern of the team's name."""
    role: str = "*"
    """Pattern that one of the caller's roles must match."""
    model: str = "*"
    """Pattern of the model's name, as the caller or, if a policy routes the call, the policy writes it."""
    provider: str = "*"
    """Pattern of the provider's name."""


class PiiRule(Section):
    """Actions for some callers or providers, in place of the general ones."""

    match: PiiMatch = PiiMatch()
    """The calls that the rule applies to."""
    default: Action | None = None
    """Action for types that the rule does not name; default: the action of `pii` itself."""
    entities: dict[str, Action] = Field(default_factory=dict)
    """Action for each entity type."""


class RestoreTools(Section):
    """The tools whose calls get restored values: shell patterns of their names."""

    allow: tuple[str, ...] = ("*",)
    """Tools that get the values."""
    deny: tuple[str, ...] = ()
    """Tools that get the placeholders, even if `allow` matches them."""


class Pii(Section):
    """Personal data in requests."""

    default: Action = "mask"
    """Action for findings. mask: a placeholder, restored in the answer; hash: the type and a digest; partial: the last
    characters; redact: the type; block: refuse the call; allow: no change."""
    entities: dict[str, Action] = Field(default_factory=dict)
    """Action for each entity type, if different from the default."""
    rules: tuple[PiiRule, ...] = ()
    """Actions by caller, model or provider; the first rule that matches decides. If a call may go to several providers,
    the strictest of their actions applies for each type."""
    secrets: Literal["mask", "redact", "block", "allow"] = "mask"
    """Action for keys, tokens and passwords, independent of the default; rules and policies may name their types."""
    restore: bool = True
    """Restore masked values in the answer."""
    restore_tools: RestoreTools = RestoreTools()
    """The tools whose arguments get restored values."""
    unscannable: Literal["allow", "block"] = "block"
    """Images, audio, files, compressed and encrypted data, whose content cannot be scanned."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Minimum score of a finding."""
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Minimum score for an entity type: with `PHONE: 0.7`, a number needs a country code or a word such as "phone"
    beside it."""
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
    """Countries that phone numbers without a country code may be from (ISO 3166)."""
    countries: tuple[str, ...] | None = None
    """Countries whose national ids, tax and license numbers are found (ISO 3166); null: all supported countries."""
    recognizers: str = ""
    """A YAML file with custom recognizers, in Presidio's format; reloaded when it changes."""
    allow: tuple[str, ...] = ()
    """Values that are never flagged, regardless of case, nor are findings inside them. An entry between slashes, such
    as `/EMP-0+/`, is a pattern that must match the whole value."""
    vault_key: VaultKey = Field(default="", repr=False)
    """32 bytes in base64 that encrypt the vault; with SQLite, the default is a key file beside the database, created at
    the first start."""
    ttl: Seconds | None = None
    """Has no effect: the vault keeps a value as long as the record of its workflow (`quotas.ttl`)."""
    ner: Ner | None = None
    """Names, places and organizations, found by separate processes; off by default."""


SqlKind = Literal[
    "select", "insert", "update", "delete", "merge", "ddl", "grant", "call", "file", "set", "show", "transaction",
    "fragment", "other",
]  # fmt: skip
SqlDialect = Literal[
    "athena", "bigquery", "clickhouse", "databricks", "doris", "drill", "druid", "duckdb", "dune", "exasol",
    "fabric", "hive", "materialize", "mysql", "oracle", "postgres", "presto", "redshift", "risingwave",
    "singlestore", "snowflake", "spark", "sqlite", "starrocks", "tableau", "teradata", "trino", "tsql",
]  # fmt: skip


class Sql(Section):
    """SQL in the arguments of tool calls and in the texts of answers. A list alone is `allow`."""

    allow: tuple[SqlKind, ...] = ("select",)
    """Kinds of statement that may pass. call: procedures, dynamic SQL, functions that reach outside the database; file:
    statements that read or write files, programs or other databases; fragment: text that breaks out of a value."""
    dialect: SqlDialect | None = None
    """Dialect of the database, by its name in sqlglot; default: seven common dialects are tried, and the worst reading
    counts."""
    deny_tables: tuple[str, ...] = ()
    """Shell patterns of tables that no statement may name: `users`, `hr.*`."""
    deny_columns: tuple[str, ...] = ()
    """Shell patterns of columns: `ssn` in any table, `users.ssn` in one; `select *` names all columns of a table."""
    require_where: bool = True
    """Refuse an update or delete without a WHERE, or with a WHERE that is always true."""
    require_limit: int | None = Field(default=None, ge=1)
    """Maximum number of rows; if set, each query of a table needs a LIMIT of at most this number."""
    max_chars: int = Field(default=4096, ge=256, le=16384)
    """Maximum length of a statement in characters; also how much of a stream is held back. A longer statement is
    refused."""


def _allowed(value: object) -> object:
    return {"allow": value} if isinstance(value, list | tuple) else value


class Output(Section):
    """Checks of answers."""

    secrets: Literal["block", "redact", "allow"] = "block"
    """Keys, tokens and passwords in the answer."""
    pii: Literal["block", "redact", "allow"] = "redact"
    """Personal data that the caller did not send."""
    unscannable: Literal["block", "allow"] = "block"
    """Images, audio and files in the answer, whose content cannot be scanned."""
    window: int = Field(default=256, ge=64, le=4096)
    """Maximum number of characters of a stream that are held back until they are checked."""
    sql: Annotated[Sql | None, BeforeValidator(_allowed, json_schema_input_type=Sql | list[SqlKind] | None)] = None
    """SQL that an answer may contain: a list of kinds, such as [select], or a section; null: SQL is not checked."""
    tools: Literal["offered", "any"] = "offered"
    """Tools that the answer may call: those that the request offers, or any. With `offered`, others are refused as
    `tool_not_offered`."""
    exfiltration_urls: Literal["block", "allow"] = "block"
    """Links and images whose URL carries data out."""
    allowed_hosts: tuple[HostPattern, ...] = ()
    """Hosts that links and images may carry data to: names, or `*.example.com` for all hosts below."""
    invisible: Literal["remove", "block", "allow"] = "remove"
    """Invisible characters and characters that change the order of others, where no script needs them."""
    explain: bool = False
    """Put the reason for a blocked answer into its text, for clients that show neither errors nor `refusal`."""


class Upload(Section):
    """A collector of decisions, in OPA's decision-log format: a JSON array, gzipped, by POST."""

    url: HttpUrl
    """URL of the collector, such as https://logs.example.com/logs (`/logs` is the path of OPA's decision-log API)."""
    token: Secret = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""
    headers: dict[Header, Secret] = Field(default_factory=dict, repr=False)
    """Further headers."""
    batch: Count = Field(default=500, ge=1, le=10_000)
    """Maximum number of decisions in one request."""
    interval: Seconds = Field(default=5, gt=0)
    """Seconds between two requests if there is less than a full batch."""
    timeout: Seconds = Field(default=30, gt=0)
    """Timeout of one request in seconds."""


# Claims of OpenID Connect Core 5.1 about a person. `sub` is not among them: it identifies the caller.
_ABOUT_PEOPLE = (
    "name given_name family_name middle_name nickname preferred_username profile picture website email gender "
    "birthdate zoneinfo locale phone_number address"
)
Pointer = Annotated[str, Field(pattern=r"^/input(/([^~/]|~[01])+)+$")]


class Audit(Section):
    """The decision log: where and how long decisions are kept, and where they are sent."""

    path: str = ""
    """An SQLite file; default: the state database if that is SQLite, else var/audit.db."""
    retain: Seconds = 30 * 86400
    """Seconds that decisions are kept."""
    max_records: int | None = Field(default=None, ge=1)
    """Maximum number of decisions; the oldest are deleted first. None: no maximum within `retain`."""
    erase: tuple[Pointer, ...] = tuple(f"/input/subject/claims/{name}" for name in _ABOUT_PEOPLE.split())
    """JSON pointers to the parts of a policy's input that are not kept; default: the claims about a person."""
    upload: Upload | None = None
    """A collector that decisions are also sent to; decisions that were not sent yet are kept regardless of age."""
