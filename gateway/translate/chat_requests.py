"""Requests for chat completions, to and from the neutral model (OpenAI API reference: chat/create)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.call import Json
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

NAMES: Final[Mapping[str, str]] = {
    "parallel": "parallel_tool_calls",
    "most": "max_completion_tokens",
    "form": "response_format",
    "thinking": "reasoning_effort",
    "choice": "tool_choice",
    "thought": "messages[].reasoning_content",
    "signature": "messages[].tool_calls[].extra_content",
    "strict": "tools[].function.strict",
    "arguments": "messages[].tool_calls[].function.arguments",
    "media": "messages[].content[]",
    "result_error": "messages[]",
}
"""Features by the field that callers know."""
HARMLESS: Final = words.names(
    "logit_bias metadata prediction prompt_cache_key prompt_cache_retention prompt_cache_options "
    "verbosity top_k reasoning safety_identifier service_tier store stream_options"
)
"""Fields that only tune: dropped and named. So are unknown fields."""
REFUSED: Final[Mapping[str, str]] = {
    "n": "asks for several answers",
    "audio": "asks for audio",
    "modalities": "asks for audio",
    "logprobs": "asks for log probabilities",
    "top_logprobs": "asks for log probabilities",
    "web_search_options": "asks for a tool of the provider",
    "functions": "is an old form of `tools`",
    "function_call": "is an old form of `tool_choice`",
}
"""Fields that change the meaning of an answer: refused. Each with what it does."""
_READ: Final = words.names(
    "model messages tools tool_choice parallel_tool_calls max_tokens max_completion_tokens stop "
    "response_format reasoning_effort temperature top_p seed frequency_penalty presence_penalty user "
    "stream"
)
_KNOWN: Final = _READ | REFUSED.keys()
_CALM: Final = frozenset({"service_tier", "store", "stream_options"})  # dropped in silence in their default form
_PLAIN: Final[Mapping[str, Any]] = {"n": 1, "modalities": ["text"], "logprobs": False, "top_logprobs": 0}
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
# Budgets of thinking in tokens, and the effort up to each.
_BUDGETS: Final = ((0, "none"), (2048, "low"), (12288, "medium"))


def effort_of(thinking: Thinking) -> str:
    """The effort of thinking; a budget is one of three efforts, and a budget below zero is the model's choice ("")."""
    if thinking.effort or thinking.budget is None or thinking.budget < 0:
        return thinking.effort
    return next((effort for most, effort in _BUDGETS if thinking.budget <= most), "high")


def read(body: Json, notes: Notes) -> Request:
    """The neutral request. Raises Refusal(invalid_request)."""
    _check(body, notes)
    said: list[tuple[Role, list[Part]]] = []
    system: list[str] = []
    names: dict[str, str] = {}
    for message in words.objects(body.get("messages"), "messages"):
        role = message.get("role")
        if role in ("system", "developer"):
            system.append("".join(part.text for part in _parts(message.get("content"), notes) if type(part) is Text))
        elif role == "user":
            said.append(("user", [*_parts(message.get("content"), notes)]))
        elif role == "assistant":
            said.append(("assistant", list(_spoken(message, names, notes))))
        elif role == "tool":
            id = words.string(message.get("tool_call_id"), "messages[].tool_call_id")
            said.append(("user", [ToolResult(id, names.get(id, ""), _parts(message.get("content"), notes))]))
        else:
            raise notes.refuse("messages[].role", f"cannot be {role!r}" if role == "function" else "must be known")
    most = body.get("max_completion_tokens")
    form = words.object_of(body.get("response_format"), "response_format")
    effort = words.string(body.get("reasoning_effort"), "reasoning_effort")
    return Request(
        turned(said),
        "\n\n".join(system),
        tuple([_tool(tool, notes) for tool in words.objects(body.get("tools"), "tools")]),
        _choice(body.get("tool_choice"), notes),
        body.get("parallel_tool_calls"),
        body.get("max_tokens") if most is None else most,
        words.strings(body.get("stop"), "stop"),
        _form(form),
        Thinking(effort) if effort else None,
        words.number(body.get("temperature"), "temperature"),
        words.number(body.get("top_p"), "top_p"),
        None,
        words.integer(body.get("seed"), "seed"),
        words.number(body.get("frequency_penalty"), "frequency_penalty"),
        words.number(body.get("presence_penalty"), "presence_penalty"),
        words.string(body.get("user"), "user"),
        body.get("stream") is True,
    )


def _check(body: Json, notes: Notes) -> None:
    """Refuse what changes the answer, and note what only tunes."""
    for name, does in REFUSED.items():
        if body.get(name) not in (None, _PLAIN.get(name)):
            raise notes.refuse(name, f"{does}, which the translation does not support")
    for name in sorted(body.keys() - _KNOWN):
        value = body[name]
        if value is None or (name in _CALM and (value in ("auto", "default", False) or name == "stream_options")):
            continue
        notes.drop(name)


