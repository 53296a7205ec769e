"""Patterns that openings consist of: gaps, names, targets, objects, accounts, types.

Two words are separated by a gap: white space or a comment. If one of the words is in quotes or brackets, SQL's lexical
grammar allows to omit the gap: `DROP TABLE"users"`, `INSERT INTO[t]VALUES(1)`.
"""

from __future__ import annotations

from gateway.detect.sql.commands import OBJECT, PLAIN, RARE

_GAP = r"(?:\s|/\*!\d{0,6}|/\*(?:[^*!]|\*(?!/))(?:[^*]|\*(?!/))*+\*/|/\*\*/|\*/|--[^\n]*\n|\#[^\n]*\n)"
G = rf"(?:{_GAP}++|(?<=[\s)\]\"'`])|(?<=\*/)|(?=[\"'`(\[]|@@))"
OPT = _GAP + "*+"
PART = (
    r"(?:[\w$@]++|(?:u&)?\"[^\"\n]{1,128}\"|`[^`\n]{1,128}`|'[^'\n]{1,128}'|\[[^\]\n]{1,128}\]"
    r"|\$\{[^{}\n]{1,128}\}|\#\#?[\w$@]++)"
)
# A dot between two parts; a dot before a blank and a capital ends a sentence.
_DOT = r"(?:\.(?:\.{0,2}|\s+(?=[\"`\[]|(?-i:[a-z_])))|\s+\.\s*)"
NAME = rf"(?P<name>{PART}(?:-\w++)*(?:{_DOT}{PART}){{0,3}})"
END = r"(?:[^\w$@.]|(?<=[\"'`\]])(?!\.))"  # the name is complete
# The object that is altered: a word that may precede its name is not taken for the name.
TARGET = rf"(?!(?:if|only|concurrently|all|on)(?:{_GAP}|[-/#\"`\[])){NAME}"
_BATCH = (  # a statement that may follow without a `;`
    r"select|insert|update|delete|drop|create|alter|exec(?:ute)?|declare|truncate|merge|begin|waitfor|raiserror|commit"
    r"|rollback|grant|revoke"
)
# The name is complete, and the line ends or a sign follows. Each pattern consumes the characters that it checks, so
# that a match of a text is also a match of every longer text.
_SIGN = r"[ \t]*(?:[\r\n]|--|/\*|\#|[^\w$@.\s!?:(-])|-|(?<=[\"'`\]])(?=\w)"
# After the name of a dropped or emptied object, unless in capitals: only words that SQL has there.
DROPPED = (
    rf"(?(loud){END}|(?:{_SIGN}|\s*(?<=\b(?:function|procedure|proc|aggregate|routine|operator|macro|method|type)\b"
    r"[^()\n]{0,160})\(|[ \t]+(?:(?:cascade|restrict|purge|force|sync|no\s+delay|including|keep|preserve|invisible"
    r"|algorithm|using|include|wait|nowait|validate|immediate|permanently|suspend|online|deferred|restart|continue|partitions?|reuse"
    rf"|settings|storage|if\s+exists|{_BATCH})(?![\w$])|with\s*\(|lock\s*=|for\s+replication\b|from\s+\w+\s*[;\x00\n]|set\s+@"
    r"|on\s+(?!(?:the|an?|your|my|our|this|that)(?![\w$]))[\w\"`\[])))"
)
# After the name of a created object: only words that some dialect has there.
CREATED = (
    rf"(?(loud){END}|(?:{_SIGN}|[ \t]*\(|[ \t]+"
    r"(?!(?:and|or|but|that|which|so|are|was|were|at|about|per|via|based|called|named|then|than|too|also|because|while"
    r"|until|unless|plus|into|between|across|inside|where|when|if)(?![\w$])"
    r"|(?<=\b(?:table|index|schema|database|type|sequence)\b[^()\n]{0,160})(?:to|for(?!\s+exchange))(?![\w$])"
    r"|(?<=\b(?:view|event|function|procedure|role|domain)\b[^()\n]{0,160})for(?![\w$])"
    r"|(?<=\bindex\b[^()\n]{0,160})(?!(?:on|using|in|type|as|for|btree|hash|unique|invisible)(?![\w$]))[a-z])[\w$@]))"
)
SAID = r"(?:'[^'\n]*'|\"[^\"\n]*\")"
DONE = rf"{OPT}[;\x00]"  # the statement ends, or the text


