"""The ids of calls and workflows: UUIDv7 (RFC 9562), the form of a correlation id, base64url. Fast to import."""

from __future__ import annotations

import base64
import os
import re
from typing import Final

import uuid_utils

CORRELATION_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
WORKER: Final = os.urandom(8).hex()
"""The name of this process among the workers of a gateway."""
_HERE: Final = re.compile(r"([0-9a-f]{16})\.")  # names a socket, so that nothing else may be in it


def uuid7(at: float | None = None) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) of now or of a Unix time; ids that a process makes are in order."""
    return str(uuid_utils.uuid7() if at is None else uuid_utils.uuid7(nanoseconds=int(at * 1_000_000_000)))


def uuid7_here() -> str:
    """A UUIDv7 after the name of this process, for what the process alone has: see `worker_of`."""
    return f"{WORKER}.{uuid7()}"


def worker_of(id: object) -> str:
    """The name of the process that made an id with `uuid7_here`; "" for any other id: one of a tool server, say."""
    found = _HERE.match(id) if type(id) is str else None
    return found[1] if found is not None else ""


def is_correlation_id(text: str) -> bool:
    """Whether a text has the form of a correlation id."""
    return CORRELATION_ID.fullmatch(text.encode("utf-8", "surrogatepass")) is not None


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """The bytes of a base64url text, padded or not. Raises ValueError; characters outside the alphabet are ignored."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
