"""`meshgate workflows list|show|open|freeze|resume|close|label|unlabel`: show and change workflows.

With Redis, a change takes effect immediately. With SQLite, a change is an order that the running gateway applies within
a second. Ids belong to a team; `--team` may be left out if only one team uses the id.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli import commands
from gateway.stores import STATES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Json
    from gateway.config.grammar import Config
    from gateway.stores import Store, Workflow


_PATH = 12  # newest entries of the path of agents that are shown


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    group = commands.group(parser, "workflows", "list, show and change workflows (correlation ids)")
    command = commands.command(group, "list", show_all, "list workflows, most recently seen first")
    command.add_argument("--team", metavar="T", help="only workflows of this team")
    command.add_argument("--state", choices=STATES, help="only workflows in this state")
    command.add_argument("--limit", type=commands.positive, default=50, metavar="N", help="maximum number; default: 50")
    commands.json_option(command)

    _on_one(group, "show", show, "show state, reason, agents, and what is used and left")
    command = _on_one(group, "open", begin, "open a workflow before its first call", team_needed=True)
    command.add_argument(
        "--ttl", metavar="TIME", help="how long the workflow accepts calls, such as 24h; default: quotas.ttl"
    )
    command = _on_one(
        group, "freeze", freeze, "freeze a workflow: refuse its calls, from every agent, until it is resumed"
    )
    command.add_argument("--reason", metavar="WORDS", help="shown to callers and other operators")
    command = _on_one(group, "resume", resume, "resume a frozen workflow, optionally with higher limits")
    command.add_argument("--tokens", metavar="N", help="tokens to add to the limit, such as 20k")
    command.add_argument("--cost", metavar="USD", help="USD to add to the limit, such as 5 or 0.50")
    command.add_argument("--calls", metavar="N", help="calls to add to the limit")
    command = _on_one(group, "close", close, "close a workflow permanently")
    command.add_argument("--reason", metavar="WORDS", help="shown to callers and other operators")
    command = _on_one(group, "label", label, "set a label, which policies can read")
    command.add_argument("label", metavar="LABEL", help="the label, such as untrusted")
    command = _on_one(group, "unlabel", unlabel, "remove a label; policies do not set it again in this workflow")
    command.add_argument("label", metavar="LABEL", help="the label, such as untrusted")


def _on_one(
    group: Any, name: str, run: Callable[[argparse.Namespace], int], words: str, *, team_needed: bool = False
) -> argparse.ArgumentParser:
    command = commands.command(group, name, run, words)
    command.add_argument("id", metavar="ID", help="the correlation id")
    why = "team of the workflow" if team_needed else "team of the workflow, if several teams use the id"
    command.add_argument("--team", type=commands.name, required=team_needed, metavar="T", help=why)
    commands.json_option(command)
    return command


def show_all(args: argparse.Namespace) -> int:
    """`meshgate workflows list`."""
    from gateway.control import workflows

    config = commands.load_config(args, quiet=True).config
    found, more = commands.with_store(config, lambda store: workflows.page(store, args.team, args.state, args.limit))
    rows = [workflows.shown(workflow, config.quotas) for workflow in found]
    if args.json:
        commands.print_json(rows)
        return 0
    _print_table([("STATE", "TEAM", "ID", "CALLS", "TOKENS", "USD", "LAST SEEN"), *map(_listed, rows)])
    if not rows:
        print("no matching workflows" if args.team or args.state else "no workflows yet", file=sys.stderr)
    if more:
        print(f"only the {args.limit} most recently seen; --limit shows more", file=sys.stderr)
    return 0


def show(args: argparse.Namespace) -> int:
    """`meshgate workflows show`."""
    from gateway.control import workflows

    config = commands.load_config(args, quiet=True).config
    found = commands.with_store(config, lambda store: workflows.find(store, args.team, args.id))
    row = workflows.shown(found, config.quotas)
    if args.json:
        commands.print_json(row)
    else:
        _print_one(row)
    return 0


def begin(args: argparse.Namespace) -> int:
    """`meshgate workflows open`: prints the token that calls send as X-Correlation-Id."""
    from gateway.control import workflows

    config = commands.load_config(args, quiet=True).config
    wanted = _checked(workflows.Open, team=args.team, ttl=args.ttl)

    async def use(store: Store) -> Json:
        await commands.on_record(config, store, "workflow opened", wanted.team, args.id, _details(wanted))
        return await workflows.begin(store, config, args.id, wanted)

    opened = commands.with_store(config, use)
    if args.json:
        commands.print_json(opened)
        return 0
    print(opened["token"])
    until = "The token is signed for this team, until" if config.quotas.strict else "The workflow is open until"
    print(f"Send this as X-Correlation-Id. {until} {_time(opened['expires'])}. {_when(config)}", file=sys.stderr)
    return 0


def freeze(args: argparse.Namespace) -> int:
    """`meshgate workflows freeze`; with `--team`, also before the first call of the workflow."""
    from gateway.control import workflows

    wanted = _checked(workflows.Freeze, team=args.team, reason=args.reason)

    async def use(config: Config, store: Store) -> Workflow:
        team = wanted.team or (await workflows.find(store, None, args.id)).team
        await commands.on_record(config, store, "workflow frozen", team, args.id, _details(wanted))
        return await workflows.freeze(store, team, args.id, wanted.reason)

    return _change(args, "frozen", use)


def resume(args: argparse.Namespace) -> int:
    """`meshgate workflows resume`."""
    from gateway.control import workflows

    wanted = _checked(workflows.Resume, team=args.team, tokens=args.tokens, cost_usd=args.cost, calls=args.calls)

    async def use(config: Config, store: Store) -> Workflow:
        known = await workflows.find(store, wanted.team, args.id)
        await commands.on_record(config, store, "workflow resumed", known.team, args.id, _details(wanted))
        return await workflows.resume(store, known, wanted.topups())

    return _change(args, "resumed", use)


def close(args: argparse.Namespace) -> int:
    """`meshgate workflows close`."""
    from gateway.control import workflows

    wanted = _checked(workflows.Close, team=args.team, reason=args.reason)

    async def use(config: Config, store: Store) -> Workflow:
        known = await workflows.find(store, wanted.team, args.id)
        await commands.on_record(config, store, "workflow closed", known.team, args.id, _details(wanted))
        return await workflows.close(store, known, wanted.reason)

    return _change(args, "closed", use)


def label(args: argparse.Namespace) -> int:
    """`meshgate workflows label`."""
    return _relabel(args, "labeled", off=False)


def unlabel(args: argparse.Namespace) -> int:
    """`meshgate workflows unlabel`."""
    return _relabel(args, "unlabeled", off=True)


def _relabel(args: argparse.Namespace, done: str, *, off: bool) -> int:
    from gateway.control import workflows

    wanted = _checked(workflows.Relabel, team=args.team, label=args.label)

    async def use(config: Config, store: Store) -> Workflow:
        known = await workflows.find(store, wanted.team, args.id)
        await commands.on_record(config, store, f"workflow {done}", known.team, args.id, _details(wanted))
        return await workflows.relabel(store, known, wanted.label, off=off)

    return _change(args, done, use)


def _details(wanted: Any) -> Json:
    details: Json = wanted.model_dump(mode="json", exclude_none=True, exclude={"team"})
    return details


def _change(args: argparse.Namespace, done: str, change: Callable[[Config, Store], Awaitable[Workflow]]) -> int:
    from gateway.control import workflows

    config = commands.load_config(args, quiet=True).config
    changed = commands.with_store(config, lambda store: change(config, store))
    row = workflows.shown(changed, config.quotas)
    if args.json:
        commands.print_json(row)
        return 0
    print(f"{args.id} of team {commands.plain(row['team'])}: {done}. {_when(config)}")
    spent = [name for name, it in row["quotas"].items() if it["limit"] is not None and it["left"] <= 0]
    if done == "resumed" and spent:
        print(f"Nothing is left of {', '.join(spent)}: the next call freezes the workflow. Top up: {_flags(spent)}")
    return 0


def _flags(quotas: list[str]) -> str:
    return " ".join({"tokens": "--tokens 20k", "cost_usd": "--cost 5", "calls": "--calls 100"}[it] for it in quotas)


def _when(config: Config) -> str:
    if config.state.url.startswith("sqlite"):
        return "A running gateway applies this within two seconds."
    return "This takes effect on every replica from the next call on."


def _checked(kind: Any, **fields: object) -> Any:
    """The options, validated as by the admin API. Raises ConfigError."""
    from pydantic import ValidationError

    from gateway.control.mistakes import described
    from gateway.errors import ConfigError

    try:
        return kind.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(described(error.errors())) from None


# Printing


def _listed(row: Json) -> tuple[str, ...]:
    used = {name: quota["used"] for name, quota in row["quotas"].items()}
    return (
        row["state"],
        row["team"],
        row["correlation_id"],
        f"{row['calls']:,}",
        f"{used['tokens']:,}",
        _usd(used["cost_usd"]),
        _time(row["last_seen"]),
    )


def _print_one(row: Json) -> None:
    from gateway.control.workflows import why

    facts = {
        "state": why(row),
        "team": row["team"],
        "agents": ", ".join(row["agents"]) or "none yet",
        "chain": " -> ".join(row["chain"]) or "none yet",
        "path": " -> ".join(row["path"][-_PATH:]) or "none yet",
        "labels": ", ".join(row["labels"]) or "none",
        "removed": ", ".join(row["cleared"]) or "none",
        "tools": ", ".join(row["tools"]) or "none yet",
        "hops": _of(row["hops"]["deepest"], row["hops"]["limit"]),
        "repeats": _of(row["repeats"]["most"], row["repeats"]["limit"]),
        "calls": f"{row['calls']:,}",
        "first seen": _time(row["first_seen"]),
        "last seen": _time(row["last_seen"]),
    }
    print(commands.plain(row["correlation_id"]))
    for name, value in facts.items():
        print(f"  {name:<11} {commands.plain(value)}")
    print()
    columns = ("limit", "used", "held", "estimated", "left")
    table: list[tuple[str, ...]] = [("", "LIMIT", "USED", "IN FLIGHT", "ESTIMATED", "LEFT", "")]
    for name, quota in row["quotas"].items():
        spell = _usd if name == "cost_usd" else _units
        more = f"limit with a top-up of {spell(quota['topup'])}" if quota["topup"] else ""
        table.append(({"cost_usd": "USD"}.get(name, name), *(spell(quota[column]) for column in columns), more))
    _print_table(table)


def _of(amount: int, limit: int | None) -> str:
    return f"{amount:,}" if limit is None else f"{amount:,} of {limit:,}"


def _units(amount: int | None) -> str:
    return "none" if amount is None else f"{amount:,}"


def _usd(amount: float | None) -> str:
    if amount is None:
        return "none"
    return f"{amount:,.9f}".rstrip("0").rstrip(".")


def _time(iso: str) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC")


def _print_table(rows: list[tuple[str, ...]]) -> None:
    clean = [tuple(map(commands.plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    for row in clean:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
