"""The official clients, unmodified, on models of every other format: the provider refuses what the real one refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Protocol

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

import strict
import upstream as scripted
from gateway.call import Usage
from gateway.translate.model import Answer, Argues, Begun, Calls, Counted, Ended, Said, Text, ToolUse
from gateway.translate.translation import TARGETS
from gateway.translate.words import Context
from line import Line, config, running

pytestmark = pytest.mark.live

FORMATS = list(TARGETS)
CONTEXT = Context("ab" * 16, 1, "x")
CALLS = ToolUse("call_1", "send", '{"to":"ann"}'), ToolUse("call_2", "send", '{"to":"bob"}')
PARALLEL = Answer("id1", "m", (Text("I send both."), *CALLS), "tools", Usage(11, 7))
FORM = Answer("id2", "m", (Text('{"to": "ann"}'),), "end", Usage(11, 7))
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 16).decode()


class To(BaseModel):
    """A structured answer."""

    to: str


class Client(Protocol):
    """One official client. Each method returns what its user reads."""

    def ask(self, model: str, text: str, *, stream: bool = False) -> str:
        """The text of an answer."""
        ...

    def loop(self, model: str, text: str, *, stream: bool = False) -> tuple[list[tuple[str, Any]], str]:
        """The calls of tools in the first answer, and the text of the second, after the results."""
        ...

    def form(self, model: str, text: str) -> str:
        """The field `to` of a structured answer."""
        ...

    def image(self, model: str) -> str:
        """The text of the answer to an image."""
        ...

    def fails(self, model: str) -> tuple[int, str]:
        """The status and message of an error."""
        ...


class Chat:
    """`client.chat.completions` of openai."""

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="mg-alice", max_retries=0)
        self.tools: Any = [{"type": "function", "function": {"name": "send", "parameters": SCHEMA}}]

    def _message(self, model: str, messages: Any, stream: bool, **fields: Any) -> Any:
        if not stream:
            return self.client.chat.completions.create(model=model, messages=messages, **fields).choices[0].message
        with self.client.chat.completions.stream(model=model, messages=messages, **fields) as events:
            for _ in events:
                pass
            return events.get_final_completion().choices[0].message

    def ask(self, model: str, text: str, *, stream: bool = False) -> str:
        return str(self._message(model, [{"role": "user", "content": text}], stream).content)

    def loop(self, model: str, text: str, *, stream: bool = False) -> tuple[list[tuple[str, Any]], str]:
        messages: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]
        said = self._message(model, messages, stream, tools=self.tools)
        messages.append(said.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in messages[-1]["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": "sent"})
        messages.append({"role": "user", "content": "and now"})
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in said.tool_calls]
        last = self._message(model.replace("script", "echo"), messages, stream, tools=self.tools)
        return calls, last.content

    def form(self, model: str, text: str) -> str:
        said = self.client.chat.completions.parse(
            model=model, messages=[{"role": "user", "content": text}], response_format=To
        )
        assert said.choices[0].message.parsed is not None
        return said.choices[0].message.parsed.to

    def image(self, model: str) -> str:
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        content = [{"type": "text", "text": "what"}, part]
        return str(self._message(model, [{"role": "user", "content": content}], False).content)

    def fails(self, model: str) -> tuple[int, str]:
        with pytest.raises(openai.APIStatusError) as caught:
            self.ask(model, "hi")
        return caught.value.status_code, str(caught.value)


class Responses(Chat):
    """`client.responses` of openai."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.tools = [{"type": "function", "name": "send", "parameters": SCHEMA, "strict": False}]

    def _response(self, model: str, given: Any, stream: bool, **fields: Any) -> Any:
        if not stream:
            return self.client.responses.create(model=model, input=given, **fields)
        with self.client.responses.stream(model=model, input=given, **fields) as events:
            for _ in events:
                pass
            return events.get_final_response()

    def ask(self, model: str, text: str, *, stream: bool = False) -> str:
        return str(self._response(model, text, stream).output_text)

    def loop(self, model: str, text: str, *, stream: bool = False) -> tuple[list[tuple[str, Any]], str]:
        given: Any = [{"role": "user", "content": text}]
        said = self._response(model, given, stream, tools=self.tools)
        calls = [item for item in said.output if item.type == "function_call"]
        given += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in said.output]
        for part in (part for item in given if item.get("type") == "message" for part in item["content"]):
            part.pop("parsed", None)
        given += [{"type": "function_call_output", "call_id": call.call_id, "output": "sent"} for call in calls]
        given.append({"role": "user", "content": "and now"})
        last = self._response(model.replace("script", "echo"), given, stream, tools=self.tools)
        return [(call.name, json.loads(call.arguments)) for call in calls], last.output_text

    def form(self, model: str, text: str) -> str:
        said = self.client.responses.parse(model=model, input=text, text_format=To)
        assert said.output_parsed is not None
        return said.output_parsed.to

    def image(self, model: str) -> str:
        part: Any = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
        content: Any = [{"type": "input_text", "text": "what"}, part]
        return str(self._response(model, [{"role": "user", "content": content}], False).output_text)


