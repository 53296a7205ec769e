"""Keys with a prefix that names the issuer or the kind of value: `apify_api_V`, `tskey-auth-V`, `acme_token_V`.

There are two kinds of prefixes: those of keys that vendors give out (`KNOWN_PREFIXES`), and words that name a secret
(`api_`, `token_`, `secret-`). The prefix alone proves little, because identifiers have prefixes too (`call_V` and
`run_V` are not keys): the value must be random, and no word of the prefix may name something else (`cache_key_V`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.secrets import assigned, chance, vendors

KNOWN_PREFIXES: Final = (
    "AKID", "AKLT", "API-", "AQ.Ab", "ATAT", "ATCTT", "ATOA", "ATSTT", "ATTA", "AVNS_", "AstraCS:", "BBDC-",
    "BSA", "CCDB1_", "CCIPAT_", "CCIPRJ_", "CFPAT-", "EAAA", "EXO", "IGQV", "IGQW", "JDC_", "Mid-server-",
    "NRAA-", "NRRA-", "PMAT-", "SB-Mid-server-", "SCW", "SWMKEY-1-", "SWMTKN-1-", "YCAJE", "ZOHO1000.", "aio_",
    "al-", "api_live.", "api_live_ca.", "api_live_us.", "api_org_", "apify_api_", "apk_", "apk_user_", "bb_live_",
    "bkaj_", "bkat_", "bkct_", "bkpt_", "bkua_", "bws_", "cal_live_", "cfat_", "cfk_", "cfut_", "cio_", "cnvca",
    "cog_", "csa_", "ctx7sk-", "dG9rO", "dbtc_", "dbts_", "dbtu_", "dlk_", "dsp_", "dvc_client_", "dvc_mobile_",
    "dvc_server_", "e2b_", "endr+", "esecret_", "fc-", "figu_", "flp_", "gcntfy-", "hcaik_",
    "hcxik_", "hcxmk_", "hf_oauth_", "ion_", "jina_", "keen_", "key_live_", "lin_wh_", "lip_", "llx-", "lma_",
    "lmb_", "ls__", "lsk_", "m0-", "mdb_sa_sk_", "mercury_production_", "mlsn.", "mtp_", "n8n_api_", "napi_",
    "nbp_", "nfc_", "nfp_", "nyk_", "obu_", "ory_ak_", "ory_apikey_", "ory_at_", "ory_pat_", "ory_rt_", "ory_st_",
    "os_v2_app_", "oy2", "pa-", "pat-eu1-", "pat-na1-", "persona_production_", "persona_sandbox_", "phc_", "phs_",
    "phx_", "pina_", "pit-", "pk_prod_", "polar_at_", "polar_oat_", "polar_pat_", "prf_", "pul-", "ramp_sec_",
    "re_", "retool_", "rk_prod_", "rnd_", "rootly_", "rpa_", "rzp_live_", "rzp_test_", "samsara_api_", "sbv_",
    "sdk-", "sec-c-", "secret-token:", "shpit_", "shptka_", "shpua_", "signkey-prod-", "signkey-test-", "sindri-",
    "sk-helicone-", "sk-lf-", "sk_", "sk_car_", "sk_eu_", "sk_prod_", "sk_sandbox_", "sk_us_", "sktsec_", "tpuf_",
    "tr_dev_", "tr_prod_", "tskey-", "tss_", "ucat_", "unkey_", "vck_", "wandb_v1_", "wrka-", "wrkaeu-",
    "wrkaus-", "xaat-", "xapt-", "xau_", "xkeysib-", "xnd_production_", "xoxc-", "xoxd-", "xoxo-", "xsmtpsib-",
    "y0_", "zpka_",
)  # fmt: skip
"""Prefixes of keys that vendors give out. Not each of them is in the vendor's documentation."""
_TELLING: Final = "api|apikey|key|token|tok|secret|sec|pat|sk|live|production|oauth|auth|refresh|access"
# Prefixes of identifiers, which are not secret: `call_V`, `resp_V`.
_IDENTIFIERS: Final = (
    "acct", "app", "asst", "batch", "blob", "boundary", "cache", "call", "card", "cfile", "ch", "chatcmpl", "cmpl",
    "cntr", "commit", "conv", "cs", "cus", "cust", "data", "digest", "doc", "etag", "event", "evt", "fc", "file",
    "ft", "hash", "id", "ids", "img", "in", "item", "job", "layer", "lib", "ms", "msg", "node", "obj", "org",
    "page", "part", "path", "pi", "plan", "pm", "price", "prod", "proj", "project", "ref", "req", "request", "res",
    "resp", "response", "rev", "rs", "run", "sess", "session", "sha", "sha1", "sha256", "sha384", "sha512", "si",
    "sig", "span", "src", "step", "sub", "tag", "team", "test", "thread", "tool", "toolu", "tooluse", "trace", "ts",
    "txn", "uid", "upload", "user", "usr", "v", "v1", "v2", "v3", "ver", "vs", "vsfb", "ws",
)  # fmt: skip
_FEWEST: Final = 20
_FEWEST_LONG: Final = 12  # after a prefix of at least `_LONG` characters, with which no word begins
_LONG: Final = 6
_FEWEST_ANY: Final = 32  # after an unknown prefix: identifiers are shorter
_LONGEST: Final = 300  # characters of a prefix and its key
_BODY: Final = r"[A-Za-z0-9_.+/=|-]"
_PLAIN: Final = r"[A-Za-z0-9_=-]"
_ALNUM: Final = r"[A-Za-z0-9]"


