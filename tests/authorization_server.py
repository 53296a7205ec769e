"""An authorization server of OAuth 2.1 on loopback, which refuses what the specifications tell it to refuse.

Endpoints: metadata (RFC 8414), JWKS, authorize (code flow with PKCE S256), token (authorization_code, refresh_token,
which changes with each use, client_credentials, token exchange of RFC 8693) and revoke (RFC 7009). Users agree at once.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec

Form = dict[str, str]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


@dataclass
class Issuer:
    """The server: what it gave out, and what it was asked."""

    url: str = ""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    clients: dict[str, str] = field(default_factory=lambda: {"gateway": "client-secret-1"})
    lifetime: int | None = 300
    asked: list[Form] = field(default_factory=list)
    codes: dict[str, Form] = field(default_factory=dict)
    refreshable: dict[str, Form] = field(default_factory=dict)
    living: dict[str, Form] = field(default_factory=dict)
    """Access tokens that are valid, with what they are for: subject, scope, resource."""
    broken: tuple[int, bytes] | None = None
    """What every token request gets instead of an answer."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Token requests wait until this is set."""
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released by each request."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Members of the metadata that replace the right ones."""

    def token(self, audience: str | list[str], **claims: Any) -> str:
        """A signed token for a caller of the gateway."""
        body = {"iss": self.url, "aud": audience, "exp": int(time.time()) + 3600, "sub": "planner", "team": "red"}
        return pyjwt.encode({**body, **claims}, self.key, "ES256", headers={"kid": "k"})

    def metadata(self) -> dict[str, Any]:
        """RFC 8414."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.changes,
        }

    def jwks(self) -> dict[str, Any]:
        """The public key."""
        made = json.loads(pyjwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**made, "kid": "k", "alg": "ES256", "use": "sig"}]}

    def authorize(self, query: Form) -> str:
        """Where the user's browser is sent after having agreed."""
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] in self.clients
        assert query["state"]
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.url})}"

    def grant(self, form: Form) -> tuple[int, dict[str, Any]]:
        """The answer of the token endpoint."""
        match form.get("grant_type"):
            case "client_credentials":
                return 200, self._made(form, "")
            case "authorization_code":
                asked = self.codes.pop(form.get("code", ""), None)
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if asked is None or proof != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
                    return 400, {"error": "invalid_grant"}
                if form.get("resource") != asked.get("resource"):
                    return 400, {"error": "invalid_target"}
                return 200, self._made({**asked, **form}, "user", refresh=True)
            case "refresh_token":
                kept = self.refreshable.pop(form.get("refresh_token", ""), None)
                if kept is None:
                    return 400, {"error": "invalid_grant"}
                return 200, self._made({**kept, **form}, "user", refresh=True)
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                try:
                    claims = pyjwt.decode(
                        form["subject_token"], self.key.public_key(), ["ES256"], options={"verify_aud": False}
                    )
                except pyjwt.PyJWTError:
                    return 400, {"error": "invalid_request"}
                return 200, {**self._made(form, claims["sub"]), "issued_token_type": JWT_TYPE}
        return 400, {"error": "unsupported_grant_type"}

    def _made(self, form: Form, subject: str, *, refresh: bool = False) -> dict[str, Any]:
        access = f"at-{secrets.token_urlsafe(24)}"
        what = {"subject": subject, "scope": form.get("scope", ""), "resource": form.get("resource", "")}
        self.living[access] = what
        made: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}
        if self.lifetime is not None:
            made["expires_in"] = self.lifetime
        if refresh:
            made["refresh_token"] = f"rt-{secrets.token_urlsafe(24)}"
            self.refreshable[made["refresh_token"]] = form
        return made

    def client(self, header: str, form: Form) -> bool:
        """Whether the client is who it says (client_secret_basic, client_secret_post)."""
        id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if header.startswith("Basic "):
            id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
            id, secret = unquote(id), unquote(secret)
        return id in self.clients and secrets.compare_digest(self.clients[id], secret)


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    """A running authorization server."""
    issuer = Issuer()
    issuer.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            at = urlsplit(self.path)
            match at.path:
                case "/jwks":
                    self._json(200, issuer.jwks())
                case "/.well-known/oauth-authorization-server":
                    self._json(200, issuer.metadata())
                case "/authorize":
                    self.send_response(302)
                    self.send_header("location", issuer.authorize(_flat(at.query)))
                    self.send_header("content-length", "0")
                    self.end_headers()
                case _:
                    self._json(404, {})

        def do_POST(self) -> None:
            form = _flat(self.rfile.read(int(self.headers["content-length"])).decode())
            issuer.asked.append({**form, "at": self.path})
            issuer.arrived.release()
            issuer.gate.wait(10)
            if issuer.broken is not None:
                status, body = issuer.broken
                self._send(status, body)
            elif not issuer.client(self.headers.get("authorization", ""), form):
                self._json(401, {"error": "invalid_client"})
            elif self.path == "/revoke":
                issuer.refreshable.pop(form["token"], None)
                issuer.living.pop(form["token"], None)
                self._send(200, b"")
            else:
                self._json(*issuer.grant(form))

        def _json(self, status: int, said: Any) -> None:
            self._send(status, json.dumps(said).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _flat(query: str) -> Form:
    return {name: values[0] for name, values in parse_qs(query).items()}
