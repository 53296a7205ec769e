"""What every section of the configuration is, and those sections that refer to no other: see `config.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.config.scalars import Count, HostPattern, HttpUrl, Seconds, Secret, VaultKey

Named = Literal["PERSON", "LOCATION", "ORGANIZATION", "NRP"]
Action = Literal["mask", "redact", "hash", "partial", "block", "allow"]


class Section(BaseModel):
    """A part of the file: immutable, and no unknown keys."""

    # The input may be a secret that landed in the wrong place: no error message repeats it.
    model_config = ConfigDict(
        defer_build=True,  # a section is compiled as part of the whole file, once
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What a repr shows: of a URL no more than its scheme where it may hold credentials."""
        for name, value in super().__repr_args__():
            told = isinstance(value, str) and "://" in value and ("@" in value or "?" in value)
            yield name, f"{value.partition('://')[0]}://..." if told else value


def hidden(section: type[BaseModel], above: frozenset[type[BaseModel]] = frozenset()) -> Iterator[str]:
    """The names of the fields, here and in the sections below, whose values nobody may see.

    `above` are the sections around this one: a section may hold another of its own kind.
    """
    for name, field in section.model_fields.items():
        if not field.repr:
            yield name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section) and inner not in above:
                yield from hidden(inner, above | {section})


class Loops(Section):
    """Work that goes round in circles, within one correlation id. None: not looked for."""

    prompts: int | None = Field(default=None, ge=1)
    """How often one agent may send the same prompt (the last user message)."""
    turns: int | None = Field(default=None, ge=1)
    """Turns that the model may take without a new tool result while tools are offered."""
    cycles: int | None = Field(default=None, ge=1, le=30)
    """How often agents may hand over to each other in the same cycle (A -> B -> A is once)."""


class Idempotency(Section):
    """Answers kept for calls with an `Idempotency-Key`."""

    ttl: Seconds = 86400
    """How long an answer is kept."""
    max_answer: Count = 1_048_576
    """Bytes of an answer that is kept; of a larger one only that it was given."""
    lease: Seconds = Field(default=30, ge=5)
    """Seconds after which a key is free again whose gateway died in the middle of the call (shared state)."""


class GitSource(Section):
    """A git repository that the bundle comes from, by the git command."""

    url: str = Field(min_length=1, pattern=r"^[^-]", repr=False)
    """What git fetches from: https://, ssh://, git@host:path or a folder."""
    ref: str = Field(default="main", pattern=r"^[^-:\s^~?*\[\\]+$")
    """A branch, a tag, or a whole commit, which then is the only one that counts."""
    path: str = Field(default="", pattern=r"^[^/-][^:]*$|^$")
    """The folder in the repository that is the bundle's root."""
    interval: Seconds = Field(default=30, gt=0)
    """Seconds between two looks."""
    timeout: Seconds = Field(default=60, gt=0)
    """Seconds one git command may take."""
    allowed_signers: str = ""
    """A file of ssh's ALLOWED SIGNERS: only commits count that one of them signed with an ssh key."""
    keyring: str = ""
    """Or a GnuPG home directory: only commits count that one of its keys signed."""

    @property
    def signed(self) -> bool:
        """Whether only signed commits count."""
        return bool(self.allowed_signers or self.keyring)


class BundleKey(Section):
    """A key that signatures of bundles are verified with."""

    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "HS256", "HS512"] = "RS256"
    """How it signs."""
    key: str = Field(default="", repr=False)
    """The public key (PEM), or the shared secret of HS256."""
    key_file: str = ""
    """Or a file that holds it."""

    @model_validator(mode="after")
    def _one_key(self) -> BundleKey:
        if bool(self.key) == bool(self.key_file):
            raise ValueError("give key or key_file, one of them")
        return self


