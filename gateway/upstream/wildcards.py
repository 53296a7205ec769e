"""Models by pattern: `models: {"openai/*": {targets: ["openai/*"]}}` serves every model of a provider by its own name.

The name has one `*`; the text that matches replaces the `*` in each target. `known` has the default prices. No clock
or network.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.config.models import Model, Price, Rank, Target
from gateway.dialects.terms import is_term

_REST = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:/-]{0,120})(?:@([a-z0-9-]{1,40}))?")
"""The name of a model, possibly with a version in the form of Vertex AI (`claude-3-5-sonnet@20240620`)."""


class Pattern:
    """A name with one `*`, and the model for all names that match."""

    def __init__(self, name: str, model: Model, known: Callable[[Target], Price | None] | None = None) -> None:
        self.name = name
        self._model = model
        self._known = known
        self._before, _, self._after = name.partition("*")

    def rest(self, name: str) -> str | None:
        """The text in place of the `*`; None if the name does not match, or if the text may be a value."""
        if not name.startswith(self._before) or not name.endswith(self._after):
            return None
        rest = name[len(self._before) : len(name) - len(self._after)]
        match = _REST.fullmatch(rest)
        return rest if match and all(is_term(f"_/{part}") for part in match.groups(default="_")) else None

    def made(self, rest: str) -> Model:
        """The model with `rest` in its targets."""
        ranks: list[Rank] = [
            [self._target(one, rest) for one in rank] if isinstance(rank, list) else self._target(rank, rest)
            for rank in self._model.targets
        ]
        return self._model.served_at(ranks)

    def _target(self, target: Target, rest: str) -> Target:
        made = target.model_copy(update={"target": target.target.replace("*", rest)})
        if made.price is not None or self._model.is_priced or self._known is None:
            return made
        return made.model_copy(update={"price": self._known(made)})
