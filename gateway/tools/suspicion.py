"""How much the definition of a tool looks like instructions to the model, beside what it says of the tool."""

from __future__ import annotations

from typing import Final

from gateway.call import Json
from gateway.dialects.tree import Shape, Survey
from gateway.errors import Refusal
from gateway.redaction.content import Contents

HIGH: Final = 0.8
"""The score from which a tool is not accepted at first sight: wrong for one harmless text in a thousand."""
_PLAIN: Final = Shape(frozenset(), frozenset(), frozenset())


class Suspicion:
    """Scores definitions. `contents`: None without `policy.content`; then no score is above 0."""

    def __init__(self, contents: Contents | None) -> None:
        self._contents = contents

    def of(self, tool: Json) -> float:
        """The score of all texts of a definition, from 0 to 1; 1 for one that is nested too deep. Takes CPU time."""
        if self._contents is None:
            return 0.0
        survey = Survey(_PLAIN)
        try:
            survey.walk(tool)
        except Refusal:
            return 1.0
        return self._contents.read([slot._replace(role="tool") for slot in survey.slots]).score
