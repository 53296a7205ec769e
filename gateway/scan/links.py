"""E-mail addresses, and addresses of machines that carry a password.

E-mail is Presidio's, less its fetching of the public suffix list (the one that tldextract brings along serves), plus
quoted local parts and the names that private networks end in.
"""

from __future__ import annotations

from typing import Any, Final

import regex
from tldextract import TLDExtract

from gateway.scan.index import Expression
from gateway.scan.rules import Rule, finder
from gateway.scan.slim import predefined_recognizers

_suffixes: Final = TLDExtract(cache_dir=None, suffix_list_urls=())
_PRIVATE: Final = frozenset(
    {"local", "internal", "intranet", "corp", "lan", "home", "private", "test", "example", "localdomain"}
)
_QUOTED: Final = r"""(?<![\w.@])"[^"\\\n@<>]{1,64}"@(?:[\w-]{1,63}\.){1,8}\w{2,63}\b"""
# What stands before the password of a URL: "pw@host.com" in "ftp://user:pw@host.com" is nobody's address.
_PASSWORD: Final = regex.compile(r"""://[^\s:/@"'<>`]{0,64}:[^\s/@"'<>`]{0,64}$""")
_BEFORE: Final = 140
_URL: Final = r"""\b(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>`]{1,64}:[^\s/@"'<>`]{1,128}@[^\s/:?#"'<>`,;]{1,253}"""
_URL_INDEXED: Final = r"""\b[A-Za-z][A-Za-z0-9+.-]+://[^\s:/@"'<>`]+:[^\s/@"'<>`]+@[^\s/:?#"'<>`,;]+"""


def is_address(text: str) -> bool:
    """Whether the name of a host ends in a public suffix, be it that of an address."""
    return bool(_suffixes(text).fqdn)


def _address(value: str) -> float:
    """1 for an address whose host can exist."""
    private = value.rpartition("@")[2].rpartition(".")[2].lower() in _PRIVATE
    return 1.0 if private or is_address(value) else 0.0


def email_rules() -> list[Rule]:
    """Addresses as Presidio sees them, and those with a quoted local part."""
    recognizer: Any = predefined_recognizers.EmailRecognizer()
    (pattern,) = recognizer.patterns
    flags = recognizer.global_regex_flags
    anywhere = finder(regex.compile(pattern.regex, flags), _address)

    def plain(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = anywhere(text, start, end)
        return [
            (low, high, 0.0 if _PASSWORD.search(text, max(0, low - _BEFORE), low) else score)
            for low, high, score in found
        ]

    quoted = finder(regex.compile(_QUOTED), _address)
    return [
        Rule("EMAIL", recognizer.name, Expression(pattern.regex, flags, needs="@"), plain),
        Rule("EMAIL", recognizer.name, Expression(_QUOTED, needs="@"), quoted),
    ]


def credentials_rule() -> Rule:
    """A URL with user and password, up to its host; less sure than a secret, which says more of the same."""
    expression = Expression(_URL, 0, _URL_INDEXED, _URL_INDEXED, needs="@")
    return Rule("URL_CREDENTIALS", "UrlCredentials", expression, finder(regex.compile(_URL), lambda _: 0.95))
