"""Keys after the name of a vendor: `stripe: V`, `heroku_api = V`, `"datadog": "V"`.

The name alone proves little: the value must be long and random, and not an identifier, a date or a path.
"""

from __future__ import annotations

import re
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.secrets import assigned, chance
from gateway.detect.secrets.vendor_names import ANY, BEGINNINGS

_FEWEST: Final = 16
_LONGEST: Final = 290  # characters from the vendor's name to the end of the value
_NAME: Final = r"[A-Za-z0-9_.$\-]"
# A comma between two cells or arguments assigns, too: `setKey("stripe", "V")`; none before an option (`,sha256=...`).
_CELL: Final = r""",(?: ?["'`]{1,2})?(?=[\w.%|+-]+(?![\w=/]))"""
_IS: Final = (
    r"""["'\]]{0,2}[ \t]{0,8}["'`]{0,2}"""
    rf"""(?:(?:[?+.|]?[:=>]{{1,3}}|\|\|)[ \t]{{0,8}}["'`=]{{0,3}}[ \t]{{0,3}}["'`]{{0,2}}|{_CELL})"""
)
_VALUE: Final = r"[A-Za-z0-9_.~+=|%-]"
NOTHING: Final = r"\x00\x00"
"""Two NUL characters: for expressions whose beginnings are held back by another pattern."""
WHOLE: Final = tuple(rf"(?i){beginning}" for beginning in BEGINNINGS)
"""Patterns for the names, as few as Hyperscan needs. To include the text after the name would cost more than it
saves."""
# For any name: an assigned value is held back, or a word that may contain a key (see `marks`). The names themselves
# would take megabytes.
BEGUN: Final = (
    rf"""[A-Za-z_.$-]{_NAME}{_NAME}{_NAME}+["'\]]*[ \t]*["'`]*"""
    r"""(?:[?+.|:=>/]+[ \t]*["'`=]*[ \t]*["'`]*|,(?: ?["'`]+)?)[A-Za-z0-9_.~+=|%/-]+""",
    *([NOTHING] * (len(WHOLE) - 1)),
)
PATTERN: Final = rf"(?i){ANY}{_NAME}{{0,40}}?{_IS}{_VALUE}{{{_FEWEST},200}}"
# Checked first, because in prose hardly any name continues like this.
_GOES_ON: Final = re.compile(rf"{_NAME}{{4,60}}{_IS}{_VALUE}{{{_FEWEST}}}")
_FOUND: Final = regex.compile(
    rf"(?i)(?P<name>{ANY}{_NAME}{{0,40}}+){_IS}(?P<value>{_VALUE}{{{_FEWEST},200}}+)(?![/(@])"
)
_BEFORE: Final = regex.compile(rf"{_NAME}{{0,40}}\Z")
_DIGEST: Final = regex.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128}")


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The key after the name that begins at `start`."""
    spend(1)
    if _GOES_ON.match(text, start) is None:
        return []
    match = _FOUND.match(text, start, min(len(text), end + _LONGEST))
    if match is None:
        return []
    low, high = match.span("value")
    value = match["value"].rstrip(".")
    before = _BEFORE.search(text, max(0, start - 40), start)
    if assigned.names_a_secret((before.group() if before else "") + match["name"]) and _is_key(value):
        return [(start, high, 0.0), (low, low + len(value), 1.0)]
    return [(start, high, 0.0)]


def _is_key(value: str) -> bool:
    if _DIGEST.fullmatch(value) or assigned.DATED.fullmatch(value):
        return False
    if assigned.ATTRIBUTES.fullmatch(value) and chance.wordy(value) > assigned.WORDED:
        return False
    if assigned.UUID.fullmatch(value):
        return True  # some vendors' keys have that form
    return chance.random(value, _FEWEST)
