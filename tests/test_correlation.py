"""gateway.ingress.correlation: signed tokens for workflows, which only the gateway can create."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.grammar import Config
from gateway.errors import Refusal
from gateway.ids import is_correlation_id
from gateway.ingress.correlation import LONGEST, Signer, signer

NOW = 1_800_000_000.0
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,92}", fullmatch=True)


class Clock:
    """A clock that is advanced by hand."""

    now = NOW

    def __call__(self) -> float:
        return self.now


def made(key: bytes = b"k" * 32, clock: Clock | None = None) -> Signer:
    return Signer(key, clock or Clock())


@given(IDS, st.text(min_size=1), st.integers(60, 366 * 86400))
def test_a_token_reads_back_and_fits_the_header(id: str, team: str, ttl: int) -> None:
    """For any id and team: the token has the form of a correlation id, and returns the bare id."""
    token = made().token(team, id, ttl)
    assert is_correlation_id(token)
    assert made().read(team, token) == id


def test_longest_id() -> None:
    """An id that leaves no room for the signature is refused when it is opened, with the bound."""
    assert len(made().token("t", "i" * LONGEST, 60)) <= 128
    with pytest.raises(Refusal, match=str(LONGEST)):
        made().token("t", "i" * (LONGEST + 1), 60)


@given(st.data())
def test_an_altered_token_is_refused(data: st.DataObject) -> None:
    """A token with any changed character is refused, and the message says what to do."""
    token = made().token("red", "ticket-4711", 3600)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABab01._-").filter(lambda c: c != token[at]))
    with pytest.raises(Refusal, match="meshgate workflows open") as caught:
        made().read("red", token[:at] + other + token[at + 1 :])
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)


@given(IDS, IDS, st.text(max_size=8), st.text(max_size=8))
def test_a_token_is_of_one_team_and_one_workflow(id: str, other: str, team: str, rival: str) -> None:
    """A token names nothing but its own workflow: not another team's, not under another key."""
    token = made().token(team, id, 60)
    if rival != team:
        with pytest.raises(Refusal, match="forged"):
            made().read(rival, token)
    if other != id:
        with pytest.raises(Refusal, match="forged"):
            made().read(team, other + token[len(id) :])
    with pytest.raises(Refusal, match="forged"):
        made(b"x" * 32).read(team, token)


def test_expiry() -> None:
    """A token is valid exactly until its expiry, which is part of the signed data."""
    clock = Clock()
    token = made(clock=clock).token("red", "w", 60)
    clock.now = NOW + 59.9
    assert made(clock=clock).read("red", token) == "w"
    clock.now = NOW + 60
    with pytest.raises(Refusal, match="expired 0 s ago"):
        made(clock=clock).read("red", token)
    id, expiry, mac = token.rsplit(".", 2)
    with pytest.raises(Refusal, match="forged"):
        made(clock=clock).read("red", f"{id}.{int(expiry) + 3600}.{mac}")


def test_a_bare_id_is_no_token() -> None:
    """The caller's own id, a trace id, the first parts of a token: all are refused."""
    whole = made().token("red", "w", 60)
    for token in ("w", "0af7651916cd43dd8448eb211c80319c", whole.rpartition(".")[0], "a.b.c"):
        with pytest.raises(Refusal, match="not a signed correlation token"):
            made().read("red", token)


def test_the_key_is_the_vaults(tmp_path: Path) -> None:
    """Gateways with one state accept each other's tokens; shared state without a configured key is refused."""

    def settings(state: str) -> Config:
        return Config(providers={}, models={}, state=state, quotas={"strict": True})  # type: ignore[arg-type]

    one, two = (signer(settings(f"sqlite:///{tmp_path}/state.db")) for _ in range(2))
    assert one
    assert two
    assert two.read("red", one.token("red", "w", 60)) == "w"
    with pytest.raises(ValueError, match=r"pii\.vault_key"):
        settings("redis://127.0.0.1/0")
    assert signer(Config(providers={}, models={})) is None
