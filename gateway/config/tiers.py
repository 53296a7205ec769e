"""Service tiers: what a call may be served in, and what its tokens cost there.

Config key: `models.*.price.tiers`. Refuses with invalid_request a tier that costs more than what could be reserved. The
tier that the answer names decides the charge; a call reserves at the dearest of those that it may be served in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.errors import Refusal

if TYPE_CHECKING:
    from gateway.config.grammar import Model, Price

PLAIN_TIERS: Final = frozenset({"", "auto", "default", "standard", "standard_only"})
"""Names that stand for no tier with a price of its own."""
_CHEAPER: Final = frozenset({"flex", "batch"})  # at the price itself, where they have none of their own
_ANY: Final = frozenset({"", "auto"})  # the provider chooses


def possible(price: Price, asked: str) -> Iterable[Price]:
    """Prices at which a call may be charged that asks for a tier ("" for none): a provider may serve it in another."""
    yield price
    if price.tiers:
        if asked in _ANY:
            yield from price.by_tier.values()
        elif asked in price.tiers:
            yield price.by_tier[asked]


def charged(price: Price, asked: str, served: str) -> Iterable[Price]:
    """Prices of which the dearest is charged. Where the answer does not say (`served` is ""), all that it may be."""
    if not price.tiers or served in PLAIN_TIERS - {""}:
        return (price,)
    if served:
        return (price.by_tier.get(served, price),)
    return (price, price.by_tier[asked]) if asked in price.tiers else (price,)


def check(model: Model, asked: str) -> None:
    """Raise Refusal for a tier whose price is not known at each target of a model."""
    if asked in PLAIN_TIERS or asked in _CHEAPER or all(asked in price.tiers for price in model.prices.values()):
        return
    priced = sorted({name for price in model.prices.values() for name in price.tiers} | {"auto", "default", "flex"})
    raise Refusal(
        "invalid_request",
        f"`service_tier` must be one of {', '.join(priced)} for this model: others may cost more than this gateway "
        "could reserve. The operator can give them a price (models.*.price.tiers).",
        param="service_tier",
    )
