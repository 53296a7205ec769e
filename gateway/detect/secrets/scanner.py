"""Secrets: keys, tokens, private keys, passwords in URLs, high-entropy values after a word for a secret.

Config keys: `output.secrets`, `pii.secrets`. Each rule is a pattern; some also check the match (a header that decodes,
entropy). The samples in `tests/scan/test_secrets.py` show what each rule finds and what it ignores: identifiers,
digests, encoded images, code and prose.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import regex

from gateway.detect.core.expressions import compiled
from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Find, GoesOn, Rule, RuleSet
from gateway.detect.secrets import assigned, chance, marks, vendors
from gateway.detect.secrets.issued import ISSUED, outline
from gateway.detect.secrets.notations import NOTATIONS
from gateway.detect.unmask.encoded import from_base64
from gateway.texts import Finding

_B: Final = r"(?<![A-Za-z0-9_-])"  # a key does not start in the middle of a word
_G: Final = (
    r"(?<![A-Za-z0-9])"  # a key whose beginning no name contains may be glued to a name: `user_ghp_V`, `x-AKIAV`
)
_E: Final = r"(?![A-Za-z0-9_-])"
_T: Final = r"[A-Za-z0-9_-]"
_GAP: Final = r"(?:\s|\\[nr])"
_PEM_NAME: Final = r"(?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM: Final = (
    rf"-----BEGIN {_PEM_NAME}{_GAP}{{0,8}}(?:[A-Z][A-Za-z-]{{2,12}}: ?[^\n\\]{{0,80}}{_GAP}{{1,8}}){{0,4}}"
    rf"[A-Za-z0-9+/]{{16,}}(?:{_GAP}{{1,8}}=?[A-Za-z0-9+/]{{4,}})*={{0,2}}(?:{_GAP}{{0,8}}-----END {_PEM_NAME})?"
)
_PEM_OUTLINE: Final = (
    rf"-----BEGIN [A-Z0-9 ]+-----{_GAP}*(?:[A-Za-z-]+: ?[^\n\\]*{_GAP}+)*"
    rf"[A-Za-z0-9+/=]+(?:{_GAP}+[A-Za-z0-9+/=]+)*(?:{_GAP}*-----END [A-Z0-9 ]+-----)?"
)
_PEM_GOES_ON: Final = GoesOn(regex.compile(r"[A-Za-z0-9+/=\s\\:,-]*"), regex.compile(r"-----END [A-Z0-9 ]{0,48}-----"))
_NOT_A_PASSWORD: Final = regex.compile(
    r"(?i)[$%{<*.\[].*|pass(?:word|wd)?|pwd|secret|token|user(?:name)?|changeme|example|redacted|[x*•.]+|\d{1,5}"
    r"|(?:[a-z]\w*\.)*(?:string|str|text|varchar|char|bytes?|any|object|optional|secretstr|none|null|nil)[\])},;:?|=.]*"
    r"|(?:[a-z]\w*\.)*(?:optional|union|annotated|varchar|option|maybe|list|readonly)[\[(<].*"
)
_UUID: Final = regex.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_TELLING: Final = 1.1  # a form that identifies the issuer wins against a name before a value

Judge = Callable[["regex.Match[str]"], bool]


def _jwt(match: regex.Match[str]) -> bool:
    head = match.group().partition(".")[0]
    try:
        header = json.loads(from_base64(head) or b"")
    except ValueError:
        return False
    return isinstance(header, dict) and "alg" in header


def _pair(match: regex.Match[str]) -> bool:
    """True for a name and a password in base64."""
    try:
        said = (from_base64(match["value"]) or b"").decode()
    except UnicodeDecodeError:
        return False
    return ":" in said and said.isprintable()


def _password(match: regex.Match[str]) -> bool:
    return not _NOT_A_PASSWORD.fullmatch(match["value"])


_ENTRY: Final = regex.compile(r"(?i)\b(?:machine\s+\S+|default)\s+\Z")


def _netrc(match: regex.Match[str]) -> bool:
    """True for the password of an entry; without `machine` before it, only if the value looks like a password."""
    value = match["value"].rstrip(".,;:!?)")
    if not _password(match) or _NOT_A_PASSWORD.fullmatch(value):
        return False
    entry = _ENTRY.search(match.string, max(0, match.start() - 300), match.start())
    return entry is not None or assigned.like_a_password(value, quoted=True)


def _random(match: regex.Match[str]) -> bool:
    """True for a random value: not an identifier, a path, a placeholder or a number."""
    value = match["value"].rstrip(".,;:!?")
    return not (_UUID.fullmatch(value) or _NOT_A_PASSWORD.fullmatch(value)) and chance.random(value, 12)


def _mixed(match: regex.Match[str]) -> bool:
    """True for random letters and digits, in a pattern that words joined by underscores would also match."""
    return chance.random(match.group())


def _bot(match: regex.Match[str]) -> bool:
    """True for a bot's number and a random token."""
    return chance.random(match.group().partition(":")[2])


