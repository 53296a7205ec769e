"""A provider of raw bytes at a real port, for data that a correct provider would never send."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any, BinaryIO


def chunk(text: str | None, reason: str | None = None, **more: Any) -> bytes:
    """One event."""
    delta = {} if text is None else {"content": text}
    said = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


class Raw:
    """A provider of raw bytes: each answer is (head, body); its connection is closed as `close` says."""

    def __init__(self) -> None:
        self.answer: tuple[str, bytes] = ("", b"")
        self.close = ""
        self.status = "200 OK"
        self.pieces = 1
        self.calls = 0
        self.bodies: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._served, args=(connection,), daemon=True).start()

    def _served(self, connection: socket.socket) -> None:
        # Until the gateway has heard enough.
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
            self._serve(connection, reader)

    def _serve(self, connection: socket.socket, reader: BinaryIO) -> None:
        served = 0
        while head := b"".join(iter(lambda: reader.readline().removeprefix(b"\r\n"), b"")):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self.bodies.append(reader.read(length))
            self.calls += 1
            if served and self.close == "on the second call":
                break
            if served and self.close == "by a reset on the second call":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            served += 1
            if self.close == "in the head":
                connection.sendall(b"HTTP/1.1 200 O")
                break
            lines, body = self.answer
            status = "400 Bad" if b"stream_options" in self.bodies[-1] and self.close == "no options" else self.status
            if status.startswith("400"):
                body = b'{"error": {"message": "Unrecognized request argument supplied: stream_options"}}'
            length = len(body) + (self.close in ("when the caller does", "in the body"))
            said = f"HTTP/1.1 {status}\r\n{lines}content-length: {length}\r\n\r\n"
            connection.sendall(said.encode())
            if self.close == "by a reset in the answer":
                connection.sendall(body[: len(body) // 2])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            size = -(-len(body) // self.pieces) or 1
            for at in range(0, len(body), size):
                connection.sendall(body[at : at + size])
            if self.close == "when the caller does":
                reader.read()
            if self.close in ("after each answer", "in the body"):
                break
