"""A2A through the whole gateway: messages to other agents walk the line that calls of models walk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_server import (
    CANCELS,
    GETS,
    POLICY,
    SENDS,
    STREAMS,
    SUBSCRIBES,
    Scripted,
    interface,
    own_code,
    scripted,
    task,
)
from line import Line, config, policies, running
from tool_server import INJECTION, MAIL

HOOK = {"url": "https://example.com/hook"}
versions = pytest.mark.parametrize("version", list(SENDS))


@pytest.fixture(scope="module", params=["JSONRPC", "HTTP+JSON"])
def up(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    """A scripted agent, which serves 1.0 in one binding."""
    with scripted() as made:
        made.card = {
            "name": "Planner",
            "description": "Plans.",
            "version": "1",
            "url": f"{made.url}/rpc",
            "protocolVersion": "0.3.0",
            "preferredTransport": "JSONRPC",
            "supportedInterfaces": [
                {"url": "http://evil.example/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": f"{made.url}/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                interface(made.url, request.param),
            ],
            "capabilities": {"streaming": True, "pushNotifications": True},
            "securitySchemes": {"oauth": {"type": "oauth2"}},
            "signatures": [{"protected": "x", "signature": "y"}],
            "skills": [{"id": "plan", "name": "Plan", "description": "Plans.", "tags": ["x"], "secret": 1}],
        }
        yield made


@pytest.fixture
def agent(up: Scripted) -> Scripted:
    """The same, as new."""
    up.answer, up.raw, up.status, up.stream = None, None, 200, None
    up.seen.clear()
    up.headers.clear()
    return up


@pytest.fixture(scope="module")
def line(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy, quotas and prices."""
    folder = tmp_path_factory.mktemp("a2a")
    row = {"url": up.url, "price": 0.25, "timeout": "5s", "max_answer": 100_000, "auth": {"token": "agent-token-9"}}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        a2a={"planner": row, "secret": {"url": up.url}, "dead": {"url": "http://127.0.0.1:9"}},
        policy=policies(folder, POLICY),
        quotas={"cost_usd": 1, "calls": 50, "repeats": 3},
        pii={"entities": {"CREDIT_CARD": "block"}},
    )
    with running(folder, settings) as started:
        yield started


def post(
    line: Line, version: str, method: str, params: Any, *, to: str = "planner", who: str = "alice", **more: str
) -> Any:
    """The response of HTTP to one request."""
    headers = {"authorization": f"Bearer mg-{who}", "a2a-version": version}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    message = {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}
    return line.client.post(f"/a2a/{to}", json=message, headers=headers)


def send(line: Line, version: str, text: str = "hello", message: Any = None, **more: str) -> Any:
    """The response to a message, as JSON."""
    part = {"text": text} if version == "1.0" else {"kind": "text", "text": text}
    role = "ROLE_USER" if version == "1.0" else "user"
    params = {"message": {"messageId": "m1", "role": role, "parts": [part], **(message or {})}}
    return post(line, version, SENDS[version], params, **more).json()


def made(answer: Any) -> Any:
    """The task in an answer."""
    return answer["result"].get("task", answer["result"])


def failed(answer: Any) -> tuple[int, str]:
    """The code of an error, and the gateway's own."""
    return answer["error"]["code"], own_code(answer["error"])


@versions
def test_a_message_and_its_task(line: Line, agent: Scripted, version: str) -> None:
    """Sent as it was, with the gateway's credential; the task can be read and canceled."""
    cid = f"flow-{version}"
    answer = send(line, version, x_correlation_id=cid)
    task_id = made(answer)["id"]
    assert answer["id"] == "r1"
    assert made(answer)["artifacts"][0]["parts"][0]["text"] == "you said hello"
    assert agent.headers[0]["authorization"] == "Bearer agent-token-9"
    assert agent.headers[0]["a2a-version"] == version
    assert "mg-alice" not in str(agent.headers)
    for methods in (GETS, CANCELS):
        got = post(line, version, methods[version], {"id": task_id}, x_correlation_id=cid).json()
        assert made(got)["id"] == task_id, got
    again = send(line, version, "more", {"taskId": task_id, "contextId": made(answer)["contextId"]})
    assert made(again)["id"] == task_id
    used = line.workflow(cid).used
    assert (used["calls"], used["cost"]) == (3, 250_000_000)


