"""Which builtins the embedded engine may be asked to evaluate: those shown to answer as OPA answers.

The interpreter leaves what it does not know *undefined* without a word, so a deny rule that uses such a builtin never
fires. Worse, its regular expressions are a backtracking matcher: `(a+)+$` on 40 characters does not end, and 200 kB of
text overflow the stack. So everything is refused but `PROVEN`; the tests put each of these to OPA itself.

The interpreter keeps a string as its JSON spelling: `"` is two characters to it, a line break is `\\n`. Builtins that
look inside a string see that spelling. Each entry says which text it is right for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Text = Literal["any", "unescaped", "ascii"]
"""`unescaped`: no quote, backslash or control character. `ascii`: nor anything outside ASCII."""

PROVEN: Mapping[str, Text] = {
    "abs": "any",
    "array.concat": "any",
    "array.reverse": "any",
    "array.slice": "any",
    "concat": "any",
    "contains": "unescaped",
    "count": "unescaped",
    "crypto.sha256": "unescaped",
    "endswith": "unescaped",
    "glob.match": "ascii",
    "intersection": "any",
    "is_array": "any",
    "is_boolean": "any",
    "is_null": "any",
    "is_number": "any",
    "is_object": "any",
    "is_set": "any",
    "is_string": "any",
    "lower": "ascii",
    "max": "unescaped",
    "min": "unescaped",
    "object.filter": "any",
    "object.get": "any",
    "object.keys": "any",
    "object.remove": "any",
    "product": "any",
    "sort": "unescaped",
    "split": "unescaped",
    "sprintf": "any",  # inside a list or an object it may spell a control character otherwise: words, no verdict
    "startswith": "any",
    "strings.any_prefix_match": "any",
    "strings.any_suffix_match": "unescaped",
    "strings.count": "unescaped",
    "substring": "unescaped",
    "sum": "any",
    "time.add_date": "any",
    "time.clock": "any",
    "time.date": "any",
    "time.now_ns": "any",
    "time.parse_duration_ns": "any",
    "time.weekday": "any",
    "trim": "unescaped",
    "trim_left": "unescaped",
    "trim_prefix": "any",
    "trim_right": "unescaped",
    "trim_space": "ascii",
    "trim_suffix": "unescaped",
    "type_name": "any",
    "union": "any",
    "upper": "ascii",
    "walk": "any",
}

COMPILED = frozenset(
    {
        "array.flatten",
        "base64.decode",
        "base64.encode",
        "base64.is_valid",
        "base64url.decode",
        "base64url.encode",
        "bits.and",
        "bits.lsh",
        "bits.negate",
        "bits.or",
        "bits.rsh",
        "bits.xor",
        "ceil",
        "floor",
        "format_int",
        "graph.reachable",
        "indexof",
        "json.filter",
        "json.is_valid",
        "json.marshal",
        "json.remove",
        "json.unmarshal",
        "net.cidr_contains",
        "net.cidr_intersects",
        "numbers.range",
        "object.union",
        "object.union_n",
        "regex.find_all_string_submatch_n",
        "regex.is_valid",
        "regex.match",
        "replace",
        "round",
        "strings.replace_n",
        "strings.reverse",
        "to_number",
    }
)
"""Builtins that this engine refuses and OPA compiles into the bundle of `policy.engine: wasm`."""

VOLATILE = frozenset({"time.now_ns"})
"""The answer changes although the input does not: what reads one of these is not memoized."""

REASONS: Mapping[str, str] = {
    "http.send": "it reaches out to the network in the middle of a decision",
    "net.lookup_ip_addr": "it reaches out to the network in the middle of a decision",
    "opa.runtime": "it shows the gateway's environment, secrets included",
    "rand.intn": "it gives another verdict on the same input",
    "uuid.rfc4122": "it gives another verdict on the same input",
    "replace": "it does not end when the text to replace is empty",
    "strings.replace_n": "it does not end when a text to replace is empty",
    "regex.split": "it does not end when the pattern is empty",
    "regex.match": "some patterns and texts make it run without end or crash",
    "to_number": 'it takes " 1" and "0x10" for numbers, which OPA does not',
    "print": "it is for debugging, and its output goes nowhere",
    "object.union": "it does not merge nested objects",
    "object.union_n": "it does not merge nested objects",
}
"""Why, where there is more to say than that the answers differ from OPA's."""
DEFAULT_REASON = "it is not proven to answer as OPA does in this engine"
