"""Encodings of text: base64, hexadecimal, JSON, YAML, URLs."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote_plus, unquote_plus

import yaml

from gateway.policy.engines.rego.builtins import builtin
from gateway.policy.engines.rego.builtins.operands import object_, string, wrong
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.meter import spend
from gateway.policy.engines.rego.values import Value, dumps, from_json, items_of, number

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


@builtin("base64.encode")
def base64_encode(text: Value) -> str:
    return base64.b64encode(string("base64.encode", 1, text).encode()).decode()


@builtin("base64.decode")
def base64_decode(text: Value) -> str:
    found = string("base64.decode", 1, text).replace("\n", "").replace("\r", "")
    if not _BASE64.fullmatch(found):
        raise BuiltinError("base64.decode: illegal base64 data")
    return _text(base64.b64decode(found))


@builtin("base64.is_valid")
def base64_is_valid(text: Value) -> bool:
    found = string("base64.is_valid", 1, text).replace("\n", "").replace("\r", "")
    return _BASE64.fullmatch(found) is not None


@builtin("base64url.encode")
def base64url_encode(text: Value) -> str:
    return base64.urlsafe_b64encode(string("base64url.encode", 1, text).encode()).decode()


@builtin("base64url.encode_no_pad")
def base64url_encode_no_pad(text: Value) -> str:
    return base64.urlsafe_b64encode(string("base64url.encode_no_pad", 1, text).encode()).decode().rstrip("=")


@builtin("base64url.decode")
def base64url_decode(text: Value) -> str:
    found = string("base64url.decode", 1, text).replace("\n", "").replace("\r", "")
    plain = found.rstrip("=").replace("-", "+").replace("_", "/")
    if "+" in found or "/" in found or not _BASE64.fullmatch(plain + "=" * (-len(plain) % 4)):
        raise BuiltinError("base64url.decode: illegal base64 data")
    return _text(base64.b64decode(plain + "=" * (-len(plain) % 4)))


@builtin("hex.encode")
def hex_encode(text: Value) -> str:
    return string("hex.encode", 1, text).encode().hex()


@builtin("hex.decode")
def hex_decode(text: Value) -> str:
    found = string("hex.decode", 1, text)
    try:
        return _text(binascii.unhexlify(found))
    except ValueError:
        wrong_byte = next((sign for sign in found if sign not in "0123456789abcdefABCDEF"), None)
        if wrong_byte is None:
            raise BuiltinError("hex.decode: encoding/hex: odd length hex string") from None
        raise BuiltinError(f"hex.decode: encoding/hex: invalid byte: U+{ord(wrong_byte):04X} '{wrong_byte}'") from None


@builtin("json.marshal")
def json_marshal(value: Value) -> str:
    return dumps(value)


@builtin("json.marshal_with_options")
def json_marshal_with_options(value: Value, options: Value) -> str:
    name = "json.marshal_with_options"
    given = object_(name, 2, options)
    indent, prefix, pretty = "\t", "", False
    for option, wanted in given.items():
        if option == "pretty" and type(wanted) is bool:
            pretty = wanted
        elif option in ("indent", "prefix") and type(wanted) is str:
            indent, prefix = (wanted, prefix) if option == "indent" else (indent, wanted)
            pretty = pretty or "pretty" not in given
        elif option in ("indent", "prefix", "pretty"):
            kind = "boolean" if option == "pretty" else "string"
            raise wrong(name, 2, wanted, kind)
        else:
            raise BuiltinError(f'{name}: object contained unknown key "{option}"', TYPE_EVAL)
    if not pretty:
        return dumps(value)
    text = json.dumps(json.loads(dumps(value)), indent=indent, ensure_ascii=False)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return "\n".join(prefix + line for line in text.split("\n"))


@builtin("json.unmarshal")
def json_unmarshal(text: Value) -> Value:
    whole = string("json.unmarshal", 1, text)
    try:
        return from_json(whole)
    except (ValueError, RecursionError) as error:
        raise BuiltinError(f"json.unmarshal: {error}") from None


@builtin("json.is_valid")
def json_is_valid(text: Value) -> bool:
    if type(text) is not str:
        return False
    try:
        from_json(text)
    except (ValueError, RecursionError):
        return False
    return True


STEPS_PER_TOKEN = 30
"""Microseconds, about, that a token of YAML takes."""


class Loader(yaml.SafeLoader):
    """YAML as OPA reads it, token by token within the budget."""

    def fetch_more_tokens(self) -> None:
        """Read on. Raises TooLong."""
        spend(STEPS_PER_TOKEN + len(self.possible_simple_keys))
        super().fetch_more_tokens()


Loader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if not entry[0].endswith((":timestamp", ":bool", ":int", ":float"))]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_FRACTION = re.compile(
    r"[-+]?(?:\d[\d_]*+(?:\.[\d_]*+)?|\.[\d_]++)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+)")
Loader.add_implicit_resolver(
    "!number", re.compile(f"^(?:{_INTEGER.pattern}|{_FRACTION.pattern})$"), list("-+.0123456789")
)


def _yaml_number(text: str) -> Value:
    """A number as YAML spells it: `0x10`, `0b1`, `0o7`, `07`, `1_000`. Raises ValueError for what is not finite."""
    plain = text.replace("_", "").lower()
    if _INTEGER.fullmatch(text) and (digits := plain.lstrip("+-")) != "0":
        base = {"x": 16, "b": 2}.get(digits[1:2], 8)
        found = int(digits[1:].lstrip("xbo"), base)
        return -found if plain[0] == "-" else found
    if "n" in plain:
        raise ValueError(f"{text} is no number of JSON")
    return number(plain.lstrip("+"))


Loader.add_constructor("!number", lambda _, node: _yaml_number(str(node.value)))
MOST_YAML = 1_000_000


def _from_yaml(text: str) -> Value:
    if len(text) > MOST_YAML:
        raise ValueError("the text is too large")
    if re.search(r"(?m)(?:^|[\s\[{,:-])&\S", text) and text.count("*") > 100:
        raise ValueError("too many aliases")
    spend(len(text) // 2)
    documents = list(yaml.load_all(text, Loader))
    return _plain(documents[0]) if documents else None


def _plain(value: Any) -> Value:
    spend(1)
    if isinstance(value, dict):
        return {_yaml_key(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def _yaml_key(name: Any) -> str:
    """The name of a member, which YAML may write as a number or a boolean. Raises ValueError."""
    if isinstance(name, str):
        return name
    if not isinstance(name, bool | int | float):
        raise ValueError("the name of a member is neither a string, a number nor a boolean")
    return dumps(name)


@builtin("yaml.unmarshal", expensive=True)
def yaml_unmarshal(text: Value) -> Value:
    try:
        return _from_yaml(string("yaml.unmarshal", 1, text))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise BuiltinError(f"yaml.unmarshal: yaml: {' '.join(str(error).split())}") from None


@builtin("yaml.is_valid", expensive=True)
def yaml_is_valid(text: Value) -> bool:
    if type(text) is not str:
        return False
    try:
        _from_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return False
    return True


@builtin("yaml.marshal", expensive=True)
def yaml_marshal(value: Value) -> str:
    return yaml.safe_dump(json.loads(dumps(value)), default_flow_style=False, allow_unicode=True)


@builtin("urlquery.encode")
def urlquery_encode(text: Value) -> str:
    return quote_plus(string("urlquery.encode", 1, text), safe="")


@builtin("urlquery.decode")
def urlquery_decode(text: Value) -> str:
    whole = string("urlquery.decode", 1, text)
    if broken := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", whole):
        raise BuiltinError(f'urlquery.decode: invalid URL escape "{broken[0]}"')
    return unquote_plus(whole)


@builtin("urlquery.decode_object")
def urlquery_decode_object(text: Value) -> dict[Any, Value]:
    whole = string("urlquery.decode_object", 1, text)
    if ";" in whole:
        raise BuiltinError("urlquery.decode_object: invalid semicolon separator in query")
    if broken := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", whole):
        raise BuiltinError(f'urlquery.decode_object: invalid URL escape "{broken[0]}"')
    parse_qsl(whole, keep_blank_values=True)
    return dict(parse_qs(whole, keep_blank_values=True))


@builtin("urlquery.encode_object")
def urlquery_encode_object(value: Value) -> str:
    name = "urlquery.encode_object"
    pairs: list[str] = []
    whole = object_(name, 1, value)
    for field in sorted(whole, key=str):
        if type(field) is not str:
            raise BuiltinError(f"{name}: operand 1 must be object with string keys")
        item = whole[field]
        if type(item) is str:
            texts = [item]
        elif type(item) in (list, set):
            texts = item if type(item) is list else items_of(item)
        else:
            raise wrong(name, 1, item, "string", "set", "array")
        named = quote_plus(field, safe="")
        pairs += [f"{named}={quote_plus(string(name, 1, text), safe='')}" for text in texts]
    return "&".join(pairs)
