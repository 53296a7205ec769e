"""Files of Gemini (Gemini API reference: files; the resumable protocol of media.upload), passed through.

An upload is several calls: one says what is coming and gets the URL of the upload, the others bring the bytes. All are
calls of the model that is called like the path. A text is judged as a whole, so it comes in one piece; other files may
come in several. The provider chooses the names: a name that a caller chose could be that of an earlier file, whose
owner is still recorded.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.bodies import Json, State, Usage
from gateway.dialects import NO_VALUES, Intent, checks, gemini_answer, multipart
from gateway.dialects.base import TRACEPARENT
from gateway.dialects.field_table import Table, table
from gateway.dialects.openai_media import FILE
from gateway.dialects.passed import Passed, Proof
from gateway.dialects.terms import is_term
from gateway.errors import Refusal

PATH: Final = "/v1beta/files"
UPLOAD: Final = "/upload/v1beta/files"
COMMAND: Final = "x-goog-upload-command"
OFFSET: Final = "x-goog-upload-offset"
STATUS: Final = "x-goog-upload-status"
URL: Final = "x-goog-upload-url"
PROTOCOL: Final = "x-goog-upload-protocol"
SIZE: Final = "x-goog-upload-header-content-length"
KIND: Final = "x-goog-upload-header-content-type"
TO, QUERY, MEDIA = "to", "query", "media"
"""In `Call.values`: path and query of an upload at the provider, and the media type of the file."""
WHOLE: Final = "upload, finalize"
COMMANDS: Final = frozenset({"upload", WHOLE, "finalize"})
NAME: Final = re.compile(r"files/([a-z0-9][a-z0-9-]{0,62})")
_STATED: Final = frozenset({"displayName", "display_name", "mimeType", "mime_type", "sizeBytes", "size_bytes"})
_MEDIA: Final = re.compile(r"[a-z]{1,32}/[a-z0-9.+_-]{1,100}")
_TEXTUAL: Final = re.compile(
    r"text/.*|application/(?:json|xml|yaml|x-yaml|javascript|x-javascript|typescript|x-typescript|x-sh|x-python-code"
    r"|sql|rtf|jsonl|x-ndjson|x-jsonlines|x-httpd-php)|.*\+(?:json|xml)"
)
_STRUCTURE: Final = frozenset(
    {"mimeType", "mime_type", "sizeBytes", "size_bytes", "name", "uri", "downloadUri", "createTime", "updateTime"}
    | {"expirationTime", "sha256Hash", "state", "source", "videoMetadata", "videoDuration", "type"}
)
_SHAPE: Final = replace(Passed.shape, opaque=_STRUCTURE, within=Passed.shape.within | {"files"})


class _Gemini(Passed):
    """What calls about files have in common."""

    formats = frozenset({"gemini", "demo"})
    passes: Mapping[bytes, re.Pattern[bytes]] = {b"traceparent": TRACEPARENT}
    shape = _SHAPE
    answer = _SHAPE
    words = frozenset({"ACTIVE", "PROCESSING", "FAILED", "UPLOADED", "GENERATED"})
    cites: tuple[bytes, ...] = ()

    def credentials(self, key: str) -> dict[str, str]:
        """`x-goog-api-key`."""
        return {"x-goog-api-key": key} if key else {}

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return gemini_answer.error(said)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {code, message, status, details}}`."""
        return gemini_answer.refused(refusal, request_id)


