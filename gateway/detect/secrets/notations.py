"""Secrets without a name directly before them: arguments of calls and commands, defaults of Terraform, Kubernetes.

The index searches for the beginning of such a notation (`whole`), which takes very little memory; the rest is read
here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import regex

from gateway.detect.secrets import assigned, chance
from gateway.detect.unmask.encoded import from_base64

_LONGEST: Final = 600  # characters of a notation


class Notation(NamedTuple):
    """How secrets are written. `whole` matches the beginning, `begun` at least all of it; `value` may occur repeatedly.

    The arguments of `judge` are the value and its name, if there is one.
    """

    entity: str
    pattern: str
    whole: str
    begun: str
    judge: Callable[[str, str], bool]

    def find(self, text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        """The secrets of notations that begin in [start, end)."""
        found = []
        for match in _compiled(self.pattern).finditer(text, start, min(len(text), end + _LONGEST)):
            if match.start() >= end:
                break
            found.append((*match.span(), 0.0))
            name = match.groupdict().get("name") or ""
            found += [(*span, 1.0) for span in match.spans("value") if self.judge(text[slice(*span)], name)]
        return found


def _compiled(pattern: str) -> regex.Pattern[str]:
    return _PATTERNS[pattern]


def _password(value: str, _: str) -> bool:
    return assigned.like_a_password(value, quoted=True)


def _default(value: str, name: str) -> bool:
    """True for a key or password that is the default of a variable whose name is that of a secret."""
    return assigned.names_a_secret(name) and (chance.random(value) or assigned.like_a_password(value, quoted=True))


def _entry(value: str, _: str) -> bool:
    """True for base64 of printable text that is not a placeholder."""
    try:
        said = (from_base64(value) or b"").decode() if len(value) % 4 == 0 else ""
    except UnicodeDecodeError:
        return False
    return (
        len(said) >= 6 and said.isprintable() and not chance.stands_in(said) and assigned.UUID.fullmatch(said) is None
    )


_QUOTED: Final = r"""(?:["'][^"'\n]{1,80}["']|[A-Za-z_][\w.]{0,40})"""
_WORD: Final = r"""[^\s"'`,;<>\\]{6,64}"""
_TELLING: Final = r"(?:passw|pwd|secret|token|key|credential)"
_CALLED: Final = r"(?:auth(?: ?= ?)?|basicauth|basic_auth|credentials?(?:\.basic)?|login|passwordcredentials?)\("
_COMMANDS: Final = (
    r"(?:(?:docker|podman|helm|oc|az|cf) login|mongo(?:sh|dump|restore|import|export)|sqlcmd|ldap[a-z]+) "
)
_BEFORE: Final = (
    r"""(?:requirepass |masterauth |ConvertTo-SecureString (?:-String )?|net user \S+ |USERPWD['"]?, ?['"][^:'"\s]+:)"""
)

NOTATIONS: Final = (
    Notation(  # auth=("bob", "..."), HTTPBasicAuth("bob", "..."), SetBasicAuth(user, "..."), login("bob", "...")
        "SECRET_PASSWORD",
        rf"""(?i){_CALLED}\s{{0,8}}{_QUOTED},\s{{0,8}}(?:[a-z]{{1,12}}\()?["'](?P<value>{_WORD})["']""",
        rf"(?i){_CALLED}",
        rf"""(?i){_CALLED}[^,()\n]*,\s*(?:[a-z]+\()?["'][^\s"'`,;<>]+["']""",
        _password,
    ),
    Notation(
        "SECRET_KEYWORD",
        rf"""(?i)variable\s{{1,4}}"(?P<name>[\w-]{{0,40}}?{_TELLING}[\w-]{{0,24}})"\s{{0,4}}\{{[^{{}}]{{0,300}}?"""
        rf"""\bdefault\s{{0,24}}=\s{{0,4}}"(?P<value>{_WORD})\"""",
        rf"""(?i)variable\s+"[\w-]*{_TELLING}""",
        r"""(?i)variable\s+"[\w-]+"\s*\{[^{}]*""",
        _default,
    ),
    Notation(  # every entry of `data`
        "SECRET_KEYWORD",
        r"kind: Secret\n(?:(?!---|data:)[^\n]{0,200}\n){0,12}?data:"
        r"(?:\n[ \t]{1,8}[\w.-]{1,64}:[ \t]{0,4}[\"']?(?P<value>[A-Za-z0-9+/]{1,400}+={0,2})[\"']?(?=\s|\Z))+",
        r"kind: Secret\n",
        r"kind: Secret\n[^\0]*",
        _entry,
    ),
    Notation(
        "SECRET_COMMAND_PASSWORD",
        rf"""{_COMMANDS}[^\n]{{0,120}}?(?<= )(?:-p|-P|-w|--password)[ =]['"]?(?P<value>[^\s'"]{{6,64}})""",
        _COMMANDS,
        rf"{_COMMANDS}[^\n]*",
        _password,
    ),
    Notation(
        "SECRET_COMMAND_PASSWORD",
        rf"""{_BEFORE}['"]?(?P<value>[^\s'"]{{6,64}})""",
        _BEFORE,
        rf"""{_BEFORE}['"]?[^\s'"]+""",
        _password,
    ),
)
_PATTERNS: Final = {one.pattern: regex.compile(one.pattern) for one in NOTATIONS}
