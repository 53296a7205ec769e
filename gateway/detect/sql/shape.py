"""Where a statement of SQL may begin, and whether the text after the keyword is SQL.

Every keyword that begins statements has an opening: a pattern that SQL matches within a few words and prose hardly ever
does ("delete from users ", but not "delete from the list"). Openings are matched partially (`regex`), so a running text
is known to match, not to match, or to be too short to decide. Each verdict holds for every longer text, so the result
does not depend on how a stream is cut.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import regex

from gateway.detect.sql.forms import pattern

Verdict = Literal["yes", "no", "open", "long"]
LOOKS: Final = 120


def _words(said: str) -> frozenset[str]:
    return frozenset(said.split())


# Words that are not names of tables: after the keyword, these are prose.
PROSE_NAMES: Final = _words(
    "the your an my our this that these those its it their his her any each every some which what how whether both "
    "either one another all them you me us him if when where there here only then and or but so for with of in on "
    "at by to as is are was were be been not no"
)
ARTICLES: Final = _words("the your an my our this that these those its it their his her some which")

_LEX: Final = regex.compile(
    r"(?P<gap>\s+|--[^\n]*\n|(?<=[sS][eE][lL][eE][cC][tT])\#[^\n]*\n|/\*(?:[^*]|\*(?!/))*+\*/)|(?P<word>[^\W\d][\w$]*)|(?P<text>'(?:[^']|'')*+'|`[^`]*+`"
    r"|\"(?:[^\"]|\"\")*+\"|\[[^\[\]\n]*\])|(?P<number>\d[\w.]*)|(?P<sign>.)",
    regex.DOTALL,
)
# What may follow SELECT without a blank: a string, a name in quotes, a bracket, an operator, a variable.
_JOINED: Final = re.compile(r"[*('\"`\[+~-]|@@|\.\d|\#[^\n]*\n")
_AFTER_NO_SELECT: Final = frozenset("<>=,/)]")
_QUOTES: Final = "'\"`"
# Words of SQL that may be next to each other, or between names: three other words in a row are prose.
_SQL_WORDS: Final = _words(
    "all and any as asc at between binary both by case cast collate cross current date day desc distinct "
    "distinctrow div else end escape except exists extract false filter first following for from full group having "
    "high_priority hour ilike in inner interval intersect into is isnull join lateral leading left like limit local "
    "minus minute mod month natural not notnull null nulls on or order outer over partition percent preceding range "
    "regexp respect ignore returning right rlike row rows second select separator set similar some "
    "sql_calc_found_rows sql_no_cache straight_join symmetric then ties time timestamp to top trailing true "
    "unbounded union unique unknown using values when where window with within without xor year zone offset fetch "
    "next only qualify tablesample lock update share outfile dumpfile precision varying character double unsigned "
    "signed exclude bulk collect json key value keys encoding absent wrapper placing sounds overlaps "
    "temp temporary table unlogged volatile"
)


_BEFORE_SELECT: Final = frozenset({"(", "union", "all", "distinct", "except", "intersect", "minus"})


class Select:
    """Reads from a SELECT to its FROM. Prose is recognized by its words: three names in a row, `, and`, `the`."""

    def __init__(self) -> None:
        self.at = 6
        self.end = 0
        self.bare = False  # the statement ended before a FROM
        self.loose = True  # no sign of code so far
        self._tied = False
        self._run = 0
        self._last = "select"
        self._named = 0  # WITH in brackets whose SELECT is still to come
        self._from = False
        self._dotted = False  # directly after a dot
        self._loud = False  # SELECT in capitals
        self._article = False  # directly after an article

    def advance(self, text: str, final: bool) -> Verdict:
        """Read more of `text`, which begins with the keyword. `final`: the text is complete."""
        self._loud = text[:6].isupper()
        while self.at < len(text):
            token = _LEX.match(text, self.at)
            assert token is not None
            kind, said = token.lastgroup, token[0]
            if said[0] == '"' and text.startswith('"""', self.at):  # what closes a text of a program
                self.end = self.at
                return self._bare()
            if not final and (token.end() == len(text) or (kind == "sign" and said in "'\"`/-[")):
                if kind != "sign" or said in _QUOTES or said == "[" or token.end() == len(text):
                    return "open"
                if said == "/" and text.startswith("/*", self.at):
                    return "open"
                if said == "-" and text.startswith("--", self.at):
                    return "open"
            if self.at == 6 and kind != "gap":
                if not _JOINED.match(text, 6):
                    return "open" if said == "#" and not final and "\n" not in text else "no"
                self._tied = said == "("
                if kind == "number" and text[:6].isupper():
                    self.loose = False
            verdict = self._take(kind, said)
            if verdict != "open":
                self.end = self.at if verdict == "yes" and said == ";" else token.end()
                return verdict
            self.at = token.end()
        if not final:
            return "open"
        self.end = len(text)
        return self._bare()

    def _bare(self) -> Verdict:
        """The verdict on text without a FROM: a statement if it computes something, unless it looks like a call."""
        self.bare = True
        return "no" if self.loose or self._tied or self._last == "select" else "yes"

    def _take(self, kind: str | None, said: str) -> Verdict:
        dotted, self._dotted = self._dotted, said in ".:"
        if kind == "gap":
            # A colon of SQL touches the name after it: `:name`, `::type`.
            return "no" if dotted and self._last == ":" and not self._loud and not self._from else "open"
        word = said.lower()
        verdict: Verdict = "open"
        if kind == "word":
            if self._from:
                if word == "only" and self._last == "from":
                    self._last = word
                    return "open"  # of Postgres: `FROM ONLY t`
                return "no" if word in PROSE_NAMES else "yes"
            if self._last == "select" and word in PROSE_NAMES - {"all", "a", "i", "not", "no", "one", "for"}:
                return "no"
            if self._last == "," and word in ("and", "or"):
                return "no"
            if word == "with" and self._last in _BEFORE_SELECT:
                self._named += 1
            if word == "select" and self._last not in _BEFORE_SELECT:
                if not self._named or self._last != ")":
                    return "no"  # it begins on its own
                self._named -= 1
            if self._article and word not in _SQL_WORDS:
                return "no"
            self._article = word in ARTICLES and not dotted and self._last[-1].isalnum()
            self._run = 0 if word in _SQL_WORDS else self._run + (not dotted)
            self._from = word == "from"
            if self._run == 3:
                return "no"
        else:
            self._article = False
            if self._last == "select" and said in _AFTER_NO_SELECT:
                return "no"
            if self._from and kind == "number" and self._loud:
                self._from = False  # of an argument: `SUBSTRING(a FROM 2)`
            if self._from:
                return "yes" if kind == "text" or said in "(@#$?:&" else "no"
            if said in "{}" and not self._loud and self._last != "map":
                return "no"
            if said == ";":
                return self._bare()
            if (said not in ".:?!" or (self._loud and said in "?:")) and kind != "number":
                self._run = 0
            if kind == "text" or said in "()=<>@+|":
                self.loose = False
        self._last = word
        return verdict


