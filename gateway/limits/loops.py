"""Loop detection: the same tool call, the same prompt, turns without progress, agents in a ring.

Config keys: `quotas.repeats`, `quotas.hops`, `loops`. Refuses with loop_detected and hop_limit. No clock, no store.

The input is a list of canonical `Step`s, which each dialect reads from its own body. Loops within one request are
refused immediately (`look` raises). Counts over several calls are debits of the workflow, taken in the same atomic step
as all others, under names that are keyed digests: no argument and no prompt is stored or shown.

The rule for tool calls: a call is identified by its tool-call id and counted when a request brings back its result. The
count is the larger of the workflow's counter and the number in the request, so it does not matter whether an agent
trims its history. A request without a complete answer does not count, and this process counts a result once, however
often it is sent.

The chain of agents comes from the store, never from a header: when an agent first calls in a workflow, its parent is
the agent that called last in that workflow.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from gateway.amounts import TOOLS, Debit, Look
from gateway.call import Step, ToolUse
from gateway.config.limits import Quotas
from gateway.config.sections import Loops as Settings
from gateway.errors import Refusal

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_REMEMBERED = 20_000  # counted tool results that are remembered, so that a repeated result is not counted again
_EXACT = 2**53  # below this, a float and an integer of the same value are the same JSON number
_HELP = "Change what the agent does, or start a new workflow with another X-Correlation-Id."
NAMELESS = "?"  # replaces a text that does not have the form of a tool's name


class Loops:
    """The configured thresholds. `digest(kind, text)` is keyed; None only if no counts are stored.

    `counted`: the tool results that were counted, to be passed on to the next configuration at a reload.
    """

    def __init__(
        self,
        quotas: Quotas,
        settings: Settings,
        digest: Callable[[str, str], bytes] | None,
        counted: dict[int, None] | None = None,
    ) -> None:
        self._hops = quotas.hops
        self._repeats = quotas.repeats
        self._settings = settings
        self._digest = digest
        self._counted = {} if counted is None else counted
        self.reads = remembers(settings, quotas.repeats) or settings.turns is not None
        """Whether the steps of a conversation are needed."""
        self.follows = quotas.hops is not None or settings.cycles is not None
        """Whether the chain of agents is needed."""

    def look(self, workflow: Hashable, agent: str, steps: Sequence[Step], tools_offered: bool) -> Look:
        """The repetitions in this request. Raises Refusal(loop_detected) for a loop within the request itself.

        `workflow` identifies the workflow among those of all teams.
        """
        if tools_offered and self._settings.turns is not None:
            _refuse_idle_turns(steps, self._settings.turns)
        debits: list[Debit] = []
        marks: list[int] = []
        if self._settings.prompts is not None:
            debits += self._prompt(agent, steps, self._settings.prompts)
        if self._repeats is not None:
            for use, seen, turn in _brought(steps):
                debit = self.repeat(agent, use, seen)
                # Some servers give every call the same id, or none: calls in the request are numbered.
                mark = hash((workflow, agent, use.id, turn, debit.key))
                debits.append(debit._replace(amount=0) if mark in self._counted else debit)
                marks.append(mark)
        return Look(tuple(debits), tuple(marks))

    def repeat(self, agent: str, use: ToolUse, seen: int = 1) -> Debit:
        """The debit of one tool call, which occurs `seen` times in the request. Raises Refusal(loop_detected)."""
        limit = self._repeats
        assert limit is not None, "called only if repeats are limited"
        what = f"{_shown(use.tool)} with the same arguments"
        if seen > limit:
            words = (
                f"This conversation calls {what} {seen} times; quotas.repeats allows {limit}. This is a loop, so the "
                f"call is refused. {_HELP}"
            )
            raise Refusal("loop_detected", words, detail={"quota": "quotas.repeats", "count": seen, "limit": limit})
        name = self._name("tool", agent, use.tool, canonical(use.arguments))
        return Debit(f"repeats:{name}", "repeats", 1, limit, f"{what} (quotas.repeats)")

    def _prompt(self, agent: str, steps: Sequence[Step], limit: int) -> list[Debit]:
        """The debit of a prompt. A request that ends with a tool result continues an old prompt and has no debit."""
        if not steps or steps[-1].kind != "prompt":
            return []
        text = steps[-1].text
        seen = sum(step.kind == "prompt" and step.text == text for step in steps)
        if seen > limit:
            words = f"The same prompt occurs {seen} times in this conversation; loops.prompts allows {limit}. {_HELP}"
            raise Refusal("loop_detected", words, detail={"quota": "loops.prompts", "count": seen, "limit": limit})
        name = self._name("prompt", agent, text)
        return [Debit(f"prompts:{name}", "repeats", 1, limit, "the same prompt (loops.prompts)")]

    def _name(self, kind: str, *parts: str) -> str:
        assert self._digest is not None, "thresholds that store digests have a key"
        return self._digest(f"loop {kind}", json.dumps(parts)).hex()

    def ended(self, look: Look, finished: bool) -> Mapping[str, int]:
        """The amounts for `Ledger.settle`: zero for a call without a complete answer."""
        if not finished:
            return {debit.key: 0 for debit in look.debits}
        for mark in look.marks:
            if len(self._counted) >= _REMEMBERED:
                del self._counted[next(iter(self._counted))]
            self._counted[mark] = None
        return {}

    def follow(self, chain: Sequence[str], path: Sequence[str]) -> None:
        """Check the chain (from the first agent to the caller) and the path (who called after whom, oldest first).

        Raises Refusal(hop_limit) and Refusal(loop_detected).
        """
        refuse_hops(chain, self._hops)
        limit = self._settings.cycles
        if limit is None:
            return
        ring, rounds = cycle(path)
        if rounds > limit:
            words = (
                f"The agents {_arrows([*ring, ring[0]])} have handed over to each other {rounds} times in the same "
                f"cycle; loops.cycles allows {limit}. {_HELP}"
            )
            raise Refusal("loop_detected", words, detail={"quota": "loops.cycles", "count": rounds, "limit": limit})


def refuse_hops(chain: Sequence[str], most: int | None) -> None:
    """Raise Refusal(hop_limit) for a chain of agents with more hops than `quotas.hops` allows; None: no limit."""
    depth = len(chain) - 1
    if most is not None and depth > most:
        words = (
            f"The chain of agents is {depth} hops deep: {_arrows(chain)}; quotas.hops allows {most}. Let an "
            "agent earlier in the chain make this call, or start a new workflow with another X-Correlation-Id."
        )
        raise Refusal("hop_limit", words, detail={"quota": "quotas.hops", "chain": list(chain)})


def remembers(settings: Settings, repeats: int | None) -> bool:
    """Whether these thresholds store digests, and therefore need a key."""
    return repeats is not None or settings.prompts is not None


def canonical(arguments: Any) -> str:
    """One text for equal arguments, after RFC 8785: sorted keys, no whitespace, one form for a number.

    Unlike RFC 8785, integers keep all digits, so that long ids stay different. A string that is not JSON is unchanged.
    """
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    if not text.strip():
        return "{}"  # some models write an empty string for no arguments
    try:
        return json.dumps(json.loads(text, parse_float=_number), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


def fixed(step: Step) -> Step:
    """The same step, without arguments that are part of a body and may be edited there."""
    if all(type(use.arguments) is str for use in step.uses):
        return step
    return step._replace(uses=tuple(use._replace(arguments=canonical(use.arguments)) for use in step.uses))


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def cycle(path: Sequence[str]) -> tuple[Sequence[str], int]:
    """The ring at the end of the path, from its last agent on, and its number of rounds; ((), 0) for none."""
    best: tuple[Sequence[str], int] = ((), 0)
    for size in range(2, (len(path) + 1) // 2 + 1):
        length = size
        while length < len(path) and path[-length - 1] == path[-length - 1 + size]:
            length += 1
        rounds = (length - 1) // size
        if rounds > best[1]:
            best = ((path[-1], *path[-size:-1]), rounds)
    return best


def _brought(steps: Sequence[Step]) -> list[tuple[ToolUse, int, int]]:
    """The tool calls whose results this request brings, that is, the results after the model's last turn.

    For each: how often the same call occurs in the conversation, and how many calls with the same id precede it.
    """
    last = next((at for at in range(len(steps) - 1, -1, -1) if steps[at].kind == "turn"), -1)
    brought = [step.uses[0] for step in steps[last + 1 :] if step.kind == "result" and step.uses]
    if not brought:
        return []
    tools = {use.tool for use in brought}
    asked = [use for step in steps if step.kind == "turn" for use in step.uses if use.tool in tools]
    shown = Counter([(use.tool, canonical(use.arguments)) for use in asked])
    ids = Counter([use.id for use in asked])
    rest = Counter([use.id for use in brought])  # from this result on
    found = []
    for use in brought:
        seen = max(1, shown[use.tool, canonical(use.arguments)])
        found.append((use, seen, max(0, ids[use.id] - rest[use.id])))
        rest[use.id] -= 1
    return found


def _refuse_idle_turns(steps: Sequence[Step], limit: int) -> None:
    """Count the model's turns since the last new tool result. Raises Refusal(loop_detected) above the limit."""
    known: set[tuple[str, str, str]] = set()
    turns = 0
    for step in steps:
        if step.kind == "turn":
            turns += 1
        elif step.kind == "result":
            use = step.uses[0] if step.uses else ToolUse("", "", "")
            result = (use.tool, canonical(use.arguments), step.text)
            if result not in known:
                known.add(result)
                turns = 0
    if turns > limit:
        words = (
            f"The model has had {turns} turns since the last new tool result, although tools are offered; "
            f"loops.turns allows {limit}. {_HELP}"
        )
        raise Refusal("loop_detected", words, detail={"quota": "loops.turns", "count": turns, "limit": limit})


def _shown(tool: str) -> str:
    """A tool for a message: by its name if the text has the form of a name; other texts must not be in messages."""
    return f"the tool {tool}" if _NAME.fullmatch(tool) else "a tool"


def _arrows(agents: Sequence[str]) -> str:
    return " -> ".join(agents)


def shown(steps: Sequence[Step], earlier: Sequence[str] = ()) -> tuple[str, ...]:
    """The newest names of tools that were called in a conversation, each once, in the order of their first calls.

    `earlier`: the names from before the steps.
    """
    found: dict[str, None] = dict.fromkeys(earlier)
    for step in steps:
        for use in step.uses:
            found[use.tool if _NAME.fullmatch(use.tool) else NAMELESS] = None
    return tuple(found)[-TOOLS:]