class ServerSource(Section):
    """A server of OPA bundles that the bundle comes from."""

    url: HttpUrl
    """The bundle's own URL, such as https://bundles.example.com/gateway.tar.gz."""
    token: Secret = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""
    headers: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Further headers."""
    interval: Seconds = Field(default=30, gt=0)
    """Seconds between two looks."""
    long_poll: Seconds = 60
    """Seconds that a server which can may hold a request until there is news; 0: ask again and again."""
    timeout: Seconds = Field(default=30, gt=0)
    """Seconds one request may take, beyond what it is held."""
    keys: dict[str, BundleKey] = Field(default_factory=dict)
    """Keys by their id. With any, only bundles count that one of them signed."""
    scope: str = ""
    """The scope that the signature must name."""


class Candidate(Section):
    """A bundle that judges beside the live one, in a process of its own; nothing that it says takes effect."""

    path: str = ""
    """The root of the bundle."""
    git: GitSource | None = None
    """Or a git repository that it comes from."""
    server: ServerSource | None = None
    """Or a server of OPA bundles."""
    cache: str = "var/policies"
    """Where bundles from `git` and `server` are kept."""
    timeout: Seconds = 1
    """Seconds a decision may take."""

    @model_validator(mode="after")
    def _one_source(self) -> Candidate:
        if sum((bool(self.path), self.git is not None, self.server is not None)) != 1:
            raise ValueError("a candidate comes from one place: give path, git or server")
        return self


class Policy(Section):
    """The Rego bundle and who evaluates it."""

    path: str = "policies"
    """The root of the bundle: a directory with `*.rego`, their tests, and `data.yaml` or `data.json`; for engine: wasm
    also the archive that `opa build -t wasm` writes."""
    git: GitSource | None = None
    """Or a git repository that it comes from, in place of `path`."""
    server: ServerSource | None = None
    """Or a server of OPA bundles."""
    cache: str = "var/policies"
    """Where bundles from `git` and `server` are kept, for starts without a network."""
    engine: Literal["embedded", "wasm", "opa"] = "embedded"
    """`embedded` evaluates the sources in-process, `wasm` what OPA compiles them to, `opa` asks an OPA server that
    serves the same bundle."""
    url: HttpUrl = "http://127.0.0.1:8181"
    """The OPA server, for engine: opa."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """`shadow` records what it would have denied and lets the call go on."""
    timeout: Seconds = 1
    """Seconds a decision may take; then the call is denied as `policy_unavailable`."""
    strict: bool = False
    """Refuse a bundle with unused imports, arguments or variables, as `opa check --strict` does; for engine:
    embedded."""
    candidate: Candidate | None = None
    """A bundle that is tried beside this one: where it would decide otherwise is counted and recorded."""
    content: bool = True
    """Look for instructions and hosts in requests, for `content.injection` and `content.urls` of the input."""

    @model_validator(mode="after")
    def _one_source(self) -> Policy:
        if self.git is not None and self.server is not None:
            raise ValueError("give git or server, not both: a bundle comes from one place")
        if self.engine == "opa" and (self.git or self.server):
            raise ValueError("engine: opa gets its bundle by itself; git and server are for engines in this process")
        if self.strict and self.engine != "embedded":
            raise ValueError("strict is for engine: embedded; for other engines run `opa check --strict` on the bundle")
        return self


class Ner(Section):
    """Names, places and organisations in requests, found by processes beside the line."""

    model: str = Field(default="", pattern=r"^\w*$")
    """An installed spaCy package, such as en_core_web_sm; left out: cues and lists of names alone, without a model."""
    entities: tuple[Named, ...] = Field(default=("PERSON", "LOCATION", "ORGANIZATION", "NRP"), min_length=1)
    """What is looked for. NRP: nationality, religion, political group."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes; each holds the model, and reads one text at a time."""
    deadline: float = Field(default=2, gt=0)
    """Seconds that new text of a call may take."""
    on_deadline: Literal["block", "allow"] = "block"
    """What happens to a call whose text could not be read in time, or whose worker died. allow: it goes on with what
    patterns found."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Findings below this are not acted on. A model's are 0.85."""


class PiiMatch(Section):
    """Which calls a rule is for: shell patterns; a field left out matches all."""

    agent: str = "*"
    """Pattern of the agent's name."""
    team: str = "*"
    """Pattern of the team's name."""
    role: str = "*"
    """Pattern that one of the caller's roles must fit."""
    model: str = "*"
    """Pattern of the model's name, as callers write it or, where a policy routes the call, the policy does."""
    provider: str = "*"
    """Pattern of the provider's name."""


class PiiRule(Section):
    """What some callers may send, or some providers may see, where that differs."""

    match: PiiMatch = PiiMatch()
    """Which calls it is for."""
    default: Action | None = None
    """What to do with types that the rule does not name; left out: what `pii` itself says of them."""
    entities: dict[str, Action] = Field(default_factory=dict)
    """What to do with each entity type."""


class RestoreTools(Section):
    """The tools whose calls may hold values that were masked: shell patterns of their names."""

    allow: tuple[str, ...] = ("*",)
    """Tools that get the values."""
    deny: tuple[str, ...] = ()
    """Tools that get the placeholders, even if `allow` names them."""


