"""gateway.config.grammar: the grammar, and that docs/config.md explains all of it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.config.grammar import Config, schema
from gateway.config.models import Price
from reference import CONFIG, HEADINGS, config_page, config_rows, table_of


def test_every_field_is_described() -> None:
    """The schema, which editors show, explains every key."""
    for title in HEADINGS.values():
        assert config_rows(title)


def test_every_section_has_a_heading() -> None:
    """No section of the grammar is missing in the reference."""
    sections = {"Config", *schema()["$defs"]} - {"Rate"}
    unlisted, gone = sections - set(HEADINGS.values()), set(HEADINGS.values()) - sections
    assert not unlisted, f"tests/reference.py, HEADINGS: add {sorted(unlisted)}, with a heading in docs/config.md"
    assert not gone, f"tests/reference.py, HEADINGS: the grammar no longer has {sorted(gone)}"


@pytest.mark.parametrize("heading", HEADINGS)
def test_reference_is_true(heading: str) -> None:
    """docs/config.md has, under each heading, one row for each key, with its default and meaning, and no other.

    `make reference` writes the rows.
    """
    written = table_of(heading, CONFIG.read_text("utf-8"))
    assert written == config_rows(HEADINGS[heading]), f"docs/config.md, {heading}: run `make reference`"


def test_a_new_section_gets_a_table() -> None:
    """`make reference` writes the first table below a heading, and writes nothing where there is no heading."""
    page = CONFIG.read_text("utf-8")
    before, mark, rest = page.partition("## `admin`\n")
    _, end, after = rest.partition("\n## ")
    bare = f"{before}{mark}\nThe admin API.\n{end}{after}"
    assert table_of("`admin`", config_page(bare)) == config_rows("Admin")
    with pytest.raises(SystemExit, match="no heading `## `admin``"):
        config_page(before + end + after)


def test_schema_is_a_schema() -> None:
    """The published schema is JSON, names its dialect and knows every section."""
    text = json.loads(json.dumps(schema()))
    assert text["$schema"].startswith("https://json-schema.org/")
    assert set(text["properties"]) == set(Config.model_fields)


def test_no_error_repeats_its_input() -> None:
    """An error of the grammar itself does not contain the value either."""
    with pytest.raises(ValidationError) as caught:
        Price.model_validate({"input": "sk-secret"})
    assert "sk-secret" not in str(caught.value)
