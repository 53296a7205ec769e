"""Chooses a target, sends the call, and returns the answer as it arrives.

Config keys: `providers`, `models.*.targets`. Refuses with model_not_found, upstream_error, upstream_timeout, and with
invalid_request if the provider refuses the request. Targets are tried in order until one begins to answer; targets of
equal rank are drawn by weight. After an answer has begun, there is no second try.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.call import Call, Reference, Target
from gateway.config import grammar
from gateway.config.grammar import Model, Price, Provider
from gateway.dialects import Codec
from gateway.dialects.routes import ROUTES, shown
from gateway.dialects.terms import is_term
from gateway.errors import Refusal
from gateway.redaction import openings
from gateway.translate import seals
from gateway.translate.translation import translates
from gateway.translate.words import Untranslatable
from gateway.upstream import demo, forms, refusals
from gateway.upstream.across import Across, Translated
from gateway.upstream.client import Broken, Client, Destination, Malformed, Response
from gateway.upstream.destinations import Destinations
from gateway.upstream.fitting import Fitting, undo
from gateway.upstream.forms import first_error, is_object, is_stream, peeked, status_of
from gateway.upstream.inflate import Inflater, Packed, unpacked
from gateway.upstream.wildcards import Pattern

_MOST_MADE = 1024  # remembered names that match a pattern
MAX_ERROR = 64 * 1024  # bytes of an error answer that are read
_ERROR_TIME = 5.0  # seconds to wait for these bytes
_LINGER = 0.5  # seconds to wait for the end of a body once the answer is complete
_FAULTS = (TimeoutError, OSError)
_UNREACHED = "could not be reached"
_JSON = "application/json"
_PATH = re.compile(r"/v1(?:beta)?(?:/[a-z_]{1,32}){1,3}")
_TRY_NEXT = frozenset({401, 402, 403, 408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(slots=True)  # not frozen: that would make the creation three times as long
class Answer:
    """An answer that has begun: its first bytes, and the rest as it arrives. `close` releases the connection.

    `streamed`: the answer is server-sent events.
    """

    streamed: bool
    start: bytes
    chunks: AsyncIterator[bytes]
    response: Response | None

    @property
    def length(self) -> int:
        """The size in bytes that the upstream announced; 0 if it announced none."""
        return self.response.length if self.response is not None else 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left in `chunks`, as far as is known without waiting."""
        chunks = self.chunks
        return isinstance(chunks, _KNOWING) and chunks.ended

    async def drain(self) -> None:
        """The caller has the answer: wait a moment for the end of the body, so that the connection can be reused.

        Some providers leave the body open after the last event of a stream.
        """
        if self.ended:
            return
        with contextlib.suppress(TimeoutError, Refusal):
            async with asyncio.timeout(_LINGER):
                size = 0
                async for data in self.chunks:
                    size += len(data)
                    if size > MAX_ERROR:
                        return

    def close(self, finished: bool) -> None:
        """Return the connection to the pool, or close it if the answer was not read completely: the upstream stops."""
        if self.response is not None:
            if finished:
                self.response.release()
            else:
                self.response.close()


def order(model: Model, draw: random.Random) -> list[Target]:
    """The targets in the order of attempts: ranks as configured, drawn by weight within a rank."""
    chosen: list[Target] = []
    for rank in model.targets:
        equals = list(rank) if isinstance(rank, list) else [rank]
        while equals:
            weights = [target.weight for target in equals]
            pick = draw.choices(equals, weights)[0] if any(weights) else equals[0]
            equals.remove(pick)
            chosen.append(pick.address)
    return chosen


def not_found(name: str) -> Refusal:
    """The refusal for an unknown model; names the model only if the name cannot be a secret or personal data."""
    called = f"called {name[:80]!r}" if is_term(name) else "of that name"
    words = f"There is no model {called} here. GET /v1/models lists the models."
    if _PATH.fullmatch(name):  # a path whose requests name no model
        words = (
            f"{name} is not configured: its requests name no model, so they are calls of a model called like the path. "
            f'The operator chooses the provider: models: {{"{name}": {{targets: [PROVIDER/any]}}}}.'
        )
    return Refusal("model_not_found", words, param="model")


