"""Default prices of models: the table, its precedence, strict mode, and calls without a known price."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
import yaml

import upstream as scripted
from gateway.call import Usage
from gateway.cli import main
from gateway.config import prices
from gateway.config.grammar import Config
from gateway.config.load import loads
from gateway.config.models import Price
from gateway.config.providers import ROWS
from gateway.errors import ConfigError
from gateway.limits import quota
from gateway.upstream.forward import Forward
from line import config, running

FILE = """\
providers: {openai: {}, own: {format: openai, base_url: http://h/v1}, demo: {format: demo}}
models:
  table: {targets: [openai/gpt-4o-mini]}
  group: {targets: [[openai/gpt-4o, own/gpt-4o], {target: openai/gpt-4o-mini, price: {input: 7}}]}
  mine: {targets: [openai/gpt-4o-mini], price: {input: 9}}
  free: {targets: [own/x], price: {}}
  new: {targets: [openai/gpt-99]}
  demo: {targets: [demo/demo]}
  "openai/*": {targets: ["openai/*"]}
"""
ENV = {"OPENAI_API_KEY": "k"}


def read(text: str = FILE) -> Config:
    return loads(text, "g.yaml", ENV).config


def shown(found: Config, name: str) -> dict[str, float]:
    return {str(target): price.input for target, price in found.models[name].prices.items()}


def test_the_table() -> None:
    """Every entry has a date and a page of its provider; prices are plausible, and cached input is no dearer."""
    for kind, listed in yaml.safe_load(prices.FILE.read_text("utf-8")).items():
        assert kind in ROWS
        assert isinstance(listed["date"], datetime.date)
        assert listed["source"].startswith("https://")
        for name, price in listed["models"].items():
            assert isinstance(price.get("window", 1), int), name
            assert 0 < price["input"] <= price["output"] < 1000, name
            assert price.get("cached_input", 0) <= price["input"] <= price.get("cache_write", 1000), name
        every = [listed.get("runs", {}), *listed.get("runs_of", {}).values()]
        assert all(0 < usd < 2000 for runs in every for usd in runs.values())
        assert listed.get("runs_of", {}).keys() <= listed["models"].keys()
    sizes = {"container": 30, "container_4g": 120, "container_16g": 480, "container_64g": 1920}
    runs = {"web_search": 10, "file_search": 2.5, **sizes, "web_search_preview": 25}
    assert "web_search_preview" not in prices.table()["openai", "gpt-5"].runs  # a model that reasons
    assert prices.table()["openai", "gpt-4o-mini"] == Price(input=0.15, cached_input=0.075, output=0.6, runs=runs)


def test_precedence() -> None:
    """The price of the target, then of the model, then of the table; unknown prices are named, the demo is free."""
    found = read()
    assert shown(found, "table") == {"openai/gpt-4o-mini": 0.15}
    assert shown(found, "group") == {"openai/gpt-4o": 2.5, "own/gpt-4o": 0, "openai/gpt-4o-mini": 7}
    assert shown(found, "mine") == {"openai/gpt-4o-mini": 9}
    assert [(name, target) for _, name, *_, target in prices.unknown(found)] == [
        ("group", "own/gpt-4o"),
        ("new", "openai/gpt-99"),
        ("openai/*", "openai/*"),
    ]
    off = read(FILE + "prices: off\n")
    assert shown(off, "table") == {"openai/gpt-4o-mini": 0}


def test_models_by_a_pattern() -> None:
    """A model by a pattern has the price of its own name."""
    found = read()
    clients = dict.fromkeys(("direct", "aiohttp"))
    known = lambda target: prices.known(found.providers, target)  # noqa: E731
    forward = Forward(found.providers, found.models, clients, known=known)  # type: ignore[arg-type]
    for name, cost in (("gpt-4o", 2.5), ("gpt-4.1-nano", 0.1), ("gpt-99", 0)):
        (target,) = forward.targets(f"openai/{name}")
        assert forward.price(f"openai/{name}", target).input == cost
        assert forward.is_priced(f"openai/{name}", target) == (cost > 0)


def test_strict() -> None:
    """With `prices: strict`, every unknown price is a mistake with its line."""
    with pytest.raises(ConfigError) as caught:
        read(FILE + "prices: strict\n")
    assert str(caught.value).splitlines() == [
        "g.yaml:4: models.group has no known price at own/gpt-4o: write a price (prices: strict)",
        "g.yaml:7: models.new has no known price at openai/gpt-99: write a price (prices: strict)",
        "g.yaml:9: models.openai/* has no known price at openai/*: write a price (prices: strict)",
    ]


def test_exact_charges() -> None:
    """A default price is as exact as one in the file: 0.075 USD a million is 75 nano-USD a token."""
    usage = Usage(input=3, cached=1, output=1)
    assert quota.cost(prices.table()["openai", "gpt-4o-mini"], usage) == 2 * 150 + 75 + 600


def test_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A call at a default price is charged it; a call without a known price is counted, recorded and shown."""
    with scripted.running() as up:
        found = config(tmp_path, up.url)
        found["providers"]["openai"] = {"kind": "openai", "base_url": up.url, "api_key": "k"}
        found["models"] = {
            "known": {"targets": ["openai/gpt-4o-mini"]},
            "unknown": {"targets": ["openai/gpt-99"]},
            "free": {"targets": ["openai/gpt-99"], "price": {}},
            "demo": {"targets": ["demo/demo"]},
        }
        with running(tmp_path, {**found, "quotas": {"cost_usd": 5}}) as line:
            for name in found["models"]:
                assert line.chat(model=name, cid=name).status_code == 200
            assert line.workflow("known").used["cost"] == 11 * 150 + 7 * 600
            assert not line.workflow("unknown").used.get("cost")
            assert line.metric("meshgate_unpriced_calls_total") == 1
            assert line.metric("meshgate_unpriced_calls_total", model="unknown", provider="openai", team="red") == 1
            line.rows("SELECT 1")
        assert main(["usage", "--config", str(tmp_path / "gateway.yaml"), "--by", "model", "--json"]) == 0
        used = {row["model"]: row["unpriced"] for row in json.loads(capsys.readouterr().out)}
        assert used == {"gpt-4o-mini": 0, "gpt-99": 1, "demo": 0}
        assert main(["usage", "--config", str(tmp_path / "gateway.yaml")]) == 0
        assert "1 of these calls have no known price" in capsys.readouterr().err
        assert main(["check", "--config", str(tmp_path / "gateway.yaml")]) == 0
        assert "no known price, so calls are charged no money: unknown\n" in capsys.readouterr().err


LIST = {
    "sample_spec": {"litellm_provider": "one of ..."},
    "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05},
    "gpt-4o-mini": {"litellm_provider": "openai", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},
    "gpt-5": {
        "litellm_provider": "openai",
        "input_cost_per_token": 9e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_200k_tokens": 2e-05,
    },
    "gpt-5-mini": {"litellm_provider": "openai", "input_cost_per_token": "x", "output_cost_per_token": 1},
    "together_ai/openai/gpt-oss-120b": {
        "litellm_provider": "together_ai",
        "input_cost_per_token": 2e-07,
        "output_cost_per_token": 6e-07,
        "cache_read_input_token_cost": 1e-08,
    },
}


def test_a_price_list_tells_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only models with one price; with --write, the rows change and everything else stays."""
    listed, table = tmp_path / "list.json", tmp_path / "prices.yaml"
    listed.write_text(json.dumps(LIST))
    table.write_text(prices.FILE.read_text())
    assert main(["import", "prices", str(listed)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "openai/gpt-4o: input 2.5 -> 2",
        "together/openai/gpt-oss-120b: input 0.15 -> 0.2, cached_input - -> 0.01",
    ]
    assert main(["import", "prices", str(listed), "--write", str(table)]) == 0
    before, after = prices.FILE.read_text().splitlines(), table.read_text().splitlines()
    changed = [line.strip() for line, other in zip(after, before, strict=True) if line != other]
    assert "gpt-4o:       {input: 2, cached_input: 1.25, output: 10, window: 128000}" in changed
    assert len([line for line in changed if not line.startswith("date")]) == 2
    assert yaml.safe_load(table.read_text())["openai"]["date"] == datetime.date.today()
    capsys.readouterr()
    assert main(["import", "prices", str(listed), "--write", str(table)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("said", ["no json", "[]", "{}", '{"gpt-4o": {"input": 1}}'])
def test_what_is_no_price_list(tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A clear error, and nothing is written."""
    listed = tmp_path / "list.json"
    listed.write_text(said)
    assert main(["import", "prices", str(listed)]) == 2
    assert "list.json" in capsys.readouterr().err
