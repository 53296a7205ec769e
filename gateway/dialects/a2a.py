"""The Agent2Agent protocol (A2A) over JSON-RPC, versions 1.0 and 0.3.

The header `A2A-Version` says the version; without it, a request is one of 0.3 (specification 1.0, section 3.6). Answers
are whole: streams and push notifications are refused with the protocol's own errors, as the card says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.call import Headers, Json
from gateway.dialects import MAX_ANSWER, NO_VALUES, Intent
from gateway.dialects.field_table import Table, table
from gateway.dialects.jsonrpc import PARAMS, UNKNOWN_METHOD, Fault, JsonRpc
from gateway.dialects.parts import Joined, in_lists, joined
from gateway.dialects.tree import Shape, Survey
from gateway.errors import Refusal
from gateway.texts import Slot

TASK_NOT_FOUND: Final = -32001
NO_PUSH: Final = -32003
UNSUPPORTED: Final = -32004
NO_VERSION: Final = -32009
SEND: Final = "send"
GET: Final = "get"
CANCEL: Final = "cancel"
VERSIONS: Final = ("1.0", "0.3")
METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    "1.0": {"SendMessage": SEND, "GetTask": GET, "CancelTask": CANCEL},
    "0.3": {"message/send": SEND, "tasks/get": GET, "tasks/cancel": CANCEL},
}
"""Version -> method -> what it does."""
_PUSHES: Final = frozenset({"pushNotificationConfig", "taskPushNotificationConfig", "pushNotification"})
_KNOWN: Final = frozenset(
    {"SendStreamingMessage", "ListTasks", "SubscribeToTask", "GetExtendedAgentCard", "message/stream", "tasks/list"}
    | {"tasks/resubscribe", "agent/getAuthenticatedExtendedCard"}
)
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_STRUCTURE: Final = frozenset(
    [
        "params",
        "message",
        "parts",
        "file",
        "configuration",
        "acceptedOutputModes",
        "result",
        "task",
        "status",
        "artifacts",
        "history",
    ]
)
_OPAQUE: Final = frozenset(
    [
        "jsonrpc",
        "method",
        "id",
        "taskId",
        "contextId",
        "messageId",
        "artifactId",
        "referenceTaskIds",
        "role",
        "kind",
        "state",
        "timestamp",
    ]
) | {"mimeType", "mediaType", "acceptedOutputModes"}
_ABOUT_TASKS: Final = frozenset({"id", "historyLength", "metadata", "tenant"})
"""What requests about a task may have."""
_FILES: Final = frozenset({"raw", "bytes"})
_REQUEST: Final = Shape(_OPAQUE, frozenset(), frozenset(), within=_STRUCTURE, roles={"params": "user"})
_ANSWER: Final = Shape(_OPAQUE, frozenset(), frozenset(), within=_STRUCTURE, roles={"result": "tool", "error": "tool"})


def not_found() -> Refusal:
    """The refusal for a task or context that does not exist, or is another caller's."""
    return Fault(TASK_NOT_FOUND, "There is no task or context with this id.", code="invalid_request")


