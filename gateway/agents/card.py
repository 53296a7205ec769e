"""Agent cards: where an agent is to be called, and the card that callers of the gateway see.

Of a card, only what the gateway serves is shown, with the gateway's own address and its bearer keys. Signatures are
left out, because they are about another text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from yarl import URL

from gateway.call import Json

PATH: Final = "/.well-known/agent-card.json"
LONGEST: Final = 256 * 1024  # bytes of a card
_SHOWN: Final = ("name", "description", "version", "provider", "documentationUrl")
_MODES: Final = ("defaultInputModes", "defaultOutputModes")
_SKILL: Final = ("id", "name", "description", "tags", "examples", "inputModes", "outputModes")


def interfaces(card: Json, base: URL) -> dict[str, str]:
    """Version of the protocol -> URL of its JSON-RPC interface, on the host of `base`."""
    found: dict[str, str] = {}
    listed = card.get("supportedInterfaces")
    for one in listed if type(listed) is list else []:
        if type(one) is dict and one.get("protocolBinding") == "JSONRPC" and not one.get("tenant"):
            _add(found, one.get("protocolVersion"), one.get("url"), base)
    if card.get("preferredTransport", "JSONRPC") == "JSONRPC" and "url" in card:
        _add(found, card.get("protocolVersion", "0.3"), card.get("url"), base)
    others = card.get("additionalInterfaces")
    for one in others if type(others) is list else []:
        if type(one) is dict and one.get("transport") == "JSONRPC":
            _add(found, card.get("protocolVersion", "0.3"), one.get("url"), base)
    return found


def shown(card: Json, versions: Mapping[str, str], url: str) -> Json:
    """The card of an agent at the gateway. `url`: where the gateway serves the agent."""
    made: Json = {name: card[name] for name in (*_SHOWN, *_MODES) if name in card}
    skills = card.get("skills")
    made["skills"] = [
        {name: skill[name] for name in _SKILL if name in skill}
        for skill in (skills if type(skills) is list else [])
        if type(skill) is dict
    ]
    can = card.get("capabilities")
    streams = type(can) is dict and can.get("streaming") is True
    made["capabilities"] = {"streaming": streams, "pushNotifications": False}
    made["supportedInterfaces"] = [
        {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version} for version in versions
    ]
    bearer: Json = {"httpAuthSecurityScheme": {"scheme": "bearer"}}
    made["securityRequirements"] = [{"schemes": {"bearer": {"list": []}}}]
    if "0.3" in versions:  # what clients of 0.3 read, beside what those of 1.0 read
        made |= {"url": url, "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC", "security": [{"bearer": []}]}
        bearer |= {"type": "http", "scheme": "bearer"}
    made["securitySchemes"] = {"bearer": bearer}
    return made


def _add(found: dict[str, str], version: Any, url: Any, base: URL) -> None:
    """Note an interface, unless it is elsewhere or of an unknown version."""
    if type(version) is not str or type(url) is not str:
        return
    short = ".".join(version.split(".")[:2])
    try:
        there = URL(url)
        same = there.origin() == base.origin() and not there.user
    except ValueError:
        return
    if short in ("1.0", "0.3") and same:
        found.setdefault(short, url)
