"""Uploads in several calls (Gemini's resumable protocol): the URL that leads from one call to the next.

A provider answers the first call of an upload with a URL, to which the client sends the bytes, without a key. The
caller gets a URL of the gateway instead, which holds, sealed: the place of the upload at the provider, the key and the
workflow of the caller, and the media type of the file. So every call with bytes is a call of the same caller, which is
identified anew, and goes where the upload began. Whoever has the URL may send the bytes of this one file, for a day.

Fails closed: without an encryption key, there are no uploads, because the file could have no owner.
"""

from __future__ import annotations

import re
import time
from typing import Final
from urllib.parse import urlsplit

import orjson
from cryptography.exceptions import InvalidTag

from gateway.bodies import Json
from gateway.call import Call, Stored, Target
from gateway.dialects.gemini_files import (
    COMMAND,
    COMMANDS,
    KIND,
    MEDIA,
    OFFSET,
    PATH,
    PROTOCOL,
    QUERY,
    SIZE,
    TO,
    UPLOAD,
    is_textual,
    media,
)
from gateway.errors import Refusal
from gateway.identity.identify import credential
from gateway.ids import base64url, from_base64url
from gateway.redaction.vault import Seal

_LIVES: Final = 24 * 3600  # seconds
_CONTEXT: Final = "upload"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{40,12000}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_PLACE: Final = re.compile(r"(?!.*//)(?!.*/\.{1,2}(?:/|$))/[A-Za-z0-9._~/-]{1,256}")
_ASKED: Final = re.compile(r"[A-Za-z0-9._~=&%+:/-]{0,4096}")
_FROM: Final = "url"
"""In `Call.values` of the beginning: scheme and host by which the caller calls the gateway."""
_KEYS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_CORRELATION: Final = b"x-correlation-id"
_OWN: Final = _KEYS | {_CORRELATION, b"idempotency-key"}


class Uploads:
    """Part of the owners. `seal`: None if no owners are recorded."""

    def __init__(self, seal: Seal | None) -> None:
        self._seal = seal

    def begin(self, call: Call, url: str) -> None:
        """Write what the headers of the first call say into `call.values`. Raises Refusal(invalid_request).

        `url`: scheme and host by which the caller calls the gateway.
        """
        if self._seal is None:
            words = "Files cannot be uploaded: this gateway does not record the owners of stored state (stored, "
            raise Refusal("invalid_request", f"{words}pii.vault_key).", status=404)
        said = _headers(call)
        if said.get(PROTOCOL) != "resumable" or said.get(COMMAND) != "start":
            words = f"An upload begins with {PROTOCOL}: resumable and {COMMAND}: start; other protocols are not served."
            raise Refusal("invalid_request", words, param=PROTOCOL)
        kind = media(said.get(KIND, ""))
        values = {_FROM: url, MEDIA: kind, PROTOCOL: "resumable", COMMAND: "start", KIND: kind}
        if (size := said.get(SIZE)) is not None:
            if not _NUMBER.fullmatch(size):
                raise Refusal("invalid_request", f"{SIZE} must be a number of bytes.", param=SIZE)
            if not is_textual(kind):  # a text may get another size when it is judged
                values[SIZE] = size
        call.values = values
        call.headers = [(name, value) for name, value in call.headers if name != b"idempotency-key"]

    def url(self, call: Call, to: str) -> str:
        """The URL of an upload at the gateway. `to`: that at the provider. Raises ValueError for no such URL."""
        assert self._seal is not None, "an upload is refused without an encryption key"
        place = urlsplit(to)
        if not _PLACE.fullmatch(place.path) or not _ASKED.fullmatch(place.query):
            raise ValueError("it is no URL of an upload")
        outcome, request = call.outcome, call.request
        workflow = dict(call.headers).get(_CORRELATION, b"").decode("latin-1")
        held = {
            "key": (call.key or b"").decode("latin-1"),
            "workflow": workflow or request.given_id or request.correlation_id,
            "place": [outcome.provider, outcome.model, outcome.account],
            "to": [place.path, place.query],
            "media": call.values[MEDIA],
            "until": int(time.time()) + _LIVES,
        }
        token = base64url(self._seal.enclose(_CONTEXT, orjson.dumps(held)))
        return f"{call.values[_FROM]}{UPLOAD}/{token}"

    def resume(self, call: Call, token: str) -> None:
        """Make a call with bytes one of the caller who began the upload, at the place of the upload.

        Raises Refusal(invalid_request) for an unknown URL, or another key.
        """
        held = self._held(token)
        said, key = _headers(call), held["key"].encode("latin-1")
        if any(name in _KEYS for name, _ in call.headers) and credential(call.headers) != key:
            raise _unknown()
        command, offset = ", ".join(part.strip() for part in said.get(COMMAND, "").split(",")), said.get(OFFSET, "")
        if command not in COMMANDS:
            raise Refusal("invalid_request", f"{COMMAND} must be one of: {'; '.join(sorted(COMMANDS))}.", param=COMMAND)
        if not _NUMBER.fullmatch(offset):
            raise Refusal("invalid_request", f"{OFFSET} must be a number of bytes.", param=OFFSET)
        call.headers = [one for one in call.headers if one[0] not in _OWN]
        call.headers += [(b"x-goog-api-key", key), (_CORRELATION, held["workflow"].encode("latin-1"))]
        path, query = held["to"]
        call.values = {TO: path, QUERY: query, MEDIA: held["media"], COMMAND: command, OFFSET: offset}
        provider, model, account = held["place"]
        call.request.stored = Stored(held["workflow"], "", PATH, Target(provider, model), 0, account=account)

    def _held(self, token: str) -> Json:
        """What a URL holds. Raises Refusal(invalid_request)."""
        if self._seal is None or not _TOKEN.fullmatch(token):
            raise _unknown()
        try:
            sealed = from_base64url(token)
            held: Json = orjson.loads(self._seal.disclose(_CONTEXT, sealed))
        except (InvalidTag, ValueError):
            raise _unknown() from None
        if time.time() > held["until"]:
            raise _unknown()
        return held


def _headers(call: Call) -> dict[str, str]:
    """The headers of the protocol. Raises Refusal(invalid_request) for a header that stands twice."""
    said: dict[str, str] = {}
    for name, value in call.headers:
        if name.startswith(b"x-goog-upload-"):
            if (plain := name.decode("latin-1")) in said:
                raise Refusal("invalid_request", "A header of the upload stands twice.")
            said[plain] = value.decode("latin-1").strip()
    return said


def _unknown() -> Refusal:
    words = "There is no upload with this URL, or the URL has expired. Begin the upload again."
    return Refusal("invalid_request", words, status=404)
