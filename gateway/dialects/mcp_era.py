"""The era of a request of the Model Context Protocol, and its headers, which must say what the body says."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from gateway.bodies import Headers, Json
from gateway.dialects import mcp_names as names
from gateway.dialects.jsonrpc import PARAMS, Fault

SESSION_ID: Final = b"mcp-session-id"
_ROUTING: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", SESSION_ID)
_VERSION: Final = re.compile(r"[A-Za-z]?[0-9][0-9A-Za-z.-]{0,31}")
_ENCODED: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")


def by_name(headers: Headers) -> Mapping[bytes, bytes]:
    """The first value of each header, by its name."""
    return dict(reversed(headers))


def header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    """The value of a header, decoded if it is in base64 (`=?base64?...?=`); "" without the header."""
    said = headers.get(name)
    if not said:
        return ""
    value = said.decode("latin-1").strip()
    encoded = _ENCODED.fullmatch(value)
    if encoded is None:
        return value
    try:
        return base64.b64decode(encoded[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


def may_have_session(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a message may be one of a session: those of the later era say in a header that they are not."""
    return header(headers, b"mcp-protocol-version") != names.MODERN


def written(value: str) -> str:
    """A value as a header has it: in base64 if it is not plain ASCII."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not _ENCODED.fullmatch(value)
    return value if plain else f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def declared(headers: Headers, named: Mapping[bytes, bytes], method: str, params: Json) -> Json | None:
    """The capabilities that a client of the later era declares with a request; None for the earlier era.

    `named`: the headers by name. Raises Refusal(invalid_request).
    """
    if len(named) != len(headers) and any([name for name, _ in headers].count(one) > 1 for one in _ROUTING):
        raise Fault(names.MISMATCH, "A header of the protocol occurs twice.", status=400)
    meta = params.get(names.META)
    if meta is not None and type(meta) is not dict:
        raise Fault(PARAMS, f"`params.{names.META}` must be an object.", status=400)
    said = meta.get(names.VERSION) if type(meta) is dict else None
    shown = header(named, b"mcp-protocol-version")
    if said is None and shown != names.MODERN:
        if shown and shown not in names.HANDSHAKE and method != "initialize":
            raise _unsupported(shown)
        compare(named, method, params, needed=False)
        return None
    if type(said) is not str or type(meta) is not dict or type(meta.get(names.CAPABILITIES)) is not dict:
        raise Fault(PARAMS, f"`params._meta` must have `{names.VERSION}` and `{names.CAPABILITIES}`.", status=400)
    if said != shown:
        raise Fault(names.MISMATCH, "The header MCP-Protocol-Version differs from the version in the body.", status=400)
    if said != names.MODERN:
        raise _unsupported(said)
    found: Json = meta[names.CAPABILITIES]
    return found


def compare(headers: Mapping[bytes, bytes], method: str, params: Json, *, needed: bool = True) -> None:
    """Compare the headers of a request with its body. Raises Refusal(invalid_request).

    `needed`: they must be there, as in the later era. In the earlier one they have no meaning, but whoever stands
    between client and gateway may go by them, so that they must not say something else there either.
    """
    said = header(headers, b"mcp-method")
    if said != method and (said or needed):
        raise Fault(names.MISMATCH, "The header Mcp-Method differs from the method in the body.", status=400)
    named = header(headers, b"mcp-name")
    # Clients leave the header out of requests about tasks.
    unnamed = not named and (not needed or method in (names.TASK_UPDATE, *names.TASKS))
    if (param := names.NAMED.get(method)) and not unnamed and named != params.get(param):
        raise Fault(names.MISMATCH, f"The header Mcp-Name differs from `params.{param}`.", status=400)


def _unsupported(asked: str) -> Fault:
    data: Json = {"supported": list(names.VERSIONS)}
    if _VERSION.fullmatch(asked):
        data["requested"] = asked
    return Fault(
        names.UNSUPPORTED, f"This version is not served; use one of {', '.join(names.VERSIONS)}.", status=400, data=data
    )
