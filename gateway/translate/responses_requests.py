"""Requests for responses, to the neutral model (OpenAI API reference: responses/create)."""

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
    turned,
)
from gateway.translate.words import Notes, wrong

NAMES: Final[Mapping[str, str]] = {
    "parallel": "parallel_tool_calls",
    "most": "max_output_tokens",
    "form": "text.format",
    "thinking": "reasoning.effort",
    "choice": "tool_choice",
    "thought": "input[].encrypted_content",
    "signature": "input[].encrypted_content",
    "strict": "tools[].strict",
    "arguments": "input[].arguments",
    "media": "input[].content[]",
    "result_error": "input[].output",
}
HARMLESS: Final = words.names(
    "include max_tool_calls metadata prompt_cache_key prompt_cache_retention prompt_cache_options safety_identifier "
    "service_tier store stream_options truncation text.verbosity reasoning.summary context_management moderation"
)
REFUSED: Final[Mapping[str, str]] = {
    "previous_response_id": "continues a response that another provider stores",
    "conversation": "continues a conversation that another provider stores",
    "prompt": "names a prompt that another provider stores",
    "background": "asks for an answer that a provider stores",
    "top_logprobs": "asks for log probabilities",
    "n": "asks for several answers",
}
_READ: Final = words.names(
    "model input instructions tools tool_choice parallel_tool_calls max_output_tokens temperature top_p reasoning text "
    "user stream"
)
_KNOWN: Final = _READ | REFUSED.keys()
_PLAIN: Final[Mapping[str, tuple[Any, ...]]] = {
    "background": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "truncation": ("disabled",),
    "include": ([], ["reasoning.encrypted_content"]),
    "metadata": ({},),
}
"""Fields in a form that asks for nothing."""


def read(body: Json, notes: Notes) -> Request:
    """The neutral request. Raises Refusal(invalid_request)."""
    for name in sorted(body):
        if body[name] is None or body[name] in _PLAIN.get(name, ()):
            continue
        if name in REFUSED:
            raise notes.refuse(name, f"{REFUSED[name]}, which the translation does not support")
        if name not in _KNOWN and name != "stream_options":
            notes.drop(name)
    system = [words.string(body.get("instructions"), "instructions")]
    said = list(_said(body.get("input"), system, notes))
    reasoning = words.object_of(body.get("reasoning"), "reasoning")
    effort = words.string(reasoning.get("effort"), "reasoning.effort")
    text = words.object_of(body.get("text"), "text")
    if text.get("verbosity") not in (None, "medium"):
        notes.drop("text.verbosity")
    return Request(
        turned(said),
        "\n\n".join([one for one in system if one]),
        tuple([_tool(tool, notes) for tool in words.objects(body.get("tools"), "tools")]),
        _choice(body.get("tool_choice"), notes),
        body.get("parallel_tool_calls"),
        words.integer(body.get("max_output_tokens"), "max_output_tokens"),
        form=_form(words.object_of(text.get("format"), "text.format")),
        thinking=Thinking(effort) if effort else None,
        temperature=words.number(body.get("temperature"), "temperature"),
        top_p=words.number(body.get("top_p"), "top_p"),
        user=words.string(body.get("user"), "user"),
        stream=body.get("stream") is True,
    )


def _said(given: Any, system: list[str], notes: Notes) -> Iterator[tuple[Role, list[Part]]]:
    """The parts of each item. Instructions among them are added to `system`."""
    if type(given) is str:
        yield "user", [Text(given)]
        return
    names: dict[str, str] = {}
    signature = ("", "")  # of the next call of a tool
    for item in words.objects(given, "input"):
        kind = item.get("type") or "message"
        if kind == "message":
            role = item.get("role")
            parts = _parts(item.get("content"), notes)
            if role in ("system", "developer"):
                system.append("".join([part.text for part in parts if type(part) is Text]))
            elif role in ("user", "assistant"):
                yield role, [*parts]
            else:
                raise wrong("input[].role", "must be user, assistant, system or developer")
        elif kind == "function_call":
            id = words.string(item.get("call_id"), "input[].call_id")
            names[id] = words.string(item.get("name"), "input[].name")
            yield (
                "assistant",
                [ToolUse(id, names[id], words.string(item.get("arguments"), "input[].arguments"), *signature)],
            )
            signature = ("", "")
        elif kind == "function_call_output":
            id = words.string(item.get("call_id"), "input[].call_id")
            yield "user", [ToolResult(id, names.get(id, ""), tuple(_parts(item.get("output"), notes)))]
        elif kind == "reasoning":
            sort, origin, sealed = words.unsealed(item.get("encrypted_content"))
            if sort == "c":
                signature = (sealed, origin)
            else:
                texts = [one.get("text") or "" for one in words.objects(item.get("summary"), "input[].summary")]
                yield "assistant", [Thought("\n\n".join(texts), sealed, origin, hidden=sort == "h")]
        else:
            raise notes.refuse("input[].type", "has a kind that exists at its own provider only")


def _parts(content: Any, notes: Notes) -> list[Text | Media]:
    """The parts of a message, or of the result of a tool."""
    if type(content) is str:
        return [Text(content)] if content else []
    found: list[Text | Media] = []
    for part in words.objects(content, "input[].content"):
        kind = part.get("type")
        if kind in ("input_text", "output_text", "text", "refusal"):
            found.append(
                Text(words.string(part.get("refusal" if kind == "refusal" else "text"), "input[].content[].text"))
            )
        elif kind == "input_image" and part.get("image_url"):
            if part.get("detail") not in (None, "auto"):
                notes.drop("input[].content[].detail")
            found.append(words.media(part["image_url"], "input[].content[].image_url", "image/*"))
        elif kind == "input_file" and (data := part.get("file_data") or part.get("file_url")):
            name = words.string(part.get("filename"), "input[].content[].filename")
            found.append(words.media(data, "input[].content[].file_data", "application/pdf", name))
        elif kind in ("input_image", "input_file"):
            raise notes.refuse("input[].content[].file_id", "names a file that another provider stores")
        else:
            raise notes.refuse("input[].content[].type", "has a kind that cannot be translated")
    return found


def _tool(tool: Json, notes: Notes) -> Tool:
    if tool.get("type") != "function":
        raise notes.refuse("tools[].type", "must be function: other tools exist at their own provider only")
    return Tool(
        words.string(tool.get("name"), "tools[].name"),
        words.string(tool.get("description"), "tools[].description"),
        words.object_of(tool.get("parameters"), "tools[].parameters"),
        tool.get("strict"),
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
        return Choice("any", (words.string(said.get("name"), "tool_choice.name"),))
    if kind == "allowed_tools":
        listed = words.objects(said.get("tools"), "tool_choice.tools")
        names = tuple([words.string(tool.get("name"), "tool_choice.tools[].name") for tool in listed])
        return Choice("any" if said.get("mode") == "required" else "auto", names)
    raise notes.refuse("tool_choice")


def _form(said: Json) -> Form | None:
    kind = said.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return Form(None)
    if kind != "json_schema":
        raise wrong("text.format.type", "must be text, json_object or json_schema")
    schema = words.object_of(said.get("schema"), "text.format.schema")
    name, about = (
        words.string(said.get("name"), "text.format.name"),
        words.string(said.get("description"), "text.format"),
    )
    return Form(schema, name, about, said.get("strict"))
