"""What calls of tools and agents cost, how long they may take, and which repeat. Config keys: `tools`, `a2a`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache

from gateway.amounts import NANO_USD, NO_REPEATS, Look
from gateway.call import Call, Target, ToolUse, Usage
from gateway.config.a2a import RemoteAgent
from gateway.config.tools import Tool
from gateway.dialects.http_tool import HttpTool
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_names import LISTENING
from gateway.dialects.mcp_questions import RESPONSES
from gateway.limits.loops import Loops


class Charges:
    """The rows of `tools` and `a2a` as the ledger sees them. Pure.

    `cost`: name of a model, tokens of input and output -> nano-USD at most; 0 for a model without a price.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        agents: Mapping[str, RemoteAgent],
        loops: Loops,
        repeats: int | None,
        cost: Callable[[str, int, int], int],
    ) -> None:
        self._cost = cost
        self._tools = tools
        self._agents = agents
        self._loops = loops
        self._repeats = repeats

    def targets(self, call: Call) -> list[Target]:
        """The one target of a call of a tool or an agent."""
        server, _, tool = call.resource.name.partition("/")
        return [Target(server, tool)]

    def price(self, call: Call) -> int:
        """The price of a call in nano-USD, rounded up. What brings an agent no message has no price."""
        if call.resource.kind == "agent":
            agent = self._agents.get(call.resource.name) if call.resource.arguments else None
            return _nano_usd(agent.price) if agent is not None else 0
        codec = call.codec
        usage = self.sampled(call)
        sampled = self._cost(_model(call), usage.input, usage.output) if usage is not None else 0
        if isinstance(codec, Mcp) and (codec.question or codec.task) is not None:  # no call of a tool
            return sampled
        server, _, tool = call.resource.name.partition("/")
        if isinstance(codec, HttpTool):  # by its path only once that is judged
            tool = codec.called
        row = self._tools.get(server)
        if row is None or not tool:
            return 0
        return sampled + _nano_usd(row.usd(tool))

    def patience(self, call: Call) -> float:
        """Seconds that a call may take."""
        if call.resource.kind == "agent":
            agent = self._agents.get(call.resource.name)
            return agent.timeout if agent is not None else 0.0
        if isinstance(call.codec, Mcp) and call.codec.listens:
            return LISTENING
        row = self._tools.get(call.resource.name.partition("/")[0])
        return row.longest if row is not None else 0.0

    def sampled(self, call: Call) -> Usage | None:
        """The tokens of the client's model that a server asked for, if a call brings its answer; else None.

        Counts the tokens of the answer, unless no limit needs them.
        """
        codec = call.codec
        if not isinstance(codec, Mcp) or not (asked := codec.sampled):
            return None
        if "error" in call.request.body:  # the client has not asked its model
            return None
        return Usage(input=asked, output=call.request.input.counted(), counted=True)

    def repeats(self, call: Call, agent: str) -> Look:
        """The debit for a call of the same tool with the same arguments, or for the same message to an agent."""
        kind, name, arguments = call.resource
        # Answers are often the same (yes, no), and the result of a task is asked for again.
        answers = isinstance(call.codec, Mcp) and (call.codec.question or call.codec.task) is not None
        if self._repeats is None or answers or (kind == "agent" and not arguments):
            return NO_REPEATS
        if kind == "agent":  # each message has an id of its own
            name, arguments = f"agent/{name}", {key: it for key, it in arguments.items() if key != "messageId"}
        if isinstance(call.codec, HttpTool):
            arguments = call.codec.asked({**arguments})
        use = ToolUse("", name, dict(arguments))
        return Look((self._loops.repeat(agent, use),), ())


@lru_cache(maxsize=1024)
def _nano_usd(price: float) -> int:
    """A price of the configuration in nano-USD, rounded up."""
    return math.ceil(Fraction(str(price)) * NANO_USD)


def _model(call: Call) -> str:
    """The name of the model that a client says it asked for a server; "" for none."""
    body = call.request.body
    params = body.get("params")
    answers = params.get(RESPONSES) if type(params) is dict else None
    for answer in answers.values() if type(answers) is dict else (body.get("result"),):
        if type(answer) is dict and type(answer.get("model")) is str:
            return str(answer["model"])
    return ""
