"""What a provider says of a request that it refuses: its words, its terms, when to try again.

Providers, and what stands in front of them, have many forms of an error: OpenAI's, Anthropic's, a list of one (Google),
`detail` (FastAPI), an object that is the error (vLLM), one of events, a line of plain text. A page of HTML says nothing
to a caller. Nothing here is trusted: words are judged before a caller reads them, terms have the form of terms.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from gateway.dialects import sse

_MOST: Final = 2000  # characters of the words
# What of a provider's error may be told to programs: short identifiers, no room for a text or a key.
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
_LONGEST_WAIT: Final = 30 * 86400  # seconds; a hint beyond is a mistake


def words(body: bytes) -> str:
    """The provider's own words; "" for none that a caller could read."""
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
    """The provider's own `code`, `type` and `param`, for programs that go by them; only what has the form of one."""
    error = _error(body)
    values = {name: error.get(name) for name in _TERMS}
    return {name: value for name, value in values.items() if type(value) is str and _TERMS[name].fullmatch(value)}


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """Seconds to wait, by the first thing that says so: in milliseconds, in seconds, as a date, in the error itself."""
    told = (
        _seconds(headers.get("retry-after-ms", ""), 1000),
        _seconds(headers.get("retry-after", "").partition(",")[0]),
        _until(headers.get("retry-after", "")),
        _delay(body),
    )
    return next((max(0.0, seconds) for seconds in told if seconds is not None and seconds <= _LONGEST_WAIT), None)


def hints(headers: Mapping[str, str]) -> dict[str, str]:
    """What a provider says beside of when to try again."""
    return {
        name: value
        for name, value in ((name.lower(), value.strip()) for name, value in headers.items())
        if _HINTS.fullmatch(name) and _FORMS.get(name, _HINT).fullmatch(value)
    }


def _loads(body: bytes) -> Any:
    """What an error says: JSON, that of an event, or a text that is no markup."""
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
    """The object with the details."""
    said = _loads(body)
    if type(said) is list and said:
        said = said[0]
    inner = said.get("error") if type(said) is dict else None
    error = said if inner is None else inner
    return error if type(error) is dict else {}


def _seconds(value: str, unit: int = 1) -> float | None:
    """A number of seconds, with an `s` or without; a negative one has passed."""
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
