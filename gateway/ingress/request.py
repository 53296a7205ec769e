"""Part of stage `ingress`: reads scope and body into the `Call`, with the limits, the dialect's checks and the id.

Config keys: server.max_body, server.max_depth. Refuses with invalid_request, request_too_large. Fails closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.call import Call, Headers, Json, Resource
from gateway.config.grammar import Server
from gateway.delegation import Delegation
from gateway.dialects import gemini_files, items, multipart, tree
from gateway.errors import Refusal
from gateway.ids import CORRELATION_ID, uuid7
from gateway.ingress import unpack
from gateway.ingress.correlation import Signer, missing
from gateway.ingress.resume import prepare, resume
from gateway.ingress.wire import Receive
from gateway.ingress.workflow_ids import WorkflowIds
from gateway.redaction import trimmed
from gateway.redaction.openings import Known, Openings
from gateway.redaction.taint import Taint
from gateway.scheduling.judging import OFF_LOOP, judge

SESSION = "session"
"""In `Call.values`: the workflow of the session of a tool server that a call belongs to."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")  # W3C Trace Context, section 3.2
_BAGGAGE = re.compile(rb"(?:^|,)\s*correlation[-_]?id\s*=\s*([^,;\s]+)", re.IGNORECASE)  # W3C Baggage, section 3.2

# Headers with the id of a session or a trace: of Claude Code, Codex, and of clients of LiteLLM, Portkey and Helicone.
_FOREIGN = frozenset(
    {b"x-claude-code-session-id", b"session_id", b"session-id", b"x-session-id", b"x-litellm-trace-id"}
    | {b"x-litellm-session-id", b"x-portkey-trace-id", b"helicone-session-id"}
)


class Disconnected(Exception):
    """The client disconnected before its request was complete."""


def header(headers: Headers, name: bytes) -> bytes:
    """The value of the first header with this name; empty if there is none."""
    for key, value in headers:
        if key == name:
            return value
    return b""


def correlation_id(headers: Headers) -> str:
    """X-Correlation-Id, else W3C baggage, else the trace id of traceparent, else a new UUIDv7."""
    return named(headers) or traced(headers) or uuid7()


def named(headers: Headers) -> str:
    """The correlation id or token that the caller chose; empty if there is none. Raises Refusal(invalid_request)."""
    chosen = header(headers, b"x-correlation-id")
    if chosen:
        if not CORRELATION_ID.fullmatch(chosen):
            raise Refusal(
                "invalid_request",
                "X-Correlation-Id must have 1 to 128 letters, digits and ._:/+=@- and start with a letter or digit; "
                f"it has {len(chosen)} bytes.",
                param="X-Correlation-Id",
            )
        return chosen.decode("ascii")
    baggage = _BAGGAGE.search(header(headers, b"baggage"))
    if baggage and CORRELATION_ID.fullmatch(baggage[1]):
        return baggage[1].decode("ascii")
    return ""


def traced(headers: Headers) -> str:
    """The trace id of W3C Trace Context; empty if there is none."""
    trace = _TRACEPARENT.fullmatch(header(headers, b"traceparent"))
    if trace and trace[1] != b"0" * 32:
        return trace[1].decode("ascii")
    return ""


def told(headers: Headers) -> str:
    """The id of a session or trace in a header of another client or gateway; empty if there is none.

    The client did not choose the header for this gateway, so an id of another form is ignored.
    """
    for name, value in headers:
        if name in _FOREIGN and CORRELATION_ID.fullmatch(value):
            return value.decode("ascii")
    return ""


class Correlation:
    """Determines the correlation id of a call. `signer`: with `quotas.strict`. `ids`: unless `pii` is null."""

    def __init__(self, taint: Taint, signer: Signer | None, ids: WorkflowIds | None) -> None:
        self._taint = taint
        self._signer = signer
        self._ids = ids

    def of(self, call: Call, *, needed: bool = True) -> str:
        """The correlation id of an identified call. Raises Refusal(invalid_request).

        With `quotas.strict`, the header must contain a signed token of the caller's team.
        """
        signer, ids = self._signer, self._ids
        if call.subject is not None and call.subject.delegation is not None:
            return self._delegated(call, call.subject.delegation)
        if signer is None:
            id = named(call.headers) or traced(call.headers) or call.values.get(SESSION, "") or told(call.headers)
            if not id:
                id, call.request.alone = uuid7(), True
            if self._taint.names_key(call, id):
                words = "X-Correlation-Id contains a key, which would be stored in records. Choose another id."
                raise Refusal("invalid_request", words, param="X-Correlation-Id")
            kept = ids.kept(call.team, id) if ids is not None else id
            call.request.given_id = id if kept != id else ""
            return kept
        token = named(call.headers)
        if token and call.subject is not None:
            return signer.read(call.subject.team, token)
        if needed:
            raise missing()
        call.request.alone = True
        return uuid7()

    def _delegated(self, call: Call, delegation: Delegation) -> str:
        """The workflow of a sub-agent, which its token says. Raises Refusal for another one."""
        chosen = named(call.headers)
        if chosen and self._signer is not None:
            chosen = self._signer.read(call.team, chosen)
        if chosen and (self._ids.kept(call.team, chosen) if self._ids is not None else chosen) != delegation.workflow:
            words = "The token of a sub-agent is for another workflow: leave out X-Correlation-Id."
            raise Refusal("invalid_request", words, param="X-Correlation-Id")
        call.request.given_id = delegation.given
        return delegation.workflow


