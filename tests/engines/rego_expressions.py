"""Expressions that test every supported builtin; OPA's result is the expected one.

`input.s` is the text under test, `input.l` a list that contains the text, `input.o` an object with the text as key.
"""

from __future__ import annotations

from collections.abc import Mapping

EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "abs": ("abs(-3)", "abs(2.5)", "abs(0)"),
    "array.concat": ("array.concat([1], [2, input.s])", "array.concat([], [])"),
    "array.reverse": ("array.reverse([1, 2, input.s])", "array.reverse([])"),
    "array.slice": ("array.slice([1, 2, 3, input.s], 1, 9)", "array.slice([1, 2], 2, 1)", "array.slice([1], -1, 1)"),
    "concat": (
        'concat("-", ["x", input.s])',
        'concat("", [])',
        'concat(input.s, ["a", "b"])',
    ),
    "contains": (
        'contains(input.s, "u")',
        'contains(input.s, "n")',
        'contains(input.s, "")',
        "contains(input.s, input.s)",
        'contains("plain", input.s)',
    ),
    "count": ("count(input.s)", "count(input.l)", "count({1, 1, 2})", 'count({"a": 1})', "count([])", 'count("x")'),
    "crypto.sha256": ('crypto.sha256("a")', "crypto.sha256(input.s)"),
    "endswith": (
        'endswith(input.s, "n")',
        'endswith(input.s, "e")',
        "endswith(input.s, input.s)",
    ),
    "glob.match": (
        'glob.match("*", [], input.s)',
        'glob.match("*", null, input.s)',
        'glob.match("?", null, input.s)',
        'glob.match("p*n", null, input.s)',
        "glob.match(input.s, null, input.s)",
        'glob.match("gpt-*", null, "gpt-4.1")',
        'glob.match("gpt-*", [], "gpt-4.1")',
        'glob.match("gpt-*", ["/"], "gpt-4/x")',
        'glob.match("a/**", ["/"], "a/b/c")',
        'glob.match("{a,b}-*", null, "b-1")',
        'glob.match("[a-c]x", null, "bx")',
        'glob.match("a.c", null, "abc")',
        'glob.match("", null, "")',
        'glob.match("*", null, "")',
    ),
    "intersection": ("intersection({{1, 2}, {2, 3}})", "intersection(set())", "intersection({{input.s}, {input.s}})"),
    "is_array": ("is_array([])", "is_array({})", "is_array(input.l)"),
    "is_boolean": ("is_boolean(true)", "is_boolean(0)"),
    "is_null": ("is_null(null)", "is_null(false)"),
    "is_number": ("is_number(1.5)", 'is_number("1")'),
    "is_object": ("is_object({})", "is_object([])"),
    "is_set": ("is_set(set())", "is_set([])"),
    "is_string": ("is_string(input.s)", "is_string(1)"),
    "lower": ("lower(input.s)", 'lower("ABC")', 'lower("")'),
    "max": ("max([1, 3, 2])", "max(input.l)", "max({1.5, 1})", "max([])"),
    "min": ("min([1, 3, 2])", "min(input.l)", "min({1.5, 1})", "min([])"),
    "object.filter": ('object.filter({"a": 1, "b": 2}, ["a"])', "object.filter(input.o, [input.s])"),
    "object.get": (
        "object.get(input.o, input.s, 0)",
        'object.get({"a": {"b": 1}}, ["a", "b"], 0)',
        'object.get({}, "x", "d")',
    ),
    "object.keys": ("object.keys(input.o)", "object.keys({})"),
    "object.remove": ('object.remove({"a": 1, "b": 2}, {"a"})', "object.remove(input.o, [input.s])"),
    "product": ("product([2, 3, 4])", "product([])", "product({1.5, 2})"),
    "sort": ("sort([3, 1, 2])", "sort(input.l)", 'sort({"b", "a"})', "sort([true, false])"),
    "split": (
        'split(input.s, "n")',
        'split(input.s, "")',
        'split("a.b.c", ".")',
        'split("abc", "x")',
    ),
    "sprintf": (
        'sprintf("%v", [input.s])',
        'sprintf("%v|%v", [input.s, input.s])',
        'sprintf("%v and %v, 100%% of `%v`", [lower("A"), 1, split("x,y", ",")[0]])',
        'sprintf("\\"%v\\" is %v", [lower("A"), upper("b")])',
        'sprintf(`"%v" is %v`, [lower("A"), upper("b")])',
        'sprintf("%v %v %v", [1.5, true, null])',
        'sprintf("%v %v %v", [["a", 1], {"k": "v"}, {1, 2}])',
        'sprintf("%v%v", [sprintf("%v-%v", ["a", "b"]), [sprintf("%v", [1])]])',
        'sprintf("plain", [])',
        'sprintf("%v, %v", [1000000, 123456789012])',
    ),
    "startswith": (
        'startswith(input.s, "p")',
        'startswith(input.s, "\\\\")',
        'startswith(input.s, "")',
        'startswith("\\n", "\\\\")',
        "startswith(input.s, input.s)",
    ),
    "strings.any_prefix_match": (
        'strings.any_prefix_match(input.s, ["p", "q"])',
        'strings.any_prefix_match("a", {"b"})',
    ),
    "strings.any_suffix_match": (
        'strings.any_suffix_match(input.s, ["n", "q"])',
        'strings.any_suffix_match("a", {"b"})',
    ),
    "strings.count": ('strings.count(input.s, "n")', 'strings.count("aaa", "a")', 'strings.count("aaa", "")'),
    "substring": (
        "substring(input.s, 1, 2)",
        "substring(input.s, 0, -1)",
        'substring("abc", 5, 1)',
        'substring("abc", -1, 1)',
    ),
    "sum": ("sum([1, 2.5])", "sum([])", "sum({1, 2})", "sum(object.keys({1: 2, 3: 4}))"),
    "time.add_date": ("time.add_date(1700000000000000000, 1, 2, 3)",),
    "time.clock": ("time.clock(1700000000000000000)", 'time.clock([1700000000000000000, "Europe/Berlin"])'),
    "time.date": ("time.date(1700000000000000000)", 'time.date([1700000000000000000, "Asia/Kolkata"])'),
    "time.parse_duration_ns": ('time.parse_duration_ns("1h30m")', 'time.parse_duration_ns("x")'),
    "time.weekday": ("time.weekday(1700000000000000000)", 'time.weekday([1700000000000000000, "America/New_York"])'),
    "trim": ('trim("  a ", " ")', 'trim(input.s, "pq")'),
    "trim_left": ('trim_left("xxa", "x")', 'trim_left(input.s, "pq")'),
    "trim_prefix": ('trim_prefix("abc", "a")', 'trim_prefix(input.s, "p")', 'trim_prefix(input.s, "\\\\")'),
    "trim_right": ('trim_right("axx", "x")', 'trim_right(input.s, "n")'),
    "trim_space": ('trim_space("  a ")', "trim_space(input.s)"),
    "trim_suffix": ('trim_suffix("abc", "c")', 'trim_suffix(input.s, "n")'),
    "type_name": ("type_name(input.s)", "type_name(set())", "type_name(null)", "type_name(1)"),
    "union": ("union({{1}, {2, 1}})", "union(set())", "union({{input.s}, {1}})"),
    "upper": ("upper(input.s)", 'upper("abc")', 'upper("")'),
    "walk": ('[[p, v] | walk({"a": [1, {"b": 2}]}, [p, v])]', "{p | some p, v; walk(input.o, [p, v])}"),
}

PLAIN = ("plain", "", "A b-C.d/e:1", "aaa", "%s %v", "123", "n", "gpt-4o-mini", "{}", "$1", "*", "<a>&'")
UNICODE = ("é", "uni É 漢 😀", "Éz", "ß", "\u2028x", "e\u0301", "\u00a0a\u00a0", "İ", "\x7f")
ESCAPED = ('q"uo\te', "new\nline", "\n", "\\n lit", 'back\\slash"', "tab\t", "\x01n", "a\x00b", "q\\", '"', "\\u0041")
