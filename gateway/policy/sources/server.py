"""`policy.server`: a server of OPA bundles, with the requests of OPA: ETag, long polling, signatures.

Snapshots only, no deltas. With `keys`, a bundle is accepted if one of the keys verifies its `.signatures.json`, which
must list every file. https://www.openpolicyagent.org/docs/management-bundles
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx

from gateway.config.sections import ServerSource
from gateway.policy.sources import unpack
from gateway.policy.sources.base import Found, Reports, SourceError
from gateway.policy.sources.remote import Remote, digest
from gateway.policy.sources.signature import SIGNATURES, Verifier

_BUNDLES = "application/vnd.openpolicyagent.bundles"  # a server with this type supports long polling
_SHORT = 12
_AT_ONCE = 0.5  # seconds; the server did not hold a request that was answered sooner
_PLAIN = re.compile(r"[\w.:/+-]{1,64}")


class BundleServer(Remote):
    """Fetches one bundle over HTTP."""

    key = "policy.server"

    def __init__(self, settings: ServerSource, cache: str, reports: Reports | None) -> None:
        self._verifier = Verifier(settings.keys, settings.scope) if settings.keys else None
        # Part of the identity: after a change of the keys, bundles kept under other keys are not used.
        trusted = self._verifier.fingerprint() if self._verifier else "unsigned"
        super().__init__(cache, f"server {settings.url} {trusted} {settings.scope}", settings.interval, reports)
        self._settings = settings
        headers = {name: str(value) for name, value in settings.headers.items()}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        self._client = httpx.AsyncClient(headers=headers, timeout=settings.timeout)
        self._etag = ""
        self._waits = False
        self._hurried = False

    async def fetch(self) -> Found:
        """The bundle that the server has now; with long polling, waits for another bundle. Raises SourceError."""
        headers = {"Prefer": "modes=snapshot"}
        wait = 0.0
        if self._etag and self._found is not None:
            headers["If-None-Match"] = self._etag
            wait = self._settings.long_poll if self._waits else 0.0
            if wait:
                headers["Prefer"] += f";wait={wait:.0f}"
        asked = time.monotonic()
        answer, content = await self._answer(headers, wait)
        held = time.monotonic() - asked > _AT_ONCE
        if answer.status_code == httpx.codes.NOT_MODIFIED and self._found is not None:
            self._hurried = not held
            return self._found
        if answer.status_code != httpx.codes.OK:
            self._etag = ""
            raise SourceError(f"the server answered with status {answer.status_code}")
        found = await asyncio.to_thread(self._keep, content)
        self._hurried = not held and self._found is not None and found.mark == self._found.mark
        self._etag = answer.headers.get("ETag", "")
        self._waits = answer.headers.get("Content-Type", "").startswith(_BUNDLES)
        return found

    async def close(self) -> None:
        """Stop fetching, and close the client."""
        await super().close()
        await self._client.aclose()

    def pause(self) -> float:
        """0 if the server really holds requests until there is another bundle; otherwise the interval."""
        holds = self._waits and self._etag and self._settings.long_poll and not self._hurried
        return 0.0 if holds else super().pause()

    async def _answer(self, headers: dict[str, str], wait: float) -> tuple[httpx.Response, bytes]:
        """One request: the response, and its content up to the size limit of bundles. Raises SourceError."""
        limit = self._settings.timeout
        content = bytearray()
        try:
            async with (
                asyncio.timeout(2 * limit + wait),  # for a server that sends byte by byte
                self._client.stream(
                    "GET", self._settings.url, headers=headers, timeout=httpx.Timeout(limit, read=limit + wait)
                ) as answer,
            ):
                async for piece in answer.aiter_bytes():
                    content += piece
                    unpack.bounded(1, len(content))
        except (httpx.HTTPError, TimeoutError) as error:
            self._etag = ""
            raise SourceError(f"the server does not answer ({type(error).__name__})") from None
        return answer, bytes(content)

    def _keep(self, archive: bytes) -> Found:
        files = unpack.read(archive)
        if self._verifier is not None:
            self._verifier.verify(files)
        files.pop(SIGNATURES, None)
        revision = _revision(files)
        name = digest(files)
        root = self.shelf.put(name, files)
        return Found(root, name, f"revision {revision}" if revision else f"bundle {name[:_SHORT]}")


def _revision(files: dict[str, bytes]) -> str:
    """The revision in the manifest. Raises SourceError for a manifest of another version of Rego."""
    try:
        manifest: Any = json.loads(files.get(".manifest", b"{}"))
        revision, rego = manifest.get("revision", ""), manifest.get("rego_version", 1)
    except (ValueError, AttributeError):
        raise SourceError("the bundle's .manifest is not a JSON object") from None
    if rego != 1:
        raise SourceError(
            "the bundle is in Rego v0 (rego_version in its .manifest); build it with: opa build --v1-compatible"
        )
    return revision if isinstance(revision, str) and _PLAIN.fullmatch(revision) else ""