def opening(text: str, word: str, since: int, final: bool) -> tuple[Verdict, int, int]:
    """Whether a text that begins with `word` is its statement: verdict, end of the opening, end of the checked text.

    The text is checked at the end of each word, in order and from `since` on, so the verdict depends only on the text.
    The verdict is "long" if `LOOKS` words decide nothing.
    """
    second = _SECOND.match(text, len(word))
    if second and second[1].lower() in _PROSE_SECOND:
        return "no", second.end(), second.end()
    form = pattern(word)
    breaks = _BREAK.finditer(text, len(word))  # found one by one: the first words decide nearly every text
    late: Verdict = "no" if final else "open"
    for count, found in enumerate(breaks, 1):
        end = found.end()
        if count == LOOKS and next(breaks, None):
            final, text, late = True, text[:end], "long"
        if end > since:
            verdict, yes = _looked(form, text[:end], final and end == len(text))
            if verdict != "open":
                return verdict, yes, end
            since = end
    if final:
        verdict, yes = _looked(form, text, True)
        if verdict != "open":
            return verdict, yes, len(text)
        since = len(text)
    return late, len(text), max(since, len(word))


def _looked(form: regex.Pattern[str], text: str, final: bool) -> tuple[Verdict, int]:
    """Whether a text is an opening of this form, and where the opening ends. `final`: nothing follows."""
    found = form.match(text + "\0" if final else text, partial=True)
    if found is None:
        return "no", len(text)
    if found.partial:
        return "open", len(text)
    return _named(found), min(found.end(), len(text))


_SECOND: Final = re.compile(r"\s+([A-Za-z]{2,})[^\w$@(]")
# Words that are never the second word of a statement.
_PROSE_SECOND: Final = ARTICLES | _words(
    "is are was were be of and but you we they he can will not when so how what me us"
)
_FIRST: Final = re.compile(r"\W")
_BREAK: Final = regex.compile(r"(?<=[\w$@])[^\w$@]|[^\w\s$@]")


def _named(found: regex.Match[str]) -> Verdict:
    """Prose puts an article where SQL has a name."""
    name = found.groupdict().get("name")
    if name and name.lower() in PROSE_NAMES:
        return "no"
    return "yes"


def prose_from(text: str, since: int) -> int | None:
    """Where, from `since` on, words begin that SQL cannot have: three names in a row, or an article and a word.

    In a statement that begins in capitals those are keywords, not names.
    """
    run: list[int] = []
    loud = _FIRST.split(text[:since], 1)[0].isupper()
    dotted = False  # directly after a dot: the word is part of a name
    for token in _LEX.finditer(text, since):
        before, dotted = dotted, token[0] == "."
        if token.lastgroup == "gap":
            continue
        word = token[0].lower()
        if before and token.lastgroup == "word":
            continue
        if token.lastgroup == "word" and word not in _TIGHT and not (loud and len(word) > 1 and token[0].isupper()):
            run += [token.start()] * (2 if word in _TELLING else 1)
            if len(run) >= 3:
                return run[0]
        elif token[0] not in ".:?!":
            run = []
    return None


# Words that SQL has and prose does not, and words that prose has and SQL does not.
_TIGHT: Final = _SQL_WORDS - _words("to at only no time next first day row rows end for all both")
_TELLING: Final = _words(
    "the this that these those your you it its my our we they will would should can please which to here"
)
