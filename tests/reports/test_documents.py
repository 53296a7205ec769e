"""What README and docs name exists: metrics with their labels, commands with their options, paths."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import _parser
from gateway.config.grammar import schema
from line import config, running

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
    """As they stand."""
    words = shlex.split(line, comments=True)[1:]
    _parser().parse_args(words[: words.index("|")] if "|" in words else words)


def commands() -> set[tuple[str, ...]]:
    """Every command, as its words."""
    found: set[tuple[str, ...]] = set()

    def walk(parser: object, path: tuple[str, ...]) -> None:
        for action in getattr(parser, "_actions", ()):
            if isinstance(action.choices, dict):
                for name, inner in action.choices.items():
                    found.add((*path, name))
                    walk(inner, (*path, name))

    walk(_parser(), ())
    return found


def test_commands_in_words_exist() -> None:
    """`meshgate keys rotate` and its like in running text."""
    known = commands()
    single = {path for path in known if len(path) == 1} - {path[:1] for path in known if len(path) > 1}
    for name, text in TEXTS.items():
        for words in re.findall(r"`(?:\S*/)?meshgate ([a-z]+(?: [a-z]+)?)", text):
            path = tuple(words.split())
            assert path in known or path[:1] in single, f"{name}: meshgate {words}"


def test_metrics_exist(tmp_path: Path) -> None:
    """With the labels that the table names."""
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", policy={"path": str(ROOT / "policies")})) as line:
        families = {family.name for family in line.gateway.shared.telemetry.collected([])}
        labels = {family.name: family.labels for family in line.gateway.shared.telemetry._families}
        shown = line.client.get("/metrics").text
    families |= set(re.findall(r"^# TYPE (\w+)", shown, re.MULTILINE))
    for name, text in TEXTS.items():
        for metric, braces in re.findall(r"`(meshgate_[a-z_]*[a-z])(?:\{([a-z_,]+)\})?`", text):
            family = metric if metric in families else metric.removesuffix("_total")
            assert family in families, f"{name}: {metric}"
            if braces and family in labels:
                assert set(braces.split(",")) <= set(labels[family]), f"{name}: {metric}"


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
