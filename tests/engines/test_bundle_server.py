"""`policy.server`: bundles built and signed by the real `opa`, over HTTP."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.bundles import RULE, TEST, Reports, Write
from engines.opa_server import program
from gateway.config.sections import BundleKey, Policy
from gateway.errors import ConfigError
from gateway.policy.engines.live import Policies
from gateway.policy.sources import unpack
from gateway.policy.sources.base import SourceError
from gateway.policy.sources.server import BundleServer
from gateway.policy.sources.signature import Verifier
from needs import need

SECRET = "correct horse battery staple, and then some more of it"


def build(folder: Path, out: Path, *options: str) -> Path:
    """`opa build` of a folder."""
    command = [program(), "build", "--bundle", str(folder), "--output", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Server:
    """Serves one file as a bundle, with an ETag, and optionally with long polling."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.long_poll = False
        self.status = 200
        self.asked: list[Mapping[str, str]] = []
        self.news = asyncio.Event()
        self.held = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.headers))
        if self.status != 200:
            return web.Response(status=self.status)
        content = self.archive.read_bytes()
        etag = f'"{hash(content):x}"'
        if request.headers.get("If-None-Match") == etag:
            if "wait=" not in request.headers.get("Prefer", ""):
                return web.Response(status=304)
            self.held.set()
            await self.news.wait()
            content = self.archive.read_bytes()
            etag = f'"{hash(content):x}"'
        kind = "application/vnd.openpolicyagent.bundles" if self.long_poll else "application/gzip"
        return web.Response(body=content, headers={"ETag": etag, "Content-Type": kind})


@pytest.fixture
def folder(write: Write) -> Path:
    return write({"p.rego": RULE % "true", "data.yaml": "name: one", "p_test.rego": TEST % "true"})


