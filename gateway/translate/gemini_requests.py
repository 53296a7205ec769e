"""Requests for Gemini, to and from the neutral model (Gemini API reference: models.generateContent)."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from gateway.call import Json
from gateway.dialects.gemini_tables import camel, field
from gateway.translate import words
from gateway.translate.model import (
    Choice,
    Form,
    Media,
    Part,
    Request,
    Role,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    turned,
)
from gateway.translate.words import Notes, Target, wrong

_SET: Final[Mapping[str, str]] = {
    "most": "maxOutputTokens",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
"""Features by the setting in `generationConfig`."""
NAMES: Final[Mapping[str, str]] = {
    **{name: f"generationConfig.{setting}" for name, setting in _SET.items()},
    "form": "generationConfig.responseJsonSchema",
    "thinking": "generationConfig.thinkingConfig",
    "choice": "toolConfig.functionCallingConfig",
    "thought": "contents[].parts[].thought",
    "signature": "contents[].parts[].thoughtSignature",
    "arguments": "contents[].parts[].functionCall.args",
    "media": "contents[].parts[].inlineData",
    "result_error": "contents[].parts[].functionResponse.response.error",
}
HARMLESS: Final = words.names(
    "safetySettings labels serviceTier store generationConfig.mediaResolution "
    "generationConfig.enableEnhancedCivicAnswers generationConfig.thinkingConfig.includeThoughts"
)
REFUSED: Final[Mapping[str, str]] = {
    "generationConfig.candidateCount": "asks for several answers",
    "generationConfig.responseLogprobs": "asks for log probabilities",
    "generationConfig.logprobs": "asks for log probabilities",
    "generationConfig.responseModalities": "asks for images or audio",
    "generationConfig.speechConfig": "asks for audio",
    "generationConfig.imageConfig": "asks for images",
}
_PLAIN: Final[Mapping[str, Any]] = {"candidateCount": 1, "responseModalities": ["TEXT"], "responseLogprobs": False}
_READ: Final = words.names("contents systemInstruction tools toolConfig generationConfig model cachedContent")
_SETTINGS: Final = frozenset(_SET.values()) | words.names(
    "responseMimeType responseSchema responseJsonSchema thinkingConfig"
)
_MODES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {
    "MODE_UNSPECIFIED": "auto",
    "AUTO": "auto",
    "VALIDATED": "auto",
    "NONE": "none",
    "ANY": "any",
}
# Budgets of thinking for models that have no levels (Gemini 2.5).
_BUDGETS: Final[Mapping[str, int]] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192}
_MOST: Final = 24576
_LEVELS: Final[Mapping[str, str]] = {"none": "minimal", "xhigh": "high", "max": "high"}
# What stands for a signature of a call that another model made (Gemini API: thought signatures, FAQ).
_UNSIGNED: Final = "skip_thought_signature_validator"


def bytes64(text: str) -> str:
    """A sealed signature as Gemini has signatures: base64."""
    return base64.b64encode(text.encode()).decode()


def _unsealed(said: Any) -> tuple[str, str, str]:
    """Kind, origin and signature. A signature of another target was written as base64."""
    if type(said) is not str or said in ("", _UNSIGNED, "context_engineering_is_the_way_to_go"):
        return "", "", ""
    try:
        inner = base64.b64decode(said.replace("-", "+").replace("_", "/") + "==").decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", "", said
    kind, origin, signature = words.unsealed(inner)
    return (kind, origin, signature) if kind else ("", "", said)


def read(body: Json, notes: Notes) -> Request:
    """The neutral request. Raises Refusal(invalid_request)."""
    settings = words.object_of(field(body, "generationConfig"), "generationConfig")
    _check(body, settings, notes)
    said: list[tuple[Role, list[Part]]] = []
    calls = _Calls()
    for message in words.objects(field(body, "contents"), "contents"):
        role: Role = "assistant" if message.get("role") == "model" else "user"
        said.append((role, list(_parts(message, calls, notes))))
    tools: list[Tool] = []
    for tool in words.objects(field(body, "tools"), "tools"):
        if any(camel(name) != "functionDeclarations" and tool[name] is not None for name in tool):
            raise notes.refuse("tools[]", "must hold functionDeclarations: other tools exist at their own provider")
        declared = words.objects(field(tool, "functionDeclarations"), "tools[].functionDeclarations")
        tools += [_tool(one, notes) for one in declared]
    choice = words.object_of(field(body, "toolConfig"), "toolConfig")
    value = {name: field(settings, setting) for name, setting in _SET.items()}
    value["stop"] = words.strings(value["stop"], NAMES["stop"])
    system = field(body, "systemInstruction")
    return Request(
        turned(said),
        system if type(system) is str else _system(words.object_of(system, "systemInstruction"), notes),
        tuple(tools),
        _choice(words.object_of(field(choice, "functionCallingConfig"), "functionCallingConfig")),
        form=_form(settings),
        thinking=_thinking(words.object_of(field(settings, "thinkingConfig"), NAMES["thinking"])),
        **value,
    )


def _check(body: Json, settings: Json, notes: Notes) -> None:
    """Refuse what changes the answer, and note what only tunes."""
    for name in sorted(settings):
        full, value = f"generationConfig.{camel(name)}", settings[name]
        if value is None or value == _PLAIN.get(camel(name)) or value == []:
            continue
        if full in REFUSED:
            raise notes.refuse(full, f"{REFUSED[full]}, which the translation does not support")
        if camel(name) not in _SETTINGS:
            notes.drop(full)
    for name in sorted(body):
        if camel(name) not in _READ and body[name] not in (None, []):
            notes.drop(camel(name))


def _system(message: Json, notes: Notes) -> str:
    return "\n\n".join([part.text for part in _parts(message, _Calls(), notes) if type(part) is Text])


class _Calls:
    """The ids of tool calls: a call without an id gets one, and its result is found by name, in order."""

    def __init__(self) -> None:
        self._number = 0
        self._open: list[tuple[str, str]] = []

    def begin(self, id: str, name: str) -> str:
        """The id of a call."""
        self._number += 1
        id = id or f"call_{self._number}"
        self._open.append((id, name))
        return id

    def end(self, id: str, name: str) -> str:
        """The id of the call that a result belongs to."""
        for one in self._open:
            if one[0] == id or (not id and one[1] == name):
                self._open.remove(one)
                return one[0]
        return id or "call_0"


def _parts(message: Json, calls: _Calls, notes: Notes) -> Iterator[Part]:
    """The parts of a message."""
    for part in words.objects(message.get("parts"), "contents[].parts"):
        kind, origin, signature = _unsealed(field(part, "thoughtSignature"))
        if part.get("thought") is True:
            text = words.string(part.get("text"), "contents[].parts[].text")
            yield Thought(text, signature, origin, hidden=kind == "h")
        elif part.get("text") is not None:
            yield Text(words.string(part["text"], "contents[].parts[].text"))
        elif (call := field(part, "functionCall")) is not None:
            call = words.object_of(call, "contents[].parts[].functionCall")
            name = words.string(call.get("name"), "contents[].parts[].functionCall.name")
            id = calls.begin(words.string(call.get("id"), "contents[].parts[].functionCall.id"), name)
            given = words.object_of(call.get("args"), NAMES["arguments"])
            yield ToolUse(id, name, words.dumped(given), signature, origin)
        elif (result := field(part, "functionResponse")) is not None:
            yield _result(words.object_of(result, "contents[].parts[].functionResponse"), calls, notes)
        elif (inline := field(part, "inlineData")) is not None:
            yield _inline(words.object_of(inline, NAMES["media"]))
        elif (file := field(part, "fileData")) is not None:
            file = words.object_of(file, "contents[].parts[].fileData")
            uri = words.string(field(file, "fileUri"), "contents[].parts[].fileData.fileUri")
            if "generativelanguage.googleapis.com" in uri or not uri.startswith(("https://", "http://")):
                raise notes.refuse("contents[].parts[].fileData", "names a file that another provider stores")
            kind = words.string(field(file, "mimeType"), "contents[].parts[].fileData.mimeType")
            yield Media(kind or "image/*", "", uri)
        elif not part.keys() <= {"thoughtSignature", "thought_signature", "thought"}:
            raise notes.refuse("contents[].parts[]", "has a kind that exists at its own provider only")


def _inline(data: Json) -> Media:
    kind = words.string(field(data, "mimeType"), f"{NAMES['media']}.mimeType")
    return Media(kind, words.string(data.get("data"), f"{NAMES['media']}.data"), "", data.get("displayName") or "")


def _result(said: Json, calls: _Calls, notes: Notes) -> ToolResult:
    """The result of a tool: its `output`, its `error`, or else all of the response."""
    name = words.string(said.get("name"), "contents[].parts[].functionResponse.name")
    response = words.object_of(said.get("response"), "contents[].parts[].functionResponse.response")
    key = next((key for key in ("output", "error") if response.keys() == {key}), "")
    value = response[key] if key else response
    parts: list[Text | Media] = [Text(value if type(value) is str else words.dumped(value))] if response else []
    parts += [one for one in _parts(said, calls, notes) if type(one) is Media]
    id = calls.end(words.string(said.get("id"), "contents[].parts[].functionResponse.id"), name)
    return ToolResult(id, name, tuple(parts), key == "error")


def _tool(said: Json, notes: Notes) -> Tool:
    if field(said, "behavior") not in (None, "BLOCKING", "UNSPECIFIED"):
        raise notes.refuse("tools[].functionDeclarations[].behavior")
    schema = field(said, "parametersJsonSchema")
    if schema is None:
        schema = _json_schema(said.get("parameters") or {})
    return Tool(
        words.string(said.get("name"), "tools[].functionDeclarations[].name"),
        words.string(said.get("description"), "tools[].functionDeclarations[].description"),
        words.object_of(schema, "tools[].functionDeclarations[].parameters"),
    )


def _json_schema(said: Any) -> Any:
    """JSON Schema of a schema in OpenAPI's form: types are in capitals, and null is an attribute."""
    if type(said) is list:
        return [_json_schema(one) for one in said]
    if type(said) is not dict:
        return said
    made: Json = {}
    for name, value in said.items():
        key = camel(name)
        if key == "type" and type(value) is str:
            made["type"] = value.lower()
        elif key == "properties" and type(value) is dict:
            made["properties"] = {name: _json_schema(one) for name, one in value.items()}
        elif key in ("propertyOrdering", "nullable"):
            continue
        else:
            made[key] = value if key in ("enum", "default", "example", "required") else _json_schema(value)
    if said.get("nullable") is True and type(made.get("type")) is str:
        made["type"] = [made["type"], "null"]
    return made


