"""Answers about stored responses that are no responses: the list of input items, and the proof of a deletion.

OpenAI API reference: responses/input-items, responses/delete.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.call import Json, State, Usage
from gateway.dialects import tree
from gateway.dialects.fields import Run
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.dialects.responses_tables import ANSWER


class ResponseItems(OpenAIResponses):
    """The items of a request, as the provider stores them. All of their texts are judged; there are no tool calls."""

    name = "openai_response_items"
    noun = "a list of items"
    history = ""
    answer = replace(ANSWER, within=ANSWER.within | {"data"})
    main = frozenset()

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a list of items."""
        items = answer.get("data")
        if type(items) is not list or not all(type(item) is dict for item in items):
            raise ValueError("it holds no items")

    def state(self, answer: Json) -> State | None:
        """None."""
        return None

    def answer_items(self, answer: Json) -> dict[str, int]:
        """The number of items."""
        return {"parts": len(answer.get("data") or ())}

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """None: each text is separate."""
        return []

    def calls(self, answer: Json) -> list[Json]:
        """None: these calls are part of a request."""
        return []

    def strays(self, answer: Json) -> list[Json]:
        """None."""
        return []

    def drop_nulls(self, answer: Json) -> bool:
        """Nothing."""
        return False

    def echoes(self, answer: Json) -> bool:
        """There are no repetitions of a text."""
        return True

    def conceal(self, answer: Json) -> None:
        """There are no repetitions of a text."""

    def asides(self, answer: Json) -> list[str]:
        """No alternative texts."""
        return []

    def usage(self, answer: Json) -> Usage | None:
        """No usage."""
        return None


class ResponseDeleted(ResponseItems):
    """The proof that a response was deleted."""

    name = "openai_response_deleted"
    noun = "the proof of a deletion"

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this says that something was deleted."""
        if answer.get("deleted") is not True:
            raise ValueError("nothing was deleted")


RESPONSE_ITEMS = ResponseItems()
RESPONSE_DELETED = ResponseDeleted()
