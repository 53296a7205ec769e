"""Agent cards: where an agent is to be called, and the card that callers of the gateway see.

Of a card, only what the gateway serves is shown, with the gateway's own address and its bearer keys. Signatures are
left out, because they are about another text; `signed` verifies them, and makes the gateway's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from yarl import URL

from gateway.call import Json

PATH: Final = "/.well-known/agent-card.json"
LONGEST: Final = 256 * 1024  # bytes of a card
_VERSION: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,2}")
_SHOWN: Final = ("name", "description", "version", "provider", "documentationUrl")
_MODES: Final = ("defaultInputModes", "defaultOutputModes")
_SKILL: Final = ("id", "name", "description", "tags", "examples", "inputModes", "outputModes")


class Interface(NamedTuple):
    """Where an agent is called. `rest`: over HTTP+JSON, not over JSON-RPC."""

    url: str
    rest: bool = False


def interfaces(card: Json, base: URL) -> dict[str, Interface]:
    """Version of the protocol -> the interface that the gateway calls, on the host of `base`: JSON-RPC, else HTTP+JSON.

    HTTP+JSON is called in version 1.0.
    """
    found: dict[str, Interface] = {}
    listed = [one for one in _list(card.get("supportedInterfaces")) if type(one) is dict and not one.get("tenant")]
    for one in listed:
        if one.get("protocolBinding") == "JSONRPC":
            _add(found, one.get("protocolVersion"), one.get("url"), base)
    if card.get("preferredTransport", "JSONRPC") == "JSONRPC" and "url" in card:
        _add(found, card.get("protocolVersion", "0.3"), card.get("url"), base)
    for one in _list(card.get("additionalInterfaces")):
        if type(one) is dict and one.get("transport") == "JSONRPC":
            _add(found, card.get("protocolVersion", "0.3"), one.get("url"), base)
    for one in listed:
        if one.get("protocolBinding") == "HTTP+JSON":
            _add(found, one.get("protocolVersion"), one.get("url"), base, only="1.0")
    return found


def offered(card: Json) -> list[str]:
    """The bindings of a card as messages name them: those of the protocol, with their versions."""
    names = {"JSONRPC": "JSON-RPC", "GRPC": "gRPC", "HTTP+JSON": "HTTP+JSON"}
    listed = [(one.get("protocolBinding"), one.get("protocolVersion")) for one in _dicts(card, "supportedInterfaces")]
    listed += [(one.get("transport"), card.get("protocolVersion")) for one in _dicts(card, "additionalInterfaces")]
    if "url" in card:
        listed.append((card.get("preferredTransport", "JSONRPC"), card.get("protocolVersion", "0.3")))
    return sorted({f"{names[kind]} {_short(version)}".strip() for kind, version in listed if kind in names})


def shown(
    card: Json,
    versions: Collection[str],
    url: str,
    *,
    pushes: bool = False,
    readers: Collection[str] = ("1.0", "0.3"),
) -> Json:
    """The card of an agent at the gateway. `url`: where the gateway serves the agent; `pushes`: notifications pass.

    `readers`: the versions of the protocol whose clients read the card.
    """
    made: Json = {name: card[name] for name in (*_SHOWN, *_MODES) if name in card}
    made["skills"] = [{name: skill[name] for name in _SKILL if name in skill} for skill in _dicts(card, "skills")]
    made["capabilities"] = {
        "streaming": _can(card, "streaming"),
        "pushNotifications": pushes and _can(card, "pushNotifications"),
    }
    if is_extended(card):
        made["capabilities"]["extendedAgentCard"] = True
    made["supportedInterfaces"] = [
        {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version} for version in versions
    ]
    if "1.0" in versions:
        made["supportedInterfaces"].append({"url": url, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"})
    bearer: Json = {"httpAuthSecurityScheme": {"scheme": "bearer"}}
    made["securityRequirements"] = [{"schemes": {"bearer": {"list": []}}}]
    if "0.3" in versions and "0.3" in readers:  # what clients of 0.3 read, beside what those of 1.0 read
        made |= {"url": url, "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC", "security": [{"bearer": []}]}
        made["supportsAuthenticatedExtendedCard"] = is_extended(card)
        bearer |= {"type": "http", "scheme": "bearer"}
    made["securitySchemes"] = {"bearer": bearer}
    return made


def is_extended(card: Json) -> bool:
    """Whether the agent has another card for callers that it knows."""
    return _can(card, "extendedAgentCard") or card.get("supportsAuthenticatedExtendedCard") is True


def chosen(card: Json, skills: Mapping[str, Sequence[str]], roles: Collection[str]) -> Json:
    """The card with the skills that callers with these roles see. `skills`: role -> patterns of ids; empty: all."""
    if not skills:
        return card
    patterns = [pattern for role, some in skills.items() if role in roles for pattern in some]
    seen = [it for it in card["skills"] if any(fnmatchcase(str(it.get("id")), pattern) for pattern in patterns)]
    return {**card, "skills": seen}


def _can(card: Json, capability: str) -> bool:
    can = card.get("capabilities")
    return type(can) is dict and can.get(capability) is True


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _dicts(card: Json, name: str) -> list[Json]:
    return [one for one in _list(card.get(name)) if type(one) is dict]


def _short(version: Any) -> str:
    """A version as messages name it; "" for anything else."""
    return version if type(version) is str and _VERSION.fullmatch(version) else ""


def _add(found: dict[str, Interface], version: Any, url: Any, base: URL, only: str = "") -> None:
    """Note an interface, unless it is elsewhere or of an unknown version. `only`: the version of a further binding."""
    if type(version) is not str or type(url) is not str:
        return
    short = ".".join(version.split(".")[:2])
    try:
        there = URL(url)
        same = there.origin() == base.origin() and not there.user
    except ValueError:
        return
    if same and short in ((only,) if only else ("1.0", "0.3")):
        found.setdefault(short, Interface(url, bool(only)))
