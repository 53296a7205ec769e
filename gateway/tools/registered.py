"""Tool servers that operators registered by the admin API: rows of `tools` beside those of the configuration file.

The rows are one sealed record of the state store, beside the pins: rows have credentials. All gateways with this store
read the record each second, and follow it. Programs, and documents on the disk of the gateway, are rows of the file
alone: whoever has an admin key must not run programs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from pydantic import ValidationError

from gateway.call import Json
from gateway.config.grammar import Config
from gateway.config.tools import Tool
from gateway.errors import ConfigError
from gateway.redaction.vault import Seal, seal_of
from gateway.stores import Pins

MOST: Final = 200
"""Servers that are registered."""
_NAME: Final = ":registered"  # of the record: no row can have this name
_CONTEXT: Final = "tool servers"
_TRIES: Final = 8
_LOCAL: Final = ("command", "env", "memory", "openapi", "operations")
Rows = Mapping[str, Tool]
_log = logging.getLogger("meshgate")


def row(said: Mapping[str, object]) -> Tool:
    """The row that a request has. Raises ConfigError for keys of the file alone, ValidationError for other mistakes."""
    if local := [key for key in _LOCAL if key in said]:
        words = f"{', '.join(local)}: only the configuration file names programs and files of this machine"
        raise ConfigError(words)
    return Tool.model_validate(said)


def merged(config: Config, rows: Rows) -> tuple[Config, Mapping[str, str]]:
    """A configuration of the file with those rows that fit, and why the others are left out. The file has priority."""
    left_out = {name: "the configuration file has a row of this name" for name in rows if name in config.tools}
    rest = {name: one for name, one in rows.items() if name not in left_out}
    try:
        return config.having(rest), left_out
    except ConfigError:
        for name, one in rest.items():
            try:
                config = config.having({name: one})
            except ConfigError as fault:
                left_out[name] = str(fault)
    return config, left_out


async def record(store: Pins) -> bytes | None:
    """The record, sealed; None if nothing was registered. Raises StoreUnavailable."""
    return await store.pins(_NAME)


async def registered(store: Pins, seal: Seal | None) -> Rows:
    """The rows in a store. Raises StoreUnavailable."""
    return rows_of(await record(store), seal)


async def completed(config: Config, store: Pins) -> Config:
    """A configuration of the file with the rows in a store. Raises ConfigError, StoreUnavailable."""
    return merged(config, await registered(store, seal_of(config)))[0]


async def change(store: Pins, seal: Seal, name: str, new: Tool | None) -> None:
    """Keep the row of a name, or drop it (None).

    Raises ConfigError if there are too many, or if the record is that of another key; StoreUnavailable.
    """
    for _ in range(_TRIES):
        data = await record(store)
        rows = _opened(data, seal)
        rows.pop(name, None)
        if new is not None:
            rows[name] = new.model_dump(mode="json", exclude_unset=True)
        if len(rows) > MOST:
            raise ConfigError(f"{MOST} servers are registered already")
        if await store.pin(_NAME, seal.enclose(_CONTEXT, orjson.dumps(rows)), data):
            return
    raise ConfigError("other operators keep changing the registered servers; try again")


def rows_of(data: bytes | None, seal: Seal | None) -> Rows:
    """The rows of a record. One that cannot be read has none, so that calls of the servers of the file go on.

    A row that this version does not know, as another one wrote the row, is left out; the record keeps the row.
    """
    rows: dict[str, Tool] = {}
    try:
        said = _opened(data, seal)
    except ConfigError as fault:
        _log.error("%s", fault)
        return rows
    for name, one in said.items():
        try:
            rows[name] = Tool.model_validate(one)
        except ValidationError:  # whose words could have credentials
            _log.error("the tool server %s, registered by the admin API, is no row of this version: left out", name)
    return rows


def _opened(data: bytes | None, seal: Seal | None) -> dict[str, Json]:
    """The rows of a record, as they were written. Raises ConfigError for a record that cannot be read."""
    if data is None:
        return {}
    words = "the tool servers that were registered by the admin API cannot be read: they need their pii.vault_key"
    if seal is None:
        raise ConfigError(words)
    try:
        said: dict[str, Json] = orjson.loads(seal.disclose(_CONTEXT, data))
    except (InvalidTag, ValueError):
        raise ConfigError(words) from None
    return said
