"""The OPA server as engine: versions, and all kinds of failed answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engines import opa_server
from engines.bundles import Write
from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines import open_engine
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import load
from gateway.policy.engines.live import Policies
from gateway.policy.engines.opa import Opa
from servers import free_port


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """Run a server that gives every request the same answer, or none; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def reply(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply("{}"), "undefined or not an object"),
        (reply('{"result": 3}'), "undefined or not an object"),
        (reply('{"result": null}'), "undefined or not an object"),
        (reply("[]"), "undefined or not an object"),
        (reply("{"), "gave no usable answer"),
        (reply("{}", "500 Internal Server Error"), "status 500"),
        (reply("{}", "503 Service Unavailable"), "status 503"),
        (b"nonsense\r\n\r\n", "status 400|gave no usable answer"),
        (b"", "gave no usable answer"),
        (None, r"longer than 0\.05 s"),
    ],
)
async def test_no_answer_is_no_verdict(answer: bytes | None, words: str) -> None:
    """Anything other than a result denies."""
    async with answering(answer) as url:
        engine = Opa(url, timeout=0.05 if answer is None else 5)
        await engine._client.__aenter__()
        with pytest.raises(PolicyUnavailable, match=words):
            await engine.decide({})
        await engine.close()


async def test_nobody_there() -> None:
    """Opening raises an error."""
    with pytest.raises(PolicyUnavailable):
        await open_engine(Policy(engine="opa", url=f"http://127.0.0.1:{free_port()}", path="none"))


async def test_a_start_without_the_server_names_its_address(shipped: Path) -> None:
    """The operator reads which server was asked, but not a password in its URL."""
    port = free_port()
    with pytest.raises(ConfigError, match=rf"does not answer .*policy\.url: 127\.0\.0\.1:{port}\)$"):
        await Policies.open(Policy(engine="opa", url=f"http://name:word@127.0.0.1:{port}", path=str(shipped)))


async def test_the_version_of_what_is_served(opa_url: str, shipped: Path, write: Write) -> None:
    """The bundle's digest if OPA serves that bundle, otherwise a digest of the served modules."""
    other = load(write({"p.rego": "package gateway\ndecision := {}"}))
    versions = []
    for bundle in (load(shipped), other, None):
        engine = Opa(opa_url, bundle=bundle)
        await engine.open()
        versions.append(engine.version)
        await engine.close()
    assert versions[0] == load(shipped).version
    assert versions[1] == versions[2]
    assert versions[1].startswith("opa-")


async def test_an_undefined_decision(write: Write) -> None:
    """A bundle without the entry point denies."""
    with opa_server.serve(write({"p.rego": "package other\nx := 1"})) as url:
        engine = await open_engine(Policy(engine="opa", url=url, path="none"))
        with pytest.raises(PolicyUnavailable, match="undefined"):
            await engine.decide({})
        await engine.close()
