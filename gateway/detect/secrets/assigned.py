"""Secrets after their name: `api_key = "..."`, `--api-token ...`, `<apiToken>...</apiToken>`, "the key is ...".

Such values have no fixed form, so three signs must agree: the name, the way of assignment, and the value itself (see
`chance`). Names that contain a word like `token` but do not name a secret are in `_HARMLESS`.
"""

from __future__ import annotations

from typing import Final

import regex

from gateway.detect.secrets import chance
from gateway.detect.secrets.vendor_names import ANY

# ruff: noqa: S105  (words in patterns, not passwords)

_NAME: Final = r"[A-Za-z0-9_.$\-]"
# The characters of a name. A name is matched from its beginning, so that `next_page_token` is read as a whole.
TOKEN_WORDS: Final = r"(?:key|token|secret|credential|creds|access|auth|bearer)"
PASSWORD_WORDS: Final = (
    r"(?:passw(?:or)?d|passphrase|passwort|pwd|_pass|passe(?= ?[:=])|pass(?=[\"':= ])"
    r"|kennwort|contrase[\u00f1n]a|senha|wachtwoord|heslo|secret)"
)
_QUOTE: Final = r"""(?:\\{0,3}["'`]{1,3})?"""
_CLOSED: Final = r"""(?: ?\\{0,3}["'`]{1,3})?"""  # of a name, also with a blank before
_OPERATOR: Final = r"(?:[=']?>|\||(?<=\S )[-\u2013](?= )|[:?.+|]{0,3}=|:-|:|->|\|\||\?\?|\?:)"
# `: str =` and ` string =`: a type between the name and its value.
_TYPE: Final = r"(?::? ?(?:str|string|String|String\?|&str|text|TEXT|char\*)(?=\s{0,2}[:=]))?"
# Functions that return their argument: `String::from("...")`.
_WRAPPED: Final = (
    r"""(?:(?:String::from|Some|new String|Buffer\.from|atob|Secret(?:Str(?:ing)?)?(?:::new|::from)?)\()?"""
)
_IS: Final = rf"{_CLOSED}\]?{_TYPE}\s{{0,3}}{_OPERATOR}\s{{0,3}}{_WRAPPED}(?:@|[bru]{{1,2}}(?=[\"']))?{_QUOTE}"
_SAID: Final = (
    r"(?: (?:for|of|to) (?:[A-Za-z0-9_.-]{1,16} ){0,3}?| )"
    r"(?:is|are|was|ist|lautet|est|es)(?: now| set to)?:? {1,2}[\"'`]?"
)
_XML: Final = r"""["']?>\s{0,20}"""
_VALUE_OF: Final = r"""["']?(?:,\s{0,20}|\s{1,20}|\s?:\s{0,3}\{\s{0,20})["']?value["']?\s?[=:]\s?["']?"""
_CALL: Final = r"""(?:["'`], ?["'`]|\(\s?[bru]?["'`])"""
_OPTION: Final = rf"(?<=(?:--|(?:env|setenv|setx) )[A-Za-z0-9_-]{{2,40}}) {_QUOTE}"
_TELLS: Final = rf"(?:{_IS}|{_SAID}|{_XML}|{_VALUE_OF}|{_CALL}|{_OPTION})"
# A blank alone assigns only long or quoted values: `token V`, `PASSWORD "V"`.
_BLANK: Final = (
    r"""(?P<blank>[ \t]{1,2}(?:["'`(]"""
    r"""|(?=[A-Za-z_.~+/=|%-]*[0-9][A-Za-z0-9_.~+/=|%-]{6})(?=[A-Za-z0-9_.~+/=|%-]{16})))"""
)
_BLANK_WIDE: Final = r"""[ \t]{1,2}["'`(]?"""
# Matches at least as much, in as few states as possible: a name, an operator or verb, and the signs around it.
_WIDE: Final = (
    r"""[\s"'`\\\]]*(?::? ?(?:string|str|&str|text|char\*)\??\s*)?"""
    r"""(?:[:=>,|?.+-]+|\([ bru]*["'`]|value["'\s]*[=:]"""
    r"""|(?: (?:for|of|to)(?: [A-Za-z0-9_.-]+)+)? (?:is|are|was|ist|lautet|est|es)(?: now| set to)?)"""
    r"""[\s"'`\\:@bru{]*"""
    r"""(?:value["'\s]*[=:][\s"']*|(?:string::from|some|new string|buffer\.from|atob|secret[a-z:]*)\(["']*)?"""
)
_TOKEN: Final = r"[A-Za-z0-9_.~+/=|%-]{10,200}"
_SECRET: Final = r"""(?:[^\s"'`,;<>\\]|\\[^\s"'`,;<>\\nrtu]){6,64}"""

