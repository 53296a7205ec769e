"""E-mail addresses, and URLs that contain a password.

E-mail addresses are found as in Presidio, but with the public suffix list that is part of tldextract instead of a
download, and with quoted local parts and the top-level names of private networks.
"""

from __future__ import annotations

from typing import Final

import regex

from gateway.detect.core.absent import imported
from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Rule, finder
from gateway.detect.personal.presidio import recognizer

with imported("tldextract", without=("requests", "requests_file", "filelock")) as tldextract:  # for downloads
    _suffixes: Final = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    _suffixes("example.org")  # reads the list
_PRIVATE: Final = frozenset(
    {"local", "internal", "intranet", "corp", "lan", "home", "private", "test", "example", "localdomain"}
)
_QUOTED: Final = r"""(?<![\w.@])"[^"\\\n@<>]{1,64}"@(?:[\w-]{1,63}\.){1,8}\w{2,63}\b"""
# The text before the password of a URL: "pw@host.com" in "ftp://user:pw@host.com" is not an e-mail address.
_PASSWORD: Final = regex.compile(r"""://[^\s:/@"'<>`]{0,64}:[^\s/@"'<>`]{0,64}$""")
_BEFORE: Final = 140
_NOBODY: Final = frozenset({"git", "hg", "svn"})  # accounts of version control: git@github.com:a/b.git
_LAST: Final = regex.compile(r"\.([A-Za-z]{2,24})(?:[^\x00-\x7f]\w*|_[\w.-]*)\Z")
_URL: Final = r"""\b(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>`]{1,64}:[^\s/@"'<>`]{1,128}@[^\s/:?#"'<>`,;]{1,253}"""
_URL_INDEXED: Final = r"""\b[A-Za-z][A-Za-z0-9+.-]+://[^\s:/@"'<>`]+:[^\s/@"'<>`]+@[^\s/:?#"'<>`,;]+"""


def is_address(text: str) -> bool:
    """Whether a host name, or the host of an e-mail address, ends in a public suffix."""
    return bool(_suffixes(text).fqdn)


def _address(value: str) -> float:
    """1 for an address whose host can exist and which belongs to a person, otherwise 0."""
    name, _, host = value.rpartition("@")
    if name.rpartition("/")[2].lower() in _NOBODY:
        return 0.0
    return 1.0 if host.rpartition(".")[2].lower() in _PRIVATE or is_address(host) else 0.0


def _judged(text: str, low: int, high: int) -> tuple[int, int, float]:
    """An address as (start, end, score), without letters beyond ASCII and words after an underscore next to its end."""
    value = text[low:high]
    score = _address(value)
    if not score and ("_" in value or not value.isascii()):
        label = _LAST.search(value)
        if label and _address(value[: label.end(1)]):
            return low, low + label.end(1), 1.0
    return low, high, score


def email_rules() -> list[Rule]:
    """The rules for addresses as in Presidio, and for those with a quoted local part."""
    presidio = recognizer("EmailRecognizer")
    (pattern,) = presidio.patterns
    flags = presidio.global_regex_flags
    anywhere = finder(regex.compile(pattern.regex, flags), lambda _: 1.0)

    def plain(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for low, high, _ in anywhere(text, start, end):
            if _PASSWORD.search(text, max(0, low - _BEFORE), low):
                found.append((low, high, 0.0))
                continue
            judged = _judged(text, low, high)
            found += [judged] if judged[1] == high else [(low, high, 0.0), judged]
        return found

    quoted = finder(regex.compile(_QUOTED), _address)
    return [
        Rule("EMAIL", presidio.name, Expression(pattern.regex, flags, needs="@"), plain),
        Rule("EMAIL", presidio.name, Expression(_QUOTED, needs="@"), quoted),
    ]


def credentials_rule() -> Rule:
    """The rule for a URL with user and password, up to its host. A secret is more specific, and scores higher."""
    expression = Expression(_URL, 0, _URL_INDEXED, _URL_INDEXED, needs="@")
    return Rule("URL_CREDENTIALS", "UrlCredentials", expression, finder(regex.compile(_URL), lambda _: 0.95))
