"""What calls of tools cost, how long they may take, and which of them repeat. Config key: `tools`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from gateway.amounts import NANO_USD, NO_REPEATS, Look
from gateway.call import Call, Target, ToolUse
from gateway.config.tools import Tool
from gateway.dialects.http_tool import HttpTool
from gateway.limits.loops import Loops


class Charges:
    """The rows of `tools` as the ledger sees them. Pure."""

    def __init__(self, tools: Mapping[str, Tool], loops: Loops, repeats: int | None) -> None:
        self._tools = tools
        self._loops = loops
        self._repeats = repeats

    def targets(self, call: Call) -> list[Target]:
        """The one target of a call of a tool."""
        server, _, tool = call.resource.name.partition("/")
        return [Target(server, tool)]

    def price(self, call: Call) -> int:
        """The price of a call in nano-USD, rounded up."""
        codec = call.codec
        server, _, tool = call.resource.name.partition("/")
        if isinstance(codec, HttpTool):  # by its path only once that is judged
            tool = codec.called
        row = self._tools.get(server)
        if row is None or not tool:
            return 0
        return math.ceil(Fraction(str(row.usd(tool))) * NANO_USD)

    def patience(self, call: Call) -> float:
        """Seconds that a call may take."""
        row = self._tools.get(call.resource.name.partition("/")[0])
        return row.timeout if row is not None else 0.0

    def repeats(self, call: Call, agent: str) -> Look:
        """The debit for a call of the same tool with the same arguments."""
        if self._repeats is None:
            return NO_REPEATS
        use = ToolUse("", call.resource.name, dict(call.resource.arguments))
        return Look((self._loops.repeat(agent, use),), ())
