"""Tools that a provider runs, as objects, in every dialect and place."""

from __future__ import annotations

import pytest

from gateway.call import Json
from gateway.dialects import Codec
from gateway.dialects.anthropic_batches import MESSAGE_BATCHES as ANTHROPIC_BATCHES
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI
from gateway.dialects.gemini_interactions import GEMINI_INTERACTIONS as INTERACTIONS
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_conversations import CONVERSATIONS
from gateway.dialects.openai_responses import OPENAI_RESPONSES

URL = "https://mcp.example/sse"
POLICY = {"type": "allowlist", "allowed_domains": ["pypi.org", "files.example"]}
ADDED = {"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}
CHANGED = [{"type": "add", "tool": {"type": "web_fetch_20250910", "name": "web_fetch"}}]
SPACE = {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}


def tool(kind: str, name: str = "", host: str = "") -> Json:
    return {"type": kind, "name": name or kind, "host": host}


def chat(**fields: object) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}


def responses(*tools: Json, **fields: object) -> Json:
    return {"model": "m", "input": "Hi", "tools": list(tools), **fields}


CASES: list[tuple[Codec, Json, list[Json]]] = [
    (OPENAI_CHAT, chat(), []),
    (OPENAI_CHAT, chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"url": URL}}}]), []),
    (OPENAI_CHAT, chat(tools=[{"type": "custom", "custom": {"name": "f"}}], functions=[{"name": "g"}]), []),
    (OPENAI_CHAT, chat(web_search_options={}), [tool("web_search")]),
    (
        OPENAI_CHAT,
        chat(plugins=[{"id": "web"}, {"id": "file-parser"}]),
        [tool("plugins", "web"), tool("plugins", "file-parser")],
    ),
    (OPENAI_CHAT, chat(tools=[{"type": "browser_search"}]), [tool("browser_search")]),
    (OPENAI_CHAT, chat(tools=[{"google_search": {}}]), [tool("google_search")]),
    (
        OPENAI_CHAT,
        chat(tools=[{"type": "builtin_function", "function": {"name": "$web_search"}}]),
        [tool("builtin_function", "$web_search")],
    ),
    (OPENAI_CHAT, chat(extra_body={"tools": [{"type": "web_search"}]}), [tool("web_search")]),
    (OPENAI_RESPONSES, responses({"type": "function", "name": "f"}), []),
    (
        OPENAI_RESPONSES,
        responses({"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}),
        [tool("web_search")],
    ),
    (
        OPENAI_RESPONSES,
        responses({"type": "mcp", "server_label": "crm", "server_url": URL}),
        [tool("mcp", "crm", "mcp.example")],
    ),
    (
        OPENAI_RESPONSES,
        responses({"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail"}),
        [tool("mcp", "mail", "connector_gmail")],
    ),
    (
        OPENAI_RESPONSES,
        responses({"type": "code_interpreter", "container": {"type": "auto", "network_policy": POLICY}}),
        [tool("code_interpreter", host="pypi.org"), tool("code_interpreter", host="files.example")],
    ),
    (
        OPENAI_RESPONSES,
        responses({"type": "image_generation", "input_image_mask": {"image_url": URL}}),
        [tool("image_generation")],
    ),
    (OPENAI_RESPONSES, responses(SPACE), [tool("web_search")]),
    (OPENAI_RESPONSES, {"model": "m", "input": [ADDED]}, [tool("web_search")]),
    (CONVERSATIONS, {"items": [ADDED]}, [tool("web_search")]),
    (ANTHROPIC_MESSAGES, chat(tools=[{"name": "f", "input_schema": {"url": URL}}]), []),
    (
        ANTHROPIC_MESSAGES,
        chat(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        [tool("web_search_20250305", "web_search")],
    ),
    (
        ANTHROPIC_MESSAGES,
        chat(mcp_servers=[{"type": "url", "url": URL, "name": "crm"}]),
        [tool("mcp", "crm", "mcp.example")],
    ),
    (ANTHROPIC_MESSAGES, chat(tools=[{"type": "mcp_toolset", "mcp_server_name": "crm"}]), [tool("mcp_toolset", "crm")]),
    (
        ANTHROPIC_MESSAGES,
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "tool_changes", "tool_changes": CHANGED}]}]},
        [tool("web_fetch_20250910", "web_fetch")],
    ),
    (
        ANTHROPIC_BATCHES,
        {
            "requests": [
                {"custom_id": "1", "params": chat(tools=[{"type": "web_search_20250305", "name": "web_search"}])}
            ]
        },
        [tool("web_search_20250305", "web_search")],
    ),
    (GEMINI, {"contents": [], "tools": [{"functionDeclarations": [{"name": "f"}]}]}, []),
    (
        GEMINI,
        {"contents": [], "tools": [{"google_search": {}}, {"codeExecution": {}}]},
        [tool("googleSearch"), tool("codeExecution")],
    ),
    (
        GEMINI,
        {"contents": [], "tools": [{"mcpServers": [{"name": "crm", "streamableHttpTransport": {"url": URL}}]}]},
        [tool("mcp", "crm", "mcp.example")],
    ),
    (INTERACTIONS, {"model": "m", "input": "Hi", "tools": [{"type": "google_search"}]}, [tool("google_search")]),
    (
        INTERACTIONS,
        {"model": "m", "input": "Hi", "tools": [{"type": "mcp_server", "name": "crm", "url": URL}]},
        [tool("mcp_server", "crm", "mcp.example")],
    ),
]


@pytest.mark.parametrize(("codec", "body", "expected"), CASES)
def test_hosted_tools_are_objects(codec: Codec, body: Json, expected: list[Json]) -> None:
    """Functions of the caller are none. The names of all are in `tools`, by which they can be stripped."""
    assert codec.hosted(body) == expected
    if "tools" in body or "messages" in body:
        assert {one["name"] for one in expected} <= {*codec.tools(body)}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTPS://MCP.Example.:8443/a?b#c", "mcp.example"),
        ("https://[::1]/", "[::1]"),
        ("https://good.example\\@evil.example/", "?"),
        ("https://good.example@evil.example/", "?"),
        ("//evil.example", "?"),
        (" https://evil.example", "?"),
    ],
)
def test_an_address_that_can_be_read_in_two_ways_has_no_known_host(url: str, host: str) -> None:
    body = responses({"type": "mcp", "server_label": "crm", "server_url": url})
    assert OPENAI_RESPONSES.hosted(body) == [tool("mcp", "crm", host)]
