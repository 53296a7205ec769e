"""Reads SQL: a text -> its statements, each with its kinds, tables and columns.

No config key, and no refusals: `sqlgate` judges the statements. Fails closed: text that cannot be read within the
limits becomes a statement with `readable` false; it is never ignored.

sqlglot parses; it is imported when the first text is read (0.3 s, 17 MB). Without a dialect, those of `DIALECTS`
are tried in turn. If they split the text into different tokens (other quotes, other comments), each reading counts:
text that is harmless in one database and a write in another is a write.

Limits: brackets nested `DEPTH` deep, `TOKENS` tokens, and `STEPS` steps of all parsers in total. Some grammars
backtrack exponentially; a step is one move of a parser, so the limit is the same on every machine.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from gateway.budget import current
from gateway.detect.sql.tree import HARD, KINDS, WRITES, Statement, by_words, statement, unquoted, unreadable
from gateway.errors import release

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

    _Readings = list[tuple[list[Token], list[int]]]

__all__ = ["DIALECTS", "KINDS", "STEPS", "WRITES", "Reader", "Statement", "unreadable"]

DIALECTS: Final = ("postgres", "mysql", "tsql", "sqlite", "snowflake", "bigquery", "oracle")
FALLBACKS: Final = ("clickhouse", "databricks", "duckdb", "trino", "redshift")
"""Grammars for text that none of these dialects reads, if they split the text into the same tokens."""
DEPTH: Final = 24
TOKENS: Final = 2_000
REMEMBERED: Final = 32
STEPS: Final = 10_000

_UNSURE: Final = re.compile(r"[\\\"`\[#$]|/\*|--|(?<![A-Za-z])[EeNnQqRrBbXxUu]&?'")
_RUN: Final = re.compile(r"/\*!\d{0,6}")
_EXPLAINED: Final = re.compile(
    r"\bexplain\s++(?:query\s++plan\s++(?:for\s++)?|plan\s++for\s++|\((?!\s*+(?:select|with)\b)[^()]*+\)\s*+"
    r"|format\s*+=\s*+\w++\s++|(?:analy[sz]e|verbose|extended|partitions|formatted)\s++)*+"
    r"(?=[\s(]*(?:select|with)\b|(?:insert|update|delete|merge|replace|create)\b)",
    re.IGNORECASE,
)


class _Spent(Exception):
    """The limit of steps is reached."""


class Reader:
    """Reads texts in one dialect, or in each of `DIALECTS`. For any thread."""

    def __init__(self, dialect: str = "") -> None:
        self._names = (dialect,) if dialect else (*DIALECTS, *FALLBACKS)
        self._speakers = 1 if dialect else len(DIALECTS)
        # An argument is also read as a text. Results are not kept for the next call: the time that reading takes would
        # reveal to one team what another sent.
        self._known = threading.local()

    def load(self) -> None:
        """Import the grammars that every text is read in."""
        for name in self._names[: self._speakers]:
            _grammar(name)

    def read(self, text: str) -> list[Statement]:
        """Every statement of a text, in every reading of it. Never raises."""
        return self.weighed(text)[0]

    def weighed(self, text: str) -> tuple[list[Statement], int]:
        """The same, and the number of steps, which does not depend on whether the text is remembered."""
        remembered = self._remembered()
        known = remembered.get(text)
        if known is None:
            steps = [STEPS]
            try:
                statements = list(dict.fromkeys(self._read(text, steps)))
            except (Exception, RecursionError):  # text on which a grammar fails is not readable
                statements = [unreadable(text)]
            known = statements, STEPS - max(0, steps[0])
            if len(remembered) >= REMEMBERED:
                remembered.clear()
            remembered[text] = known
        return known

    def _remembered(self) -> dict[str, tuple[list[Statement], int]]:
        """The statements that were read for the call of this thread."""
        here, call = self._known, current()
        if getattr(here, "call", None) is not call or not hasattr(here, "texts"):
            here.call, here.texts = call, {}
        texts: dict[str, tuple[list[Statement], int]] = here.texts
        return texts

    def tree(self, text: str, steps: list[int] | None = None) -> exp.Expr | None:
        """The tree of one statement in the first dialect; None if it cannot be parsed. Never raises.

        `steps` are the remaining steps, which are reduced.
        """
        try:
            tokens = _grammar(self._names[0]).tokenize(text)
            if not tokens or len(tokens) > TOKENS or _depth(tokens) > DEPTH:
                return None
            return self._parse(0, tokens, text, [STEPS] if steps is None else steps)
        except (Exception, RecursionError):
            return None

    def _read(self, text: str, steps: list[int]) -> Iterator[Statement]:
        text = _EXPLAINED.sub("", text)  # read as the explained statement, which ANALYZE executes
        texts = [text]
        if "/*!" in text and self._comments_run():
            texts.append(_RUN.sub(" ", text).replace("*/", " "))
        for each in texts:
            readings = self._readings(each)
            if not readings:
                yield unreadable(each)
            found = [self._statements(tokens, each, speakers, steps) for tokens, speakers in readings]
            sure = [reading for reading in found if all(one.readable for one in reading)]
            for reading in sure or found:
                yield from reading
            if sure:
                yield from self._beside(readings, found, each)

    def _comments_run(self) -> bool:
        """Whether `/*! */` is not a comment in one of the dialects."""
        return len(self._names) > 1 or "mysql" in {c.__name__.lower() for c in type(_grammar(self._names[0])).__mro__}

    def _beside(self, readings: _Readings, found: Sequence[Sequence[Statement]], text: str) -> Iterator[Statement]:
        """Statements of readings that cannot be parsed, if other readings can: only what those do not contain.

        Words in the quotes of any database count as names.
        """
        sure = [all(one.readable for one in reading) for reading in found]
        kinds = {
            kind for reading, plain in zip(found, sure, strict=True) if plain for one in reading for kind in one.kinds
        }
        words = [unquoted(tokens) for (tokens, _), plain in zip(readings, sure, strict=True) if plain]
        for (tokens, _), plain in zip(readings, sure, strict=True):
            if plain:
                continue
            said = [by_words(piece, text, readable=False, quoted=False) for piece in _split(tokens)]
            new = not any(unquoted(tokens, text) <= known for known in words)
            yield from (one for one in said if one.kind in HARD and (new or not one.kinds <= kinds))

    def _readings(self, text: str) -> _Readings:
        """The ways to split the text into tokens, each with its dialects."""
        unsure = _UNSURE.search(text) is not None
        readings: dict[tuple[str, ...], tuple[list[Token], list[int]]] = {}
        every = range(self._speakers)
        for index in every:
            try:
                tokens = _grammar(self._names[index]).tokenize(text)
            except Exception:  # noqa: S112  (not this dialect)
                continue
            if not unsure:
                return [(tokens, list(every))]
            key = tuple(token.text for token in tokens)
            readings.setdefault(key, (tokens, []))[1].append(index)
        return list(readings.values())

    def _statements(self, tokens: list[Token], text: str, speakers: Sequence[int], steps: list[int]) -> list[Statement]:
        if len(tokens) > TOKENS or _depth(tokens) > DEPTH:
            return [unreadable(text)]
        pieces = _split(tokens)
        for index in (*speakers, *range(self._speakers, len(self._names))):
            trees = [self._parse(index, piece, text, steps) for piece in pieces]
            read = [tree for tree in trees if tree is not None]
            if len(read) == len(pieces):
                return [statement(tree, piece, text) for tree, piece in zip(read, pieces, strict=True)]
            if steps[0] <= 0:
                return [unreadable(text)]
        return [by_words(piece, text, readable=False) for piece in pieces]

    def _parse(self, index: int, piece: list[Token], text: str, steps: list[int]) -> exp.Expr | None:
        from sqlglot.errors import ErrorLevel

        if steps[0] <= 0:
            return None
        dialect = _grammar(self._names[index])
        parser = _bounded(dialect.parser_class)(dialect=dialect, error_level=ErrorLevel.IMMEDIATE)
        parser.steps = steps
        # Dialects split commands differently, so each gets its own tokens.
        try:
            tokens = _retyped(dialect, piece, text)
            if index >= self._speakers and [one.text for one in tokens] != [one.text for one in piece]:
                return None
            trees = [tree for tree in parser.parse(tokens, text) if tree]
        except Exception as fault:
            release(fault)
            return None
        return trees[0] if len(trees) == 1 and _is_statement(trees[0]) else None


@lru_cache(None)
def _grammar(name: str) -> Any:
    """A dialect of sqlglot, imported when it is first needed. Raises ValueError for a name that is not one."""
    from sqlglot import Dialect

    # sqlglot logs warnings about partly parsed statements, which contain the statement.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    return Dialect.get_or_raise(name)


def _retyped(dialect: Any, piece: list[Token], text: str) -> list[Token]:
    """The piece with the dialect's own token types: the same word may be another keyword there."""
    tokens: list[Token] = dialect.tokenize(text[piece[0].start : piece[-1].end + 1])
    return tokens


