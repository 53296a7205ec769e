"""Creates gateway keys, and reads files with a key (mounted secrets). Fast to import."""

from __future__ import annotations

import os
import secrets
import string
import tempfile
from pathlib import Path

from gateway.errors import ConfigError

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def new_key() -> str:
    """A new gateway key: `mg-` and 32 random bytes in base 62."""
    number = int.from_bytes(secrets.token_bytes(32), "big")
    digits = []
    for _ in range(43):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "mg-" + "".join(digits)


def read_key_file(path: Path) -> str:
    """The key in a file; a missing file is created with a new key, readable by its owner only. Raises ConfigError."""
    try:
        if not path.exists():
            _write_new(path, new_key())
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"key_file {path}: cannot be read or created: {reason}") from None
    if not key or any(character.isspace() for character in key):
        raise ConfigError(f"key_file {path}: must contain one key and nothing else; remove the file for a new key")
    return key


def _write_new(path: Path, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: if two processes start together, the key of the first stays.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        os.unlink(temporary)
