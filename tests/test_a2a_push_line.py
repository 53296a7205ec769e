"""Push notifications of other agents through the whole gateway: the agent tells the gateway, the gateway the client."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from multidict import CIMultiDict
from yarl import URL

from agent_server import POLICY, SENDS, Scripted, interface, scripted, task
from gateway.agents.deliver import Deliveries
from gateway.upstream.client import Destination, Response, Timeouts
from line import Line, config, running
from tool_server import INJECTION, MAIL

SETS = {"1.0": "CreateTaskPushNotificationConfig", "0.3": "tasks/pushNotificationConfig/set"}
READS = {"1.0": "GetTaskPushNotificationConfig", "0.3": "tasks/pushNotificationConfig/get"}
LISTS = {"1.0": "ListTaskPushNotificationConfigs", "0.3": "tasks/pushNotificationConfig/list"}
DELETES = {"1.0": "DeleteTaskPushNotificationConfig", "0.3": "tasks/pushNotificationConfig/delete"}
versions = pytest.mark.parametrize("version", list(SETS))
CARD = "4111 1111 1111 1111"


class Hook:
    """A client that is told of tasks: `got` has headers and bodies. `refusals`: statuses before the first 200."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[dict[str, str], Any]] = queue.Queue()
        self.refusals: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = outer.refusals.pop(0) if outer.refusals else 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                if status == 200:
                    outer.got.put(({name.lower(): value for name, value in self.headers.items()}, body))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def next(self) -> tuple[dict[str, str], Any]:
        """The next notification."""
        return self.got.get(timeout=15)

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A client's server."""
    made = Hook()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["JSONRPC", "HTTP+JSON"])
