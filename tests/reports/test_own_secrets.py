"""The gateway's own secrets are found by value, and caches reveal nothing about other teams."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway import budget
from gateway.budget import Budget
from gateway.call import Subject
from gateway.config.sections import Ner, Pii
from gateway.detect.injection import misspelt
from gateway.detect.injection.scoring import Evidence, Sign
from gateway.detect.secrets.own import ENTITY, OwnSecrets
from gateway.detect.sql.read import Reader
from gateway.dialects import leads, openai_ceilings, openai_tools
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.tree import Survey
from gateway.errors import Refusal
from gateway.ingress.workflow_ids import WorkflowIds
from gateway.policy.engines.memo import Memoized
from gateway.redaction.actions import Rules
from gateway.redaction.content import Contents
from gateway.redaction.names import Names
from gateway.redaction.taint import Taint
from gateway.redaction.texts import Texts
from gateway.serving.own_values import values
from gateway.texts import Finding, Slot
from line import config, running

KEY = "corp.key/of no known form 7"
CALL: Any = None


@given(st.lists(st.integers(0, 80), max_size=12), st.sampled_from([KEY, base64.b64encode(KEY.encode()).decode()]))
def test_a_key_leaves_in_no_piece_however_it_is_cut(cuts: list[int], said: str) -> None:
    """No part of the key left before the refusal, and of an encoded key no more than other texts may contain."""
    text = f"c co {said} after"
    guard, out, at = OwnSecrets([KEY]).guard(CALL), "", 0
    with pytest.raises(Refusal) as refused:  # noqa: PT012  (any of the pieces may be the one)
        for cut in [*sorted(cuts), len(text)]:
            out += guard.feed(text[at:cut])
            at = max(at, min(cut, len(text)))
    assert refused.value.code == "secret_blocked"
    assert KEY not in refused.value.message
    assert len(out) <= (5 if said == KEY else 8)


@given(st.lists(st.sampled_from(["c", "corp", ".key", "/of no", " known", "x", ""]), max_size=20))
def test_other_text_leaves_as_it_was(pieces: list[str]) -> None:
    """Beginnings of a key are held back and given in the end."""
    guard = OwnSecrets([KEY]).guard(CALL)
    assert "".join(map(guard.feed, pieces)) + guard.close() == "".join(pieces)


@pytest.mark.parametrize("size", [6, 11, 12, 13])
def test_values_of_fewer_than_12_characters_are_not_searched_for(size: int) -> None:
    """They are found in ordinary text; from 12 characters on, they are found everywhere."""
    value = "q7Zk2mXw9Lp4T"[:size]
    own, text = OwnSecrets([value]), f"it is {value}, is it not"
    found = size >= 12
    assert bool(own) is own.holds(text.encode()) is bool(own.found(text)) is found
    assert (value in own.hide(text)) is not found
    guard = own.guard(CALL)
    if found:
        with pytest.raises(Refusal):
            guard.feed(text)
    else:
        assert guard.feed(text) + guard.close() == text


def test_a_text_of_another_team_is_a_miss() -> None:
    """Counted: each team's first sight of a text is worked out, its second is not."""
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return 1

    def score(text: str) -> Evidence:
        asked.append(text)
        return (Sign("override", 0.9, 0.9),)

    slots = [Slot({}, "content", "a text of one team", "tool", None)]

    def scan(text: str) -> list[Finding]:
        asked.append(text)
        return []

    for read in (Texts(count, None).tokens, Texts(count, scan).find, Contents(score).read):
        asked.clear()
        for team in ("red", "red", "blue", "blue"):
            read(slots, team)
        assert len(asked) == 2


def test_an_id_of_another_team_is_a_miss() -> None:
    """Searched once for each team: who waits less for an id would learn that another team uses it."""
    asked: list[str] = []

    def scan(text: str) -> list[Finding]:
        asked.append(text)
        return []

    ids = WorkflowIds(scan, lambda kind, text: b"")
    for team in ("red", "red", "blue", "blue"):
        assert ids.kept(team, "ticket-of-one-team") == "ticket-of-one-team"
    assert len(asked) == 2


