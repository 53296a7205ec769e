"""OpenAI chat completions, whole and streamed (OpenAI API reference: chat/create, chat/streaming).

The tables below are the dialect. What they do not name passes through untouched.
Rules: a stream is `data:` events of JSON chunks, ended by `data: [DONE]`; a choice ends with the chunk that carries its
`finish_reason`; usage comes in a last chunk without choices, and only when `stream_options.include_usage` asked for it,
so we always ask, and take the chunk out again when the caller did not.
Doubts: some servers send usage in the finishing chunk, `content: null` beside tool calls, no `[DONE]`: all are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.call import Json, Usage
from gateway.errors import Refusal
from gateway.formats import Channel, Chunk, Delta, Intent, count, integer, openai_ceilings, openai_tools, sse, tree
from gateway.formats.frame import Frame
from gateway.formats.openai_steps import steps
from gateway.loops import Step

SHAPE = tree.Shape(
    opaque=frozenset(
        {"model", "role", "type", "id", "tool_call_id", "object", "finish_reason", "detail", "format"}
        | {"encoding_format", "service_tier", "system_fingerprint", "reasoning_effort", "verbosity", "syntax"}
    ),
    json=frozenset({"arguments"}),
    blobs=frozenset({"image_url", "video_url", "input_audio", "file", "audio"}),
    within=frozenset({"messages", "content", "tool_calls", "function", "function_call", "tools", "tool_choice"})
    | frozenset({"response_format", "json_schema", "schema", "parameters", "properties", "items", "audio"})
    | frozenset({"choices", "message", "delta", "image_url", "video_url", "input_audio", "file", "custom"}),
)
ANSWER = replace(SHAPE, repeats=frozenset({"logprobs"}))
# Fields of a delta whose pieces are one running text.
TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "thinking")
ENVELOPE = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier"})
CHUNK = ENVELOPE | {"choices", "usage"}
CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_CHOICES = frozenset({"choices"})  # what of a chunk, of its choices, is not judged as it is
_DELTA = frozenset({"delta", "logprobs"})
_LOGPROBS = frozenset({"logprobs"})
MAX_CHOICES = openai_ceilings.MAX_CHOICES

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def _wrong(param: str, problem: str) -> Refusal:
    return Refusal("invalid_request", f"`{param}` {problem}.", param=param)


def _name(value: Any) -> str:
    return value if type(value) is str else ""


class OpenAIChat:
    """The codec of `/v1/chat/completions`."""

    name = "openai_chat"
    path = "/chat/completions"
    shape = SHAPE
    done = b"data: [DONE]\n\n"

    def parse(self, body: Json) -> Intent:
        """Model, stream, tools and output ceiling. Raises Refusal(invalid_request) naming the parameter."""
        model, messages, stream = body.get("model"), body.get("messages"), body.get("stream")
        if type(model) is not str or not 0 < len(model) <= 256:
            raise _wrong("model", "must be a string of 1 to 256 characters")
        if type(messages) is not list or not messages:
            raise _wrong("messages", "must be a list of at least one message")
        for message in messages:
            if type(message) is not dict or type(message.get("role")) is not str:
                raise _wrong("messages", "must be objects, each with a role")
            content = message.get("content")
            if content is not None and type(content) is not str and type(content) is not list:
                raise _wrong("messages", "must have a content that is a string, a list of parts or null")
        if stream is not None and type(stream) is not bool:
            raise _wrong("stream", "must be true or false")
        options = body.get("stream_options")
        if options is not None and type(options) is not dict:
            raise _wrong("stream_options", "must be an object")
        answers, ceiling = openai_ceilings.answers(body), openai_ceilings.ceiling(body)
        openai_ceilings.check_tier(body)
        return Intent(model, bool(stream), self.tools(body), ceiling and ceiling * answers)

    def steps(self, body: Json) -> list[Step]:
        """Prompts, the model's turns and tool results, in order. A result answers a call of the turn before it."""
        return steps(body["messages"])

    def answers(self, body: Json) -> int:
        """How many answers the request asks for."""
        return openai_ceilings.answers(body)

    def wants_usage(self, body: Json) -> bool:
        """Whether the caller asked for the usage chunk of a stream itself."""
        return bool((body.get("stream_options") or {}).get("include_usage"))

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Name the upstream's model and ask for usage; True if the body changed."""
        changed = openai_ceilings.unite(body)
        if body.get("model") != model:
            body["model"] = model
            changed = True
        if stream and not self.wants_usage(body):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            changed = True
        return changed

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in the request, in whatever field. Raises Refusal(invalid_request)."""
        return openai_tools.names(body)

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Take tools out of what the model is offered, and the choice of one that is gone."""
        return openai_tools.strip(body, names)

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower the output ceiling to a policy's limit."""
        if unknown := set(limits) - {"max_tokens"}:
            names = ", ".join(sorted(unknown))
            raise Refusal("policy_unavailable", f"The policy sets limits that cannot be kept for chat: {names}.")
        return openai_ceilings.lower(body, limits["max_tokens"])

    def check(self, answer: Json) -> None:
        """Raise ValueError unless this is a chat completion."""
        choices = answer.get("choices")
        if type(choices) is not list or not all(type(choice) is dict for choice in choices):
            raise ValueError("it holds no choices")

    def whole(self, answer: Json) -> tree.Survey:
        """Every text of the answer, but for log probabilities (they repeat the text token by token)."""
        survey = tree.Survey(ANSWER)
        survey.walk(answer)
        return survey

    def calls(self, answer: Json) -> list[Json]:
        """The tool calls of all choices; the older single `function_call` as one of them."""
        calls: list[Json] = []
        for choice in answer["choices"]:
            message = choice.get("message")
            if type(message) is dict:
                said = message.get("tool_calls")
                calls += [call for call in said if type(call) is dict] if type(said) is list else []
                calls += [message] if type(message.get("function_call")) is dict else []
        return calls

    def tool(self, call: Json) -> str:
        """The name in `function`, `custom` or the older `function_call`; none where several give different ones."""
        inner = (call.get(kind) for kind in ("function", "custom", "function_call"))
        names = {_name(one.get("name")) for one in inner if type(one) is dict}
        return names.pop() if len(names) == 1 else ""

    def writes_json(self, body: Json) -> bool:
        """`response_format` of type json_object or json_schema."""
        wanted = body.get("response_format")
        return type(wanted) is dict and wanted.get("type") in ("json_object", "json_schema")

    def arguments(self, call: Json) -> tree.Survey:
        """Every text of one tool call."""
        survey = tree.Survey(SHAPE)
        survey.walk(call)
        return survey

    def conceal(self, answer: Json) -> None:
        """Take out what repeats the text of the choices, after that text was changed."""
        for choice in answer["choices"]:
            if choice.get("logprobs") is not None:
                choice["logprobs"] = None

    def echoes(self, answer: Json) -> bool:
        """Whether what repeats the text of the choices does repeat it, and so was judged with it."""
        return all(_echoes(choice) for choice in answer["choices"] if choice.get("logprobs") is not None)

    def usage(self, answer: Json) -> Usage | None:
        """The provider's own count; None when it gives none, or none that can be one."""
        told = answer.get("usage")
        if type(told) is not dict:
            return None
        total_in, total_out = count(told.get("prompt_tokens")), count(told.get("completion_tokens"))
        if total_in is None or total_out is None:
            return None
        prompt, completion = told.get("prompt_tokens_details"), told.get("completion_tokens_details")
        prompt = prompt if type(prompt) is dict else {}
        completion = completion if type(completion) is dict else {}
        return Usage(
            input=total_in,
            output=total_out,
            cached=integer(prompt.get("cached_tokens")),
            reasoning=integer(completion.get("reasoning_tokens")),
            audio=integer(completion.get("audio_tokens")),
            audio_input=integer(prompt.get("audio_tokens")),
        )

    def stream(self, *, keep_usage: bool) -> OpenAIChatStream:
        """A reader for one streamed answer."""
        return OpenAIChatStream(keep_usage)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {message, type, param, code}}`, with the refusal's detail beside them."""
        kind = _TYPES.get(refusal.status) or ("invalid_request_error" if refusal.status < 500 else "server_error")
        error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
        return {"error": {**error, "request_id": request_id, **refusal.detail}}

    def stream_refuse(self, refusal: Refusal, request_id: str, open_choices: Iterable[int], envelope: Json) -> bytes:
        """A policy's block ends the choices with `content_filter` and says why; a fault is an error event."""
        if refusal.domain != "policy":
            return sse.encode(orjson.dumps(self.refuse(refusal, request_id)))
        ends = [
            {"index": index, "delta": {"refusal": refusal.message}, "finish_reason": "content_filter"}
            for index in open_choices
        ]
        return sse.encode(orjson.dumps({**envelope, "choices": ends})) + self.done


class OpenAIChatStream:
    """Reads the events of one answer. `envelope` is what every chunk of it repeats (id, model, created)."""

    __slots__ = ("_frame", "_head", "_reader", "ended", "finished", "keep_usage", "open")

    def __init__(self, keep_usage: bool) -> None:
        self._reader = sse.Reader()
        self._frame: Frame | None = None
        self.keep_usage = keep_usage
        self._head: Json | None = None  # the first chunk, from which the envelope is taken
        self.open: dict[int, bool] = {}  # choice -> still open
        self.finished = False  # every choice said why it ended
        self.ended = False  # [DONE] came

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Chunks that are complete now. Raises ValueError on what is not a chat stream, after the chunks before it."""
        data = self._reader.take(data)
        at = 0
        while at < len(data):
            run = self._frame and self._frame.take(data, at)
            if run:
                chunk, at = run
            else:
                event, at = self._reader.next(data, at)
                if event is None:
                    return
                chunk = self._chunk(event)
            yield chunk

    @property
    def envelope(self) -> Json:
        """What every chunk repeats, as it was judged."""
        if self._head is None:
            return {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        return {key: value for key, value in self._head.items() if key in ENVELOPE}

    def distrust(self) -> None:
        """Read every event in full again: something that its kind repeats was changed."""
        self._frame = None

    def faithful(self, chunk: Chunk) -> bool:
        """Whether the bytes of a chunk that was parsed say what was read of them, and nothing else.

        A key that stands twice, a line that is no data: a client might read what nobody judged.
        """
        raw = chunk.raw
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        one_line = raw.startswith(b"data:") and raw.find(b"\n") == len(raw) - 2
        return one_line and chunk.data is not None and tree.says_once(raw.removeprefix(b"data:"), chunk.data)

    def close(self) -> None:
        """Raise ValueError if the upstream went away before the answer was whole."""
        if not self.ended and not self.finished:
            raise ValueError("the stream broke off before its end")

    def _chunk(self, event: sse.SSE) -> Chunk:
        chunk = Chunk(event.raw)
        if event.data is None:
            return chunk
        if event.data.strip() == b"[DONE]":
            chunk.done = self.ended = True
            return chunk
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            raise ValueError("a chunk is not JSON") from None
        if type(data) is not dict:
            raise ValueError("a chunk is not an object")
        chunk.data = data
        if data.get("error") is not None:
            chunk.error = True
            return chunk
        self._read(chunk, data)
        return chunk

    def _read(self, chunk: Chunk, data: Json) -> None:
        choices = data.get("choices")
        if type(choices) is not list:
            raise ValueError("a chunk holds no choices")
        for choice in choices:
            self._choice(chunk, choice)
        if choices and self._head is None:
            self._head = data
        chunk.judge_whole(data, _CHOICES, ANSWER)
        if len(choices) == 1 and len(chunk.texts) == 1 and _is_plain(data, choices[0]) and self.faithful(chunk):
            channel, holder, key = chunk.texts[0]
            self._frame = Frame.learn(chunk.raw, holder[key], channel)
        if data.get("usage") is not None:
            chunk.usage = OPENAI_CHAT.usage(data)
            if not self.keep_usage:
                del data["usage"]
                chunk.edited = True

    def _choice(self, chunk: Chunk, choice: Any) -> None:
        if type(choice) is not dict:
            raise ValueError("a choice is not an object")
        index, delta = integer(choice.get("index")), choice.get("delta")
        self.open.setdefault(index, True)
        if len(self.open) > MAX_CHOICES:
            raise ValueError(f"more than {MAX_CHOICES} choices")
        if choice.get("logprobs") is not None and not _echoes(choice):
            choice["logprobs"] = None
            chunk.edited = True
        chunk.judge_whole(choice, _DELTA if type(delta) is dict else _LOGPROBS, ANSWER)
        if type(delta) is dict:
            running = self._texts(chunk, index, delta)
            calls = delta.get("tool_calls")
            if type(calls) is list:
                chunk.calls.extend((index, call) for call in calls if type(call) is dict)
                del delta["tool_calls"]
                chunk.edited = True
            if type(delta.get("function_call")) is dict:
                chunk.calls.append((index, {"index": -1, "function": delta.pop("function_call")}))
                chunk.edited = True
            chunk.judge_whole(delta, running, ANSWER)
        if choice.get("finish_reason") is not None:
            chunk.ends += (index,)
            self.open[index] = False
            self.finished = not any(self.open.values())

    def _texts(self, chunk: Chunk, index: int, delta: Json) -> frozenset[str]:
        """Take in the pieces of running texts; returns the fields that they are in."""
        running = []
        for field in TEXTS:
            value = delta.get(field)
            if type(value) is str:
                running.append(field)
                if value:
                    chunk.texts.append(Delta((index, field), delta, field))
            elif type(value) is list and all(type(part) is dict for part in value):
                for part in value:  # some servers stream parts, as in a request
                    own = frozenset({"text"}) if type(part.get("text")) is str else frozenset()
                    if own and part["text"]:
                        chunk.texts.append(Delta((index, field), part, "text"))
                    chunk.judge_whole(part, own, ANSWER)
                running.append(field)
        return frozenset(running)

    def encode(self, chunk: Chunk) -> bytes:
        """The chunk's bytes: as they came if nothing was edited, none if nothing is left to say."""
        if not chunk.edited:
            return chunk.raw
        if chunk.frame is not None:
            return chunk.frame.encode(chunk.texts[0].holder[chunk.texts[0].key], chunk.sizes)
        data = chunk.data
        if data is None:
            return b""
        says_more = data.get("usage") is not None or not data.keys() <= CHUNK
        if not says_more and not any(_speaks(choice) for choice in data["choices"]):
            return b""
        return sse.encode(orjson.dumps(data))

    def text(self, channel: Channel, text: str) -> bytes:
        """A chunk that carries `text`."""
        return self._event(channel[0], {channel[1]: text})

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """A chunk that carries whole tool calls (or the older single `function_call`)."""
        if calls[0].get("index") == -1:
            return self._event(choice, {"function_call": calls[0]["function"]})
        return self._event(choice, {"tool_calls": calls})

    def _event(self, choice: int, delta: Json) -> bytes:
        body = {**self.envelope, "choices": [{"index": choice, "delta": delta, "finish_reason": None}]}
        return sse.encode(orjson.dumps(body))


def _echoes(choice: Json) -> bool:
    """Whether log probabilities are those of the text beside them, token by token."""
    said = choice.get("message") or choice.get("delta")
    probabilities = choice["logprobs"]
    if type(said) is not dict or type(probabilities) is not dict:
        return False
    for field, tokens in probabilities.items():
        if tokens is None:
            continue
        if type(tokens) is not list or not all(type(token) is dict and _is_token(token) for token in tokens):
            return False
        if "".join(str(token.get("token", "")) for token in tokens) != (said.get(field) or ""):
            return False
    return True


def _is_token(token: Json) -> bool:
    """Whether a token says itself and nothing else: its bytes are its own, and alternatives no longer than tokens are.

    One of more than 12 characters is a word or a line of signs: no digits, and no address.
    """
    said = token.get("bytes")
    if said is not None and said != list(str(token.get("token", "")).encode("utf-8", "replace")):
        return False
    others = token.get("top_logprobs") or ()
    return token.keys() <= _TOKEN and all(
        type(other) is dict
        and "top_logprobs" not in other
        and _is_token(other)
        and _SHORT_TOKEN.fullmatch(str(other.get("token", ""))) is not None
        for other in others
    )


_TOKEN = frozenset({"token", "logprob", "bytes", "top_logprobs"})
_SHORT_TOKEN = re.compile(r"(?s).{0,12}|\s*[^\W\d_]{1,64}\s*|[\W_]{0,256}")


def _is_plain(data: Json, choice: Json) -> bool:
    """Whether a chunk of one choice says nothing but its text."""
    delta = choice["delta"]
    return (
        len(delta) == 1
        and choice.keys() <= CHOICE
        and choice.get("finish_reason") is None
        and choice.get("logprobs") is None
        and data.get("usage") is None
    )


def _speaks(choice: Json) -> bool:
    """Whether a choice of a chunk still says anything: a reason, a role, a text, a field that we do not know."""
    if choice.get("finish_reason") is not None or choice.get("logprobs") is not None or not choice.keys() <= CHOICE:
        return True
    delta = choice.get("delta")
    return type(delta) is not dict or any(value not in ("", None) for value in delta.values())


OPENAI_CHAT = OpenAIChat()
