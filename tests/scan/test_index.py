"""The index: projections, patterns rewritten for them, the cache on disk, threads."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.detect.core import rewrite
from gateway.detect.core.index import Expression, HyperscanIndex, RegexIndex
from gateway.detect.core.projection import FOLDS, byte_of, projected

hyperscan = pytest.importorskip("hyperscan", reason="Hyperscan has no wheel for this platform")

SOURCES = (
    (r"\b(?!1\d{3}(?!\d))\d{2,4}[- ]?\d{2}\b", 0),
    (r"(?<![\w:])(?:[a-f]{1,2}:){1,3}[a-f](?![\w:]|\.\d)", regex.I),
    (r"\b[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){2}[0-9a-f]{2}\b", regex.I),
    (r"[^\s@]+@\w+(?:\.\w+)+", 0),
    (r"(?P<x>k[éa]y|пароль)\s{0,2}[=:][^ ]{2,5}?;", regex.I),
    (r"a.c+?|[^\W\d_]\D{2}\.", regex.S),
)
TEXT = st.text(st.sampled_from(list("01729abcdefkKyé:=;@.- \n\u212aſ_ключпароьñ٣中!")), max_size=24)


@given(st.text(max_size=40))
def test_shadow_has_one_byte_for_each_character(text: str) -> None:
    """Offsets in the projection are offsets in the text, and ASCII is left as it is."""
    data = projected(text)
    assert len(data) == len(text)
    assert all(byte == ord(char) for char, byte in zip(text, data, strict=True) if char.isascii())
    assert max(data, default=0) < 128


def test_shadow_keeps_what_patterns_ask_for() -> None:
    """Over all of Unicode: words, digits and letters that fold onto ASCII are classified as by `regex`."""
    beyond = "".join(map(chr, range(128, 0x110000)))
    data = projected(beyond).decode("ascii")
    words = {match.start() for match in regex.finditer(r"\w", beyond)}
    assert {match.start() for match in regex.finditer(r"\w", data)} == words
    assert {match.start() for match in regex.finditer(r"\d", beyond)} == {
        match.start() for match in regex.finditer("[0-9]", data)
    }
    assert set(regex.findall("[a-z]", beyond, regex.I)) == set(FOLDS)
    assert byte_of("٣") == ord("3")


@settings(max_examples=examples(133, nightly=4000), deadline=None)
@given(st.sampled_from(SOURCES), TEXT)
def test_superset_and_prefixes(pattern: tuple[str, int], text: str) -> None:
    """If the pattern matches, its superset does; every beginning of the match is a prefix of the pattern."""
    source, flags = pattern
    superset = regex.compile(rewrite.superset(source, flags), regex.ASCII)
    prefixes = regex.compile(rewrite.prefixes(source, flags), regex.ASCII)
    data = projected(text).decode()
    for match in regex.finditer(source, text, flags):
        low, high = match.span()
        assert any(found.span() == (low, high) for found in [superset.fullmatch(data, low, high)] if found)
        for end in range(low + 1, high + 1):
            assert prefixes.fullmatch(data[:end], low)


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(TEXT, st.integers(0, 10))
def test_both_indexes_agree(text: str, start: int) -> None:
    """Hyperscan and `regex` see a match in progress from the same place, and Hyperscan misses no match."""
    fast, slow = INDEXES
    start = min(start, len(text))
    hits, held = fast.tail(text, start)
    expected, held_slow = slow.tail(text, start)
    assert held == held_slow
    for number, low, high in expected:
        assert any(one[0] == number and one[1] <= low and high <= one[2] for one in hits)


EXPRESSIONS = [Expression(source, flags) for source, flags in SOURCES]
INDEXES = (HyperscanIndex(EXPRESSIONS, None, streams=True), RegexIndex(EXPRESSIONS))


SHELVED = HyperscanIndex([one._replace(shelf=str(at % 3)) for at, one in enumerate(EXPRESSIONS)], None)


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(TEXT)
def test_shelves_change_nothing(text: str) -> None:
    """One pass decides which shelves are searched: the hits equal those of one database with all patterns."""
    assert sorted(SHELVED.hits(text)) == sorted(INDEXES[0].hits(text))


def _files(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


def test_compiled_patterns_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start reads what the first one compiled; the files are for their owner alone."""
    cache = tmp_path / "var"
    HyperscanIndex(EXPRESSIONS, cache)
    assert {stat.S_IMODE(file.stat().st_mode) for file in _files(cache)} == {0o600}
    monkeypatch.setattr("gateway.detect.core.index._Patterns._compile", None)  # compiling again would raise
    assert HyperscanIndex(EXPRESSIONS, cache).hits("a@b.c") == INDEXES[0].hits("a@b.c")


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 5000, None])
def test_bad_file_is_made_again(tmp_path: Path, content: bytes | None) -> None:
    """A file that is empty, foreign or damaged costs a compilation, nothing else."""
    HyperscanIndex(EXPRESSIONS, tmp_path)
    files = _files(tmp_path)
    for file in files:
        good = file.read_bytes()
        file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]) if content is None else content)
    assert HyperscanIndex(EXPRESSIONS, tmp_path).hits("a@b.c") == INDEXES[0].hits("a@b.c")
    assert HyperscanIndex(EXPRESSIONS, tmp_path).hits("a@b.c")
    assert _files(tmp_path) == files


