"""The gateway's own secrets, found by value in whatever leaves: a gate of the output filter (see `output.Gate`).

The values come from the configuration and stay in memory: they are compiled into no cache on disk. Refuses with
secret_blocked, whatever `output.secrets` says. Values of fewer than `SHORTEST` characters are not searched for, as
they would be found in ordinary text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import regex

from gateway.call import Call, Finding
from gateway.config import Config
from gateway.errors import ConfigError, Refusal
from gateway.keyfiles import read_key_file
from gateway.scan.rules import resolve
from gateway.stores import address

SHORTEST = 12  # characters
ENTITY = "SECRET_MESHGATE_KEY"
_CREDENTIAL = re.compile(r"(?i)key|token|secret|auth|cookie|password|credential")  # in the name of a header
Scan = Callable[[str], Sequence[Finding]]


def values(config: Config) -> Iterator[str]:
    """The secrets that a configuration holds."""
    for provider in config.providers.values():
        yield provider.api_key
        yield from _credentials(provider.headers)
    if config.admin is not None and config.admin.key_file:
        yield read_key_file(Path(config.admin.key_file))
    if config.pii is not None:
        yield config.pii.vault_key
    try:
        store = address.parse(config.state.url)
    except ConfigError:
        store = None
    if store is not None and store.password:
        yield store.password


def _credentials(headers: Mapping[str, str]) -> Iterator[str]:
    """The values of headers that authenticate; media types, addresses and the like are no secrets."""
    for name, value in headers.items():
        if not _CREDENTIAL.search(name):
            continue
        yield value
        yield value.rpartition(" ")[2]  # without the scheme of an Authorization header
        if "cookie" in name.lower():
            yield from (pair.partition("=")[2].strip() for pair in value.split(";"))


class OwnSecrets:
    """The gate. Immutable, shared between threads; false if there is nothing to search for."""

    def __init__(self, secrets: Iterable[str]) -> None:
        plain = {value for value in secrets if len(value) >= SHORTEST}
        encoded = {base64.b64encode(value.encode()).decode().rstrip("=") for value in plain}
        self.secrets = tuple(sorted(plain | encoded))
        self._longest = max(map(len, self.secrets), default=0)
        self._first = frozenset(secret[0] for secret in self.secrets)
        self._pairs = frozenset(secret[at : at + 2] for secret in self.secrets for at in range(len(secret) - 1))
        self._pattern = regex.compile("|".join(map(regex.escape, self.secrets)) or r"(?!)")

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def text(self, call: Call, text: str) -> str:  # noqa: ARG002
        """A whole text. Raises Refusal(secret_blocked)."""
        if len(text) >= SHORTEST and any(secret in text for secret in self.secrets):
            raise Refusal(
                "secret_blocked", "The text held a secret of the gateway's own and was stopped.", stage="output"
            )
        return text

    def argument(self, call: Call, text: str) -> str:  # noqa: ARG002
        """A string among the arguments of a tool call."""
        return text  # judged as a text already

    def scanning(self, scan: Scan) -> Scan:
        """A scanner that finds these values, too."""

        def both(text: str) -> Sequence[Finding]:
            found = scan(text)
            if not any(secret in text for secret in self.secrets):
                return found
            own = [Finding(*match.span(), ENTITY, 1.0) for match in self._pattern.finditer(text)]
            return resolve([*own, *(one for one in found if not any(_meet(one, mine) for mine in own))])

        return both if self else scan

    def guard(self, call: Call) -> OwnGuard:
        """The judge of one running text."""
        return OwnGuard(self, call)

    def begun(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a secret."""
        if text[-1:] not in self._first and text[-2:] not in self._pairs:  # so for most pieces of a stream
            return 0
        tail = text[-self._longest :]
        found = self._pattern.search(tail, partial=True)
        return len(tail) - found.start() if found is not None and found.end() > found.start() else 0


def _meet(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end


class OwnGuard:
    """Holds back what may become a secret, in running text."""

    def __init__(self, own: OwnSecrets, call: Call) -> None:
        self._own = own
        self._call = call
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; give what may leave by now."""
        held = self._own.text(self._call, self._held + text if self._held else text)
        begun = self._own.begun(held)
        if not begun:
            self._held = ""
            return held
        cut = len(held) - begun
        self._held = held[cut:]
        return held[:cut]

    def close(self) -> str:
        """Give the rest."""
        rest, self._held = self._held, ""
        return rest
