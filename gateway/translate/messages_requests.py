"""Requests for messages, to and from the neutral model (Anthropic API reference: messages/create)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

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
    "parallel": "tool_choice.disable_parallel_tool_use",
    "most": "max_tokens",
    "stop": "stop_sequences",
    "form": "output_config.format",
    "choice": "tool_choice",
    "thought": "messages[].content[].thinking",
    "signature": "messages[].content[].signature",
    "strict": "tools[].strict",
    "user": "metadata.user_id",
    "arguments": "messages[].content[].input",
    "media": "messages[].content[].source",
    "result_error": "messages[].content[].is_error",
}
HARMLESS: Final = frozenset({"context_management", "service_tier", "speed", "inference_geo", "betas", "fallbacks"})
REFUSED: Final[Mapping[str, str]] = {
    "container": "names a container that the provider stores",
    "mcp_servers": "lists servers that the provider calls",
    "thread": "continues a conversation that the provider stores",
    "n": "asks for several answers",
}
_READ: Final = words.names(
    "model messages system max_tokens temperature top_p top_k stop_sequences stream tools tool_choice "
    "thinking output_config output_format metadata"
)
_KNOWN: Final = _READ | REFUSED.keys()
_PLAIN: Final[Mapping[str, Any]] = {"service_tier": "auto", "speed": "standard"}
_MODES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {"auto": "auto", "none": "none", "any": "any"}
_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low"}  # efforts that the API does not have
_LEAST: Final = 1024  # the smallest budget of thinking


def read(body: Json, notes: Notes) -> Request:
    """The neutral request. Raises Refusal(invalid_request)."""
    for name, does in REFUSED.items():
        if body.get(name) not in (None, [], 1):
            raise notes.refuse(name, f"{does}, which the translation does not support")
    for name in sorted(body.keys() - _KNOWN):
        if body[name] not in (None, _PLAIN.get(name)):
            notes.drop(name)
    if body.get("max_tokens") == 0:
        raise notes.refuse("max_tokens", "cannot be 0: caches are not warmed up")
    said: list[tuple[Role, list[Part]]] = []
    system = [_system(body.get("system"), notes)]
    names: dict[str, str] = {}
    for message in words.objects(body.get("messages"), "messages"):
        role = message.get("role")
        if role == "system":
            system.append(_system(message.get("content"), notes))
        elif role in ("user", "assistant"):
            said.append((role, list(_blocks(message.get("content"), names, notes))))
        else:
            raise wrong("messages[].role", "must be user, assistant or system")
    config = words.object_of(body.get("output_config"), "output_config")
    chosen = words.object_of(body.get("tool_choice"), "tool_choice")
    meta = words.object_of(body.get("metadata"), "metadata")
    parallel = chosen.get("disable_parallel_tool_use")
    if config.get("task_budget"):
        notes.drop("output_config.task_budget")
    return Request(
        turned(said),
        "\n\n".join([text for text in system if text]),
        tuple([_tool(tool, notes) for tool in words.objects(body.get("tools"), "tools")]),
        _choice(chosen),
        None if parallel is None else not parallel,
        words.integer(body.get("max_tokens"), "max_tokens"),
        words.strings(body.get("stop_sequences"), "stop_sequences"),
        _form(words.object_of(config.get("format") or body.get("output_format"), "output_config.format")),
        _thinking(words.object_of(body.get("thinking"), "thinking"), config),
        words.number(body.get("temperature"), "temperature"),
        words.number(body.get("top_p"), "top_p"),
        words.integer(body.get("top_k"), "top_k"),
        user=words.string(meta.get("user_id"), "metadata.user_id"),
        stream=body.get("stream") is True,
    )


def _system(said: Any, notes: Notes) -> str:
    if said is None or type(said) is str:
        return said or ""
    return "\n\n".join([part.text for part in _blocks(said, {}, notes) if type(part) is Text])


def _blocks(content: Any, names: dict[str, str], notes: Notes) -> Iterator[Part]:
    """The parts of a message's content."""
    if type(content) is str:
        if content:
            yield Text(content)
        return
    signature = ("", "")  # of the next call of a tool
    apart = False
    for block in words.objects(content, "messages[].content"):
        kind = block.get("type")
        if block.get("cache_control") is not None:
            notes.drop("cache_control")
        if kind == "text":
            yield Text(words.string(block.get("text"), "messages[].content[].text"), apart)
            apart = False
        elif kind in ("image", "document"):
            part = _media(block, kind, notes)
            apart = type(part) is Text
            yield part
        elif kind == "thinking":
            sort, origin, sealed = words.unsealed(block.get("signature"))
            if sort == "c":
                signature = (sealed, origin)
            else:
                yield Thought(words.string(block.get("thinking"), "messages[].content[].thinking"), sealed, origin)
        elif kind == "redacted_thinking":
            _, origin, sealed = words.unsealed(block.get("data"))
            yield Thought("", sealed, origin, hidden=True)
        elif kind == "tool_use":
            id = words.string(block.get("id"), "messages[].content[].id")
            name = words.string(block.get("name"), "messages[].content[].name")
            names[id] = name
            given = words.object_of(block.get("input"), "messages[].content[].input")
            yield ToolUse(id, name, words.dumped(given), *signature)
            signature = ("", "")
        elif kind == "tool_result":
            id = words.string(block.get("tool_use_id"), "messages[].content[].tool_use_id")
            inner = tuple([one for one in _blocks(block.get("content"), {}, notes) if type(one) in (Text, Media)])
            yield ToolResult(id, names.get(id, ""), inner, block.get("is_error") is True)  # type: ignore[arg-type]
        else:
            raise notes.refuse("messages[].content[].type", "has a kind that exists at its own provider only")


