"""Part of stage `upstream`: choose a target, send the call, hand back the answer as it comes.

Config keys: `providers`, `models.*.targets`. Refuses with model_not_found, upstream_error, upstream_timeout, and with
invalid_request where the provider says that the caller is wrong. Targets are tried in order until one begins to answer;
equals are drawn by weight. Once an answer has begun there is no second try.
"""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from gateway.call import Call, Target
from gateway.config import grammar
from gateway.config.grammar import Model, Price, Provider
from gateway.dialects import Codec
from gateway.dialects.routes import ROUTES
from gateway.dialects.terms import is_term
from gateway.errors import Refusal
from gateway.upstream import demo, forms
from gateway.upstream.forms import first_error, is_object, is_stream, peeked, status_of
from gateway.upstream.inflate import Inflater, Packed, unpacked
from gateway.upstream.pool import ATTEMPT, Attempt, Pool
from gateway.upstream.wildcards import Pattern

_AT_ONCE = 256 * 1024  # bytes of a request that are handed to the client as they are
_MOST_MADE = 1024  # names that fit a pattern, remembered
MAX_ERROR = 64 * 1024  # bytes of an error answer that are read
# What a dead connection of the pool shows: its end (FIN), or a reset (RST).
_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
# What of a provider's error may be told to programs: short identifiers, no room for a text or a key.
_WORD = r"[a-z]{1,20}[0-9]{0,3}"
_TERMS = {
    "code": re.compile(rf"(?=.{{1,64}}\Z){_WORD}(?:_{_WORD}){{0,7}}"),
    "type": re.compile(rf"(?=.{{1,64}}\Z){_WORD}(?:_{_WORD}){{0,7}}"),
    "param": re.compile(rf"(?=.{{1,128}}\Z){_WORD}(?:[_.]{_WORD}|\.?\[[0-9]{{1,4}}\]){{0,15}}"),
}
_HINT = re.compile(r"[\w.:, ;=+\"-]{1,100}", re.ASCII)
_HINTS = re.compile(r"retry-after-ms|x-should-retry|(?:x-|[a-z]+-)?ratelimit(?:-[a-z-]+)?")
_LONGEST_WAIT = 30 * 86400  # seconds; a hint beyond is a mistake
_FAULTS = (TimeoutError, aiohttp.ClientError, OSError)
_TRY_NEXT = frozenset({401, 402, 403, 408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has begun: its first bytes, and the rest as it comes. `close` lets the connection go.

    `streamed` says whether the answer is server-sent events.
    """

    streamed: bool
    start: bytes
    chunks: AsyncIterator[bytes]
    response: aiohttp.ClientResponse | None

    @property
    def length(self) -> int:
        """How many bytes the upstream said that it would send; 0 where it did not."""
        return (self.response.content_length or 0) if self.response is not None else 0

    def close(self, finished: bool) -> None:
        """Give the connection back, or cut it where the answer was not read to its end: the upstream stops working."""
        if self.response is not None:
            if finished:
                self.response.release()
            else:
                self.response.close()


def order(model: Model, draw: random.Random) -> list[Target]:
    """The targets in the order they are tried: ranks as written, within a rank drawn by weight."""
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
    """That a model is not served here; names the model only if its name can be no value."""
    called = f"called {name[:80]!r}" if is_term(name) else "of that name"
    return Refusal(
        "model_not_found", f"There is no model {called} here. GET /v1/models lists those there are.", param="model"
    )


class Forward:
    """Chooses targets and sends calls; `exchange.forward` has the stage.

    `session` outlives reloads: one pool of connections for the life of the process.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        models: Mapping[str, Model],
        session: aiohttp.ClientSession,
        states: dict[str, int] | None = None,
    ) -> None:
        self._states = {} if states is None else states
        self._models = models
        self._providers = providers
        self._session = session
        self.most_patience = max((self.patience(list(model.prices)) for model in models.values()), default=0.0)
        self._relented: set[tuple[str, Target]] = set()  # codec and target that refuse what `request` puts in
        self._draw = random.Random()  # noqa: S311  (spreads load; nobody gains by guessing it)
        self._bases = {name: provider.base_url.rstrip("/") for name, provider in providers.items()}
        self._urls: dict[tuple[str, str], URL] = {}
        self._patterns = [Pattern(name, model) for name, model in models.items() if "*" in name]
        self._made: dict[str, Model] = {}  # models by names that a pattern fits
        self.fields = {name: provider.unknown_fields for name, provider in providers.items()}
        self._headers: dict[tuple[str, str], CIMultiDict[str]] = {}  # by provider and codec
        self._timeouts = {
            name: aiohttp.ClientTimeout(
                total=provider.timeout, sock_connect=provider.connect_timeout, sock_read=provider.idle_timeout
            )
            for name, provider in providers.items()
        }
        self._simple = {
            name: model.targets[0].address
            for name, model in models.items()
            if len(model.targets) == 1 and isinstance(model.targets[0], grammar.Target)
        }

    def model(self, name: str) -> Model:
        """The model that callers call so. Raises Refusal(model_not_found)."""
        model = (self._models.get(name) if "*" not in name else None) or self._matched(name)
        if model is None:
            raise not_found(name)
        return model

    def label(self, name: str) -> str:
        """What metrics and logs call a model: the name in the configuration, which may be a pattern. "": unknown."""
        if name in self._models:
            return name
        return next((pattern.name for pattern in self._patterns if pattern.rest(name) is not None), "")

    def _matched(self, name: str) -> Model | None:
        """The model that a name with `*` makes of this one."""
        if (made := self._made.get(name)) is not None:
            return made
        for pattern in self._patterns:
            if (rest := pattern.rest(name)) is not None:
                if len(self._made) >= _MOST_MADE:
                    self._made.clear()
                    self._urls.clear()
                made = self._made[name] = pattern.made(rest)
                return made
        return None

    def targets(self, name: str, codec: Codec | None = None) -> list[Target]:
        """Where a call in this dialect (None: in any) may go, in the order it is tried.

        Raises Refusal(invalid_request) where no target of the model speaks the dialect.
        """
        simple = self._simple.get(name)
        found = [simple] if simple else order(self.model(name), self._draw)
        if codec is None:
            return found
        spoken = [target for target in found if self._format(target) in codec.formats]
        if not spoken:
            raise Refusal("invalid_request", self._elsewhere(name, found, codec), param="model")
        return spoken

    def _format(self, target: Target) -> str:
        """The format that the provider of a target speaks."""
        return self._providers[target.provider].format

    def _elsewhere(self, name: str, targets: Sequence[Target], codec: Codec) -> str:
        """Where a model can be called whose targets do not speak the dialect of a call."""
        formats = sorted({self._format(target) for target in targets})
        paths = [path for path, other in ROUTES.items() if not other.formats.isdisjoint(formats)]
        called = f"`{name[:80]}`" if is_term(name) else "of that name"
        return (
            f"The model {called} is served by providers of format {', '.join(formats)}, which do not answer with "
            f"{codec.noun}. Call it at {' or '.join(f'`{path}`' for path in paths)}, or ask the operator for a target "
            f"of format {' or '.join(sorted(codec.formats))}."
        )

    def price(self, name: str, target: Target) -> Price:
        """What the tokens of a model cost at a target of it; the model's own price for one it no longer has."""
        model = self.model(name)
        return model.prices.get(target, model.price)

    def patience(self, targets: Sequence[Target]) -> float:
        """Seconds that a call may take which tries these targets, one after the other."""
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
        codec, changed = call.format, call.redaction.changed or call.edited
        changed = codec.request(call.body, model, call.stream) or changed or call.outcome.tries > 1
        call.outcome.sent = True
        if self._providers[provider].format == "demo":
            return _demo(call)
        if (codec.name, target) in self._relented:
            changed |= codec.relents(call.body, None)
        response = await self._post(call, provider, orjson.dumps(call.body) if changed else call.raw)
        if response.status in (400, 422):
            said = await _words(response)
            if not codec.relents(call.body, said):
                raise _refusal(response.status, response.headers, provider, said)
            if len(self._relented) < _MOST_MADE:
                self._relented.add((codec.name, target))
            response = await self._post(call, provider, orjson.dumps(call.body))
        if not 200 <= response.status < 300:
            raise _refusal(response.status, response.headers, provider, await _words(response))
        call.outcome.status = 200
        try:
            return await self._begun(call, provider, response)
        except BaseException:  # also a caller that has left: the connection is not kept open for nobody
            response.close()
            raise

    async def _begun(self, call: Call, provider: str, response: aiohttp.ClientResponse) -> Answer:
        """The answer, once its first event or bytes say that it is one. Raises Refusal where they do not."""
        kind = response.headers.get("content-type", "").strip().lower()
        chunks = _read(response, provider)
        start = await peeked(chunks)
        if (error := first_error(start, call.format)) is not None:
            call.outcome.status = status_of(error)
            raise _refusal(call.outcome.status, response.headers, provider, orjson.dumps({"error": error}))
        if forms.is_lines(kind) and is_object(start):
            start = await forms.gathered(start, chunks)
            if not forms.says_whole(start, call.format):
                return Answer(True, b"", forms.events_of_lines(start, chunks), response)
        streamed = is_stream(start, kind.startswith("text/event-stream"))
        if not streamed and not is_object(start):
            words = f"The provider {provider} answered with something that is not {call.format.noun}. Try again later."
            raise Refusal("upstream_error", words, stage="upstream")
        return Answer(streamed, start, chunks, response)

    async def _post(self, call: Call, provider: str, body: bytes) -> aiohttp.ClientResponse:
        """Send a body. Once more, on a new connection, if it went out on one that the provider had closed."""
        url, headers, timeout = (
            self._url(provider, call.format.path),
            self._with_callers(call, provider),
            self._timeouts[provider],
        )
        for fresh in (False, True):
            attempt = Attempt(fresh=fresh)
            ATTEMPT.set(attempt)
            try:
                response = await self._session.post(
                    url, data=_payload(body), headers=headers, timeout=timeout, allow_redirects=False
                )
            except _FAULTS as fault:
                if not fresh and attempt.unanswered and isinstance(fault, _CLOSED):
                    continue
                raise _broken(provider, fault, "did not answer in time", "could not be reached") from None
            call.outcome.status = response.status
            return response
        raise AssertionError("a fresh connection is not tried again")

    def _url(self, provider: str, path: str) -> URL:
        """Where a dialect's calls go; parsed once."""
        url = self._urls.get((provider, path))
        if url is None:
            base = self._bases[provider]
            if path.startswith("/v1/"):  # a base URL may be given with the version or without it
                base = base.removesuffix("/v1")
            url = self._urls[provider, path] = URL(base + path)
        return url

    def _with_callers(self, call: Call, provider: str) -> CIMultiDict[str]:
        codec = call.format
        headers = self._headers.get((provider, codec.name))
        if headers is None:
            headers = self._headers[provider, codec.name] = _headers(self._providers[provider], codec)
        passes = codec.passes
        extra = [(name, value) for name, value in call.headers if name in passes and passes[name].fullmatch(value)]
        if not extra:
            return headers
        own = headers.copy()
        for name, value in extra:
            own[name.decode()] = value.decode("latin-1")  # in place of our own, as a version is
        return own


def session() -> aiohttp.ClientSession:
    """The pool of connections to upstreams. No cookies: none may ride from one caller to another."""
    connector = Pool(limit=0, keepalive_timeout=30)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # see `inflate`
    )


