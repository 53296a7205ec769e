"""Numbers that a float cannot represent leave unchanged, also if the body is edited."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import literals, numbers, positions, tree
from gateway.dialects.openai_tables import SHAPE

WEI = "1000000000000000000000001"
NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=25).map(lambda value: format(value, "f")),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from([WEI, "0.1", "1E5", "0.30000000000000004", "123456789012345678.9", "-0.0"]),
)


def exactly(text: str | bytes) -> Any:
    """The value of a JSON text, with all digits."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


@settings(deadline=None)
@given(st.lists(NUMBERS, max_size=6))
def test_a_body_keeps_its_numbers(literals: list[str]) -> None:
    """In a body, and in JSON inside a string of it."""
    listed = f"[{', '.join(literals)}]"
    raw = f'{{"x": {{"deep": [{listed}, "text"]}}, "arguments": {json.dumps(f"{{{chr(34)}n{chr(34)}: {listed}}}")}}}'
    body, survey = tree.parse(raw.encode(), SHAPE, 64)
    for nested in survey.nested:
        nested.edited = True
    positions.fold(survey.nested)
    left = orjson.dumps(body)
    expected = exactly(listed)
    listed_left = exactly(left)["x"]["deep"][0]
    assert [float(one) for one in listed_left] == [float(one) for one in expected]
    for one, came in zip(listed_left, expected, strict=True):
        assert one == came or came != came.to_integral_value()  # of a fraction what a double keeps
    assert exactly(exactly(left)["arguments"])["n"] == expected


def test_an_edited_body_and_edited_arguments() -> None:
    """A sum in wei next to a masked value."""
    arguments = f'{{"to": "ann@example.org", "wei": {WEI}, "part": 0.1234567890123456789}}'
    raw = json.dumps({"messages": [{"role": "assistant", "function": {"arguments": arguments}}], "seed": 0}).replace(
        '"seed": 0', f'"seed": {WEI}'
    )
    body, survey = tree.parse(raw.encode(), SHAPE, 64)
    positions.write(next(slot for slot in survey.slots if "@" in slot.text), "<EMAIL_1>")
    positions.fold(survey.nested)
    left = orjson.dumps(body).decode()
    assert f'"seed":{WEI}' in left
    assert body["messages"][0]["function"]["arguments"] == (
        f'{{"to": "<EMAIL_1>", "wei": {WEI}, "part": 0.1234567890123456789}}'
    )


TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(TEXT, JSON), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_only_changed_strings_are_written_again(value: Any, indent: Any, ascii_only: bool) -> None:
    """Blanks, escapes and numbers stay; changed strings have their new value."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert literals.rewritten(text, json.loads(text)) == text

    def shout(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: shout(inner) for name, inner in node.items()}
        if isinstance(node, list):
            return [shout(inner) for inner in node]
        return f'{node}"\\\n!' if isinstance(node, str) else node

    assert json.loads(literals.rewritten(text, shout(json.loads(text)))) == shout(value)


def test_a_file_in_an_argument_keeps_its_lines() -> None:
    """JSON in a string of the arguments: values are written at any depth, and the layout stays."""
    deep = '{\n  "to": "<X>",\n  "n": [1, 2.50]\n}'
    arguments = json.dumps({"path": "a.json", "content": json.dumps({"inner": deep}, indent=4)})
    body, survey = tree.parse(orjson.dumps({"function": {"arguments": arguments}}), SHAPE, 64)
    positions.write(next(slot for slot in survey.slots if slot.text == "<X>"), 'Ann "the\\cat"\n')
    positions.fold(survey.nested)
    outer = json.loads(body["function"]["arguments"])
    assert outer["content"].startswith('{\n    "inner": ')
    assert json.loads(outer["content"])["inner"] == deep.replace('"<X>"', json.dumps('Ann "the\\cat"\n'))


def test_an_edited_answer() -> None:
    """A body that was edited after reading gets its exact numbers back, also under renamed keys."""
    raw = f'{{"a@b.org": {WEI}, "b": [1.5, {WEI}, "x"], "c": 1}}'.encode()
    value = orjson.loads(raw)
    value["b"][2] = "y"
    positions._rename(value, {"a@b.org": "<EMAIL_1>"})
    assert numbers.dumps(value, raw).decode() == f'{{"<EMAIL_1>":{WEI},"b":[1.5,{WEI},"y"],"c":1}}'
