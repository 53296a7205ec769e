"""`sprintf`: the verbs of Go's fmt for what Rego has, strings, whole numbers and fractions.

https://pkg.go.dev/fmt
"""

from __future__ import annotations

import re
from decimal import Decimal

from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value, number_text, spell

_INDEX = r"(?:\[(\d+)\])?"
_VERB = re.compile(rf"%([-+# 0]*){_INDEX}(\d+|\*)?(?:(\.){_INDEX}(\d+|\*)?)?{_INDEX}(.)?", re.DOTALL)
WIDEST = 10_000
Argument = str | int | float


def argument(value: Value) -> Argument:
    """A value as Go is given it: what is no number comes as text."""
    if type(value) is str or type(value) is int or type(value) is float:
        return value
    if type(value) is Decimal:
        if value != value.to_integral_value():  # Go has no number between the integers but a float64
            return float(value)
        return number_text(value).replace("E+", "e").replace("E", "e")
    return spell(value)


class _Arguments:
    """The arguments of a template, taken one after the other, or by number (`%[2]s`)."""

    def __init__(self, values: list[Value]) -> None:
        self.given = list(map(argument, values))
        self.at = 0
        self.numbered = False

    def go(self, number: str | None) -> bool:
        """Go to an argument by its number; False if there is no such."""
        if number is None:
            return True
        self.numbered = True
        if len(number) > 4 or not 1 <= int(number) <= len(self.given):
            return False
        self.at = int(number) - 1
        return True

    def size(self, written: str | None) -> int | None:
        """A width or precision, as written or (`*`) given. Raises BuiltinError for one too large."""
        found: Argument | None = None
        if written == "*":
            found = self.given[self.at] if self.at < len(self.given) else None
            self.at += 1
        elif written:
            found = int(written) if len(written) < 9 else WIDEST + 1
        if isinstance(found, int) and abs(found) > WIDEST:
            raise BuiltinError("sprintf: the width or the precision is too large")
        return found if isinstance(found, int) else None

    def rest(self) -> str:
        """What Go prints for arguments that no verb takes."""
        if self.numbered or self.at >= len(self.given):
            return ""
        found = ", ".join(f"{_kind(one)}={_one('v', '', None, one)}" for one in self.given[self.at :])
        return f"%!(EXTRA {found})"


def formatted(template: str, values: list[Value]) -> str:
    """The text. A wrong verb or too few values are said in the text, as Go does. Raises BuiltinError."""
    given = _Arguments(values)
    out: list[str] = []
    begun = 0
    while (start := template.find("%", begun)) >= 0:
        out.append(template[begun:start])
        match = _VERB.match(template, start)
        assert match is not None
        begun = match.end()
        if match[8] is None:
            given.go(match[2] or match[7])
            return "".join([*out, "%!(NOVERB)", given.rest()])
        out.append(_verb(match, given))
    return "".join([*out, template[begun:], given.rest()])


def _verb(match: re.Match[str], given: _Arguments) -> str:
    """One verb with what it is given."""
    flags, before, width, dot, between, precision, last, verb = match.groups()
    good = given.go(before) and not (before and width and width != "*")
    wide = given.size(width)
    wrong = "%!(BADWIDTH)" if width == "*" and wide is None else ""
    if wide is not None and wide < 0:
        flags, wide = f"{flags}-", -wide
    good = given.go(between) and good
    exact = given.size(precision)
    if precision == "*" and (exact is None or exact < 0):
        wrong, exact, dot = f"{wrong}%!(BADPREC)", None, None
    exact = 0 if dot and exact is None else exact
    good = given.go(last) and good
    if verb == "%":
        return f"{wrong}%"
    if not good:
        return f"{wrong}%!{verb}(BADINDEX)"
    if given.at >= len(given.given):
        return f"{wrong}%!{verb}(MISSING)"
    value = given.given[given.at]
    given.at += 1
    return wrong + _padded(_one(verb, flags, exact, value), flags, wide or 0, exact, value, verb)


