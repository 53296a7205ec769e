"""gateway.config.grammar: the grammar, and that docs/config.md explains all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.grammar import Config, Price, schema

REFERENCE = Path(__file__).parent.parent / "docs" / "config.md"
# Heading in the reference -> class of the grammar.
HEADINGS = {
    "The file": "Config",
    "`providers`": "Provider",
    "`models`": "Model",
    "`models.*.targets`": "Target",
    "`models.*.price`": "Price",
    "`tools`": "Tool",
    "`agents`": "Agent",
    "`jwt`": "Jwt",
    "`limits`": "Limit",
    "`limits.*.match`": "Match",
    "`quotas`": "Quotas",
    "`loops`": "Loops",
    "`idempotency`": "Idempotency",
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


def row(name: str, field: dict[str, Any], required: bool) -> str:
    """A row of the reference: key, default, meaning."""
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


def rows(title: str) -> list[str]:
    whole = schema()
    section = whole if title == "Config" else whole["$defs"][title]
    required = section.get("required", ())
    return [row(name, field, name in required) for name, field in section["properties"].items()]


def test_every_field_is_described() -> None:
    """The schema, which editors show, explains every key."""
    for title in HEADINGS.values():
        assert rows(title)


def test_every_section_has_a_heading() -> None:
    """No section of the grammar is missing in the reference."""
    assert set(HEADINGS.values()) == {"Config", *schema()["$defs"]} - {"Rate"}


@pytest.mark.parametrize("heading", HEADINGS)
def test_reference_is_true(heading: str) -> None:
    """docs/config.md has, under each heading, one row for each key, with its default and meaning, and no other."""
    _, found, rest = REFERENCE.read_text().partition(f"## {heading}\n")
    assert found, f"docs/config.md has no heading: ## {heading}"
    table = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert table == rows(HEADINGS[heading])


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