def _choice(said: Json) -> Choice | None:
    if not said:
        return None
    mode = said.get("mode") or "MODE_UNSPECIFIED"
    if mode not in _MODES:
        raise wrong("toolConfig.functionCallingConfig.mode", "must be AUTO, ANY, NONE or VALIDATED")
    names = words.strings(field(said, "allowedFunctionNames"), "toolConfig.functionCallingConfig.allowedFunctionNames")
    return Choice(_MODES[mode], names)


def _form(settings: Json) -> Form | None:
    kind = field(settings, "responseMimeType") or "text/plain"
    if kind == "text/plain":
        return None
    if kind != "application/json":
        raise wrong("generationConfig.responseMimeType", "must be text/plain or application/json")
    schema = field(settings, "responseJsonSchema")
    if schema is None and (other := field(settings, "responseSchema")) is not None:
        schema = _json_schema(other)
    return Form(words.object_of(schema, NAMES["form"]) if schema is not None else None)


def _thinking(said: Json) -> Thinking | None:
    level = words.string(field(said, "thinkingLevel"), "thinkingLevel").lower()
    budget = words.integer(field(said, "thinkingBudget"), "thinkingBudget")
    return (
        Thinking(level if level != "thinking_level_unspecified" else "", budget)
        if level or budget is not None
        else None
    )


