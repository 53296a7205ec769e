"""Push notifications of other agents through the whole gateway: the agent tells the gateway, the gateway the client."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_hook import Hook, notice, placed, post, tell
from agent_server import GETS, POLICY, SENDS, Scripted, interface, scripted, task
from gateway.agents import desk, push
from gateway.agents.deliver import Deliveries, Sent
from gateway.stores import Key, open_store
from line import Line, config, policies, running
from tool_server import INJECTION, MAIL
from waiting import eventually

SETS = {"1.0": "CreateTaskPushNotificationConfig", "0.3": "tasks/pushNotificationConfig/set"}
READS = {"1.0": "GetTaskPushNotificationConfig", "0.3": "tasks/pushNotificationConfig/get"}
LISTS = {"1.0": "ListTaskPushNotificationConfigs", "0.3": "tasks/pushNotificationConfig/list"}
DELETES = {"1.0": "DeleteTaskPushNotificationConfig", "0.3": "tasks/pushNotificationConfig/delete"}
versions = pytest.mark.parametrize("version", list(SETS))
CARD = "4111 1111 1111 1111"


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
    row = {"url": up.url, "push": {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}}
    fields = {
        "a2a": {"planner": row, "twin": row, "quiet": {"url": up.url}},
        "policy": policies(folder, POLICY),
        "quotas": {"calls": 1000},
        "output": {"pii": "block"},
    }
    with running(folder, config(folder, "http://127.0.0.1:9/v1", **fields)) as started:
        yield started


def run(line: Line, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of something that runs in the gateway's event loop."""
    return asyncio.run_coroutine_threadsafe(work, line.loop).result()


def begun(line: Line, version: str, configuration: Any = None, *, who: str = "alice") -> str:
    """A new task."""
    part = {"text": f"for {MAIL}"} if version == "1.0" else {"kind": "text", "text": f"for {MAIL}"}
    params: Any = {"message": {"messageId": "m1", "role": "user", "parts": [part]}}
    if configuration is not None:
        name = "taskPushNotificationConfig" if version == "1.0" else "pushNotificationConfig"
        params["configuration"] = {name: configuration}
    result = post(line, version, SENDS[version], params, who=who)["result"]
    return str(result.get("task", result)["id"])


def wanted(version: str, id: str, config: dict[str, Any]) -> dict[str, Any]:
    """The parameters that set a configuration."""
    if version == "1.0":
        return {"taskId": id, "id": "p1", **config}
    return {"taskId": id, "pushNotificationConfig": {"id": "p1", **config}}


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
    foreign = {"url": "https://gateway.example/a2a/planner/notifications/x", "id": "cut \ud83d"}
    agent.answer = lambda method, params: {"configs": [foreign]} if version == "1.0" else [foreign]
    assert "gateway.example" not in json.dumps(post(line, version, LISTS[version], named))
    agent.answer = None
    agent.seen.clear()
    for methods in (READS, LISTS, DELETES):
        assert post(line, version, methods[version], named, who="bob")["error"]["code"] == -32001
    setting = wanted(version, id, {"url": hook.url})
    assert post(line, version, SETS[version], setting, who="mallory")["error"]["code"] == -32001
    assert agent.seen == []


@versions
@pytest.mark.parametrize("name", ["name", "parent", "taskId", "id"])
def test_a_configuration_is_of_one_task(line: Line, agent: Scripted, hook: Hook, version: str, name: str) -> None:
    """Agents of other releases read the task from other fields, which would be another caller's."""
    id = begun(line, version)
    agent.seen.clear()
    read = {"taskId": id, "id": "p1"} if version == "1.0" else {"id": id, "pushNotificationConfigId": "p1"}
    for methods, named in (
        (READS, read),
        (LISTS, read),
        (DELETES, read),
        (SETS, wanted(version, id, {"url": hook.url})),
    ):
        if name not in named:
            said = post(line, version, methods[version], {**named, name: "tasks/theirs"})
            assert said["error"]["code"] == -32602
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


