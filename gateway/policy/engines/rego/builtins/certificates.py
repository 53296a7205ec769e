"""Certificates and requests for certificates, as the structures of Go's `crypto/x509` stand in JSON.

Chains are not verified here; private keys are read in `private_keys`. https://pkg.go.dev/crypto/x509#Certificate
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

from gateway.policy.engines.rego.builtins import Context, builtin, der
from gateway.policy.engines.rego.builtins.operands import string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value

MOST_BLOCKS = 100
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)
_SIGNATURES = {
    "1.2.840.113549.1.1.2": 1,
    "1.2.840.113549.1.1.4": 2,
    "1.2.840.113549.1.1.5": 3,
    "1.2.840.113549.1.1.11": 4,
    "1.2.840.113549.1.1.12": 5,
    "1.2.840.113549.1.1.13": 6,
    "1.2.840.10040.4.3": 7,
    "2.16.840.1.101.3.4.3.2": 8,
    "1.2.840.10045.4.1": 9,
    "1.2.840.10045.4.3.2": 10,
    "1.2.840.10045.4.3.3": 11,
    "1.2.840.10045.4.3.4": 12,
    "1.3.101.112": 16,
}
_PSS = {"sha256": 13, "sha384": 14, "sha512": 15}
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_EXTENDED = {
    "2.5.29.37.0": 0,
    **{f"1.3.6.1.5.5.7.3.{number}": number for number in range(1, 10)},
    "1.3.6.1.4.1.311.10.3.3": 10,
    "2.16.840.1.113730.4.1": 11,
    "1.3.6.1.4.1.311.2.1.22": 12,
    "1.3.6.1.4.1.311.61.1.1": 13,
}
_NAMES = {
    "2.5.4.6": "Country",
    "2.5.4.7": "Locality",
    "2.5.4.10": "Organization",
    "2.5.4.11": "OrganizationalUnit",
    "2.5.4.17": "PostalCode",
    "2.5.4.8": "Province",
    "2.5.4.9": "StreetAddress",
}
_ONCE = {"2.5.4.3": "CommonName", "2.5.4.5": "SerialNumber"}
_HANDLED = frozenset({f"2.5.29.{number}" for number in (14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54)})
_ACCESS = "1.3.6.1.5.5.7.1.1"


@builtin("crypto.x509.parse_certificates", context=True)
def parse_certificates(context: Context, text: Value) -> list[Value]:
    name = "crypto.x509.parse_certificates"
    given = string(name, 1, text)
    context.tick(len(given) // 8)
    try:
        blocks = _blocks(given, "CERTIFICATE")
        return [certificate(block) for block in blocks]
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise BuiltinError(f"{name}: {error}") from None


@builtin("crypto.x509.parse_certificate_request", context=True)
def parse_certificate_request(context: Context, text: Value) -> Value:
    name = "crypto.x509.parse_certificate_request"
    given = string(name, 1, text)
    context.tick(len(given) // 8)
    try:
        blocks = _blocks(given, "CERTIFICATE REQUEST")
        if len(blocks) != 1:
            raise ValueError("asn1: structure error")
        return _request(blocks[0])
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise BuiltinError(f"{name}: {error}") from None


def _blocks(text: str, kind: str) -> list[bytes]:
    """DER out of PEM, or out of Base64 of PEM or of DER. Raises ValueError."""
    data = text.encode()
    if not data.startswith(b"-----BEGIN"):
        try:
            data = base64.b64decode(data.replace(b"\n", b"").replace(b"\r", b""), validate=True)
        except binascii.Error:
            raise ValueError("illegal base64 data") from None
    if not data.startswith(b"-----BEGIN"):
        return [one.whole for one in der.elements(data)]
    if data.count(b"-----BEGIN") > MOST_BLOCKS:
        raise ValueError(f"more than {MOST_BLOCKS} blocks of PEM")
    found = _PEM.findall(data)
    if not found or any(what.decode() != kind for what, _ in found):
        raise ValueError(f"failed to find any PEM data, or a block that is no {kind}")
    return [base64.b64decode(b"".join(content.split()), validate=True) for _, content in found]


def certificate(data: bytes) -> dict[str, Value]:
    """A certificate in DER. Raises ValueError, and what the library does."""
    made = x509.load_der_x509_certificate(data)
    tbs = list(der.elements(next(der.elements(made.tbs_certificate_bytes)).content))
    if tbs[0].tag == 0xA0:
        tbs.pop(0)
    _, _, issuer, _, subject, key, *_ = tbs
    extensions = [one for part in tbs if part.tag == 0xA3 for one in der.elements(part.content)]
    uris = _alternatives(made.extensions, x509.UniformResourceIdentifier)
    return {
        **_common(made, subject.whole, key.whole, [one.content for one in extensions]),
        **_limits(made.extensions),
        **_policies(made.extensions),
        **_usage(made.extensions),
        **_locations(made.extensions),
        "Issuer": _name(made.issuer),
        "NotAfter": made.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "NotBefore": made.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "RawIssuer": _text(issuer.whole),
        "RawTBSCertificate": _text(made.tbs_certificate_bytes),
        "SerialNumber": made.serial_number,
        "URIStrings": uris or None,
        "UnhandledCriticalExtensions": _unhandled(made.extensions),
        "Version": made.version.value + 1,
    }


def _request(data: bytes) -> dict[str, Value]:
    made = x509.load_der_x509_csr(data)
    _, subject, key, *_ = der.elements(next(der.elements(made.tbs_certrequest_bytes)).content)
    try:
        whole = made.attributes.get_attribute_for_oid(x509.ObjectIdentifier("1.2.840.113549.1.9.14")).value
    except x509.AttributeNotFound:
        whole = b""
    common = _common(made, subject.whole, key.whole, [whole] if whole else [])
    # Go reads an attribute as pairs of a type and what stands next, which of a critical extension is that it is.
    pairs = [
        {"Type": one["Id"], "Value": True if one["Critical"] else one["Value"]} for one in common["Extensions"] or ()
    ]
    attributes = [{"Type": [1, 2, 840, 113549, 1, 9, 14], "Value": [pairs]}] if pairs else None
    return {
        **common,
        "Attributes": attributes,
        "RawTBSCertificateRequest": _text(made.tbs_certrequest_bytes),
        "Version": 0,
    }


def _common(
    made: x509.Certificate | x509.CertificateSigningRequest, subject: bytes, key: bytes, extensions: list[bytes]
) -> dict[str, Value]:
    """What a certificate and a request for one share."""
    algorithm, public = _public_key(made)
    written = [one for part in extensions for outer in der.elements(part) for one in _sequence(outer)]
    found = [_written(list(der.elements(one.content))) for one in written]
    addresses = _alternatives(made.extensions, x509.IPAddress)
    uris = _alternatives(made.extensions, x509.UniformResourceIdentifier)
    return {
        "DNSNames": _alternatives(made.extensions, x509.DNSName) or None,
        "EmailAddresses": _alternatives(made.extensions, x509.RFC822Name) or None,
        "Extensions": found or None,
        "ExtraExtensions": None,
        "IPAddresses": [str(one) for one in addresses] or None,
        "PublicKey": public,
        "PublicKeyAlgorithm": algorithm,
        "Raw": _text(made.public_bytes(Encoding.DER)),
        "RawSubject": _text(subject),
        "RawSubjectPublicKeyInfo": _text(key),
        "Signature": _text(made.signature),
        "SignatureAlgorithm": _signature(made),
        "Subject": _name(made.subject),
        "URIs": [_url(one) for one in uris] or None,
    }


def _written(parts: list[der.Element]) -> Value:
    """An extension: its type, whether it is critical, and its value as it is written."""
    critical = len(parts) > 2 and parts[1].content == b"\xff"
    return {"Critical": critical, "Id": der.oid(parts[0].content), "Value": _text(parts[-1].content)}


def _sequence(outer: der.Element) -> Iterable[der.Element]:
    """The extensions of a sequence of them, or one that stands for itself."""
    inner = list(der.elements(outer.content))
    return inner if inner and inner[0].tag == der.SEQUENCE else [outer]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _numbers(of: x509.ObjectIdentifier) -> list[int]:
    return [int(part) for part in of.dotted_string.split(".")]


def _signature(made: x509.Certificate | x509.CertificateSigningRequest) -> int:
    if made.signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.10":
        digest = made.signature_hash_algorithm
        return _PSS.get(digest.name, 0) if digest is not None else 0
    return _SIGNATURES.get(made.signature_algorithm_oid.dotted_string, 0)


def _public_key(made: x509.Certificate | x509.CertificateSigningRequest) -> tuple[int, Value]:
    """Go's number of the algorithm, and the key. Raises ValueError."""
    key = made.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return 1, {"E": numbers.e, "N": numbers.n}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        return 3, {"Curve": {}, "X": point.x, "Y": point.y}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return 4, _text(key.public_bytes_raw())
    raise ValueError("the type of the public key is not supported")


