"""How long clients may keep the card of another agent, and how they ask for a newer one (A2A 1.0, section 8.6)."""

from __future__ import annotations

import hashlib
from typing import Final

import orjson

from gateway.call import Headers, Json

_ANY: Final = b"*"


def tag(card: Json) -> bytes:
    """The ETag of a card. A weak one, because signatures of the same card differ."""
    return b'W/"%s"' % hashlib.sha256(orjson.dumps(card, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32].encode()


def headers(tag: bytes, seconds: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer. What a caller sees depends on its key, so that the answer is its own."""
    vary = b"Authorization, X-Api-Key, A2A-Version, Host"
    return [(b"etag", tag), (b"cache-control", b"private, max-age=%d" % seconds), (b"vary", vary)]


def is_known(tag: bytes, sent: Headers) -> bool:
    """Whether the client has this card already (RFC 9110, section 13.1.2)."""
    asked = [one.strip() for name, value in sent if name == b"if-none-match" for one in value.split(b",")]
    return _ANY in asked or any(one.removeprefix(b"W/") == tag.removeprefix(b"W/") for one in asked)
