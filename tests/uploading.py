"""Files of a scripted provider of Gemini's API, which come by its resumable protocol."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

FILES: dict[str, dict[str, Any]] = {}
CONTENT: dict[str, bytes] = {}
OPEN: dict[str, dict[str, Any]] = {}
"""Uploads that have begun, by their id: what the first call said, its key, and the bytes so far."""
HOST = "https://generativelanguage.googleapis.com"
SAYS: dict[str, str] = {}
"""What the next beginning answers in place of the URL of the upload."""
MISSING = {"error": {"code": 404, "message": "No such file", "status": "NOT_FOUND"}}
PERMITTED = {"error": {"code": 400, "message": "Bad upload", "status": "INVALID_ARGUMENT"}}
Answer = tuple[int, str, bytes]
"""Status, headers (each with its CRLF), body."""


def answer(method: str, path: str, headers: dict[str, str], raw: bytes) -> Answer | None:
    """The answer; None for other paths."""
    place, asked = urlsplit(path).path, {name: one[0] for name, one in parse_qs(urlsplit(path).query).items()}
    if place == "/upload/v1beta/files":
        return _upload(headers, asked, raw)
    if place == "/v1beta/files":
        return _page(asked)
    if (found := re.fullmatch("/v1beta/(files/[^/]+)", place)) is None:
        return None
    if found[1] not in FILES:
        return 404, "", json.dumps(MISSING).encode()
    if method == "DELETE":
        del FILES[found[1]]
        return 200, "", b"{}"
    return 200, "", json.dumps(FILES[found[1]]).encode()


def put(name: str) -> str:
    """A file that nobody uploaded through the gateway."""
    FILES[f"files/{name}"] = {"name": f"files/{name}", "uri": f"{HOST}/v1beta/files/{name}", "mimeType": "text/plain"}
    return name


def _upload(headers: dict[str, str], asked: dict[str, str], raw: bytes) -> Answer:
    command = headers.get("x-goog-upload-command", "")
    if command == "start":
        id = secrets.token_hex(8)
        OPEN[id] = {"said": json.loads(raw), "headers": headers, "data": b""}
        url = SAYS.get("url", f"{HOST}/upload/v1beta/files?upload_id={id}&upload_protocol=resumable")
        return 200, f"x-goog-upload-status: active\r\nx-goog-upload-url: {url}\r\n", b""
    at = OPEN.get(asked.get("upload_id", ""))
    if at is None or at.get("ended") or int(headers.get("x-goog-upload-offset", "-1")) != len(at["data"]):
        return 400, "", json.dumps(PERMITTED).encode()
    at["data"] += raw
    if not command.endswith("finalize"):
        return 200, "x-goog-upload-status: active\r\n", b""
    size = at["headers"].get("x-goog-upload-header-content-length")
    if size is not None and int(size) != len(at["data"]):
        return 400, "", json.dumps(PERMITTED).encode()
    at["ended"] = True
    name = put(secrets.token_hex(6))
    said = {re.sub("_(.)", lambda found: found[1].upper(), key): it for key, it in at["said"].get("file", {}).items()}
    FILES[f"files/{name}"] |= said | {"sizeBytes": str(len(at["data"])), "state": "ACTIVE"}
    CONTENT[f"files/{name}"] = at["data"]
    return 200, "x-goog-upload-status: final\r\n", json.dumps({"file": FILES[f"files/{name}"]}).encode()


def _page(asked: dict[str, str]) -> Answer:
    every, start, size = list(FILES.values())[::-1], int(asked.get("pageToken", "0")), int(asked.get("pageSize", "10"))
    said: dict[str, Any] = {"files": every[start : start + size]} if every else {}
    if start + size < len(every):
        said["nextPageToken"] = str(start + size)
    return 200, "", json.dumps(said).encode()
