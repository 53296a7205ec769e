"""What the models of coding agents say in tests: two calls of tools, then where they wrote to; in both dialects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import responding
import upstream as scripted

Call = tuple[str, dict[str, Any]]
"""The name of a tool, and its arguments."""


@dataclass
class Model:
    """A model that calls the tools, in turn, and then says the placeholder that it read in their results."""

    calls: Sequence[Call]
    turns: list[dict[str, Any]] = field(default_factory=list)
    """The requests with tools, as the provider got them."""
    fills: bool = False
    """Whether the first answer says that the context is full, so that the agent has the turns compacted."""

    def says(self, seen: scripted.Seen) -> dict[str, Any] | list[bytes] | None:
        """The answer of `Upstream.says`."""
        if seen.path.endswith("/responses") and seen.body.get("tools"):
            return self._response(seen.body)
        if seen.path.partition("?")[0].endswith("/messages"):
            return self._message(seen.body)
        return None

    def _next(self, results: list[Any]) -> Call | str:
        if len(results) < len(self.calls):
            return self.calls[len(results)]
        return f"Wrote to {re.findall(r'Mail (<EMAIL_[0-9]+>)', json.dumps(results))[-1]}."

    def _response(self, body: dict[str, Any]) -> list[bytes]:
        self.turns.append(body)
        wire = responding.WIRE
        usage = {**responding.USAGE, "total_tokens": 100_000 if self.fills and len(self.turns) == 1 else 18}
        results = [item for item in body["input"] if str(item.get("type")).endswith("call_output")]
        said = self._next(results)
        if body["input"][-1]["type"] == "compaction_trigger":
            item = {"id": "cmp_1", "type": "compaction", "encrypted_content": responding.SEAL}
            inner = [
                wire.event(f"response.output_item.{kind}", output_index=0, item=item) for kind in ("added", "done")
            ]
        elif isinstance(said, str):
            item, inner = wire.message(said), wire.text_events([said[:12], said[12:]])
        else:
            arguments = json.dumps(said[1])
            item = {**wire.call(arguments), "id": f"fc_{len(results)}", "call_id": f"c{len(results)}", "name": said[0]}
            place = {"output_index": 0, "item_id": item["id"]}
            inner = [
                wire.event("response.output_item.added", output_index=0, item={**item, "arguments": ""}),
                wire.event("response.function_call_arguments.delta", **place, delta=arguments, obfuscation="aB3"),
                wire.event("response.function_call_arguments.done", **place, arguments=arguments),
                wire.event("response.output_item.done", output_index=0, item=item),
            ]
        begun = wire.response(status="in_progress", usage=None)
        last = wire.response(item, usage=usage)
        first = [wire.event(f"response.{kind}", response=begun) for kind in ("created", "in_progress")]
        return wire.numbered([*first, *inner, wire.event("response.completed", response=last)])

    def _message(self, body: dict[str, Any]) -> dict[str, Any] | list[bytes]:
        said: Call | str = "A summary."
        if body.get("tools"):
            self.turns.append(body)
            blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
            results = [block for block in blocks if block["type"] == "tool_result"]
            said = self._next(results)
        if isinstance(said, str):
            block: dict[str, Any] = {"type": "text", "text": said}
            begun: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": said}
        else:
            block = {"type": "tool_use", "id": f"toolu_{len(results)}", "name": said[0], "input": said[1]}
            begun, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(said[1])}
        reason = {"stop_reason": "end_turn" if isinstance(said, str) else "tool_use", "stop_sequence": None}
        usage = {"input_tokens": 11, "output_tokens": 1}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "usage": usage}
        if not body.get("stream"):
            return {**head, "content": [block], **reason}
        return [
            scripted.message_event(
                "message_start", message={**head, "content": [], "stop_reason": None, "stop_sequence": None}
            ),
            scripted.message_event("content_block_start", index=0, content_block=begun),
            scripted.message_event("content_block_delta", index=0, delta=delta),
            scripted.message_event("content_block_stop", index=0),
            scripted.message_event("message_delta", delta=reason, usage={"output_tokens": 7}),
            scripted.message_event("message_stop"),
        ]