def _name(name: x509.Name) -> dict[str, Value]:
    made: dict[str, Value] = {"CommonName": "", "ExtraNames": None, "SerialNumber": ""}
    made |= dict.fromkeys(_NAMES.values())
    for one in name:
        of = one.oid.dotted_string
        if of in _NAMES:
            made[_NAMES[of]] = [*(made[_NAMES[of]] or ()), one.value]
        elif of in _ONCE:
            made[_ONCE[of]] = one.value
    made["Names"] = [{"Type": _numbers(one.oid), "Value": one.value} for one in name] or None
    return made


def _extension(extensions: x509.Extensions, of: x509.ObjectIdentifier) -> Any:
    """An extension's value; None where it is not there."""
    return next((one.value for one in extensions if one.oid == of), None)


def _alternatives(extensions: x509.Extensions, kind: Any) -> list[Any]:
    found = _extension(extensions, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    return [] if found is None else list(found.get_values_for_type(kind))


def _limits(extensions: x509.Extensions) -> dict[str, Value]:
    """Basic and name constraints."""
    basic = _extension(extensions, ExtensionOID.BASIC_CONSTRAINTS)
    most = 0 if basic is None else -1 if basic.path_length is None else basic.path_length
    names = next((one for one in extensions if one.oid == ExtensionOID.NAME_CONSTRAINTS), None)
    made: dict[str, Value] = {
        "BasicConstraintsValid": basic is not None,
        "IsCA": basic is not None and basic.ca,
        "MaxPathLen": most,
        "MaxPathLenZero": basic is not None and basic.path_length == 0,
        "PermittedDNSDomainsCritical": names is not None and names.critical,
    }
    for side in ("Permitted", "Excluded"):
        trees: Iterable[Any] = getattr(names.value, f"{side.lower()}_subtrees") or () if names is not None else ()
        parts: dict[str, list[Value]] = {"DNSDomains": [], "EmailAddresses": [], "IPRanges": [], "URIDomains": []}
        for one in trees:
            if isinstance(one, x509.DNSName):
                parts["DNSDomains"].append(one.value)
            elif isinstance(one, x509.RFC822Name):
                parts["EmailAddresses"].append(one.value)
            elif isinstance(one, x509.UniformResourceIdentifier):
                parts["URIDomains"].append(one.value)
            elif isinstance(one, x509.IPAddress):
                network: Any = one.value
                address = {"IP": str(network.network_address), "Mask": _text(network.netmask.packed)}
                parts["IPRanges"].append(address)
        made |= {f"{side}{name}": found or None for name, found in parts.items()}
    return made


def _policies(extensions: x509.Extensions) -> dict[str, Value]:
    if any(one.oid.dotted_string == "2.5.29.33" for one in extensions):
        raise ValueError("policy mappings are not supported")
    found = _extension(extensions, ExtensionOID.CERTIFICATE_POLICIES)
    policies = [one.policy_identifier for one in found or ()]
    inhibit = _extension(extensions, ExtensionOID.INHIBIT_ANY_POLICY)
    constraints = _extension(extensions, ExtensionOID.POLICY_CONSTRAINTS)
    amounts = {
        "InhibitAnyPolicy": None if inhibit is None else inhibit.skip_certs,
        "InhibitPolicyMapping": None if constraints is None else constraints.inhibit_policy_mapping,
        "RequireExplicitPolicy": None if constraints is None else constraints.require_explicit_policy,
    }
    return {
        "Policies": [one.dotted_string for one in policies] or None,
        "PolicyIdentifiers": [_numbers(one) for one in policies] or None,
        "PolicyMappings": None,
        **{name: amount or 0 for name, amount in amounts.items()},
        **{f"{name}Zero": amount == 0 for name, amount in amounts.items()},
    }


def _usage(extensions: x509.Extensions) -> dict[str, Value]:
    usage = _extension(extensions, ExtensionOID.KEY_USAGE)
    bits = 0
    for number, name in enumerate(_USAGES if usage is not None else ()):
        if (name not in ("encipher_only", "decipher_only") or usage.key_agreement) and getattr(usage, name):
            bits |= 1 << number
    extended = list(_extension(extensions, ExtensionOID.EXTENDED_KEY_USAGE) or ())
    known = [_EXTENDED[one.dotted_string] for one in extended if one.dotted_string in _EXTENDED]
    others = [_numbers(one) for one in extended if one.dotted_string not in _EXTENDED]
    return {"KeyUsage": bits, "ExtKeyUsage": known or None, "UnknownExtKeyUsage": others or None}


def _locations(extensions: x509.Extensions) -> dict[str, Value]:
    """Where a certificate's issuer, its list of the revoked and its status are found, and the identifiers of keys."""
    access = _extension(extensions, ExtensionOID.AUTHORITY_INFORMATION_ACCESS)
    points = _extension(extensions, ExtensionOID.CRL_DISTRIBUTION_POINTS)
    subject = _extension(extensions, ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    authority = _extension(extensions, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    by = {
        AuthorityInformationAccessOID.OCSP: "OCSPServer",
        AuthorityInformationAccessOID.CA_ISSUERS: "IssuingCertificateURL",
    }
    made: dict[str, Value] = {"OCSPServer": None, "IssuingCertificateURL": None}
    for one in access or ():
        if one.access_method in by and isinstance(one.access_location, x509.UniformResourceIdentifier):
            name = by[one.access_method]
            made[name] = [*(made[name] or ()), one.access_location.value]
    named = [one for point in points or () for one in point.full_name or ()]
    uris = [one.value for one in named if isinstance(one, x509.UniformResourceIdentifier)]
    identifier = None if authority is None else authority.key_identifier
    return {
        **made,
        "CRLDistributionPoints": uris or None,
        "SubjectKeyId": None if subject is None else _text(subject.digest),
        "AuthorityKeyId": None if identifier is None else _text(identifier),
    }


def _unhandled(extensions: x509.Extensions) -> Value:
    """Critical extensions that Go does not know."""
    found = [one.oid for one in extensions if one.critical and one.oid.dotted_string not in {*_HANDLED, _ACCESS}]
    return [_numbers(one) for one in found] or None


def _url(text: str) -> dict[str, Value]:
    """The parts of a URL as Go has them."""
    parts = urlsplit(text)
    behind = text.partition(":")[2]
    opaque = bool(parts.scheme) and not behind.startswith("/")
    path = "" if opaque else unquote(parts.path)
    user, at, host = parts.netloc.rpartition("@")
    fragment = unquote(parts.fragment)
    return {
        "ForceQuery": text.partition("#")[0].endswith("?"),
        "Fragment": fragment,
        "Host": host,
        "OmitHost": False,
        "Opaque": behind.partition("#")[0].partition("?")[0] if opaque else "",
        "Path": path,
        "RawFragment": "" if quote(fragment, safe=_SAFE) == parts.fragment else parts.fragment,
        "RawPath": "" if opaque or quote(path, safe=_SAFE) == parts.path else parts.path,
        "RawQuery": parts.query,
        "Scheme": parts.scheme,
        "User": {} if at or user else None,
    }


_SAFE = "/:@&=+$,;!'()*~"
