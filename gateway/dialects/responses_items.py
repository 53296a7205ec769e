"""The items of a Responses request: checks, counts, steps of the conversation, the tools that it offers."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.bodies import Json, Named, State, Step, ToolUse
from gateway.dialects import checks, openai_tools
from gateway.dialects import hosted as runs
from gateway.dialects.checks import text
from gateway.dialects.openai_steps import plain, waiting
from gateway.dialects.responses_tables import calls_a_tool, kind, speaks, tool

_LISTS: Final = frozenset({"content", "summary", "output", "outputs", "results", "tools"})
_CONTENT: Final = frozenset({"input", "instructions", "prompt", "text", "metadata"})  # fields without settings
_LOOKED_UP: Final = {"image_generation_call": ("result",), "reasoning": ("encrypted_content", "content", "summary")}
"""Type of an item -> the fields, of which one has what the item is."""
_APART: Final = {"prompt": frozenset({"variables"}), "text": frozenset({"format"})}  # what is content in these fields
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}")
"""The form of the ids of responses, which stand in paths."""
_ASKED: Final = {"custom_tool_call": "input", "local_shell_call": "action", "shell_call": "action"}
_ANY_NAME: Final = ("web_search", "computer")  # tools whose types are dated, or have a suffix


def check(body: Json) -> None:
    """Raise Refusal(invalid_request) for items of a wrong shape, and for state that the provider would hold."""
    said = body.get("input")
    if said is None and type(body.get("prompt")) is dict:
        said = ""
    if type(said) is not str and type(said) is not list:
        raise checks.wrong("input", "must be a string or a list of items")
    for item in said if type(said) is list else ():
        if type(item) is not dict:
            raise checks.wrong("input", "must be a list of objects")
        _check_item(item)
    if type(body.get("instructions")) not in (str, type(None)):
        raise checks.wrong("instructions", "must be a string")
    if body.get("background_options") is not None:
        raise checks.wrong("background_options", "must be left out: retrieve the answer with GET /v1/responses/{id}")
    if body.get("background") not in (None, False):
        _check_background(body)


def _check_background(body: Json) -> None:
    if body["background"] is not True:
        raise checks.wrong("background", "must be true or false")
    if body.get("store") is False:
        raise checks.wrong("store", "must not be false with `background`: the answer is stored until it is retrieved")
    if body.get("stream"):
        words = "must be left out with `stream` here: leave `stream` out, and retrieve the answer when it is complete"
        raise checks.wrong("background", words)


def refers(body: Json) -> list[Named]:
    """The states that a request names: the response or conversation that it continues, and items of earlier answers.

    Raises Refusal(invalid_request) for both of the former, and for what is no id.
    """
    named: list[Named] = []
    if (id := body.get("previous_response_id")) is not None:
        named.append(_named("response", id, "previous_response_id"))
    if (said := body.get("conversation")) is not None:
        id = said.get("id") if type(said) is dict else said
        named.append(_named("conversation", id, "conversation"))
    if len(named) > 1:
        raise checks.wrong("conversation", "must be left out with `previous_response_id`: a call continues one of both")
    return named + [_named("item", item.get("id"), "input") for item in items(body) if refers_to(item)]


def refers_to(item: Json) -> bool:
    """Whether an item is only a reference to one that the provider stores.

    So are an image and reasoning with nothing but an id: the provider would look for the rest.
    """
    said = item.get("type")
    if said is None:
        return "role" not in item
    if said == "message":  # as most are
        return False
    if (whole := _LOOKED_UP.get(text(said))) is not None and item.get("id") is not None:
        return not any(item.get(key) for key in whole)
    return bool(said == "item_reference")


def recalled(body: Json, start: int) -> list[Json]:
    """Reasoning in plain words, with an id: the provider may look for the rest, which is not in the words."""
    return [
        item
        for item in items(body)[start:]
        if item.get("type") == "reasoning" and type(item.get("id")) is str and not item.get("encrypted_content")
        if not refers_to(item)
    ]


def _named(kind: str, id: Any, param: str) -> Named:
    if type(id) is not str or not ID.fullmatch(id):
        raise checks.wrong(
            param, f"must {'refer to items by' if kind == 'item' else 'be'} the id of a{'n' * (kind == 'item')} {kind}"
        )
    return Named(kind, id, param)


def state(answer: Json) -> State | None:
    """What the provider stores of a response; None without an id that a request can name."""
    id = text(answer.get("id"))
    if not ID.fullmatch(id):
        return None
    ids = [it for item in answer["output"] if ID.fullmatch(it := text(item.get("id")))]
    return State(id, [_use(item) for item in answer["output"] if calls_a_tool(item)], ids)


def _check_item(item: Json) -> None:
    said, content, role = item.get("type"), item.get("content"), item.get("role")
    if (said is None or said == "message") and type(role) is str and role.strip() and type(content) is str:
        return  # as most are
    if said is not None and type(said) is not str:
        raise checks.wrong("input", "must hold items whose type is a string")
    if refers_to(item):
        _named("item", item.get("id"), "input")
        return
    if said in (None, "message"):
        if not text(role).strip():
            raise checks.wrong("input", "must hold messages with a role")
        if type(content) is not str and type(content) is not list:
            raise checks.wrong("input", "must hold messages whose content is a string or a list of parts")


def items(body: Json) -> list[Json]:
    """The items of a checked request; a string is a message of the user."""
    said = body.get("input")
    return said if type(said) is list else [{"role": "user", "content": said or ""}]


def count(items: Sequence[Any]) -> tuple[int, int]:
    """The number of parts in items, and the largest number of tool calls that follow each other."""
    parts = calls = most = 0
    for item in items:
        if type(item) is not dict:
            continue
        for key in _LISTS & item.keys():
            if type(item[key]) is list:
                parts += len(item[key])
        calls = calls + 1 if "type" in item and calls_a_tool(item) else 0
        if calls > most:
            most = calls
    return parts, most


def counts(body: Json) -> dict[str, int]:
    """The counts of a request that `items.Caps` limits."""
    said, tools = items(body), body.get("tools")
    parts, calls = count(said)
    tools = len(tools) if type(tools) is list else 0
    return {"messages": len(said), "tools": tools, "parts": parts, "tool_calls": calls}


def messages(body: Json) -> list[Json]:
    """The items as lists of parts that are one text each: see `parts.joined`."""
    said: list[Json] = []
    for item in items(body):
        if len(item) == 2 and type(item.get("content")) is str and "role" in item:  # as most are
            continue
        said += [{"content": item[key]} for key in ("content", "output", "summary") if type(item.get(key)) is list]
    return said


def settings(body: Json) -> Json:
    """The fields of a request except its content. Changes of fields must be written back: see `write_back`."""
    found = {**body}
    for key in _CONTENT & body.keys():
        del found[key]
    if not _APART.keys().isdisjoint(body):
        for key, apart in _APART.items():
            if type(held := body.get(key)) is dict:
                found[key] = {name: value for name, value in held.items() if name not in apart}
    return found


def write_back(body: Json, settings: Json) -> None:
    """Write changed settings to their request."""
    for key in [key for key in body if key not in settings and (key not in _CONTENT or type(body[key]) is dict)]:
        if key not in _CONTENT or key in _APART:
            del body[key]
    for key, value in settings.items():
        kept = {name: body[key][name] for name in _APART[key] & body[key].keys()} if key in _APART else {}
        body[key] = {**value, **kept} if kept else value


def _offered(body: Json, known: Json | None = None) -> Json:
    """The settings, with the items as messages, which may offer tools too."""
    said = body.get("input")
    return {**(settings(body) if known is None else known), "messages": said if type(said) is list else []}


def tools(body: Json, settings: Json | None = None) -> tuple[str, ...]:
    """Every name of a tool in the request, in any field or item. Raises Refusal(invalid_request).

    `settings`: those of the request, if known.
    """
    offered = openai_tools.names(_offered(body, settings))
    if not offered:
        return ()
    names = dict.fromkeys(offered)
    for family in _ANY_NAME:  # `web_search_preview_2025_03_11` is `web_search` to policies, and in answers
        if any(name.startswith(f"{family}_") for name in names):
            names.setdefault(family)
    return tuple(names)


def hosted(body: Json) -> list[Json]:
    """The tools among them that the provider runs, as objects: see `dialects.hosted`."""
    return runs.of(_offered(body))


def strip(body: Json, names: frozenset[str]) -> bool:
    """Remove tools from those offered; True if any was there. An item that offers no tool any longer is removed."""
    families = [family for family in _ANY_NAME if family in names]
    if families:
        mine = openai_tools.names(_offered(body))
        names |= {name for name in mine if any(name.startswith(f"{family}_") for family in families)}
    offered = _offered(body)
    if not openai_tools.strip(offered, names):
        return False
    said = offered.pop("messages")
    if type(body.get("input")) is list:
        kept = [item for item in said if kind(item) != "additional_tools" or item.get("tools")]
        if len(kept) != len(said):
            body["input"] = kept
        for item in kept:
            if kind(item) in ("tool_search_output", "mcp_list_tools"):
                item.setdefault("tools", [])
    write_back(body, offered)
    return True


def steps(said: Sequence[Json], earlier: Sequence[Step] = ()) -> list[Step]:
    """Prompts, turns of the model and tool results after `earlier`, in order.

    Items of the model that follow each other are one turn. A result belongs to an earlier call with its id.
    """
    found: list[Step] = []
    asked: dict[str, deque[ToolUse]] | None = None  # known from the first result on
    uses: list[ToolUse] | None = None
    for item in said:
        if speaks(item):
            uses = [] if uses is None else uses
            if calls_a_tool(item):
                uses.append(_use(item))
            continue
        found += _turn(uses, asked)
        uses = None
        if kind(item).endswith("_output"):
            asked = waiting([*earlier, *found], every=True) if asked is None else asked
            if asking := asked.get(text(item.get("call_id")) or text(item.get("id"))):
                found.append(Step("result", plain(item.get("output")), (asking.popleft(),)))
        elif item.get("role") == "user":
            found.append(Step("prompt", _said(item.get("content"))))
    return [*found, *_turn(uses, asked)]


def _turn(uses: list[ToolUse] | None, asked: dict[str, deque[ToolUse]] | None) -> Iterator[Step]:
    if uses is not None:
        if asked is not None:
            for use in uses:
                asked.setdefault(use.id, deque()).append(use)
        yield Step("turn", "", tuple(uses))


def _said(content: Any) -> str:
    """The content of a message as one text; one text part is read as its text."""
    if type(content) is list and len(content) == 1 and type(content[0]) is dict and set(content[0]) == {"type", "text"}:
        content = content[0]["text"]
    return plain(content)


def _use(item: Json) -> ToolUse:
    arguments = item.get(_ASKED.get(kind(item), "arguments"))
    if arguments is None:
        arguments = item.get("operation") or item.get("action") or ""
    return ToolUse(text(item.get("call_id")) or text(item.get("id")), tool(item), arguments)
