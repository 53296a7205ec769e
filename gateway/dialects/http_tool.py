"""A plain HTTP request to a tool as a dialect: method, path, query and body are one object, judged as any body.

The request is `{"method", "path", "query", "body"}`: `body` is the JSON of the caller; `form` and `text` stand in its
place for forms and plain text. The answer is `{"status", "body"}`, or `{"status", "text"}`. A body of any other kind
cannot be scanned: it stays outside, and `unscannable` decides.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from gateway.bodies import Headers, Json
from gateway.dialects import MAX_ANSWER, NO_VALUES, Intent, numbers, parts
from gateway.dialects.base import Untold
from gateway.dialects.field_table import Table, table
from gateway.dialects.parts import Joined
from gateway.dialects.tree import Name, Shape
from gateway.errors import Refusal
from gateway.texts import Slot

_FIELDS: Final = 256  # fields of a query or a form
_LONGEST: Final = 4096  # characters of a path
_STEPS: Final = re.compile(r"(?:^|/)\s*\.{1,2}\s*(?:;[^/]*)?(?:/|$)|//|\\|%(?:2[ef5]|5c)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NO_CHARACTER: Final = "\ufffd"  # what stands for bytes that are not UTF-8: the path would be another one
_METHODS: Final = frozenset({"_method", "$httpmethod", "x-http-method", "x-http-method-override", "x-method-override"})
"""Fields that some frameworks read as the method of a request (Rails, Laravel, Google APIs)."""
READS: Final = frozenset({"GET", "HEAD"})
REPEATS: Final = READS | {"PUT", "DELETE"}
"""Methods whose requests may be sent again without further effect (RFC 9110, section 9.2.2)."""
_DIGITS: Final = 6  # of a media type that is passed on; a number with more may be a value
_MEDIA: Final = re.compile(r"\s*([a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64})\s*(?:;.*)?", re.DOTALL)
_CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']*)")
_CODECS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii"} | dict.fromkeys(
    ("iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252"), "cp1252"
)
"""Character sets in which a text is read. In any other, the other side might read another text than was judged."""
_PROLOG: Final = 2048  # characters in which a text can declare its encoding
_DECLARED: Final = re.compile(
    r"(?:<\?xml[^>]{0,200}?\sencoding|<meta[^>]{0,200}?charset|@charset)\s*=?\s*[\"']?\s*([^\s\"'>;?]+)", re.IGNORECASE
)
"""The encoding that a text declares itself (XML, HTML, CSS)."""
_UNIVERSAL: Final = frozenset({"utf-8", "ascii"})  # of JSON and forms, whatever their media type
_SAFE: Final = "/:@!$&'()*+,;=-._~"
UNKNOWN: Final = "There is no HTTP tool of this name, method and path, or you may not use it."
FORM: Final = "application/x-www-form-urlencoded"
_TEXTS: Final = frozenset({"application/xml", "application/yaml", "application/x-yaml", "application/x-ndjson"})


def media_type(value: str) -> str:
    """The type in a Content-Type, in lower case without parameters; "" for anything else."""
    found = _MEDIA.fullmatch(value.lower())
    return found[1] if found and is_few(found[1]) else ""


def climbs(path: str) -> bool:
    """Whether a server may read a path as another: `..`, `//`, control characters, dots and slashes encoded twice."""
    plain = path if path.isascii() else unicodedata.normalize("NFKC", path)  # some servers fold wide dots
    return _STEPS.search(plain) is not None or _CONTROL.search(path) is not None


def replaces_method(fields: Json, method: str) -> str:
    """The name of a field that frameworks read as another method than that of the request; "" for none."""
    for name, value in fields.items():
        if name.strip().lower() in _METHODS:
            said = value if type(value) is list else [value]
            if any(str(one).strip().upper() != method for one in said):
                return name.strip()
    return ""


def is_few(value: str) -> bool:
    """Whether a part of a header has so few digits that no number hides in them."""
    return sum(map(str.isdigit, value)) <= _DIGITS


def _charset(value: str) -> str:
    """The character set of a Content-Type, as a codec; "" for one that is not read, or for more than one."""
    value = value.lower()
    said = _CHARSET.findall(value)
    if value.count("charset") != len(said) or len(said) > 1:
        return ""
    return _CODECS.get(said[0], "") if said else "utf-8"


def _shown(value: str) -> str:
    """A Content-Type as it is passed on: its type, and its character set if it has one."""
    said = _CHARSET.findall(value.lower())
    return f"{media_type(value)}; charset={said[0]}" if said and _charset(value) else media_type(value)


def is_json(kind: str) -> bool:
    """Whether a media type is JSON (RFC 6839, section 3.1)."""
    return kind == "application/json" or kind.endswith("+json")


def is_text(kind: str) -> bool:
    """Whether a media type is text, whatever its structure."""
    return kind.startswith("text/") or kind in _TEXTS or kind.endswith("+xml")


def decoded(raw: bytes, content_type: str) -> str | None:
    """The text of a body; None if its bytes are no text in the character set that they claim, or in UTF-8."""
    charset = _charset(content_type)
    try:
        text = raw.decode(charset) if charset else None
    except UnicodeDecodeError:
        return None
    if text is None or "\0" in text:  # of UTF-16, which some parsers recognize
        return None
    said = _DECLARED.search(text, 0, _PROLOG)
    return None if said is not None and _CODECS.get(said[1].lower()) != charset else text


class HttpTool(Untold):
    """The codec of one call of the tool `server`.

    `called`: the name of the operation, or `METHOD /pattern`. `path`: decoded, from its slash on; `query`: as it came.
    """

    name = "http"
    noun = "an answer of an HTTP tool"
    formats = frozenset({"http"})
    path = "/tools/{server}/{path:path}"
    shape = Shape(opaque=frozenset({"method"}), json=frozenset(), blobs=frozenset())
    fields: Table = table("method path", query=None, body=None, form=None, text=None)
    answer = Shape(
        opaque=frozenset(), json=frozenset(), blobs=frozenset(), roles=dict.fromkeys(("body", "text"), "tool")
    )
    max_answer = MAX_ANSWER
    restores = True

    def __init__(self, server: str, called: str, method: str, path: str, query: bytes, headers: Headers) -> None:
        self.server = server
        self.method = method
        self.route = path
        self.called = called
        self._query = query
        self._type = next((value for name, value in headers if name == b"content-type"), b"").decode("latin-1")
        self.raw = b""
        """The body as it came."""
        self.unread = ""
        """The media type of a body that no scanner can read."""
        self._answered: tuple[int, bytes, str, bytes | None] = (200, b"", "", None)

    def check_path(self) -> None:
        """Raise Refusal(invalid_request) for a path that a server may read as another."""
        path = self.route
        if len(path) > _LONGEST or climbs(path) or _NO_CHARACTER in path:
            words = (
                f"The path must be UTF-8 with at most {_LONGEST} characters, and no `..`, `//`, control character, or "
                "dot or slash that is encoded twice."
            )
            raise Refusal("invalid_request", words, param="path")

    def enclosed(self, raw: bytes) -> bytes:
        """The request as one JSON object. Raises Refusal(invalid_request)."""
        self.check_path()
        self.raw = raw
        head: Json = {"method": self.method, "path": self.route, "query": self._fields(self._query, "query")}
        self._check_method(head["query"])
        kind = media_type(self._type) or ("application/json" if not self._type else "")
        if not raw:
            return orjson.dumps(head)
        universal = _charset(self._type) in _UNIVERSAL
        if is_json(kind) and universal:
            try:
                said = orjson.loads(raw)
            except orjson.JSONDecodeError as fault:
                raise Refusal("invalid_request", f"The body is not JSON: {fault}.") from None
            if type(said) is dict:
                self._check_method(said)
            return orjson.dumps(head)[:-1] + b',"body":' + raw + b"}"
        if kind == FORM and universal:
            fields = self._fields(raw, "form")
            self._check_method(fields)
            return orjson.dumps({**head, "form": fields})
        text = decoded(raw, self._type) if is_text(kind) else None
        if text is None:
            self.unread = kind or "unknown"
            return orjson.dumps(head)
        return orjson.dumps({**head, "text": text})

    def _check_method(self, fields: Json) -> None:
        """Raise Refusal(invalid_request) for a field with which frameworks replace the method that was judged."""
        if name := replaces_method(fields, self.method):
            words = f"The field `{name}` names another method than the request; leave out the field."
            raise Refusal("invalid_request", words, param=name)

    def _fields(self, raw: bytes, what: str) -> Json:
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
        except (UnicodeDecodeError, ValueError):
            words = f"The {what} must be fields in UTF-8, percent-encoded, at most {_FIELDS}."
            raise Refusal("invalid_request", words, param=what) from None
        fields: Json = {}
        for name, value in pairs:
            known = fields.setdefault(name, value)
            if known is not value:
                fields[name] = [*known, value] if type(known) is list else [known, value]
        return fields

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The tool, not yet by its path, because a path may hold personal data; the request as arguments."""
        return Intent(f"{self.server}/{self.called}", False, (), 0, body)

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The values of the query, those of a form, and the strings of each list of a JSON body."""
        found = parts.in_lists(slots)
        for fields in (body.get("query"), body.get("form")):
            if type(fields) is dict and len(fields) > 1:
                holders = {id(fields), *(id(value) for value in fields.values() if type(value) is list)}
                found += parts.separate([slot for slot in slots if id(slot.holder) in holders and _is_value(slot)])
        return found

    def asked(self, body: Json) -> Json:
        """The request; of a body that no scanner can read, its digest (SHA-256)."""
        return {**body, "file": hashlib.sha256(self.raw).hexdigest()} if self.unread else body

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """A body that is neither JSON, a form, nor text."""
        return {"file": 1} if self.unread else {}

    def sent(self, body: Json, raw: bytes, *, edited: bool) -> tuple[str, bytes, str]:
        """Path with query, body and Content-Type of the request as it leaves. `raw`: what `enclosed` returned."""
        path = quote(body["path"], safe=_SAFE)
        query = urlencode(body["query"], doseq=True) if edited else self._query.decode("ascii")
        at = f"{path}?{query}" if query else path
        if not edited or self.unread or not self.raw:
            kind = self._type if self.unread else _shown(self._type)
            return at, self.raw, kind or ("application/json" if self.raw else "")
        if "form" in body:
            return at, urlencode(body["form"], doseq=True).encode(), FORM
        if "text" in body:
            return at, body["text"].encode("utf-8", "replace"), f"{media_type(self._type)}; charset=utf-8"
        return at, _last(numbers.dumps(body, raw), body, "body"), _shown(self._type) or "application/json"

    def got(self, status: int, raw: bytes, content_type: str, wrapped: bytes | None) -> None:
        """Keep an answer as it came, and as `wrapped`."""
        self._answered = status, raw, content_type, wrapped

    def delivered(self, judged: bytes) -> tuple[int, bytes, str]:
        """Status, body and Content-Type of the answer, once it is judged."""
        status, raw, kind, was = self._answered
        if was is None:
            return status, raw, media_type(kind) or "application/octet-stream"
        body, changed = unwrapped(judged, was, raw)
        if not media_type(kind):
            return status, body, "text/plain; charset=utf-8" if body else ""
        as_text = changed and was.startswith(b'{"status":%d,"text":' % status)
        return status, body, f"{media_type(kind)}; charset=utf-8" if as_text else _shown(kind)

    def check(self, answer: Json, choices: int) -> None:
        """Any answer is one."""

    def status(self, refusal: Refusal) -> int:
        """That of the refusal; 404 for a tool that the caller may not see."""
        return 404 if refusal.code == "tool_not_found" else refusal.status

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {code, message, request_id, ...}}`."""
        words = UNKNOWN if refusal.code == "tool_not_found" else refusal.message
        error: Json = {**refusal.detail, "code": refusal.code, "message": words, "request_id": request_id}
        if refusal.param:
            error["param"] = refusal.param
        return {"error": error}


