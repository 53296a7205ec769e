"""Reads SQL: a text -> its statements, each with what it does, reads and writes.

No config key and no refusal of its own: `sqlgate` judges what is read here. Fails closed: what cannot be read within
the bounds is a statement that says so (`readable` is false), never no statement.

sqlglot parses; it is imported when the first `Reader` is made (0.3 s, 17 MB), and not at all before. Without a dialect
those of `DIALECTS` are tried in turn, and where they read the text in different pieces (other quotes, other comments),
each of these readings counts: what is harmless in one database and a write in another is a write.

Bounds: brackets nested `DEPTH` deep, `TOKENS` tokens, `STEPS` steps of the parsers together. Some grammars backtrack
exponentially; a step is one move of a parser, so the bound is the same on every machine.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

KINDS: Final = (
    *("select", "insert", "update", "delete", "merge", "ddl", "grant", "call", "file", "set", "show", "transaction"),
    *("fragment", "other"),
)
"""What a statement can do. call: procedures, dynamic SQL and functions that reach out of the database (`_REACHING`);
file: what reads or writes files, programs or other databases; fragment: a piece that breaks out of a value."""
WRITES: Final = frozenset(KINDS) - {"select", "show", "transaction"}
DIALECTS: Final = ("postgres", "mysql", "tsql", "sqlite", "snowflake", "bigquery", "oracle")
DEPTH: Final = 24
TOKENS: Final = 2_000
STEPS: Final = 10_000
LONGEST: Final = 1_000  # characters of a statement as a policy sees it

_HEADS: Final = {
    word: kind
    for kind, words in {
        "select": "SELECT VALUES TABLE FROM",
        "insert": "INSERT REPLACE UPSERT",
        "update": "UPDATE",
        "delete": "DELETE",
        "merge": "MERGE",
        "ddl": "CREATE ALTER DROP TRUNCATE RENAME COMMENT REINDEX CLUSTER REFRESH OPTIMIZE VACUUM UNDROP PURGE ANALYZE",
        "grant": "GRANT REVOKE DENY",
        "call": "CALL EXEC EXECUTE DO PREPARE DEALLOCATE DECLARE HANDLER OPEN FETCH",
        "file": "COPY LOAD ATTACH DETACH UNLOAD BULK BACKUP RESTORE IMPORT EXPORT INSTALL PUT GET",
        "set": "SET RESET USE PRAGMA KILL SHUTDOWN FLUSH RECONFIGURE DBCC LOCK UNLOCK DISCARD CHECKPOINT",
        "show": "SHOW DESCRIBE DESC",
        "transaction": "START COMMIT ROLLBACK SAVEPOINT RELEASE ABORT",
        "other": "WAITFOR NOTIFY LISTEN UNLISTEN",
    }.items()
    for word in words.split()
}
# Before what they run: the kind is that of the statement behind them.
_BEFORE: Final = frozenset({"EXPLAIN", "ANALYZE", "ANALYSE", "VERBOSE", "WITH", "BEGIN", "THEN", "ELSE", "IF", "LOOP"})
_INNER: Final = {word: kind for word, kind in _HEADS.items() if kind in ("insert", "update", "delete", "merge", "ddl")}
_REACHING: Final = re.compile(
    r"(?:pg_(?:read|ls|stat_file|sleep|terminate|cancel|reload|rotate|promote|switch|logical|write)\w*|lo_(?:import|"
    r"export|from_bytea|put|get)|dblink\w*|load_(?:file|extension)|sleep|benchmark|xp_\w+|sp_\w+|openrowset|"
    r"opendatasource|openquery|utl_\w+|dbms_\w+|sys_(?:exec|eval|get)|readfile|writefile|edit|query_to_xml\w*|"
    r"(?:database|schema|table)_to_xml\w*|set_config|copy_from_program|external_query|system|shell|url|file|s3|"
    r"http(?:uritype|_get|_post)?|remote|mysql|postgresql|read_(?:csv|parquet|json|text|blob)\w*|get_lock|"
    r"master_pos_wait|fts3_tokenizer|current_setting|system\$\w+)",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"[^\W\d][\w$]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z]+")
_UNSURE: Final = re.compile(r"[\\\"`\[#$]|/\*|--|(?<![A-Za-z])[EeNnQqRrBbXxUu]&?'")
_RUN: Final = re.compile(r"/\*!\d{0,6}")
_EXPLAINED: Final = re.compile(
    r"\bexplain\s+(?:query\s+plan\s+(?:for\s+)?|plan\s+for\s+|\([^()]*\)\s*|format\s*=\s*\w+\s+|"
    r"(?:analy[sz]e|verbose|extended|partitions|formatted)\s+)*(?=select|with|insert|update|delete|merge|replace|create)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `kinds` is all that it does, `kind` the gravest of them; names are lower-case.

    `columns` are `table.column`, or `column` where any table may be meant; `stars` the tables of which every column is
    read, "" for all. `unbounded`: it updates or deletes every row. `rows` is its LIMIT, None without one, 0 where none
    is needed. `text` has `?` for every value and no comments. `words` are all its names, for what has no grammar;
    `doubtful` the columns in double quotes, which are values to some databases.
    """

    kind: str
    kinds: frozenset[str]
    text: str
    tables: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    stars: frozenset[str] = frozenset()
    unbounded: bool = False
    rows: int | None = 0
    readable: bool = True
    words: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()

    @property
    def writes(self) -> bool:
        """Whether it changes anything, or may."""
        return not self.kinds.isdisjoint(WRITES)