def _headers(provider: Provider, codec: Codec) -> CIMultiDict[str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "meshgate"}
    return CIMultiDict({**headers, **codec.credentials(provider.api_key), **provider.headers})


def _demo(call: Call) -> Answer:
    call.outcome.status = 200

    async def chunks() -> AsyncIterator[bytes]:
        if not call.stream:
            yield demo.whole(call.format, call.body)
            return
        for event in demo.streamed(call.format, call.body):
            yield event

    return Answer(call.stream, b"", chunks(), None)


async def _read(response: aiohttp.ClientResponse, provider: str) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Refusal when it stalls or breaks off."""
    try:
        encoding, chunks = _encoding(response), response.content.iter_any()
        async for data in unpacked(chunks, encoding) if encoding else chunks:
            yield data
    except Packed as fault:
        words = f"The provider {provider} answered with {fault}. Try again later."
        raise Refusal("upstream_error", words, stage="upstream") from None
    except _FAULTS as fault:
        raise _broken(provider, fault, "fell silent in the middle of its answer", "broke off its answer") from None


def _payload(data: bytes) -> bytes | io.BytesIO:
    """A body for the client, which sends a file in pieces and bytes at once, however many."""
    return io.BytesIO(data) if len(data) > _AT_ONCE else data


def _encoding(response: aiohttp.ClientResponse) -> str:
    """How the body is compressed; "" if it is not."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def _broken(provider: str, fault: Exception, late: str, cut: str) -> Refusal:
    """What a fault of the connection becomes: `late` and `cut` are what the provider did."""
    if isinstance(fault, TimeoutError):
        return Refusal("upstream_timeout", f"The provider {provider} {late}. Try again later.", stage="upstream")
    name = type(fault).__name__
    return Refusal("upstream_error", f"The provider {provider} {cut} ({name}). Try again later.", stage="upstream")


