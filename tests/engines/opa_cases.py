"""OPA's published test cases, evaluated by an in-process engine: every case that loads must give OPA's result.

    python -m engines.opa_cases [wasm]        (from tests/: prints the table and every wrong case)
    python -m engines.opa_cases page          (writes docs/rego-cases.md, the list of cases that are not loaded)

The cases are data of the Go module github.com/open-policy-agent/opa, and are read from Go's module cache. Each case is
loaded and evaluated in a process that can be killed: a crash and an endless evaluation are results, too.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import yaml

if TYPE_CHECKING:
    from gateway.policy.engines import Engine
    from gateway.policy.engines.outline import Module

MODULE = "github.com/open-policy-agent/opa@v1.22.2"
LIMIT = 10.0  # seconds for one case
WORKERS = 2
CHILD = ["-m", "engines.opa_cases", "child"]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rego-cases.md"
HIDDEN = ("data", "$query")
"""A package that no policy can refer to."""


class Outcome(NamedTuple):
    """The outcome of a case, with the reason.

    `right`, `refused` at load, `wrong`, `broken` (crashed, did not end), `beside` (cannot occur in a gateway).
    """

    note: str
    kind: str
    why: str = ""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the faster one, where it is
    """Reads YAML like OPA: `on` and dates are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        first: [entry for entry in entries if entry[0] not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")


class Away(Exception):
    """The cases are not available. The message is the reason, and what to install."""


def folder() -> Path:
    """The directory of the cases in Go's module cache; fetches the module if necessary. Raises Away."""
    module = Path(_go("env", "GOMODCACHE").strip()) / MODULE
    if not module.is_dir():
        module = Path(json.loads(_go("mod", "download", "-json", MODULE))["Dir"])
    return module / "v1" / "test" / "cases" / "testdata" / "v1"


def _go(*words: str) -> str:
    try:
        done = subprocess.run(["go", *words], capture_output=True, text=True, check=False, cwd="/")
    except OSError:
        raise Away("OPA's cases are in its Go module, and go is not installed: install the package golang-go") from None
    if done.returncode != 0:
        raise Away(f"go {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def read_cases(root: Path) -> list[dict[str, Any]]:
    """Every case, in the order of the files."""
    found: list[dict[str, Any]] = []
    for path in sorted(root.rglob("*.yaml")):
        document = yaml.load(path.read_text(), _Loader)
        found += [{**case, "file": str(path.relative_to(root))} for case in (document or {}).get("cases", ())]
    return found


def run(cases: Sequence[dict[str, Any]], engine: str = "embedded") -> list[Outcome]:
    """Evaluate cases with an engine."""
    shares = [cases[start::WORKERS] for start in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return [
            outcome for outcomes in pool.map(lambda share: list(_share(share, engine)), shares) for outcome in outcomes
        ]


def _share(cases: Sequence[dict[str, Any]], engine: str) -> Iterator[Outcome]:
    child: subprocess.Popen[bytes] | None = None
    for case in cases:
        if child is None:
            child = _start(engine)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(repr(case).encode() + b"\n")
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], LIMIT)
        line = child.stdout.readline() if ready else b""
        if line:
            yield Outcome(case["note"], *json.loads(line))
        else:
            child.kill()
            code = child.wait()
            yield Outcome(case["note"], "broken", f"ended the process ({code})" if ready else "did not end")
            child.stdin.close()
            child.stdout.close()
            child = None
    if child is not None:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        child.wait()
        child.stdout.close()


def _start(engine: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *CHILD, engine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )


def judge(case: dict[str, Any], name: str = "embedded") -> tuple[str, str]:
    """Evaluate one case in this process."""
    return _compiled(case) if name == "embedded" else _by_engine(case)


def _compiled(case: dict[str, Any]) -> tuple[str, str]:
    """Evaluate with the compiler alone: the query is next to `data`, without input unless the case has one."""
    from gateway.policy.engines.rego import UNDEFINED, EvaluationError, Program, RegoError
    from gateway.policy.engines.rego.parser import parse
    from gateway.policy.engines.rego.values import to_json

    wanted = case.get("want_result")
    fails = bool(case.get("want_error") or case.get("want_error_code"))
    try:
        modules = [parse(f"test-{index}.rego", text) for index, text in enumerate(case.get("modules") or ())]
        query = parse("query.rego", _module(case["query"], sorted(wanted[0]) if wanted else []))
        query.package = HIDDEN
        given = _term(case["input_term"]) if "input_term" in case else case.get("input", UNDEFINED)
        program = Program([*modules, query], case.get("data") or {})
    except RegoError as error:
        return "refused", error.problems[0].message
    try:
        env = program.env(given, deadline=time.monotonic() + LIMIT, strict=bool(case.get("strict_error")))
        rows = to_json(program.evaluate((*HIDDEN, "decision"), env))["rows"]
    except EvaluationError as error:
        code = case.get("want_error_code") or error.code
        return ("right", "") if fails and error.code == code else ("wrong", str(error))
    if fails:
        return "wrong", f"{rows!r}, and OPA says {case.get('want_error_code')}: {case.get('want_error')}"
    right = ordered(rows) == ordered(to_json(wanted or []))
    return ("right", "") if right else ("wrong", f"{rows!r}, not {wanted!r}")


def _term(text: str) -> Any:
    """The value of an input that is written in Rego."""
    from gateway.policy.engines.rego import UNDEFINED, compile_bundle

    program = compile_bundle({"input.rego": f"package i\n\nv := x if {{ x := {text} }}"})
    return program.evaluate(("data", "i", "v"), program.env(UNDEFINED))


def _by_engine(case: dict[str, Any]) -> tuple[str, str]:
    """Evaluate with a compiled bundle, as the gateway does."""
    from gateway.errors import ConfigError
    from gateway.policy.engines import outline as rego
    from gateway.policy.engines.base import PolicyUnavailable
    from gateway.policy.engines.data import parse_json

    wanted = case.get("want_result")
    fails = bool(case.get("want_error") or case.get("want_error_code")) and not case.get("strict_error")
    try:
        modules = [rego.read(f"m{index}.rego", text) for index, text in enumerate(case.get("modules") or ())]
        modules.append(rego.read("query.rego", _module(case["query"], sorted(wanted[0]) if wanted else [])))
        data = parse_json("data.json", json.dumps(case.get("data") or {}).encode())
        given = _input(case)
        if given is None and any(() in module.inputs for module in modules):
            return "beside", "there is no input at all, and the policy reads all of it"
        value = asyncio.run(_decide(_wasm(tuple(modules), data), {} if given is None else given))["rows"]
    except ConfigError as error:
        return "refused", _reason(str(error))
    except PolicyUnavailable as error:
        return ("right", "") if fails else ("wrong", str(error))
    if fails:
        return "wrong", f"{value!r}, and OPA says {case.get('want_error_code')}: {case.get('want_error')}"
    if wanted is None and "want_defined" in case:
        return ("right", "") if bool(value) == case["want_defined"] else ("wrong", f"{value!r}")
    return ("right", "") if ordered(value) == ordered(wanted or []) else ("wrong", f"{value!r}, not {wanted!r}")


async def _decide(engine: Engine, document: Any) -> Any:
    try:
        return await engine.decide(document)
    finally:
        await engine.close()


def _wasm(modules: tuple[Module, ...], data: dict[str, Any]) -> Engine:
    from gateway.policy.engines.compiled import Compiled, build
    from gateway.policy.engines.wasm import Wasm

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for module in modules:
            (root / module.file).write_text(module.source)
        (root / "data.json").write_text(json.dumps(data))
        return Wasm(Compiled(root, "", build(root), data, modules, built=True), LIMIT)


def _module(query: str, names: Sequence[str]) -> str:
    """An entry point of a bundle that returns the bindings of a query."""
    bindings = ", ".join(f'"{name}": {name}' for name in names)
    body = "; ".join(line for line in query.splitlines() if line.strip())
    return f'package gateway\n\ndecision := {{"rows": rows}}\n\nrows contains {{{bindings}}} if {{ {body} }}\n'


def _input(case: dict[str, Any]) -> Any:
    from gateway.errors import ConfigError

    if "input_term" not in case:
        return case.get("input")
    try:
        return json.loads(case["input_term"])
    except ValueError:
        raise ConfigError("the input is not JSON") from None


def ordered(value: Any) -> Any:
    """A value with all lists sorted, because JSON does not distinguish sets from lists."""
    if isinstance(value, list):
        return sorted((ordered(item) for item in value), key=repr)
    if isinstance(value, dict):
        return {key: ordered(item) for key, item in sorted(value.items())}
    return value


def _reason(words: str) -> str:
    """The reason of a refusal, without its place."""
    return re.sub(r"^[\w.]+:\d*:? ?", "", words)


def child(engine: str) -> None:
    """Evaluate the cases on stdin, one in each line."""
    out = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(out, "wb") as stdout:
        for line in sys.stdin.buffer:
            stdout.write(json.dumps(judge(ast.literal_eval(line.decode()), engine)).encode() + b"\n")
            stdout.flush()


def table(outcomes: Sequence[Outcome]) -> str:
    """The number of cases by outcome, and the refused cases by reason."""
    kinds = Counter(outcome.kind for outcome in outcomes)
    lines = [", ".join([f"{len(outcomes)} cases", *(f"{count} {kind}" for kind, count in kinds.most_common())])]
    reasons = Counter(outcome.why for outcome in outcomes if outcome.kind == "refused")
    lines += [f"{count:5}  {why}" for why, count in reasons.most_common()]
    return "\n".join(lines)


def page(outcomes: Sequence[Outcome]) -> str:
    """The page about the cases that the compiler does not load."""
    right = sum(outcome.kind == "right" for outcome in outcomes)
    reasons = Counter(outcome.why for outcome in outcomes if outcome.kind == "refused")
    lines = [
        "# OPA's cases, and those that the compiler refuses",
        "",
        f"OPA {MODULE.partition('@v')[2]} publishes {len(outcomes)} cases. The compiler",
        f"(`gateway.policy.engines.rego`) loads {right} of them ({100 * right / len(outcomes):.1f} %), and each",
        "comes out as OPA says: value, undefined or the code of an error. The others are refused when the policy",
        "is loaded, with file, line and",
        "reason; a policy that is refused never decides.",
        "",
        "This page is written by `python -m engines.opa_cases page` in `tests/`; a test compares it.",
        "",
        "| Cases | Why they are refused |",
        "|--:|---|",
        *(
            f"| {count} | {_plainly(why)} |"
            for why, count in sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
        ),
    ]
    return "\n".join(lines) + "\n"


def _plainly(why: str) -> str:
    missing = re.fullmatch(
        r"([\w.]+) is not available in the embedded engine(?: \((.*)\))?; use `policy.engine: opa`", why
    )
    if missing:
        return f"`{missing[1]}`: {missing[2]}" if missing[2] else f"`{missing[1]}` is not there"
    unsafe = re.fullmatch(r"unsafe built-in function calls in expression: ([\w.]+): (.*)", why)
    return f"`{unsafe[1]}`: {unsafe[2]}" if unsafe else why


def main() -> None:
    """Print the table, and the wrong cases."""
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
        return
    if sys.argv[1:2] == ["page"]:
        PAGE.write_text(page(run(read_cases(folder()))))
        return
    outcomes = run(read_cases(folder()), *sys.argv[1:])
    print(table(outcomes))
    for outcome in outcomes:
        if outcome.kind in ("wrong", "broken"):
            print(f"{outcome.kind}  {outcome.note}: {outcome.why[:400]}")


if __name__ == "__main__":
    main()
