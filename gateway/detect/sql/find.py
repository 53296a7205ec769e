"""Finds SQL in text, whole or running: where a statement may begin, where it ends, and whether it is one.

No config key; what is found is handed to `check`, which refuses by raising. Fails closed: what opens as SQL, holds
signs that only code has and cannot be read is handed on as unreadable.

A running text flows until a keyword comes with which statements begin. From there on it is held: for a few words until
its opening is fulfilled or is not (see `sqlshape`), then until the statement ends (`;`, an empty line, a fence, the
quote or backtick it stands in). Every step depends on the text alone, so any cut of it gives the same result. More than
`limit` characters are not held: a statement longer than that is not readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from gateway.budget import spend
from gateway.detect.sql.forms import FIRST, KEYWORDS, LOUD, RUN
from gateway.detect.sql.inject import FRAGMENT, Breakout, variants
from gateway.detect.sql.read import STEPS, Reader, Statement, unreadable
from gateway.detect.sql.shape import ARTICLES, Select, opening, prose_from
from gateway.detect.unmask.fold import DISGUISE, fold

Check = Callable[[Sequence[Statement]], None]


class Spent(Protocol):
    """Who keeps count of what reading takes, over all texts of an answer."""

    effort: int


class Own:
    """The count of one text alone."""

    effort = 0


def _trie(words: Iterable[str]) -> str:
    """A pattern for any of the words, whole, or begun where the text ends: one path for each letter."""
    following: dict[str, list[str]] = {}
    for word in words:
        following.setdefault(word[:1], []).append(word[1:])
    whole = [r"(?![\w$@])"] if following.pop("", None) else [r"\Z"]
    return "(?:" + "|".join([*whole, *(letter + _trie(rest) for letter, rest in sorted(following.items()))]) + ")"


def _begun(words: Iterable[str]) -> str:
    return _trie(words).removeprefix(r"(?:\Z|").removesuffix(")")


# In lower case. What stands before a keyword comes first: most of a text is skipped by a scan for that.
_START: Final = re.compile(
    rf"[^a-z0-9_$@](?:{_begun(KEYWORDS - FIRST - LOUD - {RUN})}|(?<![^\n;>`\"'#) ] )(?<=[ \n;\"'`(>])"
    rf"(?!from\s[\w.]+\s+im|import\s+[^defit\s]|(?:get|list|open)[(_.])(?:{_begun(FIRST | LOUD)})"
    r"|(?<=[\s\S]{2}/)(?:\*(?:!|\Z)|\Z))"
)
_ASCII: Final = {code: code + 32 for code in range(65, 91)}
_END: Final = re.compile(r"\n[ \t\r]*\n|\n[ \t]*(?:```|~~~)")
_CLOSING: Final = "\n;`\"'~"
_CODE: Final = re.compile(
    r"[=<>()*;\[\]{}@|]|'[^']*'|\"[^\"]*\"|\b(?:where|values|join|union|set|(?:group|order|cluster|sort|distribute)\s+by"
    r"|fetch\s+(?:first|next)\s|limit\s+\d)\b",
    re.IGNORECASE,
)
_LINE: Final = re.compile(r"(?:^|\n)[\s>*\-+\d.)#$]*(?:\w*sql\w*>[ \t]*)?\Z|[:;`\"'({\[\t=>]\s*\Z|\\n\s*\Z")
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
_MODES: Final = re.compile(
    r"\w+\s+(?:low_priority|delayed|high_priority|quick)\b|deny\s+\w[\w\s,()]{0,200}?\s+on\s+\S+\s+to\s"
    r"|fetch\s+(?:(?:next\s+|prior\s+)?from\s+)?\w+\s+into\s+(?:@|\w+\s*,)|drop\s+(?:procedure|function|aggregate)\s+\w+\s*,"
    r"|(?:begin|start)\s+transaction\s|(?:commit|rollback)\s+(?:work\s+)?and\s|set\s+(?:session|local|var|variable)\s"
    r"|(?:dis|en)able\s+trigger\s+[^;]{1,200}?\s+on\s",
    re.IGNORECASE,
)
_MILD: Final = frozenset({"select", "table", "show", "use", "describe", "desc", "from", "values", "start", "analyze"})
_NAMED: Final = re.compile(r"[A-Za-z]+\d\w*|\w+_\w+|\w+(?:\.\w+)+")
_BRACKETS: Final = re.compile(r"[()]|'[^']*'|\"[^\"]*\"|`[^`]*`")
_INSIDE: Final = re.compile(r"([\"'`])\([(\s]*\Z")
_OPENED: Final = "( \t\r\n"
WORK: Final = 1_000  # looks at openings in vain, beyond one for each character
EFFORT: Final = 30_000  # moves of the parsers, and as much for looks and characters, over all: half a second
_LOOK: Final = 5  # microseconds that a possible beginning takes,
_MOVE: Final = 16  # and a move of the parsers
PIECE: Final = 4_096  # characters of a whole text taken in at once
# Statements that are some where an argument is nothing else: of one word, and queries of values without a table.
_ALONE: Final = re.compile(
    r"\s*(?:(?:SHUTDOWN|COMMIT|ROLLBACK|BEGIN|VACUUM|REINDEX)\s*;?|(?i:(?:commit|rollback)\s*;|(?:end|abort|commit|rollback)\s+work\s*;?))\s*"
)
_VALUE: Final = re.compile(
    r"\s*select\s+(?:(?:distinct|all|as\s+(?:struct|value))\s+)?(?:0[xb][0-9a-f]*|[~!]\d|null\s+(?:as|is)\b|(?:true|false)\s+as\s|@@?\w+|'[^']*'|(?:current_|local)\w+\b|sysdate\b"
    r"|interval\s+(?:'[^']*'|\d+)\s|case\s+when\b|(?:map|struct|array)\s*[\[{(]|[a-z_]\w*\.\w+(?:,|\s*\Z)"
    r"|[-+]?[\d._]+(?:e[-+]?\d+)?[a-z]{0,2}(?:\s*[-+*/%,;&|<>=!]|\s+as\s|\s*\Z|(?-i:\s+[A-Z])))",
    re.IGNORECASE,
)
_FROM: Final = re.compile(r"\bfrom\b", re.IGNORECASE)
_BEFORE: Final = 80  # characters kept of what has left


def _lower(text: str) -> str:
    """The text in lower case, as long as it is."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_ASCII)


