"""Gives a tool the values that the model never saw: placeholders in its arguments are replaced by their values.

Config key: `tools.*.restore`. Only placeholders of the call's own workflow have values, and only types that the tool
may have (`allow`) are replaced: before the arguments are searched, so that all checks see what leaves. In the result,
the values become placeholders again.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from cryptography.exceptions import InvalidTag

from gateway.call import Call, Json
from gateway.detect.personal.placeholders import WRITTEN
from gateway.dialects import positions
from gateway.dialects.tree import Name
from gateway.redaction.redact import Replacer
from gateway.redaction.vault import Seal
from gateway.stores import Vault
from gateway.texts import Slot

_WRITTEN: Final = re.compile(WRITTEN)


class Recall:
    """The stage's part for tools, for one configuration. `servers`: those with `restore`."""

    def __init__(self, servers: Collection[str], vault: Vault, seal: Seal, replacer: Replacer) -> None:
        self._servers = servers
        self._vault = vault
        self._seal = seal
        self._replacer = replacer

    async def fill(self, call: Call) -> None:
        """Replace placeholders in the arguments of a call of a tool; writes `call.request.recalled`."""
        if call.request.control or call.resource.name.partition("/")[0] not in self._servers:
            return
        found = {
            placeholder
            for slot in call.request.slots
            if positions.is_argument(slot) and "<" in slot.text
            for placeholder in _WRITTEN.findall(slot.text)
        }
        if not found:
            return
        values = await self._values(call, found)
        if not values:
            return
        edits: list[tuple[Slot, str]] = []
        for at, slot in enumerate(call.request.slots):
            if not positions.is_argument(slot) or type(slot.key) is Name:
                continue
            text = _WRITTEN.sub(lambda match: values.get(match[0], match[0]), slot.text)
            if text != slot.text:
                call.request.slots[at] = slot._replace(text=text)
                edits.append((slot, text))
        positions.write_all(edits)
        call.request.recalled = values

    async def _values(self, call: Call, found: Collection[str]) -> dict[str, str]:
        """The values of placeholders that the tool may have."""
        team, workflow = call.team, call.request.correlation_id
        allows, values = self._replacer.actions(call).allows, dict[str, str]()
        for entity, number, sealed in await self._vault.unseal(team, workflow):
            placeholder = f"<{entity}_{number}>"
            if placeholder not in found or not allows(entity) or entity.startswith("SECRET_"):
                continue
            try:
                values[placeholder] = self._seal.unseal(f"{team}\0{workflow}\0{entity}", sealed)
            except InvalidTag:
                continue
        return values


def hide(call: Call, body: Json) -> bool:
    """Put placeholders back into a result, for values that only the tool has; True if there were any."""
    values = sorted(call.request.recalled.items(), key=lambda pair: len(pair[1]), reverse=True)
    edits: list[tuple[Slot, str]] = []
    survey = call.codec.whole(body)
    for slot in survey.slots:
        text = slot.text
        for placeholder, value in values:
            text = text.replace(value, placeholder)
        if text != slot.text:
            edits.append((slot, text))
    changed = positions.write_all(edits)
    positions.fold(survey.nested)
    return changed
