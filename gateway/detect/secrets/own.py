"""The gateway's own secrets, found by value in whatever leaves: texts, bodies, headers, log lines.

The values come from the configuration (`own_values`) and stay in memory: they are compiled into no cache on disk. Each
is found as it is, and as base64 (wherever in the encoded text it stands), hexadecimal, percent-encoded or escaped as
JSON writes it, where it needs to be or throughout. Refuses with secret_blocked, whatever `output.secrets` says. Values
of fewer than `SHORTEST` characters are not searched for, as they would be found in ordinary text.

`OwnSecrets` is a gate of the output filter (see `output.Gate`) for texts, and searches bytes for everybody else.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

import orjson
import regex

from gateway.call import Call
from gateway.detect.core.index import Database, linear
from gateway.detect.core.rules import resolve
from gateway.errors import Refusal
from gateway.texts import Finding

SHORTEST: Final = 12  # characters
ENTITY: Final = "SECRET_MESHGATE_KEY"
HIDDEN: Final = f"<{ENTITY}>"
_CLEAR: Final = 3
_FIRST: Final = 64  # characters of a value whose beginnings are one pattern: it nests as deep as they are many
"""Characters of an encoded value that may leave before it is known for one: any text may end in one or two of them."""
Scan = Callable[[str], Sequence[Finding]]


class OwnSecrets:
    """The gate. Immutable, shared between threads; false if there is nothing to search for."""

    def __init__(self, secrets: Iterable[str]) -> None:
        plain = {value for value in secrets if len(value) >= SHORTEST}
        encoded = {form for value in plain for form in forms(value) if len(form) >= SHORTEST} - plain
        self.secrets = tuple(sorted(plain | encoded))
        self._longest = max(map(len, self.secrets), default=0)
        # What the end of a text must look like to be the beginning of a value.
        self._one = frozenset(value[0] for value in plain)
        self._two = frozenset(value[:2] for value in plain)
        self._three = frozenset(value[at : at + 3] for value in self.secrets for at in range(len(value) - 2))
        begun = [_begun(value[:_FIRST], 1) for value in plain] + [
            _begun(value[:_FIRST], _CLEAR + 1) for value in encoded
        ]
        self._long = tuple(value for value in self.secrets if len(value) > _FIRST)
        self._pattern = regex.compile("|".join(map(regex.escape, self.secrets)) or r"(?!)")
        self._begins = regex.compile("|".join(rf"{one}\Z" for one in begun) or r"(?!)")
        self._whole, self._begun = None, None
        if linear() and self.secrets:
            numbers = range(len(self.secrets))
            self._whole = Database([_literal(value) for value in self.secrets], numbers, None)
            self._begun = Database([rf"{_utf8(one)}\z" for one in begun], numbers, None)

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def holds(self, data: bytes) -> bool:
        """Whether bytes hold a value: a quarter of a microsecond, and a tenth more for each kB."""
        if len(data) < SHORTEST or not self.secrets:
            return False
        if self._whole is not None:
            return self._whole.leftmost(data) >= 0
        return self._pattern.search(data.decode(errors="replace")) is not None

    def hide(self, text: str) -> str:
        """A text with the type of each value in its place: for logs."""
        return self._pattern.sub(HIDDEN, text) if self.holds(_bytes(text)) else text

    def check(self, data: bytes) -> None:
        """Refuse bytes that are about to leave for the caller. Raises Refusal(secret_blocked)."""
        if self.holds(data):
            raise Refusal(
                "secret_blocked", "The answer held a secret of the gateway's own and was stopped.", stage="output"
            )

    def text(self, call: Call, text: str) -> str:  # noqa: ARG002
        """A whole text. Raises Refusal(secret_blocked)."""
        if len(text) >= SHORTEST:
            self.check(_bytes(text))
        return text

    def argument(self, call: Call, text: str) -> str:  # noqa: ARG002
        """A string among the arguments of a tool call."""
        return text  # judged as a text already

    def scanning(self, scan: Scan) -> Scan:
        """A scanner that finds these values, too."""

        def both(text: str) -> Sequence[Finding]:
            found = scan(text)
            return united(found, self.found(text)) if self.holds(_bytes(text)) else found

        return both if self else scan

    def found(self, text: str) -> list[Finding]:
        """Where the values stand in a text."""
        return [Finding(*match.span(), ENTITY, 1.0) for match in self._pattern.finditer(text)]

    def guard(self, call: Call) -> OwnGuard:
        """The judge of one running text."""
        return OwnGuard(self, call)

    def begun(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a value."""
        if text[-3:] not in self._three and text[-1:] not in self._one and text[-2:] not in self._two:
            return 0  # so for most pieces of a stream
        tail = text[-self._longest :]
        return max(self._short_begun(tail[-_FIRST:]), self._long_begun(tail))

    def _long_begun(self, tail: str) -> int:
        """The same for beginnings that hold all of the first characters of a long value."""
        longest = 0
        for value in self._long:
            at = tail.find(value[: _FIRST - 1])
            while at >= 0 and not value.startswith(tail[at:]):
                at = tail.find(value[: _FIRST - 1], at + 1)
            longest = max(longest, len(tail) - at if at >= 0 else 0)
        return longest

    def _short_begun(self, tail: str) -> int:
        if self._begun is None:
            match = self._begins.search(tail)
            return len(tail) - match.start() if match is not None else 0
        data = _bytes(tail)
        at = self._begun.leftmost(data)
        return len(data[at:].decode("utf-8", "surrogatepass")) if at >= 0 else 0


