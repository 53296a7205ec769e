"""The admin API and the command line: no secret of the gateway's own goes on record, and no answer repeats one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import upstream as scripted
from gateway.cli import main
from gateway.control.admin import keys, workflows
from gateway.detect.secrets.own import HIDDEN
from line import Line, config, running

SECRET = "prov.9f3Kp29xW7.of-no-known-form"
LETTERS = "QxZkPwvTrLmNbVcX"  # a path of letters only is repeated otherwise
ADMIN = "admin-key-in-a-file-10"
DIGESTED = "admin-key-known-by-its-digest-11"
"""Found only as the key of the request: nobody can search for it."""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, up: scripted.Upstream) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("own-admin")
    (folder / "admin.key").write_text(ADMIN)
    admin = {"key_file": str(folder / "admin.key"), "key_sha256": [sha256(DIGESTED.encode()).hexdigest()]}
    raw = config(folder, up.url, admin=admin, quotas={"calls": 9})
    raw["providers"]["up"]["api_key"] = SECRET
    raw["providers"]["up"]["headers"] = {"x-of-us": LETTERS}
    with running(folder, raw) as made:
        yield made


def ask(line: Line, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {ADMIN}", "content-type": "application/json", **headers}
    content = None if body is None else json.dumps(body)
    return line.client.request(method, f"/admin/api{path}", content=content, headers=headers)


BODIES: dict[str, list[dict[str, Any]]] = {
    "/workflows/{id}": [{"team": "X"}],
    "/workflows/{id}/freeze": [{"team": "X"}, {"team": "red", "reason": "it was X"}, {"X": 1}],
    "/workflows/{id}/resume": [{"team": "X"}, {"tokens": "X"}],
    "/workflows/{id}/close": [{"team": "X"}, {"team": "red", "reason": "X"}],
    "/workflows/{id}/label": [{"team": "red", "label": "X"}],
    "/workflows/{id}/unlabel": [{"team": "red", "label": "X"}],
    "/keys": [
        {"agent": "X", "team": "red"},
        {"agent": "a", "team": "X"},
        {"agent": "a", "team": "red", "roles": ["x", "X"]},
        {"agent": "a", "team": "red", "expires": "X"},
    ],
    "/keys/{id}/rotate": [{"grace": "X"}, {"expires": "X"}],
    "/keys/{id}/revoke": [{"X": 1}],
}


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode().hex(":"), SECRET.upper(), ADMIN, DIGESTED])
@pytest.mark.parametrize(("method", "path"), [row[:2] for row in (*workflows.ROUTES, *keys.ROUTES)])
def test_a_request_with_a_secret_is_refused(line: Line, method: str, path: str, secret: str) -> None:
    """In the path, the query and each field of the body of every endpoint: nothing is changed, recorded or repeated."""
    line.chat("hi", cid="known")
    own = {"authorization": f"Bearer {DIGESTED if secret == DIGESTED else ADMIN}"}
    known = path.replace("{id}", "known")
    told = [ask(line, method, f"{known}?team={quote(secret)}", **own)] if method == "GET" else []
    if "{id}" in path:
        whole = quote(secret, safe="")
        body = None if method == "GET" else {"team": "red"}
        told.append(ask(line, method, path.replace("{id}", whole), body, **own))
    if method == "POST":
        assert BODIES[path]
        for fields in BODIES[path]:
            sent = json.loads(json.dumps(fields).replace('X"', f'{secret}"'))
            told.append(ask(line, method, known, sent, **own))
    assert told
    for answer in told:
        assert answer.status_code == 400
        assert secret not in answer.text
        assert "Take it out" in answer.text or "take it out" in answer.text
    stored = b"".join(file.read_bytes() for file in line.path.parent.glob("state.db*"))
    assert secret.encode() not in stored


@pytest.mark.parametrize("path", ["/workflows/{}", "/workflows/{}/freeze", "/workflows/{}/close", "/keys/{}/revoke"])
@pytest.mark.parametrize("id", ["ann@example.org", "sk-live-51HxYz8aB3dE5gH7jK9m", "a" * 300])
def test_an_unknown_id_is_not_repeated(line: Line, path: str, id: str) -> None:
    """It may be personal data, or a secret of somebody else."""
    method = "GET" if path == "/workflows/{}" else "POST"
    answer = ask(line, method, path.format(quote(id, safe="")), None if method == "GET" else {})
    assert answer.status_code in (400, 404)
    assert id not in answer.text


def test_an_unknown_field_is_not_repeated(line: Line) -> None:
    """Unless it looks like a mistyped one."""
    answer = ask(line, "POST", "/workflows/known/freeze", {"team": "red", "ann@example.org": 1})
    assert answer.status_code == 400
    assert "ann" not in answer.text
    assert "reson: is not a known field" in ask(line, "POST", "/workflows/known/freeze", {"reson": "x"}).text


def test_a_record_from_before_is_shown_without_the_secret(line: Line) -> None:
    """One that was made before the value became a secret."""
    line.chat("hi", cid="older")
    ask(line, "POST", "/workflows/older/freeze", {"team": "red", "reason": "later a secret 7f3a9c0e51b24d"})
    from gateway.detect.secrets.own import OwnSecrets

    runtime = line.gateway.runtime
    before = runtime.own
    object.__setattr__(runtime, "own", OwnSecrets(["7f3a9c0e51b24d"]))
    try:
        shown = [ask(line, "GET", "/workflows/older"), ask(line, "GET", "/workflows")]
        shown.append(ask(line, "POST", "/workflows/older/close", {"team": "red"}))
        shown.append(ask(line, "POST", "/workflows/older/close", {"team": "red"}))
    finally:
        object.__setattr__(runtime, "own", before)
    assert all("7f3a9c0e51b24d" not in answer.text for answer in shown)
    assert HIDDEN in shown[0].json()["reason"]


def test_a_path_with_a_secret_is_not_repeated(line: Line) -> None:
    """By the 404 of anybody, without a key."""
    for path in (f"/{SECRET}", f"/{LETTERS}", f"/v1/{LETTERS.lower()}", f"/v1/x/{LETTERS}/"):
        answer = line.client.get(path)
        assert answer.status_code == 404
        assert "This path is not served" in answer.text


@pytest.mark.parametrize(
    "words",
    [
        ["keys", "add", "--agent", SECRET, "--team", "red"],
        ["keys", "add", "--agent", "a", "--team", SECRET.upper()],
        ["keys", "add", "--agent", "a", "--team", "red", "--role", SECRET],
        ["workflows", "freeze", "w", "--team", "red", "--reason", f"it was {SECRET}"],
        ["workflows", "freeze", SECRET, "--team", "red"],
        ["workflows", "open", SECRET, "--team", "red"],
        ["workflows", "show", SECRET],
        ["workflows", "show", "w", "--team", SECRET],
        ["workflows", SECRET],
        ["workflows", "show", "w", SECRET, f"--x={SECRET}"],
        ["policy", "new", SECRET],
        ["policy", "explain", "--decision", SECRET],
        ["keys", "revoke", SECRET],
        ["keys", "rotate", SECRET],
        ["usage", "--by", SECRET],
    ],
)
def test_no_command_repeats_or_records_a_secret(
    words: list[str], line: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is pasted in place of a name: the output of commands goes to logs of machines that build."""
    monkeypatch.chdir(tmp_path)
    raw = config(tmp_path, "http://127.0.0.1:9")
    raw["providers"]["up"]["api_key"] = SECRET
    path = tmp_path / "gateway.yaml"
    path.write_text(json.dumps(raw))
    code: Any = 0
    try:
        code = main([*words, "--config", str(path)])
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr()
    assert code == 2
    assert SECRET.lower() not in (told.out + told.err).lower()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("*.db*"))
    assert SECRET.lower().encode() not in stored.lower()
