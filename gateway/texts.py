"""The words of texts: where a text stands in a body, and what a scanner found in it. Data only."""

from __future__ import annotations

from typing import Any, NamedTuple


class Nested:
    """JSON inside a string: `holder[key]` is the string, `root` what it parses to, `edited` whether that changed.

    `outer` is the JSON string that this one stands in, if any. With a `prefix` the string is a data: URL that begins
    so, and `root` is `{"text": what it says}`.
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
    """One text position of a body: `text` stands at `holder[key]`, inside `nested` if that is JSON within a string.

    `role` is who wrote it: system, user, assistant, tool, or "" where the format does not say.
    """

    holder: Any
    key: Any
    text: str
    role: str
    nested: Nested | None


class Argument(Slot):
    """A text position in the arguments of a tool call that are an object, at any depth."""

    __slots__ = ()


class Signed(Slot):
    """A text position that the provider has signed: it is judged, and never edited."""

    __slots__ = ()


class Finding(NamedTuple):
    """A stretch of text that a scanner recognised: [start, end) in characters, entity type, score 0 to 1."""

    start: int
    end: int
    entity: str
    score: float


class Share(Finding):
    """What of a finding lies in one text, where the rest lies in texts beside it: content parts of one message.

    `value` is the whole. What stands in its place stands in the `first` text; in the others it is cut out.
    """

    value: str = ""
    first: bool = False


def value_of(text: str, finding: Finding) -> str:
    """The value that was found, of which a text may hold no more than a share."""
    return finding.value if isinstance(finding, Share) else text[finding.start : finding.end]
