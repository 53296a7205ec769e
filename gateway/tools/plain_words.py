"""What servers say of themselves beside their tools, without what reads like instructions to a model.

Tools are pinned. The instructions of a server, and its lists of resources and prompts, are not: a model reads them as
they come, so what scores as high as a tool that is not accepted at first sight is left out.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.call import Json
from gateway.tools.suspicion import HIGH, Suspicion

_KEPT: Final = 10_000  # verdicts


class PlainWords:
    """Leaves out entries. The verdict on one is remembered by its digest."""

    def __init__(self, suspicion: Suspicion) -> None:
        self._suspicion = suspicion
        self._known: OrderedDict[bytes, bool] = OrderedDict()

    async def among(self, entries: Sequence[Any]) -> list[Any]:
        """The entries that do not read like instructions. What is no object is left out, too."""
        digests = [hashlib.sha256(orjson.dumps(one)).digest() for one in entries]
        fresh = {digest: one for digest, one in zip(digests, entries, strict=True) if digest not in self._known}
        found = await asyncio.to_thread(self._read, fresh) if fresh else {}
        verdicts = {digest: found.get(digest) or self._known.get(digest, False) for digest in digests}
        self._known |= found
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return [one for digest, one in zip(digests, entries, strict=True) if verdicts[digest]]

    async def told(self, said: Json) -> Json:
        """What a server says of itself; without its instructions if they do not only say how it is used."""
        words = {"instructions": said.get("instructions")}
        if type(words["instructions"]) is not str or await self.among([words]):
            return said
        return {**said, "instructions": None}

    def _read(self, entries: dict[bytes, Any]) -> dict[bytes, bool]:
        return {digest: type(one) is dict and self._suspicion.of(one) < HIGH for digest, one in entries.items()}
