"""Notifications of a server within the event stream of its answer: progress and messages of a log. Without IO."""

from __future__ import annotations

from gateway.call import Json
from gateway.dialects import mcp

PROGRESS = "notifications/progress"
MESSAGE = "notifications/message"
COMPLETE = "notifications/elicitation/complete"


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
        case "notifications/message" if params.get("level") in mcp.LEVELS and "data" in params:
            kept = {"level": params["level"], "data": params["data"]}
            if type(params.get("logger")) is str:
                kept["logger"] = params["logger"]
            return {"method": MESSAGE, "params": kept}
        case "notifications/elicitation/complete" if type(params.get("elicitationId")) is str:
            return {"method": COMPLETE, "params": {"elicitationId": params["elicitationId"]}}
    return None


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
