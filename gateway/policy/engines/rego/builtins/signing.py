"""JSON Web Tokens that a policy signs: `io.jwt.encode_sign` and `io.jwt.encode_sign_raw`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import object_, string
from gateway.policy.engines.rego.builtins.tokens import ALGORITHMS, CURVES, HASHES
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value, dumps


@builtin("io.jwt.encode_sign", context=True, volatile=True, expensive=True)
def encode_sign(context: Context, header: Value, payload: Value, material: Value) -> str:
    name = "io.jwt.encode_sign"
    parts = [dumps(object_(name, index, one)) for index, one in enumerate((header, payload, material), start=1)]
    return _signed(context, name, parts[0], parts[1], parts[2])


@builtin("io.jwt.encode_sign_raw", context=True, volatile=True, expensive=True)
def encode_sign_raw(context: Context, header: Value, payload: Value, material: Value) -> str:
    name = "io.jwt.encode_sign_raw"
    parts = [string(name, index, one) for index, one in enumerate((header, payload, material), start=1)]
    return _signed(context, name, parts[0], parts[1], parts[2])


def _signed(context: Context, name: str, header: str, payload: str, material: str) -> str:
    context.tick(1000 + len(payload) // 16)
    key = _key(name, material)
    try:
        top = json.loads(header)
    except (ValueError, RecursionError):
        top = None
    algorithm = top.get("alg") if isinstance(top, dict) else None
    if not isinstance(algorithm, str):
        raise BuiltinError(f"{name}: missing or invalid 'alg' header")
    if algorithm not in ALGORITHMS:
        raise BuiltinError(f"{name}: unknown JWS algorithm: {algorithm}")
    if not isinstance(top.get("typ"), str) or top["typ"] == "JWT":
        try:
            json.loads(payload)
        except (ValueError, RecursionError):
            raise BuiltinError(f"{name}: type is JWT but payload is not JSON") from None
    content = f"{_text(header.encode())}.{_text(payload.encode())}"
    try:
        signature = _signature(algorithm, key, content.encode())
    except (TypeError, ValueError, UnsupportedAlgorithm):
        signature = None
    if signature is None:
        raise BuiltinError(f"{name}: the key is not one for {algorithm}")
    return f"{content}.{_text(signature)}"


def _key(name: str, material: str) -> Any:
    """A private key, or the bytes of a secret, from a JWK or the first of a set."""
    try:
        document = json.loads(material)
        first = document["keys"][0] if "keys" in document else document
        return PyJWK.from_dict(first, algorithm=_assumed(first)).key
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, PyJWTError, RecursionError):
        raise BuiltinError(f"{name}: failed to parse a JWK") from None


def _assumed(document: dict[str, Any]) -> str | None:
    """The key says by its type how to read it; an algorithm that it names is not needed for that."""
    return {"oct": "HS256", "RSA": "RS256", "OKP": "EdDSA"}.get(document.get("kty", ""))


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _signature(algorithm: str, key: Any, content: bytes) -> bytes | None:
    """None where the key is of another kind."""
    if algorithm == "EdDSA":
        return key.sign(content) if isinstance(key, ed25519.Ed25519PrivateKey) else None
    kind, size = algorithm[:2], algorithm[2:]
    if kind == "HS":
        return hmac.new(key, content, getattr(hashlib, f"sha{size}")).digest() if isinstance(key, bytes) else None
    digest = HASHES[size]()
    if kind == "ES":
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (key.curve.key_size + 7) // 8 != CURVES[algorithm]:
            return None
        numbers = decode_dss_signature(key.sign(content, ec.ECDSA(digest)))
        return b"".join(number.to_bytes(CURVES[algorithm], "big") for number in numbers)
    if not isinstance(key, rsa.RSAPrivateKey):
        return None
    if kind == "RS":
        return key.sign(content, padding.PKCS1v15(), digest)
    return key.sign(content, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
