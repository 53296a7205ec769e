"""`meshgate keys add|list|revoke`: gateway keys in the state store. A key is printed once; only its hash is kept."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gateway import commands

if TYPE_CHECKING:
    from gateway.stores import Key


def register(parser: Any) -> None:
    """Add the commands to the parser."""
    keys = commands.group(parser, "keys", "gateway keys")
    command = commands.command(keys, "add", add, "make a key, print it once and store its hash")
    command.add_argument("--agent", type=commands.name, required=True, metavar="A")
    command.add_argument("--team", type=commands.name, required=True, metavar="T")
    command.add_argument(
        "--role", type=commands.name, action="append", default=[], metavar="R", help="may be given again"
    )
    commands.json_option(command)
    commands.json_option(commands.command(keys, "list", show, "list keys, never the keys themselves"))
    commands.command(keys, "revoke", revoke, "end a key").add_argument("id", metavar="ID")


def add(args: argparse.Namespace) -> int:
    """`meshgate keys add`: prints the key, which nothing here can show again."""
    import hashlib
    import secrets
    import time

    from gateway.identity import new_key
    from gateway.stores import Key

    token = new_key()
    record = Key(
        id="key_" + secrets.token_hex(6),
        sha256=hashlib.sha256(token.encode()).hexdigest(),
        agent=args.agent,
        team=args.team,
        roles=tuple(args.role),
        created=time.time(),
    )
    commands.with_store(_config(args), lambda store: store.add_key(record))
    if args.json:
        commands.print_json({**_shown(record), "key": token})
    else:
        print(token)
        print(f"{record.id}: agent {record.agent}, team {record.team}. The key is not shown again.", file=sys.stderr)
    return 0


def show(args: argparse.Namespace) -> int:
    """`meshgate keys list`: the keys of the store; those of the configuration are in the configuration."""
    records = [_shown(key) for key in commands.with_store(_config(args), lambda store: store.keys())]
    if args.json:
        commands.print_json(records)
        return 0
    for row in records:
        state = f"revoked {row['revoked']}" if row["revoked"] else "valid"
        roles = ",".join(row["roles"]) or "-"
        print(f"{row['id']}  {row['agent']}  {row['team']}  {roles}  sha256 {row['sha256']}...  {state}")
    return 0


def revoke(args: argparse.Namespace) -> int:
    """`meshgate keys revoke`: a running gateway refuses the key within seconds."""
    from gateway.errors import ConfigError

    if not commands.with_store(_config(args), lambda store: store.revoke_key(args.id)):
        raise ConfigError(f"no valid key has the id {args.id}; `meshgate keys list` shows them")
    print(f"{args.id}: revoked")
    return 0


def _config(args: argparse.Namespace) -> Any:
    return commands.load_config(args, quiet=True).config


def _shown(key: Key) -> dict[str, Any]:
    """What may be shown of a key: enough of the hash to recognise it, not enough to be of use."""
    from datetime import UTC, datetime

    def spell(seconds: float | None) -> str | None:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None

    return {
        "id": key.id,
        "agent": key.agent,
        "team": key.team,
        "roles": list(key.roles),
        "sha256": key.sha256[:8],
        "created": spell(key.created),
        "revoked": spell(key.revoked),
    }
