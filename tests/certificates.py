"""A certificate authority for one test, and a certificate for a server on the loopback."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def issue(folder: Path, host: str) -> tuple[Path, Path, Path]:
    """Files in PEM: the authority's certificate, the server's certificate for `host`, the server's key."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = datetime.datetime.now(datetime.UTC)

    def sign(subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).add_extension(extension, critical=True)
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    alternative: x509.GeneralName
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    ca, certificate, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    ca.write_bytes(sign(name, authority, x509.BasicConstraints(ca=True, path_length=None)))
    certificate.write_bytes(sign(x509.Name([]), server, x509.SubjectAlternativeName([alternative])))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    key.write_bytes(server.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return ca, certificate, key
