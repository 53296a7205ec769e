"""Tools that the provider runs, or defines, as objects: `action.hosted` of a policy's input.

Each object is `{"type", "name", "host"}`. `type`: as the request writes it (`web_search_20250305`, `googleSearch`), or
the name of the field that enables the tool; `mcp` for fields that list MCP servers. `name`: the label of a server or a
tool, otherwise the type. `host`: where the tool goes, one object for each host: that of an address, a connector, or a
domain of a network policy; "" for none, `?` for an address that two parsers may read differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import openai_tools
from gateway.dialects.openai_tools import CHANGES, CHOICES, DECLARED, LABELS, LISTS, MAX_NAME, NESTED, NEVER_NAMED

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]*)?(?:[/?#].*)?", re.I | re.S)
_ADDRESS: Final = re.compile(r"(?:^|_)(?:url|uri|endpoint)$")  # keys with addresses
_PICTURES: Final = frozenset({"image_url", "file_url"})
_SERVERS: Final = frozenset({"mcp_servers", "mcpServers"})
_GROUP: Final = "namespace"  # an entry that only groups functions
_DEPTH: Final = 8
_Tool = tuple[str, str, str]


def of(body: Json) -> list[Json]:
    """The hosted tools of a request, in any field, without duplicates. Raises Refusal(invalid_request)."""
    return shown(_offered(body))


def shown(found: Iterable[_Tool]) -> list[Json]:
    """Hosted tools as JSON."""
    return [{"type": kind, "name": name, "host": host} for kind, name, host in dict.fromkeys(found)]


def run(kind: str, settings: Any) -> Iterator[_Tool]:
    """A tool that a field enables: an object for each of its servers or plugins, if the field lists these."""
    listed = [settings] if type(settings) is dict else settings if type(settings) is list else []
    named = [one for one in listed if type(one) is dict]
    kind = "mcp" if kind in _SERVERS else kind
    for one in named or [{}]:
        yield from ((kind, _name(one) or kind, host) for host in _hosts(one))


def _offered(body: Json) -> Iterator[_Tool]:
    for field, value in openai_tools.offers(body):
        if field in CHOICES or value is None:
            continue
        if field in LISTS:
            yield from _entries(value)
        elif field == CHANGES:
            yield from _entries([_changed(one) for one in (value if type(value) is list else [value])])
        elif openai_tools.switch(field, value):
            yield from run(openai_tools.CALLED.get(field, field), value)


def _changed(change: Any) -> Any:
    """The tool that a change of the tools adds or removes."""
    return change["tool"] if type(change) is dict and type(change.get("tool")) is dict else change


def _entries(entries: Any) -> Iterator[_Tool]:
    for entry in entries if type(entries) is list else ():
        if type(entry) is not dict:
            continue
        kind = entry.get("type")
        if kind in DECLARED:
            continue
        if kind and kind != _GROUP:
            yield from ((kind, _name(entry) or kind, host) for host in _hosts(entry))
        for key, value in entry.items():
            if key.casefold() in NESTED:
                yield from _entries(value)
            elif not kind and key not in DECLARED and isinstance(value, dict | list) and openai_tools.runs(key):
                yield from run(key, value)


def _name(entry: Json) -> str:
    for holder in (entry, *(entry[key] for key in DECLARED if type(entry.get(key)) is dict)):
        for key in ("name", *LABELS):
            if type(name := holder.get(key)) is str and 0 < len(name) <= MAX_NAME:
                return name
    return ""


def _hosts(entry: Json) -> list[str]:
    """Where a tool goes; [""] without any host."""
    found = dict.fromkeys(_named(entry, 0))
    connector = entry.get("connector_id")
    if not found and type(connector) is str and connector:
        found[connector[:MAX_NAME]] = None
    return list(found) or [""]


def _named(value: Any, depth: int) -> Iterator[str]:
    if type(value) is list:
        for one in value:
            yield from _named(one, depth + 1)
    elif type(value) is dict and depth <= _DEPTH:
        for key, inner in value.items():
            if type(inner) is str and inner:
                if key not in _PICTURES and _ADDRESS.search(openai_tools.form(key)):
                    yield _host(inner)
            elif key == "network_policy" and type(inner) is dict and type(inner.get("allowed_domains")) is list:
                yield from (one.lower() if type(one) is str else "?" for one in inner["allowed_domains"])
            elif key not in NEVER_NAMED and key.casefold() not in NESTED:
                yield from _named(inner, depth + 1)


def _host(address: str) -> str:
    found = _URL.fullmatch(address)
    return found[1].lower().rstrip(".") if found else "?"
