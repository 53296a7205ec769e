"""Part of stage `redact`: removes personal data from the request before the call leaves; `restore` is the reverse.

Config key: `pii`. Refuses with pii_blocked and secret_blocked. Fails closed: content that cannot be scanned is blocked
unless the configuration allows it, and any fault, also of the vault, ends the call.

A masked value becomes a placeholder `<ENTITY_n>`. The number n counts up within the workflow and is the same for the
same value in every call; the vault keeps the value encrypted. Only placeholders of values in this request are restored
in its answer. Text that already looks like a placeholder of a type that may be masked is escaped, so that placeholders
cannot be forged: it becomes a placeholder itself, `<LITERAL_n>`, and is restored unchanged.

Edits are stable: the edits of a text depend only on the workflow and on the text, not on the rest of the request, so
that a history leaves as the same bytes in every turn. Values are numbered in the order of the conversation, after the
text before it (definitions of tools). A workflow of one call therefore numbers a growing conversation in the same way
each time. Restored values in past answers leave in the model's own spelling (see `spellings`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import get_args

from gateway.budget import PASSING, Spent
from gateway.call import NO_OBLIGATIONS, Call, Obligations, Redaction, Stored
from gateway.config.sections import Action, Named
from gateway.config.sections import Pii as PiiConfig
from gateway.config.tools import ToolRedact
from gateway.detect.personal import placeholders, scanner
from gateway.detect.personal.placeholders import LIKE, WRITTEN
from gateway.detect.secrets.scanner import TYPES as SECRET_TYPES
from gateway.dialects import positions
from gateway.errors import Failures, Refusal, trace, uncounted
from gateway.redaction import openings
from gateway.redaction.actions import Actions, Rules
from gateway.redaction.adjoining import Found, adjoining
from gateway.redaction.edits import (
    BESIDE,
    NO_EDIT,
    TRIMMED,
    Edit,
    Masked,
    blobs,
    in_signed,
    is_first,
    masked,
    tell,
    values,
)
from gateway.redaction.made import NO_ESCAPES, Escapes, Made
from gateway.redaction.openings import Passage, Reading
from gateway.redaction.restore import LITERAL, Names, keeps
from gateway.redaction.separate import separate
from gateway.redaction.spelled import Respelled, respelled, rewrite
from gateway.redaction.spellings import Spelled, Spellings
from gateway.redaction.stored import kept, recalled
from gateway.redaction.texts import Generations
from gateway.redaction.vault import Seal
from gateway.scheduling.lanes import SMALL, apart, pause
from gateway.stores import StoreUnavailable, Vault
from gateway.texts import Finding, Signed, Slot, value_of

PLACEHOLDER = WRITTEN
_REMEMBER = 5_000  # numbers kept in memory per generation, so that a known value needs no access to the store
_FRESH = 300.0  # seconds until the vault is asked again for a remembered number, which extends its lifetime there
_log = logging.getLogger("meshgate.pii")


class Replacer:
    """The stage, compiled for one configuration.

    `ttl`: seconds for which a workflow's record is kept after its last call. `own`: entity types in addition to the
    built-in ones. Without `spellings`, restored values leave in the gateway's own spelling.
    """

    def __init__(
        self,
        config: PiiConfig,
        vault: Vault,
        seal: Seal,
        canonical: Callable[[str], str],
        ttl: float = 86400,
        own: Collection[str] = (),
        spellings: Spellings | None = None,
        failures: Failures = uncounted,
        tools: Mapping[str, ToolRedact] | None = None,
    ) -> None:
        self._failures = failures
        self._rules = Rules(config, canonical, tools)
        self._canonical = canonical
        self._restore = config.restore
        self._restore_tools = config.restore_tools
        self._keeps = keeps(config.restore_tools)
        self._block_blobs = config.unscannable == "block"
        self._vault = vault
        self._seal = seal
        self._ttl = ttl
        self._fresh = min(_FRESH, ttl / 2)
        types = {*scanner.entities(), *SECRET_TYPES, *get_args(Named), *own}
        self._types = {entity: placeholders.name(entity) for entity in types}
        self._masked: tuple[Actions | None, frozenset[str]] = (None, frozenset())
        self.spellings = spellings
        self._numbers: Generations[tuple[str, float]] = Generations(_REMEMBER)

    async def redact(self, call: Call) -> None:
        """Write `call.redaction`, and edit the body if necessary. Raises Refusal(pii_blocked)."""
        reading = openings.of(call)
        found = call.request.found if reading is None else [pair for part in reading.own() for pair in part.found]
        kinds: list[Mapping[str, int]] = [await apart(call, _size(found), partial(blobs, found))]
        if reading is not None and reading.opening is not None:
            kinds.insert(0, reading.opening.blobs)
        for kind, count in (pair for one in kinds for pair in one.items()):
            call.request.unscannable[kind] = call.request.unscannable.get(kind, 0) + count
        if call.request.unscannable and self._block_blobs:
            raise Refusal(
                "pii_blocked",
                f"The request contains {sum(call.request.unscannable.values())} part(s) that no scanner can read "
                f"({', '.join(sorted(call.request.unscannable))}). Send text, or ask the operator to set "
                "pii.unscannable: allow.",
                detail={"unscannable": call.request.unscannable},
            )
        await self._act(call, self._rules.of(call), NO_OBLIGATIONS)

    async def enforce(self, call: Call, obligations: Obligations) -> None:
        """Redact again, by the policy's obligations and the rules of the providers that the policy selected."""
        demands: dict[str, Action] = {self._canonical(name): action for name, action in obligations.redact.items()}
        await self._act(call, self._rules.of(call).tightened(demands), obligations)

    async def separate(self, call: Call) -> None:
        """Redact a body of its own, which shares nothing with those of other calls: obligations edit the body."""
        if openings.of(call) is None:
            return
        await separate(call)
        call.request.reading = call.redaction.spelled = None
        await self._act(call, self._rules.of(call), NO_OBLIGATIONS)

    def actions(self, call: Call) -> Actions:
        """The actions for a call by configuration."""
        return self._rules.of(call)

    def allows(self, entity: str) -> bool:
        """Whether values of this type may leave unchanged if no rule applies."""
        return self._rules.base.allows(entity)

    async def _act(self, call: Call, actions: Actions, obligations: Obligations) -> None:
        redaction = Redaction(changed=call.redaction.changed, spelled=call.redaction.spelled, allows=actions.allows)
        redaction.keeps = keeps(self._restore_tools, obligations.no_restore) if obligations.no_restore else self._keeps
        call.redaction = redaction
        reading = openings.of(call)
        try:
            if reading is not None and reading.opening is not None:
                if self.spellings is not None and reading.opening.edit.turns is TRIMMED:
                    reading.opening.edit = await self.spellings.follow(call, reading.opening)
                if await self._holds(call, reading.opening.edit, actions):
                    call.request.body = {**reading.opening.body, call.codec.history: openings.messages(call)}
                else:
                    await separate(call)
                    reading = openings.of(call)
            if call.request.found:
                await self._redact(call, reading, actions, redaction)
            elif reading is not None:
                reading.edit = NO_EDIT
            if self._restore and call.request.stored is not None:
                await self._recall_stored(call, call.request.stored, actions)
        except (Refusal, StoreUnavailable, Spent, *PASSING):
            raise
        except BaseException as fault:
            raise broken(call, fault, "Personal data in the request could not be taken out", self._failures) from None

    async def _recall_stored(self, call: Call, stored: Stored, actions: Actions) -> None:
        """The answer may contain placeholders of the stored conversation: add their values. Raises Refusal.

        A call that adds nothing to the conversation reads it as it is, deletes or cancels it: placeholders whose values
        are no longer kept stay in its answer.
        """
        if not stored.masked:
            return
        if call.reference is not None and not call.reference.reads:
            await self.recall(call, stored.workflow, stored.masked)
            return
        sealed = await self._vault.unseal(call.team, stored.workflow)
        values = await apart(call, len(sealed), partial(recalled, self._seal, call.team, stored, sealed))
        _know(call, values, actions)

    async def recall(self, call: Call, workflow: str, masked: Mapping[str, str]) -> None:
        """The answer may contain placeholders of an earlier call: add the values that the vault still has.

        `masked`: see `Stored.masked`.
        """
        if not self._restore or not masked:
            return
        sealed = await self._vault.unseal(call.team, workflow)
        values = await apart(call, len(sealed), partial(kept, self._seal, call.team, workflow, masked, sealed))
        _know(call, values, self._rules.of(call))

    async def values(self, call: Call, workflow: str, masked: Mapping[str, str]) -> dict[str, str]:
        """The values of placeholders that the vault still has. `masked`: see `Stored.masked`."""
        sealed = await self._vault.unseal(call.team, workflow)
        found = await apart(call, len(sealed), partial(kept, self._seal, call.team, workflow, masked, sealed))
        return {name: value for name, (_, value) in found.items()}

    async def _holds(self, call: Call, edit: Edit, actions: Actions) -> bool:
        """Whether the edits of an opening are those of this call."""
        if not call.request.found:
            return not edit.changed
        if not edit.whole:
            return call.request.alone or self.spellings is None
        if edit.workflow != call.request.correlation_id or edit.actions is not actions:
            return False
        if time.monotonic() >= edit.until:
            return False
        return self.spellings is None or await self.spellings.is_current(call, edit)

    async def _redact(self, call: Call, reading: Reading | None, actions: Actions, redaction: Redaction) -> None:
        request = call.request
        parts = reading.own() if reading else [Passage(request.slots, request.nested, request.found)]
        edit = reading.opening.edit if reading is not None and reading.opening is not None else NO_EDIT
        size = sum(_size(part.found) for part in parts)
        told = await apart(call, size, lambda: [values(part.found, actions) for part in parts])
        tell(redaction, (edit.before, *told, edit.after))
        _refuse_blocked(redaction.counts, actions)
        if sealed := await apart(call, size, lambda: [one for part in parts for one in in_signed(part.found, actions)]):
            sealed = sorted(set(sealed))
            raise Refusal(
                "pii_blocked",
                f"A block that the provider signed contains personal data that must not be sent: "
                f"{', '.join(sealed)}. Signed blocks (thinking) cannot be changed: send the conversation without them, "
                "or ask the operator about pii.entities.",
                detail={"entities": sealed},
            )
        spelled = await self._spelled(call, actions, redaction) if self._restore else {}
        found = [part.found for part in parts]
        if spelled:
            found = [respelled(part.found, spelled, part.slots) for part in parts]
            for one, part in zip(told, found, strict=True):
                one.masked = masked(part, actions)
        every: Masked = {}
        for one in told:
            every |= one.masked
        until = await self._number(call, every)
        escapes = NO_ESCAPES
        if self._restore:
            redaction.restore = {**edit.restore, **await apart(call, len(every), partial(_by_placeholder, every))}
            for text in spelled.values():
                redaction.restore |= text.values
                redaction.known |= frozenset(text.values.values())
            found = await apart(call, size, lambda: [adjoining(part) for part in found])
            escapes = await self._escape(call, found, actions, redaction)
        if reading is not None:
            reading.freeze(call)
        replace = partial(self._replaced, parts, found, actions, every, escapes.texts, redaction)
        changed = await apart(call, size, replace)
        redaction.changed |= edit.changed or any(changed)
        if reading is not None and reading.learns:
            made = Made(told, found, changed, every, escapes, spelled, min(until, escapes.until))
            reading.edit = made.edit(call, reading, actions)

    async def _spelled(self, call: Call, actions: Actions, redaction: Redaction) -> Mapping[int, Spelled]:
        """The texts of past answers that leave in the model's own spelling: those with types that may be masked now."""
        known = redaction.spelled
        if known is None:
            known = redaction.spelled = await self.spellings.look(call) if self.spellings is not None else {}
        return {
            key: one
            for key, one in known.items()
            if all(entity == LITERAL or actions.of(entity) == "mask" for entity in one.types())
        }

    def _replaced(
        self,
        parts: Sequence[Passage],
        found: Sequence[Found],
        actions: Actions,
        masked: Mapping[tuple[str, str], str],
        escapes: Mapping[str, str],
        redaction: Redaction,
    ) -> list[bool]:
        """Replace the findings in the texts of each passage; whether any text changed."""
        return [
            self._replaced_in(part, findings, actions, masked, escapes, redaction)
            for part, findings in zip(parts, found, strict=True)
        ]

    def _replaced_in(
        self,
        part: Passage,
        found: Found,
        actions: Actions,
        masked: Mapping[tuple[str, str], str],
        escapes: Mapping[str, str],
        redaction: Redaction,
    ) -> bool:
        texts = [
            (slot, self._replace(slot, findings, actions, masked, escapes, redaction))
            for slot, findings in found
            if type(slot) is not Signed
        ]
        changed = positions.write_all([(slot, text) for slot, text in texts if text != positions.read(slot)])
        positions.fold(part.nested)
        if known := redaction.spelled:
            for nested in part.nested:
                if (one := known.get(id(nested))) is not None:
                    changed |= rewrite(nested, one)
        return changed

    async def _escape(self, call: Call, found: Sequence[Found], actions: Actions, redaction: Redaction) -> Escapes:
        """The escaped form of the caller's own text that looks like a placeholder of a type that may be masked.

        It does not matter whether such a placeholder exists: the text must be the same in every turn.
        """
        literals: Masked = {}
        likes: dict[str, list[str]] = {}  # in the order in which they are numbered, with the spellings in each

        def look() -> Names:
            for part in found:
                for slot, findings in part:
                    likes.update({value_of(slot.text, one): [] for one in findings if one.entity == LIKE})
            if not likes:
                return Names(())
            names = Names([*redaction.restore], types=self._masked_types(actions))
            for like, spellings in likes.items():

                def note(_: str, spelling: str, spellings: list[str] = spellings) -> str:
                    literals[LITERAL, spelling] = ""
                    spellings.append(spelling)
                    return spelling

                names.replace(like, note)
            return names

        def write(names: Names) -> dict[str, str]:
            redaction.restore |= _by_placeholder(literals)
            return {like: names.replace(like, lambda _, spelling: literals[LITERAL, spelling]) for like in likes}

        size = sum(map(_size, found))
        names = await apart(call, size, look)
        if not literals:
            return NO_ESCAPES
        until = await self._number(call, literals)
        return Escapes(await apart(call, size, partial(write, names)), likes, literals, until)

    def _masked_types(self, actions: Actions) -> frozenset[str]:
        """The names of the entity types that may be masked, and that of escaped text; empty if there are none."""
        known, names = self._masked
        if known is not actions:  # most calls have the same
            masked = [name for entity, name in self._types.items() if actions.of(entity) == "mask"]
            names = frozenset([*masked, LITERAL] if masked else ())
            self._masked = actions, names
        return names

    async def _number(self, call: Call, masked: Masked) -> float:
        """Assign a placeholder to every masked value, from memory or from the vault.

        Returns the time until which all of them may be remembered (monotonic seconds).
        """
        assert call.subject is not None
        team, workflow = call.subject.team, call.request.correlation_id
        now = time.monotonic()
        recall = partial(self._recall, team, workflow, masked, now)
        unknown, until = await apart(call, len(masked), recall)
        if not unknown:
            return until
        seal = self._seal

        def sealed() -> list[tuple[str, bytes, bytes]]:
            return [
                (entity, seal.digest(entity, value), seal.seal(f"{team}\0{workflow}\0{entity}", value))
                for _, entity, value in unknown
            ]

        items = await apart(call, len(unknown), sealed)
        for at in range(0, len(items), SMALL):  # a store numbers them on the event loop
            numbers = await self._vault.seal(team, workflow, items[at : at + SMALL], self._ttl)
            for (key, entity, value), number in zip(unknown[at : at + SMALL], numbers, strict=True):
                masked[entity, value] = placeholder = f"<{entity}_{number}>"
                self._numbers.keep(key, (placeholder, now + self._fresh))
            if at + SMALL < len(items):
                await pause()
        return until

    def _recall(self, team: str, workflow: str, masked: Masked, now: float) -> tuple[list[tuple[int, str, str]], float]:
        """Fill in the placeholders that are remembered; returns the other values with their keys, and until when."""
        unknown: list[tuple[int, str, str]] = []
        soonest = now + self._fresh
        for entity, value in masked:
            # The value itself is not kept: a keyed hash of 64 bits (see `texts`) identifies it.
            key = hash((team, workflow, entity, value))
            placeholder, until = self._numbers.peek(key) or ("", 0.0)
            if until > now:
                masked[entity, value] = placeholder
                soonest = min(soonest, until)
            else:
                unknown.append((key, entity, value))
        return unknown, soonest

    def _replace(
        self,
        slot: Slot,
        findings: Sequence[Finding],
        actions: Actions,
        masked: Mapping[tuple[str, str], str],
        escapes: Mapping[str, str],
        redaction: Redaction,
    ) -> str:
        parts: list[str] = []
        at, text = 0, slot.text
        for finding in findings:
            start, end, entity, _ = finding
            value = value_of(text, finding)
            if isinstance(finding, Respelled):
                instead = finding.instead
            elif entity.startswith(BESIDE):
                if value not in escapes or _placeholders_stay(slot, redaction):
                    continue
                instead = escapes[value]
            else:
                action = actions.of(entity)
                if action == "allow":
                    continue
                instead = masked[entity, value] if action == "mask" else self._conceal(action, entity, value)
            parts += text[at:start], instead if is_first(finding) else ""
            at = end
        parts.append(text[at:])
        return "".join(parts)

    def _conceal(self, action: Action, entity: str, value: str) -> str:
        """The replacement for a value that is not restored."""
        if action == "hash":
            return f"<{entity}:{self._seal.digest(entity, value).hex()[:16]}>"
        if action == "partial":
            return _partial(value)
        return f"<{entity}>"