class Resumable(_Gemini):
    """A call of an upload: `Call.values` has what its headers say, checked."""

    def at(self, model: str, values: Mapping[str, str]) -> str:
        """The path of the upload at the provider."""
        return values.get(TO, UPLOAD)

    def told(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """The headers of the protocol."""
        return [(name, value) for name, value in values.items() if name.startswith("x-goog-upload-")]

    def usage(self, answer: Json) -> Usage | None:
        """No usage: storing is free of charge."""
        return Usage()


class Start(Resumable):
    """The codec of the beginning of an upload."""

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The path of files as a model. Raises Refusal(invalid_request), which names the parameter."""
        if body.keys() - {"file"}:
            raise checks.wrong(min(body.keys() - {"file"}), "is no field of an upload, whose body holds `file` alone")
        file = body.get("file", {})
        if type(file) is not dict:
            raise checks.wrong("file", "must be an object")
        if file.get("name"):
            raise checks.wrong("file.name", "must be left out: the provider chooses the names of files")
        if strange := file.keys() - _STATED - {"name"}:
            raise checks.wrong(f"file.{min(strange)}", "must be left out: the provider states this field")
        for name in ("mimeType", "mime_type"):
            if name in file and media(checks.text(file[name])) != checks.text(values.get(MEDIA)):
                raise checks.wrong(f"file.{name}", f"must be the media type that {KIND} says")
        return Intent(PATH, False, (), 0)

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Leave the size out: a text may get another one when it is judged."""
        file = body.get("file", {})
        sizes = file.keys() & {"sizeBytes", "size_bytes"} if type(file) is dict else frozenset()
        for name in sizes:
            del file[name]
        return bool(sizes)

    def unscannable(self, body: Json) -> dict[str, int]:
        """None: the bytes come later."""
        return {}

    def demo(self, body: Json) -> Json:
        """Nothing."""
        return {}


class Piece(Resumable):
    """The codec of a call with bytes of a file."""

    bare = True

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The path of files as a model. Raises Refusal(invalid_request) for a piece of a text."""
        first = values.get(OFFSET) == "0"
        whole = first and values.get(COMMAND) == WHOLE
        if not whole and (is_textual(values.get(MEDIA, "")) or (first and _begins_text(body["file"]))):
            words = (
                "A text is judged as a whole: upload the file in one request (X-Goog-Upload-Command: upload, finalize "
                "at the offset 0). Google's SDKs cut files of more than 8 MiB into pieces: divide larger texts."
            )
            raise Refusal("invalid_request", words)
        return Intent(PATH, False, (), 0)

    def unscannable(self, body: Json) -> dict[str, int]:
        """The bytes, unless they are text."""
        return {one: 1} if (one := multipart.kind(body["file"])) else {}

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a new file."""
        file = answer.get("file")
        if type(file) is not dict or not NAME.fullmatch(checks.text(file.get("name"))):
            raise ValueError("it holds no file with a name")

    def state(self, answer: Json) -> State | None:
        """The file, by its name."""
        found = NAME.fullmatch(checks.text(answer["file"].get("name")))
        return State(found[1], ()) if found is not None else None

    def demo(self, body: Json) -> Json:
        """A file without content."""
        return {"file": {"name": "files/demo", "uri": "https://generativelanguage.googleapis.com/v1beta/files/demo"}}


class GeminiProof(_Gemini, Proof):
    """The codec of one file, and of the proof of its deletion."""

    def state(self, answer: Json) -> State | None:
        """None: a call about a file makes no file."""
        return None


def media(kind: str) -> str:
    """A media type without its parameters. Raises Refusal(invalid_request) for one that may be more than that."""
    plain = kind.partition(";")[0].strip().lower()
    if not _MEDIA.fullmatch(plain) or not is_term(plain.replace("+", "-")):
        raise Refusal("invalid_request", f"{KIND} must be a media type, such as application/pdf.", param=KIND)
    return plain


def is_textual(kind: str) -> bool:
    """Whether files of a media type are texts."""
    return _TEXTUAL.fullmatch(kind) is not None


def file_of(raw: bytes, values: Mapping[str, str]) -> Json:
    """The body of a call with bytes of a file.

    A file whose first piece is no text is none, whatever the following pieces hold.
    """
    said = multipart.content(raw) if values.get(OFFSET) == "0" else {"data": raw}
    return {"file": {"filename": "", "type": values.get(MEDIA, ""), **said}}


def _begins_text(file: Json) -> bool:
    """Whether the first piece of a file is text, which may end within a character."""
    data = multipart.data_of(file)
    try:
        text = getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return "\0" not in text and bool(data)


_FIELDS: Final = table(file=table(" ".join(sorted(_STATED | {"name"}))))
START: Final = Start("gemini_files", "an upload", UPLOAD, _FIELDS, names="path", stores="gemini_file")
PIECE: Final = Piece("gemini_file_bytes", "a file", UPLOAD, table(file=FILE), names="path", stores="gemini_file")
FILE_OF_GEMINI: Final = GeminiProof("gemini_file", "a file", PATH, Table({}), names="path", stores="gemini_file")
