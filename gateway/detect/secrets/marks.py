"""Keys that begin with a mark of who issued them: `apify_api_V`, `tskey-auth-V`, `acme_token_V`.

Two sources of marks: those that vendors document, and words that say what follows (`api_`, `token_`, `secret-`). The
mark alone says little, as identifiers begin so, too (`call_V`, `run_V` are none): what follows must be drawn at random,
and no word of the mark may say that it is something else (`cache_key_V`).
"""

from __future__ import annotations

import re
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.secrets import assigned, chance

DOCUMENTED: Final = (
    "AKID", "API-", "AQ.Ab", "ATAT", "AstraCS:", "BBDC-", "BSA", "CCIPAT_", "CCIPRJ_", "CFPAT-", "EAAA", "EXO",
    "IGQV", "IGQW", "Mid-server-", "PMAT-", "SB-Mid-server-", "SCW", "SWMKEY-1-", "SWMTKN-1-", "YCAJE", "aio_",
    "api_live.", "api_live_ca.", "api_live_us.", "apify_api_", "apk_", "apk_user_", "bb_live_", "bkua_",
    "cal_live_", "cfat_", "cfk_", "cfut_", "cnvca", "cog_", "csa_", "ctx7sk-", "dvc_client_", "dvc_mobile_",
    "dvc_server_", "e2b_", "endr+", "fc-", "figu_", "gcntfy-", "hcaik_", "hcxik_", "hcxmk_", "ion_", "jina_",
    "keen_", "key_live_", "lip_", "m0-", "mercury_production_", "mlsn.", "napi_", "nfc_", "nfp_", "nyk_", "oy2",
    "pa-", "pat-eu1-", "pat-na1-", "phc_", "phs_", "phx_", "pina_", "pit-", "polar_at_", "polar_oat_", "polar_pat_",
    "prf_", "ramp_sec_", "re_", "rnd_", "rootly_", "rpa_", "rzp_live_", "rzp_test_", "sbv_", "sdk-",
    "secret-token:", "sk-lf-", "sk_", "tskey-", "tss_", "ucat_", "unkey_", "wrka-", "wrkaeu-", "wrkaus-",
    "xkeysib-", "xnd_production_", "xoxc-", "xoxd-", "xoxo-", "xsmtpsib-", "zpka_",
)  # fmt: skip
_TELLING: Final = "api|apikey|key|token|tok|secret|sec|pat|sk|live|production|oauth|auth|refresh|access"
_FEWEST: Final = 20
_LONGEST: Final = 300  # characters of a mark and its key
_BODY: Final = r"[A-Za-z0-9_.+/=|-]"

_MARKS: Final = "|".join(re.escape(mark) for mark in sorted(DOCUMENTED, reverse=True))
_SAID: Final = rf"(?:{_TELLING})[_-]"
_PLAIN: Final = r"[A-Za-z0-9_=-]"

PATTERN: Final = (
    rf"(?<![A-Za-z0-9_-])(?:(?P<mark>{_MARKS})(?P<value>{_BODY}{{{_FEWEST},200}})"
    rf"|(?P<mark>(?:[A-Za-z][A-Za-z0-9]{{1,15}}[_-]){{0,3}}?{_SAID})(?P<value>{_PLAIN}{{{_FEWEST}}}{_BODY}{{0,200}}))"
)
_SHARED: Final = "|".join(
    re.escape(mark) for mark in sorted({mark if ":" in mark else mark[:6] for mark in DOCUMENTED}, reverse=True)
)
# As far as a digit: to go on to the end of the run would cost as much as a third of all other secrets.
# Telling words are many in code: what follows must be long. A longer run than this Hyperscan finds too large.
_RUN: Final = 12
WHOLE: Final = rf"(?:(?:{_SHARED}){_BODY}*[0-9]|{_SAID}{_PLAIN * _RUN})"
BEGUN: Final = r"\x00\x00"
"""Nothing: what `vendors.BEGUN` holds back holds every mark and key."""
BACK: Final = 64
_FOUND: Final = regex.compile(PATTERN)
_ANY_CASE: Final = regex.compile(r"(?i)[0-9a-f]{20,}")


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The keys of marks that begin before `end`."""
    spend(1)
    found = []
    for match in _FOUND.finditer(text, start, min(len(text), end + _LONGEST)):
        if match.start() >= end:
            break
        key = (match.start(), match.start("value") + len(match["value"].rstrip(".")), 1.0)
        found += [(*match.span(), 0.0), *([key] if issued(match) else [])]
    return found


def issued(match: regex.Match[str]) -> bool:
    """Whether what follows a mark is a key."""
    mark, value = match["mark"], match["value"].rstrip(".")
    if not assigned.names_a_secret(mark + "_key") or chance.identifier(value):
        return False
    if assigned.ATTRIBUTES.fullmatch(value) and chance.wordy(value) > assigned.WORDED:
        return False  # a path
    if _ANY_CASE.fullmatch(value):
        return chance.entropy(value.lower()) >= 2.8
    pieces = [piece for piece in re.split(r"[_.=+/|-]", value) if piece]
    longest = max(pieces, key=len)
    return len(longest) >= 12 and chance.random(longest, 12) and not chance.stands_in(value)
