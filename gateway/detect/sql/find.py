"""Finds SQL in whole or running text: where a statement may begin, where it ends, and whether it is SQL.

No config key. Statements are passed to `check`, which refuses by raising. Fails closed: text that begins like SQL,
contains signs of code and cannot be parsed is passed on as unreadable.

A running text leaves until a keyword comes with which statements begin. From there it is held: for a few words until
the opening matches or fails (see `shape`), then until the statement ends (`;`, an empty line, a fence, the quote or
backtick around the statement). Each step depends only on the text, so any cut of the text gives the same result. At
most `limit` characters are held: a longer statement is not readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from gateway.budget import spend
from gateway.detect.sql.forms import FIRST, KEYWORDS, LOUD, RUN
from gateway.detect.sql.inject import FRAGMENT, Breakout, variants
from gateway.detect.sql.meant import is_meant, is_prose, stands_alone, uncommented
from gateway.detect.sql.quotes import comment_mark, commented, ending, host_end, literal_end, quotes, unquoted, within
from gateway.detect.sql.read import STEPS, Reader, Statement, unreadable
from gateway.detect.sql.shape import ARTICLES, Select, opening, prose_from
from gateway.detect.unmask.fold import DISGUISE, fold

Check = Callable[[Sequence[Statement]], None]


class Spent(Protocol):
    """Counts the effort of reading, over all texts of an answer."""

    effort: int


class Own:
    """The count for a single text."""

    effort = 0


def _trie(words: Iterable[str]) -> str:
    """A pattern for any of the words, complete or cut off by the end of the text; one path for each letter."""
    following: dict[str, list[str]] = {}
    for word in words:
        following.setdefault(word[:1], []).append(word[1:])
    whole = [r"(?![\w$]|@[^@])"] if following.pop("", None) else [r"\Z"]
    return "(?:" + "|".join([*whole, *(letter + _trie(rest) for letter, rest in sorted(following.items()))]) + ")"


def _begun(words: Iterable[str]) -> str:
    return _trie(words).removeprefix(r"(?:\Z|").removesuffix(")")


# In lower case. The sign before a keyword comes first, because a scan for it skips most of a text.
_START: Final = re.compile(
    rf"[^a-z0-9_$@](?:{_begun(KEYWORDS - FIRST - LOUD - {RUN})}|(?<![^\n;>`\"'#) ] )(?<=[ \n;\"'`(>])"
    rf"(?!from\s[\w.]+\s+im|import\s+[^defit\s]|(?:get|list|open)[(_.])(?:{_begun(FIRST | LOUD)})"
    r"|(?<=[\s\S]{2}/)(?:\*(?:!|\Z)|\Z))"
)
_ASCII: Final = {code: code + 32 for code in range(65, 91)}
_END: Final = re.compile(r"\n[ \t\r]*\n|\n[ \t]*(?:```|~~~)")
_END_BEGUN: Final = re.compile(r"\n[ \t\r]*(?:`{0,2}|~{0,2})\Z")
_ENDING: Final = " \t\r\n`~"
_CLOSING: Final = "\n;`\"'~"
_BRACKETS: Final = re.compile(r"[()]|'[^']*'|\"[^\"]*\"|`[^`]*`")
_OPENED: Final = "( \t\r\n"
WORK: Final = 1_000  # failed checks of openings, in addition to one for each character
EFFORT: Final = 30_000  # steps of the parsers, and as many for checks and characters, in total: half a second
_LOOK: Final = 5  # microseconds per possible beginning,
_MOVE: Final = 16  # and per step of the parsers
PIECE: Final = 4_096  # characters of a whole text taken in at once
# Statements only if the argument contains nothing else: single words, and queries of values without a table. In lower
# case a single word is a value (`action: shutdown`), and a statement only with a semicolon.
_ALONE: Final = re.compile(
    r"\s*(?=[A-Za-z]{3,10}(?:[\s;]|\Z))(?=[SsCcRrBbVvEeAaFfOo])(?:(?:SHUTDOWN|COMMIT|ROLLBACK|BEGIN|VACUUM|REINDEX)\s*+;?|(?i:(?:commit|rollback|begin|vacuum|reindex|analyze|checkpoint|shutdown|abort)\s*+;"
    r"|vacuum\s+(?:(?:full|freeze|verbose|analyze)\b\s*+)++(?:[\w.]+\s*+)?;?|(?:vacuum|analyze)\s+[\w.]+\s*+;"
    r"|(?:end|abort|commit|rollback)(?:\s+(?:work|tran|transaction))(?:\s+and\s+(?:no\s+)?chain)?\s*+;?"
    r"|(?:end|abort|commit|rollback)\s+and\s+(?:no\s+)?chain\s*+;?|set\s+-v"
    r"|fetch\s+(?:(?:next\s+|prior\s+|first\s+|last\s+)?from\s+)?\w+\s+into\s+@?\w+(?:\s*,\s*@?\w+)*\s*+;?"
    r"|set\s+[\w.]+\s+=\s+(?:'[^']*'|[\d.]+|true|false|\([^()]*\)|\[[^\[\]]*\])\s*+;?"
    r"|(?:open|close)\s+`?(?>\w*?cur)\w*+`?\s*+;?|vacuum\s+\w+\s+to\s+\d+\s+percent\b.*))\s*"
)
_VALUE: Final = re.compile(
    r"\s*select\s+(?:(?:distinct|all|as\s+(?:struct|value))\s+)?(?:0[xb][0-9a-f]*|[~!]\d|null\s+(?:as|is)\b|(?:true|false)\s+as\s|@@?\w+|'[^']*'|(?:current_|local)\w+\b|sysdate\b"
    r"|\$\w*\$|interval\s+(?:'[^']*'|\d+)\s|case\s+when\b|(?:map|struct|array)\s*[\[{(]|[a-z_]\w*\.\w+(?:,|\s*\Z)"
    r"|[-+]?[\d._]+(?:e[-+]?\d+)?[a-z]{0,2}(?:\s*[-+*/%,;&|<>=!]|\s+as\s|\s*\Z|(?-i:\s+[A-Z])))",
    re.IGNORECASE,
)
# In capitals, unless only capitals follow, or a word that only prose has there.
_COMPUTED: Final = re.compile(
    rf"\s*SELECT\s++(?!(?i:{'|'.join(sorted(ARTICLES))}|an?|all|any|one|if|when|from)\b)(?=[\s\S]*[a-z\d'$@~:*_(])[^\s.!]+(?!\s+[A-Z][a-z])"
)
_SHORT: Final = 1_000
_FROM: Final = re.compile(r"\bfrom\b", re.IGNORECASE)
_QUOTES: Final = "'\""
_TRIPLE: Final = ("'''", '"""')
_MEMBER: Final = re.compile(r"[\w)\]]\.\Z")
_BEFORE: Final = 80  # characters of the released text that are kept


