"""Judges whether a URL carries data out, by its own form: the kind and the amount of unusual content.

An image loads automatically, so its threshold is low: encoded text, a long random token, a sentence in the query. A
link needs a click, and links to searches, documents and signed files look similar, so its threshold is higher. Short
values, words in a path, content hashes and UUIDs pass in both. `gateway/output/exfiltration.py` acts on the verdict.
"""

from __future__ import annotations

import base64
import binascii
import html
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_plus

import regex

from gateway.detect.secrets.chance import entropy
from gateway.detect.unmask.encoded import from_base64
from gateway.detect.unmask.lookalikes import HOSTS

MAX_URL: Final = 4096
"""Length from which any URL carries data; also the maximum that is held until a URL is complete."""

_SPACES: Final = regex.compile(r"[\t\r\n]+")
_ESCAPED: Final = regex.compile(r"\\([!-.:-@\[\]^-`{-~])")  # not before a letter, and not in place of a slash
_PARTS: Final = regex.compile(
    r"(?is)(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?[/\\]*(?:(?P<user>[^/\\?#@]*)@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^/\\?#:@]*)(?::\d*)?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:\#(?P<fragment>.*))?"
)
_HEX: Final = regex.compile(r"(?i)(?:0x)?(?:[0-9a-f]{2})+")
_BASE64: Final = regex.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_BASE32: Final = regex.compile(r"(?:[A-Z2-7]+|[a-z2-7]+)={0,6}")
_SEVERAL, _PIECE = 3, 12  # minimum number, and maximum length, of short pieces that are read as one value
_UUID: Final = regex.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKENS: Final = regex.compile(r"[^/\\&=;,.:!@()'|\s]+")
_PIECES: Final = regex.compile(r"\p{Lu}?\p{Ll}+|\p{Lu}+|\d+")
_JOINTS: Final = regex.compile(r"[-_.~+]")
_ORDINARY: Final = regex.compile(r"[0-9]{1,24}|(?i:[0-9a-f]{1,64})|[A-Za-z]?[a-z]{1,23}[0-9]{0,4}|[A-Z]{1,12}")
_SIZES: Final = regex.compile(r"(?i)[\d.,x%]+|[a-z]{1,12}")  # width=1200, fit=crop
_TEMPLATE: Final = regex.compile(r"[{}$<>*]|%[sd](?![0-9a-fA-F])|\.\.\.|…|(?i:your|example|placeholder|token_here)")
_BLANK: Final = regex.compile(r"[{}$<>*\[\]]")
_SCRIPT_CALL: Final = regex.compile(r"(?i)://|cookie|location|fetch|import|eval|storage|xmlhttp|beacon|\.src")
_ACTIVE_DATA: Final = regex.compile(r"(?i)\s*(?:text/html|application/(?:xhtml|javascript)|text/(?:xml|javascript))")
# Services that show their owner the requests they receive.
_COLLECTORS: Final = regex.compile(
    r"(?:.+\.)?(?:webhook\.site|requestbin\.(?:com|net)|requestcatcher\.com|pipedream\.net|beeceptor\.com|hookbin\.com"
    r"|burpcollaborator\.net|oastify\.com|oast\.(?:pro|live|site|online|fun|me)|interact\.sh|interactsh\.com"
    r"|canarytokens\.(?:com|org)|dnslog\.cn|ceye\.io|ngrok(?:-free)?\.(?:io|app|dev)|loca\.lt|trycloudflare\.com"
    r"|grabify\.link|iplogger\.(?:org|com)|ptsv[23]\.com|postb\.in|xss\.ht|requestinspector\.com)"
)
_ALIKE: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")


class Url(NamedTuple):
    """The parts of a URL as a browser reads it: entities, tabs and backslashes undone. `host` is in lower case."""

    scheme: str
    user: str
    host: str
    path: str
    query: str
    fragment: str
    written: str = ""  # the host in its original case, which Base64 needs

    @property
    def payload(self) -> str:
        """Everything after the host, percent-decoded."""
        return unquote_plus("\n".join((unquote(self.user), unquote(self.path), self.query, self.fragment)))


def parse(text: str) -> Url:
    """A URL as written, in Markdown or HTML -> its parts."""
    plain = _SPACES.sub("", html.unescape(text) if "&" in text else text).strip()
    if "\\" in plain:
        plain = _ESCAPED.sub(r"\1", plain)
    match = _PARTS.match(plain)
    assert match is not None  # the pattern always matches, because every part may be empty
    scheme, user, host, path, query, fragment = (part or "" for part in match.groups())
    written = unicodedata.normalize("NFKC", unquote(host)).rstrip(".")
    return Url(scheme.lower(), user, written.lower(), path, query, fragment, written)


def carries(url: Url, *, image: bool) -> str:
    """Why the URL counts as carrying data out, in a few words without the data; "" if it does not."""
    if image:
        url = url._replace(fragment="")  # browsers do not send the fragment, but a page that is opened can read it
    if url.scheme in ("javascript", "vbscript"):
        script = f"{url.host}{url.path}{url.query}"
        return "it is a script" if _SCRIPT_CALL.search(script) else ""
    if url.scheme == "data":
        return "it is a page of its own" if _ACTIVE_DATA.match(url.host + url.path) else ""
    return _host(url, image=image) or _user(url, image=image) or _payload(url, image=image)


