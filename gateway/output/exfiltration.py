"""Part of stage `output`: images and links of an answer must not carry data out.

Config keys: `output.exfiltration_urls`, `output.allowed_hosts`. Refuses with output_blocked. Fails closed: a URL is
held until it is whole, and one that does not end is refused.

A URL is refused for what its form gives away (`detect.urls.judge`), or because it holds a value that was redacted from
the request, in the clear or encoded. One that stands in the request as it is carries nothing that its author did not
know. In the arguments of a tool call only known values count: tools are there to be called with data.
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

_SHORTEST: Final = 5  # characters of a value that is looked for: shorter ones stand in many URLs by accident
_MOST: Final = 256  # values looked for
_NAME: Final = regex.compile(r"[a-z0-9-]{1,40}\.[a-z]{2,24}")
_AUTHORITY: Final = regex.compile(r"[/\\]{2}[^/\\?#]*\Z")
_BESIDE: Final = regex.compile(r"[A-Za-z0-9+_%-]")
_BESIDE_HOST: Final = regex.compile(r"[^/\\?#:]")
_JOINTS: Final = regex.compile(r"[\s().+/_-]+")
_WEB: Final = frozenset({"", "http", "https", "ws", "wss", "ftp"})


class Exfiltration:
    """The gate. `allowed` are hosts that may be told anything: names, or `*.example.com` for all below one."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in allowed if not name.startswith("*."))
        self._below = tuple(name[1:].lower() for name in allowed if name.startswith("*."))

    def guard(self, call: Call) -> Links:
        """The judge of one running text."""
        return Links(partial(self._judge, call))

    def text(self, call: Call, text: str) -> str:
        """A whole text, as it is."""
        guard = self.guard(call)
        return guard.feed(text) + guard.close()

    def argument(self, call: Call, text: str) -> str:
        """A string among the arguments of a tool call, as it is."""
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
            raise _refusal(f"The answer holds {what} that may carry data to {_name(url)}: {why}.")

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
        f"{said} If that is meant, ask the operator to add the host to output.allowed_hosts.",
        stage="output",
    )


def _name(url: Url) -> str:
    """The host as a message may say it: its last two labels, which hold no data."""
    named = ".".join(url.host.split(".")[-2:])
    return named if _NAME.fullmatch(named) else "another host"


def _redacted(call: Call, text: str, image: bool) -> str:
    """Why a URL that something was taken out of is taken to carry data; "" if it is not.

    A value that an encoding hid is found up to where it ends, and the rest of the encoding is left in its place. A link
    may hold a whole value, which is gone; it may stand for the host, too: then the link leads nowhere.
    """
    for mark in REDACTED.finditer(text):
        if not call.screening.counts.get(mark[1]):
            continue
        before, after = text[: mark.start()], text[mark.end() : mark.end() + 1]
        host = _AUTHORITY.search(before) is not None
        beside = _BESIDE_HOST if host else _BESIDE
        if image or beside.match(before[-1:]) or (host and before[-1:] == ":") or beside.match(after):
            return "personal data or a secret was taken out of it"
    return ""


def _was_sent(call: Call, url: str) -> bool:
    """Whether the request holds the URL as it is."""
    return any(url in span.text for span in call.spans)


def _known(call: Call, url: Url) -> str:
    """Why a URL is taken to hold a value that was found in the request; "" if it holds none."""
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
    """The values that are looked for, chosen once for a call."""
    if redaction.longest is None:
        redaction.longest = tuple(nlargest(_MOST, redaction.known, key=len))
    return redaction.longest


def _forms(value: str) -> Iterator[str]:
    """A value as a part of something larger that is encoded: in hex, and in Base64 at each of its three places."""
    raw = value.encode()
    yield raw.hex()
    yield raw.hex().upper()
    for skipped in range(3):
        padded = base64.b64encode(b"\0" * skipped + raw).decode().rstrip("=")
        core = padded[(0, 2, 3)[skipped] : len(padded) - (1 if (len(raw) + skipped) % 3 else 0)]
        if len(core) >= _SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")