class _Spent(Exception):
    """The bound on steps is reached."""


class Reader:
    """Reads texts in one dialect, or in each of `DIALECTS`. Immutable; for any thread."""

    def __init__(self, dialect: str = "") -> None:
        """Raises ValueError for a dialect that sqlglot does not know."""
        from sqlglot import Dialect

        # It warns about what it parses only in part, and repeats the statement while doing so.
        logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
        self._dialects = [Dialect.get_or_raise(name) for name in ([dialect] if dialect else DIALECTS)]
        self._parsers = [_bounded(each.parser_class) for each in self._dialects]
        self._comments_run = not dialect or "mysql" in {c.__name__.lower() for c in type(self._dialects[0]).__mro__}

    def read(self, text: str) -> list[Statement]:
        """Every statement of a text, in every reading of it. Never raises."""
        try:
            return list(dict.fromkeys(self._read(text)))
        except (Exception, RecursionError):  # whatever a grammar stumbles over is not readable
            return [unreadable(text)]

    def tree(self, text: str) -> exp.Expr | None:
        """What the grammar of the first dialect makes of one statement; None if nothing. Never raises."""
        try:
            tokens = self._dialects[0].tokenize(text)
            if not tokens or len(tokens) > TOKENS or _depth(tokens) > DEPTH:
                return None
            return self._parse(0, tokens, text, [STEPS])
        except (Exception, RecursionError):
            return None

    def _read(self, text: str) -> Iterator[Statement]:
        steps = [STEPS]
        text = _EXPLAINED.sub("", text)  # as what it explains: with ANALYZE it is run
        texts = [text]
        if self._comments_run and "/*!" in text:
            texts.append(_RUN.sub(" ", text).replace("*/", " "))
        for each in texts:
            readings = self._readings(each)
            if not readings:
                yield unreadable(each)
            found = [self._statements(tokens, each, speakers, steps) for tokens, speakers in readings]
            sure = [reading for reading in found if all(one.readable for one in reading)]
            for reading in sure or found:
                yield from reading
            # A reading that cannot be parsed beside one that can: what it begins with still counts.
            for reading in found if sure else ():
                yield from (one for one in reading if not one.readable and one.kind in _HARD)

    def _readings(self, text: str) -> list[tuple[list[Token], list[int]]]:
        """The ways to cut the text into tokens, each with those dialects that cut it so."""
        unsure = _UNSURE.search(text) is not None
        readings: dict[tuple[str, ...], tuple[list[Token], list[int]]] = {}
        every = range(len(self._dialects))
        for index in every:
            try:
                tokens = self._dialects[index].tokenize(text)
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
        for index in speakers:
            trees = [self._parse(index, piece, text, steps) for piece in pieces]
            read = [tree for tree in trees if tree is not None]
            if len(read) == len(pieces):
                return [_statement(tree, piece, text) for tree, piece in zip(read, pieces, strict=True)]
            if steps[0] <= 0:
                break
        return [_by_words(piece, text, readable=False) for piece in pieces]

    def _parse(self, index: int, piece: list[Token], text: str, steps: list[int]) -> exp.Expr | None:
        from sqlglot.errors import ErrorLevel

        if steps[0] <= 0:
            return None
        parser = self._parsers[index](dialect=self._dialects[index], error_level=ErrorLevel.IMMEDIATE)
        parser.steps = steps
        # Commands are split up anew by other dialects: each gets tokens of its own.
        try:
            trees = [tree for tree in parser.parse(_retyped(self._dialects[index], piece, text), text) if tree]
        except Exception:
            return None
        return trees[0] if len(trees) == 1 and _is_statement(trees[0]) else None