def up(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    """A scripted agent, which serves 1.0 in one binding."""
    with scripted() as made:
        made.card = {
            "name": "Planner",
            "url": f"{made.url}/rpc",
            "protocolVersion": "0.3.0",
            "capabilities": {"pushNotifications": True},
            "supportedInterfaces": [
                interface(made.url, request.param),
            ],
        }
        yield made


@pytest.fixture
def agent(up: Scripted) -> Scripted:
    """The same, as new: it keeps what it is given as the configuration of a task."""
    up.raw, up.status, up.stream = None, 200, None
    up.seen.clear()
    kept: dict[str, Any] = {}

    def answer(method: str, params: Any) -> Any:
        if method in SENDS.values():
            made = task(f"t-{len(up.seen)}", "begun", method)
            made["status"]["state"] = "TASK_STATE_WORKING" if "/" not in method else "working"
            return {"task": made} if "/" not in method else {"kind": "task", **made}
        if method in SETS.values():
            kept["last"] = params
            return params
        if method in READS.values():
            return kept["last"]
        if method == LISTS["1.0"]:
            foreign = {"taskId": "x", "id": "p2", "url": "http://internal/hook", "token": "secret-of-another"}
            return {"configs": [kept["last"], foreign]}
        if method == LISTS["0.3"]:
            return [kept["last"], {"taskId": "x", "pushNotificationConfig": {"url": "http://internal/hook"}}]
        return None

    up.answer = answer
    return up


@pytest.fixture(scope="module")
def line(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy; the agent reaches the gateway at the address that the tests use."""
    folder = tmp_path_factory.mktemp("push")
    (folder / "policies").mkdir()
    (folder / "policies" / "gateway.rego").write_text(POLICY)
    row = {"url": up.url, "push": {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}}
    fields = {
        "a2a": {"planner": row, "quiet": {"url": up.url}},
        "policy": {"path": str(folder / "policies")},
        "quotas": {"calls": 1000},
        "output": {"pii": "block"},
    }
    with running(folder, config(folder, "http://127.0.0.1:9/v1", **fields)) as started:
        yield started


def post(line: Line, version: str, method: str, params: Any, *, who: str = "alice", to: str = "planner") -> Any:
    """The answer to one request."""
    headers = {"authorization": f"Bearer mg-{who}", "a2a-version": version, "x-correlation-id": f"push-{who}"}
    body = {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}
    return line.client.post(f"/a2a/{to}", json=body, headers=headers).json()


def begun(line: Line, version: str, configuration: Any = None) -> str:
    """A new task."""
    part = {"text": f"for {MAIL}"} if version == "1.0" else {"kind": "text", "text": f"for {MAIL}"}
    params: Any = {"message": {"messageId": "m1", "role": "user", "parts": [part]}}
    if configuration is not None:
        name = "taskPushNotificationConfig" if version == "1.0" else "pushNotificationConfig"
        params["configuration"] = {name: configuration}
    result = post(line, version, SENDS[version], params)["result"]
    return str(result.get("task", result)["id"])


def wanted(version: str, id: str, config: dict[str, Any]) -> dict[str, Any]:
    """The parameters that set a configuration."""
    if version == "1.0":
        return {"taskId": id, "id": "p1", **config}
    return {"taskId": id, "pushNotificationConfig": {"id": "p1", **config}}


def placed(agent: Scripted) -> dict[str, Any]:
    """The configuration that the agent got last."""
    params = agent.seen[-1]["params"]
    params = params.get("configuration", params)
    found = params.get("taskPushNotificationConfig", params.get("pushNotificationConfig", params))
    assert isinstance(found, dict)
    return found


def tell(line: Line, url: str, body: Any) -> httpx.Response:
    """What the agent sends to a URL that it got."""
    assert url.startswith("http://gateway.example/a2a/planner/notifications/")
    path = url.removeprefix("http://gateway.example")
    return httpx.post(f"{line.url}{path}", json=body, timeout=30)


def notice(version: str, id: str, text: str, state: str = "completed") -> dict[str, Any]:
    """A notification of a task."""
    made = task(id, text, SENDS[version])
    made["status"]["state"] = f"TASK_STATE_{state.upper()}" if version == "1.0" else state
    return {"task": made} if version == "1.0" else {"kind": "task", **made}


@versions
def test_a_client_is_told(line: Line, agent: Scripted, hook: Hook, version: str) -> None:
    """With its token and credentials, which the agent never saw, and with the values that were masked."""
    scheme = {"scheme": "Bearer"} if version == "1.0" else {"schemes": ["Bearer"]}
    config = {"url": hook.url, "token": "client-token-7", "authentication": {**scheme, "credentials": "client-cred-8"}}
    id = begun(line, version)
    masked = agent.seen[-1]["params"]["message"]["parts"][0]["text"].removeprefix("for ")
    answer = post(line, version, SETS[version], wanted(version, id, config))
    for secret in ("client-token-7", "client-cred-8", hook.url):
        assert secret not in json.dumps(agent.seen)
    given = placed(agent)
    told = answer["result"] if version == "1.0" else answer["result"]["pushNotificationConfig"]
    assert (told["url"], told["id"]) == (hook.url, "p1")
    assert tell(line, given["url"], notice(version, id, f"done for {masked}")).status_code == 202
    headers, body = hook.next()
    assert headers["x-a2a-notification-token"] == "client-token-7"
    assert headers["authorization"] == "Bearer client-cred-8"
    assert body == notice(version, id, f"done for {MAIL}")


@versions
def test_a_configuration_with_the_message(line: Line, agent: Scripted, hook: Hook, version: str) -> None:
    """Is treated alike."""
    id = begun(line, version, {"url": hook.url})
    assert hook.url not in json.dumps(agent.seen)
    assert tell(line, placed(agent)["url"], notice(version, id, "done")).status_code == 202
    assert hook.next()[1] == notice(version, id, "done")


@versions
def test_configurations_are_read_by_their_owner(line: Line, agent: Scripted, hook: Hook, version: str) -> None:
    """With the client's URL; those of others are left out, and tasks of others are not found."""
    id = begun(line, version)
    post(line, version, SETS[version], wanted(version, id, {"url": hook.url, "token": "t"}))
    named = {"taskId": id, "id": "p1"} if version == "1.0" else {"id": id, "pushNotificationConfigId": "p1"}
    got = post(line, version, READS[version], named)["result"]
    assert (got if version == "1.0" else got["pushNotificationConfig"])["url"] == hook.url
    listed = post(line, version, LISTS[version], named)["result"]
    listed = listed["configs"] if version == "1.0" else listed
    assert len(listed) == 1
    assert "internal" not in json.dumps(listed)
    assert "gateway.example" not in json.dumps(listed)
    assert "error" not in post(line, version, DELETES[version], named)
    agent.seen.clear()
    for methods in (READS, LISTS, DELETES):
        assert post(line, version, methods[version], named, who="bob")["error"]["code"] == -32001
    setting = wanted(version, id, {"url": hook.url})
    assert post(line, version, SETS[version], setting, who="mallory")["error"]["code"] == -32001
    assert agent.seen == []


@versions
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://127.0.0.2/hook",
        "https://localhost/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://2130706433/",
        "https://user:pass@127.0.0.1/",
        "http://127.0.0.1/#x",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https:///x",
        "https://no-such-host.invalid/",
        "not a url",
        "x" * 3000,
    ],
)
def test_urls_that_lead_inside_are_refused(line: Line, agent: Scripted, version: str, url: str) -> None:
    """Also with the message; the agent hears of none."""
    id = begun(line, version)
    agent.seen.clear()
    assert post(line, version, SETS[version], wanted(version, id, {"url": url}))["error"]["code"] == -32602
    name = "taskPushNotificationConfig" if version == "1.0" else "pushNotificationConfig"
    params: Any = {"message": {"messageId": "m", "parts": [{"text": "x"}]}, "configuration": {name: {"url": url}}}
    assert post(line, version, SENDS[version], params)["error"]["code"] == -32602
    assert agent.seen == []


