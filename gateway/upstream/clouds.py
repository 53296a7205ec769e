"""The credentials of clouds: access tokens of Google, signatures of AWS.

Config key: `providers.*.auth` (`google`, `aws`). The library of each cloud finds the account where all tools of that
cloud find one: environment, files, the metadata server of the machine. The libraries are extras, and wait for the
network, so threads call them. Fails closed: without credentials, the call is not sent, and another target may answer.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from gateway.config.accounts import Provider
from gateway.upstream.client import Destination
from gateway.upstream.failures import Failed

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from google.auth.credentials import Credentials as GoogleCredentials

_PAUSE: Final = 1.0  # seconds after a fault in which nobody is asked again
# bedrock-runtime.REGION.amazonaws.com, bedrock-mantle.REGION.api.aws, and private endpoints with further labels
_HOST: Final = re.compile(r"(?:^|\.)bedrock-(runtime|mantle)(?:-fips)?\.([a-z0-9-]+)\.")
_SERVICES: Final = {"runtime": "bedrock", "mantle": "bedrock-mantle"}


class Signer(Protocol):
    """What the calls to one provider need to be its account's."""

    async def signed(self, to: Destination, body: bytes) -> Destination:
        """The destination with the headers for this body. Raises Failed."""
        ...


def signers(providers: Mapping[str, Provider]) -> dict[str, Signer]:
    """The signers of the providers that need one, by name of the provider."""
    made: dict[str, Signer] = {}
    for name, provider in providers.items():
        if provider.sent_as == "google":
            made[name] = Google(name)
        elif provider.sent_as == "aws":
            made[name] = Aws(name)
    return made


def _without(provider: str, fault: Exception) -> Failed:
    """The refusal for missing credentials. What the library says may name files and accounts, and stays here."""
    words = f"The gateway has no credentials for the provider {provider} ({type(fault).__name__}). Tell its operator."
    return Failed("denied", words)


class Google:
    """Application default credentials (https://google.aip.dev/auth/4110): a token for all calls, renewed in time."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._held: GoogleCredentials | None = None
        self._lock = asyncio.Lock()
        self._fault: tuple[float, Failed] | None = None

    async def signed(self, to: Destination, body: bytes) -> Destination:
        """With `Authorization: Bearer`."""
        del body
        return to.having([("Authorization", f"Bearer {await self._token()}")])

    async def _token(self) -> str:
        if self._held is None or not self._held.valid:
            async with self._lock:
                if self._held is None or not self._held.valid:
                    await self._renewed()
        assert self._held is not None
        return str(self._held.token)

    async def _renewed(self) -> None:
        """Renew the token. If that fails while the old token is still valid, the old token stays."""
        from gateway.upstream import google_token  # an extra

        if self._fault is not None and time.monotonic() < self._fault[0]:
            raise self._fault[1]
        try:
            self._held = await asyncio.to_thread(google_token.renewed, self._held)
        except Exception as fault:  # of the library, of the token endpoint, or of a file
            if self._held is not None and google_token.still_valid(self._held):
                return
            refusal = _without(self._provider, fault)
            self._fault = time.monotonic() + _PAUSE, refusal
            raise refusal from None


class Aws:
    """Signature Version 4 (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html) of each request."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._found: tuple[Credentials, str] | None = None  # the account, and its region
        self._fault: tuple[float, Failed] | None = None

    async def signed(self, to: Destination, body: bytes) -> Destination:
        """With the signature of the body and the headers, the time, and the token of a session."""
        if self._fault is not None and time.monotonic() < self._fault[0]:
            raise self._fault[1]
        try:
            return to.having(await asyncio.to_thread(self._headers, to, body))
        except Exception as fault:  # of the library, of a metadata server, or of a file
            refusal = _without(self._provider, fault)
            self._fault = time.monotonic() + _PAUSE, refusal
            raise refusal from None

    def _headers(self, to: Destination, body: bytes) -> list[tuple[str, str]]:
        from botocore.auth import SigV4Auth  # an extra
        from botocore.awsrequest import AWSRequest

        credentials, region = self._account()
        service = "bedrock"
        if place := _HOST.search(to.url.host or ""):
            service, region = _SERVICES[place[1]], place[2]
        headers = {"Content-Type": to.headers["Content-Type"]}
        request = AWSRequest(method=to.method, url=str(to.url), data=body, headers=headers)
        SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
        return [(name, value) for name, value in request.headers.items() if name not in headers]

    def _account(self) -> tuple[Credentials, str]:
        """The account of the environment, files or the machine; botocore renews the keys of a session itself."""
        from botocore.exceptions import NoCredentialsError, NoRegionError
        from botocore.session import Session

        with self._lock:
            if self._found is None:
                session = Session()
                credentials, region = session.get_credentials(), session.get_config_variable("region")
                if credentials is None:
                    raise NoCredentialsError
                if not region:
                    raise NoRegionError
                self._found = credentials, region
            return self._found
