"""Chooses a target, sends the call, and returns the answer as it arrives.

Config keys: `providers`, `models.*.targets`. Refuses with model_not_found, upstream_error, upstream_timeout, and with
invalid_request if the provider refuses the request. Targets are tried in order until one begins to answer; targets of
equal rank are drawn by weight. After an answer has begun, there is no second try.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property

from gateway.call import Call, Place, Target
from gateway.config.accounts import Provider
from gateway.config.models import Model, Price
from gateway.config.models import Target as Configured
from gateway.dialects import Codec
from gateway.dialects.routes import ROUTES, shown
from gateway.dialects.terms import is_term
from gateway.errors import Refusal
from gateway.stores import Outages
from gateway.translate.translation import translates
from gateway.upstream.answer import Answer
from gateway.upstream.attempts import Attempts
from gateway.upstream.choice import is_signed, order, workflow_of
from gateway.upstream.client import Client
from gateway.upstream.health import Healths
from gateway.upstream.sender import Sender
from gateway.upstream.wildcards import Pattern

_MOST_MADE = 1024  # remembered names that match a pattern
_PATH = re.compile(r"/v1(?:beta)?(?:/[a-z_]{1,32}){1,3}")
Open = Callable[[Call, Sequence[Target]], Awaitable[Answer]]


def not_found(name: str) -> Refusal:
    """The refusal for an unknown model; names the model only if the name cannot be a secret or personal data."""
    called = f"called {name[:80]!r}" if is_term(name) else "of that name"
    words = f"There is no model {called} here. GET /v1/models lists the models."
    if _PATH.fullmatch(name):  # a path whose requests name no model
        words = (
            f"{name} is not configured: its requests name no model, so they are calls of a model called like the path. "
            f'The operator chooses the provider: models: {{"{name}": {{targets: [PROVIDER/any]}}}}.'
        )
    return Refusal("model_not_found", words, param="model")


def _called(name: str) -> str:
    """A model in an error message; not named if the name may be a secret or personal data."""
    return f"`{name[:80]}`" if is_term(name) else "of that name"


class Forward:
    """The stage. `clients` outlive reloads, by name: one pool of connections for the life of the process."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        models: Mapping[str, Model],
        clients: Mapping[str, Client],
        healths: Healths | None = None,
        known: Callable[[Configured], Price | None] | None = None,
        outages: Outages | None = None,
    ) -> None:
        self._healths = Healths() if healths is None else healths
        self._models = models
        self._providers = providers
        self._longest = max((model.timeout or 0.0 for model in models.values()), default=0.0)
        self._draw = random.Random()  # noqa: S311  (distributes load; guessing the result gains nothing)
        timed = any(model.has_times for model in models.values())
        sender = Sender(providers, clients, self.model if timed else None)
        attempts = Attempts(self._healths, sender, outages, self._draw)
        self.open: Open = attempts.open
        self._patterns = [Pattern(name, model, known) for name, model in models.items() if "*" in name]
        self._made: dict[str, Model] = {}  # models by names that match a pattern
        self.fields = {name: provider.unknown_fields for name, provider in providers.items()}
        self._simple = {
            name: model.targets[0].address
            for name, model in models.items()
            if len(model.targets) == 1
            and isinstance(model.targets[0], Configured)
            and len(providers[model.targets[0].address.provider].keys) == 1
        }

    def model(self, name: str) -> Model:
        """The model with this name. Raises Refusal(model_not_found)."""
        model = (self._models.get(name) if "*" not in name else None) or self._matched(name)
        if model is None:
            raise not_found(name)
        return model

    def label(self, name: str) -> str:
        """The name of a model in metrics and logs: its name in the configuration, possibly a pattern. "": unknown."""
        if name in self._models:
            return name
        return next((pattern.name for pattern in self._patterns if pattern.rest(name) is not None), "")

    def _matched(self, name: str) -> Model | None:
        """The model for this name by a pattern with `*`; None if no pattern matches."""
        if (made := self._made.get(name)) is not None:
            return made
        for pattern in self._patterns:
            if (rest := pattern.rest(name)) is not None:
                if len(self._made) >= _MOST_MADE:
                    self._made.clear()
                made = self._made[name] = pattern.made(rest)
                return made
        return None

    def targets(
        self, name: str, codec: Codec | None = None, at: Target | None = None, call: Call | None = None
    ) -> list[Target]:
        """The targets for a call in this dialect (None: any dialect), in the order of attempts.

        `at`: where the state is that the call continues; then the only target is this one, or else one of the same
        provider. `call`: whose workflow and signed state count, if there is a choice. Raises Refusal(invalid_request)
        if no target of the model has this dialect, or the state.
        """
        if at is not None:
            if call is not None and call.request.stored is not None:
                call.admission.account = call.request.stored.account
            return [self._holding(at, name, self.targets(name, codec))]
        simple = self._simple.get(name)
        if simple is not None and (codec is None or self._answers(simple, codec)):
            return [simple]
        workflow = b""
        if not simple and call is not None:
            workflow = call.admission.workflow = workflow_of(call)
        found = [simple] if simple else order(self.model(name), self._draw, self._healths, workflow)
        if codec is None:
            return found
        spoken = [target for target in found if self._answers(target, codec)]
        if not spoken:
            raise Refusal("invalid_request", self._elsewhere(name, found, codec), param="model")
        if workflow and call is not None and is_signed(call):
            served, call.admission.account = self._healths.served.get(workflow, (spoken[0], ""))
            return [served if served in spoken else spoken[0]]
        return spoken

    def places(self, targets: Sequence[Target]) -> list[Place]:
        """The keys of the providers of these targets, in the order of the configuration."""
        first = {target.provider: target for target in reversed(targets)}
        return [Place(first[name], key) for name, it in self._providers.items() if name in first for key in it.keys]

    def _holding(self, at: Target, name: str, targets: Sequence[Target]) -> Target:
        """The target that has the state at `at`. Raises Refusal(invalid_request)."""
        here = [target for target in targets if target.provider == at.provider]
        if not here:
            words = (
                f"The conversation is stored at the provider {at.provider}, which does not serve the model "
                f"{_called(name)}. "
                "Ask for the model that answered before, or send all items of the conversation in `input`."
            )
            raise Refusal("invalid_request", words, param="model")
        return at if at in here else here[0]

    def _answers(self, target: Target, codec: Codec) -> bool:
        """Whether a target can serve calls in this dialect, as they are or translated."""
        provider = self._providers[target.provider]
        return provider.speaks(codec) or translates(codec, provider.format)

    def _format(self, target: Target) -> str:
        """The format of the provider of a target."""
        return self._providers[target.provider].format

    def _elsewhere(self, name: str, targets: Sequence[Target], codec: Codec) -> str:
        """The refusal for a model without targets in the dialect of the call: names the path to use."""
        formats = sorted({self._format(target) for target in targets})
        paths = [shown(path) for path, other in ROUTES.items() if not other.formats.isdisjoint(formats)]
        return (
            f"The model {_called(name)} is served by providers of format {', '.join(formats)}, which do not answer "
            f"with {codec.noun}. Call it at {' or '.join(f'`{path}`' for path in paths)}, or ask the operator for a "
            f"target of format {' or '.join(sorted(codec.formats))}."
        )

    def price(self, name: str, target: Target) -> Price:
        """The price of a model at a target; the price of the model itself if the target is no longer configured."""
        model = self.model(name)
        return model.prices.get(target, model.price)

    def is_priced(self, name: str, target: Target) -> bool:
        """Whether the price of a model at a target is known."""
        return target not in self.model(name).unpriced or self._format(target) == "demo"

    @cached_property
    def most_patience(self) -> float:
        """Seconds that a call may take, whatever its model."""
        return max((self.patience(list(model.prices)) for model in self._models.values()), default=0.0)

    def patience(self, targets: Sequence[Target]) -> float:
        """Seconds that a call may take if it tries all of these targets."""
        times = [max(self._providers[target.provider].timeout, self._longest) for target in targets]
        rules = self._healths.retries
        return sum(times) + rules.most * max(times, default=0.0) + rules.wait
