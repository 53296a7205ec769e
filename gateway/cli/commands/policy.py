"""`meshgate check` and `meshgate policy test`: check the configuration, the policies and their tests."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import commands
from gateway.cli.commands import bench, decisions, explain

if TYPE_CHECKING:
    from gateway.config.grammar import Config
    from gateway.policy.engines.bundle import TestResult


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    command = commands.command(parser, "check", check, "check the configuration, the policies and their tests")
    command.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration and exit")
    commands.json_option(command)
    words = "run the test_* rules of a bundle"
    group = commands.group(parser, "policy", "test, explain, replay, measure and create policies")
    command = group.add_parser("test", help=words, description=words)
    command.add_argument(
        "dir", type=Path, nargs="?", default=Path("policies"), metavar="DIR", help="the bundle; default: policies"
    )
    command.add_argument(
        "--engine",
        choices=("embedded", "wasm", "opa"),
        default="embedded",
        help="the engine, as in policy.engine; default: embedded. wasm and opa need the program opa",
    )
    command.add_argument("--coverage", action="store_true", help="list the lines of rules that no test evaluates")
    words = "refuse unused imports, arguments and variables, as policy.strict does; for engine embedded"
    command.add_argument("--strict", action="store_true", help=words)
    commands.json_option(command)
    command.set_defaults(run=test)
    decisions.register_policy(group)
    explain.register_policy(group)
    bench.register_policy(group)


def check(args: argparse.Namespace) -> int:
    """`meshgate check`: the configuration, the policies and their tests."""
    if args.schema:
        from gateway.config.grammar import schema

        commands.print_json(schema())
        return 0
    loaded = commands.load_config(args, quiet=args.json, scanners=True)
    doubts = _doubts(loaded.config)
    for doubt in () if args.json else doubts:
        print(f"warning: {args.config}: {doubt}", file=sys.stderr)
    unpriced = _unpriced(loaded.config)
    if unpriced and not args.json:
        print(f"no known price, so calls are charged no money: {', '.join(unpriced)}", file=sys.stderr)
    policy = loaded.config.policy
    elsewhere = policy is None or (policy.engine == "opa" and not Path(policy.path).is_dir())
    tests = None if policy is None or elsewhere else run_tests(Path(policy.path), policy.engine, strict=policy.strict)
    failed = bool(tests and tests["failed"])
    if args.json:
        warnings = [*loaded.warnings, *doubts]
        found = {"ok": not failed, "errors": [], "warnings": warnings, "unpriced": unpriced, "policy": tests}
        commands.print_json(found)
    else:
        print(f"{args.config}: ok" + (f"; {_summary(tests)}" if tests else "; no policies here"))
        _print_failures(tests)
    return int(failed)


def _doubts(config: Config) -> list[str]:
    """Names that nothing else uses, which are probably mistyped."""
    from gateway.policy.doubts import doubts, of_types

    return [*doubts(config, known_roles(config)), *of_types(_data(config), *_types(config))]


def _unpriced(config: Config) -> list[str]:
    """The models whose price is unknown at some target."""
    from gateway.config.prices import unknown

    return list(dict.fromkeys(str(name) for _, name, *_ in unknown(config)))


def _types(config: Config) -> tuple[set[str], Callable[[str], str]]:
    """The types of personal data that calls may hold, and what gives the name of a type by any of its names."""
    from typing import get_args

    from gateway.config.sections import Named
    from gateway.detect.personal import recognizers, scanner

    own = recognizers.load(config.pii.recognizers, config.pii.allow, scanner.canonical) if config.pii else None
    return {*scanner.entities(), *get_args(Named), *(own.entities if own else ())}, scanner.canonical


def _data(config: Config) -> Mapping[str, Any]:
    """The data of the configured policies; empty if they are elsewhere. Raises ConfigError."""
    from gateway.policy.engines.bundle import load

    policy = config.policy
    return {} if policy is None or not Path(policy.path).is_dir() else load(policy.path).data


def known_roles(config: Config) -> list[str] | None:
    """The roles in the data of the configured policies; None without a table of roles. Raises ConfigError."""
    known = _data(config).get("roles")
    return sorted(known) if isinstance(known, dict) else None


def test(args: argparse.Namespace) -> int:
    """`meshgate policy test`."""
    if args.strict and args.engine != "embedded":
        from gateway.errors import ConfigError

        raise ConfigError("--strict is for engine embedded; for other engines run `opa check --strict` on the bundle")
    tests = run_tests(args.dir, args.engine, strict=args.strict)
    if args.coverage:
        from gateway.policy.engines.bundle import load, uncovered

        missed, lines = uncovered(load(args.dir))
        tests["coverage"] = {"lines": lines, "missed": [f"{file}:{row}" for file, row in missed]}
    if args.json:
        commands.print_json(tests)
    else:
        print(_summary(tests))
        _print_failures(tests)
        if args.coverage:
            _print_coverage(tests["coverage"])
    return int(bool(tests["failed"]))


def _print_coverage(coverage: dict[str, Any]) -> None:
    lines, missed = coverage["lines"], coverage["missed"]
    print(f"{lines - len(missed)} of {lines} lines were evaluated by a test" + ("; these were not:" if missed else ""))
    for place in missed:
        print(f"  {place}")


def run_tests(path: Path, engine: str = "embedded", *, strict: bool = False) -> dict[str, Any]:
    """The bundle's version and its tests, by outcome. Raises `ConfigError` if it does not load or compile."""
    version, results = _tried(path, engine, strict)
    tests: dict[str, Any] = {"path": str(path), "version": version, "passed": [], "failed": []}
    for test in results:
        if test.passed:
            tests["passed"].append(test.name)
        else:
            tests["failed"].append(f"{test.file}: {test.name}: {test.message}")
    return tests


def _tried(path: Path, engine: str, strict: bool) -> tuple[str, Sequence[TestResult]]:
    """Compile the bundle for the engine, and run its tests, for other engines than `embedded` by `opa test`."""
    if engine == "embedded":
        from gateway.policy.engines.trial import run

        return run(path, strict=strict)
    import asyncio

    from gateway.policy.engines import compiled

    if engine == "opa":
        from gateway.policy.engines.bundle import load

        # OPA may run on another machine; without the program `opa` here, the tests are not run.
        return load(path).version, compiled.run_tests(path) if shutil.which("opa") else ()
    from gateway.policy.engines.wasm import Wasm

    bundle = compiled.compiled(path)
    asyncio.run(Wasm(bundle).close())
    return bundle.version, compiled.run_tests(path) if bundle.built else ()


def _summary(tests: dict[str, Any]) -> str:
    passed, count = len(tests["passed"]), len(tests["passed"]) + len(tests["failed"])
    ran = f"{passed} of {count} tests passed" if count else "no tests ran here"
    return f"{tests['path']}: version {tests['version']}, {ran}"


def _print_failures(tests: dict[str, Any] | None) -> None:
    for failure in tests["failed"] if tests else ():
        print(f"FAIL {failure}", file=sys.stderr)
