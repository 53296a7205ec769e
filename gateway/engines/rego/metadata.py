"""Metadata: annotations in comments, for `rego.metadata`."""

from __future__ import annotations

from typing import Any

import yaml

from gateway.engines.rego.errors import PARSE, Location, Problem, RegoError
from gateway.engines.rego.scanner import Comment

MARK = "METADATA"
SCOPES = ("rule", "document", "package", "subpackages")


def read_annotations(file: str, comments: list[Comment]) -> list[dict[str, Any]]:
    """Every block of annotations: its fields, and under "" the rows where it begins and ends. Raises RegoError."""
    found: list[dict[str, Any]] = []
    index = 0
    while index < len(comments):
        first = comments[index]
        index += 1
        if first.column != 1 or first.text.strip() != MARK:
            continue
        lines, last = [], first
        while index < len(comments):
            comment = comments[index]
            if comment.column != 1 or comment.row != last.row + 1 or comment.text.strip() == MARK:
                break
            lines.append(comment.text)
            last = comment
            index += 1
        found.append({**_read(file, first, lines), "": (first.row, last.row)})
    return found


def _read(file: str, first: Comment, lines: list[str]) -> dict[str, Any]:
    at = Location(file, first.row, first.column)
    try:
        fields = yaml.safe_load("\n".join(line.removeprefix(" ") for line in lines))
    except yaml.YAMLError as error:
        raise RegoError([Problem(PARSE, f"yaml: {' '.join(str(error).split())}", at)]) from None
    if not isinstance(fields, dict):
        raise RegoError([Problem(PARSE, "expected METADATA block, found whitespace", at)])
    if fields.get("scope", "rule") not in SCOPES:
        raise RegoError([Problem(PARSE, f"invalid scope '{fields['scope']}' for metadata", at)])
    return fields
