"""The file of `pii.recognizers`: its schema, the line of each entry, and readable error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import regex
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PRESIDIOS: Final = int(regex.DOTALL | regex.MULTILINE | regex.IGNORECASE)
"""Presidio's flags if the file has none."""
_LARGEST: Final = 1_000_000  # bytes of a file


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pattern(Part):
    name: str = ""
    regex: str = Field(min_length=1)
    score: float = Field(ge=0, le=1)


class Language(Part):
    language: str
    context: tuple[str, ...] | None = None


Words = tuple[str, ...] | None


class Entry(Part):
    """A recognizer. In Presidio a language selects recognizers; here those of all languages are used."""

    name: str = ""
    supported_entity: str = ""
    supported_entities: tuple[str, ...] = ()
    supported_language: str | None = None
    supported_languages: tuple[str | Language, ...] | None = None
    patterns: tuple[Pattern, ...] | None = None
    context: Words = None
    deny_list: Words = None
    deny_list_score: float = Field(default=1.0, gt=0, le=1)
    allow_list: Words = None
    checksum: str | None = None
    global_regex_flags: int | None = None
    enabled: bool = True
    type: Literal["custom"] = "custom"
    version: str = ""
    country_code: str | None = None


class File(Part):
    recognizers: tuple[Any, ...] = Field(min_length=1)
    allow_list: Words = None
    global_regex_flags: int = PRESIDIOS
    supported_languages: tuple[str, ...] | None = None
    supported_countries: tuple[str, ...] | None = None


def read(path: Path) -> str:
    """The text of a file. Raises OSError, also if the file is too large, and UnicodeDecodeError."""
    data = path.read_bytes()
    if len(data) > _LARGEST:
        raise OSError(0, f"{len(data)} bytes are more than the {_LARGEST} that a file may have")
    return data.decode("utf-8")


def numbered(node: yaml.Node | None, place: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], int]:
    """Place of each entry in the file -> the line in which the entry begins."""
    if node is None:
        return {}
    found = {place: node.start_mark.line + 1} if place else {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found |= numbered(value, (*place, key.value)) | {(*place, key.value): key.start_mark.line + 1}
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            found |= numbered(value, (*place, number))
    return found


def spell(place: tuple[Any, ...]) -> str:
    """A place in readable form: `recognizers[0].patterns[1].regex`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).lstrip(".") or "the file"


def said(error: ValidationError, model: type[Part]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The place and the message of each error."""
    for detail in error.errors(include_url=False):
        place = detail["loc"]
        if detail["type"] == "extra_forbidden":
            known = list(model.model_fields) if len(place) == 1 else list(Pattern.model_fields)
            near = difflib.get_close_matches(str(place[-1]), known, 1)
            yield place, "is not a known key" + (f"; did you mean {near[0]}?" if near else f"; allowed: {known}")
        elif detail["type"] == "missing":
            yield place, "is required"
        elif place == ("type",):
            yield place, "must be custom: recognizers that Presidio brings along are built in, under its names"
        elif detail["type"] == "model_type":
            yield place, "must be a mapping with name, supported_entity and patterns or deny_list"
        else:
            yield place, detail["msg"].replace("Input should be", "must be")
