"""How placeholders are written, by us and by models that repeat them: patterns, and what each spelling stands for.

We write `<PHONE_2>`. Models change case, blanks and brackets, and put the brackets in the notation of what they write:
HTML, JSON, a URL. In brackets any spelling counts; without them only `PHONE_2` in capitals does, as a word of its own.
Whether a spelling stands for anything is for the caller of this module to know.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Set
from typing import Final
from urllib.parse import quote

import regex

PLACEHOLDER: Final = "PLACEHOLDER"
"""The entity under which our own spelling is found."""
LIKE: Final = "PLACEHOLDER_LIKE"
"""The entity under which any other is found: a weak finding, all others win against it."""
WRITTEN: Final = r"<[A-Z][A-Z0-9_]*_\d{1,9}>"
"""Our own spelling."""

# A number of more than six digits may be somebody's own number in brackets.
_BLANKS = r"[ \t\u00a0\\]{0,3}"
_NAME = _BLANKS + r"[A-Za-z][A-Za-z0-9_\-\\ \t\u00a0\u2011\u2013]{0,48}[0-9]{1,6}" + _BLANKS
_OPEN = r"(?:\\?<|\{\{|\[|[\uff1c\u2039\u27e8\u3008]|&lt;|&#60;|\\{1,2}u003[cC]|%3[cC])"
# The text of a Markdown link keeps its brackets.
_CLOSE = r"(?:>|\}\}|\](?!\()|[\uff1e\u203a\u27e9\u3009]|&gt;|&#62;|\\{1,2}u003[eE]|%3[eE])"
_BARE = r"(?<![A-Za-z0-9_$])(?<!\$\{)[A-Z][A-Z0-9_\\]{0,48}_[0-9]{1,6}(?![A-Za-z0-9_])"
SPELLINGS: Final = f"{_OPEN}{_NAME}{_CLOSE}|{_BARE}"
"""Every other spelling, and ours as far as six digits go."""

SPELLED: Final = regex.compile(SPELLINGS)
BARE: Final = re.compile(_BARE)
_EDGES: Final = re.compile(
    r"^(?:&lt;|&#60;|\\{1,2}u003[cC]|%3[cC])|(?:&gt;|&#62;|\\{1,2}u003[eE]|%3[eE])$|[^A-Za-z0-9]+"
)


def name(spelling: str) -> str:
    """What all spellings of one placeholder have in common: `PHONE2`."""
    return _EDGES.sub("", spelling).upper()


def is_typed(name: str, types: Set[str]) -> bool:
    """Whether a name (see `name`) is that of a type and a number; `types` are names as well."""
    at = len(name)
    while at > 0 and name[at - 1].isdigit():
        at -= 1
        if name[:at] in types:
            return True
    return False


def in_json(value: str) -> str:
    """A value as it stands inside a JSON string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _plain(value: str) -> str:
    return value


def notation(spelling: str) -> Callable[[str], str]:
    """How a value is written where the placeholder was spelled so."""
    if spelling.startswith(("\\u", "\\\\u")):
        return in_json
    if spelling.startswith("%"):
        return lambda value: quote(value, safe="")
    if spelling.startswith("&"):
        return lambda value: html.escape(value, quote=False)
    return _plain
