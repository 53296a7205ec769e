"""The tools of a request in Gemini's dialect: functions, and tools that the provider runs.

`tools` is a list of objects; each key of such an object is a tool of the provider (`googleSearch`, `codeExecution`),
or a list of functions (`functionDeclarations`) or servers (`mcpServers`). Tools of the provider are known by their key
in camel case. Fields that the dialect does not have are searched as those of the other dialects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import hosted as runs
from gateway.dialects import openai_tools
from gateway.dialects.checks import wrong
from gateway.dialects.gemini_fields import BODY, CONTENT, PART, SETTINGS
from gateway.dialects.gemini_tables import camel, each_part, field, snake, spelled
from gateway.dialects.toolnames import normal

_NAMING: Final = ("functionDeclarations", "mcpServers")
_FOLDED: Final = frozenset(map(str.lower, _NAMING))
_FOREIGN: Final = frozenset({"type", "name", "function", "input_schema", "server_label"})  # keys of other dialects
_EXCLUDED: Final = "excludedPredefinedFunctions"
_COMPUTER: Final = (
    *("open_web_browser", "wait_5_seconds", "go_back", "go_forward", "search", "navigate", "click_at", "hover_at"),
    *("type_text_at", "key_combination", "scroll_document", "scroll_at", "drag_and_drop"),
)
_ALLOWED: Final = "allowedFunctionNames"


def names(body: Json) -> tuple[str, ...]:
    """Every name of a tool in a request, without duplicates, in order. Raises Refusal(invalid_request)."""
    found: dict[str, None] = {}
    for entry in _entries(body):
        found.update(dict.fromkeys(_of(entry)))
    calling = _calling(body)
    allowed = field(calling, _ALLOWED) if calling is not None else None
    if allowed is not None:
        if type(allowed) is not list:
            raise wrong("toolConfig", f"must have a list of names in `{_ALLOWED}`")
        found.update(dict.fromkeys(map(_name, allowed)))
    for holder, known in _holders(body):
        found.update(dict.fromkeys(openai_tools.names(_strange(holder, known))))
    return tuple(found)


def hosted(body: Json) -> list[Json]:
    """The tools that the provider runs, as objects: see `dialects.hosted`."""
    found = runs.shown(_hosted(body))
    for holder, known in _holders(body):
        found += runs.of(_strange(holder, known))
    return found


def _hosted(body: Json) -> Iterator[tuple[str, str, str]]:
    for entry in _entries(body):
        for key, value in entry.items():
            if value is not None and camel(key) != "functionDeclarations":
                yield from runs.run(camel(key), value)


def _holders(body: Json) -> list[tuple[Json, Mapping[str, object]]]:
    """The objects that may offer tools in fields that the dialect does not have, with the fields that it has."""
    found: list[tuple[Json, Mapping[str, object]]] = [] if body.keys() <= BODY.keys.keys() else [(body, BODY.keys)]
    settings = field(body, "generationConfig")
    if type(settings) is dict and not settings.keys() <= SETTINGS.keys.keys():
        found.append((settings, SETTINGS.keys))
    for message in body.get("contents") or ():
        if not message.keys() <= CONTENT.keys.keys():
            found.append((message, CONTENT.keys))
        found += [(part, PART.keys) for part in each_part(message) if not part.keys() <= PART.keys.keys()]
    return found


def _strange(holder: Json, known: Mapping[str, object]) -> Json:
    """The fields that the dialect does not have."""
    return {key: value for key, value in holder.items() if key not in known}


def _entries(body: Json) -> list[Json]:
    """The objects in `tools`."""
    tools = body.get("tools")
    if tools is None:
        return []
    entries = [tools] if type(tools) is dict else tools
    if type(entries) is not list or not all(type(entry) is dict for entry in entries):
        raise wrong("tools", "must be a list of objects")
    return entries


def _of(entry: Json) -> Iterator[str]:
    for key, value in entry.items():
        if key in _FOREIGN:
            raise wrong("tools", f"holds `{key}`: declare functions in `functionDeclarations`")
        if snake(key) != key and snake(key) in entry:
            raise wrong("tools", f"gives `{key}` twice, also as `{snake(key)}`")
        if value is None:
            continue
        if camel(key) not in _NAMING:
            if key.replace("_", "").lower() in _FOLDED:
                raise wrong("tools", f"holds `{key[:64]}`: names of fields are case-sensitive")
            if not 0 < len(key) <= openai_tools.MAX_NAME:
                raise wrong("tools", "holds a tool without a name")
            yield camel(key)
            if camel(key) == "computerUse":
                yield from _used(value)
            continue
        declared = [value] if type(value) is dict else value
        if type(declared) is not list or not all(type(one) is dict for one in declared):
            raise wrong("tools", f"must have objects in `{key}`")
        for one in declared:
            yield _name(one.get("name"))


def _used(value: Any) -> Iterator[str]:
    """The functions of `computerUse`, which the provider declares and the client runs."""
    excluded = field(value, _EXCLUDED) if type(value) is dict else None
    left = set(filter(lambda one: type(one) is str, excluded)) if type(excluded) is list else set()
    yield from (name for name in _COMPUTER if name not in left)


def _name(said: Any) -> str:
    if type(said) is not str or not 0 < len(said) <= openai_tools.MAX_NAME:
        raise wrong("tools", f"must name each tool with a string of 1 to {openai_tools.MAX_NAME} characters")
    return said


def _calling(body: Json) -> Json | None:
    """`toolConfig.functionCallingConfig`. Raises Refusal(invalid_request)."""
    config = field(body, "toolConfig")
    if config is None:
        return None
    if type(config) is not dict:
        raise wrong("toolConfig", "must be an object")
    calling = field(config, "functionCallingConfig")
    if calling is not None and type(calling) is not dict:
        raise wrong("toolConfig", "must have an object in `functionCallingConfig`")
    if calling is not None and field(calling, "streamFunctionCallArguments"):
        raise wrong("toolConfig", "must not ask for arguments in pieces: a tool call is judged as a whole")
    return calling


def declared(body: Json) -> list[Json]:
    """The functions that a checked request declares."""
    return [one for entry in _entries(body) for one in _list(entry, "functionDeclarations")]


def _list(entry: Json, name: str) -> list[Json]:
    value = field(entry, name)
    return [value] if type(value) is dict else value if type(value) is list else []


def strip(body: Json, unwanted: frozenset[str]) -> bool:
    """Remove tools from those offered, and a choice among functions that names one of them; True if any was there."""
    forms = {normal(name) for name in unwanted}

    def goes(name: str) -> bool:
        return name in unwanted or normal(name) in forms or normal(snake(name)) in forms

    changed = False
    for entry in _entries(body):
        changed |= _strip(entry, goes)
    if changed:
        body["tools"] = [entry for entry in _entries(body) if entry]
        if not body["tools"]:
            del body["tools"]
    calling = _calling(body)
    allowed = calling and field(calling, _ALLOWED)
    if calling is not None and (not body.get("tools") if changed else False):
        _unchoose(body)
        return True
    if calling is not None and allowed and any(map(goes, allowed)):
        if left := [name for name in allowed if not goes(name)]:
            calling[spelled(calling, _ALLOWED)] = left
        else:
            _unchoose(body)
        changed = True
    for holder, known in _holders(body):
        kept = strange = _strange(holder, known)
        if strange and openai_tools.strip(kept := dict(strange), unwanted):
            for key in strange.keys() - kept.keys():
                del holder[key]
            holder.update(kept)
            changed = True
    return changed


def _strip(entry: Json, goes: Callable[[str], bool]) -> bool:
    """Remove the unwanted tools of one object."""
    changed = False
    for key in list(entry):
        name = camel(key)
        if name not in _NAMING:
            if goes(name):
                del entry[key]
                changed = True
            elif name == "computerUse" and (unwanted := [one for one in _used(entry[key]) if goes(one)]):
                _exclude(entry, key, unwanted)
                changed = True
            continue
        before = _list(entry, name)
        left = [one for one in before if not goes(one["name"])]
        if len(left) < len(before):
            changed = True
            if left:
                entry[key] = left
            else:
                del entry[key]
    return changed


def _exclude(entry: Json, key: str, unwanted: list[str]) -> None:
    """Add to the functions of `computerUse` that are excluded."""
    uses: Json = entry[key] if type(entry[key]) is dict else {}
    excluded = field(uses, _EXCLUDED)
    before = excluded if type(excluded) is list else []
    entry[key] = {**uses, spelled(uses, _EXCLUDED): [*before, *unwanted]}


def _unchoose(body: Json) -> None:
    """Remove the choice among functions."""
    config = body[spelled(body, "toolConfig")]
    del config[spelled(config, "functionCallingConfig")]
    if not config:
        del body[spelled(body, "toolConfig")]
