"""What is known about a text part, kept by content hash: agents resend the whole conversation with every turn.

Only new text is scanned and counted. Values hold offsets, never text. The cache is bounded, oldest entries out first.

Keys are Python's own hash of the text and its length: SipHash-1-3 under a random secret of this process (PEP 456), so
nobody can look for a harmful text that passes for a harmless one, and two texts meet by accident once in 2^64. Where
the secret was switched off (PYTHONHASHSEED), keys are SHA-256 digests: three times as slow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha256

from gateway.call import Finding, Span


def _sipped(text: str) -> Hashable:
    return hash(text), len(text)


def _digested(text: str) -> Hashable:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _secret_is_random() -> bool:
    return sys.hash_info.algorithm.startswith("siphash") and os.environ.get("PYTHONHASHSEED", "random") == "random"


_key = _sipped if _secret_is_random() else _digested


class Facts:
    """Tokens, and the stretches of personal data; None where nobody looked."""

    __slots__ = ("findings", "tokens")

    def __init__(self, tokens: int, findings: Sequence[Finding]) -> None:
        self.tokens = tokens
        self.findings = findings


class Texts:
    """A bounded map from text to `Facts`. `counted`: somebody wants to know tokens before the call leaves."""

    def __init__(
        self,
        count: Callable[[str], int],
        scan: Callable[[str], Sequence[Finding]] | None,
        *,
        counted: bool = True,
        size: int = 32_768,
    ) -> None:
        self.count = count
        self._scan = scan
        self._counted = counted
        self._size = size
        self._known: dict[Hashable, Facts] = {}

    def of(self, text: str) -> Facts:
        """The facts of one text part: from memory, or worked out now."""
        key = _key(text)
        facts = self._known.get(key)
        if facts is None:
            facts = self._learn(key, text)
        return facts

    def of_all(self, spans: Sequence[Span]) -> list[Facts]:
        """The facts of every span, in order; none at all where nobody asks."""
        if self._scan is None and not self._counted:
            return []
        of = self.of
        return [of(span.text) for span in spans]

    def _learn(self, key: Hashable, text: str) -> Facts:
        found = self._scan(text) if self._scan else ()
        facts = Facts(self.count(text) if self._counted else 0, found or ())
        if len(self._known) >= self._size:
            self._known.pop(next(iter(self._known)), None)
        self._known[key] = facts
        return facts
