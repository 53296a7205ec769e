"""Private keys out of PEM: as JSON Web Keys (RFC 7517), and as the structures of Go's `crypto` stand in JSON."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509 import DuplicateExtension, InvalidVersion, load_der_x509_certificate

from gateway.policy.engines.rego.builtins import Context, builtin, der
from gateway.policy.engines.rego.builtins.certificates import certificate
from gateway.policy.engines.rego.builtins.operands import string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
MOST_KEYS = 20
"""An RSA key is checked for a millisecond and more."""
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----")
_FORMS = {b"RSA PRIVATE KEY": 0x02, b"PRIVATE KEY": 0x30, b"EC PRIVATE KEY": 0x04}
"""The kinds of blocks, and the tag of the second element of each: PKCS 1, PKCS 8, SEC 1."""
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@builtin("crypto.parse_private_keys", context=True, expensive=True)
def parse_private_keys(context: Context, text: Value) -> Value:
    name = "crypto.parse_private_keys"
    given = string(name, 1, text)
    return [_structure(one) for one in _keys(context, name, given)] if given else None


@builtin("crypto.x509.parse_rsa_private_key", context=True, expensive=True)
def parse_rsa_private_key(context: Context, text: Value) -> Value:
    """As in OPA, the first key, of whatever kind; null without one."""
    name = "crypto.x509.parse_rsa_private_key"
    given = string(name, 1, text)
    if not given:
        raise BuiltinError(f"{name}: input PEM data was empty")
    if not given.startswith("-----BEGIN") and _decoded(given.encode()) is None:
        raise BuiltinError(f"{name}: illegal base64 data")
    found = _keys(context, name, given)
    return _web_key(found[0]) if found else None


@builtin("crypto.x509.parse_keypair", context=True, expensive=True)
def parse_keypair(context: Context, certificates: Value, private: Value) -> Value:
    """A chain of certificates and the key of the first one, as Go's `tls.Certificate`."""
    name = "crypto.x509.parse_keypair"
    chain, text = string(name, 1, certificates), string(name, 2, private)
    context.tick((len(chain) + len(text)) // 8 + 2000)
    try:
        found = [data for form, data in _blocks(chain, b"CERTIFICATE") if form == b"CERTIFICATE"]
        keys = [data for form, data in _blocks(text, b"PRIVATE KEY") if form.endswith(b"PRIVATE KEY")]
        if not found or not keys:
            raise ValueError("no certificate, or no key")
        key = _key(keys[0])
        if load_der_x509_certificate(found[0]).public_key() != key.public_key():
            raise ValueError("the key is not that of the certificate")
        leaf = certificate(found[0])
        del leaf["URIStrings"]  # which OPA adds elsewhere
        return {
            "Certificate": [base64.b64encode(one).decode() for one in found],
            "Leaf": leaf,
            "OCSPStaple": None,
            "PrivateKey": _structure(key),
            "SignedCertificateTimestamps": None,
            "SupportedSignatureAlgorithms": None,
        }
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion, DuplicateExtension):
        raise BuiltinError(f"{name}: failed to parse a certificate and its key") from None


def _blocks(text: str, form: bytes) -> list[tuple[bytes, bytes]]:
    """The kinds and contents of blocks of PEM, or of Base64 of PEM or of the DER of one block. Raises ValueError."""
    data = text.encode()
    if not data.startswith(b"-----BEGIN"):
        data = base64.b64decode(data.replace(b"\n", b"").replace(b"\r", b""), validate=True)
    if not data.startswith(b"-----BEGIN"):
        return [(form, data)]
    found = _PEM.findall(data)
    if len(found) > MOST_KEYS:
        raise ValueError(f"more than {MOST_KEYS} blocks")
    return [(kind, base64.b64decode(b"".join(content.split()), validate=True)) for kind, content in found]


def _decoded(data: bytes) -> bytes | None:
    """What Base64 stands for; None where it is none."""
    try:
        return base64.b64decode(data.replace(b"\n", b"").replace(b"\r", b""), validate=True)
    except binascii.Error:
        return None


def _keys(context: Context, name: str, text: str) -> list[Key]:
    """The keys of PEM, or of PEM in Base64; blocks of another kind are left out. Raises BuiltinError."""
    data = text.encode()
    context.tick(len(data) // 8)
    data = _decoded(data) or data
    blocks = [(_FORMS[form], content) for form, content in _PEM.findall(data) if form in _FORMS]
    if len(blocks) > MOST_KEYS:
        raise BuiltinError(f"{name}: more than {MOST_KEYS} keys")
    found: list[Key] = []
    for tag, content in blocks:
        context.tick(2000)
        try:
            found.append(_key(base64.b64decode(b"".join(content.split()), validate=True), tag))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BuiltinError(f"{name}: failed to parse a private key") from None
    return found


def _key(data: bytes, tag: int | None = None) -> Key:
    """A key out of DER, of the form that has such a tag. Raises ValueError, and what the library does."""
    parts = [part for whole in der.elements(data) for part in der.elements(whole.content)]
    if len(parts) < 2 or tag not in (None, parts[1].tag):
        raise ValueError("another form of key")
    key = load_der_private_key(data, None)
    if not isinstance(key, Key):
        raise ValueError("the type of the key is not supported")
    return key


def _structure(key: Key) -> Value:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.private_bytes_raw() + key.public_key().public_bytes_raw()).decode()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        scalar = key.private_numbers()
        point = scalar.public_numbers
        return {"Curve": {}, "D": scalar.private_value, "X": point.x, "Y": point.y}
    numbers = key.private_numbers()
    return {
        "D": numbers.d,
        "E": numbers.public_numbers.e,
        "N": numbers.public_numbers.n,
        "Precomputed": {"CRTValues": [], "Dp": numbers.dmp1, "Dq": numbers.dmq1, "Qinv": numbers.iqmp},
        "Primes": [numbers.p, numbers.q],
    }


def _web_key(key: Key) -> Value:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        public = key.public_key().public_bytes_raw()
        return {"crv": "Ed25519", "d": _url(key.private_bytes_raw()), "kty": "OKP", "x": _url(public)}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        scalar = key.private_numbers()
        point = scalar.public_numbers
        numbers = {"d": scalar.private_value, "x": point.x, "y": point.y}
        if key.curve.name not in _CURVES:
            raise BuiltinError("crypto.x509.parse_rsa_private_key: the curve of the key is not supported")
        coordinates = {name: _url(number.to_bytes(size)) for name, number in numbers.items()}
        return {"crv": _CURVES[key.curve.name], "kty": "EC", **coordinates}
    private = key.private_numbers()
    amounts = {
        "n": private.public_numbers.n,
        "e": private.public_numbers.e,
        "d": private.d,
        "p": private.p,
        "q": private.q,
        "dp": private.dmp1,
        "dq": private.dmq1,
        "qi": private.iqmp,
    }
    return {"kty": "RSA", **{name: _url(one.to_bytes((one.bit_length() + 7) // 8)) for name, one in amounts.items()}}


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