def _kind(value: Argument) -> str:
    if isinstance(value, str):
        return "string"
    return "float64" if isinstance(value, float) else "int64" if abs(value) < 2**63 else "*big.Int"


def _padded(text: str, flags: str, width: int, exact: int | None, value: Argument, verb: str) -> str:
    if "-" in flags:
        return text.ljust(width)
    if isinstance(value, int) and exact is not None:
        return text.rjust(width)
    if "0" in flags and not (isinstance(value, str) and verb not in "sqvxX"):
        if isinstance(value, int | float):
            sign = text[0] if text[:1] in "+-" and text else ""
            return sign + text[len(sign) :].rjust(width - len(sign), "0")
        return text.rjust(width, "0")
    return text.rjust(width)


def _one(verb: str, flags: str, precision: int | None, value: Argument) -> str:
    if verb == "T":
        return _kind(value)
    if isinstance(value, str):
        return _text(verb, flags, precision, value)
    sign = "+" if "+" in flags and value >= 0 and verb != "v" else " " if " " in flags and value >= 0 else ""
    if isinstance(value, float):
        return _fraction(verb, sign, precision, value)
    digits = {
        "d": "d",
        "v": "d",
        "s": "d" if abs(value) >= 2**63 else None,
        "x": "x",
        "X": "X",
        "o": "o",
        "b": "b",
    }.get(verb)
    if digits:
        text = format(abs(value), digits)
        if precision is not None:
            text = text.rjust(precision, "0") if value or precision else ""
        lead = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        return ("-" if value < 0 else sign) + lead + text
    if verb in "cqU" and 0 <= value < 0x110000:
        shown = f" '{chr(value)}'" if "#" in flags and chr(value).isprintable() else ""
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}{shown}"}[verb]
    if verb == "O":
        return f"0o{value:o}"
    return f"%!{verb}({_kind(value).lstrip('*')}={value})"


def _text(verb: str, flags: str, precision: int | None, value: str) -> str:
    if verb in ("s", "v", "q") and precision is not None:
        value = value[:precision]
    if verb in ("s", "v"):
        return f'"{value}"' if verb == "v" and "#" in flags else value
    if verb == "q":
        return _quoted(value, flags)
    if verb in "xX":
        found = value.encode()[:precision].hex(*(" ",) if " " in flags and value else ())
        if "#" in flags and value:
            found = "0x" + found.replace(" ", " 0x")
        return found if verb == "x" else found.upper()
    return f"%!{verb}(string={value})"


_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _quoted(text: str, flags: str) -> str:
    """A text as a literal of Go."""
    if "#" in flags and "`" not in text and all(sign == "\t" or sign.isprintable() for sign in text):
        return f"`{text}`"
    return f'"{"".join(_escaped(sign, ascii_only="+" in flags) for sign in text)}"'


def _escaped(sign: str, *, ascii_only: bool) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    if sign.isprintable() and (sign.isascii() or not ascii_only):
        return sign
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _fraction(verb: str, sign: str, precision: int | None, value: float) -> str:
    if verb in "fF":
        return sign + f"{value:.{6 if precision is None else precision}f}"
    if verb in "eE":
        return sign + format(value, f".{6 if precision is None else precision}{verb}")
    if verb in "gGv":
        if precision is not None:
            return sign + format(value, f".{precision}{'g' if verb == 'v' else verb}")
        return sign + (_shortest(value).upper() if verb == "G" else _shortest(value))
    if verb in "xX" and precision is None:
        found = sign + re.sub(r"\.?0*p([+-])(\d)$", r"p\g<1>0\2", re.sub(r"\.?0*p", "p", value.hex()))
        return found if verb == "x" else found.upper()
    return f"%!{verb}(float64={_shortest(value)})"


def _shortest(value: float) -> str:
    """The fewest digits, with an exponent below 1e-4 and from 1e6 on."""
    mantissa, exponent = format(Decimal(repr(value)).normalize(), "e").lower().split("e")
    if -4 <= int(exponent) < 6:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{mantissa}e{int(exponent):+03d}"
