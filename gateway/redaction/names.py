"""Part of stage `redact`: adds names, places and organizations to the findings of patterns before redaction.

Config key: `pii.ner`. Refuses with pii_blocked. Fails closed: a text that no worker could read within the deadline
blocks the call, unless `on_deadline: allow` lets the call continue with the findings of patterns.

Only new text goes to the workers. Results are kept by content hash like those of `texts`: offsets, never text. Pieces
of a long text are kept as well, so that a retry after the deadline continues where the first attempt ended.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, Final

import regex

from gateway.detect.core.rules import resolve
from gateway.detect.names.pool import Pool, Settings, Unread
from gateway.detect.names.windows import SIZE, join, windows
from gateway.detect.personal.placeholders import LIKE
from gateway.detect.unscannable import UNSCANNABLE
from gateway.errors import Refusal
from gateway.redaction.texts import Found, Generations, hashed
from gateway.texts import Finding, Slot

_STEP: Final = 256  # characters of a text that are cut in the time of a small step
_ASKED: Final = 1024  # texts that are given to the pool at a time, because it queues them on the event loop
_TELLING: Final = regex.compile(r"\p{L}\p{M}*\p{L}")  # a name has at least two adjacent letters
_start: Final = attrgetter("start")
_log = logging.getLogger("meshgate.ner")

Keep = Callable[[str, Sequence[Finding]], list[Finding]]
"""(text, findings) -> the findings that are not allowed values and whose score is high enough."""
Apart = Callable[[int, Callable[[], Any]], Awaitable[Any]]
"""Runs work of a number of small steps, in a thread if there are many (see `lanes.apart`)."""
_Cut = dict[str, list[tuple[int, str]]]


async def _here(_size: int, work: Callable[[], Any]) -> Any:
    return work()


class Names:
    """The second tier of the scanner (names), for one configuration."""

    def __init__(
        self,
        config: Settings,
        pool: Pool,
        failed: Callable[[], None] = lambda: None,
        keep: Keep | None = None,
    ) -> None:
        self._pool = pool
        self._deadline = config.deadline
        self._allow = config.on_deadline == "allow"
        self._failed = failed
        self._keep = keep
        # Text -> all its findings, including those of the first tier; () if there are no names.
        self._known: Generations[Sequence[Finding]] = Generations()
        self._pieces: Generations[list[Finding]] = Generations(4096)

    async def add(
        self, slots: Sequence[Slot], found: Sequence[Found], team: str = "", apart: Apart = _here
    ) -> Sequence[Found]:
        """The findings of the first tier, together with the names. Raises Refusal(pii_blocked)."""
        named: dict[str, Sequence[Finding]] = {}
        new: list[str] = await apart(len(slots), partial(self._recall, slots, team, named))
        if not new and not named:
            return found
        size = len(slots) + sum(map(len, map(itemgetter(1), found)))
        first = await apart(size, lambda: {slot.text: findings for slot, findings in found})
        if new:
            await self._read(new, first, team, named, apart)
        if not named:
            return found

        def joined() -> list[Found]:
            both = ((slot, named.get(slot.text) or first.get(slot.text)) for slot in slots)
            return [(slot, findings) for slot, findings in both if findings]

        return await apart(size, joined)  # type: ignore[no-any-return]

    def _recall(self, slots: Sequence[Slot], team: str, named: dict[str, Sequence[Finding]]) -> list[str]:
        """Add the known names to the findings; returns the new texts."""
        known = self._known.young
        new: list[str] = []
        for slot in slots:
            text = slot[2]
            key = hashed((team, text))
            findings = known.get(key)
            if findings is None:
                findings = self._known.recall(key)
            if findings is None:
                new.append(text)
            elif findings:
                named[text] = findings
        return new

    async def _read(
        self,
        texts: list[str],
        first: Mapping[str, Sequence[Finding]],
        team: str,
        named: dict[str, Sequence[Finding]],
        apart: Apart,
    ) -> None:
        """Have new texts read by the workers, add their names to the findings, and remember them."""
        known: dict[str, list[Finding]] = {}
        size = sum(map(len, texts)) // _STEP
        cut, missing = await apart(size, partial(self._pieces_of, texts, team, known))
        why = await self._ask(missing, team, known) if missing else ""
        size += len(cut) + sum(map(len, known.values())) + sum(map(len, first.values()))
        await apart(size, partial(self._join, cut, known, first, team, named))
        if why and not self._allow:
            raise Refusal(
                "pii_blocked",
                f"The request could not be searched for names: {why}. Try again, or ask the operator about pii.ner.",
            )

    def _pieces_of(self, texts: list[str], team: str, known: dict[str, list[Finding]]) -> tuple[_Cut, list[str]]:
        """The texts in pieces, and the pieces that must be read; known findings of the others are added."""
        cut = {text: _cut(text) for text in dict.fromkeys(texts)}
        missing: list[str] = []
        for pieces in cut.values():
            for _, piece in pieces:
                findings = self._pieces.recall(hashed((team, piece))) if len(pieces) > 1 else None
                if findings is None:
                    missing.append(piece)
                else:
                    known[piece] = findings
        return cut, missing

    def _join(
        self,
        cut: _Cut,
        known: Mapping[str, list[Finding]],
        first: Mapping[str, Sequence[Finding]],
        team: str,
        named: dict[str, Sequence[Finding]],
    ) -> None:
        """Write the findings of both tiers for texts with names, and remember the results."""
        for text, pieces in cut.items():
            read = [(offset, piece) for offset, piece in pieces if piece in known]
            if len(pieces) > 1:
                for _, piece in read:
                    self._pieces.keep(hashed((team, piece)), known[piece])
            both: Sequence[Finding] = ()
            findings = join((offset, known[piece]) for offset, piece in read)
            if self._keep is not None and findings:
                findings = self._keep(text, findings)
            if findings:
                both = named[text] = _with(first.get(text, ()), findings)
            if len(read) == len(pieces):
                self._known.keep(hashed((team, text)), both)

    async def _ask(self, texts: list[str], team: str, known: dict[str, list[Finding]]) -> str:
        """Write the findings of the workers into `known`; returns the reason if some are missing, "" otherwise."""
        why = ""
        try:
            ends = time.monotonic() + self._deadline
            for at in range(0, len(texts), _ASKED):
                known |= await self._pool.find(texts[at : at + _ASKED], max(0.0, ends - time.monotonic()), team)
            if not known.keys() >= set(texts):
                why = f"it took more than {self._deadline:g} s (pii.ner.deadline)"
        except Unread as fault:
            why = str(fault)
        if why:
            self._failed()
            _log.warning("names: %s%s", why, "; the call goes on" if self._allow else "")
        return why


def _with(first: Sequence[Finding], names: Sequence[Finding]) -> Sequence[Finding]:
    """The findings of both tiers without overlaps. A name never replaces a finding of `unscannable`."""
    guards = [finding for finding in first if finding.entity.startswith((LIKE, UNSCANNABLE))]
    return resolve([*first, *(name for name in names if _free(name, guards))])


def _free(name: Finding, guards: Sequence[Finding]) -> bool:
    """Whether a name overlaps none of the findings, which are sorted and do not overlap."""
    at = bisect_left(guards, name.end, key=_start)
    return not at or guards[at - 1].end <= name.start


def _cut(text: str) -> list[tuple[int, str]]:
    if len(text) > SIZE:
        return list(windows(text))
    return [(0, text)] if _TELLING.search(text) else []
