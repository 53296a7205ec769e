"""Files of Gemini through the whole gateway, with the official client: uploads in several calls, owners, lists."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from google import genai
from google.genai import errors, types

import uploading
import upstream as scripted
from gateway.ids import base64url
from gateway.redaction.vault import Seal
from keeping import VAULT
from line import KEYS, Line, gemini_config, policies, running

PDF = b"%PDF-1.7\n\xff\xfe\x00" + bytes(range(256)) * 40
PIECE = 8 * 1024 * 1024  # of Google's client


def settings(folder: Path, up: scripted.Upstream, **fields: Any) -> dict[str, Any]:
    """A provider of Gemini's format with two keys, where files are stored."""
    pii = {"vault_key": VAULT, "unscannable": "allow", "entities": {"CREDIT_CARD": "block"}}
    made = gemini_config(folder, up.url, **{"pii": pii, "output": {"unscannable": "allow"}, **fields})
    del made["providers"]["g"]["api_key"]
    made["providers"]["g"]["api_keys"] = ["AIza-one", "AIza-two"]
    made["models"]["/v1beta/files"] = {"targets": ["g/any"]}
    return made


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway."""
    folder = tmp_path_factory.mktemp("gemini-files")
    with running(folder, settings(folder, up)) as started:
        yield started


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """A provider that stores nothing yet."""
    for kept in (uploading.FILES, uploading.CONTENT, uploading.OPEN, uploading.SAYS):
        kept.clear()
    yield
    uploading.SAYS.clear()


def client_of(line: Line, agent: str = "alice") -> genai.Client:
    """Google's client of an agent."""
    return genai.Client(api_key=KEYS[agent], http_options={"base_url": line.url})


def put(line: Line, data: bytes = b"hi", kind: str = "text/plain", agent: str = "alice") -> types.File:
    """A new file."""
    with client_of(line, agent) as client:
        return client.files.upload(file=io.BytesIO(data), config={"mime_type": kind})


def name_of(file: types.File) -> str:
    """Its name."""
    assert file.name is not None
    return file.name


def test_a_file_of_a_team(line: Line, up: scripted.Upstream, tmp_path: Path) -> None:
    """Uploaded, read, listed, named in a request, deleted: with the client as it is."""
    path = tmp_path / "report.pdf"
    path.write_bytes(PDF)
    client = client_of(line)
    file = client.files.upload(file=path, config={"display_name": "to ann@example.org"})
    name = name_of(file)
    assert uploading.CONTENT[name] == PDF
    assert file.uri == f"{uploading.HOST}/v1beta/{name}"
    assert (file.mime_type, file.size_bytes) == ("application/pdf", len(PDF))
    assert "ann@" not in uploading.FILES[name]["displayName"]
    assert client.files.get(name=name).uri == file.uri
    assert [one.name for one in client.files.list()] == [name]
    said = client.models.generate_content(model="echo", contents=["hi", file])
    assert said.candidates
    assert file.uri in up.last.raw.decode()
    client.files.delete(name=name)
    assert not uploading.FILES
    with pytest.raises(errors.ClientError, match="404 NOT_FOUND"):
        client.files.get(name=name)
    with pytest.raises(errors.ClientError, match="404 NOT_FOUND"):
        client.models.generate_content(model="echo", contents=["hi", file])


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
def test_the_asynchronous_client(line: Line) -> None:
    """The asynchronous client uploads in the same way."""

    async def run() -> str:
        async with client_of(line).aio as client:
            file = await client.files.upload(file=io.BytesIO(PDF), config={"mime_type": "application/pdf"})
        return name_of(file)

    assert uploading.CONTENT[asyncio.run(run())] == PDF


def test_a_large_file_comes_in_pieces(line: Line, up: scripted.Upstream) -> None:
    """At the key of the provider under which the upload began."""
    data = PDF + bytes(PIECE) + b"trailer of plain words"
    before = len(up.seen)
    file = put(line, data, "application/pdf")
    assert uploading.CONTENT[name_of(file)] == data
    seen = up.seen[before:]
    assert [one.headers["x-goog-upload-command"] for one in seen] == ["start", "upload", "upload, finalize"]
    assert len({one.headers["x-goog-api-key"] for one in seen}) == 1
    assert "mg-" not in str([one.headers for one in seen])


def test_texts_are_judged(line: Line) -> None:
    """As those of every file: masked, or refused."""
    file = put(line, "write to ann@example.org, é".encode())
    assert uploading.CONTENT[name_of(file)] == "write to <EMAIL_1>, é".encode()
    for kind in ("text/plain", "application/pdf"):
        with pytest.raises(errors.ClientError, match="CREDIT_CARD") as refused:
            put(line, b"card 4111 1111 1111 1111", kind)
        assert refused.value.code == 403
    assert len(uploading.FILES) == 1


