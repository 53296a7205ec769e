"""Hidden tools: in older fields, in the tool choice, next to another tool, under an unknown type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import upstream as scripted
from budgets import examples
from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.toolnames import normal
from gateway.errors import Refusal
from line import Line, config, running

F = {"type": "function", "function": {"name": "get_order"}}


def body(**fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": "echo", "messages": [{"role": "user", "content": "hi"}], **fields}


HIDDEN: dict[str, dict[str, Any]] = {
    "functions": {"functions": [{"name": "delete_all", "parameters": {}}]},
    "function_call": {"function_call": {"name": "delete_all"}},
    "choice": {"tools": [F], "tool_choice": {"type": "function", "function": {"name": "delete_all"}}},
    "flat choice": {"tool_choice": {"type": "tool", "name": "delete_all"}},
    "allowed": {
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "delete_all"}}]},
        }
    },
    "flat allowed": {
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "delete_all"}]}
    },
    "flat": {"tools": [{"type": "function", "name": "delete_all"}]},
    "custom": {"tools": [F, {"type": "custom", "custom": {"name": "delete_all"}}]},
    "unknown type": {"tools": [F, {"type": "odd", "function": {"name": "delete_all"}}]},
    "provider type": {"tools": [{"type": "delete_all"}]},
    "declarations": {"tools": [{"functionDeclarations": [{"name": "delete_all"}]}]},
    "namespace": {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "delete_all"}]}]},
    "plugins": {"plugins": [{"id": "delete_all"}]},
    "wrapper": {"extra_body": {"tools": [{"type": "function", "function": {"name": "delete_all"}}]}},
    "allowed at a server": {"tools": [{"type": "mcp", "server_label": "s", "allowed_tools": ["delete_all"]}]},
    "allowed by filter": {
        "tools": [
            {"type": "mcp", "server_label": "s", "allowed_tools": {"tool_names": ["delete_all"], "read_only": True}}
        ]
    },
    "approved at a server": {
        "tools": [{"type": "mcp", "server_label": "s", "require_approval": {"never": {"tool_names": ["delete_all"]}}}]
    },
    "connector": {"tools": [{"type": "mcp", "server_label": "s", "connector_id": "delete_all"}]},
    "toolset": {"tools": [{"type": "mcp_toolset", "mcp_server_name": "delete_all"}]},
    "set in a toolset": {
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "s", "configs": {"delete_all": {"enabled": True}}}]
    },
    "skill": {"container": {"skills": [{"type": "custom", "skill_id": "delete_all", "version": "latest"}]}},
    "skills": {"skills": ["delete_all"]},
    "a toolset at the top": {"toolset": [{"name": "delete_all"}]},
    "further tools of a message": {
        "messages": [{"role": "developer", "content": "x", "additional_tools": [{"name": "delete_all"}]}]
    },
    "message": {"messages": [{"role": "system", "content": "x", "tools": [{"name": "delete_all"}]}]},
    "part of a message": {
        "messages": [{"role": "user", "content": [{"type": "x", "tools": [{"name": "delete_all"}]}]}]
    },
    "change of the tools": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "tool_changes", "tool_changes": [{"type": "add", "tool": {"name": "delete_all"}}]}
                ],
            }
        ]
    },
    "names that a choice allows": {"tools": [F], "tool_choice": {"allowed_function_names": ["delete_all"]}},
    "names below a choice": {"tools": [F], "tool_choice": {"mode": "any", "x": {"names": ["delete_all"]}}},
    **{
        f"{key} of an entry": {"tools": [{"type": "x", key: ["delete_all"]}]}
        for key in ("connectors", "enabled_tools", "include_tools", "tool_names", "functions", "toolNames")
    },
    **{
        f"{key} of a function": {"tools": [{**F, key: "delete_all" if key == "tool_name" else ["delete_all"]}]}
        for key in ("allowed_tools", "names", "tool_name", "tools")
    },
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_policy_sees_a_tool_wherever_it_is_named_and_can_take_it_out(where: str) -> None:
    """Every field that names a tool gives its name, and loses it when it is stripped."""
    request = body(**json.loads(json.dumps(HIDDEN[where])))
    assert "delete_all" in OPENAI_CHAT.parse(request).tools
    assert OPENAI_CHAT.strip_tools(request, frozenset({"delete_all"}))
    assert "delete_all" not in json.dumps(request)


@pytest.mark.parametrize(
    "field", ["web_search_options", "web_search", "enable_search", "googleSearch", "mcp_servers", "data_sources"]
)
def test_what_a_provider_runs_is_named_by_its_field(field: str) -> None:
    """A field that enables a feature is a tool; a field that disables it is not."""
    request = body(**{field: {}})
    assert field in OPENAI_CHAT.parse(request).tools
    assert OPENAI_CHAT.strip_tools(request, frozenset({field}))
    assert field not in request
    assert OPENAI_CHAT.parse(body(**{field: False})).tools == ()


HOSTED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "live search": (
        {"search_parameters": {"mode": "auto", "sources": [{"type": "web"}, {"type": "x", "x_handles": ["a"]}]}},
        {"search_parameters", "web", "x"},
    ),
    "compound": (
        {"compound_custom": {"models": {"x": "echo"}, "tools": {"enabled_tools": ["web_search", "browse"]}}},
        {"compound_custom", "web_search", "browse"},
    ),
    "search settings": ({"search_settings": {"include_domains": ["example.org"]}}, {"search_settings"}),
    "search options": ({"search_options": {"forced_search": True}}, {"search_options", "forced_search"}),
    "options of a provider": (
        {"provider_options": {"xai": {"searchParameters": {"mode": "on"}}}},
        {"provider_options", "searchParameters"},
    ),
    "vendor": ({"google": {"tools": [{"googleSearch": {}}]}}, {"google", "googleSearch"}),
    "named below": ({"vendor": [{"tools": [{"type": "code_interpreter"}]}]}, {"vendor", "code_interpreter"}),
    "switch below": ({"chat_options": {"enable_search": True}}, {"chat_options", "enable_search"}),
    "wrapped": (
        {"extra_body": {"extra_body": {"compound_custom": {"tools": {"enabled_tools": ["browse"]}}}}},
        {"browse"},
    ),
}


@pytest.mark.parametrize("how", HOSTED)
def test_what_a_provider_runs_is_named_in_any_field(how: str) -> None:
    """Each name in such a field removes the whole field."""
    fields, wanted = HOSTED[how]
    found = OPENAI_CHAT.parse(body(**fields)).tools
    assert wanted <= set(found)
    assert not {"example.org", "m", "a"} & set(found)
    for name in found:
        request = body(**json.loads(json.dumps(fields)))
        assert OPENAI_CHAT.strip_tools(request, frozenset({name}))
        assert OPENAI_CHAT.parse(request).tools == ()


@pytest.mark.parametrize(
    "fields",
    [
        {
            "guided_json": {
                "type": "object",
                "properties": {"web_search": {"type": "string"}, "tools": {"type": "array"}},
            }
        },
        {"provider": {"order": ["a"], "allow_fallbacks": True, "require_parameters": True}},
        {"chat_template_kwargs": {"enable_search": False, "tools": None, "enable_thinking": True}},
        {"metadata": {"tools": {"web_search": True}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"search": {}}}}},
        {"options": {"max_tool_calls": 3, "disable_search": True, "num_ctx": 9}},
        {"vendor": {"search_prompt": "say web_search"}},
    ],
    ids=str,
)
def test_what_switches_nothing_on_is_no_tool(fields: dict[str, Any]) -> None:
    """Schemas, fields of the dialect, disabled tools, and texts."""
    assert OPENAI_CHAT.parse(body(**fields)).tools == ()


def test_ordinary_fields_are_no_tools() -> None:
    """Longer words that contain such a word, and options next to tools, name no tool."""
    assert OPENAI_CHAT.parse(body(parallel_tool_calls=True, research="x", functional=1, tool_choice="auto")).tools == ()


CONTRADICTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "two kinds": ("tools", {"tools": [{**F, "custom": {"name": "delete_all"}}]}),
    "two names": ("tools", {"tools": [{**F, "name": "delete_all"}]}),
    "another kind": ("tools", {"tools": [{"type": "function", "custom": {"name": "delete_all"}}]}),
    "a name that is none": ("tools", {"tools": [{"type": "function", "function": {"name": ["delete_all"]}}]}),
    "no name": ("tools", {"tools": [{"type": "function", "function": {}}]}),
    "a function in a function": (
        "tools",
        {"tools": [{"type": "function", "function": {"name": "get_order", "function": {"name": "delete_all"}}}]},
    ),
    "a tool in a function": (
        "tools",
        {"tools": [{"type": "function", "function": {"name": "get_order", "tool": {"name": "delete_all"}}}]},
    ),
    "another case of a name": ("tools", {"tools": [{"function": {"name": "get_order", "Name": "delete_all"}}]}),
    "another case of a field": ("Tools", {"tools": [F], "Tools": [{"function": {"name": "delete_all"}}]}),
    "in functions": ("functions", {"functions": [{"name": 7}]}),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused_by_name(name: str) -> None:
    """One entry is one tool with one name, in one spelling of its field."""
    param, fields = CONTRADICTIONS[name]
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(**fields))
    assert (caught.value.code, caught.value.param) == ("invalid_request", param)


TYPES = st.sampled_from(["function", "custom", "mcp", "odd", "web_search", "namespace", "allowed_tools", "tool"])
NAMES: list[dict[str, Any]] = [{"name": "delete_all"}, {"name": "delete_all", "parameters": {"type": "object"}}]
NAMED = st.sampled_from(NAMES)


@st.composite
def entries(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """A tool that is called delete_all, as somebody might declare it."""
    kind = draw(TYPES)
    way = draw(st.integers(0, 4 if depth < 2 else 3))
    if way == 0:
        entry: dict[str, Any] = {draw(st.sampled_from(["function", "custom", "mcp", "x"])): draw(NAMED)}
    elif way == 1:
        entry = {**draw(NAMED)}
    elif way == 2:
        entry = {draw(st.sampled_from(["server_label", "id"])): "delete_all"}
        kind = "mcp"
    elif way == 3:
        return {"type": "delete_all", **draw(st.sampled_from([{}, {"x": 1}, {"max_uses": 2}]))}
    else:
        entry = {draw(st.sampled_from(["tools", "functions", "functionDeclarations"])): [draw(entries(depth + 1))]}
        if draw(st.booleans()):
            entry["name"] = "outer"
    return {"type": kind, **entry} if draw(st.booleans()) else entry


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request that offers or chooses the tool in some field, next to other tools."""
    entry = draw(entries())
    field = draw(
        st.sampled_from(["tools", "functions", "tool_choice", "function_call", "plugins", "mcp_servers", "deep"])
    )
    if field == "tool_choice" and draw(st.booleans()):
        entry = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [entry]}}
    offers: dict[str, Any] = {field: entry if field in ("tool_choice", "function_call") else [entry]}
    if field == "deep":
        where = draw(st.sampled_from(["extra_body", "message"]))
        offers = (
            {"extra_body": {"tools": [entry]}}
            if where == "extra_body"
            else {"messages": [{"role": "user", "content": "hi", "tools": [entry]}]}
        )
    return body(**({} if field == "tools" else {"tools": [F]}), **offers)


