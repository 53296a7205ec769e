"""Models, where they are served, and what they cost: the section `models` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gateway import call as words
from gateway.config.scalars import PLAIN_TIERS, Count, Seconds
from gateway.config.sections import Section


class Price(Section):
    """USD per million tokens. Usage that a provider reports separately (cached input, reasoning, audio) may have a
    price of its own."""

    input: float = Field(default=0, ge=0)
    """USD per million tokens of the request."""
    output: float = Field(default=0, ge=0)
    """USD per million tokens of the answer."""
    cached_input: float | None = Field(default=None, ge=0)
    """Input that the provider read from its cache; default: the price of input."""
    cache_write: float | None = Field(default=None, ge=0)
    """Input that the provider wrote to its cache; default: the price of input."""
    reasoning: float | None = Field(default=None, ge=0)
    """Output that the model used for reasoning; default: the price of output."""
    audio: float | None = Field(default=None, ge=0)
    """Audio tokens of the answer; default: the price of output."""
    audio_input: float | None = Field(default=None, ge=0)
    """Audio tokens of the request; default: the price of audio, or else of input."""
    runs: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """USD per thousand runs of tools that the provider runs, by name: `{web_search: 10, container: 30}`. Charged when
    the answer reports them; not reserved."""
    tiers: dict[str, Price] = Field(default_factory=dict)
    """Prices in other service tiers, by name (flex, priority, batch, scale). A price that a tier leaves out is the
    standard price."""

    @cached_property
    def by_tier(self) -> Mapping[str, Price]:
        """The whole price in each tier."""
        own = self.model_dump(exclude={"tiers"})
        return {name: Price(**{**own, **tier.model_dump(exclude_unset=True)}) for name, tier in self.tiers.items()}

    @model_validator(mode="after")
    def _tiers_are_tiers(self) -> Price:
        for name, tier in self.tiers.items():
            if name in PLAIN_TIERS:
                raise ValueError(f"tiers.{name} is the standard price itself; write tiers such as flex or priority")
            if tier.tiers:
                raise ValueError(f"tiers.{name} has tiers of its own; tiers cannot be nested")
        return self


class Target(Section):
    """A place where a model is served: `provider/model`, and its weight among targets of equal rank."""

    target: str = Field(pattern=r"^[^/]+/.+$")
    """`provider/model`: the provider by its name in this file, the model by its name at the provider."""
    weight: int = Field(default=1, ge=0)
    """Relative share of calls among targets of equal rank."""
    price: Price | None = None
    """Price of tokens at this target, if different from the model's price."""

    @property
    def address(self) -> words.Target:
        """The target as a value."""
        return words.Target.parse(self.target)


def _target(value: object) -> object:
    return {"target": value} if isinstance(value, str) else value


def _rank(value: object) -> str:
    # In angle brackets, so that `messages.problems` can tell the tag from a key of the file in an error's location.
    return "<equals>" if isinstance(value, list | tuple) else "<target>"


Targeted = Annotated[Target, BeforeValidator(_target, json_schema_input_type=str | Target)]
Rank = Annotated[
    Annotated[Targeted, Tag("<target>")] | Annotated[list[Targeted], Tag("<equals>"), Field(min_length=1)],
    Discriminator(_rank),
]


class Cache(Section):
    """Answers of the model that are given again to the same call of the same team."""

    ttl: Seconds = Field(default=3600, gt=0)
    """Seconds that an answer is kept."""
    max_answer: Count = 1_048_576
    """Maximum size of a kept answer in bytes; a larger one is not kept."""


class Model(Section):
    """A model by the name that callers use."""

    targets: list[Rank] = Field(min_length=1)
    """Targets in the order of failover. A list inside the list is a group of equal targets: see `prefer`."""
    prefer: Literal["weights", "least_busy", "price", "latency", "sticky"] = "weights"
    """Which of equal targets comes first. weights: drawn by weight; least_busy: fewest calls in flight for its weight;
    price: the lowest; latency: the shortest measured time to the first byte; sticky: the same for all calls of a
    workflow, which keeps the caches of the provider warm."""
    price: Price = Price()
    """Price of tokens at targets without a price of their own. A call reserves at the highest price that may apply.
    Default: that of the table of prices (`prices`)."""
    max_output: Count = 4096
    """Output tokens reserved for a call that sets no limit of its own."""
    cache: Cache | None = None
    """Keep answers, and give them again to calls that are the same, without a charge; null: no cache."""
    timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds a call may take as a whole. Default: that of the provider."""
    connect_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds to connect. Default: that of the provider."""
    first_byte_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds until the first byte of an answer. Default: that of the provider."""
    idle_timeout: Seconds | None = Field(default=None, gt=0)
    """Seconds that a provider may stay silent in the middle of an answer. Default: that of the provider."""

    @cached_property
    def has_times(self) -> bool:
        """Whether the model has a time limit of its own."""
        times = (self.timeout, self.connect_timeout, self.first_byte_timeout, self.idle_timeout)
        return any(time is not None for time in times)

    def served_at(self, targets: list[Rank]) -> Model:
        """The same model at other targets."""
        # Not a copy, which would have the prices of the old targets.
        fields = {name: getattr(self, name) for name in Model.model_fields}
        return Model.model_construct(self.model_fields_set, **{**fields, "targets": targets})

    @property
    def is_priced(self) -> bool:
        """Whether the model has a price of its own, which may be 0."""
        return "price" in self.model_fields_set

    @cached_property
    def unpriced(self) -> frozenset[words.Target]:
        """The targets whose price is unknown: calls are charged tokens, but no money."""
        every = [target for rank in self.targets for target in (rank if isinstance(rank, list) else [rank])]
        return frozenset(target.address for target in every if target.price is None and not self.is_priced)

    @cached_property
    def prices(self) -> Mapping[words.Target, Price]:
        """The price at each target."""
        every = [target for rank in self.targets for target in (rank if isinstance(rank, list) else [rank])]
        return {target.address: target.price or self.price for target in every}