def _media(block: Json, kind: str, notes: Notes) -> Part:
    """An image or a document."""
    source = words.object_of(block.get("source"), "messages[].content[].source")
    said, name = source.get("type"), words.string(block.get("title"), "messages[].content[].title")
    if said == "base64":
        type_ = words.string(source.get("media_type"), "messages[].content[].source.media_type")
        return Media(type_, words.string(source.get("data"), "messages[].content[].source.data"), "", name)
    if said == "url":
        url = words.string(source.get("url"), "messages[].content[].source.url")
        return Media("image/*" if kind == "image" else "application/pdf", "", url, name)
    if said == "text":
        return Text(words.string(source.get("data"), "messages[].content[].source.data"), apart=True)
    raise notes.refuse("messages[].content[].source", "names a file that another provider stores")


def _tool(tool: Json, notes: Notes) -> Tool:
    if tool.get("type") not in (None, "custom"):
        raise notes.refuse("tools[].type", "must be custom: other tools exist at their own provider only")
    if tool.get("cache_control") is not None:
        notes.drop("cache_control")
    return Tool(
        words.string(tool.get("name"), "tools[].name"),
        words.string(tool.get("description"), "tools[].description"),
        words.object_of(tool.get("input_schema"), "tools[].input_schema"),
        tool.get("strict"),
    )


def _choice(said: Json) -> Choice | None:
    if not said:
        return None
    if said.get("type") == "tool":
        return Choice("any", (words.string(said.get("name"), "tool_choice.name"),))
    mode = _MODES.get(words.string(said.get("type"), "tool_choice.type"))
    if mode is None:
        raise wrong("tool_choice.type", "must be auto, any, tool or none")
    return Choice(mode)


def _form(said: Json) -> Form | None:
    if not said:
        return None
    if said.get("type") != "json_schema":
        raise wrong("output_config.format.type", "must be json_schema")
    return Form(words.object_of(said.get("schema"), "output_config.format.schema"))


def _thinking(said: Json, config: Json) -> Thinking | None:
    """The thinking that is asked for; an effort without thinking is an effort."""
    effort = words.string(config.get("effort"), "output_config.effort")
    kind = said.get("type")
    if kind == "disabled":
        return Thinking("none")
    if kind == "enabled":
        return Thinking(effort, words.integer(said.get("budget_tokens"), "thinking.budget_tokens"))
    if kind == "adaptive" and not effort:
        return Thinking("high")  # the effort by default
    return Thinking(effort) if effort else None


def write(request: Request, target: Target, notes: Notes) -> Json:
    """The body of a request for a message. Raises Refusal for what a message cannot express."""
    most = request.most or target.ceiling
    body: Json = {"model": target.model, "max_tokens": most}
    if request.system:
        body["system"] = request.system
    messages = [{"role": turn.role, "content": _written(turn, target, notes)} for turn in request.turns]
    body["messages"] = [message for message in messages if message["content"]]
    if request.tools:
        body["tools"] = [_written_tool(tool) for tool in request.tools]
        _write_choice(request, body, notes)
    for name in ("seed", "frequency_penalty", "presence_penalty"):
        if getattr(request, name) is not None:
            notes.drop(name)
    if request.stop:
        if stop := [text for text in request.stop if text.strip()]:
            body["stop_sequences"] = stop
        if len(stop) < len(request.stop):
            notes.drop("stop")  # blanks are refused
    if request.user:
        body["metadata"] = {"user_id": request.user}
    if request.form is not None:
        if request.form.schema is None:
            raise notes.refuse("form", "needs a JSON schema")
        body["output_config"] = {"format": {"type": "json_schema", "schema": request.form.schema}}
    thinks = _write_thinking(request, target, body, notes)
    _write_sampling(request, body, notes, thinks=thinks)
    if request.stream:
        body["stream"] = True
    return body


