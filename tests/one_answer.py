"""An engine of policies with one answer, for tests of what stands around the engine."""

from __future__ import annotations

from typing import Any

from gateway.call import Json


class Fake:
    """Gives the answer, or raises it, and notes what it was asked."""

    version = "v1"

    def __init__(self, result: Any) -> None:
        self.result = result
        self.asked: list[Json] = []

    async def open(self) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    async def decide(self, document: Json) -> Json:
        self.asked.append(document)
        if isinstance(self.result, Exception):
            raise self.result
        result: Json = self.result
        return result
