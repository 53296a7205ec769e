"""gateway.identity.identify and gateway.identity.jwks: accepted and refused credentials, and the messages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt as pyjwt
import pytest
import respx
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Subject
from gateway.config.grammar import Agent, Jwt
from gateway.detect.secrets.own import OwnSecrets
from gateway.errors import ConfigError, Refusal
from gateway.identity.identify import Identity, credential
from gateway.identity.jwks import Verifier
from gateway.identity.keyfiles import new_key, read_key_file

KEY = "mg-test-key"
JWKS = "https://id.example/jwks"
LIFE = 86400  # of a good token: they are made when the tests are collected, and a run may take long
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


@dataclass
class Record:
    """A key of the store."""

    sha256: str
    agent: str = "stored"
    team: str = "blue"
    roles: tuple[str, ...] = ("reader",)
    revoked: float | None = None
    expires: float | None = None
    id: str = "k1"


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", b"Bearer " + key.encode())]


def configured() -> Identity:
    return Identity({"bot": Agent(key_sha256=sha(KEY), team="red", roles=("developer",))})


async def refused(identity: Identity, headers: list[tuple[bytes, bytes]]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await identity.identify(headers)
    assert caught.value.code == "unauthenticated"
    assert caught.value.status == 401
    return caught.value


# Keys


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer mg-test-key"),
        (b"authorization", b"bearer   mg-test-key "),
        (b"authorization", b"BEARER mg-test-key"),
        (b"x-api-key", b"mg-test-key"),
    ],
)
async def test_key_names_its_agent(header: tuple[bytes, bytes]) -> None:
    """A configured key is found in either header, with the scheme in any case."""
    assert await configured().identify([header]) == Subject("bot", "red", ("developer",))


async def test_same_key_twice() -> None:
    """Both headers with the same key are one credential."""
    subject = await configured().identify([*bearer(KEY), (b"x-api-key", KEY.encode())])
    assert subject.agent == "bot"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([], "no key"),
        ([(b"authorization", b"Bearer ")], "no key"),
        ([(b"authorization", b"Basic bWctdGVzdC1rZXk=")], "Bearer <key>"),
        ([(b"authorization", b"mg-test-key")], "Bearer <key>"),
        ([(b"authorization", b"Bearer mg-test-key"), (b"x-api-key", b"mg-other")], "two different keys"),
        ([(b"x-api-key", b"mg-other"), (b"authorization", b"Bearer mg-test-key")], "two different keys"),
        ([(b"authorization", b"Bearer mg-test-key"), (b"authorization", b"Bearer x")], "two different keys"),
        ([(b"authorization", b"Bearer mg-wrong")], "unknown"),
        ([(b"authorization", b"Bearer \xff\xfe")], "unknown"),
        ([(b"authorization", b"Bearer a.b.c")], "unknown"),
    ],
)
async def test_refusals_say_what_to_do(headers: list[tuple[bytes, bytes]], words: str) -> None:
    """Every wrong or missing credential is refused with a specific message that does not repeat it."""
    refusal = await refused(configured(), headers)
    assert words in refusal.message
    assert "mg-" not in refusal.message
    assert "bWct" not in refusal.message


@given(st.binary(max_size=200))
def test_any_bytes_are_no_key(token: bytes) -> None:
    """No bytes but the key itself get in."""
    assert configured().lookup(token) is None


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"accept"]), st.binary(max_size=30))))
def test_any_headers_end_in_a_credential_or_a_refusal(headers: list[tuple[bytes, bytes]]) -> None:
    """Headers of any content give one non-empty credential or the refusal, nothing else."""
    with contextlib.suppress(Refusal):
        assert credential(headers)


async def test_store_keys_come_and_go() -> None:
    """Keys of the store are good as soon as they are there, and refused as soon as they are revoked."""
    identity = configured()
    await refused(identity, bearer("mg-stored"))
    identity.update_keys([Record(sha("mg-stored"))])
    assert (await identity.identify(bearer("mg-stored"))).team == "blue"
    identity.update_keys([Record(sha("mg-stored"), revoked=1.0)])
    await refused(identity, bearer("mg-stored"))
    assert (await identity.identify(bearer(KEY))).agent == "bot"


async def test_a_key_ends_when_it_expires() -> None:
    """A key is valid until its expiry, which the refusal names; its last use is recorded."""
    identity = configured()
    identity.update_keys([Record(sha("mg-stored"), expires=time.time() + 60)])
    assert (await identity.identify(bearer("mg-stored"))).team == "blue"
    assert list(identity.used) == ["k1"]
    identity.update_keys([Record(sha("mg-stored"), expires=0.0)])
    assert "expired on 1970-01-01" in (await refused(identity, bearer("mg-stored"))).message


async def test_revoking_beats_the_configuration() -> None:
    """A key that the store knows as revoked is refused even if the configuration still names it."""
    identity = configured()
    identity.update_keys([Record(sha(KEY), revoked=1.0)])
    await refused(identity, bearer(KEY))


async def test_agent_without_key_has_none() -> None:
    """An agent without a key cannot be used with an empty key."""
    identity = Identity({"bot": Agent(team="red")})
    await refused(identity, bearer(""))
    assert identity.lookup(b"") is None


# Key files


async def test_missing_key_file_is_made(tmp_path: Path) -> None:
    """A missing key file is created with a new key, readable by its owner only, and keeps this key."""
    path = tmp_path / "var" / "demo.key"
    agents = {"demo": Agent(key_file=str(path), team="demo")}
    identity = Identity(agents)
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["demo.key"]
    assert (await identity.identify(bearer(key))).agent == "demo"
    assert (await Identity(agents).identify(bearer(key))).agent == "demo"


def test_mounted_key_file_is_read(tmp_path: Path) -> None:
    """The key of an existing file is taken without its line end."""
    path = tmp_path / "key"
    path.write_text("sk-mounted\r\n")
    assert read_key_file(path) == "sk-mounted"


@pytest.mark.parametrize("content", [b"", b"\n", b"two keys", b"\xff\xff"])
def test_useless_key_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A key file without exactly one key stops the start and names the file."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"key_file .*key: "):
        read_key_file(path)


def test_first_of_two_writers_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes without a file agree on the key of the first process."""
    path = tmp_path / "key"
    path.write_text("mg-first\n")
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert read_key_file(path) == "mg-first"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_fresh_keys_differ() -> None:
    """New keys have one form and do not repeat."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == 46 and key.startswith("mg-") and key[3:].isalnum() for key in keys)


# JWT


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    kind = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next(alg for base, alg in kind.items() if isinstance(key, base))
    algorithm = pyjwt.get_algorithm_by_name(name)
    entry = json.loads(algorithm.to_jwk(key.public_key()))
    return {**entry, **({"kid": kid} if kid else {}), **more}


KEYS = {"keys": [jwk(RSA, "r"), jwk(EC, "e"), jwk(EC384, "e3"), jwk(ED, "d")]}


def settings(**more: Any) -> Jwt:
    return Jwt.model_validate({"jwks_url": JWKS, "issuer": "https://id.example", "audience": "meshgate", **more})


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r", drop: str = "", **claims: Any) -> str:
    now = int(time.time())
    body = {
        "iss": "https://id.example",
        "aud": "meshgate",
        "exp": now + LIFE,
        "sub": "planner",
        "team": "red",
        "roles": ["reader", "writer"],
        **claims,
    }
    body.pop(drop, None)
    return pyjwt.encode(body, key, algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def issuer() -> Iterator[respx.Route]:
    """The issuer's JWKS, by default with all keys."""
    with respx.mock:
        yield respx.get(JWKS).mock(return_value=httpx.Response(200, json=KEYS))


