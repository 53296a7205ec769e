"""The query of a call in Gemini's dialect: the key of the caller, and the form of a stream.

The query is read here and goes no further: a key in it is treated as the header `x-goog-api-key`.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from gateway.call import Call
from gateway.errors import Refusal

_MOST = 32  # fields


def take(call: Call, query: bytes) -> None:
    """Add the key in a query to the headers of the call, and write the form of its stream. Raises Refusal."""
    try:
        fields = parse_qsl(query.decode("ascii"), max_num_fields=_MOST)
    except ValueError:
        raise Refusal("invalid_request", f"The query must be ASCII, with at most {_MOST} fields.") from None
    keys = [(b"x-goog-api-key", value.encode("utf-8", "replace")) for name, value in fields if name == "key"]
    if keys:
        call.headers = [*call.headers, *keys]
    call.array = ("alt", "sse") not in fields
