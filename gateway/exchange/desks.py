"""Where calls that are not for a model are answered, by the name of their dialect."""

from __future__ import annotations

from typing import NamedTuple

from gateway.agents.desk import AgentDesk
from gateway.call import Call
from gateway.tools.desk import Desk
from gateway.tools.plain import PlainDesk


class Desks(NamedTuple):
    """The desks of MCP servers, of plain HTTP tools, and of other agents."""

    mcp: Desk
    http: PlainDesk
    a2a: AgentDesk

    def of(self, call: Call) -> Desk | PlainDesk | AgentDesk:
        """The desk of a call of a tool or of an agent."""
        match call.codec.name:
            case "http":
                return self.http
            case "a2a":
                return self.a2a
        return self.mcp
