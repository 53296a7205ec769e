"""E-mail addresses, and addresses of machines that carry a password.

E-mail is Presidio's, less its fetching of the public suffix list (the one that tldextract brings along serves), plus
quoted local parts and the names that private networks end in.
"""

from __future__ import annotations

from typing import Any, Final

import regex
from tldextract import TLDExtract

from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Rule, finder
from gateway.detect.personal.presidio import predefined_recognizers

_suffixes: Final = TLDExtract(cache_dir=None, suffix_list_urls=())
_PRIVATE: Final = frozenset(
    {"local", "internal", "intranet", "corp", "lan", "home", "private", "test", "example", "localdomain"}
)
_QUOTED: Final = r"""(?<![\w.@])"[^"\\\n@<>]{1,64}"@(?:[\w-]{1,63}\.){1,8}\w{2,63}\b"""
# What stands before the password of a URL: "pw@host.com" in "ftp://user:pw@host.com" is nobody's address.
_PASSWORD: Final = regex.compile(r"""://[^\s:/@"'<>`]{0,64}:[^\s/@"'<>`]{0,64}$""")
_BEFORE: Final = 140
_NOBODY: Final = frozenset({"git", "hg", "svn"})  # accounts of version control: git@github.com:a/b.git
_LAST: Final = regex.compile(r"\.([A-Za-z]{2,24})[^\x00-\x7f]\w*\Z")
_URL: Final = r"""\b(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>`]{1,64}:[^\s/@"'<>`]{1,128}@[^\s/:?#"'<>`,;]{1,253}"""
_URL_INDEXED: Final = r"""\b[A-Za-z][A-Za-z0-9+.-]+://[^\s:/@"'<>`]+:[^\s/@"'<>`]+@[^\s/:?#"'<>`,;]+"""


def is_address(text: str) -> bool:
    """Whether the name of a host ends in a public suffix, be it that of an address."""
    return bool(_suffixes(text).fqdn)


def _address(value: str) -> float:
    """1 for an address whose host can exist, and which is somebody's."""
    name, _, host = value.rpartition("@")
    if name.rpartition("/")[2].lower() in _NOBODY:
        return 0.0
    return 1.0 if host.rpartition(".")[2].lower() in _PRIVATE or is_address(host) else 0.0


def _judged(text: str, low: int, high: int) -> tuple[int, int, float]:
    """An address; letters beyond ASCII that stand next to its end are not its own."""
    value = text[low:high]
    score = _address(value)
    if not score and not value.isascii():
        label = _LAST.search(value)
        if label and _address(value[: label.end(1)]):
            return low, low + label.end(1), 1.0
    return low, high, score


def email_rules() -> list[Rule]:
    """Addresses as Presidio sees them, and those with a quoted local part."""
    recognizer: Any = predefined_recognizers.EmailRecognizer()
    (pattern,) = recognizer.patterns
    flags = recognizer.global_regex_flags
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
        Rule("EMAIL", recognizer.name, Expression(pattern.regex, flags, needs="@"), plain),
        Rule("EMAIL", recognizer.name, Expression(_QUOTED, needs="@"), quoted),
    ]


def credentials_rule() -> Rule:
    """A URL with user and password, up to its host; less sure than a secret, which says more of the same."""
    expression = Expression(_URL, 0, _URL_INDEXED, _URL_INDEXED, needs="@")
    return Rule("URL_CREDENTIALS", "UrlCredentials", expression, finder(regex.compile(_URL), lambda _: 0.95))
