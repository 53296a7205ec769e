"""The tables of Gemini's dialect: structural keys, authors, and the kinds of parts.

The API reads each field by two names, in camel case and with underscores, so each table has both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import tree
from gateway.dialects.checks import text, wrong

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINT: Final = re.compile(r"_([a-z0-9])")


def snake(name: str) -> str:
    """The name with underscores of a field in camel case."""
    return _HUMP.sub("_", name).lower()


def camel(name: str) -> str:
    """The name in camel case of a field with underscores."""
    return _JOINT.sub(lambda found: found[1].upper(), name)


def both(names: str) -> frozenset[str]:
    """Names in camel case, each with its other spelling."""
    found = names.split()
    return frozenset([*found, *map(snake, found)])


_SNAKES: Final = {
    name: snake(name)
    for name in (
        *("cachedContent", "previousInteractionId", "generateContentRequest", "generationConfig", "systemInstruction"),
        *("toolConfig", "serviceTier", "maxOutputTokens", "functionCallingConfig", "functionResponse", "functionCall"),
    )
}
"""The other names of the fields that every request is asked for."""


def field(holder: Json, name: str) -> Any:
    """The value of a field, by either name; None if there is none. Raises Refusal(invalid_request) if there are two."""
    other = _SNAKES.get(name) or snake(name)
    if other == name or other not in holder:
        return holder.get(name)
    if name in holder:
        raise wrong(name, f"is given twice, also as `{other}`; write the field once")
    return holder[other]


_THEIRS: Final = both(
    "args response parameters parametersJsonSchema responseJsonSchema responseSchema labels partMetadata"
)
"""Fields whose keys are the caller's own."""


def check_twins(body: Json) -> None:
    """Raise Refusal(invalid_request) if an object of a request gives a field by both names: receivers differ."""
    waiting: list[Any] = [body]
    while waiting:
        node = waiting.pop()
        if type(node) is dict:
            for key, value in node.items():
                if "_" in key and (other := camel(key)) != key and other in node:
                    raise wrong(other[:64], f"is given twice, also as `{key[:64]}`; write the field once")
                if (type(value) is dict or type(value) is list) and key not in _THEIRS:
                    waiting.append(value)
        else:
            waiting += [one for one in node if type(one) is dict or type(one) is list]


def spelled(holder: Json, name: str) -> str:
    """The name under which an object has a field, by default that in camel case."""
    return snake(name) if snake(name) in holder else name


CALLS: Final = both("functionCall toolCall executableCode")
"""Kinds of parts that call a tool; the provider runs those other than functions."""
_RESULTS: Final = both("functionResponse toolResponse codeExecutionResult")
DATA: Final = CALLS | _RESULTS | both("text inlineData fileData")
"""The keys of which a part has one."""
SIGNATURE: Final = both("thoughtSignature")
_SPEAKERS: Final[Mapping[str, str]] = {"model": tree.SPEAKER, "": "user"}
SHAPE: Final = tree.Shape(
    opaque=both(
        "model role id mimeType finishReason blockReason modelVersion responseId category probability threshold "
        "language outcome mode toolType modality serviceTier thinkingLevel responseMimeType taskType type format "
        "trafficType behavior method severity mediaResolution urlRetrievalStatus environment createTime"
    ),
    json=frozenset(),
    blobs=both("inlineData fileData"),
    within=both(
        "contents content parts candidates systemInstruction generationConfig thinkingConfig toolConfig tools "
        "functionCallingConfig functionDeclarations parameters properties items responseSchema safetySettings "
        "safetyRatings promptFeedback usageMetadata promptTokensDetails candidatesTokensDetails cacheTokensDetails "
        "toolUsePromptTokensDetails functionCall functionResponse executableCode codeExecutionResult toolCall "
        "toolResponse inlineData fileData urlContextMetadata urlMetadata computerUse generateContentRequest requests"
    ),
    roles=dict.fromkeys(both("systemInstruction"), "system"),
    turns=frozenset({"contents"}),
    ahead=both("tools systemInstruction"),
    seals=SIGNATURE,
    speakers=_SPEAKERS,
    parts=dict.fromkeys(_RESULTS, "tool"),
    thoughts=True,
)
ANSWER: Final = replace(SHAPE, roles={}, turns=frozenset(), ahead=frozenset(), speakers={}, parts={})
WORDS: Final = frozenset(
    {"model", "user", "text", "thought", "STOP", "MAX_TOKENS", "SAFETY", "OTHER", "TEXT", "IMAGE", "AUDIO", "PYTHON"}
    | {"OUTCOME_OK", "NEGLIGIBLE", "LOW", "MEDIUM", "HIGH", "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH"}
    | {"HARM_CATEGORY_SEXUALLY_EXPLICIT", "HARM_CATEGORY_DANGEROUS_CONTENT", "HARM_CATEGORY_CIVIC_INTEGRITY"}
    | {"RECITATION", "PROHIBITED_CONTENT", "SPII", "BLOCKLIST", "MALFORMED_FUNCTION_CALL", "standard", "priority"}
)


def listed(value: Any) -> list[Any]:
    """The values of a repeated field: the API reads one object as a list of one."""
    return value if type(value) is list else [value] if type(value) is dict else []


def candidates(answer: Json) -> list[Json]:
    """The candidates of an answer or an event. Raises ValueError if they are no objects."""
    found = answer.get("candidates")
    if found is None:
        return []
    if type(found) is not list:
        raise ValueError("its candidates are no objects")
    for one in found:
        if type(one) is not dict:
            raise ValueError("its candidates are no objects")
    return found


def parts(candidate: Json) -> list[Json]:
    """The parts of a candidate. Raises ValueError if they are none of the dialect."""
    content = candidate.get("content")
    found = content.get("parts") if type(content) is dict else None
    if found is None and (content is None or type(content) is dict):
        return []
    if type(found) is not list:
        raise ValueError("its parts are no objects")
    for part in found:
        if type(part) is not dict:
            raise ValueError("its parts are no objects")
        if len(part) > 1 and len(DATA & part.keys()) > 1:
            raise ValueError("a part is more than one thing")
    return found


def calls_a_tool(part: Json) -> bool:
    """Whether a part is a call of a tool, also one that the provider runs."""
    return not CALLS.isdisjoint(part)


def is_thought(part: Json) -> bool:
    """Whether a part is a text that a model thought, which goes back to the provider as it came.

    A call of a tool is none, whatever stands beside it: clients run it.
    """
    return part.get("thought") is True and "text" in part


_RUN_BY: Final = (("GOOGLE_SEARCH", "googleSearch"),)  # tools with several types of calls


def called(part: Json) -> str:
    """The name of the tool that a part calls: of a function its own, else that of the tool in `tools`; "" for none."""
    for key in CALLS & part.keys():
        call = part[key]
        if type(call) is not dict:
            return ""
        if camel(key) == "executableCode":
            return "codeExecution"
        if camel(key) == "functionCall":
            return text(call.get("name"))
        kind = text(call.get("toolType") or call.get("tool_type"))
        return next((name for start, name in _RUN_BY if kind.startswith(start)), camel(kind.lower()))
    return ""


def each_part(content: Any) -> list[Json]:
    """The parts of a message of a request that are objects."""
    return [part for part in listed(content.get("parts")) if type(part) is dict]