@pytest.mark.parametrize("kind", ["text/csv", "application/pdf", "application/vnd.api+json"])
def test_a_text_in_pieces_is_refused(line: Line, kind: str) -> None:
    """What stands across two pieces would not be found, whatever type the file is said to have."""
    text = ("é4111 1111 1111 1111\n" * (PIECE // 20)).encode()
    with pytest.raises(errors.ClientError, match="judged as a whole"):
        put(line, text, kind)
    assert not uploading.FILES
    assert all(not one["data"] for one in uploading.OPEN.values())


def test_another_team(line: Line) -> None:
    """It neither sees, reads, deletes nor names a file of others: 404, as for one that does not exist."""
    file, theirs = put(line), put(line, agent="mallory")
    mallory = client_of(line, "mallory")
    for name in (name_of(file), f"files/{uploading.put('nobodys')}", "files/unknown"):
        for act in (mallory.files.get, mallory.files.delete):
            with pytest.raises(errors.ClientError, match="404 NOT_FOUND"):
                act(name=name)
    with pytest.raises(errors.ClientError, match="404 NOT_FOUND"):
        mallory.models.generate_content(model="echo", contents=[file])
    assert [one.name for one in mallory.files.list()] == [theirs.name]
    assert len(uploading.FILES) == 3
    answer = httpx.get(f"{line.url}/v1beta/{file.name}", headers={"x-goog-api-key": KEYS["mallory"]})
    assert answer.status_code == answer.json()["error"]["code"] == 404
    with client_of(line, "bob") as bob:
        assert bob.files.get(name=name_of(file)).name == file.name


def test_lists(line: Line) -> None:
    """Pages of the team's own files, by tokens that say nothing of other files."""
    mine = []
    for at in range(5):
        mine.append(name_of(put(line)))
        put(line, agent="mallory")
        uploading.put(f"foreign{at}")
    for size in (1, 2, 10, 100):
        with client_of(line) as client:
            found = [one.name for one in client.files.list(config={"page_size": size})]
        assert sorted(found, key=str) == sorted(mine)  # one key of the provider after the other
    for at in range(250):
        uploading.put(f"later{at}")
    with client_of(line) as client:
        assert sorted(name_of(one) for one in client.files.list(config={"page_size": 2})) == sorted(mine)
    raw = httpx.get(f"{line.url}/v1beta/files?pageSize=1", headers={"x-goog-api-key": KEYS["alice"]}).json()
    assert raw["nextPageToken"].startswith("page_")
    assert set(raw["files"][0]) == {"name", "uri", "mimeType", "sizeBytes", "state"}
    for query in ("pageSize=0", "pageSize=101", "pageToken=5", f"pageToken={mine[0].removeprefix('files/')}", "x=1"):
        answer = httpx.get(f"{line.url}/v1beta/files?{query}", headers={"x-goog-api-key": KEYS["alice"]})
        assert answer.json()["error"]["code"] in (400, 404), query
    assert set(raw) == {"files", "nextPageToken"}
    theirs = {"x-goog-api-key": KEYS["mallory"]}
    token = raw["nextPageToken"]
    assert httpx.get(f"{line.url}/v1beta/files?pageToken={token}", headers=theirs).status_code == 404


def test_a_list_whose_files_are_deleted(line: Line) -> None:
    """While the pages are read: each file is there."""
    mine = [name_of(put(line)) for _ in range(7)]
    found = []
    with client_of(line) as client:
        for one in client.files.list(config={"page_size": 3}):
            client.files.delete(name=name_of(one))
            found.append(name_of(one))
    assert sorted(found) == sorted(mine)
    assert not uploading.FILES


def begin(line: Line, body: Any = None, agent: str = "alice", **headers: str) -> httpx.Response:
    """The first call of an upload."""
    said = {"protocol": "resumable", "command": "start", "header_content_type": "application/pdf", **headers}
    sent = {f"x-goog-upload-{name.replace('_', '-')}": value for name, value in said.items() if value}
    return httpx.post(
        f"{line.url}/upload/v1beta/files",
        json={"file": {}} if body is None else body,
        headers={**sent, "x-goog-api-key": KEYS.get(agent, agent)},
    )


def send(url: str, data: bytes = PDF, command: str = "upload, finalize", offset: str = "0", key: str = "") -> Any:
    """A call with bytes."""
    headers = {"x-goog-upload-command": command, "x-goog-upload-offset": offset}
    return httpx.post(url, content=data, headers={**headers, **({"authorization": f"Bearer {key}"} if key else {})})


def test_the_url_of_an_upload(line: Line) -> None:
    """It leads to the gateway, is sealed, and is for the caller who began; another key makes it unknown."""
    answer = begin(line)
    url = answer.headers["x-goog-upload-url"]
    assert (answer.status_code, answer.content) == (200, b"")
    assert url.startswith(f"{line.url}/upload/v1beta/files/")
    assert not any(one in url for one in ("upload_id", "AIza", "mg-", next(iter(uploading.OPEN))))
    assert send(url, key=KEYS["mallory"]).status_code == 404
    for wrong in (url[:-3] + "AAA", url + "A", f"{line.url}/upload/v1beta/files/x"):
        refused = send(wrong)
        assert refused.status_code == refused.json()["error"]["code"] == 404
        assert refused.headers["x-goog-upload-status"] == "final"
    assert not uploading.FILES
    made = send(url, key=KEYS["alice"])
    assert made.headers["x-goog-upload-status"] == "final"
    name = made.json()["file"]["name"]
    with client_of(line) as client:
        assert client.files.get(name=name).name == name


def test_what_a_beginning_may_say(line: Line, up: scripted.Upstream) -> None:
    """Nothing else reaches the provider."""
    before = len(up.seen)
    wrong: list[httpx.Response] = [
        begin(line, protocol="multipart"),
        begin(line, protocol=""),
        begin(line, command="upload, finalize"),
        begin(line, header_content_type=""),
        begin(line, header_content_type="text/4111111111111111"),
        begin(line, header_content_length="1e9"),
        begin(line, {"file": {"name": "files/mine"}}),
        begin(line, {"file": {"uri": "gs://private/a"}}),
        begin(line, {"file": {"mimeType": "text/plain"}}),
        begin(line, {"other": 1}),
        begin(line, {"file": []}),
    ]
    assert [one.status_code for one in wrong] == [400] * len(wrong)
    assert all(one.json()["error"]["status"] == "INVALID_ARGUMENT" for one in wrong)
    assert begin(line, agent="mg-unknown").status_code == 401
    path = f"{line.url}/upload/v1beta/files"
    assert httpx.get(path, headers={"x-goog-api-key": KEYS["alice"]}).status_code == 405
    assert httpx.post(f"{line.url}/v1beta/files", headers={"x-goog-api-key": KEYS["alice"]}).status_code == 405
    assert len(up.seen) == before


@pytest.mark.parametrize(
    "url", ["", "https://evil.example", "https://e.example//other", "https://e.example/a/../b", "https://e.example/a b"]
)
def test_a_provider_with_another_url(line: Line, url: str) -> None:
    """It is no URL of an upload: 502, and the caller gets none."""
    uploading.SAYS["url"] = url
    answer = begin(line)
    assert answer.status_code == 502
    assert "x-goog-upload-url" not in answer.headers


def test_the_bytes_never_go_to_another_host(line: Line, up: scripted.Upstream) -> None:
    """Only path and query of the provider's URL count."""
    answer = begin(line)
    (id,) = uploading.OPEN
    uploading.SAYS["url"] = f"https://evil.example/upload/v1beta/files?upload_id={id}"
    answer = begin(line)
    assert send(answer.headers["x-goog-upload-url"]).status_code == 200
    assert up.last.path == f"/upload/v1beta/files?upload_id={id}"


def test_commands(line: Line, up: scripted.Upstream) -> None:
    """Those of the protocol; a refusal of the provider comes in Gemini's form."""
    url = begin(line).headers["x-goog-upload-url"]
    before = len(up.seen)
    for command, offset in (("query", "0"), ("cancel", "0"), ("", "0"), ("upload", "00"), ("upload", "-1")):
        assert send(url, command=command, offset=offset).status_code == 400
    assert len(up.seen) == before
    assert send(url, command="upload").headers["x-goog-upload-status"] == "active"
    assert send(url, b"x", command="upload", offset="5").json()["error"]["status"] == "INVALID_ARGUMENT"
    made = send(url, b"", command="finalize", offset=str(len(PDF)))
    assert uploading.CONTENT[made.json()["file"]["name"]] == PDF


def test_unscannable_files(up: scripted.Upstream, tmp_path: Path) -> None:
    """They are refused by default, whole and in pieces; texts pass."""
    with running(tmp_path, settings(tmp_path, up, pii={"vault_key": VAULT})) as line:
        assert put(line).name
        for data in (PDF, PDF + bytes(PIECE)):
            with pytest.raises(errors.ClientError, match="unscannable"):
                put(line, data, "application/pdf")
        url = begin(line).headers["x-goog-upload-url"]
        assert send(url, b"words", command="upload", offset="9").status_code == 403
    assert len(uploading.FILES) == 1
    assert [len(one["data"]) for one in uploading.OPEN.values()] == [2, 0, 0, 0]


def test_an_obligation_to_store_nothing(up: scripted.Upstream, tmp_path: Path) -> None:
    """No upload begins."""
    rules = """package gateway

import rego.v1

decision := {"allow": true, "deny": set(), "obligations": {"store": false}}
"""
    with running(tmp_path, settings(tmp_path, up, policy=policies(tmp_path, rules))) as line:
        before = len(up.seen)
        assert begin(line).json()["error"]["code"] == 403
        assert len(up.seen) == before


def test_a_revoked_key(up: scripted.Upstream, tmp_path: Path) -> None:
    """The URL of an upload is of no use without the key of its caller."""
    made = settings(tmp_path, up)
    with running(tmp_path, made) as line:
        url = begin(line).headers["x-goog-upload-url"]
    before = len(up.seen)
    made["agents"].pop("alice")
    with running(tmp_path, made) as line:
        assert send(line.url + url[url.index("/upload/") :]).status_code == 401
        assert len(up.seen) == before


def test_the_provider_demo(up: scripted.Upstream, tmp_path: Path) -> None:
    """For trials without a provider."""
    made = settings(tmp_path, up)
    made["providers"]["demo"] = {"format": "demo"}
    made["models"]["/v1beta/files"] = {"targets": ["demo/any"]}
    with running(tmp_path, made) as line:
        file = put(line)
        assert file.name == "files/demo"


def test_without_owners(up: scripted.Upstream, tmp_path: Path) -> None:
    """No upload begins, and there is no list."""
    with running(tmp_path, settings(tmp_path, up, stored=None)) as line:
        before = len(up.seen)
        assert begin(line).json()["error"]["code"] == 404
        assert httpx.get(f"{line.url}/v1beta/files", headers={"x-goog-api-key": KEYS["alice"]}).status_code == 404
        assert len(up.seen) == before


def test_the_workflow_of_an_upload(line: Line) -> None:
    """All calls of an upload are of one."""
    answer = begin(line)
    made = send(answer.headers["x-goog-upload-url"])
    assert answer.headers["x-correlation-id"] == made.headers["x-correlation-id"]
    assert json.loads(made.content)["file"]["state"] == "ACTIVE"


def test_an_upload_that_has_ended(line: Line) -> None:
    """Its URL makes no second file, whoever sends the bytes again; of concurrent ends, one makes the file."""
    url = begin(line).headers["x-goog-upload-url"]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: send(url), range(4)))
    assert sorted(one.status_code for one in made) == [200, 400, 400, 400]
    for command, offset in (("upload, finalize", "0"), ("finalize", str(len(PDF))), ("upload", str(len(PDF)))):
        again = send(url, b"" if command == "finalize" else PDF, command, offset)
        assert (again.status_code, again.headers["x-goog-upload-status"]) == (400, "final")
    assert [*uploading.CONTENT.values()] == [PDF]
    (name,) = uploading.FILES
    with client_of(line) as client:
        assert client.files.get(name=name).name == name