@settings(max_examples=examples(100, nightly=3000))
@given(requests())
def test_a_tool_in_any_shape_is_seen_or_refused(request_: dict[str, Any]) -> None:
    """No tool that a server could run leaves without being in `input.action.tools`; no stripped tool leaves."""
    try:
        names = OPENAI_CHAT.parse(request_).tools
    except Refusal:
        return
    assert "delete_all" in names
    assert OPENAI_CHAT.strip_tools(request_, frozenset({"delete_all"}))
    assert "delete_all" not in OPENAI_CHAT.parse(request_).tools
    assert "delete_all" not in json.dumps(request_)


def test_a_choice_of_what_is_left_stays() -> None:
    """Stripping one tool does not turn `none` into `auto`."""
    request = body(tools=[F, {"type": "function", "function": {"name": "Send-Mail"}}], tool_choice="none")
    assert OPENAI_CHAT.strip_tools(request, frozenset({"send_mail"}))
    assert (request["tools"], request["tool_choice"]) == ([F], "none")


@pytest.mark.parametrize("name", ["send_mail", "SEND-MAIL", "mcp__x__Send_Mail", "functions.send_mail", "x/send-mail"])
def test_one_normal_form(name: str) -> None:
    """All spellings of one tool are one tool."""
    assert normal(name) == "send_mail"


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("tools")
    with running(folder, config(folder, up.url)) as running_line:
        yield running_line


