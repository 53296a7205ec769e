"""E-mail addresses that are spelled out to hide them: `name [at] example [dot] com`, `name (at) example.com`.

Brackets are required. `name at example dot com` is not found: every word of a stream would be held back until it is
clear that no " at " follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import regex

from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Rule, finder

_AT: Final = r"\s{0,2}[\[({<]\s?(?:at|@)\s?[\])}>]\s{0,2}"
_DOT: Final = r"(?:\s{0,2}[\[({<]\s?(?:dot|\.)\s?[\])}>]\s{0,2})"
_NAME: Final = r"[A-Za-z0-9_.+-]{1,64}"
_LABEL: Final = r"[A-Za-z0-9-]{1,63}"
_SOURCE: Final = rf"\b{_NAME}(?:{_AT}{_LABEL}(?:(?:\.|{_DOT}){_LABEL}){{1,4}}|@{_LABEL}(?:{_DOT}{_LABEL}){{1,4}})\b"
_REST: Final = rf"(?:{_AT}|@)[A-Za-z0-9-]+(?:(?:\.|{_DOT})[A-Za-z0-9-]+)+"
_OUTLINE: Final = rf"[A-Za-z0-9_.+-]+{_REST}"  # a smaller pattern
_BACK: Final = 64  # characters of a name
_SIGNS: Final = regex.compile(rf"(?i)({_AT})|{_DOT}")


def spelled(is_address: Callable[[str], bool]) -> Rule:
    """The rule; `is_address` judges the address after decoding."""

    def judge(value: str) -> float:
        return 1.0 if is_address(_SIGNS.sub(lambda match: "@" if match[1] else ".", value)) else 0.0

    flags = int(regex.IGNORECASE)
    expression = Expression(_SOURCE, flags, _REST, _OUTLINE, back=_BACK)
    return Rule("EMAIL", "spelled", expression, finder(regex.compile(_SOURCE, flags), judge))