def _numbered(match: regex.Match[str]) -> bool:
    """True for a value with digits after its prefix that does not repeat itself."""
    said = match.group()
    return sum(char.isdigit() for char in said) >= 4 and not chance.repeats(said)


class Secret(NamedTuple):
    """One rule. The group `value`, if there is one, is the secret itself, without the rest of the match.

    `outline` is a simpler pattern that matches at least as much, if the pattern is too large for Hyperscan.
    """

    entity: str
    pattern: str
    judge: Judge | None = None
    outline: str = ""
    goes_on: GoesOn | None = None
    whole: str = ""  # simpler still, to find matches: see `index.Expression`
    back: int = 0
    find: Find | None = None  # in place of pattern and judge


# Quotes are escaped in code or JSON within a JSON string.
_IS: Final = r"""(?:\\?["'])?\s{0,3}(?:[:=]|=>|:=| is )\s{0,3}(?:\\?["'`])?"""

SECRETS: Final[tuple[Secret, ...]] = (
    Secret("SECRET_OPENAI_KEY", rf"(?:{_G}sk-(?:proj|svcacct|admin)-{_T}{{20,}}|{_B}sk-[A-Za-z0-9]{{32,}}){_E}"),
    Secret("SECRET_ANTHROPIC_KEY", rf"{_G}sk-ant-{_T}{{20,}}"),
    Secret("SECRET_OPENROUTER_KEY", rf"{_G}sk-or-v1-[0-9a-f]{{64}}{_E}"),
    Secret("SECRET_GROQ_KEY", rf"{_G}gsk_[A-Za-z0-9]{{40,}}{_E}"),
    Secret("SECRET_XAI_KEY", rf"{_B}xai-{_T}{{60,}}"),
    Secret("SECRET_HUGGINGFACE_TOKEN", rf"{_G}hf_[A-Za-z0-9]{{30,}}{_E}"),
    Secret("SECRET_REPLICATE_TOKEN", rf"{_B}r8_[A-Za-z0-9]{{37}}{_E}"),
    Secret("SECRET_MESHGATE_KEY", rf"{_B}mg-{_T}{{24,}}"),
    Secret("SECRET_GITHUB_TOKEN", rf"{_G}(?:gh[pousr]_[A-Za-z0-9]{{36,}}|github_pat_[A-Za-z0-9_]{{22,}}){_E}"),
    Secret(
        "SECRET_GITLAB_TOKEN",
        rf"{_G}(?:gl(?:pat|ptt|dt|rt|rtr|cbt|oas|ft|ffct|imt|soat|agent)-[A-Za-z0-9_.-]{{20,}}|GR1348941{_T}{{20,}})",
    ),
    Secret(
        "SECRET_SLACK_TOKEN",
        rf"{_G}(?:xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{{16,}}|xapp-\d-[A-Za-z0-9-]{{16,}})",
        _numbered,
    ),
    Secret(
        "SECRET_SLACK_WEBHOOK",
        r"(?<![\w.])(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)"
        r"/(?:[A-Za-z0-9]{6,}/[A-Za-z0-9/]{12,}|[A-Za-z0-9+/]{40,60})",
        None,
        r"(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]+",
    ),
    Secret(
        "SECRET_TEAMS_WEBHOOK",
        r"https://(?:[a-z0-9-]{1,40}\.webhook\.office\.com/webhookb2|outlook\.office(?:365)?\.com/webhook)"
        r"/[A-Za-z0-9@-]{36,80}/IncomingWebhook/[A-Za-z0-9]{16,}/[A-Za-z0-9-]{8,}(?:/[A-Za-z0-9_-]{1,64})?",
        None,
        r"https://[a-z0-9.-]+\.office[0-9]*\.com/webhook[b2]*/[A-Za-z0-9@-]+/IncomingWebhook/[A-Za-z0-9/_-]+",
    ),
    Secret(
        "SECRET_DISCORD_WEBHOOK",
        rf"https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/(?:v\d{{1,2}}/)?webhooks/\d{{17,20}}/{_T}{{60,}}",
    ),
    Secret("SECRET_DISCORD_TOKEN", rf"{_B}[MNO]{_T}{{23,27}}\.{_T}{{6}}\.{_T}{{27,}}"),
    Secret("SECRET_TELEGRAM_TOKEN", rf"{_B}\d{{5,16}}:A{_T}{{34}}{_E}", _bot),
    Secret("SECRET_STRIPE_KEY", rf"{_G}(?:[sr]k_(?:live|test|prod)_[A-Za-z0-9]{{10,}}|whsec_[A-Za-z0-9+/]{{24,}})"),
    Secret("SECRET_SQUARE_TOKEN", rf"{_G}sq0(?:atp|csp|idp)-{_T}{{22,}}"),
    Secret("SECRET_SHOPIFY_TOKEN", rf"{_G}shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{32}}{_E}"),
    Secret("SECRET_TWILIO_KEY", rf"{_B}SK[0-9a-fA-F]{{32}}{_E}"),
    Secret("SECRET_SENDGRID_KEY", rf"{_B}SG\.(?:{_T}{{20,24}}\.{_T}{{40,48}}|[A-Za-z0-9_=.-]{{66}}){_E}"),
    Secret("SECRET_MAILGUN_KEY", rf"{_B}key-[0-9a-f]{{32}}{_E}"),
    Secret("SECRET_AWS_KEY_ID", rf"{_G}(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{{16}}{_E}"),
    Secret(
        "SECRET_AWS_KEY",
        rf"""(?:aws|AWS|Aws)[^\n]{{0,24}}(?:secret|SECRET|Secret|key|KEY|Key){_IS}(?P<value>[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+=])""",
        _random,
    ),
    Secret("SECRET_GOOGLE_KEY", rf"{_G}AIza{_T}{{35}}{_E}"),
    Secret("SECRET_GOOGLE_OAUTH", rf"{_G}(?:GOCSPX-{_T}{{28}}{_E}|ya29\.[A-Za-z0-9_.-]{{20,}})"),
    Secret("SECRET_AZURE_KEY", r"(?:AccountKey|SharedAccessKey)=(?P<value>[A-Za-z0-9+/]{40,88}={0,2})"),
    Secret("SECRET_AZURE_CLIENT", rf"{_B}[A-Za-z0-9_~.-]{{3}}\dQ~[A-Za-z0-9_~.-]{{31,34}}(?![A-Za-z0-9_~-])"),
    Secret("SECRET_AZURE_SAS", r"[?&]sig=(?P<value>[A-Za-z0-9%+/]{40,}={0,2})"),
    Secret("SECRET_DIGITALOCEAN_TOKEN", rf"{_G}do[oprs]_v1_[0-9a-f]{{64}}{_E}"),
    Secret("SECRET_DATABRICKS_TOKEN", rf"{_G}(?:dapi[0-9a-f]{{32}}(?:-\d)?|dose[0-9a-f]{{32}}){_E}"),
    Secret("SECRET_VAULT_TOKEN", rf"{_G}hv[sbr]\.{_T}{{24,}}"),
    Secret("SECRET_LINEAR_KEY", rf"{_G}lin_(?:api|oauth)_[A-Za-z0-9]{{32,}}{_E}"),
    Secret("SECRET_NPM_TOKEN", rf"{_G}npm_[A-Za-z0-9]{{36}}{_E}"),
    Secret("SECRET_PYPI_TOKEN", rf"{_G}pypi-AgE{_T}{{40,}}"),
    Secret("SECRET_PERPLEXITY_KEY", rf"{_G}pplx-[A-Za-z0-9]{{40,}}{_E}"),
    Secret("SECRET_TOGETHER_KEY", rf"{_B}tgp_v1_{_T}{{40,}}"),
    Secret("SECRET_FIREWORKS_KEY", rf"{_B}fw_[A-Za-z0-9]{{22,}}{_E}", _mixed),
    Secret("SECRET_CEREBRAS_KEY", rf"{_B}csk-[a-z0-9]{{40,}}{_E}"),
    Secret("SECRET_NVIDIA_KEY", rf"{_G}nvapi-{_T}{{40,}}"),
    Secret("SECRET_LANGSMITH_KEY", rf"{_G}lsv2_(?:pt|sk)_[0-9a-fA-F]{{32}}_[0-9a-fA-F]{{10}}{_E}"),
    Secret("SECRET_PINECONE_KEY", rf"{_G}pcsk_[A-Za-z0-9]{{4,8}}_[A-Za-z0-9]{{40,}}{_E}"),
    Secret("SECRET_TAVILY_KEY", rf"{_B}tvly-(?:dev-)?[A-Za-z0-9]{{30,}}{_E}"),
    Secret("SECRET_SUPABASE_TOKEN", rf"{_B}sb(?:p|_secret)_{_T}{{30,}}", _mixed),
    Secret(
        "SECRET_GRAFANA_TOKEN", rf"{_G}(?:glsa_[A-Za-z0-9]{{32}}_[0-9a-fA-F]{{8}}{_E}|glc_[A-Za-z0-9+/]{{32,}}={{0,3}})"
    ),
    Secret("SECRET_SENTRY_TOKEN", rf"{_G}sntry[su]_[A-Za-z0-9+/=_]{{40,}}"),
    Secret(
        "SECRET_NEWRELIC_KEY",
        rf"{_B}(?:NRAK-[A-Za-z0-9]{{27}}|NRJS-[a-f0-9]{{19}}|NRI[IQ]-{_T}{{32}}|[0-9a-f]{{36}}(?:FFFF)?NRAL){_E}",
    ),
    Secret("SECRET_NOTION_TOKEN", rf"{_B}ntn_[A-Za-z0-9]{{40,}}{_E}"),
    Secret("SECRET_FIGMA_TOKEN", rf"{_G}figd_{_T}{{38,}}"),
    Secret(
        "SECRET_ATLASSIAN_TOKEN",
        rf"{_G}ATATT3[A-Za-z0-9_=-]{{60,}}|{_G}ATCTT3[A-Za-z0-9_=-]{{60,}}|{_B}ATBB[A-Za-z0-9]{{32}}{_E}",
    ),
    Secret("SECRET_DOCKER_TOKEN", rf"{_G}dckr_(?:pat|oat)_{_T}{{27,}}"),
    Secret("SECRET_AGE_KEY", rf"{_G}AGE-SECRET-KEY-1[0-9A-Z]{{58}}{_E}"),
    Secret("SECRET_POSTMAN_KEY", rf"{_G}PMAK-[0-9a-f]{{24}}-[0-9a-f]{{34}}{_E}"),
    Secret("SECRET_PLANETSCALE_TOKEN", rf"{_B}pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{{32,}}"),
    Secret("SECRET_DOPPLER_TOKEN", rf"{_B}dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{{40,}}"),
    Secret(
        "SECRET_FLY_TOKEN",
        rf"{_B}(?:fo1_{_T}{{43}}{_E}|fm[12][ar]?_[A-Za-z0-9+/]{{80,}}={{0,3}}|FlyV1 [A-Za-z0-9=_,/+-]{{100,}})",
    ),
    Secret("SECRET_VERCEL_TOKEN", rf"{_B}vc[pkair]_{_T}{{24,}}", _mixed),
    Secret("SECRET_CLOUDFLARE_KEY", rf"{_B}v1\.0-[0-9a-f]{{24}}-[0-9a-f]{{100,}}{_E}"),
    Secret(
        "SECRET_1PASSWORD_KEY",
        rf"{_B}(?:A3-[A-Z0-9]{{6}}(?:-[A-Z0-9]{{5,11}}){{4,5}}{_E}|ops_eyJ[A-Za-z0-9+/]{{100,}}={{0,3}})",
    ),
    Secret("SECRET_AIRTABLE_TOKEN", rf"{_B}pat[A-Za-z0-9]{{14}}\.[0-9a-f]{{64}}{_E}"),
    Secret("SECRET_ARTIFACTORY_TOKEN", rf"{_B}(?:AKCp[A-Za-z0-9]{{69}}|cmVmd[A-Za-z0-9]{{59}}){_E}"),
    Secret(
        "SECRET_BEDROCK_KEY", rf"{_B}(?:ABSK[A-Za-z0-9+/]{{100,}}={{0,2}}|bedrock-api-key-[A-Za-z0-9+/]{{40,}}={{0,2}})"
    ),
    Secret("SECRET_ALIBABA_KEY_ID", rf"{_B}LTAI[A-Za-z0-9]{{16,20}}{_E}", _mixed),
    Secret("SECRET_PULUMI_TOKEN", rf"{_B}pul-[0-9a-f]{{40}}{_E}"),
    Secret("SECRET_RUBYGEMS_KEY", rf"{_B}rubygems_[0-9a-f]{{48}}{_E}"),
    Secret("SECRET_TERRAFORM_TOKEN", rf"{_B}[A-Za-z0-9]{{14}}\.atlasv1\.{_T}{{60,70}}{_E}"),
    Secret("SECRET_BREVO_KEY", rf"{_B}xkeysib-[0-9a-f]{{64}}-[A-Za-z0-9]{{16}}{_E}"),
    Secret("SECRET_SHIPPO_TOKEN", rf"{_B}shippo_(?:live|test)_[0-9a-fA-F]{{40}}{_E}"),
    Secret("SECRET_MAILCHIMP_KEY", rf"{_B}[0-9a-f]{{32}}-us\d{{1,2}}{_E}"),
    Secret("SECRET_HEROKU_KEY", rf"{_B}HRKU-AA{_T}{{58}}{_E}"),
    Secret("SECRET_OPENSHIFT_TOKEN", rf"{_B}sha256~{_T}{{43}}{_E}"),
    *(Secret(entity, rf"{_B}{pattern}{_E}", None, outline(pattern)) for entity, pattern in ISSUED),
    Secret("SECRET_VENDOR_KEY", marks.PATTERN, None, marks.BEGUN, whole=marks.WHOLE, back=marks.BACK, find=marks.find),
    Secret("SECRET_VENDOR_KEY", marks.ANY, None, marks.BEGUN, whole=marks.ANY_WHOLE, find=marks.find_any),
    Secret(
        "SECRET_SQL_PASSWORD",
        r"(?i)\b(?:identified (?:with \w{1,24} )?by|with (?:encrypted )?password|set password(?: =)?) "
        r"['\"](?P<value>[^'\"\s]{6,64})['\"]",
        _password,
        r"(?i)(?:identified (?:with \w+ )?by|with (?:encrypted )?password|set password(?: =)?) ['\"][^'\"\s]+['\"]",
    ),
    Secret(
        "SECRET_COMMAND_PASSWORD",
        r"\b(?:mysql(?:dump|admin)?\b[^\n]{0,120}? -p|redis-cli\b[^\n]{0,120}? -a )['\"]?(?P<value>[^\s'\"]{6,64})",
        _password,
        r"(?:mysql[a-z]*[^\n]* -p|redis-cli[^\n]* -a )['\"]?[^\s'\"]+",
    ),
    *(Secret(one.entity, one.pattern, outline=one.begun, whole=one.whole, find=one.find) for one in NOTATIONS),
    Secret("SECRET_JWT", rf"{_G}eyJ{_T}{{8,}}\.eyJ{_T}{{8,}}\.{_T}{{16,}}", _jwt),
    Secret("SECRET_PRIVATE_KEY", _PEM, None, _PEM_OUTLINE, _PEM_GOES_ON),
    Secret(
        "SECRET_CONNECTION_STRING",
        r"""(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>`]{0,64}:(?P<value>[^\s/@"'<>`]{3,128})@[A-Za-z0-9_\[]""",
        _password,
        r"""[A-Za-z][A-Za-z0-9+.-]+://[^\s:/@"'<>`]*:[^\s/@"'<>`]+@[A-Za-z0-9_\[]""",
    ),
    Secret(
        "SECRET_CURL_USER",
        r"""(?i)(?:\bcurl\b[^\n]{0,200}? (?:-u|--user)[ =]?["']?[^\s:"']{1,64}:|\bsshpass -p ?["']?)"""
        r"""(?P<value>[^\s"'@]{4,128})""",
        _password,
        r"""(?i)(?:curl[^\n]* (?:-u|--user)[ =]?["']?[^\s:"']+:|sshpass -p ?["']?)[^\s"'@]+""",
    ),
    Secret(
        "SECRET_NETRC",
        r"(?i)\blogin\s{1,8}\S{1,64}\s{1,8}password\s{1,8}(?P<value>\S{4,128})",
        _netrc,
        r"(?i)login\s+\S+\s+password\s+\S+",
    ),
    Secret(
        "SECRET_PGPASS",
        r"(?m)^(?:[A-Za-z0-9.*-]{1,64}):(?:\d{4,5}|\*):[^\s:]{1,32}:[^\s:]{1,32}:(?P<value>[^\s:]{4,64})$",
        _password,
        r"[A-Za-z0-9.*-]+:(?:\d+|\*):[^\s:]+:[^\s:]+:[^\s:]+",
    ),
    Secret("SECRET_DOCKER_AUTH", r""""auth"\s{0,3}:\s{0,3}"(?P<value>[A-Za-z0-9+/]{12,}={0,2})\"""", _pair),
    Secret(
        "SECRET_BEARER",
        rf"(?i)authorization{_IS}(?:bearer|token|apikey|api-key|key|bot|ssws|oauth|splunk|genie-?key) "
        rf"(?P<value>[A-Za-z0-9._~+/-]{{16,}}=*)",
        _random,
    ),
    Secret("SECRET_BASIC_AUTH", rf"(?i)authorization{_IS}basic (?P<value>[A-Za-z0-9+/]{{12,}}={{0,2}})", _pair),
    Secret(
        "SECRET_KEYWORD",
        assigned.KEYWORD,
        assigned.keyword,
        assigned.KEYWORD_BEGUN,
        whole=assigned.KEYWORD_WHOLE,
        back=assigned.BACK,
    ),
    Secret(
        "SECRET_PASSWORD",
        assigned.PASSWORD,
        assigned.chosen,
        assigned.PASSWORD_BEGUN,
        whole=assigned.PASSWORD_WHOLE,
        back=assigned.BACK,
    ),
    *(
        Secret("SECRET_KEYWORD", vendors.PATTERN, outline=begun, whole=whole, find=vendors.find)
        for whole, begun in zip(vendors.WHOLE, vendors.BEGUN, strict=True)
    ),
)


