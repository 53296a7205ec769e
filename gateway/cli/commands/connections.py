"""`meshgate connections list|revoke`: the accounts of users with which tool servers are called. No token is printed."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.config.grammar import Config
    from gateway.stores import Store
    from gateway.tools.connections import Connections, Party


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    connections = commands.group(parser, "connections", "accounts of users at tool servers")
    command = commands.command(connections, "list", show, "list servers, teams and agents, not the tokens themselves")
    commands.json_option(command)
    command = commands.command(connections, "revoke", revoke, "delete tokens, and revoke them at their issuer")
    command.add_argument("server", metavar="SERVER", help="a row of the section tools")
    command.add_argument("--team", type=commands.name, metavar="T", help="team of the agent; default: all teams")
    command.add_argument("--agent", type=commands.name, metavar="A", help="name of the agent; default: all agents")


def _opened(config: Config, store: Store) -> Connections:
    """The connections of a store. Raises ConfigError without a key."""
    from gateway.redaction.vault import Seal, master_key
    from gateway.tools.connections import Connections

    key = master_key(config.pii.vault_key if config.pii else "", config.state.url)
    return Connections(store, Seal(key), config.server.public_url)


def show(args: argparse.Namespace) -> int:
    """`meshgate connections list`: one line for each."""
    from datetime import UTC, datetime

    config = commands.load_config(args, quiet=True).config

    async def read(store: Store) -> list[dict[str, str]]:
        return [
            {
                "server": one.party.server,
                "team": one.party.team,
                "agent": one.party.agent,
                "since": f"{datetime.fromtimestamp(one.since, UTC):%Y-%m-%dT%H:%M:%SZ}",
                "refreshable": "yes" if one.refresh else "no",
            }
            for one, _ in await _opened(config, store).all()
        ]

    rows = commands.with_store(config, read)
    if args.json:
        commands.print_json(rows)
        return 0
    if not rows:
        print("No user has connected an account.", file=sys.stderr)
    for row in rows:
        print(commands.plain(f"{row['server']}  {row['team']}  {row['agent']}  since {row['since']}"))
    return 0


def revoke(args: argparse.Namespace) -> int:
    """`meshgate connections revoke`: a running gateway does not use the tokens from its next call on."""
    from gateway.errors import ConfigError

    config = commands.load_config(args, quiet=True).config

    def matches(party: Party) -> bool:
        wanted = ((args.server, party.server), (args.team, party.team), (args.agent, party.agent))
        return all(want is None or want == had for want, had in wanted)

    async def drop(store: Store) -> list[tuple[Party, bool]]:
        from gateway.tools.registered import completed
        from gateway.tools.registry import Credentials
        from gateway.tools.user_tokens import UserTokens
        from gateway.upstream.direct import DirectClient

        done: list[tuple[Party, bool]] = []
        connections, client = _opened(config, store), DirectClient()
        credentials, rows = Credentials(client, store), (await completed(config, store)).tools
        try:
            for one, record in await connections.all():
                if matches(one.party) and await connections.drop(one.party, record):
                    row = rows.get(one.party.server)
                    made = credentials.of(one.party.server, row) if row is not None else None
                    done.append((one.party, isinstance(made, UserTokens) and await made.revoke(one)))
        finally:
            await client.close()
        return done

    done = commands.with_store(config, drop)
    if not done:
        raise ConfigError("there is no such connection; `meshgate connections list` has all")
    for party, told in done:
        where = "and revoked at its issuer" if told else "its issuer did not confirm that it is revoked there"
        print(commands.plain(f"{party.server}  {party.team}  {party.agent}: deleted, {where}"))
    return 0
