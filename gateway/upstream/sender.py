"""Sends a call to one target, and returns the answer once its beginning is recognized as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import orjson

from gateway.call import Call, Reference, Target
from gateway.config.accounts import Provider
from gateway.config.models import Model
from gateway.dialects import Codec, multipart
from gateway.dialects.gemini_files import QUERY, Resumable
from gateway.redaction import openings
from gateway.translate import seals
from gateway.upstream import failures, forms
from gateway.upstream.across import Across
from gateway.upstream.answer import Answer, Body, demonstrated
from gateway.upstream.client import Client, Destination, Response
from gateway.upstream.clouds import signers
from gateway.upstream.destinations import Destinations
from gateway.upstream.failures import FAULTS, UNREACHED, Failed, broken
from gateway.upstream.fitting import Fitting, undo
from gateway.upstream.forms import first_error, is_object, is_stream, peeked, status_of
from gateway.upstream.health import Account, Health
from gateway.upstream.ratelimits import is_tight, told

_JSON = "application/json"
_MOST = 1024  # pairs of codec and target that are remembered


class Sender:
    """Sends calls, for one configuration. `clients` outlive reloads: one pool of connections for the whole process."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        clients: Mapping[str, Client],
        timed: Callable[[str], Model] | None = None,
    ) -> None:
        self._timed = timed  # the model that a caller named; None if no model has time limits of its own
        self._providers = providers
        self._clients = {name: clients[provider.client] for name, provider in providers.items()}
        self._by_dialect = clients
        self._destinations = Destinations(providers)
        self._signers = signers(providers)
        self._fittings = {name: Fitting(name, provider) for name, provider in providers.items()}
        self._relented: set[tuple[str, Target]] = set()  # pairs of codec and target that refuse what `request` adds

    async def send(self, call: Call, target: Target, account: Account) -> Answer:
        """Send the call to a target. Raises Failed where another target may answer, else Refusal."""
        provider, model = target
        outcome = call.outcome
        outcome.provider, outcome.model, outcome.status, outcome.written = provider, model, 0, False
        outcome.account = account.name
        outcome.tries += 1
        codec, changed = call.codec, call.redaction.changed or call.authorization.edited or call.request.edited
        fitting = self._fittings[provider]
        if call.outcome.tries > 1:
            undo(call)
            changed = True
        if not self._providers[provider].speaks(codec):
            return await self._send_across(call, target, account)
        outcome.translated = False
        changed |= codec.request(call.request.body, model, call.request.stream and fitting.asks_usage)
        if fitting.needed:
            changed |= fitting.fit(call)
        call.outcome.sent = True
        if self._providers[provider].format == "demo":
            return demonstrated(call)
        if call.reference is not None:
            return await self._refer(call, call.reference, account.health, _told(call, changed))
        if (codec.name, target) in self._relented:
            changed |= codec.relents(call.request.body, None)
        if call.request.form:
            response = await self._post(call, provider, _form(call))
        else:
            response = await self._post(call, provider, openings.dumps(call) if changed else call.request.raw)
        if response.status in (400, 422):
            said = await failures.words(response)
            if not codec.relents(call.request.body, said):
                raise failures.refusal(response.status, response.headers, provider, said)
            if len(self._relented) < _MOST:
                self._relented.add((codec.name, target))
            response = await self._post(call, provider, openings.dumps(call))
        if not 200 <= response.status < 300:
            raise failures.refusal(response.status, response.headers, provider, await failures.words(response))
        _learn(account, response)
        return await self._opened(call, account.health, response)

    async def _send_across(self, call: Call, target: Target, account: Account) -> Answer:
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
            said = await failures.words(response)
            if not codec.relents(body, said):
                raise failures.refusal(response.status, response.headers, provider, said)
            if len(self._relented) < _MOST:
                self._relented.add((codec.name, target))
            response = await self._post(call, provider, orjson.dumps(body), across)
        if not 200 <= response.status < 300:
            raise failures.refusal(response.status, response.headers, provider, await failures.words(response))
        _learn(account, response)
        answer = await self._opened(call, account.health, response, codec)
        chunks = across.translated(answer.streamed, answer.start, answer.chunks)
        return Answer(answer.streamed and call.request.stream, b"", chunks, response)

    async def _refer(self, call: Call, about: Reference, health: Health, body: bytes) -> Answer:
        """Ask the provider about a state that it stores. Raises Refusal."""
        provider = health.provider
        query = f"?{about.query}" if about.query else ""
        to = self._destinations.of(provider, call.codec, call.outcome.model, key=call.outcome.account)
        below = f"/{about.id}{about.below}" if about.id else ""
        to = _having(to, call).below(f"{below}{query}", about.method)
        response = await self._to(call, provider, to, body)
        if not 200 <= response.status < 300:
            refusal = failures.refusal(response.status, response.headers, provider, await failures.words(response))
            refusal.status = 404 if response.status == 404 else refusal.status
            raise refusal
        return await self._opened(call, health, response)

    async def _opened(self, call: Call, health: Health, response: Response, codec: Codec | None = None) -> Answer:
        """The answer of a successful response, which is closed if there is none. Raises Refusal."""
        call.outcome.status = 200
        try:
            return await self._begun(call, health, response, codec or call.codec)
        except BaseException:  # also if the caller has disconnected: the connection must not stay open
            response.close()
            raise

    async def _begun(self, call: Call, health: Health, response: Response, codec: Codec) -> Answer:
        """The answer, once its first event or bytes are recognized as an answer. Raises Refusal otherwise."""
        kind = "".join(response.values(b"content-type")[:1]).strip().lower()
        chunks = Body(response, health)
        if call.codec.through:
            return Answer(False, b"", chunks, response, kind)
        start = await peeked(chunks)
        if kind == _JSON and not call.request.stream and start.startswith(b"{") and b'"error"' not in start:
            return Answer(False, start, chunks, response)  # as most answers do
        if (error := first_error(start, codec)) is not None:
            call.outcome.status = status_of(error)
            raise failures.refusal(
                call.outcome.status, response.headers, health.provider, orjson.dumps({"error": error})
            )
        if (call.request.stream or forms.is_lines(kind)) and is_object(start):
            start = await forms.gathered(start, chunks)
            if forms.begins_lines(start, codec, forms.is_lines(kind)):
                return Answer(True, b"", forms.events_of_lines(start, chunks), response)
        streamed = is_stream(start, kind.startswith("text/event-stream"))
        if not streamed and not is_object(start):
            what = f"something that is not {codec.noun}"
            words = f"The provider {health.provider} answered with {what}. Try again later."
            raise Failed("cut", words)
        return Answer(streamed, start, chunks, response)

    async def _post(self, call: Call, provider: str, body: bytes, across: Across | None = None) -> Response:
        """Send a body; again on a new connection if the provider had already closed the pooled connection."""
        account = call.outcome.account
        codec, values = (call.codec, call.values) if across is None else (across.codec, across.values)
        if across is None and seals.may_hold(body) and not call.request.form:
            body, names = seals.without(body)
            call.outcome.dropped += tuple(names)
        if self._timed is None:
            to = self._destinations.of(
                provider, codec, call.outcome.model, values, key=account, stream=call.request.stream
            )
        else:
            name = call.authorization.served_as or call.resource.name
            timed = (name, self._timed(name))
            stream = call.request.stream
            to = self._destinations.of(provider, codec, call.outcome.model, values, timed, account, stream=stream)
        if codec.passes:
            to = _having(to, call, codec)
        return await self._to(call, provider, to, body)

    async def _to(self, call: Call, provider: str, to: Destination, body: bytes) -> Response:
        if provider in self._signers:
            to = await self._signers[provider].signed(to, body)
        try:
            client = self._by_dialect[call.codec.client] if call.codec.client else self._clients[provider]
            call.outcome.status = 0
            response = await client.post(to, body, call.outcome)
        except FAULTS as fault:
            call.outcome.written = False
            raise broken(provider, fault, "did not answer in time", UNREACHED) from None
        call.outcome.status = response.status
        return response