def _retyped(dialect: Any, piece: list[Token], text: str) -> list[Token]:
    """The piece in the dialect's own tokens: the same words may be other keywords in it."""
    tokens: list[Token] = dialect.tokenize(text[piece[0].start : piece[-1].end + 1])
    return tokens


@lru_cache
def _bounded(parser: Any) -> Any:
    """The parser of a dialect that counts its moves."""

    class Bounded(parser):  # type: ignore[misc]  # a class that is known at run time only
        steps: list[int]

        def _advance(self, times: int = 1) -> None:
            steps = self.steps
            steps[0] -= 1
            if steps[0] <= 0:
                raise _Spent
            super()._advance(times)

    return Bounded


def unreadable(text: str) -> Statement:
    """The statement of a text that could not be read, or was too long to be."""
    words = {word.upper() for word in _WORD.findall(text[:200])}
    kinds = frozenset(kind for word, kind in _HEADS.items() if word in words) or frozenset({"other"})
    return Statement(_gravest(kinds), kinds, "", readable=False)


_ORDER: Final = (
    *("fragment", "file", "call", "grant", "ddl", "merge", "delete", "update", "insert", "set", "other"),
    *("transaction", "show", "select"),
)
_HARD: Final = frozenset(_ORDER[1:9])


def _gravest(kinds: Iterable[str]) -> str:
    return min(kinds, key=_ORDER.index)


def _depth(tokens: Iterable[Token]) -> int:
    """How deep brackets are nested; square ones, which parsers try in several ways, count six times."""
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
    """Whether a parser took this for a statement: a bare expression it takes for one, too."""
    from sqlglot import exp

    statements = (
        *(exp.Query, exp.DML, exp.DDL, exp.Merge, exp.Drop, exp.Alter, exp.TruncateTable, exp.Comment, exp.Command),
        *(exp.Copy, exp.LoadData, exp.Attach, exp.Detach, exp.Pragma, exp.Set, exp.Use, exp.Show, exp.Describe),
        *(exp.Grant, exp.Revoke, exp.Execute, exp.Declare, exp.Kill, exp.Transaction, exp.Commit, exp.Rollback),
        *(exp.Analyze, exp.Cache, exp.Uncache, exp.Refresh, exp.Export, exp.Install, exp.IfBlock, exp.WhileBlock),
        *(exp.Values, exp.Block),
    )
    return isinstance(tree, statements)


