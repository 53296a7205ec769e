"""What the gateway and its NER workers say to each other: JSON behind a length of four bytes, over a socket pair.

The gateway sends a list of texts; a worker answers with `{"found": [...]}`, for each text a list of
[start, end, entity, score], or with `{"error": WORDS}`. Its first message is `{"ready": true}` or an error.
"""

from __future__ import annotations

import json
from typing import Any, Final

LENGTH: Final = 4
"""Bytes of the length, big-endian, in front of every message."""


def pack(message: Any) -> bytes:
    """A message as bytes. The standard library's JSON: it takes text with lone surrogates, as Python may hold it."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return len(data).to_bytes(LENGTH) + data


def unpack(data: bytes) -> Any:
    """The message behind the length. Raises ValueError."""
    return json.loads(data)


def length(head: bytes) -> int:
    """How many bytes follow the head."""
    return int.from_bytes(head)