class Finder:
    """Looks for statements in one text. `feed` gives what may leave; `check` raises to stop it."""

    __slots__ = (
        *("_before", "_blank", "_check", "_held", "_limit", "_ready", "_reader", "_scan", "_select"),
        *("_since", "_spent", "_word", "_work", "_yes"),
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
        self._before = "\n\n"  # the end of what has left
        self._held = ""  # from where a statement may begin
        self._scan = 0  # of `_held`, folded, what holds no beginning
        self._work = 0  # done in vain
        self._word = ""  # the keyword that `_held` begins with, once that is known
        self._begin()

    def _begin(self) -> None:
        self._select: Select | None = None
        self._since = 0
        self._yes = 0
        self._ready = 0

    def feed(self, text: str) -> str:
        """Take a piece; give what may leave by now."""
        if not self._held:
            before = self._before
            plain = _START.search((before[-2:] + text).lower(), 1) is None
            if plain and (text.isascii() or not DISGUISE.search(text)):
                self._before = text if len(text) >= _BEFORE else (before + text)[-_BEFORE:]
                self._work -= len(text)
                return text
        elif self._yes and not any(sign in text for sign in _CLOSING) and len(self._held) + len(text) <= self._limit:
            self._held += text
            return ""
        self._held += text
        return self._go_on(final=False)

    def whole(self, text: str) -> None:
        """Take a whole text; nothing else comes."""
        for start in range(0, len(text), PIECE):
            self.feed(text[start : start + PIECE])
        self.close()

    def close(self) -> str:
        """The text has ended: give the rest."""
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
                    out.append(self._leave(start, places))
                    continue
                if not run and found[0][0].isalpha():  # of another alphabet
                    out.append(self._leave(start + 1, places))
                    continue
                word = found[0] if run else found[0][1:]
                if not final and found.end() - 2 == len(text) and word != RUN:
                    break  # it may go on as a keyword, or as another word
                if word in LOUD and not text[: len(word)].isupper():
                    out.append(self._leave(len(word), places))
                    continue
                if word not in KEYWORDS:
                    out.append(self._leave(len(text), places))
                    break
                self._word = word
            end = self._judge(text, final)
            if end is None:
                break
            out.append(self._leave(end, places))
            self._word = ""
            self._begin()
        return "".join(out)

    def _leave(self, end: int, places: Sequence[int] | None) -> str:
        """Let go of the first `end` folded characters."""
        if places is not None:
            end = places[end] if end < len(places) else len(self._held)
        text = self._held[:end]
        self._held = self._held[end:]
        if text:
            self._before = (self._before + fold(text)[0])[-_BEFORE:]
            self._work -= len(text)
        return text

    def _judge(self, text: str, final: bool) -> int | None:
        """How far the text, which begins with a keyword, may leave; None: not yet to tell."""
        border = _END.search(text) if self._blank else None
        if border:
            text, final = text[: border.start() + 1], True
        over = len(text) > self._limit
        if over:
            text, final = text[: self._limit], False
        if not self._yes:
            spend(len(text) >> 3)
            verdict = self._opening(text, final)
            if verdict == "open":
                return None if not over else self._too_much(text)
            looked = self._select.at if self._select else self._since
            self._work = max(0, self._work) + 1 + looked // 16
            self._spent.effort += looked // 2
            if verdict == "long" or self._work > WORK or self._spent.effort > EFFORT:
                return self._too_much(text)
            if verdict == "no":
                return len(self._word)
        end = self._ending(text, final)
        if end is None:
            return None if not over else self._too_much(text)
        return self._statement(text[:end])

    def _too_much(self, text: str) -> int:
        """What takes more work to tell than prose and SQL do is not told."""
        self._work = 0
        self._check([unreadable(text)])
        return len(text)

    def _opening(self, text: str, final: bool) -> str:
        if self._word == "pragma" and self._before[-1] == "#":
            return "no"  # of C
        if self._word == "select":
            if self._select is None:
                self._select = Select(self._quote())
            verdict = self._select.advance(text, final)
            self._yes = self._select.end if verdict == "yes" else 0
            return verdict
        verdict, self._yes, self._since = opening(text, self._word, self._since, final)
        if verdict != "yes":
            self._yes = 0
        return verdict

    def _quote(self) -> str:
        """What the statement stands in, if it does; brackets may stand between."""
        last = self._before[-1]
        if last in _OPENED and (between := _INSIDE.search(self._before)):
            last = between[1]
        return last if last in "\"'`" else ""

    def _bracketed(self, body: str) -> tuple[str, int]:
        """The statement with the brackets that it closes, and how much of the text that is: `(SELECT 1) UNION ...`."""
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

    def _ending(self, text: str, final: bool) -> int | None:
        """Where the statement ends, from its opening on."""
        at, quote = max(self._yes - 1, 0), self._quote()
        triple = quote * 3 if quote and self._before.endswith(quote * 3) else ""
        while at < len(text):
            char = text[at]
            if triple and text.startswith(triple, at):
                return at
            if char == "\\" and quote:
                at += 2
                continue
            if char == quote and not triple:
                if quote == "'" and text.startswith("''", at):
                    at += 2
                    continue
                if quote == "'" and at + 1 == len(text) and not final:
                    return None
                return at
            if char in "'\"`":
                closing = text.find(char, at + 1)
                if closing < 0 and not final:
                    return None
                at = closing if closing >= 0 else at
            elif char == ";":
                return at + 1
            at += 1
        return len(text) if final else None

    def _statement(self, piece: str) -> int:
        """Hand on what a piece holds; how much of it is done with."""
        size = len(piece)
        if self._quote():
            piece = piece.replace('\\"', '"').replace("\\'", "'").replace("\\n", "\n")
        body = piece.strip()
        statements = self._read(body)
        if self._spent.effort > EFFORT:
            return self._too_much(piece)
        if not all(one.readable for one in statements):
            within, end = self._bracketed(body)
            if within != body and (end == len(body) or not self._quote()):
                inner = self._read(within)
                if all(one.readable for one in inner):
                    if self._is_prose(body[:end], trailing=False, writes=_write(inner)):
                        return len(self._word)
                    self._check(inner)
                    return min(end, size) if end < len(body) else size
            cut = prose_from(body, min(self._yes, len(body)))
            begun = body[:cut].rstrip(" \n,.:") if cut else body.rstrip(".:,!? )")
            shorter = self._read(begun) if begun != body else statements
            if all(one.readable for one in shorter):
                if self._is_prose(begun, trailing=cut is not None, writes=_write(shorter)):
                    return len(self._word)
                self._check(shorter)
                return min(cut, size) if cut else size
            if not self._is_meant(body, statements, loud=cut is None):
                return len(self._word)
            self._check(statements)
            return size
        if self._is_prose(body, trailing=False, writes=_write(statements)):
            return len(self._word)
        self._check(statements)
        return size

    def _read(self, text: str) -> list[Statement]:
        statements, moves = self._reader.weighed(text)
        spend(moves * _MOVE)
        self._spent.effort += 10 + len(text) // 4 + moves
        return statements

    def _is_meant(self, body: str, statements: Sequence[Statement], *, loud: bool) -> bool:
        """Whether what cannot be read has signs or words of SQL; `loud`: capitals may be these."""
        bare = self._select is not None and self._select.bare
        if bare and not body[:6].isupper() and self._before[-1] != "(":  # perhaps a word that is followed by signs
            return not all(one.text and one.kinds <= {"select", "other"} for one in statements)
        sure = self._word in _SURE or _MODES.match(body) or _CODE.search(body)
        return bool(sure) or (loud and self._is_loud(body))

    def _is_loud(self, body: str) -> bool:
        """Whether words begin in capitals, the text before them does not end so, and none of them is an article."""
        words = body.split()
        if not words[0].isupper() or not any(map(_coded, words[1:])):
            return False
        before = self._before.rstrip().split(" ")[-1:][0].strip(".,:").isupper()
        return not before and not any(word.lower() in ARTICLES for word in words[1:])

    def _is_prose(self, body: str, *, trailing: bool, writes: bool = False) -> bool:
        """Whether words that could be SQL are meant as words: nothing in them is code, nor is where they stand."""
        if _CODE.search(body):
            return False
        words = body.split()
        capitals = words[0].isupper() and not self._before.rstrip().split(" ")[-1:][0].strip(".,:").isupper()
        if capitals and len(words) > 1:
            return any(word.lower() in ARTICLES for word in words[1:])
        if trailing or not _LINE.search(self._before):
            return True
        return words[0].istitle() and self._word in _MILD and not writes


def _coded(word: str) -> bool:
    """Whether a word is a keyword in capitals, or a name that prose would not write: `c1`, `my_cursor`, `db.foo`."""
    if len(word) > 2 and word.isupper() and word.isalpha():
        return True
    return _NAMED.fullmatch(word) is not None


def _write(statements: Iterable[Statement]) -> bool:
    return any(one.writes for one in statements)


class Arguments:
    """Looks through strings that are arguments: as wholes, in which no empty line ends a statement, and decoded."""

    def __init__(self, reader: Reader, breakout: Breakout, limit: int) -> None:
        self._reader = reader
        self._breakout = breakout
        self._limit = limit

    def __call__(self, text: str, check: Check, spent: Spent | None = None) -> None:
        """Hand every statement and every piece of one to `check`."""
        spent = spent or Own()
        alone = _ALONE.fullmatch(text) is not None
        if alone or (_VALUE.match(text) and not _FROM.search(text)):
            read = self._reader.read(f"{text.strip().rstrip(';')};")
            if alone or all(one.readable for one in read):
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