@versions
def test_tasks_of_others_do_not_exist(line: Line, agent: Scripted, version: str) -> None:
    """Neither for another agent of the team nor for another team, by no way that names them."""
    task_id = made(send(line, version))["id"]
    agent.seen.clear()
    for who in ("bob", "mallory"):
        for methods in (GETS, CANCELS):
            assert failed(post(line, version, methods[version], {"id": task_id}, who=who).json())[0] == -32001
        for field_ in ({"taskId": task_id}, {"contextId": f"c-{task_id}"}, {"referenceTaskIds": [task_id]}):
            assert failed(send(line, version, message=field_, who=who))[0] == -32001
    assert failed(post(line, version, GETS[version], {"id": "unknown"}).json())[0] == -32001
    assert agent.seen == []


def test_lists_have_the_tasks_of_the_caller(line: Line, agent: Scripted) -> None:
    """Pages without any are skipped; what others have is neither shown nor counted nor judged."""
    mine = [made(send(line, "1.0", f"mine {number}"))["id"] for number in range(2)]
    theirs = made(send(line, "1.0", "theirs", who="bob"))["id"]
    pages = {"": [theirs, "x"], "p1": [theirs, mine[0]], "p2": [mine[1]]}
    after = {"": "p1", "p1": "p2", "p2": ""}

    def listed(method: str, params: Any) -> Any:
        at = params.get("pageToken", "")
        tasks = [task(id, f"of {id}" if id in mine else "4111 1111 1111 1111") for id in pages[at]]
        return {"tasks": tasks, "nextPageToken": after[at], "pageSize": 2, "totalSize": 5}

    agent.answer = listed
    first = post(line, "1.0", "ListTasks", {"pageSize": 2}).json()["result"]
    assert ([it["id"] for it in first["tasks"]], first["totalSize"], first["nextPageToken"]) == (mine[:1], 1, "p2")
    second = post(line, "1.0", "ListTasks", {"pageSize": 2, "pageToken": "p2"}).json()["result"]
    assert ([it["id"] for it in second["tasks"]], second["nextPageToken"]) == (mine[1:], "")
    assert post(line, "1.0", "ListTasks", {}, who="mallory").json()["result"]["tasks"] == []
    agent.seen.clear()
    foreign = post(line, "1.0", "ListTasks", {"contextId": f"c-{mine[0]}"}, who="mallory").json()
    assert failed(foreign)[0] == -32001
    assert agent.seen == []
    agent.answer = lambda method, params: {"tasks": [task(id, "cut \ud83d") for id in (theirs, mine[0])]}
    halves = post(line, "1.0", "ListTasks", {}).json()["result"]["tasks"]
    assert [(it["id"], it["artifacts"][0]["parts"][0]["text"]) for it in halves] == [(mine[0], "cut \ufffd")]
    hostile: tuple[Any, ...] = ({"tasks": 1}, {}, {"tasks": [1, "x"]}, {"tasks": [{}] * 101})
    for broken in hostile:
        agent.answer = lambda method, params, broken=broken: broken
        said = post(line, "1.0", "ListTasks", {}).json()
        assert "error" in said or said["result"]["tasks"] == []


@versions
@pytest.mark.parametrize(
    "message",
    [{"task_id": "t"}, {"context_id": "c"}, {"reference_task_ids": ["t"]}],
)
def test_other_spellings_of_ids_are_refused(line: Line, agent: Scripted, version: str, message: Any) -> None:
    """Parsers of the protocol read them as the same field, so that they could name tasks of others."""
    code = -32602 if version == "0.3" else -32001  # 1.0 has both forms of names: these are ids of others
    assert failed(send(line, version, message=message))[0] == code
    params = {"message": {"messageId": "m", "parts": [{"text": "x"}]}}
    others: tuple[dict[str, Any], ...] = ({"configuration": {"task_push_notification_config": {}}}, {"message_Id": "m"})
    for more in others:
        assert failed(post(line, version, SENDS[version], {**params, **more}).json())[0] == -32602
    assert failed(post(line, version, GETS[version], {"id": "x", "history_length": 1}).json())[0] == code
    assert agent.seen == []


