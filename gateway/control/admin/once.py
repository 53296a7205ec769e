"""`Idempotency-Key` for cumulative changes: a request that is repeated because its answer was lost has no effect.

Follows draft-ietf-httpapi-idempotency-key-header, as for calls. Only the fact that the change was made is kept; the
answer shows the current state. Error code: `invalid_request` (400; 409 while the outcome is unknown; 422 for a key that
belongs to another request). Fails closed: a change whose outcome is unknown is not made again under its key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson

from gateway.call import Json
from gateway.control.admin.access import Context
from gateway.errors import Refusal
from gateway.ingress.idempotency import key_of, wrong
from gateway.stores import Kept

TTL = 86400  # seconds that a key is remembered
Result = TypeVar("Result")


async def once(
    context: Context,
    team: str,
    request: Json,
    change: Callable[[], Awaitable[Result]],
    again: Callable[[], Awaitable[Result]],
) -> Result:
    """Make a change, or return `again()` if the change was made before under the same key.

    Raises Refusal, StoreUnavailable.
    """
    key = key_of(context.request.scope["headers"])
    if key is None:
        return await change()
    store = context.store
    name = hashlib.sha256(f"admin\0{context.who}\0{key}".encode()).hexdigest()
    digest = hashlib.sha256(orjson.dumps([context.request.scope["path"], request])).digest()
    begun = await store.begin(team, name, digest, TTL)
    if begun == "conflict":
        raise wrong("belongs to another request: use a new key", 422)
    if begun == "running":
        raise wrong("belongs to a request whose outcome is not known yet: check what the request was to change", 409)
    if isinstance(begun, Kept):
        return await again()
    try:
        result = await change()
    except Refusal:
        await store.abandon(team, name, digest)
        raise
    await store.finish(team, name, digest, b"done", TTL)
    return result