async def test_token_names_its_agent(issuer: respx.Route) -> None:
    """A good token becomes agent, team and roles, with its claims for the policies; the keys are fetched once."""
    identity = Identity({}, settings())
    assert not issuer.called
    for _ in range(2):
        subject = await identity.identify(bearer(token()))
        assert (subject.agent, subject.team, subject.roles) == ("planner", "red", ("reader", "writer"))
        assert subject.claims["iss"] == "https://id.example"
    assert issuer.call_count == 1
    await identity.aclose()


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "PS256", "r"), (EC, "ES256", "e"), (EC384, "ES384", "e3"), (ED, "EdDSA", "d")]
)
async def test_each_algorithm(issuer: respx.Route, key: Any, algorithm: str, kid: str) -> None:
    """Every signature that is allowed verifies with the key type it needs."""
    identity = Identity({}, settings(algorithms=[algorithm]))
    assert (await identity.identify(bearer(token(key, algorithm, kid)))).agent == "planner"
    await identity.aclose()


def unsigned() -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{token().split('.')[1]}."


def with_public_key_as_secret() -> str:
    # The classic confusion of RS256 and HS256: the public key, known to all, used as a shared secret.
    secret = KEYS["keys"][0]["n"].encode()
    return pyjwt.encode({"sub": "x"}, secret, "HS256", headers={"kid": "r"})


