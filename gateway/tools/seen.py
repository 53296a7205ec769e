"""The tools of servers that a caller may see: those that are accepted, and for which the policy allows a plain call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.call import Call, Json
from gateway.errors import Refusal
from gateway.identity.resource import Resources
from gateway.policy.visible import Visible
from gateway.tools.caller import caller_of
from gateway.tools.catalogue import Listed, needs_task, writes
from gateway.tools.pins import Pins
from gateway.tools.server import Server
from gateway.tools.user_tokens import Unconnected

_KEPT: Final = 4096  # lists of callers


class Sight(NamedTuple):
    """Tools of a server that a caller may see, and what the client is told of each."""

    listed: list[Listed]
    told: list[Json]
    plain: Sight | None
    """Without those that can only be called as tasks; None if there are none of these."""


def _sight(seen: list[Listed]) -> Sight:
    plain = [one for one in seen if not needs_task(one)]
    return Sight(seen, [one.tool for one in seen], _sight(plain) if len(plain) < len(seen) else None)


class Seen:
    """The lists, for one configuration. `states`: server -> whether it answered last."""

    def __init__(self, visible: Visible, pins: Pins, resources: Resources, states: dict[str, int]) -> None:
        self._visible = visible
        self._pins = pins
        self._resources = resources
        self._states = states
        self._kept: dict[tuple[str, int], tuple[tuple[object, ...], Sight]] = {}

    async def several(self, call: Call, servers: Sequence[Server], *, all: bool = False) -> list[tuple[Server, Sight]]:
        """The tools of each server. With `all`, a server that does not answer is left out. Raises Refusal."""
        asked = [server for server in servers if not self._resources.lacks(server.name, call.subject)]
        lists = await asyncio.gather(*(self._of(call, server) for server in asked), return_exceptions=all)
        found: list[tuple[Server, Sight]] = []
        for server, sight in zip(asked, lists, strict=True):
            if isinstance(sight, Refusal):
                self.failed(server, sight)
            elif isinstance(sight, BaseException):
                raise sight
            else:
                found.append((server, sight))
        return found

    def failed(self, server: Server, fault: Refusal) -> None:
        """Note that a server failed, unless the fault is that of a caller without an account there."""
        if fault.domain == "upstream":
            self._states[server.name] = 0

    async def accepted(self, call: Call, server: Server) -> list[Listed]:
        """The tools of a server that are accepted. Raises Unconnected, Refusal, StoreUnavailable."""
        return await self._pins.served(server.name, await server.tools(caller_of(call)), server.row.pins)

    async def tool(self, call: Call, server: Server, name: str) -> Listed | None:
        """The accepted tool of a server with this name; None without one. Raises as `accepted` does."""
        return next((one for one in await self.accepted(call, server) if one.name == name), None)

    async def _of(self, call: Call, server: Server) -> Sight:
        """The tools of a server that the caller may see, in the order of the server; kept for a minute.

        A caller without an account there sees those that are accepted: the call of one tells where to connect.
        """
        try:
            tools = await self.accepted(call, server)
        except Unconnected:
            tools = await self._pins.known(server.name, server.row.pins)
        subject = call.subject
        now = (subject, tools, self._visible.version, int(time.time()) // 60)
        known = self._kept.get((server.name, id(subject)))
        if known is not None and known[0][0] is subject and known[0][1] is tools and known[0][2:] == now[2:]:
            return known[1]
        may, name = self._visible.may, server.name
        seen = _sight([one for one in tools if await may(call, f"{name}/{one.name}", writes=writes(server.row, one))])
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[server.name, id(subject)] = now, seen
        return seen
