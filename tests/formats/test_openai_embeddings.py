"""The embeddings codec: requests, answers, and vectors, which are not judged and leave unchanged."""

from __future__ import annotations

import array
import base64
import json
import math
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Usage
from gateway.dialects import openai_vectors, tree
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS as CODEC
from gateway.errors import Refusal
from growth import grows_evenly, steps


def body(said: Any = "hi", **fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": "m", "input": said, **fields}


@pytest.mark.parametrize(
    ("said", "choices", "tokens", "lists"),
    [("hi", 1, 0, 0), (["a", "b"], 2, 0, 0), ([1, 2, 3], 1, 3, 1), ([[1, 2], [3]], 2, 3, 2), ("", 1, 0, 0)],
)
def test_what_a_request_asks_for(said: Any, choices: int, tokens: int, lists: int) -> None:
    """No stream, tools or output; token ids count as tokens, and each list of them as an unscannable part."""
    request = body(said, user="u", encoding_format="base64", dimensions=3, stream=False)
    assert CODEC.parse(request)[:4] == ("m", False, (), 0)
    assert (CODEC.choices(request), CODEC.answers(request)) == (choices, 0)
    assert CODEC.overhead(request) == tokens
    assert CODEC.unscannable(request) == ({"tokens": lists} if lists else {})


INPUTS: list[Any] = [
    *(None, [], 7, {}, [[]], ["a", 1], [[1], "a"], [[1], [2.5]], [True], [-1]),
    *([1_000_000], [4111111111111111], [{"text": "a"}], [["a"]], [None]),
]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("model", wrong) for wrong in (None, "", 7, "m" * 300)),
        *(("input", wrong) for wrong in INPUTS),
        *(("stream", wrong) for wrong in (True, "yes", 1)),
        *(("dimensions", wrong) for wrong in (0, -1, True, 1.5, "3", 10**9)),
        ("encoding_format", 7),
        ("fallbacks", ["other"]),
    ],
)
def test_wrong_values_are_refused_by_name(field: str, value: object) -> None:
    """The error names the parameter."""
    with pytest.raises(Refusal) as caught:
        CODEC.parse(body(**{field: value}) if field != "input" else body(value))
    assert (caught.value.code, caught.value.param) == ("invalid_request", field)


def test_every_input_is_a_text() -> None:
    """So are unknown fields, and values in the place of a term."""
    request = body(["one", "two"], user="u", x_note="n", encoding_format="card 4111 1111 1111 1111")
    _, survey = tree.parse(orjson.dumps(request), CODEC.shape, 64)
    assert {slot.text for slot in survey.slots} == {"one", "two", "u", "n", "card 4111 1111 1111 1111"}
    assert CODEC.unknown(request) == CODEC.foreign(request) == ["x_note"]
    assert CODEC.drop_foreign(request)
    assert "x_note" not in request


def test_all_usage_is_input() -> None:
    """Whatever output usage a provider reports."""
    assert CODEC.usage({"usage": {"prompt_tokens": 5, "total_tokens": 5}}) == Usage(5)
    assert CODEC.usage({"usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}) == Usage(12)
    assert CODEC.usage({"usage": {"total_tokens": 5}}) == Usage(5)
    for said in ({}, {"prompt_tokens": -1}, {"prompt_tokens": "7"}, None):
        assert CODEC.usage({"usage": said}) is None


def test_limits_of_output_are_kept_by_having_none() -> None:
    """Others cannot be."""
    assert not CODEC.limit(body(), {"max_tokens": 1})
    with pytest.raises(Refusal):
        CODEC.limit(body(), {"max_images": 1})


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": "none"},
        {"data": [1]},
        {"data": [{}]},
        {"data": [{"embedding": None}]},
        {"data": [{"embedding": 1}]},
        {"data": [{"embedding": []}, {"embedding": []}]},
    ],
)
def test_what_is_no_list_of_embeddings(answer: Any) -> None:
    """An answer with more embeddings than inputs is refused."""
    with pytest.raises(ValueError, match="holds"):
        CODEC.check(answer, 1)


def floats(vector: list[float]) -> str:
    """Base64 as providers write it."""
    return base64.b64encode(array.array("f", vector).tobytes()).decode()


numbers = st.lists(st.floats(-1000, 1000, width=32) | st.integers(-128, 127), max_size=8)
texts = st.text(max_size=12) | st.sampled_from(['"embedding": [1]', "embedding", "\\u0000", "\\"])
other: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "embedding", "data"]), inner),
    max_leaves=6,
)
items = st.builds(
    lambda at, vector, packed, more: {
        "object": "embedding",
        "index": at,
        **more,
        "embedding": floats([0.5, *map(float, vector)]) if packed else vector,
    },
    st.integers(0, 9),
    numbers,
    st.booleans(),
    st.dictionaries(st.sampled_from(["x", "y"]), other, max_size=2),
)