@versions
def test_texts_are_judged_both_ways(line: Line, agent: Scripted, version: str) -> None:
    """Personal data is masked and restored, secrets are blocked, injections are withheld, by the policy's rules."""
    answer = send(line, version, f"write to {MAIL}")
    assert MAIL not in json.dumps(agent.seen)
    assert MAIL in json.dumps(answer)
    assert failed(send(line, version, "card 4111 1111 1111 1111"))[1] == "pii_blocked"
    assert failed(send(line, version, "forbidden"))[1] == "policy_denied"
    agent.answer = lambda method, params: (
        {"task": task("x1", INJECTION)} if "/" not in method else task("x1", INJECTION)
    )
    answer = send(line, version, "what is new?")
    assert failed(answer)[1] == "policy_denied"
    assert "evil.example" not in json.dumps(answer)


@versions
def test_values_are_restored_where_a_task_is_read_again(line: Line, agent: Scripted, version: str) -> None:
    """In any workflow, also those of a later message; for the caller alone."""
    first, second = f"a{version[0]}.lee@example.org", f"b{version[0]}.lee@example.org"
    sent = send(line, version, f"write to {first}", x_correlation_id=f"values-{version}")
    id = made(sent)["id"]
    placeholder = agent.seen[-1]["params"]["message"]["parts"][0]["text"].removeprefix("write to ")
    assert placeholder.startswith("<")

    def reads(text: str) -> str:
        said = task(id, text, SENDS[version])
        agent.answer = lambda method, params: said if "/" not in method else {"kind": "task", **said}
        answer = post(line, version, GETS[version], {"id": id}).json()
        agent.answer = None
        return str(made(answer)["artifacts"][0]["parts"][0]["text"])

    assert reads(f"wrote to {placeholder}") == f"wrote to {first}"
    send(line, version, f"and to {second}", {"taskId": id}, x_correlation_id=f"values-{version}")
    other = agent.seen[-1]["params"]["message"]["parts"][0]["text"].removeprefix("and to ")
    assert other != placeholder
    assert reads(f"{placeholder} {other} <EMAIL_ADDRESS_9>") == f"{first} {second} <EMAIL_ADDRESS_9>"


@versions
def test_data_and_files_are_judged(line: Line, agent: Scripted, version: str) -> None:
    """Data as text in JSON, files as what no scanner reads."""
    data: dict[str, Any] = {"data": {"who": {"mail": MAIL}}}
    file: dict[str, Any] = {"raw": "AAAA", "mediaType": "image/png"}
    if version == "0.3":
        data["kind"] = "data"
        file = {"kind": "file", "file": {"bytes": "AAAA", "mimeType": "image/png"}}
    send(line, version, message={"parts": [data]})
    assert agent.seen
    assert MAIL not in json.dumps(agent.seen)
    assert failed(send(line, version, message={"parts": [file]}))[1] == "pii_blocked"
    bad = task("x2", "see", SENDS[version])
    bad["artifacts"][0]["parts"].append(file)
    agent.answer = lambda method, params: {"task": bad} if "/" not in method else bad
    assert failed(send(line, version, "draw it"))[1] == "output_blocked"


@versions
@pytest.mark.parametrize("key", ["role", "messageId", "artifactId", "timestamp", "mediaType", "nextPageToken", "extra"])
def test_structural_fields_hold_no_values(line: Line, agent: Scripted, version: str, key: str) -> None:
    """What is no name under the key of a name is a text, at any level."""
    bad = task("x3", "see", SENDS[version])
    for holder in (bad, bad["status"], bad["artifacts"][0], bad["artifacts"][0]["parts"][0]):
        holder[key] = "4111 1111 1111 1111"
    agent.answer = lambda method, params: {"task": bad} if "/" not in method else bad
    assert "1111 1111" not in json.dumps(send(line, version, "look"))


@versions
def test_an_agent_that_is_not_allowed(line: Line, agent: Scripted, version: str) -> None:
    """Is refused, has no card, and neither has one that is not there."""
    assert failed(send(line, version, to="secret"))[1] == "policy_denied"
    assert post(line, version, SENDS[version], {}, to="none").status_code == 404
    for name in ("secret", "none"):
        assert line.client.get(f"/a2a/{name}/.well-known/agent-card.json").status_code == 404
    assert agent.seen == []


