"""Strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import array, integer, object_, string, strings, wrong
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.values import Value, type_name

builtin("type_name")(type_name)
SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


@builtin("concat", context=True)
def concat(context: Context, delimiter: Value, parts: Value) -> str:
    between = string("concat", 1, delimiter)
    found = strings("concat", 2, parts, "set", "array")
    context.tick((sum(map(len, found)) + len(between) * len(found)) // 64)
    return between.join(found)


@builtin("contains")
def contains(text: Value, part: Value) -> bool:
    return string("contains", 2, part) in string("contains", 1, text)


@builtin("startswith")
def startswith(text: Value, start: Value) -> bool:
    return string("startswith", 1, text).startswith(string("startswith", 2, start))


@builtin("endswith")
def endswith(text: Value, end: Value) -> bool:
    return string("endswith", 1, text).endswith(string("endswith", 2, end))


@builtin("lower")
def lower(text: Value) -> str:
    return "".join(_cased(string("lower", 1, text), str.lower, lambda sign: sign.lower()[0]))


@builtin("upper")
def upper(text: Value) -> str:
    return "".join(_cased(string("upper", 1, text), str.upper, str.title))


def _cased(text: str, change: Callable[[str], str], otherwise: Callable[[str], str]) -> Iterable[str]:
    """Sign by sign, as Go does: one sign never becomes two. `otherwise` is for those that would."""
    if text.isascii():
        return change(text)
    return (next((made for made in (change(sign), otherwise(sign)) if len(made) == 1), sign) for sign in text)


@builtin("indexof")
def indexof(text: Value, part: Value) -> int:
    whole, wanted = string("indexof", 1, text), string("indexof", 2, part)
    if not wanted:
        raise BuiltinError("indexof: empty search character")
    return whole.find(wanted)


@builtin("indexof_n", context=True)
def indexof_n(context: Context, text: Value, part: Value) -> list[Value]:
    whole, wanted = string("indexof_n", 1, text), string("indexof_n", 2, part)
    if not wanted:
        raise BuiltinError("indexof_n: empty search character")
    found: list[Value] = []
    at = whole.find(wanted)
    while at >= 0:
        found.append(at)
        context.tick(1 + (len(wanted) >> 10))  # they may overlap
        at = whole.find(wanted, at + 1)
    return found


@builtin("replace", context=True)
def replace(context: Context, text: Value, old: Value, new: Value) -> str:
    whole = string("replace", 1, text)
    before, after = string("replace", 2, old), string("replace", 3, new)
    context.tick((len(whole) + whole.count(before) * len(after)) // 64)
    return whole.replace(before, after)


@builtin("strings.replace_n", context=True)
def replace_n(context: Context, pairs: Value, text: Value) -> str:
    name = "strings.replace_n"
    table = object_(name, 1, pairs)
    whole = string(name, 2, text)
    for old in table:
        if type(old) is not str:
            raise BuiltinError(f"{name}: operand 1 non-string key found in pattern object", TYPE_EVAL)
        if type(table[old]) is not str:
            raise BuiltinError(f"{name}: operand 1 non-string value found in pattern object", TYPE_EVAL)
    if not table:
        return whole
    olds = sorted(table)
    longest = max(map(len, table.values()))
    context.tick((len(whole) * (len(olds) + longest)) // 64)
    return re.sub("|".join(map(re.escape, olds)), lambda match: str(table[match[0]]), whole)


@builtin("split", context=True)
def split(context: Context, text: Value, delimiter: Value) -> list[Value]:
    whole, between = string("split", 1, text), string("split", 2, delimiter)
    context.tick(len(whole) // 16)
    return whole.split(between) if between else list(whole)


@builtin("strings.split_n", context=True)
def split_n(context: Context, text: Value, delimiter: Value, most: Value) -> list[Value]:
    name = "strings.split_n"
    whole, between, number = string(name, 1, text), string(name, 2, delimiter), integer(name, 3, most)
    context.tick(len(whole) // 16)
    parts: list[Value] = whole.split(between) if between else list(whole)
    return parts[:number] if number >= 0 else parts[number:]


@builtin("substring")
def substring(text: Value, start: Value, length: Value) -> str:
    whole, begin = string("substring", 1, text), integer("substring", 2, start)
    if begin < 0:
        raise BuiltinError("substring: negative offset")
    size = integer("substring", 3, length)
    return whole[begin:] if size < 0 else whole[begin : begin + size]


@builtin("trim")
def trim(text: Value, signs: Value) -> str:
    return string("trim", 1, text).strip(string("trim", 2, signs))


@builtin("trim_left")
def trim_left(text: Value, signs: Value) -> str:
    return string("trim_left", 1, text).lstrip(string("trim_left", 2, signs))


@builtin("trim_right")
def trim_right(text: Value, signs: Value) -> str:
    return string("trim_right", 1, text).rstrip(string("trim_right", 2, signs))


@builtin("trim_prefix")
def trim_prefix(text: Value, start: Value) -> str:
    return string("trim_prefix", 1, text).removeprefix(string("trim_prefix", 2, start))


@builtin("trim_suffix")
def trim_suffix(text: Value, end: Value) -> str:
    return string("trim_suffix", 1, text).removesuffix(string("trim_suffix", 2, end))


@builtin("trim_space")
def trim_space(text: Value) -> str:
    return string("trim_space", 1, text).strip(SPACES)


@builtin("strings.reverse")
def reverse(text: Value) -> str:
    return string("strings.reverse", 1, text)[::-1]


@builtin("strings.count")
def count(text: Value, part: Value) -> int:
    whole, wanted = string("strings.count", 1, text), string("strings.count", 2, part)
    return whole.count(wanted)


@builtin("strings.any_prefix_match")
def any_prefix(texts: Value, starts: Value) -> bool:
    ends = tuple(_texts("strings.any_prefix_match", 2, starts))
    return any(text.startswith(ends) for text in _texts("strings.any_prefix_match", 1, texts))


@builtin("strings.any_suffix_match")
def any_suffix(texts: Value, ends: Value) -> bool:
    wanted = tuple(_texts("strings.any_suffix_match", 2, ends))
    return any(text.endswith(wanted) for text in _texts("strings.any_suffix_match", 1, texts))


def _texts(name: str, position: int, value: Value) -> list[str]:
    if type(value) is str:
        return [value]
    if type(value) not in (list, set):
        raise wrong(name, position, value, "string", "set", "array")
    return strings(name, position, value)


@builtin("sprintf", context=True)
def sprintf(context: Context, template: Value, values: Value) -> str:
    from gateway.policy.engines.rego.builtins.formats import formatted

    made = formatted(string("sprintf", 1, template), array("sprintf", 2, values))
    context.tick(len(made) // 64)
    return made
