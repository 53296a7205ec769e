"""Random policies and inputs: the compiler and the program `opa` give the same results."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engines import opa_server
from gateway.policy.engines.rego import UNDEFINED, EvaluationError, Program, RegoError, compile_bundle

PAIRS = int(os.environ.get("MESHGATE_REGO_PAIRS", "2000"))
BATCH = 2000  # pairs in one query to OPA: `opa check` takes a megabyte for each policy
INPUTS = 8
RULES = ("s", "o", "c", "p", "q", "r", "t", "u", "w", "h", "g")
DATA = {"d": {"xs": [1, "a", True, None, 1.5, [1], {"k": 1}], "o": {"a": 1, "b": [2, 3], "c": {"a": "x"}}, "n": 3}}


class Policies:
    """Generates small policies from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def value(self, depth: int = 2) -> str:
        """A term without variables."""
        simple = ("1", "2", "1.0", "-3", '"a"', '"b"', "true", "false", "null", "0.5")
        if depth == 0 or self.random.random() < 0.5:
            return self.pick(*simple)
        inner = [self.value(depth - 1) for _ in range(self.random.randrange(3))]
        kind = self.random.randrange(3)
        if kind == 0:
            return f"[{', '.join(inner)}]"
        if kind == 1:
            return f"{{{', '.join(inner)}}}" if inner else "set()"
        return "{" + ", ".join(f"{self.pick('1', 'true', chr(34) + 'a' + chr(34))}: {one}" for one in inner[:1]) + "}"

    def term(self, names: list[str]) -> str:
        """A term that may use variables."""
        choices = [
            lambda: self.value(),
            lambda: f"input.{self.pick('a', 'b', 'c')}",
            lambda: f"data.d.{self.pick('xs', 'o', 'n', 'none')}",
            lambda: f"data.d.xs[{self.pick('0', '1', '9', '3')}]",
            lambda: f"input.{self.pick('a', 'b')}[{self.pick('0', chr(34) + 'a' + chr(34), '_')}]",
            lambda: f"count({self.pick('input.a', 'data.d.xs', 'data.d.o', 's')})",
            lambda: f"({self.number(names)} {self.pick('+', '-', '*', '/', '%')} {self.number(names)})",
            lambda: f"f({self.number(names)})",
            lambda: self.pick("s", "o", "c"),
            lambda: f"o[{self.value(0)}]",
            lambda: f"[y | y := {self.pick('input.a', 'data.d.xs', 's', 'o')}[_]]",
            lambda: f"{{y | some y in {self.pick('input.b', 'data.d.o', 's')}; y != {self.value(0)}}}",
            lambda: f'sprintf("%v-%d", [{self.term([])}, {self.number([])}])'.replace("1.0", "1"),
            lambda: f"object.get(input, {self.pick(chr(34) + 'a' + chr(34), '[' + chr(34) + 'b' + chr(34) + ']')}, 0)",
            lambda: f"json.marshal({self.term([])})".replace("1.0", "1"),
            lambda: f"[x | walk({self.pick('input.a', 'data.d.o', 'data.d.xs')}, [_, x])]",
            lambda: f"[y | some y in {self.pick('input.a', 'data.d.xs')}; not y == {self.value(0)}]",
            lambda: f"({{1, input.a}} {self.pick('|', '&', '-')} {{{self.value(0)}}})",
            lambda: f"{{k: y | some k, y in {self.pick('input.a', 'data.d.o', 'data.d.xs')}}}",
        ]
        if names and self.random.random() < 0.5:
            return self.random.choice(names)
        return self.random.choice(choices)()

    def number(self, names: list[str]) -> str:
        return self.pick("1", "2", "0", "7", "0.5", "input.a", "data.d.n", *names)

    def body(self, names: list[str]) -> list[str]:
        lines = []
        for _ in range(self.random.randrange(1, 4)):
            kind = self.random.randrange(9)
            name = f"v{len(names)}"
            if kind == 0:
                lines.append(f"{name} := {self.term(names)}")
                names.append(name)
            elif kind == 1:
                lines.append(f"some {name} in {self.term(names)}")
                names.append(name)
            elif kind == 2:
                lines.append(f"{self.term(names)} {self.pick('==', '!=', '<', '>=')} {self.term(names)}")
            elif kind == 3:
                used = [one for one in names if not one.startswith("_")]
                term = self.term(used).replace("[_]", "[0]")
                lines.append(f"not {'false' if term == 'true' else term}")  # OPA 1.22.2 leaves `not true` out
            elif kind == 4:
                lines.append(f"every e in {self.term(names)} {{ e {self.pick('==', '!=', '<')} {self.value(0)} }}")
            elif kind == 5:
                lines.append(f"{self.term(names)} in {self.term(names)}")
            elif kind == 6:
                lines.append(f"{self.term(names)} with input.a as {self.value()}")
            elif kind == 7:
                lines.append(f"[{name}, _] = {self.term(names)}")
                names.append(name)
            else:
                lines.append(self.term(names))
        return lines

    def rule(self, head: str) -> str:
        names: list[str] = []
        body = "; ".join(self.body(names))
        return f"{head.format(value=self.term(names).replace('[_]', '[0]'))} if {{ {body} }}"

    def module(self, package: str) -> str:
        """A policy: the rules `s`, `o`, `c` and `f` read no rules; `p`, `q` and `r` read those."""
        lines = [f"package {package}", ""]
        plain = Policies(self.random.randrange(2**32))
        plain.term = lambda names: plain.random.choice([plain.value(), "input.a", "data.d.o", *names])  # type: ignore[method-assign]
        lines += [plain.rule("s contains {value}"), "s contains 1"]
        lines += ["o[k] := v if some k, v in object.filter(data.d.o, input.keys)", f"o[1] := {plain.value()}"]
        lines += [plain.rule("c := {value}"), "default f(_) := 0", f"f(x) := {plain.value()} if x == 1"]
        lines += [self.rule("p contains {value}"), self.rule("p contains {value}")]
        lines += [self.rule("q := {value}"), f"default q := {self.value()}"]
        wanted = (
            'input.a == "a"',
            '"b" == input.a',
            'input.a in {"a", "b"}',
            'input.a = "b"',
            "input.a == 1",
            "input.c",
        )
        for _ in range(5):
            lines.append(
                f"t contains {self.value(0)} if {{ {self.pick(*wanted)}; {self.pick('input.c', *self.body([]))} }}"
            )
        lines += ['u := $"{input.a} {count(s)} {o[1]} {input.b.a}"']
        place = self.pick("data.d.n", "data.d.o", "input.b")
        lines += [f"w := x if {{ x := [{self.pick('q', 's', 'o', 'p')} | true] with {place} as {self.value()} }}"]
        given = self.pick("input.a", "input.b", "data.d.xs")
        lines += [f"h[x][y] := {self.pick('1', 'x', 'input.b')} if some x, y in {given}"]
        lines += [f"h.{self.pick('a', 'b')}.z := {self.value(0)} if {self.term([])}"]
        lines += [
            f"e(x) := {self.value(0)} if {{ x == {self.value(0)} }} else := y if {{ y := [x, input.a][_] }} else := 7"
        ]
        lines += [f"g := [e({self.number([])}), e({self.value(0)})]"]
        lines += [f"r := {self.value()} if {{ {'; '.join(self.body([]))} }} else := {self.value()}"]
        return "\n\n".join(lines) + "\n"