@pytest.fixture
async def server(folder: Path, tmp_path: Path) -> AsyncIterator[Server]:
    serving = Server(build(folder, tmp_path / "bundle.tar.gz", "--revision", "r1"))
    app = web.Application()
    app.router.add_get("/bundles/gateway.tar.gz", serving.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    serving.url = f"http://127.0.0.1:{port}/bundles/gateway.tar.gz"
    yield serving
    serving.news.set()
    await runner.cleanup()


@pytest.fixture
def reports() -> Reports:
    return Reports()


def policy(server: Server, tmp_path: Path, **more: object) -> Policy:
    section = {"url": server.url, "interval": 3600, **more}
    return Policy.model_validate({"server": section, "cache": str(tmp_path / "cache")})


async def opened(server: Server, tmp_path: Path, reports: Reports | None = None, **more: object) -> Policies:
    return await Policies.open(policy(server, tmp_path, **more), reports)


async def refetch(policies: Policies) -> None:
    source = policies._source
    assert isinstance(source, BundleServer)
    source._found = await source.fetch()


async def name(policies: Policies) -> object:
    return (await policies.engine.decide({}))["from"]


async def test_a_bundle(server: Server, tmp_path: Path) -> None:
    """The output of `opa build` is used, with its revision as version; the token is sent."""
    policies = await opened(server, tmp_path, token="t0ken")
    assert await name(policies) == "one"
    assert policies.origin == "revision r1"
    assert server.asked[0]["Authorization"] == "Bearer t0ken"
    await policies.close()


async def test_nothing_new_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    """The ETag is sent to the server, and a 304 changes nothing."""
    policies = await opened(server, tmp_path)
    engine = policies.engine
    await refetch(policies)
    assert "If-None-Match" in server.asked[1]
    assert not await policies.step()
    assert policies.engine is engine
    await policies.close()


async def test_another_bundle(server: Server, folder: Path, tmp_path: Path) -> None:
    """A new bundle is used after the next check."""
    policies = await opened(server, tmp_path)
    (folder / "data.yaml").write_text("name: two")
    build(folder, server.archive)
    await refetch(policies)
    assert await policies.step()
    assert await name(policies) == "two"
    await policies.close()


async def test_long_polling(server: Server, folder: Path, tmp_path: Path) -> None:
    """A server with long polling is queried again at once, and a change arrives without an interval."""
    server.long_poll = True
    policies = await opened(server, tmp_path, long_poll=30)
    async with asyncio.timeout(10):
        await server.held.wait()
        assert server.asked[-1]["Prefer"] == "modes=snapshot;wait=30"
        (folder / "data.yaml").write_text("name: two")
        await asyncio.to_thread(build, folder, server.archive)
        server.news.set()
        while not await policies.step():  # noqa: ASYNC110  asked again and again, as the gateway does
            await asyncio.sleep(0)
    assert await name(policies) == "two"
    await policies.close()


async def test_a_start_without_the_server(server: Server, tmp_path: Path, reports: Reports) -> None:
    """The last good bundle is used, and the problem is reported."""
    await (await opened(server, tmp_path)).close()
    server.status = 503
    policies = await opened(server, tmp_path, reports)
    assert await name(policies) == "one"
    assert reports.problems == [
        "policy.server: the server answered with status 503; the bundle kept on disk is used",
    ]
    await policies.close()


async def test_a_first_start_without_the_server(server: Server, tmp_path: Path) -> None:
    """Without a kept bundle the gateway does not start."""
    server.status = 404
    with pytest.raises(ConfigError, match="status 404; no earlier bundle is kept"):
        await opened(server, tmp_path)


async def test_no_archive(server: Server, tmp_path: Path) -> None:
    """Data that is not an archive is refused, with a message."""
    server.archive.write_bytes(b"<html>sign in</html>")
    with pytest.raises(ConfigError, match="the archive of the bundle cannot be read"):
        await opened(server, tmp_path)


async def test_rego_of_before(server: Server, folder: Path, tmp_path: Path) -> None:
    """A bundle whose manifest declares Rego v0 is refused, because it would have another meaning."""
    (folder / "p_test.rego").unlink()
    (folder / "p.rego").write_text('package gateway\ndecision = {"allow": true} { true }')
    build(folder, server.archive, "--v0-compatible")
    with pytest.raises(ConfigError, match="Rego v0"):
        await opened(server, tmp_path)


class Keys:
    """A pair of RSA keys, by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        need("openssl", "openssl")
        self.private, self.public = folder / f"{name}.pem", folder / f"{name}.pub"
        subprocess.run(["openssl", "genrsa", "-out", str(self.private), "2048"], check=True, capture_output=True)
        command = ["openssl", "rsa", "-in", str(self.private), "-pubout", "-out", str(self.public)]
        subprocess.run(command, check=True, capture_output=True)

    def verify(self, name: str = "ours") -> dict[str, Any]:
        return {name: {"algorithm": "RS256", "key_file": str(self.public)}}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, "ours")


def sign(folder: Path, out: Path, tmp_path: Path, keys: Keys, **claims: str) -> None:
    """`opa build` with a signature that names its key."""
    file = tmp_path / "claims.json"
    file.write_text(json.dumps({"keyid": "ours", **claims}))
    options = ["--signing-key", str(keys.private), "--signing-alg", "RS256", "--claims-file", str(file)]
    build(folder, out, *options)


async def test_a_signed_bundle(server: Server, folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A bundle with a valid signature is used."""
    sign(folder, server.archive, tmp_path, keys)
    policies = await opened(server, tmp_path, keys=keys.verify())
    assert await name(policies) == "one"
    await policies.close()


async def test_a_bundle_without_a_signature(server: Server, tmp_path: Path, keys: Keys) -> None:
    """If keys are configured, bundles without a signature are refused."""
    with pytest.raises(ConfigError, match="the bundle is not signed"):
        await opened(server, tmp_path, keys=keys.verify())


async def test_a_bundle_of_a_stranger(server: Server, folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A signature of another key with the same id is not valid."""
    sign(folder, server.archive, tmp_path, Keys(tmp_path, "stranger"))
    with pytest.raises(ConfigError, match="signature is not valid"):
        await opened(server, tmp_path, keys=keys.verify())


async def test_a_key_that_is_not_known(server: Server, folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A signature with an unknown key id is refused; no key is guessed."""
    sign(folder, server.archive, tmp_path, keys)
    with pytest.raises(ConfigError, match="does not have"):
        await opened(server, tmp_path, keys={**keys.verify("theirs"), **keys.verify("others")})


async def test_another_scope(server: Server, folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A bundle that was signed for another scope is refused."""
    sign(folder, server.archive, tmp_path, keys, scope="staging")
    with pytest.raises(ConfigError, match="another scope"):
        await opened(server, tmp_path, keys=keys.verify(), scope="production")
    policies = await opened(server, tmp_path, keys=keys.verify(), scope="staging")
    await policies.close()


def _signed(folder: Path, tmp_path: Path) -> tuple[dict[str, bytes], Verifier]:
    """The files of a bundle signed with a shared secret, and its verifier."""
    archive = build(folder, tmp_path / "s.tar.gz", "--signing-key", SECRET, "--signing-alg", "HS256")
    return unpack.read(archive.read_bytes()), Verifier({"ours": BundleKey(algorithm="HS256", key=SECRET)}, "")


async def test_any_change_to_a_signed_bundle_shows(folder: Path, tmp_path: Path) -> None:
    """A changed, added or removed file breaks the signature."""
    files, verifier = _signed(folder, tmp_path)
    verifier.verify(files)
    rego = next(name for name in files if name.endswith("p.rego"))
    with pytest.raises(SourceError, match="differs from the signed file"):
        verifier.verify({**files, rego: files[rego] + b"\n"})
    with pytest.raises(SourceError, match="is not in the bundle's signature"):
        verifier.verify({**files, "more.rego": b"package more"})
    with pytest.raises(SourceError, match="is signed, but is not in the bundle"):
        verifier.verify({name: content for name, content in files.items() if name != rego})
    with pytest.raises(SourceError, match="differs from the signed file"):
        verifier.verify({**files, "data.json": b'{"name": "two"}'})
    with pytest.raises(SourceError, match=r"signatures\.json cannot be read"):
        verifier.verify({**files, ".signatures.json": b'{"signatures": ["x"]}'})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab\u2028é<&"\\\n\x01', max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_VALUES)
def test_data_of_any_kind_is_digested_as_opa_does(folder: Path, tmp_path: Path, value: object) -> None:
    """For any JSON data, the digest that `opa` signed is the computed one."""
    (folder / "data.yaml").unlink(missing_ok=True)
    (folder / "data.json").write_text(json.dumps({"name": value}))
    files, verifier = _signed(folder, tmp_path)
    verifier.verify(files)
    data = next(name for name in files if name.endswith("data.json"))
    with pytest.raises(SourceError):
        verifier.verify({**files, data: json.dumps({"name": [value]}).encode()})


@pytest.mark.parametrize("bad", ["../p.rego", "/../../p.rego", "a/../../p.rego"])
def test_archives_that_lead_outside(bad: str) -> None:
    """A name outside of the folder is refused."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(bad))
    with pytest.raises(SourceError, match="outside"):
        unpack.read(buffer.getvalue())


def test_a_key_that_is_none() -> None:
    """The error for an invalid key names its place in the configuration, and does not repeat the key."""
    with pytest.raises(ConfigError, match=r"policy\.server\.keys\.ours: is not a key for RS256") as caught:
        Verifier({"ours": BundleKey(key="hunter2")}, "")
    assert "hunter2" not in str(caught.value)


def test_archives_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The declared and the decompressed size are limited before memory is used."""
    monkeypatch.setattr(unpack, "LARGEST", 1_000_000)
    monkeypatch.setattr(unpack, "MOST", 10)
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 8_000_000
    archive = gzip.compress(header.tobuf(format=tarfile.USTAR_FORMAT) + bytes(8_000_000))
    with pytest.raises(SourceError, match="larger than 1000000 bytes"):
        unpack.read(archive)


def test_archives_with_a_file_twice() -> None:
    """A duplicate file is refused, because readers may choose different ones."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("p.rego", "./p.rego"):
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(SourceError, match=r"has p\.rego twice"):
        unpack.read(buffer.getvalue())


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_shared_secret_that_is_none(tmp_path: Path, secret: str) -> None:
    """An empty file, such as a secret that is not mounted, is refused: otherwise anyone could sign."""
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    with pytest.raises(ConfigError, match="at least 32 characters"):
        Verifier({"ours": BundleKey(algorithm="HS256", key_file=str(file))}, "")


async def test_another_key_of_the_same_name(server: Server, folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A kept bundle that the previous key signed is not used while the server is unreachable."""
    sign(folder, server.archive, tmp_path, keys)
    await (await opened(server, tmp_path, keys=keys.verify())).close()
    server.status = 503
    with pytest.raises(ConfigError, match="no earlier bundle is kept"):
        await opened(server, tmp_path, keys=Keys(tmp_path, "new").verify())
    await (await opened(server, tmp_path, keys=keys.verify())).close()


async def test_a_server_that_only_says_it_holds_requests(server: Server, tmp_path: Path) -> None:
    """A server that answers at once is queried again only after the interval."""
    server.long_poll = True
    server.news.set()
    policies = await opened(server, tmp_path, long_poll=30)
    source = policies._source
    assert isinstance(source, BundleServer)
    source._found = await source.fetch()
    assert source.pause() == 3600
    await policies.close()


async def test_more_than_a_bundle_may_be(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Received bytes are counted as they arrive."""
    monkeypatch.setattr(unpack, "LARGEST", 100)
    with pytest.raises(ConfigError, match="the bundle is larger than 100 bytes"):
        await opened(server, tmp_path)