def _lower(text: str) -> str:
    """The text in lower case, as long as it is."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_ASCII)


class Finder:
    """Finds statements in one text. `feed` returns the text that may leave; `check` raises to stop it."""

    __slots__ = (
        *("_before", "_blank", "_check", "_comment", "_ended", "_held", "_limit", "_mark", "_reader", "_select"),
        *("_since", "_spent", "_stands", "_word", "_work", "_yes"),
    )

    def __init__(
        self, reader: Reader, check: Check, limit: int, *, blank: bool = True, spent: Spent | None = None
    ) -> None:
        """`blank`: an empty line ends a statement, as it does in prose."""
        self._spent = spent or Own()
        self._reader = reader
        self._check = check
        self._limit = limit
        self._blank = blank
        self._before = "\n\n"  # the end of the released text
        self._held = ""  # from where a statement may begin
        self._ended = False  # the text or its fence ends here
        self._mark = ""  # the quotes around the last statement, if no word has come since
        self._stands = ""  # the quotes around this statement
        self._comment = ""  # the mark of the comment lines of a program that it stands in
        self._work = 0  # failed checks so far
        self._word = ""  # the keyword that `_held` begins with, once that is known
        self._begin()

    def _begin(self) -> None:
        self._select: Select | None = None
        self._since = 0
        self._yes = 0

    def feed(self, text: str) -> str:
        """Take a piece; returns the text that may leave."""
        if not self._held:
            before = self._before
            plain = _START.search((before[-2:] + text).lower(), 1) is None
            if plain and (text.isascii() or not DISGUISE.search(text)):
                if self._mark and not text.isspace():
                    self._mark = ""
                self._before = text if len(text) >= _BEFORE else (before + text)[-_BEFORE:]
                self._work -= len(text)
                return text
        elif self._yes and not any(sign in text for sign in _CLOSING) and len(self._held) + len(text) <= self._limit:
            self._held += text
            return ""
        self._held += text
        return self._go_on(final=False)

    def whole(self, text: str) -> None:
        """Take a whole text, with nothing after it."""
        for start in range(0, len(text), PIECE):
            self.feed(text[start : start + PIECE])
        self.close()

    def close(self) -> str:
        """Judge the rest at the end of the text, and return it."""
        return self._go_on(final=True) if self._held else ""

    def _go_on(self, *, final: bool) -> str:
        out: list[str] = []
        while self._held:
            spend(_LOOK + (len(self._held) >> 5))
            text, places = fold(self._held)
            if not self._word:
                found = _START.search(_lower(self._before[-2:] + text), 1)
                if found is None:
                    out.append(self._leave(len(text), places))
                    break
                run = found[0][0] == "/" and not found[0][1:].isalpha()
                start = found.start() - (2 if run else 1)
                if start:
                    if self._mark and not text[:start].isspace():
                        self._mark = ""
                    out.append(self._leave(start, places))
                    continue
                if not run and found[0][0].isalpha():  # of another alphabet
                    out.append(self._leave(start + 1, places))
                    continue
                word = found[0] if run else found[0][1:]
                if not final and found.end() - 2 == len(text) and word != RUN:
                    break  # the word is not complete: it may become a keyword or another word
                if word in LOUD and not text[: len(word)].isupper():
                    out.append(self._leave(len(word), places))
                    continue
                if word not in KEYWORDS:
                    out.append(self._leave(len(text), places))
                    break
                self._word = word
                self._stands = quotes(self._before) or self._mark
                self._comment = comment_mark(self._before)
            end = self._judge(text, final)
            if end is None:
                break
            self._mark = self._stands if text[:end].rstrip().endswith(";") else ""
            out.append(self._leave(end, places))
            self._word = ""
            self._begin()
        return "".join(out)

    def _leave(self, end: int, places: Sequence[int] | None) -> str:
        """Release the first `end` folded characters."""
        if places is not None:
            end = places[end] if end < len(places) else len(self._held)
        text = self._held[:end]
        self._held = self._held[end:]
        if text:
            self._before = (self._before + fold(text)[0])[-_BEFORE:]
            self._work -= len(text)
        return text

    def _judge(self, text: str, final: bool) -> int | None:
        """How much of the text, which begins with a keyword, may leave; None if not decided yet."""
        if self._comment and "\n" in text:
            text, final = commented(text, self._comment, final=final)
        border = _END.search(text) if self._blank else None
        self._ended = final or (border is not None and border[0][-1] in "`~")
        if border:
            text, final = text[: border.start() + 1], True
        over = len(text) > self._limit
        if over:
            text, final = text[: self._limit], False
        if self._blank and not final and text[-1] in _ENDING and (begun := _END_BEGUN.search(text)):
            text = text[: begun.start()]
        if not self._stands and not final and text[-1] in _QUOTES:
            text = text.rstrip(text[-1])  # they may become three
        if not self._stands and any(marks in text for marks in _TRIPLE):
            end = literal_end(text, final=final)
            if end is not None:
                text, final = text[:end], True
        said = text
        if self._stands or "\\" in text:
            text, said, final = within(text, self._stands, final=final)
        if not self._yes:
            spend(len(text) >> 3)
            verdict = self._opening(said, final)
            if verdict == "open":
                return None if not over else self._too_much(text)
            looked = self._select.at if self._select else self._since
            self._work = max(0, self._work) + 1 + looked // 16
            self._spent.effort += looked // 2
            if verdict == "long" or self._work > WORK or self._spent.effort > EFFORT:
                return self._too_much(text)
            if verdict == "no":
                return len(self._word)
        end = ending(said, max(self._yes - 1, 0), final=final)
        if end is None:
            return None if not over else self._too_much(text)
        return self._statement(text[:end])

    def _too_much(self, text: str) -> int:
        """Stop deciding on a text that takes more work than prose and SQL do."""
        self._work = 0
        self._check([unreadable(text)])
        return len(text)

    def _opening(self, text: str, final: bool) -> str:
        if self._word == "pragma" and self._before[-1] == "#":
            return "no"  # of C
        if not text[: len(self._word)].isupper() and _MEMBER.search(self._before, len(self._before) - 2):
            after = text[len(self._word) : len(self._word) + 1]
            if after in "([`":
                return "no" if after or final else "open"  # of an object: `table.copy(insert)`, `sql.Select[str]`
        if self._word == "select":
            if self._select is None:
                self._select = Select()
            verdict = self._select.advance(text, final)
            self._yes = self._select.end if verdict == "yes" else 0
            return verdict
        verdict, self._yes, self._since = opening(text, self._word, self._since, final)
        if verdict != "yes":
            self._yes = 0
        return verdict

    def _bracketed(self, body: str) -> tuple[str, int]:
        """A statement in brackets, such as `(SELECT 1) UNION ...`, and its length in the text."""
        opened = self._before[len(self._before.rstrip(_OPENED)) :].count("(")
        closed = depth = 0
        for sign in _BRACKETS.finditer(body):
            if sign[0] == "(":
                depth += 1
            elif sign[0] == ")":
                depth -= 1
                if depth < -opened:
                    return "(" * closed + body[: sign.start()], sign.start()
                closed = max(closed, -depth)
        return "(" * closed + body, len(body)

    def _statement(self, piece: str) -> int:
        """Pass on the statements in a piece; returns how many characters are finished."""
        size = len(piece)
        body = (unquoted(piece, self._stands) if self._stands else piece).strip()
        statements = self._read(body)
        if not self._stands and "\\" in body and not all(one.readable for one in statements):
            undone = unquoted(body, "")
            plain = self._read(undone)
            if all(one.readable for one in plain):
                body, statements = undone, plain
        if self._spent.effort > EFFORT:
            return self._too_much(piece)
        if not all(one.readable for one in statements):
            within, end = self._bracketed(body)
            if within != body and (end == len(body) or not self._stands):
                inner = self._read(within)
                if all(one.readable for one in inner):
                    if self._is_prose(body[:end], inner):
                        return len(self._word)
                    self._check(inner)
                    return min(end, size) if end < len(body) else size
            bare = self._select is not None and self._select.bare
            if not self._stands and (end := host_end(body)):
                size, body = min(end, size), body[:end].rstrip()
                statements = self._read(body)
                if all(one.readable for one in statements):
                    return self._judged(body, statements, size)
            cut = prose_from(body, len(self._word) if bare else min(self._yes, len(body)))
            begun = body[:cut].rstrip(" \n,.:") if cut else body.rstrip(".:,!? )")
            shorter = self._read(begun) if begun != body else statements
            if all(one.readable for one in shorter):
                if self._is_prose(begun, shorter, trailing=cut is not None):
                    return len(self._word)
                self._check(shorter)
                return min(cut, size) if cut else size
            alone = self._ended and self._yes >= len(body) and stands_alone(self._before, body)
            if not alone and not is_meant(self._word, self._before, body, statements, bare=bare, loud=cut is None):
                return len(self._word)
            self._check(statements)
            return size
        return self._judged(body, statements, size)

    def _judged(self, body: str, statements: Sequence[Statement], size: int) -> int:
        """Pass on statements that were read, unless they are prose; returns how many characters are finished."""
        if self._is_prose(body, statements):
            return len(self._word)
        self._check(statements)
        return size

    def _is_prose(self, body: str, statements: Sequence[Statement], *, trailing: bool = False) -> bool:
        plain, writes = uncommented(body), any(one.writes for one in statements)
        return is_prose(self._word, self._before, plain, trailing=trailing, writes=writes)

    def _read(self, text: str) -> list[Statement]:
        statements, moves = self._reader.weighed(text)
        spend(moves * _MOVE)
        self._spent.effort += 10 + len(text) // 4 + moves
        return statements


class Arguments:
    """Searches arguments of tool calls: as a whole, where an empty line does not end a statement, and decoded."""

    def __init__(self, reader: Reader, breakout: Breakout, limit: int) -> None:
        self._reader = reader
        self._breakout = breakout
        self._limit = limit

    def __call__(self, text: str, check: Check, spent: Spent | None = None) -> None:
        """Pass every statement and every fragment to `check`."""
        spent = spent or Own()
        alone = _ALONE.fullmatch(text) is not None
        if alone or (_VALUE.match(text) and not _FROM.search(text)):
            read = self._reader.read(f"{text.strip().rstrip(';')};")
            if alone or all(one.readable for one in read):
                check(read)
                return
        elif _COMPUTED.match(text) and not _FROM.search(text) and len(text) <= _SHORT:
            read = self._reader.read(text)
            if all(one.readable and not one.words for one in read):
                check(read)
                return
        for said in variants(text):
            spend(_LOOK + (len(said) >> 3))
            found: list[Statement] = []
            finder = Finder(self._reader, found.extend, self._limit, blank=False, spent=spent)
            finder.whole(said)
            if found:
                check(found)
                continue
            steps = [STEPS]
            if self._breakout(fold(said)[0], steps):
                check([FRAGMENT])
            spent.effort += STEPS - steps[0]
            spend((STEPS - steps[0]) * _MOVE)
            if spent.effort > EFFORT:
                check([unreadable(said)])
                return
