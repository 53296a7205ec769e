"""Chat models of LangChain on each dialect, and its agents, which run on LangGraph."""

from __future__ import annotations

from functools import partial
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
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


def model(kind: str, key: str = KEY, headers: dict[str, str] | None = None) -> Any:
    """A model that tries once."""
    match kind:
        case "chat" | "responses":
            settings: dict[str, Any] = {"base_url": f"{URL}/v1", "api_key": key, "max_retries": 0}
            return ChatOpenAI(model=MODEL, **settings, use_responses_api=kind == "responses", default_headers=headers)
        case "messages":
            settings = {"base_url": URL, "api_key": key, "max_retries": 0, "default_headers": headers}
            return ChatAnthropic(model_name=CLAUDE, **settings)
        case _:
            settings = {"base_url": URL, "google_api_key": key, "max_retries": 1, "additional_headers": headers}
            return ChatGoogleGenerativeAI(model=GEMINI, **settings)


def reason(piece: Any) -> Any:
    """Why an answer has ended."""
    return piece.response_metadata.get("finish_reason") or piece.response_metadata.get("stop_reason")


async def run() -> None:
    """Each dialect in turn."""
    for kind in ("chat", "responses", "messages", "gemini"):
        results[kind] = said = {}
        llm = model(kind)
        said["whole"] = (await llm.ainvoke(TEXT)).text
        said["sync"] = llm.invoke(TEXT).text
        said["stream"] = "".join([piece.text async for piece in llm.astream(TEXT)])
        said["form"] = (await llm.with_structured_output(Form).ainvoke(TEXT)).model_dump()
        agent = create_agent(llm, tools=[send])
        asked: Any = {"messages": [{"role": "user", "content": TEXT}]}
        said["agent"] = (await agent.ainvoke(asked))["messages"][-1].text
        heard = [piece async for piece, _ in agent.astream(asked, stream_mode="messages")]
        said["agent stream"] = "".join(piece.text for piece in heard if piece.type == "AIMessageChunk")
        said["blocked"] = await failed(llm.ainvoke, CARD)
        said["leak"] = await failed(llm.ainvoke, LEAK)
        said["leak stream"] = await ended(partial(llm.astream, LEAK), reason)
        said["key"] = await failed(model(kind, key="wrong").ainvoke, TEXT)
        limited = model(kind, headers=flow(f"langchain-{kind}"))
        said["quota"] = await exhausted(limited.ainvoke, TEXT)


main(run)
