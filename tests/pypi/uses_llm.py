"""`llm` as a library, with the models of its file of extra models."""

from __future__ import annotations

import json
from typing import Any

import llm
from pydantic import BaseModel

from telling import CARD, TEXT, failed, main, results, send


class Form(BaseModel):
    """What is to be said to whom."""

    who: str
    number: int


async def run() -> None:
    """Chat completions and the Responses API, sync and async."""
    for kind in ("chat", "responses"):
        results[kind] = said = {}
        model, calm = llm.get_model(kind), llm.get_async_model(kind)
        said["whole"] = model.prompt(TEXT, stream=False).text()
        said["stream"] = "".join(model.prompt(TEXT))
        said["async"] = "".join([piece async for piece in calm.prompt(TEXT)])
        said["form"] = json.loads(model.prompt(TEXT, schema=Form, stream=False).text())
        said["agent"] = model.chain(TEXT, tools=[send], stream=False).text()
        said["agent stream"] = "".join(model.chain(TEXT, tools=[send]))

        async def ask(text: str, key: str | None = None, calm: Any = calm) -> Any:
            return await calm.prompt(text, **({"key": key} if key else {})).text()

        said["blocked"] = await failed(ask, CARD)
        said["key"] = await failed(ask, TEXT, "wrong")


main(run)
