"""The memo: inputs have the same key exactly if a policy cannot distinguish them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.engines.memo import Memo, Projection

PATHS = [("a", "b"), ("a", "c", "d"), ("e",), ("f", "g")]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdefg"), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from("abcdefgh"), values, max_size=6)


@given(documents, documents)
def test_equal_keys_for_equal_parts(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Two inputs share a key if and only if the engine gets the same document for both."""
    projection = Projection(PATHS)
    assert (projection.key(one) == projection.key(two)) == (projection.term(one) == projection.term(two))


@given(documents)
def test_the_part_holds_all_that_is_read(document: dict[str, Any]) -> None:
    """The value at a path that is read is the same in the part, or missing in both."""
    part = orjson.loads(Projection(PATHS).term(document))
    for path in PATHS:
        ours, theirs = part, document
        for name in path:
            ours = ours.get(name, KeyError) if isinstance(ours, dict) else ours
            theirs = theirs.get(name, KeyError) if isinstance(theirs, dict) else theirs
        assert ours == theirs


def test_what_is_not_read_does_not_count() -> None:
    """Another correlation id is another call with the same verdict."""
    projection = Projection([("action", "model")])
    one = {"action": {"model": "m", "stream": True}, "context": {"correlation_id": "1"}}
    two = {"action": {"model": "m", "stream": False}, "context": {"correlation_id": "2"}}
    assert projection.key(one) == projection.key(two)
    assert projection.term(one) == b'{"action":{"model":"m"}}'


def test_missing_and_null_differ() -> None:
    """An undefined name differs from null."""
    projection = Projection([("a", "b")])
    inputs: list[dict[str, Any]] = [{"a": {"b": None}}, {"a": {}}, {}, {"a": None}, {"a": [None]}]
    assert len({projection.key(document) for document in inputs}) == 5


def test_reading_everything() -> None:
    """A policy that reads the bare input gets all of it, in any order of keys."""
    projection = Projection([("a", "b"), ()])
    assert projection.key({"x": 1, "y": 2}) == projection.key({"y": 2, "x": 1}) == b'{"x":1,"y":2}'


def test_no_json() -> None:
    """Values that JSON cannot represent have no key."""
    with pytest.raises(TypeError):
        Projection([("a", "b")]).key({"a": {"b": object()}})


def test_the_least_lately_used_goes_first() -> None:
    """The memo is bounded, and a hit keeps an entry."""
    memo = Memo(2)
    memo.put(b"1", {"n": 1})
    memo.put(b"2", {"n": 2})
    assert memo.get(b"1") == {"n": 1}
    memo.put(b"3", {"n": 3})
    assert (len(memo), memo.get(b"1"), memo.get(b"2"), memo.get(b"3")) == (2, {"n": 1}, None, {"n": 3})