async def _words(response: aiohttp.ClientResponse) -> bytes:
    """The body of an error answer, as far as it is read."""
    try:
        body = await response.content.read(MAX_ERROR)
        if encoding := _encoding(response):
            body, _ = Inflater(encoding).feed(body, MAX_ERROR)
        return body
    except (*_FAULTS, Packed):
        return b""
    finally:
        response.close()


def _refusal(status: int, headers: Mapping[str, str], provider: str, body: bytes) -> Refusal:
    """What an error answer of the provider becomes."""
    if status in (401, 402, 403):
        said = "refused the gateway's own account or credentials; the operator must look at providers." + provider
        return Refusal("upstream_error", f"The provider {provider} {said} (HTTP {status}).", stage="upstream")
    if status in _TRY_NEXT or status >= 500 or status < 400:
        refusal = Refusal(
            "rate_limited" if status == 429 else "upstream_error",
            f"The provider {provider} answered with HTTP {status}. Try again later.",
            stage="upstream",
            retry_after=_retry_after(headers),
        )
        refusal.hints = _hints(headers)
        return refusal
    refusal = Refusal(
        "invalid_request", f"The provider {provider} refused the request (HTTP {status}).", stage="upstream"
    )
    refusal.said, refusal.terms = _message(body), _terms(body)
    return refusal


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by what a provider says: in seconds, in milliseconds, or as a date."""
    value, exact = headers.get("retry-after", ""), headers.get("retry-after-ms", "")
    try:
        if exact:
            seconds = float(exact) / 1000
        elif value[:1].isalpha():
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        else:
            seconds = float(value)
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds) if seconds <= _LONGEST_WAIT else None


def _hints(headers: Mapping[str, str]) -> dict[str, str]:
    """What a provider says beside of when to try again."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if _HINTS.fullmatch(name.lower()) and _HINT.fullmatch(value)
    }


def _message(body: bytes) -> str:
    """The provider's own words, for the output filter to judge before a caller reads them."""
    try:
        error: Any = orjson.loads(body)["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return message[:2000] if isinstance(message, str) else ""


def _terms(body: bytes) -> dict[str, str]:
    """The provider's own `code`, `type` and `param`, for programs that go by them; only what has the form of one."""
    try:
        error: Any = orjson.loads(body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}
    if type(error) is not dict:
        return {}
    values = {name: error.get(name) for name in _TERMS}
    return {name: value for name, value in values.items() if type(value) is str and _TERMS[name].fullmatch(value)}
