"""Cards without instructions to their readers: what of a card reads like instructions to a model is left out."""

from __future__ import annotations

import asyncio

from gateway.call import Json
from gateway.tools.suspicion import HIGH, Suspicion

_WORDS = ("name", "description", "version", "provider", "documentationUrl")


class SoberCards:
    """Reads cards; that of an agent once for each text that the agent has sent."""

    def __init__(self, suspicion: Suspicion) -> None:
        self._suspicion = suspicion
        self._known: dict[str, tuple[Json, Json]] = {}  # agent -> its card, and what is left of that

    async def of(self, agent: str, card: Json) -> Json:
        """What is left of the card of an agent."""
        known = self._known.get(agent)
        if known is None or known[0] is not card:
            known = self._known[agent] = card, await self.read(card)
        return known[1]

    async def read(self, card: Json) -> Json:
        """What is left of any card."""
        return await asyncio.to_thread(self._sober, card)

    def _sober(self, card: Json) -> Json:
        """Without skills that read like instructions, and without the agent's own words if those do."""
        made = dict(card)
        skills = card.get("skills")
        if type(skills) is list:
            made["skills"] = [one for one in skills if type(one) is dict and self._suspicion.of(one) < HIGH]
        words = {name: card[name] for name in _WORDS if name in card}
        if self._suspicion.of(words) >= HIGH:
            made |= {name: "" for name in words if name in ("name", "description", "version")}
            made = {name: value for name, value in made.items() if name not in ("provider", "documentationUrl")}
        return made