async def test_a_verdict_of_another_team_is_a_miss() -> None:
    """Also where the policy does not read the team, and all teams get the same verdict."""

    class Engine(Memoized):
        judged = 0

        async def _judge(self, document: Any, key: bytes) -> Any:
            self.judged += 1
            return {"allow": True}, self._inputs

    for read, apart in ((("action", "model"), 2), (("subject", "team"), 2), (("subject",), 2), ((), 2)):
        engine = Engine([read], volatile=False, sets_labels=False)
        for team in ("red", "red", "blue", "blue"):
            document = {"subject": {"team": team, "agent": "a"}, "action": {"model": "m"}}
            assert await engine.decide(document) == {"allow": True}
        assert engine.judged == apart, read


@pytest.mark.parametrize("text", ["Zibbet", "Zibbet came by. " * 4000], ids=["whole", "in pieces"])
async def test_a_name_of_another_team_is_a_miss(text: str) -> None:
    """A text, and each piece of a long one, is read for each team; what a team's own texts have in common, once."""
    asked: list[str] = []

    class Workers:
        async def find(self, texts: list[str], deadline: float, team: str) -> dict[str, list[Finding]]:
            asked.extend(texts)
            return {one: [] for one in texts}

    names = Names(Ner(), Workers())  # type: ignore[arg-type]
    read = []
    for team in ("red", "red", "blue", "blue"):
        for more in ("", " And more."):
            asked.clear()
            await names.add([Slot({}, "content", text + more, "user", None)], [], team)
            read.append(len(asked))
    first, second = read[:2]
    assert first > 0
    assert read == [first, second, 0, 0] * 2


@pytest.mark.parametrize("role", ["Tool", "tool ", "ipython", "FUNCTION", "whatever"])
def test_unusual_roles_count_as_a_tool(role: str) -> None:
    """An unusual role does not bypass the score."""
    slots = [Slot({}, "content", "a text of some length", role, None)]
    assert Contents(lambda _: (Sign("override", 0.9, 0.1),)).read(slots).injection == {"tool": 0.9}


def test_a_key_in_a_request_is_a_secret() -> None:
    """An agent that obtained a secret cannot send it on."""
    scan = OwnSecrets([KEY]).scanning(lambda _: [])
    assert [tuple(one) for one in scan(f"use {KEY}!")] == [(4, 4 + len(KEY), "SECRET_MESHGATE_KEY", 1.0)]
    assert scan("use no key") == []


def test_only_credentials_of_a_provider_are_secrets(tmp_path: Path) -> None:
    """Media types, addresses and flags are found in ordinary text."""
    raw = config(tmp_path, "http://127.0.0.1:9")
    name = next(iter(raw["providers"]))
    raw["providers"][name]["api_key"] = KEY
    raw["providers"][name]["headers"] = {
        "Accept": "application/json",
        "HTTP-Referer": "https://shop.example/",
        "OpenAI-Beta": "assistants=v2, more=v1",
        "X-Api-Key": "key of the header",
        "X-Auth": "Scheme credential-of-x",
        "Cookie": "a=1; session=value-of-the-cookie",
    }
    with running(tmp_path, raw) as line:
        found = set(values(line.gateway.runtime.config))
    assert {KEY, "key of the header", "credential-of-x", "value-of-the-cookie"} <= found
    assert not found & {"application/json", "https://shop.example/", "assistants=v2, more=v1"}


@pytest.mark.parametrize("action", ["allow", "mask", "redact", "block"])
def test_a_key_in_a_request_is_never_restored(action: Any) -> None:
    """For any action for the caller's secrets, and any rule for the type."""
    wanted = Pii(secrets=action, entities={ENTITY: "mask"}, rules=[{"match": {}, "default": "allow"}])  # type: ignore[arg-type]
    rules = Rules(wanted, str)
    expected = "block" if action == "block" else "redact"
    assert rules.base.of(ENTITY) == expected
    assert rules._first(Subject("a", "t"), "m", "p").of(ENTITY) == expected


@pytest.mark.parametrize("field", ["tools", "metadata", "response_format"])
@pytest.mark.parametrize("more", [{}, {"name": "x"}])
def test_a_role_outside_messages_says_nothing(field: str, more: dict[str, str]) -> None:
    """Nor does a role inside a message: only the role of the message itself counts."""
    entry = {"role": "assistant", "content": "a text that gives orders", **more}
    body = {
        "messages": [{"role": "tool", "content": [dict(entry)]}, {"role": "assistant", "content": "what it said"}],
        field: [dict(entry)],
    }
    survey = Survey(OPENAI_CHAT.shape)
    survey.walk(body)
    roles = {(slot.text, slot.role) for slot in survey.slots if slot.key == "content"}
    assert roles == {
        ("a text that gives orders", "tool"),
        ("what it said", "assistant"),
        ("a text that gives orders", ""),
    }


