"""`meshgate import`: a configuration from a file of another gateway, and prices from a public list."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from gateway.cli import commands

_NAMES = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")


def register(parser: Any) -> None:
    """Add the command to the parser."""
    group = commands.group(parser, "import", "read a file of another gateway, or a price list")
    words = "print the configuration for a LiteLLM config.yaml, and on standard error what is left out"
    command = group.add_parser("litellm", help=words, description=words)
    command.add_argument("file", type=Path, metavar="FILE", help="the LiteLLM file")
    command.set_defaults(run=litellm)
    words = "list the prices of the table gateway/config/prices.yaml that are others in a public price list"
    command = group.add_parser("prices", help=f"{words}; exit 1 if there are any", description=words)
    command.add_argument("file", type=Path, metavar="FILE", help="model_prices_and_context_window.json of LiteLLM")
    command.add_argument("--write", type=Path, metavar="TABLE", help="write the prices into this table, too")
    command.set_defaults(run=prices)


def litellm(args: argparse.Namespace) -> int:
    """`meshgate import litellm`. Raises ConfigError for mistakes in the file."""
    import yaml

    from gateway.config import litellm as reader
    from gateway.config import yaml_file
    from gateway.config.load import loads, text_of
    from gateway.config.yaml_file import spell
    from gateway.errors import ConfigError

    text = text_of(args.file)
    doc = yaml_file.read(text, os.environ)
    if not isinstance(doc.data, dict) or "model_list" not in doc.data:
        raise ConfigError(f"{args.file} is no LiteLLM file: it has no model_list")
    # Keys stay in the environment: the file names the variables.
    names = {*_NAMES.findall(text), *os.environ}
    out, warnings = reader.translate(doc, {name: f"${{{name}}}" for name in names}, names=True)
    lines = [f"{args.file}:{it.line}: {spell(it.path)} {it.text}" for it in warnings]
    if out.problems:
        raise ConfigError("\n".join(f"{args.file}:{it.line}: {spell(it.path)} {it.text}" for it in out.problems))
    made = yaml.safe_dump(out.data, sort_keys=False, allow_unicode=True)
    loads(
        made, str(args.file), {**dict.fromkeys(names, "placeholder-for-the-check"), **_variables(made)}, scanners=False
    )
    print(f"# Written by `meshgate import litellm` from {args.file.name}. Keys are in the environment.")
    print(made, end="")
    for line in lines:
        print(f"meshgate: {line}", file=sys.stderr)
    return 0


def prices(args: argparse.Namespace) -> int:
    """`meshgate import prices`. Raises ConfigError for a file that is no price list."""
    import datetime

    from gateway.config import price_list
    from gateway.config.load import text_of
    from gateway.config.prices import FILE

    path = args.write or FILE
    table = text_of(path)
    found = list(price_list.changes(table, price_list.read(args.file)))
    for change in found:
        print(change)
    if args.write is not None and found:
        made = {(change.kind, change.model): change for change in found}
        path.write_text(price_list.rewritten(table, made, datetime.date.today().isoformat()), "utf-8")
    return 1 if found and args.write is None else 0


def _variables(made: str) -> dict[str, str]:
    """A value for each variable that a file names, so that the file can be checked without them."""
    return dict.fromkeys(re.findall(r"\$\{([A-Za-z0-9_]+)\}", made), "placeholder-for-the-check")
