"""The openings of statements: for each keyword with which statements begin, a pattern for the text after it.

There are two kinds of evidence. Words that prose never has count in any case: `drop table x;`, `if not exists x`,
`set global x =`. Words that prose may have (`use x`, `drop cluster x`) count only in capitals, which is how SQL within
prose is usually written, or if the words after them belong to SQL alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import regex

from gateway.detect.sql.commands import COMMANDS
from gateway.detect.sql.parts import (
    ACCOUNT,
    CREATED,
    DONE,
    DROPPED,
    END,
    EXISTS,
    IF,
    JOINED,
    KIND,
    MADE,
    MODE,
    NAME,
    OPT,
    PART,
    PRIVILEGE,
    READS,
    SAID,
    TARGET,
    THING,
    TYPE,
    G,
    caps,
    loud,
)

LOUD_CREATE, LOUD_DROP, LOUD_TRUNCATE = (f"(?P<loud>(?-i:(?<={word})))?" for word in ("CREATE", "DROP", "TRUNCATE"))
KEYS = rf"(?:(?:service{G})?master|database{G}encryption){G}key"
_DOT_PART = rf"(?:{OPT}\.{{1,3}}{OPT}{PART}){{1,3}}"
_OPENINGS: Final[dict[str, str]] = {
    "insert": rf"(?:{G}(?:low_priority|delayed|high_priority|ignore|overwrite|or{G}{PART}|all|first"
    rf"|top{OPT}\([^()]*+\))){{0,2}}{G}"
    rf"(?:into|overwrite){G}(?:table{G})?(?:function{G})?{NAME}{OPT}(?:{G}(?:as{G})?\w+{OPT})?(?:\([^()]*+\){OPT})?(?:if{G}not{G}"
    rf"exists{G}|\[\w+\]{OPT})?(?:values?\b"
    rf"|select\b|set{G}\S+{OPT}=|"
    rf"default{G}values|with{G}|exec|table{G}\w|from{G}|by{G}(?:name|position){G}|output{G}|overriding{G}"
    rf"|format{G}\w|settings{G}\w+{OPT}=|json{G}'|replace{G}(?:where|using|on){G}"
    rf"|partition{OPT}\("
    rf"|\({OPT}(?:select|values|with)\b)"
    rf"|(?:{G}(?:{MODE})){{0,2}}{G}(?:into{G})?{NAME}{OPT}(?:\([^()]*+\){OPT})?values{OPT}\("
    rf"|{G}into{G}\({OPT}(?:select|with)\b|{G}overwrite{G}(?:local{G})?directory{G}'"
    rf"|{G}(?:all|first){G}(?:when{G}[^;]{{1,300}}?{G}then{G})?into{G}{NAME}{END}",
    "update": rf"(?:{G}(?:only|ignore|low_priority|or{G}{PART}|top{OPT}\([^()]*+\))){{0,2}}{G}{NAME}"
    rf"(?:{G}(?:as{G})?(?!set\b){PART})?(?:(?:{OPT},|{G}(?:inner|left|right|cross|join|with)\b)"
    rf"[\s\w.,()=`\"\[\]$@*/-]{{0,400}}|{G}for{G}portion{G}of{G}[^;]{{1,200}})?{G}set{G}"
    rf"(?:{PART}(?:{OPT}\.{OPT}{PART}){{0,3}}{OPT}(?:\[[^\]\n]*\]{OPT})?[-+*/|]?=|\()|{caps('update')}statistics{G}"
    rf"{NAME}|{G}(?:{NAME}{G}(?:partition{OPT}\(|(?:not{G})?indexed{G}|using{G}t|(?:use|force|ignore){G}index|from{G}|\*)"
    rf"|(?:only{OPT})?\({OPT}(?:select\b|with\b|{PART}{OPT}\))|(?:openquery|openrowset|opendatasource){OPT}\()"
    rf"[^;]{{0,300}}?[\s)\]\"`]set{G}{PART}[^;=]{{0,80}}=",
    "delete": rf"(?:{G}(?:{MODE}|top{OPT}\([^()]*+\))){{0,3}}{G}from{G}(?:only{G})?"
    rf"{TARGET}{END}"
    rf"|(?:{G}(?:{MODE})){{0,3}}{G}(?P<multi>{PART}(?:\.{PART}|\.\*)*(?:{OPT},{OPT}{PART}(?:\.{PART}"
    rf"|\.\*)*)*){G}from{G}{NAME}"
    rf"(?:{G}(?!{JOINED}){PART})?"
    rf"(?:{OPT},|{G}{JOINED})"
    rf"|{G}from{G}(?:only{G})?\({OPT}(?:select|with|{PART}{OPT}\))"
    rf"|{loud('delete')}(?:{NAME}{G}(?-i:OUTPUT|FROM|WHERE){G}|(?:{PART}{_DOT_PART}|(?=[\"`\[]){PART})"
    rf"{DONE}|(?-i:OPENROWSET|OPENQUERY|OPENDATASOURCE){OPT}\(|[@\#]\w+)|{G}\[?dbo\]?\.{PART}{DONE}"
    rf"|{G}from{G}{PART}(?:\.{PART})?\.\*|{G}\*{G}from{G}{NAME}{END}"
    rf"|{G}top{OPT}\([^()]*+\)(?:{G}percent)?{G}(?:from{G})?{NAME}{END}"
    rf"|{G}{NAME}{G}where{G}\S+{OPT}(?:=|<|>|in\b|is\b|like\b|between\b|not\b|!=)",
    "replace": rf"(?:{G}(?:low_priority|delayed))?(?:{G}into{G}{NAME}{OPT}(?:\(|values?\b|select\b"
    rf"|set{G}|partition{OPT}\()"
    rf"|{G}{NAME}{OPT}(?:\([^()]*+\){OPT})?(?:partition{OPT}\([^()]*+\){OPT})?values?{OPT}(?:\(|row{OPT}\()"
    rf"|{caps('replace')}(?:table|view){G}{NAME}|{loud('replace')}{NAME}{G}set{G}{PART}{OPT}=)",
    "upsert": rf"{G}into{G}{NAME}{OPT}(?:\(|values?\b|select\b)",
    "merge": rf"(?:{G}top{OPT}\([^()]*+\)(?:{G}percent)?|{G}with{G}schema{G}evolution)?"
    rf"{G}(?:into{G})?(?:only{G})?(?!only\s){NAME}(?:{G}with{OPT}\([^()]*\))?(?:{G}(?:as{G})?(?!using\b){PART})?{G}using{G}"
    rf"\S[^;]{{0,200}}?[\s)]on[\s(]"
    rf"|{G}into{G}(?:only{G})?(?!only\s){NAME}(?:{G}(?:as{G})?\w+)?{G}using{G}\S",
    "with": rf"{G}(?:recursive{G})?{PART}{OPT}(?:\([^()]*+\){OPT})?as{OPT}(?:(?:not{G})?materialized{OPT})?"
    rf"(?:\({OPT})++(?:{READS}|from\b)|{G}function{G}{NAME}{OPT}\([^()]*\){G}returns{G}",
    "create": rf"{LOUD_CREATE}(?:{G}(?:or{G}replace{G})?(?:mcp{G}server|rls{G}policy"
    rf"|scoped{G}temporary{G}view){G}(?:{IF})?{TARGET}{END}"
    rf"|{G}index{G}on{G}(?:only{G})?{PART}(?:\.{PART})?{OPT}(?:using{G}{PART}{OPT})?\(|{G}{MADE}(?:user|role"
    rf"|login){G}(?:{IF}{TARGET}{END}|{TARGET}(?:{OPT}[;,@\x00]|[ \t]*\n|"
    rf"{G}(?:identified|with|password|for{G}login|from{G}windows|without|superuser|no\w+|login|createdb|default"
    rf"|in{G}role|on{G}cluster)\b))"
    rf"|{G}{MADE}{THING}(?:{G}(?:concurrently{G})?(?:{IF})?{TARGET}{CREATED}|(?-i:(?<=[A-Z]))(?:{OPT}\("
    rf"|{G}{SAID}))"
    rf"|{EXISTS}|{G}{MADE}{ACCOUNT}|{G}{KEYS}(?:{DONE}|{G}(?:encryption|with|from|as)\b)"
    rf"|{G}group{G}(?:{PART}{G}(?:with{G})?user{G}|(?:\w+_\w+|\"[^\"\n]+\"){DONE})"
    rf"|{G}operator{G}[-+*/<>=~!@#%^&|`?]+{OPT}\(|{caps('create')}[A-Z ]+(?-i:PROJECT|FLOW|TABLE"
    rf"|INDEX|LOAD){G}{TARGET}{END})",
    "alter": rf"{G}(?:(?:online|offline|ignore){G}){{1,3}}table{G}(?:{IF})?{TARGET}{G}\w"
    rf"|{G}table{G}{NAME}(?:{OPT},{OPT}{NAME})+{G}(?:rename|set|add|drop|owner)\b"
    rf"|{G}{KEYS}{G}(?:add|drop|regenerate|force|encryption)\b|{G}authorization{G}on{G}(?:{PART}{OPT}::{OPT})?{PART}{END}|{G}(?:(?:{KIND}|system"
    rf"|session){G}(?:{IF})?(?:only{G})?{TARGET}"
    rf"(?:{OPT}\((?:[^()]|\([^()]*\))*+\))?(?:{G}on{G}cluster{G}\S+)?(?:{G}(?:called|strict|returns|immutable|stable"
    rf"|volatile|leakproof|parallel|cost|rows|support|nocreatedb|createuser|nocreateuser|syslog|connection|rotate|add"
    rf"|drop|alter|"
    r"modify|rename|set|reset|change|owner|with|identified|disable|enable|attach|detach|convert"
    r"|engine|comment|no|inherit|"
    r"validate|nologin|login|password|superuser|createdb|account|replica|force|switch|rebuild"
    r"|as|cluster|clear|materialize|"
    r"freeze|fetch|move|truncate|exchange|swap|import|discard|suspend|resume|recluster|unset|refresh|compile|recover|"
    rf"remove|stop|start|execute|depends|coalesce|reorganize|delete{G}where|update{G}\S+{OPT}="
    rf"|(?-i:[A-Z_]{{2,}}))(?!\w)|"
    rf"(?-i:(?<=[A-Z\d_\"`\]])){OPT}[(;\x00])|(?:session|system){G}(?:set|reset|unset|kill|flush|switch"
    rf"|enable|disable|close|checkpoint){G}[\w\"`\[])"
    rf"|{EXISTS}|{G}{ACCOUNT}|{G}default{G}privileges{G}"
    rf"|{G}(?:shared{G}|public{G})+(?:database{G}link|synonym){G}{NAME}{G}|{G}group{G}{PART}{G}(?:add"
    rf"|drop){G}user\b"
    rf"|{caps('alter')}{KIND}{G}(?:(?-i:SET|ADD|ON|ALL|ADVISE|FORCE|DROP|REMOVE|MODIFY|RENAME"
    rf"|UNSET|FOR){G}\S|{SAID})",
    "drop": rf"{LOUD_DROP}(?:{G}(?:materialized{G}|temporary{G}|external{G}|foreign{G}|event{G}|force{G}"
    rf"|web{G}|public{G}|private{G})*"
    rf"(?:(?:procedure|function|aggregate|routine){G}{NAME}(?:{OPT},{OPT}{NAME})+{OPT}(?:[;\x00]|cascade\b|restrict\b)"
    rf"|cast{G}(?:{IF})?\([^()]+{G}as{G}|prepare{G}{PART}{DONE}"
    rf"|(?:tables|views){G}(?:{IF})?{TARGET}{DROPPED}"
    rf"|{THING}(?:{G}(?:concurrently{G})?(?:{IF})?{TARGET}{DROPPED}|(?-i:(?<=[A-Z]))(?:{OPT}\("
    rf"|{G}{SAID}))|(?:user|role|login){G}(?:{IF}{TARGET}{END}"
    rf"|{TARGET}(?:{OPT}[;,@\x00]|[ \t]*\n|{G}(?:cascade|restrict|on{G}cluster)\b)))|{EXISTS}|{G}{ACCOUNT}"
    rf"|{G}owned{G}by{G}\S|{caps('drop')}{NAME}{G}(?-i:PROFILE){G}|{G}{KEYS}{DONE})",
    "truncate": rf"{LOUD_TRUNCATE}{G}(?:(?:all{G}tables{G}from|only|if{G}exists|database|cluster){G}\S"
    rf"|tables?{G}(?:{IF})?(?:only{G})?{TARGET}{DROPPED}|{NAME}(?:{OPT},{OPT}{NAME})*{OPT}(?:[;\x00]|cascade\b|"
    rf"restart{G}identity|on{G}cluster\b|(?:drop|reuse){G}storage))"
    rf"|{loud('truncate')}{TARGET}{G}(?-i:[A-Z]{{3}})",
    "rename": rf"{G}tables?{G}(?:{IF})?{NAME}{G}to{G}"
    rf"|{caps('rename')}{KIND}{G}(?:{IF})?{NAME}{G}(?:to|as){G}",
    "comment": rf"{G}(?:{IF})?on{G}(?:{KIND}{G})?{NAME}{OPT}(?:\([^()]*\){OPT})?(?:on{G}(?:domain{G})?{PART}"
    rf"{OPT})?is{G}(?:[eEnN]?'|null\b)"
    rf"|{caps('comment')}on{G}[^;]{{1,160}}{G}(?-i:IS){G}",
    "grant": rf"{G}{PART}{G}to{G}{PART}{G}with{G}(?:admin|inherit|set|grant){G}\w"
    rf"|{G}{PRIVILEGE}(?:{OPT}\([^()]*+\))?(?:{OPT},{OPT}{PRIVILEGE}(?:{OPT}\([^()]*+\))?)*{G}(?:on{G}[^;]"
    rf"{{1,200}}{G}to{G}|to{G}{NAME}{END})|{loud('grant')}[^;!?]{{1,200}}{G}(?-i:TO){G}\S",
    "revoke": rf"{G}(?:grant{G}option{G}for{G})?{PRIVILEGE}(?:{OPT},{OPT}{PRIVILEGE})*{G}(?:on{G}[^;]{{1,200}}"
    rf"{G}from{G}|from{G}{NAME}{END})|{loud('revoke')}[^;!?]{{1,200}}{G}(?-i:FROM|TO){G}\S",
    "deny": rf"{G}{PRIVILEGE}(?:{OPT}\([^()]*+\))?(?:{OPT},{OPT}{PRIVILEGE}(?:{OPT}\([^()]*+\))?)*{G}(?:on{G}"
    rf"(?:{PART}{OPT}::{OPT})?{NAME}{G}to{G}{PART}(?:{DONE}|[ \t]*\n|{G}(?:cascade|as)\b)|to{G}{PART}{OPT};)"
    rf"|{loud('deny')}[^;!?]{{1,200}}{G}(?-i:TO){G}\S",
    "flashback": rf"{G}(?:(?:standby{G}|pluggable{G})?database{G}|table{G})(?:{NAME}(?:{OPT},{OPT}{PART})*{G})??"
    rf"to{G}(?:before|scn|timestamp|restore)\b",
    "change": rf"{G}(?:master|replication{G}source){G}to{G}{PART}{OPT}=|{G}replication{G}filter{G}{PART}{OPT}=",
    "xa": rf"{G}(?:start|begin|end|prepare|commit|rollback){G}(?:[xX]?'|0x\d)",
    "writetext": rf"{G}(?:bulk{G})?{PART}\.{PART}(?:\.{PART})?{G}[@\d]",
    "updatetext": rf"{G}(?:bulk{G})?{PART}\.{PART}(?:\.{PART})?{G}[@\d]",
    **{
        word: rf"{G}trigger{G}(?!(?:the|an?|this|that|your|warnings?)\s){PART}(?:\.{PART})?(?:{OPT},{OPT}{PART})*"
        rf"{G}on{G}{NAME}(?:{DONE}|[ \t]*\n)|{caps(word)}(?-i:TRIGGER){G}{NAME}{G}(?-i:ON){G}\S"
        for word in ("disable", "enable")
    },
    "add": rf"{G}(?:jars?|files?|archives?){G}['\"][^'\"\n]+['\"]{DONE}"
    rf"|{caps('add')}(?-i:JARS?|FILES?|ARCHIVES?){G}\S",
    "exec": rf"(?:ute)?(?:{G}@\w+{OPT}={OPT}{PART}(?:\.{PART})*(?:{DONE}|{G}[@'\d]|[ \t]*\n)"
    rf"|{G}immediate{G}(?:N?'|{PART}|\()|{G}(?:@\w+{OPT}={OPT})?(?:xp_|sp_){PART}"
    rf"|{G}{PART}(?:\.\.?{PART}){{1,2}}{G}[@'\d]|{OPT}\({OPT}(?:@\w+|N'|N?'[^']*'{OPT}\+)"
    rf"|{G}{PART}{G}@\w+{OPT}="
    rf"|{OPT}\({OPT}N?'[^']*'{OPT}\){G}(?:as{G}(?:user|login)|at{G}\w)|{G}{PART}{G}using{G}[@:'\d]|(?-i:(?<=EXECUTE)|(?<=EXEC)){G}(?:(?:task|as|job|script){G})?{NAME}(?:"
    rf"{DONE}|[ \t]*\n|{G}(?:[@'\d:]|(?-i:[A-Z]{{2}}))|{OPT}\())",
    "call": rf"{G}{PART}(?:\.{PART}){{0,2}}\((?:[^()]|\([^()]*\))*\){DONE}|{loud('call')}{NAME}(?:{OPT}\(|{DONE})",
    "copy": rf"{G}(?:into{G}[^\s()]+(?:{OPT}\([^()]*\){OPT}|{G})(?:from|(?:purge|validation_mode|on_error"
    rf"|file_format|force|pattern|files){OPT}=)|{NAME}(?:{OPT}\([^()]*+\))?{G}(?:from|to){G}(?:program{G}|stdin\b|"
    rf"stdout\b|N?'|@|\()|(?:binary{G})?\({OPT}{READS}(?:{G}[^\s=]|[*(\"'`\[]))|{caps('copy')}(?:files{G})?into{G}\S"
    rf"|{loud('copy')}(?:\(|{NAME}{G}(?-i:FROM|TO){G}\S)",
    "load": rf"{G}(?:data|xml){G}(?:(?:low_priority|concurrent){G})?(?:local{G})?(?:infile"
    r"|inpath|into|overwrite)\b"
    rf"|{loud('load')}'[^'\n]+'{OPT}[;\x00]|{caps('load')}(?:label|index){G}",
    "export": rf"{G}data{G}(?:options{OPT}\(|with{G}connection{G}|as{G}{READS})"
    rf"|{loud('export')}(?:database{G}'|table{G}{NAME}{G}to\b|\({OPT}{READS}|{NAME}{G}(?-i:INTO){G})",
    "import": rf"{G}foreign{G}schema{G}{PART}|{G}database{G}'|{loud('import')}(?:table{G}|into{G}"
    rf"|external{G}table{G}){NAME}{G}",
    "unload": rf"{OPT}\({OPT}'|{G}to{G}\S+{G}{READS}|{OPT}\({OPT}{READS}",
    "attach": rf"{G}(?:or{G}replace{G})?(?:(?:database{G})?(?:{IF})?(?:'[^'\n]*'|\"[^\"\n]*\")(?:{G}as{G}\w"
    rf"|{OPT}[(;\x00])|database{G}[\w@:]+{G}as{G}\w)"
    rf"|{caps('attach')}(?:table|dictionary|view|database|partition){G}{TARGET}{END}",
    "detach": rf"{loud('detach')}(?:database{G})?(?:{IF})?\w+{DONE}|{G}database{G}\w|{G}partition{G}"
    rf"|{caps('detach')}(?:table|dictionary|view){G}{TARGET}{END}",
    "pragma": rf"{G}(?!in\b){PART}(?:\.\w+)?{OPT}(?:=|\(|;|\x00)",
    "bulk": rf"{G}insert{G}{NAME}{G}from{G}",
    "backup": rf"{G}(?:database|log|table|certificate|master{G}key|service{G}master{G}key){G}{NAME}(?:{G}to"
    rf"{G}|{G}by{G})",
    "restore": rf"{G}table{G}\S+{G}to{G}(?:version|timestamp)\b"
    rf"|{G}(?:database|log){G}{NAME}{G}(?:(?:from|with){G}|(?:file|filegroup|page){OPT}=)|{G}(?:filelistonly|headeronly"
    rf"|verifyonly|labelonly){G}from\b",
    "waitfor": rf"{G}(?:delay|time){OPT}['@]",
    "dbcc": rf"{G}{PART}{OPT}\(|{loud('dbcc')}(?-i:[A-Z]{{3,}})\b",
    "declare": rf"{G}(?:(?:var|variable){G}{PART}{G}{TYPE}|@[\w$#@]+{G}(?:as{G})?\w"
    rf"|{PART}(?:{OPT},{OPT}{PART})*{G}(?:{PART}(?:\.{PART}){{0,3}}%(?:row)?type\b"
    rf"|(?:constant{G})?{TYPE}(?:[ \t]*\n|{G}default\b|{OPT}(?::=|[(<;\x00])))|type{G}{PART}{G}is{G}"
    rf"|cursor{G}{PART}{OPT}"
    rf"(?:\([^()]*\){OPT})?(?:is|return)\b|{PART}{G}(?:(?:insensitive|binary|no{G}scroll|scroll){G})*cursor{G}"
    r"(?:for|with|without|local|static|fast_forward)\b"
    rf"|{PART}(?:{OPT},{OPT}{PART})*{G}{TYPE}(?:{OPT}[(<;\x00]|{G}(?:default|:=|not{G}null))|(?:exit"
    rf"|continue|undo){G}handler{G}for\b|global{G}temporary{G}table\b)"
    rf"|{loud('declare')}{PART}(?:{OPT},{OPT}{PART})*{G}(?:{TYPE}|(?-i:[A-Z]{{3}})|default\b|:=)",
    "do": rf"{G}(?:language{G}{PART}{G})?(?:\$\w*\$|E?'{OPT}(?:begin|declare)\b|(?:sleep|benchmark"
    r"|release_lock|get_lock)\()",
    "set": rf"{G}(?:(?:session|local){G}{PART}{G}(?:'|(?-i:NONE|DEFAULT)\b)|(?:var|variable){G}{PART}{OPT}(?:=|,)"
    rf"|language{G}['\w]+{DONE}|(?:global|session|local|persist|persist_only){G}{PART}(?:\.{PART})*{OPT}(?::?=|to\b)"
    rf"|@@?[\w.]+{OPT}:?=|"
    rf"(?:(?:session|local){G})?role{G}{PART}{OPT}[;\x00\n]|password{OPT}(?:=|for\b)|search_path{OPT}(?:=|to\b)"
    rf"|identity_insert{G}{PART}"
    rf"|(?:schema|catalog){G}{PART}{DONE}|(?:hive|tez|mapreduce|mapred|spark|table|execution"
    rf"|pipeline)(?:\.[\w-]+)+{OPT}=|hivevar:|session{G}authorization{G}\w"
    rf"|(?:session{G}characteristics{G}as{G}|session{G}|global{G})?transaction{G}(?:isolation"
    rf"|read)\b|names{G}['\w]+{DONE}|constraints{G}[^;]{{1,80}}(?:deferred|immediate)\b"
    rf"|statistics{G}(?:io|time|xml|profile)\b|(?:nocount|xact_abort|ansi_\w+|quoted_identifier"
    r"|arithabort|dateformat|datefirst|deadlock_priority|lock_timeout|rowcount|textsize|noexec"
    r"|parseonly|"
    r"showplan_\w+|fmtonly|concat_null_yields_null|implicit_transactions|sql_log_bin|autocommit"
    rf"|foreign_key_checks|unique_checks|sql_mode|time{G}zone){OPT}(?:=|{G}\S))"
    rf"|{loud('set')}(?:query_band{OPT}=|'[^'\n]+'{OPT}=|(?:tag{G}on|default{G}role|resource{G}group|variable|var"
    rf"|character{G}set|charset|names|catalog|schema|path|current|encryption|integrity|role|context_info"
    rf"|offsets|time){G}\S"
    rf"|(?-i:(?!PATH\b|[A-Z]*PATH\b))(?:[\w.:]+|{PART})(?:{G}=|{OPT}:=|=(?=['\d@])|{G}(?-i:TO){G}){OPT}['\"\w(\[@-][^\n]*[;\x"
    rf"00]?|\([^()]*\){OPT}=|{PART}{G}(?-i:ON|OFF)\b)",
    "unset": rf"{caps('unset')}(?:tag|session|var){G}\S|{loud('unset')}{PART}{DONE}",
    "show": rf"{loud('show')}(?-i:[a-z][\w.]*|[A-Z][a-z]+[A-Z]\w*){DONE}"
    rf"|{G}(?:full{G}|extended{G}|global{G}|session{G})?(?:tables|databases|schemas|columns|grants|"
    rf"processlist|variables|status|index|indexes|keys|create{G}table{G}\S+|triggers|users|roles)"
    rf"(?:{G}(?:from|in|for|like){G}[^\s;]+)*{OPT}[;\x00\n]"
    rf"|{caps('show')}(?:(?:all|system|user|terse|full|extended|binary|master|slave|replica|materialized"
    r"|external|iceberg|hybrid|temporary|global|session|create|primary|unique|imported|table|current|"
    r"dynamic|file|masking|network|row|session|password|resource|storage|compute|semantic|event"
    rf"|user{G}defined){G})*"
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
    "prepare": rf"{G}{PART}(?:{OPT}\([^()]*+\))?{G}(?:from{G}['@]|as{G}{READS})|{loud('prepare')}(?:transaction"
    rf"{G}'|{PART}{G}(?-i:FROM){G})",
    "lock": rf"{G}tables?{G}{NAME}{G}(?:read|write|in{G}\w|as{G}\w)|{caps('lock')}tables?{G}{NAME}",
    "flush": rf"{G}(?:privileges|tables|logs|hosts|status)\b|{caps('flush')}(?:{PART}{G}){{0,2}}(?:logs?"
    r"|tables?|cache|distributed|user_resources|statistics|hosts|relay|ssl|log_status|optimizer_costs)\b",
    "vacuum": rf"{G}(?:(?:reindex|sort{G}only|delete{G}only){G}{PART}|full{G}(?:freeze\b|verbose\b"
    rf"|analy[sz]e\b|{NAME}(?:{OPT}[,(;\x00]|[ \t]*\r?\n))|into{G}'|(?:full{G}|freeze{G}|verbose{G})*analy[sz]e{G}|\()"
    rf"|{loud('vacuum')}'|{loud('vacuum')}{NAME}(?:{DONE}|{OPT}\("
    rf"|{G}(?-i:[A-Z]{{2}}))|(?-i:(?<=VACUUM)){DONE}",
    "install": rf"{G}{PART}{G}from{G}(?:community\b|core\w*|local\w*|'[^'\n]+')|{G}(?:httpfs|plugin)\b"
    rf"|{caps('install')}(?:component|soname){G}",
    "uninstall": rf"{caps('uninstall')}(?:component|plugin){G}\S",
    "refresh": rf"{G}materialized{G}view{G}|{loud('refresh')}{PART}\.{PART}(?:{DONE}|{G}(?-i:PARTITION))"
    rf"|{caps('refresh')}(?:(?:streaming|live|external"
    rf"|foreign|dynamic){G})?(?:table|schema|catalog|database|view|function){G}{NAME}|{loud('refresh')}\"",
    "table": rf"{G}(?!'){NAME}{OPT}(?:;|(?:limit|order{G}by|into{G}outfile)\b|\){OPT}(?:union|except"
    rf"|intersect|limit|order)\b)|{loud('table')}{NAME}{DONE}",
    "into": rf"{G}(?:outfile|dumpfile){G}\S",
    "union": rf"{G}(?:(?:all|distinct){G})*(?:\({OPT})*select\b",
    "explain": rf"{G}(?:query{G}plan{G}(?:for{G})?|plan{G}for{G}|\((?!{OPT}(?:select|with)\b)[^()]*+\){OPT}|"
    rf"format{OPT}={OPT}{PART}{G}|(?:analy[sz]e|verbose|extended|partitions|formatted|plan|pipeline|ast|syntax|estimate|"
    rf"logical|using{G}(?:text|json|tabular)|codegen|cost|changelog_mode|raw|optimized|physical"
    rf"|distributed){G})*(?:\({OPT})*(?:{READS}|(?:create|alter|drop|truncate|use|refresh|call|execute"
    rf"|declare)\b){G}\S",
    "begin": rf"{G}(?:execute{G}immediate|dbms_|utl_)|{G}(?:declare|set|insert|update|delete"
    rf"|return|raise|select|call|exec|execute|print|truncate|merge|if|while|for|loop|null)\b[^;]{{0,300}};(?s:.{{0,"
    rf"400}}?)\bend\b"
    rf"|(?-i:(?<=BEGIN)){G}(?:(?-i:TRAN|TRANSACTION|WORK|ISOLATION|READ|ATOMIC|TRY|CATCH|DIALOG"
    r"|CONVERSATION|IMMEDIATE|DEFERRED|EXCLUSIVE|DECLARE|SELECT|INSERT|UPDATE|DELETE|IF|LOOP|FOR"
    rf"|WHILE|RETURN|SET|CALL|EXECUTE|RAISE|CASE|NULL|OPEN|PRINT)\b|(?:[\w.]+|{PART}){OPT}(?:\([^()\n]*\){OPT})?(?::="
    rf"|\())|{G}(?:tran(?:saction)?|work)\b(?:{DONE}|{G}(?:isolation{G}level|read{G}(?:only|write))\b)"
    rf"|{G}select{G}[^;]{{1,80}};(?s:.{{0,400}}?)\bend\b",
    "shutdown": rf"(?:{G}with{G}nowait|{OPT};)|{loud('shutdown')}(?-i:WAIT|ABORT|IMMEDIATE|NORMAL"
    r"|TRANSACTIONAL|COMPACT)",
    "reset": rf"{loud('reset')}(?-i:GLOBAL|LOCAL|SESSION){G}{PART}{DONE}|{G}(?:master|slave|replica|persist)\b"
    rf"|{loud('reset')}(?:{PART}{DONE}|(?-i:QUERY|ALL|SESSION|ROLE)\b)",
    "kill": rf"{G}(?:query|connection|session){G}\d|{caps('kill')}(?:(?:hard|soft|query|connection"
    rf"|mutation|user|stats|id|async|sync){G})*\S|{loud('kill')}\d+{DONE}",
    "notify": rf"{G}{NAME}{OPT}(?:;|,{OPT}')|{loud('notify')}(?:{PART}|\"[^\"\n]+\"){DONE}",
    "handler": rf"{G}{NAME}{G}(?:open|read|close)\b",
    "deallocate": rf"{G}(?:prepare{G}\w|all{DONE})|{loud('deallocate')}[\w@]+{DONE}",
    "analyze": rf"{G}(?:table{G})?{NAME}{G}with{OPT}\(|{G}(?:table{G})?{NAME}{G}(?:update|drop){G}histogram\b"
    rf"|{G}(?:no_write_to_binlog{G}|local{G})?tables?{G}{NAME}(?:{DONE}|{G}(?:compute"
    rf"|estimate|partition|validate|list|delete|update|drop|persistent|cache)\b|{OPT}[,(])|{caps('analyze')}(?:{PART}"
    rf"{G})*{NAME}|{loud('analyze')}{NAME}(?:{DONE}|{OPT}\()|(?-i:(?<=ANALYZE)){DONE}",
    "optimize": rf"{G}(?:no_write_to_binlog{G}|local{G})?tables?{G}{NAME}(?:{DONE}|{OPT},"
    rf"|{G}(?:final|partition|deduplicate|on{G}cluster|zorder|where)\b)|{loud('optimize')}(?:table{G})?{NAME}("
    rf"?:{DONE}|{G}(?-i:[A-Z]{{3}}))",
    "reindex": rf"{G}(?:\([^()]*\){OPT})?(?:table|index|database|schema|system){G}(?:concurrently{G})?{NAME}{OPT}"
    rf"[;\x00]|{caps('reindex')}{PART}{G}{NAME}|{loud('reindex')}{NAME}{DONE}",
    "cluster": rf"{loud('cluster')}(?:verbose{G})?{NAME}(?:{DONE}|{G}(?-i:USING|ON){G}\w)"
    rf"|(?-i:(?<=CLUSTER)){DONE}",
    "locking": rf"{G}(?:(?:table|view|database){G}{NAME}|row){G}(?:for|in){G}(?:access|read|write|exclusive"
    rf"|share)\b",
    "undrop": rf"{caps('undrop')}{PART}{G}{NAME}{END}|{G}(?:table|schema|database|view|tag|account|dynamic{G}table"
    rf"|iceberg{G}table"
    rf"|external{G}volume){G}{NAME}",
    "purge": rf"{caps('purge')}(?:table|index|recyclebin|dba_recyclebin|tablespace|binary|master)\b",
    "reassign": rf"{G}owned{G}by{G}\S",
    "security": rf"{G}label{G}(?:for{G}\S+{G})?on{G}{PART}{G}{NAME}{G}is{G}",
    "msck": rf"{G}(?:repair{G})?table{G}\S",
    "repair": rf"{caps('repair')}(?:no_write_to_binlog{G}|local{G})?(?:table|view){G}{NAME}",
    "check": rf"{caps('check')}(?:table|view|index){G}{NAME}",
    "checksum": rf"{G}tables?{G}{NAME}{OPT}[;,\x00]|{caps('checksum')}table{G}{NAME}",
    "exchange": rf"{G}(?:tables|dictionaries){G}{NAME}{G}and{G}{NAME}",
    "start": rf"{G}transaction(?:{OPT}[;\x00\n]|{G}(?:read{G}(?:only|write)|isolation|with{G}consistent)\b)"
    rf"|{caps('start')}(?:transaction|slave|replica|group_replication)\b",
    "commit": rf"{G}(?:work{G})?and{G}(?:no{G})?chain\b|{caps('commit')}(?:work|transaction|tran|prepared|and"
    rf"|force|comment|write)\b"
    rf"|(?-i:(?<=COMMIT)){OPT};",
    "rollback": rf"{G}(?:work{G})?and{G}(?:no{G})?chain\b|{caps('rollback')}(?:work|transaction|tran|prepared|to"
    rf"|and|force)\b|(?-i:(?<=ROLLBACK)){OPT};"
    rf"|{G}to{G}savepoint{G}\w",
    "savepoint": rf"{loud('savepoint')}{PART}{DONE}|{G}{PART}{OPT};",
    "save": rf"{caps('save')}(?:tran|transaction)\b",
    "release": rf"{G}savepoint{G}\w",
    "discard": rf"{caps('discard')}(?:all|plans|sequences|temp|temporary)\b",
    "checkpoint": rf"(?-i:(?<=CHECKPOINT)){DONE}",
    "listen": rf"{loud('listen')}(?:{PART}|\"[^\"\n]+\"){DONE}",
    "unlisten": rf"{G}(?:{PART}|\*|\"[^\"\n]+\"){DONE}",
    "unlock": rf"{G}tables{DONE}|{caps('unlock')}(?:tables|instance)\b",
    "cache": rf"{caps('cache')}(?:lazy{G})?(?:table|index|metadata|select){G}\S",
    "uncache": rf"{G}table{G}\S",
    "collect": rf"{G}(?:summary{G})?stat(?:istic)?s{G}(?:columns?|index|on|using)\b",
    "system": rf"{caps('system')}(?-i:STOP|START|SYNC|DROP|RELOAD|RESTART|RESTORE|FLUSH|SUSPEND"
    r"|SHUTDOWN|KILL|REFRESH|UNFREEZE|WAIT|ENABLE|DISABLE|CANCEL|PAUSE|UNLOAD|JEMALLOC)\b",
    "describe": rf"{G}(?:(?:external{G})?(?:table|stage|view)|database|schema|extended|formatted|query|detail"
    rf"|history|result)"
    rf"{G}(?:{NAME}|'[^'\n]*')(?:{DONE}|{G}(?:type{OPT}=|limit{G}\d|as{G}json\b))"
    rf"|{loud('describe')}(?:(?-i:[A-Z]+){G}){{0,3}}{NAME}(?:{OPT}\([^()]*\))?(?:{G}{NAME})?{DONE}"
    rf"|{G}{NAME}{OPT};|{loud('describe')}{READS}",
    "desc": rf"{G}(?:(?:external{G})?(?:table|stage|view)|database|schema|extended|formatted|query|detail|history"
    rf"|result)"
    rf"{G}(?:{NAME}|'[^'\n]*')(?:{DONE}|{G}(?:type{OPT}=|limit{G}\d|as{G}json\b))"
    rf"|{loud('desc')}(?:(?-i:[A-Z]+){G}){{0,3}}{NAME}(?:{OPT}\([^()]*\))?(?:{G}{NAME})?{DONE}"
    rf"|{G}{NAME}{OPT};",
    "use": rf"(?!{G}(?:strict|warnings|utf8|diagnostics|autodie|bytes|integer|constant|parent|base|lib|vars|feature"
    rf"|iso_\w+|ieee_\w+|v?\d[\w.]*){OPT}[;\x00\n])(?:{caps('use')}(?:database|schema|role|warehouse|catalog"
    rf"|secondary|namespace){G}\S"
    rf"|{loud('use')}{NAME}{DONE}|{G}(?:database|warehouse|catalog){G}{PART}{DONE})",
    "values": rf"(?-i:(?<=VALUES)){OPT}(?:row{OPT})?\(|{OPT}(?:row{OPT})?\((?:[^()]|\([^()]*\))*\){OPT}(?:,{OPT}(?:row"
    rf"{OPT})?\((?:[^()]|\([^()]*\))*\){OPT})*(?:[;\x00]|(?:limit|order{G}by|offset|union|except|intersect)\b"
    rf"|(?:as{G})?(?:\w+{OPT})?(?:\([\w\s,]*\){OPT})?[;\x00])"
    rf"|{loud('values')}[\d']|{G}\d+(?:{OPT},{OPT}\d+)+{OPT}(?:[;\x00]|(?:limit|order{G}by)\b)",
    "from": rf"(?!\s[\w.]+\s+im){G}(?:\({OPT}{READS}|{NAME}(?:{G}(?:as{G})?(?!select\b|insert\b|where\b){PART})?"
    rf"(?:{OPT}\|>|{G}(?:select|insert|pivot|unpivot)\b|{G}(?:where|join|order{G}by"
    rf"|group{G}by)\b[^;]{{1,400}}{G}select\b))"
    rf"|{loud('from')}{NAME}(?:{OPT};|{G}(?-i:DELETE|UPDATE|MERGE|INSERT|UNION)\b|{OPT},{OPT}{NAME}{G}(?-i:SELECT)\b)",
    "summarize": rf"{loud('summarize')}(?:{READS}|{NAME}{DONE})",
    "pivot": rf"{G}(?:\({OPT}{READS}|{NAME}){G}on{G}\w|{loud('pivot')}{NAME}{G}(?-i:ON|USING|GROUP){G}",
    "unpivot": rf"{G}(?:\({OPT}{READS}|{NAME}){G}on{G}\w",
    "subscribe": rf"{caps('subscribe')}(?:to{G})?{NAME}|{OPT}\({OPT}{READS}",
    "raiserror": rf"{OPT}\(",
    "signal": rf"{G}(?:set{G})?sqlstate{G}|{G}{PART}{G}set{G}message_text{OPT}=",
    "open": rf"{caps('open')}(?:schema|symmetric{G}key|master{G}key|global){G}\S|{loud('open')}{PART}{DONE}",
    "fetch": rf"{G}(?:(?:next{G}|prior{G}|first{G}|last{G})?from{G})?\w+{G}into{G}[\w@]+(?:{OPT},{OPT}[\w@]+)*"
    rf"{DONE}"
    rf"|{loud('fetch')}from{G}{PART}{DONE}|{caps('fetch')}(?:next|prior|first|last|absolute|relative|forward"
    rf"|backward|all)\b"
    rf"|{loud('fetch')}(?:{PART}{G}(?-i:FROM|INTO|IN){G}|\d)",
    "close": rf"{loud('close')}(?:global{G})?{PART}{DONE}|{caps('close')}(?:all|symmetric|master|schema)\b",
    "resignal": rf"{DONE}|{G}(?:set{G}{PART}{OPT}=|sqlstate{G}|{PART}{DONE})",
    "convert": rf"{G}to{G}delta{G}{PART}(?:\.{PART}|{DONE}|{G}(?:partitioned|no){G})",
    "generate": rf"{G}symlink_format_manifest{G}for{G}",
    "invalidate": rf"{G}metadata(?:{G}{NAME})?{DONE}",
    "define": rf"{caps('define')}{KIND}{G}(?:{IF})?{TARGET}{END}",
    "put": rf"{G}'?file://\S+{G}'?@",
    "get": rf"{G}'?@\S+{G}'?file://|{caps('get')}(?:current{G}|stacked{G})?diagnostics\b",
    "remove": rf"{G}'?@[\w.~%/\"]+(?:{G}pattern\b|{DONE})",
    "list": rf"{G}'?@[\w.~%/\"]+(?:{G}pattern\b|{DONE})|{caps('list')}(?-i:FILES?|JARS?|ARCHIVES?)(?:{G}\S"
    rf"|{DONE})",
    "apply": rf"{caps('apply')}changes{G}into{G}",
    "help": rf"{loud('help')}'[^'\n]*'{DONE}",
    "let": rf"{loud('let')}\$?{PART}{OPT}={OPT}\S",
    "del": rf"{caps('del')}from{G}{NAME}{END}",
    "ins": rf"{caps('ins')}into{G}{NAME}{END}",
    "upd": rf"{loud('upd')}{NAME}{G}(?-i:SET){G}{PART}{OPT}=",
}
_OPENINGS["analyse"] = _OPENINGS["analyze"].replace("ANALYZE", "ANALYSE")
RUN: Final = "/*!"
"""Begins text that is a comment for most databases, but is executed by some."""
_OPENINGS[RUN] = (
    rf"\d{{0,6}}{OPT}(?:{READS}|create\b|alter\b|drop\b|truncate\b|union\b|grant\b|set\b|into\b|exec|call\b|load\b)"
)
_OPENINGS.update((word, rf"{caps(word)}(?:{following})\b") for word, following in COMMANDS.items())
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
        "del",
        "discard",
        "help",
        "ins",
        "let",
        "upd",
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
"""Keywords that are ordinary words: they begin a statement only in capitals."""
FIRST: Final = frozenset(
    [
        "analyse",
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
"""Keywords that begin a statement only at the beginning of a text, a line, a quote or a statement."""


@lru_cache(None)
def pattern(word: str) -> regex.Pattern[str]:
    """The opening of statements that begin with a keyword."""
    opening = _OPENINGS["exec" if word == "execute" else word]
    return regex.compile(rf"{regex.escape('exec' if word == 'execute' else word)}(?:{opening})", regex.IGNORECASE)


def load() -> None:
    """Compile all patterns. Not for the event loop, because it takes long."""
    for word in KEYWORDS - {"select"}:
        pattern(word)
