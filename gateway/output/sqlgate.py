"""A gate: the SQL statements that an answer may contain, in arguments of tool calls and in texts.

Config key: `output.sql`; a policy's obligation `sql` narrows it for one call. Refuses with sql_blocked. Fails closed:
text that looks like SQL and cannot be parsed, or is longer than `max_chars`, is refused. Messages contain kinds of
statement and rules, never a name or a value of the statement.

`SqlFacts` describes the statements in the tool calls of a request for policies.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from gateway.call import Call, Json
from gateway.config.sections import Sql
from gateway.detect.sql import forms
from gateway.detect.sql.find import Arguments, Finder
from gateway.detect.sql.inject import Breakout
from gateway.detect.sql.read import KINDS, Reader, Statement
from gateway.dialects import positions
from gateway.errors import Refusal
from gateway.redaction.texts import Generations, hashed
from gateway.texts import Slot

MAX_FACTS: Final = 100  # maximum number of statements of one request in the policy input
_REMEMBERED: Final = 4_096  # texts
_SHORT: Final = 7  # characters; no statement is shorter


class SqlGate:
    """The gate, compiled for one configuration; None: only if a policy requires it."""

    def __init__(self, config: Sql | None) -> None:
        self.configured = config is not None
        self._config = config or Sql(allow=KINDS, require_where=False)
        self._tables = _Patterns(self._config.deny_tables)
        self._columns = _Patterns(pattern for pattern in self._config.deny_columns if "." not in pattern)
        self._dotted = _Patterns(pattern for pattern in self._config.deny_columns if "." in pattern)
        self._allow = frozenset(self._config.allow)
        self._reader = Reader(self._config.dialect or "")
        self._arguments: Arguments | None = None
        self.limit = self._config.max_chars
        forms.prepare()

    def load(self) -> None:
        """Import the grammars, which takes a third of a second: in a thread, before the first answer is judged."""
        self._reader.load()

    def demanded(self, call: Call) -> tuple[SqlGate, ...]:
        """This gate, if the configuration has none and a policy requires one for the call."""
        obliged = call.authorization.decision is not None and call.authorization.decision.obligations.sql is not None
        return (self,) if obliged and not self.configured else ()

    def guard(self, call: Call) -> Finder:
        """The judge of one running text."""
        return Finder(self._reader, self._check(call), self.limit, spent=call.screening)

    def text(self, call: Call, text: str) -> str:
        """The text, unchanged. Raises Refusal(sql_blocked)."""
        if len(text) >= _SHORT:
            self.guard(call).whole(text)
        return text

    def argument(self, call: Call, text: str) -> str:
        """A string in the arguments of a tool call, unchanged. Raises Refusal(sql_blocked)."""
        if len(text) >= _SHORT:
            self.arguments()(text, self._check(call), call.screening)
        return text

    def request(self, call: Call, slots: Sequence[Slot], *, every: bool = False) -> None:
        """Check the arguments of a call of a tool. `every`: each text is one. Raises Refusal(sql_blocked)."""
        try:
            for slot in slots:
                if every or positions.is_argument(slot):
                    self.argument(call, slot.text)
        except Refusal as refusal:
            words = refusal.message.replace("The answer contained", "The arguments contained")
            raise Refusal(refusal.code, words, stage="authorize", detail=refusal.detail) from None

    def arguments(self) -> Arguments:
        """A function that checks strings of arguments."""
        if self._arguments is None:
            self._arguments = Arguments(self._reader, Breakout(self._config.dialect or ""), self.limit)
        return self._arguments

    def _check(self, call: Call) -> Callable[[Sequence[Statement]], None]:
        demanded = call.authorization.decision.obligations.sql if call.authorization.decision is not None else None
        allow = self._allow if demanded is None else self._allow.intersection(demanded)

        def check(statements: Sequence[Statement]) -> None:
            for statement in statements:
                problem = self._problem(statement, allow)
                if problem:
                    raise _refusal(problem, statement)

        return check

    def _problem(self, statement: Statement, allow: Collection[str]) -> str:
        """The problem of a statement, as a phrase for the message; "" if the statement may pass."""
        config = self._config
        if not statement.readable:
            return (
                f"SQL that cannot be read, is longer than {config.max_chars} characters (output.sql.max_chars), or "
                "takes more to read than one answer may"
            )
        refused = sorted(statement.kinds.difference(allow))
        if refused:
            return f"SQL of a kind that may not pass ({', '.join(refused)})"
        if self._names_denied(statement):
            return "SQL that names a table or column that may not be touched (output.sql.deny_tables, deny_columns)"
        if config.require_where and statement.unbounded:
            return f"SQL that would {statement.kind} every row: it needs a WHERE (output.sql.require_where)"
        most = config.require_limit
        if most is not None and "select" in statement.kinds and (statement.rows is None or statement.rows > most):
            return f"a query without a LIMIT of at most {most} rows (output.sql.require_limit)"
        return ""

    def _names_denied(self, statement: Statement) -> bool:
        tables, columns, dotted = self._tables, self._columns, self._dotted
        names = {*statement.tables, *(name.rpartition(".")[2] for name in statement.tables)}
        if tables and any(map(tables, names | statement.words)):
            return True
        if not (columns or dotted):
            return False
        last = {name.rpartition(".")[2] for name in statement.columns} | statement.words
        if columns and (statement.stars or any(map(columns, last))):
            return True
        return bool(dotted) and self._dotted_denied(statement, names)

    def _dotted_denied(self, statement: Statement, names: Collection[str]) -> bool:
        """Whether a column that is denied for a table is read from that table, by name or by `*`."""
        wild = [pattern.lower().rpartition(".") for pattern in self._config.deny_columns if "." in pattern]
        for star in statement.stars:
            owners = names if not star else {star, star.rpartition(".")[2]}
            if any(fnmatch.fnmatchcase(owner, table) for owner in owners for table, _, _ in wild):
                return True
        for column in statement.columns:
            owner, _, name = column.rpartition(".")
            owners = {owner, owner.rpartition(".")[2]} if owner else set(names)
            if any(map(self._dotted, (f"{table}.{name}" for table in owners))):
                return True
        return any(
            fnmatch.fnmatchcase(word, column) for word in statement.words for _, _, column in wild
        )  # no grammar tells the table of the column


class _Patterns:
    """Shell patterns for names in lower case; false without patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [re.compile(fnmatch.translate(pattern.lower())) for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def __call__(self, name: str) -> bool:
        return any(pattern.match(name) for pattern in self._patterns)


def _refusal(problem: str, statement: Statement) -> Refusal:
    return Refusal(
        "sql_blocked",
        f"The answer contained {problem} and was stopped. Change the request, or ask the operator about output.sql.",
        stage="output",
        detail={"sql": sorted(statement.kinds)},
    )


class SqlFacts:
    """The SQL in the tool calls of a request, for the policy input; repeated texts are parsed once."""

    def __init__(self, gate: SqlGate) -> None:
        self._gate = gate
        self._known: Generations[tuple[Json, ...]] = Generations(_REMEMBERED)

    def of(self, slots: Sequence[Slot], team: str = "") -> list[Json]:
        """`{statement, kind, kinds, tables, columns, writes, readable}` of each different statement; values are `?`."""
        found: list[Json] = []
        for slot in slots:
            if len(slot.text) < _SHORT or not positions.is_argument(slot):
                continue
            key = hashed((team, slot.text))
            facts = self._known.recall(key)
            if facts is None:
                facts = self._read(slot.text)
                self._known.keep(key, facts)
            found += [fact for fact in facts if fact not in found]
            if len(found) >= MAX_FACTS:
                break
        return found[:MAX_FACTS]

    def _read(self, text: str) -> tuple[Json, ...]:
        statements: list[Statement] = []
        self._gate.arguments()(text, statements.extend)
        return tuple(map(_fact, dict.fromkeys(statements)))


def _fact(statement: Statement) -> Json:
    return {
        "statement": statement.text,
        "kind": statement.kind,
        "kinds": sorted(statement.kinds),
        "tables": _identifiers(statement.tables),
        "columns": _identifiers(statement.columns - statement.doubtful),
        "writes": statement.writes,
        "readable": statement.readable,
    }


_IDENTIFIER: Final = re.compile(r"[^\W\d][\w$]{0,63}(?:\.[^\W\d][\w$]{0,63}){0,3}")


def _identifiers(names: Iterable[str]) -> list[str]:
    """The names that have the form of an identifier: other quoted text may be a value."""
    return sorted(name for name in names if _IDENTIFIER.fullmatch(name))
