"""The client for calls to providers on aiohttp."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import aiohttp
from multidict import MultiMapping

from gateway.upstream.client import KEEP_ALIVE, Broken, Destination, Malformed, Timeouts, Written
from gateway.upstream.pool import ATTEMPT, Attempt, Pool

_MAX_HEADER: Final = 64 * 1024  # bytes of one header of an answer: a proxy of the provider may send long headers
_MAX_HEADERS: Final = 512
_AT_ONCE: Final = 256 * 1024  # bytes of a request that are passed to aiohttp at once
# The errors of a dead connection of the pool: its end (FIN), or a reset (RST).
_CLOSED: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)


class Failed(OSError):
    """Another fault, with the name of the exception of aiohttp."""


class LibraryClient:
    """The client. No cookies, which would pass from one caller to another. Answers are not unpacked: see `inflate`."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=Pool(limit=0, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_field_size=_MAX_HEADER,
            max_headers=_MAX_HEADERS,
        )

    async def post(self, to: Destination, body: bytes, told: Written | None = None) -> LibraryResponse:
        """Send a body; returns once the head of the answer has arrived. Raises TimeoutError, or another OSError."""
        times = to.timeouts
        silent = max(times.idle, times.first_byte)
        timeout = aiohttp.ClientTimeout(total=times.total, sock_connect=times.connect, sock_read=silent)
        begun = time.monotonic()
        for fresh in (False, True):
            attempt = Attempt(fresh=fresh)
            ATTEMPT.set(attempt)
            try:
                async with asyncio.timeout(times.connect + times.first_byte):
                    response = await self._session.request(
                        *(to.method, to.url),
                        data=_payload(body),
                        headers=to.headers,
                        timeout=timeout,
                        allow_redirects=False,
                    )
            except asyncio.CancelledError:
                if told is not None:
                    told.written = attempt.protocol is not None
                raise
            except aiohttp.ConnectionTimeoutError:
                raise times.connected() from None
            except TimeoutError:
                raise (times.ended() if time.monotonic() - begun >= times.total else times.begun()) from None
            except (aiohttp.ClientError, OSError, UnicodeError) as fault:  # UnicodeError: no name of a host
                if not fresh and not to.once and attempt.unanswered and isinstance(fault, _CLOSED):
                    continue
                raise _known(fault) from None
            return LibraryResponse(response, times)
        raise AssertionError("a fresh connection is not tried again")

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class LibraryResponse:
    """An answer of aiohttp."""

    __slots__ = ("_response", "_times", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, times: Timeouts) -> None:
        self._times = times
        self._response = response
        self.status = response.status
        self.headers: MultiMapping[str] = response.headers

    def values(self, name: bytes) -> Sequence[str]:
        """The values of one header."""
        return self.headers.getall(name.decode(), [])

    @property
    def length(self) -> int:
        """The Content-Length of the body in bytes; 0 without one."""
        return self._response.content_length or 0

    @property
    def ended(self) -> bool:
        """Whether the body was read to its end."""
        return self._response.content.at_eof()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        times, content, heard = self._times, self._response.content, False
        while True:
            late = asyncio.timeout(times.idle if heard else times.first_byte)
            try:
                async with late:
                    data = await content.readany()
            except TimeoutError:
                silent = times.stirred() if heard else times.begun()
                raise (silent if late.expired() else times.ended()) from None
            except aiohttp.ClientError as fault:
                raise _known(fault) from None
            if not data:
                return
            heard = True
            yield data

    async def read(self, most: int) -> bytes:
        """The first bytes of the body: at most `most`, at least one unless the body is empty."""
        try:
            return await self._response.content.read(most)
        except aiohttp.ClientError as fault:
            raise _known(fault) from None

    def release(self) -> None:
        """The body was read to its end."""
        self._response.release()

    def close(self) -> None:
        """Give up the exchange."""
        self._response.close()


def _known(fault: Exception) -> OSError:
    """An exception of aiohttp as an exception of `client`."""
    if isinstance(fault, aiohttp.ClientResponseError):
        return Malformed(type(fault).__name__)
    if isinstance(fault, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return Broken(type(fault).__name__)
    return fault if isinstance(fault, OSError) else Failed(type(fault).__name__)


def _payload(data: bytes) -> bytes | io.BytesIO:
    """A body for aiohttp, which sends a file in pieces, but bytes of any length at once."""
    return io.BytesIO(data) if len(data) > _AT_ONCE else data
