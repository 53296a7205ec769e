"""`Idempotency-Key`: a repeated call gets the answer of the first call, without a second charge or upstream call.

Config key: `idempotency`. Follows draft-ietf-httpapi-idempotency-key-header: the same key with another body is refused
with 422, a repeated call with 409 while the first call is running, and a key that is not valid with 400 (all
`invalid_request`). A key belongs to one agent of one team. Fails closed: if the store does not answer, the call is not
made.

Only a complete answer with a status of success (2xx) is kept, as the caller got it: after the output filter, whole or
as a stream, and before its last bytes are sent. Refused and broken calls leave nothing, so a retry runs. For an answer
larger than `idempotency.max_answer`, only its existence is kept, and the key is refused (409), because a second call
would be charged again. Before a replay, the state of the workflow and the current policy are checked; a replay pays no
limit and no quota, and reaches no provider.

Stored are keyed digests of key and body, and the answer encrypted with the vault's key.
"""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag

from gateway.call import Call, Headers
from gateway.config.sections import Idempotency as Settings
from gateway.errors import Refusal
from gateway.redaction.vault import Seal
from gateway.stores import Answers, Kept, StoreUnavailable

HEADER = "Idempotency-Key"
REPLAYED = (b"idempotent-replayed", b"true")
_WHOLE, _STREAM, _TOO_LARGE, _TYPED = b"w", b"s", b"l", b"t"
_PLAIN = (200, None)  # status and Content-Type of most whole answers
_LONGEST = 255
_AGAIN = 1.0  # Retry-After in seconds while the first call is running
_log = logging.getLogger("meshgate")


class Answer(NamedTuple):
    """The kept answer of an earlier call, as it was sent."""

    body: bytes
    streamed: bool
    status: int = 200
    kind: str | None = None


class Idempotency:
    """The stage, compiled for one configuration. `seal` is None without an encryption key."""

    def __init__(self, settings: Settings, answers: Answers, seal: Seal | None) -> None:
        self._lease = math.ceil(settings.lease)
        self.ttl = math.ceil(settings.ttl)
        self.max_answer = settings.max_answer
        self.answers = answers
        self._seal = seal

    async def recall(self, call: Call) -> None:
        """Write `call.replay`: the kept answer for this call, or otherwise the keeper of the answer to come.

        Raises Refusal(invalid_request), StoreUnavailable.
        """
        key = key_of(call.headers)
        if key is None:
            return
        keeper = self._keeper(call, key)
        begun = await self.answers.begin(keeper.team, keeper.key, keeper.digest, self._lease)
        if begun == "conflict":
            raise wrong("was used before with another body. Send the first body again, or use another key", 422)
        if begun == "running":
            raise wrong("belongs to a call that is still running. Repeat the call when that has ended", 409, _AGAIN)
        if not isinstance(begun, Kept):
            call.replay.keeper = keeper
            return
        kind, body = keeper.open(begun.sealed)
        if kind == _TOO_LARGE:
            what = f"larger than {self.max_answer} bytes (idempotency.max_answer)"
            raise wrong(f"has an answer {what}, which was not kept. Use another key to repeat the call", 409)
        if kind == _TYPED:
            head, _, body = body.partition(b"\n")
            status, media = orjson.loads(head)
            call.replay.kept = Answer(body, False, status, media)
        else:
            call.replay.kept = Answer(body, kind == _STREAM)

    def _keeper(self, call: Call, key: str) -> Keeper:
        if self._seal is None:
            raise wrong("cannot be used: this gateway has no pii.vault_key to encrypt answers with", 400)
        assert call.subject is not None, "idempotency comes after identify"
        subject = call.subject
        name = self._seal.digest("idempotency key", f"{subject.agent}\0{key}").hex()
        body = orjson.dumps(call.codec.asked(call.request.body), option=orjson.OPT_SORT_KEYS).decode()
        digest = self._seal.digest("idempotency body", "\0".join((call.route, *call.values.values(), body)))
        return Keeper(self, self._seal, subject.team, name, digest)


class Keeper:
    """Keeps the answer of one call as it is sent. Store failures are only logged: a paid answer must be delivered."""

    def __init__(self, stage: Idempotency, seal: Seal, team: str, key: str, digest: bytes) -> None:
        self.team, self.key, self.digest = team, key, digest
        self._stage = stage
        self._seal = seal
        self._parts: list[bytes] = []
        self._size = 0
        self._over = False

    def add(self, data: bytes) -> None:
        """Add a piece of the answer."""
        self._size += len(data)
        if self._size > self._stage.max_answer:
            self._parts.clear()
        else:
            self._parts.append(data)

    async def keep(self, streamed: bool, *, status: int = 200, kind: str | None = None) -> None:
        """The answer is complete: store it under the key. `kind`: its Content-Type; None: that of its form."""
        if self._over:
            return
        self._over = True
        head = _STREAM if streamed else _WHOLE
        if not streamed and (status, kind) != _PLAIN:
            head = _TYPED + orjson.dumps([status, kind]) + b"\n"
        answer = _TOO_LARGE if self._size > self._stage.max_answer else head + b"".join(self._parts)
        sealed = self._seal.enclose(self._context(), answer)
        try:
            await self._stage.answers.finish(self.team, self.key, self.digest, sealed, self._stage.ttl)
        except StoreUnavailable as fault:
            _log.error("an answer could not be kept for its Idempotency-Key: %s", fault)

    async def abandon(self) -> None:
        """There is no answer: release the key, so that a retry runs."""
        if self._over:
            return
        self._over = True
        try:
            await self._stage.answers.abandon(self.team, self.key, self.digest)
        except StoreUnavailable as fault:
            _log.error("an Idempotency-Key could not be released before its lease ends: %s", fault)

    def open(self, sealed: bytes) -> tuple[bytes, bytes]:
        """The kind of the kept answer, and the answer. Raises Refusal if it was encrypted with another key."""
        try:
            answer = self._seal.disclose(self._context(), sealed)
        except InvalidTag:
            raise wrong("has an answer that cannot be decrypted: the vault's key has changed", 409) from None
        return answer[:1], answer[1:]

    def _context(self) -> str:
        return f"idempotency\0{self.team}\0{self.key}\0{self.digest.hex()}"


def key_of(headers: Headers) -> str | None:
    """The idempotency key of a call; None if there is none. Raises Refusal(invalid_request)."""
    found = {value for name, value in headers if name == b"idempotency-key"}
    if not found:
        return None
    value = found.pop()
    if found:
        raise wrong("occurs twice with different values; send one", 400)
    if not 0 < len(value) <= _LONGEST or not all(0x20 <= byte < 0x7F for byte in value):
        raise wrong(f"must have 1 to {_LONGEST} printable ASCII characters; it has {len(value)} bytes", 400)
    return value.decode("ascii")


def wrong(problem: str, status: int, retry_after: float | None = None) -> Refusal:
    """The refusal of a key. `problem` completes the sentence "This Idempotency-Key ..."."""
    return Refusal("invalid_request", f"This {HEADER} {problem}.", param=HEADER, status=status, retry_after=retry_after)
