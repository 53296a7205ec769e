"""Finds URLs in running text, each complete before it leaves, and determines which load automatically.

A URL is found by its separator (`://`, `//`, `javascript:`, also written with entities or backslashes), in any syntax.
From there the text is held until the URL ends, at most `MAX_URL` characters. The text before the URL (`REACH`
characters) distinguishes an image from a link: Markdown, reference definitions, HTML, CSS. Both depend only on the
text, never on how it was cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.urls.judge import MAX_URL

REACH: Final = 512
"""Characters before a URL that determine its syntax."""
_LOOK: Final = 5  # microseconds per possible beginning,
_JUDGED: Final = 60  # and per URL

Judge = Callable[[str, bool], None]
"""(URL as written, whether it loads automatically); raises to stop the text."""

_MAY_START: Final = regex.compile(r"[:/\\&]")
_COLON: Final = r"(?::|&colon;|&#0{0,5}58;?|&#x0{0,5}3a;?)"
_SLASH: Final = r"(?:[/\\]|&b?sol;|&#0{0,5}(?:47|92);?|&#x0{0,5}(?:2f|5c);?)"
_GAP: Final = r"[\t\r\n]{0,4}"
_START: Final = regex.compile(
    rf"(?i){_COLON}{_GAP}{_SLASH}|{_SLASH}{_GAP}{_SLASH}|(?<=https?|javascript|vbscript|data){_COLON}(?=\S)"
)
_ENTITY: Final = r"&[#a-z0-9]{0,9}"
_UNDECIDED: Final = regex.compile(rf"(?i)(?:(?:[:/\\]|{_ENTITY};?){_GAP}|(?:[:/\\]|{_ENTITY};?){_GAP}{_ENTITY})\Z")
_SCHEME: Final = regex.compile(r"(?i)[a-z][a-z0-9+.-]*(?:[\t\r\n]{1,4}[a-z0-9+.-]+)*\\?\Z")
_KNOWN_SCHEME: Final = regex.compile(r"(?i)(?:https?|wss?|ftp|javascript|vbscript|data)\\?\Z")

_TAG: Final = regex.compile(r"<((?>[A-Za-z][\w:-]*\b))[^<>]*+\Z")
_ATTRIBUTE: Final = regex.compile(r"""(?<![\w:-])([\w:-]++)\s*+=\s*+(?:"[^"]*|'[^']*|[^\s"'>]*)\Z""")
_DEFINITION: Final = regex.compile(r"(?m)^[ \t>]*\[[^\]\n]+\]:\s*<?\Z")
_CSS: Final = regex.compile(r"""(?i)(?<![\w.])url\(\s*["']?\Z|@import\s+["']\Z""")

_AFTER: Final = regex.compile(r"""[\s"<>]|\]\(""")
_AFTER_ANGLE: Final = regex.compile(r"[<>\n]")
_AFTER_LISTED: Final = regex.compile(r"""[\s"'<>,]""")
_BRACKETS: Final = regex.compile(r"""[\s"<>()]|\]\(""")
_AFTER_TYPE: Final = regex.compile(r"""[\s"'<>,)]""")  # of a data: URL; what follows is the file itself
_TRAILING: Final = ".,;:!?'`*_)]}|\\\u3001\u3002\uff0c\uff09\u300d\u300f\u3011"