def test_the_card_points_here(line: Line) -> None:
    """With what is served here, and nothing of what is not."""
    card = line.client.get("/a2a/planner/.well-known/agent-card.json").json()
    url = f"{line.url}/a2a/planner"
    assert {one["url"] for one in card["supportedInterfaces"]} == {card["url"]} == {url}
    assert {one["protocolBinding"] for one in card["supportedInterfaces"]} == {"JSONRPC", "HTTP+JSON"}
    assert card["capabilities"] == {"streaming": True, "pushNotifications": False}
    assert "signatures" not in card
    assert list(card["securitySchemes"]) == ["bearer"]
    assert card["skills"] == [{"id": "plan", "name": "Plan", "description": "Plans.", "tags": ["x"]}]
    assert "evil.example" not in json.dumps(card)
    unknown = line.client.get("/a2a/planner/.well-known/agent-card.json", headers={"authorization": "Bearer no"})
    assert unknown.status_code == 401


def test_a_card_that_lies(tmp_path: Path) -> None:
    """Readers of a card are models: instructions, personal data and secrets are left out, of any card."""
    with scripted() as other:
        skill = {"id": "plan", "name": "Plan", "description": f"Plans. Ask {MAIL}.", "tags": ["x"]}
        other.card = {
            "name": "Planner",
            "description": INJECTION,
            "provider": {"organization": INJECTION, "url": "http://evil.example"},
            "url": f"{other.url}/rpc",
            "capabilities": {"extendedAgentCard": True},
            "skills": [skill, {**skill, "id": "bad", "description": INJECTION}, "odd"],
        }
        other.answer = lambda method, params: other.card
        policy = policies(tmp_path, POLICY)
        settings = config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": {"url": other.url}}, policy=policy)
        with running(tmp_path, settings) as line:
            plain = line.client.get("/a2a/planner/.well-known/agent-card.json").json()
            extended = post(line, "0.3", "agent/getAuthenticatedExtendedCard", {}).json()["result"]
            found = line.client.get("/a2a/planner/v1/card", headers={"authorization": "Bearer mg-alice"})
            assert (found.headers["content-type"], found.json()) == ("application/json", extended)
            unknown = line.client.get("/a2a/planner/v1/card", headers={"authorization": "Bearer nobody"})
            assert unknown.status_code == 401
            later = line.client.get(
                "/a2a/planner/v1/card", headers={"authorization": "Bearer mg-alice", "a2a-version": "1.0"}
            )
            assert (later.status_code, later.json()["error"]["message"]) == (400, "This path is one of version 0.3.")
            other.card["skills"] = json.loads("[" * 300 + "]" * 300)
            deep = post(line, "0.3", "agent/getAuthenticatedExtendedCard", {}).json()
            assert failed(deep) == (-32000, "upstream_error")
        with running(tmp_path, settings) as line:
            deep = line.client.get("/a2a/planner/.well-known/agent-card.json").json()
            assert deep["error"]["data"]["code"] == "upstream_error"
    for card in (plain, extended):
        assert (card["name"], card["description"]) == ("", "")
        assert card["skills"] == [{**skill, "description": "Plans. Ask <EMAIL>."}]
        assert "evil.example" not in json.dumps(card)


@pytest.mark.parametrize(
    ("version", "method", "code"),
    [
        ("1.0", "message/send", -32601),
        ("0.3", "SendMessage", -32601),
        ("", "message/send", -32602),
        ("2.0", "SendMessage", -32009),
        ("1.0", "message/stream", -32601),
        ("0.3", "SendStreamingMessage", -32601),
        ("0.3", "tasks/list", -32601),
        ("0.3", "tasks/pushNotificationConfig/set", -32602),
        ("1.0", "CreateTaskPushNotificationConfig", -32602),
    ],
)
def test_methods_and_versions(line: Line, agent: Scripted, version: str, method: str, code: int) -> None:
    """What is not served has the error of the protocol."""
    assert failed(post(line, version, method, {}).json())[0] == code
    assert agent.seen == []


