"""Conversations that OpenAI stores (OpenAI API reference: conversations): create, change, delete, and their items.

A request names no model: it is a call of the model that is called like the path, `/v1/conversations`. Items are those
of the Responses dialect, and are judged in requests and answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.bodies import Json, Named, State, Step, Usage
from gateway.dialects import NO_VALUES, Intent, checks, responses_items
from gateway.dialects.base import Plain
from gateway.dialects.field_table import table
from gateway.dialects.parts import Joined, joined
from gateway.dialects.responses_fields import ITEM
from gateway.dialects.responses_lists import ResponseItems
from gateway.dialects.responses_tables import SHAPE
from gateway.errors import Refusal
from gateway.texts import Slot

MODEL: Final = "/v1/conversations"
_SHAPE: Final = replace(SHAPE, roles={"items": "user"}, turns=frozenset({"items"}), ahead=frozenset())


def _as_input(body: Json) -> Json:
    """The items as a request of the Responses dialect has them."""
    return {"input": body.get("items") or []}


class Conversations(ResponseItems):
    """The codec of `/v1/conversations`, and of one conversation."""

    name = "openai_conversations"
    noun = "a conversation"
    path = "/conversations"
    stores = "conversation"
    shape = _SHAPE
    fields = table("include", items=ITEM, metadata=None)

    defers = Plain.defers
    pending = Plain.pending
    overhead = Plain.overhead
    tier = Plain.tier
    answer_items = Plain.answer_items
    drop_repeats = Plain.drop_repeats

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The path as the model; tools that items offer. Raises Refusal(invalid_request), which names the parameter."""
        said = body.get("items")
        if type(said) not in (list, type(None)):
            raise checks.wrong("items", "must be a list of items")
        try:
            responses_items.check(_as_input(body))
        except Refusal as refusal:
            raise Refusal(refusal.code, refusal.message.replace("`input`", "`items`"), param="items") from None
        if type(body.get("metadata")) not in (dict, type(None)):
            raise checks.wrong("metadata", "must be an object")
        return Intent(MODEL, False, self.tools(_as_input(body)), 0)

    def hosted(self, body: Json) -> list[Json]:
        """The tools that items offer and the provider runs."""
        return super().hosted(_as_input(body))

    def refers(self, body: Json) -> Sequence[Named]:
        """Items of earlier answers."""
        return responses_items.refers(_as_input(body))

    def recalled(self, body: Json, start: int) -> Sequence[Json]:
        """Reasoning in plain words."""
        return responses_items.recalled(_as_input(body), start)

    def keeps(self, body: Json) -> bool:
        """True: this is what the call is for."""
        return True

    def state(self, answer: Json) -> State | None:
        """The conversation."""
        id = checks.text(answer.get("id"))
        return State(id, ()) if responses_items.ID.fullmatch(id) else None

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """False: there is no model in the body."""
        return False

    def items(self, body: Json) -> dict[str, int]:
        """The number of items, parts and tool calls."""
        return responses_items.counts(_as_input(body))

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined text parts of each message."""
        return joined({"messages": responses_items.messages(_as_input(body))}, slots)

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Prompts, the model's turns and tool results, in order."""
        return responses_items.steps(body.get("items") or [], earlier)

    def unscannable(self, body: Json) -> dict[str, int]:
        """Screenshots that are files of the provider."""
        return super().unscannable(_as_input(body))

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Nothing is generated, so nothing exceeds a limit."""
        checks.most_tokens(limits, "conversations")
        return False

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a conversation, or the proof that one was deleted."""
        if not checks.text(answer.get("id")):
            raise ValueError("it holds no id")

    def usage(self, answer: Json) -> Usage | None:
        """No usage: storing is free of charge."""
        return Usage()

    def demo(self, body: Json) -> Json:
        """A conversation."""
        return {"id": "conv_demo", "object": "conversation", "created_at": 1, "metadata": body.get("metadata") or {}}


class ConversationItems(Conversations):
    """The items of a conversation: the list of them, or those that a request adds."""

    name = "openai_conversation_items"
    noun = "a list of items"

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a list of items."""
        ResponseItems.check(self, answer, choices)

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The number of items."""
        return {"parts": len(answer.get("data") or ())}

    def state(self, answer: Json) -> State | None:
        """The items, which later requests may refer to."""
        ids = [checks.text(item.get("id")) for item in answer["data"]]
        return State("", (), [id for id in ids if responses_items.ID.fullmatch(id)])


class ConversationItem(Conversations):
    """One item of a conversation."""

    name = "openai_conversation_item"
    noun = "an item"

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is an item."""
        if not checks.text(answer.get("type")):
            raise ValueError("it holds no item")


CONVERSATIONS = Conversations()
CONVERSATION_ITEMS = ConversationItems()
CONVERSATION_ITEM = ConversationItem()
