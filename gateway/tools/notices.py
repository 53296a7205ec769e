"""Notifications of a server within the event stream of its answer: progress and messages of a log. Without IO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.call import Json
from gateway.dialects import mcp_names
from gateway.dialects.mcp_questions import Task

PROGRESS = "notifications/progress"
CANCELLED = "notifications/cancelled"
MESSAGE = "notifications/message"
CHANGED = {kind: f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")}
UPDATED = "notifications/resources/updated"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
COMPLETE = "notifications/elicitation/complete"
TASK_STATUS = "notifications/tasks/status"
TASK_CHANGED = "notifications/tasks"
"""The same in the later era."""


class Beside(NamedTuple):
    """What belongs to a notification beside method and parameters. See `mcp_questions.complete`.

    `task`: whose tool says this; None for what no task says.
    """

    task: Task | None = None
    added: Mapping[tuple[str | int, ...], object] = {}
    asks: Mapping[str, object] | None = None
    keys: Mapping[str, str] = {}


NOTHING_BESIDE: Final = Beside()


def passed(said: Json, token: str) -> Json | None:
    """What may be passed on of a notification, as method and parameters; None for one that may not.

    `token`: the progress token that the server got with the call.
    """
    params = said.get("params")
    if type(params) is not dict:
        return None
    match said.get("method"):
        case "notifications/progress" if params.get("progressToken") == token and _is_number(params.get("progress")):
            kept = {"progress": params["progress"]}
            if _is_number(params.get("total")):
                kept["total"] = params["total"]
            if type(params.get("message")) is str:
                kept["message"] = params["message"]
            return {"method": PROGRESS, "params": kept}
        case "notifications/message" if params.get("level") in mcp_names.LEVELS and "data" in params:
            kept = {"level": params["level"], "data": params["data"]}
            if type(params.get("logger")) is str:
                kept["logger"] = params["logger"]
            return {"method": MESSAGE, "params": kept}
        case "notifications/elicitation/complete" if type(params.get("elicitationId")) is str:
            return {"method": COMPLETE, "params": {"elicitationId": params["elicitationId"]}}
    return None


def news(said: Json) -> Json | None:
    """What may be passed on of a notification without a request, as method and parameters; None if it may not."""
    method, params = said.get("method"), said.get("params")
    if method in CHANGED.values():
        return {"method": method, "params": {}}
    if method == UPDATED and type(params) is dict and type(params.get("uri")) is str:
        return {"method": method, "params": {"uri": params["uri"]}}
    return passed(said, "") if method != PROGRESS else None


def acknowledged(said: Json, wanted: Json) -> Json | None:
    """That a server tells what was asked for, of what was `wanted`; None for another notification."""
    params = said.get("params")
    told = params.get("notifications") if type(params) is dict else None
    if said.get("method") != ACKNOWLEDGED or type(told) is not dict:
        return None
    kept: Json = {}
    for key, value in wanted.items():
        uris = told.get(key)
        if value is True and uris is True:
            kept[key] = True
        elif type(value) is list and type(uris) is list:
            said_of = {uri for uri in uris if type(uri) is str}
            kept[key] = [uri for uri in value if uri in said_of]
    return {"method": ACKNOWLEDGED, "params": {"notifications": kept}}


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
