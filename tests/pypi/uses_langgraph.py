"""A graph of LangGraph with a model, a node of tools and a memory, over two turns of one thread."""

from __future__ import annotations

from typing import Any

from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from telling import CARD, KEY, MODEL, TEXT, URL, failed, main, results, send

SECOND = "And carol.king@example.org?"


async def run() -> None:
    """Each turn calls the tool; the second has the messages of the first."""
    settings: dict[str, Any] = {"base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0}
    llm = ChatOpenAI(model=MODEL, **settings).bind_tools([send])

    async def answer(state: Any) -> Any:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_node("tools", ToolNode([send]))
    graph.add_edge(START, "answer")
    graph.add_conditional_edges("answer", tools_condition)
    graph.add_edge("tools", "answer")
    compiled = graph.compile(checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}

    def turn(text: str) -> Any:
        return {"messages": [{"role": "user", "content": text}]}

    said = (await compiled.ainvoke(turn(TEXT), thread))["messages"]
    results["first"] = said[-1].text
    heard = [piece async for piece, _ in compiled.astream(turn(SECOND), thread, stream_mode="messages")]
    results["second"] = "".join(piece.text for piece in heard if piece.type == "AIMessageChunk")
    results["kept"] = len(compiled.get_state(thread).values["messages"])
    results["blocked"] = await failed(compiled.ainvoke, turn(CARD), thread)


main(run)
