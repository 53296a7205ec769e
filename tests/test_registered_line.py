"""Tool servers that are registered by the admin API, beside those of the configuration file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import tool_server
from gateway import cli
from gateway.config.grammar import Config, State
from gateway.config.tools import Tool
from gateway.errors import ConfigError
from gateway.redaction.vault import Seal
from gateway.stores import open_store
from gateway.tools.registered import change, merged, record, registered, rows_of
from line import Line, config, running
from tool_client import Client
from tool_server import Scripted
from waiting import eventually

TOKEN = "tok-7f3a9c1e5b2d4860"
BEARING = {"authorization": "Bearer mg-admin"}
ADMIN = {"key_sha256": [hashlib.sha256(b"mg-admin").hexdigest()]}


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        yield made


def put(line: Line, name: str, row: Any) -> tuple[int, Any]:
    """Register a server; status and answer."""
    got = line.client.put(f"/admin/api/tools/{name}", json=row, headers=BEARING)
    return got.status_code, got.json()


def test_a_server_is_registered_called_and_dropped(tmp_path: Path, server: Scripted, capsys: Any) -> None:
    """Within seconds, without a restart, and it is there after one; its credentials are nowhere in clear."""
    made = config(tmp_path, "http://127.0.0.1:9/v1", tools={"first": {"mcp": server.url}}, admin=ADMIN)
    row = {"mcp": server.url, "refresh": 0, "auth": {"token": TOKEN}}
    with running(tmp_path, made) as line:
        client = Client(line, "/mcp/more")
        assert client.send("tools/list").status_code == 404
        assert line.client.put("/admin/api/tools/more", json=row).status_code == 401
        assert put(line, "more", row) == (201, {"server": "more", "changed": True})
        eventually(lambda: client.send("tools/list").status_code == 200)
        assert client.tools() == ["get_it", "send_it"]
        assert server.seen[-1][0]["authorization"] == f"Bearer {TOKEN}"
        assert "more_get_it" in Client(line, "/mcp").tools()
        assert put(line, "more", row) == (200, {"server": "more", "changed": False})
        listed = line.client.get("/admin/api/tools", headers=BEARING).json()["servers"]
        assert [(one["server"], one["row"], one["state"]) for one in listed] == [
            ("first", "file", "answers"),
            ("more", "registered", "answers"),
        ]
        assert line.client.get("/readyz").json()["tools"] == {"first": "answers", "more": "answers"}
        assert line.rows("SELECT action FROM actions") == [("tool server registered",)]
        assert TOKEN not in str(line.rows("SELECT * FROM actions"))
    assert all(TOKEN.encode() not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    with running(tmp_path, made) as line:
        client = Client(line, "/mcp/more")
        assert client.tools() == ["get_it", "send_it"]
        capsys.readouterr()
        assert cli.main(["tools", "list", "more", "--config", str(line.path)]) == 0
        assert "get_it  accepted" in capsys.readouterr().out
        assert cli.main(["tools", "list", "--config", str(line.path)]) == 0
        assert "more/get_it  accepted" in capsys.readouterr().out
        assert line.client.delete("/admin/api/tools/more", headers=BEARING).status_code == 200
        eventually(lambda: client.send("tools/list").status_code == 404)
        assert line.client.delete("/admin/api/tools/more", headers=BEARING).status_code == 404
        assert line.rows("SELECT action FROM actions") == [("tool server registered",), ("tool server dropped",)]


@pytest.mark.parametrize(
    ("name", "row", "status"),
    [
        ("first", {"mcp": "http://127.0.0.1:9/mcp"}, 409),
        ("run", {"command": ["sh", "-c", "id"]}, 400),
        ("doc", {"http": "http://127.0.0.1:9", "openapi": "/etc/passwd"}, 400),
        ("first_more", {"mcp": "http://127.0.0.1:9/mcp"}, 400),
        ("no name", {"mcp": "http://127.0.0.1:9/mcp"}, 400),
        ("other", {"mcp": "http://127.0.0.1:9/mcp", "unknown": 1}, 400),
        ("other", {}, 400),
        ("other", {"mcp": "http://127.0.0.1:9/mcp", "auth": {"token": "mg-admin-key-0123456789"}}, 400),
        ("other", {"mcp": "http://127.0.0.1:9/mcp", "auth": {"type": "user", "client_id": "c"}}, 400),
        ("other", {"mcp": "http://127.0.0.1:9/mcp", "headers": {"X\r\nY": "z"}}, 400),
        ("other", {"mcp": "http://127.0.0.1:9/mcp", "headers": {"X Y": "z"}}, 400),
        ("other", {"mcp": "http://127.0.0.1:9/mcp", "max_answer": "9" * 40}, 400),
    ],
)
def test_what_is_not_registered(tmp_path: Path, name: str, row: Any, status: int) -> None:
    """Rows of the file, programs and files of the machine, mistakes, and the admin key; nothing of them is kept."""
    key = b"mg-admin-key-0123456789"
    admin = {"key_sha256": [hashlib.sha256(key).hexdigest()]}
    made = config(tmp_path, "http://127.0.0.1:9/v1", tools={"first": {"mcp": "http://127.0.0.1:9/mcp"}}, admin=admin)
    with running(tmp_path, made) as line:
        headers = {"authorization": f"Bearer {key.decode()}"}
        got = line.client.put(f"/admin/api/tools/{name}", json=row, headers=headers)
        assert (got.status_code, got.json()["code"]) == (status, "invalid_request")
        listed = line.client.get("/admin/api/tools", headers=headers).json()["servers"]
        assert [one["server"] for one in listed] == ["first"]
        assert line.client.delete("/admin/api/tools/first", headers=headers).status_code == 409
        assert line.rows("SELECT action FROM actions") == []


def test_the_file_has_priority() -> None:
    """A registered row that does not fit to the file is left out, and the others stay."""
    row = Tool(mcp="http://127.0.0.1:9/mcp")
    file = Config(providers={}, models={}, tools={"a": row})
    found, left_out = merged(file, {"a": Tool(mcp="http://127.0.0.1:8/mcp"), "a_b": row, "c": row})
    assert found.tools == {"a": row, "c": row}
    assert left_out.keys() == {"a", "a_b"}


async def test_a_record_of_another_key(tmp_path: Path) -> None:
    """No server is registered as far as the gateway knows; it serves those of its file, and keeps the record."""
    mine, other, row = Seal(b"1" * 32), Seal(b"2" * 32), Tool(mcp="http://127.0.0.1:9/mcp")
    store = open_store(State(url=f"sqlite:///{tmp_path}/state.db"))
    await store.open()
    try:
        await change(store, mine, "a", row)
        assert await registered(store, mine) == {"a": row}
        assert await registered(store, other) == await registered(store, None) == {}
        with pytest.raises(ConfigError):
            await change(store, other, "b", row)
        await change(store, mine, "b", row)
        await change(store, mine, "a", None)
        assert rows_of(await record(store), mine) == {"b": row}
    finally:
        await store.close()


async def test_a_row_of_another_version(tmp_path: Path) -> None:
    """A row that this version cannot read is left out; the others count, and a change keeps the row."""
    seal, row = Seal(b"1" * 32), Tool(mcp="http://127.0.0.1:9/mcp")
    later = {"mcp": "http://127.0.0.1:9/mcp", "of_a_later_version": True}
    store = open_store(State(url=f"sqlite:///{tmp_path}/state.db"))
    await store.open()
    try:
        await change(store, seal, "a", row)
        before = await record(store)
        assert before is not None
        said = orjson.loads(seal.disclose("tool servers", before))
        await store.pin(":registered", seal.enclose("tool servers", orjson.dumps({**said, "b": later})), before)
        assert await registered(store, seal) == {"a": row}
        await change(store, seal, "c", row)
        assert await registered(store, seal) == {"a": row, "c": row}
        assert orjson.loads(seal.disclose("tool servers", await record(store) or b""))["b"] == later
        await change(store, seal, "b", None)
        assert orjson.loads(seal.disclose("tool servers", await record(store) or b"")).keys() == {"a", "c"}
    finally:
        await store.close()
