"""Providers that refuse what the real ones refuse, by format: the reason why a request is refused, or "".

By the published schemas: OpenAI chat/create, Anthropic messages/create, Gemini models.generateContent.
"""

from __future__ import annotations

import json
import re
from typing import Any

import upstream
from gateway.translate.words import names

_CHAT = names(
    "model messages tools tool_choice parallel_tool_calls max_tokens max_completion_tokens stop response_format "
    "reasoning_effort temperature top_p seed frequency_penalty presence_penalty user stream stream_options n store "
    "metadata service_tier"
)
_MESSAGES = names(
    "model messages system max_tokens temperature top_p top_k stop_sequences stream tools tool_choice thinking "
    "output_config metadata service_tier"
)
_GEMINI = names("contents systemInstruction tools toolConfig generationConfig safetySettings")
_CONFIG = names(
    "maxOutputTokens stopSequences temperature topP topK seed frequencyPenalty presencePenalty responseMimeType "
    "responseJsonSchema responseSchema thinkingConfig candidateCount"
)
_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")


def reason(seen: upstream.Seen) -> str:
    """Why the provider refuses a request."""
    if seen.path.endswith("/responses"):  # the format of the caller, sent as it came
        return ""
    check = _messages if "/messages" in seen.path else _gemini if "/models/" in seen.path else _chat
    try:
        return check(seen.body) or ""
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as fault:
        return f"a malformed request: {fault!r}"


def _unknown(body: dict[str, Any], known: frozenset[str], where: str = "") -> str | None:
    extra = body.keys() - known
    return f"unknown fields {where}{sorted(extra)}" if extra else None


def _chat(body: dict[str, Any]) -> str | None:
    if found := _unknown(body, _CHAT):
        return found
    if ("tool_choice" in body or "parallel_tool_calls" in body) and not body.get("tools"):
        return "tool_choice without tools"
    waiting: list[str] = []
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in waiting or not isinstance(message["content"], str):
                return "a result without its call"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return "tool calls without results"
        if role == "assistant":
            if message.get("content") is None and not message.get("tool_calls"):
                return "an empty message"
            for call in message.get("tool_calls") or ():
                json.loads(call["function"]["arguments"])
                if not _ID.fullmatch(call["id"]):
                    return "an id"
                waiting.append(call["id"])
        elif not message["content"]:
            return "an empty message"
    for tool in body.get("tools") or ():
        if tool["type"] != "function" or not tool["function"]["name"]:
            return "a tool"
    form = body.get("response_format")
    if form is not None and form["type"] == "json_schema" and not form["json_schema"]["name"]:
        return "a form without a name"
    if body.get("reasoning_effort") not in (None, "none", "minimal", "low", "medium", "high", "xhigh"):
        return "an effort"
    return None


def _messages(body: dict[str, Any]) -> str | None:
    if found := _unknown(body, _MESSAGES):
        return found
    if type(body["max_tokens"]) is not int or body["max_tokens"] < 1:
        return "max_tokens"
    if "tool_choice" in body and not body.get("tools"):
        return "tool_choice without tools"
    thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    if thinks and {"temperature", "top_p", "top_k"} & body.keys():
        return "sampling while thinking"
    if thinks and (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        return "a forced tool while thinking"
    if not 0 <= body.get("temperature", 0) <= 1 or {"temperature", "top_p"} <= body.keys():
        return "a temperature"
    if (
        thinks
        and body["thinking"]["type"] == "enabled"
        and not 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]
    ):
        return "a budget"
    if not all(text.strip() for text in body.get("stop_sequences", ())):
        return "a blank stop sequence"
    before, waiting = "", set[str]()
    for message in body["messages"]:
        blocks = message["content"]
        if message["role"] not in ("user", "assistant") or not blocks or message["role"] == before:
            return "the order of messages"
        before = message["role"]
        if isinstance(blocks, str):
            continue
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if set(results) != waiting or [block["type"] for block in blocks[: len(results)]] != ["tool_result"] * len(
            results
        ):
            return "results of tools do not follow their calls"
        waiting = set()
        for block in blocks:
            if block["type"] == "tool_use":
                if not isinstance(block["input"], dict) or not _ID.fullmatch(block["id"]):
                    return "a tool_use"
                waiting.add(block["id"])
            if block["type"] == "text" and not block["text"].strip():
                return "a blank text"
            if block["type"] == "thinking" and (not block["signature"] or block["signature"].startswith("mg1.")):
                return "a signature"
            if "cache_control" in block:
                return "cache_control"
    for tool in body.get("tools") or ():
        if tool["input_schema"]["type"] != "object":
            return "an input_schema"
    return None


def _gemini(body: dict[str, Any]) -> str | None:
    if found := _unknown(body, _GEMINI) or _unknown(body.get("generationConfig", {}), _CONFIG, "generationConfig."):
        return found
    before, calls = "", list[str]()
    for content in body["contents"]:
        if content["role"] not in ("user", "model") or not content["parts"] or content["role"] == before:
            return "the order of contents"
        before = content["role"]
        results = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        if sorted(results) != sorted(calls):
            return "results of functions do not follow their calls"
        calls = []
        for part in content["parts"]:
            if "functionCall" in part:
                if not calls and not part.get("thoughtSignature"):
                    return "a call without a signature"
                if not isinstance(part["functionCall"]["args"], dict):
                    return "args"
                calls.append(part["functionCall"]["name"])
            kinds = part.keys() & {"text", "functionCall", "functionResponse", "inlineData", "fileData"}
            if len(kinds) != 1:
                return "a part without data"
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if config.get("allowedFunctionNames") and config["mode"] not in ("ANY", "VALIDATED"):
        return "allowedFunctionNames"
    return None