def test_the_url_of_an_upload_ends(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day it is unknown, as is one that another gateway's key has sealed."""
    url, now = begin(line).headers["x-goog-upload-url"], time.time()
    monkeypatch.setattr("gateway.ingress.uploads.time.time", lambda: now + 86_401)
    assert send(url).status_code == 404
    monkeypatch.undo()
    sealed = base64url(Seal(b"x" * 32).enclose("upload", b"{}"))
    assert send(f"{line.url}/upload/v1beta/files/{sealed}").status_code == 404
    assert not uploading.FILES


def test_an_upload_goes_on_after_a_restart(up: scripted.Upstream, tmp_path: Path) -> None:
    """The URL holds all that the next process needs; the file is the team's."""
    with running(tmp_path, settings(tmp_path, up)) as line:
        url = begin(line).headers["x-goog-upload-url"]
        assert send(url, PDF[:99], "upload").headers["x-goog-upload-status"] == "active"
    with running(tmp_path, settings(tmp_path, up)) as line:
        made = send(line.url + urlsplit(url).path, PDF[99:], offset="99")
        name = made.json()["file"]["name"]
        assert uploading.CONTENT[name] == PDF
        with client_of(line, "mallory") as mallory, pytest.raises(errors.ClientError, match="404"):
            mallory.files.get(name=name)
        with client_of(line) as client:
            assert client.files.get(name=name).name == name


@pytest.mark.parametrize("offset", ["1", "3", "999999999999999"])
def test_offsets_that_lie(line: Line, offset: str) -> None:
    """A text is one whatever its offset says; the provider knows what it has of other files."""
    text = b"card 4111 1111 1111 1111"
    for kind, status in (("text/plain", 400), ("application/pdf", 400)):
        url = begin(line, header_content_type=kind).headers["x-goog-upload-url"]
        assert send(url, text, offset=offset).status_code == status
        assert send(url, b"", command="upload").status_code in (200, 400)
        assert send(url, text, command="finalize").status_code == 400
        assert send(url, text).status_code == 403
    assert not uploading.FILES
