"""gateway.config.grammar: the grammar, and that docs/config.md explains all of it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.config.grammar import Config, Price, schema
from reference import CONFIG, HEADINGS, config_rows, table_of


def test_every_field_is_described() -> None:
    """The schema, which editors show, explains every key."""
    for title in HEADINGS.values():
        assert config_rows(title)


def test_every_section_has_a_heading() -> None:
    """No section of the grammar is missing in the reference."""
    assert set(HEADINGS.values()) == {"Config", *schema()["$defs"]} - {"Rate"}


@pytest.mark.parametrize("heading", HEADINGS)
def test_reference_is_true(heading: str) -> None:
    """docs/config.md has, under each heading, one row for each key, with its default and meaning, and no other.

    `make reference` writes the rows.
    """
    assert table_of(heading, CONFIG.read_text("utf-8")) == config_rows(HEADINGS[heading])


def test_schema_is_a_schema() -> None:
    """The published schema is JSON, names its dialect and knows every section."""
    text = json.loads(json.dumps(schema()))
    assert text["$schema"].startswith("https://json-schema.org/")
    assert set(text["properties"]) == set(Config.model_fields)


def test_no_error_repeats_its_input() -> None:
    """An error of the grammar itself holds no value either."""
    with pytest.raises(ValidationError) as caught:
        Price.model_validate({"input": "sk-secret"})
    assert "sk-secret" not in str(caught.value)
