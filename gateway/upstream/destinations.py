"""Where the calls to a provider go: URL, headers, time limits. Config key: `providers`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from multidict import CIMultiDict
from yarl import URL

from gateway.config.accounts import Provider
from gateway.config.models import Model
from gateway.config.providers import CLOUDS
from gateway.dialects import NO_VALUES, Codec
from gateway.upstream import vertex
from gateway.upstream.client import Destination, Timeouts

_VERSION: Final = re.compile(r"/v1(?:beta|alpha)?$")
_WITHOUT: Final = ("/responses", "/conversations")  # paths of Azure without a deployment: the body names the model
_MOST: Final = 1024  # remembered destinations: with models by a pattern, deployments come and go
_UNTIMED: Final = ("", Model.model_construct())


class Destinations:
    """The destinations of the calls of one configuration, made when first needed."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._known: dict[tuple[str, str, str, str], Destination] = {}  # provider, path, timed model, key

    def of(
        self,
        provider: str,
        codec: Codec,
        model: str,
        values: Mapping[str, str] = NO_VALUES,
        timed: tuple[str, Model] = _UNTIMED,
        key: str = "",
        *,
        stream: bool = False,
    ) -> Destination:
        """The destination of the calls of a dialect; `model` is the deployment of an API with deployments (Azure).

        `values`: the parameters of the path of the call. `timed`: the model that the caller named and its settings, if
        it has time limits of its own. `key`: the name of the provider's key. `stream`: whether a stream is asked for,
        which has a path of its own at Vertex.
        """
        account = self._providers[provider]
        path = codec.at(model, values)
        if account.api_version:
            place = "" if path.startswith(_WITHOUT) else f"/deployments/{quote(model, safe='')}"
            path = f"/openai{place}{path}?api-version={account.api_version}"
        elif account.kind in vertex.KINDS:
            path = vertex.path(account.kind, codec, path, model, stream=stream)
        to = self._known.get((provider, path, timed[0], key))
        if to is None:
            base = account.base_url.rstrip("/")
            if path.startswith(("/v1", "/upload/")):  # a base URL may be given with the version or without it
                base = _VERSION.sub("", base)
            to = Destination(
                URL(base + path), _headers(account, codec, account.keys[key]), _timeouts(account, timed[1])
            )
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[provider, path, timed[0], key] = to
        return to


def _timeouts(provider: Provider, model: Model) -> Timeouts:
    """Those of the model, or else of the provider."""
    first = provider.first_byte_timeout if model.first_byte_timeout is None else model.first_byte_timeout
    return Timeouts(
        provider.timeout if model.timeout is None else model.timeout,
        provider.connect_timeout if model.connect_timeout is None else model.connect_timeout,
        provider.idle_timeout if model.idle_timeout is None else model.idle_timeout,
        first,
    )


def _headers(provider: Provider, codec: Codec, key: str) -> CIMultiDict[str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "meshgate"}
    return CIMultiDict({**headers, **_credentials(provider, codec, key), **provider.headers})


def _credentials(provider: Provider, codec: Codec, key: str) -> Mapping[str, str]:
    """The headers with the key: as the dialect has them, or as the provider wants them."""
    sent_as = provider.sent_as
    if sent_as is None or sent_as in CLOUDS or not key:
        return codec.credentials(key)
    name, value = ("Authorization", f"Bearer {key}") if sent_as == "bearer" else (sent_as, key)
    return {**codec.credentials(""), name: value}
