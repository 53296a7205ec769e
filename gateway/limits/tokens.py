"""Counting tokens: what a prompt will cost before it is sent, what an answer cost when nobody says.

The vocabulary is o200k_base for every model: exact for current OpenAI models, an estimate for others (settled from the
provider's own usage afterwards). Its table comes out of the bpe-openai wheel as a file; tiktoken, which would download
it, does the matching, because it holds the table in 50 MB where bpe-openai's own matcher takes 136 MB.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from gateway.budget import spend

_PIECE = 32_768  # characters that the matcher gets at once
_SEARCHED = 256  # characters at the end of a piece in which it may be cut
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


class Counter(Protocol):
    """Text -> tokens."""

    def count(self, text: str) -> int:
        """How many tokens `text` is."""
        ...


class O200k:
    """The o200k_base vocabulary."""

    def __init__(self) -> None:
        from tiktoken._tiktoken import CoreBPE

        spec = importlib.util.find_spec("bpe_openai")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("the package bpe-openai, which carries the token table, is not installed")
        table = gzip.decompress((Path(spec.submodule_search_locations[0]) / _TABLE).read_bytes())
        ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, table.splitlines())}
        self._encode = CoreBPE(ranks, {}, _SPLIT).encode_ordinary

    def count(self, text: str) -> int:
        """How many tokens `text` is; a few more where a word, or a run of blanks, is longer than `_PIECE`."""
        if len(text) <= _PIECE:
            return len(self._encode(text))
        total = 0
        for piece, torn in _pieces(text):
            spend(len(piece) >> 3)
            total += len(self._encode(piece)) + torn
        return total


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces that the matcher, which recurses over a run of blanks, can take; whether a token may be torn.

    A token ends wherever a blank follows something else, so a cut there changes no count.
    """
    at = 0
    while at < len(text):
        end, torn = at + _PIECE, at + _PIECE < len(text)
        for gap in _GAP.finditer(text, end - _SEARCHED, end) if torn else ():
            end, torn = gap.start() + 1, False
        yield text[at:end], torn
        at = end