def _parts(content: Any, notes: Notes) -> tuple[Text | Media, ...]:
    """The parts of a message's content."""
    if type(content) is str:
        return (Text(content),) if content else ()
    found: list[Text | Media] = []
    for part in words.objects(content, "messages[].content"):
        kind = part.get("type")
        if kind in ("text", "refusal"):
            found.append(Text(words.string(part.get(kind), "messages[].content[].text")))
        elif kind == "image_url":
            image = part.get("image_url")
            image = image if type(image) is dict else {"url": image}
            if image.get("detail") not in (None, "auto"):
                notes.drop("messages[].content[].image_url.detail")
            found.append(words.media(image.get("url"), "messages[].content[].image_url", "image/*"))
        elif kind == "input_audio":
            audio = words.object_of(part.get("input_audio"), "messages[].content[].input_audio")
            data = words.string(audio.get("data"), "messages[].content[].input_audio.data")
            found.append(Media(f"audio/{words.string(audio.get('format'), 'format') or 'wav'}", data))
        elif kind == "file":
            file = words.object_of(part.get("file"), "messages[].content[].file")
            if not file.get("file_data"):
                raise notes.refuse("messages[].content[].file.file_id", "names a file that another provider stores")
            name = words.string(file.get("filename"), "messages[].content[].file.filename")
            found.append(words.media(file["file_data"], "messages[].content[].file.file_data", "", name))
        else:
            raise notes.refuse("messages[].content[].type", "has a kind that cannot be translated")
    return tuple(found)


def _spoken(message: Json, names: dict[str, str], notes: Notes) -> Iterator[Part]:
    """The parts of a message of the model."""
    for key in ("audio", "function_call"):
        if message.get(key):
            raise notes.refuse(f"messages[].{key}")
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        yield Thought(words.string(thought, "messages[].reasoning_content"))
    yield from _parts(message.get("content"), notes)
    if refusal := message.get("refusal"):
        yield Text(words.string(refusal, "messages[].refusal"))
    for call in words.objects(message.get("tool_calls"), "messages[].tool_calls"):
        if call.get("type", "function") != "function":
            raise notes.refuse("messages[].tool_calls[].type", "has a kind that cannot be translated")
        function = words.object_of(call.get("function"), "messages[].tool_calls[].function")
        id = words.string(call.get("id"), "messages[].tool_calls[].id")
        name = words.string(function.get("name"), "messages[].tool_calls[].function.name")
        names[id] = name
        arguments = words.string(function.get("arguments"), "messages[].tool_calls[].function.arguments")
        _, origin, signature = words.unsealed(_signature(call))
        yield ToolUse(id, name, arguments, signature, origin)


def _signature(call: Json) -> Any:
    """The signature of a tool call, at the place that Gemini's OpenAI-compatible API has for it."""
    google = (call.get("extra_content") or {}).get("google") if type(call.get("extra_content")) is dict else None
    return google.get("thought_signature") if type(google) is dict else None


def _tool(tool: Json, notes: Notes) -> Tool:
    if tool.get("type", "function") != "function":
        raise notes.refuse("tools[].type", "must be function: other tools exist at their own provider only")
    function = words.object_of(tool.get("function"), "tools[].function")
    return Tool(
        words.string(function.get("name"), "tools[].function.name"),
        words.string(function.get("description"), "tools[].function.description"),
        words.object_of(function.get("parameters"), "tools[].function.parameters"),
        function.get("strict"),
    )


def _choice(said: Any, notes: Notes) -> Choice | None:
    if said is None:
        return None
    if said in ("auto", "none"):
        return Choice(said)
    if said == "required":
        return Choice("any")
    kind = said.get("type") if type(said) is dict else None
    if kind == "function":
        return Choice("any", (words.string(words.object_of(said["function"], "tool_choice").get("name"), "name"),))
    if kind == "allowed_tools":
        allowed = words.object_of(said.get("allowed_tools"), "tool_choice.allowed_tools")
        listed = words.objects(allowed.get("tools"), "tool_choice.allowed_tools.tools")
        names = tuple([words.string((tool.get("function") or {}).get("name"), "tool_choice") for tool in listed])
        return Choice("any" if allowed.get("mode") == "required" else "auto", names)
    raise notes.refuse("tool_choice")


def _form(said: Json) -> Form | None:
    kind = said.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return Form(None)
    if kind != "json_schema":
        raise wrong("response_format.type", "must be text, json_object or json_schema")
    inner = words.object_of(said.get("json_schema"), "response_format.json_schema")
    schema = words.object_of(inner.get("schema"), "response_format.json_schema.schema")
    name, about = words.string(inner.get("name"), "name"), words.string(inner.get("description"), "description")
    return Form(schema, name, about, inner.get("strict"))


