"""The vault's seal: values leave for the store only encrypted, and are found again by a keyed digest.

AES-256-GCM (NIST SP 800-38D) with a random nonce; team, correlation id and entity are authenticated with the value, so
that a ciphertext moved to another workflow does not open. Config key: pii.vault_key, 32 bytes in base64; embedded state
makes a key file of its own, readable by its owner only.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigError

_NONCE = 12  # bytes


class Seal:
    """Encrypts and names values under one master key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"meshgate vault encryption", sha256))
        self._digest_key = hmac.digest(key, b"meshgate vault digest", sha256)

    def digest(self, entity: str, value: str) -> bytes:
        """The same 16 bytes for the same value, and no way back without the key."""
        return hmac.digest(self._digest_key, f"{entity}\0{value}".encode("utf-8", "surrogatepass"), sha256)[:16]

    def seal(self, context: str, value: str) -> bytes:
        """Encrypt `value` for one context (team, workflow and entity)."""
        return self.enclose(context, value.encode("utf-8", "surrogatepass"))

    def enclose(self, context: str, data: bytes) -> bytes:
        """`seal` for bytes."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, context.encode())

    def disclose(self, context: str, sealed: bytes) -> bytes:
        """The bytes again. Raises as `unseal`."""
        return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())

    def unseal(self, context: str, sealed: bytes) -> str:
        """The value again. Raises cryptography.exceptions.InvalidTag for another context, key or altered bytes."""
        return self.disclose(context, sealed).decode("utf-8", "surrogatepass")


def master_key(configured: str, state: str) -> bytes:
    """The key from the configuration, or the file beside the embedded database, made if it is not there.

    Raises ConfigError for a key that is not 32 bytes, and where several gateways share a store but no key.
    """
    if configured:
        try:
            key = base64.b64decode(configured, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != 32:
            raise ConfigError("pii.vault_key must be 32 bytes in base64; make one with: openssl rand -base64 32")
        return key
    if not state.startswith("sqlite:///"):
        raise ConfigError(
            "pii.vault_key is needed when state is shared: every gateway must seal with the same key. "
            "Make one with `openssl rand -base64 32` and pass it as ${MESHGATE_VAULT_KEY}."
        )
    return _file_key(Path(state.removeprefix("sqlite:///")).with_suffix(".key"))


def _file_key(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) != 32:
            raise ConfigError(f"{path} should hold the 32 bytes of the vault key but holds {len(key)}") from None
        return key
    with os.fdopen(handle, "wb") as file:
        key = os.urandom(32)
        file.write(key)
    return key