@given(st.lists(items, max_size=4), st.dictionaries(st.sampled_from(["object", "model", "z"]), other), st.booleans())
def test_cut_and_filled_is_the_same(data: list[Any], more: dict[str, Any], indent: bool) -> None:
    """Whatever surrounds the vectors: an edited answer has every vector byte for byte."""
    said = {**more, "data": data}
    raw = json.dumps(said, indent=1 if indent else None).encode()
    rest, cuts = CODEC.outline(raw)
    if not cuts:
        assert rest is raw
        return
    answer = orjson.loads(rest)
    assert [item["embedding"] for item in answer["data"]].count([]) == len(cuts)
    CODEC.fill(answer, raw, cuts)
    written = orjson.dumps(answer)
    assert json.loads(written) == json.loads(raw)
    for start, end in cuts:
        assert raw[start:end].lstrip(b": \n") in written


CARD = "4111111111111111"
STAYS = {
    "a string in the vector": f'{{"data": [{{"embedding": [0.5, "{CARD}"]}}]}}',
    "a card for a vector": f'{{"data": [{{"embedding": "{CARD}"}}]}}',
    "a text in base64": json.dumps({"data": [{"embedding": base64.b64encode(b"4111 1111 1111 1111 ").decode()}]}),
    "a whole number": f'{{"data": [{{"embedding": [{CARD}]}}]}}',
    "a whole number, as a power": '{"data": [{"embedding": [4.111111111111111e15]}]}',
    "another place": f'{{"data": [{{"embedding": [1]}}], "x": {{"embedding": "AACAPgAAwL8AAAA/"}}, "y": "{CARD}"}}',
    "a place below": '{"data": [{"embedding": [1], "x": {"embedding": "AACAPgAAwL8AAAA/"}}]}',
    "a key twice": '{"data": [{"embedding": [1], "embedding": [2]}]}',
    "a list twice": '{"data": [{"embedding": [1]}], "data": [{"embedding": [2]}]}',
    "an escaped key": '{"data": [{"embeddin\\u0067": []}], "x": {"embedding": [1]}}',
    "a key that ends so": '{"data": [{"x\\"embedding": "AACAPgAAwL8AAAA/"}]}',
    "no JSON": '{"data": [{"embedding": [1]}',
    "no number": '{"data": [{"embedding": [01]}]}',
    "no JSON number": '{"data": [{"embedding": [1, NaN]}]}',
    "an empty place": '{"data": [{"embedding": [1,]}]}',
}


@pytest.mark.parametrize("name", STAYS)
def test_what_is_no_vector_of_an_item_is_judged(name: str) -> None:
    """The whole answer is parsed if it is not certain where the vectors are."""
    raw = STAYS[name].encode()
    assert CODEC.outline(raw) == (raw, ())


def test_a_vector_in_base64_is_of_floats_that_a_model_says() -> None:
    """Digits are not a base64 vector, because their highest bytes would be implausible floats."""
    assert openai_vectors.is_vector(floats([0.1, -3.5, 1000.0, 0.0]).encode())
    for wrong in ([math.nan], [math.inf], [3e20]):
        assert not openai_vectors.is_vector(floats(wrong).encode())
    assert not openai_vectors.is_vector(b"AAAA")  # three bytes


@given(st.text("0123456789", min_size=8, max_size=64))
def test_no_run_of_digits_is_a_vector(digits: str) -> None:
    """Whatever their number."""
    assert not openai_vectors.is_vector(digits.encode())


def answer_of(count: int, size: int, *, packed: bool = False) -> bytes:
    """An answer of so many vectors."""
    vector = [0.015625 * (at % 97 - 48) for at in range(size)]
    said: Any = floats(vector) if packed else vector
    data = [{"object": "embedding", "index": at, "embedding": said} for at in range(count)]
    return orjson.dumps({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1}})


@pytest.mark.parametrize("packed", [False, True])
def test_the_size_of_vectors_costs_no_steps(packed: bool) -> None:
    """Steps of Python are as many for vectors of 3,072 numbers as for those of 3, and grow evenly with their count."""

    def read(raw: bytes) -> None:
        rest, cuts = CODEC.outline(raw)
        assert cuts
        CODEC.whole(orjson.loads(rest))

    short, long = (answer_of(64, size, packed=packed) for size in (3, 3072))
    read(short)
    assert abs(steps(lambda: read(long)) - steps(lambda: read(short))) < 64

    def of(count: int) -> Callable[[], object]:
        raw = answer_of(count, 8, packed=packed)
        return lambda: read(raw)

    assert not grows_evenly(of, 64)


@pytest.mark.parametrize("said", ["one", ["one", "two", "one"], [1, 2], [[1], [2]]])
def test_the_demo_answers(said: Any) -> None:
    """The same vector for the same input, of length 1, in both encodings."""
    request = body(said, dimensions=16)
    answer = CODEC.demo(request)
    CODEC.check(answer, CODEC.choices(request))
    vectors = [item["embedding"] for item in answer["data"]]
    assert len(vectors) == CODEC.choices(request)
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-5) for vector in vectors)
    packed = CODEC.demo({**request, "encoding_format": "base64"})["data"]
    assert [item["embedding"] for item in packed] == [floats(vector) for vector in vectors]
    if said == ["one", "two", "one"]:
        assert vectors[0] == vectors[2] != vectors[1]
    assert CODEC.outline(orjson.dumps(answer)).cuts


def test_the_demo_has_bounds() -> None:
    """It works on the event loop."""
    with pytest.raises(Refusal):
        CODEC.demo(body(["a"] * 2048, dimensions=3072))