TYPES: Final = frozenset(secret.entity for secret in SECRETS)
"""The names of all types of secrets; each begins with `SECRET_`."""


def _rule(secret: Secret) -> Rule:
    whole = secret.whole or secret.outline
    expression = Expression(secret.pattern, 0, whole, secret.outline, back=secret.back)
    return Rule(secret.entity, secret.entity, expression, secret.find or _finder(secret), goes_on=secret.goes_on)


def _finder(secret: Secret) -> Find:
    pattern = compiled(secret.pattern)
    score = 1.0 if secret.judge in (assigned.keyword, assigned.chosen) else _TELLING
    group = "value" if "value" in pattern.groupindex else 0

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for match in pattern.finditer(text, start, min(len(text), end + RuleSet.MARGIN)):
            found.append((*match.span(), 0.0))
            if secret.judge(match) if secret.judge else not chance.repeats(match[group]):
                found.append((*match.span(group), score))
        return found

    return find


class SecretScanner:
    """Finds secrets. Immutable, shared between threads; `cache_dir` keeps the compiled patterns."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        self.rules = tuple(map(_rule, SECRETS))
        self._cache_dir = cache_dir

    @cached_property
    def _set(self) -> RuleSet:
        return RuleSet(self.rules, 1.0, self._cache_dir)  # usually the rules are compiled together with others

    def scan(self, text: str) -> list[Finding]:
        """All findings, sorted by place, none overlapping; where two rules agree, the longer match wins."""
        return self._set.scan(text)
