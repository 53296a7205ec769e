"""The official SDK of A2A, unmodified, on both sides of the gateway."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.helpers import get_artifact_text, new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskUpdater,
)
from a2a.types import (
    AgentCard,
    AgentInterface,
    AgentSkill,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import A2AError, InvalidParamsError, TaskNotFoundError
from a2a.utils.signing import ProtectedHeader, create_agent_card_signer, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.agents.signed import verified
from line import Line, config, running

MAIL = "ann.lee@example.org"
heard: list[str] = []
PLACE: list[httpx.URL] = []
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
DER = base64.b64encode(KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()
PUBLIC = {"kid": "agent-1", **{name: str(value) for name, value in ECAlgorithm.to_jwk(KEY.public_key(), True).items()}}
OTHER = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), True)
versions = pytest.mark.parametrize("version", ["1.0", "0.3", "HTTP+JSON"])
ways = pytest.mark.parametrize(
    ("version", "to"),
    [("1.0", "echo"), ("0.3", "echo"), ("HTTP+JSON", "echo"), ("1.0", "resting"), ("HTTP+JSON", "resting")],
)
"""How the client calls the gateway, and the agent: `resting` is one that offers HTTP+JSON alone."""


class Resolved(httpx.AsyncHTTPTransport):
    """Resolves the gateway's name, as DNS does."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        request.url = request.url.copy_with(host=PLACE[-1].host, port=PLACE[-1].port)
        return await super().handle_async_request(request)


class Echo(AgentExecutor):
    """An agent that repeats what it is told."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """One message."""
        assert context.message is not None
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        heard.append(context.get_user_input())
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        if heard[-1].startswith("in pieces: "):
            await self.say(updater, f"heard: {heard[-1]}")
        else:
            await updater.add_artifact([new_text_part(f"heard: {heard[-1]}")])
        await updater.complete()

    async def say(self, updater: TaskUpdater, text: str) -> None:
        """An artifact in pieces of five characters."""
        for at in range(0, len(text), 5):
            last = at + 5 >= len(text)
            await updater.add_artifact(
                [new_text_part(text[at : at + 5])], artifact_id="a", append=at > 0, last_chunk=last
            )

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Nothing to cancel."""


@pytest.fixture(scope="module")
def agent() -> Iterator[str]:
    """The URL of an agent on the SDK's server, in both versions."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    both = [AgentInterface(url=f"{url}/", protocol_binding="JSONRPC", protocol_version=it) for it in ("1.0", "0.3")]
    card = AgentCard(name="Echo", description="Repeats.", version="1", supported_interfaces=both)
    card.capabilities.streaming = True
    card.capabilities.push_notifications = True
    card.default_input_modes.append("text/plain")
    card.default_output_modes.append("text/plain")
    card.capabilities.extended_agent_card = True
    extended = AgentCard()
    extended.CopyFrom(card)
    for id in ("public", "private"):
        extended.skills.append(AgentSkill(id=id, name=id, description="x", tags=["x"]))
    head: ProtectedHeader = {"kid": "agent-1", "alg": "ES256", "jku": None, "typ": "JOSE"}
    for one in (card, extended):
        create_agent_card_signer(PEM, head)(one)
    configs = InMemoryPushNotificationConfigStore()
    sender = BasePushNotificationSender(
        httpx.AsyncClient(transport=Resolved(limits=httpx.Limits(max_keepalive_connections=0))), configs
    )
    handler = DefaultRequestHandler(
        Echo(),
        InMemoryTaskStore(),
        card,
        extended_agent_card=extended,
        push_config_store=configs,
        push_sender=sender,
    )
    routes: list[BaseRoute] = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
    ]
    resting = AgentCard()
    resting.CopyFrom(card)
    del resting.supported_interfaces[:]
    rest = AgentInterface(url=f"{url}/rest", protocol_binding="HTTP+JSON", protocol_version="1.0")
    resting.supported_interfaces.append(rest)
    routes += create_agent_card_routes(resting, card_url="/resting/.well-known/agent-card.json")
    routes += create_rest_routes(handler, path_prefix="/rest")
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield url
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def line(agent: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway in front of the agent."""
    folder: Path = tmp_path_factory.mktemp("sdk")
    row: dict[str, Any] = {"url": agent, "card_keys": [PUBLIC], "skills": {"developer": ["pub*"]}}
    row["push"] = {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}
    wrong = {**row, "card_keys": [{**PUBLIC, **OTHER}]}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        a2a={
            "resting": {"url": f"{agent}/resting", "push": row["push"]},
            "echo": row,
            "unsure": wrong,
            "plain": {"url": agent, "skills": row["skills"]},
        },
        cards={"key": DER, "kid": "gateway-1"},
        policy=None,
        quotas={"calls": 99},
    )
    with running(folder, settings) as started:
        PLACE.append(httpx.URL(started.url))
        yield started


