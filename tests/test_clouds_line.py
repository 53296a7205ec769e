"""Providers of clouds: Vertex with application default credentials, Bedrock with signatures (SigV4).

The accounts are found by the libraries of the clouds, unmodified; token endpoints and providers are servers on
loopback. Signatures are verified by the text of AWS's documentation, not by the library that made them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import anthropic
import httpx
import jwt
import openai
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai

import upstream as scripted
from gateway.config.load import loads
from gateway.errors import ConfigError
from line import Line, config, running

MODELS = ("echo", "status-401", "script")
VERTEX = {"GOOGLE_CLOUD_PROJECT": "acme-1", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
METADATA = "google.auth.compute_engine._metadata"
SESSION = "session/token=="


class Tokens:
    """A token endpoint, and the metadata server of a machine."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.lifetime = 3600
        self.status = 200
        self.url = ""

    def token(self) -> dict[str, Any]:
        """The next token."""
        return {
            "access_token": f"ya29.{len(self.asked)}",
            "expires_in": self.lifetime,
            "token_type": "Bearer",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
        }


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    made = Tokens()

    class Handler(BaseHTTPRequestHandler):
        def _say(self, value: Any, kind: str = "application/json") -> None:
            data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(made.status)
            self.send_header("content-type", kind)
            self.send_header("metadata-flavor", "Google")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            made.asked.append({key: values[0] for key, values in parse_qs(form).items()})
            self._say(made.token() if made.status == 200 else {"error": "invalid_grant", "error_description": "s3cret"})

        def do_GET(self) -> None:
            if self.path.startswith("/computeMetadata/v1/instance/service-accounts/"):
                if "token" in self.path:
                    made.asked.append({"path": self.path})
                    self._say(made.token())
                else:
                    self._say({"email": "robot@acme.example", "scopes": [], "aliases": ["default"]})
            else:
                self._say("acme-1" if "project" in self.path else "", "text/plain")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def key() -> rsa.RSAPrivateKey:
    """The key of a service account."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account of this machine counts."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "CLOUDSDK_CONFIG": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(f"{METADATA}._NO_GCE_CHECK", True)


def robot(tokens: Tokens, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The file of a service account, named by the environment."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "project_id": "acme-1", "private_key_id": "k1", "private_key": pem}
    account |= {"client_email": "robot@acme.example", "client_id": "1", "token_uri": f"{tokens.url}/token"}
    (folder / "robot.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "robot.json"))


@pytest.fixture
def line(tmp_path: Path, up: scripted.Upstream) -> Iterator[Line]:
    """A gateway before both publishers of Vertex; `either` fails over to a provider with a key."""
    base = up.url.removesuffix("/v1") + "/v1/projects/acme-1/locations/europe-west4"
    made = config(tmp_path, up.url)
    for kind in ("vertex", "vertex-anthropic"):
        made["providers"][kind] = {"kind": kind, "base_url": base, "auth": "google"}
        for name in MODELS:
            made["models"][f"{kind}/{name}"] = {"targets": [f"{kind}/{name}"], "price": {"input": 1, "output": 2}}
    made["models"]["either"] = {"targets": ["vertex/echo", "up/echo"]}
    up.seen.clear()
    up.refuses = _vertex_refuses
    with running(tmp_path, made) as started:
        yield started
    up.refuses = lambda seen: ""


def _vertex_refuses(seen: scripted.Seen) -> str:
    """What Vertex refuses."""
    if "/publishers/anthropic/" not in seen.path:
        return ""
    if seen.body.get("anthropic_version") != "vertex-2023-10-16":
        return "anthropic_version: Field required"
    if "model" in seen.body and "count-tokens" not in seen.path:
        return "model: Extra inputs are not permitted"
    return "" if ("streamRawPredict" in seen.path) == bool(seen.body.get("stream")) else "another path"


@pytest.fixture
def gemini(line: Line) -> Iterator[genai.Client]:
    with genai.Client(api_key="mg-alice", http_options={"base_url": line.url}) as made:
        yield made


@pytest.fixture
def claude(line: Line) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=line.url, api_key="mg-alice", max_retries=0) as made:
        yield made


TEXT = "Write to ann@example.org"
PLACE = "/v1/projects/acme-1/locations/europe-west4/publishers"


def test_gemini_with_a_service_account(
    gemini: genai.Client,
    up: scripted.Upstream,
    tokens: Tokens,
    key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The official client; one token for all calls, asked for with a signed assertion."""
    robot(tokens, key, monkeypatch, tmp_path)
    assert gemini.models.generate_content(model="vertex/echo", contents=TEXT).text == TEXT
    assert up.last.path == f"{PLACE}/google/models/echo:generateContent"
    assert up.last.headers["authorization"] == "Bearer ya29.1"
    assert "x-goog-api-key" not in up.last.headers
    assert "example.org" not in str(up.last.body)
    streamed = gemini.models.generate_content_stream(model="vertex/echo", contents=TEXT)
    assert "".join(chunk.text or "" for chunk in streamed) == TEXT
    assert up.last.path.startswith(f"{PLACE}/google/models/echo:streamGenerateContent")
    assert gemini.models.count_tokens(model="vertex/echo", contents=TEXT).total_tokens == 42
    (asked,) = tokens.asked
    claims = jwt.decode(asked["assertion"], key.public_key(), ["RS256"], audience="https://oauth2.googleapis.com/token")
    assert claims["iss"] == "robot@acme.example"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_claude_with_the_account_of_a_person(
    claude: anthropic.Anthropic,
    up: scripted.Upstream,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The official client; the path names the model and whether the answer is a stream, the body the version."""
    person = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    (tmp_path / "none").mkdir()
    file = tmp_path / "none" / "application_default_credentials.json"
    file.write_text(json.dumps({**person, "token_uri": f"{tokens.url}/token"}))
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{tokens.url}/token")
    ask: Any = {"model": "vertex-anthropic/echo", "max_tokens": 9, "messages": [{"role": "user", "content": TEXT}]}
    said = claude.messages.create(**ask)
    assert [block.text for block in said.content if block.type == "text"] == [TEXT]
    assert up.last.path == f"{PLACE}/anthropic/models/echo:rawPredict"
    assert up.last.headers["authorization"].startswith("Bearer ya29.")
    assert "x-api-key" not in up.last.headers
    assert "example.org" not in str(up.last.body)
    with claude.messages.stream(**ask) as stream:
        assert stream.get_final_text() == TEXT
    assert up.last.path == f"{PLACE}/anthropic/models/echo:streamRawPredict"
    counted = claude.messages.count_tokens(model="vertex-anthropic/echo", messages=ask["messages"])
    assert counted.input_tokens == 42
    assert up.last.path == f"{PLACE}/anthropic/models/count-tokens:rawPredict"
    assert up.last.body["model"] == "echo"
    assert {one["grant_type"] for one in tokens.asked} == {"refresh_token"}


def test_translated(
    line: Line, up: scripted.Upstream, tokens: Tokens, key: rsa.RSAPrivateKey, monkeypatch: Any, tmp_path: Path
) -> None:
    """A chat client on both publishers, whole and streamed."""
    robot(tokens, key, monkeypatch, tmp_path)
    with openai.OpenAI(base_url=f"{line.url}/v1", api_key="mg-alice", max_retries=0) as client:
        for model in ("vertex/echo", "vertex-anthropic/echo"):
            messages: Any = [{"role": "user", "content": TEXT}]
            said = client.chat.completions.create(model=model, messages=messages)
            assert said.choices[0].message.content == TEXT
            stream = client.chat.completions.create(model=model, messages=messages, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == TEXT


def test_the_account_of_the_machine(line: Line, up: scripted.Upstream, tokens: Tokens, monkeypatch: Any) -> None:
    """Its metadata server gives the token; a token that ends soon is renewed before the next call."""
    host = tokens.url.removeprefix("http://")
    monkeypatch.setenv("GCE_METADATA_IP", host)
    monkeypatch.setattr(f"{METADATA}._GCE_METADATA_HOST", host)  # the library reads the environment once, when imported
    monkeypatch.setattr(f"{METADATA}._NO_GCE_CHECK", False)
    tokens.lifetime = 100
    seen = []
    for _ in range(2):
        assert ask(line).status_code == 200
        seen.append(up.last.headers["authorization"])
    assert len(set(seen)) == 2


def ask(line: Line, model: str = "vertex/echo") -> httpx.Response:
    """A call in Gemini's dialect."""
    return line.client.post(f"/v1beta/models/{model}:generateContent", json={"contents": [{"parts": [{"text": "hi"}]}]})


def test_no_account(line: Line, up: scripted.Upstream) -> None:
    """The call is not sent, the caller hears no names of files; another target answers."""
    answer = ask(line)
    assert answer.status_code == 502
    words = "The gateway has no credentials for the provider vertex (DefaultCredentialsError). Tell its operator."
    assert answer.json()["error"]["message"] == words
    assert not up.seen
    assert ask(line, "either").status_code == 200


def test_a_refused_account(
    line: Line, up: scripted.Upstream, tokens: Tokens, key: rsa.RSAPrivateKey, monkeypatch: Any, tmp_path: Path
) -> None:
    """What the token endpoint says stays in the gateway, and the endpoint is not asked for each call."""
    robot(tokens, key, monkeypatch, tmp_path)
    tokens.status = 400
    answers = [ask(line) for _ in range(3)]
    assert {answer.status_code for answer in answers} <= {502}
    assert "s3cret" not in "".join(answer.text for answer in answers)
    assert len(tokens.asked) == 1
    assert not up.seen


def test_an_old_token_serves_while_the_endpoint_fails(
    line: Line, up: scripted.Upstream, tokens: Tokens, key: rsa.RSAPrivateKey, monkeypatch: Any, tmp_path: Path
) -> None:
    """A token is renewed minutes before its end: until then, a fault of the endpoint costs no call."""
    robot(tokens, key, monkeypatch, tmp_path)
    tokens.lifetime = 120
    assert ask(line).status_code == 200
    tokens.status = 503
    monkeypatch.setattr("time.sleep", lambda _: None)  # the library's pauses between attempts
    assert ask(line).status_code == 200
    assert up.last.headers["authorization"] == "Bearer ya29.1"


def test_what_a_publisher_does_not_have(line: Line) -> None:
    """Interactions are of the Gemini API only."""
    body = {"model": "vertex/echo", "input": "hi", "store": False}
    assert line.client.post("/v1beta/interactions", json=body).status_code == 400


# Bedrock


def _verify(seen: scripted.Seen, host: str, service: str, region: str) -> None:
    """Check a signature by AWS's description: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html."""
    scheme, _, rest = seen.headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    stamp = seen.headers["x-amz-date"]
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    assert scheme == "AWS4-HMAC-SHA256"
    assert parts["Credential"] == f"AKIDEXAMPLE/{scope}"
    names = parts["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(names)
    headers = {**seen.headers, "host": host}
    canonical = "\n".join(
        [
            seen.method,
            quote(urlsplit(seen.path).path),
            "",
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            parts["SignedHeaders"],
            hashlib.sha256(seen.raw).hexdigest(),
        ]
    )
    text = "\n".join([scheme, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    secret = f"AWS4{SECRET}".encode()
    for step in scope.split("/"):
        secret = hmac.digest(secret, step.encode(), "sha256")
    assert parts["Signature"] == hmac.digest(secret, text.encode(), "sha256").hex()
    assert seen.headers["x-amz-security-token"] == SESSION


@pytest.fixture
def bedrock(tmp_path: Path, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A gateway before Bedrock, by both of its dialects."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    made = config(tmp_path, up.url)
    root = up.url.removesuffix("/v1")
    made["providers"]["bedrock"] = {"kind": "bedrock", "base_url": f"{root}/openai/v1", "auth": "aws"}
    made["providers"]["mantle"] = {"format": "anthropic", "base_url": f"{root}/anthropic", "auth": "aws"}
    for name in ("bedrock", "mantle"):
        made["models"][f"{name}/echo"] = {"targets": [f"{name}/echo"], "price": {"input": 1, "output": 2}}
    up.seen.clear()
    with running(tmp_path, made) as started:
        yield started


@pytest.mark.parametrize("model", ["bedrock/echo", "mantle/echo"])
def test_signatures(bedrock: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Of the body as it leaves, after redaction; whole and streamed; no key of the caller or of the file is sent."""
    for name, value in {"ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": SECRET, "SESSION_TOKEN": SESSION}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with openai.OpenAI(base_url=f"{bedrock.url}/v1", api_key="mg-alice", max_retries=0) as client:
        said = client.chat.completions.create(model=model, messages=[{"role": "user", "content": TEXT}])
        assert said.choices[0].message.content == TEXT
        _verify(up.last, urlsplit(up.url).netloc, "bedrock", "eu-west-1")
        assert "example.org" not in str(up.last.body)
        stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": TEXT}], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == TEXT
        _verify(up.last, urlsplit(up.url).netloc, "bedrock", "eu-west-1")


def test_no_account_of_aws(bedrock: Line, up: scripted.Upstream) -> None:
    """The call is not sent."""
    body = {"model": "bedrock/echo", "messages": [{"role": "user", "content": "hi"}]}
    answer = bedrock.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 502
    assert "no credentials for the provider bedrock (NoCredentialsError)" in answer.json()["error"]["message"]
    assert not up.seen


def test_services_and_regions_of_hosts() -> None:
    """The host says both, of private endpoints too; else the region is that of the environment."""
    from gateway.upstream.clouds import _HOST

    found = {
        "bedrock-runtime.eu-west-1.amazonaws.com": ("runtime", "eu-west-1"),
        "bedrock-runtime-fips.us-gov-west-1.amazonaws.com": ("runtime", "us-gov-west-1"),
        "bedrock-mantle.us-east-1.api.aws": ("mantle", "us-east-1"),
        "vpce-1a-2b.bedrock-runtime.us-east-2.vpce.amazonaws.com": ("runtime", "us-east-2"),
    }
    for host, expected in found.items():
        match = _HOST.search(host)
        assert match is not None
        assert match.groups() == expected
    assert _HOST.search("notbedrock-runtime.eu-west-1.example") is None


# The file


def loaded(provider: str, env: dict[str, str], name: str = "p") -> Any:
    text = f"providers:\n  {name}: {provider}\nmodels: {{m: {{targets: [{name}/m]}}}}\n"
    return loads(text, "g.yaml", env).config.providers[name]


def mistake(provider: str, env: dict[str, str], name: str = "p") -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(provider, env, name)
    return str(caught.value)


def test_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is enough; mistakes say what to do."""
    base = "-aiplatform.googleapis.com/v1/projects/acme-1/locations"
    assert loaded("{}", VERTEX, "vertex").base_url == f"https://europe-west4{base}/europe-west4"
    here = {**VERTEX, "GOOGLE_CLOUD_LOCATION": "global"}
    assert loaded("{}", here, "vertex-anthropic").base_url == f"https://{base[1:]}/global"
    assert "set the environment variable GOOGLE_CLOUD_PROJECT or ANTHROPIC_VERTEX_PROJECT_ID, or write base_url" in (
        mistake("{}", {"GOOGLE_CLOUD_LOCATION": "global"}, "vertex")
    )
    other = {**VERTEX, "GOOGLE_CLOUD_PROJECT": "a/b"}
    assert "GOOGLE_CLOUD_PROJECT: it is no project" in mistake("{}", other, "vertex")
    foreign = mistake("{base_url: 'https://vertex.example/v1'}", VERTEX, "vertex")
    assert "where no token is sent by itself: write auth: google" in foreign
    assert "leave the key or auth out" in mistake("{api_key: k}", VERTEX, "vertex")
    assert "or auth: aws for the credentials of the machine" in mistake("{}", {"AWS_REGION": "eu-west-1"}, "bedrock")
    signed = loaded("{auth: aws}", {"AWS_REGION": "eu-west-1"}, "bedrock")
    assert (signed.api_key, signed.sent_as) == ("", "aws")
    monkeypatch.setattr("gateway.config.accounts.find_spec", lambda _: None)
    assert "needs a library for auth: aws: .venv/bin/pip install -e '.[aws]'" in (
        mistake("{auth: aws}", {"AWS_REGION": "eu-west-1"}, "bedrock")
    )
    assert "pip install -e '.[google]'" in mistake("{}", VERTEX, "vertex")
