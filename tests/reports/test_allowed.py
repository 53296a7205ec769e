"""Allowed values are left unchanged everywhere: in requests and answers, whole and streamed."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import recognizers
from gateway.detect.personal.scanner import PiiScanner, canonical

STAFF = """
recognizers:
  - supported_entity: EMPLOYEE_ID
    patterns: [{regex: '(staff |)EMP-[0-9]{6}', score: 1}]
  - supported_entity: PROJECT
    deny_list: [Blue Bird]
    allow_list: [Blue Bird Street]
"""
CARD = "4539148803436467"
URL = f"https://shop.example.com/{CARD}/+12125550123/a"


@cache
def scanner(*allow: str) -> PiiScanner:
    """A scanner that knows staff numbers and projects."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "own.yaml")
        path.write_text(STAFF)
        own = recognizers.load(str(path), allow, canonical)
    cache_dir = os.environ.get("MESHGATE_CACHE_DIR")
    return PiiScanner(("US", "DE"), 0.4, Path(cache_dir) if cache_dir else None, ["US"], own)


@cache
def streams(*allow: str) -> StreamScanner:
    """The same for answers."""
    return StreamScanner(scanner(*allow), None, {})


CASES = [
    ("/EMP-0+/", "staff EMP-000000", []),
    ("/EMP-0+/", "staff EMP-000001 and EMP-000000", ["staff EMP-000001"]),
    ("/^EMP-0+$/", "EMP-000000 here", []),
    (URL, f"see {URL}, or {CARD}", [CARD]),
    ("/https://shop\\.example\\.com/.*/", f"see {URL}, or {CARD}", [CARD]),
    ("+1 212 555 0123", "call +1 212 555 0123 now", []),
    ("+49 30 901820", "call +49 30 9018201 now", ["+49 30 9018201"]),
    ("/.*@example\\.org/", f'{{"card":"{CARD}","mail":"ann@example.org"}}', [CARD]),
    ("/.*@example\\.org/", f"{CARD} ann@example.org {CARD}", [CARD, CARD]),
    ("/\\S+@example\\.org/", f"{CARD},ann@example.org", [CARD]),
    ("/[^@]+@example\\.org/", f"{CARD};ann@example.org tom@example.com", [CARD, "tom@example.com"]),
    ("/[0-9]{4}/", "card 4539 1488 0343 6467", ["4539 1488 0343 6467"]),
    ("example.org", "ann@example.org", ["ann@example.org"]),
    ("info@example.org", "Info@Example.org xinfo@example.org", ["xinfo@example.org"]),
    ("none", "the Blue Bird Street and the Blue Bird", ["Blue Bird"]),
]


@pytest.mark.parametrize(("allow", "text", "left"), CASES)
def test_what_is_allowed(allow: str, text: str, left: list[str]) -> None:
    """A finding that is an allowed value, or a part of one, is dropped; a longer finding stays."""
    found = [text[one.start : one.end] for one in scanner(allow).scan(text)]
    assert [one in more for one, more in zip(left, found, strict=True)] == [True] * len(left)


@pytest.mark.slow
@given(case=st.sampled_from(CASES), cuts=st.lists(st.integers(0, 120), max_size=12))
def test_streams_allow_the_same(case: tuple[str, str, list[str]], cuts: list[int]) -> None:
    """For any cut of an answer."""
    allow, text, _ = case
    window = streams(allow).window(256)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    at, found = 0, []
    for segment in [
        *(window.feed(text[low:high]) for low, high in pairwise(edges)),
        window.close(),
    ]:
        found += [(at + one.start, at + one.end, one.entity) for one in segment.findings]
        at += len(segment.text)
    assert found == [one[:3] for one in streams(allow).scan(text)]
