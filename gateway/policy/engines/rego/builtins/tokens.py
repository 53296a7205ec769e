"""JSON Web Tokens: `io.jwt.decode` and the verification of signatures, over `cryptography`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificates
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import object_, string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import UNDEFINED, Value, from_json, is_number

HASHES: dict[str, type[hashes.HashAlgorithm]] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": 32, "ES384": 48, "ES512": 66}
ALGORITHMS = (*(f"{kind}{size}" for kind in ("HS", "RS", "PS", "ES") for size in HASHES), "EdDSA")
MOST_KEYS = 100


def _raw(name: str, part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise BuiltinError(f"{name}: illegal base64 data") from None


def _split(name: str, token: Value) -> tuple[str, str, str]:
    parts = string(name, 1, token).split(".")
    if len(parts) != 3:
        raise BuiltinError(f"{name}: encoded JWT must have 3 sections, found {len(parts)}")
    return parts[0], parts[1], parts[2]


def _document(name: str, part: str) -> Any:
    try:
        found = from_json(_raw(name, part).decode())
    except (ValueError, RecursionError) as error:
        raise BuiltinError(f"{name}: {error}") from None
    if type(found) is not dict:
        raise BuiltinError(f"{name}: expected object")
    return found


@builtin("io.jwt.decode")
def decode(token: Value) -> list[Value]:
    name = "io.jwt.decode"
    header, payload, signature = _split(name, token)
    top = _document(name, header)
    if top.get("enc") is not None:
        raise BuiltinError(f"{name}: JWT is a JWE object, which is not supported")
    if str(top.get("cty", "")).upper() == "JWT":
        inner = _raw(name, payload).decode("utf-8", "replace").strip('"')
        found: list[Value] = decode(inner)
        return found
    return [top, _document(name, payload), _raw(name, signature).hex()]


def keys_of(name: str, certificate: str) -> list[tuple[str | None, str | None, Any]]:
    """The public keys of a certificate, a PEM key or a JWK set, each with its `kid` and `alg`."""
    try:
        if "-----BEGIN CERTIFICATE" in certificate:
            if certificate[certificate.rindex("-----END") :].partition("\n")[2].strip():
                raise BuiltinError(f"{name}: extra data after a PEM certificate block")
            return [(None, None, one.public_key()) for one in load_pem_x509_certificates(certificate.encode())[:1]]
        if "-----BEGIN" in certificate:
            return [(None, None, load_pem_public_key(certificate.encode()))]
        document = json.loads(certificate)
        listed = document.get("keys", [document])
        return [(one.get("kid"), one.get("alg"), _jwk(one)) for one in listed[:MOST_KEYS]]
    except (ValueError, KeyError, TypeError, AttributeError, PyJWTError, RecursionError):
        raise BuiltinError(f"{name}: failed to parse a PEM key or JWK set") from None


def _jwk(one: dict[str, Any]) -> Any:
    found = PyJWK.from_dict(one, algorithm=None).key
    return found.public_key() if hasattr(found, "public_key") else found


def _verified(algorithm: str, public: Any, content: bytes, signature: bytes) -> bool:
    try:
        if algorithm == "EdDSA":
            if isinstance(public, ed25519.Ed25519PublicKey):
                public.verify(signature, content)
                return True
            return False
        digest = HASHES[algorithm[2:]]()
        if algorithm[:2] == "ES":
            size = CURVES[algorithm]
            if not isinstance(public, ec.EllipticCurvePublicKey) or len(signature) != 2 * size:
                return False
            if (public.curve.key_size + 7) // 8 != size:
                return False
            numbers = (int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
            public.verify(encode_dss_signature(*numbers), content, ec.ECDSA(digest))
            return True
        if not isinstance(public, rsa.RSAPublicKey):
            return False
        if algorithm[:2] == "RS":
            public.verify(signature, content, padding.PKCS1v15(), digest)
        else:
            pss = padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
            public.verify(signature, content, pss, digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(name: str, algorithm: str, token: Value, certificate: Value) -> bool:
    header, payload, signature = _split(name, token)
    content, raw = f"{header}.{payload}".encode(), _raw(name, signature)
    if algorithm[:2] == "HS":
        secret = string(name, 2, certificate).encode()
        made = hmac.new(secret, content, getattr(hashlib, f"sha{algorithm[2:]}")).digest()
        return hmac.compare_digest(made, raw)
    top = _document(name, header)
    found = keys_of(name, string(name, 2, certificate))
    kid = top.get("kid")
    named = [one for one in found if kid is not None and one[0] == kid]
    usable = named or [one for one in found if one[0] is None or kid is None] or found
    return any(
        _verified(algorithm, public, content, raw) for _, alg, public in usable if alg is None or alg == algorithm
    )


def _verify(algorithm: str) -> Callable[[Context, Value, Value], bool]:
    name = f"io.jwt.verify_{algorithm.lower()}"

    def call(context: Context, token: Value, certificate: Value) -> bool:
        context.tick(200)
        return _signed(name, algorithm, token, certificate)

    return call


for _algorithm in ALGORITHMS:
    builtin(f"io.jwt.verify_{_algorithm.lower()}", context=True, expensive=True)(_verify(_algorithm))
_CONSTRAINTS = frozenset({"cert", "secret", "alg", "iss", "time", "aud"})


@builtin("io.jwt.decode_verify", context=True, volatile=True, expensive=True)
def decode_verify(context: Context, token: Value, constraints: Value) -> Value:
    name = "io.jwt.decode_verify"
    context.tick(200)
    wanted = object_(name, 2, constraints)
    _check(name, wanted)
    refused: list[Value] = [False, {}, {}]
    header, payload, _ = _split(name, token)
    top = _document(name, header)
    algorithm = top.get("alg")
    if algorithm not in ALGORITHMS or ("alg" in wanted and wanted["alg"] != algorithm):
        return refused
    if top.get("crit") is not None:
        return refused
    material = wanted.get("secret" if algorithm[:2] == "HS" else "cert")
    if material is None or not _signed(name, algorithm, token, material):
        return refused
    if str(top.get("cty", "")).upper() == "JWT":
        nested: list[Value] = decode_verify(
            context, _raw(name, payload).decode("utf-8", "replace").strip('"'), constraints
        )
        return nested
    claims = _document(name, payload)
    return [True, top, claims] if _holds(name, claims, wanted, context.now_ns) else refused


def _check(name: str, wanted: dict[Any, Value]) -> None:
    for option, value in wanted.items():
        if option not in _CONSTRAINTS:
            raise BuiltinError(f"{name}: unknown token validation constraint: {option}")
        if option == "time":
            if not is_number(value):
                raise BuiltinError(f"{name}: token time constraint: must be a number")
        elif type(value) is not str:
            raise BuiltinError(f"{name}: {option} constraint: must be a string")
    if ("cert" in wanted) == ("secret" in wanted):
        both = "duplicate key constraints" if "cert" in wanted else "no key constraint"
        raise BuiltinError(f"{name}: {both}")


def _holds(name: str, claims: dict[Any, Value], wanted: dict[Any, Value], now_ns: int) -> bool:
    if "iss" in wanted and claims.get("iss") != wanted["iss"]:
        return False
    audience = claims.get("aud", UNDEFINED)
    if "aud" in wanted:
        if audience is UNDEFINED or wanted["aud"] not in (audience if type(audience) is list else [audience]):
            return False
    elif audience is not UNDEFINED:
        return False
    now = wanted.get("time", now_ns)
    for claim in ("exp", "nbf"):
        if claim not in claims:
            continue
        at = claims[claim]
        if not is_number(at):
            raise BuiltinError(f"{name}: {claim} value must be a number")
        if (now >= at * 1_000_000_000) if claim == "exp" else (now < at * 1_000_000_000):
            return False
    return True
