"""Usage, errors and refusals in answers of Gemini's dialect."""

from __future__ import annotations

from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import count, google_rpc, hosted_runs, integer
from gateway.dialects.gemini_tables import candidates, parts
from gateway.errors import Refusal

BLOCKED: Final = "SAFETY"
"""The finish reason of a blocked answer."""


def usage(answer: Json) -> Usage | None:
    """The usage so far (reports are cumulative); None without a plausible report. A missing count is 0 (proto3)."""
    told = answer.get("usageMetadata")
    if type(told) is not dict:
        return None
    prompt, tools = count(told.get("promptTokenCount")), count(told.get("toolUsePromptTokenCount", 0))
    said, thoughts = count(told.get("candidatesTokenCount", 0)), count(told.get("thoughtsTokenCount", 0))
    if prompt is None or tools is None or said is None or thoughts is None:
        return None
    return Usage(
        input=prompt + tools,
        output=said + thoughts,
        cached=integer(told.get("cachedContentTokenCount")),
        reasoning=thoughts,
        audio=_audio(told.get("candidatesTokensDetails")),
        audio_input=_audio(told.get("promptTokensDetails")),
        tier=tier(answer),
        runs=hosted_runs.of_candidates(answer.get("candidates")),
    )


def lists_of_one(answer: Json) -> int:
    """The number of lists of one value in an answer, if all lists have one value: no text goes on in these."""
    found = candidates(answer)
    return 2 if len(found) == 1 and len(parts(found[0])) == 1 else 0


def _audio(details: Any) -> int:
    """The tokens of audio among the tokens of all modalities."""
    if type(details) is not list:
        return 0
    told = [one for one in details if type(one) is dict]
    return sum(integer(one.get("tokenCount")) for one in told if one.get("modality") == "AUDIO")


def tier(answer: Json) -> str:
    """The service tier in the usage; "" if there is none."""
    told = answer.get("usageMetadata")
    said = told.get("serviceTier") if type(told) is dict else None
    return said if type(said) is str and len(said) <= 64 else ""


def error(said: Json) -> Json | None:
    """The object under `error`."""
    found = said.get("error")
    if not found:
        return None
    return found if type(found) is dict else {"message": found}


def refused(refusal: Refusal, request_id: str) -> Json:
    """`{"error": {code, message, status, details}}` with the HTTP status; the refusal's own code is the `reason`."""
    status = google_rpc.STATUSES.get(refusal.status) or ("INVALID_ARGUMENT" if refusal.status < 500 else "INTERNAL")
    info = google_rpc.info(refusal.code, "meshgate", {"request_id": request_id})
    if refusal.param is not None:
        info["metadata"]["param"] = refusal.param
    inner = {"code": refusal.status, "message": refusal.message, "status": status, "details": [info]}
    return {"error": {**inner, **refusal.detail}}


def ended(refusal: Refusal, index: int, reason: str = "") -> Json:
    """A candidate that a refusal ends, with the text `reason` for clients that show only texts."""
    content = {"parts": [{"text": reason}] if reason else [], "role": "model"}
    return {"content": content, "finishReason": BLOCKED, "finishMessage": refusal.message, "index": index}
