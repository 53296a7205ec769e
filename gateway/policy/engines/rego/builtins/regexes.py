"""Regular expressions of Go, matched by `regex`, which gives up when the time of the evaluation is over.

What Go's syntax does not have is refused: references back, looking around, atomic groups.
https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import regex

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import integer, string
from gateway.policy.engines.rego.errors import BuiltinError, TooLong
from gateway.policy.engines.rego.values import Value

KEPT = 1024
MOST = 10_000
"""Characters of a pattern, and repetitions that it may ask for."""
_TOKEN = regex.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|$)|\\(?P<escape>[pP]\{\^?\w+\}|x\{[0-9A-Fa-f]+\}|.)|(?P<open>\(\?[^)]{0,2})"
    r"|(?P<class>\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\])|(?P<bracket>\[)|(?P<possessive>[*+?}]\+)|\{(?P<times>[\d,]+)\}",
    regex.DOTALL,
)
_ESCAPES = frozenset("abBdDfnrsStvwWxzACpPQE0123")
_GROUP = regex.compile(r"\(\?(?:P<\w+>|<\w+>|[imsU]*-?[imsU]*[:)])")


@lru_cache(KEPT)
def compiled(pattern: str) -> Any:
    """A pattern. Raises regex.error."""
    if len(pattern) > MOST:
        raise regex.error("expression too large")
    return regex.compile(_translated(pattern), regex.V0 | regex.ASCII)


def _translated(pattern: str) -> str:
    """A pattern in the words of `regex`. Raises regex.error for what Go does not have."""

    def one(match: Any) -> str:
        text: str = match[0]
        if match["quoted"] is not None:
            return str(regex.escape(match["quoted"]))
        escape = match["escape"]
        if escape is not None:
            if (escape.isalnum() and escape[0] not in _ESCAPES) or (escape.isdigit() and escape in "123456789"):
                raise regex.error(f"invalid escape sequence: `{text}`")
            if escape == "z":
                return r"\Z"
            if escape == "C":
                return "."
            if escape[:2] == "x{":
                return str(regex.escape(chr(int(escape[2:-1], 16))))
            return text
        if match["open"] and not _GROUP.match(pattern, match.start()):
            raise regex.error(f"invalid or unsupported Perl syntax: `{text}`")
        if match["bracket"]:
            raise regex.error(f"missing closing ]: `{pattern[match.start() :]}`")
        if match["possessive"]:
            raise regex.error(f"invalid nested repetition operator: `{text}`")
        if match["times"] and any(int(size) > 1000 for size in match["times"].split(",") if size):
            raise regex.error(f"invalid repeat count: `{text}`")
        if match["class"]:
            return text.replace("&&", r"&\&").replace("||", r"|\|").replace("--", r"-\-").replace("~~", r"~\~")
        return text

    made: str = _TOKEN.sub(one, pattern)
    return regex.sub(r"(?<!\\)\$$", r"\\Z", made) if made.endswith("$") and not made.endswith("\\$") else made


def _compiled(name: str, pattern: str) -> Any:
    try:
        return compiled(pattern)
    except (regex.error, ValueError, OverflowError) as error:
        raise BuiltinError(f"{name}: error parsing regexp: {_in_go(str(error), pattern)}") from None


def _in_go(words: str, pattern: str) -> str:
    """What is said of a pattern, as Go says it."""
    if "`" in words:
        return words
    what, _, _ = words.partition(" at position")
    what = {"missing )": "missing closing )", "unterminated character set": "missing closing ]"}.get(what, what)
    return f"{what}: `{pattern}`"


def _left(context: Context) -> float:
    """Seconds of CPU that a match may take: a part of what is left, for it looks at its clock now and then only."""
    return max(0.001, min(context.seconds() / 3, 10.0))


@builtin("regex.is_valid")
def is_valid(pattern: Value) -> bool:
    if type(pattern) is not str:
        return False
    try:
        compiled(pattern)
    except regex.error:
        return False
    return True


@builtin("regex.match", context=True, expensive=True)
def match(context: Context, pattern: Value, text: Value) -> bool:
    found, whole = string("regex.match", 1, pattern), string("regex.match", 2, text)
    context.tick(len(whole) // 64)
    return bool(_found(context, _compiled("regex.match", found), whole, 1))


@builtin("regex.split", context=True, expensive=True)
def split(context: Context, pattern: Value, text: Value) -> list[Value]:
    found, whole = string("regex.split", 1, pattern), string("regex.split", 2, text)
    context.tick(len(whole))
    expression = _compiled("regex.split", found)
    if not whole:
        return [] if found == "" else [""]
    parts: list[Value] = []
    begun = 0
    for one in _found(context, expression, whole, -1):
        start, end = one.span()
        if end == 0 or (start == end and start >= len(whole)):
            continue
        parts.append(whole[begun:start])
        begun = end
    parts.append(whole[begun:])
    return parts


@builtin("regex.find_n", context=True, expensive=True)
def find_n(context: Context, pattern: Value, text: Value, most: Value) -> list[Value]:
    name = "regex.find_n"
    found, whole, number = string(name, 1, pattern), string(name, 2, text), integer(name, 3, most)
    context.tick(len(whole))
    return [one.group() for one in _first(context, _compiled(name, found), whole, number)]


@builtin("regex.find_all_string_submatch_n", context=True, expensive=True)
def find_all_submatches(context: Context, pattern: Value, text: Value, most: Value) -> list[Value]:
    name = "regex.find_all_string_submatch_n"
    found, whole, number = string(name, 1, pattern), string(name, 2, text), integer(name, 3, most)
    context.tick(len(whole))
    return [
        [one.group(), *(group or "" for group in one.groups())]
        for one in _first(context, _compiled(name, found), whole, number)
    ]


def _found(context: Context, expression: Any, text: str, most: int) -> list[Any]:
    """The matches, all or one. Raises TooLong."""
    try:
        if most == 1:
            one = expression.search(text, timeout=_left(context), concurrent=True)
            return [] if one is None else [one]
        return list(expression.finditer(text, timeout=_left(context), concurrent=True))
    except TimeoutError:
        raise TooLong("a regular expression took longer than the evaluation may") from None


def _first(context: Context, expression: Any, text: str, most: int) -> list[Any]:
    found: list[Any] = []
    last = -1
    if most == 0:
        return found
    for one in _found(context, expression, text, -1):
        start, end = one.span()
        if start == end == last:  # Go has no empty match right behind another
            continue
        found.append(one)
        last = end
        if len(found) == most:
            break
    return found


@builtin("regex.replace", context=True, expensive=True)
def replace(context: Context, text: Value, pattern: Value, new: Value) -> str:
    name = "regex.replace"
    whole, found, template = string(name, 1, text), string(name, 2, pattern), string(name, 3, new)
    context.tick(len(whole))
    expression = _compiled(name, found)
    parts: list[str] = []
    begun, size = 0, 0
    for one in _first(context, expression, whole, -1):
        start, end = one.span()
        made = _expanded(template, one, expression)
        parts += [whole[begun:start], made]
        size += len(made)
        if size > 1 << 16:
            context.tick(size // 64)
            size = 0
        begun = end
    return "".join(parts) + whole[begun:]


def _expanded(template: str, found: Any, expression: Any) -> str:
    """`$1`, `${name}`, `$$`, as Go's Expand does."""
    out: list[str] = []
    while True:
        before, sign, template = template.partition("$")
        out.append(before)
        if not sign:
            return "".join(out)
        if template.startswith("$"):
            out.append("$")
            template = template[1:]
            continue
        if template.startswith("{") and "}" in template:
            name, _, rest = template[1:].partition("}")
        else:
            end = next((at for at, one in enumerate(template) if not (one.isalnum() or one == "_")), len(template))
            name, rest = template[:end], template[end:]
        if not name or not all(one.isalnum() or one == "_" for one in name):
            out.append("$")
            continue
        template = rest
        if name.isdigit():
            out.append((found.group(int(name)) or "") if int(name) <= expression.groups else "")
        elif name in expression.groupindex:
            out.append(found.group(name) or "")


@builtin("regex.template_match", context=True, expensive=True)
def template_match(context: Context, pattern: Value, text: Value, opening: Value, closing: Value) -> bool:
    name = "regex.template_match"
    found, whole = string(name, 1, pattern), string(name, 2, text)
    start, end = string(name, 3, opening), string(name, 4, closing)
    for what, sign in (("start", start), ("end", end)):
        if len(sign) != 1:
            raise BuiltinError(
                f"{name}: {what} delimiter has to be exactly one character long but is {len(start)} long"
            )
    parts, depth, begun = ["^"], 0, 0
    for at, sign in enumerate(found):
        if sign == start:
            depth += 1
            if depth == 1:
                parts.append(regex.escape(found[begun:at]))
                begun = at + 1
        elif sign == end:
            depth -= 1
            if depth == 0:
                parts.append(f"({found[begun:at]})")
                begun = at + 1
            if depth < 0:
                raise BuiltinError(f"{name}: unbalanced braces in {found!r}")
    if depth:
        raise BuiltinError(f"{name}: unbalanced braces in {found!r}")
    parts.append(regex.escape(found[begun:]) + "$")
    return bool(_found(context, _compiled(name, "".join(parts)), whole, 1))
