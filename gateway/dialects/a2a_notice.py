"""Push notifications of other agents: the body that an agent sends to the gateway, as the answer of a call.

The body is a result: one of task, message, statusUpdate and artifactUpdate in 1.0, a task in 0.3. Each is judged alone,
so the further pieces of an artifact (`append`) are not passed on: a value could be split over them.
"""

from __future__ import annotations

import orjson

from gateway.bodies import Json
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_tables import SEND, told
from gateway.dialects.jsonrpc import Fault
from gateway.errors import Refusal


class Notice(A2a):
    """The codec of one notification."""

    def __init__(self, agent: str, version: str) -> None:
        super().__init__(agent, ())
        self.version, self.does, self.id = version, SEND, 1
        self.task = ""
        self.is_piece = False
        """The notification is a further piece of an artifact."""

    def read(self, raw: bytes) -> bytes:
        """The notification as an answer. Raises ValueError."""
        said = orjson.loads(raw)
        if type(said) is not dict:
            raise ValueError("a notification is no object")
        if self.version == "0.3" and "kind" not in said and "id" not in said:
            self.version = "1.0"  # agents of both versions tell in the form of 1.0
        heard = told(said, self.version, bare=False)
        self.task, self.over = heard.task, heard.over
        self.is_piece = heard.kind == "artifactUpdate" and heard.about.get("append") is True
        return b'{"jsonrpc":"2.0","id":1,"result":' + raw.strip() + b"}"

    def status(self, refusal: Refusal) -> int:
        """That of the refusal; 404 for a task that is not there."""
        return 404 if isinstance(refusal, Fault) else refusal.status

    def made(self, answer: Json) -> tuple[str, str]:
        """The ids of task and context. Raises ValueError."""
        heard = told(answer["result"], self.version, bare=False)
        return heard.task, heard.context
