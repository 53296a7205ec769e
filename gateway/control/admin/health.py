"""`/livez`, `/readyz` and `/metrics`, without a key.

`/livez` fails only if a restart is needed. `/readyz` pings every part that a call needs, and names providers and tool
servers with an open circuit, which does not make the gateway unready. `/metrics` is Prometheus text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.control.admin.parts import Gateway
from gateway.dialects.routes import MODELS, ROUTES
from gateway.record import workers
from gateway.stores.writer import Writer


def routes(gateway: Gateway) -> list[Route]:
    """The routes for load balancers and Prometheus."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)

    async def livez(_: Request) -> Response:
        if lost := _lost(gateway):
            return PlainTextResponse(f"{lost}\n", status_code=503)
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        failed = await _failed(gateway)
        troubled = gateway.shared.healths.troubled()
        states = gateway.shared.healths.states
        tools = {name: of_server(name, states, troubled) for name in gateway.runtime.config.tools}
        said = {
            "ready": not failed,
            "failed": failed,
            **({"upstreams": troubled} if troubled else {}),
            **({"tools": tools} if tools else {}),
        }
        return JSONResponse(said, status_code=503 if failed else 200)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        lines = encode(registry) + encode(_GatewayRegistry(gateway))
        return Response(lines, headers={"content-type": content_type})

    async def welcome(_: Request) -> Response:
        return JSONResponse({"name": "meshgate", "serves": [*ROUTES, MODELS], "health": ["/livez", "/readyz"]})

    alive = ("/livez", "/health", "/healthz", "/health/liveliness", "/health/liveness")
    return [
        *(Route(path, livez) for path in alive),
        *(Route(path, readyz) for path in ("/readyz", "/health/readiness")),
        Route("/metrics", metrics),
        Route("/", welcome),
    ]


class _GatewayRegistry(CollectorRegistry):
    """A registry of the gateway's own families, built at each scrape."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.register(_AllWorkers(gateway))


class _AllWorkers:
    """The families of all workers: counters and histograms are summed, gauges have the values of this worker."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        yield from self._gateway.shared.telemetry.collected(workers.others())


def of_server(name: str, states: Mapping[str, int], troubled: Mapping[str, str]) -> str:
    """The state of a tool server: `answers` or `fails` by its last call, or that of its open circuit, or `uncalled`."""
    if name in troubled:
        return troubled[name]
    return "uncalled" if name not in states else "answers" if states[name] else "fails"


def _lost(gateway: Gateway) -> str:
    """Why this process must be restarted; "" if it can serve."""
    writers = [gateway.shared.audit_writer, getattr(gateway.shared.store, "writer", None)]
    if any(isinstance(writer, Writer) and writer.lost for writer in writers):
        return "the state can no longer be written; the log has the cause"
    return ""


async def _failed(gateway: Gateway) -> dict[str, str]:
    """The parts that do not answer, with the class of the fault."""

    async def audit() -> None:
        if gateway.shared.audit_writer is not getattr(gateway.shared.store, "writer", None):
            gateway.shared.audit_writer.check()  # no call leaves before its decision is on disk

    parts: dict[str, Callable[[], Awaitable[None]]] = {"state": gateway.shared.store.ping, "audit": audit}
    if gateway.shared.policies:
        parts["policy"] = gateway.shared.policies.ping
    failed = {}
    for name, ping in parts.items():
        try:
            await ping()
        except Exception as fault:
            failed[name] = type(fault).__name__
    if gateway.shared.stopping:
        failed["gateway"] = "stopping"
    return failed


def gauges(gateway: Gateway) -> list[Callable[[], Metric]]:
    """Gauges whose values are read at each scrape."""

    def policy_info() -> Metric:
        family = GaugeMetricFamily("meshgate_policy_info", "The policy in force.", labels=["version"])
        if gateway.shared.policies:
            family.add_metric([gateway.shared.policies.version], 1)
        return family

    def in_flight() -> Metric:
        return GaugeMetricFamily("meshgate_calls_in_flight", "Calls in flight.", value=gateway.shared.shares.calls)

    def upstreams() -> Metric:
        words = "1: the provider, tool server or agent answered its last call, 0: not, or a circuit is open."
        family = GaugeMetricFamily("meshgate_upstream_state", words, labels=["provider"])
        open_ = gateway.shared.healths.troubled()
        for provider, state in gateway.shared.healths.states.items():
            family.add_metric([provider], 0 if provider in open_ else state)
        return family

    def circuits() -> Metric:
        words = "Targets, tool servers and agents by the state of their circuit: closed, open, half_open."
        family = GaugeMetricFamily("meshgate_upstream_circuits", words, labels=["provider", "state"])
        for provider, state, number in gateway.shared.healths.circuits():
            family.add_metric([provider, state], number)
        return family

    def waiting() -> Metric:
        words = "Calls that wait until the provider's own rate limit has room."
        family = GaugeMetricFamily("meshgate_upstream_waiting", words, labels=["provider"])
        for provider, number in gateway.shared.healths.waiting().items():
            family.add_metric([provider], number)
        return family

    def workflows() -> Metric:
        family = GaugeMetricFamily("meshgate_workflows", "Workflows in the state store.", labels=["state"])
        for state, count in gateway.shared.census.items():
            family.add_metric([state], count)
        return family

    def local() -> Metric:
        words = "1: Redis is unreachable, and this gateway enforces its share of the limits alone."
        return GaugeMetricFamily("meshgate_state_local", words, value=int(gateway.runtime.alone()))

    def unsent() -> Metric:
        words = "Decisions on disk that audit.upload has not sent yet."
        uploads = gateway.shared.uploads
        return GaugeMetricFamily("meshgate_decisions_unsent", words, value=uploads.waiting if uploads else 0)

    return [policy_info, in_flight, upstreams, circuits, waiting, workflows, local, unsent]
