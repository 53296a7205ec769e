"""Certificates: every field is the same as with the program `opa`."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from engines import opa_server
from gateway.policy.engines.rego import EvaluationError, compile_bundle

MODULE = """package m

certificates := crypto.x509.parse_certificates(input.certificates)
requests := [found | some one in input.requests; found := crypto.x509.parse_certificate_request(one)]
"""
PROGRAM = compile_bundle({"m.rego": MODULE})
BEGUN = datetime(2024, 1, 2, 3, 4, 5)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
OTHERS = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
Extensions = list[tuple[x509.ExtensionType, bool]]


def name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(of, text) for of, text in parts])


ROOT = name((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Org"), (NameOID.COMMON_NAME, "Root"))
LEAF = name(
    *((NameOID.COUNTRY_NAME, "US"), (NameOID.STATE_OR_PROVINCE_NAME, "CA"), (NameOID.LOCALITY_NAME, "L")),
    *((NameOID.ORGANIZATION_NAME, "O1"), (NameOID.ORGANIZATION_NAME, "O2"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "OU")),
    *((NameOID.STREET_ADDRESS, "St"), (NameOID.POSTAL_CODE, "1"), (NameOID.SERIAL_NUMBER, "77")),
    *((NameOID.COMMON_NAME, "ünï"), (NameOID.EMAIL_ADDRESS, "a@b.c")),
)


def usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{one: one in names for one in (*USAGES, *OTHERS)})


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def pem(
    key: Any, subject: x509.Name, extensions: Extensions, *, by: Any = None, digest: Any = SHA256, serial: int = 5
) -> str:
    """A certificate, signed by its own key or by another."""
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(ROOT if by else subject).serial_number(serial)
    made = made.public_key(key.public_key()).not_valid_before(BEGUN).not_valid_after(BEGUN + timedelta(days=7300))
    for value, critical in extensions:
        made = made.add_extension(value, critical)
    signer = by or key
    found = made.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest())
    return found.public_bytes(Encoding.PEM).decode()


def certificates() -> str:
    """A chain and more, with every extension that Go reads."""
    alternatives = [
        *(x509.DNSName("a.org"), x509.DNSName("*.b.org"), x509.RFC822Name("x@y.z")),
        *(x509.IPAddress(ip_address("10.0.0.1")), x509.IPAddress(ip_address("2001:db8::1"))),
        *(uri("spiffe://e.com/opa?x=1#f"), uri("https://u:p@e.com:8/a%20b"), uri("urn:a:b")),
    ]
    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, uri("http://o")),
        x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, uri("http://i")),
    ]
    leaf: Extensions = [
        (x509.BasicConstraints(False, None), True),
        (usage("digital_signature", "key_agreement", "decipher_only"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3.4")]), False),
        (x509.SubjectAlternativeName(alternatives), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(RSA.public_key()), False),
        (x509.CRLDistributionPoints([x509.DistributionPoint([uri("http://c/crl")], None, None, None)]), False),
        (x509.AuthorityInformationAccess(access), False),
        (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)]), False),
    ]
    permitted = [
        *(x509.DNSName("p.org"), x509.RFC822Name("h.org"), uri("u.org")),
        x509.IPAddress(ip_network("10.0.0.0/8")),
    ]
    limits: Extensions = [
        (x509.BasicConstraints(True, 0), True),
        (x509.NameConstraints(permitted, [x509.DNSName("e.org")]), True),
        (x509.InhibitAnyPolicy(0), True),
        (x509.PolicyConstraints(2, 0), True),
    ]
    root: Extensions = [
        (x509.BasicConstraints(True, None), True),
        (usage("key_cert_sign", "crl_sign"), True),
        (x509.SubjectKeyIdentifier.from_public_key(RSA.public_key()), False),
    ]
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    return "".join(
        [
            pem(P256, LEAF, leaf, by=RSA, serial=2**150 + 1),
            pem(RSA, ROOT, root),
            pem(P384, ROOT, limits, digest=SHA384),
            pem(P384, ROOT, [(x509.BasicConstraints(True, 3), True), (unknown, True)], digest=SHA512),
            pem(ED25519, name((NameOID.COMMON_NAME, "ed")), []),
        ]
    )


def requests() -> list[str]:
    """A certificate request with extensions, and one without."""
    alternatives = x509.SubjectAlternativeName([x509.DNSName("a.org"), uri("spiffe://e.com/opa")])
    first = x509.CertificateSigningRequestBuilder().subject_name(LEAF).add_extension(alternatives, False)
    first = first.add_extension(usage("digital_signature"), True)
    second = x509.CertificateSigningRequestBuilder().subject_name(ROOT)
    signed = first.sign(P256, SHA256()), second.sign(RSA, SHA256())
    return [one.public_bytes(Encoding.PEM).decode() for one in signed]


def test_the_same_as_opa(tmp_path: Path) -> None:
    """Every field of every certificate is equal."""
    document = {"certificates": certificates(), "requests": requests()}
    (tmp_path / "m.rego").write_text(MODULE)
    (tmp_path / "input.json").write_text(json.dumps(document))
    command = [opa_server.program(), "eval", "-f", "raw", "-d", str(tmp_path / "m.rego")]
    command += ["-i", str(tmp_path / "input.json"), "data.m"]
    wanted = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = PROGRAM.document(("data", "m"), PROGRAM.env(document, strict=True))
    for kind in ("certificates", "requests"):
        for ours, theirs in zip(found[kind], wanted[kind], strict=True):
            assert ours == theirs


@given(st.binary(min_size=1, max_size=60) | st.binary(max_size=20).map(lambda data: b"\x30\x82" + data))
def test_what_is_no_certificate(data: bytes) -> None:
    """Invalid data of any kind is an error of the builtin."""
    encoded = base64.b64encode(data).decode()
    for text in (encoded, f"-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----", encoded + "!"):
        env = PROGRAM.env({"certificates": text, "requests": [text]}, strict=True)
        for rule in ("certificates", "requests"):
            with pytest.raises(EvaluationError):
                PROGRAM.evaluate(("data", "m", rule), env)
