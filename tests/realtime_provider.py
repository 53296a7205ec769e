"""A provider of realtime connections, scripted: it answers with what the conversation holds."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"cached_tokens": 4, "text_tokens": 20, "audio_tokens": 0},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 0},
}


class Provider:
    """The server. `heard`: the events of each connection, in the order of the connections."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.refuses = 0  # the status of the next handshakes
        self.cuts = 1  # characters of a delta
        self.script = ""  # what it says, in place of the texts of the conversation
        self.refuses_to = ""  # the Location of these refusals
        self.tells: list[str | dict[str, Any]] = []  # further events of a connection, after each event of the gateway
        self.opens: list[str | dict[str, Any]] = []  # further events of an answer, before its first text
        self.held = threading.Event()  # answers wait for it
        self.held.set()

    def said(self) -> str:
        """All that the provider has heard, as one text."""
        return json.dumps(self.heard)

    def knock(self, connection: ServerConnection, request: Request) -> Response | None:
        """Accept or refuse a handshake."""
        self.headers.append({key.lower(): value for key, value in request.headers.raw_items()})
        self.paths.append(request.path)
        if not self.refuses:
            return None
        refused = connection.respond(self.refuses, '{"error": {"message": "no"}}')
        if self.refuses_to:
            refused.headers["Location"] = self.refuses_to
        return refused

    def talk(self, socket: ServerConnection) -> None:
        """Serve one connection."""
        events: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        self.heard.append(events)
        sent = 0

        def say(event: dict[str, Any]) -> None:
            nonlocal sent
            sent += 1
            socket.send(json.dumps({"event_id": f"event_up{sent}", **event}))

        def more(events: list[str | dict[str, Any]]) -> None:
            for one in events:
                socket.send(one if isinstance(one, str) else json.dumps(one))

        with contextlib.suppress(ConnectionClosed):
            say({"type": "session.created", "session": {"type": "realtime", "instructions": "Be kind."}})
            for data in socket:
                event = json.loads(data)
                events.append(event)
                more(self.tells)
                match event["type"]:
                    case "session.update":
                        say({"type": "session.updated", "session": event["session"]})
                    case "conversation.item.create":
                        items.append(event["item"])
                        say({"type": "conversation.item.added", "item": event["item"]})
                        say({"type": "conversation.item.done", "item": event["item"]})
                    case "input_audio_buffer.commit":
                        say({"type": "input_audio_buffer.committed", "item_id": "item_audio", "previous_item_id": None})
                    case "response.create":
                        self._answer(say, more, event["response"], items, len(events))

    def _answer(self, say: Any, more: Any, asked: dict[str, Any], items: list[dict[str, Any]], number: int) -> None:
        items = asked.get("input") or items
        if asked.get("instructions") == "refuse":
            say({"type": "error", "error": {"type": "invalid_request_error", "code": "bad", "message": "bad words"}})
            return
        own = [item for item in items if item.get("role") == "user"]
        texts = [part.get("text", "") for item in own for part in item["content"] if "text" in part]
        outputs = [item["output"] for item in items if item.get("type") == "function_call_output"]
        text = self.script or " ".join([*texts, *outputs])
        id, item_id = f"resp_{number}", f"item_{number}"
        response: dict[str, Any] = {"id": id, "object": "realtime.response", "status": "in_progress", "output": []}
        response |= {"conversation_id": "conv_1", "usage": None, "status_details": None}
        say({"type": "response.created", "response": response})
        self.held.wait(20)
        more(self.opens)
        place = {"response_id": id, "output_index": 0}
        if asked.get("tools"):
            call = {"id": item_id, "object": "realtime.item", "type": "function_call", "call_id": "call_1"}
            call |= {"name": asked["tools"][0]["name"]}
            arguments = json.dumps({"q": text})
            say({"type": "response.output_item.added", **place, "item": {**call, "arguments": ""}})
            for at in range(0, len(arguments), 5):
                delta = {"item_id": item_id, "call_id": "call_1", "delta": arguments[at : at + 5]}
                say({"type": "response.function_call_arguments.delta", **place, **delta})
            whole = {"item_id": item_id, "call_id": "call_1", "name": call["name"], "arguments": arguments}
            say({"type": "response.function_call_arguments.done", **place, **whole})
            item: dict[str, Any] = {**call, "arguments": arguments, "status": "completed"}
        else:
            speaks = asked.get("output_modalities") == ["audio"]
            name, key = ("output_audio_transcript", "transcript") if speaks else ("output_text", "text")
            kind = "audio" if speaks else "text"
            message: dict[str, Any] = {"id": item_id, "object": "realtime.item", "type": "message"}
            message["role"] = "assistant"
            say({"type": "response.output_item.added", **place, "item": {**message, "content": []}})
            say({"type": "conversation.item.added", "item": {**message, "content": []}})
            part = {"item_id": item_id, "content_index": 0}
            say({"type": "response.content_part.added", **place, **part, "part": {"type": kind, key: ""}})
            for at in range(0, len(text), self.cuts):
                say({"type": f"response.{name}.delta", **place, **part, "delta": text[at : at + self.cuts]})
                if speaks and not at:
                    say({"type": "response.output_audio.delta", **place, **part, "delta": "AAAA"})
            if speaks:
                say({"type": "response.output_audio.done", **place, **part})
            say({"type": f"response.{name}.done", **place, **part, key: text})
            say({"type": "response.content_part.done", **place, **part, "part": {"type": kind, key: text}})
            content = [{"type": f"output_{kind}", key: text}]
            item = {**message, "content": content, "status": "completed"}
        say({"type": "response.output_item.done", **place, "item": item})
        say({"type": "conversation.item.done", "item": item})
        items.append(item)
        say(
            {"type": "response.done", "response": {**response, "status": "completed", "output": [item], "usage": USAGE}}
        )


@contextlib.contextmanager
def provider() -> Iterator[Provider]:
    """The server on a port of its own, in a thread."""
    made = Provider()
    with serve(made.talk, "127.0.0.1", 0, process_request=made.knock) as server:
        assert isinstance(server, Server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        try:
            yield made
        finally:
            made.held.set()
            server.shutdown()
            thread.join()
