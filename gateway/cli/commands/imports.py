"""`meshgate import litellm`: a configuration file from a file of another gateway."""

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
    group = commands.group(parser, "import", "write a configuration file from a file of another gateway")
    words = "print the configuration for a LiteLLM config.yaml, and on standard error what is left out"
    command = group.add_parser("litellm", help=words, description=words)
    command.add_argument("file", type=Path, metavar="FILE", help="the LiteLLM file")
    command.set_defaults(run=litellm)


def litellm(args: argparse.Namespace) -> int:
    """`meshgate import litellm`. Raises ConfigError for mistakes in the file."""
    import yaml

    from gateway.config import litellm as reader
    from gateway.config import yaml_file
    from gateway.config.load import loads
    from gateway.config.yaml_file import spell
    from gateway.errors import ConfigError

    text = args.file.read_text("utf-8")
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


def _variables(made: str) -> dict[str, str]:
    """A value for each variable that a file names, so that the file can be checked without them."""
    return dict.fromkeys(re.findall(r"\$\{([A-Za-z0-9_]+)\}", made), "placeholder-for-the-check")