def broken(call: Call, fault: BaseException, what: str, failures: Failures) -> Refusal:
    """The refusal for a fault during redaction: nothing leaves."""
    _log.error("call %s: %s: %s", call.id, what, trace(fault))
    failures(call.stage)
    return Refusal(
        "pii_blocked",
        f"{what} ({type(fault).__name__}), so nothing was sent. The operator can find the fault in the log by the call "
        f"id {call.id}.",
    )


def _refuse_blocked(counts: Mapping[str, int], actions: Actions) -> None:
    """Raise the Refusal for values that must not be sent."""
    blocked = sorted(entity for entity in counts if actions.of(entity) == "block")
    if blocked and all(entity.startswith("SECRET_") for entity in blocked):
        raise Refusal(
            "secret_blocked",
            f"The request contains secrets that must not be sent: {', '.join(blocked)}. "
            "Remove them, or ask the operator about pii.secrets.",
            detail={"entities": blocked},
        )
    if blocked:
        raise Refusal(
            "pii_blocked",
            f"The request contains personal data that must not be sent: {', '.join(blocked)}. "
            "Remove it, or ask the operator about pii.entities.",
            detail={"entities": blocked},
        )


def _size(found: Found) -> int:
    """The number of findings."""
    return sum(map(len, map(itemgetter(1), found)))


def _by_placeholder(masked: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Placeholder -> value."""
    return {placeholder: value for (_, value), placeholder in masked.items()}


def _placeholders_stay(slot: Slot, redaction: Redaction) -> bool:
    """Whether a text is in a past call of a tool that gets placeholders, which are then the gateway's own."""
    tool = positions.tool(slot)
    return redaction.keeps is not None and tool is not None and redaction.keeps(tool)


def _partial(value: str, shown: int = 4) -> str:
    """The value with all except the last characters as `*`; nothing of a short value is shown."""
    from presidio_anonymizer.operators import Mask

    hidden = len(value) - shown if len(value) > 2 * shown else len(value)
    masked: str = Mask().operate(value, {"masking_char": "*", "chars_to_mask": hidden, "from_end": False})
    return masked


def _know(call: Call, values: Mapping[str, tuple[str, str]], actions: Actions) -> None:
    """Add values of placeholders, of types that are masked now, to those that may be restored."""
    some = {name: it for name, (entity, it) in values.items() if entity == LITERAL or actions.of(entity) == "mask"}
    call.redaction.restore = {**some, **call.redaction.restore}
    call.redaction.known |= frozenset(some.values())