class Pii(Section):
    """Personal data in requests."""

    default: Action = "mask"
    """What to do with what is found. mask: a placeholder, restored in the answer; hash: its type and a digest;
    partial: its last characters; redact: its type; block: refuse the call; allow: leave it."""
    entities: dict[str, Action] = Field(default_factory=dict)
    """What to do with each entity type, where it differs from the default."""
    rules: tuple[PiiRule, ...] = ()
    """What differs by caller, model or provider: the first rule that matches decides. Of a call that may go to several
    providers, each type gets the strictest action that one of them has."""
    secrets: Literal["mask", "redact", "block", "allow"] = "mask"
    """What to do with keys, tokens and passwords, whatever the default is; rules and policies may name their types."""
    restore: bool = True
    """Put masked values back into the answer."""
    restore_tools: RestoreTools = RestoreTools()
    """The tools into whose arguments they are put back."""
    unscannable: Literal["allow", "block"] = "block"
    """Images, audio, files, compressed and encrypted data, whose content no scanner here reads."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Findings below this are not acted on."""
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """What findings of an entity type need instead: with `PHONE: 0.7`, a number needs a country code or a word
    that names it."""
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
    countries: tuple[str, ...] | None = None
    """Whose national ids, tax and licence numbers are looked for (ISO 3166); null: those of every country known."""
    recognizers: str = ""
    """A YAML file of recognizers of your own, as Presidio writes them; read again when it changes."""
    allow: tuple[str, ...] = ()
    """Values that are never flagged, whatever their case, nor what is found in them; one between slashes, such as
    `/EMP-0+/`, is a pattern that the whole value matches."""
    vault_key: VaultKey = Field(default="", repr=False)
    """32 bytes in base64 that encrypt the vault; embedded state makes its own key file beside the database."""
    ttl: Seconds | None = None
    """Has no effect any more: the vault keeps a value as long as the record of its workflow (`quotas.ttl`)."""
    ner: Ner | None = None
    """Names, places and organisations, by processes beside the line; left out: not looked for."""


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
    """Kinds of statement that may pass. call: procedures, dynamic SQL, functions that reach out of the database; file:
    what reads or writes files, programs or other databases; fragment: a piece that breaks out of a value."""
    dialect: SqlDialect | None = None
    """The database's own, as sqlglot calls it; left out: seven common ones are tried, and the worst reading counts."""
    deny_tables: tuple[str, ...] = ()
    """Shell patterns of tables that no statement may name: `users`, `hr.*`."""
    deny_columns: tuple[str, ...] = ()
    """Shell patterns of columns: `ssn` in any table, `users.ssn` in one; `select *` names all of a table."""
    require_where: bool = True
    """Refuse an update or delete without a WHERE, or with one that is always true."""
    require_limit: int | None = Field(default=None, ge=1)
    """The most rows a query may ask for; then each query of a table needs a LIMIT."""
    max_chars: int = Field(default=4096, ge=256, le=16384)
    """Characters of a statement, which is also how much of a stream is held; a longer one is refused."""


def _allowed(value: object) -> object:
    return {"allow": value} if isinstance(value, list | tuple) else value


class Output(Section):
    """What an answer may carry."""

    secrets: Literal["block", "redact", "allow"] = "block"
    """Keys, tokens and passwords in the answer."""
    pii: Literal["block", "redact", "allow"] = "redact"
    """Personal data that the caller did not send."""
    unscannable: Literal["block", "allow"] = "block"
    """Images, audio and files in the answer, whose content no scanner here reads."""
    window: int = Field(default=256, ge=64, le=4096)
    """Characters of a stream held back at most until they are judged."""
    sql: Annotated[Sql | None, BeforeValidator(_allowed, json_schema_input_type=Sql | list[SqlKind] | None)] = None
    """SQL that an answer may hold: a list of kinds, such as [select], or a section. null: not looked for."""
    tools: Literal["offered", "any"] = "offered"
    """Tools that the answer may call: those that the request offers, or any. `offered` refuses others as
    `tool_not_offered`."""
    exfiltration_urls: Literal["block", "allow"] = "block"
    """Links and images whose URL carries data out."""
    allowed_hosts: tuple[HostPattern, ...] = ()
    """Hosts that links and images may carry data to: names, or `*.example.com` for all below one."""
    invisible: Literal["remove", "block", "allow"] = "remove"
    """Characters that nobody sees, or that change the order of others, where no script needs them."""
    explain: bool = False
    """Answer in words where an answer is blocked, for clients that show neither errors nor `refusal`."""


class Upload(Section):
    """Where decisions are sent, in OPA's decision-log format: a JSON array, gzipped, by POST."""

    url: HttpUrl
    """Such as https://logs.example.com/logs, which is what OPA's decision-log API is called."""
    token: Secret = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""
    headers: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Further headers."""
    batch: Count = Field(default=500, ge=1, le=10_000)
    """Decisions in one request at most."""
    interval: Seconds = Field(default=5, gt=0)
    """Seconds between two requests when there is less than a batch to send."""
    timeout: Seconds = Field(default=30, gt=0)
    """Seconds one request may take."""


# Claims of OpenID Connect Core 5.1 that are about a person; `sub` is who calls.
_ABOUT_PEOPLE = (
    "name given_name family_name middle_name nickname preferred_username profile picture website email gender "
    "birthdate zoneinfo locale phone_number address"
)
Pointer = Annotated[str, Field(pattern=r"^/input(/([^~/]|~[01])+)+$")]


class Audit(Section):
    """Where decisions are kept, how long, and where they are sent."""

    path: str = ""
    """An SQLite file; the state database itself when state is sqlite and this is empty, else var/audit.db."""
    retain: Seconds = 30 * 86400
    """How long decisions are kept."""
    max_records: int | None = Field(default=None, ge=1)
    """How many decisions are kept at most; the oldest go first. None: as many as come within `retain`."""
    erase: tuple[Pointer, ...] = tuple(f"/input/subject/claims/{name}" for name in _ABOUT_PEOPLE.split())
    """JSON pointers of what is not kept of a policy's input; by default the claims that are about a person."""
    upload: Upload | None = None
    """Where decisions are sent besides; what was not sent yet is kept, however old."""
