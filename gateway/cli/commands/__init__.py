"""The commands of `meshgate`, one module for each group, and their common helpers. Each module registers itself.

Slow modules are imported on use, so that `meshgate --version` and mistyped commands answer immediately.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from gateway.call import Json
    from gateway.config.grammar import Config
    from gateway.config.load import Loaded
    from gateway.stores import Store

_WORD = 24  # characters of the longest word that an error repeats
DEFAULT = Path("config/gateway.yaml")

Result = TypeVar("Result")


def load_config(args: argparse.Namespace, *, quiet: bool = False, scanners: bool = False) -> Loaded:
    """The configuration of a command; warnings go to standard error. `scanners`: see `load.load`."""
    import sys

    from gateway.config.load import load

    loaded = load(args.config, scanners=scanners)
    for warning in () if quiet else loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return loaded


def with_store(config: Config, use: Callable[[Store], Awaitable[Result]]) -> Result:
    """Open the state, which a running gateway may also use, run `use`, and close the state."""
    import asyncio

    from gateway.stores import open_store

    async def run() -> Result:
        store = open_store(config.state, role="cli")
        await store.open()
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def refuse_secrets(config: Config, *words: object) -> None:
    """Refuse arguments that hold a secret of the gateway's own: they would be on record. Raises ConfigError."""
    from gateway.detect.secrets.own import OwnSecrets
    from gateway.errors import ConfigError
    from gateway.serving.own_values import values

    if OwnSecrets(values(config)).holds(json.dumps(words, ensure_ascii=False).encode("utf-8", "surrogatepass")):
        raise ConfigError("an argument holds a secret of the gateway's own: take it out. Nothing was changed.")


async def on_record(config: Config, store: Store, action: str, team: str, correlation_id: str, details: Json) -> None:
    """Record a change in the decision log before it is made, under the name of the user.

    With shared state, each replica has a log of its own; on a machine without a log, a note is printed.
    """
    import sys

    from gateway.record import audit
    from gateway.stores.sqlite import SqliteStore
    from gateway.stores.writer import Writer

    refuse_secrets(config, team, correlation_id, details)
    path = audit.place(config)
    if path is not None and not path.exists():
        print(f"note: this change is not recorded, because there is no decision log here ({path})", file=sys.stderr)
        return
    writer = Writer(path, audit.SCHEMA) if path is not None else None
    if writer is None:
        assert isinstance(store, SqliteStore)
        for statement in audit.SCHEMA:
            store.writer.submit(statement, ())
    try:
        log = audit.Audit(writer or store.writer)  # type: ignore[attr-defined]
        log.acted(f"user {_user()}", action, team, correlation_id, details)
        await log.durable()
    finally:
        if writer is not None:
            writer.close()


def _user() -> str:
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user in a container may have no name
        return str(os.getuid())


def print_json(value: object) -> None:
    """Print a value as JSON to standard output."""
    print(json.dumps(value, indent=2))


def plain(text: str) -> str:
    """Text that is safe for a terminal: names come from tokens and headers, and must not contain control sequences."""
    return "".join(character if character.isprintable() else "?" for character in text)


# The parser


class Parser(argparse.ArgumentParser):
    """A parser that suggests the command or value that a mistyped one may be."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with 2."""
        message = _quoting_little(message)
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong is not None:
            near = difflib.get_close_matches(wrong[1].lower(), re.findall(r"[\w-]+", wrong[2]), n=1)
            message += f"; did you mean {near[0]}?" if near else ""
        super().error(message)


def _quoting_little(message: str) -> str:
    """An error of the parser that repeats no word that is longer than a command: a pasted key must not reach a log."""
    head, unknown, rest = message.partition("unrecognized arguments: ")
    if unknown:
        names = [word.partition("=")[0] for word in rest.split() if word.startswith("-")]
        rest = " ".join(name for name in names if len(name) <= _WORD) or "words that no option takes"
    return re.sub(rf"'[^']{{{_WORD},}}'", "'...'", head + unknown + rest)


def group(commands: Any, name: str, words: str) -> Any:
    """A group of commands, such as `meshgate keys`."""
    return commands.add_parser(name, help=words, description=words).add_subparsers(required=True, metavar="COMMAND")


def command(into: Any, name: str, run: Callable[[argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
    """A command, with the option `--config`."""
    made: argparse.ArgumentParser = into.add_parser(name, help=words, description=words)
    words = f"configuration file; default: {DEFAULT}"
    made.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=words)
    made.set_defaults(run=run)
    return made


def json_option(command: argparse.ArgumentParser) -> None:
    """Add the option `--json`."""
    command.add_argument("--json", action="store_true", help="print JSON")


def port(text: str) -> int:
    """A TCP port; 0 chooses a free port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)


def name(text: str) -> str:
    """The name of an agent, a team or a role."""
    if not text.strip() or not text.isprintable() or len(text) > 256:
        raise argparse.ArgumentTypeError("a name has 1 to 256 printable characters")
    return text
