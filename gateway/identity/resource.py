"""The paths `/mcp` as resources of OAuth 2.1: their metadata (RFC 9728), audiences, scopes and challenges (RFC 6750).

Config keys: `server.public_url`, `jwt`, `tools.*.scopes`. Without `public_url` or `jwt` there is no metadata: the name
in `Host` is one that anybody may write, so that an audience made of it would be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.call import Json, Subject
from gateway.config.grammar import Jwt
from gateway.config.tools import Tool
from gateway.errors import Refusal

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
NOT_ENOUGH: Final = "insufficient_scope"
CHALLENGE: Final = b'Bearer realm="meshgate"'
"""What a call without a valid key gets in `WWW-Authenticate`."""


class Resources:
    """The resources of one configuration. A server's name is "" for `/mcp`, which has the tools of all servers."""

    def __init__(self, public_url: str, jwt: Jwt | None, tools: Mapping[str, Tool]) -> None:
        self._base = public_url.rstrip("/") if jwt is not None else ""
        self._issuer = jwt.issuer if jwt is not None else ""
        self._scopes = {name: row.scopes for name, row in tools.items()}

    def audiences(self, server: str) -> tuple[str, ...]:
        """The audiences of tokens for one path, beside `jwt.audience`: its URL, and that of the gateway."""
        return (self._url(server), self._base) if self._base else ()

    def document(self, path: str) -> Json | None:
        """The metadata of the resource at a path ("" for the gateway); None if there is none."""
        server = path.removeprefix("/mcp").removeprefix("/")
        if not self._base or (server and server not in self._scopes):
            return None
        scopes = self._needed(server)
        return {
            "resource": f"{self._base}{path}",
            "authorization_servers": [self._issuer],
            "bearer_methods_supported": ["header"],
            **({"scopes_supported": scopes} if scopes else {}),
        }

    def lacks(self, server: str, subject: Subject | None) -> bool:
        """Whether the token of a caller has not all scopes of a server. A gateway key needs none."""
        needed = self._scopes.get(server)
        if not needed or subject is None or not subject.claims:
            return False
        return not set(needed) <= _granted(subject.claims)

    def challenge(self, server: str, refusal: Refusal, *, given: bool) -> bytes:
        """The value of `WWW-Authenticate`. `given`: the call has a credential."""
        words = [CHALLENGE.decode()]
        if refusal.detail.get("error") == NOT_ENOUGH:
            server = str(refusal.detail["server"])
            words.append(f'error="{NOT_ENOUGH}"')
        elif given and refusal.code == "unauthenticated":
            words.append('error="invalid_token"')
        if scopes := self._needed(server):
            words.append(f'scope="{" ".join(scopes)}"')
        if self._base:
            words.append(f'resource_metadata="{self._base}{WELL_KNOWN}{_path(server)}"')
        return ", ".join(words).encode()

    def _needed(self, server: str) -> list[str]:
        """The scopes of a server, or of all, in the order of the configuration."""
        if server:
            return list(self._scopes.get(server, ()))
        return list(dict.fromkeys(scope for scopes in self._scopes.values() for scope in scopes))

    def _url(self, server: str) -> str:
        return f"{self._base}{_path(server)}"


def _path(server: str) -> str:
    return f"/mcp/{server}" if server else "/mcp"


def _granted(claims: Mapping[str, object]) -> set[str]:
    """The scopes of a token: `scope` (RFC 8693, section 4.2), or `scp` as Entra ID and Okta write them."""
    granted: set[str] = set()
    for name in ("scope", "scp"):
        said = claims.get(name)
        if isinstance(said, str):
            granted.update(said.split())
        elif isinstance(said, list):
            granted.update(scope for scope in said if isinstance(scope, str))
    return granted
