"""The openings of statements: what follows each keyword with which statements begin, as patterns.

Two kinds of evidence. What no prose says counts in any case: `drop table x;`, `if not exists x`, `set global x =`. What
prose may say (`use x`, `drop cluster x`) counts in capitals, as those who write SQL among words write it, or where the
words behind it are SQL's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import regex

from gateway.detect.sql.commands import COMMANDS, OBJECT, PLAIN, RARE

_GAP = r"(?:\s|/\*!\d{0,6}|/\*(?:[^*!]|\*(?!/))(?:[^*]|\*(?!/))*+\*/|/\*\*/|\*/|--[^\n]*\n|\#[^\n]*\n)"
_G, _O = _GAP + "++", _GAP + "*+"
_PART = r"(?:[\w$@]++|\"[^\"\n]{1,128}\"|`[^`\n]{1,128}`|\[[^\]\n]{1,128}\]|\$\{[^{}\n]{1,128}\}|\#\#?[\w$@]++)"
_NAME = rf"(?P<name>{_PART}(?:\.\.?{_PART}){{0,3}})"
_END = r"[^\w$@.]"  # the name is whole
# What is changed: no word that may stand before its name is taken for the name.
_TARGET = rf"(?!(?:if|only|concurrently|all)(?:{_GAP}|[-/#])){_NAME}"
_SAID = r"(?:'[^'\n]*'|\"[^\"\n]*\")"
_DONE = rf"{_O}[;\x00]"  # the statement ends, or the text


def _caps(word: str) -> str:
    """Behind a keyword in capitals, a gap and another word in capitals."""
    return rf"(?-i:(?<={word.upper()})){_G}(?-i:(?=[A-Z]{{2}}))"


def _loud(word: str) -> str:
    """Behind a keyword in capitals, a gap."""
    return rf"(?-i:(?<={word.upper()})){_G}"


def _any(said: str, but: str = "") -> str:
    """One of the phrases, which are separated by commas; each first word stands once."""
    return _branches([phrase.split() for phrase in said.split(",") if phrase.strip() not in but.split()])


def _branches(phrases: list[list[str]]) -> str:
    following: dict[str, list[list[str]]] = {}
    for first, *rest in phrases:
        following.setdefault(first, []).append(rest)
    made = []
    for first, rests in following.items():
        further = [rest for rest in rests if rest]
        inner = _G + _branches(further) if further else ""
        made.append(first + (f"(?:{inner})?" if inner and len(further) < len(rests) else inner))
    return "(?:" + "|".join(made) + ")"


_KIND = rf"(?:{_any(f'{OBJECT},{RARE}')}|(?-i:(?=[A-Z]{{2}})){_any(PLAIN)})"
# The same without users, who stand in prose as well: "drop user accounts (inactive)".
_THING = rf"(?:{_any(f'{OBJECT},{RARE}', 'user role login')}|(?-i:(?=[A-Z]{{2}})){_any(f'{PLAIN},user,role,login')})"
_MADE = (
    rf"(?:(?:or{_G}(?:replace|alter|refresh)|temp|temporary|unique|external|materialized|unlogged|global|local|"
    r"virtual|clustered|nonclustered|fulltext|spatial|recursive|transient|secure|volatile|multiset"
    r"|readable|writable|"
    rf"private|public|editionable|noneditionable|bitmap|trusted|constraint|default|no{_G}force"
    r"|force|python3?|lua|java|r|shared|"
    rf"algorithm{_O}={_O}\w+|sql{_G}security{_G}\w+|definer{_O}={_O}\S+|foreign|event|web){_G})*"
)
_READS = r"(?:select|insert|update|delete|with|values|table|merge|replace)\b"
_PRIVILEGE = (
    rf"(?:all(?:{_G}privileges)?|select|insert|update|delete|execute|usage|create|connect|references|trigger|truncate|"
    r"alter|drop|index|super|file|process|reload|control|impersonate|view\s+\w+|temporary|temp|ownership|operate|"
    r"dba|sysdba|role)"
)
_IF = rf"if{_G}(?:not{_G})?exists{_G}"
# Whatever it may be called: `drop quota if exists x`.
_EXISTS = rf"{_G}(?:(?!(?:the|a|an|your|this|that|any)\b)\w+{_G}){{0,4}}{_IF}{_TARGET}{_END}"
_ACCOUNT = (
    rf"(?:user|role|login|group|account){_G}(?:{_IF})?(?:{_SAID}|`[^`\n]+`|\w+)(?:{_O}@{_O}(?:{_SAID}|`[^`\n]+`|\w+)|"
    rf"{_G}(?:identified|default{_G}(?:role|database|tablespace)|require|account{_G}(?:lock|unlock)"
    rf"|password{_G}expire|"
    rf"with{_G}(?:password|max_|login|superuser|createdb|grant{_G}option))\b|{_O}[;,])"
)
_MODE = r"low_priority|delayed|high_priority|quick|ignore|history"
_JOINED = r"(?:inner|left|right|full|natural|join|using|where|as|cross)\b"
_TYPE = (
    r"(?:int(?:eger|\d+)?|big(?:int|numeric)|smallint|tinyint|n?varchar2?|n?char|string|text|bytes|bool(?:ean)?|date|"
    r"time(?:stamp)?(?:tz)?|datetime2?|numeric|number|decimal|float(?:64|4|8)?|double|real|json|array|struct|table|"
    r"cursor|exception|%rowtype|%type|pls_integer|resultset|object|variant|record|interval)\b"
)

_OPENINGS: Final[dict[str, str]] = {
    "insert": rf"(?:{_G}(?:low_priority|delayed|high_priority|ignore|overwrite|or{_G}\w+|all|first"
    rf"|top{_O}\([^()]*+\))){{0,2}}{_G}"
    rf"(?:into|overwrite){_G}(?:table{_G})?{_NAME}{_O}(?:{_G}(?:as{_G})?\w+{_O})?(?:\([^()]*+\){_O})?(?:if{_G}not{_G}"
    rf"exists{_G}|\[\w+\]{_O})?(?:values?\b"
    rf"|select\b|set{_G}\S+{_O}=|"
    rf"default{_G}values|with{_G}|exec|table{_G}\w|from{_G}|by{_G}(?:name|position){_G}|output{_G}|overriding{_G}"
    rf"|partition{_O}\("
    rf"|\({_O}(?:select|values|with)\b)"
    rf"|(?:{_G}(?:{_MODE})){{0,2}}{_G}(?:into{_G})?{_NAME}{_O}(?:\([^()]*+\){_O})?values{_O}\("
    rf"|{_G}overwrite{_G}(?:local{_G})?directory{_G}'"
    rf"|{_G}(?:all|first){_G}(?:when{_G}[^;]{{1,300}}?{_G}then{_G})?into{_G}{_NAME}{_END}",
    "update": rf"(?:{_G}(?:only|ignore|low_priority|or{_G}\w+|top{_O}\([^()]*+\))){{0,2}}{_G}{_NAME}"
    rf"(?:{_G}(?:as{_G})?(?!set\b){_PART})?(?:(?:{_O},|{_G}(?:inner|left|right|cross|join|with)\b)"
    rf"[\s\w.,()=`\"\[\]$@*/-]{{0,400}}|{_G}for{_G}portion{_G}of{_G}[^;]{{1,200}})?{_G}set{_G}"
    rf"(?:{_PART}(?:{_O}\.{_O}{_PART}){{0,3}}{_O}(?:\[[^\]\n]*\]{_O})?[-+*/|]?=|\()|{_caps('update')}statistics{_G}"
    rf"{_NAME}",
    "delete": rf"(?:{_G}(?:{_MODE}|top{_O}\([^()]*+\))){{0,3}}{_G}from{_G}(?:only{_G})?"
    rf"{_TARGET}{_END}"
    rf"|(?:{_G}(?:{_MODE})){{0,3}}{_G}(?P<multi>{_PART}(?:\.{_PART}|\.\*)*(?:{_O},{_O}{_PART}(?:\.{_PART}"
    rf"|\.\*)*)*){_G}from{_G}{_NAME}"
    rf"(?:{_G}(?!{_JOINED})\w+)?"
    rf"(?:{_O},|{_G}{_JOINED})"
    rf"|{_G}\*{_G}from{_G}{_NAME}{_END}|{_loud('delete')}{_NAME}{_G}(?-i:OUTPUT|FROM|WHERE){_G}"
    rf"|{_G}top{_O}\([^()]*+\)(?:{_G}percent)?{_G}(?:from{_G})?{_NAME}{_END}"
    rf"|{_G}{_NAME}{_G}where{_G}\S+{_O}(?:=|<|>|in\b|is\b|like\b|between\b|not\b|!=)",
    "replace": rf"(?:{_G}(?:low_priority|delayed))?(?:{_G}into{_G}{_NAME}{_O}(?:\(|values?\b|select\b"
    rf"|set{_G}|partition{_O}\()"
    rf"|{_G}{_NAME}{_O}(?:\([^()]*+\){_O})?(?:partition{_O}\([^()]*+\){_O})?values?{_O}(?:\(|row{_O}\()"
    rf"|{_caps('replace')}(?:table|view){_G}{_NAME}|{_loud('replace')}{_NAME}{_G}set{_G}\w+{_O}=)",
    "upsert": rf"{_G}into{_G}{_NAME}{_O}(?:\(|values?\b|select\b)",
    "merge": rf"{_G}(?:into{_G})?{_NAME}(?:{_G}with{_O}\([^()]*\))?(?:{_G}(?:as{_G})?(?!using\b)\w+)?{_G}using{_G}"
    rf"\S[^;]{{0,200}}?[\s)]on[\s(]"
    rf"|{_G}into{_G}{_NAME}(?:{_G}(?:as{_G})?\w+)?{_G}using{_G}\S",
    "with": rf"{_G}(?:recursive{_G})?{_PART}{_O}(?:\([^()]*+\){_O})?as{_O}(?:(?:not{_G})?materialized{_O})?"
    rf"(?:\({_O})++(?:{_READS}|from\b)|{_G}function{_G}{_NAME}{_O}\([^()]*\){_G}returns{_G}",
    "create": rf"{_G}(?:or{_G}replace{_G})?(?:mcp{_G}server|rls{_G}policy"
    rf"|scoped{_G}temporary{_G}view){_G}(?:{_IF})?{_TARGET}{_END}"
    rf"|{_G}index{_G}on{_G}(?:only{_G})?{_PART}(?:\.{_PART})?{_O}(?:using{_G}\w+{_O})?\(|{_G}{_MADE}(?:user|role"
    rf"|login){_G}(?:{_IF}{_TARGET}{_END}|{_TARGET}(?:{_O}[;,@\x00]|[ \t]*\n|"
    rf"{_G}(?:identified|with|password|for{_G}login|from{_G}windows|without|superuser|no\w+|login|createdb|default"
    rf"|in{_G}role|on{_G}cluster)\b))"
    rf"|{_G}{_MADE}{_THING}(?:{_G}(?:concurrently{_G})?(?:{_IF})?{_TARGET}{_END}|(?-i:(?<=[A-Z]))(?:{_O}\("
    rf"|{_G}{_SAID}))"
    rf"|{_EXISTS}|{_G}{_MADE}{_ACCOUNT}"
    rf"|{_G}operator{_G}[-+*/<>=~!@#%^&|`?]+{_O}\(|{_caps('create')}[A-Z ]+(?-i:PROJECT|FLOW|TABLE"
    rf"|INDEX|LOAD){_G}{_TARGET}{_END}",
    "alter": rf"{_G}authorization{_G}on{_G}(?:\w+{_O}::{_O})?{_PART}{_END}|{_G}(?:(?:{_KIND}|system"
    rf"|session){_G}(?:{_IF})?(?:only{_G})?{_TARGET}"
    rf"(?:{_O}\((?:[^()]|\([^()]*\))*+\))?(?:{_G}on{_G}cluster{_G}\S+)?(?:{_G}(?:called|strict|returns|immutable|stable"
    rf"|volatile|leakproof|parallel|cost|rows|support|nocreatedb|createuser|nocreateuser|syslog|connection|rotate|add"
    rf"|drop|alter|"
    r"modify|rename|set|reset|change|owner|with|identified|disable|enable|attach|detach|convert"
    r"|engine|comment|no|inherit|"
    r"validate|nologin|login|password|superuser|createdb|account|replica|force|switch|rebuild"
    r"|as|cluster|clear|materialize|"
    r"freeze|fetch|move|truncate|exchange|swap|import|discard|suspend|resume|recluster|unset|refresh|compile|recover|"
    rf"remove|stop|start|execute|depends|coalesce|reorganize|delete{_G}where|update{_G}\S+{_O}="
    rf"|(?-i:[A-Z_]{{2,}}))(?!\w)|"
    rf"(?-i:(?<=[A-Z\d_])){_O}[(;\x00])|(?:session|system){_G}(?:set|reset|unset|kill|flush|switch"
    rf"|enable|disable|close|checkpoint){_G}\w)"
    rf"|{_EXISTS}|{_G}{_ACCOUNT}|{_G}default{_G}privileges{_G}"
    rf"|{_G}(?:shared{_G}|public{_G})+(?:database{_G}link|synonym){_G}{_NAME}{_G}|{_G}group{_G}\w+{_G}(?:add"
    rf"|drop){_G}user\b"
    rf"|{_caps('alter')}{_KIND}{_G}(?:(?-i:SET|ADD|ON|ALL|ADVISE|FORCE|DROP|REMOVE|MODIFY|RENAME"
    rf"|UNSET|FOR){_G}\S|{_SAID})",
    "drop": rf"{_G}(?:materialized{_G}|temporary{_G}|external{_G}|foreign{_G}|event{_G}|force{_G}"
    rf"|web{_G}|public{_G}|private{_G})*"
    rf"(?:(?:procedure|function|aggregate|routine){_G}{_NAME}(?:{_O},{_O}{_NAME})+{_O}(?:[;\x00]|cascade\b|restrict\b)"
    rf"|cast{_G}(?:{_IF})?\([^()]+{_G}as{_G}|prepare{_G}\w+{_DONE}"
    rf"|{_THING}(?:{_G}(?:concurrently{_G})?(?:{_IF})?{_TARGET}{_END}|(?-i:(?<=[A-Z]))(?:{_O}\("
    rf"|{_G}{_SAID}))|(?:user|role|login){_G}(?:{_IF}{_TARGET}{_END}"
    rf"|{_TARGET}(?:{_O}[;,@\x00]|[ \t]*\n|{_G}(?:cascade|restrict|on{_G}cluster)\b)))|{_EXISTS}|{_G}{_ACCOUNT}"
    rf"|{_G}owned{_G}by{_G}\S|{_caps('drop')}{_NAME}{_G}(?-i:PROFILE){_G}",
    "truncate": rf"{_G}(?:(?:all{_G}tables{_G}from|only|if{_G}exists|database|cluster){_G}\S|tables?{_G}(?:{_IF})?("
    rf"?:only{_G})?{_TARGET}{_END}|{_NAME}(?:{_O},{_O}{_NAME})*{_O}(?:[;\x00]|cascade\b|"
    rf"restart{_G}identity|on{_G}cluster\b|(?:drop|reuse){_G}storage))"
    rf"|{_loud('truncate')}{_TARGET}{_G}(?-i:[A-Z]{{3}})",
    "rename": rf"{_G}table{_G}(?:{_IF})?{_NAME}{_G}to{_G}"
    rf"|{_caps('rename')}{_KIND}{_G}(?:{_IF})?{_NAME}{_G}(?:to|as){_G}",
    "comment": rf"{_G}(?:{_IF})?on{_G}(?:{_KIND}{_G})?{_NAME}{_O}(?:\([^()]*\){_O})?(?:on{_G}(?:domain{_G})?{_PART}"
    rf"{_O})?is{_G}(?:[eEnN]?'|null\b)"
    rf"|{_caps('comment')}on{_G}[^;]{{1,160}}{_G}(?-i:IS){_G}",
    "grant": rf"{_G}{_PRIVILEGE}(?:{_O}\([^()]*+\))?(?:{_O},{_O}{_PRIVILEGE}(?:{_O}\([^()]*+\))?)*{_G}(?:on{_G}[^;]"
    rf"{{1,200}}{_G}to{_G}|to{_G}{_NAME}{_END})|{_loud('grant')}[^;!?]{{1,200}}{_G}(?-i:TO){_G}\S",
    "revoke": rf"{_G}(?:grant{_G}option{_G}for{_G})?{_PRIVILEGE}(?:{_O},{_O}{_PRIVILEGE})*{_G}(?:on{_G}[^;]{{1,200}}"
    rf"{_G}from{_G}|from{_G}{_NAME}{_END})|{_loud('revoke')}[^;!?]{{1,200}}{_G}(?-i:FROM|TO){_G}\S",
    "deny": rf"{_G}{_PRIVILEGE}(?:{_O}\([^()]*+\))?(?:{_O},{_O}{_PRIVILEGE}(?:{_O}\([^()]*+\))?)*{_G}(?:on{_G}"
    rf"(?:\w+{_O}::{_O})?{_NAME}{_G}to{_G}{_PART}(?:{_DONE}|[ \t]*\n|{_G}(?:cascade|as)\b)|to{_G}{_PART}{_O};)"
    rf"|{_loud('deny')}[^;!?]{{1,200}}{_G}(?-i:TO){_G}\S",
    "flashback": rf"{_G}(?:table|(?:pluggable{_G})?database){_G}{_NAME}(?:{_O},{_O}{_PART})*{_G}"
    rf"to{_G}(?:before|scn|timestamp|restore)\b",
    "change": rf"{_G}(?:master|replication{_G}source){_G}to{_G}\w+{_O}=|{_G}replication{_G}filter{_G}\w+{_O}=",
    "xa": rf"{_G}(?:start|begin|end|prepare|commit|rollback){_G}(?:[xX]?'|0x\d)",
    "writetext": rf"{_G}(?:bulk{_G})?{_PART}\.{_PART}(?:\.{_PART})?{_G}[@\d]",
    "updatetext": rf"{_G}(?:bulk{_G})?{_PART}\.{_PART}(?:\.{_PART})?{_G}[@\d]",
    **{
        word: rf"{_G}trigger{_G}(?!(?:the|an?|this|that|your|warnings?)\s){_PART}(?:\.{_PART})?(?:{_O},{_O}{_PART})*"
        rf"{_G}on{_G}{_NAME}(?:{_DONE}|[ \t]*\n)|{_caps(word)}(?-i:TRIGGER){_G}{_NAME}{_G}(?-i:ON){_G}\S"
        for word in ("disable", "enable")
    },
    "add": rf"{_G}(?:jars?|files?|archives?){_G}['\"][^'\"\n]+['\"]{_DONE}"
    rf"|{_caps('add')}(?-i:JARS?|FILES?|ARCHIVES?){_G}\S",
    "exec": rf"(?:ute)?(?:{_G}@\w+{_O}={_O}{_PART}(?:\.{_PART})*(?:{_DONE}|{_G}[@'\d]|[ \t]*\n)"
    rf"|{_G}immediate{_G}(?:N?'|\w+|\()|{_G}(?:@\w+{_O}={_O})?(?:xp_|sp_)\w+"
    rf"|{_G}[\w\[\]]+\.\.?[\w\[\]]+(?:\.\.?[\w\[\]]+)?{_G}[@'\d]|{_O}\({_O}(?:@\w+|N'|N?'[^']*'{_O}\+)"
    rf"|{_G}\w+{_G}@\w+{_O}="
    rf"|{_G}\w+{_G}using{_G}[@:'\d]|(?-i:(?<=EXECUTE)|(?<=EXEC)){_G}(?:(?:task|as|job|script){_G})?{_NAME}(?:"
    rf"{_DONE}|[ \t]*\n|{_G}(?:[@'\d:]|(?-i:[A-Z]{{2}}))|{_O}\())",
    "call": rf"{_G}[\w$]+(?:\.[\w$]+){{0,2}}\((?:[^()\n]|\([^()\n]*\))*\){_O}[;\x00\n]|{_loud('call')}{_NAME}(?:"
    rf"{_O}\(|{_DONE})",
    "copy": rf"{_G}(?:into{_G}[^\s()]+(?:{_O}\([^()]*\){_O}|{_G})(?:from|(?:purge|validation_mode|on_error"
    rf"|file_format|force|pattern|files){_O}=)|{_NAME}(?:{_O}\([^()]*+\))?{_G}(?:from|to){_G}(?:program{_G}|stdin\b|"
    rf"stdout\b|N?'|@|\()|(?:binary{_G})?\({_O}{_READS})|{_caps('copy')}(?:files{_G})?into{_G}\S"
    rf"|{_loud('copy')}(?:\(|{_NAME}{_G}(?-i:FROM|TO){_G}\S)",
    "load": rf"{_G}(?:data|xml){_G}(?:(?:low_priority|concurrent){_G})?(?:local{_G})?(?:infile"
    r"|inpath|into|overwrite)\b"
    rf"|{_loud('load')}'[^'\n]+'{_O}[;\x00]|{_caps('load')}(?:label|index){_G}",
    "export": rf"{_G}data{_G}(?:options{_O}\(|with{_G}connection{_G}|as{_G}{_READS})"
    rf"|{_loud('export')}(?:database{_G}'|table{_G}{_NAME}{_G}to\b|\({_O}{_READS}|{_NAME}{_G}(?-i:INTO){_G})",
    "import": rf"{_G}foreign{_G}schema{_G}[\"\w]|{_G}database{_G}'|{_loud('import')}(?:table{_G}|into{_G}"
    rf"|external{_G}table{_G}){_NAME}{_G}",
    "unload": rf"{_O}\({_O}'|{_G}to{_G}\S+{_G}{_READS}|{_O}\({_O}{_READS}",
    "attach": rf"{_G}(?:or{_G}replace{_G})?(?:(?:database{_G})?(?:{_IF})?(?:'[^'\n]*'|\"[^\"\n]*\")(?:{_G}as{_G}\w"
    rf"|{_O}[(;\x00])|database{_G}[\w@:]+{_G}as{_G}\w)"
    rf"|{_caps('attach')}(?:table|dictionary|view|database|partition){_G}{_TARGET}{_END}",
    "detach": rf"{_loud('detach')}(?:database{_G})?(?:{_IF})?\w+{_DONE}|{_G}database{_G}\w|{_G}partition{_G}"
    rf"|{_caps('detach')}(?:table|dictionary|view){_G}{_TARGET}{_END}",
    "pragma": rf"{_G}(?!in\b)\w+(?:\.\w+)?{_O}(?:=|\(|;|\x00)",
    "bulk": rf"{_G}insert{_G}{_NAME}{_G}from{_G}",
    "backup": rf"{_G}(?:database|log|table|certificate|master{_G}key|service{_G}master{_G}key){_G}{_NAME}(?:{_G}to"
    rf"{_G}|{_G}by{_G})",
    "restore": rf"{_G}table{_G}\S+{_G}to{_G}(?:version|timestamp)\b"
    rf"|{_G}(?:database|log){_G}{_NAME}{_G}(?:from|with){_G}|{_G}(?:filelistonly|headeronly"
    rf"|verifyonly|labelonly){_G}from\b",
    "waitfor": rf"{_G}(?:delay|time){_O}['@]",
    "dbcc": rf"{_G}\w+{_O}\(|{_loud('dbcc')}(?-i:[A-Z]{{3,}})\b",
    "declare": rf"{_G}(?:(?:var|variable){_G}\w+{_G}{_TYPE}|@[\w$#@]+{_G}(?:as{_G})?\w"
    rf"|{_PART}(?:{_O},{_O}{_PART})*{_G}(?:{_PART}(?:\.{_PART}){{0,3}}%(?:row)?type\b"
    rf"|(?:constant{_G})?{_TYPE}(?:[ \t]*\n|{_G}default\b|{_O}(?::=|[(<;\x00])))|type{_G}\w+{_G}is{_G}"
    rf"|cursor{_G}\w+{_O}"
    rf"(?:\([^()]*\){_O})?(?:is|return)\b|\w+{_G}(?:(?:insensitive|binary|no{_G}scroll|scroll){_G})*cursor{_G}"
    r"(?:for|with|without|local|static|fast_forward)\b"
    rf"|\w+(?:{_O},{_O}\w+)*{_G}{_TYPE}(?:{_O}[(<;\x00]|{_G}(?:default|:=|not{_G}null))|(?:exit"
    rf"|continue|undo){_G}handler{_G}for\b|global{_G}temporary{_G}table\b)"
    rf"|{_loud('declare')}\w+(?:{_O},{_O}\w+)*{_G}(?:{_TYPE}|(?-i:[A-Z]{{3}})|default\b|:=)",
    "do": rf"{_G}(?:language{_G}\w+{_G})?(?:\$\w*\$|E?'{_O}(?:begin|declare)\b|(?:sleep|benchmark"
    r"|release_lock|get_lock)\()",
    "set": rf"{_G}(?:(?:session|local){_G}\w+{_G}(?:'|(?-i:NONE|DEFAULT)\b)|(?:var|variable){_G}\w+{_O}(?:=|,)"
    rf"|language{_G}['\w]+{_DONE}|(?:global|session|local|persist|persist_only){_G}\w[\w.]*{_O}(?::?=|to\b)"
    rf"|@@?[\w.]+{_O}:?=|"
    rf"(?:(?:session|local){_G})?role{_G}\w+{_O}[;\x00\n]|password{_O}(?:=|for\b)|search_path{_O}(?:=|to\b)"
    rf"|identity_insert{_G}\w"
    rf"|(?:schema|catalog){_G}\w+{_DONE}|(?:hive|tez|mapreduce|mapred|spark|table|execution"
    rf"|pipeline)(?:\.[\w-]+)+{_O}=|hivevar:|session{_G}authorization{_G}\w"
    rf"|(?:session{_G}characteristics{_G}as{_G}|session{_G}|global{_G})?transaction{_G}(?:isolation"
    rf"|read)\b|names{_G}['\w]+{_DONE}|constraints{_G}[^;]{{1,80}}(?:deferred|immediate)\b"
    rf"|statistics{_G}(?:io|time|xml|profile)\b|(?:nocount|xact_abort|ansi_\w+|quoted_identifier"
    r"|arithabort|dateformat|datefirst|deadlock_priority|lock_timeout|rowcount|textsize|noexec"
    r"|parseonly|"
    r"showplan_\w+|fmtonly|concat_null_yields_null|implicit_transactions|sql_log_bin|autocommit"
    rf"|foreign_key_checks|unique_checks|sql_mode|time{_G}zone){_O}(?:=|{_G}\S))"
    rf"|{_loud('set')}(?:'[^'\n]+'{_O}=|(?:tag{_G}on|default{_G}role|resource{_G}group|query_band|variable|var"
    rf"|character{_G}set|charset|names|catalog|schema|path|current|encryption|integrity|role|context_info"
    rf"|offsets|time){_G}\S"
    rf"|(?-i:(?!PATH\b|[A-Z]*PATH\b))[\w.:]+(?:{_G}=|{_O}:=|=(?=['\d@])|{_G}(?-i:TO){_G}){_O}['\"\w(\[@-][^\n]*[;\x"
    rf"00]?|\([^()]*\){_O}=|\w+{_G}(?-i:ON|OFF)\b)",
    "unset": rf"{_caps('unset')}(?:tag|session|var){_G}\S|{_loud('unset')}\w+{_DONE}",
    "show": rf"{_G}(?:full{_G}|extended{_G}|global{_G}|session{_G})?(?:tables|databases|schemas|columns|grants|"
    rf"processlist|variables|status|index|indexes|keys|create{_G}table{_G}\S+|triggers|users|roles)"
    rf"(?:{_G}(?:from|in|for|like){_G}[^\s;]+)*{_O}[;\x00\n]"
    rf"|{_caps('show')}(?:(?:all|system|user|terse|full|extended|binary|master|slave|replica|materialized"
    r"|external|global|session|create|primary|unique|imported|table|current|"
    r"dynamic|file|masking|network|row|session|password|resource|storage|compute|semantic|event"
    rf"|user{_G}defined){_G})*"
    r"(?:functions|views?|partitions|volumes|tables|schemas|databases|columns|catalogs|tblproperties"
    r"|procedures?|warehouses|stages|streams|tasks|pipes|policies|formats|integrations|sequences"
    r"|parameters|"
    r"objects|keys|locks|transactions|regions|shares|engines?|plugins|warnings|errors|events|logs?"
    r"|hosts|collation|charset|character|profiles?|privileges|contributors|authors|grants?|indexes"
    r"|index|"
    r"index_statistics|packages|explain|analyze|stats|session|settings|quotas?|dictionaries|clusters?"
    r"|sources|sinks|secrets|connections|macros|timezone|search_path|all|server_version|\w+_\w+"
    r"|status|"
    r"table|view|database|schema|user|users|roles?|policy|modules|jars|jobs|projections?|links|load|plan|replication"
    r"|fulltext|deployments|dbt|dcm|mcp|services?|models?"
    r"|listings|applications|notebooks|streamlits|images|repositories|snapshots|backups|routines?|branches|tags"
    r"|namespaces|aggregates?|pipelines?|branches|tags|rules?|providers|recipients|groups?"
    rf"|processlist|variables|triggers|open|count|conf|metrics|credentials|storage)\b(?:[^;\n]{{0,160}})[;\x00\n]",
    "prepare": rf"{_G}\w+(?:{_O}\([^()]*+\))?{_G}(?:from{_G}['@]|as{_G}{_READS})|{_loud('prepare')}(?:transaction"
    rf"{_G}'|\w+{_G}(?-i:FROM){_G})",
    "lock": rf"{_G}tables?{_G}{_NAME}{_G}(?:read|write|in{_G}\w|as{_G}\w)|{_caps('lock')}tables?{_G}{_NAME}",
    "flush": rf"{_G}(?:privileges|tables|logs|hosts|status)\b|{_caps('flush')}(?:\w+{_G}){{0,2}}(?:logs?"
    r"|tables?|cache|distributed|user_resources|statistics|hosts|relay|ssl|log_status|optimizer_costs)\b",
    "vacuum": rf"{_G}(?:(?:reindex|sort{_G}only|delete{_G}only){_G}\w+|full{_G}|into{_G}'|analyze{_G}|\()"
    rf"|{_loud('vacuum')}{_NAME}(?:{_DONE}|{_O}\("
    rf"|{_G}(?-i:[A-Z]{{2}}))|(?-i:(?<=VACUUM)){_DONE}",
    "install": rf"{_G}\w+{_G}from{_G}(?:community\b|core\w*|local\w*|'[^'\n]+')|{_G}(?:httpfs|plugin)\b"
    rf"|{_caps('install')}(?:component|soname){_G}",
    "uninstall": rf"{_caps('uninstall')}(?:component|plugin){_G}\S",
    "refresh": rf"{_G}materialized{_G}view{_G}|{_loud('refresh')}{_PART}\.{_PART}(?:{_DONE}|{_G}(?-i:PARTITION))"
    rf"|{_caps('refresh')}(?:(?:streaming|live|external"
    rf"|foreign|dynamic){_G})?(?:table|schema|catalog|database|view|function){_G}{_NAME}|{_loud('refresh')}\"",
    "table": rf"{_G}{_NAME}{_O}(?:;|(?:limit|order{_G}by|into{_G}outfile)\b|\){_O}(?:union|except"
    rf"|intersect|limit|order)\b)|{_loud('table')}{_NAME}{_DONE}",
    "into": rf"{_G}(?:outfile|dumpfile){_G}\S",
    "union": rf"{_G}(?:(?:all|distinct){_G})*(?:\({_O})*select\b",
    "explain": rf"{_G}(?:query{_G}plan{_G}(?:for{_G})?|plan{_G}for{_G}|\((?!{_O}(?:select|with)\b)[^()]*+\){_O}|"
    rf"format{_O}={_O}\w+{_G}|(?:analy[sz]e|verbose|extended|partitions|formatted|plan|pipeline|ast|syntax|estimate|"
    rf"logical|using{_G}(?:text|json|tabular)|codegen|cost|changelog_mode|raw|optimized|physical"
    rf"|distributed){_G})*(?:\({_O})*(?:{_READS}|(?:create|alter|drop|truncate|use|refresh|call|execute"
    rf"|declare)\b){_G}\S",
    "begin": rf"{_G}(?:execute{_G}immediate|dbms_|utl_)|{_G}(?:declare|set|insert|update|delete"
    rf"|return|raise|select|call|exec|execute|print|truncate|merge|if|while|for|loop|null)\b[^;]{{0,300}};(?s:.{{0,"
    rf"400}}?)\bend\b"
    rf"|(?-i:(?<=BEGIN)){_G}(?:(?-i:TRAN|TRANSACTION|WORK|ISOLATION|READ|ATOMIC|TRY|CATCH|DIALOG"
    r"|CONVERSATION|IMMEDIATE|DEFERRED|EXCLUSIVE|DECLARE|SELECT|INSERT|UPDATE|DELETE|IF|LOOP|FOR"
    rf"|WHILE|RETURN|SET|CALL|EXECUTE|RAISE|CASE|NULL|OPEN|PRINT)\b|[\w.]+{_O}(?:\([^()\n]*\){_O})?(?::="
    rf"|\())|{_G}(?:tran(?:saction)?|work)\b(?:{_DONE}|{_G}(?:isolation{_G}level|read{_G}(?:only|write))\b)"
    rf"|{_G}select{_G}[^;]{{1,80}};(?s:.{{0,400}}?)\bend\b",
    "shutdown": rf"(?:{_G}with{_G}nowait|{_O};)|{_loud('shutdown')}(?-i:WAIT|ABORT|IMMEDIATE|NORMAL"
    r"|TRANSACTIONAL|COMPACT)",
    "reset": rf"{_loud('reset')}(?-i:GLOBAL|LOCAL|SESSION){_G}\w+{_DONE}|{_G}(?:master|slave|replica|persist)\b"
    rf"|{_loud('reset')}(?:\w+{_DONE}|(?-i:QUERY|ALL|SESSION|ROLE)\b)",
    "kill": rf"{_G}(?:query|connection|session){_G}\d|{_caps('kill')}(?:(?:hard|soft|query|connection"
    rf"|mutation|user|stats|id|async|sync){_G})*\S|{_loud('kill')}\d+{_DONE}",
    "notify": rf"{_G}{_NAME}{_O}(?:;|,{_O}')|{_loud('notify')}(?:\w+|\"[^\"\n]+\"){_DONE}",
    "handler": rf"{_G}{_NAME}{_G}(?:open|read|close)\b",
    "deallocate": rf"{_G}(?:prepare{_G}\w|all{_DONE})|{_loud('deallocate')}[\w@]+{_DONE}",
    "analyze": rf"{_G}(?:table{_G})?{_NAME}{_G}with{_O}\(|{_G}(?:table{_G})?{_NAME}{_G}(?:update|drop){_G}histogram\b"
    rf"|{_G}(?:no_write_to_binlog{_G}|local{_G})?tables?{_G}{_NAME}(?:{_DONE}|{_G}(?:compute"
    rf"|estimate|partition|validate|list|delete|update|drop|persistent|cache)\b|{_O}[,(])|{_caps('analyze')}(?:\w+"
    rf"{_G})*{_NAME}|{_loud('analyze')}{_NAME}(?:{_DONE}|{_O}\()|(?-i:(?<=ANALYZE)){_DONE}",
    "optimize": rf"{_G}(?:no_write_to_binlog{_G}|local{_G})?tables?{_G}{_NAME}(?:{_DONE}|{_O},"
    rf"|{_G}(?:final|partition|deduplicate|on{_G}cluster|zorder|where)\b)|{_loud('optimize')}(?:table{_G})?{_NAME}("
    rf"?:{_DONE}|{_G}(?-i:[A-Z]{{3}}))",
    "reindex": rf"{_G}(?:\([^()]*\){_O})?(?:table|index|database|schema|system){_G}(?:concurrently{_G})?{_NAME}{_O}"
    rf"[;\x00]|{_caps('reindex')}\w+{_G}{_NAME}|{_loud('reindex')}{_NAME}{_DONE}",
    "cluster": rf"{_loud('cluster')}(?:verbose{_G})?{_NAME}(?:{_DONE}|{_G}(?-i:USING|ON){_G}\w)"
    rf"|(?-i:(?<=CLUSTER)){_DONE}",
    "locking": rf"{_G}(?:(?:table|view|database){_G}{_NAME}|row){_G}(?:for|in){_G}(?:access|read|write|exclusive"
    rf"|share)\b",
    "undrop": rf"{_caps('undrop')}\w+{_G}{_NAME}{_END}|{_G}(?:table|schema|database|view|tag|account|dynamic{_G}table"
    rf"|iceberg{_G}table"
    rf"|external{_G}volume){_G}{_NAME}",
    "purge": rf"{_caps('purge')}(?:table|index|recyclebin|dba_recyclebin|tablespace|binary|master)\b",
    "reassign": rf"{_G}owned{_G}by{_G}\S",
    "security": rf"{_G}label{_G}(?:for{_G}\S+{_G})?on{_G}\w+{_G}{_NAME}{_G}is{_G}",
    "msck": rf"{_G}(?:repair{_G})?table{_G}\S",
    "repair": rf"{_caps('repair')}(?:no_write_to_binlog{_G}|local{_G})?(?:table|view){_G}{_NAME}",
    "check": rf"{_caps('check')}(?:table|view|index){_G}{_NAME}",
    "checksum": rf"{_G}tables?{_G}{_NAME}{_O}[;,\x00]|{_caps('checksum')}table{_G}{_NAME}",
    "exchange": rf"{_G}(?:tables|dictionaries){_G}{_NAME}{_G}and{_G}{_NAME}",
    "start": rf"{_G}transaction(?:{_O}[;\x00\n]|{_G}(?:read{_G}(?:only|write)|isolation|with{_G}consistent)\b)"
    rf"|{_caps('start')}(?:transaction|slave|replica|group_replication)\b",
    "commit": rf"{_G}(?:work{_G})?and{_G}(?:no{_G})?chain\b|{_caps('commit')}(?:work|transaction|tran|prepared|and"
    rf"|force|comment|write)\b"
    rf"|(?-i:(?<=COMMIT)){_O};",
    "rollback": rf"{_G}(?:work{_G})?and{_G}(?:no{_G})?chain\b|{_caps('rollback')}(?:work|transaction|tran|prepared|to"
    rf"|and|force)\b|(?-i:(?<=ROLLBACK)){_O};"
    rf"|{_G}to{_G}savepoint{_G}\w",
    "savepoint": rf"{_loud('savepoint')}\w+{_DONE}|{_G}\w+{_O};",
    "save": rf"{_caps('save')}(?:tran|transaction)\b",
    "release": rf"{_G}savepoint{_G}\w",
    "discard": rf"{_caps('discard')}(?:all|plans|sequences|temp|temporary)\b",
    "checkpoint": rf"(?-i:(?<=CHECKPOINT)){_DONE}",
    "listen": rf"{_loud('listen')}(?:\w+|\"[^\"\n]+\"){_DONE}",
    "unlisten": rf"{_G}(?:\w+|\*|\"[^\"\n]+\"){_DONE}",
    "unlock": rf"{_G}tables{_DONE}|{_caps('unlock')}(?:tables|instance)\b",
    "cache": rf"{_caps('cache')}(?:lazy{_G})?(?:table|index|metadata|select){_G}\S",
    "uncache": rf"{_G}table{_G}\S",
    "collect": rf"{_G}(?:summary{_G})?stat(?:istic)?s{_G}(?:columns?|index|on|using)\b",
    "system": rf"{_caps('system')}(?-i:STOP|START|SYNC|DROP|RELOAD|RESTART|RESTORE|FLUSH|SUSPEND"
    r"|SHUTDOWN|KILL|REFRESH|UNFREEZE|WAIT|ENABLE|DISABLE|CANCEL|PAUSE|UNLOAD|JEMALLOC)\b",
    "describe": rf"{_G}(?:(?:external{_G})?(?:table|stage|view)|database|schema|extended|formatted|query|detail"
    rf"|history|result)"
    rf"{_G}(?:{_NAME}|'[^'\n]*')(?:{_DONE}|{_G}(?:type{_O}=|limit{_G}\d|as{_G}json\b))"
    rf"|{_loud('describe')}(?:(?-i:[A-Z]+){_G}){{0,3}}{_NAME}(?:{_O}\([^()]*\))?(?:{_G}{_NAME})?{_DONE}"
    rf"|{_G}{_NAME}{_O};|{_loud('describe')}{_READS}",
    "desc": rf"{_G}(?:(?:external{_G})?(?:table|stage|view)|database|schema|extended|formatted|query|detail|history"
    rf"|result)"
    rf"{_G}(?:{_NAME}|'[^'\n]*')(?:{_DONE}|{_G}(?:type{_O}=|limit{_G}\d|as{_G}json\b))"
    rf"|{_loud('desc')}(?:(?-i:[A-Z]+){_G}){{0,3}}{_NAME}(?:{_O}\([^()]*\))?(?:{_G}{_NAME})?{_DONE}"
    rf"|{_G}{_NAME}{_O};",
    "use": rf"(?!{_G}(?:strict|warnings|utf8|diagnostics|autodie|bytes|integer|constant|parent|base|lib|vars|feature"
    rf"|iso_\w+|ieee_\w+|v?\d[\w.]*){_O}[;\x00\n])(?:{_caps('use')}(?:database|schema|role|warehouse|catalog"
    rf"|secondary|namespace){_G}\S"
    rf"|{_loud('use')}{_NAME}{_DONE}|{_G}(?:database|warehouse|catalog){_G}\w+{_DONE})",
    "values": rf"(?-i:(?<=VALUES)){_O}(?:row{_O})?\(|{_O}(?:row{_O})?\((?:[^()]|\([^()]*\))*\){_O}(?:,{_O}(?:row"
    rf"{_O})?\((?:[^()]|\([^()]*\))*\){_O})*(?:[;\x00]|(?:limit|order{_G}by|offset|union|except|intersect)\b"
    rf"|(?:as{_G})?\w+{_DONE})"
    rf"|{_loud('values')}[\d']|{_G}\d+(?:{_O},{_O}\d+)+{_O}(?:[;\x00]|(?:limit|order{_G}by)\b)",
    "from": rf"{_G}(?:\({_O}{_READS}|{_NAME}(?:{_G}(?:as{_G})?(?!select\b|insert\b|where\b)\w+)?"
    rf"(?:{_O}\|>|{_G}(?:select|insert|pivot|unpivot)\b|{_G}(?:where|join|order{_G}by"
    rf"|group{_G}by)\b[^;]{{1,400}}{_G}select\b))"
    rf"|{_loud('from')}{_NAME}{_O};",
    "summarize": rf"{_loud('summarize')}(?:{_READS}|{_NAME}{_DONE})",
    "pivot": rf"{_G}(?:\({_O}{_READS}|{_NAME}){_G}on{_G}\w|{_loud('pivot')}{_NAME}{_G}(?-i:ON|USING|GROUP){_G}",
    "unpivot": rf"{_G}(?:\({_O}{_READS}|{_NAME}){_G}on{_G}\w",
    "subscribe": rf"{_caps('subscribe')}(?:to{_G})?{_NAME}|{_O}\({_O}{_READS}",
    "raiserror": rf"{_O}\(",
    "signal": rf"{_G}(?:set{_G})?sqlstate{_G}|{_G}\w+{_G}set{_G}message_text{_O}=",
    "open": rf"{_caps('open')}(?:schema|symmetric{_G}key|master{_G}key|global){_G}\S|{_loud('open')}\w+{_DONE}",
    "fetch": rf"{_G}(?:(?:next{_G}|prior{_G}|first{_G}|last{_G})?from{_G})?\w+{_G}into{_G}[\w@]+(?:{_O},{_O}[\w@]+)*"
    rf"{_DONE}"
    rf"|{_loud('fetch')}from{_G}\w+{_DONE}|{_caps('fetch')}(?:next|prior|first|last|absolute|relative|forward"
    rf"|backward|all)\b"
    rf"|{_loud('fetch')}(?:\w+{_G}(?-i:FROM|INTO|IN){_G}|\d)",
    "close": rf"{_loud('close')}(?:global{_G})?@?\w+{_DONE}|{_caps('close')}(?:all|symmetric|master|schema)\b",
    "resignal": rf"{_DONE}|{_G}(?:set{_G}\w+{_O}=|sqlstate{_G}|\w+{_DONE})",
    "convert": rf"{_G}to{_G}delta{_G}{_PART}(?:\.{_PART}|{_DONE}|{_G}(?:partitioned|no){_G})",
    "generate": rf"{_G}symlink_format_manifest{_G}for{_G}",
    "invalidate": rf"{_G}metadata(?:{_G}{_NAME})?{_DONE}",
    "define": rf"{_caps('define')}{_KIND}{_G}(?:{_IF})?{_TARGET}{_END}",
    "put": rf"{_G}'?file://\S+{_G}'?@",
    "get": rf"{_G}'?@\S+{_G}'?file://|{_caps('get')}(?:current{_G}|stacked{_G})?diagnostics\b",
    "remove": rf"{_G}'?@[\w.~%/\"]+(?:{_G}pattern\b|{_DONE})",
    "list": rf"{_G}'?@[\w.~%/\"]+(?:{_G}pattern\b|{_DONE})|{_caps('list')}(?-i:FILES?|JARS?|ARCHIVES?)(?:{_G}\S"
    rf"|{_DONE})",
    "apply": rf"{_caps('apply')}changes{_G}into{_G}",
}
RUN: Final = "/*!"
"""Opens what is a comment to most databases and is run by some."""
_OPENINGS[RUN] = (
    rf"\d{{0,6}}{_O}(?:{_READS}|create\b|alter\b|drop\b|truncate\b|union\b|grant\b|set\b|into\b|exec|call\b|load\b)"
)
_OPENINGS.update((word, rf"{_caps(word)}(?:{following})\b") for word, following in COMMANDS.items())
KEYWORDS: Final = frozenset(_OPENINGS) | {"select", "execute"}
LOUD: Final = frozenset(
    [
        *COMMANDS,
        "apply",
        "cache",
        "check",
        "checkpoint",
        "close",
        "cluster",
        "commit",
        "define",
        "discard",
        "fetch",
        "listen",
        "open",
        "purge",
        "repair",
        "save",
        "subscribe",
        "summarize",
        "system",
        "uninstall",
        "unset",
    ]
)
"""Keywords that are words of prose: they begin a statement in capitals only."""
FIRST: Final = frozenset(
    [
        "analyze",
        "checksum",
        "collect",
        "convert",
        "deny",
        "desc",
        "describe",
        "exchange",
        "from",
        "generate",
        "get",
        "import",
        "list",
        "msck",
        "optimize",
        "pivot",
        "put",
        "raiserror",
        "reassign",
        "release",
        "remove",
        "rollback",
        "savepoint",
        "security",
        "signal",
        "start",
        "uncache",
        "undrop",
        "unlisten",
        "unlock",
        "unpivot",
        "use",
        "values",
    ]
)
"""Those that begin one only where a text, a line, a quote or a statement begins."""


@lru_cache(None)
def pattern(word: str) -> regex.Pattern[str]:
    """The opening of statements that begin with a keyword."""
    opening = _OPENINGS["exec" if word == "execute" else word]
    return regex.compile(rf"{regex.escape('exec' if word == 'execute' else word)}(?:{opening})", regex.IGNORECASE)


def load() -> None:
    """Compile all of them, which takes a while: not on the event loop."""
    for word in KEYWORDS - {"select"}:
        pattern(word)