async def read_body(receive: Receive, headers: Headers, limit: int, hold: Callable[[int], None] | None = None) -> bytes:
    """The whole body. `hold` is called with the size of each piece before it is kept, and may raise Refusal.

    Raises Refusal(request_too_large) as soon as the body is known to exceed `limit` bytes.
    """
    length = header(headers, b"content-length")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if hold is not None:
            hold(len(body))
        return body
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        if hold is not None:
            hold(len(piece))
        parts.append(piece)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _too_large(limit: int) -> Refusal:
    return Refusal(
        "request_too_large",
        f"The body is larger than {limit} bytes. Send less, or ask the operator to raise server.max_body.",
    )


async def receive(call: Call, receive: Receive, server: Server, openings: Openings) -> None:
    """Read the body into the call. Raises Refusal(invalid_request, request_too_large), Disconnected."""
    hold = call.ticket.hold
    call.request.raw = await read_body(receive, call.headers, server.max_body, hold)
    if coding := unpack.coding_of(call.headers):
        call.request.raw = await unpack.unpack(coding, call.request.raw, server.max_body, hold)
    if call.resource.kind != "llm":
        call.request.raw = call.codec.enclosed(call.request.raw)
    call.budget.extend(len(call.request.raw))
    known = openings.find(call)
    if known is None and len(call.request.raw) >= trimmed.LEAST:
        known = trimmed.follow(openings, call)
    new = len(call.request.raw) - (known.opening.end if known is not None else 0)
    if new > OFF_LOOP:
        await judge(call, True, understand, call, server, openings, known)
    else:
        understand(call, server, openings, known)


def understand(call: Call, server: Server, openings: Openings, known: Known | None) -> None:
    """Parse the body into `call.request`. Raises Refusal(invalid_request, request_too_large)."""
    intent = resume(call, server, openings, known) if known is not None else None
    survey = None
    if intent is None:
        call.request.body, survey = _read(call, server)
        call.request.slots, call.request.nested = survey.slots, survey.nested
        if deployment := call.values.get("deployment"):
            _deploy(call, deployment)
        intent = call.codec.parse(call.request.body, call.values)
        call.request.unscannable = {**survey.kinds, **call.codec.unscannable(call.request.body)}
    name, call.request.stream, call.request.tools, call.request.ceiling, arguments, call.request.control = intent
    call.resource = Resource(call.resource.kind, name, arguments)
    call.request.tier = call.codec.tier(call.request.body)
    call.request.fields = call.codec.unknown(call.request.body)
    call.request.wants_usage = call.request.stream and call.codec.wants_usage(call.request.body)
    if survey is not None:
        caps = server.caps
        if len(call.request.raw) > caps.least and (too_many := caps.over(call.codec.items(call.request.body))):
            raise _too_many(too_many)
        prepare(call, openings, survey, intent)


def _read(call: Call, server: Server) -> tuple[Json, tree.Survey]:
    """The body and a survey of it. Raises Refusal(invalid_request, request_too_large)."""
    if call.codec.bare:
        call.request.form = True
        return _surveyed(call, gemini_files.file_of(call.request.raw, call.values), server)
    boundary = multipart.boundary_of(header(call.headers, b"content-type")) if call.codec.forms else b""
    if not boundary:
        body, survey = parse(call.request.raw, call.codec.shape, server)
        if call.codec.forms and any(multipart.files(body)):
            raise Refusal("invalid_request", "A file must be sent in a form: Content-Type multipart/form-data.")
        return body, survey
    call.request.form = True
    return _surveyed(call, multipart.parse(call.request.raw, boundary), server)


def _surveyed(call: Call, form: Json, server: Server) -> tuple[Json, tree.Survey]:
    """A form and a survey of it."""
    survey = tree.Survey(call.codec.shape, server.max_depth)
    survey.walk(form)
    return form, survey


def _deploy(call: Call, deployment: str) -> None:
    """Make the deployment in the path the model of the body, whatever model the body names: as Azure does."""
    request, body = call.request, call.request.body
    if body.get("model") == deployment:
        return
    body["model"], request.edited = deployment, True
    inside = [it for it in request.nested if it.holder is body and it.key == "model"]
    request.nested = [it for it in request.nested if it not in inside]
    request.slots = [
        slot for slot in request.slots if slot.nested not in inside and (slot.holder is not body or slot.key != "model")
    ]


def parse(raw: bytes, shape: tree.Shape, server: Server) -> tuple[Json, tree.Survey]:
    """Parse a body into the object and a survey of it. Raises Refusal(invalid_request, request_too_large)."""
    caps = server.caps
    if items.has_more_values(raw, caps.values):
        raise _too_many(caps.words("values"))
    body, survey = tree.parse(raw, shape, server.max_depth)
    if survey.widest > caps.keys:
        raise _too_many(caps.words("keys", survey.widest))
    return body, survey


def _too_many(what: str) -> Refusal:
    return Refusal("request_too_large", f"The body has {what}. Send less, or ask the operator to raise the limit.")
