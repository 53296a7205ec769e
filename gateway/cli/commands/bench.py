"""`meshgate policy bench`: the time that a decision of a bundle takes, rule by rule."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.call import Json


def register_policy(group: Any) -> None:
    """Add the command to those under `meshgate policy`."""
    words = "measure what a decision costs, in total and for each rule"
    command = group.add_parser("bench", help=words, description=words)
    command.add_argument(
        "dir", type=Path, nargs="?", default=Path("policies"), metavar="DIR", help="the bundle; default: policies"
    )
    words = "a policy input in JSON (`-`: standard input), may be repeated; default: a plain call of a model"
    command.add_argument("--input", action="append", metavar="FILE", help=words)
    command.add_argument("--rounds", type=int, default=200, metavar="N", help="evaluations of each input; default: 200")
    commands.json_option(command)
    command.set_defaults(run=bench)


def bench(args: argparse.Namespace) -> int:
    """`meshgate policy bench`."""
    from gateway.cli.commands.explain import read_input
    from gateway.errors import ConfigError
    from gateway.policy.engines.bundle import load, program
    from gateway.policy.engines.embedded import PATH, check_entry_point
    from gateway.policy.engines.rego import EvaluationError
    from gateway.policy.engines.rego.costs import costs

    bundle = load(args.dir)
    check_entry_point(bundle)
    inputs = [read_input(name) for name in args.input] if args.input else [plain_input(bundle.data.get("roles"))]
    try:
        found = costs(program(bundle.modules, bundle.data), PATH, inputs, max(1, args.rounds))
    except EvaluationError as error:
        raise ConfigError(f"data.gateway.decision cannot be evaluated: {error}") from None
    if args.json:
        rules = [one._asdict() for one in found.rules]
        commands.print_json({"version": bundle.version, "us": found.evaluation, "rules": rules})
        return 0
    print(f"{args.dir}: version {bundle.version}, {found.evaluation:.1f} us for a decision that is not memoized")
    print("own us  total us  evaluated  rule")
    for one in found.rules:
        print(f"{one.own:6.1f}  {one.whole:8.1f}  {one.calls:9.3g}  {one.rule}   [{one.file}:{one.row}]")
    return 0


def plain_input(roles: object) -> Json:
    """The input of a plain call, as the gateway builds it, by an agent with the first role in the data."""
    role = next(iter(roles), "reader") if isinstance(roles, dict) else "reader"
    return {
        "subject": {"agent": "agent", "team": "team", "roles": [role], "claims": {}},
        "action": {
            "kind": "llm",
            "name": "demo",
            "model": "demo",
            "provider": "demo",
            "providers": ["demo"],
            "stream": False,
            "tools": [],
            "fields": [],
            "max_tokens": 100,
            "args": {},
        },
        "resource": {"type": "model", "name": "demo"},
        "content": {
            "pii": {},
            "secrets": {},
            "pii_from": [],
            "sql": [],
            "urls": [],
            "injection": {},
            "injection_score": 0,
            "unscannable": 0,
            "unscannable_kinds": {},
        },
        "context": {
            "correlation_id": "id",
            "hop": 0,
            "chain": ["agent"],
            "calls": 1,
            "time": 1_760_000_040_000_000_000,
            "history": {"tools": [], "labels": []},
        },
    }
