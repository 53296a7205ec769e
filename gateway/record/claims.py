"""What callers say of themselves in headers: recorded, never trusted."""

from __future__ import annotations

import re
from typing import Final

from gateway.call import Headers

# Headers in which clients name the sub-agent that calls, and its parent.
_CLAIMS: Final = {
    b"x-agent-id": "agent",
    b"x-agent-name": "agent",
    b"x-claude-code-agent-id": "agent",
    b"x-parent-agent-id": "parent",
    b"x-claude-code-parent-agent-id": "parent",
}
# Plain names without longer numbers, which may be those of a person; and UUIDs.
_PLAIN: Final = re.compile(
    rb"(?!.*[0-9](?:[-_.:/]?[0-9]){4})[A-Za-z_][A-Za-z0-9_.:/-]{0,63}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


def claimed(headers: Headers) -> dict[str, str]:
    """The names of a sub-agent and of its parent. `?` stands for what is no plain name."""
    found: dict[str, str] = {}
    for name, value in headers:
        if (what := _CLAIMS.get(name)) is not None:
            found.setdefault(what, value.decode("ascii") if _PLAIN.fullmatch(value) else "?")
    return found