def write(request: Request, target: Target, notes: Notes) -> Json:
    """The body of a request for Gemini. Raises Refusal for what Gemini cannot express."""
    body: Json = {}
    if request.system:
        body["systemInstruction"] = {"parts": [{"text": request.system}]}
    names = words.used(request)
    contents = [
        {"role": "model" if turn.role == "assistant" else "user", "parts": _written(turn, names, target, notes)}
        for turn in request.turns
    ]
    body["contents"] = [content for content in contents if content["parts"]]
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declared(tool, notes) for tool in request.tools]}]
        if request.choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _written_choice(request.choice)}
        if request.parallel is False:
            notes.drop("parallel")
    settings: Json = {}
    for name, setting in _SET.items():
        value = getattr(request, name)
        if value is not None and value != ():
            settings[setting] = list(value) if name == "stop" else value
    if request.user:
        notes.drop("user")
    if request.form is not None:
        settings["responseMimeType"] = "application/json"
        if request.form.schema is not None:
            settings["responseJsonSchema"] = request.form.schema
    if request.thinking is not None:
        settings["thinkingConfig"] = _written_thinking(request.thinking, target.model)
    if settings:
        body["generationConfig"] = settings
    return body


def _written_thinking(thinking: Thinking, model: str) -> Json:
    """A budget as it is; an effort as a level, or as a budget for models without levels. Thoughts are returned."""
    shown = thinking.effort != "none" and thinking.budget != 0
    said: Json = {"includeThoughts": True} if shown else {}
    if thinking.budget is not None:
        return {**said, "thinkingBudget": thinking.budget}
    if "gemini-2" in model:
        return {**said, "thinkingBudget": _BUDGETS.get(thinking.effort, _MOST)}
    return {**said, "thinkingLevel": _LEVELS.get(thinking.effort, thinking.effort)}