def _write_choice(request: Request, body: Json, notes: Notes) -> None:
    """How tools are chosen, and whether several may be called at once."""
    choice = request.choice
    said: Json = {}
    if choice is not None:
        if choice.names and (choice.mode != "any" or len(choice.names) > 1):
            raise notes.refuse("choice", "cannot allow some of the tools; offer only these")
        said = {"type": "tool", "name": choice.names[0]} if choice.names else {"type": choice.mode}
    if request.parallel is not None and said.get("type") != "none":
        said = {**(said or {"type": "auto"}), "disable_parallel_tool_use": not request.parallel}
    if said:
        body["tool_choice"] = said


def _write_thinking(request: Request, target: Target, body: Json, notes: Notes) -> bool:
    """How much the model thinks; True if it does."""
    thinking = request.thinking
    if thinking is None:
        return False
    if thinking.effort == "none" or thinking.budget == 0:
        body["thinking"] = {"type": "disabled"}
        return False
    if request.choice is not None and request.choice.mode == "any" and request.tools:
        notes.drop("thinking")  # a forced call of a tool excludes thinking
        return False
    if thinking.effort:
        effort = _EFFORTS.get(thinking.effort, thinking.effort)
        body["output_config"] = {**body.get("output_config", {}), "effort": effort}
    budget = thinking.budget
    if budget is None or budget < 0:
        body["thinking"] = {"type": "adaptive"}
        return True
    if budget < _LEAST or body["max_tokens"] <= budget or not _goes_on_thinking(request, target):
        notes.drop("thinking")
        return False
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return True


def _goes_on_thinking(request: Request, target: Target) -> bool:
    """Whether the last turn of the model, if it awaits results of tools, has the thought that a budget demands."""
    turns = request.turns
    if len(turns) < 2 or not any(type(part) is ToolResult for part in turns[-1].parts):
        return True
    return any(type(part) is Thought and part.signature and part.origin == target.origin for part in turns[-2].parts)


def _write_sampling(request: Request, body: Json, notes: Notes, *, thinks: bool) -> None:
    """The temperature is at most 1, excludes `top_p`, and thinking excludes all."""
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is None:
            continue
        if thinks or (name == "top_p" and "temperature" in body):
            notes.drop(name)
        elif name == "temperature" and value > 1:
            body[name] = 1
            notes.drop(name)
        else:
            body[name] = value


def _written(turn: Turn, target: Target, notes: Notes) -> list[Json]:
    """The blocks of one turn: results of tools first."""
    first: list[Json] = []
    rest: list[Json] = []
    for part in turn.parts:
        if type(part) is ToolResult:
            first.append(_result(part, notes))
        elif type(part) is Text:
            if part.text.strip():  # blank texts are refused
                rest.append({"type": "text", "text": part.text})
        elif type(part) is Media:
            rest.append(_source(part, notes))
        elif type(part) is Thought:
            rest += _thought(part, target, notes)
        elif type(part) is ToolUse:
            if part.signature:
                notes.drop("signature")
            try:
                given = words.exact(part.arguments)
            except ValueError:
                raise notes.refuse("arguments", "must be a JSON object") from None
            rest.append({"type": "tool_use", "id": words.fitting_id(part.id), "name": part.name, "input": given})
    return first + rest


def _thought(part: Thought, target: Target, notes: Notes) -> list[Json]:
    """A thought that the target signed; others are dropped."""
    if not part.signature or part.origin != target.origin:
        notes.drop("thought")
        return []
    if part.hidden:
        return [{"type": "redacted_thinking", "data": part.signature}]
    return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]


def _result(part: ToolResult, notes: Notes) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": words.fitting_id(part.id)}
    if len(part.parts) == 1 and type(part.parts[0]) is Text:
        block["content"] = part.parts[0].text
    elif part.parts:
        block["content"] = [
            {"type": "text", "text": one.text} if type(one) is Text else _source(one, notes) for one in part.parts
        ]
    if part.error:
        block["is_error"] = True
    return block


def _source(one: Any, notes: Notes) -> Json:
    """A block with an image or a document."""
    if not words.is_image(one) and one.type != "application/pdf":
        raise notes.refuse("media", f"cannot be {one.type}")
    source = (
        {"type": "url", "url": one.url} if one.url else {"type": "base64", "media_type": one.type, "data": one.data}
    )
    if words.is_image(one):
        return {"type": "image", "source": source}
    return {"type": "document", "source": source, **({"title": one.name} if one.name else {})}


def _written_tool(tool: Tool) -> Json:
    said: Json = {"name": tool.name, "input_schema": tool.schema or {"type": "object", "properties": {}}}
    if tool.description:
        said["description"] = tool.description
    if tool.strict is not None:
        said["strict"] = tool.strict
    return said
