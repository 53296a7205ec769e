"""Rules that disagree: the higher class wins, obligations are merged, the explanation names all rules."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.explanation import explain
from gateway.policy.verdict import CLASSES, read
from gateway.redaction.actions import ORDER


def deny(code: str, cls: str) -> dict[str, str]:
    return {"code": code, "class": cls, "message": f"{code} says no"}


def test_an_allow_of_a_higher_class_overrules() -> None:
    """A deny of a lower class than the allow has no effect; a deny of the same class has."""
    result = {"allow": True, "class": "compliance", "deny": [deny("dear", "cost")]}
    assert read(result, "v").allow
    assert not read({**result, "class": "cost"}, "v").allow
    assert not read({**result, "class": None}, "v").allow
    assert not read({**result, "allow": False}, "v").allow


def test_obligations_of_several_rules_become_one() -> None:
    """The strictest redaction, the lowest limit, the union of names, the route of the highest class."""
    obligations = [
        {"code": "a", "class": "cost", "limit": {"max_tokens": 100}, "route": "cheap", "redact": ["EMAIL"]},
        {"code": "b", "class": "safety", "limit": {"max_tokens": 500, "x": 1}, "route": "safe", "labels": ["y"]},
        {"code": "c", "class": "compliance", "redact": {"EMAIL": "block", "PHONE": "hash"}, "labels": ["x", "y"]},
        {"code": "d", "sql": ["select", "insert"], "attributes": {"customer": "one"}, "strip_tools": ["t"]},
        {"code": "e", "class": "cost", "sql": ["select"], "attributes": {"customer": "two"}, "no_restore": ["mail_*"]},
    ]
    wants = read({"allow": True, "obligations": obligations}, "v").obligations
    assert wants.limit == {"max_tokens": 100, "x": 1}
    assert wants.route == "safe"
    assert wants.redact == {"EMAIL": "block", "PHONE": "hash"}
    assert wants.labels == ("x", "y")
    assert wants.sql == ("select",)
    assert wants.attributes == {"customer": "one"}
    assert (wants.strip_tools, wants.no_restore) == (("t",), ("mail_*",))


def test_approvals_are_joined() -> None:
    """All approvers of all rules must approve; other details come from the highest class."""
    obligations = [
        {"code": "a", "class": "cost", "require_approval": {"by": ["lead"], "within": "1h"}},
        {"code": "b", "class": "safety", "require_approval": {"by": ["security", "lead"], "within": "10min"}},
        {"code": "c", "require_approval": False},
    ]
    wants = read({"allow": True, "obligations": obligations}, "v").obligations
    assert wants.require_approval == {"by": ["security", "lead"], "within": "10min"}


_OBLIGATION = st.fixed_dictionaries(
    {"code": st.sampled_from("abcd"), "class": st.sampled_from(sorted(CLASSES))},
    optional={
        "limit": st.dictionaries(st.sampled_from(["max_tokens", "n"]), st.integers(0, 9)),
        "redact": st.dictionaries(st.sampled_from(["EMAIL", "PHONE"]), st.sampled_from(ORDER)),
        "labels": st.lists(st.sampled_from("xyz")),
        "sql": st.lists(st.sampled_from(["select", "insert"])),
        "strip_tools": st.lists(st.sampled_from("tu")),
    },
)


@example(obligations=[{"code": "a", "class": "safety", "labels": ["x"] * 33}], order=random.Random(1))
@given(obligations=st.lists(_OBLIGATION, max_size=5), order=st.randoms())
def test_nothing_that_a_rule_demands_is_lost(obligations: list[dict[str, Any]], order: Any) -> None:
    """In any order, the merged obligations are at least as strict as each of them."""
    whole = read({"allow": True, "obligations": obligations}, "v").obligations
    shuffled = list(obligations)
    order.shuffle(shuffled)
    assert read({"allow": True, "obligations": shuffled}, "v").obligations == whole
    for obligation in obligations:
        one = read({"allow": True, "obligations": obligation}, "v").obligations
        assert all(whole.limit[name] <= value for name, value in one.limit.items())
        assert all(ORDER.index(whole.redact[it]) >= ORDER.index(action) for it, action in one.redact.items())
        assert set(one.labels) <= set(whole.labels)
        assert set(one.strip_tools) <= set(whole.strip_tools)
        assert one.sql is None or set(whole.sql or ()) <= set(one.sql)


@pytest.mark.parametrize(
    ("obligations", "words"),
    [
        ("no", "an object, or a set of objects"),
        ([{"limit": {}}, "x"], "an object, or a set of objects"),
        ([{"code": "x y"}], "the code of an obligation"),
        ([{"code": "x", "class": "law"}], "the class of x"),
        ([{"code": "x", "lables": []}], "unknown key 'lables'"),
    ],
)
def test_malformed_obligations(obligations: object, words: str) -> None:
    """A misspelt demand is not met in silence."""
    with pytest.raises(PolicyUnavailable, match=words):
        read({"allow": True, "obligations": obligations}, "v")


RULES = [SimpleNamespace(file="p/cost.rego", source='package x\ndeny contains {\n"code": "dear",\n}'),
         SimpleNamespace(file="p/law.rego", source='deny contains {"code":"law"}')]  # fmt: skip


def test_an_explanation_names_everyone() -> None:
    """The rule that won and why, the rules that lost, and the place of each."""
    result = {
        "allow": True,
        "deny": [deny("dear", "cost"), deny("law", "compliance")],
        "obligations": {"labels": ["x"]},
    }
    told = explain(result, RULES)
    assert told.verdict == "denied by law of class compliance (90)"
    assert [(one.code, one.outcome, one.place) for one in told.spoke] == [
        ("law", "wins", "p/law.rego:1"),
        ("dear", "denies too, of a lower class than law", "p/cost.rego:3"),
        ("obligations", "nothing: the call is denied", ""),
    ]


def test_an_explanation_of_an_allow() -> None:
    """Overruled denies, and obligations that lost against others."""
    obligations = [
        {"code": "safe", "class": "safety", "route": "a", "limit": {"n": 5}},
        {"code": "thrift", "class": "cost", "route": "b", "limit": {"n": 3}},
    ]
    result = {"allow": True, "class": "safety", "deny": [deny("dear", "cost")], "obligations": obligations}
    told = explain(result, [])
    assert told.verdict == "allowed by class safety (100)"
    assert {one.code: one.outcome for one in told.spoke} == {
        "dear": "overruled by the allow of class safety",
        "safe": "holds, but for limit.n, where another rule is stricter or of a higher class",
        "thrift": "holds, but for route, where another rule is stricter or of a higher class",
    }
    assert told.obligations == {"route": "a", "limit": {"n": 3}}
    assert explain({"allow": False}, []).verdict == "denied, because no rule allows it"
    assert explain({"allow": True}, []).spoke == ()


@pytest.mark.parametrize("cls", [["safety"], {"a": 1}, 1, "Safety"])
def test_a_class_that_is_none(cls: object) -> None:
    """For a value of any other type, the result is malformed, and there is no verdict."""
    with pytest.raises(PolicyUnavailable, match="class must be one of"):
        read({"allow": True, "class": cls}, "v")
