"""Further keys and tokens with a prefix that identifies the issuer: entity, pattern."""

from __future__ import annotations

import re
from typing import Final

_TIMES: Final = re.compile(r"\{(\d+)(?:,\d*)?\}")
_T: Final = r"[A-Za-z0-9_=-]"
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

ISSUED: Final = (
    # The number of an application, and its secret or a token of a user.
    ("SECRET_FACEBOOK_TOKEN", r"\d{15,16}(?:\||%7[cC])[A-Za-z0-9_-]{27,40}"),
    ("SECRET_GITLAB_SESSION", r"_gitlab_session=[a-z0-9]{32}"),
    ("SECRET_ASAAS_TOKEN", r"\$?aact_(?:prod|hmlg)_[A-Za-z0-9_-]{20,}"),
    ("SECRET_SEGMENT_TOKEN", r"sgp_[A-Za-z0-9]{64}"),
    ("SECRET_WAKATIME_KEY", r"waka_[a-z0-9]{8}[a-z0-9-]{24,}"),
    ("SECRET_VAL_TOWN_TOKEN", r"vtwn_[A-Za-z0-9_-]{20,}"),
    ("SECRET_42_SECRET", r"s-s4t2(?:ud|af)-[a-f0-9]{64}"),
    ("SECRET_ADOBE_KEY", r"p8e-[A-Za-z0-9]{32}"),
    ("SECRET_CLICKHOUSE_KEY", r"4b1d[A-Za-z0-9]{38}"),
    ("SECRET_CLOJARS_TOKEN", r"CLOJARS_[A-Za-z0-9]{60}"),
    ("SECRET_DEFINED_NETWORKING_KEY", rf"dnkey-{_T}{{26}}-{_T}{{52}}"),
    ("SECRET_DUFFEL_TOKEN", rf"duffel_(?:test|live)_{_T}{{43}}"),
    ("SECRET_DYNATRACE_TOKEN", r"dt0[a-z]\d{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}"),
    ("SECRET_EASYPOST_KEY", r"EZ[AT]K[A-Za-z0-9]{54}"),
    ("SECRET_FACEBOOK_TOKEN", r"EAA[A-Z][A-Za-z0-9]{90,}"),
    ("SECRET_FLUTTERWAVE_KEY", r"FLW(?:PUB|SEC)K(?:_TEST)?-[A-Za-z0-9]{12,40}(?:-X)?"),
    ("SECRET_FRAMEIO_TOKEN", rf"fio-u-{_T}{{64}}"),
    ("SECRET_HARNESS_TOKEN", r"[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    ("SECRET_INFRACOST_KEY", r"ico-[A-Za-z0-9]{32}"),
    ("SECRET_LOB_KEY", r"(?:live|test)_(?:pub_)?[a-f0-9]{31,35}"),
    ("SECRET_MAPBOX_TOKEN", r"[ps]k\.[A-Za-z0-9_-]{50,120}\.[A-Za-z0-9_-]{22}"),
    ("SECRET_MAXMIND_KEY", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    ("SECRET_OCTOPUS_KEY", r"API-[A-Z0-9]{26}"),
    ("SECRET_PLAID_TOKEN", rf"access-(?:sandbox|development|production)-{_UUID}"),
    ("SECRET_PREFECT_TOKEN", r"pn[ub]_[A-Za-z0-9]{36}"),
    ("SECRET_README_KEY", r"rdme_[A-Za-z0-9]{70}"),
    ("SECRET_SCALINGO_TOKEN", r"tk-us-[A-Za-z0-9_-]{48}"),
    ("SECRET_SETTLEMINT_TOKEN", r"sm_[aps]at_[A-Za-z0-9]{16}"),
    ("SECRET_SONAR_TOKEN", r"sq[upa]_[a-f0-9]{40}"),
    ("SECRET_SOURCEGRAPH_TOKEN", r"sgp_(?:[A-Fa-f0-9]{16}_|local_)?[A-Fa-f0-9]{40}"),
    ("SECRET_SIDEKIQ_CREDENTIALS", r"BUNDLE_(?:ENTERPRISE|GEMS)__CONTRIBSYS__COM\W{1,5}[a-f0-9]{8}:[a-f0-9]{8}"),
    ("SECRET_TABLEAU_TOKEN", r"[A-Za-z0-9+/]{22}==:[A-Za-z0-9]{32}"),
    ("SECRET_TYPEFORM_TOKEN", r"tfp_[A-Za-z0-9_.=-]{59}"),
    ("SECRET_YANDEX_KEY", r"(?:AQVN[A-Za-z0-9_-]{35,38}|t1\.[A-Za-z0-9_-]{1,60}={0,2}\.[A-Za-z0-9_-]{86}={0,2})"),
)


def outline(pattern: str) -> str:
    """The pattern without the counts of its repetitions, which make a pattern large."""
    return _TIMES.sub(lambda times: "*" if times[1] == "0" else "+", pattern)