@versions
def test_configurations_in_other_places_are_refused(line: Line, agent: Scripted, version: str) -> None:
    """No URL reaches the agent by an escape, a second field, another spelling or another level."""
    inside = {"url": "http://internal/"}
    id = begun(line, version)
    agent.seen.clear()
    message = {"messageId": "m", "parts": [{"text": "x"}]}
    for more in (
        {"pushNotificationConfig": {}, "taskPushNotificationConfig": inside},
        {"taskPushNotificationConfig": {"url": "https://127.0.0.1/", "pushNotificationConfig": inside}},
        {"PushNotificationConfig": inside},
        {"push_notification_config": inside},
    ):
        answer = post(line, version, SENDS[version], {"message": message, "configuration": more})
        assert answer["error"]["code"] == -32602, more
    deep = {**wanted(version, id, {"url": "http://127.0.0.1/"}), "config": {"pushNotificationConfig": inside}}
    assert post(line, version, SETS[version], deep)["error"]["code"] == -32602
    name = "taskPushNotificationConfig" if version == "1.0" else "pushNotificationConfig"
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "method": SENDS[version], "params": {"message": message}})
    raw = raw[:-2] + ', "configuration": {"' + name.replace("N", "\\u004e") + '": {"url": "http://internal/"}}}}'
    answer = line.client.post("/a2a/planner", content=raw, headers={"a2a-version": version}).json()
    assert answer["error"]["code"] == -32602
    assert agent.seen == []


@versions
def test_what_is_not_passed_on(line: Line, agent: Scripted, hook: Hook, version: str) -> None:
    """Blocked texts, tasks of others, further pieces of artifacts, URLs that were changed."""
    id, other = begun(line, version), begun(line, version)
    post(line, version, SETS[version], wanted(version, id, {"url": hook.url}))
    url = placed(agent)["url"]
    assert tell(line, url, notice(version, other, "x")).status_code == 404
    assert tell(line, url, notice(version, id, f"card {CARD}")).status_code == 403
    assert tell(line, url, notice(version, id, INJECTION)).status_code == 403
    assert tell(line, url, notice(version, "t-foreign", "x")).status_code == 404
    assert tell(line, url, {"x": 1}).status_code == 400
    assert tell(line, url[:-4] + "AAAA", notice(version, id, "x")).status_code == 404
    if version == "1.0":
        piece = {"taskId": id, "artifact": {"artifactId": "a", "parts": [{"text": "x"}]}, "append": True}
        assert tell(line, url, {"artifactUpdate": piece}).status_code == 202
    assert tell(line, url, notice(version, id, "last")).status_code == 202
    assert hook.next()[1] == notice(version, id, "last")
    assert hook.got.empty()
    assert post(line, version, SETS[version], wanted(version, id, {"url": hook.url}), to="quiet")["error"]["code"] < 0


def test_deliveries_are_repeated_in_order(line: Line, agent: Scripted, hook: Hook) -> None:
    """Until the client takes them."""
    id = begun(line, "1.0", {"url": hook.url})
    url = placed(agent)["url"]
    hook.refusals = [503]
    for number in range(3):
        assert tell(line, url, notice("1.0", id, f"step {number}", "working")).status_code == 202
    texts = [hook.next()[1]["task"]["artifacts"][0]["parts"][0]["text"] for _ in range(3)]
    assert texts == ["step 0", "step 1", "step 2"]


def test_an_agent_that_takes_nothing_leaves_room_for_others() -> None:
    """Notifications wait for each agent up to a number, and for all up to a number of bytes."""

    class Dead:
        """A client whose connections stay without an answer."""

        async def post(self, to: Destination, body: bytes) -> Response:
            """Never."""
            await asyncio.Event().wait()
            raise AssertionError((to, body))

        async def close(self) -> None:
            """Nothing."""

    async def fills() -> None:
        deliveries = Deliveries()

        def add(owner: str, size: int = 1) -> int:
            taken = 0
            for number in range(400):
                url = URL(f"https://{owner}.example/{number % 7}")
                to = Destination(url, CIMultiDict(), Timeouts(60, 60, 60))
                taken += deliveries.add(Dead(), to, b"x" * size, owner)
            return taken

        assert add("ann") == 128
        assert add("ben") == 128
        assert add("eve", 4 * 1024 * 1024) == 15
        await asyncio.sleep(0)  # all begin
        await deliveries.close()
        assert add("ann") == 128
        await deliveries.close()

    asyncio.run(fills())


def test_the_card_says_so(line: Line) -> None:
    """Of agents with `push`."""
    cards = {name: line.client.get(f"/a2a/{name}/.well-known/agent-card.json").json() for name in ("planner", "quiet")}
    told = {name: card["capabilities"]["pushNotifications"] for name, card in cards.items()}
    assert told == {"planner": True, "quiet": False}
