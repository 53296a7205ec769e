"""The table of Presidio's recognizers, and their checksums without the rest of Presidio."""

import json
import subprocess
import sys
from typing import Any

import presidio_analyzer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.presidio import recognizer
from presidio_table import TABLE, written

_FRESH = """
import sys, json
from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.presidio import recognizer
values = json.loads(sys.stdin.read())
print(json.dumps([[recognizer(name).validate_result(value), recognizer(name).invalidate_result(value)]
                  for name, value in values]))
assert not [name for name in sys.modules if name.startswith(("presidio_analyzer", "spacy", "requests"))]
import presidio_analyzer, tldextract, requests
assert presidio_analyzer.AnalyzerEngine and requests.get
"""
_VALUES = ("123456789", "L01X00T44", "000000000", "12345678Z", "DE136695976", "A1234567", "1234567890123", "")


def test_table_is_that_of_the_installed_version() -> None:
    """If this fails: make reference."""
    assert TABLE.read_text(encoding="utf-8") == written()


JUDGES = sorted({one.recognizer for one in IDENTITIES if "." not in one.recognizer})


def _real(name: str) -> Any:
    return getattr(presidio_analyzer.predefined_recognizers, name)()


def test_checksums_without_presidio() -> None:
    """In a fresh process: the verdicts are Presidio's, and Presidio can be imported afterwards."""
    asked = [(name, value) for name in JUDGES for value in _VALUES]
    wanted = [_outcome(_real(name), value) for name, value in asked]
    asked = [one for one, outcome in zip(asked, wanted, strict=True) if outcome is not None]
    done = subprocess.run(
        [sys.executable, "-c", _FRESH], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == [list(outcome) for outcome in wanted if outcome is not None]


@pytest.mark.parametrize("name", JUDGES)
@given(value=st.text("0123456789ABCDEFXYZ-", max_size=14))
def test_same_verdicts(name: str, value: str) -> None:
    real = _real(name)
    outcome = _outcome(real, value)
    if outcome is not None:
        one = recognizer(name)
        assert (one.validate_result(value), one.invalidate_result(value)) == outcome


def _outcome(judge: Any, value: str) -> tuple[Any, Any] | None:
    try:
        return judge.validate_result(value), judge.invalidate_result(value)
    except (ValueError, LookupError):
        return None
