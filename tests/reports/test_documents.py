"""README and docs name exactly the existing error codes, metrics with their labels, and commands with their options.

Keys of the configuration are held to docs/config.md by tests/test_config.py.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client.core import Metric

from gateway.cli import _parser
from gateway.config.grammar import schema
from gateway.control.admin.health import gauges
from gateway.errors import TABLE
from gateway.record.telemetry import Telemetry
from gateway.serving.app import Gateway
from gateway.upstream.health import Healths
from reference import COMMANDS, command_page, commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}


def shell_lines() -> Iterator[str]:
    """Lines of code blocks that call the command."""
    for text in TEXTS.values():
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield from (line for line in block.splitlines() if re.match(r"(\S*/)?meshgate ", line))


@pytest.mark.parametrize("line", sorted(set(shell_lines())))
def test_commands_parse(line: str) -> None:
    """Every command in the documentation is parsed unchanged."""
    words = shlex.split(line, comments=True)[1:]
    _parser().parse_args(words[: words.index("|")] if "|" in words else words)


def test_commands_in_words_exist() -> None:
    """`meshgate keys rotate` and its like in running text."""
    known = {path for path, _, _ in commands()}
    single = {path for path in known if len(path) == 1}
    groups = {path[:1] for path in known} - single
    for name, text in TEXTS.items():
        for words in re.findall(r"`(?:\S*/)?meshgate ([a-z]+(?: [a-z]+)?)", text):
            path = tuple(words.split())
            assert path in known | groups or path[:1] in single, f"{name}: meshgate {words}"


def test_options_in_words_exist() -> None:
    """`--workers N` and its like: an option of some command, or of another program that the page names."""
    known = {option for _, _, actions in commands() for action in actions for option in action.option_strings}
    known |= {"--help", "--version"}
    others = {"--rdb"}  # redis-cli
    for name, text in TEXTS.items():
        for option in re.findall(r"`(--[a-z][a-z-]*)", text):
            assert option in known | others, f"{name}: {option}"


def test_every_command_is_documented() -> None:
    """docs/commands.md has every command, argument and option, as `--help` does; `make reference` writes the page."""
    assert COMMANDS.read_text("utf-8") == command_page()


def test_every_argument_is_explained() -> None:
    """`--help` explains each command and each argument."""
    for path, words, actions in commands():
        assert words, path
        assert all(action.help for action in actions), path


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    _, _, rest = TEXTS[page].partition(f"{heading}\n")
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), rest.splitlines())
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in itertools.takewhile(str.strip, lines)][2:]


def test_every_error_code_is_documented() -> None:
    """README's table has each code of `errors.TABLE` with its status, and no other."""
    documented: dict[str, set[str]] = {}
    for statuses, codes in table("README.md", "## Errors"):
        for code in re.findall(r"`(\w+)`", codes):
            documented.setdefault(code, set()).update(statuses.split(", "))
    assert documented.keys() == TABLE.keys()
    for code, row in TABLE.items():
        assert str(row.status) in documented[code], code


def families() -> dict[str, Metric]:
    """Every family that the gateway itself reports, by its name in a scrape."""
    shared = SimpleNamespace(
        policies=None, shares=SimpleNamespace(calls=0), healths=Healths(), census={}, uploads=None, stopping=False
    )
    gateway = cast(Gateway, SimpleNamespace(shared=shared, runtime=SimpleNamespace(alone=lambda: False)))
    telemetry = Telemetry(None)
    telemetry.gauges += gauges(gateway)
    collected = list(telemetry.collected([]))
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in collected}


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has each family with its type and its labels, and no other."""
    documented = {
        name.strip("`"): (kind, re.findall(r"`(\w+)`", labels))
        for name, kind, labels, _ in table("metrics.md", "# Metrics")
    }
    known = {name: (family.type, list(family._labelnames)) for name, family in families().items()}  # type: ignore[attr-defined]
    assert documented == known


def test_metrics_exist() -> None:
    """Every metric that a page names exists, with the labels in braces."""
    known = families()
    for name, text in TEXTS.items():
        for metric, braces in re.findall(r"`(meshgate_[a-z_]*[a-z])(?:\{([a-z_,]+)\})?`", text):
            assert metric in known, f"{name}: {metric}"
            labels = known[metric]._labelnames  # type: ignore[attr-defined]
            assert set(braces.split(",") if braces else ()) <= set(labels), f"{name}: {metric}"


def test_links_lead_somewhere() -> None:
    """Every link within the project: the file, and the heading in it."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", TEXTS[page.name]):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in anchors, f"{page.name}: {target}"


def test_sections_exist() -> None:
    """Keys in running text, such as `output.explain`, are keys of the file."""
    root = schema()
    sections = set(root["properties"])
    for name, text in TEXTS.items():
        for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)`", text):
            if section in sections and section not in ("providers", "models", "agents", "tools"):
                assert f'"{key}"' in str(root).replace("'", '"'), f"{name}: {section}.{key}"


def terms() -> list[tuple[str, str, str]]:
    """docs/glossary.md: each term, its word in the code ("" for none), and its explanation."""
    return re.findall(r"^- \*\*([^*]+)\*\*(?: \(`([^`]+)`\))?: (.+)$", TEXTS["glossary.md"], re.MULTILINE)


def test_the_glossary_is_short_and_has_each_term_once() -> None:
    """At most 60 terms, one or two sentences each; every entry has the form of the others."""
    names = [name for name, _, _ in terms()]
    assert len(names) == len(set(names)) == len(re.findall(r"^- ", TEXTS["glossary.md"], re.MULTILINE)) <= 60
    for name, _, words in terms():
        assert words.endswith("."), name
        assert len(re.findall(r"[.:] [A-Z]", words)) <= 2, name


def test_code_words_of_the_glossary_are_in_the_code() -> None:
    """Every code word of the glossary occurs in `gateway/` as a whole word."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    words = set(re.findall(r"\w+", code))
    for name, word, _ in terms():
        assert word, f"{name} has no code word"
        assert word in words, f"{name}: {word}"


def test_the_glossary_is_linked() -> None:
    """From the README and from the page on the code."""
    assert "docs/glossary.md" in TEXTS["README.md"]
    assert "glossary.md" in TEXTS["architecture.md"]