KEYWORD: Final = (
    rf"(?i)(?<![A-Za-z0-9_.$-])(?P<name>{_NAME}{{0,40}}?{TOKEN_WORDS}{_NAME}{{0,20}}?)(?:{_TELLS}|{_BLANK})"
    rf"(?P<value>{_TOKEN})"
)
# Only values that `keyword` and `chosen` may accept, so that prose costs nothing: with a digit, or for a password with
# a sign. Each alternative is complete: Hyperscan searches for literals first only if all alternatives have one.
_RANDOM: Final = r"[A-Za-z_.~+/=|%-]*[0-9][A-Za-z0-9_.~+/=|%-]*"
_MIXED: Final = r"""[A-Za-z_.-]*[^\sA-Za-z_."'`,;<>-][^\s"'`,;<>]*"""
_LONG: Final = r"[A-Za-z_.~+/=|%-]*[0-9][A-Za-z0-9_.~+/=|%-]{6,}"
_OPTION_WIDE: Final = r"""[A-Za-z0-9_-]* [\\"'`]*"""
KEYWORD_WHOLE: Final = (
    rf"(?i)(?:{TOKEN_WORDS}{_NAME}*{_WIDE}{_RANDOM}"
    rf"|(?:--|env |setx )[A-Za-z0-9_-]*{TOKEN_WORDS}{_OPTION_WIDE}{_RANDOM}"
    rf"|{TOKEN_WORDS}{_NAME}*{_BLANK_WIDE}{_LONG})"
)
KEYWORD_BEGUN: Final = rf"(?i){_NAME}*{TOKEN_WORDS}{_NAME}*(?:{_WIDE}|{_BLANK_WIDE})[A-Za-z0-9_.~+/=|%-]{{4,}}"
PASSWORD: Final = (
    rf"(?i)(?<![A-Za-z0-9_.$-])(?P<name>{_NAME}{{0,40}}?{PASSWORD_WORDS}{_NAME}{{0,20}}?)(?:{_TELLS}|{_BLANK})"
    rf"(?P<value>{_SECRET})"
)
_PASSWORD_WIDE: Final = PASSWORD_WORDS.replace(r"passe(?= ?[:=])|pass(?=[\"':= ])", "pass")
_PASSWORD_SHORT: Final = (
    r"(?:pass|pwd|secret|kennwort|contrase|senha|wachtwoord|heslo)"  # the beginnings of all the words
)
PASSWORD_WHOLE: Final = (
    rf"(?i)(?:{_PASSWORD_SHORT}{_NAME}*{_WIDE}{_MIXED}|--[A-Za-z0-9_-]*{_PASSWORD_SHORT}{_OPTION_WIDE}{_MIXED}"
    rf"|{_PASSWORD_SHORT}{_NAME}*[ \t]{{1,2}}[\"'`]{_MIXED})"
)
PASSWORD_BEGUN: Final = rf"""(?i){_NAME}*{_PASSWORD_WIDE}{_NAME}*(?:{_WIDE}|{_BLANK_WIDE})[^\s"'`,;<>]{{4,}}"""
BACK: Final = 41
_VENDOR: Final = regex.compile(ANY, regex.IGNORECASE)

