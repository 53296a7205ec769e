"""JSON with halves of characters, which some servers send when they cut a text inside one.

Half a surrogate pair is not a character: it becomes U+FFFD, unless the other half follows in the next piece of its text
(see `Halves`). So do bytes that are no UTF-8.
Everything else that is not JSON stays an error.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_BYTES: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # half a pair, encoded like a character
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_MARK: Final = b"\xef\xbb\xbf"


def loads(data: bytes) -> tuple[Any, bool]:
    """The parsed JSON, and whether halves were replaced. Raises ValueError."""
    try:
        return orjson.loads(data), False
    except orjson.JSONDecodeError:
        pass
    whole = _mended(data)
    if whole == data:
        raise ValueError("it is not JSON")
    try:
        return orjson.loads(whole), True
    except orjson.JSONDecodeError:
        raise ValueError("it is not JSON") from None


def readable(data: bytes) -> bytes:
    """The same JSON as each parser reads it, with U+FFFD for halves; what is no JSON at all stays none.

    For what is read several times before it is judged: a reader that stops at a half must not let the rest pass.
    """
    if _HALF.search(data) is None and not data.startswith(_MARK) and _is_utf8(data):
        return data
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return _mended(data)
    return data


def _mended(data: bytes) -> bytes:
    whole = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data.removeprefix(_MARK))
    return _BYTES.sub("\ufffd".encode(), whole).decode(errors="replace").encode()


def _is_utf8(data: bytes) -> bool:
    try:
        return data.isascii() or data.decode() != ""
    except UnicodeDecodeError:
        return False


def with_halves(data: bytes) -> tuple[Any, bool]:
    """The same, but strings keep their halves, which may form characters when the strings are joined."""
    try:
        return orjson.loads(data), False
    except orjson.JSONDecodeError:
        pass
    try:
        text = data.removeprefix(_MARK).decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return loads(data)
    if not _ESCAPE.search(data) and not _BYTES.search(data):
        raise ValueError("it is not JSON")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    return (value, True) if _keys_are_clean(value) else loads(data)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def joined(text: str) -> str:
    """A text in which two matching halves become a character, and other halves U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def mend(value: Any) -> Any:
    """JSON without halves in its strings; lists and objects are changed in place."""
    if type(value) is str:
        return value if _is_clean(value) else joined(value)
    if type(value) is dict or type(value) is list:
        for key, inner in value.items() if type(value) is dict else enumerate(value):
            if type(inner) in (str, dict, list):
                value[key] = mend(inner)
    return value


def _keys_are_clean(value: Any) -> bool:
    if type(value) is dict:
        return all(_is_clean(key) and _keys_are_clean(inner) for key, inner in value.items())
    return all(map(_keys_are_clean, value)) if type(value) is list else True


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Halves:
    """The held first halves of characters, one for each running text, until its next piece arrives."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Any, str] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def __contains__(self, channel: object) -> bool:
        return channel in self._held

    def piece(self, channel: Any, text: str) -> str:
        """A piece of a running text, with the held half of the previous piece."""
        if not text:
            return text
        text = self._held.pop(channel, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._held[channel] = text[-1]
            text = text[:-1]
        return text if _is_clean(text) else joined(text)

    def end(self, channel: Any) -> str:
        """A running text has ended; returns the replacement of its held half, "" without one."""
        return "\ufffd" if self._held.pop(channel, "") else ""

    def rest(self) -> dict[Any, str]:
        """The texts have ended; returns the replacements of the held halves."""
        rest = dict.fromkeys(self._held, "\ufffd")
        self._held.clear()
        return rest