async def test_an_agent_that_takes_nothing_leaves_room_for_others(tmp_path: Path) -> None:
    """Notifications wait for each agent up to a number, and for all up to a number of bytes."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    await store.open()
    deliveries = Deliveries(store, lambda outcome, number: None)

    async def add(owner: str, size: int = 1) -> int:
        return sum([await deliveries.add(f"{owner}-{number % 7}", owner, b"x" * size) for number in range(140)])

    assert await add("ann") == 128
    assert await add("ben") == 128
    assert await add("eve", 4 * 1024 * 1024) == 15
    await store.close()


async def test_what_no_client_takes_is_given_up(tmp_path: Path) -> None:
    """After so many tries, with all that waits for the same client; others get theirs, in order, and it is counted."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    await store.open()
    counted: list[tuple[str, int]] = []
    tried: list[bytes] = []
    done = asyncio.Event()

    def count(outcome: str, number: int) -> None:
        counted.append((outcome, number))
        if sum(number for _, number in counted) == 8:
            done.set()

    async def send(record: bytes) -> Sent:
        tried.append(record)
        if record == b"poison":
            raise ValueError("a fault of the gateway")
        return Sent("failed" if record.startswith(b"dead") else "refused" if record == b"no" else "delivered", "h")

    deliveries = Deliveries(store, count, [0.0, 0.0])
    for record in (b"dead 1", b"dead 2", b"dead 3"):
        await deliveries.add("dead", "ann", record)
    for record in (b"1", b"2", b"no", b"3"):
        await deliveries.add("alive", "ann", record)
    await deliveries.add("poisoned", "ann", b"poison")
    task = asyncio.create_task(deliveries.run(send, lambda: True))
    async with asyncio.timeout(20):
        await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(counted) == [("delivered", 1)] * 3 + [("given_up", 1), ("given_up", 3), ("refused", 1)]
    assert [it for it in tried if it.startswith(b"dead")] == [b"dead 1"] * 3
    assert tried.count(b"poison") == 3
    assert [it for it in tried if not it.startswith((b"dead", b"poison"))] == [b"1", b"2", b"no", b"3"]
    assert await store.lease(1, 9) == []
    await store.close()


async def test_what_is_under_way_is_tried_by_the_next_process(tmp_path: Path) -> None:
    """At once, if the process ends in order."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    await store.open()
    deliveries = Deliveries(store, lambda outcome, number: None)
    await deliveries.add("q", "ann", b"x")
    begun = asyncio.Event()

    async def send(record: bytes) -> Sent:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError(record)

    task = asyncio.create_task(deliveries.run(send, lambda: True))
    async with asyncio.timeout(20):
        await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [it.record for it in await store.lease(1, 9)] == [b"x"]
    await store.close()


@versions
def test_the_end_of_a_task_ends_its_urls(line: Line, agent: Scripted, hook: Hook, version: str) -> None:
    """Each once it told of the end: what is told again is not delivered, and no other task is told of."""
    id = begun(line, version)
    urls = []
    for name in ("p1", "p2"):
        post(line, version, SETS[version], wanted(version, id, {"url": f"{hook.url}&to={name}"}))
        urls.append(placed(agent)["url"])
    assert tell(line, urls[0], notice(version, id, "goes on", "working")).status_code == 202
    assert tell(line, urls[0], notice(version, id, "goes on", "working")).status_code == 202  # as often as it is told
    for url in urls:
        assert tell(line, url, notice(version, id, "done")).status_code == 202
    for url in urls:
        for state in ("completed", "working"):
            for again in (url, f"{url}=", f"{url}.", f"{url}~", f"{url[:-9]}!{url[-9:]}"):
                assert tell(line, again, notice(version, id, "again", state)).status_code == 404
    assert len([hook.next() for _ in range(4)]) == 4
    assert hook.got.empty()


@versions
def test_the_end_that_the_client_saw(
    line: Line, agent: Scripted, hook: Hook, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends the URL, too, after the time in which the agent may tell of the end."""
    for late, status in ((600, 202), (-1, 404)):
        monkeypatch.setattr(desk, "LATE", late)
        id = begun(line, version, {"url": hook.url})
        url = placed(agent)["url"]
        keep = agent.answer
        done = task(id, "done", SENDS[version])
        agent.answer = lambda method, params, done=done: done if version == "1.0" else {"kind": "task", **done}
        assert "result" in post(line, version, GETS[version], {"id": id})
        agent.answer = keep
        assert tell(line, url, notice(version, id, "late")).status_code == status
    hook.next()


def test_the_end_of_a_key_ends_its_urls(line: Line, agent: Scripted, hook: Hook) -> None:
    """Also for what waits; another key of the same agent does not keep them."""
    digest = hashlib.sha256(b"mg-soon-gone").hexdigest()
    run(line, line.gateway.shared.store.add_key(Key("k-soon", digest, "alice", "red", ("developer",), 1.0)))
    eventually(lambda: line.gateway.runtime.identity.knows(bytes.fromhex(digest)))
    id = begun(line, "1.0", {"url": hook.url}, who="soon-gone")
    url = placed(agent)["url"]
    hook.refusals = [503] * 9
    assert tell(line, url, notice("1.0", id, "first", "working")).status_code == 202
    before = line.metric("meshgate_push_notifications_total", outcome="refused")
    run(line, line.gateway.shared.store.revoke_key("k-soon"))
    eventually(lambda: not line.gateway.runtime.identity.knows(bytes.fromhex(digest)))
    assert tell(line, url, notice("1.0", id, "second", "working")).status_code == 404
    eventually(lambda: line.metric("meshgate_push_notifications_total", outcome="refused") > before)
    assert hook.got.empty()
    hook.refusals = []