BAD = [
    (token(exp=int(time.time()) - 60), "expired"),
    (token(drop="exp"), "no claim 'exp'"),
    (token(drop="aud"), "no claim 'aud'"),
    (token(drop="iss"), "no claim 'iss'"),
    (token(nbf=int(time.time()) + 86400), "not valid yet"),
    (token(iss="https://evil.example"), "another issuer"),
    (token(aud="other"), "another audience"),
    (token(drop="team"), "claim 'team'"),
    (token(team=""), "claim 'team'"),
    (token(sub="a\nb"), "claim 'sub'"),
    (token(sub="a" * 1000), "claim 'sub'"),
    (token(exp="soon"), "well-formed"),
    (token(exp=10**400), "too large"),
    (token(exp=float("inf")), "well-formed"),
    (token(depth=10**30), "too large"),
    (token(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "signature"),
    (token()[:-8] + "AAAAAAAA", "signature"),
    (token(EC384, "ES384", "e3"), "algorithm"),
    (unsigned(), "algorithm"),
    (with_public_key_as_secret(), "algorithm"),
    (token(EC, "ES256", "r"), "publishes no key"),
    (token(kid="unknown"), "publishes no key"),
    ("a.b.c", "well-formed"),
    ("..", "well-formed"),
    (token().replace(".", ".AAAA", 1), "signature"),
]


@pytest.mark.parametrize(("bad", "words"), BAD, ids=[words for _, words in BAD])
async def test_bad_tokens(issuer: respx.Route, bad: str, words: str) -> None:
    """Every invalid token is refused, with a specific message that contains no part of the token."""
    identity = Identity({}, settings())
    refusal = await refused(identity, bearer(bad))
    assert words in refusal.message
    assert not any(part in refusal.message for part in bad.split(".") if len(part) > 4)
    await identity.aclose()


SECRET = "prov/ider+of no known form 7"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": f"agent {SECRET}"},
        {"team": SECRET},
        {"roles": ["reader", SECRET]},
        {"note": {"deep": [SECRET]}},
        {SECRET: 1},
        {"sub": base64.b64encode(SECRET.encode()).decode()},
    ],
    ids=["agent", "team", "role", "another claim", "name of a claim", "encoded"],
)
async def test_a_claim_with_a_secret_of_the_gateway(issuer: respx.Route, claims: dict[str, Any]) -> None:
    """Names are recorded and a policy gets all claims: the token is refused, and the refusal does not repeat it."""
    identity = Identity({}, settings())
    identity.refuse_secrets(OwnSecrets([SECRET]))
    for _ in range(2):
        refusal = await refused(identity, bearer(token(**claims)))
        assert "one of the gateway's own secrets" in refusal.message
        assert not OwnSecrets([SECRET]).holds(refusal.message.encode())
    assert (await identity.identify(bearer(token()))).agent == "planner"
    await identity.aclose()


