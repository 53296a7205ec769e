"""Checks that an answer calls only tools that its request offered.

Config key: `output.tools`. Refuses with tool_not_offered. Fails closed: a call without a name is a call of a tool that
was not offered. Policies judge the offered tools; no policy has judged a call of any other tool.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.call import Call, Json
from gateway.errors import Refusal


def check(call: Call, calls: Sequence[Json]) -> None:
    """Raise Refusal(tool_not_offered) unless every tool call of an answer is for an offered tool.

    The body counts as sent: tools that a policy removed are not offered.
    """
    if not calls or not call.request.body:  # every request that was read has a body
        return
    offered = frozenset(call.codec.tools(call.request.body))
    if all(call.codec.tool(one) in offered for one in calls):
        return
    # The name is text of the model that has not been judged: the message does not repeat the name.
    raise Refusal(
        "tool_not_offered",
        f"The answer calls a tool that the request did not offer (it offers {len(offered)}) and was stopped. "
        "Offer the tool in `tools`, or ask the operator to set output.tools: any.",
        stage="output",
    )
