"""Decides whether the embedded engine may evaluate a bundle: only what is proven to answer as OPA does.

Everything refused is named with file, line and what to use instead. See `builtins` for why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.engines import outline as rego
from gateway.engines.adapt import VERB
from gateway.engines.builtins import COMPILED, DEFAULT_REASON, PROVEN, REASONS, VOLATILE, Text
from gateway.errors import ConfigError

_OPA = "use `policy.engine: opa`"
_OTHERWISE = "use `policy.engine: wasm` or `policy.engine: opa`"
_STRICTNESS: Sequence[Text] = ("any", "unescaped", "ascii")
_UNREADABLE_ESCAPE = re.compile(r"""(?:[^\\]|^)(?:\\\\)*\\[u/]""")
_WHOLE = 2**63
MAX_WILDCARDS = 2
"""`*` in one glob pattern: its matcher tries every way to share out the text between them."""


class Traits:
    """What a bundle uses, as far as evaluating it has to know."""

    __slots__ = ("globs", "inputs", "text", "volatile")

    def __init__(self, names: Iterable[str], inputs: frozenset[rego.Path]) -> None:
        used = set(names)
        self.text: Text = max((PROVEN[name] for name in used), key=_STRICTNESS.index, default="any")
        self.volatile = bool(used & VOLATILE)
        self.globs = "glob.match" in used
        self.inputs = inputs


def admit(modules: Sequence[rego.Module], data: Mapping[str, Any]) -> Traits:
    """What a bundle uses. Raises ConfigError for the first thing that the embedded engine may not evaluate."""
    defined = {f"data.{module.package}.{head}" for module in modules for head in module.heads}
    used: set[str] = set()
    for module in modules:
        _check_syntax(module)
        names = set(_check_calls(module, defined))
        used |= set() if module.is_test else names
    traits = Traits(used, frozenset().union(*(module.inputs for module in modules if not module.is_test)))
    _check_data(traits, data)
    if traits.globs:
        for module in modules:
            _check_globs(module)
    return traits


def spelling(text: bytes) -> Text:
    """The class of the strings in a JSON text: orjson escapes exactly the quote, the backslash and the controls."""
    if b"\\" in text:
        return "any"
    return "ascii" if text.isascii() else "unescaped"


def suits(traits: Traits, text: bytes) -> bool:
    """Whether the builtins of a bundle are right for the strings of a JSON text."""
    return _STRICTNESS.index(traits.text) <= _STRICTNESS.index(spelling(text))


def _refused(module: rego.Module, line: int, what: str, why: str, otherwise: str = _OTHERWISE) -> ConfigError:
    return ConfigError(f"{module.file}:{line}: {what} is refused by the embedded engine: {why}; {otherwise}")


def _check_syntax(module: rego.Module) -> None:
    for token in module.tokens:
        if token.kind == "template":
            raise _refused(module, token.line, 'a template string ($"...")', "write it with sprintf instead")
        if token.kind == "string" and _UNREADABLE_ESCAPE.search(token.text):
            raise _refused(
                module, token.line, "an escape \\u or \\/ in a string", "write the character itself, or give it in data"
            )
        if token.kind == "number" and (int(token.text) if token.text.isdigit() else float(token.text)) >= _WHOLE:
            raise _refused(module, token.line, f"the number {token.text}", "it does not fit into 64 bits")
    if member := rego.key_membership(module):
        raise _refused(
            module, member.line, "`key, value in`", "it is wrong for sets; write `some key, value in` and compare"
        )
    if token_ := rego.computed_call(module):
        raise _refused(module, token_.line, "a call of a computed name", "it cannot be told which function it is")


def _check_calls(module: rego.Module, defined: set[str]) -> Iterator[str]:
    """The builtins that a module calls."""
    for name in sorted(module.heads & (PROVEN.keys() | REASONS.keys())):
        raise ConfigError(f"{module.file}: a rule is called {name}, as a builtin is; give it another name")
    for call in rego.calls(module):
        path = (*module.imports.get(call.path[0], call.path[:1]), *call.path[1:])
        if ".".join(path) in defined or f"data.{module.package}.{call.name}" in defined:
            continue
        if path[0] == "data":
            raise ConfigError(f"{module.file}:{call.line}: no function {'.'.join(path)} in this bundle")
        if call.name not in PROVEN:
            otherwise = _OTHERWISE if call.name in COMPILED else _OPA
            raise _refused(module, call.line, call.name, REASONS.get(call.name, DEFAULT_REASON), otherwise)
        arguments = rego.arguments(module, call)
        if call.name == "sprintf":
            _check_sprintf(module, call, arguments)
        _check_literals(module, call, arguments)
        yield call.name


def _check_sprintf(module: rego.Module, call: rego.Reference, arguments: list[list[rego.Token]]) -> None:
    """Only `%v`, and as many values as verbs: with anything else the message is undefined, and with it the rule."""
    why = "its format must be a string of %v verbs, and its values a list of as many"
    if len(arguments) < 2 or len(arguments[0]) != 1 or arguments[0][0].kind not in ("string", "raw"):
        raise _refused(module, call.line, "this sprintf", why)
    verbs = VERB.findall(arguments[0][0].text)
    values = arguments[1]
    listed = values[0].text == "[" and values[-1].text == "]"
    if len(arguments) != 2 or not listed or set(verbs) - {"%v", "%%"} or verbs.count("%v") != len(rego.items(values)):
        raise _refused(module, call.line, "this sprintf", why)


def _check_literals(module: rego.Module, call: rego.Reference, arguments: list[list[rego.Token]]) -> None:
    """A literal must be of the text that the builtin is right for."""
    right_for = PROVEN[call.name]
    if right_for == "any" or call.name == "sprintf":
        return
    for token in (token for argument in arguments for token in argument):
        if token.kind not in ("string", "raw"):
            continue
        escaped = "\\" in token.text or (token.kind == "raw" and re.search(r'["\x00-\x1f]', token.text))
        if escaped or (right_for == "ascii" and not token.text.isascii()):
            what = f"{call.name} with a quote, a backslash, a control character"
            what += " or a character outside ASCII" if right_for == "ascii" else ""
            raise _refused(module, token.line, what, "it reads such characters by their spelling")


def _check_data(traits: Traits, data: Mapping[str, Any]) -> None:
    for path, text in strings(data):
        if not suits(traits, orjson.dumps(text)[1:-1]):
            raise ConfigError(
                f"data.{'.'.join(path)}: a string with a quote, a backslash, a control character or one outside "
                f"ASCII, in a bundle that uses builtins which read those wrongly; {_OTHERWISE}"
            )
        if traits.globs and text.count("*") > MAX_WILDCARDS:
            raise ConfigError(
                f"data.{'.'.join(path)}: more than {MAX_WILDCARDS} wildcards (*) in one pattern make glob.match "
                f"slow; {_OTHERWISE}"
            )


def _check_globs(module: rego.Module) -> None:
    for token in module.tokens:
        if token.kind in ("string", "raw") and token.text.count("*") > MAX_WILDCARDS:
            raise _refused(
                module,
                token.line,
                f"a pattern of more than {MAX_WILDCARDS} wildcards (*)",
                "glob.match tries every way to share out the text between them",
            )


def strings(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string of a document, keys too, with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, key
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, (*path, str(index)))
