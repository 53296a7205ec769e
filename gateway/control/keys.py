"""Creating, showing and ending gateway keys, for the command line and the admin API.

A key is shown once, when it is created; the store keeps its SHA-256. Error code: `invalid_request` (404 for a key that
does not exist or has ended).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from gateway.call import Json
from gateway.config.scalars import Seconds
from gateway.config.sections import Section
from gateway.control.workflows import Team, iso
from gateway.errors import Refusal
from gateway.identity.keyfiles import new_key
from gateway.stores import Key, Keys

GRACE = 24 * 3600.0  # seconds that a key stays valid after its rotation
Lifetime = Annotated[Seconds, Field(gt=0, le=100 * 365 * 86400)]


class Wanted(Section):
    """A key to be created. `expires` is its lifetime; None: the key does not expire."""

    agent: Team
    team: Team
    roles: tuple[Team, ...] = ()
    expires: Lifetime | None = None


class Rotation(Section):
    """A key to be replaced by a new key with the same agent, team and roles."""

    grace: Annotated[Seconds, Field(ge=0, le=365 * 86400)] = GRACE
    """Seconds that the old key stays valid."""
    expires: Lifetime | None = None
    """Lifetime of the new key; None: the lifetime of the old key."""


async def make(store: Keys, wanted: Wanted) -> tuple[Key, str]:
    """A new key and its text, which is not stored."""
    now = time.time()
    expires = None if wanted.expires is None else now + wanted.expires
    return await _add(store, Key("", "", wanted.agent, wanted.team, wanted.roles, now, expires=expires))


async def rotate(store: Keys, id: str, wanted: Rotation) -> tuple[Key, str, Key]:
    """The successor of a key, its text, and the old key with its end after the grace period. Raises Refusal (404)."""
    old, now = await find(store, id), time.time()
    lifetime = wanted.expires
    if lifetime is None and old.expires is not None:
        lifetime = old.expires - old.created
    made, token = await _add(
        store, replace(old, created=now, expires=None if lifetime is None else now + lifetime, used=None)
    )
    ends = now + wanted.grace
    if old.expires is None or ends < old.expires:
        await store.expire_key(id, ends)
        old = replace(old, expires=ends)
    return made, token, old


async def revoke(store: Keys, id: str) -> None:
    """Revoke a key with immediate effect. Raises Refusal (404)."""
    if not await store.revoke_key(id):
        raise _unknown()


async def find(store: Keys, id: str) -> Key:
    """The key with this id, if it was not revoked. Raises Refusal (404)."""
    for key in await store.keys():
        if key.id == id and key.revoked is None:
            return key
    raise _unknown()


def state(key: Key, now: float) -> str:
    """The state of a key: `valid`, `expired` or `revoked`. `now` is in Unix seconds."""
    if key.revoked is not None:
        return "revoked"
    return "expired" if key.expires is not None and key.expires <= now else "valid"


def rotated(key: Key, old: Key) -> Json:
    """A key that replaces another, for display: the key, and the end of the old key."""
    return {**shown(key), "replaces": {"id": old.id, "expires": _iso(old.expires)}}


def shown(key: Key) -> Json:
    """A key for display, with enough of its hash to recognise the key and too little to use it."""
    return {
        "id": key.id,
        "agent": key.agent,
        "team": key.team,
        "roles": list(key.roles),
        "sha256": key.sha256[:8],
        "state": state(key, time.time()),
        "created": _iso(key.created),
        "expires": _iso(key.expires),
        "last_used": _iso(key.used),
        "revoked": _iso(key.revoked),
    }


async def _add(store: Keys, key: Key) -> tuple[Key, str]:
    token = new_key()
    digest = hashlib.sha256(token.encode()).hexdigest()
    made = replace(key, id="key_" + secrets.token_hex(6), sha256=digest)
    await store.add_key(made)
    return made, token


def _unknown() -> Refusal:
    words = "No valid key has this id; `meshgate keys list` shows the keys."
    return Refusal("invalid_request", words, param="id", status=404)


def _iso(seconds: float | None) -> str | None:
    return iso(seconds) if seconds else None
