"""The application default credentials of Google, by the extra `google`: import on use. Blocks: for threads.

https://google.aip.dev/auth/4110
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import google.auth
import httpx
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import TransportError
from google.auth.transport import Request, Response

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TIME: Final = 10.0  # seconds for an answer of a token endpoint


def renewed(held: Credentials | None) -> Credentials:
    """The credentials with a new token. Raises GoogleAuthError, OSError or ValueError."""
    ask = _Ask()
    if held is None:
        held, _ = google.auth.default(scopes=[_SCOPE], request=ask)
    held.refresh(ask)
    return held


def still_valid(held: Credentials) -> bool:
    """Whether a token that should be renewed soon can be used until then."""
    return held.token_state is TokenState.STALE


class _Ask(Request):
    """Requests to token endpoints. Redirects are not followed."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: object,
    ) -> Response:
        del kwargs
        try:
            limit = min(timeout or _TIME, _TIME)
            return _Said(httpx.request(method, url, content=body, headers=headers, timeout=limit))
        except httpx.HTTPError as fault:
            raise TransportError(type(fault).__name__) from None


class _Said(Response):
    """An answer."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._response.headers

    @property
    def data(self) -> bytes:
        """The body."""
        return self._response.content
