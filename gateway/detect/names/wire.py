"""The protocol between the gateway and its NER workers: JSON after a length of four bytes, over a socket pair.

The gateway sends a list of texts; a worker answers with `{"found": [...]}`, for each text a list of
[start, end, entity, score], or with `{"error": WORDS}`. Its first message is `{"ready": true}` or an error.
"""

from __future__ import annotations

import json
from typing import Any, Final

LENGTH: Final = 4
"""Bytes of the big-endian length before every message."""


def pack(message: Any) -> bytes:
    """A message as bytes. Uses the standard library's JSON, because it accepts lone surrogates."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return len(data).to_bytes(LENGTH) + data


def unpack(data: bytes) -> Any:
    """The message after the length. Raises ValueError."""
    return json.loads(data)


def length(head: bytes) -> int:
    """How many bytes follow the head."""
    return int.from_bytes(head)