def test_file_that_others_may_write_is_not_read(tmp_path: Path) -> None:
    """A file that another user could have written is replaced."""
    HyperscanIndex(EXPRESSIONS, tmp_path)
    file, *others = _files(tmp_path)
    file.chmod(0o666)
    before = [one.stat().st_ino for one in (file, *others)]
    HyperscanIndex(EXPRESSIONS, tmp_path)
    assert file.stat().st_ino != before[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.stat().st_ino for one in others] == before[1:]


def test_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """If the file cannot be written, the patterns work nevertheless."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert HyperscanIndex(EXPRESSIONS, blocked).hits("a@b.c")
    assert os.listdir(tmp_path) == ["file"]


def test_threads_share_an_index() -> None:
    """Several threads scan concurrently, each with its own scratch space."""
    texts = [f"{'x ' * 2000}user{number}@example.com" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(INDEXES[0].hits, texts)) == [INDEXES[0].hits(text) for text in texts]


def test_pattern_too_large_is_refused() -> None:
    """A pattern that Hyperscan refuses is an error at the start, with the reason."""
    with pytest.raises(ValueError, match="Hyperscan does not take"):
        HyperscanIndex([Expression(r"(?:a{1,500}b{1,500}){1,500}c")], None)
    with pytest.raises(ValueError, match="not supported"):
        rewrite.prefixes(r"(a)?(?(1)b|c)")


def test_a_long_compilation_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says how many patterns are compiled, where they are kept, and when all are compiled.

    Nothing is logged if all patterns are in the cache, if few are missing, or if there is no cache.
    """
    many = [Expression(rf"\bword{number}[a-z]+\d") for number in range(20)]
    HyperscanIndex(many[:3], tmp_path)
    assert not caplog.messages
    HyperscanIndex(many, tmp_path, streams=True)
    before, after = caplog.messages
    assert before.startswith("compiling 57 patterns")  # three are kept already
    assert str(tmp_path) in before
    assert after.startswith("compiled 57 patterns")
    HyperscanIndex(many, tmp_path, streams=True)
    HyperscanIndex(many, None)
    assert len(caplog.messages) == 2


def test_databases_compiled_in_parallel_keep_their_order(tmp_path: Path) -> None:
    """Each database has the numbers of its own patterns, in any order of compilation, and also from the cache."""
    many = [Expression(rf"\bword{number}x+\d", shelf=str(number % 5)) for number in range(40)]
    for _ in range(2):
        built = HyperscanIndex(many, tmp_path, streams=True)
        for number in range(40):
            text = f"a word{number}xx7 b"
            assert built.hits(text) == [(number, 2, len(text) - 2)]
            assert built.tail(f"a word{number}xx", 0) == ([], 2)