@lru_cache
def _bounded(parser: Any) -> Any:
    """The parser of a dialect, with a limit on its steps."""

    class Bounded(parser):  # type: ignore[misc]  # a class that is known at run time only
        steps: list[int]

        def _advance(self, times: int = 1) -> None:
            steps = self.steps
            steps[0] -= 1
            if steps[0] <= 0:
                raise _Spent
            super()._advance(times)

    return Bounded


def _depth(tokens: Iterable[Token]) -> int:
    """The depth of nested brackets; square brackets count six times, because parsers try them in several ways."""
    depth = deepest = 0
    for token in tokens:
        weight = 6 if token.text in ("[", "]", "{", "}") else 1
        if token.text in ("(", "[", "{"):
            depth += weight
            deepest = max(deepest, depth)
        elif token.text in (")", "]", "}"):
            depth -= weight
    return deepest


def _split(tokens: list[Token]) -> list[list[Token]]:
    """The tokens of each statement of a batch."""
    pieces: list[list[Token]] = [[]]
    for token in tokens:
        if token.token_type.name == "SEMICOLON":
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [piece for piece in pieces if piece]


def _is_statement(tree: exp.Expr) -> bool:
    """Whether a tree is a statement: parsers also accept bare expressions."""
    from sqlglot import exp

    statements = (
        *(exp.Query, exp.DML, exp.DDL, exp.Merge, exp.Drop, exp.Alter, exp.TruncateTable, exp.Comment, exp.Command),
        *(exp.Copy, exp.LoadData, exp.Attach, exp.Detach, exp.Pragma, exp.Set, exp.Use, exp.Show, exp.Describe),
        *(exp.Grant, exp.Revoke, exp.Execute, exp.Declare, exp.Kill, exp.Transaction, exp.Commit, exp.Rollback),
        *(exp.Analyze, exp.Cache, exp.Uncache, exp.Refresh, exp.Export, exp.Install, exp.IfBlock, exp.WhileBlock),
        *(exp.Values, exp.Block),
    )
    return isinstance(tree, statements)