def _statement(tree: exp.Expr, tokens: list[Token], text: str) -> Statement:
    """What a tree says, and its first word beside it."""
    from sqlglot import exp

    nodes = list(tree.walk())
    if any(isinstance(node, exp.Command) for node in nodes):
        return _by_words(tokens, text, readable=True)
    kinds = _kinds(nodes) | _reaching(tokens) | _heads(tokens)
    tables, columns, stars = _names(nodes)
    quoted = {token.text.lower() for token in tokens if text[token.start : token.start + 1] == '"'}
    return Statement(
        _gravest(kinds),
        frozenset(kinds),
        _plain(tokens, text),
        tables,
        columns,
        stars,
        any(_is_unbounded(node) for node in nodes if isinstance(node, (exp.Update, exp.Delete))),
        _rows(tree),
        doubtful=frozenset(name for name in columns if name.rpartition(".")[2] in quoted),
    )


def _kinds(nodes: Iterable[exp.Expr]) -> set[str]:
    types: set[type] = {type(node) for node in nodes}
    kinds = {kind for kind in map(_kind, types) if kind}
    # A write that reads, and EXPLAIN of a statement, are what they write and what they explain.
    return kinds - {"select"} if kinds & WRITES else kinds - {"show"} if "select" in kinds else kinds or {"other"}


@lru_cache(2048)
def _kind(type_: type) -> str:
    """What a node of this type does; nothing for most."""
    from sqlglot import exp

    table: tuple[tuple[tuple[type, ...], str], ...] = (
        ((exp.Insert,), "insert"),
        ((exp.Update,), "update"),
        ((exp.Delete,), "delete"),
        ((exp.Merge,), "merge"),
        ((exp.Create, exp.Drop, exp.Alter, exp.TruncateTable, exp.Comment, exp.Into, exp.Refresh), "ddl"),
        ((exp.Grant, exp.Revoke), "grant"),
        ((exp.Execute, exp.Declare), "call"),
        ((exp.Copy, exp.LoadData, exp.Attach, exp.Detach, exp.Export, exp.Install), "file"),
        ((exp.Set, exp.Use, exp.Pragma, exp.Kill, exp.Cache, exp.Uncache), "set"),
        ((exp.Show, exp.Describe), "show"),
        ((exp.Transaction, exp.Commit, exp.Rollback), "transaction"),
        ((exp.Query, exp.Values), "select"),
    )
    return next((kind for types, kind in table if issubclass(type_, types)), "")


def _reaching(tokens: list[Token]) -> set[str]:
    """Functions that do more than compute, and words that lead to files: as tokens, whatever the grammar made of it."""
    found = set()
    for index, token in enumerate(tokens):
        word, after = token.text.upper(), tokens[index + 1].text.upper() if index + 1 < len(tokens) else ""
        if (after == "(" or word.startswith("XP_")) and _REACHING.fullmatch(token.text):
            found.add("call")
        if word == "INTO" and after in ("OUTFILE", "DUMPFILE"):
            found.add("file")
    return found


def _heads(tokens: list[Token]) -> set[str]:
    """The kind that the first word names, behind what may stand before it."""
    for token in tokens:
        word = token.text.upper()
        if word in _BEFORE:
            if word == "WITH":
                return set()  # what follows is for the tree
            continue
        kind = _HEADS.get(word)
        if word == "REPLACE":
            return {"insert", "delete"}
        return {kind} if kind and kind not in ("select", "show") else set()
    return set()


def _by_words(tokens: list[Token], text: str, *, readable: bool) -> Statement:
    """A statement without a grammar: whatever it may do by its words, inside its strings too, which it may run."""
    words = [token.text.upper() for token in tokens]
    kinds = _heads(tokens) | _reaching(tokens)
    start = next((index for index, word in enumerate(words) if word not in _BEFORE), 0)
    if words[start] == "SELECT" and "FROM" in words:
        kinds.add("select")
    inside: set[str] = set()
    for token in tokens[start + 1 :]:
        inside.update(map(str.upper, _WORD.findall(token.text)))
    if kinds.isdisjoint({"grant", "transaction", "show"}):
        kinds |= {_INNER[word] for word in inside & _INNER.keys()} if words[0] not in ("SHOW", "DESC") else set()
    elif not kinds:
        kinds = {"other"}
    kinds = kinds or {_HEADS.get(words[start], "other")}
    names = frozenset(word.lower() for token in tokens for word in re.findall(r"[^\W\d][\w$]*", token.text))
    return Statement(
        _gravest(kinds), frozenset(kinds), _plain(tokens, text), unbounded=False, rows=0, readable=readable, words=names
    )


