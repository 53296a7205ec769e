"""Names: cues, lists, unknown words; and words that are not names."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.name_lists import collect
from gateway.detect.names import lists as name_lists
from gateway.detect.names.lists import FILE, Lists, fold, load
from gateway.detect.names.reader import ModelError, Reader
from gateway.detect.names.windows import OVERLAP, SIZE, join, windows
from gateway.texts import Finding

ENTITIES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP")


@pytest.fixture(scope="module")
def lists() -> Lists:
    return load()


@pytest.fixture(scope="module")
def reader(lists: Lists) -> Reader:
    return Reader("", ENTITIES, 0.4, lists)


def read(reader: Reader, text: str) -> set[tuple[str, str]]:
    """(found text, type)."""
    return {(text[one.start : one.end], one.entity) for one in reader.read([text])[0]}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Dear Qwentaro,\n\nthank you.", "Qwentaro"),
        ("my name is zuvbo qworr", ""),
        ("My name is Zuvbo Qworr.", "Zuvbo Qworr"),
        ("Please ask Dr. Zuvbo about it.", "Zuvbo"),
        ("Best regards,\nZuvbo Qworr\nHead of sales", "Zuvbo Qworr"),
        ("customer name: Zuvbo Qworr", "Zuvbo Qworr"),
        ('{"full_name": "Zuvbo Qworr"}', "Zuvbo Qworr"),
        ("my brother Will is ill", "Will"),
        ("Mr. Brown called twice.", "Brown"),
        ("JOHN SMITH SIGNED IT", "JOHN SMITH"),
        ("tell maria rossi to call back", "maria rossi"),
        ("I met Anne-Marie O'Hara there.", "Anne-Marie O'Hara"),
        ("signed by Ludwig van Beethoven yesterday", "Ludwig van Beethoven"),
        ("John B. Goode plays the guitar.", "John B. Goode"),
        ("Maria's birthday is today.", "Maria"),
    ],
)
def test_persons(reader: Reader, text: str, name: str) -> None:
    """With a capital if only a cue indicates the name; without a capital if lists contain it."""
    people = {found for found, entity in read(reader, text) if entity == "PERSON"}
    assert people == ({name} if name else set())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("She lives in Toronto.", {("Toronto", "LOCATION")}),
        ("The office is in Zuvbograd, near the river.", {("Zuvbograd", "LOCATION")}),
        ("We sued Qworr Holdings GmbH.", {("Qworr Holdings GmbH", "ORGANIZATION")}),
        ("He works at Zuvbo.", {("Zuvbo", "ORGANIZATION")}),
        ("Our Norwegian customers wait.", {("Norwegian", "NRP")}),
        ("Translate it into Norwegian, please.", set()),
    ],
)
def test_other_entities(reader: Reader, text: str, found: set[tuple[str, str]]) -> None:
    """Places, firms and peoples; a language is not a people."""
    assert read(reader, text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Will it work? May I ask? Mark it as done. Grace period over.",
        "Restart the Docker daemon on Monday, then run Kubernetes.",
        "## Getting Started\n\n- Install Dependencies\n- Run Tests\n",
        "Use `Maria Rossi` as the example.",
        "```\nname = Maria Rossi\n```",
        "see https://example.org/Maria-Rossi and /home/Maria/Rossi/file",
        "<PERSON_1> wrote to <LOCATION_2>.",
        "call getMariaRossi() or MARIA_ROSSI",
        "I'm sure they've read it, and you'll see.",
    ],
)
def test_no_names(reader: Reader, text: str) -> None:
    """Common words, products, headings, code, addresses of the net, placeholders."""
    assert read(reader, text) == set()


def test_only_what_is_wanted_and_sure_enough(lists: Lists) -> None:
    """`entities` and `score` hold for lists and cues, too."""
    text = "My name is Maria Rossi. Chiara lives in Toronto."
    assert {one.entity for one in Reader("", ("LOCATION",), 0.4, lists).read([text])[0]} == {"LOCATION"}
    assert read(Reader("", ENTITIES, 0.78, lists), text) == {("Maria Rossi", "PERSON")}


def test_a_model_that_is_not_installed(lists: Lists) -> None:
    """The message says how to install it."""
    with pytest.raises(ModelError, match="python -m spacy download en_none"):
        Reader("en_none", ENTITIES, 0.4, lists)


def test_lists_can_do_without_locales(lists: Lists) -> None:
    """So that a benchmark can use names that are not in the lists."""
    assert "mäkinen" not in lists.family  # folded
    assert fold("Mäkinen") in lists.family
    assert fold("Mäkinen") not in collect(("fi_FI", "sv_SE")).family


def test_the_file_is_what_the_script_makes(lists: Lists) -> None:
    """`python -m benchmarks.name_lists` writes the file; the places also depend on the time zones of the machine."""
    made = collect()
    assert made.given == lists.given
    assert made.family == lists.family
    assert (made.groups, made.common, made.famous) == (lists.groups, lists.common, lists.famous)
    assert gzip.decompress(FILE.read_bytes()).decode() == name_lists.text(lists)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("Maria Rossi, Dr. \n-'é`<>:\ud800🙂123"), max_size=80))
def test_any_text_is_read(reader: Reader, text: str) -> None:
    """No text is an error; findings are within the text and do not overlap."""
    found = reader.read([text])[0]
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_many_capitals_take_linear_time(reader: Reader) -> None:
    """No pattern explodes: a piece of nothing but names is read at all, within the limit of a pattern."""
    for text in ("Aa " * (SIZE // 3), "A. " * (SIZE // 3), "Mr. " * (SIZE // 4), "name: " * (SIZE // 6), "A" * SIZE):
        (found,) = reader.read([text])
        assert all(one.end <= len(text) for one in found)


@given(st.text("ab. \n", min_size=SIZE, max_size=4 * SIZE))
@settings(max_examples=20, deadline=None)
def test_windows_hold_the_whole_text(text: str) -> None:
    """Windows overlap, none is too long, and every short range is complete in one of them."""
    pieces = list(windows(text))
    assert all(text[offset : offset + len(piece)] == piece for offset, piece in pieces)
    assert all(len(piece) <= SIZE for _, piece in pieces)
    assert pieces[0][0] == 0
    assert pieces[-1][0] + len(pieces[-1][1]) == len(text)
    for (first, piece), (second, _) in pairwise(pieces):
        assert first < second <= first + len(piece)
        assert first + len(piece) - second <= OVERLAP


def test_what_two_windows_found_counts_once() -> None:
    """Of a name that a seam cuts in two, the longer part."""
    whole, cut = Finding(90, 100, "PERSON", 0.5), Finding(0, 5, "PERSON", 0.5)
    assert join([(0, [whole]), (90, [Finding(0, 10, "PERSON", 0.5), Finding(20, 30, "PERSON", 0.5)])]) == [
        whole,
        Finding(110, 120, "PERSON", 0.5),
    ]
    assert join([(0, [whole]), (95, [cut])]) == [whole]