def _any(marks: Iterable[str]) -> str:
    return "|".join(re.escape(mark) for mark in sorted(marks, reverse=True))


_SAID: Final = rf"(?:{_TELLING})[_-]"
PATTERN: Final = (
    rf"(?<![A-Za-z0-9_-])(?:(?P<mark>{_any(mark for mark in KNOWN_PREFIXES if len(mark) >= _LONG)})"
    rf"(?P<value>{_BODY}{{{_FEWEST_LONG},200}})"
    rf"|(?P<mark>{_any(mark for mark in KNOWN_PREFIXES if len(mark) < _LONG)})(?P<value>{_BODY}{{{_FEWEST},200}})"
    rf"|(?P<mark>(?:[A-Za-z][A-Za-z0-9]{{1,15}}[_-]){{0,3}}?{_SAID})(?P<value>{_PLAIN}{{{_FEWEST}}}{_BODY}{{0,200}}))"
)
_SHARED: Final = _any({mark if ":" in mark else mark[:6] for mark in KNOWN_PREFIXES})
# A match of a known prefix ends at a digit: a match to the end of the run would cost a third of all other secrets.
# Words such as `token_` are frequent in code, so the value must be long; Hyperscan refuses a longer run than this one.
_RUN: Final = 12
WHOLE: Final = rf"(?:(?:{_SHARED}){_BODY}*[0-9]|{_SAID}{_PLAIN * _RUN})"
BEGUN: Final = vendors.NOTHING
"""What `vendors.BEGUN` holds back includes every prefix and key."""
BACK: Final = 64
_FOUND: Final = regex.compile(PATTERN)
_ANY_CASE: Final = regex.compile(r"(?i)[0-9a-f]{20,}")


ANY: Final = rf"[A-Za-z][A-Za-z0-9_-]*_{_ALNUM}{{{_FEWEST_ANY},120}}"
"""A key after an unknown prefix."""
ANY_WHOLE: Final = f"_{_ALNUM * 16}"
_STRANGE: Final = re.compile(rf"_({_ALNUM}{{{_FEWEST_ANY},120}})(?![A-Za-z0-9_+/-])")
_BEFORE: Final = regex.compile(r"(?<![A-Za-z0-9_+/=.-])[A-Za-z][A-Za-z0-9]{1,4}(?:[_-][a-z0-9]{1,10}){0,2}\Z")


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The stretches that were checked (score 0) and the keys (score 1) that begin in [start, end).

    Each is (start, end, score). A key includes its prefix.
    """
    spend(1)
    found = []
    for match in _FOUND.finditer(text, start, min(len(text), end + _LONGEST)):
        if match.start() >= end:
            break
        key = (match.start(), match.start("value") + len(match["value"].rstrip(".")), 1.0)
        found += [(*match.span(), 0.0), *([key] if _issued(match) else [])]
    return found


def _issued(match: regex.Match[str]) -> bool:
    """Whether the value after a prefix is a key."""
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


def find_any(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The same for keys after unknown prefixes; the last character of the prefix is in [start, end).

    The prefix is not part of the key: it may be the end of another word.
    """
    found = []
    for match in _STRANGE.finditer(text, start, min(len(text), end + _LONGEST)):
        if match.start() >= end:
            break
        spend(1)
        mark = _BEFORE.search(text, max(0, match.start() - 36), match.start())
        if mark is not None:
            found.append((mark.start(), match.end(), 0.0))
            if _strange(mark.group(), match[1]):
                found.append((*match.span(1), 1.0))
    return found


def _strange(mark: str, value: str) -> bool:
    """Whether a value after an unknown prefix is a key: clearly random, and neither a digest nor an identifier."""
    if set(_IDENTIFIERS).intersection(re.split("[_-]", mark.lower())) or _ANY_CASE.fullmatch(value):
        return False
    if not assigned.names_a_secret(mark + "_key") or sum(map(str.isdigit, value)) < 3:
        return False
    return chance.random(value) and chance.wordy(value) < assigned.WORDED
