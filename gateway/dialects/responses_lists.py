"""Answers about stored responses that are no responses: the list of input items, and the proof of a deletion.

OpenAI API reference: responses/input-items, responses/delete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.bodies import Json, Usage
from gateway.dialects.base import Ungenerated
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.dialects.responses_tables import ANSWER


class ResponseItems(Ungenerated, OpenAIResponses):
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

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The number of items."""
        return {"parts": len(answer.get("data") or ())}

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
