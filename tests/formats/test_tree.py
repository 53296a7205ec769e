"""Reading a body: every text position is found, duplicate keys and deep nesting are refused."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import positions, tree
from gateway.errors import Refusal

SHAPE = tree.Shape(opaque=frozenset({"role", "id"}), json=frozenset({"arguments"}), blobs=frozenset({"image_url"}))
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def texts(body: object) -> list[str]:
    """The texts that the survey finds."""
    return [slot.text for slot in tree.parse(orjson.dumps(body), SHAPE, 64)[1].slots]


def test_texts_come_in_document_order_wherever_they_stand() -> None:
    """Known and unknown fields, lists and objects: every string is a text."""
    assert texts({"a": "1", "b": ["2", {"c": "3"}], "unknown": {"deep": [["4"]]}}) == ["1", "2", "3", "4"]


def test_structure_is_not_text_unless_it_holds_more_than_a_name() -> None:
    """A key of the table is skipped only while its value looks like the name it should be."""
    assert texts({"id": "call_1", "role": "user", "x": {"id": ""}}) == []
    assert texts({"id": "ann@example.org"}) == ["ann@example.org"]
    assert texts({"id": "4111 1111 1111 1111"}) == ["4111 1111 1111 1111"]


def test_json_inside_a_string_is_walked_and_written_back() -> None:
    """Tool-call arguments are judged by their value, not by their escapes."""
    inner = json.dumps({"to": "ann@example.org", "deep": {"arguments": json.dumps({"x": "y\n"})}})
    body, survey = tree.parse(orjson.dumps({"function": {"arguments": inner}}), SHAPE, 64)
    assert [slot.text for slot in survey.slots] == ["ann@example.org", "y\n"]
    positions.write(survey.slots[1], "z")
    assert positions.fold(survey.nested)
    outer = json.loads(body["function"]["arguments"])
    assert json.loads(outer["deep"]["arguments"]) == {"x": "z"}


def test_json_inside_a_string_that_is_none_is_text() -> None:
    """Broken arguments are still looked at."""
    assert texts({"arguments": '{"a": "ann@'}) == ['{"a": "ann@']


def test_a_key_twice_inside_arguments_makes_them_plain_text() -> None:
    """The value that the parser lost is looked at too."""
    assert texts({"arguments": '{"a": "4111", "a": "x"}'}) == ['{"a": "4111", "a": "x"}']


def test_unreadable_parts_are_counted() -> None:
    """An image is not text, inline or by address."""
    _, survey = tree.parse(orjson.dumps({"c": [{"image_url": {"url": "data:image/png;base64,AAAA"}}]}), SHAPE, 64)
    assert (survey.kinds, survey.slots) == ({"image": 1}, [])


DUPLICATES = {
    "plain": b'{"a": 1, "a": 2}',
    "nested": b'{"x": [{"a": 1, "a": 2}]}',
    "escaped": b'{"ab": 1, "a\\u0062": 2}',
    "masked by an escaped colon": b'{"a": 1, "a": "\\u003a"}',
}


@pytest.mark.parametrize("name", DUPLICATES)
def test_a_key_that_stands_twice_is_refused(name: str) -> None:
    """The gateway judges what the upstream reads: one key cannot have two values."""
    with pytest.raises(Refusal, match="twice"):
        tree.parse(DUPLICATES[name], SHAPE, 64)


@given(JSON.map(lambda value: {"root": value}), st.booleans())
def test_no_object_without_duplicates_is_refused(body: object, escape: bool) -> None:
    """The shortcut never takes a colon inside a string for a key."""
    raw = json.dumps(body, ensure_ascii=escape, indent=1).encode()
    assert tree.parse(raw, SHAPE, 64)[0] == body


@given(JSON, TEXT, TEXT)
def test_every_duplicate_is_found(value: object, key: str, text: str) -> None:
    """A duplicate key is found, whatever else the body contains."""
    name = json.dumps(key)
    raw = f'{{{name}: {json.dumps(value)}, "other{len(key)}": {json.dumps(text)}, {name}: {json.dumps(text)}}}'
    with pytest.raises(Refusal):
        tree.parse(raw.encode(), SHAPE, 64)


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b'"x"', b"{", b'{"a": \xff}', b'{"a": NaN}', b"{'a': 1}", b'{"a": 1} x', b"null"],
)
def test_what_is_not_one_object_is_refused(raw: bytes) -> None:
    """Malformed JSON, invalid UTF-8 and other roots get a clear error."""
    with pytest.raises(Refusal) as caught:
        tree.parse(raw, SHAPE, 64)
    assert caught.value.code == "invalid_request"


def test_deep_nesting_is_refused() -> None:
    """The depth limit holds, and a body that is much too deep is an ordinary error."""
    tree.parse(b'{"a":' * 63 + b"1" + b"}" * 63, SHAPE, 64)
    for depth in (70, 200_000):
        with pytest.raises(Refusal):
            tree.parse(b'{"a":' * depth + b"1" + b"}" * depth, SHAPE, 64)


def test_a_role_that_is_no_text_is_refused_or_walked_but_breaks_nothing() -> None:
    """Whatever stands in its place."""
    assert texts({"messages": [{"role": ["user"], "content": "a"}, {"role": {"x": "b"}, "content": "c"}]})


def test_a_key_that_tells_is_a_text_and_can_be_renamed() -> None:
    """It is renamed in place, after its neighbors; a name that exists gets a number."""
    metadata = {"ann@example.org": "x", "bob@example.org": "y", "n": 1}
    body = {"model": "m", "messages": [], "metadata": metadata}
    survey = tree.Survey(SHAPE)
    survey.walk(body)
    keys = [slot for slot in survey.slots if slot.text.endswith("example.org")]
    assert [positions.read(slot) for slot in keys] == ["ann@example.org", "bob@example.org"]
    for slot in keys:
        positions.write(slot, "<EMAIL>")
    assert list(metadata.items()) == [("<EMAIL>", "x"), ("<EMAIL>_2", "y"), ("n", 1)]
    assert [positions.read(slot) for slot in keys] == [None, None]
    positions.write(keys[0], "again")


def test_structure_counts_only_where_the_dialect_has_it() -> None:
    """An `id` in an unknown field is a text."""
    found = texts({"id": "call_1", "metadata": {"id": "DE89370400440532013000"}, "messages": [{"role": "user"}]})
    assert "DE89370400440532013000" in found
    assert "call_1" not in found


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0, 378282246310005, 6011000990139424])
def test_a_number_with_the_digits_of_a_card_is_a_text(number: float) -> None:
    """The digits of a number are a text; a replacement is a string, and an unchanged number stays a number."""
    body, survey = tree.parse(orjson.dumps({"a": {"pay": number}, "b": [number]}), SHAPE, 64)
    assert [slot.text for slot in survey.slots] == [str(int(number))] * 2
    assert [positions.read(slot) for slot in survey.slots] == [str(int(number))] * 2
    positions.write(survey.slots[0], "<CREDIT_CARD_1>")
    assert body == {"a": {"pay": "<CREDIT_CARD_1>"}, "b": [number]}


@pytest.mark.parametrize("number", [4111111111111112, 1763749399000, 1763749399000000, 2**53, 0.5, 4111111111111111.5])
def test_other_numbers_are_not(number: float) -> None:
    """A wrong check digit, times, fractions: numbers."""
    assert texts({"a": number, "b": {"c": [number]}}) == []
