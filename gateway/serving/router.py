"""Paths with parameters: `/v1/models/{model:path}`. A parameter is one segment, with `:path` the rest, slashes too.

A literal path is found before any template, and templates are tried in their order. Segments are compared as the server
hands them over: already decoded once, never twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

Endpoint = TypeVar("Endpoint")
_PARAMETER = re.compile(r"\{([a-z_]+)(:path)?\}")
NOTHING: Mapping[str, str] = {}


class Match(NamedTuple, Generic[Endpoint]):
    """What a path leads to: the template as metrics label it, the endpoint, and the values of its parameters."""

    template: str
    endpoint: Endpoint
    values: Mapping[str, str] = NOTHING


_Templates = list[tuple[re.Pattern[str], str, Endpoint]]


class Router(Generic[Endpoint]):
    """Finds the endpoint of a path. Immutable."""

    def __init__(self, routes: Iterable[tuple[str, Endpoint]]) -> None:
        self._literal: dict[str, Match[Endpoint]] = {}
        templates: list[tuple[str, _Templates[Endpoint]]] = []
        for template, endpoint in routes:
            if "{" in template:
                templates.append((_first(template), [(_compiled(template), template, endpoint)]))
            else:
                self._literal[template] = Match(template, endpoint)
        # By the first segment, in their order: with it, the templates that begin with a parameter may match as well.
        self._any = [one for first, ones in templates if not first for one in ones]
        self._by_first = {
            first: [one for other, ones in templates if other in ("", first) for one in ones]
            for first, _ in templates
            if first
        }

    def find(self, path: str) -> Match[Endpoint] | None:
        """The endpoint of a path; None if no route matches."""
        literal = self._literal.get(path)
        if literal is not None:
            return literal
        for pattern, template, endpoint in self._by_first.get(_first(path), self._any):
            found = pattern.fullmatch(path)
            if found is not None:
                return Match(template, endpoint, found.groupdict())
        return None


def _first(path: str) -> str:
    """The first segment of a path or of a template, with the slash after it; "" if it has a parameter or no slash."""
    end = path.find("/", 1) + 1
    first = path[:end]
    return "" if "{" in first else first


def _compiled(template: str) -> re.Pattern[str]:
    """The pattern of a template. Raises ValueError for braces that are not a parameter."""
    literals = _PARAMETER.sub("", template)
    if "{" in literals or "}" in literals:
        raise ValueError(f"{template} is not a path template: write a parameter as {{name}} or {{name:path}}")
    parts: list[str] = []
    at = 0
    for parameter in _PARAMETER.finditer(template):
        name, rest = parameter.groups()
        parts += re.escape(template[at : parameter.start()]), f"(?P<{name}>{'.+' if rest else '[^/]+'})"
        at = parameter.end()
    return re.compile("".join([*parts, re.escape(template[at:])]), re.DOTALL)
