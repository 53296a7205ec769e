"""What messages of the A2A protocol consist of, in versions 1.0 and 0.3: methods, structural keys, ids and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.bodies import Json
from gateway.dialects.a2a_push import DELETE, LISTED, READ, SET
from gateway.dialects.tree import Shape

SEND: Final = "send"
STREAM: Final = "stream"
GET: Final = "get"
CANCEL: Final = "cancel"
SUBSCRIBE: Final = "subscribe"
LIST: Final = "list"
CARD: Final = "card"
VERSIONS: Final = ("1.0", "0.3")
METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    "1.0": {
        "SendMessage": SEND,
        "SendStreamingMessage": STREAM,
        "GetTask": GET,
        "CancelTask": CANCEL,
        "SubscribeToTask": SUBSCRIBE,
        "ListTasks": LIST,
        "GetExtendedAgentCard": CARD,
        "CreateTaskPushNotificationConfig": SET,
        "GetTaskPushNotificationConfig": READ,
        "ListTaskPushNotificationConfigs": LISTED,
        "DeleteTaskPushNotificationConfig": DELETE,
    },
    "0.3": {
        "message/send": SEND,
        "message/stream": STREAM,
        "tasks/get": GET,
        "tasks/cancel": CANCEL,
        "tasks/resubscribe": SUBSCRIBE,
        "agent/getAuthenticatedExtendedCard": CARD,
        "tasks/pushNotificationConfig/set": SET,
        "tasks/pushNotificationConfig/get": READ,
        "tasks/pushNotificationConfig/list": LISTED,
        "tasks/pushNotificationConfig/delete": DELETE,
    },
}
"""Version -> method -> what it does."""
DOES: Final[Mapping[str, str]] = {method: does for methods in METHODS.values() for method, does in methods.items()}
"""The same without the versions: no two have a method of one name."""
SENDS: Final = frozenset({SEND, STREAM})
READS: Final = frozenset({GET, LIST, CARD, READ, LISTED})
"""What changes nothing, and may be asked again."""
STREAMS: Final = frozenset({STREAM, SUBSCRIBE})
KINDS: Final[Mapping[str, str]] = {
    "task": "task",
    "message": "message",
    "status-update": "statusUpdate",
    "artifact-update": "artifactUpdate",
}
"""Kind of a result in 0.3 -> the member that holds the same in 1.0."""
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_STRUCTURE: Final = frozenset(
    ["params", "message", "parts", "file", "configuration", "acceptedOutputModes", "result", "task", "status"]
) | {"artifacts", "artifact", "history", "statusUpdate", "artifactUpdate", "tasks"}
_OPAQUE: Final = frozenset(
    ["jsonrpc", "method", "id", "taskId", "contextId", "messageId", "artifactId", "referenceTaskIds", "role", "kind"]
) | {"state", "timestamp", "mimeType", "mediaType", "acceptedOutputModes", "pageToken", "nextPageToken"}
_FILES: Final = frozenset({"raw", "bytes"})
REQUEST: Final = Shape(_OPAQUE, frozenset(), frozenset(), within=_STRUCTURE, roles={"params": "user"})
ANSWER: Final = Shape(_OPAQUE, frozenset(), frozenset(), within=_STRUCTURE, roles={"result": "tool", "error": "tool"})
_OVER: Final = frozenset({"completed", "failed", "canceled", "rejected"})
_ENDS: Final = _OVER | {"input_required", "auth_required"}


class Told(NamedTuple):
    """A result: its kind as in 1.0 (`task`, `message`, `statusUpdate`, `artifactUpdate`), what is told, and ids."""

    kind: str
    about: Json
    task: str
    context: str

    @property
    def ends(self) -> bool:
        """Whether a stream ends with this: a message, or a task that does not go on by itself."""
        if self.kind == "message" or self.about.get("final") is True:
            return True
        return self._state in _ENDS

    @property
    def over(self) -> bool:
        """Whether the task has ended for good."""
        return self.kind != "message" and self._state in _OVER

    @property
    def failed(self) -> bool:
        """Whether the task has failed, or was rejected."""
        return self._state in ("failed", "rejected")

    @property
    def _state(self) -> str:
        status = self.about.get("status")
        state = status.get("state") if type(status) is dict else None
        return state.lower().removeprefix("task_state_").replace("-", "_") if type(state) is str else ""


def told(result: Json, version: str, *, bare: bool) -> Told:
    """What a result tells. `bare`: it is a task, without a name for its kind. Raises ValueError."""
    if bare:
        kind, about = "task", result
    elif version == "1.0":
        held = [key for key in KINDS.values() if key in result]
        if len(held) != 1 or type(result[held[0]]) is not dict:
            raise ValueError("a result is not one of task, message, statusUpdate and artifactUpdate")
        kind, about = held[0], result[held[0]]
    else:
        said = result.get("kind", "task")
        if type(said) is not str or said not in KINDS:
            raise ValueError("a result is of a kind that does not exist")
        kind, about = KINDS[said], result
    is_task = kind == "task"
    task = _id(about.get("id" if is_task else "taskId"), needed=kind != "message")
    return Told(kind, about, task, _id(about.get("contextId"), needed=False))


def files(said: Any) -> int:
    """The number of parts with the bytes of a file: `raw` in 1.0, `file.bytes` in 0.3. Data is JSON, not a file."""
    found, left = 0, [said]
    while left:
        value = left.pop()
        if type(value) is list:
            left += value
        elif type(value) is dict:
            found += any(type(value.get(key)) is str and value[key] != "" for key in _FILES)
            left += [inner for key, inner in value.items() if key not in ("data", "metadata")]
    return found


def _id(value: Any, *, needed: bool) -> str:
    if value in (None, "") and not needed:
        return ""
    if type(value) is not str or not ID.fullmatch(value):
        raise ValueError("an id has not the form of an id")
    return str(value)
