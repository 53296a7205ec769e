"""Claims of a token by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The value of a claim, by its name or by a dotted path (`realm_access.roles`); None if there is none."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
