"""The tools of a chat request: finds their names in every field, and removes them.

`tools` is not the only field that offers tools. Older fields (`functions`, `function_call`), the choice of a tool
(`tool_choice`, also a list of allowed tools), tools that a provider runs (`web_search_options`, `plugins`), lists in
messages, wrappers that some servers unpack (`extra_body`), and fields of one provider that contain such fields
(`compound_custom`) do so as well. A policy must see all of them.

An entry that a server and a policy could read as different tools is refused: two names, a kind in addition to the
declared kind, a field that differs from a known field only in case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from gateway.bodies import Json
from gateway.budget import once
from gateway.dialects.checks import wrong
from gateway.dialects.openai_fields import KNOWN
from gateway.dialects.toolnames import normal

LISTS = ("tools", "functions")
CHOICES = ("tool_choice", "function_call")
# Known fields: some servers ignore case, and would read a field that differs only in case.
_EXACT = frozenset(
    {*LISTS, *CHOICES, "model", "messages", "stream", "n", "best_of", "max_tokens", "max_completion_tokens"}
    | {"max_new_tokens", "max_output_tokens", "service_tier", "stream_options", "extra_body"}
)
_NO_TOOL = frozenset(
    {"parallel_tool_calls", "max_tool_calls", "tool_resources"}
)  # fields next to tools that are not tools
# Names of fields that enable a tool of the provider.
_RUN = re.compile(
    r"(?:^|_)(?:tools?|functions?|plugins?|mcp|connectors?|(?:web)?search|web|brows(?:e|er|ing)|interpreter"
    r"|execution|retrieval|grounding|data_?sources?|toolsets?|toolbox|toolkits?|skills?|knowledge_?bases?|sandbox"
    r"|computer_use|image_generation|integrations?|url_context|deep_research)(?:_|$)"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# The name of the tool, if the field has a different name.
CALLED = dict.fromkeys(
    ("web_search_options", "search_parameters", "search_mode", "search_options", "search_settings"), "web_search"
)
DECLARED = frozenset({"function", "custom"})  # types of entries with a name, whose tools the caller runs
_WRAPPERS = frozenset({*DECLARED, "tool"})
NEVER_NAMED = frozenset({"parameters", "input_schema", "headers", "user_location", "annotations", "metadata"})
NESTED = frozenset({"tools", "functions", "function_declarations", "functiondeclarations", "allowed_tools"})
# Fields that enable nothing, with other values than switches below them.
_OFF = re.compile(r"(?:disabled?|excluded?|clear|max|no)_")
_SCHEMA = frozenset({"properties", "$defs", "definitions", "patternProperties", "required", "enum"})
# A list of names below these fields is a list of tools.
_LISTED = re.compile(r"(?:^|_)(?:(?:tools?|functions?|plugins?|connectors?|skills?)(?:_(?:names?|ids?|list))?|names)$")
_ON = frozenset({"on", "true", "auto", "enabled", "required", "always"})
_MESSAGE = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "reasoning_content"})
_MODES = frozenset({"none", "auto", "required", "any", "validated", ""})
# Fields with the name of a tool, next to a type that the provider runs.
LABELS = ("server_label", "id", "mcp_server_name", "toolset_name", "connector_id", "skill_id")
_PART = frozenset(
    {"type", "text", "image_url", "input_audio", "file", "cache_control", "content", "id", "name", "input"}
)
CHANGES = "tool_changes"  # a field of a block that changes the tools of a conversation
_PAST = frozenset({"executed", "used", "called"})  # words of fields that report past tool calls
# Fields for a server of tools: the tools that it may run, and the settings of each.
_SERVED = frozenset({"allowed_tools", "tool_configuration", "require_approval", "configs"})
_NAMING = frozenset({"name", "id", "type", *LABELS})
_DEPTH = 4  # maximum depth of lists of tools in lists of tools
MAX_NAME = 256


def runs(field: str) -> bool:
    """Whether a field has the name of a switch for a tool of the provider."""
    known = _KNOWN_RUNS.get(field)
    return _may_run(field) if known is None else known


@once
def _may_run(field: str) -> bool:
    return field not in _EXACT and _RUN.search(_HUMP.sub("_", field[:128]).lower().replace("-", "_")) is not None


_KNOWN_RUNS = {field: _may_run(field) for field in KNOWN | _EXACT}


def _hosts(field: str, value: Any) -> bool:
    """Whether a field enables a tool of the provider: by its name, or by a field below it."""
    if runs(field):
        return True
    if field in KNOWN or field in _EXACT or (type(value) is not dict and type(value) is not list):
        return False
    return next(_switches(value), None) is not None


def _switches(value: Any, depth: int = 0) -> Iterator[str]:
    """The names of the tools that a field enables: keys with such names, and names in their lists."""
    if type(value) is list:
        for one in value:
            yield from _switches(one, depth)
    elif type(value) is dict and depth <= 2 * _DEPTH:
        for key, inner in value.items():
            if key in NEVER_NAMED or key in _SCHEMA or _OFF.match(key) is not None:
                continue
            if (key in LISTS or runs(key)) and key not in _NO_TOOL:
                yield from _switched(key, inner)
            yield from _switches(inner, depth + 1)


def _switched(key: str, value: Any) -> Iterator[str]:
    """The tools that a key below a field enables by its value."""
    if type(value) is list and _lists(key):
        yield from (one for one in value if type(one) is str and 0 < len(one) <= 64)
        yield from _named(value)
    elif value is True or isinstance(value, dict | list) or (type(value) is str and value.lower() in _ON):
        yield key


def names(body: Json) -> tuple[str, ...]:
    """Every name of a tool in a request, without duplicates, in order. Raises Refusal(invalid_request)."""
    found: dict[str, None] = {}
    for field, value in offers(body):
        found.update(dict.fromkeys(_of(field, value)))
    return tuple(found)


def strip(body: Json, unwanted: frozenset[str]) -> bool:
    """Remove tools from every field that names them; True if any was there.

    Names are compared in normal form: a policy that removes `send_mail` also removes `Send-Mail`.
    """
    forms = {normal(name) for name in unwanted}

    def goes(name: str) -> bool:
        return name in unwanted or normal(name) in forms

    changed = False
    holder: Any = body
    while type(holder) is dict:  # wrappers in wrappers
        changed |= _strip(holder, goes)
        holder = holder.get("extra_body")
    for message, key in list(_offering(body)):
        changed |= _strip_lists(message, goes)
        if key not in LISTS and any(map(goes, switch(key, message[key]))):
            del message[key]
            changed = True
    return changed


def _offering(body: Json) -> Iterator[tuple[Json, str]]:
    """Messages that offer tools, as some servers let them, and the field in which they do."""
    for message in body.get("messages") or ():
        if not message.keys() <= _MESSAGE:
            yield from ((message, key) for key in message if _offers(key))
        parts = message.get("content")
        for part in parts if type(parts) is list else ():
            if type(part) is dict and not part.keys() <= _PART:
                yield from ((part, key) for key in part if key == CHANGES or (key.endswith("s") and _offers(key)))


@once
def _offers(key: str) -> bool:
    """Whether a field of a message is called as a list of tools is."""
    return key not in _MESSAGE and _lists(key) and form(key).partition("_")[0] not in _PAST


def form(key: str) -> str:
    """The name of a field in lower case, with underscores."""
    return _HUMP.sub("_", key[:128]).lower().replace("-", "_")


@once
def _lists(key: str) -> bool:
    """Whether a field has the name of one with names of tools."""
    return _LISTED.search(form(key)) is not None


def offers(body: Json) -> Iterator[tuple[str, Any]]:
    """The fields of a request that offer or choose tools, in any place, with their values.

    Raises Refusal(invalid_request).
    """
    for key, value in body.items():
        if key in _EXACT:
            if key in LISTS or key in CHOICES:
                yield key, value
        elif key.casefold() in _EXACT:
            raise wrong(key[:64], f"must be written `{key.casefold()}`")
        elif _hosts(key, value):
            yield key, value
    extra = body.get("extra_body")
    if type(extra) is dict:
        yield from offers(extra)
    elif extra is not None:
        raise wrong("extra_body", "must be an object")
    for message, key in _offering(body):
        yield key, message[key]


def _of(field: str, value: Any) -> list[str]:
    """The names of tools in one field."""
    if value is None:
        return []
    if field in LISTS:
        return _entries(field, value, 0)
    if field in CHOICES:
        return _choice(field, value)
    return switch(field, value)


def _entries(field: str, value: Any, depth: int) -> list[str]:
    if type(value) is not list:
        raise wrong(field, "must be a list")
    if depth > _DEPTH:
        raise wrong(field, "must not hold lists of tools so deep inside each other")
    found: list[str] = []
    for entry in value:
        if type(entry) is not dict:
            raise wrong(field, "must be a list of objects")
        found += _entry(field, entry, depth)
    return found


def _entry(field: str, entry: Json, depth: int = 0) -> list[str]:
    """The names of one entry: of its function or custom tool, or the type of a tool that the provider runs."""
    kind = entry.get("type")
    if kind is not None and type(kind) is not str:
        raise wrong(field, "must hold tools whose type is a string")
    own = kind if kind in DECLARED else None
    declared = [key for key in sorted(DECLARED) if entry.get(key) is not None]
    if len(declared) > 1 or (own is not None and declared not in ([], [own])):
        raise wrong(field, f"holds a tool that is more than one thing ({', '.join(declared)}); send an entry for each")
    found: dict[str, None] = {}
    named: set[str] = set()
    if kind and own is None:
        found[kind] = None
    for key, value in entry.items():
        folded = key.casefold()
        if folded in ("type", "name", *DECLARED) and folded != key:
            raise wrong(field, f"holds `{key[:64]}`, which must be written `{folded}`")
        if key == "name" or (own is None and key in LABELS and kind):
            _take(field, value, found, named if key == "name" else None)
        elif folded in NESTED and type(value) is list and all(type(one) is dict for one in value):
            found.update(dict.fromkeys(_entries(field, value, depth + 1)))
        elif own is None and key in _SERVED:
            found.update(dict.fromkeys(_served(key, value)))
        elif key in declared or (key not in NEVER_NAMED and type(value) is dict):
            _inside(field, key, value, found, named, depth)
        else:
            found.update(dict.fromkeys(_listed(key, value)))
    if len(named) > 1:
        raise wrong(field, "holds a tool with two names, and one entry is one tool")
    if not found:
        raise wrong(field, "holds a tool without a name")
    return list(found)


def _listed(key: str, value: Any) -> Iterator[str]:
    """The names in a field of an entry that lists tools by name."""
    if key != "type" and (type(value) is list or type(value) is str) and _lists(key):
        yield from (one for one in ([value] if type(value) is str else value) if type(one) is str and one)


def _served(key: str, value: Any) -> Iterator[str]:
    """The tools of a server that an entry allows, or sets something for."""
    if type(value) is list:
        for one in value:
            yield from (one,) if type(one) is str and 0 < len(one) <= MAX_NAME else _named(one)
    elif type(value) is dict and key == "configs":
        yield from (
            name for name, set_ in value.items() if name and not (type(set_) is dict and set_.get("enabled") is False)
        )
    elif type(value) is dict:
        for inner in value.values():
            yield from _served(key, inner)


def _inside(field: str, key: str, value: Any, found: dict[str, None], named: set[str], depth: int) -> None:
    """Add the name in an object inside an entry."""
    if type(value) is not dict:
        raise wrong(field, f"must hold objects under `{key}`")
    if "name" in value:
        _take(field, value["name"], found, named)
    elif key in DECLARED:
        raise wrong(field, "holds a tool without a name")
    elif runs(key):
        found[key] = None
    for inner, nested in value.items():
        folded = inner.casefold()
        if folded == "name" and inner != "name":
            raise wrong(field, f"holds `{inner[:64]}`, which must be written `name`")
        if inner in _WRAPPERS and type(nested) is dict and "name" in nested:
            _take(field, nested["name"], found, named)
        found.update(dict.fromkeys(_listed(inner, nested)))
        if folded in NESTED and type(nested) is list and all(type(one) is dict for one in nested):
            found.update(dict.fromkeys(_entries(field, nested, depth + 1)))


def _take(field: str, name: Any, found: dict[str, None], named: set[str] | None) -> None:
    if type(name) is not str or not 0 < len(name) <= MAX_NAME:
        raise wrong(field, f"must name each tool with a string of 1 to {MAX_NAME} characters")
    found[name] = None
    if named is not None:
        named.add(name)


def _choice(field: str, value: Any, depth: int = 0) -> list[str]:
    """The tools that a choice names: one tool, or the allowed tools."""
    if type(value) is str:
        return [] if value in _MODES else [value]
    if type(value) is not dict:
        raise wrong(field, "must be a string or an object")
    found: dict[str, None] = {}
    kind = value.get("type")
    if type(kind) is str and kind not in DECLARED | _MODES | {"allowed_tools", "tool"}:
        found[kind] = None
    for key, inner in value.items():
        if key in ("name", *LABELS):
            _take(field, inner, found, None)
        elif key.casefold() in NESTED and type(inner) is list:
            found.update((name, None) for one in inner for name in _allowed(field, one))
        elif type(inner) is dict and depth < _DEPTH:
            found.update(dict.fromkeys(_choice(field, inner, depth + 1)))
        else:
            found.update(dict.fromkeys(_listed(key, inner)))
    return list(found)


def _allowed(field: str, one: Any) -> list[str]:
    """A tool in a list of allowed tools: an entry as in `tools`, or only a name."""
    if type(one) is str:
        return [one]
    if type(one) is not dict:
        raise wrong(field, "must list tools as objects or names")
    return _entry(field, one)


def switch(field: str, value: Any) -> list[str]:
    """The tools of the provider that a field enables; none if the field disables them."""
    if value is None or value is False or value == "none" or field in _NO_TOOL:
        return []
    found = {field: None, CALLED.get(field, field): None}
    for one in value if type(value) is list else [value]:
        if type(one) is str and 0 < len(one) <= 64 and type(value) is list:
            found[one] = None
        elif type(one) is dict:
            found.update(dict.fromkeys(_named(one)))
            found.update(dict.fromkeys(_switches(one)))
    return list(found)


def _named(value: Any, depth: int = 0) -> Iterator[str]:
    """All names below a value in the place of a name."""
    if type(value) is list:
        for one in value:
            yield from _named(one, depth)
    elif type(value) is dict and depth <= 2 * _DEPTH:
        for key, inner in value.items():
            if type(inner) is str:
                if key.casefold() in _NAMING and 0 < len(inner) <= MAX_NAME:
                    yield inner
            elif key not in NEVER_NAMED:
                yield from _named(inner, depth + 1)


def _strip_lists(holder: Json, goes: Callable[[str], bool]) -> bool:
    changed = False
    for field in [key for key in LISTS if key in holder]:
        offered = holder[field] or ()
        kept = [entry for entry in offered if not any(map(goes, _entry(field, entry)))]
        if len(kept) != len(offered):
            changed = True
            holder[field] = kept
            if not kept:
                del holder[field]
    return changed


def _strip(holder: Json, goes: Callable[[str], bool]) -> bool:
    """Remove tools from the fields of a body, and the tool choice with the last tool."""
    changed = _strip_lists(holder, goes)
    for field in [key for key, value in holder.items() if _hosts(key, value)]:
        if any(map(goes, switch(field, holder[field]))):
            del holder[field]
            changed = True
    for field in CHOICES:
        if holder.get(field) is not None and any(map(goes, _choice(field, holder[field]))):
            del holder[field]
            changed = True
    if changed and not any(holder.get(field) for field in LISTS):
        for field in (*CHOICES, "parallel_tool_calls"):
            holder.pop(field, None)
    return changed
