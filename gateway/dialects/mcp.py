"""The Model Context Protocol over Streamable HTTP, in both of its eras.

Until 2025-11-25, a client opens a session with `initialize`; from 2026-07-28 on, each request says in `params._meta`
what it needs, and repeats method and name in headers (basic/transports/streamable-http). Both are served on one path.
Requests are judged by their body; headers that say something else, or occur twice, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import orjson

from gateway.bodies import Headers, Json
from gateway.dialects import MAX_ANSWER, NO_VALUES, Intent, mcp_questions, parts
from gateway.dialects import mcp_names as names
from gateway.dialects.field_table import Table, table
from gateway.dialects.jsonrpc import INVALID, PARAMS, UNKNOWN_METHOD, Fault, Id, JsonRpc, is_id
from gateway.dialects.mcp_era import SESSION_ID, by_name, compare, declared, header, may_have_session
from gateway.dialects.mcp_questions import RESPONSES, STATE, Question, Round, Task, TaskAsk
from gateway.dialects.parts import Joined
from gateway.dialects.tree import Shape, Single, Survey
from gateway.errors import Refusal
from gateway.texts import Slot

_STATE: Final = STATE.encode()
_ERROR: Final = b'"error"'
_LISTED: Final = frozenset({"content", "contents", "messages"})  # of results: lists whose texts a model reads as one
_TOOL: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_UNSENT: Final = (names.META, "capabilities", "clientInfo", names.TASK_IDS)
"""Parameters that are not forwarded, and therefore not judged."""
_REQUEST: Final = Shape(
    opaque=frozenset({"jsonrpc", "method", "id", "name", "protocolVersion", "progressToken", "cursor"})
    | {"taskId"},  # sealed by the gateway, and not forwarded
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset({"params", "notifications"}),
    repeats=frozenset(_UNSENT),
)
_ANSWER: Final = Shape(
    opaque=frozenset({"jsonrpc", "id", "type", "mimeType", "resultType", "protocolVersion", "cacheScope", "format"}),
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset({"result", "content", "resource", "tools", "annotations", "inputSchema", "outputSchema"})
    | frozenset({"properties", "items"}),
    roles={"result": "tool", "error": "tool"},
    pictures=frozenset({"data", "blob"}),
)


def unknown_tool() -> Refusal:
    """The refusal for a tool that does not exist, or that the caller may not see."""
    return Fault(PARAMS, "There is no tool of this name. `tools/list` has your tools.", code="tool_not_found")


class Mcp(JsonRpc):
    """The codec of one call.

    `door`: the name in the path, "" for all servers; `server`: the server that is called, once that is known.
    `servers`: all servers, of which tools have the names `{server}_{tool}`. `searched`: those whose tools are found by
    a search.
    """

    name = "mcp"
    noun = "a response of the Model Context Protocol"
    formats = frozenset({"mcp"})
    path = "/mcp/{server}"
    shape = _REQUEST
    fields: Table = table("jsonrpc id method", params=None, result=None, error=None)
    answer = _ANSWER
    words = frozenset({"2.0", "text", "complete", "private", "object", "string"})
    max_answer = MAX_ANSWER

    def __init__(self, server: str, headers: Headers) -> None:
        super().__init__()
        self.door = self.server = server
        self.servers: Collection[str] = ()
        self.searched: Collection[str] = ()
        self.query: str | None = None
        self.given: Json = {}
        self.found = False
        """The tool was found by a search."""
        self.mirrored: Mapping[tuple[str, ...], str] = {}
        """The arguments that are repeated in headers: see `mcp_params`."""
        self.promised: Json = {}
        """The output schema of the called tool."""
        self.called = ""
        self.modern = False
        self.progress: Id = None
        """The token with which the client wants to hear of progress."""
        self.question: Question | None = None
        """The question of a server that the message answers."""
        self.asked_as: Callable[[object], Question | None] = _nothing_asked
        """The question that the client of a session got under an id."""
        self.numbered: Callable[[], str] = str
        """The id of the next event of the answer, "" for none."""
        self.listens = False
        """The answer is a stream of what the server tells without a request."""
        self.round: Round | None = None
        """The round of the call before, whose questions the message answers."""
        self.round_of: Callable[[str, object], Round | None] = _no_round
        """Server, state -> the round that the caller got with this state."""
        self.held = ""
        """The state of the call that is held while the client is asked what the answer asks."""
        self.about = ""
        """The digest of a call whose caller can be asked."""
        self.added: dict[tuple[str | int, ...], str] = {}
        """Sealed values that are added to the judged result: path -> value."""
        self.asks: Mapping[str, object] | None = None
        """The URLs of the questions in the answer, by the key of the question; None without questions."""
        self.as_task: Json | None = None
        """How the call becomes a task, if the client wants one."""
        self.task: Task | None = None
        """The task that the message is about."""
        self.task_id = ""
        """The id under which the client has it."""
        self.task_of: Callable[[str, object], Task | None] = _no_round
        """Server, id -> the task of the caller."""
        self.ask_of: Callable[[str, Task, str], TaskAsk | None] = _no_ask
        """Server, task, key -> the question of the task that the caller got under the key."""
        self.answered_asks: Mapping[str, TaskAsk] = {}
        """The questions of a task that the message answers, by the key that the caller got."""
        self.keys: Mapping[str, str] = {}
        """Keys of questions in the answer that the caller gets under another: key of the server -> that key."""
        self.original = b""
        """The message as the client sent it."""
        self._declared: Json = {}  # capabilities of the client of a request of the later era
        self._state: str | None = None  # that of the round before, as the client got it
        self._answers: object = None  # the id of that question, as the client got it
        self.level = ""  # of the messages of the log that a client of the later era wants
        self.headers = by_name(headers)
        """The headers of the request, by name."""
        self.session = header(self.headers, SESSION_ID) if may_have_session(self.headers) else ""
        """The id of the session that the request names; "" for none. The later era ignores the header."""
        self._headers = headers

    @property
    def takes_tasks(self) -> bool:
        """Whether a call may become a task of the later era: the client declares the extension, at one server."""
        said = self._declared.get(names.EXTENSIONS)
        return bool(self.door) and type(said) is dict and type(said.get(names.TASK_EXTENSION)) is dict

    @property
    def sampled(self) -> int:
        """The tokens of the prompts that the client's model has answered in this message."""
        if self.answered_asks:
            return sum(asked.tokens for asked in self.answered_asks.values())
        if self.question is not None:
            return self.question.tokens if self.question.kind == "sampling" else 0
        answers = self.params.get(RESPONSES) if self.round is not None else None
        if self.round is None or type(answers) is not dict:
            return 0
        return sum(tokens for key, tokens in self.round.tokens.items() if key in answers)

    @property
    def tells(self) -> bool:
        """Whether a message that takes request limits only is answered by what may label the workflow.

        This is what a server tells without a request, and in the later era the state of a task, with its result.
        """
        return self.listens or (self.modern and self.task is not None)

    @property
    def in_session(self) -> bool:
        """Whether a message may be one of a session, which GET listens to and DELETE ends: not in the later era."""
        return may_have_session(self.headers)

    @property
    def takes_events(self) -> bool:
        """Whether the client takes an event stream for an answer."""
        return any(name == b"accept" and b"text/event-stream" in value.lower() for name, value in self._headers)

    def wanted(self, token: str) -> Json:
        """What a server is told of the notifications that the client wants. `token`: that of progress."""
        found: Json = {} if self.progress is None else {"progressToken": token}
        return {**found, names.LOG_LEVEL: self.level} if self.level else found

    def event(self, message: bytes, id: str = "") -> bytes:
        """A message as an event of a stream. Line breaks in JSON are space between values, and would end the event."""
        id = id or self.numbered()
        named = b"id: %s\n" % id.encode() if id else b""
        return b"event: message\n%sdata: %s\n\n" % (named, message.replace(b"\r", b" ").replace(b"\n", b" "))

    def answer_status(self, body: bytes) -> int:
        """The HTTP status of a judged answer. In the later era, an error about capabilities has status 400."""
        if not self.modern or _ERROR not in body:
            return 200
        try:
            code = orjson.loads(body)["error"]["code"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return 200
        return 400 if code == names.MISSING else 200

    @property
    def told(self) -> bool:
        """Whether the message is a notification or the answer to a question, of which only the receipt is answered."""
        return not self.answered

    def failure(self, refusal: Refusal, request_id: str) -> Json:
        """The error object. Where the user must open a URL, clients of 2025-11-25 find the URL as `elicitations`."""
        made, url = super().failure(refusal, request_id), refusal.detail.get("url")
        if isinstance(url, str) and not self.modern:
            asked = {"mode": "url", "elicitationId": request_id, "url": url, "message": refusal.message}
            made["data"]["elicitations"] = [asked]
            made["code"] = names.ELICITATION
        return made

    def able(self, kinds: Collection[str]) -> Json:
        """What the client of a request of the later era can be asked, of these kinds."""
        return mcp_questions.able(self._declared, kinds)

    def declaring(self, kinds: Collection[str]) -> Json:
        """The capabilities of a client that takes tasks of the later era, with what it can be asked."""
        return {**self.able(kinds), names.EXTENSIONS: {names.TASK_EXTENSION: {}}}

    def adding(self, body: bytes) -> bytes:
        """A judged answer with what the gateway adds. Raises Refusal(output_blocked).

        An address of a question from which something was taken leads elsewhere.
        """
        said = orjson.loads(body)
        result = said.get("result")
        if type(result) is not dict:
            return body
        if not mcp_questions.complete(result, self.added, self.asks, self.keys):
            raise Refusal("output_blocked", "The server asks to open a URL that may carry data out.", stage="output")
        return orjson.dumps(said)

    def enclosed(self, raw: bytes) -> bytes:
        """A message without what is the gateway's own in it: sealed, and no text to be judged.

        That is the id of an answer to a question, and the state of a round.
        """
        self.original = raw
        if self.listens:  # a GET, which has no body
            return orjson.dumps({"jsonrpc": "2.0", "method": names.LISTEN})
        if b'"result"' not in raw and b'"error"' not in raw and _STATE not in raw:
            return raw
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return raw
        if type(body) is not dict:
            return raw
        params = body.get("params")
        if "method" not in body and "id" in body:
            self._answers = body.pop("id")
        elif type(params) is dict and type(params.get(STATE)) is str:
            self._state = params.pop(STATE)
        else:
            return raw
        try:
            return orjson.dumps(body)
        except orjson.JSONEncodeError:  # nested too deep: refused when it is read
            return raw

    def asked(self, body: Json) -> Json:
        """Method and parameters, without what describes the request."""
        params = body.get("params")
        rest = {key: value for key, value in params.items() if key != names.META} if type(params) is dict else params
        found = {"method": body.get("method"), "params": rest}
        return found if self._state is None else {**found, STATE: self._state}

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The tool as `server/name`; the server for other messages. Raises Refusal(invalid_request, tool_not_found)."""
        self.open(body)
        capabilities = declared(self._headers, self.headers, self.method, self.params)
        if capabilities is not None:
            self.modern, self._declared = True, capabilities
            compare(self.headers, self.method, self.params)
        meta = self.params.get(names.META)
        if type(meta) is dict:
            token, level = meta.get("progressToken"), meta.get(names.LOG_LEVEL)
            self.progress = token if is_id(token) else None
            self.level = level if self.modern and level in names.LEVELS else ""
        if self.answered:
            known = names.NEW_METHODS if self.modern else names.OLD_METHODS
            if self.method not in known:
                status = 404 if self.modern else 200
                raise Fault(UNKNOWN_METHOD, "The method is not served here.", status=status)
        if not self.method:
            return self._answering(body)
        self.listens |= self.method == names.SUBSCRIBE and self.answered
        if self.method in names.READS and not self.told:
            return self._reading()
        if self.method in (names.TASK_RESULT, names.TASK_UPDATE, *names.TASKS) and not self.told:
            return self._about_task()
        if self.method != names.CALL or self.told:
            return Intent(self.server, False, (), 0, control=True)
        name, arguments = self.params.get("name"), self.params.get("arguments")
        if arguments is None:
            arguments = self.params["arguments"] = {}
        if type(arguments) is not dict:
            raise Fault(PARAMS, "`params.arguments` must be an object.")
        if self.searched and name == names.SEARCH_TOOLS:
            self.query = arguments["query"] if type(arguments.get("query")) is str else ""
            return Intent(self.server, False, (), 0, control=True)
        if self.searched and name == names.CALL_TOOL:
            self.found = True
            name, arguments = arguments.get("name"), arguments.setdefault("arguments", {})
            if type(arguments) is not dict:
                raise Fault(PARAMS, "`params.arguments.arguments` must be an object.")
        if type(name) is not str or not _TOOL.fullmatch(name):
            raise unknown_tool()
        if not self.door:
            self.server, name = self._split(name)
        self.called, self.given = name, arguments
        task = self.params.get("task")
        if type(task) is dict and not self.modern:
            self.as_task = {"ttl": task["ttl"]} if type(task.get("ttl")) is int else {}
        self._resume()
        return Intent(f"{self.server}/{name}", False, (), 0, arguments)

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The strings of each list in the arguments."""
        return parts.in_lists(slots)

    def whole(self, answer: Json, single: Single | None = None) -> Survey:
        """Every string; the texts of one result are also one text, as a model reads them."""
        survey = super().whole(answer, single)
        result = answer.get("result")
        if type(result) is dict and type(result.get("result")) is dict:  # of a task
            result = result["result"]
        for key, said in result.items() if type(result) is dict else ():
            if key in _LISTED and type(said) is list and len(said) > 1:
                inner = [one.get("content") if key == "messages" and type(one) is dict else one for one in said]
                survey.roots.append([one for one in inner if type(one) is dict and "text" in one])
        return survey

    def _reading(self) -> Intent:
        """A resource, a prompt, or a completion of an argument of one server. Raises Refusal(invalid_request)."""
        if not self.door:
            raise Fault(
                UNKNOWN_METHOD, "The method is served at the path of one server.", status=404 * self.modern or 200
            )
        if self.method == names.COMPLETE:
            for param in ("ref", "argument"):
                if type(self.params.get(param)) is not dict:
                    raise Fault(PARAMS, f"`params.{param}` must be an object.")
        elif type(self.params.get(param := names.NAMED.get(self.method, "uri"))) is not str:
            raise Fault(PARAMS, f"`params.{param}` must be a string.")
        for name in (*_UNSENT, "notifications"):
            self.params.pop(name, None)
        self.called, self.given = names.READS[self.method], self.params
        self._resume()
        return Intent(f"{self.server}/{self.called}", False, (), 0, self.params)

    def _about_task(self) -> Intent:
        """A task of the caller. Raises Refusal(invalid_request)."""
        if self.modern and not self.takes_tasks:
            raise missing_tasks()
        id = self.params.get("taskId")
        self.task = self.task_of(self.server, id)
        if self.task is None or type(id) is not str:
            raise Fault(PARAMS, "You have no task with this id.")
        self.task_id, self.given = id, {"taskId": self.task.id}
        if self.method in names.TASKS:
            return Intent(self.server, False, (), 0, control=True)
        if self.method == names.TASK_UPDATE:
            return self._updating(self.task)
        self.called = "task_result"
        return Intent(f"{self.server}/{self.called}", False, (), 0, {"tool": self.task.tool})

    def _updating(self, task: Task) -> Intent:
        """Answers to questions of a task. Raises Refusal(invalid_request)."""
        answers = self.params.get(RESPONSES)
        if type(answers) is not dict or not answers:
            raise Fault(PARAMS, f"`params.{RESPONSES}` must be an object with the answers.")
        asked = dict[str, TaskAsk]()
        for key, answer in answers.items():
            if (ask := self.ask_of(self.server, task, key)) is None:
                raise Fault(PARAMS, f"`params.{RESPONSES}` answers something that was not asked.")
            if why := mcp_questions.wrong(ask.kind, {"result": answer}):
                raise Fault(PARAMS, why.replace("`result", f"`params.{RESPONSES}.*"))
            asked[key] = ask
        self.answered_asks, self.called = asked, "task_update"
        return Intent(f"{self.server}/{self.called}", False, (), 0, {"tool": task.tool, RESPONSES: answers})

    def _resume(self) -> None:
        """Read which questions a call of the later era answers. Raises Refusal(invalid_request)."""
        if not self.modern:
            return
        if self._declared:
            self.about = mcp_questions.about(self.method, self.called, self.given)
        state, answers = self.params.get(STATE, self._state), self.params.get(RESPONSES)
        if state is None and answers is None:
            return
        asked = self.round_of(self.server, state)
        if asked is None or asked.about != self.about:
            words = f"`params.{STATE}` is not that of the answer to this call, or too old. Call again without it."
            raise Fault(PARAMS, words, status=400)
        if type(answers) not in (dict, type(None)) or any(key not in asked.kinds for key in answers or ()):
            raise Fault(PARAMS, f"`params.{RESPONSES}` answers something that was not asked.", status=400)
        for key, answer in (answers or {}).items():
            if why := mcp_questions.wrong(asked.kinds[key], {"result": answer}):
                raise Fault(PARAMS, why.replace("`result", f"`params.{RESPONSES}.*"), status=400)
        self.round = asked

    def _answering(self, body: Json) -> Intent:
        """The answer to a question of the server, judged as a call of a tool. Raises Refusal(invalid_request)."""
        asked = self.asked_as(self._answers)
        if asked is not None and not self.door:
            self.server = asked.server
        if asked is None or (not self.door and asked.server not in self.servers):
            words = "The message answers no question of a server in this session, or comes too late."
            raise Fault(INVALID, words, status=400)
        if why := mcp_questions.wrong(asked.kind, body):
            raise Fault(PARAMS, why, status=400)
        self.question, self.called = asked, asked.tool
        return Intent(f"{self.server}/{asked.tool}", False, (), 0, body["error" if "error" in body else "result"])

    def _split(self, name: str) -> tuple[str, str]:
        """Server and tool of a name with both. Raises Refusal(tool_not_found)."""
        for server in self.servers:
            if name.startswith(f"{server}_") and len(name) > len(server) + 1:
                return server, name[len(server) + 1 :]
        raise unknown_tool()


def _nothing_asked(id: object) -> None:
    """Outside a session, nobody was asked anything."""
    del id


def _no_round(server: str, state: object) -> None:
    """Before the caller is known, nothing was asked."""
    del server, state


def _no_ask(server: str, task: Task, key: str) -> None:
    """Before the caller is known, nothing was asked."""
    del server, task, key


def missing_tasks() -> Fault:
    """The refusal for a request of the later era that needs the extension for tasks."""
    needed: Json = {"requiredCapabilities": {names.EXTENSIONS: {names.TASK_EXTENSION: {}}}}
    words = (
        f"This needs the extension {names.TASK_EXTENSION} in the capabilities of the client, at the path of one server."
    )
    return Fault(names.MISSING, words, status=400, data=needed)