def test_what_waits_outlives_the_gateway(up: Scripted, agent: Scripted, hook: Hook, tmp_path: Path) -> None:
    """Encrypted; the next process delivers it, with the credentials of the client."""
    row = {"url": up.url, "push": {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": row})
    hook.refusals = [503] * 1000
    with running(tmp_path, settings) as first:
        id = begun(first, "1.0", {"url": hook.url, "token": "client-token-7"})
        url = placed(agent)["url"]
        for text in ("one", "two"):
            assert tell(first, url, notice("1.0", id, f"{text} secret-plan", "working")).status_code == 202
        eventually(lambda: len(hook.refusals) < 1000)
    kept = (tmp_path / "state.db").read_bytes()
    assert not any(word in kept for word in (b"secret-plan", b"client-token-7", hook.url.encode()))
    hook.refusals = []
    with running(tmp_path, settings) as second:
        got = [hook.next() for _ in range(2)]
        assert [body["task"]["artifacts"][0]["parts"][0]["text"] for _, body in got] == [
            "one secret-plan",
            "two secret-plan",
        ]
        assert {headers["x-a2a-notification-token"] for headers, _ in got} == {"client-token-7"}
        eventually(lambda: second.metric("meshgate_push_notifications_total", outcome="delivered") == 2)


def test_a_host_that_is_taken_out_is_told_nothing(up: Scripted, agent: Scripted, hook: Hook, tmp_path: Path) -> None:
    """A URL without https is served as long as the operator names its host: the token is not sent in the clear."""
    row = {"url": up.url, "push": {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}}
    hook.refusals = [503] * 1000
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": row})) as first:
        id = begun(first, "1.0", {"url": hook.url, "token": "client-token-7"})
        assert tell(first, placed(agent)["url"], notice("1.0", id, "one", "working")).status_code == 202
        eventually(lambda: len(hook.refusals) < 1000)
    hook.refusals = []
    row["push"] = {"url": "http://gateway.example"}
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": row})) as second:
        eventually(lambda: second.metric("meshgate_push_notifications_total", outcome="refused") == 1)
    assert hook.got.empty()


def test_a_name_that_leads_inside_later(
    line: Line, agent: Scripted, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a name leads is checked with each delivery, whatever it was when the client set it: nothing is sent."""

    async def outside(host: str, port: int) -> bool:
        return True

    outcomes: list[Sent] = []
    sends = push.Pushes.send

    async def send(self: push.Pushes, record: bytes) -> Sent:
        outcomes.append(await sends(self, record))
        return outcomes[-1]

    monkeypatch.setattr(push, "leads_outside", outside)
    monkeypatch.setattr(push.Pushes, "send", send)
    inside = hook.url.replace("http://127.0.0.1", "https://localhost")
    id = begun(line, "1.0", {"url": inside})
    assert tell(line, placed(agent)["url"], notice("1.0", id, "x", "working")).status_code == 202
    eventually(lambda: len(outcomes) > 1)
    assert set(outcomes) == {Sent("failed", "localhost")}
    assert hook.got.empty()


def test_a_url_of_another_agent(line: Line, agent: Scripted, hook: Hook) -> None:
    """Is none: an agent cannot tell of the tasks of another."""
    id = begun(line, "1.0", {"url": hook.url})
    path = placed(agent)["url"].removeprefix("http://gateway.example")
    for other in ("twin", "quiet", "none"):
        answer = httpx.post(line.url + path.replace("/planner/", f"/{other}/"), json=notice("1.0", id, "x"))
        assert answer.status_code == 404
    assert hook.got.empty()


def test_a_flood_of_an_agent_is_limited(up: Scripted, agent: Scripted, hook: Hook, tmp_path: Path) -> None:
    """By the limits of the caller whose task it is, as its own calls are; a new push URL gives no further room."""
    row = {"url": up.url, "push": {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}}
    limits = [{"per": "agent", "requests": "6/min", "burst": 6}]
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", a2a={"planner": row}, limits=limits)) as one:
        id = begun(one, "1.0", {"url": hook.url})
        url = placed(agent)["url"]
        said = [tell(one, url, notice("1.0", id, f"step {number}", "working")).status_code for number in range(8)]
        assert said == [202] * 5 + [429] * 3
        assert [hook.next()[1]["task"]["artifacts"][0]["parts"][0]["text"] for _ in range(5)] == [
            f"step {number}" for number in range(5)
        ]


def test_the_card_says_so(line: Line) -> None:
    """Of agents with `push`."""
    cards = {name: line.client.get(f"/a2a/{name}/.well-known/agent-card.json").json() for name in ("planner", "quiet")}
    told = {name: card["capabilities"]["pushNotifications"] for name, card in cards.items()}
    assert told == {"planner": True, "quiet": False}
