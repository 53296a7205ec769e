"""Access to the admin API, and the common handling of its requests.

Config key: `admin`. A bearer key is compared by its SHA-256, in constant time. Requests are JSON of bounded size; no
cookie is read and no other origin is accepted, so a page cannot act for an operator through the browser. Errors are
problem details (RFC 9457) with a `code`: `unauthenticated`, `invalid_request`, `request_too_large`,
`state_unavailable`. Fails closed: without the section `admin` every path is a 404, and a change that cannot be recorded
is not made. A request that holds a secret of the gateway's own, or its admin key beside the header, is refused: names
and reasons go on record. In answers such secrets are replaced.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote, unquote_to_bytes

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.call import Json
from gateway.config.grammar import Config
from gateway.control.admin.admin_keys import credential
from gateway.control.admin.parts import Gateway
from gateway.control.mistakes import described
from gateway.detect.secrets.own import SHORTEST, OwnSecrets
from gateway.errors import Refusal
from gateway.ids import uuid7
from gateway.stores import Store, StoreUnavailable

PREFIX = "/admin/api"
MOST_BODY = 65_536  # bytes
_log = logging.getLogger("meshgate")

Body = TypeVar("Body", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Context:
    """A request with a valid admin key; `who` names the key."""

    gateway: Gateway
    request: Request
    who: str

    @property
    def config(self) -> Config:
        """The current configuration."""
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
        said = await self.json()
        self.refuse_secrets(orjson.dumps(said))
        try:
            return kind.model_validate(said)
        except ValidationError as error:
            raise Refusal("invalid_request", described(error.errors())) from None

    async def json(self) -> Json:
        """The JSON body, in which the gateway's own secrets were not looked for. Raises Refusal."""
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
        return said

    def refuse_key(self, data: bytes) -> None:
        """Raises Refusal if a part of the request holds the key it came with."""
        self._refuse(data, own=False)

    def refuse_secrets(self, data: bytes) -> None:
        """Raises Refusal if a part of the request holds a secret of the gateway's own, or the key it came with."""
        self._refuse(data, own=True)

    def _refuse(self, data: bytes, *, own: bool) -> None:
        _, token = credential(self.request.scope["headers"])
        if (own and self.gateway.runtime.own.holds(data)) or (len(token) >= SHORTEST and token in data):
            words = (
                "The request holds a secret of the gateway's own, or the admin key: take it out. Nothing was changed."
            )
            raise Refusal("invalid_request", words)

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
            context = Context(gateway, request, who)
            place, query = request.scope["path"], request.scope["query_string"]
            context.refuse_secrets(b"%s\n%s" % (unquote_to_bytes(place), unquote_to_bytes(query.replace(b"+", b" "))))
            status, answer = await action(context)
            response = _json(status, _hidden(answer, gateway.runtime.own))
        except Refusal as refusal:
            if refusal.code == "unauthenticated":  # a flood of wrong keys must not fill the log
                return problem(gateway.stranger(request.scope) or refusal, id)
            response = problem(refusal, id, gateway.runtime.own)
        except StoreUnavailable as fault:
            _log.error("state store: %s", fault)
            response = problem(Refusal("state_unavailable", "The state store does not answer; try again later."), id)
        except Exception:
            _log.exception("admin request %s failed", id)
            gateway.shared.telemetry.failures.add(("admin",))
            words = "The gateway failed to process this request; the log has the cause."
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


def problem(refusal: Refusal, id: str, own: OwnSecrets | None = None) -> Response:
    """A refusal as problem details (RFC 9457), with the id of the request; `own` secrets are replaced."""
    answer: Json = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.message,
        "code": refusal.code,
        "request_id": id,
        **({"param": refusal.param} if refusal.param else {}),
        **refusal.detail,
    }
    if own is not None:
        answer = _hidden(answer, own)
    response = _json(refusal.status, answer, "application/problem+json")
    response.headers["x-request-id"] = id
    for name, value in refusal.headers:
        response.headers[name.decode()] = value.decode()
    if refusal.retry_after is not None:
        response.headers["retry-after"] = str(math.ceil(refusal.retry_after))
    if refusal.code == "unauthenticated":
        response.headers["www-authenticate"] = 'Bearer realm="meshgate admin"'
    return response


def _hidden(answer: Json, own: OwnSecrets) -> Json:
    """An answer with the gateway's own secrets replaced, which a record from before may hold."""
    if not own.holds(orjson.dumps(answer)):
        return answer
    hidden: Json = _replaced(answer, own)
    return hidden


def _replaced(value: Any, own: OwnSecrets) -> Any:
    if isinstance(value, dict):
        return {own.hide(key): _replaced(inner, own) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, own) for inner in value]
    return own.hide(value) if isinstance(value, str) else value


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
