"""The reader of streams of the A2A protocol: server-sent events, each a response of JSON-RPC with the same id.

A text may go on in the next event: the parts of an artifact (`append`), and the messages of a task's status. So all
strings at one path are one text, for each artifact, and each string is a text of its own, too. Events keep their order.
A stream of 1.0 ends with its body; one of 0.3 with `final`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from gateway.bodies import Json
from gateway.dialects import Chunk, events, numbers, sse, tree
from gateway.dialects.a2a_halves import ArtifactHalves
from gateway.dialects.a2a_tables import ANSWER, Told, files, told
from gateway.dialects.base import Ordered
from gateway.dialects.fields import Reader
from gateway.dialects.jsonrpc import JsonRpc
from gateway.dialects.surrogates import mend
from gateway.errors import Refusal

_HEAD: Final = b"data: "
_CONTEXTS: Final = 4  # of one stream
_ENVELOPE: Final = frozenset({"jsonrpc", "id"})
_IDS: Final = {
    "task": frozenset({"id", "contextId"}),
    "statusUpdate": frozenset({"taskId", "contextId"}),
    "artifactUpdate": frozenset({"taskId", "contextId"}),
    "message": frozenset({"taskId", "contextId"}),
}
"""Kind -> the keys of its ids, which have been checked."""


class Event(Chunk):
    """An event. `told`: what it tells; None for an error. No tokens are counted, so it says nothing to be counted."""

    __slots__ = ("told",)

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.told: Told | None = None

    def said(self) -> list[str]:
        """Nothing: the text of an agent is not charged."""
        return []


class A2aStream(Ordered):
    """Reads one stream. `codec`: that of the call; `continued`: the task that the call is about, "" for a new one."""

    __slots__ = (
        "_artifacts",
        "_codec",
        "_contexts",
        "_fields",
        "_halves",
        "_reader",
        "_task",
        "_version",
        "ended",
        "heard",
        "tier",
    )

    def __init__(self, codec: JsonRpc, version: str, continued: str) -> None:
        self._codec = codec
        self._version = version
        self._task = continued
        self._contexts: set[str] = set()
        self._reader = sse.Reader()
        self._halves = ArtifactHalves()
        self._fields = Reader(ANSWER)
        self._artifacts: dict[str, int] = {}
        self.heard: Told | None = None
        """What the last event told."""
        self.ended = False
        self.tier = ""

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The events that are complete. Raises ValueError for data that is not such a stream."""
        data, at = self._reader.take(data), 0
        while at < len(data) and not self.ended:
            event, at = self._reader.next(data, at)
            if event is None:
                return
            for one in self._halves.take(event):
                yield self._event(one)

    def rest(self) -> Iterator[Chunk]:
        """The last event if its end is missing."""
        event = None if self.ended else self._reader.rest()
        for one in self._halves.take(event) if event is not None else ():
            yield self._event(one)
        for one in self._halves.rest():
            yield self._event(one)

    @property
    def finished(self) -> bool:
        """Nothing has to follow what the last event told."""
        return self.ended or (self.heard is not None and self.heard.ends)

    def close(self) -> None:
        """Raise ValueError if there was no event."""
        if self.heard is None and not self.ended:
            raise ValueError("the stream has no event")

    def faithful(self, chunk: Chunk) -> bool:
        """Whether every parser reads the same from the bytes of an event: one line of data, no key twice."""
        raw = chunk.raw
        if chunk.data is None or not raw.startswith(_HEAD) or raw.find(b"\n") != len(raw) - 2:
            return chunk.data is None
        return tree.says_once(raw[len(_HEAD) :], chunk.data)

    def due(self, chunk: Chunk | None = None) -> int:
        """The size of the event, all of which is text."""
        return len(chunk.raw) if chunk is not None else 0

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of an event: as received if nothing was edited."""
        if chunk.data is None or not chunk.edited:
            return chunk.raw
        return sse.encode(numbers.dumps(chunk.data, _data(chunk.raw)))

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """An error of the protocol in the last event."""
        del reason
        if bare:
            refusal = Refusal(refusal.code, "The reason is hidden: it contains a secret.", status=refusal.status)
        return sse.encode(orjson.dumps(self._codec.refuse(refusal, request_id)))

    def _event(self, event: sse.SSE) -> Chunk:
        chunk = Event(event.raw)
        data = events.load(chunk, event, "an event")
        if data is None:
            return chunk
        if chunk.edited:  # halves of characters
            mend(data)
        JsonRpc.check(self._codec, data, 1)
        error = data.get("error")
        if type(error) is dict:
            self._whole(chunk, data)
            chunk.done = self.ended = True
            return chunk
        result: Json = data["result"]
        said = chunk.told = self.heard = told(result, self._version, bare=False)
        self._follow(said)
        self._read(chunk, said)
        if said.about is not result:
            self._beside(chunk, result, frozenset({said.kind}))
        self._beside(chunk, data, _ENVELOPE | {"result"})
        if found := files(said.about):
            survey = tree.Survey(ANSWER)
            survey.kinds["file"] = found
            chunk.wholes.append(survey)
        chunk.done = said.ends
        self.ended = said.about.get("final") is True and self._version == "0.3"
        return chunk

    def _follow(self, said: Told) -> None:
        """Check that the event is about the task of the stream. Raises ValueError.

        The context of a task may change: agents make a new one for a message that names the task alone.
        """
        if self._task and said.task and self._task != said.task:
            raise ValueError("an event about another task")
        if not said.context or said.context in self._contexts:
            pass
        elif self._contexts and not said.task:
            raise ValueError("an event about another context")
        elif len(self._contexts) == _CONTEXTS:
            raise ValueError(f"a task in more than {_CONTEXTS} contexts")
        else:
            self._contexts.add(said.context)
        self._task = self._task or said.task

    def _read(self, chunk: Chunk, said: Told) -> None:
        """Assign each string to its running text."""
        about, apart = said.about, set(_IDS[said.kind])
        if said.kind == "task":
            listed = about.get("artifacts")
            for artifact in listed if type(listed) is list else ():
                if type(artifact) is dict:
                    self._artifact(chunk, artifact)
                    apart.add("artifacts")
        elif said.kind == "artifactUpdate" and type(about.get("artifact")) is dict:
            self._artifact(chunk, about["artifact"])
            apart.add("artifact")
        self._fields.read(chunk, "delta", 0, about, frozenset(apart))

    def _artifact(self, chunk: Chunk, artifact: Json) -> None:
        """The texts of an artifact, which go on in the next event about the artifact."""
        id = artifact.get("artifactId")
        known = self._artifacts
        number = known.setdefault(id if type(id) is str else "", len(known) + 1)
        self._fields.read(chunk, "delta", number, {"artifact": artifact}, frozenset())

    def _beside(self, chunk: Chunk, holder: Json, but: frozenset[str]) -> None:
        """What an event has beside what it tells."""
        self._fields.read(chunk, "chunk", 0, holder, but)

    def _whole(self, chunk: Chunk, data: Json) -> None:
        survey = tree.Survey(ANSWER)
        survey.walk(data)
        chunk.wholes.append(survey)


def _data(raw: bytes) -> bytes:
    """The data of an event, given its bytes."""
    return b"\n".join(sse.datas(raw))
