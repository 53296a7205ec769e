"""Stage 4, `redact`: personal data leaves the request before anyone outside reads it; `restore` puts it back.

Config key: `pii`. Refuses with pii_blocked. Fails closed: what cannot be scanned is blocked unless config allows it,
and a fault of the vault ends the call.

A masked value becomes a placeholder `<ENTITY_n>`, n counting up within the workflow, the same for the same value in
every call; the vault keeps the value encrypted. Only placeholders that stand for values of this very request are
restored in its answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gateway.call import Call, Finding, Redaction, Span
from gateway.errors import Refusal
from gateway.formats import tree
from gateway.sections import Action
from gateway.sections import Pii as PiiConfig
from gateway.vault import Seal

PLACEHOLDER = r"<[A-Z][A-Z0-9_]*_\d{1,9}>"
_PLACEHOLDER = re.compile(PLACEHOLDER)
_REMEMBER = 10_000  # numbers kept in memory, so that a value seen before costs no trip to the store
_FRESH = 300.0  # seconds that a remembered number is used before the vault is asked again, which renews its time there


class Vault(Protocol):
    """The part of a store that keeps sealed values."""

    async def seal(
        self, team: str, correlation_id: str, items: list[tuple[str, bytes, bytes]], ttl: float
    ) -> list[int]:
        """Number and keep (entity, digest, ciphertext)."""
        ...


class Redactor:
    """The stage, compiled for one configuration."""

    def __init__(self, config: PiiConfig, vault: Vault, seal: Seal, canonical: Callable[[str], str]) -> None:
        self._default: Action = config.default
        self._actions: dict[str, Action] = {canonical(name): action for name, action in config.entities.items()}
        self._canonical = canonical
        self._restore = config.restore
        self._block_blobs = config.unscannable == "block"
        self._vault = vault
        self._seal = seal
        self._ttl = config.ttl
        self._fresh = min(_FRESH, config.ttl / 2)
        self._numbers: dict[int, tuple[str, float]] = {}

    async def redact(self, call: Call) -> None:
        """Write `call.redaction`, and the body where it must change. Raises Refusal(pii_blocked)."""
        if call.unscannable and self._block_blobs:
            raise Refusal(
                "pii_blocked",
                f"The request holds {call.unscannable} part(s) that no scanner can read (image, audio or "
                "file). Send text, or ask the operator to set pii.unscannable: allow.",
            )
        if call.found:
            await self._redact(call, call.found, self._actions, self._default)

    async def enforce(self, call: Call, entities: Iterable[str]) -> None:
        """Redact the types that a policy obliges, where the configuration would have let them through."""
        forced = {self._canonical(name) for name in entities}
        loose = {name for name in call.redaction.counts if self._action(name) == "allow" and name in forced}
        if not loose:
            return
        actions: dict[str, Action] = {**self._actions, **dict.fromkeys(loose, "redact")}
        await self._redact(call, call.found, actions, self._default)

    def allows(self, entity: str) -> bool:
        """Whether values of this type may be seen by anyone."""
        return self._action(entity) == "allow"

    def _action(self, entity: str) -> Action:
        return self._actions.get(entity, self._default)

    async def _redact(
        self,
        call: Call,
        found: Sequence[tuple[Span, Sequence[Finding]]],
        actions: Mapping[str, Action],
        default: Action,
    ) -> None:
        counts: dict[str, int] = {}
        masked: dict[tuple[str, str], str] = {}
        known: set[str] = set()
        for span, findings in found:
            for start, end, entity, _ in findings:
                counts[entity] = counts.get(entity, 0) + 1
                value = span.text[start:end]
                known.add(value)
                if actions.get(entity, default) == "mask":
                    masked[entity, value] = ""
        blocked = sorted(entity for entity in counts if actions.get(entity, default) == "block")
        call.redaction = redaction = Redaction(counts, known=frozenset(known))
        if blocked:
            raise Refusal(
                "pii_blocked",
                f"The request holds personal data that must not be sent: {', '.join(blocked)}. "
                "Take it out, or ask the operator about pii.entities.",
                detail={"entities": blocked},
            )
        if masked:
            await self._number(call, masked)
        for span, findings in found:
            text = self._replace(span.text, findings, actions, default, masked)
            if text != tree.read(span):
                tree.write(span, text)
                redaction.changed = True
        tree.fold(call.nested)
        if self._restore:
            redaction.restore = {placeholder: value for (_, value), placeholder in masked.items()}

    async def _number(self, call: Call, masked: dict[tuple[str, str], str]) -> None:
        """Give every masked value its placeholder: from memory, or from the vault."""
        assert call.subject is not None
        team, workflow = call.subject.team, call.correlation_id
        now = time.monotonic()
        unknown: list[tuple[int, str, str]] = []
        for entity, value in masked:
            # The value itself is not kept: a keyed hash of 64 bits (see `texts`) tells it apart.
            key = hash((team, workflow, entity, value))
            placeholder, until = self._numbers.get(key, ("", 0.0))
            if until > now:
                masked[entity, value] = placeholder
            else:
                unknown.append((key, entity, value))
        if not unknown:
            return
        seal = self._seal
        items = [
            (entity, seal.digest(entity, value), seal.seal(f"{team}\0{workflow}\0{entity}", value))
            for _, entity, value in unknown
        ]
        numbers = await self._vault.seal(team, workflow, items, self._ttl)
        for (key, entity, value), number in zip(unknown, numbers, strict=True):
            masked[entity, value] = placeholder = f"<{entity}_{number}>"
            self._remember(key, placeholder, now + self._fresh)

    def _remember(self, key: int, placeholder: str, until: float) -> None:
        if len(self._numbers) >= _REMEMBER:
            del self._numbers[next(iter(self._numbers))]
        self._numbers[key] = (placeholder, until)

    def _replace(
        self,
        text: str,
        findings: Sequence[Finding],
        actions: Mapping[str, Action],
        default: Action,
        masked: Mapping[tuple[str, str], str],
    ) -> str:
        parts, at = [], 0
        for start, end, entity, _ in findings:
            value = text[start:end]
            action = actions.get(entity, default)
            if action == "allow":
                continue
            parts.append(text[at:start])
            parts.append(masked[entity, value] if action == "mask" else self._conceal(action, entity, value))
            at = end
        parts.append(text[at:])
        return "".join(parts)

    def _conceal(self, action: Action, entity: str, value: str) -> str:
        """What stands in place of a value that will not come back."""
        if action == "hash":
            return f"<{entity}:{self._seal.digest(entity, value).hex()[:16]}>"
        if action == "partial":
            return _partial(value)
        return f"<{entity}>"


def _partial(value: str, shown: int = 4) -> str:
    """The last characters of a value, the others as `*`; of a short value nothing is shown."""
    from presidio_anonymizer.operators import Mask

    hidden = len(value) - shown if len(value) > 2 * shown else len(value)
    masked: str = Mask().operate(value, {"masking_char": "*", "chars_to_mask": hidden, "from_end": False})
    return masked