async def connected(line: Line, http: httpx.AsyncClient, version: str, *, streaming: bool, to: str = "echo") -> Client:
    """A client of one version."""
    factory = ClientFactory(ClientConfig(httpx_client=http, streaming=streaming))
    if version == "HTTP+JSON":
        settings = ClientConfig(httpx_client=http, streaming=streaming, supported_protocol_bindings=[version])
        return await ClientFactory(settings).create_from_url(f"{line.url}/a2a/{to}")
    if version == "1.0":
        return await factory.create_from_url(f"{line.url}/a2a/{to}")
    old = AgentInterface(url=f"{line.url}/a2a/{to}", protocol_binding="JSONRPC", protocol_version="0.3")
    card = AgentCard(name="Echo", description="Repeats.", version="1", supported_interfaces=[old])
    card.capabilities.streaming = streaming
    card.capabilities.extended_agent_card = True
    return factory.create(card)


def caller(cid: str) -> httpx.AsyncClient:
    """The HTTP client of one workflow."""
    headers = {"authorization": "Bearer mg-alice", "x-correlation-id": cid}
    return httpx.AsyncClient(headers=headers, timeout=30)


@ways
async def test_client_and_server(line: Line, version: str, to: str) -> None:
    """The client finds the agent by its card, sends a message, and reads the task."""
    async with caller(f"sdk-{version}-{to}") as http:
        client = await connected(line, http, version, streaming=False, to=to)
        message = new_text_message(f"write to {MAIL}", role=Role.ROLE_USER)
        answers = [it async for it in client.send_message(SendMessageRequest(message=message))]
        task = answers[-1].task
        assert get_artifact_text(task.artifacts[0]) == f"heard: write to {MAIL}"
        assert MAIL not in heard[-1]
        again = await client.get_task(GetTaskRequest(id=task.id))
        assert (again.id, again.status.state) == (task.id, task.status.state)
    assert line.workflow(f"sdk-{version}-{to}").used["calls"] == 2


@ways
async def test_a_stream(line: Line, version: str, to: str) -> None:
    """The artifact arrives in pieces, with the values that the agent never saw."""
    async with caller(f"sdk-stream-{version}-{to}") as http:
        client = await connected(line, http, version, streaming=True, to=to)
        message = new_text_message(f"in pieces: {MAIL} and so on", role=Role.ROLE_USER)
        events = [it async for it in client.send_message(SendMessageRequest(message=message))]
        pieces = [get_artifact_text(it.artifact_update.artifact) for it in events if it.HasField("artifact_update")]
        assert "".join(pieces) == f"heard: in pieces: {MAIL} and so on"
        assert len(pieces) > 3
        assert MAIL not in heard[-1]
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        id = events[0].task.id
        assert (await client.get_task(GetTaskRequest(id=id))).id == id
        with pytest.raises(A2AError):  # a task that has ended cannot be subscribed to
            _ = [it async for it in client.subscribe(SubscribeToTaskRequest(id=id))]
        with pytest.raises(TaskNotFoundError):
            _ = [it async for it in client.subscribe(SubscribeToTaskRequest(id="other"))]
    assert line.workflow(f"sdk-stream-{version}-{to}").used["calls"] == 3


