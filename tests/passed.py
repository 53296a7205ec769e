"""What a scripted provider answers to calls that are passed through: images, audio, files, batches."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

FILES: dict[str, bytes] = {}
BATCHES: dict[str, dict[str, Any]] = {}
AUDIO = b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(range(128, 256))
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
MEDIA: dict[str, str] = {"said": "I am <EMAIL_1>"}
"""What the next transcript says."""
USAGE = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 11, "output_tokens": 7},
}


def _json(said: Any) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(said).encode()


def answer(method: str, path: str, raw: bytes, body: dict[str, Any]) -> tuple[int, str, bytes] | None:
    """Status, media type and body; None for other paths."""
    path = path.partition("?")[0]
    if "/images/" in path:
        return _json({"created": 1, "data": [{"b64_json": PIXEL, "revised_prompt": "a <EMAIL_1>"}], "usage": USAGE})
    if path.endswith("/audio/speech"):
        return 200, "audio/mpeg", AUDIO
    if "/audio/" in path:
        if b"srt" in raw:
            return 200, "text/plain; charset=utf-8", f"1\n00:00 --> 00:01\n{MEDIA['said']}\n".encode()
        return _json({"text": MEDIA["said"], "usage": {"type": "tokens", **USAGE}})
    if "/files" in path:
        return _files(method, path, raw)
    if "/messages/batches" in path:
        return _messages(method, path, body)
    return _batches(method, path, body) if "/batches" in path else None


def _files(method: str, path: str, raw: bytes) -> tuple[int, str, bytes]:
    id, _, below = path.partition("/files")[2].strip("/").partition("/")
    if not id:
        id = f"file-{secrets.token_hex(12)}"
        found = re.search(rb'filename="[^"]*"\r\nContent-Type: [^\r]*\r\n\r\n(.*?)\r\n--', raw, re.S)
        FILES[id] = found[1] if found else b""
    if id not in FILES:
        return 404, "application/json", b'{"error": {"message": "No such file"}}'
    if below:
        return 200, "application/octet-stream", FILES[id]
    if method == "DELETE":
        del FILES[id]
        return _json({"id": id, "object": "file", "deleted": True})
    return _json(
        {"id": id, "object": "file", "bytes": len(FILES[id]), "created_at": 1, "filename": "f", "purpose": "batch"}
    )


def _batches(method: str, path: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
    id, _, below = path.partition("/batches")[2].strip("/").partition("/")
    if not id:
        id = f"batch_{secrets.token_hex(12)}"
        BATCHES[id] = {"id": id, "object": "batch", "status": "in_progress", **body}
    if below == "cancel":
        BATCHES[id]["status"] = "cancelling"
    return _json(BATCHES[id])


def finish(id: str) -> None:
    """End a batch: every request is answered with its last message."""
    lines = [json.loads(line) for line in FILES[BATCHES[id]["input_file_id"]].splitlines()]
    output = f"file-{secrets.token_hex(12)}"
    said = [
        {"custom_id": one["custom_id"], "response": {"body": {"text": one["body"]["messages"][-1]["content"]}}}
        for one in lines
    ]
    FILES[output] = "".join(json.dumps(one) + "\n" for one in said).encode()
    BATCHES[id] |= {"status": "completed", "output_file_id": output, "usage": USAGE}


def _messages(method: str, path: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
    id, _, below = path.partition("/messages/batches")[2].strip("/").partition("/")
    if not id:
        id = f"msgbatch_{secrets.token_hex(12)}"
        BATCHES[id] = {
            "id": id,
            "type": "message_batch",
            "processing_status": "in_progress",
            "requests": body["requests"],
        }
    batch = BATCHES[id]
    if below == "results":
        lines = []
        for one in batch["requests"]:
            text = one["params"]["messages"][-1]["content"]
            message = {**MESSAGE, "content": [{"type": "text", "text": text}]}
            lines.append({"custom_id": one["custom_id"], "result": {"type": "succeeded", "message": message}})
        return 200, "application/x-jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode()
    counts = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
    times = dict.fromkeys(("created_at", "expires_at"), "2026-01-01T00:00:00Z")
    return _json({**{k: v for k, v in batch.items() if k != "requests"}, "request_counts": counts, **times})
