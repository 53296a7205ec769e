"""The role of instructions in a chat request: `system`, or `developer` at OpenAI (API reference: chat/create).

Both roles mean the same, and servers of other makers know only `system`.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.bodies import Json

_OTHER: Final = {"system": "developer", "developer": "system"}


def named(body: Json, role: str) -> dict[str, Any]:
    """The changes after which no message has the other role. Messages are shared with other calls: new ones are made.

    `role`: system or developer; "" for no changes.
    """
    other, messages = _OTHER.get(role), body.get("messages")
    if other is None or type(messages) is not list or not any(_has(message, other) for message in messages):
        return {}
    return {"messages": [{**one, "role": role} if _has(one, other) else one for one in messages]}


def _has(message: Any, role: str) -> bool:
    return type(message) is dict and message.get("role") == role
