"""Questions of a server to the client of a call (MCP, client/sampling, client/elicitation, client/roots). Without IO.

A question names what it wants of the client: a text of the client's model (sampling), an answer of its user
(elicitation), or the folders that it works in (roots).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from gateway.bodies import Json

ASKS: Final[Mapping[str, str]] = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
"""Method of a question -> its kind, which is also the capability that a client declares for it."""
STATE: Final = "requestState"
RESPONSES: Final = "inputResponses"
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "sampling": ("tools", "context"),
    "elicitation": ("form", "url"),
    "roots": (),
}
"""Kind -> what a client may declare below the capability."""
_ACTIONS: Final = frozenset({"accept", "decline", "cancel"})
_MOST: Final = 64 * 1024  # bytes of a question
_LONGEST_ID: Final = 64  # characters of the id or key of a question: what the client gets contains it
_UNSENT: Final = ("_meta", "task")  # what belongs to the server, and what asks for a task
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Question(NamedTuple):
    """A question that was passed on: its kind, the id that the server gave it, and the tokens of a prompt.

    `server`: who asked, and in which session with the gateway; "" where the session of the client says so.
    """

    kind: str
    id: str | int
    tokens: int = 0
    server: str = ""
    version: str = ""
    session: str = ""

    @property
    def tool(self) -> str:
        """The name under which the policy judges the answer, as a call of a tool of the server."""
        return answering(self.kind)


class Round(NamedTuple):
    """What the answer to a call asked, if the server needs more to answer (2026-07-28, `input_required`).

    `about`: the digest of the call. `state`: that of the server, None without one. `kinds`: key of a question -> its
    kind. `tokens`: key -> those of its prompt. `number`: of this round of the call, from 1. `held`: the gateway holds
    the call, and the state is the gateway's own.
    """

    about: str
    state: str | None
    kinds: Mapping[str, str]
    tokens: Mapping[str, int] = {}
    number: int = 0
    held: bool = False


class Task(NamedTuple):
    """A call that runs as a task: the tool, and the id that the server gave the task.

    `later`: the server has it as a task of the later era (the extension), else as one of 2025-11-25. `workflow`: of the
    call.
    """

    tool: str
    id: str
    later: bool = False
    workflow: str = ""


class TaskAsk(NamedTuple):
    """A question of a task of the later era: its kind, the key that the server gave it, and the tokens of a prompt."""

    kind: str
    key: str
    tokens: int = 0


def about(method: str, called: str, given: Json) -> str:
    """The digest of a call, which is the same in every round."""
    rest = {key: value for key, value in given.items() if key not in (STATE, RESPONSES)}
    return sha256(orjson.dumps([method, called, rest], option=orjson.OPT_SORT_KEYS)).hexdigest()


def addresses(result: Json) -> dict[str, object]:
    """The URLs in the questions of a result, by the key of the question."""
    asked = result.get("inputRequests")
    found: dict[str, object] = {}
    for key, question in asked.items() if type(asked) is dict else ():
        params = question.get("params") if type(question) is dict else None
        if type(params) is dict and "url" in params:
            found[key] = params["url"]
    return found


def complete(
    result: Json,
    added: Mapping[tuple[str | int, ...], object],
    asks: Mapping[str, object] | None,
    keys: Mapping[str, str],
) -> bool:
    """Complete a judged result with what the gateway adds: values, by their path, and other keys of questions.

    False if an address or a key of a question was edited: the question would be another. `asks`: the addresses before
    judging, None without questions.
    """
    if asks is not None and addresses(result) != asks:
        return False
    if keys:
        questions = result.get("inputRequests")
        if type(questions) is not dict or questions.keys() != keys.keys():
            return False
        result["inputRequests"] = {keys[key]: question for key, question in questions.items()}
    for path, value in added.items():
        node: Any = result
        for key in path[:-1]:
            node = node[key] if type(key) is int else node.setdefault(key, {})
        node[path[-1]] = value
    return True


def answering(kind: str) -> str:
    """The name under which answers to questions of this kind are judged."""
    return f"answer_{kind}"


def able(declared: object, kinds: Collection[str]) -> Json:
    """What a client can be asked: of the capabilities that it declares, those of these kinds."""
    if type(declared) is not dict:
        return {}
    told = {kind: declared.get(kind) for kind in _PARTS if kind in kinds}
    return {
        kind: {part: {} for part in _PARTS[kind] if type(said.get(part)) is dict}
        for kind, said in told.items()
        if type(said) is dict
    }


def refused(method: object, params: object, declared: Json) -> str:
    """Why a question is not passed on to a client; "" if nothing speaks against it. `declared`: see `able`."""
    kind = ASKS.get(method) if type(method) is str else None
    if kind is None or kind not in declared:
        return "The client cannot be asked this through the gateway."
    if type(params) is not dict:
        return "`params` must be an object."
    try:
        if len(orjson.dumps(params)) > _MOST:
            return f"The question has more than {_MOST} bytes."
    except orjson.JSONEncodeError:
        return "The question is nested too deep."
    if kind == "sampling" and (type(params.get("messages")) is not list or type(params.get("maxTokens")) is not int):
        return "`params.messages` and `params.maxTokens` are missing."
    if kind == "sampling" and "tools" not in declared[kind] and ("tools" in params or "toolChoice" in params):
        return "The client takes no tools with a prompt."
    return _refused_elicitation(params, declared[kind]) if kind == "elicitation" else ""


def sent(kind: str, params: Json, declared: Json) -> Json:
    """The parameters of a question that is not refused, as they are passed on. `declared`: see `able`.

    A client that does not say that it takes `includeContext` adds no texts of other servers to a prompt.
    """
    left_out = _UNSENT if kind != "sampling" or "context" in declared[kind] else (*_UNSENT, "includeContext")
    return {key: value for key, value in params.items() if key not in left_out}


def _refused_elicitation(params: Json, modes: Json) -> str:
    mode = params.get("mode", "form")
    if type(mode) is not str or mode not in (modes or ("form",)):
        return "The client does not take elicitations of this mode."
    if type(params.get("message")) is not str:
        return "`params.message` must be a string."
    return "" if mode == "form" or _is_address(params.get("url")) else "`params.url` must be a URL with https."


def _is_address(url: object) -> bool:
    """Whether a browser may open a URL: over TLS or on the user's own machine, and without credentials in the URL."""
    if type(url) is not str or not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    return secure and bool(host) and "@" not in parts.netloc