class Links:
    """The finder of one running text. Not for use by several threads at once."""

    __slots__ = ("_before", "_held", "_judge")

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._before = ""
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; returns the text that may leave."""
        if not self._held and not _MAY_START.search(text):
            self._before = (self._before + text)[-REACH:]
            return text
        return self._advance(text, final=False)

    def close(self) -> str:
        """Judge the rest at the end of the text, and return it."""
        return self._advance("", final=True) if self._held else ""

    def _advance(self, text: str, *, final: bool) -> str:
        buffer = self._before + self._held + text
        begin = at = len(self._before)
        while True:
            spend(_LOOK)
            start = _START.search(buffer, at)
            if start is None:
                undecided = None if final else _UNDECIDED.search(buffer, at)
                return self._leave(buffer, begin, undecided.start() if undecided else len(buffer))
            if not final and start.end() == len(buffer):  # an entity may be incomplete
                return self._leave(buffer, begin, start.start())
            end = self._url(buffer, start, final)
            if end < 0:
                return self._leave(buffer, begin, start.start())
            at = end

    def _leave(self, buffer: str, begin: int, cut: int) -> str:
        self._held = buffer[cut:]
        self._before = buffer[max(0, cut - REACH) : cut]
        return buffer[begin:cut]

    def _url(self, buffer: str, start: regex.Match[str], final: bool) -> int:
        """Judge the URL of a separator. Returns the offset at which to continue, or -1 if the URL is not complete."""
        separator = start.start()
        reach = buffer[max(0, separator - REACH) : separator]
        scheme = _SCHEME.search(reach, max(0, len(reach) - 32))
        before = reach[: scheme.start()] if scheme and buffer[separator] not in "/\\" else reach
        name = reach[len(before) :]
        kind, image, ends = _place(before)
        if kind == "text" and not name:
            return start.end()  # `// a comment`, `C:\\`: only a link without a scheme is one
        if name.lower() == "data":
            ends = _AFTER_TYPE
        limit = separator + MAX_URL
        end = _end(buffer, start.end(), limit + 1, ends)
        if end < 0 or end > limit:
            if not final and len(buffer) < limit:
                return -1
            end = min(len(buffer) if end < 0 else end, limit)
        going_on = self._beyond(buffer, end, limit, ends, final)
        if going_on < 0:
            return -1
        url = name + buffer[separator:going_on]
        if kind == "text":
            url = url.rstrip(_TRAILING)
        if kind != "text" or _KNOWN_SCHEME.match(name):
            spend(_JUDGED)
            self._judge(url, image)
        return max(end, start.end())

    def _beyond(self, buffer: str, end: int, limit: int, ends: regex.Pattern[str] | None, final: bool) -> int:
        """The end of a URL that continues after a value that was removed from it; -1 if it is not complete."""
        while end < limit and buffer[end : end + 1] == "<":
            mark = REDACTED.match(buffer, end)
            if mark is None:
                return -1 if not final and _HALF_REDACTED.match(buffer, end) else end
            after = _end(buffer, mark.end(), limit + 1, ends)
            if after < 0 and not final and len(buffer) < limit:
                return -1
            end = min(len(buffer), limit) if after < 0 else after
        return end


def _place(before: str) -> tuple[str, bool, regex.Pattern[str] | None]:
    """The syntax around a URL, whether the URL loads automatically, and what ends it (None: a closing bracket)."""
    angle = before.endswith("<")
    if before.rstrip(" \t\r\n<").endswith("]("):
        return "link", _is_image(before), _AFTER_ANGLE if angle else None
    tag = _TAG.search(before) if "<" in before else None
    if tag is not None and (attribute := _ATTRIBUTE.search(before, tag.start())):
        name, of = attribute[1].lower(), tag[1].lower()
        follows = (name.endswith("href") and of in ("a", "area")) or name in ("action", "formaction", "cite", "xmlns")
        if _CSS.search(before):
            return "link", True, None
        if name in ("srcset", "imagesrcset"):
            return "link", True, _AFTER_LISTED
        quote = before[attribute.end(1) :].lstrip(" \t\r\n=")[:1]
        return "link", not follows, _CLOSING.get(quote, _AFTER)
    if _CSS.search(before):
        return "link", True, None
    if _DEFINITION.search(before):
        return "link", True, _AFTER_ANGLE if angle else _AFTER
    return "text", False, _AFTER_ANGLE if angle else _AFTER


REDACTED: Final = regex.compile(r"<([A-Z][A-Z0-9_]{1,40})>")
"""The text in place of a value that was removed."""
_HALF_REDACTED: Final = regex.compile(r"<(?:[A-Z][A-Z0-9_]{0,40})?\Z")

_CLOSING: Final = {'"': regex.compile(r'["<>]'), "'": regex.compile(r"['<>]")}


def _is_image(before: str) -> bool:
    """Whether the `](` at the end closes an image; also True if its beginning is too far away to decide."""
    opening = before.rfind("![")
    if opening >= 0 and "](" not in before[opening + 2 : -1].rstrip("(< \n"):
        return True
    return "[" not in before


def _end(buffer: str, since: int, until: int, ends: regex.Pattern[str] | None) -> int:
    """The end of a URL that continues from `since`; -1 if it is not before `until`, or not complete."""
    if ends is not None:
        match = ends.search(buffer, since, until)
        return match.start() if match else -1
    depth = 0
    for match in _BRACKETS.finditer(buffer, since, until):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")" and depth:
            depth -= 1
        else:
            return match.start()
    return -1
