"""The keys of the state in Redis. `redis.lua` lists the value of each key."""

from __future__ import annotations

import functools
from typing import Final
from urllib.parse import quote

from gateway.amounts import Ask


@functools.lru_cache(maxsize=4096)
def _tag(name: str) -> str:
    """A name, quoted so that it cannot end the hash tag."""
    return quote(name, safe=" /@:")


def work_key(team: str, correlation_id: str) -> str:
    """The record of a workflow."""
    return f"mg1:{{{_tag(team)}}}:w:{correlation_id}"


def vault_key(team: str, correlation_id: str) -> str:
    """The vault of a workflow."""
    return f"mg1:{{{_tag(team)}}}:v:{correlation_id}"


def answer_key(team: str, key: str) -> str:
    """The answer under an idempotency key of a team."""
    return f"mg1:{{{_tag(team)}}}:i:{key}"


def owned_key(team: str, id: str) -> str:
    """The record of an id that a provider gave."""
    return f"mg1:{{{_tag(team)}}}:o:{id}"


GRANTS: Final = "mg1:{grants}"
"""The tokens of users at tool servers."""
DUES: Final = ("mg1:{dues}", "mg1:{dues}:times")
"""The answers that are made in the background, and when somebody is to ask for each again."""


def pins_key(server: str) -> str:
    """The accepted tools of a server."""
    return f"mg1:{{pins}}:{server}"


def registry_keys(team: str) -> tuple[str, str]:
    """The registered agents of a team, and when their entries end."""
    return f"mg1:{{{_tag(team)}}}:agents", f"mg1:{{{_tag(team)}}}:agents:ends"


def open_key(team: str) -> str:
    """The open reservations of a team."""
    return f"mg1:{{{_tag(team)}}}:open"


def alone_key(team: str) -> str:
    """The calls of a team that gateways admitted without Redis."""
    return f"mg1:{{{_tag(team)}}}:alone"


def seen_key(team: str) -> str:
    """The index of a team's workflows, by last call."""
    return f"mg1:{{{_tag(team)}}}:seen"


def bucket_key(team: str, key: str) -> str:
    """A token bucket: in the team's slot for an agent or a team, otherwise in a slot of its own."""
    if key.startswith(("agent:", "team:")):
        return f"mg1:{{{_tag(team)}}}:b:{key}"
    return f"mg1:{{{_tag(key)}}}:b"


def call_keys(ask: Ask) -> tuple[list[str], dict[str, int]]:
    """The keys of a script call, and the index (from 1) of each bucket among them."""
    keys = [work_key(ask.team, ask.correlation_id), open_key(ask.team), seen_key(ask.team)]
    slots: dict[str, int] = {}
    for debit in ask.debits:
        if debit.refill and debit.key not in slots:
            keys.append(bucket_key(ask.team, debit.key))
            slots[debit.key] = len(keys)
    return keys, slots
