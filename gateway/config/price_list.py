"""A public price list (the JSON file `model_prices_and_context_window.json` that LiteLLM publishes) as prices here.

Only models with one price for every request: those with prices by length, by hour or by tier of their own are left out,
as they are in the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import yaml

from gateway.config.load import text_of
from gateway.errors import ConfigError

_MILLION: Final = 1_000_000
_KEYS: Final = {
    "input": "input_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
}
_VARIES: Final = re.compile(r"_(above|per)_.*(tokens?|hour|second|character|pixel|image|query)")
_KINDS: Final = {"together_ai": "together", "fireworks_ai": "fireworks", "vertex_ai": "vertex"}
_ROW: Final = re.compile(r"^    (?P<name>\S+):(?P<space>\s+)\{(?P<price>.*)\}\s*$")
_DATE: Final = re.compile(r"^  date: .*$")


class Change(NamedTuple):
    """A price of the table that is another in the list: USD per million tokens."""

    kind: str
    model: str
    now: Mapping[str, float]
    then: Mapping[str, float]

    def __str__(self) -> str:
        told = [
            f"{key} {self.now.get(key, '-')} -> {usd:g}" for key, usd in self.then.items() if usd != self.now.get(key)
        ]
        return f"{self.kind}/{self.model}: {', '.join(told)}"


def read(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """The prices of a list, by kind of provider and name of the model. Raises ConfigError."""
    try:
        said = orjson.loads(text_of(path))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from None
    if type(said) is not dict or not any(type(row) is dict and "litellm_provider" in row for row in said.values()):
        raise ConfigError(f"{path} is no price list: it has no rows with litellm_provider")
    found = {}
    for name, row in said.items():
        price = _price(row) if type(row) is dict else {}
        if price:
            kind = str(row.get("litellm_provider"))
            found[_KINDS.get(kind, kind), name.removeprefix(f"{kind}/")] = price
    return found


def _price(row: Mapping[str, Any]) -> dict[str, float]:
    """The price of a model; empty if the list has none, or more than one."""
    if any(_VARIES.search(key) for key in row if key not in _KEYS.values() and "cost" in key and "priority" not in key):
        row = {key: value for key, value in row.items() if key not in _KEYS.values()}
    costs = {ours: row.get(theirs) for ours, theirs in _KEYS.items()}
    if any(type(cost) not in (int, float, type(None)) or (cost or 0) < 0 for cost in costs.values()):
        return {}
    if costs["input"] is None or costs["output"] is None:
        return {}
    return {key: float(Decimal(str(cost)) * _MILLION) for key, cost in costs.items() if cost is not None}


def changes(table: str, listed: Mapping[tuple[str, str], Mapping[str, float]]) -> Iterator[Change]:
    """The prices of a table (the text of `prices.yaml`) that are others in a list."""
    for kind, group in yaml.safe_load(table).items():
        for model, row in group["models"].items():
            now = {key: usd for key, usd in row.items() if key != "window"}
            then = listed.get((kind, model))
            if then is not None and any(now.get(key) != usd for key, usd in then.items()):
                yield Change(kind, model, now, then)


def rewritten(table: str, made: Mapping[tuple[str, str], Change], date: str) -> str:
    """The table with these prices, and with this date where a price changed; comments and other rows stay."""
    lines, kind = table.splitlines(), ""
    dated: dict[str, int] = {}
    for at, line in enumerate(lines):
        if line[:1].isalpha():
            kind = line.rstrip(":")
        elif _DATE.match(line):
            dated[kind] = at
        elif (row := _ROW.match(line)) is not None and (change := made.get((kind, row["name"]))) is not None:
            price = {**yaml.safe_load(f"{{{row['price']}}}"), **change.then}
            order = [key for key in (*_KEYS, "window") if key in price]
            said = ", ".join(f"{key}: {price[key]:.10g}" for key in order)
            lines[at] = f"    {row['name']}:{row['space']}{{{said}}}"
            lines[dated[kind]] = f"  date: {date}"
    return "\n".join(lines) + "\n"
