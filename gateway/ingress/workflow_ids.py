"""Correlation ids that are personal data, and the digests that are stored in their place.

Callers choose the id, and some choose an e-mail address. Records, the log and the state then contain a keyed digest,
the same on every replica; the caller gets back the original id. Config key: `pii`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from gateway.texts import Finding

PREFIX: Final = "hashed:"
_RANDOM: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")  # a UUID, a trace id
_REMEMBERED: Final = 4096


class WorkflowIds:
    """Maps ids to stored ids, by the scanner of requests. Not thread-safe."""

    def __init__(self, scan: Callable[[str], Sequence[Finding]], digest: Callable[[str, str], bytes]) -> None:
        self._scan = scan
        self._digest = digest
        self._known: dict[tuple[str, str], str] = {}  # by (team, id): timing must not reveal the ids of other teams

    def kept(self, team: str, id: str) -> str:
        """The id as it is stored."""
        if _RANDOM.fullmatch(id):
            return id
        kept = self._known.get((team, id))
        if kept is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            kept = f"{PREFIX}{self._digest('correlation id', id).hex()}" if self._scan(id) else id
            self._known[team, id] = kept
        return kept