_PARTS: Final = regex.compile(r"\p{Lu}?[a-z]+|\p{Lu}+(?![a-z])|\d+")
_HARMLESS: Final = frozenset(
    [
        "csrf",
        "xsrf",
        "page",
        "next",
        "prev",
        "previous",
        "continuation",
        "cursor",
        "sync",
        "public",
        "pub",
        "primary",
        "foreign",
        "partition",
        "sort",
        "cache",
        "bucket",
        "natural",
        "schema",
        "sequence",
        "hot",
        "idx",
        "index",
        "object",
        "storage",
        "idempotency",
        "dedup",
        "group",
        "routing",
        "lookup",
        "name",
        "names",
        "file",
        "files",
        "path",
        "dir",
        "url",
        "uri",
        "endpoint",
        "type",
        "types",
        "id",
        "ids",
        "len",
        "length",
        "size",
        "count",
        "max",
        "min",
        "num",
        "total",
        "limit",
        "budget",
        "usage",
        "tokens",
        "keys",
        "keyboard",
        "keyword",
        "keywords",
        "code",
        "alias",
        "format",
        "version",
        "algorithm",
        "alg",
        "hash",
        "digest",
        "sha",
        "sha1",
        "sha256",
        "sha512",
        "md5",
        "checksum",
        "integrity",
        "fingerprint",
        "thumbprint",
        "etag",
        "commit",
        "revision",
        "rev",
        "special",
        "pad",
        "eos",
        "bos",
        "unk",
        "sep",
        "cls",
        "mask",
        "mode",
        "author",
        "authors",
        "authority",
        "authentication",
        "accessor",
        "accessibility",
        "accessible",
        "event",
        "down",
        "up",
        "press",
        "pressed",
        "frame",
        "selector",
        "pair",
        "ring",
        "store",
        "vault",
        "tab",
        "board",
        "stone",
        "storetype",
        "signature",
        "location",
        "column",
        "field",
        "prefix",
        "suffix",
        "regex",
        "pattern",
        "expires",
        "expiry",
        "expiration",
        "ttl",
        "policy",
        "rotation",
        "audience",
        "issuer",
        "scope",
        "scopes",
        "class",
        "method",
        "placeholder",
        "label",
        "title",
        "help",
        "message",
        "error",
        "hint",
        "prompt",
        "description",
        "required",
        "optional",
        "anon",
        "publishable",
        "site",
        "captcha",
        "recaptcha",
        "tokenizer",
        "monkey",
        "turkey",
        "donkey",
        "hockey",
        "jockey",
        "key_id",
        "keyid",
        "details",
        "keytool",
        "kid",
        "random",
        "nonce",
    ]
)
_CODE: Final = regex.compile(r"[(){}\[\]]|::|->|^[$%{<*.&#@/\\]|^(?:https?|file|s3|arn|urn|env|vault|ref)[:+]|\.\w+$")
WORDED: Final = -0.3
"""Bits per character (see `chance.wordy`) above which words joined by signs are a path or attributes."""
ATTRIBUTES: Final = regex.compile(r"[A-Za-z_$]\w*(?:[.\-/:][A-Za-z_$][\w$]*)+")
_NO_PASSWORD: Final = regex.compile(
    r"(?i)(?>.*?(?:pass(?:word|wd|phrase)?|pwd|secret|token|user(?:name)?|changeme|example|redacted|string|none|null|true"
    r"|false|undefined|self|this|config|settings|env|getenv|request|input|optional|required)).*+|[x*•._-]+|\d{1,5}|\W+"
)
_PLACE: Final = regex.compile(
    r"v\d+\.\d+\.\d+(?:[-+.]\w+)*(?:/go\.mod)?|/[a-z][\w.+-]*(?:/[\w.+-]{1,40}){2,}"
    r"|[\w.%~+-]+\.(?:deb|rpm|whl|jar|gz|xz|zip|tgz)"
)
_DIGEST: Final = regex.compile(
    r"(?i)0x[0-9a-f]{8,40}|[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128}"
)
_FILE: Final = regex.compile(
    r"\.(?:rs|py|js|ts|css|html?|key|pem|json|toml|go|[ch]|md|txt|xml|ya?ml|crt|asc|gpg|pub)\Z"
)
_KEY_ID: Final = regex.compile(r"(?i)\b(?:gnupg|gpg|pgp|signing|openpgp|public) \Z")
UUID: Final = regex.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATED: Final = regex.compile(
    r"v?\d++(?:[.:/_-]\d++)++[A-Za-z]*\d*|\d+(?:\.\d+)*[a-z]{0,4}|(?i:[a-z]+[-_.])*[a-z]+[-_.]?v?\d[\d.]*"
)


