"""Agents of Pydantic AI on each dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from anthropic import AsyncAnthropic
from google.genai import Client
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

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


def model(kind: str, key: str = KEY) -> Any:
    """A model that tries once."""
    match kind:
        case "chat" | "responses":
            openai = AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)
            made = OpenAIChatModel if kind == "chat" else OpenAIResponsesModel
            return made(MODEL, provider=OpenAIProvider(openai_client=openai))
        case "messages":
            anthropic = AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)
            return AnthropicModel(CLAUDE, provider=AnthropicProvider(anthropic_client=anthropic))
        case _:
            google = Client(api_key=key, http_options={"base_url": URL})
            return GoogleModel(GEMINI, provider=GoogleProvider(client=google))


async def streamed(agent: Any, text: str = LEAK) -> AsyncIterator[str]:
    """The pieces of an answer."""
    async with agent.run_stream(text) as stream:
        async for piece in stream.stream_text(delta=True):
            yield piece


async def run() -> None:
    """Each dialect in turn."""
    for kind in ("chat", "responses", "messages", "gemini"):
        results[kind] = said = {}
        llm = model(kind)
        agent = Agent(llm)
        said["whole"] = (await agent.run(TEXT)).output
        said["stream"] = "".join([piece async for piece in streamed(agent, TEXT)])
        said["form"] = (await Agent(llm, output_type=Form).run(TEXT)).output.model_dump()
        said["native form"] = (await Agent(llm, output_type=NativeOutput(Form)).run(TEXT)).output.model_dump()
        acting = Agent(llm, tools=[send])
        first = await acting.run(TEXT)
        said["agent"] = first.output
        async with acting.iter(TEXT, message_history=first.all_messages()) as steps:
            async for node in steps:
                if Agent.is_model_request_node(node):
                    async with node.stream(steps.ctx) as events:
                        async for _ in events:
                            pass
        said["agent stream"] = steps.result and steps.result.output
        said["blocked"] = await failed(agent.run, CARD)
        said["leak"] = await failed(agent.run, LEAK)
        said["leak stream"] = await ended(partial(streamed, agent), str)
        said["key"] = await failed(Agent(model(kind, key="wrong")).run, TEXT)
        limited = {"extra_headers": flow(f"pydantic-ai-{kind}")}
        said["quota"] = await exhausted(agent.run, TEXT, model_settings=limited)


main(run)
