"""`meshgate usage`: calls, tokens and cost by key, team, model, provider or workflow, from the decision log."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gateway.cli import commands
from gateway.cli.commands.decisions import moment

_BY = ("key", "agent", "team", "model", "provider", "workflow")


def register(parser: Any) -> None:
    """Add the command to the parser."""
    command = commands.command(parser, "usage", usage, "add up calls, tokens and cost from the decision log")
    command.add_argument("--by", choices=_BY, default="team", help="what to group by; default: team")
    command.add_argument(
        "--since", type=moment, default=0.0, metavar="T", help="start: a duration such as 24h, or a date; default: all"
    )
    commands.json_option(command)


def usage(args: argparse.Namespace) -> int:
    """`meshgate usage`."""
    from gateway.amounts import NANO_USD
    from gateway.record.audit import file
    from gateway.record.usage import read, unended

    log = file(commands.load_config(args, quiet=True).config)
    rows = read(log, args.by, args.since)
    if missing := unended(log, args.since):
        words = "not in these sums: calls in flight or lost with a killed gateway; workflows are charged their estimate"
        print(f"{missing} {words}", file=sys.stderr)
    if args.json:
        commands.print_json([row.shown(args.by) for row in rows])
        return 0
    if not rows:
        print("No calls since then." if args.since else "No calls yet.")
        return 0
    print(f"{args.by.upper():40} {'CALLS':>8} {'FAILED':>7} {'INPUT':>10} {'CACHED':>9} {'OUTPUT':>10} {'USD':>12}")
    for row in rows:
        cost = row.cost / NANO_USD
        name = commands.plain(row.name) or "-"
        print(f"{name:40} {row.calls:8} {row.failed:7} {row.input:10} {row.cached:9} {row.output:10} {cost:12.6f}")
    if unpriced := sum(row.unpriced for row in rows):
        print(f"{unpriced} of these calls have no known price: see `prices` in docs/config.md", file=sys.stderr)
    return 0