class Messages:
    """`client.messages` of anthropic."""

    def __init__(self, url: str) -> None:
        self.client = anthropic.Anthropic(base_url=url, api_key="mg-alice", max_retries=0)
        self.tools: Any = [{"name": "send", "input_schema": SCHEMA}]

    def _message(self, model: str, messages: Any, stream: bool, **fields: Any) -> Any:
        if not stream:
            return self.client.messages.create(model=model, max_tokens=100, messages=messages, **fields)
        with self.client.messages.stream(model=model, max_tokens=100, messages=messages, **fields) as events:
            return events.get_final_message()

    def ask(self, model: str, text: str, *, stream: bool = False) -> str:
        return str(self._message(model, [{"role": "user", "content": text}], stream).content[0].text)

    def loop(self, model: str, text: str, *, stream: bool = False) -> tuple[list[tuple[str, Any]], str]:
        messages: Any = [{"role": "user", "content": text}]
        said = self._message(model, messages, stream, tools=self.tools, system="be brief")
        assert said.stop_reason == "tool_use"
        calls = [block for block in said.content if block.type == "tool_use"]
        results: list[Any] = [{"type": "tool_result", "tool_use_id": call.id, "content": "sent"} for call in calls]
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in said.content]}
        )
        for block in messages[-1]["content"]:
            block.pop("parsed_output", None)
        messages.append({"role": "user", "content": [*results, {"type": "text", "text": "and now"}]})
        last = self._message(model.replace("script", "echo"), messages, stream, tools=self.tools)
        return [(call.name, call.input) for call in calls], last.content[0].text

    def form(self, model: str, text: str) -> str:
        said = self.client.messages.parse(
            model=model, max_tokens=100, messages=[{"role": "user", "content": text}], output_format=To
        )
        assert said.parsed_output is not None
        return said.parsed_output.to

    def image(self, model: str) -> str:
        part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        content = [{"type": "text", "text": "what"}, part]
        return str(self._message(model, [{"role": "user", "content": content}], False).content[0].text)

    def fails(self, model: str) -> tuple[int, str]:
        with pytest.raises(anthropic.APIStatusError) as caught:
            self.ask(model, "hi")
        return caught.value.status_code, str(caught.value)


class Gemini:
    """`client.models` of google-genai."""

    def __init__(self, url: str) -> None:
        self.client = genai.Client(api_key="mg-alice", http_options=types.HttpOptions(base_url=url))
        declared = types.FunctionDeclaration(name="send", parameters_json_schema=SCHEMA)
        self.config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declared])],
            system_instruction="be brief",
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )

    def _content(self, model: str, contents: Any, stream: bool, config: Any = None) -> Any:
        """The parts of an answer."""
        if not stream:
            said = self.client.models.generate_content(model=model, contents=contents, config=config)
            return said.candidates[0].content.parts  # type: ignore[index,union-attr]
        parts: list[Any] = []
        for event in self.client.models.generate_content_stream(model=model, contents=contents, config=config):
            parts += event.candidates[0].content.parts or []  # type: ignore[index,union-attr]
        return parts

    def ask(self, model: str, text: str, *, stream: bool = False) -> str:
        return "".join(part.text for part in self._content(model, text, stream))

    def loop(self, model: str, text: str, *, stream: bool = False) -> tuple[list[tuple[str, Any]], str]:
        contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=text)])]
        parts = self._content(model, contents, stream, self.config)
        calls = [part.function_call for part in parts if part.function_call]
        results = [
            types.Part(
                function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": "sent"})
            )
            for call in calls
        ]
        contents.append(types.Content(role="model", parts=parts))
        contents.append(types.Content(role="user", parts=[*results, types.Part(text="and now")]))
        last = self._content(model.replace("script", "echo"), contents, stream, self.config)
        return [(call.name, call.args) for call in calls], "".join(part.text or "" for part in last)

    def form(self, model: str, text: str) -> str:
        wanted = types.GenerateContentConfig(response_mime_type="application/json", response_schema=To)
        said = self.client.models.generate_content(model=model, contents=text, config=wanted)
        assert isinstance(said.parsed, To)
        return said.parsed.to

    def image(self, model: str) -> str:
        part = types.Part(inline_data=types.Blob(mime_type="image/png", data=base64.b64decode(PNG)))
        contents = [types.Content(role="user", parts=[types.Part(text="what"), part])]
        return "".join(part.text for part in self._content(model, contents, False))

    def fails(self, model: str) -> tuple[int, str]:
        with pytest.raises(errors.APIError) as caught:
            self.ask(model, "hi")
        return caught.value.code, str(caught.value)