class A2a(JsonRpc):
    """The codec of one call to the agent `agent`."""

    name = "a2a"
    noun = "a response of the A2A protocol"
    formats = frozenset({"a2a"})
    path = "/a2a/{agent}"
    shape = _REQUEST
    fields: Table = table("jsonrpc id method", params=None)
    answer = _ANSWER
    words = frozenset({"2.0"})
    max_answer = MAX_ANSWER

    def __init__(self, agent: str, headers: Headers) -> None:
        super().__init__()
        self.agent = agent
        self.version = ""
        self.does = ""
        self.tasks: tuple[str, ...] = ()
        """The tasks that the request names, the one that it continues first."""
        self.context = ""
        self._headers = headers

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The agent, and the message as arguments. Raises Refusal(invalid_request)."""
        self.open(body)
        self.version = self._version()
        self.does = METHODS[self.version].get(self.method, "")
        if not self.does:
            if self.method in _KNOWN:
                raise Fault(UNSUPPORTED, "The gateway serves SendMessage, GetTask and CancelTask of A2A.")
            if "ushNotification" in self.method:
                raise Fault(NO_PUSH, "Push notifications are not served.")
            raise Fault(UNKNOWN_METHOD, "The method is not one of A2A in this version.")
        if not self.answered:
            raise Fault(PARAMS, "A request needs an `id`.", status=400)
        if self.params.get("tenant"):
            raise Fault(PARAMS, "`params.tenant` is not served.")
        _check_names(self.params, "params")
        if self.does != SEND:
            if more := sorted(self.params.keys() - _ABOUT_TASKS):
                raise Fault(PARAMS, f"`params` must have `id` alone to name a task; leave out `{more[0][:64]}`.")
            self.tasks = (_id(self.params.get("id"), "params.id"),)
            return Intent(self.agent, False, (), 0)
        message, settings = self.params.get("message"), self.params.get("configuration", {})
        if type(message) is not dict or type(message.get("parts")) is not list or not message["parts"]:
            raise Fault(PARAMS, "`params.message` must be a message with `parts`.")
        if type(settings) is not dict or _PUSHES & settings.keys():
            raise Fault(NO_PUSH, "Push notifications are not served: leave out their configuration.")
        _check_names(settings, "params.configuration")
        _check_names(message, "params.message")
        _id(message.get("messageId"), "params.message.messageId")
        named = [message["taskId"]] if message.get("taskId") else []
        others = message.get("referenceTaskIds") or []
        if type(others) is not list or len(others) > 100:
            raise Fault(PARAMS, "`referenceTaskIds` must be a list of up to 100 ids.")
        self.tasks = tuple(_id(it, "a task's id") for it in [*named, *others])
        if message.get("contextId"):
            self.context = _id(message["contextId"], "params.message.contextId")
        return Intent(self.agent, False, (), 0, message)

    def continues(self) -> str:
        """The task that the request is about; "" for a new one."""
        if self.does != SEND:
            return self.tasks[0]
        return self.tasks[0] if self.params["message"].get("taskId") else ""

    def made(self, answer: Json) -> tuple[str, str]:
        """The ids of task and context in an answer, "" for none. Raises ValueError for ids that cannot be right."""
        result = answer.get("result")
        if type(result) is not dict:
            return "", ""
        if self.version == "1.0" and self.does == SEND:
            task, message = result.get("task"), result.get("message")
            if (type(task) is dict) == (type(message) is dict):
                raise ValueError("its result is neither a task nor a message")
            found: Json = task if type(task) is dict else message  # type: ignore[assignment]  # one of both is
            is_task = type(task) is dict
        else:
            found, is_task = result, result.get("kind") != "message"
        task_id = _answered(found.get("id" if is_task else "taskId"), needed=is_task)
        if (continued := self.continues()) and task_id and task_id != continued:
            raise ValueError("it is about another task")
        return task_id, _answered(found.get("contextId"), needed=False)

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined parts of the message, and the strings of each list in them."""
        message = self.params.get("message")
        said = message.get("parts") if type(message) is dict else None
        return [*joined({"messages": [{"content": said}]}, slots), *in_lists(slots)]

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """The files of the message, whose content no scanner reads."""
        found = _files(body.get("params"))
        return {"file": found} if found else {}

    def whole(self, answer: Json) -> Survey:
        """Every string, and the files; the parts of a message or an artifact are also one text."""
        survey = super().whole(answer)
        survey.roots += _texts(answer.get("result"))
        if found := _files(answer.get("result")):
            survey.kinds["file"] = survey.kinds.get("file", 0) + found
        return survey

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is the response to the request."""
        super().check(answer, choices)
        self.made(answer)

    def _version(self) -> str:
        said = [value.decode("latin-1").strip() for name, value in self._headers if name == b"a2a-version"]
        if len(said) > 1:
            raise Fault(NO_VERSION, "The header A2A-Version occurs twice.", status=400)
        version = ".".join(said[0].split(".")[:2]) if said and said[0] else "0.3"
        if version not in VERSIONS:
            raise Fault(NO_VERSION, f"This version is not served; use one of {', '.join(VERSIONS)}.")
        return version


def _files(said: Any) -> int:
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


def _check_names(said: Json, where: str) -> None:
    """Raise Refusal for the other form of names (`task_id`), which agents read as the same: it would not be checked."""
    if any("_" in name for name in said):
        raise Fault(
            PARAMS, f"Names of fields in `{where}` are written as the specification has them, such as `taskId`."
        )


def _texts(said: Any) -> list[Any]:
    """The lists of parts with more than one text."""
    found: list[Any] = []
    left = [said]
    while left:
        value = left.pop()
        if type(value) is list:
            left += value
        elif type(value) is dict:
            for key, inner in value.items():
                if key == "parts" and type(inner) is list and len(inner) > 1:
                    found.append([one for one in inner if type(one) is dict and "text" in one])
                elif key not in ("data", "metadata", "parts"):
                    left.append(inner)
    return found


def _id(value: Any, where: str) -> str:
    if type(value) is not str or not _ID.fullmatch(value):
        raise Fault(PARAMS, f"{where} must be an id of 1 to 128 letters, digits and _.:-")
    return str(value)


def _answered(value: Any, *, needed: bool) -> str:
    if value in (None, "") and not needed:
        return ""
    if type(value) is not str or not _ID.fullmatch(value):
        raise ValueError("an id has not the form of an id")
    return str(value)