def plain(value: Any) -> Any:
    """JSON with numbers in the form in which they are compared."""
    return json.loads(json.dumps(value), parse_float=lambda text: round(float(text), 12))


def ordered(value: Any) -> Any:
    if isinstance(value, list):
        return sorted((ordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, dict):
        return {ordered(name): ordered(item) for name, item in value.items()}
    if isinstance(value, str):
        return re.sub(r"\b(\d+)\.0\b", r"\1", value)  # OPA writes a number as the policy does, in names too
    return int(value) if isinstance(value, float) and value.is_integer() else value


def inputs(seed: int) -> list[dict[str, Any]]:
    """JSON of every kind."""
    rng = random.Random(seed)
    simple: list[Any] = [1, 2, 0.5, "a", "b", True, None, [1, "a", True], {"a": 1, "b": 2}, [[1, 2], [3, 4]], [], {}]
    keys: list[Any] = [[], ["a"], ["a", "b"], ["c"]]
    return [
        {name: rng.choice(simple) for name in rng.sample("abc", rng.randrange(4))} | {"keys": rng.choice(keys)}
        for _ in range(INPUTS)
    ]


class Asked:
    """An OPA server with many policies."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.connection = http.client.HTTPConnection(host, int(port))

    def close(self) -> None:
        """Stop the server."""
        self.connection.close()

    def whole(self, package: str, document: Any) -> dict[str, list[Any]]:
        """The result of each rule of a package: a list with its value or the code of its error, empty if undefined."""
        found = self.ask(f"/v1/data/{package}", document)
        if isinstance(found, str):  # one rule that fails hides the others
            return {rule: self.rule(package, rule, document) for rule in RULES}
        return {rule: [found[rule]] if rule in found else [] for rule in RULES}

    def rule(self, package: str, rule: str, document: Any) -> list[Any]:
        """The result of one rule."""
        found = self.ask(f"/v1/data/{package}/{rule}", document)
        return [] if found is UNDEFINED else [found]

    def ask(self, path: str, document: Any) -> Any:
        """The result of a query, UNDEFINED, or the code of an error."""
        body = json.dumps({"input": document})
        self.connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if "errors" in answer:
            return str(answer["errors"][0]["code"])
        return answer.get("result", UNDEFINED)


@pytest.mark.parametrize("batch", range(-(-PAIRS // BATCH)))
def test_equal_results(tmp_path: Path, batch: int) -> None:
    """Random policies and inputs: the same are refused; values, undefined rules and errors are equal."""
    count = max(1, min(PAIRS, BATCH) // INPUTS)
    first = int(os.environ.get("MESHGATE_REGO_SEED", "0")) + batch * 12 * count
    programs: dict[str, tuple[str, Program]] = {}
    refused: set[str] = set()
    seed = first
    while len(programs) < count:
        name, source = f"p{seed}", Policies(seed).module(f"p{seed}")
        seed += 1
        try:
            programs[name] = (source, compile_bundle({"m.rego": source}, DATA))
        except RegoError as error:
            if error.code != "rego_type_error":
                continue  # OPA does not check the types of other rules while a variable is unsafe
            refused.add(name)
        (tmp_path / f"{name}.rego").write_text(source)
    assert seed - first < 12 * count
    assert _refused(opa_server.program(), tmp_path) == refused
    for name in refused:
        (tmp_path / f"{name}.rego").unlink()
    (tmp_path / "data.json").write_text(json.dumps(DATA))
    with opa_server.serve(tmp_path) as url, contextlib.closing(Asked(url)) as opa:
        compared = 0
        for name, (source, program) in programs.items():
            for document in inputs(int(name[1:])):
                wanted = opa.whole(name, document)
                for rule in RULES:
                    found = _value(program, name, rule, document)
                    assert ordered(plain(found)) == ordered(plain(wanted[rule])), (source, rule, document)
                compared += 1
    assert compared == count * INPUTS


def _refused(program: str, folder: Path) -> set[str]:
    """The policies that OPA does not compile."""
    command = [program, "check", "--format", "json", "--max-errors", "1000000", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = json.loads(done.stderr or "{}").get("errors", ())
    assert {error["code"] for error in errors} <= {"rego_type_error"}, errors[0]
    return {Path(error["location"]["file"]).stem for error in errors}


def _value(program: Program, name: str, rule: str, document: dict[str, Any]) -> list[Any]:
    try:
        value = program.document(("data", name, rule), program.env(document))
    except EvaluationError as error:
        return [error.code]
    return [] if value is UNDEFINED else [value]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("p { true }", "rego_parse_error"),
        ('blocked[n] { n := "held" }', "rego_parse_error"),
        ("p[x] { x := 1 }", "rego_parse_error"),
        ("p.q", "rego_parse_error"),
        ("p", "rego_parse_error"),
        ("p contains x", "rego_unsafe_var_error"),
        ("p if x > 1", "rego_unsafe_var_error"),
        ("p if not input.xs[_] == 1", "rego_unsafe_var_error"),
        ("p if q\nq if p", "rego_recursion_error"),
        ("p := 1\np contains 2", "rego_type_error"),
        ("default p := 1\ndefault p := 2", "rego_type_error"),
        ("p if nothing(1)", "rego_type_error"),
        ("p if count(1, 2, 3)", "rego_type_error"),
        ("f(x) := x\np := f(1, 2, 3)", "rego_type_error"),
        ("p if { x := 1; x := 2 }", "rego_compile_error"),
        ("p if { input := 1 }", "rego_compile_error"),
        ("import data.a.x\nimport data.b.x\np := x", "rego_compile_error"),
        ("q := {1}\np if q with data.m.q.a as 1", "rego_compile_error"),
        ("p := any([true])", "rego_type_error"),
        ("if := 1", "rego_parse_error"),
        ("p := 01", "rego_parse_error"),
        ('p := "\\x"', "rego_parse_error"),
    ],
)
def test_equal_refusals(body: str, code: str, tmp_path: Path) -> None:
    """Policies that OPA refuses are refused with the same code; forms of Rego v0, too."""
    source = f"package m\n\n{body}\n"
    with pytest.raises(RegoError) as caught:
        compile_bundle({"m.rego": source})
    assert caught.value.code == code
    (tmp_path / "m.rego").write_text(source)
    done = subprocess.run(
        [opa_server.program(), "check", "--format", "json", str(tmp_path)], capture_output=True, text=True, check=False
    )
    errors = json.loads(done.stderr)["errors"]
    assert code in {error["code"] for error in errors}
    row = errors[0]["location"]["row"]
    assert row in {problem.at.row for problem in caught.value.problems} or row < len("package m\n\n".splitlines())
