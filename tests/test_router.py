"""Paths with parameters: the endpoint of a path, and the values of its parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving.router import Match, Router

ROUTER = Router(
    [
        ("/v1/models", "list"),
        ("/v1/models/{model:path}", "one"),
        ("/mcp/{server}", "mcp"),
        ("/a2a/{agent}/tasks/{task}", "task"),
        ("/v1beta/models/{model}:generateContent", "gemini"),
        ("/tools/{name}/{rest:path}", "tool"),
        ("/mcp/all", "all"),
    ]
)


@pytest.mark.parametrize(
    ("path", "endpoint", "values"),
    [
        ("/v1/models", "list", {}),
        ("/v1/models/gpt-4o", "one", {"model": "gpt-4o"}),
        ("/v1/models/meta/llama-3:8b", "one", {"model": "meta/llama-3:8b"}),
        ("/mcp/files", "mcp", {"server": "files"}),
        ("/mcp/all", "all", {}),
        ("/a2a/bot/tasks/7", "task", {"agent": "bot", "task": "7"}),
        ("/v1beta/models/gemini-3:generateContent", "gemini", {"model": "gemini-3"}),
        ("/tools/crm/v2/orders/1", "tool", {"name": "crm", "rest": "v2/orders/1"}),
    ],
)
def test_a_path_leads_to_its_endpoint(path: str, endpoint: str, values: dict[str, str]) -> None:
    """With the values of its parameters; a literal path comes first, in any order of routes."""
    match = ROUTER.find(path)
    assert match is not None
    assert (match.endpoint, dict(match.values)) == (endpoint, values)


@pytest.mark.parametrize(
    "path", ["", "/", "/v1/models/", "/mcp/", "/mcp/a/b", "/a2a/bot/tasks", "/V1/models", "/tools/x"]
)
def test_other_paths_lead_nowhere(path: str) -> None:
    """A parameter is never empty, and only `:path` crosses a slash."""
    assert ROUTER.find(path) is None


@given(st.text(min_size=1), st.text(min_size=1).filter(lambda text: "/" not in text))
def test_values_are_what_stood_in_the_path(rest: str, name: str) -> None:
    """With any characters, also line ends."""
    assert ROUTER.find(f"/tools/{name}/{rest}") == Match(
        "/tools/{name}/{rest:path}", "tool", {"name": name, "rest": rest}
    )


@pytest.mark.parametrize("template", ["/a/{}", "/a/{Name}", "/a/{name", "/a/name}{x}", "/a/{name:int}"])
def test_a_template_that_is_none(template: str) -> None:
    """The message has the template."""
    with pytest.raises(ValueError, match="is not a path template"):
        Router([(template, "")])


def test_templates_are_tried_in_their_order_whatever_their_first_segment_is() -> None:
    routes = ["/a/{x}/b", "/{any}/c/b", "/a/{rest:path}", "/b{x}/c", "/{one}", "/{all:path}"]
    router = Router((template, number) for number, template in enumerate(routes))
    paths = {
        "/a/c/b": 0,
        "/b/c/b": 1,
        "/a/x/y": 2,
        "/bx/c": 3,
        "/x": 4,
        "/a/": 5,
        "//a/c": 5,
        "/{any}/c/b": 1,
        "a/b": None,
    }
    found = {path: router.find(path) for path in paths}
    assert {path: one and one.endpoint for path, one in found.items()} == paths
