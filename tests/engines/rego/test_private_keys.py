"""Private keys in every form, and invalid keys: the same results as with the program `opa`."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from engines import opa_server
from gateway.policy.engines.rego import EvaluationError, compile_bundle

MODULE = """package m

web[name] := crypto.x509.parse_rsa_private_key(input[name])

keys[name] := crypto.parse_private_keys(input[name])

pairs[sprintf("%s and %s", [certificate, key])] := pair if {
	pair := crypto.x509.parse_keypair(data.certificates[certificate], input[key])
}
"""
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey


def pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    made = x509.CertificateBuilder(named, named, key.public_key(), 7, datetime(2024, 1, 1), datetime(2034, 1, 1))
    return (
        made.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


FIRST = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE, EDWARDS = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CERTIFICATES = {
    "RSA": certificate(FIRST),
    "another": certificate(OTHER),
    "P-256": certificate(CURVE),
    "Ed25519": certificate(EDWARDS),
    "a chain": certificate(FIRST) + certificate(OTHER),
    "Base64": base64.b64encode(certificate(FIRST).encode()).decode(),
    "DER": "".join(certificate(FIRST).splitlines()[1:-1]),
    "nothing": "",
    "a key": pem(FIRST),
    "cut off": certificate(FIRST)[:200],
    "both": pem(FIRST) + certificate(FIRST),
}
PROGRAM = compile_bundle({"m.rego": MODULE}, {"certificates": CERTIFICATES})


def inputs() -> dict[str, str]:
    """Form -> a text with a key."""
    old, small = pem(FIRST, PrivateFormat.TraditionalOpenSSL), pem(CURVE, PrivateFormat.TraditionalOpenSSL)
    public = FIRST.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {
        "RSA, PKCS 1": old,
        "RSA, PKCS 8": pem(FIRST),
        "RSA with an exponent of 3": pem(rsa.generate_private_key(public_exponent=3, key_size=2048)),
        "P-256, SEC 1": small,
        "P-256": pem(CURVE),
        "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
        "P-521": pem(ec.generate_private_key(ec.SECP521R1())),
        "Ed25519": pem(EDWARDS),
        "PKCS 8, called PKCS 1": pem(FIRST).replace("PRIVATE", "RSA PRIVATE"),
        "PKCS 1, called PKCS 8": old.replace("RSA PRIVATE", "PRIVATE"),
        "two": old + small,
        "with text around": f"hello\n{small}more",
        "a public key": public,
        "a public and a private key": public + small,
        "Base64": base64.b64encode(old.encode()).decode(),
        "a key that is none": "-----BEGIN PRIVATE KEY-----\nMIIJ\n-----END PRIVATE KEY-----\n",
        "not ended": old[:300],
        "nothing": "",
        "a word in Base64": "nope",
        "a text": "hello world",
    }


def test_private_keys(tmp_path: Path) -> None:
    """The values are the same; undefined where OPA has an error."""
    given = inputs()
    (tmp_path / "m.rego").write_text(MODULE)
    (tmp_path / "input.json").write_text(json.dumps(given))
    (tmp_path / "data.json").write_text(json.dumps({"certificates": CERTIFICATES}))
    command = [
        opa_server.program(),
        "eval",
        "-d",
        "m.rego",
        "-d",
        "data.json",
        "-i",
        "input.json",
        "--format",
        "json",
        "data.m",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    wanted = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    found = PROGRAM.document(("data", "m"), PROGRAM.env(given))
    assert isinstance(found, dict)
    for rule in ("web", "keys", "pairs"):
        assert found[rule].keys() == wanted[rule].keys()
        for name, value in wanted[rule].items():
            assert found[rule][name] == value, name


def test_an_error_does_not_show_the_key() -> None:
    """The error for a damaged key does not contain the key, however much of the key was read."""
    secret = base64.b64encode(b"the secret of the key").decode()
    given = {"x": f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"}
    with pytest.raises(EvaluationError) as caught:
        PROGRAM.document(("data", "m"), PROGRAM.env(given, strict=True))
    assert secret not in str(caught.value)
    assert "failed to parse a private key" in str(caught.value)