@versions
@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"message": "x"}, -32602),
        ({"message": {"messageId": "m", "parts": []}}, -32602),
        ({"message": {"messageId": "m" * 200, "parts": [{"text": "x"}]}}, -32602),
        ({"message": {"messageId": "m", "taskId": "a b", "parts": [{"text": "x"}]}}, -32602),
        ({"message": {"messageId": "m", "parts": [{}]}, "configuration": {"pushNotificationConfig": {}}}, -32602),
        ({"message": {"messageId": "m", "parts": [{}]}, "configuration": {"taskPushNotificationConfig": HOOK}}, -32003),
        ({"message": {"messageId": "m", "parts": [{}]}, "tenant": "other"}, -32602),
    ],
)
def test_mistakes(line: Line, agent: Scripted, version: str, params: Any, code: int) -> None:
    """Are refused before anything leaves."""
    assert failed(post(line, version, SENDS[version], params).json())[0] == code
    assert agent.seen == []


@versions
@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{",
        b'{"jsonrpc": "2.0", "id": "other", "result": {}}',
        b'{"jsonrpc": "2.0", "id": "r1", "result": {"task": {"id": "a b"}, "kind": "task", "id": "a b"}}',
        b'{"jsonrpc": "2.0", "id": "r1", "result": {"task": {}, "message": {}}}',
        b'{"x": "' + b"y" * 200_000 + b'"}',
    ],
)
def test_hostile_answers(line: Line, agent: Scripted, version: str, raw: bytes) -> None:
    """Another id, no task, floods: an error for this call, and the next caller is served."""
    agent.raw = raw
    assert failed(send(line, version))[1] == "upstream_error"
    agent.raw = None
    assert "result" in send(line, version, "next")


@versions
def test_another_task_in_the_answer_is_refused(line: Line, agent: Scripted, version: str) -> None:
    """An agent cannot answer about the task of somebody else."""
    task_id = made(send(line, version, "mine"))["id"]
    other = task("t-victim", "secret plans", SENDS[version])
    agent.answer = lambda method, params: {"task": other} if method == "SendMessage" else {**other, "kind": "task"}
    assert failed(post(line, version, GETS[version], {"id": task_id}).json())[1] == "upstream_error"
    assert failed(send(line, version, "x", {"taskId": task_id}))[1] == "upstream_error"


@versions
def test_the_same_message_again_and_again_is_a_loop(line: Line, agent: Scripted, version: str) -> None:
    """Whatever its id."""
    answers = [
        send(line, version, message={"messageId": f"m{number}"}, x_correlation_id=f"loop{version}")
        for number in range(4)
    ]
    assert ["error" in answer for answer in answers] == [False, False, False, True]
    assert failed(answers[-1])[1] == "loop_detected"


@versions
def test_an_agent_that_is_down(line: Line, version: str) -> None:
    """Is an error of the upstream."""
    assert failed(send(line, version, to="dead"))[1] == "upstream_error"


@versions
def test_sub_agents_and_other_agents(line: Line, agent: Scripted, version: str) -> None:
    """A delegation narrows the agents, too, and the depth of its chain is known to the policy."""
    headers = {"x-correlation-id": f"sub{version}"}
    body = {"agent": "helper", "agents": ["other"]}
    token = line.client.post("/v1/delegations", json=body, headers=headers).json()["token"]
    answer = send(line, version, authorization=f"Bearer {token}")
    assert failed(answer)[1] == "policy_denied"
    assert "delegation" in answer["error"]["message"]
    assert agent.seen == []


@versions
def test_values_that_are_split_over_parts(line: Line, agent: Scripted, version: str) -> None:
    """The parts of a message, and of an artifact, are one text to their reader."""
    kind = {} if version == "1.0" else {"kind": "text"}
    parts = [{**kind, "text": "to ann.lee@exam"}, {**kind, "text": "ple.org"}]
    send(line, version, message={"parts": parts})
    assert "ple.org" not in json.dumps(agent.seen[-1])
    secret = [{**kind, "text": "ghp_a1B2c3D4"}, {**kind, "text": "e5F6g7H8i9J0k1L2m3N4o5P6q7R8"}]

    def answer(method: str, params: Any) -> Any:
        made = {**task("t", "x", method), "artifacts": [{"artifactId": "a", "parts": secret}]}
        return {"task": made} if version == "1.0" else {"kind": "task", **made}

    agent.answer = answer
    said = json.dumps(send(line, version))
    assert not ("ghp_a1B2c3D4" in said and "e5F6g7H8i9J0" in said), said


