"""How placeholders are written, by the gateway and by models that repeat them: patterns, and the name of each spelling.

The gateway writes `<PHONE_2>`. Models change case, blanks and brackets, and write the brackets in the notation of the
text: HTML, JSON, a URL. In brackets any spelling counts; without them only `PHONE_2` in capitals, as a separate word.
The caller knows which names have a value.
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
"""The entity of the gateway's own spelling."""
LIKE: Final = "PLACEHOLDER_LIKE"
"""The entity of any other spelling: a weak finding, which yields to all others."""
WRITTEN: Final = r"<[A-Z][A-Z0-9_]*_\d{1,9}>"
"""The gateway's own spelling."""

# More than six digits may be a real number in brackets.
_BLANKS = r"[ \t\u00a0\\]{0,3}"
_NAME = _BLANKS + r"[A-Za-z][A-Za-z0-9_\-\\ \t\u00a0\u2011\u2013]{0,48}[0-9]{1,6}" + _BLANKS
_OPEN = r"(?:\\?<|\{\{|\[|[\uff1c\u2039\u27e8\u3008]|&lt;|&#60;|\\{1,2}u003[cC]|%3[cC])"
# The text of a Markdown link keeps its brackets.
_CLOSE = r"(?:>|\}\}|\](?!\()|[\uff1e\u203a\u27e9\u3009]|&gt;|&#62;|\\{1,2}u003[eE]|%3[eE])"
_BARE = r"(?<![A-Za-z0-9_$])(?<!\$\{)[A-Z][A-Z0-9_\\]{0,48}_[0-9]{1,6}(?![A-Za-z0-9_])"
SPELLINGS: Final = f"{_OPEN}{_NAME}{_CLOSE}|{_BARE}"
"""All other spellings, and the gateway's own up to six digits."""

SPELLED: Final = regex.compile(SPELLINGS)
BARE: Final = re.compile(_BARE)
_EDGES: Final = re.compile(
    r"^(?:&lt;|&#60;|\\{1,2}u003[cC]|%3[cC])|(?:&gt;|&#62;|\\{1,2}u003[eE]|%3[eE])$|[^A-Za-z0-9]+"
)


def name(spelling: str) -> str:
    """The name that all spellings of one placeholder share: `PHONE2`."""
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
    """A value as written inside a JSON string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _plain(value: str) -> str:
    return value


def notation(spelling: str) -> Callable[[str], str]:
    """The function that writes a value in the notation of a placeholder's spelling."""
    if spelling.startswith(("\\u", "\\\\u")):
        return in_json
    if spelling.startswith("%"):
        return lambda value: quote(value, safe="")
    if spelling.startswith("&"):
        return lambda value: html.escape(value, quote=False)
    return _plain
