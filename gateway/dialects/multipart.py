"""Forms with files (`multipart/form-data`, RFC 7578) as objects: read strictly, and written anew.

A field is a string, or a list of strings if its name repeats. A file is an object: its `filename`, its media `type`,
and its content: `lines` for JSON lines, `text` for other text, else `data`, bytes that no scanner reads. A form always
leaves as it was read: what a provider reads is what was judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.detect.unmask import encoded
from gateway.dialects import items
from gateway.errors import Refusal

MOST_PARTS: Final = 64
_HEAD: Final = 4096  # bytes of the headers of a part
_TYPE: Final = re.compile(rb'multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"\r\n]{1,70})"|([^";,\s]{1,70}))', re.I)
_NAMED: Final = re.compile(r'form-data((?:;\s*[a-z]+=(?:"[^"\r\n\\]*(?:\\.[^"\r\n\\]*)*"|[^";\s]+))+)\s*', re.I)
_PAIR: Final = re.compile(r';\s*([a-z]+)=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^";\s]+))', re.I)
_MEDIA: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_PLAIN: Final = "application/octet-stream"
MOST_LINES: Final = 50_000  # of a file with JSON lines, as OpenAI allows in a batch


def boundary_of(kind: bytes) -> bytes:
    """The boundary in a value of Content-Type; empty for any other media type."""
    found = _TYPE.match(kind.strip())
    return (found[1] or found[2]) if found is not None else b""


def parse(raw: bytes, boundary: bytes) -> Json:
    """The form in a body. Raises Refusal(invalid_request)."""
    mark = b"--" + boundary
    first, *parts = (b"\r\n" + raw).split(b"\r\n" + mark)
    if not parts or not parts[-1].startswith(b"--") or first.strip():
        raise _wrong("its parts are not between boundaries")
    if len(parts) > MOST_PARTS + 1:
        raise _wrong(f"it has more than {MOST_PARTS} parts")
    body: Json = {}
    for part in parts[:-1]:
        name, value = _part(part)
        if name in body:
            before = body[name] if type(body[name]) is list else [body[name]]
            if not name.endswith("[]") and type(value) is not dict:
                raise _wrong(f"the field `{name[:64]}` stands twice in it; each may stand once")
            body[name] = [*before, value]
        else:
            body[name] = value
    return body


def _part(part: bytes) -> tuple[str, Any]:
    """Name and value of one part."""
    head, found, data = part.partition(b"\r\n\r\n")
    if not found or len(head) > _HEAD or not head.startswith(b"\r\n"):
        raise _wrong("a part has no headers, or too many")
    headers: dict[str, str] = {}
    for line in head[2:].split(b"\r\n"):
        try:
            name, colon, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise _wrong("a header of a part is not UTF-8") from None
        if not colon or name.lower() in headers:
            raise _wrong("a header of a part is invalid, or stands twice")
        headers[name.lower()] = value.strip()
    if not headers.keys() <= {"content-disposition", "content-type", "content-length"}:
        raise _wrong("a part has a header other than Content-Disposition and Content-Type")
    named = _NAMED.fullmatch(headers.get("content-disposition", ""))
    pairs = _PAIR.findall(named[1]) if named is not None else []
    fields = {key.lower(): quoted or bare for key, quoted, bare in pairs}
    if "name" not in fields or len(fields) != len(pairs) or not fields.keys() <= {"name", "filename"}:
        raise _wrong("a part has no name, or parameters other than name and filename")
    if "filename" in fields:
        return fields["name"], _file(fields["filename"], headers.get("content-type", "").lower(), data)
    try:
        return fields["name"], data.decode()
    except UnicodeDecodeError:
        raise _wrong(f"the field `{fields['name'][:64]}` is not UTF-8") from None


def _file(name: str, kind: str, data: bytes) -> Json:
    media = kind.partition(";")[0].strip()
    file: Json = {"filename": name, "type": media if _MEDIA.fullmatch(media) else _PLAIN}
    return file | content(data)


def content(data: bytes) -> Json:
    """The content of a file: `lines` of JSON objects, `text`, or `data`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"data": data}
    if "\0" in text or encoded.kind_of(data):
        return {"data": data}
    lines = _lines(data)
    return {"text": text} if lines is None else {"lines": lines}


def kind(file: Json) -> str:
    """The kind of a file that no scanner reads: image, audio, video, file; "" for text."""
    if "data" not in file:
        return ""
    medium = str(file.get("type", "")).partition("/")[0]
    return medium if medium in ("image", "audio", "video") else encoded.kind_of(file["data"]) or "file"


def _lines(data: bytes) -> list[Json] | None:
    """The objects of JSON lines; None if the content is something else, or says a key twice."""
    raw = [line for line in data.split(b"\n") if line.strip()]
    if not raw or len(raw) > MOST_LINES or not all(line.lstrip().startswith(b"{") for line in raw):
        return None
    found: list[Json] = []
    for line in raw:
        try:
            items.check_event(line, "a line")
            value = orjson.loads(line)
        except ValueError:
            return None
        if type(value) is not dict or b"\\u00" in line or line.count(b":") != orjson.dumps(value).count(b":"):
            return None
        found.append(value)
    return found


def write(body: Json, boundary: str) -> bytes:
    """The form as bytes."""
    mark = b"--%b\r\n" % boundary.encode()
    parts: list[bytes] = []
    for name, value in body.items():
        for one in value if type(value) is list else (value,):
            parts += mark, b"Content-Disposition: form-data; name=", _quoted(name)
            if type(one) is dict:
                parts += b"; filename=", _quoted(one["filename"]), b"\r\nContent-Type: ", one["type"].encode()
            parts += b"\r\n\r\n", _bytes(one), b"\r\n"
    return b"".join([*parts, b"--%b--\r\n" % boundary.encode()])


def _quoted(text: str) -> bytes:
    plain = text.replace("\r", " ").replace("\n", " ").replace("\\", "\\\\").replace('"', '\\"')
    return b'"%b"' % plain.encode("utf-8", "replace")


def _bytes(value: Any) -> bytes:
    return data_of(value) if type(value) is dict else str(value).encode("utf-8", "replace")


def data_of(file: Json) -> bytes:
    """The content of a file as bytes."""
    if "lines" in file:
        return b"".join(orjson.dumps(line) + b"\n" for line in file["lines"])
    data = file["data"] if "data" in file else file["text"].encode("utf-8", "replace")
    return bytes(data)


def files(body: Json) -> Iterator[Json]:
    """The files of a form."""
    for value in body.values():
        for one in value if type(value) is list else (value,):
            if type(one) is dict and "filename" in one:
                yield one


def _wrong(problem: str) -> Refusal:
    return Refusal("invalid_request", f"The form (multipart/form-data) cannot be read: {problem}.")