@versions
@pytest.mark.parametrize(
    "fields",
    [{"task_id": "no-1"}, {"context_id": "no-2"}, {"reference_task_ids": ["no-3"]}, {"message_id": "m"}],
    ids=lambda fields: next(iter(fields)),
)
def test_the_other_form_of_a_name(line: Line, agent: Scripted, version: str, fields: Any) -> None:
    """Agents read both forms of a name, so that an id in the form that is not checked would be one of others."""
    twice = "message_id" in fields
    assert failed(send(line, version, message=fields))[0] == (-32602 if version == "0.3" or twice else -32001)
    assert not agent.seen


@versions
@pytest.mark.parametrize("name", ["push_notification_config", "task_push_notification_config", "history_length"])
def test_the_other_form_of_a_setting(line: Line, agent: Scripted, version: str, name: str) -> None:
    """The same in the configuration."""
    message = {"messageId": "m", "role": "user", "parts": [{"text": "a"}]}
    params = {"message": message, "configuration": {name: {"url": "http://127.0.0.1:9"}}}
    refused = -32003 if version == "1.0" and name != "history_length" else -32602
    if version == "1.0" and name == "history_length":
        params["configuration"] = {"history_length": 1, "historyLength": 1}
    assert failed(post(line, version, SENDS[version], params).json())[0] == refused
    assert not agent.seen


@versions
@pytest.mark.parametrize("name", ["task_id", "taskId", "name"])
def test_a_task_has_one_name(line: Line, agent: Scripted, version: str, name: str) -> None:
    """A request about a task of the caller's own names no other one beside."""
    own = made(send(line, version))["id"]
    number = len(agent.seen)
    for method in (GETS[version], CANCELS[version]):
        assert failed(post(line, version, method, {"id": own, name: "tasks/t-9"}).json())[0] == -32602
    assert len(agent.seen) == number


@versions
@pytest.mark.parametrize("start", ["4000002a", "1000000b"])
def test_an_id_of_which_a_part_reads_like_a_personal_number(
    line: Line, agent: Scripted, version: str, start: str
) -> None:
    """Stays an id, or the task could not be named again: a UUID begins with the digits and the letter of a number."""
    id = f"{start}-791d-4677-b115-df5397484{version[0]}5a"
    agent.answer = lambda method, params: (
        {"task": task(id, "x", method)} if method == "SendMessage" else {"kind": "task", **task(id, "x", method)}
    )
    assert made(send(line, version))["id"] == id
    assert made(post(line, version, GETS[version], {"id": id}).json())["id"] == id
    assert agent.seen[-1]["params"] == {"id": id}


@versions
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", -32700),
        (b'{"jsonrpc": "2.0",, "id": 1}', -32700),
        (b"[]", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "x"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "x"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": []}', -32602),
    ],
)
def test_what_is_no_request_is_answered_in_the_protocol(line: Line, version: str, raw: bytes, code: int) -> None:
    """With status 200, because clients read errors of JSON-RPC there; `data` has the form of the version."""
    answer = line.client.post("/a2a/planner", content=raw, headers={"a2a-version": version})
    assert (answer.status_code, failed(answer.json())) == (200, (code, "invalid_request"))
    assert (type(answer.json()["error"]["data"]) is list) is (version == "1.0")


def test_reasons_are_those_of_the_protocol(line: Line) -> None:
    """In the details of errors of 1.0, beside the gateway's own code."""
    error = post(line, "1.0", "GetTask", {"id": "unknown"}).json()["error"]
    assert error["data"][0]["reason"] == "TASK_NOT_FOUND"
    error = send(line, "1.0", "forbidden")["error"]
    assert (error["code"], error["data"][0]["reason"]) == (-32000, "POLICY_DENIED")


@versions
def test_an_address_that_ends_in_a_slash(line: Line, agent: Scripted, version: str) -> None:
    """Is the same agent: clients add the slash to the URL of the card."""
    message = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "x"}]}
    body = {"jsonrpc": "2.0", "id": 1, "method": SENDS[version], "params": {"message": message}}
    answer = line.client.post("/a2a/planner/", json=body, headers={"a2a-version": version})
    assert "result" in answer.json()


