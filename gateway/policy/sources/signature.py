"""Verifies a signed bundle: a JWT in `.signatures.json` that lists every file with its digest.

https://www.openpolicyagent.org/docs/management-bundles#signing. The digest of a JSON file is the digest of its value:
white space and the order of keys do not count, but the spelling of numbers does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import jwt

from gateway.config.sections import BundleKey
from gateway.errors import ConfigError
from gateway.policy.sources.base import SourceError

SIGNATURES = ".signatures.json"
_STRUCTURED = {"data.json", ".manifest"}
_HASHES = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_FORMATS = (".yaml", ".yml")
_SHORTEST = 32  # characters of a shared secret


class Verifier:
    """The trusted keys. Raises ConfigError for a key that cannot be read."""

    def __init__(self, keys: Mapping[str, BundleKey], scope: str) -> None:
        read = {name: _read(name, key) for name, key in keys.items()}
        self._keys = {name: (key.algorithm, _material(name, key, read[name])) for name, key in keys.items()}
        self._trusted = [(name, key.algorithm, read[name]) for name, key in sorted(keys.items())]
        self._scope = scope

    def fingerprint(self) -> str:
        """A digest that identifies the keys without revealing them."""
        return hashlib.sha256(json.dumps(self._trusted).encode()).hexdigest()

    def verify(self, files: Mapping[str, bytes]) -> None:
        """Raise SourceError unless the signature is valid and lists exactly these files."""
        listed = self._listed(files)
        for name, content in files.items():
            if name == SIGNATURES:
                continue
            if name not in listed:
                raise SourceError(f"the file {name} is not in the bundle's signature")
            algorithm, digest = listed.pop(name)
            if algorithm not in _HASHES:
                raise SourceError(f"the signature has the digest of {name} by {algorithm}; known: {', '.join(_HASHES)}")
            if not hmac.compare_digest(_digest(name, content, _HASHES[algorithm]), digest.lower()):
                raise SourceError(f"the file {name} differs from the signed file")
        if listed:
            raise SourceError(f"the file {min(listed)} is signed, but is not in the bundle")

    def _listed(self, files: Mapping[str, bytes]) -> dict[str, tuple[str, str]]:
        """The files that the signature lists: name -> (algorithm, digest). Raises SourceError."""
        if SIGNATURES not in files:
            raise SourceError(f"the bundle is not signed: it has no {SIGNATURES}, which policy.server.keys requires")
        try:
            (token,) = json.loads(files[SIGNATURES])["signatures"]
            name = jwt.get_unverified_header(token).get("kid") or _unverified(token).get("keyid") or ""
            if name not in self._keys and len(self._keys) == 1:  # the only key verifies the signature, or nothing does
                (name,) = self._keys
            if name not in self._keys:
                raise SourceError("the bundle is signed with a key that policy.server.keys does not have")
            algorithm, material = self._keys[name]
            signed = json.loads(jwt.PyJWS().decode(token, material, algorithms=[algorithm]))
            if signed.get("scope", "") != self._scope:
                raise SourceError("the bundle is signed for another scope (policy.server.scope)")
            return {_plain(file["name"]): (str(file["algorithm"]), str(file["hash"])) for file in signed["files"]}
        except jwt.InvalidSignatureError:
            raise SourceError("the bundle's signature is not valid") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, jwt.PyJWTError):
            raise SourceError(f"the bundle's {SIGNATURES} cannot be read") from None


def _unverified(token: str) -> dict[str, Any]:
    """The payload without verification, only for the name of the key that is to verify it."""
    payload = json.loads(jwt.PyJWS().decode_complete(token, options={"verify_signature": False})["payload"])
    return payload if isinstance(payload, dict) else {}


def _plain(name: str) -> str:
    return str(PurePosixPath("/", name).relative_to("/"))


def _read(name: str, key: BundleKey) -> str:
    """The text of a key, without surrounding white space. Raises ConfigError."""
    try:
        material = (key.key or Path(key.key_file).read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"policy.server.keys.{name}: {key.key_file} cannot be read: {why}") from None
    if key.algorithm.startswith("HS") and len(material) < _SHORTEST:
        raise ConfigError(
            f"policy.server.keys.{name}: a shared secret for {key.algorithm} must have at least {_SHORTEST} characters "
            f"and has {len(material)}; whoever guesses the secret can sign bundles"
        )
    return material


def _material(name: str, key: BundleKey, material: str) -> Any:
    try:
        return jwt.get_algorithm_by_name(key.algorithm).prepare_key(material)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ConfigError(
            f"policy.server.keys.{name}: is not a key for {key.algorithm}; write a public key as PEM"
        ) from None


class _Number(str):
    """A number as written in the file."""

    __slots__ = ()


def _digest(name: str, content: bytes, algorithm: str) -> str:
    base = PurePosixPath(name).name
    if base in _STRUCTURED:
        try:
            value = json.loads(content, parse_int=_Number, parse_float=_Number)
            content = "".join(_walk(value)).encode()
        except (ValueError, RecursionError):
            raise SourceError(f"{name} is not JSON, or is nested too deeply") from None
    elif base.startswith("data.") and base.endswith(_FORMATS):
        raise SourceError(f"{name}: signed data must be JSON, as `opa build` writes it")
    return hashlib.new(algorithm, content, usedforsecurity=True).hexdigest()


def _walk(value: Any) -> Iterator[str]:
    """The text of a value for the digest: keys sorted, no white space."""
    if isinstance(value, dict):
        yield "{"
        for number, key in enumerate(sorted(value)):
            yield ("," if number else "") + _text(key) + ":"
            yield from _walk(value[key])
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ","
            yield from _walk(item)
        yield "]"
    elif isinstance(value, _Number):
        yield str(value)
    elif isinstance(value, str):
        yield _text(value)
    else:
        yield json.dumps(value)


def _text(value: str) -> str:
    """A string as written by the JSON encoder of Go."""
    return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
