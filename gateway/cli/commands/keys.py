"""`meshgate keys add|list|rotate|revoke`: gateway keys in the state store. A key is printed once; its hash is kept."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli import commands

if TYPE_CHECKING:
    from gateway.config.grammar import Config
    from gateway.stores import Key


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    keys = commands.group(parser, "keys", "gateway keys")
    command = commands.command(keys, "add", add, "create a key, print the key once and store its hash")
    command.add_argument("--agent", type=commands.name, required=True, metavar="A", help="name of the agent")
    command.add_argument("--team", type=commands.name, required=True, metavar="T", help="team of the agent")
    command.add_argument(
        "--role",
        type=commands.name,
        action="append",
        default=[],
        metavar="R",
        help="a role of the agent; repeat for several roles",
    )
    command.add_argument("--expires", metavar="TIME", help="lifetime, such as 90d; default: no expiry")
    commands.json_option(command)
    commands.json_option(
        commands.command(keys, "list", show, "list ids, agents, expiry and last use of keys, not the keys themselves")
    )
    command = commands.command(keys, "rotate", rotate, "replace a key; the old key stays valid for a grace period")
    command.add_argument("id", metavar="ID", help="as listed by keys list")
    command.add_argument("--grace", metavar="TIME", help="how long the old key stays valid; default: 24h")
    command.add_argument(
        "--expires", metavar="TIME", help="lifetime of the new key; default: the lifetime of the old key"
    )
    commands.json_option(command)
    commands.command(keys, "revoke", revoke, "revoke a key immediately").add_argument(
        "id", metavar="ID", help="as listed by keys list"
    )


def add(args: argparse.Namespace) -> int:
    """`meshgate keys add`: prints the key, which is not stored."""
    from gateway.control import keys

    wanted = _read(keys.Wanted, agent=args.agent, team=args.team, roles=tuple(args.role), expires=args.expires)
    config = _config(args)
    commands.refuse_secrets(config, args.agent, args.team, args.role)
    made = commands.with_store(config, lambda store: keys.make(store, wanted))
    _warn(config, args.role)
    return _print(args, *made)


def rotate(args: argparse.Namespace) -> int:
    """`meshgate keys rotate`: prints the new key and the end of the old key."""
    from gateway.control import keys

    given = {"grace": args.grace, "expires": args.expires}
    wanted = _read(keys.Rotation, **{name: value for name, value in given.items() if value is not None})
    key, token, old = commands.with_store(_config(args), lambda store: keys.rotate(store, args.id, wanted))
    shown = keys.rotated(key, old)
    if args.json:
        commands.print_json({**shown, "key": token})
        return 0
    _print(args, key, token)
    print(f"The old key {old.id} expires at {shown['replaces']['expires']}.", file=sys.stderr)
    return 0


def show(args: argparse.Namespace) -> int:
    """`meshgate keys list`: the keys of the store, without those of the configuration."""
    from gateway.control import keys

    records = [keys.shown(key) for key in commands.with_store(_config(args), lambda store: store.keys())]
    if args.json:
        commands.print_json(records)
        return 0
    if not records:
        print("There are no keys; `meshgate keys add` creates one.", file=sys.stderr)
    for row in records:
        state = f"revoked {row['revoked']}" if row["revoked"] else row["state"]
        if not row["revoked"] and row["expires"]:
            state += f" until {row['expires']}" if row["state"] == "valid" else f" since {row['expires']}"
        roles = ",".join(row["roles"]) or "-"
        used = f"used {row['last_used']}" if row["last_used"] else "never used"
        names = commands.plain(f"{row['agent']}  {row['team']}  {roles}")
        print(f"{row['id']}  {names}  sha256 {row['sha256']}...  {used}  {state}")
    return 0


def revoke(args: argparse.Namespace) -> int:
    """`meshgate keys revoke`: a running gateway refuses the key within seconds."""
    from gateway.control import keys

    commands.with_store(_config(args), lambda store: keys.revoke(store, args.id))
    print(f"{args.id}: revoked")
    return 0


def _warn(config: Config, roles: list[str]) -> None:
    """Warn of roles that the policies do not know, which are probably mistyped. Unreadable policies give no warning."""
    from gateway.cli.commands.policy import known_roles
    from gateway.errors import ConfigError
    from gateway.policy.doubts import of_role

    try:
        known = known_roles(config) if roles else None
    except ConfigError:
        return
    for role in roles:
        if doubt := of_role(role, known):
            print(f"warning: --role: {doubt}", file=sys.stderr)


def _print(args: argparse.Namespace, record: Key, token: str) -> int:
    from gateway.control import keys

    if args.json:
        commands.print_json({**keys.shown(record), "key": token})
        return 0
    print(token)
    ends = f", until {keys.shown(record)['expires']}" if record.expires else ""
    words = f"{record.id}: agent {record.agent}, team {record.team}{ends}. The key is not shown again."
    print(words, file=sys.stderr)
    return 0


def _read(kind: Any, **fields: Any) -> Any:
    """The options, validated as `kind`. Raises ConfigError."""
    from pydantic import ValidationError

    from gateway.errors import ConfigError

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        words = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise ConfigError(f"--{first['loc'][0]}: {words}") from None


def _config(args: argparse.Namespace) -> Any:
    return commands.load_config(args, quiet=True).config
