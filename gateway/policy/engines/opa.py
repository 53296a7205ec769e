"""`policy.engine: opa`: an OPA server judges, by its data API (https://www.openpolicyagent.org/docs/rest-api#data-api).

Config keys: `policy.url`, `policy.timeout`. OPA loads the bundle itself: `opa run --server --bundle policies` (with
`--watch`, changed files take effect), or from a bundle server. Fails closed: no connection, another status than 200, a
timeout and an undefined result raise `PolicyUnavailable`. Nothing is memoized, because the bundle of the OPA server may
change at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from opa_client.opa_async import AsyncOpaClient

from gateway.call import Json
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import Bundle

T = TypeVar("T")


class Opa:
    """A client of one OPA server: pooled connections, one time limit for each decision, no retry.

    `bundle` is the folder that OPA is expected to serve. If OPA serves its modules, the version is the digest of the
    bundle; otherwise `opa-` and a digest of the modules that OPA serves, or `opa-unknown` if OPA does not list them.
    """

    def __init__(self, url: str, timeout: float = 1.0, bundle: Bundle | None = None) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host = parts.hostname or "127.0.0.1"
        # A retry would sleep longer than a decision may take; the caller gets a code that says to try again instead.
        self._client = AsyncOpaClient(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port or (443 if secure else 80),
            ssl=secure,
            timeout=timeout,
            retries=0,
        )
        self._timeout = timeout
        self._bundle = bundle
        self.version = "opa-unknown"

    async def open(self) -> None:
        """Connect, check that OPA is ready, and determine the version. Raises PolicyUnavailable."""
        await self._client.__aenter__()
        await self.ping()

    async def decide(self, document: Json) -> Json:
        """`data.gateway.decision` for one input."""
        answer = await self._ask(self._client.query_rule(document, "gateway", "decision"))
        result = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(result, dict):
            raise PolicyUnavailable("data.gateway.decision is undefined or not an object on the OPA server")
        return result

    async def ping(self) -> None:
        """Return if OPA is up and its bundles are active (`/health?bundles`). Raises PolicyUnavailable."""
        if not await self._ask(self._client.check_health({"bundles": True})):
            raise PolicyUnavailable("the OPA server does not answer /health, or its bundles are not active")
        self.version = await self._served()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close_connection()

    async def _served(self) -> str:
        try:
            sources = await self._ask(self._sources())
        except PolicyUnavailable:
            return "opa-unknown"
        if self._bundle and sorted(sources) == sorted(module.source for module in self._bundle.modules):
            return self._bundle.version
        digest = hashlib.sha256(b"\0".join(source.encode() for source in sorted(sources)))
        return f"opa-{digest.hexdigest()[:12]}"

    async def _sources(self) -> list[str]:
        """The sources of the modules that OPA serves, without tests."""
        client: Any = self._client
        async with client._request("GET", f"{client.root_url}/policies") as response:
            response.raise_for_status()
            listed = (await response.json()).get("result", [])
        return [module["raw"] for module in listed if not module["id"].endswith("_test.rego")]

    async def _ask(self, question: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(question, self._timeout)
        except TimeoutError:
            raise PolicyUnavailable(f"the OPA server took longer than {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            status = getattr(error, "status", None)
            what = f"answered with status {status}" if status else f"gave no usable answer ({type(error).__name__})"
            raise PolicyUnavailable(f"the OPA server {what}; is policy.url right?") from None
