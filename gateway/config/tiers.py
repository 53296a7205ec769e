"""Service tiers: the tiers in which a call may be served, and their prices.

Config key: `models.*.price.tiers`. A tier that may cost more than could be reserved is refused (`invalid_request`). The
tier in the answer determines the charge; a call reserves at the most expensive tier in which it may be served.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.config.models import Model, Price
from gateway.config.scalars import PLAIN_TIERS
from gateway.errors import Refusal

_CHEAPER: Final = frozenset({"flex", "batch"})  # charged at the standard price if they have no price of their own
_ANY: Final = frozenset({"", "auto"})  # the provider chooses


def possible(price: Price, asked: str) -> Iterable[Price]:
    """Prices that may apply to a call that asks for a tier ("" for none): a provider may serve another tier."""
    yield price
    if price.tiers:
        if asked in _ANY:
            yield from price.by_tier.values()
        elif asked in price.tiers:
            yield price.by_tier[asked]


def charged(price: Price, asked: str, served: str) -> Iterable[Price]:
    """Prices of which the highest is charged. If the answer names no tier (`served` is ""), all that may apply."""
    if not price.tiers or served in PLAIN_TIERS - {""}:
        return (price,)
    if served:
        return (price.by_tier.get(served, price),)
    return (price, price.by_tier[asked]) if asked in price.tiers else (price,)


def check(model: Model, asked: str) -> None:
    """Raise Refusal(invalid_request) for a tier without a known price at each target of the model."""
    if asked in PLAIN_TIERS or asked in _CHEAPER or all(asked in price.tiers for price in model.prices.values()):
        return
    priced = sorted({name for price in model.prices.values() for name in price.tiers} | {"auto", "default", "flex"})
    raise Refusal(
        "invalid_request",
        f"`service_tier` must be one of {', '.join(priced)} for this model: other tiers may cost more than the gateway "
        "can reserve. The operator can configure their prices (models.*.price.tiers).",
        param="service_tier",
    )
