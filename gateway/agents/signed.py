"""Signatures of agent cards (A2A 1.0, section 8.4): detached JWS (RFC 7515) over canonical JSON (RFC 8785).

What is signed is the card without `signatures` and without empty values. Clients that read the card by the schema of
1.0 see nothing else of it, so a card that has members of 0.3 too is signed in both forms, and verified in either.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
import orjson

from gateway.call import Json

_ALGORITHMS: Final = {"ES256": "EC", "ES384": "EC", "EdDSA": "OKP", "RS256": "RSA", "PS256": "RSA"}
_MOST: Final = 8  # signatures of a card that are looked at
_TOP: Final = frozenset(
    ["name", "description", "supportedInterfaces", "provider", "version", "documentationUrl", "capabilities"]
) | {"securitySchemes", "securityRequirements", "defaultInputModes", "defaultOutputModes", "skills", "iconUrl"}
_WITHIN: Final[Mapping[str, frozenset[str]]] = {
    "supportedInterfaces": frozenset({"url", "protocolBinding", "protocolVersion", "tenant"}),
    "provider": frozenset({"url", "organization"}),
    "capabilities": frozenset({"streaming", "pushNotifications", "extensions", "extendedAgentCard"}),
    "skills": frozenset(
        {"id", "name", "description", "tags", "examples", "inputModes", "outputModes", "securityRequirements"}
    ),
}
_SCHEMES: Final = frozenset(
    ["apiKeySecurityScheme", "httpAuthSecurityScheme", "oauth2SecurityScheme", "openIdConnectSecurityScheme"]
) | {"mtlsSecurityScheme"}
_EXACT: Final = 2**53


class Signer:
    """Signs cards. `key`: a private key (PKCS #8) as base64. Raises ValueError for another one."""

    def __init__(self, key: str, kid: str, jku: str = "") -> None:
        self._algorithm, self._key = _private(key)
        self._header = {"typ": "JOSE", "kid": kid, **({"jku": jku} if jku else {})}

    def sign(self, card: Json) -> Json:
        """The card with signatures."""
        forms = dict.fromkeys(canonical(form) for form in (reduced(card), card))
        return {**card, "signatures": [self._signature(form) for form in forms]}

    def _signature(self, form: bytes) -> Json:
        token = jwt.PyJWS().encode(form, self._key, self._algorithm, {**self._header})
        protected, _, signature = token.split(".")
        return {"protected": protected, "signature": signature}


def verified(card: Json, keys: Sequence[Mapping[str, str]]) -> Json | None:
    """What one of the keys (JWK) has signed of a card; None if none has. Without `signatures`."""
    listed = card.get("signatures")
    plain = {name: value for name, value in card.items() if name != "signatures"}
    for form in (plain, reduced(card)):
        try:
            said = base64.urlsafe_b64encode(canonical(form)).decode().rstrip("=")
        except (ValueError, RecursionError):
            continue
        for one in listed[:_MOST] if type(listed) is list else ():
            if type(one) is dict and _is_valid(one, said, keys):
                return form
    return None


def _is_valid(signature: Json, said: str, keys: Sequence[Mapping[str, str]]) -> bool:
    protected, value = signature.get("protected"), signature.get("signature")
    if type(protected) is not str or type(value) is not str:
        return False
    try:
        head = orjson.loads(base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))
        algorithm, kid = head["alg"], head.get("kid")
        kind = _ALGORITHMS[algorithm]
    except (binascii.Error, ValueError, TypeError, LookupError, AttributeError):
        return False
    for key in keys:
        if key.get("kty") != kind or (kid and key.get("kid") not in (None, kid)):
            continue
        try:
            public = jwt.PyJWK({**key}, algorithm).key
            jwt.PyJWS().decode(f"{protected}.{said}.{value}", public, [algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return True
    return False


def reduced(card: Json) -> Json:
    """A card with the members of version 1.0 alone."""
    made = {name: value for name, value in card.items() if name in _TOP}
    for name, known in _WITHIN.items():
        value = made.get(name)
        if type(value) is dict:
            made[name] = _only(value, known)
        elif type(value) is list:
            made[name] = [_only(one, known) if type(one) is dict else one for one in value]
    schemes = made.get("securitySchemes")
    if type(schemes) is dict:
        made["securitySchemes"] = {
            name: _only(scheme, _SCHEMES) if type(scheme) is dict else scheme for name, scheme in schemes.items()
        }
    return made


def canonical(card: Json) -> bytes:
    """A card in canonical JSON, without empty values. Raises ValueError for numbers that have several forms."""
    return _written(_filled(card) or {}).encode()


def _only(value: Json, known: frozenset[str]) -> Json:
    return {name: inner for name, inner in value.items() if name in known}


def _filled(value: Any) -> Any:
    """The value without empty strings, lists and objects; None if nothing is left."""
    if type(value) is dict:
        inner = {name: it for name, one in value.items() if (it := _filled(one)) is not None}
        return inner or None
    if type(value) is list:
        return [it for one in value if (it := _filled(one)) is not None] or None
    return None if value == "" else value


def _written(value: Any) -> str:
    if type(value) is dict:
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_text(name)}:{_written(inner)}" for name, inner in pairs) + "}"
    if type(value) is list:
        return "[" + ",".join(map(_written, value)) + "]"
    if type(value) is float:
        if value.is_integer() and abs(value) < _EXACT:
            return str(int(value))
        if not 1e-4 <= abs(value) < 1e16:  # outside, the forms of numbers differ between languages
            raise ValueError("a number has no form that is the same everywhere")
        return repr(value)
    if type(value) is int and abs(value) >= _EXACT:
        raise ValueError("a number is not exact")
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _private(key: str) -> tuple[str, Any]:
    """Algorithm and key. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        private = load_der_private_key(base64.b64decode(key, validate=True), None)
    except (ValueError, TypeError):
        words = "is not a private key (PKCS #8, DER, in base64); make one with: "
        raise ValueError(f"{words}openssl genpkey -algorithm ED25519 -outform DER | base64 -w0") from None
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp256r1":
        return "ES256", private
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "EdDSA", private
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "RS256", private
    raise ValueError("must be a key of P-256, Ed25519 or RSA (2048 bits or more)")