async def test_leeway(issuer: respx.Route) -> None:
    """Clocks may differ by the leeway."""
    identity = Identity({}, settings(leeway="2min"))
    assert (await identity.identify(bearer(token(exp=int(time.time()) - 60)))).agent == "planner"
    await identity.aclose()


async def test_nested_claims(issuer: respx.Route) -> None:
    """A claim may be named by a path; a claim with dots in its name comes first; roles may be words in a string."""
    identity = Identity({}, settings(team_claim="https://x.example/team", roles_claim="realm.roles"))
    claims: dict[str, Any] = {"https://x.example/team": "green", "realm": {"roles": "admin reader"}}
    subject = await identity.identify(bearer(token(**claims)))
    assert (subject.team, subject.roles) == ("green", ("admin", "reader"))
    await identity.aclose()


async def test_token_without_key_id(issuer: respx.Route) -> None:
    """Without a key id, there must be exactly one suitable key."""
    identity = Identity({}, settings())
    assert (await identity.identify(bearer(token(kid=None)))).agent == "planner"
    issuer.mock(return_value=httpx.Response(200, json={"keys": [jwk(RSA, "a"), jwk(RSA, "b")]}))
    other = Identity({}, settings())
    await refused(other, bearer(token(kid=None)))
    await identity.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    "entry",
    [
        jwk(RSA, "r", use="enc"),
        jwk(RSA, "r", alg="RS512"),
        {"kty": "oct", "kid": "r", "k": "c2VjcmV0"},
        jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "r"),
        {"kty": "RSA", "kid": "r", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": 7},
        "garbage",
    ],
)
async def test_unfit_keys_are_not_used(issuer: respx.Route, entry: object) -> None:
    """Keys for another use, of another kind, too short or broken verify nothing, and do not spoil the others."""
    issuer.mock(return_value=httpx.Response(200, json={"keys": [entry, jwk(EC, "e")]}))
    identity = Identity({}, settings())
    await refused(identity, bearer(token()))
    assert (await identity.identify(bearer(token(EC, "ES256", "e")))).agent == "planner"
    await identity.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"location": "https://evil.example"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": []}),
        httpx.ConnectTimeout("https://user:secret@id.example did not answer"),
    ],
)
async def test_issuer_down_from_the_start(
    issuer: respx.Route, answer: httpx.Response | httpx.HTTPError, caplog: pytest.LogCaptureFixture
) -> None:
    """Without keys, every token is refused, the message does not blame the token, and the log contains no secret."""
    issuer.mock(side_effect=[answer])
    identity = Identity({"bot": Agent(key_sha256=sha(KEY), team="red")}, settings())
    refusal = await refused(identity, bearer(token()))
    assert "could not be fetched" in refusal.message
    assert refusal.retry_after
    assert "secret" not in caplog.text
    assert (await identity.identify(bearer(KEY))).agent == "bot"
    await identity.aclose()


