"""`sprintf`: the verbs of Go's fmt for what Rego has, strings, whole numbers and fractions.

https://pkg.go.dev/fmt
"""

from __future__ import annotations

import re
from decimal import Decimal

from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value, number_text, spell

_VERB = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?(.)?", re.DOTALL)
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


def formatted(template: str, values: list[Value]) -> str:
    """The text. A wrong verb or too few values are said in the text, as Go does."""
    given = list(map(argument, values))
    at = 0
    out: list[str] = []
    begun = 0
    while True:
        start = template.find("%", begun)
        if start < 0:
            out.append(template[begun:])
            break
        out.append(template[begun:start])
        match = _VERB.match(template, start)
        assert match is not None
        begun = match.end()
        flags, width, precision, verb = match[1], match[2], match[3], match[4]
        dotted = "." in match[0][1 : len(match[0]) - len(verb or "")]
        if verb is None:
            out.append("%!(NOVERB)")
            break
        if width == "*" and at < len(given):
            width, at = str(given[at]), at + 1
        if precision == "*" and at < len(given):
            precision, at = str(given[at]), at + 1
        if verb == "%":
            out.append("%")
            continue
        if at >= len(given):
            out.append(f"%!{verb}(MISSING)")
            continue
        wide = int(width) if width else 0
        exact = int(precision) if precision else 0 if dotted else None
        if wide > WIDEST or (exact or 0) > WIDEST:
            raise BuiltinError("sprintf: the width or the precision is too large")
        out.append(_padded(_one(verb, flags, exact, given[at]), flags, wide, given[at], verb))
        at += 1
    if at < len(given):
        rest = ", ".join(f"{_kind(one)}={_one('v', '', None, one)}" for one in given[at:])
        out.append(f"%!(EXTRA {rest})")
    return "".join(out)


def _kind(value: Argument) -> str:
    if isinstance(value, str):
        return "string"
    return "float64" if isinstance(value, float) else "int64" if abs(value) < 2**63 else "*big.Int"


def _padded(text: str, flags: str, width: int, value: Argument, verb: str) -> str:
    if "-" in flags:
        return text.ljust(width)
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
    sign = "+" if "+" in flags and value >= 0 else " " if " " in flags and value >= 0 else ""
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
            text = text.rjust(precision, "0")
        lead = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        return ("-" if value < 0 else sign) + lead + text
    if verb in "cqU" and 0 <= value < 0x110000:
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    if verb == "O":
        return f"0o{value:o}"
    return f"%!{verb}({_kind(value)}={value})"


def _text(verb: str, flags: str, precision: int | None, value: str) -> str:
    if verb in ("s", "v", "q") and precision is not None:
        value = value[:precision]
    if verb in ("s", "v"):
        return f'"{value}"' if verb == "v" and "#" in flags else value
    if verb == "q":
        from gateway.policy.engines.rego.values import dumps

        return dumps(value)
    if verb in "xX":
        found = value.encode().hex()
        return found if verb == "x" else found.upper()
    return f"%!{verb}(string={value})"


def _fraction(verb: str, sign: str, precision: int | None, value: float) -> str:
    if verb in "fF":
        return sign + f"{value:.{6 if precision is None else precision}f}"
    if verb in "eE":
        return sign + format(value, f".{6 if precision is None else precision}{verb}")
    if verb in "gGv":
        if precision is not None:
            return sign + format(value, f".{precision}{'g' if verb == 'v' else verb}")
        return sign + _shortest(value, 21)
    return f"%!{verb}(float64={_shortest(value, 21)})"


def _shortest(value: float, most: int) -> str:
    """The fewest digits, with an exponent below 1e-4 and from 1e21 on."""
    mantissa, exponent = format(Decimal(repr(value)).normalize(), "e").lower().split("e")
    if -4 <= int(exponent) < most:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{mantissa}e{int(exponent):+03d}"
