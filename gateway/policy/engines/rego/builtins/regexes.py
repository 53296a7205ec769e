"""Regular expressions of Go, matched by RE2: in time that grows with the text and the pattern, whatever they are.

Go's `regexp` is a port of RE2 and takes the same syntax, but for `\\C`. https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import re2

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import integer, string
from gateway.policy.engines.rego.errors import BuiltinError, TooLong
from gateway.policy.engines.rego.values import Value

KEPT = 256
MOST = 10_000
"""Characters of a pattern."""
MEMORY = 2 << 20
"""Bytes that a compiled pattern may take, with the states that it has come upon."""
STATES_PER_STEP = 250
"""Characters times instructions of a pattern that count as a step: a microsecond, where RE2 has to go slowly."""
NANOSECONDS = 1e-9
"""Seconds for one character and one instruction, about, then."""
_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")
_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "invalid perl operator": "invalid or unsupported Perl syntax",
}


def _options() -> Any:
    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    return options


_OPTIONS = _options()


@lru_cache(KEPT)
def compiled(pattern: str) -> Any:
    """A pattern. Raises re2.error, UnicodeEncodeError."""
    if len(pattern) > MOST:
        raise re2.error("expression too large")
    if _BYTE.search(pattern):
        raise re2.error("invalid escape sequence: \\C")
    return re2.compile(pattern, _OPTIONS)


def _compiled(name: str, pattern: str) -> Any:
    try:
        return compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        raise BuiltinError(f"{name}: error parsing regexp: {_in_go(error, pattern)}") from None


def _in_go(error: Exception, pattern: str) -> str:
    """What is wrong with a pattern, in the words of Go."""
    said = error.args[0] if isinstance(error, re2.error) and error.args else "invalid UTF-8"
    words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    what, _, where = words.partition(": ")
    return f"{_WORDS.get(what, what)}: `{where or pattern}`"


def _spend(context: Context, expression: Any, text: str) -> None:
    """Count what a search through a text may take. Raises TooLong."""
    states = len(text) * expression.programsize
    context.tick(states // STATES_PER_STEP)
    if states * NANOSECONDS > context.seconds():
        raise TooLong("a regular expression may take longer than the evaluation may")


@builtin("regex.is_valid")
def is_valid(pattern: Value) -> bool:
    if type(pattern) is not str:
        return False
    try:
        compiled(pattern)
    except (re2.error, UnicodeEncodeError):
        return False
    return True


@builtin("regex.match", context=True, expensive=True)
def match(context: Context, pattern: Value, text: Value) -> bool:
    found, whole = string("regex.match", 1, pattern), string("regex.match", 2, text)
    return _search(context, _compiled("regex.match", found), whole)


@builtin("regex.split", context=True, expensive=True)
def split(context: Context, pattern: Value, text: Value) -> list[Value]:
    found, whole = string("regex.split", 1, pattern), string("regex.split", 2, text)
    context.tick(len(whole))
    expression = _compiled("regex.split", found)
    if not whole:
        return [] if found == "" else [""]
    parts: list[Value] = []
    begun = 0
    for one in _first(context, expression, whole, -1):
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


def _search(context: Context, expression: Any, text: str) -> bool:
    """Whether there is a match. Raises TooLong."""
    _spend(context, expression, text)
    try:
        return expression.search(text) is not None
    except UnicodeEncodeError:  # half a character of UTF-16
        raise BuiltinError("the text is not valid UTF-8") from None


def _found(context: Context, expression: Any, text: str) -> Iterator[Any]:
    """The matches, one after another; each may look at all of the text that is left. Raises TooLong."""
    _spend(context, expression, text)
    try:
        for one in expression.finditer(text):
            context.tick()
            if context.seconds() < 0:
                raise TooLong("a regular expression took longer than the evaluation may")
            yield one
    except UnicodeEncodeError:
        raise BuiltinError("the text is not valid UTF-8") from None


def _first(context: Context, expression: Any, text: str, most: int) -> list[Any]:
    found: list[Any] = []
    last = -1
    if most == 0:
        return found
    for one in _found(context, expression, text):
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
            end = next((at for at, one in enumerate(template) if not _names(one)), len(template))
            name, rest = template[:end], template[end:]
        if not name or not all(map(_names, name)):
            out.append("$")
            continue
        template = rest
        if name.isascii() and name.isdigit() and len(name) < 9:
            out.append((found.group(int(name)) or "") if int(name) <= expression.groups else "")
        elif name in expression.groupindex:
            out.append(found.group(name) or "")


def _names(sign: str) -> bool:
    """Whether a sign may stand in the name of a group."""
    return sign == "_" or sign.isalpha() or sign.isdecimal()


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
                parts.append(re2.escape(found[begun:at]))
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
    parts.append(re2.escape(found[begun:]) + "$")
    return _search(context, _compiled(name, "".join(parts)), whole)
