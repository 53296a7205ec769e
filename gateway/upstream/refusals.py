"""Reads the error of a provider that refuses a request: its message, its codes, and when to try again.

Providers, and proxies in front of them, have many forms of errors: OpenAI's, Anthropic's, a list with one error
(Google), `detail` (FastAPI), an object that is itself the error (vLLM), an event, a line of plain text. HTML is no use
to a caller. Nothing here is trusted: messages are judged before a caller reads them, and codes must have a strict form.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from gateway.dialects import sse

_MOST: Final = 2000  # characters of a message
# The form of codes that programs get: short identifiers that cannot contain a text or a key.
_WORD = r"[a-z]{1,20}[0-9]{0,3}"
_TERMS: Final = {
    "code": re.compile(rf"(?=.{{1,64}}\Z){_WORD}(?:_{_WORD}){{0,7}}"),
    "type": re.compile(rf"(?=.{{1,64}}\Z){_WORD}(?:_{_WORD}){{0,7}}"),
    "param": re.compile(rf"(?=.{{1,128}}\Z){_WORD}(?:[_.]{_WORD}|\.?\[[0-9]{{1,4}}\]){{0,15}}"),
}
_HOLDERS: Final = ("error", "errors", "detail", "message", "msg", "error_message", "error_msg")
_HINT: Final = re.compile(r"[\w.:, ;=+\"-]{1,100}", re.ASCII)
_HINTS: Final = re.compile(r"retry-after-ms|x-should-retry|(?:x-|[a-z]+-)?ratelimit(?:-[a-z-]+)?")
_FORMS: Final = {
    "retry-after-ms": re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?"),
    "x-should-retry": re.compile("true|false"),
}
_LONGEST_WAIT: Final = 30 * 86400  # seconds; a longer hint is a mistake


def words(body: bytes) -> str:
    """The message of the provider; "" without a readable message."""
    said = _loads(body)
    for _ in range(4):  # an error in an error, in a list
        if type(said) is list and said:
            said = said[0]
        elif type(said) is dict:
            said = next((said[key] for key in _HOLDERS if said.get(key)), None)
        else:
            break
    return said[:_MOST] if type(said) is str else ""


def terms(body: bytes) -> dict[str, str]:
    """The provider's own `code`, `type` and `param`, for programs; values of another form are left out."""
    error = _error(body)
    values = {name: error.get(name) for name in _TERMS}
    return {name: value for name, value in values.items() if type(value) is str and _TERMS[name].fullmatch(value)}


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """Seconds to wait, from the first of: header in milliseconds, in seconds, as a date, field of the error."""
    told = (
        _seconds(headers.get("retry-after-ms", ""), 1000),
        _seconds(headers.get("retry-after", "").partition(",")[0]),
        _until(headers.get("retry-after", "")),
        _delay(body),
    )
    return next((max(0.0, seconds) for seconds in told if seconds is not None and seconds <= _LONGEST_WAIT), None)


def hints(headers: Mapping[str, str]) -> dict[str, str]:
    """The other headers of a provider about retries and rate limits."""
    return {
        name: value
        for name, value in ((name.lower(), value.strip()) for name, value in headers.items())
        if _HINTS.fullmatch(name) and _FORMS.get(name, _HINT).fullmatch(value)
    }


def _loads(body: bytes) -> Any:
    """The content of an error: JSON, the JSON of an event, or a text that is not markup."""
    text = body.removeprefix(sse.MARK).strip()
    if text.startswith((b"data:", b"event:")):
        try:
            text = next(sse.datas(text), b"")
        except ValueError:
            return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None if text[:1] in (b"<", b"{", b"[", b"") else _text(text)


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char.isspace() for char in text) else None


def _error(body: bytes) -> dict[str, Any]:
    """The error object."""
    said = _loads(body)
    if type(said) is list and said:
        said = said[0]
    inner = said.get("error") if type(said) is dict else None
    error = said if inner is None else inner
    return error if type(error) is dict else {}


def _seconds(value: str, unit: int = 1) -> float | None:
    """A number of seconds, with or without `s`; negative: the time has passed."""
    try:
        return float(value.strip().removesuffix("s")) / unit
    except ValueError:
        return None


def _until(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() - time.time() if value[:1].isalpha() else None
    except (ValueError, TypeError, OverflowError):
        return None


def _delay(body: bytes) -> float | None:
    """`retryDelay` of a `google.rpc.RetryInfo` in the details of an error."""
    details = _error(body).get("details")
    for detail in details if type(details) is list else ():
        value = detail.get("retryDelay") if type(detail) is dict else None
        if type(value) is str and (seconds := _seconds(value)) is not None:
            return seconds
    return None
