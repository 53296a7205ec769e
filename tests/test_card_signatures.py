"""Signatures of agent cards: the canonical form is that of the official SDK, and a changed card has no signature."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from a2a.utils._jcs import canonicalize
from a2a.utils.signing import _clean_empty
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.agents.signed import Signer, canonical, verified

CARD: dict[str, Any] = {
    "name": "Plänner 🚀",
    "description": "",
    "url": "http://x/",
    "protocolVersion": "0.3.0",
    "skills": [{"id": "a", "tags": [], "x": 1}],
    "capabilities": {"streaming": False, "stateTransitionHistory": True},
}
KEYS: dict[str, Any] = {
    "EC": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "OKP": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
    "RSA": (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
}
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(1e-4, 1e16, exclude_max=True) | st.floats(-1e15, -1e-3)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def signer(kind: str) -> tuple[Signer, dict[str, str]]:
    """A signer, and the public key as JWK."""
    key, algorithm = KEYS[kind]
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = {name: value for name, value in algorithm.to_jwk(key.public_key(), True).items() if type(value) is str}
    return Signer(base64.b64encode(der).decode(), "k1"), {"kid": "k1", **public}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_the_canonical_form_is_that_of_the_sdk(card: dict[str, Any]) -> None:
    """For any JSON with numbers that have one form."""
    assert canonical(card).decode() == canonicalize(_clean_empty(card) or {})


@pytest.mark.parametrize("number", [2**53, 1e300, 1e-7, 1e22])
def test_numbers_with_several_forms_have_no_canonical_form(number: float) -> None:
    """So a card with one has no signature."""
    with pytest.raises(ValueError, match="number"):
        canonical({"a": number})


@pytest.mark.parametrize("kind", list(KEYS))
def test_signed_cards_are_verified(kind: str) -> None:
    """By the key alone that signed them, as long as nothing is changed."""
    made, public = signer(kind)
    card = made.sign(CARD)
    assert verified(card, [public]) == CARD
    assert verified(card, [signer(other)[1] for other in KEYS if other != kind]) is None
    assert verified(card, [{**public, "kid": "k2"}]) is None
    assert verified(card, []) is None
    changes: tuple[dict[str, Any], ...] = ({"name": "Other"}, {"skills": []}, {"capabilities": {"streaming": True}})
    for changed in changes:
        assert verified({**card, **changed}, [public]) is None
    more = verified({**card, "securitySchemes": {}, "additionalInterfaces": [{"url": "http://evil/"}]}, [public])
    assert more is not None  # the form of 1.0 is signed, and that alone is used
    assert "additionalInterfaces" not in more
    assert "url" not in more


HEADS = (b'{"alg": "none"}', b'{"alg": "HS256"}', b'{"alg": ["ES256"]}', b"[]", b"\xff", b'{"alg": "ES256"}')
HOSTILE: list[Any] = [None, 1, [], [1], [{}], [{"protected": "e30", "signature": "x"}], [{"protected": 1}]]
HOSTILE += [[{"protected": base64.urlsafe_b64encode(head).decode(), "signature": ""}] for head in HEADS]


@pytest.mark.parametrize("signatures", HOSTILE)
def test_hostile_signatures(signatures: Any) -> None:
    """Are none: also those without a signature, or with a secret in place of a key."""
    assert verified({**CARD, "signatures": signatures}, [signer("EC")[1]]) is None


@pytest.mark.parametrize("key", ["", "x", "AAAA"])
def test_keys_that_are_none(key: str) -> None:
    """Are refused, with advice, and not repeated."""
    with pytest.raises(ValueError, match="openssl") as fault:
        Signer(key, "k")
    assert not key or key not in str(fault.value)
    weak = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="2048"):
        Signer(base64.b64encode(weak).decode(), "k")