def _is_value(slot: Slot) -> bool:
    return type(slot.key) is not Name and slot.nested is None and type(slot.holder[slot.key]) is str


def wrapped(status: int, raw: bytes, content_type: str) -> bytes | None:
    """An answer as one JSON object; None if no scanner can read the answer. Raises ValueError: it says it is JSON."""
    head = b'{"status":%d' % status
    kind = media_type(content_type)
    if not raw:
        return head + b"}"
    if is_json(kind) and _charset(content_type) not in _UNIVERSAL:
        return None
    if is_json(kind):
        orjson.loads(raw)
        return head + b',"body":' + raw + b"}"
    text = decoded(raw, content_type) if is_text(kind) or not kind else None
    return None if text is None else head + b',"text":' + orjson.dumps(text) + b"}"


def unwrapped(said: bytes, was: bytes, raw: bytes) -> tuple[bytes, bool]:
    """The body of a judged answer, and whether it changed. `was`: what `wrapped` made of `raw`."""
    if said == was:
        return raw, False
    body = orjson.loads(said)
    if "text" in body:
        return str(body["text"]).encode("utf-8", "replace"), True
    return _last(said, body, "body"), True


def _last(said: bytes, body: Mapping[str, Any], key: str) -> bytes:
    """The bytes of the last member of an object that orjson wrote."""
    head = orjson.dumps({name: value for name, value in body.items() if name != key})[:-1] + b',"%s":' % key.encode()
    assert said.startswith(head), "members are written in their order"
    return said[len(head) : -1]
