"""`policy.server`: a server of OPA bundles, asked as OPA asks it: ETag, long polling, signatures.

Snapshots only; deltas are not asked for. With `keys` a bundle counts whose `.signatures.json` one of them verifies and
which names every file of it. https://www.openpolicyagent.org/docs/management-bundles
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

_BUNDLES = "application/vnd.openpolicyagent.bundles"  # who answers with this type holds requests open
_SHORT = 12
_AT_ONCE = 0.5  # seconds; an answer that came sooner was not held
_PLAIN = re.compile(r"[\w.:/+-]{1,64}")


class BundleServer(Remote):
    """Fetches one bundle over HTTP."""

    key = "policy.server"

    def __init__(self, settings: ServerSource, cache: str, reports: Reports | None) -> None:
        self._verifier = Verifier(settings.keys, settings.scope) if settings.keys else None
        # Who trusts other keys does not begin with what those before signed, nor by a key of the same name.
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
        """The bundle that the server has now; with long polling, once it is another one."""
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
        """Stop asking."""
        await super().close()
        await self._client.aclose()

    def pause(self) -> float:
        """No pause where the server itself holds the request until there is news, and does not only say so."""
        holds = self._waits and self._etag and self._settings.long_poll and not self._hurried
        return 0.0 if holds else super().pause()

    async def _answer(self, headers: dict[str, str], wait: float) -> tuple[httpx.Response, bytes]:
        """What the server says, no more of it than a bundle may be. Raises SourceError."""
        limit = self._settings.timeout
        content = bytearray()
        try:
            async with (
                asyncio.timeout(2 * limit + wait),  # one that sends byte by byte is never done
                self._client.stream(
                    "GET", self._settings.url, headers=headers, timeout=httpx.Timeout(limit, read=limit + wait)
                ) as answer,
            ):
                async for piece in answer.aiter_bytes():
                    content += piece
                    unpack.bounded(1, len(content))
        except (httpx.HTTPError, TimeoutError) as error:
            self._etag = ""
            raise SourceError(f"the server cannot be asked ({type(error).__name__})") from None
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
    """The bundle's own word for its state. Raises SourceError for a manifest that asks for another language."""
    try:
        manifest: Any = json.loads(files.get(".manifest", b"{}"))
        revision, rego = manifest.get("revision", ""), manifest.get("rego_version", 1)
    except (ValueError, AttributeError):
        raise SourceError("the bundle's .manifest is no JSON object") from None
    if rego != 1:
        raise SourceError(
            "the bundle is of Rego v0 (rego_version in its .manifest); build it with: opa build --v1-compatible"
        )
    return revision if isinstance(revision, str) and _PLAIN.fullmatch(revision) else ""
