"""Answers of the provider, kept for calls that are the same again. Config key: `models.*.cache`.
A policy may set or forbid the cache for a call (`obligations.cache`).

The same: model and its targets, dialect, body after redaction, team and roles of the caller. So placeholders stand in
what is kept, and an answer with a placeholder is restored with the values of the call that gets it. A hit passes
through the whole line: identified, limited, authorized, and its answer is judged anew; only the provider is not called,
and nothing is charged.

Kept is only a complete answer with status 200, encrypted with the vault's key, as answers under an `Idempotency-Key`
are. Calls that offer tools, that the provider stores, or that continue a stored state are not cached.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag

from gateway.call import Call
from gateway.config.models import Cache as Settings
from gateway.redaction import openings
from gateway.redaction.vault import Seal
from gateway.stores import Answers, Kept, StoreUnavailable
from gateway.upstream.answer import Answer

_DEFAULT: Final = Settings()
_LEASE: Final = 60  # seconds after which another call may keep its answer, if the gateway of the first has died
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_log = logging.getLogger("meshgate")


class _Entry(NamedTuple):
    team: str
    key: str
    digest: bytes
    settings: Settings

    @property
    def context(self) -> str:
        return f"cache\0{self.team}\0{self.key}"


class Cache:
    """Part of the stage, for one configuration. `settings`: those of a model by its name, None without a cache.

    `for_models`: whether any model has a cache; otherwise only policies may want one.
    """

    def __init__(
        self, settings: Callable[[str], Settings | None], answers: Answers, seal: Seal, *, for_models: bool = True
    ) -> None:
        self.for_models = for_models
        self._settings = settings
        self._answers = answers
        self._seal = seal

    async def find(self, call: Call) -> tuple[Answer | None, Keeping | None]:
        """The kept answer, or the keeper of the answer to come; both None for a call that is not cached.

        A store that does not answer is none: the call goes to the provider.
        """
        entry = self._entry(call)
        if entry is None:
            return None, None
        try:
            begun = await self._answers.begin(entry.team, entry.key, entry.digest, _LEASE)
        except StoreUnavailable:
            return None, None
        if not isinstance(begun, Kept):
            return None, Keeping(self._answers, self._seal, entry) if begun == "new" else None
        try:
            head, _, body = self._seal.disclose(entry.context, begun.sealed).partition(b"\n")
        except InvalidTag:  # kept with another key of the vault
            return None, None
        provider, model, streamed, dropped, *since = orjson.loads(head)
        age = time.time() - (since[0] if since else 0)  # one that an earlier release kept has no time
        if age > min(entry.settings.ttl, _oldest(call)):
            return None, None
        outcome = call.outcome
        outcome.dropped = tuple(dropped)
        outcome.provider, outcome.model, outcome.status, outcome.hit = provider, model, 200, True
        return Answer.complete(body, streamed=streamed), None

    def _settings_of(self, call: Call) -> Settings | None:
        """Those of the model of a call, unless the policy says otherwise; None if the call is not cached."""
        if call.resource.kind != "llm":
            return None
        found = self._settings(_served_as(call))
        decision = call.authorization.decision
        seconds = decision.obligations.cache if decision is not None else None
        if seconds is None:
            return found
        return (found or _DEFAULT).model_copy(update={"ttl": seconds}) if seconds else None

    def _entry(self, call: Call) -> _Entry | None:
        request, settings = call.request, self._settings_of(call)
        if settings is None or call.subject is None or call.reference is not None or request.stored is not None:
            return None
        if call.codec.client:  # the answer is a part of what the provider knows of its connection
            return None
        if call.codec.through or request.form:  # files are no part of the JSON, and batches are work to be done anew
            return None
        if request.tools or request.body.get("tools") or call.codec.keeps(request.body) or _forbidden(call):
            return None
        body = orjson.dumps(orjson.loads(openings.dumps(call)), option=orjson.OPT_SORT_KEYS).decode()
        passes = call.codec.passes
        more = sorted((key.decode(), value.decode("latin-1")) for key, value in call.headers if key in passes)
        targets = sorted(map(tuple, call.admission.targets))  # of one that the model no longer has, no answer is taken
        seen = (_served_as(call), targets, call.route, sorted(call.values.items()), sorted(call.subject.roles), more)
        digest = self._seal.digest("cached call", orjson.dumps(seen).decode() + "\0" + body)
        return _Entry(call.team, f"cache:{digest.hex()}", digest, settings)


class Keeping:
    """Keeps one answer of a provider as it is read. Store failures are only logged: the answer is delivered."""

    def __init__(self, answers: Answers, seal: Seal, entry: _Entry) -> None:
        self._answers = answers
        self._seal = seal
        self._entry = entry
        self._parts: list[bytes] = []
        self._size = 0

    def over(self, answer: Answer) -> Answer:
        """The answer, whose bytes are kept while they are read."""
        self._add(answer.start)
        answer.chunks = self._read(answer.chunks)
        return answer

    async def _read(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for data in chunks:
            self._add(data)
            yield data

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._entry.settings.max_answer:
            self._parts.clear()
        else:
            self._parts.append(data)

    async def end(self, call: Call, answer: Answer | None) -> None:
        """The call has ended: keep its answer if that is complete, or let another call do so."""
        entry, outcome = self._entry, call.outcome
        try:
            whole = outcome.finished and outcome.status == 200 and self._size <= entry.settings.max_answer
            if answer is None or not whole:
                await self._answers.abandon(entry.team, entry.key, entry.digest)
                return
            head = orjson.dumps((outcome.provider, outcome.model, answer.streamed, outcome.dropped, time.time()))
            sealed = self._seal.enclose(entry.context, head + b"\n" + b"".join(self._parts))
            ttl = math.ceil(entry.settings.ttl)
            await self._answers.finish(entry.team, entry.key, entry.digest, sealed, ttl)
        except StoreUnavailable as fault:
            _log.error("an answer could not be kept in the cache: %s", fault)


def _served_as(call: Call) -> str:
    """The model that serves a call."""
    return call.authorization.served_as or call.resource.name


def _forbidden(call: Call) -> bool:
    """Whether the caller wants an answer of its own (Cache-Control, RFC 9111, section 5.2.1)."""
    wishes = _wishes(call)
    return "no-store" in wishes or "no-cache" in wishes or _oldest(call) <= 0


def _oldest(call: Call) -> float:
    """The greatest age in seconds of an answer that the caller takes; 0 if its `max-age` is no number."""
    said = _wishes(call).get("max-age")
    return math.inf if said is None else float(said) if _SECONDS.fullmatch(said) else 0.0


def _wishes(call: Call) -> dict[str, str]:
    """The directives of the caller and their values."""
    said = b",".join([value for name, value in call.headers if name == b"cache-control"]).decode("latin-1").lower()
    pairs = (wish.partition("=") for wish in said.split(","))
    return {name.strip(): value.strip(' \t"') for name, _, value in pairs}
