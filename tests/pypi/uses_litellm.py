"""LiteLLM as a client, on each dialect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import litellm
from pydantic import BaseModel

from telling import (
    CARD,
    CLAUDE,
    GEMINI,
    KEY,
    LEAK,
    MODEL,
    TEXT,
    URL,
    ended,
    exhausted,
    failed,
    flow,
    main,
    results,
    send,
)


class Form(BaseModel):
    """What is to be said to whom."""

    who: str
    number: int


MODELS = {
    "chat": (f"openai/{MODEL}", f"{URL}/v1"),
    "messages": (f"anthropic/{CLAUDE}", URL),
    "gemini": (f"gemini/{GEMINI}", f"{URL}/v1beta"),
}
litellm.suppress_debug_info = True  # else each error prints advice
PARAMETERS = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
TOOL = {"type": "function", "function": {"name": "send", "description": "Send a message.", "parameters": PARAMETERS}}


async def streamed(ask: Any) -> AsyncIterator[Any]:
    """The pieces of an answer."""
    async for piece in await ask(LEAK, stream=True):
        yield piece


async def run() -> None:
    """Each dialect in turn."""
    for kind, (name, base) in MODELS.items():
        results[kind] = said = {}

        async def ask(text: str, name: str = name, base: str = base, key: str = KEY, **fields: Any) -> Any:
            messages = [{"role": "user", "content": text}]
            settings = {"model": name, "api_base": base, "api_key": key, "max_retries": 0}
            return await litellm.acompletion(**{**settings, "messages": messages, **fields})

        said["whole"] = (await ask(TEXT)).choices[0].message.content
        stream = await ask(TEXT, stream=True)
        said["stream"] = "".join([piece.choices[0].delta.content or "" async for piece in stream])
        said["form"] = json.loads((await ask(TEXT, response_format=Form)).choices[0].message.content)
        for way in ("agent", "agent stream"):
            messages: list[Any] = [{"role": "user", "content": TEXT}]
            while True:
                answer = await ask("", messages=messages, tools=[TOOL], stream=way == "agent stream")
                if way == "agent stream":
                    answer = litellm.stream_chunk_builder([piece async for piece in answer], messages=messages)
                messages.append(answer.choices[0].message)
                if not messages[-1].tool_calls:
                    break
                for call in messages[-1].tool_calls:
                    result = send(**json.loads(call.function.arguments))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            said[way] = messages[-1].content
        said["blocked"] = await failed(ask, CARD)
        said["leak"] = await failed(ask, LEAK)
        said["leak stream"] = await ended(partial(streamed, ask), lambda piece: piece.choices[0].finish_reason)
        said["key"] = await failed(ask, TEXT, key="wrong")
        said["quota"] = await exhausted(ask, TEXT, extra_headers=flow(f"litellm-{kind}"))
    response: Any = await litellm.aresponses(
        model=f"openai/{MODEL}", input=TEXT, api_base=f"{URL}/v1", api_key=KEY, max_retries=0
    )
    results["responses"] = response.output[0].content[0].text


main(run)
