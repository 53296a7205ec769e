"""Distinguishes random values (keys) from written ones (identifiers, words, placeholders).

Pairs of adjacent letters decide: `_PAIRS` has for each pair how much more often it occurs in identifiers than in random
text, in bits, plus six so that it fits in a digit (computed from identifiers of open-source Python packages).
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Final

import regex

_PAIRS: Final = (
    "36761362634878261878543452", "84438324761833731764711061", "82547338607634841648611040",
    "84469544822644730665632140", "64674553513668454887354642", "73547733900733830756701140",
    "73439257703646640775621032", "93339222723554830647613050", "65766562234769752677450415",
    "82249223704324730081733012", "73449345814645742575645040", "84469332833743840356631051",
    "96449212702564780364611140", "74778583744435750378552032", "55662452535779660866755312",
    "82448235603732860857621160", "41030301500811232542921100", "83559452825565730676542051",
    "63638436706544674379633051", "82539327802443750766623162", "66657552613778470878131202",
    "93539330810335630443212120", "83338336904427820763322220", "64748414701363481359322461",
    "65556442602667590577345144", "84349335812444620334543054",
)  # fmt: skip
_A: Final = ord("a")
_MOVED: Final = 6
_LETTERS: Final = regex.compile(r"\p{Lu}?[a-z]+|[A-Z]+")
_TURNS: Final = regex.compile(
    r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[a-z])"
)
_HEX: Final = regex.compile(r"(?:0x)?(?:[0-9a-f]{16,}|[0-9A-F]{16,})")
_TURN: Final = 1.6  # bits by which a change from letters to digits, or of case, counts as random
_WORDY: Final = 0.55  # bits per character above which a value consists of words

_NAME: Final = regex.compile(r"[$]?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
# Terms with digits in names of code, as separate words: `sha256HashOf`, `SOCKS5_AUTH`, `utf8Bytes2Hex`.
_TERM: Final = regex.compile(
    r"(?i:sha[-_]?(?:1|2|3|224|256|384|512)|md[245]|pkcs_?(?:1|5|7|8|10|11|12)|aes_?(?:128|192|256)|rsa_?(?:1024|2048|4096)"
    r"|(?:ecdsa|nist|secp)?p?_?(?:256|384|521)(?:[kr]1)?|ed_?(?:25519|448)|[xc]_?(?:25519|509)|socks[45]h?|utf_?(?:8|16|32)"
    r"|base_?(?:16|32|36|58|62|64|85)|u?int_?(?:8|16|32|64|128)|[fi]_?(?:32|64)|float_?(?:16|32|64)|oauth_?[12]|http_?[123]"
    r"|ipv[46]|(?:amd|arm|win|x86_?)(?:32|64)|hmac|s3|ec2|k8s|i18n|l10n|a11y|argon2i?d?|blake_?[23][bs]?|chacha20|poly1305"
    r"|salsa20|ntlmv?[12]|snmpv?[123]|tls_?v?1_?[0123]|win32|crc_?(?:16|32|64)|v[1-9]|[24](?=[A-Z]))(?![a-z0-9])"
    r"|(?<=[A-Z_])[0-9](?=_|\Z)"
)
_WORDS_START: Final = regex.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z])|(?<=[a-z])(?=[24][A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_.$]+|\A|\Z"
)

_STAND_INS: Final = regex.compile(
    r"(?i)x{4}|\*{3}|\.{3}|0123456|1234567|abcdef(?!\d)|example|sample|dummy|changeme"
    r"|placeholder|your[_-]?|redacted|replace[_-]?|insert[_-]?|(?<![a-z])(?:test|fake|mock|demo|foo|bar|todo|my)"
    r"(?![a-z])"
)


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def repeats(value: str) -> bool:
    """Whether a token repeats a few characters, and is not a real one: `ghp_xxxx...`, `AKIAXXXX...`."""
    size = len(value)
    run = max((len(same.group()) for same in _SAME.finditer(value)), default=0)
    if size < 8:
        return False
    head = value[:_HEAD]
    for period in range(2, min(_PERIOD, len(head) // 3) + 1):  # `EXAMPLEEXAMPLE...`, `1234567890123...`
        same = sum(one == other for one, other in zip(head, head[period:], strict=False))
        if same >= _ALIKE * (len(head) - period):
            return True
    return len(set(value)) < min(8, size / 3) or run >= max(6, 0.4 * size)


_HEAD: Final = 120  # characters that are searched for repetition
_PERIOD: Final = 12
_ALIKE: Final = 0.8  # of the characters
_SAME: Final = regex.compile(r"(?i)(.)\1+")


def stands_in(value: str) -> bool:
    """Whether a value is clearly not real: an example, a placeholder."""
    return _STAND_INS.search(value) is not None or repeats(value)


def wordy(value: str) -> float:
    """Evidence for words in bits per character; negative for random values."""
    bits = 0.0
    for match in _LETTERS.finditer(value):
        run = match.group().lower()
        bits += sum(int(_PAIRS[ord(a) - _A][ord(b) - _A]) - _MOVED for a, b in pairwise(run))
    return (bits - _TURN * sum(1 for _ in _TURNS.finditer(value))) / len(value)


def identifier(value: str) -> bool:
    """Whether a value is a name in code: words, and digits only in terms such as `sha256` or `SOCKS5`."""
    if not _NAME.fullmatch(value):
        return False
    words: list[str] = []
    at = 0
    for begun in _WORDS_START.finditer(value):
        start = begun.end()
        if start < at:
            continue
        words.append(value[at:start].strip("_.$"))
        term = _TERM.match(value, start)
        at = term.end() if term else start
    words.append(value[at:].strip("_.$"))
    words = [word for word in words if word]
    if any(char.isdigit() for word in words for char in word):
        return False
    letters = "".join(words)
    # Here each change of case is between words, so only the words count.
    return len(letters) >= 4 and sum(wordy(word.lower()) * len(word) for word in words) / len(letters) > 0


def random(value: str, fewest: int = 10) -> bool:
    """Whether a value is random letters and digits: not an identifier, a path, a placeholder or a number."""
    if len(value) < fewest or stands_in(value):
        return False
    if not (regex.search(r"\d", value) and regex.search(r"[A-Za-z]", value)):
        return False
    if _HEX.fullmatch(value):
        return entropy(value) >= 2.8
    return entropy(value) >= (3.2 if len(value) >= 16 else 2.9) and wordy(value) < (_WORDY if len(value) >= 24 else 0.0)
