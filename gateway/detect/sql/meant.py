"""Whether text that begins like SQL is meant as SQL: by its signs of code, its capitals and its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.detect.sql.forms import RUN
from gateway.detect.sql.read import Statement
from gateway.detect.sql.shape import ARTICLES

_CODE: Final = re.compile(
    r"[=<>()*;\[\]{}@|]|::|'[^']*'|\"[^\"]*\"|\w`[^`\n]+`|`[^`\n]+`\w"
    r"|\b(?:where|values|join|union|set|(?:group|order|cluster|sort|distribute)\s+by"
    r"|fetch\s+(?:first|next)\s|limit\s+\d)\b",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"--|(?<=\w)\#|/\*")  # the beginning of one
_SPOKEN: Final = re.compile(r"(?<!\w)`[^`\n]+`(?!\w)")
_NOUN: Final = re.compile(  # "the SELECT list": before a keyword that is a noun
    r"(?<![\w'])(?:an?|the|this|that|each|every|any|no|its|their|our|your)\s+\Z", re.IGNORECASE
)
_LINE: Final = re.compile(r"(?:^|\n)[\s>*\-+\d.)#$]*(?:\w*sql\w*>[ \t]*)?\Z|[:;`\"'({\[\t=>]\s*\Z|\\n\s*\Z")
_MESSAGE: Final = re.compile(r"\s-(?:a?m|-?(?:message|title|subject|description))[ =][\"']\Z")
_SURE: Final = frozenset(  # openings that no prose has
    {
        "union",
        "into",
        RUN,
        "convert",
        "generate",
        "invalidate",
        "resignal",
        "reassign",
        "msck",
        "undrop",
        "exchange",
        "import",
        "refresh",
        "comment",
        "reindex",
        "flush",
    }
    | {"uncache", "truncate", "grant", "revoke", "rename", "lock", "deallocate", "optimize", "vacuum"}
)
_EMPTY: Final = re.compile(r"select\s+from\s", re.IGNORECASE)  # "columns to select from the table"
_SPACE: Final = re.compile(r"\s")
_PART: Final = r"(?:\w+|`[^`\n]+`)"
_MODES: Final = re.compile(
    r"\w+\s+(?:low_priority|delayed|high_priority|quick)\b|deny\s+\w[\w\s,()]{0,200}?\s+on\s+\S+\s+to\s"
    rf"|fetch\s+(?:(?:next\s+|prior\s+)?from\s+)?\w+\s+into\s+(?:@|\w+\s*,)"
    rf"|drop\s+(?:procedure|function|aggregate)\s*{_PART}\s*,"
    rf"|analyze\s+(?:table\s*)?{_PART}\s*(?:update|drop)\s+histogram|install\s*{_PART}\s*from\s"
    r"|(?:begin|start)\s+transaction\s|(?:commit|rollback)\s+(?:work\s+)?and\s|set\s+(?:session|local|var|variable)\s"
    r"|(?:dis|en)able\s+trigger\s+[^;]{1,200}?\s+on\s",
    re.IGNORECASE,
)
# Words in capitals that may precede a statement.
_OPENERS: Final = frozenset(
    {"AS", "BEGIN", "CASCADE", "CATCH", "DO", "ELSE", "END", "GO", "LOOP", "NULL", "ONLY", "RESTRICT", "RETURN", "THEN"}
    | {"TRAN", "TRANSACTION", "TRY", "WORK"}
)
_ALONE: Final = re.compile(r"\A\s*\Z|(?:```|~~~)\w*[ \t]*\r?\n\Z")
_MILD: Final = frozenset({"select", "table", "show", "use", "describe", "desc", "from", "values", "start", "analyze"})
_NAMED: Final = re.compile(r"[A-Za-z]+\d\w*|(?=\w+_\w)\w++|\w+(?:\.[\w`]+)+|[^\w\"`\[]*+[\"`\[].*+")


def uncommented(body: str) -> str:
    """The statement with each comment replaced by a blank."""
    return " ".join(_between(body)).strip() or body


def _between(body: str) -> Iterator[str]:
    """The text between the comments. Of an end that does not follow, only the last place is looked for."""
    ends = {"\n": body.rfind("\n"), "*/": body.rfind("*/")}
    last = at = 0
    while begun := _COMMENT.search(body, at):
        at = begun.end()
        end = "*/" if begun[0] == "/*" else "\n"
        if at <= ends[end]:
            stop = body.index(end, at) + len(end)
        elif begun[0] == "--":
            stop = len(body)
        else:
            continue
        yield body[last : begun.start()]
        last = at = stop
    yield body[last:]


def stands_alone(before: str, body: str) -> bool:
    """Whether a statement that begins in capitals is a separate text or fenced block."""
    return body[:2].isupper() and _ALONE.search(before) is not None


def is_meant(word: str, before: str, body: str, statements: Sequence[Statement], *, bare: bool, loud: bool) -> bool:
    """Whether unreadable text has signs or words of SQL. `loud`: words in capitals may be words of SQL.

    `bare`: a SELECT without a FROM, perhaps a word that is followed by signs. In small letters, so is one that selects
    nothing.
    """
    if (bare or _EMPTY.match(body)) and not body[:6].isupper() and before[-1] != "(":
        return not all(one.text and one.kinds <= {"select", "other"} for one in statements)
    if bare and _NOUN.search(before) and "(" not in body:
        return False
    plain = uncommented(body)
    if word in _SURE or _MODES.match(plain) or _is_code(plain) or (loud and _is_loud(before, plain)):
        return True
    # Comments that only some databases support: the reading of the others counts, unless it is prose.
    return plain != body and any(one.readable for one in statements) and not is_prose(word, before, plain, writes=True)


def _is_code(text: str) -> bool:
    """Whether there are signs of code. A word in backticks between blanks is how prose quotes names."""
    return _CODE.search(_SPOKEN.sub(" x ", text) if "`" in text else text) is not None


def _is_loud(before: str, body: str) -> bool:
    """Whether the text begins in capitals, the text before does not end in capitals, and there is no article."""
    words = body.split()
    if not words[0].isupper() or not any(map(_coded, words[1:])):
        return False
    return not _shouted(before) and not any(word.lower() in ARTICLES for word in words[1:])


def is_prose(word: str, before: str, body: str, *, trailing: bool = False, writes: bool = False) -> bool:
    """Whether words that could be SQL are prose: neither they nor their place show code."""
    if word == "call" and body[:4] != "CALL" and not body.endswith(";") and not _LINE.search(before):
        return True  # the brackets are not those of a call
    if _is_code(body):
        return False
    words = body.split()
    if words[0].isupper() and not _shouted(before) and len(words) > 1:
        return any(one.lower() in ARTICLES for one in words[1:])
    if trailing or not _LINE.search(before) or _MESSAGE.search(before):
        return True
    return words[0].istitle() and word in _MILD and not writes


def _shouted(before: str) -> bool:
    """Whether the word before is in capitals."""
    last: str = _SPACE.split(before.rstrip())[-1].strip(".,:")
    return last.isupper() and last not in _OPENERS


def _coded(word: str) -> bool:
    """Whether a word is a keyword in capitals, or a name that prose would not write: `c1`, `my_cursor`, `db.foo`."""
    if len(word) > 2 and word.isupper() and word.isalpha():
        return True
    return _NAMED.fullmatch(word) is not None
