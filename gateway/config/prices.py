"""Default prices of models: the table `prices.yaml`, for models without a price in the configuration.

Config keys: `prices`, `providers.*.kind`. A price applies to a model at its provider, by the name that it has there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from gateway.config.accounts import Provider
from gateway.config.grammar import Config
from gateway.config.models import Model, Price, Rank, Target
from gateway.config.yaml_file import Problem, YamlFile

FILE: Final = Path(__file__).with_suffix(".yaml")


@functools.cache
def table() -> Mapping[tuple[str, str], Price]:
    """The default prices, by kind of provider and the provider's name of the model."""
    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {
        (kind, name): Price(
            runs={**listed.get("runs", {}), **listed.get("runs_of", {}).get(name, {})},
            **{key: usd for key, usd in price.items() if key != "window"},
        )
        for kind, listed in found.items()
        for name, price in listed["models"].items()
    }


def applied(config: Config) -> Config:
    """The configuration with default prices for targets without a price, if any has one."""
    if config.prices == "off" or not any(provider.kind for provider in config.providers.values()):
        return config
    models = {name: _priced(model, config.providers) for name, model in config.models.items()}
    return config.model_copy(update={"models": models})


def known(providers: Mapping[str, Provider], target: Target) -> Price | None:
    """The default price of a target; None if the table has none."""
    provider = providers.get(target.address.provider)
    if provider is None or provider.kind is None:
        return None
    return table().get((provider.kind, target.address.model))


def _priced(model: Model, providers: Mapping[str, Provider]) -> Model:
    if model.is_priced:
        return model

    def priced(target: Target) -> Target:
        price = target.price or known(providers, target)
        return target if price is target.price else target.model_copy(update={"price": price})

    ranks: list[Rank] = [
        [priced(one) for one in rank] if isinstance(rank, list) else priced(rank) for rank in model.targets
    ]
    return model.served_at(ranks)


def unknown(config: Config) -> Iterator[tuple[int | str, ...]]:
    """The places of targets whose price is unknown; the demo provider costs nothing."""
    for name, model in config.models.items():
        for i, rank in enumerate(model.targets):
            for target in rank if isinstance(rank, list) else [rank]:
                if target.address in model.unpriced and config.providers[target.address.provider].format != "demo":
                    yield ("models", name, "targets", i, target.target)


def check(config: Config, doc: YamlFile) -> Iterator[Problem]:
    """With `prices: strict`, an unknown price is a mistake."""
    for *path, target in unknown(config) if config.prices == "strict" else ():
        words = f"has no known price at {target}: write a price (prices: strict)"
        yield Problem(doc.line(tuple(path)), tuple(path[:2]), words)
