"""Correlation ids that are personal data: what is kept of one at rest.

Callers choose the id, and some choose an e-mail address. Records, the log and the state then have a keyed digest in its
place, the same on every replica; the caller gets the id back as it came. Config key: `pii`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from gateway.call import Finding

PREFIX: Final = "hashed:"
_RANDOM: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")  # a UUID, a trace id
_REMEMBERED: Final = 4096


class WorkflowIds:
    """Decides by the scanner of requests. Not for several threads."""

    def __init__(self, scan: Callable[[str], Sequence[Finding]], digest: Callable[[str, str], bytes]) -> None:
        self._scan = scan
        self._digest = digest
        self._known: dict[tuple[str, str], str] = {}  # of (team, id): nobody learns from the time what others use

    def kept(self, team: str, id: str) -> str:
        """The id at rest."""
        if _RANDOM.fullmatch(id):
            return id
        kept = self._known.get((team, id))
        if kept is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            kept = f"{PREFIX}{self._digest('correlation id', id).hex()}" if self._scan(id) else id
            self._known[team, id] = kept
        return kept