def caps(word: str) -> str:
    """After a keyword in capitals: a gap and another word in capitals."""
    return rf"(?-i:(?<={word.upper()})){G}(?-i:(?=[A-Z]{{2}}))"


def loud(word: str) -> str:
    """After a keyword in capitals: a gap."""
    return rf"(?-i:(?<={word.upper()})){G}"


def _any(said: str, but: str = "") -> str:
    """A pattern for phrases, which are separated by commas; each first word is written once."""
    return _branches([phrase.split() for phrase in said.split(",") if phrase.strip() not in but.split()])


def _branches(phrases: list[list[str]]) -> str:
    following: dict[str, list[list[str]]] = {}
    for first, *rest in phrases:
        following.setdefault(first, []).append(rest)
    made = []
    for first, rests in following.items():
        further = [rest for rest in rests if rest]
        inner = G + _branches(further) if further else ""
        made.append(first + (f"(?:{inner})?" if inner and len(further) < len(rests) else inner))
    return "(?:" + "|".join(made) + ")"


KIND = rf"(?:{_any(f'{OBJECT},{RARE}')}|(?-i:(?=[A-Z]{{2}})){_any(PLAIN)})"
# The same without users, which prose has as well: "drop user accounts (inactive)".
THING = rf"(?:{_any(f'{OBJECT},{RARE}', 'user role login')}|(?-i:(?=[A-Z]{{2}})){_any(f'{PLAIN},user,role,login')})"
MADE = (
    rf"(?:(?:or{G}(?:replace|alter|refresh)|temp|temporary|unique|external|materialized|unlogged|global|local|"
    r"row|column|set|rowstore|columnstore|reference|sharded|duplicated|immutable|blockchain|flex|flexible|hash|join|custom"
    r"|hybrid|error|history|text|inverted|vector|versioned|multivalue|hadoop|snapshot|interleaved|remote|"
    r"virtual|clustered|nonclustered|fulltext|spatial|recursive|transient|secure|volatile|multiset"
    r"|readable|writable|"
    rf"private|public|editionable|noneditionable|bitmap|trusted|constraint|default|no{G}force"
    r"|force|python3?|lua|java|r|shared|"
    rf"algorithm{OPT}={OPT}\w+|sql{G}security{G}\w+|definer{OPT}={OPT}\S+|foreign|event|web){G})*"
)
READS = r"(?:select|insert|update|delete|with|values|table|merge|replace)\b"
PRIVILEGE = (
    rf"(?:all(?:{G}privileges)?|select|insert|update|delete|execute|usage|create|connect|references|trigger|truncate|"
    r"alter|drop|index|super|file|process|reload|control|impersonate|view\s+\w+|temporary|temp|ownership|operate|"
    r"dba|sysdba|role)"
)
IF = rf"if{G}(?:not{G})?(?:exists|empty){G}"
# With any kind of object: `drop quota if exists x`.
EXISTS = rf"{G}(?:(?!(?:the|a|an|your|this|that|any)\b)\w+{G}){{0,4}}{IF}{TARGET}{END}"
ACCOUNT = (
    rf"(?:user|role|login|group|account){G}(?:{IF})?(?:{SAID}|`[^`\n]+`|\w+)(?:{OPT}@{OPT}(?:{SAID}|`[^`\n]+`|\w+)|"
    rf"{G}(?:identified|default{G}(?:role|database|tablespace)|require|account{G}(?:lock|unlock)"
    rf"|password{G}expire|"
    rf"with{G}(?:password|max_|login|superuser|createdb|grant{G}option))\b|{OPT}[;,])"
)
MODE = r"low_priority|delayed|high_priority|quick|ignore|history"
JOINED = r"(?:inner|left|right|full|natural|join|using|where|as|cross)\b"
TYPE = (
    r"(?:int(?:eger|\d+)?|big(?:int|numeric)|smallint|tinyint|n?varchar2?|n?char|string|text|bytes|bool(?:ean)?|date|"
    r"time(?:stamp)?(?:tz)?|datetime2?|numeric|number|decimal|float(?:64|4|8)?|double|real|json|array|struct|table|"
    r"cursor|exception|%rowtype|%type|pls_integer|resultset|object|variant|record|interval)\b"
)
