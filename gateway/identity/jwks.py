"""Verifies a JWT (RFC 7519, RFC 8725) against the issuer's published keys (JWKS, RFC 7517): claims -> `Subject`.

Config key: `jwt`. Error code: `unauthenticated`. Fails closed. Keys are fetched at the first token, again when they
are older than `jwt.refresh`, and when a token names an unknown key, at most once in ten seconds. If the issuer does not
answer, the last fetched keys stay valid. Verified tokens are cached by their digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import jwt as pyjwt
import orjson

from gateway.call import Subject
from gateway.config.grammar import Jwt
from gateway.detect.secrets.own import OwnSecrets
from gateway.errors import Refusal
from gateway.identity.claims import claim

_log = logging.getLogger("meshgate.identity")

_RETRY = 10.0  # minimum seconds between two fetches: an attacker can invent unknown key ids
_TIMEOUT = 5.0
_REMEMBERED = 4096
_LONGEST_NAME = 256
# The type of key for each algorithm (RFC 7518, section 3.1; RFC 8037): a key is used for no other algorithm.
_KEY_TYPES: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
}
_REASONS: tuple[tuple[type[pyjwt.PyJWTError], str], ...] = (
    (pyjwt.ExpiredSignatureError, "it has expired; get a fresh one from the issuer"),
    (pyjwt.ImmatureSignatureError, "it is not valid yet; check the clocks"),
    (pyjwt.InvalidAudienceError, "it was issued for another audience than jwt.audience"),
    (pyjwt.InvalidIssuerError, "it comes from another issuer than jwt.issuer"),
    (pyjwt.InvalidKeyError, "the issuer's key is too short to be safe"),
    (pyjwt.InvalidSignatureError, "its signature does not verify"),
)

Keys = dict[tuple[str | None, str], pyjwt.PyJWK]  # (key id, algorithm) -> key


class Verifier:
    """Verifies the tokens of one issuer. `clock`: monotonic seconds, for the age of the keys only.

    `own`: secrets of the gateway, which no claim may hold: names are recorded, and a policy gets all claims.
    """

    def __init__(
        self, config: Jwt, client: httpx.AsyncClient | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._client = client
        self._owned = client is None
        self._clock = clock
        self._keys: Keys = {}
        self._fetched = float("-inf")
        self._asked = float("-inf")
        self._fetch: asyncio.Task[None] | None = None
        self._subjects: dict[bytes, tuple[Subject, float]] = {}
        self.own = OwnSecrets(())

    def inherit(self, previous: Verifier) -> None:
        """Reuse the keys fetched before a reload, so that a reload does not depend on the issuer."""
        mine, theirs = self._config, previous._config
        if (mine.jwks_url, mine.algorithms) == (theirs.jwks_url, theirs.algorithms):
            self._keys, self._fetched = previous._keys, previous._fetched

    def cached(self, digest: bytes, audiences: Sequence[str] = ()) -> Subject | None:
        """The subject of a verified token, by its SHA-256; None if it has expired, or if the keys are outdated."""
        known = self._subjects.get(digest)
        if known is None and audiences:
            digest = _bound(digest, audiences)
            known = self._subjects.get(digest)
        if known is None:
            return None
        if known[1] <= time.time():
            del self._subjects[digest]
            return None
        if self._clock() - self._fetched > self._config.refresh:
            return None
        return known[0]

    async def verify(self, token: bytes, audiences: Sequence[str] = ()) -> Subject:
        """The subject of a token. Raises Refusal(unauthenticated) with the reason, but without values of the token.

        `audiences`: those that are accepted beside `jwt.audience`, for the called path alone.
        """
        try:
            header = pyjwt.get_unverified_header(token)
        except (pyjwt.PyJWTError, ValueError, RecursionError):
            raise _refuse("it is not well-formed") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._config.algorithms:
            raise _refuse(f"its algorithm is not one of {', '.join(self._config.algorithms)}")
        key = await self._key(kid, algorithm)
        claims = self._claims(token, key, audiences)
        subject = self._subject(claims)
        try:  # a policy gets the claims as JSON
            data = orjson.dumps(claims)
        except TypeError:  # nested too deeply, or an integer of more than 64 bits
            raise _refuse("a claim has a number that is too large or is nested too deeply") from None
        if self.own.holds(data):
            raise _refuse("a claim holds one of the gateway's own secrets; have the issuer take it out")
        digest, said = hashlib.sha256(token).digest(), claims["aud"]
        if self._config.audience not in ([said] if isinstance(said, str) else said):
            digest = _bound(digest, audiences)
        self._remember(digest, subject, int(claims["exp"]) + self._config.leeway)
        return subject

    async def settled(self) -> None:
        """Return when no fetch is in progress."""
        if self._fetch is not None:
            await asyncio.wait([self._fetch])

    async def aclose(self) -> None:
        """Stop fetching, and close the client unless it was passed in."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)
        if self._owned and self._client is not None:
            await self._client.aclose()

    async def _key(self, kid: str | None, algorithm: str) -> pyjwt.PyJWK:
        key = self._find(kid, algorithm)
        if key is None:
            if task := self._refetch():
                await asyncio.wait([task])  # shared by all waiting calls: cancelling one does not cancel the fetch
            key = self._find(kid, algorithm)
        elif self._clock() - self._fetched > self._config.refresh:
            self._refetch()  # in the background: the old key stays valid until the issuer withdraws it
        if key is None and not self._keys:
            raise Refusal(
                "unauthenticated",
                "No token can be verified now, because the issuer's keys could not be fetched. Try again shortly; "
                "the gateway's log has the cause.",
                retry_after=_RETRY,
            )
        if key is None:
            raise _refuse("the issuer publishes no key for it (kid and alg)")
        return key

    def _find(self, kid: str | None, algorithm: str) -> pyjwt.PyJWK | None:
        if kid is not None:
            return self._keys.get((kid, algorithm))
        fitting = [key for (_, known), key in self._keys.items() if known == algorithm]
        return fitting[0] if len(fitting) == 1 else None  # without a key id, the key must be unambiguous

    def _refetch(self) -> asyncio.Task[None] | None:
        """The fetch in progress, or a new one; None if the last fetch was less than `_RETRY` seconds ago."""
        if self._fetch is not None and not self._fetch.done():
            return self._fetch
        if self._clock() - self._asked < _RETRY:
            return None
        self._asked = self._clock()
        self._fetch = asyncio.get_running_loop().create_task(self._load())
        return self._fetch

    async def _load(self) -> None:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMEOUT)
        try:
            response = await self._client.get(self._config.jwks_url, timeout=_TIMEOUT)
            response.raise_for_status()
            keys = self._parse(response.json())
        except Exception as error:  # on any fault of the issuer, tokens with known keys are still accepted
            # Only the class: the message of an HTTP error may contain the URL with its credentials.
            _log.warning("jwt: keys could not be fetched, the last fetched keys stay in use: %s", type(error).__name__)
            return
        self._fetched = self._clock()
        self._keys = keys
        self._subjects.clear()  # a key may have been withdrawn

    def _parse(self, document: object) -> Keys:
        entries = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ValueError("not a JWK set")
        keys: Keys = {}
        for entry in entries:
            for algorithm in self._config.algorithms:
                if _fits(entry, algorithm):
                    try:
                        keys[entry.get("kid"), algorithm] = pyjwt.PyJWK(entry, algorithm)
                    except pyjwt.PyJWTError:
                        continue  # skip a key that cannot be used
        if not keys:
            raise ValueError("no key of the set matches jwt.algorithms")
        return keys

    def _claims(self, token: bytes, key: pyjwt.PyJWK, audiences: Sequence[str]) -> dict[str, Any]:
        config = self._config
        try:
            return pyjwt.decode(
                token,
                key,
                algorithms=list(config.algorithms),
                audience=[config.audience, *audiences],
                issuer=config.issuer,
                leeway=config.leeway,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except pyjwt.MissingRequiredClaimError as error:
            raise _refuse(f"it has no claim {error.claim!r}") from None
        except (pyjwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            reason = next((words for kind, words in _REASONS if isinstance(error, kind)), "it is not well-formed")
            raise _refuse(reason) from None

    def _subject(self, claims: dict[str, Any]) -> Subject:
        config = self._config
        roles = claim(claims, config.roles_claim)
        if isinstance(roles, str):
            roles = roles.split()
        if not isinstance(roles, list):
            roles = []
        return Subject(
            _name(claims, config.agent_claim),
            _name(claims, config.team_claim),
            tuple(role for role in roles if isinstance(role, str)),
            claims,
        )

    def _remember(self, digest: bytes, subject: Subject, until: float) -> None:
        if len(self._subjects) >= _REMEMBERED:
            del self._subjects[next(iter(self._subjects))]
        self._subjects[digest] = (subject, until)


def _bound(digest: bytes, audiences: Sequence[str]) -> bytes:
    """What a token is remembered by that is accepted for these audiences only."""
    return b"\0".join([digest, *(audience.encode() for audience in audiences)])


def _fits(entry: object, algorithm: str) -> bool:
    """Whether a JWK may verify this algorithm: by its type, curve, `use` and `alg`."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return False
    kind, curve = _KEY_TYPES[algorithm]
    kid = entry.get("kid")
    return entry.get("kty") == kind and curve in (None, entry.get("crv")) and (kid is None or isinstance(kid, str))


def _name(claims: Mapping[str, Any], name: str) -> str:
    value = claim(claims, name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
        raise _refuse(f"its claim {name!r} must be a name of 1 to {_LONGEST_NAME} printable characters")
    return value


def _refuse(reason: str) -> Refusal:
    return Refusal("unauthenticated", f"The token is not accepted: {reason}.")
