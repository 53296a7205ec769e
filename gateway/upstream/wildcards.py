"""Models by pattern: `models: {"openai/*": {targets: ["openai/*"]}}` serves every model of a provider by its own name.

The name has one `*`; the text that matches replaces the `*` in each target. No file, clock or network.
"""

from __future__ import annotations

import re

from gateway.config.grammar import Model, Rank, Target
from gateway.dialects.terms import is_term

_REST = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:/-]{0,120})(?:@([a-z0-9-]{1,40}))?")
"""The name of a model, possibly with a version in the form of Vertex AI (`claude-3-5-sonnet@20240620`)."""


class Pattern:
    """A name with one `*`, and the model for all names that match."""

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self._model = model
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
            [_target(one, rest) for one in rank] if isinstance(rank, list) else _target(rank, rest)
            for rank in self._model.targets
        ]
        price, ceiling = self._model.price, self._model.max_output
        return Model.model_construct(targets=ranks, price=price, max_output=ceiling)


def _target(target: Target, rest: str) -> Target:
    return target.model_copy(update={"target": target.target.replace("*", rest)})
