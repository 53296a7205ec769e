"""Values in the answers of later calls: what a message had masked is restored where its task is read again.

The record of a task has the placeholders of its messages, each with a digest of its value, for each workflow. The
values are in the vault, as long as that lives.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from cryptography.exceptions import InvalidTag

from gateway.call import Call
from gateway.errors import Refusal
from gateway.redaction.redact import Replacer
from gateway.redaction.stored import digests, placed
from gateway.redaction.vault import Seal
from gateway.stores import Owners

Masked = Mapping[str, Mapping[str, str]]
"""Workflow -> placeholder -> digest of its value."""


class Values:
    """The records, for one configuration. `replacer`: None with `pii: null`."""

    def __init__(self, owners: Owners, seal: Seal, replacer: Replacer | None) -> None:
        self._owners = owners
        self._seal = seal
        self._replacer = replacer

    async def of(self, call: Call, name: str) -> Masked:
        """The record of a name; empty without one."""
        sealed = await self._owners.owned(call.team, _key(name)) if self._replacer is not None else None
        if sealed is None:
            return {}
        try:
            said: Masked = orjson.loads(self._seal.disclose(_context(call, name), sealed))
        except InvalidTag:
            return {}
        return said

    async def restore(self, call: Call, masked: Masked) -> None:
        """Add the values of earlier messages to those that may be restored in the answer."""
        if self._replacer is not None:
            for workflow, some in masked.items():
                await self._replacer.recall(call, workflow, some)

    async def hide(self, call: Call, masked: Masked) -> None:
        """Have values that only a tool has be placeholders in the answer: writes `call.request.recalled`.

        Raises Refusal(output_blocked) if the vault no longer has every value: the answer may have the value itself.
        """
        if self._replacer is None:
            return
        for workflow, some in masked.items():
            values = await self._replacer.values(call, workflow, some)
            if len(values) < len(some):
                words = (
                    "The tool got values in place of placeholders, and the gateway no longer keeps these values "
                    "(quotas.ttl): it cannot take them out of this answer. Call the tool again."
                )
                raise Refusal("output_blocked", words)
            call.request.recalled = {**call.request.recalled, **values}

    def recalled(self, call: Call) -> Mapping[str, str]:
        """The placeholders whose values the tool of this call gets."""
        return digests(call.request.recalled, self._seal)

    def placed(self, call: Call) -> Mapping[str, str]:
        """The placeholders of this call, before `restore`."""
        return placed(call, self._seal)

    async def keep(self, call: Call, name: str, before: Masked, fresh: Mapping[str, str], ttl: int) -> None:
        """Keep a record, with the placeholders of this call (`fresh`)."""
        workflow = call.request.correlation_id
        earlier = before.get(workflow, {})
        if fresh.items() <= earlier.items():
            return
        record = orjson.dumps({**before, workflow: {**earlier, **fresh}})
        await self._owners.disown(call.team, _key(name))
        await self._owners.own(call.team, _key(name), self._seal.enclose(_context(call, name), record), ttl)


def _key(name: str) -> str:
    return f"values-{name}"


def _context(call: Call, name: str) -> str:
    return f"a2a values\0{call.team}\0{name}"