def _plain(tokens: list[Token], text: str) -> str:
    """The statement without values and comments: names, keywords and signs."""
    said, size = [], 0
    for token in tokens:
        kind, word = token.token_type.name, token.text
        value = kind.endswith("STRING") or kind == "NUMBER" or text[token.start : token.start + 1] == '"'
        if value or ((kind == "IDENTIFIER" or word[:1].isalnum()) and not _NAME.fullmatch(word)):
            word = "?"
        said.append(word)
        size += len(word) + 1
        if size > LONGEST:
            break
    return " ".join(said)[:LONGEST]


def _names(nodes: Sequence[exp.Expr]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Tables, columns, and tables of which every column is read."""
    from sqlglot import exp

    made = {node.alias.lower() for node in nodes if isinstance(node, exp.CTE)}
    tables, known = set(), {}
    for node in nodes:
        if isinstance(node, exp.Table) and node.name and (node.db or node.name.lower() not in made):
            full = ".".join(part.name.lower() for part in node.parts)
            tables.add(full)
            known[(node.alias or node.name).lower()] = full
    columns, stars = set(), set()
    for node in nodes:
        if isinstance(node, exp.Column):
            owner = node.table.lower()
            owner, name = known.get(owner, owner), node.name.lower()
            if isinstance(node.this, exp.Star):
                stars.add(owner)
            elif name in known:  # a table's name in the place of a column is the whole row
                stars.add(known[name])
            else:
                columns.add(f"{owner}.{name}" if owner else name)
        elif isinstance(node, exp.Star) and isinstance(node.parent, (exp.Select, exp.Returning)):
            stars.add("")
        elif isinstance(node, exp.Join):
            columns.update(using.name.lower() for using in node.args.get("using") or ())
        elif isinstance(node, exp.Schema):
            columns.update(name.name.lower() for name in node.expressions if name.name)
    return frozenset(tables), frozenset(columns), frozenset(stars)


def _is_unbounded(node: exp.Expr) -> bool:
    """Whether an UPDATE or DELETE has no WHERE, or one that is always true."""
    from sqlglot import exp

    where = node.args.get("where")
    if where is None:
        return not (node.args.get("cluster") or any(join.args.get("on") for join in node.find_all(exp.Join)))
    return _is_idle(where.this)


def _is_idle(condition: exp.Expr) -> bool:
    """Whether a condition lets every row through, as far as can be seen."""
    from sqlglot import exp

    condition = condition.unnest()
    if isinstance(condition, exp.Or):
        return _is_idle(condition.left) or _is_idle(condition.right)
    if isinstance(condition, exp.And):
        return _is_idle(condition.left) and _is_idle(condition.right)
    if isinstance(condition, exp.EQ) and condition.left == condition.right:
        return True
    return condition.find(exp.Column, exp.Query) is None


def _rows(tree: exp.Expr) -> int | None:
    """The most rows that a query gives: its LIMIT, FETCH or TOP; 0 where it reads no table or only counts."""
    from sqlglot import exp

    if not isinstance(tree, exp.Query) or tree.find(exp.Table) is None:
        return 0
    if isinstance(tree, exp.Subquery):
        return _rows(tree.this)
    limit = tree.args.get("limit")
    if limit is not None:
        count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
        count = count.unnest() if count is not None else exp.Literal.number(1)
        return int(count.name) if isinstance(count, exp.Literal) and count.name.isdigit() else None
    if isinstance(tree, exp.Select) and not tree.args.get("group"):
        said = [one.unalias() for one in tree.expressions]
        if said and all(isinstance(one, exp.AggFunc) for one in said):
            return 0
    return None
