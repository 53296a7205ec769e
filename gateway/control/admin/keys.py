"""`/admin/api/keys`: list, create, rotate and revoke gateway keys. See docs/admin-api.md.

Config key: `admin`. Error codes: `invalid_request` (400, 404). Every change is recorded before it is made.
"""

from __future__ import annotations

from gateway.call import Json
from gateway.config.sections import Section
from gateway.control import keys
from gateway.control.admin.access import Action, Context


class _Nothing(Section):
    """An empty body or query."""


async def show_all(context: Context) -> tuple[int, Json]:
    """GET /keys: the keys of the store, without those of the configuration."""
    context.query(_Nothing)
    return 200, {"keys": [keys.shown(key) for key in await context.store.keys()]}


async def make(context: Context) -> tuple[int, Json]:
    """POST /keys: the answer contains the key, which is not shown again."""
    wanted = await context.body(keys.Wanted)
    await context.record("key made", wanted.team, "", wanted)
    key, token = await keys.make(context.store, wanted)
    return 201, {**keys.shown(key), "key": token}


async def rotate(context: Context) -> tuple[int, Json]:
    """POST /keys/{id}/rotate: a new key; the old key stays valid for a grace period."""
    wanted, id = await context.body(keys.Rotation), context.name("id")
    old = await keys.find(context.store, id)
    await context.record(f"key {old.id} rotated", old.team, "", wanted)
    key, token, old = await keys.rotate(context.store, id, wanted)
    return 201, {**keys.rotated(key, old), "key": token}


async def revoke(context: Context) -> tuple[int, Json]:
    """POST /keys/{id}/revoke: the key ends immediately."""
    wanted, id = await context.body(_Nothing), context.name("id")
    key = await keys.find(context.store, id)
    await context.record(f"key {key.id} revoked", key.team, "", wanted)
    await keys.revoke(context.store, id)
    return 200, next(keys.shown(one) for one in await context.store.keys() if one.id == id)


ROUTES: tuple[tuple[str, str, Action], ...] = (
    ("GET", "/keys", show_all),
    ("POST", "/keys", make),
    ("POST", "/keys/{id}/rotate", rotate),
    ("POST", "/keys/{id}/revoke", revoke),
)
