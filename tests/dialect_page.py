"""The generated docs/dialects.md: what the translation supports, by running it with one request for each feature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.errors import Refusal
from gateway.translate import words
from gateway.translate.model import (
    Choice,
    Form,
    Media,
    Part,
    Request,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from gateway.translate.translation import CALLERS, TARGETS

_ORIGIN: Final = words.origin("p", "m")
_TOOL: Final = (Tool("send", "", {"type": "object"}),)
_HI: Final = (Turn("user", (Text("hi"),)),)
_USE: Final = ToolUse("call_1", "send", "{}")


def _after(*parts: Part, result: ToolResult | None = None) -> Request:
    """A request after a turn of the model that calls a tool."""
    result = result or ToolResult("call_1", "send", (Text("sent"),))
    return Request((*_HI, Turn("assistant", (*parts, _USE)), Turn("user", (result,))), tools=_TOOL, most=9000)


def _asks(**fields: object) -> Request:
    return Request(_HI)._replace(**fields)  # type: ignore[arg-type]


def _shows(type: str, data: str = "aGk=", url: str = "") -> Request:
    return Request((Turn("user", (Text("what"), Media(type, data, url))),))


_SCHEMA: Final = {"type": "object"}
_IMAGE: Final = ToolResult("call_1", "send", (Media("image/png", "aGk="),))
FEATURES: Final = {
    "texts, instructions": _asks(system="be brief"),
    "image as data": _shows("image/png"),
    "image at a URL": _shows("image/*", "", "https://example.org/a.png"),
    "PDF as data": _shows("application/pdf"),
    "PDF at a URL": _shows("application/pdf", "", "https://example.org/a.pdf"),
    "audio": _shows("audio/wav"),
    "tools, several calls, results": _after(),
    "image in a result": _after(result=_IMAGE),
    "result marked as an error": _after(result=ToolResult("call_1", "send", (Text("no"),), error=True)),
    "tools: must call, must not, one tool": _asks(tools=_TOOL, choice=Choice("any", ("send",))),
    "tools: some of those offered": _asks(tools=_TOOL, choice=Choice("auto", ("send", "read"))),
    "tools: one call at a time": _asks(tools=_TOOL, parallel=False),
    "tools: strict arguments": _asks(tools=(Tool("send", "", _SCHEMA, strict=True),)),
    "answer by a JSON schema": _asks(form=Form(_SCHEMA)),
    "answer as any JSON": _asks(form=Form(None)),
    "effort of reasoning": _asks(thinking=Thinking("low")),
    "budget of reasoning": _asks(thinking=Thinking("", 2048), most=9000),
    "reasoning of the same target, signed": _after(Thought("so", "c2ln", _ORIGIN)),
    "reasoning of another target": _after(Thought("so", "c2ln", "other")),
    "output limit": _asks(most=100),
    "stop sequences": _asks(stop=("END",)),
    "temperature up to 1": _asks(temperature=0.5),
    "temperature above 1": _asks(temperature=1.5),
    "temperature with top_p": _asks(temperature=0.5, top_p=0.9),
    "top_k": _asks(top_k=5),
    "seed": _asks(seed=1),
    "frequency and presence penalty": _asks(frequency_penalty=0.5, presence_penalty=0.5),
    "user": _asks(user="u"),
}
_HEAD: Final = """\
# Dialects

A client may call a model in any dialect: chat completions, Responses, Messages or Gemini. If the provider of the
target has the same format, the bytes pass as they came. If it has another, the request is translated before it
leaves, and the answer as it arrives, before the output filter reads it: all checks work on the dialect of the client.
Failover works among targets of different formats. The targets' formats are `openai` (chat completions), `anthropic`
(Messages) and `gemini`. Responses is passed as it is to providers of format `openai` that have it (`responses`).

- **Refused**: what changes the meaning of an answer and cannot be expressed is refused with `invalid_request` before
  the call; the message names the field and the format. If another target of the model can express it, that one is
  tried.
- **Dropped**: optional tuning parameters are left out, and named in the header `x-meshgate-dropped`. So are
  fields that the dialect does not know.
- **Signed state** (signatures of thinking, `encrypted_content`, `thoughtSignature`) is kept in the field that the
  dialect of the client has for it, marked with its target, and returned to that target alone. Chat completions have a
  field for
  signatures of tool calls only (`extra_content.google.thought_signature`): other signatures are left out of answers,
  and reasoning is in `reasoning_content`.
- **Not translated**: embeddings, counts of tokens, stored responses. A translated response is never stored (`store:
  false` in the answer). Citations and log probabilities are not part of translated answers.
- **Charges** are by the usage that the provider reports, also where the dialect of the client has no field for a count.
- Instructions in the middle of a conversation are moved to its beginning. Messages of one side in a row become one,
  with a blank line between their texts. Ids of tool calls that a provider would refuse are replaced by a digest, in
  calls and results alike.

This page is written by `make reference`, from what the translation does.

"""


def page() -> str:
    """The whole page."""
    return _HEAD + "\n".join([*_features(), "", *_fields()]) + "\n"


def _features() -> Iterator[str]:
    yield "## What targets support\n"
    yield f"| | {' | '.join(f'`{format}`' for format in TARGETS)} |"
    yield "|---|" + "---|" * len(TARGETS)
    for title, request in FEATURES.items():
        yield f"| {title} | {' | '.join(_outcome(format, request) for format in TARGETS)} |"


def _outcome(format: str, request: Request) -> str:
    """What becomes of a request at a format."""
    notes = words.Notes(format, {})
    target = words.Target(format, "m", 9000, _ORIGIN)
    try:
        TARGETS[format].write_request(request, target, notes)
    except Refusal:
        return "refused"
    names = [name for name in notes.dropped if name not in ("thought", "result_error", "strict", "parallel")]
    named = f" ({', '.join(f'`{name}`' for name in names)})" if len(names) == 1 and "_" in names[0] else ""
    return f"dropped{named}" if notes.dropped else "yes"


def _fields() -> Iterator[str]:
    yield "## Fields of clients\n"
    yield "| dialect | dropped | refused |\n|---|---|---|"
    for dialect in dict.fromkeys([CALLERS[name].title for name in CALLERS]):
        one = next(found for found in CALLERS.values() if found.title == dialect)
        refused = "; ".join(f"`{name}` ({does})" for name, does in one.refused.items())
        yield f"| {dialect} | {', '.join(f'`{name}`' for name in sorted(one.harmless))} | {refused} |"
