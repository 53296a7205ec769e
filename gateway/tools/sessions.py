"""The ids of sessions that clients of the handshake era get: sealed, so that the gateway keeps nothing.

An id contains the session with the server and the workflow of calls without a correlation id. Nobody but the caller
that opened the session can use it, at no other server.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag

from gateway import ids
from gateway.call import Subject
from gateway.redaction.vault import Seal
from gateway.tools.wire import Session

_LONGEST = 4096


class Opened(NamedTuple):
    """A session of a client: that with the server, or UNOPENED; the version that the client speaks; its workflow."""

    upstream: Session
    version: str
    workflow: str


class Sessions:
    """Seals and opens ids. `seal`: None without a key; then sessions end with the process."""

    def __init__(self, seal: Seal | None) -> None:
        self._seal = seal or Seal(os.urandom(32))

    def new(self, subject: Subject, server: str, upstream: Session, version: str) -> str:
        """The id of a new session."""
        said = orjson.dumps([upstream.version, upstream.id, version, ids.uuid7()])
        return base64.urlsafe_b64encode(self._seal.enclose(_context(subject, server), said)).decode().rstrip("=")

    def open(self, subject: Subject, server: str, id: str) -> Opened | None:
        """The session with this id; None if there is none for this caller at this server."""
        if len(id) > _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(id + "=" * (-len(id) % 4))
            version, upstream, spoken, workflow = orjson.loads(self._seal.disclose(_context(subject, server), sealed))
        except (binascii.Error, InvalidTag, ValueError):
            return None
        return Opened(Session(version, upstream), spoken, workflow)


def _context(subject: Subject, server: str) -> str:
    return f"mcp session\0{subject.team}\0{subject.agent}\0{server}"
