"""The neutral model: a request, an answer, and the events of a streamed answer, in no dialect.

All types are immutable. Arguments of tools are JSON in a string, as the model wrote them. A signature is opaque; it
belongs to the target that made it (`origin`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from gateway.call import Json, Usage

Role = Literal["user", "assistant"]
Stop = Literal["end", "length", "tools", "sequence", "refusal", "pause"]
"""Why an answer ended. `pause`: the provider wants to continue with a further request."""


class Text(NamedTuple):
    """A text. `apart`: a message or a document begins, so that the text is never joined to the one before."""

    text: str
    apart: bool = False


class Media(NamedTuple):
    """An image, a document or audio: base64 `data`, or a `url`. `type`: its media type, "image/*" if unknown."""

    type: str
    data: str = ""
    url: str = ""
    name: str = ""


class Thought(NamedTuple):
    """What the model thought. `hidden`: the text is encrypted, and `signature` holds it."""

    text: str
    signature: str = ""
    origin: str = ""
    hidden: bool = False


class ToolUse(NamedTuple):
    """A call of a tool."""

    id: str
    name: str
    arguments: str
    signature: str = ""
    origin: str = ""


class ToolResult(NamedTuple):
    """The result of the call `id` of the tool `name`."""

    id: str
    name: str
    parts: tuple[Text | Media, ...]
    error: bool = False


Part = Text | Media | Thought | ToolUse | ToolResult


class Turn(NamedTuple):
    """What one side said. Turns of one side never follow each other."""

    role: Role
    parts: tuple[Part, ...]


class Tool(NamedTuple):
    """A function that the model may call. `schema`: JSON Schema of its arguments. `strict`: None if not said."""

    name: str
    description: str
    schema: Json
    strict: bool | None = None


class Choice(NamedTuple):
    """Whether tools are called. `names`: the only tools that may be called; empty for all."""

    mode: Literal["auto", "none", "any"]
    names: tuple[str, ...] = ()


class Form(NamedTuple):
    """The form of the answer: JSON by a schema; without one, any JSON object."""

    schema: Json | None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Thinking(NamedTuple):
    """How much the model thinks: an effort, or a budget in tokens. `effort` "none": not at all."""

    effort: str = ""
    budget: int | None = None


class Request(NamedTuple):
    """What a caller asks for."""

    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None
    most: int | None = None
    stop: tuple[str, ...] = ()
    form: Form | None = None
    thinking: Thinking | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    user: str = ""
    stream: bool = False


class Answer(NamedTuple):
    """A whole answer. `sequence`: the stop sequence that ended the answer. `usage`: None if there is no report."""

    id: str
    model: str
    parts: tuple[Text | Thought | ToolUse, ...]
    stop: Stop
    usage: Usage | None = None
    sequence: str = ""


class Begun(NamedTuple):
    """A stream has begun."""

    id: str
    model: str
    usage: Usage | None = None


class Said(NamedTuple):
    """A piece of text."""

    text: str


class Thinks(NamedTuple):
    """A piece of thought, or a signature, which ends the thought."""

    text: str
    signature: str = ""
    origin: str = ""
    hidden: bool = False


class Calls(NamedTuple):
    """A call of a tool begins; its arguments follow. It ends where anything else begins."""

    id: str
    name: str
    signature: str = ""
    origin: str = ""


class Argues(NamedTuple):
    """A piece of the arguments of the call that began last."""

    text: str


class Counted(NamedTuple):
    """The usage so far."""

    usage: Usage


class Ended(NamedTuple):
    """The answer has ended."""

    stop: Stop
    sequence: str = ""


Event = Begun | Said | Thinks | Calls | Argues | Counted | Ended
FEATURES: Final = tuple(name for name in Request._fields if name not in ("turns", "stream"))
"""What a request may ask for, beside its turns."""


def joined(events: list[Event]) -> Answer:
    """The whole answer of a stream. Raises ValueError for a stream without an end."""
    id = model = sequence = ""
    stop: Stop | None = None
    usage: Usage | None = None
    parts: list[Text | Thought | ToolUse] = []
    open_thought = False
    for event in events:
        last = parts[-1] if parts else None
        if type(event) is Begun:
            id, model, usage = event.id, event.model, event.usage or usage
        elif type(event) is Said:
            if type(last) is Text:
                parts[-1] = Text(last.text + event.text)
            else:
                parts.append(Text(event.text))
        elif type(event) is Thinks:
            if type(last) is Thought and open_thought and not event.hidden:
                parts[-1] = Thought(last.text + event.text, event.signature, event.origin)
            else:
                parts.append(Thought(*event))
        elif type(event) is Calls:
            parts.append(ToolUse(event.id, event.name, "", event.signature, event.origin))
        elif type(event) is Argues:
            if type(last) is not ToolUse:
                raise ValueError("it holds arguments without a call")
            parts[-1] = last._replace(arguments=last.arguments + event.text)
        elif type(event) is Counted:
            usage = event.usage.joined(usage)
        elif type(event) is Ended:
            stop, sequence = event
        if type(event) is Thinks:
            open_thought = not event.signature
    if stop is None:
        raise ValueError("it broke off before its end")
    return Answer(id, model, tuple(parts), stop, usage, sequence)


def turned(said: Iterable[tuple[Role, Iterable[Part]]]) -> tuple[Turn, ...]:
    """The turns of a conversation, from its messages in order.

    Texts of two messages stay apart: each was judged alone, and joined they may be a value that was never judged.
    """
    turns: list[tuple[Role, list[Part]]] = []
    for role, message in said:
        parts = list(message)
        if not parts:
            continue
        if not turns or turns[-1][0] != role:
            turns.append((role, parts))
            continue
        before = turns[-1][1]
        at = next((at for at, part in enumerate(parts) if type(part) is Text), None)
        if at is not None and any(type(part) is Text for part in before):
            parts[at] = parts[at]._replace(apart=True)  # type: ignore[call-arg]
        before += parts
    return tuple([Turn(role, tuple(parts)) for role, parts in turns])
