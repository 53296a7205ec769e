"""The facts of a SQL statement: from the tree of sqlglot, and from its words if there is no tree.

No config key. If words and tree differ, both count. sqlglot is imported late, by the `Reader` (see `read`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

KINDS: Final = (
    *("select", "insert", "update", "delete", "merge", "ddl", "grant", "call", "file", "set", "show", "transaction"),
    *("fragment", "other"),
)
"""Kinds of statements. call: procedures, dynamic SQL and functions that reach out of the database (`_REACHING`);
file: access to files, programs or other databases; fragment: text that breaks out of a value."""
WRITES: Final = frozenset(KINDS) - {"select", "show", "transaction"}
LONGEST: Final = 1_000  # characters of a statement as a policy sees it

_HEADS: Final = {
    word: kind
    for kind, words in {
        "select": "SELECT VALUES TABLE FROM",
        "insert": "INSERT REPLACE UPSERT INS",
        "update": "UPDATE UPDATETEXT WRITETEXT UPD",
        "delete": "DELETE DEL",
        "merge": "MERGE",
        "ddl": "CREATE ALTER DROP TRUNCATE RENAME COMMENT REINDEX CLUSTER REFRESH OPTIMIZE VACUUM UNDROP PURGE ANALYZE "
        "FLASHBACK DISABLE ENABLE",
        "grant": "GRANT REVOKE DENY",
        "call": "CALL EXEC EXECUTE DO PREPARE DEALLOCATE DECLARE HANDLER OPEN FETCH",
        "file": "ADD COPY LOAD ATTACH DETACH UNLOAD BULK BACKUP RESTORE IMPORT EXPORT INSTALL PUT GET",
        "set": "CHANGE SET RESET USE PRAGMA KILL SHUTDOWN FLUSH RECONFIGURE DBCC LOCK UNLOCK DISCARD CHECKPOINT",
        "show": "SHOW DESCRIBE DESC",
        "transaction": "XA START COMMIT ROLLBACK SAVEPOINT RELEASE ABORT",
        "other": "WAITFOR NOTIFY LISTEN UNLISTEN",
    }.items()
    for word in words.split()
}
# Words before a statement that they execute: the kind is that of the statement.
_BEFORE: Final = frozenset({"EXPLAIN", "ANALYZE", "ANALYSE", "VERBOSE", "WITH", "BEGIN", "THEN", "ELSE", "IF", "LOOP"})
_INNER: Final = {word: kind for word, kind in _HEADS.items() if kind in ("insert", "update", "delete", "merge", "ddl")}
_REACHING: Final = re.compile(
    r"(?:pg_(?:read|ls|stat_file|sleep|terminate|cancel|reload|rotate|promote|switch|logical|write)\w*|lo_(?:import|"
    r"export|from_bytea|put|get|unlink|creat|create|open|truncate\w*)|lo(?:write|read)|nextval|setval|pg_notify|"
    r"pg_(?:try_)?advisory\w*|pg_(?:backup|create|drop|replication|copy|import|export|log|wal|start|stop)_\w+|dblink\w*|load_(?:file|extension)|sleep|benchmark|xp_\w+|sp_\w+|openrowset|"
    r"opendatasource|openquery|utl_\w+|dbms_\w+|sys_(?:exec|eval|get)|readfile|writefile|edit|query_to_xml\w*|"
    r"(?:database|schema|table)_to_xml\w*|set_config|copy_from_program|external_query|system|shell|url|file|s3|"
    r"http(?:uritype|_get|_post)?|remote|mysql|postgresql|read_(?:csv|parquet|json|text|blob)\w*|get_lock|"
    r"master_pos_wait|fts3_tokenizer|current_setting|system\$\w+)",
    re.IGNORECASE,
)
_TAKES_FROM: Final = frozenset({"EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "OVERLAY", "POSITION", "LTRIM", "RTRIM"})
_PACKAGES: Final = ("UTL_", "DBMS_")
_NAME: Final = re.compile(r"[^\W\d][\w$]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `kinds`: all its kinds; `kind`: the most severe one. Names are in lower case.

    `columns` are `table.column`, or `column` if any table may be meant. `stars`: the tables whose columns are all read,
    "" for all tables. `unbounded`: the statement updates or deletes every row. `rows`: its LIMIT, None without a LIMIT,
    0 if none is needed. `text` has `?` for every value and no comments. `words`: all names, for statements that cannot
    be parsed. `doubtful`: columns in double quotes, which are values for some databases.
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
        """Whether the statement changes or may change anything."""
        return not self.kinds.isdisjoint(WRITES)


def unreadable(text: str) -> Statement:
    """The statement of a text that could not be read, or is too long."""
    words = {word.upper() for word in _WORD.findall(text[:200])}
    kinds = frozenset(kind for word, kind in _HEADS.items() if word in words) or frozenset({"other"})
    return Statement(_gravest(kinds), kinds, "", readable=False)


_ORDER: Final = (
    *("fragment", "file", "call", "grant", "ddl", "merge", "delete", "update", "insert", "set", "other"),
    *("transaction", "show", "select"),
)
HARD: Final = frozenset(_ORDER[1:9])


def _gravest(kinds: Iterable[str]) -> str:
    return min(kinds, key=_ORDER.index)


def statement(tree: exp.Expr, tokens: list[Token], text: str) -> Statement:
    """The statement of a tree; the kind of its first word counts as well."""
    from sqlglot import exp

    nodes = list(tree.walk())
    if any(isinstance(node, exp.Command) for node in nodes):
        return by_words(tokens, text, readable=True)
    kinds = _kinds(nodes) | _reaching(tokens, text) | _heads(tokens)
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
    # A write that also reads is a write; EXPLAIN has the kind of the explained statement.
    return kinds - {"select"} if kinds & WRITES else kinds - {"show"} if "select" in kinds else kinds or {"other"}


@lru_cache(2048)
def _kind(type_: type) -> str:
    """The kind of a node of this type; "" for most."""
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


def _reaching(tokens: list[Token], text: str) -> set[str]:
    """Kinds of functions that do more than compute, and of words for files: from the tokens, not the tree."""
    found = set()
    callers: list[str] = []  # the word before each open bracket
    for index, token in enumerate(tokens):
        word, after = token.text.upper(), tokens[index + 1].text.upper() if index + 1 < len(tokens) else ""
        # A package is named before its functions: `utl_http.request(...)`.
        called = tokens[index + 3].text == "(" if index + 3 < len(tokens) else False
        packed = after == "." and called and word.startswith(_PACKAGES)
        if (after == "(" or packed or word.startswith("XP_")) and _REACHING.fullmatch(token.text):
            found.add("call")
        if word == "INTO" and after in ("OUTFILE", "DUMPFILE"):
            found.add("file")
        if word == "(":
            callers.append(tokens[index - 1].text.upper() if index else "")
        elif word == ")" and callers:
            callers.pop()
        elif word in ("FROM", "JOIN") and after and not (callers and callers[-1] in _TAKES_FROM):
            begin = tokens[index + 1].start
            if text[begin : begin + 1] == "'":  # a file, to DuckDB and others
                found.add("file")
    return found


def _heads(tokens: list[Token]) -> set[str]:
    """The kind of the first significant word."""
    for token in tokens:
        word = token.text.upper()
        if word in _BEFORE:
            if word == "WITH":
                return set()  # the tree decides on the rest
            continue
        kind = _HEADS.get(word)
        if word == "REPLACE":
            return {"insert", "delete"}
        return {kind} if kind and kind not in ("select", "show") else set()
    return set()


def by_words(tokens: list[Token], text: str, *, readable: bool, quoted: bool = True) -> Statement:
    """A statement that cannot be parsed: all kinds of its words, also of those in strings, which may be executed.

    `quoted` is false if another reading can be parsed: then words in the quotes of any database are names.
    """
    said = tokens if quoted else _unquoted(tokens, text) or tokens
    words = [token.text.upper() for token in said]
    kinds = _heads(said) | _reaching(tokens, text)
    start = next((index for index, word in enumerate(words) if word not in _BEFORE), 0)
    if words[start] == "SELECT" and "FROM" in words:
        kinds.add("select")
    inside: set[str] = set()
    for token in said[start + 1 :]:
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


def _unquoted(tokens: list[Token], text: str) -> list[Token]:
    """The tokens that are not in the quotes of any database.

    If backticks or brackets are not quotes in a dialect, they are tokens. There a statement with a backtick is invalid,
    and brackets contain subscripts and values: no word between two of them begins a statement.
    """
    left: list[Token] = []
    opened: list[tuple[str, int]] = []  # the expected closing bracket or backtick, and the token before the opening one
    for token in tokens:
        kind, said = token.token_type.name, token.text
        if kind.endswith("STRING") or (kind == "IDENTIFIER" and text[token.start : token.start + 1] in ('"', "`", "[")):
            continue
        if opened and said == opened[-1][0]:
            del left[opened.pop()[1] :]
        elif said in ("[", "`"):
            opened.append(("]" if said == "[" else said, len(left)))
            left.append(token)
        else:
            left.append(token)
    return left


def unquoted(tokens: list[Token], text: str = "") -> set[str]:
    """The words of a reading except values; with `text`, also without names in quotes."""
    said = (
        _unquoted(tokens, text) if text else [token for token in tokens if not token.token_type.name.endswith("STRING")]
    )
    return {word for token in said for word in _NAME.findall(token.text.upper())}


def _plain(tokens: list[Token], text: str) -> str:
    """The statement without values and comments: only names, keywords and signs."""
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
    """Tables, columns, and tables whose columns are all read."""
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
    """Whether a condition is obviously true for every row."""
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
    """The maximum number of rows of a query: its LIMIT, FETCH or TOP; 0 if it reads no table or only counts."""
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