class Clock:
    """A clock that is advanced by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_rotation(issuer: respx.Route) -> None:
    """With a new key id, keys are fetched again, but not twice within ten seconds."""
    issuer.mock(return_value=httpx.Response(200, json={"keys": [jwk(EC, "e")]}))
    clock = Clock()
    verifier = Verifier(settings(), clock=clock)
    await verifier.verify(token(EC, "ES256", "e").encode())
    for _ in range(3):
        with pytest.raises(Refusal):
            await verifier.verify(token().encode())
    assert issuer.call_count == 1
    issuer.mock(return_value=httpx.Response(200, json=KEYS))
    clock.now += 11
    assert (await verifier.verify(token().encode())).agent == "planner"
    assert issuer.call_count == 2
    await verifier.aclose()


async def test_many_first_callers_share_one_fetch(issuer: respx.Route) -> None:
    """Concurrent calls wait for one fetch; a cancelled call does not cancel the fetch."""
    gate = asyncio.Event()

    async def slowly(request: httpx.Request) -> httpx.Response:
        await gate.wait()
        return httpx.Response(200, json=KEYS)

    issuer.mock(side_effect=slowly)
    identity = Identity({}, settings())
    waiting = [asyncio.create_task(identity.identify(bearer(token(jti=str(i))))) for i in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [r.agent for r in results[1:] if isinstance(r, Subject)] == ["planner"] * 4
    assert issuer.call_count == 1
    await identity.aclose()


async def test_old_keys_stay_while_the_issuer_is_down(issuer: respx.Route) -> None:
    """If keys are due and the issuer fails, the old keys stay valid; once it is back, a withdrawn key ends."""
    clock = Clock()
    verifier = Verifier(settings(refresh=300), clock=clock)
    raw = token().encode()
    digest = hashlib.sha256(raw).digest()
    subject = await verifier.verify(raw)
    assert verifier.cached(digest) == subject

    clock.now += 301
    issuer.mock(return_value=httpx.Response(503))
    assert verifier.cached(digest) is None
    assert (await verifier.verify(raw)).agent == "planner"
    await verifier.settled()
    assert (await verifier.verify(raw)).agent == "planner"

    clock.now += 11
    issuer.mock(return_value=httpx.Response(200, json={"keys": [jwk(EC, "e")]}))
    assert (await verifier.verify(raw)).agent == "planner"
    await verifier.settled()
    assert verifier.cached(digest) is None
    with pytest.raises(Refusal):
        await verifier.verify(raw)
    await verifier.aclose()


async def test_verified_token_is_remembered_until_it_expires(
    issuer: respx.Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast path knows a verified token, and forgets it at its expiry plus leeway."""
    identity = Identity({}, settings())
    raw = token()
    assert identity.lookup(raw.encode()) is None
    await identity.identify(bearer(raw))
    assert identity.lookup(raw.encode()) is not None
    later = time.time() + LIFE + 31
    monkeypatch.setattr(time, "time", lambda: later)
    assert identity.lookup(raw.encode()) is None
    await identity.aclose()


async def test_memory_is_bounded(issuer: respx.Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest verified tokens are dropped for new tokens."""
    monkeypatch.setattr("gateway.identity.jwks._REMEMBERED", 2)
    identity = Identity({}, settings())
    tokens = [token(jti=str(i)) for i in range(3)]
    for raw in tokens:
        await identity.identify(bearer(raw))
    assert [identity.lookup(raw.encode()) is not None for raw in tokens] == [False, True, True]
    await identity.aclose()


async def test_reload_keeps_the_keys(issuer: respx.Route) -> None:
    """After a reload, fetched keys stay in use, unless they now come from another URL."""
    before = Identity({}, settings())
    await before.identify(bearer(token()))
    issuer.mock(return_value=httpx.Response(503))
    after = Identity({}, settings(team_claim="sub"), previous=before)
    elsewhere = Identity({}, settings(jwks_url=JWKS + "?v=2"), previous=before)
    await before.aclose()
    assert (await after.identify(bearer(token()))).team == "planner"
    await refused(elsewhere, bearer(token()))
    await after.aclose()
    await elsewhere.aclose()


async def test_closing_while_a_call_waits(issuer: respx.Route) -> None:
    """A call that waits for the keys when they are given up is refused, not cancelled."""
    asked = asyncio.Event()

    async def never(request: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    issuer.mock(side_effect=never)
    identity = Identity({}, settings())
    waiting = asyncio.create_task(identity.identify(bearer(token())))
    await asked.wait()
    await identity.aclose()
    with pytest.raises(Refusal, match="could not be fetched"):
        await waiting