OTHER = [{"type": "function", "function": {"name": "read"}}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tools", [OTHER, None])
def test_an_answer_that_calls_another_tool_is_blocked(line: Line, stream: bool, tools: Any) -> None:
    """A whole answer is a 403, in a stream the choice ends with content_filter; no argument leaves."""
    answer = line.chat("to ann", "call", stream=stream, tools=tools)
    assert "to ann" not in answer.text
    if answer.status_code == 403:
        assert answer.json()["error"]["code"] == "tool_not_offered"
    else:
        assert stream
        assert "content_filter" in answer.text


def test_any_tool_where_the_operator_says_so(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`output.tools: any` passes tools that were not offered."""
    folder = tmp_path_factory.mktemp("any")
    with running(folder, config(folder, up.url, output={"tools": "any"})) as line:
        assert line.chat("to ann", "call", tools=OTHER).status_code == 200


@pytest.mark.parametrize("where", HIDDEN)
def test_so_it_is_in_messages(where: str) -> None:
    """The other dialect with tools reads the same fields."""
    request = body(max_tokens=9, **json.loads(json.dumps(HIDDEN[where])))
    assert "delete_all" in ANTHROPIC_MESSAGES.parse(request).tools
    assert ANTHROPIC_MESSAGES.strip_tools(request, frozenset({"delete_all"}))
    assert "delete_all" not in json.dumps(request)


def test_what_is_switched_off_or_was_done_offers_nothing() -> None:
    """A disabled tool of a set, and the tool results in a message."""
    configs = {"delete_all": {"enabled": False}}
    toolset = {"type": "mcp_toolset", "mcp_server_name": "s", "configs": configs}
    assert OPENAI_CHAT.parse(body(tools=[toolset])).tools == ("mcp_toolset", "s")
    ran = {"role": "assistant", "content": "x", "executed_tools": [{"type": "python", "name": "delete_all"}]}
    assert OPENAI_CHAT.parse(body(messages=[ran])).tools == ()


@pytest.mark.parametrize("field", ["search_parameters", "search_mode", "search_options", "search_settings"])
def test_a_search_of_the_provider_is_a_search_of_the_web(field: str) -> None:
    """A pattern such as `search_*`, for tools of the caller, does not allow it."""
    assert {field, "web_search"} <= set(OPENAI_CHAT.parse(body(**{field: {"mode": "on"}})).tools)


@pytest.mark.parametrize("value", ['{"tools": []}', [{"tools": []}], 7])
def test_a_wrapper_is_an_object(value: object) -> None:
    """Wrappers that some servers unpack are read here in the same way."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(extra_body=value))
    assert caught.value.param == "extra_body"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "other"}]},
        {"extra_body": {"tools": [{"type": "x", "model": "other"}]}},
        {"extra_body": {"extra_body": {"model": "other"}}},
        {"extra_body": {"extra_body": {"fallbacks": ["other"]}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("codec", [OPENAI_CHAT, ANTHROPIC_MESSAGES], ids=lambda codec: codec.name)
def test_a_tool_names_no_other_model(codec: Codec, fields: dict[str, Any]) -> None:
    """A call is judged and priced as one model, in wrappers too; the model's own name passes."""
    with pytest.raises(Refusal, match="another model"):
        codec.parse(body(max_tokens=9, **fields))
    codec.parse(json.loads(json.dumps(body(max_tokens=9, **fields)).replace("other", "echo")))
