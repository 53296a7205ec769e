"""The order of the targets of a model: ranks as configured, and within a rank by the strategy of the model.

Config key: `models.*.prefer`. A call that carries signed state (a thinking signature, encrypted reasoning) has one
target: the one that served its workflow before, since no other can read that state.
"""

from __future__ import annotations

import math
import random
from hashlib import blake2b
from typing import Final

import orjson

from gateway.call import Call, Target
from gateway.config.models import Model
from gateway.config.models import Target as Configured
from gateway.redaction import openings
from gateway.upstream.health import Healths

_SIGNED: Final = (
    *(b'"signature"', b'"encrypted_content"', b'"thoughtSignature"', b'"thought_signature"'),
    *(b'"redacted_thinking"', b'"reasoning_details"', b'"compaction"'),
)


def order(model: Model, draw: random.Random, healths: Healths | None = None, workflow: bytes = b"") -> list[Target]:
    """The targets in the order of attempts. `workflow`: its name, b"" for a call of no workflow."""
    chosen: list[Target] = []
    for rank in model.targets:
        equals = list(rank) if isinstance(rank, list) else [rank]
        chosen += _ranked(model, equals, draw, healths, workflow) if len(equals) > 1 else [equals[0].address]
    return chosen


def _ranked(
    model: Model, equals: list[Configured], draw: random.Random, healths: Healths | None, workflow: bytes
) -> list[Target]:
    """The targets of one rank: drawn by weight, and then sorted by the strategy, so that the draw decides a tie."""
    found = _drawn(equals, draw)
    if model.prefer == "price":
        found.sort(key=lambda one: _price(model, one.address))
    elif model.prefer == "sticky" and workflow:
        found.sort(key=lambda one: _score(one, workflow))
    elif model.prefer == "least_busy" and healths is not None:
        found.sort(key=lambda one: healths.of(one.address).busy / max(one.weight, 0.001))
    elif model.prefer == "latency" and healths is not None:
        found.sort(key=lambda one: healths.of(one.address).expected())
    return [one.address for one in found]


def _drawn(equals: list[Configured], draw: random.Random) -> list[Configured]:
    found: list[Configured] = []
    left = list(equals)
    while left:
        weights = [target.weight for target in left]
        pick = draw.choices(left, weights)[0] if any(weights) else left[0]
        left.remove(pick)
        found.append(pick)
    return found


def _price(model: Model, target: Target) -> float:
    """Tokens in and out count alike; a target whose price is unknown comes last."""
    if target in model.unpriced:
        return math.inf
    price = model.prices[target]
    return price.input + price.output


def _score(target: Configured, workflow: bytes) -> float:
    """Rendezvous hashing by weight: a target that comes or goes moves only its own share of the workflows."""
    digest = blake2b(target.target.encode(), key=workflow[:64], digest_size=8).digest()
    share = (int.from_bytes(digest) + 1) / (2**64 + 1)
    return -math.log(share) / max(target.weight, 0.001)


def workflow_of(call: Call) -> bytes:
    """The name of the workflow; of a call without one, that of its conversation: how the conversation began."""
    if not call.request.alone:
        said = call.request.correlation_id.encode()
    else:
        body = openings.received(call)
        turns = body.get(call.codec.history) or body.get("input")
        first = turns[0] if isinstance(turns, list) and turns else turns
        said = orjson.dumps((body.get("system"), first))
    return blake2b(call.team.encode() + b"\0" + said, digest_size=16).digest()


def is_signed(call: Call) -> bool:
    """Whether the request carries state that only the account that made it can read. In doubt, it does."""
    raw = call.request.raw
    return any(mark in raw for mark in _SIGNED)
