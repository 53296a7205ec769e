"""The generated parts of the documentation: the tables of docs/config.md, docs/commands.md and docs/dialects.md.

`make reference` writes them; tests hold the committed pages to what is written here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dialect_page
from gateway.cli import _parser
from gateway.config.grammar import schema
from gateway.config.providers import CLOUDS, ROWS, Row

DOCS = Path(__file__).parent.parent / "docs"
CONFIG = DOCS / "config.md"
COMMANDS = DOCS / "commands.md"
DIALECTS = DOCS / "dialects.md"
# Heading in docs/config.md -> class of the grammar.
HEADINGS = {
    "The file": "Config",
    "`providers`": "Provider",
    "`models`": "Model",
    "`models.*.targets`": "Target",
    "`models.*.price`": "Price",
    "`models.*.cache`": "Cache",
    "`tools`": "Tool",
    "`tools.*.auth`": "ToolAuth",
    "`tools.*.redact`": "ToolRedact",
    "`a2a`": "RemoteAgent",
    "`a2a.*.auth`": "AgentAuth",
    "`a2a.*.push`": "Push",
    "`cards`": "Cards",
    "`agents`": "Agent",
    "`jwt`": "Jwt",
    "`limits`": "Limit",
    "`limits.*.match`": "Match",
    "`quotas`": "Quotas",
    "`loops`": "Loops",
    "`routing`": "Routing",
    "`routing.breaker`": "Breaker",
    "`idempotency`": "Idempotency",
    "`stored`": "Stored",
    "`delegations`": "Delegations",
    "`policy`": "Policy",
    "`policy.candidate`": "Candidate",
    "`policy.git`": "GitSource",
    "`policy.server`": "ServerSource",
    "`policy.server.keys.*`": "BundleKey",
    "`pii`": "Pii",
    "`pii.ner`": "Ner",
    "`pii.rules`": "PiiRule",
    "`pii.rules.*.match`": "PiiMatch",
    "`pii.restore_tools`": "RestoreTools",
    "`output`": "Output",
    "`output.sql`": "Sql",
    "`server`": "Server",
    "`state`": "State",
    "`admin`": "Admin",
    "`audit`": "Audit",
    "`audit.upload`": "Upload",
}
KINDS = "Kinds of providers"
"""The heading of the table of providers in docs/config.md."""
TABLE_HEAD = "| key | default | meaning |\n|---|---|---|\n"
INTRODUCTION = """\
# Commands

`make install` puts the command `meshgate` into `.venv/bin`: run `.venv/bin/meshgate`, or
`source .venv/bin/activate` first.

Exit codes: 0: success. 1: a policy test failed, or a verdict differs. 2: a mistake in the configuration, the policies
or the command line, or a state store that does not answer. `--json` prints one JSON document for scripts.

This page is written by `make reference`, from the same text as `meshgate COMMAND --help`.
"""


def _config_row(name: str, field: dict[str, Any], required: bool) -> str:
    """A row of docs/config.md: key, default, meaning."""
    default = "required" if required else ""
    if isinstance(field.get("default"), str | int | float | list) and field["default"] != "":
        default = f"`{json.dumps(field['default']).replace(chr(34), '')}`"
    words = " ".join(field["description"].split()).rstrip(".")
    allowed = field.get("enum") or field.get("additionalProperties", {})
    if isinstance(allowed, dict):
        allowed = allowed.get("enum")
    if allowed and len(allowed) > 1:
        words += f". One of {', '.join(f'`{value}`' for value in allowed)}"
    return f"| `{name}` | {default} | {words} |"


def config_rows(title: str) -> list[str]:
    """The rows of one class of the grammar, in the order of its fields."""
    whole = schema()
    section = whole if title == "Config" else whole["$defs"][title]
    required = section.get("required", ())
    return [_config_row(name, field, name in required) for name, field in section["properties"].items()]


def table_of(heading: str, text: str) -> list[str]:
    """The rows below a heading of docs/config.md; empty without such a heading."""
    _, _, rest = text.partition(f"## {heading}\n")
    return [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]


def kind_rows() -> list[str]:
    """The rows of the table of providers."""
    return [_kind_row(kind, row) for kind, row in ROWS.items()]


def _kind_row(kind: str, row: Row) -> str:
    url = row.url.replace("{}", f"${{{row.places[0]}}}") if row.places else row.url
    url = url.replace("{project}", f"${{{row.projects[0]}}}") if row.projects else url
    limit = f"output limit in `{row.ceiling}`" if row.ceiling != "as_sent" else ""
    role = f"`{row.role}` for instructions" if row.role != "as_sent" else ""
    dropped = ", ".join(f"`{name}`" for name in row.unsupported)
    changed = [limit, role, f"without {dropped}" if dropped else "", "" if row.stream_usage else "no `stream_options`"]
    changed.append("`/responses` as chat completions" if row.format == "openai" and not row.responses else "")
    keys = ", ".join(f"`{name}`" for name in row.keys) or (f"`auth: {row.auth}`" if row.auth in CLOUDS else "")
    return f"| `{kind}` | `{url}` | {keys} | {'; '.join(filter(None, changed))} | [page]({row.source}) |"


def config_page(text: str) -> str:
    """docs/config.md with all tables rewritten; sections without a table get one. Exits if a heading is missing."""
    for heading, title in HEADINGS.items():
        before, mark, rest = text.partition(f"## {heading}\n")
        if not mark:
            raise SystemExit(f"docs/config.md has no heading `## {heading}` for {title}: write the heading first")
        section, end, after = rest.partition("\n## ")
        old, new = "\n".join(table_of(heading, text)), "\n".join(config_rows(title))
        section = section.replace(old, new) if old else f"{section.rstrip()}\n\n{TABLE_HEAD}{new}\n"
        text = before + mark + section + end + after
    old = "\n".join(table_of(KINDS, text))
    return text.replace(old, "\n".join(kind_rows())) if old else text


Command = tuple[tuple[str, ...], str, list[argparse.Action]]


def commands() -> Iterator[Command]:
    """Every command: its name, its description, and its own arguments (without `--help`)."""
    yield from _below(_parser(), ())


def _below(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[Command]:
    own = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    groups = [action for action in own if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, inner in group.choices.items():
            yield from _below(inner, (*path, name))
    if not groups:
        yield path, parser.description or "", own


def spelling(action: argparse.Action) -> str:
    """An argument as written on the command line: `--team T`, `--json`, `DIR`."""
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    if not action.option_strings:
        return str(value)
    return " ".join([action.option_strings[-1], *([str(value)] if action.nargs != 0 else [])])


def command_page() -> str:
    """The whole of docs/commands.md."""
    parts = [INTRODUCTION]
    for path, words, actions in commands():
        rows = "\n".join(f"| `{spelling(action)}` | {action.help or ''} |" for action in actions)
        parts.append(
            f"## `meshgate {' '.join(path)}`\n{words[:1].upper()}{words[1:].rstrip('.')}.\n\n"
            f"| argument | meaning |\n|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def main() -> None:
    """Write the generated parts."""
    CONFIG.write_text(config_page(CONFIG.read_text("utf-8")), encoding="utf-8")
    COMMANDS.write_text(command_page(), encoding="utf-8")
    DIALECTS.write_text(dialect_page.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