PAIRS = [
    (made, format)
    for made, own in ((Chat, "openai"), (Responses, "openai"), (Messages, "anthropic"), (Gemini, "gemini"))
    for format in FORMATS
    if format != own
]


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with models of every format."""
    folder = tmp_path_factory.mktemp("translation")
    settings = config(folder, up.url, pii={"unscannable": "allow"})
    base = up.url.removesuffix("/v1")
    for format in FORMATS:
        url = up.url if format == "openai" else base
        settings["providers"][format] = {"format": format, "base_url": url, "api_key": "sk-up"}
        for name in ["echo", "script", "mid-error", "status-400", "status-429", "status-500"]:
            price = {"input": 1, "output": 2}
            settings["models"][f"{format}-{name}"] = {"targets": [f"{format}/{name}"], "price": price}
    up.refuses = strict.reason
    with running(folder, settings) as started:
        yield started
    up.refuses = lambda seen: ""


@pytest.fixture
def client(line: Line, made: Any) -> Iterator[Client]:
    """A client, closed at the end."""
    one = made(line.url)
    yield one
    one.client.close()


def script(up: scripted.Upstream, text: str, format: str, answer: Answer, stream: bool) -> None:
    """The model `script` answers to a text with an answer in a format."""
    dialect = TARGETS[format].dialect
    if not stream:
        up.script[text] = json.loads(json.dumps(_plain(dialect.write_answer(answer, CONTEXT))))
        return
    said: list[Any] = [Begun(answer.id, answer.model)]
    for part in answer.parts:
        if isinstance(part, Text):
            said += [Said(part.text[:3]), Said(part.text[3:])]
        elif isinstance(part, ToolUse):
            said += [Calls(part.id, part.name), Argues(part.arguments[:4]), Argues(part.arguments[4:])]
    said += [Counted(answer.usage or Usage()), Ended(answer.stop)]
    up.script[text] = list(dialect.writer(CONTEXT).write(iter(said)))


def _plain(value: Any) -> Any:
    import orjson

    return orjson.loads(orjson.dumps(value))


@pytest.mark.parametrize(("made", "format"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
class TestClients:
    """Each client on each format."""

    def test_text(self, client: Client, format: str, stream: bool) -> None:
        """Whole and streamed."""
        assert client.ask(f"{format}-echo", "hello there", stream=stream) == "hello there"

    def test_parallel_calls_and_their_results(
        self, up: scripted.Upstream, client: Client, format: str, stream: bool
    ) -> None:
        """A loop of tools: two calls in one answer, both results in the next request."""
        text = f"calls {format} {stream}"
        script(up, text, format, PARALLEL, stream)
        calls, last = client.loop(f"{format}-script", text, stream=stream)
        assert calls == [("send", {"to": "ann"}), ("send", {"to": "bob"})]
        assert last.strip().endswith("and now")
        if format != "gemini":
            assert b"sent" in up.last.raw


@pytest.mark.parametrize(("made", "format"), PAIRS)
class TestForms:
    """Each client on each format: what is not streamed."""

    def test_structured(self, up: scripted.Upstream, client: Client, format: str) -> None:
        """A schema of the client reaches the provider, and the answer is parsed."""
        script(up, f"form {format}", format, FORM, False)
        assert client.form(f"{format}-script", f"form {format}") == "ann"
        assert b'"to"' in up.last.raw

    def test_images(self, up: scripted.Upstream, client: Client, format: str) -> None:
        """The bytes of an image arrive."""
        assert "what" in client.image(f"{format}-echo")
        assert PNG.encode() in up.last.raw

    def test_errors(self, client: Client, format: str) -> None:
        """Errors of the provider in the form of the client, with the words of the provider."""
        status, message = client.fails(f"{format}-status-400")
        assert status == 400
        assert "no: hi" in message
        assert client.fails(f"{format}-status-429")[0] == 429
        assert client.fails(f"{format}-status-500")[0] == 502