def _told(call: Call, changed: bool) -> bytes:
    """The body of a call about a state that a provider stores."""
    if call.reference is None or not call.reference.reads:
        return b""
    if call.request.form:
        return _form(call)
    return openings.dumps(call) if changed else call.request.raw


def _form(call: Call) -> bytes:
    """The form, or the bytes of a file, as judged."""
    body = call.request.body
    return multipart.data_of(body["file"]) if call.codec.bare else multipart.write(body, call.id)


def _having(to: Destination, call: Call, codec: Codec | None = None) -> Destination:
    """The destination with the headers of the caller that pass, and the media type of a form."""
    passes = (codec or call.codec).passes
    extra = [(name, value) for name, value in call.headers if name in passes and passes[name].fullmatch(value)]
    if isinstance(call.codec, Resumable):
        to = to.having(call.codec.told(call.values)).below(f"?{call.values.get(QUERY, '')}", "POST")
    if call.codec.bare:
        extra.append((b"content-type", b"application/octet-stream"))
    elif call.request.form:
        extra.append((b"content-type", b"multipart/form-data; boundary=" + call.id.encode()))
    if not extra:
        return to
    # These replace the gateway's own headers, such as a version.
    return to.having([(name.decode(), value.decode("latin-1")) for name, value in extra])


def _learn(account: Account, response: Response) -> None:
    """What a provider tells of its limits."""
    if is_tight(response):
        account.window.learn(told(response.headers), time.monotonic())
    elif account.window.buckets:
        account.window.forget()
