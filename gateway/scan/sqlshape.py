"""Where a statement of SQL may begin, and whether what follows goes on as one.

Every keyword that begins statements has an opening: a pattern that SQL fulfils within a few words and prose hardly ever
does ("delete from users ", but not "delete from the list"). Openings are matched partially (`regex`), so that a running
text is known to be one, not to be one, or to be too short to tell. Each verdict holds for every longer text: that is
what makes the result the same however a stream is cut.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, Literal

import regex

Verdict = Literal["yes", "no", "open", "long"]
LOOKS: Final = 120

_GAP = r"(?:\s|/\*!\d{0,6}|/\*(?:[^*!]|\*(?!/))(?:[^*]|\*(?!/))*+\*/|/\*\*/|\*/|--[^\n]*\n|\#[^\n]*\n)"
_G, _O = _GAP + "++", _GAP + "*+"
_PART = r"(?:[\w$@]++|\"[^\"\n]{1,128}\"|`[^`\n]{1,128}`|\[[^\]\n]{1,128}\])"
_NAME = rf"(?P<name>{_PART}(?:\.\.?{_PART}){{0,3}})"
_END = r"[^\w$@.]"  # the name is whole
# What is changed: no word that may stand before its name is taken for the name.
_TARGET = rf"(?!(?:if|only|concurrently){_GAP}){_NAME}"


def _words(said: str) -> frozenset[str]:
    return frozenset(said.split())


# What no table is called: after the keyword, these are prose.
PROSE_NAMES: Final = _words(
    "the your an my our this that these those its it their his her any each every some which what how whether both "
    "either one another all them you me us him if when where there here only then and or but so for with of in on "
    "at by to as is are was were be been not no"
)
ARTICLES: Final = _words("the your an my our this that these those its it their his her some which")
_OBJECT = (
    r"(?:table|database|schema|view|index|user|role|function|procedure|proc|trigger|sequence|type|extension|login|"
    r"server|column|constraint|tablespace|event|package|domain|rule|policy|publication|subscription|aggregate|cast|"
    r"operator|collation|language|synonym|directory|catalog|warehouse|stage|stream|task|pipe|share|dataset|assembly|"
    r"credential|certificate|endpoint|library|profile)"
)
# The same without users, who stand in prose as well: "drop user accounts (inactive)".
_THING = _OBJECT.replace("user|role|", "").replace("login|", "")
_MADE = (
    rf"(?:(?:or{_G}(?:replace|alter)|temp|temporary|unique|external|materialized|unlogged|global|local|virtual|"
    rf"clustered|nonclustered|fulltext|spatial|recursive|transient|secure|definer{_O}={_O}\S+|foreign|event){_G})*"
)
_READS = r"(?:select|insert|update|delete|with|values|table|merge|replace)\b"
_PRIVILEGE = (
    r"(?:all(?:\s+privileges)?|select|insert|update|delete|execute|usage|create|connect|references|trigger|truncate|"
    r"alter|drop|index|super|file|process|reload|control|impersonate|view\s+\w+|temporary|temp|ownership|operate|"
    r"dba|sysdba|role)"
)

_OPENINGS: Final[dict[str, str]] = {
    "insert": rf"(?:{_G}(?:low_priority|delayed|high_priority|ignore|overwrite|or{_G}\w+|all|first)){{0,2}}{_G}"
    rf"(?:into|overwrite){_G}(?:table{_G})?{_NAME}{_O}(?:{_G}(?:as{_G})?\w+{_O})?(?:\([^()]*+\){_O})?(?:values?\b|select\b|set{_G}\S+{_O}=|"
    rf"default{_G}values|with{_G}|exec|output{_G}|overriding{_G}|partition{_O}\(|\({_O}(?:select|values|with)\b)"
    rf"|{_G}(?:into{_G})?{_NAME}{_O}(?:\([^()]*+\){_O})?values{_O}\(",
    "update": rf"(?:{_G}(?:only|ignore|low_priority|or{_G}\w+|top{_O}\([^()]*+\))){{0,2}}{_G}{_NAME}"
    rf"(?:{_G}(?:as{_G})?(?!set\b){_PART})?(?:(?:{_O},|{_G}(?:inner|left|right|cross|join|with)\b)"
    rf"[\s\w.,()=`\"\[\]$@*/-]{{0,400}})?{_G}set{_G}(?:{_PART}(?:{_O}\.{_O}{_PART}){{0,3}}{_O}[-+*/|]?=|\()",
    "delete": rf"(?:{_G}(?:low_priority|quick|ignore|top{_O}\([^()]*+\))){{0,2}}{_G}from{_G}(?:only{_G})?"
    rf"{_TARGET}{_END}"
    rf"|{_G}(?P<multi>{_PART}(?:\.\*)?(?:{_O},{_O}{_PART}(?:\.\*)?)*){_G}from{_G}{_NAME}"
    rf"(?:{_G}(?!(?:inner|left|right|full|natural|join|using|where|as|cross)\b)\w+)?"
    rf"(?:{_O},|{_G}(?:inner|left|right|full|natural|join|using|where|as|cross)\b)"
    rf"|{_G}{_NAME}{_G}where{_G}\S+{_O}(?:=|<|>|in\b|is\b|like\b|between\b|not\b|!=)",
    "replace": rf"(?:{_G}(?:low_priority|delayed))?{_G}into{_G}{_NAME}{_O}(?:\(|values?\b|select\b|set{_G})",
    "upsert": rf"{_G}into{_G}{_NAME}{_O}(?:\(|values?\b|select\b)",
    "merge": rf"{_G}into{_G}{_NAME}(?:{_G}(?:as{_G})?\w+)?{_G}using{_G}\S",
    "with": rf"{_G}(?:recursive{_G})?{_PART}{_O}(?:\([^()]*+\){_O})?as{_O}(?:(?:not{_G})?materialized{_O})?"
    rf"(?:\({_O})++{_READS}",
    "create": rf"{_G}{_MADE}(?:{_OBJECT}{_G}(?:concurrently{_G})?(?:if{_G}not{_G}exists{_G})?(?:{_TARGET}{_END}))",
    "alter": rf"{_G}(?:{_OBJECT}|system|session){_G}(?:if{_G}exists{_G})?(?:only{_G})?{_TARGET}{_G}(?:add|drop|alter|"
    r"modify|rename|set|reset|change|owner|with|identified|disable|enable|attach|detach|convert|engine|comment|no|inherit|"
    r"validate|nologin|login|password|superuser|createdb|account|replica|force|switch|rebuild|as|cluster|clear|materialize|"
    rf"freeze|fetch|move|truncate|exchange|swap|import|discard|suspend|resume|recluster|delete{_G}where|update{_G}\S+{_O}=)"
    r"(?!\w)",
    "drop": rf"{_G}(?:materialized{_G}|temporary{_G}|external{_G}|foreign{_G}|event{_G})?(?:{_THING}{_G}"
    rf"(?:concurrently{_G})?(?:if{_G}exists{_G})?{_TARGET}{_END}|(?:user|role|login){_G}(?:if{_G}exists{_G}{_TARGET}{_END}"
    rf"|{_TARGET}(?:{_O}[;,@\x00]|[ \t]*\n|{_G}(?:cascade|restrict)\b)))",
    "truncate": rf"{_G}(?:table{_G}(?:if{_G}exists{_G})?(?:only{_G})?{_TARGET}{_END}|{_NAME}{_O}(?:[;,\x00]|cascade\b|"
    rf"restart{_G}identity))",
    "rename": rf"{_G}table{_G}{_NAME}{_G}to{_G}",
    "comment": rf"{_G}on{_G}{_OBJECT}{_G}{_NAME}{_G}is{_G}",
    "grant": rf"{_G}{_PRIVILEGE}(?:{_O}\([^()]*+\))?(?:{_O},{_O}{_PRIVILEGE}(?:{_O}\([^()]*+\))?)*{_G}(?:on{_G}[^;]"
    rf"{{1,200}}{_G}to{_G}|to{_G}{_NAME}{_END})",
    "revoke": rf"{_G}(?:grant{_G}option{_G}for{_G})?{_PRIVILEGE}(?:{_O},{_O}{_PRIVILEGE})*{_G}(?:on{_G}[^;]{{1,200}}"
    rf"{_G}from{_G}|from{_G}{_NAME}{_END})",
    "exec": rf"(?:ute)?(?:{_G}immediate{_G}(?:N?'|\w+|\()|{_G}(?:@\w+{_O}={_O})?(?:xp_|sp_)\w+"
    rf"|{_G}[\w\[\]]+\.\.?[\w\[\]]+(?:\.\.?[\w\[\]]+)?{_G}[@'\d]|{_O}\({_O}(?:@\w+|N'|N?'[^']*'{_O}\+)|{_G}\w+{_G}@\w+{_O}=)",
    "call": rf"{_G}[\w$]+(?:\.[\w$]+){{0,2}}\((?:[^()\n]|\([^()\n]*\))*\){_O}[;\x00\n]",
    "copy": rf"{_G}(?:into{_G}\S+{_G}from|{_NAME}(?:{_O}\([^()]*+\))?{_G}(?:from|to){_G}(?:program{_G}|stdin\b|"
    rf"stdout\b|N?'|@)|\({_O}{_READS})",
    "load": rf"{_G}(?:data|xml){_G}(?:(?:low_priority|concurrent){_G})?(?:local{_G})?(?:infile|inpath)\b",
    "export": rf"{_G}data{_G}(?:options{_O}\(|with{_G}connection{_G}|as{_G}{_READS})",
    "unload": rf"{_O}\({_O}'|{_G}to{_G}\S+{_G}{_READS}",
    "attach": rf"{_G}(?:(?:database{_G})?(?:'[^'\n]*'|\"[^\"\n]*\")|database{_G}[\w@:]+){_G}as{_G}\w",
    "detach": rf"{_G}database{_G}\w",
    "pragma": rf"{_G}(?!in\b)\w+(?:\.\w+)?{_O}(?:=|\(|;)",
    "bulk": rf"{_G}insert{_G}{_NAME}{_G}from{_G}",
    "backup": rf"{_G}(?:database|log){_G}{_NAME}{_G}to{_G}",
    "restore": rf"{_G}database{_G}{_NAME}{_G}(?:from|with){_G}",
    "waitfor": rf"{_G}(?:delay|time){_O}['@]",
    "dbcc": rf"{_G}\w+{_O}\(",
    "declare": rf"{_G}(?:@\w+{_G}(?:as{_G})?\w|\w+{_G}cursor{_G}(?:for|local|static|fast_forward)\b)",
    "do": rf"{_G}(?:language{_G}\w+{_G})?(?:\$\w*\$|E?'{_O}(?:begin|declare)\b|(?:sleep|benchmark)\()",
    "set": rf"{_G}(?:(?:global|session|local|persist){_G}\w[\w.]*{_O}(?:=|to\b)|@@?[\w.]+{_O}:?=|"
    rf"role{_G}\w+{_O}[;\x00\n]|password{_O}(?:=|for\b)|search_path{_O}(?:=|to\b)|identity_insert{_G}\w|session{_G}authorization{_G}\w"
    rf"|transaction{_G}(?:isolation|read)\b)",
    "show": rf"{_G}(?:full{_G}|extended{_G}|global{_G}|session{_G})?(?:tables|databases|schemas|columns|grants|"
    rf"processlist|variables|status|index|indexes|keys|create{_G}table{_G}\S+|triggers|users|roles)"
    rf"(?:{_G}(?:from|in|for|like){_G}[^\s;]+)*{_O}[;\x00\n]",
    "prepare": rf"{_G}\w+(?:{_O}\([^()]*+\))?{_G}(?:from{_G}['@]|as{_G}{_READS})",
    "lock": rf"{_G}tables?{_G}{_NAME}{_G}(?:read|write|in{_G}\w)",
    "flush": rf"{_G}(?:privileges|tables|logs|hosts|status)\b",
    "vacuum": rf"{_G}(?:full{_G}|into{_G}'|analyze{_G})",
    "install": rf"{_G}\w+{_G}from{_G}(?:community\b|core\w*|local\w*|'[^'\n]+')|{_G}(?:httpfs|plugin)\b",
    "refresh": rf"{_G}materialized{_G}view{_G}",
    "table": rf"{_G}{_NAME}{_O}(?:;|(?:limit|order{_G}by|into{_G}outfile)\b)",
    "into": rf"{_G}(?:outfile|dumpfile){_G}\S",
    "union": rf"{_G}(?:(?:all|distinct){_G})*(?:\({_O})*select\b",
    "explain": rf"{_G}(?:query{_G}plan{_G}(?:for{_G})?|plan{_G}for{_G}|\((?!{_O}(?:select|with)\b)[^()]*+\){_O}|"
    rf"format{_O}={_O}\w+{_G}|(?:analy[sz]e|verbose|extended|partitions|formatted){_G})*(?:\({_O})*{_READS}{_G}\S",
    "begin": rf"{_G}(?:execute{_G}immediate|dbms_|utl_)",
    "shutdown": rf"(?:{_G}with{_G}nowait|{_O};)",
    "reset": rf"{_G}(?:master|slave|replica|persist)\b",
    "kill": rf"{_G}(?:query|connection){_G}\d",
    "notify": rf"{_G}\w+{_O}(?:;|,{_O}')",
    "handler": rf"{_G}{_NAME}{_G}(?:open|read|close)\b",
    "deallocate": rf"{_G}prepare{_G}\w",
}
RUN: Final = "/*!"
"""Opens what is a comment to most databases and is run by some."""
_OPENINGS[RUN] = (
    rf"\d{{0,6}}{_O}(?:{_READS}|create\b|alter\b|drop\b|truncate\b|union\b|grant\b|set\b|into\b|exec|call\b|load\b)"
)
KEYWORDS: Final = frozenset(_OPENINGS) | {"select", "execute"}
_PATTERNS: Final = {
    word: regex.compile(rf"{regex.escape(word)}(?:{opening})", regex.IGNORECASE) for word, opening in _OPENINGS.items()
}
_PATTERNS["execute"] = _PATTERNS["exec"]


_LEX: Final = regex.compile(
    r"(?P<gap>\s+|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*+\*/)|(?P<word>[^\W\d][\w$]*)|(?P<text>'(?:[^']|'')*+'|`[^`]*+`"
    r"|\"(?:[^\"]|\"\")*+\"|\[[^\[\]\n]*\])|(?P<number>\d[\w.]*)|(?P<sign>.)",
    regex.DOTALL,
)
_QUOTES: Final = "'\"`"
# Words of SQL that stand side by side, or between names: three other words in a row are prose.
_SQL_WORDS: Final = _words(
    "all and any as asc at between binary both by case cast collate cross current date day desc distinct "
    "distinctrow div else end escape except exists extract false filter first following for from full group having "
    "high_priority hour ilike in inner interval intersect into is isnull join lateral leading left like limit local "
    "minus minute mod month natural not notnull null nulls on or order outer over partition percent preceding range "
    "regexp respect ignore returning right rlike row rows second select separator set similar some "
    "sql_calc_found_rows sql_no_cache straight_join symmetric then ties time timestamp to top trailing true "
    "unbounded union unique unknown using values when where window with within without xor year zone offset fetch "
    "next only qualify tablesample lock update share outfile dumpfile precision varying character double unsigned "
    "signed"
)


_BEFORE_SELECT: Final = frozenset({"(", "union", "all", "distinct", "except", "intersect", "minus"})


class Select:
    """Reads on from a SELECT to its FROM. Prose is found out by its words: three names in a row, `, and`, `the`."""

    def __init__(self, quote: str) -> None:
        self.at = 6
        self.end = 0
        self.loose = True  # no sign yet that only code has
        self._quote = quote
        self._tied = False
        self._run = 0
        self._last = "select"
        self._named = 0  # WITH in brackets whose SELECT is still to come
        self._from = False

    def advance(self, text: str, final: bool) -> Verdict:
        """Take in what has come; `text` begins with the keyword. `final`: nothing more comes."""
        while self.at < len(text):
            token = _LEX.match(text, self.at)
            assert token is not None
            kind, said = token.lastgroup, token[0]
            if not final and (token.end() == len(text) or (kind == "sign" and said in "'\"`/-[")):
                if kind != "sign" or said in _QUOTES or said == "[" or token.end() == len(text):
                    return "open"
                if said == "/" and text.startswith("/*", self.at):
                    return "open"
                if said == "-" and text.startswith("--", self.at):
                    return "open"
            if self.at == 6 and kind != "gap":
                if said[0] not in "*('\"`[-+@":
                    return "no"
                self._tied = said == "("
            if said[0] == self._quote and kind in ("text", "sign"):
                self.end = self.at
                return self._bare()
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
        """What ends before a FROM came: a statement if it computes something, unless it looks like a call in code."""
        return "no" if self.loose or self._tied or self._last == "select" else "yes"

    def _take(self, kind: str | None, said: str) -> Verdict:
        if kind == "gap":
            return "open"
        word = said.lower()
        verdict: Verdict = "open"
        if kind == "word":
            if self._from:
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
            self._run = 0 if word in _SQL_WORDS else self._run + 1
            self._from = word == "from"
            if self._run == 3:
                return "no"
        else:
            if self._from:
                return "yes" if kind == "text" or said in "(@#$?:" else "no"
            if said in "{}":
                return "no"
            if said == ";":
                return self._bare()
            if said not in ".:?!" and kind != "number":
                self._run = 0
            if kind == "text" or said in "()=<>@+|":
                self.loose = False
        self._last = word
        return verdict


def opening(text: str, word: str, since: int, final: bool) -> tuple[Verdict, int, int]:
    """Whether a text that begins with `word` goes on as its statement: verdict, its end, how far it was looked at.

    It is looked at wherever a word ends, in order and from `since` on, so that the verdict depends on the text alone.
    "long" is the verdict on one that says nothing within `LOOKS` words.
    """
    pattern = _PATTERNS[word]
    ends = [match.end() for match in islice(_BREAK.finditer(text, len(word)), LOOKS + 1)]
    if len(ends) > LOOKS:
        del ends[LOOKS:]
        final, text = True, text[: ends[-1]]
        late: Verdict = "long"
    else:
        late = "no" if final else "open"
    for end in [*(end for end in ends if end > since), *([len(text)] if final else [])]:
        looked = text[:end]
        found = pattern.match(looked + "\0" if final and end == len(text) else looked, partial=True)
        if found is None:
            return "no", end, end
        if not found.partial:
            return _named(found), min(found.end(), end), end
        since = end
    return late, len(text), max(since, len(word))


_BREAK: Final = regex.compile(r"(?<=[\w$@])[^\w$@]|[^\w\s$@]")


def _named(found: regex.Match[str]) -> Verdict:
    """Prose puts an article where SQL has a name."""
    name = found.groupdict().get("name")
    if name and name.lower() in PROSE_NAMES:
        return "no"
    return "yes"


def prose_from(text: str, since: int) -> int | None:
    """Where, from `since` on, words begin that no SQL could have: three names in a row, or an article and a word."""
    run: list[int] = []
    for token in _LEX.finditer(text, since):
        if token.lastgroup == "gap":
            continue
        word = token[0].lower()
        if token.lastgroup == "word" and word not in _TIGHT:
            run += [token.start()] * (2 if word in _TELLING else 1)
            if len(run) >= 3:
                return run[0]
        elif token[0] not in ".:?!":
            run = []
    return None


# Of the words of SQL those that are no words of prose, and of prose those that SQL has no use for.
_TIGHT: Final = _SQL_WORDS - _words("to at only no time next first day row rows end for all both")
_TELLING: Final = _words(
    "the this that these those your you it its my our we they will would should can please which to here"
)
