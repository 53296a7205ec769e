"""`Idempotency-Key` for changes that add up: a request that is sent again, since its answer was lost, adds nothing.

After draft-ietf-httpapi-idempotency-key-header, as for calls. What is kept is only that it was done; the answer shows
how things stand. Error code: `invalid_request` (400, 409 while it is not known whether it was done, 422 for a key that
stands for another request). Fails closed: a change whose outcome is unknown is not made again under its key.
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
    """Make a change, or if its key says that it was made, only look `again`. Raises Refusal, StoreUnavailable."""
    key = key_of(context.request.scope["headers"])
    if key is None:
        return await change()
    store = context.store
    name = hashlib.sha256(f"admin\0{context.who}\0{key}".encode()).hexdigest()
    digest = hashlib.sha256(orjson.dumps([context.request.scope["path"], request])).digest()
    begun = await store.begin(team, name, digest, TTL)
    if begun == "conflict":
        raise wrong("stands for another request: use a new one", 422)
    if begun == "running":
        raise wrong("belongs to a request whose outcome is not known (yet): look at what it was to change", 409)
    if isinstance(begun, Kept):
        return await again()
    try:
        result = await change()
    except Refusal:
        await store.abandon(team, name, digest)
        raise
    await store.finish(team, name, digest, b"done", TTL)
    return result