def write(request: Request, target: Target, notes: Notes) -> Json:
    """The body of a request for a chat completion. Raises Refusal for what a chat completion cannot express."""
    messages: list[Json] = []
    if request.system:
        messages.append({"role": "system", "content": request.system})
    for turn in request.turns:
        if turn.role == "user":
            messages += _asked(turn, notes)
        else:
            messages.append(_said(turn, target, notes))
    body: Json = {"model": target.model, "messages": messages}
    if request.most is not None:
        body["max_tokens"] = request.most
    for name in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.top_k is not None:
        notes.drop("top_k")
    if request.stop:
        body["stop"] = list(request.stop)
    if request.user:
        body["user"] = request.user
    if request.tools:
        body["tools"] = [_written_tool(tool) for tool in request.tools]
        if request.parallel is not None:
            body["parallel_tool_calls"] = request.parallel
    if request.choice is not None and request.tools:
        body["tool_choice"] = _written_choice(request.choice)
    if request.form is not None:
        body["response_format"] = _written_form(request.form)
    if request.thinking is not None and (effort := effort_of(request.thinking)):
        body["reasoning_effort"] = effort
    if request.stream:
        body["stream"] = True
        if target.usage:
            body["stream_options"] = {"include_usage": True}
    return body


def _asked(turn: Turn, notes: Notes) -> Iterator[Json]:
    """The messages of one turn of the user: results of tools first, each as a message of its own.

    A result can hold text only, so its images follow as a message of the user.
    """
    rest: list[Text | Media] = []
    for part in turn.parts:
        if type(part) is ToolResult:
            text = words.texts(part.parts)
            shown = [one for one in part.parts if type(one) is Media]
            if shown:
                text += f"{' ' if text else ''}[{len(shown)} attached below]"
            rest += shown
            if part.error:
                notes.drop("result_error")
            yield {"role": "tool", "tool_call_id": words.fitting_id(part.id), "content": text}
        elif type(part) in (Text, Media):
            rest.append(part)  # type: ignore[arg-type]
    if rest:
        yield {"role": "user", "content": _content(rest, notes)}


def _content(parts: list[Text | Media], notes: Notes) -> Any:
    """The content of a message: a string, or parts."""
    if len(parts) == 1 and type(parts[0]) is Text:
        return parts[0].text
    return [{"type": "text", "text": part.text} if type(part) is Text else _shown(part, notes) for part in parts]


def _shown(one: Any, notes: Notes) -> Json:
    """A part with an image, audio or a document."""
    if words.is_image(one):
        return {"type": "image_url", "image_url": {"url": words.data_url(one)}}
    if one.url:
        raise notes.refuse("media", "is a document at a URL, which is not fetched")
    if one.type in ("audio/wav", "audio/mp3", "audio/mpeg"):
        form = "wav" if one.type == "audio/wav" else "mp3"
        return {"type": "input_audio", "input_audio": {"data": one.data, "format": form}}
    if one.type != "application/pdf":
        raise notes.refuse("media", f"cannot be {one.type}")
    return {"type": "file", "file": {"filename": one.name or "document.pdf", "file_data": words.data_url(one)}}


def _said(turn: Turn, target: Target, notes: Notes) -> Json:
    """The message of one turn of the model."""
    message: Json = {"role": "assistant", "content": words.texts(turn.parts) or None}
    calls = []
    thoughts = []
    for part in turn.parts:
        if type(part) is Thought:
            if target.reasoning and part.text and part.origin in ("", target.origin):
                thoughts.append(part.text)
            else:
                notes.drop("thought")
        elif type(part) is ToolUse:
            calls.append(_called(part, target, notes))
    if thoughts:
        message[target.reasoning] = "\n\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    return message


def _called(use: ToolUse, target: Target, notes: Notes) -> Json:
    if words.parsed(use.arguments) is None:
        raise notes.refuse("arguments", "must be a JSON object")
    function = {"name": use.name, "arguments": use.arguments or "{}"}
    call: Json = {"id": words.fitting_id(use.id), "type": "function", "function": function}
    if use.signature:
        if use.origin == target.origin:
            call["extra_content"] = {"google": {"thought_signature": use.signature}}
        else:
            notes.drop("signature")
    return call


def _written_tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.schema:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _written_choice(choice: Choice) -> Any:
    if not choice.names:
        return "required" if choice.mode == "any" else choice.mode
    if len(choice.names) == 1 and choice.mode == "any":
        return {"type": "function", "function": {"name": choice.names[0]}}
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    mode = "required" if choice.mode == "any" else "auto"
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def _written_form(form: Form) -> Json:
    if form.schema is None:
        return {"type": "json_object"}
    strict = words.is_closed(form.schema) if form.strict is None else form.strict
    inner: Json = {"name": form.name or "answer", "schema": form.schema, "strict": strict}
    if form.description:
        inner["description"] = form.description
    return {"type": "json_schema", "json_schema": inner}
