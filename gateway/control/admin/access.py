"""Access to the admin API, and the common handling of its requests.

Config key: `admin`. A bearer key is compared by its SHA-256, in constant time. Requests are JSON of bounded size; no
cookie is read and no other origin is accepted, so a page cannot act for an operator through the browser. Errors are
problem details (RFC 9457) with a `code`: `unauthenticated`, `invalid_request`, `request_too_large`,
`state_unavailable`. Fails closed: without the section `admin` every path is a 404, and a change that cannot be recorded
is not made.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.call import Json
from gateway.config.grammar import Admin, Config
from gateway.control.workflows import described
from gateway.errors import Refusal
from gateway.identity.keyfiles import read_key_file
from gateway.ids import uuid7
from gateway.stores import Store, StoreUnavailable

if TYPE_CHECKING:
    from gateway.serving.app import Gateway

PREFIX = "/admin/api"
MOST_BODY = 65_536  # bytes
_log = logging.getLogger("meshgate")

Body = TypeVar("Body", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]


class AdminKeys:
    """The keys of the admin API. Reads the key file, and creates a missing file."""

    def __init__(self, settings: Admin) -> None:
        self.path = Path(settings.key_file) if settings.key_file else None
        self.digests = {bytes.fromhex(digest) for digest in settings.key_sha256}
        if self.path is not None:
            self.digests.add(hashlib.sha256(read_key_file(self.path).encode()).digest())

    def who(self, headers: list[tuple[bytes, bytes]]) -> str:
        """The first 8 hex digits of the key's SHA-256, its name in records. Raises Refusal(unauthenticated)."""
        sent = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = (sent[0] if len(sent) == 1 else b"").strip().partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self.digests]  # all keys, for constant time
        if scheme.lower() != b"bearer" or not any(matches):
            message = "Send an admin key as `Authorization: Bearer <key>`; an agent's key is not accepted here."
            raise Refusal("unauthenticated", message)
        return digest.hex()[:8]


@dataclass(frozen=True, slots=True)
class Context:
    """A request with a valid admin key; `who` names the key."""

    gateway: Gateway
    request: Request
    who: str

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.gateway.runtime.config

    @property
    def store(self) -> Store:
        """The state."""
        return self.gateway.shared.store

    def name(self, parameter: str) -> str:
        """A segment of the path, decoded."""
        return unquote(self.request.path_params[parameter])

    async def body(self, kind: type[Body]) -> Body:
        """The JSON body, validated as `kind`; an empty body counts as `{}`. Raises Refusal."""
        media = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise Refusal("invalid_request", "The body must have Content-Type: application/json.", status=415)
        parts, size = [], 0
        async for part in self.request.stream():
            size += len(part)
            if size > MOST_BODY:
                raise Refusal("request_too_large", f"The body is larger than {MOST_BODY} bytes.")
            parts.append(part)
        try:
            said = orjson.loads(b"".join(parts) or b"{}")
        except orjson.JSONDecodeError:
            raise Refusal("invalid_request", "The body is not JSON.") from None
        if not isinstance(said, dict):
            raise Refusal("invalid_request", "The body must be a JSON object.")
        try:
            return kind.model_validate(said)
        except ValidationError as error:
            raise Refusal("invalid_request", described(error.errors())) from None

    def query(self, kind: type[Body]) -> Body:
        """The query parameters, validated as `kind`. Raises Refusal."""
        try:
            return kind.model_validate(dict(self.request.query_params))
        except ValidationError as error:
            raise Refusal("invalid_request", described(error.errors())) from None

    async def record(self, action: str, team: str, correlation_id: str, wanted: BaseModel) -> None:
        """Record an action, on disk and in the log, before it is done. Raises StoreUnavailable."""
        audit = self.gateway.runtime.audit
        details = wanted.model_dump(mode="json", exclude_none=True, exclude={"team"})
        audit.acted(f"key {self.who}", action, team, correlation_id, details)
        await audit.durable()
        about = {"key": self.who, "team": team, "correlation_id": correlation_id, **details}
        self.gateway.shared.telemetry.say({"level": "info", "event": action, **about})


Action = Callable[[Context], Awaitable[tuple[int, Json]]]


def guard(gateway: Gateway, action: Action, template: str) -> Endpoint:
    """An endpoint for admin keys only. Exceptions become problem details; every request is logged.

    `template` is the path in the log: actual ids may be personal data.
    """

    async def endpoint(request: Request) -> Response:
        who, id = "unknown", uuid7()
        keys = gateway.runtime.admin
        if keys is None:
            return nothing(gateway)
        try:
            who = keys.who(request.scope["headers"])
            status, answer = await action(Context(gateway, request, who))
            response = _json(status, answer)
        except Refusal as refusal:
            if refusal.code == "unauthenticated":  # a flood of wrong keys must not fill the log
                return problem(gateway.stranger(request.scope) or refusal, id)
            response = problem(refusal, id)
        except StoreUnavailable as fault:
            _log.error("state store: %s", fault)
            response = problem(Refusal("state_unavailable", "The state store does not answer; try again later."), id)
        except Exception:
            _log.exception("admin request %s failed", id)
            gateway.shared.telemetry.failures.add(("admin",))
            words = "The gateway failed to do this; the log has the cause."
            response = problem(Refusal("overloaded", words, status=500), id)
        response.headers["x-request-id"] = id
        _log_request(gateway, request, who, template, response.status_code, id)
        return response

    return endpoint


def nothing(gateway: Gateway, methods: str = "") -> Response:
    """The answer for an unknown path or method. Without an admin API, every path is unknown.

    `methods`: the methods of the path, if the path exists.
    """
    if gateway.runtime.admin is None:
        return problem(Refusal("invalid_request", "This path does not exist.", status=404), uuid7())
    if methods:
        headers = ((b"allow", methods.encode()),)
        return problem(Refusal("invalid_request", f"This path takes {methods}.", status=405, headers=headers), uuid7())
    words = "This path does not exist. Write a slash within an id as %2F."
    return problem(Refusal("invalid_request", words, status=404), uuid7())


def problem(refusal: Refusal, id: str) -> Response:
    """A refusal as problem details (RFC 9457), with the id of the request."""
    answer = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.message,
        "code": refusal.code,
        "request_id": id,
        **({"param": refusal.param} if refusal.param else {}),
        **refusal.detail,
    }
    response = _json(refusal.status, answer, "application/problem+json")
    response.headers["x-request-id"] = id
    for name, value in refusal.headers:
        response.headers[name.decode()] = value.decode()
    if refusal.retry_after is not None:
        response.headers["retry-after"] = str(math.ceil(refusal.retry_after))
    if refusal.code == "unauthenticated":
        response.headers["www-authenticate"] = 'Bearer realm="meshgate admin"'
    return response


def _json(status: int, answer: Json, media: str = "application/json") -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(orjson.dumps(answer), status, headers, media)


def _log_request(gateway: Gateway, request: Request, who: str, path: str, status: int, id: str) -> None:
    """Write one log line for each request."""
    gateway.shared.telemetry.say(
        {
            "level": "info" if status < 400 else "warning",
            "event": "admin",
            "request_id": id,
            "key": who,
            "method": request.method,
            "path": path,
            "status": status,
        }
    )
