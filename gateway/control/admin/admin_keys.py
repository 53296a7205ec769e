"""The keys of the admin API. Config key: `admin`. A bearer key is compared by its SHA-256, in constant time."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from gateway.config.grammar import Admin
from gateway.errors import Refusal
from gateway.identity.keyfiles import read_key_file


class AdminKeys:
    """The keys of the admin API. Reads the key file, and creates a missing file."""

    def __init__(self, settings: Admin) -> None:
        self.path = Path(settings.key_file) if settings.key_file else None
        self.digests = {bytes.fromhex(digest) for digest in settings.key_sha256}
        if self.path is not None:
            self.digests.add(hashlib.sha256(read_key_file(self.path).encode()).digest())

    def who(self, headers: list[tuple[bytes, bytes]]) -> str:
        """The first 8 hex digits of the key's SHA-256, its name in records. Raises Refusal(unauthenticated)."""
        scheme, token = credential(headers)
        digest = hashlib.sha256(token).digest()
        matches = [hmac.compare_digest(digest, known) for known in self.digests]  # all keys, for constant time
        if scheme.lower() != b"bearer" or not any(matches):
            message = "Send an admin key as `Authorization: Bearer <key>`; an agent's key is not accepted here."
            raise Refusal("unauthenticated", message)
        return digest.hex()[:8]


def credential(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The scheme and the token of the header Authorization; empty without one, or with several."""
    sent = [value for name, value in headers if name == b"authorization"]
    scheme, _, token = (sent[0] if len(sent) == 1 else b"").strip().partition(b" ")
    return scheme, token.strip()