def _written_choice(choice: Choice) -> Json:
    said: Json = {"mode": choice.mode.upper()}
    if choice.names:
        said["mode"] = "ANY" if choice.mode == "any" else "VALIDATED"
        said["allowedFunctionNames"] = list(choice.names)
    return said


def _written(turn: Turn, names: Mapping[str, str], target: Target, notes: Notes) -> list[Json]:
    """The parts of one turn: results of tools first. The first call of a turn needs a signature."""
    first: list[Json] = []
    rest: list[Json] = []
    called = False
    for part in turn.parts:
        if type(part) is ToolResult:
            first.append(_response(part, part.name or names.get(part.id, "")))
        elif type(part) is Text:
            if part.text:
                rest.append({"text": part.text})
        elif type(part) is Media:
            rest.append(_shown(part))
        elif type(part) is Thought:
            if part.signature and part.origin == target.origin and not part.hidden:
                rest.append({"text": part.text, "thought": True, "thoughtSignature": part.signature})
            else:
                notes.drop("thought")
        elif type(part) is ToolUse:
            rest.append(_called(part, target, notes, first=not called))
            called = True
    return first + rest


def _called(use: ToolUse, target: Target, notes: Notes, *, first: bool) -> Json:
    try:
        given = words.exact(use.arguments)
    except ValueError:
        raise notes.refuse("arguments", "must be a JSON object") from None
    said: Json = {"functionCall": {"id": words.fitting_id(use.id), "name": use.name, "args": given}}
    if use.signature and use.origin == target.origin:
        said["thoughtSignature"] = use.signature
        return said
    if use.signature:
        notes.drop("signature")
    if first:
        said["thoughtSignature"] = _UNSIGNED
    return said


def _response(part: ToolResult, name: str) -> Json:
    """The result of a tool. Its images are parts of its own."""
    said: Json = {"id": words.fitting_id(part.id), "name": name}
    said["response"] = {"error" if part.error else "output": words.texts(part.parts)}
    if shown := [_shown(one) for one in part.parts if type(one) is Media]:
        said["parts"] = shown
    return {"functionResponse": said}


def _shown(one: Any) -> Json:
    if not one.url:
        return {"inlineData": {"mimeType": one.type, "data": one.data}}
    kind = one.type if not one.type.endswith("/*") else mimetypes.guess_type(one.url.partition("?")[0])[0]
    return {"fileData": {**({"mimeType": kind} if kind else {}), "fileUri": one.url}}


def _declared(tool: Tool, notes: Notes) -> Json:
    said: Json = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    if tool.schema:
        said["parametersJsonSchema"] = tool.schema
    if tool.strict:
        notes.drop("strict")
    return said
