"""Counts tokens: of a prompt before it is sent, and of an answer without reported usage.

The vocabulary is o200k_base for every model: exact for current OpenAI models, an estimate for others (settled by the
provider's usage afterwards). The table is a file in the bpe-openai wheel, since tiktoken would download it; tiktoken
does the matching, because it needs 50 MB for the table and bpe-openai's own matcher 136 MB.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from gateway.budget import spend

_PIECE = 32_768  # maximum number of characters for one call of the matcher
_SEARCHED = 256  # characters at the end of a piece that are searched for a place to cut
_GAP = re.compile(r"\S(?=[ \t])")
_TABLE = Path("data") / "o200k_base.tiktoken.gz"
# The split of o200k_base (openai/tiktoken, tiktoken_ext/openai_public.py): words, numbers of up to 3 digits,
# punctuation, line ends, spaces.
_SPLIT = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


_WIDEST = 4  # bytes of a character in UTF-8


def at_most(texts: Iterable[str]) -> int:
    """An upper bound of the tokens of texts: a token has at least one byte. Takes no look at the characters."""
    return sum([len(text) if text.isascii() else _WIDEST * len(text) for text in texts])


class Counter(Protocol):
    """Text -> tokens."""

    def count(self, text: str) -> int:
        """The number of tokens of `text`."""
        ...


class O200k:
    """The o200k_base vocabulary. The table is built for the first text. For any thread."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("bpe_openai")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("the package bpe-openai, which has the token table, is not installed")
        self._table = Path(spec.submodule_search_locations[0]) / _TABLE
        self._encode: Callable[[str], list[int]] | None = None
        self._lock = threading.Lock()

    def is_loaded(self) -> bool:
        """Whether the table is built, which takes a fifth of a second."""
        return self._encode is not None

    def count(self, text: str) -> int:
        """The number of tokens of `text`; slightly too high if a word or a run of blanks is longer than `_PIECE`."""
        encode = self._encode or self._load()
        if len(text) <= _PIECE:
            return len(encode(text))
        total = 0
        for piece, torn in _pieces(text):
            spend(len(piece) >> 3)
            total += len(encode(piece)) + torn
        return total

    def _load(self) -> Callable[[str], list[int]]:
        """Build the table. Raises RuntimeError for a table whose ranks are not in order."""
        from tiktoken._tiktoken import CoreBPE

        with self._lock:
            if self._encode is None:
                parts = gzip.decompress(self._table.read_bytes()).split()  # token in base64, rank
                ranks = range(len(parts) // 2)
                if int(parts[-1]) != ranks[-1]:
                    raise RuntimeError(
                        f"{self._table}: ranks are not in order; install the packages of requirements.lock"
                    )
                table = dict(zip(map(base64.b64decode, parts[::2]), ranks, strict=True))
                encode: Callable[[str], list[int]] = CoreBPE(table, {}, _SPLIT).encode_ordinary
                self._encode = encode
            return self._encode


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, because the matcher recurses over runs of blanks, and whether the cut may split a token.

    A token always ends before a blank that follows another character, so a cut there does not change the count.
    """
    at = 0
    while at < len(text):
        end, torn = at + _PIECE, at + _PIECE < len(text)
        for gap in _GAP.finditer(text, end - _SEARCHED, end) if torn else ():
            end, torn = gap.start() + 1, False
        yield text[at:end], torn
        at = end