def _called(name: str) -> str:
    """A model in an error message; not named if the name may be a secret or personal data."""
    return f"`{name[:80]}`" if is_term(name) else "of that name"


class Forward:
    """The stage. `clients` outlive reloads, by name: one pool of connections for the life of the process."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        models: Mapping[str, Model],
        clients: Mapping[str, Client],
        states: dict[str, int] | None = None,
        known: Callable[[grammar.Target], Price | None] | None = None,
    ) -> None:
        self._states = {} if states is None else states
        self._models = models
        self._providers = providers
        self._clients = {name: clients[provider.client] for name, provider in providers.items()}
        self.most_patience = max((self.patience(list(model.prices)) for model in models.values()), default=0.0)
        self._relented: set[tuple[str, Target]] = set()  # pairs of codec and target that refuse what `request` adds
        self._draw = random.Random()  # noqa: S311  (distributes load; guessing the result gains nothing)
        self._destinations = Destinations(providers)
        self._patterns = [Pattern(name, model, known) for name, model in models.items() if "*" in name]
        self._made: dict[str, Model] = {}  # models by names that match a pattern
        self._fittings = {name: Fitting(name, provider) for name, provider in providers.items()}
        self.fields = {name: provider.unknown_fields for name, provider in providers.items()}
        self._simple = {
            name: model.targets[0].address
            for name, model in models.items()
            if len(model.targets) == 1 and isinstance(model.targets[0], grammar.Target)
        }
        self._spoken = {name: self._providers[target.provider].format for name, target in self._simple.items()}

    def model(self, name: str) -> Model:
        """The model with this name. Raises Refusal(model_not_found)."""
        model = (self._models.get(name) if "*" not in name else None) or self._matched(name)
        if model is None:
            raise not_found(name)
        return model

    def label(self, name: str) -> str:
        """The name of a model in metrics and logs: its name in the configuration, possibly a pattern. "": unknown."""
        if name in self._models:
            return name
        return next((pattern.name for pattern in self._patterns if pattern.rest(name) is not None), "")

    def _matched(self, name: str) -> Model | None:
        """The model for this name by a pattern with `*`; None if no pattern matches."""
        if (made := self._made.get(name)) is not None:
            return made
        for pattern in self._patterns:
            if (rest := pattern.rest(name)) is not None:
                if len(self._made) >= _MOST_MADE:
                    self._made.clear()
                made = self._made[name] = pattern.made(rest)
                return made
        return None

    def targets(self, name: str, codec: Codec | None = None, at: Target | None = None) -> list[Target]:
        """The targets for a call in this dialect (None: any dialect), in the order of attempts.

        `at`: where the state is that the call continues; then the only target is this one, or else one of the same
        provider. Raises Refusal(invalid_request) if no target of the model has this dialect, or the state.
        """
        if at is not None:
            return [self._holding(at, name, self.targets(name, codec))]
        simple = self._simple.get(name)
        if simple is not None and (
            codec is None or self._spoken[name] in codec.formats or translates(codec, self._spoken[name])
        ):
            return [simple]
        found = [simple] if simple else order(self.model(name), self._draw)
        if codec is None:
            return found
        spoken = [
            target
            for target in found
            if self._format(target) in codec.formats or translates(codec, self._format(target))
        ]
        if not spoken:
            raise Refusal("invalid_request", self._elsewhere(name, found, codec), param="model")
        return spoken

    def _holding(self, at: Target, name: str, targets: Sequence[Target]) -> Target:
        """The target that has the state at `at`. Raises Refusal(invalid_request)."""
        here = [target for target in targets if target.provider == at.provider]
        if not here:
            words = (
                f"The conversation is stored at the provider {at.provider}, which does not serve the model "
                f"{_called(name)}. "
                "Ask for the model that answered before, or send all items of the conversation in `input`."
            )
            raise Refusal("invalid_request", words, param="model")
        return at if at in here else here[0]

    def _format(self, target: Target) -> str:
        """The format of the provider of a target."""
        return self._providers[target.provider].format

    def _elsewhere(self, name: str, targets: Sequence[Target], codec: Codec) -> str:
        """The refusal for a model without targets in the dialect of the call: names the path to use."""
        formats = sorted({self._format(target) for target in targets})
        paths = [shown(path) for path, other in ROUTES.items() if not other.formats.isdisjoint(formats)]
        return (
            f"The model {_called(name)} is served by providers of format {', '.join(formats)}, which do not answer "
            f"with {codec.noun}. Call it at {' or '.join(f'`{path}`' for path in paths)}, or ask the operator for a "
            f"target of format {' or '.join(sorted(codec.formats))}."
        )

    def price(self, name: str, target: Target) -> Price:
        """The price of a model at a target; the price of the model itself if the target is no longer configured."""
        model = self.model(name)
        return model.prices.get(target, model.price)

    def is_priced(self, name: str, target: Target) -> bool:
        """Whether the price of a model at a target is known."""
        return target not in self.model(name).unpriced or self._format(target) == "demo"

    def patience(self, targets: Sequence[Target]) -> float:
        """Seconds that a call may take if it tries all of these targets."""
        return sum([self._providers[target.provider].timeout for target in targets])

    async def open(self, call: Call, targets: Sequence[Target]) -> Answer:
        """Send the call until a target begins to answer; writes `call.outcome`. Raises Refusal."""
        failed: Refusal | None = None
        for target in targets:
            provider, model = target
            call.outcome.provider, call.outcome.model = provider, model
            call.outcome.tries += 1
            call.outcome.status = 0
            try:
                answer = await self._send(call, target)
            except Untranslatable as refusal:  # another target may be able to express the request
                failed = refusal
            except Refusal as refusal:
                if not refusal.retry:
                    raise
                self._states[provider] = 0
                failed = refusal
            else:
                self._states[provider] = 1
                return answer
        assert failed is not None
        raise failed

    async def _send(self, call: Call, target: Target) -> Answer:
        provider, model = target
        codec, changed = call.codec, call.redaction.changed or call.authorization.edited or call.request.edited
        fitting = self._fittings[provider]
        if call.outcome.tries > 1:
            undo(call)
            changed = True
        if self._providers[provider].format not in codec.formats:
            return await self._send_across(call, target)
        call.outcome.translated = False
        changed |= codec.request(call.request.body, model, call.request.stream and fitting.asks_usage)
        if fitting.needed:
            changed |= fitting.fit(call)
        call.outcome.sent = True
        if self._providers[provider].format == "demo":
            return _demo(call)
        if call.reference is not None:
            body = (openings.dumps(call) if changed else call.request.raw) if call.reference.reads else b""
            return await self._refer(call, call.reference, provider, body)
        if (codec.name, target) in self._relented:
            changed |= codec.relents(call.request.body, None)
        response = await self._post(call, provider, openings.dumps(call) if changed else call.request.raw)
        if response.status in (400, 422):
            said = await _words(response)
            if not codec.relents(call.request.body, said):
                raise _refusal(response.status, response.headers, provider, said)
            if len(self._relented) < _MOST_MADE:
                self._relented.add((codec.name, target))
            response = await self._post(call, provider, openings.dumps(call))
        if not 200 <= response.status < 300:
            raise _refusal(response.status, response.headers, provider, await _words(response))
        return await self._opened(call, provider, response)

    async def _send_across(self, call: Call, target: Target) -> Answer:
        """Send the call to a target of another format: request and answer are translated. Raises Refusal."""
        provider = target.provider
        across = Across(call, self._providers[provider], target, self._fittings[provider])
        await across.prepare()
        call.outcome.sent = call.outcome.translated = True
        codec, body = across.codec, across.body
        if (codec.name, target) in self._relented:
            codec.relents(body, None)
        response = await self._post(call, provider, orjson.dumps(body), across)
        if response.status in (400, 422):
            said = await _words(response)
            if not codec.relents(body, said):
                raise _refusal(response.status, response.headers, provider, said)
            if len(self._relented) < _MOST_MADE:
                self._relented.add((codec.name, target))
            response = await self._post(call, provider, orjson.dumps(body), across)
        if not 200 <= response.status < 300:
            raise _refusal(response.status, response.headers, provider, await _words(response))
        answer = await self._opened(call, provider, response, codec)
        chunks = across.translated(answer.streamed, answer.start, answer.chunks)
        return Answer(answer.streamed and call.request.stream, b"", chunks, response)

    async def _refer(self, call: Call, about: Reference, provider: str, body: bytes) -> Answer:
        """Ask the provider about a state that it stores. Raises Refusal."""
        query = f"?{about.query}" if about.query else ""
        to = self._destinations.of(provider, call.codec, call.outcome.model)
        to = to.below(f"/{about.id}{about.below}{query}", about.method)
        response = await self._to(call, provider, to, body)
        if not 200 <= response.status < 300:
            refusal = _refusal(response.status, response.headers, provider, await _words(response))
            refusal.status = 404 if response.status == 404 else refusal.status
            raise refusal
        return await self._opened(call, provider, response)

    async def _opened(self, call: Call, provider: str, response: Response, codec: Codec | None = None) -> Answer:
        """The answer of a successful response, which is closed if there is none. Raises Refusal."""
        call.outcome.status = 200
        try:
            return await self._begun(call, provider, response, codec or call.codec)
        except BaseException:  # also if the caller has disconnected: the connection must not stay open
            response.close()
            raise

    async def _begun(self, call: Call, provider: str, response: Response, codec: Codec) -> Answer:
        """The answer, once its first event or bytes are recognized as an answer. Raises Refusal otherwise."""
        kind = "".join(response.values(b"content-type")[:1]).strip().lower()
        chunks = _Body(response, provider)
        start = await peeked(chunks)
        if kind == _JSON and not call.request.stream and start.startswith(b"{") and b'"error"' not in start:
            return Answer(False, start, chunks, response)  # as most answers do
        if (error := first_error(start, codec)) is not None:
            call.outcome.status = status_of(error)
            raise _refusal(call.outcome.status, response.headers, provider, orjson.dumps({"error": error}))
        if (call.request.stream or forms.is_lines(kind)) and is_object(start):
            start = await forms.gathered(start, chunks)
            if forms.begins_lines(start, codec, forms.is_lines(kind)):
                return Answer(True, b"", forms.events_of_lines(start, chunks), response)
        streamed = is_stream(start, kind.startswith("text/event-stream"))
        if not streamed and not is_object(start):
            words = f"The provider {provider} answered with something that is not {codec.noun}. Try again later."
            raise Refusal("upstream_error", words, stage="upstream")
        return Answer(streamed, start, chunks, response)

    async def _post(self, call: Call, provider: str, body: bytes, across: Across | None = None) -> Response:
        """Send a body; again on a new connection if the provider had already closed the pooled connection."""
        codec, values = (call.codec, call.values) if across is None else (across.codec, across.values)
        if across is None and seals.may_hold(body):
            body, names = seals.without(body)
            call.outcome.dropped += tuple(names)
        to = self._destinations.of(provider, codec, call.outcome.model, values)
        passes = codec.passes
        if passes:
            extra = [(name, value) for name, value in call.headers if name in passes and passes[name].fullmatch(value)]
            if extra:  # these replace the gateway's own headers, such as a version
                to = to.having([(name.decode(), value.decode("latin-1")) for name, value in extra])
        return await self._to(call, provider, to, body)

    async def _to(self, call: Call, provider: str, to: Destination, body: bytes) -> Response:
        try:
            response = await self._clients[provider].post(to, body)
        except _FAULTS as fault:
            raise _broken(provider, fault, "did not answer in time", _UNREACHED) from None
        call.outcome.status = response.status
        return response


def _demo(call: Call) -> Answer:
    call.outcome.status = 200

    async def chunks() -> AsyncIterator[bytes]:
        if not call.request.stream:
            yield demo.whole(call.codec, call.request.body)
            return
        for event in demo.streamed(call.codec, call.request.body):
            yield event

    return Answer(call.request.stream, b"", chunks(), None)


class _Body:
    """The body as it arrives. Raises Refusal if the provider stalls or the connection breaks.

    Not a generator, which the event loop would have to keep track of.
    """

    __slots__ = ("_chunks", "_plain", "_provider")

    def __init__(self, response: Response, provider: str) -> None:
        encoding, chunks = _encoding(response), response.chunks()
        self._chunks = unpacked(chunks, encoding) if encoding else chunks
        self._plain = None if encoding else response
        self._provider = provider

    @property
    def ended(self) -> bool:
        """Whether the body was read to its end; False for a compressed body, whose end is checked by reading on."""
        return self._plain is not None and self._plain.ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._chunks.__anext__()
        except Packed as fault:
            words = f"The provider {self._provider} answered with {fault}. Try again later."
            raise Refusal("upstream_error", words, stage="upstream") from None
        except _FAULTS as fault:
            late, cut = "fell silent in the middle of its answer", "broke off its answer"
            raise _broken(self._provider, fault, late, cut) from None


_KNOWING = (_Body, Translated)
"""Bodies that tell whether they were read to their end."""


def _encoding(response: Response) -> str:
    """The compression of the body; "" for none. Some providers send `none`, or the encoding of the text."""
    every = response.values(b"content-encoding")
    if not every:
        return ""
    said = ",".join(every).lower().split(",")
    return ",".join([one for one in map(str.strip, said) if one not in ("", "identity", "none", "utf-8", "utf8")])


def _broken(provider: str, fault: Exception, late: str, cut: str) -> Refusal:
    """The refusal for a fault of the connection: `late` is the phrase for a timeout, `cut` for any other fault."""
    if isinstance(fault, TimeoutError):
        return Refusal("upstream_timeout", f"The provider {provider} {late}. Try again later.", stage="upstream")
    if isinstance(fault, Malformed):
        cut = "sent what is no HTTP/1.1"
    elif isinstance(fault, Broken) and cut == _UNREACHED:
        cut = "closed the connection without an answer"
    name = type(fault).__name__
    return Refusal("upstream_error", f"The provider {provider} {cut} ({name}). Try again later.", stage="upstream")


async def _words(response: Response) -> bytes:
    """The body of an error answer, up to `MAX_ERROR` bytes; it may arrive in pieces, and break off."""
    parts, size = list[bytes](), 0
    try:
        with contextlib.suppress(*_FAULTS):
            async with asyncio.timeout(_ERROR_TIME):
                while size < MAX_ERROR and (data := await response.read(MAX_ERROR - size)):
                    parts.append(data)
                    size += len(data)
        body = b"".join(parts)
        if encoding := _encoding(response):
            body, _ = Inflater(encoding).feed(body, MAX_ERROR)
        return body
    except Packed:
        return b""
    finally:
        response.close()


def _refusal(status: int, headers: Mapping[str, str], provider: str, body: bytes) -> Refusal:
    """The refusal for an error answer of the provider."""
    if status in (401, 402, 403):
        said = "refused the gateway's own account or credentials; the operator must look at providers." + provider
        return Refusal("upstream_error", f"The provider {provider} {said} (HTTP {status}).", stage="upstream")
    if status in _TRY_NEXT or status >= 500 or status < 400:
        refusal = Refusal(
            "rate_limited" if status == 429 else "upstream_error",
            f"The provider {provider} answered with HTTP {status}. Try again later.",
            stage="upstream",
            retry_after=refusals.retry_after(headers, body),
        )
        refusal.hints = refusals.hints(headers)
        return refusal
    refusal = Refusal(
        "invalid_request", f"The provider {provider} refused the request (HTTP {status}).", stage="upstream"
    )
    refusal.said, refusal.terms = refusals.words(body), refusals.terms(body)
    return refusal
