"""The `meshgate` command: parses, calls, prints.

Exit codes: 0 done, 1 policy tests failed, 2 a mistake in the configuration, the policies or the command line, or a
state store that does not answer. Everything is imported on use, so that `meshgate --version` answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gateway import __version__

if TYPE_CHECKING:
    from gateway.load import Loaded
    from gateway.stores import Key, Store

DEFAULT = Path("config/gateway.yaml")

Result = TypeVar("Result")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(argv)
    from gateway.errors import ConfigError
    from gateway.stores import StoreUnavailable

    try:
        code: int = args.run(args)
    except (ConfigError, StoreUnavailable) as error:
        if getattr(args, "json", False):
            _print_json({"ok": False, "errors": str(error).splitlines()})
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def serve(args: argparse.Namespace) -> int:
    """`meshgate serve`."""
    from gateway.errors import ConfigError

    loaded = _load(args, quiet=True)  # the process prints its warnings itself
    server = loaded.config.server
    if args.workers > 1 and loaded.config.state.url.startswith("sqlite"):
        raise ConfigError(
            f"--workers {args.workers} needs a state store that processes can share: {args.config} has a sqlite "
            "state; set `state: redis://host:port/db`, or serve with one worker"
        )
    from gateway import process

    process.serve(loaded, args.host or server.host, server.port if args.port is None else args.port, args.workers)
    return 0


def check(args: argparse.Namespace) -> int:
    """`meshgate check`: the configuration, the policies and their tests."""
    if args.schema:
        from gateway.config import schema

        _print_json(schema())
        return 0
    loaded = _load(args, quiet=args.json)
    policy = loaded.config.policy
    elsewhere = policy is None or (policy.engine == "opa" and not Path(policy.path).is_dir())
    tests = None if policy is None or elsewhere else _policy_tests(Path(policy.path), policy.engine)
    failed = bool(tests and tests["failed"])
    if args.json:
        _print_json({"ok": not failed, "errors": [], "warnings": loaded.warnings, "policy": tests})
    else:
        print(f"{args.config}: ok" + (f"; {_summary(tests)}" if tests else "; no policies here"))
        _print_failures(tests)
    return int(failed)


def policy_test(args: argparse.Namespace) -> int:
    """`meshgate policy test`."""
    tests = _policy_tests(args.dir)
    if args.json:
        _print_json(tests)
    else:
        print(_summary(tests))
        _print_failures(tests)
    return int(bool(tests["failed"]))


def keys_add(args: argparse.Namespace) -> int:
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
    _with_store(args, lambda store: store.add_key(record))
    if args.json:
        _print_json({**_shown(record), "key": token})
    else:
        print(token)
        print(f"{record.id}: agent {record.agent}, team {record.team}. The key is not shown again.", file=sys.stderr)
    return 0


def keys_list(args: argparse.Namespace) -> int:
    """`meshgate keys list`: the keys of the store; those of the configuration are in the configuration."""
    records = [_shown(key) for key in _with_store(args, lambda store: store.keys())]
    if args.json:
        _print_json(records)
        return 0
    for row in records:
        state = f"revoked {row['revoked']}" if row["revoked"] else "valid"
        roles = ",".join(row["roles"]) or "-"
        print(f"{row['id']}  {row['agent']}  {row['team']}  {roles}  sha256 {row['sha256']}...  {state}")
    return 0


def keys_revoke(args: argparse.Namespace) -> int:
    """`meshgate keys revoke`: a running gateway refuses the key within seconds."""
    from gateway.errors import ConfigError

    if not _with_store(args, lambda store: store.revoke_key(args.id)):
        raise ConfigError(f"no valid key has the id {args.id}; `meshgate keys list` shows them")
    print(f"{args.id}: revoked")
    return 0


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


def _load(args: argparse.Namespace, *, quiet: bool = False) -> Loaded:
    from gateway.load import load

    loaded = load(args.config)
    for warning in () if quiet else loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return loaded


def _with_store(args: argparse.Namespace, use: Callable[[Store], Awaitable[Result]]) -> Result:
    import asyncio

    from gateway.stores import open_store

    async def run() -> Result:
        store = open_store(_load(args, quiet=True).config.state, role="cli")
        await store.open()
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _policy_tests(path: Path, engine: str = "embedded") -> dict[str, Any]:
    """The bundle's version and its tests, by outcome. Raises `ConfigError` if it does not load or compile."""
    from gateway.engines import bundle
    from gateway.engines.embedded import Embedded

    found = bundle.load(path)
    tests: dict[str, Any] = {"path": str(path), "version": found.version, "passed": [], "failed": []}
    if engine != "embedded":  # what only OPA can evaluate, only OPA can test
        return tests
    Embedded(found)
    for test in bundle.run_tests(found):
        if test.passed:
            tests["passed"].append(test.name)
        else:
            tests["failed"].append(f"{test.file}: {test.name}: {test.message}")
    return tests


def _summary(tests: dict[str, Any]) -> str:
    passed, count = len(tests["passed"]), len(tests["passed"]) + len(tests["failed"])
    ran = f"{passed} of {count} tests passed" if count else "no tests ran here"
    return f"{tests['path']}: version {tests['version']}, {ran}"


def _print_failures(tests: dict[str, Any] | None) -> None:
    for failure in tests["failed"] if tests else ():
        print(f"FAIL {failure}", file=sys.stderr)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="meshgate", description="A policy-enforcing gateway for agents.")
    parser.add_argument("--version", action="version", version=f"meshgate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = _command(commands, "serve", serve, "start the gateway")
    command.add_argument("--host", metavar="H", help="address to listen on, instead of server.host")
    command.add_argument("--port", type=_port, metavar="P", help="port to listen on, instead of server.port")
    command.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes; more than 1 needs Redis")

    command = _command(commands, "check", check, "check the configuration, the policies and their tests")
    command.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration")
    _json_option(command)

    policy = commands.add_parser("policy", help="work on policies").add_subparsers(required=True, metavar="COMMAND")
    command = policy.add_parser("test", help="run the test_* rules of a bundle")
    command.add_argument("dir", type=Path, nargs="?", default=Path("policies"), metavar="DIR")
    _json_option(command)
    command.set_defaults(run=policy_test)

    keys = commands.add_parser("keys", help="gateway keys").add_subparsers(required=True, metavar="COMMAND")
    command = _command(keys, "add", keys_add, "make a key, print it once and store its hash")
    command.add_argument("--agent", type=_name, required=True, metavar="A")
    command.add_argument("--team", type=_name, required=True, metavar="T")
    command.add_argument("--role", type=_name, action="append", default=[], metavar="R", help="may be given again")
    _json_option(command)
    _json_option(_command(keys, "list", keys_list, "list keys, never the keys themselves"))
    command = _command(keys, "revoke", keys_revoke, "end a key")
    command.add_argument("id", metavar="ID")
    return parser


def _command(group: Any, name: str, run: Callable[[argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = group.add_parser(name, help=words, description=words)
    command.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=f"default: {DEFAULT}")
    command.set_defaults(run=run)
    return command


def _json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 256:
        raise argparse.ArgumentTypeError("a name has 1 to 256 printable characters")
    return text
