"""A gate: images and links of an answer must not carry data out.

Config keys: `output.exfiltration_urls`, `output.allowed_hosts`. Refuses with output_blocked. Fails closed: a URL is
held until it is complete, and a URL that does not end is refused.

A URL is refused for its form (`detect.urls`), or because it holds a value that was redacted from the request, plain or
encoded. A URL that is in the request carries nothing that its author did not know. In the arguments of a tool call,
only known values count: tools are called with data by design.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import partial
from heapq import nlargest
from typing import Final

import regex

from gateway.call import Call, Redaction
from gateway.detect.urls.find import REDACTED, Links
from gateway.detect.urls.judge import Url, carries, decoded, parse, tokens
from gateway.errors import Refusal

_SHORTEST: Final = 5  # minimum length of a value that is searched for: shorter values are in many URLs by chance
_MOST: Final = 256  # maximum number of values that are searched for
_NAME: Final = regex.compile(r"[a-z0-9-]{1,40}\.[a-z]{2,24}")
_AUTHORITY: Final = regex.compile(r"[/\\]{2}[^/\\?#]*\Z")
_BESIDE: Final = regex.compile(r"[A-Za-z0-9+_%-]")
_BESIDE_HOST: Final = regex.compile(r"[^/\\?#:]")
_JOINTS: Final = regex.compile(r"[\s().+/_-]+")
_WEB: Final = frozenset({"", "http", "https", "ws", "wss", "ftp"})


class Exfiltration:
    """The gate. `allowed` are hosts that may receive data: names, or `*.example.com` for all hosts below."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in allowed if not name.startswith("*."))
        self._below = tuple(name[1:].lower() for name in allowed if name.startswith("*."))

    def guard(self, call: Call) -> Links:
        """The judge of one running text."""
        return Links(partial(self._judge, call))

    def text(self, call: Call, text: str) -> str:
        """The text, unchanged. Raises Refusal."""
        guard = self.guard(call)
        return guard.feed(text) + guard.close()

    def argument(self, call: Call, text: str) -> str:
        """A string in the arguments of a tool call, unchanged. Raises Refusal."""
        guard = Links(partial(self._judge_argument, call))
        return guard.feed(text) + guard.close()

    def _judge(self, call: Call, text: str, image: bool) -> None:
        why = _redacted(call, text, image)
        text = text if why else REDACTED.split(text, 1)[0]
        url = parse(text)
        if self._allows(url):
            return
        why = why or carries(url, image=image) or _known(call, url)
        if why and not _was_sent(call, text):
            what = "an image" if image else "a link"
            raise _refusal(f"The answer contains {what} that may carry data to {_name(url)}: {why}.")

    def _judge_argument(self, call: Call, text: str, _: bool) -> None:
        url = parse(REDACTED.split(text, 1)[0])
        why = "" if self._allows(url) else _known(call, url)
        if why and not _was_sent(call, text):
            raise _refusal(f"The answer calls a tool with a URL that carries data to {_name(url)}: {why}.")

    def _allows(self, url: Url) -> bool:
        return bool(url.host) and url.scheme in _WEB and (url.host in self._names or url.host.endswith(self._below))


def _refusal(said: str) -> Refusal:
    return Refusal(
        "output_blocked",
        f"{said} If this is intended, ask the operator to add the host to output.allowed_hosts.",
        stage="output",
    )


def _name(url: Url) -> str:
    """The host as a message may name it: the last two labels, which cannot hold data."""
    named = ".".join(url.host.split(".")[-2:])
    return named if _NAME.fullmatch(named) else "another host"


def _redacted(call: Call, text: str, image: bool) -> str:
    """Why a URL from which a value was redacted still carries data; "" if it does not.

    If the value was encoded, the rest of the encoding remains in the URL. A link from which a complete plain value was
    removed is harmless, also if the value was the host: then the link leads nowhere.
    """
    for mark in REDACTED.finditer(text):
        if not call.screening.counts.get(mark[1]):
            continue
        before, after = text[: mark.start()], text[mark.end() : mark.end() + 1]
        host = _AUTHORITY.search(before) is not None
        beside = _BESIDE_HOST if host else _BESIDE
        if image or beside.match(before[-1:]) or (host and before[-1:] == ":") or beside.match(after):
            return "personal data or a secret was redacted from it"
    return ""


def _was_sent(call: Call, url: str) -> bool:
    """Whether the request contains this URL."""
    return any(url in slot.text for slot in call.request.slots)


def _known(call: Call, url: Url) -> str:
    """Which value of the request a URL holds, as a reason for the message; "" if it holds none."""
    values = call.redaction.known
    if not values:
        return ""
    said = url.payload
    below = url.host.rpartition(".")[0].rpartition(".")[0]
    haystack = f"{below}\n{said}\n" + "\n".join(filter(None, map(decoded, tokens(url))))
    plain, flat = haystack.lower(), _JOINTS.sub("", haystack).lower()
    backwards = plain[::-1]
    looked_for = _longest(call.redaction)
    for value in map(str.lower, looked_for):
        bare = _JOINTS.sub("", value)
        if len(bare) < _SHORTEST:
            continue
        if value in plain or value in backwards or (len(bare) >= 7 and bare in flat):
            return "it holds personal data of the request"
    for value in looked_for:
        if len(value) >= _SHORTEST and any(form in said for form in _forms(value)):
            return "it holds personal data of the request, encoded"
    return ""


def _longest(redaction: Redaction) -> tuple[str, ...]:
    """The values that are searched for, selected once per call."""
    if redaction.longest is None:
        redaction.longest = tuple(nlargest(_MOST, redaction.known, key=len))
    return redaction.longest


def _forms(value: str) -> Iterator[str]:
    """The forms of a value inside a larger encoded text: hexadecimal, and Base64 at each of three offsets."""
    raw = value.encode()
    yield raw.hex()
    yield raw.hex().upper()
    for skipped in range(3):
        padded = base64.b64encode(b"\0" * skipped + raw).decode().rstrip("=")
        core = padded[(0, 2, 3)[skipped] : len(padded) - (1 if (len(raw) + skipped) % 3 else 0)]
        if len(core) >= _SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")