_LAST: Final = frozenset(["password", "passwd", "pwd", "passphrase", "pass", "passwort"])
_WORD_BEFORE: Final = regex.compile(r"(?<![A-Za-z])([A-Za-z]++)[ \t]\Z")


def names_a_secret(name: str) -> bool:
    """Whether no word in a name indicates something else: a page token, a public key, a path."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    return bool(parts) and (parts[-1] in _LAST or _HARMLESS.isdisjoint(parts))


def _names(match: regex.Match[str]) -> bool:
    """Whether the name is that of a secret; if only a blank assigns, the word before the name counts as well."""
    if not names_a_secret(match["name"]):
        return False
    if match["blank"] is None:
        return True
    before = _WORD_BEFORE.search(match.string, max(0, match.start() - 24), match.start())
    return (before is None or before[1].lower() not in _HARMLESS) and chance.wordy(match["value"]) < 0


def _of_a_file(match: regex.Match[str], value: str) -> bool:
    """Whether the value is the digest of a file, or the id of a public key (`GnuPG key: 0x...`)."""
    if _DIGEST.fullmatch(value) is None:
        return False
    before = match.string[max(0, match.start() - 24) : match.start()]
    return before.endswith("/") or _FILE.search(match["name"]) is not None or _KEY_ID.search(before) is not None


def keyword(match: regex.Match[str]) -> bool:
    """True for a random value under the name of a key or token."""
    value = match["value"].rstrip(".,;:!?")
    if not _names(match) or DATED.fullmatch(value) or _PLACE.fullmatch(value) or _of_a_file(match, value):
        return False
    if UUID.fullmatch(value):  # an identifier, unless the name says whose key it is
        return _VENDOR.search(match["name"]) is not None
    if (ATTRIBUTES.fullmatch(value) and chance.wordy(value) > WORDED) or chance.identifier(value):
        return False
    return not match.string.startswith("(", match.end()) and chance.random(value)


def chosen(match: regex.Match[str]) -> bool:
    """True for a value that looks like a chosen password: letters and digits or signs, neither code nor placeholder."""
    value = match["value"]
    if not _names(match) or _CODE.search(value) or _of_a_file(match, value):
        return False
    if match.string[match.start("value") - 1] not in "\"'`" and chance.identifier(value.rstrip(".:!?")):
        return False  # a variable; in quotes it may be a password
    return like_a_password(value, quoted=match.string[match.start("value") - 1 : match.start("value")] in "\"'`=")


def like_a_password(value: str, *, quoted: bool) -> bool:
    """Whether a value has the form of a password; a value in quotes needs less evidence."""
    if _NO_PASSWORD.fullmatch(value) or chance.stands_in(value) or UUID.fullmatch(value):
        return False
    if ATTRIBUTES.fullmatch(value):
        return False
    kinds = sum(bool(regex.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^A-Za-z0-9_.-]"))
    if kinds >= 3 and len(value) >= 8:
        return chance.entropy(value) >= 2.5
    mixed = kinds >= 2 and regex.search(r"\d", value) is not None and not DATED.fullmatch(value)
    return mixed and quoted and chance.entropy(value) >= 2.3
