"""The parts that judge whole and streamed answers, built for one configuration."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.call import Call
from gateway.detect.secrets.own import OwnSecrets
from gateway.dialects.items import Caps
from gateway.ingress.owners import Owners
from gateway.output.screen import Screen
from gateway.redaction.spellings import Spellings


@dataclass(frozen=True, slots=True)
class Answers:
    """The output filter, the gateway's own secrets, the bounds of an answer, and the spellings of restored values."""

    screen: Screen
    own: OwnSecrets
    caps: Caps
    spellings: Spellings | None = None
    owners: Owners | None = None

    async def keep_spellings(self, call: Call) -> None:
        """Record how the model spelled the restored values, before the caller can send them back."""
        if self.spellings is not None and call.redaction.spoken:
            await self.spellings.keep(call)

    async def keep_state(self, call: Call) -> None:
        """Record whose state the provider stores for the judged answer, or that it deleted a state.

        Before the caller hears of it: the next call may refer to the state.
        """
        if self.owners is None:
            return
        await self.claim(call)
        about, state = call.reference, call.outcome.state
        if call.outcome.made:
            await self.owners.keep_made(call, call.outcome.made)
            if about is None or call.outcome.claimed:
                await self.owners.open_sessions(call)
        if about is None:
            if state is not None:
                await self.owners.keep(call, state)
        elif about.reads and about.below and state is not None:
            await self.owners.grow(call, about.id, state)
        elif about.method == "DELETE" and not about.below:
            await self.owners.forget(call, about.id)
        elif state is not None and state.items:
            await self.owners.adopt(call, state)

    async def claim(self, call: Call) -> None:
        """Charge an answer that was made in the background to the first call that sees its end. Writes `claimed`.

        Before the caller hears of the answer. Raises StoreUnavailable.
        """
        about, outcome = call.reference, call.outcome
        if self.owners is None or about is None or outcome.claimed or outcome.pending:
            return
        if outcome.usage is None and not outcome.ended:
            return
        outcome.claimed = await self.owners.claim(call, about.id, outcome.state)
