"""Completes providers of a kind from the table of providers: format, base URL, and the key from the environment.

A key of the environment is sent to hosts of its provider only: any other server would learn the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.config.providers import CLOUDS, ROWS, Row
from gateway.config.yaml_file import Path, Problem, YamlFile

_PLACE: Final = re.compile(r"[a-z0-9-]{1,40}")  # a region within a host name, or a project
_UNKNOWN: Final = "https://unknown.invalid"  # so that a missing base_url is the only mistake reported


def complete(doc: YamlFile, env: Mapping[str, str]) -> None:
    """Write what the kinds of providers determine into the document, and its mistakes into `doc.problems`."""
    providers = doc.data.get("providers")
    for name, provider in providers.items() if isinstance(providers, dict) else ():
        if isinstance(provider, dict):
            doc.problems += _completed(doc, ("providers", name), provider, env)


def _completed(doc: YamlFile, path: Path, provider: dict[str, Any], env: Mapping[str, str]) -> Iterator[Problem]:
    name = path[-1]
    if "kind" not in provider:
        if "format" in provider:
            return
        if name not in ROWS:
            words = f"needs a format (openai, anthropic, demo) or a kind: {', '.join(ROWS)}"
            yield Problem(doc.line(path), path, words)
            provider["format"] = "demo"  # so that this is the only mistake reported
            return
        provider["kind"] = name
    row = ROWS.get(provider["kind"]) if isinstance(provider["kind"], str) else None
    if row is None:
        provider.setdefault("format", "demo")
        return  # the grammar reports the mistake
    provider.setdefault("format", row.format)
    yield from _url(doc, path, provider, row, env)
    if provider["base_url"] != _UNKNOWN:
        yield from _key(doc, path, provider, row, env)


def _url(doc: YamlFile, path: Path, provider: dict[str, Any], row: Row, env: Mapping[str, str]) -> Iterator[Problem]:
    """The base URL of the file, else of the row, with the end that the API has."""
    url = provider.get("base_url")
    if not url:
        url = row.url
        for mark, variables in (("{}", row.places), ("{project}", row.projects)):
            if mark not in url:
                continue
            variable = next((name for name in variables if env.get(name)), "")
            if not variable:
                words = f"needs a base_url: set the environment variable {' or '.join(variables)}, or write base_url"
                yield Problem(doc.line(path), path, words)
                provider["base_url"] = _UNKNOWN
                return
            if url != mark and not _PLACE.fullmatch(env[variable]):
                what = "region" if mark == "{}" else "project"
                words = f"cannot use the environment variable {variable}: it is no {what}"
                yield Problem(doc.line(path), path, words)
            url = url.replace(mark, env[variable])
            doc.env[*path, "base_url"] = f"${{{variable}}}"
        url = url.replace("//global-", "//")  # Vertex: the place without a region
    if isinstance(url, str):
        url = url.rstrip("/")
        if row.path and not provider.get("api_version") and not url.endswith(row.path):
            url = url.removesuffix("/openai") + row.path
        elif row.path and provider.get("api_version"):
            url = url.removesuffix(row.path).removesuffix("/openai")
        provider["base_url"] = url


def _key(doc: YamlFile, path: Path, provider: dict[str, Any], row: Row, env: Mapping[str, str]) -> Iterator[Problem]:
    """The key of the file, else of the environment."""
    if provider.get("auth", row.auth) in CLOUDS:
        if "auth" not in provider and not owns(row, provider["base_url"]):
            words = f"has a base_url outside {row.domain}, where no token is sent by itself: write auth: {row.auth}"
            yield Problem(doc.line(path), path, words)
        return
    if "api_key" in provider or provider.get("api_keys") or not row.keys or provider.get("headers"):
        return
    variable = next((name for name in row.keys if env.get(name)), "")
    if not variable:
        words = f"has no key: set the environment variable {' or '.join(row.keys)}, or write api_key"
        if provider["kind"] == "bedrock":
            words += ", or auth: aws for the credentials of the machine"
        yield Problem(doc.line(path), path, words)
    elif not owns(row, provider["base_url"]):
        words = (
            f"has a base_url outside {row.domain}, where the key in {variable} is not sent by itself: write api_key: "
            f"${{{variable}}}, or api_key: '' for a server without keys"
        )
        yield Problem(doc.line(path), path, words)
    else:
        provider["api_key"] = env[variable]
        doc.env[*path, "api_key"] = f"${{{variable}}}"


def owns(row: Row, url: object) -> bool:
    """Whether a URL is one of the provider's own, over TLS."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        host = (parts.hostname if parts else None) or ""
    except ValueError:
        return False
    return bool(row.domain and parts and parts.scheme == "https") and f".{host}".endswith(f".{row.domain}")
