"""The encryption of the vault: values are stored only encrypted, and are looked up by a keyed digest.

AES-256-GCM (NIST SP 800-38D) with a random nonce; team, correlation id and entity are authenticated with the value, so
that a ciphertext moved to another workflow cannot be decrypted. Config key: `pii.vault_key`, 32 bytes in base64; with
embedded state, a key file is created that only its owner can read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.config.grammar import Config
from gateway.errors import ConfigError

_NONCE = 12  # bytes


class Seal:
    """Encrypts values, and computes their digests, with one master key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"meshgate vault encryption", sha256))
        self._digest_key = hmac.digest(key, b"meshgate vault digest", sha256)

    def digest(self, entity: str, value: str) -> bytes:
        """A keyed digest of 16 bytes: the same for the same value, and not reversible without the key."""
        return hmac.digest(self._digest_key, f"{entity}\0{value}".encode("utf-8", "surrogatepass"), sha256)[:16]

    def seal(self, context: str, value: str) -> bytes:
        """Encrypt `value` for one context (team, workflow and entity)."""
        return self.enclose(context, value.encode("utf-8", "surrogatepass"))

    def enclose(self, context: str, data: bytes) -> bytes:
        """`seal` for bytes."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, context.encode())

    def disclose(self, context: str, sealed: bytes) -> bytes:
        """The decrypted bytes. Raises like `unseal`."""
        return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())

    def unseal(self, context: str, sealed: bytes) -> str:
        """The decrypted value. Raises cryptography.exceptions.InvalidTag if context, key or bytes differ."""
        return self.disclose(context, sealed).decode("utf-8", "surrogatepass")


def seal_of(config: Config) -> Seal | None:
    """The encryption of values at rest; None without a key, which is possible only with `pii: null` on shared state."""
    if config.pii is None and not config.state.url.startswith("sqlite:"):
        return None
    return Seal(master_key(config.pii.vault_key if config.pii else "", config.state.url))


def master_key(configured: str, state: str) -> bytes:
    """The key from the configuration, or from the file next to the embedded database, which is created if necessary.

    Raises ConfigError for a key that is not 32 bytes, and if gateways share a store without a configured key.
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
