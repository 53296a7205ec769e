"""The gateway's own secrets, found by value in everything that leaves: texts, bodies, headers, log lines.

The values come from the configuration (`own_values`) and stay in memory, never in a cache on disk. Each is found as
written, and in the encodings and with the separators of `encodings`, which are prepared once. Refuses with
secret_blocked, whatever `output.secrets` is. Values of fewer than `SHORTEST` characters are not searched for, because
they would be found in ordinary text.

`OwnSecrets` is a gate of the output filter (see `output.Gate`) for texts, and searches bytes for all other modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.detect.core.rules import resolve
from gateway.detect.secrets.encodings import bare, places, readings, written
from gateway.detect.secrets.literals import Literals, joined
from gateway.errors import Refusal
from gateway.texts import Finding

SHORTEST: Final = 12  # characters
ENTITY: Final = "SECRET_MESHGATE_KEY"
HIDDEN: Final = f"<{ENTITY}>"
_CLEAR: Final = 3
"""Characters of an encoded value that may leave before it is recognized: any text may end in one or two of them."""
_BESIDE: Final = 48  # bytes of these characters with their separators
_SPREAD: Final = 6  # maximum bytes of one character of an encoded value in a stream, with its separator
Scan = Callable[[str], Sequence[Finding]]


class OwnSecrets:
    """The gate. Immutable, shared between threads; false if there is nothing to search for."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(sorted({value for value in secrets if len(value) >= SHORTEST}))
        self._plain = Literals(map(_bytes, self.secrets))
        encoded = {form for value in self.secrets for form in written(value) if len(form) >= SHORTEST}
        self._encoded = Literals(encoded, least=_CLEAR + 1)

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def holds(self, data: bytes) -> bool:
        """Whether bytes contain a value. Takes a microsecond, plus one for each kB."""
        if len(data) < SHORTEST or not self.secrets:
            return False
        return self._plain.holds(data) or self._encoded.holds(bare(data))

    def reach(self, data: bytes, least: int = 0) -> int:
        """How many bytes at the end of data, at least `least`, may be the beginning of a value that continues."""
        longest = self._encoded.longest
        size = max(self._plain.longest, longest, least)
        while size < len(data) and len(bare(data[-size:])) < longest:
            size *= 2
        return min(size, len(data))

    def _in_text(self, data: bytes) -> bool:
        """Whether the bytes of a text contain a value, also in the notations of texts."""
        if len(data) < SHORTEST or not self.secrets:
            return False
        if self._plain.holds(data):
            return True
        return any(self._encoded.holds(bare(one)) for one in readings(data))

    def hide(self, text: str) -> str:
        """A text with each value replaced by its type: for logs."""
        parts: list[str] = []
        at = 0
        for start, end in self._spans(text):
            parts += (text[at:start], HIDDEN)
            at = end
        return "".join([*parts, text[at:]]) if parts else text

    def check(self, data: bytes) -> None:
        """Refuse bytes that are about to leave for the caller. Raises Refusal(secret_blocked)."""
        if self.holds(data):
            raise _refusal()

    def text(self, call: object, text: str) -> str:  # noqa: ARG002
        """Judge a whole text. Raises Refusal(secret_blocked)."""
        if len(text) >= SHORTEST and self._in_text(_bytes(text)):
            raise _refusal()
        return text

    def argument(self, call: object, text: str) -> str:  # noqa: ARG002
        """Judge a string in the arguments of a tool call."""
        return text  # judged as a text already

    def scanning(self, scan: Scan) -> Scan:
        """A scanner that also finds these values."""

        def both(text: str) -> Sequence[Finding]:
            found = scan(text)
            return united(found, self.found(text)) if self._in_text(_bytes(text)) else found

        return both if self else scan

    def found(self, text: str) -> list[Finding]:
        """The findings of the values in a text."""
        return [Finding(start, end, ENTITY, 1.0) for start, end in self._spans(text)]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """The stretches of a text that contain values, in order; overlapping ones are joined."""
        data = _bytes(text)
        if not self._in_text(data):
            return []
        stands = self._plain.spans(data)
        for one in readings(data):
            at = places(one)
            stands += [(at[start], at[end - 1] + 1) for start, end in self._encoded.spans(bare(one))]
        found = joined(stands)
        return found if text.isascii() else [(_chars(data[:start]), _chars(data[:end])) for start, end in found]

    def guard(self, call: object) -> OwnGuard:
        """The judge of one running text."""
        return OwnGuard(self, call)

    def begun(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a value."""
        end = _bytes(text[-_BESIDE:])
        plain = encoded = 0
        if self._plain.may_begin(end):
            data = _bytes(text[-self._plain.longest :])
            size = self._plain.begun(data)
            plain = _chars(data[len(data) - size :])
        if any(self._encoded.may_begin(bare(one)) for one in readings(end)):
            for data in readings(_bytes(text[-_SPREAD * self._encoded.longest :])):
                size = self._encoded.begun(bare(data))
                encoded = max(encoded, _chars(data[places(data)[-size] :]) if size else 0)
        return max(plain, encoded)


def _refusal() -> Refusal:
    words = "The answer contained one of the gateway's own secrets and was stopped."
    return Refusal("secret_blocked", words, stage="output")


def united(found: Sequence[Finding], own: Sequence[Finding]) -> Sequence[Finding]:
    """The findings of a scanner and those of own values; next to an own value no other finding remains."""
    return resolve([*own, *(one for one in found if not any(_meet(one, mine) for mine in own))])


def _meet(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _chars(data: bytes) -> int:
    return len(data.decode("utf-8", "surrogatepass"))


class OwnGuard:
    """Holds back the part of a running text that may become a value."""

    def __init__(self, own: OwnSecrets, call: object) -> None:
        self._own = own
        self._call = call
        self._left = ""  # the last characters that were released
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; returns the text that may leave."""
        own = self._own
        text = self._held + text
        seen = self._left + text
        own.text(self._call, seen)
        begun = min(own.begun(seen), len(text))
        cut = len(text) - begun
        out, self._held = text[:cut], text[cut:]
        self._left = (self._left + out)[-_BESIDE:]
        return out

    def close(self) -> str:
        """Judge and return the rest."""
        rest, self._held = self._held, ""
        return rest
