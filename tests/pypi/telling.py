"""What the scripts share: the gateway, texts, and how results and errors of a client are told."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

URL, KEY = os.environ["URL"], os.environ["KEY"]
TEXT = "Tell bob.jones@example.org that the meeting is at noon."
LEAK = "Leak."
"""The answer to this text has a secret."""
CARD = "Charge 4111 1111 1111 1111."
MODEL = "tooling"
CLAUDE = f"claude-sonnet-4-5-{MODEL}"
"""Frameworks look up what a model can do by its name."""
GEMINI = f"gemini-2.5-flash-{MODEL}"
results: dict[str, Any] = {}


def flow(name: str) -> dict[str, str]:
    """Headers of a workflow."""
    return {"x-correlation-id": f"ended-{name}"}


def send(to: str) -> str:
    """Send a message."""
    results.setdefault("sent", []).append(to)
    return f"sent to {to}"


def told(error: BaseException) -> dict[str, Any]:
    """The class and the message of an error."""
    return {"class": f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}", "message": str(error)}


async def failed(call: Callable[..., Awaitable[Any]], *values: Any, **named: Any) -> dict[str, Any] | None:
    """The error that a call raises."""
    try:
        await call(*values, **named)
    except Exception as error:
        return told(error)
    return None


async def ended(call: Callable[[], AsyncIterator[Any]], reason: Callable[[Any], Any]) -> Any:
    """How a stream ends: the error that is raised, or the reason that is said last."""
    last = None
    try:
        async for piece in call():
            last = reason(piece) or last
    except Exception as error:
        return told(error)
    return last


async def exhausted(call: Callable[..., Awaitable[Any]], *values: Any, **named: Any) -> dict[str, Any] | None:
    """The last error of calls in a workflow that may make two."""
    await call(*values, **named)
    await call(*values, **named)
    return await failed(call, *values, **named)


def main(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a script, and print its results."""
    try:
        asyncio.run(run())
    finally:
        print(json.dumps(results))
