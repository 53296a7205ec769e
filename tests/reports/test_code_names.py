"""Names in code are no secrets, even in the place of a secret; random values are secrets."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.secrets import chance
from gateway.detect.secrets.scanner import SecretScanner

NAMES = (
    "pkcs8RSAPrivateKeyHex", "SOCKS5_NO_ACCEPTABLE_AUTH", "accessTokenProvider", "getAuthHeader", "userPasswordField",
    "sha256HashOfKey", "ecdsaP256SignatureKey", "x509CertificateBytes", "utf8BytesToHex", "Base64UrlEncodedValue",
    "config.Ed25519SigningKey", "AES_256_GCM_KEY_LENGTH", "oauth2ClientCredentials", "hmacSha512Signature",
    "self.md5DigestValue", "PKCS12_KEYSTORE_FORMAT", "utf8Bytes2Hex",
)  # fmt: skip
PLACES = ("keyHex: {}", "authToken = {}", "const password = {};", "secret: {},", '"accessToken": {}', "X_AUTH = {}")
TYPES = ("string", "str", "Optional[str]", "String,", "str)", "typing.Optional[str]", "*string")


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    return SecretScanner()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_secret(scanner: SecretScanner, place: str, name: str) -> None:
    """Words in any case, with the digits that terms have."""
    assert not scanner.scan(place.format(name))


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("place", ["login string password {}", "Login(login {0} password {0})"])
def test_a_type_is_no_secret(scanner: SecretScanner, place: str, type_: str) -> None:
    """Parameters called login and password, with their types."""
    assert not scanner.scan(place.format(type_))


@pytest.mark.parametrize("text", ["your login and password must match", "the login form password field is empty"])
def test_prose_on_logins_is_no_entry(scanner: SecretScanner, text: str) -> None:
    """The words of an entry of netrc, without a machine and a password."""
    assert not scanner.scan(text)


@pytest.mark.parametrize("value", ["correcthorse", "hunter2hunter", "q8Zr2LmX0vTy7Kd1"])
def test_an_entry_is_found(scanner: SecretScanner, value: str) -> None:
    """Any word is a password in an entry of a machine."""
    assert [one.entity for one in scanner.scan(f"machine example.com\n login me\n password {value}")]


@given(st.integers(0, 2**32), st.integers(24, 40))
def test_random_values_are_no_names(seed: int, size: int) -> None:
    """Random letters and digits do not count as a name, if they contain an inner digit."""
    drawn = random.Random(seed)
    value = "".join(drawn.choice(string.ascii_letters + string.digits) for _ in range(size))
    if sum(map(str.isdigit, value)) > 1:
        assert not chance.identifier(value)
