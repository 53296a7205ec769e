"""Upstream accounts: the section `providers` of the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.config.providers import CLOUDS, ROWS, Auth, Ceiling, Kind, Role, Row
from gateway.config.scalars import Header, HttpUrl, Seconds, Secret
from gateway.config.sections import Section
from gateway.dialects import Codec, Profile
from gateway.dialects.openai_ceilings import CEILINGS

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
    headers: dict[Header, Secret] = Field(default_factory=dict, repr=False)
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
