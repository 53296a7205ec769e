"""National numbers: every form is examined, and in which context it counts."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.values import forms_of, luhn, shaped, true_values
from budgets import examples
from gateway.detect.core.index import Index, build
from gateway.detect.core.neighbours import Near
from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.identities_numbers import NUMBERS
from gateway.detect.personal.national import families
from gateway.detect.personal.number_kind import Identity
from gateway.detect.personal.scanner import PiiScanner

FORMS = [(identity.entity, form) for identity in IDENTITIES for form in forms_of(identity)]


@pytest.fixture(scope="module")
def index() -> Index:
    """Where the families are asked."""
    return build([family.expression for family in families()], None)


@pytest.mark.slow
@settings(max_examples=examples(500, nightly=15000), deadline=None)
@given(form=st.sampled_from(FORMS), seed=st.integers(0, 2**32), around=st.sampled_from((" ", "\n", ": ", "(")))
def test_the_index_leads_to_every_form(index: Index, form: tuple[str, str], seed: int, around: str) -> None:
    """Every match of a country's pattern is in a range that the families examine."""
    random.seed(seed)
    value = shaped(form[1])
    text = f"it is{around}{value} there"
    start = text.index(value)
    assert any(low <= start and start + len(value) <= high for _, low, high in index.hits(text)), form


def test_the_nearest_word_decides() -> None:
    """The number of words in between; plurals and phrases count, parts of words do not."""
    near = Near({"tax": ("tin", "tax number"), "phone": ("phone",), "thai": ("โทร",)})
    text = "my tax numbers and phone: 123"
    assert near.keys(text, text.index("123")) == {"tax": 2, "phone": 0}
    assert near.keys("meeting 123", 8) == {}
    assert near.keys("ติดต่อโทร 123", 10) == {"thai": 0}


@pytest.mark.parametrize(
    ("text", "entity", "found"),
    [
        ("SIN 130 692 544", "CA_SIN", True),
        ("SIN 130 692 545", "CA_SIN", False),
        ("no. 720911-1407986 of today", "KR_RRN", True),
        ("row 7209111407986", "KR_RRN", False),
        ("the number 196401539+7077", "SE_PERSONNUMMER", False),
        ("invoice 123456782", "AU_TFN", False),
        ("my tax file number is 123456782", "AU_TFN", True),
        ("my tax file number is 123456783", "AU_TFN", False),
        ("VAT DE 136 695 976", "DE_VAT_ID", True),
        ("VAT DE136 695 976", "DE_VAT_ID", True),
    ],
)
def test_when_a_number_may_speak(pii: PiiScanner, text: str, entity: str, found: bool) -> None:
    """Next to its word, or if its form is distinctive; a number with a wrong checksum is not found."""
    assert (entity in [one.entity for one in pii.scan(text)]) is found


@pytest.mark.parametrize("number", [one for one in NUMBERS if one.words], ids=lambda one: one.entity)
def test_numbers_with_check_digits(pii: PiiScanner, number: Identity) -> None:
    """Each number is found next to each of its words, with any text around."""
    random.seed(number.entity)
    values = true_values(number)
    for word in number.words[:3]:
        value = next(values)
        text = f"{word}: {value}, thanks"
        found = [text[one.start : one.end] for one in pii.scan(text)]
        assert any(value in one or one in value for one in found), text


@pytest.mark.slow
def test_modules_are_loaded_when_asked() -> None:
    """python-stdnum costs nothing in texts without such numbers."""
    code = "import sys; from gateway.detect.personal.scanner import PiiScanner; PiiScanner(('US',), 0.4); "
    code += "assert 'stdnum' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_luhn_of_the_benchmark() -> None:
    """The generator of valid values generates values that python-stdnum accepts."""
    assert luhn("7992739871") == "79927398713"