def is_id(id: object) -> bool:
    """Whether a question may have this id."""
    return type(id) is int or (type(id) is str and len(id) <= _LONGEST_ID)


def prompt(params: Json) -> str:
    """The texts that the client's model reads of a question."""
    said: list[str] = []
    _collect({key: params.get(key) for key in ("systemPrompt", "messages", "tools")}, said)
    return "\n".join(said)


def _collect(value: Any, said: list[str]) -> None:
    if type(value) is str:
        said.append(value)
    elif type(value) is dict or type(value) is list:
        for inner in value.values() if type(value) is dict else value:
            _collect(inner, said)


def wrong(kind: str, answer: Json) -> str:
    """What is wrong with the answer of a client, a response of JSON-RPC; "" if nothing is."""
    error, result = answer.get("error"), answer.get("result")
    if "error" in answer:
        fits = type(error) is dict and type(error.get("code")) is int and type(error.get("message")) is str
        return "" if fits and "result" not in answer else "`error` must have a code and a message, and be alone."
    if type(result) is not dict:
        return "`result` must be an object."
    if kind == "elicitation":
        action = result.get("action")
        if type(action) is not str or action not in _ACTIONS:
            return f"`result.action` must be one of {', '.join(sorted(_ACTIONS))}."
        return "" if type(result.get("content")) in (dict, type(None)) else "`result.content` must be an object."
    if kind == "sampling":
        fits = type(result.get("content")) in (dict, list) and type(result.get("model")) is str
        return "" if fits else "`result.content` and `result.model` are missing."
    roots = result.get("roots")
    fits = type(roots) is list and all(type(one) is dict and type(one.get("uri")) is str for one in roots)
    return "" if fits else "`result.roots` must be a list of objects with `uri`."
