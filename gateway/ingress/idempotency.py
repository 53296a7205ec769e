"""`Idempotency-Key`: a call that is sent again gets the answer of the first one, and nothing is charged or sent twice.

Config key: `idempotency`. After draft-ietf-httpapi-idempotency-key-header: the same key with another body is refused
with 422, with 409 while the first call is still running, and a key that is none with 400 (all `invalid_request`). Keys
belong to one agent of one team. Fails closed: where the store does not answer, the call is not made.

Only an answer with status 200 that came to its end is kept, as the caller got it: after the output filter, whole or as
the stream that it was, before its last bytes leave. Refused and broken calls leave nothing, so the next try runs. An
answer larger than `idempotency.max_answer` is not kept, but that it was given is: the key is then refused (409), since
running the call again would charge it twice. Before an answer is given again, the line asks whether the workflow takes
calls, and the policy in force; the replay pays no limit, takes no quota and reaches no provider.

At rest there are keyed digests of key and body, and the answer sealed with the vault's key.
"""

from __future__ import annotations

import logging
import math
from typing import NamedTuple, Protocol

import orjson
from cryptography.exceptions import InvalidTag

from gateway.call import Call, Headers
from gateway.config.sections import Idempotency as Settings
from gateway.errors import Refusal
from gateway.redaction.vault import Seal
from gateway.stores import Begun, Kept, StoreUnavailable

HEADER = "Idempotency-Key"
REPLAYED = (b"idempotent-replayed", b"true")
_WHOLE, _STREAM, _TOO_LARGE = b"w", b"s", b"l"
_LONGEST = 255
_AGAIN = 1.0  # seconds after which to ask for the answer of a call that is still running
_log = logging.getLogger("meshgate")


class Answers(Protocol):
    """The part of a store that keeps answers."""

    async def begin(self, team: str, key: str, digest: bytes, lease: int) -> Begun: ...
    async def finish(self, team: str, key: str, digest: bytes, sealed: bytes, ttl: int) -> None: ...
    async def abandon(self, team: str, key: str, digest: bytes) -> None: ...


class Answer(NamedTuple):
    """What an earlier call was answered under its key, as it left."""

    body: bytes
    streamed: bool


class Idempotency:
    """The stage, compiled for one configuration. `seal` is None where there is no key to seal with."""

    def __init__(self, settings: Settings, answers: Answers, seal: Seal | None) -> None:
        self._lease = math.ceil(settings.lease)
        self.ttl = math.ceil(settings.ttl)
        self.max_answer = settings.max_answer
        self.answers = answers
        self._seal = seal

    async def recall(self, call: Call) -> None:
        """Write `call.kept`, the answer that is kept for this call; without one `call.keeper`, which keeps its own.

        Raises Refusal(invalid_request).
        """
        key = key_of(call.headers)
        if key is None:
            return
        keeper = self._keeper(call, key)
        begun = await self.answers.begin(keeper.team, keeper.key, keeper.digest, self._lease)
        if begun == "conflict":
            raise wrong("was used before with another body. Send the first body again, or use another key", 422)
        if begun == "running":
            raise wrong("belongs to a call that is still running. Ask again when it has ended", 409, _AGAIN)
        if not isinstance(begun, Kept):
            call.keeper = keeper
            return
        kind, body = keeper.open(begun.sealed)
        if kind == _TOO_LARGE:
            what = f"larger than {self.max_answer} bytes (idempotency.max_answer)"
            raise wrong(f"was answered, with an answer {what}, which was not kept. Use another key to ask again", 409)
        call.kept = Answer(body, kind == _STREAM)

    def _keeper(self, call: Call, key: str) -> Keeper:
        if self._seal is None:
            raise wrong("cannot be honoured: this gateway has no pii.vault_key to seal answers with", 400)
        assert call.subject is not None, "idempotency comes after identify"
        subject = call.subject
        name = self._seal.digest("idempotency key", f"{subject.agent}\0{key}").hex()
        body = orjson.dumps(call.body, option=orjson.OPT_SORT_KEYS).decode()
        digest = self._seal.digest("idempotency body", f"{call.route}\0{body}")
        return Keeper(self, self._seal, subject.team, name, digest)


class Keeper:
    """Keeps the answer of one call as it leaves. Nothing here raises for the store: a paid answer is delivered."""

    def __init__(self, stage: Idempotency, seal: Seal, team: str, key: str, digest: bytes) -> None:
        self.team, self.key, self.digest = team, key, digest
        self._stage = stage
        self._seal = seal
        self._parts: list[bytes] = []
        self._size = 0
        self._over = False

    def add(self, data: bytes) -> None:
        """A piece of the answer leaves."""
        self._size += len(data)
        if self._size > self._stage.max_answer:
            self._parts.clear()
        else:
            self._parts.append(data)

    async def keep(self, streamed: bool) -> None:
        """The answer is complete: from here on it is what the key stands for."""
        if self._over:
            return
        self._over = True
        kind = _STREAM if streamed else _WHOLE
        answer = _TOO_LARGE if self._size > self._stage.max_answer else kind + b"".join(self._parts)
        sealed = self._seal.enclose(self._context(), answer)
        try:
            await self._stage.answers.finish(self.team, self.key, self.digest, sealed, self._stage.ttl)
        except StoreUnavailable as fault:
            _log.error("an answer could not be kept for its Idempotency-Key: %s", fault)

    async def abandon(self) -> None:
        """There will be no answer: the next try runs."""
        if self._over:
            return
        self._over = True
        try:
            await self._stage.answers.abandon(self.team, self.key, self.digest)
        except StoreUnavailable as fault:
            _log.error("an Idempotency-Key is free only when its lease has ended: %s", fault)

    def open(self, sealed: bytes) -> tuple[bytes, bytes]:
        """What kind of answer is kept, and the answer. Raises Refusal if it was sealed with another key."""
        try:
            answer = self._seal.disclose(self._context(), sealed)
        except InvalidTag:
            raise wrong("has an answer that cannot be opened any more: the vault's key has changed", 409) from None
        return answer[:1], answer[1:]

    def _context(self) -> str:
        return f"idempotency\0{self.team}\0{self.key}\0{self.digest.hex()}"


def key_of(headers: Headers) -> str | None:
    """The key of a call, None without one. Raises Refusal(invalid_request)."""
    found = {value for name, value in headers if name == b"idempotency-key"}
    if not found:
        return None
    value = found.pop()
    if found:
        raise wrong("stands there twice, with different values; send one", 400)
    if not 0 < len(value) <= _LONGEST or not all(0x20 <= byte < 0x7F for byte in value):
        raise wrong(f"must be 1 to {_LONGEST} printable ASCII characters; what came is {len(value)} bytes", 400)
    return value.decode("ascii")


def wrong(problem: str, status: int, retry_after: float | None = None) -> Refusal:
    """A refusal of the key: what is the matter with it."""
    return Refusal("invalid_request", f"This {HEADER} {problem}.", param=HEADER, status=status, retry_after=retry_after)
