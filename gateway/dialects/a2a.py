"""The Agent2Agent protocol (A2A) over JSON-RPC, versions 1.0 and 0.3.

The header `A2A-Version` says the version; without it, a request is one of 0.3 (specification 1.0, section 3.6). Streams
are read by `a2a_stream`. Push notifications are refused with the protocol's own error, as the card says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.bodies import Headers, Json
from gateway.dialects import MAX_ANSWER, NO_VALUES, Intent, StreamCodec
from gateway.dialects.a2a_errors import NO_VERSION, TASK_NOT_FOUND, named
from gateway.dialects.a2a_names import camel
from gateway.dialects.a2a_push import PUSHES, SET, Wanted, is_taken, take
from gateway.dialects.a2a_stream import A2aStream
from gateway.dialects.a2a_tables import (
    ANSWER,
    CARD,
    DOES,
    ID,
    LIST,
    METHODS,
    REQUEST,
    SENDS,
    STREAMS,
    VERSIONS,
    files,
    told,
)
from gateway.dialects.field_table import Table, table
from gateway.dialects.fields import Run, gather
from gateway.dialects.jsonrpc import PARAMS, UNKNOWN_METHOD, Fault, JsonRpc
from gateway.dialects.parts import Joined, in_lists, joined
from gateway.dialects.tree import Single, Survey
from gateway.errors import Refusal
from gateway.texts import Slot

_PUSH: Final = b"ushNotification"
_NAMES: Final = frozenset({"taskId", "id", "name", "parent"})  # by which some release of the protocol names a task
_ABOUT_TASKS: Final = frozenset({"id", "historyLength", "metadata", "tenant"})
"""What requests about a task may have."""


def not_found() -> Refusal:
    """The refusal for a task or context that does not exist, or is another caller's."""
    return Fault(TASK_NOT_FOUND, "There is no task or context with this id.", code="invalid_request")