def decoded(token: str) -> str:
    """The text that a token encodes in hex, Base64 or Base32; "" if there is none."""
    plain = token.strip("\"'")
    for form, least, decode in (
        (_HEX, 12, _from_hex),
        (_BASE32, 16, _from_base32),
        (_BASE64, 8, _from_base64),
    ):
        if len(plain) >= least and form.fullmatch(plain):
            try:
                said = decode(plain).decode()
            except (binascii.Error, ValueError):
                continue
            if _is_text(said):
                return said
    return ""


def _from_hex(token: str) -> bytes:
    return bytes.fromhex(token.lower().removeprefix("0x"))


def _from_base32(token: str) -> bytes:
    bare = token.rstrip("=").upper()
    return base64.b32decode(bare + "=" * (-len(bare) % 8))


def _from_base64(token: str) -> bytes:
    return from_base64(token) or b""


def _is_text(said: str) -> bool:
    """Whether characters are a text: random bytes may be printable, but are hardly ever words."""
    if len(said) < 6 or not all(char.isprintable() or char in "\t\r\n" for char in said):
        return False
    usual = sum(char.isascii() and (char.isalnum() or char in " @.:,-_/") for char in said)
    return usual >= 0.8 * len(said)


def _host(url: Url, *, image: bool) -> str:
    labels = url.host.split(".")
    for label in labels:
        if _disguised(label):
            return "its host is written in look-alike letters"
    if _COLLECTORS.fullmatch(url.host) and (image or len(url.payload.strip("/\n")) >= 8):
        return "its host collects what is sent to it"
    below = url.written.split(".")[:-2]
    joined = "".join(below)
    if any(len(label) >= 12 and _said(label, 8) for label in (*below, *labels[:-2], joined)):
        return "its host name holds encoded text"
    if len(joined) >= (28 if image else 40) and _is_random(joined) and not _UUID.search(url.host):
        return "its host name holds a long random part"
    return ""


def _disguised(label: str) -> bool:
    """Whether a label imitates another: with letters of two alphabets, or only of look-alikes."""
    if label.startswith("xn--"):
        try:
            label = label[4:].encode().decode("punycode")
        except ValueError:
            return False
    if label.isascii():
        return False
    letters = [char for char in label if char.isalpha()]
    latin = any(char.isascii() for char in letters)
    foreign = any(unicodedata.name(char, "").startswith(_ALIKE) for char in letters)
    return foreign and (latin or all(char in HOSTS for char in letters))


def _user(url: Url, *, image: bool) -> str:
    if not url.user or _BLANK.search(url.user):
        return ""
    name = unquote(url.user).partition(":")[0]
    if "@" not in name and ("." in name or "/" in name):
        return "a user name in front of its host passes for a host"
    if image:
        return "an image has a user name in front of its host"
    if any(_said(part, 8) for part in unquote(url.user).split(":")):
        return "the user name in front of its host holds encoded text"
    return "the user name in front of its host is long and random" if len(name) >= 24 and _is_random(name) else ""


def _payload(url: Url, *, image: bool) -> str:
    """The path, the query and the fragment."""
    whole = url.payload
    if len(whole) > (600 if image else 2000):
        return "it is very long"
    random = 0
    for token in tokens(url):
        if len(token) < 8:
            continue
        if _said(token, 6 if image else 10):
            return "it holds encoded text"
        if len(token) >= 32 and _is_random(token):
            random += len(token)
    if random >= (32 if image else 80):
        return "it holds a long random value"
    if any(_said("".join(pieces), 6 if image else 10) for pieces in _series(url)):
        return "its parts together hold encoded text"
    said = sum(len(value) for value in _values(url) if len(value) > 8 and not _SIZES.fullmatch(value))
    if said >= (32 if image else 500):
        return "its query holds a long text"
    return ""


def tokens(url: Url) -> Iterator[str]:
    """The pieces that may be values, percent-decoded; dotted names are split."""
    for part in (url.path, url.query, url.fragment):
        plain = unquote(unquote(part)) if "%" in part else part
        yield from _TOKENS.findall(plain)
        # `/`, `+` and `=` may be part of Base64.
        for value in regex.split(r"[&?;]", plain):
            name, _, after = value.partition("=")
            if "/" in after or after.endswith("="):
                yield after.replace(" ", "+")
            elif not after and "+" in name:
                yield name


def _values(url: Url) -> Iterator[str]:
    for part in (url.query, url.fragment):
        for pair in regex.split(r"[&;]", part):
            name, equals, value = pair.partition("=")
            plain = unquote_plus(value if equals else name)
            if not _TEMPLATE.search(plain):
                yield plain


def _series(url: Url) -> Iterator[list[str]]:
    """Series of short pieces that may be one value: those of the query, and the segments of the path."""
    for pieces in ([unquote(one.partition("=")[2]) for one in regex.split(r"[&;]", url.query)], url.path.split("/")):
        short = [piece for piece in pieces if piece]
        if len(short) >= _SEVERAL and all(len(piece) <= _PIECE for piece in short):
            yield short


def _said(token: str, least: int) -> bool:
    said = decoded(token)
    return len(said) >= least


def _is_random(token: str) -> bool:
    """Whether a token looks random or encrypted: not a digest, an id in hex, or joined words."""
    bare = token.strip("=")
    if _UUID.search(bare) or _TEMPLATE.search(bare):
        return False
    rest = "".join(part for part in _JOINTS.split(bare) if not _ORDINARY.fullmatch(part))
    if 2 * len(rest) < len(bare):
        return False
    pieces = _PIECES.findall(rest)
    words = sum(len(piece) for piece in pieces if len(piece) >= 4 and piece[-1].isalpha())
    return bool(pieces) and words < 0.35 * len(rest) and entropy(rest) >= 3.2
