# ruff: noqa: E501 (a policy each)
"""Policies that would never end or use all memory: the budget ends each, in a process whose size stays limited.

python -m engines.rego.hostile        (from tests/: one line for each policy)
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from gateway.policy.engines.rego import EvaluationError, TooLong, compile_bundle
from gateway.policy.engines.rego.values import UNDEFINED

SECONDS = 0.2
INPUT = {
    "n": 1_000_000_000,
    "s": "a" * 1000,
    "l": list(range(1000)),
    "x": "x" * 100_000,
    "big": {str(number): number for number in range(10_000)},
}
SPACE = 2 << 30
"""Maximum bytes of address space of the process."""


def chain(first: str, step: str, count: int = 40, last: str = "count(a39)") -> str:
    """A chain of rules that each use the previous rule; `@` is the previous rule, `#` the number."""
    lines = [f"a0 := {first}"]
    lines += [f"a{i} := " + step.replace("@", f"a{i - 1}").replace("#", str(i)) for i in range(1, count)]
    return "\n".join([*lines, f"p := {last}"])


PAIRS = "[@, @]"
TWICE = (
    "\n".join(["b0 := [input.x]", *(f"b{number} := [b{number - 1}, b{number - 1}]" for number in range(1, 40))]) + "\n"
)
POLICIES = {
    "concat": chain("input.s", 'concat("", [@, @])'),
    "sprintf": chain("input.s", 'sprintf("%s%s", [@, @])'),
    "template": chain("input.s", '$"{@}{@}"'),
    "array.concat": chain("input.l", "array.concat(@, @)"),
    "replace": chain("input.s", 'replace(@, "a", "aaaaaaaa")', 20, "count(a19)"),
    "range": "p := count(numbers.range(0, input.n))",
    "nested": "p := count([1 | some i in numbers.range(0, 9999); some j in numbers.range(0, 9999)])",
    "sets": "p := count({[a,b,c] | some a in input.l; some b in input.l; some c in input.l})",
    "objects": "p := {a: [b | some b in input.l; some c in input.l] | some a in input.l}",
    "marshal shared": chain("[input.x]", PAIRS, 40, "count(json.marshal(a39))"),
    "equal shared": chain("[input.x]", PAIRS, 40, "a39 == a38"),
    "equal shared2": TWICE + chain("[input.x]", PAIRS, 40, "a39 == b39"),
    "compare shared": TWICE + chain("[input.x]", PAIRS, 40, "a39 < b39"),
    "set of shared": chain("[input.x]", PAIRS, 40, "{a39}"),
    "result shared": chain("[input.x]", PAIRS, 40, "a39"),
    "sprintf shared": chain("[input.x]", PAIRS, 40, 'sprintf("%v", [a39])'),
    "template shared": chain("[input.x]", PAIRS, 40, '$"{a39}"'),
    "walk shared": chain("[input.x]", PAIRS, 40, "count([x | walk(a39, x)])"),
    "yaml shared": chain("[input.x]", PAIRS, 40, "yaml.marshal(a39)"),
    "sort shared": chain("[1]", PAIRS, 40, "sort([a39, a38, a39])"),
    "flatten shared": chain("[1]", PAIRS, 40, "array.flatten(a39)"),
    "sets shared": chain("{input.x}", "{[@, #], @}", 30, "count(a29)"),
    "object keys shared": chain("{input.x: 1}", "{@: @}", 30, "count(a29)"),
    "square": chain("99999999999", "@ * @", 30, "a29"),
    "plus": chain("1", "@ + @", 39, "a38"),
    "lsh": "p := bits.lsh(1, input.n)",
    "lsh chain": chain("1", "bits.lsh(@, 30000)", 40, "a39"),
    "format_int": "p := format_int(bits.lsh(1, 100000), 2)",
    "union_n": "p := object.union_n([input.big | some i in numbers.range(0, 100000)])",
    "union many": 'p := count([object.union(input.big, {"a": i}) | some i in numbers.range(0, 100000)])',
    "remove many": 'p := count([object.remove(input.big, ["a"]) | some i in numbers.range(0, 100000)])',
    "filter many": "p := count([object.filter(input.big, object.keys(input.big)) | some i in numbers.range(0, 100000)])",
    "patch many": 'p := count([json.patch(input.big, [{"op":"add","path":"/a","value":i}]) | some i in numbers.range(0, 100000)])',
    "regex": 'p := regex.match(`(a+)+$`, concat("", [input.s, "b"]))',
    "regex counts": "p := regex.match(`(((a{1,100}){1,100}){1,100})`, input.s)",
    "regex x": "p := regex.match(`(x+x+)+y`, input.x)",
    "regex split": "p := regex.split(`(x+x+)+y`, input.x)",
    "regex pattern from input": 'p := regex.match(concat("", ["(", input.x, ")*"]), input.x)',
    "regex deep": 'p := regex.match(concat("", ["(" | some i in numbers.range(0, 4000)]), input.x)',
    "regex.replace": "p := regex.replace(input.x, `x*?`, input.x)",
    "regex.find_n": "p := [regex.find_n(`.`, input.x, -1) | some i in numbers.range(0,10000)]",
    "split many": 'p := [split(input.x, "") | some i in numbers.range(0, 100000)]',
    "upper many": "p := [upper(input.x) | some i in numbers.range(0, 100000)]",
    "concat many": 'p := [concat("", [input.x, format_int(i, 10)]) | some i in numbers.range(0, 1000000)]',
    "substring many": "p := [substring(input.x, 1, 99990) | some i in numbers.range(0, 1000000)]",
    "trim many": 'p := [trim(concat("", [input.x,"a"]), "a") | some i in numbers.range(0, 1000000)]',
    "replace_n": 'p := strings.replace_n({"x": input.x}, input.x)',
    "glob": 'p := glob.match("*a*a*a*a*a*a*a*a*a*b", [], input.s)',
    "glob braces": 'p := glob.match("' + "{a,aa,aaa}" * 12 + 'b", [], input.s)',
    "sprintf width": 'p := count({x | some i in input.l; x := sprintf("%0999999d", [i])})',
    "sprintf huge": 'p := sprintf("%1000000000d", [1])',
    "sprintf star": 'p := sprintf("%*d", [1000000000, 1])',
    "cidr": 'p := net.cidr_expand("0.0.0.0/0")',
    "paths": "p := graph.reachable_paths({a: numbers.range(0,14) | some a in numbers.range(0,14)}, {1})",
    "patch copy": 'p := json.patch({"a": input.l}, [{"op":"copy","from":"/a","path":"/a/0"} | some i in numbers.range(0, 60)])',
    "unmarshal deep": 'p := json.unmarshal(concat("", ["[" | some i in numbers.range(0,100000)]))',
    "yaml aliases": 'p := json.marshal(yaml.unmarshal("a: &a [x,x,x,x,x,x,x,x,x]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\\ne: &e [*d,*d,*d,*d,*d,*d,*d]\\nf: &f [*e,*e,*e,*e,*e,*e]\\ng: &g [*f,*f,*f,*f,*f,*f,*f]\\nh: [*g,*g,*g,*g,*g,*g,*g,*g]"))',
    "sha many": 'p := crypto.sha256(concat("", [input.x | some i in numbers.range(0, 100000)]))',
    "unions": "p := union({{[i,j] | some j in input.l} | some i in input.l})",
    "base64": 'p := base64.encode(concat("", [input.x | some i in numbers.range(0, 20000)]))',
    "base64 many": "p := [base64.encode(input.x) | some i in numbers.range(0, 100000)]",
    "indexof_n": 'p := [indexof_n(input.x, "x") | some i in numbers.range(0, 10000)]',
    "strings.count": 'p := [strings.count(input.x, "x") | some i in numbers.range(0, 100000)]',
    "in": "p := [1 | some i in numbers.range(0, 100000); 7.5 in input.l]",
    "rules of rules": "f0(x) := x + 1\n"
    + "".join(f"f{i}(x) := f{i - 1}(x) + f{i - 1}(x + 1)\n" for i in range(1, 40))
    + "p := f39(1)",
    "json.filter": 'p := [json.filter(input.big, ["a/b"]) | some i in numbers.range(0,100000)]',
    "object.get": "p := [object.subset(input.big, input.big) | some i in numbers.range(0,100000)]",
    "min": "p := [max(input.l) | some i in numbers.range(0,1000000)]",
    "graphql": 'p := graphql.parse_query(concat("", ["{a" | some i in numbers.range(0,100000)]))',
    "render": 'p := strings.render_template("{{range .l}}{{range $.l}}{{range $.l}}{{.}}{{end}}{{end}}{{end}}", input)',
    "urlquery": "p := [urlquery.encode(input.x) | some i in numbers.range(0,100000)]",
    "reverse": "p := [array.reverse(input.l) | some i in numbers.range(0,1000000)]",
    "slice": "p := [array.slice(input.l, 0, 999) | some i in numbers.range(0,1000000)]",
    "sum": "p := [sum(input.l) | some i in numbers.range(0,1000000)]",
    "with": "p := [x | some i in numbers.range(0,1000000); x := input.n with input.n as i]",
    "hmac": "p := [crypto.hmac.sha512(input.x, input.x) | some i in numbers.range(0,100000)]",
    "set ops": "p := count({1 | some i in numbers.range(0, 100000); s & s == s})\ns := {x | some x in numbers.range(0,9999)}",
    "add": "p := [x | some i in input.l; some j in input.l; x := [i, j, input.x]]",
    "units": 'p := units.parse(concat("", ["1e", "999999999"]))',
    "number": 'p := to_number("1e999999999")',
    "round": 'p := round(to_number("1e29999"))',
    "digits": 'p := time.parse_duration_ns(replace(input.x, "x", "9"))',
    "digits2": 'p := to_number(concat("", [replace(input.x, "x", "9"), "x"]))',
    "digits3": 'p := units.parse(concat("", [replace(input.x, "x", "9"), ".x"]))',
    "digits4": 'p := yaml.unmarshal(concat("", [replace(input.x, "x", "9_"), "."]))',
    "yaml": 'p := yaml.unmarshal(replace(input.x, "x", "- a\\n"))',
    "yaml nested": 'p := yaml.is_valid(replace(input.x, "x", "["))',
    "yaml scalar": "p := yaml.unmarshal(input.x)",
    "version": 'p := semver.is_valid(concat("", ["1.0.", replace(input.x, "x", "9")]))',
    "actions": 'p := strings.render_template(replace(input.x, "x", "{{"), {})',
    "quotes": 'p := strings.render_template(concat("", ["{{", replace(input.x, "x", "\\"a")]), {})',
    "layout": 'p := time.parse_ns(replace(input.x, "x", ".9"), replace(input.x, "x", ".9"))',
    "layout2": 'p := time.parse_ns("2006 2006", "2021 2021")',
    "blocks": 'p := crypto.x509.parse_certificates(replace(input.x, "x", "-----BEGIN CERTIFICATE-----\\n"))',
    "addresses": 'p := count(net.cidr_expand("10.0.0.0/0"))',
    "overlaps": "p := indexof_n(input.x, substring(input.x, 0, 50000))",
    "amounts": 'p := units.parse(replace(input.x, "x", "99"))',
    "amounts of bytes": 'p := units.parse_bytes(replace(input.x, "x", "99"))',
    "uris": 'p := [uri.parse(concat("", ["//", input.x, "%41@/"])) | some i in numbers.range(0, 100000)]',
    "signed": 'p := [providers.aws.sign_req({"method": "get", "url": "//h", "raw_body": input.x}, c, i) | some i in numbers.range(0, 100000)]\nc := {"aws_access_key": "", "aws_secret_access_key": "", "aws_region": "", "aws_service": ""}',
    "with large": "p := [x | some i in numbers.range(0, 1000000); x := input.n with input.n as i with input.big.a as 1]",
    "withs": "p := [x | some i in input.l; some j in input.l; x := q with data.z as i]\nq := data.z",
    "time": "p := time.add_date(0, 999999999, 1, 1)",
}


def peak() -> int:
    """The maximum memory of this process so far, in MB. Not `getrusage`, which starts with the memory of the parent."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> None:
    """Evaluate every policy; prints its name, how it ended, seconds, and the largest size so far in MB."""
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    for name, source in POLICIES.items():
        program = compile_bundle({"m.rego": f"package m\n{source}\n"})
        begun = time.monotonic()
        env = program.env(INPUT, deadline=begun + SECONDS)
        try:
            value = program.document(("data", "m", "p"), env)
            ended = "undefined" if value is UNDEFINED else "value"
        except TooLong:
            ended = "budget"
        except EvaluationError as error:
            ended = error.code
        size = peak()
        sys.stdout.write(json.dumps([name, ended, round(time.monotonic() - begun, 3), size]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
