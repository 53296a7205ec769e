"""The gateway keys of every store."""

from __future__ import annotations

from gateway.stores import Key, Store


async def test_keys(store: Store) -> None:
    """Keys are listed, revoked once, and every change shows in the version."""
    before = await store.keys_version()
    key = Key("k1", "ab" * 32, "bot", "support", ("reader", "writer"), 1000.5)
    await store.add_key(key)
    added = await store.keys_version()
    assert added != before
    assert await store.keys() == [key]
    assert await store.revoke_key("k1")
    assert await store.keys_version() != added
    assert (await store.keys())[0].revoked is not None
    assert not await store.revoke_key("k1")
    assert not await store.revoke_key("none")


async def test_keys_expire_and_are_used(store: Store) -> None:
    """Expiry and last use are kept; only a change of the key itself shows in the version."""
    await store.add_key(Key("k1", "ab" * 32, "bot", "support", ("reader",), 1000.5, expires=2000.25))
    await store.add_key(Key("k2", "cd" * 32, "bot", "support", (), 1001.5))
    assert [key.expires for key in await store.keys()] == [2000.25, None]
    before = await store.keys_version()
    assert await store.expire_key("k2", 3000.5)
    assert not await store.expire_key("none", 3000.5)
    changed = await store.keys_version()
    assert changed != before
    await store.note_keys({"k1": 1500.5})
    await store.durable()
    assert await store.keys_version() == changed
    assert [(key.expires, key.used) for key in await store.keys()] == [(2000.25, 1500.5), (3000.5, None)]
    assert await store.revoke_key("k1")
    assert not await store.expire_key("k1", 1.0)