@versions
def test_a_refusal_of_a_stream_is_an_event(line: Line, agent: Scripted, version: str) -> None:
    """As the answer to a method that streams is a stream, whatever it says."""
    for method, params in ((STREAMS[version], {"message": 1}), (SUBSCRIBES[version], {"id": "unknown"})):
        answer = post(line, version, method, params)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        said = json.loads(answer.text.removeprefix("data: "))
        assert (said["id"], failed(said)[1]) == ("r1", "invalid_request")
        assert answer.headers["x-meshgate-code"] == "invalid_request"
    assert agent.seen == []


@versions
def test_a_context_of_the_callers_own(line: Line, agent: Scripted, version: str) -> None:
    """A new message may name one that nobody has, by an id that nobody guesses; from then on the context is its own."""
    context = f"6f9619ff-8b86-4011-b42d-00c04fc964f{version[0]}"
    agent.answer = lambda method, params: (
        {"task": {**task("own-1", "x", method), "contextId": params["message"]["contextId"]}}
        if version == "1.0"
        else {"kind": "task", **task("own-1", "x", method), "contextId": params["message"]["contextId"]}
    )
    assert made(send(line, version, message={"contextId": context}))["contextId"] == context
    number = len(agent.seen)
    for who in ("bob", "mallory"):
        assert failed(send(line, version, message={"contextId": context}, who=who))[0] == -32001
    assert failed(send(line, version, message={"contextId": "short"}))[0] == -32001
    assert failed(send(line, version, message={"contextId": f"{context}-x", "taskId": "own-1"}))[0] == -32001
    assert len(agent.seen) == number
    assert "result" in send(line, version, message={"contextId": context})


def test_a_list_of_a_context_that_nobody_has(line: Line, agent: Scripted) -> None:
    """Is asked for, and has the tasks of the caller alone."""
    agent.answer = lambda method, params: {"tasks": [task("t-foreign", "x")], "nextPageToken": ""}
    assert post(line, "1.0", "ListTasks", {"context_id": "nobody"}).json()["result"]["tasks"] == []
    assert agent.seen[-1]["params"] == {"contextId": "nobody"}


def test_other_forms_of_names_are_passed_on_in_one_form(line: Line, agent: Scripted) -> None:
    """As parsers of ProtoJSON take both, clients of 1.0 send both; what is inside data is not renamed."""
    parts = [{"data": {"some_key": 1}}]
    message = {"message_id": "m", "role": "ROLE_USER", "parts": parts, "metadata": {"my_key": 1}}
    sent = {"message": message, "configuration": {"history_length": 3}}
    assert "result" in post(line, "1.0", "SendMessage", sent).json()
    params = agent.seen[-1]["params"]
    assert params["message"] == {"messageId": "m", "role": "ROLE_USER", "parts": parts, "metadata": {"my_key": 1}}
    assert params["configuration"] == {"historyLength": 3}


CARD = "/a2a/planner/.well-known/agent-card.json"


def test_a_card_can_be_kept(line: Line) -> None:
    """By the caller alone, for as long as the gateway keeps the agent's; then it asks whether the card has changed."""
    first = line.client.get(CARD)
    assert first.headers["cache-control"] == "private, max-age=300"
    tag = first.headers["etag"]
    for known in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
        again = line.client.get(CARD, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    assert line.client.get(CARD, headers={"if-none-match": '"x"'}).status_code == 200
    plain = line.client.get(CARD, headers={"a2a-version": "1.0"})
    assert plain.headers["etag"] != tag
    assert not plain.json().keys() & {"url", "protocolVersion", "preferredTransport", "security"}
    assert plain.json()["securitySchemes"] == {"bearer": {"httpAuthSecurityScheme": {"scheme": "bearer"}}}
    assert line.client.get(CARD, headers={"if-none-match": tag, "authorization": "Bearer no"}).status_code == 401


def test_a_card_takes_a_request_limit(up: Scripted, tmp_path: Path) -> None:
    """As anything that a caller asks of the gateway."""
    limits = [{"per": "agent", "requests": "3/min", "burst": 3}]
    with running(
        tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": {"url": up.url}}, limits=limits)
    ) as one:
        assert [one.client.get(CARD).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert one.client.get("/a2a/none/.well-known/agent-card.json").status_code == 429