@pytest.mark.parametrize("key", [KEY, "clé/de-notre-maison-é7", "a" * 11 + "Z" * 90])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(("sign", "size"), [("%", 2), ("\\u", 4)])
@pytest.mark.parametrize("cuts", [[], [1, 3, 4, 9, 40], [5, 100, 200]])
def test_a_key_escaped_throughout_is_found(key: str, sign: str, size: int, cuts: list[int], *, upper: bool) -> None:
    """Each byte as `%XX`, each character as `\\uXXXX`, in either case: whole, in bytes and in pieces."""
    code = (key.encode() if size == 2 else key.encode("utf-16-be")).hex()
    code = code.upper() if upper else code
    said = "".join(sign + code[at : at + size] for at in range(0, len(code), size))
    own = OwnSecrets([key])
    assert own.holds(f"a {said} b".encode())
    guard, out = own.guard(CALL), ""
    with pytest.raises(Refusal):  # noqa: PT012  (any of the pieces may be the one)
        for low, high in pairwise([0, *cuts, len(said)]):
            out += guard.feed(said[low:high])
    assert sum(map(str.isalnum, out)) <= 3  # of the digits


def test_a_name_that_goes_on_record_is_no_key() -> None:
    """An unknown field of the request is named in the decision log, as models and tools are."""
    own = OwnSecrets([KEY])
    call = calls.call(raw=json.dumps({"model": "m", KEY: 1}).encode(), body={"model": "m", KEY: 1}, fields=[KEY])
    call.headers = [(b"authorization", b"Bearer mg-somebody")]
    with pytest.raises(Refusal) as caught:
        Taint(own, redacts=True).look(call)
    assert caught.value.code == "secret_blocked"


def test_sql_of_one_call_is_no_news_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are remembered within one call only: otherwise timing would reveal what another team sent."""
    seen: list[str] = []
    reader = Reader("postgres")
    before = reader._read

    def read(text: str, steps: list[int]) -> Any:
        seen.append(text)
        return before(text, steps)

    monkeypatch.setattr(reader, "_read", read)
    for _ in range(2):
        token = budget._current.set(Budget(3600))
        try:
            reader.read("SELECT 1")
            reader.read("SELECT 1")
        finally:
            budget._current.reset(token)
    assert seen == ["SELECT 1"] * 2


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (leads._read, ("account_of_ann",)),
        (openai_tools._may_run, ("web_search_of_ann",)),
        (openai_tools._offers, ("tools_of_ann",)),
        (openai_ceilings._speaks, ("max_tokens_of_ann", "")),
        (misspelt._corrected, ("ignroe",)),
    ],
)
def test_a_word_of_one_call_is_no_news_for_another(judge: Any, words: tuple[str, ...]) -> None:
    """Judged once within a call, and anew in the next: a cache of all calls would tell what another team sent."""
    kept = []
    for _ in range(2):
        token = budget._current.set(Budget(3600))
        try:
            told = {judge(*words), judge(*words)}
            assert len(told) == 1
            current = budget.current()
            assert current is not None
            kept.append(len(current.remembered))
        finally:
            budget._current.reset(token)
    assert kept[0] == kept[1] > 0
    assert judge(*words) in told


# Functions that remember results for all calls: docs/security.md says why each tells nothing.
REMEMBERING = {
    *("config/messages.py", "detect/core/index.py", "detect/personal/national.py", "detect/sql/forms.py"),
    *("config/prices.py", "detect/personal/patterns.py", "detect/personal/shapes.py", "dialects/delta_frame.py"),
    *("detect/sql/read.py", "detect/sql/tree.py", "record/telemetry.py", "stores/nodes.py", "stores/redis_keys.py"),
    *("policy/engines/rego/builtins/glob.py", "policy/engines/rego/builtins/graphql_schema.py"),
    *("limits/charges.py", "policy/engines/rego/builtins/regexes.py", "policy/engines/rego/types.py"),
}


def test_no_further_cache_of_all_calls() -> None:
    """A new one needs a key with the team, `budget.once`, or a line in the documentation."""
    root = Path(budget.__file__).parent
    cached = re.compile(r"lru_cache|functools\.cache\b|^@cache\b|import cache\b", re.MULTILINE)
    found = {str(file.relative_to(root)) for file in root.rglob("*.py") if cached.search(file.read_text())}
    assert found == REMEMBERING
