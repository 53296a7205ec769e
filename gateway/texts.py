"""Texts: where a text is in a body, and what a scanner found in the text. Data only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Nested:
    """JSON inside a string: `holder[key]` is the string, `root` its parsed value, `edited`: `root` was changed.

    `outer`: the JSON string that contains this string, if any. With a `prefix`, the string is a data: URL that begins
    with the prefix, or base64 if the prefix is empty, and `root` is `{"text": decoded content}`.
    """

    __slots__ = ("edited", "holder", "key", "outer", "prefix", "root")

    def __init__(self, holder: Any, key: Any, root: Any, outer: Nested | None = None) -> None:
        self.holder = holder
        self.key = key
        self.root = root
        self.outer = outer
        self.prefix: str | None = None
        self.edited = False


class Slot(NamedTuple):
    """A text position of a body: `text` is at `holder[key]`, which is part of `nested` for JSON within a string.

    `role`: the author: system, user, assistant, tool, or "" if the dialect does not say.
    """

    holder: Any
    key: Any
    text: str
    role: str
    nested: Nested | None


class Argument(Slot):
    """A text position at any depth in the arguments of a tool call, if they are an object."""

    __slots__ = ()


class Prompt(Slot):
    """The text of a request that holds only one: never an argument, whatever its field is called."""

    __slots__ = ()


class Signed(Slot):
    """A text position that the provider has signed: judged, but never edited."""

    __slots__ = ()


class Finding(NamedTuple):
    """A part of a text that a scanner recognized: [start, end) in characters, entity type, score from 0 to 1."""

    start: int
    end: int
    entity: str
    score: float


class Share(Finding):
    """The part of a finding that is in one text, if a value extends over several content parts of one message.

    `value`: the whole value. Its replacement is written into the `first` text; the parts in other texts are removed.
    """

    value: str = ""
    first: bool = False


def lead_of(key: object) -> str:
    """The words that are judged before the text under a key, without being part of the text; "" if there are none."""
    lead: str = getattr(key, "lead", "")
    return lead


def after(lead: str, text: str, scan: Callable[[str], Sequence[Finding]]) -> list[Finding]:
    """The findings in a text after the words of `lead`. A minus sign before digits is not part of a value."""
    size = len(lead)
    if text[:1] == "-":
        text, size = text[1:], size - 1
    low = len(lead)
    return [
        one._replace(start=max(one.start, low) - size, end=one.end - size) for one in scan(lead + text) if one.end > low
    ]


def value_of(text: str, finding: Finding) -> str:
    """The value of a finding, of which the text may contain only a `Share`."""
    return finding.value if isinstance(finding, Share) else text[finding.start : finding.end]