class A2a(JsonRpc):
    """The codec of one call to the agent `agent`."""

    name = "a2a"
    noun = "a response of the A2A protocol"
    formats = frozenset({"a2a"})
    path = "/a2a/{agent}"
    shape = REQUEST
    fields: Table = table("jsonrpc id method", params=None)
    answer = ANSWER
    words = frozenset({"2.0"})
    max_answer = MAX_ANSWER

    def __init__(self, agent: str, headers: Headers, url: str = "") -> None:
        super().__init__()
        self.agent = agent
        self.url = url
        """Where the caller called the agent, for the card."""
        self.version = ""
        self.does = ""
        self.tasks: tuple[str, ...] = ()
        """The tasks that the request names, the one that it continues first."""
        self.context = ""
        self.names_context = False
        """The request names a context that nobody has."""
        self.over = False
        """The answer is a task that has ended for good."""
        self.failed = False
        """The answer is a task that has failed."""
        self.masked: Mapping[str, Mapping[str, str]] = {}
        """What earlier messages of the task had masked: see `redaction.values`."""
        self.placed: Mapping[str, str] = {}
        """What this message has masked."""
        self.push: Wanted | None = None
        """Where the client wants to be told of the task."""
        self._headers = headers

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The agent, and the message as arguments. Raises Refusal(invalid_request)."""
        self.open(body)
        self.version = self._version()
        self.does = METHODS[self.version].get(self.method, "")
        if not self.does:
            raise Fault(UNKNOWN_METHOD, "The method is not one of A2A in this version.")
        if not self.answered:
            raise Fault(PARAMS, "A request needs an `id`.", status=400)
        _refuse_other_spellings(self.params)
        if self.params.get("tenant"):
            raise Fault(PARAMS, "`params.tenant` is not served.")
        if self.does == CARD:
            return Intent(self.agent, False, (), 0, control=True)
        if self.does == LIST:
            if self.params.get("contextId"):
                self.context = _id(self.params["contextId"], "params.contextId")
            return Intent(self.agent, False, (), 0)
        if not is_taken(self.params, self.does):  # spelled so that `enclosed` did not see the configuration
            raise Fault(PARAMS, "A configuration of push notifications must be written without escapes.")
        if self.does in PUSHES:
            key = "taskId" if self.version == "1.0" or self.does == SET else "id"
            beside = _NAMES - {key, "id" if self.version == "1.0" else ""}  # in 1.0, `id` is that of the configuration
            if more := sorted(beside & self.params.keys()):
                raise Fault(PARAMS, f"`params` must have `{key}` alone to name a task; leave out `{more[0]}`.")
            self.tasks = (_id(self.params.get(key), f"params.{key}"),)
            return Intent(self.agent, False, (), 0)
        if self.does not in SENDS:
            if more := sorted(self.params.keys() - _ABOUT_TASKS):
                raise Fault(PARAMS, f"`params` must have `id` alone to name a task; leave out `{more[0][:64]}`.")
            self.tasks = (_id(self.params.get("id"), "params.id"),)
            return Intent(self.agent, self.streams, (), 0)
        message, settings = self.params.get("message"), self.params.get("configuration", {})
        if type(message) is not dict or type(message.get("parts")) is not list or not message["parts"]:
            raise Fault(PARAMS, "`params.message` must be a message with `parts`.")
        if type(settings) is not dict:
            raise Fault(PARAMS, "`params.configuration` must be an object.")
        _id(message.get("messageId"), "params.message.messageId")
        named = [message["taskId"]] if message.get("taskId") else []
        others = message.get("referenceTaskIds") or []
        if type(others) is not list or len(others) > 100:
            raise Fault(PARAMS, "`referenceTaskIds` must be a list of up to 100 ids.")
        self.tasks = tuple(_id(it, "a task's id") for it in [*named, *others])
        if message.get("contextId"):
            self.context = _id(message["contextId"], "params.message.contextId")
        return Intent(self.agent, self.streams, (), 0, message)

    def enclosed(self, raw: bytes) -> bytes:
        """The body with one form of each name, without where a client wants to be told. Raises Refusal."""
        try:
            if self._is_new():
                raw = camel(raw)
            if _PUSH not in raw:
                return raw
            method = orjson.loads(raw)["method"]
            raw, self.push = take(raw, DOES.get(method, ""))
        except (orjson.JSONDecodeError, TypeError, LookupError):
            return raw  # refused where the body is read
        except ValueError as fault:
            raise Fault(PARAMS, str(fault)) from None
        return raw

    @property
    def streams(self) -> bool:
        """Whether the request asks for a stream."""
        return self.does in STREAMS

    @property
    def refuses_in_stream(self) -> bool:
        """Whether the caller reads an error, too, as the event of a stream."""
        return self.streams

    def continues(self) -> str:
        """The task that the request is about; "" for a new one."""
        if self.does not in SENDS:
            return self.tasks[0] if self.tasks else ""
        return self.tasks[0] if self.params["message"].get("taskId") else ""

    def made(self, answer: Json) -> tuple[str, str]:
        """The ids of task and context in an answer, "" for none. Raises ValueError for ids that cannot be right."""
        result = answer.get("result")
        if type(result) is not dict or self.does == CARD or self.does in PUSHES:
            return "", ""
        if self.does == LIST:
            tasks = result.get("tasks")
            if type(tasks) is not list or any(type(task) is not dict for task in tasks):
                raise ValueError("its result is no list of tasks")
            return "", ""
        said = told(result, self.version, bare=self.version == "1.0" and self.does not in SENDS)
        if said.kind not in ("task", "message"):
            raise ValueError("its result is neither a task nor a message")
        if (continued := self.continues()) and said.task and said.task != continued:
            raise ValueError("it is about another task")
        self.failed, self.over = said.failed, said.over
        return said.task, said.context

    def stream(self, *, keep_usage: bool, choices: int = 1) -> StreamCodec:
        """The reader of a stream."""
        return A2aStream(self, self.version, self.continues())

    def runs(self, answer: Json, survey: Survey) -> list[Run]:
        """The texts at one path of a list, which clients join, as those of the events of a stream."""
        return gather(survey, [(0, "result", answer.get("result"))])

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined parts of the message, and the strings of each list in them."""
        message = self.params.get("message")
        said = message.get("parts") if type(message) is dict else None
        return [*joined({"messages": [{"content": said}]}, slots), *in_lists(slots)]

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """The files of the message, whose content no scanner reads."""
        found = files(body.get("params"))
        return {"file": found} if found else {}

    def whole(self, answer: Json, single: Single | None = None) -> Survey:
        """Every string, and the files; the parts of a message or an artifact are also one text."""
        survey = super().whole(answer, single)
        if found := files(answer.get("result")):
            survey.kinds["file"] = survey.kinds.get("file", 0) + found
        return survey

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is the response to the request."""
        result = answer.get("result")
        if self.does in PUSHES and "error" not in answer and (result is None or type(result) is list):
            answer = {**answer, "result": {}}  # lists of configurations in 0.3, and deletions, have no object
        super().check(answer, choices)
        self.made(answer)

    def status(self, refusal: Refusal) -> int:
        """200 also for what is wrong with the envelope (JSON-RPC): unlike those of MCP, clients expect errors there."""
        status = super().status(refusal)
        return 200 if status == 400 and refusal.code == "invalid_request" else status

    def failure(self, refusal: Refusal, request_id: str) -> Json:
        """The error object; in 1.0, its `data` is a list of details (section 9.5)."""
        error = super().failure(refusal, request_id)
        if self._is_new():
            error["data"] = [named(refusal, error["code"], request_id)]
        return error

    @property
    def readers(self) -> Sequence[str]:
        """The versions whose form the caller reads: all, unless it says which."""
        return ("1.0",) if self._is_new() else VERSIONS

    def _is_new(self) -> bool:
        """Whether the caller speaks 1.0, or what is newer; also before the request is read."""
        said = next((value.strip() for name, value in self._headers if name == b"a2a-version"), b"")
        return self.version == "1.0" or (not self.version and said != b"" and not said.startswith(b"0."))

    def _version(self) -> str:
        said = [value.decode("latin-1").strip() for name, value in self._headers if name == b"a2a-version"]
        if len(said) > 1:
            raise Fault(NO_VERSION, "The header A2A-Version occurs twice.", status=400)
        version = ".".join(said[0].split(".")[:2]) if said and said[0] else "0.3"
        if version not in VERSIONS:
            raise Fault(NO_VERSION, f"This version is not served; use one of {', '.join(VERSIONS)}.")
        return version


def _refuse_other_spellings(params: Json) -> None:
    """Raise Refusal for `task_id` in place of `taskId`: parsers of ProtoJSON read both as one field."""
    for holder in (params, params.get("message"), params.get("configuration"), params.get("pushNotificationConfig")):
        if type(holder) is dict and any("_" in key for key in holder):
            raise Fault(PARAMS, "Names of fields are in lower camel case, such as `taskId`.")


def _id(value: Any, where: str) -> str:
    if type(value) is not str or not ID.fullmatch(value):
        raise Fault(PARAMS, f"{where} must be an id of 1 to 128 letters, digits and _.:-")
    return str(value)
