"""The former version of the official client of OpenAI, sync and async, over HTTP and WebSocket."""

from __future__ import annotations

import json
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from telling import CARD, KEY, MODEL, TEXT, URL, exhausted, failed, flow, main, results, send


class Form(BaseModel):
    """What is to be said to whom."""

    who: str
    number: int


PROPERTIES = {"properties": {"to": {"type": "string"}}, "required": ["to"]}
SEND = {"name": "send", "parameters": {"type": "object", **PROPERTIES, "additionalProperties": False}, "strict": True}


async def chats(client: AsyncOpenAI, create: Any) -> None:
    """Chat completions."""
    said: dict[str, Any] = {}
    results["chat"] = said
    hi: Any = [{"role": "user", "content": TEXT}]
    said["whole"] = (await create(messages=hi)).choices[0].message.content
    stream = await create(messages=hi, stream=True)
    said["stream"] = "".join([piece.choices[0].delta.content or "" async for piece in stream if piece.choices])
    parsed = await client.chat.completions.parse(model=MODEL, messages=hi, response_format=Form)
    said["form"] = parsed.choices[0].message.parsed and parsed.choices[0].message.parsed.model_dump()
    tool: Any = {"type": "function", "function": SEND}
    for way in ("agent", "agent stream"):
        messages = list(hi)
        while True:
            if way == "agent":
                message = (await create(messages=messages, tools=[tool])).choices[0].message
            else:
                async with client.chat.completions.stream(model=MODEL, messages=messages, tools=[tool]) as events:
                    message = (await events.get_final_completion()).choices[0].message
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            if not message.tool_calls:
                break
            call = message.tool_calls[0]
            result = send(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        said[way] = message.content


async def responses(client: AsyncOpenAI) -> None:
    """The Responses API."""
    said: dict[str, Any] = {}
    results["responses"] = said
    said["whole"] = (await client.responses.create(model=MODEL, input=TEXT)).output_text
    async with client.responses.stream(model=MODEL, input=TEXT) as stream:
        said["stream"] = (await stream.get_final_response()).output_text
    parsed = (await client.responses.parse(model=MODEL, input=TEXT, text_format=Form)).output_parsed
    said["form"] = parsed and parsed.model_dump()
    tool: Any = {"type": "function", **SEND}
    for way in ("agent", "agent stream"):
        items: list[Any] = [{"role": "user", "content": TEXT}]
        while True:
            if way == "agent":
                answer: Any = await client.responses.create(model=MODEL, input=items, tools=[tool])
            else:
                async with client.responses.stream(model=MODEL, input=items, tools=[tool]) as stream:
                    answer = await stream.get_final_response()
            items += answer.output
            if answer.output[0].type != "function_call":
                break
            result = send(**json.loads(answer.output[0].arguments))
            call = answer.output[0].call_id
            items.append({"type": "function_call_output", "call_id": call, "output": result})
        said[way] = answer.output_text


async def websocket(client: AsyncOpenAI) -> str:
    """The text of a response over WebSocket."""
    async with client.responses.connect() as connection:
        await connection.response.create(model=MODEL, input=TEXT, store=False)
        text = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type in ("response.completed", "error"):
                break
    return text


async def run() -> None:
    """All of these."""
    settings: dict[str, Any] = {"base_url": f"{URL}/v1", "max_retries": 0}
    with OpenAI(api_key=KEY, **settings) as sync:
        answer = sync.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": TEXT}])
        results["sync"] = answer.choices[0].message.content
        results["models"] = MODEL in [model.id for model in sync.models.list()]
    async with AsyncOpenAI(api_key=KEY, **settings) as client:

        async def create(**fields: Any) -> Any:
            return await client.chat.completions.create(model=MODEL, **fields)

        await chats(client, create)
        await responses(client)
        results["websocket"] = await websocket(client)
        hi, card = ([{"role": "user", "content": text}] for text in (TEXT, CARD))
        results["blocked"] = await failed(create, messages=card)
        results["blocked response"] = await failed(client.responses.create, model=MODEL, input=CARD, stream=True)
        wrong = client.with_options(api_key="wrong")
        results["key"] = await failed(wrong.chat.completions.create, model=MODEL, messages=hi)
        headers = flow("openai-2")
        results["quota"] = await exhausted(create, messages=hi, extra_headers=headers)


main(run)
