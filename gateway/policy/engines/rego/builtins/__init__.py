"""The builtins, by family: a table from their names to what to call.

    @builtin("concat")
    def concat(delimiter: Value, parts: Value) -> Value: ...

A builtin is given values (see `values`) and returns one, or `UNDEFINED`. It does not change what it is given. Its
arguments are not checked before the call: those of a wrong type, where OPA has an error, raise
`BuiltinError("concat: operand 1 must be string but got number", TYPE_EVAL)` (`operands` has helpers), and anything else
that OPA calls an error raises `BuiltinError(message)`; the words after the name of the builtin are OPA's. Other
exceptions are bugs.

Keywords:

- `context=True`: the first argument is the `Context` of the evaluation: its time, its cache, its budget of steps.
- `volatile=True`: equal arguments may give another value in another evaluation (`time.now_ns`, `rand.intn`): what calls
  it is not memoized.
- `relation=True`: returns a list of values, each of which the call may have (`walk`).
- `expensive=True`: may take long for small arguments (a regular expression, a key derivation): the bundle is evaluated
  beside the event loop.

What takes time that grows faster than its arguments calls `context.tick(steps)` on its way, one step for about a
microsecond of work, which raises TooLong when the budget is spent; what makes values much larger than its arguments
(`numbers.range`, `strings.repeat`) calls it with the size before it makes them.

`SIGNATURES` (module `signatures`) has the types of all builtins of OPA, for the compiler; `REFUSED` those that a policy
must not use here, and why, `MISSING` those that are not here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from gateway.policy.engines.rego.values import Value


class Context(Protocol):
    """What a builtin may know of the evaluation that it serves."""

    now_ns: int
    """When the evaluation began."""
    cache: dict[Any, Any]
    """For as long as the evaluation runs; keys begin with the name of the builtin."""

    def tick(self, steps: int = 1) -> None:
        """Use up a part of the budget. Raises TooLong."""
        ...

    def seconds(self) -> float:
        """Until the time of the evaluation is over."""
        ...


class Builtin(NamedTuple):
    """One builtin."""

    name: str
    call: Callable[..., Value]
    context: bool = False
    volatile: bool = False
    relation: bool = False
    expensive: bool = False


_TABLE: dict[str, Builtin] = {}
FAMILIES = (
    "operators",
    "collections",
    "strings",
    "numbers",
    "glob",
    "texts",
    "regexes",
    "times",
    "digests",
    "network",
    "uris",
    "aws",
    "paths",
    "graphql",
    "globs",
    "templates",
    "schemas",
)
"""The modules of this package that register builtins."""
_LATE = ("tokens", "signing", "certificates", "private_keys")
"""Modules that import large libraries: imported when a policy names one of their builtins."""
_LATE_NAMES = ("io.jwt.", "crypto.")
"""How the names of those builtins begin."""

REFUSED: Mapping[str, str] = {
    "http.send": "it reaches out to the network in the middle of a decision",
    "net.lookup_ip_addr": "it reaches out to the network in the middle of a decision",
    "opa.runtime": "it shows the gateway's environment, secrets included",
    "rego.parse_module": "a policy that reads policies is not supported",
}

_CHAINS = "chains are verified by the rules of Go's library; the library here has others"
_QUERIES = "the rules by which a schema judges a query are not here, `graphql.parse_query` is"
MISSING: Mapping[str, str] = {
    "crypto.x509.parse_and_verify_certificates": _CHAINS,
    "crypto.x509.parse_and_verify_certificates_with_options": _CHAINS,
    "graphql.is_valid": _QUERIES,
    "graphql.parse": _QUERIES,
    "graphql.parse_and_verify": _QUERIES,
}
"""Builtins that the engine `opa` has, and why they are not here."""

COMPILED = frozenset({"assign", "eq", "print", "rego.metadata.chain", "rego.metadata.rule"})
"""Builtins that are none when a policy runs: the compiler writes something else in their place."""


def builtin(
    *names: str, context: bool = False, volatile: bool = False, relation: bool = False, expensive: bool = False
) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Register a function by the names that OPA gives it."""

    def register(function: Callable[..., Value]) -> Callable[..., Value]:
        for name in names:
            _TABLE[name] = Builtin(name, function, context, volatile, relation, expensive)
        return function

    return register


class _Builtins(Mapping[str, Builtin]):
    """Every builtin, by name."""

    def __getitem__(self, name: str) -> Builtin:
        if name not in _TABLE and name.startswith(_LATE_NAMES):
            _load(_LATE)
        return _TABLE[name]

    def __iter__(self) -> Iterator[str]:
        _load(_LATE)
        return iter(_TABLE)

    def __len__(self) -> int:
        _load(_LATE)
        return len(_TABLE)


def _load(families: Iterable[str]) -> None:
    for family in families:
        importlib.import_module(f".{family}", __name__)


def table() -> Mapping[str, Builtin]:
    """Every builtin, by name."""
    _load(FAMILIES)
    return _Builtins()