@ways
async def test_push_notifications(line: Line, version: str, to: str) -> None:
    """The client's server is told by the gateway, with the client's token and the values that were masked."""
    told: asyncio.Queue[tuple[str | None, dict[str, Any]]] = asyncio.Queue()

    async def hook(request: Request) -> Response:
        told.put_nowait((request.headers.get("x-a2a-notification-token"), await request.json()))
        return Response()

    app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    async with caller(f"push-{version}") as http:
        client = await connected(line, http, version, streaming=False, to=to)
        request = SendMessageRequest(message=new_text_message(f"tell {MAIL}", role=Role.ROLE_USER))
        request.configuration.task_push_notification_config.CopyFrom(
            TaskPushNotificationConfig(id="p1", url=url, token="token-of-the-client")
        )
        answers = [it async for it in client.send_message(request)]
        id = answers[-1].task.id
        seen = ""
        while "ompleted" not in seen.lower().replace("task_state_", ""):
            token, body = await asyncio.wait_for(told.get(), 15)
            assert token == "token-of-the-client"
            seen += str(body)
        assert MAIL in seen
        assert id in seen
        config = await client.get_task_push_notification_config(
            GetTaskPushNotificationConfigRequest(task_id=id, id="p1")
        )
        assert (config.url, config.token) == (url, "")
        listed = await client.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=id))
        assert [it.url for it in listed.configs] == [url]
        await client.delete_task_push_notification_config(DeleteTaskPushNotificationConfigRequest(task_id=id, id="p1"))
        for inside in ("https://localhost/hook", "http://internal/hook"):
            with pytest.raises(InvalidParamsError):
                await client.create_task_push_notification_config(
                    TaskPushNotificationConfig(task_id=id, id="p2", url=inside)
                )
    server.should_exit = True
    await serving


async def test_cards_are_verified_and_signed(line: Line) -> None:
    """The agent's signature is verified, the gateway's is put in its place; a wrong one hides the card."""
    verify = create_signature_verifier(lambda kid, jku: KEY.public_key(), ["ES256"])  # type: ignore[arg-type,return-value]
    async with caller("cards") as http:
        card = await A2ACardResolver(http, f"{line.url}/a2a/echo").get_agent_card(signature_verifier=verify)
        assert card.name == "Echo"
        assert {one.url for one in card.supported_interfaces} == {f"{line.url}/a2a/echo"}
        raw = (await http.get(f"{line.url}/a2a/echo/.well-known/agent-card.json")).json()
        assert verified(raw, [PUBLIC | {"kid": "gateway-1"}]) is not None
        assert verified({**raw, "description": "Other."}, [PUBLIC | {"kid": "gateway-1"}]) is None
        answer = await http.get(f"{line.url}/a2a/unsure/.well-known/agent-card.json")
        assert answer.status_code == 502
        assert "card_keys" in answer.text


@versions
async def test_extended_cards(line: Line, version: str) -> None:
    """Have the skills that the caller's roles see, point to the gateway, and are signed.

    In 0.3, the agent sends another form of the card than the one that it signed, which is refused where keys are set.
    """
    verify = create_signature_verifier(lambda kid, jku: KEY.public_key(), ["ES256"])  # type: ignore[arg-type,return-value]
    async with caller("extended") as http:
        to = "plain" if version == "0.3" else "echo"
        client = await connected(line, http, version, streaming=False, to=to)
        request = GetExtendedAgentCardRequest()
        card = await client.get_extended_agent_card(request, signature_verifier=None if version == "0.3" else verify)
        assert [skill.id for skill in card.skills] == ["public"]
        assert {one.url for one in card.supported_interfaces} == {f"{line.url}/a2a/{to}"}
        if version == "0.3":
            client = await connected(line, http, version, streaming=False)
            with pytest.raises(A2AClientError):
                await client.get_extended_agent_card(request)


@pytest.mark.parametrize("version", ["1.0", "HTTP+JSON"])
async def test_lists_of_tasks(line: Line, version: str) -> None:
    """The caller's own."""
    async with caller(f"lists-{version}") as http, caller(f"lists-2-{version}") as other:
        other.headers["authorization"] = "Bearer mg-bob"
        client, theirs = [await connected(line, it, version, streaming=False) for it in (http, other)]
        message = new_text_message("listed", role=Role.ROLE_USER)
        answers = [it async for it in client.send_message(SendMessageRequest(message=message))]
        listed = await client.list_tasks(ListTasksRequest())
        assert answers[-1].task.id in [task.id for task in listed.tasks]
        assert not (await theirs.list_tasks(ListTasksRequest())).tasks
