"""`meshgate agents list|show`: agents that can be called, those of the section `a2a` and those that registered."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.stores import Enlisted


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    agents = commands.group(parser, "agents", "other agents, and agents that registered")
    command = commands.command(
        agents, "list", show_all, "list the agents of the section a2a, and those that registered"
    )
    command.add_argument("--team", default="", metavar="TEAM", help="registered agents of this team only")
    commands.json_option(command)
    command = commands.command(agents, "show", show, "print what an agent registered, or its row of the section a2a")
    command.add_argument("agent", type=_agent, metavar="[TEAM/]AGENT", help="as listed by agents list")


def _agent(text: str) -> tuple[str, str]:
    team, _, name = text.rpartition("/")
    return team, commands.name(name)


def _registered(args: argparse.Namespace, only: str) -> list[tuple[str, Enlisted]]:
    """The entries of a team, or of all teams that are known."""
    config = commands.load_config(args, quiet=True).config

    async def run(store: Any) -> list[tuple[str, Enlisted]]:
        teams = [only] if only else sorted({agent.team for agent in config.agents.values()} | set(await store.teams()))
        return [(team, entry) for team in teams for entry in await store.enlisted(team)]

    return commands.with_store(config, run)


def show_all(args: argparse.Namespace) -> int:
    """`meshgate agents list`: a line for each agent."""
    from gateway.agents.offers import decoded

    config = commands.load_config(args, quiet=True).config
    rows: list[dict[str, Any]] = (
        [] if args.team else [{"agent": name, "url": row.url} for name, row in config.a2a.items()]
    )
    for team, entry in _registered(args, args.team):
        functions = [function.name for function in decoded(entry.record).functions]
        left = max(0, round(entry.ends - time.time()))
        rows.append({"agent": f"{team}/{entry.name}", "owner": entry.owner, "functions": functions, "seconds": left})
    if args.json:
        commands.print_json(rows)
        return 0
    if not rows:
        print("There are no agents in the section a2a, and none has registered.", file=sys.stderr)
    for row in rows:
        said = (
            row.get("url")
            or f"by {row['owner']}, for {row['seconds']} s: {', '.join(row['functions']) or 'no functions'}"
        )
        print(f"{commands.plain(row['agent'])}  {commands.plain(said)}")
    return 0


def show(args: argparse.Namespace) -> int:
    """`meshgate agents show`: the entry as JSON."""
    from gateway.agents.offers import decoded
    from gateway.errors import ConfigError

    team, name = args.agent
    config = commands.load_config(args, quiet=True).config
    if not team and name in config.a2a:
        row = config.a2a[name]
        commands.print_json({"name": name, "url": row.url, "price": row.price, "signed": bool(row.card_keys)})
        return 0
    for its_team, entry in _registered(args, team):
        if entry.name == name:
            offer = decoded(entry.record).model_dump(mode="json", exclude_defaults=True)
            commands.print_json({"name": name, "team": its_team, "owner": entry.owner, "ends": entry.ends, **offer})
            return 0
    raise ConfigError("there is no agent of this name; `meshgate agents list` has all")
