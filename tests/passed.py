"""What a scripted provider answers to calls that are passed through: images, audio, files, batches."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

FILES: dict[str, bytes] = {}
BATCHES: dict[str, dict[str, Any]] = {}
NAMES: dict[str, str] = {}
PAGES: list[dict[str, str]] = []
"""The queries of lists that were asked for."""
STORES: dict[str, dict[str, Any]] = {}
"""Vector stores and containers, by id; each with its files under `held`."""
TOKENS: list[str] = []
"""Not empty: pages follow by tokens."""
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
    path, _, query = path.partition("?")
    if method == "GET" and (listed := LISTS.get(path)) is not None:
        return _page(listed(), dict(parse_qsl(query)))
    if "/vector_stores" in path or "/containers" in path:
        return _stores(method, path, raw, body, dict(parse_qsl(query)))
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


def _page(every: list[dict[str, Any]], asked: dict[str, str]) -> tuple[int, str, bytes]:
    """A page of a list, the newest entries first, as the query asks: by an entry, or by a token."""
    PAGES.append(asked)
    names, limit = [one["id"] for one in every], int(asked.get("limit", "20"))
    start = int(asked["page"].removeprefix("page_")) if "page" in asked else 0
    before = asked.get("before_id") or asked.get("before")
    if asked.get("order") == "asc":
        every, names = every[::-1], names[::-1]
    if after := asked.get("after") or asked.get("after_id"):
        start = names.index(after) + 1
    end = start + limit
    if before:
        end = names.index(before)
        start = max(0, end - limit)
    some = every[start:end]
    if TOKENS:
        return _json({"data": some, "next_page": f"page_{end}" if end < len(every) else None, "total": len(every)})
    ends = {"first_id": some[0]["id"], "last_id": some[-1]["id"]} if some else {"first_id": None, "last_id": None}
    more = start > 0 if before else end < len(every)
    return _json({"object": "list", "data": some, "has_more": more, **ends, "total": len(every)})


def _listed_files() -> list[dict[str, Any]]:
    return [_file(id) for id in reversed(FILES)]


def _listed_batches() -> list[dict[str, Any]]:
    return [one for one in reversed(BATCHES.values()) if one.get("object") == "batch"]


def _listed_messages() -> list[dict[str, Any]]:
    return [_message_batch(one) for one in reversed(BATCHES.values()) if one.get("type") == "message_batch"]


def _listed_of(kind: str) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [_shown(one) for one in reversed(STORES.values()) if one["object"] == kind]


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "held"}


def _stores(method: str, path: str, raw: bytes, body: dict[str, Any], asked: dict[str, str]) -> tuple[int, str, bytes]:
    """A vector store or container, and what is in it."""
    kind = "vector_store" if "/vector_stores" in path else "container"
    id, _, below = path.partition(f"/{kind}s")[2].strip("/").partition("/")
    if not id:
        id = f"{'vs' if kind == 'vector_store' else 'cntr'}_{secrets.token_hex(12)}"
        made: dict[str, Any] = {
            "id": id,
            "object": kind,
            "created_at": 1,
            "status": "completed",
            "name": body.get("name"),
            "held": {},
        }
        counts = dict.fromkeys(("cancelled", "completed", "failed", "in_progress", "total"), 0)
        STORES[id] = {**made, "memory_limit": body.get("memory_limit", "1g"), "usage_bytes": 0, "file_counts": counts}
        STORES[id]["held"].update({one: _held(kind, id, one) for one in body.get("file_ids", ())})
        return _json(_shown(STORES[id]))
    if id not in STORES:
        return 404, "application/json", b'{"error": {"message": "No such store"}}'
    if not below:
        if method == "DELETE":
            del STORES[id]
            return _json({"id": id, "object": f"{kind}.deleted", "deleted": True})
        STORES[id] |= body
        return _json(_shown(STORES[id]))
    held, (what, _, file) = STORES[id]["held"], below.partition("/")
    if what == "search":
        content = [{"type": "text", "text": f"found <EMAIL_1> {body['query']}"}]
        one = {"file_id": "f", "filename": "a.txt", "score": 1, "attributes": {}, "content": content}
        return _json({"object": "vector_store.search_results.page", "data": [one], "has_more": False})
    if what == "file_batches":
        if file.endswith("/files"):
            return _page(list(held.values()), asked)
        held.update({one: _held(kind, id, one) for one in body.get("file_ids", ())})
        of = {"id": "vsfb_1", "object": "vector_store.file_batch", "created_at": 1, "vector_store_id": id}
        status = "cancelled" if file.endswith("/cancel") else "completed"
        return _json({**of, "status": status, "file_counts": STORES[id]["file_counts"]})
    if method == "POST" and not file:
        file = str(body.get("file_id", "")) or f"cfile_{secrets.token_hex(8)}"
        held[file] = _held(kind, id, file) | {"raw": raw.decode("latin-1")}
    if not file:
        return _page(list(held.values()), asked)
    file, _, rest = file.partition("/")
    if rest and kind == "container":
        return 200, "application/octet-stream", b"out of the container"
    if rest:
        parts = [{"type": "text", "text": "I am <EMAIL_1>"}]
        return _json({"object": "vector_store.file_content.page", "data": parts, "has_more": False, "next_page": None})
    if method == "DELETE":
        del held[file]
        return _json({"id": file, "object": f"{kind}.file.deleted", "deleted": True})
    held[file] |= body
    return _json(held[file])


def _held(kind: str, id: str, file: str) -> dict[str, Any]:
    of = {"id": file, "object": f"{kind}.file", "created_at": 1, f"{kind}_id": id, "status": "completed"}
    return {**of, "usage_bytes": 1, "bytes": 1, "path": f"/mnt/data/{file}", "source": "user"}


LISTS: dict[str, Any] = {
    "/v1/vector_stores": _listed_of("vector_store"),
    "/v1/containers": _listed_of("container"),
    "/v1/files": _listed_files,
    "/v1/batches": _listed_batches,
    "/v1/messages/batches": _listed_messages,
}


def _file(id: str) -> dict[str, Any]:
    name = NAMES.get(id, "f")
    of = {"id": id, "object": "file", "type": "file", "bytes": len(FILES[id]), "size_bytes": len(FILES[id])}
    return {**of, "created_at": 1, "filename": name, "purpose": "batch", "mime_type": "text/plain"}


def _files(method: str, path: str, raw: bytes) -> tuple[int, str, bytes]:
    id, _, below = path.partition("/files")[2].strip("/").partition("/")
    if not id:
        id = f"file-{secrets.token_hex(12)}"
        found = re.search(rb'filename="[^"]*"\r\nContent-Type: [^\r]*\r\n\r\n(.*?)\r\n--', raw, re.S)
        FILES[id] = found[1] if found else b""
        if name := re.search(rb'filename="([^"]*)"', raw):
            NAMES[id] = name[1].decode()
    if id not in FILES:
        return 404, "application/json", b'{"error": {"message": "No such file"}}'
    if below:
        return 200, "application/octet-stream", FILES[id]
    if method == "DELETE":
        del FILES[id]
        return _json({"id": id, "object": "file", "deleted": True})
    return _json(_file(id))


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
    return _json(_message_batch(batch))


def _message_batch(batch: dict[str, Any]) -> dict[str, Any]:
    counts = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
    times = dict.fromkeys(("created_at", "expires_at"), "2026-01-01T00:00:00Z")
    return {**{k: v for k, v in batch.items() if k != "requests"}, "request_counts": counts, **times}
