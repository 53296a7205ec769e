"""What clients hear of a server, and of its results: without IO."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

import orjson

from gateway.call import Json
from gateway.dialects import mcp_names
from gateway.dialects.jsonrpc import PARAMS
from gateway.tools.catalogue import Listed
from gateway.tools.schema import fits
from gateway.tools.wire import parsed

_SELF: Final[Json] = {"name": "meshgate", "version": "1"}
_LONGEST_NAME: Final = 128
_READ: Final = "resources/read"
_SHARED: Final = (b"cacheScope", b"\\u00")  # an escape may spell the key
_NO_RESOURCE: Final = -32002  # up to 2025-11-25; later an invalid parameter
_OFFERED: Final = ("resources", "prompts", "completions")


def about(said: Json, *, logs: bool, streams: bool, watches: bool = False) -> Json:
    """What a client hears of a server: what the gateway serves of it, who it is, and its instructions.

    `said`: by the server. `logs`: whether its log can reach the client. `streams`: whether what it tells without a
    request can. `watches`: whether the client can choose resources of which it hears.
    """
    meta = said.get(mcp_names.META)
    info = said.get("serverInfo") or (meta.get(mcp_names.SERVER) if type(meta) is dict else None)
    able = said.get("capabilities")
    wanted = (*_OFFERED, "logging") if logs else _OFFERED
    able = able if type(able) is dict else {}
    offered = {name: able[name] for name in wanted if type(able.get(name)) is dict}
    if type(able.get("tools")) is dict:
        offered = {"tools": able["tools"], **offered}
    tells = [*(("listChanged",) if streams else ()), *(("subscribe",) if watches else ())]
    told: Json = {
        "capabilities": {
            "tools": {},
            **{name: {one: True for one in tells if parts.get(one) is True} for name, parts in offered.items()},
        },
        "serverInfo": info if type(info) is dict else _SELF,
    }
    if type(said.get("instructions")) is str:
        told["instructions"] = said["instructions"]
    return told


def joined(server: str, listed: Sequence[Listed]) -> list[Json]:
    """Tools under the names that they have beside those of other servers, except for names that would be too long."""
    named = [{**one.tool, "name": f"{server}_{one.name}"} for one in listed]
    return [tool for tool in named if len(tool["name"]) <= _LONGEST_NAME]


def keeps(promised: Json, raw: bytes) -> bool:
    """Whether the structured content of a response, if there is any, fits an output schema."""
    return suits(promised, parsed(raw).get("result"))  # what is no response is refused later


def suits(promised: Json, result: object) -> bool:
    """Whether the structured content of a result, if there is any, fits an output schema."""
    if type(result) is not dict or result.get("isError") is True or "structuredContent" not in result:
        return True
    return fits(result["structuredContent"], promised)


def for_earlier_era(raw: bytes, method: str) -> bytes:
    """A response as the earlier era has it. Of what is read, nobody else may keep a copy, whatever the server says."""
    if method != _READ or not any(mark in raw for mark in _SHARED):
        return raw
    said = parsed(raw)
    result = said.get("result")
    if type(result) is not dict or "cacheScope" not in result:
        return raw
    result["cacheScope"] = "private"
    with contextlib.suppress(orjson.JSONEncodeError):  # nested too deep: refused when it is judged
        return orjson.dumps(said)
    return raw


def for_later_era(raw: bytes, method: str) -> bytes:
    """A response as the later era has it: with the type of result, how long it may be kept, and its code of an error.

    What is read is private to the caller, whatever the server says: the gateway judges it for this caller.
    """
    said = parsed(raw)
    result, error = said.get("result"), said.get("error")
    if type(result) is dict:
        result.setdefault("resultType", "complete")
        if method == _READ and result["resultType"] == "complete":
            result.setdefault("ttlMs", 0)
            result["cacheScope"] = "private"
    elif type(error) is dict and error.get("code") == _NO_RESOURCE:
        error["code"] = PARAMS
    else:
        return raw
    with contextlib.suppress(orjson.JSONEncodeError):  # nested too deep: refused when it is judged
        return orjson.dumps(said)
    return raw