def forms(value: str) -> Iterator[str]:
    """Other ways to write a value, as far as they say all of it."""
    raw = _bytes(value)
    yield raw.hex()
    yield raw.hex().upper()
    yield quote(value, safe="")
    units = value.encode("utf-16-be", "surrogatepass")
    for code in (raw.hex(), raw.hex().upper()):  # all of it escaped, also what needs no escape
        yield "".join(f"%{code[at : at + 2]}" for at in range(0, len(code), 2))
    for code in (units.hex(), units.hex().upper()):
        yield "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))
    written = orjson.dumps(value).decode()[1:-1]
    yield written
    yield written.replace("/", "\\/")
    for shift, torn in ((0, 0), (1, 2), (2, 3)):  # bytes before it in its group of three, characters that those tell
        whole = (shift + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(shift) + raw).decode()[torn:whole]


def united(found: Sequence[Finding], own: Sequence[Finding]) -> Sequence[Finding]:
    """Findings with those that nothing may stand beside."""
    return resolve([*own, *(one for one in found if not any(_meet(one, mine) for mine in own))])


def _meet(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _literal(value: str) -> str:
    return _utf8(re.escape(value))


def _utf8(pattern: str) -> str:
    """A pattern for bytes, as Hyperscan reads it: what is beyond ASCII as the bytes that it is."""
    return "".join(one if one.isascii() else "".join(rf"\x{byte:02x}" for byte in _bytes(one)) for one in pattern)


def _begun(value: str, least: int) -> str:
    """A pattern of the beginnings of a value, from so many characters up to all but one."""
    pattern = ""
    for one in reversed(value[least:-1]):
        pattern = rf"(?:{re.escape(one)}{pattern})?"
    return re.escape(value[:least]) + pattern


class OwnGuard:
    """Holds back what may become a value, in running text."""

    def __init__(self, own: OwnSecrets, call: Call) -> None:
        self._own = own
        self._call = call
        self._left = ""  # the last characters that have left
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; give what may leave by now."""
        own = self._own
        text = self._held + text
        seen = self._left + text
        own.text(self._call, seen)
        begun = min(own.begun(seen), len(text))
        cut = len(text) - begun
        out, self._held = text[:cut], text[cut:]
        self._left = (self._left + out)[-_CLEAR:]
        return out

    def close(self) -> str:
        """Give the rest."""
        rest, self._held = self._held, ""
        return rest
